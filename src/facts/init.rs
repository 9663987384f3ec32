//! What starts at boot, read from files as the init system itself would.

use anyhow::Result;

use super::os::Os;
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
}

impl Services {
    /// Looks at which init system boots the target.
    pub fn of(_root: &Root, _os: &Os) -> Self {
        Self { init: Init::Unknown }
    }

    /// Returns the service of this name as the target's init system sees it, or `None` when it knows none. An init
    /// script and a unit of one name are one service: the unit wins.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn named(&self, _root: &Root, _name: &str) -> Result<Option<Service>> {
        Ok(None)
    }

    /// Returns a systemd unit by its full name (`network-online.target`) with its drop-ins, or `None` when there is
    /// none.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn unit(&self, _root: &Root, _name: &str) -> Result<Option<Unit>> {
        Ok(None)
    }

    /// Returns what the running init system says of a service; `None` when it is not systemd.
    ///
    /// # Errors
    /// `systemctl` fails or hangs.
    pub fn state(&self, _name: &str) -> Result<Option<State>> {
        Ok(None)
    }
}
