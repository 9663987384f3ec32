//! wicked and the scripts before it: what is written means what the host says, and a real shell reads the same variables.

mod network;

use novactl::commands::hostname;
use novactl::net::backend::Strength::{Configures, Enabled};
use novactl::target::Target;
use novactl::xenstore::Source;

const DIR: &str = "etc/sysconfig/network";
const WICKED: (&str, &str) = ("usr/sbin/wicked", "!");

/// What the old agent left, with something of the owner's in it.
const OLD: &str = "\
# Label public
BOOTPROTO='static'
IPADDR='198.18.0.9'
NETMASK='255.255.255.0'
IPADDR_0='198.18.0.10'
NETMASK_0='255.255.255.0'
LABEL_0='0'
IPADDR_1='2001:db8:ff::9'
PREFIXLEN_1='64'
STARTMODE='manual'
USERCONTROL='no'
ETHTOOL_OPTIONS='-K iface tx off'
MTU='1400'
";

const CONFIG: &str = "\
## Type: string
NETCONFIG_DNS_POLICY=\"auto\"
NETCONFIG_DNS_STATIC_SERVERS=\"198.18.0.53\"
NETCONFIG_NTP_POLICY=\"auto\"
";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        WICKED,
        ("etc/sysconfig/network/ifcfg-eth0", OLD),
        (
            "etc/sysconfig/network/ifroute-eth0",
            "default 198.18.0.1 - -\n# by hand\n192.168.77.0/24 198.51.100.9 - eth0\n",
        ),
        ("etc/sysconfig/network/routes", "default 198.18.0.1 - -\n192.168.78.0/24 192.168.1.9 - br0\n"),
        ("etc/sysconfig/network/config", CONFIG),
        ("etc/sysconfig/network/ifcfg-br0", "BRIDGE='yes'\nBRIDGE_PORTS='eth7'\n"),
        ("etc/sysconfig/network/ifcfg-lo", "IPADDR=127.0.0.1/8\n"),
        ("etc/sysconfig/network/ifcfg-eth-id-52:54:00:A1:00:01", "BOOTPROTO='dhcp'\n"),
    ]
}

#[test]
fn every_case_is_written_as_it_is_meant() {
    let mut files = files();
    files.retain(|(path, _)| !path.ends_with("ifroute-eth0") && !path.ends_with("/config"));
    network::every_case_is_written_as_it_is_meant(
        "wicked",
        &files,
        &["etc/sysconfig/network/ifcfg-br0", "etc/sysconfig/network/ifcfg-lo"],
    );
}

#[test]
fn what_the_owner_wrote_stays_and_what_the_old_agent_wrote_goes() {
    let (_, after) = network::rendered("wicked", "public and private", &files());
    assert_eq!(
        after[&format!("{DIR}/ifcfg-eth0")],
        "# Label public\nBOOTPROTO='static'\nIPADDR=\"198.51.100.20/24\"\nIPADDR_1=\"2001:db8:20::5/64\"\n\
         STARTMODE=\"auto\"\nUSERCONTROL='no'\nETHTOOL_OPTIONS='-K iface tx off'\nMTU='1400'\n"
    );
    assert_eq!(
        after[&format!("{DIR}/ifroute-eth0")],
        "# by hand\n192.168.77.0/24 198.51.100.9 - eth0\n# as the host assigns it, written by novactl\n\
         default 198.51.100.1 - eth0\ndefault fe80::1 - eth0\n"
    );
    assert_eq!(after[&format!("{DIR}/routes")], "192.168.78.0/24 192.168.1.9 - br0\n");
    let servers = CONFIG.replace("198.18.0.53", "203.0.113.53 203.0.113.54");
    assert_eq!(after[&format!("{DIR}/config")], servers);
    assert_eq!(
        after[&format!("{DIR}/ifsysctl-eth0")],
        "net.ipv6.conf.eth0.accept_ra = 0\nnet.ipv6.conf.eth0.autoconf = 0\n"
    );
    assert!(!after.keys().any(|path| path.contains("eth-id")), "{:?}", after.keys());
}

#[test]
fn a_next_hop_off_the_link_gets_a_route_of_its_own_first() {
    let (_, after) = network::rendered("wicked", "gateways outside the subnet", &[WICKED]);
    assert_eq!(
        after[&format!("{DIR}/ifroute-eth0")],
        "# as the host assigns it, written by novactl\n203.0.113.1 - - eth0\n203.0.113.2 - - eth0\n\
         2001:db8:ffff::1 - - eth0\ndefault 203.0.113.1 - eth0\n192.0.2.0/24 203.0.113.2 - eth0\n\
         default 2001:db8:ffff::1 - eth0\n"
    );
}

#[test]
fn name_servers_go_where_somebody_reads_them() {
    let off = ("etc/sysconfig/network/config", "NETCONFIG_DNS_POLICY=\"\"\n");
    let (_, after) = network::rendered("wicked", "public and private", &[WICKED, off]);
    assert_eq!(after["etc/resolv.conf"], "nameserver 203.0.113.53\nnameserver 203.0.113.54\n");
    assert_eq!(after[off.0], off.1);
}

#[test]
fn a_default_route_of_another_interface_stays() {
    let routes = ("etc/sysconfig/network/routes", "default 10.8.0.1 - tun0\ndefault fe80::9 - -\n");
    let (_, after) = network::rendered("wicked", "null gateways", &[WICKED, routes]);
    assert_eq!(after[routes.0], routes.1);
}

#[test]
fn wicked_claims_by_its_service_and_more_by_its_files() {
    let unit = "wicked.service";
    let link = format!("etc/systemd/system/multi-user.target.wants/{unit}");
    assert_eq!(network::claims(&[unit], &[WICKED]), [("wicked", link, Enabled)]);
    let own = ("etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\n");
    assert_eq!(network::claims(&[unit], &[WICKED, own]), [("wicked", own.0.to_owned(), Configures)]);
    assert_eq!(network::claims(&[], &[WICKED, own]), []);
    assert_eq!(network::claims(&[unit], &[own]), []);
    // SLES 11: the init script has the name of the one of the Red Hat family
    let config = ("etc/sysconfig/network/config", "");
    let scripts = ("etc/sysconfig/network/scripts/ifup", "!");
    let found = network::claims(&["network.service"], &[own, config, scripts, ("etc/init.d/network", "!")]);
    assert_eq!(found, [("wicked", own.0.to_owned(), Configures)]);
}

#[test]
fn a_name_is_set_where_the_red_hat_familys_file_of_it_is_a_directory() {
    let tree = tempfile::tempdir().unwrap();
    let sles = ("etc/os-release", "ID=sles\nVERSION_ID=11.4\n");
    network::make(tree.path(), &[sles, ("etc/HOSTNAME", "old\n"), ("etc/sysconfig/network/config", CONFIG)]);
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let (changes, _) = hostname::set(&target, "web01", &[]).unwrap();
    let paths: Vec<&str> = changes.iter().map(|change| change.path()).collect();
    assert_eq!(paths, ["etc/HOSTNAME"]);
}

#[test]
fn a_real_shell_reads_the_same_and_runs_nothing() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &files());
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let intent = case.intent();
        network::apply(&target, network::backend("wicked").render(&intent, &target).unwrap());
        for nic in &intent.nics {
            let file = tree.path().join(format!("{DIR}/ifcfg-{}", nic.name));
            let ending = |number: usize| if number == 0 { String::new() } else { format!("_{number}") };
            for (number, net) in nic.addresses.iter().enumerate() {
                let value = network::sourced("/bin/sh", &file, &format!("IPADDR{}", ending(number)));
                assert_eq!(value, [net.to_string()], "{}", case.name);
                if number > 20 {
                    break;
                }
            }
            let next = format!("IPADDR_{}", nic.addresses.len());
            assert_eq!(network::sourced("/bin/sh", &file, &next), [""], "{}", case.name);
        }
    }
}
