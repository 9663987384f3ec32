//! The bytes of a disk, read at a place; numbers in the orders in which they stand there.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::partitions::Extent;

/// The most that is read at once, in bytes.
const READ_MAX: usize = 4 << 20;

/// A disk or a part of it, for reading.
#[derive(Debug)]
pub(super) struct Bytes {
    source: Source,
    extent: Extent,
}

#[derive(Debug)]
enum Source {
    File(File),
    #[cfg(test)]
    Memory(Vec<u8>),
}

impl Bytes {
    /// Returns the bytes of an open file or device of this size.
    pub(super) fn of(file: File, size: u64) -> Self {
        Self { source: Source::File(file), extent: Extent { start: 0, length: size } }
    }

    #[cfg(test)]
    pub(super) fn in_memory(bytes: Vec<u8>) -> Self {
        let extent = Extent { start: 0, length: bytes.len() as u64 };
        Self { source: Source::Memory(bytes), extent }
    }

    /// Returns a part of it.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(super) fn part(&self, extent: Extent) -> Result<Self> {
        let source = match &self.source {
            Source::File(file) => Source::File(file.try_clone().context("reading the disk")?),
            #[cfg(test)]
            Source::Memory(bytes) => Source::Memory(bytes.clone()),
        };
        Ok(Self { source, extent: Extent { start: self.extent.start + extent.start, ..extent } })
    }

    /// Returns the size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.extent.length
    }

    /// Returns `length` bytes from a place on; `None` where it has not so many.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn at(&self, place: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let end = place.checked_add(length as u64);
        if length > READ_MAX || end.is_none_or(|end| end > self.extent.length) {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        match &self.source {
            Source::File(file) => file
                .read_exact_at(&mut bytes, self.extent.start + place)
                .with_context(|| format!("reading the disk at byte {}", self.extent.start + place))?,
            #[cfg(test)]
            Source::Memory(all) => {
                let start = usize::try_from(self.extent.start + place)?;
                bytes.copy_from_slice(&all[start..start + length]);
            }
        }
        Ok(Some(bytes))
    }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&bytes[at..at + N]);
    word
}

/// Returns the little-endian number at a place, which the caller has read.
pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(word(bytes, at))
}

/// As [`le16`], of 32 bits.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(word(bytes, at))
}

/// As [`le16`], of 64 bits.
pub(super) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(word(bytes, at))
}

/// Returns the big-endian number of 32 bits at a place, which the caller has read.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(word(bytes, at))
}

/// As [`be32`], of 64 bits.
pub(super) fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(word(bytes, at))
}
