//! A file of ifupdown, cut into its stanzas with the lines that they are made of, so that one can be taken out or put
//! back as it was written.

use crate::net::eni::{self, Line};

/// Words that begin something new and end the stanza before.
const BEGINNING: [&str; 10] = [
    "auto",
    "iface",
    "mapping",
    "no-auto-down",
    "no-scripts",
    "rename",
    "source",
    "source-dir",
    "source-directory",
    "template",
];

/// A line that begins something, with what belongs to it.
pub(super) struct Stanza {
    /// Its logical lines, the beginning first.
    pub(super) lines: Vec<Line>,
}

impl Stanza {
    pub(super) fn words(&self) -> &[String] {
        self.lines.first().map_or(&[], |line| &line.words)
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.words().first().is_some_and(|first| first == word)
    }

    /// Returns the interface of an `iface` stanza.
    pub(super) fn interface(&self) -> Option<&str> {
        self.words().get(1).filter(|_| self.is("iface")).map(String::as_str)
    }

    /// Whether it is a list of interfaces that are raised: `auto`, `allow-hotplug`.
    pub(super) fn is_list(&self) -> bool {
        self.words().first().is_some_and(|first| is_list(first))
    }

    /// Returns the line that it begins on.
    pub(super) fn first(&self) -> usize {
        self.lines.first().map_or(0, |line| line.number)
    }

    /// Returns the number of each physical line, those that a backslash joins as well.
    pub(super) fn numbers(&self, text: &[&str]) -> Vec<usize> {
        let mut numbers = Vec::new();
        for line in &self.lines {
            let mut number = line.number;
            numbers.push(number);
            while text.get(number - 1).is_some_and(|raw| raw.ends_with('\\')) && number < text.len() {
                number += 1;
                numbers.push(number);
            }
        }
        numbers
    }
}

fn is_list(word: &str) -> bool {
    word == "auto" || word.starts_with("allow-")
}

/// Returns the stanzas of a file in its order. Options before the first one belong to none and are left out.
pub(super) fn of(text: &str) -> Vec<Stanza> {
    let mut stanzas: Vec<Stanza> = Vec::new();
    for line in eni::lines(text) {
        let first = line.words.first().map(String::as_str).unwrap_or_default();
        if BEGINNING.contains(&first) || is_list(first) {
            stanzas.push(Stanza { lines: vec![line] });
        } else if let Some(stanza) = stanzas.last_mut() {
            stanza.lines.push(line);
        }
    }
    stanzas
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stanza_has_all_its_lines() {
        let text = "x\nauto br0\niface br0 inet manual\n  # c\n  bridge_ports \\\n    eth0\n\nsource a\n";
        let raw: Vec<&str> = text.lines().collect();
        let all = of(text);
        let short: Vec<_> = all.iter().map(|s| (s.interface(), s.is_list(), s.numbers(&raw))).collect();
        assert_eq!(
            short,
            [(None, true, vec![2]), (Some("br0"), false, vec![3, 5, 6]), (None, false, vec![8])]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_cut(text in "((auto|iface|source|up|x) ?[a-z0-9 ]{0,6}\\\\?\n?){0,8}") {
            let raw: Vec<&str> = text.lines().collect();
            for stanza in of(&text) {
                prop_assert!(stanza.numbers(&raw).iter().all(|&number| number >= 1 && number <= raw.len()));
            }
        }
    }
}
