//! Checks of the topic agent.

use std::time::Duration;

use super::{Blocks, Check, Finding, Needs, Topic};
use crate::target::Target;

/// How long `agent-answers` waits for the running agent: nova's own limit is 30 s, the old agent polls every 10 s.
#[expect(dead_code, reason = "comes with agent-answers")]
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// The checks of this topic, cause before symptom.
pub(super) const CHECKS: &[Check] = &[Check {
    id: "agent-installed",
    topic: Topic::Agent,
    about: "an agent is installed",
    needs: Needs::FILES,
    blocks: &[Blocks::Topic(Topic::Agent)],
    probe: agent_installed,
    page: include_str!("pages/agent-installed.md"),
}];

fn agent_installed(target: &Target) -> anyhow::Result<Vec<Finding>> {
    let Some(agent) = target.agents().all.first() else {
        return Ok(vec![
            Finding::fail("no nova-agent is installed")
                .because("the host cannot set passwords or addresses")
                .seen("usr/bin/nova-agent", "no such file")
                .mend("install the agent"),
        ]);
    };
    let version = agent.version.as_deref().unwrap_or("of unknown version");
    Ok(vec![Finding::ok(format!("nova-agent {version}")).seen(&agent.program, "installed")])
}
