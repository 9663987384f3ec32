//! Configuration for a NIC that was detached.
//!
//! A file about a NIC that is not there is only left over when every NIC that is there has a configuration of its own;
//! otherwise the names or MACs are wrong, which other checks say. Who minds differs: ifupdown (`auto`) and the network
//! scripts fail, and what waits for the network waits for its time limit; netplan, networkd and NetworkManager pass
//! over it, which is a note. The agent's log is no proof that a NIC is missing: only the links, or the host's own data.
//! Source: interfaces(5), initscripts' `network`, netplan's `networkd.c` (`_netplan_networkd_generate_wait_online`),
//! systemd-networkd-wait-online(8).

use std::collections::BTreeMap;

use anyhow::Result;
use ipnet::IpNet;

use super::fault::{Edit, Fault, Judged};
use super::machine::{Machine, is_nic_name};
use super::{TEMPLATE, stanzas};
use crate::check::{Check, Finding};
use crate::facts::init::Enabled;
use crate::net::configured::{Planned, Scan};
use crate::net::survey::{Origin, Source, Survey};
use crate::net::{Mac, eni, ifcfg};
use crate::root::Root;
use crate::target::Target;

pub(super) const MISSING: Check = Check {
    id: "config-for-missing-nic",
    about: "every NIC that is configured is there",
    probe: |target| Ok(missing(target)?.findings()),
    fix: Some(|target| missing(target)?.plan(target)),
    page: include_str!("../pages/config-for-missing-nic.md"),
    ..TEMPLATE
};

fn missing(target: &Target) -> Result<Judged> {
    let survey = target.survey()?;
    let machine = match Machine::of(target)? {
        Ok(machine) => machine,
        Err(reason) => return Ok(Judged::only(Finding::skipped(reason))),
    };
    if survey.origin == Origin::Configuration && survey.source == Source::Log {
        return Ok(Judged::only(Finding::skipped(
            "the agent's log says which NICs there were, not which are missing: --xenstore takes the host's data",
        )));
    }
    let configuration = target.configuration();
    if let Some(unread) = configuration.unread.first() {
        anyhow::bail!("{}", unread.text);
    }
    let known = Known { machine: &machine, survey };
    let nics: Vec<&Planned> = configuration.planned.iter().filter(|entry| entry.kind.is_nic()).collect();
    let otherwise = Finding::ok("every NIC that is configured is there");
    if !machine.nics.iter().all(|nic| nics.iter().any(|entry| known.covers(entry, nic))) {
        return Ok(Judged::only(Finding::skipped("not every NIC has a configuration of its own")));
    }
    let mut faults: Vec<Fault> = Vec::new();
    for entry in nics {
        let is_made = configuration.planned.iter().any(|other| {
            !other.kind.is_nic() && other.to.single().is_some() && other.to.single() == entry.to.single()
        });
        if entry.at_boot && !is_made && known.lacks(entry) {
            faults.extend(fault(target, entry)?);
        }
    }
    // what hurts first
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.finding.status));
    Ok(Judged { faults, otherwise })
}

/// What is known of the machine.
struct Known<'t> {
    machine: &'t Machine,
    survey: &'t Survey,
}

impl Known<'_> {
    /// Whether an entry is about a NIC. One whose name is not known is told by its MAC or by an assigned address.
    fn covers(&self, entry: &Planned, nic: &super::machine::Nic) -> bool {
        match &nic.name {
            Some(name) => entry.to.is(name, Some(nic.mac)),
            None => {
                entry.to.macs.contains(&nic.mac)
                    || entry.to.macs.is_empty() && self.assigned(nic.mac).any(|net| has(entry, &net))
            }
        }
    }

    /// Whether an entry is about a NIC that is not there, for certain.
    fn lacks(&self, entry: &Planned) -> bool {
        let is_named = entry.to.single().is_some_and(is_nic_name);
        if self.survey.origin != Origin::Configuration {
            let links = self.survey.interfaces.iter().map(|interface| &interface.link);
            let mut links = links
                .filter(|link| entry.to.is(&link.name, link.host_mac()) || entry.to.is(&link.name, link.mac));
            return (is_named || !entry.to.macs.is_empty()) && links.next().is_none();
        }
        if !entry.to.macs.is_empty() {
            return entry.to.macs.iter().all(|mac| !self.machine.has(*mac));
        }
        let is_assigned = self.machine.nics.iter().any(|nic| self.covers(entry, nic));
        is_named && !entry.addresses.is_empty() && !is_assigned
    }

    fn assigned(&self, mac: Mac) -> impl Iterator<Item = IpNet> {
        let nics = self.survey.host.iter().flat_map(|host| &host.nics);
        nics.filter(move |nic| nic.mac == Some(mac)).flat_map(|nic| {
            let four = nic.addresses4.iter().map(|net| IpNet::from(*net));
            four.chain(nic.addresses6.iter().map(|net| IpNet::from(*net)))
        })
    }
}

fn has(entry: &Planned, net: &IpNet) -> bool {
    entry.addresses.iter().any(|own| own.addr() == net.addr())
}

/// Judges by the program that reads the entry; `None` where it does nothing at boot.
fn fault(target: &Target, entry: &Planned) -> Result<Option<Fault>> {
    let root = &target.root;
    let named = entry.to.single().map(str::to_owned);
    let what = named.clone().or_else(|| entry.to.macs.first().map(ToString::to_string)).unwrap_or_default();
    let path = file_of(&entry.seen.source);
    let remove =
        |is_ours: bool| if is_ours { vec![Edit::Remove { path: path.to_owned() }] } else { Vec::new() };
    let title = format!("{} configures {what}, which this machine has not", entry.reader);
    let (finding, edits) = match entry.reader {
        "ifupdown" => {
            let Some(edits) = raised(root, &what)? else { return Ok(None) };
            let why = "ifup fails at each boot: networking.service counts as failed, and older releases wait minutes for the interface";
            (Finding::warn(title).because(why), edits)
        }
        "ifcfg" if is_started(target, "network")? && ifcfg::has_scripts(root) => {
            let why = "the service network fails at each boot: Device does not seem to be present, delaying initialization";
            (Finding::warn(title).because(why), remove(true))
        }
        "ifcfg" | "NetworkManager" => {
            let is_ours = path.starts_with("etc/");
            (Finding::note(title).because("NetworkManager passes over it"), remove(is_ours))
        }
        "networkd" => {
            let is_ours = path.starts_with("etc/systemd/network/");
            (Finding::note(title).because("networkd passes over it"), remove(is_ours))
        }
        _ => (Finding::note(title).because("the program passes over it"), Vec::new()),
    };
    let finding = finding
        .seen(&entry.seen.source, &entry.seen.text)
        .about(what)
        .mend(format!("the NIC was detached: take it out of /{path}"));
    Ok(Some(Fault { finding, edits }))
}

fn is_started(target: &Target, name: &str) -> Result<bool> {
    let service = target.services().named(&target.root, name)?;
    Ok(service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))))
}

/// The file of a place, which ends in the number of a line where it has one.
fn file_of(source: &str) -> &str {
    match source.rsplit_once(':') {
        Some((file, line)) if line.bytes().all(|b| b.is_ascii_digit()) => file,
        _ => source,
    }
}

/// Returns what takes an interface and its aliases out of ifupdown's files; `None` where no `auto` names it, for
/// what is only allowed to be hot-plugged is not waited for.
fn raised(root: &Root, name: &str) -> Result<Option<Vec<Edit>>> {
    let is_of =
        |word: &str| word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    let mut scan = Scan::of(root);
    let texts = eni::texts(&mut scan);
    scan.complete()?;
    let mut is_raised = false;
    let mut edits: BTreeMap<(String, usize), Edit> = BTreeMap::new();
    for (path, text) in texts {
        let raw: Vec<&str> = text.lines().collect();
        for stanza in stanzas::of(&text) {
            let words = stanza.words();
            let others: Vec<&str> =
                words.iter().skip(1).map(String::as_str).filter(|word| !is_of(word)).collect();
            let is_about = if stanza.is_list() {
                others.len() + 1 < words.len()
            } else {
                stanza.interface().is_some_and(is_of)
            };
            if !is_about {
                continue;
            }
            is_raised |= stanza.is("auto") || stanza.is("allow-auto");
            let mut edit = |line: usize, edit: Edit| edits.insert((path.clone(), line), edit);
            for number in stanza.numbers(&raw) {
                edit(number, Edit::drop(&path, number));
            }
            if stanza.is_list() && !others.is_empty() {
                let line = format!("{} {}", words[0], others.join(" "));
                edit(stanza.first(), Edit::line(&path, stanza.first(), line));
            }
        }
    }
    Ok(is_raised.then(|| edits.into_values().collect()))
}

#[cfg(test)]
#[path = "missing_nic_tests.rs"]
mod tests;
