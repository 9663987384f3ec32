//! How a root is named on the command line, and what is said of one that cannot be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, makes trees, runs the program and says what was skipped"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `doctor --root ROOT` from a directory.
fn doctor(from: &Path, root: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.current_dir(from).args(["doctor", "--format", "json", "--root", root]);
    command.env_remove("XENSTORED_PATH").output().unwrap()
}

/// Returns the report without the path as it was written and the times.
fn report(output: &Output) -> Value {
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["target"]["path"] = Value::Null;
    for finding in report["findings"].as_array_mut().unwrap() {
        finding["elapsed_us"] = Value::Null;
    }
    // the steps of a route and the commands of a remedy name the root
    report["route"] = Value::Null;
    for finding in report["findings"].as_array_mut().unwrap() {
        finding["remedy"] = Value::Null;
    }
    report
}

/// A tree that can be told from others by its distribution and its host name.
fn tree(at: &Path) {
    fs::create_dir_all(at.join("etc")).unwrap();
    fs::write(at.join("etc/os-release"), "ID=debian\nVERSION_ID=\"12\"\n").unwrap();
    fs::write(at.join("etc/hostname"), "web01\n").unwrap();
}

#[test]
fn a_root_is_the_same_however_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    tree(&dir.path().join("mnt/rescue"));
    symlink("mnt/rescue", dir.path().join("link")).unwrap();
    let absolute = dir.path().join("mnt/rescue");
    let want = report(&doctor(Path::new("/"), absolute.to_str().unwrap()));
    assert_eq!(want["target"]["mode"], "root");
    for name in ["mnt/rescue", "./mnt/rescue/", "mnt/../mnt//rescue/.", "link", "link/"] {
        assert_eq!(report(&doctor(dir.path(), name)), want, "{name}");
    }
    assert_eq!(report(&doctor(&absolute, ".")), want);
}

#[test]
fn a_monitoring_system_reads_why_nothing_could_be_judged() {
    let output = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(["doctor", "--format", "nagios", "--root", "/no/such/root"])
        .output()
        .unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("NOVACTL UNKNOWN - ") && line.contains("/no/such/root"), "{line}");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_name_with_blanks_and_escape_sequences_is_a_root_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let name = "a root\u{1b}[31m \"of\" $HOME\nbelow";
    tree(&dir.path().join(name));
    let output = doctor(dir.path(), name);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["target"]["path"], dir.path().join(name).to_str().unwrap());
    let table = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .current_dir(dir.path())
        .args(["doctor", "--root", name])
        .output()
        .unwrap();
    assert!(!table.stdout.contains(&0x1b) && !table.stderr.contains(&0x1b));
}

#[test]
fn what_is_no_root_is_said_with_exit_code_3_and_a_document() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    for root in ["missing", "file", "dangling", "loop", "file/below", "."] {
        let output = doctor(dir.path(), root);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{root}: {stderr}");
        let failure = failure(&output);
        assert_eq!(
            stderr,
            format!(
                "error: {}\nhint: {}\n",
                failure["error"].as_str().unwrap(),
                failure["hint"].as_str().unwrap()
            )
        );
        assert!(stderr.starts_with("error: ") && stderr.contains("hint: "), "{root}: {stderr}");
    }
}

#[test]
fn a_dump_is_not_taken_for_the_host_s_store() {
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("dump.json");
    fs::write(&dump, r#"{"data": {"host": {"1b2c": "{}"}}}"#).unwrap();
    let output = novactl(&["agent", "refuse", "1b2c", "--yes", "--xenstore", dump.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is a dump"), "{output:?}");
    let output = novactl(&["agent", "tidy", "--yes", "--xenstore", dump.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

fn novactl(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.args(args).stdin(std::process::Stdio::null()).env_remove("XENSTORED_PATH").output().unwrap()
}

/// Returns the document of a command that has no result, held against its schema.
fn failure(output: &Output) -> Value {
    let mut schemas = boon::Schemas::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/error.json");
    let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
    let failure: Value = serde_json::from_slice(&output.stdout).unwrap();
    if let Err(e) = schemas.validate(&failure, schema) {
        panic!("{e:#}");
    }
    assert_eq!(failure["exit"], output.status.code().unwrap());
    failure
}

#[test]
fn whatever_has_no_result_says_so_in_the_form_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    std::fs::write(dir.path().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    let root = dir.path().to_str().unwrap();
    for (args, exit) in [
        (&["doctor", "--root", "/no/such/root"][..], 3),
        (&["doctor", "--no-such-option"], 2),
        (&["doctor", "--only", "agent-enabeld"], 2),
        (&["reset-network", "--root", root], 3),
        (&["set-password", "--root", root], 6),
        (&["undo", "--root", root, "--yes"], 3),
        (&["explain", "no-such-check"], 2),
        (&["agent", "exec", "resetnetwork", "--root", root], 6),
    ] {
        let output = novactl(&[args, &["--format", "json"]].concat());
        assert_eq!(failure(&output)["exit"], exit, "{args:?}");
        assert!(output.stderr.starts_with(b"error: "), "{args:?}");
        let output = novactl(&[args, &["--format=nagios"]].concat());
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.starts_with("NOVACTL UNKNOWN - ") && line.lines().count() == 1, "{args:?}: {line}");
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        let output = novactl(args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(exit), 0), "{args:?}");
    }
    let help = novactl(&["doctor", "--help", "--format", "json"]);
    assert!(help.status.success() && help.stdout.starts_with(b"Find what is wrong"));
}

#[test]
fn a_store_that_was_mistyped_is_no_fault_of_the_guest() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let root = dir.path().to_str().unwrap();
    let hostname = format!("{root}/etc/hostname");
    for store in ["/no/such/dump.json", root, &hostname] {
        for command in ["doctor", "check-xentools", "scan-ifaces", "reset-network", "fix-image"] {
            let output = novactl(&[command, "--root", root, "--xenstore", store]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{command}: {stderr}");
            let (error, hint) = stderr.split_once("hint: ").unwrap();
            assert!(error.contains(store) && hint.starts_with("--xenstore"), "{command}: {stderr}");
        }
        // it has no use of one
        let output = novactl(&["undo", "--list", "--root", root, "--xenstore", store]);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn what_is_looked_at_or_not_agreed_to_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    with_accounts(dir.path());
    let root = dir.path().to_str().unwrap();
    for (args, exit) in [
        (&["set-password", "--generate"][..], 6),
        (&["set-password", "nobody-of-that-name", "--generate", "--yes"], 3),
        (&["doctor", "--fix", "--only", "hostname-resolves"], 6),
        (&["doctor", "--fix", "--only", "hostname-file", "--yes"], 0),
        (&["agent", "install"], 3),
        (&["fix-image"], 6),
        (&["undo", "--yes"], 3),
    ] {
        let output = novactl(&[args, &["--root", root]].concat());
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {output:?}");
        assert!(!dir.path().join("var").exists(), "{args:?}");
    }
}

#[test]
fn a_quiet_change_says_what_was_asked_for_and_what_goes_wrong() {
    let dir = tempfile::tempdir().unwrap();
    with_accounts(dir.path());
    let root = dir.path().to_str().unwrap();
    let said = |args: &[&str]| {
        let output = novactl(&[args, &["--quiet", "--root", root]].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let nothing = (0, String::new(), String::new());
    assert_eq!(said(&["doctor", "--fix", "--only", "hostname-resolves", "--yes"]), nothing);
    assert_eq!(said(&["undo", "--yes"]), nothing);
    let (exit, stdout, stderr) = said(&["set-password", "--generate", "--yes"]);
    assert_eq!((exit, stdout.lines().count(), stderr.as_str()), (0, 1, ""), "{stdout}");
    assert!(stdout.starts_with("password: "), "{stdout}");
    assert_eq!(said(&["set-password", "--generate", "--dry-run"]).1, "");
    let (exit, stdout, stderr) = said(&["set-password", "jo", "--generate", "--yes"]);
    assert_eq!((exit, stdout.as_str()), (3, ""));
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(said(&["undo", "--list"]).1.contains("set-password"));
}

fn with_accounts(at: &Path) {
    tree(at);
    fs::write(at.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(at.join("etc/shadow"), "root:*:19000:0:99999:7:::\n").unwrap();
    fs::set_permissions(at.join("etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir_all(at.join("bin")).unwrap();
    fs::write(at.join("bin/sh"), "").unwrap();
    fs::set_permissions(at.join("bin/sh"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_root_that_may_not_be_entered_is_not_judged() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: becoming another user needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (root, program) = (dir.path().join("root"), dir.path().join("novactl"));
    tree(&root);
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_novactl"), &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(["doctor", "--format", "json", "--root"])
        .arg(root)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}{}", String::from_utf8_lossy(&output.stdout));
}
