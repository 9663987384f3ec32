//! Assignments in the shell's syntax: os-release, rc.conf, conf.d.
//!
//! Quotes and backslashes are taken off as sh would; variables and commands stay as they are written. Whether a line
//! is reached (`if`, functions) is not judged: every `NAME=value` that begins a command counts.

/// One `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment<'t> {
    /// The variable.
    pub(super) name: &'t str,
    /// Its value without quotes.
    pub(super) value: String,
    /// Line of the name, from 1.
    pub(super) line: usize,
}

/// Returns the assignments of a text in order.
pub(super) fn assignments(text: &str) -> Assignments<'_> {
    Assignments { rest: text.trim_start_matches('\u{feff}'), line: 1 }
}

/// Returns the last value of a variable, which is the one that counts.
pub(super) fn last<'t>(text: &'t str, name: &str) -> Option<Assignment<'t>> {
    assignments(text).filter(|assignment| assignment.name == name).last()
}

/// An iterator over the assignments of a text.
pub(super) struct Assignments<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Iterator for Assignments<'t> {
    type Item = Assignment<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.skip(blank);
            if self.rest.is_empty() {
                return None;
            }
            let rest = self.rest.strip_prefix("export ").map_or(self.rest, str::trim_start);
            let after_name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let name = &rest[..rest.len() - after_name.len()];
            let Some(value) = after_name.strip_prefix('=').filter(|_| !name.is_empty()) else {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
                continue;
            };
            let line = self.line;
            let (text, used) = word(value);
            self.skip(self.rest.len() - value.len() + used);
            return Some(Assignment { name, value: text, line });
        }
    }
}

impl Assignments<'_> {
    fn skip(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }
}

/// Returns the word at the beginning of a text without its quotes, and its length in the text with what ends it.
fn word(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (None | Some('"'), '\\') => match chars.next() {
                None | Some((_, '\n')) => {}
                Some((_, c)) => {
                    if quote.is_some() && !matches!(c, '"' | '$' | '`' | '\\') {
                        word.push('\\');
                    }
                    word.push(c);
                }
            },
            (None, ';') => return (word, at + 1),
            (None, c) if c.is_whitespace() => return (word, at),
            (_, c) => word.push(c),
        }
    }
    (word, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_are_taken_off_as_sh_does() {
        for (text, value) in [
            ("A=plain", "plain"),
            ("A=\"two words\" # comment", "two words"),
            ("A='it''s'", "its"),
            (r#"A="a \"b\" \$c \d""#, r#"a "b" $c \d"#),
            (r"A=a\ b", "a b"),
            ("A=\"${name}_enable\"", "${name}_enable"),
            ("A=b;B=c", "b"),
            ("A=", ""),
            ("export A=x", "x"),
            ("\tA=x\r", "x"),
            ("A=1\nA=2", "2"),
            ("A='open", "open"),
            ("A='two\nlines'", "two\nlines"),
        ] {
            assert_eq!(last(text, "A").unwrap().value, value, "{text}");
        }
    }

    #[test]
    fn only_commands_that_are_assignments_count() {
        let text = "# A=1\n: ${A:=2}\n  B=\"x\nC=y\"\n\necho A=3\nD=4; E=5\n";
        let all: Vec<_> = assignments(text).map(|a| (a.name, a.value, a.line)).collect();
        let expected = [("B", "x\nC=y", 3), ("D", "4", 7), ("E", "5", 7)];
        assert_eq!(all, expected.map(|(name, value, line)| (name, value.to_owned(), line)));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            assignments(&text).count();
        }

        #[test]
        fn any_shell_like_text_is_read(text in "[A=\"'\\\\;#\n x\u{e9}]{0,40}") {
            assignments(&text).count();
        }
    }
}
