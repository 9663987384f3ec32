//! Checks of the topic xentools: the daemon that tells the host about the guest, and its place in the boot order.
//!
//! The judgements take facts and return findings; only the probes look at the target. `boot_order`, `before_agent`
//! and `reporting` hold what needs more than a few lines.

mod before_agent;
mod boot_order;
mod fix;
mod reporting;

use super::{Blocks, Check, Finding, Needs, Topic};
use crate::facts::agents::{Agents, Kind as AgentKind};
use crate::facts::hypervisor::{Hypervisor, Platform};
use crate::facts::init::{Enabled, Init, Service, State};
use crate::facts::os::{Base, Os};
use crate::facts::processes::Process;
use crate::facts::tools::{Machine, Tool, Tools};
use crate::target::Target;

/// The checks of this topic, cause before symptom.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "xentools-installed",
        topic: Topic::Xentools,
        about: "a XenServer Tools daemon is installed",
        needs: Needs::FILES,
        // not boot-order-acyclic: units around the agent can wait for each other without any tools
        blocks: &[
            Blocks::Check("xentools-enabled"),
            Blocks::Check("xentools-running"),
            Blocks::Check("xentools-reporting"),
            Blocks::Check("xentools-before-agent"),
            Blocks::Check("xentools-single"),
        ],
        probe: |target| {
            // A store that was named stands for Xen, also in a container.
            let asks = target.is_live() && !target.store_is_named();
            let hypervisor = asks.then(|| Hypervisor::of(&target.root));
            Ok(vec![installed(target.tools(), target.os(), hypervisor.as_ref(), weight_of(target))])
        },
        fix: None,
        page: include_str!("pages/xentools-installed.md"),
    },
    Check {
        id: "xentools-enabled",
        topic: Topic::Xentools,
        about: "the tools start at boot",
        needs: Needs::FILES,
        blocks: &[],
        probe: |target| {
            let init = target.services().init;
            Ok(vec![enabled(target.tools(), init, target.os().base, weight_of(target))])
        },
        fix: Some(fix::enable),
        page: include_str!("pages/xentools-enabled.md"),
    },
    Check {
        id: "xentools-running",
        topic: Topic::Xentools,
        about: "the tools' daemon runs",
        needs: Needs::LIVE,
        blocks: &[Blocks::Check("xentools-reporting")],
        probe: xentools_running,
        fix: Some(fix::start),
        page: include_str!("pages/xentools-running.md"),
    },
    Check {
        id: "xentools-reporting",
        topic: Topic::Xentools,
        about: "the host hears from the tools",
        needs: Needs::LIVE_XENSTORE,
        blocks: &[],
        probe: reporting::probe,
        fix: None,
        page: include_str!("pages/xentools-reporting.md"),
    },
    Check {
        id: "xentools-before-agent",
        topic: Topic::Xentools,
        about: "the tools start right before the agent where the order counts",
        needs: Needs::FILES,
        blocks: &[],
        probe: before_agent::probe,
        fix: Some(before_agent::fix),
        page: include_str!("pages/xentools-before-agent.md"),
    },
    Check {
        id: "boot-order-acyclic",
        topic: Topic::Xentools,
        about: "the order of units around the agent has no cycle",
        needs: Needs::FILES,
        blocks: &[],
        probe: boot_order::probe,
        fix: Some(boot_order::fix),
        page: include_str!("pages/boot-order-acyclic.md"),
    },
    Check {
        id: "xentools-single",
        topic: Topic::Xentools,
        about: "one tools daemon, built for this system",
        needs: Needs::FILES,
        blocks: &[],
        probe: |target| Ok(single(target.tools(), target.processes())),
        fix: None,
        page: include_str!("pages/xentools-single.md"),
    },
];

/// How much it hurts when the tools do not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// The agent depends on them.
    Agent,
    /// Only the host's view of the guest suffers.
    View,
}

impl Weight {
    fn finding(self, title: impl Into<String>) -> Finding {
        match self {
            Self::Agent => {
                Finding::fail(title).because("this agent needs the tools to be up before it starts")
            }
            Self::View => Finding::warn(title).because(
                "the panel sees no memory and no addresses, and a shutdown through the API is a hard stop; \
                 the agent works without",
            ),
        }
    }
}

fn weight_of(target: &Target) -> Weight {
    weight(target.agents(), target.services().init)
}

/// The agent 1.x always depends on them; 2.x where its init script is started after theirs.
fn weight(agents: &Agents, init: Init) -> Weight {
    let by_script = matches!(init, Init::SysV | Init::Upstart);
    let depends = agents.all.iter().any(|agent| match agent.kind {
        AgentKind::Nova1 => true,
        AgentKind::Nova2 => by_script,
        AgentKind::Novactl | AgentKind::Windows => false,
    });
    if depends { Weight::Agent } else { Weight::View }
}

fn installed(tools: &Tools, os: &Os, hypervisor: Option<&Hypervisor>, weight: Weight) -> Finding {
    if let Some(tool) = tools.all.first() {
        let version = tool.version.as_deref().unwrap_or("of unknown version");
        return Finding::ok(format!("{} {version}", tool.kind.process())).seen(&tool.program, "installed");
    }
    if let Some(Hypervisor { platform, .. }) = hypervisor
        && *platform != Platform::XenGuest
    {
        return Finding::skipped(format!("the tools have no use here: this is {platform}"));
    }
    if let Some(denied) = &tools.denied {
        return Finding::skipped(format!("needs root: {denied}"));
    }
    let finding = weight
        .finding("no XenServer Tools are installed")
        .seen("usr/sbin/xe-daemon", "no such file")
        .seen("usr/sbin/xe-linux-distribution", "no such file")
        .seen("usr/sbin/xen-guest-agent", "no such file");
    install(finding, os)
}

/// Adds how the tools are installed on this distribution.
fn install(finding: Finding, os: &Os) -> Finding {
    let release = os.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match os.base {
        Base::RedHat if os.id == "fedora" || release.is_some_and(|release| (8..1000).contains(&release)) => {
            finding
                .mend("install the package (on RHEL and its rebuilds it is in EPEL)")
                .by(&["dnf", "install", "-y", "xe-guest-utilities-latest"])
                .by(&["systemctl", "enable", "--now", "xe-linux-distribution"])
        }
        Base::Debian if os.id == "ubuntu" => finding.mend("install the package (it is in universe)").by(&[
            "apt-get",
            "install",
            "xe-guest-utilities",
        ]),
        Base::Alpine => finding
            .mend("install the package (it is in community)")
            .by(&["apk", "add", "xe-guest-utilities"])
            .by(&["rc-update", "add", "xe-guest-utilities", "default"]),
        Base::Gentoo => {
            finding.mend("install the package").by(&["emerge", "app-emulation/xe-guest-utilities"])
        }
        Base::FreeBsd => finding
            .mend("install the package")
            .by(&["pkg", "install", "xe-guest-utilities"])
            .by(&["sysrc", "xenguest_enable=YES"]),
        _ => finding
            .mend("attach the XenServer Tools ISO (xs-tools, guest-tools) and run its installer")
            .by(&["mount", "-o", "ro", "/dev/cdrom", "/media"])
            .by(&["/media/Linux/install.sh"]),
    }
}

fn enabled(tools: &Tools, init: Init, base: Base, weight: Weight) -> Finding {
    let starts = tools.all.iter().find(|tool| tool.enabled().is_some());
    let Some(tool) = starts.or(tools.all.first()) else { return Finding::skipped("no tools are installed") };
    if let Some(unread) = tools.unread.as_ref().filter(|_| tool.enabled().is_none()) {
        return Finding::unread(unread);
    }
    let Some(service) = tool.services.first() else {
        return weight
            .finding(format!("nothing starts {} at boot", tool.kind.process()))
            .seen(&tool.program, "installed, but no service of the init system starts it")
            .mend("install the tools anew from a package: that adds their service");
    };
    let name = service.name.as_str();
    match &service.enabled {
        Enabled::Yes(source) => Finding::ok(format!("{name} starts at boot")).seen(source, "enabled"),
        Enabled::Masked(source) => weight
            .finding(format!("{name} is masked"))
            .seen(source, "masked: it cannot be started at all")
            .mend("take the mask away and enable it")
            .by(&["systemctl", "unmask", name])
            .by(&["systemctl", "enable", "--now", name]),
        Enabled::No(reason) => {
            let finding = weight
                .finding(format!("{name} does not start at boot"))
                .seen(&service.path, reason)
                .mend("enable it");
            match init {
                Init::Systemd => finding.by(&["systemctl", "enable", name]),
                Init::OpenRc => finding.by(&["rc-update", "add", name, "default"]),
                Init::BsdRc => finding.by(&["sysrc", &format!("{}_enable=YES", name.replace('-', "_"))]),
                _ if base == Base::Debian => finding.by(&["update-rc.d", name, "defaults"]),
                Init::SysV | Init::Upstart | Init::Unknown => finding.by(&["chkconfig", name, "on"]),
            }
        }
    }
}

fn xentools_running(target: &Target) -> anyhow::Result<Vec<Finding>> {
    let Some(tool) = target.tools().all.first() else {
        return Ok(vec![Finding::skipped("no tools are installed")]);
    };
    // With hidepid= nobody but root sees the processes of others.
    if !target.processes().iter().any(|process| process.pid == 1) {
        return Ok(vec![Finding::skipped("needs root: the processes of others are hidden")]);
    }
    if let Some(process) = running(target.tools(), target.processes()) {
        return Ok(vec![process]);
    }
    let state = match tool.services.first() {
        Some(service) => target.services().state(&service.name)?,
        None => None,
    };
    let finding = not_running(tool, state.as_ref(), target.services().init, weight_of(target));
    if tool.services.iter().any(|service| service.init == Init::SysV) && !target.root.exists("proc/xen") {
        return Ok(vec![finding.seen("proc/xen", "missing: the init script ends here without a word")]);
    }
    Ok(vec![finding])
}

fn running(tools: &Tools, processes: &[Process]) -> Option<Finding> {
    let process = tools.all.iter().find_map(|tool| tool.process(processes))?;
    let line = process.argv.join(" ");
    Some(Finding::ok(format!("{} runs", process.name)).seen(format!("process {}", process.pid), line))
}

fn not_running(tool: &Tool, state: Option<&State>, init: Init, weight: Weight) -> Finding {
    let daemon = tool.kind.process();
    let finding =
        weight.finding(format!("{daemon} does not run")).seen("processes", format!("none is {daemon}"));
    let Some(service) = tool.services.first() else {
        return finding.mend("install the tools anew from a package: that adds their service");
    };
    let name = service.name.as_str();
    let finding = match state {
        Some(State { active, sub, result, .. }) => {
            finding.seen(format!("systemctl show {name}"), format!("{active} ({sub}), {result}"))
        }
        None => finding,
    };
    let finding = finding.mend("start it");
    match init {
        // An init script that has "exited" counts as active: start would do nothing.
        Init::Systemd => finding.by(&["systemctl", "restart", name]),
        Init::OpenRc => finding.by(&["rc-service", name, "restart"]),
        Init::SysV | Init::Upstart | Init::BsdRc | Init::Unknown => finding.by(&["service", name, "restart"]),
    }
}

fn single(tools: &Tools, processes: &[Process]) -> Vec<Finding> {
    if tools.all.is_empty() {
        return vec![Finding::skipped("no tools are installed")];
    }
    let mut findings: Vec<Finding> = two_enabled(tools).into_iter().collect();
    findings.extend(tools.all.iter().filter_map(|tool| {
        let (of_tool, of_system) = (tool.machine?, tools.machine?);
        // What runs has been built well enough.
        if of_tool == of_system || tool.process(processes).is_some() {
            return None;
        }
        Some(foreign(tool, of_tool, of_system))
    }));
    if let Some(unread) = tools.unread.as_ref().filter(|_| findings.is_empty()) {
        findings.push(Finding::unread(unread));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("one tools daemon, built for this system"));
    }
    findings
}

fn two_enabled(tools: &Tools) -> Option<Finding> {
    let enabled: Vec<(&Tool, &Service)> =
        tools.all.iter().filter_map(|tool| Some((tool, tool.enabled()?))).collect();
    let [(keep, _), (_, drop), ..] = enabled.as_slice() else { return None };
    let both = enabled.iter().map(|(tool, _)| tool.kind.process()).collect::<Vec<_>>().join(" and ");
    let finding = Finding::warn(format!("{both} both start at boot"))
        .because("they overwrite what the other one tells the host");
    let starts = |finding: Finding, service: &Service| match &service.enabled {
        Enabled::Yes(source) => finding.seen(source, "starts at boot"),
        Enabled::No(_) | Enabled::Masked(_) => finding,
    };
    let finding = enabled.iter().fold(finding, |finding, (_, service)| starts(finding, service));
    Some(finding.mend(format!("keep one, such as {}", keep.kind.process())).by(&[
        "systemctl",
        "disable",
        "--now",
        &drop.name,
    ]))
}

fn foreign(tool: &Tool, of_tool: Machine, of_system: Machine) -> Finding {
    let title = format!("{} is built for {of_tool}, the system for {of_system}", tool.kind.process());
    if (of_tool, of_system) == (Machine::I386, Machine::X86_64) {
        return Finding::note(title)
            .about(&tool.program)
            .because("it runs as long as the kernel runs 32-bit programs")
            .seen(&tool.program, format!("ELF {of_tool}"));
    }
    Finding::warn(title)
        .about(&tool.program)
        .because("it ends at once when it is started")
        .seen(&tool.program, format!("ELF {of_tool}"))
        .mend(format!("install the tools of the architecture {of_system}"))
}

#[cfg(test)]
mod tests;
