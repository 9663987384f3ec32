//! systemd-networkd: what is written means what the host says, and the real networkd makes it so.

mod network;

const DIR: &str = "etc/systemd/network";

#[test]
fn every_case_is_written_as_it_is_meant() {
    let user = "[Match]\nName=br0\n[Network]\nAddress=192.168.1.1/24\n";
    network::every_case_is_written_as_it_is_meant(
        "networkd",
        &[
            ("etc/systemd/network/00-br0.network", user),
            ("etc/systemd/network/10-all.network", "[Match]\nName=e*\n[Network]\nDHCP=yes\n"),
            ("etc/systemd/network/br0.netdev", "[NetDev]\nName=br0\nKind=bridge\n"),
        ],
        &[
            "etc/systemd/network/00-br0.network",
            "etc/systemd/network/10-all.network",
            "etc/systemd/network/br0.netdev",
        ],
    );
}

#[test]
fn what_comes_before_our_file_for_the_same_nic_is_retired_and_the_rest_stays() {
    let own = format!("{DIR}/05-novactl-eth0.network");
    let drop_in = format!("{own}.d/x.conf");
    let rows: [(&str, &str, &[&str]); 11] = [
        // file, its text, what becomes of it
        ("etc/systemd/network/01-a.network", "[Match]\nName=eth0\n", &["-"]),
        ("etc/systemd/network/01-a.network", "[Match]\nMACAddress=52-54-00-A1-00-01\n", &["-"]),
        ("etc/systemd/network/01-a.network", "[Match]\nType=ether\n[Network]\nDHCP=yes\n", &["-"]),
        ("etc/systemd/network/01-a.network", "[Network]\nDHCP=yes\n", &["-"]),
        ("usr/lib/systemd/network/01-a.network", "[Match]\nName=eth*\n", &["->/dev/null"]),
        ("etc/systemd/network/01-a.network", "[Match]\nName=!eth0\n", &["="]),
        ("etc/systemd/network/01-a.network", "[Match]\nMACAddress=52:54:00:a1:00:09\nName=eth0\n", &["="]),
        ("etc/systemd/network/01-a.network", "[Match]\nKind=bridge\nName=*\n", &["="]),
        ("etc/systemd/network/99-a.network", "[Match]\nName=eth0\n", &["="]),
        ("etc/systemd/network/05-novactl-eth7.network", "[Match]\nMACAddress=52:54:00:a1:00:07\n", &["-"]),
        (&drop_in, "[Network]\nDHCP=yes\n", &["-"]),
    ];
    for (path, text, want) in rows {
        let (before, after) = network::rendered("networkd", "null gateways", &[(path, text)]);
        let name = path.rsplit('/').next().unwrap();
        let now = after.get(path).or(after.get(&format!("{DIR}/{name}")));
        let in_etc = after.get(&format!("{DIR}/{name}")).or(after.get(path));
        let seen = match (now, in_etc) {
            (None, _) => "-",
            (_, Some(link)) if link.starts_with("->") => link,
            (now, _) if now == before.get(path) => "=",
            _ => "changed",
        };
        assert_eq!([seen], want, "{path}: {text}");
    }
}

#[test]
fn what_is_stacked_on_a_nic_stays_stacked() {
    let user = "[Match]\nName=eth0\n[Network]\nDHCP=yes\nVLAN=vlan5\nVLAN=vlan6\nMACVLAN=mv0\n";
    for name in ["01-eth0", "20-eth0"] {
        let path = format!("{DIR}/{name}.network");
        let (_, after) = network::rendered("networkd", "null gateways", &[(&path, user)]);
        let ours = &after[&format!("{DIR}/05-novactl-eth0.network")];
        for line in ["VLAN=vlan5", "VLAN=vlan6", "MACVLAN=mv0"] {
            assert_eq!(ours.lines().filter(|l| *l == line).count(), 1, "{line} in {ours}");
        }
    }
}
