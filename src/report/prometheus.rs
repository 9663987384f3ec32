//! Metrics in Prometheus' text format, one file for node_exporter's textfile collector.
//!
//! Every series names its command, so that the files of `doctor` and `check-xentools` can lie side by side: the
//! collector refuses a series that it sees twice. No series has a finding's subject or text: what stands on a disk
//! must not decide how many series there are.

use std::fmt::Write;

use super::Diagnosed;
use crate::check::{Status, Verdict};

/// Returns the metrics.
pub fn text(diagnosed: &Diagnosed<'_>) -> String {
    let mut out = String::new();
    let command = diagnosed.command;
    family(&mut out, "novactl_verdict", "The judgement: 0 healthy, 1 degraded, 2 broken, 3 unknown.");
    let verdict = match diagnosed.verdict {
        Verdict::Healthy => 0,
        Verdict::Degraded => 1,
        Verdict::Broken => 2,
        Verdict::Unknown => 3,
    };
    series(&mut out, "novactl_verdict", &[("command", command)], verdict);

    family(&mut out, "novactl_findings", "Findings by status.");
    for (status, count) in diagnosed.summary.perfdata() {
        // the sum of the others, which a query makes by itself
        if status != "total" {
            series(&mut out, "novactl_findings", &[("command", command), ("status", status)], count);
        }
    }

    family(
        &mut out,
        "novactl_check_state",
        "Each check that was made: 0 ok, 1 warning, 2 problem, 3 unknown.",
    );
    for (id, topic, status) in worst_of_each(diagnosed) {
        let state = match status {
            Status::Skipped | Status::Blocked => continue,
            Status::Ok | Status::Note => 0,
            Status::Warn => 1,
            Status::Fail => 2,
            Status::Unknown => 3,
        };
        let labels = [("command", command), ("topic", topic), ("check", id)];
        series(&mut out, "novactl_check_state", &labels, state);
    }

    family(&mut out, "novactl_target_info", "What was examined; always 1.");
    let facts = diagnosed.facts.iter().map(|(name, value)| (*name, value.as_str()));
    let version = ("version", env!("CARGO_PKG_VERSION"));
    let labels: Vec<_> = [("command", command), version].into_iter().chain(facts).collect();
    series(&mut out, "novactl_target_info", &labels, 1);

    family(&mut out, "novactl_last_run_timestamp_seconds", "When it was examined, in seconds since 1970.");
    series(&mut out, "novactl_last_run_timestamp_seconds", &[("command", command)], diagnosed.at);
    out
}

/// Returns each check once with its worst status: a check has a finding for every subject.
fn worst_of_each(diagnosed: &Diagnosed<'_>) -> Vec<(&'static str, &'static str, Status)> {
    let mut checks: Vec<(&str, &str, Status)> = Vec::new();
    // the findings of a check follow each other
    for finding in diagnosed.findings {
        match checks.last_mut().filter(|(id, _, _)| *id == finding.id) {
            Some((_, _, status)) => *status = (*status).max(finding.status),
            None => checks.push((finding.id, finding.topic.word(), finding.status)),
        }
    }
    checks
}

fn family(out: &mut String, name: &str, help: &str) {
    // writing to a string cannot fail
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn series(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let _ = writeln!(out, "{name}{{{}}} {value}", labels.join(","));
}

/// Escapes a label's value. A control character, which the screen would spell with a backslash of its own, becomes
/// a blank.
fn escaped(value: &str) -> String {
    let plain = value.chars().map(|c| if crate::ui::is_hidden(c) { ' ' } else { c }).collect::<String>();
    plain.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::tests::diagnosed;

    #[test]
    fn a_check_appears_once_with_its_worst_subject() {
        let text = text(&diagnosed(&[]));
        let states: Vec<_> = text.lines().filter(|line| line.starts_with("novactl_check_state")).collect();
        assert_eq!(
            states,
            [
                r#"novactl_check_state{command="doctor",topic="agent",check="agent-unit-native"} 2"#,
                r#"novactl_check_state{command="doctor",topic="agent",check="agent-log"} 1"#,
                r#"novactl_check_state{command="doctor",topic="agent",check="agent-version"} 0"#,
            ]
        );
        assert!(text.contains("novactl_verdict{command=\"doctor\"} 2\n"), "{text}");
        assert!(text.contains("novactl_findings{command=\"doctor\",status=\"warn\"} 1\n"), "{text}");
        assert!(
            text.ends_with("novactl_last_run_timestamp_seconds{command=\"doctor\"} 1700000000\n"),
            "{text}"
        );
    }

    #[test]
    fn a_hostile_release_stays_a_label() {
        assert_eq!(escaped("12\"} 1\nevil{a=\"\\"), "12\\\"} 1 evil{a=\\\"\\\\");
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_quotes(value in any::<String>()) {
            let escaped = escaped(&value);
            prop_assert!(!escaped.contains('\n'));
            let mut chars = escaped.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '"');
                if c == '\\' {
                    prop_assert!(matches!(chars.next(), Some('\\' | '"')));
                }
            }
        }
    }
}
