//! XenStore, the tree through which host and guest talk.

use std::path::PathBuf;
use std::time::Duration;

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// Found by itself: the device, else the sockets of a daemon on this machine.
    #[default]
    Auto,
    /// A device, a unix socket or a JSON dump.
    Path(PathBuf),
    /// No store: an offline root without a dump.
    None,
}

/// Why a request to the store has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no such node.
    NotFound(String),
    /// The store does not let this domain do it.
    Denied(String),
    /// The request, or the node, is larger than the store allows.
    TooBig(String),
    /// No store, no answer in time, or the connection was lost.
    Gone(String),
    /// The answer is not what the protocol says.
    Protocol(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NotFound(text)
        | Self::Denied(text)
        | Self::TooBig(text)
        | Self::Gone(text)
        | Self::Protocol(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

/// A store that can be read, written and watched. Paths without a leading slash are relative to the guest's own
/// directory (`/local/domain/<domid>`), as the daemon resolves them.
pub trait Xenstore: Send {
    /// Returns the names below a node.
    fn list(&mut self, path: &str) -> Result<Vec<String>, Error>;
    /// Returns the value of a node.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, Error>;
    /// Writes a node, and its missing parents.
    fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error>;
    /// Removes a node and all below it; a missing node is fine.
    fn remove(&mut self, path: &str) -> Result<(), Error>;
    /// Waits until something at or below `path` changes; returns whether it did within `limit`.
    fn wait(&mut self, path: &str, limit: Duration) -> Result<bool, Error>;
    /// Says in words what answers, such as `/dev/xen/xenbus`.
    fn describe(&self) -> String;
}

/// Opens the store.
///
/// # Errors
/// [`Error::Gone`] when there is none, with the reason for each place that was tried.
pub fn open(source: &Source) -> Result<Box<dyn Xenstore>, Error> {
    Err(Error::Gone(format!("no XenStore ({source:?})")))
}
