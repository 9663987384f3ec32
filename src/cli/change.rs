//! What every command that changes something does alike: take back what was interrupted, show the plan, ask, apply,
//! verify, keep or take back, report.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::Global;
use super::diagnosis::{TargetFacts, write_fact, write_finding, write_next};
use super::trouble::{self, Trouble};
use super::undo;
use super::verification::Broken;
use crate::check::{self, Finding, Status, Topic};
use crate::facts::identity;
use crate::image::labels;
use crate::plan::journal::{self, Journal, Turn};
use crate::plan::{self, ApplyError, Change, Edits, Interrupt, Plan};
use crate::report::{Exit, Report, nagios};
use crate::revert;
use crate::route::Step;
use crate::target::Target;
use crate::ui::{self, Answer, Ui};

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

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct ChangeReport {
    schema: &'static str,
    target: TargetFacts,
    verb: &'static str,
    dry_run: bool,
    plan: PlanFacts,
    result: Outcome,
    verified: Vec<Verified>,
    pub(super) journal: Option<String>,
    revert_after_s: Option<u64>,
    findings: Vec<Finding>,
    #[serde(skip)]
    words: Option<String>,
    #[serde(skip)]
    shown: bool,
    /// How many of the findings were shown with the plan.
    #[serde(skip)]
    told: usize,
    /// What is to be done when it is made.
    #[serde(skip)]
    next: Vec<Step>,
    #[serde(skip)]
    left: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PlanFacts {
    files: Vec<Change>,
    programs: Vec<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interfaces: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct Verified {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    status: Status,
}

impl Verified {
    fn of(finding: &Finding) -> Self {
        Self { id: finding.id.to_owned(), subject: finding.subject.clone(), status: finding.status }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Applied,
    NothingToDo,
    Pending,
    Reverted,
    Interrupted,
    Stuck,
    Declined,
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
        undo::take_back(global, target, &agreed, Some(&journal), record, Edits::Overwrite)?;
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
    let preview = prepared.preview();
    let mut report = ChangeReport {
        schema: "novactl.change/1",
        target: TargetFacts::of(target),
        verb,
        dry_run: consent.dry_run,
        plan: PlanFacts { files: preview.files, programs: preview.programs, interfaces: request.interfaces },
        result: Outcome::Pending,
        verified: Vec::new(),
        journal: None,
        revert_after_s: None,
        findings: warn_of_rescue(target)
            .into_iter()
            .chain(request.findings)
            .map(|finding| check::at(target, finding))
            .collect(),
        words: None,
        shown: false,
        told: 0,
        next: Vec::new(),
        left: request.left,
    };
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
    let left: Vec<_> =
        verdict.left.iter().map(left_over).filter(|line| !report.left.contains(line)).collect();
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

/// Why nothing was changed, and what to do about it.
fn refused(error: &anyhow::Error) -> anyhow::Error {
    let is = |errno| error.chain().any(|cause| cause.downcast_ref() == Some(&errno));
    let (hint, exit) = if is(rustix::io::Errno::NOSPC) || is(rustix::io::Errno::DQUOT) {
        (
            "nothing was changed: make room on that file system (df -h, df -i), then run it again",
            Exit::CannotJudge,
        )
    } else {
        ("nothing was changed: run the command again, it makes a new plan", Exit::ChangeFailed)
    };
    Trouble::new(format!("{error:#}"), hint, exit).into()
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

impl ChangeReport {
    fn failed(mut self, error: ApplyError) -> anyhow::Result<Self> {
        self.words = Some(error.to_string());
        self.result = match error {
            ApplyError::Refused(e) => {
                return Err(refused(&e));
            }
            ApplyError::RolledBack(_) => Outcome::Reverted,
            ApplyError::Interrupted => Outcome::Interrupted,
            ApplyError::Stuck { .. } => Outcome::Stuck,
        };
        Ok(self)
    }

    /// Returns after how many seconds it takes itself back.
    pub(super) fn revert_after(&self) -> Option<u64> {
        self.revert_after_s
    }

    /// Adds what a look at the changed system found.
    pub(super) fn also(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
    }

    /// Names what is to be done when it is made.
    pub(super) fn then(self, next: Vec<Step>) -> Self {
        let next = if self.is_done() { next } else { Vec::new() };
        Self { next, ..self }
    }

    /// Says what the second look came to, each check once.
    fn seen_again(&self) -> String {
        let mut said: Vec<String> = Vec::new();
        for Verified { id, status, .. } in &self.verified {
            let one = format!("{id} {}", status.word());
            if !said.contains(&one) {
                said.push(one);
            }
        }
        said.join(", ")
    }

    /// Returns it with other words for its result.
    pub(super) fn saying(self, words: String) -> Self {
        Self { words: Some(words), ..self }
    }

    /// Names what is left to do by hand.
    pub(super) fn leaving(mut self, line: &str) -> Self {
        self.left.push(line.to_owned());
        self
    }

    /// Whether the system is now as was asked: the change was made, or there was none to make.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.result, Outcome::Applied | Outcome::NothingToDo)
    }

    /// Notes that somebody kept it.
    pub(super) fn kept(&mut self) {
        self.revert_after_s = None;
    }

    /// What was found and the plan have to be read before the question; the standard output is for the result.
    fn show_on_stderr(&mut self, global: &Global) -> io::Result<()> {
        let mut ui = Ui::stderr(global.color);
        // what is mended needs no more words than the plan has
        let is_mended = |f: &Finding| {
            matches!(self.verb, "fix" | "fix-image") && f.remedy.as_ref().is_some_and(|remedy| remedy.fixable)
        };
        for finding in &self.findings {
            if is_mended(finding) { write_fact(&mut ui, finding) } else { write_finding(&mut ui, finding) }?;
        }
        if !self.findings.is_empty() {
            ui.line("")?;
        }
        self.write_plan(&mut ui)?;
        (self.shown, self.told) = (true, self.findings.len());
        ui.flush()
    }

    /// Who is not told loses the change.
    fn write_deadline(&self, ui: &mut Ui) -> io::Result<()> {
        match self.revert_after_s {
            Some(seconds) => {
                ui.line(&format!("it takes itself back in {seconds} s unless you run: novactl undo --keep"))
            }
            None => Ok(()),
        }
    }

    fn write_plan(&self, ui: &mut Ui) -> io::Result<()> {
        for file in &self.plan.files {
            ui.line(&format!("{} {}", file.action, file.path))?;
            ui.diff(&file.diff)?;
        }
        if !self.plan.programs.is_empty() {
            let when = if self.target.is_live() {
                "then run:"
            } else {
                "takes effect at the next boot; not run here:"
            };
            ui.line(when)?;
            self.plan.programs.iter().try_for_each(|argv| ui.command("  ", argv))?;
        }
        Ok(())
    }
}

impl Report for ChangeReport {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        for finding in self.findings.iter().skip(self.told) {
            write_finding(ui, finding)?;
        }
        if !self.shown && self.result != Outcome::NothingToDo {
            self.write_plan(ui)?;
        }
        let (status, word, rest) = match self.result {
            Outcome::Applied if !self.left.is_empty() => {
                (Status::Warn, "DONE", "made and verified; something is left".to_owned())
            }
            Outcome::Applied => (Status::Ok, "DONE", "made and verified".to_owned()),
            Outcome::NothingToDo if !self.left.is_empty() => {
                (Status::Warn, "NOTHING TO DO", "what is wrong has to be mended by hand".to_owned())
            }
            // a warning above and "all is well" below would be two answers
            Outcome::NothingToDo if self.findings.iter().any(|f| f.status >= Status::Warn) => (
                Status::Note,
                "NOTHING TO DO",
                "what is listed above is not changed by this command".to_owned(),
            ),
            Outcome::NothingToDo => (Status::Ok, "NOTHING TO DO", "everything is as it should be".to_owned()),
            Outcome::Pending => (Status::Note, "PENDING", "nothing was changed (--dry-run)".to_owned()),
            Outcome::Declined => (Status::Note, "DECLINED", "nothing was changed".to_owned()),
            Outcome::Reverted | Outcome::Interrupted => (Status::Warn, "TAKEN BACK", String::new()),
            Outcome::Stuck => (Status::Fail, "STUCK", String::new()),
        };
        let rest = self.words.clone().unwrap_or(rest);
        ui.headed(status, &format!("{word}  "), &rest)?;
        if self.result == Outcome::Applied && !self.verified.is_empty() {
            ui.paragraph("looked again: ", 14, &self.seen_again())?;
        }
        for line in &self.left {
            ui.paragraph("left: ", 6, line)?;
        }
        if let Some(id) = self.journal.as_deref().filter(|_| self.result == Outcome::Applied) {
            let root = self.target.root_option();
            ui.line(&format!("take it back with: novactl undo {root}{id}"))?;
        }
        self.write_deadline(ui)?;
        write_next(ui, &self.next)
    }

    fn brief(&self, ui: &mut Ui) -> io::Result<()> {
        match self.result {
            Outcome::Reverted | Outcome::Interrupted | Outcome::Stuck => self.human(ui),
            Outcome::Pending | Outcome::Declined => Ok(()),
            Outcome::Applied | Outcome::NothingToDo => {
                self.left.iter().try_for_each(|line| ui.paragraph("left: ", 6, line))?;
                self.write_deadline(ui)
            }
        }
    }

    fn nagios(&self) -> nagios::Line {
        let state = match self.exit() {
            Exit::Ok => nagios::State::Ok,
            Exit::Problems => nagios::State::Warning,
            _ => nagios::State::Critical,
        };
        nagios::Line { service: "CHANGE", state, text: self.verb.to_owned(), perfdata: Vec::new() }
    }

    fn exit(&self) -> Exit {
        match self.result {
            Outcome::Applied | Outcome::NothingToDo if !self.left.is_empty() => Exit::Problems,
            Outcome::Applied | Outcome::NothingToDo => Exit::Ok,
            Outcome::Pending => Exit::Problems,
            Outcome::Reverted => Exit::ChangeFailed,
            Outcome::Stuck => Exit::Stuck,
            Outcome::Declined => Exit::Declined,
            Outcome::Interrupted => Exit::Interrupted,
        }
    }
}
