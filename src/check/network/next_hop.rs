//! The next hops that the files of the back ends in charge give to NICs, each with the edits that change it.
//!
//! Whether a next hop is out of reach is said only where the program that reads the file does not see to it itself:
//! ifupdown and NetworkManager do, networkd's own files are `networkd-on-link`. To add a format: a reader, and its
//! line in [`of`].
//! Source: interfaces(5), initscripts' `ifup-eth`, nm-settings(5), systemd.network(5), netplan's reference.

mod netplan;

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::fault::Edit;
use super::{eni, network_manager, owner};
use crate::net::assignments::{self, Variable};
use crate::net::backend::Strength;
use crate::net::configured::Scan;
use crate::net::{ifcfg, ini, keyfile, networkd};
use crate::target::Target;

/// A next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NextHop {
    /// The NIC, as the file names it.
    pub(super) nic: String,
    /// File and line.
    pub(super) source: String,
    pub(super) text: String,
    pub(super) via: IpAddr,
    pub(super) is_default: bool,
    /// Where the file says so.
    pub(super) metric: Option<u32>,
    /// It is in no network of the link, and nothing sees to it that it is reached.
    pub(super) is_far: bool,
    /// What has it reached all the same.
    pub(super) put_on_link: Vec<Edit>,
    /// What has another default route win over it.
    pub(super) demote: Vec<Edit>,
}

/// Reads the next hops of the back ends in charge; `None` where netplan's files are no YAML.
///
/// # Errors
/// A file cannot be read.
pub(super) fn of(target: &Target) -> Result<Option<Vec<NextHop>>> {
    let Some(claims) = owner::in_charge(target)? else { return Ok(None) };
    let mut hops = Vec::new();
    let mut scan = Scan::of(&target.root);
    for (backend, claim) in claims {
        match backend.name() {
            _ if claim.strength != Strength::Configures => {}
            "netplan" => netplan::read(&mut scan, &mut hops),
            "networkd" => of_networkd(&mut scan, &mut hops),
            "keyfile" => of_keyfiles(&mut scan, &mut hops),
            "ifcfg" => of_ifcfg(&mut scan, network_manager::starts(target)?, &mut hops),
            "ifupdown" => of_interfaces(target, &mut hops)?,
            _ => {}
        }
    }
    scan.complete()?;
    Ok(Some(hops))
}

fn of_interfaces(target: &Target, hops: &mut Vec<NextHop>) -> Result<()> {
    let Some(all) = eni::interfaces(target)? else { return Ok(()) };
    for stanza in &all.stanzas {
        let Some(line) = stanza.option("gateway") else { continue };
        let Ok(via) = line.word(1).parse() else { continue };
        let metric = stanza.option("metric").and_then(|line| line.word(1).parse().ok());
        let demote = line.raw.as_ref().map(|_| Edit::drop(&stanza.path, line.number));
        hops.push(NextHop {
            nic: stanza.name.split(':').next().unwrap_or_default().to_owned(),
            source: format!("{}:{}", stanza.path, line.number),
            text: line.words.join(" "),
            via,
            is_default: true,
            metric,
            is_far: false,
            put_on_link: Vec::new(),
            demote: demote.into_iter().collect(),
        });
    }
    Ok(())
}

fn of_ifcfg(scan: &mut Scan, manager_starts: bool, hops: &mut Vec<NextHop>) {
    let global = assignments::parse(&scan.text("etc/sysconfig/network").unwrap_or_default());
    let only = assignments::value(&global, "GATEWAYDEV").to_owned();
    for path in ifcfg::files(scan, ifcfg::RED_HAT) {
        let Some(text) = scan.text(&path) else { continue };
        let variables = assignments::parse(&text);
        let value = |name: &str| assignments::value(&variables, name);
        let Some(planned) = ifcfg::planned(&path, &variables, None) else { continue };
        let Some(nic) = planned.to.single().filter(|_| planned.kind.is_nic() && planned.at_boot) else {
            continue;
        };
        let is_scripts = !manager_starts || assignments::is_no(value("NM_CONTROLLED"));
        let is_off = assignments::is_no(value("DEFROUTE")) || (!only.is_empty() && only != nic);
        for key in ["GATEWAY", "IPV6_DEFAULTGW"] {
            let Some(line) = assignments::last(&variables, key).filter(|_| !is_off) else { continue };
            let Ok(via) = line.value.split('%').next().unwrap_or_default().parse::<IpAddr>() else {
                continue;
            };
            // masks that contradict each other are ifcfg-keys'
            let by_mask = crate::net::address_with_mask(value("IPADDR"), Some(value("NETMASK")));
            let is_near = by_mask.is_some_and(|net| net.contains(&via));
            let far = if is_scripts && key == "GATEWAY" && !is_near {
                far_gateway(scan, nic, via, &planned.addresses)
            } else {
                None
            };
            hops.push(NextHop {
                nic: nic.to_owned(),
                source: format!("{path}:{}", line.line),
                text: format!("{key}={}", line.value),
                via,
                is_default: true,
                metric: value("METRIC").parse().ok(),
                is_far: far.is_some(),
                put_on_link: far.unwrap_or_default(),
                demote: dropped(&path, &variables, key),
            });
        }
    }
}

fn dropped(path: &str, variables: &[Variable], key: &str) -> Vec<Edit> {
    variables.iter().filter(|v| v.name == key).map(|v| Edit::drop(path, v.line)).collect()
}

/// initscripts set a gateway only when it is in the network of the first address. Returns the edits that have it
/// reached; `None` for one that is, or that a route file sees to.
fn far_gateway(scan: &mut Scan, nic: &str, via: IpAddr, addresses: &[IpNet]) -> Option<Vec<Edit>> {
    let first = addresses.iter().find(|net| net.addr().is_ipv4())?;
    if first.contains(&via) {
        return None;
    }
    let path = format!("{}/route-{nic}", ifcfg::RED_HAT);
    let text = scan.text(&path).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let is_default =
        |words: &[String]| matches!(words.first().map(String::as_str), Some("default" | "0.0.0.0/0"));
    if lines.clone().any(|line| is_default(&words(line))) {
        return None;
    }
    // the form with ADDRESS0 takes no onlink, and a file has one form
    let is_old = lines.clone().any(|line| line.starts_with("ADDRESS") || line.starts_with("GATEWAY"));
    let text = vec![format!("default via {via} dev {nic} onlink")];
    Some(if is_old { Vec::new() } else { vec![Edit::Append { path, text }] })
}

fn of_keyfiles(scan: &mut Scan, hops: &mut Vec<NextHop>) {
    for path in keyfile::files(scan).into_iter().filter(|path| path.starts_with("etc/")) {
        let Some(text) = scan.text(&path) else { continue };
        let Some(planned) = keyfile::parse(&path, &text).filter(|p| p.kind.is_nic() && p.at_boot) else {
            continue;
        };
        let settings = ini::parse(&text);
        let nic = planned.to.names.first().cloned().or(planned.to.macs.first().map(ToString::to_string));
        let Some(nic) = nic else { continue };
        for section in ["ipv4", "ipv6"] {
            let never = ini::last(&settings, section, "never-default");
            if never.is_some_and(|setting| assignments::is_yes(&setting.value)) {
                continue;
            }
            let gateway = settings.iter().filter(|s| s.section == section).find_map(|s| {
                let is_address =
                    s.key.strip_prefix("address").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
                let text = match s.key.as_str() {
                    "gateway" => Some(s.value.as_str()),
                    _ if is_address => s.value.split(',').nth(1),
                    _ => None,
                };
                Some((s, text?.trim().parse::<IpAddr>().ok()?))
            });
            let Some((line, via)) = gateway.filter(|(_, via)| !via.is_unspecified()) else { continue };
            let header = text.lines().position(|line| line.trim() == format!("[{section}]"));
            let new = "never-default=true";
            let demote = match (never, header) {
                (Some(never), _) => vec![Edit::line(&path, never.line, new)],
                (None, Some(place)) => vec![Edit::Line {
                    path: path.clone(),
                    line: place + 1,
                    text: vec![format!("[{section}]"), new.to_owned()],
                }],
                (None, None) => Vec::new(),
            };
            hops.push(NextHop {
                nic: nic.clone(),
                source: format!("{path}:{}", line.line),
                text: format!("{}={}", line.key, line.value),
                via,
                is_default: true,
                metric: ini::last(&settings, section, "route-metric").and_then(|s| s.value.parse().ok()),
                is_far: false,
                put_on_link: Vec::new(),
                demote,
            });
        }
    }
}

fn of_networkd(scan: &mut Scan, hops: &mut Vec<NextHop>) {
    for unit in networkd::units_of(scan, ".network").into_iter().filter(|unit| unit.path.starts_with("etc/"))
    {
        let [nic] = unit.words("Match", "Name")[..] else { continue };
        for (path, setting) in &unit.settings {
            let is_gateway =
                setting.key == "Gateway" && matches!(setting.section.as_str(), "Network" | "Route");
            let Some(via) = setting.value.parse().ok().filter(|_| is_gateway) else { continue };
            let beside = |key: &str| {
                let is_beside = |(other, s): &&(String, ini::Setting)| {
                    other == path && s.block == setting.block && s.section == "Route" && s.key == key
                };
                unit.settings.iter().find(is_beside).map(|(_, s)| s.value.as_str())
            };
            let to = beside("Destination");
            let metric: Option<u32> = beside("Metric").and_then(|metric| metric.parse().ok());
            let demote = match (setting.section.as_str(), metric) {
                ("Network", _) => vec![Edit::drop(path, setting.line)],
                (_, None) => vec![Edit::Line {
                    path: path.clone(),
                    line: setting.line,
                    text: vec![format!("Gateway={via}"), format!("Metric={DEMOTED}")],
                }],
                _ => Vec::new(),
            };
            hops.push(NextHop {
                nic: nic.to_owned(),
                source: format!("{path}:{}", setting.line),
                text: format!("Gateway={}", setting.value),
                via,
                is_default: to.is_none_or(|to| matches!(to, "0.0.0.0/0" | "::/0" | "::")),
                metric,
                is_far: false,
                put_on_link: Vec::new(),
                demote,
            });
        }
    }
}

/// The metric of a default route that is to lose; IPv6 routes without one have 1024 (kernel, `IP6_RT_PRIO_USER`).
const DEMOTED: u32 = 2048;
