//! The judgements of `xentools`, on facts made by hand.

use super::*;
use crate::check::Status;
use crate::facts::agents::tests::agent as agent_of;
use crate::facts::init::Unread;
use crate::facts::os::Family;
use crate::facts::tools::Kind;
use crate::facts::tree::Tree;

fn os(id: &str, version: &str, base: Base) -> Os {
    let (id, version) = (id.to_owned(), version.to_owned());
    Os { id, version, name: String::new(), base, family: Family::Linux, source: String::new() }
}

fn service(name: &str, enabled: Enabled) -> Service {
    let (name, path) = (name.to_owned(), format!("usr/lib/systemd/system/{name}.service"));
    Service { name, init: Init::Systemd, path, enabled, unit: None, order: None }
}

fn tool(kind: Kind, services: Vec<Service>) -> Tool {
    let program = format!("usr/sbin/{}", kind.process());
    Tool { kind, program, version: None, machine: Some(Machine::X86_64), services }
}

fn tools(all: Vec<Tool>) -> Tools {
    Tools { all, machine: Some(Machine::X86_64), ..Tools::default() }
}

fn on() -> Enabled {
    Enabled::Yes("etc/systemd/system/multi-user.target.wants".to_owned())
}

fn first_command(finding: &Finding) -> String {
    finding
        .remedy
        .as_ref()
        .and_then(|remedy| remedy.commands.first())
        .map_or_else(String::new, |c| c.join(" "))
}

#[test]
fn the_tools_weigh_as_much_as_the_agent_needs_them() {
    let agent = |kind| Agents { all: vec![agent_of(kind, "2.1.25", Vec::new())], ..Agents::default() };
    for (agents, init, expected) in [
        (agent(AgentKind::Nova1), Init::Systemd, Weight::Agent),
        (agent(AgentKind::Nova2), Init::Systemd, Weight::View),
        (agent(AgentKind::Nova2), Init::SysV, Weight::Agent),
        (agent(AgentKind::Nova2), Init::Upstart, Weight::Agent),
        (agent(AgentKind::Nova2), Init::OpenRc, Weight::View),
        (agent(AgentKind::Novactl), Init::SysV, Weight::View),
        (Agents::default(), Init::SysV, Weight::View),
    ] {
        assert_eq!(weight(&agents, init), expected, "{agents:?} {init:?}");
    }
}

#[test]
fn missing_tools_are_installed_as_the_distribution_does() {
    for (os, command) in [
        (os("almalinux", "9.3", Base::RedHat), "dnf install -y xe-guest-utilities-latest"),
        (os("fedora", "40", Base::RedHat), "dnf install -y xe-guest-utilities-latest"),
        (os("centos", "6.10", Base::RedHat), "mount -o ro /dev/cdrom /media"),
        (os("ubuntu", "22.04", Base::Debian), "apt-get install xe-guest-utilities"),
        (os("debian", "12", Base::Debian), "mount -o ro /dev/cdrom /media"),
        (os("alpine", "3.19", Base::Alpine), "apk add xe-guest-utilities"),
    ] {
        let finding = installed(&tools(vec![]), &os, None, Weight::View);
        assert_eq!((finding.status, first_command(&finding).as_str()), (Status::Warn, command), "{os:?}");
    }
}

#[test]
fn tools_are_not_missed_where_xen_is_not() {
    let kvm = Hypervisor { platform: Platform::Guest("KVM".to_owned()), source: "x", text: String::new() };
    let xen = Hypervisor { platform: Platform::XenGuest, ..kvm.clone() };
    let os = os("debian", "12", Base::Debian);
    let status = |hypervisor| installed(&tools(vec![]), &os, Some(hypervisor), Weight::Agent).status;
    assert_eq!((status(&kvm), status(&xen)), (Status::Skipped, Status::Fail));
}

#[test]
fn what_does_not_start_at_boot_is_enabled_by_its_init_system() {
    let no = || Enabled::No("no link".to_owned());
    let masked = Enabled::Masked("etc/systemd/system/xe-daemon.service".to_owned());
    for (services, init, base, status, command) in [
        (vec![service("xe-daemon", on())], Init::Systemd, Base::RedHat, Status::Ok, ""),
        (
            vec![service("xe-daemon", no())],
            Init::Systemd,
            Base::RedHat,
            Status::Warn,
            "systemctl enable xe-daemon",
        ),
        (
            vec![service("xe-daemon", masked)],
            Init::Systemd,
            Base::RedHat,
            Status::Warn,
            "systemctl unmask xe-daemon",
        ),
        (vec![service("xe-x", no())], Init::SysV, Base::RedHat, Status::Warn, "chkconfig xe-x on"),
        (vec![service("xe-x", no())], Init::SysV, Base::Debian, Status::Warn, "update-rc.d xe-x defaults"),
        (vec![service("xe-x", no())], Init::OpenRc, Base::Alpine, Status::Warn, "rc-update add xe-x default"),
        (vec![], Init::Systemd, Base::RedHat, Status::Warn, ""),
    ] {
        let finding = enabled(&tools(vec![tool(Kind::XeDaemon, services)]), init, base, Weight::View);
        assert_eq!((finding.status, first_command(&finding).as_str()), (status, command));
    }
}

#[test]
fn a_unit_that_is_active_without_a_process_does_not_run() {
    let own = |text: &str| text.to_owned();
    let state =
        State { active: own("active"), sub: own("exited"), result: own("success"), ..State::default() };
    let tool = tool(Kind::XeDaemon, vec![service("xe-linux-distribution", on())]);
    assert_eq!(running(&tools(vec![tool.clone()]), &[]), None);
    let finding = not_running(&tool, Some(&state), Init::Systemd, Weight::View);
    assert_eq!(finding.evidence[1].text, "active (exited), success");
    assert_eq!(first_command(&finding), "systemctl restart xe-linux-distribution");
}

#[test]
fn two_enabled_daemons_and_a_foreign_program_are_told() {
    let xe = || tool(Kind::XeDaemon, vec![service("xe-linux-distribution", on())]);
    let rust = |enabled| tool(Kind::XenGuestAgent, vec![service("xen-guest-agent", enabled)]);
    let built_for = |machine| Tool { machine: Some(machine), ..xe() };
    for (all, status, title) in [
        (vec![xe()], Status::Ok, "one tools daemon, built for this system"),
        (vec![xe(), rust(Enabled::No(String::new()))], Status::Ok, "one tools daemon, built for this system"),
        (vec![xe(), rust(on())], Status::Warn, "xe-daemon and xen-guest-agent both start at boot"),
        (
            vec![built_for(Machine(183))],
            Status::Warn,
            "xe-daemon is built for aarch64, the system for x86_64",
        ),
        (vec![built_for(Machine::I386)], Status::Note, "xe-daemon is built for i386, the system for x86_64"),
        (vec![], Status::Skipped, "no tools are installed"),
    ] {
        let findings = single(&tools(all), &[]);
        assert_eq!((findings[0].status, findings[0].title.as_str()), (status, title));
    }
}

#[test]
fn a_service_that_cannot_be_looked_at_leaves_open_whether_the_tools_start() {
    let judged = |services, is_denied| {
        let unread = Unread { reason: "reading x: it is a directory".to_owned(), is_denied };
        let tools = Tools { unread: Some(unread), ..tools(vec![tool(Kind::XeDaemon, services)]) };
        let enabled = enabled(&tools, Init::Systemd, Base::Debian, Weight::View);
        [enabled, single(&tools, &[]).remove(0)].map(|finding| (finding.status, finding.title))
    };
    let unknown = || (Status::Unknown, "reading x: it is a directory".to_owned());
    assert_eq!(judged(vec![], false), [unknown(), unknown()]);
    let denied = || (Status::Skipped, "needs root: reading x: it is a directory".to_owned());
    assert_eq!(judged(vec![], true), [denied(), denied()]);
    let [enabled, single] = judged(vec![service("xe-daemon", on())], false);
    assert_eq!((enabled.0, single), (Status::Ok, unknown()));
}

#[test]
fn where_processes_are_hidden_nobody_says_that_the_tools_do_not_run() {
    let tree = Tree::of(&[("usr/sbin/xe-daemon", "#!/bin/sh\n")]);
    let found = xentools_running(&Target::pretending_to_be_live(tree.path())).unwrap();
    let title = "needs root: the processes of others are hidden";
    assert_eq!((found[0].status, found[0].title.as_str()), (Status::Skipped, title));
}
