//! The arguments of ifconfig(8) and route(8), as variables of rc.conf hold them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::super::address_with_mask;
use super::super::super::intent::Family;

/// Returns the addresses among the arguments of ifconfig(8).
pub(super) fn addresses(arguments: &str) -> Vec<IpNet> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let net = |at: usize| {
        let mask = match words.get(at + 1..) {
            Some(["netmask" | "prefixlen", mask, ..]) => Some(*mask),
            _ => None,
        };
        let dotted = mask.and_then(|mask| u32::from_str_radix(mask.strip_prefix("0x")?, 16).ok());
        let dotted = dotted.map(|bits| std::net::Ipv4Addr::from(bits).to_string());
        address_with_mask(words[at], dotted.as_deref().or(mask))
    };
    let is_address = |at: usize| !(at > 0 && matches!(words[at - 1], "netmask" | "broadcast" | "prefixlen"));
    (0..words.len()).filter(|at| is_address(*at)).filter_map(net).collect()
}

/// Returns the options among the arguments of ifconfig(8) that are not about addresses.
pub(super) fn options(arguments: &str) -> String {
    const WITH_VALUE: [&str; 3] = ["netmask", "broadcast", "prefixlen"];
    const OWN: [&str; 7] = ["inet", "inet6", "up", "alias", "dhcp", "syncdhcp", "nosyncdhcp"];
    const OWN_TOO: [&str; 3] = ["accept_rtadv", "-accept_rtadv", "noauto"];
    let mut options = String::new();
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        let lower = word.to_ascii_lowercase();
        if WITH_VALUE.contains(&lower.as_str()) {
            words.next();
        } else if !OWN.contains(&lower.as_str())
            && !OWN_TOO.contains(&lower.as_str())
            && addresses(word).is_empty()
        {
            options.push(' ');
            options.push_str(word);
        }
    }
    options
}

/// Whether an address is one of carp, which hosts share.
pub(super) fn is_carp(value: &str) -> bool {
    value.split_whitespace().any(|word| word == "vhid")
}

/// A static route.
pub(super) struct Route {
    pub(super) to: String,
    pub(super) via: Option<IpAddr>,
    pub(super) nic: Option<String>,
}

impl Route {
    /// Reads the arguments of route(8).
    pub(super) fn of(arguments: &str, family: Family) -> Option<Self> {
        let mut words = arguments.split_whitespace();
        let (mut to, mut via, mut nic, mut mask) = (None, None, None, None);
        while let Some(word) = words.next() {
            match word {
                "-iface" | "-interface" => nic = words.next(),
                "-netmask" | "-prefixlen" => mask = words.next(),
                "-fib" => drop(words.next()),
                option if option.starts_with('-') => {}
                _ if to.is_none() => to = Some(word),
                _ if via.is_none() => via = Some(word),
                _ => {}
            }
        }
        let to = match (to?, family) {
            ("default", Family::V4) => "0.0.0.0/0".to_owned(),
            ("default", Family::V6) => "::/0".to_owned(),
            (to, _) => {
                address_with_mask(to, mask).map_or_else(|| to.to_owned(), |net| net.trunc().to_string())
            }
        };
        // a route on the link is known by the address alone
        let to =
            if nic.is_some() { to.trim_end_matches("/32").trim_end_matches("/128").to_owned() } else { to };
        let hop = via.map(Self::default_by);
        Some(Self {
            to,
            via: hop.as_ref().and_then(|hop| hop.via),
            nic: nic.map(str::to_owned).or(hop.and_then(|hop| hop.nic)),
        })
    }

    /// Returns the default route by a next hop, which can name its link: `fe80::1%xn0`.
    pub(super) fn default_by(via: &str) -> Self {
        let (address, nic) =
            via.split_once('%').map_or((via, None), |(address, nic)| (address, Some(nic.to_owned())));
        let to = if address.contains(':') { "::/0" } else { "0.0.0.0/0" };
        Self { to: to.to_owned(), via: address.parse().ok(), nic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_of_ifconfig_are_addresses_and_options() {
        for (text, nets, rest) in [
            ("inet 192.0.2.1/24 -txcsum mtu 1400", &["192.0.2.1/24"][..], " -txcsum mtu 1400"),
            ("192.0.2.1 netmask 255.255.255.0 up", &["192.0.2.1/24"], ""),
            ("inet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255", &["192.0.2.1/24"], ""),
            ("inet6 2001:db8::1 prefixlen 64 accept_rtadv", &["2001:db8::1/64"], ""),
            ("inet 192.0.2.1/24 inet 192.0.2.2/32", &["192.0.2.1/24", "192.0.2.2/32"], ""),
            ("SYNCDHCP fib 1", &[], " fib 1"),
        ] {
            let found: Vec<String> = addresses(text).iter().map(ToString::to_string).collect();
            assert_eq!(
                (found, options(text).as_str()),
                (nets.iter().map(ToString::to_string).collect(), rest),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((-net|-host|-iface|-netmask|inet|netmask|default|[0-9a-fx./:%]{0,6}) ){0,10}") {
            Route::of(&text, Family::V4);
            Route::of(&text, Family::V6);
            addresses(&text);
            options(&text);
        }
    }
}
