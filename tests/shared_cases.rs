//! Cases that were written apart from this code, as data: the host's records, the links, and the truth to reach. Each is
//! held against every back end through the program itself.
//!
//! They are in `shared/cases/network` beside the repository, or where NOVACTL_CASES says.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, makes trees, runs the program and says what was skipped"
)]

mod network;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use novactl::net::backend::BACKENDS;
use novactl::net::intent::Nic;
use novactl::target::Target;
use novactl::xenstore::Source;
use serde_json::Value;

/// One situation.
struct Case {
    name: String,
    dump: PathBuf,
    links: Value,
    expect: Value,
}

/// Returns every case; none where they are not.
fn cases() -> Vec<Case> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("shared/cases/network");
    let dir = std::env::var_os("NOVACTL_CASES").map_or_else(beside, PathBuf::from);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    let case = |dir: PathBuf| {
        let read = |name: &str| serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap();
        Case {
            name: dir.file_name().unwrap().to_str().unwrap().to_owned(),
            links: read("links.json"),
            expect: read("expect.json"),
            dump: dir.join("xenstore.json"),
        }
    };
    dirs.into_iter().map(case).collect()
}

/// A mounted root with a record of its links.
struct Guest<'c> {
    tree: tempfile::TempDir,
    case: &'c Case,
    backend: &'static str,
}

impl<'c> Guest<'c> {
    fn new(case: &'c Case, backend: &'static str) -> Self {
        let tree = tempfile::tempdir().unwrap();
        let os =
            if backend == "rc.conf" { "ID=freebsd\nVERSION_ID=13.2\n" } else { "ID=debian\nVERSION_ID=12\n" };
        let hostname = case.links["current_hostname"].as_str().unwrap();
        let said = format!("hostname=\"{hostname}\"\n");
        let name =
            if backend == "rc.conf" { ("etc/rc.conf", said.as_str()) } else { ("etc/hostname", hostname) };
        network::make(tree.path(), &[("etc/os-release", os), name]);
        for link in case.links["links"].as_array().unwrap().iter().filter(|link| link["not_a_link"].is_null())
        {
            record(tree.path(), link);
        }
        Self { tree, case, backend }
    }

    fn run(&self, extra: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.args(["reset-network", "--backend", self.backend, "--root"]).arg(self.tree.path());
        command.arg("--xenstore").arg(&self.case.dump).args(extra).stdin(Stdio::null()).output().unwrap()
    }

    fn undo(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.args(["undo", "--yes", "--root"]).arg(self.tree.path()).output().unwrap()
    }

    /// Returns what a NIC is to have by the files, in the words of [`wanted`].
    fn configured(&self, name: &str, mac: &str) -> Option<String> {
        let target = Target::offline(self.tree.path(), Source::None).unwrap();
        let nic = Nic { name: name.to_owned(), mac: mac.parse().unwrap() };
        let found = network::backend(self.backend).configured(&target.root, &nic).unwrap();
        found.map(|found| network::shown([&found]))
    }
}

/// Writes a link as the kernel shows it.
fn record(tree: &Path, link: &Value) {
    let text = |key: &str| link[key].as_str();
    let name = text("name").unwrap();
    let dir = format!("sys/class/net/{name}");
    let hardware = match text("arptype") {
        Some("loopback") => "772",
        Some("none") => "65534",
        _ => "1",
    };
    let own = if text("perm_mac").is_some() { "0" } else { "3" };
    let files = [("address", text("mac").unwrap_or_default()), ("type", hardware), ("addr_assign_type", own)];
    for (file, value) in files {
        network::make(tree, &[(&format!("{dir}/{file}"), &format!("{value}\n"))]);
    }
    network::make(tree, &[(&format!("{dir}/ifindex"), &format!("{}\n", link["index"]))]);
    let join = |from: String, to: &str| {
        let from = tree.join(from);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        symlink(to, from).unwrap();
    };
    if text("driver") == Some("vif") {
        let device = text("sysfs_device").unwrap_or(name);
        join(format!("{dir}/device"), &format!("../../../devices/{device}"));
        join(format!("sys/devices/{device}/driver"), "../../bus/xen/drivers/vif");
        fs::create_dir_all(tree.join("sys/bus/xen/drivers/vif")).unwrap();
    }
    match text("kind") {
        Some("bridge") => fs::create_dir_all(tree.join(&dir).join("bridge")).unwrap(),
        Some("tun") => network::make(tree, &[(&format!("{dir}/tun_flags"), "0x1002\n")]),
        _ => {}
    }
    if let Some(master) = text("master") {
        join(format!("{dir}/master"), &format!("../{master}"));
    }
}

/// Returns what a case wants of an interface, without its name servers: name and MAC, addresses, routes.
fn wanted(name: &str, it: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let hop = |value: &Value| match (value["via"].as_str(), value["onlink"] == true) {
        (None, _) => String::new(),
        (Some(via), false) => format!(" via {via}"),
        (Some(via), true) => format!(" via {via} onlink"),
    };
    let mut lines = format!("{name} {}\n", text(&it["mac"]));
    for address in it["addresses"].as_array().unwrap() {
        writeln!(lines, "  {}", text(address)).unwrap();
    }
    for (gateway, everywhere, is_six) in [("gateway4", "0.0.0.0/0", false), ("gateway6", "::/0", true)] {
        if !it[gateway].is_null() {
            writeln!(lines, "  {everywhere}{}", hop(&it[gateway])).unwrap();
        }
        let routes = it["routes"].as_array().unwrap();
        for route in routes.iter().filter(|route| text(&route["dst"]).contains(':') == is_six) {
            writeln!(lines, "  {}{}", text(&route["dst"]), hop(route)).unwrap();
        }
    }
    lines
}

/// Splits off the name servers.
fn without_servers(shown: &str) -> (String, Vec<String>) {
    let (servers, rest): (Vec<&str>, Vec<&str>) = shown.lines().partition(|line| line.starts_with("  dns "));
    let servers = servers.iter().map(|line| line.trim_start_matches("  dns ").to_owned()).collect();
    (rest.iter().map(|line| format!("{line}\n")).collect(), servers)
}

fn servers_of(it: &Value) -> Vec<String> {
    it["dns"].as_array().unwrap().iter().map(|server| server.as_str().unwrap().to_owned()).collect()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_back_end_reaches_the_truth_of_every_case_once_and_takes_it_back() {
    let cases = cases();
    if cases.is_empty() {
        println!("skipped: no shared cases");
        return;
    }
    for case in &cases {
        let interfaces = case.expect["interfaces"].as_object().unwrap();
        let mut all_servers: Vec<String> = Vec::new();
        for server in interfaces.values().flat_map(servers_of) {
            if !all_servers.contains(&server) {
                all_servers.push(server);
            }
        }
        for backend in BACKENDS {
            let context = format!("{} {}", case.name, backend.name());
            let guest = Guest::new(case, backend.name());
            let before = network::files_of(guest.tree.path());

            let shown = guest.run(&["--dry-run"]);
            assert_eq!(shown.status.code(), Some(1), "{context}: {}", told(&shown));
            assert_eq!(
                network::files_of(guest.tree.path()),
                before,
                "{context}: --dry-run changed something"
            );

            let made = guest.run(&["--yes"]);
            assert_eq!(made.status.code(), Some(0), "{context}: {}", told(&made));
            for (name, it) in interfaces {
                let found = guest.configured(name, it["mac"].as_str().unwrap()).unwrap_or_default();
                let (meaning, servers) = without_servers(&found);
                assert_eq!(meaning, wanted(name, it), "{context}");
                // some formats have one list for all NICs
                assert!(servers == servers_of(it) || servers == all_servers, "{context} {name}: {servers:?}");
            }
            let after = network::files_of(guest.tree.path());
            for name in case.expect["leave_alone"].as_array().unwrap().iter().filter_map(Value::as_str) {
                let found = guest.configured(name, "02:00:00:00:00:01").unwrap_or_default();
                let (meaning, _) = without_servers(&found);
                assert!(meaning.lines().count() <= 1, "{context}: {meaning}");
            }
            for text in case.expect["must_not_appear_as_directive"].as_array().into_iter().flatten() {
                let text = text.as_str().unwrap();
                let is_bare = |line: &str| !line.trim_start().starts_with(['#', ';']) && line.contains(text);
                assert!(!after.values().any(|body| body.lines().any(is_bare)), "{context}: {text}");
            }
            if let Some(name) = case.expect["hostname"]["value"].as_str() {
                let (path, want) = if backend.name() == "rc.conf" {
                    ("etc/rc.conf", format!("hostname=\"{name}\""))
                } else {
                    ("etc/hostname", name.to_owned())
                };
                assert!(after[path].lines().any(|line| line == want), "{context}: {}", after[path]);
            }

            let again = guest.run(&["--yes"]);
            assert_eq!(again.status.code(), Some(0), "{context}: {}", told(&again));
            assert!(told(&again).contains("NOTHING TO DO"), "{context}: {}", told(&again));
            assert_eq!(network::files_of(guest.tree.path()), after, "{context}: a second time");

            let undone = guest.undo();
            assert_eq!(undone.status.code(), Some(0), "{context}: {}", told(&undone));
            assert_eq!(network::files_of(guest.tree.path()), before, "{context}: undo");
        }
    }
    println!("{} cases with {} back ends", cases.len(), BACKENDS.len());
}
