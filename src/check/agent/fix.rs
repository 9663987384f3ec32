//! What mends the agent's service: on at boot, alone, running, with the settings that it lacks.
//!
//! Every fix asks first whether the agent can work here at all: one that cannot is not started or tuned, novactl's own
//! agent takes its place. So two fixes never pull at one service, and two that replace it are one change.

use anyhow::{Context, Result, bail};

use super::{install, libraries, python, timing, unit, version};
use crate::agent;
use crate::check::{Check, Finding, Status, Topic, all, interfaces, mend};
use crate::commands::boot;
use crate::exec::Cmd;
use crate::facts::agents::process::kind_of;
use crate::facts::agents::{Agent, Kind, NOVACTL_PROGRAM};
use crate::facts::init::Service;
use crate::facts::tools::Machine;
use crate::plan::{self, FileChange, LiveStep, Plan};
use crate::target::Target;

/// Puts novactl's agent in the place of what is there.
///
/// # Errors
/// This program cannot run on the target, or cannot be read.
pub(in crate::check) fn replace(target: &Target) -> Result<Plan> {
    runs_there(target)?;
    let plan = agent::install::plan(target, agent::install::own_program()?)?;
    Ok(Plan { verb: "fix", ..plan })
}

/// Whether mending what was found puts novactl's agent in the place of what is there.
pub(crate) fn replaces_the_agent(target: &Target, findings: &[Finding]) -> bool {
    let is_mended = |check: &&Check| {
        let is_of_it = |f: &&Finding| f.id == check.id && f.status >= Status::Warn;
        findings.iter().filter(is_of_it).any(|f| f.remedy.as_ref().is_some_and(|remedy| remedy.fixable))
    };
    let of_the_agent = all().filter(|check| matches!(check.topic, Topic::Agent | Topic::Interfaces));
    let mut plans = of_the_agent.filter(is_mended).filter_map(|check| check.fix?(target).ok());
    plans.any(|plan| plan.files.iter().any(|file| file.path() == NOVACTL_PROGRAM))
}

/// A program of another processor would be one more agent that does not start.
fn runs_there(target: &Target) -> Result<()> {
    let own = match std::env::consts::ARCH {
        "x86" => Machine::I386,
        "aarch64" => Machine(183),
        _ => Machine::X86_64,
    };
    match target.tools().machine {
        Some(machine) if machine != own => bail!("novactl is built for {own} here, the system for {machine}"),
        _ => Ok(()),
    }
}

/// Returns the plan that replaces an agent which cannot work on this system; `None` where it can.
fn replacement(target: &Target) -> Result<Option<Plan>> {
    let is_hopeless = fails(version::supports_distro(target))
        || fails(version::version(target))
        || fails(interfaces::unexpected_interfaces(target))
        || fails(libraries::libraries(target))
        || fails(python::interpreter(target)) && python::with_another(target)?.is_none();
    if is_hopeless { replace(target).map(Some) } else { Ok(None) }
}

fn fails(found: Result<Vec<Finding>>) -> bool {
    found.is_ok_and(|all| all.iter().any(|finding| finding.status == Status::Fail))
}

/// Replaces a release that breaks this system; one that is only old does its work, and is updated by hand.
pub(super) fn unfit(target: &Target) -> Result<Plan> {
    if !fails(version::version(target)) {
        bail!("the agent works here: its own package or installer updates it");
    }
    replace(target)
}

/// Makes a plan for the first agent and its service, or replaces an agent that cannot work here.
fn of_service(target: &Target, make: impl FnOnce(&Agent, &Service) -> Result<Plan>) -> Result<Plan> {
    if let Some(plan) = replacement(target)? {
        return Ok(plan);
    }
    let agent = target.agents().all.first().context("no agent is installed")?;
    make(agent, agent.service().context("no service starts the agent")?)
}

/// Keeps the agent that counts as the first, and switches the others off.
pub(super) fn single(target: &Target) -> Result<Plan> {
    if let Some(plan) = replacement(target)? {
        return Ok(plan);
    }
    let enabled = install::started_at_boot(&target.root, target.agents());
    let [(_, keep), others @ ..] = enabled.as_slice() else { bail!("no service starts an agent at boot") };
    if others.is_empty() {
        bail!("one agent only starts at boot: stop the process of the other");
    }
    let (mut files, mut steps) = (Vec::new(), Vec::new());
    for (_, service) in others {
        files.extend(boot::disable(&target.root, service)?);
        steps.push(boot::switch(target.services().init, &service.name, "stop", Some("start")));
    }
    Ok(mend::plan(target, format!("keep {} alone", keep.name), files, steps))
}

pub(super) fn enable(target: &Target) -> Result<Plan> {
    of_service(target, |agent, service| {
        if agent.is_enabled() {
            return install::with_its_program(target, agent);
        }
        let files = boot::enable(&target.root, target.services(), service)?;
        let runs = target.processes().iter().any(|process| kind_of(process) == Some(agent.kind));
        let start = boot::switch(target.services().init, &service.name, "start", Some("stop"));
        let steps = if runs { Vec::new() } else { vec![start] };
        Ok(mend::plan(target, format!("start {} at boot", service.name), files, steps))
    })
}

pub(super) fn start(target: &Target) -> Result<Plan> {
    of_service(target, |_, service| {
        let mut plan = mend::started(target, service);
        if target.services().state(&service.name)?.is_some_and(|state| state.gave_up()) {
            let run = Cmd::new(&["systemctl", "reset-failed", &format!("{}.service", service.name)]);
            plan.steps.insert(0, LiveStep { run, back: None, needs: plan::Needs::Any });
        }
        Ok(plan)
    })
}

/// The other process ran with an agent that is gone: there is no way back to it.
pub(super) fn start_anew(target: &Target) -> Result<Plan> {
    of_service(target, |_, service| {
        let restart = boot::switch(target.services().init, &service.name, "restart", None);
        Ok(mend::plan(target, format!("start {} anew", service.name), Vec::new(), vec![restart]))
    })
}

/// Names another Python in a drop-in where one has what the agent needs.
pub(super) fn interpreter(target: &Target) -> Result<Plan> {
    match python::with_another(target)? {
        Some(plan) => Ok(plan),
        None => replace(target),
    }
}

/// A unit in place of the init script that systemd does not see; the link stays where it is.
pub(super) fn native(target: &Target) -> Result<Plan> {
    of_service(target, |agent, _| {
        if agent.kind != Kind::Nova1 {
            bail!("the init script is not that of nova-agent 1.x");
        }
        let tree = agent.tree.as_deref().context("the agent has no directory of its version")?;
        let text = format!(
            "[Unit]\nDescription=nova-agent, serves the XenServer host\n\n[Service]\n\
             Environment=LD_LIBRARY_PATH=/{tree}/lib\n\
             ExecStart=/{} -n -l info -o /var/log/nova-agent.log /{tree}/nova-agent.py\n\
             Restart=on-failure\nRestartSec=10\n\n[Install]\nWantedBy=multi-user.target\n",
            agent.program
        );
        let path = "etc/systemd/system/nova-agent.service";
        let link = "etc/systemd/system/multi-user.target.wants/nova-agent.service";
        let files = vec![
            FileChange::write(path, text),
            FileChange::Link { path: link.to_owned(), to: format!("/{path}") },
        ];
        let start = boot::switch(target.services().init, "nova-agent", "start", Some("stop"));
        Ok(mend::plan(target, "give nova-agent a unit of its own", files, vec![start]))
    })
}

pub(super) fn restarts(target: &Target) -> Result<Plan> {
    of_service(target, |_, service| mend::drop_in(target, service, "restart", unit::RESTARTS))
}

pub(super) fn boot_timing(target: &Target) -> Result<Plan> {
    of_service(target, |_, service| {
        let text = timing::missing(target, service)?;
        if text.is_empty() {
            bail!("no setting of the unit is at fault");
        }
        mend::drop_in(target, service, "boot", &text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::agents::tests::{link, put};
    use crate::facts::agents::zip_application;
    use crate::facts::tree::Tree;

    const UNIT: &str = "[Service]\nExecStart=/usr/bin/nova-agent\n[Install]\nWantedBy=multi-user.target\n";

    fn live(tree: &Tree) -> Target {
        Target::pretending_to_be_live(tree.path())
    }

    fn with_agent(distribution: &str) -> Tree {
        let tree = Tree::of(&[
            ("usr/lib/systemd/systemd", ""),
            ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
            ("usr/lib/systemd/system/default.target", "[Unit]\nWants=multi-user.target\n"),
            ("usr/lib/systemd/system/nova-agent.service", UNIT),
            (distribution, "x\n"),
        ]);
        put(tree.path(), "usr/bin/nova-agent", "#!/usr/bin/python3\nimport novaagent\n");
        link(tree.path(), "sbin/init", "/usr/lib/systemd/systemd");
        tree
    }

    fn programs(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(|step| step.run.line()).collect()
    }

    #[test]
    fn on_a_running_system_the_manager_reads_the_files_before_the_start() {
        let tree = with_agent("etc/debian_version");
        put(tree.path(), "usr/bin/python3.11", b"\x7fELF");
        link(tree.path(), "usr/bin/python3", "python3.11");
        put(tree.path(), "usr/lib/python3.11/os.py", "");
        let target = live(&tree);
        let plan = start(&target).unwrap();
        assert!(replacement(&target).unwrap().is_none());
        assert_eq!(programs(&plan), ["systemctl daemon-reload", "systemctl restart nova-agent.service"]);
        let back = plan.steps[1].back.as_ref().unwrap().line();
        assert_eq!(back, "systemctl stop nova-agent.service");
        let plan = enable(&target).unwrap();
        assert_eq!(programs(&plan), ["systemctl daemon-reload", "systemctl start nova-agent.service"]);
        assert_eq!(start_anew(&target).unwrap().steps[1].back, None);
    }

    #[test]
    fn a_mounted_system_gets_files_alone() {
        let tree = with_agent("etc/debian_version");
        let target = super::super::tests::offline(tree.path());
        let service = target.agents().all[0].service().unwrap();
        assert!(mend::started(&target, service).steps.is_empty());
        let plan = mend::drop_in(&target, service, "restart", unit::RESTARTS).unwrap();
        assert_eq!(plan.files[0].path(), "etc/systemd/system/nova-agent.service.d/zz-novactl-restart.conf");
        assert!(plan.steps.is_empty());
    }

    #[test]
    fn a_release_that_works_here_is_not_replaced() {
        let tree = with_agent("etc/redhat-release");
        put(tree.path(), "usr/lib/os-release", "ID=almalinux\nVERSION_ID=9.3\n");
        let release = |version: &str| {
            let members = [("novaagent/__init__.py", format!("__version__ = '{version}'"))];
            let members = members.each_ref().map(|(name, body)| (*name, body.as_str()));
            put(tree.path(), "usr/bin/nova-agent", zip_application("#!/usr/bin/python3", &members));
            super::super::tests::offline(tree.path())
        };
        assert!(fails(version::version(&release("2.1.22"))));
        let error = unfit(&release("2.1.23")).unwrap_err().to_string();
        assert!(error.starts_with("the agent works here"), "{error}");
    }

    #[test]
    fn a_program_for_another_processor_is_not_put_in_place() {
        let tree = with_agent("etc/debian_version");
        let mut header = [0; 64];
        header[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0");
        std::fs::create_dir_all(tree.path().join("bin")).unwrap();
        std::fs::write(tree.path().join("bin/sh"), header).unwrap();
        let target = super::super::tests::offline(tree.path());
        assert!(replace(&target).unwrap_err().to_string().contains("the system for arm"));
    }
}
