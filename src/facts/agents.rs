//! The agents that are installed: kind, version, program, services; from files only.
//!
//! A program counts by what it is, not by its name: 1.x and 2.x share `nova-agent`. An agent that is there and cannot
//! be read, or a link that leads nowhere, is kept in words in [`Agents::problems`]. Nothing is judged here.
//!
//! With systemd a unit of any name counts that a boot starts and that runs an agent's program; the other init systems'
//! scripts are known by their names alone.
//!
//! One more kind of agent: a variant of [`Kind`], what its program looks like in `agents/program.rs`, its service's
//! name in [`SERVICES`], its process in `agents/process.rs`.

pub mod binary;
pub mod exec;
pub mod process;
mod program;
mod source;
mod zipapp;

use anyhow::Result;
use serde::Serialize;

use super::init::{Enabled, Service, Services, Unread};
use super::packages::{self, Package};
use crate::root::Root;

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) use zipapp::tests::zip_application;

/// The names under which agents are started: RPM and SysV, Debian family, Debian 8, CoreOS, this program.
pub const SERVICES: [&str; 5] =
    ["nova-agent", "python3-nova-agent", "python-nova-agent", "nova-agent-auto", NOVACTL_SERVICE];

/// The service under which this program is the agent.
pub const NOVACTL_SERVICE: &str = "novactl-agent";

/// Where this program stands when it is the agent.
pub const NOVACTL_PROGRAM: &str = "usr/sbin/novactl";

/// The packages that hold an agent.
const PACKAGES: [&str; 3] = ["nova-agent", "python3-nova-agent", "python-nova-agent"];

/// Which agent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// nova-agent 2.x, Python 3.
    #[serde(rename = "nova-agent-2")]
    Nova2,
    /// nova-agent 1.x and 0.0.1.x, C with an embedded Python 2.
    #[serde(rename = "nova-agent-1")]
    Nova1,
    /// This program as the agent.
    #[serde(rename = "novactl")]
    Novactl,
    /// The Rackspace agent of Windows.
    #[serde(rename = "rackspace-agent-windows")]
    Windows,
}

/// One installed agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Which one.
    pub kind: Kind,
    /// Its version, when a file says it.
    pub version: Option<String>,
    /// The file that says the version.
    pub version_source: Option<String>,
    /// Its program as services name it, relative to the root.
    pub program: String,
    /// The file behind the program, links followed.
    pub file: String,
    /// How Python finds it; 2.x only.
    pub python: Option<PythonCode>,
    /// The directory of its version with its libraries, such as `usr/share/nova-agent/1.39.1`; 1.x only.
    pub tree: Option<String>,
    /// The package that it belongs to by name.
    pub package: Option<Package>,
    /// The services that start it, the enabled ones first.
    pub services: Vec<Service>,
}

/// An agent written in Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonCode {
    /// The first line of the program, without `#!`.
    pub interpreter: Option<String>,
    /// Modules that it imports at start and does not bring itself.
    pub needs: Vec<String>,
}

/// The agents of a target; usually one.
#[derive(Debug, Default)]
pub struct Agents {
    /// Each of them, the one that starts at boot first.
    pub all: Vec<Agent>,
    /// What looks like an agent and is none, and what could not be read: one sentence each.
    pub problems: Vec<String>,
    /// What kept a service from being looked at: it may start the agent.
    pub unread: Option<Unread>,
    /// What only root may look at, such as the tree of 1.x, which its installer makes with umask 077.
    pub denied: Vec<String>,
}

impl Kind {
    /// Returns the word that reports use: the one of the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nova2 => "nova-agent-2",
            Self::Nova1 => "nova-agent-1",
            Self::Novactl => "novactl",
            Self::Windows => "rackspace-agent-windows",
        }
    }

    /// Returns the name by which people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nova2 | Self::Nova1 => "nova-agent",
            Self::Novactl => "novactl agent",
            Self::Windows => "the Rackspace agent",
        }
    }
}

impl Agent {
    /// Returns the service that starts it at boot, else one that could.
    pub fn service(&self) -> Option<&Service> {
        self.services.first()
    }

    /// Whether a service starts it at boot.
    pub fn is_enabled(&self) -> bool {
        self.service().is_some_and(is_enabled)
    }

    /// Returns name and version for a title.
    pub fn title(&self) -> String {
        let unknown = if self.kind == Kind::Novactl { "" } else { "of unknown version" };
        let version = self.version.as_deref().unwrap_or(unknown);
        format!("{} {version}", self.kind.name()).trim_end().to_owned()
    }
}

impl Agents {
    /// Looks for agents.
    pub fn of(root: &Root, services: &Services) -> Self {
        let mut problems = Vec::new();
        let mut unread = None;
        let mut denied = Vec::new();
        let mut found = Vec::new();
        for name in SERVICES {
            match services.named(root, name) {
                Ok(service) => found.extend(service),
                Err(e) => {
                    let error = Unread::of(&e);
                    problems.push(error.reason.clone());
                    unread.get_or_insert(error);
                }
            }
        }
        let mut all: Vec<Agent> = Vec::new();
        for path in program::candidates(root, &found) {
            match program::look_at(root, &path) {
                Ok(Some(agent)) if all.iter().all(|known| known.file != agent.file) => all.push(agent),
                Ok(_) => {}
                Err(e) if Unread::of(&e).is_denied => denied.push(format!("{e:#}")),
                Err(e) => problems.push(format!("{e:#}")),
            }
        }
        // Someone who examines a server has copied this program to it: without a service it is no agent.
        if found.iter().all(|service| service.name != NOVACTL_SERVICE) {
            all.retain(|agent| agent.kind != Kind::Novactl);
        }
        let strangers = strangers(root, services, &found, &all).unwrap_or_else(|e| {
            problems.push(format!("{e:#}"));
            Vec::new()
        });
        for service in found {
            if let Some(place) = starter_of(root, &service, &all) {
                all[place].services.push(service);
            } else {
                problems.push(format!("{} starts no agent that is installed", service.path));
            }
        }
        for (place, service) in strangers {
            all[place].services.push(service);
        }
        if all.is_empty() {
            problems.extend(program::remains(root));
        }
        let packages: Vec<Package> = PACKAGES
            .into_iter()
            .filter_map(|name| match packages::find(root, name) {
                Ok(package) => package,
                Err(e) => {
                    problems.push(format!("{e:#}"));
                    None
                }
            })
            .collect();
        for agent in &mut all {
            agent.package = packages.iter().find(|package| holds(package, agent)).cloned();
            agent.services.sort_by_key(|service| !is_enabled(service));
        }
        all.sort_by_key(|agent| !agent.is_enabled());
        problems.sort_unstable();
        problems.dedup();
        Self { all, problems, unread, denied }
    }
}

/// Returns the numbers of a dotted version, to compare with: `0.0.1.38` is before `1.39.1`.
pub fn parts(version: &str) -> Vec<u32> {
    let numbers = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    numbers.map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

fn is_enabled(service: &Service) -> bool {
    matches!(service.enabled, Enabled::Yes(_))
}

/// Packages of 2.x only: the old agent came as a tar archive.
fn holds(package: &Package, agent: &Agent) -> bool {
    let branch = if agent.kind == Kind::Nova2 { "2." } else { "1." };
    agent.kind != Kind::Novactl && package.version.trim_start_matches("1:").starts_with(branch)
}

/// Returns which agent a service starts: by the program that it names, else by its own name.
fn starter_of(root: &Root, service: &Service, agents: &[Agent]) -> Option<usize> {
    let named = program::named_by(root, service);
    let by_program = agents.iter().position(|agent| named.iter().any(|path| is_program(root, agent, path)));
    let of_kind = |kind| agents.iter().position(|agent| agent.kind == kind);
    by_program.or_else(|| match service.name.as_str() {
        NOVACTL_SERVICE => of_kind(Kind::Novactl),
        "python3-nova-agent" | "python-nova-agent" => of_kind(Kind::Nova2),
        _ => of_kind(Kind::Nova1).or_else(|| of_kind(Kind::Nova2)),
    })
}

fn is_program(root: &Root, agent: &Agent, path: &str) -> bool {
    let path = path.trim_start_matches('/');
    path == agent.program || root.resolve(path).ok().flatten().as_deref() == Some(agent.file.as_str())
}

/// Returns the units under a name of their owner's that start one of these agents at boot, each with its agent.
///
/// # Errors
/// The units cannot be read.
fn strangers(
    root: &Root,
    services: &Services,
    known: &[Service],
    agents: &[Agent],
) -> Result<Vec<(usize, Service)>> {
    let mut found = Vec::new();
    for (id, pulled) in services.reachable(root)? {
        let Some(name) = id.strip_suffix(".service") else { continue };
        if known.iter().any(|service| service.name == name) {
            continue;
        }
        let line = exec::start_of(&pulled.unit);
        let Some(program) = line.and_then(|line| program::started_by(&line.value)) else { continue };
        let Some(place) = agents.iter().position(|agent| is_program(root, agent, &program)) else { continue };
        found.extend(services.named(root, name)?.map(|service| (place, service)));
    }
    Ok(found)
}
