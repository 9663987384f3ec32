//! Lock files of the account files.
//!
//! Two kinds: `.pwd.lock` is always there and held by a record lock (lckpwdf(3)); `passwd.lock` and `shadow.lock`
//! stand as long as somebody of shadow-utils writes, and hold that program's pid (lib/commonio.c, `do_lock_file`). One
//! whose program is gone stops every later `passwd`, `useradd` and `chage` of old versions.

use anyhow::Result;

use crate::root::{Kind, Root};

/// The file whose record lock lckpwdf(3) takes.
pub const PWD_LOCK: &str = "etc/.pwd.lock";

/// The lock files with a pid.
const WITH_PID: [&str; 4] = ["etc/passwd.lock", "etc/shadow.lock", "etc/group.lock", "etc/gshadow.lock"];

/// A lock file that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// Where.
    pub path: &'static str,
    /// What it holds; `None` for junk, which shadow-utils takes for a lock all the same.
    pub pid: Option<u32>,
    /// Last modification, seconds since 1970.
    pub mtime: i64,
}

/// Returns the lock files with a pid that stand there.
///
/// # Errors
/// One cannot be read.
pub fn standing(root: &Root) -> Result<Vec<LockFile>> {
    let mut locks = Vec::new();
    for path in WITH_PID {
        let Some(stat) = root.stat_opt(path)? else { continue };
        if stat.kind != Kind::File {
            continue;
        }
        let text = root.tail_opt(path, 32)?.map(|tail| tail.text).unwrap_or_default();
        // written with its terminating NUL
        let pid = text.trim_end_matches('\0').trim().parse().ok().filter(|pid| *pid > 0);
        locks.push(LockFile { path, pid, mtime: stat.mtime });
    }
    Ok(locks)
}

impl LockFile {
    /// Whether the program that made it still runs; asks the kernel, so of a running guest only. One that cannot be
    /// asked counts as running.
    pub fn is_held(&self) -> bool {
        let Some(pid) =
            self.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
        else {
            return false;
        };
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
    }
}
