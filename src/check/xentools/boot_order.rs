//! `boot-order-acyclic`: what starts around the agent does not wait for itself.

use anyhow::{Result, bail};

use super::before_agent::AGENT_SERVICES;
use crate::check::{Finding, mend};
use crate::facts::boot::{Boot, Edge};
use crate::facts::init::{Enabled, Init, Service, Unit};
use crate::plan::{FileChange, Plan};
use crate::target::Target;

/// Units around the agent, the likeliest part of a cycle first; `cloud-*` units come on top.
const AROUND: [&str; 8] = [
    "xe-linux-distribution.service",
    "xe-daemon.service",
    "xen-guest-agent.service",
    "network-online.target",
    "network.target",
    "network-pre.target",
    "basic.target",
    "sysinit.target",
];

/// Edges of a cycle that are shown.
const SHOWN: usize = 8;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let (root, services) = (&target.root, target.services());
    if services.init != Init::Systemd {
        return Ok(vec![Finding::skipped("the order of units is systemd's")]);
    }
    let mut agents = Vec::new();
    for name in AGENT_SERVICES {
        agents.extend(services.named(root, name)?);
    }
    let tools = target.tools().all.iter().flat_map(|tool| &tool.services);
    let is_script =
        |service: &&Service| service.init == Init::SysV && matches!(service.enabled, Enabled::Yes(_));
    let scripts: Vec<&Service> = agents.iter().chain(tools).filter(is_script).collect();
    let boot = Boot::of(root, &scripts, |name| services.unit(root, name))?;
    Ok(judge(&boot))
}

/// Removes the drop-ins that do nothing but close a cycle.
pub(super) fn fix(target: &Target) -> Result<Plan> {
    let removable = probe(target)?.into_iter().filter(|f| f.remedy.as_ref().is_some_and(|r| r.fixable));
    let files: Vec<_> = removable.filter_map(|f| f.subject).map(|path| FileChange::Remove { path }).collect();
    if files.is_empty() {
        bail!("no drop-in of the administrator closes the cycle by itself");
    }
    Ok(mend::plan(target, "remove what closes the cycle", files, Vec::new()))
}

fn judge(boot: &Boot) -> Vec<Finding> {
    let own: Vec<String> = AGENT_SERVICES.iter().map(|name| format!("{name}.service")).collect();
    let mut through: Vec<&str> = own.iter().map(String::as_str).chain(["novactl-agent.service"]).collect();
    through.extend(AROUND);
    through.extend(boot.names(|name| name.starts_with("cloud-")));
    let cycles = boot.cycles(&through);
    if cycles.is_empty() {
        return vec![Finding::ok("the order of units around the agent has no cycle")];
    }
    // one line closes many cycles: taken out, it opens them all
    let mut findings: Vec<Finding> = Vec::new();
    for found in cycles.iter().map(|cycle| finding(boot, cycle)) {
        if found.subject.is_none() || findings.iter().all(|other| other.subject != found.subject) {
            findings.push(found);
        }
    }
    findings
}

fn finding(boot: &Boot, cycle: &[Edge]) -> Finding {
    let members: Vec<&str> = cycle.iter().map(|edge| edge.first.as_str()).collect();
    let mut finding = Finding::fail(format!("the boot order has a cycle: {}", members.join(" -> "))).because(
        "systemd breaks it by not starting one of them, not always the same: network, tools or agent",
    );
    for edge in cycle.iter().take(SHOWN) {
        finding = finding.seen(&edge.source, format!("{} -> {} ({})", edge.first, edge.then, edge.text));
    }
    let Some(edge) = at_fault(cycle) else {
        let text = "take one of these lines out with a drop-in or a full copy of the unit in /etc";
        return finding.mend(text).by_hand();
    };
    let file = edge.source.rsplit_once(':').map_or(edge.source.as_str(), |(file, _)| file);
    let finding = finding.about(file);
    let finding = if of_unit(boot, edge).is_some_and(|unit| only_orders(unit, file)) {
        finding
            .mend(format!("remove this file: {} is what closes the cycle", edge.text))
            .by(&["rm", &format!("/{file}")])
    } else {
        finding.mend(format!("take {} out of {}", edge.text, edge.source)).by_hand()
    };
    finding.by(&["systemctl", "daemon-reload"])
}

/// The line that was most likely added by hand: in a drop-in, else in a unit of the administrator.
fn at_fault(cycle: &[Edge]) -> Option<&Edge> {
    let is_own = |edge: &&Edge| edge.source.starts_with("etc/");
    let is_drop_in = |edge: &&Edge| edge.source.contains(".d/");
    let own = || cycle.iter().filter(is_own);
    own().find(is_drop_in).or_else(|| own().next())
}

/// The unit whose line an edge is.
fn of_unit<'b>(boot: &'b Boot, edge: &Edge) -> Option<&'b Unit> {
    boot.unit(if edge.text.starts_with("Before=") { &edge.first } else { &edge.then })
}

/// Whether a drop-in does nothing but order, so that it can go as a whole.
fn only_orders(unit: &Unit, file: &str) -> bool {
    let of_file = |source: &str| source.rsplit_once(':').is_some_and(|(path, _)| path == file);
    let mut settings = unit.settings.iter().filter(|setting| of_file(&setting.source));
    file.contains(".d/")
        && settings.all(|setting| matches!(setting.key.as_str(), "After" | "Before" | "Wants"))
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "says why it was skipped")]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::check::Status;
    use crate::facts::boot::tests::load;
    use crate::facts::tree::Tree;

    const AGENT: &str = "[Unit]\nDefaultDependencies=no\nWants=cloud-init-local.service\n\
        Before=network-online.target cloud-init.service\n[Service]\nType=notify\nExecStart=/usr/bin/nova-agent\n";
    const TOOLS: &str = "[Unit]\nConditionVirtualization=xen\nAfter=network-online.target\n\
        Wants=network-online.target\n[Service]\nExecStart=/usr/bin/nova-agent\n";
    // As on Debian and Ubuntu, where cloud-init runs before the system is initialised.
    const CLOUD_INIT: &str = "[Unit]\nDefaultDependencies=no\nAfter=cloud-init-local.service\n\
        Before=network-online.target sysinit.target\n[Service]\nType=oneshot\nExecStart=/usr/bin/nova-agent\n";
    const CLOUD_INIT_LOCAL: &str = "[Unit]\nDefaultDependencies=no\nBefore=network-pre.target\n\
        Wants=network-pre.target\n[Service]\nType=oneshot\nExecStart=/usr/bin/nova-agent\n";

    const VENDOR: &str = "/usr/lib/systemd/system";

    /// A tree with this machine's own systemd units, the agent, the tools and cloud-init, and a drop-in.
    fn tree(unit: &str, drop_in: &str) -> Tree {
        let units = ["nova-agent", "xe-linux-distribution", "cloud-init", "cloud-init-local"];
        let mut files = vec![
            ("usr/bin/nova-agent".to_owned(), "#!/bin/sh\n"),
            (format!("etc/systemd/system/{unit}.d/order.conf"), drop_in),
        ];
        let texts = [AGENT, TOOLS, CLOUD_INIT, CLOUD_INIT_LOCAL];
        let paths = units.iter().map(|name| format!("usr/lib/systemd/system/{name}.service"));
        files.extend(paths.zip(texts));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let tree = units.iter().fold(Tree::of(&files), |tree, name| {
            let to = format!("{VENDOR}/{name}.service");
            tree.link(&format!("etc/systemd/system/multi-user.target.wants/{name}.service"), &to)
        });
        let run = |program: &str, arguments: &[&Path]| {
            assert!(Command::new(program).args(arguments).status().unwrap().success());
        };
        let into = tree.path().join("usr/lib/systemd");
        run("cp", &[Path::new("-a"), Path::new(VENDOR), Path::new("/usr/lib/systemd/systemd"), &into]);
        run("chmod", &[Path::new("755"), &tree.path().join("usr/bin/nova-agent")]);
        tree
    }

    fn ours(tree: &Tree) -> Vec<Finding> {
        let root = tree.root();
        judge(&Boot::of(&root, &[], |name| load(&root, name)).unwrap())
    }

    fn systemd_finds_a_cycle(tree: &Tree) -> bool {
        let root = format!("--root={}", tree.path().display());
        let output =
            Command::new("systemd-analyze").args([&root, "verify", "default.target"]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("ordering cycle")
    }

    #[test]
    fn systemd_itself_agrees_on_every_drop_in() {
        let has_referee = Command::new("systemd-analyze").arg("--version").output().is_ok();
        if !has_referee || !Path::new(VENDOR).join("sysinit.target").exists() {
            println!("skipped: systemd is not installed");
            return;
        }
        for (unit, drop_in, is_cycle) in [
            ("nova-agent.service", "[Unit]\nDescription=plain\n", false),
            ("nova-agent.service", "[Unit]\nAfter=xe-linux-distribution.service\n", true),
            ("nova-agent.service", "[Unit]\nAfter=systemd-udevd.service local-fs.target\n", false),
            ("nova-agent.service", "[Unit]\nAfter=dbus.socket\n", true),
            ("nova-agent.service", "[Unit]\nAfter=network-online.target\n", true),
            ("nova-agent.service", "[Unit]\nAfter=nobody.service\n", false),
            ("nova-agent.service", "[Unit]\nDefaultDependencies=yes\n", true),
            ("xe-linux-distribution.service", "[Unit]\nBefore=nova-agent.service\n", true),
            ("xe-linux-distribution.service", "[Unit]\nAfter=multi-user.target\n", false),
            ("network-online.target", "[Unit]\nAfter=nova-agent.service cloud-init.service\n", false),
            ("network-online.target", "[Unit]\nBefore=nova-agent.service\n", true),
            ("systemd-networkd-wait-online.service", "[Unit]\nBefore=nova-agent.service\n", false),
        ] {
            let tree = tree(unit, drop_in);
            let findings = ours(&tree);
            let expected = if is_cycle { Status::Fail } else { Status::Ok };
            assert_eq!(systemd_finds_a_cycle(&tree), is_cycle, "systemd: {unit} {drop_in}");
            assert_eq!(findings[0].status, expected, "{unit} {drop_in} {findings:#?}");
        }
    }

    #[test]
    fn the_drop_in_that_closes_the_cycle_is_to_be_removed() {
        if !Path::new(VENDOR).join("sysinit.target").exists() {
            println!("skipped: systemd is not installed");
            return;
        }
        let findings = ours(&tree("nova-agent.service", "[Unit]\nAfter=xe-linux-distribution.service\n"));
        let file = "etc/systemd/system/nova-agent.service.d/order.conf";
        assert_eq!(findings[0].subject.as_deref(), Some(file));
        let remedy = findings[0].remedy.as_ref().unwrap();
        assert_eq!(remedy.commands[0], ["rm", &format!("/{file}")]);
        let sources: Vec<_> = findings[0].evidence.iter().map(|evidence| evidence.source.as_str()).collect();
        assert!(sources.contains(&format!("{file}:2").as_str()), "{sources:?}");
    }
}
