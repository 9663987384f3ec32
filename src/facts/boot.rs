//! The order of a systemd boot: the units that are really pulled in, what starts before what, and its cycles.
//!
//! Only edges that systemd makes are taken (systemd.unit(5), systemd.service(5) and their like: explicit `After=`
//! and `Before=`, default dependencies), and only between units that boot pulls in, so that a cycle found here is one
//! that systemd breaks by dropping a job. Edges of mounts out of fstab and of devices are left out: they can hide a
//! cycle, never invent one.

mod files;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::Result;

use files::Files;

use super::init::{Service, Setting, Unit};
use crate::root::Root;

/// Units that are followed; a large system pulls in about 300.
const UNITS_MAX: usize = 4000;
/// Cycles that are reported; the first one explains most of the others.
const CYCLES_MAX: usize = 3;

/// The units of a boot.
#[derive(Debug, Default)]
pub struct Boot {
    nodes: BTreeMap<String, Node>,
    /// Other names of these units.
    aliases: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Node {
    unit: Arc<Unit>,
    pulls: BTreeSet<String>,
}

/// One unit starts before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The unit that starts first.
    pub first: String,
    /// The unit that waits for it.
    pub then: String,
    /// File and line that say so, or the manual page of a default.
    pub source: String,
    /// What is said there.
    pub text: String,
}

impl Boot {
    /// Follows what `default.target` pulls in. `load` returns a unit with its drop-ins; `scripts` are init scripts
    /// that systemd's generator makes services of.
    ///
    /// # Errors
    /// A unit file or directory cannot be read.
    pub fn of(
        root: &Root,
        scripts: &[&Service],
        load: impl Fn(&str) -> Result<Option<Arc<Unit>>>,
    ) -> Result<Self> {
        let mut boot = Self::default();
        let files = Files::of(root)?;
        let mut waiting = VecDeque::from(["default.target".to_owned()]);
        if cloud_init_boots(root) {
            waiting.push_back("cloud-init.target".to_owned());
        }
        while let Some(name) = waiting.pop_front() {
            if boot.aliases.contains_key(&name) || boot.nodes.len() >= UNITS_MAX {
                continue;
            }
            let Some(own_name) = files.own_name(root, &name)? else { continue };
            boot.aliases.insert(name, own_name.clone());
            if boot.nodes.contains_key(&own_name) {
                continue;
            }
            let Some(unit) = load(&own_name)? else { continue };
            let pulls = files.pulls(root, &own_name, &unit)?;
            waiting.extend(pulls.iter().cloned());
            boot.aliases.insert(own_name.clone(), own_name.clone());
            boot.nodes.insert(own_name, Node { unit, pulls });
        }
        for script in scripts {
            boot.add_script(script);
        }
        Ok(boot)
    }

    fn add_script(&mut self, script: &Service) {
        let name = format!("{}.service", script.name);
        if self.nodes.contains_key(&name) {
            return;
        }
        if let Some(target) = self.nodes.get_mut("multi-user.target") {
            target.pulls.insert(name.clone());
        }
        self.aliases.insert(name.clone(), name.clone());
        self.nodes.insert(name, Node { unit: of_script(script).into(), pulls: BTreeSet::new() });
    }

    /// Returns the units that boot pulls in whose names `wanted` accepts.
    pub fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        self.nodes.keys().map(String::as_str).filter(|name| wanted(name)).collect()
    }

    /// Returns the unit of this name when boot pulls it in.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.nodes.get(name).map(|node| &*node.unit)
    }

    /// Returns the cycles that go through one of these units, each as the edges around it, the shortest for each
    /// unit; of cycles with the same members one.
    pub fn cycles(&self, through: &[&str]) -> Vec<Vec<Edge>> {
        let edges = self.edges();
        let mut after: BTreeMap<&str, Vec<&Edge>> = BTreeMap::new();
        for edge in &edges {
            after.entry(&edge.first).or_default().push(edge);
        }
        let mut cycles: Vec<Vec<Edge>> = Vec::new();
        let mut known: BTreeSet<String> = BTreeSet::new();
        for start in through {
            if cycles.len() >= CYCLES_MAX || known.contains(*start) {
                continue;
            }
            if let Some(cycle) = shortest_cycle(start, &after) {
                known.extend(cycle.iter().map(|edge| edge.first.clone()));
                cycles.push(cycle);
            }
        }
        cycles
    }

    /// Every edge between units of this boot.
    fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (name, node) in &self.nodes {
            for setting in node.unit.settings.iter().filter(|setting| setting.section == "Unit") {
                let waits = match setting.key.as_str() {
                    "After" => true,
                    "Before" => false,
                    _ => continue,
                };
                // An empty assignment does not take back earlier ones here, unlike in other lists.
                for other in setting.value.split_whitespace() {
                    let text = format!("{}={other}", setting.key);
                    let (first, then) = if waits { (other, name.as_str()) } else { (name.as_str(), other) };
                    self.add(&mut edges, first, then, &setting.source, text);
                }
            }
            self.defaults(name, node, &mut edges);
        }
        edges
    }

    /// The edges that systemd adds by itself.
    fn defaults(&self, name: &str, node: &Node, edges: &mut Vec<Edge>) {
        let kind = name.rsplit('.').next().unwrap_or_default();
        let by_default = |other: &str| format!("{kind} units start after {other}");
        let after = |edges: &mut Vec<Edge>, other: &str| {
            self.add(edges, other, name, &format!("systemd.{kind}(5)"), by_default(other));
        };
        // with a BusName= and no Type= the type is dbus; systemd-timesyncd has both, and starts before the bus
        let is_on_bus = match node.unit.last("Service", "Type") {
            Some(setting) => setting.value == "dbus",
            None => node.unit.last("Service", "BusName").is_some(),
        };
        if is_on_bus {
            after(edges, "dbus.socket");
        }
        if !has_defaults(&node.unit) {
            return;
        }
        for other in waits_for(kind) {
            after(edges, other);
        }
        match kind {
            "socket" | "timer" | "path" => {
                let group = format!("{kind}s.target");
                let text = format!("{kind} units start before {group}");
                self.add(edges, name, &group, &format!("systemd.{kind}(5)"), text);
            }
            "target" => {
                for other in &node.pulls {
                    if self.waits_by_default(name, other) {
                        after(edges, other);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a target starts after a unit that it pulls in: not when that unit has no default dependencies, nor
    /// when it starts after the target already (systemd, unit_add_default_target_dependency).
    fn waits_by_default(&self, target: &str, other: &str) -> bool {
        let Some(own_name) = self.aliases.get(other) else { return false };
        let Some(node) = self.nodes.get(own_name) else { return false };
        let mentions = |unit: &Unit, key: &str, name: &str| {
            let is_key = |setting: &&Setting| setting.section == "Unit" && setting.key == key;
            let mut words =
                unit.settings.iter().filter(is_key).flat_map(|setting| setting.value.split_whitespace());
            words.any(|word| self.aliases.get(word).map_or(word, String::as_str) == name)
        };
        let before = self.nodes.get(target).is_some_and(|node| mentions(&node.unit, "Before", own_name));
        let kind = own_name.rsplit('.').next().unwrap_or_default();
        let after = mentions(&node.unit, "After", target) || waits_for(kind).contains(&target);
        has_defaults(&node.unit) && !before && !after
    }

    fn add(&self, edges: &mut Vec<Edge>, first: &str, then: &str, source: &str, text: String) {
        let own_name = |name: &str| self.aliases.get(name).filter(|name| self.nodes.contains_key(*name));
        // A unit that boot does not pull in has no job to wait for.
        let (Some(first), Some(then)) = (own_name(first), own_name(then)) else { return };
        if first != then {
            let (first, then) = (first.clone(), then.clone());
            edges.push(Edge { first, then, source: source.to_owned(), text });
        }
    }
}

/// Searches breadth first from a unit along what waits for it, until it is met again.
fn shortest_cycle(start: &str, after: &BTreeMap<&str, Vec<&Edge>>) -> Option<Vec<Edge>> {
    let mut reached: BTreeMap<&str, &Edge> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(name) = waiting.pop_front() {
        for edge in after.get(name).into_iter().flatten() {
            if edge.then == start {
                let mut cycle = vec![(*edge).clone()];
                let mut name = name;
                while let Some(edge) = reached.get(name).filter(|_| name != start) {
                    cycle.push((*edge).clone());
                    name = &edge.first;
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !reached.contains_key(edge.then.as_str()) {
                reached.insert(&edge.then, edge);
                waiting.push_back(&edge.then);
            }
        }
    }
    None
}

/// What a kind of unit starts after by default.
fn waits_for(kind: &str) -> &'static [&'static str] {
    match kind {
        "service" => &["sysinit.target", "basic.target"],
        "socket" | "timer" | "path" => &["sysinit.target"],
        _ => &[],
    }
}

fn has_defaults(unit: &Unit) -> bool {
    let setting = unit.last("Unit", "DefaultDependencies").map(|setting| setting.value.to_ascii_lowercase());
    !matches!(setting.as_deref(), Some("no" | "false" | "off" | "0" | "n" | "f"))
}

/// cloud-init's generator pulls its target in at boot, unless a file or the kernel's command line forbids it
/// (cloud-init, tools/ds-identify and cloud-init-generator).
fn cloud_init_boots(root: &Root) -> bool {
    let generators = ["usr/lib/systemd/system-generators", "lib/systemd/system-generators"];
    generators.iter().any(|dir| root.exists(&format!("{dir}/cloud-init-generator")))
        && !root.exists("etc/cloud/cloud-init.disabled")
}

/// The unit that systemd-sysv-generator makes of an init script.
fn of_script(script: &Service) -> Unit {
    let names = script.order.iter().flat_map(|order| &order.after);
    let settings = names.filter_map(|name| {
        let value = match name.as_str() {
            "$network" => "network-online.target".to_owned(),
            "$named" => "nss-lookup.target".to_owned(),
            "$portmap" => "rpcbind.target".to_owned(),
            "$remote_fs" => "remote-fs.target".to_owned(),
            "$time" => "time-sync.target".to_owned(),
            facility if facility.starts_with('$') => return None,
            name => format!("{}.service", name.trim_end_matches(".sh")),
        };
        let (section, key) = ("Unit".to_owned(), "After".to_owned());
        Some(Setting { section, key, value, source: script.path.clone() })
    });
    Unit { settings: settings.collect() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::files::UNIT_DIRS;
    use super::*;
    use crate::facts::init::{Enabled, Init, Order};
    use crate::facts::tree::Tree;

    /// Reads a unit with its drop-ins, as far as these tests need it.
    pub(crate) fn load(root: &Root, name: &str) -> Result<Option<Arc<Unit>>> {
        let mut unit = Unit::default();
        let paths = UNIT_DIRS.iter().map(|dir| format!("{dir}/{name}"));
        let Some(path) = paths.into_iter().find(|path| root.exists(path)) else { return Ok(None) };
        let mut files = vec![path];
        for dir in UNIT_DIRS {
            files.extend(root.files_in(&format!("{dir}/{name}.d"), ".conf")?);
        }
        for path in files {
            let mut section = String::new();
            for (place, line) in root.text_opt(&path)?.unwrap_or_default().lines().enumerate() {
                if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                    name.clone_into(&mut section);
                } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
                    let (section, key, value) = (section.clone(), key.to_owned(), value.to_owned());
                    let source = format!("{path}:{}", place + 1);
                    unit.settings.push(Setting { section, key, value, source });
                }
            }
        }
        Ok(Some(unit.into()))
    }

    fn boot(files: &[(&str, &str)], scripts: &[&Service]) -> Boot {
        let paths: Vec<(String, &str)> =
            files.iter().map(|(name, text)| (format!("usr/lib/systemd/system/{name}"), *text)).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let root = Tree::of(&files).link("etc/systemd/system/default.target", "/lib/multi-user.target");
        let root = root.root();
        Boot::of(&root, scripts, |name| load(&root, name)).unwrap()
    }

    fn members(boot: &Boot, through: &str) -> Vec<Vec<String>> {
        let cycles = boot.cycles(&[through]);
        cycles.iter().map(|cycle| cycle.iter().map(|edge| edge.first.clone()).collect()).collect()
    }

    const TARGETS: [(&str, &str); 3] = [
        ("multi-user.target", "[Unit]\nRequires=basic.target\nWants=a.service b.service\n"),
        ("basic.target", "[Unit]\nDefaultDependencies=no\nRequires=sysinit.target\nAfter=sysinit.target\n"),
        ("sysinit.target", "[Unit]\nDefaultDependencies=no\n"),
    ];

    fn with_ab<'t>(a: &'t str, b: &'t str) -> Vec<(&'t str, &'t str)> {
        [&TARGETS[..], &[("a.service", a), ("b.service", b)]].concat()
    }

    #[test]
    fn a_cycle_is_found_where_units_wait_for_each_other() {
        let plain = "[Unit]\n[Service]\nExecStart=/bin/true\n";
        let early = "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\nAfter=b.service\n";
        for (a, b, expected) in [
            (plain, plain, vec![]),
            ("[Unit]\nAfter=b.service\n", plain, vec![]),
            ("[Unit]\nAfter=b.service\n", "[Unit]\nAfter=a.service\n", vec![vec!["a.service", "b.service"]]),
            ("[Unit]\nAfter=b.service\nBefore=b.service\n", plain, vec![vec!["a.service", "b.service"]]),
            (early, plain, vec![vec!["a.service", "sysinit.target", "b.service"]]),
            ("[Unit]\nAfter=multi-user.target\n", plain, vec![]),
            ("[Unit]\nAfter=a.service nobody.service\n", plain, vec![]),
        ] {
            assert_eq!(members(&boot(&with_ab(a, b), &[]), "a.service"), expected, "{a}");
        }
    }

    #[test]
    fn a_unit_that_boot_does_not_pull_in_closes_no_cycle() {
        let mut files = with_ab("[Unit]\nAfter=c.service\n", "[Unit]\n");
        files.push(("c.service", "[Unit]\nAfter=a.service\n"));
        assert_eq!(members(&boot(&files, &[]), "a.service"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn an_edge_names_its_file_and_line() {
        let boot = boot(&with_ab("[Unit]\nAfter=b.service\n", "[Unit]\n\nAfter=a.service\n"), &[]);
        let sources: Vec<String> =
            boot.cycles(&["a.service"])[0].iter().map(|e| format!("{} {}", e.source, e.text)).collect();
        let expected = [
            "usr/lib/systemd/system/b.service:3 After=a.service",
            "usr/lib/systemd/system/a.service:2 After=b.service",
        ];
        assert_eq!(sources, expected);
    }

    #[test]
    fn an_init_script_is_the_service_that_the_generator_makes_of_it() {
        let script = Service {
            name: "xe-linux-distribution".to_owned(),
            init: Init::SysV,
            path: "etc/init.d/xe-linux-distribution".to_owned(),
            enabled: Enabled::Yes(String::new()),
            unit: None,
            order: Some(Order { after: vec!["$remote_fs".to_owned()], ..Order::default() }),
        };
        let early =
            "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\nAfter=xe-linux-distribution.service\n";
        let boot = boot(&with_ab(early, "[Unit]\n"), &[&script]);
        assert_eq!(
            members(&boot, "a.service"),
            [["a.service", "sysinit.target", "xe-linux-distribution.service"]]
        );
    }
}
