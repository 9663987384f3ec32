//! What `novactl doctor --root` says of a tree, compared with what its guest expects.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use novactl::target::Target;
use novactl::xenstore::Source;
use serde_json::Value;

use super::manifest::Guest;
use super::{commands, snapshot};

/// A fact that differs: which guest, what was wanted, what was got.
pub(crate) type Difference = [String; 3];

/// Returns what differs between what a guest says and what the program finds in its tree.
pub(crate) fn differences(guest: &Guest, root: &Path) -> Result<Vec<Difference>> {
    let dir = tempfile::tempdir()?;
    let store = dir.path().join("xenstore.json");
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_novactl"));
    doctor.env_remove("XENSTORED_PATH").args(["doctor", "--format", "json", "--root"]).arg(root);
    if let Some(dump) = &guest.store {
        std::fs::write(&store, dump)?;
        doctor.arg("--xenstore").arg(&store);
    }
    let before = snapshot::of(root)?;
    let output = doctor.output()?;
    let mut differences = facts(guest, root)?;
    let mut differs = |want: &str, got: String| differences.push([guest.name.clone(), want.to_owned(), got]);

    for change in snapshot::changes(&before, &snapshot::of(root)?) {
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
    for command in commands::astray(&report, &root.to_string_lossy()) {
        differs("each command acts on this tree", command);
    }
    let fails = guest.expect.iter().any(|want| want.contains("=fail"));
    let exit = output.status.code();
    if exit != Some(i32::from(fails)) {
        differs(if fails { "exit code 1" } else { "exit code 0" }, format!("{exit:?}"));
    }
    if let Some(wrong) = wrong_sums(&report, findings) {
        differs("the summary counts the findings", wrong);
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

/// Returns the differences as a table for people.
pub(crate) fn table(differences: &[Difference]) -> String {
    let width = |column: usize| differences.iter().map(|d| d[column].len()).max().unwrap_or(0).min(60);
    let (guest, want) = (width(0), width(1));
    differences.iter().map(|[g, w, got]| format!("{g:guest$}  want {w:want$}  got {got}\n")).collect()
}
