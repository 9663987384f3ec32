//! WireGuard by wg-quick: `/etc/wireguard/<name>.conf` makes the interface `<name>`. Keys are never kept.

use super::configured::{Match, Planned, Scan, Seen};
use super::links::Kind;

pub(super) fn look(scan: &mut Scan) {
    if scan.root.find_program("wg-quick").is_none() {
        return;
    }
    for path in scan.files("etc/wireguard", ".conf") {
        let Some(name) = path.rsplit('/').next().and_then(|file| file.strip_suffix(".conf")) else {
            continue;
        };
        let at_boot = scan.is_wanted(&format!("wg-quick@{name}.service"));
        scan.add(Planned {
            reader: "wireguard",
            to: Match::name(name),
            kind: Kind::WIREGUARD,
            at_boot,
            seen: Seen::at(path.clone(), "the interface has the name of the file"),
            ipv6_off: None,
            addresses: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::net::configured::tests::short;

    #[test]
    fn each_file_is_an_interface() {
        let planned = short(&[
            ("usr/bin/wg-quick", "!"),
            ("etc/wireguard/wg0.conf", "[Interface]\n"),
            ("etc/wireguard/office.conf", "[Interface]\n"),
            ("etc/systemd/system/multi-user.target.wants/wg-quick@wg0.service", "->/x"),
        ]);
        let row = |name: &str, boot| {
            (name.to_owned(), "wireguard".to_owned(), boot, format!("etc/wireguard/{name}.conf"))
        };
        assert_eq!(planned, [row("office", false), row("wg0", true)]);
    }
}
