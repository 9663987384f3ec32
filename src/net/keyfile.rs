//! NetworkManager's keyfiles: one connection profile each.
//!
//! Source: nm-settings-keyfile(5), nm-settings(5), `nm_keyfile_utils_ignore_filename` of `nm-keyfile.c`. Files that
//! NetworkManager skips: hidden ones, `~`, certificates, temporary ones, and what is not a keyfile by name outside
//! `/etc`. A `.bak` in `/etc` is a profile.

use ipnet::IpNet;

use super::configured::{Match, Planned, Scan, Seen};
use super::ini::{self, Setting};
use super::links::Kind;

/// Where profiles are, from the strongest to the weakest.
const DIRS: [&str; 3] = [
    "etc/NetworkManager/system-connections",
    "run/NetworkManager/system-connections",
    "usr/lib/NetworkManager/system-connections",
];

pub(super) fn look(scan: &mut Scan) {
    if scan.root.find_program("NetworkManager").is_none() {
        return;
    }
    for path in files(scan) {
        if let Some(planned) = scan.text(&path).and_then(|text| parse(&path, &text)) {
            scan.add(planned);
        }
    }
}

/// Returns the files that NetworkManager takes for profiles.
pub(crate) fn files(scan: &mut Scan) -> Vec<String> {
    let mut files = Vec::new();
    for dir in DIRS {
        for path in scan.files(dir, "") {
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_keyfile = dir.starts_with("etc/") || name.ends_with(".nmconnection");
            if !is_skipped(name) && is_keyfile {
                files.push(path);
            }
        }
    }
    files
}

fn is_skipped(name: &str) -> bool {
    // mkstemp's: a point and six letters or digits
    let is_temporary = name
        .rsplit_once('.')
        .is_some_and(|(_, end)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric()));
    let lower = name.to_ascii_lowercase();
    name.starts_with('.') || is_temporary || ["~", ".pem", ".der"].iter().any(|end| lower.ends_with(end))
}

pub(crate) fn parse(path: &str, text: &str) -> Option<Planned> {
    let settings = ini::parse(text);
    let value =
        |section, key| ini::last(&settings, section, key).map_or("", |setting| setting.value.as_str());
    let kind_line = ini::last(&settings, "connection", "type")?;
    let kind = kind_of(&settings, &kind_line.value)?;
    let mut names = Vec::new();
    match value("connection", "interface-name") {
        "" => names.extend(ini::all(&settings, "match", "interface-name").flat_map(|s| {
            s.value.split(';').filter(|n| !n.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        })),
        name => names.push(name.to_owned()),
    }
    let macs: Vec<_> =
        ["ethernet", "802-3-ethernet"].iter().filter_map(|s| value(s, "mac-address").parse().ok()).collect();
    if kind == Kind::TUN && names.is_empty() {
        names.push("tun*".to_owned());
    }
    let autoconnect = value("connection", "autoconnect");
    Some(Planned {
        reader: "NetworkManager",
        to: Match { names, macs },
        // a VPN asks for its secret or its user first
        at_boot: !super::assignments::is_no(autoconnect) && kind_line.value != "vpn",
        kind,
        seen: seen(path, kind_line),
        ipv6_off: ini::last(&settings, "ipv6", "method")
            .filter(|method| matches!(method.value.as_str(), "disabled" | "ignore"))
            .map(|method| seen(path, method)),
        addresses: addresses(&settings),
    })
}

/// `address1=192.0.2.1/24` or, with a gateway, `192.0.2.1/24,192.0.2.254`; old files say `addresses1`.
fn addresses(settings: &[Setting]) -> Vec<IpNet> {
    let is_address = |s: &&Setting| {
        let number = s.key.strip_prefix("addresses").or(s.key.strip_prefix("address"));
        matches!(s.section.as_str(), "ipv4" | "ipv6")
            && number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    let first = |s: &Setting| {
        s.value.split([',', ';']).next().and_then(|text| super::address_with_mask(text.trim(), None))
    };
    settings.iter().filter(is_address).filter_map(first).collect()
}

fn seen(path: &str, setting: &Setting) -> Seen {
    Seen::line(path, setting.line, format!("{}={}", setting.key, setting.value))
}

fn kind_of(settings: &[Setting], word: &str) -> Option<Kind> {
    const TAP: &str = "2";
    let kind = match word {
        "ethernet" | "802-3-ethernet" => Kind::ETHERNET,
        "bridge" => Kind::BRIDGE,
        "bond" => Kind::BOND,
        "vlan" => Kind::VLAN,
        "veth" => Kind::VETH,
        "wireguard" => Kind::WIREGUARD,
        "pppoe" | "gsm" | "cdma" | "adsl" => Kind::PPP,
        "tun" if ini::last(settings, "tun", "mode").is_some_and(|mode| mode.value == TAP) => Kind::TAP,
        "tun" => Kind::TUN,
        "vpn" => {
            // the other plugins make no link, or a xfrm policy
            let service = ini::last(settings, "vpn", "service-type")?;
            let makes_tun =
                ["openvpn", "vpnc", "openconnect"].iter().any(|name| service.value.ends_with(name));
            return makes_tun.then_some(Kind::TUN);
        }
        "loopback" | "wifi" | "802-11-wireless" | "bluetooth" | "infiniband" => return None,
        other => Kind::named(other),
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::{off, short};
    use proptest::prelude::*;

    const READER: (&str, &str) = ("usr/sbin/NetworkManager", "!");
    const DIR: &str = "etc/NetworkManager/system-connections";

    #[test]
    fn backups_are_profiles_and_temporary_files_are_not() {
        let cases = [
            ("x", false),
            ("x.nmconnection.1448461234.56.bak", false),
            ("x.bak", false),
            ("x~", true),
            (".x", true),
            ("x.A1b2C3", true),
            ("ca.PEM", true),
        ];
        for (name, want) in cases {
            assert_eq!(is_skipped(name), want, "{name}");
        }
    }

    #[test]
    fn a_profile_makes_the_kind_it_names() {
        let cases = [
            ("[connection]\ntype=bridge\ninterface-name=br0\n", Some(("br0", "bridge", true))),
            (
                "[connection]\ntype=tun\ninterface-name=t0\nautoconnect=false\n[tun]\nmode=2\n",
                Some(("t0", "tap", false)),
            ),
            ("[connection]\ntype=tun\ninterface-name=t0\n", Some(("t0", "tun", true))),
            (
                "[connection]\ntype=vpn\n[vpn]\nservice-type=org.freedesktop.NetworkManager.openvpn\n",
                Some(("tun*", "tun", false)),
            ),
            ("[connection]\ntype=vpn\n[vpn]\nservice-type=org.freedesktop.NetworkManager.strongswan\n", None),
            ("[connection]\ntype=802-3-ethernet\ninterface-name=eth0\n", Some(("eth0", "ethernet", true))),
            ("[connection]\nid=x\n", None),
        ];
        for (text, want) in cases {
            let read = parse("x", text);
            let seen = read.as_ref().map(|p| (p.to.names[0].as_str(), p.kind.word(), p.at_boot));
            assert_eq!(seen, want, "{text}");
        }
    }

    #[test]
    fn backups_are_no_profiles() {
        let text = "[connection]\ntype=bridge\ninterface-name=br0\n";
        let planned = short(&[
            READER,
            (&format!("{DIR}/br0"), text),
            (&format!("{DIR}/br0~"), text),
            (&format!("{DIR}/.br0"), text),
            ("run/NetworkManager/system-connections/readme", text),
        ]);
        assert_eq!(planned, [("br0".to_owned(), "bridge".to_owned(), true, format!("{DIR}/br0:2"))]);
    }

    #[test]
    fn ipv6_is_off_by_its_method() {
        let file = format!("{DIR}/eth0.nmconnection");
        let profile = |method: &str| {
            format!(
                "[connection]\ntype=ethernet\n[ethernet]\nmac-address=BC:76:4E:20:75:72\n[ipv6]\nmethod={method}\n"
            )
        };
        let said = |method: &str, mac: &str| off(&[READER, (&file, &profile(method))], "eth0", mac);
        assert_eq!(said("disabled", "bc:76:4e:20:75:72"), [format!("{file}:6")]);
        assert_eq!(said("ignore", "bc:76:4e:20:75:72"), [format!("{file}:6")]);
        assert_eq!(said("manual", "bc:76:4e:20:75:72"), [""; 0]);
        assert_eq!(said("disabled", "bc:76:4e:20:75:73"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\\[(connection|ipv6|vpn|tun)\\]\n|(type|method|mode|interface-name)=.{0,8}\n){0,6}") {
            let _ = parse("x", &text);
        }
    }
}
