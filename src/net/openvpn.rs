//! OpenVPN: each file of `/etc/openvpn` is a tunnel of its own.
//!
//! Source: openvpn(8) `--dev`, `--dev-type`; the units openvpn@, openvpn-client@ and openvpn-server@; Debian's
//! `openvpn-generator` and `/etc/default/openvpn`.

use super::assignments;
use super::configured::{Match, Planned, Scan, Seen};
use super::links::Kind;

/// Where files are and which unit starts one.
const PLACES: [(&str, &str); 3] = [
    ("etc/openvpn", "openvpn@"),
    ("etc/openvpn/client", "openvpn-client@"),
    ("etc/openvpn/server", "openvpn-server@"),
];

/// The device of a file.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    kind: Kind,
    line: usize,
}

pub(super) fn look(scan: &mut Scan) {
    if scan.root.find_program("openvpn").is_none() {
        return;
    }
    let automatic = autostart(scan);
    for (dir, unit) in PLACES {
        for path in scan.files(dir, ".conf") {
            let Some(device) = scan.text(&path).as_deref().and_then(parse) else { continue };
            let instance =
                path.rsplit('/').next().and_then(|name| name.strip_suffix(".conf")).unwrap_or_default();
            let at_boot = scan.is_wanted(&format!("{unit}{instance}.service"))
                || dir == "etc/openvpn" && automatic.starts(instance);
            scan.add(Planned {
                reader: "openvpn",
                seen: Seen::line(&path, device.line, format!("dev {}", device.name)),
                // without a number the kernel chooses the first that is free
                to: Match::name(if matches!(device.name.as_str(), "tun" | "tap") {
                    format!("{}*", device.name)
                } else {
                    device.name
                }),
                kind: device.kind,
                at_boot,
                ipv6_off: None,
                addresses: Vec::new(),
            });
        }
    }
}

/// Reads the device; the last `dev` and `dev-type` hold.
fn parse(text: &str) -> Option<Device> {
    let mut device: Option<(String, usize)> = None;
    let mut kind = None;
    for (place, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("dev"), Some(name)) => {
                device = Some((name.trim_matches(['"', '\'']).to_owned(), place + 1));
            }
            (Some("dev-type"), Some("tap")) => kind = Some(Kind::TAP),
            (Some("dev-type"), Some("tun")) => kind = Some(Kind::TUN),
            _ => {}
        }
    }
    let (name, line) = device.filter(|(name, _)| name != "null")?;
    let of_name = if name.starts_with("tap") { Kind::TAP } else { Kind::TUN };
    Some(Device { name, kind: kind.unwrap_or(of_name), line })
}

/// Which files of `/etc/openvpn` start without a link of their own.
enum Autostart {
    None,
    All,
    Named(Vec<String>),
}

impl Autostart {
    fn starts(&self, instance: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == instance),
        }
    }
}

fn autostart(scan: &mut Scan) -> Autostart {
    // Debian's generator, or the script of System V, takes every file unless the variable says which.
    let has_generator = ["usr/lib", "lib"]
        .iter()
        .any(|dir| scan.root.exists(&format!("{dir}/systemd/system-generators/openvpn-generator")));
    if !(has_generator && scan.is_wanted("openvpn.service") || scan.is_started_by_script("openvpn")) {
        return Autostart::None;
    }
    let defaults = scan.text("etc/default/openvpn").unwrap_or_default();
    match assignments::value(&assignments::parse(&defaults), "AUTOSTART") {
        "" | "all" => Autostart::All,
        "none" => Autostart::None,
        names => Autostart::Named(names.split_whitespace().map(str::to_owned).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::short;
    use proptest::prelude::*;

    #[test]
    fn the_device_is_read_as_openvpn_reads_it() {
        let device = |name: &str, kind, line| Some(Device { name: name.to_owned(), kind, line });
        let cases = [
            ("client\ndev tun\n", device("tun", Kind::TUN, 2)),
            ("dev tap7 # c\n", device("tap7", Kind::TAP, 1)),
            ("dev-type tap\ndev office\n", device("office", Kind::TAP, 2)),
            ("# dev tun\n;dev tun\n", None),
            ("dev null\n", None),
            ("dev tun0\ndev \"tun1\"\n", device("tun1", Kind::TUN, 2)),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn only_what_is_enabled_starts_at_boot() {
        let program = ("usr/sbin/openvpn", "!");
        let conf = |path| (path, "dev tun0\n");
        let row = |file: &str, boot| ("tun0".to_owned(), "tun".to_owned(), boot, format!("{file}:1"));
        let linked = short(&[
            program,
            conf("etc/openvpn/client/a.conf"),
            conf("etc/openvpn/server/b.conf"),
            ("etc/systemd/system/multi-user.target.wants/openvpn-server@b.service", "->/x"),
        ]);
        assert_eq!(linked, [row("etc/openvpn/client/a.conf", false), row("etc/openvpn/server/b.conf", true)]);
        let debian = short(&[
            program,
            conf("etc/openvpn/a.conf"),
            conf("etc/openvpn/b.conf"),
            ("etc/default/openvpn", "#AUTOSTART=\"none\"\nAUTOSTART=\"b\"\n"),
            ("usr/lib/systemd/system-generators/openvpn-generator", ""),
            ("etc/systemd/system/multi-user.target.wants/openvpn.service", "->/x"),
        ]);
        assert_eq!(debian, [row("etc/openvpn/a.conf", false), row("etc/openvpn/b.conf", true)]);
        assert_eq!(short(&[conf("etc/openvpn/a.conf")]), []);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}
