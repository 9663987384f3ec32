//! The back ends: who reads which files on a system, and how an [`Intent`] is written for it.
//!
//! To add one: a file beside this one with a type that implements [`Backend`], and a line in [`BACKENDS`] at its
//! place: the one that manages the network when several are installed comes first.

mod ifcfg;
mod ifupdown;
mod keyfile;
mod netctl;
mod netifrc;
mod netplan;
mod networkd;
mod rc_conf;
mod reading;
mod resolv;
pub(crate) mod settings;
mod wicked;

pub(crate) use netplan::{not_carried_out as netplan_not_carried_out, without_links as without_netplan};

use std::net::IpAddr;

use anyhow::{Result, bail};

use super::intent::{Family, Intent, Nic, NicIntent};
use super::links;
use crate::exec::Cmd;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

/// Every back end, the one that usually is in charge when several are there first.
pub const BACKENDS: &[&dyn Backend] = &[
    &netplan::Netplan,
    &networkd::Networkd,
    &keyfile::Keyfile,
    &wicked::Wicked,
    &netctl::Netctl,
    &ifcfg::Ifcfg,
    &ifupdown::Ifupdown,
    &netifrc::Netifrc,
    &rc_conf::RcConf,
];

/// A format of network configuration and the program that reads it.
pub trait Backend: Sync {
    /// Returns its name, as `--backend` takes it.
    fn name(&self) -> &'static str;

    /// Returns why this back end manages the network of the target, or `None` when it does not: the program is
    /// installed, something starts it at boot, and files for it are there or it is the distribution's way.
    ///
    /// # Errors
    /// A file cannot be read.
    fn claim(&self, target: &Target) -> Result<Option<Claim>>;

    /// Returns the changes of files that make the next boot configure the NICs of the intent, and only those, as it
    /// says: what the user wrote stays, what would win over the new files or merge with them is retired. Rendering
    /// what is there already gives changes that change nothing.
    ///
    /// # Errors
    /// A file that has to be kept cannot be read.
    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>>;

    /// Returns the programs that make the running manager take over the new files without touching other NICs and
    /// without a gap in those that are right already. Each has a time limit; together they stay below 45 s.
    fn activate(&self, intent: &Intent, target: &Target) -> Vec<Cmd>;

    /// Returns what the files under `root` configure for a NIC, as the program that reads them would: for the checks
    /// on a mounted disk, and to prove that what was rendered means what was intended.
    ///
    /// # Errors
    /// A file cannot be read.
    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>>;

    /// Whether what it writes for a NIC names it, and says nothing of its MAC.
    ///
    /// # Errors
    /// A file cannot be read.
    fn goes_by_name(&self, _root: &Root, _nic: &str) -> Result<bool> {
        Ok(false)
    }

    /// Returns the directories whose files the validator reads together.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks files before they replace the old ones: `staged` is a copy of the configuration with the new files in
    /// place, outside the target. Where the program has a validator (`netplan generate --root-dir`), it is run;
    /// otherwise our own parser has to read back the addresses that are meant.
    ///
    /// # Errors
    /// The program would refuse them, in its own words; or something else is read back.
    fn validate(&self, staged: &Root, intent: &Intent) -> Result<()> {
        for nic in &intent.nics {
            let it = Nic { name: nic.name.clone(), mac: nic.mac };
            let found = self.configured(staged, &it)?.map(|found| found.addresses).unwrap_or_default();
            if found != nic.addresses {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                bail!(
                    "{} would have {}",
                    nic.name,
                    if found.is_empty() { "no address".to_owned() } else { found.join(", ") }
                );
            }
        }
        Ok(())
    }
}

/// Why a back end is in charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The file that shows it.
    pub source: String,
    /// What it shows.
    pub text: String,
    /// How strong the claim is.
    pub strength: Strength,
}

/// How strong a claim is: files for the NICs beat an enabled service, which beats an installed program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// It is installed and enabled, and configures no NIC.
    Enabled,
    /// It is enabled and has files for NICs.
    Configures,
}

/// Returns the back ends with the strongest claim on a target, the one that usually is in charge first; several where
/// they dispute it, none where no program reads what can be written here.
///
/// # Errors
/// A file cannot be read.
pub fn in_charge(target: &Target) -> Result<Vec<(&'static dyn Backend, Claim)>> {
    let mut claims = Vec::new();
    for backend in BACKENDS.iter().copied() {
        if let Some(claim) = backend.claim(target)? {
            claims.push((backend, claim));
        }
    }
    let best = claims.iter().map(|(_, claim)| claim.strength).max();
    claims.retain(|(_, claim)| Some(claim.strength) == best);
    Ok(claims)
}

/// Returns the links that exist and have a MAC; none where nothing says which do. What we wrote for one of these stays
/// when the host's record of it is missing just now; what we wrote for others is stale.
///
/// # Errors
/// The kernel gives no list, or the record of a mounted root cannot be read.
fn present(target: &Target) -> Result<Vec<Nic>> {
    let links =
        if target.is_live() { Some(links::live(&target.root)?) } else { links::recorded(&target.root)? };
    let nic = |link: links::Link| Some(Nic { mac: link.host_mac()?, name: link.name });
    Ok(links.unwrap_or_default().into_iter().filter_map(nic).collect())
}

/// Returns the next hops that are in no prefix of their NIC, each once, for formats without a word for that: there they
/// need a route of their own. A link-local one needs nothing.
fn far_hops(nic: &NicIntent) -> Vec<IpAddr> {
    let routes = [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family));
    let mut far = Vec::new();
    for hop in routes.filter_map(|route| route.hop).filter(|hop| hop.onlink) {
        let is_link_local = matches!(hop.via, IpAddr::V6(six) if six.is_unicast_link_local());
        if !is_link_local && !far.contains(&hop.via) {
            far.push(hop.via);
        }
    }
    far
}

/// Returns a NIC's name as a part of a file's name, or as a word of a file that a shell reads. Linux takes names with
/// quotes and dollars in them; a disk's record of its links can hold anything.
fn file_stem(nic: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    nic.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Returns the version of the target's systemd, which its private library has in its name; `None` where there is none
/// (systemd before 231, or another init system).
pub(crate) fn systemd_version(root: &Root) -> Option<u32> {
    let dirs = ["usr/lib/systemd", "lib/systemd", "usr/lib64/systemd", "usr/lib/x86_64-linux-gnu/systemd"];
    let names = dirs.iter().filter_map(|dir| root.read_dir(dir).ok()).flatten().map(|entry| entry.name);
    names.into_iter().find_map(|name| {
        let version = name.strip_prefix("libsystemd-shared-")?;
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}
