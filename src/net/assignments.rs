//! Files that a shell reads for their variables: ifcfg files and `/etc/sysconfig/network`, `/etc/default`.
//!
//! Only assignments are understood; commands, expansions and conditions are left alone, as NetworkManager's own
//! reader of ifcfg files does.

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// The value without its quotes.
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// Returns every assignment in the order of the file.
pub(crate) fn parse(text: &str) -> Vec<Variable> {
    let variable = |(place, line): (usize, &str)| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = line.split_once('=')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name) {
            return None;
        }
        Some(Variable { name: name.to_owned(), value: word(value), line: place + 1 })
    };
    text.lines().enumerate().filter_map(variable).collect()
}

/// Returns the last assignment of a variable: the one that holds.
pub(crate) fn last<'v>(variables: &'v [Variable], name: &str) -> Option<&'v Variable> {
    variables.iter().rev().find(|variable| variable.name == name)
}

/// Returns the last value of a variable; empty when it is not set.
pub(crate) fn value<'v>(variables: &'v [Variable], name: &str) -> &'v str {
    last(variables, name).map_or("", |variable| &variable.value)
}

/// Whether a value means yes, as initscripts and wicked read it.
pub(crate) fn is_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "yes" | "true" | "t" | "y" | "1" | "on")
}

/// Whether a value means no.
pub(crate) fn is_no(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "f" | "n" | "0" | "off")
}

/// The first word of a command line, without quotes and backslashes.
fn word(text: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None | Some('"'), '\\') => out.extend(chars.next()),
            (None, c) if c.is_whitespace() || c == ';' => break,
            (_, c) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_lose_their_quotes_and_comments() {
        let cases = [
            ("A=b", "b"),
            ("A=\"b c\" # d", "b c"),
            ("A='b\\c'", "b\\c"),
            ("A=b\\ c", "b c"),
            ("  export A=b;C=d", "b"),
            ("A=", ""),
        ];
        for (text, want) in cases {
            assert_eq!(value(&parse(text), "A"), want, "{text}");
        }
    }

    #[test]
    fn the_last_assignment_holds_and_comments_are_none() {
        let read = parse("A=1\n#A=2\nA=3\nif [ x = y ]\n");
        assert_eq!(read.iter().map(|v| (v.value.as_str(), v.line)).collect::<Vec<_>>(), [("1", 1), ("3", 3)]);
        assert_eq!(value(&read, "A"), "3");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,60}") {
            parse(&text);
        }
    }
}
