//! Logs of both agents, in the forms that they write.

use super::*;
use crate::facts::agents::tests::put;
use proptest::prelude::*;

/// Returns the log with this text.
pub(crate) fn log(text: &str) -> Log {
    let size = text.len() as u64;
    Log::parse(PATH, &Tail { text: text.to_owned(), size, cut: false })
}

/// Returns the text of a log of 2.x with these lines, one second apart.
pub(crate) fn two(lines: &[&str]) -> String {
    let stamp = |(second, line): (usize, &&str)| format!("2026-11-21 22:53:{second:02},684 [INFO ] {line}\n");
    lines.iter().enumerate().map(stamp).collect()
}

const OLD: &str = "2016-02-24 11:19:44,033 [INFO] Agent 1.39.1 started\n\
    2016-02-24 11:20:44,033 [DEBUG] Received command 'injectfile' with argument: 'c2VjcmV0'\n\
    2016-02-24 11:20:44,100 [INFO] 'injectfile' completed with code '0', message ''\n\
    2016-02-24 11:21:44,033 [DEBUG] Received command 'resetnetwork' with argument: ''\n\
    2016-02-24 11:21:44,050 [INFO] interface BC764E207572: {\"label\": \"public\"}\n\
    2016-02-24 11:21:45,033 [ERROR] Exception while trying to process command 'resetnetwork'\n\
    Traceback (most recent call last):\n  File \"x.py\", line 1\nSystemError: no\n\
    2016-02-24 11:21:46,033 [INFO] 'resetnetwork' completed with code '500', message \"Couldn't restart network: 256\"\n";

#[test]
fn both_forms_give_the_same_events() {
    let new = two(&[
        "Agent is starting up",
        "Skipping os.fork as directed by arguments",
        "Starting actions for novaagent.libs.centos",
        "Event: 1b2c -> keyinit",
        "Returning {\"message\": \"123\", \"returncode\": \"D0\"}",
        "Event: 3d4e -> resetnetwork",
        "Returning {\"message\": \"Error \"a\": b'c'\", \"returncode\": \"1\"}",
    ]);
    let facts = |text: &str| {
        let log = log(text);
        let runs = log.runs();
        assert_eq!(runs.len(), 1);
        let events = runs[0].events();
        events
            .iter()
            .map(|e| {
                let answer = e.answer.map(|a| (a.code.to_owned(), a.message.to_owned()));
                (e.id.map(str::to_owned), e.name.to_owned(), answer)
            })
            .collect::<Vec<_>>()
    };
    let event = |id: Option<&str>, name: &str, code: &str, message: &str| {
        (id.map(str::to_owned), name.to_owned(), Some((code.to_owned(), message.to_owned())))
    };
    assert_eq!(
        facts(&new),
        [
            event(Some("1b2c"), "keyinit", "D0", "123"),
            event(Some("3d4e"), "resetnetwork", "1", "Error \"a\": b'c'")
        ]
    );
    assert_eq!(
        facts(OLD),
        [
            event(None, "injectfile", "0", ""),
            event(None, "resetnetwork", "500", "Couldn't restart network: 256")
        ]
    );
}

#[test]
fn a_start_begins_a_run_in_every_release() {
    let cases: [(&[&str], usize); 5] = [
        (
            &["Agent is starting up", "Starting daemon", "PID: 7", "Agent is starting up", "Starting daemon"],
            2,
        ),
        (&["Starting daemon", "a", "b", "c", "Starting daemon", "a"], 2),
        (&["Event: a -> version", "Agent is starting up"], 2),
        (&["a", "b"], 1),
        (&["Agent 1.39.1 started", "Agent stopping", "Agent 1.39.1 started"], 2),
    ];
    for (lines, want) in cases {
        assert_eq!(log(&two(lines)).runs().len(), want, "{lines:?}");
    }
}

#[test]
fn an_event_without_an_answer_has_none() {
    let log = log(&two(&["Agent is starting up", "Event: a -> version", "Event: b -> password"]));
    let events = log.runs()[0].events();
    assert_eq!(
        events.iter().map(|e| (e.name, e.answer)).collect::<Vec<_>>(),
        [("version", None), ("password", None)]
    );
}

#[test]
fn the_machine_is_known_by_the_last_reset_that_shows_its_interfaces() {
    let lines = [
        "Agent is starting up",
        "Event: a -> resetnetwork",
        "Interface BC764E000001: {\"label\": \"source\"}",
        "Returning {\"message\": \"\", \"returncode\": \"0\"}",
        "Agent is starting up",
        "Event: b -> resetnetwork",
        "Interface bc764e207572: {\"label\": \"public\"}",
        "Interface BC764E207572: {\"label\": \"public\"}",
        "Interface BC764E203B70: {\"label\": \"private\"}",
        "Interface BC764E999999: None",
        "Interface ../../etc: {}",
        "Returning {\"message\": \"\", \"returncode\": \"0\"}",
        "Event: c -> resetnetwork",
    ];
    assert_eq!(log(&two(&lines)).machine_macs(), ["BC764E203B70", "BC764E207572"]);
    assert_eq!(log(&two(&lines[..2])).machine_macs(), Vec::<String>::new());
}

#[test]
fn what_a_request_carried_is_not_quoted() {
    assert_eq!(log(OLD).lines[1].quote(), "2016-02-24 11:20:44 Received command 'injectfile'");
}

#[test]
fn a_rotated_log_counts_only_when_the_log_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert_eq!(Log::read(&root).unwrap(), None);
    put(dir.path(), "var/log/nova-agent.log.1", two(&["old"]));
    put(dir.path(), "var/log/nova-agent.log.2.gz", "x");
    put(dir.path(), PATH, "");
    assert_eq!(Log::read(&root).unwrap().unwrap().path, "var/log/nova-agent.log.1");
    put(dir.path(), PATH, two(&["new"]));
    assert_eq!(Log::read(&root).unwrap().unwrap().path, PATH);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "makes the root that is read")]
fn the_log_that_was_written_last_counts_and_each_agent_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let put_at = |path: &str, text: String, second: u64| {
        put(dir.path(), path, text);
        let file = std::fs::File::options().write(true).open(dir.path().join(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
    };
    let newest = || Log::read(&root).unwrap().map(|log| log.path);
    let of = |kind| Log::of(&root, kind).unwrap().map(|log| log.path);
    put_at(PATH, two(&["old"]), 100);
    assert_eq!((newest().as_deref(), of(Kind::Novactl)), (Some(PATH), None));
    put_at("var/log/novactl-agent.log.1", two(&["older"]), 50);
    assert_eq!(newest().as_deref(), Some(PATH), "a rotated log only where no log has a line");
    assert_eq!(of(Kind::Novactl).as_deref(), Some("var/log/novactl-agent.log.1"));
    put_at(NOVACTL_PATH, two(&["new"]), 200);
    assert_eq!(newest().as_deref(), Some(NOVACTL_PATH));
    assert_eq!((of(Kind::Nova2).as_deref(), of(Kind::Nova1).as_deref()), (Some(PATH), Some(PATH)));
    put_at(PATH, two(&["newer"]), 300);
    assert_eq!((newest().as_deref(), of(Kind::Novactl).as_deref()), (Some(PATH), Some(NOVACTL_PATH)));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "makes the root that is read")]
fn a_sparse_log_of_ten_gigabytes_is_read_by_its_end() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), PATH, "");
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join(PATH)).unwrap();
    file.set_len(10 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, format!("\n{}", two(&["end"])).as_bytes(), 10 << 30)
        .unwrap();
    let log = Log::read(&Root::open(dir.path()).unwrap()).unwrap().unwrap();
    assert!(log.lines.last().unwrap().text.ends_with("end"), "{:?}", log.lines.last());
    assert!(log.size > 10 << 30);
    assert_eq!(log.lines.last().unwrap().number, None);
}

proptest! {
    #[test]
    fn any_log_is_read_without_a_panic(
        text in "(\\PC{0,20}|\n|2026-11-21 22:53:01,684 \\[INFO \\] |Event: |-> |Returning \\{\"message\": \"|\
                 \", \"returncode\": \"|Interface |Agent |started|'|' completed with code ')*"
    ) {
        let log = log(&text);
        for run in log.runs() {
            for event in run.events() {
                event.macs();
            }
        }
        log.machine_macs();
        log.lines.iter().for_each(|line| drop(line.quote()));
    }
}
