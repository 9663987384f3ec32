//! `/etc/network/interfaces`: lines that ifupdown misreads, stanzas that nothing raises.
//!
//! Files are taken with what they source. An edit is made only of a line that stands alone, not of one that goes on
//! in the next.
//! Source: interfaces(5) of ifupdown and of ifupdown-ng; ifupdown's `config.c` for what it refuses, and its `*.defn`
//! (0.7 to 0.8.41) for the methods that there are.

mod route_command;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;

pub(super) use route_command::ROUTE_COMMAND;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use crate::check::{Check, Finding};
use crate::facts::init::Enabled;
use crate::glob;
use crate::net::configured::Scan;
use crate::net::eni::{self, Line};
use crate::net::survey::{Survey, Verdict};
use crate::root::Root;
use crate::target::Target;

pub(super) const LINES: Check = Check {
    id: "eni-lines",
    about: "ifupdown reads addresses and masks as they are meant",
    probe: |target| Ok(lines(target)?.findings()),
    fix: Some(|target| lines(target)?.plan(target)),
    page: include_str!("../pages/eni-lines.md"),
    ..TEMPLATE
};

pub(super) const AUTO: Check = Check {
    id: "eni-auto",
    about: "every stanza of the host's NICs is raised at boot",
    probe: |target| Ok(auto(target)?.findings()),
    fix: Some(|target| auto(target)?.plan(target)),
    page: include_str!("../pages/eni-auto.md"),
    ..TEMPLATE
};

/// All files together.
pub(super) struct Interfaces {
    pub(super) stanzas: Vec<Stanza>,
    /// Lines that belong to no stanza, and that is all that they are needed for: their words.
    pub(super) others: Vec<Vec<String>>,
}

/// An `iface` with its options.
pub(super) struct Stanza {
    pub(super) path: String,
    pub(super) name: String,
    /// The `iface` line first.
    pub(super) lines: Vec<Entry>,
}

/// A line of a stanza.
pub(super) struct Entry {
    pub(super) number: usize,
    pub(super) words: Vec<String>,
    /// The line as it stands; `None` for one that goes on in the next.
    pub(super) raw: Option<String>,
}

impl Entry {
    pub(super) fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", String::as_str)
    }

    /// Blanks before the first word.
    fn indent(&self) -> Option<&str> {
        let raw = self.raw.as_deref()?;
        Some(&raw[..raw.len() - raw.trim_start().len()])
    }
}

impl Stanza {
    fn options(&self) -> &[Entry] {
        self.lines.get(1..).unwrap_or_default()
    }

    pub(super) fn option(&self, name: &str) -> Option<&Entry> {
        self.options().iter().find(|line| line.word(0) == name)
    }
}

/// Reads what ifupdown reads; `None` where it is not in charge.
pub(super) fn interfaces(target: &Target) -> Result<Option<Interfaces>> {
    let root = &target.root;
    if root.find_program("ifup").is_none() {
        return Ok(None);
    }
    let service = target.services().named(root, "networking")?;
    if service.is_some_and(|service| !matches!(service.enabled, Enabled::Yes(_))) {
        return Ok(None);
    }
    let mut scan = Scan::of(root);
    let texts = eni::texts(&mut scan);
    scan.complete()?;
    Ok((!texts.is_empty()).then(|| parse(&texts)))
}

fn parse(texts: &[(String, String)]) -> Interfaces {
    const ENDING: [&str; 8] =
        ["auto", "source", "source-directory", "source-dir", "mapping", "template", "rename", "no-auto-down"];
    let mut all = Interfaces { stanzas: Vec::new(), others: Vec::new() };
    for (path, text) in texts {
        let raw: Vec<&str> = text.lines().collect();
        let mut is_open = false;
        for Line { words, number } in eni::lines(text) {
            let first = words.first().map(String::as_str).unwrap_or_default();
            let line =
                raw.get(number - 1).filter(|line| !line.ends_with('\\')).map(|line| (*line).to_owned());
            if first == "iface" {
                let name = words.get(1).cloned().unwrap_or_default();
                let lines = vec![Entry { number, words, raw: line }];
                all.stanzas.push(Stanza { path: path.clone(), name, lines });
                is_open = true;
            } else if ENDING.contains(&first) || first.starts_with("allow-") {
                is_open = false;
                all.others.push(words);
            } else if let Some(stanza) = all.stanzas.last_mut().filter(|_| is_open) {
                stanza.lines.push(Entry { number, words, raw: line });
            } else {
                all.others.push(words);
            }
        }
    }
    all
}

fn not_used() -> Judged {
    Judged::only(Finding::skipped("ifupdown does not configure the network"))
}

fn lines(target: &Target) -> Result<Judged> {
    let Some(all) = interfaces(target)? else { return Ok(not_used()) };
    Ok(misread(&all, is_ng(&target.root)))
}

/// Which program reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Ifupdown,
    /// Its options belong to an interface, not to a stanza.
    Ng,
}

fn is_ng(root: &Root) -> Reader {
    let is_there = root.find_program("ifparse").is_some()
        || ["usr/libexec/ifupdown-ng", "etc/network/ifupdown-ng.conf"].iter().any(|path| root.exists(path));
    if is_there { Reader::Ng } else { Reader::Ifupdown }
}

fn misread(all: &Interfaces, reader: Reader) -> Judged {
    let mut faults = Vec::new();
    // addresses of an interface whose length stands in a line of its own
    let mut apart: BTreeMap<&str, Vec<(&Stanza, &Entry, &Entry)>> = BTreeMap::new();
    if reader == Reader::Ifupdown {
        faults.extend(all.stanzas.iter().filter_map(refused));
    }
    for stanza in &all.stanzas {
        for line in stanza.options().iter().filter(|line| line.word(0) == "address") {
            if line.word(2) == "netmask" {
                faults.push(on_one_line(stanza, line));
            }
        }
        if let (Some(address), Some(netmask)) = (stanza.option("address"), stanza.option("netmask"))
            && !address.word(1).contains('/')
        {
            apart.entry(&stanza.name).or_default().push((stanza, address, netmask));
        }
    }
    if reader == Reader::Ng {
        let several = apart.into_iter().filter(|(_, addresses)| addresses.len() > 1);
        faults.extend(several.map(|(name, addresses)| folded(name, &addresses)));
    }
    Judged { faults, otherwise: Finding::ok("every address and mask is read as it is meant") }
}

/// An `iface` line for which ifupdown refuses the whole file.
fn refused(stanza: &Stanza) -> Option<Fault> {
    const METHODS: [&str; 14] = [
        "static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll", "loopback", "auto",
        "v4tunnel", "6to4", "none", "dynamic",
    ];
    const FAMILIES: [&str; 9] = ["inet", "inet6", "ipx", "can", "link", "meta", "x25", "ax25", "tunnel"];
    let Stanza { path, name, lines } = stanza;
    let first = lines.first()?;
    if first.words.iter().any(|word| word == "inherits") {
        return None;
    }
    let what = match (first.word(2), first.word(3)) {
        _ if name.is_empty() => "names no interface".to_owned(),
        ("", _) => "has no address family (inet, inet6)".to_owned(),
        (family, _) if !FAMILIES.contains(&family) => {
            format!("has an address family that there is not: {family}")
        }
        (_, "") => "has no method (static, dhcp)".to_owned(),
        ("inet" | "inet6", method) if !METHODS.contains(&method) => {
            format!("has a method that there is not: {method}")
        }
        _ => return None,
    };
    let finding = Finding::fail(format!("ifupdown refuses the whole file: an iface line {what}"))
        .because("ifup: couldn't read interfaces file; no interface comes up, not even the others")
        .seen(format!("{path}:{}", first.number), first.words.join(" "))
        .about(name);
    let address = stanza.option("address").map(|line| line.word(1).split('/').next().unwrap_or_default());
    let family = match address.and_then(|address| address.parse().ok()) {
        Some(IpAddr::V4(_)) => "inet",
        Some(IpAddr::V6(_)) => "inet6",
        None => {
            let finding = finding.mend("write: iface NAME inet static, or dhcp, manual, loopback");
            return Some(Fault { finding, edits: Vec::new() });
        }
    };
    let line = format!("iface {name} {family} static");
    let edit =
        first.raw.as_ref().filter(|_| !name.is_empty()).map(|_| Edit::line(path, first.number, line.clone()));
    Some(Fault { finding: finding.mend(format!("write: {line}")), edits: edit.into_iter().collect() })
}

/// `address 2001:db8::1 netmask 64`, as agent 2.x writes the second IPv6 address.
fn on_one_line(stanza: &Stanza, line: &Entry) -> Fault {
    let Stanza { path, name, .. } = stanza;
    let finding = Finding::fail(format!("the address and the mask of {name} are on one line"))
        .because(
            "ifup: either \"local\" is duplicate, or \"netmask\" is a garbage; the address is never there",
        )
        .seen(format!("{path}:{}", line.number), line.words.join(" "))
        .about(name)
        .mend("put the netmask on a line of its own");
    let split = line.indent().filter(|_| line.words.len() == 4).map(|indent| {
        let lines = ["address", "netmask"].iter().zip([line.word(1), line.word(3)]);
        let text = lines.map(|(option, value)| format!("{indent}{option} {value}")).collect();
        Edit::Line { path: path.clone(), line: line.number, text }
    });
    Fault { finding, edits: split.into_iter().collect() }
}

fn folded(name: &str, addresses: &[(&Stanza, &Entry, &Entry)]) -> Fault {
    let mut finding = Finding::fail(format!("ifupdown-ng gives the addresses of {name} wrong prefixes"))
        .because(
            "it takes all stanzas of an interface for one: a netmask is not that of the address above it",
        )
        .about(name)
        .mend("write the prefix behind each address (address 192.0.2.10/24), without netmask");
    let mut edits = Some(Vec::new());
    for (stanza, address, netmask) in addresses {
        let Stanza { path, .. } = stanza;
        finding = finding.seen(format!("{path}:{}", netmask.number), netmask.words.join(" "));
        let net = crate::net::address_with_mask(address.word(1), Some(netmask.word(1)));
        let (Some(net), Some(indent), Some(_)) = (net, address.indent(), netmask.indent()) else {
            edits = None;
            continue;
        };
        if let Some(edits) = &mut edits {
            edits.push(Edit::line(path, address.number, format!("{indent}address {net}")));
            edits.push(Edit::drop(path, netmask.number));
        }
    }
    Fault { finding, edits: edits.unwrap_or_default() }
}

fn auto(target: &Target) -> Result<Judged> {
    let Some(all) = interfaces(target)? else { return Ok(not_used()) };
    Ok(never_raised(&all, target.survey()?))
}

fn never_raised(all: &Interfaces, survey: &Survey) -> Judged {
    // a mapping gives stanzas names that are not those of interfaces
    if all.others.iter().any(|words| words.first().is_some_and(|word| word == "mapping")) {
        return Judged::only(Finding::skipped("a mapping says which stanza is for which interface"));
    }
    let raised: Vec<&str> = all
        .others
        .iter()
        .filter(|words| words.first().is_some_and(|word| word == "auto" || word.starts_with("allow-")))
        .flat_map(|words| words[1..].iter().map(String::as_str))
        .collect();
    let by_hand: Vec<&str> = all
        .stanzas
        .iter()
        .flat_map(|stanza| stanza.options())
        .filter(|line| line.words.iter().any(|word| word.rsplit('/').next() == Some("ifup")))
        .flat_map(|line| line.words.iter().map(String::as_str))
        .collect();
    let mut faults: Vec<Fault> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for stanza in &all.stanzas {
        let Stanza { path, name, lines } = stanza;
        let is_raised =
            raised.iter().any(|pattern| glob::matches(pattern, name)) || by_hand.contains(&name.as_str());
        let Some(first) = lines.first() else { continue };
        if is_raised || seen.contains(&name.as_str()) || !is_of_host(stanza, survey) {
            continue;
        }
        seen.push(name);
        let finding = Finding::warn(format!("nothing raises {name} at boot"))
            .because("its addresses are not there after a reboot")
            .seen(format!("{path}:{}", first.number), first.words.join(" "))
            .about(name)
            .mend(format!("write 'auto {name}' above the stanza"))
            .by(&["ifup", name]);
        let edit = first.raw.clone().map(|raw| Edit::Line {
            path: path.clone(),
            line: first.number,
            text: vec![format!("auto {name}"), raw],
        });
        faults.push(Fault { finding, edits: edit.into_iter().collect() });
    }
    Judged { faults, otherwise: Finding::ok("every stanza of the host's NICs is raised") }
}

/// Whether a stanza is for a NIC that the host assigns addresses to, or for one of these addresses.
fn is_of_host(stanza: &Stanza, survey: &Survey) -> bool {
    let link = stanza.name.split(':').next().unwrap_or_default();
    let is_host = |interface: &crate::net::survey::Interface| {
        interface.link.name == link && interface.verdict == Some(Verdict::Host)
    };
    let Some(address) = stanza.option("address") else { return false };
    if survey.interfaces.iter().any(is_host) {
        return true;
    }
    let address = address.word(1).split('/').next().unwrap_or_default().parse::<IpAddr>();
    let (Ok(host), Ok(address)) = (&survey.host, address) else { return false };
    host.nics.iter().any(|nic| {
        nic.addresses4.iter().any(|net| IpAddr::from(net.addr()) == address)
            || nic.addresses6.iter().any(|net| IpAddr::from(net.addr()) == address)
    })
}

#[cfg(test)]
#[path = "eni/tests.rs"]
mod tests;
