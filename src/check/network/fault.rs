//! What a judge of configuration files found, and the small edits of those files that mend it.
//!
//! An edit changes single lines and keeps every other byte. A fault without edits is mended by hand: its remedy says
//! how.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::check::Finding;
use crate::net::backend;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{Node, Root};
use crate::target::Target;

/// The most findings of one check: a hostile tree has thousands of files.
const FINDINGS_MAX: usize = 20;

/// What one check found.
pub(super) struct Judged {
    pub(super) faults: Vec<Fault>,
    /// What it says when there is no fault.
    pub(super) otherwise: Finding,
}

/// A finding and what mends it.
pub(super) struct Fault {
    pub(super) finding: Finding,
    pub(super) edits: Vec<Edit>,
}

/// A small change of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// Other lines in place of one; none drops it.
    Line { path: String, line: usize, text: Vec<String> },
    /// Lines at the end; of a new file where there is none.
    Append { path: String, text: Vec<String> },
    /// Other permission bits.
    Mode { path: String, mode: u32 },
    /// Another name, which nothing has yet.
    Move { path: String, to: String },
    /// No file.
    Remove { path: String },
    /// No Ethernet link of this id in any file of netplan.
    Unplan { id: String },
}

impl Edit {
    /// Returns an edit that drops a line.
    pub(super) fn drop(path: &str, line: usize) -> Self {
        Self::Line { path: path.to_owned(), line, text: Vec::new() }
    }

    /// Returns an edit that writes one line in place of another.
    pub(super) fn line(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, text: vec![text.into()] }
    }

    fn path(&self) -> &str {
        let (Self::Line { path, .. }
        | Self::Append { path, .. }
        | Self::Mode { path, .. }
        | Self::Move { path, .. }
        | Self::Remove { path }
        | Self::Unplan { id: path }) = self;
        path
    }
}

impl Judged {
    /// Returns a judgement without a fault.
    pub(super) fn only(otherwise: Finding) -> Self {
        Self { faults: Vec::new(), otherwise }
    }

    /// Returns the findings.
    pub(super) fn findings(self) -> Vec<Finding> {
        if self.faults.is_empty() {
            return vec![self.otherwise];
        }
        let more = self.faults.len().saturating_sub(FINDINGS_MAX);
        // where no fault has an edit the check has a fix of its own kind, or none
        let has_edits = self.faults.iter().any(|fault| !fault.edits.is_empty());
        let of_fault = |fault: Fault| match fault.edits.is_empty() && has_edits {
            true => fault.finding.by_hand(),
            false => fault.finding,
        };
        let mut findings: Vec<Finding> = self.faults.into_iter().take(FINDINGS_MAX).map(of_fault).collect();
        if more > 0
            && let Some(last) = findings.pop()
        {
            findings.push(last.seen("doctor", format!("{more} more like it are not shown")));
        }
        findings
    }

    /// Returns the plan of all edits.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn plan(self, target: &Target) -> Result<Plan> {
        plan(target, self.faults.into_iter().flat_map(|fault| fault.edits))
    }
}

/// Returns the plan of these edits.
///
/// # Errors
/// A file cannot be read.
pub(super) fn plan(target: &Target, edits: impl IntoIterator<Item = Edit>) -> Result<Plan> {
    let mut plan = Plan { verb: "fix", title: "correct the network's files".to_owned(), ..Plan::default() };
    let mut of_file: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
    let mut unplanned: Vec<String> = Vec::new();
    for edit in edits {
        match edit {
            // files are cut once, without all of them
            Edit::Unplan { id } => unplanned.push(id),
            edit => of_file.entry(edit.path().to_owned()).or_default().push(edit),
        }
    }
    if !unplanned.is_empty() {
        let ids: Vec<&str> = unplanned.iter().map(String::as_str).collect();
        plan.files.extend(backend::without_netplan(&target.root, &ids)?);
    }
    for (path, edits) in of_file {
        plan.files.extend(changes(&target.root, &path, &edits)?);
    }
    Ok(plan)
}

/// The changes of one file.
fn changes(root: &Root, path: &str, edits: &[Edit]) -> Result<Vec<FileChange>> {
    if edits.iter().any(|edit| matches!(edit, Edit::Remove { .. })) {
        let body = root.read_opt(path)?.unwrap_or_default();
        return Ok(vec![removal(path, secrecy(&body))]);
    }
    // lines at the end of nothing make a new file, with the mode it is to have
    let is_new = edits.iter().any(|edit| matches!(edit, Edit::Append { .. }))
        && edits.iter().all(|edit| matches!(edit, Edit::Append { .. } | Edit::Mode { .. }));
    let body = match root.read_opt(path)? {
        None if is_new => Vec::new(),
        Some(body) => body,
        None => bail!("reading {path}: no such file"),
    };
    let new = edited(&body, edits);
    // a diff shows both
    let secret = match secrecy(&body) {
        Secrecy::Secret => Secrecy::Secret,
        Secrecy::Open => secrecy(&new),
    };
    let body = new;
    if let Some(to) = edits.iter().find_map(|edit| match edit {
        Edit::Move { to, .. } => Some(to),
        _ => None,
    }) {
        let mode = match root.node(path)? {
            Node::File(file) => Some(file.mode),
            Node::Absent | Node::Link(_) => None,
        };
        let write = FileChange::Write { path: to.clone(), body, mode, secret };
        return Ok(vec![write, removal(path, secret)]);
    }
    let mode = edits.iter().find_map(|edit| match edit {
        Edit::Mode { mode, .. } => Some(*mode),
        _ => None,
    });
    Ok(vec![FileChange::Write { path: path.to_owned(), body, mode, secret }])
}

/// Returns a file's bytes with the lines of the edits in place; every other byte stays.
pub(super) fn edited(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut lines = BTreeMap::new();
    let mut added: Vec<&String> = Vec::new();
    for edit in edits {
        match edit {
            Edit::Line { line, text, .. } => {
                lines.insert(*line, text);
            }
            Edit::Append { text, .. } => added.extend(text),
            Edit::Mode { .. } | Edit::Move { .. } | Edit::Remove { .. } | Edit::Unplan { .. } => {}
        }
    }
    let mut out = Vec::with_capacity(body.len());
    for (place, line) in body.split_inclusive(|&b| b == b'\n').enumerate() {
        let Some(text) = lines.get(&(place + 1)) else {
            out.extend_from_slice(line);
            continue;
        };
        let end: &[u8] = match line {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\n'] => b"\n",
            _ => b"",
        };
        for (number, new) in text.iter().enumerate() {
            out.extend_from_slice(new.as_bytes());
            // the last line of a file that does not end in a newline
            out.extend_from_slice(if end.is_empty() && number + 1 < text.len() { b"\n" } else { end });
        }
    }
    if !added.is_empty() && !out.is_empty() && !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    for line in added {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out
}

fn removal(path: &str, secret: Secrecy) -> FileChange {
    match secret {
        Secrecy::Secret => FileChange::Restore { path: path.to_owned(), node: Node::Absent, secret },
        Secrecy::Open => FileChange::Remove { path: path.to_owned() },
    }
}

/// Whether a file of network configuration holds what a diff must not show: a passphrase or a key.
fn secrecy(body: &[u8]) -> Secrecy {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let holds = |word: &&str| text.contains(*word);
    match ["password", "psk", "private-key", "privatekey", "wep-key"].iter().any(holds) {
        true => Secrecy::Secret,
        false => Secrecy::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_comes_or_goes_is_not_shown() {
        let append = |text: &str| Edit::Append { path: "x".to_owned(), text: vec![text.to_owned()] };
        for (old, edit, want) in [
            ("address 192.0.2.10\n", append("wpa-psk hidden"), Secrecy::Secret),
            ("address 192.0.2.10\n", append("password: hidden"), Secrecy::Secret),
            ("wpa-psk hidden\n", Edit::drop("x", 1), Secrecy::Secret),
            ("address 192.0.2.10\n", append("gateway 192.0.2.1"), Secrecy::Open),
        ] {
            let (_dir, root) = crate::net::survey::tests::tree_of(&[("x", old)]);
            let changes = changes(&root, "x", std::slice::from_ref(&edit)).unwrap();
            let [FileChange::Write { secret, .. }] = &changes[..] else { panic!("{changes:?}") };
            assert_eq!(*secret, want, "{old} {edit:?}");
        }
        let (_dir, root) = crate::net::survey::tests::tree_of(&[("x", "wpa-psk hidden\n")]);
        let moved = Edit::Move { path: "x".to_owned(), to: "y".to_owned() };
        for change in changes(&root, "x", &[moved]).unwrap() {
            let (FileChange::Write { secret, .. } | FileChange::Restore { secret, .. }) = change else {
                panic!("{change:?}")
            };
            assert_eq!(secret, Secrecy::Secret);
        }
    }

    #[test]
    fn only_the_lines_of_the_edits_change() {
        let body = b"one\r\n\xfftwo\nthree";
        let cases: [(&[Edit], &[u8]); 4] = [
            (&[Edit::drop("x", 2)], b"one\r\nthree"),
            (&[Edit::line("x", 1, "ONE")], b"ONE\r\n\xfftwo\nthree"),
            (
                &[Edit::Line { path: "x".to_owned(), line: 3, text: vec!["3".into(), "4".into()] }],
                b"one\r\n\xfftwo\n3\n4",
            ),
            (
                &[Edit::Append { path: "x".to_owned(), text: vec!["end".into()] }],
                b"one\r\n\xfftwo\nthree\nend\n",
            ),
        ];
        for (edits, want) in cases {
            assert_eq!(edited(body, edits), want, "{edits:?}");
        }
    }
}
