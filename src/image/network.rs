//! The NICs' configuration of this machine, taken away: the copy's first boot writes its own.
//!
//! What configures something else stays: loopback, tunnels, bridges, VPNs, the manager's own settings. Names `eth*` and
//! `en*` are the NICs of this platform. Where nothing would write the copy's, everything stays.

use anyhow::{Result, bail};

use super::Who;
use crate::facts::cloud_init::{CloudInit, Starts};
use crate::glob;
use crate::net::yaml;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{Kind, Node, Root};
use crate::target::Target;

/// Directories whose files are about one NIC by their names.
const BY_NAME: [(&str, &[&str]); 2] = [
    ("etc/sysconfig/network-scripts", &["ifcfg-", "route-", "route6-", "rule-", "rule6-"]),
    ("etc/sysconfig/network", &["ifcfg-", "ifroute-"]),
];

pub(super) fn plan(target: &Target, who: Who) -> Result<Plan> {
    let root = &target.root;
    let mut plan = Plan::default();
    for (dir, prefixes) in BY_NAME {
        for name in names(root, dir)? {
            let nic = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
            if nic.is_some_and(is_nic) {
                plan.files.push(FileChange::Remove { path: format!("{dir}/{name}") });
            }
        }
    }
    for (dir, is_of_a_nic) in [
        ("etc/NetworkManager/system-connections", is_keyfile_of_a_nic as fn(&str) -> bool),
        ("etc/netplan", is_netplan_of_a_nic),
        ("etc/systemd/network", is_networkd_of_a_nic),
    ] {
        for name in names(root, dir)? {
            let path = format!("{dir}/{name}");
            let text = root.text_opt(&path)?.unwrap_or_default();
            if !name.starts_with('.') && is_of_a_nic(&text) {
                // a profile can hold a password
                plan.files.push(FileChange::Restore { path, node: Node::Absent, secret: Secrecy::Secret });
            }
        }
    }
    let dropped_in = names(root, "etc/network/interfaces.d")?;
    let dropped_in = dropped_in.into_iter().map(|name| format!("etc/network/interfaces.d/{name}"));
    for path in dropped_in.chain(["etc/network/interfaces".to_owned()]) {
        let Some(text) = root.text_opt(&path)? else { continue };
        let rest = without_nics(&text);
        if rest != text {
            plan.files.push(FileChange::write(path, rest));
        }
    }
    if !plan.files.is_empty() && !is_written_anew(target, who)? {
        bail!(
            "neither an agent nor cloud-init starts in the copy to configure its NICs, so their files stay"
        );
    }
    Ok(plan)
}

fn names(root: &Root, dir: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in root.read_dir(dir)? {
        if root.lstat_opt(&format!("{dir}/{}", entry.name))?.is_some_and(|stat| stat.kind == Kind::File) {
            names.push(entry.name);
        }
    }
    Ok(names)
}

/// Whether the first boot of a copy configures its NICs.
fn is_written_anew(target: &Target, who: Who) -> Result<bool> {
    if who != Who::Agent {
        // what plans the change puts it there
        return Ok(true);
    }
    if target.agents().all.iter().any(crate::facts::agents::Agent::is_enabled) {
        return Ok(true);
    }
    let cloud_init = CloudInit::of(&target.root, target.services())?;
    Ok(cloud_init.is_some_and(|it| matches!(it.starts, Starts::Yes(_)) && it.network_off().is_none()))
}

/// `eth0`, `eth0:1`, `ens3`, `enX0`.
fn is_nic(name: &str) -> bool {
    ["eth[0-9]*", "en[a-zX0-9]*[0-9]*"].iter().any(|pattern| glob::matches(pattern, name))
}

fn is_keyfile_of_a_nic(text: &str) -> bool {
    text.lines().any(|line| matches!(line.trim(), "type=ethernet" | "type=802-3-ethernet"))
}

fn is_netplan_of_a_nic(text: &str) -> bool {
    let Ok(Some(top)) = yaml::parse(text) else { return false };
    top.get("network").is_some_and(|network| network.get("ethernets").is_some())
}

/// A file with addresses that matches by name or MAC.
fn is_networkd_of_a_nic(text: &str) -> bool {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))
            .map(str::trim)
    };
    let is_ours = value("MACAddress").is_some()
        || value("Name").is_some_and(|name| name.split_whitespace().any(is_nic));
    is_ours && ["Address", "Gateway", "DHCP"].iter().any(|key| value(key).is_some())
}

/// Returns an interfaces(5) file without the stanzas of NICs; comments and everything else stay.
fn without_nics(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut is_dropping = false;
    for line in text.split_inclusive('\n') {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            [first, ..] if first.starts_with('#') => {}
            ["iface" | "mapping", name, ..] => is_dropping = is_nic(name),
            [first, names @ ..] if *first == "auto" || first.starts_with("allow-") => {
                is_dropping = false;
                if !names.is_empty() && names.iter().all(|name| is_nic(name)) {
                    continue;
                }
            }
            ["source" | "source-directory" | "no-auto-down" | "rename" | "template", ..] => {
                is_dropping = false;
            }
            _ => {}
        }
        let is_comment = words.first().is_none_or(|word| word.starts_with('#'));
        if !is_dropping || is_comment {
            kept.push_str(line);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stanzas_of_nics_go_and_the_rest_stays() {
        let text = "# loopback\nauto lo\niface lo inet loopback\n\nauto eth0 \nallow-hotplug eth1\niface eth0 inet static\n\
            \taddress 192.0.2.1/24\n# in between\n\tgateway 192.0.2.254\nauto eth0 br0\niface br0 inet static\n\taddress 10.0.0.1/8\n\
            source interfaces.d/*\niface eth0:1 inet static\n\taddress 192.0.2.3/24\n";
        let want = "# loopback\nauto lo\niface lo inet loopback\n\n# in between\nauto eth0 br0\niface br0 inet static\n\
            \taddress 10.0.0.1/8\nsource interfaces.d/*\n";
        assert_eq!(without_nics(text), want);
        assert_eq!(without_nics(want), want);
    }

    #[test]
    fn files_of_nics_are_told_from_others() {
        assert!(is_nic("eth0") && is_nic("enX0") && is_nic("ens3") && is_nic("eth0:1"));
        assert!(!is_nic("lo") && !is_nic("tun0") && !is_nic("entry") && !is_nic("ethernet"));
        assert!(is_netplan_of_a_nic("network:\n  ethernets: {eth0: {}}\n"));
        assert!(!is_netplan_of_a_nic("network: {version: 2, renderer: NetworkManager}\n"));
        assert!(is_networkd_of_a_nic("[Match]\nName=eth0\n[Network]\nAddress=192.0.2.1/24\n"));
        assert!(!is_networkd_of_a_nic("[Match]\nName=wg0\n[Network]\nAddress=10.0.0.1/24\n"));
        assert!(
            is_keyfile_of_a_nic("[connection]\ntype=ethernet\n") && !is_keyfile_of_a_nic("type=wireguard\n")
        );
    }

    proptest! {
        #[test]
        fn any_file_is_cut_without_a_panic_and_only_once(text in "(auto|iface|lo|eth0|br0| |\n|\t|#|\\PC{0,3})*") {
            let once = without_nics(&text);
            prop_assert_eq!(without_nics(&once), once);
        }
    }
}
