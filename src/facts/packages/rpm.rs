//! rpm's database in its three formats.
//!
//! SQLite (Fedora 33, EL9 and later) is read row by row. Of Berkeley DB (EL8 and before) and ndb (SUSE) the bytes are
//! searched: a package's header holds name, version and release as adjacent strings (rpm, lib/header.c: the data of a
//! header in the order of its tags). That is a search, not a query. In Berkeley DB pages that were freed keep their
//! bytes, so only pages that are in use count, or the version before an update would be found as well.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use memchr::memmem;

use super::sqlite::{Database, Value};
use crate::root::Root;

/// Where the database can be; Fedora and SUSE moved it below usr.
const DIRS: [&str; 2] = ["var/lib/rpm", "usr/lib/sysimage/rpm"];

/// How much of a database is searched, in bytes; a large server's has 150 MiB.
const SEARCHED_MAX: u64 = 256 << 20;
/// How much is searched at a time, in bytes: a multiple of every page size.
const CHUNK: usize = 1 << 20;
/// The longest name, version and release together, in bytes.
const RECORD_MAX: usize = 512;
/// How much of a header is read, in bytes: its index of about 100 tags and the strings that come first.
const HEADER_MAX: usize = 8 << 10;

/// Tags of a header (rpm, include/rpm/rpmtag.h).
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;

/// Looks for a package by name in an open database of a size.
type Look = fn(File, u64, &str) -> Result<Option<String>>;

const FORMATS: [(&str, Look); 3] =
    [("rpmdb.sqlite", in_sqlite), ("Packages.db", in_ndb), ("Packages", in_berkeley)];

/// Returns the version and release of a package, and the database that says so.
pub(super) fn find(root: &Root, name: &str) -> Result<Option<(String, String)>> {
    for dir in DIRS {
        for (file_name, look) in FORMATS {
            let path = format!("{dir}/{file_name}");
            let Some((file, size)) = root.open_file(&path)?.filter(|(_, size)| *size > 0) else { continue };
            if let Some(version) = look(file, size, name).with_context(|| format!("reading {path}"))? {
                return Ok(Some((version, path)));
            }
        }
    }
    Ok(None)
}

fn in_sqlite(file: File, size: u64, name: &str) -> Result<Option<String>> {
    Database::open(file, size)?.find("Packages", HEADER_MAX, |row| {
        let [_hnum, Value::Bytes(header), ..] = row else { return None };
        (string(header, NAME)? == name)
            .then(|| Some(format!("{}-{}", string(header, VERSION)?, string(header, RELEASE)?)))?
    })
}

/// Returns a string of a package's header: count of tags and length of data, 16 bytes for each tag, the data.
fn string(header: &[u8], tag: u32) -> Option<&str> {
    let number = |at: usize| {
        let bytes = header.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let tags = usize::try_from(number(0)?).ok()?;
    let data = header.get(tags.checked_mul(16)?.checked_add(8)?..)?;
    let entry =
        header[8..].chunks_exact(16).take(tags).position(|entry| entry.starts_with(&tag.to_be_bytes()))?;
    let offset = usize::try_from(number(8 + entry * 16 + 8)?).ok()?;
    let bytes = data.get(offset..)?;
    let end = memchr::memchr(0, bytes)?;
    str::from_utf8(&bytes[..end]).ok()
}

fn in_ndb(mut file: File, size: u64, name: &str) -> Result<Option<String>> {
    search(&mut file, size, name, |_, _| true)
}

fn in_berkeley(mut file: File, size: u64, name: &str) -> Result<Option<String>> {
    // db_page.h of Berkeley DB: the first page tells their size, the 26th byte of each what it is used for
    const UNSORTED_HASH: u8 = 2;
    const OVERFLOW: u8 = 7;
    const HASH: u8 = 13;
    let mut first = [0; 24];
    file.read_exact(&mut first)?;
    // in the byte order of the machine that made it
    let bytes = [first[20], first[21], first[22], first[23]];
    let page = [u32::from_le_bytes(bytes), u32::from_be_bytes(bytes)]
        .into_iter()
        .find(|size| size.is_power_of_two() && (512..=65536).contains(size))
        .context("no Berkeley database")?;
    let page = usize::try_from(page).context("the size of a page")?;
    search(&mut file, size, name, |chunk, at| {
        matches!(chunk.get(at / page * page + 25), Some(&(UNSORTED_HASH | OVERFLOW | HASH)))
    })
}

/// Returns the last `NAME\0VERSION\0RELEASE\0` of which `is_used` says, by its chunk and place there, that it counts.
fn search(
    file: &mut (impl Read + Seek),
    size: u64,
    name: &str,
    is_used: impl Fn(&[u8], usize) -> bool,
) -> Result<Option<String>> {
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
            if is_word && is_used(&chunk, start) {
                found = version(&chunk[start + needle.len()..]).or(found);
            }
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
    use crate::facts::tree::Tree;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// A database of Berkeley DB: pages of 512 bytes, each with what it is used for and a record.
    fn berkeley(pages: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[20..24].copy_from_slice(&512_u32.to_le_bytes());
        for (kind, record) in pages {
            let mut page = vec![0; 512];
            page[25] = *kind;
            page[100..100 + record.len()].copy_from_slice(record);
            bytes.extend(page);
        }
        bytes
    }

    fn found(pages: &[(u8, &[u8])]) -> Option<String> {
        let tree = Tree::of(&[("var/lib/rpm/Packages", berkeley(pages))]);
        find(&tree.root(), "nova-agent").unwrap().map(|(version, _)| version)
    }

    #[test]
    fn pages_that_were_freed_do_not_count() {
        let old: &[u8] = b"C\0nova-agent\x002.1.20\x001.el7\0Agent\0";
        let new: &[u8] = b"C\0nova-agent\x002.1.25\x001.el7\0Agent\0";
        assert_eq!(found(&[(7, new), (0, old)]).as_deref(), Some("2.1.25-1.el7"));
        assert_eq!(found(&[(0, old)]), None);
    }

    #[test]
    fn other_names_and_loose_strings_are_no_package() {
        for text in [
            &b"\0python3-nova-agent\x002.1\x001\0"[..],
            b"\0nova-agent\0see the manual\x001\0",
            b"\0nova-agent\x002.1\0\0",
        ] {
            assert_eq!(found(&[(7, text)]), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_record_across_two_chunks_is_found() {
        for start in [CHUNK - 20, CHUNK - 11, CHUNK - 1, CHUNK, CHUNK + 1] {
            let mut bytes = vec![0; start];
            bytes.extend(b"\0nova-agent\x002.1.25\x001.el7\0x");
            let size = bytes.len() as u64;
            let found = search(&mut Cursor::new(bytes), size, "nova-agent", |_, _| true).unwrap();
            assert_eq!(found.as_deref(), Some("2.1.25-1.el7"), "{start}");
        }
    }

    #[test]
    fn strings_of_a_header_are_found_by_their_tags() {
        let entry = |tag: u32, offset: u32| [tag, 6, offset, 1].map(u32::to_be_bytes).concat();
        let header = [
            &2_u32.to_be_bytes()[..],
            &13_u32.to_be_bytes(),
            &entry(100, 0),
            &entry(NAME, 2),
            b"C\0nova-agent\0",
        ]
        .concat();
        assert_eq!(string(&header, NAME), Some("nova-agent"));
        assert_eq!(string(&header, VERSION), None);
        assert_eq!(string(&header[..header.len() - 1], NAME), None);
        assert_eq!(string(&[0xff; 40], NAME), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            version(&bytes);
            string(&bytes, NAME);
            string(&[&[0, 0, 0, 3], &bytes[..]].concat(), NAME);
        }
    }
}
