//! A change that takes itself back unless somebody keeps it: for a network that may have cut off its own user.
//!
//! The revert is a process of its own. Under systemd it is a transient timer, which no lost session and no killed
//! novactl can take with it; elsewhere a process in a group of its own. If even that is lost (reboot), the next
//! start of novactl finds the entry overdue.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::exec::{self, Cmd};
use crate::plan::journal::{Record, State};
use crate::root::Root;

/// How long an entry may be late before the next start takes it for orphaned, in seconds.
const GRACE: u64 = 30;

/// Starts the process that takes a change back after `seconds` unless it is kept.
///
/// # Errors
/// It cannot be started: then the change must not stay.
pub fn arm(root: &Root, id: &str, seconds: u64) -> Result<()> {
    let program = std::env::current_exe().context("finding the own program")?;
    let program = program.to_str().context("the own program's path is not UTF-8")?;
    if root.exists("run/systemd/system") {
        let unit = format!("novactl-revert-{id}");
        let after = format!("{seconds}s");
        let timer = Cmd::new(&[
            "systemd-run",
            "--collect",
            "--unit",
            &unit,
            "--on-active",
            &after,
            "--timer-property=AccuracySec=1s",
            program,
            "undo",
            id,
            "--unless-kept",
            "0",
        ]);
        match timer.within(Duration::from_secs(5)).output() {
            Ok(Some(output)) if output.status.success() => return Ok(()),
            Ok(Some(output)) => tracing::warn!("systemd-run: {}", output.stderr.trim()),
            Ok(None) => {}
            Err(e) => tracing::warn!("{e:#}"),
        }
    }
    exec::start_detached(&[program, "undo", id, "--unless-kept", &seconds.to_string()])
}

/// Waits, then says whether the change still has to be taken back.
///
/// # Errors
/// The journal cannot be read, or has no such entry.
pub fn wait(find: impl Fn() -> Result<Option<Record>>, seconds: u64) -> Result<Option<Record>> {
    std::thread::sleep(Duration::from_secs(seconds));
    let Some(record) = find()? else { bail!("the journal has no such change") };
    Ok((record.state == State::Done && record.revert_at.is_some()).then_some(record))
}

/// Whether a change should have taken itself back and did not: its process was lost.
pub fn is_overdue(record: &Record, now: u64) -> bool {
    record.state == State::Done && record.revert_at.is_some_and(|at| now > at.saturating_add(GRACE))
}
