//! A request that is stuck, answered in the stead of an agent: the host stops waiting, and no agent dies of it any more.

use super::service::{ANSWERS, REQUESTS, list};
use crate::commands::Reply;
use crate::xenstore::{Error, Xenstore};

/// Refuses a request with code 500 and removes it; one that has an answer already is only removed. Returns the answer
/// as the host gets it, `None` where no such request waits.
///
/// # Errors
/// The store cannot be reached or written.
pub fn refuse(store: &mut dyn Xenstore, id: &str) -> Result<Option<String>, Error> {
    let (request, answer) = (format!("{REQUESTS}/{id}"), format!("{ANSWERS}/{id}"));
    // looked up in the list: an id that is a path leads nowhere else
    if !list(store, REQUESTS)?.iter().any(|waits| waits == id) {
        return Ok(None);
    }
    let text = match store.text_opt(&answer)? {
        Some(text) => text,
        None => {
            let text = Reply::failed("no agent could carry it out: refused by hand").to_wire();
            store.write(&answer, text.as_bytes())?;
            text
        }
    };
    store.remove(&request)?;
    Ok(Some(text))
}
