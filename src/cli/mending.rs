//! One plan of the fixes of what checks found.

use anyhow::{Context, bail};

use super::change;
use crate::check::{self, Check, Finding, Status};
use crate::plan::Plan;
use crate::target::Target;

/// What mends findings.
pub(super) struct Mending {
    /// The fixes, cause before symptom.
    pub(super) plan: Plan,
    /// The checks whose fix is in it.
    pub(super) ids: Vec<String>,
    /// What stays wrong, each in a line.
    pub(super) left: Vec<String>,
}

/// Merges the fixes of the checks of which a finding is wanted.
pub(super) fn of(
    target: &Target,
    findings: &[Finding],
    is_wanted: &dyn Fn(&Finding) -> bool,
    verb: &'static str,
    title: &str,
) -> Mending {
    let is_held = is_held(findings);
    let fires = |check: &&Check| {
        !is_held && check.fix.is_some() && findings.iter().any(|f| f.id == check.id && is_wanted(f))
    };
    let mut plan = Plan { verb, title: title.to_owned(), ..Plan::default() };
    let mut ids: Vec<String> = Vec::new();
    let mut left: Vec<String> = Vec::new();
    for check in check::every().filter(fires) {
        match with_fix(&plan, check, target) {
            Ok(merged) => {
                plan = merged;
                ids.push(check.id.to_owned());
            }
            Err(e) => left.push(format!("{}: {e:#}", check.id)),
        }
    }
    let is_mended = |f: &Finding| {
        ids.iter().any(|id| id == f.id) && f.remedy.as_ref().is_none_or(|remedy| remedy.fixable)
    };
    for finding in findings.iter().filter(|f| f.status == Status::Fail && !is_mended(f)) {
        if !left.iter().any(|line| line.starts_with(&format!("{}: ", finding.id))) {
            left.push(change::left_over(finding));
        }
    }
    Mending { plan, ids, left }
}

/// Takes the command that is being run out of the remedies.
pub(super) fn without_itself(mut findings: Vec<Finding>) -> Vec<Finding> {
    for remedy in findings.iter_mut().filter_map(|finding| finding.remedy.as_mut()) {
        let is_it = |argv: &Vec<String>| {
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            matches!(words.as_slice(), ["novactl", "doctor", "--fix", ..] | ["novactl", "fix-image", ..])
        };
        if remedy.fixable {
            remedy.commands.retain(|argv| !is_it(argv));
        }
    }
    findings
}

/// Whether nothing may be changed before a file system was checked.
pub(super) fn is_held(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.id == "file-system-clean" && finding.status == Status::Fail)
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
    merged.merge(fix, &target.root).context("run it once more for this one")?;
    Ok(merged)
}
