//! What the dynamic linker needs to start the old agent's binary: its own path and the libraries by name.

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, PT_INTERP};
use elf::endian::AnyEndian;

/// The most names that are taken from a binary; the real one has about ten.
const NAMES_MAX: usize = 256;

/// What a binary asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binary {
    /// The dynamic linker; none in a static binary.
    pub linker: Option<String>,
    /// Libraries by name, such as `libpython2.6.so.1.0`.
    pub libraries: Vec<String>,
    /// Directories that it names itself (`RPATH`, `RUNPATH`); `$ORIGIN` is left as it is.
    pub directories: Vec<String>,
}

impl Binary {
    /// Reads a binary.
    ///
    /// # Errors
    /// It is no ELF file, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).context("reading it as ELF")?;
        let mut binary = Self::default();
        let interpreter =
            file.segments().and_then(|segments| segments.iter().find(|s| s.p_type == PT_INTERP));
        if let Some(segment) = interpreter {
            let data = file.segment_data(&segment).context("reading the dynamic linker's name")?;
            let name = data.split(|&byte| byte == 0).next().unwrap_or_default();
            binary.linker = Some(String::from_utf8_lossy(name).into_owned());
        }
        let common = file.find_common_data().context("reading the sections")?;
        let (Some(dynamic), Some(names)) = (common.dynamic, common.dynsyms_strs) else { return Ok(binary) };
        for entry in dynamic.iter().take(NAMES_MAX) {
            let list = match entry.d_tag {
                DT_NEEDED => &mut binary.libraries,
                DT_RPATH | DT_RUNPATH => &mut binary.directories,
                _ => continue,
            };
            let offset = usize::try_from(entry.d_val()).context("reading a library's name")?;
            let name = names.get_raw(offset).context("reading a library's name")?;
            list.extend(String::from_utf8_lossy(name).split(':').map(str::to_owned));
        }
        Ok(binary)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns a 64-bit binary that asks for these.
    pub(crate) fn elf(linker: &str, libraries: &[&str], rpath: Option<&str>) -> Vec<u8> {
        let mut names = vec![0];
        let mut dynamic = Vec::new();
        let entries = libraries.iter().map(|name| (DT_NEEDED, *name)).chain(rpath.map(|dir| (DT_RPATH, dir)));
        for (tag, name) in entries {
            dynamic.extend(tag.to_le_bytes());
            dynamic.extend((names.len() as u64).to_le_bytes());
            names.extend(name.bytes().chain([0]));
        }
        dynamic.extend([0; 16]);
        let interp: Vec<u8> = linker.bytes().chain([0]).collect();
        let (interp_at, names_at) = (120, 120 + interp.len());
        let dynamic_at = names_at + names.len();
        let sections_at = dynamic_at + dynamic.len();
        let word =
            |bytes: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
        word(&mut file, &[0, 64, sections_at as u64]);
        file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 4, 0, 0, 0]);
        file.extend([3, 0, 0, 0, 4, 0, 0, 0]); // one PT_INTERP
        word(&mut file, &[interp_at, 0, 0, interp.len() as u64, interp.len() as u64, 1]);
        file.extend(interp);
        file.extend(&names);
        file.extend(&dynamic);
        // type and link, offset and size, entry size: none, .dynsym, .dynstr, .dynamic
        let sections: [(u32, u32, usize, usize, u64); 4] = [
            (0, 0, 0, 0, 0),
            (11, 2, 0, 0, 24),
            (3, 0, names_at, names.len(), 0),
            (6, 2, dynamic_at, dynamic.len(), 16),
        ];
        for (kind, link, at, size, entry) in sections {
            file.extend([0; 4]);
            file.extend(kind.to_le_bytes());
            word(&mut file, &[0, 0, at as u64, size as u64]);
            file.extend(link.to_le_bytes());
            file.extend([0; 4]);
            word(&mut file, &[1, entry]);
        }
        file
    }

    #[test]
    fn linker_libraries_and_directories_come_out_of_a_binary() {
        let bytes = elf(
            "/lib64/ld-linux-x86-64.so.2",
            &["libc.so.6", "libpython2.6.so.1.0"],
            Some("$ORIGIN/../lib:/x"),
        );
        let want = Binary {
            linker: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
            libraries: ["libc.so.6", "libpython2.6.so.1.0"].map(str::to_owned).to_vec(),
            directories: ["$ORIGIN/../lib", "/x"].map(str::to_owned).to_vec(),
        };
        assert_eq!(Binary::parse(&bytes).unwrap(), want);
    }

    #[test]
    fn a_script_is_no_binary() {
        assert!(Binary::parse(b"#!/bin/sh\n").is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_binary_never_panics(place in 0usize..600, byte: u8, cut in 0usize..600) {
            let mut bytes = elf("/lib/ld.so", &["libc.so.6", "liba.so"], Some("/x"));
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(bytes.len().max(cut) - cut.min(bytes.len()) / 2);
            let _ = Binary::parse(&bytes);
        }
    }
}
