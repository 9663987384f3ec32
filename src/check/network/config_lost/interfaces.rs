//! Stanzas and included files that a backup of `/etc/network/interfaces` has and the files of today have not.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::backups;
use super::super::fault::Edit;
use super::super::stanzas::{self, Stanza};
use super::{Lost, Own};
use crate::net::configured::Scan;
use crate::net::eni;
use crate::target::Target;

const DIR: &str = "etc/network";
const MAIN: &str = "etc/network/interfaces";
/// The most backups that are read.
const BACKUPS_MAX: usize = 50;

pub(super) fn lost(target: &Target, own: &Own) -> Result<Vec<Lost>> {
    let root = &target.root;
    if root.find_program("ifup").is_none() {
        return Ok(Vec::new());
    }
    let mut backups = backups::in_dir(root, DIR)?;
    backups.retain(|backup| backup.of == MAIN);
    backups.truncate(BACKUPS_MAX);
    let mut scan = Scan::of(root);
    let texts = if backups.is_empty() { Vec::new() } else { eni::texts(&mut scan) };
    // what the agent did not write anew it did not lose
    if !texts.iter().any(|(path, _)| path == MAIN) {
        scan.complete()?;
        return Ok(Vec::new());
    }
    let mut known = Known::default();
    for stanza in texts.iter().flat_map(|(_, text)| stanzas::of(text)) {
        known.take(&stanza);
    }
    let mut all = Vec::new();
    for backup in backups {
        let Some(text) = scan.text(&backup.path) else { continue };
        let raw: Vec<&str> = text.lines().collect();
        let stanzas = stanzas::of(&text);
        let mut of_backup = Known::default();
        for stanza in &stanzas {
            let missing = match stanza.interface() {
                Some(name) => !own.is(name) && !known.names.contains(name),
                None => {
                    is_include(stanza)
                        && !known.includes.contains(stanza.words())
                        && !of_backup.includes.contains(stanza.words())
                        && has_other_interface(&mut scan, stanza, own)
                }
            };
            if !missing {
                continue;
            }
            let danger = stanza.interface().and_then(|_| danger(stanza, own));
            let mut lines: Vec<String> = Vec::new();
            if let Some(name) = stanza.interface().filter(|name| !of_backup.names.contains(*name)) {
                lines.extend(raising(&stanzas, name));
            }
            let numbers = stanza.numbers(&raw);
            lines.extend(numbers.iter().filter_map(|number| raw.get(number - 1)).map(ToString::to_string));
            of_backup.take(stanza);
            all.push(Lost {
                what: stanza.words().get(1).cloned().unwrap_or_default(),
                backup: backup.clone(),
                line: stanza.first(),
                text: stanza.words().join(" "),
                danger,
                edits: vec![Edit::Append { path: MAIN.to_owned(), text: lines }],
            });
        }
        // of an interface that several backups have the newest counts
        known.names.extend(of_backup.names);
        known.includes.extend(of_backup.includes);
    }
    scan.complete()?;
    Ok(all)
}

/// What some files have.
#[derive(Default)]
struct Known {
    names: BTreeSet<String>,
    includes: BTreeSet<Vec<String>>,
}

impl Known {
    fn take(&mut self, stanza: &Stanza) {
        self.names.extend(stanza.interface().map(str::to_owned));
        if is_include(stanza) {
            self.includes.insert(stanza.words().to_vec());
        }
    }
}

fn is_include(stanza: &Stanza) -> bool {
    ["source", "source-directory", "source-dir"].iter().any(|word| stanza.is(word))
}

/// Whether the files that a line names are about more than the NICs; the directory of a stock system is empty.
fn has_other_interface(scan: &mut Scan, stanza: &Stanza, own: &Own) -> bool {
    let files = eni::included(scan, MAIN, stanza.words());
    let mut texts = files.iter().take(BACKUPS_MAX).filter_map(|file| scan.text(file));
    texts.any(|text| {
        let all = stanzas::of(&text);
        let names: Vec<&str> = all.iter().filter_map(Stanza::interface).collect();
        // a file that is about a NIC as well would configure that twice
        !names.is_empty()
            && names.iter().all(|name| !own.is(name))
            && all.iter().all(|stanza| danger(stanza, own).is_none())
    })
}

/// Returns the `auto` and `allow-hotplug` lines of an interface.
fn raising(stanzas: &[Stanza], name: &str) -> Vec<String> {
    let has_name = |stanza: &&Stanza| stanza.is_list() && stanza.words()[1..].iter().any(|word| word == name);
    let mut lines: Vec<String> =
        stanzas.iter().filter(has_name).map(|stanza| format!("{} {name}", stanza.words()[0])).collect();
    lines.dedup();
    lines
}

fn danger(stanza: &Stanza, own: &Own) -> Option<&'static str> {
    for line in &stanza.lines {
        let Some((option, values)) = line.words.split_first() else { continue };
        let option = option.replace('_', "-");
        let takes_ports =
            matches!(option.as_str(), "bridge-ports" | "bond-slaves" | "slaves" | "bond-primary");
        // a command can do the same: brctl addif br0 eth0, ip link set eth0 master br0
        let is_command = matches!(option.as_str(), "pre-up" | "up" | "post-up");
        let adds_port = is_command && values.iter().any(|word| matches!(word.as_str(), "addif" | "master"));
        if (takes_ports || adds_port) && values.iter().any(|name| own.is(name) || name == "all") {
            return Some("it takes a NIC of the host's for its port");
        }
        let is_own_address = |word: &String| {
            let address = word.split('/').next().unwrap_or_default();
            address.parse().is_ok_and(|address| own.addresses.contains(&address))
        };
        if option == "address" && values.iter().any(is_own_address) {
            return Some("it has an address that the host assigned to a NIC");
        }
    }
    None
}
