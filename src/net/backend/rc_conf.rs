//! FreeBSD's rc.conf, on mounted disks: no binary of ours runs there.
//!
//! Edited in place, as sysrc(8) does; what would win in a file that is read later (rc.conf.local, rc.conf.d) goes. VLANs,
//! bridges and other interfaces stay, and of the NICs' own their options (`-txcsum`, `mtu`) and addresses of carp.
//! Source: rc.conf(5), libexec/rc/network.subr and libexec/rc/rc.d/routing.

mod files;
mod ifconfig;

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent};
use super::reading::Reach;
use super::settings::Value;
use super::{Backend, Claim, Strength, far_hops, file_stem, resolv};
use crate::exec::Cmd;
use crate::facts::os::Base;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;
use files::Files;
use ifconfig::{Route, is_carp, options};

const MAIN: &str = "etc/rc.conf";
/// How the names of our routes begin.
const PREFIX: &str = "novactl";
/// The list of static routes and how the variable of each begins.
const ROUTES: [(Family, &str, &str); 2] =
    [(Family::V4, "static_routes", "route_"), (Family::V6, "ipv6_static_routes", "ipv6_route_")];
/// Lists that leave out every interface that they do not name, unless they say `AUTO`.
const INTERFACES: [&str; 2] = ["network_interfaces", "ipv6_network_interfaces"];

/// rc.conf.
pub(super) struct RcConf;

impl Backend for RcConf {
    fn name(&self) -> &'static str {
        "rc.conf"
    }

    fn goes_by_name(&self, _root: &Root, _nic: &str) -> Result<bool> {
        Ok(true)
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        if target.os().base != Base::FreeBsd {
            return Ok(None);
        }
        let files = Files::of(root)?;
        let of_nic = |name: &&str| name.strip_prefix("ifconfig_").is_some_and(|nic| !nic.starts_with("lo"));
        let named = files.main.names().find(of_nic);
        Ok(Some(match named {
            Some(name) => Claim {
                source: MAIN.to_owned(),
                text: format!("FreeBSD reads it, and it says {name}"),
                strength: Strength::Configures,
            },
            None => Claim {
                source: MAIN.to_owned(),
                text: "FreeBSD reads it".to_owned(),
                strength: Strength::Enabled,
            },
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let mut files = Files::of(root)?;
        let mut wanted: Vec<(String, Value)> = Vec::new();
        for nic in &intent.nics {
            interface(nic, &files, &mut wanted);
        }
        gateways(intent, &files, &mut wanted);
        let replaced = static_routes(intent, &files, &mut wanted);
        for list in INTERFACES {
            let Some(value) = files.value(list) else { continue };
            let missing: Vec<&str> = intent
                .nics
                .iter()
                .map(|nic| nic.name.as_str())
                .filter(|nic| !value.split_whitespace().any(|word| word == *nic))
                .collect();
            if !value.trim().eq_ignore_ascii_case("auto") && !missing.is_empty() {
                wanted
                    .push((list.to_owned(), Value::text(format!("{} {}", value.trim(), missing.join(" ")))));
            }
        }
        // the old agent's way to turn IPv6 on, which since FreeBSD 9 means router advertisements
        let is_dead =
            |name: &str| name == "ipv6_enable" && target.os().major().is_none_or(|major| major >= 9);
        let carp = files.carp_names();
        let is_own = |name: &str| {
            let of_nic = intent.nics.iter().any(|nic| is_of_nic(name, &variable(&nic.name)));
            (of_nic && !carp.iter().any(|kept| kept == name))
                || is_dead(name)
                || replaced.iter().any(|gone| gone == name)
        };
        files.main.have(&wanted, is_own);
        let mut changes = vec![FileChange::write(MAIN, files.main.text())];
        for (path, mut settings) in files.later {
            settings.give_way(&wanted, is_own);
            changes.push(FileChange::write(path, settings.text()));
        }
        let files = Files::of(root)?;
        // it writes resolv.conf itself
        if !files.value("local_unbound_enable").is_some_and(|value| value.eq_ignore_ascii_case("yes")) {
            changes.extend(resolv::with_servers_of(intent, root)?);
        }
        Ok(changes)
    }

    /// Nothing: FreeBSD is only ever a mounted disk.
    fn activate(&self, _intent: &Intent, _target: &Target) -> Vec<Cmd> {
        Vec::new()
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let files = Files::of(root)?;
        let Some(mut reading) = files.addresses_of(&nic.name) else { return Ok(None) };
        let mut routes: Vec<Route> = Vec::new();
        for (family, list, prefix) in ROUTES {
            for name in files.value(list).unwrap_or_default().split_whitespace() {
                let name = name.split(':').next().unwrap_or_default();
                let arguments = files.value(&format!("{prefix}{name}")).unwrap_or_default();
                routes.extend(Route::of(&arguments, family));
            }
        }
        for name in ["defaultrouter", "ipv6_defaultrouter"] {
            let via = files.value(name).filter(|via| !via.is_empty() && !via.eq_ignore_ascii_case("no"));
            routes.extend(via.map(|via| Route::default_by(&via)));
        }
        let on_link: Vec<String> = routes
            .iter()
            .filter(|route| route.nic.as_deref() == Some(nic.name.as_str()))
            .map(|route| route.to.clone())
            .collect();
        for route in &routes {
            let is_ours = match (&route.nic, route.via) {
                (Some(of), _) => *of == nic.name,
                (None, Some(via)) => {
                    reading.addresses().iter().any(|net| net.contains(&via))
                        || on_link.contains(&via.to_string())
                }
                (None, None) => false,
            };
            if is_ours {
                let is_link_local = matches!(route.via, Some(IpAddr::V6(six)) if six.is_unicast_link_local());
                let reach = if is_link_local { Reach::OnLink } else { Reach::Plain };
                reading.add_route(&route.to, route.via.map(|via| via.to_string()).as_deref(), reach);
            }
        }
        reading.fold_next_hops();
        resolv::servers(root)?.iter().for_each(|server| reading.add_dns(server));
        Ok(Some(reading.nic(nic)))
    }
}

/// Returns a NIC's name as a part of a variable's name (`get_if_var`).
fn variable(nic: &str) -> String {
    file_stem(nic).replace(['.', '-'], "_")
}

/// Whether a variable says which addresses a NIC has.
fn is_of_nic(name: &str, nic: &str) -> bool {
    let name = name.strip_prefix("ipv6_").unwrap_or(name);
    let rest = ["ifconfig_", "ipv4_addrs_", "prefix_"].iter().find_map(|start| name.strip_prefix(start));
    rest.and_then(|rest| rest.strip_prefix(nic)).is_some_and(|ending| {
        let number = ending.strip_prefix("_alias").unwrap_or("x");
        matches!(ending, "" | "_ipv6" | "_aliases") || number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Says what the variables of a NIC are to be.
fn interface(nic: &NicIntent, files: &Files, wanted: &mut Vec<(String, Value)>) {
    let name = variable(&nic.name);
    let old = |ending: &str| options(&files.value(&format!("ifconfig_{name}{ending}")).unwrap_or_default());
    let mut four = nic.addresses_of(Family::V4);
    let first = four.next();
    let value = first.map_or_else(|| "up".to_owned(), |net| format!("inet {net}"));
    wanted.push((format!("ifconfig_{name}"), Value::text(format!("{value}{}", old("")))));
    let mut seen: Vec<&IpNet> = first.into_iter().collect();
    let mut aliases = Vec::new();
    for net in four {
        // the second address of a prefix has all bits, or the first one's route is taken away with it
        let is_in_one = seen.iter().any(|known| known.trunc() == net.trunc());
        aliases.push(format!("inet {}/{}", net.addr(), if is_in_one { 32 } else { net.prefix_len() }));
        seen.push(net);
    }
    let mut six = nic.addresses_of(Family::V6);
    if let Some(net) = six.next() {
        let value = format!("inet6 {net} -accept_rtadv{}", old("_ipv6"));
        wanted.push((format!("ifconfig_{name}_ipv6"), Value::text(value)));
    }
    aliases.extend(six.map(|net| format!("inet6 {net}")));
    let taken: Vec<u32> = {
        let is_kept = |number: &u32| {
            files.value(&format!("ifconfig_{name}_alias{number}")).is_some_and(|value| is_carp(&value))
        };
        files.aliases(&name).into_iter().filter(is_kept).collect()
    };
    // without a gap: the first one that is missing ends the list before FreeBSD 10
    let mut free = (0..).filter(|number| !taken.contains(number));
    for alias in aliases {
        if let Some(number) = free.next() {
            wanted.push((format!("ifconfig_{name}_alias{number}"), Value::text(alias)));
        }
    }
}

/// Says what the default routes are to be. Without one of the host's, that of another interface stays.
fn gateways(intent: &Intent, files: &Files, wanted: &mut Vec<(String, Value)>) {
    for (family, name) in [(Family::V4, "defaultrouter"), (Family::V6, "ipv6_defaultrouter")] {
        let of = |nic: &NicIntent| match family {
            Family::V4 => nic.gateway4,
            Family::V6 => nic.gateway6,
        };
        if let Some((nic, hop)) = intent.nics.iter().find_map(|nic| Some((nic, of(nic)?))) {
            wanted.push((name.to_owned(), Value::text(hop_text(hop.via, nic))));
            continue;
        }
        let Some(old) = files.value(name).filter(|old| !old.is_empty() && !old.eq_ignore_ascii_case("no"))
        else {
            continue;
        };
        let route = Route::default_by(&old);
        let is_of = |nic: &NicIntent| {
            let before = files.addresses_of(&nic.name).unwrap_or_default();
            let nets = before.addresses().iter().chain(&nic.addresses);
            let is_near = nets.into_iter().any(|net| route.via.is_some_and(|via| net.contains(&via)));
            route.nic.as_ref().map_or(is_near, |of| *of == nic.name)
        };
        if intent.nics.iter().any(is_of) {
            wanted.push((name.to_owned(), Value::text("NO")));
        }
    }
}

/// A link-local address is none without its link.
fn hop_text(via: IpAddr, nic: &NicIntent) -> String {
    match via {
        IpAddr::V6(six) if six.is_unicast_link_local() => format!("{via}%{}", file_stem(&nic.name)),
        _ => via.to_string(),
    }
}

/// Says what the static routes are to be, ours before those of others, which stay unless they lead where one of ours
/// does; returns the variables of those that go.
fn static_routes(intent: &Intent, files: &Files, wanted: &mut Vec<(String, Value)>) -> Vec<String> {
    let mut gone = Vec::new();
    for (family, list, prefix) in ROUTES {
        let mut lines: Vec<(String, String)> = Vec::new();
        for nic in &intent.nics {
            let name = file_stem(&nic.name);
            let far = far_hops(nic).into_iter().filter(|via| Family::of(*via) == family);
            lines.extend(far.map(|via| (via.to_string(), format!("-host {via} -iface {name}"))));
            let routes = nic.routes.iter().filter(|route| Family::of(route.to.addr()) == family);
            lines.extend(routes.map(|route| (route.to.to_string(), arguments(route, nic))));
        }
        let mut names: Vec<String> = (0..lines.len()).map(|number| format!("{PREFIX}{number}")).collect();
        for (name, (_, line)) in names.iter().zip(&lines) {
            wanted.push((format!("{prefix}{name}"), Value::text(line.clone())));
        }
        let old = files.value(list).unwrap_or_default();
        for name in old.split_whitespace() {
            let variable = format!("{prefix}{}", name.split(':').next().unwrap_or_default());
            let route = files.value(&variable).and_then(|arguments| Route::of(&arguments, family));
            let is_replaced = route.is_some_and(|route| lines.iter().any(|(to, _)| *to == route.to));
            let is_ours =
                name.strip_prefix(PREFIX).is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
            if is_replaced || is_ours {
                gone.push(variable);
            } else {
                names.push(name.to_owned());
            }
        }
        if !names.is_empty() || !old.is_empty() {
            wanted.push((list.to_owned(), Value::text(names.join(" "))));
        }
    }
    gone
}

/// Returns a route as the arguments of route(8).
fn arguments(route: &RouteIntent, nic: &NicIntent) -> String {
    let kind = if route.to.prefix_len() == route.to.max_prefix_len() { "-host" } else { "-net" };
    let to = if kind == "-host" { route.to.addr().to_string() } else { route.to.to_string() };
    match route.hop {
        Some(hop) => format!("{kind} {to} {}", hop_text(hop.via, nic)),
        None => format!("{kind} {to} -iface {}", file_stem(&nic.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_nics_only_when_it_says_addresses() {
        for (name, want) in [
            ("ifconfig_xn0", true),
            ("ifconfig_xn0_ipv6", true),
            ("ifconfig_xn0_alias12", true),
            ("ifconfig_xn0_aliases", true),
            ("ipv6_ifconfig_xn0_alias0", true),
            ("ipv4_addrs_xn0", true),
            ("ipv6_prefix_xn0", true),
            ("ifconfig_xn0_100", false),
            ("ifconfig_xn01", false),
            ("ifconfig_xn0_name", false),
            ("ifconfig_xn0_descr", false),
            ("vlans_xn0", false),
        ] {
            assert_eq!(is_of_nic(name, "xn0"), want, "{name}");
        }
    }
}
