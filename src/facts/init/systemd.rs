//! systemd's units, as systemd itself finds them: search path, aliases, masks, drop-ins, and what a boot pulls in.
//!
//! Sources: systemd.unit(5) for the search path, drop-ins and aliases; systemd-sysv-generator(8) for init scripts. Not
//! read: units that start on demand (sockets, timers, paths) do not count as started by what starts them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::OnceLock;

use anyhow::Result;

use super::{Enabled, Setting, Unit};
use crate::root::{Kind, Root};

/// Where units are, the one that wins first (systemd.unit(5), table 1).
const DIRS: [&str; 9] = [
    "etc/systemd/system.control",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// What ends in these is read as a unit.
const KINDS: [&str; 6] = [".service", ".target", ".socket", ".mount", ".timer", ".path"];

/// A unit file that is larger is not read: systemd refuses lines of 1 MiB, people write a few hundred bytes.
const UNIT_MAX: usize = 1 << 20;

/// More units than this are not followed: a stock system has about 300.
const REACHED_MAX: usize = 20_000;

/// The units of a tree.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// Name → the file that wins.
    files: HashMap<String, String>,
    /// Name → drop-ins by file name, so that the first directory wins and the order is systemd's.
    drop_ins: HashMap<String, BTreeMap<String, String>>,
    /// Name → what its `.wants` and `.requires` directories hold, with the link.
    pulls: HashMap<String, Vec<(String, String)>>,
    reached: OnceLock<HashMap<String, String>>,
}

/// What a name leads to.
enum Found {
    /// A unit file.
    File { name: String, path: String },
    /// Masked: the link to /dev/null, or the empty file.
    Masked(String),
    /// No such unit.
    Nothing,
}

impl Units {
    /// Reads the names of all units; each directory once, no file yet.
    pub(super) fn of(root: &Root) -> Result<Self> {
        let mut units = Self::default();
        let mut seen = Vec::new();
        for dir in DIRS {
            // /lib is a link to /usr/lib on merged systems
            let Some(real) = root.resolve(dir)? else { continue };
            if seen.contains(&real) {
                continue;
            }
            seen.push(real);
            for entry in root.read_dir(dir)? {
                let path = format!("{dir}/{}", entry.name);
                if let Some(name) = entry.name.strip_suffix(".d") {
                    let of_name = units.drop_ins.entry(name.to_owned()).or_default();
                    for file in root.files_in(&path, ".conf")? {
                        let base = file.rsplit('/').next().unwrap_or_default().to_owned();
                        of_name.entry(base).or_insert(file);
                    }
                } else if let Some(name) =
                    entry.name.strip_suffix(".wants").or_else(|| entry.name.strip_suffix(".requires"))
                {
                    let links = root.read_dir(&path)?.into_iter();
                    let links = links.map(|link| (link.name.clone(), format!("{path}/{}", link.name)));
                    units.pulls.entry(name.to_owned()).or_default().extend(links);
                } else if KINDS.iter().any(|kind| entry.name.ends_with(kind)) {
                    units.files.entry(entry.name).or_insert(path);
                }
            }
        }
        Ok(units)
    }

    /// Returns the unit of a full name with its drop-ins, aliases followed; `None` when there is none or it is masked.
    pub(super) fn load(&self, root: &Root, name: &str) -> Result<Option<(String, Unit)>> {
        let Found::File { name: real, path } = self.find(root, name)? else { return Ok(None) };
        let mut unit = Unit::default();
        read_into(root, &path, &mut unit)?;
        for drop_in in self.drop_ins_of(name, &real) {
            read_into(root, drop_in, &mut unit)?;
        }
        Ok(Some((path, unit)))
    }

    /// Returns whether a unit is masked, and by what.
    pub(super) fn mask(&self, root: &Root, name: &str) -> Result<Option<String>> {
        Ok(match self.find(root, name)? {
            Found::Masked(by) => Some(by),
            Found::File { .. } | Found::Nothing => None,
        })
    }

    /// Returns whether a boot starts a unit that exists, and what says so.
    pub(super) fn enabled(&self, root: &Root, name: &str, unit: &Unit) -> Result<Enabled> {
        let reached = self.reached(root)?;
        let Found::File { name: real, .. } = self.find(root, name)? else {
            return Ok(Enabled::No("there is no unit".to_owned()));
        };
        if let Some(by) = reached.get(&real) {
            return Ok(Enabled::Yes(by.clone()));
        }
        let mut pulls =
            self.pulls.iter().flat_map(|(puller, links)| links.iter().map(move |link| (puller, link)));
        if let Some((puller, (_, link))) = pulls.find(|(_, (pulled, _))| *pulled == real || pulled == name) {
            return Ok(Enabled::No(format!("{link} is there, but the boot does not come by {puller}")));
        }
        let wanted_by = [unit.words("Install", "WantedBy"), unit.words("Install", "RequiredBy")].concat();
        Ok(Enabled::No(match wanted_by.first() {
            Some(target) => format!("no link in etc/systemd/system/{target}.wants"),
            None if unit.last("Install", "Alias").is_some() => {
                "nothing pulls it in, and it has only an alias".to_owned()
            }
            None => "nothing pulls it in, and it has no [Install] section".to_owned(),
        }))
    }

    /// Returns every unit that a boot pulls in, with what pulls it.
    pub(super) fn reached(&self, root: &Root) -> Result<&HashMap<String, String>> {
        if let Some(reached) = self.reached.get() {
            return Ok(reached);
        }
        let reached = self.follow(root)?;
        Ok(self.reached.get_or_init(|| reached))
    }

    fn follow(&self, root: &Root) -> Result<HashMap<String, String>> {
        let mut reached: HashMap<String, String> = HashMap::new();
        let mut ahead: VecDeque<(String, String)> = VecDeque::new();
        // what is not a target itself is started after basic.target (systemd.special(7))
        for start in ["default.target", "basic.target", "sysinit.target"] {
            ahead.push_back((start.to_owned(), "every boot".to_owned()));
        }
        while let Some((name, by)) = ahead.pop_front() {
            let Found::File { name: real, .. } = self.find(root, &name)? else { continue };
            if reached.len() > REACHED_MAX || reached.contains_key(&real) {
                continue;
            }
            reached.insert(real.clone(), by);
            for name in [&name, &real] {
                if let Some(links) = self.pulls.get(name) {
                    ahead.extend(links.iter().cloned());
                }
            }
            let Some((_, unit)) = self.load(root, &name)? else { continue };
            for key in ["Wants", "Requires", "BindsTo", "Requisite", "Upholds"] {
                for setting in unit.settings.iter().filter(|s| s.section == "Unit" && s.key == key) {
                    let pulled = setting.value.split_whitespace().map(str::to_owned);
                    ahead.extend(pulled.map(|unit| (unit, setting.source.clone())));
                }
            }
        }
        Ok(reached)
    }

    fn find(&self, root: &Root, name: &str) -> Result<Found> {
        let mut name = name.to_owned();
        // an alias of an alias is as far as anybody goes; a loop ends here
        for _ in 0..8 {
            let path = match self.files.get(&name).or_else(|| self.files.get(&template_of(&name)?)) {
                Some(path) => path.clone(),
                None => return Ok(Found::Nothing),
            };
            let Some(to) = root.link_opt(&path)? else {
                return Ok(match root.stat_opt(&path)? {
                    Some(stat) if stat.kind == Kind::File && stat.size == 0 => Found::Masked(path),
                    Some(stat) if stat.kind == Kind::File => Found::File { name, path },
                    _ => Found::Nothing,
                });
            };
            if to == "/dev/null" {
                return Ok(Found::Masked(format!("{path} -> /dev/null")));
            }
            let base = to.rsplit('/').next().unwrap_or_default().to_owned();
            if base == name || template_of(&name).as_ref() == Some(&base) {
                // a unit file kept elsewhere (`systemctl link`)
                return Ok(match root.stat_opt(&path)? {
                    Some(stat) if stat.kind == Kind::File => Found::File { name, path },
                    _ => Found::Nothing,
                });
            }
            if !self.files.contains_key(&base) {
                return Ok(Found::Nothing);
            }
            name = base;
        }
        Ok(Found::Nothing)
    }

    /// Drop-ins of the name and its alias, and those for all units of a kind; by file name, the first name winning.
    fn drop_ins_of(&self, name: &str, real: &str) -> Vec<&String> {
        let kind = real.rsplit('.').next().unwrap_or_default();
        let mut merged: BTreeMap<&String, &String> = BTreeMap::new();
        for of in [Some(real.to_owned()), Some(name.to_owned()), template_of(real), Some(kind.to_owned())] {
            for (base, path) in of.and_then(|of| self.drop_ins.get(&of)).into_iter().flatten() {
                merged.entry(base).or_insert(path);
            }
        }
        merged.into_values().collect()
    }
}

/// `getty@tty1.service` → `getty@.service`.
fn template_of(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{prefix}@.{kind}"))
}

fn read_into(root: &Root, path: &str, unit: &mut Unit) -> Result<()> {
    // a link to /dev/null among the drop-ins hides one of the same name
    if root.link_opt(path)?.as_deref() == Some("/dev/null") {
        return Ok(());
    }
    let Some(text) = root.text_opt(path)? else { return Ok(()) };
    if text.len() <= UNIT_MAX {
        unit.settings.extend(settings(&text, path));
    }
    Ok(())
}

/// Reads a unit file: sections, assignments, lines continued by a backslash, comments also between those.
fn settings(text: &str, path: &str) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut section = String::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with(['#', ';']);
        if is_comment || (open.is_none() && line.trim().is_empty()) {
            continue;
        }
        let (start, mut whole) = open.take().unwrap_or((number + 1, String::new()));
        let continued = line.trim_end().strip_suffix('\\');
        whole.push_str(continued.unwrap_or(line));
        if continued.is_some() {
            whole.push(' ');
            open = Some((start, whole));
            continue;
        }
        add(&mut settings, &mut section, whole.trim(), path, start);
    }
    if let Some((start, whole)) = open {
        add(&mut settings, &mut section, whole.trim(), path, start);
    }
    settings
}

fn add(settings: &mut Vec<Setting>, section: &mut String, line: &str, path: &str, number: usize) {
    if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        name.clone_into(section);
    } else if let Some((key, value)) = line.split_once('=') {
        settings.push(Setting {
            section: section.clone(),
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            source: format!("{path}:{number}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_unit_is_read_as_systemd_reads_it() {
        let text = "# x\n[Unit]\nAfter=a \\\n# comment inside\n; another\n  b\n\n[Service]\nExecStart = /bin/x --y=z\nTail=\\\n";
        let read = settings(text, "u");
        let seen: Vec<_> = read
            .iter()
            .map(|s| (s.section.as_str(), s.key.as_str(), s.value.as_str(), s.source.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("Unit", "After", "a    b", "u:3"),
                ("Service", "ExecStart", "/bin/x --y=z", "u:9"),
                ("Service", "Tail", "", "u:10"),
            ]
        );
    }

    #[test]
    fn an_instance_comes_from_its_template() {
        assert_eq!(template_of("getty@tty1.service").as_deref(), Some("getty@.service"));
        assert_eq!(template_of("nova-agent.service"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n|\\\\|=|\\[|\\]){0,80}") {
            settings(&text, "u");
        }
    }
}
