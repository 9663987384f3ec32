//! The static binary and the XenStore client in a real Xen guest, with its kernel's device and a real vif.
//!
//! Takes about a minute; the agent has a boot of its own (xen_agent.rs). To look at another command in the
//! guest, add it to `GUEST` and its assertions below.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test makes files and drives programs")]

#[path = "lab/guest.rs"]
mod guest;
mod lab;

use std::time::Duration;

use guest::Guest;
use novactl::xenstore::{self, Access, Error, Permission, Source};
use serde_json::{Value, json};

/// What runs in the guest; what it shows comes back (tests/lab/xen/show).
const GUEST: &str = r#"
. /root/show
# No agent yet: what dom0 asks stays.
until [ -n "$(xenstore-list data/host 2>/dev/null)" ]; do sleep .5; done
show stuck /novactl doctor --format json --only requests-answered
xenstore-rm data/host/$(xenstore-list data/host)
show removed /novactl doctor --format json --only requests-answered
# A clock of its own, as every guest has, set to a time before everything that was written here.
mkdir -p /var/log
echo >/var/log/messages
show clock-right /novactl doctor --format json --only clock
now=$(date +%s)
date -s @1000000000
show clock-wrong /novactl doctor --format json --only clock
date -s @$now
show clock-set /novactl doctor --format json --only clock
# An agent: answers what it is asked.
agent() {
  while sleep .5; do
    for id in $(xenstore-list data/host 2>/dev/null); do
      xenstore-write data/guest/$id '{"returncode": "0", "message": "2.1.25"}'
      xenstore-rm data/host/$id
    done
  done
}
agent &
ip address add 10.0.0.5/24 dev eth0
ip link set eth0 up
show client /xen_guest --ignored --exact the_client_on_the_kernels_device --nocapture --test-threads=1
show version /novactl --version
show doctor /novactl doctor --format json
show check-xentools /novactl check-xentools --format json
show scan-ifaces /novactl scan-ifaces --format json
"#;

/// What dom0 does meanwhile.
const HOST: &str = r#"
xenstore-write $home/data/host/11111111-1111-4111-8111-111111111111 '{"name": "version", "value": "agent"}'
"#;

#[test]
fn in_a_real_guest_the_client_and_the_commands_tell_the_truth() {
    let Some(guest) = Guest::new() else { return };
    guest.put(&std::env::current_exe().unwrap(), "xen_guest");
    let shown = guest.boot(GUEST, Some(HOST));
    let client = &shown["client"];
    assert!(client.stdout.contains("test result: ok. 1 passed"), "{client:#?}");

    for (name, id, status, title) in [
        ("stuck", "requests-answered", "fail", "a version request waits, and no agent runs"),
        ("removed", "requests-answered", "ok", "no request waits"),
        ("clock-right", "clock", "ok", "no file here is newer than the clock"),
        ("clock-wrong", "clock", "warn", "the clock is "),
        ("clock-set", "clock", "ok", "no file here is newer than the clock"),
    ] {
        let findings = shown[name].json()["findings"].clone();
        let found = finding(&findings, id);
        assert_eq!(found["status"], status, "{name}: {findings:#}");
        assert!(found["title"].as_str().unwrap().starts_with(title), "{name}: {findings:#}");
    }

    let version = &shown["version"];
    let number = format!("novactl {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.status, &*version.stdout, &*version.stderr), (0, &*number, ""));

    let doctor = &shown["doctor"];
    assert!(doctor.status <= 1, "{doctor:#?}");
    let findings = doctor.json()["findings"].clone();
    for id in ["xen-guest", "xenbus-device", "xenstore-reachable", "provider-known", "host-network-data"] {
        assert_eq!(finding(&findings, id)["status"], "ok", "{findings:#}");
    }

    let chain = &shown["check-xentools"];
    let findings = chain.json()["findings"].clone();
    let reachable = finding(&findings, "xenstore-reachable");
    assert_eq!(reachable["status"], "ok", "{reachable:#}");
    assert!(reachable.to_string().contains("/dev/xen/xenbus"), "{reachable:#}");

    let scan = shown["scan-ifaces"].json();
    let interfaces = scan["interfaces"].as_array().unwrap();
    let eth0 = interfaces.iter().find(|interface| interface["name"] == "eth0").unwrap();
    let facts = ["kind", "driver", "mac", "verdict"].map(|key| eth0[key].as_str().unwrap_or_default());
    assert_eq!(facts, ["vif", "vif", "bc:76:4e:20:00:01", "host"], "{eth0:#}");
    assert_eq!(eth0["host"], json!({ "key": "BC764E200001", "label": "public" }), "{eth0:#}");
    assert_eq!(eth0["addresses"][0], "10.0.0.5/24", "{eth0:#}");
    assert_eq!(scan["missing"], json!([]), "{scan:#}");
}

fn finding<'f>(findings: &'f Value, id: &str) -> &'f Value {
    let found = findings.as_array().unwrap().iter().find(|finding| finding["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {findings:#}"))
}

/// Runs in the guest, started by the test above.
#[test]
#[ignore = "runs in the guest that the other test boots"]
fn the_client_on_the_kernels_device() {
    let mut bus = xenstore::open(&Source::Auto).unwrap();
    assert_eq!(bus.describe(), "/dev/xen/xenbus");
    assert_eq!(bus.read_text("vm-data/hostname"), Ok("web01".to_owned()));
    assert_eq!(bus.list("vm-data/networking"), Ok(vec!["BC764E200001".to_owned()]));
    assert_eq!(bus.text_opt("vm-data/none"), Ok(None));
    assert_eq!(bus.remove("data/none/below"), Ok(()));
    assert_eq!(
        bus.permissions("vm-data").unwrap()[0],
        Permission { domain: 0, access: Access::None },
        "what the host made belongs to the host"
    );
    let denied = "the store does not let this domain do it";
    assert_eq!(
        bus.write("vm-data/hostname", b"evil"),
        Err(Error::Denied(format!("writing vm-data/hostname: {denied}")))
    );

    // a listing that does not fit, through the kernel
    let mut many = bus.list("data/many").unwrap();
    many.sort();
    let expected: Vec<String> = (1000..1200).map(|n| format!("a-name-of-some-length-{n}")).collect();
    assert_eq!(many, expected);

    // sizes: what the store refuses, and what the kernel would
    bus.write("data/x", &[b'x'; 2000]).unwrap();
    assert_eq!(bus.read("data/x").unwrap().len(), 2000);
    for size in [2048, 2049, 4080, 4096] {
        let error = bus.write("data/x", &vec![b'x'; size]).unwrap_err();
        assert!(matches!(error, Error::TooBig(_)), "{size}: {error:?}");
    }

    // a change by another client, seen through the kernel's own watches, also between request and answer
    let long = Duration::from_secs(60);
    assert_eq!(bus.wait("data/lab", long), Ok(true), "the first time is at once");
    assert_eq!(bus.wait("data/lab", Duration::from_secs(1)), Ok(false));
    let mut other = xenstore::open(&Source::Path("/proc/xen/xenbus".into())).unwrap();
    assert_eq!(other.describe(), "/proc/xen/xenbus");
    for round in 0..20 {
        other.write("data/lab/x", b"1").unwrap();
        assert_eq!(bus.read_text("data/lab/x"), Ok("1".to_owned()));
        assert_eq!(bus.wait("data/lab", long), Ok(true), "round {round}");
        other.remove("data/lab/x").unwrap();
        assert_eq!(bus.wait("data/lab", long), Ok(true), "round {round}");
    }
}
