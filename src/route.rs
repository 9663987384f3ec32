//! The three documented recovery routes: which one applies to what was found, and its steps on this system.
//!
//! 1. The source server is still there: repair its agent, take a new image.
//! 2. The source server is gone and its root password is known: console, address by hand, repair, new image.
//! 3. The password is not known either: rescue mode, password on the disk, then as 1.

use serde::Serialize;

use crate::check::{self, Finding, Status, Topic};
use crate::disk::Format;
use crate::facts::agents::{Agent, Kind, NOVACTL_SERVICE};
use crate::facts::identity::{self, IdleDisk};
use crate::facts::init::Init;
use crate::facts::os::Base;
use crate::target::Target;

/// A recovery route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// 1, 2 or 3, in order of desirability.
    pub number: u8,
    /// What it amounts to.
    pub title: &'static str,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One step of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What to do, in words.
    pub text: String,
    /// The commands that do it; words in capitals are to be filled in.
    pub commands: Vec<Vec<String>>,
}

/// Returns the route that applies, or `None` when nothing is wrong that it would cure: a healthy guest, or a machine
/// on which the agent cannot work at all.
pub fn choose(target: &Target, findings: &[Finding], rescue: bool) -> Option<Route> {
    let failed = |id: &str| findings.iter().any(|f| f.id == id && f.status == Status::Fail);
    let broken = findings.iter().any(|f| f.status == Status::Fail && f.topic != Topic::Xen);
    if rescue && target.is_live() {
        return Some(numbered(target, findings, 3));
    }
    if !broken || failed("xen-guest") {
        return None;
    }
    if !target.is_live() {
        return Some(numbered(target, findings, 3));
    }
    Some(numbered(target, findings, if failed("addresses-match-host-data") { 2 } else { 1 }))
}

/// Returns the route of a number on this target. A mounted disk is on the third one already.
pub fn numbered(target: &Target, findings: &[Finding], number: u8) -> Route {
    let agent = Names::of(target, findings);
    match number {
        _ if !target.is_live() => {
            let title = if image_file(target).is_some() { OF_AN_IMAGE } else { THIRD };
            Route { number: 3, title, steps: under_a_root(target, &agent) }
        }
        1 => Route { number: 1, title: FIRST, steps: on_the_running_server(&agent) },
        2 => Route { number: 2, title: SECOND, steps: from_the_console(&agent) },
        _ => {
            let disks = identity::idle_disks(&target.root).unwrap_or_default();
            Route { number: 3, title: THIRD, steps: in_rescue_mode(disks.first()) }
        }
    }
}

/// Returns what is left of the route of a number once of `findings` is mended what novactl can mend.
pub fn rest(target: &Target, findings: &[Finding], number: u8) -> Vec<Step> {
    if target.is_live() {
        let disks = || identity::idle_disks(&target.root).unwrap_or_default();
        return if number == 3 { in_rescue_mode(disks().first()) } else { vec![new_image()] };
    }
    let mut steps = vec![set_password(target)];
    steps.extend(leave(target, &Names::of(target, findings), Mounted::of(target)));
    steps
}

const FIRST: &str = "repair the agent on the running server, then take a new image";
const SECOND: &str = "console, set the address by hand, repair the agent, then take a new image";
const THIRD: &str = "rescue mode: repair the disk, leave rescue mode, then take a new image";

const OF_AN_IMAGE: &str = "repair the image, then build from it";

/// Returns where an image file is and of what format: no server has it, so there is no rescue mode to leave.
fn image_file(target: &Target) -> Option<(&str, Format)> {
    let facts = target.disk()?.facts();
    (facts.format != Format::Device).then_some((&*facts.path, facts.format))
}

/// What the agent and its handling are called on this system.
struct Names {
    /// The service that there is once everything is mended.
    service: String,
    init: Init,
    base: Base,
    is_installed: bool,
    /// Whether novactl is the agent then.
    is_own: bool,
    /// The command that mends what has a fix.
    fix: Vec<String>,
    /// The command that puts this program in place as the agent.
    install: Vec<String>,
}

impl Names {
    fn of(target: &Target, findings: &[Finding]) -> Self {
        let base = target.os().base;
        let agent = target.agents().all.first();
        let is_own = check::replaces_the_agent(target, findings)
            || agent.is_some_and(|agent| agent.kind == Kind::Novactl);
        let usual = match (is_own, base) {
            (true, _) => NOVACTL_SERVICE,
            (false, Base::Debian) => "python3-nova-agent",
            (false, _) => "nova-agent",
        };
        let service = agent.filter(|_| !is_own).and_then(Agent::service);
        Self {
            service: service.map_or(usual, |service| &service.name).to_owned(),
            init: target.services().init,
            base,
            is_installed: agent.is_some(),
            is_own,
            fix: [argv(&["novactl", "doctor", "--fix"]), target.options()].concat(),
            install: [argv(&["novactl", "agent", "install"]), target.option()].concat(),
        }
    }

    fn start(&self) -> Vec<String> {
        self.service_command("restart")
    }

    fn service_command(&self, verb: &str) -> Vec<String> {
        match self.init {
            Init::Systemd => argv(&["systemctl", verb, &self.service]),
            Init::OpenRc => argv(&["rc-service", &self.service, verb]),
            _ => argv(&["service", &self.service, verb]),
        }
    }

    /// Returns where what the agent has done can be read.
    fn log(&self) -> Vec<String> {
        match (self.is_own, self.init) {
            (true, Init::Systemd) => argv(&["journalctl", "-n", "50", "-u", &self.service]),
            (true, _) => argv(&["tail", "-n", "50", "/var/log/novactl-agent.log"]),
            (false, _) => argv(&["tail", "-n", "50", "/var/log/nova-agent.log"]),
        }
    }

    /// Returns the step that puts an agent where there is none.
    fn put_in_place(&self) -> Step {
        if self.base == Base::FreeBsd {
            return step(
                "install nova-agent 1.39.1 with its own installer.sh, on the server itself",
                Vec::new(),
            );
        }
        let other = match self.base {
            Base::RedHat => "; EPEL's package nova-agent is the other way",
            Base::Debian => {
                "; the package python3-nova-agent is the other way, where the distribution has it"
            }
            _ => "",
        };
        step(format!("put novactl in place as the agent{other}"), vec![self.install.clone()])
    }

    fn repair(&self) -> Vec<Step> {
        if !self.is_installed {
            return vec![self.put_in_place(), step("mend what else is listed above", vec![self.fix.clone()])];
        }
        vec![
            step(
                "mend what is listed above; novactl does what it can and asks first",
                vec![self.fix.clone()],
            ),
            step("start the agent, read its log", vec![self.start(), self.log()]),
        ]
    }
}

fn on_the_running_server(agent: &Names) -> Vec<Step> {
    let mut steps = agent.repair();
    steps.extend([look_again(), new_image()]);
    steps
}

fn from_the_console(agent: &Names) -> Vec<Step> {
    let mut steps = vec![
        step(
            "open the server's console and log in as root with the password of the server that the image was made from",
            vec![argv(&["openstack", "console", "url", "show", "SERVER"])],
        ),
        step(
            "set the address that the panel shows by hand",
            vec![
                argv(&["ip", "address", "replace", "ADDRESS/PREFIX", "dev", "eth0"]),
                argv(&["ip", "link", "set", "eth0", "up"]),
                argv(&["ip", "route", "replace", "default", "via", "GATEWAY"]),
            ],
        ),
    ];
    steps.extend(agent.repair());
    steps.extend([look_again(), new_image()]);
    steps
}

fn in_rescue_mode(disk: Option<&IdleDisk>) -> Vec<Step> {
    let device = disk.map_or("/dev/xvdb", |disk| &disk.disk);
    let size = disk
        .map_or(String::new(), |disk| format!(" ({} GiB, the largest that is not in use)", disk.size >> 30));
    vec![
        step(
            format!(
                "this is a rescue server: find what is wrong on the customer's disk, {device}{size}; looking does not \
                 change it"
            ),
            vec![argv(&["novactl", "doctor", "--disk", device])],
        ),
        step(
            "mend what can be mended there; it shows the change and asks first",
            vec![argv(&["novactl", "doctor", "--fix", "--disk", device])],
        ),
        step(
            "if the root password is not known, set it on the disk",
            vec![argv(&["novactl", "set-password", "--disk", device])],
        ),
        step(
            "leave rescue mode: novactl has unmounted the disk; unmount what you mounted by hand first",
            vec![unrescue()],
        ),
        step(
            "log in to the server itself, copy novactl to it, and look again: nothing is to be left",
            vec![argv(&["novactl", "doctor"])],
        ),
        new_image(),
    ]
}

fn under_a_root(target: &Target, agent: &Names) -> Vec<Step> {
    let root = target.root.path().display().to_string();
    let mut steps = Vec::new();
    if !agent.is_installed {
        steps.push(agent.put_in_place());
    }
    steps.push(step("mend what novactl can mend on this disk; it asks first", vec![agent.fix.clone()]));
    let mounted = mount_by_hand(target, &root);
    let by_whom = if mounted.is_some() { Mounted::ByHand } else { Mounted::of(target) };
    steps.extend(mounted);
    steps.extend([step("mend by hand what is left of the list above", Vec::new()), set_password(target)]);
    steps.extend(leave(target, agent, by_whom));
    steps
}

/// Who has mounted the disk, and so has to unmount it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mounted {
    ByHand,
    ByNovactl,
}

impl Mounted {
    fn of(target: &Target) -> Self {
        if target.disk().is_none() { Self::ByHand } else { Self::ByNovactl }
    }
}

/// Returns what comes when the disk is mended.
fn leave(target: &Target, agent: &Names, mounted: Mounted) -> Vec<Step> {
    let root = target.root.path().display().to_string();
    if let Some((path, format)) = image_file(target) {
        let upload =
            argv(&["openstack", "image", "create", "--disk-format", format.word(), "--file", path, "IMAGE"]);
        let text = "hand the image in, and build a server of it";
        return vec![
            step(text, vec![upload]),
            step("on that server, look again", vec![argv(&["novactl", "doctor"])]),
        ];
    }
    let unmount = if mounted == Mounted::ByHand { vec![argv(&["umount", &root])] } else { Vec::new() };
    let mut steps = vec![leave_rescue_mode(unmount)];
    if agent.is_installed || agent.is_own {
        let look = vec![agent.service_command("status"), agent.log()];
        steps.push(step("on the server again: see that the agent runs, read its log", look));
    }
    steps.extend([look_again(), new_image()]);
    steps
}

fn leave_rescue_mode(before: Vec<Vec<String>>) -> Step {
    step("leave rescue mode", [before, vec![unrescue()]].concat())
}

fn unrescue() -> Vec<String> {
    argv(&["openstack", "server", "unrescue", "SERVER"])
}

fn set_password(target: &Target) -> Step {
    let command = [argv(&["novactl", "set-password"]), target.option()].concat();
    step("if the root password is not known, set it on the disk", vec![command])
}

/// What is mounted privately while it is looked at, a person has to mount.
fn mount_by_hand(target: &Target, root: &str) -> Option<Step> {
    let device = target.disk()?.facts().system()?.device.clone()?;
    let commands = vec![argv(&["mkdir", "-p", root]), argv(&["mount", &device, root])];
    Some(step("mount it for what is done by hand", commands))
}

fn look_again() -> Step {
    step("look again: nothing is to be left", vec![argv(&["novactl", "doctor"])])
}

fn new_image() -> Step {
    step(
        "take a new image and build from that one: the old image keeps the fault",
        vec![argv(&["openstack", "server", "image", "create", "--name", "IMAGE", "SERVER"])],
    )
}

fn step(text: impl Into<String>, commands: Vec<Vec<String>>) -> Step {
    Step { text: text.into(), commands }
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
