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

/// A check without a row: what it judges is in no file of a tree. Each proof is a file and what stands in it, the name
/// of a test or the words of a case.
struct Elsewhere {
    id: &'static str,
    why: &'static str,
    /// Two spellings of its fault.
    broken: [&'static str; 2],
    healthy: &'static str,
    /// What it says when it cannot look; after a dash, why that cannot be.
    unreadable: &'static str,
}

const ELSEWHERE: [Elsewhere; 19] = [
    Elsewhere {
        id: "xen-guest",
        why: "live: what the kernel says",
        broken: [
            "src/check/xen.rs this is a guest of KVM, not a Xen guest",
            "src/check/xen.rs this is dom0, the Xen host itself, not a Xen guest",
        ],
        healthy: "tests/xen_checks.rs a_store_that_answers_makes_another_platform_a_note",
        unreadable: "- /proc and /sys are the kernel's own",
    },
    Elsewhere {
        id: "xenbus-device",
        why: "live: a device of the kernel",
        broken: [
            "src/check/xen.rs no way to XenStore: xenfs is not mounted on /proc/xen",
            "src/check/xen.rs no way to XenStore: the kernel has no xenbus driver loaded",
        ],
        healthy: "tests/xen_checks.rs a_healthy_store_is_silent",
        unreadable: "tests/xen_checks.rs a_store_that_hangs_fails_and_blocks_what_needs_it",
    },
    Elsewhere {
        id: "xenstore-reachable",
        why: "a dump always answers",
        broken: [
            "src/check/xen.rs XenStore needs 2.6 s for one read",
            "tests/xen_checks.rs fail - XenStore does not answer",
        ],
        healthy: "tests/xen_checks.rs a_healthy_store_is_silent",
        unreadable: "tests/faults/unreadable.rs xenstore.json",
    },
    Elsewhere {
        id: "requests-answered",
        why: "live: what stays in the store",
        broken: [
            "tests/live_checks.rs a malformed request is stuck",
            "tests/live_checks.rs a version request waits, and no agent runs",
        ],
        healthy: "src/check/xen/requests.rs a_request_that_stays_is_a_fault_without_an_agent_and_a_note_with_one",
        unreadable: "src/check/xen/requests.rs any_request_and_any_log_are_read_without_panic",
    },
    Elsewhere {
        id: "answers-collected",
        why: "live: what stays in the store",
        broken: [
            "tests/xen_checks.rs warn - 201 old answers lie in data/guest",
            "tests/xen_checks.rs warn - more old answers lie in data/guest than a listing holds",
        ],
        healthy: "src/check/xen/requests.rs two_hundred_answers_are_no_fault_and_one_more_is",
        unreadable: "tests/xen_checks.rs a_store_that_hangs_fails_and_blocks_what_needs_it",
    },
    Elsewhere {
        id: "xentools-running",
        why: "live: a process",
        broken: [
            "tests/live_checks.rs the tools stopped",
            "tests/live_checks.rs the tools active, without a process",
        ],
        healthy: "src/facts/tools.rs the_process_is_found_by_name_or_as_a_script_of_the_shell",
        unreadable: "src/check/xentools/tests.rs where_processes_are_hidden_nobody_says_that_the_tools_do_not_run",
    },
    Elsewhere {
        id: "xentools-reporting",
        why: "live: the store, and the time",
        broken: [
            "src/check/xentools/reporting.rs the tools told the host nothing",
            "src/check/xentools/reporting.rs the last report of the tools is 2 h old",
        ],
        healthy: "src/check/xentools/reporting.rs (report(Some(\"7\"), fresh), true, Status::Ok",
        unreadable: "src/check/xentools/reporting.rs (report(Some(\"7\"), Some(\"1\")), true, Status::Ok",
    },
    Elsewhere {
        id: "agent-running",
        why: "live: a process",
        broken: [
            "tests/live_checks.rs name: \"killed\"",
            "tests/live_checks.rs name: \"restarted for ever\"",
        ],
        healthy: "src/check/agent/process.rs what_is_not_started_at_boot_is_left_to_that_finding",
        unreadable: "src/check/agent/process.rs (None, \"python3-nova-agent does not run\")",
    },
    Elsewhere {
        id: "agent-answers",
        why: "live: a process and the store",
        broken: [
            "tests/live_checks.rs name: \"a process that hangs\"",
            "src/check/agent/answers.rs the agent took a request and did not answer it",
        ],
        healthy: "src/check/agent/answers.rs an_answer_is_reported_with_its_version_and_nothing_stays_behind",
        unreadable: "src/check/agent/answers.rs a_lost_connection_is_an_error_and_nothing_stays_behind",
    },
    Elsewhere {
        id: "agent-fresh-process",
        why: "live: a process",
        broken: [
            "tests/live_checks.rs a new package under a running agent",
            "src/check/agent/process.rs /usr/sbin/novactl (deleted)",
        ],
        healthy: "src/check/agent/process.rs (1000, \"/usr/bin/python3.11\", Some(1003), Status::Ok)",
        unreadable: "src/check/agent/process.rs (1000, \"/usr/bin/python3.11\", None, Status::Ok)",
    },
    Elsewhere {
        id: "nics-match-host-data",
        why: "live: the links that exist",
        broken: [
            "src/check/interfaces/tests.rs the host assigns nothing to eth1",
            "src/check/interfaces/tests.rs the host assigns a NIC BC764E206C5B (private) that is not there",
        ],
        healthy: "src/check/interfaces/tests.rs 2 of the host's records, each with its NIC",
        unreadable: "src/check/interfaces/tests.rs reading vm-data/networking: denied",
    },
    Elsewhere {
        id: "mac-unique",
        why: "live: the links that exist",
        broken: [
            "src/check/interfaces/tests.rs br0 (bridge), vlan5 (vlan) has the MAC of eth0",
            "src/check/interfaces/tests.rs eth0 is a port of br7",
        ],
        healthy: "src/check/interfaces/tests.rs no other link carries a NIC's MAC, and no NIC is a port",
        unreadable: "tests/interfaces.rs a_root_without_any_word_of_an_interface_cannot_be_judged",
    },
    Elsewhere {
        id: "config-drive",
        why: "live: a block device",
        broken: ["tests/config_drive.rs d-huge", "tests/config_drive.rs g-directory"],
        healthy: "tests/config_drive.rs c-vfat",
        unreadable: "tests/config_drive.rs f-fifo",
    },
    Elsewhere {
        id: "disk-space",
        why: "the file system, not a file",
        broken: [
            "src/check/image/disk_space.rs (0, 20 * GIB, None, Status::Fail)",
            "src/check/image/disk_space.rs (GIB, 20 * GIB, Some(100), Status::Warn)",
        ],
        healthy: "src/check/image/disk_space.rs (10 << 20, 100 << 20, Some(100_000), Status::Ok)",
        unreadable: "src/check/image/disk_space.rs a_place_that_cannot_be_looked_at_is_named",
    },
    Elsewhere {
        id: "root-writable",
        why: "live: mounts",
        broken: [
            "src/check/image/root_writable.rs /dev/xvda1 / ext4 ro,relatime 0 0",
            "src/check/image/root_writable.rs /dev/xvdb1 /var ext4 ro 0 0",
        ],
        healthy: "src/check/image/root_writable.rs /dev/xvdb1 /usr ext4 ro 0 0",
        unreadable: "src/check/image/root_writable.rs without_a_list_of_mounts_nothing_is_judged",
    },
    Elsewhere {
        id: "file-system-clean",
        why: "the file system, not a file",
        broken: [
            "tests/disk_changes.rs what_needs_a_check_is_named_and_holds_every_fix_back",
            "src/check/image/file_system.rs errors_that_the_kernel_counted_fail",
        ],
        healthy: "tests/disk_changes.rs every_file_system_and_a_logical_volume_is_mended_and_taken_back",
        unreadable: "src/check/image/file_system.rs an_unknown_file_system_is_not_judged",
    },
    Elsewhere {
        id: "image-format",
        why: "the image around the tree",
        broken: [
            "src/check/image/image_format.rs judged(\"qem2\", true, 10)",
            "src/check/image/image_format.rs judged(\"tap\", false, 10)",
        ],
        healthy: "src/check/image/image_format.rs judged(\"tap\", true, 40), [(Status::Ok, None)]",
        unreadable: "- a disk that cannot be read ends the program, before any check",
    },
    Elsewhere {
        id: "clock",
        why: "live: the time",
        broken: [
            "src/check/registration/tests.rs the clock is 25 hours behind the newest file here",
            "src/check/registration/tests.rs the clock and the hardware clock are 50 minutes apart",
        ],
        healthy: "src/check/registration/tests.rs nothing here contradicts the clock",
        unreadable: "src/check/registration/tests.rs there is no hardware clock to compare with",
    },
    Elsewhere {
        id: "image-metadata",
        why: "properties beside the image",
        broken: [
            "src/check/image/metadata.rs each_property_that_contradicts_is_named",
            "tests/fix_image.rs properties_are_judged_from_a_file_and_from_the_standard_input",
        ],
        healthy: "src/check/image/metadata.rs properties_are_read_in_each_form",
        unreadable: "src/check/image/metadata.rs Image::parse(\"[1]\").is_err()",
    },
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
        let elsewhere = ELSEWHERE.iter().any(|elsewhere| elsewhere.id == check.id);
        let spellings = rows.iter().filter(|row| row.id() == Some(check.id)).count();
        let is_of = |tempted: &String| tempted.strip_suffix("=ok").unwrap_or(tempted) == check.id;
        if spellings == 1 {
            gaps.push(format!("{} has one row alone: spell its fault in another way", check.id));
        }
        if spellings > 0 && !rows.iter().any(|row| row.tempts.iter().any(is_of)) {
            gaps.push(format!("no look-alike tempts {}", check.id));
        }
        match (with_rows.contains(check.id), elsewhere) {
            (false, false) => gaps.push(format!(
                "{} has no fault in tests/faults/*.faults: add a row, or a line in ELSEWHERE (tests/faults/coverage.rs)",
                check.id
            )),
            (true, true) => gaps.push(format!("{} has rows: take it out of ELSEWHERE", check.id)),
            _ => {}
        }
    }
    gaps.extend(ELSEWHERE.iter().flat_map(unproven));
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

/// Returns the proofs that are not where they are said to be.
fn unproven(check: &Elsewhere) -> Vec<String> {
    let proofs = check.broken.into_iter().chain([check.healthy, check.unreadable]);
    let proofs = proofs.filter(|proof| !proof.starts_with("- "));
    let is_missing = |proof: &&str| {
        let (file, words) = proof.split_once(' ').unwrap_or((proof, ""));
        !std::fs::read_to_string(super::path(file)).is_ok_and(|text| text.contains(words))
    };
    let told = |proof| format!("{}: nothing proves it any more in {proof}", check.id);
    proofs.filter(is_missing).map(told).collect()
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
    let line = |check: &Elsewhere| format!("{:<26} {}\n", check.id, check.why);
    ELSEWHERE.iter().map(line).collect()
}
