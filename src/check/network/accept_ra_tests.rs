//! Files that let advertisements in, those that keep them off, and what the kernel shows.

use proptest::prelude::*;

use super::super::trial::{found, mended, short};
use super::*;
use crate::check::Status;

const NETPLAN: (&str, &str) = ("usr/sbin/netplan", "!");
const NETWORKD: (&str, &str) =
    ("etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "->/x");
const SCRIPTS: (&str, &str) = ("etc/rc.d/init.d/network", "!");
const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
const YAML: &str = "etc/netplan/x.yaml";
const UNIT: &str = "etc/systemd/network/10-eth0.network";
const IFCFG: &str = "etc/sysconfig/network-scripts/ifcfg-eth0";
const MAIN: &str = "etc/network/interfaces";

fn note() -> Vec<(Status, String)> {
    vec![(Status::Note, "eth0".to_owned())]
}

fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

/// Reader, file, a text that lets advertisements in, what keeps them off.
const ROWS: [((&str, &str), &str, &str, &str); 4] = [
    (
        NETPLAN,
        YAML,
        "network:\n  ethernets:\n    eth0:\n      addresses:\n      - 2001:db8::1/64\n      gateway6: fe80::def\n",
        "network:\n  ethernets:\n    eth0:\n      accept-ra: false\n      addresses:\n      - 2001:db8::1/64\n      gateway6: fe80::def\n",
    ),
    (
        NETWORKD,
        UNIT,
        "[Match]\nName=eth0\n[Network]\nAddress=2001:db8::1/64\nGateway=fe80::def\n",
        "[Match]\nName=eth0\n[Network]\nAddress=2001:db8::1/64\nGateway=fe80::def\n[Network]\nIPv6AcceptRA=no\n",
    ),
    (
        SCRIPTS,
        IFCFG,
        "DEVICE=eth0\nIPV6ADDR=2001:db8::1/64\nIPV6_DEFAULTGW=fe80::def%eth0\n",
        "DEVICE=eth0\nIPV6ADDR=2001:db8::1/64\nIPV6_DEFAULTGW=fe80::def%eth0\nIPV6_AUTOCONF=no\n",
    ),
    (
        IFUP,
        MAIN,
        "iface eth0 inet6 static\n\taccept_ra 2\n\taddress 2001:db8::1/64\n\tgateway fe80::def\n",
        "iface eth0 inet6 static\n\taccept_ra 0\n\taddress 2001:db8::1/64\n\tgateway fe80::def\n",
    ),
];

#[test]
fn a_static_address_with_a_gateway_needs_the_word() {
    for (reader, path, open, closed) in ROWS {
        assert_eq!(short(&ACCEPT_RA, &[reader, (path, open)]), note(), "{path}");
        assert_eq!(short(&ACCEPT_RA, &[reader, (path, closed)]), ok(), "{path}");
        assert_eq!(short(&ACCEPT_RA, &[(path, open)]), ok(), "{path}");
        let without: String =
            open.lines().filter(|line| !line.contains("fe80")).map(|line| format!("{line}\n")).collect();
        assert_eq!(short(&ACCEPT_RA, &[reader, (path, &without)]), ok(), "{path}");
        assert!(found(&ACCEPT_RA, &[reader, (&format!("{path}/x"), "")]).is_err(), "{path}");
        assert_eq!(mended(&ACCEPT_RA, &[reader, (path, open)], &[path]), [Some(closed.to_owned())]);
    }
}

#[test]
fn other_spellings_are_known() {
    let rows: [((&str, &str), &str, &str, bool); 7] = [
        (
            NETPLAN,
            YAML,
            "network: {ethernets: {eth0: {addresses: ['2001:db8::1/64'], routes: [{to: '::/0', via: 'fe80::1'}]}}}",
            true,
        ),
        (
            NETPLAN,
            YAML,
            "network: {ethernets: {eth0: {addresses: ['192.0.2.1/24'], gateway4: 192.0.2.254}}}",
            false,
        ),
        (
            NETPLAN,
            YAML,
            "network: {ethernets: {eth0: {accept-ra: no, addresses: ['2001:db8::1/64'], gateway6: 'fe80::1'}}}",
            false,
        ),
        (
            NETWORKD,
            UNIT,
            "[Match]\nName=eth0\n[Address]\nAddress=2001:db8::1/64\n[Route]\nGateway=fe80::1\n",
            true,
        ),
        (SCRIPTS, IFCFG, "IPV6ADDR=2001:db8::1/64\nIPV6_DEFAULTGW=fe80::1\nIPV6_AUTOCONF=yes\n", true),
        (SCRIPTS, IFCFG, "IPV6ADDR=2001:db8::1/64\nIPV6_DEFAULTGW=fe80::1\nIPV6FORWARDING=yes\n", false),
        (
            IFUP,
            MAIN,
            "iface eth0 inet6 static\n address 2001:db8::1\n netmask 64\n gateway fe80::1\n accept_ra 2\n",
            true,
        ),
    ];
    for (reader, path, text, is_open) in rows {
        let want = if is_open { note() } else { ok() };
        assert_eq!(short(&ACCEPT_RA, &[reader, (path, text)]), want, "{text}");
    }
}

#[test]
fn what_the_kernel_shows_decides() {
    let (reader, path, open, _) = ROWS[3];
    let fixed = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
    let link = "fe80000000000000be764efffe207572 02 40 20 80     eth0\n";
    let given = "20010db8000100000000000000000002 02 40 00 00     eth0\n";
    let said =
        |rows: &[&str]| short(&ACCEPT_RA, &[reader, (path, open), ("proc/net/if_inet6", &rows.concat())]);
    assert_eq!(said(&[fixed, link, given]), note());
    assert_eq!(said(&[fixed, link]), ok());
    assert_eq!(said(&[link, given]), ok());
    // DHCPv6, and another link
    assert_eq!(said(&[fixed, "20010db8000100000000000000000002 02 80 00 00     eth0\n"]), ok());
    assert_eq!(said(&[fixed, "20010db8000100000000000000000002 03 40 00 00     eth1\n"]), ok());
}

proptest! {
    #[test]
    fn any_file_is_read(text in "([0-9a-f]{0,3} ){0,6}eth0\n|(iface x inet6 static\n|address [0-9a-f:/]{0,6}\n|gateway ::1\n|accept_ra\n){0,6}|(network|ethernets|a|addresses|routes|\\{|\\[|: | |\n){0,10}") {
        of_kernel(&text);
        let files = [NETPLAN, IFUP, (YAML, text.as_str()), (MAIN, text.as_str())];
        let _ = found(&ACCEPT_RA, &files);
    }
}
