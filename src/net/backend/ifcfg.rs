//! ifcfg files of the Red Hat family: initscripts (EL5 to EL7), and NetworkManager's plugin where it is still there.
//!
//! One `ifcfg-<nic>` with all addresses, routes in `route-<nic>` and `route6-<nic>` in the form of `ip route`. Variables
//! that say nothing of addresses stay, and so do routes that somebody added; the alias files of the old agent go.
//! Source: initscripts' sysconfig.txt, nm-settings-ifcfg-rh(5).

use std::fmt::Write as _;

use anyhow::Result;

use super::super::Mac;
use super::super::assignments::{self, Variable};
use super::super::configured::Scan;
use super::super::ifcfg::{RED_HAT, addresses, files, has_red_hat_reader};
use super::super::intent::{Family, Hop, Intent, Nic, NicIntent, RouteIntent, WRITTEN};
use super::super::links::Kind;
use super::reading::{Reach, Reading};
use super::{Backend, Claim, Strength, file_stem};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

/// Numbered routes of a file that are read.
const NUMBERED_MAX: usize = 256;

/// Variables that say where addresses, routes and name servers come from: the host says that now.
const OWN: [&str; 30] = [
    "BOOTPROTO",
    "ONBOOT",
    "DEVICE",
    "TYPE",
    "NETMASK",
    "PREFIX",
    "GATEWAY",
    "DEFROUTE",
    "BROADCAST",
    "NETWORK",
    "IPADDR",
    "IPV6INIT",
    "IPV6ADDR",
    "IPV6_DEFAULTGW",
    "IPV6_AUTOCONF",
    "IPV6_DEFROUTE",
    "IPV6FORWARDING",
    "DNS",
    "PEERDNS",
    "PEERROUTES",
    "HWADDR",
    "NM_CONTROLLED",
    "DHCPV6C",
    "DHCP_HOSTNAME",
    "PERSISTENT_DHCLIENT",
    "IPV6ADDR_SECONDARIES",
    "IPV6_PEERDNS",
    "IPV6_PEERROUTES",
    "IPV6_FAILURE_FATAL",
    "IPV4_FAILURE_FATAL",
];

/// ifcfg files.
pub(super) struct Ifcfg;

impl Backend for Ifcfg {
    fn name(&self) -> &'static str {
        "ifcfg"
    }

    /// A file that names its NIC by the MAC goes on to do so.
    fn goes_by_name(&self, root: &Root, nic: &str) -> Result<bool> {
        let text = root.text_opt(&format!("{RED_HAT}/ifcfg-{}", file_stem(nic)))?.unwrap_or_default();
        Ok(assignments::value(&assignments::parse(&text), "HWADDR").is_empty())
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        if !has_red_hat_reader(root) {
            return Ok(None);
        }
        let mut scan = Scan::of(root);
        let own = files(&mut scan, RED_HAT).into_iter().find(|path| {
            let variables = assignments::parse(&root.text_opt(path).ok().flatten().unwrap_or_default());
            let kind = assignments::value(&variables, "TYPE");
            kind.is_empty() || kind.eq_ignore_ascii_case("ethernet")
        });
        // from EL9 on the plugin is there for what is left of old files, and keyfiles are the way
        let manager = manager(target)?;
        Ok(match (own, manager) {
            (Some(path), _) => Some(Claim {
                source: path,
                text: "this file is about a NIC, and something reads it".to_owned(),
                strength: Strength::Configures,
            }),
            (None, Manager::Initscripts(by)) => Some(Claim {
                source: by,
                text: "the network service is enabled".to_owned(),
                strength: Strength::Enabled,
            }),
            (None, Manager::NetworkManager) => None,
        })
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let manager = manager(target)?;
        let mut scan = Scan::of(root);
        let existing = files(&mut scan, RED_HAT);
        scan.complete()?;
        let mut changes = Vec::new();
        for nic in &intent.nics {
            let name = file_stem(&nic.name);
            let path = format!("{RED_HAT}/ifcfg-{name}");
            let old = root.text_opt(&path)?.unwrap_or_default();
            changes.push(FileChange::write(&path, text_of(nic, &old, &manager)));
            for (family, prefix) in [(Family::V4, "route"), (Family::V6, "route6")] {
                let path = format!("{RED_HAT}/{prefix}-{name}");
                let old = root.text_opt(&path)?;
                let new = routes_of(nic, family, old.as_deref().unwrap_or_default());
                match (old, new.is_empty()) {
                    (None, true) => {}
                    (Some(_), true) => changes.push(FileChange::Remove { path }),
                    (_, false) => changes.push(FileChange::write(path, new)),
                }
            }
            for path in &existing {
                if is_rival(path, root, nic)? {
                    changes.push(FileChange::Remove { path: path.clone() });
                }
            }
            for entry in root.read_dir(RED_HAT)? {
                let alias = ["route-", "route6-"].iter().find_map(|prefix| entry.name.strip_prefix(prefix));
                if alias
                    .and_then(|name| name.strip_prefix(&nic.name))
                    .is_some_and(|rest| rest.starts_with(':'))
                {
                    changes.push(FileChange::Remove { path: format!("{RED_HAT}/{}", entry.name) });
                }
            }
        }
        Ok(changes)
    }

    /// NetworkManager reads a file when it is told to, and applies it without taking down what is right. The network
    /// service reads nothing while it runs: what is up was made what it should be already.
    fn activate(&self, intent: &Intent, target: &Target) -> Vec<Cmd> {
        if !matches!(manager(target), Ok(Manager::NetworkManager)) {
            return Vec::new();
        }
        let nic = |nic: &NicIntent| {
            let path = format!("/{RED_HAT}/ifcfg-{}", file_stem(&nic.name));
            let limit = std::time::Duration::from_secs(10);
            [
                Cmd::new(&["nmcli", "connection", "load", &path]).within(limit),
                Cmd::new(&["nmcli", "device", "reapply", &nic.name]).within(limit),
            ]
        };
        intent.nics.iter().flat_map(nic).collect()
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let name = file_stem(&nic.name);
        let Some(text) = root.text_opt(&format!("{RED_HAT}/ifcfg-{name}"))? else { return Ok(None) };
        let variables = assignments::parse(&text);
        let value = |name: &str| assignments::value(&variables, name);
        let mut reading = Reading::default();
        addresses(&variables).iter().for_each(|net| reading.add_address(&net.to_string()));
        if !value("GATEWAY").is_empty() {
            reading.add_route("default", Some(value("GATEWAY")), Reach::Plain);
        }
        if !value("IPV6_DEFAULTGW").is_empty() {
            let via = value("IPV6_DEFAULTGW").split('%').next().unwrap_or_default();
            // a link-local next hop is on the link that it names
            let reach = if via.to_lowercase().starts_with("fe80:") { Reach::OnLink } else { Reach::Plain };
            reading.add_route("default", Some(via), reach);
        }
        for prefix in ["route", "route6"] {
            let text = root.text_opt(&format!("{RED_HAT}/{prefix}-{name}"))?.unwrap_or_default();
            take_routes(&mut reading, &text);
        }
        for number in 1..=9 {
            reading.add_dns(value(&format!("DNS{number}")));
        }
        Ok(Some(reading.nic(nic)))
    }
}

/// Who reads the files.
enum Manager {
    /// The network service of initscripts; what starts it.
    Initscripts(String),
    /// NetworkManager with its plugin.
    NetworkManager,
}

fn manager(target: &Target) -> Result<Manager> {
    let enabled = |name: &str| -> Result<Option<String>> {
        let service = target.services().named(&target.root, name)?;
        Ok(service.and_then(|service| match service.enabled {
            Enabled::Yes(by) => Some(by),
            Enabled::No(_) | Enabled::Masked(_) => None,
        }))
    };
    if enabled("NetworkManager")?.is_some() {
        return Ok(Manager::NetworkManager);
    }
    let by = enabled("network")?;
    Ok(Manager::Initscripts(by.unwrap_or_else(|| "etc/sysconfig/network-scripts".to_owned())))
}

/// Whether another file configures the same NIC: an alias, or a file of another name with its DEVICE or HWADDR.
fn is_rival(path: &str, root: &Root, nic: &NicIntent) -> Result<bool> {
    let name = path.rsplit_once("ifcfg-").map_or("", |(_, name)| name);
    if name == file_stem(&nic.name) {
        return Ok(false);
    }
    let variables = assignments::parse(&root.text_opt(path)?.unwrap_or_default());
    let value = |name: &str| assignments::value(&variables, name);
    let is_of_nic = |device: &str| {
        device == nic.name || device.strip_prefix(&nic.name).is_some_and(|rest| rest.starts_with(':'))
    };
    let device = if value("DEVICE").is_empty() { name } else { value("DEVICE") };
    // what is stacked on the NIC can carry its MAC
    let kind = value("TYPE");
    let is_ethernet =
        (kind.is_empty() || kind.eq_ignore_ascii_case(Kind::ETHERNET.word())) && value("VLAN").is_empty();
    let has_mac = value("HWADDR").parse::<Mac>() == Ok(nic.mac);
    Ok(is_ethernet && (is_of_nic(device) || has_mac))
}

fn text_of(nic: &NicIntent, old: &str, manager: &Manager) -> String {
    let variables = assignments::parse(old);
    let label = nic.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
    let name = file_stem(&nic.name);
    let mut text = format!("# {name}{label}: {}\n", nic.mark());
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}=\"{value}\"");
    };
    set("DEVICE", &name);
    set("TYPE", "Ethernet");
    // a file that named its NIC by the MAC goes on to do so, by the right one
    if !assignments::value(&variables, "HWADDR").is_empty() {
        set("HWADDR", &nic.mac.to_string());
    }
    set("BOOTPROTO", "none");
    set("ONBOOT", "yes");
    if matches!(manager, Manager::Initscripts(_)) {
        set("NM_CONTROLLED", "no");
    }
    for (number, net) in nic.addresses_of(Family::V4).enumerate() {
        set(&format!("IPADDR{number}"), &net.addr().to_string());
        set(&format!("PREFIX{number}"), &net.prefix_len().to_string());
    }
    set("DEFROUTE", if nic.gateway4.is_some() { "yes" } else { "no" });
    if let Some(Hop { via, onlink: false }) = nic.gateway4 {
        set("GATEWAY", &via.to_string());
    }
    let mut six = nic.addresses_of(Family::V6);
    match six.next() {
        Some(first) => {
            set("IPV6INIT", "yes");
            set("IPV6_AUTOCONF", "no");
            set("IPV6ADDR", &first.to_string());
            let others: Vec<String> = six.map(ToString::to_string).collect();
            if !others.is_empty() {
                set("IPV6ADDR_SECONDARIES", &others.join(" "));
            }
        }
        None => set("IPV6INIT", "no"),
    }
    if let Some(via) = gateway6(nic) {
        set("IPV6_DEFAULTGW", &via);
    }
    for (number, server) in nic.dns.iter().enumerate() {
        set(&format!("DNS{}", number + 1), &server.to_string());
    }
    set("PEERDNS", if nic.dns.is_empty() { "no" } else { "yes" });
    for line in old.lines().filter(|line| is_kept(line)) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Returns the IPv6 gateway as the variable can say it: with its link when it is link-local. One in no prefix of the
/// NIC needs a route that says so.
fn gateway6(nic: &NicIntent) -> Option<String> {
    let Hop { via, onlink } = nic.gateway6?;
    let is_link_local = matches!(via, std::net::IpAddr::V6(six) if six.is_unicast_link_local());
    match (is_link_local, onlink) {
        (true, _) => Some(format!("{via}%{}", file_stem(&nic.name))),
        (false, false) => Some(via.to_string()),
        (false, true) => None,
    }
}

/// Whether a line of the old file stays: a variable that is not ours, or a comment that is not.
fn is_kept(line: &str) -> bool {
    if line.trim().is_empty() || line.trim_end().ends_with("written by novactl") {
        return false;
    }
    let [Variable { name, .. }] = assignments::parse(line)
        .try_into()
        .unwrap_or_else(|_| [Variable { name: String::new(), value: String::new(), line: 0 }]);
    // IPADDR0, IPV6ADDR1, DNS2, GATEWAY0 … are those without a number
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    name.is_empty() || !(OWN.contains(&name.as_str()) || OWN.contains(&bare))
}

/// Returns the routes of a family as a route file, below those that somebody else added; empty when there are none.
fn routes_of(nic: &NicIntent, family: Family, old: &str) -> String {
    let said_elsewhere = |route: &RouteIntent| {
        route.to.prefix_len() == 0
            && match family {
                Family::V4 => route.hop.is_some_and(|hop| !hop.onlink),
                Family::V6 => gateway6(nic).is_some(),
            }
    };
    let wanted: Vec<RouteIntent> =
        nic.routes_of(family).into_iter().filter(|route| !said_elsewhere(route)).collect();
    let is_ours = |line: &str| {
        let to = line.split_whitespace().next().unwrap_or_default();
        // the old form, ADDRESS0=…, is the agent's; a default route is the host's to say
        line.contains('=') || to == "default" || wanted.iter().any(|route| route.to.to_string() == to)
    };
    // our routes are below what somebody else wrote
    let is_mark = |line: &str| line.starts_with("# as ") && line.ends_with(WRITTEN);
    let others = old.lines().take_while(|line| !is_mark(line)).filter(|line| !line.trim().is_empty());
    let mut text: String = others.filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect();
    if wanted.is_empty() {
        return text;
    }
    let _ = writeln!(text, "# {}", nic.mark());
    for route in wanted {
        let to = if route.to.prefix_len() == 0 { "default".to_owned() } else { route.to.to_string() };
        let via = route.hop.map_or(String::new(), |hop| format!(" via {}", hop.via));
        let onlink = if route.hop.is_some_and(|hop| hop.onlink) { " onlink" } else { "" };
        let _ = writeln!(text, "{to}{via} dev {}{onlink}", file_stem(&nic.name));
    }
    text
}

/// Takes the routes of a file as initscripts do (`ifup-routes`): `ADDRESSn=` from 0 up where a line begins so, which is
/// the agent's form, else a line of `ip route` each.
fn take_routes(reading: &mut Reading, text: &str) {
    let variables = assignments::parse(text);
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_numbered = |variable: &Variable| variable.name.strip_prefix("ADDRESS").is_some_and(is_number);
    if !variables.iter().any(is_numbered) {
        text.lines().for_each(|line| take_route(reading, line));
        return;
    }
    for number in 0..NUMBERED_MAX {
        let value = |name: &str| assignments::value(&variables, &format!("{name}{number}"));
        let to = value("ADDRESS");
        if to.is_empty() {
            return;
        }
        let mask = value("NETMASK").parse().ok().and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
        let to = mask.map_or_else(|| to.to_owned(), |prefix| format!("{to}/{prefix}"));
        reading.add_route(&to, Some(value("GATEWAY")), Reach::Plain);
    }
}

fn take_route(reading: &mut Reading, line: &str) {
    let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    let after =
        |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let reach = if words.contains(&"onlink") { Reach::OnLink } else { Reach::Plain };
    if let Some(to) = words.first() {
        reading.add_route(to, after("via"), reach);
    }
}
