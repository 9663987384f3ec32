//! Whether systemd starts a service at boot, and what says so.
//!
//! A service is enabled when a boot really pulls it in, which is more than a link somewhere: a link in the directory
//! of a target that no boot reaches starts nothing. `[Install]` and presets only say what `systemctl enable` would
//! do; they are named as a hint.

use std::collections::BTreeMap;

use anyhow::Result;

use super::boot::Pulled;
use super::unit::Unit;
use super::units::{Found, Units, Wish};
use super::{Enabled, Init, Service, State, presets};
use crate::exec::Cmd;
use crate::root::Root;

/// Returns the service of this name; `None` where systemd has no unit of it.
pub(super) fn named(
    root: &Root,
    units: &Units,
    boot: &BTreeMap<String, Pulled>,
    name: &str,
) -> Result<Option<Service>> {
    let full_name = format!("{name}.service");
    if name.ends_with('@') {
        return Ok(None); // a template is no service
    }
    let (id, path, unit, enabled) = match units.find(root, &full_name)? {
        Found::Nothing => return Ok(None),
        Found::Masked(path) => (full_name, path.clone(), None, Enabled::Masked(path)),
        Found::Unit { id, path } => {
            let unit = units.load(root, &id, &path)?;
            let enabled = match boot.get(&id) {
                Some(pulled) => Enabled::Yes(pulled.source.clone()),
                None => Enabled::No(why_not(root, units, &id, &unit)?),
            };
            (id, path, Some((*unit).clone()), enabled)
        }
    };
    let name = id.trim_end_matches(".service").to_owned();
    Ok(Some(Service { name, init: Init::Systemd, path, enabled, unit, order: None }))
}

fn why_not(root: &Root, units: &Units, id: &str, unit: &Unit) -> Result<String> {
    if let Some(Wish { path, by, is_link }) = units.wishes_for(root, &units.names_of(id))?.into_iter().next()
    {
        return Ok(match is_link {
            true => format!("{path}, but {by} is not started at boot"),
            false => format!("{path} is no link: systemd ignores it"),
        });
    }
    let wanted = |key, suffix| {
        let names = unit.words("Install", key).into_iter();
        names.map(move |name| format!("{name}.{suffix}"))
    };
    let dirs: Vec<String> = wanted("WantedBy", "wants").chain(wanted("RequiredBy", "requires")).collect();
    let reason = if !dirs.is_empty() {
        format!("no link in {}", dirs.join(", "))
    } else if unit.settings.iter().any(|setting| setting.section == "Install") {
        "no unit wants it, and its [Install] section names no unit that would".to_owned()
    } else {
        "no unit wants it, and it has no [Install] section".to_owned()
    };
    Ok(match presets::rule_for(root, id)? {
        Some(rule) => format!("{reason}; {rule}"),
        None => reason,
    })
}

/// Asks the running systemd about a service; `None` where there is no systemctl.
pub(super) fn state(name: &str) -> Result<Option<State>> {
    let unit = format!("{name}.service");
    let properties = "-pLoadState,ActiveState,SubState,Result,MainPID,NRestarts,NeedDaemonReload";
    let Some(output) = Cmd::new(&["systemctl", "show", properties, "--", &unit]).output()? else {
        return Ok(None);
    };
    anyhow::ensure!(output.status.success(), "running systemctl show {unit}: {}", output.stderr.trim());
    Ok(parse_state(&output.stdout))
}

/// Reads the lines of `systemctl show`; `None` when systemd has no such unit.
fn parse_state(text: &str) -> Option<State> {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value.to_owned())
            .next_back()
            .unwrap_or_default()
    };
    (value("LoadState") != "not-found").then(|| State {
        active: value("ActiveState"),
        sub: value("SubState"),
        result: value("Result"),
        main_pid: value("MainPID").parse().unwrap_or(0),
        restarts: value("NRestarts").parse().unwrap_or(0),
        is_outdated: value("NeedDaemonReload") == "yes",
    })
}

#[cfg(test)]
mod tests;
