//! `agent-log`, `agent-log-size`: what the log says went wrong, and how much of it there is.
//!
//! Only the last run of the agent is judged, and of each command only the last request: what was mended since is no
//! fault. How the run before ended counts when nothing shows that it went well since. One more signature: a line in
//! [`RESETS`] or [`LINES`].

use anyhow::Result;

use super::last_boot::LastBoot;
use super::remedy::mended;
use super::{of_agent, rotate};
use crate::check::{Evidence, Finding, Status};
use crate::facts::agents::process::kind_of;
use crate::facts::agents::{Agent, Kind};
use crate::facts::log::{self, Answer, Event, Line, Log, Run};
use crate::root::Space;
use crate::target::Target;

/// A log above this size was never rotated, in bytes.
pub(super) const SIZE_MAX: u64 = 100 << 20;

/// Less free room than this, in bytes, or than a twentieth of a smaller file system, is nearly full.
const FREE_MIN: u64 = 256 << 20;

/// A signature: what a text begins with, what it means, what to do.
type Signature = (&'static str, &'static str, &'static str);

/// Messages with which a network reset is answered when it failed.
const RESETS: [Signature; 7] = [
    (
        "Error restarting network",
        "network.service failed or does not exist: the addresses were removed and not set again",
        "read journalctl -u network -u NetworkManager; where NetworkManager is in charge, remove NM_CONTROLLED=no",
    ),
    (
        "Error applying netplan",
        "netplan refuses the files in /etc/netplan: at the next boot no network interface is configured",
        "run netplan generate and mend what it names, such as gateway6: null or the MAC of another server",
    ),
    (
        "Error stopping network",
        "ifdown failed: the interfaces after it were not configured and are down",
        "on the running server, run ifdown and ifup by hand and mend what they name",
    ),
    (
        "Error starting network",
        "ifup failed: the interfaces after it were not configured and are down",
        "on the running server, run ifup by hand and mend what it names",
    ),
    (
        "Unable to bring down networking",
        "NetworkManager did not run or could not be reached",
        "on the running server, start NetworkManager, then reset the network again",
    ),
    (
        "Unknown interface MAC",
        "the host has data for an interface that is not there, or a bridge or VPN hides it: nothing was configured",
        "novactl scan-ifaces shows the interfaces and what hides them",
    ),
    ("Couldn't figure out my OS", "this agent does not know the distribution", "replace the agent"),
];

/// Lines of a network reset that tell a failure although the reset was answered.
const LINES: [Signature; 2] = [
    (
        "Exception was caught getting mac addrs",
        "the network data could not be read, and the configuration was emptied",
        "reset the network again",
    ),
    (
        "Exception was caught getting the interface",
        "a record in vm-data/networking is not valid: the agent dies on it at every reset",
        "ask the provider to write the server's network data anew",
    ),
];

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
    let finding =
        Finding::fail(format!("{} failed at the last boot and was not started again", service.name))
            .because("from then on nobody answered the host")
            .about(&service.name)
            .seen_all(&last_boot.reasons());
    Some(mended(finding, "mend what these lines name; the next boot tells whether it was that", Vec::new()))
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
    findings.extend(reset_lines(log, &events));
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
    let finding = Finding::fail(format!("the agent ended right after its start{often}"))
        .because("it does not know this distribution, or a module is missing; the reason is in the journal, not in its log");
    let finding = runs.last()?.lines.first().map_or(finding.clone(), |line| of_line(finding, log, line));
    let finding = finding.seen_all(reasons);
    Some(mended(
        finding,
        "mend agent-supports-distro or agent-interpreter, which are judged above; novactl explain ID says how",
        Vec::new(),
    ))
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
    let why = "an error inside a command ends 2.x, and nothing starts it again: all later requests time out";
    let text = "look for the traceback in the journal of the agent's service";
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
        let finding = Finding::fail(format!("the agent died while it executed {}", event.name)).because(why);
        let finding = of_line(finding, log, &event.lines[0]).seen_all(reasons);
        return Some(mended(finding, text, Vec::new()));
    }
    let event = pending(before.last()?)?;
    let went_well = last.events().iter().any(|e| e.name == event.name && e.answer.is_some_and(succeeded));
    if went_well {
        return None;
    }
    let finding =
        Finding::warn(format!("the agent's run before this one ended inside {}", event.name)).because(why);
    Some(mended(of_line(finding, log, &event.lines[0]), text, Vec::new()))
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
            findings.push(of_answer(log, event.name, answer, os_id));
        }
    }
    findings.reverse();
    findings
}

fn of_answer(log: &Log, name: &str, answer: Answer<'_>, os_id: &str) -> Finding {
    let message: String = answer.message.chars().take(80).collect();
    let title = format!("the last {name} failed with code {}: {message}", answer.code);
    let status = match name {
        // Upstart refuses to restart the network there; ifup has done the work.
        "resetnetwork" if os_id == "ubuntu" && message == "Couldn't restart network: 1" => Status::Note,
        "resetnetwork" => Status::Fail,
        _ => Status::Warn,
    };
    let known = RESETS.iter().find(|(text, _, _)| name == "resetnetwork" && message.starts_with(text));
    let (why, text) = match (name, known) {
        _ if status == Status::Note => {
            ("upstart refuses to restart the network; ifup has configured it: harmless", "")
        }
        (_, Some((_, why, text))) => (*why, *text),
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
    let finding = of_line(finding, log, answer.line);
    if text.is_empty() { finding } else { mended(finding, text, Vec::new()) }
}

/// What the lines of the last network reset tell.
fn reset_lines(log: &Log, events: &[Event<'_>]) -> Vec<Finding> {
    let Some(reset) = events.iter().rev().find(|event| event.name == "resetnetwork") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (prefix, why, text) in LINES {
        if let Some(line) = reset.lines.iter().find(|line| line.text.starts_with(prefix)) {
            let finding = Finding::fail("the last network reset could not read the host's data").because(why);
            findings.push(mended(of_line(finding, log, line), text, Vec::new()));
        }
    }
    let mut macs = reset.macs();
    macs.sort_unstable();
    if let Some(pair) = macs.windows(2).find(|pair| pair[0] == pair[1]) {
        let finding = Finding::warn(format!("the last network reset configured two interfaces with the MAC {}", pair[0]))
            .because("a bridge, bond, VLAN or container interface shares the MAC of a network card: both got its addresses")
            .about(&pair[0]);
        let finding = of_line(finding, log, &reset.lines[0]);
        findings.push(mended(finding, "give the stacked interface another MAC", Vec::new()));
    }
    findings
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
