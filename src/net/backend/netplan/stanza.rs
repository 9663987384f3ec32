//! What the files of netplan say of Ethernet links, merged as netplan merges them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Context, Result};

use super::super::super::configured::Scan;
use super::super::super::intent::Nic;
use super::super::super::yaml::{self, Node};
use super::super::super::{Mac, netplan};
use super::super::reading::{Reach, Reading};
use crate::glob;
use crate::root::Root;

/// The section that NICs are in.
pub(super) const SECTION: &str = "ethernets";

/// A file that says something.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) document: Rc<Node>,
}

/// Every file and every stanza.
pub(super) struct Stanzas {
    /// In the order in which netplan reads them.
    pub(super) files: Vec<File>,
    /// Merged, by id.
    pub(super) by_id: BTreeMap<String, Stanza>,
    /// The renderer that all links have unless they say otherwise.
    pub(super) renderer: Option<String>,
    /// Ids that other links build on.
    named: BTreeSet<String>,
}

/// A stanza, merged from all files.
#[derive(Debug, Default)]
pub(super) struct Stanza {
    pub(super) id: String,
    pub(super) renderer: Option<String>,
    parts: Vec<Rc<Node>>,
    has_match: bool,
    name: Option<String>,
    mac: Option<String>,
    set_name: Option<String>,
}

impl Stanzas {
    /// Reads all of them.
    ///
    /// # Errors
    /// A file cannot be read or is not YAML: netplan then configures nothing at all.
    pub(super) fn of(root: &Root) -> Result<Self> {
        let mut scan = Scan::of(root);
        let mut files = Vec::new();
        for path in netplan::files(&mut scan) {
            let Some(text) = scan.text(&path) else { continue };
            if let Some(document) = yaml::parse(&text).with_context(|| format!("reading {path}"))? {
                files.push(File { path, text, document });
            }
        }
        scan.complete()?;
        let mut all =
            Self { files: Vec::new(), by_id: BTreeMap::new(), renderer: None, named: BTreeSet::new() };
        for network in files.iter().filter_map(|file| file.document.get("network")) {
            all.add(network);
        }
        all.files = files;
        Ok(all)
    }

    fn add(&mut self, network: &Node) {
        let text = |node: &Node| node.text().map(str::to_owned);
        self.renderer = network.get("renderer").and_then(text).or(self.renderer.take());
        for (section, links) in network.entries() {
            for (id, link) in links.entries() {
                if section == SECTION {
                    self.by_id.entry(id.clone()).or_default().add(id, link);
                } else {
                    self.named.extend(link.get("link").and_then(text));
                    let ports = link.get("interfaces").map(Node::items).unwrap_or_default();
                    self.named.extend(ports.iter().filter_map(|port| text(port)));
                }
            }
        }
    }

    /// Whether a VLAN, a bridge or the like builds on this id.
    pub(super) fn is_named_elsewhere(&self, id: &str) -> bool {
        self.named.contains(id)
    }
}

impl File {
    /// Returns the ids of its Ethernet links.
    pub(super) fn ethernets(&self) -> Vec<&str> {
        let section = self.document.get("network").and_then(|network| network.get(SECTION));
        section.map(Node::entries).unwrap_or_default().iter().map(|(id, _)| id.as_str()).collect()
    }

    /// Whether it has sections that hold passwords or keys.
    pub(super) fn holds_secrets(&self) -> bool {
        let network = self.document.get("network").map(Node::entries).unwrap_or_default();
        network.iter().any(|(section, _)| matches!(section.as_str(), "wifis" | "tunnels" | "modems"))
            || ["password", "auth"].iter().any(|word| self.text.contains(word))
    }
}

impl Stanza {
    fn add(&mut self, id: &str, node: &Rc<Node>) {
        let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
        id.clone_into(&mut self.id);
        if let Some(matched) = node.get("match") {
            self.has_match = true;
            self.name = text(matched.get("name")).or(self.name.take());
            self.mac = text(matched.get("macaddress")).or(self.mac.take());
        }
        self.set_name = text(node.get("set-name")).or(self.set_name.take());
        self.renderer = text(node.get("renderer")).or(self.renderer.take());
        self.parts.push(Rc::clone(node));
    }

    /// Returns the one NIC that it is about by its MAC and gives a name to.
    pub(super) fn nic(&self) -> Option<Nic> {
        Some(Nic { name: self.set_name.clone()?, mac: self.mac.as_deref()?.parse().ok()? })
    }

    /// Whether netplan applies it to this NIC. A driver or a path that it asks for is taken to be the NIC's.
    pub(super) fn is_about(&self, name: &str, mac: Mac) -> bool {
        if !self.has_match {
            return self.id == name;
        }
        self.name.as_deref().is_none_or(|pattern| glob::matches(pattern, name))
            && self.mac.as_deref().is_none_or(|text| text.parse() == Ok(mac))
    }

    /// Whether it is about more NICs than one.
    pub(super) fn is_wide(&self) -> bool {
        let is_pattern = |name: &str| name.contains(['*', '?', '[']);
        self.has_match && self.mac.is_none() && self.name.as_deref().is_none_or(is_pattern)
    }

    /// Whether it was made for this NIC, or would give its name or its id to another one.
    pub(super) fn is_rival_of(&self, name: &str, mac: Mac) -> bool {
        self.id == name
            || self.set_name.as_deref() == Some(name)
            || (!self.is_wide() && self.is_about(name, mac))
    }

    /// Returns the MTU; of several files', the last.
    pub(super) fn mtu(&self) -> Option<u32> {
        self.parts.iter().rev().find_map(|part| part.get("mtu")?.text()?.parse().ok())
    }

    /// Returns what it gives to a NIC: lists of all files together, of single values the last.
    pub(super) fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        let items = |key: &str| {
            let nodes = self.parts.iter().filter_map(move |part| part.get(key));
            nodes.flat_map(Node::items).map(|item| &**item).collect::<Vec<_>>()
        };
        for item in items("addresses") {
            // an address, or an address with options of its own
            let text = item.text().or(item.entries().first().map(|(address, _)| address.as_str()));
            text.into_iter().for_each(|text| reading.add_address(text));
        }
        for key in ["gateway4", "gateway6"] {
            let last = self.parts.iter().rev().find_map(|part| part.get(key)).and_then(Node::text);
            last.into_iter().for_each(|via| reading.add_route("default", Some(via), Reach::Plain));
        }
        for item in items("routes") {
            let value = |key: &str| item.get(key).and_then(Node::text);
            let is_onlink = item.get("on-link").is_some_and(Node::is_true);
            let reach = if is_onlink { Reach::OnLink } else { Reach::Plain };
            value("to").into_iter().for_each(|to| reading.add_route(to, value("via"), reach));
        }
        for servers in self.parts.iter().filter_map(|part| part.get("nameservers")?.get("addresses")) {
            servers.items().iter().filter_map(|item| item.text()).for_each(|text| reading.add_dns(text));
        }
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_document_is_read(text in "network: (\\{(ethernets|bridges|renderer): (\\{(a|b): (\\{(match|addresses|routes|gateway4|nameservers): (x|\\[\\]|\\[\\{to: y, via: 1.1.1.1\\}\\]|\\{addresses: \\[1.1.1.1\\]\\})\\}|null)\\}|2)\\}|x)") {
            let mut all =
                Stanzas { files: Vec::new(), by_id: BTreeMap::new(), renderer: None, named: BTreeSet::new() };
            if let Some(document) = yaml::parse(&text).ok().flatten() {
                document.get("network").into_iter().for_each(|network| all.add(network));
            }
            let mac = "52:54:00:a1:00:01".parse().unwrap();
            for stanza in all.by_id.values() {
                let _ = (stanza.is_about("a", mac), stanza.is_rival_of("a", mac), stanza.is_wide(), stanza.reading());
            }
        }
    }
}
