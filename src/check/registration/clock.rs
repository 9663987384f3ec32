//! Is the clock far off, as far as that is to be known without the network.
//!
//! Two witnesses: the newest thing that was built or written here, before which it cannot be; and the hardware clock,
//! which can itself be wrong or in local time. That a clock is right is never claimed: only that nothing speaks against it.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::check::{Finding, Remedy};
use crate::facts::init::{Enabled, Init, Service};
use crate::facts::os::Base;
use crate::plan::journal;
use crate::root::{Kind, Root};
use crate::target::Target;

/// How far a file may be ahead: clocks are stepped by NTP, and a build machine's is not ours.
const SLACK: i64 = 600; // seconds
/// Where the newest files are.
const DIRS: [&str; 6] = ["var/log", "etc", "var/lib/dpkg", "var/lib/rpm", "usr/bin", "boot"];
/// What keeps the clock, under the names that distributions give their services.
const TIME_SERVICES: [&str; 8] =
    ["chronyd", "chrony", "systemd-timesyncd", "ntpsec", "ntpd", "ntp", "openntpd", "busybox-ntpd"];
/// Files of a directory that are looked at.
const ENTRIES_MAX: usize = 5000;
/// Time zones and their daylight saving lie within this, in quarters of an hour (tzdata: -12 to +14 hours).
const ZONE_MAX: i64 = 14 * 3600;

/// Something that was there before now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) source: String,
    pub(super) time: i64,
}

/// What the hardware clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hardware {
    pub(super) time: i64,
    /// Whether it is kept in local time.
    pub(super) is_local: bool,
    /// Whether a time service says that the system's clock follows it.
    pub(super) is_synchronized: bool,
}

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let root = &target.root;
    let hardware = hardware(root)?;
    let newest = newest(root)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0);
    let finding = judged(i64::try_from(since).unwrap_or(i64::MAX), newest.as_ref(), hardware);
    let Some(caveat) = &finding.remedy else { return Ok(vec![finding]) };
    let services = TIME_SERVICES.iter().filter_map(|name| target.services().named(root, name).transpose());
    let services = services.collect::<Result<Vec<_>>>()?;
    let is_on = |service: &&Service| matches!(service.enabled, Enabled::Yes(_));
    let service = services.iter().find(is_on).or(services.first());
    let kept = kept(service, target.os().base, hardware.is_some());
    let remedy = Remedy { text: format!("{}; {}", kept.text, caveat.text), ..kept };
    Ok(vec![Finding { remedy: Some(remedy), ..finding }])
}

/// Returns what keeps the clock right from now on. A service steps a clock that is far off at its start only.
pub(super) fn kept(service: Option<&Service>, base: Base, has_hardware: bool) -> Remedy {
    let argv = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (text, mut commands) = match service {
        Some(service) => {
            let name = service.name.as_str();
            let start = match service.init {
                Init::Systemd => argv(&["systemctl", "restart", name]),
                Init::OpenRc => argv(&["rc-service", name, "restart"]),
                _ => argv(&["service", name, "restart"]),
            };
            if matches!(service.enabled, Enabled::Yes(_)) {
                (format!("{name} is on and does not keep it: start it anew, and read its log"), vec![start])
            } else if service.init == Init::Systemd {
                (format!("switch {name} on"), vec![argv(&["systemctl", "enable", "--now", name])])
            } else {
                (format!("start {name}, and switch it on at boot"), vec![start])
            }
        }
        None => {
            let install: &[&str] = match base {
                Base::Debian => &["apt-get", "install", "chrony"],
                Base::RedHat => &["yum", "install", "chrony"],
                Base::Suse => &["zypper", "install", "chrony"],
                Base::Alpine => &["apk", "add", "chrony"],
                _ => &[],
            };
            let commands = if install.is_empty() { Vec::new() } else { vec![argv(install)] };
            ("no time service is installed: install chrony, and see that it starts".to_owned(), commands)
        }
    };
    // what it holds is the clock after the next boot
    if has_hardware {
        commands.push(argv(&["hwclock", "--systohc"]));
    }
    Remedy { text, commands, fixable: false }
}

pub(super) fn judged(now: i64, newest: Option<&Witness>, hardware: Option<Hardware>) -> Finding {
    const WHY: &str = "TLS and package signatures are refused as not yet valid or expired, backups are named wrongly, cloud-init waits";
    if let Some(newest) = newest.filter(|newest| newest.time > now + SLACK) {
        return Finding::warn(format!(
            "the clock is {} behind the newest file here",
            in_words(newest.time - now)
        ))
        .because(WHY)
        .seen(&newest.source, format!("written {}", date(newest.time)))
        .seen("the clock", date(now))
        .mend("where the clock was ahead once, touch the file");
    }
    let Some(hardware) = hardware else {
        return Finding::ok(
            "no file here is newer than the clock; there is no hardware clock to compare with",
        );
    };
    let apart = now - hardware.time;
    if apart.abs() <= SLACK || (hardware.is_local && is_zone(apart)) {
        return Finding::ok("nothing here contradicts the clock");
    }
    let title = format!("the clock and the hardware clock are {} apart", in_words(apart.abs()));
    let finding = if hardware.is_synchronized {
        Finding::note(format!("{title}; a time service keeps the clock"))
    } else {
        Finding::warn(title).because(WHY)
    };
    finding
        .seen("the clock", date(now))
        .seen("sys/class/rtc/rtc0/since_epoch", date(hardware.time))
        .mend("which of the two is right is not known here")
}

/// Whether a difference is that of a time zone.
fn is_zone(apart: i64) -> bool {
    let beside = apart.abs() % 900;
    apart.abs() <= ZONE_MAX + SLACK && (beside <= 60 || beside >= 840)
}

fn hardware(root: &Root) -> Result<Option<Hardware>> {
    let text = root.text_opt("sys/class/rtc/rtc0/since_epoch")?;
    let Some(time) = text.and_then(|text| text.trim().parse().ok()) else { return Ok(None) };
    let adjtime = root.text_opt("etc/adjtime")?.unwrap_or_default();
    Ok(Some(Hardware {
        time,
        is_local: adjtime.lines().any(|line| line.trim() == "LOCAL"),
        is_synchronized: root.exists("run/systemd/timesync/synchronized"),
    }))
}

fn newest(root: &Root) -> Result<Option<Witness>> {
    let mut newest: Option<Witness> = None;
    for dir in DIRS {
        for entry in root.read_dir(dir)?.into_iter().take(ENTRIES_MAX) {
            let path = format!("{dir}/{}", entry.name);
            let Some(stat) = root.lstat_opt(&path)?.filter(|stat| stat.kind == Kind::File) else { continue };
            // the change of an inode is the clock's own; the time of writing can be set by anybody, such as a package
            if newest.as_ref().is_none_or(|newest| stat.ctime > newest.time) {
                newest = Some(Witness { source: path, time: stat.ctime });
            }
        }
    }
    Ok(newest)
}

fn in_words(seconds: i64) -> String {
    match seconds {
        ..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

/// A date in UTC, `2026-11-25 21:59 UTC`.
fn date(time: i64) -> String {
    let stamp = journal::stamp(u64::try_from(time).unwrap_or(0));
    let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
    format!("{}-{}-{} {}:{} UTC", part(0, 4), part(4, 6), part(6, 8), part(9, 11), part(11, 13))
}
