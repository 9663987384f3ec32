//! What NetworkManager's own configuration has it leave alone: the NICs of `/etc/network/interfaces`, devices that are
//! named, the resolver.
//!
//! Files are taken in its order, a later one's value before an earlier one's; the state that it keeps itself is not
//! read here. Source: NetworkManager.conf(5), and `nms-ifupdown-plugin.c`: without `managed=true` its plugin leaves
//! every interface that an `iface` line names to ifupdown.

use super::configured::Scan;
use super::{assignments, ini};

/// What it leaves alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manager {
    /// The plugin hands what `/etc/network/interfaces` names to ifupdown.
    pub(crate) spares_ifupdown: bool,
    /// The words of `unmanaged-devices`.
    pub(crate) unmanaged: Vec<String>,
    /// It writes no `/etc/resolv.conf`.
    pub(crate) writes_no_dns: bool,
}

impl Manager {
    /// Reads its files; what cannot be read is left to the scan.
    pub(crate) fn of(scan: &mut Scan) -> Self {
        let mut files = scan.files("usr/lib/NetworkManager/conf.d", ".conf");
        files.push("etc/NetworkManager/NetworkManager.conf".to_owned());
        files.extend(scan.files("etc/NetworkManager/conf.d", ".conf"));
        let mut it = Self::default();
        let (mut has_plugin, mut manages) = (false, false);
        for path in files {
            for setting in ini::parse(&scan.text(&path).unwrap_or_default()) {
                match (setting.section.as_str(), setting.key.as_str()) {
                    ("main", "plugins") => {
                        has_plugin = setting.value.split(',').any(|word| word.trim() == "ifupdown");
                    }
                    ("main", "dns") => it.writes_no_dns = setting.value == "none",
                    ("ifupdown", "managed") => manages = assignments::is_yes(&setting.value),
                    ("keyfile", "unmanaged-devices") => {
                        it.unmanaged =
                            setting.value.split([';', ',']).map(|word| word.trim().to_owned()).collect();
                    }
                    _ => {}
                }
            }
        }
        it.spares_ifupdown = has_plugin && !manages;
        it
    }
}
