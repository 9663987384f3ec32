//! The links, joined with what the host assigns and with what turned IPv6 off: the one picture that `scan-ifaces`
//! prints and the checks judge.
//!
//! Which link is the host's NIC: one whose permanent MAC (the current one where the kernel gives no other) is that
//! of the record. A real NIC wins; where there is none a veth may stand in, as in containers. A bridge, bond, VLAN,
//! tun or tap never is, whatever MAC it shows.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use serde::Serialize;

use super::Mac;
use super::configured::{Configuration, Seen};
use super::host::{HostNetwork, HostNic};
use super::ipv6::{Ipv6, Switches};
use super::links::{self, Kind, Link, State};
use super::logged;
use crate::root::Root;

/// The plain file among the links of `/sys/class/net` that the bonding driver makes.
pub const BONDING_MASTERS: &str = "sys/class/net/bonding_masters";

/// Where the links are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The running kernel.
    Kernel,
    /// A record of `/sys` in the tree.
    Record,
    /// The configuration: what the next boot will make.
    Configuration,
}

/// Where the host's data are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// XenStore: what holds now.
    Store,
    /// The agent's log: what held at its last network reset. It says what a NIC is, never that one is missing or
    /// unknown.
    Log,
}

/// The picture.
#[derive(Debug)]
pub struct Survey {
    /// Where the links are from.
    pub origin: Origin,
    /// What the host assigns, or why it is not known.
    pub host: Result<HostNetwork, String>,
    /// Where that is from.
    pub source: Source,
    /// Each interface.
    pub interfaces: Vec<Interface>,
    /// Whether `/sys/class/net` holds a name that is no link.
    pub has_bonding_masters: bool,
    /// Files of the configuration that could not be read.
    pub unread: Vec<Seen>,
}

/// An interface and what is known about it.
#[derive(Debug)]
pub struct Interface {
    /// The link itself; from configuration, only its name and kind are certain.
    pub link: Link,
    /// The place of its record in [`HostNetwork::nics`].
    pub record: Option<usize>,
    /// What it is to the host; `None` for a NIC when the host's data is not known.
    pub verdict: Option<Verdict>,
    /// Whether it leads to the public network.
    pub is_public: bool,
    /// Whether IPv6 is on.
    pub ipv6: Ipv6,
    /// The NIC whose MAC it carries.
    pub shares_mac_of: Option<String>,
    /// What makes it, when that is all that is known of it.
    pub made_by: Option<Made>,
}

/// The line of the configuration that makes an interface.
#[derive(Debug)]
pub struct Made {
    /// The line.
    pub seen: Seen,
    /// Whether it is made at boot, or only when somebody asks for it.
    pub at_boot: bool,
}

/// What an interface is to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The host assigns its addresses.
    Host,
    /// A link that the host knows nothing of, made by software.
    Unexpected,
    /// `lo`.
    Loopback,
    /// Part of a bridge, bond or team.
    Port,
    /// It carries the MAC of a NIC without being it.
    SharesMac,
    /// A NIC without a record.
    UnknownToHost,
}

impl Verdict {
    /// Returns the word that reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Unexpected => "unexpected",
            Self::Loopback => "loopback",
            Self::Port => "port",
            Self::SharesMac => "shares-mac",
            Self::UnknownToHost => "unknown-to-host",
        }
    }
}

impl Survey {
    /// Looks at everything.
    ///
    /// # Errors
    /// The running kernel gives no list of its links.
    pub fn of(
        root: &Root,
        is_live: bool,
        configuration: &Configuration,
        host: Result<HostNetwork, String>,
    ) -> Result<Self> {
        let (origin, links) = if is_live {
            (Origin::Kernel, links::live(root)?.into_iter().map(|link| (link, None)).collect())
        } else if let Some(links) = links::recorded(root)? {
            (Origin::Record, links.into_iter().map(|link| (link, None)).collect())
        } else {
            (Origin::Configuration, configured(configuration))
        };
        let (host, source) = match host {
            Ok(network) if !network.nics.is_empty() => (Ok(network), Source::Store),
            other => {
                let reason =
                    other.err().unwrap_or_else(|| "the host says nothing about the network".to_owned());
                let logged = if is_live { None } else { logged::host_network(root) };
                logged.map_or((Err(reason), Source::Store), |logged| (Ok(logged), Source::Log))
            }
        };
        let switches = Switches::of(root);
        let defaults = links_of_default_routes(root);
        let mut interfaces = join(links, &host, source);
        for interface in &mut interfaces {
            interface.ipv6 = switches.of_link(root, &interface.link, configuration);
            if origin == Origin::Record {
                interface.link.addresses =
                    configuration.addresses(&interface.link.name, interface.link.host_mac());
            }
            interface.is_public = is_public(interface, &host, &defaults);
        }
        Ok(Self {
            origin,
            host,
            source,
            interfaces,
            has_bonding_masters: root.exists(BONDING_MASTERS),
            unread: configuration.unread.clone(),
        })
    }

    /// Returns the host's record of an interface.
    pub fn record(&self, interface: &Interface) -> Option<&HostNic> {
        self.host.as_ref().ok()?.nics.get(interface.record?)
    }

    /// Returns the record that is taken for the one of a NIC because of its name alone, as a network reset of this disk
    /// takes it: its files tell neither the MAC nor an address of the host's.
    pub fn assumed(&self, interface: &Interface) -> Option<&HostNic> {
        let is_open = self.origin == Origin::Configuration && interface.link.kind.is_nic();
        if !is_open || interface.record.is_some() || interface.link.mac.is_some() {
            return None;
        }
        let host = self.host.as_ref().ok()?;
        let number = interface.link.name.strip_prefix("eth")?.parse::<usize>().ok()?;
        let record = *host.in_order().get(number)?;
        let is_taken = self.interfaces.iter().any(|other| self.record(other) == Some(record));
        (!is_taken).then_some(record)
    }

    /// Returns the host's records that no NIC has.
    pub fn missing(&self) -> Vec<&HostNic> {
        let (Ok(host), Source::Store) = (&self.host, self.source) else { return Vec::new() };
        // configuration names NICs, but seldom their MACs
        if self.origin == Origin::Configuration {
            return Vec::new();
        }
        let found: HashSet<usize> = self.interfaces.iter().filter_map(|interface| interface.record).collect();
        host.nics.iter().enumerate().filter(|(place, _)| !found.contains(place)).map(|(_, nic)| nic).collect()
    }
}

/// The links that configuration makes, the loopback left out. An interface of several files is taken once.
fn configured(configuration: &Configuration) -> Vec<(Link, Option<Made>)> {
    let mut names = BTreeSet::new();
    let mut links = Vec::new();
    for entry in &configuration.planned {
        // tun* is OpenVPN's name for the first that is free: a link, while eth* is about any number of NICs
        let name = entry.to.single().or_else(|| {
            let is_made = !entry.kind.is_nic() && entry.to.names.len() == 1;
            is_made.then(|| entry.to.names[0].as_str())
        });
        let Some(name) = name.filter(|name| *name != "lo" && names.insert((*name).to_owned())) else {
            continue;
        };
        let link = Link {
            name: name.to_owned(),
            index: 0,
            kind: entry.kind.clone(),
            driver: None,
            device: None,
            mac: entry.to.macs.first().copied(),
            permanent_mac: None,
            has_hardware_address: !entry.kind.is_addressless(),
            master: None,
            lower: None,
            state: State::Unknown,
            mtu: 0,
            addresses: configuration.addresses(name, entry.to.macs.first().copied()),
            ipv6_off: None,
        };
        links.push((link, Some(Made { seen: entry.seen.clone(), at_boot: entry.at_boot })));
    }
    links
}

fn join(
    links: Vec<(Link, Option<Made>)>,
    host: &Result<HostNetwork, String>,
    source: Source,
) -> Vec<Interface> {
    let records: HashMap<Mac, usize> = match host {
        Ok(host) => {
            let with_mac = host.nics.iter().enumerate().filter_map(|(place, nic)| Some((nic.mac?, place)));
            with_mac.collect()
        }
        Err(_) => HashMap::new(),
    };
    // which link is the NIC of each MAC: a real one before a veth, the first before others
    let mut nics: HashMap<Mac, usize> = HashMap::new();
    for is_candidate in [Kind::is_nic as fn(&Kind) -> bool, |kind| *kind == Kind::VETH] {
        for (place, (link, _)) in links.iter().enumerate().filter(|(_, (link, _))| is_candidate(&link.kind)) {
            let Some(mac) = link.host_mac() else { continue };
            if link.kind.is_nic() || records.contains_key(&mac) {
                nics.entry(mac).or_insert(place);
            }
        }
    }
    let names: Vec<String> = links.iter().map(|(link, _)| link.name.clone()).collect();
    let judge = |(place, (link, made_by)): (usize, (Link, Option<Made>))| {
        let nic_of = |mac: Option<Mac>| mac.and_then(|mac| nics.get(&mac)).copied();

        let mac = link.host_mac();
        let record = match mac.filter(|_| nic_of(mac) == Some(place)) {
            Some(mac) => records.get(&mac).copied(),
            // a file names its NIC, but seldom its MAC: there the addresses tell
            None if made_by.is_some() && mac.is_none() && link.kind.is_nic() => by_address(&link, host),
            None => None,
        };
        let shares = nic_of(link.mac).filter(|&nic| nic != place && record.is_none());
        let verdict = if link.kind == Kind::LOOPBACK {
            Some(Verdict::Loopback)
        } else if record.is_some() {
            Some(Verdict::Host)
        } else if shares.is_some() {
            Some(Verdict::SharesMac)
        } else if link.master.is_some() && !link.kind.is_nic() {
            Some(Verdict::Port)
        } else if link.kind.is_nic() {
            let is_known = host.is_ok() && source == Source::Store && link.mac.is_some();
            is_known.then_some(Verdict::UnknownToHost)
        } else {
            Some(Verdict::Unexpected)
        };
        Interface {
            record,
            verdict,
            is_public: false,
            ipv6: Ipv6 { enabled: None, disabled_by: Vec::new() },
            shares_mac_of: shares.map(|nic| names[nic].clone()),
            made_by,
            link,
        }
    };
    links.into_iter().enumerate().map(judge).collect()
}

/// The record that assigns one of a link's addresses.
fn by_address(link: &Link, host: &Result<HostNetwork, String>) -> Option<usize> {
    let nics = &host.as_ref().ok()?.nics;
    nics.iter().position(|nic| {
        link.addresses.iter().any(|net| match net {
            IpNet::V4(net) => nic.addresses4.iter().any(|assigned| assigned.addr() == net.addr()),
            IpNet::V6(net) => nic.addresses6.iter().any(|assigned| assigned.addr() == net.addr()),
        })
    })
}

fn is_public(interface: &Interface, host: &Result<HostNetwork, String>, defaults: &HashSet<String>) -> bool {
    if let (Ok(host), Some(record)) = (host, interface.record) {
        let label = host.nics.get(record).and_then(|nic| nic.label.as_deref());
        if label.is_some() {
            return host.nics[record].is_public();
        }
    }
    let is_nic = interface.link.kind.is_nic() || interface.record.is_some();
    is_nic
        && (defaults.contains(&interface.link.name)
            || interface.link.addresses.iter().any(|net| is_global(&net.addr())))
}

/// Whether an address is routed on the internet.
fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // 100.64.0.0/10 is between a provider and its customers (RFC 6598)
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

/// The links that a default route leads to, from `/proc/net`.
fn links_of_default_routes(root: &Root) -> HashSet<String> {
    let text = |path| root.text_opt(path).ok().flatten().unwrap_or_default();
    let mut links = HashSet::new();
    for line in text("proc/net/route").lines() {
        // Iface Destination Gateway Flags RefCnt Use Metric Mask …
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, "00000000", _, _, _, _, _, "00000000", ..] = fields.as_slice() {
            links.insert((*name).to_owned());
        }
    }
    for line in text("proc/net/ipv6_route").lines() {
        // destination, its length, source, its length, next hop, metric, counts, flags, name
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [to, "00", .., name] = fields.as_slice()
            && to.bytes().all(|b| b == b'0')
            && *name != "lo"
        {
            links.insert((*name).to_owned());
        }
    }
    links
}

#[cfg(test)]
pub(crate) mod tests;
