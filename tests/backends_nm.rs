//! NetworkManager's keyfiles: what is written means what the host says, and the real NetworkManager makes it so.

mod network;

use network::lab;
use novactl::net::intent::Intent;
use novactl::plan::FileChange;
use novactl::target::Target;
use novactl::xenstore::Source;

const DIR: &str = "etc/NetworkManager/system-connections";

#[test]
fn every_case_is_written_as_it_is_meant() {
    let any = "[connection]\nid=any\ntype=ethernet\n[ipv4]\nmethod=auto\n";
    let vpn = "[connection]\nid=office\ntype=vpn\ninterface-name=eth0\n[vpn]\nservice-type=x\n";
    network::every_case_is_written_as_it_is_meant(
        "keyfile",
        &[
            ("etc/NetworkManager/system-connections/any.nmconnection", any),
            ("etc/NetworkManager/system-connections/office", vpn),
            ("etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\n"),
        ],
        &[
            "etc/NetworkManager/system-connections/any.nmconnection",
            "etc/NetworkManager/system-connections/office",
            "etc/NetworkManager/NetworkManager.conf",
        ],
    );
}

#[test]
fn profiles_of_the_same_nic_are_retired_and_all_others_stay() {
    let profile = |connection: &str, ethernet: &str| {
        format!("[connection]\nid=x\n{connection}\n[ethernet]\n{ethernet}\n[ipv4]\nmethod=auto\n")
    };
    let rows = [
        ("type=ethernet\ninterface-name=eth0", "", true),
        ("type=802-3-ethernet", "mac-address=52:54:00:A1:00:01", true),
        ("type=ethernet\nautoconnect-priority=999", "", true),
        ("type=ethernet\ninterface-name=eth0\nmaster=br0\nslave-type=bridge", "", false),
        ("type=ethernet\ninterface-name=eth0\ncontroller=bond0\nport-type=bond", "", false),
        ("type=ethernet\ninterface-name=eth1", "", false),
        ("type=ethernet", "mac-address=52:54:00:A1:00:02", false),
        ("type=ethernet\nautoconnect-priority=999\nautoconnect=false", "", false),
        ("type=bridge\ninterface-name=eth0", "", false),
        ("type=wireguard\ninterface-name=eth0", "", false),
    ];
    for (connection, ethernet, is_retired) in rows {
        let text = profile(connection, ethernet);
        for path in [
            "etc/NetworkManager/system-connections/x",
            "usr/lib/NetworkManager/system-connections/x.nmconnection",
        ] {
            let (before, after) = network::rendered("keyfile", "null gateways", &[(path, &text)]);
            let name = path.rsplit('/').next().unwrap();
            let hidden = after.get(&format!("{DIR}/{name}")).is_some_and(|link| link == "->/dev/null");
            let is_gone = hidden || !after.contains_key(path);
            assert_eq!(is_gone, is_retired, "{path}: {text}");
            assert!(is_gone || after[path] == before[path]);
        }
    }
}

#[test]
fn ifcfg_files_of_the_same_nic_are_retired_with_their_routes() {
    let dir = "etc/sysconfig/network-scripts";
    let files = [
        ("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nBOOTPROTO=dhcp\n"),
        ("etc/sysconfig/network-scripts/route-eth0", "10.0.0.0/8 via 10.1.1.1\n"),
        ("etc/sysconfig/network-scripts/ifcfg-Wired", "TYPE=Ethernet\nHWADDR=\"52:54:00:A1:00:01\"\n"),
        ("etc/sysconfig/network-scripts/ifcfg-eth1", "DEVICE=eth1\n"),
        ("etc/sysconfig/network-scripts/ifcfg-br0", "DEVICE=br0\nTYPE=Bridge\n"),
        ("etc/sysconfig/network-scripts/ifcfg-port", "DEVICE=eth0\nBRIDGE=br0\n"),
    ];
    let (_, after) = network::rendered("keyfile", "null gateways", &files);
    let left: Vec<_> = after.keys().filter_map(|path| path.strip_prefix(dir)).collect();
    assert_eq!(left, ["/ifcfg-br0", "/ifcfg-eth1", "/ifcfg-port"]);
}

#[test]
fn what_a_profile_says_besides_the_network_goes_along_and_it_stays_the_same_profile() {
    let old = "[connection]\nid=mine\nuuid=0a3d5a52-4f0c-4f2e-9c84-6a1d5a6f4b10\ntype=802-3-ethernet\ninterface-name=eth0\n\
        zone=public\nautoconnect-priority=5\n[802-3-ethernet]\nmtu=1400\n[ipv4]\nmethod=auto\n";
    let worse = "[connection]\nid=worse\nuuid=1a3d5a52-4f0c-4f2e-9c84-6a1d5a6f4b10\ntype=ethernet\ninterface-name=eth0\n";
    let file = |name: &str| format!("{DIR}/{name}.nmconnection");
    let (a, b) = (file("a"), file("b"));
    let (_, after) = network::rendered("keyfile", "null gateways", &[(&a, worse), (&b, old)]);
    assert_eq!(after.keys().collect::<Vec<_>>(), [&file("novactl-eth0")]);
    let want = "[connection]\nid=novactl eth0\nuuid=0a3d5a52-4f0c-4f2e-9c84-6a1d5a6f4b10\ntype=ethernet\nautoconnect=true\n\
        autoconnect-priority=999\ninterface-name=eth0\nzone=public\n\n[ethernet]\nmtu=1400\n\n[ipv4]\n";
    let text = &after[&file("novactl-eth0")];
    assert!(text.contains(want), "{text}");
    // a profile for any NIC is not the NIC's
    let any = old.replace("interface-name=eth0\n", "");
    let (_, after) = network::rendered("keyfile", "null gateways", &[(&b, &any)]);
    let text = &after[&file("novactl-eth0")];
    assert!(after[&b] == any && text.contains("mac-address=") && !text.contains("0a3d5a52"), "{text}");
}

/// Starts NetworkManager and waits until it has connected what it can.
const START: &str = "\
    mkdir -p /run/dbus
    dbus-daemon --system --fork
    printf '[main]\\nplugins=keyfile\\nauth-polkit=false\\ndns=none\\nno-auto-default=*\\n' >/run/nm.conf
    printf '[device-peer]\\nmatch-device=interface-name:peer*\\nmanaged=0\\n' >>/run/nm.conf
    NetworkManager --no-daemon --config=/run/nm.conf >/run/nm.log 2>&1 &
    nm-online --wait-for-startup --timeout=20 --quiet\n";

/// Fails unless a NIC has our profile, and says which name servers it has for it.
const NIC: &str = "\
    nmcli --terse --fields GENERAL.STATE,GENERAL.CONNECTION device show NIC | tr '\\n' ' ' |
        grep -F 'GENERAL.STATE:100 (connected) GENERAL.CONNECTION:novactl NIC '
    nmcli --escape no --get-values IP4.DNS,IP6.DNS device show NIC | tr -d '|' | sed -n 's/^ *\\(.\\)/dns NIC \\1/p'\n";

#[test]
fn the_real_networkmanager_makes_of_it_what_is_meant() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        let dhcp = "[connection]\nid=any\nuuid=0a3d5a52-4f0c-4f2e-9c84-6a1d5a6f4b10\ntype=ethernet\n[ipv4]\nmethod=link-local\n";
        network::make(tree.path(), &[("etc/NetworkManager/system-connections/any.nmconnection", dhcp)]);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = network::backend("keyfile").render(&case.intent(), &target).unwrap();
        network::apply(&target, changes);
        let nics = case.nics();
        let looks: String = nics.iter().map(|nic| NIC.replace("NIC", &nic.name)).collect();
        let Some(outcome) = lab::run(tree.path(), &(START.to_owned() + &looks), &nics) else { return };
        assert_eq!(outcome, lab::outcome_of(&case.want), "{}", case.name);
    }
}

#[test]
fn a_new_profile_comes_up_an_undone_one_goes_and_an_active_one_is_applied_in_place() {
    let case = network::cases().into_iter().find(|case| case.name == "public and private").unwrap();
    let tree = tempfile::tempdir().unwrap();
    let old = "[connection]\nid=old\nuuid=0a3d5a52-4f0c-4f2e-9c84-6a1d5a6f4b10\ntype=ethernet\ninterface-name=eth0\n\
        [ipv4]\nmethod=manual\naddress1=192.0.2.9/24\n[ipv6]\nmethod=link-local\n";
    network::make(tree.path(), &[("etc/NetworkManager/system-connections/old.nmconnection", old)]);
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let backend = network::backend("keyfile");
    let mut intent = case.intent();
    let body = |intent: &Intent| {
        let changes = backend.render(intent, &target).unwrap();
        let FileChange::Write { body, .. } = &changes[0] else { panic!("{changes:?}") };
        String::from_utf8(body.clone()).unwrap()
    };
    let first = body(&intent);
    intent.nics[0].addresses.insert(1, "198.51.100.29/24".parse().unwrap());
    network::make(tree.path(), &[("first", &first), ("second", &body(&intent))]);
    let commands: Vec<String> =
        backend.activate(&intent, &target).iter().map(|cmd| cmd.argv().join(" ")).collect();
    let for_eth0: Vec<_> =
        commands.iter().filter(|line| !line.ends_with("eth1")).map(String::as_str).collect();
    let take_over = for_eth0.join("\n");
    let script = format!(
        "{START}
        connected() {{ nmcli --get-values GENERAL.CONNECTION device show eth0 | grep -Fx \"$1\"; }}
        connected old
        cd /{DIR}
        install -m 600 /first novactl-eth0.nmconnection; mv old.nmconnection /
        {take_over}
        connected 'novactl eth0'
        mv novactl-eth0.nmconnection /; mv /old.nmconnection .
        {take_over}
        connected old
        install -m 600 /first novactl-eth0.nmconnection; rm old.nmconnection
        {take_over}
        connected 'novactl eth0'
        ip -o monitor address >/run/seen &
        install -m 600 /second novactl-eth0.nmconnection
        nmcli connection reload
        nmcli device reapply eth0
        timeout 20 sh -c 'until ip address show eth0 | grep -q 198.51.100.29; do :; done'
        # IPv6 addresses it sets anew by itself
        ! grep 'Deleted.* inet ' /run/seen"
    );
    let Some(outcome) = lab::run(tree.path(), &script, &case.nics()) else { return };
    assert!(outcome.contains("  198.51.100.20/24\n  198.51.100.29/24\n"), "{outcome}");
    assert!(!outcome.contains("192.0.2.9"), "{outcome}");
}

/// A whole file.
const GOLDEN: &str = r#"# public: as the host assigns it, written by novactl
[connection]
id=novactl eth0
uuid=2111c67c-add7-576d-b71f-17024fc3494b
type=ethernet
autoconnect=true
autoconnect-priority=999

[ethernet]
mac-address=52:54:00:A1:00:01

[ipv4]
method=manual
address1=198.51.100.20/24
gateway=203.0.113.1
route1=192.0.2.0/24,203.0.113.2
route1_options=onlink=true
dns=9.9.9.9;

[ipv6]
method=manual
address1=2001:db8:20::5/64
gateway=2001:db8:ffff::1
addr-gen-mode=eui64
"#;

#[test]
fn the_file_is_what_a_person_would_write() {
    let (_, after) = network::rendered("keyfile", "gateways outside the subnet", &[]);
    assert_eq!(after[&format!("{DIR}/novactl-eth0.nmconnection")], GOLDEN);
}
