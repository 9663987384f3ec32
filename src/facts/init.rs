//! What starts at boot, read from files as the init system itself would.
//!
//! One file per init system; each gives a [`Service`] by name. To add one: its file, a variant of [`Init`], a line in
//! [`Services::named`] and in [`init_of`].

mod openrc;
mod rc_conf;
mod systemd;
mod sysv;
mod upstart;

use std::sync::OnceLock;

use anyhow::{Result, bail};

use self::systemd::Units;
use super::os::{Family, Os};
use crate::exec::Cmd;
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

/// A systemd unit as systemd reads it: the file and its drop-ins in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Every assignment in the order in which systemd applies them.
    pub settings: Vec<Setting>,
}

/// One assignment of a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Section without brackets.
    pub section: String,
    /// Key.
    pub key: String,
    /// Value, continuation lines joined.
    pub value: String,
    /// File and line, such as `etc/systemd/system/nova-agent.service.d/10.conf:3`.
    pub source: String,
}

impl Unit {
    /// Returns the last assignment of a key that takes one value.
    pub fn last(&self, section: &str, key: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|s| s.section == section && s.key == key)
    }

    /// Returns the words of a key that takes a list; an empty assignment starts the list anew.
    pub fn words(&self, section: &str, key: &str) -> Vec<&str> {
        let mut words = Vec::new();
        for setting in self.settings.iter().filter(|s| s.section == section && s.key == key) {
            if setting.value.is_empty() {
                words.clear();
            }
            words.extend(setting.value.split_whitespace());
        }
        words
    }
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

/// What the running init system says of a service (`systemctl show`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `active`, `failed`, `inactive`, `activating`, …
    pub active: String,
    /// `running`, `exited`, `dead`, …
    pub sub: String,
    /// `success`, `exit-code`, `timeout`, …
    pub result: String,
    /// Main process, 0 for none.
    pub main_pid: u32,
}

/// The services of a target.
#[derive(Debug)]
pub struct Services {
    /// The init system that boots this target.
    pub init: Init,
    /// Runlevels into which it boots, for System V scripts.
    levels: Vec<u8>,
    units: OnceLock<Units>,
}

impl Services {
    /// Looks at which init system boots the target.
    pub fn of(root: &Root, os: &Os) -> Self {
        let init = init_of(root, os);
        // an unreadable inittab is as good as none: the distribution's ways then hold
        let levels = match init {
            // systemd maps 2, 3 and 4 to multi-user.target and 5 to graphical.target (systemd-sysv-generator(8))
            Init::Systemd => vec![2, 3, 4, 5],
            _ => sysv::default_levels(root, os).unwrap_or_default(),
        };
        Self { init, levels, units: OnceLock::new() }
    }

    /// Returns the service of this name as the target's init system sees it, or `None` when it knows none. An init
    /// script and a unit of one name are one service: the unit wins.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn named(&self, root: &Root, name: &str) -> Result<Option<Service>> {
        match self.init {
            Init::Systemd => match self.unit_service(root, name)? {
                None => sysv::find(root, name, &self.levels),
                found => Ok(found),
            },
            // upstart runs init scripts as well
            Init::Upstart => match upstart::find(root, name)? {
                None => sysv::find(root, name, &self.levels),
                found => Ok(found),
            },
            Init::OpenRc => openrc::find(root, name),
            Init::BsdRc => rc_conf::find(root, name),
            Init::SysV | Init::Unknown => sysv::find(root, name, &self.levels),
        }
    }

    /// Returns a systemd unit by its full name (`network-online.target`) with its drop-ins, or `None` when there is
    /// none or it is masked.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn unit(&self, root: &Root, name: &str) -> Result<Option<Unit>> {
        Ok(self.units(root)?.load(root, name)?.map(|(_, unit)| unit))
    }

    /// Whether a boot pulls in a systemd unit, by its full name.
    ///
    /// # Errors
    /// A unit file cannot be read.
    pub fn is_pulled_in(&self, root: &Root, name: &str) -> Result<bool> {
        Ok(self.init == Init::Systemd && self.units(root)?.reached(root)?.contains_key(name))
    }

    /// Returns what the running init system says of a service; `None` when it is not systemd.
    ///
    /// # Errors
    /// `systemctl` fails or hangs.
    pub fn state(&self, name: &str) -> Result<Option<State>> {
        if self.init != Init::Systemd {
            return Ok(None);
        }
        let unit = format!("{name}.service");
        let show = Cmd::new(&["systemctl", "show", "-p", "ActiveState,SubState,Result,MainPID", &unit]);
        let Some(output) = show.output()? else { return Ok(None) };
        if !output.status.success() {
            bail!("running systemctl show {unit}: {}", output.stderr.trim());
        }
        let get = |key: &str| {
            let line = output.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        Ok(Some(State {
            active: get("ActiveState"),
            sub: get("SubState"),
            result: get("Result"),
            main_pid: get("MainPID").parse().unwrap_or(0),
        }))
    }

    fn unit_service(&self, root: &Root, name: &str) -> Result<Option<Service>> {
        let units = self.units(root)?;
        let full = format!("{name}.service");
        let service = |path: String, enabled, unit| Service {
            name: name.to_owned(),
            init: Init::Systemd,
            path,
            enabled,
            unit,
            order: None,
        };
        if let Some(by) = units.mask(root, &full)? {
            let path = by.split(' ').next().unwrap_or_default().to_owned();
            return Ok(Some(service(path, Enabled::Masked(by), None)));
        }
        let Some((path, unit)) = units.load(root, &full)? else { return Ok(None) };
        let enabled = units.enabled(root, &full, &unit)?;
        Ok(Some(service(path, enabled, Some(unit))))
    }

    fn units(&self, root: &Root) -> Result<&Units> {
        if let Some(units) = self.units.get() {
            return Ok(units);
        }
        let units = Units::of(root)?;
        Ok(self.units.get_or_init(|| units))
    }
}

/// Tells the init system by what `sbin/init` is, and where that says nothing by the files that only one reads.
fn init_of(root: &Root, os: &Os) -> Init {
    if os.family == Family::FreeBsd {
        return Init::BsdRc;
    }
    if root.exists("run/systemd/system") {
        return Init::Systemd;
    }
    let program = root.resolve("sbin/init").ok().flatten().unwrap_or_default();
    let has = |path: &str| root.exists(path);
    let has_systemd = has("usr/lib/systemd/systemd") || has("lib/systemd/systemd");
    match program.rsplit('/').next().unwrap_or_default() {
        "systemd" => Init::Systemd,
        "openrc-init" => Init::OpenRc,
        "upstart" => Init::Upstart,
        // Alpine and Gentoo start OpenRC from busybox's or sysvinit's init
        _ if has("etc/runlevels") && (has("sbin/openrc") || has("sbin/rc") || has("usr/sbin/openrc")) => {
            Init::OpenRc
        }
        _ if has("sbin/initctl") && has_jobs(root) => Init::Upstart,
        // an image without sbin/init is started with init=
        "" if has_systemd => Init::Systemd,
        _ if has("etc/inittab") || has("etc/init.d") || has("etc/rc.d") => Init::SysV,
        _ if has_systemd => Init::Systemd,
        _ => Init::Unknown,
    }
}

/// Whether upstart has its jobs; Debian keeps an empty etc/init for packages that bring some.
fn has_jobs(root: &Root) -> bool {
    root.exists("etc/init/rc.conf")
        || root.exists("etc/init/rc-sysinit.conf")
        || root.exists("etc/init/rcS.conf")
}

#[cfg(test)]
mod tests;
