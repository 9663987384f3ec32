//! `agent exec --dry-run`: what each command would change, and nothing changed.

use std::process::{Command, Output};

use serde_json::Value;

use crate::host::Host;
use crate::{RECORD, base64, identity, lab};

fn dry_run(host: &Host, arguments: &[&str]) -> Output {
    let mut exec = Command::new(env!("CARGO_BIN_EXE_novactl"));
    exec.args(["agent", "exec", "--dry-run"]).args(arguments);
    exec.arg("--root").arg(host.root.path()).arg("--xenstore").arg(&host.socket).output().unwrap()
}

#[test]
fn a_dry_run_shows_what_a_command_would_change_and_changes_nothing() {
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    host.write("vm-data/networking/BC764E207572", RECORD);
    host.write("vm-data/hostname", "web01");
    let before = identity::of(host.root.path(), &["."]);
    let motd = base64("/etc/motd,hello\n");
    let key = "129095537238110053564884995097055";
    let cases: [(&[&str], i32, &str); 9] = [
        (&["version"], 0, "version changes nothing"),
        (&["features"], 0, "features changes nothing"),
        (&["keyinit", key], 0, "keyinit changes nothing"),
        (&["keyinit", "no-key"], 3, "nothing was changed; the host would get this with code 500"),
        (&["resetnetwork"], 1, "104.130.4.72/24"),
        (&["injectfile", &motd], 1, "write /etc/motd"),
        (&["password", "AAAAAAAAAAAAAAAAAAAAAA=="], 3, "Password without key exchange"),
        (&["kmsactivate", r#"{"activation_key": "k"}"#], 3, "KMS not supported on this OS"),
        (&["agentupdate", "http://h/,0"], 3, "the MD5 is not 32 hexadecimal digits"),
    ];
    for (arguments, code, words) in cases {
        let output = dry_run(&host, arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let output = dry_run(&host, &["resetnetwork", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["dry_run"], &report["result"]), (&true.into(), &"pending".into()), "{report}");
    let after = identity::of(host.root.path(), &["."]);
    assert_eq!(identity::differences(&before, &after), Vec::<String>::new());
}
