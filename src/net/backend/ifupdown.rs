//! ifupdown and ifupdown-ng: stanzas in `/etc/network/interfaces`.
//!
//! The stanzas of the NICs, their aliases and their names in `auto` lists are cut out of every file that is read; what
//! the host assigns is appended to the main one. All else stays byte for byte: other stanzas, comments, `source`
//! lines, and of the NICs' own options their MTU and the commands that are not about routes.
//! Source: interfaces(5); ifupdown 0.7 and later take the same interface several times, one stanza an address, and
//! ifupdown-ng folds those into one.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::super::configured::Scan;
use super::super::eni;
use super::super::intent::{Family, Intent, Nic, NicIntent, RouteIntent, WRITTEN};
use super::reading::{Reach, Reading};
use super::{Backend, Claim, Strength, far_hops, file_stem, resolv};
use crate::exec::Cmd;
use crate::facts::init::Enabled;
use crate::plan::FileChange;
use crate::root::Root;
use crate::target::Target;

/// ifupdown.
pub(super) struct Ifupdown;

impl Backend for Ifupdown {
    fn name(&self) -> &'static str {
        "ifupdown"
    }

    fn goes_by_name(&self, _root: &Root, _nic: &str) -> Result<bool> {
        Ok(true)
    }

    fn claim(&self, target: &Target) -> Result<Option<Claim>> {
        let root = &target.root;
        let Some(program) = root.find_program("ifup") else { return Ok(None) };
        let enabled = match target.services().named(root, "networking")?.map(|service| service.enabled) {
            Some(Enabled::Yes(by)) => by,
            // Ubuntu before 16.04 has an upstart job of another name that does the same
            _ if root.exists("etc/init/network-interface.conf") => {
                "etc/init/network-interface.conf".to_owned()
            }
            _ => return Ok(None),
        };
        let texts = eni::texts(&mut Scan::of(root));
        let stanza = texts.iter().find_map(|(path, text)| {
            let number = pieces(text).iter().position(|piece| about_nic(&piece.words()).is_some())?;
            Some((path.clone(), pieces(text)[number].words().join(" ")))
        });
        Ok(Some(match stanza {
            Some((path, line)) => Claim {
                source: path,
                text: format!("ifupdown is enabled ({enabled}), and this file says {line:?}"),
                strength: Strength::Configures,
            },
            None => {
                Claim { source: enabled, text: format!("{program} is enabled"), strength: Strength::Enabled }
            }
        }))
    }

    fn render(&self, intent: &Intent, target: &Target) -> Result<Vec<FileChange>> {
        let root = &target.root;
        // its `address` takes no prefix: the next boot would find no network (busybox 1.35)
        if let Some(program) = root.find_program("ifup")
            && root.resolve(&program)?.is_some_and(|file| file.ends_with("busybox"))
        {
            bail!("{program} is busybox, which does not read what is written here: install ifupdown-ng");
        }
        let mut scan = Scan::of(root);
        let texts = eni::texts(&mut scan);
        scan.complete()?;
        let mut kept: Vec<Vec<String>> = vec![Vec::new(); intent.nics.len()];
        let mut changes = Vec::new();
        let mut main = String::new();
        for (path, text) in &texts {
            let rest = cut(text, intent, &mut kept);
            if path == eni::MAIN {
                main = rest;
            } else if rest != *text {
                changes.push(FileChange::write(path, rest));
            }
        }
        if !texts.iter().any(|(path, _)| path == eni::MAIN) {
            main = "auto lo\niface lo inet loopback\n".to_owned();
        }
        let has_resolvconf = root.find_program("resolvconf").is_some();
        let mut body = main.trim_end().to_owned();
        for (nic, kept) in intent.nics.iter().zip(&kept) {
            body.push_str("\n\n");
            body.push_str(stanzas(nic, kept).trim_end());
        }
        body.push('\n');
        changes.insert(0, FileChange::write(eni::MAIN, body.trim_start().to_owned()));
        // without it nobody reads `dns-nameservers`
        if !has_resolvconf {
            changes.extend(resolv::with_servers_of(intent, root)?);
        }
        Ok(changes)
    }

    /// Nothing: ifupdown keeps no hold of a NIC that is up. What is up was made what it should be already, without the
    /// gap that `ifdown` and `ifup` leave; the next boot reads the files.
    fn activate(&self, _intent: &Intent, _target: &Target) -> Vec<Cmd> {
        Vec::new()
    }

    fn configured(&self, root: &Root, nic: &Nic) -> Result<Option<NicIntent>> {
        let mut scan = Scan::of(root);
        let texts = eni::texts(&mut scan);
        scan.complete()?;
        let mut reading = Reading::default();
        let mut is_named = false;
        let has_route = root.find_program("route").is_some();
        for (_, text) in &texts {
            let mut is_open = false;
            let mut address: Option<String> = None;
            for piece in pieces(text) {
                let words = piece.words();
                if is_header(&words) {
                    address.take().into_iter().for_each(|address| reading.add_address(&address));
                    is_open =
                        matches!(words.as_slice(), ["iface", name, ..] if is_of(name, &file_stem(&nic.name)));
                    is_named |= is_open;
                } else if is_open && (has_route || words.get(1) != Some(&"route")) {
                    take(&mut reading, &mut address, &words);
                }
            }
            address.into_iter().for_each(|address| reading.add_address(&address));
        }
        if !is_named {
            return Ok(None);
        }
        if root.find_program("resolvconf").is_none() {
            resolv::servers(root)?.iter().for_each(|server| reading.add_dns(server));
        }
        Ok(Some(reading.nic(nic)))
    }
}

/// One logical line with the physical ones that it is made of.
struct Piece<'t> {
    raw: Vec<&'t str>,
}

impl Piece<'_> {
    /// Returns its words; none for a blank line or a comment.
    fn words(&self) -> Vec<&str> {
        if self.raw.first().is_some_and(|line| line.trim_start().starts_with('#')) {
            return Vec::new();
        }
        self.raw.iter().flat_map(|line| line.trim_end_matches('\\').split_whitespace()).collect()
    }
}

/// Returns the interface of an `iface` line, unless it is the loopback.
fn about_nic<'t>(words: &[&'t str]) -> Option<&'t str> {
    match words {
        ["iface", name, ..] if !name.starts_with("lo") => Some(name),
        _ => None,
    }
}

/// Returns the interfaces that the files have stanzas for, the loopback left out.
pub(super) fn interfaces(scan: &mut Scan) -> Vec<String> {
    let texts = eni::texts(scan);
    let pieces = texts.iter().flat_map(|(_, text)| pieces(text));
    pieces.filter_map(|piece| about_nic(&piece.words()).map(str::to_owned)).collect()
}

/// Splits a file into logical lines: a backslash at the end goes on in the next one, but not in a comment.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match pieces.last_mut() {
            Some(piece) if goes_on => piece.raw.push(line),
            _ => pieces.push(Piece { raw: vec![line] }),
        }
        let first = pieces.last().and_then(|piece| piece.raw.first()).copied().unwrap_or_default();
        goes_on = line.ends_with('\\') && !first.trim_start().starts_with('#');
    }
    pieces
}

/// Whether a line begins a stanza, which ends the one before.
fn is_header(words: &[&str]) -> bool {
    matches!(
        words.first(),
        Some(
            &("iface"
                | "auto"
                | "mapping"
                | "source"
                | "source-directory"
                | "source-dir"
                | "template"
                | "rename")
        ) | Some(&("no-auto-down" | "no-scripts"))
    ) || words.first().is_some_and(|word| word.starts_with("allow-"))
}

/// Whether a name is the NIC's or an alias of it.
fn is_of(name: &str, nic: &str) -> bool {
    name == nic || name.strip_prefix(nic).is_some_and(|rest| rest.starts_with(':'))
}

/// Cuts what is about the NICs out of a file, and keeps aside the options of theirs that go into the new stanzas. A
/// file without such is returned as it is.
fn cut(text: &str, intent: &Intent, kept: &mut [Vec<String>]) -> String {
    let place = |name: &str| intent.nics.iter().position(|nic| is_of(name, &file_stem(&nic.name)));
    let mut out: Vec<String> = Vec::new();
    // comments and blank lines belong to what follows them
    let mut waiting: Vec<&str> = Vec::new();
    let mut open: Option<usize> = None;
    let mut is_cut = false;
    for piece in pieces(text) {
        let words = piece.words();
        if words.is_empty() {
            let is_mark =
                piece.raw[0].trim_start().starts_with('#') && piece.raw[0].trim_end().ends_with(WRITTEN);
            is_cut |= is_mark;
            waiting.extend(piece.raw.iter().filter(|_| !is_mark));
            continue;
        }
        if is_header(&words) {
            open = match words.as_slice() {
                ["iface" | "mapping", name, ..] => place(name),
                _ => None,
            };
        } else if let Some(nic) = open {
            // what stood among the options goes with them
            waiting.clear();
            let option = words.join(" ");
            if is_kept(&words) && !kept[nic].contains(&option) {
                kept[nic].push(option);
            }
            continue;
        }
        out.extend(waiting.drain(..).map(str::to_owned));
        let others: Vec<&str> = words[1..].iter().copied().filter(|name| place(name).is_none()).collect();
        let is_list = words[0] == "auto" || words[0].starts_with("allow-");
        if open.is_some() || (is_list && others.is_empty()) {
            is_cut = true;
        } else if is_list && others.len() + 1 < words.len() {
            is_cut = true;
            out.push(format!("{} {}", words[0], others.join(" ")));
        } else {
            out.extend(piece.raw.iter().map(ToString::to_string));
        }
    }
    out.extend(waiting.into_iter().map(str::to_owned));
    if is_cut { out.join("\n") + "\n" } else { text.to_owned() }
}

/// Whether an option of a NIC's old stanza goes into the new one: what is neither address nor route.
fn is_kept(words: &[&str]) -> bool {
    match words {
        ["mtu", ..] => true,
        ["up" | "post-up" | "pre-up" | "down" | "post-down" | "pre-down", command @ ..] => {
            let program = command.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            program != "route"
                && !(program == "ip" && command.iter().take(4).any(|word| word.starts_with('r')))
        }
        [option, ..] => {
            ["ethtool-", "link-", "offload-", "hardware-"].iter().any(|start| option.starts_with(start))
        }
        [] => false,
    }
}

fn stanzas(nic: &NicIntent, kept: &[String]) -> String {
    let name = &file_stem(&nic.name);
    let label = nic.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
    let mut text = format!("# {name}{label}: {}\nauto {name}\n", nic.mark());
    let mut once: Vec<String> = kept.to_vec();
    if !nic.dns.is_empty() {
        let dns: Vec<String> = nic.dns.iter().map(ToString::to_string).collect();
        once.push(format!("dns-nameservers {}", dns.join(" ")));
    }
    for (family, method) in [(Family::V4, "inet"), (Family::V6, "inet6")] {
        let mut routes = nic.routes_of(family).into_iter();
        let gateway = match family {
            Family::V4 => nic.gateway4,
            Family::V6 => nic.gateway6,
        };
        // ifupdown-ng does not say by itself that a next hop is on the link, as ifupdown does
        let gateway = gateway.filter(|hop| !far_hops(nic).contains(&hop.via));
        if gateway.is_some() {
            routes.next();
        }
        let mut of_first: Vec<String> = gateway.iter().map(|hop| format!("gateway {}", hop.via)).collect();
        of_first.extend(routes.flat_map(|route| route_lines(&route, name)));
        let addresses: Vec<String> = nic.addresses_of(family).map(|net| format!("address {net}")).collect();
        if addresses.is_empty() && !of_first.is_empty() {
            // a route of a family without an address hangs on the NIC itself
            once.extend(of_first.drain(..).filter(|line| !line.starts_with("gateway")));
        }
        for (number, address) in addresses.iter().enumerate() {
            let _ = writeln!(text, "iface {name} {method} static\n    {address}");
            let options = if number == 0 { std::mem::take(&mut of_first) } else { Vec::new() };
            for option in options {
                let _ = writeln!(text, "    {option}");
            }
            if family == Family::V6 && number == 0 {
                text.push_str("    accept_ra 0\n    autoconf 0\n");
            }
            for option in once.drain(..) {
                let _ = writeln!(text, "    {option}");
            }
        }
    }
    if nic.addresses.is_empty() {
        let _ = writeln!(text, "iface {name} inet manual");
        for option in once {
            let _ = writeln!(text, "    {option}");
        }
    }
    text
}

/// net-tools' `route` is not everywhere, iproute2 is; `replace` does not mind what is there.
fn route_lines(route: &RouteIntent, nic: &str) -> [String; 2] {
    let ip = if route.to.addr().is_ipv4() { "ip route" } else { "ip -6 route" };
    let via = route.hop.map_or(String::new(), |hop| format!(" via {}", hop.via));
    let onlink = if route.hop.is_some_and(|hop| hop.onlink) { " onlink" } else { "" };
    let to = route.to;
    [
        format!("up {ip} replace {to}{via} dev {nic}{onlink}"),
        format!("down {ip} del {to}{via} dev {nic} || true"),
    ]
}

/// Reads one option of a stanza. An address waits for its mask.
fn take(reading: &mut Reading, address: &mut Option<String>, words: &[&str]) {
    match words {
        ["address", value, ..] => {
            if let Some(before) = address.replace((*value).to_owned()) {
                reading.add_address(&before);
            }
        }
        ["netmask", mask, ..] => {
            if let Some(value) = address.take() {
                let net = super::super::address_with_mask(&value, Some(mask));
                reading.add_address(&net.map_or(value, |net| net.to_string()));
            }
        }
        // ifupdown says onlink by itself where it has to
        ["gateway", via, ..] => {
            address.take().into_iter().for_each(|address| reading.add_address(&address));
            reading.add_route("default", Some(via), Reach::Arranged);
        }
        ["dns-nameservers" | "dns-nameserver", servers @ ..] => {
            servers.iter().for_each(|server| reading.add_dns(server));
        }
        ["up" | "post-up", "ip", "route", "replace" | "add", rest @ ..]
        | ["up" | "post-up", "ip", "-6", "route", "replace" | "add", rest @ ..] => {
            address.take().into_iter().for_each(|address| reading.add_address(&address));
            let after = |name: &str| {
                rest.iter().position(|word| *word == name).and_then(|at| rest.get(at + 1)).copied()
            };
            let reach = if rest.contains(&"onlink") { Reach::OnLink } else { Reach::Plain };
            if let Some(to) = rest.first() {
                reading.add_route(to, after("via"), reach);
            }
        }
        // net-tools, where it is installed: the old agent's form
        ["up" | "post-up", "route", "add", "-net", to, "netmask", mask, "gw", via, ..] => {
            address.take().into_iter().for_each(|address| reading.add_address(&address));
            if let Some(net) = super::super::address_with_mask(to, Some(mask)) {
                reading.add_route(&net.to_string(), Some(via), Reach::Plain);
            }
        }
        _ => {}
    }
}
