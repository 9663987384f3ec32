//! This program as the agent of a system: its binary, its service, and the other agents off; as a plan.
//!
//! The files of the services are in `packaging/`, one per init system. Other agents are switched off by the exact names
//! under which they are known, and stay installed. To support another init system: its file there and an arm here.

use anyhow::{Context, Result, bail};

use crate::commands::boot;
use crate::exec::Cmd;
use crate::facts::agents::process::kind_of;
use crate::facts::agents::{Kind, NOVACTL_PROGRAM, NOVACTL_SERVICE, SERVICES};
use crate::facts::init::{Enabled, Init, Service};
use crate::facts::processes::Process;
use crate::plan::{FileChange, LiveStep, Needs, Plan, Secrecy};
use crate::root::{Node, Root};
use crate::target::Target;

/// The verb in the journal.
pub const VERB: &str = "agent-install";

const UNIT: &str = include_str!("../../packaging/novactl-agent.service");
const INIT_SCRIPT: &str = include_str!("../../packaging/novactl-agent.init");
const OPENRC_SCRIPT: &str = include_str!("../../packaging/novactl-agent.openrc");
const UPSTART_JOB: &str = include_str!("../../packaging/novactl-agent.upstart");

/// The script of the XenServer Tools.
const TOOLS: &str = "xe-linux-distribution";

/// Where a script starts when the XenServer Tools are none of System V's, or are not there.
const USUAL_NUMBER: u32 = 15;

/// Returns the program that runs, to be installed.
///
/// # Errors
/// It cannot be read, or is linked to libraries that the target need not have.
pub fn own_program() -> Result<Vec<u8>> {
    let path = std::env::current_exe().context("looking for the own program")?;
    let path = path.to_string_lossy().into_owned();
    Root::live()?.read(&path).with_context(|| format!("reading the own program {path}"))
}

/// Plans the installation of `program`.
///
/// # Errors
/// The target is no Linux, its init system is not known, or what is there cannot be read.
pub fn plan(target: &Target, program: Vec<u8>) -> Result<Plan> {
    let root = &target.root;
    let services = target.services();
    let binary = |path: &str, body: Vec<u8>| FileChange::Write {
        path: path.to_owned(),
        body,
        mode: Some(0o755),
        secret: Secrecy::Open,
    };
    let mut files = vec![binary(NOVACTL_PROGRAM, program)];
    let script = format!("etc/init.d/{NOVACTL_SERVICE}");
    match services.init {
        Init::Systemd => {
            let unit = format!("etc/systemd/system/{NOVACTL_SERVICE}.service");
            let link = format!("etc/systemd/system/multi-user.target.wants/{NOVACTL_SERVICE}.service");
            files.push(FileChange::write(&unit, UNIT));
            files.push(FileChange::Link { path: link, to: format!("/{unit}") });
        }
        Init::Upstart => {
            files.push(FileChange::write(format!("etc/init/{NOVACTL_SERVICE}.conf"), UPSTART_JOB));
        }
        Init::SysV => {
            let tools = boot::starts_at(root, TOOLS)?;
            let number = tools.map_or(USUAL_NUMBER, |number| (number + 1).min(99));
            files.push(binary(&script, INIT_SCRIPT.into()));
            files.extend(boot::levels(root, NOVACTL_SERVICE, number));
            files.extend(boot::in_parallel(root, NOVACTL_SERVICE, TOOLS)?);
        }
        Init::OpenRc => {
            let link = format!("etc/runlevels/default/{NOVACTL_SERVICE}");
            files.push(binary(&script, OPENRC_SCRIPT.into()));
            files.push(FileChange::Link { path: link, to: format!("/{script}") });
        }
        Init::BsdRc => bail!("novactl cannot be the agent of FreeBSD: it is a Linux program"),
        Init::Unknown => bail!("nothing is known that starts services on this system: no init was found"),
    }
    let others = others(target)?;
    for service in others.iter().filter(|service| is_enabled(service)) {
        files.extend(boot::disable(root, service)?);
    }
    let title = "put novactl agent in place".to_owned();
    let files = Plan { verb: VERB, title, files: without_repeats(files, root)?, ..Plan::default() };
    let is_done = !target.is_live() || runs(target) && files.clone().prepare(root)?.is_empty();
    Ok(if is_done { files } else { Plan { steps: steps(target, &others)?, ..files } })
}

/// Whether this program serves the host as the agent already.
fn runs(target: &Target) -> bool {
    target.processes().iter().any(|process| kind_of(process) == Some(Kind::Novactl))
}

/// Returns the services of other agents by their exact names, whatever has become of what they start.
fn others(target: &Target) -> Result<Vec<Service>> {
    let names = SERVICES.into_iter().filter(|name| *name != NOVACTL_SERVICE);
    let services = names.map(|name| target.services().named(&target.root, name));
    services.filter_map(Result::transpose).collect()
}

fn is_enabled(service: &Service) -> bool {
    matches!(service.enabled, Enabled::Yes(_))
}

/// Stops the other agents, lets the manager read the new files, starts this one; undone in the opposite order. Only one
/// that ran is started again: what is replaced because it dies would die again, and nothing could be taken back.
fn steps(target: &Target, others: &[Service]) -> Result<Vec<LiveStep>> {
    let services = target.services();
    let init = services.init;
    let is_other = |process: &&Process| kind_of(process).is_some_and(|kind| kind != Kind::Novactl);
    let running = target.processes().iter().find(is_other);
    // one that was started by hand can be switched off at boot already
    let any_enabled = others.iter().any(is_enabled);
    let stopped: Vec<_> = others.iter().filter(|service| !any_enabled || is_enabled(service)).collect();
    if let Some(process) = running.filter(|_| stopped.is_empty()) {
        bail!("nova-agent runs as process {}, of no service that is known: end it first", process.pid);
    }
    let mut steps = Vec::new();
    for Service { name, .. } in stopped {
        if running.is_some() {
            steps.push(boot::switch(init, name, "stop", Some("start")));
        } else if init == Init::Systemd && any_enabled {
            // it may be about to be started again
            steps.push(boot::switch(init, name, "stop", None));
        }
        // one that died is not forgotten by stopping it: the whole system would stay degraded
        if services.state(name)?.is_some_and(|state| state.active == "failed") {
            let run = Cmd::new(&["systemctl", "reset-failed", &format!("{name}.service")]);
            steps.push(LiveStep { run, back: None, needs: Needs::Any });
        }
    }
    steps.extend(boot::reload(init));
    steps.push(if runs(target) {
        // goes on as the release that is put in place, and back
        boot::switch(init, NOVACTL_SERVICE, "restart", Some("restart"))
    } else {
        LiveStep { needs: Needs::New, ..boot::switch(init, NOVACTL_SERVICE, "start", Some("stop")) }
    });
    Ok(steps)
}

/// Drops what is changed twice: two names of one link's directory, or one service under two agents.
fn without_repeats(files: Vec<FileChange>, root: &Root) -> Result<Vec<FileChange>> {
    let mut kept: Vec<FileChange> = Vec::new();
    for file in files {
        if kept.iter().any(|other| other.path() == file.path()) {
            continue;
        }
        // a link that is there already needs no change, also when its directory is reached in another way
        let is_removal = matches!(file, FileChange::Remove { .. });
        if !is_removal || root.node(file.path())? != Node::Absent {
            kept.push(file);
        }
    }
    Ok(kept)
}
