//! `novactl fix-image`: make a system ready for an image of it.

mod steps;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::change::{self, Consent, Request};
use super::diagnosis;
use super::mending::{self, Mending};
use super::trouble::{self, Trouble};
use super::verification::Broken;
use super::{Global, agent, say};
use crate::agent::install;
use crate::check::metadata::{self, Image};
use crate::check::{self, Finding, Limits, Occasion, Selection, Status, Topic};
use crate::image::generalize::{STEPS, Step};
use crate::image::{Who, hand_over};
use crate::plan::Plan;
use crate::report::Exit;
use crate::root::Root;
use crate::session;
use crate::target::Target;

use steps::{StepList, planned};

/// The largest description of an image, in bytes.
const METADATA_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  novactl fix-image --dry-run          what would change on this server
  novactl fix-image                    right before its image is taken
  novactl fix-image --root /mnt --generalize
                                       a mounted disk: also what must not be
                                       cloned
  novactl fix-image --root /mnt --generalize --skip logs,history
  novactl fix-image --root /mnt --cloud-init    for cloud-init, not the agent
  novactl fix-image --disk web.vhd --install-agent
                                       novactl as the agent, others off
  openstack image show -f json IMAGE | novactl fix-image --dry-run --metadata -

On a running server, steps that would harm it are left out and named. Large
logs and caches are not kept in the journal: the plan says which. When the
image is taken, novactl undo gives the server back what it had.";

/// Options of `fix-image`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct FixImage {
    /// Prepare the image for cloud-init instead of the agent
    #[arg(long)]
    cloud_init: bool,
    /// Put this program in place as the agent, in the stead of others
    #[arg(long, conflicts_with = "cloud_init")]
    install_agent: bool,
    /// Check the image's properties: JSON of the image API; - reads stdin
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Remove what must not be cloned: machine id, host keys, logs, ...
    #[arg(long)]
    generalize: bool,
    /// List the steps of --generalize and do nothing
    #[arg(long)]
    list_steps: bool,
    /// Only these checks and steps
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these checks and steps out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    skip: Vec<String>,
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

/// Checks whose fix is novactl's own agent.
const AGENT_REPLACED: [&str; 5] =
    ["agent-installed", "agent-supports-distro", "agent-libraries", "agent-version", "unexpected-interfaces"];

impl FixImage {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.list_steps {
            return say(global, &StepList::of_all());
        }
        let image = self.metadata.as_deref().map(described).transpose()?;
        let target = global.target()?;
        if self.install_agent {
            agent::refuse_foreign(&target)?;
        }
        let target = Arc::new(target);
        let selection = self.selection(&target)?;
        let journal = change::begin(global, &target, &self.consent)?;
        if self.install_agent || selection.as_ref().is_some_and(|selection| switches_on(selection, &target)) {
            target.await_agent();
        }
        let mut findings = match &selection {
            Some(selection) => check::run(&target, selection, Limits::default()),
            None => Vec::new(),
        };
        self.judge_for_cloud_init(&mut findings);
        if let Some(image) = &image {
            findings.retain(|finding| finding.id != "image-metadata");
            findings.extend(image.judge(&target, self.who()));
        } else if self.cloud_init {
            findings.push(metadata::for_cloud_init());
        }
        let title = "make the system ready for an image";
        // an agent of another make is put there on demand alone
        let is_wanted = |finding: &Finding| {
            finding.status >= Status::Warn && (self.install_agent || !AGENT_REPLACED.contains(&finding.id))
        };
        let mut mending = mending::of(&target, &findings, &is_wanted, "fix-image", title);
        let steps = self.steps(&target, &mut findings);
        let made = match mending::is_held(&findings) {
            true => Made { who: Who::Agent, names: Vec::new() },
            false => self.add_further(&target, &steps, &mut mending),
        };
        let Mending { plan, ids, left } = mending;
        let acts = target.is_live() && !(plan.steps.is_empty() && plan.activate.is_empty());
        let revert_after =
            (acts && session::ssh_address(&target.root).is_some()).then_some(change::REVERT_AFTER);
        let verify = |_: &Target| match global.target() {
            // what was known of the target before the change is not true any more
            Ok(target) => self.verify(Arc::new(target), &ids, &steps, &made),
            Err(e) => vec![Finding::fail(format!("{e:#}"))],
        };
        let matters = |finding: &Finding| {
            let is_said =
                matches!(finding.id, "image-metadata" | "generalize") && finding.status == Status::Note;
            diagnosis::matters(finding) || is_said
        };
        let request = Request {
            plan,
            verify: &verify,
            broken: Broken::of(&findings),
            findings: mending::without_itself(findings.into_iter().filter(matters).collect()),
            interfaces: None,
            revert_after,
            left,
        };
        let mut report = change::carry_out(global, &target, &self.consent, journal.as_ref(), request)?;
        drop(journal);
        if !self.consent.yes {
            change::ask_to_keep(&target, &mut report)?;
        }
        say(global, &report)
    }

    fn who(&self) -> Who {
        match (self.cloud_init, self.install_agent) {
            (true, _) => Who::CloudInit,
            (false, true) => Who::NewAgent,
            (false, false) => Who::Agent,
        }
    }

    /// Returns which checks are made; `None` when only steps were named.
    ///
    /// # Errors
    /// A name is neither a check nor a step.
    fn selection(&self, target: &Target) -> anyhow::Result<Option<Selection>> {
        let is_check = |name: &&String| check::every().any(|check| check.id == **name);
        let is_step = |name: &String| STEPS.iter().any(|step| step.name == *name);
        if let Some(name) = self.only.iter().chain(&self.skip).find(|name| !is_check(name) && !is_step(name))
        {
            return Err(trouble::no_such_step(name));
        }
        if let Some(step) = self.only.iter().find(|name| !is_check(name)).filter(|_| !self.generalize) {
            let hint = format!("novactl fix-image --generalize --only {step}");
            let text = format!("{step} is a step of --generalize, which was not asked for");
            return Err(Trouble::new(text, hint, Exit::Usage).into());
        }
        let only: Vec<String> = self.only.iter().filter(is_check).cloned().collect();
        if only.is_empty() && !self.only.is_empty() {
            return Ok(None);
        }
        let mut skip: Vec<String> = self.skip.iter().filter(is_check).cloned().collect();
        let is_taken = |name: &str| STEPS.iter().any(|step| step.name == name && self.is_taken(step, target));
        let (no_network, no_servers, no_name) =
            (is_taken("network"), is_taken("name-servers"), is_taken("hostname"));
        // what asks for the opposite of what is wanted
        let against = |check: &&'static check::Check| {
            let for_the_agent = check.topic == Topic::Agent
                || matches!(check.id, "cloud-init-network" | "golden-image" | "xentools-before-agent");
            // another agent is switched off, not mended
            let for_another = check.topic == Topic::Agent || check.id == "xentools-before-agent";
            self.cloud_init && for_the_agent
                || self.install_agent && for_another
                || no_network && check.topic == Topic::Network
                || no_servers && check.id == "resolver"
                || no_name && check.topic == Topic::Names
        };
        skip.extend(check::every().filter(against).map(|check| check.id.to_owned()));
        // it waits for an answer of the agent, which is no part of an image
        skip.push("agent-answers".to_owned());
        Ok(Some(Selection { occasion: Occasion::Image, only, skip, topics: Vec::new() }))
    }

    /// Adds what is planned beside the fixes of checks.
    fn add_further(&self, target: &Target, steps: &[&'static Step], mending: &mut Mending) -> Made {
        let is_switched_on = mending.ids.iter().any(|id| id == "agent-enabled");
        let who = if is_switched_on { Who::AgentSwitchedOn } else { Who::Agent };
        let mut made = Made { who, names: Vec::new() };
        let mut add = |name: &'static str, planned: anyhow::Result<Plan>| {
            let mut merged = mending.plan.clone();
            let added = planned.and_then(|planned| merged.merge(planned, &target.root));
            match &added {
                Ok(()) => {
                    mending.plan = merged;
                    made.names.push(name);
                }
                Err(e) => mending.left.push(format!("{name}: {e:#}")),
            }
            added.is_ok()
        };
        // the steps take away what someone new writes, which nobody does who cannot be put there
        if let Some((name, planned)) = self.newcomer(target)
            && add(name, planned)
        {
            made.who = self.who();
        }
        for (name, planned) in planned(target, steps, made.who) {
            add(name, planned);
        }
        if made.who == Who::NewAgent {
            mending.ids.extend(agent::INSTALLED.map(str::to_owned));
        }
        made
    }

    /// Plans to put somebody new there who configures the copies; `None` where that is not wanted.
    fn newcomer(&self, target: &Target) -> Option<(&'static str, anyhow::Result<Plan>)> {
        if self.install_agent {
            return Some((
                "agent",
                install::own_program().and_then(|program| install::plan(target, program)),
            ));
        }
        (self.cloud_init && self.only.is_empty()).then(|| ("cloud-init", hand_over::plan(target)))
    }

    /// Without a config drive, an image for cloud-init cannot be tried here.
    fn judge_for_cloud_init(&self, findings: &mut [Finding]) {
        let is_drive = |f: &&mut Finding| f.id == "config-drive" && f.status == Status::Note;
        if self.cloud_init {
            findings.iter_mut().filter(is_drive).for_each(|finding| finding.status = Status::Fail);
        }
    }

    /// Looks again: at the checks that were mended, and whether what was `made` has anything left to do.
    fn verify(
        &self,
        target: Arc<Target>,
        ids: &[String],
        steps: &[&'static Step],
        made: &Made,
    ) -> Vec<Finding> {
        let same = Selection { occasion: Occasion::Image, only: ids.to_vec(), ..Selection::default() };
        let mut found =
            if ids.is_empty() { Vec::new() } else { check::run(&target, &same, Limits::default()) };
        // what could not be planned was said before
        let further = self.newcomer(&target).into_iter().chain(planned(&target, steps, made.who));
        for (name, planned) in further.filter(|(name, _)| made.names.contains(name)) {
            // what is discarded goes after this look
            let rest =
                planned.and_then(|planned| Plan { discards: Vec::new(), ..planned }.prepare(&target.root));
            let finding = match rest {
                Ok(rest) if rest.is_empty() => Finding::ok(format!("{name} is done")),
                Ok(_) => Finding::fail(format!("{name} is not done")),
                Err(e) => Finding::fail(format!("{name}: {e:#}")),
            };
            found.push(finding.about(name).of("generalize", Topic::Image));
        }
        found
    }
}

/// Whether an agent that is there and does not start is switched on.
fn switches_on(selection: &Selection, target: &Target) -> bool {
    let is_mended = !selection.skip.iter().any(|id| id == "agent-enabled")
        && selection.checks().iter().any(|check| check.id == "agent-enabled");
    is_mended && !target.agents().all.is_empty()
}

/// What was planned beside the fixes of checks.
struct Made {
    /// Who configures the copies then.
    who: Who,
    names: Vec<&'static str>,
}

/// Reads what an image is described as.
fn described(path: &Path) -> anyhow::Result<Image> {
    let mut text = String::new();
    if path == Path::new("-") {
        io::stdin().take(METADATA_MAX + 1).read_to_string(&mut text).context("reading the standard input")?;
    } else {
        let full = std::path::absolute(path).with_context(|| format!("reading {}", path.display()))?;
        let name = full.to_string_lossy();
        let read = Root::live()?.text_opt(&name);
        let read = read.and_then(|text| text.with_context(|| format!("reading {name}: no such file")));
        text = read.map_err(|e| no_properties(&e, Exit::CannotJudge))?;
    }
    Image::parse(&text).map_err(|e| no_properties(&e, Exit::Usage))
}

fn no_properties(error: &anyhow::Error, exit: Exit) -> anyhow::Error {
    let hint =
        "openstack image show -f json IMAGE prints what is needed; --metadata - reads the standard input";
    Trouble::new(format!("{error:#}"), hint, exit).into()
}
