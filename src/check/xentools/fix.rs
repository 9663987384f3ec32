//! What mends the tools' service: on at boot, running.

use anyhow::{Context, Result};

use crate::check::mend;
use crate::commands::boot;
use crate::facts::init::Service;
use crate::facts::tools::Tool;
use crate::plan::Plan;
use crate::target::Target;

pub(super) fn enable(target: &Target) -> Result<Plan> {
    let all = &target.tools().all;
    let service = service(all.iter().find(|tool| tool.enabled().is_some()).or(all.first()))?;
    let files = boot::enable(&target.root, target.services(), service)?;
    Ok(mend::plan(target, format!("start {} at boot", service.name), files, Vec::new()))
}

pub(super) fn start(target: &Target) -> Result<Plan> {
    Ok(mend::started(target, service(target.tools().all.first())?))
}

fn service(tool: Option<&Tool>) -> Result<&Service> {
    tool.and_then(|tool| tool.services.first()).context("no service starts the tools")
}
