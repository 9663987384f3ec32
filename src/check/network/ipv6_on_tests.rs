//! What is edited to switch IPv6 on for one NIC, and what is left to hands.

use super::super::trial::{found, mended, short};
use crate::check::{Check, Status, all};

/// The host assigns IPv4 and IPv6 to the public NIC.
const LOG: (&str, &str) = (
    "var/log/nova-agent.log",
    "x [INFO ] Interface BC764E207572: {'label': 'public', 'mac': 'BC:76:4E:20:75:72', 'ips': [{'ip': '192.0.2.10', 'netmask': '255.255.255.0', 'enabled': '1'}], 'ip6s': [{'ip': '2001:db8::10', 'netmask': 64, 'enabled': '1'}]}\n",
);
const MAC: &str = "bc:76:4e:20:75:72";
const SYSTEMD: (&str, &str) = ("usr/lib/systemd/systemd-sysctl", "!");

fn check() -> &'static Check {
    all().find(|check| check.id == "ipv6-enabled-public").unwrap()
}

/// The files of a NIC that ifupdown configures, with these.
fn with<'f>(files: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let nic = [
        LOG,
        ("usr/sbin/ifup", "!"),
        ("etc/network/interfaces", "auto eth0\niface eth0 inet static\n address 192.0.2.10/24\n"),
    ];
    let kept = nic.into_iter().filter(|(path, _)| files.iter().all(|(other, _)| other != path));
    kept.chain(files.iter().copied()).collect()
}

#[test]
fn sysctl_leaves_one_nic_alone_and_everything_else_as_it_was() {
    const FILE: &str = "etc/sysctl.d/60-hardening.conf";
    for (before, after) in [
        // the line that names it
        ("net.ipv6.conf.eth0.disable_ipv6=1\n", "net.ipv6.conf.eth0.disable_ipv6=0\n"),
        ("-net/ipv6/conf/eth0/disable_ipv6 =  1 \n", "-net/ipv6/conf/eth0/disable_ipv6 =  0\n"),
        // a line for all, and other links beside it
        (
            "# ours\nnet.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.default.disable_ipv6 = 1\n",
            "# ours\nnet.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.eth0.disable_ipv6 = 0\nnet.ipv6.conf.default.disable_ipv6 = 1\n",
        ),
        (
            "net.ipv6.conf.eth*.disable_ipv6=1\n",
            "net.ipv6.conf.eth*.disable_ipv6=1\nnet.ipv6.conf.eth0.disable_ipv6 = 0\n",
        ),
        // systemd would leave a second 0 at the place of the first
        (
            "net.ipv6.conf.eth0.disable_ipv6 = 0\nnet.ipv6.conf.all.disable_ipv6 = 1\n",
            "net.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.eth0.disable_ipv6 = 0\n",
        ),
    ] {
        let files = with(&[(FILE, before), SYSTEMD]);
        assert_eq!(mended(check(), &files, &[FILE]), [Some(after.to_owned())], "{before}");
    }
}

#[test]
fn a_file_of_a_package_is_outdone_by_one_that_is_read_later() {
    let hard = ("usr/lib/sysctl.d/99-zzz.conf", "net.ipv6.conf.all.disable_ipv6=1\n");
    let own = "etc/sysctl.d/99-zzz.x-novactl.conf";
    let line = "net.ipv6.conf.eth0.disable_ipv6 = 0\n";
    let files = with(&[hard, SYSTEMD]);
    assert_eq!(mended(check(), &files, &[own, hard.0]), [Some(line.to_owned()), Some(hard.1.to_owned())]);
    let main = ("etc/sysctl.conf", "# last");
    let files = with(&[hard, main]);
    assert_eq!(mended(check(), &files, &[main.0]), [Some(format!("# last\n{line}"))]);
}

#[test]
fn an_option_of_the_module_says_no_and_what_keeps_it_away_is_a_comment() {
    const FILE: &str = "etc/modprobe.d/ipv6.conf";
    for (before, after) in [
        ("options ipv6 disable=1 autoconf=0\n", "options ipv6 disable=0 autoconf=0\n"),
        ("options ipv6  disable_ipv6=1\n", "options ipv6  disable_ipv6=0\n"),
        ("install ipv6 /bin/true\n", "# install ipv6 /bin/true\n"),
        ("alias net-pf-10 off\nblacklist ipv6\n", "# alias net-pf-10 off\n# blacklist ipv6\n"),
    ] {
        let files = with(&[(FILE, before)]);
        assert_eq!(mended(check(), &files, &[FILE]), [Some(after.to_owned())], "{before}");
    }
}

#[test]
fn all_that_keeps_it_off_is_mended_at_once() {
    let files = with(&[
        ("etc/modprobe.d/ipv6.conf", "options ipv6 disable=1\n"),
        ("etc/sysctl.conf", "net.ipv6.conf.all.disable_ipv6=1\n"),
        (
            "etc/network/interfaces",
            "auto eth0\niface eth0 inet static\n address 192.0.2.10/24\n up sysctl -w net.ipv6.conf.eth0.disable_ipv6=1\n",
        ),
    ]);
    let now =
        mended(check(), &files, &["etc/modprobe.d/ipv6.conf", "etc/sysctl.conf", "etc/network/interfaces"]);
    let now: Vec<String> = now.into_iter().map(Option::unwrap).collect();
    assert_eq!(now[0], "options ipv6 disable=0\n");
    assert_eq!(now[1], "net.ipv6.conf.all.disable_ipv6=1\nnet.ipv6.conf.eth0.disable_ipv6 = 0\n");
    assert!(now[2].ends_with(" up sysctl -w net.ipv6.conf.eth0.disable_ipv6=0\n"), "{now:?}");
}

#[test]
fn the_file_of_the_interface_says_that_there_is_ipv6() {
    let scripts = ("etc/rc.d/init.d/network", "!");
    let manager = ("usr/sbin/NetworkManager", "!");
    let netplan = ("usr/sbin/netplan", "!");
    let ifcfg = "etc/sysconfig/network-scripts/ifcfg-eth0";
    let profile = "etc/NetworkManager/system-connections/eth0.nmconnection";
    let head =
        format!("[connection]\ntype=ethernet\ninterface-name=eth0\n[ethernet]\nmac-address={MAC}\n[ipv6]\n");
    let cases = [
        (
            scripts,
            ifcfg,
            "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nIPV6INIT=\"no\"\n".to_owned(),
            "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nIPV6INIT=yes\n".to_owned(),
        ),
        (
            scripts,
            ifcfg,
            "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nIPV6_DISABLED=yes\nIPV6INIT=no\n".to_owned(),
            "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nIPV6_DISABLED=no\nIPV6INIT=yes\n".to_owned(),
        ),
        (manager, profile, format!("{head}method=disabled\n"), format!("{head}method=link-local\n")),
        (
            manager,
            profile,
            format!("{head}method=ignore\naddress1=2001:db8::10/64\n"),
            format!("{head}method=manual\naddress1=2001:db8::10/64\n"),
        ),
        (
            netplan,
            "etc/netplan/01.yaml",
            "network:\n  ethernets:\n    eth0:\n      addresses: [192.0.2.10/24]\n      link-local: []  # none\n".to_owned(),
            "network:\n  ethernets:\n    eth0:\n      addresses: [192.0.2.10/24]\n      link-local: [ ipv6 ]\n".to_owned(),
        ),
    ];
    for (reader, path, before, after) in cases {
        let files = [LOG, reader, (path, before.as_str())];
        assert_eq!(mended(check(), &files, &[path]), [Some(after)], "{before}");
    }
    let global = ("etc/sysconfig/network", "NETWORKING_IPV6=no\n");
    let files = [LOG, scripts, global, (ifcfg, "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\n")];
    let want = [
        Some("DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nIPV6INIT=yes\n".to_owned()),
        Some(global.1.to_owned()),
    ];
    assert_eq!(mended(check(), &files, &[ifcfg, global.0]), want);
}

#[test]
fn what_takes_a_person_is_left_to_one() {
    for (path, text) in [
        ("boot/grub/grub.cfg", "linux /vmlinuz root=/dev/xvda1 ipv6.disable=1\n"),
        ("usr/lib/modprobe.d/x.conf", "options ipv6 disable=1\n"),
        (
            "etc/network/interfaces",
            "auto eth0\niface eth0 inet static\n address 192.0.2.10/24\n up sysctl -w net.ipv6.conf.all.disable_ipv6=1; ip link\n",
        ),
    ] {
        let files = with(&[(path, text)]);
        let found = found(check(), &files).unwrap();
        assert_eq!(found[0].status, Status::Warn, "{path}");
        assert!(!found[0].remedy.as_ref().unwrap().fixable, "{path}");
    }
    assert_eq!(short(check(), &with(&[]))[0].0, Status::Ok);
}
