//! The facts of a support bundle.
//!
//! Every field is named here: there is no way for a file's content, a log line, a command line, a user's name or a
//! value out of XenStore to get in, because nothing that quotes one is taken. Findings come without their texts, which
//! quote; their ids say what they mean. To add a fact: a field, whose values this program or the kernel makes, or a
//! text through [`word`].

use std::collections::BTreeSet;

use serde::Serialize;

use crate::check::{Finding, all};
use crate::cli::change;
use crate::cli::diagnosis::Diagnosis;
use crate::facts::init::{Enabled, Service};
use crate::net::host::HostNic;
use crate::net::survey::Interface;
use crate::target::Target;
use crate::ui;

/// Services that the agent's work depends on, besides the agents' and the tools' own.
const SERVICES: [&str; 14] = [
    "NetworkManager",
    "cloud-init",
    "cloud-init-local",
    "dhcpcd",
    "netctl",
    "network",
    "networking",
    "rsyslog",
    "ssh",
    "sshd",
    "systemd-networkd",
    "systemd-resolved",
    "wicked",
    "wickedd",
];

/// Where evidence that is named by its path may lie. Home directories are not among them.
const PLACES: [&str; 11] =
    ["bin/", "boot/", "etc/", "lib/", "lib64/", "proc/", "run/", "sbin/", "sys/", "usr/", "var/log/"];

/// Names in XenStore that are not a tenant's; besides them MACs and UUIDs.
const NODES: [&str; 6] = ["control", "data", "guest", "host", "networking", "vm-data"];

/// The most entries of a list, and the most characters of a text.
pub(super) const LIST_MAX: usize = 1000;
const WORD_MAX: usize = 100;

#[derive(Serialize)]
pub(super) struct System<'a> {
    schema: &'static str,
    novactl: &'static str,
    looked_at: u64,
    is_live: bool,
    os: String,
    os_version: String,
    init: String,
    verdict: crate::check::Verdict,
    summary: crate::check::Summary,
    route: Option<u8>,
    os_source: Option<&'a str>,
}

impl<'a> System<'a> {
    pub(super) fn of(target: &'a Target, diagnosis: &Diagnosis) -> Self {
        let os = target.os();
        Self {
            schema: "novactl.bundle/1",
            novactl: env!("CARGO_PKG_VERSION"),
            looked_at: change::now(),
            is_live: target.is_live(),
            os: word(&os.id),
            os_version: word(&os.version),
            init: format!("{:?}", target.services().init),
            verdict: diagnosis.verdict,
            summary: diagnosis.summary,
            route: diagnosis.route.as_ref().map(|route| route.number),
            os_source: place(&os.source),
        }
    }
}

#[derive(Serialize)]
pub(super) struct AgentFacts {
    kind: crate::facts::agents::Kind,
    version: Option<String>,
    program: String,
    package: Option<[String; 2]>,
    services: Vec<ServiceFacts>,
}

impl AgentFacts {
    pub(super) fn of(agent: &crate::facts::agents::Agent) -> Self {
        Self {
            kind: agent.kind,
            version: agent.version.as_deref().map(word),
            program: word(&agent.program),
            package: agent.package.as_ref().map(|package| [word(&package.name), word(&package.version)]),
            services: agent.services.iter().take(LIST_MAX).map(ServiceFacts::of).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ToolFacts {
    daemon: &'static str,
    version: Option<String>,
    program: String,
    services: Vec<ServiceFacts>,
}

impl ToolFacts {
    pub(super) fn of(tool: &crate::facts::tools::Tool) -> Self {
        Self {
            daemon: tool.kind.process(),
            version: tool.version.as_deref().map(word),
            program: word(&tool.program),
            services: tool.services.iter().take(LIST_MAX).map(ServiceFacts::of).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ServiceFacts {
    name: String,
    init: String,
    file: String,
    at_boot: &'static str,
}

impl ServiceFacts {
    pub(super) fn of(service: &Service) -> Self {
        Self {
            name: word(&service.name),
            init: format!("{:?}", service.init),
            file: word(&service.path),
            at_boot: match service.enabled {
                Enabled::Yes(_) => "yes",
                Enabled::No(_) => "no",
                Enabled::Masked(_) => "masked",
            },
        }
    }
}

pub(super) fn services(target: &Target) -> Vec<ServiceFacts> {
    // a service whose file cannot be read is a finding already
    let named = SERVICES.iter().filter_map(|name| target.services().named(&target.root, name).ok().flatten());
    named.map(|service| ServiceFacts::of(&service)).collect()
}

#[derive(Serialize)]
pub(super) struct Network {
    interfaces: Vec<Link>,
    host: Option<Vec<Record>>,
}

#[derive(Serialize)]
struct Link {
    name: String,
    kind: String,
    driver: Option<String>,
    mac: Option<crate::net::Mac>,
    permanent_mac: Option<crate::net::Mac>,
    state: crate::net::links::State,
    mtu: u32,
    master: Option<String>,
    lower: Option<String>,
    addresses: Vec<ipnet::IpNet>,
    ipv6: Option<bool>,
    is_public: bool,
    verdict: Option<crate::net::survey::Verdict>,
}

#[derive(Serialize)]
struct Record {
    key: String,
    label: Option<String>,
    faults: usize,
}

impl Network {
    pub(super) fn of(target: &Target) -> Self {
        let Ok(survey) = target.survey() else { return Self { interfaces: Vec::new(), host: None } };
        let records = |nics: &[HostNic]| nics.iter().take(LIST_MAX).map(Record::of).collect();
        Self {
            interfaces: survey.interfaces.iter().take(LIST_MAX).map(Link::of).collect(),
            host: survey.host.as_ref().ok().map(|host| records(&host.nics)),
        }
    }

    /// Returns the names of its interfaces.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.interfaces.iter().map(|link| link.name.as_str()).collect()
    }
}

impl Link {
    fn of(interface: &Interface) -> Self {
        let link = &interface.link;
        Self {
            name: word(&link.name),
            kind: word(link.kind.word()),
            driver: link.driver.as_deref().map(word),
            mac: link.mac,
            permanent_mac: link.permanent_mac,
            state: link.state,
            mtu: link.mtu,
            master: link.master.as_deref().map(word),
            lower: link.lower.as_deref().map(word),
            addresses: link.addresses.iter().take(LIST_MAX).copied().collect(),
            ipv6: interface.ipv6.enabled,
            is_public: interface.is_public,
            verdict: interface.verdict,
        }
    }
}

impl Record {
    fn of(nic: &HostNic) -> Self {
        let key = if is_number(&nic.key) { word(&nic.key) } else { "no MAC".to_owned() };
        Self { key, label: nic.label.as_deref().map(word), faults: nic.problems.len() }
    }
}

#[derive(Serialize)]
pub(super) struct FindingFacts<'a> {
    id: &'static str,
    topic: crate::check::Topic,
    status: crate::check::Status,
    about: &'static str,
    interface: Option<&'a str>,
    places: Vec<&'a str>,
    fixable: bool,
    blocked_by: Option<&'static str>,
    elapsed_us: u64,
}

impl<'a> FindingFacts<'a> {
    pub(super) fn of(finding: &'a Finding, interfaces: &BTreeSet<&str>) -> Self {
        let subject = finding.subject.as_deref().filter(|subject| interfaces.contains(subject));
        Self {
            id: finding.id,
            topic: finding.topic,
            status: finding.status,
            about: all().find(|check| check.id == finding.id).map_or("", |check| check.about),
            interface: subject,
            places: finding.evidence.iter().filter_map(|seen| place(&seen.source)).take(LIST_MAX).collect(),
            fixable: finding.remedy.as_ref().is_some_and(|remedy| remedy.fixable),
            blocked_by: finding.blocked_by,
            elapsed_us: finding.elapsed_us,
        }
    }
}

/// Returns a source of evidence when it is the path of a file of the system, with its line, or of a node in XenStore
/// whose name says nothing of the tenant.
fn place(source: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/@:+".contains(c);
    let is_file = PLACES.iter().any(|start| source.starts_with(start)) && source.chars().all(is_plain);
    let is_node = source.split('/').all(|name| NODES.contains(&name) || is_number(name));
    ((is_file || is_node) && source.len() <= 2 * WORD_MAX).then_some(source)
}

/// Whether a name is a MAC or a UUID.
fn is_number(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Returns the beginning of a text without control characters.
fn word(text: &str) -> String {
    ui::visible(&text.chars().take(WORD_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paths_of_the_system_and_nothing_else() {
        for (source, is_place) in [
            ("etc/sysconfig/network-scripts/ifcfg-eth0:3", true),
            ("vm-data/networking/BC764E207572", true),
            ("var/log/nova-agent.log:12", true),
            ("home/jane/secret", false),
            ("etc/passwd: root:$6$salt$hash", false),
            ("data/host/0b1c2d3e-0000-4000-8000-000000000000", true),
            ("vm-data/networking/hunter2", false),
            ("vm-data/user-metadata/0123", false),
            ("process 12", false),
            ("systemctl show nova-agent", false),
        ] {
            assert_eq!(place(source).is_some(), is_place, "{source}");
        }
    }
}
