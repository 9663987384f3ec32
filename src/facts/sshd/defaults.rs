//! What an sshd does when its configuration says nothing: that depends on the release and on who built it.

use anyhow::Result;

use crate::facts::os::{Base, Os};
use crate::facts::packages;
use crate::root::Root;

/// `PermitRootLogin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootLogin {
    /// By every method.
    Yes,
    /// Not by a password.
    KeysOnly,
    /// By a key that runs one command.
    CommandsOnly,
    /// Never.
    No,
}

impl RootLogin {
    /// Returns what a value means, or `None` for one that sshd does not take.
    pub fn of(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "yes" => Some(Self::Yes),
            "prohibit-password" | "without-password" => Some(Self::KeysOnly),
            "forced-commands-only" => Some(Self::CommandsOnly),
            "no" => Some(Self::No),
            _ => None,
        }
    }

    /// Returns the value as sshd_config has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::KeysOnly => "prohibit-password",
            Self::CommandsOnly => "forced-commands-only",
            Self::No => "no",
        }
    }
}

/// The defaults of one sshd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `PermitRootLogin`.
    pub root_login: RootLogin,
    /// `PasswordAuthentication`.
    pub password: bool,
    /// `UsePAM`.
    pub pam: bool,
    /// The build they are of, in words.
    pub build: String,
}

impl Defaults {
    /// Returns the defaults of a system's sshd.
    ///
    /// # Errors
    /// The package manager's files cannot be read.
    pub fn of(root: &Root, os: &Os) -> Result<Self> {
        let mut version = None;
        for package in ["openssh-server", "openssh"] {
            version = packages::find(root, package)?.map(|package| package.version);
            if version.is_some() {
                break;
            }
        }
        Ok(Self::known(os.base, &os.id, os.major(), version.as_deref()))
    }

    fn known(base: Base, id: &str, major: Option<u32>, version: Option<&str>) -> Self {
        let number = version.and_then(release);
        let name = match &number {
            Some((major, minor)) => format!("OpenSSH {major}.{minor}"),
            None => "OpenSSH".to_owned(),
        };
        // FreeBSD's own servconf.c
        if base == Base::FreeBsd {
            let build = format!("{name} of FreeBSD");
            return Self { root_login: RootLogin::No, password: false, pam: true, build };
        }
        let is_old = number.map_or_else(|| shipped_before_7(base, id, major), |number| number < (7, 0));
        // Red Hat kept yes until EL7 (7.4p1), SUSE until SLE 15 (allow_root_password_login.patch)
        let is_kept = match base {
            Base::RedHat => id != "fedora" && id != "amzn" && major.is_some_and(|major| major <= 7),
            Base::Suse => {
                id != "opensuse-tumbleweed" && major.is_some_and(|major| major <= 15 || major == 42)
            }
            _ => false,
        };
        let root_login = if is_old || is_kept { RootLogin::Yes } else { RootLogin::KeysOnly };
        let build = if is_kept && !is_old { format!("{name} of this distribution") } else { name };
        Self { root_login, password: true, pam: false, build }
    }
}

/// OpenSSH 7.0 came in 2015.
fn shipped_before_7(base: Base, id: &str, major: Option<u32>) -> bool {
    let Some(major) = major else { return false };
    match base {
        Base::RedHat if id == "fedora" => major <= 22,
        Base::RedHat => major <= 6,
        Base::Debian if id == "ubuntu" => major <= 15,
        Base::Debian => major <= 8,
        Base::Suse => major <= 11,
        _ => false,
    }
}

/// Major and minor of `1:9.2p1-2+deb12u10`, `7.4p1-23.el7_9`, `9.6_p1-r0`.
fn release(version: &str) -> Option<(u32, u32)> {
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_build_has_its_default() {
        use RootLogin::{KeysOnly, No, Yes};
        for (base, id, major, version, want) in [
            (Base::RedHat, "centos", 6, Some("5.3p1-124.el6_10"), Yes),
            (Base::RedHat, "centos", 7, Some("7.4p1-23.el7_9"), Yes),
            (Base::RedHat, "centos", 7, None, Yes),
            (Base::RedHat, "almalinux", 8, Some("8.0p1-25.el8_10"), KeysOnly),
            (Base::RedHat, "almalinux", 9, None, KeysOnly),
            (Base::RedHat, "fedora", 41, None, KeysOnly),
            (Base::Debian, "debian", 8, Some("1:6.7p1-5+deb8u8"), Yes),
            (Base::Debian, "debian", 12, Some("1:9.2p1-2+deb12u10"), KeysOnly),
            (Base::Debian, "ubuntu", 14, None, Yes),
            (Base::Debian, "ubuntu", 22, None, KeysOnly),
            (Base::Suse, "opensuse-leap", 15, Some("8.4p1-150300.3.9.1"), Yes),
            (Base::Alpine, "alpine", 3, Some("9.6_p1-r0"), KeysOnly),
            (Base::FreeBsd, "freebsd", 13, None, No),
        ] {
            assert_eq!(
                Defaults::known(base, id, Some(major), version).root_login,
                want,
                "{id} {major} {version:?}"
            );
        }
    }
}
