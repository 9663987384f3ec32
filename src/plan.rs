//! A change before it is made: files, then programs. A plan is data; making one changes nothing.
//!
//! [`Plan::prepare`] compares it with what stands in the tree and drops what is there already, so a plan applied
//! twice is empty the second time. [`Prepared::apply`] is the one place that changes a target: journal first, then
//! the files, then the programs; a failure on the way puts everything back. To change something new, make a plan for
//! it; never write a file elsewhere.

mod accounts;
mod apply;
mod diff;
pub mod journal;
mod lines;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};

pub use apply::{Applied, ApplyError, Edits, Interrupt, recover, remove_made_dirs, undo};
pub use diff::{Change, Preview};

use crate::exec::Cmd;
use crate::root::{FileNode, Node, Root};

/// What is to be changed.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The command that makes the change; part of the journal entry's name, such as `reset-network`.
    pub verb: &'static str,
    /// The change in a few words.
    pub title: String,
    /// Files, in the order in which they are changed. A path stands in a plan once.
    pub files: Vec<FileChange>,
    /// Programs that make the running system follow its files. Run only when a file changed, on a running guest, and
    /// run again when the change is undone.
    pub activate: Vec<Cmd>,
    /// Changes of the running system that are not a function of its files, each with the one that takes it back.
    pub steps: Vec<LiveStep>,
    /// Files that go at the very end, when all else is made and verified: the journal does not keep them.
    pub discards: Vec<Discard>,
}

/// A file that is too large to keep, or that its owner makes anew: undoing does not bring it back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Discard {
    /// Where.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// What is left of it.
    pub leaves: Leaves,
}

/// What is left of a discarded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leaves {
    /// Nothing.
    Nothing,
    /// An empty file, with its owner, mode and label.
    Empty,
}

/// A change of the running system.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LiveStep {
    /// Makes it.
    pub run: Cmd,
    /// Takes it back.
    pub back: Option<Cmd>,
    /// Which files it works with.
    #[serde(default)]
    pub needs: Needs,
}

/// Which state of a plan's files both programs of a live step work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Needs {
    /// Made once the files are written, and taken back once they are put back.
    #[default]
    Any,
    /// Made once the files are written, and taken back before they are put back: a service that the plan brings.
    New,
    /// Made before the files are written, and taken back once they are put back: a service that goes with the plan.
    Old,
}

impl Needs {
    /// Returns the same for a plan that takes this one back.
    fn reversed(self) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::New => Self::Old,
            Self::Old => Self::New,
        }
    }
}

/// What a file is to become.
#[derive(Clone, PartialEq, Eq)]
pub enum FileChange {
    /// A regular file. An existing one keeps its owner, attributes and, unless `mode` says otherwise, its mode; a
    /// link to a file stays, and the file it leads to is changed.
    Write {
        /// Where.
        path: String,
        /// The whole content.
        body: Vec<u8>,
        /// Permission bits; `None` keeps them, 0644 for a new file.
        mode: Option<u32>,
        /// Whether the content must not be shown.
        secret: Secrecy,
    },
    /// A symbolic link in place of whatever is there.
    Link {
        /// Where.
        path: String,
        /// What it says.
        to: String,
    },
    /// Nothing: the file is retired into the journal.
    Remove {
        /// Where.
        path: String,
    },
    /// Exactly this node: what undo puts back.
    Restore {
        /// Where.
        path: String,
        /// What stood there.
        node: Node,
        /// Whether the content must not be shown.
        secret: Secrecy,
    },
}

/// Whether a file's content may be shown in a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Secrecy {
    /// It may.
    #[default]
    Open,
    /// It holds a password, its hash, or a key.
    Secret,
}

impl FileChange {
    /// Returns a change that writes a file which may be shown.
    pub fn write(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::Write { path: path.into(), body: body.into(), mode: None, secret: Secrecy::Open }
    }

    /// Returns the path, as the plan's author wrote it.
    pub fn path(&self) -> &str {
        let (Self::Write { path, .. }
        | Self::Link { path, .. }
        | Self::Remove { path }
        | Self::Restore { path, .. }) = self;
        path
    }

    /// Returns both changes of a file as one; `None` where they are not about different lines of a text in the tree.
    fn with_lines_of(&self, other: &Self, root: &Root) -> Result<Option<Self>> {
        let (
            Self::Write { path, body: mine, mode, secret },
            Self::Write { body: others, mode: other_mode, secret: other_secret, .. },
        ) = (self, other)
        else {
            return Ok(None);
        };
        let Some(base) = root.read_opt(path)? else { return Ok(None) };
        let texts = (std::str::from_utf8(&base), std::str::from_utf8(mine), std::str::from_utf8(others));
        let ((Ok(base), Ok(mine), Ok(others)), true) = (texts, (mode, secret) == (other_mode, other_secret))
        else {
            return Ok(None);
        };
        let body = lines::of_both(base, mine, others).map(String::into_bytes);
        Ok(body.map(|body| Self::Write { path: path.clone(), body, mode: *mode, secret: *secret }))
    }

    fn secrecy(&self) -> Secrecy {
        match self {
            Self::Write { secret, .. } | Self::Restore { secret, .. } => *secret,
            Self::Link { .. } | Self::Remove { .. } => Secrecy::Open,
        }
    }
}

impl std::fmt::Debug for FileChange {
    // Bodies can hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write { path, body, .. } => write!(f, "Write({path}, {} bytes)", body.len()),
            Self::Link { path, to } => write!(f, "Link({path} -> {to})"),
            Self::Remove { path } => write!(f, "Remove({path})"),
            Self::Restore { path, node, .. } => write!(f, "Restore({path}, {node:?})"),
        }
    }
}

/// A plan held against the tree: what stands there now and what shall stand there.
#[derive(Debug)]
pub struct Prepared {
    verb: &'static str,
    title: String,
    files: Vec<Pending>,
    activate: Vec<Cmd>,
    steps: Vec<LiveStep>,
    discards: Vec<Discard>,
    request: Option<String>,
}

#[derive(Debug, Clone)]
struct Pending {
    path: String,
    before: Node,
    after: Node,
    secret: Secrecy,
}

impl Plan {
    /// Adds another plan's changes to this one. Of a text in the tree both may change lines, each others of their own.
    ///
    /// # Errors
    /// Both change the same path differently.
    pub fn merge(&mut self, other: Self, root: &Root) -> Result<()> {
        for file in other.files {
            match self.files.iter_mut().find(|mine| mine.path() == file.path()) {
                None => self.files.push(file),
                Some(mine) if *mine == file => {}
                Some(mine) => match mine.with_lines_of(&file, root)? {
                    Some(both) => *mine = both,
                    None => bail!("planning: two changes of {} contradict each other", file.path()),
                },
            }
        }
        for cmd in other.activate {
            if !self.activate.contains(&cmd) {
                self.activate.push(cmd);
            }
        }
        // files are all written before the first step: what two plans want done is done once
        for step in other.steps {
            if !self.steps.contains(&step) {
                self.steps.push(step);
            }
        }
        for discard in other.discards {
            if !self.discards.contains(&discard) {
                self.discards.push(discard);
            }
        }
        Ok(())
    }

    /// Compares the plan with the tree. Nothing is changed.
    ///
    /// # Errors
    /// A path cannot be read, or stands in the plan twice.
    pub fn prepare(self, root: &Root) -> Result<Prepared> {
        let mut files: Vec<Pending> = Vec::new();
        for change in &self.files {
            let path = landing(root, change).with_context(|| format!("planning {}", change.path()))?;
            let before = root.node(&path)?;
            let after = wanted(change, &before);
            if files.iter().any(|other| other.path == path) {
                bail!("planning: {path} is changed twice");
            }
            if !same(&before, &after) {
                files.push(Pending { path, before, after, secret: change.secrecy() });
            }
        }
        let activate = if files.is_empty() { Vec::new() } else { self.activate };
        // in the order in which they are made
        let (mut steps, rest): (Vec<_>, Vec<_>) =
            self.steps.into_iter().partition(|step| step.needs == Needs::Old);
        steps.extend(rest);
        Ok(Prepared {
            verb: self.verb,
            title: self.title,
            files,
            activate,
            steps,
            discards: self.discards,
            request: None,
        })
    }
}

impl Prepared {
    /// Names the host's request that asked for the change, so that its journal entry can be found by it.
    pub fn asked_by(self, request: &str) -> Self {
        Self { request: Some(request.to_owned()), ..self }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.activate.is_empty() && self.steps.is_empty() && self.discards.is_empty()
    }

    /// Returns what each path would become.
    pub(crate) fn results(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.files.iter().map(|file| (file.path.as_str(), &file.after))
    }

    /// Returns what would change, for people and for JSON.
    pub fn preview(&self) -> Preview {
        let files = self.files.iter().map(|p| Change::of(&p.path, &p.before, &p.after, p.secret));
        let files = files.chain(self.discards.iter().map(Change::of_discard)).collect();
        let steps = self.steps.iter().map(|step| step.run.argv().to_vec());
        Preview {
            files,
            programs: steps.chain(self.activate.iter().map(|cmd| cmd.argv().to_vec())).collect(),
        }
    }
}

/// Returns the path that is really changed: a write goes through a link to the file that it leads to.
fn landing(root: &Root, change: &FileChange) -> Result<String> {
    let path = change.path().trim_matches('/').to_owned();
    if !matches!(change, FileChange::Write { .. }) {
        return Ok(path);
    }
    // a dangling link is replaced: what it means to lead to does not exist
    Ok(root.resolve(&path)?.unwrap_or(path))
}

fn wanted(change: &FileChange, before: &Node) -> Node {
    match change {
        FileChange::Write { body, mode, .. } => {
            let old = match before {
                Node::File(old) => Some(old),
                Node::Absent | Node::Link(_) => None,
            };
            Node::File(FileNode {
                body: body.clone(),
                mode: mode.or(old.map(|old| old.mode)).unwrap_or(0o644),
                uid: old.map_or(0, |old| old.uid),
                gid: old.map_or(0, |old| old.gid),
                xattrs: old.map(|old| old.xattrs.clone()).unwrap_or_default(),
                mtime: None,
            })
        }
        FileChange::Link { to, .. } => Node::Link(to.clone()),
        FileChange::Remove { .. } => Node::Absent,
        FileChange::Restore { node, .. } => node.clone(),
    }
}

/// Whether the tree already is as wanted. The time of a file that is written anew does not matter.
fn same(before: &Node, after: &Node) -> bool {
    match (before, after) {
        (Node::File(old), Node::File(new)) => {
            let new = FileNode { mtime: new.mtime.or(old.mtime), ..new.clone() };
            *old == new
        }
        _ => before == after,
    }
}
