//! netplan: what is written means what the host says, and the real netplan reads it so.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "runs netplan and says what is skipped")]

mod network;

use std::path::Path;
use std::process::Command;

use novactl::net::intent::Intent;
use novactl::target::Target;
use novactl::xenstore::Source;

/// What cloud-init wrote on the server that the image was taken from.
const CLOUD_INIT: &str = "\
# This file is generated from information provided by the datasource.
network:
    version: 2
    ethernets:
        eth0:
            addresses:
            - 192.0.2.200/24
            match:
                macaddress: 52:54:00:bb:00:01
            nameservers:
                addresses: [192.0.2.53]
            set-name: eth0
        eth1:
            dhcp4: true
            match: {macaddress: '52:54:00:bb:00:02'}
            set-name: eth1
";

/// What nova-agent 2.x wrote.
const OLD_AGENT: &str = "\
network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      dhcp4: false
      addresses: [192.0.2.201/24]
      gateway4: 192.0.2.1
";

/// What a person wrote.
const USER: &str = "\
# our own links; ask Jo
network:
  version: 2
  ethernets:
    # the card of the lab
    lab0:
      match: {macaddress: \"52:54:00:cc:00:01\"}
      mtu: 9000   # jumbo

  bridges:
    br0:
      interfaces: [lab0]
";

#[test]
fn every_case_is_written_as_it_is_meant() {
    network::every_case_is_written_as_it_is_meant(
        "netplan",
        &[
            ("etc/netplan/10-user.yaml", USER),
            ("etc/netplan/50-cloud-init.yaml", CLOUD_INIT),
            ("etc/netplan/rackspace-cloud.yaml", OLD_AGENT),
        ],
        &["etc/netplan/10-user.yaml"],
    );
}

#[test]
fn stanzas_of_the_same_nic_go_and_the_rest_of_the_file_stays() {
    let eth0 = "    eth0:\n      dhcp4: true\n      # not so fast\n      mtu: 1400\n";
    let by_mac =
        "    uplink:\n      match: {macaddress: 52:54:00:A1:00:01}\n      addresses:\n      - 192.0.2.9/24\n";
    let by_old_mac = "    \"x y\":\n      match: {macaddress: 52:54:00:bb:00:01}\n      set-name: eth0\n";
    let other = "    # keep me\n    lab0:\n      dhcp4: true # yes\n";
    let head = "# mine\nnetwork:\n  version: 2\n  ethernets:\n";
    let tail = "  # and this\n  vlans:\n    v5: {id: 5, link: lab0}\n";
    let file = |parts: &[&str]| parts.concat();
    let rows = [
        (file(&[head, eth0]), None),
        (file(&[head, eth0, by_mac, by_old_mac]), None),
        (file(&["network:\n  renderer: networkd\n  ethernets:\n", eth0]), None),
        (file(&[head, eth0, other, tail]), Some(file(&[head, other, tail]))),
        (file(&[head, other, eth0, tail]), Some(file(&[head, other, tail]))),
        (file(&[head, other, by_mac, by_old_mac]), Some(file(&[head, other]))),
        (file(&[head, eth0, tail]), Some("# mine\nnetwork:\n  version: 2\n".to_owned() + tail)),
        (
            file(&["network:\n  renderer: NetworkManager\n  ethernets:\n", eth0]),
            Some("network:\n  renderer: NetworkManager\n".to_owned()),
        ),
        (
            "network: {ethernets: {eth0: {dhcp4: true}, lab0: {dhcp4: true}}}\n".to_owned(),
            Some(
                "{\n  \"network\": {\n    \"ethernets\": {\n      \"lab0\": {\n        \"dhcp4\": \"true\"\n      }\n    }\n  }\n}\n"
                    .to_owned(),
            ),
        ),
        (file(&[head, other, tail]), Some(file(&[head, other, tail]))),
    ];
    for (text, want) in rows {
        let (_, after) = network::rendered("netplan", "null gateways", &[("etc/netplan/50-x.yaml", &text)]);
        assert_eq!(after.get("etc/netplan/50-x.yaml"), want.as_ref(), "{text}");
    }
}

#[test]
fn the_mtu_of_a_retired_stanza_goes_along() {
    let old = "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0: {dhcp4: true, mtu: 1400}\n    eth7: {mtu: 9000}\n";
    let (_, after) = network::rendered("netplan", "null gateways", &[("etc/netplan/50-x.yaml", old)]);
    let ours = &after["etc/netplan/90-novactl.yaml"];
    assert_eq!((ours.matches("mtu: ").count(), ours.contains("      mtu: 1400\n")), (1, true), "{ours}");
    assert!(
        after["etc/netplan/50-x.yaml"].contains("eth7") && !after["etc/netplan/50-x.yaml"].contains("eth0")
    );
    let (before, after) =
        network::rendered("netplan", "null gateways", &[("etc/netplan/90-novactl.yaml", ours)]);
    assert_eq!(before, after);
}

#[test]
fn a_packages_file_is_hidden_and_one_of_run_is_changed_where_it_is() {
    let text = "network:\n  ethernets:\n    eth0: {dhcp4: true}\n";
    let (before, after) = network::rendered("netplan", "null gateways", &[("lib/netplan/50-x.yaml", text)]);
    assert_eq!(after["lib/netplan/50-x.yaml"], before["lib/netplan/50-x.yaml"]);
    assert_eq!(after["etc/netplan/50-x.yaml"], "network:\n  version: 2\n");
    let (_, after) = network::rendered("netplan", "null gateways", &[("run/netplan/50-x.yaml", text)]);
    assert_eq!(after.get("run/netplan/50-x.yaml"), None);
}

#[test]
fn a_vlan_keeps_the_id_that_it_builds_on_and_a_pattern_comes_after_the_nic() {
    let id_in = |files: &[(&str, &str)]| {
        let (_, after) = network::rendered("netplan", "null gateways", files);
        let ours = after["etc/netplan/90-novactl.yaml"].clone();
        ours.lines().find(|line| line.starts_with("    \"")).unwrap().trim().to_owned()
    };
    let nic =
        ("etc/netplan/50-x.yaml", "network: {ethernets: {up: {match: {macaddress: '52:54:00:a1:00:01'}}}}");
    let vlan = ("etc/netplan/60-x.yaml", "network: {vlans: {v5: {id: 5, link: up}}}");
    let pattern =
        ("etc/netplan/70-x.yaml", "network: {ethernets: {all-eth: {match: {name: 'eth*'}, dhcp4: true}}}");
    let later = ("etc/netplan/70-x.yaml", "network: {ethernets: {z: {match: {name: 'eth*'}, dhcp4: true}}}");
    assert_eq!(id_in(&[nic]), "\"eth0\":");
    assert_eq!(id_in(&[nic, vlan]), "\"up\":");
    assert_eq!(id_in(&[pattern]), "\"00-eth0\":");
    assert_eq!(id_in(&[later]), "\"eth0\":");
    let (before, after) = network::rendered("netplan", "null gateways", &[pattern]);
    assert_eq!(after.get(pattern.0), before.get(pattern.0));
}

#[test]
fn the_renderer_in_use_stays() {
    let rendered = |files: &[(&str, &str)]| {
        let (_, after) = network::rendered("netplan", "null gateways", files);
        let ours = after["etc/netplan/90-novactl.yaml"].clone();
        ours.lines().find_map(|line| line.trim().strip_prefix("renderer: ")).unwrap().to_owned()
    };
    let renderer_in = |text: &str| rendered(&[("etc/netplan/01-x.yaml", text)]);
    assert_eq!(renderer_in("network: {version: 2}"), "networkd");
    assert_eq!(renderer_in("network: {renderer: NetworkManager}"), "NetworkManager");
    assert_eq!(renderer_in("network: {ethernets: {eth0: {renderer: NetworkManager}}}"), "NetworkManager");
    let both = "network: {renderer: NetworkManager, ethernets: {eth0: {renderer: networkd}}}";
    assert_eq!(renderer_in(both), "networkd");
    // nothing says: the one that is enabled, unless netplan has handed links over to networkd
    let [(unit, text), (link, to)] = network::enabled("NetworkManager.service");
    let system = [
        ("usr/lib/systemd/systemd", "!"),
        ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
        ("usr/lib/systemd/system/default.target", "->multi-user.target"),
        (&unit, text),
        (&link, to),
    ];
    assert_eq!(rendered(&system), "NetworkManager");
    let with_link = ("etc/netplan/01-x.yaml", "network: {ethernets: {lab0: {dhcp4: true}}}");
    assert_eq!(rendered(&[&system[..], &[with_link]].concat()), "networkd");
}

/// Has the real netplan read a tree; `None` where there is none here.
fn generate(tree: &Path) -> Option<()> {
    let output = match Command::new("netplan").arg("generate").arg("--root-dir").arg(tree).output() {
        Ok(output) => output,
        Err(why) => {
            println!("skipped: netplan cannot be run: {why}");
            return None;
        }
    };
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && words.is_empty(), "{words}");
    Some(())
}

#[test]
fn the_real_netplan_makes_of_it_what_is_meant() {
    for (first, reader) in [("", "networkd"), ("network: {renderer: NetworkManager}", "keyfile")] {
        for case in network::cases() {
            let tree = tempfile::tempdir().unwrap();
            let user = ("etc/netplan/10-user.yaml", USER);
            let cloud_init = ("etc/netplan/50-cloud-init.yaml", CLOUD_INIT);
            network::make(tree.path(), &[("etc/netplan/01-first.yaml", first), user, cloud_init]);
            let target = Target::offline(tree.path(), Source::None).unwrap();
            let changes = network::backend("netplan").render(&case.intent(), &target).unwrap();
            network::apply(&target, changes);
            network::backend("netplan").validate(&target.root, &case.intent()).unwrap();
            if generate(tree.path()).is_none() {
                return;
            }
            let meaning = network::configured(network::backend(reader), &target, &case.nics());
            assert_eq!(meaning, case.want, "{} by {reader}", case.name);
        }
    }
}

#[test]
fn what_netplan_refuses_is_refused_before_it_is_in_place() {
    let tree = tempfile::tempdir().unwrap();
    let text = "network: {version: 2, ethernets: {lab0: {gateway6: null}}}";
    network::make(tree.path(), &[("etc/netplan/10-user.yaml", text)]);
    if generate(tempfile::tempdir().unwrap().path()).is_none() {
        return;
    }
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let staged = network::backend("netplan").validate(&target.root, &Intent::default());
    let error = staged.unwrap_err().to_string();
    assert!(error.contains("/etc/netplan/10-user.yaml:1"), "{error}");
}

/// A whole file.
const GOLDEN: &str = r#"# The network as the host assigns it, written by novactl. Changes are lost when it writes again.
network:
  version: 2
  ethernets:
    # public
    "eth0":
      match: {macaddress: "52:54:00:a1:00:01"}
      set-name: "eth0"
      renderer: networkd
      dhcp4: false
      dhcp6: false
      accept-ra: false
      addresses:
      - "198.51.100.20/24"
      - "2001:db8:20::5/64"
      routes:
      - {to: "0.0.0.0/0", via: "203.0.113.1", on-link: true}
      - {to: "192.0.2.0/24", via: "203.0.113.2", on-link: true}
      - {to: "::/0", via: "2001:db8:ffff::1", on-link: true}
      nameservers:
        addresses: ["9.9.9.9"]
"#;

#[test]
fn the_file_is_what_a_person_would_write() {
    let (_, after) = network::rendered("netplan", "gateways outside the subnet", &[]);
    assert_eq!(after["etc/netplan/90-novactl.yaml"], GOLDEN);
}
