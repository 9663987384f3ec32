//! Checks of the topic cloud-init: what it does beside the agent, or instead of it.

mod datasource;
mod drive;
mod network;

use anyhow::Result;

use super::{Check, Finding, Needs, Topic};
use crate::facts::cloud_init::{CloudInit, Starts};
use crate::target::Target;

/// What the checks of files have in common.
const TEMPLATE: Check = Check::of_files(Topic::CloudInit);

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "cloud-init-network",
        about: "cloud-init leaves the network to the agent",
        probe: network::probe,
        fix: Some(network::fix),
        page: include_str!("pages/cloud-init-network.md"),
        ..TEMPLATE
    },
    Check {
        id: "cloud-init-datasource",
        about: "cloud-init asks the config drive before it gives up",
        probe: datasource::probe,
        fix: Some(datasource::fix),
        page: include_str!("pages/cloud-init-datasource.md"),
        ..TEMPLATE
    },
    Check {
        id: "config-drive",
        about: "the config drive is attached and its files are whole",
        needs: Needs { privilege: true, ..Needs::LIVE },
        probe: drive::probe,
        page: include_str!("pages/config-drive.md"),
        ..TEMPLATE
    },
];

/// Judges a cloud-init that the next boot starts.
fn of_running(
    target: &Target,
    judge: impl FnOnce(&CloudInit) -> Result<Vec<Finding>>,
) -> Result<Vec<Finding>> {
    let Some(cloud_init) = CloudInit::of(&target.root, target.services())? else {
        return Ok(vec![Finding::skipped("cloud-init is not installed")]);
    };
    if let Starts::No(source, text) = &cloud_init.starts {
        return Ok(vec![Finding::ok("cloud-init does not run").seen(source, text)]);
    }
    judge(&cloud_init)
}

/// Adds the files that cloud-init leaves out, since what they say is not in effect.
fn with_left_out(finding: Finding, cloud_init: &CloudInit) -> Finding {
    cloud_init.left_out.iter().fold(finding, |finding, (path, why)| finding.seen(path, why))
}
