//! FreeBSD's rc.conf: what is written means what the host says, and a real sh reads it. FreeBSD itself did not run.

mod network;

use novactl::commands::hostname;
use novactl::net::backend::Strength::{Configures, Enabled};
use novactl::target::Target;
use novactl::xenstore::Source;

const MAIN: &str = "etc/rc.conf";

/// What the old agent left, with much of the owner's in it.
const OLD: &str = "\
# by hand
hostname=\"old\"
sshd_enable=\"YES\"
ipv6_enable=\"YES\"
ifconfig_eth0=\"inet 198.18.0.9 netmask 255.255.255.0 -txcsum mtu 1400\"
ifconfig_eth0_alias0=\"inet 198.18.0.10 netmask 0xffffff00\"
ifconfig_eth0_alias1=\"inet vhid 1 advskew 100 pass secret alias 198.18.0.99/32\"
ipv6_ifconfig_eth0=\"2001:db8:ff::9/64\"
defaultrouter=\"198.18.0.1\"
cloned_interfaces=\"bridge0\"
ifconfig_bridge0=\"addm em1 up\"
vlans_eth0=\"100\"
ifconfig_eth0_100=\"inet 192.168.100.1/24\"
static_routes=\"lan0 vpn\"
route_lan0=\"-net 10.32.0.0/11 198.18.0.2\"
route_vpn=\"-net 192.168.7.0/24 192.168.100.9\"
";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("etc/os-release", "ID=freebsd\nVERSION_ID=13.2\n"),
        (
            "etc/defaults/rc.conf",
            "defaultrouter=\"NO\"\nnetwork_interfaces=\"auto\"\nifconfig_lo0=\"inet 127.0.0.1\"\n",
        ),
        (MAIN, OLD),
        ("etc/rc.conf.local", "defaultrouter=\"198.18.0.2\"\nsendmail_enable=\"NONE\"\nhostname=\"old\"\n"),
        ("etc/resolv.conf", "search example\nnameserver 198.18.0.53\n"),
    ]
}

#[test]
fn every_case_is_written_as_it_is_meant() {
    let mut files = files();
    // what somebody else routes and resolves is in nobody's case
    files.retain(|(path, _)| !path.ends_with("resolv.conf"));
    network::every_case_is_written_as_it_is_meant("rc.conf", &files, &["etc/defaults/rc.conf"]);
}

#[test]
fn the_owners_interfaces_options_and_routes_stay_and_what_would_win_goes() {
    let (_, after) = network::rendered("rc.conf", "public and private", &files());
    let want = "\
# by hand
hostname=\"old\"
sshd_enable=\"YES\"
ifconfig_eth0=\"inet 198.51.100.20/24 -txcsum mtu 1400\"
ifconfig_eth0_alias1=\"inet vhid 1 advskew 100 pass secret alias 198.18.0.99/32\"
defaultrouter=\"198.51.100.1\"
cloned_interfaces=\"bridge0\"
ifconfig_bridge0=\"addm em1 up\"
vlans_eth0=\"100\"
ifconfig_eth0_100=\"inet 192.168.100.1/24\"
static_routes=\"novactl0 novactl1 vpn\"
route_vpn=\"-net 192.168.7.0/24 192.168.100.9\"
ifconfig_eth0_ipv6=\"inet6 2001:db8:20::5/64 -accept_rtadv\"
ifconfig_eth1=\"inet 10.64.9.30/19\"
ipv6_defaultrouter=\"fe80::1%eth0\"
route_novactl0=\"-net 10.32.0.0/11 10.64.0.1\"
route_novactl1=\"-net 10.96.0.0/13 10.64.0.1\"
";
    assert_eq!(after[MAIN], want);
    assert_eq!(after["etc/rc.conf.local"], "sendmail_enable=\"NONE\"\nhostname=\"old\"\n");
    assert_eq!(
        after["etc/resolv.conf"],
        "search example\nnameserver 203.0.113.53\nnameserver 203.0.113.54\n"
    );
}

#[test]
fn next_hops_off_the_link_and_addresses_of_one_prefix_are_written_as_freebsd_needs_them() {
    let (_, after) = network::rendered("rc.conf", "gateways outside the subnet", &[(MAIN, "")]);
    assert_eq!(
        after[MAIN],
        "ifconfig_eth0=\"inet 198.51.100.20/24\"\nifconfig_eth0_ipv6=\"inet6 2001:db8:20::5/64 -accept_rtadv\"\n\
         defaultrouter=\"203.0.113.1\"\nipv6_defaultrouter=\"2001:db8:ffff::1\"\n\
         route_novactl0=\"-host 203.0.113.1 -iface eth0\"\nroute_novactl1=\"-host 203.0.113.2 -iface eth0\"\n\
         route_novactl2=\"-net 192.0.2.0/24 203.0.113.2\"\nstatic_routes=\"novactl0 novactl1 novactl2\"\n\
         ipv6_route_novactl0=\"-host 2001:db8:ffff::1 -iface eth0\"\nipv6_static_routes=\"novactl0\"\n"
    );
    let (_, after) = network::rendered("rc.conf", "many IPv4 addresses of two subnets", &[(MAIN, "")]);
    let aliases: Vec<&str> = after[MAIN].lines().filter(|line| line.contains("_alias")).collect();
    assert_eq!(
        aliases,
        ["ifconfig_eth0_alias0=\"inet 198.51.100.21/32\"", "ifconfig_eth0_alias1=\"inet 203.0.113.66/26\""]
    );
}

#[test]
fn a_gateway_that_the_host_took_back_goes_and_one_of_another_interface_stays() {
    let old = |gateway: &str| format!("ifconfig_eth0=\"inet 198.18.0.9/24\"\ndefaultrouter=\"{gateway}\"\n");
    for (before, after) in [("198.18.0.1", "NO"), ("10.8.0.1", "10.8.0.1")] {
        let (_, files) = network::rendered("rc.conf", "null gateways", &[(MAIN, &old(before))]);
        assert!(files[MAIN].contains(&format!("defaultrouter=\"{after}\"\n")), "{}", files[MAIN]);
    }
}

#[test]
fn the_name_is_set_in_the_text_that_is_written_and_where_it_would_win() {
    let tree = tempfile::tempdir().unwrap();
    network::make(tree.path(), &files());
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let intent = network::cases().swap_remove(0).intent();
    let planned = network::backend("rc.conf").render(&intent, &target).unwrap();
    let (changes, steps) = hostname::set(&target, "web01", &planned).unwrap();
    assert!(steps.is_empty());
    let paths: Vec<&str> = changes.iter().map(|change| change.path()).collect();
    assert_eq!(paths, [MAIN, "etc/rc.conf.local"]);
    network::apply(&target, changes);
    let after = network::files_of(tree.path());
    assert!(
        after[MAIN].contains("hostname=\"web01\"\nsshd") && after[MAIN].contains("198.51.100.20"),
        "{}",
        after[MAIN]
    );
    assert_eq!(after["etc/rc.conf.local"], "sendmail_enable=\"NONE\"\nhostname=\"web01\"\n");
}

#[test]
fn freebsd_is_claimed_and_linux_with_such_a_file_is_not() {
    let claim = |files: &[(&str, &str)]| {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), files);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        network::backend("rc.conf").claim(&target).unwrap().map(|claim| claim.strength)
    };
    let freebsd = ("etc/os-release", "ID=freebsd\nVERSION_ID=13.2\n");
    assert_eq!(claim(&files()), Some(Configures));
    assert_eq!(claim(&[freebsd, (MAIN, "ifconfig_lo0=\"x\"\n")]), Some(Enabled));
    assert_eq!(claim(&[("etc/os-release", "ID=arch\n"), (MAIN, OLD)]), None);
}

#[test]
fn a_real_sh_reads_the_same_and_runs_nothing() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &files());
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let intent = case.intent();
        network::apply(&target, network::backend("rc.conf").render(&intent, &target).unwrap());
        let file = tree.path().join(MAIN);
        let value = |name: &str| network::sourced("/bin/sh", &file, name).concat();
        for nic in &intent.nics {
            let first = nic.addresses.iter().find(|net| net.addr().is_ipv4());
            let want = first.map_or_else(|| "up".to_owned(), |net| format!("inet {net}"));
            assert!(value(&format!("ifconfig_{}", nic.name)).starts_with(&want), "{}", case.name);
            let gateway = nic.gateway4.map(|hop| hop.via.to_string());
            assert!(gateway.is_none_or(|via| via == value("defaultrouter")), "{}", case.name);
        }
        for name in format!("{} {}", value("static_routes"), value("x")).split_whitespace() {
            assert_ne!(value(&format!("route_{name}")), "", "{}: {name}", case.name);
        }
    }
}
