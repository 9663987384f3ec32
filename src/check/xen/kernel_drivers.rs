//! `kernel-has-xen-drivers`: the kernel that boots next finds its network and its disk.

use anyhow::Result;

use crate::check::Finding;
use crate::facts::kernel::{Driver, Found, Holds, Kernel};
use crate::facts::os::{Base, Family};
use crate::root::Root;
use crate::target::Target;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let root = &target.root;
    if target.os().family != Family::Linux {
        return Ok(vec![Finding::skipped("the drivers are part of this system's only kernel")]);
    }
    let Some(kernel) = Kernel::next(root)? else {
        return Ok(vec![Finding::skipped("there is no kernel in boot")]);
    };
    let network = kernel.driver(root, Driver::Network)?;
    let disk = kernel.driver(root, Driver::Disk)?;
    let initramfs = match disk {
        Found::Module(..) if runs_from_it(target, &kernel) => Holds::Yes,
        Found::Module(..) => kernel.initramfs_holds(root, Driver::Disk)?,
        Found::BuiltIn(..) | Found::Missing(..) | Found::Unknown => Holds::Yes,
    };
    Ok(judge(&kernel, &network, &disk, initramfs, target.os().base))
}

/// Whether the running system came up from this very initramfs on a Xen disk: then it holds the driver, and need not
/// be unpacked.
fn runs_from_it(target: &Target, kernel: &Kernel) -> bool {
    let root = &target.root;
    let line = |path: &str| root.text_opt(path).ok().flatten().unwrap_or_default();
    let booted =
        line("proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    let written = kernel.initramfs.as_ref().and_then(|path| root.stat_opt(path).ok()?).map(|stat| stat.mtime);
    let is_older = booted.zip(written).is_some_and(|(booted, written)| written < booted);
    target.is_live()
        && is_older
        && line("proc/sys/kernel/osrelease").trim() == kernel.release
        && has_xen_disk(root)
}

fn has_xen_disk(root: &Root) -> bool {
    root.read_dir("sys/block").is_ok_and(|disks| disks.iter().any(|disk| disk.name.starts_with("xvd")))
}

fn judge(kernel: &Kernel, network: &Found, disk: &Found, initramfs: Holds, base: Base) -> Vec<Finding> {
    let release = &kernel.release;
    let mut findings = Vec::new();
    for (driver, found) in [(Driver::Network, network), (Driver::Disk, disk)] {
        if let Found::Missing(source, text) = found {
            findings.push(
                fail(format!("the kernel {release} that boots next has no {}", driver.name()), driver)
                    .about(release)
                    .seen(source, text)
                    .seen(&kernel.chosen_by, &kernel.image)
                    .mend("install the distribution's own kernel and make it the default, or build this one anew"),
            );
        }
    }
    if let (Holds::No, Some(path)) = (initramfs, &kernel.initramfs) {
        let finding = fail(format!("the initramfs of {release} has no xen-blkfront"), Driver::Disk)
            .about(release)
            .seen(path, "no xen-blkfront.ko")
            .seen(&kernel.chosen_by, &kernel.image)
            .mend("build it anew with the driver, in a chroot when this is another system's disk");
        findings.push(rebuild(finding, base, release, path));
    }
    if !findings.is_empty() {
        return findings;
    }
    if matches!((network, disk), (Found::Unknown, _) | (_, Found::Unknown)) {
        let reason = format!("neither the configuration nor the modules of {} are there", kernel.image);
        return vec![Finding::skipped(reason)];
    }
    let ok = Finding::ok(format!("{release} drives Xen's network and disk"))
        .seen(&kernel.chosen_by, &kernel.image);
    let ok = [network, disk].into_iter().fold(ok, |ok, found| match found {
        Found::BuiltIn(source, text) | Found::Module(source, text) | Found::Missing(source, text) => {
            ok.seen(source, text)
        }
        Found::Unknown => ok,
    });
    vec![match (initramfs, &kernel.initramfs) {
        (Holds::NotLookedInto(reason), Some(path)) => ok.seen(path, format!("not looked into: {reason}")),
        _ => ok,
    }]
}

fn fail(title: String, driver: Driver) -> Finding {
    Finding::fail(title).because(match driver {
        Driver::Network => "no network interface appears after the next boot",
        Driver::Disk => "the next boot stops before the root file system is mounted",
    })
}

fn rebuild(finding: Finding, base: Base, release: &str, path: &str) -> Finding {
    match base {
        Base::Debian => finding.by(&["sh", "-c", "echo xen-blkfront >> /etc/initramfs-tools/modules"]).by(&[
            "update-initramfs",
            "-u",
            "-k",
            release,
        ]),
        Base::RedHat | Base::Suse => {
            let image = format!("/{path}");
            finding.by(&["dracut", "-f", "--add-drivers", "xen-blkfront xen-netfront", &image, release])
        }
        Base::Arch => finding.by(&["mkinitcpio", "-P"]),
        Base::Alpine => finding.by(&["mkinitfs", release]),
        Base::Gentoo | Base::CoreOs | Base::FreeBsd | Base::Unknown => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;

    #[test]
    fn each_missing_driver_is_a_finding_and_a_whole_kernel_is_silent() {
        let kernel = Kernel {
            release: "6.1".to_owned(),
            image: "boot/vmlinuz-6.1".to_owned(),
            initramfs: Some("boot/initrd.img-6.1".to_owned()),
            chosen_by: "boot/grub/grub.cfg".to_owned(),
        };
        let own = |text: &str| text.to_owned();
        let builtin = Found::BuiltIn(own("c:1"), own("A=y"));
        let module = Found::Module(own("m"), own("x.ko"));
        let missing = Found::Missing(own("c:2"), own("no x"));
        let fine = (Status::Ok, "6.1 drives Xen's network and disk");
        let no_network = (Status::Fail, "the kernel 6.1 that boots next has no xen-netfront");
        let no_disk = (Status::Fail, "the kernel 6.1 that boots next has no xen-blkfront");
        let not_inside = (Status::Fail, "the initramfs of 6.1 has no xen-blkfront");
        let nothing =
            (Status::Skipped, "neither the configuration nor the modules of boot/vmlinuz-6.1 are there");
        for (network, disk, initramfs, expected) in [
            (&builtin, &builtin, Holds::Yes, vec![fine]),
            (&module, &module, Holds::Yes, vec![fine]),
            (&module, &module, Holds::NotLookedInto("it is too large"), vec![fine]),
            (&module, &module, Holds::No, vec![not_inside]),
            (&missing, &builtin, Holds::Yes, vec![no_network]),
            (&missing, &missing, Holds::Yes, vec![no_network, no_disk]),
            (&Found::Unknown, &Found::Unknown, Holds::Yes, vec![nothing]),
        ] {
            let findings = judge(&kernel, network, disk, initramfs, Base::Debian);
            let seen: Vec<_> = findings.iter().map(|f| (f.status, f.title.as_str())).collect();
            assert_eq!(seen, expected);
        }
    }
}
