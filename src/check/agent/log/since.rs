//! Failures in the log that were mended after the agent wrote them: the agent's log is not written anew by that, so
//! novactl's own journal tells, or the check that judges today's files.
//!
//! A log has local time, the journal UTC: where the zone is not known to be UTC, what was done within the hours of the
//! farthest zone before the line counts as well.

use anyhow::Result;

use crate::check::{Evidence, Finding, Status, all};
use crate::date::Date;
use crate::plan::journal::{self, Record, State};
use crate::root::Root;
use crate::target::Target;

/// The files of the network, of every program that configures it.
const NETWORK: [&str; 9] = [
    "etc/netplan/",
    "etc/network/",
    "etc/NetworkManager/",
    "etc/sysconfig/network",
    "etc/systemd/network/",
    "etc/conf.d/net",
    "etc/netctl/",
    "etc/wicked/",
    "etc/rc.conf",
];

/// The most entries of the journal that are read, the newest ones; novactl itself keeps fewer.
const ENTRIES_MAX: usize = 40;

/// How far local time can be ahead of UTC, in seconds.
const AHEAD_MAX: u64 = 14 * 3600;

/// Makes notes of the failures that were mended since.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn told(target: &Target, findings: Vec<Finding>) -> Result<Vec<Finding>> {
    let is_fault = |finding: &Finding| finding.status > Status::Note && subject(finding).is_some();
    if !findings.iter().any(is_fault) {
        return Ok(findings);
    }
    let changes = changes(&target.root)?;
    let slack = if is_utc(&target.root) { 0 } else { AHEAD_MAX };
    let note = |finding: Finding| {
        if !is_fault(&finding) {
            return finding;
        }
        let failed = finding.evidence.iter().filter_map(|seen| seconds(&seen.text)).max();
        let mends = |(done, record): &&(u64, Record)| {
            failed.is_some_and(|failed| failed <= done + slack) && mends(record, subject(&finding))
        };
        if let Some((done, record)) = changes.iter().rfind(mends) {
            let seen =
                Evidence { source: format!("{}/{}", journal::DIR, record.id), text: record.title.clone() };
            return mended(finding, &format!("mended since by novactl on {} UTC", Date::of(*done)), seen);
        }
        if finding.title.contains("Error applying netplan") && has_valid_netplan(target) {
            let seen = Evidence { source: "netplan-valid".to_owned(), text: "satisfied".to_owned() };
            return mended(finding, "mended since: the files in /etc/netplan are valid now", seen);
        }
        finding
    };
    Ok(findings.into_iter().map(note).collect())
}

/// The command that failed, where a change of novactl's can mend it.
fn subject(finding: &Finding) -> Option<&str> {
    finding.subject.as_deref().filter(|name| matches!(*name, "resetnetwork" | "password"))
}

fn mended(finding: Finding, what: &str, seen: Evidence) -> Finding {
    let title = format!("{}; {what}", finding.title);
    let finding = Finding { status: Status::Note, title, remedy: None, why: None, ..finding };
    finding.seen(seen.source, seen.text)
}

/// Returns the finished changes that stand, with their times, the oldest first. One that cannot be read proves nothing.
fn changes(root: &Root) -> Result<Vec<(u64, Record)>> {
    let ids = journal::ids(root)?;
    let newest = &ids[ids.len().saturating_sub(ENTRIES_MAX)..];
    let records = newest.iter().filter_map(|id| Some((seconds(id)?, journal::record_opt(root, id).ok()??)));
    Ok(records.filter(|(_, record)| record.state == State::Done).collect())
}

fn mends(record: &Record, command: Option<&str>) -> bool {
    match command {
        Some("password") => record.verb == "set-password" && record.title.ends_with(" of root"),
        _ if record.verb == "reset-network" => true,
        _ => {
            let is_of_network = |path: &str| NETWORK.iter().any(|place| path.starts_with(place));
            record.verb.starts_with("fix") && record.files.iter().any(|file| is_of_network(&file.path))
        }
    }
}

fn has_valid_netplan(target: &Target) -> bool {
    let found = all().find(|check| check.id == "netplan-valid").and_then(|check| (check.probe)(target).ok());
    let found = found.unwrap_or_default();
    !found.is_empty() && found.iter().all(|finding| matches!(finding.status, Status::Ok | Status::Note))
}

/// Without etc/localtime the zone is UTC (tzset(3)).
fn is_utc(root: &Root) -> bool {
    match root.link_opt("etc/localtime") {
        Ok(Some(to)) => ["/UTC", "/UCT", "/Zulu", "/Universal"].iter().any(|zone| to.ends_with(zone)),
        Ok(None) => root.lstat_opt("etc/localtime").is_ok_and(|stat| stat.is_none()),
        Err(_) => false,
    }
}

/// Reads `2026-11-21 22:53:00` or `20261121T225300Z` at the beginning of a text, as if it were UTC.
fn seconds(text: &str) -> Option<u64> {
    let head = text.bytes().take(19).take_while(|byte| *byte != b'Z');
    let digits: Vec<u8> = head.filter(u8::is_ascii_digit).collect();
    let number = |from: usize, to: usize| {
        digits.get(from..to).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok())
    };
    let seconds = number(8, 10)? * 3600 + number(10, 12)? * 60 + number(12, 14)?;
    Some(Date { year: number(0, 4)?, month: number(4, 6)?, day: number(6, 8)?, seconds }.time())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::agent::tests::offline;
    use crate::facts::agents::tests::{link, put};
    use proptest::prelude::*;

    fn failed(command: &str, title: &str) -> Finding {
        Finding::fail(title)
            .about(command)
            .seen("var/log/nova-agent.log:7", "2026-11-22 03:14:09 Returning x")
    }

    fn note(done: &str, verb: &str, state: &str, title: &str, path: &str, command: &str) -> Status {
        let dir = tempfile::tempdir().unwrap();
        let id = format!("{done}-{verb}");
        let file = format!(
            r#"{{"path":"{path}","before":{{"kind":"absent"}},"after":{{"kind":"absent"}},"secret":"open"}}"#
        );
        let record = format!(
            r#"{{"schema":"novactl.journal/1","id":"{id}","verb":"{verb}","title":"{title}","state":"{state}",
               "files":[{file}],"made_dirs":[],"activate":[],"steps":[],"revert_at":null}}"#
        );
        put(dir.path(), &format!("var/lib/novactl/undo/{id}/record.json"), record);
        link(dir.path(), "etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
        told(&offline(dir.path()), vec![failed(command, "x")]).unwrap()[0].status
    }

    #[test]
    fn a_failure_is_mended_by_the_change_that_does_its_work_and_stands() {
        let (later, before) = ("20261122T031500Z", "20261122T031400Z");
        let eni = "etc/network/interfaces";
        for (done, verb, state, title, path, command, want) in [
            (later, "reset-network", "done", "x", eni, "resetnetwork", Status::Note),
            (before, "reset-network", "done", "x", eni, "resetnetwork", Status::Fail),
            (later, "reset-network", "undone", "x", eni, "resetnetwork", Status::Fail),
            (later, "reset-network", "open", "x", eni, "resetnetwork", Status::Fail),
            (later, "reset-network", "done", "x", eni, "password", Status::Fail),
            (later, "fix", "done", "x", "etc/netplan/a.yaml", "resetnetwork", Status::Note),
            (later, "fix", "done", "x", "etc/shadow", "resetnetwork", Status::Fail),
            (
                later,
                "set-password",
                "done",
                "set the password of root",
                "etc/shadow",
                "password",
                Status::Note,
            ),
            (
                later,
                "set-password",
                "done",
                "set the password of web",
                "etc/shadow",
                "password",
                Status::Fail,
            ),
            (later, "reset-network", "done", "x", eni, "injectfile", Status::Fail),
        ] {
            assert_eq!(
                note(done, verb, state, title, path, command),
                want,
                "{done} {verb} {state} {title} {path}"
            );
        }
    }

    #[test]
    fn both_spellings_of_a_time_are_read() {
        assert_eq!(seconds("20261121T231500Z-reset-network"), Some(1_795_302_900));
        assert_eq!(seconds("2026-11-21 23:15:00 Returning 5"), Some(1_795_302_900));
        assert_eq!(seconds("Returning 5"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[0-9TZ:. é-]{0,24}") {
            seconds(&text);
        }
    }
}
