//! The fix of `agent-log-size`: a rule for logrotate, and the log of now under another name. Nothing is removed.

use anyhow::{Context, Result, bail};

use super::log::SIZE_MAX;
use crate::check::mend;
use crate::commands::boot;
use crate::exec::Cmd;
use crate::facts::init::Init;
use crate::facts::log;
use crate::plan::{FileChange, LiveStep, Needs, Plan};
use crate::root::Root;
use crate::target::Target;

const RULE: &str = "etc/logrotate.d/nova-agent";

/// The agent keeps its log open, so the file stays and its content is taken out of it.
const TEXT: &str = "/var/log/nova-agent.log {\n    size 10M\n    rotate 4\n    compress\n    missingok\n    \
                    notifempty\n    copytruncate\n}\n";

/// Old logs beside the log that are counted.
const OLD_MAX: u32 = 99;

/// Endings that logrotate passes over (logrotate(8), `tabooext`).
const TABOO: [&str; 9] =
    [".rpmorig", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".disabled", ".bak", "~"];

/// Returns the file with which logrotate, where it is installed, rotates the agent's log.
///
/// # Errors
/// A file of it cannot be read.
pub(super) fn rule(root: &Root) -> Result<Option<String>> {
    if root.find_program("logrotate").is_none() {
        return Ok(None);
    }
    let mut files = vec!["etc/logrotate.conf".to_owned()];
    for entry in root.read_dir("etc/logrotate.d")? {
        if !TABOO.iter().any(|ending| entry.name.ends_with(ending)) {
            files.push(format!("etc/logrotate.d/{}", entry.name));
        }
    }
    for file in files {
        let Ok(text) = root.text_opt(&file) else { continue };
        if text.is_some_and(|text| text.lines().any(names_the_log)) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn names_the_log(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    let words = line.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '{'));
    words.into_iter().any(|word| word.strip_prefix('/') == Some(log::PATH))
}

pub(super) fn fix(target: &Target) -> Result<Plan> {
    let root = &target.root;
    if root.find_program("logrotate").is_none() {
        bail!("logrotate is not installed");
    }
    let size = root.stat_opt(log::PATH)?.map_or(0, |stat| stat.size);
    if size <= SIZE_MAX {
        bail!("the log is not what fills the file system");
    }
    let mut files = Vec::new();
    if rule(root)?.is_none() {
        files.push(FileChange::write(RULE, TEXT));
    }
    let mut steps = Vec::new();
    if target.is_live() {
        let old = |number: &u32| !root.exists(&format!("{}.{number}", log::PATH));
        let number = (1..=OLD_MAX).find(old).context("too many old logs lie beside the log")?;
        let log = format!("/{}", log::PATH);
        // no way back: by then the agent has begun a new one
        let run = Cmd::new(&["mv", "-n", "--", &log, &format!("{log}.{number}")]);
        steps.push(LiveStep { run, back: None, needs: Needs::Any });
        let service = target.agents().all.first().and_then(|agent| agent.service());
        let init = target.services().init;
        let verb = if init == Init::Systemd { "try-restart" } else { "restart" };
        steps.extend(service.map(|service| boot::switch(init, &service.name, verb, None)));
    }
    Ok(mend::plan(target, "rotate the agent's log", files, steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::agents::tests::put;

    #[test]
    fn only_a_rule_that_logrotate_reads_counts() {
        let cases = [
            ("etc/logrotate.d/nova-agent", TEXT, true),
            ("etc/logrotate.conf", "\"/var/log/a\" /var/log/nova-agent.log{\n}\n", true),
            ("etc/logrotate.d/nova-agent", "# /var/log/nova-agent.log {\n", false),
            ("etc/logrotate.d/nova-agent", "/var/log/nova-agent.log.1 {\n}\n", false),
            ("etc/logrotate.d/nova-agent.dpkg-old", TEXT, false),
        ];
        for (path, text, want) in cases {
            for installed in [true, false] {
                let dir = tempfile::tempdir().unwrap();
                put(dir.path(), path, text);
                if installed {
                    put(dir.path(), "usr/sbin/logrotate", "");
                    let place = dir.path().join("usr/sbin/logrotate");
                    std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                        .unwrap();
                }
                let found = rule(&Root::open(dir.path()).unwrap()).unwrap();
                assert_eq!(found.is_some(), want && installed, "{path} {text} {installed}");
            }
        }
    }
}
