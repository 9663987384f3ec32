//! Whether the network is what it was meant to be, after it was changed.

use std::time::{Duration, Instant};

use crate::check::{Finding, Status, Topic};
use crate::net::backend::Backend;
use crate::net::gateway::{self, Gateway};
use crate::net::intent::{Intent, Nic, NicIntent};
use crate::net::links;
use crate::net::live::Live;
use crate::target::Target;

/// How long a network manager may take, how long its work has to last, and how often it is looked at. The host gives
/// `resetnetwork` 60 s in all.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
const STAYS_FOR: Duration = Duration::from_millis(1500);
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// Whether a gateway of the old network answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// One did.
    Yes,
    /// None did, or nobody asked.
    Unknown,
}

impl Reached {
    /// Looks whether the old network works, as far as its gateways tell.
    pub fn before(target: &Target, intent: &Intent) -> Self {
        if !target.is_live() {
            return Self::Unknown;
        }
        let answer = || -> anyhow::Result<bool> {
            let links = links::live(&target.root)?;
            let gateways = Gateway::in_use(&Live::look()?, intent, &links);
            let all = gateways.len();
            Ok(gateway::silent(gateways)?.len() < all)
        };
        match answer() {
            Ok(true) => Self::Yes,
            Ok(false) => Self::Unknown,
            Err(e) => {
                tracing::debug!("looking for the gateways in use: {e:#}");
                Self::Unknown
            }
        }
    }
}

/// Compares what is up, or on a disk what is configured, with what was meant.
pub fn verify(target: &Target, intent: &Intent, backend: &dyn Backend, old: Reached) -> Vec<Finding> {
    let addresses = |finding: Finding| finding.of("addresses-match-host-data", Topic::Network);
    if !target.is_live() {
        return intent.nics.iter().map(|nic| addresses(configured(target, nic, backend))).collect();
    }
    let mut findings = settled(intent).unwrap_or_else(|e| vec![addresses(Finding::fail(format!("{e:#}")))]);
    if findings.iter().all(|finding| finding.status != Status::Fail) {
        match gateways(target, intent, old) {
            Ok(silent) => findings.extend(silent),
            Err(e) => tracing::warn!("the gateways were not looked for: {e:#}"),
        }
    }
    findings
}

/// Looks whether somebody answers for the gateways. Where none does, the host's data can still be right: the network
/// is built after the server, or the provider's filter hides the router. Then the addresses stay, with a warning: what
/// was there before did not work either. But a network that worked is not given up for one that nobody answers in.
fn gateways(target: &Target, intent: &Intent, old: Reached) -> anyhow::Result<Vec<Finding>> {
    let wanted = Gateway::of(intent, &links::live(&target.root)?);
    let all = wanted.len();
    let silent = gateway::silent(wanted)?;
    let is_lost = old == Reached::Yes && silent.len() == all;
    Ok(silent
        .into_iter()
        .map(|Gateway { nic, address, .. }| {
            let title = format!("nobody on {nic} answers for the gateway {address}");
            let finding = if is_lost {
                Finding::fail(title)
                    .because(
                        "the old network's gateway answers: it would be given up for one that does not work",
                    )
                    .mend("look at the host's data; --force configures it all the same")
            } else {
                Finding::warn(title).because("what is beyond it cannot be reached unless it answers later")
            };
            finding.about(nic).of("routes-match-host-data", Topic::Network)
        })
        .collect())
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
