//! systemd-networkd: `.netdev` files make links, `.network` files configure them.
//!
//! A file in `/etc` hides one of the same name in `/run`, that one in `/usr/local/lib` and so on; a link to
//! /dev/null, or an empty file, hides it without a substitute. Drop-ins of `<name>.d` follow. A link takes the first
//! `.network` file, in the order of the names, that matches it.
//! Source: systemd.network(5), systemd.netdev(5).

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::configured::{Match, Planned, Scan, Seen};
use super::ini::{self, Setting};
use super::links::Kind;

/// From the weakest to the strongest.
const DIRS: [&str; 5] = [
    "lib/systemd/network",
    "usr/lib/systemd/network",
    "usr/local/lib/systemd/network",
    "run/systemd/network",
    "etc/systemd/network",
];

pub(super) fn look(scan: &mut Scan) {
    let units = ["systemd-networkd.service", "systemd-networkd.socket"];
    if !units.iter().any(|unit| scan.is_wanted(unit)) {
        return;
    }
    for unit in units_of(scan, ".netdev") {
        if let Some(planned) = netdev(&unit) {
            scan.add(planned);
        }
    }
    for unit in units_of(scan, ".network") {
        if let Some(planned) = network(&unit) {
            scan.add(planned);
        }
    }
}

/// A file with its drop-ins: each setting with the file it is in.
pub(crate) struct Unit {
    pub(crate) path: String,
    pub(crate) settings: Vec<(String, Setting)>,
}

/// Returns the files of a suffix that count, with their drop-ins, in the order of their names.
pub(crate) fn units_of(scan: &mut Scan, suffix: &str) -> Vec<Unit> {
    let mut paths: BTreeMap<String, String> = BTreeMap::new();
    let mut drop_ins: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for dir in DIRS {
        for path in scan.files(dir, suffix) {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            paths.insert(name, path);
        }
        for directory in scan.files(dir, &format!("{suffix}.d")) {
            let unit =
                directory.rsplit('/').next().and_then(|name| name.strip_suffix(".d")).unwrap_or_default();
            for path in scan.files(&directory, ".conf") {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                drop_ins.entry(unit.to_owned()).or_default().insert(name, path);
            }
        }
    }
    let mut units = Vec::new();
    for (name, path) in paths {
        // A link to /dev/null is no regular file, which Root refuses: that hides the file as an empty one does.
        let hidden = matches!(scan.root.link_opt(&path), Ok(Some(to)) if to == "/dev/null");
        let Some(text) = (!hidden).then(|| scan.text(&path)).flatten().filter(|text| !text.trim().is_empty())
        else {
            continue;
        };
        let mut settings: Vec<_> =
            ini::parse(&text).into_iter().map(|setting| (path.clone(), setting)).collect();
        for path in drop_ins.remove(&name).unwrap_or_default().into_values() {
            let text = scan.text(&path).unwrap_or_default();
            settings.extend(ini::parse(&text).into_iter().map(|setting| (path.clone(), setting)));
        }
        units.push(Unit { path, settings });
    }
    units
}

impl Unit {
    pub(crate) fn last(&self, section: &str, key: &str) -> Option<(&str, &Setting)> {
        let found = self.settings.iter().rev().find(|(_, s)| s.section == section && s.key == key);
        found.map(|(path, setting)| (path.as_str(), setting))
    }

    /// The words of a list; an empty assignment clears what came before.
    pub(crate) fn words(&self, section: &str, key: &str) -> Vec<&str> {
        let mut words = Vec::new();
        for (_, setting) in self.settings.iter().filter(|(_, s)| s.section == section && s.key == key) {
            if setting.value.is_empty() {
                words.clear();
            }
            words.extend(setting.value.split_whitespace());
        }
        words
    }
}

fn netdev(unit: &Unit) -> Option<Planned> {
    let (path, kind) = unit.last("NetDev", "Kind")?;
    let (_, name) = unit.last("NetDev", "Name")?;
    Some(Planned {
        reader: "networkd (netdev)",
        to: Match::name(&*name.value),
        kind: Kind::named(&kind.value),
        at_boot: true,
        seen: Seen::line(path, kind.line, format!("Kind={}", kind.value)),
        ipv6_off: None,
        addresses: Vec::new(),
    })
}

fn network(unit: &Unit) -> Option<Planned> {
    let names = unit.words("Match", "Name");
    // what excludes names is about links that we need not know
    let names: Vec<String> = names.into_iter().filter(|n| !n.starts_with('!')).map(str::to_owned).collect();
    let mut macs = unit.words("Match", "MACAddress");
    macs.extend(unit.words("Match", "PermanentMACAddress"));
    let macs = macs.iter().filter_map(|mac| mac.parse().ok()).collect::<Vec<_>>();
    let is_narrowed = unit.settings.iter().any(|(_, s)| {
        s.section == "Match" && !matches!(s.key.as_str(), "Name" | "MACAddress" | "PermanentMACAddress")
    });
    // A match by type, kind, driver or virtualization alone cannot be followed here: it is about no certain link.
    if names.is_empty() && macs.is_empty() && is_narrowed {
        return None;
    }
    let first = unit.settings.iter().find(|(_, s)| s.section == "Match");
    let seen = first.map_or_else(
        || Seen::at(&unit.path, "no [Match]: every link"),
        |(path, s)| Seen::line(path, s.line, format!("{}={}", s.key, s.value)),
    );
    Some(Planned {
        reader: "networkd",
        to: Match { names, macs },
        kind: Kind::ETHERNET,
        at_boot: true,
        seen,
        ipv6_off: ipv6_off(unit),
        addresses: addresses(unit),
    })
}

/// The line that leaves a link without IPv6: no link-local address, no advertisement, no address.
fn ipv6_off(unit: &Unit) -> Option<Seen> {
    let (path, link_local) = unit.last("Network", "LinkLocalAddressing")?;
    let is_off = matches!(
        link_local.value.to_ascii_lowercase().as_str(),
        "no" | "false" | "off" | "0" | "ipv4" | "n" | "f"
    );
    let accepts = unit.last("Network", "IPv6AcceptRA").is_some_and(|(_, s)| {
        matches!(s.value.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t")
    });
    let has_address = addresses(unit).iter().any(|net| net.addr().is_ipv6());
    (is_off && !accepts && !has_address)
        .then(|| Seen::line(path, link_local.line, format!("LinkLocalAddressing={}", link_local.value)))
}

fn addresses(unit: &Unit) -> Vec<IpNet> {
    let is_address = |s: &&(String, Setting)| {
        matches!(s.1.section.as_str(), "Network" | "Address") && s.1.key == "Address"
    };
    let values = unit.settings.iter().filter(is_address);
    values.filter_map(|(_, s)| super::address_with_mask(&s.value, None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::{off, short};
    use proptest::prelude::*;

    const READER: (&str, &str) =
        ("etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "->/x");

    #[test]
    fn netdev_files_make_links_and_network_files_are_about_them() {
        let planned = short(&[
            READER,
            ("etc/systemd/network/10-br0.netdev", "[NetDev]\nName=br0\nKind=bridge\n"),
            ("usr/lib/systemd/network/20-nics.network", "[Match]\nName=eth* ens*\n"),
            ("etc/systemd/network/30-all.network", "[Match]\nType=ether\n"),
        ]);
        assert_eq!(
            planned,
            [
                (
                    "br0".to_owned(),
                    "bridge".to_owned(),
                    true,
                    "etc/systemd/network/10-br0.netdev:3".to_owned()
                ),
                (
                    "eth* ens*".to_owned(),
                    "ethernet".to_owned(),
                    true,
                    "usr/lib/systemd/network/20-nics.network:2".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_file_in_etc_hides_the_others_and_dev_null_hides_all() {
        let netdev = |name: &'static str| (name, "[NetDev]\nName=br0\nKind=bridge\n");
        assert_eq!(
            short(&[
                READER,
                netdev("usr/lib/systemd/network/a.netdev"),
                ("etc/systemd/network/a.netdev", "->/dev/null")
            ]),
            []
        );
        assert_eq!(
            short(&[
                READER,
                netdev("usr/lib/systemd/network/a.netdev"),
                ("etc/systemd/network/a.netdev", "\n")
            ]),
            []
        );
        let both = short(&[
            READER,
            netdev("usr/lib/systemd/network/a.netdev"),
            netdev("etc/systemd/network/a.netdev"),
        ]);
        assert_eq!(both.len(), 1);
        assert_eq!(both[0].3, "etc/systemd/network/a.netdev:3");
    }

    #[test]
    fn the_first_file_that_matches_says_whether_ipv6_is_off() {
        let file = "etc/systemd/network/10-eth0.network";
        let said = |text: &'static str| off(&[READER, (file, text)], "eth0", "");
        assert_eq!(said("[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=no\n"), [format!("{file}:4")]);
        assert_eq!(
            said("[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=ipv4\nIPv6AcceptRA=no\n"),
            [format!("{file}:4")]
        );
        assert_eq!(
            said("[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=yes\n"),
            [""; 0]
        );
        assert_eq!(
            said("[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=no\nAddress=2001:db8::1/64\n"),
            [""; 0]
        );
        assert_eq!(said("[Match]\nName=eth1\n[Network]\nLinkLocalAddressing=no\n"), [""; 0]);
        let earlier = ("etc/systemd/network/05-any.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n");
        let later = (file, "[Match]\nName=eth0\n[Network]\nLinkLocalAddressing=no\n");
        assert_eq!(off(&[READER, earlier, later], "eth0", ""), [""; 0]);
        let drop_in = ("etc/systemd/network/05-any.network.d/x.conf", "[Network]\nLinkLocalAddressing=no\n");
        assert_eq!(off(&[READER, earlier, drop_in], "eth0", ""), [format!("{}:2", drop_in.0)]);
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\\[(Match|Network|NetDev)\\]\n|(Name|Kind|Address|LinkLocalAddressing|MACAddress)=.{0,8}\n){0,6}") {
            let settings = ini::parse(&text).into_iter().map(|s| ("x".to_owned(), s)).collect();
            let unit = Unit { path: "x".to_owned(), settings };
            let _ = (netdev(&unit), network(&unit));
        }
    }
}
