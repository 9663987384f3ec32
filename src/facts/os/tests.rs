use proptest::prelude::*;

use super::*;
use crate::facts::tree::Tree;

fn os(files: &[(&str, &str)]) -> Os {
    Os::of(&Tree::of(files).root())
}

fn told(files: &[(&str, &str)]) -> (String, String, Base, String) {
    let os = os(files);
    (os.id, os.version, os.base, os.source)
}

#[test]
fn distributions_are_told_by_their_files() {
    const CENTOS_7: &str = "NAME=\"CentOS Linux\"\nVERSION=\"7 (Core)\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n";
    const ALMA: &str = "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n";
    type Row = (&'static [(&'static str, &'static str)], (&'static str, &'static str, Base, &'static str));
    let table: [Row; 28] = [
        (
            &[("etc/redhat-release", "CentOS release 5.11 (Final)\n")],
            ("centos", "5.11", Base::RedHat, "etc/redhat-release"),
        ),
        (
            &[("etc/redhat-release", "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n")],
            ("rhel", "5.11", Base::RedHat, "etc/redhat-release"),
        ),
        (
            &[
                ("etc/redhat-release", "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n"),
                (
                    "etc/enterprise-release",
                    "Enterprise Linux Enterprise Linux Server release 5.11 (Carthage)\n",
                ),
            ],
            ("ol", "5.11", Base::RedHat, "etc/enterprise-release"),
        ),
        (
            &[("etc/centos-release", "CentOS release 6.10 (Final)\n")],
            ("centos", "6.10", Base::RedHat, "etc/centos-release"),
        ),
        (
            &[("etc/redhat-release", "CloudLinux Server release 6.10 (Leonid Kizim)\n")],
            ("cloudlinux", "6.10", Base::RedHat, "etc/redhat-release"),
        ),
        (
            &[("etc/redhat-release", "Parallels release 6 (x)\n")],
            ("parallels", "6", Base::RedHat, "etc/redhat-release"),
        ),
        (
            &[("etc/fedora-release", "Fedora release 14 (Laughlin)\n")],
            ("fedora", "14", Base::RedHat, "etc/fedora-release"),
        ),
        (
            &[("etc/system-release", "Amazon Linux AMI release 2013.03\n")],
            ("amzn", "2013.03", Base::RedHat, "etc/system-release"),
        ),
        (
            &[("etc/os-release", CENTOS_7), ("etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n")],
            ("centos", "7.9.2009", Base::RedHat, "etc/centos-release"),
        ),
        (&[("usr/lib/os-release", CENTOS_7)], ("centos", "7", Base::RedHat, "usr/lib/os-release")),
        (
            &[
                ("etc/os-release", "ID=centos\nVERSION_ID=9\n"),
                ("etc/centos-release", "CentOS Stream release 9\n"),
            ],
            ("centos", "9", Base::RedHat, "etc/os-release"),
        ),
        (
            &[
                ("etc/os-release", ALMA),
                ("etc/redhat-release", "AlmaLinux release 9.3 (Shamrock Pampas Cat)\n"),
            ],
            ("almalinux", "9.3", Base::RedHat, "etc/os-release"),
        ),
        (
            &[
                ("etc/os-release", "ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n"),
                ("etc/system-release", "Amazon Linux release 2 (Karoo)\n"),
            ],
            ("amzn", "2", Base::RedHat, "etc/os-release"),
        ),
        (
            &[("etc/os-release", "ID=tencentos\nID_LIKE=\"x rhel\"\nVERSION_ID=3.1\n")],
            ("tencentos", "3.1", Base::RedHat, "etc/os-release"),
        ),
        (
            &[
                ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\n"),
                ("etc/debian_version", "squeeze/sid\n"),
            ],
            ("ubuntu", "10.04", Base::Debian, "etc/lsb-release"),
        ),
        (
            &[
                ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"14.04\"\n"),
                ("etc/debian_version", "jessie/sid\n"),
            ],
            ("ubuntu", "14.04", Base::Debian, "etc/os-release"),
        ),
        (
            &[("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"), ("etc/debian_version", "12.5\n")],
            ("debian", "12", Base::Debian, "etc/os-release"),
        ),
        (
            &[("etc/os-release", "ID=debian\n"), ("etc/debian_version", "trixie/sid\n")],
            ("debian", "trixie/sid", Base::Debian, "etc/debian_version"),
        ),
        (&[("etc/debian_version", "6.0.10\n")], ("debian", "6.0.10", Base::Debian, "etc/debian_version")),
        (
            &[("etc/os-release", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=21\n")],
            ("linuxmint", "21", Base::Debian, "etc/os-release"),
        ),
        (
            &[(
                "usr/lib/os-release",
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.5\"\n",
            )],
            ("opensuse-leap", "15.5", Base::Suse, "usr/lib/os-release"),
        ),
        (
            &[(
                "etc/SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
            )],
            ("sles", "11.4", Base::Suse, "etc/SuSE-release"),
        ),
        (
            &[("etc/SuSE-release", "openSUSE 11.4 (x86_64)\nVERSION = 11.4\nCODENAME = Celadon\n")],
            ("opensuse", "11.4", Base::Suse, "etc/SuSE-release"),
        ),
        (&[("etc/alpine-release", "3.19.1\n")], ("alpine", "3.19.1", Base::Alpine, "etc/alpine-release")),
        (&[("etc/arch-release", "")], ("arch", "", Base::Arch, "etc/arch-release")),
        (
            &[("etc/gentoo-release", "Gentoo Base System release 2.14\n")],
            ("gentoo", "2.14", Base::Gentoo, "etc/gentoo-release"),
        ),
        (
            &[("etc/os-release", "ID=flatcar\nID_LIKE=coreos\nVERSION_ID=3815.2.0\n")],
            ("flatcar", "3815.2.0", Base::CoreOs, "etc/os-release"),
        ),
        (
            &[("bin/freebsd-version", "#!/bin/sh\nUSERLAND_VERSION=\"13.2-RELEASE-p11\"\n")],
            ("freebsd", "13.2", Base::FreeBsd, "bin/freebsd-version"),
        ),
    ];
    for (files, (id, version, base, source)) in table {
        let expected = (id.to_owned(), version.to_owned(), base, source.to_owned());
        assert_eq!(told(files), expected, "{files:?}");
    }
}

#[test]
fn every_fact_of_debian_12_is_there() {
    let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
    let os = os(&[("etc/os-release", text)]);
    assert_eq!(os.major(), Some(12));
    let expected = Os {
        id: "debian".to_owned(),
        version: "12".to_owned(),
        name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        base: Base::Debian,
        family: Family::Linux,
        source: "etc/os-release".to_owned(),
    };
    assert_eq!(os, expected);
}

#[test]
fn freebsd_has_its_own_family_also_before_release_10() {
    let defaults = [("etc/defaults/rc.conf", "# $FreeBSD: release/9.3.0/etc/defaults/rc.conf$\n")];
    assert_eq!((os(&defaults).id.as_str(), os(&defaults).family), ("freebsd", Family::FreeBsd));
    let link = Tree::of(&[("var/run/os-release", "ID=freebsd\nVERSION_ID=13.2\n")])
        .link("etc/os-release", "../var/run/os-release");
    assert_eq!(Os::of(&link.root()).family, Family::FreeBsd);
}

#[test]
fn windows_is_told_in_any_spelling() {
    for dir in ["Windows/System32/config", "WINDOWS/system32/config", "windows/SYSTEM32/Config"] {
        let os = os(&[(format!("{dir}/SYSTEM").as_str(), "")]);
        assert_eq!((os.id.as_str(), os.family, os.source.as_str()), ("windows", Family::Windows, dir));
    }
    assert_eq!(os(&[("Windows/System32/config", "a file")]).id, "unknown");
}

#[test]
fn an_unreadable_os_release_is_passed_over_or_said() {
    let said = |tree: &Tree| {
        let os = Os::of(&tree.root());
        (os.id, os.source)
    };
    let fifo = |tree: &Tree| {
        let status = rustix::fs::mkfifoat(rustix::fs::CWD, tree.path().join("etc/os-release"), 0o644.into());
        status.unwrap();
    };
    let alone = Tree::of(&[("etc/hostname", "x")]);
    fifo(&alone);
    let reason = "reading etc/os-release: not a regular file (a FIFO, socket or device)";
    assert_eq!(said(&alone), ("unknown".to_owned(), reason.to_owned()));
    let beside = Tree::of(&[("etc/alpine-release", "3.19.1\n")]);
    fifo(&beside);
    assert_eq!(said(&beside), ("alpine".to_owned(), "etc/alpine-release".to_owned()));
}

#[test]
fn an_empty_tree_is_unknown() {
    assert_eq!(
        told(&[("etc/hostname", "x")]),
        ("unknown".into(), String::new(), Base::Unknown, String::new())
    );
}

#[test]
fn long_values_are_cut() {
    let text = format!("ID=debian\nVERSION_ID={}\n", "9".repeat(5000));
    let os = os(&[("etc/os-release", &text)]);
    assert_eq!((os.version.len(), os.major()), (TEXT_MAX, None));
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        for (_, read) in FILES {
            if let Some(os) = read(&text) {
                os.major();
            }
        }
    }
}
