//! Whether the log of an XFS file system is empty, which its superblock does not say.
//!
//! An unmount writes one last record into the log. When the newest record is that one, nothing has to be replayed
//! (`xlog_check_unmount_rec`, fs/xfs/xfs_log_recover.c). A log that is elsewhere or makes no sense counts as not
//! clean: then nothing is written.

use anyhow::Result;

use super::bytes::{Bytes, be32, be64};

/// Size of a log block in bytes.
const BLOCK: u64 = 512;
/// What a record's first block begins with.
const MAGIC: u32 = 0xfeed_babe;
/// The largest record in blocks: 256 KiB and its headers.
const RECORD_MAX: u64 = 512 + 8;
/// The flag of the operation that an unmount writes (`XLOG_UNMOUNT_TRANS`).
const UNMOUNT: u8 = 0x20;

/// Whether the newest record of the log is an unmount's.
pub(super) fn is_clean(volume: &Bytes, superblock: &[u8]) -> Result<bool> {
    let Some(log) = Log::of(volume, superblock) else { return Ok(false) };
    let Some(head) = log.head()? else { return Ok(false) };
    log.ends_with_unmount(head)
}

struct Log<'v> {
    volume: &'v Bytes,
    /// Where it begins in the volume, in bytes.
    start: u64,
    /// Its length in blocks.
    blocks: u64,
}

impl<'v> Log<'v> {
    /// Finds the log; `None` when it is on another device, or not where the volume is.
    fn of(volume: &'v Bytes, superblock: &[u8]) -> Option<Self> {
        let block_size = u64::from(be32(superblock, 4));
        let (start, group_blocks) = (be64(superblock, 48), u64::from(be32(superblock, 84)));
        let (length, group_bits) = (u64::from(be32(superblock, 96)), u32::from(superblock[124]));
        if start == 0 || group_bits >= 64 || !block_size.is_power_of_two() {
            return None;
        }
        // a block's address is its group's number and its number in the group
        let (group, block) = (start >> group_bits, start & ((1 << group_bits) - 1));
        let start = group.checked_mul(group_blocks)?.checked_add(block)?.checked_mul(block_size)?;
        let length = length.checked_mul(block_size)?;
        let fits = start.checked_add(length)? <= volume.size() && length >= 2 * BLOCK;
        fits.then_some(Self { volume, start, blocks: length / BLOCK })
    }

    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let bytes = self.volume.at(self.start + number % self.blocks * BLOCK, 512)?;
        Ok(bytes.unwrap_or_else(|| vec![0; 512]))
    }

    /// Returns how often the log had been written round when this block was written.
    fn cycle(&self, number: u64) -> Result<u32> {
        let block = self.block(number)?;
        let first = be32(&block, 0);
        Ok(if first == MAGIC { be32(&block, 4) } else { first })
    }

    /// Returns the block behind the newest one: from there on the cycle is one less.
    fn head(&self) -> Result<Option<u64>> {
        let newest = self.cycle(0)?;
        if newest == 0 {
            return Ok(None);
        }
        let (mut new, mut old) = (0, self.blocks);
        while new + 1 < old {
            let middle = new + (old - new) / 2;
            if self.cycle(middle)? == newest {
                new = middle;
            } else {
                old = middle;
            }
        }
        Ok(Some(old))
    }

    fn ends_with_unmount(&self, head: u64) -> Result<bool> {
        for back in 1..=RECORD_MAX.min(self.blocks) {
            let at = (head + self.blocks - back) % self.blocks;
            let header = self.block(at)?;
            if be32(&header, 0) != MAGIC {
                continue;
            }
            let (version, length, operations) = (be32(&header, 8), be32(&header, 12), be32(&header, 40));
            // a header block for each 32 KiB that a record can have
            let size = if version & 2 != 0 { u64::from(be32(&header, 320)) } else { 0 };
            let headers = size.div_ceil(32768).max(1);
            let whole = headers + u64::from(length).div_ceil(BLOCK) == back;
            let flags = self.block(at + headers)?[9];
            return Ok(whole && operations == 1 && flags & UNMOUNT != 0);
        }
        Ok(false)
    }
}
