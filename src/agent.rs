//! The agent: listens on XenStore, executes what the host asks, answers.
//!
//! One blocking loop. A watch says that it is worth looking; every twenty seconds it is looked at anyway, below the 30 s
//! that nova waits for an answer, in case an event got lost in a migration. Nothing that the host sends ends the
//! agent: whatever cannot be done is answered with the reason. It never runs beside another agent.

mod answers;
mod executor;
pub mod install;
mod lock;
pub mod log;
mod notify;
mod place;
mod refuse;
mod service;
mod shift;
pub mod tidy;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::facts::agents::NOVACTL_PROGRAM;
use crate::facts::hypervisor::Hypervisor;
use crate::root::Root;
use crate::{exec, secret, xenstore};

pub use executor::Executor;
use lock::Lock;
use notify::Notify;
pub use place::Place;
pub use refuse::refuse;
use service::Service;
use shift::Shift;

/// How long nothing is heard before it is looked all the same. nova gives a command 30 s.
const LOOKS_EVERY: Duration = Duration::from_secs(20);

/// The longest pause after the store could not be reached.
const RETRIES_EVERY: Duration = Duration::from_secs(10);

/// Serves until a signal ends it.
///
/// # Errors
/// There is no host to serve, another agent runs, or only root may.
pub fn run(place: &Place) -> Result<()> {
    secret::forbid_core_dumps().context("keeping passwords out of core dumps")?;
    let _lock = Lock::take(place)?;
    let shift = Shift::begin()?;
    let notify = Notify::of_the_manager();
    tracing::info!("Agent is starting up: novactl {}", env!("CARGO_PKG_VERSION"));
    // before any command, which may start what is ordered after the agent, and before there is a store: a boot does
    // not wait for the host
    notify.ready();
    let mut service = Service::new(Executor::new(place.clone()));
    let mut trouble = Trouble::default();
    while let Some(outcome) = shift.work(|| pass(place, &mut service, &notify)) {
        // not in the same breath: a signal that came during the update ends this program, and must not be lost with it
        if service.hands_over() && shift.work(hand_over).is_none() {
            break;
        }
        notify.alive();
        let limit = notify.interval().map_or(LOOKS_EVERY, |interval| interval.min(LOOKS_EVERY));
        match outcome.and_then(|()| service.wait(limit)) {
            Ok(()) => trouble.is_over(),
            Err(error) => trouble.pause(place, &error)?,
        }
    }
    tracing::info!("Agent stopping");
    Ok(())
}

/// Looks once.
fn pass(place: &Place, service: &mut Service, notify: &Notify) -> Result<(), xenstore::Error> {
    if !service.is_open() {
        service.open(place)?;
    }
    service.serve_all(notify)
}

/// Goes on as the release that was put in the place of this one; the lock and the connection end with this program. What
/// does not start leaves it as it is.
fn hand_over() {
    tracing::info!("going on as the new release");
    let error = exec::become_program(&format!("/{NOVACTL_PROGRAM}"));
    tracing::error!("{error:#}; this release goes on");
}

/// A store that cannot be reached: said once, then tried again with growing pauses.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!("XenStore answers again after {} s", since.elapsed().as_secs());
        }
    }

    /// Waits, or gives up where no host will ever be.
    fn pause(&mut self, place: &Place, error: &xenstore::Error) -> Result<()> {
        if self.since.is_none() {
            give_up_elsewhere(place, error)?;
            tracing::error!("{error}; trying again");
            self.since = Some(Instant::now());
            self.pause = Duration::from_millis(500);
        }
        tracing::debug!("{error}");
        self.pause = (self.pause * 2).min(RETRIES_EVERY);
        std::thread::sleep(self.pause);
        Ok(())
    }
}

/// On Xen the store comes, sooner or later; elsewhere it never does.
fn give_up_elsewhere(place: &Place, error: &xenstore::Error) -> Result<()> {
    if place.is_named() {
        return Ok(());
    }
    // the machine that runs this, not the files that are served
    let hypervisor = Hypervisor::of(&Root::live()?);
    if let xenstore::Error::Denied(text) = error {
        anyhow::bail!("{text}: the agent runs as root");
    }
    if hypervisor.is_xen_guest() {
        return Ok(());
    }
    anyhow::bail!("this is {}, not a Xen guest: there is no host to serve ({error})", hypervisor.platform)
}
