//! Logs with and without the known signatures.

use super::super::tests::offline;
use super::*;
use crate::facts::agents::tests::{agent, put};
use crate::facts::log::tests::{log as log_of, two};

const START: [&str; 3] = [
    "Agent is starting up",
    "Skipping os.fork as directed by arguments",
    "Starting actions for novaagent.libs.centos",
];
const EVENT: &str = "Event: 1b2c -> resetnetwork";
const GOOD: &str = "Returning {\"message\": \"\", \"returncode\": \"0\"}";

fn found(lines: &[&str], process: Process) -> Vec<(Status, String)> {
    let log = log_of(&two(lines));
    let findings = judge(&log, &agent(Kind::Nova2, "2.1.25", vec![]), process, "rocky", &[]);
    findings.into_iter().map(|f| (f.status, f.title)).collect()
}

fn after_start<'l>(lines: &[&'l str]) -> Vec<&'l str> {
    START.into_iter().chain(lines.iter().copied()).collect()
}

/// Returns the findings about the last run, seen on a mounted disk.
fn offline_run(lines: &[&str]) -> Vec<(Status, String)> {
    found(&after_start(lines), Process::Offline)
}

fn fail(title: &str) -> Vec<(Status, String)> {
    vec![(Status::Fail, title.to_owned())]
}

#[test]
fn a_healthy_log_is_ok_in_each_place() {
    let lines = after_start(&[
        "Provider: Rackspace",
        "Event: a -> keyinit",
        "Returning {\"message\": \"12\", \"returncode\": \"D0\"}",
        EVENT,
        "Interface BC764E207572: {}",
        "Interface BC764E203B70: {}",
        GOOD,
    ]);
    for process in [Process::Runs, Process::Gone, Process::Offline] {
        let want = "2 requests since 2026-11-21 22:53:00, no failure".to_owned();
        assert_eq!(found(&lines, process), [(Status::Ok, want)]);
    }
}

#[test]
fn a_request_without_an_answer_at_the_end_is_a_crash_unless_the_agent_runs() {
    let lines = after_start(&[EVENT]);
    let title = "the agent died while it executed resetnetwork";
    assert_eq!(found(&lines, Process::Offline), fail(title));
    assert_eq!(found(&lines, Process::Gone), fail(title));
    assert_eq!(found(&lines, Process::Runs)[0].0, Status::Ok);
}

#[test]
fn a_request_that_kills_every_run_is_named() {
    let run = after_start(&[EVENT]);
    let lines: Vec<&str> = run.iter().chain(&run).chain(&run).copied().collect();
    assert_eq!(found(&lines, Process::Runs), fail("one resetnetwork request killed the agent 3 times"));
}

#[test]
fn a_crash_of_the_run_before_warns_until_the_command_has_worked() {
    let crashed = after_start(&[EVENT]);
    let idle: Vec<&str> = crashed.iter().copied().chain(START).collect();
    let want = (Status::Warn, "the agent's run before this one ended inside resetnetwork".to_owned());
    assert_eq!(found(&idle, Process::Runs), [want]);
    let mended: Vec<&str> = idle.iter().copied().chain(["Event: 9 -> resetnetwork", GOOD]).collect();
    assert_eq!(found(&mended, Process::Runs)[0].0, Status::Ok);
}

#[test]
fn bare_starts_in_a_row_mean_that_it_dies_at_start() {
    let start = ["Agent is starting up", "Skipping os.fork"];
    let twice = [start, start].concat();
    assert_eq!(
        found(&twice, Process::Offline),
        fail("the agent ended right after its start, 2 times in a row")
    );
    assert_eq!(found(&start, Process::Gone), fail("the agent ended right after its start"));
    assert_eq!(found(&start, Process::Offline)[0].0, Status::Ok);
    assert_eq!(found(&twice, Process::Runs)[0].0, Status::Ok);
}

#[test]
fn the_provider_counts_in_the_last_run_only() {
    let lines = ["Provider: None", "Invalid provider for instance, agent will exit"];
    let title = "the agent ended because the host did not name its provider";
    assert_eq!(offline_run(&lines), fail(title));
    let since: Vec<&str> = after_start(&lines).into_iter().chain(START).collect();
    assert_eq!(found(&since, Process::Runs)[0].0, Status::Ok);
}

#[test]
fn a_reset_that_failed_is_told_with_its_meaning_until_one_works() {
    let failed = "Returning {\"message\": \"Error restarting network\", \"returncode\": \"5\"}";
    let title = "the last resetnetwork failed with code 5: Error restarting network";
    assert_eq!(offline_run(&[EVENT, failed]), fail(title));
    assert_eq!(offline_run(&[EVENT, failed, "Event: 2 -> resetnetwork", GOOD])[0].0, Status::Ok);
    let netplan = "Returning {\"message\": \"Error applying netplan: b'x'\", \"returncode\": \"1\"}";
    assert_eq!(offline_run(&[EVENT, netplan])[0].0, Status::Fail);
}

#[test]
fn another_command_that_failed_is_a_warning() {
    let failed = "Returning {\"message\": \"Password without key exchange\", \"returncode\": \"500\"}";
    let want = "the last password failed with code 500: Password without key exchange".to_owned();
    assert_eq!(offline_run(&["Event: 1 -> password", failed]), [(Status::Warn, want)]);
}

#[test]
fn the_old_agents_answers_count_and_what_upstart_refuses_is_harmless() {
    let text = "2016-02-24 11:19:44,033 [INFO] Agent 1.39.1 started\n\
        2016-02-24 11:21:44,033 [DEBUG] Received command 'resetnetwork' with argument: ''\n\
        2016-02-24 11:21:46,033 [INFO] 'resetnetwork' completed with code '500', message '";
    let of = |message: &str, os| {
        let log = log_of(&format!("{text}{message}'\n"));
        judge(&log, &agent(Kind::Nova1, "1.39.1", vec![]), Process::Runs, os, &[])[0].status
    };
    assert_eq!(of("Unknown interface MAC BC:76:4E:00:00:01", "centos"), Status::Fail);
    assert_eq!(of("Couldn't restart network: 256", "ubuntu"), Status::Fail);
    assert_eq!(of("Couldn't restart network: 1", "ubuntu"), Status::Note);
}

#[test]
fn a_dead_handle_repeats_its_error() {
    let error = "2016-02-24 11:21:46,033 [ERROR] Error receiving request: A python exception has occurred:\n[EXC] x\n";
    let of = |count: usize, end: &str| {
        let log = log_of(&format!(
            "2016-02-24 11:19:44,033 [INFO] Agent 1.39.1 started\n{}{end}",
            error.repeat(count)
        ));
        judge(&log, &agent(Kind::Nova1, "1.39.1", vec![]), Process::Runs, "centos", &[])[0].status
    };
    assert_eq!(of(5, ""), Status::Fail);
    assert_eq!(of(1, ""), Status::Ok);
    let received = "2016-02-24 11:22:44,033 [DEBUG] Received command 'version' with argument: ''\n\
        2016-02-24 11:22:45,033 [INFO] 'version' completed with code '0', message '1.39.1'\n";
    assert_eq!(of(5, received), Status::Ok);
}

#[test]
fn lines_of_the_last_reset_tell_what_its_answer_hides() {
    let title = "the last network reset could not read the host's data";
    assert_eq!(offline_run(&[EVENT, "Exception was caught getting mac addrs: x", GOOD]), fail(title));
    assert_eq!(
        offline_run(&[EVENT, "Exception was caught getting the interface: Expecting value", GOOD]),
        fail(title)
    );
    let twice = [EVENT, "Interface BC764E207572: {}", "Interface BC764E207572: {}", GOOD];
    let want = "the last network reset configured two interfaces with the MAC BC764E207572".to_owned();
    assert_eq!(offline_run(&twice), [(Status::Warn, want)]);
    let mended = [EVENT, "Exception was caught getting mac addrs: x", GOOD, "Event: 3 -> resetnetwork", GOOD];
    assert_eq!(offline_run(&mended)[0].0, Status::Ok);
}

#[test]
fn a_request_that_was_executed_again_is_told_while_it_is_the_last() {
    let refused = "Exception was caught removing xen event: [Errno 13]";
    let title = "one resetnetwork request was executed 2 times";
    let twice = after_start(&[EVENT, refused, GOOD, EVENT, refused, GOOD]);
    let want = [
        (Status::Warn, "the agent could not remove its last request".to_owned()),
        (Status::Warn, title.to_owned()),
    ];
    assert_eq!(found(&twice, Process::Runs), want);
    let after_a_start: Vec<&str> = after_start(&[EVENT, GOOD]).repeat(2);
    assert_eq!(found(&after_a_start, Process::Runs), [(Status::Note, title.to_owned())]);
    let and_on: Vec<&str> = twice.iter().copied().chain(["Event: 9 -> version", GOOD]).collect();
    assert_eq!(found(&and_on, Process::Runs)[0].0, Status::Ok);
}

#[test]
fn a_password_that_failed_is_told_with_its_reason() {
    for (message, want) in [
        ("Password without key exchange", "started anew between the two halves"),
        ("Failed to change password for root: 1 : b'BAD PASSWORD: too short'", "pwquality"),
        (
            "Failed to change password for root: 10 : b'Authentication token manipulation error'",
            "/etc/shadow",
        ),
        ("Failed to change password for root: 7", "passwd refused"),
        ("something else", "the password that the panel shows"),
    ] {
        let answer = format!("Returning {{\"message\": \"{message}\", \"returncode\": \"500\"}}");
        let log = log_of(&two(&after_start(&["Event: 9 -> password", &answer])));
        let findings = judge(&log, &agent(Kind::Nova2, "2.1.25", vec![]), Process::Offline, "rocky", &[]);
        let why = findings[0].why.clone().unwrap();
        assert!(findings.len() == 1 && why.contains(want), "{message}: {why}");
    }
}

#[test]
fn the_old_device_fails_under_python_3_only() {
    let lines = ["Using /proc/xen/xenbus", "Provider: Rackspace"];
    assert_eq!(offline_run(&lines), fail("the agent talks to /proc/xen/xenbus and sees no request"));
    assert_eq!(offline_run(&[lines[0], EVENT, GOOD])[0].0, Status::Ok);
}

#[test]
fn the_line_is_quoted_with_its_time_and_place() {
    let log = log_of(&two(&after_start(&[EVENT])));
    let findings = judge(&log, &agent(Kind::Nova2, "2.1.25", vec![]), Process::Offline, "rocky", &[]);
    let evidence = &findings[0].evidence[0];
    assert_eq!(evidence.source, "var/log/nova-agent.log:4");
    assert_eq!(evidence.text, "2026-11-21 22:53:03 Event: 1b2c -> resetnetwork");
}

#[test]
fn no_log_is_skipped_and_one_that_is_no_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "usr/sbin/nova-agent", b"\x7fELF");
    assert_eq!(log(&offline(dir.path())).unwrap()[0].status, Status::Skipped);
    put(dir.path(), "var/log/nova-agent.log/x", "");
    assert!(log(&offline(dir.path())).is_err());
}

#[test]
fn the_log_of_the_agent_before_is_not_held_against_novactl() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "usr/sbin/novactl", b"\x7fELF");
    put(dir.path(), "etc/inittab", "id:3:initdefault:\n");
    put(dir.path(), "etc/init.d/novactl-agent", include_str!("../../../../packaging/novactl-agent.init"));
    put(dir.path(), log::PATH, two(&after_start(&[EVENT])));
    let judged = || log(&offline(dir.path())).unwrap().into_iter().map(|f| f.status).collect::<Vec<_>>();
    assert_eq!(judged(), [Status::Skipped]);
    put(dir.path(), log::NOVACTL_PATH, two(&["Agent is starting up: novactl 0.1.0", EVENT]));
    assert_eq!(judged(), [Status::Fail]);
}

#[test]
fn a_large_log_and_a_full_disk_warn() {
    let space = |free: u64, total: u64| {
        let (free, total) = (free << 20, total << 20);
        Some(Space { free, free_for_root: free, total, inodes: None })
    };
    let cases = [
        (101 << 20, space(9000, 20_000), vec![Status::Warn]),
        (10 << 30, None, vec![Status::Warn]),
        (1 << 20, space(100, 20_000), vec![Status::Warn]),
        (1 << 20, space(1, 64), vec![Status::Warn]),
        (200 << 20, space(0, 20_000), vec![Status::Warn, Status::Warn]),
        (100 << 20, space(300, 2_000_000), vec![Status::Ok]),
        (1 << 20, space(10, 64), vec![Status::Ok]),
        (0, None, vec![Status::Ok]),
    ];
    for (size, space, want) in cases {
        let statuses: Vec<Status> = judge_size(size, space, None).iter().map(|f| f.status).collect();
        assert_eq!(statuses, want, "{size} {space:?}");
    }
    let rotated = judge_size(101 << 20, space(9000, 20_000), Some("etc/logrotate.d/nova-agent"));
    assert_eq!(rotated[0].status, Status::Note);
}
