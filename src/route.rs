//! The three documented recovery routes: which one applies to what was found, and its steps on this system.
//!
//! 1. The source server is still there: repair its agent, take a new image.
//! 2. The source server is gone and its root password is known: console, address by hand, repair, new image.
//! 3. The password is not known either: rescue mode, password on the disk, then as 1.

use serde::Serialize;

use crate::check::{Finding, Status, Topic};
use crate::facts::agents::{Agent, Kind};
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
        return Some(numbered(target, 3));
    }
    if !broken || failed("xen-guest") {
        return None;
    }
    if !target.is_live() {
        return Some(numbered(target, 3));
    }
    Some(numbered(target, if failed("addresses-match-host-data") { 2 } else { 1 }))
}

/// Returns the route of a number on this target. A mounted disk is on the third one already.
pub fn numbered(target: &Target, number: u8) -> Route {
    let agent = Names::of(target);
    match number {
        _ if !target.is_live() => Route { number: 3, title: THIRD, steps: under_a_root(target, &agent) },
        1 => Route { number: 1, title: FIRST, steps: on_the_running_server(&agent) },
        2 => Route { number: 2, title: SECOND, steps: from_the_console(&agent) },
        _ => {
            let disks = identity::idle_disks(&target.root).unwrap_or_default();
            Route { number: 3, title: THIRD, steps: in_rescue_mode(disks.first()) }
        }
    }
}

const FIRST: &str = "repair the agent on the running server, then take a new image";
const SECOND: &str = "console, set the address by hand, repair the agent, then take a new image";
const THIRD: &str = "rescue mode: repair the disk, leave rescue mode, then take a new image";

/// What the agent and its handling are called on this system.
struct Names {
    service: String,
    init: Init,
    base: Base,
    kind: Option<Kind>,
    /// The command that mends what has a fix.
    fix: Vec<String>,
    /// The command that puts this program in place as the agent.
    install: Vec<String>,
}

impl Names {
    fn of(target: &Target) -> Self {
        let base = target.os().base;
        let agent = target.agents().all.first();
        let usual = if base == Base::Debian { "python3-nova-agent" } else { "nova-agent" };
        let service = agent.and_then(Agent::service).map_or(usual, |service| &service.name);
        Self {
            service: service.to_owned(),
            init: target.services().init,
            base,
            kind: agent.map(|a| a.kind),
            fix: [argv(&["novactl", "doctor", "--fix"]), target.options()].concat(),
            install: [argv(&["novactl", "agent", "install"]), target.option()].concat(),
        }
    }

    fn start(&self) -> Vec<String> {
        match self.init {
            Init::Systemd => argv(&["systemctl", "restart", &self.service]),
            Init::OpenRc => argv(&["rc-service", &self.service, "restart"]),
            _ => argv(&["service", &self.service, "restart"]),
        }
    }

    /// Returns where what the agent has done can be read.
    fn log(&self) -> Vec<String> {
        match (self.kind, self.init) {
            (Some(Kind::Novactl), Init::Systemd) => argv(&["journalctl", "-n", "50", "-u", &self.service]),
            _ => argv(&["tail", "-n", "50", "/var/log/nova-agent.log"]),
        }
    }

    /// Returns the step that puts an agent where there is none.
    fn put_in_place(&self) -> Step {
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
        if self.kind.is_none() {
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
            vec![argv(&["openstack", "server", "unrescue", "SERVER"])],
        ),
        step(
            "log in to the server itself, copy novactl to it, and look again: nothing is to be left",
            vec![argv(&["novactl", "doctor"]), argv(&["tail", "-n", "50", "/var/log/nova-agent.log"])],
        ),
        new_image(),
    ]
}

fn under_a_root(target: &Target, agent: &Names) -> Vec<Step> {
    let root = target.root.path().display().to_string();
    let mut steps = Vec::new();
    if agent.kind.is_none() {
        steps.push(agent.put_in_place());
    }
    steps.push(step("mend what novactl can mend on this disk; it asks first", vec![agent.fix.clone()]));
    let mounted = mount_by_hand(target, &root);
    let is_mounted = target.disk().is_none() || mounted.is_some();
    steps.extend(mounted);
    let mut leave = vec![argv(&["openstack", "server", "unrescue", "SERVER"])];
    if is_mounted {
        leave.insert(0, argv(&["umount", &root]));
    }
    steps.extend([
        step("mend by hand what is left of the list above", Vec::new()),
        step(
            "if the root password is not known, set it on the disk",
            vec![argv(&["novactl", "set-password"]).into_iter().chain(target.option()).collect()],
        ),
        step("leave rescue mode", leave),
    ]);
    if agent.kind.is_some() {
        steps.push(step(
            "on the server again: start the agent, read its log",
            vec![agent.start(), agent.log()],
        ));
    }
    steps.extend([look_again(), new_image()]);
    steps
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
