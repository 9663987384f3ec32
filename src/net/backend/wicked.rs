//! wicked on SLES and openSUSE, and the ifup scripts before it: `/etc/sysconfig/network`.
//!
//! Addresses in `ifcfg-<nic>`, routes in `ifroute-<nic>`, router advertisements off in `ifsysctl-<nic>`, name servers
//! through netconfig. Variables and routes of others stay; a default route in the file for all interfaces goes where
//! the host says another one, since it would be used beside it.
//! Source: ifcfg(5), ifroute(5), ifsysctl(5), netconfig(8), and wicked's client/suse/compat-suse.c.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::super::configured::Scan;
use super::super::ifcfg::{SUSE, files, has_suse_reader};
use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent, WRITTEN};
use super::reading::{Reach, Reading};
use super::settings::{Settings, Value};
use super::{Backend, Claim, Strength, file_stem, resolv};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

/// The routes of all interfaces.
const ROUTES: &str = "etc/sysconfig/network/routes";
/// netconfig's settings.
const CONFIG: &str = "etc/sysconfig/network/config";
const SERVERS: &str = "NETCONFIG_DNS_STATIC_SERVERS";
const POLICY: &str = "NETCONFIG_DNS_POLICY";
/// Variables that say where addresses come from; those of addresses also exist with an ending.
const OWN: [&str; 4] = ["BOOTPROTO", "STARTMODE", "NETWORK", "LLADDR"];
const OWN_OF_ADDRESS: [&str; 7] =
    ["IPADDR", "PREFIXLEN", "NETMASK", "BROADCAST", "REMOTE_IPADDR", "LABEL", "SCOPE"];

/// wicked.
pub(super) struct Wicked;

impl Backend for Wicked {
    fn name(&self) -> &'static str {
        "wicked"
    }

    fn goes_by_name(&self, _root: &Root, _nic: &str) -> Result<bool> {
        Ok(true)
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        if !has_suse_reader(root) {
            return Ok(None);
        }
        let mut enabled = None;
        // the second is SLES 11 and before
        for name in ["wicked", "network"] {
            let service = target.services().named(root, name)?;
            enabled = enabled.or(service.and_then(|service| match service.enabled {
                Enabled::Yes(by) => Some(by),
                Enabled::No(_) | Enabled::Masked(_) => None,
            }));
        }
        let Some(by) = enabled else { return Ok(None) };
        let own = files(&mut Scan::of(root), SUSE).into_iter().next();
        Ok(Some(match own {
            Some(path) => Claim {
                source: path,
                text: format!("wicked is enabled ({by}), and this file is about an interface"),
                strength: Strength::Configures,
            },
            None => Claim { source: by, text: "wicked is enabled".to_owned(), strength: Strength::Enabled },
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let mut scan = Scan::of(root);
        let existing = files(&mut scan, SUSE);
        scan.complete()?;
        let mut changes = Vec::new();
        for nic in &intent.nics {
            let name = file_stem(&nic.name);
            let path = format!("{SUSE}/ifcfg-{name}");
            changes.push(FileChange::write(&path, text_of(nic, &root.text_opt(&path)?.unwrap_or_default())));
            let path = format!("{SUSE}/ifroute-{name}");
            let old = root.text_opt(&path)?;
            let new = routes_of(nic, old.as_deref().unwrap_or_default());
            match (old, new.is_empty()) {
                (None, true) => {}
                (Some(_), true) => changes.push(FileChange::Remove { path }),
                (_, false) => changes.push(FileChange::write(path, new)),
            }
            let path = format!("{SUSE}/ifsysctl-{name}");
            let old = root.text_opt(&path)?.unwrap_or_default();
            changes.push(FileChange::write(path, advertisements_off(&name, &old)));
            // by MAC: SLES 10 and before
            let by_mac = format!("ifcfg-eth-id-{}", nic.mac);
            let rivals = existing.iter().filter(|path| path.to_lowercase().ends_with(&by_mac));
            changes.extend(rivals.map(|path| FileChange::Remove { path: path.clone() }));
        }
        if let Some(text) = root.text_opt(ROUTES)? {
            changes.push(FileChange::write(ROUTES, without_defaults(&text, intent)));
        }
        changes.extend(name_servers(intent, root)?);
        Ok(changes)
    }

    /// What is right already wicked leaves as it is.
    fn activate(&self, intent: &Intent, target: &Target) -> Vec<Cmd> {
        let mut commands = Vec::new();
        if target.root.find_program("netconfig").is_some() {
            commands.push(Cmd::new(&["netconfig", "update", "-f"]).within(Duration::from_secs(10)));
        }
        if target.root.find_program("wicked").is_some() {
            let nics = intent.nics.iter().map(|nic| nic.name.as_str());
            let words: Vec<&str> = ["wicked", "ifreload"].into_iter().chain(nics).collect();
            commands.push(Cmd::new(&words).within(Duration::from_secs(30)));
        }
        commands
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let name = file_stem(&nic.name);
        let Some(text) = root.text_opt(&format!("{SUSE}/ifcfg-{name}"))? else { return Ok(None) };
        let settings = Settings::of(&text);
        let value = |name: &str| settings.value(name).unwrap_or_default();
        let mut reading = Reading::default();
        for ending in endings(&settings) {
            let lengths = ["PREFIXLEN", "NETMASK"].map(|of| value(&format!("{of}{ending}")));
            let length = lengths.iter().find(|length| !length.is_empty());
            let net = super::super::address_with_mask(
                &value(&format!("IPADDR{ending}")),
                length.map(String::as_str),
            );
            net.iter().for_each(|net| reading.add_address(&net.to_string()));
        }
        let text = root.text_opt(&format!("{SUSE}/ifroute-{name}"))?.unwrap_or_default();
        for route in routes(&text) {
            take(&mut reading, &route);
        }
        let text = root.text_opt(ROUTES)?.unwrap_or_default();
        for route in routes(&text) {
            let is_reached = || {
                let via: Option<IpAddr> = route.via.and_then(|via| via.parse().ok());
                via.is_some_and(|via| reading.addresses().iter().any(|net| net.contains(&via)))
            };
            if route.nic.map_or_else(is_reached, |of| of == nic.name) {
                take(&mut reading, &route);
            }
        }
        reading.fold_next_hops();
        let config = Settings::of(&root.text_opt(CONFIG)?.unwrap_or_default());
        let servers = match config.value(POLICY).as_deref() {
            Some("") => resolv::servers(root)?,
            _ => config.value(SERVERS).unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        };
        servers.iter().for_each(|server| reading.add_dns(server));
        Ok(Some(reading.nic(nic)))
    }
}

/// Edits an ifcfg file.
fn text_of(nic: &NicIntent, old: &str) -> String {
    let mut settings = Settings::of(old);
    let mut wanted =
        vec![("BOOTPROTO".to_owned(), Value::text("static")), ("STARTMODE".to_owned(), Value::text("auto"))];
    for (number, net) in nic.addresses.iter().enumerate() {
        let ending = if number == 0 { String::new() } else { format!("_{number}") };
        wanted.push((format!("IPADDR{ending}"), Value::text(net.to_string())));
    }
    settings.have(&wanted, is_own);
    let text = settings.text();
    if !old.is_empty() {
        return text;
    }
    let label = nic.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
    format!("# {}{label}: {}\n{text}", file_stem(&nic.name), nic.mark())
}

fn is_own(name: &str) -> bool {
    let is_ending =
        |text: &str| text.is_empty() || text.starts_with(|c: char| c == '_' || c.is_ascii_digit());
    OWN.contains(&name) || OWN_OF_ADDRESS.iter().any(|own| name.strip_prefix(own).is_some_and(is_ending))
}

/// Returns the endings of the variables with addresses: none first, then by number.
fn endings(settings: &Settings) -> Vec<String> {
    let mut endings: Vec<&str> = settings.names().filter_map(|name| name.strip_prefix("IPADDR")).collect();
    endings.sort_by_key(|ending| (ending.trim_start_matches('_').parse().unwrap_or(0_u64), *ending));
    endings.dedup();
    endings.into_iter().map(str::to_owned).collect()
}

/// One line of a file of routes.
struct Route<'t> {
    to: &'t str,
    mask: Option<&'t str>,
    via: Option<&'t str>,
    nic: Option<&'t str>,
    is_on_link: bool,
}

/// Reads a file of routes: destination, gateway, mask, interface, options; `-` is nothing.
fn routes(text: &str) -> Vec<Route<'_>> {
    text.lines().filter_map(route).collect()
}

fn route(line: &str) -> Option<Route<'_>> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let to = words.next()?;
    let mut column = || words.next().filter(|word| *word != "-");
    let (gateway, mask, nic) = (column(), column(), column());
    let options: Vec<&str> = words.collect();
    let via = options.iter().position(|word| *word == "via").and_then(|at| options.get(at + 1));
    let via = gateway.or(via.copied());
    Some(Route { to, mask, via, nic, is_on_link: options.contains(&"onlink") })
}

fn take(reading: &mut Reading, route: &Route<'_>) {
    let is_link_local = route.via.is_some_and(|via| via.to_lowercase().starts_with("fe80:"));
    let reach = if route.is_on_link || is_link_local { Reach::OnLink } else { Reach::Plain };
    let to = super::super::address_with_mask(route.to, route.mask);
    reading.add_route(&to.map_or_else(|| route.to.to_owned(), |to| to.to_string()), route.via, reach);
}

/// Returns the file of a NIC's routes: those that somebody added, then ours. A next hop off the link has a route of its
/// own first, since the format knows the word `onlink` only among several next hops.
fn routes_of(nic: &NicIntent, old: &str) -> String {
    let wanted: Vec<RouteIntent> =
        [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family)).collect();
    let is_ours = |line: &str| {
        routes(line).iter().any(|route| {
            let to = super::super::address_with_mask(route.to, route.mask);
            route.to == "default" || wanted.iter().any(|wanted| Some(wanted.to) == to)
        })
    };
    let is_mark = |line: &str| line.starts_with("# as ") && line.ends_with(WRITTEN);
    let others = old.lines().take_while(|line| !is_mark(line));
    let mut text: String = others
        .filter(|line| !line.trim().is_empty() && !is_ours(line))
        .map(|line| format!("{line}\n"))
        .collect();
    if wanted.is_empty() {
        return text;
    }
    let name = file_stem(&nic.name);
    let _ = writeln!(text, "# {}", nic.mark());
    for via in super::far_hops(nic) {
        let _ = writeln!(text, "{via} - - {name}");
    }
    for route in wanted {
        let to = match (route.to.prefix_len(), route.hop) {
            (0, Some(_)) => "default".to_owned(),
            _ => route.to.to_string(),
        };
        let via = route.hop.map_or_else(|| "-".to_owned(), |hop| hop.via.to_string());
        let _ = writeln!(text, "{to} {via} - {name}");
    }
    text
}

/// Takes default routes out of the file for all interfaces: those of our NICs, and those of no named interface where
/// the host says one of that family.
fn without_defaults(text: &str, intent: &Intent) -> String {
    let has = |is_six: bool| {
        intent.nics.iter().any(|nic| if is_six { nic.gateway6.is_some() } else { nic.gateway4.is_some() })
    };
    let is_gone = |line: &str| {
        routes(line).first().is_some_and(|route| {
            let is_default = route.to == "default" || route.to.ends_with("/0");
            let is_six = route.to.contains(':') || route.via.is_some_and(|via| via.contains(':'));
            is_default
                && route.nic.map_or_else(|| has(is_six), |of| intent.nics.iter().any(|nic| nic.name == of))
        })
    };
    if !text.lines().any(is_gone) {
        return text.to_owned();
    }
    text.lines().filter(|line| !is_gone(line)).map(|line| format!("{line}\n")).collect()
}

/// A host that assigns addresses sends no router advertisements that are meant for it.
fn advertisements_off(nic: &str, old: &str) -> String {
    let keys = ["accept_ra", "autoconf"].map(|key| format!("net.ipv6.conf.{nic}.{key}"));
    let is_ours = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim().replace('/', ".");
        keys.contains(&key)
    };
    let mut text: String =
        old.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect();
    for key in keys {
        let _ = writeln!(text, "{key} = 0");
    }
    text
}

/// netconfig writes resolv.conf, unless it is told to keep its hands off.
fn name_servers(intent: &Intent, root: &Root) -> Result<Option<FileChange>> {
    let servers = resolv::servers_of(intent);
    let mut config = Settings::of(&root.text_opt(CONFIG)?.unwrap_or_default());
    if config.value(POLICY).as_deref() == Some("") {
        return resolv::with_servers_of(intent, root);
    }
    if servers.is_empty() {
        return Ok(None);
    }
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    config.set(SERVERS, &Value::text(servers.join(" ")));
    Ok(Some(FileChange::write(CONFIG, config.text())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_route_is_read_in_every_form() {
        for (line, want) in [
            ("default 192.0.2.1 - eth0", "0.0.0.0/0 192.0.2.1 false"),
            ("10.0.0.0 192.0.2.1 255.0.0.0 eth0 metric 5", "10.0.0.0/8 192.0.2.1 false"),
            ("10.0.0.0/8\t192.0.2.1", "10.0.0.0/8 192.0.2.1 false"),
            ("default - - eth0 nexthop via 192.0.2.9 onlink", "0.0.0.0/0 192.0.2.9 true"),
            ("default fe80::1 - eth0 # c", "::/0 fe80::1 true"),
        ] {
            let mut reading = Reading::default();
            reading.add_address("192.0.2.7/24");
            routes(line).iter().for_each(|route| take(&mut reading, route));
            let nic =
                reading.nic(&Nic { name: "eth0".to_owned(), mac: "52:54:00:a1:00:01".parse().unwrap() });
            let all: Vec<RouteIntent> =
                [Family::V4, Family::V6].into_iter().flat_map(|f| nic.routes_of(f)).collect();
            let [RouteIntent { to, hop: Some(hop) }] = all.as_slice() else { panic!("{line}: {all:?}") };
            assert_eq!(format!("{to} {} {}", hop.via, hop.onlink), want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9a-f./:-]{0,6}[ \t\n#]){0,12}") {
            let mut reading = Reading::default();
            routes(&text).iter().for_each(|route| take(&mut reading, route));
            without_defaults(&text, &Intent::default());
        }
    }
}
