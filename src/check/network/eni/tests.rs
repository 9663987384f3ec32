//! Broken files of ifupdown, those that only look so, and what the fixes make of them.

use proptest::prelude::*;

use super::super::trial::{LOG, found, mended, short};
use super::*;
use crate::check::Status;

pub(super) const MAIN: &str = "etc/network/interfaces";
pub(super) const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
const NG: (&str, &str) = ("usr/sbin/ifparse", "!");

pub(super) fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

pub(super) fn fail(name: &str) -> Vec<(Status, String)> {
    vec![(Status::Fail, name.to_owned())]
}

#[test]
fn an_address_and_its_mask_need_two_lines() {
    let said = |text: &str| short(&LINES, &[IFUP, (MAIN, text)]);
    assert_eq!(said("iface eth0:1 inet6 static\n\taddress 2001:db8::2\tnetmask 64\n"), fail("eth0:1"));
    assert_eq!(said("iface eth0 inet static\n  address 192.0.2.10 netmask 255.255.255.0\n"), fail("eth0"));
    assert_eq!(said("iface eth0 inet static\n  address 192.0.2.10\n  netmask 255.255.255.0\n"), ok());
    assert_eq!(
        said("iface eth0 inet static\n  # address 192.0.2.10 netmask 24\n  address 192.0.2.10/24\n"),
        ok()
    );
    assert_eq!(said("iface eth0 inet manual\n  up echo address 192.0.2.10 netmask 24\n"), ok());
    let sourced = "iface eth0 inet static\n address 192.0.2.10 netmask 24\n";
    let files = [IFUP, (MAIN, "source interfaces.d/*\n"), ("etc/network/interfaces.d/a", sourced)];
    assert_eq!(short(&LINES, &files), fail("eth0"));
    assert_eq!(short(&LINES, &[IFUP, (MAIN, "auto lo\n"), ("etc/network/interfaces.d/a", sourced)]), ok());
    assert_eq!(short(&LINES, &[(MAIN, sourced)])[0].0, Status::Skipped);
    let before = "# c\niface eth0:1 inet6 static\n\taddress 2001:db8::2 netmask 64\n\tup true\n";
    let after = "# c\niface eth0:1 inet6 static\n\taddress 2001:db8::2\n\tnetmask 64\n\tup true\n";
    assert_eq!(mended(&LINES, &[IFUP, (MAIN, before)], &[MAIN]), [Some(after.to_owned())]);
}

#[test]
fn ifupdown_ng_takes_the_mask_of_another_stanza() {
    let text = "iface eth0 inet static\n address 192.0.2.10\n netmask 255.255.255.0\niface eth0 inet6 static\n \
        address 2001:db8::2\n netmask 64\n";
    let one = "iface eth0 inet static\n address 192.0.2.10\n netmask 255.255.255.0\niface eth0 inet6 static\n \
        address 2001:db8::2/64\niface eth1 inet static\n address 192.0.2.11\n netmask 24\n";
    assert_eq!(short(&LINES, &[IFUP, NG, (MAIN, text)]), fail("eth0"));
    assert_eq!(short(&LINES, &[IFUP, NG, (MAIN, one)]), ok());
    assert_eq!(short(&LINES, &[IFUP, (MAIN, text)]), ok());
    let after =
        "iface eth0 inet static\n address 192.0.2.10/24\niface eth0 inet6 static\n address 2001:db8::2/64\n";
    assert_eq!(mended(&LINES, &[IFUP, NG, (MAIN, text)], &[MAIN]), [Some(after.to_owned())]);
}

#[test]
fn a_stanza_of_the_host_s_needs_auto() {
    let said = |text: &str| short(&AUTO, &[IFUP, LOG, (MAIN, text)]);
    let stanza =
        |name: &str| format!("iface {name} inet static\n address 192.0.2.10\n netmask 255.255.255.0\n");
    let warn = |name: &str| vec![(Status::Warn, name.to_owned())];
    assert_eq!(said(&stanza("eth0")), warn("eth0"));
    assert_eq!(said(&format!("auto eth0\niface eth0 inet manual\n{}", stanza("eth0:1"))), warn("eth0:1"));
    assert_eq!(said(&format!("#auto eth0\n{}", stanza("eth0"))), warn("eth0"));
    assert_eq!(said(&format!("{}auto lo eth0\n", stanza("eth0"))), ok());
    assert_eq!(said(&format!("allow-hotplug eth0\n{}", stanza("eth0"))), ok());
    assert_eq!(said(&format!("auto eth*\n{}", stanza("eth0"))), ok());
    // raised by a command, or by the rules of a mapping
    assert_eq!(
        said(&format!("auto eth0\niface eth0 inet manual\n up ifup eth0:1\n{}", stanza("eth0:1"))),
        ok()
    );
    assert_eq!(said(&format!("mapping eth0\n script x\n{}", stanza("home")))[0].0, Status::Skipped);
    // an address that the host knows nothing of is somebody's own affair
    assert_eq!(said("iface eth5 inet static\n address 198.51.100.1\n netmask 24\n"), ok());
    let text = format!("auto lo\n{}", stanza("eth0"));
    assert_eq!(
        mended(&AUTO, &[IFUP, LOG, (MAIN, &text)], &[MAIN]),
        [Some(format!("auto lo\nauto eth0\n{}", stanza("eth0")))]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    for check in [&LINES, &AUTO] {
        assert!(found(check, &[IFUP, (&format!("{MAIN}/x"), "")]).is_err(), "{}", check.id);
    }
}

proptest! {
    #[test]
    fn any_text_is_judged(text in "((iface|auto|address|netmask|up|post-up route add)? ?[-a-z0-9.:/*\\\\ ]{0,16}\n){0,8}") {
        let all = parse(&[("x".to_owned(), text)]);
        let _ = misread(&all, Reader::Ng);
    }
}

#[test]
fn an_iface_line_that_ifupdown_does_not_know_has_it_refuse_the_file() {
    let address = "\taddress 192.0.2.1/24\n";
    let rows = [
        ("iface eth0 inet sttic", fail("eth0")),
        ("iface eth0 inet Static", fail("eth0")),
        ("iface eth0 inet", fail("eth0")),
        ("iface eth0", fail("eth0")),
        ("iface eth0 int static", fail("eth0")),
        ("iface", fail("")),
        ("iface eth0 inherits lo", ok()),
        ("iface eth0 inet inherits lo", ok()),
        ("iface eth0 inet static", ok()),
        ("iface eth0 inet6 6to4", ok()),
        ("iface eth0 can static", ok()),
        ("iface eth0 link none", ok()),
    ];
    for (line, want) in rows {
        let text = format!("{line}\n{address}");
        assert_eq!(short(&LINES, &[IFUP, (MAIN, &text)]), want, "{line}");
        assert_eq!(short(&LINES, &[IFUP, NG, (MAIN, &text)]), ok(), "{line}");
    }
    let after = format!("iface eth0 inet static\n{address}");
    let before = format!("iface eth0 inet\n{address}");
    assert_eq!(mended(&LINES, &[IFUP, (MAIN, &before)], &[MAIN]), [Some(after)]);
    let six = "iface eth0 int6 static\n\taddress 2001:db8::1/64\n";
    let after = "iface eth0 inet6 static\n\taddress 2001:db8::1/64\n";
    assert_eq!(mended(&LINES, &[IFUP, (MAIN, six)], &[MAIN]), [Some(after.to_owned())]);
}
