//! What netplan refuses of a file: values that every release refuses, and keys that are those of a release but for a slip.
//!
//! A key that is nobody's neighbour can be a newer release's and is passed over. To add a kind of value: an arm in
//! [`definition_refused`], and a line in the cases of `netplan_tests.rs`, which are held against netplan itself.
//! Source: netplan's `parse.c`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use crate::net::Mac;
use crate::net::yaml::{self, Node, Value};

/// Every kind of definition that has addresses.
const SECTIONS: [&str; 9] = [
    "ethernets",
    "bridges",
    "bonds",
    "vlans",
    "wifis",
    "tunnels",
    "dummy-devices",
    "vrfs",
    "virtual-ethernets",
];

/// The keys beside them.
const BESIDE: [&str; 5] = ["version", "renderer", "openvswitch", "nm-devices", "modems"];

/// The keys of a definition.
const KEYS: [&str; 52] = [
    "accept-ra",
    "access-points",
    "activation-mode",
    "addresses",
    "auth",
    "critical",
    "delay-virtual-functions-rebind",
    "dhcp-identifier",
    "dhcp4",
    "dhcp4-overrides",
    "dhcp6",
    "dhcp6-overrides",
    "embedded-switch-mode",
    "emit-lldp",
    "gateway4",
    "gateway6",
    "generic-receive-offload",
    "generic-segmentation-offload",
    "id",
    "ignore-carrier",
    "infiniband-mode",
    "interfaces",
    "ipv6-address-generation",
    "ipv6-address-token",
    "ipv6-mtu",
    "ipv6-privacy",
    "key",
    "keys",
    "large-receive-offload",
    "link",
    "link-local",
    "local",
    "macaddress",
    "match",
    "mode",
    "mtu",
    "nameservers",
    "openvswitch",
    "optional",
    "optional-addresses",
    "parameters",
    "peers",
    "ra-overrides",
    "receive-checksum-offload",
    "regulatory-domain",
    "remote",
    "renderer",
    "routes",
    "routing-policy",
    "set-name",
    "table",
    "wakeonlan",
];

/// Keys of a definition that say yes or no.
const SWITCHES: [&str; 7] =
    ["accept-ra", "critical", "dhcp4", "dhcp6", "ipv6-privacy", "optional", "wakeonlan"];

/// What netplan reads as yes and as no, in any case.
const YES_OR_NO: [&str; 8] = ["true", "on", "yes", "y", "false", "off", "no", "n"];

/// What netplan refuses, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The line of the value, from 1.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) why: String,
}

/// Returns what netplan refuses of a file.
///
/// # Errors
/// The file is too long or too deep to be read here.
pub(super) fn refused(text: &str) -> Result<Vec<Refused>> {
    let document = match yaml::parse(text) {
        Ok(Some(document)) => document,
        Ok(None) => return Ok(Vec::new()),
        Err(error) => match error.downcast_ref::<saphyr_parser::ScanError>() {
            Some(scan) => {
                return Ok(vec![Refused {
                    line: scan.marker().line(),
                    why: format!("no YAML: {}", scan.info()),
                }]);
            }
            None => return Err(error),
        },
    };
    let mut wrong = Vec::new();
    let Some(network) = document.get("network") else { return Ok(wrong) };
    if !matches!(network.value, Value::Map(_)) {
        refuse(&mut wrong, network, "network has nothing in it: the lines below it are not indented");
        return Ok(wrong);
    }
    slips(network, &[&SECTIONS[..], &BESIDE[..]].concat(), &mut wrong);
    renderer_refused(network, &mut wrong);
    if let Some(version) = network.get("version").filter(|version| version.text() != Some("2")) {
        refuse(&mut wrong, version, "only version 2 is known");
    }
    for section in SECTIONS {
        for (id, definition) in network.get(section).map(Node::entries).unwrap_or_default() {
            // the renderer of a whole section
            if id != "renderer" {
                definition_refused(definition, &mut wrong);
            }
        }
    }
    wrong.sort_by_key(|refused| refused.line);
    wrong.dedup();
    Ok(wrong)
}

fn refuse(wrong: &mut Vec<Refused>, node: &Node, why: impl Into<String>) {
    wrong.push(Refused { line: node.line, why: why.into() });
}

/// A key that nobody knows and that is one of these but for one letter.
fn slips(node: &Node, known: &[&str], wrong: &mut Vec<Refused>) {
    for (key, value) in
        node.entries().iter().filter(|(key, _)| key.len() > 4 && !known.contains(&key.as_str()))
    {
        if let Some(meant) = known.iter().find(|known| strsim::damerau_levenshtein(known, key) == 1) {
            refuse(wrong, value, format!("there is no key {key}: {meant} is meant"));
        }
    }
}

fn renderer_refused(node: &Node, wrong: &mut Vec<Refused>) {
    let Some(renderer) = node.get("renderer") else { return };
    if let Some(text) = renderer.text().filter(|text| !["networkd", "NetworkManager"].contains(text)) {
        refuse(wrong, renderer, format!("the renderer '{text}' is neither networkd nor NetworkManager"));
    }
}

fn definition_refused(definition: &Node, wrong: &mut Vec<Refused>) {
    slips(definition, &KEYS, wrong);
    renderer_refused(definition, wrong);
    for (key, node) in definition.entries() {
        match (key.as_str(), node.text()) {
            ("gateway4", Some(text)) if text.parse::<Ipv4Addr>().is_err() => {
                refuse(wrong, node, format!("gateway4 is no IPv4 address but '{text}'"));
            }
            ("gateway6", Some(text)) if text.parse::<Ipv6Addr>().is_err() => {
                refuse(wrong, node, format!("gateway6 is no IPv6 address but '{text}'"));
            }
            ("gateway4" | "gateway6", None) => {
                refuse(wrong, node, format!("{key} is a list, not an address"));
            }
            (key, Some(text)) if SWITCHES.contains(&key) && !YES_OR_NO.contains(&&*text.to_lowercase()) => {
                refuse(wrong, node, format!("{key} is neither true nor false but '{text}'"));
            }
            ("mtu", Some(text)) if text.parse::<u32>().is_err() => {
                refuse(wrong, node, format!("the mtu is no number but '{text}'"));
            }
            ("addresses", Some(text)) => {
                refuse(wrong, node, format!("addresses is no list but '{text}'"));
            }
            ("addresses", _) => {
                for item in node.items() {
                    address_refused(item, wrong);
                }
            }
            ("routes", _) => {
                for route in node.items() {
                    route_refused(route, wrong);
                }
            }
            ("nameservers", _) => {
                for server in node.get("addresses").map(Node::items).unwrap_or_default() {
                    if let Some(text) = server.text().filter(|text| text.parse::<IpAddr>().is_err()) {
                        refuse(wrong, server, format!("the name server '{text}' is no address"));
                    }
                }
            }
            ("match", _) => {
                let mac = node.get("macaddress").and_then(|mac| Some((mac, mac.text()?)));
                if let Some((mac, text)) = mac.filter(|(_, text)| text.parse::<Mac>().is_err()) {
                    refuse(wrong, mac, format!("'{text}' is no MAC"));
                }
            }
            _ => {}
        }
    }
}

/// An address, or an address with options of its own.
fn address_refused(item: &Node, wrong: &mut Vec<Refused>) {
    let Some(text) = item.text().or(item.entries().first().map(|(key, _)| key.as_str())) else { return };
    let Some((address, prefix)) = text.split_once('/') else {
        return refuse(wrong, item, format!("the address '{text}' has no /prefix"));
    };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return refuse(wrong, item, format!("'{text}' is no address")),
    };
    if !prefix.parse::<u32>().is_ok_and(|prefix| prefix <= longest) {
        refuse(wrong, item, format!("the prefix of '{text}' is not from 0 to {longest}"));
    }
}

fn route_refused(route: &Node, wrong: &mut Vec<Refused>) {
    let text = |key: &str| route.get(key).and_then(|node| Some((node, node.text()?)));
    let to = text("to").map(|(_, to)| to.split('/').next().unwrap_or_default());
    if let Some((node, via)) = text("via") {
        match (via.parse::<IpAddr>(), to.and_then(|to| to.parse::<IpAddr>().ok())) {
            (Err(_), _) => refuse(wrong, node, format!("the route's via is no address but '{via}'")),
            (Ok(via), Some(to)) if via.is_ipv4() != to.is_ipv4() => {
                refuse(wrong, node, "the route's to and via are of different families");
            }
            _ => {}
        }
    }
    if let (Some((node, _)), Some(to)) = (text("to"), to)
        && to != "default"
        && to.parse::<IpAddr>().is_err()
    {
        refuse(wrong, node, format!("the route's to is no network but '{to}'"));
    }
}
