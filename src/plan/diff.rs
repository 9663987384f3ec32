//! A plan for people and for JSON: what each file becomes, as a diff.

use serde::Serialize;
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{ChangeTag, DiffableStr};

use super::{Discard, Leaves, Secrecy};
use crate::root::Node;

/// What a plan would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Files, in order.
    pub files: Vec<Change>,
    /// Programs that run afterwards, each as its arguments.
    pub programs: Vec<Vec<String>>,
}

/// What one file becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where, from the root on.
    pub path: String,
    /// `write`, `link` or `remove`.
    pub action: &'static str,
    /// Unified diff; a secret or binary file says only that it changes.
    pub diff: String,
    /// Whether the content is withheld.
    pub secret: bool,
}

impl Change {
    pub(super) fn of(path: &str, before: &Node, after: &Node, secrecy: Secrecy) -> Self {
        let action = match after {
            Node::File(_) => "write",
            Node::Link(_) => "link",
            Node::Absent => "remove",
        };
        let path = format!("/{path}");
        let diff = match secrecy {
            Secrecy::Secret => "(content withheld)\n".to_owned(),
            Secrecy::Open => diff(&path, before, after),
        };
        Self { path, action, diff, secret: secrecy == Secrecy::Secret }
    }

    pub(super) fn of_discard(discard: &Discard) -> Self {
        let action = match discard.leaves {
            Leaves::Nothing => "remove",
            Leaves::Empty => "write",
        };
        let diff = format!("({} bytes, not kept in the journal)\n", discard.size);
        Self { path: format!("/{}", discard.path), action, diff, secret: true }
    }
}

fn diff(path: &str, before: &Node, after: &Node) -> String {
    let (Some(old), Some(new)) = (text(before), text(after)) else { return "(binary file)\n".to_owned() };
    let name = |node: &Node| if *node == Node::Absent { "/dev/null" } else { path };
    let mut out = unified(name(before), &old, name(after), &new);
    if let (Node::File(old), Node::File(new)) = (before, after) {
        if old.mode != new.mode {
            out.push_str(&format!("mode {:04o} -> {:04o}\n", old.mode, new.mode));
        }
        if (old.uid, old.gid) != (new.uid, new.gid) {
            out.push_str(&format!("owner {}:{} -> {}:{}\n", old.uid, old.gid, new.uid, new.gid));
        }
    }
    out
}

/// A unified diff of two texts, nothing for equal ones.
///
/// Not by `similar::TextDiff`, which chooses its algorithm while it runs: all six of them would be in the binary.
fn unified(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    let (old, new) = (old.tokenize_lines(), new.tokenize_lines());
    let mut hook = Compact::new(Replace::new(Capture::new()), &old[..], &new[..]);
    let Ok(()) = myers::diff(&mut hook, &old[..], 0..old.len(), &new[..], 0..new.len());
    let mut out = String::new();
    for hunk in hook.into_inner().into_inner().into_grouped_ops(3) {
        if out.is_empty() {
            out = format!("--- {old_name}\n+++ {new_name}\n");
        }
        out.push_str(&format!("{}\n", UnifiedHunkHeader::new(&hunk)));
        for change in hunk.iter().flat_map(|op| op.iter_changes(&old, &new)) {
            let line: &str = change.value();
            out.push_str(match change.tag() {
                ChangeTag::Equal => " ",
                ChangeTag::Delete => "-",
                ChangeTag::Insert => "+",
            });
            out.push_str(line);
            if !line.ends_with_newline() {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    out
}

fn text(node: &Node) -> Option<String> {
    match node {
        Node::Absent => Some(String::new()),
        Node::Link(to) => Some(format!("link to {to}\n")),
        Node::File(file) if file.body.contains(&0) => None,
        Node::File(file) => String::from_utf8(file.body.clone()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use similar::TextDiff;

    use super::*;

    proptest! {
        #[test]
        fn the_diff_is_that_of_the_whole_library(old in "([ab]{0,2}(\n|\r\n|\r|)){0,30}", new in "([ab]{0,2}(\n|\r\n|\r|)){0,30}") {
            let theirs = TextDiff::from_lines(&old, &new).unified_diff().header("old", "new").to_string();
            prop_assert_eq!(unified("old", &old, "new", &new), theirs);
        }
    }
}
