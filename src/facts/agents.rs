//! The agents that are installed: kind, version, program, services.

use serde::Serialize;

use super::init::Services;
use crate::root::Root;

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
    /// No agent.
    #[serde(rename = "none")]
    None,
}

/// One installed agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Which one.
    pub kind: Kind,
    /// Its version, when a file says it.
    pub version: Option<String>,
    /// Its program, relative to the root.
    pub program: String,
}

/// The agents of a target; usually one.
#[derive(Debug, Default)]
pub struct Agents {
    /// Each of them, the one that starts at boot first.
    pub all: Vec<Agent>,
}

impl Agents {
    /// Looks for agents.
    pub fn of(_root: &Root, _services: &Services) -> Self {
        Self::default()
    }
}
