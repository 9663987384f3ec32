//! systemd-networkd: one `.network` file per NIC, before those of anybody else.
//!
//! A link takes the first `.network` file that matches it, so the user's files stay where they are; only one that
//! comes before ours, or a drop-in of ours, is retired. What stacks other links on the NIC (`VLAN=` and the like) and its
//! MTU go along, because the file that said it no longer counts.
//! Source: systemd.network(5), and `link_reconfigure_impl` in networkd-link.c for what a reload does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use ipnet::IpNet;

use super::super::Mac;
use super::super::configured::Scan;
use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent};
use super::super::networkd::{Unit, units_of};
use super::reading::{Reach, Reading};
use super::{Backend, Claim, Strength, file_stem, netplan, resolv};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::glob;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

/// Where the administrator's files are.
const DIR: &str = "etc/systemd/network";
/// How the names of our files begin.
const PREFIX: &str = "05-novactl-";
/// What netplan's files are called: they are netplan's.
const OF_NETPLAN: &str = "-netplan-";
/// Keys of `[Network]` that stack another link on this one.
const STACKS: [&str; 10] =
    ["VLAN", "MACVLAN", "MACVTAP", "IPVLAN", "IPVTAP", "VXLAN", "Tunnel", "L2TP", "MACsec", "Xfrm"];
/// The first systemd whose networkd can take new files without a restart.
pub(super) const RELOADS_SINCE: u32 = 244;

/// systemd-networkd.
pub(super) struct Networkd;

impl Backend for Networkd {
    fn name(&self) -> &'static str {
        "networkd"
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let Some(service) = target.services().named(&target.root, "systemd-networkd")? else {
            return Ok(None);
        };
        let Enabled::Yes(by) = service.enabled else { return Ok(None) };
        let mut scan = Scan::of(&target.root);
        let units = units_of(&mut scan, ".network");
        let of_nic = units.iter().find(|unit| !unit.path.contains(OF_NETPLAN) && unit.is_about_some_nic());
        Ok(Some(match of_nic {
            Some(unit) => Claim {
                source: unit.path.clone(),
                text: "systemd-networkd is enabled, and this file is about a NIC".to_owned(),
                strength: Strength::Configures,
            },
            None if netplan::is_in_charge(&target.root)? => return Ok(None),
            None => Claim {
                source: by,
                text: "systemd-networkd is enabled".to_owned(),
                strength: Strength::Enabled,
            },
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let mut scan = Scan::of(root);
        let units = units_of(&mut scan, ".network");
        scan.complete()?;
        let mut changes: Vec<FileChange> = Vec::new();
        let mut written: Vec<String> = Vec::new();
        for nic in &intent.nics {
            let path = path_of(&nic.name);
            let kept = Kept::of(&units, nic);
            changes.push(FileChange::Write {
                path: path.clone(),
                body: text_of(nic, &kept).into_bytes(),
                mode: Some(0o644),
                secret: crate::plan::Secrecy::Open,
            });
            for drop_in in root.files_in(&format!("{path}.d"), ".conf")? {
                changes.push(FileChange::Remove { path: drop_in });
            }
            written.push(path);
        }
        let mut others = super::present(target)?;
        // of a NIC that has another name now, the old file goes
        others.retain(|other| !intent.nics.iter().any(|nic| nic.mac == other.mac));
        for unit in &units {
            let is_stale = base_name(&unit.path).starts_with(PREFIX)
                && unit.path.starts_with(DIR)
                && !unit.macs().iter().any(|mac| others.iter().any(|other| other.mac == *mac));
            let wins = |nic: &NicIntent| {
                base_name(&unit.path) < base_name(&path_of(&nic.name)) && unit.is_about(&nic.name, nic.mac)
            };
            if written.contains(&unit.path) || !(is_stale || intent.nics.iter().any(wins)) {
                continue;
            }
            changes.push(retired(root, &unit.path));
        }
        changes.extend(resolv::without_resolved(intent, target)?);
        Ok(changes)
    }

    fn activate(&self, _intent: &Intent, target: &Target) -> Vec<Cmd> {
        take_over(&target.root)
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let mut scan = Scan::of(root);
        let units = units_of(&mut scan, ".network");
        scan.complete()?;
        let first = units.into_iter().find(|unit| unit.is_about(&nic.name, nic.mac));
        Ok(first.map(|unit| unit.reading().nic(nic)))
    }
}

/// Returns the programs by which networkd takes new files: from 244 on it configures the links whose file changed and
/// leaves the others alone; what both the old and the new file say stays in place meanwhile. Before, it has to start
/// anew, which also keeps addresses that are right.
pub(super) fn take_over(root: &Root) -> Vec<Cmd> {
    let limit = Duration::from_secs(10);
    let systemctl = |verb| Cmd::new(&["systemctl", verb, "systemd-networkd.service"]).within(limit);
    match super::systemd_version(root) {
        Some(version) if version < RELOADS_SINCE => vec![systemctl("restart")],
        _ => vec![systemctl("start"), Cmd::new(&["networkctl", "reload"]).within(limit)],
    }
}

fn path_of(nic: &str) -> String {
    format!("{DIR}/{PREFIX}{}.network", file_stem(nic))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Takes a file away: the administrator's goes, a package's is hidden.
fn retired(root: &Root, path: &str) -> FileChange {
    let name = base_name(path);
    let in_etc = format!("{DIR}/{name}");
    let hides_another = ["lib", "usr/lib", "usr/local/lib", "run"]
        .iter()
        .any(|dir| root.exists(&format!("{dir}/systemd/network/{name}")));
    if path == in_etc && !hides_another {
        return FileChange::Remove { path: in_etc };
    }
    FileChange::Link { path: in_etc, to: "/dev/null".to_owned() }
}

/// What goes along from the file that a NIC takes now, and from ours.
struct Kept {
    /// The lines that stack other links on the NIC.
    stacks: Vec<String>,
    mtu: Option<u32>,
}

impl Kept {
    fn of(units: &[Unit], nic: &NicIntent) -> Self {
        let ours = path_of(&nic.name);
        let own = units.iter().find(|unit| unit.path == ours);
        let taken = units.iter().find(|unit| unit.path != ours && unit.is_about(&nic.name, nic.mac));
        let mut kept = Self { stacks: Vec::new(), mtu: None };
        for unit in own.into_iter().chain(taken) {
            for key in STACKS {
                for word in unit.words("Network", key) {
                    let line = format!("{key}={word}");
                    if !kept.stacks.contains(&line) {
                        kept.stacks.push(line);
                    }
                }
            }
            let mtu = unit.words("Link", "MTUBytes").last().and_then(|mtu| mtu.parse().ok());
            kept.mtu = kept.mtu.or(mtu);
        }
        kept
    }
}

fn text_of(nic: &NicIntent, kept: &Kept) -> String {
    let label = nic.label.as_deref().unwrap_or("a network without a name");
    let mut lines = vec![
        format!("# {label}: {}", nic.mark()),
        "[Match]".to_owned(),
        format!("MACAddress={}", nic.mac),
        // a bridge, a bond or a VLAN with the NIC's address has a type of its own
        "Type=ether".to_owned(),
    ];
    if let Some(mtu) = kept.mtu {
        lines.extend([String::new(), "[Link]".to_owned(), format!("MTUBytes={mtu}")]);
    }
    let fixed = ["", "[Network]", "DHCP=no", "IPv6AcceptRA=no", "LinkLocalAddressing=ipv6"];
    lines.extend(fixed.map(str::to_owned));
    lines.extend(nic.addresses_of(Family::V6).map(|address| format!("Address={address}")));
    lines.extend(nic.dns.iter().map(|server| format!("DNS={server}")));
    lines.extend(kept.stacks.iter().cloned());
    lines.extend(nic.addresses_of(Family::V4).flat_map(address_of));
    for route in [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family)) {
        lines.extend(section_of(route));
    }
    lines.join("\n") + "\n"
}

/// Returns an IPv4 address with the broadcast address that it has anyway: networkd 252 takes the two for different ones
/// when the file leaves it out, and at a reload removes the address for some 10 ms.
fn address_of(address: &IpNet) -> Vec<String> {
    let mut lines = vec![String::new(), "[Address]".to_owned(), format!("Address={address}")];
    if address.prefix_len() < 31 {
        lines.push(format!("Broadcast={}", address.broadcast()));
    }
    lines
}

fn section_of(route: RouteIntent) -> Vec<String> {
    let mut lines = vec![String::new(), "[Route]".to_owned(), format!("Destination={}", route.to)];
    match route.hop {
        Some(hop) => {
            lines.push(format!("Gateway={}", hop.via));
            if hop.onlink {
                lines.push("GatewayOnLink=yes".to_owned());
            }
        }
        None if route.to.addr().is_ipv4() => lines.push("Scope=link".to_owned()),
        None => {}
    }
    lines
}

/// Names of NICs as the kernel and udev make them: a file that matches one of them is about a NIC.
const NIC_NAMES: [&str; 7] = ["eth0", "eth1", "ens3", "ens192", "enp0s3", "enX0", "enX1"];

impl Unit {
    /// Whether a link that is a NIC takes this file, when none before it does. Of what cannot be known here (the
    /// kernel's command line, the host, properties of udev) it is taken to match.
    fn is_about(&self, name: &str, mac: Mac) -> bool {
        let asks =
            ["MACAddress", "PermanentMACAddress"].iter().any(|key| !self.words("Match", key).is_empty());
        self.is_for_ethernet() && (!asks || self.macs().contains(&mac)) && self.takes(name)
    }

    fn macs(&self) -> Vec<Mac> {
        let words = [self.words("Match", "MACAddress"), self.words("Match", "PermanentMACAddress")].concat();
        words.iter().filter_map(|word| word.parse().ok()).collect()
    }

    fn is_about_some_nic(&self) -> bool {
        self.is_for_ethernet() && NIC_NAMES.iter().any(|name| self.takes(name))
    }

    fn takes(&self, name: &str) -> bool {
        matches_list(&self.words("Match", "Name"), |pattern| glob::matches(pattern, name))
    }

    /// Whether it asks for nothing that no NIC of Xen has. Without any match it is about every link.
    fn is_for_ethernet(&self) -> bool {
        let drivers = ["vif", "xen_netfront", "xen-netfront"];
        matches_list(&self.words("Match", "Type"), |pattern| glob::matches(pattern, "ether"))
            // a NIC has no kind
            && matches_list(&self.words("Match", "Kind"), |_| false)
            && matches_list(&self.words("Match", "Driver"), |pattern| {
                drivers.iter().any(|driver| glob::matches(pattern, driver))
            })
            && ["WLANInterfaceType", "SSID", "BSSID"].iter().all(|key| self.words("Match", key).is_empty())
    }

    fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        let settings = || self.settings.iter().map(|(_, setting)| setting);
        for setting in settings().filter(|s| s.key == "Address") {
            if matches!(setting.section.as_str(), "Network" | "Address") {
                reading.add_address(&setting.value);
            }
        }
        for server in self.words("Network", "DNS") {
            reading.add_dns(server);
        }
        for gateway in self.words("Network", "Gateway") {
            reading.add_route("default", Some(gateway), Reach::Plain);
        }
        let mut routes: BTreeMap<(&str, usize), RouteLines> = BTreeMap::new();
        for (path, setting) in self.settings.iter().filter(|(_, s)| s.section == "Route") {
            let lines = routes.entry((path.as_str(), setting.block)).or_default();
            match setting.key.as_str() {
                "Destination" => lines.to = Some(&setting.value),
                "Gateway" => lines.via = Some(&setting.value),
                "GatewayOnLink" | "GatewayOnlink" => lines.is_onlink = is_true(&setting.value),
                _ => {}
            }
        }
        for lines in routes.into_values() {
            let reach = if lines.is_onlink { Reach::OnLink } else { Reach::Plain };
            reading.add_route(lines.to.unwrap_or("default"), lines.via, reach);
        }
        reading
    }
}

/// What one section `[Route]` says.
#[derive(Debug, Default)]
struct RouteLines<'u> {
    to: Option<&'u str>,
    via: Option<&'u str>,
    is_onlink: bool,
}

fn is_true(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t")
}

/// Whether a list of patterns matches: none is any, and those with `!` exclude.
fn matches_list(patterns: &[&str], is: impl Fn(&str) -> bool) -> bool {
    // systemd.net-naming: a leading `!` inverts the whole list
    match patterns.first().and_then(|first| first.strip_prefix('!')) {
        Some(first) => !is(first) && !patterns[1..].iter().any(|pattern| is(pattern.trim_start_matches('!'))),
        None => patterns.is_empty() || patterns.iter().any(|pattern| is(pattern)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ini;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_patterns_matches_as_networkd_reads_it() {
        let is = |patterns: &[&str]| matches_list(patterns, |pattern| pattern == "eth0");
        assert!(is(&[]) && is(&["eth0"]) && is(&["br0", "eth0"]) && is(&["!br0", "br1"]));
        assert!(!is(&["br0"]) && !is(&["!eth0"]) && !is(&["!br0", "eth0"]));
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\\[(Match|Network|Route|Address)\\]\n|(Name|Type|Kind|Address|Gateway|Destination|DNS|VLAN)=.{0,12}\n){0,8}") {
            let settings = ini::parse(&text).into_iter().map(|s| ("x".to_owned(), s)).collect();
            let unit = Unit { path: "x".to_owned(), settings };
            let mac = "52:54:00:a1:00:01".parse().unwrap();
            let _ = (unit.is_about("eth0", mac), unit.is_about_some_nic(), unit.reading());
        }
    }
}
