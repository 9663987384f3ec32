//! `agent-log`, `agent-log-size`: what the log says went wrong, and how much of it there is.
//!
//! Only the last run of the agent is judged, and of each command only the last request: what was mended since is no
//! fault. How the run before ended counts when nothing shows that it went well since. What a text means is in
//! [`signatures`], what was mended in [`since`], what killed the agent in [`causes`].

mod signatures;
mod since;

use anyhow::Result;

use signatures::{REQUESTS, RESETS, Told};

use super::causes::{self, Cause};
use super::last_boot::LastBoot;
use super::remedy::mended;
use super::{of_agent, rotate};
use crate::check::{Evidence, Finding, Status, engine};
use crate::facts::agents::process::kind_of;
use crate::facts::agents::{Agent, Kind};
use crate::facts::boot_log;
use crate::facts::log::{self, Answer, Event, Line, Log, Run};
use crate::root::Space;
use crate::target::Target;

/// A log above this size was never rotated, in bytes.
pub(super) const SIZE_MAX: u64 = 100 << 20;

/// What the agent can still have written in the second of its death, in seconds.
const SEGFAULT_SLACK: u64 = 2;

/// Less free room than this, in bytes, or than a twentieth of a smaller file system, is nearly full.
const FREE_MIN: u64 = 256 << 20;

pub(super) fn log(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let last_boot = LastBoot::of(target, agent)?;
        let dead = dead(agent, &last_boot);
        let Some(log) = Log::of(&target.root, agent.kind)? else {
            let skipped = || Finding::skipped(format!("no {}", log::path_of(agent.kind)));
            return Ok(vec![dead.unwrap_or_else(skipped)]);
        };
        let runs = target.processes().iter().any(|process| kind_of(process) == Some(agent.kind));
        let process = match (target.is_live(), runs) {
            (false, _) => Process::Offline,
            (true, true) => Process::Runs,
            (true, false) => Process::Gone,
        };
        let mut findings = judge(&log, agent, process, &target.os().id, &last_boot.reasons());
        findings.extend(segfault(target, agent, &log)?);
        findings = since::told(target, findings)?;
        if findings.len() > 1 {
            findings.retain(|finding| finding.status != Status::Ok);
        }
        if let Some(dead) = dead.filter(|_| findings.iter().all(|finding| finding.status < Status::Fail)) {
            findings.retain(|finding| finding.status != Status::Ok);
            findings.push(dead);
        }
        Ok(findings)
    })
}

/// An agent that was dead when the disk was last a running system's, whatever its own log says.
fn dead(agent: &Agent, last_boot: &LastBoot) -> Option<Finding> {
    let service = agent.service().filter(|_| last_boot.has_failed())?;
    let reasons = last_boot.reasons();
    let cause = causes::of_lines(&reasons).unwrap_or(Cause {
        why: "from then on nobody answered the host",
        what: "mend what these lines name; the next boot tells whether it was that",
    });
    let finding =
        Finding::fail(format!("{} failed at the last boot and was not started again", service.name))
            .because(cause.why)
            .about(&service.name)
            .seen_all(&reasons);
    Some(mended(finding, cause.what, Vec::new()))
}

/// 1.x that died of a signal, and has not written a line since.
fn segfault(target: &Target, agent: &Agent, log: &Log) -> Result<Option<Finding>> {
    if agent.kind != Kind::Nova1 {
        return Ok(None);
    }
    let said = match boot_log::segfault(&target.root, "nova-agent") {
        // the agent's own log could be read, and is judged without it
        Err(error) if engine::is_denied(&error) => return Ok(None),
        said => said?,
    };
    let Some(said) = said else { return Ok(None) };
    let written = target.root.stat_opt(&log.path)?.and_then(|stat| u64::try_from(stat.mtime).ok());
    if said.time.zip(written).is_none_or(|(time, written)| written > time + SEGFAULT_SLACK) {
        return Ok(None);
    }
    let finding = Finding::fail("the agent died of a segmentation fault")
        .because("releases before 1.39.1 do when a VPN adds an interface without an address; nothing starts it again")
        .seen(said.source, said.text);
    let text = "start it anew; mend unexpected-interfaces and agent-version where they are found";
    Ok(Some(mended(finding, text, Vec::new())))
}

/// What is known of the agent's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Runs,
    Gone,
    Offline,
}

fn judge(log: &Log, agent: &Agent, process: Process, os_id: &str, reasons: &[Evidence]) -> Vec<Finding> {
    let runs = log.runs();
    let Some(last) = runs.last() else { return vec![Finding::ok("the agent's log is empty")] };
    let events = last.events();
    let mut findings = Vec::new();
    findings.extend(ended_at_start(log, &runs, process, reasons));
    findings.extend(wrong_provider(log, last));
    findings.extend(crashed(log, &runs, process, reasons));
    findings.extend(store_lost(log, last));
    findings.extend(old_device(log, last, agent));
    findings.extend(failed_answers(log, &events, os_id));
    findings.extend(told_lines(log, &events));
    findings.extend(shared_mac(log, &events));
    findings.extend(repeated(log, &runs));
    if findings.is_empty() {
        let since = last.lines.first().and_then(|line| line.time.as_deref()).unwrap_or("its last lines");
        findings.push(Finding::ok(format!("{} requests since {since}, no failure", events.len())));
    }
    findings
}

fn of_line(finding: Finding, log: &Log, line: &Line) -> Finding {
    finding.seen(log.source_of(line), line.quote())
}

/// Runs of 2.x that log their start and nothing else.
fn ended_at_start(log: &Log, runs: &[Run<'_>], process: Process, reasons: &[Evidence]) -> Option<Finding> {
    const START: [&str; 5] = [
        "Agent is starting up",
        "Linux Distribution Detected",
        "Skipping os.fork",
        "Starting daemon",
        "PID:",
    ];
    let is_start = |line: &Line| START.iter().any(|start| line.text.starts_with(start));
    let bare = |run: &&Run<'_>| run.line(START[0]).is_some() && run.lines.iter().all(is_start);
    let count = runs.iter().rev().take_while(bare).count();
    // One bare start can be the very last moment before a shutdown, or the present.
    if count == 0 || process == Process::Runs || (count == 1 && process == Process::Offline) {
        return None;
    }
    let often = if count > 1 { format!(", {count} times in a row") } else { String::new() };
    let cause = causes::of_lines(reasons).unwrap_or(Cause {
        why: "it does not know this distribution, or a module is missing; the reason is in the journal, not in its log",
        what: "mend agent-supports-distro or agent-interpreter, which are judged above; novactl explain ID says how",
    });
    let finding = Finding::fail(format!("the agent ended right after its start{often}")).because(cause.why);
    let finding = runs.last()?.lines.first().map_or(finding.clone(), |line| of_line(finding, log, line));
    Some(mended(finding.seen_all(reasons), cause.what, Vec::new()))
}

fn wrong_provider(log: &Log, run: &Run<'_>) -> Option<Finding> {
    let line = run.line("Invalid provider for instance")?;
    let finding = Finding::fail("the agent ended because the host did not name its provider")
        .because("vm-data/provider_data/provider was absent or not Rackspace, or XenStore could not be reached: 2.x then exits");
    Some(mended(
        of_line(finding, log, line),
        "on the running server, see whether XenStore answers and names the provider: novactl doctor --topic xen",
        Vec::new(),
    ))
}

/// A request that the agent took and, as far as the log goes, neither answered nor survived.
fn pending<'l>(run: &Run<'l>) -> Option<Event<'l>> {
    let event = *run.events().last()?;
    // An orderly stop, and the update that restarts the agent before it can answer, are no crash.
    let stopped = event.lines.iter().any(|line| line.text.starts_with("Agent stopping"));
    (event.answer.is_none() && !stopped && event.name != "agentupdate").then_some(event)
}

fn crashed(log: &Log, runs: &[Run<'_>], process: Process, reasons: &[Evidence]) -> Option<Finding> {
    let (last, before) = runs.split_last()?;
    let cause = |event: &Event<'_>| {
        causes::of_command(event.name, reasons).unwrap_or(Cause {
            why: "an error inside a command ends 2.x, and nothing starts it again: all later requests time out",
            what: "look for the traceback in the journal of the agent's service",
        })
    };
    if let Some(event) = pending(last) {
        let id = event.id.unwrap_or_default();
        let again = before
            .iter()
            .filter(|run| pending(run).is_some_and(|e| e.id.is_some() && e.id == event.id))
            .count();
        if again > 0 {
            let finding = Finding::fail(format!("one {} request killed the agent {} times", event.name, again + 1))
                .because("the request stays in data/host until it is answered, so the agent dies again after each start")
                .about(id);
            let finding = of_line(finding, log, &event.lines[0]).seen_all(reasons);
            return Some(mended(
                finding,
                format!(
                    "on the running server, take the request away (novactl agent refuse {id}), then start the agent"
                ),
                Vec::new(),
            ));
        }
        if process == Process::Runs {
            return None; // it is at work
        }
        let cause = cause(&event);
        let finding =
            Finding::fail(format!("the agent died while it executed {}", event.name)).because(cause.why);
        let finding = of_line(finding, log, &event.lines[0]).seen_all(reasons);
        return Some(mended(finding, cause.what, Vec::new()));
    }
    let event = pending(before.last()?)?;
    let went_well = last.events().iter().any(|e| e.name == event.name && e.answer.is_some_and(succeeded));
    if went_well {
        return None;
    }
    let cause = cause(&event);
    let title = format!("the agent's run before this one ended inside {}", event.name);
    let finding = Finding::warn(title).because(cause.why);
    Some(mended(of_line(finding, log, &event.lines[0]), cause.what, Vec::new()))
}

fn succeeded(answer: Answer<'_>) -> bool {
    matches!(answer.code, "0" | "D0" | "")
}

/// 1.x whose handle of XenStore is dead: it fails each second until it is started anew.
fn store_lost(log: &Log, run: &Run<'_>) -> Option<Finding> {
    let since = run.lines.iter().rposition(|line| line.text.starts_with("Received command")).unwrap_or(0);
    let failing: Vec<&Line> =
        run.lines[since..].iter().filter(|line| line.text.starts_with("Error receiving request")).collect();
    let [_, _, .., line] = failing.as_slice() else { return None };
    let finding = Finding::fail("the agent has lost XenStore and receives nothing")
        .because("after a live migration its connection is dead: every request of the host times out");
    Some(mended(of_line(finding, log, line), "start the agent anew", Vec::new()))
}

/// 2.x under Python 3 takes every list for empty on this device (novaagent/xenstore).
fn old_device(log: &Log, run: &Run<'_>, agent: &Agent) -> Option<Finding> {
    let line = run.line("Using /proc/xen/xenbus").filter(|_| run.events().is_empty())?;
    let first = agent.python.as_ref()?.interpreter.as_deref().filter(|_| agent.kind == Kind::Nova2)?;
    if !first.contains("python3") {
        return None;
    }
    let finding = Finding::fail("the agent talks to /proc/xen/xenbus and sees no request").because(
        "under Python 3 it takes every list of this old device for empty: it runs and nothing happens",
    );
    Some(mended(
        of_line(finding, log, line),
        "boot a kernel with /dev/xen/xenbus, or replace the agent",
        Vec::new(),
    ))
}

/// The last request of each command, when it failed.
fn failed_answers(log: &Log, events: &[Event<'_>], os_id: &str) -> Vec<Finding> {
    let mut seen: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for event in events.iter().rev() {
        let Some(answer) = event.answer else { continue };
        if seen.contains(&event.name) {
            continue;
        }
        seen.push(event.name);
        // 404: a command that 1.x does not know; the host asked for it in vain, that is all.
        if !succeeded(answer) && answer.code != "404" {
            findings.push(of_answer(log, event, answer, os_id));
        }
    }
    findings.reverse();
    findings
}

fn of_answer(log: &Log, event: &Event<'_>, answer: Answer<'_>, os_id: &str) -> Finding {
    let name = event.name;
    let message: String = answer.message.chars().take(80).collect();
    let title = format!("the last {name} failed with code {}: {message}", answer.code);
    let status = match name {
        // Upstart refuses to restart the network there; ifup has done the work.
        "resetnetwork" if os_id == "ubuntu" && message == "Couldn't restart network: 1" => Status::Note,
        "resetnetwork" => Status::Fail,
        _ => Status::Warn,
    };
    let (why, text) = match (name, signatures::of_answer(name, answer.message)) {
        _ if status == Status::Note => {
            ("upstart refuses to restart the network; ifup has configured it: harmless", "")
        }
        (_, Some(known)) => (known.why, known.what),
        ("resetnetwork", None) => (
            "the network is not as the host wants it: a new address or network is missing",
            "mend what the message names, then reset the network again",
        ),
        ("password", None) => {
            ("the password that the panel shows is not the server's", "reset the password again")
        }
        _ => ("the host recorded a fault for it", "mend what the message names, then repeat it"),
    };
    let finding = Finding { status, ..Finding::fail(title) }.because(why).about(name);
    // 2.x answers that it failed, and logs what the program said
    let said = event.lines.iter().rfind(|line| line.text.starts_with("Error received on"));
    let finding = said.into_iter().fold(finding, |finding, line| of_line(finding, log, line));
    let finding = of_line(finding, log, answer.line);
    if text.is_empty() { finding } else { mended(finding, text, Vec::new()) }
}

/// What lines of the last request, and of the last network reset, tell although it was answered.
fn told_lines(log: &Log, events: &[Event<'_>]) -> Vec<Finding> {
    let last = events.last().map_or(Vec::new(), |event| told(log, event, &REQUESTS));
    let reset = events.iter().rev().find(|event| event.name == "resetnetwork");
    let of_reset = reset.map_or(Vec::new(), |reset| told(log, reset, &RESETS)).into_iter();
    let mut findings: Vec<Finding> = of_reset.map(|finding| finding.about("resetnetwork")).collect();
    findings.extend(last);
    findings
}

fn told(log: &Log, event: &Event<'_>, all: &[Told]) -> Vec<Finding> {
    let of_told = |told: &Told| {
        let line = event.lines.iter().find(|line| line.text.starts_with(told.text))?;
        let finding = Finding { status: told.status, ..Finding::fail(told.title) }.because(told.why);
        Some(mended(of_line(finding, log, line), told.what, Vec::new()))
    };
    all.iter().filter_map(of_told).collect()
}

/// A request that was answered more than once.
fn repeated(log: &Log, runs: &[Run<'_>]) -> Option<Finding> {
    let events = runs.last()?.events();
    let (event, id) = events.iter().rev().find_map(|event| Some((event, event.id?)))?;
    let answered = |run: &Run<'_>| {
        run.events().iter().filter(|event| event.id == Some(id) && event.answer.is_some()).count()
    };
    let count: usize = runs.iter().map(answered).sum();
    if count < 2 || event.answer.is_none() {
        return None;
    }
    let title = format!("one {} request was executed {count} times", event.name);
    // after a reboot the host repeats a request that had no answer yet
    let is_loop = answered(runs.last()?) > 1;
    let finding = if is_loop { Finding::warn(title) } else { Finding::note(title) };
    let finding = finding
        .because(
            "the agent executes what lies in data/host, also what it answered before and could not remove",
        )
        .about(id);
    let what = "on the running server: novactl doctor --only requests-answered names what is stuck";
    Some(mended(of_line(finding, log, &event.lines[0]), what, Vec::new()))
}

/// Interfaces that the last network reset took for one.
fn shared_mac(log: &Log, events: &[Event<'_>]) -> Option<Finding> {
    let reset = events.iter().rev().find(|event| event.name == "resetnetwork")?;
    let mut macs = reset.macs();
    macs.sort_unstable();
    let pair = macs.windows(2).find(|pair| pair[0] == pair[1])?;
    let finding = Finding::warn(format!("the last network reset configured two interfaces with the MAC {}", pair[0]))
        .because("a bridge, bond, VLAN or container interface shares the MAC of a network card: both got its addresses")
        .about(&pair[0]);
    let finding = of_line(finding, log, &reset.lines[0]);
    Some(mended(finding, "give the stacked interface another MAC", Vec::new()))
}

pub(super) fn size(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |_| {
        let rule = rotate::rule(&target.root)?;
        let size = target.root.stat_opt(log::PATH)?.map_or(0, |stat| stat.size);
        let space = if target.root.exists("var/log") { Some(target.root.space("var/log")?) } else { None };
        Ok(judge_size(size, space, rule.as_deref()))
    })
}

fn judge_size(size: u64, space: Option<Space>, rule: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if size > SIZE_MAX
        && let Some(rule) = rule
    {
        let finding = Finding::note(format!("the agent's log has {} MiB until logrotate runs", size >> 20));
        findings.push(finding.seen(rule, format!("rotates /{}", log::PATH)));
    } else if size > SIZE_MAX {
        let finding = Finding::warn(format!("the agent's log has grown to {} MiB", size >> 20))
            .because(
                "no package rotates it: it fills the disk, and then passwords and files cannot be written",
            )
            .seen(log::PATH, format!("{size} bytes"));
        findings.push(mended(
            finding,
            format!(
                "have /{} rotated by a file in /etc/logrotate.d (logrotate has to be installed)",
                log::PATH
            ),
            Vec::new(),
        ));
    }
    if let Some(space) = space
        && space.free < FREE_MIN.min(space.total / 20)
    {
        let finding = Finding::warn(format!(
            "the file system of the log is nearly full: {} MiB free",
            space.free >> 20
        ))
        .because("the agent dies or answers late when it cannot write, and a password change fails")
        .seen("var/log", format!("{} of {} MiB free", space.free >> 20, space.total >> 20));
        findings.push(mended(finding, "make room on the file system of /var/log", Vec::new()).by_hand());
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("the agent's log has {} KiB", size >> 10)));
    }
    findings
}

#[cfg(test)]
mod tests;
