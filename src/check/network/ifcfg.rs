//! ifcfg and route files of the Red Hat family: lines that initscripts or NetworkManager ignore, misread or refuse.
//!
//! A file is judged only where something reads it, and an assignment only when it is the last of its name.
//! Source: initscripts' sysconfig.txt, `network-functions` and `ifup-eth`, NetworkManager's nm-settings-ifcfg-rh(5).

use std::collections::BTreeMap;

use anyhow::Result;
use ipnet::IpNet;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use super::machine::Machine;
use crate::check::{Check, Finding, Status};
use crate::facts::init::Enabled;
use crate::net::assignments::{self, Variable};
use crate::net::configured::{Match, Scan};
use crate::net::ifcfg::{self, RED_HAT};
use crate::net::links::Kind;
use crate::root::Root;
use crate::target::Target;

pub(super) const NM_CONTROLS_NIC: Check = Check {
    id: "nm-controls-nic",
    about: "NetworkManager may configure the NICs that only it can",
    probe: |target| Ok(nm_controls(target)?.findings()),
    fix: Some(|target| nm_controls(target)?.plan(target)),
    page: include_str!("../pages/nm-controls-nic.md"),
    ..TEMPLATE
};

pub(super) const HWADDR: Check = Check {
    id: "ifcfg-hwaddr",
    about: "HWADDR in ifcfg files is of this machine's NICs",
    probe: |target| Ok(hwaddr(target)?.findings()),
    fix: Some(|target| hwaddr(target)?.plan(target)),
    page: include_str!("../pages/ifcfg-hwaddr.md"),
    ..TEMPLATE
};

pub(super) const KEYS: Check = Check {
    id: "ifcfg-keys",
    about: "the keys of ifcfg files are real and do not contradict each other",
    probe: |target| Ok(keys(&target.root)?.findings()),
    fix: Some(|target| keys(&target.root)?.plan(target)),
    page: include_str!("../pages/ifcfg-keys.md"),
    ..TEMPLATE
};

pub(super) const ROUTE_FILE: Check = Check {
    id: "route-file-name",
    about: "route files have the name of an interface",
    probe: |target| Ok(route_files(&target.root)?.findings()),
    fix: Some(|target| route_files(&target.root)?.plan(target)),
    page: include_str!("../pages/route-file-name.md"),
    ..TEMPLATE
};

/// A file with its assignments.
struct File {
    path: String,
    variables: Vec<Variable>,
}

impl File {
    fn value(&self, name: &str) -> &str {
        assignments::value(&self.variables, name)
    }

    /// Whether an assignment is the last of its name.
    fn holds(&self, variable: &Variable) -> bool {
        assignments::last(&self.variables, &variable.name) == Some(variable)
    }

    /// Returns which NIC it configures at boot; `None` for a link of another kind, an alias, and `ONBOOT=no`.
    fn nic(&self) -> Option<Match> {
        let planned = ifcfg::planned(&self.path, &self.variables, None)?;
        (planned.kind == Kind::ETHERNET && planned.at_boot).then_some(planned.to)
    }
}

/// Returns the files, or nothing where no program reads them.
fn files(root: &Root) -> Result<Vec<File>> {
    if !ifcfg::has_red_hat_reader(root) {
        return Ok(Vec::new());
    }
    let mut scan = Scan::of(root);
    let mut files = Vec::new();
    for path in ifcfg::files(&mut scan, RED_HAT) {
        if let Some(text) = scan.text(&path) {
            files.push(File { path, variables: assignments::parse(&text) });
        }
    }
    scan.complete()?;
    Ok(files)
}

fn not_used() -> Judged {
    Judged::only(Finding::skipped("no ifcfg files that something reads"))
}

fn nm_controls(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let files = files(root)?;
    if files.is_empty() {
        return Ok(not_used());
    }
    let scripts = target.services().named(root, "network")?;
    let are_started = match &scripts {
        Some(service) => matches!(service.enabled, Enabled::Yes(_)),
        // one of another name runs them
        None => ifcfg::has_scripts(root),
    };
    if are_started {
        return Ok(Judged::only(Finding::ok(
            "the service network configures what NetworkManager leaves alone",
        )));
    }
    if !super::network_manager::starts(target)? {
        return Ok(Judged::only(Finding::skipped("NetworkManager is not started at boot")));
    }
    Ok(Judged {
        faults: files.iter().filter_map(left_alone).collect(),
        otherwise: Finding::ok("NetworkManager may configure every NIC"),
    })
}

fn left_alone(file: &File) -> Option<Fault> {
    let line =
        assignments::last(&file.variables, "NM_CONTROLLED").filter(|v| assignments::is_no(&v.value))?;
    let nic = file.nic()?;
    let path = &file.path;
    let name = nic.names.first()?;
    let finding =
        Finding::fail(format!("NetworkManager must leave {name} alone, and nothing else configures it"))
            .because("the NIC has no address after the next boot: no service network starts on this system")
            .seen(format!("{path}:{}", line.line), format!("NM_CONTROLLED={}", line.value))
            .about(path)
            .mend("remove the line, and have NetworkManager read the file again")
            .by(&["nmcli", "connection", "load", &format!("/{path}")])
            .by(&["nmcli", "device", "connect", name]);
    let edits = all_of(file, "NM_CONTROLLED").map(|line| Edit::drop(path, line)).collect();
    Some(Fault { finding, edits })
}

fn all_of<'f>(file: &'f File, name: &'f str) -> impl Iterator<Item = usize> + 'f {
    file.variables.iter().filter(move |v| v.name == name).map(|v| v.line)
}

fn hwaddr(target: &Target) -> Result<Judged> {
    let files = files(&target.root)?;
    if files.is_empty() {
        return Ok(not_used());
    }
    Ok(match Machine::of(target)? {
        Ok(machine) => strangers(&files, &machine),
        Err(reason) => Judged::only(Finding::skipped(reason)),
    })
}

fn strangers(files: &[File], machine: &Machine) -> Judged {
    let all: Vec<Match> = files.iter().filter_map(File::nic).collect();
    let mut faults = Vec::new();
    for file in files {
        let Some(nic) = file.nic() else { continue };
        let Some(line) = assignments::last(&file.variables, "HWADDR") else { continue };
        let is_stale = nic.macs.iter().any(|mac| !machine.has(*mac)) && machine.is_missed_by(&nic, &all);
        if !is_stale {
            continue;
        }
        let path = &file.path;
        let name = nic.names.first().map_or("", String::as_str);
        let finding = Finding::fail(format!("{path} is for a NIC {}, which this machine has not", line.value))
            .because("initscripts: Device has different MAC address than expected, ignoring; NetworkManager leaves the NIC alone as well")
            .seen(format!("{path}:{}", line.line), format!("HWADDR={}", line.value))
            .about(path)
            .mend(format!("remove the line: DEVICE={name} says which NIC is meant"));
        let has_device = !file.value("DEVICE").is_empty();
        let edits = if has_device {
            all_of(file, "HWADDR").map(|line| Edit::drop(path, line)).collect()
        } else {
            Vec::new()
        };
        faults.push(Fault { finding, edits });
    }
    Judged { faults, otherwise: Finding::ok("every HWADDR is one of this machine's, or is not needed") }
}

fn keys(root: &Root) -> Result<Judged> {
    let files = files(root)?;
    if files.is_empty() {
        return Ok(not_used());
    }
    Ok(Judged {
        faults: files.iter().filter_map(keys_of).collect(),
        otherwise: Finding::ok("no key that is unknown, doubled or contradicted"),
    })
}

/// What is wrong with the keys of one file.
#[derive(Default)]
struct Wrong {
    status: Option<Status>,
    title: String,
    why: &'static str,
    seen: Vec<(usize, String)>,
    edits: Vec<Edit>,
    /// Whether part of it is left to hands; then all of it is, for a file that is half mended counts as not mended.
    needs_hands: bool,
}

impl Wrong {
    /// The worst is the title; every line is shown.
    fn add(&mut self, status: Status, title: String, why: &'static str, lines: &[&Variable]) {
        if self.status < Some(status) {
            (self.status, self.title, self.why) = (Some(status), title, why);
        }
        self.seen.extend(lines.iter().map(|v| (v.line, format!("{}={}", v.name, v.value))));
    }
}

fn keys_of(file: &File) -> Option<Fault> {
    let mut wrong = Wrong::default();
    no_gateway(file, &mut wrong);
    numbered_ipv6(file, &mut wrong);
    contradicting_masks(file, &mut wrong);
    doubled(file, &mut wrong);
    let path = &file.path;
    let title = format!("{path}: {}", wrong.title);
    let finding = match wrong.status? {
        Status::Fail => Finding::fail(title),
        _ => Finding::warn(title),
    };
    wrong.seen.sort();
    wrong.seen.dedup();
    let finding = finding
        .because(wrong.why)
        .about(path)
        .mend("correct these lines, or have the file written anew as the host says: novactl reset-network");
    let finding = wrong
        .seen
        .into_iter()
        .take(8)
        .fold(finding, |finding, (line, text)| finding.seen(format!("{path}:{line}"), text));
    Some(Fault { finding, edits: if wrong.needs_hands { Vec::new() } else { wrong.edits } })
}

/// `IPV6_DEFAULTGW=None%eth0`, as agent 2.x writes the gateway of a network that has none.
fn no_gateway(file: &File, wrong: &mut Wrong) {
    let Some(gateway) = assignments::last(&file.variables, "IPV6_DEFAULTGW") else { return };
    if !gateway.value.starts_with("None%") {
        return;
    }
    wrong.add(
        Status::Fail,
        format!("the IPv6 gateway is '{}'", gateway.value),
        "the network has no gateway, and the interface comes up with an error",
        &[gateway],
    );
    wrong.edits.extend(all_of(file, "IPV6_DEFAULTGW").map(|line| Edit::drop(&file.path, line)));
}

/// `IPV6ADDR1`, which is no key of anything: the address is never configured.
fn numbered_ipv6(file: &File, wrong: &mut Wrong) {
    let is_numbered = |v: &&Variable| {
        v.name
            .strip_prefix("IPV6ADDR")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let address = |text: &str| text.parse::<IpNet>().ok().filter(|net| net.addr().is_ipv6());
    let mut have: Vec<IpNet> = std::iter::once(file.value("IPV6ADDR"))
        .chain(file.value("IPV6ADDR_SECONDARIES").split_whitespace())
        .filter_map(address)
        .collect();
    let first_new = have.len();
    let mut lines = Vec::new();
    for variable in file.variables.iter().filter(is_numbered).filter(|v| file.holds(v)) {
        let Some(net) = address(&variable.value).filter(|net| !have.contains(net)) else { continue };
        have.push(net);
        lines.push(variable);
    }
    let Some(first) = lines.first() else { return };
    wrong.add(
        Status::Fail,
        format!("{} is no key: {} is never configured", first.name, first.value),
        "the key of further IPv6 addresses is IPV6ADDR_SECONDARIES",
        &lines,
    );
    let mut words: Vec<String> =
        file.value("IPV6ADDR_SECONDARIES").split_whitespace().map(str::to_owned).collect();
    words.extend(have[first_new..].iter().map(ToString::to_string));
    let secondaries = format!("IPV6ADDR_SECONDARIES=\"{}\"", words.join(" "));
    let place = assignments::last(&file.variables, "IPV6ADDR_SECONDARIES").map_or(first.line, |v| v.line);
    for variable in file.variables.iter().filter(is_numbered).filter(|v| v.line != place) {
        wrong.edits.push(Edit::drop(&file.path, variable.line));
    }
    wrong.edits.push(Edit::line(&file.path, place, secondaries));
}

/// PREFIX beats NETMASK. Which of them is right only the host's data can say.
fn contradicting_masks(file: &File, wrong: &mut Wrong) {
    for prefix in file.variables.iter().filter(|v| file.holds(v)) {
        let Some(ending) = prefix.name.strip_prefix("PREFIX") else { continue };
        if !ending.bytes().all(|b| b.is_ascii_digit()) || file.value(&format!("IPADDR{ending}")).is_empty() {
            continue;
        }
        let Some(netmask) = assignments::last(&file.variables, &format!("NETMASK{ending}")) else { continue };
        let Ok(mask) = netmask.value.parse() else { continue };
        let (Ok(length), Ok(other)) = (prefix.value.parse::<u8>(), ipnet::ip_mask_to_prefix(mask)) else {
            continue;
        };
        if length != other {
            wrong.needs_hands = true;
            wrong.add(
                Status::Fail,
                format!(
                    "{}={length} and {}={} contradict each other",
                    prefix.name, netmask.name, netmask.value
                ),
                "the prefix wins: a leftover of an older file gives the NIC a wrong network",
                &[prefix, netmask],
            );
        }
    }
}

/// The same key twice with different values. The last holds, so the others can go.
fn doubled(file: &File, wrong: &mut Wrong) {
    let mut of_name: BTreeMap<&str, Vec<&Variable>> = BTreeMap::new();
    for variable in &file.variables {
        of_name.entry(&variable.name).or_default().push(variable);
    }
    for (name, lines) in of_name {
        let Some((last, earlier)) = lines.split_last() else { continue };
        // a value that builds on the former one is no contradiction
        if !is_network_key(name) || lines.iter().any(|v| v.value.contains('$')) {
            continue;
        }
        if earlier.iter().all(|v| v.value == last.value) {
            continue;
        }
        wrong.add(
            Status::Warn,
            format!("{name} is set {} times, to different values", lines.len()),
            "only the last one holds; the others are left over from another network",
            &lines,
        );
        let is_edited = |line: usize| {
            wrong.edits.iter().any(|edit| matches!(edit, Edit::Line { line: other, .. } if *other == line))
        };
        let drops: Vec<Edit> =
            earlier.iter().filter(|v| !is_edited(v.line)).map(|v| Edit::drop(&file.path, v.line)).collect();
        wrong.edits.extend(drops);
    }
}

/// Keys that say where a NIC is; the numbered IPv6 addresses are judged on their own.
fn is_network_key(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(stem, "IPADDR" | "NETMASK" | "PREFIX" | "GATEWAY" | "HWADDR" | "BOOTPROTO" | "DEVICE" | "ONBOOT")
        || matches!(name, "IPV6ADDR" | "IPV6ADDR_SECONDARIES" | "IPV6_DEFAULTGW")
}

fn route_files(root: &Root) -> Result<Judged> {
    if !ifcfg::has_red_hat_reader(root) {
        return Ok(not_used());
    }
    let mut scan = Scan::of(root);
    let names: Vec<String> = scan.files(RED_HAT, "");
    let mut faults = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for path in names {
        let Some((link, to)) = alias_of(&path) else { continue };
        let Some(text) = scan.text(&path).filter(|text| has_route(text)) else { continue };
        let first = text.lines().find(|line| has_route(line)).unwrap_or_default();
        let there = root.text_opt(&to)?;
        let edits = if there.as_ref() == Some(&text) {
            vec![Edit::Remove { path: path.clone() }]
        } else if there.is_none() && !taken.contains(&to) {
            taken.push(to.clone());
            vec![Edit::Move { path: path.clone(), to: to.clone() }]
        } else {
            Vec::new()
        };
        let finding = Finding::warn(format!("nothing reads {path}"))
            .because(format!(
                "routes are read of the interface, not of its alias: those of {link} are missing"
            ))
            .seen(&path, first.chars().take(120).collect::<String>())
            .about(&path)
            .mend(format!("give its routes to {to}"));
        let finding = if there.is_none() {
            finding.by(&["mv", "-n", &format!("/{path}"), &format!("/{to}")])
        } else {
            finding
        };
        faults.push(Fault { finding, edits });
    }
    scan.complete()?;
    Ok(Judged { faults, otherwise: Finding::ok("every route file has the name of an interface") })
}

/// `route-eth1:1`: the interface, and the path that its routes belong in.
fn alias_of(path: &str) -> Option<(&str, String)> {
    let (dir, name) = path.rsplit_once('/')?;
    let (kind, alias) = name.split_once('-').filter(|(kind, _)| matches!(*kind, "route" | "route6"))?;
    let (link, number) = alias.split_once(':')?;
    // anything behind the number is a backup
    let is_alias = !link.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_alias.then(|| (link, format!("{dir}/{kind}-{link}")))
}

fn has_route(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
#[path = "ifcfg_tests.rs"]
mod tests;
