//! netctl on Arch: profiles in `/etc/netctl`, of which systemd starts those that are enabled.
//!
//! A NIC whose profile is enabled keeps that one, with its keys set in place; otherwise it gets one of its own name.
//! Other enabled profiles of a NIC are disabled and stay; profiles of bridges, bonds and VPNs are never touched.
//! Source: netctl.profile(5), and netctl's `src/lib/ip` and `src/netctl`.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::intent::{Family, Hop, Intent, Nic, NicIntent, RouteIntent};
use super::reading::{Reach, Reading};
use super::settings::{Settings, Value};
use super::{Backend, Claim, Strength, file_stem};
use crate::exec::Cmd;
use crate::plan::FileChange;
use crate::root::{Kind, Root};
use crate::target::Target;

const DIR: &str = "etc/netctl";
const UNITS: &str = "etc/systemd/system";
/// Where `netctl enable` puts its links.
const WANTS: &str = "etc/systemd/system/multi-user.target.wants";
/// The most profiles that are read.
const PROFILES_MAX: usize = 500;
/// Ends of names that are no profiles (`list_profiles`).
const SKIPPED: [&str; 4] = ["~", ".action", ".conf", ".service"];
/// Keys that say where addresses, routes and name servers come from.
const OWN: [&str; 11] = [
    "Interface",
    "Connection",
    "IP",
    "IP6",
    "Address",
    "Address6",
    "Routes",
    "Routes6",
    "Gateway",
    "Gateway6",
    "DNS",
];

/// netctl.
pub(super) struct Netctl;

impl Backend for Netctl {
    fn name(&self) -> &'static str {
        "netctl"
    }

    fn goes_by_name(&self, _root: &Root, _nic: &str) -> Result<bool> {
        Ok(true)
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        if root.find_program("netctl").is_none() {
            return Ok(None);
        }
        let starts = |name: &str| {
            ["netctl@", "netctl-ifplugd@", "netctl-auto@"].iter().any(|start| name.starts_with(start))
        };
        Ok(links(root)?.into_iter().find(|(_, name)| starts(name)).map(|(dir, name)| Claim {
            source: format!("{dir}/{name}"),
            text: "a profile of netctl is enabled".to_owned(),
            strength: Strength::Configures,
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let profiles = profiles(root)?;
        let links = links(root)?;
        let mut changes = Vec::new();
        for nic in &intent.nics {
            let own = own_name(nic, &profiles);
            let path = format!("{DIR}/{own}");
            let old = profiles.iter().find(|profile| profile.name == own);
            changes.push(FileChange::write(path, text_of(nic, old.map(|profile| &profile.settings))));
            // ifplugd looks for a profile of its NIC by itself
            let by_cable = format!("netctl-ifplugd@{}.service", escaped(&nic.name));
            if !links.iter().any(|(_, name)| *name == by_cable) {
                changes.extend(enabled(root, &own, nic, &links)?);
            }
            for profile in &profiles {
                if profile.is_enabled && profile.name != own && profile.is_about(&nic.name) {
                    let unit = unit_of(&profile.name);
                    let of_unit = links.iter().filter(|(_, name)| *name == unit);
                    changes.extend(
                        of_unit.map(|(dir, name)| FileChange::Remove { path: format!("{dir}/{name}") }),
                    );
                }
            }
        }
        Ok(changes)
    }

    /// Nothing: a profile is started by taking its NIC down first. What is up was made what it should be already; the
    /// next boot reads the profiles.
    fn activate(&self, _intent: &Intent, _target: &Target) -> Vec<Cmd> {
        Vec::new()
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let profiles = profiles(root)?;
        let mut about = profiles.iter().filter(|profile| profile.is_about(&nic.name));
        let enabled = about.clone().find(|profile| profile.is_enabled);
        let Some(profile) = enabled.or_else(|| about.next()) else { return Ok(None) };
        let settings = &profile.settings;
        let mut reading = Reading::default();
        let one = |name: &str| settings.value(name).unwrap_or_default();
        let families = [("IP", "Address", "Routes", "Gateway"), ("IP6", "Address6", "Routes6", "Gateway6")];
        for (method, addresses, routes, gateway) in families {
            let is_static = one(method) == "static";
            if is_static {
                settings.values(addresses).iter().for_each(|address| reading.add_address(address));
            }
            if !matches!(one(method).as_str(), "" | "no") {
                settings.values(routes).iter().for_each(|line| take_route(&mut reading, line));
            }
            if is_static && !one(gateway).is_empty() {
                take_route(&mut reading, &format!("default via {}", one(gateway)));
            }
        }
        settings.values("DNS").iter().for_each(|server| reading.add_dns(server));
        Ok(Some(reading.nic(nic)))
    }
}

/// A profile.
struct Profile {
    name: String,
    settings: Settings,
    is_enabled: bool,
}

impl Profile {
    /// Whether it configures this NIC itself.
    fn is_about(&self, nic: &str) -> bool {
        let is = |name: &str, value: &str| self.settings.value(name).is_some_and(|it| it == value);
        is("Interface", nic) && is("Connection", "ethernet")
    }
}

/// Returns every profile in the order of the names.
fn profiles(root: &Root) -> Result<Vec<Profile>> {
    let enabled: BTreeSet<String> = links(root)?.into_iter().map(|(_, unit)| unit).collect();
    let mut profiles = Vec::new();
    for entry in root.read_dir(DIR)? {
        let path = format!("{DIR}/{}", entry.name);
        let is_name = !entry.name.starts_with('.') && !SKIPPED.iter().any(|end| entry.name.ends_with(end));
        let is_file = is_name && root.stat_opt(&path)?.is_some_and(|stat| stat.kind == Kind::File);
        let Some(text) = (if is_file { root.text_opt(&path)? } else { None }) else { continue };
        let is_enabled = enabled.contains(&unit_of(&entry.name));
        profiles.push(Profile { settings: Settings::of(&text), is_enabled, name: entry.name });
        if profiles.len() == PROFILES_MAX {
            break;
        }
    }
    profiles.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(profiles)
}

/// Returns the links by which systemd starts something of netctl: directory and name.
fn links(root: &Root) -> Result<Vec<(String, String)>> {
    let mut links = Vec::new();
    for dir in root.read_dir(UNITS)?.into_iter().filter(|entry| entry.name.ends_with(".wants")) {
        let dir = format!("{UNITS}/{}", dir.name);
        let names = root.read_dir(&dir)?.into_iter().map(|entry| entry.name);
        links.extend(names.filter(|name| name.starts_with("netctl")).map(|name| (dir.clone(), name)));
    }
    Ok(links)
}

/// Returns the name of the profile that a NIC is to have.
fn own_name(nic: &NicIntent, profiles: &[Profile]) -> String {
    let enabled = profiles.iter().find(|profile| profile.is_enabled && profile.is_about(&nic.name));
    if let Some(profile) = enabled {
        return profile.name.clone();
    }
    let name = file_stem(&nic.name);
    let is_taken = profiles.iter().any(|profile| profile.name == name && !profile.is_about(&nic.name));
    if is_taken { format!("novactl-{name}") } else { name }
}

fn unit_of(profile: &str) -> String {
    format!("netctl@{}.service", escaped(profile))
}

/// Escapes as `systemd-escape` does.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if place > 0 => out.push('.'),
            b':' | b'_' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out += &format!("\\x{byte:02x}"),
        }
    }
    out
}

/// What `netctl enable` makes: the link, and a drop-in that waits for the NIC.
fn enabled(
    root: &Root,
    profile: &str,
    nic: &NicIntent,
    links: &[(String, String)],
) -> Result<Vec<FileChange>> {
    let unit = unit_of(profile);
    let mut changes = Vec::new();
    if !links.iter().any(|(_, name)| *name == unit) {
        let units = ["usr/lib/systemd/system", "lib/systemd/system"];
        let dir =
            units.iter().find(|dir| root.exists(&format!("{dir}/netctl@.service"))).unwrap_or(&units[0]);
        changes.push(FileChange::Link {
            path: format!("{WANTS}/{unit}"),
            to: format!("/{dir}/netctl@.service"),
        });
    }
    // netctl before 1.20 makes a unit of the profile's own instead
    let drop_in = format!("{UNITS}/{unit}.d/profile.conf");
    if root.lstat_opt(&format!("{UNITS}/{unit}"))?.is_none() && !root.exists(&drop_in) {
        let device = format!("sys-subsystem-net-devices-{}.device", escaped(&nic.name));
        changes.push(FileChange::write(drop_in, format!("[Unit]\nBindsTo={device}\nAfter={device}\n")));
    }
    Ok(changes)
}

fn text_of(nic: &NicIntent, old: Option<&Settings>) -> String {
    let name = file_stem(&nic.name);
    let label = nic.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
    let mut settings =
        old.cloned().unwrap_or_else(|| Settings::of(&format!("# {name}{label}: {}\n", nic.mark())));
    let text = |key: &str, value: &str| (key.to_owned(), Value::text(value));
    let list = |key: &str, words: Vec<String>| (key.to_owned(), Value::Array(words));
    let mut wanted = vec![text("Interface", &name), text("Connection", "ethernet")];
    let families = [(Family::V4, ""), (Family::V6, "6")];
    for (family, ending) in families {
        let addresses: Vec<String> = nic.addresses_of(family).map(ToString::to_string).collect();
        let mut routes = nic.routes_of(family);
        let gateway = match family {
            Family::V4 => nic.gateway4,
            Family::V6 => nic.gateway6,
        };
        // the word for the gateway cannot say that it is on the link
        let plain = gateway.filter(|hop| !hop.onlink || is_link_local(*hop));
        if plain.is_some() {
            routes.remove(0);
        }
        if family == Family::V4 && addresses.is_empty() && routes.is_empty() {
            wanted.push(text("IP", "no"));
            continue;
        }
        // of IPv6 always: it keeps router advertisements off
        wanted.push(text(&format!("IP{ending}"), "static"));
        if !addresses.is_empty() {
            wanted.push(list(&format!("Address{ending}"), addresses));
        }
        if let Some(hop) = plain {
            wanted.push(text(&format!("Gateway{ending}"), &hop.via.to_string()));
        }
        if !routes.is_empty() {
            wanted.push(list(&format!("Routes{ending}"), routes.iter().map(route_line).collect()));
        }
    }
    if !nic.dns.is_empty() {
        wanted.push(list("DNS", nic.dns.iter().map(ToString::to_string).collect()));
    }
    // without name servers of the host's, those that it has stay
    settings.have(&wanted, |key| OWN.contains(&key) && key != "DNS");
    settings.text()
}

fn is_link_local(hop: Hop) -> bool {
    matches!(hop.via, std::net::IpAddr::V6(six) if six.is_unicast_link_local())
}

/// A route as `ip route add` takes it.
fn route_line(route: &RouteIntent) -> String {
    let to = if route.to.prefix_len() == 0 { "default".to_owned() } else { route.to.to_string() };
    let via = route.hop.map_or(String::new(), |hop| format!(" via {}", hop.via));
    let onlink = if route.hop.is_some_and(|hop| hop.onlink) { " onlink" } else { "" };
    format!("{to}{via}{onlink}")
}

fn take_route(reading: &mut Reading, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let via = words.iter().position(|word| *word == "via").and_then(|at| words.get(at + 1)).copied();
    let is_on_link =
        words.contains(&"onlink") || via.is_some_and(|via| via.to_lowercase().starts_with("fe80:"));
    let reach = if is_on_link { Reach::OnLink } else { Reach::Plain };
    if let Some(to) = words.first() {
        reading.add_route(to, via, reach);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_escaped_as_systemd_escape_does() {
        for (name, want) in [
            ("eth0", "eth0"),
            ("my-lan", "my\\x2dlan"),
            (".a b.c", "\\x2ea\\x20b.c"),
            ("a/b_c", "a-b_c"),
            ("é", "\\xc3\\xa9"),
        ] {
            assert_eq!(escaped(name), want);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "((via|default|onlink|[0-9a-f./:]{0,6}) ){0,8}") {
            take_route(&mut Reading::default(), &line);
        }
    }
}
