//! What people read and type next: hints that name the system looked at, slips that are refused at once, questions that
//! come after what they are about.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, makes trees and runs the program"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use made::guest;
use serde_json::Value;

#[path = "guests/made.rs"]
mod made;
#[path = "guests/program.rs"]
mod program;

fn novactl(args: &[&str], root: &Path) -> Output {
    let mut command = Command::new(&*program::SMALL);
    command.env_remove("XENSTORED_PATH").stdin(Stdio::null()).args(args);
    command.arg("--root").arg(root).output().unwrap()
}

/// What was said on standard error, with the root by the name R.
fn said(output: &Output, root: &Path) -> String {
    String::from_utf8(output.stderr.clone()).unwrap().replace(root.to_str().unwrap(), "R")
}

#[test]
fn a_slip_is_refused_at_once_and_the_hint_names_the_system_looked_at() {
    let root = guest("debian-12");
    let root = root.path();
    for (args, code, error, hint) in [
        (
            &["set-password", "rot"][..],
            3,
            "there is no user \"rot\" in etc/passwd: did you mean root?",
            "nothing was changed: novactl set-password --root R USER names another, without USER it is root",
        ),
        (
            &["set-password", "nosuchuser"],
            3,
            "there is no user \"nosuchuser\" in etc/passwd; with a login shell: root",
            "nothing was changed: novactl set-password --root R USER names another, without USER it is root",
        ),
        (
            &["undo", "nosuch"],
            3,
            "the journal has no change \"nosuch\"",
            "novactl undo --root R --list shows the journal",
        ),
        (
            &["fix-image", "--only", "logs"],
            2,
            "logs is a step of --generalize, which was not asked for",
            "novactl fix-image --root R --generalize --only logs",
        ),
        (
            &["agent", "uninstall"],
            3,
            "the journal has no installation of the agent to take back",
            "novactl undo --root R --list shows what the journal has",
        ),
        (
            &["reset-network", "--from", "/nope"],
            3,
            "reading /nope: no such file",
            "--from takes the word config-drive, or a JSON file: network_data.json of a config drive, or the records \
             of vm-data/networking",
        ),
        (
            &["reset-network", "--from", "config-drive"],
            3,
            "no config drive: no disk has the label config-2",
            "--from takes the word config-drive, or a JSON file: network_data.json of a config drive, or the records \
             of vm-data/networking",
        ),
        (
            &["fix-image", "--metadata", "/nope"],
            3,
            "reading /nope: no such file",
            "openstack image show -f json IMAGE prints what is needed; --metadata - reads the standard input",
        ),
        (
            &["fix-image", "--skip", "machine_id"],
            2,
            "no check and no step is called \"machine_id\"",
            "did you mean machine-id? novactl fix-image --root R --list-steps shows the steps, novactl doctor --list \
             the checks",
        ),
        (
            &["doctor", "--only", "agnt_enabled"],
            2,
            "no check is called \"agnt_enabled\"",
            "did you mean agent-enabled, agent-installed, xentools-enabled? novactl doctor --list shows all",
        ),
    ] {
        let output = novactl(args, root);
        assert_eq!(said(&output, root), format!("error: {error}\nhint: {hint}\n"), "{args:?}");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(!root.join("var/lib/novactl").exists(), "{args:?}");
    }
}

#[test]
fn a_check_is_explained_however_it_is_written_and_help_has_help() {
    let text = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_novactl")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text(&["explain", "Agent-Enabled"]), text(&["explain", "agent-enabled"]));
    assert_eq!(text(&["help", "--help"]), text(&["help"]));
    assert_eq!(text(&["help", "doctor", "-h"]), text(&["help", "doctor"]));
}

#[test]
fn an_agent_that_freebsd_cannot_run_is_refused_before_anything_is_looked_at() {
    let root = guest("freebsd-agent-off-later");
    let root = root.path();
    for args in [&["fix-image", "--install-agent"][..], &["agent", "install"]] {
        let output = novactl(&[args, &["--yes"]].concat(), root);
        let said = said(&output, root);
        assert!(
            said.starts_with("error: novactl cannot be the agent of FreeBSD: it is a Linux program\nhint: "),
            "{said}"
        );
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    }
}

#[test]
fn the_agent_of_freebsd_is_switched_on_and_its_name_goes_in_one_change() {
    let root = guest("freebsd-agent-off-later");
    let root = root.path();
    let before = fs::read_to_string(root.join("etc/rc.conf")).unwrap();
    let output = novactl(&["fix-image", "--generalize", "--yes"], root);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        said(&output, root),
        String::from_utf8_lossy(&output.stdout)
    );
    let now = fs::read_to_string(root.join("etc/rc.conf")).unwrap();
    assert!(now.contains("hostname=\"localhost\"") && now.contains("nova_agent_enable=\"YES\""), "{now}");
    assert_eq!(novactl(&["undo", "--yes"], root).status.code(), Some(0));
    assert_eq!(fs::read_to_string(root.join("etc/rc.conf")).unwrap(), before);
}

#[test]
fn the_route_names_the_agent_that_there_is_after_the_fix() {
    for (name, agent) in
        [("debian-12-without-agent", "novactl-agent"), ("debian-12-agent-masked", "python3-nova-agent")]
    {
        let root = guest(name);
        let output = novactl(&["doctor", "--format", "json"], root.path());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let steps = report["route"]["steps"].as_array().unwrap();
        let look = steps
            .iter()
            .find(|step| step["text"].as_str().unwrap().starts_with("on the server again"))
            .unwrap();
        let log: &[&str] = if agent == "novactl-agent" {
            &["journalctl", "-n", "50", "-u", "novactl-agent"]
        } else {
            &["tail", "-n", "50", "/var/log/nova-agent.log"]
        };
        assert_eq!(look["commands"], serde_json::json!([["systemctl", "status", agent], log]), "{name}");
        let output = novactl(&["doctor", "--fix", "--yes"], root.path());
        let text = String::from_utf8(output.stdout).unwrap();
        let (_, next) = text.split_once("\nWhat is next:\n").unwrap_or_else(|| panic!("{text}"));
        let lines = format!("     $ systemctl status {agent}\n     $ {}\n", log.join(" "));
        assert!(next.contains(&lines), "{next}");
    }
}

#[test]
fn an_address_is_given_by_hand_where_a_disk_knows_its_nics_by_name_alone() {
    let address = ["reset-network", "--yes", "--address", "eth0=203.0.113.7/24", "--gateway", "203.0.113.1"];
    for (name, path) in [
        ("debian-12", "etc/network/interfaces"),
        ("centos-7", "etc/sysconfig/network-scripts/ifcfg-eth0"),
        ("freebsd-13", "etc/rc.conf"),
    ] {
        let root = guest(name);
        let root = root.path();
        let nic = if name == "freebsd-13" { "xn0" } else { "eth0" };
        let args: Vec<_> = address.iter().map(|word| word.replace("eth0", nic)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = novactl(&[&args[..], &["--format", "json"]].concat(), root);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output, root));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["plan"]["interfaces"][nic]["mac"], Value::Null, "{name}");
        let text = fs::read_to_string(root.join(path)).unwrap();
        assert!(text.contains("203.0.113.7") && !text.to_lowercase().contains("03:00:00"), "{text}");
    }
    let root = guest("almalinux-9");
    let root = root.path();
    let output = novactl(&address, root);
    let text = "error: keyfile finds its NICs by their MACs, and the files of this system do not say which NICs it has";
    assert!(said(&output, root).starts_with(text), "{}", said(&output, root));
}

#[test]
fn what_was_taken_back_leaves_no_copy_of_a_secret() {
    let root = guest("debian-12-root-locked");
    let root = root.path();
    assert_eq!(
        novactl(&["doctor", "--fix", "--yes", "--only", "root-account-usable"], root).status.code(),
        Some(0)
    );
    let kept = || {
        let dirs = fs::read_dir(root.join("var/lib/novactl/undo")).unwrap();
        let of_fix =
            dirs.map(|dir| dir.unwrap().path()).find(|dir| dir.to_str().unwrap().ends_with("-fix")).unwrap();
        let mut names: Vec<_> = fs::read_dir(of_fix)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(kept(), ["0.orig", "record.json"]);
    assert_eq!(novactl(&["undo", "--yes"], root).status.code(), Some(0));
    assert_eq!(kept(), ["record.json"]);
}

#[test]
fn forgetting_says_what_stays_and_what_goes() {
    let root = guest("debian-12-root-locked");
    let root = root.path();
    novactl(&["doctor", "--fix", "--yes", "--only", "root-account-usable"], root);
    let output = novactl(&["undo", "--forget"], root);
    assert!(
        said(&output, root).contains("error: undo --forget changes this system"),
        "{}",
        said(&output, root)
    );
    let output = novactl(&["undo", "--forget", "--yes"], root);
    assert!(said(&output, root).ends_with("-fix: what it changed stays, the originals are deleted\n"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the journal holds no change of novactl\n");
}

#[test]
fn what_comes_next_is_said_when_the_fix_is_made() {
    let root = guest("almalinux-9-networking-off");
    let root = root.path();
    let output = novactl(&["doctor", "--fix", "--yes"], root);
    let text = String::from_utf8(output.stdout).unwrap().replace(root.to_str().unwrap(), "R");
    let (_, end) = text.split_once("DONE  made and verified\n").unwrap();
    assert!(
        end.starts_with("looked again: nm-networking-enabled ok\ntake it back with: novactl undo --root R "),
        "{end}"
    );
    let (_, next) = end.split_once("\n\nWhat is next:\n").unwrap();
    for command in
        ["novactl set-password --root R", "umount R", "openstack server unrescue SERVER", "novactl doctor"]
    {
        assert!(next.contains(&format!("     $ {command}\n")), "{command}:\n{next}");
    }
}

#[test]
fn nobody_is_told_to_leave_rescue_mode_with_a_disk_that_is_still_broken() {
    for (name, args, result, step) in [
        (
            "rhel-7-without-a-way-to-register",
            &["doctor", "--fix", "--yes"][..],
            "NOTHING TO DO  what is wrong has to be mended by hand\n",
            "mend by hand what is left, then look again",
        ),
        (
            "almalinux-9-networking-off",
            &["doctor", "--fix", "--yes", "--only", "nm-networking-enabled"],
            "DONE  made and verified\n",
            "look at what was left out",
        ),
    ] {
        let root = guest(name);
        let output = novactl(args, root.path());
        let text = String::from_utf8(output.stdout).unwrap().replace(root.path().to_str().unwrap(), "R");
        assert!(text.contains(result), "{text}");
        let (_, next) = text.split_once("\n\nWhat is next:\n").unwrap();
        assert_eq!(next, format!("  1. {step}\n     $ novactl doctor --root R\n"), "{text}");
    }
}

#[test]
fn a_label_is_shown_for_a_disk_whose_addresses_are_anothers() {
    let root = guest("debian-12");
    let dump = tempfile::NamedTempFile::new().unwrap();
    let record = |label: &str, address: &str| {
        format!(
            "{{\"label\": \"{label}\", \"ips\": [{{\"ip\": \"{address}\", \"netmask\": \"255.255.255.0\"}}]}}"
        )
    };
    let networking = serde_json::json!({
        "BC764E206C5B": record("private", "10.99.0.7"),
        "BC764E207572": record("public", "203.0.113.7"),
    });
    let store = serde_json::json!({ "vm-data": { "networking": networking } });
    fs::write(dump.path(), store.to_string()).unwrap();
    let output = novactl(&["scan-ifaces", "--xenstore", dump.path().to_str().unwrap()], root.path());
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |nic: &str| {
        text.lines().find(|line| line.starts_with(nic)).unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!((row("eth0")[5], row("eth1")[5]), ("public?", "private?"), "{text}");
    assert!(text.contains("taken for public (BC764E207572) by its name"), "{text}");
}
