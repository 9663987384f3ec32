//! XenStore, the tree through which host and guest talk.
//!
//! [`open`] finds the store; what it returns is either a bus (the kernel's device or a daemon's socket) or the tree
//! of a JSON dump. Every request has a deadline, and every error says in words what could not be done to which path.
//! Values are bytes that somebody else wrote: nothing here interprets them.

mod bus;
mod channel;
pub(crate) mod tree;
mod wire;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use bus::Bus;
use channel::Place;
use tree::{DUMP_MAX, Tree};

/// Where a guest's kernel offers the store; the second needs xenfs to be mounted.
const DEVICES: [&str; 2] = ["/dev/xen/xenbus", "/proc/xen/xenbus"];

/// Where a daemon listens on the machine that it runs on.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];

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
    /// The store does not let this domain do it, or the system does not let this user open the store.
    Denied(String),
    /// The request, or the node, is larger than the store allows.
    TooBig(String),
    /// No store, no answer in time, or the connection was lost.
    Gone(String),
    /// The request or the answer is not what the protocol allows, or a dump is not one.
    Protocol(String),
}

/// Who may use a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// The domain; in a node's first entry its owner, which may always do everything.
    pub domain: u32,
    /// What it may do; in the first entry what every domain may do that has no entry of its own.
    pub access: Access,
}

/// What a domain may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Read and write it.
    Both,
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
    /// Returns the value of a node; that of a directory is mostly empty.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, Error>;
    /// Writes a node, and its missing parents. After [`Error::Gone`] it is not known whether it was written.
    fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error>;
    /// Removes a node and all below it; a missing node is fine.
    fn remove(&mut self, path: &str) -> Result<(), Error>;
    /// Waits until something at or below `path` changes; returns whether it did within `limit`.
    ///
    /// The first call for a path returns `true` at once, and so does the one after the connection was lost: nothing
    /// is known about the time before. So look first, then wait, then look again, and stop at `false`.
    fn wait(&mut self, path: &str, limit: Duration) -> Result<bool, Error>;
    /// Returns who may use a node, its owner first; nothing where the store does not know it, as a dump does not.
    fn permissions(&mut self, path: &str) -> Result<Vec<Permission>, Error>;
    /// Says in words what answers, such as `/dev/xen/xenbus`.
    fn describe(&self) -> String;

    /// Returns the value of a node as text, bytes that are not UTF-8 replaced.
    fn read_text(&mut self, path: &str) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    /// Returns the value of a node as text, or `None` where there is no such node.
    fn text_opt(&mut self, path: &str) -> Result<Option<String>, Error> {
        match self.read_text(path) {
            Ok(text) => Ok(Some(text)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Opens the store. It was not asked anything yet: whether it answers is what the first request shows.
///
/// # Errors
/// [`Error::Gone`] when there is none, with the reason for each place that was tried; [`Error::Denied`] when one of
/// them is there and only root may use it; for a dump also what is wrong with it.
pub fn open(source: &Source) -> Result<Box<dyn Xenstore>, Error> {
    match source {
        Source::None => Err(Error::Gone("no XenStore was named for this root".to_owned())),
        Source::Path(path) => open_path(path),
        Source::Auto => first_of(
            DEVICES
                .map(|path| Place::Device(path.into()))
                .into_iter()
                .chain(SOCKETS.map(|path| Place::Socket(path.into()))),
        ),
    }
}

fn first_of(places: impl IntoIterator<Item = Place>) -> Result<Box<dyn Xenstore>, Error> {
    let mut reasons = Vec::new();
    let mut is_denied = false;
    for place in places {
        let path = place.path().display().to_string();
        match Bus::open(place) {
            Ok(bus) => return Ok(Box::new(bus)),
            Err(errno) => {
                is_denied |= matches!(errno, Errno::ACCESS | Errno::PERM);
                reasons.push(format!("{path}: {}", words(errno)));
            }
        }
    }
    let text = format!("opening XenStore: {}", reasons.join("; "));
    Err(if is_denied { Error::Denied(text) } else { Error::Gone(text) })
}

/// Says whether a path that was named can be a store: a file that is a dump, a device or a socket. Those where every
/// guest has its store are taken as they are: that they are missing is a finding about the guest.
///
/// # Errors
/// [`Error::Gone`] or [`Error::Protocol`], with the path and what is wrong with it.
pub fn expect(path: &Path) -> Result<(), Error> {
    if DEVICES.iter().chain(&SOCKETS).any(|usual| path == Path::new(usual)) {
        return Ok(());
    }
    let gone = |why: String| Error::Gone(format!("opening XenStore: {}: {why}", path.display()));
    let stat = rustix::fs::stat(path).map_err(|errno| gone(words(errno)))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket | FileType::CharacterDevice => Ok(()),
        // whether these answer is what a check shows
        FileType::RegularFile if path.ends_with("xenbus") => Ok(()),
        _ => open_path(path).map(drop),
    }
}

fn open_path(path: &Path) -> Result<Box<dyn Xenstore>, Error> {
    let gone = |errno| Error::Gone(format!("opening XenStore: {}: {}", path.display(), words(errno)));
    let stat = rustix::fs::stat(path).map_err(gone)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => first_of([Place::Socket(path.to_owned())]),
        FileType::CharacterDevice => first_of([Place::Device(path.to_owned())]),
        // In xenfs (/proc/xen) the device is a regular file; it always has this name.
        FileType::RegularFile if path.ends_with("xenbus") => first_of([Place::Device(path.to_owned())]),
        FileType::RegularFile => Ok(Box::new(open_dump(path)?)),
        _ => Err(Error::Gone(format!(
            "opening XenStore: {}: not a device, a socket or a JSON dump",
            path.display()
        ))),
    }
}

fn open_dump(path: &Path) -> Result<Tree, Error> {
    let name = path.display().to_string();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fault = |why: String| Error::Gone(format!("reading the XenStore dump {name}: {why}"));
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| fault(words(errno)))?;
    let mut dump = Vec::new();
    let limit = DUMP_MAX as u64 + 1;
    std::fs::File::from(fd).take(limit).read_to_end(&mut dump).map_err(|e| fault(e.to_string()))?;
    Tree::parse(&name, &dump)
}

/// Says what an error of the system means where a store is looked for.
fn words(errno: Errno) -> String {
    let text = match errno {
        Errno::NOENT | Errno::NOTDIR => "no such file",
        Errno::ACCESS | Errno::PERM => "permission denied",
        Errno::CONNREFUSED => "no daemon listens there",
        Errno::AGAIN => "the daemon takes no connection",
        Errno::NODEV | Errno::NXIO => "no such device",
        Errno::PIPE | Errno::CONNRESET => "the daemon closed it",
        Errno::NAMETOOLONG => "the path is too long for a socket",
        other => return std::io::Error::from(other).to_string(),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(source: &Source) -> Error {
        match open(source) {
            Ok(store) => panic!("{} was opened", store.describe()),
            Err(error) => error,
        }
    }

    fn file(dir: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
        let path = dir.path().join(name);
        #[expect(clippy::disallowed_methods, reason = "a test makes its files")]
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn every_place_that_was_tried_says_why_it_is_not_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("xen/xenbus");
        let socket = file(&dir, "socket", "");
        let Err(error) = first_of([Place::Device(device.clone()), Place::Socket(socket.clone())]) else {
            panic!("one of them was opened")
        };
        let (device, socket) = (device.display(), socket.display());
        assert_eq!(
            error,
            Error::Gone(format!(
                "opening XenStore: {device}: no such file; {socket}: no daemon listens there"
            ))
        );
    }

    #[test]
    fn the_kind_of_a_named_file_decides_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let dump = file(&dir, "dump.json", r#"{"name": "web01"}"#);
        let mut store = open(&Source::Path(dump.clone())).unwrap();
        assert_eq!(store.read_text("name"), Ok("web01".to_owned()));
        assert_eq!(store.text_opt("name"), Ok(Some("web01".to_owned())));
        assert_eq!(store.text_opt("vm-data"), Ok(None));

        let place = dir.path().display();
        let opening = "opening XenStore";
        let missing = Source::Path(dir.path().join("none"));
        assert_eq!(error(&missing), Error::Gone(format!("{opening}: {place}/none: no such file")));
        let directory = Source::Path(dir.path().to_owned());
        assert_eq!(
            error(&directory),
            Error::Gone(format!("{opening}: {place}: not a device, a socket or a JSON dump"))
        );
        assert_eq!(error(&Source::None), Error::Gone("no XenStore was named for this root".to_owned()));
        // in xenfs the device is a regular file
        let xenbus = file(&dir, "xenbus", "");
        let mut store = open(&Source::Path(xenbus.clone())).unwrap();
        assert_eq!(store.describe(), xenbus.display().to_string());
        let lost = format!("the connection to {} was lost: the connection was closed", xenbus.display());
        assert_eq!(store.read("name"), Err(Error::Gone(format!("reading name: {lost}"))));
        let device = open(&Source::Path("/dev/null".into())).unwrap();
        assert_eq!(device.describe(), "/dev/null");
    }

    #[test]
    fn a_named_path_is_a_store_or_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display();
        let good = file(&dir, "dump.json", r#"{"name": "web01"}"#);
        let bad = file(&dir, "notes.txt", "name = web01");
        for (path, want) in [
            (good, None),
            ("/dev/null".into(), None),
            ("/dev/xen/xenbus".into(), None),
            (dir.path().join("none"), Some(format!("opening XenStore: {place}/none: no such file"))),
            (dir.path().to_owned(), Some(format!("opening XenStore: {place}: not a device"))),
            (bad, Some(format!("reading the XenStore dump {place}/notes.txt: "))),
        ] {
            let said = expect(&path).err().map(|error| error.to_string());
            let is_right = match (&said, &want) {
                (Some(said), Some(want)) => said.starts_with(want),
                (said, want) => said.is_none() && want.is_none(),
            };
            assert!(is_right, "{said:?} {want:?}");
        }
    }

    #[test]
    fn a_socket_path_that_is_too_long_is_said() {
        let path = format!("/tmp/{}", "x".repeat(200));
        let Err(error) = first_of([Place::Socket(path.clone().into())]) else { panic!("it was opened") };
        assert_eq!(
            error,
            Error::Gone(format!("opening XenStore: {path}: the path is too long for a socket"))
        );
    }
}
