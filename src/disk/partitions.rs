//! MBR and GPT partition tables, read from a disk that nobody vouches for.
//!
//! The table is data from the outside: a partition that leaves the disk, overlaps the table or lies about its size is
//! cut or dropped, counts and chains are bounded, and nothing is written. (The crates that read these tables also
//! write them; `gpt` asserts on an entry size it does not expect, `mbrman` follows a chain of any length.)

use anyhow::Result;

use super::bytes::{Bytes, le32, le64};

/// Partitions that are looked at; GPT has room for 128 by default.
const PARTITIONS_MAX: usize = 128;

/// A stretch of the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where it begins.
    pub(super) start: u64,
    /// How long it is.
    pub(super) length: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number, as in `/dev/xvda1`.
    pub(super) number: u32,
    /// Where it is.
    pub(super) extent: Extent,
    /// GPT's unique GUID, or MBR's disk signature and number, as `PARTUUID=` spells it.
    pub(super) uuid: String,
}

/// Returns the partitions of a disk; `None` when it has no partition table.
///
/// # Errors
/// The disk cannot be read.
pub(super) fn read(disk: &Bytes) -> Result<Option<Vec<Partition>>> {
    let Some(sector) = disk.at(0, 512)? else { return Ok(None) };
    if sector[510..] != [0x55, 0xaa] {
        return Ok(None);
    }
    // UEFI 5.2.3: a protective MBR says that the table is GPT's. Sectors of 4096 bytes are those of some disks.
    if entries(&sector).any(|entry| entry.kind == 0xee) {
        for sector_size in [512, 4096] {
            if let Some(partitions) = gpt(disk, sector_size)? {
                return Ok(Some(partitions));
            }
        }
    }
    mbr(disk, &sector)
}

/// One of an MBR's four lines.
struct Entry {
    status: u8,
    kind: u8,
    first: u64,
    sectors: u64,
}

fn entries(sector: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    sector[446..510].chunks_exact(16).map(|line| Entry {
        status: line[0],
        kind: line[4],
        first: u64::from(le32(line, 8)),
        sectors: u64::from(le32(line, 12)),
    })
}

fn mbr(disk: &Bytes, sector: &[u8]) -> Result<Option<Vec<Partition>>> {
    // the boot sector of a FAT or NTFS file system ends in the same two bytes, and has code where the table would be
    let is_boot_sector =
        sector[3..11] == *b"NTFS    " || sector[54..57] == *b"FAT" || sector[82..85] == *b"FAT";
    if is_boot_sector || entries(sector).any(|entry| entry.status & 0x7f != 0) {
        return Ok(None);
    }
    let signature = le32(sector, 440);
    let uuid = |number: u32| format!("{signature:08x}-{number:02x}");
    let mut found = Vec::new();
    let mut extended = None;
    for (number, entry) in (1..).zip(entries(sector)) {
        match entry.kind {
            0 => {}
            0x05 | 0x0f | 0x85 => extended = Some((entry.first, entry.sectors)),
            _ => found.extend(partition(disk, number, entry.first, entry.sectors, 512, uuid(number))),
        }
    }
    if let Some((base, length)) = extended {
        logical(disk, base, length, &mut found, uuid)?;
    }
    Ok((!found.is_empty()).then_some(found))
}

/// Follows the chain of logical partitions: each link names one partition and the next link, which must lie further on.
fn logical(
    disk: &Bytes,
    base: u64,
    length: u64,
    found: &mut Vec<Partition>,
    uuid: impl Fn(u32) -> String,
) -> Result<()> {
    let mut link = 0;
    for number in 5..(5 + PARTITIONS_MAX as u32) {
        let Some(sector) = disk.at((base + link).saturating_mul(512), 512)? else { return Ok(()) };
        if sector[510..] != [0x55, 0xaa] {
            return Ok(());
        }
        let mut pair = entries(&sector);
        if let Some(entry) = pair.next().filter(|entry| entry.kind != 0) {
            let first = base + link + entry.first;
            found.extend(partition(disk, number, first, entry.sectors, 512, uuid(number)));
        }
        match pair.next() {
            Some(next)
                if matches!(next.kind, 0x05 | 0x0f | 0x85) && next.first > link && next.first < length =>
            {
                link = next.first;
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Reads the table at the beginning, or its copy at the end.
fn gpt(disk: &Bytes, sector_size: u64) -> Result<Option<Vec<Partition>>> {
    let last = (disk.size() / sector_size).saturating_sub(1);
    for place in [1, last] {
        if let Some(partitions) = gpt_at(disk, place, sector_size)? {
            return Ok(Some(partitions));
        }
    }
    Ok(None)
}

/// Reads a table whose header is in this sector (UEFI 5.3); `None` when its checksums do not hold.
fn gpt_at(disk: &Bytes, place: u64, sector_size: u64) -> Result<Option<Vec<Partition>>> {
    let Some(mut header) = disk.at(place.saturating_mul(sector_size), 512)? else { return Ok(None) };
    let (size, sum) = (le32(&header, 12) as usize, le32(&header, 16));
    if !header.starts_with(b"EFI PART") || !(92..=512).contains(&size) {
        return Ok(None);
    }
    let (table, count, entry_size) =
        (le64(&header, 72), le32(&header, 80) as usize, le32(&header, 84) as usize);
    let table_sum = le32(&header, 88);
    header[16..20].fill(0);
    if crc(&header[..size]) != sum || !(128..=512).contains(&entry_size) || count > 1024 {
        return Ok(None);
    }
    let Some(bytes) = disk.at(table.saturating_mul(sector_size), count * entry_size)? else {
        return Ok(None);
    };
    if crc(&bytes) != table_sum {
        return Ok(None);
    }
    let used = (1..).zip(bytes.chunks_exact(entry_size)).filter(|(_, entry)| entry[..16] != [0; 16]);
    let found = used.take(PARTITIONS_MAX).filter_map(|(number, entry)| {
        let (first, last) = (le64(entry, 32), le64(entry, 40));
        let sectors = last.checked_sub(first)?.checked_add(1)?;
        partition(
            disk,
            number,
            first,
            sectors,
            sector_size,
            uuid::Uuid::from_slice_le(&entry[16..32]).unwrap_or_default().to_string(),
        )
    });
    Ok(Some(found.collect()))
}

/// Returns the partition as far as the disk reaches; none when it begins outside, or where the table is.
fn partition(
    disk: &Bytes,
    number: u32,
    first: u64,
    sectors: u64,
    sector_size: u64,
    uuid: String,
) -> Option<Partition> {
    let start = first.checked_mul(sector_size)?;
    let length = sectors.saturating_mul(sector_size).min(disk.size().checked_sub(start)?);
    let holds_something = start > 0 && length > 0;
    holds_something.then_some(Partition { number, extent: Extent { start, length }, uuid })
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A disk of one MiB whose table has these lines: place, kind, first sector, sectors.
    fn disk(lines: &[(usize, u8, u32, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        bytes[440..444].copy_from_slice(&0x00c0_ffee_u32.to_le_bytes());
        table(&mut bytes, 0, lines);
        bytes
    }

    fn table(bytes: &mut [u8], sector: usize, lines: &[(usize, u8, u32, u32)]) {
        let at = sector * 512;
        bytes[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
        for (place, kind, first, sectors) in lines {
            let line = at + 446 + 16 * place;
            bytes[line + 4] = *kind;
            bytes[line + 8..line + 12].copy_from_slice(&first.to_le_bytes());
            bytes[line + 12..line + 16].copy_from_slice(&sectors.to_le_bytes());
        }
    }

    fn found(bytes: Vec<u8>) -> Option<Vec<(u32, u64, u64)>> {
        let partitions = read(&Bytes::in_memory(bytes)).unwrap()?;
        Some(partitions.iter().map(|p| (p.number, p.extent.start / 512, p.extent.length / 512)).collect())
    }

    #[test]
    fn primary_and_logical_partitions_have_their_numbers() {
        let mut bytes = disk(&[(0, 0x83, 8, 100), (1, 0x05, 200, 800), (3, 0x83, 1000, 20)]);
        table(&mut bytes, 200, &[(0, 0x83, 2, 50), (1, 0x05, 100, 100)]);
        table(&mut bytes, 300, &[(0, 0x83, 2, 60)]);
        let all = vec![(1, 8, 100), (4, 1000, 20), (5, 202, 50), (6, 302, 60)];
        assert_eq!(found(bytes), Some(all));
    }

    #[test]
    fn a_table_that_lies_is_cut_to_the_disk() {
        let mut bytes =
            disk(&[(0, 0x83, 2000, u32::MAX), (1, 0x83, 5000, 10), (2, 0x83, 0, 100), (3, 0x05, 100, 500)]);
        // a chain that bites its tail
        table(&mut bytes, 100, &[(0, 0x83, 1, 1), (1, 0x05, 0, 100)]);
        assert_eq!(found(bytes), Some(vec![(1, 2000, 48), (5, 101, 1)]));
    }

    #[test]
    fn a_boot_sector_is_no_table() {
        let mut bytes = disk(&[]);
        bytes[446] = 0xeb;
        bytes[450] = 0x83;
        assert_eq!(found(bytes), None);
        assert_eq!(found(vec![0; 4096]), None);
        assert_eq!(found(vec![0; 100]), None);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic_or_leave_the_disk(
            lines in proptest::collection::vec((0..4_usize, any::<u8>(), any::<u32>(), any::<u32>()), 0..5),
            noise in proptest::collection::vec((0..4096_usize, any::<u8>()), 0..64),
        ) {
            let mut bytes = disk(&lines);
            for (at, byte) in noise {
                bytes[at] = byte;
            }
            for (_, start, length) in found(bytes).unwrap_or_default() {
                prop_assert!(start > 0 && start + length <= 2048);
            }
        }
    }
}
