//! `/etc/resolv.conf`, for back ends whose program does not hand name servers to the resolver.
//!
//! It is written only when it is a plain file, or none, and nobody else keeps it: resolvconf, systemd-resolved and
//! NetworkManager have their own sources. What else it says (`search`, `options`) stays.

use std::fmt::Write as _;

use anyhow::Result;

use super::super::intent::Intent;
use crate::facts::init::Enabled;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

const PATH: &str = "etc/resolv.conf";

/// Returns the change where networkd has nobody to give the servers to.
///
/// # Errors
/// A file cannot be read.
pub(super) fn without_resolved(intent: &Intent, target: &Target) -> Result<Option<FileChange>> {
    if target.root.find_program("resolvconf").is_some() {
        return Ok(None);
    }
    for keeper in ["systemd-resolved", "NetworkManager"] {
        let service = target.services().named(&target.root, keeper)?;
        if service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))) {
            return Ok(None);
        }
    }
    file(intent, &target.root)
}

/// Returns the change that puts the servers of all NICs into the file; none where it is somebody's link, or there is
/// no server.
///
/// # Errors
/// It cannot be read.
pub(super) fn file(intent: &Intent, root: &Root) -> Result<Option<FileChange>> {
    let mut servers = Vec::new();
    for server in intent.nics.iter().flat_map(|nic| &nic.dns) {
        if !servers.contains(server) {
            servers.push(*server);
        }
    }
    if servers.is_empty() || root.link_opt(PATH)?.is_some() {
        return Ok(None);
    }
    let old = root.text_opt(PATH)?.unwrap_or_default();
    let mut text: String =
        old.lines().filter(|line| !line.starts_with("nameserver")).map(|line| format!("{line}\n")).collect();
    for server in servers {
        // writing to a String cannot fail
        let _ = writeln!(text, "nameserver {server}");
    }
    Ok(Some(FileChange::write(PATH, text)))
}

/// Returns the servers that it names, as they stand.
///
/// # Errors
/// It cannot be read.
pub(super) fn servers(root: &Root) -> Result<Vec<String>> {
    let text = root.text_opt(PATH)?.unwrap_or_default();
    let named = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
    Ok(named.map(|server| server.trim().to_owned()).collect())
}
