//! Whether gateways answer: a datagram makes the kernel ask for their hardware address, and its neighbour table says
//! what came of it.
//!
//! Nothing is heard of what a router does with packets; only that somebody on the link has its address.
//!
//! Source: include/uapi/linux/neighbour.h, net/core/neighbour.c.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::intent::{Family, Intent};
use super::links::{Link, State};
use super::live::Live;
use super::netlink::{self, Neighbour};

/// How long all gateways together have: the kernel asks once a second (`retrans_time_ms`).
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
const LOOKS_EVERY: Duration = Duration::from_millis(50);
/// The port "discard": a router that is a server as well answers nothing.
const DISCARD: u16 = 9;

/// A next hop on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The NIC's name.
    pub nic: String,
    /// Its address.
    pub address: IpAddr,
    index: u32,
}

impl Gateway {
    /// Returns the default gateways that are in use on the NICs of an intent.
    pub fn in_use(live: &Live, intent: &Intent, links: &[Link]) -> Vec<Self> {
        let defaults = [Family::V4, Family::V6].into_iter().flat_map(|family| live.defaults(family));
        let of_intent = |nic: &&str| intent.nics.iter().any(|it| it.name == *nic);
        defaults.filter_map(|(nic, via, _)| Self::on(nic.filter(of_intent)?, via?, links)).collect()
    }

    /// Returns the default gateways of an intent, of the NICs that are up.
    pub fn of(intent: &Intent, links: &[Link]) -> Vec<Self> {
        let hops = intent.nics.iter().flat_map(|nic| {
            nic.gateway4.into_iter().chain(nic.gateway6).map(move |hop| (nic.name.as_str(), hop.via))
        });
        hops.filter_map(|(nic, via)| Self::on(nic, via, links)).collect()
    }

    fn on(nic: &str, address: IpAddr, links: &[Link]) -> Option<Self> {
        let link = links.iter().find(|link| link.name == nic && link.state == State::Up)?;
        Some(Self { nic: nic.to_owned(), address, index: link.index })
    }

    /// Makes the kernel ask for it.
    fn ask(&self) -> std::io::Result<()> {
        let (from, to) = match self.address {
            IpAddr::V4(address) => {
                (IpAddr::from(Ipv4Addr::UNSPECIFIED), SocketAddr::from((address, DISCARD)))
            }
            IpAddr::V6(address) => (
                IpAddr::from(Ipv6Addr::UNSPECIFIED),
                SocketAddrV6::new(address, DISCARD, 0, self.index).into(),
            ),
        };
        UdpSocket::bind((from, 0))?.send_to(b"", to).map(drop)
    }

    fn is(&self, neighbour: &Neighbour) -> bool {
        neighbour.index == self.index && neighbour.address == self.address
    }
}

/// Returns those that nobody answers for within two seconds.
///
/// # Errors
/// The kernel does not show its neighbours.
pub fn silent(mut gateways: Vec<Gateway>) -> Result<Vec<Gateway>> {
    let end = Instant::now() + ANSWERS_WITHIN;
    for gateway in &gateways {
        if let Err(e) = gateway.ask() {
            // without a route nobody is asked, and nobody answers
            tracing::debug!("asking for {} on {}: {e}", gateway.address, gateway.nic);
        }
    }
    loop {
        if gateways.is_empty() {
            return Ok(gateways);
        }
        let known = netlink::neighbours()?;
        gateways.retain(|gateway| !known.iter().any(|it| gateway.is(it) && it.is_known));
        if Instant::now() >= end {
            return Ok(gateways);
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}
