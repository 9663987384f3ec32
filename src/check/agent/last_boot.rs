//! How the agent's service fared at the last boot of a mounted disk, as the system's log tells: 2.x writes no traceback
//! into its own, and one that dies before its first line writes nothing there.
//!
//! What was changed since then was not tried yet, and is no fault.

use anyhow::Result;

use crate::check::Evidence;
use crate::facts::agents::Agent;
use crate::facts::boot_log::{self, Names, Said, telling};
use crate::facts::init::Service;
use crate::root::Root;
use crate::target::Target;

/// The most lines that are quoted.
const QUOTES: usize = 3;

/// What was said of the service, from the last boot on.
#[derive(Debug, Default)]
pub(super) struct LastBoot {
    said: Vec<Said>,
    /// When the unit or the agent was changed last, in seconds since 1970.
    changed: u64,
}

impl LastBoot {
    /// Reads it; nothing is said of a running guest, nor where no service starts the agent.
    pub(super) fn of(target: &Target, agent: &Agent) -> Result<Self> {
        let Some(service) = agent.service().filter(|_| !target.is_live()) else { return Ok(Self::default()) };
        let description = service.unit.as_ref().and_then(|unit| unit.last("Unit", "Description"));
        let names = Names {
            unit: &format!("{}.service", service.name),
            description: description.map(|setting| setting.value.trim()).filter(|text| !text.is_empty()),
            program: agent.program.rsplit('/').next(),
        };
        let said = boot_log::of(&target.root, &names)?;
        let changed = if said.is_empty() { 0 } else { changed(&target.root, agent, service)? };
        Ok(Self { said, changed })
    }

    /// Returns the line that says that the start took too long.
    pub(super) fn timed_out(&self) -> Option<Evidence> {
        self.said.iter().rfind(|said| is_timeout(said)).filter(|said| self.counts(said)).map(quote)
    }

    /// Returns the lines that tell why it died.
    pub(super) fn reasons(&self) -> Vec<Evidence> {
        let mut lines = telling(self.said.iter().map(|said| said.text.as_str()), QUOTES);
        lines.dedup();
        let of_line = |line: &&str| self.said.iter().find(|said| said.text == **line);
        lines.iter().filter_map(of_line).map(quote).collect()
    }

    /// Whether it failed by itself, and nothing started it again. What an orderly stop ends with is no failure, and a
    /// start that timed out is one of another kind. Lines without a time do not tell.
    pub(super) fn has_failed(&self) -> bool {
        let (mut failed, mut is_stopping) = (None, false);
        for said in self.said.iter().filter(|said| said.by_systemd && said.time.is_some()) {
            let says = |words: &[&str]| words.iter().any(|word| said.text.contains(word));
            if says(&["Starting ", "Started "]) {
                (failed, is_stopping) = (None, false);
            } else if says(&["Stopping "]) {
                is_stopping = true;
            } else if is_timeout(said) {
                return false;
            } else if says(&["Failed with result '", "entered failed state"]) && !is_stopping {
                failed = Some(said);
            }
        }
        failed.is_some_and(|said| self.counts(said))
    }

    /// What has no time counts.
    fn counts(&self, said: &Said) -> bool {
        said.time.is_none_or(|time| time >= self.changed)
    }
}

fn is_timeout(said: &Said) -> bool {
    said.text.to_ascii_lowercase().contains("start operation timed out")
}

fn quote(said: &Said) -> Evidence {
    Evidence { source: said.source.clone(), text: said.text.clone() }
}

/// Returns when the unit's files or the agent were changed last.
fn changed(root: &Root, agent: &Agent, service: &Service) -> Result<u64> {
    let settings = service.unit.iter().flat_map(|unit| &unit.settings);
    let files = settings.filter_map(|setting| Some(setting.source.rsplit_once(':')?.0));
    let mut changed = 0;
    for file in files.chain([agent.file.as_str()]) {
        // a package keeps the time of its making, so the change of the file's node counts as well
        let time = root.stat_opt(file)?.map(|stat| stat.mtime.max(stat.ctime));
        changed = changed.max(time.and_then(|time| u64::try_from(time).ok()).unwrap_or(0));
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_boot(lines: &[(u64, &str)], changed: u64) -> LastBoot {
        let said = |(time, text): &(u64, &str)| Said {
            source: "x".to_owned(),
            time: Some(*time),
            by_systemd: true,
            text: (*text).to_owned(),
        };
        LastBoot { said: lines.iter().map(said).collect(), changed }
    }

    #[test]
    fn a_service_has_failed_when_it_ended_by_itself_and_stayed_so() {
        const START: (u64, &str) = (10, "systemd: Started Nova Agent for xenstore.");
        const FAILED: (u64, &str) = (20, "systemd: nova-agent.service: Failed with result 'exit-code'.");
        for (lines, want) in [
            (&[START, FAILED][..], true),
            (
                &[
                    (5, "x systemd: Starting Nova Agent..."),
                    (6, "Unit nova-agent.service entered failed state."),
                ],
                true,
            ),
            (&[START, FAILED, (30, "systemd: Stopped Nova Agent.")], true),
            (&[START], false),
            (&[START, FAILED, (30, "systemd: Started Nova Agent for xenstore.")], false),
            (&[START, (15, "systemd: Stopping Nova Agent for xenstore..."), FAILED], false),
            (&[START, (15, "nova-agent.service: start operation timed out. Terminating."), FAILED], false),
            (&[], false),
        ] {
            assert_eq!(last_boot(lines, 6).has_failed(), want, "{lines:?}");
        }
        assert!(!last_boot(&[START, FAILED], 21).has_failed(), "it was changed since");
        let mut text = last_boot(&[START, FAILED], 0);
        text.said.iter_mut().for_each(|said| said.time = None);
        assert!(!text.has_failed(), "lines without a time say too little");
        let mut own = last_boot(&[START, FAILED, START], 0);
        own.said[2].by_systemd = false;
        assert!(own.has_failed(), "the agent's own words are not systemd's");
    }
}
