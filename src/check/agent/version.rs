//! `agent-supports-distro`, `agent-version`: does this release of the agent know this system, and is it known to
//! break it. What is said of releases is from their own sources.

use anyhow::Result;

use super::of_agent;
use super::remedy::{Hands, mended};
use crate::check::Finding;
use crate::facts::agents::{Agent, Kind, parts};
use crate::facts::os::{Base, Family, Os};
use crate::root::Root;
use crate::target::Target;

/// The files by which 2.x tells distributions apart; without any of them it ends with an AttributeError
/// (`get_server_type`, novaagent/novaagent.py).
const MARKERS: [&str; 5] = [
    "etc/alpine-release",
    "etc/centos-release",
    "etc/fedora-release",
    "etc/redhat-release",
    "etc/debian_version",
];

/// The distributions that 1.x translates to its own modules (`detect_os`, commands/network), by os-release's ID.
const KNOWN_TO_1: [&str; 15] = [
    "debian",
    "ubuntu",
    "rhel",
    "redhat",
    "centos",
    "fedora",
    "ol",
    "oracle",
    "arch",
    "opensuse",
    "opensuse-leap",
    "sles",
    "suse",
    "gentoo",
    "freebsd",
];

/// Distributions of the Red Hat family that 2.x knows to be NetworkManager's: from the first, and later ones.
const NETWORK_MANAGER: [&str; 3] = ["rhel", "centos", "fedora"];
const NETWORK_MANAGER_LATER: [&str; 2] = ["almalinux", "rocky"];

/// The last release that lacks the later ones.
const LACKS_LATER: [u32; 3] = [2, 1, 22];

/// The last releases of both branches.
const LAST_2: &str = "2.1.25";
const LAST_1: &str = "1.39.1";

/// The service that 2.x restarts where it does not know NetworkManager to be in charge.
const NETWORK_SERVICES: [&str; 4] = [
    "etc/rc.d/init.d/network",
    "etc/init.d/network",
    "usr/lib/systemd/system/network.service",
    "etc/systemd/system/network.service",
];

pub(super) fn supports_distro(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let marker = MARKERS.into_iter().find(|path| target.root.exists(path));
        Ok(vec![judge_supports(agent, target.os(), marker, &Hands::of(target))])
    })
}

fn judge_supports(agent: &Agent, os: &Os, marker: Option<&str>, hands: &Hands) -> Finding {
    let system = os_name(os);
    let (text, commands) = hands.install();
    match agent.kind {
        Kind::Nova2 => match marker {
            Some(marker) => {
                Finding::ok(format!("{} knows this distribution", agent.title())).seen(marker, "is there")
            }
            None => {
                let finding = Finding::fail(format!(
                    "{} does not know {system} and dies at start",
                    agent.title()
                ))
                .because("it logs \"Agent is starting up\" and ends: password resets in the panel do nothing")
                .seen("etc", format!("none of {}", MARKERS.map(|path| &path[4..]).join(", ")));
                mended(finding, text, commands)
            }
        },
        Kind::Nova1 if os.id == "unknown" => Finding::skipped("no file says which distribution this is"),
        Kind::Nova1 => {
            // CoreOS' agent runs in a chroot with its own marker.
            let in_chroot = agent.program.starts_with("usr/share/oem");
            let known = os.family == Family::FreeBsd || KNOWN_TO_1.contains(&os.id.as_str());
            if known || in_chroot {
                return Finding::ok(format!("{} knows this distribution", agent.title()))
                    .seen(&os.source, &os.id);
            }
            let finding = Finding::fail(format!("{} does not know {system}: it refuses network resets", agent.title()))
                .because("every network reset is answered 500 (Couldn't figure out my OS), and the host takes that for success")
                .seen(&os.source, format!("ID {}", os.id));
            mended(finding, text, commands)
        }
        Kind::Novactl | Kind::Windows => Finding::ok(format!("{} knows this distribution", agent.title())),
    }
}

pub(super) fn version(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        Ok(vec![judge_version(agent, target.os(), has_network_service(&target.root), &Hands::of(target))])
    })
}

fn os_name(os: &Os) -> &str {
    if os.name.is_empty() { &os.id } else { &os.name }
}

fn has_network_service(root: &Root) -> bool {
    NETWORK_SERVICES.into_iter().any(|path| root.exists(path))
}

fn judge_version(agent: &Agent, os: &Os, network_service: bool, hands: &Hands) -> Finding {
    let Some(version) = &agent.version else {
        return Finding::skipped("no file says the agent's version");
    };
    let source = agent.version_source.as_deref().unwrap_or(&agent.program);
    let last = match agent.kind {
        Kind::Nova2 => LAST_2,
        Kind::Nova1 => LAST_1,
        Kind::Novactl | Kind::Windows => return Finding::ok(format!("{} is this program", agent.title())),
    };
    if agent.kind == Kind::Nova2 && !network_service && takes_network_manager_away(&parts(version), os) {
        let finding = Finding::fail(format!(
            "{} leaves {} without a network after a reset",
            agent.title(),
            os_name(os)
        ))
        .because(
            "it does not know that NetworkManager is in charge here: it writes NM_CONTROLLED=no and restarts \
                 network.service, which does not exist; after a reset or a boot there is no address",
        )
        .seen(source, version)
        .seen(&os.source, format!("ID {} {}", os.id, os.version))
        .seen("etc/init.d/network", "no such file");
        let knows = NETWORK_MANAGER_LATER.contains(&os.id.as_str());
        let text = if knows {
            "put novactl in place as the agent; or 2.1.25 of EPEL, which knows this system (dnf upgrade nova-agent)"
        } else {
            "put novactl in place as the agent: no release of 2.x knows this system"
        };
        return mended(finding, text, hands.install().1);
    }
    if parts(version) < parts(last) {
        let finding =
            Finding::warn(format!("{} is older than the last release of its branch, {last}", agent.title()))
                .because("faults that were mended since are still in it")
                .seen(source, version);
        let text = match agent.kind {
            Kind::Nova2 => {
                format!(
                    "update the agent's package to {last}, or put novactl in its place (novactl agent install)"
                )
            }
            _ => {
                format!("update to {last} with its own installer.sh; no need to change to 2.x while it works")
            }
        };
        return mended(finding, text, Vec::new()).by_hand();
    }
    Finding::ok(format!("{} is the last release of its branch", agent.title())).seen(source, version)
}

/// Whether this release writes NM_CONTROLLED=no on a system of NetworkManager (`is_network_manager`,
/// novaagent/libs/centos.py).
fn takes_network_manager_away(version: &[u32], os: &Os) -> bool {
    let major = os.version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    if os.base != Base::RedHat || major < 8 || NETWORK_MANAGER.contains(&os.id.as_str()) {
        return false;
    }
    !NETWORK_MANAGER_LATER.contains(&os.id.as_str()) || version <= LACKS_LATER.as_slice()
}

#[cfg(test)]
mod tests {
    use super::super::remedy::tests::hands;
    use super::super::tests::offline;
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::{agent, put};
    use crate::facts::agents::zip_application;

    fn os(id: &str, version: &str, base: Base) -> Os {
        Os {
            id: id.to_owned(),
            version: version.to_owned(),
            name: String::new(),
            base,
            family: if base == Base::FreeBsd { Family::FreeBsd } else { Family::Linux },
            source: "etc/os-release".to_owned(),
        }
    }

    #[test]
    fn two_dies_where_no_marker_is() {
        let dir = tempfile::tempdir().unwrap();
        let zip =
            zip_application("#!/usr/bin/env python3", &[("novaagent/__init__.py", "__version__ = '2.1.25'")]);
        put(dir.path(), "usr/bin/nova-agent", zip);
        let status = |dir: &std::path::Path| supports_distro(&offline(dir)).unwrap()[0].status;
        put(dir.path(), "etc/SuSE-release", "");
        assert_eq!(status(dir.path()), Status::Fail);
        put(dir.path(), "etc/debian_version", "12.1\n");
        assert_eq!(status(dir.path()), Status::Ok);
    }

    #[test]
    fn one_refuses_what_it_does_not_translate() {
        let cases = [
            ("almalinux", "8.9", Base::RedHat, Status::Fail),
            ("scientific", "6.10", Base::RedHat, Status::Fail),
            ("amzn", "2", Base::RedHat, Status::Fail),
            ("centos", "6.10", Base::RedHat, Status::Ok),
            ("ubuntu", "14.04", Base::Debian, Status::Ok),
            ("freebsd", "10.4", Base::FreeBsd, Status::Ok),
            ("unknown", "", Base::Unknown, Status::Skipped),
        ];
        for (id, version, base, want) in cases {
            let agent = agent(Kind::Nova1, "1.39.1", vec![]);
            let found = judge_supports(&agent, &os(id, version, base), None, &hands(base));
            assert_eq!(found.status, want, "{id}");
        }
    }

    #[test]
    fn a_release_fails_where_it_takes_the_network_away() {
        let cases = [
            ("2.1.22", "rocky", "8.9", false, Status::Fail),
            ("2.1.16", "almalinux", "9.3", false, Status::Fail),
            ("2.1.25", "ol", "8.10", false, Status::Fail),
            ("2.1.25", "cloudlinux", "8.8", false, Status::Fail),
            ("2.1.25", "rocky", "9.3", false, Status::Ok),
            ("2.1.25", "ol", "8.10", true, Status::Ok),
            ("2.1.25", "ol", "7.9", false, Status::Ok),
            ("2.1.22", "rocky", "8.9", true, Status::Warn),
            ("2.1.22", "centos", "8", false, Status::Warn),
            ("2.1.26", "rhel", "9", false, Status::Ok),
        ];
        for (version, id, release, service, want) in cases {
            let agent = agent(Kind::Nova2, version, vec![]);
            let found = judge_version(&agent, &os(id, release, Base::RedHat), service, &hands(Base::RedHat));
            assert_eq!(found.status, want, "{version} on {id} {release}");
        }
    }

    #[test]
    fn an_old_release_of_1_is_never_told_to_become_2() {
        for version in ["0.0.1.38", "1.39.0"] {
            let found = judge_version(
                &agent(Kind::Nova1, version, vec![]),
                &os("centos", "6.10", Base::RedHat),
                true,
                &hands(Base::RedHat),
            );
            assert_eq!(found.status, Status::Warn);
            assert!(found.remedy.unwrap().text.starts_with("update to 1.39.1"));
        }
        let last = agent(Kind::Nova1, "1.39.1", vec![]);
        let system = os("centos", "6.10", Base::RedHat);
        assert_eq!(judge_version(&last, &system, true, &hands(Base::RedHat)).status, Status::Ok);
    }

    #[test]
    fn an_unknown_version_is_not_judged() {
        let unknown = Agent { version: None, ..agent(Kind::Nova2, "x", vec![]) };
        let system = os("rocky", "9", Base::RedHat);
        assert_eq!(judge_version(&unknown, &system, false, &hands(Base::RedHat)).status, Status::Skipped);
    }
}
