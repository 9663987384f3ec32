//! Enablement on small trees, one per init system and spelling.

use std::os::unix::fs::symlink;

use super::*;

/// Makes a tree: `path` → text, or `-> target`.
fn tree(entries: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in entries {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }
    dir
}

fn service(entries: &[(&str, &str)]) -> Option<Service> {
    let dir = tree(entries);
    let root = Root::open(dir.path()).unwrap();
    Services::of(&root, &Os::of(&root)).named(&root, "nova-agent").unwrap()
}

const SYSTEMD: [(&str, &str); 6] = [
    ("usr/lib/systemd/systemd", ""),
    ("sbin/init", "-> ../usr/lib/systemd/systemd"),
    ("etc/systemd/system/default.target", "-> /usr/lib/systemd/system/multi-user.target"),
    ("usr/lib/systemd/system/multi-user.target", "[Unit]\nRequires=basic.target\n"),
    ("usr/lib/systemd/system/graphical.target", "[Unit]\nRequires=multi-user.target\n"),
    ("usr/lib/systemd/system/basic.target", "[Unit]\nWants=sockets.target\n"),
];
const UNIT: (&str, &str) = (
    "usr/lib/systemd/system/nova-agent.service",
    "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n",
);
const WANTS: (&str, &str) = (
    "etc/systemd/system/multi-user.target.wants/nova-agent.service",
    "-> /usr/lib/systemd/system/nova-agent.service",
);

fn enabled_under_systemd(entries: &[(&str, &str)]) -> Enabled {
    service(&[&SYSTEMD[..], entries].concat()).unwrap().enabled
}

#[test]
fn a_link_in_a_target_that_boots_is_enabled() {
    assert_eq!(enabled_under_systemd(&[UNIT, WANTS]), Enabled::Yes(WANTS.0.to_owned()));
}

#[test]
fn no_link_is_not_enabled_and_the_unit_says_where_it_belongs() {
    let Enabled::No(why) = enabled_under_systemd(&[UNIT]) else { panic!() };
    assert_eq!(why, "no link in etc/systemd/system/multi-user.target.wants");
}

#[test]
fn a_link_in_a_target_that_does_not_boot_is_not_enabled() {
    let link = (
        "etc/systemd/system/graphical.target.wants/nova-agent.service",
        "-> /usr/lib/systemd/system/nova-agent.service",
    );
    let Enabled::No(why) = enabled_under_systemd(&[UNIT, link]) else { panic!() };
    assert!(why.contains("the boot does not come by graphical.target"), "{why}");
    let graphical = ("etc/systemd/system/default.target", "-> /usr/lib/systemd/system/graphical.target");
    let mut entries = SYSTEMD.to_vec();
    entries.retain(|(path, _)| !path.ends_with("default.target"));
    entries.extend([graphical, UNIT, link]);
    assert_eq!(service(&entries).unwrap().enabled, Enabled::Yes(link.0.to_owned()));
}

#[test]
fn what_a_vendor_wants_is_enabled_without_a_link_in_etc() {
    let link = ("usr/lib/systemd/system/basic.target.wants/nova-agent.service", "-> ../nova-agent.service");
    assert_eq!(enabled_under_systemd(&[UNIT, link]), Enabled::Yes(link.0.to_owned()));
    let target = ("usr/lib/systemd/system/sockets.target", "[Unit]\nWants=nova-agent.service\n");
    assert_eq!(enabled_under_systemd(&[UNIT, target]), Enabled::Yes(format!("{}:2", target.0)));
}

#[test]
fn masks_are_told_whatever_their_form() {
    let link = ("etc/systemd/system/nova-agent.service", "-> /dev/null");
    assert_eq!(
        enabled_under_systemd(&[UNIT, WANTS, link]),
        Enabled::Masked(format!("{} -> /dev/null", link.0))
    );
    let empty = ("etc/systemd/system/nova-agent.service", "");
    assert_eq!(enabled_under_systemd(&[UNIT, WANTS, empty]), Enabled::Masked(empty.0.to_owned()));
}

#[test]
fn a_dangling_link_still_starts_what_stands_elsewhere() {
    // the package moved its unit from /lib to /usr/lib; systemd looks at the link's name only
    let link = (
        "etc/systemd/system/multi-user.target.wants/nova-agent.service",
        "-> /lib/systemd/system/nova-agent.service",
    );
    assert_eq!(enabled_under_systemd(&[UNIT, link]), Enabled::Yes(link.0.to_owned()));
}

#[test]
fn an_alias_is_the_unit_that_it_leads_to() {
    let real = ("usr/lib/systemd/system/python3-nova-agent.service", "[Service]\nExecStart=/y\n");
    let alias =
        ("etc/systemd/system/nova-agent.service", "-> /usr/lib/systemd/system/python3-nova-agent.service");
    let wants = ("etc/systemd/system/multi-user.target.wants/python3-nova-agent.service", "-> x");
    let service = service(&[&SYSTEMD[..], &[real, alias, wants]].concat()).unwrap();
    assert_eq!((service.path.as_str(), service.enabled), (real.0, Enabled::Yes(wants.0.to_owned())));
}

#[test]
fn drop_ins_come_in_order_and_the_first_directory_wins() {
    let entries = [
        UNIT,
        ("usr/lib/systemd/system/nova-agent.service.d/10-a.conf", "[Service]\nRestart=no\n"),
        ("etc/systemd/system/nova-agent.service.d/10-a.conf", "[Service]\nRestart=always\n"),
        ("etc/systemd/system/nova-agent.service.d/20-b.conf", "[Service]\nTimeoutStartSec=30\n"),
        ("etc/systemd/system/nova-agent.service.d/notes.txt", "[Service]\nRestart=no\n"),
        ("etc/systemd/system/nova-.service.d/15-prefix.conf", "[Service]\nGroup=y\nTimeoutStartSec=9\n"),
        ("etc/systemd/system/service.d/05-all.conf", "[Service]\nRestart=on-failure\nUser=x\n"),
    ];
    let unit = service(&[&SYSTEMD[..], &entries].concat()).unwrap().unit.unwrap();
    let last = |key| unit.last("Service", key).map(|s| s.value.as_str());
    assert_eq!(
        (last("Restart"), last("TimeoutStartSec"), last("User"), last("Group")),
        (Some("always"), Some("30"), Some("x"), Some("y"))
    );
}

#[test]
fn an_init_script_under_systemd_is_started_by_its_links_unless_a_unit_has_its_name() {
    let script = ("etc/init.d/nova-agent", "#!/bin/sh\n");
    let link = ("etc/rc.d/rc3.d/S15nova-agent", "-> ../init.d/nova-agent");
    let found = service(&[&SYSTEMD[..], &[script, link]].concat()).unwrap();
    assert_eq!((found.init, found.enabled), (Init::SysV, Enabled::Yes(link.0.to_owned())));
    let found = service(&[&SYSTEMD[..], &[script, link, UNIT]].concat()).unwrap();
    assert_eq!(found.init, Init::Systemd);
    assert!(matches!(found.enabled, Enabled::No(_)));
}

#[test]
fn hostile_units_end() {
    let loops = [
        ("etc/systemd/system/a.service", "-> b.service"),
        ("etc/systemd/system/b.service", "-> a.service"),
        ("etc/systemd/system/nova-agent.service", "-> a.service"),
    ];
    assert_eq!(service(&[&SYSTEMD[..], &loops].concat()), None);
}

#[test]
fn a_script_is_enabled_in_the_runlevel_that_boots() {
    let script = ("etc/init.d/nova-agent", "#!/bin/sh\n");
    let redhat = ("etc/redhat-release", "CentOS release 5.11 (Final)\n");
    let debian = ("etc/debian_version", "6.0.10\n");
    let inittab = |level: &'static str| ("etc/inittab", level);
    let s3 = ("etc/rc.d/rc3.d/S15nova-agent", "-> ../init.d/nova-agent");
    let k3 = ("etc/rc.d/rc3.d/K85nova-agent", "-> ../init.d/nova-agent");
    let s2 = ("etc/rc2.d/S02nova-agent", "-> ../init.d/nova-agent");
    let yes = |link: (&str, &str)| Some(Enabled::Yes(link.0.to_owned()));
    let enabled = |entries: &[(&str, &str)]| service(entries).map(|s| s.enabled);
    assert_eq!(enabled(&[script, redhat, inittab("# id:5:initdefault:\nid:3:initdefault:\n"), s3]), yes(s3));
    assert!(matches!(enabled(&[script, redhat, inittab("id:5:initdefault:\n"), s3]), Some(Enabled::No(_))));
    assert!(matches!(enabled(&[script, redhat, k3]), Some(Enabled::No(_))));
    assert_eq!(enabled(&[script, debian, s2]), yes(s2));
    assert_eq!(enabled(&[redhat, s3]), None);
}

#[test]
fn the_order_of_a_script_is_its_numbers_and_its_header() {
    let script = (
        "etc/init.d/nova-agent",
        "### BEGIN INIT INFO\n# Provides: nova-agent\n# Required-Start: xe-linux-distribution\n### END INIT INFO\n",
    );
    let s2 = ("etc/rc2.d/S20nova-agent", "-> ../init.d/nova-agent");
    let s3 = ("etc/rc3.d/S20nova-agent", "-> ../init.d/nova-agent");
    let order = service(&[script, ("etc/debian_version", "6.0\n"), s2, s3]).unwrap().order.unwrap();
    assert_eq!(order.starts, [("etc/rc2.d".to_owned(), 20), ("etc/rc3.d".to_owned(), 20)]);
    assert_eq!(order.after, ["xe-linux-distribution"]);
}

#[test]
fn each_init_system_is_told_by_its_files() {
    for (entries, init) in [
        (
            &[
                ("usr/lib/systemd/systemd", ""),
                ("sbin/init", "-> ../lib/systemd/systemd"),
                ("lib", "-> usr/lib"),
            ][..],
            Init::Systemd,
        ),
        (&[("usr/lib/systemd/systemd", "")], Init::Systemd),
        (
            &[("sbin/init", "x"), ("sbin/initctl", ""), ("etc/init/rc.conf", ""), ("etc/inittab", "")],
            Init::Upstart,
        ),
        (&[("sbin/init", "x"), ("etc/inittab", ""), ("etc/init.d/x", "")], Init::SysV),
        (
            &[("sbin/init", "x"), ("sbin/initctl", ""), ("etc/init/x.conf", ""), ("etc/init.d/x", "")],
            Init::SysV,
        ),
        (
            &[
                ("sbin/init", "-> /bin/busybox"),
                ("bin/busybox", ""),
                ("etc/runlevels/default/x", ""),
                ("sbin/openrc", ""),
            ],
            Init::OpenRc,
        ),
        (&[("etc/defaults/rc.conf", "# $FreeBSD$\n")], Init::BsdRc),
        (&[("etc/motd", "")], Init::Unknown),
    ] {
        let dir = tree(entries);
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(Services::of(&root, &Os::of(&root)).init, init, "{entries:?}");
    }
}
