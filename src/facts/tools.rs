//! The XenServer Tools daemons that are installed: the XenServer one (`xe-daemon`, started by
//! `xe-linux-distribution`) in the packagings of each distribution, and the Xen project's `xen-guest-agent`.
//!
//! All of it from files; which of them runs is told by matching processes. To add a packaging: one path or one
//! service name in the lists below.

use std::io::Read;

use super::init::{Enabled, Service, Services, Unread};
use super::packages;
use super::processes::Process;
use crate::root::{self, Root};

/// Which daemon it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `xe-daemon` of xe-guest-utilities (XenServer, XCP-ng, EPEL, Alpine, FreeBSD): Go, before version 6.6 a shell
    /// script.
    XeDaemon,
    /// `xen-guest-agent` of the Xen project, Rust.
    XenGuestAgent,
}

/// One installed daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Which one.
    pub kind: Kind,
    /// Its program, relative to the root.
    pub program: String,
    /// The version that the package manager knows.
    pub version: Option<String>,
    /// What the program was built for; `None` for a script.
    pub machine: Option<Machine>,
    /// The services that start it, the one that starts at boot first; empty when nothing does.
    pub services: Vec<Service>,
}

/// The tools of a target.
#[derive(Debug, Default)]
pub struct Tools {
    /// Each of them; usually one.
    pub all: Vec<Tool>,
    /// Why a place could not be looked at: then none found does not mean none there.
    pub denied: Option<String>,
    /// What kept a service from being looked at: it may start them.
    pub unread: Option<Unread>,
    /// What the system itself is built for, when a program of it says.
    pub machine: Option<Machine>,
}

/// What an ELF program is built for: the number `e_machine` of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine(pub u16);

impl Machine {
    /// `EM_386`.
    pub const I386: Self = Self(3);
    /// `EM_X86_64`.
    pub const X86_64: Self = Self(62);
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // include/uapi/linux/elf-em.h
        match self.0 {
            3 => f.write_str("i386"),
            40 => f.write_str("arm"),
            62 => f.write_str("x86_64"),
            183 => f.write_str("aarch64"),
            number => write!(f, "machine {number}"),
        }
    }
}

impl Kind {
    const ALL: [Self; 2] = [Self::XeDaemon, Self::XenGuestAgent];

    /// Returns the name of its process.
    pub fn process(self) -> &'static str {
        match self {
            Self::XeDaemon => "xe-daemon",
            Self::XenGuestAgent => "xen-guest-agent",
        }
    }

    /// Where its program is, the daemon before the script that only collects the distribution's name.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::XeDaemon => &[
                "usr/sbin/xe-daemon",
                "usr/bin/xe-daemon",
                "usr/local/sbin/xe-daemon",   // FreeBSD
                "usr/share/oem/xs/xe-daemon", // CoreOS
                "usr/sbin/xe-linux-distribution",
                "usr/bin/xe-linux-distribution",
                "usr/share/oem/xs/xe-linux-distribution",
            ],
            Self::XenGuestAgent => {
                &["usr/sbin/xen-guest-agent", "usr/bin/xen-guest-agent", "usr/local/sbin/xen-guest-agent"]
            }
        }
    }

    fn service_names(self) -> &'static [&'static str] {
        match self {
            // XenServer, EPEL, Arch; Debian, Ubuntu; Alpine; FreeBSD, NetBSD
            Self::XeDaemon => &["xe-linux-distribution", "xe-daemon", "xe-guest-utilities", "xenguest"],
            Self::XenGuestAgent => &["xen-guest-agent", "xen_guest_agent"],
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::XeDaemon => &["xe-guest-utilities", "xe-guest-utilities-latest"],
            Self::XenGuestAgent => &["xen-guest-agent"],
        }
    }
}

impl Tools {
    /// Looks for the tools.
    pub fn of(root: &Root, services: &Services) -> Self {
        let mut unread = None;
        let kinds = Kind::ALL.into_iter();
        let all = kinds.filter_map(|kind| Tool::of(root, services, kind, &mut unread)).collect();
        let places = Kind::ALL.into_iter().flat_map(Kind::programs);
        let denied = places.filter_map(|path| root.stat_opt(path).err()).map(|e| format!("{e:#}")).next();
        Self { all, denied, unread, machine: system_machine(root) }
    }
}

impl Tool {
    /// What keeps a service from being looked at is told in `unread`.
    fn of(root: &Root, services: &Services, kind: Kind, unread: &mut Option<Unread>) -> Option<Self> {
        let program = *kind.programs().iter().find(|path| is_file(root, path))?;
        let mut starters: Vec<Service> = Vec::new();
        for name in kind.service_names() {
            match services.named(root, name) {
                Ok(service) => starters.extend(service),
                Err(e) => drop(unread.get_or_insert_with(|| Unread::of(&e))),
            }
        }
        starters.sort_by_key(|service| !matches!(service.enabled, Enabled::Yes(_)));
        Some(Self {
            kind,
            program: program.to_owned(),
            version: kind.packages().iter().find_map(|name| version(root, name)),
            machine: machine(root, program),
            services: starters,
        })
    }

    /// Returns the service that starts it at boot.
    pub fn enabled(&self) -> Option<&Service> {
        self.services.first().filter(|service| matches!(service.enabled, Enabled::Yes(_)))
    }

    /// Returns its process, also that of the old one, which is a shell script.
    pub fn process<'p>(&self, processes: &'p [Process]) -> Option<&'p Process> {
        let name = self.kind.process();
        let is_name = |arg: &String| arg.rsplit('/').next() == Some(name);
        processes.iter().find(|process| process.name == name || process.argv.iter().take(2).any(is_name))
    }
}

fn is_file(root: &Root, path: &str) -> bool {
    root.stat_opt(path).is_ok_and(|stat| stat.is_some_and(|stat| stat.kind == root::Kind::File))
}

fn version(root: &Root, package: &str) -> Option<String> {
    let found = packages::find(root, package).unwrap_or_else(|e| {
        tracing::debug!("looking for the package {package}: {e:#}");
        None
    });
    found.map(|package| package.version)
}

/// What the system is built for: what its own init and shell are.
fn system_machine(root: &Root) -> Option<Machine> {
    ["usr/lib/systemd/systemd", "lib/systemd/systemd", "sbin/init", "bin/sh", "usr/bin/sh"]
        .iter()
        .find_map(|path| machine(root, path))
}

fn machine(root: &Root, path: &str) -> Option<Machine> {
    let (file, _) = root.open_file(path).ok()??;
    let mut header = Vec::new();
    file.take(ELF_HEADER).read_to_end(&mut header).ok()?;
    elf_machine(&header)
}

/// As far as `e_machine` reaches in an ELF header, in bytes, for both classes (System V ABI, "ELF header").
const ELF_HEADER: u64 = 20;

fn elf_machine(header: &[u8]) -> Option<Machine> {
    let little_endian = 1;
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let data = *header.get(5)?;
    let bytes = [*header.get(18)?, *header.get(19)?];
    Some(Machine(if data == little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    const SCRIPT: &[u8] = b"#!/bin/sh\nexec sleep 60\n";

    fn elf(machine: u16) -> Vec<u8> {
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(18, 0);
        header.extend(machine.to_le_bytes());
        header
    }

    fn tools(files: &[(&str, &[u8])]) -> Tools {
        let tree = Tree::of(files);
        let root = tree.root();
        let services = Services::of(&root, &crate::facts::os::Os::of(&root));
        Tools::of(&root, &services)
    }

    #[test]
    fn every_packaging_is_found_by_its_program() {
        for (path, kind) in [
            ("usr/sbin/xe-daemon", Kind::XeDaemon),
            ("usr/local/sbin/xe-daemon", Kind::XeDaemon),
            ("usr/share/oem/xs/xe-daemon", Kind::XeDaemon),
            ("usr/sbin/xe-linux-distribution", Kind::XeDaemon),
            ("usr/sbin/xen-guest-agent", Kind::XenGuestAgent),
        ] {
            let found = tools(&[(path, SCRIPT)]).all;
            let found: Vec<_> = found.iter().map(|tool| (tool.program.as_str(), tool.kind)).collect();
            assert_eq!(found, [(path, kind)]);
        }
    }

    #[test]
    fn a_tree_without_tools_has_none() {
        assert_eq!(tools(&[("usr/bin/xenstore-read", SCRIPT)]).all, []);
    }

    #[test]
    fn the_daemon_is_the_program_and_not_the_script_beside_it() {
        let found = tools(&[("usr/sbin/xe-linux-distribution", SCRIPT), ("usr/sbin/xe-daemon", &elf(62))]);
        assert_eq!(found.all[0].program, "usr/sbin/xe-daemon");
        assert_eq!(found.all[0].machine, Some(Machine::X86_64));
    }

    #[test]
    fn the_system_is_what_its_shell_is_built_for() {
        let found = tools(&[("bin/sh", &elf(183)), ("usr/sbin/xe-daemon", &elf(3))]);
        assert_eq!((found.machine, found.all[0].machine), (Some(Machine(183)), Some(Machine::I386)));
    }

    #[test]
    fn a_short_or_foreign_header_says_nothing() {
        for header in [b"".as_slice(), b"\x7fELF", b"\x7fELF\x02\x01", SCRIPT] {
            assert_eq!(elf_machine(header), None);
        }
        let mut big_endian = elf(0);
        big_endian[5] = 2;
        big_endian[18..20].copy_from_slice(&21u16.to_be_bytes());
        assert_eq!(elf_machine(&big_endian), Some(Machine(21)));
    }

    #[test]
    fn the_process_is_found_by_name_or_as_a_script_of_the_shell() {
        let tool = Tool {
            kind: Kind::XeDaemon,
            program: "usr/sbin/xe-daemon".to_owned(),
            version: None,
            machine: None,
            services: Vec::new(),
        };
        let process = |name: &str, argv: &[&str]| Process {
            pid: 7,
            name: name.to_owned(),
            exe: None,
            argv: argv.iter().map(ToString::to_string).collect(),
            started: 0,
        };
        for (process, found) in [
            (process("xe-daemon", &["/usr/sbin/xe-daemon", "-p", "/run/xe-daemon.pid"]), true),
            (process("sh", &["/bin/sh", "/usr/local/sbin/xe-daemon", "-p"]), true),
            (process("vi", &["vi", "-R", "/usr/sbin/xe-daemon"]), false),
            (process("xen-guest-agent", &["/usr/sbin/xen-guest-agent"]), false),
        ] {
            assert_eq!(tool.process(std::slice::from_ref(&process)).is_some(), found, "{process:?}");
        }
    }
}
