//! Versions of installed packages, read from the package manager's own files; its programs are not run.
//!
//! dpkg, apk, pacman and portage keep text. rpm keeps a database of its own in three formats; in all of them a
//! package's header holds name, version and release as adjacent strings (rpm, `lib/header.c`: the data of a header
//! in the order of its tags), and those are searched for. That is a search, not a query: a record that was removed
//! and not yet overwritten is found as well. So it serves to say which version, not that a file is there.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use memchr::memmem;

use crate::root::Root;

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

/// Where rpm's database can be: Berkeley DB, sqlite, ndb; Fedora and SUSE moved it below usr.
const RPM_DATABASES: [&str; 6] = [
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "var/lib/rpm/Packages",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages.db",
    "usr/lib/sysimage/rpm/Packages",
];

/// How much of rpm's database is searched, in bytes; a large server's has 150 MiB.
const SEARCHED_MAX: u64 = 256 << 20;
/// How much is searched at a time, in bytes.
const CHUNK: usize = 1 << 20;
/// The longest name, version and release together, in bytes.
const RECORD_MAX: usize = 512;

/// Returns the installed package of this name, or `None`.
///
/// # Errors
/// The package manager's files cannot be read.
pub fn find(root: &Root, name: &str) -> Result<Option<Package>> {
    for look in [dpkg, apk, pacman, portage, rpm] {
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
    let is_named =
        |paragraph: &&str| paragraph.lines().any(|line| line.strip_prefix("Package: ") == Some(name));
    let Some(paragraph) = text.split("\n\n").find(is_named) else { return Ok(None) };
    let field = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    // `deinstall ok config-files` is a package that was removed
    let is_installed = field("Status: ").is_some_and(|status| status.ends_with(" installed"));
    let version = field("Version: ").filter(|_| is_installed);
    Ok(version.map(|version| (version.to_owned(), path.to_owned())))
}

fn apk(root: &Root, name: &str) -> Result<Found> {
    let path = "lib/apk/db/installed";
    let Some(text) = root.text_opt(path)? else { return Ok(None) };
    let is_named = |paragraph: &&str| paragraph.lines().any(|line| line.strip_prefix("P:") == Some(name));
    let paragraph = text.split("\n\n").find(is_named);
    let version = paragraph.and_then(|p| p.lines().find_map(|line| line.strip_prefix("V:")));
    Ok(version.map(|version| (version.to_owned(), path.to_owned())))
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

fn rpm(root: &Root, name: &str) -> Result<Found> {
    for path in RPM_DATABASES {
        let Some((mut file, size)) = root.open_file(path)? else { continue };
        if let Some(version) = search(&mut file, size, name).with_context(|| format!("reading {path}"))? {
            return Ok(Some((version, path.to_owned())));
        }
    }
    Ok(None)
}

/// Returns the last `NAME\0VERSION\0RELEASE\0`: newer records are usually behind older ones.
fn search(file: &mut (impl Read + Seek), size: u64, name: &str) -> Result<Option<String>> {
    let needle = [name.as_bytes(), b"\0"].concat();
    let finder = memmem::Finder::new(&needle);
    let mut found = None;
    let mut at = 0;
    let mut chunk = Vec::with_capacity(CHUNK + RECORD_MAX);
    while at < size.min(SEARCHED_MAX) {
        file.seek(SeekFrom::Start(at))?;
        chunk.clear();
        // chunks overlap by one record, so that none is cut in two
        let read = (&mut *file).take((CHUNK + RECORD_MAX) as u64).read_to_end(&mut chunk)?;
        if read == 0 {
            break;
        }
        for start in finder.find_iter(&chunk).filter(|start| *start < CHUNK) {
            let is_word = start == 0 || chunk[start - 1] == 0;
            found = Some(&chunk[start + needle.len()..]).filter(|_| is_word).and_then(version).or(found);
        }
        at += CHUNK as u64;
    }
    Ok(found)
}

/// Reads `VERSION\0RELEASE\0`.
fn version(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.get(..bytes.len().min(RECORD_MAX))?.split(|&b| b == 0);
    let word = |word: &[u8]| {
        let is_sound = |b: &u8| b.is_ascii_alphanumeric() || b"._~^+".contains(b);
        (!word.is_empty() && word.iter().all(is_sound)).then(|| String::from_utf8_lossy(word).into_owned())
    };
    let version = word(words.next()?)?;
    let release = word(words.next()?)?;
    // a release that is not followed by its end is the cut end of the chunk
    words.next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("{version}-{release}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

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
            (
                "var/lib/rpm/Packages",
                b"\x8e\xad\xe8C\0nova-agent\x002.1.25\x001.el7\0Agent\0",
                "2.1.25-1.el7",
            ),
        ] {
            assert_eq!(found(path, text).map(|f| f.0).as_deref(), Some(version), "{path}");
        }
    }

    #[test]
    fn a_package_that_was_removed_is_none() {
        let text = "Package: nova-agent\nStatus: deinstall ok config-files\nVersion: 2.1.25-1\n";
        assert_eq!(found("var/lib/dpkg/status", text.as_bytes()), None);
    }

    #[test]
    fn other_names_and_loose_strings_are_no_package() {
        for text in [
            &b"\0python3-nova-agent\x002.1\x001\0"[..],
            b"\0nova-agent\0see the manual\x001\0",
            b"\0nova-agent\x002.1\0",
        ] {
            assert_eq!(found("var/lib/rpm/Packages", text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_record_across_two_chunks_is_found() {
        for start in [CHUNK - 20, CHUNK - 11, CHUNK - 1, CHUNK, CHUNK + 1] {
            let mut bytes = vec![0; start];
            bytes.extend(b"\0nova-agent\x002.1.25\x001.el7\0x");
            let size = bytes.len() as u64;
            let found = search(&mut Cursor::new(bytes), size, "nova-agent").unwrap();
            assert_eq!(found.as_deref(), Some("2.1.25-1.el7"), "{start}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            version(&bytes);
        }
    }
}
