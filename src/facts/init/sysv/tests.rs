use proptest::prelude::*;

use super::super::tests::tree;
use super::*;

fn enabled(entries: &[(&str, &str)], level: char) -> Enabled {
    let dir = tree(entries);
    let root = Root::open(dir.path()).unwrap();
    named(&root, &Runner::Runlevel(level), "a").unwrap().unwrap().enabled
}

fn wrapped(entries: &[(&str, &str)], reached: &[&str]) -> Enabled {
    let dir = tree(entries);
    let root = Root::open(dir.path()).unwrap();
    let nothing = Pulled { by: String::new(), source: String::new(), unit: Default::default() };
    let boot = reached.iter().map(|name| ((*name).to_owned(), nothing.clone())).collect();
    named(&root, &Runner::Generator(&boot), "a").unwrap().unwrap().enabled
}

fn no(reason: &str) -> Enabled {
    Enabled::No(reason.to_owned())
}

const GENERATOR: (&str, &str) = ("usr/lib/systemd/system-generators/systemd-sysv-generator", "");
const SCRIPT: (&str, &str) = ("etc/init.d/a", "#!/bin/sh\n");

#[test]
fn the_link_of_the_runlevel_that_boots_counts() {
    let start = ("etc/rc3.d/S15a", "-> ../init.d/a");
    let stop = ("etc/rc3.d/K85a", "-> ../init.d/a");
    let yes = || Enabled::Yes("etc/rc3.d/S15a".to_owned());
    assert_eq!(enabled(&[SCRIPT, start], '3'), yes());
    assert_eq!(enabled(&[SCRIPT, start], '5'), no("no start link in etc/rc5.d"));
    assert_eq!(enabled(&[SCRIPT, stop], '3'), no("etc/rc3.d/K85a"));
    // at boot nothing runs that the stop link could stop
    assert_eq!(enabled(&[SCRIPT, start, stop], '3'), yes());
    // another name of the link, as people make by hand
    let renamed = ("etc/rc3.d/S99start-agent", "-> /etc/init.d/a");
    assert_eq!(enabled(&[SCRIPT, renamed], '3'), Enabled::Yes("etc/rc3.d/S99start-agent".to_owned()));
    let other = ("etc/rc3.d/S15python-a", "-> ../init.d/python-a");
    assert_eq!(enabled(&[SCRIPT, other], '3'), no("no start link in etc/rc3.d"));
}

#[test]
fn the_reason_says_what_the_header_asks_for() {
    let chkconfig = ("etc/init.d/a", "#!/bin/sh\n# chkconfig: 2345 15 85\n");
    let reason = "no start link in etc/rc3.d; its header says chkconfig: 2345 15 85";
    assert_eq!(enabled(&[chkconfig], '3'), no(reason));
    let lsb = ("etc/init.d/a", "#!/bin/sh\n### BEGIN INIT INFO\n# Default-Start: 2 3\n### END INIT INFO\n");
    assert_eq!(enabled(&[lsb], '2'), no("no start link in etc/rc2.d; its header says Default-Start: 2 3"));
}

#[test]
fn what_is_no_program_does_not_start() {
    let link = ("etc/rc3.d/S15a", "-> ../init.d/a");
    let reason = no("etc/rc3.d/S15a leads to no program");
    assert_eq!(enabled(&[("etc/init.d/a", "not executable"), link], '3'), reason);
    assert_eq!(enabled(&[("etc/init.d/a", "-> /gone"), link], '3'), reason);
}

#[test]
fn insserv_overrides_replace_the_header() {
    let dir = tree(&[
        ("etc/init.d/a", "#!/bin/sh\n### BEGIN INIT INFO\n# Required-Start: b\n### END INIT INFO\n"),
        ("etc/insserv/overrides/a", "### BEGIN INIT INFO\n# Required-Start: c\n### END INIT INFO\n"),
    ]);
    let root = Root::open(dir.path()).unwrap();
    let order = named(&root, &Runner::Runlevel('3'), "a").unwrap().unwrap().order.unwrap();
    assert_eq!(order.after, ["c"]);
}

#[test]
fn the_generator_maps_runlevels_to_targets() {
    let level = |level: char| (format!("etc/rc{level}.d/S15a"), "-> ../init.d/a");
    for (links, reached, expected) in [
        (vec!['3'], &["multi-user.target"][..], Enabled::Yes("etc/rc3.d/S15a".to_owned())),
        (vec!['2'], &["multi-user.target"], Enabled::Yes("etc/rc2.d/S15a".to_owned())),
        (
            vec!['5'],
            &["multi-user.target"],
            no("etc/rc5.d/S15a, but graphical.target is not started at boot"),
        ),
        (vec!['5'], &["multi-user.target", "graphical.target"], Enabled::Yes("etc/rc5.d/S15a".to_owned())),
        (vec!['3'], &[], no("etc/rc3.d/S15a, but multi-user.target is not started at boot")),
        // Debian's, of the early boot
        (vec!['S'], &["sysinit.target"], Enabled::Yes("etc/rcS.d/S15a".to_owned())),
        (vec![], &["multi-user.target"], no("no start link in etc/rc3.d")),
    ] {
        let links: Vec<_> = links.into_iter().map(level).collect();
        let mut entries = vec![SCRIPT, GENERATOR];
        entries.extend(links.iter().map(|(path, to)| (path.as_str(), *to)));
        assert_eq!(wrapped(&entries, reached), expected, "{links:?}");
    }
}

#[test]
fn without_the_generator_systemd_knows_no_script() {
    let link = ("etc/rc3.d/S15a", "-> ../init.d/a");
    let other = ("usr/lib/systemd/system-generators/systemd-fstab-generator", "");
    let reason = "this systemd has no systemd-sysv-generator for init scripts";
    assert_eq!(wrapped(&[SCRIPT, link, other], &["multi-user.target"]), no(reason));
    let plain = ("etc/init.d/a", "not executable");
    assert_eq!(
        wrapped(&[plain, link, GENERATOR], &["multi-user.target"]),
        no("etc/init.d/a leads to no program")
    );
}

#[test]
fn the_default_runlevel_is_inittabs_or_upstarts_or_the_distributions() {
    for (entries, base, level) in [
        (&[("etc/inittab", "# id:1:initdefault:\n  id:5:initdefault:\n")][..], Base::RedHat, '5'),
        (&[("etc/inittab", "si::sysinit:/x\n")], Base::Suse, '3'),
        (&[("etc/init/rc-sysinit.conf", "env X=1\nenv DEFAULT_RUNLEVEL=4\n")], Base::Debian, '4'),
        (&[("etc/motd", "")], Base::Debian, '2'),
        (&[("etc/motd", "")], Base::RedHat, '3'),
    ] {
        let dir = tree(entries);
        assert_eq!(default_runlevel(&Root::open(dir.path()).unwrap(), base).unwrap(), level, "{entries:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        Header::of(&text);
        initdefault(&text);
        parts(&text);
    }

    #[test]
    fn any_header_like_text_is_read(text in "[#: a-bINITFOBEGD\n]{0,80}") {
        Header::of(&text);
        initdefault(&text);
    }
}
