//! Files of sections and assignments, with line numbers: systemd's (`.network`, `.netdev`), NetworkManager's
//! keyfiles and WireGuard's. Values keep the text of the file: what a value means is its reader's.

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The section, as written.
    pub(crate) section: String,
    /// The key, as written.
    pub(crate) key: String,
    /// The value without blanks around it.
    pub(crate) value: String,
    /// The line of the key.
    pub(crate) line: usize,
    /// The number of the section in the file: two sections of one name are two routes, or two addresses.
    pub(crate) block: usize,
}

/// Returns every assignment in the order of the file. A backslash at the end of a line joins it to the next.
pub(crate) fn parse(text: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut section = String::new();
    let mut block = 0;
    let mut lines = text.lines().enumerate();
    while let Some((place, first)) = lines.next() {
        let line = first.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            block += 1;
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            // systemd leaves comments between joined lines out
            if !next.trim_start().starts_with(['#', ';']) {
                whole.push(' ');
                whole.push_str(next.trim());
            } else {
                whole.push('\\');
            }
        }
        let Some((key, value)) = whole.split_once('=') else { continue };
        settings.push(Setting {
            section: section.clone(),
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            line: place + 1,
            block,
        });
    }
    settings
}

/// Returns the last assignment of a key; the names are compared as they stand.
pub(crate) fn last<'s>(settings: &'s [Setting], section: &str, key: &str) -> Option<&'s Setting> {
    settings.iter().rev().find(|setting| setting.section == section && setting.key == key)
}

/// Returns every value of a key in order.
pub(crate) fn all<'s>(
    settings: &'s [Setting],
    section: &'s str,
    key: &'s str,
) -> impl Iterator<Item = &'s Setting> {
    settings.iter().filter(move |setting| setting.section == section && setting.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn assignments_come_with_section_and_line() {
        let text = "# c\n[Match]\nName = eth0\n; c\n\n[Network]\nDNS=a \\\n  # c\n  b\nstray\nDNS=\n";
        let seen: Vec<_> = parse(text).into_iter().map(|s| (s.section, s.key, s.value, s.line)).collect();
        let want = [("Match", "Name", "eth0", 3), ("Network", "DNS", "a  b", 7), ("Network", "DNS", "", 11)];
        assert_eq!(seen, want.map(|(s, k, v, l)| (s.to_owned(), k.to_owned(), v.to_owned(), l)));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[\\[\\]a=#;\\\\\n ]{0,80}") {
            parse(&text);
        }
    }
}
