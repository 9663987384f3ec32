//! What a command has to say, for people and for programs, and the exit code that follows from it.
//!
//! To add a format: a variant of [`Format`], and a file in `report/` that turns a [`Diagnosed`] into text.

pub mod failure;
pub mod junit;
pub mod markdown;
pub mod nagios;
pub mod prometheus;

use std::io;

use serde::Serialize;

use crate::check::{Finding, Strictness, Summary, Verdict};
use crate::route::Route;
use crate::ui::Ui;

/// The result of a command.
pub trait Report: Serialize {
    /// Writes it for people.
    ///
    /// # Errors
    /// The screen cannot be written.
    fn human(&self, ui: &mut Ui) -> io::Result<()>;
    /// Writes what `--quiet` leaves of it: what was asked for, and what went wrong.
    ///
    /// # Errors
    /// The screen cannot be written.
    fn brief(&self, ui: &mut Ui) -> io::Result<()> {
        self.human(ui)
    }
    /// Returns it as a monitoring plugin's line.
    fn nagios(&self) -> nagios::Line;
    /// Returns the exit code that follows from it.
    fn exit(&self) -> Exit;
    /// Returns what the formats of a diagnosis are made of; `None` where it is none.
    fn diagnosed(&self) -> Option<Diagnosed<'_>> {
        None
    }
}

/// A diagnosis, as the formats for other programs and for tickets see it. Its texts are untrusted.
#[derive(Debug, Clone)]
pub struct Diagnosed<'a> {
    /// The command that made it.
    pub command: &'static str,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The name of the system that was examined.
    pub hostname: Option<&'a str>,
    /// What identifies it: names in snake case, and values.
    pub facts: Vec<(&'static str, String)>,
    /// The judgement.
    pub verdict: Verdict,
    /// The counts.
    pub summary: Summary,
    /// Whether a warning counts as a problem.
    pub strictness: Strictness,
    /// Every check's findings, cause before symptom.
    pub findings: &'a [Finding],
    /// The recovery route that applies.
    pub route: Option<&'a Route>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One line of a monitoring plugin, with that world's exit codes
    Nagios,
    /// Metrics for node_exporter's textfile collector
    Prometheus,
    /// JUnit's XML: a test case for each finding
    Junit,
    /// A ticket's text
    Markdown,
}

impl Format {
    /// Whether it can hold nothing but a diagnosis.
    pub fn is_of_diagnosis(self) -> bool {
        matches!(self, Self::Prometheus | Self::Junit | Self::Markdown)
    }

    /// Returns the word that `--format` takes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Nagios => "nagios",
            Self::Prometheus => "prometheus",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
        }
    }
}

/// The exit codes: a public interface, frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Healthy; or the change was made and verified; or there was nothing to change.
    Ok = 0,
    /// Problems were found (with `--strict`: or warnings); or `--dry-run` shows pending changes.
    Problems = 1,
    /// Usage error.
    Usage = 2,
    /// Could not be done or could not be judged.
    CannotJudge = 3,
    /// A change failed, or did not verify; all of it was taken back.
    ChangeFailed = 4,
    /// A change failed and could not be taken back whole.
    Stuck = 5,
    /// Declined at the prompt, or a prompt was needed and nobody was there.
    Declined = 6,
    /// Interrupted; what had been changed was taken back.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::check::Topic;

    /// Two findings of one check, a warning and a note.
    pub(crate) fn findings() -> Vec<Finding> {
        let of = |id, finding: Finding| Finding { elapsed_us: 10, ..finding.of(id, Topic::Agent) };
        let fail = Finding::fail("ignored <link>")
            .because("nothing starts")
            .seen("etc/init.d/nova-agent", "link to ```")
            .about("usr/sbin/nova-agent")
            .mend("copy it")
            .by(&["cp", "a b", "c"]);
        vec![
            of("agent-unit-native", fail),
            of("agent-unit-native", Finding::ok("seen").about("other")),
            of("agent-log", Finding::warn("trouble")),
            of("agent-version", Finding::note("old")),
        ]
    }

    /// A diagnosis with those findings.
    pub(crate) fn diagnosed(facts: &[(&'static str, String)]) -> Diagnosed<'static> {
        let findings: &'static [Finding] = findings().leak();
        let summary = Summary::of(findings);
        Diagnosed {
            command: "doctor",
            at: 1_700_000_000,
            hostname: Some("web01"),
            facts: facts.to_vec(),
            verdict: summary.verdict(),
            summary,
            strictness: Strictness::Problems,
            findings,
            route: None,
        }
    }
}
