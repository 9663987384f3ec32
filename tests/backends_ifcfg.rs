//! ifcfg files: what is written means what the host says, and a real shell reads the same variables.

#![expect(clippy::disallowed_methods, reason = "runs a shell and makes trees")]

mod network;

use std::process::Command;

use novactl::commands::network::ResetNetwork;
use novactl::net::backend::BACKENDS;
use novactl::net::host;
use novactl::net::intent::{Family, Nic};
use novactl::root::Root;
use novactl::target::Target;
use novactl::xenstore::Source;

const DIR: &str = "etc/sysconfig/network-scripts";

/// What the old agent left, with something of the owner's in it.
const OLD: &str = "\
# Label public
DEVICE=eth0
BOOTPROTO=static
HWADDR=52:54:00:ff:ff:ff
IPADDR=198.18.0.9
NETMASK=255.255.255.0
PREFIX=26
IPADDR1=198.18.0.10
NETMASK1=255.255.255.0
IPV6ADDR1=2001:db8:ff::9/64
GATEWAY=198.18.0.1
DNS1=198.18.0.53
ONBOOT=yes
NM_CONTROLLED=no
MTU=1400
ZONE='pub lic'
";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("etc/init.d/network", "!"),
        ("etc/sysconfig/network-scripts/ifcfg-eth0", OLD),
        ("etc/sysconfig/network-scripts/ifcfg-eth0:1", "DEVICE=eth0:1\nIPADDR=198.18.0.11\n"),
        ("etc/sysconfig/network-scripts/route-eth0:1", "ADDRESS0=10.0.0.0\n"),
        ("etc/sysconfig/network-scripts/ifcfg-br0", "DEVICE=br0\nTYPE=Bridge\nHWADDR=52:54:00:a1:00:01\n"),
        ("etc/sysconfig/network-scripts/ifcfg-tun0", "DEVICE=tun0\n"),
        ("etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n"),
    ]
}

#[test]
fn every_case_is_written_as_it_is_meant() {
    let kept = ["ifcfg-br0", "ifcfg-tun0", "ifcfg-lo"].map(|name| format!("{DIR}/{name}"));
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    network::every_case_is_written_as_it_is_meant("ifcfg", &files(), &kept);
}

#[test]
fn the_owners_variables_stay_the_old_agents_go_and_a_mac_is_corrected() {
    let (_, after) = network::rendered("ifcfg", "public and private", &files());
    let text = &after[&format!("{DIR}/ifcfg-eth0")];
    for line in [
        "MTU=1400",
        "ZONE='pub lic'",
        "HWADDR=\"52:54:00:a1:00:01\"",
        "NM_CONTROLLED=\"no\"",
        "# Label public",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in {text}");
    }
    for gone in ["198.18.", "2001:db8:ff::9", "PREFIX=26", "ff:ff:ff"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
    assert!(
        !after.contains_key(&format!("{DIR}/ifcfg-eth0:1"))
            && !after.contains_key(&format!("{DIR}/route-eth0:1"))
    );
}

#[test]
fn networkmanager_is_not_kept_off_where_only_it_reads_the_files() {
    let mut files = files();
    let enabled = network::enabled("NetworkManager.service");
    let systemd: Vec<(&str, &str)> = enabled.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    files.extend(systemd);
    files.extend([
        ("usr/lib/systemd/systemd", "!"),
        ("usr/lib/systemd/system/default.target", "->multi-user.target"),
        ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
    ]);
    let (_, after) = network::rendered("ifcfg", "public and private", &files);
    let text = &after[&format!("{DIR}/ifcfg-eth0")];
    assert!(!text.contains("NM_CONTROLLED"), "{text}");
}

#[test]
fn routes_that_somebody_added_stay() {
    let mut files = files();
    files.push((
        "etc/sysconfig/network-scripts/route-eth0",
        "192.168.77.0/24 via 198.51.100.9 dev eth0\ndefault via 198.18.0.1\n",
    ));
    let (_, after) = network::rendered("ifcfg", "public and private", &files);
    assert_eq!(after[&format!("{DIR}/route-eth0")], "192.168.77.0/24 via 198.51.100.9 dev eth0\n");
}

#[test]
fn a_real_shell_reads_the_same_and_runs_nothing() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &files());
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let intent = case.intent();
        network::apply(&target, network::backend("ifcfg").render(&intent, &target).unwrap());
        for nic in &intent.nics {
            // no program can be found, so whatever the file would run fails
            let script = "set -eu; PATH=/nowhere; . \"$1\"; set";
            let file = tree.path().join(format!("{DIR}/ifcfg-{}", nic.name));
            let output = Command::new("/bin/bash")
                .args(["--posix", "-c", script, "sh"])
                .arg(&file)
                .env_clear()
                .output()
                .unwrap();
            let (stdout, stderr) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", case.name);
            let four: Vec<_> = nic.addresses.iter().filter(|net| net.addr().is_ipv4()).collect();
            for (number, net) in four.iter().enumerate() {
                for line in
                    [format!("IPADDR{number}={}", net.addr()), format!("PREFIX{number}={}", net.prefix_len())]
                {
                    assert!(stdout.lines().any(|set| set == line), "{}: {line} in {stdout}", case.name);
                }
            }
            assert!(
                !stdout.lines().any(|set| set.starts_with(&format!("IPADDR{}=", four.len()))),
                "{}",
                case.name
            );
        }
    }
}

#[test]
fn routes_in_the_agents_form_are_read_as_initscripts_read_them() {
    let dir = tempfile::tempdir().unwrap();
    let scripts = dir.path().join(DIR);
    std::fs::create_dir_all(&scripts).unwrap();
    std::fs::write(scripts.join("ifcfg-eth1"), "DEVICE=eth1\nIPADDR=10.176.1.2\nNETMASK=255.255.224.0\n")
        .unwrap();
    let routes = "ADDRESS0=10.208.0.0\nNETMASK0=255.240.0.0\nGATEWAY0=10.176.0.1\n\
                  ADDRESS1=10.191.192.0\nNETMASK1=255.255.192.0\nGATEWAY1=10.176.0.1\n\
                  ADDRESS3=10.0.0.0\nNETMASK3=255.0.0.0\nGATEWAY3=10.176.0.1\n";
    std::fs::write(scripts.join("route-eth1"), routes).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let ifcfg = BACKENDS.iter().find(|backend| backend.name() == "ifcfg").unwrap();
    let nic = Nic { name: "eth1".to_owned(), mac: "52:54:00:a1:00:02".parse().unwrap() };
    let found = ifcfg.configured(&root, &nic).unwrap().unwrap();
    let to: Vec<String> = found.routes_of(Family::V4).iter().map(|route| route.to.to_string()).collect();
    assert_eq!(to, ["10.208.0.0/12", "10.191.192.0/18"], "they end where a number is missing");
}

#[test]
fn where_a_record_cannot_be_read_no_nic_is_named_by_its_order() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("root").join(DIR)).unwrap();
    let good = r#"{"label": "private", "mac": "52:54:00:a1:00:02", "ips": [{"ip": "10.176.1.2", "netmask": "255.255.224.0", "enabled": "1"}]}"#;
    for (bad, names) in [("{\"label\": \"public\", ", &[][..]), (good, &["eth0", "eth1"])] {
        let bad = bad.replace("a1:00:02", "a1:00:01");
        let dump =
            serde_json::json!({"vm-data": {"networking": {"525400A10001": bad, "525400A10002": good}}});
        let path = dir.path().join("dump.json");
        std::fs::write(&path, dump.to_string()).unwrap();
        let target = Target::offline(&dir.path().join("root"), Source::Path(path)).unwrap();
        let network = host::host_nics(&mut *target.xenstore().unwrap()).unwrap();
        let command = ResetNetwork { network, hostname: None, backend: None };
        let found: Vec<String> =
            command.intent(&target).unwrap().nics.into_iter().map(|nic| nic.name).collect();
        assert_eq!(found, names);
    }
}
