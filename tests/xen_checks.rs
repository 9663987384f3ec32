//! The checks of the store and `check-xentools` against the real daemons, C and OCaml, with a guest's rights.
//!
//! This machine plays the guest: what it runs on and its own tools are not asserted.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

mod lab;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use lab::{KINDS, Kind, Store};
use serde_json::Value;

const RECORD: &str = r#"{"label": "public", "mac": "bc:76:4e:20:75:72", "ips": [{"ip": "104.130.4.72", "netmask": "255.255.255.0", "enabled": "1", "gateway": "104.130.4.1"}]}"#;

/// Returns the words after the status of each finding of these checks: `status subject title`.
fn findings(store: &Path, only: &str) -> BTreeMap<String, Vec<String>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.args(["doctor", "--format", "json", "--only", only, "--xenstore"]).arg(store);
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for finding in document["findings"].as_array().unwrap() {
        let word = |name: &str| finding[name].as_str().unwrap_or("-").to_owned();
        let words = [word("status"), word("subject"), word("title")].join(" ");
        found.entry(word("id")).or_default().push(words);
    }
    found
}

fn of(store: &Path, id: &str) -> Vec<String> {
    findings(store, id).remove(id).unwrap()
}

/// A guest as the provider's hosts make it.
fn guest(kind: Kind) -> Option<(Store, std::path::PathBuf)> {
    let store = Store::start(kind)?;
    let socket = store.domu(7);
    store.write_all(&[
        ("/local/domain/7/name", "web01"),
        ("/local/domain/7/vm-data/provider_data/provider", "Rackspace"),
        ("/local/domain/7/vm-data/networking/BC764E207572", RECORD),
    ]);
    Some((store, socket))
}

#[test]
fn a_healthy_store_is_silent() {
    for kind in KINDS {
        let Some((_store, guest)) = guest(kind) else { return };
        let ids = "xenbus-device,xenstore-reachable,provider-known,host-network-data,requests-answered,answers-collected,rackconnect";
        for (id, found) in findings(&guest, ids) {
            assert!(found.iter().all(|words| words.starts_with("ok ")), "{kind:?} {id} {found:?}");
        }
    }
}

#[test]
fn a_store_that_answers_makes_another_platform_a_note() {
    let Some((_store, guest)) = guest(Kind::C) else { return };
    if Path::new("/sys/hypervisor/type").exists() {
        lab::skipped::<()>("this machine is a Xen guest itself");
        return;
    }
    let found = of(&guest, "xen-guest");
    assert!(found[0].starts_with("note - XenStore answers, although this is "), "{found:?}");
}

#[test]
fn what_the_host_got_wrong_is_named() {
    for kind in KINDS {
        let Some((store, guest)) = guest(kind) else { return };
        store.write_all(&[
            ("/local/domain/7/vm-data/provider_data/provider", "xcp"),
            ("/local/domain/7/vm-data/provider_data/roles", r#"["rax_managed", "rack_connect"]"#),
            ("/local/domain/7/vm-data/networking/BC764E203B70", "{\"label\": "),
            ("/local/domain/7/data/host/11111111-1111-4111-8111-111111111111", "[]"),
        ]);
        let found = findings(&guest, "provider-known,host-network-data,requests-answered,rackconnect");
        let expected = [
            ("host-network-data", "fail BC764E203B70 the host's data for BC764E203B70 is invalid"),
            ("provider-known", "note - the host says that its provider is \"xcp\""),
            ("rackconnect", "note - RackConnect v2 automation manages this server's network"),
            ("requests-answered", "fail 11111111-1111-4111-8111-111111111111 a malformed request is stuck"),
        ];
        let expected = expected.map(|(id, words)| (id.to_owned(), vec![words.to_owned()]));
        assert_eq!(found, BTreeMap::from(expected), "{kind:?}");
        store.remove("/local/domain/7/vm-data/networking");
        assert_eq!(of(&guest, "host-network-data"), ["fail - the host gives no network data"]);
    }
}

#[test]
fn a_request_that_nobody_takes_up_is_told() {
    let Some((store, guest)) = guest(Kind::C) else { return };
    let request = r#"{"name": "version", "value": "agent"}"#;
    store.write("/local/domain/7/data/host/22222222-2222-4222-8222-222222222222", request);
    let found = of(&guest, "requests-answered");
    assert_eq!(
        found,
        ["fail 22222222-2222-4222-8222-222222222222 a version request waits, and no agent runs"]
    );
}

#[test]
fn answers_that_pile_up_are_told_also_when_their_list_is_longer_than_a_message() {
    for kind in KINDS {
        let Some((store, guest)) = guest(kind) else { return };
        let path = |n: usize| format!("/local/domain/7/data/guest/33333333-3333-4333-8333-{n:012}");
        let paths: Vec<String> = (0..201).map(path).collect();
        let nodes: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "{}")).collect();
        store.write_all(&nodes);
        // Debian's oxenstored 4.17 cannot list them any more.
        let expected = match kind {
            Kind::C => "warn - 201 old answers lie in data/guest",
            Kind::Ocaml => "warn - more old answers lie in data/guest than a listing holds",
        };
        assert_eq!(of(&guest, "answers-collected"), [expected]);
    }
}

#[test]
fn old_answers_are_removed_and_what_is_new_is_left_to_the_host() {
    // both daemons at the same time: each is waited for
    let alone = Command::new("unshare").args(["--mount", "true"]).status();
    if !alone.is_ok_and(|status| status.success()) {
        lab::skipped::<()>("no mount namespace without root");
        return;
    }
    std::thread::scope(|scope| {
        for kind in KINDS {
            scope.spawn(move || old_answers_are_removed(kind));
        }
    });
}

fn old_answers_are_removed(kind: Kind) {
    let Some((store, guest)) = guest(kind) else { return };
    let id = |n: usize| format!("33333333-3333-4333-8333-{n:012}");
    let path = |n: usize| format!("/local/domain/7/data/guest/{}", id(n));
    let paths: Vec<String> = (0..201).map(path).collect();
    let nodes: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "{}")).collect();
    store.write_all(&nodes);
    let request = |n: usize| format!("/local/domain/7/data/host/{}", id(n));
    // answered, and not removed yet; where all have to go at once nothing may wait
    let kept: &[usize] = if kind == Kind::C { &[7] } else { &[] };
    kept.iter().for_each(|n| store.write(&request(*n), "{}"));
    let novactl = |arguments: &[&str]| {
        // the journal is that of the running system, which the test leaves alone
        let alone = "mount -t tmpfs none /var/lib && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", alone, "sh", env!("CARGO_BIN_EXE_novactl")]);
        command.args(arguments).arg("--xenstore").arg(&guest).output().unwrap()
    };
    let output = novactl(&["doctor", "--fix", "--yes", "--only", "answers-collected", "--format", "json"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{kind:?}: {told} {}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["verified"][0]["status"], "ok", "{kind:?}: {told}");
    let left = [0, 7, 110, 200].into_iter().filter(|n| store.read(&path(*n)).is_some());
    assert_eq!(left.collect::<Vec<_>>(), kept, "{kind:?}");
    // the guest can answer again, and the host read it
    store.write(&request(900), "{}");
    assert!(novactl(&["agent", "refuse", &id(900), "--yes"]).status.success(), "{kind:?}");
    assert!(store.read(&path(900)).is_some_and(|answer| answer.contains("500")), "{kind:?}");
}

#[test]
fn a_store_that_hangs_fails_and_blocks_what_needs_it() {
    let Some((store, guest)) = guest(Kind::C) else { return };
    store.freeze();
    let found = findings(&guest, "xenstore-reachable,provider-known,host-network-data");
    store.thaw();
    let blocked = "blocked - not looked at: xenstore-reachable comes first";
    let expected = [
        ("host-network-data", blocked),
        ("provider-known", blocked),
        ("xenstore-reachable", "fail - XenStore does not answer"),
    ];
    let expected = expected.map(|(id, words)| (id.to_owned(), vec![words.to_owned()]));
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn the_chain_is_shown_from_the_hypervisor_to_the_host() {
    let Some((_store, guest)) = guest(Kind::C) else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    let output = command.args(["check-xentools", "--xenstore"]).arg(&guest).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let links =
        ["hypervisor", "device", "kernel", "XenStore", "installed", "at boot", "running", "reporting"];
    let names: Vec<&str> = text.lines().filter_map(|line| line.get(9..22).map(str::trim)).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| links.contains(name)).collect();
    assert_eq!(names, links, "{text}");
    assert!(text.contains("ok       XenStore      XenStore answers in "), "{text}");
}
