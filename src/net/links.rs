//! The links that exist.
//!
//! On a running guest the kernel says it in one dump of links and one of addresses (`netlink`); `/sys` is asked
//! only about links that the kernel gives no kind, because there can be thousands of the others. A tree with a
//! recorded `/sys/class/net` is looked at too (`sysfs`). What a link is follows from the kernel's facts, never
//! from its name.

use std::borrow::Cow;
use std::fmt;

use anyhow::Result;
use ipnet::IpNet;
use serde::Serialize;

use super::{Mac, netlink, sysfs};
use crate::root::Root;

/// The most links that a recorded tree is believed to have.
pub(super) const LINKS_MAX: usize = 100_000;

/// What a link is: the kernel's word (`IFLA_INFO_KIND`), or one of the constants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// A NIC of Xen's netfront driver.
    pub const VIF: Self = Self(Cow::Borrowed("vif"));
    /// A NIC of another driver.
    pub const ETHERNET: Self = Self(Cow::Borrowed("ethernet"));
    /// `lo`.
    pub const LOOPBACK: Self = Self(Cow::Borrowed("loopback"));
    /// A tun device that carries IP packets.
    pub const TUN: Self = Self(Cow::Borrowed("tun"));
    /// A tun device that carries Ethernet frames.
    pub const TAP: Self = Self(Cow::Borrowed("tap"));
    /// A point-to-point link of pppd.
    pub const PPP: Self = Self(Cow::Borrowed("ppp"));
    /// A bridge.
    pub const BRIDGE: Self = Self(Cow::Borrowed("bridge"));
    /// A bond.
    pub const BOND: Self = Self(Cow::Borrowed("bond"));
    /// A VLAN on another link.
    pub const VLAN: Self = Self(Cow::Borrowed("vlan"));
    /// One end of a pair.
    pub const VETH: Self = Self(Cow::Borrowed("veth"));
    /// A WireGuard tunnel.
    pub const WIREGUARD: Self = Self(Cow::Borrowed("wireguard"));

    /// Returns the kind of this word.
    pub fn named(word: &str) -> Self {
        Self(Cow::Owned(word.to_owned()))
    }

    /// Returns the word.
    pub fn word(&self) -> &str {
        &self.0
    }

    /// Whether it is a NIC: hardware, or what the hypervisor shows as such.
    pub fn is_nic(&self) -> bool {
        matches!(self.word(), "vif" | "ethernet")
    }

    /// Whether a link of this kind has the MAC of another by its nature, not by mistake.
    pub fn is_stacked(&self) -> bool {
        matches!(
            self.word(),
            "bridge"
                | "bond"
                | "team"
                | "vlan"
                | "macvlan"
                | "macvtap"
                | "ipvlan"
                | "ipvtap"
                | "macsec"
                | "hsr"
        )
    }

    /// Whether a link of this kind has no hardware address, so that `getifaddrs` returns an entry whose address is
    /// null (glibc, `ifaddrs.c`: `ifa_addr` is set from `IFLA_ADDRESS`).
    pub fn is_addressless(&self) -> bool {
        matches!(self.word(), "tun" | "wireguard" | "ppp" | "xfrm" | "vti")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The kernel's number of it; 0 when nothing says.
    pub index: u32,
    /// What it is.
    pub kind: Kind,
    /// The driver of the device behind it; `None` for a link of software.
    pub driver: Option<String>,
    /// The device behind it, such as `vif-0`.
    pub device: Option<String>,
    /// Its MAC now.
    pub mac: Option<Mac>,
    /// The MAC that the device came with, where the kernel says it.
    pub permanent_mac: Option<Mac>,
    /// Whether it has a hardware address of any form.
    pub has_hardware_address: bool,
    /// The bridge, bond or team that it is a port of.
    pub master: Option<String>,
    /// The link that it is stacked on, in the same namespace.
    pub lower: Option<String>,
    /// Whether it is switched on, and carries.
    pub state: State,
    /// The largest packet, in bytes; 0 when nothing says.
    pub mtu: u32,
    /// Its addresses; none for a recorded tree.
    pub addresses: Vec<IpNet>,
    /// Whether the kernel has IPv6 switched off on it; `None` when nothing says.
    pub ipv6_off: Option<bool>,
}

/// Whether a link works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Switched on, and carries.
    Up,
    /// Switched on without a carrier.
    NoCarrier,
    /// Switched off.
    Down,
    /// Nothing says.
    Unknown,
}

impl State {
    /// Returns the word that reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCarrier => "no-carrier",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the flags of a link (include/uapi/linux/if.h).
    pub(super) fn of_flags(flags: u32) -> Self {
        const IFF_UP: u32 = 1;
        const IFF_RUNNING: u32 = 0x40;
        match (flags & IFF_UP != 0, flags & IFF_RUNNING != 0) {
            (true, true) => Self::Up,
            (true, false) => Self::NoCarrier,
            (false, _) => Self::Down,
        }
    }
}

impl Link {
    /// Returns the MAC by which the host knows it: the permanent one, else the current one.
    pub fn host_mac(&self) -> Option<Mac> {
        self.permanent_mac.or(self.mac)
    }
}

/// Returns the links of the running system.
///
/// # Errors
/// The kernel gives no list.
pub fn live(root: &Root) -> Result<Vec<Link>> {
    let mut links = netlink::links()?;
    for link in links.iter_mut().filter(|link| link.kind.is_nic()) {
        sysfs::complete(root, link);
    }
    Ok(links)
}

/// Returns the links that a recorded `/sys/class/net` shows, in the order of their names, or `None` where the tree
/// holds no such record.
///
/// # Errors
/// The record cannot be read.
pub fn recorded(root: &Root) -> Result<Option<Vec<Link>>> {
    sysfs::links(root)
}
