//! A configuration without a NIC beside an agent's backup that has one, as a network reset leaves it that reads no data
//! of the host's: the newest such backup is brought back. Where the host's data are at hand they are better, and `addresses-match-host-data` says so.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::backups::{self, Backup};
use super::super::fault::{Edit, Fault};
use super::super::machine::is_nic_name;
use super::super::stanzas::Stanza;
use super::super::{network_manager, stanzas, was_never_built};
use super::{Lost, netplan};
use crate::check::Finding;
use crate::facts::cloud_init::{CloudInit, Starts};
use crate::facts::init::Enabled;
use crate::net::assignments;
use crate::net::configured::{Planned, Scan};
use crate::net::ifcfg::{self, RED_HAT};
use crate::net::survey::Source;
use crate::net::yaml::{self, Node};
use crate::target::Target;

/// The most backups that are read.
const BACKUPS_MAX: usize = 50;

/// How long a reset moves files away.
const RESET_SECONDS: u64 = 60;

/// Who makes interfaces at boot out of files that a reset replaces.
const READERS: [&str; 6] =
    ["netplan", "networkd", "networkd (netdev)", "NetworkManager", "ifcfg", "ifupdown"];

/// Programs that ask for addresses on every NIC by themselves.
const CLIENTS: [&str; 3] = ["dhcpcd", "connman", "wicd"];

/// A configuration without an interface, and what its fix restores.
pub(super) struct Emptied {
    pub(super) fault: Fault,
    pub(super) backups: Vec<String>,
    /// The interfaces and included files that come back with them.
    what: BTreeSet<String>,
}

impl Emptied {
    /// Whether something comes back with the whole file.
    pub(super) fn restores(&self, lost: &Lost) -> bool {
        self.backups.contains(&lost.backup.path) || self.what.contains(&lost.what)
    }
}

/// Returns the fault; none where an interface is configured, or another check says it.
pub(super) fn of(target: &Target) -> Result<Option<Emptied>> {
    let survey = target.survey()?;
    let is_known = survey.source == Source::Store && survey.host.iter().any(|host| !host.nics.is_empty());
    if is_known || was_never_built(target) {
        return Ok(None);
    }
    let configuration = target.configuration();
    let is_configured = configuration.planned.iter().any(configures);
    if is_configured || !configuration.unread.is_empty() || others_configure(target)? {
        return Ok(None);
    }
    let mut scan = Scan::of(&target.root);
    let mut emptied = of_interfaces(target, &mut scan)?;
    if emptied.is_none() {
        emptied = of_netplan(target, &mut scan)?;
    }
    if emptied.is_none() {
        emptied = of_ifcfg(target, &mut scan)?;
    }
    scan.complete()?;
    Ok(emptied)
}

/// Whether an entry is more than an emptied configuration has: a bridge or a bond has the NICs as its ports.
fn configures(entry: &Planned) -> bool {
    let is_loopback = entry.to.single() == Some("lo");
    READERS.contains(&entry.reader) && (entry.at_boot || entry.kind.is_nic()) && !is_loopback
}

fn others_configure(target: &Target) -> Result<bool> {
    for name in CLIENTS {
        let service = target.services().named(&target.root, name)?;
        if service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))) {
            return Ok(true);
        }
    }
    if network_manager::starts(target)? && network_manager::makes_connections(&target.root)? {
        return Ok(true);
    }
    let cloud_init = CloudInit::of(&target.root, target.services())?;
    Ok(cloud_init.is_some_and(|it| matches!(it.starts, Starts::Yes(_)) && it.network_off().is_none()))
}

fn of_interfaces(target: &Target, scan: &mut Scan) -> Result<Option<Emptied>> {
    const MAIN: &str = "etc/network/interfaces";
    if target.root.find_program("ifup").is_none() {
        return Ok(None);
    }
    // an alias, or what is raised by hand
    let says_more = |stanza: &Stanza| stanza.interface().is_some_and(|name| name != "lo");
    if scan.text(MAIN).is_some_and(|text| stanzas::of(&text).iter().any(says_more)) {
        return Ok(None);
    }
    for backup in backups::in_dir(&target.root, "etc/network")?.into_iter().take(BACKUPS_MAX) {
        let Some(text) = scan.text(&backup.path).filter(|_| backup.of == MAIN) else { continue };
        let stanzas = stanzas::of(&text);
        if let Some(nic) = stanzas.iter().find(|stanza| stanza.interface().is_some_and(is_nic_name)) {
            let edits = replaced(target, MAIN, &text)?;
            let fault = emptied(&backup, nic.first(), &nic.words().join(" "), edits);
            let what = stanzas.iter().filter_map(|stanza| stanza.words().get(1).cloned()).collect();
            return Ok(Some(Emptied { fault, backups: vec![backup.path], what }));
        }
    }
    Ok(None)
}

fn of_netplan(target: &Target, scan: &mut Scan) -> Result<Option<Emptied>> {
    if target.root.find_program("netplan").is_none() {
        return Ok(None);
    }
    for backup in backups::in_dir(&target.root, "etc/netplan")?.into_iter().take(BACKUPS_MAX) {
        let Some(text) = scan.text(&backup.path).filter(|_| backup.of.ends_with(".yaml")) else { continue };
        let Ok(Some(document)) = yaml::parse(&text) else { continue };
        let network = document.get("network");
        let nics =
            network.and_then(|network| network.get("ethernets")).map(Node::entries).unwrap_or_default();
        if let Some((name, node)) = nics.first() {
            let edits = replaced(target, &backup.of, &text)?;
            let fault = emptied(&backup, node.line, &format!("ethernets: {name}"), edits);
            let what = netplan::ids(&document).into_iter().collect();
            return Ok(Some(Emptied { fault, backups: vec![backup.path], what }));
        }
    }
    Ok(None)
}

/// 1.x moves the files of all NICs away. What an earlier reset moved away was about NICs that are long gone.
fn of_ifcfg(target: &Target, scan: &mut Scan) -> Result<Option<Emptied>> {
    if !ifcfg::has_red_hat_reader(&target.root) {
        return Ok(None);
    }
    let mut found: Vec<(Backup, String)> = Vec::new();
    for backup in backups::in_dir(&target.root, RED_HAT)?.into_iter().take(BACKUPS_MAX) {
        let name = backup.of.rsplit('/').next().and_then(|name| name.strip_prefix("ifcfg-"));
        let Some(name) = name.filter(|name| is_nic_name(name)).map(str::to_owned) else { continue };
        let is_first = found.iter().all(|(known, _)| known.of != backup.of);
        if !is_first || target.root.lstat_opt(&backup.of)?.is_some() {
            continue;
        }
        if scan.text(&backup.path).is_some_and(|text| !assignments::parse(&text).is_empty()) {
            found.push((backup, name));
        }
    }
    let newest = found.first().map_or(0, |(backup, _)| backup.time.0);
    found.retain(|(backup, _)| newest - backup.time.0 <= RESET_SECONDS);
    let moved =
        |(backup, _): &(Backup, String)| Edit::Move { path: backup.path.clone(), to: backup.of.clone() };
    let edits = found.iter().map(moved).collect();
    let backups = found.iter().map(|(backup, _)| backup.path.clone()).collect();
    let what = found.iter().map(|(_, name)| name.clone()).collect();
    Ok(found.first().map(|(backup, name)| {
        let fault = emptied(backup, 0, &format!("the file of {name}"), edits);
        Emptied { fault, backups, what }
    }))
}

/// The edits that write a file anew; where it is gone, those that make it.
fn replaced(target: &Target, path: &str, text: &str) -> Result<Vec<Edit>> {
    let now = target.root.text_opt(path)?.unwrap_or_default();
    let mut edits: Vec<Edit> = (1..=now.lines().count()).map(|line| Edit::drop(path, line)).collect();
    edits.push(Edit::Append { path: path.to_owned(), text: text.lines().map(str::to_owned).collect() });
    Ok(edits)
}

fn emptied(backup: &Backup, line: usize, text: &str, edits: Vec<Edit>) -> Fault {
    let source = if line == 0 { backup.path.clone() } else { format!("{}:{line}", backup.path) };
    let finding = Finding::fail("no file configures a network interface of the server any more")
        .because(
            "a backup that the agent made has a NIC, the files of today have none: the next boot has no network",
        )
        .seen(source, text)
        .about(&backup.of)
        .mend(format!(
            "reset the network where XenStore answers (novactl reset-network); else bring {} back",
            backup.path
        ));
    Fault { finding, edits }
}
