//! Trees with one owner of a NIC and with two.

use super::super::trial::{LOG, MANAGER, found, mended, short};
use super::*;
use crate::check::Status;

const IFUPDOWN: [(&str, &str); 4] = [
    ("usr/sbin/ifup", "!"),
    (
        "usr/lib/systemd/system/networking.service",
        "[Service]\nExecStart=/usr/sbin/ifup -a\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/networking.service",
        "->/usr/lib/systemd/system/networking.service",
    ),
    (
        "etc/network/interfaces",
        "auto lo eth0\niface lo inet loopback\niface eth0 inet static\n  address 192.0.2.10/24\n  gateway 192.0.2.1\n",
    ),
];
const NETPLAN: [(&str, &str); 3] = [
    ("usr/sbin/netplan", "!"),
    ("usr/lib/systemd/system-generators/netplan", "!"),
    (
        "etc/netplan/rackspace-cloud.yaml",
        "network:\n  ethernets:\n    eth0:\n      addresses: [192.0.2.10/24]\n      gateway4: 192.0.2.1\n  renderer: networkd\n",
    ),
];
const PROFILE: (&str, &str) = (
    "etc/NetworkManager/system-connections/eth0.nmconnection",
    "[connection]\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1=192.0.2.10/24,192.0.2.1\n",
);
const EL7: [(&str, &str); 7] = [
    ("etc/rc.d/init.d/network", "!"),
    ("etc/rc.d/rc3.d/S10network", "->../init.d/network"),
    (
        "etc/sysconfig/network-scripts/ifcfg-eth0",
        "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nONBOOT=yes\nNM_CONTROLLED=no\n",
    ),
    ("usr/lib64/NetworkManager/libnm-settings-plugin-ifcfg-rh.so", ""),
    ("etc/init.d", "->rc.d/init.d"),
    ("etc/rc3.d", "->rc.d/rc3.d"),
    ("usr/lib/systemd/system-generators/systemd-sysv-generator", "!"),
];

fn said(parts: &[&[(&str, &str)]]) -> Vec<(Status, String)> {
    short(&SINGLE, &parts.concat())
}

fn fail(subject: &str) -> Vec<(Status, String)> {
    vec![(Status::Fail, subject.to_owned())]
}

#[test]
fn two_programs_with_files_for_one_nic_are_a_fault() {
    assert_eq!(said(&[&MANAGER, &IFUPDOWN, &NETPLAN]), fail("eth0"));
    assert_eq!(said(&[&MANAGER, &IFUPDOWN, &[PROFILE]]), fail("eth0"));
    assert_eq!(said(&[&MANAGER, &NETPLAN, &[PROFILE]]), fail("eth0"));
}

#[test]
fn a_nic_that_is_handed_over_has_one_owner() {
    let ok = vec![(Status::Ok, String::new())];
    let plugin = (
        "etc/NetworkManager/NetworkManager.conf",
        "[main]\nplugins=ifupdown,keyfile\n[ifupdown]\nmanaged=false\n",
    );
    let unmanaged =
        ("etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:eth*\n");
    let renderer = (
        NETPLAN[2].0,
        "network: {renderer: NetworkManager, ethernets: {eth0: {addresses: [192.0.2.10/24]}}}",
    );
    let other = (PROFILE.0, "[connection]\ntype=ethernet\ninterface-name=eth1\n");
    let lo = ("etc/network/interfaces", "auto lo\niface lo inet loopback\n");
    assert_eq!(said(&[&MANAGER, &IFUPDOWN, &[PROFILE, plugin]]), ok);
    assert_eq!(said(&[&MANAGER, &IFUPDOWN, &[PROFILE, unmanaged]]), ok);
    assert_eq!(said(&[&MANAGER, &NETPLAN[..2], &[PROFILE, renderer]]), ok);
    assert_eq!(said(&[&MANAGER, &NETPLAN, &[other]]), ok);
    assert_eq!(said(&[&MANAGER, &NETPLAN, &IFUPDOWN[..3], &[lo]]), ok);
    // not started
    assert_eq!(said(&[&MANAGER[..6], &NETPLAN, &[PROFILE]]), ok);
    assert_eq!(
        said(&[&MANAGER[1..6]]),
        [(Status::Skipped, "nothing".to_owned())].map(|(s, _)| (s, String::new()))
    );
}

#[test]
fn a_manager_with_no_nic_of_its_own_empties_the_resolver() {
    let subject = "NetworkManager";
    let server = ("etc/resolv.conf", "nameserver 192.0.2.53\n");
    let keeps = ("etc/NetworkManager/conf.d/x.conf", "[main]\ndns=none\n");
    let controlled = (EL7[2].0, "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nONBOOT=yes\n");
    let ok = vec![(Status::Ok, String::new())];
    assert_eq!(said(&[&MANAGER, &EL7]), fail(subject));
    assert_eq!(said(&[&MANAGER, &EL7, &[server]]), [(Status::Warn, subject.to_owned())]);
    assert_eq!(said(&[&MANAGER, &EL7, &[keeps]]), ok);
    assert_eq!(said(&[&MANAGER, &EL7[..2], &[controlled], &EL7[3..]]), ok);
    assert_eq!(said(&[&MANAGER[..6], &EL7]), ok);
    let mask = "etc/systemd/system/NetworkManager.service";
    let (dir, _root) = crate::net::survey::tests::tree_of(&[&MANAGER[..], &EL7].concat());
    let plan = fix(&Target::offline(dir.path(), crate::xenstore::Source::None).unwrap()).unwrap();
    assert_eq!(plan.files[0], FileChange::Link { path: mask.to_owned(), to: "/dev/null".to_owned() });
    mended(&SINGLE, &[&MANAGER[..], &EL7].concat(), &[]);
}

#[test]
fn the_fix_leaves_the_nic_to_one_of_them() {
    let files = [&MANAGER[..], &IFUPDOWN, &NETPLAN].concat();
    let mended_file = "auto lo\niface lo inet loopback\n";
    assert_eq!(mended(&SINGLE, &files, &[IFUPDOWN[3].0]), [Some(mended_file.to_owned())]);
    // the host's addresses are those of the interfaces file
    let stale =
        (NETPLAN[2].0, "network: {ethernets: {eth0: {addresses: [203.0.113.7/24], gateway4: 203.0.113.1}}}");
    let files = [&MANAGER[..], &IFUPDOWN, &NETPLAN[..2], &[stale, LOG]].concat();
    assert_eq!(short(&SINGLE, &files), fail("eth0"));
    let files = [&MANAGER[..], &IFUPDOWN, &[PROFILE]].concat();
    let left = mended(&SINGLE, &files, &[PROFILE.0, IFUPDOWN[3].0]);
    assert_eq!(left[0].as_deref(), Some(PROFILE.1));
    assert_eq!(left[1].as_deref(), Some(mended_file));
}

/// networkd, started at boot.
const NETWORKD: [(&str, &str); 2] = [
    (
        "usr/lib/systemd/system/systemd-networkd.service",
        "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd\n",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        "->/usr/lib/systemd/system/systemd-networkd.service",
    ),
];

#[test]
fn the_stanza_of_netplan_goes_and_everything_else_in_the_file_stays() {
    // the host's address is that of the interfaces file
    let stale = "# ours\nnetwork:\n  version: 2\n  ethernets:\n    eth0: # the public one\n      addresses: [203.0.113.7/24]\n      gateway4: 203.0.113.1\n    # kept\n    eth1: {dhcp4: true}\n";
    let left = "# ours\nnetwork:\n  version: 2\n  ethernets:\n    # kept\n    eth1: {dhcp4: true}\n";
    let files = [&MANAGER[..], &IFUPDOWN, &NETPLAN[..2], &[(NETPLAN[2].0, stale), LOG]].concat();
    let now = mended(&SINGLE, &files, &[NETPLAN[2].0, IFUPDOWN[3].0]);
    assert_eq!(now, [Some(left.to_owned()), Some(IFUPDOWN[3].1.to_owned())]);
    let alone =
        "network: {version: 2, ethernets: {eth0: {addresses: [203.0.113.7/24], gateway4: 203.0.113.1}}}\n";
    let files = [&MANAGER[..], &IFUPDOWN, &NETPLAN[..2], &[(NETPLAN[2].0, alone), LOG]].concat();
    assert_eq!(mended(&SINGLE, &files, &[NETPLAN[2].0]), [None]);
}

#[test]
fn an_ifcfg_file_is_not_raised_at_boot_any_more() {
    let ours = (
        "etc/systemd/network/10-eth0.network",
        "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.10/24\nGateway=192.0.2.1\n",
    );
    let theirs =
        "DEVICE=eth0\nIPADDR=203.0.113.7\nPREFIX=24\nGATEWAY=203.0.113.1\nONBOOT=\"yes\"\nNM_CONTROLLED=no\n";
    let files =
        [&MANAGER[1..6], &EL7[..2], &[(EL7[2].0, theirs)], &EL7[4..], &NETWORKD, &[ours, LOG]].concat();
    let left = theirs.replace("\"yes\"", "no");
    assert_eq!(mended(&SINGLE, &files, &[EL7[2].0, ours.0]), [Some(left), Some(ours.1.to_owned())]);
}

#[test]
fn a_network_file_of_several_names_loses_the_one() {
    let ours = ("etc/systemd/network/10-nics.network", "[Match]\nName=eth0 eth7 ens*\n[Network]\nDHCP=yes\n");
    let files = [&MANAGER[..], &NETWORKD, &[PROFILE, ours, LOG]].concat();
    let left = ours.1.replace("eth0 ", "");
    assert_eq!(mended(&SINGLE, &files, &[ours.0, PROFILE.0]), [Some(left), Some(PROFILE.1.to_owned())]);
    let by_mac = (ours.0, "[Match]\nMACAddress=bc:76:4e:20:75:72\n[Network]\nDHCP=yes\n");
    let files = [&MANAGER[..], &NETWORKD, &[PROFILE, by_mac, LOG]].concat();
    assert_eq!(mended(&SINGLE, &files, &[ours.0]), [None]);
}

#[test]
fn nics_of_one_line_are_taken_out_of_it_together() {
    let edit = |text: &str| Edit::line("x", 3, text);
    for (texts, want) in [
        (["auto lo eth1", "auto lo eth0"], edit("auto lo")),
        (["auto eth1", "auto eth0"], Edit::drop("x", 3)),
        (["Name=eth1 eth2", "Name=eth0 eth2"], edit("Name=eth2")),
        (["Name=eth1", "Name=eth0"], Edit::Move { path: "x".to_owned(), to: "x.disabled".to_owned() }),
        (["autoconnect=false", "autoconnect=false"], edit("autoconnect=false")),
    ] {
        let mut faults = texts.map(|text| Fault { finding: Finding::fail("x"), edits: vec![edit(text)] });
        without::join(&mut faults);
        assert!(faults.iter().all(|fault| fault.edits == [want.clone()]), "{texts:?}: {:?}", faults[0].edits);
    }
}

#[test]
fn what_a_person_has_to_decide_says_why() {
    let two = "# x\nnetwork:\n  version: 2\n  ethernets:\n    eth0: {addresses: [203.0.113.7/24], gateway4: 203.0.113.1}\n  vlans:\n    v5: {id: 5, link: eth0}\n";
    let pattern = ("etc/systemd/network/10-all.network", "[Match]\nName=eth*\n[Network]\nDHCP=yes\n");
    let made = ("usr/lib/systemd/network/10-all.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n");
    let netplan = [&IFUPDOWN[..], &NETPLAN[..2], &[(NETPLAN[2].0, two)]].concat();
    let networkd = |file| [&NETWORKD[..], &[PROFILE, file]].concat();
    for (files, why) in [
        (netplan, "other links are built on eth0"),
        (networkd(pattern), "Name=eth* means more NICs than eth0"),
        (networkd(made), "whoever wrote the file writes it again"),
    ] {
        let found = found(&SINGLE, &[&MANAGER[..], &files, &[LOG]].concat()).unwrap();
        let remedy = found[0].remedy.as_ref().unwrap();
        assert!(remedy.text.ends_with(why), "{remedy:?}");
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn cloud_init_beside_a_file_of_ours_is_a_second_owner() {
    let main = (
        IFUPDOWN[3].0,
        "auto eth0\niface eth0 inet static\n  address 192.0.2.10/24\nsource interfaces.d/*\n",
    );
    let path = "etc/network/interfaces.d/50-cloud-init";
    let theirs = (path, "# written by cloud-init\nauto eth0\niface eth0 inet dhcp\n");
    let six = (path, "# written by cloud-init\niface eth0 inet6 dhcp\n");
    let user = ("etc/network/interfaces.d/mine", "iface eth0 inet static\n  address 192.0.2.11/24\n");
    let kept_off = ("etc/cloud/cloud.cfg.d/99.cfg", "network: {config: disabled}\n");
    let ok = vec![(Status::Ok, String::new())];
    assert_eq!(said(&[&MANAGER, &IFUPDOWN[..3], &[main, theirs]]), fail("eth0"));
    assert_eq!(said(&[&MANAGER, &IFUPDOWN[..3], &[main, six]]), ok);
    assert_eq!(said(&[&MANAGER, &IFUPDOWN[..3], &[main, user]]), ok);
    let files = [&MANAGER[..], &IFUPDOWN[..3], &[main, theirs, kept_off]].concat();
    assert_eq!(mended(&SINGLE, &files, &[path]), [None]);
    // it would write its file again: it is switched off for the agent, and left alone without one
    let installed = ("usr/bin/cloud-init", "!");
    let agent = [
        ("usr/bin/nova-agent", "#!/usr/bin/python3\nimport novaagent\n"),
        (
            "etc/systemd/system/multi-user.target.wants/nova-agent.service",
            "->/usr/lib/systemd/system/nova-agent.service",
        ),
        ("usr/lib/systemd/system/nova-agent.service", "[Service]\nExecStart=/usr/bin/nova-agent\n"),
    ];
    let off = "etc/cloud/cloud.cfg.d/99-disable-network-config.cfg";
    let files = [&MANAGER[..], &IFUPDOWN[..3], &[main, theirs, installed], &agent].concat();
    let switched = Some(cloud_init::NO_NETWORK.to_owned());
    assert_eq!(mended(&SINGLE, &files, &[path, off]), [None, switched]);
    let files = [&MANAGER[..], &IFUPDOWN[..3], &[main, theirs, installed]].concat();
    let (dir, _root) = crate::net::survey::tests::tree_of(&files);
    let plan = fix(&Target::offline(dir.path(), crate::xenstore::Source::None).unwrap()).unwrap();
    assert_eq!(plan.files, []);
    assert!(
        found(
            &SINGLE,
            &[&MANAGER[..], &IFUPDOWN, &[("etc/NetworkManager/NetworkManager.conf/x", "")]].concat()
        )
        .is_err()
    );
}

#[test]
fn a_file_of_cloud_init_s_that_alone_has_a_nic_is_left_to_hands() {
    let main = (IFUPDOWN[3].0, "auto eth0\niface eth0 inet dhcp\nsource interfaces.d/*\n");
    let path = "etc/network/interfaces.d/50-cloud-init";
    let text =
        |more: &str| format!("auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n{more}");
    let why = |name: &str| format!("by hand: no other file has all that it says of {name}");
    let twin = ("etc/network/interfaces.d/50-cloud-init.cfg", "iface eth1 inet dhcp\n");
    for (more, others, name) in [
        ("iface eth1 inet dhcp\n", &[][..], "eth1"),
        ("iface eth0 inet6 dhcp\n", &[], "eth0"),
        // that is cloud-init's as well
        ("iface eth1 inet dhcp\n", &[twin], "eth1"),
    ] {
        let text = text(more);
        let files = [&MANAGER[..], &IFUPDOWN[..3], &[main, (path, &text)], others].concat();
        let (dir, _root) = crate::net::survey::tests::tree_of(&files);
        let target = Target::offline(dir.path(), crate::xenstore::Source::None).unwrap();
        assert_eq!(fix(&target).unwrap().files, [], "{more}");
        let found = (SINGLE.probe)(&target).unwrap();
        let remedy = &found[0].remedy.as_ref().unwrap().text;
        assert!(remedy.ends_with(&why(name)), "{remedy}");
    }
    let text = text("");
    let files = [&MANAGER[..], &IFUPDOWN[..3], &[main, (path, &text)]].concat();
    assert_eq!(mended(&SINGLE, &files, &[path]), [None]);
}

#[test]
fn a_file_goes_only_where_the_other_has_its_addresses_and_gateways() {
    let eni = |more: &str| {
        format!(
            "auto lo eth0\niface lo inet loopback\niface eth0 inet static\n  address 192.0.2.10/24\n{more}"
        )
    };
    let netplan = |addresses: &str, more: &str| {
        format!(
            "network:\n  ethernets:\n    eth0:\n      addresses: [{addresses}]\n{more}  renderer: networkd\n"
        )
    };
    let gateway = "      gateway4: 192.0.2.1\n";
    let alias = "iface eth0:1 inet static\n  address 192.0.2.11/24\n";
    let by_gateway = format!("  gateway 192.0.2.1\n{alias}");
    for (eni, netplan, kept) in [
        (eni("  gateway 192.0.2.1\n"), netplan("192.0.2.10/24", gateway), Some("netplan")),
        // the default route
        (eni("  gateway 192.0.2.1\n"), netplan("192.0.2.10/24", ""), Some("ifupdown")),
        (eni("  gateway 192.0.2.1\n"), netplan("192.0.2.10/24", "      gateway4: 192.0.2.2\n"), None),
        // the alias
        (eni(alias), netplan("192.0.2.10/24", gateway), None),
        (eni(alias), netplan("192.0.2.10/24, 192.0.2.11/24", gateway), Some("netplan")),
        (eni(&by_gateway), netplan("192.0.2.10/24", ""), Some("ifupdown")),
        // an address of the owner's, and one that an image brought along
        (eni("  gateway 192.0.2.1\n"), netplan("10.9.0.1/24", ""), None),
        (
            eni("  gateway 192.0.2.1\n"),
            netplan("203.0.113.7/24", "      gateway4: 203.0.113.1\n"),
            Some("ifupdown"),
        ),
        (eni(""), netplan("203.0.113.7/24", "      gateway4: 203.0.113.1\n"), None),
    ] {
        let (main, yaml) = (IFUPDOWN[3].0, NETPLAN[2].0);
        let own = [(main, &*eni), (yaml, &*netplan), LOG];
        let files = [&MANAGER[..], &IFUPDOWN[..3], &NETPLAN[..2], &own].concat();
        let (dir, _root) = crate::net::survey::tests::tree_of(&files);
        let target = Target::offline(dir.path(), crate::xenstore::Source::None).unwrap();
        assert_eq!((SINGLE.probe)(&target).unwrap()[0].status, Status::Fail);
        let plan = fix(&target).unwrap();
        let loses = |change: &FileChange| if change.path() == main { "netplan" } else { "ifupdown" };
        assert_eq!(plan.files.first().map(loses), kept, "{eni}{netplan}");
    }
}
