//! netctl: what is written means what the host says, and the real netctl 1.24 makes it so.

mod network;

use network::lab;
use novactl::net::backend::Strength::Configures;
use novactl::target::Target;
use novactl::xenstore::Source;

const WANTS: &str = "etc/systemd/system/multi-user.target.wants";

/// What the old agent left, with something of the owner's in it.
const OLD: &str = "\
Description='public'
Connection=ethernet
Interface=eth0
IP=static
Address=('198.18.0.9/255.255.255.0')
Gateway='198.18.0.1'
DNS=('198.18.0.53')
# keep
ExecUpPost='true'
SkipNoCarrier=no
";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("usr/bin/netctl", "!"),
        ("etc/netctl/wan", OLD),
        (
            "etc/systemd/system/multi-user.target.wants/netctl@wan.service",
            "->/lib/systemd/system/netctl@.service",
        ),
        ("etc/netctl/bridge", "Connection=bridge\nInterface=br0\nBindsToInterfaces=(eth7)\nIP=dhcp\n"),
        ("etc/netctl/eth1", "Connection=tunnel\nInterface=tun0\n"),
        ("etc/netctl/other", "Connection=ethernet\nInterface=eth1\nIP=dhcp\n"),
        (
            "etc/systemd/system/multi-user.target.wants/netctl@wan\\x2dold.service",
            "->/lib/systemd/system/netctl@.service",
        ),
        ("etc/netctl/wan-old", "Connection=ethernet\nInterface=eth0\nIP=dhcp\n"),
    ]
}

#[test]
fn every_case_is_written_as_it_is_meant() {
    let mut files = files();
    // without name servers of the host's, those of the profile stay
    let old = OLD.replace("DNS=('198.18.0.53')\n", "");
    files.retain(|(path, _)| *path != "etc/netctl/wan");
    files.push(("etc/netctl/wan", &old));
    network::every_case_is_written_as_it_is_meant(
        "netctl",
        &files,
        &["etc/netctl/bridge", "etc/netctl/eth1", "etc/netctl/wan-old"],
    );
}

#[test]
fn the_enabled_profile_is_edited_and_another_one_of_the_nic_is_disabled() {
    let (_, after) = network::rendered("netctl", "public and private", &files());
    assert_eq!(
        after["etc/netctl/wan"],
        "Description='public'\nConnection=ethernet\nInterface=eth0\nIP=static\nAddress=(\"198.51.100.20/24\")\n\
         Gateway=\"198.51.100.1\"\nDNS=(\"203.0.113.53\" \"203.0.113.54\")\n# keep\nExecUpPost='true'\n\
         SkipNoCarrier=no\nIP6=\"static\"\nAddress6=(\"2001:db8:20::5/64\")\nGateway6=\"fe80::1\"\n"
    );
    // a profile of another kind has the NIC's name
    assert_eq!(
        after["etc/netctl/novactl-eth1"],
        "# eth1 (private): as the host assigns it, written by novactl\nInterface=\"eth1\"\nConnection=\"ethernet\"\n\
         IP=\"static\"\nAddress=(\"10.64.9.30/19\")\n\
         Routes=(\"10.32.0.0/11 via 10.64.0.1\" \"10.96.0.0/13 via 10.64.0.1\")\nIP6=\"static\"\n\
         DNS=(\"203.0.113.53\" \"203.0.113.54\")\n"
    );
    let links: Vec<&str> = after.keys().filter_map(|path| path.strip_prefix(WANTS)).collect();
    assert_eq!(links, ["/netctl@novactl\\x2deth1.service", "/netctl@wan.service"]);
    let drop_in = "etc/systemd/system/netctl@novactl\\x2deth1.service.d/profile.conf";
    let device = "sys-subsystem-net-devices-eth1.device";
    assert_eq!(after[drop_in], format!("[Unit]\nBindsTo={device}\nAfter={device}\n"));
}

#[test]
fn an_enabled_profile_claims_and_a_program_alone_does_not() {
    let program = ("usr/bin/netctl", "!");
    let profile = ("etc/netctl/eth0", OLD);
    let by_cable = ("etc/systemd/system/multi-user.target.wants/netctl-ifplugd@eth0.service", "->/x");
    assert_eq!(network::claims(&[], &[program, profile]), []);
    assert_eq!(network::claims(&[], &[program, by_cable]), [("netctl", by_cable.0.to_owned(), Configures)]);
    assert_eq!(network::claims(&[], &[by_cable]), []);
}

/// Where netctl hands name servers to.
const RESOLVCONF: &str = "#!/bin/sh\nsed -n \"s/^nameserver /dns $2 /p\" >&2\n";

#[test]
fn the_real_netctl_makes_of_it_what_is_meant() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = network::backend("netctl").render(&case.intent(), &target).unwrap();
        network::apply(&target, changes);
        network::make(tree.path(), &[("usr/local/sbin/resolvconf", RESOLVCONF)]);
        let starts: Vec<String> =
            case.nics().iter().map(|nic| format!("/usr/lib/netctl/network start {}", nic.name)).collect();
        let script = format!("chmod 755 /usr/local/sbin/resolvconf\n{}", starts.join("\n"));
        let Some(outcome) = lab::run(tree.path(), &script, &case.nics()) else { return };
        assert_eq!(outcome, lab::outcome_of(&case.want), "{}", case.name);
    }
}
