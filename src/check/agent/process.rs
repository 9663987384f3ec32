//! `agent-running`, `agent-fresh-process`: the process of the agent on a running guest.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::remedy::{Hands, mended};
use super::{causes, of_agent};
use crate::check::{Evidence, Finding};
use crate::exec::Cmd;
use crate::facts::agents::process::kind_of;
use crate::facts::agents::{Agent, Kind};
use crate::facts::boot_log::telling;
use crate::facts::init::{Init, Service, State};
use crate::facts::log::Log;
use crate::facts::processes::Process;
use crate::target::Target;

/// The most lines that are quoted of the journal.
const QUOTES: usize = 3;

/// How long the journal may take: with one second for systemctl it stays within the check's limit.
const JOURNAL_LIMIT: Duration = Duration::from_millis(800);

/// Start times of processes are rounded, and a start right after an installation is fresh; seconds.
const SLACK: u64 = 5;

/// A process that is younger than this, in seconds, and was started again this often, is one of a loop.
const YOUNG: u64 = 60;
const RESTARTS_MAX: u32 = 2;

pub(super) fn running(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let processes = target.processes();
        // Mounted with hidepid=, /proc shows others' processes to root only; process 1 always exists.
        if processes.iter().all(|process| process.pid != 1) {
            return Ok(vec![Finding::skipped("needs root: /proc hides the processes of others")]);
        }
        let process = processes.iter().find(|process| kind_of(process) == Some(agent.kind));
        let Some(service) = agent.service().filter(|_| agent.is_enabled()) else {
            return Ok(vec![judge_unserved(agent, process)]);
        };
        if let Some(process) = process {
            return Ok(vec![judge_started(target, agent, service, process)?]);
        }
        let mut reasons = Vec::new();
        // That no agent runs is certain; a systemctl or journalctl that hangs is told beside it.
        let state = target.services().state(&service.name).unwrap_or_else(|e| {
            reasons.push(Evidence {
                source: format!("systemctl show {}", service.name),
                text: format!("{e:#}"),
            });
            None
        });
        reasons.extend(journal(service));
        reasons.extend(last_line(target, agent.kind));
        Ok(vec![judge_stopped(agent, service, state.as_ref(), reasons, &Hands::of(target))])
    })
}

fn judge_unserved(agent: &Agent, process: Option<&Process>) -> Finding {
    match process {
        Some(process) => of_process(agent, process),
        None => Finding::skipped("no service starts it at boot: agent-enabled"),
    }
}

fn of_process(agent: &Agent, process: &Process) -> Finding {
    let source = format!("process {}", process.pid);
    Finding::ok(format!("{} runs", agent.kind.name())).seen(source, process.argv.join(" "))
}

/// The agent that dies soon after each start runs at the moment when it is looked at, more often than not.
fn judge_started(target: &Target, agent: &Agent, service: &Service, process: &Process) -> Result<Finding> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let age = now.saturating_sub(process.started);
    if age >= YOUNG {
        return Ok(of_process(agent, process));
    }
    let state = target.services().state(&service.name)?;
    let Some(state) = state.filter(|state| state.restarts > RESTARTS_MAX) else {
        return Ok(of_process(agent, process));
    };
    let mut reasons = journal(service);
    reasons.extend(last_line(target, agent.kind));
    Ok(judge_flapping(service, &state, age, reasons, &Hands::of(target)))
}

fn judge_flapping(
    service: &Service,
    state: &State,
    age: u64,
    reasons: Vec<Evidence>,
    hands: &Hands,
) -> Finding {
    let (name, times) = (&service.name, state.restarts);
    let finding = Finding::fail(format!(
        "{name} keeps dying: started again {times} times, the last {age} s ago"
    ))
    .because(
        "the host waits for an answer longer than the agent lives: password resets in the panel do nothing",
    )
    .about(name);
    let finding = Finding { evidence: reasons, ..finding }
        .seen(format!("systemctl show {name}"), format!("NRestarts={times}"));
    mended(finding, "remove the reason, then start it anew", hands.restart(service))
}

fn judge_stopped(
    agent: &Agent,
    service: &Service,
    state: Option<&State>,
    reasons: Vec<Evidence>,
    hands: &Hands,
) -> Finding {
    let name = &service.name;
    let title = match state {
        Some(state) if state.gave_up() => {
            format!("{name} has failed ({}) after {} restarts", state.result, state.restarts)
        }
        Some(state) if state.active == "failed" => format!("{name} has failed ({})", state.result),
        Some(state) if state.restarts > 0 => {
            format!("{name} keeps dying: started again {} times", state.restarts)
        }
        Some(state) if state.active == "active" => {
            format!("{name} is active ({}), but no agent runs", state.sub)
        }
        _ => format!("{name} does not run"),
    };
    let finding = Finding::fail(title).because(
        "nobody answers the host: password resets in the panel do nothing and networks are not attached",
    );
    let finding = match state {
        Some(state) => {
            finding.seen(format!("systemctl show {name}"), format!("{}, {}", state.active, state.sub))
        }
        None => finding.seen("processes", format!("none runs /{}", agent.program)),
    };
    let cause = causes::of_lines(&reasons);
    let finding = Finding { evidence: [finding.evidence.clone(), reasons].concat(), ..finding }.about(name);
    let mut commands = hands.restart(service);
    // Until then systemd refuses to start it when it was started too often.
    if state.is_some_and(State::gave_up) {
        commands.insert(0, hands.inside(&["systemctl", "reset-failed", &format!("{name}.service")]));
    }
    if state.is_some_and(|state| state.is_outdated) {
        commands.insert(0, hands.inside(&["systemctl", "daemon-reload"]));
        let finding = finding
            .seen(&service.path, "changed since systemd read it: what it starts is not what stands there");
        return mended(finding, "have systemd read the unit, then start it", commands);
    }
    let Some(cause) = cause else {
        return mended(finding, "remove the reason, then start it", commands);
    };
    let why = format!("{}: nobody answers the host", cause.why);
    mended(finding.because(why), format!("{}; then start it", cause.what), commands)
}

/// Returns what the journal says of a service that does not run, or why it does not say it.
fn journal(service: &Service) -> Vec<Evidence> {
    if service.init != Init::Systemd && service.unit.is_none() {
        return Vec::new();
    }
    let argv = ["journalctl", "-u", &service.name, "-n", "20", "-o", "short-iso", "--no-pager", "-q"];
    let source = format!("journalctl -u {}", service.name);
    let quote = |line: &str| Evidence { source: source.clone(), text: line.chars().take(200).collect() };
    match Cmd::new(&argv).within(JOURNAL_LIMIT).output() {
        Ok(output) => {
            let text = output.map(|output| output.stdout).unwrap_or_default();
            let lines = || text.lines().filter(|line| !line.trim().is_empty());
            let mut found = telling(lines(), QUOTES);
            if found.is_empty() {
                found.extend(lines().next_back());
            }
            found.into_iter().map(quote).collect()
        }
        Err(e) => vec![quote(&format!("{e:#}"))],
    }
}

/// Returns the last line of the agent's log; a log that may not be read or is missing adds nothing to the reason.
fn last_line(target: &Target, kind: Kind) -> Option<Evidence> {
    let log = Log::of(&target.root, kind).ok().flatten()?;
    let line = log.lines.iter().rev().find(|line| line.time.is_some())?;
    Some(Evidence { source: log.source_of(line), text: line.quote() })
}

pub(super) fn fresh(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let mut processes = target.processes().iter();
        let Some(process) = processes.find(|process| kind_of(process) == Some(agent.kind)) else {
            return Ok(vec![Finding::skipped("no agent runs")]);
        };
        let changed = target.root.stat_opt(&agent.file)?.and_then(|stat| u64::try_from(stat.ctime).ok());
        Ok(vec![judge_fresh(agent, process, changed, &Hands::of(target))])
    })
}

fn judge_fresh(agent: &Agent, process: &Process, changed: Option<u64>, hands: &Hands) -> Finding {
    let gone = process.exe.as_deref().and_then(|exe| exe.strip_suffix(" (deleted)"));
    let replaced = gone.is_some_and(|exe| exe.ends_with("/nova-agent") || exe.ends_with("/novactl"));
    let newer = changed.is_some_and(|changed| changed > process.started + SLACK);
    if !replaced && !newer {
        return Finding::ok("the running agent is the installed one");
    }
    let finding = Finding::warn(format!("/{} changed after the agent was started", agent.program))
        .because("the running agent reads its parts out of a file that is another one now: a command fails with a zip or import error, and the agent dies")
        .seen(&agent.file, format!("changed at {} (seconds since 1970)", changed.unwrap_or_default()))
        .seen(format!("process {}", process.pid), format!("started at {}", process.started));
    mended(
        finding,
        "start it anew",
        agent.service().map(|service| hands.restart(service)).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::remedy::tests::hands;
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::Kind;
    use crate::facts::agents::tests::{agent, unit};
    use crate::facts::init::Enabled;
    use crate::facts::os::Base;

    fn two() -> Agent {
        let yes = Enabled::Yes("link".to_owned());
        agent(Kind::Nova2, "2.1.25", vec![unit("python3-nova-agent", yes, &[])])
    }

    fn process(started: u64, exe: &str) -> Process {
        let argv = ["python3", "/usr/bin/nova-agent"].map(str::to_owned).to_vec();
        Process { pid: 7, name: "python3".to_owned(), exe: Some(exe.to_owned()), argv, started }
    }

    fn state(active: &str, sub: &str, result: &str) -> State {
        State {
            active: active.to_owned(),
            sub: sub.to_owned(),
            result: result.to_owned(),
            ..State::default()
        }
    }

    fn judged(state: Option<&State>) -> Finding {
        let agent = two();
        let reason = Evidence { source: "journal".to_owned(), text: "x".to_owned() };
        judge_stopped(&agent, &agent.services[0], state, vec![reason], &hands(Base::Debian))
    }

    #[test]
    fn a_service_without_a_process_fails_in_each_of_its_states() {
        let cases = [
            (Some(state("failed", "failed", "exit-code")), "python3-nova-agent has failed (exit-code)"),
            (
                Some(state("active", "exited", "success")),
                "python3-nova-agent is active (exited), but no agent runs",
            ),
            (Some(state("inactive", "dead", "success")), "python3-nova-agent does not run"),
            (None, "python3-nova-agent does not run"),
        ];
        for (state, title) in cases {
            let found = judged(state.as_ref());
            assert_eq!((found.status, found.title.as_str()), (Status::Fail, title));
            assert_eq!(found.evidence.last().unwrap().source, "journal");
            let commands = found.remedy.unwrap().commands;
            assert_eq!(commands, [["systemctl", "restart", "python3-nova-agent.service"]]);
        }
    }

    #[test]
    fn what_the_journal_says_of_the_reason_is_the_remedy() {
        let agent = two();
        let text = "web01 nova-agent[7]: ModuleNotFoundError: No module named 'cryptography'".to_owned();
        let reasons = vec![Evidence { source: "journal".to_owned(), text }];
        let found = judge_stopped(&agent, &agent.services[0], None, reasons, &hands(Base::Debian));
        let what = "mend agent-interpreter (1.x: agent-libraries), which is judged above; then start it";
        assert_eq!(found.remedy.unwrap().text, what);
    }

    #[test]
    fn a_loop_of_restarts_is_told_with_its_number_and_what_ends_it() {
        let restart = "systemctl restart python3-nova-agent.service";
        let reset = "systemctl reset-failed python3-nova-agent.service";
        let cases = [
            ("failed", 5, false, "has failed (exit-code) after 5 restarts", vec![reset, restart]),
            ("activating", 7, false, "keeps dying: started again 7 times", vec![restart]),
            ("failed", 0, true, "has failed (exit-code)", vec!["systemctl daemon-reload", restart]),
            (
                "failed",
                5,
                true,
                "has failed (exit-code) after 5 restarts",
                vec!["systemctl daemon-reload", reset, restart],
            ),
        ];
        for (active, restarts, is_outdated, title, commands) in cases {
            let found = judged(Some(&State { restarts, is_outdated, ..state(active, "x", "exit-code") }));
            assert_eq!(found.title, format!("python3-nova-agent {title}"));
            let lines: Vec<String> =
                found.remedy.unwrap().commands.iter().map(|argv| argv.join(" ")).collect();
            assert_eq!(lines, commands, "{title}");
        }
    }

    #[test]
    fn what_is_not_started_at_boot_is_left_to_that_finding() {
        assert_eq!(judge_unserved(&two(), None).status, Status::Skipped);
        assert_eq!(judge_unserved(&two(), Some(&process(0, "/usr/bin/python3.11"))).status, Status::Ok);
    }

    #[test]
    fn a_program_that_changed_after_the_start_is_stale() {
        let cases = [
            (1000, "/usr/bin/python3.11", Some(900), Status::Ok),
            (1000, "/usr/bin/python3.11", Some(1003), Status::Ok),
            (1000, "/usr/bin/python3.11", Some(2000), Status::Warn),
            (1000, "/usr/share/nova-agent/1.39.1/sbin/nova-agent (deleted)", Some(900), Status::Warn),
            (1000, "/usr/sbin/novactl (deleted)", Some(1003), Status::Warn),
            (1000, "/usr/bin/python3.11 (deleted)", Some(900), Status::Ok),
            (1000, "/usr/bin/python3.11", None, Status::Ok),
        ];
        for (started, exe, changed, want) in cases {
            let found = judge_fresh(&two(), &process(started, exe), changed, &hands(Base::Debian));
            assert_eq!(found.status, want, "{exe} {changed:?}");
        }
    }
}
