//! The lock that everybody takes who changes passwd or shadow, held while a change of them is made.
//!
//! On a running guest only: on a disk nobody else is at work, and a lock file on it is left over. The lock is that of
//! lckpwdf(3), and a `shadow.lock` of a program that still runs is waited for as well.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::facts::accounts::locks::{self, PWD_LOCK};
use crate::target::Target;

/// How long another program may take, as in lckpwdf(3), and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOKS_EVERY: Duration = Duration::from_millis(50);

const FILES: [&str; 5] = ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/master.passwd"];

/// Takes the lock when one of the paths is an account file of a running guest; it lasts as long as what is returned.
///
/// # Errors
/// Another program holds it all the time.
pub(super) fn hold<'p>(target: &Target, mut paths: impl Iterator<Item = &'p str>) -> Result<Option<OwnedFd>> {
    if !target.is_live() || !paths.any(|path| FILES.contains(&path) || path.starts_with("etc/tcb/")) {
        return Ok(None);
    }
    hold_within(target, PATIENCE).map(Some)
}

fn hold_within(target: &Target, patience: Duration) -> Result<OwnedFd> {
    let lock = target.root.open_lock(PWD_LOCK)?;
    let end = Instant::now() + patience;
    loop {
        let holder = match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let held = locks::standing(&target.root)?.into_iter().find(locks::LockFile::is_held);
                let Some(held) = held else { return Ok(lock) };
                format!("{}, process {}", held.path, held.pid.unwrap_or_default())
            }
            Err(Errno::AGAIN | Errno::ACCESS) => PWD_LOCK.to_owned(),
            Err(e) => return Err(e).with_context(|| format!("locking {PWD_LOCK}")),
        };
        if Instant::now() >= end {
            let seconds = patience.as_secs();
            bail!(
                "another program changes the accounts and did not end within {seconds} s: it holds {holder}"
            );
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    #[test]
    fn a_running_program_with_a_lock_is_waited_for_and_one_that_is_gone_is_not() {
        let of = |pid: &str| {
            let tree = Tree::of(&[("etc/shadow.lock", pid)]);
            let target = Target::pretending_to_be_live(tree.path());
            hold_within(&target, Duration::ZERO).map(drop).map_err(|e| format!("{e:#}"))
        };
        let here = std::process::id();
        let words = "another program changes the accounts and did not end within 0 s: it holds etc/shadow.lock, process";
        assert_eq!(of(&here.to_string()), Err(format!("{words} {here}")));
        assert_eq!(of("4194305"), Ok(()));
        assert_eq!(of(""), Ok(()));
    }

    #[test]
    fn only_account_files_of_a_running_guest_are_locked() {
        let tree = Tree::of(&[("etc/shadow", "")]);
        let live = Target::pretending_to_be_live(tree.path());
        let disk = Target::offline(tree.path(), crate::xenstore::Source::None).unwrap();
        assert!(hold(&disk, ["etc/shadow"].into_iter()).unwrap().is_none());
        assert!(hold(&live, ["etc/hosts"].into_iter()).unwrap().is_none());
        assert!(!tree.root().exists(PWD_LOCK));
        assert!(hold(&live, ["etc/hosts", "etc/shadow"].into_iter()).unwrap().is_some());
        assert!(tree.root().exists(PWD_LOCK));
    }
}
