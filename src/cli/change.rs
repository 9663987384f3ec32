//! What every command that changes something does alike: take back what was interrupted, show the plan, ask, apply,
//! verify, keep or take back. What came of it is a [`ChangeReport`].

mod report;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use clap::Args;

use super::Global;
use super::trouble::{self, Trouble};
use super::undo;
use super::verification::Broken;
use crate::check::{self, Finding, Status, Topic};
use crate::facts::identity;
use crate::image::labels;
use crate::plan::journal::{self, Journal, Turn};
use crate::plan::{self, ApplyError, Edits, Interrupt, Plan};
use crate::report::Exit;
use crate::revert;
use crate::target::Target;
use crate::ui::{self, Answer};

pub(super) use report::ChangeReport;
use report::{Outcome, Verified};

/// Seconds until a change that may have cut off its own user takes itself back.
pub(super) const REVERT_AFTER: u64 = 120;

/// Options of everything that changes something.
#[derive(Debug, Clone, Args)]
pub(super) struct Consent {
    /// Show what would change and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// What a command is about to do.
pub(super) struct Request<'a> {
    /// The change.
    pub(super) plan: Plan,
    /// Looks again when it is made; a `fail` takes it back, unless it is the rest of what was broken.
    pub(super) verify: &'a dyn Fn(&Target) -> Vec<Finding>,
    /// What `verify` would have said before the change.
    pub(super) broken: Broken,
    /// Findings to report whatever happens.
    pub(super) findings: Vec<Finding>,
    /// What the network is to become; `reset-network` only.
    pub(super) interfaces: Option<serde_json::Value>,
    /// Seconds after which it takes itself back unless it is kept.
    pub(super) revert_after: Option<u64>,
    /// Problems that stay whatever this changes, each in a line: then the exit code is not that of a healthy system.
    pub(super) left: Vec<String>,
}

/// Opens the journal and takes back what was interrupted; says so. With `--dry-run` there is nothing to open.
///
/// # Errors
/// Another change runs, or the interrupted one could not be taken back.
pub(super) fn begin<'t>(
    global: &Global,
    target: &'t Target,
    consent: &Consent,
) -> anyhow::Result<Option<Journal<'t>>> {
    if consent.dry_run {
        return Ok(None);
    }
    if target.disk().is_some() && !was_interrupted(target)? {
        return Ok(Some(Journal::later(&target.root)));
    }
    if target.disk().is_some() && !consent.yes {
        match ui::confirm("A change of this disk was interrupted. Take it back first?")? {
            Answer::Yes => {}
            Answer::No => {
                let hint = "answer yes, or mend the disk by hand";
                let text = "nothing was changed: an interrupted change has to be taken back first";
                return Err(Trouble::new(text, hint, Exit::Declined).into());
            }
            Answer::NobodyThere => return Err(trouble::no_consent("taking back an interrupted change")),
        }
    }
    let journal = Journal::later(&target.root);
    if !journal.exists() && target.disk().is_none() {
        // what is only looked at, or declined, leaves nothing behind
        journal.expect_room().map_err(trouble::no_journal)?;
        return Ok(Some(journal));
    }
    open_for_writing(target, &journal)?;
    for id in plan::recover(target, &journal)? {
        ui::progress(global.volume(), &format!("the change {id} had been interrupted and was taken back"));
    }
    for record in journal::list(&target.root)?.into_iter().filter(|r| revert::is_overdue(r, now())) {
        let words = format!("the change {} was not kept in time and is taken back now", record.id);
        ui::progress(global.volume(), &words);
        let agreed = Consent { yes: true, ..consent.clone() };
        // what its report knows of the target is not true of what is looked at next
        undo::take_back(global, &global.target()?, &agreed, Some(&journal), record, Edits::Overwrite)?;
    }
    Ok(Some(journal))
}

/// Whether a change of the target was interrupted.
fn was_interrupted(target: &Target) -> anyhow::Result<bool> {
    Ok(journal::list(&target.root)?.iter().any(|record| record.state == journal::State::Open))
}

/// Makes a disk writable once its change is confirmed, and opens the journal.
///
/// # Errors
/// The disk must not be written to, or another change runs.
pub(super) fn open_for_writing(target: &Target, journal: &Journal<'_>) -> anyhow::Result<()> {
    if let Some(disk) = target.disk() {
        disk.make_writable().map_err(trouble::no_disk)?;
    }
    journal.take_turn(Turn::Now).map_err(trouble::no_journal)
}

/// Shows a plan, asks, applies, verifies. Without a journal it only shows.
///
/// # Errors
/// The plan cannot be held against the tree, or consent is needed and nobody can give it.
pub(super) fn carry_out(
    global: &Global,
    target: &Target,
    consent: &Consent,
    journal: Option<&Journal<'_>>,
    request: Request<'_>,
) -> anyhow::Result<ChangeReport> {
    let verb = request.plan.verb;
    let prepared = labels::label(target, request.plan.clone())?.prepare(&target.root)?;
    let mut report = ChangeReport::pending(target, verb, prepared.preview(), request.interfaces);
    report.dry_run = consent.dry_run;
    let findings = warn_of_rescue(target).into_iter().chain(request.findings);
    report.findings = findings.map(|finding| check::at(target, finding)).collect();
    report.left = request.left;
    if prepared.is_empty() {
        report.result = Outcome::NothingToDo;
        return Ok(report);
    }
    let Some(journal) = journal else { return Ok(report) };
    if !consent.yes {
        report.show_on_stderr(global)?;
        match ui::confirm(&format!("Make this change {}?", report.target.named()))? {
            Answer::Yes => {}
            Answer::No => {
                report.result = Outcome::Declined;
                return Ok(report);
            }
            Answer::NobodyThere => return Err(trouble::no_consent(verb)),
        }
    }
    let interrupt = Interrupt::on_signals()?;
    open_for_writing(target, journal)?;
    let applied = match prepared.apply(target, journal, &interrupt) {
        Ok(applied) => applied,
        Err(error) => return report.failed(error),
    };
    report.journal = Some(applied.record().id.clone());
    let found = (request.verify)(target);
    report.verified = found.iter().map(Verified::of).collect();
    if interrupt.is_set() {
        let error = applied.take_back(anyhow!("interrupted"));
        return report.failed(if matches!(error, ApplyError::RolledBack(_)) {
            ApplyError::Interrupted
        } else {
            error
        });
    }
    let verdict = request.broken.judge(&found);
    if let Some(bad) = verdict.bad {
        let cause = anyhow!("it did not verify: {}: {}", bad.id, bad.title);
        report.findings.push(bad);
        return report.failed(applied.take_back(cause));
    }
    // what could not be planned in the time of a look was planned all the same
    report.left.retain(|line| !is_in_order(line, &found));
    // a warning that could still be mended is no success either
    let is_open = |f: &&Finding| f.status == Status::Warn && f.remedy.as_ref().is_some_and(|it| it.fixable);
    let left = verdict.left.iter().chain(found.iter().filter(is_open)).map(left_over);
    let left: Vec<_> = left.filter(|line| !report.left.contains(line)).collect();
    report.left.extend(left);
    let is_new = |f: &Finding| !report.findings.iter().any(|g| (g.id, &g.subject) == (f.id, &f.subject));
    let warned: Vec<_> = found.into_iter().filter(|f| f.status == Status::Warn && is_new(f)).collect();
    report.findings.extend(warned);
    if let Some(seconds) = request.revert_after
        && let Err(e) = revert::arm(&target.root, &applied.record().id, seconds)
    {
        return report.failed(applied.take_back(e.context("starting the process that would revert it")));
    }
    applied.keep(request.revert_after.map(|seconds| now().saturating_add(seconds)))?;
    report.revert_after_s = request.revert_after;
    report.result = Outcome::Applied;
    Ok(report)
}

/// Says in a line what is still wrong.
pub(super) fn left_over(finding: &Finding) -> String {
    format!("{}: {}", finding.id, finding.title)
}

/// Whether the second look was at the check that a line says is wrong, and found no fault.
fn is_in_order(line: &str, found: &[Finding]) -> bool {
    let of_it = || found.iter().filter(|f| line.split_once(": ").is_some_and(|(id, _)| id == f.id));
    of_it().any(|f| f.status == Status::Ok) && of_it().all(|f| f.status <= Status::Note)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Asks whether to keep a change that would take itself back: who still reads this has not been cut off.
///
/// # Errors
/// The terminal cannot be read, or the change was taken back already.
pub(super) fn ask_to_keep(target: &Target, report: &mut ChangeReport) -> anyhow::Result<()> {
    let Some(seconds) = report.revert_after() else { return Ok(()) };
    let question =
        format!("Still connected? It takes itself back in {seconds} s unless you keep it. Keep it?");
    if ui::confirm(&question)? == Answer::Yes {
        undo::keep_newest(target)?;
        report.kept();
    }
    Ok(())
}

/// What is about to be changed is most often not what the rescue system runs of itself.
fn warn_of_rescue(target: &Target) -> Option<Finding> {
    let hostname = identity::hostname(&target.root);
    let is_rescue = target.is_live() && identity::is_rescue(&target.root, true, hostname.as_deref());
    let disks = is_rescue.then(|| identity::idle_disks(&target.root).unwrap_or_default())?;
    let disk = disks.first().map_or("/dev/xvdb", |disk| disk.disk.as_str());
    let title = "this is the rescue system: what is changed here is gone when it ends";
    let finding = Finding::warn(title).because("the sick server is the disk that is attached to it");
    Some(finding.mend(format!("name the disk: --disk {disk}")).of("hostname-not-rescue", Topic::Names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_second_look_finds_in_order_is_not_left() {
        let found = |id, finding: Finding| finding.of(id, Topic::Network);
        let found = [
            found("resolver", Finding::ok("fine")),
            found("netplan-valid", Finding::ok("fine")),
            found("netplan-valid", Finding::fail("broken")),
            found("accept-ra", Finding::skipped("needs root")),
        ];
        for (line, is_done) in [
            ("resolver: no server", true),
            ("netplan-valid: broken", false),
            ("accept-ra: open", false),
            ("hostname: not looked at again", false),
            ("resolver", false),
        ] {
            assert_eq!(is_in_order(line, &found), is_done, "{line}");
        }
    }
}
