//! What a systemd unit runs and with which environment: `ExecStart=` and `Environment=` as systemd.exec(5) and
//! systemd.service(5) split them. Specifiers and variables are left as they are.

use crate::facts::init::{Setting, Unit};

/// The PATH of a service, from the place where systemd compiles it in (`DEFAULT_PATH_NORMAL`,
/// src/basic/path-util.h). The old order with /sbin and /bin finds the same on a merged /usr.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the assignment that says what the service runs; `None` when the last one is empty.
pub fn start_of(unit: &Unit) -> Option<&Setting> {
    unit.last("Service", "ExecStart").filter(|setting| !setting.value.trim().is_empty())
}

/// Returns the words of a command line of a unit, the first without systemd's prefixes.
pub fn words(line: &str) -> Vec<String> {
    split(line.trim_start().trim_start_matches(['@', '-', ':', '+', '!', '|']))
}

/// Returns a variable that the unit sets, and the assignment that does; the last one counts.
pub(crate) fn variable<'u>(unit: &'u Unit, name: &str) -> Option<(String, &'u Setting)> {
    let mut found = None;
    for setting in unit.settings.iter().filter(|s| s.section == "Service" && s.key == "Environment") {
        if setting.value.trim().is_empty() {
            found = None;
        }
        for word in split(&setting.value) {
            let value = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
            if let Some(value) = value {
                found = Some((value.to_owned(), setting));
            }
        }
    }
    found
}

/// Splits at blanks outside quotes; a backslash takes the next character as it is.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && quote.is_none() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(settings: &[(&str, &str)]) -> Unit {
        let of = |(key, value): &(&str, &str)| Setting {
            section: "Service".to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            source: "x.service:1".to_owned(),
        };
        Unit { settings: settings.iter().map(of).collect() }
    }

    #[test]
    fn a_drop_in_replaces_what_is_run() {
        let unit = unit(&[
            ("ExecStart", "/usr/bin/nova-agent"),
            ("ExecStart", ""),
            ("ExecStart", "-/usr/bin/python3.6 '/usr/bin/nova-agent' -o \"a b\""),
        ]);
        let words = words(&start_of(&unit).unwrap().value);
        assert_eq!(words, ["/usr/bin/python3.6", "/usr/bin/nova-agent", "-o", "a b"]);
    }

    #[test]
    fn an_emptied_start_line_is_none() {
        assert_eq!(start_of(&unit(&[("ExecStart", "/bin/x"), ("ExecStart", "")])), None);
    }

    #[test]
    fn the_last_variable_counts_and_an_empty_line_forgets() {
        let of = |settings: &[(&str, &str)]| variable(&unit(settings), "PATH").map(|(value, _)| value);
        assert_eq!(of(&[("Environment", "A=1 \"PATH=/a b\" PATHS=x")]).as_deref(), Some("/a b"));
        assert_eq!(of(&[("Environment", "PATH=/a"), ("Environment", "PATH=/b")]).as_deref(), Some("/b"));
        assert_eq!(of(&[("Environment", "PATH=/a"), ("Environment", "")]), None);
    }

    proptest! {
        #[test]
        fn any_line_is_split_without_a_panic(line in "\\PC*") {
            words(&line);
        }
    }
}
