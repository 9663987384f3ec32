//! A file of shell assignments that is edited in place, as sysrc(8) does: rc.conf, conf.d/net, netctl's profiles.
//!
//! Text that is no assignment, and assignments of others, stay byte for byte. The last assignment holds. What stands in
//! a function, a condition or a loop is read, but never edited: whether it is reached only the shell knows. It refuses
//! to expand anything: `$x` stays `$x`.

mod shell;

use std::collections::BTreeSet;

use shell::{Assignment, Piece};

use crate::net::intent::WRITTEN;

/// A parsed file.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pieces: Vec<Piece>,
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
        Self { pieces: shell::pieces(text) }
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
        if shell::is_open_after(&all) {
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
            let is_closed = file.text().ends_with('\n') && shell::command_end(&text) < text.len();
            file.set("zz", &Value::text(&value));
            prop_assert_eq!(file.value("zz"), Some(value.clone()));
            if is_closed && !text.contains(['"', '\'']) {
                prop_assert_eq!(Settings::of(&file.text()).value("zz"), Some(value));
            }
        }
    }
}
