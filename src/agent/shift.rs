//! The end of the agent: SIGTERM and SIGINT let the command at hand finish, and end an idle agent at once.
//!
//! A thread of its own waits for the signals, since the main one blocks on the store. Whoever holds the lock decides:
//! while a command runs the thread waits for it, while nothing runs it ends the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The time in which the agent may work.
#[derive(Debug, Default, Clone)]
pub(super) struct Shift {
    busy: Arc<Mutex<()>>,
    over: Arc<AtomicBool>,
}

impl Shift {
    /// Begins to listen to the signals.
    ///
    /// # Errors
    /// The handlers cannot be set.
    pub(super) fn begin() -> Result<Self> {
        let shift = Self::default();
        let mut signals = Signals::new([SIGTERM, SIGINT]).context("handling signals")?;
        let other = shift.clone();
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                other.over.store(true, Ordering::SeqCst);
                let _finished = other.busy.lock().unwrap_or_else(PoisonError::into_inner);
                tracing::info!("Agent stopping");
                std::process::exit(0)
            }
        });
        Ok(shift)
    }

    /// Works, unless the shift is over: then `None`.
    pub(super) fn work<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // asked for while the lock is held: the thread that ends the process waits for it
        (!self.over.load(Ordering::SeqCst)).then(work)
    }
}
