//! The XenStore client against the real daemons, C and OCaml, as dom0 and as a guest.

mod lab;

use std::path::PathBuf;
use std::time::Duration;

use lab::{KINDS, Kind, Store};
use novactl::xenstore::{self, Access, Error, Permission, Source, Xenstore};

/// Long enough that only a hang reaches it.
const LONG: Duration = Duration::from_secs(30);

fn open(path: PathBuf) -> Box<dyn Xenstore> {
    xenstore::open(&Source::Path(path)).expect("it listens")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn dom0_reads_writes_lists_and_removes() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut bus = open(store.socket());
        let every_byte: Vec<u8> = (0..=255).collect();

        bus.write("lab/a/deep", &every_byte).unwrap();
        bus.write("lab/b", b"").unwrap();
        assert_eq!(bus.read("/local/domain/0/lab/a/deep"), Ok(every_byte));
        assert_eq!(bus.read("lab/a"), Ok(Vec::new()));
        assert_eq!(bus.read("lab/b"), Ok(Vec::new()));
        let mut listed = bus.list("lab").unwrap();
        listed.sort();
        assert_eq!(listed, names(&["a", "b"]));
        assert_eq!(bus.list("lab/b"), Ok(Vec::new()));
        store.write("/local/domain/0/lab/b", r#"{"say": "\"x\""}"#);
        assert_eq!(bus.read_text("lab/b"), Ok(r#"{"say": "\"x\""}"#.to_owned()));

        bus.remove("lab/a").unwrap();
        assert_eq!(bus.list("lab"), Ok(names(&["b"])), "{kind:?}");
        assert_eq!(store.read("/local/domain/0/lab/a"), None);
    }
}

#[test]
fn what_is_not_there_is_not_found_and_needs_no_removal() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        for path in [store.domu(7), store.socket()] {
            let mut bus = open(path);
            let missing = |doing: &str| Error::NotFound(format!("{doing}: no such node"));
            assert_eq!(bus.read("vm-data/none"), Err(missing("reading vm-data/none")));
            assert_eq!(bus.list("vm-data/none"), Err(missing("listing vm-data/none")));
            assert_eq!(bus.text_opt("vm-data/none"), Ok(None));
            assert_eq!(bus.remove("data/none"), Ok(()), "{kind:?}");
            assert_eq!(bus.remove("data/none/below/it"), Ok(()), "{kind:?}");
        }
    }
}

#[test]
fn a_guest_has_its_own_rights_and_paths() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut guest = open(store.domu(7));
        store.write("/local/domain/7/vm-data/hostname", "web01");
        store.write("/local/domain/7/data/host/0b7c", "{}");

        assert_eq!(guest.read_text("vm-data/hostname"), Ok("web01".to_owned()));
        assert_eq!(guest.list("data/host"), Ok(names(&["0b7c"])));
        guest.write("data/guest/0b7c", b"{\"returncode\": \"0\"}").unwrap();
        assert_eq!(store.read("/local/domain/7/data/guest/0b7c").unwrap(), "{\"returncode\": \"0\"}");
        guest.remove("data/host/0b7c").unwrap();
        assert_eq!(store.read("/local/domain/7/data/host/0b7c"), None);

        let denied = "the store does not let this domain do it";
        assert_eq!(
            guest.write("vm-data/hostname", b"evil"),
            Err(Error::Denied(format!("writing vm-data/hostname: {denied}"))),
            "{kind:?}"
        );
        assert_eq!(
            guest.remove("vm-data/hostname"),
            Err(Error::Denied(format!("removing vm-data/hostname: {denied}"))),
            "{kind:?}"
        );
        store.write("/lab/secret", "x");
        assert_eq!(guest.read("/lab/secret"), Err(Error::Denied(format!("reading /lab/secret: {denied}"))));
    }
}

#[test]
fn permissions_of_what_the_host_made_say_who_may_write() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut guest = open(store.domu(7));
        let owner = |domain| Permission { domain, access: Access::None };
        let reader = Permission { domain: 7, access: Access::Read };
        assert_eq!(guest.permissions("vm-data"), Ok(vec![owner(0), reader]), "{kind:?}");
        assert_eq!(guest.permissions("data"), Ok(vec![owner(7)]), "{kind:?}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_too_big() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut guest = open(store.domu(7));
        guest.write("data/x", &[b'x'; 2000]).unwrap();
        // 2100 the store refuses; what is over 4096 it would not answer, and is not sent
        for size in [2100, 4089, 4090, 100_000] {
            let error = guest.write("data/x", &vec![b'x'; size]).unwrap_err();
            assert!(matches!(error, Error::TooBig(_)), "{kind:?} {size}: {error:?}");
        }
        assert_eq!(guest.read("data/x").unwrap().len(), 2000);
    }
}

#[test]
fn a_directory_of_any_size_is_listed_whole() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let paths: Vec<String> = (0..1000).map(|n| format!("/lab/many/child-with-a-name-{n:04}")).collect();
        let nodes: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        for some in nodes.chunks(50) {
            store.write_all(some);
        }
        let mut listed = open(store.socket()).list("/lab/many").unwrap();
        listed.sort();
        let expected: Vec<String> = (0..1000).map(|n| format!("child-with-a-name-{n:04}")).collect();
        assert_eq!(listed, expected, "{kind:?}");
    }
}

#[test]
fn a_guest_lists_more_answers_than_fit_into_a_message() {
    // 200 answers that nobody collected, 37 bytes each: what a guest that lives long has
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut guest = open(store.domu(7));
        let ids: Vec<String> = (0..200).map(|n| format!("aaaaaaaa-bbbb-cccc-dddd-eeeeeeee{n:04}")).collect();
        for id in &ids {
            store.write(&format!("/local/domain/7/data/guest/{id}"), "{}");
        }
        let listed = guest.list("data/guest").map(|mut names| {
            names.sort();
            names
        });
        let refused = "listing data/guest: the store refused it with \"ENOSYS\"";
        let expected = match kind {
            Kind::C => Ok(ids),
            // it has no listing in parts
            Kind::Ocaml => Err(Error::TooBig(format!("{refused}; the names do not fit into one answer"))),
        };
        assert_eq!(listed, expected, "{kind:?}");
    }
}

#[test]
fn a_store_that_does_not_answer_is_given_up_and_asked_again_later() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        store.write_all(&[("/lab/first", "1"), ("/lab/second", "2")]);
        let mut bus = open(store.socket());
        assert_eq!(bus.read_text("/lab/first"), Ok("1".to_owned()));
        store.freeze();
        let place = store.socket().display().to_string();
        assert_eq!(
            bus.read("/lab/first"),
            Err(Error::Gone(format!("reading /lab/first: no answer from {place} within 2 s")))
        );
        store.thaw();
        assert_eq!(bus.read_text("/lab/second"), Ok("2".to_owned()), "{kind:?}");
    }
}

#[test]
fn a_daemon_that_was_started_again_is_found_again() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut bus = open(store.socket());
        bus.write("lab/x", b"before").unwrap();
        assert_eq!(bus.wait("lab/y", LONG), Ok(true));
        store.restart();
        bus.write("lab/x", b"after").unwrap();
        assert_eq!(store.read("/local/domain/0/lab/x").unwrap(), "after", "{kind:?}");
        assert_eq!(bus.wait("lab/y", LONG), Ok(true), "what happened in between is not known");
        while bus.wait("lab/y", Duration::ZERO).unwrap() {}
        store.write("/local/domain/0/lab/y", "new");
        assert_eq!(bus.wait("lab/y", LONG), Ok(true), "{kind:?}");
    }
}

#[test]
fn a_daemon_that_is_gone_is_said() {
    let Some(store) = Store::start(Kind::C) else { return };
    let mut bus = open(store.socket());
    let place = store.socket().display().to_string();
    drop(store);
    assert_eq!(bus.read("x"), Err(Error::Gone(format!("reading x: {place}: no such file"))));
}

#[test]
fn a_change_wakes_the_guest_that_waits_for_it() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut guest = open(store.domu(7));
        assert_eq!(guest.wait("data/host", LONG), Ok(true), "the first time is at once");
        assert_eq!(guest.wait("data/host", Duration::from_millis(1)), Ok(false), "{kind:?}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| guest.wait("data/host", LONG));
            store.write("/local/domain/7/data/host/0b7c", "{}");
            assert_eq!(waiting.join().unwrap(), Ok(true), "{kind:?}");
        });
    }
}

#[test]
fn a_change_during_other_requests_is_not_lost() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        let mut guest = open(store.domu(7));
        assert_eq!(guest.wait("data/host", LONG), Ok(true));
        store.write("/local/domain/7/data/host/0b7c", "{}");
        // The event was there first, so it comes before this answer.
        assert_eq!(guest.read_text("data/host/0b7c"), Ok("{}".to_owned()));
        assert_eq!(guest.wait("data/host", Duration::ZERO), Ok(true), "{kind:?}");
        store.write("/local/domain/7/vm-data/hostname", "web01");
        assert_eq!(guest.read_text("vm-data/hostname"), Ok("web01".to_owned()));
        assert_eq!(guest.wait("data/host", Duration::ZERO), Ok(false), "{kind:?}: that was elsewhere");
    }
}

#[test]
fn many_clients_at_once_are_served() {
    for kind in KINDS {
        let Some(store) = Store::start(kind) else { return };
        store.write("/lab/x", "value");
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert_eq!(open(store.socket()).read("/lab/x"), Ok(b"value".to_vec())));
            }
        });
    }
}
