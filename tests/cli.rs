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
fn what_is_no_root_is_said_with_exit_code_3_and_nothing_on_the_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    for root in ["missing", "file", "dangling", "loop", "file/below"] {
        let output = doctor(dir.path(), root);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{root}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains("hint: "), "{root}: {stderr}");
    }
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
