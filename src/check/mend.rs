//! What plans of fixes have in common: what follows on a running system, and drop-ins of units.
//!
//! On a mounted root only files change; a service that has to be started there starts at the next boot.

use anyhow::{Result, bail};

use crate::commands::boot;
use crate::facts::init::{Init, Service};
use crate::plan::{FileChange, LiveStep, Plan};
use crate::target::Target;

/// Returns a plan of files; on a running system the manager reads them, then the steps are made.
pub(super) fn plan(
    target: &Target,
    title: impl Into<String>,
    files: Vec<FileChange>,
    steps: Vec<LiveStep>,
) -> Plan {
    let steps = if target.is_live() {
        boot::reload(target.services().init).into_iter().chain(steps).collect()
    } else {
        Vec::new()
    };
    Plan { verb: "fix", title: title.into(), files, steps, ..Plan::default() }
}

/// Returns a plan that starts a service which ought to run.
pub(super) fn started(target: &Target, service: &Service) -> Plan {
    // an init script that has exited counts as active: start would do nothing
    let restart = boot::switch(target.services().init, &service.name, "restart", Some("stop"));
    plan(target, format!("start {}", service.name), Vec::new(), vec![restart])
}

/// Returns a plan that adds a drop-in to a service's unit. Its name has it read after those that are there.
///
/// # Errors
/// The service has no unit.
pub(super) fn drop_in(target: &Target, service: &Service, what: &str, text: &str) -> Result<Plan> {
    if service.init != Init::Systemd || service.unit.is_none() {
        bail!("{} has no unit that a drop-in could change", service.name);
    }
    let path = format!("etc/systemd/system/{}.service.d/zz-novactl-{what}.conf", service.name);
    Ok(plan(target, format!("add {path}"), vec![FileChange::write(path, text)], Vec::new()))
}
