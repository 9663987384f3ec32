//! `agent-answers`: asks the running agent for its version, the way the host does.
//!
//! It writes one request into the guest's own directory and takes both nodes away again, whatever comes. No other
//! check writes; `--no-probe` leaves this one out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::remedy::{Hands, mended};
use super::{ANSWER_LIMIT, of_agent};
use crate::check::Finding;
use crate::facts::init::Service;
use crate::target::Target;
use crate::xenstore::{self, Xenstore};

/// What the host writes (nova, `XenAPIBasedAgent.get_version`).
const REQUEST: &[u8] = br#"{"name":"version","value":"agent"}"#;

/// How long one wait lasts before the node is read again: an answer that came between reading and watching is not lost.
const SLICE: Duration = Duration::from_millis(200);

/// The pause after a wait that ended at once for another reason, such as the event that a new watch fires.
const PAUSE: Duration = Duration::from_millis(20);

/// How long an answer is awaited that an agent which took the request may still write.
const GRACE: Duration = Duration::from_secs(1);

/// How the agent reacted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reaction {
    /// It answered, after this time.
    Answer(Vec<u8>, Duration),
    /// It took the request and did not answer.
    Taken,
    /// The request was still there at the end.
    Nothing,
}

pub(super) fn answers(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let uuid = target.root.text_opt("proc/sys/kernel/random/uuid")?.context("making an id: no /proc")?;
        let mut store = target.xenstore()?;
        let reaction = ask(&mut *store, uuid.trim(), ANSWER_LIMIT)?;
        let by = store.describe();
        Ok(vec![judge(&reaction, &by, agent.service(), &Hands::of(target))])
    })
}

fn ask(store: &mut dyn Xenstore, id: &str, limit: Duration) -> Result<Reaction, xenstore::Error> {
    let request = format!("data/host/{id}");
    let answer = format!("data/guest/{id}");
    let reaction = exchange(store, &request, &answer, limit);
    // Both, even when the first cannot be removed or the exchange failed.
    let removed = [store.remove(&request), store.remove(&answer)];
    let reaction = reaction?;
    removed.into_iter().collect::<Result<(), _>>()?;
    Ok(reaction)
}

fn exchange(
    store: &mut dyn Xenstore,
    request: &str,
    answer: &str,
    limit: Duration,
) -> Result<Reaction, xenstore::Error> {
    let start = Instant::now();
    store.write(request, REQUEST)?;
    if let Some(value) = await_value(store, answer, limit)? {
        return Ok(Reaction::Answer(value, start.elapsed()));
    }
    match store.read(request) {
        Ok(_) => return Ok(Reaction::Nothing),
        Err(xenstore::Error::NotFound(_)) => {}
        Err(e) => return Err(e),
    }
    let late = await_value(store, answer, GRACE.min(limit))?;
    Ok(late.map_or(Reaction::Taken, |value| Reaction::Answer(value, start.elapsed())))
}

fn await_value(
    store: &mut dyn Xenstore,
    path: &str,
    limit: Duration,
) -> Result<Option<Vec<u8>>, xenstore::Error> {
    let end = Instant::now() + limit;
    loop {
        match store.read(path) {
            Ok(value) if !value.is_empty() => return Ok(Some(value)),
            Ok(_) | Err(xenstore::Error::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        if store.wait(path, left.min(SLICE))? {
            std::thread::sleep(left.min(PAUSE));
        }
    }
}

fn judge(reaction: &Reaction, by: &str, service: Option<&Service>, hands: &Hands) -> Finding {
    let commands = service.map(|service| hands.restart(service)).unwrap_or_default();
    let lost = "every request of the host times out: password resets in the panel do nothing and networks are not \
                attached";
    match reaction {
        Reaction::Answer(value, time) => match version_in(value) {
            Ok(version) => {
                Finding::ok(format!("the agent answered in {:.1} s: version {version}", time.as_secs_f32()))
                    .seen(by, "version request in data/host, answer in data/guest")
            }
            Err(reason) => {
                let finding =
                    Finding::fail(format!("the agent's answer is one that the host refuses: {reason}"))
                        .because(lost)
                        .seen(
                            "data/guest",
                            String::from_utf8_lossy(value).chars().take(200).collect::<String>(),
                        );
                mended(finding, "replace the agent", Vec::new())
            }
        },
        Reaction::Taken => {
            let finding = Finding::fail("the agent took a request and did not answer it").because(lost).seen(
                "data/host",
                format!("version request taken, no answer in data/guest within {} s", ANSWER_LIMIT.as_secs()),
            );
            mended(finding, "look into its log and the journal for the reason, then start it anew", commands)
        }
        Reaction::Nothing => {
            let finding = Finding::fail("the agent does not take requests").because(lost).seen(
                "data/host",
                format!("version request still there after {} s, through {by}", ANSWER_LIMIT.as_secs()),
            );
            mended(
                finding,
                "start it anew: its connection to XenStore is dead, or a command holds it",
                commands,
            )
        }
    }
}

/// Returns the version that an answer holds, as nova reads it: an object with two texts, code `0`.
fn version_in(value: &[u8]) -> Result<String, String> {
    let answer: serde_json::Value = serde_json::from_slice(value).map_err(|_| "it is not JSON".to_owned())?;
    let text =
        |key: &str| answer.get(key).and_then(serde_json::Value::as_str).ok_or(format!("no text in {key}"));
    match text("returncode")? {
        "0" => text("message").map(str::to_owned),
        code => Err(format!("return code {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::remedy::tests::hands;
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::unit;
    use crate::facts::init::Enabled;
    use crate::facts::os::Base;
    use std::collections::BTreeMap;
    use xenstore::Error;

    /// A store whose guest side acts when it is waited on, as a running agent would.
    struct Guest {
        nodes: BTreeMap<String, Vec<u8>>,
        takes: bool,
        answer: Option<&'static str>,
        waits: u32,
        lost: bool,
    }

    impl Xenstore for Guest {
        fn list(&mut self, _: &str) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }
        fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
            self.nodes.get(path).cloned().ok_or_else(|| Error::NotFound(path.to_owned()))
        }
        fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
            self.nodes.insert(path.to_owned(), value.to_vec());
            Ok(())
        }
        fn remove(&mut self, path: &str) -> Result<(), Error> {
            self.nodes.remove(path);
            Ok(())
        }
        fn wait(&mut self, _: &str, _: Duration) -> Result<bool, Error> {
            self.waits += 1;
            if self.lost {
                return Err(Error::Gone("reading the device".to_owned()));
            }
            // The first wait ends at once, as a new watch does.
            if self.waits > 1 {
                let host = self.nodes.keys().find(|path| path.starts_with("data/host/")).cloned();
                if let Some(host) = host.filter(|_| self.takes) {
                    assert_eq!(self.nodes.remove(&host).unwrap(), REQUEST);
                    if let Some(answer) = self.answer {
                        self.nodes.insert(host.replace("/host/", "/guest/"), answer.as_bytes().to_vec());
                    }
                }
            }
            Ok(true)
        }
        fn permissions(&mut self, path: &str) -> Result<Vec<xenstore::Permission>, Error> {
            Err(Error::NotFound(path.to_owned()))
        }
        fn describe(&self) -> String {
            "a test".to_owned()
        }
    }

    fn guest(takes: bool, answer: Option<&'static str>) -> Guest {
        Guest { nodes: BTreeMap::new(), takes, answer, waits: 0, lost: false }
    }

    fn asked(guest: &mut Guest) -> Result<Finding, Error> {
        let reaction = ask(guest, "a-b", Duration::from_secs(1));
        assert!(guest.nodes.is_empty(), "left behind: {:?}", guest.nodes);
        let service = unit("nova-agent", Enabled::Yes("x".to_owned()), &[]);
        Ok(judge(&reaction?, "a test", Some(&service), &hands(Base::RedHat)))
    }

    #[test]
    fn an_answer_is_reported_with_its_version_and_nothing_stays_behind() {
        let found = asked(&mut guest(true, Some(r#"{"message": "2.1.25", "returncode": "0"}"#))).unwrap();
        assert_eq!(found.status, Status::Ok);
        assert!(found.title.ends_with("version 2.1.25"), "{}", found.title);
    }

    #[test]
    fn silence_is_told_from_a_crash_and_from_an_answer_that_the_host_refuses() {
        let cases = [
            (guest(false, None), "the agent does not take requests"),
            (guest(true, None), "the agent took a request and did not answer it"),
            (guest(true, Some("2.1.25")), "the agent's answer is one that the host refuses: it is not JSON"),
            (
                guest(true, Some("{}")),
                "the agent's answer is one that the host refuses: no text in returncode",
            ),
            (
                guest(true, Some(r#"{"returncode": 0, "message": "2"}"#)),
                "the agent's answer is one that the host refuses: no text in returncode",
            ),
            (
                guest(true, Some(r#"{"returncode": "500", "message": "2"}"#)),
                "the agent's answer is one that the host refuses: return code 500",
            ),
        ];
        for (mut guest, title) in cases {
            let found = asked(&mut guest).unwrap();
            assert_eq!((found.status, found.title.as_str()), (Status::Fail, title));
        }
    }

    #[test]
    fn a_lost_connection_is_an_error_and_nothing_stays_behind() {
        let mut guest = Guest { lost: true, ..guest(true, None) };
        assert_eq!(asked(&mut guest), Err(Error::Gone("reading the device".to_owned())));
    }
}
