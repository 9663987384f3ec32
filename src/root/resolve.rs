//! How a path stays inside the root: by the kernel, or component by component where the kernel cannot.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Root;

/// Links followed while one path is resolved, as in the kernel (`MAXSYMLINKS`, include/linux/namei.h).
const LINKS_MAX: usize = 40;

/// How a path is kept inside the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolver {
    /// The root is `/`: there is no outside.
    Plain,
    /// `openat2(RESOLVE_IN_ROOT)`, Linux 5.6 and later.
    Kernel,
    /// Component by component with `O_NOFOLLOW`: rescue systems with an older kernel.
    Walk,
}

impl Root {
    /// Opens a path inside the root; `None` where it leads nowhere.
    pub(super) fn open_at(&self, path: &str, flags: OFlags) -> rustix::io::Result<Option<OwnedFd>> {
        let flags = flags | OFlags::CLOEXEC;
        let opened = match self.resolver {
            Resolver::Plain => rustix::fs::openat(&*self.dir()?, relative(path), flags, Mode::empty()),
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
        let dir = self.dir()?;
        // EAGAIN: a rename elsewhere on the machine raced with `..`; openat2(2) asks to try again
        for _ in 0..16 {
            match rustix::fs::openat2(&*dir, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                done => return done,
            }
        }
        rustix::fs::openat2(&*dir, path, flags, Mode::empty(), resolve)
    }

    /// Hides what is not the target's: a procfs or sysfs of the running kernel bound into an offline tree.
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
    pub(super) fn parent_of<'p>(&self, path: &'p str) -> rustix::io::Result<Option<(OwnedFd, &'p str)>> {
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
    pub(super) fn walk(&self, path: &str, flags: OFlags) -> rustix::io::Result<Option<Walked>> {
        let root = self.dir()?;
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
            let here = behind.last().map_or(root.as_fd(), |(fd, _)| fd.as_fd());
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
            0 | 1 => root.as_fd(),
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
pub(super) type Walked = (OwnedFd, Vec<String>);

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
pub(super) fn stat_fd(fd: BorrowedFd<'_>) -> rustix::io::Result<rustix::fs::Stat> {
    rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)
}
