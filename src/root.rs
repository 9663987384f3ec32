//! Every file access, resolved inside the root.
//!
//! A [`Root`] is the tree that is looked at: `/` on a running guest, or the mounted disk of a sick one. What is
//! in the tree is untrusted. No link in it leads outside, a FIFO or a device is never opened, a huge file is
//! refused, and a kernel file system that somebody bound into an offline tree (`mount --bind /proc`) is not
//! taken for the target's.
//!
//! Paths are written relative to the root, with or without a leading slash: `etc/passwd` and `/etc/passwd` are
//! the same file. This module refuses to judge what it reads.

mod resolve;
#[cfg(test)]
mod tests;
mod write;

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use resolve::{Resolver, stat_fd};

pub use write::{FileNode, Node};

/// The largest file that is read whole, in bytes: this program with its symbols, which is installed as the agent.
/// Configuration is far below it; logs are read by their tail.
pub const READ_MAX: u64 = 40 << 20;

/// Where programs are looked for in the target: systemd's default PATH, then the rest of a root shell's.
const PROGRAM_DIRS: [&str; 6] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/// The tree under examination. A clone is the same tree: closed and opened again with it.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    /// None while the disk under it is mounted anew.
    dir: Arc<RwLock<Option<Arc<OwnedFd>>>>,
    resolver: Resolver,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link (only from [`Root::lstat_opt`] and [`Root::read_dir`]).
    Link,
    /// A FIFO, socket or device: never opened.
    Other,
}

/// Facts about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, seconds since 1970.
    pub mtime: i64,
    /// Last change of the file or of its owner, mode, labels or name, seconds since 1970. A package manager sets
    /// `mtime` to the time of the build, so only this one says when a file was replaced.
    pub ctime: i64,
    /// Device number of the file system that holds it.
    pub device: u64,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, with bytes that are not UTF-8 replaced.
    pub name: String,
    /// What the name stands for; a link is not followed.
    pub is_link: bool,
}

/// The end of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The last bytes, from the beginning of a line when something was cut off, invalid UTF-8 replaced.
    pub text: String,
    /// Size of the whole file in bytes.
    pub size: u64,
    /// Whether the file is longer than `text`.
    pub cut: bool,
}

/// Free room of the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that everybody may still write.
    pub free: u64,
    /// Bytes that root may still write: what is kept back for it as well.
    pub free_for_root: u64,
    /// Size of the file system in bytes.
    pub total: u64,
    /// Inodes that are free; `None` where the file system makes them as they are needed.
    pub inodes: Option<u64>,
}

impl Root {
    /// Returns the root of the running system.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn live() -> Result<Self> {
        Self::with(Path::new("/"), Resolver::Plain)
    }

    /// Returns the tree under `path`, which is resolved on the running system and must be a directory.
    ///
    /// # Errors
    /// There is no directory at `path`, or it may not be opened.
    pub fn open(path: &Path) -> Result<Self> {
        // commands that are shown are typed in another directory
        let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let root = Self::with(path, Resolver::Kernel)?;
        let probe = rustix::fs::openat2(
            &*root.dir()?,
            ".",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        );
        match probe {
            Ok(_) => Ok(root),
            // ENOSYS: before 5.6; EPERM: a seccomp filter that does not know the call
            Err(Errno::NOSYS | Errno::PERM) => Ok(Self { resolver: Resolver::Walk, ..root }),
            Err(e) => Err(e).with_context(|| format!("opening the root {}", path.display())),
        }
    }

    /// Returns the tree under `path` as [`Root::open`] does on a kernel without `openat2`, so that a test can show
    /// that both ways give the same answers.
    ///
    /// # Errors
    /// As [`Root::open`].
    #[doc(hidden)]
    pub fn open_walking(path: &Path) -> Result<Self> {
        Self::with(path, Resolver::Walk)
    }

    fn with(path: &Path, resolver: Resolver) -> Result<Self> {
        let root = Self { path: path.to_owned(), dir: Arc::default(), resolver };
        root.reopen(path)?;
        Ok(root)
    }

    /// Returns the tree as one that commands name by another path: where a person mounts what this program has
    /// mounted privately.
    #[must_use]
    pub fn known_as(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// Lets go of the tree, so that its file system can be unmounted. Every access fails until [`Root::reopen`].
    pub fn close(&self) {
        *self.dir.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Goes on with the tree at `path`.
    ///
    /// # Errors
    /// There is no directory at `path`, or it may not be opened.
    pub fn reopen(&self, path: &Path) -> Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("opening the root {}", path.display()))?;
        *self.dir.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(dir));
        Ok(())
    }

    fn dir(&self) -> rustix::io::Result<Arc<OwnedFd>> {
        // ESTALE: the file system behind it was unmounted
        self.dir.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Errno::STALE)
    }

    /// Returns the path of the root itself on the running system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a whole file.
    ///
    /// # Errors
    /// It is missing, not a regular file, larger than [`READ_MAX`], or cannot be read.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.read_opt(path)?.with_context(|| format!("reading {path}: no such file"))
    }

    /// Returns a whole file, or `None` where there is none.
    ///
    /// # Errors
    /// As [`Root::read`], but a missing file is none.
    pub fn read_opt(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some((mut file, size)) = self.open_file(path)? else { return Ok(None) };
        if size > READ_MAX {
            bail!("reading {path}: {size} bytes, more than {READ_MAX} are not read whole");
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        // files of /proc and /sys have no size of their own, so the limit holds for what comes out as well
        (&mut file).take(READ_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
        if bytes.len() as u64 > READ_MAX {
            bail!("reading {path}: more than {READ_MAX} bytes are not read whole");
        }
        Ok(Some(bytes))
    }

    /// Returns a whole file as text, bytes that are not UTF-8 replaced, or `None` where there is none.
    ///
    /// # Errors
    /// As [`Root::read_opt`].
    pub fn text_opt(&self, path: &str) -> Result<Option<String>> {
        let text = |bytes| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        };
        Ok(self.read_opt(path)?.map(text))
    }

    /// Returns the last `limit` bytes of a file, or `None` where there is none. The file may have any size.
    ///
    /// # Errors
    /// It is not a regular file or cannot be read.
    pub fn tail_opt(&self, path: &str, limit: u64) -> Result<Option<Tail>> {
        let Some((mut file, size)) = self.open_file(path)? else { return Ok(None) };
        let cut = size > limit;
        if cut {
            file.seek(SeekFrom::Start(size - limit)).with_context(|| format!("reading {path}"))?;
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
        let start = match bytes.iter().position(|&b| b == b'\n') {
            Some(newline) if cut => newline + 1,
            _ => 0,
        };
        let text = String::from_utf8_lossy(&bytes[start..]).into_owned();
        Ok(Some(Tail { text, size, cut }))
    }

    /// Returns a file opened for reading at any place, with its size; for databases and archives, which are not
    /// read whole. `None` where there is none.
    ///
    /// # Errors
    /// It is not a regular file or cannot be opened.
    pub fn open_file(&self, path: &str) -> Result<Option<(std::fs::File, u64)>> {
        let doing = || format!("reading {path}");
        // Looked at before it is opened: opening a device can act on it, opening a FIFO can hang.
        match self.stat_opt(path)? {
            None => return Ok(None),
            Some(Stat { kind: Kind::File, .. }) => {}
            Some(Stat { kind: Kind::Dir, .. }) => bail!("reading {path}: it is a directory"),
            Some(_) => bail!("reading {path}: not a regular file (a FIFO, socket or device)"),
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(fd) = self.open_at(path, flags).with_context(doing)? else { return Ok(None) };
        let stat = rustix::fs::fstat(&fd).with_context(doing)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            bail!("reading {path}: it changed while it was looked at");
        }
        Ok(Some((std::fs::File::from(fd), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// Returns the names in a directory in order, without `.` and `..`; nothing where there is no directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn read_dir(&self, path: &str) -> Result<Vec<Entry>> {
        let doing = || format!("reading the directory {path}");
        // of what is no directory, a device among others, O_DIRECTORY opens nothing
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let Some(fd) = self.open_at(path, flags).with_context(doing)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        let mut names = rustix::fs::Dir::new(fd).with_context(doing)?;
        while let Some(entry) = names.read() {
            let entry = entry.with_context(doing)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "." || name == ".." {
                continue;
            }
            let is_link = match entry.file_type() {
                // XFS as EL7 made it until 7.3 (ftype=0) does not say
                FileType::Unknown => {
                    let dir = names.fd().with_context(doing)?;
                    let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                    stat.is_ok_and(|stat| stat_of(&stat).kind == Kind::Link)
                }
                kind => kind == FileType::Symlink,
            };
            entries.push(Entry { name, is_link });
        }
        entries.sort();
        Ok(entries)
    }

    /// Returns the names in `path` that end in `suffix`, in order, as paths; nothing where there is no directory.
    ///
    /// # Errors
    /// As [`Root::read_dir`].
    pub fn files_in(&self, path: &str, suffix: &str) -> Result<Vec<String>> {
        let entries = self.read_dir(path)?;
        let names = entries.into_iter().map(|e| e.name).filter(|name| name.ends_with(suffix));
        Ok(names.map(|name| format!("{path}/{name}")).collect())
    }

    /// Returns the facts about what a path leads to, or `None` where it leads nowhere.
    ///
    /// # Errors
    /// The path cannot be looked at (no permission, I/O error).
    pub fn stat_opt(&self, path: &str) -> Result<Option<Stat>> {
        let doing = || format!("looking at {path}");
        let Some(fd) = self.open_at(path, OFlags::PATH).with_context(doing)? else { return Ok(None) };
        Ok(Some(stat_of(&stat_fd(fd.as_fd()).with_context(doing)?)))
    }

    /// Returns the facts about a path itself: a link is not followed.
    ///
    /// # Errors
    /// As [`Root::stat_opt`].
    pub fn lstat_opt(&self, path: &str) -> Result<Option<Stat>> {
        let doing = || format!("looking at {path}");
        let Some((parent, name)) = self.parent_of(path).with_context(doing)? else {
            return Ok(None);
        };
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e).with_context(doing),
        }
    }

    /// Returns what a symbolic link says, or `None` when the path is no link.
    ///
    /// # Errors
    /// The path cannot be looked at.
    pub fn link_opt(&self, path: &str) -> Result<Option<String>> {
        let doing = || format!("reading the link {path}");
        let Some((parent, name)) = self.parent_of(path).with_context(doing)? else {
            return Ok(None);
        };
        match rustix::fs::readlinkat(&parent, name, Vec::new()) {
            Ok(text) => Ok(Some(text.to_string_lossy().into_owned())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => Ok(None),
            Err(e) => Err(e).with_context(doing),
        }
    }

    /// Returns the path, relative to the root and without links, of what `path` leads to; `None` where it leads
    /// nowhere.
    ///
    /// # Errors
    /// A part of the path cannot be looked at, or its links form a loop.
    pub fn resolve(&self, path: &str) -> Result<Option<String>> {
        let walked = self.walk(path, OFlags::PATH);
        Ok(walked.with_context(|| format!("following {path}"))?.map(|(_, names)| names.join("/")))
    }

    /// Whether something stands at a path, links followed. What may not be looked at counts as absent.
    pub fn exists(&self, path: &str) -> bool {
        matches!(self.stat_opt(path), Ok(Some(_)))
    }

    /// Returns the path of a program of the target, or `None`. It must be a file that may be executed.
    pub fn find_program(&self, name: &str) -> Option<String> {
        let is_program = |path: &String| matches!(self.stat_opt(path), Ok(Some(s)) if s.kind == Kind::File && s.mode & 0o111 != 0);
        PROGRAM_DIRS.iter().map(|dir| format!("{dir}/{name}")).find(is_program)
    }

    /// Returns the free room of the file system that holds `path`.
    ///
    /// # Errors
    /// The path is missing or cannot be looked at.
    pub fn space(&self, path: &str) -> Result<Space> {
        let doing = || format!("looking at the file system of {path}");
        let fd = self.open_at(path, OFlags::PATH).with_context(doing)?.with_context(doing)?;
        let fs = rustix::fs::fstatvfs(&fd).with_context(doing)?;
        let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
        Ok(Space {
            free: bytes(fs.f_bavail),
            free_for_root: bytes(fs.f_bfree),
            total: bytes(fs.f_blocks),
            inodes: (fs.f_files > 0).then_some(fs.f_ffree),
        })
    }
}

fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    Stat {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: stat.st_mtime,
        ctime: stat.st_ctime,
        device: stat.st_dev,
    }
}
