//! What systemd's presets say of a unit: whether `systemctl preset` would enable it (systemd.preset(5)).

use std::collections::BTreeMap;

use anyhow::Result;

use crate::glob;
use crate::root::Root;

const DIRS: [&str; 4] = [
    "etc/systemd/system-preset",
    "usr/local/lib/systemd/system-preset",
    "usr/lib/systemd/system-preset",
    "lib/systemd/system-preset",
];

/// Returns the first rule that names a unit, in words; `None` where no rule does.
///
/// # Errors
/// A preset file or directory cannot be read.
pub(super) fn rule_for(root: &Root, unit: &str) -> Result<Option<String>> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for dir in DIRS {
        for entry in root.read_dir(dir)?.into_iter().filter(|entry| entry.name.ends_with(".preset")) {
            let path = format!("{dir}/{}", entry.name);
            files.entry(entry.name).or_insert(path);
        }
    }
    for path in files.into_values() {
        // a link to /dev/null hides the file of this name in weaker directories
        if root.link_opt(&path)?.is_some_and(|to| to.ends_with("/dev/null")) {
            continue;
        }
        let text = root.text_opt(&path)?.unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace();
            let Some(verb @ ("enable" | "disable")) = words.next() else { continue };
            if words.next().is_some_and(|pattern| glob::matches(pattern, unit)) {
                return Ok(Some(format!("{path}:{} says {verb}", number + 1)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "a.service", true),
            ("nova-*", "nova-agent.service", true),
            ("nova-*.service", "nova-agent.socket", false),
            ("*agent*service", "nova-agent.service", true),
            ("nova-agent", "nova-agent.service", false),
            ("n?va-agent.service", "nova-agent.service", true),
            ("", "a", false),
            ("*?", "", false),
        ] {
            assert_eq!(glob::matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_first_rule_in_the_order_of_file_names_counts() {
        let tree = Tree::of(&[
            ("usr/lib/systemd/system-preset/90-systemd.preset", "disable *\n"),
            ("usr/lib/systemd/system-preset/50-vendor.preset", "enable nova-agent.service\n"),
            ("etc/systemd/system-preset/50-vendor.preset", "# nothing\nenable sshd.*\n"),
            ("etc/systemd/system-preset/95-late.preset", "enable *\n"),
        ]);
        let said = |unit| rule_for(&tree.root(), unit).unwrap().unwrap();
        let said = [said("nova-agent.service"), said("sshd.service")];
        assert_eq!(
            said,
            [
                "usr/lib/systemd/system-preset/90-systemd.preset:1 says disable",
                "etc/systemd/system-preset/50-vendor.preset:2 says enable"
            ]
        );
    }
}
