//! Links, records and configuration joined, live and from a mounted root.

use super::*;
use crate::net::configured::tests::tree;

const PUBLIC: &str = "bc:76:4e:20:75:72";
const PRIVATE: &str = "bc:76:4e:20:6c:5b";

fn link(name: &str, kind: Kind, mac: &str) -> Link {
    Link {
        name: name.to_owned(),
        index: 1,
        has_hardware_address: !kind.is_addressless(),
        kind,
        driver: None,
        device: None,
        mac: mac.parse().ok(),
        permanent_mac: None,
        master: None,
        lower: None,
        state: State::Up,
        mtu: 1500,
        addresses: Vec::new(),
        ipv6_off: Some(false),
    }
}

/// A root with these files, for the tests of other modules.
pub(crate) fn tree_of(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    tree(files)
}

/// A survey of these links (name, kind, MAC), for the tests of other modules.
pub(crate) fn made_up(links: &[(&str, &str, &str)], host: Result<HostNetwork, String>) -> Survey {
    let links = links.iter().map(|(name, kind, mac)| (link(name, Kind::named(kind), mac), None)).collect();
    Survey {
        origin: Origin::Kernel,
        interfaces: join(links, &host, Source::Store),
        host,
        source: Source::Store,
        has_bonding_masters: false,
        unread: Vec::new(),
    }
}

fn host() -> Result<HostNetwork, String> {
    let nic = |key: &str, label: &str| HostNic::parse(key, format!("{{\"label\": \"{label}\"}}").as_bytes());
    Ok(HostNetwork { nics: vec![nic("BC764E206C5B", "private"), nic("BC764E207572", "public")] })
}

fn verdicts(links: Vec<Link>, host: &Result<HostNetwork, String>) -> Vec<Option<&'static str>> {
    let joined = join(links.into_iter().map(|link| (link, None)).collect(), host, Source::Store);
    joined.iter().map(|interface| interface.verdict.map(Verdict::word)).collect()
}

#[test]
fn each_link_gets_its_verdict() {
    let port = Link { master: Some("docker0".to_owned()), ..link("veth1", Kind::VETH, "5e:aa:bb:cc:dd:01") };
    let links = vec![
        link("lo", Kind::LOOPBACK, ""),
        link("eth0", Kind::VIF, PUBLIC),
        link("eth9", Kind::VIF, "bc:76:4e:20:00:01"),
        link("br0", Kind::BRIDGE, PUBLIC),
        link("docker0", Kind::BRIDGE, "02:42:ac:11:00:01"),
        port,
        link("tun0", Kind::TUN, ""),
    ];
    let want = ["loopback", "host", "unknown-to-host", "shares-mac", "unexpected", "port", "unexpected"];
    assert_eq!(verdicts(links, &host()), want.map(Some));
}

#[test]
fn without_the_host_s_data_a_nic_is_not_judged() {
    let links = vec![link("eth0", Kind::VIF, PUBLIC), link("br0", Kind::BRIDGE, PUBLIC)];
    assert_eq!(verdicts(links, &Err("no store".to_owned())), [None, Some("shares-mac")]);
}

#[test]
fn a_veth_stands_in_only_where_there_is_no_nic() {
    let alone = vec![link("eth0", Kind::VETH, PUBLIC)];
    assert_eq!(verdicts(alone, &host()), [Some("host")]);
    let beside = vec![link("veth0", Kind::VETH, PUBLIC), link("eth0", Kind::ETHERNET, PUBLIC)];
    assert_eq!(verdicts(beside, &host()), [Some("shares-mac"), Some("host")]);
    let stacked = vec![link("br0", Kind::BRIDGE, PUBLIC), link("tap0", Kind::TAP, PRIVATE)];
    assert_eq!(verdicts(stacked, &host()), [Some("unexpected"), Some("unexpected")]);
}

#[test]
fn the_permanent_mac_counts_where_the_kernel_says_it() {
    let changed = Link { permanent_mac: PUBLIC.parse().ok(), ..link("eth0", Kind::VIF, "02:00:00:00:00:01") };
    let liar = Link { permanent_mac: "02:00:00:00:00:02".parse().ok(), ..link("eth1", Kind::VIF, PUBLIC) };
    assert_eq!(verdicts(vec![liar, changed], &host()), [Some("shares-mac"), Some("host")]);
}

#[test]
fn public_is_what_the_host_calls_so_else_what_leads_out() {
    let defaults: HashSet<String> = ["eth2".to_owned()].into();
    let with = |link: Link, address: &str| Link { addresses: address.parse().into_iter().collect(), ..link };
    let unknown = "bc:76:4e:20:00:01";
    let cases = [
        (with(link("eth0", Kind::VIF, PUBLIC), "10.0.0.1/24"), true),
        (with(link("eth1", Kind::VIF, PRIVATE), "104.130.4.72/24"), false),
        (link("eth2", Kind::VIF, unknown), true),
        (with(link("eth3", Kind::VIF, unknown), "104.130.4.72/24"), true),
        (with(link("eth3", Kind::VIF, unknown), "100.64.0.1/10"), false),
        (with(link("eth3", Kind::VIF, unknown), "2001:4802::1/64"), true),
        (with(link("eth3", Kind::VIF, unknown), "fd00::1/64"), false),
        (with(link("tun0", Kind::TUN, ""), "104.130.4.72/24"), false),
    ];
    for (link, want) in cases {
        let text = format!("{link:?}");
        let joined = join(vec![(link, None)], &host(), Source::Store);
        assert_eq!(is_public(&joined[0], &host(), &defaults), want, "{text}");
    }
}

#[test]
fn default_routes_are_found_in_both_families() {
    let (_dir, root) = tree(&[
        (
            "proc/net/route",
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\neth0\t00000000\t0104A868\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth1\t0000D00A\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0\n",
        ),
        (
            "proc/net/ipv6_route",
            &format!(
                "{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 00000003     eth2\n{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n",
                zero = "0".repeat(32)
            ),
        ),
    ]);
    assert_eq!(links_of_default_routes(&root), ["eth0".to_owned(), "eth2".to_owned()].into());
}

#[test]
fn a_mounted_root_shows_what_its_configuration_makes() {
    let (_dir, root) = tree(&[
        ("usr/sbin/openvpn", "!"),
        ("etc/openvpn/a.conf", "dev tun\n"),
        ("usr/sbin/ifup", "!"),
        ("etc/network/interfaces", "auto eth0\niface eth0 inet static\niface eth0 inet6 static\n"),
    ]);
    let survey = Survey::of(&root, false, &Configuration::of(&root), Err("none".to_owned())).unwrap();
    assert_eq!(survey.origin, Origin::Configuration);
    let seen: Vec<_> =
        survey.interfaces.iter().map(|i| (i.link.name.as_str(), i.link.kind.word(), i.verdict)).collect();
    assert_eq!(seen, [("eth0", "ethernet", None), ("tun*", "tun", Some(Verdict::Unexpected))]);
    assert!(survey.missing().is_empty());
}

#[test]
fn on_a_mounted_root_the_agent_s_log_says_which_nic_is_which() {
    let (_dir, root) = tree(&[
        ("usr/sbin/ifup", "!"),
        (
            "etc/network/interfaces",
            "iface eth0 inet static\n address 104.130.4.72/24\niface eth1 inet dhcp\n",
        ),
        (
            logged::PATH,
            "x [INFO ] Interface BC764E207572: {'label': 'public', 'ips': [{'ip': '104.130.4.72', 'netmask': '255.255.255.0'}]}\n\
             x [INFO ] Interface BC764E206C5B: {'label': 'private'}\n",
        ),
    ]);
    let survey = Survey::of(&root, false, &Configuration::of(&root), Err("none".to_owned())).unwrap();
    let seen: Vec<_> =
        survey.interfaces.iter().map(|i| (i.link.name.as_str(), i.verdict, i.is_public)).collect();
    assert_eq!(seen, [("eth0", Some(Verdict::Host), true), ("eth1", None, false)]);
    assert_eq!((survey.source, survey.missing().len()), (Source::Log, 0));
}

#[test]
fn the_log_never_says_that_a_nic_is_missing_or_unknown() {
    let (_dir, root) = tree(&[
        ("sys/class/net/eth0/address", "bc:76:4e:00:00:01\n"),
        (logged::PATH, "x [INFO ] Interface BC764E207572: {'label': 'public'}\n"),
    ]);
    let survey = Survey::of(&root, false, &Configuration::of(&root), Err("none".to_owned())).unwrap();
    assert_eq!((survey.missing().len(), survey.interfaces[0].verdict), (0, None));
}

#[test]
fn a_record_without_a_link_is_missing() {
    let (_dir, root) = tree(&[("sys/class/net/eth0/address", &format!("{PUBLIC}\n"))]);
    let survey = Survey::of(&root, false, &Configuration::of(&root), host()).unwrap();
    let missing: Vec<_> = survey.missing().into_iter().map(|nic| nic.key.as_str()).collect();
    assert_eq!(missing, ["BC764E206C5B"]);
    assert!(survey.interfaces[0].is_public);
}
