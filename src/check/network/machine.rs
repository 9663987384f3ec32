//! Which NICs the machine has, so that a MAC of another one can be told.
//!
//! A running guest and a recorded tree show them. On a mounted disk it is what the host says, else what the agent
//! logged at its last network reset; where neither is there, nothing is known and a MAC is not judged.

use anyhow::Result;

use crate::net::Mac;
use crate::net::configured::Match;
use crate::net::survey::{Origin, Survey};
use crate::target::Target;

/// The NICs of the machine.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) nics: Vec<Nic>,
    /// Every MAC of a link, also of those that are no NICs.
    macs: Vec<Mac>,
}

/// A NIC; its name is not known on most mounted disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    pub(super) name: Option<String>,
    pub(super) mac: Mac,
}

/// Whether a name is one that the kernel or udev gives to a NIC; one of a VLAN on it, or an alias, is not.
pub(super) fn is_nic_name(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = name.strip_prefix("eth").or_else(|| name.strip_prefix("enX")) {
        return is_number(number);
    }
    if let Some(mac) = name.strip_prefix("enx") {
        return mac.len() == 12 && mac.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let predictable = ["eno", "enp", "ens"].iter().find_map(|start| name.strip_prefix(start));
    predictable.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

impl Machine {
    /// Returns the NICs, or why they are not known.
    ///
    /// # Errors
    /// The running kernel gives no list of its links.
    pub(super) fn of(target: &Target) -> Result<Result<Self, String>> {
        Ok(Self::surveyed(target.survey()?))
    }

    fn surveyed(survey: &Survey) -> Result<Self, String> {
        let mut machine = Self::default();
        if survey.origin != Origin::Configuration {
            for interface in &survey.interfaces {
                let link = &interface.link;
                machine.macs.extend(link.mac.into_iter().chain(link.permanent_mac));
                if let Some(mac) = link.host_mac().filter(|_| link.kind.is_nic()) {
                    machine.nics.push(Nic { name: Some(link.name.clone()), mac });
                }
            }
        } else {
            let host = survey.host.as_ref().map_err(Clone::clone)?;
            machine.nics =
                host.nics.iter().filter_map(|nic| nic.mac).map(|mac| Nic { name: None, mac }).collect();
        }
        if machine.nics.is_empty() {
            return Err("no NIC of this machine is known".to_owned());
        }
        machine.macs.extend(machine.nics.iter().map(|nic| nic.mac));
        Ok(machine)
    }

    /// Whether a link has this MAC.
    pub(super) fn has(&self, mac: Mac) -> bool {
        self.macs.contains(&mac)
    }

    /// Whether a NIC goes without configuration because of an entry that is about another machine's MAC. Otherwise
    /// the entry is only left over, from a NIC that was detached.
    pub(super) fn is_missed_by(&self, stale: &Match, all: &[Match]) -> bool {
        // an entry without a MAC is about one of the NICs whose names are not known
        let mut unbound = all.iter().filter(|entry| entry.macs.is_empty()).count();
        for nic in &self.nics {
            let is_covered = match &nic.name {
                Some(name) => all.iter().any(|entry| entry.is(name, Some(nic.mac))),
                None => all.iter().any(|entry| entry.macs.contains(&nic.mac)),
            };
            match &nic.name {
                _ if is_covered => {}
                None if unbound > 0 => unbound -= 1,
                None => return true,
                Some(name) => {
                    let names = Match { names: stale.names.clone(), macs: Vec::new() };
                    if names.is(name, None) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Returns the NICs of these names and MACs.
    #[cfg(test)]
    pub(super) fn made_up(nics: &[(Option<&str>, &str)]) -> Self {
        let nics: Vec<Nic> = nics
            .iter()
            .map(|(name, mac)| Nic { name: name.map(str::to_owned), mac: mac.parse().expect("a MAC") })
            .collect();
        Self { macs: nics.iter().map(|nic| nic.mac).collect(), nics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "bc:76:4e:20:75:72";
    const PRIVATE: &str = "bc:76:4e:20:6c:5b";
    const STRANGE: &str = "bc:76:4e:00:00:01";

    fn entry(name: &str, mac: &str) -> Match {
        Match {
            names: if name.is_empty() { Vec::new() } else { vec![name.to_owned()] },
            macs: mac.parse().ok().into_iter().collect(),
        }
    }

    #[test]
    fn a_nic_is_told_by_its_name() {
        for name in ["eth0", "eth12", "ens3", "enp0s3f1", "enX0", "enxbc764e207572", "eno1"] {
            assert!(is_nic_name(name), "{name}");
        }
        for name in ["eth", "eth0:1", "eth0.5", "ethernet", "br0", "ensemble", "ens3.7", "wg0", "lo"] {
            assert!(!is_nic_name(name), "{name}");
        }
    }

    #[test]
    fn a_stale_entry_hurts_only_where_a_nic_goes_without() {
        let named = Machine::made_up(&[(Some("eth0"), PUBLIC), (Some("eth1"), PRIVATE)]);
        let unnamed = Machine::made_up(&[(None, PUBLIC), (None, PRIVATE)]);
        let cases = [
            (&named, entry("eth0", STRANGE), entry("eth1", PRIVATE), true),
            (&named, entry("", STRANGE), entry("eth1", ""), true),
            // eth2 was detached; that eth0 has no configuration has another cause
            (&named, entry("eth2", STRANGE), entry("eth1", PRIVATE), false),
            (&unnamed, entry("eth0", STRANGE), entry("eth1", PRIVATE), true),
            (&unnamed, entry("eth0", STRANGE), entry("eth1", ""), true),
        ];
        for (machine, stale, other, want) in cases {
            assert_eq!(
                machine.is_missed_by(&stale, &[stale.clone(), other.clone()]),
                want,
                "{stale:?} {other:?}"
            );
        }
        let covered = [entry("eth2", STRANGE), entry("eth0", PUBLIC), entry("eth1", "")];
        assert!(!named.is_missed_by(&covered[0], &covered));
        assert!(!unnamed.is_missed_by(&covered[0], &covered));
    }
}
