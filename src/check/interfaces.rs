//! Checks of the topic interfaces: which links exist beside the host's NICs, and whether they harm the agent.
//!
//! All of them judge one [`Survey`], which the target makes once.

pub(crate) mod hazards;

use anyhow::bail;

use super::network::ipv6_on::{self, Works};
use super::{Check, Finding, Needs, Status, Topic, agent};
use crate::facts::agents::{Agent, Kind as AgentKind};
use crate::facts::os::{Base, Family};
use crate::net::configured::Seen;
use crate::net::ipv6;
use crate::net::links::Kind;
use crate::net::survey::{BONDING_MASTERS, Interface, Survey, Verdict};
use crate::plan::Plan;
use crate::target::Target;

/// The most findings of one check, and the most places of one finding; the rest is counted.
const SHOWN_MAX: usize = 10;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "unexpected-interfaces",
        topic: Topic::Interfaces,
        about: "no interface crashes the agent",
        needs: Needs::FILES,
        blocks: &[],
        probe: unexpected_interfaces,
        fix: Some(replace_agent),
        page: include_str!("pages/unexpected-interfaces.md"),
    },
    Check {
        id: "ipv6-enabled-public",
        topic: Topic::Interfaces,
        about: "IPv6 is on for the public interface",
        needs: Needs::FILES,
        blocks: &[],
        probe: ipv6_enabled_public,
        fix: Some(ipv6_on::fix),
        page: include_str!("pages/ipv6-enabled-public.md"),
    },
    Check {
        id: "nics-match-host-data",
        topic: Topic::Interfaces,
        about: "the host knows every NIC, and every NIC it knows is there",
        needs: Needs::LIVE_XENSTORE,
        blocks: &[],
        probe: nics_match_host_data,
        fix: None,
        page: include_str!("pages/nics-match-host-data.md"),
    },
    Check {
        id: "mac-unique",
        topic: Topic::Interfaces,
        about: "no other link carries a NIC's MAC",
        needs: Needs::LIVE,
        blocks: &[],
        probe: mac_unique,
        fix: None,
        page: include_str!("pages/mac-unique.md"),
    },
];

pub(super) fn unexpected_interfaces(target: &Target) -> anyhow::Result<Vec<Finding>> {
    let survey = target.survey()?;
    let agent = target.agents().all.first();
    let mut findings = Vec::new();
    if let Some(agent) = agent {
        findings.extend(crashes(agent, survey, target.os().base));
        findings.extend(bonding_masters(agent, survey, target)?);
    }
    if findings.is_empty() {
        findings.push(others(survey, agent));
    }
    Ok(findings)
}

/// One failure for each link that the installed agent dies of.
fn crashes(agent: &Agent, survey: &Survey, base: Base) -> Vec<Finding> {
    let version = agent.version.as_deref().unwrap_or("of unknown version");
    let mut findings = Vec::new();
    let mut more = 0;
    for interface in &survey.interfaces {
        let Some(why) = hazards::crash_of(agent, interface) else { continue };
        if findings.len() == SHOWN_MAX {
            more += 1;
            continue;
        }
        let link = &interface.link;
        let when =
            if interface.made_by.as_ref().is_some_and(|made| !made.at_boot) { " once it is up" } else { "" };
        let title =
            format!("{} is a {} interface, which crashes nova-agent {version}{when}", link.name, link.kind);
        let seen = place(interface);
        let finding = Finding::fail(title).because(why).seen(seen.source, seen.text).about(&link.name);
        findings.push(update_agent(finding, base));
    }
    if more > 0
        && let Some(last) = findings.last_mut()
    {
        let text = format!("{more} more interfaces crash it too");
        *last = last.clone().seen("scan-ifaces", text);
    }
    findings
}

/// Puts an agent in place that copes with every interface.
fn replace_agent(target: &Target) -> anyhow::Result<Plan> {
    if unexpected_interfaces(target)?.iter().all(|finding| finding.status != Status::Fail) {
        bail!("no interface crashes the agent");
    }
    agent::replace(target)
}

fn update_agent(finding: Finding, base: Base) -> Finding {
    if base == Base::FreeBsd {
        return finding.mend("update the agent to 1.39.1 with its own installer.sh; until then it runs only without the interface");
    }
    let text = "put novactl in place as the agent; or update it to 1.39.1 with its own installer.sh. Until then it runs \
                only without the interface";
    finding.mend(text).by(&["novactl", "agent", "install"])
}

fn bonding_masters(agent: &Agent, survey: &Survey, target: &Target) -> anyhow::Result<Option<Finding>> {
    if !survey.has_bonding_masters {
        return Ok(None);
    }
    let Some(python) = hazards::python_with_netifaces(agent, &target.root)? else { return Ok(None) };
    let finding =
        Finding::fail("the bonding driver's file bonding_masters crashes nova-agent 2.x at a network reset")
            .because("the agent takes it for an interface, and netifaces raises ValueError for such a name")
            .seen(BONDING_MASTERS, "a plain file among the links")
            .seen(python, "this Python can import netifaces")
            .about("bonding_masters");
    let has_bond = survey.interfaces.iter().any(|interface| interface.link.kind == Kind::BOND);
    let text = if has_bond {
        "put novactl in place as the agent; or take netifaces out of its Python where its package does not need it"
    } else {
        "put novactl in place as the agent; or, as no bond is in use, unload the driver and keep it from being loaded"
    };
    Ok(Some(finding.mend(text).by(&["novactl", "agent", "install"])))
}

/// What exists beside the NICs and does no harm.
fn others(survey: &Survey, agent: Option<&Agent>) -> Finding {
    let is_other =
        |interface: &&Interface| matches!(interface.verdict, Some(Verdict::Unexpected | Verdict::SharesMac));
    let others: Vec<&Interface> = survey.interfaces.iter().filter(is_other).collect();
    if others.is_empty() {
        return Finding::ok("no interface beside NICs and the loopback");
    }
    let names: Vec<String> = others
        .iter()
        .take(SHOWN_MAX)
        .map(|interface| format!("{} ({})", interface.link.name, interface.link.kind))
        .collect();
    let more = others.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let finding = Finding::note(format!("beside the NICs there are {}{more}", names.join(", ")));
    let finding = match agent {
        Some(Agent { kind: AgentKind::Nova1, version: None, .. }) => finding.because(
            "the release of the installed 1.x is not known: below 1.39.1 it crashes on tun and tap interfaces",
        ),
        Some(_) => finding.because("the installed agent copes with them"),
        None => finding,
    };
    others.iter().take(SHOWN_MAX).fold(finding, |finding, interface| {
        let seen = place(interface);
        finding.seen(seen.source, seen.text)
    })
}

/// Where an interface was seen.
fn place(interface: &Interface) -> Seen {
    if let Some(made) = &interface.made_by {
        return made.seen.clone();
    }
    let link = &interface.link;
    let mut text = format!("{} {}", link.kind, link.state.word());
    for address in link.addresses.iter().take(2) {
        text.push_str(&format!(" {address}"));
    }
    Seen { source: link.name.clone(), text }
}

fn ipv6_enabled_public(target: &Target) -> anyhow::Result<Vec<Finding>> {
    if target.os().family != Family::Linux {
        return Ok(vec![Finding::skipped("not a Linux system")]);
    }
    let survey = target.survey()?;
    let public: Vec<&Interface> = survey.interfaces.iter().filter(|interface| interface.is_public).collect();
    if public.is_empty() {
        return Ok(vec![Finding::skipped("no public interface is known")]);
    }
    let off: Vec<&Interface> =
        public.iter().copied().filter(|interface| interface.ipv6.enabled == Some(false)).collect();
    if off.is_empty() {
        if !target.is_live() {
            ipv6::readable(&target.root)?;
        }
        let names: Vec<&str> = public.iter().map(|interface| interface.link.name.as_str()).collect();
        return Ok(vec![Finding::ok(format!("IPv6 is on for {}", names.join(", ")))]);
    }
    let works = Works::of(target);
    let judge = |interface: &&Interface| {
        let finding = ipv6_off(survey, interface, target);
        if works.can_mend(survey, interface) { finding } else { finding.by_hand() }
    };
    Ok(off.iter().take(SHOWN_MAX).map(judge).collect())
}

fn ipv6_off(survey: &Survey, interface: &Interface, target: &Target) -> Finding {
    let name = &interface.link.name;
    let assigned = survey.record(interface).map(|nic| nic.addresses6.as_slice()).unwrap_or_default();
    let title = format!("IPv6 is off on the public interface {name}");
    let mut finding = match assigned.first() {
        Some(address) => Finding::warn(title).because(format!("the host assigns {address} to it")),
        None => Finding::note(title).because("the host assigns no IPv6 address to it, as far as is known"),
    };
    let by = &interface.ipv6.disabled_by;
    for seen in by {
        finding = finding.seen(&seen.source, &seen.text);
    }
    let finding = finding.about(name);
    let places: Vec<&str> =
        by.iter().map(|seen| seen.source.as_str()).filter(|s| !s.starts_with("proc/")).collect();
    let switch = format!("proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    match places.as_slice() {
        [] if by.iter().any(|seen| seen.source == switch) => {
            // with slashes, because a name can have a dot
            let assignment = format!("net/ipv6/conf/{name}/disable_ipv6=0");
            let finding = finding.mend("no file keeps it off: switch it on");
            if target.is_live() { finding.by(&["sysctl", "-w", &assignment]) } else { finding }
        }
        [] => finding.mend("no file says it: find what switches IPv6 off (grep -r ipv6 /etc), and remove it"),
        // what a program writes anew is changed where it has it from
        [place, ..] if place.starts_with("boot/") || place.starts_with("etc/default/grub") => {
            let finding = finding.mend(
                "take ipv6.disable=1 out of /etc/default/grub, then have the boot menu written anew (update-grub, or \
                 grub2-mkconfig -o /boot/grub2/grub.cfg), and boot",
            );
            match target.os().base {
                Base::RedHat => {
                    finding.by(&["grubby", "--update-kernel=ALL", "--remove-args=ipv6.disable=1"])
                }
                _ => finding,
            }
        }
        places => {
            finding.mend(format!("let {name} have it: change the setting in /{}", places.join(" and /")))
        }
    }
}

fn nics_match_host_data(target: &Target) -> anyhow::Result<Vec<Finding>> {
    Ok(not_matching(target.survey()?))
}

fn not_matching(survey: &Survey) -> Vec<Finding> {
    let host = match &survey.host {
        Ok(host) => host,
        Err(reason) => return vec![Finding::skipped(reason)],
    };
    let mut findings = Vec::new();
    let is_unknown = |interface: &&Interface| interface.verdict == Some(Verdict::UnknownToHost);
    for interface in survey.interfaces.iter().filter(is_unknown).take(SHOWN_MAX) {
        let link = &interface.link;
        let mac = link.host_mac().map(|mac| mac.to_string()).unwrap_or_default();
        findings.push(
            Finding::warn(format!("the host assigns nothing to {}", link.name))
                .because(
                    "the agent does not configure it: it keeps what was configured by hand, or stays down",
                )
                .seen(&link.name, format!("{} {mac}", link.kind))
                .seen("vm-data/networking", "no record of this MAC")
                .about(&link.name)
                .mend("configure it by hand, or have the network data injected again"),
        );
    }
    for nic in survey.missing().into_iter().take(SHOWN_MAX) {
        let label = nic.label.as_deref().unwrap_or("without a label");
        let path = format!("vm-data/networking/{}", nic.key);
        findings.push(
            Finding::warn(format!("the host assigns a NIC {} ({label}) that is not there", nic.key))
                .because(
                    "nova-agent 1.x refuses the whole network reset because of it; records of detached NICs stay in XenStore",
                )
                .seen(&path, nic.mac.map_or_else(|| "no MAC".to_owned(), |mac| mac.to_string()))
                .about(&nic.key)
                .mend("attach the network again, or have the stale record removed by the host")
                .by(&["xenstore-read", &path]),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{} of the host's records, each with its NIC", host.nics.len())));
    }
    findings
}

fn mac_unique(target: &Target) -> anyhow::Result<Vec<Finding>> {
    Ok(sharing_a_mac(target.survey()?))
}

fn sharing_a_mac(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for nic in &survey.interfaces {
        let link = &nic.link;
        let is_nic = link.kind.is_nic() || nic.verdict == Some(Verdict::Host);
        // a walk over all links per NIC: there are few NICs, and none of the others is looked at twice
        if !is_nic || nic.shares_mac_of.is_some() || findings.len() == SHOWN_MAX {
            continue;
        }
        let sharing: Vec<&Interface> = survey
            .interfaces
            .iter()
            .filter(|other| other.shares_mac_of.as_deref() == Some(link.name.as_str()))
            .take(SHOWN_MAX)
            .collect();
        if sharing.is_empty() && link.master.is_none() {
            continue;
        }
        findings.push(not_unique(nic, &sharing));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("no other link carries a NIC's MAC, and no NIC is a port"));
    }
    findings
}

fn not_unique(nic: &Interface, sharing: &[&Interface]) -> Finding {
    let name = &nic.link.name;
    let others: Vec<String> =
        sharing.iter().map(|other| format!("{} ({})", other.link.name, other.link.kind)).collect();
    let title = match (&nic.link.master, others.is_empty()) {
        (Some(master), true) => format!("{name} is a port of {master}"),
        (Some(master), false) => {
            format!("{name} is a port of {master}, and {} has its MAC", others.join(", "))
        }
        (None, _) => format!("{} has the MAC of {name}", others.join(", ")),
    };
    let mut finding = Finding::warn(title)
        .because(
            "at a network reset nova-agent 2.x gives every link with this MAC the same addresses; \
             1.x configures the last one and moves the configuration of the others away",
        )
        .about(name);
    for interface in std::iter::once(&nic).chain(sharing) {
        let mac = interface.link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        finding = finding.seen(&interface.link.name, format!("{} {mac}", interface.link.kind));
    }
    finding.mend("give the other link a MAC of its own, or have no network reset on this server")
}

#[cfg(test)]
#[path = "interfaces/tests.rs"]
mod tests;
