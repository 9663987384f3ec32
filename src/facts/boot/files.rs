//! Names of unit files: where they are, what they lead to, and what their directories pull in.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{has_defaults, waits_for};
use crate::facts::init::Unit;
use crate::root::Root;

/// Links from one name of a unit to another that are followed.
const LINKS_MAX: usize = 8;
/// Directories of unit files, the strongest first, and those of the generators, which exist on a running system.
pub(super) const UNIT_DIRS: [&str; 8] = [
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator.early",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// Keys that start another unit together with this one.
const PULLS: [&str; 4] = ["Wants", "Requires", "BindsTo", "Upholds"];

/// The names in the directories of unit files, read once: a boot asks for hundreds of them.
pub(super) struct Files {
    /// The directory that a name counts in, and whether it is a link there.
    names: BTreeMap<String, (&'static str, bool)>,
    /// Every directory `<unit>.wants` and `<unit>.requires`, by unit.
    pulls: BTreeMap<String, Vec<String>>,
}

impl Files {
    pub(super) fn of(root: &Root) -> Result<Self> {
        let mut files = Self { names: BTreeMap::new(), pulls: BTreeMap::new() };
        for dir in UNIT_DIRS {
            for entry in root.read_dir(dir)? {
                let unit = entry.name.strip_suffix(".wants").or(entry.name.strip_suffix(".requires"));
                if let Some(unit) = unit {
                    files.pulls.entry(unit.to_owned()).or_default().push(format!("{dir}/{}", entry.name));
                } else {
                    files.names.entry(entry.name).or_insert((dir, entry.is_link));
                }
            }
        }
        Ok(files)
    }

    /// Returns the name under which systemd knows a unit: the one that its links lead to. `None` when it is masked.
    pub(super) fn own_name(&self, root: &Root, name: &str) -> Result<Option<String>> {
        let mut own_name = name.to_owned();
        for _ in 0..LINKS_MAX {
            let Some((dir, true)) = self.names.get(&own_name) else { break };
            let Some(link) = root.link_opt(&format!("{dir}/{own_name}"))? else { break };
            if link == "/dev/null" {
                return Ok(None);
            }
            let target = link.rsplit('/').next().unwrap_or_default();
            // A link to the same name leads to where the unit is installed; an instance may be one to its template.
            if target == own_name || target.contains("@.") || !target.contains('.') {
                break;
            }
            target.clone_into(&mut own_name);
        }
        Ok(Some(own_name))
    }

    /// What a unit pulls in: by its own lines, by links in its directories, and by default.
    pub(super) fn pulls(&self, root: &Root, name: &str, unit: &Unit) -> Result<BTreeSet<String>> {
        let mut pulls: BTreeSet<String> = BTreeSet::new();
        for setting in unit.settings.iter().filter(|setting| setting.section == "Unit") {
            if PULLS.contains(&setting.key.as_str()) {
                pulls.extend(setting.value.split_whitespace().map(str::to_owned));
            }
        }
        for dir in self.pulls.get(name).into_iter().flatten() {
            pulls.extend(root.read_dir(dir)?.into_iter().map(|entry| entry.name));
        }
        let kind = name.rsplit('.').next().unwrap_or_default();
        if has_defaults(unit) && waits_for(kind).contains(&"sysinit.target") {
            pulls.insert("sysinit.target".to_owned());
        }
        Ok(pulls)
    }
}
