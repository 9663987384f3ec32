//! NetworkManager: one keyfile per NIC, preferred over every other profile.
//!
//! NetworkManager takes the profile with the highest `autoconnect-priority` of those that fit a NIC. Ours has the
//! highest that there is; profiles made for the same NIC are retired all the same, because a person who lists the
//! connections has to see one. Ours takes over what the best of them says besides the network: its UUID, how it knows
//! its NIC, MTU and the like; NetworkManager then takes it for the same profile and applies it without taking the NIC
//! down. Profiles for any NIC stay, and so does everything that is not Ethernet: VPN, bridges, bonds, their ports.
//! What its plugin leaves to ifupdown is ifupdown's.
//! Source: nm-settings-keyfile(5), nm-settings(5); NetworkManager drops what it cannot read without a word, so a
//! rendered file is read back (`configured`) before it counts.

mod profile;

use std::time::Duration;

use anyhow::Result;
use uuid::Uuid;

use super::super::configured::Scan;
use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent};
use super::super::manager::Manager;
use super::super::{Mac, assignments};
use super::ifupdown::{self, Ifupdown};
use super::{Backend, Claim, Strength, file_stem, netplan};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::plan::{FileChange, Secrecy};
use crate::root::Root;
use crate::target::Target;
use profile::{Profile, profiles};

/// Where the administrator's profiles are.
const DIR: &str = "etc/NetworkManager/system-connections";
/// How the names of our files begin.
const PREFIX: &str = "novactl-";
/// Where the plugin for ifcfg files looks.
const IFCFG_DIR: &str = "etc/sysconfig/network-scripts";
/// The highest `autoconnect-priority`.
const PRIORITY_MAX: i32 = 999;
/// The namespace of our profiles' UUIDs, drawn once at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x2d1f_8c54_6a0b_4e73_9b1c_55d0_f3a7_e816);
/// Keys of `[connection]` that are about the NIC and not about the network.
const KEPT: [&str; 7] = ["interface-name", "stable-id", "zone", "metered", "lldp", "mdns", "llmnr"];
/// The time that all activations have together.
const UP_MAX: Duration = Duration::from_secs(30);

/// NetworkManager with its own files.
pub(super) struct Keyfile;

impl Backend for Keyfile {
    fn name(&self) -> &'static str {
        "keyfile"
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        if target.root.find_program("NetworkManager").is_none() {
            return Ok(None);
        }
        let Some(service) = target.services().named(&target.root, "NetworkManager")? else {
            return Ok(None);
        };
        let Enabled::Yes(by) = service.enabled else { return Ok(None) };
        let mut scan = Scan::of(&target.root);
        // what is in /run was made there by another program
        let of_nic =
            profiles(&mut scan).into_iter().filter(|p| p.is_for_nic() && !p.path.starts_with("run/"));
        let spared = spared(target)?;
        let present = if spared.is_empty() { Vec::new() } else { super::present(target)? };
        let is_spared = |nic: &Nic| spared.contains(&nic.name);
        let mut used = of_nic.filter(|profile| {
            let is_for_other =
                || present.iter().any(|nic| !is_spared(nic) && profile.fits(&nic.name, nic.mac));
            spared.is_empty() || is_for_other() || (present.is_empty() && profile.is_for_other_than(&spared))
        });
        Ok(Some(match used.next() {
            Some(profile) => Claim {
                source: profile.path,
                text: "NetworkManager is enabled, and this profile is about a NIC".to_owned(),
                strength: Strength::Configures,
            },
            // what would be written for a NIC of ifupdown is not looked at
            None if !spared.is_empty() || netplan::is_in_charge(&target.root)? => return Ok(None),
            None => Claim {
                source: by,
                text: "NetworkManager is enabled".to_owned(),
                strength: Strength::Enabled,
            },
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let mut scan = Scan::of(root);
        let others = profiles(&mut scan);
        scan.complete()?;
        let of_nics: Vec<(&NicIntent, Kept)> =
            intent.nics.iter().map(|nic| (nic, Kept::of(nic, &others))).collect();
        let mut changes: Vec<FileChange> = of_nics.iter().map(|(nic, kept)| written(nic, kept)).collect();
        let present = super::present(target)?;
        let written: Vec<String> = changes.iter().map(|change| change.path().to_owned()).collect();
        for profile in others.iter().filter(|profile| !written.contains(&profile.path)) {
            let is_rival = |(nic, kept): &(&NicIntent, Kept)| profile.is_rival_of(nic, &kept.uuid);
            let is_stale =
                profile.is_ours() && !present.iter().any(|nic| profile.is_made_for(&nic.name, nic.mac));
            if is_stale || of_nics.iter().any(is_rival) {
                changes.extend(retired(&profile.path));
            }
        }
        changes.extend(retired_ifcfg(root, intent)?);
        Ok(changes)
    }

    fn activate(&self, intent: &Intent, target: &Target) -> Vec<Cmd> {
        let now = profiles(&mut Scan::of(&target.root));
        let uuid = |nic| Kept::of(nic, &now).uuid.to_string();
        let profiles: Vec<_> = intent.nics.iter().map(|nic| (nic.name.as_str(), uuid(nic))).collect();
        take_over(&profiles)
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let mut scan = Scan::of(root);
        let mut fitting = profiles(&mut scan);
        scan.complete()?;
        fitting.retain(|p| p.is_automatic() && p.is_for_nic() && p.fits(&nic.name, nic.mac));
        // of equals, the first: stable
        fitting.sort_by_key(|profile| std::cmp::Reverse(profile.priority()));
        Ok(fitting.first().map(|profile| profile.reading().nic(nic)))
    }
}

/// Returns the interfaces that NetworkManager leaves to ifupdown, where that configures them.
fn spared(target: &Target) -> Result<Vec<String>> {
    let mut scan = Scan::of(&target.root);
    let manager = Manager::of(&mut scan);
    scan.complete()?;
    if !manager.spares_ifupdown {
        return Ok(Vec::new());
    }
    let of_ifupdown = Ifupdown.claim(target)?;
    let configures = of_ifupdown.is_some_and(|claim| claim.strength == Strength::Configures);
    Ok(if configures { ifupdown::interfaces(&mut Scan::of(&target.root)) } else { Vec::new() })
}

/// Returns the programs by which NetworkManager takes over files: each NIC with the id or the UUID of the profile that
/// it is to have. A profile that is active already is applied in place: IPv4 addresses that are right stay, while NetworkManager
/// 1.42 sets those of IPv6 anew. Another profile has to come up, which takes the NIC down for a moment.
pub(super) fn take_over(profiles: &[(&str, String)]) -> Vec<Cmd> {
    let mut commands = vec![Cmd::new(&["nmcli", "connection", "reload"]).within(Duration::from_secs(5))];
    let each = UP_MAX / u32::try_from(profiles.len()).unwrap_or(u32::MAX).max(1);
    for (nic, profile) in profiles {
        let fields = "GENERAL.CONNECTION,GENERAL.CON-UUID";
        let ask = Cmd::new(&["nmcli", "-g", fields, "device", "show", nic]);
        let active = ask.output().ok().flatten().map(|output| output.stdout).unwrap_or_default();
        if active.lines().any(|line| line == profile) {
            commands.push(Cmd::new(&["nmcli", "device", "reapply", nic]).within(each));
        } else {
            // takes the profile with the highest priority, before and after an undo
            let wait = each.as_secs().to_string();
            commands.push(Cmd::new(&["nmcli", "--wait", &wait, "device", "connect", nic]).within(each));
        }
    }
    commands
}

/// Returns the name of our profile for a NIC, as NetworkManager shows it.
fn id_of(nic: &NicIntent) -> String {
    format!("novactl {}", file_stem(&nic.name))
}

/// Returns the UUID of our profile for a NIC: always the same, so that NetworkManager knows it again.
fn uuid_of(mac: Mac) -> Uuid {
    Uuid::new_v5(&NAMESPACE, mac.to_string().as_bytes())
}

/// What the profile that a NIC has now says besides the network. It stays, so that NetworkManager can apply ours in
/// place: it refuses that when the UUID, the MAC or the name that a profile asks for are others.
struct Kept {
    uuid: Uuid,
    connection: Vec<String>,
    matching: Vec<String>,
    ethernet: Vec<String>,
}

impl Kept {
    fn of(nic: &NicIntent, profiles: &[Profile]) -> Self {
        let is_current = |p: &&Profile| {
            p.path.starts_with(DIR)
                && p.is_automatic()
                && p.is_for_nic()
                && p.is_made_for(&nic.name, nic.mac)
                && p.fits(&nic.name, nic.mac)
        };
        let mut current: Vec<&Profile> = profiles.iter().filter(is_current).collect();
        // of equals, the first: stable
        current.sort_by_key(|profile| std::cmp::Reverse(profile.priority()));
        let with_uuid =
            current.first().and_then(|p| Some((p, p.value("connection", "uuid").parse::<Uuid>().ok()?)));
        let Some((profile, uuid)) = with_uuid else {
            return Self {
                uuid: uuid_of(nic.mac),
                connection: Vec::new(),
                matching: Vec::new(),
                ethernet: vec![format!("mac-address={}", nic.mac.to_string().to_uppercase())],
            };
        };
        Self {
            uuid,
            connection: profile.lines_of(&["connection"], |key| KEPT.contains(&key)),
            matching: profile.lines_of(&["match"], |_| true),
            ethernet: profile.lines_of(&["ethernet", "802-3-ethernet"], |_| true),
        }
    }
}

fn written(nic: &NicIntent, kept: &Kept) -> FileChange {
    let path = format!("{DIR}/{PREFIX}{}.nmconnection", file_stem(&nic.name));
    // NetworkManager refuses a profile that others may read
    FileChange::Write {
        path,
        body: text_of(nic, kept).into_bytes(),
        mode: Some(0o600),
        secret: Secrecy::Open,
    }
}

fn text_of(nic: &NicIntent, kept: &Kept) -> String {
    let label = nic.label.as_deref().unwrap_or("a network without a name");
    let mut lines = vec![
        format!("# {label}: {}", nic.mark()),
        "[connection]".to_owned(),
        format!("id={}", id_of(nic)),
        format!("uuid={}", kept.uuid),
        "type=ethernet".to_owned(),
        "autoconnect=true".to_owned(),
        format!("autoconnect-priority={PRIORITY_MAX}"),
    ];
    lines.extend(kept.connection.iter().cloned());
    for (section, kept) in [("match", &kept.matching), ("ethernet", &kept.ethernet)] {
        if !kept.is_empty() {
            lines.extend([String::new(), format!("[{section}]")]);
            lines.extend(kept.iter().cloned());
        }
    }
    for family in [Family::V4, Family::V6] {
        lines.extend(section_of(nic, family));
    }
    lines.join("\n") + "\n"
}

fn section_of(nic: &NicIntent, family: Family) -> Vec<String> {
    let (name, gateway, otherwise) = match family {
        Family::V4 => ("ipv4", nic.gateway4, "disabled"),
        // the NIC keeps its link-local address, as with every other program; `disabled` is from NetworkManager 1.20
        Family::V6 => ("ipv6", nic.gateway6, "link-local"),
    };
    let addresses: Vec<_> = nic.addresses_of(family).collect();
    let method = if addresses.is_empty() { otherwise } else { "manual" };
    let mut lines = vec![String::new(), format!("[{name}]"), format!("method={method}")];
    if addresses.is_empty() {
        return lines;
    }
    for (number, address) in (1..).zip(addresses) {
        lines.push(format!("address{number}={address}"));
    }
    match gateway {
        Some(hop) => lines.push(format!("gateway={}", hop.via)),
        None => lines.push("never-default=true".to_owned()),
    }
    let routes = nic.routes_of(family);
    for (number, route) in (1..).zip(routes.iter().filter(|route| route.to.prefix_len() > 0)) {
        lines.extend(lines_of(number, route));
    }
    let servers: String = nic
        .dns
        .iter()
        .filter(|server| Family::of(**server) == family)
        .map(|server| format!("{server};"))
        .collect();
    if !servers.is_empty() {
        lines.push(format!("dns={servers}"));
    }
    if family == Family::V6 {
        lines.push("addr-gen-mode=eui64".to_owned());
    }
    lines
}

fn lines_of(number: usize, route: &RouteIntent) -> Vec<String> {
    let Some(hop) = route.hop else { return vec![format!("route{number}={}", route.to)] };
    let mut lines = vec![format!("route{number}={},{}", route.to, hop.via)];
    if hop.onlink {
        lines.push(format!("route{number}_options=onlink=true"));
    }
    lines
}

/// Takes a profile away: the administrator's goes, a package's is hidden; what is in /run is gone with the next boot.
fn retired(path: &str) -> Option<FileChange> {
    let name = path.rsplit('/').next()?;
    if path.starts_with(DIR) {
        return Some(FileChange::Remove { path: path.to_owned() });
    }
    path.starts_with("usr/")
        .then(|| FileChange::Link { path: format!("{DIR}/{name}"), to: "/dev/null".to_owned() })
}

/// Retires the ifcfg files of the same NICs: NetworkManager's plugin for them makes profiles as well.
fn retired_ifcfg(root: &Root, intent: &Intent) -> Result<Vec<FileChange>> {
    let mut changes = Vec::new();
    for path in root.files_in(IFCFG_DIR, "")? {
        let Some(name) = path.strip_prefix(IFCFG_DIR).and_then(|rest| rest.strip_prefix("/ifcfg-")) else {
            continue;
        };
        let Some(text) = root.text_opt(&path)? else { continue };
        let variables = assignments::parse(&text);
        let value = |name: &str| assignments::value(&variables, name);
        let is_plain = matches!(value("TYPE").to_ascii_lowercase().as_str(), "" | "ethernet")
            && ["BRIDGE", "MASTER", "TEAM_MASTER", "VLAN"].iter().all(|name| value(name).is_empty());
        let is_of = |nic: &NicIntent| value("DEVICE") == nic.name || value("HWADDR").parse() == Ok(nic.mac);
        if !is_plain || !intent.nics.iter().any(is_of) {
            continue;
        }
        for kind in ["ifcfg", "route", "route6"] {
            let path = format!("{IFCFG_DIR}/{kind}-{name}");
            if root.lstat_opt(&path)?.is_some() {
                changes.push(FileChange::Remove { path });
            }
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_of_a_nic_never_changes() {
        let uuid = uuid_of("52:54:00:a1:00:01".parse().unwrap());
        assert_eq!(uuid.to_string(), "2111c67c-add7-576d-b71f-17024fc3494b");
    }
}
