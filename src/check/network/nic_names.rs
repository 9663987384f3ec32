//! Names of NICs that configuration relies on and that this udev gives no longer: eth0 becomes enX0.
//!
//! From systemd 250 on udev names Xen's NICs by the number of the vif (`net_id`, naming scheme v250). What keeps the
//! kernel's name: `net.ifnames=0`, an older naming scheme, a `.link` file, a rule, HWADDR where initscripts rename.
//! Only entries for one ethN are judged, and only where the boot's command line is known.
//! Source: systemd.net-naming-scheme(7), systemd.link(5), systemd's `udev-builtin-net_id.c`.

use std::collections::BTreeSet;

use anyhow::Result;

use super::TEMPLATE;
use super::persistent_rules;
use crate::check::{Check, Finding};
use crate::glob;
use crate::net::Mac;
use crate::net::backend::systemd_version;
use crate::net::configured::{Planned, Scan};
use crate::net::ipv6::boot_lines;
use crate::net::links::Kind;
use crate::net::networkd::{self, Unit};
use crate::net::survey::{Origin, Survey};
use crate::plan::{FileChange, Plan};
use crate::root::Root;
use crate::target::Target;

pub(super) const STABLE: Check = Check {
    id: "nic-names-stable",
    about: "the NICs keep the names that are configured",
    probe: |target| Ok(judged(target)?.findings()),
    fix: Some(|target| Ok(judged(target)?.plan())),
    page: include_str!("../pages/nic-names-stable.md"),
    ..TEMPLATE
};

/// The first systemd that has names for Xen's NICs.
const FIRST: u32 = 250;
/// The most names that are judged.
const NAMES_MAX: usize = 20;
const LINK_DIR: &str = "etc/systemd/network";

enum Judged {
    /// Nothing to judge, or nothing wrong.
    Only(Finding),
    /// Entries whose NIC will have another name.
    Lost(Vec<Lost>),
}

struct Lost {
    name: String,
    mac: Option<Mac>,
    finding: Finding,
}

impl Judged {
    fn findings(self) -> Vec<Finding> {
        match self {
            Self::Only(finding) => vec![finding],
            Self::Lost(lost) => lost.into_iter().map(|lost| lost.finding).collect(),
        }
    }

    /// A file per NIC; where a MAC is not known, one that leaves all of Xen's NICs alone.
    fn plan(self) -> Plan {
        let mut plan =
            Plan { verb: "fix", title: "keep the names of the NICs".to_owned(), ..Plan::default() };
        let Self::Lost(lost) = self else { return plan };
        let of_nic = |lost: &Lost| {
            let (name, mac) = (&lost.name, lost.mac?);
            let path = format!("{LINK_DIR}/70-novactl-{name}.link");
            Some(FileChange::write(path, format!("[Match]\nMACAddress={mac}\n\n[Link]\nName={name}\n")))
        };
        let files: Option<Vec<_>> = lost.iter().map(of_nic).collect();
        plan.files = files.unwrap_or_else(|| {
            vec![FileChange::write(
                format!("{LINK_DIR}/70-novactl-vif.link"),
                "[Match]\nDriver=vif\n\n[Link]\nNamePolicy=\n",
            )]
        });
        plan
    }
}

fn judged(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let only = |finding| Ok(Judged::Only(finding));
    let has_udev =
        ["usr/lib/systemd/systemd-udevd", "lib/systemd/systemd-udevd"].iter().any(|p| root.exists(p));
    let version = systemd_version(root).filter(|version| has_udev && *version >= FIRST);
    let Some(version) = version else {
        return only(Finding::ok("udev leaves the names of Xen's NICs to the kernel"));
    };
    let Some(lines) = command_lines(root)? else {
        return only(Finding::skipped("the command line of the next boot is not known"));
    };
    if let Some((source, word)) = lines.iter().find_map(|(source, line)| Some((source, keeps_names(line)?))) {
        return only(Finding::ok("the kernel's names stay").seen(source, word));
    }
    let mut scan = Scan::of(root);
    let links = networkd::units_of(&mut scan, ".link");
    let rules = Rules::of(&mut scan);
    scan.complete()?;
    if rules.is_masked {
        return only(Finding::ok("a file of the administrator's keeps udev from renaming"));
    }
    let configuration = target.configuration();
    let survey = target.survey()?;
    let mut lost = Vec::new();
    let mut waits = None;
    let mut seen = BTreeSet::new();
    for entry in &configuration.planned {
        let Some((name, number)) = ethernet_name(entry) else { continue };
        if lost.len() == NAMES_MAX || !seen.insert(name) {
            continue;
        }
        let new = format!("enX{number}");
        let is_known = configuration.planned.iter().any(|p| !p.to.names.is_empty() && p.to.is(&new, None));
        let Some(nic) = nic_of(survey, name, &new, number).filter(|_| !is_known) else { continue };
        let mac = entry.to.macs.first().copied().or(nic.mac);
        if is_renamed_by_scripts(root, entry) || rules.keep(name, mac) {
            continue;
        }
        let Some(source) = renaming(&links, name, mac) else {
            if nic.has_new_name {
                waits = Some(Finding::note(format!("{new} is {name} again after the next boot")).about(name));
            }
            continue;
        };
        let is_now = nic.has_new_name;
        let title = if is_now {
            format!("the NIC is called {new}, and the configuration is about {name}")
        } else {
            format!("at the next boot {name} becomes {new}, for which there is no configuration")
        };
        let finding = Finding::fail(title)
            .because("the NIC comes up without an address: the server is unreachable, on the console all looks right")
            .seen(&entry.seen.source, &entry.seen.text)
            .seen(source, format!("systemd {version} names Xen's NICs by their slot"))
            .about(name)
            .mend(format!(
                "a file in /{LINK_DIR} that keeps the name, or net.ifnames=0 on the kernel's command line; then build \
                 the initramfs anew (update-initramfs -u, dracut -f) and boot"
            ));
        lost.push(Lost { name: name.to_owned(), mac, finding });
    }
    if lost.is_empty() {
        return only(waits.unwrap_or_else(|| Finding::ok("every name that is configured stays")));
    }
    Ok(Judged::Lost(lost))
}

/// Returns the command lines of the next boot and of the running kernel; `None` where nothing says.
fn command_lines(root: &Root) -> Result<Option<Vec<(String, String)>>> {
    let mut lines = boot_lines(root)?;
    lines.extend(root.text_opt("proc/cmdline")?.map(|line| ("proc/cmdline".to_owned(), line)));
    Ok((!lines.is_empty()).then_some(lines))
}

/// The word of a command line that keeps Xen's NICs from being renamed.
fn keeps_names(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| match word.split_once('=') {
        Some(("net.ifnames", value)) => matches!(value, "0" | "no" | "false" | "off"),
        Some(("net.naming_scheme" | "net.naming-scheme", scheme)) => {
            let number = scheme.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
            number.is_some_and(|number| number < FIRST)
                || ["rhel-7", "rhel-8"].iter().any(|old| scheme.starts_with(old))
        }
        _ => false,
    })
}

/// The name and number that an entry is about when it is one ethN.
fn ethernet_name(entry: &Planned) -> Option<(&str, usize)> {
    let name = entry.to.single().filter(|_| entry.kind.is_nic() && entry.at_boot)?;
    Some((name, name.strip_prefix("eth")?.parse().ok()?))
}

struct Found {
    mac: Option<Mac>,
    has_new_name: bool,
}

/// The NIC that an entry means; `None` for one that is not there, or is not Xen's.
fn nic_of(survey: &Survey, name: &str, new: &str, number: usize) -> Option<Found> {
    let link = |name: &str| survey.interfaces.iter().find(|interface| interface.link.name == name);
    if survey.origin == Origin::Configuration {
        let host = survey.host.as_ref().ok();
        let record = link(name).and_then(|interface| interface.record);
        let mac = host.zip(record).and_then(|(host, record)| host.nics.get(record)?.mac);
        let is_there = record.is_some() || host.is_none_or(|host| number < host.nics.len());
        return is_there.then_some(Found { mac, has_new_name: false });
    }
    let has_new_name = link(name).is_none();
    let nic = &link(name).or_else(|| link(new))?.link;
    (nic.kind == Kind::VIF).then_some(Found { mac: nic.host_mac(), has_new_name })
}

/// initscripts give the NIC of an ifcfg file's HWADDR the name of its DEVICE.
fn is_renamed_by_scripts(root: &Root, entry: &Planned) -> bool {
    entry.reader == "ifcfg"
        && !entry.to.macs.is_empty()
        && ["usr/lib/udev/rename_device", "lib/udev/rename_device"].iter().any(|path| root.exists(path))
}

/// What the administrator's rules say of names.
struct Rules {
    /// Whether they keep udev from asking `.link` files at all.
    is_masked: bool,
    bound: Vec<persistent_rules::Rule>,
    /// Lines that give names otherwise.
    others: Vec<String>,
}

impl Rules {
    fn of(scan: &mut Scan) -> Self {
        const SETUP: &str = "80-net-setup-link.rules";
        let mut rules = Self { is_masked: false, bound: Vec::new(), others: Vec::new() };
        for dir in ["etc/udev/rules.d", "run/udev/rules.d"] {
            for path in scan.files(dir, ".rules") {
                let is_setup = path.ends_with(SETUP);
                if matches!(scan.root.link_opt(&path), Ok(Some(to)) if to == "/dev/null") {
                    rules.is_masked |= is_setup;
                    continue;
                }
                let Some(text) = scan.text(&path) else { continue };
                rules.is_masked |= is_setup && !text.contains("net_setup_link");
                rules.bound.extend(persistent_rules::parse(&text));
                let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
                let gives = |line: &&str| line.contains("NAME=\"") || line.contains("NAME:=\"");
                rules
                    .others
                    .extend(lines.filter(gives).filter(|line| !line.contains("address}")).map(str::to_owned));
            }
        }
        rules
    }

    fn keep(&self, name: &str, mac: Option<Mac>) -> bool {
        let is_bound =
            |rule: &persistent_rules::Rule| rule.name == name && mac.is_none_or(|mac| rule.mac == mac);
        let kept = [format!("NAME=\"{name}\""), "NAME=\"%k\"".to_owned(), "NAME=\"$kernel\"".to_owned()];
        self.bound.iter().any(is_bound)
            || self
                .others
                .iter()
                .any(|line| kept.iter().any(|kept| line.replace(":=", "=").contains(kept.as_str())))
    }
}

/// The place that has udev rename a NIC; `None` where it keeps its name.
fn renaming(links: &[Unit], name: &str, mac: Option<Mac>) -> Option<String> {
    for unit in links {
        let matched = matched(unit, name, mac);
        let given = unit.last("Link", "Name").map(|(_, setting)| setting.value.as_str());
        if matched == Matched::PerhapsByMac && given == Some(name) {
            return None;
        }
        if matched != Matched::Yes {
            continue;
        }
        let policy = unit.words("Link", "NamePolicy");
        let policies = ["slot", "mac"];
        if let Some((path, setting)) =
            unit.last("Link", "NamePolicy").filter(|_| policy.iter().any(|policy| policies.contains(policy)))
        {
            return Some(format!("{path}:{}", setting.line));
        }
        let (path, setting) = unit.last("Link", "Name").filter(|(_, setting)| setting.value != name)?;
        return Some(format!("{path}:{}", setting.line));
    }
    None
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matched {
    Yes,
    /// It is about a MAC, and that of the NIC is not known.
    PerhapsByMac,
    No,
}

fn matched(unit: &Unit, name: &str, mac: Option<Mac>) -> Matched {
    let keys: BTreeSet<&str> =
        unit.settings.iter().filter(|(_, s)| s.section == "Match").map(|(_, s)| s.key.as_str()).collect();
    let mut matched = if keys.is_empty() { Matched::No } else { Matched::Yes };
    for key in keys {
        let words = unit.words("Match", key);
        let is_one = |text: &str| words.iter().any(|pattern| glob::matches(pattern, text));
        let fits = match key {
            "OriginalName" => is_one(name),
            "Driver" => is_one("vif"),
            "Type" => is_one("ether"),
            "MACAddress" | "PermanentMACAddress" => match mac {
                Some(mac) => words.iter().any(|word| word.parse() == Ok(mac)),
                None => {
                    matched = Matched::PerhapsByMac;
                    continue;
                }
            },
            _ => false,
        };
        if !fits {
            return Matched::No;
        }
    }
    matched
}

#[cfg(test)]
#[path = "nic_names_tests.rs"]
mod tests;
