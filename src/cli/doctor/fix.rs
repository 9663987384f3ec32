//! `doctor --fix`: one plan of the fixes of what was found, and a second look at the same checks when it is made.

use std::sync::Arc;

use anyhow::{Context, bail};

use crate::check::{self, Check, Finding, Limits, Selection, Status};
use crate::cli::Global;
use crate::cli::change::{self, ChangeReport, Consent, Request};
use crate::cli::diagnosis;
use crate::plan::Plan;
use crate::session;
use crate::target::Target;

/// Mends what was found and can be mended: shows the change, asks, makes it, looks again.
///
/// # Errors
/// The journal cannot be opened, the plan cannot be made, or nobody is there who could agree.
pub(super) fn mend(
    global: &Global,
    target: &Target,
    consent: &Consent,
    findings: Vec<Finding>,
) -> anyhow::Result<ChangeReport> {
    let journal = change::begin(global, target, consent)?;
    let fires = |check: &&Check| {
        check.fix.is_some() && findings.iter().any(|f| f.id == check.id && f.status >= Status::Warn)
    };
    let mut plan = Plan { verb: "fix", title: "fix what doctor found".to_owned(), ..Plan::default() };
    let mut ids: Vec<String> = Vec::new();
    let mut left: Vec<String> = Vec::new();
    for check in check::all().filter(fires) {
        match with_fix(&plan, check, target) {
            Ok(merged) => {
                plan = merged;
                ids.push(check.id.to_owned());
            }
            Err(e) => left.push(format!("{}: {e:#}", check.id)),
        }
    }
    let by_hand = |f: &&Finding| f.status == Status::Fail && !ids.iter().any(|id| id == f.id);
    for finding in findings.iter().filter(by_hand) {
        if !left.iter().any(|line| line.starts_with(&format!("{}: ", finding.id))) {
            left.push(format!("{}: {}", finding.id, finding.title));
        }
    }
    // a session that a new network could cut off gets its old one back
    let acts = target.is_live() && !(plan.steps.is_empty() && plan.activate.is_empty());
    let revert_after = (acts && session::ssh_address(&target.root).is_some()).then_some(change::REVERT_AFTER);
    let verify = |_: &Target| match global.target() {
        // what was known of the target before the change is not true any more
        Ok(target) => {
            let same = Selection { only: ids.clone(), ..Selection::default() };
            check::run(&Arc::new(target), &same, Limits::default())
        }
        Err(e) => vec![Finding::fail(format!("{e:#}"))],
    };
    let request = Request {
        plan,
        verify: if ids.is_empty() { &|_| Vec::new() } else { &verify },
        findings: findings.into_iter().filter(diagnosis::matters).collect(),
        interfaces: None,
        revert_after,
        left,
    };
    let mut report = change::carry_out(global, target, consent, journal.as_ref(), request)?;
    // the process that would revert it needs the journal while somebody reads the question
    drop(journal);
    if !consent.yes {
        change::ask_to_keep(target, &mut report)?;
    }
    Ok(report)
}

/// Returns the plan with a check's fix in it.
///
/// # Errors
/// Only hands can mend it, or it changes a file that another fix changes: then the next run can.
fn with_fix(plan: &Plan, check: &Check, target: &Target) -> anyhow::Result<Plan> {
    let fix = check.fix.context("it has to be mended by hand")?(target)?;
    if fix.files.is_empty() && fix.steps.is_empty() {
        bail!("it has to be mended by hand");
    }
    let mut merged = plan.clone();
    merged.merge(fix).context("run doctor --fix once more for it")?;
    Ok(merged)
}
