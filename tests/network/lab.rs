//! The real readers of network configuration, on real links in a namespace, and what came of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use novactl::net::intent::Nic;
use serde_json::Value;

/// Whose tests call this: the tree of Debian is made once, on the first call.
fn tree() -> Result<PathBuf, String> {
    let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name);
    if Command::new("mmdebstrap").arg("--version").output().is_err() {
        return Err("no mmdebstrap".to_owned());
    }
    let alone = Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "true"]).output();
    if !alone.is_ok_and(|output| output.status.success()) {
        return Err("no namespaces without root".to_owned());
    }
    let output = Command::new(script("network-tree.sh")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "making the tree of Debian: {told}");
    Ok(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}

/// Puts files over the tree, makes the NICs, and runs a script in there. Returns what each NIC then has, as
/// [`outcome_of`] writes it; the script adds name servers by printing lines such as `dns eth0 192.0.2.53`. `None`: it
/// cannot be done here, and that was said.
///
/// # Panics
/// The script fails.
pub(crate) fn run(files: &Path, script: &str, nics: &[Nic]) -> Option<String> {
    let tree = match tree() {
        Ok(tree) => tree,
        Err(why) => {
            println!("skipped: {why}");
            return None;
        }
    };
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/reader.sh");
    let pairs = nics.iter().map(|nic| format!("{}={}", nic.name, nic.mac));
    let output = Command::new(reader).arg(tree).arg(files).arg(script).args(pairs).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let json: Vec<Value> =
        output.stdout.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let [addresses, routes4, routes6] = json.as_slice() else { panic!("three lines of JSON: {told}") };
    let mut lines = Vec::new();
    for nic in nics {
        lines.push(format!("{} {}", nic.name, nic.mac));
        let mut of_nic = addresses_in(addresses, &nic.name);
        of_nic.extend(routes_in(routes4, &nic.name, "0.0.0.0/0"));
        of_nic.extend(routes_in(routes6, &nic.name, "::/0"));
        let dns = told.lines().filter_map(|line| line.strip_prefix(&format!("dns {} ", nic.name)));
        of_nic.extend(dns.flat_map(str::split_whitespace).map(|server| format!("  dns {server}")));
        of_nic.sort();
        lines.extend(of_nic);
    }
    Some(lines.join("\n"))
}

/// Writes what a case wants as the kernel shows it: in no order, and without saying why a next hop is reached.
pub(crate) fn outcome_of(want: &str) -> String {
    let mut nics: Vec<Vec<String>> = Vec::new();
    for line in want.lines() {
        match nics.last_mut() {
            Some(nic) if line.starts_with(' ') => nic.push(line.trim_end_matches(" onlink").to_owned()),
            _ => nics.push(vec![line.to_owned()]),
        }
    }
    nics.iter_mut().for_each(|nic| nic[1..].sort());
    nics.concat().join("\n")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn addresses_in(links: &Value, nic: &str) -> Vec<String> {
    let link = links.as_array().unwrap().iter().find(|link| text(link, "ifname") == nic).unwrap();
    let addresses = link["addr_info"].as_array().unwrap().iter().filter(|a| text(a, "scope") == "global");
    addresses.map(|a| format!("  {}/{}", text(a, "local"), a["prefixlen"])).collect()
}

fn routes_in(routes: &Value, nic: &str, everywhere: &str) -> Vec<String> {
    let routes = routes.as_array().unwrap();
    let of_nic = || routes.iter().filter(|route| text(route, "dev") == nic);
    let is_next_hop = |address: &str| of_nic().any(|route| text(route, "gateway") == address);
    // those to the links' own prefixes, and what NetworkManager adds to reach a next hop
    let asked = |route: &&Value| text(route, "protocol") != "kernel" && !is_next_hop(text(route, "dst"));
    let line = |route: &Value| {
        let to = match text(route, "dst") {
            "default" => everywhere,
            to => to,
        };
        match text(route, "gateway") {
            "" => format!("  {to}"),
            via => format!("  {to} via {via}"),
        }
    };
    of_nic().filter(asked).map(line).collect()
}
