//! The interfaces that the configuration of a system makes, and what each file says about a NIC.
//!
//! For a mounted root without a record of its links this is all there is; on a running guest it says which file
//! keeps IPv6 off. A file counts only when the program that reads it is there: what a former back end left behind
//! makes no interface. Each format has its own file, whose `look` adds [`Planned`] entries.
//!
//! To add a format: its file with `parse` and `look`, and one line in [`FORMATS`].

use std::cell::OnceCell;
use std::collections::BTreeSet;

use anyhow::{Result, bail};
use ipnet::IpNet;
use serde::Serialize;

use super::links::Kind;
use super::{Mac, containers, eni, ifcfg, keyfile, netplan, networkd, openvpn, wireguard};
use crate::glob;
use crate::root::Root;

/// The most files that are read in all: configuration has dozens, a hostile tree can have millions.
const FILES_MAX: usize = 2000;
/// The most interfaces that are kept.
const PLANNED_MAX: usize = 10_000;

/// Every format.
const FORMATS: &[fn(&mut Scan)] = &[
    netplan::look,
    networkd::look,
    keyfile::look,
    ifcfg::look,
    eni::look,
    openvpn::look,
    wireguard::look,
    containers::look,
];

/// What the configuration says.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Interfaces and NIC profiles, per format in the order in which its program takes them.
    pub planned: Vec<Planned>,
    /// Files that could not be read, each with the reason.
    pub unread: Vec<Seen>,
}

/// A place and what it says, one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// A file, with a line where there is one: `etc/sysctl.d/99-x.conf:3`.
    pub source: String,
    /// What it says.
    pub text: String,
}

impl Seen {
    /// Returns a line of a file.
    pub(super) fn line(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self { source: format!("{file}:{line}"), text: text.into() }
    }

    /// Returns a file, or something that has no lines.
    pub(super) fn at(source: impl Into<String>, text: impl Into<String>) -> Self {
        Self { source: source.into(), text: text.into() }
    }
}

/// An interface that a file makes, or a NIC that it configures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The program that reads the file, such as `netplan`.
    pub reader: &'static str,
    /// Which links it is about.
    pub to: Match,
    /// What the link is; for a NIC [`Kind::ETHERNET`].
    pub kind: Kind,
    /// Whether it is made at boot; otherwise only when somebody asks for it.
    pub at_boot: bool,
    /// The file and the line that says so.
    pub seen: Seen,
    /// The line that keeps IPv6 off it.
    pub ipv6_off: Option<Seen>,
    /// The addresses that it gets.
    pub addresses: Vec<IpNet>,
}

/// Which links an entry is about. Where both are given, both must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Match {
    /// Patterns of names; none is any name.
    pub names: Vec<String>,
    /// MACs; none is any.
    pub macs: Vec<Mac>,
}

impl Match {
    /// Returns the link of this name.
    pub fn name(name: impl Into<String>) -> Self {
        Self { names: vec![name.into()], macs: Vec::new() }
    }

    /// Whether a link is meant.
    pub fn is(&self, name: &str, mac: Option<Mac>) -> bool {
        (self.names.is_empty() || self.names.iter().any(|pattern| glob::matches(pattern, name)))
            && (self.macs.is_empty() || mac.is_some_and(|mac| self.macs.contains(&mac)))
    }

    /// Returns the one name that is meant; `None` for a pattern, several names, or a MAC alone.
    pub fn single(&self) -> Option<&str> {
        match self.names.as_slice() {
            [name] if !name.contains(['*', '?', '[', '!']) => Some(name),
            _ => None,
        }
    }
}

impl Configuration {
    /// Reads all of it.
    pub fn of(root: &Root) -> Self {
        let mut scan = Scan::of(root);
        for look in FORMATS {
            look(&mut scan);
        }
        scan.found
    }

    /// Returns the addresses that a link gets: of each program, those of the first entry that is about it.
    pub fn addresses(&self, name: &str, mac: Option<Mac>) -> Vec<IpNet> {
        self.first_entries(name, mac).flat_map(|entry| entry.addresses.iter().copied()).collect()
    }

    /// Returns the lines that keep IPv6 off a NIC: of each program, those of the first entry that is about it.
    pub fn ipv6_off(&self, name: &str, mac: Option<Mac>) -> Vec<&Seen> {
        self.without_ipv6(name, mac).filter_map(|entry| entry.ipv6_off.as_ref()).collect()
    }

    /// Returns the entries of these lines.
    pub(crate) fn without_ipv6(&self, name: &str, mac: Option<Mac>) -> impl Iterator<Item = &Planned> {
        self.first_entries(name, mac).filter(|entry| entry.ipv6_off.is_some())
    }

    fn first_entries(&self, name: &str, mac: Option<Mac>) -> impl Iterator<Item = &Planned> {
        let mut readers = BTreeSet::new();
        let about = self.planned.iter().filter(move |entry| entry.to.is(name, mac));
        about.filter(move |entry| readers.insert(entry.reader))
    }
}

/// One walk over a root's configuration.
pub(crate) struct Scan<'r> {
    pub(crate) root: &'r Root,
    /// Names in systemd's `*.wants` directories: what the administrator's links start at boot. Read when asked for:
    /// most walks do not, and the directories can be large.
    wanted: OnceCell<BTreeSet<String>>,
    found: Configuration,
    files: usize,
}

impl<'r> Scan<'r> {
    /// Returns a walk over a root.
    pub(crate) fn of(root: &'r Root) -> Self {
        Self { root, wanted: OnceCell::new(), found: Configuration::default(), files: 0 }
    }

    /// Ends a walk whose files are all needed.
    ///
    /// # Errors
    /// One of them could not be read.
    pub(crate) fn complete(self) -> Result<()> {
        match self.found.unread.first() {
            Some(unread) => bail!("{}", unread.text),
            None => Ok(()),
        }
    }

    /// Whether a unit is started at boot by a link.
    pub(crate) fn is_wanted(&self, unit: &str) -> bool {
        self.wanted.get_or_init(|| wanted_units(self.root)).contains(unit)
    }

    /// Whether a System V or OpenRC script of this name is started at boot.
    pub(super) fn is_started_by_script(&self, name: &str) -> bool {
        let is_link = |entry: &crate::root::Entry| {
            entry.name.strip_prefix('S').and_then(|rest| rest.get(2..)).is_some_and(|rest| rest == name)
        };
        let levels = ["etc/rc2.d", "etc/rc3.d", "etc/rc5.d", "etc/rc.d/rc3.d", "etc/rc.d/rc5.d"];
        levels.iter().any(|dir| self.root.read_dir(dir).is_ok_and(|entries| entries.iter().any(is_link)))
            || ["boot", "default"]
                .iter()
                .any(|level| self.root.exists(&format!("etc/runlevels/{level}/{name}")))
    }

    /// Returns the files of a directory whose name ends in `suffix`, in order.
    pub(crate) fn files(&mut self, dir: &str, suffix: &str) -> Vec<String> {
        match self.root.files_in(dir, suffix) {
            Ok(files) => files,
            Err(error) => {
                self.trouble(dir, &error);
                Vec::new()
            }
        }
    }

    /// Returns the text of a file; `None` when it is missing or cannot be read, which is kept.
    pub(crate) fn text(&mut self, path: &str) -> Option<String> {
        if self.files == FILES_MAX {
            return None;
        }
        self.files += 1;
        match self.root.text_opt(path) {
            Ok(text) => text,
            Err(error) => {
                self.trouble(path, &error);
                None
            }
        }
    }

    /// Keeps the reason why a file could not be read; it names the file.
    pub(super) fn trouble(&mut self, path: &str, error: &anyhow::Error) {
        let text = format!("{error:#}");
        let text = if text.contains(path) { text } else { format!("reading {path}: {text}") };
        self.found.unread.push(Seen::at(path, text));
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, planned: Planned) {
        if self.found.planned.len() < PLANNED_MAX {
            self.found.planned.push(planned);
        }
    }
}

/// Lists the names in every `*.wants` and `*.requires` directory of etc and run.
fn wanted_units(root: &Root) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for dir in ["etc/systemd/system", "run/systemd/system", "run/systemd/generator"] {
        let Ok(entries) = root.read_dir(dir) else { continue };
        let dirs = entries.iter().map(|entry| &entry.name);
        for name in
            dirs.filter(|name| name.ends_with(".wants") || name.ends_with(".requires")).take(FILES_MAX)
        {
            let Ok(units) = root.read_dir(&format!("{dir}/{name}")) else { continue };
            wanted.extend(units.into_iter().map(|unit| unit.name).take(FILES_MAX));
        }
    }
    wanted
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make trees")]
pub(super) mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A root with these files: links where the text begins with `->`, programs where it is `!`.
    pub(in crate::net) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(to) = text.strip_prefix("->") {
                symlink(to, &path).unwrap();
                continue;
            }
            std::fs::write(&path, text).unwrap();
            let mode = if *text == "!" { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    /// The entries of a configuration in short: name or patterns, kind, whether at boot, source.
    pub(in crate::net) fn short(files: &[(&str, &str)]) -> Vec<(String, String, bool, String)> {
        let (_dir, root) = tree(files);
        let entries = Configuration::of(&root).planned;
        let short = |p: Planned| (p.to.names.join(" "), p.kind.word().to_owned(), p.at_boot, p.seen.source);
        entries.into_iter().map(short).collect()
    }

    /// The sources that keep IPv6 off a NIC.
    pub(in crate::net) fn off(files: &[(&str, &str)], name: &str, mac: &str) -> Vec<String> {
        let (_dir, root) = tree(files);
        let configuration = Configuration::of(&root);
        configuration.ipv6_off(name, mac.parse().ok()).into_iter().map(|seen| seen.source.clone()).collect()
    }

    /// The addresses that a NIC gets.
    pub(in crate::net) fn addresses(files: &[(&str, &str)], name: &str) -> Vec<String> {
        let (_dir, root) = tree(files);
        Configuration::of(&root).addresses(name, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_entry_is_about_what_both_name_and_mac_match() {
        let mac = "bc:76:4e:20:75:72".parse().ok();
        let both = Match { names: vec!["eth*".to_owned()], macs: vec![mac.unwrap()] };
        assert!(both.is("eth0", mac) && !both.is("eth0", None) && !both.is("ens3", mac));
        assert!(Match::default().is("eth0", None));
        assert_eq!((both.single(), Match::name("br0").single()), (None, Some("br0")));
    }

    #[test]
    fn files_whose_program_is_missing_make_nothing() {
        let planned = short(&[
            ("etc/netplan/01.yaml", "network: {bridges: {br0: {}}}"),
            ("etc/systemd/network/br.netdev", "[NetDev]\nName=br1\nKind=bridge\n"),
            ("etc/NetworkManager/system-connections/x", "[connection]\ntype=bridge\ninterface-name=br2\n"),
            ("etc/sysconfig/network-scripts/ifcfg-br3", "TYPE=Bridge\nDEVICE=br3\n"),
            ("etc/network/interfaces", "iface br4 inet manual\n bridge_ports none\n"),
        ]);
        assert_eq!(planned, []);
    }
}
