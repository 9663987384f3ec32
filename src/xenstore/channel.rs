//! One open connection to a store: whole messages, out and in, before a deadline.
//!
//! The descriptor does not block, and `poll` has the deadline. One wait is not ours to end: before Linux 4.11 the
//! device's own `write` holds until the store has answered, and every other user of XenStore in the guest with it. So
//! what an old store leaves unanswered is not asked there. What a message means, and what to do when the connection is
//! lost, is the bus's matter.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::wire::{HEADER, Message, PAYLOAD_MAX};

/// Where a store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The guest kernel's device, or the file of the same kind in /proc/xen.
    Device(PathBuf),
    /// A daemon's unix socket.
    Socket(PathBuf),
}

/// Why a message did not go out or come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The deadline has passed.
    Late,
    /// The connection is gone; the request was not sent whole.
    Unsent(String),
    /// The connection is gone; a request that was sent may have been carried out.
    Lost(String),
    /// There is no connection, and none can be made.
    Unreachable(String),
    /// The store's own error, by its name in errno.h.
    Refused(String),
    /// What came in is not the protocol.
    Malformed(String),
}

/// The version of Xen that brought listings in parts (XS_DIRECTORY_PART); older stores may not answer the request.
const PARTS_SINCE: (u32, u32) = (4, 9);

/// An open connection.
#[derive(Debug)]
pub(super) struct Channel {
    fd: OwnedFd,
    is_device: bool,
    inbox: Vec<u8>,
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        let (Self::Device(path) | Self::Socket(path)) = self;
        path
    }

    /// Whether it is safe to ask for a listing in parts.
    pub(super) fn may_list_in_parts(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Device(_) => xen_version().is_some_and(|version| version >= PARTS_SINCE),
        }
    }

    /// Returns the connection, made within `limit`.
    pub(super) fn connect(&self, limit: Duration) -> Result<Channel, Errno> {
        let (fd, is_device) = match self {
            Self::Device(path) => {
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                (rustix::fs::open(path, flags, Mode::empty())?, true)
            }
            Self::Socket(path) => (connect_socket(path, limit)?, false),
        };
        Ok(Channel { fd, is_device, inbox: Vec::new() })
    }
}

/// The C daemon listens with a backlog of one, so a socket that does not block would be refused whenever two clients
/// come at once. It waits, no longer than its send timeout, and stops blocking afterwards.
fn connect_socket(path: &Path, limit: Duration) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&fd, Timeout::Send, Some(limit))?;
    rustix::net::connect(&fd, &address)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

impl Channel {
    pub(super) fn send(&self, message: &Message, deadline: Instant) -> Result<(), Failure> {
        let bytes = message.encode();
        let mut sent = 0;
        while sent < bytes.len() {
            match rustix::io::write(&self.fd, &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                // Only then: the device never says that it can be written to (xenbus_file_poll).
                Err(Errno::AGAIN) => self.poll(PollFlags::OUT, deadline)?,
                Err(errno) if self.is_device => return Err(Failure::Refused(errno_name(errno))),
                Err(errno) => return Err(Failure::Unsent(super::words(errno))),
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Message, Failure> {
        loop {
            if let Some((message, length)) =
                Message::decode(&self.inbox).map_err(|malformed| Failure::Malformed(malformed.0))?
            {
                self.inbox.drain(..length);
                return Ok(message);
            }
            let mut chunk = [0; HEADER + PAYLOAD_MAX];
            match rustix::io::read(&self.fd, &mut chunk) {
                Ok(0) => return Err(Failure::Lost("the connection was closed".to_owned())),
                Ok(count) => self.inbox.extend(&chunk[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.poll(PollFlags::IN, deadline)?,
                Err(errno) => return Err(Failure::Lost(super::words(errno))),
            }
        }
    }

    fn poll(&self, events: PollFlags, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Late);
        }
        let timeout = Timespec::try_from(left).ok();
        match rustix::event::poll(&mut [PollFd::new(&self.fd, events)], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Failure::Lost(super::words(errno))),
        }
    }
}

/// Returns the version of the hypervisor under this kernel.
fn xen_version() -> Option<(u32, u32)> {
    let number = |name: &str| {
        let path = format!("/sys/hypervisor/version/{name}");
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = [0; 16];
        let length = rustix::io::read(fd, &mut text).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.trim().parse().ok()
    };
    Some((number("major")?, number("minor")?))
}

/// Returns the name by which a daemon would have given an error that the device gives as a number.
fn errno_name(errno: Errno) -> String {
    let name = match errno {
        Errno::NOENT => "ENOENT",
        Errno::ACCESS => "EACCES",
        Errno::PERM => "EPERM",
        Errno::TOOBIG => "E2BIG",
        Errno::NOSPC => "ENOSPC",
        Errno::EXIST => "EEXIST",
        other => return super::words(other),
    };
    name.to_owned()
}
