//! The distribution and its release.

use serde::Serialize;

use crate::root::Root;

/// What kind of kernel the system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Any Linux distribution.
    Linux,
    /// FreeBSD.
    FreeBsd,
    /// Windows.
    Windows,
}

/// The group of distributions whose ways a system follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// RHEL, CentOS, Fedora, Alma, Rocky, Oracle, Amazon, CloudLinux, Scientific.
    RedHat,
    /// Debian, Ubuntu.
    Debian,
    /// SLES, openSUSE.
    Suse,
    /// Alpine.
    Alpine,
    /// Arch.
    Arch,
    /// Gentoo.
    Gentoo,
    /// CoreOS, Flatcar.
    CoreOs,
    /// FreeBSD.
    FreeBsd,
    /// None of these, or no file says.
    Unknown,
}

/// The distribution of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Os {
    /// os-release's ID, or the same word for systems that are older than that file; `unknown` when no file says.
    pub id: String,
    /// Release, such as `12` or `7.9`; empty when no file says.
    pub version: String,
    /// Name for people, such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// The group whose ways it follows.
    pub base: Base,
    /// The kind of kernel.
    pub family: Family,
    /// The file that says so.
    pub source: String,
}

impl Os {
    /// Returns the distribution whose files are in the root.
    pub fn of(_root: &Root) -> Self {
        Self {
            id: "unknown".to_owned(),
            version: String::new(),
            name: String::new(),
            base: Base::Unknown,
            family: Family::Linux,
            source: String::new(),
        }
    }
}
