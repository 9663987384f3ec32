//! What a network reset took away that was not about the host's NICs, and what brings it back.
//!
//! Both agents write `/etc/network/interfaces` anew, 2.x its file of netplan as well, and move away the ifcfg files of
//! interfaces that they do not find; what stood there is in the backup. Stanzas and files of the host's own NICs and of their aliases are never
//! brought back: there the new ones are right. What takes a NIC for its port, or has an address of the host's, is
//! shown and left to hands, for it would cut the server off. A configuration that has lost the NICs themselves is
//! [`emptied`].
//! Source: interfaces(5), initscripts' sysconfig.txt; both agents' code of the reset.

mod emptied;
mod ifcfg;
mod interfaces;
mod netplan;

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;

use super::TEMPLATE;
use super::backups::Backup;
use super::fault::{Edit, Fault, Judged};
use super::machine::{Machine, is_nic_name};
use crate::check::{Check, Finding};
use crate::net::Mac;
use crate::target::Target;

pub(super) const LOST: Check = Check {
    id: "config-lost",
    about: "the network reset took no configuration of other interfaces away",
    probe: |target| Ok(lost(target)?.findings()),
    fix: Some(|target| lost(target)?.plan(target)),
    page: include_str!("../pages/config-lost.md"),
    ..TEMPLATE
};

/// Something that was lost.
struct Lost {
    /// The interface, or the files that a line includes.
    what: String,
    backup: Backup,
    /// The line of the backup, and what it says.
    line: usize,
    text: String,
    /// Why it must not come back by itself.
    danger: Option<&'static str>,
    edits: Vec<Edit>,
}

fn lost(target: &Target) -> Result<Judged> {
    let emptied = emptied::of(target)?;
    let mut all = all(target)?;
    // what comes back with the whole file must not come back twice
    all.retain(|lost| emptied.as_ref().is_none_or(|emptied| !emptied.restores(lost)));
    let mut faults: Vec<Fault> = emptied.into_iter().map(|emptied| emptied.fault).collect();
    faults.extend(all.into_iter().map(fault));
    Ok(Judged { faults, otherwise: Finding::ok("no backup holds other interfaces than the files of today") })
}

/// Returns the backups that something is to be brought back from.
///
/// # Errors
/// As the check.
pub(super) fn sources(target: &Target) -> Result<Vec<String>> {
    let mut sources: Vec<String> = all(target)?.into_iter().map(|lost| lost.backup.path).collect();
    sources.extend(emptied::of(target)?.into_iter().flat_map(|emptied| emptied.backups));
    Ok(sources)
}

fn all(target: &Target) -> Result<Vec<Lost>> {
    let own = Own::of(target)?;
    let mut all = interfaces::lost(target, &own)?;
    all.extend(ifcfg::lost(target, &own)?);
    all.extend(netplan::lost(target, &own)?);
    Ok(all)
}

fn fault(lost: Lost) -> Fault {
    let Lost { what, backup, line, text, danger, edits } = lost;
    let source = if line == 0 { backup.path.clone() } else { format!("{}:{line}", backup.path) };
    let finding = Finding::warn(format!("{what} was lost when the agent wrote {} anew", backup.of))
        .because(
            "a network reset replaces the whole configuration: bridges, VLANs, VPNs and included files go with it",
        )
        .seen(source, text)
        .about(&what);
    match danger {
        None => Fault { finding: finding.mend(format!("bring it back from {}", backup.path)), edits },
        Some(why) => Fault {
            finding: finding
                .mend(format!("bring it back from {} by hand, from the console: {why}", backup.path)),
            edits: Vec::new(),
        },
    }
}

/// What belongs to the host's NICs.
#[derive(Default)]
struct Own {
    names: BTreeSet<String>,
    macs: Vec<Mac>,
    addresses: Vec<IpAddr>,
}

impl Own {
    fn of(target: &Target) -> Result<Self> {
        let machine = Machine::of(target)?.unwrap_or_default();
        let mut own = Self::default();
        for nic in &machine.nics {
            own.names.extend(nic.name.clone());
            own.macs.push(nic.mac);
        }
        for nic in target.survey()?.host.iter().flat_map(|host| &host.nics) {
            own.addresses.extend(nic.addresses4.iter().map(|net| IpAddr::from(net.addr())));
            own.addresses.extend(nic.addresses6.iter().map(|net| IpAddr::from(net.addr())));
        }
        Ok(own)
    }

    /// Whether an interface is a NIC or an alias of one. A disk does not name its NICs, so each name that a NIC can
    /// have counts.
    fn is(&self, name: &str) -> bool {
        let link = name.split(':').next().unwrap_or_default();
        link == "lo" || is_nic_name(link) || self.names.contains(link)
    }
}

#[cfg(test)]
#[path = "config_lost/tests.rs"]
mod tests;
