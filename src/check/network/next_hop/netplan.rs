//! netplan's `gateway4`, `gateway6` and routes. Edits are made of block style only, key by key on lines of their own.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::fault::Edit;
use super::{DEMOTED, NextHop};
use crate::net::configured::Scan;
use crate::net::netplan;
use crate::net::yaml::{self, Node};

/// The most definitions that are looked at.
const DEFINITIONS_MAX: usize = 200;

pub(super) fn read(scan: &mut Scan, hops: &mut Vec<NextHop>) {
    let mut files = Vec::new();
    for path in netplan::files(scan) {
        let Some(text) = scan.text(&path) else { continue };
        // what is no YAML is netplan-valid's
        if let Some(document) = yaml::parse(&text).ok().flatten() {
            files.push((path, text, document));
        }
    }
    let mut left = DEFINITIONS_MAX;
    for (path, text, document) in &files {
        let lines: Vec<&str> = text.lines().collect();
        for (id, definition) in ethernets(document) {
            if left == 0 {
                return;
            }
            left -= 1;
            // lists of all files are taken together
            let all: Vec<&Node> = files
                .iter()
                .flat_map(|(_, _, document)| ethernets(document))
                .filter(|(other, _)| other == id)
                .map(|(_, definition)| &**definition)
                .collect();
            let link = Link::of(&all);
            of_definition(path, &lines, id, definition, &link, hops);
        }
    }
}

fn ethernets(document: &Node) -> &[(String, std::rc::Rc<Node>)] {
    document
        .get("network")
        .and_then(|network| network.get("ethernets"))
        .map(Node::entries)
        .unwrap_or_default()
}

/// What all files say of a link.
struct Link {
    networks: Vec<IpNet>,
    /// Networks of the family come from elsewhere as well.
    is_dynamic4: bool,
    is_dynamic6: bool,
}

impl Link {
    fn of(definitions: &[&Node]) -> Self {
        let mut networks = Vec::new();
        let is_set =
            |key: &str| definitions.iter().any(|definition| definition.get(key).is_some_and(Node::is_true));
        for definition in definitions {
            for item in definition.get("addresses").map(Node::items).unwrap_or_default() {
                let text = item.text().or(item.entries().first().map(|(key, _)| key.as_str()));
                networks.extend(text.and_then(|text| text.parse::<IpNet>().ok()));
            }
            for route in definition.get("routes").map(Node::items).unwrap_or_default() {
                let to = route.get("to").and_then(Node::text).filter(|_| route.get("via").is_none());
                networks.extend(to.and_then(|to| {
                    to.parse::<IpNet>().ok().or_else(|| to.parse::<IpAddr>().ok().map(IpNet::from))
                }));
            }
        }
        // unless it is told not to, networkd takes networks from router advertisements
        let has_no_ra = definitions.iter().any(|d| d.get("accept-ra").is_some_and(|node| !node.is_true()));
        Self { networks, is_dynamic4: is_set("dhcp4"), is_dynamic6: is_set("dhcp6") || !has_no_ra }
    }

    fn is_far(&self, via: IpAddr) -> bool {
        let (is_dynamic, is_link_local) = match via {
            IpAddr::V4(_) => (self.is_dynamic4, false),
            IpAddr::V6(via) => (self.is_dynamic6, via.is_unicast_link_local()),
        };
        let has_family = self.networks.iter().any(|net| net.addr().is_ipv4() == via.is_ipv4());
        has_family && !is_dynamic && !is_link_local && !self.networks.iter().any(|net| net.contains(&via))
    }
}

fn of_definition(
    path: &str,
    lines: &[&str],
    id: &str,
    definition: &Node,
    link: &Link,
    hops: &mut Vec<NextHop>,
) {
    let text_at = |line: usize| lines.get(line.wrapping_sub(1)).copied().unwrap_or_default();
    let hop = |node: &Node, via: IpAddr| NextHop {
        nic: id.to_owned(),
        source: format!("{path}:{}", node.line),
        text: text_at(node.line).trim().chars().take(200).collect(),
        via,
        is_default: true,
        metric: None,
        is_far: link.is_far(via),
        put_on_link: Vec::new(),
        demote: Vec::new(),
    };
    let routes = definition.get("routes");
    for key in ["gateway4", "gateway6"] {
        let Some(node) = definition.get(key) else { continue };
        let Some(via) = node.text().and_then(|text| text.parse().ok()) else { continue };
        let mut it = hop(node, via);
        if key_on_line(text_at(node.line)).is_some_and(|(_, found)| found == key) {
            it.demote = vec![Edit::drop(path, node.line)];
            it.put_on_link = as_route(path, lines, node.line, via, routes).unwrap_or_default();
        }
        hops.push(it);
    }
    for route in routes.map(Node::items).unwrap_or_default() {
        let value = |key: &str| route.get(key).and_then(Node::text);
        let (Some(to), Some(node)) = (value("to"), route.get("via")) else { continue };
        let Some(via) = node.text().and_then(|text| text.parse().ok()) else { continue };
        let it = hop(node, via);
        let line = text_at(node.line);
        let added = |key: &str, text: String| match key_on_line(line) {
            Some((indent, "via")) if route.get(key).is_none() => vec![Edit::Line {
                path: path.to_owned(),
                line: node.line,
                text: vec![line.to_owned(), format!("{}{key}: {text}", " ".repeat(indent))],
            }],
            _ => Vec::new(),
        };
        hops.push(NextHop {
            is_default: matches!(to, "default" | "0.0.0.0/0" | "::/0" | "0/0"),
            metric: value("metric").and_then(|metric| metric.parse().ok()),
            is_far: it.is_far && !route.get("on-link").is_some_and(Node::is_true),
            put_on_link: added("on-link", "true".to_owned()),
            demote: added("metric", DEMOTED.to_string()),
            ..it
        });
    }
}

/// The column and the name of the one key that stands on a line, also behind the dash of an item.
fn key_on_line(line: &str) -> Option<(usize, &str)> {
    let body = line.trim_start_matches([' ', '-']);
    let (key, value) = body.split_once(':')?;
    let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !value.contains(['{', '[', ',', '&', '*', '#']);
    is_plain.then(|| (line.len() - body.len(), key))
}

/// A gateway as a route, which can say that it is on the link.
fn as_route(
    path: &str,
    lines: &[&str],
    line: usize,
    via: IpAddr,
    routes: Option<&Node>,
) -> Option<Vec<Edit>> {
    let old = lines.get(line.checked_sub(1)?)?;
    let (indent, _) = key_on_line(old)?;
    let to = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    let item = |indent: usize| {
        let pad = " ".repeat(indent);
        vec![
            format!("{pad}- to: \"{to}\""),
            format!("{pad}  via: \"{via}\""),
            format!("{pad}  on-link: true"),
        ]
    };
    let pad = " ".repeat(indent);
    let replaced = |text| Edit::Line { path: path.to_owned(), line, text };
    let Some(routes) = routes else {
        return Some(vec![replaced([vec![format!("{pad}routes:")], item(indent)].concat())]);
    };
    let first = routes.items().first()?;
    // the item's line, whichever of its keys stands there
    let place = lines.iter().take(first.line).rposition(|line| line.trim_start().starts_with("- "))?;
    let dash = lines[place].len() - lines[place].trim_start().len();
    if key_on_line(lines[place]).is_none() || !lines.get(place.checked_sub(1)?)?.trim().starts_with("routes:")
    {
        return None;
    }
    let text = [item(dash), vec![lines[place].to_owned()]].concat();
    Some(vec![replaced(Vec::new()), Edit::Line { path: path.to_owned(), line: place + 1, text }])
}
