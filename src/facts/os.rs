//! The distribution and its release.
//!
//! Read from os-release, else from the release files of systems that are older than it, back to CentOS 5. One more
//! distribution is a line in [`base_of`], and one in [`FILES`] when it has no os-release. It refuses to guess: what no
//! file says stays unknown, and what could not be read is said in [`Os::source`].

use serde::Serialize;

use super::shell;
use crate::root::{Kind, Root};

/// Characters that are kept of a word or name of a file; real ones are far shorter.
const TEXT_MAX: usize = 200;

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
    /// Release as its users say it: os-release's `VERSION_ID` (`12`, `22.04`, `9.4`), and in the RHEL family the
    /// release file's when that is more exact (`7.9.2009` where os-release says `7`). Debian's point releases are not
    /// told apart. `trixie/sid` before a release; empty when no file says.
    pub version: String,
    /// Name for people, such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// The group whose ways it follows.
    pub base: Base,
    /// The kind of kernel.
    pub family: Family,
    /// The file that says so, the one with the version when there are two; for an unknown system why it could not be
    /// read, empty when there is nothing to read.
    pub source: String,
}

impl Os {
    /// Returns the distribution whose files are in the root.
    pub fn of(root: &Root) -> Self {
        let mut trouble = String::new();
        for (path, read) in FILES {
            match root.text_opt(path) {
                Ok(Some(text)) => {
                    if let Some(os) = read(&text) {
                        return Self { source: (*path).to_owned(), ..os }.refined(root).clipped();
                    }
                }
                Ok(None) => {}
                Err(e) if trouble.is_empty() => trouble = format!("{e:#}"),
                Err(e) => tracing::debug!("{e:#}"),
            }
        }
        match windows_dir(root) {
            Ok(Some(dir)) => {
                return Self { family: Family::Windows, source: dir, ..new("windows", "", "Windows") };
            }
            Ok(None) => {}
            Err(e) if trouble.is_empty() => trouble = format!("{e:#}"),
            Err(e) => tracing::debug!("{e:#}"),
        }
        Self { source: trouble, ..new("unknown", "", "") }
    }

    /// Returns the first number of the release, such as 7 for `7.9.2009`; `None` for a rolling one.
    pub fn major(&self) -> Option<u32> {
        self.version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Takes the more exact release of another file, where users say that one.
    fn refined(self, root: &Root) -> Self {
        let files: &[&str] = match self.base {
            Base::RedHat => &["etc/centos-release", "etc/oracle-release", "etc/redhat-release"],
            Base::Debian if self.id == "debian" && self.version.is_empty() => &["etc/debian_version"],
            _ => return self,
        };
        for path in files {
            let text = match root.text_opt(path) {
                Ok(text) => text.unwrap_or_default(),
                Err(e) => {
                    tracing::debug!("{e:#}");
                    continue;
                }
            };
            let version = if self.base == Base::Debian { first_line(&text) } else { release_in(&text) };
            let is_finer = version.strip_prefix(self.version.as_str()).is_some_and(|rest| {
                if self.version.is_empty() { !rest.is_empty() } else { rest.starts_with('.') }
            });
            if is_finer {
                return Self { version: version.to_owned(), source: (*path).to_owned(), ..self };
            }
        }
        self
    }

    fn clipped(self) -> Self {
        let clip = |text: String| text.chars().take(TEXT_MAX).collect();
        Self { id: clip(self.id), version: clip(self.version), name: clip(self.name), ..self }
    }
}

/// Reads the text of a file; `None` when it does not say which system it is.
type Read = fn(&str) -> Option<Os>;

/// The files that say it, the most telling first: derivatives carry the files of what they are derived from.
const FILES: &[(&str, Read)] = &[
    ("etc/os-release", os_release),
    ("usr/lib/os-release", os_release),
    ("etc/oracle-release", release_line),
    ("etc/enterprise-release", release_line), // Oracle 5
    ("etc/fedora-release", release_line),
    ("etc/centos-release", release_line), // CentOS 6 and later
    ("etc/redhat-release", release_line),
    ("etc/system-release", release_line), // Amazon
    ("etc/SuSE-release", suse_release),
    ("etc/alpine-release", |text| Some(numbered("alpine", "Alpine Linux", first_line(text)))),
    ("etc/arch-release", |_| Some(new("arch", "", "Arch Linux"))),
    ("etc/gentoo-release", |text| Some(new("gentoo", last_word(text), first_line(text)))),
    ("etc/lsb-release", lsb_release), // Ubuntu before os-release
    ("etc/debian_version", |text| Some(numbered("debian", "Debian GNU/Linux", first_line(text)))),
    ("bin/freebsd-version", freebsd_version),
    ("etc/defaults/rc.conf", freebsd_defaults), // FreeBSD 9
];

fn new(id: &str, version: &str, name: &str) -> Os {
    let base = base_of(id);
    let family = if base == Base::FreeBsd { Family::FreeBsd } else { Family::Linux };
    let (id, version, name) = (id.to_owned(), version.to_owned(), name.to_owned());
    Os { id, version, name, base, family, source: String::new() }
}

fn numbered(id: &str, name: &str, version: &str) -> Os {
    new(id, version, format!("{name} {version}").trim_end())
}

/// The group of an os-release ID. Distributions that name another one in `ID_LIKE` need no line here.
fn base_of(id: &str) -> Base {
    match id.to_ascii_lowercase().as_str() {
        "rhel" | "centos" | "fedora" | "almalinux" | "rocky" | "ol" | "amzn" | "cloudlinux"
        | "scientific" | "virtuozzo" | "eurolinux" | "openeuler" => Base::RedHat,
        "debian" | "ubuntu" => Base::Debian,
        "sles" | "sled" | "suse" | "opensuse" => Base::Suse,
        "alpine" => Base::Alpine,
        "arch" => Base::Arch,
        "gentoo" => Base::Gentoo,
        "coreos" | "flatcar" => Base::CoreOs,
        "freebsd" => Base::FreeBsd,
        _ => Base::Unknown,
    }
}

/// os-release(5).
fn os_release(text: &str) -> Option<Os> {
    let (mut id, mut like, mut version) = (String::new(), String::new(), String::new());
    let (mut name, mut pretty) = (String::new(), String::new());
    for assignment in shell::assignments(text) {
        match assignment.name {
            "ID" => id = assignment.value,
            "ID_LIKE" => like = assignment.value,
            "VERSION_ID" => version = assignment.value,
            "NAME" => name = assignment.value,
            "PRETTY_NAME" => pretty = assignment.value,
            _ => {}
        }
    }
    if id.is_empty() {
        return None;
    }
    let name = if pretty.is_empty() { format!("{name} {version}").trim().to_owned() } else { pretty };
    let own = new(&id, &version, &name);
    if own.base != Base::Unknown {
        return Some(own);
    }
    let like = like.split_whitespace().map(base_of).find(|base| *base != Base::Unknown);
    Some(Os { base: like.unwrap_or(Base::Unknown), ..own })
}

/// `CentOS release 5.11 (Final)` and its like. A name that is not known follows the ways of the RHEL family: it has
/// that family's file.
fn release_line(text: &str) -> Option<Os> {
    const IDS: [(&str, &str); 11] = [
        ("CentOS", "centos"),
        ("Red Hat", "rhel"),
        ("Fedora", "fedora"),
        ("Oracle", "ol"),
        ("Enterprise Linux", "ol"),
        ("Scientific", "scientific"),
        ("Amazon", "amzn"),
        ("CloudLinux", "cloudlinux"),
        ("AlmaLinux", "almalinux"),
        ("Rocky", "rocky"),
        ("Virtuozzo", "virtuozzo"),
    ];
    let line = first_line(text);
    let first_word = line.split_whitespace().next()?.to_ascii_lowercase();
    let known = IDS.iter().find(|(start, _)| line.starts_with(start)).map(|(_, id)| *id);
    let os = new(known.unwrap_or(&first_word), release_in(line), line);
    Some(Os { base: Base::RedHat, ..os })
}

/// The word after `release`.
fn release_in(text: &str) -> &str {
    let mut words = first_line(text).split_whitespace();
    words.find(|word| *word == "release");
    words.next().unwrap_or_default()
}

fn suse_release(text: &str) -> Option<Os> {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).next_back()
    };
    let name = first_line(text);
    let id = match name {
        _ if name.starts_with("openSUSE") => "opensuse",
        _ if name.contains("Desktop") => "sled",
        _ => "sles",
    };
    let version = value("VERSION")?;
    match value("PATCHLEVEL") {
        Some(level) if level != "0" && !version.contains('.') => {
            Some(new(id, &format!("{version}.{level}"), name))
        }
        _ => Some(new(id, version, name)),
    }
}

fn lsb_release(text: &str) -> Option<Os> {
    let id = shell::last(text, "DISTRIB_ID")?.value;
    let value = |name| shell::last(text, name).map(|assignment| assignment.value).unwrap_or_default();
    let (version, name) = (value("DISTRIB_RELEASE"), value("DISTRIB_DESCRIPTION"));
    let name = if name.is_empty() { format!("{id} {version}") } else { name };
    Some(new(&id.to_ascii_lowercase(), &version, &name))
}

fn freebsd_version(text: &str) -> Option<Os> {
    let full = shell::last(text, "USERLAND_VERSION")?.value;
    let version = full.split('-').next().unwrap_or_default();
    Some(new("freebsd", version, &format!("FreeBSD {full}")))
}

fn freebsd_defaults(text: &str) -> Option<Os> {
    // NetBSD has the file as well; the version-control line tells them apart.
    text.contains("$FreeBSD").then(|| new("freebsd", "", "FreeBSD"))
}

/// Returns `Windows/System32/config` as it is spelled, where it is a directory.
fn windows_dir(root: &Root) -> anyhow::Result<Option<String>> {
    let mut path = String::new();
    for name in ["Windows", "System32", "config"] {
        let entries = root.read_dir(if path.is_empty() { "." } else { &path })?;
        let Some(entry) = entries.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        path = if path.is_empty() { entry.name } else { format!("{path}/{}", entry.name) };
    }
    Ok(root.stat_opt(&path)?.is_some_and(|stat| stat.kind == Kind::Dir).then_some(path))
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

fn last_word(text: &str) -> &str {
    first_line(text).split_whitespace().last().unwrap_or_default()
}

#[cfg(test)]
mod tests;
