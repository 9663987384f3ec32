//! cloud-init as it will run at the next boot: what starts it, and what its files say once they are merged.
//!
//! `/etc/cloud/cloud.cfg`, then `/etc/cloud/cloud.cfg.d/*.cfg` in the order of their names, the later one stronger;
//! mappings are merged, everything else is replaced. A file that is not YAML is left out, as cloud-init does with a
//! warning in its log. What a running system keeps in `/run` ends with this boot and is not read here.
//! Source: cloud-init, `cloudinit/util.py` (`read_conf_with_confd`, `read_conf_d`, `mergemanydict`),
//! `cloudinit/stages.py` (`_find_networking_config`), `systemd/cloud-init-generator`, `tools/ds-identify`.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::init::{Enabled, Init, Services};
use crate::net::ipv6::boot_lines;
use crate::net::yaml::{self, Node};
use crate::root::Root;

/// The directory of the files that are merged over the main one.
pub const DIR: &str = "etc/cloud/cloud.cfg.d";
/// The name that cloud-init's own documentation has for a file with [`NO_NETWORK`].
pub const NO_NETWORK_STEM: &str = "disable-network-config";
/// What keeps cloud-init from configuring the network.
pub const NO_NETWORK: &str = "network: {config: disabled}\n";
const MAIN: &str = "etc/cloud/cloud.cfg";
/// Its presence keeps cloud-init from starting.
pub const DISABLED: &str = "etc/cloud/cloud-init.disabled";

const PROGRAMS: [&str; 3] = ["usr/bin/cloud-init", "usr/local/bin/cloud-init", "bin/cloud-init"];
const DS_IDENTIFY: [&str; 3] =
    ["usr/lib/cloud-init/ds-identify", "usr/libexec/cloud-init/ds-identify", "lib/cloud-init/ds-identify"];
/// The units of every release; any one of the first stages is enough.
const UNITS: [&str; 4] = ["cloud-init-local", "cloud-init-main", "cloud-init", "cloud-init-network"];
/// The most files that are read.
const FILES_MAX: usize = 200;

/// What is known of an installed cloud-init.
#[derive(Debug)]
pub struct CloudInit {
    /// Whether the next boot starts it.
    pub starts: Starts,
    /// Whether it would without the file [`DISABLED`].
    pub would_start: Starts,
    /// Its files, the strongest first.
    files: Vec<(String, Rc<Node>)>,
    /// Files that it leaves out, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// The kernel's command line, each part with its place.
    line: Vec<(String, String)>,
    /// Whether ds-identify looks first which data sources exist, so that the others are not waited for.
    pub is_filtered: bool,
}

/// Whether something starts cloud-init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starts {
    /// It starts; what makes it.
    Yes(String),
    /// It does not; where that is said, and how.
    No(String, String),
}

/// A value and the file that says it.
#[derive(Debug)]
pub struct Said<'c> {
    /// The value.
    pub(crate) node: &'c Node,
    /// File and line.
    pub source: String,
}

impl CloudInit {
    /// Returns what the files say of cloud-init; `None` where it is not installed.
    ///
    /// # Errors
    /// A file or directory cannot be read.
    pub fn of(root: &Root, services: &Services) -> Result<Option<Self>> {
        if !PROGRAMS.iter().any(|path| root.exists(path)) {
            return Ok(None);
        }
        let line = match root.text_opt("proc/cmdline")? {
            Some(line) => vec![("proc/cmdline".to_owned(), line.trim().to_owned())],
            None => boot_lines(root)?,
        };
        let (files, left_out) = configuration(root)?;
        let is_filtered = DS_IDENTIFY.iter().any(|path| root.exists(path));
        let would_start = starts(root, services)?;
        let mut found = Self { starts: would_start.clone(), would_start, files, left_out, line, is_filtered };
        if root.exists(DISABLED) {
            found.starts = Starts::No(DISABLED.to_owned(), "this file keeps it from starting".to_owned());
        }
        if let Some((source, word)) = found.word(|word| word == "cloud-init=disabled") {
            found.starts = Starts::No(source, word);
            found.would_start = found.starts.clone();
        }
        Ok(Some(found))
    }

    /// Returns what the merged configuration says at a path of keys.
    pub fn said(&self, keys: &[&str]) -> Option<Said<'_>> {
        let mut is_merging = false;
        for (path, top) in &self.files {
            let Some(mut node) = top.get(keys.first()?) else { continue };
            // what is no mapping replaces all weaker ones, and is ignored under a stronger mapping
            let is_mapping = !node.entries().is_empty();
            if is_merging && !is_mapping {
                continue;
            }
            is_merging = is_mapping;
            let mut is_there = true;
            for key in &keys[1..] {
                match node.get(key) {
                    Some(inner) => node = inner,
                    None => {
                        is_there = false;
                        break;
                    }
                }
            }
            if is_there {
                return Some(Said { node, source: format!("{path}:{}", node.line) });
            }
            if !is_mapping {
                return None;
            }
        }
        None
    }

    /// Returns where network configuration by cloud-init is switched off, and what says it.
    pub fn network_off(&self) -> Option<(String, String)> {
        let by_kernel = self.word(|word| word == "network-config=disabled");
        by_kernel.or_else(|| {
            let said = self.said(&["network", "config"])?;
            (said.node.text() == Some("disabled"))
                .then(|| (said.source, "network: {config: disabled}".to_owned()))
        })
    }

    /// Returns the data sources in the order in which they are asked, and where that is said; `None` where nothing
    /// says it, and cloud-init asks all that it has.
    pub fn sources(&self) -> Option<(String, Vec<String>)> {
        for name in ["ci.datasource=", "ci.ds=", "ds="] {
            if let Some((source, word)) = self.word(|word| word.starts_with(name)) {
                let value = &word[name.len()..];
                let value = value.split([';', ',']).next().unwrap_or_default();
                return Some((source, vec![value.to_owned()]));
            }
        }
        let said = self.said(&["datasource_list"])?;
        let names = said.node.items().iter().filter_map(|item| item.text().map(str::to_owned));
        Some((said.source, names.collect()))
    }

    /// Returns a file of [`DIR`] that is read after every file that has the top-level key, and says nothing yet.
    ///
    /// # Errors
    /// There is no such name: another file has to be edited by hand.
    pub fn place_for(&self, root: &Root, key: &str, stem: &str) -> Result<String> {
        let strongest =
            self.files.iter().find(|(_, top)| top.get(key).is_some()).map(|(path, _)| path.as_str());
        let free = |path: &String| {
            let is_later = strongest.is_none_or(|other| other == MAIN || path.as_str() > other);
            is_later && !root.exists(path)
        };
        let mut names = ["99-", "zz-"].iter().map(|prefix| format!("{DIR}/{prefix}{stem}.cfg"));
        names.find(free).with_context(|| {
            format!("{} has the last word on {key} and has to be edited by hand", strongest.unwrap_or(DIR))
        })
    }

    /// Returns the files that say something at a path of keys, each with the value when it is a word.
    pub fn files_with(&self, keys: [&str; 2]) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.files
            .iter()
            .filter_map(move |(path, top)| Some((path.as_str(), top.get(keys[0])?.get(keys[1])?.text())))
    }

    /// Returns the first word of the kernel's command line that `wanted` accepts.
    fn word(&self, wanted: impl Fn(&str) -> bool) -> Option<(String, String)> {
        self.line.iter().find_map(|(source, line)| {
            let word = line.split_whitespace().find(|word| wanted(word))?;
            Some((source.clone(), word.to_owned()))
        })
    }
}

type Files = (Vec<(String, Rc<Node>)>, Vec<(String, String)>);

/// Returns the files that are YAML, the strongest first, and those that are not.
fn configuration(root: &Root) -> Result<Files> {
    let mut files = Vec::new();
    let mut left_out = Vec::new();
    let dropped_in = root.files_in(DIR, ".cfg")?;
    let paths = dropped_in.into_iter().take(FILES_MAX).rev().chain([MAIN.to_owned()]);
    for path in paths {
        if root.stat_opt(&path)?.is_none_or(|stat| stat.kind != crate::root::Kind::File) {
            continue;
        }
        let text = root.text_opt(&path)?.unwrap_or_default();
        let is_template = text.lines().next().is_some_and(|line| line.trim() == "## template: jinja");
        match yaml::parse(&text) {
            Ok(Some(node)) if node.text().is_none() && node.items().is_empty() => files.push((path, node)),
            Ok(None) => {}
            Ok(Some(_)) => left_out.push((path, "it is no mapping".to_owned())),
            Err(_) if is_template => left_out.push((path, "a template: not filled in here".to_owned())),
            Err(e) => left_out.push((path, format!("not YAML: {e:#}"))),
        }
    }
    Ok((files, left_out))
}

/// Whether the init system starts it where [`DISABLED`] does not keep it from that.
fn starts(root: &Root, services: &Services) -> Result<Starts> {
    let never = || Starts::No("the init system".to_owned(), "nothing starts cloud-init".to_owned());
    if services.init != Init::Systemd {
        for name in UNITS {
            if let Some(service) = services.named(root, name)?
                && let Enabled::Yes(source) = service.enabled
            {
                return Ok(Starts::Yes(source));
            }
        }
        return Ok(never());
    }
    let in_a_boot = services.reachable(root)?;
    // what is forbidden by the file is not in it
    let by_generator =
        if root.exists(DISABLED) { services.reachable_by_cloud_init(root)? } else { BTreeMap::new() };
    let mut units = UNITS.iter().map(|name| format!("{name}.service"));
    if let Some(pulled) = units.find_map(|unit| in_a_boot.get(&unit).or_else(|| by_generator.get(&unit))) {
        return Ok(Starts::Yes(pulled.source.clone()));
    }
    Ok(never())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::os::Os;
    use crate::facts::tree::Tree;

    /// Files of a systemd that starts cloud-init.
    pub(crate) const INSTALLED: [(&str, &str); 6] = [
        ("usr/bin/cloud-init", ""),
        ("usr/lib/systemd/systemd", ""),
        ("usr/lib/systemd/system-generators/cloud-init-generator", ""),
        ("usr/lib/systemd/system/cloud-init.target", "[Unit]\nWants=cloud-init-local.service\n"),
        (
            "usr/lib/systemd/system/cloud-init-local.service",
            "[Service]\nExecStart=/usr/bin/cloud-init init\n",
        ),
        ("usr/lib/systemd/system/default.target", "[Unit]\nDescription=x\n"),
    ];

    fn read(files: &[(&str, &str)]) -> CloudInit {
        let tree = Tree::of(&[&INSTALLED[..], files].concat());
        let root = tree.root();
        CloudInit::of(&root, &Services::of(&root, &Os::of(&root))).unwrap().unwrap()
    }

    #[test]
    fn the_later_file_wins_and_mappings_are_merged() {
        let main = (MAIN, "#cloud-config\ndatasource_list: [ NoCloud ]\nnetwork: {version: 2}\n");
        let early = ("etc/cloud/cloud.cfg.d/10_x.cfg", "## template: jinja\nnetwork:\n  config: disabled\n");
        let late = ("etc/cloud/cloud.cfg.d/90_y.cfg", "datasource_list: [ None, ConfigDrive ]\n");
        let unread = ("etc/cloud/cloud.cfg.d/95.cfg.dpkg-old", "datasource_list: [ Ec2 ]\n");
        let found = read(&[main, early, late, unread]);
        assert_eq!(
            found.sources(),
            Some((format!("{}:1", late.0), vec!["None".to_owned(), "ConfigDrive".to_owned()]))
        );
        assert_eq!(found.network_off().unwrap().0, "etc/cloud/cloud.cfg.d/10_x.cfg:3");
        let stronger = ("etc/cloud/cloud.cfg.d/50.cfg", "network: {config: [], version: 1}\n");
        assert_eq!(read(&[main, early, stronger]).network_off(), None);
        let scalar = ("etc/cloud/cloud.cfg.d/50.cfg", "network: none\n");
        assert_eq!(read(&[early, scalar]).network_off(), None, "what is no mapping replaces the weaker one");
    }

    #[test]
    fn a_file_that_is_not_yaml_says_nothing() {
        let broken = ("etc/cloud/cloud.cfg.d/10.cfg", "network: {config: disabled\n");
        let list = ("etc/cloud/cloud.cfg.d/20.cfg", "- network\n");
        let template = (
            "etc/cloud/cloud.cfg.d/30.cfg",
            "## template: jinja\n{% if v1 %}\nnetwork: {config: disabled}\n",
        );
        let found = read(&[broken, list, template]);
        assert_eq!(found.network_off(), None);
        let names: Vec<_> = found.left_out.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, [template.0, list.0, broken.0]);
    }

    #[test]
    fn the_kernel_s_command_line_decides() {
        let line = |text| [("proc/cmdline", text)];
        assert!(read(&line("root=/dev/xvda1 network-config=disabled\n")).network_off().is_some());
        assert_eq!(read(&line("ci.ds=Ec2 x\n")).sources().unwrap().1, ["Ec2"]);
        assert!(matches!(read(&line("cloud-init=disabled")).starts, Starts::No(..)));
        let grub = ("boot/grub/grub.cfg", "linux /vmlinuz root=/dev/xvda1 cloud-init=disabled\n");
        assert_eq!(
            read(&[grub]).starts,
            Starts::No("boot/grub/grub.cfg:1".to_owned(), "cloud-init=disabled".to_owned())
        );
    }

    #[test]
    fn it_starts_unless_something_keeps_it_from_it() {
        assert!(matches!(read(&[]).starts, Starts::Yes(_)));
        assert!(matches!(read(&[(DISABLED, "")]).starts, Starts::No(..)));
        let tree = Tree::of(&INSTALLED).link("etc/systemd/system/cloud-init-local.service", "/dev/null");
        let root = tree.root();
        let found = CloudInit::of(&root, &Services::of(&root, &Os::of(&root))).unwrap().unwrap();
        assert!(matches!(found.starts, Starts::No(..)), "{:?}", found.starts);
    }

    #[test]
    fn a_new_file_is_read_after_those_that_say_it() {
        let place = |files: &[(&str, &str)]| {
            let tree = Tree::of(&[&INSTALLED[..], files].concat());
            let root = tree.root();
            let found = CloudInit::of(&root, &Services::of(&root, &Os::of(&root))).unwrap().unwrap();
            found.place_for(&root, "network", "net").ok()
        };
        let file = |name: &str| Some(format!("{DIR}/{name}"));
        assert_eq!(place(&[(MAIN, "network: {}")]), file("99-net.cfg"));
        assert_eq!(place(&[("etc/cloud/cloud.cfg.d/99-z.cfg", "network: {version: 2}")]), file("zz-net.cfg"));
        assert_eq!(place(&[("etc/cloud/cloud.cfg.d/99-z.cfg", "users: []")]), file("99-net.cfg"));
        assert_eq!(place(&[("etc/cloud/cloud.cfg.d/zzz.cfg", "network: {version: 2}")]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(network:|config|disabled|\\{|\\}|\\[|- |\n|  |\\PC{0,4})*") {
            let found = read(&[(MAIN, &text)]);
            found.network_off();
            found.sources();
        }
    }
}
