//! How the program behaves towards a shell, a pipe and a script, whatever it finds.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn novactl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.args(args).env_remove("XENSTORED_PATH").env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    command
}

fn run(args: &[&str]) -> Output {
    novactl(args).output().unwrap()
}

/// A tree with nothing in it: everything can be looked at and an agent is missing.
fn empty_root() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn json_is_one_document_and_fits_its_schema() {
    let mut schemas = boon::Schemas::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/doctor.json");
    let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
    let (_dir, root) = empty_root();
    for args in
        [&["doctor", "--format", "json", "--no-probe"][..], &["doctor", "--format", "json", "--root", &root]]
    {
        let output = run(args);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        if let Err(e) = schemas.validate(&document, schema) {
            panic!("{args:?}: {e:#}");
        }
        assert_eq!(text(&output.stderr), "", "{args:?}");
        let summary = document["summary"].as_object().unwrap();
        let counted: u64 =
            summary.iter().filter(|(k, _)| *k != "total").map(|(_, v)| v.as_u64().unwrap()).sum();
        assert_eq!(Some(counted), summary["total"].as_u64());
        assert_eq!(document["findings"].as_array().map(|f| f.len() as u64), Some(counted));
        let exit = if document["verdict"] == "broken" { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(exit), "{args:?}");
    }
}

#[test]
fn every_check_appears_once_or_more_also_when_it_is_left_out() {
    let (_dir, root) = empty_root();
    let list: Value = serde_json::from_slice(&run(&["doctor", "--list", "--format", "json"]).stdout).unwrap();
    let report = run(&["doctor", "--root", &root, "--format", "json", "--skip", "agent-installed"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    for check in list["checks"].as_array().unwrap() {
        assert!(findings.iter().any(|f| f["id"] == check["id"]), "{}", check["id"]);
    }
    let skipped = findings.iter().find(|f| f["id"] == "agent-installed").unwrap();
    assert_eq!((&skipped["status"], &skipped["title"]), (&"skipped".into(), &"left out on request".into()));
}

#[test]
fn every_check_has_a_page_that_fits_a_console_and_names_where_to_read_on() {
    for check in novactl::check::every() {
        let (id, page) = (check.id, check.page);
        let shown = run(&["explain", id]);
        assert_eq!(shown.status.code(), Some(0), "{id}");
        assert!(text(&shown.stdout).ends_with(page), "{id}");
        assert!((8..=25).contains(&page.lines().count()), "{id}: {} lines", page.lines().count());
        for line in page.lines() {
            assert!(line.chars().count() <= 76 && !line.contains('\t'), "{id}: {line}");
        }
        let parts: Vec<&str> = page.trim_end().split("\n\n").collect();
        let [title, why, .., found, hands, read_on] = parts.as_slice() else { panic!("{id}: {page}") };
        assert!(!title.contains('\n'), "{id}: {title}");
        assert!(why.lines().count() > 1 && !why.starts_with(' '), "{id}: {why}");
        assert!(found.starts_with("How it is found\n  "), "{id}: {found}");
        assert!(hands.starts_with("By hand\n  "), "{id}: {hands}");
        let names = read_on.strip_prefix("See: ").unwrap_or_else(|| panic!("{id}: {read_on}"));
        let names = names.split_whitespace().collect::<Vec<_>>().join(" ");
        for name in names.split([';', ',']).map(str::trim) {
            let is_manual = name.strip_suffix(')').and_then(|name| name.split_once('('));
            let is_manual = is_manual.is_some_and(|(name, part)| !name.contains(' ') && part.len() == 1);
            let is_title = name.contains('"') || names.contains(&format!("{name}, \""));
            assert!(is_manual || is_title || name == "sysconfig.txt of initscripts", "{id}: {name}");
        }
    }
}

#[test]
fn wrong_use_has_its_own_code_and_says_what_to_type() {
    let (_dir, root) = empty_root();
    for (args, code, words) in [
        (&["doctor", "--only", "agent-instaled"][..], 2, "did you mean agent-installed"),
        (&["explain", "nonsense"], 2, "novactl doctor --list"),
        (&["doctor", "--format", "yaml"], 2, "possible values"),
        (&["no-such-command"], 2, "--help"),
        (&[], 2, "Usage"),
        (&["doctor", "--root", "/no/such/directory"], 3, "hint: --root takes the directory"),
        (&["doctor", "--root", &root, "--skip", "agent-installed", "--only", "agent-installed"], 3, ""),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let (_dir, root) = empty_root();
    for format in ["table", "json"] {
        let mut child = novactl(&["doctor", "--root", &root, "-v", "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let (_dir, root) = empty_root();
    let colored = |command: &mut Command| command.output().unwrap().stdout.contains(&0x1b);
    let doctor = || novactl(&["doctor", "--root", &root]);
    assert!(!colored(&mut doctor()));
    assert!(colored(doctor().env("CLICOLOR_FORCE", "1")));
    assert!(!colored(doctor().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")));
    assert!(colored(doctor().args(["--color", "always"])));
    assert!(!colored(doctor().args(["--color", "always", "--format", "json"])));
}

#[test]
fn a_monitoring_system_gets_one_line_with_counts_and_its_own_codes() {
    let (_dir, root) = empty_root();
    let output = run(&["doctor", "--root", &root, "--format", "nagios"]);
    let line = text(&output.stdout);
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    assert!(line.starts_with("DOCTOR CRITICAL - "), "{line}");
    let (_, perfdata) = line.split_once(" | ").unwrap();
    assert!(perfdata.split_whitespace().any(|p| p.starts_with("fail=")), "{line}");
}

#[test]
fn the_table_fits_80_columns_but_for_commands() {
    let (_dir, root) = empty_root();
    for extra in [&[][..], &["-v"]] {
        let output = run(&[&["doctor", "--root", "."], extra].concat());
        assert!(output.status.code().is_some());
        let output = novactl(&["doctor", "--root", &root]).args(extra).output().unwrap();
        for line in text(&output.stdout).lines().filter(|line| !line.trim_start().starts_with("$ ")) {
            assert!(
                line.chars().count() <= 80 || !line.trim().contains(' ') || line.contains(&root),
                "{line}"
            );
        }
    }
}
