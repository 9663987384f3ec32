use super::super::tests::tree;
use super::super::{Os, Services};
use super::*;

/// What a boot to multi-user.target reaches.
const STOCK: [(&str, &str); 6] = [
    ("sbin/init", "-> ../usr/lib/systemd/systemd"),
    ("etc/systemd/system/default.target", "-> /usr/lib/systemd/system/multi-user.target"),
    ("usr/lib/systemd/system/multi-user.target", "[Unit]\nRequires=basic.target\n"),
    ("usr/lib/systemd/system/graphical.target", "[Unit]\nRequires=multi-user.target\n"),
    ("usr/lib/systemd/system/basic.target", "[Unit]\nRequires=sysinit.target\nWants=sockets.target\n"),
    ("usr/lib/systemd/system/sysinit.target", "[Unit]\nDefaultDependencies=no\n"),
];
const UNIT: (&str, &str) =
    ("usr/lib/systemd/system/a.service", "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n");

fn service(entries: &[(&str, &str)]) -> Option<Service> {
    let dir = tree(&[&STOCK[..], entries].concat());
    let root = Root::open(dir.path()).unwrap();
    Services::of(&root, &Os::of(&root)).named(&root, "a").unwrap()
}

fn enabled(entries: &[(&str, &str)]) -> Enabled {
    service(entries).unwrap().enabled
}

fn yes(source: &str) -> Enabled {
    Enabled::Yes(source.to_owned())
}

fn no(reason: &str) -> Enabled {
    Enabled::No(reason.to_owned())
}

fn wanted(by: &str) -> (String, &'static str) {
    (format!("etc/systemd/system/{by}.wants/a.service"), "-> /usr/lib/systemd/system/a.service")
}

#[test]
fn a_link_enables_where_the_boot_comes_by() {
    for (by, reaches) in [
        ("multi-user.target", true),
        ("sysinit.target", true),
        ("default.target", true),
        ("graphical.target", false),
        ("gone.target", false),
    ] {
        let (link, to) = wanted(by);
        let expected = match reaches {
            true => yes(&link),
            false => no(&format!("{link}, but {by} is not started at boot")),
        };
        assert_eq!(enabled(&[UNIT, (&link, to)]), expected);
    }
}

#[test]
fn a_link_says_only_the_name() {
    let link = "etc/systemd/system/multi-user.target.wants/a.service";
    assert_eq!(enabled(&[UNIT, (link, "-> /lib/moved/a.service")]), yes(link));
}

#[test]
fn the_boot_comes_by_what_units_want_and_require() {
    let unit = "usr/lib/systemd/system/b.service";
    let link = "etc/systemd/system/multi-user.target.requires/b.service";
    let chain = [UNIT, (unit, "[Unit]\n# x\nWants=x.service a.service\n"), (link, "-> x")];
    assert_eq!(enabled(&chain), yes("usr/lib/systemd/system/b.service:3"));
    let drop_in = ("etc/systemd/system/sockets.target.d/x.conf", "[Unit]\nBindsTo=a.service\n");
    let sockets = ("usr/lib/systemd/system/sockets.target", "[Unit]\n");
    assert_eq!(enabled(&[UNIT, sockets, drop_in]), yes("etc/systemd/system/sockets.target.d/x.conf:2"));
    // Requisite= and After= start nothing
    let idle = ("usr/lib/systemd/system/sockets.target", "[Unit]\nRequisite=a.service\nAfter=a.service\n");
    assert_eq!(enabled(&[UNIT, idle]), no("no link in multi-user.target.wants"));
}

#[test]
fn what_wants_an_alias_wants_the_unit() {
    let alias = ("etc/systemd/system/b.service", "-> /usr/lib/systemd/system/a.service");
    let link = "etc/systemd/system/multi-user.target.wants/b.service";
    assert_eq!(enabled(&[UNIT, alias, (link, "-> x")]), yes(link));
    // and the service found by its alias is returned under its own name
    let dir = tree(&[&STOCK[..], &[UNIT, alias, (link, "-> x")]].concat());
    let root = Root::open(dir.path()).unwrap();
    let services = Services::of(&root, &Os::of(&root));
    assert_eq!(services.named(&root, "b").unwrap(), services.named(&root, "a").unwrap());
}

#[test]
fn a_masked_unit_is_not_started_whatever_wants_it() {
    let (link, to) = wanted("multi-user.target");
    let mask = "etc/systemd/system/a.service";
    let expected = Service {
        name: "a".to_owned(),
        init: Init::Systemd,
        path: mask.to_owned(),
        enabled: Enabled::Masked(mask.to_owned()),
        unit: None,
        order: None,
    };
    assert_eq!(service(&[UNIT, (&link, to), (mask, "-> /dev/null")]), Some(expected));
    // a script of the name is masked with it
    let script = ("etc/init.d/a", "#!/bin/sh\n");
    let start = ("etc/rc3.d/S15a", "-> ../init.d/a");
    let (init, enabled) =
        service(&[script, start, (mask, "-> /dev/null")]).map(|s| (s.init, s.enabled)).unwrap();
    assert_eq!((init, enabled), (Init::Systemd, Enabled::Masked(mask.to_owned())));
}

#[test]
fn a_unit_wins_over_a_script_of_its_name() {
    let script = ("etc/init.d/a", "#!/bin/sh\n");
    let start = ("etc/rc3.d/S15a", "-> ../init.d/a");
    let found = service(&[UNIT, script, start]).unwrap();
    assert_eq!((found.init, found.enabled), (Init::Systemd, no("no link in multi-user.target.wants")));
}

#[test]
fn the_reason_says_what_enabling_would_do() {
    let path = UNIT.0;
    for (text, reason) in [
        (
            "[Install]\nWantedBy=multi-user.target b.target\nRequiredBy=c.target\n",
            "no link in multi-user.target.wants, b.target.wants, c.target.requires",
        ),
        ("[Service]\nX=y\n", "no unit wants it, and it has no [Install] section"),
        (
            "[Install]\nAlias=b.service\nAlso=c.service\n",
            "no unit wants it, and its [Install] section names no unit that would",
        ),
    ] {
        assert_eq!(enabled(&[(path, text)]), no(reason));
    }
    let preset = ("usr/lib/systemd/system-preset/99-default.preset", "disable *\n");
    let reason =
        "no link in multi-user.target.wants; usr/lib/systemd/system-preset/99-default.preset:1 says disable";
    assert_eq!(enabled(&[UNIT, preset]), no(reason));
}

#[test]
fn cloud_init_is_pulled_in_by_its_generator() {
    let target = ("usr/lib/systemd/system/cloud-init.target", "[Unit]\n");
    let (link, to) = wanted("cloud-init.target");
    let generator = ("usr/lib/systemd/system-generators/cloud-init-generator", "");
    let disabled = ("etc/cloud/cloud-init.disabled", "");
    let not = no(&format!("{link}, but cloud-init.target is not started at boot"));
    assert_eq!(enabled(&[UNIT, target, (&link, to)]), not);
    assert_eq!(enabled(&[UNIT, target, (&link, to), generator]), yes(&link));
    assert_eq!(enabled(&[UNIT, target, (&link, to), generator, disabled]), not);
}

#[test]
fn templates_are_no_services_and_instances_are() {
    let template = ("usr/lib/systemd/system/a@.service", "[Service]\n");
    let link = ("etc/systemd/system/multi-user.target.wants/a@x.service", "-> x");
    let dir = tree(&[&STOCK[..], &[template, link]].concat());
    let root = Root::open(dir.path()).unwrap();
    let services = Services::of(&root, &Os::of(&root));
    assert_eq!(services.named(&root, "a@").unwrap(), None);
    let instance = services.named(&root, "a@x").unwrap().unwrap();
    assert_eq!((instance.name.as_str(), instance.enabled), ("a@x", yes(link.0)));
}

#[test]
fn circles_and_unreadable_units_end() {
    let a_fifo = |dir: &tempfile::TempDir| {
        let path = dir.path().join("etc/systemd/system/fifo.service");
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).unwrap();
    };
    let (link, to) = wanted("multi-user.target");
    let dir = tree(
        &[
            &STOCK[..],
            &[
                UNIT,
                (&link, to),
                ("etc/systemd/system/b.service", "-> c.service"),
                ("etc/systemd/system/c.service", "-> b.service"),
                ("etc/systemd/system/d.service", "-> d.service"),
                ("etc/systemd/system/e.service", "[Unit]\nWants=e.service f.service\n"),
                ("etc/systemd/system/f.service", "[Unit]\nRequires=e.service\n"),
                ("etc/systemd/system/multi-user.target.wants/e.service", "-> x"),
                ("etc/systemd/system/multi-user.target.wants/b.service", "-> x"),
                ("etc/systemd/system/multi-user.target.wants/fifo.service", "-> x"),
            ],
        ]
        .concat(),
    );
    a_fifo(&dir);
    let root = Root::open(dir.path()).unwrap();
    let services = Services::of(&root, &Os::of(&root));
    let pulled: Vec<_> = services.reachable(&root).unwrap().keys().map(String::as_str).collect();
    let expected = [
        "a.service",
        "basic.target",
        "e.service",
        "f.service",
        "fifo.service",
        "multi-user.target",
        "sysinit.target",
    ];
    assert_eq!(pulled, expected);
    assert_eq!(services.named(&root, "b").unwrap(), None);
    let error = services.named(&root, "fifo").unwrap_err().to_string();
    assert!(error.starts_with("reading etc/systemd/system/fifo.service: not a regular file"), "{error}");
}

#[test]
fn instances_of_a_hostile_template_are_bounded() {
    let template = format!("[Unit]\n{}", "Wants=a.service\n".repeat(1000));
    let wants: String = (0..10_000).map(|n| format!("Wants=t@{n}.service\n")).collect();
    let entries = [
        ("usr/lib/systemd/system/t@.service", template.as_str()),
        ("usr/lib/systemd/system/sockets.target", &format!("[Unit]\n{wants}")),
    ];
    let dir = tree(&[&STOCK[..], &entries].concat());
    let root = Root::open(dir.path()).unwrap();
    let reached = Services::of(&root, &Os::of(&root)).reachable(&root).unwrap().len();
    assert!(reached < 1000, "{reached}");
}

#[test]
fn what_systemctl_shows_is_read() {
    let text = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nMainPID=0\nNRestarts=5\n\
        NeedDaemonReload=yes\n";
    let expected = State {
        active: "failed".to_owned(),
        sub: "failed".to_owned(),
        result: "exit-code".to_owned(),
        main_pid: 0,
        restarts: 5,
        is_outdated: true,
    };
    assert_eq!(parse_state(text), Some(expected));
    assert_eq!(parse_state("LoadState=not-found\nActiveState=inactive\n"), None);
}
