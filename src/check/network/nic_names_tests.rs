//! Trees whose NICs keep their names and whose do not.

use super::super::trial::{LOG, MAC, STRANGE, found, mended, short};
use super::*;
use crate::check::Status;
use crate::net::ini;
use proptest::prelude::*;

const UDEV: [(&str, &str); 6] = [
    ("usr/lib/systemd/systemd-udevd", "!"),
    ("usr/lib/systemd/libsystemd-shared-252.so", ""),
    (
        "usr/lib/systemd/network/99-default.link",
        "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel database onboard slot path\n",
    ),
    ("boot/grub/grub.cfg", "linux /boot/vmlinuz root=/dev/xvda1 ro\n"),
    ("sbin/ifup", "!"),
    ("etc/network/interfaces", "auto eth0\niface eth0 inet static\n address 192.0.2.10/24\n"),
];

fn said(with: &[(&str, &str)]) -> Vec<(Status, String)> {
    let kept = UDEV.iter().filter(|(path, _)| with.iter().all(|(other, _)| other != path)).copied();
    short(&STABLE, &kept.chain(with.iter().copied()).collect::<Vec<_>>())
}

fn fail() -> Vec<(Status, String)> {
    vec![(Status::Fail, "eth0".to_owned())]
}

#[test]
fn a_name_that_nothing_keeps_is_lost() {
    assert_eq!(said(&[]), fail());
    assert_eq!(said(&[("etc/udev/rules.d/80-net-name-slot.rules", "->/dev/null")]), fail());
    assert_eq!(
        said(&[
            LOG,
            ("etc/systemd/network/10-x.link", &format!("[Match]\nMACAddress={STRANGE}\n[Link]\nName=eth0\n"))
        ]),
        fail()
    );
    assert_eq!(
        said(&[("etc/systemd/network/10-x.link", "[Match]\nDriver=vif\n[Link]\nName=lan0\n")]),
        fail()
    );
    assert_eq!(
        said(&[("boot/grub/grub.cfg", "linux /vmlinuz net.ifnames=1 net.naming_scheme=v252\n")]),
        fail()
    );
    let netplan = [
        ("usr/sbin/netplan", "!"),
        ("etc/netplan/a.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}"),
        ("sbin/ifup", ""),
    ];
    assert_eq!(said(&[&netplan[..], &[("etc/network/interfaces", "")]].concat()), fail());
}

#[test]
fn what_keeps_the_name_is_seen() {
    let by_mac = format!("[Match]\nMACAddress={}\n[Link]\nName=eth0\n", MAC.to_uppercase());
    let rule = format!("SUBSYSTEM==\"net\", ATTR{{address}}==\"{MAC}\", NAME=\"eth0\"\n");
    for with in [
        ("boot/grub/grub.cfg", "linux /boot/vmlinuz net.ifnames=0\n"),
        ("boot/grub/grub.cfg", "linux /boot/vmlinuz net.naming_scheme=v249\n"),
        ("etc/systemd/network/99-default.link", "->/dev/null"),
        ("etc/systemd/network/99-default.link", "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel\n"),
        ("etc/systemd/network/10-x.link", by_mac.as_str()),
        ("etc/systemd/network/10-x.link", "[Match]\nDriver=vif\n[Link]\nNamePolicy=\n"),
        ("etc/udev/rules.d/80-net-setup-link.rules", "->/dev/null"),
        ("etc/udev/rules.d/70-persistent-net.rules", rule.as_str()),
        ("etc/udev/rules.d/10-xen.rules", "KERNEL==\"eth*\", NAME=\"%k\"\n"),
        ("etc/network/interfaces", "auto eth0 enX0\niface eth0 inet dhcp\niface enX0 inet dhcp\n"),
        ("etc/network/interfaces", "auto enX0\niface enX0 inet dhcp\n"),
    ] {
        let files = [LOG, with];
        assert_eq!(said(&files), [(Status::Ok, String::new())], "{with:?}");
    }
}

#[test]
fn an_older_systemd_renames_nothing() {
    let kept = UDEV.iter().filter(|(path, _)| !path.contains("-252"));
    let files: Vec<_> = kept.copied().chain([("lib/systemd/libsystemd-shared-249.so", "")]).collect();
    assert_eq!(short(&STABLE, &files), [(Status::Ok, String::new())]);
}

#[test]
fn a_boot_that_is_not_known_is_not_judged() {
    assert_eq!(said(&[("boot/grub/grub.cfg", "")])[0].0, Status::Skipped);
    let files = [&UDEV[..], &[("etc/systemd/network/10-x.link/x", "")]].concat();
    assert!(found(&STABLE, &files).is_err());
}

#[test]
fn the_fix_keeps_the_name_of_each_mac_or_of_all() {
    let one = format!("{LINK_DIR}/70-novactl-eth0.link");
    let all = format!("{LINK_DIR}/70-novactl-vif.link");
    let files = [&UDEV[..], &[LOG]].concat();
    let text = format!("[Match]\nMACAddress={MAC}\n\n[Link]\nName=eth0\n");
    assert_eq!(mended(&STABLE, &files, &[&one, &all]), [Some(text), None]);
    let text = "[Match]\nDriver=vif\n\n[Link]\nNamePolicy=\n".to_owned();
    assert_eq!(mended(&STABLE, &UDEV, &[&one, &all]), [None, Some(text)]);
}

proptest! {
    #[test]
    fn any_link_file_is_read(text in "(\\[(Match|Link)\\]\n|(OriginalName|MACAddress|Driver|NamePolicy|Name)=[a-z0-9*:! ]{0,14}\n){0,8}") {
        let settings = ini::parse(&text).into_iter().map(|s| ("x".to_owned(), s)).collect();
        let units = [Unit { path: "x".to_owned(), settings }];
        let _ = (renaming(&units, "eth0", None), renaming(&units, "eth0", MAC.parse().ok()));
    }
}
