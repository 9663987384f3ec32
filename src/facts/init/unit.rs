//! One systemd unit: the assignments of its file and drop-ins.
//!
//! Only the syntax is known here (systemd.syntax(7)); which files make up a unit is `units`' business, and what a
//! key means that of whoever asks.

/// A systemd unit as systemd reads it: the file and its drop-ins in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Every assignment in the order in which systemd applies them.
    pub settings: Vec<Setting>,
}

/// One assignment of a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Section without brackets.
    pub section: String,
    /// Key.
    pub key: String,
    /// Value, continuation lines joined.
    pub value: String,
    /// File and line, such as `etc/systemd/system/nova-agent.service.d/10.conf:3`.
    pub source: String,
}

/// Keys of `[Unit]` that cannot be taken back by an empty assignment (systemd.unit(5), "Example 2").
const DEPENDENCIES: [&str; 15] = [
    "After",
    "Before",
    "BindsTo",
    "Conflicts",
    "JoinsNamespaceOf",
    "OnFailure",
    "OnSuccess",
    "PartOf",
    "PropagatesReloadTo",
    "ReloadPropagatedFrom",
    "Requires",
    "RequiresMountsFor",
    "Requisite",
    "Upholds",
    "Wants",
];

impl Unit {
    /// Returns the unit that one file alone makes, without drop-ins.
    pub fn of(path: &str, text: &str) -> Self {
        let mut unit = Self::default();
        parse(path, text, &mut unit.settings);
        unit
    }

    /// Returns the last assignment of a key that takes one value.
    pub fn last(&self, section: &str, key: &str) -> Option<&Setting> {
        self.all(section, key).next_back()
    }

    /// Returns the words of a key that takes a list; an empty assignment starts the list anew, except the list of a
    /// dependency (`After=`, `Wants=`, …), which can only grow.
    pub fn words(&self, section: &str, key: &str) -> Vec<&str> {
        let only_grows = section == "Unit" && DEPENDENCIES.contains(&key);
        let mut words = Vec::new();
        for setting in self.all(section, key) {
            if setting.value.is_empty() && !only_grows {
                words.clear();
            }
            words.extend(setting.value.split_whitespace());
        }
        words
    }

    /// Whether systemd adds the usual dependencies of the unit's type to it.
    pub(super) fn has_default_dependencies(&self) -> bool {
        let value =
            self.last("Unit", "DefaultDependencies").map(|setting| setting.value.to_ascii_lowercase());
        !matches!(value.as_deref(), Some("no" | "false" | "off" | "0" | "n" | "f"))
    }

    fn all(&self, section: &str, key: &str) -> impl DoubleEndedIterator<Item = &Setting> {
        self.settings.iter().filter(move |setting| setting.section == section && setting.key == key)
    }
}

/// Reads the text of a unit file or drop-in and adds its assignments to `settings`.
pub(super) fn parse(path: &str, text: &str, settings: &mut Vec<Setting>) {
    let mut section = "";
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            // Comments between continued lines are passed over, and the line goes on after them.
            let next = lines.by_ref().map(|(_, line)| line.trim()).find(|line| !line.starts_with(['#', ';']));
            let Some(next) = next else { break };
            whole.push(' ');
            whole.push_str(next);
        }
        let Some((key, value)) = whole.split_once('=') else { continue };
        settings.push(Setting {
            section: section.to_owned(),
            key: key.trim_end().to_owned(),
            value: value.trim().to_owned(),
            source: format!("{path}:{}", number + 1),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Unit {
        let mut unit = Unit::default();
        parse("x", text, &mut unit.settings);
        unit
    }

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        let text = "\u{feff}# comment\n; comment\n[Unit]\n  After = a.service \\\n# between\n   b.service\n\n\
                    no assignment\n[Service]\nExecStart=/bin/sh -c \"a=b\"\nLast=x\\";
        let all: Vec<_> =
            read(text).settings.into_iter().map(|s| (s.section, s.key, s.value, s.source)).collect();
        let expected = [
            ("Unit", "After", "a.service  b.service", "x:4"),
            ("Service", "ExecStart", "/bin/sh -c \"a=b\"", "x:10"),
            ("Service", "Last", "x", "x:11"),
        ];
        assert_eq!(
            all,
            expected.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned()))
        );
    }

    #[test]
    fn an_empty_assignment_clears_a_list_but_no_dependency() {
        let unit = read("[Unit]\nAfter=a\nAfter=\nAfter=b c\n[Install]\nWantedBy=a\nWantedBy=\nWantedBy=b\n");
        assert_eq!(unit.words("Unit", "After"), ["a", "b", "c"]);
        assert_eq!(unit.words("Install", "WantedBy"), ["b"]);
        assert_eq!(unit.last("Unit", "After").map(|setting| setting.source.as_str()), Some("x:4"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[\\[\\]=#;\\\\\na-c \u{e9}]{0,60}") {
            read(&text).words("a", "b");
        }
    }
}
