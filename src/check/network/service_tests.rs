//! Trees whose files something reads and whose nothing does.

use super::super::trial::{LOG, MANAGER, found, mended, short};
use super::*;
use crate::check::Status;

const IFCFG: (&str, &str) = (
    "etc/sysconfig/network-scripts/ifcfg-eth0",
    "DEVICE=eth0\nIPADDR=192.0.2.10\nNETMASK=255.255.255.0\nGATEWAY=192.0.2.1\nONBOOT=yes\n",
);
const INTERFACES: (&str, &str) = (
    "etc/network/interfaces",
    "auto eth0\niface eth0 inet static\n address 192.0.2.10\n netmask 255.255.255.0\n",
);
const PROFILE: (&str, &str) = (
    "etc/NetworkManager/system-connections/eth0.nmconnection",
    "[connection]\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\n",
);

fn said(parts: &[&[(&str, &str)]]) -> Vec<(Status, String)> {
    short(&PRESENT, &parts.concat())
}

#[test]
fn files_without_a_reader_leave_the_nic_alone() {
    let fail = vec![(Status::Fail, "eth0".to_owned())];
    let netplan = ("etc/netplan/01.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}");
    let network = ("etc/systemd/network/10.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
    let off = ("usr/sbin/NetworkManager", "!");
    for files in [
        &[IFCFG][..],
        &[INTERFACES],
        &[("etc/network/interfaces", "auto eth0\niface eth0\n address 192.0.2.10/24\n")],
        &[netplan],
        &[network],
        &[PROFILE],
        &[PROFILE, off],
        &[IFCFG, INTERFACES],
    ] {
        assert_eq!(said(&[&MANAGER[1..6], files]), fail, "{files:?}");
    }
    // the plugin is gone
    assert_eq!(said(&[&MANAGER, &[IFCFG]]), fail);
}

#[test]
fn what_is_left_over_beside_files_that_are_read_is_no_fault() {
    let ok = vec![(Status::Ok, String::new())];
    let plugin = ("usr/lib64/NetworkManager/libnm-settings-plugin-ifcfg-rh.so", "");
    assert_eq!(said(&[&MANAGER, &[IFCFG, plugin]]), ok);
    assert_eq!(said(&[&MANAGER, &[IFCFG, PROFILE]]), ok);
    assert_eq!(said(&[&MANAGER, &[INTERFACES, PROFILE]]), ok);
    assert_eq!(said(&[&MANAGER, &[("etc/network/interfaces", "auto lo\niface lo inet loopback\n")]]), ok);
    assert_eq!(said(&[&MANAGER, &[(IFCFG.0, "DEVICE=eth0\nONBOOT=no\n")]]), ok);
    assert_eq!(said(&[&MANAGER, &[("usr/sbin/wicked", "!"), IFCFG]])[0].0, Status::Skipped);
    let unreadable = [&MANAGER[..], &[("etc/sysconfig/network-scripts/ifcfg-eth0/x", "")]].concat();
    assert!(found(&PRESENT, &unreadable).is_err());
}

#[test]
fn the_fix_writes_the_same_for_the_program_in_charge() {
    let path = "etc/NetworkManager/system-connections/novactl-eth0.nmconnection";
    let files = [&MANAGER[..], &[LOG, IFCFG]].concat();
    let (dir, _root) = crate::net::survey::tests::tree_of(&files);
    let target = Target::offline(dir.path(), crate::xenstore::Source::None).unwrap();
    let plan = fix(&target).unwrap();
    assert!(plan.files.iter().any(|file| file.path() == path), "{:?}", plan.files);
    let text = mended(&PRESENT, &files, &[path]).remove(0).unwrap();
    assert!(text.contains("address1=192.0.2.10/24") && text.contains("192.0.2.1"), "{text}");
}

#[test]
fn a_service_that_is_off_reads_nothing() {
    let unit = ("usr/lib/systemd/system/networking.service", "[Service]\nExecStart=/usr/sbin/ifup -a\n");
    let on = (
        "etc/systemd/system/multi-user.target.wants/networking.service",
        "->/usr/lib/systemd/system/networking.service",
    );
    let job = ("etc/init/networking.conf", "exec ifup -a\n");
    let off = [&MANAGER[1..6], &[("usr/sbin/ifup", "!"), INTERFACES, unit]].concat();
    let ok = vec![(Status::Ok, String::new())];
    assert_eq!(said(&[&off]), [(Status::Fail, "eth0".to_owned())]);
    assert_eq!(said(&[&off, &[on]]), ok);
    assert_eq!(said(&[&off, &[job]]), ok);
    // started under a name that is not known here
    assert_eq!(said(&[&off[..off.len() - 1]]), ok);
}
