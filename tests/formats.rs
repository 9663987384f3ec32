//! The formats for other programs, read by those programs where they are there.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, runs what it tests and says what was skipped"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use made::guest;

#[path = "guests/made.rs"]
mod made;

fn novactl(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.args(args).env_remove("XENSTORED_PATH").env_remove("CLICOLOR_FORCE").output().unwrap()
}

/// A CentOS 7 whose agent systemd ignores, and whose texts try to break out of every format.
fn hostile_root() -> (tempfile::TempDir, String) {
    let dir = guest("centos-7-rm14157");
    let write = |path: &str, body: &str| fs::write(dir.path().join(path), body).unwrap();
    write("etc/hostname", "web<01>&\n");
    let release = fs::read_to_string(dir.path().join("etc/os-release")).unwrap();
    let hostile = "PRETTY_NAME='CentOS ```<&>\u{1b}[31m|'\nVERSION_ID='7\"} 1\\'\n";
    write("etc/os-release", &(release + hostile));
    write(
        "var/log/nova-agent.log",
        "2026-11-21 23:15:00 [ERROR] ``` </failure> \u{1b}]0;x\u{7} | Traceback\n",
    );
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn junit_is_valid_whatever_stands_on_the_disk() {
    if !has("xmllint") {
        return println!("skipped: no xmllint (libxml2-utils)");
    }
    let (_dir, root) = hostile_root();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/junit.xsd");
    for args in [&["doctor"][..], &["doctor", "--strict"], &["check-xentools"]] {
        let output = novactl(&[args, &["--root", &root, "--format", "junit"]].concat());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &output.stdout).unwrap();
        let lint =
            Command::new("xmllint").args(["--noout", "--schema"]).arg(&schema).arg(file.path()).output();
        let lint = lint.unwrap();
        let document = String::from_utf8(output.stdout).unwrap();
        assert!(lint.status.success(), "{}{document}", String::from_utf8_lossy(&lint.stderr));
        let cases = document.matches("<testcase ").count();
        assert!(document.contains(&format!("tests=\"{cases}\"")), "{document}");
    }
}

#[test]
fn metrics_of_both_commands_are_accepted_as_one() {
    let (_dir, root) = hostile_root();
    let metrics = ["doctor", "check-xentools"].map(|command| {
        let output = novactl(&[command, "--root", &root, "--format", "prometheus"]);
        String::from_utf8(output.stdout).unwrap()
    });
    let mut series: Vec<_> =
        metrics.iter().flat_map(|text| text.lines()).filter(|l| !l.starts_with('#')).collect();
    let names = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned();
    series.sort_by_key(|line| names(line));
    for pair in series.windows(2) {
        assert_ne!(names(pair[0]), names(pair[1]));
    }
    if !has("promtool") {
        return println!("skipped: no promtool (prometheus)");
    }
    for text in metrics {
        let mut check = Command::new("promtool");
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut check = check.spawn().unwrap();
        check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = check.wait_with_output().unwrap();
        // what it only advises against comes with status 3
        assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stderr, b"", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_ticket_has_its_tag_and_nothing_of_the_disk_acts_in_it() {
    let (_dir, root) = hostile_root();
    let output = novactl(&["doctor", "--root", &root, "--format", "markdown"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("# BROKEN web&lt;01&gt;&amp;: "), "{text}");
    assert!(text.contains("\nTags: rm14157\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let mut open: Option<&str> = None;
    for line in text.lines().map(str::trim_start) {
        match open {
            Some(fence) if line.trim_end() == fence => open = None,
            None if line.starts_with("```") => open = Some(line.trim_end_matches(char::is_alphabetic)),
            None => assert!(!line.contains('<'), "{line}"),
            Some(_) => {}
        }
    }
    assert_eq!(open, None, "{text}");
}

#[test]
fn a_format_that_cannot_hold_the_report_is_refused_before_anything_is_done() {
    let (_dir, root) = hostile_root();
    for args in [
        &["explain", "agent-log"][..],
        &["scan-ifaces"],
        &["reset-network", "--yes"],
        &["doctor", "--list"],
        &["doctor", "--fix", "--yes"],
        &["doctor", "--guide"],
        &["undo", "--list"],
    ] {
        for format in ["prometheus", "junit", "markdown"] {
            let output = novactl(&[args, &["--root", &root, "--format", format]].concat());
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {stderr}");
            let words =
                format!("error: {format} holds a diagnosis, which this command does not make\nhint: ");
            assert!(stderr.starts_with(&words), "{stderr}");
        }
    }
    assert!(!Path::new(&root).join("var/lib/novactl").exists());
}
