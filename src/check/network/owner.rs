//! Who configures a NIC: two programs that both do, and NetworkManager beside a service that does all of it.
//!
//! Judged per NIC by what each program's files say of it at boot, and only of programs that start. What hands a NIC
//! over is followed: netplan to its renderer, NetworkManager's `[ifupdown]` plugin, `unmanaged-devices`,
//! `NM_CONTROLLED=no`, initscripts to a NetworkManager that runs. Two profiles of NetworkManager are
//! `nm-profile-single`.
//! Source: NetworkManager.conf(5), nm-settings-ifcfg-rh(5), initscripts' `ifup`, netplan's reference.

mod handover;
mod without;
mod wrong_one;

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;

use handover::Switches;

use super::fault::{Edit, Fault, Judged};
use super::next_hop::{self, NextHop};
use super::{TEMPLATE, eni};
use crate::check::{Check, Finding};
use crate::facts::cloud_init::{self, CloudInit};
use crate::facts::init::Enabled;
use crate::net::backend::{Backend, Claim, Strength};
use crate::net::configured::{Configuration, Planned};
use crate::net::survey::Survey;
use crate::net::{Mac, ifcfg, yaml};
use crate::plan::{FileChange, Plan};
use crate::root::Root;
use crate::target::Target;

pub(super) const SINGLE: Check = Check {
    id: "network-owner-single",
    about: "each NIC is configured by one program",
    probe: |target| {
        let judged = judged(target)?;
        Ok(match judged.manager {
            Some(finding) if judged.nics.faults.is_empty() => vec![finding],
            _ => judged.nics.findings(),
        })
    },
    fix: Some(fix),
    page: include_str!("../pages/network-owner-single.md"),
    ..TEMPLATE
};

/// Units of NetworkManager that are masked where it has nothing to do.
const UNITS: [&str; 2] = ["NetworkManager.service", "NetworkManager-wait-online.service"];

/// Back ends, each with what puts it in charge.
type Claims = Vec<(&'static dyn Backend, Claim)>;

/// Returns the back ends in charge; `None` where netplan's files are no YAML, which `netplan-valid` says.
///
/// # Errors
/// A file cannot be read.
pub(super) fn in_charge(target: &Target) -> Result<Option<Claims>> {
    match target.in_charge() {
        Ok(claims) => Ok(Some(claims.to_vec())),
        Err(error) if error.downcast_ref::<saphyr_parser::ScanError>().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is said where nothing can be, for that reason.
pub(super) fn refused() -> Judged {
    Judged::only(Finding::skipped("netplan refuses its files: netplan-valid"))
}

struct Owners {
    nics: Judged,
    /// NetworkManager runs and owns nothing.
    manager: Option<Finding>,
}

fn judged(target: &Target) -> Result<Owners> {
    let Some(claims) = in_charge(target)? else { return Ok(Owners { nics: refused(), manager: None }) };
    let otherwise = match claims.as_slice() {
        [] => Finding::skipped("nothing that configures the network is known on this system"),
        [(first, _), ..] => Finding::ok("one program configures each NIC").seen("in charge", first.name()),
    };
    let active: Vec<&str> = claims
        .iter()
        .filter(|(_, claim)| claim.strength == Strength::Configures)
        .map(|(backend, _)| backend.name())
        .collect();
    let switches = Switches::of(target)?;
    let configuration = target.configuration();
    let survey = target.survey()?;
    let mut disputes = Vec::new();
    for nic in nics(survey) {
        if let [first, second, ..] = owners(&nic, configuration, &active, &switches).as_slice() {
            disputes.push((nic, [*first, *second]));
        }
    }
    let hops = if disputes.is_empty() { None } else { next_hop::of(target)? }.unwrap_or_default();
    let mut faults = Vec::new();
    for (nic, [first, second]) in &disputes {
        faults.push(disputed(nic, [first, second], &hops, target)?);
    }
    without::join(&mut faults);
    faults.extend(of_cloud_init(target)?);
    Ok(Owners {
        nics: Judged { faults, otherwise },
        manager: idle_manager(target, configuration, &switches)?,
    })
}

/// A NIC, with what the host assigns to it.
struct Nic {
    name: String,
    mac: Option<Mac>,
    assigned: Vec<IpAddr>,
}

fn nics(survey: &Survey) -> Vec<Nic> {
    let nics = survey.interfaces.iter().filter(|interface| interface.link.kind.is_nic());
    nics.map(|interface| {
        let record = survey.record(interface);
        let assigned = record.map_or(Vec::new(), |record| {
            let four = record.addresses4.iter().map(|net| IpAddr::from(net.addr()));
            four.chain(record.addresses6.iter().map(|net| IpAddr::from(net.addr()))).collect()
        });
        let mac = interface.link.host_mac().or(record.and_then(|record| record.mac));
        Nic { name: interface.link.name.clone(), mac, assigned }
    })
    .collect()
}

/// A program, and the entry by which it configures a NIC.
#[derive(Clone, Copy)]
struct Owner<'c> {
    program: &'static str,
    entry: &'c Planned,
}

/// Returns the programs that configure a NIC at boot, each once.
fn owners<'c>(nic: &Nic, all: &'c Configuration, active: &[&str], switches: &Switches) -> Vec<Owner<'c>> {
    let about = |entry: &&Planned| {
        // what stands in /run was made of another program's files
        entry.kind.is_nic()
            && entry.at_boot
            && !entry.seen.source.starts_with("run/")
            && entry.to.is(&nic.name, nic.mac)
    };
    let mut owners: Vec<Owner> = Vec::new();
    for entry in all.planned.iter().filter(about) {
        let (backend, program) = match entry.reader {
            "netplan" if switches.netplan_is_managers => ("netplan", "NetworkManager"),
            "netplan" => ("netplan", "systemd-networkd"),
            "networkd" => ("networkd", "systemd-networkd"),
            "NetworkManager" => ("keyfile", "NetworkManager"),
            "ifupdown" => ("ifupdown", "ifupdown"),
            "ifcfg" if switches.manager_starts && !switches.spared.contains(&nic.name) => {
                ("ifcfg", "NetworkManager")
            }
            "ifcfg" => ("ifcfg", "the service network"),
            _ => continue,
        };
        if active.contains(&backend) && owners.iter().all(|owner| owner.program != program) {
            owners.push(Owner { program, entry });
        }
    }
    let has_ifupdown = owners.iter().any(|owner| owner.program == "ifupdown");
    let is_spared = switches.is_unmanaged(nic)
        || (has_ifupdown && switches.manager.spares_ifupdown)
        || (switches.reads_ifcfg && switches.spared.contains(&nic.name));
    owners.retain(|owner| owner.program != "NetworkManager" || !is_spared);
    owners
}

fn disputed(nic: &Nic, both: [&Owner; 2], hops: &[NextHop], target: &Target) -> Result<Fault> {
    let [first, second] = both;
    let Nic { name, .. } = nic;
    let title = format!("{} and {} both configure {name}", first.program, second.program);
    let finding = Finding::fail(title)
        .because("each undoes what the other does: addresses and routes come and go, and a change in one file is half a change")
        .seen(&first.entry.seen.source, &first.entry.seen.text)
        .seen(&second.entry.seen.source, &second.entry.seen.text)
        .about(name);
    let Some((kept, other)) = wrong_one::wrong_one(nic, both, hops, target)? else {
        return Ok(Fault {
            finding: finding
                .mend("neither has all addresses and gateways of the other: bring together in one file what is right, and \
                       take the NIC out of the other one"),
            edits: Vec::new(),
        });
    };
    let text = format!("leave {name} to {}, and take it out of {}", kept.program, other.entry.seen.source);
    Ok(match without::edits(nic, other.entry, target)? {
        Ok(edits) => Fault { finding: finding.mend(text), edits },
        Err(why) => Fault { finding: finding.mend(format!("{text} by hand: {why}")), edits: Vec::new() },
    })
}

/// Stanzas that cloud-init wrote beside those of another file.
fn of_cloud_init(target: &Target) -> Result<Vec<Fault>> {
    let Some(all) = eni::interfaces(target)? else { return Ok(Vec::new()) };
    let root = &target.root;
    let mut of_cloud_init: BTreeSet<&str> = all.stanzas.iter().map(|stanza| stanza.path.as_str()).collect();
    for path in of_cloud_init.clone() {
        if !is_of_cloud_init(root, path)? {
            of_cloud_init.remove(path);
        }
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for stanza in &all.stanzas {
        let is_of_name = |other: &&eni::Stanza| {
            other.name == stanza.name && other.path != stanza.path && family(other) == family(stanza)
        };
        let Some(other) = all.stanzas.iter().find(is_of_name).filter(|_| stanza.name != "lo") else {
            continue;
        };
        if seen.contains(&stanza.path.as_str()) || !of_cloud_init.contains(stanza.path.as_str()) {
            continue;
        }
        seen.push(&stanza.path);
        let (Some(ours), Some(theirs)) = (other.lines.first(), stanza.lines.first()) else { continue };
        let finding = Finding::fail(format!("cloud-init and {} both configure {}", other.path, stanza.name))
            .because("ifupdown does both: an address of the metadata or of DHCP comes beside the one that the host assigned")
            .seen(format!("{}:{}", stanza.path, theirs.number), theirs.words.join(" "))
            .seen(format!("{}:{}", other.path, ours.number), ours.words.join(" "))
            .about(&stanza.name);
        let remedy = "have cloud-init leave the network alone (network: {config: disabled}), and remove";
        if let Some(name) = only_there(&all.stanzas, &stanza.path, &of_cloud_init) {
            let finding = finding.mend(format!(
                "{remedy} what {} says of {} by hand: no other file has all that it says of {name}",
                stanza.path, stanza.name
            ));
            faults.push(Fault { finding, edits: Vec::new() });
            continue;
        }
        let finding = finding.mend(format!("{remedy} {}", stanza.path));
        let mut edits = vec![Edit::Remove { path: stanza.path.clone() }];
        if !is_kept_off(root)? {
            match keep_off(target)? {
                Some(edit) => edits.push(edit),
                // where no agent starts, cloud-init has a right to the network
                None => edits.clear(),
            }
        }
        faults.push(Fault { finding, edits });
    }
    Ok(faults)
}

/// Returns an interface that a file of cloud-init's has, in a family at least, and no file of somebody else's.
fn only_there<'s>(all: &'s [eni::Stanza], path: &str, of_cloud_init: &BTreeSet<&str>) -> Option<&'s str> {
    let theirs = all.iter().filter(|stanza| !of_cloud_init.contains(stanza.path.as_str()));
    let theirs: BTreeSet<(&str, &str)> =
        theirs.map(|stanza| (stanza.name.as_str(), family(stanza))).collect();
    let mut ours = all.iter().filter(|stanza| stanza.path == path && stanza.name != "lo");
    let alone = ours.find(|stanza| !theirs.contains(&(stanza.name.as_str(), family(stanza))))?;
    Some(&alone.name)
}

fn family(stanza: &eni::Stanza) -> &str {
    stanza.lines.first().map_or("", |line| line.word(2))
}

fn is_of_cloud_init(root: &Root, path: &str) -> Result<bool> {
    let text = root.text_opt(path)?.unwrap_or_default();
    let comments: String = text.lines().take_while(|line| line.starts_with('#')).collect();
    Ok(path.ends_with("50-cloud-init")
        || path.ends_with("50-cloud-init.cfg")
        || comments.contains("cloud-init"))
}

/// Whether cloud-init is told to leave the network alone: else it would write its file again.
fn is_kept_off(root: &Root) -> Result<bool> {
    let mut files = vec!["etc/cloud/cloud.cfg".to_owned()];
    files.extend(root.files_in("etc/cloud/cloud.cfg.d", ".cfg")?);
    let mut is_off = root.find_program("cloud-init").is_none();
    for path in files {
        let document = yaml::parse(&root.text_opt(&path)?.unwrap_or_default()).ok().flatten();
        let network = document.as_ref().and_then(|document| document.get("network"));
        if let Some(config) = network.and_then(|network| network.get("config")) {
            is_off = config.text() == Some("disabled");
        }
    }
    Ok(is_off)
}

/// Has cloud-init leave the network to an agent that starts, as `cloud-init-network` does.
fn keep_off(target: &Target) -> Result<Option<Edit>> {
    let cloud_init = CloudInit::of(&target.root, target.services())?;
    let Some(cloud_init) = cloud_init.filter(|_| target.has_agent_at_boot()) else { return Ok(None) };
    let path = cloud_init.place_for(&target.root, "network", cloud_init::NO_NETWORK_STEM).ok();
    Ok(path.map(|path| Edit::Append { path, text: vec![cloud_init::NO_NETWORK.trim_end().to_owned()] }))
}

/// NetworkManager beside the service network, with nothing to configure but the resolver.
fn idle_manager(
    target: &Target,
    configuration: &Configuration,
    switches: &Switches,
) -> Result<Option<Finding>> {
    let root = &target.root;
    let service = target.services().named(root, "network")?;
    let by = match service.map(|service| service.enabled) {
        Some(Enabled::Yes(by)) if ifcfg::has_scripts(root) => by,
        _ => return Ok(None),
    };
    let nics: Vec<&Planned> = configuration.planned.iter().filter(|p| p.kind.is_nic() && p.at_boot).collect();
    let is_spared = |entry: &&&Planned| {
        entry.reader == "ifcfg" && entry.to.names.iter().all(|name| switches.spared.contains(name))
    };
    let owns_none = !nics.is_empty() && nics.iter().all(|entry| is_spared(&entry));
    if !switches.manager_starts || switches.manager.writes_no_dns || !owns_none {
        return Ok(None);
    }
    let text = root.text_opt("etc/resolv.conf")?.unwrap_or_default();
    let is_empty = !text.lines().any(|line| line.split_whitespace().next() == Some("nameserver"));
    let title = "NetworkManager runs beside the service network, and has no NIC to configure";
    let finding = if is_empty { Finding::fail(title) } else { Finding::warn(title) };
    let finding = finding
        .because("it empties /etc/resolv.conf: names are no longer resolved")
        .seen(by, "the service network starts")
        .seen(&nics[0].seen.source, "NM_CONTROLLED=no, as in every other file")
        .about("NetworkManager")
        .mend("mask it")
        .by(&[&["systemctl", "mask", "--now"][..], &UNITS].concat());
    Ok(Some(finding))
}

fn fix(target: &Target) -> Result<Plan> {
    let judged = judged(target)?;
    let is_idle = judged.manager.is_some();
    let mut plan = judged.nics.plan(target)?;
    if is_idle {
        let mask = |unit| FileChange::Link {
            path: format!("etc/systemd/system/{unit}"),
            to: "/dev/null".to_owned(),
        };
        plan.files.extend(UNITS.map(mask));
    }
    Ok(plan)
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
