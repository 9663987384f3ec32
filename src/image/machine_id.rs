//! The machine id: `/etc/machine-id`, and D-Bus's own where there is no systemd.
//!
//! systemd makes a new id of an empty file (machine-id(5)). `uninitialized` would do so too, and would make the copy's
//! boot a first boot, which applies presets: on Debian these enable every service.

use anyhow::Result;

use crate::facts::init::Init;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{Kind, Node, Root};
use crate::target::Target;

const FILE: &str = "etc/machine-id";
const DBUS: &str = "var/lib/dbus/machine-id";
/// FreeBSD makes a missing one at boot (rc.d/hostid).
const HOSTID: &str = "etc/hostid";

/// The machine id of a system.
#[derive(Debug, PartialEq, Eq)]
pub struct MachineId {
    /// The file that holds it.
    pub path: &'static str,
}

impl MachineId {
    /// Returns the id that a copy would have as well; `None` where it would make its own.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn cloned(root: &Root) -> Result<Option<Self>> {
        for path in [FILE, DBUS, HOSTID] {
            let text = root.text_opt(path)?.unwrap_or_default();
            if !matches!(text.trim(), "" | "uninitialized") {
                return Ok(Some(Self { path }));
            }
        }
        Ok(None)
    }
}

pub(super) fn plan(target: &Target) -> Result<Plan> {
    let mut plan = Plan::default();
    let root = &target.root;
    let removed =
        |path: &str| FileChange::Restore { path: path.to_owned(), node: Node::Absent, secret: Secrecy::Open };
    if target.services().init == Init::Systemd {
        if root.exists(FILE) {
            plan.files.push(FileChange::write(FILE, ""));
        }
        // a file of its own would stay the same for ever; a link follows
        if root.lstat_opt(DBUS)?.is_some_and(|stat| stat.kind == Kind::File) {
            plan.files.push(FileChange::Link { path: DBUS.to_owned(), to: "/etc/machine-id".to_owned() });
        }
        return Ok(plan);
    }
    // dbus-uuidgen --ensure makes what is missing
    for path in [FILE, DBUS, HOSTID] {
        if root.lstat_opt(path)?.is_some_and(|stat| matches!(stat.kind, Kind::File | Kind::Link)) {
            plan.files.push(removed(path));
        }
    }
    Ok(plan)
}
