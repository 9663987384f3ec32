//! `boot-devices`: names of disks that are others when the image's `vm_mode` changes.
//!
//! `/dev/xvda1` is right with Xen's drivers in either mode; `/dev/sda1` is a name of emulated or of Xen Classic's
//! disks. A label or a UUID holds everywhere.

use anyhow::Result;

use crate::check::Finding;
use crate::net::assignments;
use crate::root::Root;
use crate::target::Target;

/// What GRUB and extlinux read; `/etc/default/grub` is what the next update of GRUB writes.
const LOADERS: [&str; 7] = [
    "boot/grub2/grub.cfg",
    "boot/grub/grub.cfg",
    "boot/grub/grub.conf",
    "boot/grub/menu.lst",
    "boot/extlinux.conf",
    "boot/extlinux/extlinux.conf",
    "boot/syslinux/syslinux.cfg",
];
/// Findings that are shown.
const FINDINGS_MAX: usize = 20;

/// A line that names such a disk.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    source: String,
    device: String,
    text: String,
}

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let mut named = match target.root.text_opt("etc/fstab")? {
        Some(text) => in_fstab(&text),
        None => Vec::new(),
    };
    named.extend(in_loaders(&target.root)?);
    if named.is_empty() {
        return Ok(vec![Finding::ok("no disk is called by a name that changes")]);
    }
    let finding = |named: &Named| {
        let title = format!("{} is another disk, or none, after a change of vm_mode", named.device);
        // it works here and now
        let finding = if target.is_live() { Finding::note(title) } else { Finding::warn(title) };
        finding
            .because("a server built of this image with another vm_mode stops at boot")
            .seen(&named.source, &named.text)
            .about(&named.source)
            .mend("name it by UUID or label (blkid shows them), or /dev/xvda1 as the provider's images do")
    };
    Ok(named.iter().take(FINDINGS_MAX).map(finding).collect())
}

/// The mounts that a boot makes and waits for.
fn in_fstab(text: &str) -> Vec<Named> {
    let mut named = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [device, _, _, rest @ ..] = fields.as_slice() else { continue };
        let options = rest.first().copied().unwrap_or_default();
        let is_waited_for = !options.split(',').any(|option| matches!(option, "noauto" | "nofail"));
        if is_waited_for && changes(device) {
            let source = format!("etc/fstab:{}", place + 1);
            named.push(Named { source, device: (*device).to_owned(), text: fields.join(" ") });
        }
    }
    named
}

fn in_loaders(root: &Root) -> Result<Vec<Named>> {
    let mut named = Vec::new();
    let entries = root.files_in("boot/loader/entries", ".conf")?;
    for path in LOADERS.iter().map(ToString::to_string).chain(entries) {
        let Some(text) = root.text_opt(&path)? else { continue };
        let words = ["linux", "linux16", "linuxefi", "kernel", "options", "append"];
        let is_kernel = |line: &str| {
            line.split_whitespace()
                .next()
                .is_some_and(|word| words.iter().any(|w| w.eq_ignore_ascii_case(word)))
        };
        // one finding a file: its entries say the same
        let found = text.lines().enumerate().find_map(|(place, line)| {
            let device = is_kernel(line).then(|| root_device(line)).flatten()?;
            Some(Named { source: format!("{path}:{}", place + 1), device, text: line.trim().to_owned() })
        });
        named.extend(found);
    }
    let text = root.text_opt("etc/default/grub")?.unwrap_or_default();
    for variable in assignments::parse(&text).iter().filter(|v| v.name.starts_with("GRUB_CMDLINE_LINUX")) {
        if let Some(device) = root_device(&variable.value) {
            let source = format!("etc/default/grub:{}", variable.line);
            named.push(Named { source, device, text: format!("{}={}", variable.name, variable.value) });
        }
    }
    Ok(named)
}

fn root_device(line: &str) -> Option<String> {
    let device = line.split_whitespace().filter_map(|word| word.strip_prefix("root=")).next_back()?;
    changes(device).then(|| device.to_owned())
}

/// Whether a name is that of an emulated disk: `/dev/sda1`, `/dev/hdc`, not `/dev/sr0` or `/dev/sd-card`.
fn changes(device: &str) -> bool {
    let Some(rest) = device.strip_prefix("/dev/sd").or_else(|| device.strip_prefix("/dev/hd")) else {
        return false;
    };
    let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    !letters.is_empty() && letters.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    #[test]
    fn names_of_emulated_disks_change_and_others_do_not() {
        for device in ["/dev/sda1", "/dev/sda", "/dev/hdc2", "/dev/sdaa12"] {
            assert!(changes(device), "{device}");
        }
        for device in [
            "/dev/xvda1",
            "UUID=1",
            "LABEL=sda1",
            "/dev/sr0",
            "/dev/sd",
            "/dev/sd1",
            "/dev/mapper/sda1",
            "/dev/vda1",
        ] {
            assert!(!changes(device), "{device}");
        }
    }

    #[test]
    fn only_what_boot_waits_for_counts_in_fstab() {
        let text = "# /dev/sda1 / ext4 defaults 0 1\n/dev/sda1 / ext4 defaults 0 1\n\
            /dev/sdb1 /data ext4 defaults,nofail 0 2\n/dev/sdc1 /x ext4 noauto\nUUID=x / ext4 defaults 0 1\n\
            /dev/sda5 none swap\n/dev/sdd1 /short\n";
        let found: Vec<String> = in_fstab(text).into_iter().map(|named| named.source).collect();
        assert_eq!(found, ["etc/fstab:2", "etc/fstab:6"]);
    }

    #[test]
    fn the_kernel_s_root_counts_wherever_a_boot_loader_reads_it() {
        let tree = Tree::of(&[
            (
                "boot/grub/grub.cfg",
                "menuentry 'a' {\n linux /vmlinuz root=/dev/sda1 ro\n}\n linux /v root=/dev/sda1\n",
            ),
            ("boot/grub2/grub.cfg", "set root=hd0\n linux /vmlinuz root=/dev/xvda1 ro # root=/dev/xvda1\n"),
            ("boot/extlinux.conf", "LABEL x\n  APPEND root=/dev/hda1 quiet\n"),
            ("boot/loader/entries/a.conf", "title root=/dev/sda1\noptions root=UUID=1\n"),
            (
                "etc/default/grub",
                "GRUB_CMDLINE_LINUX=\"quiet root=/dev/sda1\"\n#GRUB_CMDLINE_LINUX=\"root=/dev/sda1\"\n",
            ),
        ]);
        let found: Vec<String> =
            in_loaders(&tree.root()).unwrap().into_iter().map(|named| named.source).collect();
        assert_eq!(found, ["boot/grub/grub.cfg:2", "boot/extlinux.conf:2", "etc/default/grub:1"]);
    }
}
