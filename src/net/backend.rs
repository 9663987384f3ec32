//! The back ends: who reads which files on a system, and how an [`Intent`] is written for it.
//!
//! To add one: a file beside this one with a type that implements [`Backend`], and a line in [`BACKENDS`] at its
//! place: the one that manages the network when several are installed comes first.

mod ifcfg;
mod ifupdown;
mod keyfile;
mod netplan;
mod networkd;
mod reading;
mod resolver;

use anyhow::Result;

use super::intent::{Intent, Nic, NicIntent};
use super::links;
use crate::exec::Cmd;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

/// Every back end, the one that usually is in charge when several are there first.
pub const BACKENDS: &[&dyn Backend] =
    &[&netplan::Netplan, &networkd::Networkd, &keyfile::Keyfile, &ifcfg::Ifcfg, &ifupdown::Ifupdown];

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

    /// Returns the directories whose files the validator reads together.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks files before they replace the old ones: `staged` is a copy of the configuration with the new files in
    /// place, outside the target. Where the program has a validator (`netplan generate --root-dir`), it is run.
    ///
    /// # Errors
    /// The program would refuse them; its own words.
    fn validate(&self, _staged: &Root) -> Result<()> {
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

/// Returns a NIC's name as a part of a file's name, or as a word of a file that a shell reads. Linux takes names with
/// quotes and dollars in them; a disk's record of its links can hold anything.
fn file_stem(nic: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    nic.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Returns the version of the target's systemd, which its private library has in its name; `None` where there is none
/// (systemd before 231, or another init system).
fn systemd_version(root: &Root) -> Option<u32> {
    let dirs = ["usr/lib/systemd", "lib/systemd", "usr/lib64/systemd", "usr/lib/x86_64-linux-gnu/systemd"];
    let names = dirs.iter().filter_map(|dir| root.read_dir(dir).ok()).flatten().map(|entry| entry.name);
    names.into_iter().find_map(|name| {
        let version = name.strip_prefix("libsystemd-shared-")?;
        version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}
