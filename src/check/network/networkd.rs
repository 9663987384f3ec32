//! systemd-networkd: next hops that are on no network of the link.
//!
//! networkd waits for such a next hop for ever, without a line in the log. Files that netplan generated are netplan's
//! affair. A link that gets addresses by DHCP or router advertisements is not judged: its networks are not known here.
//! Source: systemd.network(5).

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use crate::check::{Check, Finding};
use crate::net::configured::Scan;
use crate::net::ini::Setting;
use crate::net::networkd::{self, Unit};
use crate::root::Root;

pub(super) const ON_LINK: Check = Check {
    id: "networkd-on-link",
    about: "networkd can reach every next hop",
    probe: |target| Ok(on_link(&target.root)?.findings()),
    fix: Some(|target| on_link(&target.root)?.plan(target)),
    page: include_str!("../pages/networkd-on-link.md"),
    ..TEMPLATE
};

fn on_link(root: &Root) -> Result<Judged> {
    let mut scan = Scan::of(root);
    if !["systemd-networkd.service", "systemd-networkd.socket"].iter().any(|unit| scan.is_wanted(unit)) {
        return Ok(Judged::only(Finding::skipped("networkd is not started at boot")));
    }
    let units = networkd::units_of(&mut scan, ".network");
    scan.complete()?;
    let native = units.iter().filter(|unit| !unit.path.starts_with("run/"));
    let faults = native.filter_map(judge).collect();
    Ok(Judged { faults, otherwise: Finding::ok("every next hop is on the link, or said to be") })
}

/// A next hop and the section that it stands in.
struct Hop<'u> {
    path: &'u str,
    setting: &'u Setting,
    via: IpAddr,
}

fn judge(unit: &Unit) -> Option<Fault> {
    let networks = networks(unit);
    if networks.is_empty() || is_dynamic(unit) {
        return None;
    }
    let far: Vec<Hop> = hops(unit).into_iter().filter(|hop| is_far(unit, hop, &networks)).collect();
    let first = far.first()?;
    let path = &unit.path;
    let mut finding = Finding::fail(format!(
        "the next hop {} in {path} is on no network of the link",
        first.via
    ))
    .because(
        "networkd leaves the link in the state configuring for ever, and the boot waits two minutes for it",
    )
    .about(path)
    .mend("write GatewayOnLink=yes into the section [Route] of the next hop")
    .by(&["networkctl", "reload"]);
    let mut edits = Vec::new();
    for hop in &far {
        let Hop { path, setting, via } = hop;
        finding =
            finding.seen(format!("{path}:{}", setting.line), format!("{}={}", setting.key, setting.value));
        let gateway = format!("Gateway={via}");
        let on_link = "GatewayOnLink=yes".to_owned();
        if setting.section == "Route" {
            let text = vec![gateway, on_link];
            edits.push(Edit::Line { path: (*path).to_owned(), line: setting.line, text });
        } else {
            edits.push(Edit::drop(path, setting.line));
            let text = vec![String::new(), "[Route]".to_owned(), gateway, on_link];
            edits.push(Edit::Append { path: (*path).to_owned(), text });
        }
    }
    // an explicit no stands in the way of the new line
    let is_denied = far.iter().any(|hop| in_section(unit, hop).any(|s| is_on_link_key(&s.key)));
    Some(Fault { finding, edits: if is_denied { Vec::new() } else { edits } })
}

fn hops(unit: &Unit) -> Vec<Hop<'_>> {
    let gateways = unit
        .settings
        .iter()
        .filter(|(_, s)| matches!(s.section.as_str(), "Route" | "Network") && s.key == "Gateway");
    gateways
        .filter_map(|(path, setting)| Some(Hop { path, setting, via: setting.value.parse().ok()? }))
        .collect()
}

/// The other settings of a next hop's section.
fn in_section<'u>(unit: &'u Unit, hop: &'u Hop<'u>) -> impl Iterator<Item = &'u Setting> {
    unit.settings
        .iter()
        .filter(move |(path, s)| *path == hop.path && s.block == hop.setting.block && s.section == "Route")
        .map(|(_, s)| s)
}

/// Spelt GatewayOnlink in old files, which networkd still takes.
fn is_on_link_key(key: &str) -> bool {
    key.eq_ignore_ascii_case("GatewayOnLink")
}

fn is_far(unit: &Unit, hop: &Hop, networks: &[IpNet]) -> bool {
    let is_link_local = match hop.via {
        IpAddr::V6(via) => via.is_unicast_link_local(),
        IpAddr::V4(via) => via.is_unspecified(),
    };
    let is_said = in_section(unit, hop).any(|s| is_on_link_key(&s.key) && is_yes(&s.value));
    // without an address of the family the route has more wrong with it than this
    // unless it is told not to, networkd takes networks from router advertisements as well
    let has_unknown = hop.via.is_ipv6()
        && unit.last("Network", "IPv6AcceptRA").is_none_or(|(_, setting)| !is_no(&setting.value));
    let has_family = networks.iter().any(|net| net.addr().is_ipv4() == hop.via.is_ipv4());
    !is_link_local
        && !is_said
        && !has_unknown
        && has_family
        && !networks.iter().any(|net| net.contains(&hop.via))
}

/// The networks of the link: of its addresses, of their peers, and those that a route without a next hop leads to.
fn networks(unit: &Unit) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (path, setting) in &unit.settings {
        let is_network = match (setting.section.as_str(), setting.key.as_str()) {
            ("Network" | "Address", "Address") | ("Address", "Peer") => true,
            ("Route", "Destination") => !unit
                .settings
                .iter()
                .any(|(other, s)| other == path && s.block == setting.block && s.key == "Gateway"),
            _ => false,
        };
        if is_network {
            let alone = || setting.value.parse::<IpAddr>().ok().map(IpNet::from);
            networks.extend(setting.value.parse::<IpNet>().ok().or_else(alone));
        }
    }
    networks
}

/// Whether the link has addresses that do not stand in the file.
fn is_dynamic(unit: &Unit) -> bool {
    let is_set = |key: &str| unit.last("Network", key).is_some_and(|(_, s)| !is_no(&s.value));
    is_set("DHCP") || is_set("IPv6AcceptRA")
}

fn is_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t")
}

fn is_no(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "off" | "0" | "n" | "f" | "none" | "")
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, mended, short};
    use super::*;
    use crate::check::Status;
    use crate::net::ini;
    use proptest::prelude::*;

    const READER: (&str, &str) =
        ("etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "->/x");
    const FILE: &str = "etc/systemd/network/10-eth0.network";
    const HEAD: &str = "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.10/32\n";

    fn with(lines: &str) -> String {
        format!("{HEAD}{lines}")
    }

    #[test]
    fn a_next_hop_that_is_on_no_network_needs_the_word() {
        let said = |lines: &str| short(&ON_LINK, &[READER, (FILE, &with(lines))]);
        let (fail, ok) = (vec![(Status::Fail, FILE.to_owned())], vec![(Status::Ok, String::new())]);
        assert_eq!(said("Gateway=198.51.100.1\n"), fail);
        assert_eq!(said("[Route]\nDestination=10.0.0.0/8\nGateway=198.51.100.1\n"), fail);
        assert_eq!(said("[Route]\nGateway=198.51.100.1\nGatewayOnLink=no\n"), fail);
        assert_eq!(said("Address=2001:db8::1/64\nIPv6AcceptRA=no\nGateway=2001:db8:1::1\n"), fail);
        for lines in [
            "Address=2001:db8::1/64\nIPv6AcceptRA=no\nGateway=fe80::def\n",
            // a router can say that this is on the link
            "Address=2001:db8::1/64\nGateway=2001:db8:1::1\n",
            "[Route]\nGateway=198.51.100.1\nGatewayOnLink=yes\n",
            "[Route]\nGatewayOnlink=true\nGateway=198.51.100.1\n",
            "Address=198.51.100.7/24\nGateway=198.51.100.1\n",
            "Gateway=fe80::def\n",
            "#Gateway=198.51.100.1\n",
            "DHCP=ipv4\nGateway=198.51.100.1\n",
            "Gateway=_dhcp4\n",
            // the way to the next hop has a route of its own
            "Gateway=198.51.100.1\n[Route]\nDestination=198.51.100.1/32\nScope=link\n",
            "Gateway=198.51.100.1\n[Address]\nAddress=192.0.2.11/32\nPeer=198.51.100.1/32\n",
            // the route has no address to go with
            "Gateway=2001:db8::1\n",
        ] {
            assert_eq!(said(lines), ok, "{lines}");
        }
        let drop_in =
            ("etc/systemd/network/10-eth0.network.d/x.conf", "[Network]\nAddress=198.51.100.7/24\n");
        assert_eq!(short(&ON_LINK, &[READER, (FILE, &with("Gateway=198.51.100.1\n")), drop_in]), ok);
    }

    #[test]
    fn only_files_that_networkd_reads_are_judged() {
        let text = with("Gateway=198.51.100.1\n");
        assert_eq!(short(&ON_LINK, &[(FILE, &text)])[0].0, Status::Skipped);
        for path in ["run/systemd/network/10-netplan-eth0.network", "etc/systemd/network/10-eth0.network.bak"]
        {
            assert_eq!(short(&ON_LINK, &[READER, (path, &text)]), [(Status::Ok, String::new())], "{path}");
        }
        assert!(found(&ON_LINK, &[READER, (&format!("{FILE}/x"), "")]).is_err());
    }

    #[test]
    fn the_fix_adds_the_word() {
        let cases = [
            (
                "[Route]\nDestination=10.0.0.0/8\nGateway=198.51.100.1\nMetric=5\n",
                "[Route]\nDestination=10.0.0.0/8\nGateway=198.51.100.1\nGatewayOnLink=yes\nMetric=5\n",
            ),
            (
                "Gateway=198.51.100.1\nDNS=192.0.2.53",
                "DNS=192.0.2.53\n\n[Route]\nGateway=198.51.100.1\nGatewayOnLink=yes\n",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(mended(&ON_LINK, &[READER, (FILE, &with(before))], &[FILE]), [Some(with(after))]);
        }
    }

    proptest! {
        #[test]
        fn any_file_is_judged(text in "(\\[(Match|Network|Route|Address)\\]\n|(Name|Gateway|Address|Destination|GatewayOnLink)=[0-9a-z:./]{0,12}\n){0,8}") {
            let settings = ini::parse(&text).into_iter().map(|s| ("x".to_owned(), s)).collect();
            let _ = judge(&Unit { path: "x".to_owned(), settings });
        }
    }
}
