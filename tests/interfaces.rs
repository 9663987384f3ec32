//! `scan-ifaces` on real links: every test makes them in a network namespace of its own, where it harms nothing.
//!
//! They need root, `unshare` and `ip`. A kind of link that this kernel cannot make is left out, and said.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, runs what it tests and says what it skips"
)]

mod lab;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const PUBLIC: &str = "bc:76:4e:20:75:72";

/// What the host assigns: the public NIC with IPv6, and a private one that is not there.
fn dump(dir: &Path) -> String {
    let nics = json!({ "vm-data": { "networking": {
        "BC764E207572": json!({
            "label": "public", "mac": "BC:76:4E:20:75:72", "gateway": "104.130.4.1", "gateway_v6": "fe80::def",
            "ips": [{ "ip": "104.130.4.72", "netmask": "255.255.255.0", "enabled": "1", "gateway": "104.130.4.1" }],
            "ip6s": [{ "ip": "2001:4802:7802:104::72", "netmask": 64, "enabled": "1", "gateway": "fe80::def" }],
        }).to_string(),
        "BC764E203B70": json!({ "label": "db-net", "mac": "BC:76:4E:20:3B:70" }).to_string(),
    } } });
    let path = dir.join("store.json");
    std::fs::write(&path, nics.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs a script in a namespace of its own, with the program as `$novactl`; `None` where none can be made.
fn in_namespace(script: &str) -> Option<Output> {
    let whole = format!("set -e; mount -t sysfs sysfs /sys; ip link set lo up; {script}");
    let output = Command::new("unshare")
        .args(["-n", "-m", "--propagation", "private", "sh", "-c", &whole])
        .env("novactl", env!("CARGO_BIN_EXE_novactl"))
        .env_remove("XENSTORED_PATH")
        .env_remove("CLICOLOR_FORCE")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(e) => return skipped(&format!("unshare: {e}")),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("unshare failed")
        || stderr.contains("permission denied")
        || stderr.contains("ip: not found")
    {
        return skipped(&format!("no network namespace: {}", stderr.trim()));
    }
    for kind in stderr.lines().filter_map(|line| line.strip_prefix("no ")) {
        println!("left out: this kernel makes no {kind}");
    }
    Some(output)
}

fn skipped<T>(why: &str) -> Option<T> {
    println!("skipped: {why}");
    None
}

/// The document, which must fit its schema.
fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{stderr}"));
    let mut schemas = boon::Schemas::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/interfaces.json");
    let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
    if let Err(e) = schemas.validate(&document, schema) {
        panic!("{e:#}");
    }
    document
}

fn interface<'d>(document: &'d Value, name: &str) -> &'d Value {
    let all = document["interfaces"].as_array().unwrap();
    all.iter()
        .find(|interface| interface["name"] == name)
        .unwrap_or_else(|| panic!("no {name}: {document:#}"))
}

fn finding<'d>(document: &'d Value, id: &str) -> &'d Value {
    document["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == id).unwrap()
}

/// Asserts these members of an interface.
fn assert_is(document: &Value, name: &str, want: &[(&str, Value)]) {
    let interface = interface(document, name);
    for (member, value) in want {
        assert_eq!(&interface[member], value, "{member} of {name}: {interface:#}");
    }
}

#[test]
fn each_kind_of_link_is_told_by_the_kernel_s_facts() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "ip link add tap9 type veth peer name p0
        ip link set tap9 address {PUBLIC}
        ip link set tap9 name eth0
        ip link set eth0 up; ip link set p0 up
        ip addr add 104.130.4.72/24 dev eth0
        ip link add docker0 type bridge
        ip link set p0 master docker0
        ip link add br0 address {PUBLIC} type bridge
        ip tuntap add eth7 mode tun
        ip tuntap add tun7 mode tap
        ip link add mv0 link eth0 type macvlan || echo no macvlan >&2
        ip link add ifb9 type ifb || echo no ifb >&2
        ip link add vlan5 link eth0 type vlan id 5 || echo no vlan >&2
        ip link add wg0 type wireguard || echo no wireguard >&2
        ip link add bond0 type bond || echo no bond >&2
        $novactl scan-ifaces --format json --xenstore {}",
        dump(dir.path())
    );
    let Some(output) = in_namespace(&script) else { return };
    let document = document(&output);
    assert_eq!(output.status.code(), Some(0), "{document:#}");
    let null = Value::Null;

    assert_is(
        &document,
        "lo",
        &[("kind", json!("loopback")), ("verdict", json!("loopback")), ("mac", null.clone())],
    );
    assert_is(
        &document,
        "eth0",
        &[
            ("kind", json!("veth")),
            ("mac", json!(PUBLIC)),
            ("state", json!("up")),
            ("lower", null.clone()),
            ("host", json!({ "key": "BC764E207572", "label": "public" })),
            ("public", json!(true)),
            ("verdict", json!("host")),
            ("crashes", json!([])),
        ],
    );
    let addresses = interface(&document, "eth0")["addresses"].as_array().unwrap();
    assert!(addresses.contains(&json!("104.130.4.72/24")), "{addresses:?}");
    assert_is(&document, "docker0", &[("kind", json!("bridge")), ("verdict", json!("unexpected"))]);
    assert_is(&document, "p0", &[("master", json!("docker0")), ("verdict", json!("port"))]);
    assert_is(
        &document,
        "br0",
        &[
            ("kind", json!("bridge")),
            ("verdict", json!("shares-mac")),
            (
                "note",
                json!(
                    "nova-agent 2.x gives br0 a copy of eth0's addresses, 1.x configures br0 instead of eth0"
                ),
            ),
        ],
    );
    // the names lie
    let old = json!(["nova-agent 1.x below 1.39.1"]);
    assert_is(&document, "eth7", &[("kind", json!("tun")), ("mac", null.clone()), ("crashes", old.clone())]);
    assert_is(
        &document,
        "tun7",
        &[("kind", json!("tap")), ("verdict", json!("unexpected")), ("crashes", old)],
    );
    for (name, kind, lower) in [
        ("mv0", "macvlan", json!("eth0")),
        ("ifb9", "ifb", null.clone()),
        ("vlan5", "vlan", json!("eth0")),
        ("wg0", "wireguard", null.clone()),
        ("bond0", "bond", null.clone()),
    ] {
        if document["interfaces"].as_array().unwrap().iter().any(|interface| interface["name"] == name) {
            assert_is(&document, name, &[("kind", json!(kind)), ("lower", lower)]);
        }
    }
    assert_eq!(document["missing"], json!([{ "key": "BC764E203B70", "label": "db-net" }]));
    assert_eq!(finding(&document, "nics-match-host-data")["subject"], "BC764E203B70");
    assert_eq!(finding(&document, "mac-unique")["title"], "br0 (bridge) has the MAC of eth0");
    assert_eq!(finding(&document, "unexpected-interfaces")["status"], "note");
}

#[test]
fn a_record_that_cannot_be_read_is_said_beside_its_nic() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store.json");
    let records = json!({ "vm-data": { "networking": { "BC764E207572": "{\"label\": \"pub" } } });
    std::fs::write(&store, records.to_string()).unwrap();
    let script = format!(
        "ip link add eth0 address {PUBLIC} type veth peer name p0
        $novactl scan-ifaces --format json --xenstore {}",
        store.display()
    );
    let Some(output) = in_namespace(&script) else { return };
    let document = document(&output);
    assert_is(&document, "eth0", &[("verdict", json!("host"))]);
    let note = interface(&document, "eth0")["note"].as_str().unwrap_or_default();
    assert!(note.starts_with("the host's record of it: not JSON"), "{note}");
}

#[test]
fn what_turned_ipv6_off_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "ip link add eth0 address {PUBLIC} type veth peer name p0
        echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
        $novactl scan-ifaces --format json --xenstore {}",
        dump(dir.path())
    );
    let Some(output) = in_namespace(&script) else { return };
    let document = document(&output);
    let ipv6 = &interface(&document, "eth0")["ipv6"];
    assert_eq!(ipv6["enabled"], false);
    let switch = json!({ "source": "proc/sys/net/ipv6/conf/eth0/disable_ipv6", "text": "1" });
    assert_eq!(ipv6["disabled_by"][0], switch);
    assert_eq!(interface(&document, "p0")["ipv6"]["enabled"], true);
    let finding = finding(&document, "ipv6-enabled-public");
    assert_eq!((&finding["status"], &finding["subject"]), (&json!("warn"), &json!("eth0")));
    assert_eq!(
        finding["remedy"]["commands"][0],
        json!(["sysctl", "-w", "net/ipv6/conf/eth0/disable_ipv6=0"])
    );
}

#[test]
fn ipv6_is_switched_on_for_the_public_nic_now_and_for_the_next_boot() {
    let sysctl = ["/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"];
    let Some(sysctl) = sysctl.into_iter().find(|path| Path::new(path).exists()) else {
        skipped::<()>("no systemd-sysctl");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let dump = dump(dir.path());
    let script = format!(
        "for dir in /var/lib /etc/sysctl.d /usr/lib/sysctl.d; do mount -t tmpfs none $dir; done
        conf=/proc/sys/net/ipv6/conf file=/etc/sysctl.d/60-hardening.conf
        say() {{ echo \"$1 $(cat $conf/eth0/disable_ipv6) $(cat $conf/p0/disable_ipv6) $(tr '\\n' ';' <$file)\"; }}
        boot() {{ for link in all eth0 p0; do echo 0 >$conf/$link/disable_ipv6; done; {sysctl}; }}
        ip link add eth0 address {PUBLIC} type veth peer name p0
        printf 'net.ipv6.conf.eth0.disable_ipv6=0\nnet.ipv6.conf.all.disable_ipv6=1\n' >$file
        boot; say before
        fix() {{ $novactl doctor --fix --yes --only ipv6-enabled-public --xenstore {dump} >&2; }}
        fix; say fixed
        ip address add 2001:4802:7802:104::72/64 dev eth0
        boot; say booted
        fix; say again
        ip address flush dev eth0
        $novactl undo --yes >&2; say undone"
    );
    let Some(output) = in_namespace(&script) else { return };
    let told = String::from_utf8(output.stdout).unwrap();
    let hardened = "net.ipv6.conf.eth0.disable_ipv6=0;net.ipv6.conf.all.disable_ipv6=1;";
    let mended = "net.ipv6.conf.all.disable_ipv6=1;net.ipv6.conf.eth0.disable_ipv6 = 0;";
    let want = [
        format!("before 1 1 {hardened}"),
        format!("fixed 0 1 {mended}"),
        format!("booted 0 1 {mended}"),
        format!("again 0 1 {mended}"),
        format!("undone 1 1 {hardened}"),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), want, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_root_and_without_a_store_a_nic_has_no_verdict() {
    let script = "ip link add eth0 type veth peer name p0
        ip tuntap add tun0 mode tun
        setpriv --reuid=65534 --regid=65534 --clear-groups $novactl scan-ifaces --format json";
    let Some(output) = in_namespace(script) else { return };
    if String::from_utf8_lossy(&output.stderr).contains("setpriv: failed to execute") {
        println!("skipped: the build directory is closed to others");
        return;
    }
    let document = document(&output);
    assert_eq!(output.status.code(), Some(0));
    // a veth is no NIC unless the host says so
    assert_is(&document, "eth0", &[("verdict", json!("unexpected")), ("host", Value::Null)]);
    assert_is(&document, "tun0", &[("kind", json!("tun"))]);
    assert_eq!(finding(&document, "nics-match-host-data")["status"], "skipped");
}

#[test]
fn many_links_are_counted_by_kind_until_more_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = dump(dir.path());
    let links = "for n in $(seq 30); do echo link add veth$n type veth peer name peer$n; done | ip -batch -";
    let run = |arguments: &str| {
        in_namespace(&format!(
            "{links}\nip link add eth0 address {PUBLIC} type veth peer name p0\n$novactl scan-ifaces --xenstore {store} {arguments}"
        ))
    };
    let (Some(short), Some(long)) = (run(""), run("-v")) else { return };
    let text = String::from_utf8(short.stdout).unwrap();
    assert!(text.lines().any(|line| line == "and unexpected or ports: 61 veth (-v lists them)"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("veth1 ")), "{text}");
    for line in text.lines().filter(|line| !line.trim_start().starts_with("$ ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let text = String::from_utf8(long.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("veth1 ")), "{text}");
}

#[test]
fn the_table_says_which_nic_is_which() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "ip link add eth0 address {PUBLIC} type veth peer name p0
        ip tuntap add tun0 mode tun
        $novactl scan-ifaces --xenstore {}",
        dump(dir.path())
    );
    let Some(output) = in_namespace(&script) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("eth0") || line.starts_with("tun0")).collect();
    let words: Vec<Vec<&str>> = rows.iter().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["eth0", "veth", PUBLIC, "down", "on", "public", "host"], "{text}");
    assert_eq!(words[1], ["tun0", "tun", "-", "down", "on", "-", "unexpected"], "{text}");
    assert!(text.contains("    crashes nova-agent 1.x below 1.39.1\n"), "{text}");
    assert!(text.contains("missing: BC764E203B70 (db-net)"), "{text}");
}

#[test]
fn a_monitoring_system_gets_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "ip link add eth0 address {PUBLIC} type veth peer name p0
        $novactl scan-ifaces --format nagios --xenstore {}",
        dump(dir.path())
    );
    let Some(output) = in_namespace(&script) else { return };
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    let start =
        "INTERFACES WARNING - the host assigns a NIC BC764E203B70 (db-net) that is not there, 3 interfaces";
    assert!(line.starts_with(start), "{line}");
    assert!(line.ends_with("| interfaces=3 host=1 unexpected=1 missing=1 fail=0 warn=1\n"), "{line}");
}

#[test]
fn a_mounted_root_shows_what_will_be_made_at_boot() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for (path, text) in [
        ("usr/sbin/ifup", ""),
        (
            "etc/network/interfaces",
            "auto eth0 br0\niface eth0 inet static\n address 104.130.4.72/24\niface br0 inet manual\n bridge_ports none\n",
        ),
        ("etc/sysctl.conf", "net.ipv6.conf.eth0.disable_ipv6 = 1\n"),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(["scan-ifaces", "--format", "json", "--xenstore", &dump(dir.path()), "--root"])
        .arg(&root)
        .output()
        .unwrap();
    let document = document(&output);
    assert_is(
        &document,
        "eth0",
        &[
            ("kind", json!("ethernet")),
            ("verdict", json!("host")),
            ("public", json!(true)),
            ("state", json!("unknown")),
        ],
    );
    let by = json!([{ "source": "etc/sysctl.conf:1", "text": "net.ipv6.conf.eth0.disable_ipv6 = 1" }]);
    assert_eq!(interface(&document, "eth0")["ipv6"], json!({ "enabled": false, "disabled_by": by }));
    assert_is(
        &document,
        "br0",
        &[("kind", json!("bridge")), ("note", json!("made at boot by etc/network/interfaces:5"))],
    );
    assert_eq!(document["missing"], json!([]));
}

#[test]
fn a_root_without_any_word_of_an_interface_cannot_be_judged() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(["scan-ifaces", "--root"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_real_daemons_say_what_the_host_assigns_to_dom0_and_to_a_guest() {
    const RECORD: &str = r#"{"label": "public", "mac": "BC:76:4E:20:75:72", "ips": [{"ip": "203.0.113.7", "netmask": "255.255.255.0", "enabled": "1"}]}"#;
    for kind in lab::KINDS {
        let Some(store) = lab::Store::start(kind) else { return };
        let guest = store.domu(7);
        for (socket, domain) in [(store.socket(), 0), (guest, 7)] {
            store.write(&format!("/local/domain/{domain}/vm-data/networking/BC764E207572"), RECORD);
            let script = format!(
                "ip link add eth0 address {PUBLIC} type veth peer name p0
                ip tuntap add tun0 mode tun
                ip tuntap add tap0 mode tap
                ip link add br0 type bridge
                ip link add macv0 link p0 type macvlan 2>/dev/null || true
                $novactl check-xentools --format json --xenstore {0} >{1}/chain.json || true
                $novactl scan-ifaces --format json --xenstore {0}",
                socket.display(),
                socket.parent().unwrap().display()
            );
            let Some(output) = in_namespace(&script) else { return };
            let document = document(&output);
            let host = json!({ "key": "BC764E207572", "label": "public" });
            assert_is(
                &document,
                "eth0",
                &[("kind", "veth".into()), ("verdict", "host".into()), ("host", host)],
            );
            assert_is(&document, "tun0", &[("kind", "tun".into()), ("verdict", "unexpected".into())]);
            assert_is(&document, "tap0", &[("kind", "tap".into()), ("verdict", "unexpected".into())]);
            assert_is(&document, "br0", &[("kind", "bridge".into()), ("verdict", "unexpected".into())]);
            let chain = std::fs::read(socket.parent().unwrap().join("chain.json")).unwrap();
            let chain: Value = serde_json::from_slice(&chain).unwrap();
            assert_eq!(finding(&chain, "xenstore-reachable")["status"], "ok", "{chain:#}");
        }
    }
}
