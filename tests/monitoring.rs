//! What a monitoring system relies on: exit codes, a run without a trace, and the examples in `packaging/monitoring`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, runs what it tests and says what was skipped"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use made::guest;

#[path = "guests/made.rs"]
mod made;

const NOVACTL: &str = env!("CARGO_BIN_EXE_novactl");

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn a_quiet_run_says_the_verdict_and_ends_with_its_code() {
    let (healthy, broken) = (guest("debian-12"), guest("centos-7-rm14157"));
    let degraded = guest("centos-7-keys-twice");
    for (root, args, code, word) in [
        (&healthy, &[][..], 0, "HEALTHY"),
        (&healthy, &["--strict"], 0, "HEALTHY"),
        (&degraded, &[], 0, "DEGRADED"),
        (&degraded, &["--strict"], 1, "DEGRADED"),
        (&broken, &[], 1, "BROKEN"),
        (&broken, &["--only", "agent-running"], 3, "UNKNOWN"),
    ] {
        let mut command = Command::new(NOVACTL);
        let output =
            command.args(["doctor", "--quiet", "--root"]).arg(root.path()).args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), text.starts_with(word)), (Some(code), true), "{args:?}: {text}");
        assert!(text.lines().count() <= 3 && output.stderr.is_empty(), "{text}");
    }
}

#[test]
fn a_run_leaves_no_trace_on_the_guest() {
    if !has("strace") {
        return println!("skipped: no strace");
    }
    let dir = tempfile::tempdir().unwrap();
    for command in ["doctor", "check-xentools"] {
        let log = dir.path().join(command);
        let mut strace = Command::new("strace");
        // it ends when the last child has ended: no process is left
        strace.args(["-f", "-qq", "-e", "trace=%file,%desc,%network", "-e", "signal=none", "-o"]).arg(&log);
        strace.args([NOVACTL, command, "--quiet"]);
        if command == "doctor" {
            strace.arg("--no-probe");
        }
        let output = strace.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let calls = fs::read_to_string(&log).unwrap();
        if calls.is_empty() {
            return println!(
                "skipped: strace may not trace here: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        assert!(calls.contains("openat("), "{calls}");
        let traces: Vec<_> = calls.lines().filter(|call| leaves_a_trace(call)).collect();
        assert_eq!(traces, [""; 0], "{command}");
    }
}

/// Whether a system call, as strace writes it, changes a file or tells a logger.
fn leaves_a_trace(call: &str) -> bool {
    const CHANGES: [&str; 21] = [
        "chmod",
        "chown",
        "creat",
        "fallocate",
        "fchmod",
        "fchown",
        "fremovexattr",
        "fsetxattr",
        "ftruncate",
        "futime",
        "lchown",
        "link",
        "mkdir",
        "mknod",
        "mount",
        "rename",
        "rmdir",
        "symlink",
        "truncate",
        "unlink",
        "utime",
    ];
    // the process that made it stands before it
    let call = call.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    if call.contains(" = -1 E") {
        return false;
    }
    let opens =
        call.starts_with("open") && ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| call.contains(flag));
    // what is written there is gone, and the store is asked by writing to its device
    let is_none = ["\"/dev/null\"", "\"/dev/xen/xenbus\"", "\"/proc/xen/xenbus\""]
        .iter()
        .any(|path| call.contains(path));
    let logs = call.starts_with("connect") && ["/dev/log", "journal/"].iter().any(|path| call.contains(path));
    opens && !is_none || logs || CHANGES.iter().any(|name| call.starts_with(name))
}

#[test]
fn the_trace_of_a_change_is_seen() {
    for (call, is_trace) in [
        (r#"12 openat(AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3"#, true),
        (
            r#"12 openat(AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = -1 EACCES (Permission denied)"#,
            false,
        ),
        (r#"12 openat(AT_FDCWD, "/etc/fstab", O_RDONLY|O_CLOEXEC) = 3"#, false),
        (r#"12 openat(AT_FDCWD, "/dev/null", O_RDWR|O_CLOEXEC) = 3"#, false),
        (r#"12 unlinkat(3, "x", 0) = 0"#, true),
        (r#"12 connect(3, {sa_family=AF_UNIX, sun_path="/dev/log"}, 110) = 0"#, true),
    ] {
        assert_eq!(leaves_a_trace(call), is_trace, "{call}");
    }
}

#[test]
fn the_units_are_accepted_by_systemd() {
    if !has("systemd-analyze") {
        return println!("skipped: no systemd-analyze");
    }
    let units = ["novactl-doctor.service", "novactl-doctor.timer"];
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).args(units.map(|unit| repository("packaging/monitoring").join(unit)));
    let output = verify.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // of other units of the machine it can complain as well
    let ours: Vec<_> = stderr.lines().filter(|line| line.contains("novactl")).collect();
    assert_eq!(ours, [""; 0]);
}

#[test]
fn the_units_command_writes_a_whole_file_and_keeps_the_old_one_when_it_cannot() {
    let unit = fs::read_to_string(repository("packaging/monitoring/novactl-doctor.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/bin/sh -c '")).unwrap();
    let script = line.strip_suffix('\'').unwrap();
    assert!(!script.contains(['$', '%', '\'']), "systemd would expand it: {script}");
    let dir = tempfile::tempdir().unwrap();
    let run = |path: &Path| {
        Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(dir.path())
            .env("PATH", path)
            .status()
            .unwrap();
        fs::read_to_string(dir.path().join("novactl.prom")).unwrap()
    };
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(NOVACTL, bin.path().join("novactl")).unwrap();
    std::os::unix::fs::symlink("/bin/mv", bin.path().join("mv")).unwrap();
    let metrics = run(bin.path());
    assert!(metrics.starts_with("# HELP novactl_verdict "), "{metrics}");
    assert!(metrics.contains("novactl_last_run_timestamp_seconds{"), "{metrics}");
    fs::remove_file(bin.path().join("novactl")).unwrap();
    assert_eq!(run(bin.path()), metrics);
}

#[test]
fn the_commands_of_the_examples_are_ones_of_novactl() {
    let mut commands = Vec::new();
    let nagios = fs::read_to_string(repository("packaging/monitoring/nagios.cfg")).unwrap();
    for line in nagios.lines().filter_map(|line| line.split_once("/usr/local/sbin/novactl ")) {
        commands.push(line.1.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    }
    let icinga = fs::read_to_string(repository("packaging/monitoring/icinga2.conf")).unwrap();
    let quoted = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let command = icinga.lines().find(|line| line.trim_start().starts_with("command = [")).unwrap();
    let mut words = quoted(command).split_off(3);
    for option in icinga.lines().filter(|line| line.trim_start().starts_with("\"--")) {
        let option = quoted(option).remove(0);
        words.push(option.clone());
        match option.as_str() {
            "--strict" => {}
            "--skip" => words.push("agent-answers".to_owned()),
            _ => words.push("agent,xentools".to_owned()),
        }
    }
    commands.push(words);
    assert_eq!(commands.len(), 2);
    for words in commands {
        let output = Command::new(NOVACTL).args(&words).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.starts_with("DOCTOR ") && output.stderr.is_empty(), "{words:?}: {line}");
        assert!(matches!(output.status.code(), Some(0..=3)));
    }
}
