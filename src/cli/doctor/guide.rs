//! `doctor --guide`: the documented tree as questions, each with what was found as the answer to begin with. It ends in
//! fixes that are made on the spot or in the printed route.
//!
//! One question at a time, so that each fits a serial console of 24 lines. Nothing is open while a question stands:
//! whoever leaves at one, by a key, a signal or a closed terminal, leaves the system as it is. A fix is `doctor --fix`
//! with one check. To add a question: a line in [`STAGES`].

use std::process::ExitCode;
use std::sync::Arc;

use super::Doctor;
use super::fix::{self, Told};
use crate::check::{self, Check, Finding, Limits, Selection, Status, Strictness, Topic};
use crate::cli::Global;
use crate::cli::change::{self, Consent};
use crate::cli::diagnosis::{self, Diagnosis};
use crate::cli::mending;
use crate::cli::trouble;
use crate::report::{Exit, Format, Report};
use crate::route;
use crate::target::Target;
use crate::ui::{self, Ui};

/// A question of the tree and the topics whose checks answer it, in the order in which the documentation repairs.
const STAGES: [(&str, &[Topic]); 6] = [
    ("Do the XenServer Tools run, before the agent?", &[Topic::Xen, Topic::Xentools]),
    ("Is the agent installed, enabled and at work?", &[Topic::Agent]),
    ("Are there interfaces that upset the agent?", &[Topic::Interfaces]),
    ("Is the network as the host says?", &[Topic::Network, Topic::Names]),
    ("Can somebody log in?", &[Topic::Access]),
    ("Would an image of this server be a good one?", &[Topic::CloudInit, Topic::Image, Topic::Registration]),
];

/// Which recovery is possible, as the documentation asks; the number of the route.
const SOURCES: [(&str, u8); 4] = [
    ("this is the server to repair, and I am logged in", 1),
    ("it was built from an image whose source server is still there", 1),
    ("the source server is gone, I know the root password", 2),
    ("the source server is gone, nobody knows the password", 3),
];

/// What can be done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Mend,
    GoOn,
    Explain,
    Stop,
}

impl Choice {
    fn words(self) -> &'static str {
        match self {
            Self::Mend => "mend it: shows the change and asks first",
            Self::GoOn => "go on: it is left, or mended by hand",
            Self::Explain => "explain it",
            Self::Stop => "stop here",
        }
    }
}

/// Asks from question to question.
///
/// # Errors
/// There is no terminal to ask on, or it is gone.
pub(super) fn run(doctor: &Doctor, global: &Global) -> anyhow::Result<ExitCode> {
    if global.format != Format::Table {
        return Err(trouble::no_questions_in(global.format));
    }
    if !ui::is_terminal() {
        return Err(trouble::no_terminal());
    }
    let mut guide =
        Guide { global, selection: doctor.selection()?, screen: Ui::stderr(global.color), has_mended: false };
    let (target, mut findings) = guide.look()?;
    let first = Diagnosis::new(&target, findings);
    first.headline(&mut guide.screen)?;
    let Some(number) = guide.ask_for_the_source(&target, &first)? else { return Ok(Exit::Declined.into()) };
    findings = first.findings;

    let mut asked: Vec<&'static str> = Vec::new();
    'stages: for (question, topics) in STAGES {
        guide.answer(question, topics, &findings)?;
        loop {
            let is_open = |f: &&Finding| topics.contains(&f.topic) && diagnosis::matters(f);
            let Some(id) = findings.iter().filter(is_open).map(|f| f.id).find(|id| !asked.contains(id))
            else {
                break;
            };
            match guide.ask_about(id, &findings)? {
                Choice::Stop => break 'stages,
                Choice::Mend => {
                    guide.mend(id)?;
                    asked.push(id);
                    // a cause that is gone can free what it blocked
                    findings = guide.look()?.1;
                }
                Choice::GoOn | Choice::Explain => asked.push(id),
            }
        }
    }
    guide.end(findings, number)
}

struct Guide<'g> {
    global: &'g Global,
    selection: Selection,
    screen: Ui,
    /// Whether something was changed.
    has_mended: bool,
}

impl Guide<'_> {
    /// Looks at the target anew: what was known before a fix is not true after it.
    fn look(&self) -> anyhow::Result<(Arc<Target>, Vec<Finding>)> {
        let target = Arc::new(self.global.target()?);
        let findings = check::run(&target, &self.selection, Limits::default());
        Ok((target, findings))
    }

    /// Asks which recovery is possible and returns the number of its route; `None` to stop.
    fn ask_for_the_source(&mut self, target: &Target, found: &Diagnosis) -> anyhow::Result<Option<u8>> {
        self.screen.line("")?;
        let default = match &found.route {
            _ if !target.is_live() => 3,
            Some(route) if route.number == 3 => 3,
            Some(route) if route.number == 2 => 2,
            _ => 0,
        };
        let items: Vec<_> = SOURCES.iter().map(|(words, _)| *words).collect();
        let chosen = ui::choose("Which server", &items, default)?;
        if chosen == Some(1) {
            self.screen.line("")?;
            let text = "that server is the one to repair: novactl doctor --guide on it, then a new image of it; what is \
                        mended here helps this server alone";
            self.screen.paragraph("", 0, text)?;
        }
        Ok(chosen.map(|place| SOURCES[place].1))
    }

    /// Prints a question with the answer that was found, when nothing has to be done.
    fn answer(&mut self, question: &str, topics: &[Topic], findings: &[Finding]) -> anyhow::Result<()> {
        let of_stage: Vec<_> = findings.iter().filter(|f| topics.contains(&f.topic)).collect();
        let made = |f: &&&Finding| !matches!(f.status, Status::Skipped | Status::Blocked);
        let open = of_stage.iter().filter(|f| diagnosis::matters(f)).count();
        let (status, answer) = match (open, of_stage.iter().filter(made).count()) {
            (0, 0) => (Status::Skipped, "not looked at".to_owned()),
            (0, count) => (Status::Ok, format!("in order ({count} checks)")),
            (open, _) => (Status::Warn, format!("{open} found")),
        };
        self.screen.line("")?;
        self.screen.headed(status, &format!("{question}  "), &answer)?;
        Ok(())
    }

    /// Shows what a check found and asks what to do.
    fn ask_about(&mut self, id: &'static str, findings: &[Finding]) -> anyhow::Result<Choice> {
        let of_check: Vec<_> =
            findings.iter().filter(|f| f.id == id && diagnosis::matters(f)).cloned().collect();
        // what mends it is the first answer to the question below
        let of_check = mending::without_itself(of_check);
        if let Some(finding) = of_check.first() {
            diagnosis::write_finding(&mut self.screen, finding)?;
        }
        let others: Vec<_> =
            of_check.iter().skip(1).map(|f| f.subject.as_deref().unwrap_or(&f.title)).collect();
        if !others.is_empty() {
            self.screen.paragraph("  also: ", 8, &others.join(", "))?;
        }
        let check = check::all().find(|check| check.id == id);
        let mut choices = vec![Choice::GoOn, Choice::Explain, Choice::Stop];
        if check.is_some_and(|check| check.fix.is_some()) {
            choices.insert(0, Choice::Mend);
        }
        loop {
            self.screen.line("")?;
            let items: Vec<_> = choices.iter().map(|choice| choice.words()).collect();
            let chosen = ui::choose("What now", &items, 0)?.map_or(Choice::Stop, |place| choices[place]);
            match (chosen, check) {
                (Choice::Explain, Some(check)) => self.explain(check)?,
                _ => return Ok(chosen),
            }
        }
    }

    fn explain(&mut self, check: &Check) -> anyhow::Result<()> {
        self.screen.line("")?;
        check.page.lines().try_for_each(|line| self.screen.line(line))?;
        Ok(())
    }

    /// Makes the fix of one check, for what it finds once an interrupted change is taken back.
    fn mend(&mut self, id: &str) -> anyhow::Result<()> {
        let target = Arc::new(self.global.target()?);
        let consent = Consent { dry_run: false, yes: false };
        self.screen.line("")?;
        let journal = change::begin(self.global, &target, &consent)?;
        let same = Selection { only: vec![id.to_owned()], ..Selection::default() };
        let found = check::run(&target, &same, Limits::default());
        let report = fix::mend(self.global, &target, &consent, journal, &[], found, Told::Already)?;
        report.human(&mut self.screen)?;
        self.has_mended |= report.exit() == Exit::Ok;
        match report.exit() {
            Exit::Interrupted => Err(ui::Interrupted.into()),
            _ => Ok(()),
        }
    }

    /// Says how it stands now, and the route that was chosen while something is left.
    fn end(&mut self, findings: Vec<Finding>, number: u8) -> anyhow::Result<ExitCode> {
        let target = self.global.target()?;
        let now = Diagnosis::new(&target, findings);
        self.screen.line("")?;
        now.headline(&mut self.screen)?;
        let exit = now.summary.exit(Strictness::Problems);
        if exit == Exit::Ok {
            // nothing was wrong with a running server: nothing is left to do
            let next = if self.has_mended || number > 1 {
                route::rest(&target, &now.findings, number)
            } else {
                Vec::new()
            };
            diagnosis::write_next(&mut self.screen, &next)?;
        } else {
            diagnosis::write_route(&mut self.screen, &route::numbered(&target, &now.findings, number))?;
        }
        self.screen.flush()?;
        Ok(exit.into())
    }
}
