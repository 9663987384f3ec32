//! A store behind a device or a socket: requests with a deadline, watches, and a connection that is made again.
//!
//! One request is on its way at a time and its answer is known by its type, because some kernels give back another
//! request number than they were given: watches on the device are answered with number 0, and Linux 4.11 and a
//! few after it put their own. So after anything unclear, such as an answer that did not come in time, the
//! connection is closed: what it still had to say can not be taken for the answer to the next request.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::channel::{Channel, Failure, Place};
use super::wire::{self, HEADER, Message, Op, PAYLOAD_MAX};
use super::{Error, Permission, Xenstore};

/// How long an answer is waited for. A daemon answers within a millisecond; oxenstored leaves some requests
/// unanswered for ever.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The most a node of a guest holds, in bytes: `quota-maxsize` of oxenstored and `entry-size` of xenstored. The
/// latter counts permissions and children's names too, so it may refuse less.
const GUEST_NODE_MAX: usize = 2048;

/// Watches kept at once; the oldest makes room. Guests are allowed 100 by oxenstored, 128 by xenstored.
const WATCHES_MAX: usize = 8;

/// The most pieces of a listing, about 4 KiB each.
const PARTS_MAX: usize = 512;

/// How often a listing is begun again because the node changed while it was read in pieces.
const LISTING_TRIES: usize = 8;

/// A store that answers over a connection.
#[derive(Debug)]
pub(super) struct Bus {
    place: Place,
    limit: Duration,
    channel: Option<Channel>,
    requests: u32,
    watches: Vec<Watch>,
}

/// A path that is watched. Events only say that it is worth looking again, so one flag holds any number of them.
#[derive(Debug)]
struct Watch {
    path: String,
    token: String,
    fired: bool,
}

impl Bus {
    /// Returns the store at `place`, connected.
    pub(super) fn open(place: Place) -> Result<Self, Errno> {
        let channel = place.connect(ANSWER_LIMIT)?;
        Ok(Self { place, limit: ANSWER_LIMIT, channel: Some(channel), requests: 0, watches: Vec::new() })
    }

    /// Sends a request and returns the answer's payload; `doing` is the start of an error's text.
    fn ask(&mut self, op: Op, payload: Vec<u8>, doing: &str) -> Result<Vec<u8>, Error> {
        let payload_max = match self.place {
            Place::Device(_) => PAYLOAD_MAX - HEADER, // both in one buffer: xenbus_dev_frontend.c
            Place::Socket(_) => PAYLOAD_MAX,
        };
        if payload.len() > payload_max {
            let size = payload.len();
            return Err(Error::TooBig(format!(
                "{doing}: path and value are {size} bytes, {payload_max} fit into a message"
            )));
        }
        let was_connected = self.channel.is_some();
        let result = match self.attempt(op, &payload) {
            Err(failure) if was_connected && may_be_repeated(op, &failure) => {
                tracing::debug!("{doing}: connecting to {} again: {failure:?}", self.describe());
                self.attempt(op, &payload)
            }
            result => result,
        };
        result.map_err(|failure| self.error(failure, doing))
    }

    /// Sends a request once, over a new connection if there is none.
    fn attempt(&mut self, op: Op, payload: &[u8]) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + self.limit;
        self.connect(deadline)?;
        self.exchange(op, payload, deadline)
    }

    /// Connects unless there is a connection, and sets the watches again.
    fn connect(&mut self, deadline: Instant) -> Result<(), Failure> {
        if self.channel.is_some() {
            return Ok(());
        }
        let connected = self.place.connect(self.limit);
        self.channel = Some(connected.map_err(|errno| Failure::Unreachable(super::words(errno)))?);
        for mut watch in std::mem::take(&mut self.watches) {
            // Nobody knows what happened in between. It also ends a wait that lost its connection.
            watch.fired = true;
            let payload = wire::words(&[&watch.path, &watch.token]);
            // Known before it is asked for: its first event can come before the answer.
            self.watches.push(watch);
            match self.exchange(Op::Watch, &payload, deadline) {
                Ok(_) => {}
                // Who waits for it next sets it anew, and is told why that does not work.
                Err(Failure::Refused(_)) => drop(self.watches.pop()),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Sends a request over the open connection and takes in what comes until its answer.
    fn exchange(&mut self, op: Op, payload: &[u8], deadline: Instant) -> Result<Vec<u8>, Failure> {
        self.requests = self.requests.wrapping_add(1);
        let request = Message { op, request: self.requests, payload: payload.to_vec() };
        match self.send_and_receive(&request, deadline) {
            // Set already, by the connection that was made for it.
            Err(Failure::Refused(name)) if op == Op::Watch && name == "EEXIST" => Ok(Vec::new()),
            Err(Failure::Refused(name)) => Err(Failure::Refused(name)),
            Err(failure) => {
                self.channel = None; // its answer may still be on the way
                Err(failure)
            }
            Ok(payload) => Ok(payload),
        }
    }

    fn send_and_receive(&mut self, request: &Message, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let Some(channel) = &mut self.channel else {
            return Err(Failure::Unsent("there is no connection".to_owned()));
        };
        channel.send(request, deadline)?;
        loop {
            let message = channel.receive(deadline)?;
            match message.op {
                Op::WatchEvent => note_event(&mut self.watches, &message),
                Op::Error => {
                    let name = wire::texts(&message.payload).into_iter().next();
                    return Err(Failure::Refused(name.unwrap_or_default()));
                }
                op if op == request.op => return Ok(message.payload),
                op => return Err(Failure::Malformed(format!("{op:?} as an answer to {:?}", request.op))),
            }
        }
    }

    /// Makes sure that `path` is watched.
    fn watch(&mut self, path: &str, doing: &str) -> Result<(), Error> {
        if self.watches.iter().any(|watch| watch.path == path) {
            return Ok(());
        }
        if self.watches.len() >= WATCHES_MAX {
            let oldest = self.watches.remove(0);
            match self.ask(Op::Unwatch, wire::words(&[&oldest.path, &oldest.token]), doing) {
                // not there on a connection that was made just now
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let token = format!("novactl-{}", self.requests);
        self.watches.push(Watch { path: path.to_owned(), token: token.clone(), fired: false });
        let set = self.ask(Op::Watch, wire::words(&[path, &token]), doing);
        if set.is_err() {
            self.watches.retain(|watch| watch.token != token);
        }
        set.map(drop)
    }

    /// Lists a node whose names do not fit into one answer. It is begun again when the node changes on the way.
    fn list_in_parts(&mut self, path: &str, doing: &str) -> Result<Vec<String>, Error> {
        'whole: for _ in 0..LISTING_TRIES {
            let mut names = Vec::new();
            let mut generation = None;
            for _ in 0..PARTS_MAX {
                let payload = wire::words(&[path, &names.len().to_string()]);
                let answer = self.ask(Op::DirectoryPart, payload, doing)?;
                let part = wire::part(&answer).map_err(|malformed| protocol(doing, &malformed.0))?;
                if *generation.get_or_insert_with(|| part.generation.clone()) != part.generation {
                    continue 'whole;
                }
                names.extend(&part.names);
                if part.is_last {
                    return Ok(wire::texts(&names));
                }
            }
            return Err(protocol(doing, "the listing has no end"));
        }
        Err(protocol(doing, &format!("the node changed while it was listed, {LISTING_TRIES} times")))
    }

    fn error(&self, failure: Failure, doing: &str) -> Error {
        let place = self.describe();
        match failure {
            Failure::Late => {
                let limit = self.limit.as_secs_f32();
                Error::Gone(format!("{doing}: no answer from {place} within {limit} s"))
            }
            Failure::Unsent(why) | Failure::Lost(why) => {
                Error::Gone(format!("{doing}: the connection to {place} was lost: {why}"))
            }
            Failure::Unreachable(why) => Error::Gone(format!("{doing}: {place}: {why}")),
            Failure::Refused(name) => refusal(&name, doing),
            Failure::Malformed(why) => protocol(doing, &format!("{place} sent {why}")),
        }
    }
}

impl Xenstore for Bus {
    fn list(&mut self, path: &str) -> Result<Vec<String>, Error> {
        let doing = format!("listing {path}");
        check_path(path, &doing)?;
        match self.ask(Op::Directory, wire::words(&[path]), &doing) {
            Ok(names) => Ok(wire::texts(&names)),
            Err(Error::TooBig(_)) if !self.place.may_list_in_parts() => {
                Err(Error::TooBig(format!("{doing}: the names do not fit into one answer")))
            }
            // oxenstored has no listing in parts.
            Err(Error::TooBig(_)) => self.list_in_parts(path, &doing).map_err(|error| match error {
                Error::NotFound(_) | Error::Denied(_) => error,
                other => Error::TooBig(format!("{other}; the names do not fit into one answer")),
            }),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        let doing = format!("reading {path}");
        check_path(path, &doing)?;
        self.ask(Op::Read, wire::words(&[path]), &doing)
    }

    fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
        let doing = format!("writing {path}");
        check_path(path, &doing)?;
        if matches!(self.place, Place::Device(_)) && value.len() > GUEST_NODE_MAX {
            let size = value.len();
            return Err(Error::TooBig(format!(
                "{doing}: the value has {size} bytes, a guest's node holds {GUEST_NODE_MAX}"
            )));
        }
        let mut payload = wire::words(&[path]);
        payload.extend(value);
        self.ask(Op::Write, payload, &doing).map(drop)
    }

    fn remove(&mut self, path: &str) -> Result<(), Error> {
        let doing = format!("removing {path}");
        check_path(path, &doing)?;
        match self.ask(Op::Remove, wire::words(&[path]), &doing) {
            // The daemons say so only when the parent is missing as well.
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn wait(&mut self, path: &str, limit: Duration) -> Result<bool, Error> {
        let doing = format!("watching {path}");
        check_path(path, &doing)?;
        let deadline = Instant::now() + limit;
        self.watch(path, &doing)?;
        loop {
            if let Some(watch) = self.watches.iter_mut().find(|watch| watch.path == path)
                && std::mem::take(&mut watch.fired)
            {
                return Ok(true);
            }
            let received = match &mut self.channel {
                Some(channel) => channel.receive(deadline),
                None => Err(Failure::Lost("the connection was closed".to_owned())),
            };
            let failure = match received {
                Ok(event) if event.op == Op::WatchEvent => {
                    note_event(&mut self.watches, &event);
                    continue;
                }
                Err(Failure::Late) => return Ok(false),
                Ok(answer) => Failure::Malformed(format!("{:?} that answers nothing", answer.op)),
                Err(failure) => failure,
            };
            tracing::debug!("{doing}: connecting to {} again: {failure:?}", self.describe());
            self.channel = None;
            // Sets the watch again, which counts as a change, so this happens once.
            self.connect(Instant::now() + self.limit).map_err(|failure| self.error(failure, &doing))?;
            self.watch(path, &doing)?;
        }
    }

    fn permissions(&mut self, path: &str) -> Result<Vec<Permission>, Error> {
        let doing = format!("reading the permissions of {path}");
        check_path(path, &doing)?;
        let answer = self.ask(Op::GetPermissions, wire::words(&[path]), &doing)?;
        wire::permissions(&answer).map_err(|malformed| protocol(&doing, &malformed.0))
    }

    fn describe(&self) -> String {
        self.place.path().display().to_string()
    }
}

/// Whether a request may be sent once more after the connection was lost. A write whose answer was lost may have
/// been carried out, and what it asked for been taken away again by the other side: it is for the caller to look.
fn may_be_repeated(op: Op, failure: &Failure) -> bool {
    match failure {
        Failure::Unsent(_) => true,
        Failure::Lost(_) => op != Op::Write,
        Failure::Late | Failure::Unreachable(_) | Failure::Refused(_) | Failure::Malformed(_) => false,
    }
}

fn note_event(watches: &mut [Watch], event: &Message) {
    let words = wire::texts(&event.payload);
    for watch in watches {
        if words.get(1) == Some(&watch.token) {
            watch.fired = true;
        }
    }
}

fn check_path(path: &str, doing: &str) -> Result<(), Error> {
    match wire::path_fault(path) {
        None => Ok(()),
        Some(fault) => Err(protocol(doing, &fault)),
    }
}

fn protocol(doing: &str, why: &str) -> Error {
    Error::Protocol(format!("{doing}: {why}"))
}

/// Returns what the name of an error means here.
fn refusal(name: &str, doing: &str) -> Error {
    match name {
        "ENOENT" => Error::NotFound(format!("{doing}: no such node")),
        "EACCES" | "EPERM" => Error::Denied(format!("{doing}: the store does not let this domain do it")),
        "E2BIG" | "ENOSPC" => {
            Error::TooBig(format!("{doing}: more than this domain's quota in the store allows ({name})"))
        }
        _ => protocol(doing, &format!("the store refused it with {name:?}")),
    }
}

#[cfg(test)]
mod tests;
