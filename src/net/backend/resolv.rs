//! resolv.conf, where no program writes it: the name servers of all NICs, in the place of those that it names.
//!
//! A link is somebody's (systemd-resolved, resolvconf, NetworkManager) and is left alone. What else the file says
//! (`search`, `options`) stays.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;

use super::super::intent::Intent;
use crate::facts::init::Enabled;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

const PATH: &str = "etc/resolv.conf";

/// Returns the name servers of all NICs, each once.
pub(super) fn servers_of(intent: &Intent) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for server in intent.nics.iter().flat_map(|nic| &nic.dns) {
        if !servers.contains(server) {
            servers.push(*server);
        }
    }
    servers
}

/// Returns the change that names them; none when there are none, or when the file is a link.
///
/// # Errors
/// The file cannot be read.
pub(super) fn with_servers_of(intent: &Intent, root: &Root) -> Result<Option<FileChange>> {
    let servers = servers_of(intent);
    if servers.is_empty() || root.link_opt(PATH)?.is_some() {
        return Ok(None);
    }
    let old = root.text_opt(PATH)?.unwrap_or_default();
    let mut text: String =
        old.lines().filter(|line| !line.starts_with("nameserver")).map(|line| format!("{line}\n")).collect();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    Ok(Some(FileChange::write(PATH, text)))
}

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
    with_servers_of(intent, &target.root)
}

/// Returns what the file names.
///
/// # Errors
/// It cannot be read.
pub(super) fn servers(root: &Root) -> Result<Vec<String>> {
    let text = root.text_opt(PATH)?.unwrap_or_default();
    let named = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
    Ok(named.map(|server| server.trim().to_owned()).collect())
}
