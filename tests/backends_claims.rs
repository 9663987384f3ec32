//! Who manages the network of a system is told by what reads what there.

mod network;

use network::claims;
use novactl::net::backend::Strength::{Configures, Enabled};

const NETWORKD: &str = "systemd-networkd.service";
const NM: &str = "NetworkManager.service";
const NM_PROGRAM: (&str, &str) = ("usr/sbin/NetworkManager", "!");
const NETPLAN: (&str, &str) = ("usr/sbin/netplan", "!");
const GENERATOR: (&str, &str) = ("usr/lib/systemd/system-generators/netplan", "!");
const YAML: (&str, &str) = ("etc/netplan/50-cloud-init.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}");
const DESKTOP: (&str, &str) =
    ("etc/netplan/01-network-manager-all.yaml", "network: {renderer: NetworkManager}");
const PROFILE: (&str, &str) = ("etc/NetworkManager/system-connections/x", "[connection]\ntype=ethernet\n");
const LINK_FILE: (&str, &str) = ("etc/systemd/network/10-x.network", "[Match]\nName=en*\n");

#[test]
fn the_program_that_reads_files_about_nics_at_boot_is_in_charge() {
    let names = |units: &[&str], files: &[(&str, &str)]| {
        claims(units, files)
            .into_iter()
            .map(|(name, source, strength)| format!("{name} {source} {strength:?}"))
            .collect::<Vec<_>>()
    };
    let yaml = "netplan etc/netplan/50-cloud-init.yaml Configures";
    // an Ubuntu server: networkd is enabled for netplan
    assert_eq!(names(&[NETWORKD], &[NETPLAN, GENERATOR, YAML]), [yaml]);
    // an Ubuntu desktop
    let desktop = names(&[NM, NETWORKD], &[NETPLAN, GENERATOR, DESKTOP, NM_PROGRAM]);
    assert_eq!(desktop, ["netplan etc/netplan/01-network-manager-all.yaml Enabled"]);
    // netplan's files are left over
    assert_eq!(names(&[], &[YAML, GENERATOR]), [""; 0]);
    assert_eq!(names(&[], &[YAML, NETPLAN]), [""; 0]);
    let mask = ("etc/systemd/system-generators/netplan", "->/dev/null");
    assert_eq!(names(&[], &[YAML, NETPLAN, GENERATOR, mask]), [""; 0]);
    let no_networkd = ("etc/systemd/system/systemd-networkd.service", "->/dev/null");
    assert_eq!(names(&[], &[YAML, NETPLAN, GENERATOR, no_networkd]), [""; 0]);
    // two of them: both have files
    let both = names(&[NETWORKD], &[NETPLAN, GENERATOR, YAML, LINK_FILE]);
    assert_eq!(both, [yaml, "networkd etc/systemd/network/10-x.network Configures"]);
}

#[test]
fn networkd_and_networkmanager_claim_by_their_service_and_more_by_their_files() {
    let link = |unit: &str| format!("etc/systemd/system/multi-user.target.wants/{unit}");
    assert_eq!(claims(&[NETWORKD], &[]), [("networkd", link(NETWORKD), Enabled)]);
    assert_eq!(claims(&[], &[LINK_FILE]), []);
    for (text, is_about_nics) in [
        ("[Match]\nName=eth0\n", true),
        ("[Match]\nMACAddress=52:54:00:a1:00:01\n", true),
        ("[Match]\nType=ether\n", true),
        ("[Network]\nDHCP=yes\n", true),
        ("[Match]\nName=br0\n", false),
        ("[Match]\nKind=veth\nName=host0\n", false),
        ("[Match]\nType=wlan\n", false),
    ] {
        let path = "usr/lib/systemd/network/10-x.network";
        let want = if is_about_nics {
            ("networkd", path.to_owned(), Configures)
        } else {
            ("networkd", link(NETWORKD), Enabled)
        };
        assert_eq!(claims(&[NETWORKD], &[(path, text)]), [want], "{text}");
    }
    let of_netplan = ("run/systemd/network/10-netplan-eth0.network", "[Match]\nName=eth0\n");
    assert_eq!(claims(&[NETWORKD], &[of_netplan]), [("networkd", link(NETWORKD), Enabled)]);

    assert_eq!(claims(&[NM], &[NM_PROGRAM]), [("keyfile", link(NM), Enabled)]);
    assert_eq!(claims(&[NM], &[NM_PROGRAM, PROFILE]), [("keyfile", PROFILE.0.to_owned(), Configures)]);
    assert_eq!(claims(&[NM], &[PROFILE]), []);
    assert_eq!(claims(&[], &[NM_PROGRAM, PROFILE]), []);
    let bridge = ("etc/NetworkManager/system-connections/br0", "[connection]\ntype=bridge\n");
    assert_eq!(claims(&[NM], &[NM_PROGRAM, bridge]), [("keyfile", link(NM), Enabled)]);
}

#[test]
fn networkmanager_claims_no_nic_that_its_plugin_leaves_to_ifupdown() {
    const CONF: &str = "etc/NetworkManager/NetworkManager.conf";
    const NETWORKING: &str = "networking.service";
    const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
    let spares = (CONF, "[main]\nplugins=ifupdown,keyfile\n\n[ifupdown]\nmanaged=false\n");
    let manages = (CONF, "[main]\nplugins=ifupdown,keyfile\n[ifupdown]\nmanaged=true\n");
    let eth0 = ("etc/network/interfaces", "auto eth0\niface eth0 inet static\n  address 192.0.2.1/24\n");
    let other =
        ("etc/NetworkManager/system-connections/x", "[connection]\ntype=ethernet\ninterface-name=eth1\n");
    let lo = ("etc/network/interfaces", "auto lo\niface lo inet loopback\n");
    let names = |files: &[(&str, &str)]| {
        let files = [&[NM_PROGRAM, IFUP], files].concat();
        claims(&[NM, NETWORKING], &files)
            .into_iter()
            .map(|(name, _, strength)| format!("{name} {strength:?}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&[spares, eth0, PROFILE]), ["ifupdown Configures"]);
    assert_eq!(names(&[spares, eth0]), ["ifupdown Configures"]);
    assert_eq!(names(&[manages, eth0, PROFILE]), ["keyfile Configures", "ifupdown Configures"]);
    assert_eq!(names(&[eth0, PROFILE]), ["keyfile Configures", "ifupdown Configures"]);
    assert_eq!(names(&[spares, eth0, other]), ["keyfile Configures", "ifupdown Configures"]);
    assert_eq!(names(&[spares, lo, PROFILE]), ["keyfile Configures", "ifupdown Enabled"]);
}
