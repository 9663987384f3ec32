//! NetworkManager's keyfiles: what is written means what the host says, and the real NetworkManager makes it so.

mod network;

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
            let is_gone = hidden || after.get(path).is_none();
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
