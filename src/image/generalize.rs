//! What must not be cloned, step by step. Each can be left out by its name.
//!
//! To add one: a line in [`STEPS`]. A step that would harm a running server says how: there it is left out.
//! `authorized_keys` is no step: who may log in is not an identity of the machine.

use anyhow::{Context, Result};

use super::sweep::{Keep, Sweep};
use super::{Who, host_keys, hostname, machine_id, name_servers, network};
use crate::plan::Plan;
use crate::target::Target;

/// One thing that must not be cloned.
pub struct Step {
    /// Its name, as options take it.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it would do to a server that runs; `None`: nothing.
    pub harms: Option<&'static str>,
    work: Work,
}

enum Work {
    Sweep(&'static [Sweep]),
    Own(fn(&Target, Who) -> Result<Plan>),
}

/// Every step.
pub const STEPS: &[Step] = &[
    Step {
        name: "machine-id",
        about: "empty /etc/machine-id: the copy makes its own",
        harms: Some("the journal and D-Bus of the running server need it"),
        work: Work::Own(|target, _| machine_id::plan(target)),
    },
    Step {
        name: "host-keys",
        about: "remove the SSH host keys, where something makes new ones at boot",
        harms: Some("nobody could log in to the running server any more"),
        work: Work::Own(host_keys::plan),
    },
    Step {
        name: "network",
        about: "remove the NICs' configuration: the copy's first boot writes its own",
        harms: Some("the running server would lose its addresses at its next boot"),
        work: Work::Own(network::plan),
    },
    Step {
        name: "hostname",
        about: "take the name away: the copy's first boot sets its own",
        harms: Some("the running server would be localhost from its next boot on"),
        work: Work::Own(|target, _| hostname::plan(target)),
    },
    Step {
        name: "name-servers",
        about: "empty /etc/resolv.conf, where the copy's first boot writes its own",
        harms: Some("the running server could not resolve names any more"),
        work: Work::Own(name_servers::plan),
    },
    Step {
        name: "leases",
        about: "remove DHCP leases",
        harms: None,
        work: Work::Sweep(&[
            Sweep::remove("var/lib/dhcp/*.lease*"),
            Sweep::remove("var/lib/dhcp3/*.lease*"),
            Sweep::remove("var/lib/dhclient/*.lease*"),
            Sweep::remove("var/lib/NetworkManager/*.lease"),
            Sweep::remove("var/lib/dhcpcd/*.lease*"),
            Sweep::remove("var/lib/dhcpcd5/*.lease*"),
            Sweep::remove("var/lib/wicked/lease*.xml"),
            Sweep::remove("var/db/dhclient.leases.*"),
        ]),
    },
    Step {
        name: "dhcp-duid",
        about: "remove the identities that DHCP clients made of this machine",
        harms: None,
        work: Work::Sweep(&[
            Sweep::remove("etc/dhcpcd.duid"),
            Sweep::remove("var/lib/dhcpcd/duid"),
            Sweep::remove("var/lib/dhcpcd/secret"),
            Sweep::remove("var/lib/dhcpv6/dhcp6c_duid"),
            Sweep::remove("var/db/dhcp6c_duid"),
            Sweep::remove("var/lib/wicked/duid.xml"),
            Sweep::remove("var/lib/wicked/iaid.xml"),
        ]),
    },
    Step {
        name: "nm-state",
        about: "remove NetworkManager's secret key and memory",
        harms: None,
        work: Work::Sweep(&[
            Sweep::remove("var/lib/NetworkManager/secret_key"),
            Sweep::remove("var/lib/NetworkManager/seen-bssids"),
            Sweep::remove("var/lib/NetworkManager/timestamps"),
        ]),
    },
    Step {
        name: "persistent-rules",
        about: "empty udev's rules that bind names to this machine's hardware",
        harms: Some("its NICs could have other names at its next boot"),
        // kept as empty files: udev's generator of old systems would write a missing one anew
        work: Work::Sweep(&[
            Sweep::empty("etc/udev/rules.d/70-persistent-net.rules"),
            Sweep::empty("etc/udev/rules.d/70-persistent-cd.rules"),
        ]),
    },
    Step {
        name: "cloud-init-state",
        about: "remove what cloud-init remembers, so that it sees a new server",
        harms: Some("cloud-init would take the running server for a new one at its next boot"),
        work: Work::Sweep(&[
            Sweep::remove("var/lib/cloud/instance"),
            Sweep::remove("var/lib/cloud/instances/**"),
            Sweep::remove("var/lib/cloud/data/**"),
            Sweep::remove("var/lib/cloud/sem/**"),
        ]),
    },
    Step {
        name: "random-seed",
        about: "remove the random seed: two servers must not begin with the same",
        harms: None,
        work: Work::Sweep(&[
            Sweep::remove("var/lib/systemd/random-seed"),
            Sweep::remove("var/lib/random-seed"),
            Sweep::remove("var/lib/urandom/random-seed"),
            Sweep::remove("var/lib/misc/random-seed"),
            Sweep::remove("var/lib/seedrng/seed*"),
            Sweep::remove("var/db/entropy/*"),
            Sweep::remove("entropy"),
            Sweep::remove("boot/entropy"),
        ]),
    },
    Step {
        name: "history",
        about: "remove what people typed",
        harms: None,
        work: Work::Sweep(&[
            Sweep::remove("root/.*_history"),
            Sweep::remove("root/.viminfo"),
            Sweep::remove("root/.lesshst"),
            Sweep::remove("home/*/.*_history"),
            Sweep::remove("home/*/.viminfo"),
            Sweep::remove("home/*/.lesshst"),
        ]),
    },
    Step {
        name: "logs",
        about: "empty the logs, remove rotated ones and the journal",
        harms: Some("its services would go on writing to files that are gone"),
        work: Work::Sweep(&[Sweep::logs("var/log/**")]),
    },
    Step {
        name: "package-caches",
        about: "remove the package managers' caches",
        harms: None,
        work: Work::Sweep(&[
            Sweep::cache("var/cache/apt/*.bin"),
            Sweep::cache("var/cache/apt/archives/*.deb"),
            Sweep::cache("var/cache/apt/archives/partial/*"),
            Sweep::cache("var/lib/apt/lists/*_*"),
            Sweep::cache("var/lib/apt/lists/partial/*"),
            Sweep::cache("var/cache/yum/**"),
            Sweep::cache("var/cache/dnf/**"),
            Sweep::cache("var/cache/libdnf5/**"),
            Sweep::cache("var/cache/zypp/**"),
            Sweep::cache("var/cache/apk/**"),
            Sweep::cache("var/cache/pacman/pkg/*"),
            Sweep::cache("var/cache/pkg/*"),
        ]),
    },
];

impl Step {
    /// Plans the step for copies that `who` configures.
    ///
    /// # Errors
    /// A file cannot be read, or the copy would be left without what the step takes away.
    pub fn plan(&self, target: &Target, who: Who, keep: &mut Keep) -> Result<Plan> {
        match &self.work {
            Work::Own(plan) => plan(target, who),
            Work::Sweep(sweeps) => keep.plan(&target.root, sweeps),
        }
        .with_context(|| format!("planning the step {}", self.name))
    }
}

/// Returns what the journal may keep of one change.
pub fn keep() -> Keep {
    Keep::default()
}
