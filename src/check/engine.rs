//! Runs checks: needs first, then the probe on a thread of its own with a deadline.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Blocks, Check, Finding, Remedy, Status, Topic, all, every, inside};
use crate::target::Target;

/// How long checks may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One check.
    pub check: Duration,
    /// The whole run; what has not run by then is `unknown`.
    pub run: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { check: Duration::from_secs(2), run: Duration::from_secs(60) }
    }
}

/// What is asked of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// To work.
    #[default]
    Diagnosis,
    /// To be copied: what must not be in an image counts as well.
    Image,
}

/// Which checks are run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// What is asked of the system.
    pub occasion: Occasion,
    /// These only; empty means all.
    pub only: Vec<String>,
    /// Not these: they are reported as skipped, so that nobody takes them for healthy.
    pub skip: Vec<String>,
    /// Those of these topics; empty means all.
    pub topics: Vec<Topic>,
}

impl Selection {
    /// Returns the first name that no check has.
    pub fn stranger(&self) -> Option<&str> {
        let names = self.only.iter().chain(&self.skip);
        names.map(String::as_str).find(|id| !self.known().any(|check| check.id == *id))
    }

    /// Whether every check is run.
    pub fn is_whole(&self) -> bool {
        self.only.is_empty() && self.skip.is_empty() && self.topics.is_empty()
    }

    /// Returns the checks that there are for the occasion.
    fn known(&self) -> Box<dyn Iterator<Item = &'static Check>> {
        match self.occasion {
            Occasion::Diagnosis => Box::new(all()),
            Occasion::Image => Box::new(every()),
        }
    }

    /// Returns the selected checks in the order of the report, also those to be skipped.
    pub fn checks(&self) -> Vec<&'static Check> {
        let selected = |check: &&Check| {
            (self.only.is_empty() || self.only.iter().any(|id| id == check.id))
                && (self.topics.is_empty() || self.topics.contains(&check.topic))
        };
        self.known().filter(selected).collect()
    }
}

/// Returns the ids that are spelt like `id` or begin with it, the nearest first; three at most.
pub fn near(id: &str) -> Vec<&'static str> {
    let id = id.to_ascii_lowercase().replace(['_', ' '], "-");
    let likeness = |other: &str| {
        if other.starts_with(&id) { 1.0 } else { strsim::normalized_damerau_levenshtein(&id, other) }
    };
    let mut ids: Vec<_> =
        every().map(|check| (likeness(check.id), check.id)).filter(|(l, _)| *l > 0.5).collect();
    ids.sort_by(|a, b| b.0.total_cmp(&a.0));
    ids.into_iter().take(3).map(|(_, id)| id).collect()
}

/// Runs the selected checks in order and returns their findings.
pub fn run(target: &Arc<Target>, selection: &Selection, limits: Limits) -> Vec<Finding> {
    probe_all(target, &selection.checks(), &selection.skip, limits)
}

fn probe_all(
    target: &Arc<Target>,
    checks: &[&'static Check],
    skip: &[String],
    limits: Limits,
) -> Vec<Finding> {
    let end = Instant::now() + limits.run;
    let mut findings: Vec<Finding> = Vec::new();
    let mut worker = Worker::start(target);
    for check in checks {
        let before = Instant::now();
        let mut found = if skip.iter().any(|id| id == check.id) {
            vec![Finding::skipped("left out on request")]
        } else if let Some(cause) = blocker(check, &findings) {
            vec![Finding::blocked(cause, format!("not looked at: {cause} comes first"))]
        } else if let Some(reason) = unmet(check, target) {
            vec![Finding::skipped(reason)]
        } else {
            worker.probe(check, Deadline { each: limits.check + check.needs.wait, end })
        };
        if found.is_empty() {
            found.push(Finding::skipped("does not apply here"));
        }
        let elapsed_us = u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX);
        for finding in &mut found {
            (finding.id, finding.topic, finding.elapsed_us) = (check.id, check.topic, elapsed_us);
            if let Some(remedy) = finding.remedy.as_mut() {
                to_be_typed(target, check, remedy);
            }
        }
        findings.extend(found);
    }
    findings
}

/// Returns the finding that makes this check pointless.
fn blocker(check: &Check, findings: &[Finding]) -> Option<&'static str> {
    let fired = findings.iter().filter(|f| matches!(f.status, Status::Fail | Status::Warn));
    let cause = fired.filter_map(|f| all().find(|c| c.id == f.id)).find(|cause| {
        cause.id != check.id
            && cause.blocks.iter().any(|blocks| match blocks {
                Blocks::Check(id) => *id == check.id,
                Blocks::Topic(topic) => *topic == check.topic,
                Blocks::Xenstore => check.needs.xenstore,
            })
    })?;
    Some(cause.id)
}

/// Returns why a check cannot be judged here.
fn unmet(check: &Check, target: &Target) -> Option<&'static str> {
    if check.needs.live && !target.is_live() {
        return Some("needs the running guest");
    }
    if check.needs.xenstore && !target.has_store() {
        return Some("needs XenStore: name a dump with --xenstore");
    }
    if check.needs.privilege && target.is_live() && !rustix::process::geteuid().is_root() {
        return Some("needs root");
    }
    None
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    /// What a look, or a plan, may take.
    each: Duration,
    /// When the whole run is over.
    end: Instant,
}

impl Deadline {
    fn left(self) -> Duration {
        self.each.min(self.end.saturating_duration_since(Instant::now()))
    }
}

/// A thread that probes one check after the other. It is left behind when a probe hangs, and another takes its place.
struct Worker {
    target: Arc<Target>,
    order: mpsc::Sender<&'static Check>,
    /// What was found; where something of it can be mended, once more with what the fix would change.
    result: mpsc::Receiver<Result<Vec<Finding>, String>>,
}

impl Worker {
    fn start(target: &Arc<Target>) -> Self {
        let (order, orders) = mpsc::channel::<&'static Check>();
        let (done, result) = mpsc::channel();
        let worker = Self { target: Arc::clone(target), order, result };
        let target = Arc::clone(target);
        thread::spawn(move || {
            for check in orders {
                // Facts are written once and whole, so a panic leaves none half-made.
                let probed = std::panic::catch_unwind(AssertUnwindSafe(|| (check.probe)(&target)));
                let found = probed.map_err(|panic| format!("the check crashed: {}", words(&*panic)));
                let found = found.map(|found| found.unwrap_or_else(|e| vec![failed(&e)]));
                // Nobody listens any more when the deadline has passed.
                if let Ok(found) = &found
                    && check.fix.is_some()
                    && found.iter().any(is_mendable)
                {
                    let _ = done.send(Ok(found.clone()));
                }
                let _ = done.send(found.map(|found| with_fixable(check, &target, found)));
            }
        });
        worker
    }

    /// Returns what the probe found. Planning the fix has a time limit of its own: a network manager's check of its new
    /// files can take longer than the look, and what was found stands without it. What could not be planned in time is
    /// called not fixable, so that nobody plans it again who has no time limit.
    fn probe(&mut self, check: &'static Check, deadline: Deadline) -> Vec<Finding> {
        let asked = self.order.send(check).map_err(|_| "the check could not be started".to_owned());
        let found = match asked.and_then(|()| self.answer(deadline.left())) {
            Ok(found) => found,
            Err(reason) => {
                *self = Self::start(&self.target);
                return vec![Finding::unknown(reason)];
            }
        };
        if !found.iter().any(is_mendable) {
            return found;
        }
        self.answer(deadline.left()).unwrap_or_else(|_| {
            *self = Self::start(&self.target);
            without_fix(found)
        })
    }

    fn answer(&self, limit: Duration) -> Result<Vec<Finding>, String> {
        match self.result.recv_timeout(limit) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => Err(format!("no result within {} s", limit.as_secs_f32())),
            Err(RecvTimeoutError::Disconnected) => Err("the check crashed".to_owned()),
        }
    }
}

fn is_mendable(finding: &Finding) -> bool {
    finding.status >= Status::Note && finding.remedy.as_ref().is_some_and(|remedy| remedy.fixable)
}

/// Takes back that a finding can be mended where the check's fix would change nothing.
fn with_fixable(check: &Check, target: &Target, mut found: Vec<Finding>) -> Vec<Finding> {
    let changes_something = || {
        let plan = check.fix.and_then(|fix| fix(target).ok())?;
        Some(!plan.prepare(&target.root).ok()?.is_empty())
    };
    let mends = found.iter().any(is_mendable)
        && std::panic::catch_unwind(AssertUnwindSafe(changes_something)).is_ok_and(|it| it == Some(true));
    for finding in &mut found {
        let keeps = mends && is_mendable(finding);
        if let Some(remedy) = &mut finding.remedy {
            remedy.fixable = keeps;
        }
    }
    found
}

fn without_fix(mut found: Vec<Finding>) -> Vec<Finding> {
    for remedy in found.iter_mut().filter_map(|finding| finding.remedy.as_mut()) {
        remedy.fixable = false;
    }
    found
}

/// Makes a remedy's commands those for the target. What this program mends has a command also where by hand there is
/// none, or a script that nobody types on a console: the page that `explain` prints has that.
fn to_be_typed(target: &Target, check: &Check, remedy: &mut Remedy) {
    let is_script = |argv: &Vec<String>| argv.first().is_some_and(|program| program == "sh");
    if remedy.fixable && remedy.commands.iter().any(is_script) {
        remedy.commands.clear();
    }
    inside::of(target, remedy);
    if remedy.fixable && remedy.commands.is_empty() {
        let is_of_doctor = all().any(|other| other.id == check.id);
        let command: &[&str] = if is_of_doctor { &["doctor", "--fix"] } else { &["fix-image"] };
        let argv = [&["novactl"], command, &["--only", check.id]].concat();
        remedy.commands.push(argv.into_iter().map(str::to_owned).collect());
        inside::of(target, remedy);
    }
}

/// An error is `unknown`; what only root may read is `skipped` for everybody else.
fn failed(error: &anyhow::Error) -> Finding {
    if is_denied(error) && !rustix::process::geteuid().is_root() {
        return Finding::skipped(format!("needs root: {error:#}"));
    }
    Finding::unknown(format!("{error:#}"))
}

/// Whether somebody else may read it.
pub(super) fn is_denied(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::ACCESS)
            || cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    })
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Needs;
    use crate::plan::{FileChange, Plan};
    use crate::xenstore::Source;

    const PLAIN: Check = Check {
        id: "plain",
        topic: Topic::Agent,
        about: "",
        needs: Needs::FILES,
        blocks: &[],
        probe: |_| Ok(vec![Finding::ok("fine")]),
        fix: None,
        page: "",
    };

    fn findings(checks: &[&'static Check], limits: Limits) -> Vec<Finding> {
        let dir = tempfile::tempdir().unwrap();
        let target = Arc::new(Target::offline(dir.path(), Source::Auto).unwrap());
        probe_all(&target, checks, &[], limits)
    }

    fn statuses(checks: &[&'static Check]) -> Vec<Status> {
        findings(checks, Limits::default()).into_iter().map(|f| f.status).collect()
    }

    #[test]
    fn a_crash_an_error_and_a_hang_are_unknown_and_the_others_go_on() {
        const CRASH: Check = Check { probe: |_| panic!("boom"), ..PLAIN };
        const ERROR: Check = Check { probe: |_| anyhow::bail!("no luck"), ..PLAIN };
        const HANG: Check = Check {
            probe: |_| {
                thread::park();
                Ok(vec![])
            },
            ..PLAIN
        };
        assert_eq!(
            statuses(&[&CRASH, &ERROR, &HANG, &PLAIN]),
            [Status::Unknown, Status::Unknown, Status::Unknown, Status::Ok]
        );
    }

    #[test]
    fn a_fix_that_hangs_hides_no_finding_and_the_others_go_on() {
        const BROKEN: Check = Check {
            probe: |_| Ok(vec![Finding::fail("broken").mend("mend it")]),
            fix: Some(|_| {
                thread::park();
                Ok(Plan::default())
            }),
            ..PLAIN
        };
        const CRASH: Check = Check { fix: Some(|_| panic!("boom")), ..BROKEN };
        let found = findings(&[&BROKEN, &CRASH, &PLAIN], Limits::default());
        let statuses: Vec<_> = found.iter().map(|f| f.status).collect();
        assert_eq!(statuses, [Status::Fail, Status::Fail, Status::Ok]);
        assert!(!found.iter().any(is_mendable), "it would be planned again, with no time limit");
    }

    #[test]
    fn a_fix_is_planned_in_what_the_look_left_of_the_run() {
        const HALF: Duration = Duration::from_millis(150);
        const SLOW: Check = Check {
            probe: |_| {
                thread::sleep(HALF);
                Ok(vec![Finding::fail("broken").mend("mend it")])
            },
            fix: Some(|_| {
                thread::sleep(HALF);
                let files = vec![FileChange::write("etc/x", "x")];
                Ok(Plan { files, ..Plan::default() })
            }),
            ..PLAIN
        };
        let limits = |run| Limits { check: Duration::from_secs(60), run };
        assert!(findings(&[&SLOW], limits(Duration::from_secs(60))).iter().any(is_mendable));
        assert!(!findings(&[&SLOW], limits(HALF * 3 / 2)).iter().any(is_mendable));
    }

    #[test]
    fn what_is_mended_without_hands_has_a_command_to_type() {
        const BROKEN: Check = Check {
            id: "accept-ra",
            probe: |_| Ok(vec![Finding::note("open").mend("close it")]),
            fix: Some(|_| {
                let files = vec![FileChange::write("etc/x", "x")];
                Ok(Plan { files, ..Plan::default() })
            }),
            ..PLAIN
        };
        const SCRIPT: Check = Check {
            probe: |_| Ok(vec![Finding::note("open").by(&["sh", "-c", "echo x > /etc/x"])]),
            ..BROKEN
        };
        const SHORT: Check =
            Check { probe: |_| Ok(vec![Finding::note("open").by(&["rm", "/etc/x"])]), ..BROKEN };
        const OF_IMAGES: Check = Check { id: "golden-image", ..BROKEN };
        const HANDS: Check = Check { fix: None, ..BROKEN };
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display().to_string();
        let target = Arc::new(Target::offline(dir.path(), Source::Path("/x.json".into())).unwrap());
        let checks: [&'static Check; 5] = [&BROKEN, &SCRIPT, &SHORT, &OF_IMAGES, &HANDS];
        let found = probe_all(&target, &checks, &[], Limits::default());
        let typed = found.into_iter().map(|f| f.remedy.unwrap().commands.concat().join(" "));
        let doctor = format!("novactl doctor --fix --only accept-ra --root {root} --xenstore /x.json");
        assert_eq!(
            typed.collect::<Vec<_>>(),
            [
                doctor.clone(),
                doctor,
                format!("chroot {root} rm /etc/x"),
                format!("novactl fix-image --only golden-image --root {root} --xenstore /x.json"),
                String::new(),
            ]
        );
    }

    #[test]
    fn unmet_needs_are_skipped() {
        const LIVE: Check = Check { needs: Needs::LIVE, ..PLAIN };
        const STORE: Check = Check { needs: Needs::XENSTORE, ..PLAIN };
        assert_eq!(statuses(&[&LIVE, &STORE]), [Status::Skipped, Status::Skipped]);
    }

    #[test]
    fn no_finding_is_not_applicable() {
        const NOTHING: Check = Check { probe: |_| Ok(vec![]), ..PLAIN };
        assert_eq!(statuses(&[&NOTHING]), [Status::Skipped]);
    }

    #[test]
    fn an_unknown_name_is_found_with_what_is_near() {
        let selection = Selection { only: vec!["agent-instaled".to_owned()], ..Selection::default() };
        assert_eq!(selection.stranger(), Some("agent-instaled"));
        assert_eq!(near("agent-instaled").first(), Some(&"agent-installed"));
    }

    #[test]
    fn ids_are_unique_and_kebab_case() {
        let mut ids: Vec<_> = every().map(|c| c.id).collect();
        assert!(
            ids.iter()
                .all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'))
        );
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn what_is_blocked_comes_later() {
        let ids: Vec<_> = all().map(|c| c.id).collect();
        for (place, check) in all().enumerate() {
            for blocks in check.blocks {
                if let Blocks::Check(id) = blocks {
                    assert!(ids.iter().position(|i| i == id) > Some(place), "{} blocks {id}", check.id);
                }
            }
        }
    }
}
