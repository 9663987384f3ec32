//! Servers built of the image of a server whose agent is broken: real Debian 12 systems with their roots on disks, booted
//! as guests of real Xen, whose dom0 plays the host.
//!
//! Server A was configured while its agent worked, which then lost a module of Python; its disk is copied twice. B is the
//! copy as it is: it comes up with A's addresses and password, `doctor` says so, on the disk and on the server, and
//! mends it. C is the copy of the disk after `fix-image`: it becomes what the host says by itself. Takes about two minutes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

#[path = "lab/container.rs"]
mod container;
#[path = "lab/guest.rs"]
mod guest;
mod lab;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use container::put;
use guest::{Guest, Shown};
use serde_json::{Value, json};

const OLD_PASSWORD: &str = "of the source";
const NEW_PASSWORD: &str = "of the copy";

/// What dom0 does; records and passwords come before it.
const HOST: &str = r#"
. /root/show
. /root/nova
. /root/servers
# no judgement on speed: two servers boot at once under emulation
limit=200
server a /dev/vda bc:76:4e:20:00:0a "$record_a" web-a
show a-version version
show a-password password "$old_password" 846301229938405217769281 sha256
show a-network ask resetnetwork ""
xenstore-write $home/vm-data/lab done
ended a

dd if=/dev/vda of=/dev/vdb bs=1M
show b-disk /run/lab/novactl doctor --disk /dev/vdb --xenstore /run/lab/b.json --format json
show fix-image /run/lab/novactl fix-image --install-agent --yes --disk /dev/vda
dd if=/dev/vda of=/dev/vdc bs=1M

server b /dev/vdb bc:76:4e:20:00:0b "$record_b" web-b
xenstore-write $home/data/host/11111111-1111-4111-8111-111111111111 '{"name": "version", "value": "agent"}'
server c /dev/vdc bc:76:4e:20:00:0c "$record_c" web-c
show c-version version
show c-password password "$new_password" 5550123456789 sha256
show c-network ask resetnetwork ""
xenstore-write $home/vm-data/lab done
ended c
ended b
show b-disk-mended /run/lab/novactl doctor --disk /dev/vdb --xenstore /run/lab/b.json --format json
"#;

/// What the servers do when they have booted.
const SERVERS: &str = r#"
until_host() {
  until [ "$(xenstore-read vm-data/lab 2>/dev/null)" = done ]; do sleep .5; done
}
look() {
  show $of-addresses ip -o -4 address show scope global
  show $of-routes ip -4 route show default
  show $of-name cat /etc/hostname
  show $of-shadow cat /etc/shadow
}
# A check has two seconds, which under emulation on a busy machine are too few: once more where one is left open.
judged() {
  for _ in 1 2 3 4 5; do
    "$@" >/run/lab/judged
    grep -q '"status": "unknown"' /run/lab/judged || break
  done
  cat /run/lab/judged
}
case $1 in
a)
  # an agent that works, in the place of the one that no longer will
  novactl agent run --log-file /run/lab/agent.log &
  until_host
  of=a look
  kill $!
  ;;
b)
  of=b look
  show b-doctor judged novactl doctor --format json
  show b-fix judged novactl doctor --fix --yes --format json
  of=b-mended look
  show b-again judged novactl doctor --format json
  ;;
c)
  until_host
  of=c look
  show c-doctor judged novactl doctor --format json
  ;;
esac
"#;

/// What the host assigns to a NIC.
fn record(mac: &str, net: &str) -> String {
    let gateway = format!("10.0.{net}.1");
    json!({
        "label": "public", "mac": mac, "gateway": gateway, "broadcast": format!("10.0.{net}.255"),
        "ips": [{"ip": format!("10.0.{net}.5"), "netmask": "255.255.255.0", "enabled": "1", "gateway": gateway}],
        "dns": ["10.0.0.2"],
    })
    .to_string()
}

/// Makes the disk of a Debian 12 with ifupdown, on which nova-agent 2.x does not find a module that it needs.
fn disk(dir: &Path) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() || Command::new("mmdebstrap").arg("--version").output().is_err()
    {
        return lab::skipped("making a real root takes root and mmdebstrap");
    }
    let made =
        Command::new(lab::scripts().join("debian-tree.sh")).arg("without-cloud-init").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let root = dir.join("root");
    let stock = String::from_utf8(made.stdout).unwrap();
    succeeds(Command::new("cp").arg("-a").arg(stock.trim_end()).arg(&root));
    container::break_agent(&root);
    let mut zip = Command::new("python3");
    zip.args(["-m", "zipapp", "-c", "-p", "/usr/bin/env python3", "-o"]).arg(root.join("usr/bin/nova-agent"));
    succeeds(zip.arg(lab::scripts().join("nova-agent")));
    fs::remove_dir_all(root.join("usr/lib/python3/dist-packages/cryptography")).unwrap();
    put(&root, "etc/fstab", 0o644, "LABEL=root / ext4 defaults 0 1\n");
    put(&root, "etc/machine-id", 0o444, "0123456789abcdef0123456789abcdef\n");
    let disk = dir.join("a.img");
    succeeds(Command::new("truncate").args(["-s", "400M"]).arg(&disk));
    succeeds(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-L", "root", "-d"]).arg(&root).arg(&disk));
    fs::remove_dir_all(&root).unwrap();
    Some(disk)
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:#?}");
}

#[test]
fn a_clone_of_a_broken_server_has_its_addresses_until_doctor_or_fix_image_mends_it() {
    let Some(guest) = Guest::new() else { return };
    let lab_dir = std::env::var_os("NOVACTL_LAB")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab"), PathBuf::from);
    let dir = tempfile::tempdir_in(lab_dir).unwrap();
    let Some(a) = disk(dir.path()) else { return };
    let copies = ["b.img", "c.img"].map(|name| dir.path().join(name));
    for copy in &copies {
        fs::File::create(copy).unwrap().set_len(fs::metadata(&a).unwrap().len()).unwrap();
    }
    let mac = |server: char| format!("BC:76:4E:20:00:0{}", server.to_ascii_uppercase());
    let records =
        [('a', "0"), ('b', "7"), ('c', "9")].map(|(server, net)| (server, record(&mac(server), net)));
    let dump = json!({"vm-data": {"networking": {"BC764E20000B": records[1].1}, "hostname": "web-b"}});
    guest.write("b.json", &dump.to_string());
    let mut host = format!("old_password='{OLD_PASSWORD}'\nnew_password='{NEW_PASSWORD}'\n");
    host.extend(records.iter().map(|(server, record)| format!("record_{server}='{record}'\n")));

    let shown = guest.servers(SERVERS, &(host + HOST), &[&a, &copies[0], &copies[1]]);
    let all = All(&shown);

    // A is what its host says
    for command in ["a-version", "a-password", "a-network"] {
        assert!(all.text(command).contains(r#""returncode": "0""#), "{command}: {shown:#?}");
    }
    all.is("a", "10.0.0", "web-a", OLD_PASSWORD);

    // B is A, and doctor says so, on its disk and on it
    all.is("b", "10.0.0", "web-a", OLD_PASSWORD);
    for (doctor, source) in
        [("b-disk", "configuration of ifupdown"), ("b-doctor", "ip address show dev eth0")]
    {
        let report = all.json(doctor);
        assert_eq!(report["verdict"], "broken", "{report:#}");
        let found = finding(&report, "addresses-match-host-data");
        assert_eq!((&found["status"], &found["subject"]), (&json!("fail"), &json!("eth0")), "{found:#}");
        let evidence = json!([
            {"source": "vm-data/networking/BC764E20000B", "text": "10.0.7.5/24"},
            {"source": source, "text": "10.0.0.5/24"},
        ]);
        assert_eq!(found["evidence"], evidence, "{found:#}");
        let cause = finding(&report, "agent-interpreter");
        assert_eq!(cause["status"], "fail", "{report:#}");
        assert_eq!(cause["title"], "Python 3.11 of the agent lacks cryptography");
    }
    assert_eq!(finding(&all.json("b-doctor"), "requests-answered")["status"], "fail", "the host waits");

    // mended, it is what its host says, on its disk as well; its password and name are set when the host asks
    let fixed = all.json("b-fix");
    assert!(["applied", "nothing-to-do"].iter().any(|result| fixed["result"] == *result), "{fixed:#}");
    all.is("b-mended", "10.0.7", "web-a", OLD_PASSWORD);
    all.is_healthy("b-again");
    all.is_healthy("b-disk-mended");

    // C, of the mended disk, becomes what its host says
    assert!(all.text("fix-image").contains("DONE"), "{:#?}", shown["fix-image"]);
    for command in ["c-version", "c-password", "c-network"] {
        assert!(all.text(command).contains(r#""returncode": "0""#), "{command}: {shown:#?}");
    }
    all.is("c", "10.0.9", "web-c", NEW_PASSWORD);
    all.is_healthy("c-doctor");
}

/// What was shown.
struct All<'s>(&'s HashMap<String, Shown>);

impl All<'_> {
    fn of(&self, name: &str) -> &Shown {
        self.0.get(name).unwrap_or_else(|| panic!("no {name}: {:#?}", self.0))
    }

    fn text(&self, name: &str) -> &str {
        &self.of(name).stdout
    }

    fn json(&self, name: &str) -> Value {
        self.of(name).json()
    }

    /// Nothing fails, and the network was looked at.
    fn is_healthy(&self, doctor: &str) {
        let report = self.json(doctor);
        let failed =
            report["findings"].as_array().unwrap().iter().find(|finding| finding["status"] == "fail");
        assert_eq!(failed, None, "{doctor}: {report:#}");
        for id in ["addresses-match-host-data", "routes-match-host-data"] {
            assert_eq!(finding(&report, id)["status"], "ok", "{doctor}: {report:#}");
        }
    }

    /// A server has one address of this network, its gateway, this name and this password of root.
    fn is(&self, name: &str, net: &str, hostname: &str, password: &str) {
        let of = |what: &str| self.text(&format!("{name}-{what}"));
        let addresses = of("addresses");
        let wanted = format!("eth0    inet {net}.5/24 ");
        assert!(addresses.lines().count() == 1 && addresses.contains(&wanted), "{name}: {addresses}");
        assert!(of("routes").starts_with(&format!("default via {net}.1 ")), "{name}: {}", of("routes"));
        assert_eq!(of("name").trim_end(), hostname, "{name}");
        let hash = of("shadow").lines().find_map(|line| line.strip_prefix("root:")?.split(':').next());
        assert!(lab::is_hash_of(hash.unwrap(), password), "{name}: {hash:?}");
    }
}

fn finding<'r>(report: &'r Value, id: &str) -> &'r Value {
    let found = report["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {report:#}"))
}
