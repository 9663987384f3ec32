//! The three documented recovery routes: which one applies to what was found, and its steps on this system.
//!
//! 1. The source server is still there: repair its agent, take a new image.
//! 2. The source server is gone and its root password is known: console, address by hand, repair, new image.
//! 3. The password is not known either: rescue mode, password on the disk, then as 1.

use serde::Serialize;

use crate::check::{Finding, Status, Topic};
use crate::facts::agents::Kind;
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
        let disks = identity::idle_disks(&target.root).unwrap_or_default();
        return Some(Route { number: 3, title: THIRD, steps: in_rescue_mode(disks.first()) });
    }
    if !broken || failed("xen-guest") {
        return None;
    }
    let agent = Names::of(target);
    if !target.is_live() {
        return Some(Route { number: 3, title: THIRD, steps: under_a_root(target, &agent) });
    }
    if failed("addresses-match-host-data") {
        return Some(Route { number: 2, title: SECOND, steps: from_the_console(&agent) });
    }
    Some(Route { number: 1, title: FIRST, steps: on_the_running_server(&agent) })
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
}

impl Names {
    fn of(target: &Target) -> Self {
        let base = target.os().base;
        let agent = target.agents().all.first();
        let service = if base == Base::Debian { "python3-nova-agent" } else { "nova-agent" };
        Self { service: service.to_owned(), init: target.services().init, base, kind: agent.map(|a| a.kind) }
    }

    fn start(&self) -> Vec<String> {
        match self.init {
            Init::Systemd => argv(&["systemctl", "restart", &self.service]),
            Init::OpenRc => argv(&["rc-service", &self.service, "restart"]),
            _ => argv(&["service", &self.service, "restart"]),
        }
    }

    /// Returns how this distribution installs the agent; nothing where it has no package.
    fn install(&self) -> Vec<Vec<String>> {
        match self.base {
            Base::RedHat => vec![argv(&["yum", "install", "nova-agent"])],
            Base::Debian => vec![argv(&["apt-get", "install", "python3-nova-agent"])],
            _ => Vec::new(),
        }
    }

    fn repair(&self) -> Step {
        let mut commands = vec![self.start(), argv(&["tail", "-n", "50", "/var/log/nova-agent.log"])];
        let text = match (self.kind, self.install()) {
            (Some(_), _) => "mend what is listed above, start the agent, read its log",
            (None, install) if install.is_empty() => {
                "install agent 1.39.1 with its installer.sh (this distribution has no package of 2.x), start it, read its log"
            }
            (None, install) => {
                commands.splice(0..0, install);
                "install the agent, start it, read its log"
            }
        };
        step(text, commands)
    }
}

fn on_the_running_server(agent: &Names) -> Vec<Step> {
    vec![agent.repair(), look_again(), new_image()]
}

fn from_the_console(agent: &Names) -> Vec<Step> {
    vec![
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
        agent.repair(),
        look_again(),
        new_image(),
    ]
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
        step("mend what can be mended there", vec![argv(&["novactl", "doctor", "--fix", "--disk", device])]),
    ]
}

fn under_a_root(target: &Target, agent: &Names) -> Vec<Step> {
    let root = target.root.path().display().to_string();
    let mut steps = mount_by_hand(target, &root);
    steps.extend([
        step("mend what is listed above on this disk", Vec::new()),
        step(
            "if the root password is not known, set it on the disk",
            vec![argv(&["chroot", &root, "passwd", "root"])],
        ),
        step(
            "leave rescue mode",
            vec![argv(&["umount", &root]), argv(&["openstack", "server", "unrescue", "SERVER"])],
        ),
    ]);
    let text = "on the server again: start the agent, read its log";
    let commands = vec![agent.start(), argv(&["tail", "-n", "50", "/var/log/nova-agent.log"])];
    steps.extend([step(text, commands), look_again(), new_image()]);
    steps
}

/// What is mounted privately while it is looked at, a person has to mount.
fn mount_by_hand(target: &Target, root: &str) -> Vec<Step> {
    let Some(disk) = target.disk() else { return Vec::new() };
    let facts = disk.facts();
    let fix = argv(&["novactl", "doctor", "--fix", "--disk", &facts.path]);
    let mut steps = vec![step("mend what novactl can mend on this disk", vec![fix])];
    if let Some(device) = facts.system().and_then(|volume| volume.device.as_deref()) {
        let commands = vec![argv(&["mkdir", "-p", root]), argv(&["mount", device, root])];
        steps.push(step("mount it for what is done by hand", commands));
    }
    steps
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
