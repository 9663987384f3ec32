//! A NIC taken out of the file by which a second program configures it, and what of that is left to hands.
//!
//! The file stays, and everything else in it. What another program or a package wrote (`/run`, `/usr/lib`) comes back,
//! and a pattern means NICs that are not in dispute, so neither is changed.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Nic;
use crate::check::network::fault::{Edit, Fault};
use crate::check::network::{eni, network_manager};
use crate::net::backend;
use crate::net::configured::{Planned, Scan};
use crate::net::{assignments, eni as net_eni, ini};
use crate::root::Root;
use crate::target::Target;

/// The edits, or why a person has to make them.
type Way = Result<Vec<Edit>, String>;

fn hand(why: impl Into<String>) -> Result<Way> {
    Ok(Err(why.into()))
}

/// Returns the edits that take a NIC out of the file that an entry is from.
///
/// # Errors
/// A file cannot be read.
pub(super) fn edits(nic: &Nic, entry: &Planned, target: &Target) -> Result<Way> {
    let (root, name) = (&target.root, nic.name.as_str());
    let path = entry.seen.source.rsplit_once(':').map_or(entry.seen.source.as_str(), |(path, _)| path);
    if !path.starts_with("etc/") {
        return hand("whoever wrote the file writes it again");
    }
    match entry.reader {
        "ifupdown" => of_interfaces(name, target),
        "NetworkManager" => {
            let text = root.text_opt(path)?.unwrap_or_default();
            match network_manager::switch(path, &text, &ini::parse(&text)) {
                Some(edit) => Ok(Ok(vec![edit])),
                None => hand("the profile has no [connection]"),
            }
        }
        "networkd" => of_network_file(nic, path, entry, root),
        "netplan" => of_netplan(entry, root),
        "ifcfg" => of_ifcfg(path, root),
        reader => hand(format!("it is a file of {reader}")),
    }
}

/// Makes one edit of those that each take a NIC out of the same line: `auto eth0 eth1`, `Name=eth0 eth1`.
pub(super) fn join(faults: &mut [Fault]) {
    let mut lines: BTreeMap<(String, usize), Vec<String>> = BTreeMap::new();
    let words =
        |text: &str| text.replacen('=', "= ", 1).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let single = |edit: &Edit| match edit {
        Edit::Line { path, line, text } if text.len() == 1 => Some(((path.clone(), *line), words(&text[0]))),
        _ => None,
    };
    for (place, of_edit) in faults.iter().flat_map(|fault| &fault.edits).filter_map(single) {
        let left = lines.entry(place).or_insert_with(|| of_edit.clone());
        left.retain(|word| of_edit.contains(word));
    }
    for edit in faults.iter_mut().flat_map(|fault| &mut fault.edits) {
        let Some((place, of_edit)) = single(edit) else { continue };
        match lines.get(&place).map(Vec::as_slice) {
            Some(left) if left.len() == of_edit.len() => {}
            Some([key]) if key == "Name=" => {
                *edit = Edit::Move { to: format!("{}.disabled", place.0), path: place.0 };
            }
            Some([_]) | None => *edit = Edit::drop(&place.0, place.1),
            Some(left) => *edit = Edit::line(&place.0, place.1, left.join(" ").replacen("= ", "=", 1)),
        }
    }
}

/// Moves a file that is about this NIC alone aside; of several names, drops one.
fn of_network_file(nic: &Nic, path: &str, entry: &Planned, root: &Root) -> Result<Way> {
    let is_by_mac =
        entry.to.names.is_empty() && matches!(entry.to.macs.as_slice(), [mac] if Some(*mac) == nic.mac);
    if is_by_mac || entry.to.single() == Some(nic.name.as_str()) {
        return Ok(Ok(vec![Edit::Move { path: path.to_owned(), to: format!("{path}.disabled") }]));
    }
    let settings = ini::parse(&root.text_opt(path)?.unwrap_or_default());
    let mut lines = settings.iter().filter(|s| s.section == "Match" && s.key == "Name");
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return hand("its [Match] is not one line of names");
    };
    let (ours, rest): (Vec<&str>, Vec<&str>) =
        line.value.split_whitespace().partition(|word| *word == nic.name);
    let means_it_too = |word: &&str| word.starts_with('!') || crate::glob::matches(word, &nic.name);
    if ours.is_empty() || rest.is_empty() || rest.iter().any(means_it_too) {
        return hand(format!("Name={} means more NICs than {}", line.value, nic.name));
    }
    Ok(Ok(vec![Edit::line(path, line.line, format!("Name={}", rest.join(" ")))]))
}

/// Takes the stanza out of every file of netplan.
fn of_netplan(entry: &Planned, root: &Root) -> Result<Way> {
    let Some(id) = entry.seen.text.strip_prefix("ethernets: ") else {
        return hand("it is no plain NIC there");
    };
    if let Err(why) = backend::without_netplan(root, &[id]) {
        return hand(format!("{why:#}"));
    }
    Ok(Ok(vec![Edit::Unplan { id: id.to_owned() }]))
}

/// Has nothing raise the NIC at boot. The name of the file stays: initscripts read any ending that they do not know.
fn of_ifcfg(path: &str, root: &Root) -> Result<Way> {
    const OFF: &str = "ONBOOT=no";
    let variables = assignments::parse(&root.text_opt(path)?.unwrap_or_default());
    Ok(Ok(vec![match assignments::last(&variables, "ONBOOT") {
        Some(variable) => Edit::line(path, variable.line, OFF),
        None => Edit::Append { path: path.to_owned(), text: vec![OFF.to_owned()] },
    }]))
}

fn of_interfaces(name: &str, target: &Target) -> Result<Way> {
    let Some(all) = eni::interfaces(target)? else { return hand("its files cannot be followed") };
    let mut edits = Vec::new();
    let is_of = |other: &str| other.split(':').next() == Some(name);
    for stanza in all.stanzas.iter().filter(|stanza| is_of(&stanza.name)) {
        for line in &stanza.lines {
            if line.raw.is_none() {
                return hand("a line of its stanza goes on behind a backslash");
            }
            edits.push(Edit::drop(&stanza.path, line.number));
        }
    }
    // an `auto` without its stanza makes `ifup -a` fail
    let mut scan = Scan::of(&target.root);
    for (path, text) in net_eni::texts(&mut scan) {
        for line in net_eni::lines(&text) {
            let is_auto = line.words.first().is_some_and(|word| word == "auto" || word.starts_with("allow-"));
            if !is_auto || !line.words[1..].iter().any(|word| is_of(word)) {
                continue;
            }
            let rest: Vec<&str> = line.words.iter().map(String::as_str).filter(|word| !is_of(word)).collect();
            edits.push(if rest.len() == 1 {
                Edit::drop(&path, line.number)
            } else {
                Edit::line(&path, line.number, rest.join(" "))
            });
        }
    }
    scan.complete()?;
    Ok(Ok(edits))
}
