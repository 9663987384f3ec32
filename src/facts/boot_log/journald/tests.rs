//! Files that journald's own program wrote, beside what journalctl shows of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
const MACHINE: &str = "var/log/journal/8f6b7d2b0d8c4f0c9f6ad5c3a4a3b2c1";
const UNIT: &str = "nova-agent.service";

/// Three boots of a server in journald's export format: of the last two, the agent has 700 lines among others' each.
fn export() -> String {
    let mut text = String::new();
    let mut entry = |boot: u32, number: u32, unit: &str, message: &str| {
        let pid = if unit.starts_with("UNIT=") { 1 } else { 812 };
        let time = 1_764_000_000_000_000_u64 + u64::from(boot) * 86_400_000_000 + u64::from(number) * 1000;
        text += &format!(
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={boot:032x}\n\
             MESSAGE={message}\nPRIORITY=6\n_PID={pid}\n{unit}\n\n"
        );
    };
    for boot in 1..=3 {
        for number in 0..700 {
            entry(boot, 3 * number, &format!("_SYSTEMD_UNIT=other{}.service", number % 50), "x");
            let long = "Error: ".repeat(if number % 10 == 0 { 200 } else { 1 });
            entry(
                boot,
                3 * number + 1,
                "_SYSTEMD_UNIT=nova-agent.service",
                &format!("{long}{number} of {boot}"),
            );
        }
        entry(
            boot,
            9000,
            "UNIT=nova-agent.service",
            "nova-agent.service: start operation timed out. Terminating.",
        );
        entry(boot, 9001, "UNIT=cron.service", "Started cron.service.");
    }
    text
}

/// Writes a file of journald with its own program; whether that is there.
fn write(root: &Path, name: &str, export: &str, environment: &[(&str, &str)]) -> bool {
    let dir = root.join(MACHINE);
    fs::create_dir_all(&dir).unwrap();
    fs::write(root.join("export"), export).unwrap();
    let mut command = Command::new(REMOTE);
    command.arg("--split-mode=none").arg("-o").arg(dir.join(name)).arg(root.join("export"));
    match command.envs(environment.iter().copied()).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(_) => println!("skipped: systemd-journal-remote is not installed"),
    }
    dir.join(name).exists()
}

fn journalctl(root: &Path) -> Vec<String> {
    let mut command = Command::new("journalctl");
    command.arg("--directory").arg(root.join(MACHINE)).args(["-b", "-q", "-o", "cat", "-a"]);
    let output =
        command.args(["UNIT=nova-agent.service", "+", "_SYSTEMD_UNIT=nova-agent.service"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| line.chars().take(150).collect());
    lines.collect()
}

fn read(root: &Path) -> Vec<String> {
    let said = of(&Root::open(root).unwrap(), UNIT).unwrap().unwrap().said;
    let message = |said: &Said| said.text[20..].trim_start_matches("systemd: ").chars().take(150).collect();
    said.iter().map(message).collect()
}

#[test]
fn the_lines_of_the_last_boot_are_those_that_journalctl_shows() {
    for environment in [
        &[("SYSTEMD_JOURNAL_COMPACT", "1")][..],
        &[("SYSTEMD_JOURNAL_COMPACT", "0"), ("SYSTEMD_JOURNAL_COMPRESS", "LZ4")],
        &[("SYSTEMD_JOURNAL_COMPRESS", "XZ"), ("SYSTEMD_JOURNAL_KEYED_HASH", "0")],
        &[("SYSTEMD_JOURNAL_COMPRESS", "ZSTD"), ("SYSTEMD_JOURNAL_COMPACT", "0")],
    ] {
        let dir = tempfile::tempdir().unwrap();
        if !write(dir.path(), "system.journal", &export(), environment) {
            return;
        }
        let wanted = journalctl(dir.path());
        assert_eq!(wanted.len(), 701, "{environment:?}");
        assert!(read(dir.path()) == wanted[wanted.len() - LINES_MAX..], "{environment:?}");
        let said = of(&Root::open(dir.path()).unwrap(), UNIT).unwrap().unwrap().said;
        let last = said.last().unwrap();
        assert_eq!(
            last.text,
            "2025-11-27 16:00:09 systemd: nova-agent.service: start operation timed out. Terminating."
        );
        assert_eq!(
            (last.source.as_str(), last.time),
            (&*format!("{MACHINE}/system.journal"), Some(1_764_259_209))
        );
    }
}

#[test]
fn a_boot_that_went_on_in_another_file_is_put_together_and_an_older_boot_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let all = export();
    let entries: Vec<&str> = all.split_inclusive("\n\n").collect();
    let (first, second) = entries.split_at(entries.len() - 100);
    if !write(dir.path(), "system@1.journal", &first.concat(), &[]) {
        return;
    }
    write(dir.path(), "system.journal", &second.concat(), &[]);
    let wanted = journalctl(dir.path());
    assert!(read(dir.path()) == wanted[wanted.len() - LINES_MAX..], "journalctl shows other lines");
    // the agent was not started at the last boot
    let quiet =
        all.split_inclusive("\n\n").last().unwrap().replace(&format!("{:032x}", 3), &format!("{:032x}", 4));
    let quiet = quiet.replace("17642", "17643");
    write(dir.path(), "system@2.journal", &quiet, &[]);
    assert_eq!(read(dir.path()), Vec::<String>::new());
}

#[test]
fn a_system_without_a_journal_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert!(of(&root, UNIT).unwrap().is_none());
    fs::create_dir_all(dir.path().join(MACHINE)).unwrap();
    fs::write(dir.path().join(MACHINE).join("system.journal"), "LPKSHHRH").unwrap();
    assert!(of(&root, UNIT).unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_file_with_wrong_bytes_is_read_or_refused(places in prop::collection::vec((0_usize..40_000, any::<u8>()), 1..40)) {
        static FILE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let bytes = FILE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let is_there = write(dir.path(), "system.journal", &export(), &[]);
            let read = || fs::read(dir.path().join(MACHINE).join("system.journal")).unwrap();
            if is_there { read() } else { b"LPKSHHRH".repeat(6000) }
        });
        let mut bytes = bytes.clone();
        places.iter().for_each(|(place, byte)| bytes[*place] = *byte);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(MACHINE)).unwrap();
        fs::write(dir.path().join(MACHINE).join("system.journal"), bytes).unwrap();
        let _ = of(&Root::open(dir.path()).unwrap(), UNIT);
    }
}
