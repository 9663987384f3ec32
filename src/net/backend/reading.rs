//! What a file says about a NIC, gathered while it is read: addresses, routes and name servers from their texts.
//!
//! It is as forgiving as the programs that read the files: what is no address is left out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::host::Giver;
use super::super::intent::{Hop, Nic, NicIntent, RouteIntent};

/// The most of each kind that are kept: a hostile file can have millions.
const ENTRIES_MAX: usize = 4096;

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    addresses: Vec<IpNet>,
    routes: Vec<RouteIntent>,
    dns: Vec<IpAddr>,
}

/// Whether a route says that its next hop is on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It says so.
    OnLink,
    /// It does not.
    Plain,
    /// It need not: the program that reads it sees to it that the next hop is reached.
    Arranged,
}

impl Reading {
    /// Adds an address with its prefix; one without is that address alone.
    pub(super) fn add_address(&mut self, text: &str) {
        if self.addresses.len() == ENTRIES_MAX {
            return;
        }
        let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let address = text.parse::<IpNet>().ok().or_else(alone);
        self.addresses.extend(address.filter(|address| !self.addresses.contains(address)));
    }

    /// Returns the addresses so far.
    pub(super) fn addresses(&self) -> &[IpNet] {
        &self.addresses
    }

    /// Adds a route. An unspecified next hop is none.
    pub(super) fn add_route(&mut self, to: &str, via: Option<&str>, reach: Reach) {
        if self.routes.len() == ENTRIES_MAX {
            return;
        }
        let via = via.and_then(|via| via.parse::<IpAddr>().ok()).filter(|via| !via.is_unspecified());
        let to = match to {
            "default" if via.is_some_and(|via| via.is_ipv6()) => "::/0",
            "default" => "0.0.0.0/0",
            to => to,
        };
        let alone = || to.parse::<IpAddr>().ok().map(IpNet::from);
        let Some(to) = to.parse::<IpNet>().ok().or_else(alone) else { return };
        let hop = via.map(|via| Hop { via, onlink: reach == Reach::OnLink || self.is_far(via, reach) });
        self.routes.push(RouteIntent { to: to.trunc(), hop });
    }

    fn is_far(&self, via: IpAddr, reach: Reach) -> bool {
        reach == Reach::Arranged && !self.addresses.iter().any(|net| net.contains(&via))
    }

    /// Adds a name server.
    pub(super) fn add_dns(&mut self, text: &str) {
        if self.dns.len() == ENTRIES_MAX {
            return;
        }
        self.dns.extend(text.parse::<IpAddr>().ok().filter(|address| !self.dns.contains(address)));
    }

    /// Takes the routes to single addresses on the link that are next hops of other routes for what they are: the way
    /// in which formats without a word for it say that a next hop is on the link.
    pub(super) fn fold_next_hops(&mut self) {
        let hops: BTreeSet<IpAddr> =
            self.routes.iter().filter_map(|route| route.hop).map(|hop| hop.via).collect();
        let single = |route: &RouteIntent| {
            let to = route.to;
            let is_way =
                route.hop.is_none() && to.prefix_len() == to.max_prefix_len() && hops.contains(&to.addr());
            is_way.then_some(to.addr())
        };
        let reached: BTreeSet<IpAddr> = self.routes.iter().filter_map(single).collect();
        self.routes.retain(|route| single(route).is_none());
        for hop in self.routes.iter_mut().filter_map(|route| route.hop.as_mut()) {
            hop.onlink |= reached.contains(&hop.via);
        }
    }

    /// Returns what the NIC gets by it.
    pub(super) fn nic(self, nic: &Nic) -> NicIntent {
        let (four, six): (Vec<_>, Vec<_>) = self.addresses.into_iter().partition(|net| net.addr().is_ipv4());
        let (defaults, routes): (Vec<_>, Vec<_>) =
            self.routes.into_iter().partition(|route| route.to.prefix_len() == 0);
        let gateway = |is_four: bool| {
            defaults.iter().find(|route| route.to.addr().is_ipv4() == is_four).and_then(|route| route.hop)
        };
        NicIntent {
            giver: Giver::default(),
            name: nic.name.clone(),
            mac: nic.mac,
            label: None,
            gateway4: gateway(true),
            gateway6: gateway(false),
            addresses: [four, six].concat(),
            routes,
            dns: self.dns,
        }
    }
}
