//! What starts at boot, read from files as the init system itself would.
//!
//! Which init system boots the target is decided here; each has a file of its own that knows its scripts, links and
//! variables. One more init system is a variant of [`Init`], a line in [`detect`] and in [`Services::named`], and
//! that file. Nothing here judges whether a service ought to start.

mod boot;
mod openrc;
mod presets;
mod rc_conf;
mod systemd;
mod sysv;
mod unit;
mod units;
mod upstart;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Result;

pub use boot::Pulled;
pub use rc_conf::{Switch, switch as rc_switch};
pub use unit::{Setting, Unit};

use self::units::{Found, Units};
use super::os::{Base, Family, Os};
use crate::root::Root;

/// The init system of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    Systemd,
    /// upstart (Ubuntu 9.10 to 14.10, EL6).
    Upstart,
    /// System V init with scripts in /etc/init.d.
    SysV,
    /// OpenRC (Alpine, Gentoo).
    OpenRc,
    /// FreeBSD's rc.
    BsdRc,
    /// None found.
    Unknown,
}

/// Whether a service starts at boot, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enabled {
    /// Starts at boot; the link, script or variable that makes it start.
    Yes(String),
    /// Does not start at boot; the reason.
    No(String),
    /// Masked: cannot be started at all; the link or the empty file.
    Masked(String),
}

/// One service as the init system of the target knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Name without suffix, such as `nova-agent`.
    pub name: String,
    /// Whose file it is: with systemd as the target's init, a `SysV` service is one that systemd's generator wraps.
    pub init: Init,
    /// The unit file or script, relative to the root.
    pub path: String,
    /// Whether it starts at boot.
    pub enabled: Enabled,
    /// The unit with its drop-ins; systemd only.
    pub unit: Option<Unit>,
    /// What its init script says of its order; System V and OpenRC scripts.
    pub order: Option<Order>,
}

/// The order of an init script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Start links: runlevel directory and number, such as (`etc/rc3.d`, 15).
    pub starts: Vec<(String, u32)>,
    /// LSB `Required-Start` and `Should-Start`, or OpenRC `need`, `use`, `after`.
    pub after: Vec<String>,
    /// LSB `Provides`.
    pub provides: Vec<String>,
}

/// Why a service could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The error, with the file.
    pub reason: String,
    /// Whether root could have.
    pub is_denied: bool,
}

impl Unread {
    /// Puts an error of [`Services::named`] into words.
    pub fn of(error: &anyhow::Error) -> Self {
        let is_denied = error.chain().any(|cause| {
            cause.downcast_ref() == Some(&rustix::io::Errno::ACCESS)
                || cause
                    .downcast_ref()
                    .is_some_and(|e: &std::io::Error| e.kind() == std::io::ErrorKind::PermissionDenied)
        });
        Self { reason: format!("{error:#}"), is_denied }
    }
}

/// What the running init system says of a service (`systemctl show`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// `active`, `failed`, `inactive`, `activating`, …
    pub active: String,
    /// `running`, `exited`, `dead`, …
    pub sub: String,
    /// `success`, `exit-code`, `timeout`, …
    pub result: String,
    /// Main process, 0 for none.
    pub main_pid: u32,
    /// How often it was started again since a person or the boot started it; systemd before 235 does not say.
    pub restarts: u32,
    /// Whether its files changed since systemd read them: it starts what they said before.
    pub is_outdated: bool,
}

impl State {
    /// Whether systemd started it again until it was too often, and now refuses to.
    pub fn gave_up(&self) -> bool {
        self.active == "failed" && self.restarts > 0
    }
}

/// The services of a target. What is read of its directories is kept: ask one `Services` about one root only.
#[derive(Debug)]
pub struct Services {
    /// The init system that boots this target.
    pub init: Init,
    base: Base,
    /// Whether systemd runs here and the root is its own.
    is_running: bool,
    units: OnceLock<Units>,
    boot: OnceLock<BTreeMap<String, Pulled>>,
    named: Mutex<BTreeMap<String, Option<Service>>>,
}

impl Services {
    /// Looks at which init system boots the target.
    pub fn of(root: &Root, os: &Os) -> Self {
        let is_running = root.path() == Path::new("/") && root.exists("run/systemd/system");
        let init = if is_running { Init::Systemd } else { detect(root, os) };
        let (units, boot, named) = (OnceLock::new(), OnceLock::new(), Mutex::default());
        Self { init, base: os.base, is_running, units, boot, named }
    }

    /// Returns the service of this name as the target's init system sees it, or `None` when it knows none. An init
    /// script and a unit of one name are one service: the unit wins. Of an alias the service is returned under its
    /// own name.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn named(&self, root: &Root, name: &str) -> Result<Option<Service>> {
        if name.is_empty() || name.contains('/') {
            return Ok(None);
        }
        let known = || self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = known().get(name) {
            return Ok(service.clone());
        }
        let service = self.look_up(root, name)?;
        known().insert(name.to_owned(), service.clone());
        Ok(service)
    }

    fn look_up(&self, root: &Root, name: &str) -> Result<Option<Service>> {
        match self.init {
            Init::Systemd => {
                let boot = self.reachable(root)?;
                match systemd::named(root, self.units(root)?, boot, name)? {
                    Some(service) => Ok(Some(service)),
                    None => sysv::named(root, &sysv::Runner::Generator(boot), name),
                }
            }
            Init::Upstart => {
                let job = upstart::named(root, name)?;
                if job.as_ref().is_some_and(|job| matches!(job.enabled, Enabled::Yes(_))) {
                    return Ok(job);
                }
                // A script of the same name still runs by its own link, except the one that only calls the job.
                let script = self.script(root, name)?.filter(|script| {
                    let is_job = root
                        .link_opt(&script.path)
                        .is_ok_and(|to| to.is_some_and(|to| to.ends_with("/upstart-job")));
                    job.is_none() || matches!(script.enabled, Enabled::Yes(_)) && !is_job
                });
                Ok(script.or(job))
            }
            Init::SysV => self.script(root, name),
            Init::OpenRc => openrc::named(root, name),
            Init::BsdRc => rc_conf::named(root, name),
            Init::Unknown => Ok(None),
        }
    }

    /// Returns a systemd unit by its full name (`network-online.target`) or an alias of it, with its drop-ins;
    /// `None` when there is none, when it is masked, and where systemd does not boot the target.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn unit(&self, root: &Root, name: &str) -> Result<Option<Arc<Unit>>> {
        if self.init != Init::Systemd {
            return Ok(None);
        }
        let units = self.units(root)?;
        match units.find(root, name)? {
            Found::Unit { id, path } => Ok(Some(units.load(root, &id, &path)?)),
            Found::Nothing | Found::Masked(_) => Ok(None),
        }
    }

    /// Returns the systemd units that a boot pulls in, by their own names; nothing where systemd does not boot the
    /// target. Units that systemd makes of init scripts are not among them.
    ///
    /// # Errors
    /// A directory of units cannot be read.
    pub fn reachable(&self, root: &Root) -> Result<&BTreeMap<String, Pulled>> {
        if let Some(boot) = self.boot.get() {
            return Ok(boot);
        }
        let boot = match self.init {
            Init::Systemd => boot::pulled(root, self.units(root)?)?,
            _ => BTreeMap::new(),
        };
        Ok(self.boot.get_or_init(|| boot))
    }

    /// Returns the systemd units that a boot would reach by cloud-init's generator if no file forbade it.
    ///
    /// # Errors
    /// A directory of units cannot be read.
    pub(crate) fn reachable_by_cloud_init(&self, root: &Root) -> Result<BTreeMap<String, Pulled>> {
        match self.init {
            Init::Systemd => boot::pulled_by_cloud_init(root, self.units(root)?),
            _ => Ok(BTreeMap::new()),
        }
    }

    /// Returns what the running init system says of a service; `None` when it is not systemd or knows no such
    /// service.
    ///
    /// # Errors
    /// `systemctl` fails or hangs.
    pub fn state(&self, name: &str) -> Result<Option<State>> {
        if self.is_running { systemd::state(name) } else { Ok(None) }
    }

    fn script(&self, root: &Root, name: &str) -> Result<Option<Service>> {
        let level = sysv::default_runlevel(root, self.base)?;
        sysv::named(root, &sysv::Runner::Runlevel(level), name)
    }

    fn units(&self, root: &Root) -> Result<&Units> {
        if let Some(units) = self.units.get() {
            return Ok(units);
        }
        let units = Units::of(root, self.is_running)?;
        Ok(self.units.get_or_init(|| units))
    }
}

/// Tells from files which init system boots a target: what the kernel would start, then what belongs to it alone.
fn detect(root: &Root, os: &Os) -> Init {
    match os.family {
        Family::FreeBsd => return Init::BsdRc,
        Family::Windows => return Init::Unknown,
        Family::Linux => {}
    }
    let any = |paths: &[&str]| paths.iter().any(|path| root.exists(path));
    if init_program(root).is_some_and(|path| path.ends_with("systemd/systemd")) {
        return Init::Systemd;
    }
    // OpenRC runs under busybox's or System V's init, or its own.
    if any(&["etc/runlevels"]) && any(&["sbin/openrc", "usr/bin/openrc", "sbin/rc", "sbin/openrc-run"]) {
        return Init::OpenRc;
    }
    // etc/init alone says nothing: packages leave jobs behind.
    if any(&["sbin/initctl"]) && any(&["etc/init/rc.conf", "etc/init/rc-sysinit.conf", "etc/init/rcS.conf"]) {
        return Init::Upstart;
    }
    if any(&["etc/inittab"]) || any(&["sbin/init"]) && any(&["etc/init.d"]) {
        return Init::SysV;
    }
    // A tree without an init program at all, such as that of a container, or one that an initramfs starts.
    if any(&["usr/lib/systemd/systemd", "lib/systemd/systemd"]) { Init::Systemd } else { Init::Unknown }
}

/// The program that the kernel starts, links followed as far as they lead.
fn init_program(root: &Root) -> Option<String> {
    for path in ["sbin/init", "etc/init", "bin/init"] {
        match root.resolve(path) {
            Ok(Some(real)) => return Some(real),
            // A link that leads nowhere still tells what is meant to boot.
            _ => match root.link_opt(path) {
                Ok(Some(text)) => return Some(text),
                _ => continue,
            },
        }
    }
    None
}

#[cfg(test)]
mod tests;
