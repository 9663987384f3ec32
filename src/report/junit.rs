//! JUnit's XML: a test suite, in it a test case for each finding.
//!
//! There is no standard; this is what both widely used schemas take, that of Ant's JUnit task and that of Jenkins'
//! xUnit plugin. A warning is a failure only where it counts as a problem (`--strict`); else it passes and is told in
//! the suite's output.

use std::fmt::Write;

use super::Diagnosed;
use crate::check::{Finding, Status, Strictness};
use crate::date::Date;
use crate::ui::visible;

/// How a test case ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failure,
    Error,
    Skipped,
}

/// Returns the document.
pub fn text(diagnosed: &Diagnosed<'_>) -> String {
    let outcomes: Vec<_> = diagnosed.findings.iter().map(|f| outcome(f, diagnosed.strictness)).collect();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let date = Date::of(diagnosed.at);
    let (hour, minute, second) = date.clock();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // writing to a string cannot fail
    let _ = writeln!(
        out,
        "<testsuite package=\"novactl\" id=\"0\" name=\"{}\" hostname=\"{}\" \
         timestamp=\"{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}\" \
         tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\">",
        diagnosed.command,
        escaped(diagnosed.hostname.filter(|name| !name.trim().is_empty()).unwrap_or("localhost")),
        date.year,
        date.month,
        date.day,
        outcomes.len(),
        count(Outcome::Failure),
        count(Outcome::Error),
        count(Outcome::Skipped),
        seconds(total_us(diagnosed.findings)),
    );
    out.push_str("<properties>\n");
    for (name, value) in &diagnosed.facts {
        let _ = writeln!(out, "<property name=\"{name}\" value=\"{}\"/>", escaped(value));
    }
    out.push_str("</properties>\n");
    for (finding, outcome) in diagnosed.findings.iter().zip(&outcomes) {
        case(&mut out, finding, *outcome);
    }
    out.push_str("<system-out>");
    let passed_warnings = diagnosed.findings.iter().zip(&outcomes);
    for (finding, _) in passed_warnings.filter(|(f, o)| f.status == Status::Warn && **o == Outcome::Passed) {
        let _ = writeln!(out, "warn {}: {}", finding.id, escaped(&finding.title));
    }
    let _ = writeln!(out, "{} {}</system-out>", diagnosed.verdict.word(), diagnosed.summary);
    out.push_str("<system-err></system-err>\n</testsuite>\n</testsuites>\n");
    out
}

fn outcome(finding: &Finding, strictness: Strictness) -> Outcome {
    match (finding.status, strictness) {
        (Status::Fail, _) | (Status::Warn, Strictness::Warnings) => Outcome::Failure,
        (Status::Unknown, _) => Outcome::Error,
        (Status::Skipped | Status::Blocked, _) => Outcome::Skipped,
        (Status::Ok | Status::Note | Status::Warn, _) => Outcome::Passed,
    }
}

fn case(out: &mut String, finding: &Finding, outcome: Outcome) {
    let subject = finding.subject.as_deref().map_or(String::new(), |subject| format!(" {subject}"));
    let _ = write!(
        out,
        "<testcase classname=\"novactl.{}\" name=\"{}\" time=\"{}\"",
        finding.topic.word(),
        escaped(&format!("{}{subject}", finding.id)),
        seconds(finding.elapsed_us),
    );
    let title = escaped(&finding.title);
    let kind = finding.status.word();
    let element = match outcome {
        Outcome::Passed => return out.push_str("/>\n"),
        Outcome::Skipped => {
            let _ = writeln!(out, "><skipped message=\"{title}\"/></testcase>");
            return;
        }
        Outcome::Failure => "failure",
        Outcome::Error => "error",
    };
    let _ = writeln!(out, "><{element} type=\"{kind}\" message=\"{title}\">");
    let evidence = finding.evidence.iter().map(|seen| format!("{}: {}", seen.source, seen.text));
    let remedy = finding.remedy.iter().map(|remedy| format!("fix: {}", remedy.text));
    for line in finding.why.iter().cloned().chain(evidence).chain(remedy) {
        let _ = writeln!(out, "{}", escaped(&line));
    }
    let commands = finding.remedy.iter().flat_map(|remedy| &remedy.commands);
    for command in commands {
        let _ = writeln!(out, "$ {}", escaped(&crate::ui::shell_line(command)));
    }
    let _ = writeln!(out, "</{element}></testcase>");
}

/// The findings of a check have its time each.
fn total_us(findings: &[Finding]) -> u64 {
    let mut last = "";
    findings.iter().filter(|f| std::mem::replace(&mut last, f.id) != f.id).map(|f| f.elapsed_us).sum()
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Escapes text for XML 1.0, which has no way at all to write most control characters (section 2.2): they are
/// spelt as the screen spells them, and so are the two code points that are no characters.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::tests::diagnosed;

    #[test]
    fn each_finding_is_a_case_and_a_warning_fails_when_it_counts() {
        let facts = [("os", "a\"<\u{1b}".to_owned())];
        let whole = text(&diagnosed(&facts));
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
<testsuite package="novactl" id="0" name="doctor" hostname="web01" timestamp="2023-11-14T22:13:20" tests="4" failures="1" errors="0" skipped="0" time="0.000030">
<properties>
<property name="os" value="a&quot;&lt;\u{1b}"/>
</properties>
<testcase classname="novactl.agent" name="agent-unit-native usr/sbin/nova-agent" time="0.000010"><failure type="fail" message="ignored &lt;link&gt;">
nothing starts
etc/init.d/nova-agent: link to ```
fix: copy it
$ cp 'a b' c
</failure></testcase>
<testcase classname="novactl.agent" name="agent-unit-native other" time="0.000010"/>
<testcase classname="novactl.agent" name="agent-log" time="0.000010"/>
<testcase classname="novactl.agent" name="agent-version" time="0.000010"/>
<system-out>warn agent-log: trouble
BROKEN 1 problem, 1 warning (4 checks: 1 ok, 1 note)</system-out>
<system-err></system-err>
</testsuite>
</testsuites>
"#;
        assert_eq!(whole, expected);
        let strict = text(&Diagnosed { strictness: Strictness::Warnings, ..diagnosed(&facts) });
        assert!(strict.contains("failures=\"2\""), "{strict}");
    }

    proptest! {
        #[test]
        fn any_text_is_made_of_characters_that_xml_has(text in any::<String>()) {
            let escaped = escaped(&text);
            let is_wrong = |c: char| c < ' ' || matches!(c, '<' | '>' | '"' | '\u{fffe}' | '\u{ffff}');
            prop_assert_eq!(escaped.chars().find(|c| is_wrong(*c)), None);
        }
    }
}
