//! The text file of a syslog daemon: which lines are of the last boot and about a service, and when they were written.
//!
//! A line tells no year and no zone. The last one was written when the file was, and the others that much earlier.

use super::{LINE_MAX, LINES_MAX, Names, Said, is_systemds};
use crate::date::Date;

/// What the kernel says first at every boot.
const BOOT: &str = "Linux version ";

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Returns the lines about a service; without a boot in it, a text does not say which lines are of the last one.
pub(super) fn about(path: &str, text: &str, written: u64, names: &Names<'_>) -> Vec<Said> {
    let last_boot = of_last_boot(text);
    let lines: Vec<&str> = last_boot.lines().filter(|line| is_about(line, names)).collect();
    let kept = &lines[lines.len().saturating_sub(LINES_MAX)..];
    let clock = Clock::of(last_boot, written).filter(|_| names.description.is_some());
    kept.iter().map(|line| said(path, line, clock.as_ref())).collect()
}

/// Returns the last line of the kernel that says that a program died of a signal.
pub(super) fn segfault(path: &str, text: &str, written: u64, program: &str) -> Option<Said> {
    let last_boot = of_last_boot(text);
    let is_it = |line: &&str| {
        let Some((_, rest)) = line.split_once(" kernel: ") else { return false };
        let rest = rest
            .trim_start_matches(|c: char| c == '[' || c == ']' || c == '.' || c == ' ' || c.is_ascii_digit());
        rest.strip_prefix(program)
            .is_some_and(|rest| rest.starts_with('[') && rest.contains("]: segfault at "))
    };
    let line = last_boot.lines().rfind(is_it)?;
    Some(said(path, line, Clock::of(last_boot, written).as_ref()))
}

fn of_last_boot(text: &str) -> &str {
    let Some(at) = text.rfind(BOOT) else { return "" };
    &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..]
}

fn said(path: &str, line: &str, clock: Option<&Clock>) -> Said {
    Said {
        source: path.to_owned(),
        time: clock.and_then(|clock| clock.time(line)),
        by_systemd: is_systemds(line),
        text: line.chars().take(LINE_MAX).collect(),
    }
}

fn is_about(line: &str, names: &Names<'_>) -> bool {
    let is_described = names.description.is_some_and(|text| is_systemds(line) && line.contains(text));
    is_described
        || has_unit(line, names.unit)
        || names.program.is_some_and(|program| tag(line) == Some(program))
}

/// Whether a line has this unit in it, and not one whose name ends alike.
fn has_unit(line: &str, unit: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    line.match_indices(unit).any(|(at, _)| !line[..at].ends_with(is_of_name))
}

/// Returns the program that a line is of: what follows time and host.
fn tag(line: &str) -> Option<&str> {
    let (_, rest) = stamp(line)?;
    let (_host, rest) = rest.trim_start().split_once(' ')?;
    rest.split([':', '[', ' ']).next()
}

/// The time of lines by that of the last one.
struct Clock {
    written: u64,
    last: Date,
}

impl Clock {
    fn of(text: &str, written: u64) -> Option<Self> {
        let (mut last, _) = text.lines().rev().find_map(stamp)?;
        // whether February had 29 days is told by the year of the file; only that counts, and 400 years repeat it
        let file = Date::of(written);
        last.year = 2000 + file.year % 400;
        // the file's time is in UTC, its lines are in the zone of the system
        match (last.month, file.month) {
            (12, 1) => last.year -= 1,
            (1, 12) => last.year += 1,
            _ => {}
        }
        Some(Self { written, last })
    }

    fn time(&self, line: &str) -> Option<u64> {
        let (mut date, _) = stamp(line)?;
        date.year = self.last.year;
        // the year has changed in between
        if date > self.last {
            date.year -= 1;
        }
        Some(self.written.saturating_sub(self.last.time().saturating_sub(date.time())))
    }
}

/// Splits off the time, `Nov 21 10:00:04` or `2026-11-21T10:00:04.123456+00:00`; the year of the former is none.
fn stamp(line: &str) -> Option<(Date, &str)> {
    let number = |text: &str| text.trim_start().parse::<u64>().ok();
    let date = |month: u64, day: &str, clock: &str| {
        let mut parts = clock.splitn(3, ':');
        let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
        let day = number(day).filter(|day| (1..=31).contains(day))?;
        let seconds = hour.min(23) * 3600 + minute.min(59) * 60 + second.min(60);
        (1..=12).contains(&month).then_some(Date { year: 2001, month, day, seconds })
    };
    if let Some(month) = line.get(..3).and_then(|name| MONTHS.iter().position(|month| *month == name)) {
        let month = u64::try_from(month).ok()? + 1;
        return Some((date(month, line.get(4..6)?, line.get(7..15)?)?, line.get(15..)?));
    }
    if line.get(4..5)? != "-" || line.get(10..11)? != "T" {
        return None;
    }
    let date = date(number(line.get(5..7)?)?, line.get(8..10)?, line.get(11..19)?)?;
    Some((date, &line[line.find(' ')?..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: Names<'_> = Names {
        unit: "nova-agent.service",
        description: Some("Nova Agent for xenstore"),
        program: Some("nova-agent"),
    };

    #[test]
    fn the_lines_of_the_last_boot_count() {
        let text = "Nov 20 10:00:00 web01 systemd[1]: nova-agent.service: Failed with result 'timeout'.\n\
            Nov 21 10:00:00 web01 kernel: Linux version 6.1.0\n\
            Nov 21 10:00:04 web01 systemd[1]: Starting Nova Agent for xenstore...\n\
            Nov 21 10:00:05 web01 systemd[1]: nova-agent.service: start operation timed out. Terminating.\n\
            Nov 21 10:00:05 web01 nova-agent: KeyError: 'label'\n\
            Nov 21 10:00:06 web01 systemd[1]: Started cron.service.\n\
            Nov 21 10:00:06 web01 other: Nova Agent for xenstore\n\
            Nov 21 10:00:07 web01 systemd[1]: python3-nova-agent.service: Failed with result 'exit-code'.\n";
        let lines = |said: Vec<Said>| -> Vec<(Option<u64>, bool, String)> {
            said.into_iter().map(|said| (said.time, said.by_systemd, said.text)).collect()
        };
        let line = |number: usize| text.lines().nth(number).unwrap().to_owned();
        assert_eq!(
            lines(about("x", text, 1_000_007, &NAMES)),
            [
                (Some(1_000_004), true, line(2)),
                (Some(1_000_005), true, line(3)),
                (Some(1_000_005), false, line(4)),
            ]
        );
        // without the description a start cannot be told, so no time is
        let unknown = Names { description: None, program: None, ..NAMES };
        assert_eq!(lines(about("x", text, 1_000_007, &unknown)), [(None, true, line(3))]);
        assert_eq!(about("x", &text.replace("Linux version", ""), 0, &NAMES), []);
    }

    #[test]
    fn a_line_is_as_old_as_the_last_one_tells() {
        let times = |first: &str, last: &str| {
            let text = format!("{first} web01 kernel: x\n{last} web01 cron: y\nnot a line of it\n");
            Clock::of(&text, 10_000_000).unwrap().time(text.lines().next().unwrap())
        };
        assert_eq!(times("Nov 21 10:00:00", "Nov 21 10:00:09"), Some(9_999_991));
        assert_eq!(times("Nov  1 10:00:00", "Nov 21 10:00:00"), Some(10_000_000 - 20 * 86400));
        assert_eq!(times("Dec 31 23:59:59", "Jan  1 00:00:01"), Some(9_999_998));
        let precise = "2026-11-21T10:00:00.123456+00:00";
        assert_eq!(times(precise, "2026-11-21T10:00:09.000001+00:00"), Some(9_999_991));
        assert_eq!(tag(&format!("{precise} web01 nova-agent[812]: x")), Some("nova-agent"));
        assert_eq!(stamp("Nov 21 10:00"), None);
    }

    #[test]
    fn the_last_of_february_is_the_day_before_the_first_of_march() {
        let written = |year, month, day| Date { year, month, day, seconds: 10 }.time();
        let earlier = |first: &str, last: &str, written: u64| {
            let text = format!("{first} web01 kernel: x\n{last} web01 cron: y\n");
            written - Clock::of(&text, written).unwrap().time(&text).unwrap()
        };
        let march = "Mar  1 00:00:01";
        assert_eq!(earlier("Feb 29 23:59:59", march, written(2024, 3, 1)), 2);
        assert_eq!(earlier("Feb 28 23:59:59", march, written(2024, 3, 1)), 86400 + 2);
        assert_eq!(earlier("Feb 28 23:59:59", march, written(2026, 3, 1)), 2);
        assert_eq!(earlier("2024-02-29T23:59:59", "2024-03-01T00:00:01", written(2024, 3, 1)), 2);
        // behind and before UTC, the year of the lines is another one than that of the file
        assert_eq!(earlier("Feb 29 10:00:00", "Dec 31 10:00:00", written(2025, 1, 1)), 306 * 86400);
        assert_eq!(earlier("Feb 29 10:00:00", "Jan  1 10:00:00", written(2024, 12, 31)), 307 * 86400);
    }

    #[test]
    fn a_segfault_is_of_the_program_and_of_the_last_boot() {
        let line = "Nov 21 10:06:02 web01 kernel: [  362.1] nova-agent[812]: segfault at 0 ip 0 sp 0 error 4 in libc.so[7f+1]";
        let boot = "Nov 21 10:00:00 web01 kernel: [    0.0] Linux version 3.13.0";
        let found = |text: &str| segfault("x", text, 100, "nova-agent").map(|said| (said.time, said.text));
        assert_eq!(found(&format!("{boot}\n{line}\n")), Some((Some(100), line.to_owned())));
        let plain = line.replace("[  362.1] ", "");
        assert_eq!(found(&format!("{boot}\n{plain}\n")), Some((Some(100), plain)));
        assert_eq!(found(&format!("{line}\n{boot}\n")), None, "of the boot before");
        assert_eq!(found(&format!("{boot}\n{}\n", line.replace("nova-agent[", "nova-agent2["))), None);
        assert_eq!(found(&format!("{boot}\n{}\n", line.replace("kernel: ", "logger: "))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((Nov|Jan) [ 0-9]{2} [0-9:]{8}|2026-[0-9]{2}-[0-9]{2}T[0-9:]{8}|\\PC{0,6}| |\n|Linux version | kernel: |nova-agent(\\[7\\]: segfault at |: ))*", written: u64) {
            about("x", &text, written, &NAMES);
            segfault("x", &text, written, "nova-agent");
        }
    }
}
