//! NICs that were detached, NICs that only have another name, and what the fix makes of the files.

use super::super::trial::{LOG, found, mended, short};
use super::*;
use crate::check::Status;

const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
const MAIN: &str = "etc/network/interfaces";
const DIR: &str = "etc/sysconfig/network-scripts";
/// A record of the links: eth0 alone.
const ETH0: [(&str, &str); 4] = [
    ("sys/class/net/eth0/address", "bc:76:4e:20:75:72\n"),
    ("sys/class/net/eth0/addr_assign_type", "0\n"),
    ("sys/class/net/eth0/type", "1\n"),
    ("sys/class/net/eth0/device/nodename", "device/vif/0\n"),
];
const NETWORK: [(&str, &str); 2] =
    [("etc/rc.d/init.d/network", "!"), ("etc/rc.d/rc3.d/S10network", "->../init.d/network")];
const SYSV: [(&str, &str); 2] =
    [("etc/os-release", "ID=centos\nVERSION_ID=6\n"), ("etc/inittab", "id:3:initdefault:\n")];
const OWN: &str = "auto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n";

fn of(main: &str) -> Vec<(Status, String)> {
    short(&MISSING, &[&ETH0[..], &[IFUP, (MAIN, main)]].concat())
}

fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

#[test]
fn a_stanza_that_is_raised_for_a_nic_that_is_gone_is_a_fault() {
    let warn = vec![(Status::Warn, "eth2".to_owned())];
    assert_eq!(of(&format!("{OWN}auto eth2\niface eth2 inet dhcp\n")), warn);
    assert_eq!(of(&format!("auto eth2 lo\n{OWN}iface eth2 inet static\n address 10.0.0.2/24\n")), warn);
    for more in [
        "allow-hotplug eth2\niface eth2 inet dhcp\n",
        "iface eth2 inet dhcp\n",
        "# auto eth2\n",
        // made by software
        "auto tun0\niface tun0 inet manual\n",
        "auto eth2\niface eth2 inet manual\n bridge_ports none\n",
        "auto eth0:1\niface eth0:1 inet static\n address 192.0.2.11/24\n",
    ] {
        assert_eq!(of(&format!("{OWN}{more}")), ok(), "{more}");
    }
    // the NIC has another name than the files think
    assert_eq!(of("auto ens3\niface ens3 inet dhcp\n")[0].0, Status::Skipped);
    assert!(found(&MISSING, &[&ETH0[..], &[IFUP, (&format!("{MAIN}/x"), "")]].concat()).is_err());
}

#[test]
fn a_log_does_not_say_which_nics_are_missing() {
    let text = format!("{OWN}auto eth2\niface eth2 inet dhcp\n");
    assert_eq!(short(&MISSING, &[IFUP, LOG, (MAIN, &text)])[0].0, Status::Skipped);
}

#[test]
fn the_network_scripts_fail_on_it_and_network_manager_does_not_mind() {
    let eth0 = ("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nONBOOT=yes\n");
    let eth2 = ("etc/sysconfig/network-scripts/ifcfg-eth2", "DEVICE=eth2\nONBOOT=yes\n");
    let scripts = [&ETH0[..], &SYSV, &NETWORK, &[eth0, eth2]].concat();
    assert_eq!(short(&MISSING, &scripts), [(Status::Warn, "eth2".to_owned())]);
    assert_eq!(
        mended(&MISSING, &scripts, &[eth2.0, eth0.0]),
        [None, Some("DEVICE=eth0\nONBOOT=yes\n".to_owned())]
    );
    let plugin = ("usr/lib64/NetworkManager/1.46/libnm-settings-plugin-ifcfg-rh.so", "");
    let manager = [&ETH0[..], &[plugin, eth0, eth2]].concat();
    assert_eq!(short(&MISSING, &manager), [(Status::Note, "eth2".to_owned())]);
    let off = (eth2.0, "DEVICE=eth2\nONBOOT=no\n");
    assert_eq!(short(&MISSING, &[&ETH0[..], &SYSV, &NETWORK, &[eth0, off]].concat()), ok());
    let by_mac = (format!("{DIR}/ifcfg-lan"), "DEVICE=lan\nHWADDR=bc:76:4e:00:00:01\n");
    let files = [&ETH0[..], &SYSV, &NETWORK, &[eth0, (&by_mac.0, by_mac.1)]].concat();
    assert_eq!(short(&MISSING, &files), [(Status::Warn, "lan".to_owned())]);
}

#[test]
fn the_stanzas_of_the_nic_go_and_nothing_else() {
    let text = format!(
        "auto lo eth2 \\\n  eth2:1\n# c\n{OWN}auto eth2\niface eth2 inet static\n\taddress 10.0.0.2/24\n\tup echo \\\n\t\tx\n\
         iface eth2:1 inet static\n\taddress 10.0.0.3/24\niface eth22 inet manual\n"
    );
    let after = format!("auto lo\n# c\n{OWN}iface eth22 inet manual\n");
    assert_eq!(mended(&MISSING, &[&ETH0[..], &[IFUP, (MAIN, &text)]].concat(), &[MAIN]), [Some(after)]);
}
