//! The fix of `ipv6-enabled-public`: IPv6 on for one NIC, by the smallest edit of each file that keeps it off.
//!
//! What is meant for all links stays, and the NIC is taken out of it: a line of sysctl behind the one that counts. What
//! only another boot can change (the kernel's command line, the module of a running kernel) is left to hands, and so is
//! a file that is not the owner's. To support a format: an arm in [`of_entry`].

use anyhow::{Context, Result, bail};

use super::fault::{self, Edit};
use crate::exec::Cmd;
use crate::net::assignments;
use crate::net::configured::{Configuration, Planned, Seen};
use crate::net::ini;
use crate::net::ipv6::{Assignment, Causes, Switches, last_sysctl_file};
use crate::net::links::Link;
use crate::net::survey::{Interface, Survey};
use crate::plan::{LiveStep, Needs, Plan};
use crate::root::Root;
use crate::target::Target;

/// Plans to switch IPv6 on for the public NICs to which the host assigns an IPv6 address.
///
/// # Errors
/// Only hands can do it: the reason for the first NIC.
pub(in crate::check) fn fix(target: &Target) -> Result<Plan> {
    let survey = target.survey()?;
    let works = Works::of(target);
    let (mut edits, mut steps, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for interface in survey.interfaces.iter().filter(|interface| lacks_it(survey, interface)) {
        match works.edits(interface) {
            Ok(of_nic) => {
                of_nic.into_iter().for_each(|edit| add(&mut edits, edit));
                steps.extend(step(target, interface));
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if edits.is_empty() && steps.is_empty() {
        return Err(reasons.into_iter().next().context("the host assigns no IPv6 address to it")?);
    }
    let plan = fault::plan(target, edits)?;
    Ok(Plan { title: "switch IPv6 on".to_owned(), steps, ..plan })
}

/// Whether the host assigns an address to a NIC that it cannot have.
fn lacks_it(survey: &Survey, interface: &Interface) -> bool {
    let is_assigned = survey.record(interface).is_some_and(|nic| !nic.addresses6.is_empty());
    interface.is_public && interface.ipv6.enabled == Some(false) && is_assigned
}

/// What the edits of every NIC are made from.
pub(in crate::check) struct Works<'t> {
    target: &'t Target,
    switches: Switches,
    configuration: &'t Configuration,
}

impl<'t> Works<'t> {
    pub(in crate::check) fn of(target: &'t Target) -> Self {
        Self { target, switches: Switches::of(&target.root), configuration: target.configuration() }
    }

    /// Whether no hands are needed for a NIC.
    pub(in crate::check) fn can_mend(&self, survey: &Survey, interface: &Interface) -> bool {
        lacks_it(survey, interface) && self.edits(interface).is_ok()
    }

    /// Returns the edits for one NIC; none where the running kernel alone has it off.
    ///
    /// # Errors
    /// Hands have to: the reason.
    fn edits(&self, interface: &Interface) -> Result<Vec<Edit>> {
        let (root, link) = (&self.target.root, &interface.link);
        let Causes { protocol, sysctl, files } = self.switches.causes(link, self.configuration);
        if self.target.is_live() && !protocol.is_empty() {
            bail!("the running kernel has no IPv6: that takes a boot");
        }
        if let Some(small) = interface.ipv6.disabled_by.iter().find(|seen| seen.source == link.name) {
            bail!("{}: {}", small.source, small.text);
        }
        let mut edits = Vec::new();
        for seen in &protocol {
            edits.push(of_module(root, seen)?);
        }
        if let Some(seen) = &sysctl {
            edits.extend(self.of_sysctl(link, seen)?);
        }
        for entry in files {
            edits.extend(of_entry(root, link, entry)?);
        }
        Ok(edits)
    }

    /// Has sysctl switch one link on, whatever it does to all. The link's other lines go: systemd would leave a
    /// repeated value at its first place.
    fn of_sysctl(&self, link: &Link, by: &Seen) -> Result<Vec<Edit>> {
        let root = &self.target.root;
        let is_own = |line: &&Assignment| line.link == link.name;
        let lines = &self.switches.sysctl().lines;
        // with slashes, because a name can have a dot
        let slashed = if link.name.contains('.') { '/' } else { '.' };
        let on = ["net", "ipv6", "conf", &link.name, "disable_ipv6"].join(&slashed.to_string()) + " = 0";
        let mut edits = Vec::new();
        for line in lines.iter().filter(is_own).filter(|line| line.off.is_some() && line.seen != *by) {
            edits.push(Edit::drop(&owned(&line.seen)?.0, owned(&line.seen)?.1));
        }
        let Some(line) = lines.iter().find(|line| line.seen == *by) else {
            // what the kernel begins with
            return match by.source.starts_with("etc/modprobe") {
                true => Ok(vec![of_module(root, by)?]),
                false => Ok(vec![Edit::Append { path: last_sysctl_file(root), text: vec![on] }]),
            };
        };
        let Ok((path, number)) = owned(by) else {
            edits.push(Edit::Append { path: last_sysctl_file(root), text: vec![on] });
            return Ok(edits);
        };
        let raw = raw_line(root, &path, number)?;
        edits.push(if is_own(&line) {
            let (key, value) = raw.split_once('=').with_context(|| format!("{path}:{number} has no ="))?;
            Edit::line(&path, number, format!("{key}={}0", &value[..value.len() - value.trim_start().len()]))
        } else {
            Edit::Line { path, line: number, text: vec![raw, on] }
        });
        Ok(edits)
    }
}

/// Adds an edit; two NICs are taken out of one line, or have lines at one file's end.
fn add(edits: &mut Vec<Edit>, edit: Edit) {
    if edits.contains(&edit) {
        return;
    }
    if let Edit::Line { path, line, text } = &edit {
        let same = edits.iter_mut().find_map(|other| match other {
            Edit::Line { path: it, line: number, text } if it == path && number == line => Some(text),
            _ => None,
        });
        if let Some(there) = same {
            let more: Vec<String> = text.iter().filter(|line| !there.contains(line)).cloned().collect();
            return there.extend(more);
        }
    }
    edits.push(edit);
}

/// Switches the running kernel, and back.
fn step(target: &Target, interface: &Interface) -> Option<LiveStep> {
    let name = &interface.link.name;
    let switch = format!("proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    let is_off = target.is_live() && interface.ipv6.disabled_by.iter().any(|seen| seen.source == switch);
    let set = |value: u8| Cmd::new(&["sysctl", "-w", &format!("net/ipv6/conf/{name}/disable_ipv6={value}")]);
    is_off.then(|| LiveStep { run: set(0), back: Some(set(1)), needs: Needs::Any })
}

/// Returns a file of the owner's and the line in it.
fn owned(seen: &Seen) -> Result<(String, usize)> {
    let place = seen.source.rsplit_once(':').filter(|(path, _)| path.starts_with("etc/"));
    let place = place.and_then(|(path, line)| Some((path.to_owned(), line.parse().ok()?)));
    place.with_context(|| format!("{} is not to be changed by a program", seen.source))
}

fn raw_line(root: &Root, path: &str, number: usize) -> Result<String> {
    let text = root.text_opt(path)?.unwrap_or_default();
    let line = text.lines().nth(number - 1).with_context(|| format!("{path} has no line {number}"))?;
    Ok(line.to_owned())
}

/// Has an option of the module say no; what keeps the module away becomes a comment.
fn of_module(root: &Root, seen: &Seen) -> Result<Edit> {
    let (path, number) = owned(seen)?;
    if !path.starts_with("etc/modprobe") {
        bail!("{path} is where the kernel's command line is from: the boot menu has to be written anew");
    }
    let raw = raw_line(root, &path, number)?;
    if raw.split_whitespace().next() != Some("options") {
        return Ok(Edit::line(&path, number, format!("# {raw}")));
    }
    let words = raw.split_inclusive(char::is_whitespace).map(|word| {
        let (bare, blank) = word.split_at(word.trim_end().len());
        match bare.split_once('=') {
            Some((option @ ("disable" | "disable_ipv6"), _)) => format!("{option}=0{blank}"),
            _ => word.to_owned(),
        }
    });
    let line: String = words.collect();
    Ok(Edit::line(&path, number, line))
}

/// Has the file of an interface say that there is IPv6.
fn of_entry(root: &Root, link: &Link, entry: &Planned) -> Result<Vec<Edit>> {
    let seen = entry.ipv6_off.as_ref().context("nothing keeps IPv6 off")?;
    if entry.reader == "ifcfg" {
        return of_ifcfg(root, entry);
    }
    let (path, number) = owned(seen)?;
    let raw = raw_line(root, &path, number)?;
    let line = match entry.reader {
        "NetworkManager" => {
            let settings = ini::parse(&root.text_opt(&path)?.unwrap_or_default());
            let has_address = settings
                .iter()
                .any(|s| s.section == "ipv6" && s.key.starts_with("address") && s.value.contains(':'));
            format!("method={}", if has_address { "manual" } else { "link-local" })
        }
        "networkd" if seen.text.ends_with("=ipv4") => "LinkLocalAddressing=yes".to_owned(),
        "networkd" => "LinkLocalAddressing=ipv6".to_owned(),
        "netplan" => with_link_local(&raw)
            .with_context(|| format!("{path}:{number} is not one line of link-local: [ipv6]"))?,
        "ifupdown" => with_switch_on(&raw, &link.name).with_context(|| {
            format!("the command in {path}:{number} does more than switch {} off", link.name)
        })?,
        reader => bail!("{path} is {reader}'s: change it by hand"),
    };
    Ok(vec![Edit::line(&path, number, line)])
}

fn of_ifcfg(root: &Root, entry: &Planned) -> Result<Vec<Edit>> {
    let (path, _) = owned(&entry.seen)?;
    let variables = assignments::parse(&root.text_opt(&path)?.unwrap_or_default());
    let mut edits = Vec::new();
    for (name, value) in [("IPV6INIT", "yes"), ("IPV6_DISABLED", "no")] {
        match assignments::last(&variables, name) {
            Some(variable) if assignments::is_yes(&variable.value) != (value == "yes") => {
                edits.push(Edit::line(&path, variable.line, format!("{name}={value}")));
            }
            // NETWORKING_IPV6=no is for the files that say nothing
            None if name == "IPV6INIT" => {
                edits.push(Edit::Append { path: path.clone(), text: vec![format!("{name}={value}")] });
            }
            _ => {}
        }
    }
    Ok(edits)
}

/// Returns a line of netplan with IPv6 among the link-local addresses.
fn with_link_local(raw: &str) -> Option<String> {
    let (key, list) = raw.split_once("link-local:")?;
    let inner = list.split_once('#').map_or(list, |(list, _)| list).trim();
    let inner = inner.strip_prefix('[')?.strip_suffix(']')?.trim();
    let kept = if inner.is_empty() { "[ ipv6 ]".to_owned() } else { format!("[ {inner}, ipv6 ]") };
    let is_plain = key.trim().is_empty() && !inner.contains(['[', ']', '{']);
    is_plain.then(|| format!("{key}link-local: {kept}"))
}

/// Returns a command of a stanza with the other value, where it is one command about this link.
fn with_switch_on(raw: &str, name: &str) -> Option<String> {
    let is_one = !raw.contains([';', '&', '|', '\\']);
    let is_own =
        [format!("/{name}/"), format!(".{name}."), "$IFACE".to_owned()].iter().any(|it| raw.contains(it));
    let on = raw.replace("disable_ipv6=1", "disable_ipv6=0").replace("echo 1", "echo 0");
    (is_one && is_own && on != raw).then_some(on)
}

#[cfg(test)]
#[path = "ipv6_on_tests.rs"]
mod tests;
