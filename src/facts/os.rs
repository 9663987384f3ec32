//! The distribution and its release.
//!
//! os-release(5) where there is one, else the release files of the systems that are older than it, back to CentOS 5.
//! Never from `uname`: on a mounted disk that would be the rescue system's.

use serde::Serialize;

use crate::root::{Kind, Root};

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
    /// Release as os-release gives it, such as `12` or `22.04`; empty when no file says.
    pub version: String,
    /// Name for people, such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// The group whose ways it follows.
    pub base: Base,
    /// The kind of kernel.
    pub family: Family,
    /// The file that says so, or why none could be read.
    pub source: String,
}

/// Release files of systems without os-release, the special ones before those that derived systems keep as well.
const RELEASE_FILES: [(&str, &str); 9] = [
    ("etc/oracle-release", "ol"),
    ("etc/centos-release", "centos"),
    ("etc/fedora-release", "fedora"),
    ("etc/redhat-release", "rhel"),
    ("etc/system-release", "amzn"),
    ("etc/SuSE-release", "opensuse"),
    ("etc/alpine-release", "alpine"),
    ("etc/gentoo-release", "gentoo"),
    ("etc/arch-release", "arch"),
];

impl Os {
    /// Returns the distribution whose files are in the root.
    pub fn of(root: &Root) -> Self {
        windows(root)
            .or_else(|| os_release(root))
            .or_else(|| RELEASE_FILES.iter().find_map(|(path, id)| release_file(root, path, id)))
            .or_else(|| lsb_release(root))
            .or_else(|| debian_version(root))
            .or_else(|| freebsd(root))
            .unwrap_or_else(|| unknown(root))
    }

    /// Returns the first number of the release: `6` of `6.10`, `22` of `22.04`.
    pub fn major(&self) -> Option<u32> {
        self.version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    fn new(id: &str, like: &[&str], version: String, name: String, source: &str) -> Self {
        let base =
            std::iter::once(id).chain(like.iter().copied()).map(base_of).find(|base| *base != Base::Unknown);
        let base = base.unwrap_or(Base::Unknown);
        let family = if base == Base::FreeBsd { Family::FreeBsd } else { Family::Linux };
        Self { id: id.to_owned(), version, name, base, family, source: source.to_owned() }
    }
}

/// Returns the group of an os-release ID, or of a word of ID_LIKE.
fn base_of(id: &str) -> Base {
    match id {
        "rhel" | "centos" | "fedora" | "almalinux" | "rocky" | "ol" | "oracle" | "amzn" | "cloudlinux"
        | "scientific" | "virtuozzo" | "eurolinux" | "openeuler" | "redhat" => Base::RedHat,
        "debian" | "ubuntu" | "devuan" | "raspbian" | "linuxmint" | "kali" => Base::Debian,
        "suse" | "sles" | "sled" | "sle_hpc" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => {
            Base::Suse
        }
        "alpine" => Base::Alpine,
        "arch" | "archlinux" | "manjaro" => Base::Arch,
        "gentoo" => Base::Gentoo,
        "coreos" | "flatcar" => Base::CoreOs,
        "freebsd" => Base::FreeBsd,
        _ => Base::Unknown,
    }
}

fn os_release(root: &Root) -> Option<Os> {
    ["etc/os-release", "usr/lib/os-release"].into_iter().find_map(|path| {
        let text = text(root, path)?;
        let fields = assignments(&text);
        let get = |key: &str| fields.iter().rev().find(|(k, _)| *k == key).map(|(_, value)| value.clone());
        let id = get("ID").filter(|id| !id.is_empty())?.to_lowercase();
        let like = get("ID_LIKE").unwrap_or_default().to_lowercase();
        let like: Vec<&str> = like.split_whitespace().collect();
        let version = get("VERSION_ID").unwrap_or_default();
        let name = get("PRETTY_NAME").or_else(|| get("NAME")).unwrap_or_else(|| id.clone());
        Some(Os::new(&id, &like, version, name, path))
    })
}

/// Reads `CentOS release 6.10 (Final)` and the like.
fn release_file(root: &Root, path: &str, id: &str) -> Option<Os> {
    let text = text(root, path)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let lower = line.to_lowercase();
    // CentOS 5 and the clones of RHEL have only redhat-release, and say in it what they are
    let clones = [
        ("centos", "centos"),
        ("scientific", "scientific"),
        ("cloudlinux", "cloudlinux"),
        ("oracle", "ol"),
        ("almalinux", "almalinux"),
        ("rocky", "rocky"),
        ("fedora", "fedora"),
        ("amazon", "amzn"),
        ("suse linux enterprise", "sles"),
    ];
    let id = clones.into_iter().find(|(word, _)| lower.contains(word)).map_or(id, |(_, id)| id);
    let name = if line.is_empty() { id } else { line };
    let version = number_in(line).unwrap_or_default();
    Some(Os::new(id, &[], version, name.to_owned(), path))
}

/// Ubuntu before os-release (10.04).
fn lsb_release(root: &Root) -> Option<Os> {
    let path = "etc/lsb-release";
    let text = text(root, path)?;
    let fields = assignments(&text);
    let get = |key: &str| fields.iter().find(|(k, _)| *k == key).map(|(_, value)| value.clone());
    let id = get("DISTRIB_ID")?.to_lowercase();
    let version = get("DISTRIB_RELEASE").unwrap_or_default();
    let name = get("DISTRIB_DESCRIPTION").unwrap_or_else(|| format!("{id} {version}"));
    Some(Os::new(&id, &[], version, name, path))
}

fn debian_version(root: &Root) -> Option<Os> {
    let path = "etc/debian_version";
    let version = text(root, path)?.trim().to_owned();
    Some(Os::new("debian", &[], version.clone(), format!("Debian {version}"), path))
}

/// FreeBSD before 13 has no os-release on the disk; its script `freebsd-version` holds the release.
fn freebsd(root: &Root) -> Option<Os> {
    let path = "etc/defaults/rc.conf";
    text(root, path)?;
    let version = text(root, "bin/freebsd-version").and_then(|script| {
        let fields = assignments(&script);
        fields.into_iter().find(|(key, _)| *key == "USERLAND_VERSION").map(|(_, value)| value)
    });
    let version = version.unwrap_or_default();
    Some(Os::new("freebsd", &[], version.clone(), format!("FreeBSD {version}").trim().to_owned(), path))
}

/// A Windows disk: its directory may be spelt in any case, and Linux looks at case.
fn windows(root: &Root) -> Option<Os> {
    let named = |dir: &str, name: &str| -> Option<String> {
        let entries = root.read_dir(dir).ok()?;
        let entry = entries.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(name))?;
        Some(if dir == "." { entry.name } else { format!("{dir}/{}", entry.name) })
    };
    let config = named(&named(&named(".", "Windows")?, "System32")?, "config")?;
    let hive = named(&config, "SYSTEM")?;
    Some(Os {
        id: "windows".to_owned(),
        version: String::new(),
        name: "Windows".to_owned(),
        base: Base::Unknown,
        family: Family::Windows,
        source: hive,
    })
}

fn unknown(root: &Root) -> Os {
    // a file that is there and cannot be read is worth a word
    let source = match root.read_opt("etc/os-release") {
        Err(e) => format!("{e:#}"),
        Ok(_) => "no release file".to_owned(),
    };
    Os::new("unknown", &[], String::new(), "unknown system".to_owned(), &source)
}

fn text(root: &Root, path: &str) -> Option<String> {
    match root.stat_opt(path) {
        Ok(Some(stat)) if stat.kind == Kind::File => root.text_opt(path).ok().flatten(),
        _ => None,
    }
}

/// Reads the shell-like assignments of os-release(5): quoted in either way, backslash escapes in double quotes.
fn assignments(text: &str) -> Vec<(&str, String)> {
    let assignment = |line: &'_ str| -> Option<usize> {
        let equals = line.find('=')?;
        let key = &line[..equals];
        let is_sound = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_sound.then_some(equals)
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| assignment(line).map(|at| (&line[..at], unquoted(&line[at + 1..])))).collect()
}

fn unquoted(value: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => out.extend(chars.next()),
            // an unquoted blank ends the value, the rest is no part of it
            (' ' | '\t', None) => break,
            (c, _) => out.push(c),
        }
    }
    out
}

/// Returns the first word that begins with a digit, such as `6.10`.
fn number_in(line: &str) -> Option<String> {
    let words = line.split(|c: char| c.is_whitespace() || c == '(' || c == ')');
    words
        .map(|word| word.trim_start_matches('v'))
        .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn os(files: &[(&str, &str)]) -> Os {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Os::of(&Root::open(dir.path()).unwrap())
    }

    #[test]
    fn every_distribution_is_told_by_its_files() {
        use Base::*;
        for (files, id, version, base) in [
            (&[("etc/redhat-release", "CentOS release 5.11 (Final)\n")][..], "centos", "5.11", RedHat),
            (
                &[("etc/redhat-release", "Red Hat Enterprise Linux Server release 6.9 (Santiago)\n")],
                "rhel",
                "6.9",
                RedHat,
            ),
            (
                &[
                    ("etc/centos-release", "CentOS release 6.10 (Final)\n"),
                    ("etc/redhat-release", "CentOS release 6.10 (Final)\n"),
                ],
                "centos",
                "6.10",
                RedHat,
            ),
            (
                &[
                    (
                        "etc/os-release",
                        "NAME=\"CentOS Linux\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n",
                    ),
                    ("etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n"),
                ],
                "centos",
                "7",
                RedHat,
            ),
            (
                &[(
                    "etc/os-release",
                    "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n",
                )],
                "almalinux",
                "9.3",
                RedHat,
            ),
            (&[("etc/os-release", "ID=nobara\nID_LIKE=\"fedora\"\n")], "nobara", "", RedHat),
            (
                &[
                    ("etc/oracle-release", "Oracle Linux Server release 6.10\n"),
                    ("etc/redhat-release", "Red Hat …"),
                ],
                "ol",
                "6.10",
                RedHat,
            ),
            (&[("etc/system-release", "Amazon Linux AMI release 2018.03\n")], "amzn", "2018.03", RedHat),
            (
                &[("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"), ("etc/debian_version", "12.5\n")],
                "debian",
                "12",
                Debian,
            ),
            (
                &[("etc/os-release", "ID=debian\nVERSION_ID=12\n"), ("etc/debian_version", "trixie/sid\n")],
                "debian",
                "12",
                Debian,
            ),
            (&[("etc/debian_version", "6.0.10\n")], "debian", "6.0.10", Debian),
            (
                &[("usr/lib/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n")],
                "ubuntu",
                "22.04",
                Debian,
            ),
            (
                &[
                    ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\n"),
                    ("etc/debian_version", "squeeze/sid\n"),
                ],
                "ubuntu",
                "10.04",
                Debian,
            ),
            (
                &[(
                    "etc/os-release",
                    "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.5\"\n",
                )],
                "opensuse-leap",
                "15.5",
                Suse,
            ),
            (
                &[("etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\n")],
                "sles",
                "11",
                Suse,
            ),
            (&[("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n")], "alpine", "3.19.1", Alpine),
            (&[("etc/alpine-release", "3.1.4\n")], "alpine", "3.1.4", Alpine),
            (&[("etc/arch-release", "")], "arch", "", Arch),
            (&[("etc/gentoo-release", "Gentoo Base System release 2.14\n")], "gentoo", "2.14", Gentoo),
            (
                &[("etc/os-release", "ID=flatcar\nID_LIKE=coreos\nVERSION_ID=3815.2.0\n")],
                "flatcar",
                "3815.2.0",
                CoreOs,
            ),
            (
                &[
                    ("etc/defaults/rc.conf", ""),
                    ("bin/freebsd-version", "#!/bin/sh\nUSERLAND_VERSION=\"12.4-RELEASE-p9\"\n"),
                ],
                "freebsd",
                "12.4-RELEASE-p9",
                FreeBsd,
            ),
            (&[("etc/motd", "")], "unknown", "", Unknown),
        ] {
            let os = os(files);
            assert_eq!((os.id.as_str(), os.version.as_str(), os.base), (id, version, base), "{files:?}");
        }
    }

    #[test]
    fn a_windows_disk_is_told_in_any_case() {
        let os = os(&[("WINDOWS/system32/Config/SYSTEM", "regf")]);
        assert_eq!((os.id.as_str(), os.family), ("windows", Family::Windows));
    }

    #[test]
    fn quotes_and_comments_are_read_as_a_shell_would() {
        let text = "#ID=no\nID='a b'\nNAME=\"x \\\"y\\\" \\$z\"\n BARE=word # rest\n=bad\nno equals\n";
        let read = assignments(text);
        let expected = [("ID", "a b"), ("NAME", "x \"y\" $z"), ("BARE", "word")];
        assert_eq!(read, expected.map(|(key, value)| (key, value.to_owned())));
    }

    #[test]
    fn the_major_release_is_a_number() {
        assert_eq!(os(&[("etc/debian_version", "6.0.10\n")]).major(), Some(6));
        assert_eq!(os(&[("etc/debian_version", "trixie/sid\n")]).major(), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n|\"|'|\\\\|=){0,80}") {
            assignments(&text);
            number_in(&text);
        }
    }
}
