//! Which release of novactl a program is, and whether it can take the place of another one.
//!
//! It has to be an ELF program for the machine and the dynamic linker of the one it replaces (or static), carry the
//! mark of one release, and that release has to be newer. A mark is no signature: it keeps out what is something else.

use anyhow::{Context, Result, bail};
use elf::ElfBytes;
use elf::abi::{ET_DYN, ET_EXEC};
use elf::endian::AnyEndian;
use elf::file::Class;

use crate::facts::agents::binary::Binary;
use crate::facts::agents::parts;

/// What stands before the version in the mark.
const MARK: &[u8] = b"novactl-release ";

/// The mark of this very program, for those that come later. `#[used]` keeps it from the compiler, and [`version`]
/// from the linker, which drops what nothing refers to.
#[used]
static OWN: &str = concat!("novactl-release ", env!("CARGO_PKG_VERSION"), "\n");

/// The longest version, in bytes.
const VERSION_MAX: usize = 32;

/// The beginnings of files that are known to be something else.
const OTHERS: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "a gzip archive, such as nova-agent is updated with"),
    (b"BZh", "a bzip2 archive, such as nova-agent is updated with"),
    (b"\xfd7zXZ", "an xz archive, such as nova-agent is updated with"),
    (b"PK", "a zip archive, such as nova-agent for Windows is updated with"),
    (b"#!", "a script"),
    (b"MZ", "a Windows program"),
    (b"<", "a page of a web server"),
];

/// Where a tar archive says that it is one (POSIX, `ustar`), in bytes.
const TAR_AT: usize = 257;

/// Returns the version of `program` when it can take the place of `installed`.
///
/// # Errors
/// It cannot, and why.
pub(super) fn successor(program: &[u8], installed: &[u8]) -> Result<String> {
    let new = Release::of(program).context("the file that was fetched is refused")?;
    let old = Release::of(installed).context("the installed program is not replaced")?;
    if (new.class, new.machine) != (old.class, old.machine) {
        bail!("the file that was fetched is refused: it is a program for another machine");
    }
    if new.linker.as_ref().is_some_and(|linker| old.linker.as_ref() != Some(linker)) {
        bail!(
            "the file that was fetched is refused: it needs {}, and the installed program does not",
            new.linker.unwrap_or_default()
        );
    }
    if parts(&new.version) <= parts(&old.version) {
        bail!("novactl {} is installed: {} is not newer", old.version, new.version);
    }
    Ok(new.version)
}

/// What a program says of itself.
#[derive(Debug)]
struct Release {
    version: String,
    class: Class,
    machine: u16,
    linker: Option<String>,
}

impl Release {
    fn of(bytes: &[u8]) -> Result<Self> {
        if let Some(other) = other(bytes) {
            bail!("it is {other}, not a program");
        }
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes);
        let Ok(file) = file else { bail!("it is not an ELF program") };
        if ![ET_EXEC, ET_DYN].contains(&file.ehdr.e_type) {
            bail!("it is ELF, but not a program");
        }
        let linker = Binary::parse(bytes)?.linker;
        let version = version(bytes)?;
        Ok(Self { version, class: file.ehdr.class, machine: file.ehdr.e_machine, linker })
    }
}

fn other(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Some("a tar archive, such as nova-agent is updated with");
    }
    OTHERS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

/// Returns the version in the one mark that a program has.
fn version(bytes: &[u8]) -> Result<String> {
    std::hint::black_box(OWN);
    let mut found: Option<&str> = None;
    for place in memchr::memmem::find_iter(bytes, MARK) {
        // the words alone stand in this program as well: what follows them is no version
        let Some(version) = version_at(&bytes[place + MARK.len()..]) else { continue };
        if found.is_some_and(|other| other != version) {
            bail!("it carries the marks of two releases of novactl");
        }
        found = Some(version);
    }
    Ok(found.context("it does not carry the mark of a release of novactl")?.to_owned())
}

fn version_at(rest: &[u8]) -> Option<&str> {
    let end = rest.iter().take(VERSION_MAX + 1).position(|byte| *byte == b'\n')?;
    let version = std::str::from_utf8(&rest[..end]).ok()?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    version.split('.').all(is_number).then_some(version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::agents::binary::tests::elf;

    const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";

    fn program(linker: &str, marks: &str) -> Vec<u8> {
        [elf(linker, &["libc.so.6"], None), marks.into()].concat()
    }

    #[test]
    fn a_newer_release_for_the_same_system_is_a_successor() {
        let installed = program(LINKER, "novactl-release 0.1.0\n");
        for (marks, version) in [
            ("novactl-release 0.1.1\n", "0.1.1"),
            ("novactl-release 0.10.0\n", "0.10.0"),
            ("novactl-release novactl-release 9.9.9\nnovactl-release 9.9.9\nnovactl-release x\n", "9.9.9"),
        ] {
            assert_eq!(successor(&program(LINKER, marks), &installed).unwrap(), version, "{marks}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        let installed = program(LINKER, "novactl-release 0.1.0\n");
        let mut tar = vec![0; 512];
        tar[TAR_AT..TAR_AT + 5].copy_from_slice(b"ustar");
        let mut other_machine = program(LINKER, "novactl-release 9.9.9\n");
        other_machine[18] = 0xb7;
        let mut object = program(LINKER, "novactl-release 9.9.9\n");
        object[16] = 1;
        let refused = |why: &str| format!("the file that was fetched is refused: {why}");
        let no_mark = "it does not carry the mark of a release of novactl";
        for (bytes, why) in [
            (tar, refused("it is a tar archive, such as nova-agent is updated with, not a program")),
            (
                b"\x1f\x8b\x08".to_vec(),
                refused("it is a gzip archive, such as nova-agent is updated with, not a program"),
            ),
            (b"#!/bin/sh\n".to_vec(), refused("it is a script, not a program")),
            (Vec::new(), refused("it is not an ELF program")),
            (b"\x7fELF".to_vec(), refused("it is not an ELF program")),
            (other_machine, refused("it is a program for another machine")),
            (object, refused("it is ELF, but not a program")),
            (program(LINKER, ""), refused(no_mark)),
            (program(LINKER, "novactl-release 9.9\0\n"), refused(no_mark)),
            (program(LINKER, "novactl-release 9..9\n"), refused(no_mark)),
            (
                program(LINKER, "novactl-release 9.9.9\nnovactl-release 9.9.8\n"),
                refused("it carries the marks of two releases of novactl"),
            ),
            (
                program("/lib/ld-musl-x86_64.so.1", "novactl-release 9.9.9\n"),
                refused("it needs /lib/ld-musl-x86_64.so.1, and the installed program does not"),
            ),
            (
                program(LINKER, "novactl-release 0.1.0\n"),
                "novactl 0.1.0 is installed: 0.1.0 is not newer".to_owned(),
            ),
            (
                program(LINKER, "novactl-release 0.0.9\n"),
                "novactl 0.1.0 is installed: 0.0.9 is not newer".to_owned(),
            ),
        ] {
            assert_eq!(format!("{:#}", successor(&bytes, &installed).unwrap_err()), why);
        }
    }

    #[test]
    fn this_program_carries_its_mark() {
        assert_eq!(version(OWN.as_bytes()).unwrap(), env!("CARGO_PKG_VERSION"));
        assert!(OWN.as_bytes().starts_with(MARK));
    }

    proptest! {
        #[test]
        fn any_file_is_a_successor_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let installed = program(LINKER, "novactl-release 0.1.0\n");
            let _ = successor(&[b"\x7fELF\x02\x01\x01".as_slice(), &bytes].concat(), &installed);
            prop_assert!(successor(&bytes, &installed).is_err());
        }
    }
}
