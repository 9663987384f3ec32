//! Files by pattern that are removed or emptied, and how much of them the journal keeps.
//!
//! Links are not followed, and what is no regular file or link is left alone. The names in an untrusted tree are
//! bounded in number and depth.

use anyhow::{Context, Result};

use crate::glob;
use crate::plan::{Discard, FileChange, Leaves, Plan, Secrecy};
use crate::root::{Kind, Node, Root};

/// The largest file that the journal keeps, and all of them together, in bytes.
const FILE_MAX: u64 = 1 << 20;
const ALL_MAX: u64 = 32 << 20;
/// The most files of one pattern, and the deepest directory below it.
const FILES_MAX: usize = 50_000;
const DEPTH_MAX: usize = 10;

/// A pattern and what becomes of the files that it matches.
pub(super) struct Sweep {
    /// Parts are matched as a shell does; a last part `**` means every file below.
    pattern: &'static str,
    fate: Fate,
}

enum Fate {
    Remove,
    Empty,
    /// Rotated logs and journals go, others are emptied.
    Log,
    /// Removed, and never kept: its owner makes it anew.
    Cache,
}

impl Sweep {
    pub(super) const fn remove(pattern: &'static str) -> Self {
        Self { pattern, fate: Fate::Remove }
    }
    pub(super) const fn empty(pattern: &'static str) -> Self {
        Self { pattern, fate: Fate::Empty }
    }
    pub(super) const fn logs(pattern: &'static str) -> Self {
        Self { pattern, fate: Fate::Log }
    }
    pub(super) const fn cache(pattern: &'static str) -> Self {
        Self { pattern, fate: Fate::Cache }
    }
}

/// How much the journal may still keep of a change.
#[derive(Debug)]
pub struct Keep {
    left: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { left: ALL_MAX }
    }
}

impl Keep {
    pub(super) fn plan(&mut self, root: &Root, sweeps: &[Sweep]) -> Result<Plan> {
        let mut plan = Plan::default();
        for sweep in sweeps {
            for path in matching(root, sweep.pattern)? {
                self.add(root, &path, &sweep.fate, &mut plan)?;
            }
        }
        Ok(plan)
    }

    fn add(&mut self, root: &Root, path: &str, fate: &Fate, plan: &mut Plan) -> Result<()> {
        let Some(stat) = root.lstat_opt(path)? else { return Ok(()) };
        let leaves = match fate {
            Fate::Remove | Fate::Cache => Leaves::Nothing,
            Fate::Empty => Leaves::Empty,
            Fate::Log if is_rotated(path) => Leaves::Nothing,
            Fate::Log => Leaves::Empty,
        };
        match (stat.kind, leaves) {
            (Kind::Dir | Kind::Other, _) | (Kind::Link, Leaves::Empty) => return Ok(()),
            (Kind::File, Leaves::Empty) if stat.size == 0 => return Ok(()),
            _ => {}
        }
        // a link has no content of its own to keep
        let is_kept = stat.kind == Kind::Link
            || (!matches!(fate, Fate::Cache) && stat.size <= FILE_MAX && stat.size <= self.left);
        let path = path.to_owned();
        if !is_kept {
            plan.discards.push(Discard { path, size: stat.size, leaves });
            return Ok(());
        }
        self.left = self.left.saturating_sub(stat.size);
        // histories hold passwords, logs are long: what goes is named and not shown
        let secret = Secrecy::Secret;
        plan.files.push(match leaves {
            Leaves::Nothing => FileChange::Restore { path, node: Node::Absent, secret },
            Leaves::Empty => FileChange::Write { path, body: Vec::new(), mode: None, secret },
        });
        Ok(())
    }
}

/// Whether a log is one that logrotate or a daemon has put aside, or a journal, which cannot be emptied.
fn is_rotated(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (_, last) = name.rsplit_once(['.', '-']).unwrap_or(("", name));
    let is_number = last.len() <= 10 && !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    let put_aside = ["gz", "xz", "bz2", "zst", "old", "journal", "journal~"];
    is_number && name != last || put_aside.contains(&last) || name.ends_with(".journal~")
}

/// Returns the paths that a pattern matches.
fn matching(root: &Root, pattern: &str) -> Result<Vec<String>> {
    let mut found = vec![String::new()];
    for part in pattern.split('/') {
        let mut deeper = Vec::new();
        for dir in &found {
            if part == "**" {
                below(root, dir, 0, &mut deeper)?;
                continue;
            }
            let join = |name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            if !part.contains('*') {
                deeper.push(join(part));
                continue;
            }
            let names = root.read_dir(dir)?.into_iter().map(|entry| entry.name);
            deeper.extend(names.filter(|name| glob::matches(part, name)).map(|name| join(&name)));
        }
        deeper.truncate(FILES_MAX);
        found = deeper;
    }
    Ok(found)
}

fn below(root: &Root, dir: &str, depth: usize, found: &mut Vec<String>) -> Result<()> {
    for entry in root.read_dir(dir)? {
        if found.len() >= FILES_MAX || depth >= DEPTH_MAX {
            return Ok(());
        }
        let path = format!("{dir}/{}", entry.name);
        let kind = root.lstat_opt(&path).with_context(|| format!("sweeping {dir}"))?.map(|stat| stat.kind);
        match kind {
            Some(Kind::Dir) => below(root, &path, depth + 1, found)?,
            Some(_) => found.push(path),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    #[test]
    fn patterns_match_as_a_shell_s_and_links_are_not_followed() {
        let tree = Tree::of(&[
            ("home/a/.bash_history", "x"),
            ("home/b/.bash_history", "x"),
            ("home/b/.profile", "x"),
            ("var/log/x/y/z.log", "x"),
            ("outside/secret", "x"),
        ])
        .link("var/log/link", "../../outside");
        let root = tree.root();
        assert_eq!(
            matching(&root, "home/*/.*_history").unwrap(),
            ["home/a/.bash_history", "home/b/.bash_history"]
        );
        assert_eq!(matching(&root, "var/log/**").unwrap(), ["var/log/link", "var/log/x/y/z.log"]);
        assert_eq!(matching(&root, "var/none/*").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn rotated_logs_go_and_the_others_are_emptied() {
        for name in [
            "syslog.1",
            "messages-20260101",
            "x.log.2.gz",
            "a/system.journal",
            "b/x@1.journal~",
            "Xorg.0.log.old",
        ] {
            assert!(is_rotated(name), "{name}");
        }
        for name in ["syslog", "messages", "wtmp", "nova-agent.log", "x-2a", "1"] {
            assert!(!is_rotated(name), "{name}");
        }
    }

    #[test]
    fn what_is_too_large_to_keep_is_said_and_not_read() {
        let large = vec![b'x'; usize::try_from(FILE_MAX).unwrap() + 1];
        let tree = Tree::of(&[
            ("var/log/large", large.as_slice()),
            ("var/log/small", b"y"),
            ("var/cache/apk/a", b"z"),
        ]);
        let root = tree.root();
        let plan = Keep::default()
            .plan(&root, &[Sweep::logs("var/log/**"), Sweep::cache("var/cache/apk/**")])
            .unwrap();
        let kept: Vec<&str> = plan.files.iter().map(FileChange::path).collect();
        assert_eq!(kept, ["var/log/small"]);
        let gone: Vec<(&str, u64, Leaves)> =
            plan.discards.iter().map(|d| (d.path.as_str(), d.size, d.leaves)).collect();
        assert_eq!(
            gone,
            [("var/log/large", FILE_MAX + 1, Leaves::Empty), ("var/cache/apk/a", 1, Leaves::Nothing)]
        );
        let mut little = Keep { left: 0 };
        assert_eq!(little.plan(&root, &[Sweep::logs("var/log/**")]).unwrap().discards.len(), 2);
    }
}
