//! What keeps systemd from starting a service that the boot pulls in: settings of its unit.
//!
//! The rules are systemd's (`service_verify` in src/core/service.c; systemd.unit(5), systemd.exec(5)) as far as the
//! files of a disk decide them: what a boot makes, mounts or finds in the hardware is not known, and then nothing is
//! said. One more rule is a function that returns a [`Refusal`], and a line in [`refusal`].

use anyhow::Result;

use super::remedy::mended;
use crate::check::Finding;
use crate::facts::agents::{Agent, exec};
use crate::facts::hypervisor::Hypervisor;
use crate::facts::init::{Enabled, Service, Setting, Unit};
use crate::root::Root;
use crate::target::Target;

const WHY: &str =
    "after the next boot nobody answers the host: password resets and attached networks time out";

/// Dependencies without which systemd does not start a unit.
const NEEDS: [&str; 3] = ["Requires", "BindsTo", "Requisite"];

/// Kinds of units that are files: mounts, devices and slices can come into being without one.
const KINDS: [&str; 5] = ["service", "socket", "timer", "path", "target"];

/// Directories that a boot fills or mounts.
const VOLATILE: [&str; 8] = ["run", "proc", "sys", "dev", "tmp", "var", "mnt", "media"];

/// What systemd never finds on a XenServer guest (systemd.unit(5), `ConditionVirtualization=`).
const OTHER_VIRTUALIZATIONS: [&str; 14] = [
    "no",
    "false",
    "container",
    "kvm",
    "qemu",
    "vmware",
    "oracle",
    "bochs",
    "parallels",
    "bhyve",
    "lxc",
    "openvz",
    "docker",
    "systemd-nspawn",
];

/// A unit that systemd does not start, or starts in vain.
pub(super) struct Refusal {
    pub(super) finding: Finding,
    /// Name and text of the drop-in that mends it.
    pub(super) drop_in: Option<(&'static str, String)>,
}

/// Returns why systemd would not start the agent's service, which a boot pulls in.
///
/// # Errors
/// A file cannot be read.
pub(super) fn refusal(target: &Target, agent: &Agent) -> Result<Option<Refusal>> {
    let enabled = agent.services.iter().filter(|service| matches!(service.enabled, Enabled::Yes(_)));
    let mut first = None;
    for service in enabled {
        let Some(unit) = &service.unit else { return Ok(None) };
        let found = match start_lines(agent, service, unit).or_else(|| dependency(target, service, unit)) {
            Some(refusal) => Some(refusal),
            None => condition(target, service, unit)?.or(user(&target.root, service, unit)?),
        };
        // one that starts is enough
        let Some(refusal) = found else { return Ok(None) };
        first.get_or_insert(refusal);
    }
    Ok(first)
}

fn refused(service: &Service, title: &str) -> Finding {
    Finding::fail(format!("systemd does not start {}: {title}", service.name))
        .because(WHY)
        .about(&service.name)
}

/// Makes a refusal that a drop-in mends, or hands.
fn with(finding: Finding, text: &str, drop_in: Option<(&'static str, String)>) -> Refusal {
    let finding = mended(finding, text, Vec::new());
    let finding = if drop_in.is_some() { finding } else { finding.by_hand() };
    Refusal { finding, drop_in }
}

/// One line alone says what a service runs, but of the type oneshot; an empty one forgets those before it.
fn start_lines(agent: &Agent, service: &Service, unit: &Unit) -> Option<Refusal> {
    let all: Vec<&Setting> =
        unit.settings.iter().filter(|s| s.section == "Service" && s.key == "ExecStart").collect();
    let counted = all.iter().rposition(|setting| setting.value.is_empty()).map_or(0, |place| place + 1);
    let program = format!("/{}", agent.program);
    let own = all.iter().rfind(|setting| setting.value.contains(&program));
    let drop_in =
        own.map(|setting| ("start", format!("[Service]\nExecStart=\nExecStart={}\n", setting.value)));
    let text = "leave one ExecStart= with the agent's program, after an empty one in a drop-in";
    match &all[counted..] {
        [] => {
            let source = all.last().map_or(&service.path, |setting| &setting.source);
            let finding = refused(service, "no ExecStart= is set").seen(source, "nothing to start");
            let text = if own.is_some() { text } else { "install the agent's package anew" };
            Some(with(finding, text, drop_in))
        }
        [first, second, ..] if !is_oneshot(unit) => {
            let finding = [first, second]
                .into_iter()
                .fold(refused(service, "it has more than one ExecStart= setting"), |finding, setting| {
                    finding.seen(&setting.source, format!("ExecStart={}", setting.value))
                });
            Some(with(finding, text, drop_in))
        }
        _ => None,
    }
}

fn is_oneshot(unit: &Unit) -> bool {
    unit.last("Service", "Type").is_some_and(|setting| setting.value == "oneshot")
}

fn dependency(target: &Target, service: &Service, unit: &Unit) -> Option<Refusal> {
    let needs = unit.settings.iter().filter(|s| s.section == "Unit" && NEEDS.contains(&s.key.as_str()));
    let mut names =
        needs.flat_map(|setting| setting.value.split_whitespace().map(move |name| (setting, name)));
    let (setting, name) = names.find(|(_, name)| is_missing(target, name))?;
    let finding = refused(service, &format!("{name} does not exist or is masked, and it is required"))
        .seen(&setting.source, format!("{}={}", setting.key, setting.value));
    let text = format!("take {name} out of {}= (no drop-in can), or install what has it", setting.key);
    Some(with(finding, &text, None))
}

/// Whether systemd finds no unit of this name. Instances and specifiers are not known here.
fn is_missing(target: &Target, name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else { return false };
    let is_plain = stem.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    if stem.is_empty() || !is_plain || !KINDS.contains(&kind) {
        return false;
    }
    let (root, services) = (&target.root, target.services());
    // named also knows the units that systemd makes of init scripts
    let script = || services.named(root, stem).is_ok_and(|found| found.is_none_or(|s| is_masked(&s)));
    services.unit(root, name).is_ok_and(|unit| unit.is_none()) && (kind != "service" || script())
}

fn is_masked(service: &Service) -> bool {
    matches!(service.enabled, Enabled::Masked(_))
}

fn condition(target: &Target, service: &Service, unit: &Unit) -> Result<Option<Refusal>> {
    for kind in ["Condition", "Assert"] {
        let Some(setting) = unmet(target, unit, kind)? else { continue };
        let line = format!("{}={}", setting.key, setting.value);
        let finding = refused(service, &format!("{line} is not so here")).seen(&setting.source, &line);
        // an empty assignment of one key forgets all of its kind
        let drop_in = ("condition", format!("[Unit]\n{}=\n", setting.key));
        return Ok(Some(with(finding, "take the condition away: an empty one in a drop-in", Some(drop_in))));
    }
    Ok(None)
}

/// Returns a condition that is known not to be met: each must be, and of those with `|` one.
fn unmet<'u>(target: &Target, unit: &'u Unit, kind: &str) -> Result<Option<&'u Setting>> {
    let mut all: Vec<(&Setting, bool, Option<bool>)> = Vec::new();
    for setting in unit.settings.iter().filter(|s| s.section == "Unit") {
        let Some(what) = setting.key.strip_prefix(kind) else { continue };
        if setting.value.is_empty() {
            all.clear();
            continue;
        }
        let (is_one_of, value) = stripped(&setting.value, '|');
        let (is_negated, value) = stripped(value, '!');
        let is_so = match what {
            "PathExists" => is_there(&target.root, value)?,
            "Virtualization" => virtualization(target, value),
            _ => None,
        };
        all.push((setting, is_one_of, is_so.map(|is_so| is_so != is_negated)));
    }
    let is_unmet = |(_, _, met): &&(&Setting, bool, Option<bool>)| *met == Some(false);
    if let Some((setting, ..)) = all.iter().filter(|(_, is_one_of, _)| !is_one_of).find(is_unmet) {
        return Ok(Some(setting));
    }
    let one_of: Vec<_> = all.iter().filter(|(_, is_one_of, _)| *is_one_of).collect();
    Ok(one_of.iter().all(is_unmet).then(|| one_of.first().map(|(setting, ..)| *setting)).flatten())
}

fn stripped(value: &str, mark: char) -> (bool, &str) {
    value.strip_prefix(mark).map_or((false, value), |rest| (true, rest))
}

/// Whether a path is there when the service starts; `None` where a boot decides.
fn is_there(root: &Root, path: &str) -> Result<Option<bool>> {
    let Some(below) = path.strip_prefix('/').filter(|_| !path.contains(['%', '"', '\\'])) else {
        return Ok(None);
    };
    if VOLATILE.contains(&below.split('/').next().unwrap_or_default()) {
        return Ok(None);
    }
    let fstab = root.text_opt("etc/fstab")?.unwrap_or_default();
    let mut mounted = fstab.lines().filter_map(|line| line.split_whitespace().nth(1));
    if mounted.any(|dir| dir.len() > 1 && dir.starts_with('/') && path.starts_with(dir)) {
        return Ok(None);
    }
    Ok(root.stat_opt(path).ok().map(|stat| stat.is_some()))
}

fn virtualization(target: &Target, value: &str) -> Option<bool> {
    if target.is_live() && !Hypervisor::of(&target.root).is_xen_guest() {
        return None;
    }
    match value.trim_start() {
        "yes" | "true" | "vm" | "xen" => Some(true),
        other => OTHER_VIRTUALIZATIONS.contains(&other).then_some(false),
    }
}

/// An agent that is not root opens neither XenStore's device nor etc/shadow.
fn user(root: &Root, service: &Service, unit: &Unit) -> Result<Option<Refusal>> {
    let Some(setting) = unit.last("Service", "User") else { return Ok(None) };
    let user = setting.value.as_str();
    if user.is_empty() || user.contains('%') || unit.last("Service", "AmbientCapabilities").is_some() {
        return Ok(None);
    }
    // + and ! start the program as root all the same
    let start = exec::start_of(unit).map_or("", |line| line.value.as_str());
    let program = start.find('/').unwrap_or(0);
    if start[..program].contains(['+', '!']) || is_root(root, user)? {
        return Ok(None);
    }
    let finding = Finding::fail(format!("{} runs as {user}, who is not root", service.name))
        .because("it can neither read XenStore nor write etc/shadow: password resets in the panel do nothing")
        .seen(&setting.source, format!("User={user}"))
        .about(&service.name);
    let drop_in = ("user", "[Service]\nUser=root\n".to_owned());
    Ok(Some(with(finding, "set User=root in a drop-in", Some(drop_in))))
}

fn is_root(root: &Root, user: &str) -> Result<bool> {
    if matches!(user, "root" | "0") {
        return Ok(true);
    }
    let passwd = root.text_opt("etc/passwd")?.unwrap_or_default();
    let mut accounts = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    Ok(accounts.any(|fields| fields.len() > 2 && fields[0] == user && fields[2] == "0"))
}
