//! `novactl agent`: serve the host, or carry out one command of its.

mod leftovers;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand};

use leftovers::{Refuse, Tidy};

use super::change::{self, Consent, Request, now};
use super::diagnosis::TargetFacts;
use super::trouble::{self, Trouble};
use super::verification::Broken;
use super::{Global, say, undo};
use crate::agent::{self, Executor, Place, install, log};
use crate::check::{self, Finding, Limits, Selection, Status};
use crate::commands::{Name, update};
use crate::facts::os::Family;
use crate::plan::journal::{self, Record, State};
use crate::plan::{Edits, Plan};
use crate::report::Exit;
use crate::target::Target;
use crate::ui::{self, Answer, Ui};

const RUN_HELP: &str = "\
It runs in the foreground and logs to standard error, for a service manager:
READY and watchdog messages go to NOTIFY_SOCKET. Without one, --log-file keeps a
log of at most 2 MiB. SIGTERM lets the command at hand finish.

With --root DIR it serves the system under DIR and runs no program of it.";

const EXEC_HELP: &str = "\
Examples:
  novactl agent exec version
  novactl agent exec resetnetwork --dry-run
  novactl agent exec injectfile \"$(printf /etc/motd,hello | base64 -w0)\"
  novactl agent exec kmsactivate - < activation.json

The answer is printed as the host would get it. Exit code 0 is success, 1 any
other answer. The value of a password is what keyinit encrypted: to set one by
hand there is novactl set-password.";

const INSTALL_HELP: &str = "\
Copies this program to /usr/sbin/novactl, adds its service for the init system of
the target, and switches other agents off at boot by their exact names; they stay
installed. On a running system the old agent is stopped and this one started.
novactl agent uninstall takes all of it back.

Examples:
  novactl agent install --dry-run
  novactl agent install --root /mnt/rescue --yes";

/// The checks that hold when this program was put in place.
pub(super) const INSTALLED: [&str; 5] =
    ["agent-installed", "agent-single", "agent-enabled", "agent-running", "agent-unit-native"];

/// How long it is waited for an agent that was just started.
const RUNS_WITHIN: Duration = Duration::from_secs(5);
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Options of `agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Listen on XenStore and execute the host's commands
    Run(Run),
    /// Carry out one command here and now, and print the answer
    Exec(Exec),
    /// Refuse a request of the host that is stuck, and remove it
    Refuse(Refuse),
    /// Remove old answers, which nobody else removes
    Tidy(Tidy),
    /// Put this program in place as the agent, in the stead of a broken one
    Install(Install),
    /// Take the installation back, byte for byte
    Uninstall(Uninstall),
}

/// Options of `agent run`.
#[derive(Debug, Args)]
#[command(after_long_help = RUN_HELP)]
pub struct Run {
    /// Log to FILE instead of standard error
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_long_help = INSTALL_HELP)]
struct Install {
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
struct Uninstall {
    /// Also when a file was changed since
    #[arg(long)]
    force: bool,
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
#[command(after_long_help = EXEC_HELP)]
struct Exec {
    /// The command, such as version or resetnetwork
    #[arg(value_parser = names())]
    name: String,
    /// Its value as the host sends it; - reads it from standard input
    #[arg(default_value = "")]
    value: String,
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

fn names() -> clap::builder::PossibleValuesParser {
    Name::ALL.map(|(_, word)| word).into()
}

impl AgentArgs {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        match &self.action {
            Action::Run(_) => {
                let place = place(global)?;
                // a root that is none is said in its own words
                global.target()?;
                serve(&place)
            }
            Action::Exec(exec) => exec.run(global, place(global)?),
            Action::Refuse(refuse) => refuse.run(global, &place(global)?),
            Action::Tidy(tidy) => tidy.run(global, &place(global)?),
            Action::Install(install) => install.run(global),
            Action::Uninstall(uninstall) => uninstall.run(global),
        }
    }

    /// Returns the options of the service, when this is it.
    pub fn as_service(&self) -> Option<&Run> {
        match &self.action {
            Action::Run(run) => Some(run),
            _ => None,
        }
    }
}

impl Run {
    /// Starts the service's log.
    ///
    /// # Errors
    /// Its file cannot be opened.
    pub fn start_log(&self, verbose: u8) -> anyhow::Result<()> {
        let level = if verbose == 0 { tracing::Level::INFO } else { tracing::Level::DEBUG };
        log::start(self.log_file.as_deref(), level)
    }
}

/// Returns whom the agent serves: a disk is not mounted for as long as a service runs.
fn place(global: &Global) -> anyhow::Result<Place> {
    if global.disk.is_some() {
        let hint = "mount it and name the directory with --root, or run agent install --disk";
        return Err(Trouble::new("the agent does not serve a disk", hint, Exit::Usage).into());
    }
    Ok(Place { root: global.root.clone(), source: global.source() })
}

fn serve(place: &Place) -> anyhow::Result<ExitCode> {
    match agent::run(place) {
        Ok(()) => Ok(Exit::Ok.into()),
        Err(error) => {
            // also for those who read the log alone
            tracing::error!("{error:#}");
            let hint = "novactl doctor says what this system is and which agents are there".to_owned();
            Err(Trouble::new(format!("{error:#}"), hint, Exit::CannotJudge).into())
        }
    }
}

impl Install {
    fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let target = global.target()?;
        refuse_foreign(&target)?;
        let journal = change::begin(global, &target, &self.consent)?;
        let request = Request {
            plan: install::plan(&target, install::own_program()?)?,
            verify: &|_| look_again(global),
            broken: Broken::default(),
            findings: Vec::new(),
            interfaces: None,
            revert_after: None,
            left: Vec::new(),
        };
        let report = change::carry_out(global, &target, &self.consent, journal.as_ref(), request)?;
        drop(journal);
        say(global, &report)
    }
}

/// Refuses a system on which this program cannot be the agent, before anything is looked at.
pub(super) fn refuse_foreign(target: &Target) -> anyhow::Result<()> {
    if target.os().family != Family::FreeBsd {
        return Ok(());
    }
    let text = "novactl cannot be the agent of FreeBSD: it is a Linux program";
    let hint = "its agent is nova-agent 1.39.1: on the server, run the installer.sh of that release";
    Err(Trouble::new(text, hint, Exit::CannotJudge).into())
}

/// Judges the agents that are there now: what was known of the target before is not true any more. A supervisor such as
/// OpenRC's comes back before the agent runs.
fn look_again(global: &Global) -> Vec<Finding> {
    let end = Instant::now() + RUNS_WITHIN;
    loop {
        let found = match global.target() {
            Ok(target) => {
                let only = Selection { only: INSTALLED.map(str::to_owned).to_vec(), ..Selection::default() };
                check::run(&Arc::new(target), &only, Limits::default())
            }
            Err(e) => vec![Finding::fail(format!("{e:#}"))],
        };
        let runs =
            found.iter().all(|finding| finding.id != "agent-running" || finding.status != Status::Fail);
        if runs || Instant::now() >= end {
            return found;
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

impl Uninstall {
    fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let target = global.target()?;
        let journal = change::begin(global, &target, &self.consent)?;
        let records = journal::list(&target.root)?;
        // each release that was put in place, by a person or by the host
        let is_ours = |record: &Record| [install::VERB, update::VERB].contains(&record.verb.as_str());
        let mut own =
            records.into_iter().rev().filter(|record| is_ours(record) && record.state == State::Done);
        let Some(record) = own.next() else {
            let hint = "novactl undo --list shows what the journal has";
            let text = "the journal has no installation of the agent to take back";
            return Err(Trouble::new(text, hint, Exit::CannotJudge).into());
        };
        let edits = if self.force { Edits::Overwrite } else { Edits::Refuse };
        let mut report = undo::take_back(global, &target, &self.consent, journal.as_ref(), record, edits)?;
        if own.next().is_some() {
            report = report
                .leaving("an earlier release is the agent again: agent uninstall once more takes that back");
        }
        drop(journal);
        say(global, &report)
    }
}

impl Exec {
    fn run(&self, global: &Global, place: Place) -> anyhow::Result<ExitCode> {
        // a root that is none is said before anything else
        global.target()?;
        let value = match self.value.as_str() {
            "-" => {
                let mut text = String::new();
                std::io::stdin().take(1 << 20).read_to_string(&mut text).context("reading the value")?;
                text
            }
            value => value.to_owned(),
        };
        // an object is a value of its own, everything else is text
        let value = match serde_json::from_str::<serde_json::Value>(&value) {
            Ok(object @ serde_json::Value::Object(_)) => object,
            _ => value.into(),
        };
        let request = serde_json::json!({ "name": self.name, "value": value }).to_string();
        if self.consent.dry_run {
            return self.show(global, place, request.as_bytes());
        }
        let changes = !matches!(self.name.as_str(), "version" | "features" | "keyinit");
        if changes && !self.consent.yes {
            let target = TargetFacts::of(&place.target()?).named();
            match ui::confirm(&format!("Carry out {} {target}?", self.name))? {
                Answer::Yes => {}
                Answer::No => return Err(trouble::declined("agent exec was declined")),
                Answer::NobodyThere => return Err(trouble::no_consent("agent exec")),
            }
        }
        // the journal knows a request by its id
        let id = format!("exec-{}-{}", now(), std::process::id());
        let reply = Executor::new(place).answer(&id, request.as_bytes());
        // of a change that was made there is nothing that anybody asked for
        if !(global.quiet && changes && reply.is_success()) {
            let mut ui = Ui::stdout(global.color);
            ui.document(&reply.to_wire()).and_then(|()| ui.flush()).context("writing the answer")?;
        }
        if self.name == "agentupdate" && reply.is_success() && global.root.is_none() {
            ui::progress(
                global.volume(),
                "a running agent is still the release before: restart novactl-agent",
            );
        }
        Ok(if reply.is_success() { Exit::Ok } else { Exit::Problems }.into())
    }

    /// Shows what the command would change.
    fn show(&self, global: &Global, place: Place, request: &[u8]) -> anyhow::Result<ExitCode> {
        let target = place.target()?;
        let planned = Executor::new(place).plan(request).map_err(|refusal| {
            let hint = format!("nothing was changed; the host would get this with code {}", refusal.code());
            Trouble::new(refusal.message(), hint, Exit::CannotJudge)
        })?;
        let changes = planned.is_some();
        let nothing = || (Plan { verb: "agent-exec", ..Plan::default() }, Vec::new());
        let (plan, findings) = planned.unwrap_or_else(nothing);
        let request = Request {
            plan,
            verify: &|_| Vec::new(),
            broken: Broken::default(),
            findings,
            interfaces: None,
            revert_after: None,
            left: Vec::new(),
        };
        let mut report = change::carry_out(global, &target, &self.consent, None, request)?;
        if !changes {
            report = report.saying(format!("{} changes nothing", self.name));
        }
        say(global, &report)
    }
}
