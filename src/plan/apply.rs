//! Makes a change: journal, files, programs. The only place that does.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail};

use super::accounts;
use super::journal::{self, FileRecord, Journal, NodeRecord, Record, State};
use super::{FileChange, Leaves, LiveStep, Needs, Plan, Prepared};
use crate::exec::{self, Cmd};
use crate::root::{Node, Root};
use crate::target::Target;

/// Why a change was not made.
#[derive(Debug)]
pub enum ApplyError {
    /// Nothing was changed.
    Refused(anyhow::Error),
    /// It failed on the way, and everything was put back.
    RolledBack(anyhow::Error),
    /// It was interrupted, and everything was put back.
    Interrupted,
    /// It failed, and could not be put back whole.
    Stuck {
        /// Why it failed.
        cause: anyhow::Error,
        /// What is left, one line each, with what to do by hand.
        left: Vec<String>,
    },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(e) => write!(f, "nothing was changed: {e:#}"),
            Self::RolledBack(e) => write!(f, "everything was put back: {e:#}"),
            Self::Interrupted => write!(f, "interrupted; everything was put back"),
            Self::Stuck { cause, left } => {
                write!(f, "{cause:#}; these could not be put back: {}", left.join("; "))
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// Set by SIGINT, SIGTERM and SIGHUP; looked at between two steps, so that a change is never left half-way.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Returns one that the signals set from now on.
    ///
    /// # Errors
    /// The handlers cannot be set.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0)).context("handling signals")?;
        }
        Ok(interrupt)
    }

    /// Whether a signal came.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A change that was made and not yet confirmed. Dropped without [`Applied::keep`] or [`Applied::take_back`], as when
/// the program is killed, it counts as interrupted: the next start takes it back.
#[derive(Debug)]
pub struct Applied<'j> {
    journal: &'j Journal<'j>,
    record: Record,
    runs: Runs,
    _accounts: Option<OwnedFd>,
}

/// Whether programs of the target may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// It is the running system.
    Yes,
    /// It is not: what it has to run, it runs at its next boot.
    No,
}

impl Runs {
    fn of(target: &Target) -> Self {
        if target.is_live() { Self::Yes } else { Self::No }
    }
}

impl Prepared {
    /// Makes the change.
    ///
    /// # Errors
    /// See [`ApplyError`]; in all but the last case the target is as it was.
    pub fn apply<'j>(
        self,
        target: &Target,
        journal: &'j Journal<'j>,
        interrupt: &Interrupt,
    ) -> Result<Applied<'j>, ApplyError> {
        let root = &target.root;
        let runs = Runs::of(target);
        let paths = self.files.iter().map(|file| file.path.as_str());
        let accounts = accounts::hold(target, paths).map_err(ApplyError::Refused)?;
        let record = self.record(root).map_err(ApplyError::Refused)?;
        let originals: Vec<&Node> = self.files.iter().map(|file| &file.before).collect();
        let record = journal.begin(record, &originals).map_err(ApplyError::Refused)?;
        let mut steps_made = 0;
        match self.make(root, runs, interrupt, &mut steps_made) {
            Ok(()) => Ok(Applied { journal, record, runs, _accounts: accounts }),
            Err(cause) => {
                let made = Record { steps: record.steps[..steps_made].to_vec(), ..record.clone() };
                let left = put_back(root, &made, runs);
                Err(match closed(journal, record, left, cause) {
                    ApplyError::RolledBack(_) if interrupt.is_set() => ApplyError::Interrupted,
                    error => error,
                })
            }
        }
    }

    /// Describes the change, and refuses it when a file is not what it was when the plan was made.
    fn record(&self, root: &Root) -> Result<Record> {
        let mut files = Vec::new();
        let mut made_dirs: Vec<String> = Vec::new();
        for file in &self.files {
            if root.node(&file.path)? != file.before {
                bail!("{} was changed by somebody else since the plan was made: look again", file.path);
            }
            for dir in missing_parents(root, &file.path)? {
                if !made_dirs.contains(&dir) {
                    made_dirs.push(dir);
                }
            }
            files.push(FileRecord {
                path: file.path.clone(),
                before: NodeRecord::of(&file.before),
                after: NodeRecord::of(&file.after),
                secret: file.secret,
            });
        }
        Ok(Record {
            schema: "novactl.journal/1".to_owned(),
            id: String::new(),
            verb: self.verb.to_owned(),
            title: self.title.clone(),
            state: State::Open,
            files,
            made_dirs,
            activate: self.activate.clone(),
            steps: self.steps.clone(),
            discarded: self.discards.clone(),
            revert_at: None,
            request: self.request.clone(),
        })
    }

    fn make(&self, root: &Root, runs: Runs, interrupt: &Interrupt, steps_made: &mut usize) -> Result<()> {
        let go_on = || if interrupt.is_set() { Err(anyhow!("interrupted")) } else { Ok(()) };
        let steps = if runs == Runs::Yes { self.steps.as_slice() } else { &[] };
        let (before, after) = steps.split_at(steps.partition_point(|step| step.needs == Needs::Old));
        let mut make = |steps: &[LiveStep]| {
            steps.iter().try_for_each(|step| {
                go_on()?;
                // counted before it runs: one that failed half-way has to be taken back as well
                *steps_made += 1;
                run(&step.run)
            })
        };
        make(before)?;
        for file in &self.files {
            go_on()?;
            root.put(&file.path, &file.after)?;
        }
        make(after)?;
        if runs == Runs::No {
            return go_on();
        }
        for cmd in &self.activate {
            go_on()?;
            run(cmd)?;
        }
        go_on()
    }
}

impl Applied<'_> {
    /// Returns the journal entry.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Confirms the change; with `revert_at` (seconds since 1970) it still takes itself back then unless kept.
    ///
    /// # Errors
    /// The journal cannot be written; the change then counts as interrupted.
    pub fn keep(mut self, revert_at: Option<u64>) -> Result<Record> {
        self.record.state = State::Done;
        self.record.revert_at = revert_at;
        self.journal.save(&self.record)?;
        // last of all: nothing brings these back
        for discard in &self.record.discarded {
            match discard.leaves {
                Leaves::Nothing => drop(self.journal.root().put(&discard.path, &Node::Absent)?),
                Leaves::Empty => self.journal.root().empty(&discard.path)?,
            }
        }
        self.journal.prune()?;
        Ok(self.record)
    }

    /// Takes the change back because of `cause`, and returns how that went.
    pub fn take_back(self, cause: anyhow::Error) -> ApplyError {
        let left = put_back(self.journal.root(), &self.record, self.runs);
        closed(self.journal, self.record, left, cause)
    }
}

/// Takes back every change that was interrupted, and returns their ids.
///
/// # Errors
/// The journal cannot be read, or one of them could not be put back whole.
pub fn recover(target: &Target, journal: &Journal<'_>) -> Result<Vec<String>> {
    let mut recovered = Vec::new();
    for record in journal::list(&target.root)?.into_iter().rev() {
        if record.state != State::Open {
            continue;
        }
        let left = put_back(&target.root, &record, Runs::of(target));
        if !left.is_empty() {
            bail!("taking back the interrupted change {}: {}", record.id, left.join("; "));
        }
        recovered.push(record.id.clone());
        journal.close(record)?;
    }
    Ok(recovered)
}

/// Returns the plan that takes a finished change back.
///
/// # Errors
/// It is not finished, or a file was changed since and `edits` does not allow to lose that.
pub fn undo(root: &Root, record: &Record, edits: Edits) -> Result<Plan> {
    if record.state != State::Done {
        bail!("{} was taken back already", record.id);
    }
    let mut files = Vec::new();
    for (number, file) in record.files.iter().enumerate().rev() {
        let now = root.node(&file.path)?;
        if edits == Edits::Refuse && !file.after.is(&now) && !file.before.is(&now) {
            bail!("{} was changed since: undoing would lose that (--force does it all the same)", file.path);
        }
        let node = journal::original_node(root, record, number)?;
        files.push(FileChange::Restore { path: file.path.clone(), node, secret: file.secret });
    }
    let back = |step: &LiveStep| {
        let needs = step.needs.reversed();
        step.back.clone().map(|back| LiveStep { run: back, back: Some(step.run.clone()), needs })
    };
    Ok(Plan {
        verb: "undo",
        title: format!("take back {}", record.id),
        files,
        activate: record.activate.clone(),
        steps: record.steps.iter().rev().filter_map(back).collect(),
        discards: Vec::new(),
    })
}

/// What undo does with a file that was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    /// Refuse: nothing is lost.
    Refuse,
    /// Overwrite it; the journal keeps what it was.
    Overwrite,
}

/// Removes the directories that a change made, innermost first, when they are empty.
///
/// # Errors
/// One cannot be removed for another reason.
pub fn remove_made_dirs(root: &Root, record: &Record) -> Result<()> {
    record.made_dirs.iter().rev().try_for_each(|dir| root.remove_empty_dir(dir))
}

/// Closes the entry of a change that was put back, and says how that went.
fn closed(journal: &Journal<'_>, record: Record, left: Vec<String>, cause: anyhow::Error) -> ApplyError {
    if !left.is_empty() {
        return ApplyError::Stuck { cause, left };
    }
    match journal.close(record) {
        Ok(()) => ApplyError::RolledBack(cause),
        Err(e) => ApplyError::Stuck { cause, left: vec![format!("{e:#}; the files are as they were")] },
    }
}

/// Puts everything back and returns what could not be, one line each.
fn put_back(root: &Root, record: &Record, runs: Runs) -> Vec<String> {
    let mut left = Vec::new();
    let (with_new, rest): (Vec<_>, Vec<_>) =
        record.steps.iter().rev().partition(|step| step.needs == Needs::New);
    let say = |left: &mut Vec<String>, cmd: &Cmd, ran: Result<()>| {
        if let Err(e) = ran {
            left.push(format!("{e:#}: run {} by hand", cmd.argv().join(" ")));
        }
    };
    if runs == Runs::Yes {
        for cmd in with_new.into_iter().filter_map(|step| step.back.as_ref()) {
            say(&mut left, cmd, run_back(cmd));
        }
    }
    for (number, file) in record.files.iter().enumerate().rev() {
        let put = root.sweep(&file.path).and_then(|()| {
            let node = journal::original_node(root, record, number)?;
            if root.node(&file.path)? != node {
                root.put(&file.path, &node)?;
            }
            Ok(())
        });
        if let Err(e) = put {
            let copy = format!("/{}/{}/{number}.orig", journal::DIR, record.id);
            left.push(format!("{e:#}: copy {copy} over /{}", file.path));
        }
    }
    if let Err(e) = remove_made_dirs(root, record) {
        left.push(format!("{e:#}"));
    }
    if runs == Runs::Yes {
        for cmd in rest.into_iter().filter_map(|step| step.back.as_ref()) {
            say(&mut left, cmd, run_back(cmd));
        }
        for cmd in &record.activate {
            say(&mut left, cmd, run(cmd));
        }
    }
    left
}

/// Takes a step back. One that had not been made, because it failed or we were killed before it, leaves nothing to take
/// back: that is no failure.
fn run_back(cmd: &Cmd) -> Result<()> {
    // what iproute2 says of a route and of an address that are not there, the third from Linux 6.8 on; what service,
    // rc-service, systemctl and upstart's stop say of a service that never came
    const NOT_THERE: [&str; 8] = [
        "RTNETLINK answers: No such process",
        "RTNETLINK answers: Cannot assign requested address",
        "ddress not found",
        "unrecognized service",
        "' does not exist",
        ".service not loaded",
        "stop: Unknown instance:",
        "stop: Unknown job:",
    ];
    let output = cmd.output()?.with_context(|| missing(cmd))?;
    if NOT_THERE.iter().any(|words| output.stderr.contains(words)) {
        return Ok(());
    }
    judged(cmd, &output)
}

fn run(cmd: &Cmd) -> Result<()> {
    judged(cmd, &cmd.output()?.with_context(|| missing(cmd))?)
}

fn missing(cmd: &Cmd) -> String {
    format!("running {}: the program is not installed", cmd.argv().join(" "))
}

fn judged(cmd: &Cmd, output: &exec::Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let line = cmd.argv().join(" ");
    let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
    let tail: Vec<_> = said.trim().lines().rev().take(3).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    bail!("running {line}: {}: {}", output.status, tail.join(" / "))
}

fn missing_parents(root: &Root, path: &str) -> Result<Vec<String>> {
    let parts: Vec<&str> = path.split('/').collect();
    let mut missing = Vec::new();
    for end in 1..parts.len() {
        let dir = parts[..end].join("/");
        if root.stat_opt(&dir)?.is_none() {
            missing.push(dir);
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_any_more_needs_no_taking_back() {
        for (said, is_fine) in [
            ("RTNETLINK answers: No such process", true),
            ("novactl-agent: unrecognized service", true),
            ("Failed to stop novactl-agent.service: Unit novactl-agent.service not loaded.", true),
            ("stop: Unknown instance: ", true),
            ("stop: Unknown job: novactl-agent", true),
            ("stop: Unable to connect to system bus", false),
        ] {
            let cmd = Cmd::new(&["sh", "-c", "echo \"$0\" >&2; exit 1", said]);
            assert_eq!(run_back(&cmd).is_ok(), is_fine, "{said}");
        }
    }
}
