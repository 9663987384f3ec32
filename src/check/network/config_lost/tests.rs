//! Backups that hold what was lost, those that hold nothing but the NICs, and what the fix makes of them.

use super::super::trial::{LOG, MANAGER, found, mended, short};
use super::*;
use crate::check::Status;

const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
const SCRIPTS: (&str, &str) = ("etc/rc.d/init.d/network", "!");
const MAIN: &str = "etc/network/interfaces";
const BACKUP: &str = "etc/network/interfaces.1448461234.56.bak";
const NOW: &str =
    "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n";
const DIR: &str = "etc/sysconfig/network-scripts";
const ETH0: (&str, &str) =
    ("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\n");

fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

fn warn(what: &str) -> Vec<(Status, String)> {
    vec![(Status::Warn, what.to_owned())]
}

fn of_backup(text: &str) -> Vec<(Status, String)> {
    short(&LOST, &[IFUP, LOG, (MAIN, NOW), (BACKUP, text)])
}

#[test]
fn a_stanza_of_another_interface_is_lost() {
    assert_eq!(of_backup("auto eth0.5\niface eth0.5 inet manual\n"), warn("eth0.5"));
    assert_eq!(of_backup("iface wg0 inet static\n  pre-up ip link add wg0 type wireguard\n"), warn("wg0"));
    for text in [
        NOW,
        "auto eth0:1\niface eth0:1 inet static\n address 192.0.2.11/24\n",
        "iface eth7 inet dhcp\n",
        "# iface br0 inet manual\n",
        "auto br0\n",
        // a stock file: nothing stands in the directory
        "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n",
    ] {
        assert_eq!(of_backup(text), ok(), "{text}");
    }
    let text = "iface br0 inet manual\n";
    let other = ("etc/network/interfaces.d/br0", text);
    let main = format!("source interfaces.d/*\n{NOW}");
    assert_eq!(short(&LOST, &[IFUP, (MAIN, &main), (BACKUP, text), other]), ok());
    assert_eq!(short(&LOST, &[(MAIN, NOW), (BACKUP, text)]), ok());
    assert_eq!(short(&LOST, &[IFUP, (MAIN, NOW), ("etc/network/interfaces.bak", text)]), ok());
    assert!(found(&LOST, &[IFUP, (&format!("{MAIN}/x"), ""), (BACKUP, text)]).is_err());
}

#[test]
fn an_include_is_lost_where_the_included_files_are_about_other_interfaces() {
    let line = "source-directory /etc/network/interfaces.d";
    let files = |name, text| [IFUP, (MAIN, NOW), (BACKUP, line), (name, text)];
    let path = "etc/network/interfaces.d/vlan";
    assert_eq!(short(&LOST, &files(path, "iface eth0.5 inet manual\n")), warn("/etc/network/interfaces.d"));
    assert_eq!(short(&LOST, &files(path, "iface eth0 inet dhcp\niface eth0.5 inet manual\n")), ok());
    // names with a dot are skipped
    assert_eq!(short(&LOST, &files("etc/network/interfaces.d/50-x.cfg", "iface br0 inet manual\n")), ok());
}

#[test]
fn stanzas_come_back_from_the_newest_backup_that_has_them() {
    let newer = "etc/network/interfaces.1448461300.1.bak";
    let old = "auto br0\niface br0 inet manual\n\tbridge_ports none\n\nallow-hotplug eth0.5\niface eth0.5 inet static\n\taddress 10.9.0.1/24\n";
    let new = "auto eth0 br0\niface eth0 inet dhcp\niface br0 inet manual\n\tbridge_ports \\\n\t  none\niface br0 inet6 manual\n";
    let files = [IFUP, LOG, (MAIN, NOW), (BACKUP, old), (newer, new)];
    let after = format!(
        "{NOW}auto br0\niface br0 inet manual\n\tbridge_ports \\\n\t  none\niface br0 inet6 manual\n\
         allow-hotplug eth0.5\niface eth0.5 inet static\n\taddress 10.9.0.1/24\n"
    );
    assert_eq!(mended(&LOST, &files, &[MAIN]), [Some(after)]);
}

#[test]
fn what_would_cut_the_server_off_is_left_to_hands() {
    for text in [
        "auto br0\niface br0 inet static\n  bridge_ports eth0\n",
        "iface br0 inet static\n  address 192.0.2.10/24\n  bridge-ports none\n",
        "iface br0 inet manual\n  up brctl addif br0 eth0\n",
    ] {
        let (dir, _root) = crate::net::survey::tests::tree_of(&[IFUP, LOG, (MAIN, NOW), (BACKUP, text)]);
        let target = Target::offline(dir.path(), crate::xenstore::Source::None).unwrap();
        assert_eq!(lost(&target).unwrap().faults.len(), 1, "{text}");
        assert!((LOST.fix.unwrap())(&target).unwrap().files.is_empty(), "{text}");
    }
}

#[test]
fn an_ifcfg_file_that_was_moved_away_comes_back() {
    let path = format!("{DIR}/ifcfg-tun0");
    let old = format!("{path}.1448461234.bak~");
    let new = format!("{path}.1448461300.12.bak");
    let text = "DEVICE=tun0\nONBOOT=yes\nTYPE=Tun\n";
    let files = [SCRIPTS, LOG, ETH0, (&old, "DEVICE=tun0\n"), (&new, text)];
    assert_eq!(short(&LOST, &files), warn("tun0"));
    assert_eq!(
        mended(&LOST, &files, &[&path, &old, &new]),
        [Some(text.to_owned()), Some("DEVICE=tun0\n".to_owned()), None]
    );
}

#[test]
fn ifcfg_files_of_the_nics_stay_away() {
    let rows = [
        ("ifcfg-eth0:1.1448461234.5.bak", "DEVICE=eth0:1\n"),
        ("ifcfg-eth2.1448461234.5.bak", "DEVICE=eth2\n"),
        ("ifcfg-Wired.1448461234.5.bak", "DEVICE=eth0\n"),
        ("ifcfg-public.1448461234.5.bak", "DEVICE=public\nHWADDR=BC:76:4E:20:75:72\n"),
        ("ifcfg-eth0.1448461234.5.bak", "DEVICE=eth0\n"),
        ("ifcfg-tun0.bak", "DEVICE=tun0\n"),
        ("route-tun0.1448461234.5.bak", "default via 10.0.0.1\n"),
        ("ifcfg-tun0.1448461234.5.bak", "# nothing\n"),
    ];
    for (name, text) in rows {
        let path = format!("{DIR}/{name}");
        assert_eq!(short(&LOST, &[SCRIPTS, LOG, ETH0, (&path, text)]), ok(), "{name}");
    }
    let path = format!("{DIR}/ifcfg-tun0.1448461234.5.bak");
    let tun0 = "DEVICE=tun0\nTYPE=Tun\n";
    let now = format!("{DIR}/ifcfg-tun0");
    assert_eq!(short(&LOST, &[SCRIPTS, LOG, (&path, tun0), (&now, tun0)]), ok());
    assert_eq!(short(&LOST, &[LOG, (&path, tun0)]), ok());
    let port = ("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBRIDGE=br0\n");
    let bridge = format!("{DIR}/ifcfg-br0.1448461234.5.bak");
    let (dir, _root) =
        crate::net::survey::tests::tree_of(&[SCRIPTS, LOG, port, (&bridge, "DEVICE=br0\nTYPE=Bridge\n")]);
    let target = Target::offline(dir.path(), crate::xenstore::Source::None).unwrap();
    assert_eq!(lost(&target).unwrap().faults.len(), 1);
    assert!((LOST.fix.unwrap())(&target).unwrap().files.is_empty());
}

#[test]
fn a_bridge_of_netplan_comes_back_in_a_file_of_its_own() {
    let netplan = ("usr/sbin/netplan", "!");
    let yaml = "etc/netplan/rackspace-cloud.yaml";
    let now = (yaml, "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: false}\n");
    let backup = format!("{yaml}.1448461234.56.bak");
    let of = |text: &str| short(&LOST, &[netplan, LOG, now, (&backup, text)]);
    let text = "network:\n  vlans:\n    vlan7:\n      id: 7\n      link: eth0\n";
    assert_eq!(of(text), warn("vlan7"));
    assert_eq!(of("network: {tunnels: {sit1: {mode: sit}}}"), warn("sit1"));
    for text in [now.1, "network: {ethernets: {eth7: {}}}", "x: [", "network: {bridges: {}}"] {
        assert_eq!(of(text), ok(), "{text}");
    }
    let path = "etc/netplan/95-restored-vlan7.yaml";
    let after = "network:\n  version: 2\n  vlans:\n    vlan7:\n      id: 7\n      link: eth0\n".to_owned();
    assert_eq!(mended(&LOST, &[netplan, LOG, now, (&backup, text)], &[path]), [Some(after)]);
    for text in [
        "network:\n  bridges:\n    br0:\n      interfaces: [eth0]\n",
        "network:\n  vlans:\n    vlan7:\n      id: 7\n      link: bond7\n",
        "network:\n  bridges:\n    br0:\n      addresses: [192.0.2.10/24]\n",
        "network: {bridges: {br0: {}}}",
    ] {
        let (dir, _root) = crate::net::survey::tests::tree_of(&[netplan, LOG, now, (&backup, text)]);
        let target = Target::offline(dir.path(), crate::xenstore::Source::None).unwrap();
        assert_eq!(lost(&target).unwrap().faults.len(), 1, "{text}");
        assert!((LOST.fix.unwrap())(&target).unwrap().files.is_empty(), "{text}");
    }
}

const EMPTY: &str = "auto lo\niface lo inet loopback\n";

#[test]
fn a_configuration_that_lost_its_nics_is_a_fault() {
    let fail = |path: &str| vec![(Status::Fail, path.to_owned())];
    let said = |now| short(&LOST, &[IFUP, (MAIN, now), (BACKUP, NOW), ("etc/hostname", "web1\n")]);
    assert_eq!(said(EMPTY), fail(MAIN));
    for now in [
        "auto br0\niface br0 inet dhcp\n  bridge_ports eth0\n",
        "auto bond0\niface bond0 inet static\n  address 192.0.2.10/24\n  bond-slaves eth0\n",
        "iface br0 inet dhcp\n",
        "auto lo eth0:1\niface lo inet loopback\niface eth0:1 inet static\n  address 192.0.2.10/24\n",
    ] {
        assert_eq!(said(now), ok(), "{now}");
    }
    let backup = format!("{DIR}/ifcfg-eth0.1448461234.5.bak");
    let of_ifcfg = |name: &str, text: &str| {
        let path = format!("{DIR}/{name}");
        short(&LOST, &[SCRIPTS, ("etc/hostname", "web1\n"), (&backup, ETH0.1), (&path, text)])
    };
    assert_eq!(of_ifcfg("ifcfg-lo", "DEVICE=lo\n"), fail(ETH0.0));
    assert_eq!(of_ifcfg("ifcfg-br0", "DEVICE=br0\nTYPE=Bridge\nONBOOT=yes\n"), ok());
}

#[test]
fn what_comes_back_with_the_whole_file_comes_back_once() {
    let name = ("etc/hostname", "web1\n");
    let whole = format!("{NOW}auto br0\niface br0 inet manual\n  bridge_ports none\n");
    let newer = ("etc/network/interfaces.1448461300.1.bak", "auto br0\niface br0 inet manual\n");
    let older = ("etc/network/interfaces.1448461000.1.bak", "iface br1 inet manual\n");
    let files = [IFUP, name, (MAIN, EMPTY), newer, (BACKUP, &whole), older];
    let after = format!("{whole}iface br1 inet manual\n");
    assert_eq!(mended(&LOST, &files, &[MAIN]), [Some(after)]);

    let yaml = "etc/netplan/rackspace-cloud.yaml";
    let whole = "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n  bridges:\n    br0:\n      dhcp4: true\n";
    let backup = format!("{yaml}.1448461234.56.bak");
    let files =
        [("usr/sbin/netplan", "!"), name, (yaml, "network: {version: 2, ethernets: {}}\n"), (&backup, whole)];
    let paths = [yaml, "etc/netplan/95-restored-br0.yaml"];
    assert_eq!(mended(&LOST, &files, &paths), [Some(whole.to_owned()), None]);
}

#[test]
fn the_files_of_the_newest_reset_come_back_and_no_older_ones() {
    let of =
        |name: &str, time: u32| (format!("{DIR}/ifcfg-{name}"), format!("{DIR}/ifcfg-{name}.{time}.bak~"));
    let (eth0, newest) = of("eth0", 1_448_461_234);
    let (eth1, same) = of("eth1", 1_448_461_174);
    let (eth2, before) = of("eth2", 1_448_461_173);
    let text = |path: &str| format!("DEVICE={}\nBOOTPROTO=dhcp\n", path.rsplit('-').next().unwrap());
    let texts = [text(&eth0), text(&eth1), text(&eth2)];
    let name = ("etc/hostname", "web1\n");
    let files = [SCRIPTS, name, (&*newest, &*texts[0]), (&*same, &*texts[1]), (&*before, &*texts[2])];
    let [first, second, third] = texts.clone().map(Some);
    assert_eq!(mended(&LOST, &files, &[&eth0, &eth1, &eth2, &before]), [first, second, None, third]);
}

#[test]
fn a_manager_that_makes_connections_by_itself_brings_the_network_up() {
    let backup = format!("{DIR}/ifcfg-eth0.1448461234.5.bak");
    let plugin = ("usr/lib64/NetworkManager/libnm-settings-plugin-ifcfg-rh.so", "");
    let said = |files: &[(&str, &str)]| {
        let tree = [plugin, ("etc/hostname", "web1\n"), (&backup, ETH0.1)];
        short(&LOST, &[&MANAGER[..], &tree, files].concat())
    };
    let fail = vec![(Status::Fail, ETH0.0.to_owned())];
    let package = ("usr/lib/NetworkManager/conf.d/00-server.conf", "[main]\nno-auto-default=*\n");
    let own = |text| ("etc/NetworkManager/conf.d/00-server.conf", text);
    assert_eq!(said(&[]), ok());
    assert_eq!(said(&[package]), fail);
    assert_eq!(said(&[package, own("")]), ok());
    assert_eq!(
        said(&[package, ("etc/NetworkManager/NetworkManager.conf", "[main]\nno-auto-default=\n")]),
        ok()
    );
    assert_eq!(said(&[own("[main]\nno-auto-default=eth7\n")]), ok());
    assert_eq!(said(&[own("[main]\nno-auto-default=eth7\nno-auto-default+=*\n")]), fail);
    // not started
    let tree = [plugin, ("etc/hostname", "web1\n"), (&*backup, ETH0.1)];
    assert_eq!(short(&LOST, &[&MANAGER[..6], &tree].concat()), fail);
}
