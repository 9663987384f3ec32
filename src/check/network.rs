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
pub(super) mod ipv6_on;
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
use crate::facts::{identity, names};
use crate::net::host::{self, Effect, HostNetwork, HostNic};
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

/// Judges every NIC that the host has data for, but for those whose data cannot be read.
fn compared(target: &Target, judge: &Judge) -> Result<Vec<Finding>> {
    let (command, mut intent) = wanted(target)?;
    let hidden = hidden(&command.network);
    if intent.nics.iter().all(|nic| nic.addresses.is_empty()) {
        let nothing = vec![Finding::skipped("the host assigns no address to a NIC of this machine")];
        return Ok(if hidden.is_empty() { nothing } else { hidden });
    }
    if command.network.nics.iter().any(hides_gateway) {
        // the gateway that could not be read is the default route's, unless the public NIC shows its own
        for nic in intent.nics.iter_mut().filter(|nic| !is_public(nic)) {
            (nic.gateway4, nic.gateway6) = (None, None);
        }
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
    findings.extend(hidden);
    Ok(findings)
}

/// Returns what cannot be compared because the host's data are missing or cannot be read, which is a finding of its
/// own.
fn hidden(network: &HostNetwork) -> Vec<Finding> {
    const CAUSE: &str = "host-network-data";
    if network.nics.is_empty() {
        return vec![Finding::blocked(CAUSE, "not looked at: the host gives no network data")];
    }
    let blocked = |nic: &HostNic| {
        let title = format!("not looked at: the host's data for {} cannot be read", nic.key);
        Finding::blocked(CAUSE, title).about(&nic.key)
    };
    network.nics.iter().filter(|nic| is_hidden(nic)).map(blocked).collect()
}

/// Whether the default route can be that of a gateway which could not be read, or of a NIC that is not known as public.
fn hides_gateway(nic: &HostNic) -> bool {
    let names_one = |field: &str| {
        field == "label"
            || field.starts_with("gateway")
            // the records of 2011 have the IPv6 gateway there
            || field.starts_with("ip6s[") && field.ends_with("].gateway")
    };
    let mut lost = nic.problems.iter().filter(|problem| problem.effect == Effect::LeftOut);
    is_hidden(nic) || lost.any(|problem| names_one(&problem.field))
}

/// Whether a NIC cannot be compared at all.
fn is_hidden(nic: &HostNic) -> bool {
    nic.is_lost() || nic.mac.is_none()
}

fn is_public(nic: &NicIntent) -> bool {
    nic.label.as_deref().is_some_and(|label| label.eq_ignore_ascii_case("public"))
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
    let name = identity::hostname(root);
    keys.is_empty() && id.trim().is_empty() && name.is_none_or(|name| names::is_placeholder(&name))
}

fn mended(finding: Finding, nic: &str) -> Finding {
    finding.about(nic).mend("configure the NICs as the host says").by(&["novactl", "reset-network"])
}

fn reset(target: &Target) -> Result<Plan> {
    Ok(wanted(target)?.0.propose(target)?.plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::put;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    const INTERFACES: &str = "auto eth0\niface eth0 inet static\n  address 192.0.2.10\n  netmask 255.255.255.0\n  \
                              gateway 192.0.2.1\nauto eth1\niface eth1 inet static\n  address 10.0.0.9\n  netmask \
                              255.255.224.0\n";
    const PUBLIC: &str = r#"{"label": "public", "mac": "BC:76:4E:00:00:01", "gateway": "192.0.2.1",
        "ips": [{"ip": "192.0.2.10", "netmask": "255.255.255.0", "enabled": "1"}]}"#;
    const PRIVATE: &str = r#"{"label": "private", "mac": "BC:76:4E:00:00:02", "gateway": "10.0.0.1",
        "ips": [{"ip": "10.0.0.9", "netmask": "255.255.224.0", "enabled": "1"}]}"#;

    type Short = (Status, Option<String>, Option<&'static str>);

    /// Returns status, subject and cause of the findings on the addresses and on the routes.
    fn judged(records: &[(&str, &str)]) -> [Vec<Short>; 2] {
        let records: serde_json::Map<_, _> =
            records.iter().map(|(key, record)| ((*key).to_owned(), (*record).into())).collect();
        let dump = serde_json::json!({"vm-data": {"networking": records}}).to_string();
        let tree = Tree::of(&[
            ("etc/network/interfaces", INTERFACES),
            ("etc/init/network-interface.conf", ""),
            ("dump.json", &dump),
        ]);
        put(tree.path(), "sbin/ifup", "");
        let source = Source::Path(tree.path().join("dump.json"));
        let target = Target::offline(tree.path(), source).unwrap();
        [addresses, routes].map(|probe| {
            let found = probe(&target).unwrap();
            found.into_iter().map(|f| (f.status, f.subject, f.blocked_by)).collect()
        })
    }

    #[test]
    fn one_record_that_cannot_be_read_hides_its_nic_and_no_other() {
        let ok = (Status::Ok, None, None);
        let blocked = |key: &str| (Status::Blocked, Some(key.to_owned()), Some("host-network-data"));
        let fine = judged(&[("BC764E000001", PUBLIC), ("BC764E000002", PRIVATE)]);
        assert_eq!(fine, [vec![ok.clone()], vec![ok.clone()]]);

        let lost = r#"{"label": "public", "mac": "BC:76:4E:00:00:01", "ips": [{"ip": "192.0.2.10"}]}"#;
        let hidden = judged(&[("BC764E000001", lost), ("BC764E000002", PRIVATE)]);
        let both = vec![ok, blocked("BC764E000001")];
        assert_eq!(hidden, [both.clone(), both], "nor does eth1 lack the default route");

        // with its label gone as well, nothing says which NIC is eth0
        let unplaced = judged(&[("BC764E000001", "{\"label"), ("BC764E000002", PRIVATE)]);
        assert_eq!(unplaced, [vec![blocked("BC764E000001")], vec![blocked("BC764E000001")]]);

        let other = PRIVATE.replace("10.0.0.9", "10.0.0.8");
        let [addresses, _] = judged(&[("BC764E000001", lost), ("BC764E000002", &other)]);
        let wrong = (Status::Fail, Some("eth1".to_owned()), None);
        assert_eq!(addresses, [wrong, blocked("BC764E000001")]);
    }

    #[test]
    fn a_gateway_that_cannot_be_read_is_asked_of_no_other_nic() {
        let public = PUBLIC.replace("\"192.0.2.1\"", "\"192.0.2.300\"");
        let [_, routes] = judged(&[("BC764E000001", &public), ("BC764E000002", PRIVATE)]);
        assert_eq!(routes, [(Status::Ok, None, None)]);
    }

    #[test]
    fn a_problem_that_hides_no_gateway_hides_no_missing_route() {
        let private = PRIVATE.replace(r#""label": "private""#, r#""label": "private", "dns": ["8.8.8.300"]"#);
        // alone it is eth0, whose gateway on the disk is another one
        let [_, routes] = judged(&[("BC764E000002", &private)]);
        assert_eq!(routes, [(Status::Fail, Some("eth0".to_owned()), None)]);
    }

    #[test]
    fn without_the_hosts_data_nothing_is_compared() {
        let blocked = vec![(Status::Blocked, None, Some("host-network-data"))];
        assert_eq!(judged(&[]), [blocked.clone(), blocked]);
    }
}
