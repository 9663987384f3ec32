//! ifcfg files: `/etc/sysconfig/network-scripts` of the Red Hat family, `/etc/sysconfig/network` of SUSE (wicked).
//!
//! Source: initscripts' sysconfig.txt and `network-functions`, NetworkManager's nm-settings-ifcfg-rh(5), wicked's
//! ifcfg(5), ifcfg-bridge(5), ifcfg-bonding(5), ifcfg-vlan(5), ifcfg-tunnel(5).

use super::Mac;
use super::assignments::{self, Variable};
use super::configured::{Match, Planned, Scan, Seen};
use super::links::Kind;
use crate::root::Root;
use ipnet::IpNet;

pub(crate) const RED_HAT: &str = "etc/sysconfig/network-scripts";
pub(crate) const SUSE: &str = "etc/sysconfig/network";

/// Ends of names that every reader skips: backups of editors, packages and of the agent.
const SKIPPED: [&str; 9] = ["~", ".bak", ".orig", ".rej", ".old", ".rpmnew", ".rpmorig", ".rpmsave", ".swp"];

pub(super) fn look(scan: &mut Scan) {
    if has_red_hat_reader(scan.root) {
        let switch = global_switch(scan);
        for path in files(scan, RED_HAT) {
            let Some(text) = scan.text(&path) else { continue };
            if let Some(planned) = planned(&path, &assignments::parse(&text), switch.as_ref()) {
                scan.add(planned);
            }
        }
    }
    if has_suse_reader(scan.root) {
        for path in files(scan, SUSE) {
            let Some(text) = scan.text(&path) else { continue };
            if let Some(planned) = planned(&path, &assignments::parse(&text), None) {
                scan.add(planned);
            }
        }
    }
}

/// Whether initscripts, the network-scripts package, or NetworkManager's plugin is there.
pub(crate) fn has_red_hat_reader(root: &Root) -> bool {
    has_scripts(root) || has_plugin(root)
}

/// Whether wicked or the ifup scripts before it are there.
pub(crate) fn has_suse_reader(root: &Root) -> bool {
    root.find_program("wicked").is_some() || root.exists("etc/sysconfig/network/scripts")
}

/// Whether initscripts or the network-scripts package is there. SLES 11 has an init script of the same name.
pub(crate) fn has_scripts(root: &Root) -> bool {
    let is_suse = root.exists("etc/sysconfig/network/config");
    !is_suse
        && ["etc/rc.d/init.d/network", "etc/init.d/network", "etc/sysconfig/network-scripts/ifup-eth"]
            .iter()
            .any(|path| root.exists(path))
}

/// Whether NetworkManager reads these files.
pub(crate) fn has_plugin(root: &Root) -> bool {
    const PLUGIN: &str = "libnm-settings-plugin-ifcfg-rh.so";
    ["usr/lib64/NetworkManager", "usr/lib/NetworkManager"].iter().any(|dir| {
        let versions = root.read_dir(dir).unwrap_or_default();
        root.exists(&format!("{dir}/{PLUGIN}"))
            || versions.iter().any(|version| root.exists(&format!("{dir}/{}/{PLUGIN}", version.name)))
    })
}

pub(crate) fn files(scan: &mut Scan, dir: &str) -> Vec<String> {
    let mut files = scan.files(dir, "");
    files.retain(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.strip_prefix("ifcfg-").is_some_and(|link| !link.is_empty() && link != "lo")
            && !SKIPPED.iter().any(|end| name.ends_with(end))
    });
    files
}

/// `NETWORKING_IPV6=no`, which holds for every interface that does not say otherwise.
fn global_switch(scan: &mut Scan) -> Option<Seen> {
    const FILE: &str = "etc/sysconfig/network";
    let variables = assignments::parse(&scan.text(FILE)?);
    let switch = assignments::last(&variables, "NETWORKING_IPV6")?;
    assignments::is_no(&switch.value).then(|| seen(FILE, switch))
}

pub(crate) fn planned(path: &str, variables: &[Variable], switch: Option<&Seen>) -> Option<Planned> {
    let value = |name| assignments::value(variables, name);
    let of_file = path.rsplit_once("ifcfg-").map_or("", |(_, name)| name);
    let name = match value("DEVICE") {
        "" => of_file,
        device => device,
    };
    // an alias is an address of its NIC, not an interface
    if name.contains(':') || name.is_empty() {
        return None;
    }
    let (kind, because) = kind(variables, name);
    let at_boot = match (value("STARTMODE"), value("ONBOOT")) {
        ("", onboot) => onboot.is_empty() || assignments::is_yes(onboot),
        (mode, _) => matches!(mode, "auto" | "onboot" | "on" | "boot" | "nfsroot" | "hotplug"),
    };
    let macs: Vec<Mac> =
        [value("HWADDR"), value("MACADDR")].iter().take(1).filter_map(|mac| mac.parse().ok()).collect();
    let place = because.or_else(|| variables.first());
    Some(Planned {
        reader: "ifcfg",
        to: Match { names: vec![name.to_owned()], macs },
        kind,
        at_boot,
        seen: place.map_or_else(|| Seen::at(path, "an empty file"), |variable| seen(path, variable)),
        ipv6_off: ipv6_off(path, variables, switch),
        addresses: addresses(variables),
    })
}

/// `IPADDR`, `IPADDR0`, `IPADDR_1` … with `PREFIX` or `NETMASK` of the same ending, and the IPv6 variables.
pub(crate) fn addresses(variables: &[Variable]) -> Vec<IpNet> {
    let value = |name: &str| assignments::value(variables, name);
    let mut addresses = Vec::new();
    for variable in variables {
        // an earlier assignment of the same name does not hold
        let holds = assignments::last(variables, &variable.name) == Some(variable);
        let Some(ending) = variable.name.strip_prefix("IPADDR").filter(|_| holds) else { continue };
        if !ending.trim_start_matches('_').bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let masks = [format!("PREFIX{ending}"), format!("PREFIXLEN{ending}"), format!("NETMASK{ending}")];
        let mask = masks.iter().map(|name| value(name)).find(|mask| !mask.is_empty());
        addresses.extend(super::address_with_mask(&variable.value, mask));
    }
    for list in ["IPV6ADDR", "IPV6ADDR_SECONDARIES"] {
        addresses
            .extend(value(list).split_whitespace().filter_map(|text| super::address_with_mask(text, None)));
    }
    addresses
}

fn ipv6_off(path: &str, variables: &[Variable], switch: Option<&Seen>) -> Option<Seen> {
    if let Some(disabled) =
        assignments::last(variables, "IPV6_DISABLED").filter(|v| assignments::is_yes(&v.value))
    {
        return Some(seen(path, disabled));
    }
    match assignments::last(variables, "IPV6INIT") {
        Some(init) if assignments::is_no(&init.value) => Some(seen(path, init)),
        Some(_) => None,
        None => switch.cloned(),
    }
}

fn seen(path: &str, variable: &Variable) -> Seen {
    Seen::line(path, variable.line, format!("{}={}", variable.name, variable.value))
}

/// What the file makes, and the variable that says so.
fn kind<'v>(variables: &'v [Variable], name: &str) -> (Kind, Option<&'v Variable>) {
    let last = |name| assignments::last(variables, name);
    let set = |name| last(name).filter(|variable| !variable.value.is_empty());
    if let Some(variable) = set("DEVICETYPE").or_else(|| set("TYPE")) {
        let kind = match variable.value.to_ascii_lowercase().as_str() {
            "bridge" => Some(Kind::BRIDGE),
            "bond" => Some(Kind::BOND),
            "vlan" => Some(Kind::VLAN),
            "tun" => Some(Kind::TUN),
            "tap" => Some(Kind::TAP),
            "team" => Some(Kind::named("team")),
            "wireguard" => Some(Kind::WIREGUARD),
            "ovsbridge" | "ovsport" | "ovsintport" | "ovs" => Some(Kind::named("openvswitch")),
            tunnel @ ("gre" | "ipip" | "sit" | "vxlan" | "dummy" | "macvlan") => Some(Kind::named(tunnel)),
            // `Xdsl`, `Modem`
            "xdsl" | "modem" => Some(Kind::PPP),
            _ => None,
        };
        if let Some(kind) = kind {
            return (kind, Some(variable));
        }
    }
    let yes = |name| last(name).filter(|variable| assignments::is_yes(&variable.value));
    if let Some(variable) = set("TUNNEL") {
        let kind = match variable.value.to_ascii_lowercase().as_str() {
            "tun" => Kind::TUN,
            "tap" => Kind::TAP,
            other => Kind::named(other),
        };
        return (kind, Some(variable));
    }
    let by_variable = [
        (yes("BRIDGE"), Kind::BRIDGE),
        (yes("BONDING_MASTER"), Kind::BOND),
        (set("BONDING_OPTS"), Kind::BOND),
        (yes("VLAN"), Kind::VLAN),
        (set("ETHERDEVICE"), Kind::VLAN),
        (set("MACVLAN_DEVICE"), Kind::named("macvlan")),
        (set("TEAM_RUNNER"), Kind::named("team")),
        (set("DUMMY").or_else(|| set("INTERFACETYPE").filter(|v| v.value == "dummy")), Kind::named("dummy")),
    ];
    for (variable, kind) in by_variable {
        if variable.is_some() {
            return (kind, variable);
        }
    }
    // initscripts also know these by name alone
    let of_name = if name.starts_with("ppp") { Kind::PPP } else { Kind::ETHERNET };
    (of_name, last("DEVICE"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::{addresses, off, short};
    use proptest::prelude::*;

    const READER: (&str, &str) = ("etc/rc.d/init.d/network", "#!/bin/sh\n");

    #[test]
    fn the_kind_follows_from_what_either_family_writes() {
        let cases = [
            ("DEVICE=br0\nTYPE=Bridge\n", "bridge"),
            ("TYPE=Bond\nBONDING_MASTER=yes\n", "bond"),
            ("BONDING_OPTS=\"mode=1\"\n", "bond"),
            ("VLAN=yes\n", "vlan"),
            ("DEVICETYPE=Team\n", "team"),
            ("TYPE=Tap\n", "tap"),
            ("BRIDGE='yes'\nBRIDGE_PORTS='eth0'\n", "bridge"),
            ("ETHERDEVICE='eth0'\n", "vlan"),
            ("TUNNEL='tun'\n", "tun"),
            // a port of a bridge names it
            ("TYPE=Ethernet\nBRIDGE=br0\n", "ethernet"),
            ("BOOTPROTO=static\n", "ethernet"),
        ];
        for (text, want) in cases {
            assert_eq!(kind(&assignments::parse(text), "x0").0.word(), want, "{text}");
        }
    }

    #[test]
    fn backups_aliases_and_the_loopback_are_no_interfaces() {
        let file = |name: &'static str| (name, "DEVICE=br0\nTYPE=Bridge\nONBOOT=no\n");
        let planned = short(&[
            READER,
            file("etc/sysconfig/network-scripts/ifcfg-br0"),
            file("etc/sysconfig/network-scripts/ifcfg-br0.1448461234.bak~"),
            file("etc/sysconfig/network-scripts/ifcfg-br0.1448461234.12.bak"),
            file("etc/sysconfig/network-scripts/ifcfg-lo"),
            ("etc/sysconfig/network-scripts/ifcfg-eth0:1", "DEVICE=eth0:1\n"),
        ]);
        let want = ("br0".to_owned(), "bridge".to_owned(), false, format!("{RED_HAT}/ifcfg-br0:2"));
        assert_eq!(planned, [want]);
    }

    #[test]
    fn ipv6_is_off_where_the_file_or_the_global_switch_says_so() {
        let eth0 = "etc/sysconfig/network-scripts/ifcfg-eth0";
        let global = ("etc/sysconfig/network", "HOSTNAME=x\nNETWORKING_IPV6=no\n");
        let said = |text: &'static str| off(&[READER, (eth0, text)], "eth0", "");
        assert_eq!(said("DEVICE=eth0\nIPV6INIT=no\n"), [format!("{eth0}:2")]);
        assert_eq!(said("DEVICE=eth0\nIPV6INIT=no\nIPV6INIT=yes\n"), [""; 0]);
        assert_eq!(said("IPV6_DISABLED=yes\n"), [format!("{eth0}:1")]);
        assert_eq!(off(&[READER, global, (eth0, "DEVICE=eth0\n")], "eth0", ""), ["etc/sysconfig/network:2"]);
        assert_eq!(off(&[READER, global, (eth0, "IPV6INIT=yes\n")], "eth0", ""), [""; 0]);
    }

    #[test]
    fn addresses_are_read_with_their_masks() {
        let text = "DEVICE=eth0\nIPADDR=192.0.2.1\nNETMASK=255.255.255.0\nIPADDR1=192.0.2.2\nPREFIX1=25\n\
            IPV6ADDR=2001:db8::1/64\nIPV6ADDR_SECONDARIES=\"2001:db8::2/64 2001:db8::3/64\"\n";
        let eth0 = "etc/sysconfig/network-scripts/ifcfg-eth0";
        assert_eq!(
            addresses(&[READER, (eth0, text)], "eth0"),
            ["192.0.2.1/24", "192.0.2.2/25", "2001:db8::1/64", "2001:db8::2/64", "2001:db8::3/64"]
        );
    }

    #[test]
    fn wicked_reads_its_own_directory() {
        let planned = short(&[
            ("usr/sbin/wicked", "!"),
            ("etc/sysconfig/network/ifcfg-br0", "STARTMODE='auto'\nBRIDGE='yes'\n"),
        ]);
        assert_eq!(planned, [("br0".to_owned(), "bridge".to_owned(), true, format!("{SUSE}/ifcfg-br0:2"))]);
    }

    proptest! {
        #[test]
        fn any_file_is_read(name in "[a-z0-9:.]{0,8}", text in "((DEVICE|TYPE|HWADDR|IPV6INIT|ONBOOT)=.{0,8}\n){0,4}") {
            let _ = planned(&format!("{RED_HAT}/ifcfg-{name}"), &assignments::parse(&text), None);
        }
    }
}
