//! Records of the host with anything in place of each value: nothing panics, what is written means what was read and no
//! more, and a good NIC is configured whatever the other's record says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod network;

use novactl::net::backend::BACKENDS;
use novactl::net::host::{HostNetwork, HostNic};
use novactl::net::intent::{Intent, Nic};
use novactl::target::Target;
use novactl::xenstore::Source;
use proptest::prelude::*;
use serde_json::{Value, json};

const RECORD: &str = r#"{"label":"public","mac":"52:54:00:A1:00:01","broadcast":"198.51.100.255","enabled":"1",
    "ips":[{"ip":"198.51.100.20","netmask":"255.255.255.0","enabled":"1","gateway":"198.51.100.1"}],
    "gateway":"198.51.100.1","gateway_v6":"fe80::1",
    "ip6s":[{"ip":"2001:db8:20::5","netmask":64,"enabled":"1","gateway":"fe80::1"}],
    "routes":[{"route":"10.32.0.0","netmask":"255.224.0.0","gateway":"198.51.100.9"}],"dns":["203.0.113.53"]}"#;
const GOOD: &str =
    r#"{"label":"private","ips":[{"ip":"10.64.9.30","netmask":"255.255.224.0","enabled":"1"}]}"#;

/// Returns the places of all values that are neither objects nor lists, and of those as well.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, it)| places(it, &format!("{at}/{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, it)| places(it, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

fn hostile() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!([]),
        json!({}),
        json!([["evil"]]),
        json!("x\nevil=1\n[Network]\nGateway=192.0.2.66\n  evil: true\nup evil\n"),
        json!("198.51.100.20\nevil"),
        json!("198.51.100.20; evil"),
        json!("$(evil)`evil`'evil\"evil\\"),
        json!("\u{0}\u{1b}[31mevil\u{7f}\u{202e}\r\u{85}\u{2028}evil"),
        json!("e".repeat(100_000)),
        json!("0.0.0.0"),
        json!("255.255.255.255"),
        json!("::"),
        json!("fe80::1%evil"),
    ]
}

fn holds(record: &Value) -> Result<(), TestCaseError> {
    let nic = |name: &str, mac: &str| Nic { name: name.to_owned(), mac: mac.parse().unwrap() };
    let nics = [nic("eth0", "52:54:00:a1:00:01"), nic("eth1", "52:54:00:a1:00:02")];
    let network = HostNetwork {
        nics: vec![
            HostNic::parse("525400A10001", record.to_string().as_bytes()),
            HostNic::parse("525400A10002", GOOD.as_bytes()),
        ],
    };
    let intent = Intent::of(&network, &nics);
    prop_assert!(intent.nics.iter().any(|nic| nic.name == "eth1" && nic.addresses.len() == 1), "{}", record);
    for backend in BACKENDS {
        let tree = tempfile::tempdir().unwrap();
        network::make(tree.path(), &[("sbin/resolvconf", "!"), ("sbin/ifup", "!")]);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        network::apply(&target, backend.render(&intent, &target).unwrap());
        let known: Vec<Nic> =
            intent.nics.iter().map(|nic| Nic { name: nic.name.clone(), mac: nic.mac }).collect();
        let found = network::configured(*backend, &target, &known);
        let wanted = network::shown(&intent.nics);
        let extra = found.lines().find(|line| !wanted.lines().any(|it| it == *line));
        prop_assert!(extra.is_none(), "{}: {:?} of {}", backend.name(), extra, record);
        // a route of a family without an address cannot be said in every format
        let is_route = |line: &str| line.contains(" via ") || line.starts_with("  dns ");
        let lost = wanted.lines().find(|line| !is_route(line) && !found.lines().any(|it| it == *line));
        prop_assert!(lost.is_none(), "{}: {:?} of {}", backend.name(), lost, record);
        for (path, text) in network::files_of(tree.path()) {
            let bare = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
            prop_assert!(
                !bare.into_iter().any(|line| line.contains("evil")),
                "{}: {}: {}",
                path,
                record,
                text
            );
        }
    }
    Ok(())
}

#[test]
fn any_value_in_any_place_of_a_record_injects_nothing() {
    let record: Value = serde_json::from_str(RECORD).unwrap();
    let mut all = Vec::new();
    places(&record, "", &mut all);
    for place in all {
        for value in hostile() {
            let mut record = record.clone();
            *record.pointer_mut(&place).unwrap() = value;
            if let Err(e) = holds(&record) {
                panic!("{e}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn random_text_in_any_place_injects_nothing(place in any::<prop::sample::Index>(), text in "[ -~\n\t\u{0}\u{85}]{0,12}evil[ -~\n]{0,12}") {
        let mut record: Value = serde_json::from_str(RECORD).unwrap();
        let mut all = Vec::new();
        places(&record, "", &mut all);
        *record.pointer_mut(place.get::<String>(&all)).unwrap() = Value::String(text);
        holds(&record)?;
    }
}
