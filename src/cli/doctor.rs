//! `novactl doctor`: every check, the verdict, what mends it, and the recovery route.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::change::{self, Consent, Request};
use super::diagnosis::{self, Diagnosis};
use super::mending::{self, Mending};
use super::trouble::{self, Trouble};
use super::verification::Broken;
use super::{Global, say};
use crate::check::{self, Finding, Limits, Selection, Status, Strictness, Topic};
use crate::report::{Exit, Report, nagios};
use crate::session;
use crate::target::Target;
use crate::ui::{Ui, Volume};

const EXAMPLES: &str = "\
Examples:
  novactl doctor                       this server
  novactl doctor --disk /dev/xvdb      a sick server's disk, in rescue mode
  novactl doctor --disk web01.vhd      an image; --root DIR: a mounted disk
  novactl doctor --only agent-enabled,agent-running
  novactl doctor --format nagios --no-probe    for a monitoring system
  novactl doctor -v                    also what is in order, and why a check
                                       was not made";

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Doctor {
    /// List the checks and run none
    #[arg(long)]
    list: bool,
    /// Run only these checks
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these checks out
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    skip: Vec<String>,
    /// Run only the checks of these topics
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    topic: Vec<Topic>,
    /// Count warnings as problems (exit code 1)
    #[arg(long)]
    strict: bool,
    /// Send no request to the running agent: leaves out agent-answers
    #[arg(long)]
    no_probe: bool,
    /// Mend what can be mended: shows the change, asks, and looks again
    #[arg(long)]
    fix: bool,
    /// How far --fix may go.
    #[command(flatten)]
    consent: Consent,
}

impl Doctor {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        if (self.consent.dry_run || self.consent.yes) && !self.fix {
            let hint = "add --fix, or leave it out: looking changes nothing and asks nothing";
            return Err(Trouble::new("--dry-run and --yes go with --fix", hint, Exit::Usage).into());
        }
        let selection = self.selection()?;
        if self.list {
            return say(global, &CheckList::of(&selection));
        }
        let target = Arc::new(global.target()?);
        let findings = check::run(&target, &selection, Limits::default());
        if self.fix {
            return self.mend(global, &target, findings);
        }
        let strictness = if self.strict { Strictness::Warnings } else { Strictness::Problems };
        let report = DoctorReport {
            diagnosis: Diagnosis::new(&target, findings),
            strictness,
            volume: global.volume(),
        };
        say(global, &report)
    }

    /// Makes one plan of the fixes of what was found, and looks again at the same checks when it is made.
    fn mend(&self, global: &Global, target: &Target, findings: Vec<Finding>) -> anyhow::Result<ExitCode> {
        let journal = change::begin(global, target, &self.consent)?;
        let Mending { plan, ids, left } = mending::of(target, &findings, "fix", "fix what doctor found");
        // a session that a new network could cut off gets its old one back
        let acts = target.is_live() && !(plan.steps.is_empty() && plan.activate.is_empty());
        let revert_after =
            (acts && session::ssh_address(&target.root).is_some()).then_some(change::REVERT_AFTER);
        let verify = |_: &Target| match global.target() {
            // what was known of the target before the change is not true any more
            Ok(target) => {
                let same = Selection { only: ids.clone(), ..Selection::default() };
                check::run(&Arc::new(target), &same, Limits::default())
            }
            Err(e) => vec![Finding::fail(format!("{e:#}"))],
        };
        let request = Request {
            plan,
            verify: if ids.is_empty() { &|_| Vec::new() } else { &verify },
            broken: Broken::of(&findings),
            findings: findings.into_iter().filter(diagnosis::matters).collect(),
            interfaces: None,
            revert_after,
            left,
        };
        let mut report = change::carry_out(global, target, &self.consent, journal.as_ref(), request)?;
        // the process that would revert it needs the journal while somebody reads the question
        drop(journal);
        if !self.consent.yes {
            change::ask_to_keep(target, &mut report)?;
        }
        say(global, &report)
    }

    fn selection(&self) -> anyhow::Result<Selection> {
        let mut selection = Selection {
            only: self.only.clone(),
            skip: self.skip.clone(),
            topics: self.topic.clone(),
            ..Selection::default()
        };
        if let Some(id) = selection.stranger() {
            return Err(trouble::no_such_check(id));
        }
        if self.no_probe {
            selection.skip.push("agent-answers".to_owned());
        }
        Ok(selection)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct DoctorReport {
    diagnosis: Diagnosis,
    #[serde(skip)]
    strictness: Strictness,
    #[serde(skip)]
    volume: Volume,
}

impl Report for DoctorReport {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        let Diagnosis { findings, route, .. } = &self.diagnosis;
        self.diagnosis.headline(ui)?;
        if self.volume == Volume::Quiet {
            return Ok(());
        }
        let mut first = findings.iter().filter(|f| diagnosis::matters(f));
        first.try_for_each(|finding| diagnosis::write_finding(ui, finding))?;
        let mut notes = findings.iter().filter(|f| f.status == Status::Note);
        notes.try_for_each(|finding| diagnosis::write_finding(ui, finding))?;
        if self.volume == Volume::Verbose {
            ui.line("")?;
            let rest = [Status::Ok, Status::Blocked, Status::Skipped];
            for finding in findings.iter().filter(|f| rest.contains(&f.status)) {
                let subject = finding.subject.as_deref().map_or(String::new(), |s| format!(" {s}"));
                let head = format!("{:<8} {}{subject}: ", finding.status.word(), finding.id);
                ui.paragraph(&head, 9, &finding.title)?;
            }
        } else {
            diagnosis::write_left_out(ui, findings)?;
        }
        if let Some(route) = route {
            diagnosis::write_route(ui, route)?;
        }
        if let Some(finding) = findings.iter().find(|f| diagnosis::matters(f)) {
            ui.line("")?;
            ui.line(&format!("More about a finding: novactl explain {}", finding.id))?;
        }
        Ok(())
    }

    fn nagios(&self) -> nagios::Line {
        self.diagnosis.nagios("DOCTOR", self.strictness)
    }

    fn exit(&self) -> Exit {
        self.diagnosis.summary.exit(self.strictness)
    }
}

/// The checks that would run.
#[derive(Serialize)]
struct CheckList {
    schema: &'static str,
    checks: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    id: &'static str,
    topic: Topic,
    about: &'static str,
    needs: Vec<&'static str>,
}

impl CheckList {
    fn of(selection: &Selection) -> Self {
        let listed = |check: &check::Check| Listed {
            id: check.id,
            topic: check.topic,
            about: check.about,
            needs: check.needs.words(),
        };
        let checks =
            selection.checks().into_iter().filter(|check| !selection.skip.iter().any(|id| id == check.id));
        Self { schema: "novactl.checks/1", checks: checks.map(listed).collect() }
    }
}

impl Report for CheckList {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        let mut topic = None;
        for check in &self.checks {
            if topic != Some(check.topic) {
                if topic.is_some() {
                    ui.line("")?;
                }
                ui.line(check.topic.word())?;
                topic = Some(check.topic);
            }
            let needs = check.needs.join(", ");
            let needs = if needs.is_empty() { String::new() } else { format!(" ({needs})") };
            ui.paragraph(&format!("  {:<25} ", check.id), 28, &format!("{}{needs}", check.about))?;
        }
        Ok(())
    }

    fn nagios(&self) -> nagios::Line {
        nagios::Line {
            service: "DOCTOR",
            state: nagios::State::Ok,
            text: format!("{} checks", self.checks.len()),
            perfdata: Vec::new(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Ok
    }
}
