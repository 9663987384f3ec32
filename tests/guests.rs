//! Judges every guest of `tests/guests/` with the built program and compares with what the guest says of itself.
//!
//! `GUEST=name` judges one, `GUEST_KEEP=dir` leaves its tree there. To add one: a file, see tests/guests/README.md.

#![expect(clippy::disallowed_methods, reason = "makes trees and runs the program")]
#![expect(clippy::print_stdout, reason = "says how much was judged and what was skipped")]

#[path = "guests/elf.rs"]
mod elf;
#[path = "guests/manifest.rs"]
mod manifest;
#[path = "guests/snapshot.rs"]
mod snapshot;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use manifest::{Guest, Manifests};
use novactl::target::Target;
use novactl::xenstore::Source;
use serde_json::Value;

/// A fact that differs: which guest, what was wanted, what was got.
type Difference = [String; 3];

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests")
}

/// Returns the guests, or the one that `GUEST` names.
fn guests() -> Result<Vec<Guest>> {
    let all = Manifests::read(&guests_dir())?;
    let only = std::env::var("GUEST").ok();
    let names = all.names().filter(|name| only.as_deref().is_none_or(|only| only == *name));
    names.map(|name| all.guest(name)).collect()
}

#[test]
#[ignore = "until the checks are here"]
fn every_guest_is_judged_as_it_says_and_nothing_in_it_changes() -> Result<()> {
    let guests = guests()?;
    let mut differences = Vec::new();
    let mut expectations = 0;
    for guest in &guests {
        expectations += 1 + guest.expect.len() + guest.among.len() + guest.facts.len();
        let failed = |error| vec![[guest.name.clone(), "a judgement".to_owned(), format!("{error:#}")]];
        differences.extend(judge(guest).unwrap_or_else(failed));
    }
    println!("{} guests, {expectations} expectations", guests.len());
    assert!(!guests.is_empty(), "no guest");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), table(&differences));
    Ok(())
}

/// Returns what differs in one guest.
fn judge(guest: &Guest) -> Result<Vec<Difference>> {
    let dir = tempfile::tempdir()?;
    let (root, store) = (dir.path().join("root"), dir.path().join("xenstore.json"));
    std::fs::create_dir(&root)?;
    guest.unpack(&root)?;
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_novactl"));
    doctor.env_remove("XENSTORED_PATH").args(["doctor", "--format", "json", "--root"]).arg(&root);
    if let Some(dump) = &guest.store {
        std::fs::write(&store, dump)?;
        doctor.arg("--xenstore").arg(&store);
    }
    let before = snapshot::of(&root)?;
    let output = doctor.output()?;
    let mut differences = facts(guest, &root)?;
    let mut differs = |want: &str, got: String| differences.push([guest.name.clone(), want.to_owned(), got]);

    for change in snapshot::changes(&before, &snapshot::of(&root)?) {
        differs("nothing changes", change);
    }
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("standard error: {}", String::from_utf8_lossy(&output.stderr)))?;
    let findings = report["findings"].as_array().context("no findings")?;
    let fault = |f: &&Value| matches!(word(f, "status"), "warn" | "fail" | "unknown");
    let mut surplus: Vec<&Value> = findings.iter().filter(fault).collect();
    for want in &guest.expect {
        match surplus.iter().position(|finding| says(finding, want)) {
            Some(found) => drop(surplus.remove(found)),
            None => differs(want, other(findings, want)),
        }
    }
    for finding in surplus {
        differs("no such finding", told(finding));
    }
    for (status, want) in &guest.among {
        let (id, subject) = want.split_once('@').map_or((want.as_str(), None), |(id, s)| (id, Some(s)));
        let want = subject.map_or(format!("{id}={status}"), |s| format!("{id}={status}@{s}"));
        if !findings.iter().any(|finding| says(finding, &want)) {
            differs(&want, other(findings, &want));
        }
    }
    let fails = guest.expect.iter().any(|want| want.contains("=fail"));
    let exit = output.status.code();
    if exit != Some(i32::from(fails)) {
        differs(if fails { "exit code 1" } else { "exit code 0" }, format!("{exit:?}"));
    }
    if let Some(wrong) = wrong_sums(&report, findings) {
        differs("the summary counts the findings", wrong);
    }
    if let Ok(keep) = std::env::var("GUEST_KEEP") {
        guest.unpack(&Path::new(&keep).join(&guest.name))?;
    }
    Ok(differences)
}

/// Compares the facts that checks are drawn from.
fn facts(guest: &Guest, root: &Path) -> Result<Vec<Difference>> {
    let target = Target::offline(root, Source::None)?;
    let mut differences = Vec::new();
    for (name, want) in &guest.facts {
        let got = match name.as_str() {
            "os" => format!("{} {}", target.os().id, target.os().version),
            "init" => format!("{:?}", target.services().init),
            _ => target.agents().all.first().map_or("none".to_owned(), |agent| {
                let kind = serde_json::to_value(agent.kind).unwrap_or_default();
                let kind = kind.as_str().unwrap_or_default();
                format!("{kind} {}", agent.version.as_deref().unwrap_or("?"))
            }),
        };
        if got.trim_end() != want {
            differences.push([guest.name.clone(), format!("{name}: {want}"), got]);
        }
    }
    Ok(differences)
}

fn word<'v>(finding: &'v Value, key: &str) -> &'v str {
    finding[key].as_str().unwrap_or_default()
}

/// Whether a finding is what `id=status` or `id=status@subject` says.
fn says(finding: &Value, want: &str) -> bool {
    let (want, subject) = want.split_once('@').map_or((want, None), |(want, s)| (want, Some(s)));
    want.split_once('=') == Some((word(finding, "id"), word(finding, "status")))
        && subject.is_none_or(|subject| word(finding, "subject") == subject)
}

/// Says what the check of a missing finding came to instead.
fn other(findings: &[Value], want: &str) -> String {
    let id = want.split('=').next().unwrap_or_default();
    let same: Vec<_> = findings.iter().filter(|f| word(f, "id") == id).map(told).collect();
    if same.is_empty() { "no such check ran".to_owned() } else { same.join("; ") }
}

fn told(finding: &Value) -> String {
    let evidence = finding["evidence"].as_array().into_iter().flatten();
    let evidence: String =
        evidence.map(|e| format!(" [{}: {}]", word(e, "source"), word(e, "text"))).collect();
    let subject = finding["subject"].as_str().map_or(String::new(), |s| format!("@{s}"));
    let (id, status, title) = (word(finding, "id"), word(finding, "status"), word(finding, "title"));
    format!("{id}={status}{subject} {title}{evidence}")
}

/// Says what is wrong with the summary; nothing when every count is right.
fn wrong_sums(report: &Value, findings: &[Value]) -> Option<String> {
    let summary = &report["summary"];
    let mut total = 0;
    for status in ["ok", "note", "warn", "fail", "skipped", "unknown", "blocked"] {
        let count = findings.iter().filter(|f| word(f, "status") == status).count();
        total += count;
        if summary[status] != count {
            return Some(format!("{status}: {} of {count}", summary[status]));
        }
    }
    (summary["total"] != total || total != findings.len()).then(|| format!("total: {}", summary["total"]))
}

fn table(differences: &[Difference]) -> String {
    let width = |column: usize| differences.iter().map(|d| d[column].len()).max().unwrap_or(0).min(60);
    let (guest, want) = (width(0), width(1));
    differences.iter().map(|[g, w, got]| format!("{g:guest$}  want {w:want$}  got {got}\n")).collect()
}

#[test]
fn every_guest_can_be_made() -> Result<()> {
    for guest in guests()? {
        guest.unpack(tempfile::tempdir()?.path()).with_context(|| guest.name.clone())?;
    }
    Ok(())
}

#[test]
fn what_a_manifest_says_is_made() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let base = "file etc/a mode=0600\n| one\n|  two\n|\nfile etc/b\n| x\n| y\n| z\nlink etc/l -> ../etc/a\n";
    let text = "based-on: base\nexpect: agent-enabled=fail\n# a comment\nremove etc/a\n\
        edit etc/b\n- y\n+ Y\n+ YY\nfile etc/odd\\x20name hole=2\n| end\nzipapp usr/bin/app /usr/bin/env python3\n\
        * __main__.py\n| import novaagent\n";
    std::fs::write(dir.path().join("base.guest"), base)?;
    std::fs::write(
        dir.path().join("faults.guests"),
        format!("An introduction.\n== faulty\n{text}== other\ndir x\n"),
    )?;
    let all = Manifests::read(dir.path())?;
    assert_eq!(all.names().collect::<Vec<_>>(), ["base", "faulty", "other"]);
    let (base_root, root) = (dir.path().join("1"), dir.path().join("2"));
    std::fs::create_dir(&base_root)?;
    std::fs::create_dir(&root)?;
    all.guest("base")?.unpack(&base_root)?;
    assert_eq!(std::fs::read_to_string(base_root.join("etc/a"))?, "one\n two\n\n");
    assert_eq!(std::fs::read_link(base_root.join("etc/l"))?, Path::new("../etc/a"));
    let guest = all.guest("faulty")?;
    guest.unpack(&root)?;
    assert_eq!(guest.expect, ["agent-enabled=fail"]);
    assert!(!root.join("etc/a").exists());
    assert_eq!(std::fs::read_to_string(root.join("etc/b"))?, "x\nY\nYY\nz\n");
    assert_eq!(std::fs::read(root.join("etc/odd name"))?, b"\0\0end\n");
    let mut app = zip::ZipArchive::new(std::fs::File::open(root.join("usr/bin/app"))?)?;
    let main = std::io::read_to_string(app.by_name("__main__.py")?)?;
    assert_eq!(main, "import novaagent\n");
    Ok(())
}

#[test]
fn an_error_in_a_manifest_names_its_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cases = [
        ("dirr etc", "no such entry"),
        ("colour: red", "no such header"),
        ("based-on: bad", "based on itself"),
        ("dir etc mod=0700", "no option mod"),
        ("file etc/a etc/b", "takes one path"),
        ("file /etc/a", "relative to the root"),
        ("file etc/../../a", "plain"),
        ("dir etc\n| text", "no lines of its own"),
        ("file etc/a\n- text", "begins with |"),
        ("link etc/a etc/b", "PATH -> TO"),
    ];
    for (text, want) in cases {
        std::fs::write(dir.path().join("bad.guest"), format!("\n{text}\n"))?;
        let error = format!("{:#}", Manifests::read(dir.path())?.guest("bad").expect_err(text));
        assert!(error.contains(want) && error.contains("bad.guest:2"), "{text}: {error}");
    }
    std::fs::write(dir.path().join("bad.guest"), "== another\n")?;
    let error = format!("{:#}", Manifests::read(dir.path()).expect_err("two guests in one"));
    assert!(error.contains("bad.guest:1: a .guest file holds one guest"), "{error}");
    std::fs::write(dir.path().join("bad.guest"), "file etc/a\n| x\nedit etc/a\n- y\n")?;
    let root = tempfile::tempdir()?;
    let error = Manifests::read(dir.path())?.guest("bad")?.unpack(root.path()).expect_err("no such line");
    assert_eq!(format!("{error:#}"), "bad.guest:3: no line \"y\" from line 1");
    Ok(())
}
