//! `agent-boot-timing`: does the agent start before its log's file system is there, and can it hold the boot.

use anyhow::Result;

use super::last_boot::LastBoot;
use super::of_agent;
use super::remedy::{drop_in, mended};
use crate::check::{Evidence, Finding};
use crate::facts::init::{Service, Setting, Unit};
use crate::target::Target;

/// The longest start that is no fault, in seconds; the stock unit has six minutes.
const START_MAX: f64 = 600.0;

/// Directories that the agent needs when it starts: its log's, and its program's.
const NEEDED: [&str; 3] = ["/var/log", "/var", "/usr"];

/// Targets that come after local file systems: a unit after one of them is not too early (systemd.special(7)).
const LATE: [&str; 7] = [
    "local-fs.target",
    "remote-fs.target",
    "sysinit.target",
    "basic.target",
    "systemd-tmpfiles-setup.service",
    "network-online.target",
    "multi-user.target",
];

/// A file system of its own that is mounted at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// Where.
    path: String,
    /// The line of fstab, for evidence.
    source: String,
    /// The line itself.
    text: String,
}

pub(super) fn boot_timing(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let Some((service, unit)) =
            agent.service().and_then(|service| Some((service, service.unit.as_ref()?)))
        else {
            return Ok(vec![Finding::skipped("no systemd unit starts it")]);
        };
        let fstab = target.root.text_opt("etc/fstab")?.unwrap_or_default();
        let timed_out = if target.is_live() {
            let state = target.services().state(&service.name)?;
            state.filter(|state| state.result == "timeout").map(|_| Evidence {
                source: format!("systemctl show {}", service.name),
                text: "Result=timeout".to_owned(),
            })
        } else {
            LastBoot::of(target, agent)?.timed_out()
        };
        Ok(judge(service, unit, &mounts(&fstab), timed_out))
    })
}

/// Returns the lines of a drop-in that give the unit what it lacks; none where nothing is at fault.
pub(super) fn missing(target: &Target, service: &Service) -> Result<String> {
    let Some(unit) = &service.unit else { return Ok(String::new()) };
    let fstab = target.root.text_opt("etc/fstab")?.unwrap_or_default();
    let mut text = String::new();
    if too_early(unit, &mounts(&fstab)).is_some() {
        text.push_str("[Unit]\nRequiresMountsFor=/var/log /usr\n");
    }
    if endless_start(unit).is_some() {
        text.push_str("[Service]\nTimeoutStartSec=360\n");
    }
    Ok(text)
}

fn judge(service: &Service, unit: &Unit, mounts: &[Mount], timed_out: Option<Evidence>) -> Vec<Finding> {
    let name = &service.name;
    let mut findings = Vec::new();
    if let Some(setting) = endless_start(unit) {
        let finding = Finding::fail(format!("{name} can hold the boot for more than 10 minutes"))
            .because(
                "when the host has left a request that is not a network reset, the boot waits for the agent",
            )
            .seen(&setting.source, format!("{}={}", setting.key, setting.value))
            .about(name);
        let commands = drop_in(name, "Service", &["TimeoutStartSec=360"]);
        findings.push(mended(finding, "add a drop-in with [Service] and TimeoutStartSec=360", commands));
    }
    if let Some(evidence) = timed_out {
        let finding = Finding::fail(format!("the start of {name} timed out"))
            .because("systemd waited for the agent's ready message, then killed it: the boot hung at its start job")
            .seen(evidence.source, evidence.text)
            .about(name);
        let finding = mended(finding, "look for what held it in its log, then start it anew", Vec::new());
        findings.push(finding.by_hand());
    }
    if let Some((setting, mount)) = too_early(unit, mounts) {
        let finding = Finding::warn(format!("{name} starts before {} is mounted", mount.path))
            .because(
                "the agent fails at boot and works when it is started by hand: its log cannot be written",
            )
            .seen(&setting.source, format!("DefaultDependencies={}", setting.value))
            .seen(&mount.source, &mount.text)
            .about(name);
        let text = "add a drop-in with [Unit] and RequiresMountsFor=/var/log /usr";
        let commands = drop_in(name, "Unit", &["RequiresMountsFor=/var/log /usr"]);
        findings.push(mended(finding, text, commands));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(format!("{name} starts in time")));
    }
    findings
}

/// Returns the assignment that lets a start take longer than any boot may wait.
fn endless_start(unit: &Unit) -> Option<&Setting> {
    let is_limit =
        |s: &&Setting| s.section == "Service" && matches!(s.key.as_str(), "TimeoutStartSec" | "TimeoutSec");
    let setting = unit.settings.iter().rfind(is_limit)?;
    let limit = seconds(&setting.value)?;
    // zero switches the limit off, as `infinity` does
    (limit > START_MAX || limit == 0.0).then_some(setting)
}

/// Returns a time span of systemd.time(7) in seconds; `None` when systemd would refuse it.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if text == "infinity" {
        return Some(f64::INFINITY);
    }
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let value: f64 = rest[..number].parse().ok()?;
        rest = rest[number..].trim_start();
        let unit = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "us" | "usec" | "µs" => 1e-6,
            "ms" | "msec" => 1e-3,
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return None,
        };
        sum += value * factor;
        rest = rest[unit..].trim_start();
    }
    (!text.is_empty()).then_some(sum)
}

/// Returns the assignment and the file system for which the unit does not wait.
fn too_early<'a>(unit: &'a Unit, mounts: &'a [Mount]) -> Option<(&'a Setting, &'a Mount)> {
    let setting = unit.last("Unit", "DefaultDependencies")?;
    if !matches!(setting.value.trim(), "no" | "false" | "0" | "off" | "n" | "f") {
        return None;
    }
    if unit.words("Unit", "After").iter().any(|after| LATE.contains(after)) {
        return None;
    }
    // systemd waits by itself for the file system of such a directory (systemd.exec(5))
    if unit.last("Service", "LogsDirectory").is_some_and(|s| !s.value.trim().is_empty()) {
        return None;
    }
    let waited = unit.words("Unit", "RequiresMountsFor");
    let is_waited_for = |mount: &Mount| waited.iter().any(|path| is_below(path, &mount.path));
    let mount = mounts.iter().find(|mount| NEEDED.contains(&mount.path.as_str()) && !is_waited_for(mount))?;
    Some((setting, mount))
}

/// Whether a path is the mount point or below it: then the mount is waited for.
fn is_below(path: &str, mount: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns what fstab mounts at boot.
fn mounts(fstab: &str) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (index, line) in fstab.lines().enumerate() {
        let mut fields = line.split_whitespace();
        let (Some(device), Some(path), Some(_), options) =
            (fields.next(), fields.next(), fields.next(), fields.next().unwrap_or("defaults"))
        else {
            continue;
        };
        if device.starts_with('#') || options.split(',').any(|option| option == "noauto") {
            continue;
        }
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        mounts.push(Mount {
            path: path.to_owned(),
            source: format!("etc/fstab:{}", index + 1),
            text: line.split_whitespace().collect::<Vec<_>>().join(" "),
        });
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::unit;
    use crate::facts::init::Enabled;
    use proptest::prelude::*;

    type Settings<'s> = &'s [(&'s str, &'s str)];

    const EARLY: (&str, &str) = ("DefaultDependencies", "no");
    const SEPARATE: &str =
        "# /dev/xvdc1 /var xfs\n/dev/xvda1 / ext4 defaults 1 1\n/dev/xvdb1  /var/log/ xfs defaults 0 0\n";
    const PLAIN: &str =
        "/dev/xvda1 / ext4 defaults 1 1\n/dev/xvdb1 /var xfs noauto 0 0\n/dev/xvdc1 /var/lib xfs\n";

    fn found(settings: &[(&str, &str)], fstab: &str) -> Vec<(Status, String)> {
        let service = unit("nova-agent", Enabled::Yes("x".to_owned()), settings);
        let findings = judge(&service, service.unit.as_ref().unwrap(), &mounts(fstab), None);
        findings.into_iter().map(|f| (f.status, f.title)).collect()
    }

    #[test]
    fn a_log_of_its_own_file_system_is_waited_for_or_warned_of() {
        let warn = vec![(Status::Warn, "nova-agent starts before /var/log is mounted".to_owned())];
        let ok = vec![(Status::Ok, "nova-agent starts in time".to_owned())];
        let cases: [(Settings<'_>, &str, &Vec<_>); 9] = [
            (&[EARLY, ("TimeoutStartSec", "360")], SEPARATE, &warn),
            (&[("DefaultDependencies", "false"), ("After", "cloud-init-local.service")], SEPARATE, &warn),
            (&[EARLY, ("RequiresMountsFor", "/etc /usr")], SEPARATE, &warn),
            (&[EARLY, ("TimeoutStartSec", "360")], PLAIN, &ok),
            (&[("TimeoutStartSec", "360")], SEPARATE, &ok),
            (&[EARLY, ("DefaultDependencies", "yes")], SEPARATE, &ok),
            (&[EARLY, ("After", "x.service local-fs.target")], SEPARATE, &ok),
            (&[EARLY, ("RequiresMountsFor", "/var/log/nova-agent.log")], SEPARATE, &ok),
            (&[EARLY, ("LogsDirectory", "nova")], SEPARATE, &ok),
        ];
        for (settings, fstab, want) in cases {
            assert_eq!(&found(settings, fstab), want, "{settings:?}");
        }
    }

    #[test]
    fn a_start_without_an_end_fails() {
        let of = |key, value| found(&[(key, value)], "")[0].0;
        for value in ["infinity", "0", "11min", "1h", "601"] {
            assert_eq!(of("TimeoutStartSec", value), Status::Fail, "{value}");
        }
        assert_eq!(of("TimeoutSec", "20 min"), Status::Fail);
        for value in ["360", "10min", "9min 59s", "90s", "", "soon"] {
            assert_eq!(of("TimeoutStartSec", value), Status::Ok, "{value}");
        }
        let mended = [("TimeoutStartSec", "infinity"), ("TimeoutStartSec", "30")];
        assert_eq!(found(&mended, "")[0].0, Status::Ok);
    }

    #[test]
    fn a_start_that_timed_out_fails_with_what_says_so() {
        let service = unit("nova-agent", Enabled::Yes("x".to_owned()), &[]);
        let seen =
            Evidence { source: "systemctl show nova-agent".to_owned(), text: "Result=timeout".to_owned() };
        let found = judge(&service, service.unit.as_ref().unwrap(), &[], Some(seen.clone()));
        let found: Vec<_> =
            found.iter().map(|f| (f.status, f.title.as_str(), f.evidence.as_slice())).collect();
        assert_eq!(found, [(Status::Fail, "the start of nova-agent timed out", &[seen][..])]);
    }

    proptest! {
        #[test]
        fn any_span_and_any_table_is_read_without_a_panic(text in "(\\PC{0,8}|[0-9.]{0,4}| |min|µs|\n|/var)*") {
            seconds(&text);
            mounts(&text);
        }
    }
}
