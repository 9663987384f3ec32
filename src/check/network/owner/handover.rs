//! What has NetworkManager leave a NIC to another program, or take it over from one.

use anyhow::Result;

use super::Nic;
use crate::check::network::network_manager;
use crate::glob;
use crate::net::configured::Scan;
use crate::net::manager::Manager;
use crate::net::{assignments, ifcfg, netplan, yaml};
use crate::target::Target;

/// What says that NetworkManager leaves NICs alone, or that others do.
#[derive(Debug, Default)]
pub(super) struct Switches {
    pub(super) manager_starts: bool,
    pub(super) manager: Manager,
    /// netplan's files are for NetworkManager.
    pub(super) netplan_is_managers: bool,
    /// `DEVICE` of the ifcfg files with `NM_CONTROLLED=no`.
    pub(super) spared: Vec<String>,
    pub(super) reads_ifcfg: bool,
}

impl Switches {
    pub(super) fn of(target: &Target) -> Result<Self> {
        let root = &target.root;
        let mut scan = Scan::of(root);
        let mut switches = Self {
            manager_starts: network_manager::starts(target)?,
            reads_ifcfg: ifcfg::has_plugin(root),
            manager: Manager::of(&mut scan),
            ..Self::default()
        };
        for path in netplan::files(&mut scan) {
            let text = scan.text(&path).unwrap_or_default();
            let document = yaml::parse(&text).ok().flatten();
            let renderer = document.as_ref().and_then(|d| d.get("network")?.get("renderer")?.text());
            switches.netplan_is_managers |= renderer == Some("NetworkManager");
        }
        for path in ifcfg::files(&mut scan, ifcfg::RED_HAT) {
            let variables = assignments::parse(&scan.text(&path).unwrap_or_default());
            if assignments::is_no(assignments::value(&variables, "NM_CONTROLLED")) {
                let device = assignments::value(&variables, "DEVICE");
                let of_file = path.rsplit_once("ifcfg-").map_or("", |(_, name)| name);
                switches.spared.push(if device.is_empty() { of_file } else { device }.to_owned());
            }
        }
        scan.complete()?;
        Ok(switches)
    }

    pub(super) fn is_unmanaged(&self, nic: &Nic) -> bool {
        self.manager.unmanaged.iter().any(|word| match word.split_once(':') {
            None => word == "*" || nic.mac.is_some_and(|mac| word.parse() == Ok(mac)),
            Some(("interface-name", pattern)) => glob::matches(pattern.trim_start_matches('='), &nic.name),
            Some(("type", kind)) => kind == "ethernet",
            Some(("mac", mac)) => nic.mac.is_some_and(|it| mac.parse() == Ok(it)),
            // a MAC has colons of its own
            Some(_) => nic.mac.is_some_and(|mac| word.parse() == Ok(mac)),
        })
    }
}
