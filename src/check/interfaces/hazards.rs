//! Which agents an interface crashes, and which it misleads.
//!
//! 1.x walks `getifaddrs`, whose entry of a link without a hardware address has a null address; 1.39.1 (April 2014)
//! was the first to look before it reads. The vendor's advice names tun and tap devices both. 2.x lists
//! `/sys/class/net` and asks the Python module netifaces about each name where that module can be imported: it
//! raises `ValueError` for `bonding_masters`, which is a plain file, and the agent dies.

use anyhow::Result;

use crate::facts::agents::{self, Agent, Kind as AgentKind};
use crate::facts::python::Interpreter;
use crate::net::links::Kind;
use crate::net::survey::{Interface, Survey, Verdict};
use crate::root::Root;

/// The agents that die of a link without a hardware address.
const OLD_1X: &str = "nova-agent 1.x below 1.39.1";
/// The agents that die of `bonding_masters`.
const NETIFACES_2X: &str = "nova-agent 2.x with the Python module netifaces";

/// Returns the agents that crash because of an interface.
pub(crate) fn crashed_by(interface: &Interface, survey: &Survey) -> Vec<&'static str> {
    let mut agents = Vec::new();
    if has_null_address(interface) {
        agents.push(OLD_1X);
    }
    if interface.link.kind == Kind::BOND && survey.has_bonding_masters {
        agents.push(NETIFACES_2X);
    }
    agents
}

/// Says what an interface makes the agents do wrong, other than crash.
pub(crate) fn misled_by(interface: &Interface) -> Option<String> {
    let link = &interface.link;
    if let Some(nic) = &interface.shares_mac_of {
        let name = &link.name;
        return Some(format!(
            "nova-agent 2.x gives {name} a copy of {nic}'s addresses, 1.x configures {name} instead of {nic}"
        ));
    }
    if let (Some(master), Some(Verdict::Host)) = (&link.master, interface.verdict) {
        return Some(format!("it is a port of {master}: the agent gives addresses to the port"));
    }
    None
}

/// Returns why the installed agent crashes because of an interface; `None` when it copes.
pub(super) fn crash_of(agent: &Agent, interface: &Interface) -> Option<&'static str> {
    let is_old = agent.kind == AgentKind::Nova1 && agent.version.as_deref().is_some_and(is_below_1_39_1);
    (is_old && has_null_address(interface)).then_some(
        "this release reads the address of every entry of getifaddrs, and that of such a link is null: \
         the agent dies with a segmentation fault",
    )
}

/// Returns the interpreter of the installed agent when it would import netifaces.
///
/// # Errors
/// The interpreter or its module directories cannot be looked at.
pub(super) fn python_with_netifaces(agent: &Agent, root: &Root) -> Result<Option<String>> {
    let Some(interpreter) = Interpreter::of(root, agent)? else { return Ok(None) };
    let missing = interpreter.missing(root, &["netifaces".to_owned()])?;
    Ok(interpreter.file.filter(|_| missing.is_some_and(|missing| missing.is_empty())))
}

fn has_null_address(interface: &Interface) -> bool {
    let link = &interface.link;
    link.kind != Kind::LOOPBACK
        && (!link.has_hardware_address || link.kind.is_addressless() || link.kind == Kind::TAP)
}

/// A version that has no number is not known to be old.
fn is_below_1_39_1(version: &str) -> bool {
    let parts = agents::parts(version);
    !parts.is_empty() && parts.as_slice() < [1, 39, 1].as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for old in ["1.39.0", "1.9.5", "0.0.1.38", "1.39", "1.38.2-1"] {
            assert!(is_below_1_39_1(old), "{old}");
        }
        for new in ["1.39.1", "1.39.1-2", "1.40", "2.1.25", "unknown", ""] {
            assert!(!is_below_1_39_1(new), "{new}");
        }
    }
}
