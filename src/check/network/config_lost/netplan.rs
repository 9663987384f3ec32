//! Bridges, bonds, VLANs and tunnels that a backup of one of netplan's files has and the files of today have not.
//!
//! Each comes back in a file of its own. One that names a link which no file defines would have netplan refuse all
//! files, so that is left to hands.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::backups::{self, Backup};
use super::super::fault::Edit;
use super::{Lost, Own};
use crate::net::configured::Scan;
use crate::net::netplan;
use crate::net::yaml::{self, Node};
use crate::target::Target;

const DIR: &str = "etc/netplan";
/// The most backups that are read.
const BACKUPS_MAX: usize = 50;
/// What is made by software; a NIC of the host's is in none of them.
const SECTIONS: [&str; 6] = ["bonds", "bridges", "dummy-devices", "tunnels", "vlans", "vrfs"];

pub(super) fn lost(target: &Target, own: &Own) -> Result<Vec<Lost>> {
    let root = &target.root;
    if root.find_program("netplan").is_none() {
        return Ok(Vec::new());
    }
    let mut scan = Scan::of(root);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for path in netplan::files(&mut scan) {
        // what netplan refuses is another check's affair; nothing is added to it
        match scan.text(&path).map(|text| yaml::parse(&text)) {
            Some(Ok(Some(document))) => known.extend(ids(&document)),
            Some(Err(_)) => return Ok(Vec::new()),
            _ => {}
        }
    }
    let defined = known.clone();
    let mut all = Vec::new();
    let mut backups = backups::in_dir(root, DIR)?;
    backups.retain(|backup| backup.of.ends_with(".yaml"));
    for backup in backups.into_iter().take(BACKUPS_MAX) {
        let Some(text) = scan.text(&backup.path) else { continue };
        let Ok(Some(document)) = yaml::parse(&text) else { continue };
        let Some(network) = document.get("network") else { continue };
        for section in SECTIONS {
            for (id, node) in network.get(section).map(Node::entries).unwrap_or_default() {
                if !own.is(id) && known.insert(id.clone()) {
                    let danger = danger(node, &defined, own);
                    all.push(of_definition(target, &backup, &text, (section, id, node), danger)?);
                }
            }
        }
    }
    scan.complete()?;
    Ok(all)
}

/// Returns every name that a document defines.
pub(super) fn ids(document: &Node) -> Vec<String> {
    let sections = document.get("network").map(Node::entries).unwrap_or_default();
    sections.iter().flat_map(|(_, section)| section.entries()).map(|(id, _)| id.clone()).collect()
}

fn danger(node: &Node, defined: &BTreeSet<String>, own: &Own) -> Option<&'static str> {
    let items = |key: &str| node.get(key).map(Node::items).unwrap_or_default();
    let ports: Vec<&str> = items("interfaces").iter().filter_map(|port| port.text()).collect();
    if ports.iter().any(|port| own.is(port)) {
        return Some("it takes a NIC of the host's for its port");
    }
    let mut links = ports.into_iter().chain(node.get("link").and_then(Node::text));
    if links.any(|link| !defined.contains(link)) {
        return Some("it builds on a link that no file defines, and netplan would refuse all files");
    }
    let is_own = |text: &str| {
        let address = text.split('/').next().unwrap_or_default();
        address.parse().is_ok_and(|address| own.addresses.contains(&address))
    };
    let has_own = items("addresses").iter().filter_map(|address| address.text()).any(is_own);
    has_own.then_some("it has an address that the host assigned to a NIC")
}

fn of_definition(
    target: &Target,
    backup: &Backup,
    text: &str,
    (section, id, node): (&str, &str, &Node),
    danger: Option<&'static str>,
) -> Result<Lost> {
    let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let path = format!("{DIR}/95-restored-{id}.yaml");
    let lines = if is_plain && target.root.lstat_opt(&path)?.is_none() {
        cut(text, section, id, node.line)
    } else {
        None
    };
    let edits =
        lines.map(|text| vec![Edit::Append { path: path.clone(), text }, Edit::Mode { path, mode: 0o600 }]);
    let is_by_hand = edits.is_none();
    Ok(Lost {
        what: id.to_owned(),
        backup: backup.clone(),
        line: node.line,
        text: format!("{section}: {id}"),
        danger: danger.or(is_by_hand.then_some("it cannot be taken out of the backup by its lines")),
        edits: edits.unwrap_or_default(),
    })
}

/// Returns a file with this definition alone, in the words of the backup; `None` where it is not written in lines of
/// its own, or uses an anchor of another place.
fn cut(text: &str, section: &str, id: &str, value: usize) -> Option<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_key = |line: &&str| line.trim_start().strip_prefix(id).is_some_and(|rest| rest.starts_with(':'));
    let first = lines.iter().take(value).rposition(is_key)?;
    let of_key = indent(lines[first]);
    let mut out: Vec<String> =
        vec!["network:".to_owned(), "  version: 2".to_owned(), format!("  {section}:")];
    let below = lines[first + 1..].iter().take_while(|line| line.trim().is_empty() || indent(line) > of_key);
    for line in std::iter::once(&lines[first]).chain(below).filter(|line| !line.trim().is_empty()) {
        out.push(format!("    {}", line.get(of_key..)?));
    }
    let document = yaml::parse(&(out.join("\n") + "\n")).ok().flatten()?;
    (ids(&document) == [id]).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_definition_is_cut_out_with_its_lines() {
        let text = "network:\n    bridges:\n        br0:\n            addresses:\n            - 10.9.0.1/24\n\n        br1: {}\n";
        let head = ["network:", "  version: 2", "  bridges:"];
        let of = |id: &str, line| cut(text, "bridges", id, line);
        let want = [&head[..], &["    br0:", "        addresses:", "        - 10.9.0.1/24"]].concat();
        assert_eq!(of("br0", 4).unwrap(), want);
        assert_eq!(of("br1", 7).unwrap(), [&head[..], &["    br1: {}"]].concat());
        assert_eq!(cut("network: {bridges: {br0: {}}}\n", "bridges", "br0", 1), None);
        assert_eq!(cut("network:\n  bridges:\n    br0: *x\n", "bridges", "br0", 3), None);
    }

    proptest! {
        #[test]
        fn any_text_is_cut(text in "((network|bridges|br0|é| |  )(:|: \\{\\}|: x)?\n){0,8}", line in 0_usize..12) {
            let _ = cut(&text, "bridges", "br0", line);
        }
    }
}
