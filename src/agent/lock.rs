//! One agent at a time: two would both answer, and the second one with a fault.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::place::Place;
use crate::facts::agents::Kind;
use crate::facts::agents::process::kind_of;
use crate::target::Target;

const HOME: &str = "var/lib/novactl";
const LOCK: &str = "var/lib/novactl/agent.lock";

/// Held for as long as the agent runs; the kernel drops it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: OwnedFd,
}

impl Lock {
    /// Takes the lock of the system that is served.
    ///
    /// # Errors
    /// Another agent serves it, and which one; or the lock cannot be written.
    pub(super) fn take(place: &Place) -> Result<Self> {
        let target = place.target()?;
        if let Some(other) = running(&target, |kind| kind != Kind::Novactl) {
            bail!(
                "{other}: two agents would both answer the host; stop and disable it (novactl agent install does)"
            );
        }
        target.root.make_dir(HOME, 0o700)?;
        let file = target.root.open_lock(LOCK)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => {
                let who = running(&target, |kind| kind == Kind::Novactl);
                bail!(
                    "{}: one agent is enough",
                    who.unwrap_or_else(|| "another novactl agent runs".to_owned())
                )
            }
            Err(errno) => Err(errno).with_context(|| format!("locking {LOCK}")),
        }
    }
}

/// Names an agent that runs, other than this process.
fn running(target: &Target, counts: impl Fn(Kind) -> bool) -> Option<String> {
    let own = std::process::id();
    let others = target.processes().iter().filter(|process| process.pid != own);
    let found =
        others.filter_map(|process| Some((kind_of(process).filter(|kind| counts(*kind))?, process.pid)));
    found.map(|(kind, pid)| format!("{} runs as process {pid}", kind.name())).next()
}
