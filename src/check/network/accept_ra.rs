//! Router advertisements beside static IPv6 addresses.
//!
//! The files that the agents write give a NIC its address and its default route, and leave it to the kernel or the
//! network's program to take what routers advertise as well: a second address, from which the server then speaks, and
//! a second default route. Where the running kernel shows that no address came that way there is nothing to say; a
//! disk shows only that nothing keeps them off. An interface without a static default route needs the advertisement.
//! Source: interfaces(5), ifupdown's `inet6.defn` (since 0.7 `gateway (if_set 0) =accept_ra?`), systemd.network(5),
//! netplan's reference, initscripts' sysconfig.txt (`IPV6_AUTOCONF`), `/proc/net/if_inet6` of the kernel's
//! `net/ipv6/addrconf.c`.

use anyhow::Result;

use super::fault::{Edit, Fault, Judged};
use super::{TEMPLATE, stanzas};
use crate::check::{Check, Finding};
use crate::net::assignments::{self, is_no};
use crate::net::configured::Scan;
use crate::net::ifcfg::{self, RED_HAT};
use crate::net::yaml::{self, Node};
use crate::net::{eni, netplan, networkd};
use crate::root::Root;
use crate::target::Target;

pub(super) const ACCEPT_RA: Check = Check {
    id: "accept-ra",
    about: "router advertisements add no addresses beside static ones",
    probe: |target| Ok(accepted(target)?.findings()),
    fix: Some(|target| accepted(target)?.plan(target)),
    page: include_str!("../pages/accept-ra.md"),
    ..TEMPLATE
};

/// An interface whose file lets advertisements in.
struct Open {
    interface: String,
    path: String,
    line: usize,
    text: String,
    /// What to write where, and what makes it hold.
    how: String,
    edits: Vec<Edit>,
}

fn accepted(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let advertised = advertised(root)?;
    let otherwise = Finding::ok("no address from a router advertisement beside a static one");
    let mut open = Vec::new();
    let mut scan = Scan::of(root);
    of_netplan(&mut scan, &mut open);
    of_networkd(&mut scan, &mut open);
    of_scripts(&mut scan, &mut open);
    of_ifupdown(&mut scan, advertised.as_deref(), &mut open);
    scan.complete()?;
    let faults = open.into_iter().filter_map(|open| fault(open, advertised.as_deref())).collect();
    Ok(Judged { faults, otherwise })
}

fn fault(open: Open, advertised: Option<&[Advertised]>) -> Option<Fault> {
    let Open { interface, path, line, text, how, edits } = open;
    let seen = match advertised {
        None => None,
        // a name of the files can be that of a definition, not of a link
        Some(all) => Some(all.iter().find(|one| one.link == interface)?),
    };
    let title = match seen {
        Some(one) => format!(
            "{interface} has an address from a router advertisement beside its static one: {}",
            one.address
        ),
        None => format!("{interface} takes addresses from router advertisements beside its static one"),
    };
    let finding = Finding::note(title)
        .because("the server can speak from an address, or by a router, that the host did not assign")
        .seen(format!("{path}:{line}"), text)
        .about(interface)
        .mend(how);
    Some(Fault { finding, edits })
}

/// An address that a router advertised, on a link that has a static one as well.
struct Advertised {
    link: String,
    address: String,
}

/// Returns them as the kernel shows them; `None` where it does not.
fn advertised(root: &Root) -> Result<Option<Vec<Advertised>>> {
    Ok(root.text_opt("proc/net/if_inet6")?.map(|text| of_kernel(&text)))
}

fn of_kernel(text: &str) -> Vec<Advertised> {
    const PERMANENT: u32 = 0x80;
    // address, index, length of the prefix, scope, flags, name
    let rows = || {
        text.lines().take(10_000).filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [address, _, length, "00", flags, name] = fields.as_slice() else { return None };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            Some((*address, *length, flags & PERMANENT != 0, *name))
        })
    };
    let fixed: std::collections::BTreeSet<&str> =
        rows().filter(|(_, _, is_permanent, _)| *is_permanent).map(|(.., name)| name).collect();
    // DHCPv6 gives a single address
    let given = rows()
        .filter(|(_, length, is_permanent, name)| !is_permanent && *length != "80" && fixed.contains(name));
    given
        .map(|(address, _, _, name)| Advertised { link: name.to_owned(), address: written(address) })
        .collect()
}

/// An address of 32 hexadecimal digits as people write it.
fn written(digits: &str) -> String {
    let address = u128::from_str_radix(digits, 16).map(std::net::Ipv6Addr::from);
    address.map_or_else(|_| digits.to_owned(), |address| address.to_string())
}

fn is_v6_net(text: &str) -> bool {
    text.split(',').next().unwrap_or_default().trim().split('/').next().is_some_and(is_v6)
}

fn is_v6(text: &str) -> bool {
    text.split('%').next().unwrap_or_default().parse::<std::net::Ipv6Addr>().is_ok()
}

fn of_netplan(scan: &mut Scan, open: &mut Vec<Open>) {
    if scan.root.find_program("netplan").is_none() {
        return;
    }
    let mut texts = Vec::new();
    for path in netplan::files(scan) {
        // what netplan refuses is another check's affair
        if let Some(text) = scan.text(&path)
            && let Ok(Some(document)) = yaml::parse(&text)
        {
            texts.push((path, text, document));
        }
    }
    let ethernets = |document: &Node| -> Vec<(String, std::rc::Rc<Node>)> {
        let section = document.get("network").and_then(|network| network.get("ethernets"));
        section.map(|section| section.entries().to_vec()).unwrap_or_default()
    };
    let decided: Vec<String> = texts
        .iter()
        .flat_map(|(_, _, document)| ethernets(document))
        .filter(|(_, node)| node.get("accept-ra").is_some_and(|value| !value.is_true()))
        .map(|(id, _)| id)
        .collect();
    for (path, text, document) in &texts {
        for (id, node) in ethernets(document) {
            if decided.contains(&id) || !is_static(&node) {
                continue;
            }
            let line = node.get("accept-ra").map_or(node.line, |value| value.line);
            let raw = text.lines().nth(line - 1).unwrap_or_default();
            let indent = &raw[..raw.len() - raw.trim_start().len()];
            let says = format!("{indent}accept-ra: false");
            let edit = match raw.trim_start().split_once(':') {
                Some(("accept-ra", _)) => Some(vec![says]),
                // the first line of a definition in block style
                Some((key, _)) if node.get(key).is_some() => Some(vec![says, raw.to_owned()]),
                _ => None,
            };
            open.push(Open {
                interface: id.clone(),
                path: path.clone(),
                line,
                text: raw.trim().to_owned(),
                how: format!("write \"accept-ra: false\" below {id} in /{path}, then: netplan apply"),
                edits: edit.map(|text| Edit::Line { path: path.clone(), line, text }).into_iter().collect(),
            });
        }
    }
}

fn is_static(node: &Node) -> bool {
    let texts = |key: &str| node.get(key).map(Node::items).unwrap_or_default();
    let has_address = texts("addresses").iter().any(|item| item.text().is_some_and(is_v6_net));
    let is_default = |route: &Node| {
        let to = route.get("to").and_then(Node::text).unwrap_or_default();
        let via = route.get("via").and_then(Node::text).unwrap_or_default();
        matches!(to, "::/0" | "default") && is_v6(via)
    };
    let has_gateway = node.get("gateway6").and_then(Node::text).is_some_and(is_v6)
        || texts("routes").iter().any(|route| is_default(route));
    has_address && has_gateway
}

fn of_networkd(scan: &mut Scan, open: &mut Vec<Open>) {
    if !["systemd-networkd.service", "systemd-networkd.socket"].iter().any(|unit| scan.is_wanted(unit)) {
        return;
    }
    for unit in networkd::units_of(scan, ".network") {
        let is_in = |section: &str, key: &str, is: fn(&str) -> bool| {
            unit.settings.iter().any(|(_, s)| s.section == section && s.key == key && is(&s.value))
        };
        let has_address = is_in("Network", "Address", is_v6_net) || is_in("Address", "Address", is_v6_net);
        let has_gateway = is_in("Network", "Gateway", is_v6) || is_in("Route", "Gateway", is_v6);
        let said = unit.last("Network", "IPv6AcceptRA");
        let names = unit.words("Match", "Name");
        let name = names.first().map(ToString::to_string);
        // netplan's are netplan's
        if unit.path.starts_with("run/")
            || !has_address
            || !has_gateway
            || said.is_some_and(|(_, s)| is_no(&s.value))
        {
            continue;
        }
        let (path, line, text) = match said
            .or_else(|| unit.last("Network", "Address"))
            .or_else(|| unit.last("Address", "Address"))
        {
            Some((path, s)) => (path.to_owned(), s.line, format!("{}={}", s.key, s.value)),
            None => (unit.path.clone(), 1, String::new()),
        };
        let more = vec!["[Network]".to_owned(), "IPv6AcceptRA=no".to_owned()];
        let is_ours = unit.path.starts_with("etc/");
        open.push(Open {
            interface: name.unwrap_or_else(|| unit.path.clone()),
            how: format!("write IPv6AcceptRA=no below [Network] in /{}, then: networkctl reload", unit.path),
            edits: if is_ours { vec![Edit::Append { path: path.clone(), text: more }] } else { Vec::new() },
            path,
            line,
            text,
        });
    }
}

/// What has the kernel do it without taking the interface down.
fn at_once(name: &str) -> String {
    // with slashes, because a name can have a dot
    format!("sysctl -w net/ipv6/conf/{name}/accept_ra=0")
}

/// The network scripts alone: what NetworkManager makes of these files depends on its release.
fn of_scripts(scan: &mut Scan, open: &mut Vec<Open>) {
    if !ifcfg::has_scripts(scan.root) {
        return;
    }
    for path in ifcfg::files(scan, RED_HAT) {
        let Some(text) = scan.text(&path) else { continue };
        let variables = assignments::parse(&text);
        let value = |name: &str| assignments::value(&variables, name);
        let is_static = is_v6_net(value("IPV6ADDR")) && is_v6(value("IPV6_DEFAULTGW"));
        let forwards = assignments::is_yes(value("IPV6FORWARDING"));
        if !is_static || is_no(value("IPV6_AUTOCONF")) || forwards {
            continue;
        }
        let Some(seen) = assignments::last(&variables, "IPV6_AUTOCONF")
            .or_else(|| assignments::last(&variables, "IPV6ADDR"))
        else {
            continue;
        };
        let name = match value("DEVICE") {
            "" => path.rsplit_once("ifcfg-").map_or("", |(_, name)| name),
            name => name,
        };
        open.push(Open {
            interface: name.to_owned(),
            line: seen.line,
            text: format!("{}={}", seen.name, seen.value),
            how: format!("write IPV6_AUTOCONF=no into /{path}, then: {}", at_once(name)),
            edits: vec![Edit::Append { path: path.clone(), text: vec!["IPV6_AUTOCONF=no".to_owned()] }],
            path,
        });
    }
}

fn of_ifupdown(scan: &mut Scan, advertised: Option<&[Advertised]>, open: &mut Vec<Open>) {
    if scan.root.find_program("ifup").is_none() || scan.root.find_program("ifparse").is_some() {
        return;
    }
    for (path, text) in eni::texts(scan) {
        let raw: Vec<&str> = text.lines().collect();
        for stanza in stanzas::of(&text) {
            let Some(name) = stanza.interface() else { continue };
            let option = |name: &str| {
                stanza
                    .lines
                    .iter()
                    .skip(1)
                    .find(|line| line.words[0] == name)
                    .map(|line| (line, line.words.get(1)))
            };
            let is_v6 = |name: &str, is: fn(&str) -> bool| {
                option(name).is_some_and(|(_, value)| value.is_some_and(|value| is(value)))
            };
            if !is_v6("address", is_v6_net) || !is_v6("gateway", self::is_v6) {
                continue;
            }
            let said = option("accept_ra");
            // with a gateway it is 0 unless the stanza says otherwise; what the kernel shows came by another way
            if said.is_none() && advertised.is_none() {
                continue;
            }
            if said.is_some_and(|(_, value)| value.is_some_and(|value| value == "0")) {
                continue;
            }
            let line = said.map_or(stanza.first(), |(line, _)| line.number);
            let Some(first) = raw.get(line - 1).filter(|line| !line.ends_with('\\')) else { continue };
            let says = "\taccept_ra 0".to_owned();
            let lines = if said.is_some() { vec![says] } else { vec![(*first).to_owned(), says] };
            open.push(Open {
                interface: name.to_owned(),
                path: path.clone(),
                line,
                text: first.trim().to_owned(),
                how: format!(
                    "write \"accept_ra 0\" below \"iface {name} inet6\" in /{path}, then: {}",
                    at_once(name)
                ),
                edits: vec![Edit::Line { path: path.clone(), line, text: lines }],
            });
        }
    }
}

#[cfg(test)]
#[path = "accept_ra_tests.rs"]
mod tests;
