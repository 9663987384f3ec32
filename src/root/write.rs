//! What stands at a path, whole, and putting it there: the only code that changes a tree.
//!
//! Only a plan and its journal call this. Every write is atomic: a new file beside the old one, then a rename, each
//! on the disk before the next. A final link is never followed; the caller names the file that it means.

use std::io::Write;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, AtFlags, IFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::{Kind, READ_MAX, Root, stat_of};

/// What stands at a path, with all that undoing has to bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Nothing.
    Absent,
    /// A regular file.
    File(FileNode),
    /// A symbolic link and what it says.
    Link(String),
}

/// A regular file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileNode {
    /// Its content.
    pub body: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by name, the SELinux label and access lists among them.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Last modification in seconds and nanoseconds since 1970; `None` leaves it to the clock.
    pub mtime: Option<(i64, i64)>,
}

impl std::fmt::Debug for FileNode {
    // The body can hold a secret: it must not reach a log through a careless `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileNode({} bytes, mode {:04o})", self.body.len(), self.mode)
    }
}

/// The directory of a user's keys: sshd ignores it when others may write in it, and its user must be able to read it
/// (sshd_config(5), `StrictModes`).
const KEYS_DIR: &str = ".ssh";

/// The largest set of extended attributes that is kept, in bytes (linux/limits.h, `XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 65536;

impl Root {
    /// Returns what stands at a path; a link is not followed.
    ///
    /// # Errors
    /// It is a directory, a device, larger than [`READ_MAX`], or cannot be read.
    pub fn node(&self, path: &str) -> Result<Node> {
        let doing = || format!("reading {path}");
        let Some(stat) = self.lstat_opt(path)? else { return Ok(Node::Absent) };
        match stat.kind {
            Kind::Link => Ok(self.link_opt(path)?.map_or(Node::Absent, Node::Link)),
            Kind::Dir => bail!("reading {path}: it is a directory"),
            Kind::Other => bail!("reading {path}: not a regular file (a FIFO, socket or device)"),
            Kind::File => {
                let (parent, name) = self.parent_of(path).with_context(doing)?.with_context(doing)?;
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&parent, name, flags, Mode::empty()).with_context(doing)?;
                file_node(fd).with_context(doing).map(Node::File)
            }
        }
    }

    /// Returns an extended attribute of the file or directory that a path leads to; `None` where it has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn xattr_opt(&self, path: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let doing = || format!("reading {name} of {path}");
        match self.stat_opt(path)? {
            Some(stat) if matches!(stat.kind, Kind::File | Kind::Dir) => {}
            _ => return Ok(None),
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(fd) = self.open_at(path, flags).with_context(doing)? else { return Ok(None) };
        let mut value = vec![0; XATTR_MAX];
        match rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(e) => Err(e).with_context(doing),
        }
    }

    /// Makes a path be what `node` says, and returns the directories that had to be made for it, outermost first.
    ///
    /// # Errors
    /// It cannot be written; the path then still is what it was.
    pub fn put(&self, path: &str, node: &Node) -> Result<Vec<String>> {
        let made = match node {
            Node::Absent => Vec::new(),
            Node::File(_) | Node::Link(_) => self.make_parents(path)?,
        };
        let doing = || match node {
            Node::Absent => format!("removing {path}"),
            Node::File(_) | Node::Link(_) => format!("writing {path}"),
        };
        let Some((parent, name)) = self.parent_of(path).with_context(doing)? else { return Ok(made) };
        let parent = reopened(&parent).with_context(doing)?;
        self.refuse_immutable(path).with_context(doing)?;
        match node {
            Node::Absent => match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e).with_context(doing),
            },
            Node::File(file) => {
                let new = temporary(name);
                write_new(&parent, &new, file)
                    .and_then(|()| Ok(rustix::fs::renameat(&parent, &new, &parent, name)?))
                    .inspect_err(|_| forget(&parent, &new))
                    .with_context(doing)?;
            }
            Node::Link(to) => {
                let new = temporary(name);
                forget(&parent, &new);
                rustix::fs::symlinkat(to, &parent, &new)
                    .and_then(|()| rustix::fs::renameat(&parent, &new, &parent, name))
                    .inspect_err(|_| forget(&parent, &new))
                    .with_context(doing)?;
            }
        }
        rustix::fs::fsync(&parent).with_context(doing)?;
        Ok(made)
    }

    /// Takes a file's content away and leaves the file; of any size. A link is not followed.
    ///
    /// # Errors
    /// It is no regular file, or cannot be written.
    pub fn empty(&self, path: &str) -> Result<()> {
        let doing = || format!("emptying {path}");
        if self.lstat_opt(path)?.is_none_or(|stat| stat.kind != Kind::File) {
            bail!("emptying {path}: not a regular file");
        }
        self.refuse_immutable(path).with_context(doing)?;
        let (parent, name) = self.parent_of(path).with_context(doing)?.with_context(doing)?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent, name, flags, Mode::empty()).with_context(doing)?;
        rustix::fs::ftruncate(&fd, 0).with_context(doing)?;
        rustix::fs::fsync(&fd).with_context(doing)
    }

    /// Removes what an interrupted [`Root::put`] left beside a path.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub fn sweep(&self, path: &str) -> Result<()> {
        let doing = || format!("tidying up beside {path}");
        if let Some((parent, name)) = self.parent_of(path).with_context(doing)? {
            forget(&parent, &temporary(name));
        }
        Ok(())
    }

    /// Makes a directory and its missing parents, and returns those it made, outermost first.
    ///
    /// # Errors
    /// A parent is no directory, or cannot be written.
    pub fn make_dir(&self, path: &str, mode: u32) -> Result<Vec<String>> {
        let mut made = Vec::new();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for end in 1..=parts.len() {
            let dir = parts[..end].join("/");
            match self.stat_opt(&dir)? {
                Some(stat) if stat.kind == Kind::Dir => continue,
                Some(_) => bail!("making the directory {dir}: something else is in its place"),
                None => {}
            }
            let doing = || format!("making the directory {dir}");
            let (parent, name) = self.parent_of(&dir).with_context(doing)?.with_context(doing)?;
            let bits = match name {
                KEYS_DIR => 0o700,
                _ if end == parts.len() => mode,
                _ => 0o755,
            };
            rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(bits)).with_context(doing)?;
            made.push(dir.clone());
            if name == KEYS_DIR {
                like_its_parent(&parent, name).with_context(doing)?;
            }
        }
        Ok(made)
    }

    /// Says whether files can be made in a directory, and makes none.
    ///
    /// # Errors
    /// They cannot: no permission, a file system that is read-only.
    pub(crate) fn expect_writable(&self, path: &str) -> Result<()> {
        let Some(fd) = self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)? else {
            bail!("no directory {path}")
        };
        Ok(rustix::fs::accessat(&fd, ".", Access::WRITE_OK, AtFlags::empty())?)
    }

    /// Removes a directory that is empty; one that is not stays.
    ///
    /// # Errors
    /// The directory cannot be removed for another reason.
    pub fn remove_empty_dir(&self, path: &str) -> Result<()> {
        let doing = || format!("removing the directory {path}");
        let Some((parent, name)) = self.parent_of(path).with_context(doing)? else { return Ok(()) };
        match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(e) => Err(e).with_context(doing),
        }
    }

    /// Opens a file for locking, made when it is missing. It is never written or followed.
    pub(crate) fn open_lock(&self, path: &str) -> Result<OwnedFd> {
        let doing = || format!("opening {path}");
        let (parent, name) = self.parent_of(path).with_context(doing)?.with_context(doing)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600)).with_context(doing)
    }

    fn make_parents(&self, path: &str) -> Result<Vec<String>> {
        match path.trim_matches('/').rsplit_once('/') {
            Some((parent, _)) => self.make_dir(parent, 0o755),
            None => Ok(Vec::new()),
        }
    }

    /// A rename over an immutable file says only EPERM: this says which flag and how to clear it.
    ///
    /// # Errors
    /// The file is immutable or append-only.
    pub(crate) fn refuse_immutable(&self, path: &str) -> Result<()> {
        let Some(stat) = self.lstat_opt(path)? else { return Ok(()) };
        if stat.kind != Kind::File {
            return Ok(());
        }
        let Some((file, _)) = self.open_file(path)? else { return Ok(()) };
        // not every file system has flags
        let Ok(flags) = rustix::fs::ioctl_getflags(&file) else { return Ok(()) };
        if flags.contains(IFlags::IMMUTABLE) {
            bail!("the file is immutable: chattr -i {} allows the change", self.path.join(path).display());
        }
        if flags.contains(IFlags::APPEND) {
            bail!("the file is append-only: chattr -a {} allows the change", self.path.join(path).display());
        }
        Ok(())
    }
}

/// Gives a directory the owner of the one it is in.
fn like_its_parent(parent: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(parent)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Returns a directory opened for reading, which fsync needs.
fn reopened(parent: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(parent, ".", flags, Mode::empty())
}

/// The name beside the file under which the new one is written. The dot keeps it out of the way of programs that
/// read every file of a directory (run-parts, `source interfaces.d/*`, NetworkManager).
fn temporary(name: &str) -> String {
    format!(".{name}.novactl-new")
}

fn forget(parent: &OwnedFd, name: &str) {
    // There is usually none; a leftover that cannot be removed shows when it is in the way.
    let _ = rustix::fs::unlinkat(parent, name, AtFlags::empty());
}

fn write_new(parent: &OwnedFd, name: &str, file: &FileNode) -> Result<()> {
    forget(parent, name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Nobody else may read it before it has its owner and mode.
    let fd = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    let mut out = std::fs::File::from(fd);
    out.write_all(&file.body)?;
    let stat = rustix::fs::fstat(&out)?;
    if (stat.st_uid, stat.st_gid) != (file.uid, file.gid) {
        let owner = rustix::fs::Uid::from_raw(file.uid);
        rustix::fs::fchown(&out, Some(owner), Some(rustix::fs::Gid::from_raw(file.gid)))?;
    }
    rustix::fs::fchmod(&out, Mode::from_raw_mode(file.mode))?;
    for (key, value) in &file.xattrs {
        rustix::fs::fsetxattr(&out, key.as_str(), value, XattrFlags::empty())
            .with_context(|| format!("setting the attribute {key}"))?;
    }
    if let Some((seconds, nanoseconds)) = file.mtime {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        rustix::fs::futimens(&out, &Timestamps { last_access: time, last_modification: time })?;
    }
    Ok(out.sync_all()?)
}

fn file_node(fd: OwnedFd) -> Result<FileNode> {
    let raw = rustix::fs::fstat(&fd)?;
    let stat = stat_of(&raw);
    if stat.size > READ_MAX {
        bail!("{} bytes, more than {READ_MAX} are not read whole", stat.size);
    }
    let xattrs = xattrs_of(&fd)?;
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(fd), &mut body)?;
    let mtime = Some((raw.st_mtime, i64::try_from(raw.st_mtime_nsec).unwrap_or(0)));
    Ok(FileNode { body, mode: stat.mode, uid: stat.uid, gid: stat.gid, xattrs, mtime })
}

fn xattrs_of(fd: &OwnedFd) -> Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; XATTR_MAX];
    let length = match rustix::fs::flistxattr(fd, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(e) => return Err(e).context("listing extended attributes"),
    };
    let mut xattrs = Vec::new();
    for name in names[..length].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; XATTR_MAX];
        let length = rustix::fs::fgetxattr(fd, name.as_str(), &mut value[..])
            .with_context(|| format!("reading the attribute {name}"))?;
        value.truncate(length);
        xattrs.push((name, value));
    }
    xattrs.sort();
    Ok(xattrs)
}
