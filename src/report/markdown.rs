//! A ticket's text: verdict, facts, findings with their evidence, the route.
//!
//! What comes from the disk stands in code fences that it cannot close, or has every mark of Markdown escaped.

use std::fmt::Write;

use super::Diagnosed;
use crate::check::{Finding, Status};
use crate::date::Date;
use crate::route::Route;
use crate::ui::{shell_line, visible};

/// Findings that have a word of their own by which tickets are found.
const TAGS: [(&str, &str); 1] = [("agent-unit-native", "rm14157")];

/// The most lines of evidence of one finding.
const EVIDENCE_MAX: usize = 20;

/// Returns the text.
pub fn text(diagnosed: &Diagnosed<'_>) -> String {
    let mut out = String::new();
    let name = escaped(diagnosed.hostname.unwrap_or("no host name"));
    // writing to a string cannot fail
    let _ = writeln!(out, "# {} {}: {}\n", diagnosed.verdict.word(), name, diagnosed.summary.problems());
    let tags: Vec<_> = TAGS.iter().filter(|(id, _)| fires(diagnosed, id)).map(|(_, tag)| *tag).collect();
    if !tags.is_empty() {
        let _ = writeln!(out, "Tags: {}\n", tags.join(", "));
    }
    out.push_str("| fact | value |\n|---|---|\n");
    for (name, value) in diagnosed.facts.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(out, "| {} | {} |", name.replace('_', " "), escaped(value));
    }
    let _ = writeln!(out, "| checks | {} |", escaped(&diagnosed.summary.to_string()));
    let _ = writeln!(out, "| looked at | {} UTC |", Date::of(diagnosed.at));
    let _ = writeln!(out, "| by | novactl {} {} |", env!("CARGO_PKG_VERSION"), diagnosed.command);

    let told = [Status::Fail, Status::Warn, Status::Unknown, Status::Note];
    if diagnosed.findings.iter().any(|finding| told.contains(&finding.status)) {
        out.push_str("\n## Findings\n");
    }
    // problems keep their order among each other: the cause is first
    let matters = |f: &&Finding| told[..3].contains(&f.status);
    let notes = diagnosed.findings.iter().filter(|f| f.status == Status::Note);
    for finding in diagnosed.findings.iter().filter(matters).chain(notes) {
        write_finding(&mut out, finding);
    }
    if let Some(route) = diagnosed.route {
        write_route(&mut out, route);
    }
    out
}

fn fires(diagnosed: &Diagnosed<'_>, id: &str) -> bool {
    diagnosed.findings.iter().any(|f| f.id == id && matches!(f.status, Status::Fail | Status::Warn))
}

fn write_finding(out: &mut String, finding: &Finding) {
    let subject = finding.subject.as_deref().map_or(String::new(), |s| format!(" {}", escaped(s)));
    let _ = writeln!(out, "\n### {} {}{subject}\n", finding.status.word().to_uppercase(), finding.id);
    let _ = writeln!(out, "{}", escaped(&finding.title));
    if let Some(why) = &finding.why {
        let _ = writeln!(out, "\n{}", escaped(why));
    }
    let seen = finding.evidence.iter().take(EVIDENCE_MAX);
    let mut lines: Vec<_> = seen.map(|seen| format!("{}: {}", seen.source, seen.text)).collect();
    if finding.evidence.len() > EVIDENCE_MAX {
        lines.push(format!("and {} more", finding.evidence.len() - EVIDENCE_MAX));
    }
    fence(out, "", "text", &lines);
    if let Some(remedy) = &finding.remedy {
        if !remedy.text.is_empty() {
            let _ = writeln!(out, "\nFix: {}", escaped(&remedy.text));
        }
        fence(out, "", "sh", &remedy.commands.iter().map(|command| shell_line(command)).collect::<Vec<_>>());
    }
}

fn write_route(out: &mut String, route: &Route) {
    let _ = writeln!(out, "\n## Recovery route {}: {}\n", route.number, escaped(route.title));
    for (number, step) in route.steps.iter().enumerate() {
        let _ = writeln!(out, "{}. {}", number + 1, escaped(&step.text));
        let commands: Vec<_> = step.commands.iter().map(|command| shell_line(command)).collect();
        fence(out, "   ", "sh", &commands);
    }
}

/// Writes lines as code. The fence is longer than any run of backticks in them, so none of them closes it.
fn fence(out: &mut String, indent: &str, language: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let lines: Vec<_> = lines.iter().map(|line| visible(line)).collect();
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "\n{indent}{fence}{language}");
    for line in lines {
        let _ = writeln!(out, "{indent}{line}");
    }
    let _ = writeln!(out, "{indent}{fence}");
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Escapes what Markdown or HTML would act on. Names with hyphens and underscores stay readable: a hyphen acts at the
/// beginning of a line only, where no text of the disk stands without an escape before it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (place, c) in visible(text).chars().enumerate() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => out.extend(['\\', c]),
            '-' | '+' | '=' if place == 0 => out.extend(['\\', c]),
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
    use crate::route::Step;

    #[test]
    fn a_ticket_has_the_tag_the_facts_the_findings_and_the_route() {
        let step = Step { text: "mend it".to_owned(), commands: vec![vec!["novactl".to_owned()]] };
        let route = Route { number: 1, title: "repair", steps: vec![step] };
        let facts = [("os_version", "7|2".to_owned()), ("agent_version", String::new())];
        let diagnosed = Diagnosed { route: Some(&route), ..diagnosed(&facts) };
        let expected = format!(
            "\
# BROKEN web01: 1 problem, 1 warning

Tags: rm14157

| fact | value |
|---|---|
| os version | 7\\|2 |
| checks | 1 problem, 1 warning (4 checks: 1 ok, 1 note) |
| looked at | 2023-11-14 22:13:20 UTC |
| by | novactl {} doctor |

## Findings

### FAIL agent-unit-native usr/sbin/nova-agent

ignored &lt;link&gt;

nothing starts

````text
etc/init.d/nova-agent: link to ```
````

Fix: copy it

```sh
cp 'a b' c
```

### WARN agent-log

trouble

### NOTE agent-version

old

## Recovery route 1: repair

1. mend it

   ```sh
   novactl
   ```
",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text(&diagnosed), expected);
    }

    #[test]
    fn a_link_that_is_none_has_no_tag() {
        let mut findings = crate::report::tests::findings();
        findings.retain(|f| f.status != Status::Fail);
        let diagnosed = Diagnosed { findings: &findings, ..diagnosed(&[]) };
        assert!(!text(&diagnosed).contains("rm14157"));
    }

    proptest! {
        #[test]
        fn no_line_closes_its_fence(lines in prop::collection::vec("[`~a\n\r ]{0,12}", 1..5)) {
            let mut out = String::new();
            fence(&mut out, "", "text", &lines);
            let fences: Vec<_> = out.lines().filter(|line| !line.is_empty()).collect();
            let opening = fences[0].trim_end_matches("text");
            prop_assert_eq!(fences.last().copied(), Some(opening));
            for line in &fences[1..fences.len() - 1] {
                prop_assert!(longest_run(line) < opening.len(), "{}", line);
            }
        }
    }
}
