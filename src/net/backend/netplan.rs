//! netplan: one file of ours that comes after cloud-init's, with a stanza per NIC.
//!
//! netplan merges stanzas of one id from all files and adds their lists up, so what is about the same NIC elsewhere
//! (cloud-init's stanza with the MAC of the server that the image was taken from, the old agent's file) is taken out
//! there; everything else in those files stays. Only words that netplan had from the start are written: `default` as a
//! destination is from 0.103. Source: netplan's reference (netplan-yaml), `networkd.c` and `nm.c` of its source.

mod cut;
mod stanza;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::stanza::{File, Stanza, Stanzas};
use super::super::configured::Scan;
use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent, WRITTEN};
use super::super::netplan;
use super::{Backend, Claim, Strength, keyfile, networkd, resolv};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::plan::{FileChange, Secrecy};
use crate::root::Root;
use crate::target::Target;

/// Our file.
const PATH: &str = "etc/netplan/90-novactl.yaml";
/// Where netplan's part of the boot is: without it nothing reads its files.
const GENERATORS: [&str; 2] =
    ["usr/lib/systemd/system-generators/netplan", "lib/systemd/system-generators/netplan"];
/// What hides that part.
const GENERATOR_MASK: &str = "etc/systemd/system-generators/netplan";
/// A file that says nothing.
const EMPTY: &str = "network:\n  version: 2\n";

/// netplan with either of its renderers.
pub(super) struct Netplan;

/// The program that netplan writes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renderer {
    Networkd,
    NetworkManager,
}

impl Backend for Netplan {
    fn name(&self) -> &'static str {
        "netplan"
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        let Some(generator) = generator(root)? else { return Ok(None) };
        let stanzas = Stanzas::of(root)?;
        // one that is empty, or that has nothing but comments, is no document
        let Some(first) = netplan::files(&mut Scan::of(root)).into_iter().next() else { return Ok(None) };
        if unrendered(&stanzas, target)?.is_some() {
            return Ok(None);
        }
        let with_nic = stanzas.files.iter().find(|file| !file.ethernets().is_empty());
        Ok(Some(match with_nic {
            Some(file) => Claim {
                source: file.path.clone(),
                text: "netplan reads this file at boot, and it is about NICs".to_owned(),
                strength: Strength::Configures,
            },
            None => Claim {
                source: first,
                text: format!("{generator} reads this file at boot"),
                strength: Strength::Enabled,
            },
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        let stanzas = Stanzas::of(root)?;
        let mark = intent.nics.first().map_or(WRITTEN, NicIntent::mark);
        let mut text =
            format!("# The network {mark}. Changes are lost when it writes again.\nnetwork:\n  version: 2\n");
        let mut retired: BTreeSet<&str> = BTreeSet::new();
        let kept = kept(&stanzas, intent, target)?;
        if intent.nics.len() + kept.len() > 0 {
            text.push_str("  ethernets:\n");
        }
        let mut is_networkds = false;
        for nic in intent.nics.iter().chain(&kept) {
            let place = Place::of(nic, &stanzas, target)?;
            is_networkds |= place.renderer == Renderer::Networkd;
            text.push_str(&stanza_of(nic, &place));
            retired.extend(place.retired);
        }
        let mut changes = vec![FileChange::Write {
            path: PATH.to_owned(),
            body: text.into_bytes(),
            mode: Some(0o600),
            secret: Secrecy::Open,
        }];
        for file in stanzas.files.iter().filter(|file| file.path != PATH) {
            let ids: BTreeSet<&str> =
                file.ethernets().into_iter().filter(|id| retired.contains(id)).collect();
            if !ids.is_empty() {
                changes.push(without(root, file, &ids)?);
            }
        }
        if is_networkds {
            changes.extend(resolv::without_resolved(intent, target)?);
        }
        Ok(changes)
    }

    fn activate(&self, intent: &Intent, target: &Target) -> Vec<Cmd> {
        let generate = Cmd::new(&["netplan", "generate"]).within(Duration::from_secs(10));
        // unreadable files have stopped the rendering already
        let Ok(stanzas) = Stanzas::of(&target.root) else { return vec![generate] };
        let place = |nic| Some((nic, Place::of(nic, &stanzas, target).ok()?));
        let places = intent.nics.iter().filter_map(place);
        let (managed, rest): (Vec<_>, Vec<_>) =
            places.partition(|(_, place)| place.renderer == Renderer::NetworkManager);
        let mut commands = vec![generate];
        if !rest.is_empty() {
            commands.extend(match super::systemd_version(&target.root) {
                // knows the order in which an old networkd has to be stopped and started
                Some(version) if version < networkd::RELOADS_SINCE => {
                    vec![Cmd::new(&["netplan", "apply"]).within(Duration::from_secs(25))]
                }
                _ => networkd::take_over(&target.root),
            });
        }
        if !managed.is_empty() {
            let profiles: Vec<_> = managed
                .iter()
                .map(|(nic, place)| (nic.name.as_str(), format!("netplan-{}", place.id)))
                .collect();
            commands.extend(keyfile::take_over(&profiles));
        }
        commands
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let stanzas = Stanzas::of(root)?;
        let first = stanzas.by_id.values().find(|stanza| stanza.is_about(&nic.name, nic.mac));
        Ok(first.map(|stanza| stanza.reading().nic(nic)))
    }

    fn reads(&self) -> &'static [&'static str] {
        &["lib/netplan", "etc/netplan", "run/netplan"]
    }

    fn validate(&self, staged: &Root, _intent: &Intent) -> Result<()> {
        let dir = staged.path().to_str().context("checking a copy: its path is not UTF-8")?;
        let check = Cmd::new(&["netplan", "generate", "--root-dir", dir]).within(Duration::from_secs(20));
        match check.output()? {
            Some(output) if !output.status.success() => {
                let words = output.stderr.replace(dir, "");
                bail!("netplan generate: {}", words.trim())
            }
            // nothing to check with
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether netplan has files and hands them over at boot: then networkd and NetworkManager are enabled for it.
///
/// # Errors
/// A directory cannot be read.
pub(super) fn is_in_charge(root: &Root) -> Result<bool> {
    let mut scan = Scan::of(root);
    Ok(generator(root)?.is_some() && !netplan::files(&mut scan).is_empty())
}

/// Returns netplan's part of the boot, unless it is hidden or the program is gone.
fn generator(root: &Root) -> Result<Option<&'static str>> {
    let is_masked = root.link_opt(GENERATOR_MASK)?.as_deref() == Some("/dev/null");
    let generator = GENERATORS.into_iter().find(|path| root.exists(path));
    Ok(generator.filter(|_| !is_masked && root.find_program("netplan").is_some()))
}

/// Where the stanza of a NIC goes, and what has to go for it.
struct Place<'s> {
    id: String,
    renderer: Renderer,
    /// Ids that are taken out of other files.
    retired: Vec<&'s str>,
    /// What they say of it, or ours did.
    mtu: Option<u32>,
}

impl<'s> Place<'s> {
    fn of(nic: &NicIntent, stanzas: &'s Stanzas, target: &Target) -> Result<Self> {
        let renderer = renderer_of(Some(nic), stanzas, target)?;
        let rivals: Vec<&Stanza> =
            stanzas.by_id.values().filter(|stanza| stanza.is_rival_of(&nic.name, nic.mac)).collect();
        let wide: Vec<&Stanza> = stanzas
            .by_id
            .values()
            .filter(|stanza| stanza.is_wide() && stanza.is_about(&nic.name, nic.mac))
            .collect();
        // a VLAN or a bridge names the stanza that it builds on
        let named = rivals.iter().find(|stanza| stanzas.is_named_elsewhere(&stanza.id));
        let comes_first = |stanza: &&Stanza, id: &str| {
            renderer == Renderer::NetworkManager || format!("{}.network", stanza.id) < format!("{id}.network")
        };
        let id = match named {
            Some(stanza) => stanza.id.clone(),
            // networkd takes the first file that matches: 10-netplan-ID.network
            None if renderer == Renderer::Networkd && wide.iter().any(|w| comes_first(w, &nic.name)) => {
                format!("00-{}", nic.name)
            }
            None => nic.name.clone(),
        };
        let wide = wide.into_iter().filter(|stanza| comes_first(stanza, &id));
        let mtu = rivals.iter().find_map(|stanza| stanza.mtu());
        let retired = rivals.into_iter().chain(wide).map(|stanza| stanza.id.as_str()).collect();
        Ok(Self { id, renderer, retired, mtu })
    }
}

/// Returns what our file already says of NICs that exist and are not in the intent: the host's record of one can be
/// missing just now.
fn kept(stanzas: &Stanzas, intent: &Intent, target: &Target) -> Result<Vec<NicIntent>> {
    let Some(file) = stanzas.files.iter().find(|file| file.path == PATH) else { return Ok(Vec::new()) };
    let present = super::present(target)?;
    let ours = file.ethernets().into_iter().filter_map(|id| stanzas.by_id.get(id));
    let nics = ours.filter_map(|stanza| Some((stanza, stanza.nic()?)));
    let others = nics.filter(|(_, nic)| {
        present.iter().any(|it| it.mac == nic.mac)
            && !intent.nics.iter().any(|of| of.mac == nic.mac || of.name == nic.name)
    });
    Ok(others.map(|(stanza, nic)| stanza.reading().nic(&nic)).collect())
}

/// Returns the renderer in use: what the NIC's own stanza says, else what all files say, else the one to which netplan
/// hands what says nothing, else, where it has handed nothing over yet, the one that is enabled.
fn renderer_of(nic: Option<&NicIntent>, stanzas: &Stanzas, target: &Target) -> Result<Renderer> {
    let of_nic = nic.and_then(|nic| {
        let rivals = stanzas.by_id.values().filter(|stanza| stanza.is_rival_of(&nic.name, nic.mac));
        rivals.filter_map(|stanza| stanza.renderer.as_deref()).next_back()
    });
    match of_nic.or(stanzas.renderer.as_deref()) {
        Some("NetworkManager") => return Ok(Renderer::NetworkManager),
        Some(_) => return Ok(Renderer::Networkd),
        None => {}
    }
    if stanzas.by_id.values().any(|stanza| stanza.renderer.is_none()) {
        return Ok(Renderer::Networkd);
    }
    let is_on = |name| -> Result<bool> {
        let service = target.services().named(&target.root, name)?;
        Ok(service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))))
    };
    Ok(if is_on("NetworkManager")? && !is_on("systemd-networkd")? {
        Renderer::NetworkManager
    } else {
        Renderer::Networkd
    })
}

/// Returns why nothing carries out what netplan's files say; `None` where something does.
///
/// # Errors
/// A file cannot be read, or is not YAML.
pub(crate) fn not_carried_out(target: &Target) -> Result<Option<&'static str>> {
    unrendered(&Stanzas::of(&target.root)?, target)
}

/// What netplan generates has networkd started, unless that is masked; it does not start NetworkManager.
fn unrendered(stanzas: &Stanzas, target: &Target) -> Result<Option<&'static str>> {
    let root = &target.root;
    let is = |name, is: fn(&Enabled) -> bool| -> Result<bool> {
        Ok(target.services().named(root, name)?.is_some_and(|service| is(&service.enabled)))
    };
    Ok(match renderer_of(None, stanzas, target)? {
        Renderer::Networkd => is("systemd-networkd", |enabled| matches!(enabled, Enabled::Masked(_)))?
            .then_some("netplan has systemd-networkd carry it out, which is masked"),
        Renderer::NetworkManager if root.find_program("NetworkManager").is_none() => {
            Some("netplan has NetworkManager carry it out, which is not installed")
        }
        Renderer::NetworkManager => (!is("NetworkManager", |enabled| matches!(enabled, Enabled::Yes(_)))?)
            .then_some("netplan has NetworkManager carry it out, which does not start at boot"),
    })
}

/// Returns the changes that take Ethernet links out of every file.
///
/// # Errors
/// A file cannot be read, or a stanza is about more than one NIC, is built upon, or is not the owner's.
pub(crate) fn without_links(root: &Root, ids: &[&str]) -> Result<Vec<FileChange>> {
    let stanzas = Stanzas::of(root)?;
    for id in ids {
        if stanzas.is_named_elsewhere(id) {
            bail!("other links are built on {id}");
        }
        if stanzas.by_id.get(*id).is_some_and(Stanza::is_wide) {
            bail!("{id} means more NICs than one");
        }
    }
    let mut changes = Vec::new();
    for file in &stanzas.files {
        let own: BTreeSet<&str> = file.ethernets().into_iter().filter(|id| ids.contains(id)).collect();
        if own.is_empty() {
            continue;
        }
        if file.path.starts_with("run/") {
            bail!("{} is written at every boot", file.path);
        }
        changes.push(without(root, file, &own)?);
    }
    Ok(changes)
}

/// Takes stanzas out of a file; the whole file where it says nothing else.
fn without(root: &Root, file: &File, ids: &BTreeSet<&str>) -> Result<FileChange> {
    let rest = cut::without(file, ids).with_context(|| format!("taking stanzas out of {}", file.path))?;
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let is_packaged = root.exists(&format!("lib/netplan/{name}"));
    let path = if file.path.starts_with("lib/") { format!("etc/netplan/{name}") } else { file.path.clone() };
    Ok(match rest {
        // a package's file of the same name is hidden as long as one is there
        None if is_packaged => FileChange::write(path, EMPTY),
        None => FileChange::Remove { path },
        Some(text) => {
            let secret = if file.holds_secrets() { Secrecy::Secret } else { Secrecy::Open };
            FileChange::Write { path, body: text.into_bytes(), mode: None, secret }
        }
    })
}

fn stanza_of(nic: &NicIntent, place: &Place) -> String {
    let mut text = String::new();
    let mut line = |indent: usize, words: String| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{:indent$}{words}", "");
    };
    if let Some(label) = &nic.label {
        line(4, format!("# {label}"));
    }
    line(4, format!("{}:", quoted(&place.id)));
    line(6, format!("match: {{macaddress: {}}}", quoted(&nic.mac.to_string())));
    line(6, format!("set-name: {}", quoted(&nic.name)));
    line(
        6,
        match place.renderer {
            Renderer::Networkd => "renderer: networkd".to_owned(),
            Renderer::NetworkManager => "renderer: NetworkManager".to_owned(),
        },
    );
    if let Some(mtu) = place.mtu {
        line(6, format!("mtu: {mtu}"));
    }
    for words in ["dhcp4: false", "dhcp6: false", "accept-ra: false"] {
        line(6, words.to_owned());
    }
    if !nic.addresses.is_empty() {
        line(6, "addresses:".to_owned());
    }
    for address in &nic.addresses {
        line(6, format!("- {}", quoted(&address.to_string())));
    }
    let routes: Vec<_> =
        [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family)).collect();
    if !routes.is_empty() {
        line(6, "routes:".to_owned());
    }
    for route in routes {
        line(6, format!("- {}", route_of(route, place.renderer)));
    }
    if !nic.dns.is_empty() {
        line(6, "nameservers:".to_owned());
        let servers: Vec<_> = nic.dns.iter().map(|server| quoted(&server.to_string())).collect();
        line(8, format!("addresses: [{}]", servers.join(", ")));
    }
    text
}

fn route_of(route: RouteIntent, renderer: Renderer) -> String {
    let to = quoted(&route.to.to_string());
    match (route.hop, renderer) {
        (Some(hop), _) if hop.onlink => {
            format!("{{to: {to}, via: {}, on-link: true}}", quoted(&hop.via.to_string()))
        }
        (Some(hop), _) => format!("{{to: {to}, via: {}}}", quoted(&hop.via.to_string())),
        (None, Renderer::Networkd) => format!("{{to: {to}, scope: link}}"),
        // nm.c refuses any scope; for NetworkManager an unspecified next hop is none
        (None, Renderer::NetworkManager) => {
            let nowhere = if route.to.addr().is_ipv4() { "0.0.0.0" } else { "::" };
            format!("{{to: {to}, via: {}}}", quoted(nowhere))
        }
    }
}

/// Returns a text as a scalar in double quotes. Addresses need them for their colons, names for whatever is in them.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
