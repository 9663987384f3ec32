//! The agent under real service managers: systemd as the first process of a container, installed over a nova-agent
//! that dies, and the init script run by real shells.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, drives programs and prints what it measured"
)]

#[path = "lab/container.rs"]
mod container;
#[path = "agent/host.rs"]
mod host;
#[path = "lab/identity.rs"]
mod identity;
mod lab;

use std::process::Command;
use std::time::Instant;

use base64::Engine;
use container::{Container, LIMIT, OLD_UNIT, debian, put};
use host::Host;
use rustix::fs::FlockOperation;

#[test]
fn under_systemd_a_broken_agent_is_replaced_served_and_had_back() {
    let Some((_dir, tree)) = debian() else { return };
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    container::break_agent(&tree);
    std::fs::copy(lab::static_novactl(), tree.join("root/novactl")).unwrap();

    let container = Container::boot(&tree, &host.socket, &[]);
    assert_eq!(container.text(&["systemctl", "is-failed", OLD_UNIT]), "failed");
    let before = identity::of(&tree, &["etc", "usr", "root"]);
    let installed = container.run(&["/root/novactl", "agent", "install", "--yes"]);
    assert!(installed.status.success(), "{installed:#?}\n{}", container.journal());
    let again = container.text(&["/root/novactl", "agent", "install", "--dry-run", "--format", "json"]);
    assert!(again.contains("\"nothing-to-do\""), "{again}");
    assert_eq!(container.text(&["systemctl", "is-system-running"]), "running");
    assert_eq!(container.text(&["systemctl", "is-enabled", "novactl-agent.service"]), "enabled");
    let shown = ["ActiveState", "StatusText", "NRestarts"].map(|property| container.show(property));
    assert_eq!(shown, ["active", "listening to the host", "0"], "{}", container.journal());
    let version = ("0".to_owned(), concat!("2.1.25.", env!("CARGO_PKG_VERSION")).to_owned());
    assert_eq!(host.ask("version", "agent"), version);

    let verified = container.run(&["systemd-analyze", "verify", "--man=no", "novactl-agent.service"]);
    assert_eq!((verified.status.code(), &*verified.stderr), (Some(0), &b""[..]), "{verified:#?}");
    let scores = container.text(&["systemd-analyze", "security", "--no-pager", "novactl-agent.service"]);
    println!("{}", scores.lines().last().unwrap_or_default());

    // killed: started again
    container.run(&["kill", "-KILL", &container.pid()]);
    container.wait_for("NRestarts", "1");
    container.wait_for("ActiveState", "active");
    assert_eq!(host.ask("version", "agent"), version);

    // hanging: the watchdog finds it; with a shorter limit than the unit's, which is three minutes
    assert_eq!(container.show("WatchdogUSec"), "3min");
    put(
        &tree,
        "etc/systemd/system/novactl-agent.service.d/lab.conf",
        0o644,
        "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n",
    );
    container.run(&["systemctl", "daemon-reload"]);
    container.run(&["systemctl", "restart", "novactl-agent.service"]);
    let woken = container.show("WatchdogTimestampMonotonic");
    let end = Instant::now() + LIMIT;
    while container.show("WatchdogTimestampMonotonic") == woken {
        assert!(Instant::now() < end, "no word to the watchdog\n{}", container.journal());
    }
    let restarts: u32 = container.show("NRestarts").parse().unwrap();
    container.run(&["kill", "-STOP", &container.pid()]);
    container.wait_for("NRestarts", &(restarts + 1).to_string());
    container.wait_for("ActiveState", "active");
    assert_eq!(host.ask("version", "agent"), version, "{}", container.journal());
    std::fs::remove_dir_all(tree.join("etc/systemd/system/novactl-agent.service.d")).unwrap();
    container.run(&["systemctl", "daemon-reload"]);
    container.run(&["systemctl", "restart", "novactl-agent.service"]);

    // stopped inside a command: it is finished first. The journal is held, so that the command cannot end before.
    let lock = std::fs::File::options().write(true).open(tree.join("var/lib/novactl/lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    let value = base64::engine::general_purpose::STANDARD.encode("/root/late,done");
    let id = host.send("injectfile", value);
    let end = Instant::now() + LIMIT;
    while !container.journal().contains(&format!("Event: {id}")) {
        assert!(Instant::now() < end, "not taken up\n{}", container.journal());
    }
    container.run(&["systemctl", "stop", "--no-block", "novactl-agent.service"]);
    container.wait_for("ActiveState", "deactivating");
    rustix::fs::flock(&lock, FlockOperation::Unlock).unwrap();
    assert_eq!(host.answer(&id), ("0".to_owned(), String::new()), "{}", container.journal());
    container.wait_for("ActiveState", "inactive");
    assert_eq!(container.show("Result"), "success", "{}", container.journal());
    assert_eq!(std::fs::read(tree.join("root/late")).unwrap(), b"done");
    std::fs::remove_file(tree.join("root/late")).unwrap();
    container.run(&["systemctl", "start", "novactl-agent.service"]);

    // another release over this one: it goes on as that, and comes back as this
    let first = container.pid();
    let program = std::fs::read(tree.join("root/novactl")).unwrap();
    std::fs::write(tree.join("root/other"), [&program[..], b"another release"].concat()).unwrap();
    container.run(&["chmod", "755", "/root/other"]);
    let over = container.run(&["/root/other", "agent", "install", "--yes"]);
    assert!(over.status.success(), "{over:#?}");
    let second = container.pid();
    assert_ne!(first, second);
    let runs =
        |pid: &str| container.run(&["cmp", "/root/other", &format!("/proc/{pid}/exe")]).status.success();
    assert!(runs(&second), "{}", container.journal());
    assert_eq!(host.ask("version", "agent"), version);
    let back = container.run(&["/root/other", "agent", "uninstall", "--yes"]);
    assert!(String::from_utf8_lossy(&back.stdout).contains("once more"), "{back:#?}");
    assert!(!runs(&container.pid()), "{}", container.journal());
    assert_eq!(host.ask("version", "agent"), version);
    std::fs::remove_file(tree.join("root/other")).unwrap();

    let back = container.run(&["/root/novactl", "agent", "uninstall", "--yes"]);
    assert!(back.status.success(), "{back:#?}");
    let after = identity::of(&tree, &["etc", "usr", "root"]);
    assert_eq!(identity::differences(&before, &after), Vec::<String>::new(), "{back:#?}");
    assert_eq!(container.text(&["systemctl", "is-enabled", OLD_UNIT]), "enabled");
    assert_eq!(container.text(&["systemctl", "is-active", "novactl-agent.service"]), "inactive");
}

/// What a person and init do with the script, in a chroot; every line it prints begins with what was done.
const SCRIPT: &str = r#"
cd "$1"
mount --bind "$2" run/xenstored/socket
mount -t proc proc proc
mount --rbind /dev dev
exec chroot . "$3" -c '
act() {
  said=$("$0" /etc/init.d/novactl-agent "$1" 2>&1)
  echo "$1: $? $said"
}
act status
act start
until grep -q "listening on" /var/log/novactl-agent.log 2>/dev/null; do sleep .1; done
act status
act start
act restart
act condrestart
kill -9 "$(cat /var/run/novactl-agent.pid)"
while [ -e "/proc/$(cat /var/run/novactl-agent.pid)/exe" ]; do sleep .1; done
act status
act condrestart
act start
act stop
act status
act nonsense
' "$3"
"#;

#[test]
fn the_init_script_does_what_init_and_people_ask_of_it() {
    let Some((_dir, tree)) = debian() else { return };
    let Some(host) = Host::new(lab::Kind::C) else { return };
    std::fs::copy(lab::static_novactl(), tree.join("usr/sbin/novactl")).unwrap();
    put(&tree, "etc/init.d/novactl-agent", 0o755, include_str!("../packaging/novactl-agent.init"));
    for shell in ["/bin/dash", "/bin/bash"] {
        put(&tree, "run/xenstored/socket", 0o600, "");
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "sh",
            "-euc",
            SCRIPT,
        ]);
        let output = unshare.arg("sh").arg(&tree).arg(&host.socket).arg(shell).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = said.lines().collect();
        let without_pid = |line: &&str| line.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        let wanted = [
            "status: 3 novactl-agent does not run",
            "start: 0 novactl-agent started",
            "status: 0 novactl-agent runs as process ",
            "start: 0 novactl-agent runs already as process ",
            "restart: 0 novactl-agent stopped",
            "novactl-agent started",
            "condrestart: 0 novactl-agent stopped",
            "novactl-agent started",
            "status: 1 novactl-agent is dead, its pid file is there",
            "condrestart: 0 ",
            "start: 0 novactl-agent started",
            "stop: 0 novactl-agent stopped",
            "status: 3 novactl-agent does not run",
            "nonsense: 2 Usage: /etc/init.d/novactl-agent {start|stop|restart|condrestart|status}",
        ];
        assert_eq!(lines.iter().map(without_pid).collect::<Vec<_>>(), wanted, "{shell}: {output:#?}");
        std::fs::remove_file(tree.join("var/log/novactl-agent.log")).unwrap();
    }
}
