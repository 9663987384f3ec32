//! Answers that nobody collects, removed when the host has had time to read them.
//!
//! The store keeps no times. The host looks for an answer every half second (every three seconds before 2012) for as
//! long as it waits, so one that has been there for [`STANDS`] is read or never will be. Where the names do not fit into
//! a listing (oxenstored, above about 110) single ones cannot be told: then the whole directory goes, once for that
//! long nothing was asked and nothing answered. The next answer makes it again, with the permissions of its parent.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::service::{ANSWERS, REQUESTS, list};
use crate::xenstore::{Error, Xenstore};

/// How long an answer has been there when it is old.
pub const STANDS: Duration = Duration::from_secs(10);

/// How long a quiet moment is waited for: longer than the host's longest time limit, that of the network.
const QUIET_WITHIN: Duration = Duration::from_secs(70);

/// The longest that it takes, with the requests to the store.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Removes the answers that are there now and still are when they have `stood`. Returns how many; `None` when it was
/// all of them, uncounted.
///
/// # Errors
/// The store cannot be reached or written; or there are too many to list, and host and agent are at work.
pub fn tidy(store: &mut dyn Xenstore, stood: Duration) -> Result<Option<usize>> {
    let answers = match list(store, ANSWERS) {
        Ok(answers) => answers,
        Err(Error::TooBig(_)) => {
            remove_all(store, stood, QUIET_WITHIN)?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if answers.is_empty() {
        return Ok(Some(0));
    }
    std::thread::sleep(stood);
    Ok(Some(remove(store, &answers)?))
}

/// Removes those of these names that are answers to what nobody asks any more.
fn remove(store: &mut dyn Xenstore, names: &[String]) -> Result<usize, Error> {
    // what was answered and not removed is carried out once more by an agent that finds no answer
    let requests = list(store, REQUESTS)?;
    let old: Vec<&String> = names.iter().filter(|id| !requests.contains(id)).collect();
    for id in &old {
        store.remove(&format!("{ANSWERS}/{id}"))?;
    }
    Ok(old.len())
}

fn remove_all(store: &mut dyn Xenstore, quiet: Duration, within: Duration) -> Result<()> {
    let parent = store.permissions("data")?;
    if store.permissions(ANSWERS)? != parent {
        bail!("{ANSWERS} has permissions of its own, which it would lose: a restart of the server clears it");
    }
    let end = Instant::now() + within;
    store.wait(REQUESTS, Duration::ZERO)?;
    store.wait(ANSWERS, Duration::ZERO)?;
    while store.wait(ANSWERS, quiet)?
        || store.wait(REQUESTS, Duration::ZERO)?
        || !list(store, REQUESTS)?.is_empty()
    {
        if Instant::now() >= end {
            bail!(
                "the host has requests all the time, or one is stuck: novactl doctor --only requests-answered"
            );
        }
    }
    Ok(store.remove(ANSWERS)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstore::tree::Tree;

    const OLD: &str = "11111111-1111-4111-8111-111111111111";
    const ASKED: &str = "22222222-2222-4222-8222-222222222222";

    const NEW: &str = "33333333-3333-4333-8333-333333333333";

    fn store(requests: &str, answers: &[&str]) -> Tree {
        let answers: Vec<String> = answers.iter().map(|id| format!("\"{id}\": \"x\"")).collect();
        let dump = format!(r#"{{"data": {{"host": {{{requests}}}, "guest": {{{}}}}}}}"#, answers.join(", "));
        Tree::parse("dump", dump.as_bytes()).unwrap()
    }

    #[test]
    fn what_came_later_and_what_is_asked_still_stays() {
        let mut store = store(&format!("\"{ASKED}\": \"{{}}\""), &[OLD, ASKED]);
        let names = list(&mut store, ANSWERS).unwrap();
        store.write(&format!("{ANSWERS}/{NEW}"), b"x").unwrap();
        assert_eq!(remove(&mut store, &names), Ok(1));
        assert_eq!(store.list(ANSWERS).unwrap(), [ASKED, NEW]);
        assert_eq!(tidy(&mut store, Duration::ZERO).unwrap(), Some(1));
        assert_eq!(tidy(&mut store, Duration::ZERO).unwrap(), Some(0));
        let mut empty = Tree::parse("dump", b"{}").unwrap();
        assert_eq!(tidy(&mut empty, Duration::ZERO).unwrap(), Some(0));
    }

    #[test]
    fn all_are_removed_when_nothing_is_asked_and_not_before() {
        let mut busy = store(&format!("\"{ASKED}\": \"{{}}\""), &[OLD]);
        let error = remove_all(&mut busy, Duration::ZERO, Duration::ZERO).unwrap_err().to_string();
        assert!(error.starts_with("the host has requests all the time"), "{error}");
        assert_eq!(busy.list(ANSWERS).unwrap(), [OLD]);
        let mut quiet = store("", &[OLD]);
        remove_all(&mut quiet, Duration::ZERO, QUIET_WITHIN).unwrap();
        assert_eq!(list(&mut quiet, ANSWERS), Ok(Vec::new()));
    }
}
