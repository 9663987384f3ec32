//! The names of systemd's units: which file, alias or mask a name stands for, and what lies beside it.
//!
//! Names are found as `unit_file_build_name_map` and `unit_file_find_dropin_paths` of systemd find them (src/shared/
//! unit-file.c, src/shared/dropin.c). Each directory is read once. It refuses to follow `.include`, which systemd 250
//! dropped, and to run generators: what they would make is known to `boot` and `sysv` where it matters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};

use super::unit::{self, Unit};
use crate::root::{Entry, Kind, Root, Stat};

/// Directories of unit files, the strongest first.
const DIRS: [&str; 11] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    // not run/systemd/generator.late: units of init scripts, which `sysv` reads itself, live and offline alike
];

const TYPES: [&str; 11] = [
    "service",
    "socket",
    "target",
    "mount",
    "automount",
    "swap",
    "path",
    "timer",
    "slice",
    "scope",
    "device",
];
/// Endings of the directories that lie beside a unit.
const BESIDE: [&str; 4] = [".d", ".wants", ".requires", ".upholds"];
/// Bytes of the longest name of a unit (systemd, UNIT_NAME_MAX).
const NAME_MAX: usize = 255;
/// Aliases of aliases that are followed (systemd, FOLLOW_MAX).
const ALIASES_MAX: usize = 8;
/// Bytes of the largest unit file that is read; the largest real ones have 10 KiB.
const FILE_MAX: usize = 1 << 20;

/// What the unit directories of a tree hold.
#[derive(Debug, Default)]
pub(super) struct Units {
    names: HashMap<String, Place>,
    /// The aliases of each name.
    aliases: HashMap<String, Vec<String>>,
    /// Directories such as `x.service.d` and `x.target.wants`, by their suffix and the unit's name.
    beside: HashMap<&'static str, HashMap<String, Vec<Ranked>>>,
    /// What those directories hold.
    entries: Mutex<HashMap<String, Arc<[Entry]>>>,
    /// The units that were read, by their own names.
    loaded: Mutex<HashMap<String, Arc<Unit>>>,
    /// Links to themselves, by name.
    loops: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(String),
    /// A link to another unit: that unit's name.
    Alias(String),
    /// A link to /dev/null.
    Masked(String),
}

/// A directory beside a unit, with the rank of the one that it is in.
type Ranked = (usize, String);

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file.
    Nothing,
    /// Masked by this link or empty file.
    Masked(String),
    /// A unit.
    Unit {
        /// The name without aliases.
        id: String,
        /// Its main file.
        path: String,
    },
}

/// A name in a `.wants` directory and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The unit that is pulled in.
    pub(super) name: String,
    /// The link.
    pub(super) path: String,
}

/// An entry of a `.wants` or `.requires` directory.
#[derive(Debug)]
pub(super) struct Wish {
    /// The entry.
    pub(super) path: String,
    /// The unit whose directory it is.
    pub(super) by: String,
    /// Whether it is a link, as systemd demands.
    pub(super) is_link: bool,
}

impl Units {
    /// Reads the unit directories. Those below run/ count only on the running system: on a disk they are empty, or
    /// they are the rescue system's own, bound there for a chroot.
    pub(super) fn of(root: &Root, is_running: bool) -> Result<Self> {
        let mut units = Self::default();
        let dirs: Vec<Dir> = DIRS
            .into_iter()
            .filter(|dir| is_running || !dir.starts_with("run/"))
            .filter_map(|path| root.resolve(path).transpose().map(|real| Ok(Dir { path, real: real? })))
            .collect::<Result<_>>()?;
        for (rank, dir) in dirs.iter().enumerate() {
            // merged /usr: lib/systemd/system is usr/lib/systemd/system
            if dirs[..rank].iter().any(|other| other.real == dir.real) {
                continue;
            }
            units.read(root, rank, dir.path, &dirs)?;
        }
        for (name, path) in std::mem::take(&mut units.loops) {
            units.names.entry(name).or_insert(Place::File(path));
        }
        for (name, place) in &units.names {
            if let Place::Alias(to) = place {
                units.aliases.entry(to.clone()).or_default().push(name.clone());
            }
        }
        units.aliases.values_mut().for_each(|names| names.sort());
        Ok(units)
    }

    fn read(&mut self, root: &Root, rank: usize, dir: &str, dirs: &[Dir]) -> Result<()> {
        for entry in root.read_dir(dir)? {
            let path = format!("{dir}/{}", entry.name);
            let unit = |suffix: &&'static str| Some((*suffix, entry.name.strip_suffix(*suffix)?.to_owned()));
            if let Some((suffix, unit)) = BESIDE.iter().find_map(unit) {
                self.beside.entry(suffix).or_default().entry(unit).or_default().push((rank, path));
                continue;
            }
            if !is_name(&entry.name) || self.names.contains_key(&entry.name) {
                continue;
            }
            let place = match entry.is_link {
                true => link(root, &entry.name, path.clone(), dirs),
                false => Ok(Some(Place::File(path.clone()))),
            };
            match place {
                Ok(Some(place)) => drop(self.names.insert(entry.name, place)),
                // a link to itself: where no weaker directory has the name, whoever asks for the unit is told
                Ok(None) if root.stat_opt(&path).is_err() => self.loops.push((entry.name, path)),
                Ok(None) => {}
                // One link that leads in a circle does not keep systemd from the other units.
                Err(e) => tracing::debug!("{e:#}"),
            }
        }
        Ok(())
    }

    /// Follows a name to the file that it stands for. An instance stands for its template where it has no own file.
    pub(super) fn find(&self, root: &Root, name: &str) -> Result<Found> {
        let mut id = name.to_owned();
        for _ in 0..ALIASES_MAX {
            let template = template_of(&id);
            let place = self.names.get(&id).or_else(|| self.names.get(template.as_deref()?));
            match place {
                None => return Ok(Found::Nothing),
                Some(Place::Masked(path)) => return Ok(Found::Masked(path.clone())),
                Some(Place::File(path)) => {
                    let path = path.clone();
                    return Ok(match root.stat_opt(&path)? {
                        None => Found::Nothing,
                        Some(Stat { kind: Kind::Dir, .. }) => bail!("reading {path}: it is a directory"),
                        Some(stat) if stat.kind == Kind::File && stat.size == 0 => Found::Masked(path),
                        Some(_) => Found::Unit { id, path },
                    });
                }
                // an alias of a template is one of its instances as well
                Some(Place::Alias(to)) => id = instance_of(to, &id).unwrap_or_else(|| to.clone()),
            }
        }
        Ok(Found::Nothing)
    }

    /// Returns the unit's file and drop-ins merged, read once.
    pub(super) fn load(&self, root: &Root, id: &str, path: &str) -> Result<Arc<Unit>> {
        let loaded = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unit) = loaded().get(id) {
            return Ok(Arc::clone(unit));
        }
        let mut unit = Unit::default();
        for path in [vec![path.to_owned()], self.drop_ins(root, id)?].concat() {
            let text = root.text_opt(&path)?.unwrap_or_default();
            if text.len() > FILE_MAX {
                bail!("reading {path}: {} bytes, more than {FILE_MAX} are no unit file", text.len());
            }
            unit::parse(&path, &text, &mut unit.settings);
        }
        let unit = Arc::new(unit);
        loaded().insert(id.to_owned(), Arc::clone(&unit));
        Ok(unit)
    }

    /// Returns the links that pull units in along with this one, from its `.wants` directories or their like. One
    /// name counts once, from the strongest directory; a link to /dev/null there takes it back.
    pub(super) fn links(&self, root: &Root, id: &str, suffix: &str) -> Result<Vec<Link>> {
        let mut links: Vec<Link> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        for dir in self.beside(id, suffix) {
            for entry in self.entries_of(root, dir)?.iter() {
                let path = format!("{dir}/{}", entry.name);
                let is_first = seen.insert(entry.name.clone());
                if is_first && entry.is_link && is_name(&entry.name) && !is_null(root, &path)? {
                    links.push(Link { name: entry.name.clone(), path });
                }
            }
        }
        Ok(links)
    }

    /// Returns what the `.wants` and `.requires` directories hold of these names, with the unit that has it.
    pub(super) fn wishes_for(&self, root: &Root, names: &[String]) -> Result<Vec<Wish>> {
        let mut found = Vec::new();
        let beside = [".wants", ".requires"].iter().filter_map(|suffix| self.beside.get(suffix)).flatten();
        for (by, dirs) in beside {
            for (_, dir) in dirs {
                for entry in self.entries_of(root, dir)?.iter().filter(|entry| names.contains(&entry.name)) {
                    let path = format!("{dir}/{}", entry.name);
                    found.push(Wish { path, by: by.to_owned(), is_link: entry.is_link });
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Returns a unit's own name and its aliases.
    pub(super) fn names_of(&self, id: &str) -> Vec<String> {
        let mut names = vec![id.to_owned()];
        let mut next = 0;
        while let Some(name) = names.get(next) {
            let aliases = self.aliases.get(name).into_iter().flatten();
            let more: Vec<String> = aliases.filter(|alias| !names.contains(alias)).cloned().collect();
            names.extend(more);
            next += 1;
        }
        names
    }

    /// The paths of the drop-ins, in the order in which they are applied.
    fn drop_ins(&self, root: &Root, id: &str) -> Result<Vec<String>> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for dir in self.beside(id, ".d") {
            for entry in self.entries_of(root, dir)?.iter() {
                if entry.name.ends_with(".conf") && !entry.name.starts_with('.') {
                    let path = format!("{dir}/{}", entry.name);
                    files.entry(entry.name.clone()).or_insert(path);
                }
            }
        }
        let mut paths = Vec::new();
        for path in files.into_values() {
            // a link to /dev/null stands for no file, and hides those of its name in weaker directories
            if !is_null(root, &path)? {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    fn entries_of(&self, root: &Root, dir: &str) -> Result<Arc<[Entry]>> {
        let known = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = known().get(dir) {
            return Ok(Arc::clone(entries));
        }
        let entries: Arc<[Entry]> = root.read_dir(dir)?.into();
        known().insert(dir.to_owned(), Arc::clone(&entries));
        Ok(entries)
    }

    /// The directories beside a unit, the strongest first: of its name, its template, its prefixes (`a-b-.service.d`),
    /// its aliases, and its type (`service.d`).
    fn beside(&self, id: &str, suffix: &str) -> Vec<&str> {
        let Some(beside) = self.beside.get(suffix) else { return Vec::new() };
        let kind = id.rsplit('.').next().unwrap_or_default().to_owned();
        let mut groups: Vec<Vec<String>> = self.names_of(id).iter().map(|name| generalised(name)).collect();
        groups.push(vec![kind]);
        let mut dirs: Vec<&str> = Vec::new();
        for group in groups {
            let mut found: Vec<(usize, usize, &str)> = Vec::new();
            for (place, name) in group.iter().enumerate() {
                let here = beside.get(name).into_iter().flatten();
                found.extend(here.map(|(rank, path)| (*rank, place, path.as_str())));
            }
            found.sort_unstable();
            for (_, _, path) in found {
                if !dirs.contains(&path) {
                    dirs.push(path);
                }
            }
        }
        dirs
    }
}

/// A unit directory that exists.
struct Dir {
    path: &'static str,
    /// Its path without links.
    real: String,
}

/// Whether systemd takes this for the name of a unit.
pub(super) fn is_name(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else { return false };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.len() <= NAME_MAX && !stem.is_empty() && TYPES.contains(&kind) && name.chars().all(is_allowed)
}

/// What a link in a unit directory makes of its name.
fn link(root: &Root, name: &str, path: String, dirs: &[Dir]) -> Result<Option<Place>> {
    let Some(text) = root.link_opt(&path)? else { return Ok(None) };
    let to = joined(&path, &text);
    if to == "dev/null" {
        return Ok(Some(Place::Masked(path)));
    }
    if to.is_empty() {
        return Ok(None); // a link to the root directory
    }
    let (parent, base) = to.rsplit_once('/').unwrap_or((".", &to));
    let is_unit_dir = DIRS.contains(&parent) || {
        let real = root.resolve(parent)?;
        dirs.iter().any(|dir| Some(&dir.real) == real.as_ref())
    };
    if is_unit_dir && is_name(base) {
        // A link to its own name, or an instance's to its template, adds nothing to what stands there.
        let is_own = base == name || template_of(name).as_deref() == Some(base);
        return Ok((!is_own).then(|| Place::Alias(base.to_owned())));
    }
    // A file kept elsewhere. Where there is none the name is taken all the same: no weaker directory counts.
    Ok(Some(if is_null(root, &to)? { Place::Masked(path) } else { Place::File(path) }))
}

/// Whether a path is a link to /dev/null, also where the tree has no /dev.
fn is_null(root: &Root, path: &str) -> Result<bool> {
    Ok(root.link_opt(path)?.is_some_and(|text| joined(path, &text) == "dev/null"))
}

/// Returns where a link leads by its text alone, relative to the root.
fn joined(link: &str, text: &str) -> String {
    let base = if text.starts_with('/') { "" } else { link.rsplit_once('/').map_or("", |(dir, _)| dir) };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(text.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `getty@.service` for `getty@tty1.service`.
fn template_of(name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

/// The instance of a template that has the instance name of `name`.
fn instance_of(template: &str, name: &str) -> Option<String> {
    let (prefix, kind) = template.split_once("@.")?;
    let (_, instance) = name.rsplit_once('.')?.0.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@{instance}.{kind}"))
}

/// A name, its template, and the prefixes of both that end in a dash.
fn generalised(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    names.extend(template_of(name));
    let Some((stem, kind)) = name.rsplit_once('.') else { return names };
    let mut prefix = stem.split_once('@').map_or(stem, |(prefix, _)| prefix);
    while let Some((shorter, _)) = prefix.trim_end_matches('-').rsplit_once('-') {
        if shorter.is_empty() {
            break;
        }
        names.push(format!("{shorter}-.{kind}"));
        prefix = shorter;
    }
    names
}

#[cfg(test)]
mod tests;
