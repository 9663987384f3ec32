//! The footer of a VHD: its type and which program made it decide how XenServer treats it.
//!
//! A VHD by QEMU does not grow when a server is resized, so an image that was changed keeps the creator, its time and
//! its id (Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format").

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::bytes::{Bytes, be32};

/// The size of the footer.
pub(super) const SIZE: usize = 512;
const COOKIE: &[u8] = b"conectix";
const APPLICATION: std::ops::Range<usize> = 28..32;
/// Time stamp, creator application, its version, its host system.
const CREATOR: std::ops::Range<usize> = 24..40;
const CHECKSUM: std::ops::Range<usize> = 64..68;
const ID: std::ops::Range<usize> = 68..84;

/// What the footer of a VHD says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vhd {
    /// Whether it grows as it is written to; else it is of fixed size.
    pub dynamic: bool,
    /// The program that made it: `tap` is XenServer, `qemu` and `qem2` are QEMU.
    pub creator: String,
}

impl Vhd {
    /// Reads the footer of a file; `None` where it has none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(file: &Bytes) -> Result<Option<Self>> {
        let Some(place) = file.size().checked_sub(SIZE as u64) else { return Ok(None) };
        let Some(footer) = file.at(place, SIZE)?.filter(|footer| footer.starts_with(COOKIE)) else {
            return Ok(None);
        };
        let creator = footer[APPLICATION].iter().map(|byte| char::from(*byte)).filter(char::is_ascii_graphic);
        Ok(Some(Self { dynamic: disk_type(&footer) == 3, creator: creator.collect() }))
    }
}

/// Returns the type of the disk: 2 fixed, 3 dynamic, 4 differencing.
pub(super) fn disk_type(footer: &[u8]) -> u32 {
    be32(footer, 60)
}

/// Writes the creator of one VHD into another: both copies of the footer of a dynamic disk.
pub(super) fn keep_creator(old: &File, new: &File) -> Result<()> {
    let (original, _) = last_footer(old)?;
    let (mut footer, end) = last_footer(new)?;
    for range in [CREATOR, ID] {
        footer[range.clone()].copy_from_slice(&original[range]);
    }
    footer[CHECKSUM].fill(0);
    let sum = footer.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    footer[CHECKSUM].copy_from_slice(&(!sum).to_be_bytes());
    for place in [0, end] {
        new.write_all_at(&footer, place).context("writing the footer")?;
    }
    Ok(())
}

fn last_footer(mut file: &File) -> Result<([u8; SIZE], u64)> {
    let size = file.seek(SeekFrom::End(0)).context("reading the footer")?;
    let place = size.saturating_sub(SIZE as u64);
    let mut footer = [0; SIZE];
    file.read_exact_at(&mut footer, place).context("reading the footer")?;
    if !footer.starts_with(COOKIE) {
        bail!("it does not end in a VHD's footer");
    }
    Ok((footer, place))
}
