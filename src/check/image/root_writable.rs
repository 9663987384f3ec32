//! `root-writable`: is a file system that has to be written mounted read-only.

use anyhow::{Context, Result};

use crate::check::Finding;
use crate::target::Target;

const PLACES: [&str; 2] = ["/etc", "/var/lib"];

/// One line of `/proc/self/mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    place: String,
    text: String,
    is_read_only: bool,
}

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let text = target.root.text_opt("proc/self/mounts")?.context("reading proc/self/mounts: no such file")?;
    let mut found: Vec<Mount> = PLACES.iter().filter_map(|path| holder(&text, path)).collect();
    found.retain(|mount| mount.is_read_only);
    found.dedup();
    if found.is_empty() {
        return Ok(vec![Finding::ok("/etc and /var can be written")]);
    }
    let finding = |mount: Mount| {
        Finding::fail(format!("{} is mounted read-only", mount.place))
            .because(
                "the agent can change nothing: after an I/O error the kernel does this (errors=remount-ro), and \
                 the log says why",
            )
            .seen("proc/self/mounts", mount.text)
            .about(&mount.place)
            .mend("look for the reason in dmesg first; after a disk error check the file system in rescue mode")
            .by(&["dmesg"])
            .by(&["mount", "-o", "remount,rw", &mount.place])
    };
    Ok(found.into_iter().map(finding).collect())
}

/// Returns the mount that holds a path: the longest, and of one place the last, which covers the others.
fn holder(mounts: &str, path: &str) -> Option<Mount> {
    let mut best: Option<Mount> = None;
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [device, place, kind, options, ..] = fields.as_slice() else { continue };
        let inside = *place == "/" || path == *place || path.starts_with(&format!("{place}/"));
        if !inside || *kind == "rootfs" || best.as_ref().is_some_and(|best| best.place.len() > place.len()) {
            continue;
        }
        let is_read_only = options.split(',').any(|option| option == "ro");
        let text = format!("{device} {place} {kind} {options}");
        best = Some(Mount { place: (*place).to_owned(), text, is_read_only });
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::facts::tree::Tree;

    fn found(mounts: &str) -> Vec<(Status, Option<String>)> {
        let tree = Tree::of(&[("proc/self/mounts", mounts)]);
        let target = Target::pretending_to_be_live(tree.path());
        probe(&target).unwrap().into_iter().map(|f| (f.status, f.subject)).collect()
    }

    #[test]
    fn the_mount_that_holds_etc_and_var_counts() {
        let fail = |place: &str| (Status::Fail, Some(place.to_owned()));
        let ok = [(Status::Ok, None)];
        let healthy =
            "rootfs / rootfs ro 0 0\nproc /proc proc ro 0 0\n/dev/xvda1 / ext4 rw,errors=remount-ro 0 0\n";
        assert_eq!(found(healthy), ok);
        assert_eq!(found(&format!("{healthy}/dev/xvdb1 /usr ext4 ro 0 0\n")), ok);
        assert_eq!(found("/dev/xvda1 / ext4 ro,relatime 0 0\n"), [fail("/")]);
        assert_eq!(found(&format!("{healthy}/dev/xvdb1 /var ext4 ro 0 0\n")), [fail("/var")]);
        assert_eq!(found(&format!("{healthy}/dev/xvda1 / ext4 ro 0 0\n")), [fail("/")]);
    }

    #[test]
    fn without_a_list_of_mounts_nothing_is_judged() {
        let tree = Tree::of(&[("etc/x", "")]);
        assert!(probe(&Target::pretending_to_be_live(tree.path())).is_err());
    }
}
