//! Commands for this distribution and init system; on a mounted root, in the form that works from outside.

use crate::check::{Finding, Remedy};
use crate::facts::init::{Init, Service};
use crate::facts::os::Base;
use crate::target::Target;

/// One command as its arguments.
type Argv = Vec<String>;

/// What a person at this target would type.
pub(super) struct Hands {
    base: Base,
    /// Whether packages come with dnf: EL8, Fedora.
    dnf: bool,
    /// Where the target is mounted; none when it runs.
    root: Option<String>,
}

impl Hands {
    pub(super) fn of(target: &Target) -> Self {
        let os = target.os();
        let major = os.version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
        Self {
            base: os.base,
            dnf: os.id == "fedora" || (major >= 8 && os.id != "amzn"),
            root: (!target.is_live()).then(|| target.root.path().display().to_string()),
        }
    }

    /// Returns a command that runs inside the target.
    pub(super) fn inside(&self, argv: &[&str]) -> Argv {
        let chroot = self.root.iter().flat_map(|root| ["chroot", root.as_str()]);
        chroot.chain(argv.iter().copied()).map(str::to_owned).collect()
    }

    /// Makes a service start at boot.
    pub(super) fn enable(&self, service: &Service) -> Vec<Argv> {
        let name = service.name.as_str();
        match (service.init, &self.root) {
            (Init::Systemd, _) => vec![self.systemctl("enable", name)],
            (Init::Upstart, _) => vec![self.inside(&["rm", "-f", &format!("/etc/init/{name}.override")])],
            (Init::OpenRc, _) => vec![self.inside(&["rc-update", "add", name, "default"])],
            (Init::BsdRc, None) => vec![self.inside(&["sysrc", "nova_agent_enable=YES"])],
            (Init::BsdRc, Some(root)) => {
                vec![["sysrc", "-R", root, "nova_agent_enable=YES"].map(str::to_owned).to_vec()]
            }
            (Init::SysV | Init::Unknown, _) => vec![match self.base {
                Base::Debian => self.inside(&["update-rc.d", name, "defaults"]),
                Base::Suse => self.inside(&["insserv", name]),
                _ => self.inside(&["chkconfig", name, "on"]),
            }],
        }
    }

    /// Keeps a service from starting at boot.
    pub(super) fn disable(&self, service: &Service) -> Vec<Argv> {
        let name = service.name.as_str();
        vec![match service.init {
            Init::Systemd => self.systemctl("disable", name),
            Init::Upstart => self.inside(&["sh", "-c", &format!("echo manual > /etc/init/{name}.override")]),
            Init::OpenRc => self.inside(&["rc-update", "del", name]),
            Init::BsdRc => self.inside(&["sysrc", "nova_agent_enable=NO"]),
            Init::SysV | Init::Unknown => match self.base {
                Base::Debian => self.inside(&["update-rc.d", name, "disable"]),
                Base::Suse => self.inside(&["insserv", "-r", name]),
                _ => self.inside(&["chkconfig", name, "off"]),
            },
        }]
    }

    /// Removes a mask; systemd only.
    pub(super) fn unmask(&self, service: &Service) -> Argv {
        self.systemctl("unmask", &service.name)
    }

    /// Starts a service anew; nothing on a mounted root, where the next boot does it.
    pub(super) fn restart(&self, service: &Service) -> Vec<Argv> {
        if self.root.is_some() {
            return Vec::new();
        }
        let name = service.name.as_str();
        vec![match service.init {
            Init::Systemd => self.systemctl("restart", name),
            Init::OpenRc => self.inside(&["rc-service", name, "restart"]),
            _ => self.inside(&["service", name, "restart"]),
        }]
    }

    /// Returns the words and the command that put an agent in place: this program, which knows every system that it
    /// runs on, and in words what the distribution has. Never both as commands: two agents are worse than none.
    pub(super) fn install(&self) -> (&'static str, Vec<Argv>) {
        let text = match self.base {
            Base::RedHat if self.dnf => {
                "put novactl in place as the agent; or the package of EPEL (dnf install nova-agent)"
            }
            Base::RedHat => {
                "put novactl in place as the agent; or the package of EPEL (yum install nova-agent)"
            }
            Base::Debian => {
                "put novactl in place as the agent; or the distribution's package, where it has one (apt-get install \
                 python3-nova-agent)"
            }
            // novactl is a Linux program
            Base::FreeBsd => {
                return (
                    "install nova-agent 1.39.1 with its own installer.sh, on the server itself",
                    Vec::new(),
                );
            }
            Base::Alpine => {
                "put novactl in place as the agent; or nova-agent 2.x by pip, with its OpenRC script"
            }
            _ => {
                "put novactl in place as the agent; or nova-agent 1.39.1 with its own installer.sh (2.x does not \
                 know this system)"
            }
        };
        (text, vec![["novactl", "agent", "install"].map(str::to_owned).to_vec()])
    }

    fn systemctl(&self, verb: &str, name: &str) -> Argv {
        let root = self.root.as_ref().map(|root| format!("--root={root}"));
        let argv = ["systemctl".to_owned()].into_iter().chain(root);
        argv.chain([verb.to_owned(), format!("{name}.service")]).collect()
    }
}

/// Returns the commands that add a drop-in to a service's unit; not `systemctl edit`, which works on a running system
/// only.
pub(super) fn drop_in(service: &str, section: &str, settings: &[&str]) -> Vec<Argv> {
    let dir = format!("/etc/systemd/system/{service}.service.d");
    let lines: Vec<String> = settings.iter().map(|setting| format!("'{setting}'")).collect();
    let name = settings.first().and_then(|setting| setting.split('=').next()).unwrap_or("local");
    let file = format!("{dir}/50-{}.conf", name.to_lowercase());
    let script = format!("mkdir -p {dir} && printf '%s\\n' '[{section}]' {} > {file}", lines.join(" "));
    vec![
        ["sh", "-c", &script].map(str::to_owned).to_vec(),
        ["systemctl", "daemon-reload"].map(str::to_owned).to_vec(),
    ]
}

/// Adds what mends a finding.
pub(super) fn mended(finding: Finding, text: impl Into<String>, commands: Vec<Argv>) -> Finding {
    Finding { remedy: Some(Remedy { text: text.into(), commands, fixable: true }), ..finding }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::facts::agents::tests::unit;
    use crate::facts::init::Enabled;

    /// Returns the hands of a running system of this family.
    pub(crate) fn hands(base: Base) -> Hands {
        Hands { base, dnf: false, root: None }
    }

    fn service(init: Init, name: &str) -> Service {
        Service { init, unit: None, ..unit(name, Enabled::No("x".to_owned()), &[]) }
    }

    fn line(commands: Vec<Argv>) -> String {
        commands.iter().map(|argv| argv.join(" ")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn enabling_follows_init_system_distribution_and_place() {
        let cases = [
            (
                Init::Systemd,
                Base::Debian,
                "systemctl enable x.service",
                "systemctl --root=/mnt enable x.service",
            ),
            (Init::SysV, Base::RedHat, "chkconfig x on", "chroot /mnt chkconfig x on"),
            (Init::SysV, Base::Debian, "update-rc.d x defaults", "chroot /mnt update-rc.d x defaults"),
            (Init::SysV, Base::Suse, "insserv x", "chroot /mnt insserv x"),
            (Init::OpenRc, Base::Alpine, "rc-update add x default", "chroot /mnt rc-update add x default"),
            (
                Init::BsdRc,
                Base::FreeBsd,
                "sysrc nova_agent_enable=YES",
                "sysrc -R /mnt nova_agent_enable=YES",
            ),
            (
                Init::Upstart,
                Base::Debian,
                "rm -f /etc/init/x.override",
                "chroot /mnt rm -f /etc/init/x.override",
            ),
        ];
        for (init, base, live, mounted) in cases {
            let service = service(init, "x");
            assert_eq!(line(hands(base).enable(&service)), live);
            let offline = Hands { root: Some("/mnt".to_owned()), ..hands(base) };
            assert_eq!(line(offline.enable(&service)), mounted);
            assert_eq!(line(offline.restart(&service)), "");
        }
    }

    #[test]
    fn installing_is_this_program_and_names_what_the_distribution_has() {
        for (base, other) in [
            (Base::Debian, "apt-get install python3-nova-agent"),
            (Base::RedHat, "yum install nova-agent"),
            (Base::Alpine, "by pip"),
            (Base::Arch, "1.39.1"),
        ] {
            let (text, commands) = hands(base).install();
            assert!(text.contains(other), "{text}");
            assert_eq!(line(commands), "novactl agent install");
        }
    }
}
