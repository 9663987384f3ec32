//! netifrc on Gentoo: variables of `/etc/conf.d/net`, and a service per NIC.
//!
//! The variables of the NICs are set in place; all else stays. A variable of a NIC in a file that is read later, or one
//! by its MAC, would win and goes.
//! Source: netifrc's net.example, init.d/net.lo and net/iproute2.sh.

use anyhow::Result;

use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent};
use super::reading::{Reach, Reading};
use super::settings::{Settings, Value};
use super::{Backend, Claim, Strength, file_stem};
use crate::exec::Cmd;
use crate::facts::init::{Enabled, Init};
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

const MAIN: &str = "etc/conf.d/net";
/// The script that the service of each NIC is a link to.
const SCRIPT: &str = "etc/init.d/net.lo";
const RUNLEVELS: [&str; 2] = ["boot", "default"];
/// Variables of a NIC that say where addresses and routes come from.
const OWN: [&str; 4] = ["config", "routes", "fallback", "fallback_routes"];

/// netifrc.
pub(super) struct Netifrc;

impl Backend for Netifrc {
    fn name(&self) -> &'static str {
        "netifrc"
    }

    fn goes_by_name(&self, _root: &Root, _nic: &str) -> Result<bool> {
        Ok(true)
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        if target.services().init != Init::OpenRc || !root.exists(SCRIPT) {
            return Ok(None);
        }
        for level in RUNLEVELS {
            let dir = format!("etc/runlevels/{level}");
            let of_nic = |name: &str| name.strip_prefix("net.").is_some_and(|nic| nic != "lo");
            if let Some(entry) = root.read_dir(&dir)?.into_iter().find(|entry| of_nic(&entry.name)) {
                return Ok(Some(Claim {
                    source: format!("{dir}/{}", entry.name),
                    text: "the service of this NIC is enabled".to_owned(),
                    strength: Strength::Configures,
                }));
            }
        }
        // a stock Gentoo has netifrc beside whatever it really uses
        let dhcpcd = target.services().named(root, "dhcpcd")?;
        if dhcpcd.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))) {
            return Ok(None);
        }
        Ok(Some(Claim {
            source: SCRIPT.to_owned(),
            text: "netifrc is installed".to_owned(),
            strength: Strength::Enabled,
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let mut changes = Vec::new();
        let mut main = Settings::of(&root.text_opt(MAIN)?.unwrap_or_default());
        for nic in &intent.nics {
            let wanted = variables(nic);
            main.have(&wanted, |name| is_own(name, nic, &wanted));
            let name = file_stem(&nic.name);
            let later = format!("{MAIN}.{name}");
            if let Some(text) = root.text_opt(&later)? {
                let mut settings = Settings::of(&text);
                settings.give_way(&wanted, |name| is_own(name, nic, &wanted));
                changes.push(FileChange::write(later, settings.text()));
            }
            changes.extend(service(root, &name)?);
        }
        changes.insert(0, FileChange::write(MAIN, main.text()));
        Ok(changes)
    }

    /// Nothing: what is up was made what it should be already, without the gap that a restart of the service leaves.
    fn activate(&self, _intent: &Intent, _target: &Target) -> Vec<Cmd> {
        Vec::new()
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let name = file_stem(&nic.name);
        let mut text = root.text_opt(MAIN)?.unwrap_or_default();
        text.push('\n');
        text.push_str(&root.text_opt(&format!("{MAIN}.{name}"))?.unwrap_or_default());
        let settings = Settings::of(&text);
        let value = |of: &str| settings.value(&format!("{of}_{}", variable(&nic.name)));
        let Some(config) = value("config") else { return Ok(None) };
        let mut reading = Reading::default();
        for entry in entries(&config) {
            let words: Vec<&str> = entry.split_whitespace().collect();
            let mask = words.iter().position(|word| *word == "netmask").and_then(|at| words.get(at + 1));
            let net =
                words.first().and_then(|address| super::super::address_with_mask(address, mask.copied()));
            net.iter().for_each(|net| reading.add_address(&net.to_string()));
        }
        for line in value("routes").unwrap_or_default().lines() {
            take_route(&mut reading, line);
        }
        let servers = value("dns_servers").or_else(|| settings.value("dns_servers")).unwrap_or_default();
        servers.split_whitespace().for_each(|server| reading.add_dns(server));
        Ok(Some(reading.nic(nic)))
    }
}

/// Returns a NIC's name as a part of a variable's name, as OpenRC's `shell_var` does.
fn variable(nic: &str) -> String {
    nic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn is_own(name: &str, nic: &NicIntent, wanted: &[(String, Value)]) -> bool {
    let mac = nic.mac.to_string().replace(':', "");
    let of_nic = [variable(&nic.name), mac.to_uppercase(), mac];
    let is_of = |own: &str| {
        name.strip_prefix(own)
            .and_then(|rest| rest.strip_prefix('_'))
            .is_some_and(|rest| of_nic.iter().any(|nic| nic == rest))
    };
    OWN.iter().any(|own| is_of(own)) || wanted.iter().any(|(own, _)| own == name)
}

/// Returns what a NIC's variables are to be. Without name servers of the host's, those that it has stay.
fn variables(nic: &NicIntent) -> Vec<(String, Value)> {
    let lines = |lines: Vec<String>| Value::text(lines.join("\n"));
    let name = |of: &str| format!("{of}_{}", variable(&nic.name));
    let mut addresses: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
    if addresses.is_empty() {
        // nothing at all would mean DHCP
        addresses.push("null".to_owned());
    }
    let mut variables = vec![(name("config"), lines(addresses))];
    let routes: Vec<String> = [Family::V4, Family::V6]
        .into_iter()
        .flat_map(|family| nic.routes_of(family))
        .map(route_line)
        .collect();
    if !routes.is_empty() {
        variables.push((name("routes"), lines(routes)));
    }
    if !nic.dns.is_empty() {
        let servers: Vec<String> = nic.dns.iter().map(ToString::to_string).collect();
        variables.push((name("dns_servers"), Value::text(servers.join(" "))));
    }
    variables
}

/// `::/0` and not `default`, so that `ip route` is told the family by the destination.
fn route_line(route: RouteIntent) -> String {
    let to = match route.to.prefix_len() {
        0 if route.to.addr().is_ipv4() => "default".to_owned(),
        _ => route.to.to_string(),
    };
    let via = route.hop.map_or(String::new(), |hop| format!(" via {}", hop.via));
    let onlink = if route.hop.is_some_and(|hop| hop.onlink) { " onlink" } else { "" };
    format!("{to}{via}{onlink}")
}

/// Splits a list of addresses: one a line, or several in the only line, as long as nothing else follows them.
fn entries(config: &str) -> Vec<&str> {
    let lines: Vec<&str> = config.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [line] if line.split_whitespace().nth(1).is_some_and(|word| word.contains(['.', ':'])) => {
            line.split_whitespace().collect()
        }
        _ => lines,
    }
}

fn take_route(reading: &mut Reading, line: &str) {
    let words: Vec<&str> =
        line.split_whitespace().filter(|word| !matches!(*word, "-net" | "-host" | "-4" | "-6")).collect();
    let after =
        |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let reach = if words.contains(&"onlink") { Reach::OnLink } else { Reach::Plain };
    let Some(to) = words.first() else { return };
    let net = super::super::address_with_mask(to, after("netmask"));
    let to = net.map_or_else(|| (*to).to_owned(), |net| net.to_string());
    reading.add_route(&to, after("via").or_else(|| after("gw")), reach);
}

/// The service of a NIC is a link to the script, and one in a runlevel starts it.
fn service(root: &Root, nic: &str) -> Result<Vec<FileChange>> {
    let mut changes = Vec::new();
    let script = format!("etc/init.d/net.{nic}");
    if !root.link_opt(&script)?.is_some_and(|to| to == "net.lo" || to.ends_with("/net.lo")) {
        changes.push(FileChange::Link { path: script.clone(), to: "net.lo".to_owned() });
    }
    let mut is_enabled = false;
    for level in RUNLEVELS {
        is_enabled |= root.lstat_opt(&format!("etc/runlevels/{level}/net.{nic}"))?.is_some();
    }
    if !is_enabled {
        let path = format!("etc/runlevels/default/net.{nic}");
        changes.push(FileChange::Link { path, to: format!("/{script}") });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_stand_one_a_line_or_side_by_side() {
        for (text, want) in [
            ("192.0.2.1/24\n2001:db8::1/64", &["192.0.2.1/24", "2001:db8::1/64"][..]),
            ("192.0.2.1/24 2001:db8::1/64", &["192.0.2.1/24", "2001:db8::1/64"]),
            ("192.0.2.1 netmask 255.255.255.0", &["192.0.2.1 netmask 255.255.255.0"]),
            ("\n 192.0.2.1/24 \n", &["192.0.2.1/24"]),
            ("dhcp", &["dhcp"]),
        ] {
            assert_eq!(entries(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((via|gw|netmask|-net|[0-9a-f./:]{0,6})[ \n]){0,12}") {
            let mut reading = Reading::default();
            entries(&text);
            text.lines().for_each(|line| take_route(&mut reading, line));
        }
    }
}
