//! What hosts say about the network of a guest, and what is to become of it: the cases that every back end is held
//! against. Each has the records of the host by NIC, and the meaning that any correct rendering has, one line per fact.
//!
//! Values are of the documentation's networks. To add a case: an entry in [`cases`].

#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "each file of tests uses a part of it; says what is skipped"
)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and makes trees"
)]

pub(crate) mod lab;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use novactl::net::backend::{BACKENDS, Backend, Strength};
use novactl::net::host::{HostNetwork, HostNic};
use novactl::net::intent::{Family, Hop, Intent, Nic, NicIntent};
use novactl::plan::journal::{Journal, Turn};
use novactl::plan::{FileChange, Interrupt, Plan};
use novactl::target::Target;
use novactl::xenstore::Source;

/// One situation.
pub(crate) struct Case {
    /// What it is about.
    pub(crate) name: &'static str,
    /// Name, MAC and record of each NIC.
    nics: Vec<(&'static str, &'static str, String)>,
    /// What is to become of them, as [`shown`] writes it.
    pub(crate) want: String,
}

const PUBLIC: &str = "52:54:00:a1:00:01";
const SERVICE: &str = "52:54:00:a1:00:02";

impl Case {
    /// Returns the NICs that exist.
    pub(crate) fn nics(&self) -> Vec<Nic> {
        let nic = |(name, mac, _): &(&str, &str, String)| Nic {
            name: (*name).to_owned(),
            mac: mac.parse().unwrap(),
        };
        self.nics.iter().map(nic).collect()
    }

    /// Returns what the host's records come to.
    pub(crate) fn intent(&self) -> Intent {
        let record = |(_, mac, json): &(&str, &str, String)| {
            HostNic::parse(&mac.replace(':', "").to_uppercase(), json.as_bytes())
        };
        Intent::of(&HostNetwork { nics: self.nics.iter().map(record).collect() }, &self.nics())
    }
}

/// Writes what NICs are to have, in words that are the same for every format. The label is left out: no program reads
/// it.
pub(crate) fn shown<'n>(nics: impl IntoIterator<Item = &'n NicIntent>) -> String {
    let hop = |hop: Option<Hop>| match hop {
        Some(Hop { via, onlink: false }) => format!(" via {via}"),
        Some(Hop { via, onlink: true }) => format!(" via {via} onlink"),
        None => String::new(),
    };
    let mut text = String::new();
    for nic in nics {
        writeln!(text, "{} {}", nic.name, nic.mac).unwrap();
        for family in [Family::V4, Family::V6] {
            for address in nic.addresses_of(family) {
                writeln!(text, "  {address}").unwrap();
            }
        }
        for route in [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family)) {
            writeln!(text, "  {}{}", route.to, hop(route.hop)).unwrap();
        }
        for server in &nic.dns {
            writeln!(text, "  dns {server}").unwrap();
        }
    }
    text
}

/// Returns every case.
pub(crate) fn cases() -> Vec<Case> {
    let public = |json: &str| vec![("eth0", PUBLIC, json.to_owned())];
    let case = |name, nics, want: &str| Case { name, nics, want: want.to_owned() };
    vec![
        case(
            "public and private",
            vec![
                (
                    "eth0",
                    PUBLIC,
                    r#"{"label":"public","mac":"52:54:00:A1:00:01","broadcast":"198.51.100.255",
                        "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1","gateway":"198.51.100.1"}],
                        "gateway":"198.51.100.1","gateway_v6":"fe80::1",
                        "ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"1","gateway":"fe80::1"}],
                        "dns":["203.0.113.53","203.0.113.54"]}"#
                        .to_owned(),
                ),
                (
                    "eth1",
                    SERVICE,
                    r#"{"label":"private","mac":"52:54:00:A1:00:02","gateway":null,
                        "ips":[{"ip":"10.64.9.30","netmask":"255.255.224.0","enabled":"1","gateway":null}],
                        "routes":[{"route":"10.32.0.0","netmask":"255.224.0.0","gateway":"10.64.0.1"},
                                  {"route":"10.96.0.0","netmask":"255.248.0.0","gateway":"10.64.0.1"}],
                        "dns":["203.0.113.53","203.0.113.54"]}"#
                        .to_owned(),
                ),
            ],
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  2001:db8:20::5/64\n  0.0.0.0/0 via 198.51.100.1\n  \
             ::/0 via fe80::1 onlink\n  dns 203.0.113.53\n  dns 203.0.113.54\n\
             eth1 52:54:00:a1:00:02\n  10.64.9.30/19\n  10.32.0.0/11 via 10.64.0.1\n  10.96.0.0/13 via 10.64.0.1\n  \
             dns 203.0.113.53\n  dns 203.0.113.54\n",
        ),
        case(
            "many IPv4 addresses of two subnets",
            public(
                r#"{"label":"public","gateway":"198.51.100.1",
                    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1","gateway":"198.51.100.1"},
                           {"ip":"198.51.100.21","netmask":"255.255.255.0","enabled":"1","gateway":"198.51.100.1"},
                           {"ip":"203.0.113.66","netmask":"255.255.255.192","enabled":"1","gateway":"203.0.113.65"}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  198.51.100.21/24\n  203.0.113.66/26\n  \
             0.0.0.0/0 via 198.51.100.1\n",
        ),
        case(
            "many IPv6 addresses",
            public(
                r#"{"label":"public","gateway":"198.51.100.1","gateway_v6":"2001:db8:20::1",
                    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1"}],
                    "ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"1"},{"ip":"2001:db8:20::6","netmask":64,"enabled":"1"},
                            {"ip":"2001:db8:21::1","netmask":"96","enabled":"1"}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  2001:db8:20::5/64\n  2001:db8:20::6/64\n  2001:db8:21::1/96\n  \
             0.0.0.0/0 via 198.51.100.1\n  ::/0 via 2001:db8:20::1\n",
        ),
        case(
            "null gateways",
            public(
                r#"{"label":"isolated","gateway":null,"gateway_v6":null,
                    "ips":[{"ip":"192.168.40.7","netmask":"255.255.255.0","enabled":"1","gateway":null}],
                    "ip6s":[{"ip":"fd00:40::7","netmask":64,"enabled":"1","gateway":null}],
                    "routes":[{"route":"192.168.41.0","netmask":"255.255.255.0","gateway":null}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  192.168.40.7/24\n  fd00:40::7/64\n  192.168.41.0/24\n",
        ),
        case(
            "gateways outside the subnet",
            public(
                r#"{"label":"public","gateway":"203.0.113.1","gateway_v6":"2001:db8:ffff::1",
                    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1"}],
                    "ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"1"}],
                    "routes":[{"route":"192.0.2.0","netmask":"255.255.255.0","gateway":"203.0.113.2"}],"dns":["9.9.9.9"]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  2001:db8:20::5/64\n  0.0.0.0/0 via 203.0.113.1 onlink\n  \
             192.0.2.0/24 via 203.0.113.2 onlink\n  ::/0 via 2001:db8:ffff::1 onlink\n  dns 9.9.9.9\n",
        ),
        case(
            "single addresses",
            public(
                r#"{"label":"public","gateway":"198.51.100.1","gateway_v6":"fe80::1",
                    "ips":[{"ip":"192.0.2.77","netmask":"255.255.255.255","enabled":"1"}],
                    "ip6s":[{"ip":"2001:db8:20::77","netmask":128,"enabled":"1"}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  192.0.2.77/32\n  2001:db8:20::77/128\n  0.0.0.0/0 via 198.51.100.1 onlink\n  \
             ::/0 via fe80::1 onlink\n",
        ),
        case(
            "IPv6 only",
            public(
                r#"{"label":"public","ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"1"}],
                    "gateway_v6":"fe80::1","dns":["2001:db8:53::1"]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  2001:db8:20::5/64\n  ::/0 via fe80::1 onlink\n  dns 2001:db8:53::1\n",
        ),
        case(
            "an IPv6 route among the routes",
            public(
                r#"{"label":"public","gateway":"198.51.100.1","gateway_v6":"2001:db8:20::1",
                    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1"}],
                    "ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"1"}],
                    "routes":[{"route":"2001:db8:4000::","netmask":"ffff:ffff:ff00::","gateway":"2001:db8:20::9"},
                              {"route":"192.0.2.0","netmask":"255.255.255.128","gateway":"198.51.100.9"}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  2001:db8:20::5/64\n  0.0.0.0/0 via 198.51.100.1\n  \
             192.0.2.0/25 via 198.51.100.9\n  ::/0 via 2001:db8:20::1\n  2001:db8:4000::/40 via 2001:db8:20::9\n",
        ),
        case(
            "addresses that are switched off",
            public(
                r#"{"label":"public","gateway":"198.51.100.1",
                    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1"},
                           {"ip":"198.51.100.21","netmask":"255.255.255.0","enabled":"0"}],
                    "ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"0"}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  0.0.0.0/0 via 198.51.100.1\n",
        ),
        case(
            "two gateways, and the public NIC is the second",
            vec![
                (
                    "ens3",
                    PUBLIC,
                    r#"{"label":"db-net","gateway":"192.168.40.1","gateway_v6":"fd00:40::1",
                        "ips":[{"ip":"192.168.40.7","netmask":"255.255.255.0","enabled":"1"}],
                        "ip6s":[{"ip":"fd00:40::7","netmask":64,"enabled":"1"}]}"#
                        .to_owned(),
                ),
                (
                    "enX1",
                    SERVICE,
                    r#"{"label":"public","gateway":"198.51.100.1",
                        "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1"}]}"#
                        .to_owned(),
                ),
            ],
            "ens3 52:54:00:a1:00:01\n  192.168.40.7/24\n  fd00:40::7/64\n  ::/0 via fd00:40::1\n\
             enX1 52:54:00:a1:00:02\n  198.51.100.20/24\n  0.0.0.0/0 via 198.51.100.1\n",
        ),
        case(
            "a hostile label",
            public(
                r#"{"label":"x\n  evil: true\n[Route]\nGateway=192.0.2.66\n[ipv4]\nup reboot\n\"; $(reboot) `id` '#",
                    "gateway":"198.51.100.1",
                    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1"}]}"#,
            ),
            "eth0 52:54:00:a1:00:01\n  198.51.100.20/24\n  0.0.0.0/0 via 198.51.100.1\n",
        ),
        three_hundred_addresses(),
    ]
}

fn three_hundred_addresses() -> Case {
    let mut ips = Vec::new();
    let mut want = String::from("eth0 52:54:00:a1:00:01\n");
    for number in 0..300 {
        let address = format!("10.200.{}.{}", 1 + number / 200, 1 + number % 200);
        ips.push(format!(r#"{{"ip":"{address}","netmask":"255.255.0.0","enabled":"1"}}"#));
        writeln!(want, "  {address}/16").unwrap();
    }
    want.push_str("  0.0.0.0/0 via 10.200.0.1\n");
    let record = format!(r#"{{"label":"public","gateway":"10.200.0.1","ips":[{}]}}"#, ips.join(","));
    Case { name: "300 addresses", nics: vec![("eth0", PUBLIC, record)], want }
}

/// Makes files in a tree: programs where the text is `!`, links where it begins with `->`.
pub(crate) fn make(tree: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(to) = text.strip_prefix("->") {
            std::os::unix::fs::symlink(to, &path).unwrap();
            continue;
        }
        std::fs::write(&path, text).unwrap();
        let mode = if *text == "!" { 0o755 } else { 0o600 };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
}

/// Makes the changes as every command makes them; returns the paths that really changed.
pub(crate) fn apply(target: &Target, files: Vec<FileChange>) -> Vec<String> {
    let plan = Plan { verb: "test", title: "a test".to_owned(), files, ..Plan::default() };
    let prepared = plan.prepare(&target.root).unwrap();
    let changed = prepared.preview().files.into_iter().map(|file| file.path).collect();
    if !prepared.is_empty() {
        let journal = Journal::open(&target.root, Turn::Now).unwrap();
        let applied = prepared.apply(target, &journal, &Interrupt::default()).unwrap();
        applied.keep(None).unwrap();
    }
    changed
}

/// Returns every file of a tree but the journal's, each with its content: to compare before and after.
pub(crate) fn files_of(tree: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![tree.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(tree).unwrap().to_str().unwrap().to_owned();
            if path.is_symlink() {
                files.insert(name, format!("->{}", std::fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                if name != "var/lib/novactl" {
                    open.push(path);
                }
            } else {
                files.insert(name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
            }
        }
    }
    files
}

/// Returns the back end of this name.
pub(crate) fn backend(name: &str) -> &'static dyn Backend {
    *BACKENDS.iter().find(|backend| backend.name() == name).unwrap()
}

/// Returns what the files of a tree give to NICs, as the back end's reader sees it.
pub(crate) fn configured(backend: &dyn Backend, target: &Target, nics: &[Nic]) -> String {
    let found = nics.iter().map(|nic| backend.configured(&target.root, nic).unwrap());
    shown(&found.flatten().collect::<Vec<_>>())
}

/// Renders every case into a tree with these files, and holds the result against the case: it means what is wanted, a
/// second time nothing changes, and `kept` are as they were.
pub(crate) fn every_case_is_written_as_it_is_meant(name: &str, files: &[(&str, &str)], kept: &[&str]) {
    let backend = backend(name);
    for case in cases() {
        let tree = tempfile::tempdir().unwrap();
        make(tree.path(), files);
        let before = files_of(tree.path());
        let render = || {
            // a new target each time, since a target remembers what it has read
            let target = Target::offline(tree.path(), Source::None).unwrap();
            let changes = backend.render(&case.intent(), &target).unwrap();
            (apply(&target, changes), configured(backend, &target, &case.nics()))
        };
        let (changed, meaning) = render();
        assert!(!changed.is_empty(), "{}", case.name);
        assert_eq!(meaning, case.want, "{}", case.name);
        assert_eq!(render().0, [""; 0], "{}: a second time", case.name);
        let after = files_of(tree.path());
        for path in kept {
            assert_eq!(after.get(*path), before.get(*path), "{}: {path}", case.name);
        }
        for (path, text) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
            let is_bare = |line: &&str| !line.trim_start().starts_with(['#', ';']);
            let bare: Vec<_> = text.lines().filter(is_bare).collect();
            for word in ["evil", "reboot", "192.0.2.66"] {
                assert!(!bare.iter().any(|line| line.contains(word)), "{}: {word} in {path}", case.name);
            }
        }
    }
}

/// Renders the case of this name into a tree with these files; returns all files before and after.
pub(crate) fn rendered(
    name: &str,
    case: &str,
    files: &[(&str, &str)],
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let case = cases().into_iter().find(|it| it.name == case).unwrap();
    let tree = tempfile::tempdir().unwrap();
    make(tree.path(), files);
    let before = files_of(tree.path());
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let changes = backend(name).render(&case.intent(), &target).unwrap();
    apply(&target, changes);
    (before, files_of(tree.path()))
}

/// A unit that the boot pulls in, with the link that does it.
pub(crate) fn enabled(unit: &str) -> [(String, &'static str); 2] {
    [
        (
            format!("usr/lib/systemd/system/{unit}"),
            "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n",
        ),
        (format!("etc/systemd/system/multi-user.target.wants/{unit}"), "->/x"),
    ]
}

/// Returns who claims a system with systemd, these enabled units, and these files: name, file and strength.
pub(crate) fn claims(units: &[&str], files: &[(&str, &str)]) -> Vec<(&'static str, String, Strength)> {
    let tree = tempfile::tempdir().unwrap();
    make(
        tree.path(),
        &[
            ("usr/lib/systemd/systemd", "!"),
            ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
            ("usr/lib/systemd/system/default.target", "->multi-user.target"),
        ],
    );
    for (path, text) in units.iter().flat_map(|unit| enabled(unit)) {
        make(tree.path(), &[(&path, text)]);
    }
    make(tree.path(), files);
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let claim = |backend: &&'static dyn Backend| {
        let claim = backend.claim(&target).unwrap()?;
        Some((backend.name(), claim.source, claim.strength))
    };
    BACKENDS.iter().filter_map(claim).collect()
}

/// Has a real shell source a file with an empty environment and no programs, and returns the words of a variable there.
///
/// # Panics
/// The file runs something, or says something.
pub(crate) fn sourced(shell: &str, file: &Path, name: &str) -> Vec<String> {
    let script = "set -e; PATH=/nowhere; . \"$1\"; eval \"printf '%s\\n' \\\"\\${$2-}\\\"\"";
    let output =
        Command::new(shell).args(["-c", script, "sh"]).arg(file).arg(name).env_clear().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{}: {told}", file.display());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
