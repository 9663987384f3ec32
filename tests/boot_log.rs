//! A mounted disk whose journal, written by journald's own program, tells how the last boot went.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, runs what it tests and says what was skipped"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "guests/elf.rs"]
mod elf;
#[path = "guests/manifest.rs"]
#[expect(dead_code, reason = "here only the trees count, not what is expected of them")]
mod manifest;

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
const UNIT: &str = "python3-nova-agent.service";
const JOURNAL: &str = "var/log/journal/8f6b7d2b0d8c4f0c9f6ad5c3a4a3b2c1/system.journal";

/// A Debian 12 whose agent died at the last boot, of a module that is missing.
fn guest() -> Option<tempfile::TempDir> {
    if !Path::new(REMOTE).exists() {
        println!("skipped: no systemd-journal-remote");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    manifest::Manifests::read(&guests).unwrap().guest("debian-12").unwrap().unpack(dir.path()).unwrap();
    let start = "2033-05-18 03:33:20,100 [INFO] Agent is starting up\n2033-05-18 03:33:21,100 [INFO] Event: 1b2c -> version\n";
    fs::write(dir.path().join("var/log/nova-agent.log"), start).unwrap();
    let mut export = String::new();
    for (number, field, message) in [
        (0, "_SYSTEMD_UNIT=cron.service", "Error of another service"),
        (1, "UNIT=python3-nova-agent.service", "Starting Nova Agent for xenstore..."),
        (2, "_SYSTEMD_UNIT=python3-nova-agent.service", "Traceback (most recent call last):"),
        (
            3,
            "_SYSTEMD_UNIT=python3-nova-agent.service",
            "ModuleNotFoundError: No module named 'cryptography'",
        ),
        (
            4,
            "UNIT=python3-nova-agent.service",
            "python3-nova-agent.service: start operation timed out. Terminating.",
        ),
    ] {
        // after every file of the tree
        let time = 2_000_000_000_000_000_u64 + number * 1_000_000;
        export += &format!(
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={number}\n\
             _BOOT_ID=0123456789abcdef0123456789abcdef\nMESSAGE={message}\n_PID=1\n{field}\n\n"
        );
    }
    fs::write(dir.path().join("export"), export).unwrap();
    record(dir.path());
    Some(dir)
}

/// Has journald's program write what was exported.
fn record(root: &Path) {
    let journal = root.join(JOURNAL);
    fs::create_dir_all(journal.parent().unwrap()).unwrap();
    let mut remote = Command::new(REMOTE);
    remote.arg("--split-mode=none").arg("-o").arg(&journal).arg(root.join("export"));
    assert!(remote.output().unwrap().status.success());
}

/// Returns status and the evidence of a check's findings.
fn doctor(root: &Path, check: &str) -> Vec<(String, Vec<String>)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.args(["doctor", "--format", "json", "--only", check, "--root"]).arg(root);
    let document: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let findings = document["findings"].as_array().unwrap().iter();
    let evidence = |finding: &Value| {
        let line = |seen: &Value| {
            format!("{}: {}", seen["source"].as_str().unwrap(), seen["text"].as_str().unwrap())
        };
        finding["evidence"].as_array().unwrap().iter().map(line).collect()
    };
    findings.map(|finding| (finding["status"].as_str().unwrap().to_owned(), evidence(finding))).collect()
}

#[test]
fn the_journal_of_a_disk_tells_why_the_agent_died() {
    let Some(guest) = guest() else { return };
    let found = doctor(guest.path(), "agent-log");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].1,
        [
            "var/log/nova-agent.log:2: 2033-05-18 03:33:21 Event: 1b2c -> version".to_owned(),
            format!("{JOURNAL}: 2033-05-18 03:33:23 ModuleNotFoundError: No module named 'cryptography'"),
            format!(
                "{JOURNAL}: 2033-05-18 03:33:24 systemd: {UNIT}: start operation timed out. Terminating."
            ),
        ]
    );
}

#[test]
fn a_start_that_timed_out_is_seen_on_a_disk_until_the_unit_is_changed() {
    let Some(guest) = guest() else { return };
    let line =
        format!("{JOURNAL}: 2033-05-18 03:33:24 systemd: {UNIT}: start operation timed out. Terminating.");
    assert_eq!(doctor(guest.path(), "agent-boot-timing"), [("fail".to_owned(), vec![line])]);
    let drop_in = guest.path().join("etc/systemd/system").join(format!("{UNIT}.d"));
    fs::create_dir_all(&drop_in).unwrap();
    fs::write(drop_in.join("10.conf"), "[Service]\nTimeoutStartSec=30\n").unwrap();
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_100);
    fs::File::options().write(true).open(drop_in.join("10.conf")).unwrap().set_modified(later).unwrap();
    assert_eq!(doctor(guest.path(), "agent-boot-timing")[0].0, "ok");
}

#[test]
fn an_agent_that_died_before_its_first_line_is_found_on_a_disk() {
    let Some(guest) = guest() else { return };
    fs::remove_file(guest.path().join("var/log/nova-agent.log")).unwrap();
    let journal = |message: &str| {
        format!(
            "__REALTIME_TIMESTAMP=2000000100000000\n__MONOTONIC_TIMESTAMP=9\n_BOOT_ID={:032x}\nMESSAGE={message}\n_PID=1\nUNIT={UNIT}\n\n",
            7
        )
    };
    let write = |messages: &[&str]| {
        fs::write(guest.path().join("export"), messages.iter().map(|text| journal(text)).collect::<String>())
            .unwrap();
        fs::remove_file(guest.path().join(JOURNAL)).unwrap();
        record(guest.path());
    };
    write(&["Started Nova Agent for xenstore.", &format!("{UNIT}: Failed with result 'exit-code'.")]);
    assert_eq!(doctor(guest.path(), "agent-log")[0].0, "fail");
    write(&["Stopping Nova Agent for xenstore...", &format!("{UNIT}: Failed with result 'exit-code'.")]);
    assert_eq!(doctor(guest.path(), "agent-log")[0].0, "skipped");
}
