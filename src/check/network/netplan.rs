//! netplan: files that it refuses, files about another machine, files that everybody may read.
//!
//! `netplan generate` reads all files or none, so one wrong value leaves every NIC without configuration at the next
//! boot. What it refuses is read here and not asked of the program: a mounted disk's programs are not run.

mod refused;

use anyhow::Result;

use refused::{Refused, refused};

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged, edited};
use super::machine::Machine;
use crate::check::{Blocks, Check, Finding};
use crate::net::Mac;
use crate::net::configured::{Match, Scan};
use crate::net::netplan;
use crate::net::yaml::{self, Node, Value};
use crate::root::Root;
use crate::target::Target;

pub(super) const VALID: Check = Check {
    id: "netplan-valid",
    about: "netplan accepts its files",
    probe: |target| Ok(valid(&target.root)?.findings()),
    // it reads every file of the network, and could only say once more that this one cannot be read
    blocks: &[Blocks::Check("config-for-missing-nic")],
    fix: Some(|target| valid(&target.root)?.plan(target)),
    page: include_str!("../pages/netplan-valid.md"),
    ..TEMPLATE
};

pub(super) const MATCH: Check = Check {
    id: "netplan-match",
    about: "netplan's files are about this machine's NICs",
    probe: |target| Ok(matched(target)?.findings()),
    fix: Some(|target| matched(target)?.plan(target)),
    page: include_str!("../pages/netplan-match.md"),
    ..TEMPLATE
};

pub(super) const MODE: Check = Check {
    id: "netplan-mode",
    about: "only root may read netplan's files",
    probe: |target| Ok(mode(&target.root)?.findings()),
    fix: Some(|target| mode(&target.root)?.plan(target)),
    page: include_str!("../pages/netplan-mode.md"),
    ..TEMPLATE
};

/// Returns netplan's files with their texts; `None` where netplan is not installed or has none.
fn files(root: &Root) -> Result<Option<Vec<(String, String)>>> {
    if root.find_program("netplan").is_none() {
        return Ok(None);
    }
    let mut scan = Scan::of(root);
    let mut texts = Vec::new();
    for path in netplan::files(&mut scan) {
        if let Some(text) = scan.text(&path) {
            texts.push((path, text));
        }
    }
    scan.complete()?;
    Ok((!texts.is_empty()).then_some(texts))
}

fn not_used() -> Judged {
    Judged::only(Finding::skipped("netplan is not in use"))
}

fn valid(root: &Root) -> Result<Judged> {
    let Some(texts) = files(root)? else { return Ok(not_used()) };
    let mut faults = Vec::new();
    for (path, text) in &texts {
        let wrong = refused(text)?;
        let Some(first) = wrong.first() else { continue };
        let title = format!("netplan refuses {path}: {}", first.why);
        let mut finding = Finding::fail(title)
            .because(
                "netplan then configures no NIC of any file: the server is unreachable after the next boot",
            )
            .about(path);
        for wrong in wrong.iter().take(5) {
            finding = finding.seen(format!("{path}:{}", wrong.line), line_of(text, wrong.line));
        }
        let edits = repair(path, text, &wrong)?;
        finding = if edits.is_empty() {
            finding.mend(format!("correct /{path} at the line above, then let netplan check it"))
        } else {
            finding.mend(format!(
                "take what netplan refuses out of /{path}; novactl does, and nothing else goes"
            ))
        };
        finding = finding.by(&["netplan", "generate"]);
        faults.push(Fault { finding, edits });
    }
    Ok(Judged { faults, otherwise: Finding::ok("nothing that netplan refuses") })
}

fn line_of(text: &str, line: usize) -> String {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
    line.chars().take(200).collect()
}

/// Drops gateways without a value, each alone on its line, when nothing wrong is left by it.
fn repair(path: &str, text: &str, wrong: &[Refused]) -> Result<Vec<Edit>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut edits = Vec::new();
    for refused in wrong {
        let line = lines.get(refused.line.saturating_sub(1)).map_or("", |line| line.trim());
        let is_empty_gateway = line
            .strip_prefix("gateway")
            .and_then(|rest| rest.split_once(':'))
            .is_some_and(|(family, value)| {
                let value = value.split(" #").next().unwrap_or_default().trim();
                matches!(family, "4" | "6") && matches!(value, "" | "null" | "~" | "Null" | "NULL")
            });
        if !is_empty_gateway {
            return Ok(Vec::new());
        }
        edits.push(Edit::drop(path, refused.line));
    }
    let mended = String::from_utf8_lossy(&edited(text.as_bytes(), &edits)).into_owned();
    let is_whole = refused(&mended)?.is_empty() && same_definitions(text, &mended);
    Ok(if is_whole { edits } else { Vec::new() })
}

/// Whether every definition is still a mapping: one that had nothing but the line is none any more.
fn same_definitions(before: &str, after: &str) -> bool {
    let names = |text: &str| -> Vec<String> {
        let Ok(Some(document)) = yaml::parse(text) else { return Vec::new() };
        let Some(network) = document.get("network") else { return Vec::new() };
        let all = network.entries().iter().flat_map(|(_, section)| section.entries());
        all.filter(|(_, node)| matches!(node.value, Value::Map(_))).map(|(id, _)| id.clone()).collect()
    };
    names(before) == names(after)
}

fn matched(target: &Target) -> Result<Judged> {
    let Some(texts) = files(&target.root)? else { return Ok(not_used()) };
    let machine = match Machine::of(target)? {
        Ok(machine) => machine,
        Err(reason) => return Ok(Judged::only(Finding::skipped(reason))),
    };
    let entries = target.configuration().planned.iter().filter(|entry| entry.reader == "netplan");
    let all: Vec<Match> = entries.map(|entry| entry.to.clone()).collect();
    Ok(strangers(&texts, &machine, &all))
}

/// A MAC that a file matches, where it stands.
struct Stranger<'t> {
    id: String,
    path: &'t str,
    line: usize,
    mac: Mac,
}

fn strangers(texts: &[(String, String)], machine: &Machine, all: &[Match]) -> Judged {
    let mut found: Vec<Stranger> = Vec::new();
    // which ids each file defines
    let mut defined: Vec<(&str, Vec<String>)> = Vec::new();
    for (path, text) in texts {
        let Ok(Some(document)) = yaml::parse(text) else { continue };
        let section = document.get("network").and_then(|network| network.get("ethernets"));
        let entries = section.map(Node::entries).unwrap_or_default();
        defined.push((path, entries.iter().map(|(id, _)| id.clone()).collect()));
        for (id, definition) in entries {
            let Some(node) = definition.get("match").and_then(|matched| matched.get("macaddress")) else {
                continue;
            };
            let Some(mac) = node.text().and_then(|text| text.parse().ok()) else { continue };
            // the last file's value holds
            found.retain(|earlier| earlier.id != *id);
            found.push(Stranger { id: id.clone(), path, line: node.line, mac });
        }
    }
    let is_stale = |stranger: &Stranger| {
        let to = Match { names: Vec::new(), macs: vec![stranger.mac] };
        !machine.has(stranger.mac) && machine.is_missed_by(&to, all)
    };
    let faults = found.iter().filter(|stranger| is_stale(stranger)).map(|stranger| {
        let Stranger { id, path, line, mac } = stranger;
        let finding = Finding::fail(format!("netplan configures {id} only on a NIC {mac}, which this machine has not"))
            .because("the NIC gets no address: the file is of the server that the image was made from")
            .seen(format!("{path}:{line}"), format!("macaddress: {mac}"))
            .about(*path);
        let is_theirs = |id: &String| {
            defined.iter().any(|(other, ids)| other != path && ids.contains(id))
        };
        let is_spare = path.ends_with("/50-cloud-init.yaml")
            && defined.iter().any(|(own, ids)| own == path && ids.iter().all(is_theirs));
        let edits = if is_spare { vec![Edit::Remove { path: (*path).to_owned() }] } else { Vec::new() };
        let finding = if is_spare {
            finding
                .mend("remove the file, which another one replaces, and keep cloud-init from writing it again (network: {config: disabled})")
                .by(&["rm", &format!("/{path}")])
        } else {
            finding.mend("write the MAC of this machine's NIC, or configure the NICs as the host says")
        };
        Fault { finding: finding.by(&["netplan", "generate"]), edits }
    });
    Judged {
        faults: faults.collect(),
        otherwise: Finding::ok("every MAC is one of this machine's, or is not needed"),
    }
}

fn mode(root: &Root) -> Result<Judged> {
    const OTHERS: u32 = 0o004;
    let Some(texts) = files(root)? else { return Ok(not_used()) };
    let mut faults = Vec::new();
    for (path, _) in texts.iter().filter(|(path, _)| path.starts_with("etc/")) {
        let Some(stat) = root.stat_opt(path)? else { continue };
        if stat.mode & OTHERS == 0 {
            continue;
        }
        let finding = Finding::note(format!("{path} can be read by everyone"))
            .because("netplan warns of it at every call; passphrases of networks stand in such files")
            .seen(path, format!("mode {:04o}", stat.mode))
            .about(path)
            .mend("let root alone read it")
            .by(&["chmod", "0600", &format!("/{path}")]);
        faults.push(Fault { finding, edits: vec![Edit::Mode { path: path.clone(), mode: 0o600 }] });
    }
    Ok(Judged { faults, otherwise: Finding::ok("root alone may read them") })
}

#[cfg(test)]
#[path = "netplan_tests.rs"]
mod tests;
