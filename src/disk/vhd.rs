//! The footer of a VHD: which program made it decides how XenServer treats it.
//!
//! A VHD by QEMU does not grow when a server is resized, so an image that was changed keeps the creator, its time and
//! its id (Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format").

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};

use super::bytes::be32;

const SIZE: usize = 512;
/// Time stamp, creator application, its version, its host system.
const CREATOR: std::ops::Range<usize> = 24..40;
const CHECKSUM: std::ops::Range<usize> = 64..68;
const ID: std::ops::Range<usize> = 68..84;

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
    if !footer.starts_with(b"conectix") {
        bail!("it does not end in a VHD's footer");
    }
    Ok((footer, place))
}
