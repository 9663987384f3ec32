//! Checks of the topic network: is it configured as the host says.
//!
//! What the host says comes from its XenStore, on a mounted disk from a dump beside it. On a running guest it is
//! compared with what is up, on a disk with what the files configure, read as the program in charge reads them.

mod accept_ra;
mod backups;
mod config_lost;
mod eni;
mod fault;
mod gateway;
mod ifcfg;
mod label_safe;
mod leftover_backups;
mod machine;
mod missing_nic;
mod netplan;
mod network_manager;
mod networkd;
mod next_hop;
mod nic_names;
mod owner;
mod persistent_rules;
mod rc_conf;
mod resolver;
mod service;
mod stanzas;
#[cfg(test)]
pub(super) mod trial;

use anyhow::Result;

use super::{Blocks, Check, Finding, Needs, Topic};
use crate::commands::network::ResetNetwork;
use crate::facts::identity;
use crate::net::host;
use crate::net::intent::{Family, Intent, Nic, NicIntent};
use crate::net::live::Live;
use crate::plan::Plan;
use crate::target::Target;

/// What the checks of files have in common.
const TEMPLATE: Check = Check::of_files(Topic::Network);

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "addresses-match-host-data",
        topic: Topic::Network,
        about: "the NICs have the addresses that the host assigned",
        needs: Needs::XENSTORE,
        blocks: &[Blocks::Check("routes-match-host-data")],
        probe: addresses,
        fix: Some(reset),
        page: include_str!("pages/addresses-match-host-data.md"),
    },
    Check {
        id: "routes-match-host-data",
        topic: Topic::Network,
        about: "the routes that the host assigned are there",
        needs: Needs::XENSTORE,
        blocks: &[],
        probe: routes,
        fix: Some(reset),
        page: include_str!("pages/routes-match-host-data.md"),
    },
    gateway::DEFAULT_SINGLE,
    gateway::ON_LINK,
    owner::SINGLE,
    service::PRESENT,
    ifcfg::NM_CONTROLS_NIC,
    network_manager::NETWORKING_ENABLED,
    network_manager::PROFILE_SINGLE,
    ifcfg::HWADDR,
    ifcfg::KEYS,
    ifcfg::ROUTE_FILE,
    netplan::VALID,
    netplan::MATCH,
    netplan::MODE,
    eni::LINES,
    eni::ROUTE_COMMAND,
    eni::AUTO,
    networkd::ON_LINK,
    nic_names::STABLE,
    persistent_rules::PERSISTENT,
    missing_nic::MISSING,
    config_lost::LOST,
    label_safe::LABEL,
    accept_ra::ACCEPT_RA,
    resolver::RESOLVER,
    leftover_backups::LEFTOVER,
    rc_conf::IPV6,
];

fn addresses(target: &Target) -> Result<Vec<Finding>> {
    compared(target, &|nic, found| {
        let missing: Vec<_> = nic.addresses.iter().filter(|net| !found.addresses.contains(net)).collect();
        if missing.is_empty() {
            return None;
        }
        let strange: Vec<String> = found
            .addresses
            .iter()
            .filter(|net| !nic.addresses.contains(net))
            .map(ToString::to_string)
            .collect();
        let title = match strange.as_slice() {
            [] => format!("{} lacks the address that the host assigned", nic.name),
            _ => format!("{} has other addresses than the host assigned", nic.name),
        };
        let mut finding = Finding::fail(title).because(
            "the network is dead and the console works: typically the address of the server that the image was \
             made from",
        );
        for net in missing {
            finding = finding.seen(format!("{}/{}", host::PATH, key(nic)), net.to_string());
        }
        if !strange.is_empty() {
            finding = finding.seen(&found.source, strange.join(", "));
        }
        Some(finding)
    })
}

fn routes(target: &Target) -> Result<Vec<Finding>> {
    compared(target, &|nic, found| {
        let wanted = [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family));
        let missing: Vec<_> = wanted.filter(|route| !(found.has_route)(route)).collect();
        let first = missing.first()?;
        let what = if first.to.prefix_len() == 0 { "the default route" } else { "a route" };
        let mut finding = Finding::fail(format!("{} lacks {what} that the host assigned", nic.name)).because(
            "what is behind it cannot be reached: the internet, or the provider's own services on ServiceNet",
        );
        for route in &missing {
            let via = route.hop.map_or(String::new(), |hop| format!(" via {}", hop.via));
            finding = finding.seen(format!("{}/{}", host::PATH, key(nic)), format!("{}{via}", route.to));
        }
        Some(finding)
    })
}

/// The record's key, as nova writes it.
fn key(nic: &NicIntent) -> String {
    nic.mac.to_string().replace(':', "").to_uppercase()
}

/// What a NIC has.
struct Has<'a> {
    addresses: Vec<ipnet::IpNet>,
    has_route: &'a dyn Fn(&crate::net::intent::RouteIntent) -> bool,
    source: String,
}

type Judge = dyn Fn(&NicIntent, &Has<'_>) -> Option<Finding>;

/// Judges every NIC that the host has data for.
fn compared(target: &Target, judge: &Judge) -> Result<Vec<Finding>> {
    let (command, intent) = wanted(target)?;
    if intent.nics.iter().all(|nic| nic.addresses.is_empty()) {
        return Ok(vec![Finding::skipped("the host assigns no address to a NIC of this machine")]);
    }
    let mut findings = Vec::new();
    if target.is_live() {
        let live = Live::look()?;
        for nic in &intent.nics {
            let has = Has {
                addresses: live.addresses_of(&nic.name),
                has_route: &|route| live.has_route(&nic.name, route),
                source: format!("ip address show dev {}", nic.name),
            };
            findings.extend(judge(nic, &has).map(|finding| mended(finding, &nic.name)));
        }
    } else {
        let Ok(backend) = command.backend(target) else {
            return Ok(vec![Finding::skipped("nothing that configures the network is known on this disk")]);
        };
        let mut is_any_configured = false;
        for nic in &intent.nics {
            let it = Nic { name: nic.name.clone(), mac: nic.mac };
            let found = backend.configured(&target.root, &it)?;
            is_any_configured |= found.is_some();
            let (addresses, routes) = found.map_or((Vec::new(), Vec::new()), |found| {
                let routes =
                    [Family::V4, Family::V6].into_iter().flat_map(|family| found.routes_of(family)).collect();
                (found.addresses, routes)
            });
            let has = Has {
                addresses,
                has_route: &|route| {
                    let via = |r: &crate::net::intent::RouteIntent| r.hop.map(|hop| hop.via);
                    routes.iter().any(|known| known.to == route.to && via(known) == via(route))
                },
                source: format!("configuration of {}", backend.name()),
            };
            findings.extend(judge(nic, &has).map(|finding| mended(finding, &nic.name)));
        }
        if !is_any_configured && was_never_built(target) {
            return Ok(vec![Finding::note(
                "no NIC is configured: the agent does that when a server is built of it",
            )]);
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("as the host assigned"));
    }
    Ok(findings)
}

fn wanted(target: &Target) -> Result<(ResetNetwork, Intent)> {
    let mut store = target.xenstore()?;
    let network = host::host_nics(&mut *store)?;
    drop(store);
    let command = ResetNetwork { network, hostname: None, backend: None };
    let intent = command.intent(target)?;
    Ok((command, intent))
}

/// Whether this is an image that was never booted: it has neither host keys nor a machine id before its first boot.
pub(super) fn was_never_built(target: &Target) -> bool {
    let root = &target.root;
    let keys = root.files_in("etc/ssh", "_key").unwrap_or_default();
    let id = root.text_opt("etc/machine-id").ok().flatten().unwrap_or_default();
    keys.is_empty() && id.trim().is_empty() && identity::hostname(root).is_none()
}

fn mended(finding: Finding, nic: &str) -> Finding {
    finding.about(nic).mend("configure the NICs as the host says").by(&["novactl", "reset-network"])
}

fn reset(target: &Target) -> Result<Plan> {
    Ok(wanted(target)?.0.propose(target)?.plan)
}
