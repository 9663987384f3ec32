//! What the service manager is told: sd_notify(3), a datagram to the socket that it names in the environment.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if it listens.
#[derive(Debug)]
pub(super) struct Notify {
    socket: Option<UnixDatagram>,
    interval: Option<Duration>,
}

impl Notify {
    /// Finds the manager by `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub(super) fn of_the_manager() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|name| match connected(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("connecting to the service manager at {name}: {error}");
                None
            }
        });
        let limit = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        // half of it, as sd_watchdog_enabled(3) recommends
        let interval = limit.filter(|usec| *usec > 1).map(|usec: u64| Duration::from_micros(usec / 2));
        Self { socket, interval }
    }

    /// Says that the agent is up.
    pub(super) fn ready(&self) {
        self.send("READY=1\nSTATUS=listening to the host");
    }

    /// Says that the agent still works.
    pub(super) fn alive(&self) {
        if self.interval.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    /// How often the manager wants to hear of the agent.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    fn send(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(text.as_bytes()) {
            tracing::warn!("telling the service manager: {error}");
        }
    }
}

fn connected(name: &str) -> std::io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // a manager that is stuck must not hold the agent
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}
