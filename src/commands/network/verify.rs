//! Whether the network is what it was meant to be, after it was changed.

use std::time::{Duration, Instant};

use crate::check::{Finding, Status, Topic};
use crate::net::backend::Backend;
use crate::net::intent::{Intent, Nic, NicIntent};
use crate::net::live::Live;
use crate::target::Target;

/// How long a network manager may take, how long its work has to last, and how often it is looked at. The host gives
/// `resetnetwork` 60 s in all.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
const STAYS_FOR: Duration = Duration::from_millis(1500);
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// Compares what is up, or on a disk what is configured, with what was meant.
pub fn verify(target: &Target, intent: &Intent, backend: &dyn Backend) -> Vec<Finding> {
    let addresses = |finding: Finding| finding.of("addresses-match-host-data", Topic::Network);
    if !target.is_live() {
        return intent.nics.iter().map(|nic| addresses(configured(target, nic, backend))).collect();
    }
    settled(intent).unwrap_or_else(|e| vec![addresses(Finding::fail(format!("{e:#}")))])
}

/// Looks until all is up and stays so, or the time is over: a manager that was told to reload answers first and works
/// afterwards, and can take away for a moment what it did not make itself.
fn settled(intent: &Intent) -> anyhow::Result<Vec<Finding>> {
    let end = Instant::now() + SETTLES_WITHIN;
    let mut good_since = None;
    loop {
        let findings = Live::look()?.compare(intent);
        let is_good = findings.iter().all(|finding| finding.status == Status::Ok);
        good_since = is_good.then(|| good_since.unwrap_or_else(Instant::now));
        if good_since.is_some_and(|since| since.elapsed() >= STAYS_FOR) || Instant::now() >= end {
            return Ok(findings);
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

/// Reads back what was written, as the program that reads it at the next boot will.
fn configured(target: &Target, nic: &NicIntent, backend: &dyn Backend) -> Finding {
    let it = Nic { name: nic.name.clone(), mac: nic.mac };
    let finding = match backend.configured(&target.root, &it) {
        Ok(Some(found)) if found.addresses == nic.addresses => {
            Finding::ok(format!("{} is configured as the host says", nic.name))
        }
        Ok(found) => {
            let found = found.map(|found| found.addresses).unwrap_or_default();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            Finding::fail(format!("{} is not configured as the host says", nic.name)).seen(
                backend.name(),
                if found.is_empty() { "no address".to_owned() } else { found.join(", ") },
            )
        }
        Err(e) => Finding::fail(format!("{e:#}")),
    };
    finding.about(&nic.name)
}
