//! `xentools-reporting`: what the tools told the host, and when.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::check::Finding;
use crate::check::xen::{read_opt, with_store};
use crate::exec::Cmd;
use crate::facts::tools::Kind;
use crate::target::Target;
use crate::xenstore::Xenstore;

/// The daemon reports once a minute; what is older than five has stopped.
const FRESH: i64 = 300; // seconds

/// The version that every tools daemon writes when it starts.
const VERSION: &str = "attr/PVAddons/MajorVersion";
/// The time of the last report of xe-daemon; xen-guest-agent does not write it.
const UPDATED: &str = "data/updated";

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let tools = target.tools();
    let writes_time = tools.all.iter().any(|tool| {
        tool.kind == Kind::XeDaemon && (tools.all.len() == 1 || tool.process(target.processes()).is_some())
    });
    with_store(target, |store| {
        let report = Report::of(store)?;
        Ok(vec![judge(&report, writes_time, local_now())])
    })
}

/// What the tools wrote into the store.
#[derive(Debug, Default)]
struct Report {
    version: Option<String>,
    updated: Option<String>,
}

impl Report {
    fn of(store: &mut dyn Xenstore) -> Result<Self> {
        Ok(Self { version: read_opt(store, VERSION)?, updated: read_opt(store, UPDATED)? })
    }
}

fn judge(report: &Report, writes_time: bool, now: Option<i64>) -> Finding {
    let Some(version) = &report.version else {
        return warn("the tools told the host nothing").seen(VERSION, "absent");
    };
    let finding = |finding: Finding| finding.seen(VERSION, version);
    if !writes_time {
        return finding(Finding::ok("the host hears from the tools"));
    }
    let Some(updated) = &report.updated else {
        // Nova writes the version itself before it moves a guest; the time is the daemon's own.
        return finding(warn("the tools never reported to the host")).seen(UPDATED, "absent");
    };
    match (now, seconds(updated)) {
        (Some(now), Some(then)) if now - then > FRESH => {
            let age = minutes(now - then);
            finding(warn(format!("the last report of the tools is {age} old"))).seen(UPDATED, updated)
        }
        _ => finding(Finding::ok("the host hears from the tools")).seen(UPDATED, updated),
    }
}

fn warn(title: impl Into<String>) -> Finding {
    Finding::warn(title)
        .because(
            "the panel shows old memory and addresses, or none; a shutdown through the API is a hard stop",
        )
        .mend("restart the tools, and read what they say in the system's log")
}

fn minutes(seconds: i64) -> String {
    match seconds / 60 {
        minutes @ 0..120 => format!("{minutes} min"),
        minutes @ 120..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// Returns this moment as the clock on the wall of this system shows it, in seconds since 1970: the daemon writes
/// local time without a zone.
fn local_now() -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let date = Cmd::new(&["date", "+%z"]).within(Duration::from_millis(500)).output();
    let output = date.unwrap_or_else(|e| {
        tracing::debug!("{e:#}");
        None
    })?;
    Some(i64::try_from(now).ok()? + offset(output.stdout.trim())?)
}

/// Returns the seconds east of Greenwich of `+0130`.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = zone.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

/// Returns the seconds since 1970 on the wall of `Tue Nov 24 09:15:58 2026` (Go's daemon) or
/// `Tue Nov 24 09:15:58 UTC 2026` (the shell script's `date`).
fn seconds(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let ([_, month, day, time, year] | [_, month, day, time, _, year]) = words[..] else { return None };
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let day: i64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: i64 = year.parse().ok().filter(|year| (1970..10000).contains(year))?;
    let mut clock = time.split(':').map(|part| part.parse::<u8>().ok().map(i64::from));
    let [Some(Some(hour)), Some(Some(minute)), Some(Some(second)), None] =
        [clock.next(), clock.next(), clock.next(), clock.next()]
    else {
        return None;
    };
    Some(days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second)
}

/// Returns the days since 1970-01-01 of a date of the Gregorian calendar, which repeats every 400 years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March here, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::Status;

    fn report(version: Option<&str>, updated: Option<&str>) -> Report {
        Report { version: version.map(str::to_owned), updated: updated.map(str::to_owned) }
    }

    #[test]
    fn the_time_of_both_daemons_is_read() {
        for (text, expected) in [
            ("Tue Nov 24 09:15:58 2026", Some(1_795_511_758)),
            ("Tue Nov 24 09:15:58 UTC 2026", Some(1_795_511_758)),
            ("Thu Jan  1 00:00:00 1970", Some(0)),
            ("Thu Feb 29 12:00:00 2024", Some(1_709_208_000)),
            ("1", None),
            ("", None),
            ("Di 24. Nov 09:15:58 CET 2026", None),
            ("Tue Nov 24 09:15 2026", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_zone_is_seconds_east_of_greenwich() {
        for (zone, expected) in
            [("+0000", Some(0)), ("-0530", Some(-19800)), ("+1245", Some(45900)), ("CET", None), ("", None)]
        {
            assert_eq!(offset(zone), expected, "{zone:?}");
        }
    }

    #[test]
    fn silence_and_an_old_report_are_warnings() {
        let now = Some(1_795_511_758 + 30);
        let fresh = Some("Tue Nov 24 09:15:58 2026");
        let old = Some("Tue Nov 24 07:10:58 2026");
        for (report, writes_time, status, title) in [
            (report(None, None), true, Status::Warn, "the tools told the host nothing"),
            (report(None, fresh), true, Status::Warn, "the tools told the host nothing"),
            (report(Some("7"), None), true, Status::Warn, "the tools never reported to the host"),
            (report(Some("7"), None), false, Status::Ok, "the host hears from the tools"),
            (report(Some("7"), fresh), true, Status::Ok, "the host hears from the tools"),
            (report(Some("7"), old), true, Status::Warn, "the last report of the tools is 2 h old"),
            (report(Some("7"), Some("1")), true, Status::Ok, "the host hears from the tools"),
        ] {
            let finding = judge(&report, writes_time, now);
            assert_eq!((finding.status, finding.title.as_str()), (status, title), "{report:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*", parts in "[a-z]{3} (Jan|Dec) [0-9]{1,20} [0-9:]{0,12} [0-9]{1,20}") {
            let _ = (seconds(&text), seconds(&parts), offset(&text));
        }
    }
}
