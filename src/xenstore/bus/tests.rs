//! The bus against a store that misbehaves in one way each; well-behaved ones are in tests/xenstore.rs.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::xenstore::Access;

/// What the store does with a request.
enum Then {
    Send(Vec<Message>),
    /// Sends these and closes the connection.
    Close(Vec<Message>),
}

/// What the store has seen: the number of the connection, the request, its first word.
type Seen = (usize, Op, String);

/// A store that does with each request what `script` says.
struct Store {
    bus: Bus,
    seen: Receiver<Seen>,
    _dir: tempfile::TempDir,
}

fn store(script: impl Fn(usize, &Message) -> Then + Send + Sync + 'static) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (log, seen) = mpsc::channel();
    let script = Arc::new(script);
    thread::spawn(move || {
        for (number, stream) in (1..).zip(listener.incoming()) {
            let (script, log) = (script.clone(), log.clone());
            thread::spawn(move || serve(number, &mut stream.unwrap(), script.as_ref(), &log));
        }
    });
    let bus = Bus::open(Place::Socket(path)).unwrap();
    Store { bus, seen, _dir: dir }
}

fn serve(
    number: usize,
    stream: &mut UnixStream,
    script: &impl Fn(usize, &Message) -> Then,
    log: &Sender<Seen>,
) {
    let mut inbox = Vec::new();
    let mut chunk = [0; 5000];
    while let Ok(count) = stream.read(&mut chunk) {
        if count == 0 {
            return;
        }
        inbox.extend(&chunk[..count]);
        while let Some((request, length)) = Message::decode(&inbox).unwrap() {
            inbox.drain(..length);
            let word = wire::texts(&request.payload).into_iter().next().unwrap_or_default();
            // The test may be over.
            let _ = log.send((number, request.op, word));
            let then = script(number, &request);
            let (Then::Send(messages) | Then::Close(messages)) = &then;
            for message in messages {
                let _ = stream.write_all(&message.encode());
            }
            if let Then::Close(_) = then {
                return;
            }
        }
    }
}

fn answer(request: &Message, payload: &[u8]) -> Message {
    Message { payload: payload.to_vec(), ..request.clone() }
}

fn event(path: &str, token: &str) -> Message {
    Message { op: Op::WatchEvent, request: 0, payload: wire::words(&[path, token]) }
}

fn refuse(name: &str) -> Then {
    Then::Send(vec![Message { op: Op::Error, request: 0, payload: wire::words(&[name]) }])
}

/// Answers as a store does in which every node holds "value" and nothing ever changes.
fn well_behaved(request: &Message) -> Then {
    Then::Send(match request.op {
        Op::Read => vec![answer(request, b"value")],
        Op::Watch => {
            let words = wire::texts(&request.payload);
            vec![answer(request, b"OK\0"), event(&words[0], &words[1])]
        }
        _ => vec![answer(request, b"OK\0")],
    })
}

impl Store {
    fn seen(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }
}

#[test]
fn a_foreign_request_number_is_tolerated() {
    let mut store =
        store(|_, request| Then::Send(vec![Message { request: 0xdead_beef, ..answer(request, b"web01") }]));
    assert_eq!(store.bus.read("vm-data/hostname"), Ok(b"web01".to_vec()));
}

#[test]
fn a_watch_event_between_request_and_answer_is_kept() {
    let token = Mutex::new(String::new());
    let mut store = store(move |_, request| match request.op {
        Op::Watch => {
            *token.lock().unwrap() = wire::texts(&request.payload)[1].clone();
            well_behaved(request)
        }
        _ => Then::Send(vec![
            event("data/host/1", &token.lock().unwrap()),
            event("data/host/1", "somebody-else"),
            answer(request, b"x"),
        ]),
    });
    assert_eq!(store.bus.wait("data/host", Duration::from_secs(10)), Ok(true));
    assert_eq!(store.bus.wait("data/host", Duration::ZERO), Ok(false));
    assert_eq!(store.bus.read("name"), Ok(b"x".to_vec()));
    assert_eq!(store.bus.wait("data/host", Duration::ZERO), Ok(true));
    assert_eq!(store.bus.wait("data/host", Duration::ZERO), Ok(false));
}

#[test]
fn the_first_event_of_a_watch_may_come_before_its_answer() {
    let mut store = store(|_, request| {
        let words = wire::texts(&request.payload);
        Then::Send(vec![event(&words[0], &words[1]), answer(request, b"OK\0")])
    });
    assert_eq!(store.bus.wait("data/host", Duration::from_secs(10)), Ok(true));
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_the_next() {
    let (come_late, late) = mpsc::channel();
    let (come_late, late) = (Mutex::new(come_late), Mutex::new(late));
    let mut store = store(move |connection, request| {
        if connection == 1 {
            late.lock().unwrap().recv().unwrap();
            return Then::Send(vec![answer(request, b"stale")]);
        }
        come_late.lock().unwrap().send(()).unwrap();
        Then::Send(vec![answer(request, b"fresh")])
    });
    store.bus.limit = Duration::from_millis(50);
    let place = store.bus.describe();
    assert_eq!(
        store.bus.read("a"),
        Err(Error::Gone(format!("reading a: no answer from {place} within 0.05 s")))
    );
    store.bus.limit = ANSWER_LIMIT;
    assert_eq!(store.bus.read("b"), Ok(b"fresh".to_vec()));
}

#[test]
fn a_read_is_repeated_when_the_connection_is_lost() {
    let mut store = store(|connection, request| match connection {
        1 => Then::Close(Vec::new()),
        _ => well_behaved(request),
    });
    assert_eq!(store.bus.read("a"), Ok(b"value".to_vec()));
    assert_eq!(store.seen(), [(1, Op::Read, "a".to_owned()), (2, Op::Read, "a".to_owned())]);
}

#[test]
fn a_connection_that_is_lost_twice_is_an_error() {
    let mut store = store(|_, _| Then::Close(Vec::new()));
    let place = store.bus.describe();
    let lost = format!("listing a: the connection to {place} was lost: the connection was closed");
    assert_eq!(store.bus.list("a"), Err(Error::Gone(lost)));
    assert_eq!(store.seen().len(), 2);
}

#[test]
fn a_write_whose_answer_was_lost_is_not_repeated() {
    let mut store = store(|_, _| Then::Close(Vec::new()));
    assert!(matches!(store.bus.write("data/guest/1", b"{}"), Err(Error::Gone(_))));
    assert_eq!(store.seen(), [(1, Op::Write, "data/guest/1".to_owned())]);
}

#[test]
fn watches_are_set_again_on_a_new_connection_and_count_as_changed() {
    let mut store = store(|connection, request| match (connection, request.op) {
        (1, Op::Read) => Then::Close(Vec::new()),
        _ => well_behaved(request),
    });
    assert_eq!(store.bus.wait("data/host", Duration::from_secs(10)), Ok(true));
    assert_eq!(store.bus.wait("data/host", Duration::ZERO), Ok(false));
    assert_eq!(store.bus.read("a"), Ok(b"value".to_vec()));
    assert_eq!(store.bus.wait("data/host", Duration::ZERO), Ok(true));
    let host = "data/host".to_owned();
    assert_eq!(
        store.seen(),
        [
            (1, Op::Watch, host.clone()),
            (1, Op::Read, "a".to_owned()),
            (2, Op::Watch, host),
            (2, Op::Read, "a".to_owned())
        ]
    );
}

#[test]
fn a_connection_lost_while_waiting_is_made_again() {
    let mut store = store(|connection, request| match (connection, request.op) {
        (1, Op::Watch) => Then::Close(Vec::new()),
        _ => well_behaved(request),
    });
    assert_eq!(store.bus.wait("data/host", Duration::from_secs(10)), Ok(true));
}

#[test]
fn a_connection_that_is_lost_again_and_again_does_not_keep_us_waiting() {
    let mut store = store(|_, request| Then::Close(vec![answer(request, b"OK\0")]));
    assert_eq!(store.bus.wait("data/host", Duration::from_secs(1000)), Ok(true));
}

#[test]
fn a_watch_that_is_there_already_is_set() {
    let mut store = store(|_, _| refuse("EEXIST"));
    assert_eq!(store.bus.wait("data/host", Duration::ZERO), Ok(false));
}

#[test]
fn a_watch_that_is_refused_is_an_error_each_time() {
    let mut store = store(|_, _| refuse("EACCES"));
    let denied = "watching /tool: the store does not let this domain do it".to_owned();
    for _ in 0..2 {
        assert_eq!(store.bus.wait("/tool", Duration::ZERO), Err(Error::Denied(denied.clone())));
    }
}

#[test]
fn the_oldest_watch_makes_room_for_a_new_one() {
    let mut store = store(|_, request| well_behaved(request));
    for number in 0..=WATCHES_MAX {
        assert_eq!(store.bus.wait(&format!("w{number}"), Duration::from_secs(10)), Ok(true));
    }
    assert_eq!(store.bus.watches.len(), WATCHES_MAX);
    let unwatched: Vec<Seen> = store.seen().into_iter().filter(|(_, op, _)| *op == Op::Unwatch).collect();
    assert_eq!(unwatched, [(1, Op::Unwatch, "w0".to_owned())]);
}

#[test]
fn an_answer_of_another_type_is_an_error_and_ends_the_connection() {
    let mut store = store(|connection, request| match connection {
        1 => Then::Send(vec![Message { op: Op::Write, ..request.clone() }, answer(request, b"stale")]),
        _ => well_behaved(request),
    });
    let place = store.bus.describe();
    assert_eq!(
        store.bus.read("a"),
        Err(Error::Protocol(format!("reading a: {place} sent Write as an answer to Read")))
    );
    assert_eq!(store.bus.read("a"), Ok(b"value".to_vec()));
}

#[test]
fn a_long_listing_comes_in_parts() {
    let mut store = store(|_, request| match request.op {
        Op::Directory => refuse("E2BIG"),
        _ => Then::Send(vec![answer(
            request,
            match wire::texts(&request.payload)[1].as_str() {
                "0" => b"5\0a\0bc\0",
                "5" => b"5\0d\0\0",
                other => panic!("offset {other}"),
            },
        )]),
    });
    assert_eq!(store.bus.list("many"), Ok(["a", "bc", "d"].map(str::to_owned).to_vec()));
}

#[test]
fn a_listing_that_changes_on_the_way_is_begun_again() {
    let generation = Mutex::new(0);
    let mut store = store(move |_, request| {
        if request.op == Op::Directory {
            return refuse("E2BIG");
        }
        let mut generation = generation.lock().unwrap();
        *generation = 2.min(*generation + 1);
        Then::Send(vec![answer(
            request,
            match (*generation, wire::texts(&request.payload)[1].as_str()) {
                (1, _) => b"1\0gone\0",
                (_, "0") => b"2\0new\0",
                _ => b"2\0\0",
            },
        )])
    });
    assert_eq!(store.bus.list("many"), Ok(vec!["new".to_owned()]));
}

#[test]
fn a_listing_without_an_end_is_an_error() {
    for (part, why) in
        [(&b"1\0"[..], "a piece of a listing that ends within a name"), (b"1\0a\0", "the listing has no end")]
    {
        let mut store = store(move |_, request| match request.op {
            Op::Directory => refuse("E2BIG"),
            _ => Then::Send(vec![answer(request, part)]),
        });
        let rest = "the names do not fit into one answer";
        assert_eq!(store.bus.list("many"), Err(Error::TooBig(format!("listing many: {why}; {rest}"))));
    }
}

#[test]
fn the_stores_errors_are_told_in_words() {
    for (name, error) in [
        ("ENOENT", Error::NotFound("reading a: no such node".to_owned())),
        ("EACCES", Error::Denied("reading a: the store does not let this domain do it".to_owned())),
        (
            "ENOSPC",
            Error::TooBig("reading a: more than this domain's quota in the store allows (ENOSPC)".to_owned()),
        ),
        ("EIO", Error::Protocol("reading a: the store refused it with \"EIO\"".to_owned())),
        ("", Error::Protocol("reading a: the store refused it with \"\"".to_owned())),
    ] {
        let mut store = store(move |_, _| refuse(name));
        assert_eq!(store.bus.read("a"), Err(error));
    }
}

#[test]
fn removing_what_is_not_there_is_fine_even_without_its_parent() {
    let mut store = store(|_, _| refuse("ENOENT"));
    assert_eq!(store.bus.remove("no/such/node"), Ok(()));
}

#[test]
fn permissions_come_with_the_owner_first() {
    let mut store = store(|_, request| Then::Send(vec![answer(request, b"n0\0r7\0")]));
    assert_eq!(
        store.bus.permissions("vm-data"),
        Ok(vec![
            Permission { domain: 0, access: Access::None },
            Permission { domain: 7, access: Access::Read }
        ])
    );
}

#[test]
fn what_a_daemon_would_not_answer_is_not_sent() {
    let mut store = store(|_, request| well_behaved(request));
    assert_eq!(
        store.bus.write("data/x", &[b'x'; 4090]),
        Err(Error::TooBig(
            "writing data/x: path and value are 4097 bytes, 4096 fit into a message".to_owned()
        ))
    );
    assert_eq!(
        store.bus.read("a b"),
        Err(Error::Protocol("reading a b: ' ' is not allowed in a path".to_owned()))
    );
    assert_eq!(store.seen(), []);
    assert_eq!(store.bus.write("data/x", &[b'x'; 4089]), Ok(()));
}

#[test]
fn a_device_takes_no_more_than_a_guests_node_holds() {
    let mut bus = Bus::open(Place::Device("/dev/null".into())).unwrap();
    assert_eq!(
        bus.write("data/x", &[b'x'; 2049]),
        Err(Error::TooBig("writing data/x: the value has 2049 bytes, a guest's node holds 2048".to_owned()))
    );
    let path = "x".repeat(2040);
    assert_eq!(
        bus.write(&path, &[b'x'; 2040]),
        Err(Error::TooBig(format!("writing {path}: path and value are 4081 bytes, 4080 fit into a message")))
    );
}

#[test]
fn a_device_that_is_none_is_an_error() {
    for (device, error) in [
        (
            "/dev/null",
            Error::Gone(
                "reading a: the connection to /dev/null was lost: the connection was closed".to_owned(),
            ),
        ),
        (
            "/dev/zero",
            Error::Protocol("reading a: /dev/zero sent a message of the unknown type 0".to_owned()),
        ),
        (
            "/dev/full",
            Error::TooBig("reading a: more than this domain's quota in the store allows (ENOSPC)".to_owned()),
        ),
    ] {
        assert_eq!(Bus::open(Place::Device(device.into())).unwrap().read("a"), Err(error), "{device}");
    }
}

#[test]
fn an_old_store_behind_the_device_is_not_asked_for_parts() {
    // This machine's hypervisor, if it has one, decides how far it comes: both ends say the same.
    let error = Bus::open(Place::Device("/dev/full".into())).unwrap().list("a").unwrap_err();
    let Error::TooBig(text) = &error else { panic!("{error:?}") };
    assert!(text.ends_with("the names do not fit into one answer"), "{text}");
}
