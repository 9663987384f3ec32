use super::*;
use crate::check::Status;
use crate::check::network::trial::{found, mended, short};
use crate::target::Target;
use crate::xenstore::Source;

const INIT: (&str, &str) = ("sbin/init", "->/usr/lib/systemd/systemd");
const SYSTEMD: (&str, &str) = ("usr/lib/systemd/systemd", "!");
const EL: (&str, &str) = ("etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n");
const EL6: (&str, &str) = ("etc/redhat-release", "CentOS release 6.10 (Final)\n");
const BUILT: (&str, &str) = ("etc/ssh/ssh_host_rsa_key", "x");

fn check(id: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.id == id).unwrap()
}

fn status(id: &str, files: &[(&str, &str)]) -> Status {
    let files = [&[SYSTEMD, INIT, EL, BUILT][..], files].concat();
    short(check(id), &files)[0].0
}

#[test]
fn a_server_without_a_name_fails_and_an_image_without_one_does_not() {
    for (files, want) in [
        (&[("etc/hostname", "web01\n")][..], Status::Ok),
        (&[("etc/hostname", "")], Status::Fail),
        (&[("etc/hostname", "# nothing\n")], Status::Fail),
        (&[], Status::Fail),
        (&[("etc/sysconfig/network", "HOSTNAME=web01\n")], Status::Ok),
    ] {
        assert_eq!(status("hostname-file", files), want, "{files:?}");
    }
    assert_eq!(short(check("hostname-file"), &[SYSTEMD, INIT, EL])[0].0, Status::Note);
    let error = found(check("hostname-file"), &[SYSTEMD, INIT, ("etc/hostname/x", "")]).unwrap_err();
    assert_eq!(error.to_string(), "reading etc/hostname: it is a directory");
}

#[test]
fn the_name_comes_back_from_a_backup_or_the_log() {
    let backup = ("etc/hostname.1700000000.25.bak", "web01\n");
    let rescue = ("etc/hostname.1800000000.25.bak", "RESCUE-web01\n");
    let log = ("var/log/nova-agent.log", "2026-11-21 22:53:23,684 [INFO ] Hostname: web02\n");
    for (files, name) in [
        (&[SYSTEMD, INIT, BUILT, backup, rescue, log][..], "web01\n"),
        (&[SYSTEMD, INIT, BUILT, rescue, log], "web02\n"),
    ] {
        let after = mended(check("hostname-file"), files, &["etc/hostname"]);
        assert_eq!(after, [Some(name.to_owned())], "{files:?}");
    }
    let nothing = crate::facts::tree::Tree::of(&[BUILT]);
    let target = Target::offline(nothing.path(), Source::None).unwrap();
    let error = (check("hostname-file").fix.unwrap())(&target).unwrap_err();
    assert_eq!(error.to_string(), "nothing says what this server was called: write its name by hand");
}

#[test]
fn names_that_disagree_are_told_and_aligned_with_the_file_that_decides() {
    let file = ("etc/hostname", "web01.example.com\n");
    let network = |text| ("etc/sysconfig/network", text);
    for (text, want) in [
        ("NETWORKING=yes\nHOSTNAME=old\n", Status::Warn),
        ("HOSTNAME=\"web01.example.org\"\n", Status::Warn),
        ("HOSTNAME=web01\n", Status::Ok),
        ("HOSTNAME=localhost.localdomain\n", Status::Ok),
        ("#HOSTNAME=old\n", Status::Ok),
        ("HOSTNAME=old\nHOSTNAME=web01\n", Status::Ok),
    ] {
        assert_eq!(status("hostname-consistent", &[file, network(text)]), want, "{text}");
    }
    let files = [SYSTEMD, INIT, EL, file, network("NETWORKING=yes\nHOSTNAME=old\n")];
    let after = mended(check("hostname-consistent"), &files, &["etc/sysconfig/network"]);
    assert_eq!(after, [Some("NETWORKING=yes\nHOSTNAME=\"web01.example.com\"\n".to_owned())]);
    // nothing on EL6 reads etc/hostname
    let el6 = [EL6, ("etc/inittab", ""), ("etc/hostname", "x\n"), network("HOSTNAME=web01\n")];
    assert_eq!(short(check("hostname-consistent"), &el6)[0].0, Status::Ok);
}

#[test]
fn the_name_of_a_rescue_server_is_taken_off() {
    for (name, want) in
        [("RESCUE-web01", Status::Warn), ("rescue-web01", Status::Warn), ("rescued", Status::Ok)]
    {
        assert_eq!(status("hostname-not-rescue", &[("etc/hostname", name)]), want, "{name}");
    }
    let files = [
        SYSTEMD,
        INIT,
        EL,
        ("etc/hostname", "RESCUE-web01\n"),
        ("etc/sysconfig/network", "HOSTNAME=RESCUE-web01\n"),
    ];
    let after = mended(check("hostname-not-rescue"), &files, &["etc/hostname", "etc/sysconfig/network"]);
    assert_eq!(after, [Some("web01\n".to_owned()), Some("HOSTNAME=\"web01\"\n".to_owned())]);
    // what it is compared with would be the rescue server's
    let one = [files[0], files[1], files[2], files[3], ("etc/sysconfig/network", "HOSTNAME=web01\n")];
    assert_eq!(short(check("hostname-consistent"), &one)[0].0, Status::Ok);
    assert_eq!(short(check("hostname-consistent"), &files)[0].0, Status::Skipped);
    let twice = [SYSTEMD, INIT, ("etc/hostname", "RESCUE-RESCUE-web01\n")];
    assert_eq!(mended(check("hostname-not-rescue"), &twice, &["etc/hostname"]), [Some("web01\n".to_owned())]);
}

#[test]
fn the_own_name_resolves_by_hosts_or_by_a_module() {
    let name = ("etc/hostname", "web01\n");
    let module = ("usr/lib/x86_64-linux-gnu/libnss_myhostname.so.2", "");
    let nss = ("etc/nsswitch.conf", "hosts: files myhostname dns\n");
    for (files, want) in [
        (&[name, ("etc/hosts", "127.0.1.1 web01\n")][..], Status::Ok),
        (&[name, ("etc/hosts", "127.0.1.1 old\n")], Status::Note),
        (&[name], Status::Note),
        (&[name, nss, module], Status::Ok),
        (&[name, nss], Status::Note),
        (&[], Status::Skipped),
    ] {
        assert_eq!(status("hostname-resolves", files), want, "{files:?}");
    }
    let files =
        [SYSTEMD, INIT, ("etc/hostname", "web01.example.com\n"), ("etc/hosts", "127.0.0.1 localhost")];
    let after = mended(check("hostname-resolves"), &files, &["etc/hosts"]);
    assert_eq!(after, [Some("127.0.0.1 localhost\n127.0.1.1\tweb01.example.com web01\n".to_owned())]);
    let of_freebsd = [
        ("bin/freebsd-version", "USERLAND_VERSION=\"13.2-RELEASE\"\n"),
        ("etc/rc.conf", "hostname=\"web01\"\n"),
        ("etc/hosts", "\n"),
    ];
    let after = mended(check("hostname-resolves"), &of_freebsd, &["etc/hosts"]);
    assert_eq!(after, [Some("\n127.0.0.1\tweb01\n".to_owned())]);
}
