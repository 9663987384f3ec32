//! What netplan refuses, held against netplan itself where it is installed.

use std::time::Duration;

use proptest::prelude::*;

use super::super::trial::{LOG, MAC, STRANGE, found, mended, short};
use super::*;
use crate::check::Status;
use crate::exec::Cmd;
use crate::net::survey::tests::tree_of;

const READER: (&str, &str) = ("usr/sbin/netplan", "!");
const FILE: &str = "etc/netplan/rackspace-cloud.yaml";

fn eth0(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("      {line}\n")).collect();
    format!("network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [192.0.2.10/24]\n{lines}")
}

/// Texts with whether netplan refuses them.
fn cases() -> Vec<(String, bool)> {
    [
        ("gateway6: null", true),
        ("gateway6: ~", true),
        ("gateway4:", true),
        ("gateway4: fe80::def", true),
        ("gateway6: fe80::def", false),
        ("# gateway6: null", false),
        ("routes:\n- {to: 10.208.0.0/12, via: null}", true),
        ("routes:\n- to: 10.208.0.0/12\n  via:", true),
        ("routes:\n- {to: 10.208.0.0/12, via: fe80::1}", true),
        ("routes:\n- {to: nowhere, via: 192.0.2.1}", true),
        ("routes:\n- {to: 10.208.0.0/12, via: 192.0.2.1}", false),
        ("routes:\n- {to: 0.0.0.0/0, via: 192.0.2.1}", false),
        ("routes:\n- {to: default, via: 192.0.2.1}", false),
        ("routes:\n- {to: \"::/0\", via: \"fe80::def\"}", false),
        ("nameservers: {addresses: [null]}", true),
        ("nameservers: {addresses: [192.0.2.53, \"2001:db8::53\"]}", false),
        ("nameservers: {addresses: []}", false),
        ("match: {macaddress: nonsense}", true),
        ("match: {macaddress: 'bc:76:4e:20:75:72'}\nset-name: eth0", false),
        ("dhcp4: false\ndhcp6: no\naccept-ra: off", false),
        ("optional: true\nmtu: 1400", false),
        ("dchp4: true", true),
        ("gatewy4: 192.0.2.1", true),
        ("nameserver: {addresses: [192.0.2.53]}", true),
        ("dhcp4: flase", true),
        ("dhcp4:", true),
        ("dhcp4: Yes\nOptional: true", true),
        ("dhcp4: Yes\ndhcp6: OFF", false),
        ("mtu: 15oo", true),
        ("renderer: netwrkd", true),
        ("renderer: networkd", false),
        ("gateway4: [192.0.2.1]", true),
    ]
    .into_iter()
    .map(|(lines, is_refused)| (eth0(lines), is_refused))
    .chain(
        [
            ("network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.10]}}}", true),
            ("network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.10/33]}}}", true),
            ("network: {version: 2, ethernets: {eth0: {addresses: [\"2001:db8::1/129\"]}}}", true),
            ("network: {version: 2, ethernets: {eth0: {addresses: [\"2001:db8::1/64\"]}}}", false),
            ("network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.10/24: {label: x}]}}}", false),
            ("network: {version: 1}", true),
            ("network:\nversion: 2\nethernets: {eth0: {dhcp4: true}}", true),
            ("network: {version: 2, ethernet: {eth0: {dhcp4: true}}}", true),
            ("network: {version: 2, renderer: netwrkd}", true),
            ("network: {version: 2, ethernets: {eth0: {addresses: 192.0.2.10/24}}}", true),
            ("network: {version: 2, ethernets: {}}", false),
            ("network: {version: 2, ethernets: {eth0: {}}}", false),
            ("network:\n  version: 2\n  ethernets:\n\teth0: {}\n", true),
            ("network: {version: 2, ethernets: {renderer: networkd, eth0: {dhcp4: true}}}", false),
            ("", false),
        ]
        .into_iter()
        .map(|(text, is_refused)| (text.to_owned(), is_refused)),
    )
    .collect()
}

#[test]
fn what_netplan_refuses_is_a_fault() {
    for (text, is_refused) in cases() {
        assert_eq!(!refused(&text).unwrap().is_empty(), is_refused, "{text}\n{:?}", refused(&text));
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "says what was skipped")]
fn netplan_itself_is_of_the_same_opinion() {
    for (text, is_refused) in cases() {
        let (dir, _root) = tree_of(&[(FILE, &text)]);
        let dir = dir.path().to_str().unwrap();
        let judged = Cmd::new(&["netplan", "generate", "--root-dir", dir]).within(Duration::from_secs(60));
        let Some(output) = judged.output().unwrap() else {
            println!("skipped: netplan is not installed");
            return;
        };
        assert_eq!(!output.status.success(), is_refused, "{text}\n{}", output.stderr);
    }
}

#[test]
fn a_null_gateway_names_the_file_and_the_line() {
    let text = eth0("gateway6: null");
    let found = found(&VALID, &[READER, (FILE, &text)]).unwrap();
    assert_eq!(found[0].title, format!("netplan refuses {FILE}: gateway6 is no IPv6 address but 'null'"));
    assert_eq!(found[0].evidence[0].source, format!("{FILE}:6"));
    assert_eq!(found[0].evidence[0].text, "gateway6: null");
}

#[test]
fn files_that_netplan_does_not_read_are_no_fault() {
    let text = eth0("gateway6: null");
    let healthy = eth0("gateway6: fe80::def");
    let ok = vec![(Status::Ok, String::new())];
    assert_eq!(short(&VALID, &[(FILE, &text)]), [(Status::Skipped, String::new())]);
    assert_eq!(short(&VALID, &[READER, (FILE, &healthy), ("etc/netplan/x.yaml.bak", &text)]), ok);
    // the file in run replaces its namesake
    assert_eq!(short(&VALID, &[READER, (FILE, &text), ("run/netplan/rackspace-cloud.yaml", &healthy)]), ok);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    for check in [&VALID, &MATCH, &MODE] {
        assert!(found(check, &[READER, LOG, ("etc/netplan/a.yaml/x", "")]).is_err(), "{}", check.id);
    }
}

#[test]
fn a_gateway_without_a_value_is_dropped() {
    for line in ["gateway6: null", "gateway6:   # none", "gateway4: ~"] {
        let (before, after) = (eth0(&format!("{line}\ndhcp4: false")), eth0("dhcp4: false"));
        assert_eq!(mended(&VALID, &[READER, (FILE, &before)], &[FILE]), [Some(after)], "{line}");
    }
}

#[test]
fn what_cannot_be_mended_by_dropping_lines_is_left() {
    for text in [
        eth0("gateway6: null\nroutes:\n- {to: 10.0.0.0/8, via: null}"),
        "network:\n  ethernets:\n    eth0:\n      gateway6: null\n".to_owned(),
        "network: {ethernets: {eth0: {gateway6: null}}}\n".to_owned(),
    ] {
        let wrong = refused(&text).unwrap();
        assert_eq!(repair(FILE, &text, &wrong).unwrap(), [], "{text}");
        assert!(!wrong.is_empty());
    }
}

fn cloud(mac: &str) -> String {
    format!(
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      match: {{macaddress: '{mac}'}}\n      set-name: eth0\n"
    )
}

const CLOUD: &str = "etc/netplan/50-cloud-init.yaml";

#[test]
fn a_match_of_another_machine_is_a_fault_and_the_spare_file_goes() {
    let (ours, theirs) = (eth0("dhcp4: false"), cloud(STRANGE));
    let files = [READER, LOG, (FILE, &ours), (CLOUD, &theirs)];
    assert_eq!(short(&MATCH, &files), [(Status::Fail, CLOUD.to_owned())]);
    assert_eq!(mended(&MATCH, &files, &[CLOUD, FILE]), [None, Some(ours.clone())]);
    // alone, in upper case: only the host's data could say what belongs in it
    let alone = cloud(&STRANGE.to_uppercase());
    assert_eq!(short(&MATCH, &[READER, LOG, (CLOUD, &alone)]), [(Status::Fail, CLOUD.to_owned())]);
}

#[test]
fn a_match_of_this_machine_or_of_a_detached_nic_is_none() {
    let ours = eth0("dhcp4: false");
    let ok = vec![(Status::Ok, String::new())];
    assert_eq!(short(&MATCH, &[READER, LOG, (FILE, &ours), (CLOUD, &cloud(&MAC.to_uppercase()))]), ok);
    let detached = cloud(STRANGE).replace("eth0", "eth2");
    assert_eq!(short(&MATCH, &[READER, LOG, (FILE, &ours), (CLOUD, &detached)]), ok);
    // which NICs the machine has is not known
    assert_eq!(short(&MATCH, &[READER, (CLOUD, &cloud(STRANGE))]), [(Status::Skipped, String::new())]);
}

#[test]
fn a_file_for_everyone_is_a_note_and_becomes_root_s() {
    let text = eth0("dhcp4: false");
    assert_eq!(short(&MODE, &[READER, (FILE, &text)]), [(Status::Note, FILE.to_owned())]);
    assert_eq!(mended(&MODE, &[READER, (FILE, &text)], &[FILE]), [Some(text)]);
}

proptest! {
    #[test]
    fn any_text_is_judged(text in "network:\n  ethernets:\n(    e0:\n|      (gateway6|addresses|routes|match): ?[-a:\\[\\]{}0-9/ ]{0,12}\n){0,5}") {
        if let Ok(wrong) = refused(&text) {
            let _ = repair("x", &text, &wrong);
        }
    }
}
