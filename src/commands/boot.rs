//! Services on and off at boot, as changes of files: what `systemctl enable`, `chkconfig` and `rc-update` do, which
//! cannot be run on a disk and whose work could not be undone byte for byte.

mod enable;
mod live;

use anyhow::{Result, bail};

pub use enable::{DEPEND, depends, enable};
pub use live::{reload, switch};

use crate::facts::init::{Init, Service};
use crate::plan::FileChange;
use crate::root::Root;

/// Where the administrator's links of systemd are.
const UNITS: &str = "etc/systemd/system";
const LEVELS: [&str; 4] = ["2", "3", "4", "5"];
const OTHER_LEVELS: [&str; 3] = ["0", "1", "6"];

/// Returns the directories that hold the links of System V's runlevels.
fn level_dir(root: &Root, level: &str) -> String {
    // on Red Hat etc/rc3.d is a link to the first; SUSE has the second
    let dirs = [format!("etc/rc.d/rc{level}.d"), format!("etc/init.d/rc{level}.d")];
    dirs.into_iter().find(|dir| root.exists(dir)).unwrap_or_else(|| format!("etc/rc{level}.d"))
}

/// Returns what keeps a service from starting at boot.
///
/// # Errors
/// The directories of its links cannot be read, or its init system is not known.
pub fn disable(root: &Root, service: &Service) -> Result<Vec<FileChange>> {
    let name = service.name.as_str();
    match service.init {
        Init::Systemd => off_in_systemd(root, service),
        Init::SysV => off_in_levels(root, name),
        Init::Upstart => {
            let path = format!("etc/init/{name}.override");
            let old = root.text_opt(&path)?.unwrap_or_default();
            Ok(vec![FileChange::write(path, format!("{old}manual\n"))])
        }
        Init::OpenRc => {
            let links = links_named(root, "etc/runlevels", |_| true, &[name])?;
            Ok(links.into_iter().map(|path| FileChange::Remove { path }).collect())
        }
        Init::BsdRc | Init::Unknown => {
            bail!("{name} cannot be switched off here: its init system is not written for")
        }
    }
}

fn off_in_systemd(root: &Root, service: &Service) -> Result<Vec<FileChange>> {
    let unit = format!("{}.service", service.name);
    let pulls = |dir: &str| dir.ends_with(".wants") || dir.ends_with(".requires");
    let links = links_named(root, UNITS, pulls, &[&unit])?;
    let mut changes: Vec<_> = links.into_iter().map(|path| FileChange::Remove { path }).collect();
    let mut pulled_by_vendor = false;
    for dir in ["usr/lib/systemd/system", "lib/systemd/system"] {
        pulled_by_vendor |= !links_named(root, dir, pulls, &[&unit])?.is_empty();
    }
    if pulled_by_vendor {
        // its own file in etc is kept by the journal
        changes.push(FileChange::Link { path: format!("{UNITS}/{unit}"), to: "/dev/null".to_owned() });
    }
    Ok(changes)
}

/// Start links become kill links, as `update-rc.d disable` makes them, so that a later upgrade does not add new ones.
fn off_in_levels(root: &Root, name: &str) -> Result<Vec<FileChange>> {
    let mut changes = Vec::new();
    for level in LEVELS.into_iter().chain(["S"]) {
        let dir = level_dir(root, level);
        for entry in root.read_dir(&dir)? {
            let Some(number) = start_number(&entry.name, name) else { continue };
            let path = format!("{dir}/{}", entry.name);
            let Some(to) = root.link_opt(&path)? else { continue };
            changes.push(FileChange::Remove { path });
            let kill = format!("{dir}/K{:02}{name}", 100 - number.clamp(1, 99));
            changes.push(FileChange::Link { path: kill, to });
        }
    }
    Ok(changes)
}

/// Reads the number of `S15nova-agent`.
fn start_number(link: &str, name: &str) -> Option<u32> {
    let rest = link.strip_prefix('S')?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    (digits == 2 && rest[digits..] == *name).then(|| rest[..digits].parse().ok()).flatten()
}

/// Returns what makes an init script start in the usual runlevels at `number`, and stop in the others.
pub fn levels(root: &Root, name: &str, number: u32) -> Vec<FileChange> {
    let link = |dir: String, kind: char, number: u32| FileChange::Link {
        to: script_from(&dir, name),
        path: format!("{dir}/{kind}{number:02}{name}"),
    };
    let starts = LEVELS.iter().map(|level| link(level_dir(root, level), 'S', number));
    let stops = OTHER_LEVELS.iter().map(|level| link(level_dir(root, level), 'K', 100 - number.clamp(1, 99)));
    starts.chain(stops).collect()
}

/// Returns what a link in a runlevel's directory says that leads to a script.
pub fn script_from(dir: &str, name: &str) -> String {
    match dir {
        _ if dir.starts_with("etc/rc.d/") => format!("../../init.d/{name}"),
        _ if dir.starts_with("etc/init.d/") => format!("../{name}"),
        _ => format!("../init.d/{name}"),
    }
}

/// Returns the number at which a script starts in runlevel 3 or 2, or `None` when it does not.
pub fn starts_at(root: &Root, name: &str) -> Result<Option<u32>> {
    for level in ["3", "2"] {
        let entries = root.read_dir(&level_dir(root, level))?;
        if let Some(number) = entries.iter().find_map(|entry| start_number(&entry.name, name)) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Returns what makes startpar(1) run a script as well, after another one. Where insserv keeps these lists, as on
/// Debian 6 and 7, a script that they do not name is never started, whatever links it has.
///
/// # Errors
/// A list cannot be read.
pub fn in_parallel(root: &Root, name: &str, after: &str) -> Result<Vec<FileChange>> {
    let mut changes = Vec::new();
    for (path, after) in [("etc/init.d/.depend.start", Some(after)), ("etc/init.d/.depend.stop", None)] {
        let Some(text) = root.text_opt(path)? else { continue };
        changes.extend(with_target(&text, name, after).map(|new| FileChange::write(path, new)));
    }
    Ok(changes)
}

/// Returns one of insserv's lists with a script added; `None` where it has it.
fn with_target(list: &str, name: &str, after: Option<&str>) -> Option<String> {
    let targets = list.lines().find_map(|line| line.strip_prefix("TARGETS ="))?;
    let has = |wanted: &str| targets.split_whitespace().any(|target| target == wanted);
    if has(name) {
        return None;
    }
    let mut new = list.replacen(&format!("TARGETS ={targets}"), &format!("TARGETS ={targets} {name}"), 1);
    if let Some(after) = after.filter(|after| has(after)) {
        if !new.ends_with('\n') {
            new.push('\n');
        }
        new.push_str(&format!("{name}: {after}\n"));
    }
    Some(new)
}

/// Returns the entries of these names in the subdirectories of `top` that count.
fn links_named(root: &Root, top: &str, counts: impl Fn(&str) -> bool, names: &[&str]) -> Result<Vec<String>> {
    let mut links = Vec::new();
    for dir in root.read_dir(top)?.into_iter().filter(|dir| counts(&dir.name)) {
        for name in names {
            let path = format!("{top}/{}/{name}", dir.name);
            if root.lstat_opt(&path)?.is_some() {
                links.push(path);
            }
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_added_to_the_lists_of_insserv_once() {
        let list = "TARGETS = rsyslog xe nova-agent\nINTERACTIVE =\nnova-agent: rsyslog xe\n";
        let with = "TARGETS = rsyslog xe nova-agent own\nINTERACTIVE =\nnova-agent: rsyslog xe\n";
        assert_eq!(with_target(list, "own", Some("xe")), Some(format!("{with}own: xe\n")));
        assert_eq!(with_target(list, "own", Some("lost")).as_deref(), Some(with));
        assert_eq!(with_target(list, "own", None).as_deref(), Some(with));
        assert_eq!(with_target(with, "own", None), None);
        assert_eq!(with_target("TARGETS =", "own", Some("xe")).as_deref(), Some("TARGETS = own"));
        assert_eq!(with_target("", "own", None), None);
    }
}
