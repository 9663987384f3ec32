//! NetworkManager: switched off for good, and profiles of which the wrong one wins.
//!
//! Source: NetworkManager's `nm-config.c` (state file), nm-settings(5): the profile with the highest
//! autoconnect-priority is taken, and of equal ones that which was used last.

use anyhow::Result;
use ipnet::IpNet;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use super::machine::{Machine, Nic};
use crate::check::{Check, Finding};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::net::assignments;
use crate::net::configured::{Match, Scan};
use crate::net::host::HostNetwork;
use crate::net::ini::{self, Setting};
use crate::net::links::Kind;
use crate::net::{ifcfg, keyfile};
use crate::plan::{LiveStep, Needs, Plan};
use crate::root::Root;
use crate::target::Target;

pub(super) const NETWORKING_ENABLED: Check = Check {
    id: "nm-networking-enabled",
    about: "NetworkManager is not switched off",
    probe: |target| Ok(switched_off(target)?.findings()),
    fix: Some(switch_on),
    page: include_str!("../pages/nm-networking-enabled.md"),
    ..TEMPLATE
};

pub(super) const PROFILE_SINGLE: Check = Check {
    id: "nm-profile-single",
    about: "of several profiles of a NIC the right one wins",
    probe: |target| Ok(profiles(target)?.findings()),
    fix: Some(|target| profiles(target)?.plan(target)),
    page: include_str!("../pages/nm-profile-single.md"),
    ..TEMPLATE
};

const STATE: &str = "var/lib/NetworkManager/NetworkManager.state";
const TIMESTAMPS: &str = "var/lib/NetworkManager/timestamps";
/// The most profiles that are looked at.
const PROFILES_MAX: usize = 500;

/// Whether NetworkManager is installed and started at boot.
///
/// # Errors
/// Its unit cannot be read.
pub(super) fn starts(target: &Target) -> Result<bool> {
    let root = &target.root;
    if root.find_program("NetworkManager").is_none() {
        return Ok(false);
    }
    let service = target.services().named(root, "NetworkManager")?;
    Ok(service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))))
}

/// Whether NetworkManager asks for addresses on a NIC that no profile is about. A list of some NICs leaves it others,
/// and those count.
///
/// # Errors
/// Its configuration cannot be read.
pub(super) fn makes_connections(root: &Root) -> Result<bool> {
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let own = root.files_in("etc/NetworkManager/conf.d", ".conf")?;
    let mut files = root.files_in("usr/lib/NetworkManager/conf.d", ".conf")?;
    // a file of the administrator's hides the package's of that name
    files.retain(|path| own.iter().all(|other| name(other) != name(path)));
    files.push("etc/NetworkManager/NetworkManager.conf".to_owned());
    files.extend(own);
    let mut makes = true;
    for path in files {
        for setting in ini::parse(&root.text_opt(&path)?.unwrap_or_default()) {
            let has_all = || setting.value.split([',', ';']).any(|word| word.trim() == "*");
            match (setting.section.as_str(), setting.key.as_str()) {
                ("main", "no-auto-default") => makes = !has_all(),
                ("main", "no-auto-default+") => makes &= !has_all(),
                _ => {}
            }
        }
    }
    Ok(makes)
}

fn not_used() -> Judged {
    Judged::only(Finding::skipped("NetworkManager is not started at boot"))
}

fn switched_off(target: &Target) -> Result<Judged> {
    if !starts(target)? {
        return Ok(not_used());
    }
    let settings = ini::parse(&target.root.text_opt(STATE)?.unwrap_or_default());
    let switch = ini::last(&settings, "main", "NetworkingEnabled").filter(|s| assignments::is_no(&s.value));
    let otherwise = Finding::ok("networking is on");
    let Some(switch) = switch else { return Ok(Judged::only(otherwise)) };
    let finding = Finding::fail("NetworkManager is switched off, and stays so over a reboot")
        .because("no NIC gets an address; the agent was stopped between 'nmcli networking off' and 'on'")
        .seen(format!("{STATE}:{}", switch.line), format!("NetworkingEnabled={}", switch.value))
        .about(STATE)
        .mend("switch it on")
        .by(&["nmcli", "networking", "on"]);
    let edits = vec![Edit::line(STATE, switch.line, "NetworkingEnabled=true")];
    Ok(Judged { faults: vec![Fault { finding, edits }], otherwise })
}

/// On a running guest NetworkManager itself writes its state.
fn switch_on(target: &Target) -> Result<Plan> {
    let judged = switched_off(target)?;
    if !target.is_live() || judged.faults.is_empty() {
        return judged.plan(target);
    }
    let step = LiveStep {
        run: Cmd::new(&["nmcli", "networking", "on"]),
        back: Some(Cmd::new(&["nmcli", "networking", "off"])),
        needs: Needs::Any,
    };
    Ok(Plan { verb: "fix", title: "switch networking on".to_owned(), steps: vec![step], ..Plan::default() })
}

/// A profile that NetworkManager activates by itself.
#[derive(Debug)]
struct Profile {
    path: String,
    to: Match,
    addresses: Vec<IpNet>,
    priority: i64,
    /// When it was last in use, in seconds since 1970; 0 where that is not known.
    used: i64,
    /// The line of `[connection]`, or of its `autoconnect`, that an edit takes; `None` for what no edit changes.
    switch: Option<Edit>,
}

impl Profile {
    fn rank(&self) -> (i64, i64) {
        (self.priority, self.used)
    }
}

fn profiles(target: &Target) -> Result<Judged> {
    if !starts(target)? {
        return Ok(not_used());
    }
    let root = &target.root;
    let profiles = all_profiles(root)?;
    let survey = target.survey()?;
    let machine = Machine::of(target)?.unwrap_or_default();
    let nics = nics(&machine, &profiles);
    let mut faults: Vec<Fault> = Vec::new();
    for (name, nic) in &nics {
        let assigned = survey.host.as_ref().map_or(Vec::new(), |host| assigned(host, *nic));
        faults.extend(judge(name, *nic, &profiles, &assigned));
    }
    Ok(Judged { faults, otherwise: Finding::ok("one profile for each NIC, or the right one wins") })
}

fn assigned(host: &HostNetwork, mac: Option<crate::net::Mac>) -> Vec<IpNet> {
    let nic = host.nics.iter().find(|nic| mac.is_some() && nic.mac == mac);
    nic.map_or(Vec::new(), |nic| {
        let four = nic.addresses4.iter().map(|net| IpNet::from(*net));
        four.chain(nic.addresses6.iter().map(|net| IpNet::from(*net))).collect()
    })
}

/// The NICs by name. A mounted disk shows only MACs, or nothing: then the profiles themselves tell the names.
fn nics(machine: &Machine, profiles: &[Profile]) -> Vec<(String, Option<crate::net::Mac>)> {
    let mut nics: Vec<(String, Option<crate::net::Mac>)> = Vec::new();
    for Nic { name, mac } in &machine.nics {
        let by_profile = || {
            let profile = profiles.iter().find(|profile| profile.to.macs.contains(mac))?;
            profile.to.single().map(str::to_owned)
        };
        if let Some(name) = name.clone().or_else(by_profile) {
            nics.push((name, Some(*mac)));
        }
    }
    if machine.nics.is_empty() {
        for profile in profiles {
            if let Some(name) = profile.to.single().filter(|name| nics.iter().all(|(other, _)| other != name))
            {
                nics.push((name.to_owned(), profile.to.macs.first().copied()));
            }
        }
    }
    nics
}

fn judge(
    name: &str,
    mac: Option<crate::net::Mac>,
    profiles: &[Profile],
    assigned: &[IpNet],
) -> Option<Fault> {
    let mut matching: Vec<&Profile> = profiles.iter().filter(|profile| profile.to.is(name, mac)).collect();
    matching.sort_by_key(|profile| std::cmp::Reverse(profile.rank()));
    let is_right = |profile: &&&Profile| {
        if assigned.is_empty() {
            !profile.addresses.is_empty()
        } else {
            assigned.iter().any(|net| profile.addresses.contains(net))
        }
    };
    let right = *matching.iter().find(is_right)?;
    let wrong: Vec<&Profile> = matching
        .iter()
        .filter(|profile| !is_right(profile) && profile.rank() >= right.rank())
        .copied()
        .collect();
    let first = wrong.first()?;
    let title = if first.rank() > right.rank() {
        format!("NetworkManager gives {name} the profile {} and not {}", first.path, right.path)
    } else {
        format!("NetworkManager takes either {} or {} for {name}", first.path, right.path)
    };
    let mut finding = Finding::fail(title)
        .because(
            "only one profile is activated, that with the higher priority, else that which was used last",
        )
        .about(name);
    for profile in wrong.iter().chain([&right]) {
        let addresses: Vec<String> = profile.addresses.iter().map(ToString::to_string).collect();
        let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
        finding = finding.seen(&profile.path, format!("priority {}, {addresses}", profile.priority));
    }
    let finding = finding.mend("keep the wrong profile from being activated by itself: autoconnect=false");
    let edits = wrong.iter().filter_map(|profile| profile.switch.clone()).collect();
    Some(Fault { finding, edits })
}

fn all_profiles(root: &Root) -> Result<Vec<Profile>> {
    let stamps = ini::parse(&root.text_opt(TIMESTAMPS)?.unwrap_or_default());
    let used = |uuid: &str| {
        ini::last(&stamps, "timestamps", uuid).and_then(|stamp| stamp.value.parse().ok()).unwrap_or(0)
    };
    let mut scan = Scan::of(root);
    let mut profiles = Vec::new();
    for path in keyfile::files(&mut scan).into_iter().take(PROFILES_MAX) {
        // NetworkManager refuses a profile that others may read
        if root.stat_opt(&path)?.is_some_and(|stat| stat.mode & 0o077 != 0) {
            continue;
        }
        let Some(text) = scan.text(&path) else { continue };
        profiles.extend(keyfile_profile(&path, &text, &used));
    }
    if ifcfg::has_plugin(root) {
        for path in ifcfg::files(&mut scan, ifcfg::RED_HAT).into_iter().take(PROFILES_MAX) {
            let Some(text) = scan.text(&path) else { continue };
            profiles.extend(ifcfg_profile(&path, &text, &used));
        }
    }
    scan.complete()?;
    Ok(profiles)
}

fn keyfile_profile(path: &str, text: &str, used: &dyn Fn(&str) -> i64) -> Option<Profile> {
    let planned = keyfile::parse(path, text).filter(|p| p.kind == Kind::ETHERNET && p.at_boot)?;
    let settings = ini::parse(text);
    let value = |key| ini::last(&settings, "connection", key).map_or("", |setting| setting.value.as_str());
    // a port of a bridge or bond has its addresses elsewhere
    if !["master", "controller"].iter().all(|key| value(key).is_empty()) {
        return None;
    }
    Some(Profile {
        path: path.to_owned(),
        to: planned.to,
        addresses: planned.addresses,
        priority: value("autoconnect-priority").parse().unwrap_or(0),
        used: used(value("uuid")),
        switch: path.starts_with("etc/").then(|| switch(path, text, &settings)).flatten(),
    })
}

/// The edit that keeps a profile from being activated by itself.
pub(super) fn switch(path: &str, text: &str, settings: &[Setting]) -> Option<Edit> {
    const OFF: &str = "autoconnect=false";
    if let Some(setting) = ini::last(settings, "connection", "autoconnect") {
        return Some(Edit::line(path, setting.line, OFF));
    }
    let place = text.lines().position(|line| line.trim() == "[connection]")?;
    let header = text.lines().nth(place)?.to_owned();
    Some(Edit::Line { path: path.to_owned(), line: place + 1, text: vec![header, OFF.to_owned()] })
}

fn ifcfg_profile(path: &str, text: &str, used: &dyn Fn(&str) -> i64) -> Option<Profile> {
    let variables = assignments::parse(text);
    let planned = ifcfg::planned(path, &variables, None).filter(|p| p.kind == Kind::ETHERNET && p.at_boot)?;
    let value = |name| assignments::value(&variables, name);
    let is_port = ["BRIDGE", "MASTER", "TEAM_MASTER"].iter().any(|key| !value(key).is_empty());
    if is_port || assignments::is_no(value("NM_CONTROLLED")) {
        return None;
    }
    Some(Profile {
        path: path.to_owned(),
        to: planned.to,
        addresses: planned.addresses,
        priority: value("AUTOCONNECT_PRIORITY").parse().unwrap_or(0),
        used: used(value("UUID")),
        switch: None,
    })
}

#[cfg(test)]
#[path = "network_manager_tests.rs"]
mod tests;
