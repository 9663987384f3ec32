//! nova-agent 2.x as a zip application: a first line that names the interpreter, then a zip with its modules.
//!
//! The file is untrusted: its size, the number of its entries and what comes out of each entry are bounded, and
//! what the archive says of its own sizes is not believed.

use std::io::{BufReader, Read};

use anyhow::{Context, Result, bail};

use super::source;
use crate::root::Root;

/// The largest file that is taken for the agent, in bytes; the real one has about two million.
const FILE_MAX: u64 = 64 << 20;
/// The most entries; the real one has some hundreds.
const ENTRIES_MAX: usize = 20_000;
/// The most that is read of one entry, in bytes.
const ENTRY_MAX: u64 = 256 << 10;
/// The most of the agent's own sources that are read; the real one has about twenty.
const SOURCES_MAX: usize = 64;

/// What is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZipApplication {
    /// `__version__` of `novaagent/__init__.py`.
    pub(super) version: Option<String>,
    /// Foreign modules that it imports at start and does not bring itself.
    pub(super) needs: Vec<String>,
}

/// Reads the zip application at `path`.
///
/// # Errors
/// The file is no zip, is damaged or larger than any agent, or has no novaagent inside.
pub(super) fn read(root: &Root, path: &str) -> Result<ZipApplication> {
    let Some((file, size)) = root.open_file(path)? else { bail!("reading {path}: no such file") };
    if size > FILE_MAX {
        bail!("reading {path}: {size} bytes, larger than any agent");
    }
    let mut zip =
        zip::ZipArchive::new(BufReader::new(file)).with_context(|| format!("reading {path} as a zip"))?;
    if zip.len() > ENTRIES_MAX {
        bail!("reading {path}: {} entries, more than any agent has", zip.len());
    }
    let names: Vec<String> =
        zip.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let sources = names.iter().filter(|name| name.starts_with("novaagent/") && name.ends_with(".py"));
    let mut version = None;
    let mut imports = Vec::new();
    let mut found = false;
    for name in sources.take(SOURCES_MAX) {
        let mut bytes = Vec::new();
        let entry = zip.by_name(name).with_context(|| format!("reading {name} in {path}"))?;
        entry.take(ENTRY_MAX).read_to_end(&mut bytes).with_context(|| format!("reading {name} in {path}"))?;
        let text = String::from_utf8_lossy(&bytes);
        if name == "novaagent/__init__.py" {
            found = true;
            version = source::version(&text);
        }
        source::add_imports(&text, &mut imports);
    }
    if !found {
        bail!("reading {path}: a zip without novaagent/__init__.py");
    }
    imports.retain(|module| !brings(&names, module));
    Ok(ZipApplication { version, needs: imports })
}

fn brings(names: &[String], module: &str) -> bool {
    let below =
        |name: &str| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('/') || rest == ".py");
    names.iter().any(|name| below(name))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// Returns a zip application with these entries, as Python's zipapp writes one.
    pub(crate) fn zip_application(first_line: &str, entries: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in entries {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(*name, options.compression_method(zip::CompressionMethod::Deflated)).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        let mut bytes = format!("{first_line}\n").into_bytes();
        bytes.extend(zip.finish().unwrap().into_inner());
        bytes
    }

    fn root_with(bytes: &[u8]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "makes the root that is read")]
        std::fs::write(dir.path().join("agent"), bytes).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn version_and_needs_come_out_of_the_zip() {
        let (_dir, root) = root_with(&zip_application(
            "#!/usr/bin/env python3",
            &[
                ("__main__.py", "import yaml\n"),
                ("novaagent/__init__.py", "__version__ = '2.1.25'\n"),
                ("novaagent/novaagent.py", "import distro\nfrom pyxs.client import Client\n"),
                ("novaagent/common/password.py", "from cryptography.hazmat import x\n"),
                ("pyxs/__init__.py", ""),
                ("distro.py", ""),
            ],
        ));
        let want =
            ZipApplication { version: Some("2.1.25".to_owned()), needs: vec!["cryptography".to_owned()] };
        assert_eq!(read(&root, "agent").unwrap(), want);
    }

    #[test]
    fn what_is_no_agent_is_an_error() {
        let whole = zip_application("#!/usr/bin/env python3", &[("novaagent/__init__.py", "x = 1\n")]);
        let other = zip_application("#!/usr/bin/env python3", &[("youtube/__init__.py", "")]);
        let cases: [(&[u8], &str); 4] = [
            (b"", "as a zip"),
            (b"#!/bin/sh\necho", "as a zip"),
            (&whole[..whole.len() - 30], "as a zip"),
            (&other, "without novaagent"),
        ];
        for (bytes, want) in cases {
            let (_dir, root) = root_with(bytes);
            let error = format!("{:#}", read(&root, "agent").unwrap_err());
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn an_entry_that_swells_is_cut() {
        let huge = " ".repeat(8 << 20) + "\n__version__ = '9'\n";
        let (_dir, root) =
            root_with(&zip_application("#!/usr/bin/env python3", &[("novaagent/__init__.py", &huge)]));
        assert_eq!(read(&root, "agent").unwrap().version, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_zip_never_panics(place in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut bytes = zip_application("#!/usr/bin/env python3", &[
                ("novaagent/__init__.py", "__version__ = '2.1.25'\n"),
                ("novaagent/novaagent.py", "import yaml\n"),
            ]);
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(bytes.len() - cut % 4 * (cut % bytes.len()) / 4);
            let (_dir, root) = root_with(&bytes);
            let _ = read(&root, "agent");
        }
    }
}
