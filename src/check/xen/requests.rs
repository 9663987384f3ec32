//! `requests-answered` and `answers-collected`: what lies in `data/host` and `data/guest`.
//!
//! The store keeps no times, so the age of a request is not told. A request is stuck when it is malformed; when the
//! agent's log shows that the agent took it up and ended without an answer; or when it stays through a watch while
//! no agent runs. One that stays while an agent runs is a note: the old agent looks every ten seconds, and a network
//! reset takes up to a minute.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{list_opt, read_opt, with_store};
use crate::agent::tidy;
use crate::check::{Finding, Status};
use crate::exec::Cmd;
use crate::facts::agents::process;
use crate::plan::{LiveStep, Needs, Plan};
use crate::target::Target;
use crate::xenstore::{Error, Xenstore};

const REQUESTS: &str = "data/host";
const ANSWERS: &str = "data/guest";
const LOG: &str = "var/log/nova-agent.log";

/// Requests that are looked at: the host sends one after the other.
const REQUESTS_MAX: usize = 32;
/// More answers than this come near the quota: C xenstored takes about 50 of a guest, oxenstored about 1000 nodes.
const ANSWERS_MAX: usize = 200;
/// The end of the log that is read, in bytes: the last start of the agent and what came after it.
const LOG_TAIL: u64 = 256 << 10;
/// How long refusing one may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a request is watched, on top of the check's own time.
pub(super) const WATCH: Duration = Duration::from_millis(1200);

/// What nova, its dom0 plugin and the provider's tools send.
const COMMANDS: [&str; 9] = [
    "version",
    "features",
    "keyinit",
    "password",
    "resetnetwork",
    "injectfile",
    "file_inject",
    "kmsactivate",
    "agentupdate",
];

pub(super) fn requests_answered(target: &Target) -> Result<Vec<Finding>> {
    with_store(target, |store| {
        let requests = Request::all(store)?;
        if requests.is_empty() {
            return Ok(vec![Finding::ok("no request waits").seen(REQUESTS, "empty")]);
        }
        let log = target.root.tail_opt(LOG, LOG_TAIL)?.map(|tail| tail.text).unwrap_or_default();
        let agent_runs = target.processes().iter().any(|process| process::kind_of(process).is_some());
        let judge = |request: &Request| request.stuck(&log, agent_runs);
        let mut findings: Vec<Finding> = requests.iter().filter_map(judge).collect();
        let waiting: Vec<Request> = requests.into_iter().filter(|request| judge(request).is_none()).collect();
        let waited = still_there(store, waiting)?;
        findings.extend(waited.iter().map(|request| request.waits(agent_runs)));
        if findings.is_empty() {
            findings.push(Finding::ok("a request came and was answered").seen(REQUESTS, "empty"));
        }
        Ok(findings)
    })
}

/// A request of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    id: String,
    /// Its command, or what is wrong with it.
    command: Result<String, String>,
}

impl Request {
    fn all(store: &mut dyn Xenstore) -> Result<Vec<Self>, Error> {
        let mut requests = Vec::new();
        for id in list_opt(store, REQUESTS)?.into_iter().take(REQUESTS_MAX) {
            // It may have been answered since the list was made.
            if let Some(value) = read_opt(store, &format!("{REQUESTS}/{id}"))? {
                requests.push(Self { id, command: command(&value) });
            }
        }
        Ok(requests)
    }

    /// Says why it is stuck, when that can be told at once.
    fn stuck(&self, log: &str, agent_runs: bool) -> Option<Finding> {
        let path = format!("{REQUESTS}/{}", self.id);
        let command = match &self.command {
            Ok(command) => command,
            Err(fault) => {
                return Some(
                    fail("a malformed request is stuck", &self.id)
                        .because("agent 2.x dies on it, and again at every start while it is there")
                        .seen(path, fault),
                );
            }
        };
        let (line, times) = taken_up(log, &self.id, agent_runs)?;
        let again = if times > 1 { format!(", {times} times") } else { String::new() };
        Some(
            fail(format!("the agent died on a {command} request{again}"), &self.id)
                .because("it runs a request before it removes it, so it dies again at its next start")
                .seen(path, format!("{command}, no answer"))
                .seen(LOG, line),
        )
    }

    /// What is to be said when it is still there after the watch.
    fn waits(&self, agent_runs: bool) -> Finding {
        let command = self.command.as_deref().unwrap_or("malformed");
        let path = format!("{REQUESTS}/{}", self.id);
        if !agent_runs {
            return fail(format!("a {command} request waits, and no agent runs"), &self.id)
                .because("the host gives up after 30 s (60 s for the network)")
                .seen(path, format!("{command}, no answer"));
        }
        Finding::note(format!("a {command} request waits"))
            .about(&self.id)
            .because("a request that is still there a minute later is stuck: look again")
            .seen(path, format!("{command}, no answer within {:.1} s", WATCH.as_secs_f32()))
    }
}

fn fail(title: impl Into<String>, id: &str) -> Finding {
    let finding = Finding::fail(title).about(id).mend("refuse it, then start the agent");
    finding.by(&["novactl", "agent", "refuse", id])
}

/// Refuses what is stuck: the host hears it at once, and nothing can be taken back.
pub(super) fn fix(target: &Target) -> Result<Plan> {
    let stuck = requests_answered(target)?.into_iter().filter(|finding| finding.status == Status::Fail);
    let ids = stuck.filter_map(|finding| finding.subject);
    let steps = ids.map(|id| own(target, "refuse", &["--", &id], LIMIT)).collect::<Result<_>>()?;
    Ok(plan("refuse the requests that are stuck", steps))
}

/// Removes the answers that the host has had time to read; nothing can be taken back.
pub(super) fn tidy(target: &Target) -> Result<Plan> {
    if answers_collected(target)?.iter().all(|finding| finding.status == Status::Ok) {
        bail!("answers do not pile up");
    }
    let step = own(target, "tidy", &[], tidy::LIMIT)?;
    Ok(plan("remove old answers", vec![step]))
}

fn plan(title: &str, steps: Vec<LiveStep>) -> Plan {
    Plan { verb: "fix", title: title.to_owned(), steps, ..Plan::default() }
}

/// Has this program do it with the store: a plan's files are those of the guest.
fn own(target: &Target, verb: &str, words: &[&str], limit: Duration) -> Result<LiveStep> {
    let own = std::env::current_exe().context("looking for the own program")?;
    let own = own.to_string_lossy();
    let options = target.options();
    let mut argv = vec![&*own, "agent", verb, "--yes"];
    argv.extend(options.iter().map(String::as_str));
    argv.extend(words);
    Ok(LiveStep { run: Cmd::new(&argv).within(limit), back: None, needs: Needs::Any })
}

/// Returns the command of a request, or what is wrong with it.
fn command(value: &str) -> Result<String, String> {
    let request: Value = serde_json::from_str(value).map_err(|e| format!("not JSON: {e}"))?;
    let Some(members) = request.as_object() else { return Err("not a JSON object".to_owned()) };
    let Some(name) = members.get("name").and_then(Value::as_str) else {
        return Err("no command: \"name\" is missing or no text".to_owned());
    };
    let Some(argument) = members.get("value") else { return Err(format!("{name}: \"value\" is missing")) };
    if !COMMANDS.contains(&name) {
        return Err(format!("unknown command {name:?}"));
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if name == "keyinit" && !argument.is_number() && !argument.as_str().is_some_and(is_number) {
        return Err("keyinit: the key is not a number".to_owned());
    }
    Ok(name.to_owned())
}

/// Returns the last line of the log in which the agent takes up the request, and how often it did, when it ended
/// without an answer: the log goes on with another start, or no agent runs any more.
fn taken_up(log: &str, id: &str, agent_runs: bool) -> Option<(String, usize)> {
    let event = format!("Event: {id}");
    let (mut line, mut times, mut open, mut died) = (None, 0, false, false);
    for text in log.lines() {
        if text.contains(&event) {
            (line, times, open, died) = (Some(text), times + 1, true, false);
        } else if text.contains("Returning {") {
            open = false;
        } else if open && text.contains("Agent is starting up") {
            died = true;
        }
    }
    let ended = open && (died || times > 1 || !agent_runs);
    line.filter(|_| ended).map(|line| (line.to_owned(), times))
}

/// Watches requests until they are gone or the time is over; returns those that are still there.
fn still_there(store: &mut dyn Xenstore, mut waiting: Vec<Request>) -> Result<Vec<Request>, Error> {
    let end = Instant::now() + WATCH;
    while !waiting.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !store.wait(REQUESTS, left)? {
            break;
        }
        let there = list_opt(store, REQUESTS)?;
        waiting.retain(|request| there.contains(&request.id));
    }
    Ok(waiting)
}

pub(super) fn answers_collected(target: &Target) -> Result<Vec<Finding>> {
    with_store(target, |store| match list_opt(store, ANSWERS) {
        Ok(answers) => Ok(vec![collected(answers.len())]),
        // oxenstored gives a guest no listing that is longer than a message: about 110 of these names.
        Err(Error::TooBig(text)) => {
            Ok(vec![piled_up(format!("more old answers lie in {ANSWERS} than a listing holds"), text)])
        }
        Err(e) => Err(e.into()),
    })
}

fn collected(count: usize) -> Finding {
    if count <= ANSWERS_MAX {
        return Finding::ok("answers do not pile up").seen(ANSWERS, format!("{count} entries"));
    }
    piled_up(format!("{count} old answers lie in {ANSWERS}"), format!("{count} entries"))
}

fn piled_up(title: String, seen: String) -> Finding {
    Finding::warn(title)
        .because("nobody removes them; when the guest's quota is used up, no command is answered any more")
        .seen(ANSWERS, seen)
        .mend(
            "remove them: the host reads an answer within a second (a restart of the guest clears them, too)",
        )
        .by(&["novactl", "agent", "tidy"])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::store;
    use super::*;
    use crate::check::Status;

    #[test]
    fn requests_that_kill_the_old_agent_are_malformed() {
        for (value, expected) in [
            (r#"{"name": "version", "value": "agent"}"#, Ok("version")),
            (r#"{"name": "keyinit", "value": "162259276829213363391578010288126"}"#, Ok("keyinit")),
            (r#"{"name": "keyinit", "value": 5}"#, Ok("keyinit")),
            (r#"{"name": "resetnetwork", "value": ""}"#, Ok("resetnetwork")),
            (r#"{"name": "keyinit", "value": "abc"}"#, Err("keyinit: the key is not a number")),
            (r#"{"name": "hostname_file", "value": ""}"#, Err("unknown command \"hostname_file\"")),
            (r#"{"name": "version"}"#, Err("version: \"value\" is missing")),
            (r#"{"value": ""}"#, Err("no command: \"name\" is missing or no text")),
            ("[]", Err("not a JSON object")),
            (r#"{"name": "#, Err("not JSON: EOF while parsing a value at line 1 column 9")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(command(value), expected, "{value}");
        }
    }

    #[test]
    fn the_log_tells_a_request_that_killed_the_agent() {
        let start = "2026-11-21 22:53:20,000 [INFO ] Agent is starting up\n";
        let event = "2026-11-21 22:53:23,684 [INFO ] Event: U-1 -> password\n";
        let answer = "2026-11-21 22:53:24,000 [INFO ] Returning {\"message\": \"\", \"returncode\": \"0\"}\n";
        for (log, agent_runs, times) in [
            ([start, event].concat(), true, None),
            ([start, event].concat(), false, Some(1)),
            ([start, event, start].concat(), true, Some(1)),
            ([start, event, start, event].concat(), true, Some(2)),
            ([start, event, answer].concat(), false, None),
            ([start, event, answer, start].concat(), true, None),
            (start.to_owned(), false, None),
        ] {
            assert_eq!(taken_up(&log, "U-1", agent_runs).map(|(_, times)| times), times, "{log}");
        }
    }

    #[test]
    fn a_request_that_stays_is_a_fault_without_an_agent_and_a_note_with_one() {
        let mut store = store(r#"{"data": {"host": {"U-1": "{\"name\": \"version\", \"value\": \"\"}"}}}"#);
        let requests = Request::all(&mut *store).unwrap();
        assert_eq!(requests.len(), 1);
        let left = still_there(&mut *store, requests.clone()).unwrap();
        assert_eq!(left, requests);
        assert_eq!(left[0].stuck("", true), None);
        assert_eq!((left[0].waits(true).status, left[0].waits(false).status), (Status::Note, Status::Fail));
    }

    #[test]
    fn two_hundred_answers_are_no_fault_and_one_more_is() {
        assert_eq!((collected(200).status, collected(201).status), (Status::Ok, Status::Warn));
    }

    proptest! {
        #[test]
        fn any_request_and_any_log_are_read_without_panic(value in ".*", log in "(Event: U|Returning \\{|\n|.){0,40}") {
            let _ = (command(&value), taken_up(&log, "U", true));
        }
    }
}
