//! The static binary and the XenStore client in a real Xen guest, with its kernel's device and a real vif.
//!
//! Takes about a minute. `NOVACTL_STATIC` names the binary; without it one is built. To look at another command in the
//! guest, add it to `GUEST` and its assertions below.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test makes files and drives programs")]

mod lab;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use novactl::xenstore::{self, Access, Error, Permission, Source};
use serde_json::{Value, json};

/// What runs in the guest. Whatever `show NAME PROGRAM...` runs comes back under its name; base64, because the
/// console changes line ends and the kernel writes there too.
const GUEST: &str = r#"
show() {
  name=$1
  shift
  "$@" >/tmp/out 2>/tmp/err
  echo "BEGIN $name $?"
  cat /tmp/out | base64 | sed 's/^/OUT /'
  cat /tmp/err | base64 | sed 's/^/ERR /'
  echo "END $name"
}
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

/// What a program in the guest left behind.
#[derive(Debug)]
struct Shown {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Shown {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

#[test]
fn in_a_real_guest_the_client_and_the_commands_tell_the_truth() {
    let Some(shown) = boot() else { return };
    let client = &shown["client"];
    assert!(client.stdout.contains("test result: ok. 1 passed"), "{client:#?}");

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

/// Boots Xen and returns what the guest showed, by name; `None` where that cannot be done here.
fn boot() -> Option<HashMap<String, Shown>> {
    let script = lab::scripts().join("xen-in-qemu.sh");
    let fetched = run(Command::new(&script).arg("fetch"));
    if let Err(why) = fetched {
        return lab::skipped(&why);
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(&lab::static_novactl(), &root.join("novactl"));
    put(&std::env::current_exe().unwrap(), &root.join("xen_guest"));
    put_libraries(root);
    std::fs::write(root.join("test.sh"), GUEST).unwrap();
    let console = run(Command::new(&script).arg("boot").arg(root)).unwrap();
    let shown = parse(&console);
    assert!(!shown.is_empty(), "the guest showed nothing:\n{console}");
    Some(shown)
}

/// Copies a program into the guest's root without its symbols, which would fill the guest's memory.
fn put(program: &Path, place: &Path) {
    run(Command::new("strip").arg("-o").arg(place).arg(program)).unwrap();
}

/// Copies the libraries of this very program, which is not static.
fn put_libraries(root: &Path) {
    let needed = run(Command::new("ldd").arg(std::env::current_exe().unwrap())).unwrap();
    for path in needed.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(path, place).unwrap();
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&text)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(console: &str) -> HashMap<String, Shown> {
    let mut shown = HashMap::new();
    let mut lines = console.lines().map(str::trim).skip_while(|line| *line != "GUEST BEGIN");
    while let Some(line) = lines.next() {
        let Some((name, status)) = line.strip_prefix("BEGIN ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let end = format!("END {name}");
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        let stream = |prefix| body.iter().filter_map(|line| line.strip_prefix(prefix)).collect::<String>();
        let one = Shown {
            status: status.parse().unwrap(),
            stdout: decode(&stream("OUT ")),
            stderr: decode(&stream("ERR ")),
        };
        shown.insert(name.to_owned(), one);
    }
    shown
}

/// Decodes base64 without a crate for it.
fn decode(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> =
        text.chars().filter_map(|c| ALPHABET.find(c)).map(|digit| u32::try_from(digit).unwrap()).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (place, digit)| bits | digit << (18 - 6 * place));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn base64_of_the_guest_is_decoded() {
    for (encoded, text) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("eyJhIjogIsO8In0K", "{\"a\": \"ü\"}\n")]
    {
        assert_eq!(decode(encoded), text);
    }
}
