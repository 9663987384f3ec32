//! systemd-networkd: what is written means what the host says, and the real networkd makes it so.

mod network;

use network::lab;
use novactl::plan::FileChange;
use novactl::target::Target;
use novactl::xenstore::Source;

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

/// Starts networkd and waits until it is done with the NICs.
const START: &str = "\
    mkdir -p /run/dbus /run/systemd
    install -d -o systemd-network -g systemd-network /run/systemd/netif /run/systemd/netif/links
    dbus-daemon --system --fork
    /lib/systemd/systemd-networkd & \n";

/// Fails unless networkd is done with a NIC, and says which name servers it has for it.
const NIC: &str = "\
    /lib/systemd/systemd-networkd-wait-online --timeout=20 --interface=NIC
    networkctl --no-pager list NIC | grep -w configured
    sed -n 's/^DNS=\\(.\\)/dns NIC \\1/p' /run/systemd/netif/links/$(cat /sys/class/net/NIC/ifindex)\n";

#[test]
fn the_mtu_of_the_file_that_no_longer_counts_goes_along() {
    let old = "[Match]\nName=eth*\n[Link]\nMTUBytes=1400\n[Network]\nDHCP=yes\n";
    for (name, is_kept) in [("01-old", true), ("20-old", true), ("20-other", false)] {
        let path = format!("etc/systemd/network/{name}.network");
        let text = if is_kept { old.to_owned() } else { old.replace("eth*", "ens*") };
        let (_, after) = network::rendered("networkd", "null gateways", &[(&path, &text)]);
        let ours = &after["etc/systemd/network/05-novactl-eth0.network"];
        assert_eq!(ours.contains("\n\n[Link]\nMTUBytes=1400\n\n[Network]\n"), is_kept, "{name}: {ours}");
        // the second time it comes from our own file
        let again = [("etc/systemd/network/05-novactl-eth0.network", ours.as_str())];
        let (before, after) = network::rendered("networkd", "null gateways", &again);
        assert_eq!(before, after);
    }
}

#[test]
fn without_resolved_the_name_servers_go_into_a_plain_resolv_conf() {
    let unit = |name: &str| network::enabled(name);
    let (resolved, manager) = (unit("systemd-resolved.service"), unit("NetworkManager.service"));
    let systemd = [
        ("usr/lib/systemd/systemd", "!"),
        ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
        ("usr/lib/systemd/system/default.target", "->multi-user.target"),
    ];
    let enabled =
        |pair: &'_ [(String, &'static str); 2]| pair.clone().map(|(path, text)| (path, text.to_owned()));
    let plain = ("etc/resolv.conf".to_owned(), "search example\nnameserver 192.0.2.1\n".to_owned());
    let link = ("etc/resolv.conf".to_owned(), "->../run/systemd/resolve/stub-resolv.conf".to_owned());
    let resolvconf = ("sbin/resolvconf".to_owned(), "!".to_owned());
    let rows: [(Vec<(String, String)>, bool); 5] = [
        (vec![plain.clone()], true),
        (vec![link], false),
        (vec![plain.clone(), resolvconf], false),
        ([vec![plain.clone()], enabled(&resolved).to_vec()].concat(), false),
        ([vec![plain], enabled(&manager).to_vec()].concat(), false),
    ];
    for (files, is_written) in rows {
        let own = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let all: Vec<_> = systemd.into_iter().chain(own).collect();
        let (before, after) = network::rendered("networkd", "public and private", &all);
        let want = "search example\nnameserver 203.0.113.53\nnameserver 203.0.113.54\n";
        let want = if is_written { want } else { &before["etc/resolv.conf"] };
        assert_eq!(after["etc/resolv.conf"], want, "{all:?}");
    }
}

#[test]
fn the_real_networkd_makes_of_it_what_is_meant() {
    for case in network::cases() {
        let tree = tempfile::tempdir().unwrap();
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = network::backend("networkd").render(&case.intent(), &target).unwrap();
        network::apply(&target, changes);
        let nics = case.nics();
        let waits: String = nics.iter().map(|nic| NIC.replace("NIC", &nic.name)).collect();
        let Some(outcome) = lab::run(tree.path(), &(START.to_owned() + &waits), &nics) else { return };
        assert_eq!(outcome, lab::outcome_of(&case.want), "{}", case.name);
    }
}

#[test]
fn a_reload_adds_an_address_and_takes_none_away_meanwhile() {
    let case = network::cases().into_iter().find(|case| case.name == "public and private").unwrap();
    let tree = tempfile::tempdir().unwrap();
    let target = Target::offline(tree.path(), Source::None).unwrap();
    let backend = network::backend("networkd");
    let mut intent = case.intent();
    let changes = backend.render(&intent, &target).unwrap();
    network::apply(&target, changes);
    intent.nics[0].addresses.insert(1, "198.51.100.29/24".parse().unwrap());
    let changes = backend.render(&intent, &target).unwrap();
    let FileChange::Write { body, .. } = &changes[0] else { panic!("{changes:?}") };
    network::make(tree.path(), &[("next.network", std::str::from_utf8(body).unwrap())]);
    let commands: Vec<String> =
        backend.activate(&case.intent(), &target).iter().map(|cmd| cmd.argv().join(" ")).collect();
    // there is no systemd in there that could start it: it runs already
    let reload = commands.iter().find(|line| line.starts_with("networkctl")).unwrap();
    let script = format!(
        "{START}{}
        ip -o monitor address route >/run/seen &
        cp /next.network /{DIR}/05-novactl-eth0.network
        {reload}
        timeout 20 sh -c 'until ip address show eth0 | grep -q 198.51.100.29; do :; done'
        {}
        ! grep Deleted /run/seen",
        NIC.replace("NIC", "eth0"),
        NIC.replace("NIC", "eth0"),
    );
    let Some(outcome) = lab::run(tree.path(), &script, &case.nics()) else { return };
    assert!(outcome.contains("  198.51.100.20/24\n  198.51.100.29/24\n"), "{outcome}");
}

/// A whole file.
const GOLDEN: &str = r#"# public: as the host assigns it, written by novactl
[Match]
MACAddress=52:54:00:a1:00:01
Type=ether

[Network]
DHCP=no
IPv6AcceptRA=no
LinkLocalAddressing=ipv6
Address=2001:db8:20::5/64
DNS=9.9.9.9

[Address]
Address=198.51.100.20/24
Broadcast=198.51.100.255

[Route]
Destination=0.0.0.0/0
Gateway=203.0.113.1
GatewayOnLink=yes

[Route]
Destination=192.0.2.0/24
Gateway=203.0.113.2
GatewayOnLink=yes

[Route]
Destination=::/0
Gateway=2001:db8:ffff::1
GatewayOnLink=yes
"#;

#[test]
fn the_file_is_what_a_person_would_write() {
    let (_, after) = network::rendered("networkd", "gateways outside the subnet", &[]);
    assert_eq!(after[&format!("{DIR}/05-novactl-eth0.network")], GOLDEN);
}
