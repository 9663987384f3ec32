//! `agent-unit-native`, `agent-restarts`: what systemd makes of the agent's service.

use anyhow::Result;

use super::of_agent;
use super::remedy::{Hands, drop_in, mended};
use crate::check::Finding;
use crate::facts::agents::Agent;
use crate::facts::init::{Init, Service};
use crate::facts::packages;
use crate::root::Root;
use crate::target::Target;

/// The init script of the agent.
const SCRIPT: &str = "etc/init.d/nova-agent";

/// What the stock unit lacks. Not `always`: 2.x ends by itself where there is no host to serve.
pub(super) const RESTARTS: &str = "[Service]\nRestart=on-failure\nRestartSec=10\n";

/// The file with the point release.
const RELEASE: &str = "etc/redhat-release";

/// The release of systemd whose generator ignores init scripts that are links (RHEL and CentOS 7.2, December 2015).
const IGNORES_LINKS: &str = "219-19.el7";

/// An init script that systemd does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IgnoredLink {
    /// Where the link leads.
    to: String,
    /// What says that this systemd ignores it.
    source: String,
    /// Version of systemd or release of the distribution.
    version: String,
}

/// Returns the link when the agent's init script is one that this systemd ignores, and no unit takes its place.
///
/// # Errors
/// The script or the package manager's files cannot be read.
pub(super) fn is_ignored_link(target: &Target) -> Result<Option<IgnoredLink>> {
    let services = target.services();
    if services.init != Init::Systemd {
        return Ok(None);
    }
    let Some(to) = target.root.link_opt(SCRIPT)? else { return Ok(None) };
    if services.named(&target.root, "nova-agent")?.is_some_and(|service| service.unit.is_some()) {
        return Ok(None);
    }
    let (source, version) = match packages::find(&target.root, "systemd")? {
        Some(package) => (package.source, package.version),
        // os-release of CentOS says 7, this file 7.2.1511
        None => (RELEASE.to_owned(), release(&target.root)?),
    };
    Ok(ignores(&target.os().id, &version).then_some(IgnoredLink { to, source, version }))
}

fn release(root: &Root) -> Result<String> {
    let text = root.text_opt(RELEASE)?.unwrap_or_default();
    let mut words = text.split_whitespace();
    Ok(words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default().to_owned())
}

/// Whether a version of systemd's package, or else the release of the distribution, is the one that ignores links.
fn ignores(id: &str, version: &str) -> bool {
    let release = matches!(id, "rhel" | "centos") && (version == "7.2" || version.starts_with("7.2."));
    release || version.starts_with(IGNORES_LINKS)
}

pub(super) fn native(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        if target.services().init != Init::Systemd {
            return Ok(vec![Finding::skipped("systemd does not boot this system")]);
        }
        let ignored = is_ignored_link(target)?;
        Ok(vec![judge_native(agent, ignored.as_ref(), &Hands::of(target))])
    })
}

fn judge_native(agent: &Agent, ignored: Option<&IgnoredLink>, hands: &Hands) -> Finding {
    let Some(link) = ignored else { return Finding::ok("systemd sees the agent's service") };
    let finding = Finding::fail("systemd ignores the agent's init script because it is a link (rm14157)")
        .because(
            "since the update to 7.2 the service fails to load (No such file or directory): after the next boot the \
             agent does not run and password resets in the panel do nothing",
        )
        .seen(SCRIPT, format!("link to {}", link.to))
        .seen(&link.source, format!("systemd or release {}", link.version))
        .about(&agent.program);
    let copy = hands.inside(&["cp", "--remove-destination", &link.to, &format!("/{SCRIPT}")]);
    let enable = hands.inside(&["chkconfig", "nova-agent", "on"]);
    mended(finding, "put the script itself in the link's place, and enable it", vec![copy, enable])
}

pub(super) fn restarts(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| Ok(vec![judge_restarts(agent.service())]))
}

fn judge_restarts(service: Option<&Service>) -> Finding {
    let Some((service, unit)) = service.and_then(|service| Some((service, service.unit.as_ref()?))) else {
        return Finding::skipped("no systemd unit starts it");
    };
    let setting = unit.last("Service", "Restart");
    match setting.map(|setting| setting.value.trim()) {
        None | Some("" | "no") => {
            let (source, text) = match setting {
                Some(setting) => (setting.source.as_str(), format!("Restart={}", setting.value)),
                None => (service.path.as_str(), "no Restart=".to_owned()),
            };
            let finding = Finding::note(format!("{} is not started again after a crash", service.name))
                .because("one request that the agent cannot read ends it until the next boot")
                .seen(source, text);
            let text = "add a drop-in with [Service], Restart=on-failure and RestartSec=10";
            mended(finding, text, drop_in(&service.name, "Service", &["Restart=on-failure", "RestartSec=10"]))
        }
        // on-success, on-abort, on-watchdog do not cover an exception, which ends Python with status 1
        Some(value @ ("on-success" | "on-abort" | "on-watchdog")) => {
            Finding::note(format!("{} is not started again after an exception", service.name))
                .because("one request that the agent cannot read ends it until the next boot")
                .seen(setting.map_or("", |setting| &setting.source), format!("Restart={value}"))
        }
        Some(value) => Finding::ok(format!("{} is started again after a crash", service.name))
            .seen(setting.map_or("", |setting| &setting.source), format!("Restart={value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::remedy::tests::hands;
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::Kind;
    use crate::facts::agents::tests::{agent, unit};
    use crate::facts::init::Enabled;
    use crate::facts::os::Base;

    #[test]
    fn only_the_one_release_ignores_links() {
        let cases = [
            ("centos", "219-19.el7", true),
            ("ol", "219-19.el7_2.13", true),
            ("centos", "219-30.el7_3.6", false),
            ("centos", "219-9.el7", false),
            ("rhel", "7.2", true),
            ("centos", "7.2.1511", true),
            ("centos", "7.9.2009", false),
            ("debian", "7.2", false),
        ];
        for (id, version, want) in cases {
            assert_eq!(ignores(id, version), want, "{id} {version}");
        }
    }

    #[test]
    fn an_ignored_link_fails_with_the_copy_that_mends_it() {
        let to = "/usr/share/nova-agent/0.0.1.38/etc/generic/nova-agent".to_owned();
        let link = IgnoredLink { to, source: "var/lib/rpm".to_owned(), version: "219-19.el7".to_owned() };
        let agent = agent(Kind::Nova1, "0.0.1.38", vec![]);
        let found = judge_native(&agent, Some(&link), &hands(Base::RedHat));
        assert_eq!(found.status, Status::Fail);
        assert_eq!(
            found.remedy.unwrap().commands[0].join(" "),
            "cp --remove-destination /usr/share/nova-agent/0.0.1.38/etc/generic/nova-agent /etc/init.d/nova-agent"
        );
        assert_eq!(judge_native(&agent, None, &hands(Base::RedHat)).status, Status::Ok);
    }

    #[test]
    fn the_stock_unit_is_a_note_only() {
        let cases: [(&[(&str, &str)], Status); 6] = [
            (&[], Status::Note),
            (&[("Restart", "no")], Status::Note),
            (&[("Restart", "always"), ("Restart", "")], Status::Note),
            (&[("Restart", "on-abort")], Status::Note),
            (&[("Restart", "always")], Status::Ok),
            (&[("Restart", "no"), ("Restart", "on-failure")], Status::Ok),
        ];
        for (settings, want) in cases {
            let service = unit("nova-agent", Enabled::Yes("x".to_owned()), settings);
            assert_eq!(judge_restarts(Some(&service)).status, want, "{settings:?}");
        }
        let script = Service { unit: None, ..unit("nova-agent", Enabled::Yes("x".to_owned()), &[]) };
        assert_eq!(judge_restarts(Some(&script)).status, Status::Skipped);
    }
}
