//! SSH host keys, and who makes new ones when they are gone.
//!
//! Fedora and EL: sshd-keygen; Alpine, FreeBSD, EL6: the init script; Arch and newer systemd units: a unit of their own;
//! cloud-init: its module `ssh`, once for each instance. Debian's sshd makes none: there the keys stay.

use anyhow::{Result, bail};

use super::Who;
use crate::facts::cloud_init::{CloudInit, Starts};
use crate::facts::init::Init;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::Node;
use crate::target::Target;

const DIR: &str = "etc/ssh";
const UNITS: [&str; 3] = ["sshd.service", "ssh.service", "sshd@.service"];
const RC_LOCAL: &str = "etc/rc.local";
const SCRIPTS: [&str; 5] =
    ["etc/init.d/sshd", "etc/rc.d/init.d/sshd", "etc/init.d/ssh", "etc/rc.d/sshd", RC_LOCAL];

/// The host keys of a system.
#[derive(Debug)]
pub struct HostKeys {
    /// Private keys, public keys and certificates.
    pub files: Vec<String>,
}

/// What makes host keys at boot.
#[derive(Debug, PartialEq, Eq)]
pub struct Maker {
    /// The file that says so.
    pub source: String,
    /// What it says.
    pub text: String,
}

impl HostKeys {
    /// Returns the host keys that there are.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn of(target: &Target) -> Result<Self> {
        let names = target.root.read_dir(DIR)?.into_iter().map(|entry| entry.name);
        let is_key = |name: &String| {
            name.starts_with("ssh_host_") && (name.contains("_key") && !name.ends_with(".bak"))
        };
        Ok(Self { files: names.filter(is_key).map(|name| format!("{DIR}/{name}")).collect() })
    }
}

impl Maker {
    /// Returns what makes missing host keys at the boot of a copy that `who` configures; `None` where nothing does.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(target: &Target, who: Who) -> Result<Option<Self>> {
        let root = &target.root;
        let makes = |text: &str| ["keygen", "gen-keys", "genkeys"].iter().any(|word| text.contains(word));
        for name in UNITS {
            let Some(unit) = target.services().unit(root, name)? else { continue };
            let found = unit.settings.iter().find(|setting| {
                matches!(setting.key.as_str(), "Wants" | "Requires" | "ExecStartPre") && makes(&setting.value)
            });
            if let Some(setting) = found {
                let text = format!("{}={}", setting.key, setting.value);
                return Ok(Some(Self { source: setting.source.clone(), text }));
            }
        }
        // systemd has units of its own for sshd, beside which a script does not run
        let runs = |path: &&&str| target.services().init != Init::Systemd || **path == RC_LOCAL;
        for path in SCRIPTS.iter().filter(runs) {
            let text = root.text_opt(path)?.unwrap_or_default();
            let line =
                text.lines().enumerate().find(|(_, line)| !line.trim_start().starts_with('#') && makes(line));
            if let Some((place, line)) = line {
                return Ok(Some(Self {
                    source: format!("{path}:{}", place + 1),
                    text: line.trim().to_owned(),
                }));
            }
        }
        let Some(cloud_init) = CloudInit::of(root, target.services())? else { return Ok(None) };
        let runs_module = cloud_init
            .said(&["cloud_init_modules"])
            .is_some_and(|said| said.node.items().iter().any(|item| item.text() == Some("ssh")));
        let source = match &cloud_init.starts {
            Starts::Yes(source) => source.clone(),
            // the same plan switches it on
            _ if who == Who::CloudInit => "etc/cloud/cloud.cfg".to_owned(),
            _ => return Ok(None),
        };
        let text = "cloud-init makes host keys for each new server".to_owned();
        Ok(runs_module.then_some(Self { source, text }))
    }
}

pub(super) fn plan(target: &Target, who: Who) -> Result<Plan> {
    let keys = HostKeys::of(target)?;
    if keys.files.is_empty() {
        return Ok(Plan::default());
    }
    if Maker::of(target, who)?.is_none() {
        bail!("nothing makes new host keys at boot: without them sshd does not start, so they stay");
    }
    let gone = |path: String| FileChange::Restore { path, node: Node::Absent, secret: Secrecy::Secret };
    Ok(Plan { files: keys.files.into_iter().map(gone).collect(), ..Plan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::cloud_init::tests::INSTALLED;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    const KEYS: [(&str, &str); 3] = [
        ("etc/ssh/ssh_host_rsa_key", "k"),
        ("etc/ssh/ssh_host_rsa_key.pub", "p"),
        ("etc/ssh/sshd_config", ""),
    ];

    fn planned(files: &[(&str, &str)]) -> Result<usize> {
        let tree = Tree::of(&[&KEYS[..], files].concat());
        Ok(plan(&Target::offline(tree.path(), Source::None)?, Who::Agent)?.files.len())
    }

    #[test]
    fn keys_go_only_where_something_makes_new_ones() {
        let systemd = ("usr/lib/systemd/systemd", "");
        let unit = |text| [systemd, ("usr/lib/systemd/system/sshd.service", text)];
        assert!(planned(&[]).is_err());
        assert_eq!(planned(&unit("[Unit]\nWants=sshd-keygen.target\n")).unwrap(), 2);
        assert!(
            planned(&unit("[Unit]\nAfter=sshd-keygen.target\n[Service]\nExecStartPre=/usr/sbin/sshd -t\n"))
                .is_err()
        );
        assert_eq!(planned(&[("etc/init.d/sshd", "#!/bin/sh\n  ssh-keygen -A\n")]).unwrap(), 2);
        assert!(planned(&[("etc/init.d/sshd", "#!/bin/sh\n# ssh-keygen -A\n")]).is_err());
        assert!(planned(&INSTALLED).is_err());
        let modules = ("etc/cloud/cloud.cfg", "cloud_init_modules:\n - migrator\n - ssh\n");
        assert_eq!(planned(&[&INSTALLED[..], &[modules]].concat()).unwrap(), 2);
        let disabled = ("etc/cloud/cloud-init.disabled", "");
        assert!(planned(&[&INSTALLED[..], &[modules, disabled]].concat()).is_err());
    }
}
