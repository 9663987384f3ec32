//! YAML with line numbers, bounded: what a file of configuration is, not what YAML can be.
//!
//! An alias shares the node it names, so that a "billion laughs" file costs what its text costs. Depth and the
//! number of nodes are limited. Merge keys (`<<`) are not followed: netplan's reader (libyaml) does not either.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use saphyr_parser::{Event, Parser};

/// The longest text that is read, in bytes.
const TEXT_MAX: usize = 1 << 20;
/// The deepest nesting.
const DEPTH_MAX: usize = 64;

/// A node and the line that it begins on.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) line: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(String),
    List(Vec<Rc<Node>>),
    /// Keys that are scalars, in the order of the file; a repeated key is kept twice.
    Map(Vec<(String, Rc<Node>)>),
}

impl Node {
    /// Returns the last value of a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().rev().find(|(name, _)| name == key).map(|(_, node)| &**node)
    }

    /// Returns the entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[(String, Rc<Node>)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Rc<Node>] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is a scalar that netplan reads as true.
    pub(crate) fn is_true(&self) -> bool {
        self.text()
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "on" | "yes" | "y"))
    }
}

/// A list or mapping that is not closed yet.
struct Open {
    line: usize,
    anchor: usize,
    value: Value,
    /// The key that waits for its value.
    key: Option<String>,
    /// Whether the next node is a key.
    wants_key: bool,
}

/// Returns the first document; `None` when there is none.
///
/// # Errors
/// The text is not YAML (the message names the line), too long or too deep.
pub(crate) fn parse(text: &str) -> Result<Option<Rc<Node>>> {
    if text.len() > TEXT_MAX {
        bail!("{} bytes, more than {TEXT_MAX} are not read", text.len());
    }
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Rc<Node>> = HashMap::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event?;
        let line = span.start.line();
        let (node, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => (scalar(text, line), anchor),
            Event::Alias(anchor) => (
                anchors
                    .get(&anchor)
                    .cloned()
                    .with_context(|| format!("an alias of nothing in line {line}"))?,
                0,
            ),
            Event::SequenceStart(anchor, _) => {
                let value = Value::List(Vec::new());
                open.push(Open { line, anchor, value, key: None, wants_key: false });
                continue;
            }
            Event::MappingStart(anchor, _) => {
                let value = Value::Map(Vec::new());
                open.push(Open { line, anchor, value, key: None, wants_key: true });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { continue };
                (Rc::new(Node { value: closed.value, line: closed.line }), closed.anchor)
            }
            Event::DocumentEnd | Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
        };
        if open.len() > DEPTH_MAX {
            bail!("deeper than {DEPTH_MAX} levels in line {line}");
        }
        if anchor != 0 {
            anchors.insert(anchor, Rc::clone(&node));
        }
        match open.last_mut() {
            Some(parent) => parent.add(node),
            None => return Ok(Some(node)),
        }
    }
    Ok(None)
}

fn scalar(text: Cow<'_, str>, line: usize) -> Rc<Node> {
    Rc::new(Node { value: Value::Scalar(text.into_owned()), line })
}

impl Open {
    fn add(&mut self, node: Rc<Node>) {
        match &mut self.value {
            Value::List(items) => items.push(node),
            Value::Map(_) if self.wants_key => {
                self.key = node.text().map(str::to_owned);
                self.wants_key = false;
            }
            Value::Map(entries) => {
                // a key that is no scalar is nothing that any configuration has
                if let Some(key) = self.key.take() {
                    entries.push((key, node));
                }
                self.wants_key = true;
            }
            Value::Scalar(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nodes_know_their_lines() {
        let root =
            parse("# a comment\nnetwork:\n  ethernets:\n    eth0: {dhcp4: yes, addresses: [a, 'b']}\n")
                .unwrap()
                .unwrap();
        let eth0 = root.get("network").and_then(|n| n.get("ethernets")).and_then(|n| n.get("eth0")).unwrap();
        assert_eq!(eth0.line, 4);
        assert!(eth0.get("dhcp4").unwrap().is_true());
        let items: Vec<_> = eth0.get("addresses").unwrap().items().iter().map(|item| item.text()).collect();
        assert_eq!(items, [Some("a"), Some("b")]);
    }

    #[test]
    fn aliases_do_not_multiply() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..40 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let root = parse(&text).unwrap().unwrap();
        assert_eq!(root.get("a39").unwrap().items().len(), 9);
    }

    #[test]
    fn what_is_too_deep_or_broken_is_an_error() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        let deep = format!("{}{}", "[".repeat(80), "]".repeat(80));
        assert!(parse(&deep).unwrap_err().to_string().contains("deeper"));
        assert!(parse("a: b: c").is_err());
        assert!(parse("a: *nothing").is_err());
        assert!(parse("").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_a_document_or_an_error(text in "[-a:&* \n\\[\\]{}\"'#|>,x]{0,60}") {
            let _ = parse(&text);
        }
    }
}
