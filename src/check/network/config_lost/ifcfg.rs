//! ifcfg files that a network reset moved away and that nothing has taken the place of.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::backups::{self, Backup};
use super::super::fault::Edit;
use super::{Lost, Own};
use crate::net::assignments::{self, Variable};
use crate::net::configured::{Planned, Scan};
use crate::net::ifcfg::{self, RED_HAT, SUSE};
use crate::target::Target;

/// The most backups that are read.
const BACKUPS_MAX: usize = 200;

pub(super) fn lost(target: &Target, own: &Own) -> Result<Vec<Lost>> {
    let root = &target.root;
    let mut all = Vec::new();
    for (dir, is_read) in [(RED_HAT, ifcfg::has_red_hat_reader(root)), (SUSE, ifcfg::has_suse_reader(root))] {
        if !is_read {
            continue;
        }
        let mut scan = Scan::of(root);
        let present: Vec<(String, Vec<Variable>)> = ifcfg::files(&mut scan, dir)
            .into_iter()
            .filter_map(|path| scan.text(&path).map(|text| (path, assignments::parse(&text))))
            .collect();
        let mut done: BTreeSet<String> = BTreeSet::new();
        for backup in backups::in_dir(root, dir)?.into_iter().take(BACKUPS_MAX) {
            let is_ifcfg = backup.of.rsplit('/').next().is_some_and(|name| name.starts_with("ifcfg-"));
            // of several backups the newest counts
            if !is_ifcfg || !done.insert(backup.of.clone()) || root.lstat_opt(&backup.of)?.is_some() {
                continue;
            }
            let Some(text) = scan.text(&backup.path) else { continue };
            let variables = assignments::parse(&text);
            all.extend(owners_alias(&backup, &text, &variables, &present, own));
            let Some(planned) = ifcfg::planned(&backup.of, &variables, None) else { continue };
            let Some(name) = planned.to.single().filter(|name| !is_own(name, &planned, own)) else {
                continue;
            };
            let is_about = |planned: &Planned| planned.to.single() == Some(name);
            let is_replaced = present
                .iter()
                .any(|(path, variables)| ifcfg::planned(path, variables, None).is_some_and(|p| is_about(&p)));
            if variables.is_empty() || is_replaced {
                continue;
            }
            let first = assignments::last(&variables, "DEVICE").or_else(|| variables.first());
            all.push(Lost {
                what: name.to_owned(),
                line: first.map_or(0, |variable| variable.line),
                text: first.map_or_else(String::new, |v| format!("{}={}", v.name, v.value)),
                danger: danger(name, &planned, &present, own),
                edits: vec![Edit::Move { path: backup.path.clone(), to: backup.of.clone() }],
                backup,
            });
        }
        scan.complete()?;
    }
    Ok(all)
}

/// Whether the file is for a NIC: the host's, or one of the machine that an image was made from.
fn is_own(name: &str, planned: &Planned, own: &Own) -> bool {
    let has_mac = planned.to.macs.iter().any(|mac| own.macs.contains(mac));
    own.is(name) || has_mac || (planned.kind.is_nic() && !planned.to.macs.is_empty())
}

/// An alias of a NIC that the owner made: the files of both agents begin with a line that says so. Its address can be
/// one of the server that an image was made from.
fn owners_alias(
    backup: &Backup,
    text: &str,
    variables: &[Variable],
    present: &[(String, Vec<Variable>)],
    own: &Own,
) -> Option<Lost> {
    let (_, name) = backup.of.rsplit_once("ifcfg-")?;
    let address = assignments::last(variables, "IPADDR").filter(|_| name.contains(':'))?;
    let is_agents = text.contains("Automatically generated, do not edit");
    let is_assigned = address.value.parse().is_ok_and(|address| own.addresses.contains(&address));
    let has_it = |variable: &Variable| variable.name.starts_with("IPADDR") && variable.value == address.value;
    if is_agents || is_assigned || present.iter().any(|(_, variables)| variables.iter().any(has_it)) {
        return None;
    }
    Some(Lost {
        what: name.to_owned(),
        line: address.line,
        text: format!("{}={}", address.name, address.value),
        danger: Some("only its owner knows whether its address is still this server's"),
        edits: Vec::new(),
        backup: backup.clone(),
    })
}

fn danger(
    name: &str,
    planned: &Planned,
    present: &[(String, Vec<Variable>)],
    own: &Own,
) -> Option<&'static str> {
    let is_port = |variables: &Vec<Variable>| {
        ["BRIDGE", "MASTER", "TEAM_MASTER"].iter().any(|key| assignments::value(variables, key) == name)
    };
    if present.iter().any(|(_, variables)| is_port(variables)) {
        return Some("it takes a NIC of the host's for its port");
    }
    let has_own = planned.addresses.iter().any(|net| own.addresses.contains(&net.addr()));
    has_own.then_some("it has an address that the host assigned to a NIC")
}
