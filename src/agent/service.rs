//! From a request in `data/host` to its answer in `data/guest`.
//!
//! The answer is written first and the request removed then, so a crash between the two loses nothing: a request whose
//! answer is there already is only removed. An answer that could not be written is kept and not worked out again.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::answers::{Answers, SEEN_AFTER};
use super::executor::Executor;
use super::notify::Notify;
use super::place::Place;
use crate::commands::{Reply, Request};
use crate::xenstore::{Error, Xenstore};

pub(super) const REQUESTS: &str = "data/host";
pub(super) const ANSWERS: &str = "data/guest";

/// How often room for an answer is looked for before the request is left for the next pass.
const ROOM_TRIES: usize = 4;

/// The connection to the host and what is on its way.
pub(super) struct Service {
    store: Option<Box<dyn Xenstore>>,
    executor: Executor,
    answers: Answers,
    /// Answers that are not in the store yet, by request.
    unwritten: HashMap<String, Reply>,
    /// Requests that cannot be served, each said once.
    left: HashSet<String>,
}

impl Service {
    pub(super) fn new(executor: Executor) -> Self {
        Self {
            store: None,
            executor,
            answers: Answers::default(),
            unwritten: HashMap::new(),
            left: HashSet::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.store.is_some()
    }

    /// Connects, and takes over the answers that an earlier agent left.
    pub(super) fn open(&mut self, place: &Place) -> Result<(), Error> {
        let mut store = place.store()?;
        tracing::info!("listening on {}", store.describe());
        // a store that does not answer is none
        match store.text_opt("vm-data/provider_data/provider")? {
            Some(provider) => tracing::info!("Provider: {provider}"),
            None => tracing::info!("the host names no provider; its requests are served all the same"),
        }
        let now = Instant::now();
        for id in list(&mut *store, ANSWERS)?.into_iter().filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
            self.answers.note(&id, now);
        }
        self.store = Some(store);
        Ok(())
    }

    /// Serves what waits, in the host's order, until nothing does.
    ///
    /// # Errors
    /// The store is gone; what was worked out already is kept.
    pub(super) fn serve_all(&mut self, notify: &Notify) -> Result<(), Error> {
        loop {
            self.executor.expire();
            self.tidy()?;
            let Some(store) = &mut self.store else { return Ok(()) };
            let ids = list(&mut **store, REQUESTS)?;
            self.unwritten.retain(|id, _| ids.contains(id));
            self.left.retain(|id| ids.contains(id));
            let mut served = 0;
            for id in ids {
                notify.alive();
                match self.serve(&id) {
                    Ok(needed_work) => served += usize::from(needed_work),
                    Err(error @ Error::Gone(_)) => return Err(error),
                    // one that may not be read or removed must not hold up the others
                    Err(error) => self.leave(&id, &error),
                }
            }
            if served == 0 {
                return Ok(());
            }
        }
    }

    /// Whether another release waits to go on in the place of this one, now that everything is answered; said once.
    pub(super) fn hands_over(&mut self) -> bool {
        self.unwritten.is_empty() && self.executor.take_replaced()
    }

    /// Waits until there is something to look at, at most `limit` long.
    ///
    /// # Errors
    /// The store is gone.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<(), Error> {
        let limit = self.answers.next_due(Instant::now()).map_or(limit, |due| due.min(limit));
        // an answer for which there was no room is tried again soon
        let limit = if self.unwritten.is_empty() { limit } else { limit.min(SEEN_AFTER) };
        match &mut self.store {
            Some(store) => store.wait(REQUESTS, limit).map(drop),
            None => Ok(()),
        }
    }

    /// Serves one request; whether it was one that needed work.
    fn serve(&mut self, id: &str) -> Result<bool, Error> {
        let Some(store) = &mut self.store else { return Ok(false) };
        let (request, answer) = (format!("{REQUESTS}/{id}"), format!("{ANSWERS}/{id}"));
        if store.text_opt(&answer)?.is_some() {
            store.remove(&request)?;
            self.unwritten.remove(id);
            return Ok(false);
        }
        if !self.unwritten.contains_key(id) {
            let bytes = match store.read(&request) {
                Ok(bytes) => bytes,
                // the host gave up in the meantime
                Err(Error::NotFound(_)) => return Ok(false),
                Err(error) => return Err(error),
            };
            tracing::info!("Event: {id} -> {}", Request::name_in(&bytes));
            let reply = self.executor.answer(id, &bytes);
            tracing::info!("Returning {}", reply.to_wire());
            self.unwritten.insert(id.to_owned(), reply);
        }
        let Some(text) = self.unwritten.get(id).map(Reply::to_wire) else { return Ok(false) };
        if !self.write(&answer, &text)? {
            return Ok(false);
        }
        self.answers.note(id, Instant::now());
        if let Some(store) = &mut self.store {
            store.remove(&request)?;
        }
        self.unwritten.remove(id);
        Ok(true)
    }

    /// Says of a request that it cannot be served.
    fn leave(&mut self, id: &str, error: &Error) {
        if self.left.insert(id.to_owned()) {
            tracing::error!("the request {id} is left alone: {error}");
        }
    }

    /// Writes an answer, if need be in the place of older ones; whether there was room.
    fn write(&mut self, path: &str, text: &str) -> Result<bool, Error> {
        for _ in 0..ROOM_TRIES {
            let Some(store) = &mut self.store else { return Ok(false) };
            match store.write(path, text.as_bytes()) {
                Ok(()) => return Ok(true),
                Err(Error::TooBig(_)) => {}
                Err(error) => return Err(error),
            }
            let mut has_room = false;
            while let Some(old) = self.answers.seen(Instant::now()) {
                store.remove(&format!("{ANSWERS}/{old}"))?;
                has_room = true;
            }
            if !has_room {
                // the host looks every half second: the oldest answer has to be there for some of its looks
                std::thread::sleep(SEEN_AFTER);
            }
        }
        tracing::error!("there is no room in {ANSWERS} for an answer: the host's quota is used up");
        Ok(false)
    }

    /// Removes the own answers that the host has long seen.
    fn tidy(&mut self) -> Result<(), Error> {
        let Some(store) = &mut self.store else { return Ok(()) };
        while let Some(id) = self.answers.due(Instant::now()) {
            store.remove(&format!("{ANSWERS}/{id}"))?;
        }
        Ok(())
    }
}

pub(super) fn list(store: &mut dyn Xenstore, path: &str) -> Result<Vec<String>, Error> {
    match store.list(path) {
        // a host that has not asked anything yet
        Err(Error::NotFound(_)) => Ok(Vec::new()),
        other => other,
    }
}
