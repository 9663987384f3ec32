//! netifrc: what is written means what the host says, a real shell reads it, and `ip` takes every line as net.lo hands
//! it over. netifrc itself is not in Debian.

mod network;

use network::lab;
use novactl::net::backend::Strength::{Configures, Enabled};
use novactl::target::Target;
use novactl::xenstore::Source;

const MAIN: &str = "etc/conf.d/net";

/// What the old agent left in the syntax of arrays, with something of the owner's in it.
const OLD: &str = "\
# by hand
modules=\"iproute2\"
config_eth0=( \"198.18.0.9/24\"
  \"198.18.0.10/24\" )
routes_eth0=( \"default via 198.18.0.1\" )
dns_servers_eth0=\"198.18.0.53\"
mtu_eth0=\"1400\"
config_br0=\"192.168.1.1/24\"
bridge_br0=\"\"

preup() {
\treturn 0
}
";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("etc/gentoo-release", "Gentoo Base System release 2.15\n"),
        ("sbin/openrc", "!"),
        ("etc/runlevels/default/sshd", "->/etc/init.d/sshd"),
        ("etc/init.d/net.lo", "#!/sbin/openrc-run\n"),
        (MAIN, OLD),
        ("etc/conf.d/net.eth0", "config_eth0=\"dhcp\"\nrc_need=\"xe-daemon\"\n"),
        ("etc/conf.d/hostname", "hostname=\"old\"\n"),
    ]
}

#[test]
fn every_case_is_written_as_it_is_meant() {
    let mut files = files();
    files.retain(|(path, _)| *path != MAIN);
    files.push((MAIN, "config_eth0=\"198.18.0.9/24 198.18.0.10/24\"\nconfig_br0=\"192.168.1.1/24\"\n"));
    network::every_case_is_written_as_it_is_meant("netifrc", &files, &["etc/conf.d/hostname"]);
}

#[test]
fn what_is_not_the_nics_stays_byte_for_byte() {
    let (_, after) = network::rendered("netifrc", "public and private", &files());
    let want = "\
# by hand
modules=\"iproute2\"
config_eth0=\"198.51.100.20/24\n2001:db8:20::5/64\"
routes_eth0=\"default via 198.51.100.1\n::/0 via fe80::1 onlink\"
dns_servers_eth0=\"203.0.113.53 203.0.113.54\"
mtu_eth0=\"1400\"
config_br0=\"192.168.1.1/24\"
bridge_br0=\"\"

preup() {
\treturn 0
}
config_eth1=\"10.64.9.30/19\"
routes_eth1=\"10.32.0.0/11 via 10.64.0.1\n10.96.0.0/13 via 10.64.0.1\"
dns_servers_eth1=\"203.0.113.53 203.0.113.54\"
";
    assert_eq!(after[MAIN], want);
    // it is read later and would win
    assert_eq!(after["etc/conf.d/net.eth0"], "rc_need=\"xe-daemon\"\n");
    assert_eq!(after["etc/init.d/net.eth1"], "->net.lo");
    assert_eq!(after["etc/runlevels/default/net.eth1"], "->/etc/init.d/net.eth1");
}

#[test]
fn a_variable_by_mac_would_win_and_goes() {
    let by_mac = (MAIN, "config_525400A10001=\"dhcp\"\nconfig_525400A10009=\"dhcp\"\n");
    let (_, after) = network::rendered("netifrc", "null gateways", &[by_mac]);
    assert!(after[MAIN].starts_with("config_525400A10009=\"dhcp\"\nconfig_eth0="), "{}", after[MAIN]);
}

#[test]
fn the_service_of_a_nic_claims_and_a_stock_gentoo_with_dhcpcd_does_not() {
    let claim = |extra: &[(&str, &str)]| {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &files());
        network::make(tree.path(), extra);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let claim = network::backend("netifrc").claim(&target).unwrap();
        claim.map(|claim| (claim.source, claim.strength))
    };
    let own = ("etc/runlevels/default/net.eth0", "->/etc/init.d/net.eth0");
    let dhcpcd = [("etc/init.d/dhcpcd", "!"), ("etc/runlevels/default/dhcpcd", "->/etc/init.d/dhcpcd")];
    assert_eq!(claim(&[]), Some(("etc/init.d/net.lo".to_owned(), Enabled)));
    assert_eq!(claim(&[own]), Some((own.0.to_owned(), Configures)));
    assert_eq!(claim(&dhcpcd), None);
    assert_eq!(claim(&[dhcpcd[0], dhcpcd[1], own]), Some((own.0.to_owned(), Configures)));
}

/// What net.lo and iproute2.sh do with the variables of a NIC.
const START: &str = r#"
. /etc/conf.d/net
for nic in $NICS; do
  eval "config=\$config_$nic routes=\$routes_$nic"
  ip link set "$nic" up
  echo "$config" | while read -r line; do [ "$line" = null ] || ip address add $line dev "$nic"; done
  echo "$routes" | while read -r line; do [ -z "$line" ] || ip route append $line metric 2 dev "$nic"; done
  eval "dns=\${dns_servers_$nic-}"
  echo "dns $nic $dns" >&2
done
"#;

#[test]
fn ip_takes_every_line_and_makes_of_it_what_is_meant() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &[(MAIN, "config_eth0=\"dhcp\"\nmtu_eth0=\"1400\"\n")]);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = network::backend("netifrc").render(&case.intent(), &target).unwrap();
        network::apply(&target, changes);
        let nics: Vec<String> = case.nics().into_iter().map(|nic| nic.name).collect();
        let script = format!("NICS='{}'\n{START}", nics.join(" "));
        let Some(outcome) = lab::run(tree.path(), &script, &case.nics()) else { return };
        assert_eq!(outcome, lab::outcome_of(&case.want), "{}", case.name);
    }
}
