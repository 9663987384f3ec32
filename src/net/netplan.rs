//! netplan: every file of `{lib,etc,run}/netplan`, laid over each other.
//!
//! Files are taken in the order of their names, whichever directory they are in; of two with one name, run wins over
//! etc, and etc over lib. A later file's scalar replaces an earlier one, mappings are merged, and a list is added to.
//! Source: netplan's reference (netplan-yaml) and `parse.c`.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::configured::{Match, Planned, Scan, Seen};
use super::links::Kind;
use super::yaml::{self, Node};

const DIRS: [&str; 3] = ["lib/netplan", "etc/netplan", "run/netplan"];

/// A definition: one interface, or one match of NICs, from all files.
#[derive(Debug, Default)]
struct Definition {
    section: String,
    first: Option<Seen>,
    name: Option<String>,
    set_name: Option<String>,
    mac: Option<String>,
    /// `mode` of a tunnel.
    mode: Option<String>,
    /// Where `link-local` leaves IPv6 out.
    no_link_local: Option<Seen>,
    /// Whether something else gives it IPv6: an address, a router's advertisement, DHCP.
    has_ipv6: bool,
    addresses: Vec<IpNet>,
}

pub(super) fn look(scan: &mut Scan) {
    if scan.root.find_program("netplan").is_none() {
        return;
    }
    let mut definitions: BTreeMap<String, Definition> = BTreeMap::new();
    for path in files(scan) {
        let Some(text) = scan.text(&path) else { continue };
        match yaml::parse(&text) {
            Ok(Some(document)) => merge(&path, &document, &mut definitions),
            Ok(None) => {}
            Err(error) => scan.trouble(&path, &error),
        }
    }
    for (id, definition) in definitions {
        scan.add(definition.planned(&id));
    }
}

/// Returns the files that netplan reads, in its order.
pub(crate) fn files(scan: &mut Scan) -> Vec<String> {
    let mut files = BTreeMap::new();
    for dir in DIRS {
        for path in scan.files(dir, ".yaml") {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            files.insert(name, path);
        }
    }
    files.into_values().collect()
}

fn merge(path: &str, document: &Node, definitions: &mut BTreeMap<String, Definition>) {
    let Some(network) = document.get("network") else { return };
    for (section, ids) in network.entries() {
        // the scalars `version` and `renderer` have no entries
        for (id, node) in ids.entries() {
            let definition = definitions.entry(id.clone()).or_default();
            if definition.first.is_none() {
                definition.first = Some(Seen::line(path, node.line, format!("{section}: {id}")));
            }
            section.clone_into(&mut definition.section);
            definition.add(path, node);
        }
    }
}

impl Definition {
    fn add(&mut self, path: &str, node: &Node) {
        let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
        let matched = node.get("match");
        self.name = text(matched.and_then(|m| m.get("name"))).or(self.name.take());
        self.mac = text(matched.and_then(|m| m.get("macaddress"))).or(self.mac.take());
        self.set_name = text(node.get("set-name")).or(self.set_name.take());
        self.mode = text(node.get("mode")).or(self.mode.take());
        if let Some(link_local) = node.get("link-local") {
            let kept = link_local.items().iter().any(|item| item.text() == Some("ipv6"));
            let words: Vec<_> = link_local.items().iter().filter_map(|item| item.text()).collect();
            let line = format!("link-local: [{}]", words.join(", "));
            self.no_link_local = (!kept).then(|| Seen::line(path, link_local.line, line));
        }
        let addresses = node.get("addresses").map(Node::items).unwrap_or_default();
        // an address, or an address with options of its own
        let text_of = |node: &Node| {
            node.text().or(node.entries().first().map(|(key, _)| key.as_str())).map(str::to_owned)
        };
        let addresses = addresses.iter().filter_map(|node| text_of(node));
        self.addresses.extend(addresses.filter_map(|text| super::address_with_mask(&text, None)));
        self.has_ipv6 |= self.addresses.iter().any(|net| net.addr().is_ipv6())
            || ["accept-ra", "dhcp6"].iter().any(|key| node.get(key).is_some_and(Node::is_true));
    }

    fn planned(self, id: &str) -> Planned {
        let kind = match self.section.as_str() {
            "bridges" => Kind::BRIDGE,
            "bonds" => Kind::BOND,
            "vlans" => Kind::VLAN,
            "vrfs" => Kind::named("vrf"),
            "dummy-devices" => Kind::named("dummy"),
            "virtual-ethernets" => Kind::VETH,
            "modems" => Kind::PPP,
            "tunnels" => Kind::named(self.mode.as_deref().unwrap_or("tunnel")),
            "nm-devices" => Kind::named("nm-device"),
            _ => Kind::ETHERNET,
        };
        // Without a match the id is the name. With one, the link has its new name once netplan has been at work.
        let names = match (&self.set_name, &self.name, &self.mac) {
            (None, None, None) => vec![id.to_owned()],
            (set_name, name, _) => name.iter().chain(set_name).cloned().collect(),
        };
        let macs = self.mac.iter().filter_map(|mac| mac.parse().ok()).collect();
        // The name alone must not widen a match by MAC.
        let names = if self.mac.is_some() && self.name.is_none() { Vec::new() } else { names };
        Planned {
            reader: "netplan",
            to: Match { names, macs },
            kind,
            at_boot: true,
            seen: self.first.unwrap_or_else(|| Seen::at("netplan", id)),
            ipv6_off: self.no_link_local.filter(|_| !self.has_ipv6),
            addresses: self.addresses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::{off, short};
    use proptest::prelude::*;

    const READER: (&str, &str) = ("usr/sbin/netplan", "!");

    #[test]
    fn every_section_makes_its_kind() {
        let text = "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0: {dhcp4: true}\n  \
            bridges:\n    br0: {}\n  bonds:\n    bond0: {}\n  vlans:\n    vlan5: {id: 5, link: eth0}\n  tunnels:\n    \
            wg0: {mode: wireguard}\n    sit1: {mode: sit}\n";
        let planned = short(&[READER, ("etc/netplan/01.yaml", text)]);
        let row = |name: &str, kind: &str, line| {
            (name.to_owned(), kind.to_owned(), true, format!("etc/netplan/01.yaml:{line}"))
        };
        assert_eq!(
            planned,
            [
                row("bond0", "bond", 9),
                row("br0", "bridge", 7),
                row("eth0", "ethernet", 5),
                row("sit1", "sit", 14),
                row("vlan5", "vlan", 11),
                row("wg0", "wireguard", 13),
            ]
        );
    }

    #[test]
    fn a_file_of_one_name_hides_the_others_and_order_is_by_name() {
        let planned = short(&[
            READER,
            ("lib/netplan/50.yaml", "network: {bridges: {lib0: {}}}"),
            ("etc/netplan/50.yaml", "network: {bridges: {etc0: {}}}"),
            ("run/netplan/40.yaml", "network: {bridges: {run0: {}}}"),
        ]);
        let names: Vec<_> = planned.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["etc0", "run0"]);
    }

    #[test]
    fn ipv6_is_off_without_a_link_local_address_and_without_another_one() {
        let file = "etc/netplan/01.yaml";
        let said = |rest: &'static str| {
            let text = format!("network:\n  ethernets:\n    eth0:\n{rest}");
            off(&[READER, (file, &text)], "eth0", "")
        };
        assert_eq!(said("      link-local: []\n"), [format!("{file}:4")]);
        assert_eq!(said("      dhcp4: true\n      link-local: [ipv4]\n"), [format!("{file}:5")]);
        assert_eq!(said("      link-local: [ipv6]\n"), [""; 0]);
        assert_eq!(said("      link-local: []\n      addresses: ['2001:db8::1/64']\n"), [""; 0]);
        assert_eq!(said("      link-local: []\n      accept-ra: true\n"), [""; 0]);
    }

    #[test]
    fn a_later_file_wins_and_a_match_by_mac_knows_no_name() {
        let first = (
            "etc/netplan/50.yaml",
            "network: {ethernets: {nic: {match: {macaddress: 'bc:76:4e:20:75:72'}, set-name: eth0, link-local: []}}}",
        );
        let second = ("etc/netplan/90.yaml", "network: {ethernets: {nic: {link-local: [ipv6]}}}");
        assert_eq!(off(&[READER, first], "ens3", "bc:76:4e:20:75:72"), ["etc/netplan/50.yaml:1"]);
        assert_eq!(off(&[READER, first], "eth0", "bc:76:4e:20:75:73"), [""; 0]);
        assert_eq!(off(&[READER, first, second], "eth0", "bc:76:4e:20:75:72"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_document_is_read(text in "network: (\\{(ethernets|bridges|version): (\\{(a|b): (\\{(match|link-local|addresses): (x|\\[\\]|\\{\\}|\\[\\{x: y\\}\\])\\}|null)\\}|2)\\}|x)") {
            if let Ok(Some(document)) = yaml::parse(&text) {
                merge("x", &document, &mut BTreeMap::new());
            }
        }
    }
}
