//! Versions of installed packages, read from the package manager's own files; its programs are not run.
//!
//! dpkg, apk, pacman and portage keep text, FreeBSD's pkg an SQLite database, rpm a database in one of three formats
//! (`rpm`). One more package manager is a function in the list of [`find`]. A version is what the manager has on
//! record, which is no proof that a file is there.

mod rpm;
mod sqlite;

use anyhow::{Context, Result};

use self::sqlite::{Database, Value};
use crate::root::{READ_MAX, Root};

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version as the package manager writes it, such as `2.1.25-1` or `219-19.el7`.
    pub version: String,
    /// The file that says so.
    pub source: String,
}

/// How much of a package's row in FreeBSD's database is read, in bytes: origin, name and version come first.
const ROW_MAX: usize = 1024;

/// Returns the installed package of this name, or `None`.
///
/// # Errors
/// The package manager's files cannot be read.
pub fn find(root: &Root, name: &str) -> Result<Option<Package>> {
    for look in [dpkg, apk, pacman, portage, freebsd_pkg, rpm::find, yum_log] {
        if let Some((version, source)) = look(root, name)? {
            return Ok(Some(Package { name: name.to_owned(), version, source }));
        }
    }
    Ok(None)
}

type Found = Option<(String, String)>;

fn dpkg(root: &Root, name: &str) -> Result<Found> {
    let path = "var/lib/dpkg/status";
    let Some(text) = root.text_opt(path)? else { return Ok(None) };
    let Some(paragraph) = paragraph(&text, &format!("Package: {name}")) else { return Ok(None) };
    let field = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    // `deinstall ok config-files` is a package that was removed
    let is_installed = field("Status: ").is_some_and(|status| status.ends_with(" installed"));
    let version = field("Version: ").filter(|_| is_installed);
    Ok(version.map(|version| (version.to_owned(), path.to_owned())))
}

fn apk(root: &Root, name: &str) -> Result<Found> {
    let path = "lib/apk/db/installed";
    let Some(text) = root.text_opt(path)? else { return Ok(None) };
    let paragraph = paragraph(&text, &format!("P:{name}"));
    let version = paragraph.and_then(|p| p.lines().find_map(|line| line.strip_prefix("V:")));
    Ok(version.map(|version| (version.to_owned(), path.to_owned())))
}

/// Returns the paragraph that has this line, without taking the thousand others apart.
fn paragraph<'t>(text: &'t str, line: &str) -> Option<&'t str> {
    let is_whole = |at: &usize| {
        let rest = text[at + line.len()..].lines().next();
        (*at == 0 || text.as_bytes()[at - 1] == b'\n') && rest.is_none_or(str::is_empty)
    };
    let at = text.match_indices(line).map(|(at, _)| at).find(is_whole)?;
    let start = text[..at].rfind("\n\n").map_or(0, |end| end + 2);
    text[start..].split("\n\n").next()
}

/// One directory a package, `NAME-VERSION-RELEASE`.
fn pacman(root: &Root, name: &str) -> Result<Found> {
    directory(root, "var/lib/pacman/local", name)
}

/// One directory a package, `CATEGORY/NAME-VERSION`.
fn portage(root: &Root, name: &str) -> Result<Found> {
    for category in root.read_dir("var/db/pkg")? {
        let found = directory(root, &format!("var/db/pkg/{}", category.name), name)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn directory(root: &Root, dir: &str, name: &str) -> Result<Found> {
    let version = |entry: &str| {
        let rest = entry.strip_prefix(name)?.strip_prefix('-')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| rest.to_owned())
    };
    let mut entries = root.read_dir(dir)?.into_iter();
    Ok(entries.find_map(|entry| Some((version(&entry.name)?, format!("{dir}/{}", entry.name)))))
}

fn freebsd_pkg(root: &Root, name: &str) -> Result<Found> {
    let path = "var/db/pkg/local.sqlite";
    let Some((file, size)) = root.open_file(path)? else { return Ok(None) };
    let found = Database::open(file, size).and_then(|mut database| {
        database.find("packages", ROW_MAX, |row| match row {
            // id, origin, name, version, … (pkg, libpkg/pkgdb.c)
            [_, _, Value::Bytes(of), Value::Bytes(version), ..] if *of == name.as_bytes() => {
                Some(String::from_utf8_lossy(version).into_owned())
            }
            _ => None,
        })
    });
    let version = found.with_context(|| format!("reading {path}"))?;
    Ok(version.map(|version| (version, path.to_owned())))
}

/// Where rpm's database is gone, yum's log still says what it did last to a package.
fn yum_log(root: &Root, name: &str) -> Result<Found> {
    let path = "var/log/yum.log";
    let Some(tail) = root.tail_opt(path, READ_MAX)? else { return Ok(None) };
    let done = |line: &str| -> Option<Option<String>> {
        let (action, package) = ["Installed: ", "Updated: ", "Erased: "]
            .iter()
            .find_map(|action| line.split_once(action).map(|(_, package)| (*action, package.trim())))?;
        // an epoch stands before the name: `1:NAME-VERSION-RELEASE.ARCH`
        let package = package.split_once(':').map_or(package, |(_, package)| package);
        let version = package.strip_prefix(name)?.strip_prefix('-')?;
        let version = version.rsplit_once('.').map_or(version, |(version, _arch)| version);
        let is_version = version.starts_with(|c: char| c.is_ascii_digit());
        is_version.then(|| (action != "Erased: ").then(|| version.to_owned()))
    };
    let last = tail.text.lines().filter_map(done).next_back().flatten();
    Ok(last.map(|version| (version, path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &[u8]) -> Option<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        find(&Root::open(dir.path()).unwrap(), "nova-agent").unwrap().map(|p| (p.version, p.source))
    }

    #[test]
    fn every_package_manager_is_read() {
        let dpkg = "Package: python3-nova-agent\nStatus: install ok installed\nVersion: 9\n\nPackage: nova-agent\nStatus: install ok installed\nVersion: 2.1.25-1\n";
        let apk = "P:nova-agent-doc\nV:9\n\nC:Q1\nP:nova-agent\nV:2.1.25-r0\n";
        for (path, text, version) in [
            ("var/lib/dpkg/status", dpkg.as_bytes(), "2.1.25-1"),
            ("lib/apk/db/installed", apk.as_bytes(), "2.1.25-r0"),
            ("var/lib/pacman/local/nova-agent-2.1.25-1/desc", b"", "2.1.25-1"),
            ("var/db/pkg/app-emulation/nova-agent-2.1.25/CONTENTS", b"", "2.1.25"),
        ] {
            assert_eq!(found(path, text).map(|f| f.0).as_deref(), Some(version), "{path}");
        }
    }

    #[test]
    fn a_paragraph_is_found_by_a_whole_line() {
        let text = "A: xy\nC: A: x\n\nB: 1\r\nA: x\r\nC: 2\n\nA: x\n";
        for (text, line, expected) in [
            (text, "A: x", Some("B: 1\r\nA: x\r\nC: 2")),
            (text, "A: xy", Some("A: xy\nC: A: x")),
            (text, "A: ", None),
            ("A: x", "A: x", Some("A: x")),
            ("", "A: x", None),
        ] {
            assert_eq!(paragraph(text, line), expected, "{line}");
        }
    }

    #[test]
    fn yums_log_says_what_was_done_last() {
        let log = "Dec 01 Installed: nova-agent-2.1.20-1.el7.noarch\nDec 14 Updated: 1:nova-agent-2.1.25-1.el7.noarch\nDec 14 Updated: nova-agent-doc-9-1.noarch\n";
        assert_eq!(found("var/log/yum.log", log.as_bytes()).map(|f| f.0).as_deref(), Some("2.1.25-1.el7"));
        let erased = format!("{log}Dec 15 Erased: nova-agent-2.1.25-1.el7.noarch\n");
        assert_eq!(found("var/log/yum.log", erased.as_bytes()), None);
    }

    #[test]
    fn a_package_that_was_removed_is_none() {
        let text = "Package: nova-agent\nStatus: deinstall ok config-files\nVersion: 2.1.25-1\n";
        assert_eq!(found("var/lib/dpkg/status", text.as_bytes()), None);
    }
}
