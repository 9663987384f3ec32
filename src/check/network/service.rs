//! Files about a NIC that no program of this system reads, while nothing else configures that NIC.
//!
//! What is left over beside a configuration that is read is no fault. The fix writes what the orphaned files say for
//! the back end that is in charge; where none is, hands have to bring the program back.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::fault::{Fault, Judged};
use super::{TEMPLATE, network_manager, owner};
use crate::check::{Check, Finding};
use crate::facts::init::Enabled;
use crate::facts::os::Family;
use crate::net::backend::{BACKENDS, Backend, Strength, netplan_not_carried_out};
use crate::net::configured::Scan;
use crate::net::intent::{Intent, Nic};
use crate::net::links::Kind;
use crate::net::survey::Origin;
use crate::net::{Mac, assignments, eni, ifcfg, keyfile, netplan, networkd, yaml};
use crate::plan::Plan;
use crate::root::Root;
use crate::target::Target;

pub(super) const PRESENT: Check = Check {
    id: "network-service-present",
    about: "something reads the files that configure the NICs",
    probe: |target| Ok(judged(target)?.findings()),
    fix: Some(fix),
    page: include_str!("../pages/network-service-present.md"),
    ..TEMPLATE
};

/// The most entries that are looked at.
const ENTRIES_MAX: usize = 200;

/// Stands in for a MAC that is not known; none of a NIC's (locally administered).
const UNKNOWN: &str = "02:00:00:00:00:00";

/// Programs whose own formats are not read here: with one of them nothing is certain.
const STRANGERS: [&str; 4] = ["wicked", "connmand", "dhcpcd", "netctl"];

/// A file about one NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    backend: &'static str,
    name: String,
    mac: Option<Mac>,
    source: String,
    text: String,
}

fn judged(target: &Target) -> Result<Judged> {
    let skipped = |reason: &str| Ok(Judged::only(Finding::skipped(reason)));
    if target.os().family != Family::Linux {
        return skipped("not for this system");
    }
    if STRANGERS.iter().any(|program| target.root.find_program(program).is_some()) {
        return skipped("the network is configured by a program whose files are not read here");
    }
    if owner::in_charge(target)?.is_none() {
        return Ok(owner::refused());
    }
    let orphans = orphans(target)?;
    let to = in_charge(target)?.map(Backend::name);
    let mut faults = Vec::new();
    for (entry, why) in &orphans {
        let Entry { name, source, text, .. } = entry;
        let path = source.rsplit_once(':').map_or(source.as_str(), |(path, _)| path);
        let finding = Finding::fail(format!("nothing reads {path}, and nothing else configures {name}"))
            .because(format!("{why}: the NIC has no address after the next boot"))
            .seen(source, text)
            .about(name);
        let finding = match to {
            Some(to) => finding
                .mend(format!("write it for {to}, which is in charge here"))
                .by(&["novactl", "reset-network"]),
            None => finding.mend("install the program, or have it start at boot"),
        };
        faults.push(Fault { finding, edits: Vec::new() });
    }
    Ok(Judged { faults, otherwise: Finding::ok("every file about a NIC that is needed is read") })
}

/// Returns the back end in charge, where one is.
fn in_charge(target: &Target) -> Result<Option<&'static dyn Backend>> {
    let claims = owner::in_charge(target)?.unwrap_or_default();
    let read = |name: &str| is_read(target, name).map(|reason| reason.is_none());
    for (backend, claim) in claims {
        if claim.strength == Strength::Enabled || read(backend.name())? {
            return Ok(Some(backend));
        }
    }
    Ok(None)
}

/// Returns the files that nothing reads, each with the reason, of NICs that nothing else configures.
fn orphans(target: &Target) -> Result<Vec<(Entry, &'static str)>> {
    let root = &target.root;
    let mut unread = Vec::new();
    for backend in BACKENDS {
        if let Some(why) = is_read(target, backend.name())? {
            unread.push((backend.name(), why));
        }
    }
    let reader_of = |reader: &str| match reader {
        "NetworkManager" => "keyfile",
        "netplan" => "netplan",
        "networkd" => "networkd",
        "ifupdown" => "ifupdown",
        "ifcfg" => "ifcfg",
        _ => "",
    };
    let configuration = target.configuration();
    let is_configured = |name: &str, mac| {
        configuration.planned.iter().any(|entry| {
            let is_unread = unread.iter().any(|(backend, _)| *backend == reader_of(entry.reader));
            !is_unread && entry.kind.is_nic() && entry.at_boot && entry.to.is(name, mac)
        })
    };
    let survey = target.survey()?;
    let mut names = BTreeSet::new();
    let mut orphans = Vec::new();
    for entry in entries(root)? {
        let Some((_, why)) = unread.iter().find(|(backend, _)| *backend == entry.backend) else { continue };
        let link =
            survey.interfaces.iter().map(|interface| &interface.link).find(|link| link.name == entry.name);
        let is_there = survey.origin == Origin::Configuration || link.is_some_and(|link| link.kind.is_nic());
        let mac = link.and_then(crate::net::links::Link::host_mac).or(entry.mac);
        if is_there && !is_configured(&entry.name, mac) && names.insert(entry.name.clone()) {
            orphans.push((Entry { mac, ..entry }, *why));
        }
    }
    Ok(orphans)
}

/// Returns why nothing reads the files of a back end; `None` where something does.
fn is_read(target: &Target, backend: &str) -> Result<Option<&'static str>> {
    let root = &target.root;
    let starts = |name: &str| -> Result<bool> {
        let service = target.services().named(root, name)?;
        Ok(service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))))
    };
    let has_netplan = root.find_program("netplan").is_some()
        || ["usr/lib/netplan/generate", "lib/netplan/generate", "usr/libexec/netplan/generate"]
            .iter()
            .any(|path| root.exists(path));
    Ok(match backend {
        "netplan" if !has_netplan => Some("netplan is not installed"),
        "netplan" => netplan_not_carried_out(target)?,
        // netplan's generator has networkd started
        "networkd" if !has_netplan && !starts("systemd-networkd")? => {
            Some("systemd-networkd does not start at boot")
        }
        "keyfile" if !network_manager::starts(target)? => Some("NetworkManager does not start at boot"),
        "ifcfg" if !ifcfg::has_red_hat_reader(root) => {
            Some("neither the service network nor NetworkManager's plugin for these files is there")
        }
        "ifcfg" => {
            let scripts = ifcfg::has_scripts(root) && starts("network")?;
            let plugin = ifcfg::has_plugin(root) && network_manager::starts(target)?;
            (!scripts && !plugin).then_some("neither the service network nor NetworkManager starts at boot")
        }
        "ifupdown" if root.find_program("ifup").is_none() => Some("ifupdown is not installed"),
        // where no service of the name is known, a script of another one runs it
        "ifupdown" => {
            let service = target.services().named(root, "networking")?;
            let is_off = service.is_some_and(|service| !matches!(service.enabled, Enabled::Yes(_)));
            let jobs = ["etc/init/network-interface.conf", "etc/init/networking.conf"];
            let is_upstart = jobs.iter().any(|path| root.exists(path));
            (is_off && !is_upstart).then_some("the service networking does not start at boot")
        }
        _ => None,
    })
}

/// Returns the entries about single NICs of every format, whoever reads them.
fn entries(root: &Root) -> Result<Vec<Entry>> {
    let mut scan = Scan::of(root);
    let mut entries = Vec::new();
    of_ifcfg(&mut scan, &mut entries);
    of_keyfiles(&mut scan, &mut entries);
    of_interfaces(&mut scan, &mut entries);
    of_netplan(&mut scan, &mut entries);
    of_networkd(&mut scan, &mut entries);
    scan.complete()?;
    entries.truncate(ENTRIES_MAX);
    Ok(entries)
}

fn of_ifcfg(scan: &mut Scan, entries: &mut Vec<Entry>) {
    for path in ifcfg::files(scan, ifcfg::RED_HAT) {
        let Some(text) = scan.text(&path) else { continue };
        let planned = ifcfg::planned(&path, &assignments::parse(&text), None);
        entries.extend(planned.and_then(|planned| of_planned("ifcfg", planned)));
    }
}

fn of_keyfiles(scan: &mut Scan, entries: &mut Vec<Entry>) {
    for path in keyfile::files(scan).into_iter().filter(|path| path.starts_with("etc/")) {
        let Some(text) = scan.text(&path) else { continue };
        entries.extend(keyfile::parse(&path, &text).and_then(|planned| of_planned("keyfile", planned)));
    }
}

fn of_planned(backend: &'static str, planned: crate::net::configured::Planned) -> Option<Entry> {
    let name = planned.to.single().filter(|_| planned.kind == Kind::ETHERNET && planned.at_boot)?.to_owned();
    let mac = planned.to.macs.first().copied();
    Some(Entry { backend, name, mac, source: planned.seen.source, text: planned.seen.text })
}

fn of_interfaces(scan: &mut Scan, entries: &mut Vec<Entry>) {
    let texts = eni::texts(scan);
    let lines: Vec<(&str, eni::Line)> = texts
        .iter()
        .flat_map(|(path, text)| eni::lines(text).into_iter().map(move |line| (path.as_str(), line)))
        .collect();
    let raised: BTreeSet<&str> = lines
        .iter()
        .filter(|(_, line)| line.words[0] == "auto" || line.words[0].starts_with("allow-"))
        .flat_map(|(_, line)| line.words[1..].iter().map(String::as_str))
        .collect();
    for (path, line) in &lines {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        // ifupdown-ng goes without family and method
        let (["iface", name, _, "static" | "dhcp"] | ["iface", name]) = words.as_slice() else { continue };
        // eth0.5 is a VLAN, eth0:1 an address of eth0
        if raised.contains(name) && *name != "lo" && !name.contains(['.', ':']) {
            let source = format!("{path}:{}", line.number);
            entries.push(Entry {
                backend: "ifupdown",
                name: (*name).to_owned(),
                mac: None,
                source,
                text: words.join(" "),
            });
        }
    }
}

fn of_netplan(scan: &mut Scan, entries: &mut Vec<Entry>) {
    for path in netplan::files(scan).into_iter().filter(|path| path.starts_with("etc/")) {
        let Some(document) = scan.text(&path).and_then(|text| yaml::parse(&text).ok().flatten()) else {
            continue;
        };
        let links = document.get("network").and_then(|network| network.get("ethernets"));
        for (id, node) in links.map(yaml::Node::entries).unwrap_or_default() {
            let matched = node.get("match");
            let text = |node: Option<&yaml::Node>| node.and_then(yaml::Node::text).map(str::to_owned);
            let name = if matched.is_some() { text(node.get("set-name")) } else { Some(id.clone()) };
            let mac =
                text(matched.and_then(|matched| matched.get("macaddress"))).and_then(|mac| mac.parse().ok());
            let source = format!("{path}:{}", node.line);
            let text = format!("ethernets: {id}");
            entries.extend(name.map(|name| Entry { backend: "netplan", name, mac, source, text }));
        }
    }
}

fn of_networkd(scan: &mut Scan, entries: &mut Vec<Entry>) {
    for unit in networkd::units_of(scan, ".network").into_iter().filter(|unit| unit.path.starts_with("etc/"))
    {
        let [name] = unit.words("Match", "Name")[..] else { continue };
        let Some((path, setting)) = unit.last("Match", "Name") else { continue };
        if name.contains(['*', '?', '[', '!']) || unit.last("Match", "Kind").is_some() {
            continue;
        }
        let mac = unit.words("Match", "MACAddress").first().and_then(|mac| mac.parse().ok());
        let source = format!("{path}:{}", setting.line);
        let text = format!("Name={name}");
        entries.push(Entry { backend: "networkd", name: name.to_owned(), mac, source, text });
    }
}

fn fix(target: &Target) -> Result<Plan> {
    let mut plan = Plan {
        verb: "fix",
        title: "write the NICs' configuration where it is read".to_owned(),
        ..Plan::default()
    };
    let Some(to) = in_charge(target)? else { return Ok(plan) };
    let mut intent = Intent::default();
    for (entry, _) in orphans(target)? {
        let from =
            BACKENDS.iter().find(|backend| backend.name() == entry.backend).context("a known back end")?;
        let of = |mac: Mac| from.configured(&target.root, &Nic { name: entry.name.clone(), mac });
        // an address that the host assigns tells which MAC is meant where no file does
        let nic = match entry.mac {
            Some(mac) => of(mac)?,
            None => match UNKNOWN.parse().ok().map(of).transpose()?.flatten() {
                Some(nic) => {
                    by_address(target, &nic.addresses.iter().map(ipnet::IpNet::addr).collect::<Vec<_>>())?
                        .map(|mac| crate::net::intent::NicIntent { mac, ..nic })
                }
                None => None,
            },
        };
        // one that asks for DHCP has nothing that could be written
        intent.nics.extend(nic.filter(|nic| !nic.addresses.is_empty()));
    }
    if intent.nics.is_empty() {
        return Ok(plan);
    }
    plan.files = to.render(&intent, target)?;
    if target.is_live() {
        plan.activate = to.activate(&intent, target);
    }
    Ok(plan)
}

fn by_address(target: &Target, addresses: &[IpAddr]) -> Result<Option<Mac>> {
    let Ok(host) = &target.survey()?.host else { return Ok(None) };
    let record = host.nics.iter().find(|nic| {
        let four = nic.addresses4.iter().map(|net| IpAddr::from(net.addr()));
        four.chain(nic.addresses6.iter().map(|net| IpAddr::from(net.addr())))
            .any(|address| addresses.contains(&address))
    });
    Ok(record.and_then(|record| record.mac))
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
