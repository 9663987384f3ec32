//! `agent install` and `agent uninstall` on the disks of systems whose nova-agent is broken, one per init system and
//! more: installed, doctor finds the agent healthy; taken back, the tree is as it was.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "makes trees and runs what it tests")]

#[path = "guests/elf.rs"]
mod elf;
#[path = "lab/identity.rs"]
mod identity;
mod lab;
#[path = "guests/manifest.rs"]
mod manifest;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use manifest::{Guest, Manifests};
use serde_json::Value;

/// The systems, each with an agent that cannot work.
const BROKEN: &str = r#"
== centos-6-upstart
based-on: centos-6
remove usr/share/nova-agent usr/sbin/nova-agent

== ubuntu-14.04-upstart
based-on: ubuntu-14.04
remove usr/share/nova-agent/1.39.1/lib/libpython2.6.so.1.0

== centos-5-sysv
based-on: parts/base-files parts/el6-dirs parts/nova-agent-1 parts/log-1 parts/tools-sysv
remove usr/share/nova-agent/1.39.1/lib/libpython2.6.so.1.0
file etc/redhat-release
| CentOS release 5.11 (Final)
file etc/inittab
| id:3:initdefault:
| l3:3:wait:/etc/rc.d/rc 3
elf sbin/init interp=/lib64/ld-linux-x86-64.so.2 needed=libc.so.6
prog sbin/chkconfig
prog bin/bash
link bin/sh -> bash
link etc/rc.d/init.d/nova-agent -> /usr/share/nova-agent/1.39.1/etc/generic/nova-agent
link etc/rc.d/rc2.d/S14xe-linux-distribution -> ../init.d/xe-linux-distribution
link etc/rc.d/rc3.d/S14xe-linux-distribution -> ../init.d/xe-linux-distribution
link etc/rc.d/rc2.d/S15nova-agent -> ../init.d/nova-agent
link etc/rc.d/rc3.d/S15nova-agent -> ../init.d/nova-agent

== debian-7-insserv
based-on: parts/base-files parts/nova-agent-1 parts/log-1 parts/tools-sysv
remove usr/sbin/nova-agent
file etc/debian_version
| 7.11
file etc/os-release
| PRETTY_NAME="Debian GNU/Linux 7 (wheezy)"
| NAME="Debian GNU/Linux"
| VERSION_ID="7"
| ID=debian
file etc/inittab
| id:2:initdefault:
| l2:2:wait:/etc/init.d/rc 2
elf sbin/init interp=/lib64/ld-linux-x86-64.so.2 needed=libc.so.6
prog sbin/startpar
prog sbin/insserv
prog bin/bash
link bin/sh -> bash
link etc/init.d/nova-agent -> /usr/share/nova-agent/1.39.1/etc/generic/nova-agent
link etc/rc2.d/S14xe-linux-distribution -> ../init.d/xe-linux-distribution
link etc/rc3.d/S14xe-linux-distribution -> ../init.d/xe-linux-distribution
link etc/rc2.d/S15nova-agent -> ../init.d/nova-agent
link etc/rc3.d/S15nova-agent -> ../init.d/nova-agent
link etc/rc0.d/K01nova-agent -> ../init.d/nova-agent
file etc/init.d/.depend.start
| TARGETS = rsyslog xe-linux-distribution nova-agent ssh rc.local
| INTERACTIVE =
| xe-linux-distribution: rsyslog
| nova-agent: rsyslog xe-linux-distribution
| rc.local: rsyslog ssh xe-linux-distribution nova-agent
file etc/init.d/.depend.stop
| TARGETS = nova-agent xe-linux-distribution rsyslog
| rsyslog: nova-agent xe-linux-distribution
file etc/init.d/.depend.boot
| TARGETS = hostname.sh mountkernfs.sh

== alpine-openrc
based-on: alpine-3.19
remove usr/bin/nova-agent

== debian-8-systemd
based-on: debian-8
file usr/bin/nova-agent mode=0644
| not a program any more

== almalinux-9-systemd
based-on: almalinux-9
remove usr/bin/nova-agent

== almalinux-9-for-three-reasons
based-on: almalinux-9 parts/sysfs
remove etc/redhat-release
touch usr/lib64/python3.9/site-packages/netifaces.py
file sys/class/net/bonding_masters
|
zipapp usr/bin/nova-agent /usr/bin/env python3
* __main__.py
| import novaagent.novaagent
* novaagent/__init__.py
| __version__ = '2.1.22'
* novaagent/novaagent.py
* novaagent/libs/centos.py
* pyxs/__init__.py
* distro.py
"#;

/// Returns the broken systems; they are based on those of tests/guests.
fn guests() -> Vec<Guest> {
    let dir = tempfile::tempdir().unwrap();
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    for entry in std::fs::read_dir(&all).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name == "parts" || name.ends_with(".guest") {
            symlink(entry.path(), dir.path().join(name)).unwrap();
        }
    }
    std::fs::write(dir.path().join("broken.guests"), BROKEN).unwrap();
    let all = Manifests::read(dir.path()).unwrap();
    let names = all.names("").filter(|name| BROKEN.contains(&format!("== {name}\n")));
    names.map(|name| all.guest(name).unwrap()).collect()
}

#[test]
fn a_broken_agent_is_replaced_on_a_disk_and_the_disk_can_be_had_back() {
    let guests = guests();
    let program = lab::static_novactl();
    let novactl = |root: &Path, arguments: &[&str]| {
        Command::new(&program).args(arguments).arg("--root").arg(root).output().unwrap()
    };
    for guest in &guests {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        guest.unpack(root).unwrap();
        assert_ne!(verdicts(root), Vec::<String>::new(), "{} is not broken", guest.name);
        let before = identity::of(root, &["."]);

        let installed = novactl(root, &["agent", "install", "--yes"]);
        assert!(installed.status.success(), "{}: {installed:#?}", guest.name);
        assert_eq!(verdicts(root), Vec::<String>::new(), "{} after the installation", guest.name);

        let again = novactl(root, &["agent", "install", "--yes"]);
        assert!(again.status.success(), "{}: {again:#?}", guest.name);
        let back = novactl(root, &["agent", "uninstall", "--yes"]);
        assert!(back.status.success(), "{}: {back:#?}", guest.name);
        let differences = identity::differences(&before, &identity::of(root, &["."]));
        // the journal itself stays
        let left: Vec<_> = differences.iter().filter(|line| !line.contains("var/lib")).collect();
        assert_eq!(left, Vec::<&String>::new(), "{}", guest.name);
    }
    assert_eq!(guests.len(), 8);
}

#[test]
fn an_agent_that_several_checks_replace_is_replaced_once() {
    let guests = guests();
    let guest = guests.iter().find(|guest| guest.name == "almalinux-9-for-three-reasons").unwrap();
    let program = lab::static_novactl();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    guest.unpack(root).unwrap();
    let before = identity::of(root, &["."]);
    let reasons = ["agent-supports-distro", "agent-version", "unexpected-interfaces"];
    let novactl = |arguments: &[&str]| -> Value {
        let mut command = Command::new(&program);
        command.args(arguments).args(["--format", "json", "--root"]).arg(root);
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
    };
    // a note that would tune the old agent is asked for as well
    let ids = format!("{},agent-restarts", reasons.join(","));
    let fixed = novactl(&["doctor", "--fix", "--yes", "--only", &ids]);
    assert_eq!(fixed["result"], "applied", "{fixed:#}");
    let files = fixed["plan"]["files"].as_array().unwrap();
    let paths: Vec<_> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"/usr/sbin/novactl"), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains("nova-agent.service.d")), "{paths:?}");
    for id in reasons {
        let of_id = |finding: &&Value| finding["id"] == id && finding["status"] != "fail";
        assert!(fixed["verified"].as_array().unwrap().iter().any(|f| of_id(&f)), "{id}: {fixed:#}");
    }
    assert_eq!(novactl(&["doctor", "--fix", "--yes", "--only", &ids])["result"], "nothing-to-do");
    assert_eq!(novactl(&["undo", "--yes"])["result"], "applied");
    let differences = identity::differences(&before, &identity::of(root, &["."]));
    let left: Vec<_> = differences.iter().filter(|line| !line.contains("var/lib")).collect();
    assert_eq!(left, Vec::<&String>::new());
}

/// Returns what doctor holds against the agent.
fn verdicts(root: &Path) -> Vec<String> {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_novactl"));
    doctor.args(["doctor", "--topic", "agent", "--format", "json", "--root"]).arg(root);
    let output = doctor.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:#?}"));
    let findings = report["findings"].as_array().unwrap().iter();
    let bad =
        findings.filter(|finding| matches!(finding["status"].as_str(), Some("warn" | "fail" | "unknown")));
    bad.map(|finding| format!("{} {}: {}", finding["status"], finding["id"], finding["title"])).collect()
}
