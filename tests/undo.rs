//! `novactl undo` on a tree that was really changed.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use novactl::plan::journal::{Journal, Turn};
use novactl::plan::{FileChange, Interrupt, Plan, Secrecy};
use novactl::target::Target;
use novactl::xenstore::Source;
use serde_json::Value;

#[path = "guests/made.rs"]
mod made;

/// A tree in which one change was made; returns the change's id.
fn changed(finish: Finish) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::fs::write(dir.path().join("etc/motd"), "before\n").unwrap();
    std::fs::write(dir.path().join("etc/shadow"), "root:OLDSECRET:\n").unwrap();
    let target = Target::offline(dir.path(), Source::None).unwrap();
    let journal = Journal::open(&target.root, Turn::Now).unwrap();
    let shadow = FileChange::Write {
        path: "etc/shadow".to_owned(),
        body: b"root:NEWSECRET:\n".to_vec(),
        mode: None,
        secret: Secrecy::Secret,
    };
    let plan = Plan {
        verb: "test",
        title: "a test".to_owned(),
        files: vec![FileChange::write("etc/motd", "after\n"), FileChange::write("etc/new/file", "x"), shadow],
        ..Plan::default()
    };
    let applied =
        plan.prepare(&target.root).unwrap().apply(&target, &journal, &Interrupt::default()).unwrap();
    let id = applied.record().id.clone();
    match finish {
        Finish::Kept => drop(applied.keep(None).unwrap()),
        Finish::RevertingAt(time) => drop(applied.keep(Some(time)).unwrap()),
        Finish::Killed => drop(applied),
    }
    (dir, id)
}

enum Finish {
    Kept,
    RevertingAt(u64),
    Killed,
}

fn undo(root: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(["undo", "--root"])
        .arg(root)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn motd(root: &Path) -> String {
    std::fs::read_to_string(root.join("etc/motd")).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_newest_change_is_taken_back_and_then_there_is_none() {
    let (dir, id) = changed(Finish::Kept);
    let output = undo(dir.path(), &["--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(motd(dir.path()), "before\n");
    assert!(!dir.path().join("etc/new").is_dir());
    let listing = json(&undo(dir.path(), &["--list", "--format", "json"]));
    assert_eq!(
        (&listing["changes"][0]["id"], &listing["changes"][0]["state"]),
        (&id.into(), &"undone".into())
    );
    let again = undo(dir.path(), &["--yes"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&again.stderr).contains("no change to take back"));
}

#[test]
fn without_a_terminal_or_yes_nothing_is_changed() {
    let (dir, _) = changed(Finish::Kept);
    let output = undo(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--yes"));
    assert_eq!(motd(dir.path()), "after\n");
}

#[test]
fn a_dry_run_shows_the_change_in_json_that_fits_its_schema_and_changes_nothing() {
    let (dir, _) = changed(Finish::Kept);
    let output = undo(dir.path(), &["--dry-run", "--format", "json"]);
    assert_eq!((output.status.code(), motd(dir.path()).as_str()), (Some(1), "after\n"));
    let document = json(&output);
    let mut schemas = boon::Schemas::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/change.json");
    let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
    if let Err(e) = schemas.validate(&document, schema) {
        panic!("{e:#}");
    }
    let files = document["plan"]["files"].as_array().unwrap();
    let motd = files.iter().find(|f| f["path"] == "/etc/motd").unwrap();
    assert!(motd["diff"].as_str().unwrap().contains("-after\n+before\n"));
}

#[test]
fn a_secret_is_in_no_output() {
    let (dir, _) = changed(Finish::Kept);
    for args in [
        &["--dry-run"][..],
        &["--dry-run", "--format", "json"],
        &["--list", "--format", "json"],
        &["--yes", "-vv"],
    ] {
        let output = undo(dir.path(), args);
        let all =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!all.contains("SECRET"), "{args:?}: {all}");
    }
}

#[test]
fn what_was_edited_since_is_not_lost() {
    let (dir, _) = changed(Finish::Kept);
    std::fs::write(dir.path().join("etc/motd"), "edited\n").unwrap();
    let output = undo(dir.path(), &["--yes"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("etc/motd was changed since"));
    assert_eq!(motd(dir.path()), "edited\n");
    assert_eq!(undo(dir.path(), &["--yes", "--force"]).status.code(), Some(0));
    assert_eq!(motd(dir.path()), "before\n");
}

#[test]
fn a_change_that_was_killed_is_taken_back_at_the_next_start() {
    let (dir, id) = changed(Finish::Killed);
    let output = undo(dir.path(), &["--yes"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(&id) && stderr.contains("interrupted"), "{stderr}");
    assert_eq!((output.status.code(), motd(dir.path()).as_str()), (Some(3), "before\n"));
}

#[test]
fn a_change_that_would_revert_can_be_kept() {
    let (dir, id) = changed(Finish::RevertingAt(u64::MAX));
    let output = undo(dir.path(), &["--keep"]);
    assert_eq!(output.status.code(), Some(0));
    let listing = json(&undo(dir.path(), &["--list", "--format", "json"]));
    assert_eq!(
        (&listing["changes"][0]["id"], &listing["changes"][0]["revert_at"]),
        (&id.into(), &Value::Null)
    );
    assert_eq!(undo(dir.path(), &["--keep"]).status.code(), Some(3));
}

#[test]
fn the_process_behind_revert_after_takes_back_what_was_not_kept_and_only_that() {
    let (dir, id) = changed(Finish::RevertingAt(u64::MAX));
    assert_eq!(undo(dir.path(), &[&id, "--unless-kept", "0"]).status.code(), Some(0));
    assert_eq!(motd(dir.path()), "before\n");
    let (dir, id) = changed(Finish::Kept);
    assert_eq!(undo(dir.path(), &[&id, "--unless-kept", "0"]).status.code(), Some(0));
    assert_eq!(motd(dir.path()), "after\n");
}

#[test]
fn a_change_whose_revert_was_lost_is_taken_back_at_the_next_start() {
    let (dir, id) = changed(Finish::RevertingAt(1));
    let output = undo(dir.path(), &["--yes"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(&format!("{id} was not kept in time")), "{stderr}");
    assert_eq!(motd(dir.path()), "before\n");
}

#[test]
fn a_journal_that_was_damaged_is_named() {
    let (dir, id) = changed(Finish::Kept);
    let entry = dir.path().join("var/lib/novactl/undo").join(&id);
    std::fs::write(entry.join("0.orig"), "not it\n").unwrap();
    let output = undo(dir.path(), &["--yes"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("0.orig: it is not the original of etc/motd"));
    std::fs::write(entry.join("record.json"), "{").unwrap();
    let output = undo(dir.path(), &["--list"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{id}/record.json")));
}

#[test]
fn what_is_forgotten_is_not_taken_back_and_leaves_no_original() {
    let (dir, id) = changed(Finish::Kept);
    assert_eq!(undo(dir.path(), &["--forget"]).status.code(), Some(6), "nobody agreed");
    assert_eq!(undo(dir.path(), &["--forget", "--yes", "no-such"]).status.code(), Some(3));
    assert!(dir.path().join("var/lib/novactl/undo").join(&id).exists());
    let left = json(&undo(dir.path(), &["--forget", "--yes", "--format", "json"]));
    assert_eq!(left["changes"], Value::Array(Vec::new()));
    assert_eq!(std::fs::read_dir(dir.path().join("var/lib/novactl/undo")).unwrap().count(), 0);
    assert_eq!(std::fs::read_to_string(dir.path().join("etc/motd")).unwrap(), "after\n");
    assert_eq!(undo(dir.path(), &["--yes"]).status.code(), Some(3));
    assert_eq!(undo(dir.path(), &["--forget", "--yes"]).status.code(), Some(0), "there is nothing");
    let (pending, id) = changed(Finish::RevertingAt(u64::MAX));
    assert_eq!(undo(pending.path(), &["--forget", "--yes"]).status.code(), Some(3));
    assert!(pending.path().join("var/lib/novactl/undo").join(&id).exists());
}

#[test]
fn all_that_is_forgotten_includes_entries_without_a_record_or_with_one_that_cannot_be_read() {
    let (dir, id) = changed(Finish::Kept);
    let journal = dir.path().join("var/lib/novactl/undo");
    std::fs::create_dir(journal.join("20260101T000000Z-killed")).unwrap();
    std::fs::write(journal.join("20260101T000000Z-killed/0.orig"), "root:OLDSECRET:\n").unwrap();
    std::fs::write(journal.join(&id).join("record.json"), "{").unwrap();
    let output = undo(dir.path(), &["--forget", "--yes"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("20260101T000000Z-killed has no record: it changed nothing"), "{stderr}");
    assert!(stderr.contains(&format!("what {id} changed is not known and stays")), "{stderr}");
    assert_eq!(std::fs::read_dir(journal).unwrap().count(), 0);
    assert_eq!(motd(dir.path()), "after\n");
}

#[test]
fn an_interrupted_change_is_not_forgotten_beside_one_that_cannot_be_read() {
    let (dir, id) = changed(Finish::Killed);
    let damaged = dir.path().join("var/lib/novactl/undo/20260101T000000Z-damaged");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("record.json"), "{").unwrap();
    let output = undo(dir.path(), &["--forget", "--yes"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(&format!("{id} was interrupted")), "{stderr}");
    assert!(damaged.exists());
    // by its name it goes, and the rest is a journal again
    assert_eq!(undo(dir.path(), &["--forget", "--yes", "20260101T000000Z-damaged"]).status.code(), Some(0));
    assert!(!damaged.exists());
    assert_eq!(undo(dir.path(), &["--forget", "--yes"]).status.code(), Some(0));
    assert_eq!(motd(dir.path()), "before\n");
}

#[test]
fn what_was_interrupted_is_taken_back_before_the_doctor_looks() {
    let root = made::guest("almalinux-9");
    let state = "var/lib/NetworkManager/NetworkManager.state";
    let plan = Plan {
        verb: "test",
        title: "switch the network off".to_owned(),
        files: vec![FileChange::write(state, "[main]\nNetworkingEnabled=false\n")],
        ..Plan::default()
    };
    let target = Target::offline(root.path(), Source::None).unwrap();
    let journal = Journal::open(&target.root, Turn::Now).unwrap();
    let applied =
        plan.prepare(&target.root).unwrap().apply(&target, &journal, &Interrupt::default()).unwrap();
    drop(applied);
    drop(journal);
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_novactl"));
    doctor.args(["doctor", "--fix", "--yes", "--only", "nm-networking-enabled", "--root"]).arg(root.path());
    let output = doctor.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(stderr.contains("had been interrupted and was taken back"), "{stderr}");
    assert_eq!(stdout, "NOTHING TO DO  everything is as it should be\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(!root.path().join(state).exists());
}
