//! `disk-space`: is there room to write a file, in blocks and in inodes.

use anyhow::Result;

use crate::check::{Finding, Status};
use crate::root::Space;
use crate::target::Target;

/// Where files are written: by the agent, by an undo, by those who log in.
const PLACES: [&str; 5] = ["etc", "var/lib", "var/log", "tmp", "root"];

/// Below this a safe write (a new file beside the old one, and the journal's copy) fails.
const BYTES_MIN: u64 = 1 << 20;
/// Below this the next log or update ends it.
const BYTES_LOW: u64 = 32 << 20;
const INODES_MIN: u64 = 8;
const INODES_LOW: u64 = 256;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let mut devices = Vec::new();
    let mut findings = Vec::new();
    for place in PLACES {
        let Some(stat) = target.root.stat_opt(place)? else { continue };
        if devices.contains(&stat.device) {
            continue;
        }
        devices.push(stat.device);
        let space = target.root.space(place)?;
        let (status, lacks) = judge(&space);
        if status == Status::Ok {
            continue;
        }
        let title = format!("the file system of /{place} {lacks}");
        let finding = if status == Status::Fail { Finding::fail(title) } else { Finding::warn(title) };
        let inodes = space.inodes.map_or(String::new(), |inodes| format!(", {inodes} inodes"));
        let text = format!("{} KiB{inodes} free of {} MiB", space.free_for_root >> 10, space.total >> 20);
        findings.push(
            finding
                .because("a password, an address or a key that cannot be written whole is not written at all")
                .seen(place, text)
                .about(format!("/{place}"))
                .mend("remove what is not needed: old logs, package caches, core dumps")
                .by(&["du", "-xhd1", &format!("/{place}")]),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("there is room to write"));
    }
    Ok(findings)
}

fn judge(space: &Space) -> (Status, &'static str) {
    // file systems that make inodes as they need them count none
    let inodes = space.inodes.unwrap_or(u64::MAX);
    // a small file system of its own can be as good as full by design
    let low = BYTES_LOW.min(space.total / 20);
    match space.free_for_root {
        0..BYTES_MIN => (Status::Fail, "is full"),
        _ if inodes < INODES_MIN => (Status::Fail, "has no inode left"),
        free if free < low => (Status::Warn, "is nearly full"),
        _ if inodes < INODES_LOW => (Status::Warn, "has hardly an inode left"),
        _ => (Status::Ok, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    #[test]
    fn a_place_that_cannot_be_looked_at_is_named() {
        let tree = Tree::of(&[("x", "")]).link("etc", "etc");
        let target = Target::offline(tree.path(), Source::None).unwrap();
        assert!(format!("{:#}", probe(&target).unwrap_err()).starts_with("looking at etc: "));
    }

    #[test]
    fn blocks_and_inodes_both_count() {
        const GIB: u64 = 1 << 30;
        for (free, total, inodes, status) in [
            (GIB, 20 * GIB, Some(100_000), Status::Ok),
            (GIB, 20 * GIB, None, Status::Ok),
            (0, 20 * GIB, None, Status::Fail),
            (BYTES_MIN - 1, 20 * GIB, Some(100_000), Status::Fail),
            (10 << 20, 20 * GIB, Some(100_000), Status::Warn),
            (10 << 20, 100 << 20, Some(100_000), Status::Ok),
            (GIB, 20 * GIB, Some(0), Status::Fail),
            (GIB, 20 * GIB, Some(100), Status::Warn),
        ] {
            let space = Space { free: free / 2, free_for_root: free, total, inodes };
            assert_eq!(judge(&space).0, status, "{space:?}");
        }
    }
}
