//! Whom the agent serves: which files, which store.

use std::path::PathBuf;

use anyhow::Result;

use crate::target::Target;
use crate::xenstore::{self, Source, Xenstore};

/// The system that is served and the store through which the host asks.
#[derive(Debug, Clone)]
pub struct Place {
    /// Files of another system than the running one; no program of it is run.
    pub root: Option<PathBuf>,
    /// The store.
    pub source: Source,
}

impl Place {
    /// Returns the system as it is now. A long-lived agent looks anew for every command: what a target has once
    /// found out, it keeps.
    ///
    /// # Errors
    /// The root cannot be opened.
    pub fn target(&self) -> Result<Target> {
        match &self.root {
            Some(root) => Target::offline(root, self.source.clone()),
            None => Target::live(self.source.clone()),
        }
    }

    /// Opens the store.
    ///
    /// # Errors
    /// See [`xenstore::open`].
    pub fn store(&self) -> Result<Box<dyn Xenstore>, xenstore::Error> {
        xenstore::open(&self.source)
    }

    /// Whether somebody named the store, so that it is worth waiting for wherever this runs.
    pub fn is_named(&self) -> bool {
        matches!(self.source, Source::Path(_))
    }
}
