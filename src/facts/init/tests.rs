//! Which init system boots a tree, and what it makes of the agent's service: small trees in real-world spellings.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// Makes a tree: path → text, `-> target` for a link; scripts (text with `#!`) may be executed.
pub(super) fn tree(entries: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in entries {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(target) = text.strip_prefix("-> ") {
            symlink(target, path).unwrap();
            continue;
        }
        std::fs::write(&path, text).unwrap();
        if text.starts_with("#!") {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    dir
}

fn look(entries: &[(&str, &str)]) -> (Init, Option<Service>) {
    let dir = tree(entries);
    let root = Root::open(dir.path()).unwrap();
    let services = Services::of(&root, &Os::of(&root));
    (services.init, services.named(&root, "nova-agent").unwrap())
}

const SCRIPT: &str = "#!/bin/sh\n# chkconfig: 2345 15 85\n### BEGIN INIT INFO\n# Provides: Nova-Agent\n\
    # Required-Start: $remote_fs xe-linux-distribution\n# Should-Start: x\n# Default-Start: 2 3 4 5\n### END INIT INFO\n";
const UNIT: &str = "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n";
const MULTI_USER: &str = "[Unit]\nRequires=basic.target\n";

#[test]
fn each_distribution_starts_the_agent_in_its_own_way() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], Init, Init, &'static str);
    let table: [Row; 14] = [
        (
            "CentOS 5",
            &[
                ("etc/redhat-release", "CentOS release 5.11 (Final)\n"),
                ("sbin/init", "#!elf"),
                ("etc/inittab", "# comment\nid:3:initdefault:\nsi::sysinit:/etc/rc.d/rc.sysinit\n"),
                ("etc/init.d", "-> rc.d/init.d"),
                ("etc/rc.d/init.d/nova-agent", SCRIPT),
                ("etc/rc3.d", "-> rc.d/rc3.d"),
                ("etc/rc.d/rc3.d/S15nova-agent", "-> ../init.d/nova-agent"),
            ],
            Init::SysV,
            Init::SysV,
            "etc/rc.d/rc3.d/S15nova-agent",
        ),
        (
            "CentOS 6",
            &[
                ("etc/redhat-release", "CentOS release 6.10 (Final)\n"),
                ("sbin/init", "#!elf"),
                ("sbin/initctl", "#!elf"),
                ("etc/init/rc.conf", "start on runlevel [0123456]\n"),
                ("etc/inittab", "id:3:initdefault:\n"),
                ("etc/rc.d/init.d/nova-agent", SCRIPT),
                ("etc/rc.d/rc3.d/S15nova-agent", "-> ../init.d/nova-agent"),
            ],
            Init::Upstart,
            Init::SysV,
            "etc/rc.d/rc3.d/S15nova-agent",
        ),
        (
            "CentOS 7, unit",
            &[
                ("usr/lib/os-release", "ID=centos\nVERSION_ID=7\n"),
                ("etc/os-release", "-> ../usr/lib/os-release"),
                ("usr/lib/systemd/systemd", "#!elf"),
                ("sbin", "-> usr/sbin"),
                ("usr/sbin/init", "-> ../lib/systemd/systemd"),
                ("etc/inittab", "# inittab is no longer used when using systemd.\n"),
                ("etc/systemd/system/default.target", "-> /lib/systemd/system/multi-user.target"),
                ("lib", "-> usr/lib"),
                ("usr/lib/systemd/system/multi-user.target", MULTI_USER),
                ("usr/lib/systemd/system/nova-agent.service", UNIT),
                (
                    "etc/systemd/system/multi-user.target.wants/nova-agent.service",
                    "-> /usr/lib/systemd/system/nova-agent.service",
                ),
            ],
            Init::Systemd,
            Init::Systemd,
            "etc/systemd/system/multi-user.target.wants/nova-agent.service",
        ),
        (
            "CentOS 7, script",
            &[
                ("usr/lib/systemd/systemd", "#!elf"),
                ("usr/lib/systemd/system-generators/systemd-sysv-generator", "#!elf"),
                ("sbin/init", "-> ../usr/lib/systemd/systemd"),
                ("usr/lib/systemd/system/default.target", "-> graphical.target"),
                ("usr/lib/systemd/system/graphical.target", "[Unit]\nRequires=multi-user.target\n"),
                ("usr/lib/systemd/system/multi-user.target", MULTI_USER),
                ("etc/rc.d/init.d/nova-agent", SCRIPT),
                ("etc/rc.d/rc3.d/S15nova-agent", "-> ../init.d/nova-agent"),
            ],
            Init::Systemd,
            Init::SysV,
            "etc/rc.d/rc3.d/S15nova-agent",
        ),
        (
            "Debian 6",
            &[
                ("etc/debian_version", "6.0.10\n"),
                ("sbin/init", "#!elf"),
                ("etc/inittab", "id:2:initdefault:\n"),
                ("etc/init.d/nova-agent", SCRIPT),
                ("etc/rc2.d/S02nova-agent", "-> ../init.d/nova-agent"),
            ],
            Init::SysV,
            Init::SysV,
            "etc/rc2.d/S02nova-agent",
        ),
        (
            "Debian 8",
            &[
                ("etc/os-release", "ID=debian\nVERSION_ID=\"8\"\n"),
                ("sbin/init", "-> /lib/systemd/systemd"),
                ("lib/systemd/systemd", "#!elf"),
                ("lib/systemd/system/default.target", "-> graphical.target"),
                ("lib/systemd/system/graphical.target", "[Unit]\nRequires=multi-user.target\n"),
                ("lib/systemd/system/multi-user.target", MULTI_USER),
                ("lib/systemd/system/nova-agent.service", UNIT),
                ("etc/systemd/system/multi-user.target.wants/nova-agent.service", "-> /x"),
            ],
            Init::Systemd,
            Init::Systemd,
            "etc/systemd/system/multi-user.target.wants/nova-agent.service",
        ),
        (
            "Ubuntu 14.04, job",
            &[
                ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"14.04\"\n"),
                ("sbin/init", "#!elf"),
                ("sbin/initctl", "#!elf"),
                ("etc/init/rc-sysinit.conf", "start on filesystem\nenv DEFAULT_RUNLEVEL=2\n"),
                ("etc/init/nova-agent.conf", "start on networking or runlevel\nexpect stop\n"),
            ],
            Init::Upstart,
            Init::Upstart,
            "etc/init/nova-agent.conf:1",
        ),
        (
            "Ubuntu 14.04, job switched off and a script of its own",
            &[
                ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"14.04\"\n"),
                ("sbin/init", "#!elf"),
                ("sbin/initctl", "#!elf"),
                ("etc/init/rc-sysinit.conf", "start on filesystem\nenv DEFAULT_RUNLEVEL=2\n"),
                ("etc/init/nova-agent.conf", "start on runlevel [2345]\n"),
                ("etc/init/nova-agent.override", "manual\n"),
                ("etc/init.d/nova-agent", SCRIPT),
                ("etc/rc2.d/S15nova-agent", "-> ../init.d/nova-agent"),
            ],
            Init::Upstart,
            Init::SysV,
            "etc/rc2.d/S15nova-agent",
        ),
        (
            "Ubuntu 16.04, jobs left behind",
            &[
                ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"16.04\"\n"),
                ("sbin/init", "-> /lib/systemd/systemd"),
                ("lib/systemd/systemd", "#!elf"),
                ("etc/init/nova-agent.conf", "start on runlevel [2345]\n"),
                ("lib/systemd/system/default.target", "-> multi-user.target"),
                ("lib/systemd/system/multi-user.target", MULTI_USER),
                ("lib/systemd/system/nova-agent.service", UNIT),
                ("lib/systemd/system/multi-user.target.wants/nova-agent.service", "-> ../nova-agent.service"),
            ],
            Init::Systemd,
            Init::Systemd,
            "lib/systemd/system/multi-user.target.wants/nova-agent.service",
        ),
        (
            "SLES 11",
            &[
                ("etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\n"),
                ("sbin/init", "#!elf"),
                ("etc/inittab", "id:3:initdefault:\n"),
                ("etc/init.d/nova-agent", SCRIPT),
                ("etc/rc.d", "-> init.d"),
                ("etc/init.d/rc3.d/S11nova-agent", "-> ../nova-agent"),
            ],
            Init::SysV,
            Init::SysV,
            "etc/rc.d/rc3.d/S11nova-agent",
        ),
        (
            "Alpine 3.19",
            &[
                ("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n"),
                ("sbin/init", "-> /bin/busybox"),
                ("bin/busybox", "#!elf"),
                ("sbin/openrc", "#!elf"),
                ("etc/inittab", "::sysinit:/sbin/openrc sysinit\n"),
                ("etc/init.d/nova-agent", "#!/sbin/openrc-run\n"),
                ("etc/runlevels/default/nova-agent", "-> /etc/init.d/nova-agent"),
            ],
            Init::OpenRc,
            Init::OpenRc,
            "etc/runlevels/default/nova-agent",
        ),
        (
            "Gentoo",
            &[
                ("etc/gentoo-release", "Gentoo Base System release 2.14\n"),
                ("sbin/init", "#!elf"),
                ("sbin/rc", "#!elf"),
                ("etc/inittab", "id:3:initdefault:\n"),
                ("etc/init.d/nova-agent", "#!/sbin/runscript\n"),
                ("etc/runlevels/boot/nova-agent", "-> /etc/init.d/nova-agent"),
            ],
            Init::OpenRc,
            Init::OpenRc,
            "etc/runlevels/boot/nova-agent",
        ),
        (
            "Arch",
            &[
                ("etc/arch-release", ""),
                ("sbin", "-> usr/bin"),
                ("usr/bin/init", "-> ../lib/systemd/systemd"),
                ("usr/lib/systemd/systemd", "#!elf"),
                ("usr/lib/systemd/system/default.target", "-> multi-user.target"),
                ("usr/lib/systemd/system/multi-user.target", MULTI_USER),
                ("etc/systemd/system/nova-agent.service", UNIT),
                (
                    "etc/systemd/system/multi-user.target.wants/nova-agent.service",
                    "-> /etc/systemd/system/nova-agent.service",
                ),
            ],
            Init::Systemd,
            Init::Systemd,
            "etc/systemd/system/multi-user.target.wants/nova-agent.service",
        ),
        (
            "FreeBSD 13",
            &[
                ("bin/freebsd-version", "#!/bin/sh\nUSERLAND_VERSION=\"13.2-RELEASE\"\n"),
                ("sbin/init", "#!elf"),
                ("etc/rc.conf", "hostname=x\nnova_agent_enable=\"YES\"\n"),
                ("etc/rc.d/nova-agent", "#!/bin/sh\nname=\"novaagent\"\nrcvar=\"nova_agent_enable\"\n"),
            ],
            Init::BsdRc,
            Init::BsdRc,
            "etc/rc.conf:2",
        ),
    ];
    for (name, entries, init, owner, source) in table {
        let (found, service) = look(entries);
        let service = service.map(|service| (service.init, service.enabled));
        assert_eq!((found, service), (init, Some((owner, Enabled::Yes(source.to_owned())))), "{name}");
    }
}

#[test]
fn the_init_system_is_told_where_the_agent_is_not() {
    for (entries, init) in [
        (&[("sbin/init", "-> /lib/systemd/systemd")][..], Init::Systemd),
        (&[("usr/lib/systemd/systemd", "")], Init::Systemd),
        (&[("sbin/init", ""), ("usr/lib/systemd/systemd", ""), ("etc/inittab", "")], Init::SysV),
        (&[("sbin/init", ""), ("sbin/initctl", ""), ("etc/init/rc.conf", "")], Init::Upstart),
        // Debian keeps etc/init for packages that bring a job
        (&[("sbin/init", ""), ("etc/init/x.conf", ""), ("etc/init.d/x", "")], Init::SysV),
        (
            &[("sbin/init", ""), ("sbin/initctl", ""), ("etc/init/x.conf", ""), ("etc/inittab", "")],
            Init::SysV,
        ),
        (&[("Windows/System32/config/SYSTEM", ""), ("sbin/init", "-> x/systemd/systemd")], Init::Unknown),
        (&[("etc/motd", "")], Init::Unknown),
        // a rescue system's /run bound for a chroot
        (&[("sbin/init", ""), ("etc/inittab", ""), ("run/systemd/system/x", "")], Init::SysV),
    ] {
        assert_eq!(look(entries), (init, None), "{entries:?}");
    }
}

#[test]
fn every_fact_of_a_script_is_there() {
    let entries = [
        ("etc/debian_version", "6.0.10\n"),
        ("sbin/init", ""),
        ("etc/inittab", "id:2:initdefault:\n"),
        ("etc/init.d/nova-agent", SCRIPT),
        ("etc/rc2.d/S20nova-agent", "-> ../init.d/nova-agent"),
        ("etc/rc3.d/S21nova-agent", "-> ../init.d/nova-agent"),
        ("etc/rc0.d/K20nova-agent", "-> ../init.d/nova-agent"),
    ];
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let expected = Service {
        name: "nova-agent".to_owned(),
        init: Init::SysV,
        path: "etc/init.d/nova-agent".to_owned(),
        enabled: Enabled::Yes("etc/rc2.d/S20nova-agent".to_owned()),
        unit: None,
        order: Some(Order {
            starts: vec![("etc/rc2.d".to_owned(), 20), ("etc/rc3.d".to_owned(), 21)],
            after: words(&["$remote_fs", "xe-linux-distribution", "x"]),
            provides: words(&["Nova-Agent"]),
        }),
    };
    assert_eq!(look(&entries).1, Some(expected));
}

#[test]
fn a_name_is_no_path() {
    let dir = tree(&[("sbin/init", ""), ("etc/inittab", ""), ("etc/shadow", "#!")]);
    let root = Root::open(dir.path()).unwrap();
    let services = Services::of(&root, &Os::of(&root));
    for name in ["", "../shadow", "/etc/shadow", ".."] {
        assert_eq!(services.named(&root, name).unwrap(), None, "{name}");
    }
}
