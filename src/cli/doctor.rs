//! `novactl doctor`: every check, the verdict, what mends it, and the recovery route.

mod bundle;
mod fix;
mod guide;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::change::Consent;
use super::diagnosis::{self, Diagnosis};
use super::trouble::{self, Trouble};
use super::{Global, say};
use crate::check::{self, Finding, Limits, Selection, Status, Strictness, Topic};
use crate::report::{Diagnosed, Exit, Report, nagios};
use crate::ui::{Ui, Volume};

const EXAMPLES: &str = "\
Examples:
  novactl doctor                       this server
  novactl doctor --disk /dev/xvdb      a sick server's disk, in rescue mode
  novactl doctor --disk web01.vhd      an image; --root DIR: a mounted disk
  novactl doctor --only agent-enabled,agent-running
  novactl doctor --format nagios --no-probe    for a monitoring system
  novactl doctor --guide               question by question, on a console
  novactl doctor --bundle /tmp/web01.tar.gz    facts for a helper far away
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
    /// Ask from question to question, on a terminal; mend or go on at each
    #[arg(long, conflicts_with_all = ["fix", "list"])]
    guide: bool,
    /// Also write a support bundle: typed facts, no file's content
    #[arg(long, value_name = "FILE.tar.gz", conflicts_with_all = ["fix", "list", "guide"])]
    bundle: Option<PathBuf>,
    /// How far --fix may go.
    #[command(flatten)]
    consent: Consent,
}

impl Doctor {
    /// Whether it reports a diagnosis, and neither a change nor a list.
    pub(super) fn is_diagnosis(&self) -> bool {
        !self.fix && !self.list && !self.guide
    }

    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let takes_yes = self.fix || self.bundle.is_some();
        if (self.consent.dry_run && !self.fix) || (self.consent.yes && !takes_yes) {
            let hint = "leave it out: looking changes nothing and asks nothing";
            return Err(Trouble::new(
                "--dry-run goes with --fix, --yes with --fix or --bundle",
                hint,
                Exit::Usage,
            )
            .into());
        }
        if self.guide {
            return guide::run(self, global);
        }
        let selection = self.selection()?;
        if self.list {
            return say(global, &CheckList::of(&selection));
        }
        let bundle =
            self.bundle.as_deref().map(|path| bundle::Bundle::at(path, &self.consent)).transpose()?;
        let target = Arc::new(global.target()?);
        if self.fix {
            return say(global, &fix::run(global, &target, &self.consent, &selection)?);
        }
        let findings = check::run(&target, &selection, Limits::default());
        let strictness = if self.strict { Strictness::Warnings } else { Strictness::Problems };
        let report = DoctorReport {
            diagnosis: Diagnosis::new(&target, findings),
            strictness,
            volume: global.volume(),
            options: target.options(),
        };
        if let Some(bundle) = bundle {
            bundle.write(global, &self.consent, &target, &report.diagnosis)?;
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
    /// What names the target on a command line.
    #[serde(skip)]
    options: Vec<String>,
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
        let is_mended =
            |f: &&Finding| f.status >= Status::Warn && f.remedy.as_ref().is_some_and(|remedy| remedy.fixable);
        // a route has it as a step
        if route.is_none() && findings.iter().any(|f| is_mended(&f)) {
            let fix = ["novactl", "doctor", "--fix"].map(str::to_owned);
            ui.line("")?;
            ui.line("Mend what novactl can mend; it shows the change and asks first:")?;
            ui.command("  ", &[&fix[..], &self.options].concat())?;
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

    fn diagnosed(&self) -> Option<Diagnosed<'_>> {
        Some(self.diagnosis.diagnosed("doctor", self.strictness))
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
