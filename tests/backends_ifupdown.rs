//! ifupdown: what is written means what the host says, and the real `ifup -a` makes it so.

mod network;

use network::lab;
use novactl::net::backend::BACKENDS;
use novactl::net::intent::Intent;
use novactl::target::Target;
use novactl::xenstore::Source;

const MAIN: &str = "etc/network/interfaces";

/// What somebody wrote, with the NICs' old stanzas among it.
const OLD: &str = "\
# by hand
source interfaces.d/*

auto lo br0 eth0
iface lo inet loopback

# the bridge
iface br0 inet static
    bridge_ports none
    address 192.168.1.1/24

iface eth0 inet static
    address 198.18.0.9
    # the mask
    netmask 255.255.255.0
    gateway 198.18.0.1
    mtu 1400
    post-up route add -net 10.0.0.0/8 gw 198.18.0.1 || true
    post-up /usr/local/bin/tell \\
        everybody
iface eth0:1 inet static
    address 198.18.0.10 netmask 255.255.255.0
# end
";

#[test]
fn every_case_is_written_as_it_is_meant() {
    network::every_case_is_written_as_it_is_meant(
        "ifupdown",
        &[
            ("sbin/ifup", "!"),
            ("sbin/resolvconf", "!"),
            (MAIN, OLD),
            ("etc/network/interfaces.d/vpn", "auto tun0\niface tun0 inet manual\n"),
        ],
        &["etc/network/interfaces.d/vpn"],
    );
}

#[test]
fn what_is_not_the_nics_stays_byte_for_byte_and_their_own_options_go_along() {
    let files = [("sbin/ifup", "!"), ("sbin/resolvconf", "!"), (MAIN, OLD)];
    let (_, after) = network::rendered("ifupdown", "null gateways", &files);
    let text = &after[MAIN];
    let kept = "\
# by hand
source interfaces.d/*

auto lo br0
iface lo inet loopback

# the bridge
iface br0 inet static
    bridge_ports none
    address 192.168.1.1/24

# end

# eth0";
    assert!(text.starts_with(kept), "{text}");
    let own = &text[kept.len()..];
    assert_eq!(own.matches("mtu 1400").count(), 1, "{text}");
    assert_eq!(own.matches("post-up /usr/local/bin/tell everybody").count(), 1, "{text}");
    assert!(!text.contains("198.18.0") && !text.contains("route add"), "{text}");
}

#[test]
fn a_stanza_in_a_sourced_file_goes_and_the_rest_of_that_file_stays() {
    let cloud = "# from cloud-init\nauto eth0 eth7\niface eth0 inet dhcp\niface eth7 inet dhcp\n";
    let files = [
        ("sbin/ifup", "!"),
        (MAIN, "source interfaces.d/*\n"),
        ("etc/network/interfaces.d/50-cloud-init", cloud),
    ];
    let (_, after) = network::rendered("ifupdown", "null gateways", &files);
    assert_eq!(
        after["etc/network/interfaces.d/50-cloud-init"],
        "# from cloud-init\nauto eth7\niface eth7 inet dhcp\n"
    );
}

#[test]
fn name_servers_go_where_somebody_reads_them() {
    let case = network::cases().into_iter().find(|case| case.name == "public and private").unwrap();
    let dns = case.intent().nics[0].dns[0];
    for (files, want) in [
        (
            &[("sbin/ifup", "!"), ("etc/resolv.conf", "search example\nnameserver 192.0.2.1\n")][..],
            "search example\n",
        ),
        (&[("sbin/ifup", "!"), ("etc/resolv.conf", "->../run/x")], "->../run/x"),
    ] {
        let (_, after) = network::rendered("ifupdown", case.name, files);
        let text = &after["etc/resolv.conf"];
        assert!(text.starts_with(want) && !text.contains("192.0.2.1"), "{text}");
        assert_eq!(text.contains(&format!("nameserver {dns}")), !want.starts_with("->"), "{text}");
    }
}

#[test]
fn the_real_ifup_makes_of_it_what_is_meant() {
    for case in network::cases() {
        if case.intent().nics.iter().any(|nic| nic.addresses.len() > 20) {
            // each IPv6 stanza waits for duplicate address detection
            continue;
        }
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &[("usr/local/sbin/resolvconf", "!")]);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = network::backend("ifupdown").render(&case.intent(), &target).unwrap();
        network::apply(&target, changes);
        let script = "mkdir -p /run/network; rm -f /usr/local/sbin/resolvconf; ifup -a";
        let Some(outcome) = lab::run(tree.path(), script, &case.nics()) else { return };
        let want: Vec<String> = lab::outcome_of(&case.want)
            .lines()
            .filter(|line| !line.starts_with("  dns "))
            .map(str::to_owned)
            .collect();
        assert_eq!(outcome, want.join("\n"), "{}", case.name);
    }
}

/// Starts every NIC with ifupdown-ng, which is unpacked below /opt.
const IFUPDOWN_NG: &str = "
rm -f /usr/local/sbin/resolvconf
ln -s /opt/ifupdown-ng/sbin/ifupdown /run/ifup
/run/ifup -E /opt/ifupdown-ng/usr/libexec/ifupdown-ng -S /run/ifstate -i /etc/network/interfaces -a
";

#[test]
fn the_real_ifupdown_ng_of_alpine_makes_of_it_what_is_meant() {
    for case in network::cases() {
        if case.intent().nics.iter().any(|nic| nic.addresses.len() > 200) {
            // it hands its executors 4096 bytes of addresses and cuts off the rest: its own limit
            continue;
        }
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &[("usr/local/sbin/resolvconf", "!")]);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = network::backend("ifupdown").render(&case.intent(), &target).unwrap();
        network::apply(&target, changes);
        let Some(outcome) = lab::run(tree.path(), IFUPDOWN_NG, &case.nics()) else { return };
        let want: Vec<String> = lab::outcome_of(&case.want)
            .lines()
            .filter(|line| !line.starts_with("  dns "))
            .map(str::to_owned)
            .collect();
        assert_eq!(outcome, want.join("\n"), "{}", case.name);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test makes the tree that it looks at")]
fn busybox_which_would_not_read_it_is_not_written_for() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    for path in ["sbin", "bin"] {
        std::fs::create_dir(dir.path().join(path)).unwrap();
    }
    let program = dir.path().join("bin/busybox");
    std::fs::write(&program, "").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/bin/busybox", dir.path().join("sbin/ifup")).unwrap();
    let target = Target::offline(dir.path(), Source::None).unwrap();
    let ifupdown = BACKENDS.iter().find(|backend| backend.name() == "ifupdown").unwrap();
    let error = ifupdown.render(&Intent { nics: Vec::new() }, &target).unwrap_err();
    assert!(error.to_string().starts_with("sbin/ifup is busybox"), "{error}");
}
