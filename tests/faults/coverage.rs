//! What the table leaves out: checks, and distributions of a check, each with the reason.
//!
//! A check that is judged on a mounted root has a row on every distribution where it is judged. One that cannot have
//! says here why, and where it is proven.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use novactl::check::{self, Finding, Occasion, Status};

use super::laboratory::Bench;
use super::manifest::Manifests;
use super::table::{GUESTS, Row};

/// Checks without a row: what they judge is in no file of a tree. Where they are proven.
const ELSEWHERE: [(&str, &str); 19] = [
    ("xen-guest", "live: what the kernel says; tests/xen_guest.rs"),
    ("xenbus-device", "live: a device of the kernel; tests/xen_guest.rs"),
    ("xenstore-reachable", "a dump always answers; tests/xen_checks.rs"),
    ("requests-answered", "live: what stays in the store; tests/xen_checks.rs"),
    ("answers-collected", "live: what stays in the store; tests/xen_checks.rs"),
    ("xentools-running", "live: a process; src/check/xentools/tests.rs"),
    ("xentools-reporting", "live: the store, and the time; src/check/xentools/reporting.rs"),
    ("agent-running", "live: a process; src/check/agent/process.rs"),
    ("agent-answers", "live: a process and the store; src/check/agent/answers.rs"),
    ("agent-fresh-process", "live: a process; src/check/agent/process.rs"),
    ("nics-match-host-data", "live: the links that exist; tests/interfaces.rs"),
    ("mac-unique", "live: the links that exist; tests/interfaces.rs"),
    ("config-drive", "live: a block device; tests/config_drive.rs"),
    ("disk-space", "the file system, not a file; src/check/image/disk_space.rs"),
    ("root-writable", "live: mounts; src/check/image/root_writable.rs"),
    ("file-system-clean", "the file system, not a file; tests/disk_changes.rs"),
    ("image-format", "the image around the tree; tests/disk_changes.rs"),
    ("clock", "live: the time; src/check/registration/clock.rs"),
    ("image-metadata", "properties beside the image; tests/fix_image.rs"),
];

/// Distributions on which a check says that all is well and no fault of its kind can be there.
const NOT_ON: [(&str, &str, &str); 14] = [
    (
        "agent-unit-native",
        "almalinux-9 debian-12 debian-8 opensuse-leap-15 ubuntu-22.04",
        "the systemd of EL 7.2 alone",
    ),
    ("agent-single", "freebsd-13", "one script alone is known there"),
    ("agent-supports-distro", "freebsd-13", "every 1.x knows it"),
    ("agent-repository", "alpine-3.19 freebsd-13", "there never was one"),
    (
        "config-lost",
        "almalinux-9 freebsd-13 opensuse-leap-15",
        "the agent moves nothing of others away there",
    ),
    ("config-for-missing-nic", "opensuse-leap-15", "wicked's files are not read for it"),
    (
        "gateway-on-link",
        "almalinux-9 alpine-3.19 debian-12 debian-8 ubuntu-14.04",
        "ifupdown and NetworkManager see to it",
    ),
    (
        "network-owner-single",
        "alpine-3.19 centos-6 freebsd-13 opensuse-leap-15",
        "nothing else could own a NIC",
    ),
    ("nm-controls-nic", "centos-6", "NetworkManager is not there"),
    ("eni-route-command", "alpine-3.19", "busybox has the program"),
    (
        "nic-names-stable",
        "alpine-3.19 centos-6 centos-7 debian-8 freebsd-13 opensuse-leap-15 ubuntu-14.04 ubuntu-22.04",
        "no udev of systemd 250 or later",
    ),
    ("persistent-net-rules", "freebsd-13", "no udev"),
    (
        "hostname-consistent",
        "alpine-3.19 centos-6 debian-12 debian-8 ubuntu-14.04 ubuntu-22.04",
        "one file alone counts",
    ),
    ("accept-ra", "almalinux-9 alpine-3.19 freebsd-13 opensuse-leap-15", "not read in that format"),
];

/// Returns what the table lacks, in words that say what to do.
pub(crate) fn gaps(rows: &[Row], manifests: &Manifests) -> Result<Vec<String>> {
    let with_rows: BTreeSet<&str> = rows.iter().filter_map(Row::id).collect();
    let mut gaps = Vec::new();
    for id in with_rows.iter().filter(|id| check::every().all(|check| check.id != **id)) {
        gaps.push(format!("there is no check {id}, which rows of tests/faults name"));
    }
    for check in check::every() {
        let elsewhere = ELSEWHERE.iter().any(|(id, _)| *id == check.id);
        match (with_rows.contains(check.id), elsewhere) {
            (false, false) => gaps.push(format!(
                "{} has no fault in tests/faults/*.faults: add a row, or a line in ELSEWHERE (tests/faults/coverage.rs)",
                check.id
            )),
            (true, true) => gaps.push(format!("{} has rows: take it out of ELSEWHERE", check.id)),
            _ => {}
        }
    }
    let covered = covered(rows);
    for (guest, judged) in judged(manifests)? {
        for id in judged.iter().filter(|id| with_rows.contains(*id) && !covered.contains(&(*id, guest))) {
            let is_known = NOT_ON.iter().any(|(known, guests, _)| {
                known == id && guests.split_whitespace().any(|known| known == guest)
            });
            if !is_known {
                gaps.push(format!("{id} is judged on {guest} and no row applies there"));
            }
        }
    }
    Ok(gaps)
}

/// Returns each check with each guest that one of its rows applies to.
fn covered(rows: &[Row]) -> BTreeSet<(&str, &'static str)> {
    let pairs = rows.iter().flat_map(|row| row.guests().into_iter().map(move |guest| (row.id(), guest)));
    pairs.filter_map(|(id, guest)| Some((id?, guest))).collect()
}

/// Returns the checks that come to a result on each guest, given the host's data.
fn judged(manifests: &Manifests) -> Result<BTreeMap<&'static str, BTreeSet<&'static str>>> {
    let mut all = BTreeMap::new();
    for (guest, _) in GUESTS {
        let mut it = manifests.guest(guest)?;
        it.store = manifests.guest("parts/host-data")?.store;
        let found = Bench::of(&it)?.findings(Occasion::Image)?;
        let is_judged = |f: &&Finding| !matches!(f.status, Status::Skipped | Status::Blocked);
        all.insert(guest, found.iter().filter(is_judged).map(|f| f.id).collect());
    }
    Ok(all)
}

/// Returns the checks that the table leaves out, with the reasons.
pub(crate) fn left_out() -> String {
    ELSEWHERE.iter().map(|(id, reason)| format!("{id:<26} {reason}\n")).collect()
}
