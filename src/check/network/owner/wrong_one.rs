//! Which of two files about a NIC is to go: the one of which nothing is lost.
//!
//! That is one whose addresses, those of aliases among them, and default gateways are in the other as well, or one of
//! another server's. A route that a command sets is not seen here.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::{Nic, Owner};
use crate::check::network::eni;
use crate::check::network::next_hop::NextHop;
use crate::net::configured::{Planned, Scan};
use crate::net::intent::Family;
use crate::net::{address_with_mask, assignments, ifcfg, networkd};
use crate::target::Target;

/// Returns which one is to stay and which is to go, where what they say shows it.
///
/// # Errors
/// A file cannot be read.
pub(super) fn wrong_one<'o>(
    nic: &Nic,
    [first, second]: [&'o Owner<'o>; 2],
    hops: &[NextHop],
    target: &Target,
) -> Result<Option<(&'o Owner<'o>, &'o Owner<'o>)>> {
    let ours = Side::of(nic, first.entry, hops, target)?;
    let theirs = Side::of(nic, second.entry, hops, target)?;
    let can_stay = ours.is_right(nic) || !theirs.is_right(nic);
    if can_stay && ours.has_what_counts_of(&theirs, nic) {
        return Ok(Some((first, second)));
    }
    let can_stay = theirs.is_right(nic);
    Ok((can_stay && theirs.has_what_counts_of(&ours, nic)).then_some((second, first)))
}

/// What one program gives to a NIC.
struct Side {
    addresses: Vec<IpNet>,
    /// Those of default routes.
    gateways: Vec<IpAddr>,
}

impl Side {
    fn of(nic: &Nic, entry: &Planned, hops: &[NextHop], target: &Target) -> Result<Self> {
        let mut side = Self { addresses: entry.addresses.clone(), gateways: Vec::new() };
        let path = path_of(&entry.seen.source);
        let mut scan = Scan::of(&target.root);
        match entry.reader {
            "ifupdown" => side.add_stanzas(nic, target)?,
            "networkd" => side.add_network_file(&mut scan, path),
            "netplan" => {
                let is_it = |hop: &&NextHop| {
                    entry.seen.text.strip_prefix("ethernets: ") == Some(&hop.nic)
                        && hop.source.contains("netplan/")
                };
                side.add_hops(hops.iter().filter(is_it));
            }
            _ => side.add_hops(hops.iter().filter(|hop| path_of(&hop.source) == path)),
        }
        if entry.reader == "ifcfg" {
            side.add_aliases(&mut scan, path);
        }
        scan.complete()?;
        Ok(side)
    }

    fn add_hops<'h>(&mut self, hops: impl Iterator<Item = &'h NextHop>) {
        self.gateways.extend(hops.filter(|hop| hop.is_default).map(|hop| hop.via));
    }

    fn add_stanzas(&mut self, nic: &Nic, target: &Target) -> Result<()> {
        let Some(all) = eni::interfaces(target)? else { return Ok(()) };
        for stanza in all.stanzas.iter().filter(|stanza| stanza.name.split(':').next() == Some(&nic.name)) {
            let option = |name| stanza.option(name).map(|line| line.word(1));
            self.addresses
                .extend(option("address").and_then(|text| address_with_mask(text, option("netmask"))));
            self.gateways.extend(option("gateway").and_then(|via| via.parse::<IpAddr>().ok()));
        }
        Ok(())
    }

    fn add_network_file(&mut self, scan: &mut Scan, path: &str) {
        for unit in networkd::units_of(scan, ".network").iter().filter(|unit| unit.path == path) {
            for (file, setting) in unit.settings.iter().filter(|(_, setting)| setting.key == "Gateway") {
                let is_narrow = unit
                    .settings
                    .iter()
                    .any(|(other, it)| other == file && it.block == setting.block && it.key == "Destination");
                self.gateways.extend(setting.value.parse::<IpAddr>().ok().filter(|_| !is_narrow));
            }
        }
    }

    /// `ifcfg-eth0:1` is raised with `ifcfg-eth0`.
    fn add_aliases(&mut self, scan: &mut Scan, path: &str) {
        let alias = format!("{path}:");
        for path in ifcfg::files(scan, ifcfg::RED_HAT).iter().filter(|other| other.starts_with(&alias)) {
            let variables = assignments::parse(&scan.text(path).unwrap_or_default());
            self.addresses.extend(ifcfg::addresses(&variables));
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }

    /// Whether it has all that the host assigns.
    fn is_right(&self, nic: &Nic) -> bool {
        !nic.assigned.is_empty() && nic.assigned.iter().all(|address| self.has(*address))
    }

    fn has_what_counts_of(&self, other: &Self, nic: &Nic) -> bool {
        let has_all = other.addresses.iter().all(|net| self.has(net.addr()))
            && other.gateways.iter().all(|via| self.gateways.contains(via));
        has_all || (self.is_right(nic) && self.is_of_another_server(other, nic))
    }

    /// Whether the other side is what an image brought along: none of the host's addresses, and a gateway out of reach
    /// of them. An alias of the owner's has no gateway.
    fn is_of_another_server(&self, other: &Self, nic: &Nic) -> bool {
        let has_gateway = |via: &IpAddr| self.gateways.iter().any(|it| Family::of(*it) == Family::of(*via));
        let is_far = |via: &IpAddr| via.is_ipv4() && !self.addresses.iter().any(|net| net.contains(via));
        !other.addresses.is_empty()
            && !nic.assigned.iter().any(|address| other.has(*address))
            && other.gateways.iter().all(has_gateway)
            && other.gateways.iter().any(is_far)
    }
}

fn path_of(source: &str) -> &str {
    source.rsplit_once(':').map_or(source, |(path, _)| path)
}
