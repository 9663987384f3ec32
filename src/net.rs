//! The network: what the host asks for, the links that exist, and what the configuration would make.
//!
//! | file | owns |
//! |---|---|
//! | `intent` | what each NIC is to become |
//! | `backend` | who reads which files, and how an intent is written for it |
//! | `live` | what is up, and the steps from there to an intent |
//! | `host` | `vm-data/networking`, parsed and validated; or what the agent logged of it (`logged`) |
//! | `links` | the links that exist, from the kernel (`netlink`) or a recorded tree (`sysfs`) |
//! | `configured` | what the configuration would make, from one file per format (`netplan`, `networkd`, …) |
//! | `ipv6` | whether IPv6 is on for a link, and what turned it off |
//! | `survey` | all of it joined: what `scan-ifaces` prints and the checks judge |
//!
//! Everything here looks, parses and renders; nothing judges or writes. The one type that all share is [`Mac`].

pub(crate) mod assignments;
pub mod backend;
pub mod configured;
mod containers;
pub mod drive;
pub(crate) mod eni;
pub mod from;
pub mod gateway;
pub mod host;
pub(crate) mod ifcfg;
pub(crate) mod ini;
pub mod intent;
pub mod ipv6;
pub(crate) mod keyfile;
pub mod links;
pub mod live;
mod logged;
pub(crate) mod manager;
mod netlink;
pub(crate) mod netplan;
pub(crate) mod networkd;
mod openvpn;
pub mod survey;
mod sysfs;
mod wireguard;
pub(crate) mod yaml;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// Reads an address as configuration files write it: with its length, or with a mask of its own; `None` where there
/// is no such address. Without either it is the address alone.
pub(crate) fn address_with_mask(address: &str, mask: Option<&str>) -> Option<IpNet> {
    if let Ok(net) = address.parse() {
        return Some(net);
    }
    let address: IpAddr = address.parse().ok()?;
    let length = match mask.map(str::trim).filter(|mask| !mask.is_empty()) {
        None => return Some(address.into()),
        Some(mask) => match mask.parse::<IpAddr>() {
            Ok(mask) if mask.is_ipv4() == address.is_ipv4() => ipnet::ip_mask_to_prefix(mask).ok()?,
            _ => mask.parse().ok()?,
        },
    };
    IpNet::new(address, length).ok()
}

/// An Ethernet address. It prints as Linux does: lower case, with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// A text that is no Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAMac;

impl Mac {
    /// Stands in for an address that is not known, where only a NIC's name counts. It has the group bit, as that of no
    /// NIC has (IEEE 802).
    pub fn stand_in(number: u8) -> Self {
        Self([3, 0, 0, 0, 0, number])
    }

    /// Whether it only stands in for one that is not known.
    pub fn is_stand_in(self) -> bool {
        self.0[..5] == [3, 0, 0, 0, 0]
    }

    /// Returns the address of these bytes, or `None` where they are not six or all of them zero: loopback and the
    /// like have no address of their own.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mac = Self(bytes.try_into().ok()?);
        (!mac.is_zero()).then_some(mac)
    }

    /// Whether it is all zeros, which is no address.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    /// Reads twelve hexadecimal digits in any case: in pairs with `:` or `-` between them, or without anything, as
    /// in the host's keys.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let bytes = text.trim().as_bytes();
        let pairs: Vec<&[u8]> = match bytes.len() {
            12 => bytes.chunks(2).collect(),
            17 => bytes.split(|b| matches!(b, b':' | b'-')).collect(),
            _ => return Err(NotAMac),
        };
        if pairs.len() != 6 || pairs.iter().any(|pair| pair.len() != 2) {
            return Err(NotAMac);
        }
        let mut mac = [0; 6];
        for (byte, pair) in mac.iter_mut().zip(pairs) {
            let digits = pair.iter().map(|&digit| char::from(digit).to_digit(16));
            *byte = digits.flatten().fold(0, |sum, digit| sum << 4 | digit as u8);
            if !pair.iter().all(u8::is_ascii_hexdigit) {
                return Err(NotAMac);
            }
        }
        Ok(Self(mac))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for NotAMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ethernet address")
    }
}

impl std::error::Error for NotAMac {}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mac_is_read_in_every_form_that_the_host_and_linux_write() {
        for text in
            ["BC764E207572", "bc764e207572", "BC:76:4E:20:75:72", "bc-76-4e-20-75-72", " bc:76:4e:20:75:72\n"]
        {
            assert_eq!(text.parse::<Mac>().map(|mac| mac.to_string()), Ok("bc:76:4e:20:75:72".to_owned()));
        }
    }

    #[test]
    fn other_texts_are_no_mac() {
        for text in [
            "",
            "eth0",
            "bc:76:4e:20:75",
            "bc:76:4e:20:75:7",
            "bc76:4e:20:75:720",
            "+c:76:4e:20:75:72",
            "öööööö",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NotAMac), "{text}");
        }
    }

    #[test]
    fn an_address_is_read_with_either_form_of_mask() {
        let cases = [
            ("192.0.2.1/24", None, Some("192.0.2.1/24")),
            ("192.0.2.1", Some("255.255.255.0"), Some("192.0.2.1/24")),
            ("192.0.2.1", Some("24"), Some("192.0.2.1/24")),
            ("192.0.2.1", None, Some("192.0.2.1/32")),
            ("2001:db8::1", Some("64"), Some("2001:db8::1/64")),
            ("192.0.2.1", Some("255.0.255.0"), None),
            ("192.0.2.1", Some("33"), None),
            ("dhcp", None, None),
        ];
        for (address, mask, want) in cases {
            assert_eq!(
                address_with_mask(address, mask),
                want.map(|net| net.parse().unwrap()),
                "{address} {mask:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_mac_or_an_error(text in ".{0,20}") {
            if let Ok(mac) = text.parse::<Mac>() {
                prop_assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
            }
        }
    }
}
