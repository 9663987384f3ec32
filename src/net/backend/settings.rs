//! A file of shell assignments that is edited in place, as sysrc(8) does: rc.conf, conf.d/net, netctl's profiles.
//!
//! Text that is no assignment, and assignments of others, stay byte for byte. The last assignment holds. What stands in
//! a function, a condition or a loop is read, but never edited: whether it is reached only the shell knows. It refuses
//! to expand anything: `$x` stays `$x`.

use std::collections::BTreeSet;

use crate::net::intent::WRITTEN;

/// A parsed file.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pieces: Vec<Piece>,
}

/// A part of the file: an assignment with what leads to it and what follows on its line, or other text.
#[derive(Debug, Clone)]
struct Piece {
    /// Blanks and `export` before an assignment; all of another text.
    before: String,
    assignment: Option<Assignment>,
    /// What follows the assignment: blanks, a comment, the end of the line.
    after: String,
}

#[derive(Debug, Clone)]
struct Assignment {
    name: String,
    /// As it is written, with the name.
    raw: String,
    /// The words of an array, otherwise the value.
    values: Vec<String>,
    is_array: bool,
    /// `+=`
    is_added: bool,
    /// It stands in a function, a condition or a loop.
    is_nested: bool,
}

/// What a variable is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// One text.
    Text(String),
    /// An array of bash.
    Array(Vec<String>),
}

impl Value {
    /// Returns one text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

impl Assignment {
    fn of(name: &str, value: &Value) -> Self {
        let (raw, values) = match value {
            Value::Text(text) => (quoted(text), vec![text.clone()]),
            Value::Array(words) => {
                let words_quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                (format!("({})", words_quoted.join(" ")), words.clone())
            }
        };
        Self {
            name: name.to_owned(),
            raw: format!("{name}={raw}"),
            values,
            is_array: matches!(value, Value::Array(_)),
            is_added: false,
            is_nested: false,
        }
    }
}

impl Settings {
    /// Reads a file.
    pub(crate) fn of(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut depth = 0_usize;
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, used) = match assignment(rest, depth > 0) {
                Some(found) => found,
                None => {
                    let used = command_end(rest);
                    let command = &rest[..used];
                    depth = depth_after(command, depth);
                    (Piece { before: command.to_owned(), assignment: None, after: String::new() }, used)
                }
            };
            pieces.push(piece);
            rest = &rest[used..];
        }
        Self { pieces }
    }

    /// Returns the names that are assigned, in the order of the file.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.assignments().map(|assignment| assignment.name.as_str())
    }

    /// Returns the words of an array, or the one value of a variable, and none where nothing assigns it.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        for assignment in self.assignments().filter(|assignment| assignment.name == name) {
            match (assignment.is_added, assignment.is_array, values.first_mut()) {
                (false, ..) => values.clone_from(&assignment.values),
                (true, false, Some(value)) => *value += &assignment.values.concat(),
                (true, ..) => values.extend(assignment.values.iter().cloned()),
            }
        }
        values
    }

    /// Returns the value of a variable, of an array one line per word; `None` where nothing assigns it.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.assignments().any(|assignment| assignment.name == name).then(|| self.values(name).join("\n"))
    }

    /// Makes a variable have this value: in place where the last assignment can be edited, otherwise at the end.
    pub(crate) fn set(&mut self, name: &str, value: &Value) {
        let is_it = |piece: &Piece| piece.assignment.as_ref().is_some_and(|it| it.name == name);
        let last = self.pieces.iter_mut().rfind(|piece| is_it(piece));
        let new = Assignment::of(name, value);
        match last.and_then(|piece| piece.assignment.as_mut()) {
            Some(old) if !old.is_nested && !old.is_added => {
                if old.is_array != new.is_array || old.values != new.values {
                    *old = new;
                }
            }
            Some(_) | None => self.append(new),
        }
    }

    /// Sets these variables; of the others, those that are `is_own` go.
    pub(crate) fn have(&mut self, wanted: &[(String, Value)], is_own: impl Fn(&str) -> bool) {
        let names: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        self.remove(|name| is_own(name) && !names.contains(name));
        wanted.iter().for_each(|(name, value)| self.set(name, value));
    }

    /// Takes away what would win over these variables in a file that is read before this one, and what `is_own`. Where
    /// that cannot be edited, this file says the same.
    pub(crate) fn give_way(&mut self, wanted: &[(String, Value)], is_own: impl Fn(&str) -> bool) {
        let names: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        self.remove(|name| is_own(name) || names.contains(name));
        for (name, value) in wanted {
            if self.value(name).is_some() {
                self.set(name, value);
            }
        }
    }

    /// Takes away what assigns a variable whose name `is_gone`. One that is also assigned where nothing can be edited is
    /// emptied instead.
    pub(crate) fn remove(&mut self, is_gone: impl Fn(&str) -> bool) {
        let nested = self.assignments().filter(|it| it.is_nested && is_gone(&it.name));
        let nested: BTreeSet<String> = nested.map(|it| it.name.clone()).collect();
        self.pieces.retain(|piece| {
            let name = piece.assignment.as_ref().map(|it| it.name.as_str());
            !name.is_some_and(|name| is_gone(name) && !nested.contains(name))
        });
        for name in nested {
            if self.value(&name).is_some_and(|value| !value.is_empty()) {
                self.set(&name, &Value::text(""));
            }
        }
    }

    /// Returns the file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            text.push_str(&piece.before);
            if let Some(assignment) = &piece.assignment {
                text.push_str(&assignment.raw);
            }
            text.push_str(&piece.after);
        }
        text
    }

    fn assignments(&self) -> impl DoubleEndedIterator<Item = &Assignment> {
        self.pieces.iter().filter_map(|piece| piece.assignment.as_ref())
    }

    fn append(&mut self, assignment: Assignment) {
        self.end_line();
        let all: String = self
            .pieces
            .iter()
            .filter(|piece| piece.assignment.is_none())
            .map(|p| p.before.as_str())
            .collect();
        if depth_of(&all) > 0 {
            // what stands open above would have the new assignments taken for its own at the next look
            self.pieces.push(Piece {
                before: format!("# below: {WRITTEN}\n"),
                assignment: None,
                after: String::new(),
            });
        }
        self.pieces.push(Piece {
            before: String::new(),
            assignment: Some(assignment),
            after: "\n".to_owned(),
        });
    }

    fn end_line(&mut self) {
        if let Some(last) = self.pieces.last_mut() {
            let end = if last.assignment.is_some() { &mut last.after } else { &mut last.before };
            if !end.ends_with('\n') {
                end.push('\n');
            }
        }
    }
}

/// Returns the assignment at the beginning of a text, with its length there; `None` where another command begins.
fn assignment(text: &str, is_nested: bool) -> Option<(Piece, usize)> {
    let blank = text.len() - text.trim_start_matches([' ', '\t']).len();
    let exported = text[blank..]
        .strip_prefix("export ")
        .map_or(0, |rest| 7 + rest.len() - rest.trim_start_matches(' ').len());
    let start = blank + exported;
    let (name, is_added, value) = name_of(&text[start..])?;
    let (values, is_array, length) = word(value);
    let end = text.len() - value.len() + length;
    let rest = &text[end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    let next = &rest[blanks..];
    let after = match next.chars().next() {
        None => rest,
        Some('\n') => &rest[..=blanks],
        Some('#') if blanks > 0 => &rest[..next.find('\n').map_or(rest.len(), |at| blanks + at + 1)],
        Some(';') if !next.starts_with(";;") => {
            let more = next[1..].len() - next[1..].trim_start_matches([' ', '\t']).len();
            let newline = usize::from(next[1 + more..].starts_with('\n'));
            &rest[..blanks + 1 + more + newline]
        }
        _ if blanks > 0 && name_of(next).is_some() => &rest[..blanks],
        // an assignment for one command, or something that is none
        Some(_) => return None,
    };
    let piece = Piece {
        before: text[..start].to_owned(),
        assignment: Some(Assignment {
            name: name.to_owned(),
            raw: text[start..end].to_owned(),
            values,
            is_array,
            is_added,
            is_nested,
        }),
        after: after.to_owned(),
    };
    Some((piece, end + after.len()))
}

/// Splits `NAME=value` and `NAME+=value`; whether it is the latter stands between them.
fn name_of(text: &str) -> Option<(&str, bool, &str)> {
    let length = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(value) = rest.strip_prefix("+=") {
        return Some((name, true, value));
    }
    rest.strip_prefix('=').map(|value| (name, false, value))
}

/// Returns the words of the value at the beginning of a text, whether it is an array, and its length there.
fn word(text: &str) -> (Vec<String>, bool, usize) {
    let is_array = text.starts_with('(');
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut is_open = false;
    let mut quote = None;
    // how many `$(` stand open
    let mut commands = 0_usize;
    let mut chars = text.char_indices().skip(usize::from(is_array)).peekable();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (quote, c) {
            (Some(open), c) if c == open => {
                quote = None;
                if c == '`' {
                    word.push(c);
                }
            }
            (Some('\'' | '`'), c) => word.push(c),
            (_, '\\') => {
                let escaped = chars.next().map(|(_, c)| c);
                if quote.is_some() && !escaped.is_some_and(|c| "\"\\$`\n".contains(c)) {
                    word.push('\\');
                }
                word.extend(escaped.filter(|c| *c != '\n'));
                is_open |= escaped.is_some_and(|c| c != '\n');
            }
            (_, '$') if next == Some('(') => {
                commands += 1;
                word.push_str("$(");
                is_open = true;
                chars.next();
            }
            (_, ')') if commands > 0 => {
                commands -= 1;
                word.push(c);
            }
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, is_open) = (Some(c), true),
            (None, '`') => {
                (quote, is_open) = (Some(c), true);
                word.push(c);
            }
            (None, ')') if is_array => {
                end = at + 1;
                break;
            }
            (None, '#') if is_array && !is_open => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            (None, c) if c.is_whitespace() && commands == 0 => {
                if !is_array {
                    end = at;
                    break;
                }
                if std::mem::take(&mut is_open) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, ';' | '&' | '|' | '<' | '>') if !is_array && commands == 0 => {
                end = at;
                break;
            }
            (None, c) => {
                is_open = true;
                word.push(c);
            }
        }
    }
    if is_open || !is_array {
        words.push(word);
    }
    (words, is_array, end)
}

/// Returns where the command or comment at the beginning of a text ends, its newline included.
fn command_end(text: &str) -> usize {
    let is_comment = text.trim_start_matches([' ', '\t']).starts_with('#');
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\n') => return at + 1,
            _ if is_comment => {}
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
    }
    text.len()
}

fn depth_of(text: &str) -> usize {
    text.lines().fold(0, |depth, line| depth_after(line, depth))
}

/// Returns how many functions, conditions and loops stand open after a command.
fn depth_after(command: &str, depth: usize) -> usize {
    let line = command.trim();
    if line.starts_with('#') {
        // whatever stands open above such a line is closed
        return if line.ends_with(WRITTEN) { 0 } else { depth };
    }
    let words = line.split(|c: char| c.is_whitespace() || c == ';').take_while(|word| !word.starts_with('#'));
    words.fold(depth, |depth, word| match word {
        "if" | "case" | "for" | "while" | "until" | "select" | "{" | "(" => depth + 1,
        "fi" | "esac" | "done" | "}" | ")" => depth.saturating_sub(1),
        word if word.ends_with("(){") => depth + 1,
        _ => depth,
    })
}

/// Puts a value into double quotes. Dollars and backticks stay what they were in the value that was read.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "# by hand\nhostname=\"web01\"\nifconfig_xn0='inet 192.0.2.1/24' # old\n\
        a=1; b=2\nexport c=3\nroutes=( \"10.0.0.0/8 via 192.0.2.9\" # one\n  'x y' )\nroutes+=(z)\nd=x true\n\
        preup() {\n\te=1\n\treturn 0\n}\nmulti=\"one\ntwo\"\nifconfig_xn0=\"DHCP\"\n";

    #[test]
    fn values_are_those_that_a_shell_sees() {
        let file = Settings::of(FILE);
        for (name, want) in [
            ("hostname", &["web01"][..]),
            ("ifconfig_xn0", &["DHCP"]),
            ("a", &["1"]),
            ("b", &["2"]),
            ("c", &["3"]),
            ("routes", &["10.0.0.0/8 via 192.0.2.9", "x y", "z"]),
            ("d", &[]),
            ("e", &["1"]),
            ("multi", &["one\ntwo"]),
        ] {
            assert_eq!(file.values(name), want, "{name}");
        }
        let escaped = Settings::of(r#"a="q \" b \\ \$ \x";b='it'"'"s;c=$(echo a b);d=`echo a b`"#);
        let values: Vec<_> = escaped.names().map(|name| escaped.values(name).concat()).collect();
        assert_eq!(values, [r#"q " b \ $ \x"#, "it's", "$(echo a b)", "`echo a b`"]);
    }

    #[test]
    fn the_last_assignment_is_edited_and_all_else_stays() {
        let mut file = Settings::of(FILE);
        for (name, value) in
            [("ifconfig_xn0", "inet 198.51.100.7/24"), ("b", "22"), ("hostname", "web01"), ("new", "n")]
        {
            file.set(name, &Value::text(value));
        }
        file.set("list", &Value::Array(vec!["x y".to_owned(), "z".to_owned()]));
        let want = FILE.replace("\"DHCP\"", "\"inet 198.51.100.7/24\"").replace("b=2", "b=\"22\"")
            + "new=\"n\"\nlist=(\"x y\" \"z\")\n";
        assert_eq!(file.text(), want);
    }

    #[test]
    fn what_is_removed_is_gone_and_what_stands_in_a_function_is_emptied() {
        let mut plain = Settings::of("a=1; b=2\n  a='4' # four\nc=5");
        plain.remove(|name| name == "a");
        assert_eq!(plain.text(), "b=2\nc=5");
        let mut file = Settings::of("if x; then\n  a=3\nfi\nc=5");
        file.remove(|name| name == "a");
        assert_eq!(file.text(), "if x; then\n  a=3\nfi\nc=5\na=\"\"\n");
        assert_eq!(Settings::of(&file.text()).value("a").as_deref(), Some(""));
        let once = file.text();
        file.remove(|name| name == "a");
        assert_eq!(file.text(), once);
    }

    #[test]
    fn a_file_that_is_read_later_gives_way_or_says_the_same() {
        let wanted = [("a".to_owned(), Value::text("1")), ("b".to_owned(), Value::text("2"))];
        let mut file = Settings::of("a=9\nif x; then\n  b=9\nfi\nc=9\nd=9\n");
        file.give_way(&wanted, |name| name == "c");
        let once = file.text();
        assert_eq!(once, "if x; then\n  b=9\nfi\nd=9\nb=\"2\"\n");
        let mut again = Settings::of(&once);
        again.give_way(&wanted, |name| name == "c");
        assert_eq!(again.text(), once);
    }

    #[test]
    fn what_is_appended_below_something_open_is_found_again() {
        let mut file = Settings::of("echo if\n");
        file.set("a", &Value::text("1"));
        let once = file.text();
        let mut again = Settings::of(&once);
        again.set("a", &Value::text("1"));
        again.set("a", &Value::text("2"));
        assert_eq!(again.text(), once.replace("\"1\"", "\"2\""));
    }

    proptest! {
        #[test]
        fn any_text_is_kept(text in "([a-c]=|[\"'`#;()\\\\ \n{}$]|if|fi|x){0,24}") {
            prop_assert_eq!(Settings::of(&text).text(), text);
        }

        #[test]
        fn what_is_set_is_read_back(text in "[a-c=\"';# \n]{0,20}", value in "[a-z0-9 ./:\n\"\\\\]{0,12}") {
            let mut file = Settings::of(&text);
            let is_closed = file.text().ends_with('\n') && command_end(&text) < text.len();
            file.set("zz", &Value::text(&value));
            prop_assert_eq!(file.value("zz"), Some(value.clone()));
            if is_closed && !text.contains(['"', '\'']) {
                prop_assert_eq!(Settings::of(&file.text()).value("zz"), Some(value));
            }
        }
    }
}
