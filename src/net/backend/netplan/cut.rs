//! Taking stanzas out of a file of netplan and leaving the rest as a person wrote it.
//!
//! Lines are cut by indentation; the result is read again and has to mean what is left of the document. Where it does
//! not (flow style, anchors that others use), what is left is written anew in JSON, which is YAML, without comments.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::{Map, Value as Json};

use super::super::super::yaml::{self, Node, Value};
use super::stanza::{File, SECTION};

/// The most nodes of a document that is written anew: an alias counts as often as it is used.
const NODES_MAX: usize = 50_000;
/// The most stanzas that are cut out line by line.
const CUTS_MAX: usize = 100;

/// Returns the file without these Ethernet links; `None` when it then says nothing.
///
/// # Errors
/// The document is too large.
pub(super) fn without(file: &File, ids: &BTreeSet<&str>) -> Result<Option<String>> {
    let mut rest = plain(&file.document, &mut 0)?;
    let is_last = remove(&mut rest, ids);
    if says_nothing(&rest) {
        return Ok(None);
    }
    let network = file.document.get("network");
    let section = network.and_then(|network| network.get(SECTION));
    let mut lines: Vec<&str> = file.text.split_inclusive('\n').collect();
    let removed: Vec<(&str, &Node)> = match (section, is_last) {
        (Some(section), true) => vec![(SECTION, section)],
        (Some(section), false) => {
            let entries = section.entries().iter().filter(|(id, _)| ids.contains(id.as_str()));
            entries.map(|(id, node)| (id.as_str(), &**node)).collect()
        }
        (None, _) => Vec::new(),
    };
    // from the end, so that line numbers stay right
    for (key, value) in removed.into_iter().rev().take(CUTS_MAX) {
        cut(&mut lines, key, value.line);
    }
    let text = lines.concat();
    let is_right = yaml::parse(&text)
        .ok()
        .flatten()
        .is_some_and(|left| plain(&left, &mut 0).is_ok_and(|left| left == rest));
    Ok(Some(if is_right { text } else { format!("{rest:#}\n") }))
}

/// Takes the links out of the document, and the section when none is left, which is returned.
fn remove(document: &mut Json, ids: &BTreeSet<&str>) -> bool {
    let Some(network) = document.get_mut("network").and_then(Json::as_object_mut) else { return false };
    let Some(section) = network.get_mut(SECTION).and_then(Json::as_object_mut) else { return false };
    section.retain(|id, _| !ids.contains(id.as_str()));
    let is_last = section.is_empty();
    if is_last {
        network.remove(SECTION);
    }
    is_last
}

/// Whether nothing is left but the version and the renderer that netplan has anyway.
fn says_nothing(document: &Json) -> bool {
    let is_default = |(key, value): (&String, &Json)| match key.as_str() {
        "version" => true,
        "renderer" => value == "networkd",
        _ => false,
    };
    let Some(all) = document.as_object() else { return false };
    let network = all.get("network").and_then(Json::as_object);
    all.len() == 1 && network.is_some_and(|network| network.iter().all(is_default))
}

/// Cuts the lines of a key whose value begins on line `value` (from 1), with everything that is indented deeper.
fn cut(lines: &mut Vec<&str>, key: &str, value: usize) {
    let is_key = |line: &&str| {
        let line = line.trim_start();
        let rest = [key.to_owned(), format!("\"{key}\""), format!("'{key}'")]
            .iter()
            .find_map(|k| line.strip_prefix(k.as_str()));
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    let Some(first) = lines.iter().take(value).rposition(is_key) else { return };
    let indent = |line: &str| line.len() - line.trim_start().len();
    let of_key = indent(lines[first]);
    let belongs =
        |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#') || indent(line) > of_key;
    let mut end = first + 1 + lines[first + 1..].iter().take_while(belongs).count();
    // what stands above the next key belongs to it
    while end > first + 1 && (lines[end - 1].trim().is_empty() || indent(lines[end - 1]) <= of_key) {
        end -= 1;
    }
    lines.drain(first..end);
}

/// Returns the document without its lines.
fn plain(node: &Node, nodes: &mut usize) -> Result<Json> {
    *nodes += 1;
    if *nodes > NODES_MAX {
        bail!("more than {NODES_MAX} values");
    }
    Ok(match &node.value {
        Value::Scalar(text) => Json::String(text.clone()),
        Value::List(items) => {
            Json::Array(items.iter().map(|item| plain(item, nodes)).collect::<Result<_>>()?)
        }
        Value::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                map.insert(key.clone(), plain(value, nodes)?);
            }
            Json::Object(map)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> Option<File> {
        let document = yaml::parse(text).ok().flatten()?;
        Some(File {
            path: "etc/netplan/x.yaml".to_owned(),
            text: text.to_owned(),
            document: Rc::clone(&document),
        })
    }

    fn left(text: &str) -> Option<String> {
        without(&file(text).unwrap(), &BTreeSet::from(["eth0"])).unwrap()
    }

    #[test]
    fn what_cannot_be_cut_by_line_is_written_anew_and_means_the_same() {
        let rows = [
            // an anchor that another stanza uses
            "network:\n  ethernets:\n    eth0: &nic\n      mtu: 1400\n    eth1: *nic\n",
            // flow style
            "network: {ethernets: {eth0: {mtu: 1400}, eth1: {mtu: 1400}}}\n",
            // a line that looks like the key
            "network:\n  ethernets:\n    eth1:\n      mtu: 1400\n    ? eth0\n    : {eth0: x}\n",
        ];
        for text in rows {
            let left = yaml::parse(&left(text).unwrap()).unwrap().unwrap();
            let want = serde_json::json!({"network": {"ethernets": {"eth1": {"mtu": "1400"}}}});
            assert_eq!(plain(&left, &mut 0).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn a_document_whose_aliases_multiply_is_refused() {
        let mut text =
            String::from("network: {ethernets: {eth0: {}}}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let error = without(&file(&text).unwrap(), &BTreeSet::from(["eth0"])).unwrap_err();
        assert_eq!(error.to_string(), "more than 50000 values");
    }

    proptest! {
        #[test]
        fn of_any_file_the_rest_means_what_it_meant(
            text in "network:\n(  (ethernets|vlans|version):\n(    (eth0|\"eth0\"|b|# c):( x|\n      mtu: 1\n      a: [x,\n        y]| \\{\\}|)\n){0,4}){0,3}"
        ) {
            if let Some(file) = file(&text) {
                let ids = BTreeSet::from(["eth0"]);
                if let Some(left) = without(&file, &ids).unwrap() {
                    let mut want = plain(&file.document, &mut 0).unwrap();
                    remove(&mut want, &ids);
                    let left = yaml::parse(&left).unwrap().unwrap();
                    prop_assert_eq!(plain(&left, &mut 0).unwrap(), want);
                }
            }
        }
    }
}
