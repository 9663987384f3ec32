//! What SELinux denied the agent and the programs that it runs, from the audit log.
//!
//! A program of a child counts only when its system call was a service's, not a person's (auid unset). What a
//! permissive domain was let through is no denial.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::check::Finding;
use crate::target::Target;

const LOG: &str = "var/log/audit/audit.log";
/// The end of the log that is read, in bytes; auditd turns the file over at 8 MiB.
const TAIL: u64 = 8 << 20;
/// How long a denial counts, in seconds before the newest record.
const AGE_MAX: f64 = 7.0 * 86400.0;
/// Kinds of denials that are told.
const FINDINGS_MAX: usize = 10;

const AGENTS: [&str; 3] = ["nova-agent", "novaagent", "novactl"];
/// What agents run.
const CHILDREN: [&str; 8] =
    ["passwd", "chpasswd", "hostnamectl", "hostname", "nmcli", "netplan", "ifup", "ip"];

/// One kind of denial.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Denial {
    program: String,
    actions: String,
    source: String,
    target: String,
    class: String,
}

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let Some(tail) = target.root.tail_opt(LOG, TAIL)? else {
        return Ok(vec![Finding::skipped("there is no audit log")]);
    };
    let denials = denials(&tail.text);
    if denials.is_empty() {
        return Ok(vec![Finding::ok("SELinux denied the agent nothing")]);
    }
    let told = denials.into_iter().take(FINDINGS_MAX).map(|(denial, (count, line))| {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        Finding::warn(format!(
            "SELinux denied {} {times}: {} on {}",
            denial.program, denial.actions, denial.class
        ))
        .because("the command of the host fails or is done by half, and the agent's log does not say why")
        .seen(LOG, line)
        .about(format!("{} {} {}", denial.program, denial.actions, denial.target))
        .mend("restore the labels of the agent's files; what remains needs a policy module (audit2allow)")
        .by(&["restorecon", "-Rv", "/usr/bin/nova-agent", "/var/log/nova-agent.log"])
    });
    Ok(told.collect())
}

/// The kinds of denials in order, how often each is there, and its last record.
fn denials(text: &str) -> BTreeMap<Denial, (usize, String)> {
    let newest = text.lines().rev().find_map(time_and_serial).map_or(0.0, |(time, _)| time);
    // the record of the system call has the same serial as the denial
    let by_services: BTreeSet<&str> = text
        .lines()
        .filter(|line| {
            line.starts_with("type=SYSCALL")
                && matches!(field(line, "auid"), Some("4294967295" | "-1" | "unset"))
        })
        .filter_map(|line| Some(time_and_serial(line)?.1))
        .collect();
    let mut found: BTreeMap<Denial, (usize, String)> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("type=AVC ") && line.contains("denied")) {
        let Some((time, serial)) = time_and_serial(line) else { continue };
        if newest - time > AGE_MAX || field(line, "permissive") == Some("1") {
            continue;
        }
        let program = field(line, "comm").unwrap_or_default();
        let is_child = CHILDREN.contains(&program) && by_services.contains(serial);
        if !is_child && !AGENTS.contains(&program) {
            continue;
        }
        let actions = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map_or("", |(inside, _)| inside.trim());
        let kind =
            |name| field(line, name).and_then(|label| label.split(':').nth(2)).unwrap_or_default().to_owned();
        let denial = Denial {
            program: program.to_owned(),
            actions: actions.to_owned(),
            source: kind("scontext"),
            target: kind("tcontext"),
            class: field(line, "tclass").unwrap_or_default().to_owned(),
        };
        let entry = found.entry(denial).or_default();
        *entry = (entry.0 + 1, line.chars().take(300).collect());
    }
    found
}

/// `msg=audit(1732573319.123:456):`.
fn time_and_serial(line: &str) -> Option<(f64, &str)> {
    let (_, rest) = line.split_once("msg=audit(")?;
    let (stamp, _) = rest.split_once(')')?;
    let (time, _) = stamp.split_once(':')?;
    Some((time.parse().ok()?, stamp))
}

/// The value of a field, without quotes.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}
