//! What came of a change: in words and in JSON, with its exit code.

use std::io;

use serde::Serialize;

use super::super::Global;
use super::super::diagnosis::{TargetFacts, write_fact, write_finding, write_next};
use super::super::trouble::Trouble;
use crate::check::{Finding, Status};
use crate::plan::{ApplyError, Change, Preview};
use crate::report::{Exit, Report, nagios};
use crate::route::Step;
use crate::target::Target;
use crate::ui::Ui;

/// What was done.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ChangeReport {
    schema: &'static str,
    pub(super) target: TargetFacts,
    verb: &'static str,
    pub(super) dry_run: bool,
    plan: PlanFacts,
    pub(super) result: Outcome,
    pub(super) verified: Vec<Verified>,
    pub(in crate::cli) journal: Option<String>,
    pub(super) revert_after_s: Option<u64>,
    pub(super) findings: Vec<Finding>,
    #[serde(skip)]
    words: Option<String>,
    #[serde(skip)]
    shown: bool,
    /// How many of the findings were shown with the plan.
    #[serde(skip)]
    told: usize,
    /// What is to be done now.
    #[serde(skip)]
    next: Vec<Step>,
    #[serde(skip)]
    pub(super) left: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PlanFacts {
    files: Vec<Change>,
    programs: Vec<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interfaces: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(super) struct Verified {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    status: Status,
}

impl Verified {
    pub(super) fn of(finding: &Finding) -> Self {
        Self { id: finding.id.to_owned(), subject: finding.subject.clone(), status: finding.status }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Applied,
    NothingToDo,
    Pending,
    Reverted,
    Interrupted,
    Stuck,
    Declined,
}

impl ChangeReport {
    /// Returns the report of a change that is yet to be made.
    pub(super) fn pending(
        target: &Target,
        verb: &'static str,
        preview: Preview,
        interfaces: Option<serde_json::Value>,
    ) -> Self {
        Self {
            schema: "novactl.change/1",
            target: TargetFacts::of(target),
            verb,
            dry_run: false,
            plan: PlanFacts { files: preview.files, programs: preview.programs, interfaces },
            result: Outcome::Pending,
            verified: Vec::new(),
            journal: None,
            revert_after_s: None,
            findings: Vec::new(),
            words: None,
            shown: false,
            told: 0,
            next: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Notes why it was not made.
    ///
    /// # Errors
    /// It was refused before anything was changed.
    pub(super) fn failed(mut self, error: ApplyError) -> anyhow::Result<Self> {
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
    pub(in crate::cli) fn revert_after(&self) -> Option<u64> {
        self.revert_after_s
    }

    /// Adds what a look at the changed system found.
    pub(in crate::cli) fn also(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
    }

    /// Names what is to be done when it is made.
    pub(in crate::cli) fn then(self, next: Vec<Step>) -> Self {
        if self.is_done() { Self { next, ..self } } else { self }
    }

    /// Whether problems stay that this did not mend.
    pub(in crate::cli) fn leaves_something(&self) -> bool {
        !self.left.is_empty()
    }

    /// Returns why it was taken back.
    pub(in crate::cli) fn taken_back(&self) -> Option<&str> {
        self.words.as_deref().filter(|_| self.result == Outcome::Reverted)
    }

    /// One fix that fails takes the others back with it: says how to make those without it.
    pub(in crate::cli) fn or_without(mut self, target: &Target, id: &str, ids: &[String]) -> Self {
        let others: Vec<&str> = ids.iter().map(String::as_str).filter(|other| *other != id).collect();
        if others.is_empty() {
            return self;
        }
        let command = ["novactl", "doctor", "--fix", "--only", &others.join(",")].map(str::to_owned);
        let command = command.into_iter().chain(target.options()).collect();
        self.next.push(Step { text: format!("mend the rest, without {id}"), commands: vec![command] });
        let explain = ["novactl", "explain", id].map(str::to_owned).into();
        self.next.push(Step { text: format!("then mend {id} by hand"), commands: vec![explain] });
        self
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
    pub(in crate::cli) fn saying(self, words: String) -> Self {
        Self { words: Some(words), ..self }
    }

    /// Names what is left to do by hand.
    pub(in crate::cli) fn leaving(mut self, line: &str) -> Self {
        self.left.push(line.to_owned());
        self
    }

    /// Whether the system is now as was asked: the change was made, or there was none to make.
    pub(in crate::cli) fn is_done(&self) -> bool {
        matches!(self.result, Outcome::Applied | Outcome::NothingToDo)
    }

    /// Notes that somebody kept it.
    pub(in crate::cli) fn kept(&mut self) {
        self.revert_after_s = None;
    }

    /// What was found and the plan have to be read before the question; the standard output is for the result.
    pub(super) fn show_on_stderr(&mut self, global: &Global) -> io::Result<()> {
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
            Outcome::NothingToDo if self.findings.iter().any(|f| f.status == Status::Unknown) => (
                Status::Note,
                "NOTHING TO DO",
                "what could not be judged is listed above: mend what keeps it from being read, look again"
                    .to_owned(),
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
