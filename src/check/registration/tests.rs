use super::clock::{Hardware, Witness, judged, kept};
use super::*;
use crate::check::Status;
use crate::check::network::trial::{found, short};
use crate::facts::agents::tests::unit;
use crate::facts::init::{Enabled, Init, Service};
use crate::facts::os::Base;

fn check(id: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.id == id).unwrap()
}

const RHEL: (&str, &str) = ("etc/os-release", "ID=\"rhel\"\nVERSION_ID=\"7.9\"\n");
const ROCKY: (&str, &str) = ("etc/os-release", "ID=\"rocky\"\nVERSION_ID=\"9.4\"\n");

#[test]
fn a_rhel_that_cannot_be_registered_fails() {
    let manager = ("usr/sbin/subscription-manager", "!");
    let classic = ("etc/sysconfig/rhn/up2date", "# x\nserverURL=https://xmlrpc.rhn.redhat.com/XMLRPC\n");
    let own = (
        "etc/sysconfig/rhn/up2date",
        "serverURL=https://rhn.example.com/XMLRPC;https://x.example.com/XMLRPC\n",
    );
    let systemid = ("etc/sysconfig/rhn/systemid", "<x/>");
    for (files, want) in [
        (&[RHEL][..], Status::Fail),
        (&[RHEL, classic, systemid], Status::Fail),
        (&[RHEL, own, systemid], Status::Note),
        (&[RHEL, own], Status::Fail),
        (&[RHEL, manager], Status::Note),
        (&[RHEL, manager, classic, systemid], Status::Note),
        (&[RHEL, ("etc/pki/consumer/cert.pem", "x")], Status::Ok),
        (&[RHEL, ("etc/yum.repos.d/redhat-rhui.repo", "x")], Status::Ok),
        (&[ROCKY], Status::Skipped),
        (&[ROCKY, classic, systemid], Status::Note),
    ] {
        assert_eq!(short(check("registration"), files)[0].0, want, "{files:?}");
    }
    let error = found(check("registration"), &[RHEL, ("etc/sysconfig/rhn/up2date/x", "")]).unwrap_err();
    assert_eq!(error.to_string(), "reading etc/sysconfig/rhn/up2date: it is a directory");
}

#[test]
fn a_clock_is_far_off_when_something_speaks_against_it() {
    const NOW: i64 = 1_764_106_740;
    let at = |time| Some(Witness { source: "var/log/messages".to_owned(), time });
    let rtc = |time, is_local, is_synchronized| Some(Hardware { time, is_local, is_synchronized });
    for (newest, hardware, want, title) in [
        (
            at(NOW - 5),
            None,
            Status::Ok,
            "no file here is newer than the clock; there is no hardware clock to compare with",
        ),
        (at(NOW + 300), rtc(NOW, false, false), Status::Ok, "nothing here contradicts the clock"),
        (at(NOW + 90_000), None, Status::Warn, "the clock is 25 hours behind the newest file here"),
        (at(NOW + 400 * 86400), None, Status::Warn, "the clock is 400 days behind the newest file here"),
        (
            None,
            rtc(NOW - 3000, false, false),
            Status::Warn,
            "the clock and the hardware clock are 50 minutes apart",
        ),
        (
            None,
            rtc(NOW + 3000, false, true),
            Status::Note,
            "the clock and the hardware clock are 50 minutes apart; a time service keeps the clock",
        ),
        (None, rtc(NOW + 19_800, true, false), Status::Ok, "nothing here contradicts the clock"),
        (
            None,
            rtc(NOW + 19_800, false, false),
            Status::Warn,
            "the clock and the hardware clock are 5 hours apart",
        ),
        (
            None,
            rtc(NOW + 20_000, true, false),
            Status::Warn,
            "the clock and the hardware clock are 5 hours apart",
        ),
    ] {
        let finding = judged(NOW, newest.as_ref(), hardware);
        assert_eq!((finding.status, finding.title.as_str()), (want, title));
    }
    let finding = judged(NOW, at(NOW + 90_000).as_ref(), None);
    let texts: Vec<_> = finding.evidence.iter().map(|evidence| evidence.text.as_str()).collect();
    assert_eq!(texts, ["written 2025-11-26 22:39 UTC", "2025-11-25 21:39 UTC"]);
}

#[test]
fn the_next_step_is_the_time_service_that_this_system_has() {
    let service = |init, enabled| Service { init, unit: None, ..unit("chronyd", enabled, &[]) };
    let on = || Enabled::Yes("x".to_owned());
    let off = || Enabled::No("x".to_owned());
    for (service, base, want) in [
        (
            Some(service(Init::Systemd, off())),
            Base::RedHat,
            "switch chronyd on: systemctl enable --now chronyd",
        ),
        (
            Some(service(Init::Systemd, on())),
            Base::RedHat,
            "chronyd is on and does not keep it: start it anew, and read its log: systemctl restart chronyd",
        ),
        (
            Some(service(Init::OpenRc, off())),
            Base::Alpine,
            "start chronyd, and switch it on at boot: rc-service chronyd restart",
        ),
        (
            None,
            Base::Debian,
            "no time service is installed: install chrony, and see that it starts: apt-get install chrony",
        ),
        (None, Base::Gentoo, "no time service is installed: install chrony, and see that it starts"),
    ] {
        let remedy = kept(service.as_ref(), base, false);
        let words = [vec![remedy.text], remedy.commands.iter().map(|argv| argv.join(" ")).collect()].concat();
        assert_eq!(words.join(": "), want);
    }
    let with_hardware = kept(None, Base::Gentoo, true).commands;
    assert_eq!(with_hardware, [["hwclock", "--systohc"]]);
}

const AVC: &str = "type=AVC msg=audit(1764100000.123:456): avc:  denied  { write } for  pid=812 comm=\"nova-agent\" name=\"nova-agent.log\" dev=\"xvda1\" ino=1 scontext=system_u:system_r:init_t:s0 tcontext=system_u:object_r:user_home_t:s0 tclass=file permissive=0\n";

#[test]
fn a_denial_counts_when_it_was_the_agents() {
    let child = AVC.replace("comm=\"nova-agent\"", "comm=\"passwd\"");
    let syscall = |auid: &str| {
        format!(
            "type=SYSCALL msg=audit(1764100000.123:456): arch=c000003e syscall=2 success=no auid={auid} comm=\"passwd\"\n"
        )
    };
    let later =
        |days: i64| format!("type=USER_START msg=audit({}.000:999): pid=1\n", 1_764_100_000 + days * 86400);
    for (text, want) in [
        (AVC.to_owned(), Status::Warn),
        (format!("{AVC}{}", later(2)), Status::Warn),
        (format!("{AVC}{}", later(30)), Status::Ok),
        (AVC.replace("permissive=0", "permissive=1"), Status::Ok),
        (AVC.replace("permissive=0", ""), Status::Warn),
        (AVC.replace("nova-agent\" name", "httpd\" name"), Status::Ok),
        (AVC.replace("denied", "granted"), Status::Ok),
        (child.clone(), Status::Ok),
        (format!("{child}{}", syscall("4294967295")), Status::Warn),
        (format!("{child}{}", syscall("1000")), Status::Ok),
        (String::new(), Status::Ok),
    ] {
        assert_eq!(
            short(check("selinux-denials"), &[("var/log/audit/audit.log", &text)])[0].0,
            want,
            "{text}"
        );
    }
    assert_eq!(short(check("selinux-denials"), &[ROCKY])[0].0, Status::Skipped);
    let twice = found(check("selinux-denials"), &[("var/log/audit/audit.log", &AVC.repeat(2))]).unwrap();
    let titles: Vec<_> = twice.iter().map(|finding| finding.title.as_str()).collect();
    assert_eq!(titles, ["SELinux denied nova-agent 2 times: write on file"]);
}

proptest::proptest! {
    #[test]
    fn any_audit_log_is_read(text in "(?s)(type=AVC msg=audit\\([0-9.:)]{0,12} denied|comm=\"nova-agent\"|[{}:= \n]|.{0,5}){0,30}") {
        short(check("selinux-denials"), &[("var/log/audit/audit.log", &text)]);
    }
}
