//! The document that `doctor` and `check-xentools` share: target, verdict, counts, findings, route.

use std::io;

use serde::Serialize;

use crate::check::{Finding, Status, Strictness, Summary, Verdict};
use crate::disk;
use crate::facts::agents::Kind;
use crate::facts::identity;
use crate::facts::os::Family;
use crate::report::{Diagnosed, nagios};
use crate::route::{self, Route, Step};
use crate::target::Target;
use crate::ui::Ui;

/// A diagnosis, as its JSON shows it (`schemas/doctor.json`).
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    schema: &'static str,
    novactl: &'static str,
    /// What was examined.
    pub(super) target: TargetFacts,
    /// The judgement.
    pub(super) verdict: Verdict,
    /// The counts.
    pub(super) summary: Summary,
    /// Every check's findings, cause before symptom.
    pub(super) findings: Vec<Finding>,
    /// The recovery route that applies.
    pub(super) route: Option<Route>,
}

/// What was examined.
#[derive(Debug, Serialize)]
pub(super) struct TargetFacts {
    mode: &'static str,
    path: String,
    hostname: Option<String>,
    os: OsFacts,
    rescue: bool,
    agent: AgentFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<disk::Facts>,
}

#[derive(Debug, Serialize)]
struct OsFacts {
    id: String,
    version: String,
    name: String,
    family: Family,
}

#[derive(Debug, Serialize)]
struct AgentFacts {
    #[serde(serialize_with = "or_none")]
    kind: Option<Kind>,
    version: Option<String>,
}

/// No agent is a kind of its own.
fn or_none<S: serde::Serializer>(kind: &Option<Kind>, serializer: S) -> Result<S::Ok, S::Error> {
    match kind {
        Some(kind) => kind.serialize(serializer),
        None => serializer.serialize_str("none"),
    }
}

impl TargetFacts {
    /// Collects what identifies a target.
    pub(super) fn of(target: &Target) -> Self {
        let hostname = identity::hostname(&target.root);
        let os = target.os();
        let agent = target.agents().all.first();
        Self {
            mode: match target.disk() {
                Some(_) => "disk",
                None if target.is_live() => "live",
                None => "root",
            },
            path: match target.disk() {
                Some(disk) => disk.facts().path.clone(),
                None => target.root.path().display().to_string(),
            },
            rescue: identity::is_rescue(&target.root, target.is_live(), hostname.as_deref()),
            hostname,
            os: OsFacts {
                id: os.id.clone(),
                version: os.version.clone(),
                name: os.name.clone(),
                family: os.family,
            },
            agent: AgentFacts {
                kind: agent.map(|agent| agent.kind),
                version: agent.and_then(|agent| agent.version.clone()),
            },
            disk: target.disk().map(|disk| disk.facts().clone()),
        }
    }

    /// Whether it is the running system.
    pub(super) fn is_live(&self) -> bool {
        self.mode == "live"
    }

    /// Returns the option that names this target, with a blank behind it; nothing for the running system.
    pub(super) fn root_option(&self) -> String {
        match self.mode {
            "live" => String::new(),
            mode => format!("--{mode} {} ", self.path),
        }
    }

    /// Names it for a question: where, which host.
    pub(super) fn named(&self) -> String {
        let host = self.hostname.as_deref().unwrap_or("no host name");
        match self.mode {
            "live" => format!("on this running system ({host})"),
            _ => format!("in {} ({host})", self.path),
        }
    }

    /// Returns them as names and values.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let agent = self.agent.kind.map_or("none", Kind::word);
        vec![
            ("mode", self.mode.to_owned()),
            ("os", self.os.id.clone()),
            ("os_version", self.os.version.clone()),
            ("agent", agent.to_owned()),
            ("agent_version", self.agent.version.clone().unwrap_or_default()),
        ]
    }

    fn words(&self) -> String {
        let system = self.disk.as_ref().and_then(disk::Facts::system);
        let volume = system.map_or(String::new(), |volume| format!(" {}", volume.name));
        let place = if self.is_live() { "live".to_owned() } else { format!("{}{volume}", self.path) };
        let rescue = if self.rescue { "  rescue mode" } else { "" };
        format!("{}  {}  {place}{rescue}", self.hostname.as_deref().unwrap_or("no host name"), self.os.name)
    }
}

impl Diagnosis {
    /// Judges findings about a target.
    pub(super) fn new(target: &Target, findings: Vec<Finding>) -> Self {
        let facts = TargetFacts::of(target);
        let summary = Summary::of(&findings);
        Self {
            schema: "novactl.doctor/1",
            novactl: env!("CARGO_PKG_VERSION"),
            verdict: summary.verdict(),
            summary,
            route: route::choose(target, &findings, facts.rescue),
            target: facts,
            findings,
        }
    }

    /// Writes the verdict and what was examined.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub(super) fn headline(&self, ui: &mut Ui) -> io::Result<()> {
        let word = format!("{}  ", self.verdict.word());
        ui.headed(self.verdict.status(), &word, &self.summary.to_string())?;
        ui.paragraph("", 0, &self.target.words())
    }

    /// Returns it for the formats of other programs.
    pub(super) fn diagnosed(&self, command: &'static str, strictness: Strictness) -> Diagnosed<'_> {
        Diagnosed {
            command,
            at: super::change::now(),
            hostname: self.target.hostname.as_deref(),
            facts: self.target.facts(),
            verdict: self.verdict,
            summary: self.summary,
            strictness,
            findings: &self.findings,
            route: self.route.as_ref(),
        }
    }

    /// Returns the monitoring plugin's line: the counts and the first finding of the worst kind.
    pub(super) fn nagios(&self, service: &'static str, strictness: Strictness) -> nagios::Line {
        let worst = self.findings.iter().filter(|f| matters(f)).max_by(|a, b| {
            // of equals the first: it is the cause
            a.status.cmp(&b.status).then(std::cmp::Ordering::Greater)
        });
        let first = worst.map_or(String::new(), |f| format!(": {} {}", f.id, f.title));
        nagios::Line {
            service,
            state: self.summary.state(strictness),
            text: format!("{}{first}", self.summary.problems()),
            perfdata: self.summary.perfdata(),
        }
    }
}

/// Whether somebody has to do something about it.
pub(super) fn matters(finding: &Finding) -> bool {
    matches!(finding.status, Status::Fail | Status::Warn | Status::Unknown)
}

/// Writes one finding: its status and id, the fact, what follows, the evidence, the remedy.
///
/// # Errors
/// The screen cannot be written.
pub(super) fn write_finding(ui: &mut Ui, finding: &Finding) -> io::Result<()> {
    write_fact(ui, finding)?;
    if let Some(why) = &finding.why {
        ui.paragraph("  ", 2, why)?;
    }
    for evidence in finding.evidence.iter().take(2) {
        ui.paragraph("  > ", 4, &format!("{}: {}", evidence.source, evidence.text))?;
    }
    if finding.evidence.len() > 2 {
        ui.line(&format!("  > and {} more (--format json)", finding.evidence.len() - 2))?;
    }
    let Some(remedy) = &finding.remedy else { return Ok(()) };
    match remedy.commands.as_slice() {
        [] => ui.paragraph("  fix: ", 7, &remedy.text),
        commands => {
            if !remedy.text.is_empty() {
                ui.paragraph("  fix: ", 7, &remedy.text)?;
            }
            commands.iter().try_for_each(|command| ui.command("  ", command))
        }
    }
}

/// Writes the first lines of a finding: its status and id, the fact.
///
/// # Errors
/// The screen cannot be written.
pub(super) fn write_fact(ui: &mut Ui, finding: &Finding) -> io::Result<()> {
    let word = finding.status.word().to_uppercase();
    let subject = finding.subject.as_deref().map_or(String::new(), |subject| format!("  {subject}"));
    ui.line("")?;
    ui.headed(finding.status, &format!("{word:<8}"), &format!("{}{subject}", finding.id))?;
    ui.paragraph("  ", 2, &finding.title)
}

/// Writes a route.
///
/// # Errors
/// The screen cannot be written.
pub(super) fn write_route(ui: &mut Ui, route: &Route) -> io::Result<()> {
    ui.line("")?;
    ui.paragraph("", 2, &format!("Recovery route {}: {}", route.number, route.title))?;
    write_steps(ui, &route.steps)
}

/// Writes what is to be done now, where there is something.
///
/// # Errors
/// The screen cannot be written.
pub(super) fn write_next(ui: &mut Ui, steps: &[Step]) -> io::Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    ui.line("")?;
    ui.line("What is next:")?;
    write_steps(ui, steps)
}

fn write_steps(ui: &mut Ui, steps: &[Step]) -> io::Result<()> {
    for (number, step) in steps.iter().enumerate() {
        ui.paragraph(&format!("  {}. ", number + 1), 5, &step.text)?;
        step.commands.iter().try_for_each(|command| ui.command("     ", command))?;
    }
    Ok(())
}

/// Writes which checks were not made, by reason.
///
/// # Errors
/// The screen cannot be written.
pub(super) fn write_left_out(ui: &mut Ui, findings: &[Finding]) -> io::Result<()> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings.iter().filter(|f| f.status == Status::Skipped) {
        // what does not apply was judged; what could not be looked at was not
        let reason = match finding.title.as_str() {
            title if title.starts_with("needs root") => "needs root",
            title if title.starts_with("needs") || title.starts_with("left out") => title,
            _ => continue,
        };
        match reasons.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, ids)) => ids.push(finding.id),
            None => reasons.push((reason, vec![finding.id])),
        }
    }
    if !reasons.is_empty() {
        ui.line("")?;
    }
    for (reason, ids) in reasons {
        ui.paragraph("", 2, &format!("not looked at ({reason}): {}", ids.join(", ")))?;
    }
    Ok(())
}
