//! `doctor --fix`: one plan of the fixes of what was found, and a second look at the same checks when it is made.

use std::sync::Arc;

use crate::check::{self, Check, Finding, Limits, Selection, Status, Topic};
use crate::cli::Global;
use crate::cli::change::{self, ChangeReport, Consent, Request};
use crate::cli::diagnosis::{self, Diagnosis};
use crate::cli::mending::{self, Mending};
use crate::cli::verification::Broken;
use crate::plan::journal::Journal;
use crate::report::Format;
use crate::route::{self, Step};
use crate::session;
use crate::target::Target;
use crate::ui::{self, Ui};

/// Whether somebody has read what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Already,
    NotYet,
}

/// `doctor --fix`: the verdict and what was found, the change and the question, what came of it and what is next. What
/// was interrupted is taken back before the look, which would else judge and remember files that are about to change.
///
/// # Errors
/// The journal cannot be opened, or as [`mend`].
pub(super) fn run(
    global: &Global,
    target: &Arc<Target>,
    consent: &Consent,
    selection: &Selection,
) -> anyhow::Result<ChangeReport> {
    let journal = change::begin(global, target, consent)?;
    let found = Diagnosis::new(target, check::run(target, selection, Limits::default()));
    let is_read = global.format == Format::Table && !global.quiet && ui::is_terminal();
    if is_read && !consent.yes && !consent.dry_run {
        let mut screen = Ui::stderr(global.color);
        found.headline(&mut screen)?;
        screen.flush()?;
    }
    let Diagnosis { route, findings, .. } = found;
    let next = route.map_or(Vec::new(), |route| route::rest(target, &findings, route.number));
    let report = mend(global, target, consent, journal, &selection.only, findings, Told::NotYet)?;
    let is_all = selection.is_whole() && !report.leaves_something();
    if next.is_empty() || is_all {
        return Ok(report.then(next));
    }
    let first = what_is_not_mended(target, &report);
    Ok(report.then(vec![first]))
}

/// Nobody leaves rescue mode with a disk that is still broken: what the next look says tells the way on.
fn what_is_not_mended(target: &Target, report: &ChangeReport) -> Step {
    let text = match report.leaves_something() {
        true => "mend by hand what is left, then look again",
        false => "look at what was left out",
    };
    let command = ["novactl", "doctor"].map(str::to_owned).into_iter().chain(target.options()).collect();
    Step { text: text.to_owned(), commands: vec![command] }
}

/// Mends what was found and can be mended: shows the change, asks, makes it, looks again. Notes are changed only for
/// the checks that were asked for by name. The look that found it is of the target after [`change::begin`], which gave
/// the journal.
///
/// # Errors
/// The plan cannot be made, or nobody is there who could agree.
pub(super) fn mend(
    global: &Global,
    target: &Target,
    consent: &Consent,
    journal: Option<Journal<'_>>,
    only: &[String],
    findings: Vec<Finding>,
    told: Told,
) -> anyhow::Result<ChangeReport> {
    // what is no fault is changed on demand alone
    let is_wanted = |f: &Finding| {
        f.status >= Status::Warn || f.status == Status::Note && only.iter().any(|id| id == f.id)
    };
    let Mending { plan, ids, left } =
        mending::of(target, &findings, &is_wanted, "fix", "fix what doctor found");
    // a session that a new network could cut off gets its old one back
    let is_network = |check: &Check| {
        // another agent is no other network
        matches!(check.topic, Topic::Network | Topic::Interfaces) && check.id != "unexpected-interfaces"
    };
    let of_network = check::all().any(|check| is_network(check) && ids.iter().any(|id| id == check.id));
    let acts = of_network && target.is_live() && !(plan.steps.is_empty() && plan.activate.is_empty());
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
        broken: Broken::of(&findings),
        findings: match told {
            Told::Already => Vec::new(),
            Told::NotYet => {
                mending::without_itself(findings.into_iter().filter(diagnosis::matters).collect())
            }
        },
        interfaces: None,
        revert_after,
        left,
    };
    let mut report = change::carry_out(global, target, consent, journal.as_ref(), request)?;
    if let Some(id) = report.taken_back().and_then(|words| what_failed(target, &ids, words)) {
        report = report.or_without(target, id, &ids);
    }
    // the process that would revert it needs the journal while somebody reads the question
    drop(journal);
    if !consent.yes {
        change::ask_to_keep(target, &mut report)?;
    }
    Ok(report)
}

/// Returns the check that did not verify, or whose fix runs the program that failed, by the words of the failure.
fn what_failed<'i>(target: &Target, ids: &'i [String], words: &str) -> Option<&'i String> {
    let fails = |id: &&String| {
        let check = check::every().find(|check| check.id == **id);
        let plan = check.and_then(|check| check.fix?(target).ok()).unwrap_or_default();
        let mut programs = plan.steps.iter().map(|step| &step.run).chain(&plan.activate);
        programs.any(|program| words.contains(&format!("running {}", program.line())))
    };
    let unverified = ids.iter().find(|id| words.contains(&format!("it did not verify: {id}:")));
    unverified.or_else(|| ids.iter().find(fails))
}
