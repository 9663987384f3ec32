//! `kmsactivate`: register RHEL with the provider's server.
//!
//! RHN Classic (`rhnreg_ks`) where it still is, as nova-agent did; else subscription-manager, which needs the name of an
//! organization beside the key. Both take the key on their command line and in no other way, so it is never logged and
//! never journaled.

use anyhow::{Result, bail};
use serde::Deserialize;

use super::Reply;
use crate::exec::Cmd;
use crate::plan::{FileChange, Plan};
use crate::target::Target;

/// How long registering may take; the host gives a command 30 s.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(25);

const UP2DATE: &str = "etc/sysconfig/rhn/up2date";
const SYSTEM_ID: &str = "etc/sysconfig/rhn/systemid";
/// What the programs of RHN Classic trust (rhn-client-tools).
const CERTIFICATE: &str = "/usr/share/rhn/RHNS-CA-CERT";
const RHNREG: &str = "usr/sbin/rhnreg_ks";
const SUBSCRIPTION_MANAGER: &str = "usr/sbin/subscription-manager";

/// What the provider's tooling sends.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Activation {
    activation_key: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    domains: Domains,
    /// Not known to nova-agent; subscription-manager cannot do without.
    #[serde(default)]
    org: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Domains {
    One(String),
    Several(Vec<String>),
}

impl Default for Domains {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl std::fmt::Debug for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Activation({:?}, {:?})", self.profile, self.domains)
    }
}

/// How this system registers.
pub struct Registration {
    /// The files that come first.
    pub plan: Plan,
    /// The program that then registers.
    pub program: Cmd,
}

impl Activation {
    /// Reads the value: an object, or the text of one.
    ///
    /// # Errors
    /// It is not of that form, or a member could be taken for an option or leave its line.
    pub fn parse(json: &str) -> Result<Self, Reply> {
        let inner: Option<String> = serde_json::from_str(json).ok();
        let json = inner.as_deref().unwrap_or(json);
        let activation: Self = serde_json::from_str(json)
            .map_err(|e| Reply::failed(format!("kmsactivate: the value is not what is expected: {e}")))?;
        if activation.words().iter().any(|word| !is_plain(word)) {
            return Err(Reply::failed(
                "kmsactivate: a value holds characters that no key, profile or domain has",
            ));
        }
        if activation.activation_key.is_empty() {
            return Err(Reply::failed("kmsactivate: there is no activation key"));
        }
        Ok(activation)
    }

    fn words(&self) -> Vec<String> {
        let mut words = self.domains();
        words.extend([self.activation_key.clone(), self.profile.clone()]);
        words.extend(self.org.clone());
        words
    }

    fn domains(&self) -> Vec<String> {
        match &self.domains {
            Domains::One(domain) => vec![domain.clone()],
            Domains::Several(domains) => domains.clone(),
        }
    }

    /// Plans how this system registers.
    ///
    /// # Errors
    /// It is no RHEL, or has nothing to register with.
    pub fn plan(&self, target: &Target) -> Result<Registration> {
        let os = target.os();
        if os.id != "rhel" {
            bail!("KMS not supported on this OS: {} is not registered with Red Hat", os.name);
        }
        if target.root.exists(RHNREG) {
            return self.classic(target);
        }
        if target.root.exists(SUBSCRIPTION_MANAGER) {
            return self.subscription();
        }
        bail!("neither rhnreg_ks nor subscription-manager is installed: there is nothing to register with")
    }

    fn classic(&self, target: &Target) -> Result<Registration> {
        let domains = self.domains();
        if domains.is_empty() {
            bail!("RHN Classic needs the domain of a server, and the host named none");
        }
        let servers: String = domains.iter().map(|domain| format!("https://{domain}/XMLRPC;")).collect();
        let plain = servers.replace("https://", "http://");
        let old = target.root.text_opt(UP2DATE)?.unwrap_or_else(|| format!("sslCACert={CERTIFICATE}\n"));
        let new = set(&set(&old, "serverURL", &servers), "noSSLServerURL", &plain);
        let files = vec![FileChange::write(UP2DATE, new), FileChange::Remove { path: SYSTEM_ID.to_owned() }];
        let key = format!("--activationkey={}", self.activation_key);
        let mut argv = vec!["rhnreg_ks", "--force", "--profilename", &self.profile];
        if self.profile.is_empty() {
            argv.truncate(2);
        }
        Ok(Registration { plan: plan(files), program: Cmd::new(&argv).with_hidden(&key).within(LIMIT) })
    }

    fn subscription(&self) -> Result<Registration> {
        let Some(org) = &self.org else {
            bail!("subscription-manager needs the organization (member org) beside the activation key");
        };
        let key = format!("--activationkey={}", self.activation_key);
        let mut argv = vec!["subscription-manager", "register", "--force", "--org", org];
        if !self.profile.is_empty() {
            argv.extend(["--name", &self.profile]);
        }
        let server = self.domains().first().map(|domain| format!("https://{domain}/rhsm"));
        if let Some(server) = &server {
            argv.extend(["--serverurl", server]);
        }
        Ok(Registration { plan: plan(Vec::new()), program: Cmd::new(&argv).with_hidden(&key).within(LIMIT) })
    }
}

/// Whether a value stays the one argument, or the one value in a file, that it is.
fn is_plain(word: &str) -> bool {
    !word.starts_with('-') && !word.chars().any(|c| c.is_control() || ";\"'\\".contains(c))
}

fn plan(files: Vec<FileChange>) -> Plan {
    Plan {
        verb: "kmsactivate",
        title: "register this system with Red Hat".to_owned(),
        files,
        activate: Vec::new(),
        steps: Vec::new(),
        ..Plan::default()
    }
}

/// Sets a key of up2date's file, where comments are keys as well (`serverURL[comment]=`).
fn set(text: &str, key: &str, value: &str) -> String {
    let line = format!("{key}={value}");
    let is_key = |line: &&str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_key(line)).collect();
    lines.push(&line);
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Change;
    use crate::xenstore::Source;

    const VALUE: &str =
        r#"{"activation_key": "1-abc", "profile": "web01", "domains": ["rhn.example.com", "b.example.com"]}"#;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Target) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let target = Target::offline(dir.path(), Source::None).unwrap();
        (dir, target)
    }

    const RHEL: (&str, &str) = (
        "etc/os-release",
        "ID=\"rhel\"\nVERSION_ID=\"6.10\"\nID_LIKE=\"fedora\"\nNAME=\"Red Hat Enterprise Linux\"\n",
    );

    #[test]
    fn rhn_classic_gets_its_servers_and_keeps_the_rest_of_its_file() {
        let old = "serverURL[comment]=Remote server URL\nserverURL=https://old/XMLRPC\nsslCACert=/usr/share/rhn/CA\n";
        let (_dir, target) = tree(&[RHEL, (RHNREG, ""), (UP2DATE, old), (SYSTEM_ID, "<old/>")]);
        let registration = Activation::parse(VALUE).unwrap().plan(&target).unwrap();
        let files: Vec<Change> = registration.plan.prepare(&target.root).unwrap().preview().files;
        assert_eq!(
            files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            [UP2DATE, SYSTEM_ID].map(|p| format!("/{p}"))
        );
        let new = set(&set(old, "serverURL", "a"), "noSSLServerURL", "b");
        assert_eq!(
            new,
            "serverURL[comment]=Remote server URL\nsslCACert=/usr/share/rhn/CA\nserverURL=a\nnoSSLServerURL=b\n"
        );
        assert_eq!(registration.program.line(), "rhnreg_ks --force --profilename web01 [hidden]");
    }

    #[test]
    fn what_cannot_be_registered_says_why() {
        let (_dir, debian) =
            tree(&[("etc/os-release", "ID=debian\nVERSION_ID=12\nNAME=\"Debian GNU/Linux\"\n")]);
        let (_dir, bare) = tree(&[RHEL]);
        let (_dir, modern) = tree(&[RHEL, (SUBSCRIPTION_MANAGER, "")]);
        let why = |target: &Target| Activation::parse(VALUE).unwrap().plan(target).err().unwrap().to_string();
        assert!(why(&debian).starts_with("KMS not supported on this OS"), "{}", why(&debian));
        assert!(why(&bare).starts_with("neither rhnreg_ks nor"), "{}", why(&bare));
        assert!(why(&modern).starts_with("subscription-manager needs the organization"), "{}", why(&modern));
        let with_org = VALUE.replacen('{', r#"{"org": "acme", "#, 1);
        let program = Activation::parse(&with_org).unwrap().plan(&modern).unwrap().program;
        assert_eq!(
            program.line(),
            "subscription-manager register --force --org acme --name web01 --serverurl https://rhn.example.com/rhsm [hidden]"
        );
    }

    #[test]
    fn what_could_be_an_option_or_another_line_is_refused() {
        for value in [
            r#"{"activation_key": "--help"}"#,
            r#"{"activation_key": ""}"#,
            r#"{"activation_key": "a\nb"}"#,
            r#"{"activation_key": "a", "domains": "x;y"}"#,
            r#"{"profile": "a"}"#,
            r#"[]"#,
            r#"7"#,
        ] {
            assert_eq!(Activation::parse(value).unwrap_err().code(), "500", "{value}");
        }
    }
}
