//! The journal of changes, inside the target, so that a repaired guest can undo by itself.
//!
//! One directory an entry: `var/lib/novactl/undo/<time>-<verb>/` with `record.json` and one file per original. The
//! entry is on the disk, whole, before the first file changes; an entry that is still `open` at the next start is a
//! change that was interrupted, and is taken back. Everything is 0700 and 0600: an original can be /etc/shadow.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Discard, LiveStep, Secrecy};
use crate::date::Date;
use crate::exec::Cmd;
use crate::root::{FileNode, Node, Root};

/// Where the journal is, inside the target.
pub const DIR: &str = "var/lib/novactl/undo";
const HOME: &str = "var/lib/novactl";
const LOCK: &str = "var/lib/novactl/lock";

/// Finished entries that are kept, of people and of the host each; the oldest beyond are dropped.
const KEPT: usize = 10;
/// Seconds that the name of an entry can be ahead of the clock, to sort behind the others.
const AHEAD_MAX: u64 = 3600;

/// One change, as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `novactl.journal/1`.
    pub schema: String,
    /// Time and verb, also the name of its directory.
    pub id: String,
    /// The command that made it.
    pub verb: String,
    /// What it was, in a few words.
    pub title: String,
    /// How far it came.
    pub state: State,
    /// Files in the order in which they were changed.
    pub files: Vec<FileRecord>,
    /// Directories that were made, outermost first.
    pub made_dirs: Vec<String>,
    /// Programs that make the running system follow its files.
    pub activate: Vec<Cmd>,
    /// Changes of the running system.
    pub steps: Vec<LiveStep>,
    /// Files that went for good.
    #[serde(default)]
    pub discarded: Vec<Discard>,
    /// When it takes itself back unless it is kept, in seconds since 1970.
    pub revert_at: Option<u64>,
    /// The host's request that asked for it; none when a person did.
    #[serde(default)]
    pub request: Option<String>,
}

/// How far a change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Begun: files can be old or new.
    Open,
    /// Made.
    Done,
    /// Taken back.
    Undone,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where, relative to the root.
    pub path: String,
    /// What stood there.
    pub before: NodeRecord,
    /// What stands there since.
    pub after: NodeRecord,
    /// Whether the content must not be shown.
    pub secret: Secrecy,
}

/// A node without its content, which is in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum NodeRecord {
    /// Nothing.
    Absent,
    /// A link and what it says.
    Link {
        /// What it says.
        to: String,
    },
    /// A regular file.
    File {
        /// SHA-256 of its content, in hexadecimal.
        sha256: String,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Extended attributes.
        xattrs: Vec<(String, Vec<u8>)>,
        /// Last modification; none for a file that is written anew.
        mtime: Option<(i64, i64)>,
    },
}

/// Another program changes the target just now.
#[derive(Debug)]
pub struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another novactl changes this system just now")
    }
}

impl std::error::Error for Busy {}

/// What to do while another change is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Fail: a person tries again.
    Now,
    /// Wait: nobody is there to try again.
    Wait,
}

impl Turn {
    fn operation(self) -> FlockOperation {
        match self {
            Self::Now => FlockOperation::NonBlockingLockExclusive,
            Self::Wait => FlockOperation::LockExclusive,
        }
    }
}

/// The journal, locked: one change at a time.
#[derive(Debug)]
pub struct Journal<'r> {
    root: &'r Root,
    lock: OnceLock<OwnedFd>,
}

impl<'r> Journal<'r> {
    /// Opens the journal for a change.
    ///
    /// # Errors
    /// Another novactl changes this target just now, or the journal cannot be written.
    pub fn open(root: &'r Root, turn: Turn) -> Result<Self> {
        let journal = Self::later(root);
        journal.take_turn(turn)?;
        Ok(journal)
    }

    /// Returns the journal of a tree that cannot be written yet: [`Journal::take_turn`] opens it.
    pub fn later(root: &'r Root) -> Self {
        Self { root, lock: OnceLock::new() }
    }

    /// Opens the journal for a change, unless it is open.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn take_turn(&self, turn: Turn) -> Result<()> {
        if self.lock.get().is_some() {
            return Ok(());
        }
        self.root.make_dir(HOME, 0o700)?;
        self.root.make_dir(DIR, 0o700)?;
        let lock = self.root.open_lock(LOCK)?;
        match rustix::fs::flock(&lock, turn.operation()) {
            Ok(()) => {
                self.lock.get_or_init(|| lock);
                Ok(())
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Busy.into()),
            Err(e) => Err(e).with_context(|| format!("locking {LOCK}")),
        }
    }

    /// Whether a change was ever begun here: then there is a journal, and another novactl may be at work.
    pub fn exists(&self) -> bool {
        self.root.exists(HOME)
    }

    /// Says before anything is asked whether the journal can be made; makes nothing.
    ///
    /// # Errors
    /// The place cannot be written.
    pub fn expect_room(&self) -> Result<()> {
        let place = [HOME, "var/lib", "var"].into_iter().find(|dir| self.root.exists(dir)).unwrap_or(".");
        self.root.expect_writable(place).with_context(|| format!("making the directory {HOME}"))
    }

    /// Returns the root whose journal it is.
    pub fn root(&self) -> &'r Root {
        self.root
    }

    /// Writes an entry and the originals, and has them on the disk.
    pub(super) fn begin(&self, mut record: Record, originals: &[&Node]) -> Result<Record> {
        record.id = self.free_id(&record.verb)?;
        let dir = format!("{DIR}/{}", record.id);
        self.root.make_dir(&dir, 0o700)?;
        for (number, node) in originals.iter().enumerate() {
            if let Node::File(file) = node {
                self.root.put(&original(&record.id, number), &private(&file.body))?;
            }
        }
        self.save(&record)?;
        Ok(record)
    }

    /// Replaces an entry's record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, record: &Record) -> Result<()> {
        let body = serde_json::to_vec_pretty(record).context("writing the journal record")?;
        self.root.put(&format!("{DIR}/{}/record.json", record.id), &private(&body))?;
        Ok(())
    }

    /// Notes that a change was taken back. The originals stand in their places again: the copies go.
    ///
    /// # Errors
    /// The entry cannot be written.
    pub fn close(&self, record: Record) -> Result<()> {
        let files = record.files.len();
        let record = Record { state: State::Undone, revert_at: None, ..record };
        self.save(&record)?;
        (0..files)
            .try_for_each(|number| self.root.put(&original(&record.id, number), &Node::Absent).map(drop))
    }

    /// Drops the oldest finished entries beyond those that are kept.
    pub(super) fn prune(&self) -> Result<()> {
        let finished = list(self.root)?.into_iter().filter(|record| record.state != State::Open);
        let (hosts, peoples): (Vec<_>, Vec<_>) = finished.partition(|record| record.request.is_some());
        let old = |records: Vec<Record>| {
            let surplus = records.len().saturating_sub(KEPT);
            records.into_iter().take(surplus)
        };
        old(hosts).chain(old(peoples)).try_for_each(|record| self.forget(&record.id))
    }

    /// Removes an entry with its originals: nothing takes that change back any more.
    ///
    /// # Errors
    /// A file of it cannot be removed.
    pub fn forget(&self, id: &str) -> Result<()> {
        let dir = format!("{DIR}/{id}");
        for entry in self.root.read_dir(&dir)? {
            self.root.put(&format!("{dir}/{}", entry.name), &Node::Absent)?;
        }
        self.root.remove_empty_dir(&dir)
    }

    /// Returns a name that sorts behind all that are there: the order of names is that of the changes, also within a
    /// second and after a clock was set back a little.
    fn free_id(&self, verb: &str) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let newest = ids(self.root)?.pop().unwrap_or_default();
        let newest = newest.split('-').next().unwrap_or_default();
        let later = (now..now.saturating_add(AHEAD_MAX)).map(stamp).find(|stamp| stamp.as_str() > newest);
        let base = format!("{}-{verb}", later.unwrap_or_else(|| stamp(now)));
        for number in 1..1000 {
            let id = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            if self.root.lstat_opt(&format!("{DIR}/{id}"))?.is_none() {
                return Ok(id);
            }
        }
        bail!("writing the journal: {DIR} holds too many entries named {base}")
    }
}

/// Returns the entries, the oldest first. One that cannot be read is an error that names it.
///
/// # Errors
/// The journal or one of its entries cannot be read.
pub fn list(root: &Root) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for id in ids(root)? {
        records.extend(record_opt(root, &id)?);
    }
    Ok(records)
}

/// Returns the names of the entries, the oldest first, also of those that have no record or one that cannot be read.
///
/// # Errors
/// The journal cannot be read.
pub fn ids(root: &Root) -> Result<Vec<String>> {
    Ok(root.read_dir(DIR)?.into_iter().map(|entry| entry.name).collect())
}

/// Returns the record of an entry. One without was begun and killed before its record was written: it changed nothing.
///
/// # Errors
/// It cannot be read, or is the one of another entry.
pub fn record_opt(root: &Root, id: &str) -> Result<Option<Record>> {
    let path = format!("{DIR}/{id}/record.json");
    let Some(bytes) = root.read_opt(&path)? else { return Ok(None) };
    let record: Record = serde_json::from_slice(&bytes).with_context(|| format!("reading {path}"))?;
    if record.id != id {
        bail!("reading {path}: it is the record of {:?}", record.id);
    }
    Ok(Some(record))
}

/// Returns what stood at the path of an entry's file before.
///
/// # Errors
/// The original cannot be read, or is not what the record says.
pub fn original_node(root: &Root, record: &Record, number: usize) -> Result<Node> {
    let file = record.files.get(number).context("reading the journal: no such file in the record")?;
    match &file.before {
        NodeRecord::Absent => Ok(Node::Absent),
        NodeRecord::Link { to } => Ok(Node::Link(to.clone())),
        NodeRecord::File { sha256, mode, uid, gid, xattrs, mtime } => {
            let path = original(&record.id, number);
            let body = root.read(&path)?;
            if digest(&body) != *sha256 {
                bail!("reading {path}: it is not the original of {}; take it back by hand", file.path);
            }
            let (mode, uid, gid, xattrs, mtime) = (*mode, *uid, *gid, xattrs.clone(), *mtime);
            Ok(Node::File(FileNode { body, mode, uid, gid, xattrs, mtime }))
        }
    }
}

impl NodeRecord {
    /// Describes a node.
    pub fn of(node: &Node) -> Self {
        match node {
            Node::Absent => Self::Absent,
            Node::Link(to) => Self::Link { to: to.clone() },
            Node::File(file) => Self::File {
                sha256: digest(&file.body),
                mode: file.mode,
                uid: file.uid,
                gid: file.gid,
                xattrs: file.xattrs.clone(),
                mtime: file.mtime,
            },
        }
    }

    /// Whether a node is what this describes; the time of a file that was written anew does not matter.
    pub fn is(&self, node: &Node) -> bool {
        match (self, Self::of(node)) {
            (Self::File { mtime: None, .. }, Self::File { sha256, mode, uid, gid, xattrs, .. }) => {
                *self == Self::File { sha256, mode, uid, gid, xattrs, mtime: None }
            }
            (mine, other) => *mine == other,
        }
    }
}

fn original(id: &str, number: usize) -> String {
    format!("{DIR}/{id}/{number}.orig")
}

fn private(body: &[u8]) -> Node {
    Node::File(FileNode {
        body: body.to_vec(),
        mode: 0o600,
        uid: owner(),
        gid: group(),
        xattrs: Vec::new(),
        mtime: None,
    })
}

/// The journal belongs to who writes it: root, but for a test in a temporary tree.
fn owner() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn group() -> u32 {
    rustix::process::getegid().as_raw()
}

fn digest(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes seconds since 1970 as `20261121T231500Z`.
pub(crate) fn stamp(seconds: u64) -> String {
    let date = Date::of(seconds);
    let (hour, minute, second) = date.clock();
    format!("{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z", date.year, date.month, date.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_named_by_their_time() {
        assert_eq!(stamp(1_795_302_900), "20261121T231500Z");
    }

    #[test]
    fn names_have_the_order_of_the_changes_within_a_second_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let journal = Journal::open(&root, Turn::Now).unwrap();
        let mut made = Vec::new();
        for verb in ["undo", "fix", "undo", "agent", "fix"] {
            let id = journal.free_id(verb).unwrap();
            root.make_dir(&format!("{DIR}/{id}"), 0o700).unwrap();
            made.push(id);
        }
        assert_eq!(ids(&root).unwrap(), made);
    }
}
