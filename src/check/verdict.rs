//! What follows from findings as a whole: the counts, the verdict, the exit code.

use std::fmt;

use serde::Serialize;

use super::{Finding, Status};
use crate::report::{Exit, nagios};

/// The judgement of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing wrong was found.
    Healthy,
    /// There are warnings.
    Degraded,
    /// There are problems.
    Broken,
    /// Nothing could be judged.
    Unknown,
}

/// Whether warnings count as problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Problems alone make the exit code 1.
    Problems,
    /// Warnings do as well.
    Warnings,
}

/// How many findings there are of each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Facts that hold.
    pub ok: usize,
    /// Worth knowing.
    pub note: usize,
    /// Warnings.
    pub warn: usize,
    /// Problems.
    pub fail: usize,
    /// Not applicable or not to be looked at.
    pub skipped: usize,
    /// Checks that failed themselves.
    pub unknown: usize,
    /// Would only repeat another finding.
    pub blocked: usize,
    /// All of them.
    pub total: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = [
            (self.ok, "ok"),
            (self.skipped, "not applicable"),
            (self.blocked, "blocked"),
            (self.note, if self.note == 1 { "note" } else { "notes" }),
        ];
        let rest = rest.into_iter().filter(|(count, _)| *count > 0);
        let rest: Vec<_> = rest.map(|(count, word)| format!("{count} {word}")).collect();
        write!(f, "{}", self.problems())?;
        if rest.is_empty() {
            return Ok(());
        }
        let checks = if self.total == 1 { "check" } else { "checks" };
        write!(f, " ({} {checks}: {})", self.total, rest.join(", "))
    }
}

impl Summary {
    /// Returns what has to be done something about, in words: `2 problems, 1 warning`.
    pub fn problems(self) -> String {
        let count = |number: usize, word: &str| {
            let plural = if number == 1 { "" } else { "s" };
            (number > 0).then(|| format!("{number} {word}{plural}"))
        };
        let unknown = (self.unknown > 0).then(|| format!("{} could not be judged", self.unknown));
        let parts = [count(self.fail, "problem"), count(self.warn, "warning"), unknown];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "no problems".to_owned() } else { parts.join(", ") }
    }

    /// Counts findings.
    pub fn of(findings: &[Finding]) -> Self {
        let count = |status| findings.iter().filter(|f| f.status == status).count();
        Self {
            ok: count(Status::Ok),
            note: count(Status::Note),
            warn: count(Status::Warn),
            fail: count(Status::Fail),
            skipped: count(Status::Skipped),
            unknown: count(Status::Unknown),
            blocked: count(Status::Blocked),
            total: findings.len(),
        }
    }

    /// Returns the judgement.
    pub fn verdict(self) -> Verdict {
        match self {
            Self { fail: 1.., .. } => Verdict::Broken,
            Self { warn: 1.., .. } => Verdict::Degraded,
            Self { ok: 0, note: 0, .. } => Verdict::Unknown,
            _ => Verdict::Healthy,
        }
    }

    /// Returns the exit code.
    pub fn exit(self, strictness: Strictness) -> Exit {
        match (self.verdict(), strictness) {
            (Verdict::Broken, _) | (Verdict::Degraded, Strictness::Warnings) => Exit::Problems,
            (Verdict::Unknown, _) => Exit::CannotJudge,
            (Verdict::Degraded | Verdict::Healthy, _) => Exit::Ok,
        }
    }

    /// Returns the monitoring state: there, a check that could not be made is not fine.
    pub fn state(self, strictness: Strictness) -> nagios::State {
        match (self.verdict(), strictness) {
            (Verdict::Broken, _) | (Verdict::Degraded, Strictness::Warnings) => nagios::State::Critical,
            (Verdict::Degraded, _) => nagios::State::Warning,
            (Verdict::Unknown, _) => nagios::State::Unknown,
            (Verdict::Healthy, _) if self.unknown > 0 => nagios::State::Unknown,
            (Verdict::Healthy, _) => nagios::State::Ok,
        }
    }

    /// Returns the counts as performance data.
    pub fn perfdata(self) -> Vec<(&'static str, u64)> {
        let counts = [
            ("fail", self.fail),
            ("warn", self.warn),
            ("unknown", self.unknown),
            ("note", self.note),
            ("ok", self.ok),
            ("skipped", self.skipped),
            ("blocked", self.blocked),
            ("total", self.total),
        ];
        counts.into_iter().map(|(label, count)| (label, count as u64)).collect()
    }
}

impl Verdict {
    /// Returns the word that begins the report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Degraded => "DEGRADED",
            Self::Broken => "BROKEN",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Returns the status whose colour it has.
    pub fn status(self) -> Status {
        match self {
            Self::Healthy => Status::Ok,
            Self::Degraded => Status::Warn,
            Self::Broken => Status::Fail,
            Self::Unknown => Status::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_and_exit_follow_the_worst_finding() {
        let judged = |statuses: &[Status]| {
            let findings: Vec<_> = statuses.iter().map(|s| Finding::new(*s, "")).collect();
            let summary = Summary::of(&findings);
            (summary.verdict(), summary.exit(Strictness::Problems), summary.exit(Strictness::Warnings))
        };
        use Status as S;
        assert_eq!(judged(&[S::Ok, S::Fail, S::Warn]), (Verdict::Broken, Exit::Problems, Exit::Problems));
        assert_eq!(judged(&[S::Ok, S::Warn]), (Verdict::Degraded, Exit::Ok, Exit::Problems));
        assert_eq!(judged(&[S::Note, S::Unknown]), (Verdict::Healthy, Exit::Ok, Exit::Ok));
        assert_eq!(
            judged(&[S::Skipped, S::Unknown]),
            (Verdict::Unknown, Exit::CannotJudge, Exit::CannotJudge)
        );
        assert_eq!(judged(&[]), (Verdict::Unknown, Exit::CannotJudge, Exit::CannotJudge));
    }

    #[test]
    fn counts_add_up() {
        let all = [
            Status::Ok,
            Status::Note,
            Status::Warn,
            Status::Fail,
            Status::Skipped,
            Status::Unknown,
            Status::Blocked,
        ];
        let s = Summary::of(&all.map(|status| Finding::new(status, "")));
        assert_eq!(s.ok + s.note + s.warn + s.fail + s.skipped + s.unknown + s.blocked, s.total);
        assert_eq!(s.total, 7);
    }
}
