//! The files with variables of the network, in the order in which FreeBSD reads them, and the addresses that they say.

use anyhow::Result;
use ipnet::IpNet;

use super::super::reading::Reading;
use super::super::settings::Settings;
use super::ifconfig::{addresses, is_carp};
use super::{MAIN, variable};
use crate::root::Root;

/// Read before it, and never written.
const DEFAULTS: &str = "etc/defaults/rc.conf";
/// Read after it, in this order, by netif and routing.
const LATER: [&str; 7] = [
    "etc/rc.conf.local",
    "etc/rc.conf.d/network",
    "etc/rc.conf.d/netif",
    "etc/rc.conf.d/routing",
    "usr/local/etc/rc.conf.d/network",
    "usr/local/etc/rc.conf.d/netif",
    "usr/local/etc/rc.conf.d/routing",
];
/// Every file with variables of the network.
pub(super) struct Files {
    defaults: Settings,
    pub(super) main: Settings,
    pub(super) later: Vec<(&'static str, Settings)>,
}

impl Files {
    pub(super) fn of(root: &Root) -> Result<Self> {
        let read =
            |path: &str| -> Result<Settings> { Ok(Settings::of(&root.text_opt(path)?.unwrap_or_default())) };
        let mut later = Vec::new();
        for path in LATER {
            if root.exists(path) {
                later.push((path, read(path)?));
            }
        }
        Ok(Self { defaults: read(DEFAULTS)?, main: read(MAIN)?, later })
    }

    /// Returns the value that holds.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let later = self.later.iter().rev().find_map(|(_, settings)| settings.value(name));
        later.or_else(|| self.main.value(name)).or_else(|| self.defaults.value(name))
    }

    /// Returns the names of all variables, each once, in order.
    pub(super) fn names(&self) -> std::collections::BTreeSet<&str> {
        self.main.names().chain(self.later.iter().flat_map(|(_, settings)| settings.names())).collect()
    }

    /// Returns the numbers of a NIC's aliases, in the order in which they are used.
    pub(super) fn aliases(&self, nic: &str) -> Vec<u32> {
        let start = format!("ifconfig_{nic}_alias");
        let mut numbers: Vec<u32> =
            self.names().iter().filter_map(|name| name.strip_prefix(&start)?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns the names of variables with an address of carp, which hosts share.
    pub(super) fn carp_names(&self) -> Vec<String> {
        let is_carp = |name: &str| {
            name.starts_with("ifconfig_")
                && name.contains("_alias")
                && self.value(name).is_some_and(|value| is_carp(&value))
        };
        self.names().into_iter().filter(|name| is_carp(name)).map(str::to_owned).collect()
    }

    /// Returns the addresses of a NIC; `None` where nothing configures it.
    pub(super) fn addresses_of(&self, nic: &str) -> Option<Reading> {
        let nic = variable(nic);
        let mut values: Vec<String> = Vec::new();
        values.extend(self.value(&format!("ifconfig_{nic}")));
        values.extend(self.value(&format!("ifconfig_{nic}_ipv6")));
        values.extend(
            self.aliases(&nic)
                .into_iter()
                .filter_map(|number| self.value(&format!("ifconfig_{nic}_alias{number}"))),
        );
        values.extend(self.value(&format!("ifconfig_{nic}_aliases")));
        values.extend(self.value(&format!("ipv4_addrs_{nic}")));
        if values.is_empty() {
            return None;
        }
        let mut reading = Reading::default();
        for net in values.iter().filter(|value| !is_carp(value)).flat_map(|value| addresses(value)) {
            let of = reading.addresses().iter().find(|known| known.contains(&net.addr()));
            // an alias in the prefix of another address is written with all bits
            let length = of
                .filter(|_| net.prefix_len() == net.max_prefix_len())
                .map_or(net.prefix_len(), IpNet::prefix_len);
            reading.add_address(&format!("{}/{length}", net.addr()));
        }
        Some(reading)
    }
}
