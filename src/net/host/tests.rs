//! Records as hosts write them, sloppy and broken ones.

use super::reader::RECORD_MAX;
use super::*;
use crate::xenstore::tree::Tree;
use proptest::prelude::*;
use serde_json::{Map, Value};

fn nic(text: &str) -> HostNic {
    HostNic::parse("BC764E207572", text.as_bytes())
}

fn problems(nic: &HostNic) -> Vec<(&str, &str, Effect)> {
    nic.problems.iter().map(|p| (p.field.as_str(), p.text.as_str(), p.effect)).collect()
}

#[test]
fn a_record_of_today_is_read_whole() {
    let read = nic(r#"{"label": "public", "broadcast": "104.130.4.255", "mac": "BC:76:4E:20:75:72",
        "ips": [{"ip": "104.130.4.72", "netmask": "255.255.255.0", "enabled": "1", "gateway": "104.130.4.1"}],
        "gateway": "104.130.4.1", "dns": ["69.20.0.164", "69.20.0.196", "", "69.20.0.164"],
        "ip6s": [{"ip": "2001:db8:0:0::1", "netmask": 64, "enabled": "1", "gateway": "fe80::def"}],
        "gateway_v6": "fe80::def",
        "routes": [{"route": "10.208.0.1", "netmask": "255.240.0.0", "gateway": "10.208.224.1"},
                   {"route": "2001:db8:40::", "netmask": "ffff:ffff:ffff::", "gateway": null}]}"#);
    let want = HostNic {
        giver: Giver::Host,
        key: "BC764E207572".to_owned(),
        mac: "bc:76:4e:20:75:72".parse().ok(),
        label: Some("public".to_owned()),
        addresses4: vec!["104.130.4.72/24".parse().unwrap()],
        addresses6: vec!["2001:db8::1/64".parse().unwrap()],
        disabled: vec![],
        gateway4: Some("104.130.4.1".parse().unwrap()),
        gateway6: Some("fe80::def".parse().unwrap()),
        routes: vec![
            Route { to: "10.208.0.0/12".parse().unwrap(), via: "10.208.224.1".parse().ok() },
            Route { to: "2001:db8:40::/48".parse().unwrap(), via: None },
        ],
        dns: vec!["69.20.0.164".parse().unwrap(), "69.20.0.196".parse().unwrap()],
        problems: vec![],
    };
    assert_eq!(read, want);
}

#[test]
fn nothing_is_written_in_many_ways() {
    for nothing in ["null", "\"None\"", "\"\""] {
        let text = [
            r#"{"mac": "bc:76:4e:20:75:72", "label": X, "gateway": X, "gateway_v6": X, "ips": X,"#,
            r#""ip6s": X, "routes": X, "dns": X}"#,
        ]
        .concat()
        .replace('X', nothing);
        let read = nic(&text);
        let bare = nic(r#"{"mac": "bc:76:4e:20:75:72"}"#);
        assert_eq!(read, bare, "{nothing}");
        assert_eq!(problems(&bare), []);
    }
}

#[test]
fn old_member_names_are_known() {
    let read = nic(r#"{"ip6s": [{"address": "2001:db8::1", "netmask": "64"}], "gateway6": "fe80::1"}"#);
    assert_eq!(read.addresses6, ["2001:db8::1/64".parse().unwrap()]);
    assert_eq!(read.gateway6, "fe80::1".parse().ok());
    let read = nic(r#"{"ip6s": [{"ip": "2001:db8::1", "netmask": "64", "gateway": "fe80::2"}]}"#);
    assert_eq!(read.gateway6, "fe80::2".parse().ok());
    assert_eq!(problems(&read), []);
}

#[test]
fn a_null_gateway_is_none_also_when_an_address_names_one() {
    let read =
        nic(r#"{"gateway_v6": null, "ip6s": [{"ip": "2001:db8::1", "netmask": 64, "gateway": "fe80::2"}]}"#);
    assert_eq!(read.gateway6, None);
}

#[test]
fn an_address_that_is_switched_off_is_kept_apart() {
    for off in ["\"0\"", "0", "false"] {
        let text = r#"{"ips": [{"ip": "192.0.2.1", "netmask": "255.255.255.0", "enabled": X},
            {"ip": "192.0.2.2", "netmask": "255.255.255.0"}]}"#;
        let read = nic(&text.replace('X', off));
        assert_eq!(read.addresses4, ["192.0.2.2/24".parse().unwrap()]);
        assert_eq!(read.disabled, ["192.0.2.1/24".parse::<IpNet>().unwrap()]);
    }
}

#[test]
fn a_bad_field_is_named_and_the_rest_is_read() {
    let good = r#"{"ip": "192.0.2.9", "netmask": "255.255.255.0"}"#;
    let cases = [
        (r#"{"ip": "192.0.2.1", "netmask": "255.0.255.0"}"#, "ips[0].netmask", r#""255.0.255.0" is no mask"#),
        (r#"{"ip": "192.0.2.1", "netmask": 33}"#, "ips[0].netmask", r#""33" is no mask"#),
        (r#"{"ip": "192.0.2.1"}"#, "ips[0].netmask", "missing"),
        (r#"{"ip": "192.0.2.300", "netmask": 24}"#, "ips[0].ip", r#""192.0.2.300" is no address"#),
        (r#"{"netmask": 24}"#, "ips[0].ip", "missing"),
        ("7", "ips[0]", "not an object"),
    ];
    for (bad, field, text) in cases {
        let read = nic(&format!(r#"{{"ips": [{bad}, {good}]}}"#));
        assert_eq!(read.addresses4, ["192.0.2.9/24".parse().unwrap()], "{bad}");
        assert_eq!(problems(&read), [(field, text, Effect::LeftOut)], "{bad}");
    }
}

#[test]
fn a_route_whose_next_hop_cannot_be_read_is_no_route_without_one() {
    for hop in [r#""10.0.0.256""#, r#""fe80::1""#, "5"] {
        let read = nic(&format!(
            r#"{{"routes": [{{"route": "10.0.0.0", "netmask": "255.0.0.0", "gateway": {hop}}}]}}"#
        ));
        assert_eq!(read.routes, [], "{hop}");
        assert_eq!(read.problems.len(), 1, "{hop}");
        assert_eq!(read.problems[0].field, "routes[0].gateway");
    }
}

#[test]
fn a_label_that_lost_its_backslashes_is_read() {
    let read = nic(r#"{"label": "the "big" one", "mac": "BC:76:4E:20:75:72", "ips": []}"#);
    assert_eq!(read.label.as_deref(), Some("the \"big\" one"));
    assert_eq!(
        problems(&read),
        [("", "not JSON: a backslash was lost before a quotation mark", Effect::Repaired)]
    );
}

#[test]
fn a_truncated_record_keeps_the_mac_of_its_key() {
    let read = nic(r#"{"label": "private", "ips": [{"ip": "10.208.227.239", "netmask": ""#);
    assert_eq!(read.mac, "bc:76:4e:20:75:72".parse().ok());
    assert_eq!(read.problems.len(), 1);
    assert_eq!((read.problems[0].field.as_str(), read.problems[0].effect), ("", Effect::LeftOut));
}

#[test]
fn the_mac_member_wins_over_the_key() {
    let read = nic(r#"{"mac": "BC:76:4E:20:6C:5B"}"#);
    assert_eq!(read.mac, "bc:76:4e:20:6c:5b".parse().ok());
    assert_eq!(problems(&read), [("mac", "bc:76:4e:20:6c:5b is not the key's", Effect::Repaired)]);
    let nameless = HostNic::parse("stale", b"{}");
    assert_eq!(nameless.mac, None);
    assert_eq!(problems(&nameless)[0].0, "mac");
}

#[test]
fn a_huge_record_is_refused() {
    let read = nic(&format!(r#"{{"label": "{}"}}"#, "x".repeat(RECORD_MAX)));
    assert_eq!((read.label, read.problems.len()), (None, 1));
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_a_problem(key in ".{0,14}", value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let read = HostNic::parse(&key, &value);
        prop_assert!(serde_json::from_slice::<Map<String, Value>>(&value).is_ok() || !read.problems.is_empty());
    }

    #[test]
    fn any_json_is_a_record_or_a_problem(text in r#"\{("(ips|ip6s|routes|dns|mac|label|gateway)": (\[(\{"(ip|netmask|route|gateway|enabled)": ("[0-9a-f.:]{0,12}"|null|[0-9]{1,3})\},?){0,2}\]|null|5),?){0,3}\}"#) {
        HostNic::parse("BC764E207572", text.as_bytes());
    }
}

fn store(records: &[(&str, &str)]) -> Tree {
    let mut store = Tree::parse("dump.json", b"{}").unwrap();
    for (key, value) in records {
        store.write(&format!("{PATH}/{key}"), value.as_bytes()).unwrap();
    }
    store
}

#[test]
fn a_bad_record_never_stops_a_good_one() {
    let mut store = store(&[
        ("bc764e206c5b", "{"),
        ("BC764E207572", r#"{"ips": [{"ip": "192.0.2.9", "netmask": "255.255.255.0"}]}"#),
    ]);
    let network = host_nics(&mut store).unwrap();
    assert_eq!(network.nics.len(), 2);
    assert_eq!(network.nics[0].addresses4, ["192.0.2.9/24".parse().unwrap()]);
    assert_eq!(network.nics[1].problems.len(), 1);
}

#[test]
fn a_host_that_says_nothing_assigns_nothing() {
    assert_eq!(host_nics(&mut store(&[])).unwrap(), HostNetwork::default());
}
