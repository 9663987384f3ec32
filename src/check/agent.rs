//! Checks of the topic agent: the table and what its files share.
//!
//! One file per theme below `agent/`; each keeps looking (the probe) apart from judging (a function of facts alone).
//! They look at the first agent, which is the one that starts at boot; that there are two is a finding of its own.

mod answers;
mod causes;
mod fix;
mod install;
mod last_boot;
mod libraries;
mod log;
mod process;
mod python;
mod remedy;
mod repository;
mod rotate;
mod startable;
mod timing;
mod unit;
mod version;

use std::time::Duration;

pub(super) use fix::replace;
pub(crate) use fix::replaces_the_agent;

use super::{Blocks, Check, Finding, Needs, Topic};
use crate::facts::agents::Agent;
use crate::target::Target;

/// How long `agent-answers` waits for the running agent: nova's own limit is 30 s, the old agent polls every 10 s.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A check of files, without what it blocks.
const FILES: Check = Check::of_files(Topic::Agent);

/// The checks of this topic, cause before symptom.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "agent-installed",
        about: "an agent is installed",
        blocks: &[Blocks::Topic(Topic::Agent)],
        probe: install::installed,
        fix: Some(fix::replace),
        page: include_str!("pages/agent-installed.md"),
        ..FILES
    },
    Check {
        id: "agent-single",
        about: "one agent only is started",
        probe: install::single,
        fix: Some(fix::single),
        page: include_str!("pages/agent-single.md"),
        ..FILES
    },
    Check {
        id: "agent-enabled",
        about: "the agent starts at boot",
        probe: install::enabled,
        fix: Some(fix::enable),
        page: include_str!("pages/agent-enabled.md"),
        ..FILES
    },
    Check {
        id: "agent-running",
        about: "the agent runs",
        needs: Needs::LIVE,
        blocks: &[Blocks::Check("agent-answers"), Blocks::Check("agent-fresh-process")],
        probe: process::running,
        fix: Some(fix::start),
        page: include_str!("pages/agent-running.md"),
        ..FILES
    },
    Check {
        id: "agent-answers",
        about: "the running agent answers the host",
        needs: Needs { privilege: true, wait: ANSWER_LIMIT, ..Needs::LIVE_XENSTORE },
        probe: answers::answers,
        page: include_str!("pages/agent-answers.md"),
        ..FILES
    },
    Check {
        id: "agent-supports-distro",
        about: "the agent knows this distribution",
        probe: version::supports_distro,
        fix: Some(fix::replace),
        page: include_str!("pages/agent-supports-distro.md"),
        ..FILES
    },
    Check {
        id: "agent-interpreter",
        about: "the Python that runs the agent has what it needs",
        probe: python::interpreter,
        fix: Some(fix::interpreter),
        page: include_str!("pages/agent-interpreter.md"),
        ..FILES
    },
    Check {
        id: "agent-libraries",
        about: "the old agent's libraries are there",
        probe: libraries::libraries,
        fix: Some(fix::replace),
        page: include_str!("pages/agent-libraries.md"),
        ..FILES
    },
    Check {
        id: "agent-unit-native",
        about: "systemd knows the agent's service",
        probe: unit::native,
        fix: Some(fix::native),
        page: include_str!("pages/agent-unit-native.md"),
        ..FILES
    },
    Check {
        id: "agent-restarts",
        about: "the agent is started again after a crash",
        probe: unit::restarts,
        fix: Some(fix::restarts),
        page: include_str!("pages/agent-restarts.md"),
        ..FILES
    },
    Check {
        id: "agent-boot-timing",
        about: "the agent starts neither too early nor for ever",
        probe: timing::boot_timing,
        fix: Some(fix::boot_timing),
        page: include_str!("pages/agent-boot-timing.md"),
        ..FILES
    },
    Check {
        id: "agent-fresh-process",
        about: "the running agent is the installed one",
        needs: Needs::LIVE,
        probe: process::fresh,
        fix: Some(fix::start_anew),
        page: include_str!("pages/agent-fresh-process.md"),
        ..FILES
    },
    Check {
        id: "agent-version",
        about: "the agent's version works on this system",
        probe: version::version,
        fix: Some(fix::unfit),
        page: include_str!("pages/agent-version.md"),
        ..FILES
    },
    Check {
        id: "agent-log",
        about: "the agent's log shows no failure",
        probe: log::log,
        page: include_str!("pages/agent-log.md"),
        ..FILES
    },
    Check {
        id: "agent-log-size",
        about: "the agent's log has room",
        probe: log::size,
        fix: Some(rotate::fix),
        page: include_str!("pages/agent-log-size.md"),
        ..FILES
    },
    Check {
        id: "agent-repository",
        about: "no dead package source of the agent",
        probe: repository::repository,
        fix: Some(repository::fix),
        page: include_str!("pages/agent-repository.md"),
        ..FILES
    },
];

/// Judges the first agent; nothing where there is none, which `agent-installed` says.
fn of_agent(
    target: &Target,
    judge: impl FnOnce(&Agent) -> anyhow::Result<Vec<Finding>>,
) -> anyhow::Result<Vec<Finding>> {
    target.agents().all.first().map_or(Ok(Vec::new()), judge)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::check::Status;
    use crate::xenstore::Source;
    use std::path::Path;

    /// Returns the mounted root that a test made.
    pub(super) fn offline(dir: &Path) -> Target {
        Target::offline(dir, Source::None).unwrap()
    }

    /// Returns status and title of each finding.
    pub(super) fn verdicts(findings: &[Finding]) -> Vec<(Status, &str)> {
        findings.iter().map(|f| (f.status, f.title.as_str())).collect()
    }

    #[test]
    fn a_root_without_an_agent_is_left_to_one_check() {
        let dir = tempfile::tempdir().unwrap();
        let target = offline(dir.path());
        let of_an_agent = CHECKS.iter().filter(|check| !check.needs.live && check.id != "agent-repository");
        for check in of_an_agent {
            let findings = (check.probe)(&target).unwrap();
            let fails = findings.iter().any(|f| f.status == Status::Fail);
            assert_eq!(fails, check.id == "agent-installed", "{}: {findings:?}", check.id);
        }
    }
}
