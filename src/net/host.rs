//! `vm-data/networking`: the network that the host assigns, one JSON record per NIC.
//!
//! What a record may look like, and how far it is repaired, is known to `reader`. To add a member: a field of
//! [`HostNic`], its line there, and a row in the tests.

mod reader;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Mac;
use crate::xenstore::{Error, Xenstore};

/// Where the records are.
pub const PATH: &str = "vm-data/networking";

/// The most records that are read; Xen gives a guest seven NICs.
const RECORDS_MAX: usize = 256;

/// The network that the host assigns; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// One per record, in the order of their keys.
    pub nics: Vec<HostNic>,
}

/// Who says what a NIC is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Giver {
    /// The host.
    #[default]
    Host,
    /// A person, on the command line or at the prompt.
    Hand,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNic {
    /// Who says it.
    pub giver: Giver,
    /// The record's name: the MAC without separators, in the case that the host chose.
    pub key: String,
    /// Its MAC: the `mac` member, else the key.
    pub mac: Option<Mac>,
    /// The name of the network, such as `public`. It comes from a tenant: never write it anywhere unquoted.
    pub label: Option<String>,
    /// IPv4 addresses in the host's order: the first is the primary one.
    pub addresses4: Vec<Ipv4Net>,
    /// IPv6 addresses, likewise.
    pub addresses6: Vec<Ipv6Net>,
    /// Addresses that the host knows and has switched off.
    pub disabled: Vec<IpNet>,
    /// Where the IPv4 default route leads, when this NIC has one.
    pub gateway4: Option<Ipv4Addr>,
    /// Where the IPv6 default route leads, when this NIC has one.
    pub gateway6: Option<Ipv6Addr>,
    /// Further routes, both families.
    pub routes: Vec<Route>,
    /// Name servers in the host's order, each once.
    pub dns: Vec<IpAddr>,
    /// What could not be read as it stands.
    pub problems: Vec<Problem>,
}

/// A route of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination, host bits cleared.
    pub to: IpNet,
    /// The next hop; `None` is on the link itself.
    pub via: Option<IpAddr>,
}

/// A field that could not be read as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record's name.
    pub key: String,
    /// The field, such as `ips[1].netmask`; empty when it is the record.
    pub field: String,
    /// What is wrong with it.
    pub text: String,
    /// What became of it.
    pub effect: Effect,
}

/// What a problem costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: what was meant is certain.
    Repaired,
    /// The field, or the record when there is no field.
    LeftOut,
}

impl HostNetwork {
    /// Returns the records with a MAC in the order in which the provider plugs the NICs: the public one is the first.
    pub fn in_order(&self) -> Vec<&HostNic> {
        let mut records: Vec<_> = self.nics.iter().filter(|record| record.mac.is_some()).collect();
        let rank = |record: &HostNic| match record.label.as_deref().map(str::to_lowercase).as_deref() {
            Some("public") => 0,
            Some("private") => 1,
            _ => 2,
        };
        records.sort_by_key(|record| rank(record));
        records
    }
}

impl HostNic {
    /// Whether the host calls this network public.
    pub fn is_public(&self) -> bool {
        self.label.as_deref().is_some_and(|label| label.eq_ignore_ascii_case("public"))
    }

    /// Whether nothing is known of what the host assigns: no address could be read, and something was left out.
    pub fn is_lost(&self) -> bool {
        let has_lost = self.problems.iter().any(|problem| problem.effect == Effect::LeftOut);
        self.addresses4.is_empty() && self.addresses6.is_empty() && has_lost
    }
}

/// Returns what the host assigns.
///
/// # Errors
/// The store cannot be asked. A record that is missing, or cannot be read, is none.
pub fn host_nics(store: &mut dyn Xenstore) -> Result<HostNetwork> {
    let mut keys = match store.list(PATH) {
        Ok(keys) => keys,
        Err(Error::NotFound(_)) => return Ok(HostNetwork::default()),
        Err(e) => return Err(e).with_context(|| format!("listing {PATH}")),
    };
    keys.sort_unstable();
    keys.truncate(RECORDS_MAX);
    let mut nics = Vec::with_capacity(keys.len());
    for key in keys {
        match store.read(&format!("{PATH}/{key}")) {
            Ok(value) => nics.push(HostNic::parse(&key, &value)),
            // taken away since it was listed
            Err(Error::NotFound(_)) => {}
            Err(e) => return Err(e).with_context(|| format!("reading {PATH}/{key}")),
        }
    }
    Ok(HostNetwork { nics })
}

#[cfg(test)]
mod tests;
