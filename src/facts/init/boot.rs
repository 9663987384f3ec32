//! The units that a boot pulls in, from default.target on.
//!
//! What generators add on the booting machine is not in the files; one of them is known here because it decides
//! whether cloud-init runs. Conditions (`ConditionPathExists=` …) are not judged: a unit that is pulled in counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anyhow::Result;

use super::unit::Unit;
use super::units::{Found, Units};
use crate::root::Root;

/// Units that are followed; a large system pulls in about 300.
const UNITS_MAX: usize = 4000;
/// Assignments that are read in all: instances of one hostile template would multiply it.
const SETTINGS_MAX: usize = 1 << 18;

/// Keys that start another unit along with this one.
const PULLS: [&str; 4] = ["Requires", "Wants", "BindsTo", "Upholds"];

/// Their directories.
const DIRS: [&str; 3] = [".requires", ".wants", ".upholds"];

/// A unit that a boot pulls in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The unit that pulls it in; empty for the first one.
    pub by: String,
    /// What says so: a link, or file and line.
    pub source: String,
    /// The unit with its drop-ins.
    pub unit: Arc<Unit>,
}

/// Returns the units that a boot pulls in by their own names.
///
/// # Errors
/// A directory cannot be read. A unit that cannot be read has no settings, and one that is a directory or a loop of
/// links is none, as systemd would not load it.
pub(super) fn pulled(root: &Root, units: &Units) -> Result<BTreeMap<String, Pulled>> {
    let mut first = VecDeque::from([Wanted::first("default.target", "default.target")]);
    if !root.exists("etc/cloud/cloud-init.disabled") {
        first.extend(of_cloud_init(root));
    }
    follow(root, units, first)
}

/// Returns the units that cloud-init's generator pulls in where no file forbids it.
///
/// # Errors
/// As for [`pulled`].
pub(super) fn pulled_by_cloud_init(root: &Root, units: &Units) -> Result<BTreeMap<String, Pulled>> {
    follow(root, units, of_cloud_init(root).into_iter().collect())
}

fn follow(root: &Root, units: &Units, mut waiting: VecDeque<Wanted>) -> Result<BTreeMap<String, Pulled>> {
    let mut boot: BTreeMap<String, Pulled> = BTreeMap::new();
    let mut settings = 0;
    while let Some(Wanted { name, by, source }) = waiting.pop_front() {
        if boot.len() >= UNITS_MAX || settings >= SETTINGS_MAX {
            tracing::warn!("the boot has more than {} units: the rest is not followed", boot.len());
            break;
        }
        if boot.contains_key(&name) {
            continue;
        }
        let found = units.find(root, &name).unwrap_or_else(|e| {
            tracing::debug!("{e:#}");
            Found::Nothing
        });
        let Found::Unit { id, path } = found else { continue };
        if boot.contains_key(&id) {
            continue;
        }
        let unit = units.load(root, &id, &path).unwrap_or_else(|e| {
            tracing::debug!("{e:#}");
            Arc::default()
        });
        settings += unit.settings.len();
        let mut wants = |name: &str, source: &str| {
            waiting.push_back(Wanted { name: name.to_owned(), by: id.clone(), source: source.to_owned() });
        };
        for setting in unit.settings.iter().filter(|s| s.section == "Unit" && PULLS.contains(&s.key.as_str()))
        {
            setting.value.split_whitespace().for_each(|name| wants(name, &setting.source));
        }
        for suffix in DIRS {
            units.links(root, &id, suffix)?.iter().for_each(|link| wants(&link.name, &link.path));
        }
        let kind = id.rsplit('.').next().unwrap_or_default();
        if matches!(kind, "service" | "socket" | "timer" | "path") && unit.has_default_dependencies() {
            wants("sysinit.target", &format!("systemd.{kind}(5)"));
        }
        boot.insert(id, Pulled { by, source, unit });
    }
    Ok(boot)
}

/// A unit that is still to be looked at.
struct Wanted {
    name: String,
    by: String,
    source: String,
}

impl Wanted {
    fn first(name: &str, source: &str) -> Self {
        Self { name: name.to_owned(), by: String::new(), source: source.to_owned() }
    }
}

/// Returns what cloud-init's generator pulls in, where there is one (cloud-init, systemd/cloud-init-generator).
fn of_cloud_init(root: &Root) -> Option<Wanted> {
    const GENERATORS: [&str; 2] = [
        "usr/lib/systemd/system-generators/cloud-init-generator",
        "lib/systemd/system-generators/cloud-init-generator",
    ];
    let generator = GENERATORS.into_iter().find(|path| root.exists(path))?;
    Some(Wanted::first("cloud-init.target", generator))
}
