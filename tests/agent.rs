//! The agent against the real daemons, C and OCaml, with a guest's rights: what nova sends, what others could send,
//! bursts, crashes.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

#[path = "agent/dry_run.rs"]
mod dry_run;
#[path = "agent/host.rs"]
mod host;
#[path = "lab/identity.rs"]
mod identity;
#[path = "agent/init.rs"]
mod init;
mod lab;
#[path = "agent/update.rs"]
mod update;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use base64::Engine;
use host::Host;
use lab::KINDS;
use rustix::process::Signal;

const RECORD: &str = r#"{"label": "public", "mac": "BC:76:4E:20:75:72", "broadcast": "104.130.4.255", "gateway": "104.130.4.1", "ips": [{"ip": "104.130.4.72", "netmask": "255.255.255.0", "enabled": "1", "gateway": "104.130.4.1"}], "dns": ["69.20.0.164"]}"#;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn ok(message: &str) -> (String, String) {
    ("0".to_owned(), message.to_owned())
}

#[test]
fn the_first_boot_as_the_host_does_it() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.write("vm-data/networking/BC764E207572", RECORD);
        host.write("vm-data/hostname", "web01");
        host.start();
        assert_eq!(host.ask("version", "agent"), ok(concat!("2.1.25.", env!("CARGO_PKG_VERSION"))));
        let (code, features) = host.ask("features", "");
        assert_eq!(code, "0");
        assert!(features.split(',').any(|word| word == "injectfile"), "{features}");
        let key = "\n# The following ssh key was injected by Nova\nssh-ed25519 AAAA me\n";
        assert_eq!(host.ask("injectfile", base64(format!("/root/.ssh/authorized_keys,{key}"))), ok(""));
        assert_eq!(host.text("root/.ssh/authorized_keys"), key);
        let mode = |path: &str| {
            std::fs::metadata(host.root.path().join(path)).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!((mode("root/.ssh/authorized_keys"), mode("root/.ssh")), (0o600, 0o700));
        assert_eq!(host.set_password("Pässwörd 7".as_bytes(), "md5"), ok(""), "{}", host.log());
        assert!(host.logs_in("Pässwörd 7"));
        assert_eq!(host.ask("resetnetwork", ""), ok(""));
        assert!(host.text("etc/network/interfaces").contains("104.130.4.72/24"), "{kind:?}");
        assert_eq!(host.text("etc/hostname"), "web01\n");
        host.until_idle();
        assert_eq!(host.end(Signal::TERM), Some(0));
    }
}

#[test]
fn passwords_of_every_kind_are_set_and_appear_nowhere() {
    let printable: String = (' '..='~').collect();
    let long = "0123456789".repeat(20);
    let passwords = [printable.as_str(), "pässwörd-☃-𝄞", &long[..72], &long, "-rf", "a:b:c", "$6$x$"];
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.start();
        for password in passwords {
            for digest in ["md5", "sha256"] {
                assert_eq!(host.set_password(password.as_bytes(), digest), ok(""), "{password:?}");
                assert!(host.logs_in(password), "{password:?}");
            }
        }
        for refused in ["two\nlines", "tab\there", ""] {
            assert_eq!(host.set_password(refused.as_bytes(), "sha256").0, "500", "{refused:?}");
        }
        assert!(host.logs_in(passwords[6]), "a refused password changes nothing");
        let again = host.ask("password", "AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(again.0, "500");
        host.end(Signal::TERM);
        for secret in passwords.iter().filter(|password| password.len() > 5) {
            let found = host.everything_written().into_iter().find(|(_, bytes)| holds(bytes, secret));
            assert_eq!(found.map(|(name, _)| name), None, "{secret:?}");
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn exchanges_that_overlap_keep_their_keys() {
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    host.start();
    let (one, other) = ("1111111111111111", "2222222222222222");
    let first = host.ask("keyinit", host::nova(&["public", one], b""));
    let second = host.ask("keyinit", host::nova(&["public", other], b""));
    for (private, theirs, password) in [(one, first.1, "first"), (other, second.1, "second")] {
        let sent = host::nova(&["encrypt", private, &theirs, "sha256"], password.as_bytes());
        assert_eq!(host.ask("password", sent), ok(""), "{password}");
        assert!(host.logs_in(password));
    }
}

#[test]
fn whatever_is_no_request_is_answered_and_the_agent_lives() {
    let huge = format!(r#"{{"name": "version", "value": "{}"}}"#, "x".repeat(1900));
    let deep = format!(r#"{{"name": "kmsactivate", "value": {}1{}}}"#, "[".repeat(900), "]".repeat(900));
    let requests: Vec<&[u8]> = vec![
        b"",
        b" ",
        b"\0",
        b"nonsense",
        b"[]",
        b"7",
        b"null",
        b"[\"version\", \"\"]",
        b"{}",
        b"{\"name\": \"version\"}",
        b"{\"value\": \"\"}",
        b"{\"name\": null, \"value\": \"\"}",
        b"{\"name\": 7, \"value\": \"\"}",
        b"{\"name\": \"version\", \"value\": 7}",
        b"{\"name\": \"password\", \"value\": \"!\"}",
        b"{\"name\": \"password\", \"value\": \"\"}",
        b"{\"name\": \"password\", \"value\": \"AAAA\"}",
        b"{\"name\": \"keyinit\", \"value\": \"x\"}",
        b"{\"name\": \"keyinit\", \"value\": \"0\"}",
        b"{\"name\": \"keyinit\", \"value\": null}",
        b"{\"name\": \"injectfile\", \"value\": \"\"}",
        b"{\"name\": \"injectfile\", \"value\": \"ZXRjL21vdGQseA==\"}",
        b"{\"name\": \"file_inject\", \"value\": \"\"}",
        b"{\"name\": \"kmsactivate\", \"value\": {}}",
        b"{\"name\": \"agentupdate\", \"value\": \"http://x/,0\"}",
        b"{\"name\": \"resetnetwork\", \"value\": \"\"}",
        b"{\"name\": \"__init__\", \"value\": \"\"}",
        b"{\"name\": \"hostname_file\", \"value\": \"\"}",
        b"{\"name\": \"\", \"value\": \"\"}",
        b"{\"name\": \"version\", \"value\": \"\xff\"}",
        b"\xff\xfe",
        deep.as_bytes(),
    ];
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.start();
        for request in &requests {
            let id = host.request(request);
            let (code, message) = host.answer(&id);
            assert!(!matches!(code.as_str(), "0" | "D0"), "{kind:?} {request:?}: {code} {message}");
            assert!(!message.is_empty(), "{request:?}");
        }
        let id = host.request(huge.as_bytes());
        assert_eq!(host.answer(&id).0, "0", "a long value of a command that needs none");
        host.until_idle();
        assert!(host.is_alive());
    }
}

#[test]
fn a_burst_of_a_hundred_is_answered_without_running_out_of_quota() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        let ids: Vec<String> = (0..100).map(|_| host.send("version", "agent")).collect();
        host.start();
        for id in ids {
            assert_eq!(host.answer(&id).0, "0", "{kind:?}");
        }
        host.until_idle();
    }
}

#[test]
fn two_thousand_commands_in_a_row_are_answered() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.start();
        for number in 0..2000 {
            let (code, message) = host.ask("version", "agent");
            assert_eq!(code, "0", "{kind:?}, command {number}: {message}");
        }
    }
}

#[test]
fn an_answer_as_long_as_a_node_allows_is_written() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.start();
        let name = format!("/no/such/{}", "d/".repeat(500));
        let (code, message) = host.ask("injectfile", base64(format!("{name},x")));
        assert_eq!(code, "500", "{message}");
        assert_eq!(host.ask("version", "agent").0, "0", "{kind:?}");
    }
}

#[test]
fn a_daemon_that_is_started_again_is_served_again() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.start();
        assert_eq!(host.ask("version", "agent").0, "0");
        host.restart();
        assert_eq!(host.ask("version", "agent").0, "0", "{kind:?}:\n{}", host.log());
    }
}

#[test]
fn a_daemon_that_hangs_is_waited_for_and_served_again() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        host.start();
        assert_eq!(host.ask("version", "agent").0, "0");
        host.store.freeze();
        // at the latest when it looks of its own accord
        host.until_logged("trying again");
        host.store.thaw();
        assert_eq!(host.ask("version", "agent").0, "0", "{kind:?}:\n{}", host.log());
        host.until_logged("XenStore answers again");
        assert!(host.is_alive());
    }
}

#[test]
fn a_signal_inside_a_command_lets_it_finish() {
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    host.start();
    assert_eq!(host.ask("injectfile", base64("/etc/first,1")), ok(""));
    // with the journal held, the next command cannot end
    let lock = host.root.path().join("var/lib/novactl/lock");
    let lock = std::fs::File::options().write(true).open(lock).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let id = host.send("injectfile", base64("/etc/second,2"));
    host.until_logged(&format!("Event: {id}"));
    host.signal(Signal::TERM);
    let third = host.send("version", "agent");
    assert!(host.is_alive());
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).unwrap();
    assert_eq!(host.answer(&id), ok(""), "{}", host.log());
    assert_eq!(host.text("etc/second"), "2");
    assert_eq!(host.end(Signal::TERM), Some(0), "{}", host.log());
    // what came meanwhile was served in the same pass, or waits for the next agent
    host.start();
    assert_eq!(host.answer(&third).0, "0");
}

#[test]
fn answers_that_another_agent_left_make_room() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        for number in 0..54 {
            host.write(&format!("data/guest/22222222-2222-4222-8222-{number:012}"), "{}");
        }
        host.start();
        assert_eq!(host.ask("version", "agent").0, "0", "{kind:?}");
    }
}

#[test]
fn a_request_that_may_not_be_read_holds_up_no_other() {
    for kind in KINDS {
        let Some(mut host) = Host::new(kind) else { return };
        let hidden = host.send("version", "agent");
        host.store.forbid(&format!("/local/domain/7/data/host/{hidden}"));
        host.start();
        assert_eq!(host.ask("version", "agent").0, "0", "{kind:?}");
        assert!(host.is_alive());
    }
}

#[test]
fn a_second_agent_says_who_is_there() {
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    host.start();
    host.ask("version", "agent");
    let second = Command::new(env!("CARGO_BIN_EXE_novactl")).args(host.arguments()).output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("one agent is enough"), "{said}");
}

#[test]
fn killed_at_any_step_no_command_is_lost_and_none_done_twice() {
    if Command::new("strace").arg("-V").output().is_err() {
        return lab::skipped::<()>("no strace").unwrap_or_default();
    }
    let mut killed = 0;
    for call in ["sendto", "sendmsg", "write", "renameat", "fsync", "unlinkat"] {
        for nth in 1.. {
            let Some(mut host) = Host::new(lab::Kind::C) else { return };
            let first = host.send("injectfile", base64("/etc/first,1"));
            let second = host.send("injectfile", base64("/etc/second,2"));
            let mut strace = Command::new("strace");
            strace
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"])
                .arg(format!("inject={call}:signal=KILL:when={nth}"))
                .arg(env!("CARGO_BIN_EXE_novactl"))
                .args(host.arguments());
            host.start_with(strace);
            let is_done = host.served_or_dead(&[&first, &second]);
            if !is_done {
                killed += 1;
                host.start();
            }
            for (id, path, text) in [(&first, "etc/first", "1"), (&second, "etc/second", "2")] {
                assert_eq!(host.answer(id), ok(""), "killed at {call} {nth}:\n{}", host.log());
                assert_eq!(host.text(path), text);
            }
            host.until_idle();
            assert!(host.no_change_is_open(), "killed at {call} {nth}");
            if is_done {
                break;
            }
        }
    }
    assert!(killed > 20, "only {killed} steps were killed at");
}
