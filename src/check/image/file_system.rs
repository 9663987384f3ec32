//! `file-system-clean`: does a file system need a check before anything is written to it.
//!
//! On a disk, the superblock of each file system that is mounted says so. A mounted tree had its journal replayed by
//! whoever mounted it; what is left to see is whether the kernel has met errors in it. ext4 counts them, over mounts, in its superblock (kernel,
//! Documentation/ABI/testing/sysfs-fs-ext4: `errors_count`); other file systems show nothing here.

use anyhow::Result;

use crate::check::Finding;
use crate::disk::{Facts, Volume};
use crate::root::Root;
use crate::target::Target;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    if target.is_live() {
        return Ok(vec![Finding::skipped("the running system mounted it itself: root-writable judges that")]);
    }
    if let Some(disk) = target.disk() {
        return Ok(of_disk(disk.facts()));
    }
    let Some(stat) = target.root.stat_opt(".")? else { return Ok(Vec::new()) };
    // the kernel that has it mounted is the one of the machine that looks
    judge(&Root::live()?, stat.device)
}

fn of_disk(facts: &Facts) -> Vec<Finding> {
    let mounted = facts.volumes.iter().filter(|volume| volume.mounted_at.is_some());
    let found: Vec<Finding> = mounted.filter_map(needs_check).collect();
    if found.is_empty() {
        return vec![Finding::ok("the file systems were put down cleanly")];
    }
    found
}

fn needs_check(volume: &Volume) -> Option<Finding> {
    let why = volume.needs_check()?;
    let finding = Finding::fail("a file system needs a check before it is written: nothing is changed")
        .because("writing to it can destroy what a check would save")
        .seen(&volume.name, why)
        .about(&volume.name)
        .mend("check it");
    Some(
        volume
            .fsck
            .iter()
            .fold(finding, |finding, argv| finding.by(&argv.iter().map(String::as_str).collect::<Vec<_>>())),
    )
}

fn judge(machine: &Root, device: u64) -> Result<Vec<Finding>> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = machine.link_opt(&format!("sys/dev/block/{major}:{minor}"))?;
    let name = link.as_deref().and_then(|link| link.rsplit('/').next()).unwrap_or_default();
    let path = format!("sys/fs/ext4/{name}/errors_count");
    let Some(count) = machine.text_opt(&path)?.filter(|_| !name.is_empty()) else {
        return Ok(vec![Finding::skipped(
            "not an ext4 file system of its own: the kernel says nothing of it",
        )]);
    };
    if count.trim() == "0" {
        return Ok(vec![Finding::ok("the kernel has met no error in the file system").seen(path, "0")]);
    }
    let device = format!("/dev/{name}");
    Ok(vec![
        Finding::fail(
            "the file system has errors and needs a check before it is written: nothing is changed",
        )
        .because("writing to it can destroy what a check would save")
        .seen(path, format!("{} errors", count.trim()))
        .mend("unmount it and check it")
        .by(&["umount", &device])
        .by(&["fsck", "-fy", &device]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::facts::tree::Tree;

    #[test]
    fn errors_that_the_kernel_counted_fail_and_an_unknown_file_system_is_not_judged() {
        let device = rustix::fs::makedev(202, 17);
        let status = |count: &str| {
            let tree = Tree::of(&[("sys/fs/ext4/xvdb1/errors_count", count)])
                .link("sys/dev/block/202:17", "../../devices/vbd-51728/block/xvdb/xvdb1");
            judge(&tree.root(), device).unwrap()[0].status
        };
        assert_eq!(status("0\n"), Status::Ok);
        assert_eq!(status("3\n"), Status::Fail);
        let nothing = Tree::of(&[("sys/x", "")]);
        assert_eq!(judge(&nothing.root(), device).unwrap()[0].status, Status::Skipped);
    }
}
