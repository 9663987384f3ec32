//! `agent-installed`, `agent-single`, `agent-enabled`: is there one agent, and does the next boot start it.

use anyhow::{Context, Result, bail};

use super::remedy::{Hands, mended};
use super::{of_agent, startable};
use crate::check::{Evidence, Finding, Status, mend};
use crate::facts::agents::process::kind_of;
use crate::facts::agents::{Agent, Agents, Kind, NOVACTL_SERVICE, exec};
use crate::facts::hypervisor::Hypervisor;
use crate::facts::init::{Enabled, Service};
use crate::facts::processes::Process;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{Kind as NodeKind, Root, Stat};
use crate::target::Target;

/// A child that has not yet become another program looks like its parent for a moment; seconds.
const MOMENT: u64 = 5;

pub(super) fn installed(target: &Target) -> Result<Vec<Finding>> {
    if target.agents().all.is_empty() && target.is_live() && !target.store_is_named() {
        let hypervisor = Hypervisor::of(&target.root);
        if !hypervisor.is_xen_guest() {
            let title =
                format!("no agent is installed, and none has a use here: this is {}", hypervisor.platform);
            return Ok(vec![Finding::skipped(title)]);
        }
    }
    Ok(vec![judge_installed(target.agents(), &Hands::of(target))])
}

fn judge_installed(agents: &Agents, hands: &Hands) -> Finding {
    if let Some(agent) = agents.all.first() {
        let source = agent.version_source.as_ref().unwrap_or(&agent.program);
        let package = agent.package.as_ref();
        let by = package.map_or("no package".to_owned(), |p| format!("package {} {}", p.name, p.version));
        return Finding::ok(format!("{} is installed", agent.title()))
            .seen(&agent.program, by)
            .seen(source, agent.version.as_deref().unwrap_or("says no version"));
    }
    if let Some(place) = agents.denied.first() {
        return Finding::skipped(format!("needs root: {place}"));
    }
    let finding = Finding::fail("no nova-agent is installed").because(
        "the host cannot set the password or the addresses: resets in the panel do nothing, and a server built \
         from an image of this one keeps its address and password",
    );
    let finding = match agents.problems.as_slice() {
        [] => finding.seen("usr/bin/nova-agent", "no such file").seen("usr/sbin/nova-agent", "no such file"),
        problems => problems.iter().take(5).fold(finding, |f, problem| f.seen("installed files", problem)),
    };
    let (text, commands) = hands.install();
    mended(finding, text, commands)
}

pub(super) fn single(target: &Target) -> Result<Vec<Finding>> {
    let agents = target.agents();
    if agents.all.is_empty() {
        return Ok(Vec::new());
    }
    let enabled = started_at_boot(&target.root, agents);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let running: Vec<(Kind, &Process)> = target
        .processes()
        .iter()
        .filter(|process| process.started + MOMENT <= now)
        .filter_map(|process| Some((kind_of(process)?, process)))
        .collect();
    let finding = judge_single(&enabled, &running, &Hands::of(target));
    // the second one can be the one that cannot be looked at
    let unread = agents.unread.as_ref().filter(|_| finding.status == Status::Ok);
    Ok(vec![unread.map_or(finding, Finding::unread)])
}

/// Returns the enabled services, each once: an alias and its unit are one.
pub(super) fn started_at_boot<'a>(root: &Root, agents: &'a Agents) -> Vec<(&'a Agent, &'a Service)> {
    let mut files: Vec<String> = Vec::new();
    let mut enabled = Vec::new();
    for agent in &agents.all {
        for service in agent.services.iter().filter(|service| matches!(service.enabled, Enabled::Yes(_))) {
            let file = root.resolve(&service.path).ok().flatten().unwrap_or_else(|| service.path.clone());
            if !files.contains(&file) {
                files.push(file);
                enabled.push((agent, service));
            }
        }
    }
    enabled
}

fn judge_single(enabled: &[(&Agent, &Service)], running: &[(Kind, &Process)], hands: &Hands) -> Finding {
    let why = "one of two agents answers the key exchange and the other the password: resets in the panel succeed \
               and the password is still wrong";
    if let [(_, keep), others @ ..] = enabled
        && !others.is_empty()
    {
        let finding = Finding::fail(format!("{} agents start at boot", enabled.len())).because(why);
        let finding = enabled.iter().fold(finding, |f, (agent, service)| {
            f.seen(&service.path, format!("{} starts {} ({})", service.name, agent.title(), agent.program))
        });
        let commands = others.iter().flat_map(|(_, service)| hands.disable(service)).collect();
        return mended(finding, format!("keep {}, disable the other", keep.name), commands);
    }
    if running.len() > 1 {
        let finding = Finding::fail(format!("{} agents run at the same time", running.len())).because(why);
        let finding = running.iter().fold(finding, |f, (_, process)| {
            f.seen(format!("process {}", process.pid), process.argv.join(" "))
        });
        return mended(finding, "stop the one that no enabled service started", Vec::new()).by_hand();
    }
    Finding::ok("one agent only")
}

pub(super) fn enabled(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        if super::unit::is_ignored_link(target)?.is_some() {
            return Ok(vec![Finding::skipped(
                "its init script is a link that this systemd ignores: agent-unit-native",
            )]);
        }
        if let Some(finding) = judge_program(&target.root, agent) {
            return Ok(vec![finding]);
        }
        if let Some(refusal) = startable::refusal(target, agent)? {
            return Ok(vec![refusal.finding]);
        }
        let other = if agent.is_enabled() { None } else { started_elsewhere(&target.root)? };
        let unread = target.agents().unread.as_ref().filter(|_| !agent.is_enabled() && other.is_none());
        if let Some(unread) = unread {
            return Ok(vec![Finding::unread(unread)]);
        }
        Ok(vec![judge_enabled(agent, other, &Hands::of(target))])
    })
}

/// An enabled service that starts a file which is not there starts nothing.
fn judge_program(root: &Root, agent: &Agent) -> Option<Finding> {
    let service = agent.service().filter(|_| agent.is_enabled())?;
    let line = exec::start_of(service.unit.as_ref()?)?;
    let program = exec::words(&line.value).into_iter().next().filter(|program| program.starts_with('/'))?;
    // A path with a specifier or variable is not known.
    if program.contains(['%', '$']) {
        return None;
    }
    if let Ok(Some(stat)) = root.stat_opt(&program) {
        return is_not_executable(&stat).then(|| not_executable(service, &line.source, &program, stat.mode));
    }
    let finding = Finding::fail(format!("{} starts a program that does not exist", service.name))
        .because("the service fails at every boot with status 203: password resets in the panel do nothing")
        .seen(&line.source, format!("ExecStart={}", line.value))
        .seen(program.trim_start_matches('/'), "no such file")
        .about(&service.name);
    Some(mended(finding, format!("name the agent's program in ExecStart=: /{}", agent.program), Vec::new()))
}

/// Not even root executes a file without any such bit.
fn is_not_executable(stat: &Stat) -> bool {
    stat.kind == NodeKind::File && stat.mode & 0o111 == 0
}

fn not_executable(service: &Service, source: &str, program: &str, mode: u32) -> Finding {
    let finding = Finding::fail(format!("{} starts a program that may not be executed", service.name))
        .because("the service fails at every boot with status 203: password resets in the panel do nothing")
        .seen(program.trim_start_matches('/'), format!("mode {mode:04o}"))
        .seen(source, format!("starts {program}"))
        .about(&service.name);
    mended(finding, format!("chmod 0755 {program}"), Vec::new())
}

/// Plans what has the service start the program: its mode, the settings that keep systemd from it, or a drop-in that
/// names the program which is there.
pub(super) fn with_its_program(target: &Target, agent: &Agent) -> Result<Plan> {
    let service = agent.service().context("no service starts the agent")?;
    let line = service.unit.as_ref().and_then(exec::start_of);
    let program = line.and_then(|line| exec::words(&line.value).into_iter().next()).unwrap_or_default();
    if program.starts_with('/')
        && target.root.stat_opt(&program)?.is_some_and(|stat| is_not_executable(&stat))
    {
        let path = program.trim_start_matches('/').to_owned();
        let body = target.root.read(&path)?;
        let write = FileChange::Write { path, body, mode: Some(0o755), secret: Secrecy::Open };
        return Ok(mend::plan(target, format!("make {program} executable"), vec![write], Vec::new()));
    }
    if let Some(refusal) = startable::refusal(target, agent)? {
        let (name, text) = refusal.drop_in.context("no drop-in mends this unit")?;
        let service =
            agent.services.iter().find(|service| Some(&service.name) == refusal.finding.subject.as_ref());
        return mend::drop_in(target, service.context("no service starts the agent")?, name, &text);
    }
    let line = line.context("the service starts nothing")?;
    let (program, arguments) = line.value.split_once(char::is_whitespace).unwrap_or((&line.value, ""));
    if !program.ends_with("/nova-agent") {
        bail!("{} does not begin with the agent's program", line.source);
    }
    let text = format!("[Service]\nExecStart=\nExecStart=/{} {arguments}\n", agent.program);
    mend::drop_in(target, service, "program", &text)
}

fn judge_enabled(agent: &Agent, other: Option<Evidence>, hands: &Hands) -> Finding {
    let why = "after the next boot nobody answers the host: password resets and attached networks time out, and a \
               server built from an image keeps the address of this one";
    if let Some(Evidence { source, text }) = other {
        return Finding::ok(format!("{} starts at boot by {source}", agent.kind.name())).seen(source, text);
    }
    let Some(service) = agent.service() else {
        let finding = Finding::fail(format!("no service starts {}", agent.title()))
            .because(why)
            .seen(&agent.program, "installed; no unit and no init script names it");
        let text = if agent.kind == Kind::Novactl { NOVACTL_SERVICE } else { "nova-agent" };
        let text = format!("add a service {text} that starts /{}, and enable it", agent.program);
        return mended(finding, text, Vec::new()).by_hand();
    };
    let name = &service.name;
    match &service.enabled {
        Enabled::Yes(by) => Finding::ok(format!("{name} starts at boot")).seen(by, format!("starts {name}")),
        Enabled::No(reason) => {
            let finding = Finding::fail(format!("{name} does not start at boot"));
            let finding = finding.because(why).seen(&service.path, reason).about(name);
            mended(finding, "enable the service", hands.enable(service))
        }
        Enabled::Masked(by) => {
            let finding = Finding::fail(format!("{name} is masked: nothing can start it"));
            let finding = finding.because(why).seen(by, "masks the service").about(name);
            let commands = std::iter::once(hands.unmask(service)).chain(hands.enable(service)).collect();
            mended(finding, "take the mask away, then enable the service", commands)
        }
    }
}

/// Returns the line by which something other than a service starts the agent: the old installer's last resort was
/// rc.local, and some images let cloud-init start it.
fn started_elsewhere(root: &Root) -> Result<Option<Evidence>> {
    for path in ["etc/rc.local", "etc/rc.d/rc.local", "etc/init.d/boot.local"] {
        let Some(stat) = root.stat_opt(path)? else { continue };
        let Some(text) = root.text_opt(path)?.filter(|_| stat.mode & 0o111 != 0) else { continue };
        let reached = text.lines().take_while(|line| line.trim() != "exit 0");
        if let Some(found) = starting_line(path, reached) {
            return Ok(Some(found));
        }
    }
    let mut files = root.files_in("etc/cloud/cloud.cfg.d", ".cfg")?;
    files.insert(0, "etc/cloud/cloud.cfg".to_owned());
    for path in files {
        let text = root.text_opt(&path)?.unwrap_or_default();
        if let Some(found) = starting_line(&path, text.lines()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn starting_line<'t>(path: &str, lines: impl Iterator<Item = &'t str>) -> Option<Evidence> {
    let starts = |line: &str| !line.starts_with('#') && line.contains("nova-agent") && line.contains("start");
    let (number, line) = lines.map(str::trim).enumerate().find(|(_, line)| starts(line))?;
    Some(Evidence { source: format!("{path}:{}", number + 1), text: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::remedy::tests::hands;
    use super::super::tests::{offline, verdicts};
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::{agent, link, put, unit};
    use crate::facts::agents::zip_application;
    use crate::facts::init::Init;
    use crate::facts::os::Base;

    fn yes() -> Enabled {
        Enabled::Yes("etc/systemd/system/multi-user.target.wants/nova-agent.service".to_owned())
    }

    fn no() -> Enabled {
        Enabled::No("no link in multi-user.target.wants".to_owned())
    }

    #[test]
    fn an_agent_that_was_removed_or_never_there_fails() {
        let dir = tempfile::tempdir().unwrap();
        let found = installed(&offline(dir.path())).unwrap();
        assert_eq!(verdicts(&found), [(Status::Fail, "no nova-agent is installed")]);
        link(dir.path(), "usr/sbin/nova-agent", "/usr/share/nova-agent/1.39.1/sbin/nova-agent");
        let found = installed(&offline(dir.path())).unwrap();
        assert!(found[0].evidence[0].text.contains("which does not exist"), "{found:?}");
    }

    #[test]
    fn what_only_root_may_see_is_not_called_absent() {
        let denied = vec!["looking at usr/sbin/nova-agent: Permission denied".to_owned()];
        let found = judge_installed(&Agents { denied, ..Agents::default() }, &hands(Base::RedHat));
        assert_eq!(found.status, Status::Skipped);
    }

    #[test]
    fn a_file_of_another_program_is_no_agent() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "usr/bin/nova-agent", "#!/bin/sh\nexec /opt/ai/nova\n");
        assert_eq!(installed(&offline(dir.path())).unwrap()[0].status, Status::Fail);
    }

    #[test]
    fn a_working_zip_application_is_ok() {
        let dir = tempfile::tempdir().unwrap();
        let zip =
            zip_application("#!/usr/bin/env python3", &[("novaagent/__init__.py", "__version__ = '2.1.25'")]);
        put(dir.path(), "usr/bin/nova-agent", zip);
        let found = installed(&offline(dir.path())).unwrap();
        assert_eq!(verdicts(&found), [(Status::Ok, "nova-agent 2.1.25 is installed")]);
    }

    #[test]
    fn two_enabled_services_fail_whatever_they_start() {
        let old = agent(Kind::Nova1, "1.39.1", vec![unit("nova-agent", yes(), &[])]);
        let new = agent(Kind::Nova2, "2.1.25", vec![unit("python3-nova-agent", yes(), &[])]);
        let mine = agent(Kind::Novactl, "0.1.0", vec![unit("novactl-agent", yes(), &[])]);
        for (first, second) in [(&old, &new), (&new, &mine)] {
            let both = [(first, &first.services[0]), (second, &second.services[0])];
            let found = judge_single(&both, &[], &hands(Base::Debian));
            assert_eq!((found.status, found.title.as_str()), (Status::Fail, "2 agents start at boot"));
            let disabled = format!("{}.service", second.services[0].name);
            assert_eq!(found.remedy.unwrap().commands, [["systemctl", "disable", &disabled]]);
        }
    }

    #[test]
    fn two_running_agents_fail_and_one_does_not() {
        let process = |pid, line: &str| Process {
            pid,
            name: String::new(),
            exe: None,
            argv: line.split(' ').map(str::to_owned).collect(),
            started: 0,
        };
        let one = process(7, "python3 /usr/bin/nova-agent");
        let two = process(9, "/usr/sbin/nova-agent -q x.py");
        let of = |running: &[(Kind, &Process)]| judge_single(&[], running, &hands(Base::RedHat)).status;
        assert_eq!(of(&[(Kind::Nova2, &one), (Kind::Nova1, &two)]), Status::Fail);
        assert_eq!(of(&[(Kind::Nova2, &one)]), Status::Ok);
    }

    #[test]
    fn an_alias_is_the_same_service() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "usr/lib/systemd/system/python3-nova-agent.service", "");
        link(
            dir.path(),
            "etc/systemd/system/nova-agent.service",
            "/usr/lib/systemd/system/python3-nova-agent.service",
        );
        let alias = Service {
            path: "etc/systemd/system/nova-agent.service".to_owned(),
            ..unit("nova-agent", yes(), &[])
        };
        let services = vec![unit("python3-nova-agent", yes(), &[]), alias];
        let all = vec![agent(Kind::Nova2, "2.1.25", services)];
        let agents = Agents { all, ..Agents::default() };
        assert_eq!(started_at_boot(&Root::open(dir.path()).unwrap(), &agents).len(), 1);
    }

    #[test]
    fn a_service_that_does_not_start_at_boot_fails_with_the_command_that_enables_it() {
        let sysv = Service { init: Init::SysV, unit: None, ..unit("nova-agent", no(), &[]) };
        let cases = [
            (
                unit("python3-nova-agent", no(), &[]),
                Base::Debian,
                "systemctl enable python3-nova-agent.service",
            ),
            (sysv, Base::RedHat, "chkconfig nova-agent on"),
        ];
        for (service, base, command) in cases {
            let title = format!("{} does not start at boot", service.name);
            let found = judge_enabled(&agent(Kind::Nova2, "2.1.25", vec![service]), None, &hands(base));
            assert_eq!((found.status, found.title), (Status::Fail, title));
            assert_eq!(found.remedy.unwrap().commands[0].join(" "), command);
        }
    }

    #[test]
    fn a_masked_service_is_unmasked_first() {
        let masked = Enabled::Masked("etc/systemd/system/nova-agent.service".to_owned());
        let found = judge_enabled(
            &agent(Kind::Nova2, "2.1.25", vec![unit("nova-agent", masked, &[])]),
            None,
            &hands(Base::RedHat),
        );
        assert_eq!(
            (found.status, found.title.as_str()),
            (Status::Fail, "nova-agent is masked: nothing can start it")
        );
        assert_eq!(found.remedy.unwrap().commands[0][1], "unmask");
    }

    #[test]
    fn an_enabled_service_is_ok_and_a_program_without_one_fails() {
        let enabled = agent(Kind::Nova2, "2.1.25", vec![unit("nova-agent", yes(), &[])]);
        assert_eq!(judge_enabled(&enabled, None, &hands(Base::RedHat)).status, Status::Ok);
        let alone = agent(Kind::Nova1, "1.39.1", vec![]);
        assert_eq!(
            judge_enabled(&alone, None, &hands(Base::RedHat)).title,
            "no service starts nova-agent 1.39.1"
        );
    }

    #[test]
    fn a_unit_whose_program_is_gone_starts_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let of = |line: &str| {
            let services = vec![unit("nova-agent", yes(), &[("ExecStart", line)])];
            judge_program(&root, &agent(Kind::Nova2, "2.1.25", services)).map(|f| f.title)
        };
        let gone = Some("nova-agent starts a program that does not exist".to_owned());
        assert_eq!(of("/usr/local/bin/nova-agent --no-fork True"), gone);
        assert_eq!(of("-/usr/bin/python3.6 /usr/bin/nova-agent"), gone);
        assert_eq!(of("/opt/%i/nova-agent"), None);
        put(dir.path(), "usr/local/bin/nova-agent", "");
        assert_eq!(of("/usr/local/bin/nova-agent --no-fork True"), None);
    }

    #[test]
    fn rc_local_and_cloud_init_may_start_the_agent_too() {
        let cases: [(&str, &str, Option<&str>); 5] = [
            ("etc/rc.local", "#!/bin/sh\n/etc/init.d/nova-agent start\nexit 0\n", Some("etc/rc.local:2")),
            ("etc/rc.local", "#!/bin/sh\nexit 0\n/etc/init.d/nova-agent start\n", None),
            ("etc/rc.local", "#/etc/init.d/nova-agent start\n", None),
            (
                "etc/cloud/cloud.cfg.d/10_x.cfg",
                "runcmd:\n - [ service, nova-agent, start ]\n",
                Some("etc/cloud/cloud.cfg.d/10_x.cfg:2"),
            ),
            ("etc/cloud/cloud.cfg.d/10_x.txt", "service nova-agent start\n", None),
        ];
        for (path, text, want) in cases {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), path, text);
            let found = started_elsewhere(&Root::open(dir.path()).unwrap()).unwrap();
            assert_eq!(found.as_ref().map(|e| e.source.as_str()), want, "{text}");
        }
    }
}
