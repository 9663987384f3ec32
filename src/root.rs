//! Every file access, resolved inside the root.
//!
//! A [`Root`] is the tree that is looked at: `/` on a running guest, or the mounted disk of a sick one. What is
//! in the tree is untrusted. No link in it leads outside, a FIFO or a device is never opened, a huge file is
//! refused, and a kernel file system that somebody bound into an offline tree (`mount --bind /proc`) is not
//! taken for the target's.
//!
//! Paths are written relative to the root, with or without a leading slash: `etc/passwd` and `/etc/passwd` are
//! the same file. This module refuses to judge what it reads.

#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use write::{FileNode, Node};

/// The largest file that is read whole, in bytes. Configuration is far below it; logs are read by their tail.
pub const READ_MAX: u64 = 16 << 20;

/// Links followed while one path is resolved, as in the kernel (`MAXSYMLINKS`, include/linux/namei.h).
const LINKS_MAX: usize = 40;

/// Where programs are looked for in the target: systemd's default PATH, then the rest of a root shell's.
const PROGRAM_DIRS: [&str; 6] = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/// The tree under examination.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    dir: OwnedFd,
    resolver: Resolver,
}

/// How a path is kept inside the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolver {
    /// The root is `/`: there is no outside.
    Plain,
    /// `openat2(RESOLVE_IN_ROOT)`, Linux 5.6 and later.
    Kernel,
    /// Component by component with `O_NOFOLLOW`: rescue systems with an older kernel.
    Walk,
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
    /// Bytes that root may still write.
    pub free: u64,
    /// Size of the file system in bytes.
    pub total: u64,
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
        let root = Self::with(path, Resolver::Kernel)?;
        let probe = rustix::fs::openat2(
            &root.dir,
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
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("opening the root {}", path.display()))?;
        Ok(Self { path: path.to_owned(), dir, resolver })
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
        Ok(self.read_opt(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
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
        match self.stat_opt(path)? {
            Some(Stat { kind: Kind::Dir, .. }) => {}
            _ => return Ok(Vec::new()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let Some(fd) = self.open_at(path, flags).with_context(doing)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&fd).with_context(doing)? {
            let entry = entry.with_context(doing)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "." || name == ".." {
                continue;
            }
            let is_link = match entry.file_type() {
                // XFS as EL7 made it until 7.3 (ftype=0) does not say
                FileType::Unknown => {
                    let stat = rustix::fs::statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
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
        Ok(Space { free: bytes(fs.f_bavail), total: bytes(fs.f_blocks) })
    }

    /// Opens a path inside the root; `None` where it leads nowhere.
    fn open_at(&self, path: &str, flags: OFlags) -> rustix::io::Result<Option<OwnedFd>> {
        let flags = flags | OFlags::CLOEXEC;
        let opened = match self.resolver {
            Resolver::Plain => rustix::fs::openat(&self.dir, relative(path), flags, Mode::empty()),
            Resolver::Kernel => self.open_in_root(path, flags),
            Resolver::Walk => {
                return Ok(self.walk(path, flags)?.map(|(fd, _)| fd));
            }
        };
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(e),
        };
        self.of_target(fd)
    }

    fn open_in_root(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = relative(path);
        // EAGAIN: a rename elsewhere on the machine raced with `..`; openat2(2) asks to try again
        for _ in 0..16 {
            match rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                done => return done,
            }
        }
        rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), resolve)
    }

    /// Hides what is not the target's: a procfs, sysfs or devtmpfs of the running kernel bound into an offline tree.
    fn of_target(&self, fd: OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
        // include/uapi/linux/magic.h
        const PROC_SUPER_MAGIC: u64 = 0x9fa0;
        const SYSFS_MAGIC: u64 = 0x6265_6572;
        if self.resolver == Resolver::Plain {
            return Ok(Some(fd));
        }
        let magic = match rustix::fs::fstatfs(&fd) {
            Ok(fs) => u64::try_from(fs.f_type).unwrap_or(0),
            // O_PATH before Linux 3.12 (open(2)): the file can be looked at, and reading opens it without
            Err(Errno::BADF) => 0,
            Err(e) => return Err(e),
        };
        Ok((!matches!(magic, PROC_SUPER_MAGIC | SYSFS_MAGIC)).then_some(fd))
    }

    /// Returns the directory that holds the last component of a path, and that component.
    fn parent_of<'p>(&self, path: &'p str) -> rustix::io::Result<Option<(OwnedFd, &'p str)>> {
        let path = path.trim_matches('/');
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        if name.is_empty() || name == "." || name == ".." {
            return Err(Errno::INVAL);
        }
        let parent = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(parent.map(|fd| (fd, name)))
    }

    /// Resolves a path component by component and opens it with `flags`. The directories passed are kept open, so
    /// `..` is the directory that was really passed, whatever is renamed meanwhile, and never leads above the root.
    fn walk(&self, path: &str, flags: OFlags) -> rustix::io::Result<Option<Walked>> {
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut ahead: VecDeque<Vec<u8>> = components(path.as_bytes()).map(<[u8]>::to_vec).collect();
        let mut behind: Vec<(OwnedFd, Vec<u8>)> = Vec::new();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            match &name[..] {
                b"" | b"." => continue,
                b".." => {
                    behind.pop();
                    continue;
                }
                _ => {}
            }
            let here = behind.last().map_or(self.dir.as_fd(), |(fd, _)| fd.as_fd());
            let fd = match rustix::fs::openat(here, OsStr::from_bytes(&name), step, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(e) => return Err(e),
            };
            let kind = FileType::from_raw_mode(stat_fd(fd.as_fd())?.st_mode);
            if kind == FileType::Symlink {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let to = rustix::fs::readlinkat(here, OsStr::from_bytes(&name), Vec::new())?;
                if to.as_bytes().starts_with(b"/") {
                    behind.clear();
                }
                for part in components(to.as_bytes()).rev() {
                    ahead.push_front(part.to_vec());
                }
                continue;
            }
            if kind != FileType::Directory && !ahead.is_empty() {
                return Ok(None); // ENOTDIR, also for `file/` and `file/..`
            }
            behind.push((fd, name));
        }
        let here: BorrowedFd<'_> = match behind.len() {
            0 | 1 => self.dir.as_fd(),
            n => behind[n - 2].0.as_fd(),
        };
        let name = behind.last().map_or(OsStr::new("."), |(_, name)| OsStr::from_bytes(name));
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(here, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(e),
        };
        let names = behind.iter().map(|(_, name)| String::from_utf8_lossy(name).into_owned());
        let names = names.collect();
        Ok(self.of_target(fd)?.map(|fd| (fd, names)))
    }
}

/// An open file and its path without links.
type Walked = (OwnedFd, Vec<String>);

/// Returns the parts of a path; the empty ones too, for one at the end says that a directory is meant.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
}

/// Drops leading slashes, so that the path is resolved from the root's directory.
fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

/// Looks at an open file. Not `fstat`: that takes no `O_PATH` file before Linux 3.6 (open(2)).
fn stat_fd(fd: BorrowedFd<'_>) -> rustix::io::Result<rustix::fs::Stat> {
    rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)
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
