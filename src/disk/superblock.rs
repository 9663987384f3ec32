//! What a partition holds, by its signature: kind, label, UUID, and whether it was put down cleanly.
//!
//! Only what is needed to choose and to mount; the kernel checks the rest when it mounts. To add a kind: a line in
//! `Kind` and a reader in `READERS`.

use anyhow::Result;
use serde::Serialize;

use super::bytes::{Bytes, le16, le32, le64};
use super::xfs_log;

/// What a volume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// ext2, without a journal.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// FAT: an EFI system partition or a `/boot`.
    Vfat,
    /// NTFS: Windows.
    Ntfs,
    /// UFS2: FreeBSD.
    Ufs,
    /// An installation medium.
    Iso9660,
    /// A swap area.
    Swap,
    /// A LUKS container: encrypted.
    Luks,
    /// A physical volume of LVM.
    Lvm,
    /// A member of a Linux software RAID.
    Raid,
}

impl Kind {
    /// Returns the name that mount(8) and blkid(8) use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Vfat => "vfat",
            Self::Ntfs => "ntfs",
            Self::Ufs => "ufs",
            Self::Iso9660 => "iso9660",
            Self::Swap => "swap",
            Self::Luks => "crypto_LUKS",
            Self::Lvm => "LVM2_member",
            Self::Raid => "linux_raid_member",
        }
    }

    /// Whether a Linux system can live on it.
    pub fn is_linux(self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4 | Self::Xfs | Self::Btrfs)
    }
}

/// Whether a file system was put down cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing has to be done before it is written to.
    Clean,
    /// Its journal holds changes that are not in place yet: it was mounted when the system stopped.
    NeedsRecovery,
    /// It notes errors that a check has to mend.
    HasErrors,
}

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    /// What it is.
    pub(super) kind: Kind,
    /// Its label, when it has one.
    pub(super) label: Option<String>,
    /// Its UUID, as `UUID=` spells it.
    pub(super) uuid: Option<String>,
    /// Whether it may be written to.
    pub(super) state: State,
    /// Where it was mounted last, when it notes that (ext only).
    pub(super) last_mounted: Option<String>,
}

impl Superblock {
    fn of(kind: Kind, label: &[u8], uuid: Option<String>) -> Self {
        Self { kind, label: text(label), uuid, state: State::Clean, last_mounted: None }
    }
}

type Reader = fn(&Bytes) -> Result<Option<Superblock>>;

/// In the order in which they are tried: a container before what it contains by chance, the boot sector's last.
const READERS: [Reader; 11] = [luks, lvm, raid, ext, xfs, btrfs, swap, ufs, iso9660, ntfs, vfat];

/// Returns what a volume holds; `None` when nothing is known of it.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(volume: &Bytes) -> Result<Option<Superblock>> {
    for reader in READERS {
        if let Some(found) = reader(volume)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Documentation/filesystems/ext4/super.rst
fn ext(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(1024, 1024)? else { return Ok(None) };
    if le16(&block, 0x38) != 0xef53 {
        return Ok(None);
    }
    let (compatible, incompatible) = (le32(&block, 0x5c), le32(&block, 0x60));
    let has_journal = compatible & 0x4 != 0;
    // extents, 64bit, flex_bg
    let kind = match (incompatible & 0x2c0 != 0, has_journal) {
        (true, _) => Kind::Ext4,
        (false, true) => Kind::Ext3,
        (false, false) => Kind::Ext2,
    };
    let state = le16(&block, 0x3a);
    let state = match () {
        () if state & 2 != 0 => State::HasErrors,
        () if incompatible & 0x4 != 0 || (!has_journal && state & 1 == 0) => State::NeedsRecovery,
        () => State::Clean,
    };
    let last_mounted = text(&block[0x88..0xc8]);
    let found = Superblock::of(kind, &block[0x78..0x88], Some(uuid(&block[0x68..0x78])));
    Ok(Some(Superblock { state, last_mounted, ..found }))
}

/// fs/xfs/libxfs/xfs_format.h, struct xfs_dsb
fn xfs(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(0, 512)? else { return Ok(None) };
    if !block.starts_with(b"XFSB") {
        return Ok(None);
    }
    let found = Superblock::of(Kind::Xfs, &block[108..120], Some(uuid(&block[32..48])));
    let state = if xfs_log::is_clean(volume, &block)? { State::Clean } else { State::NeedsRecovery };
    Ok(Some(Superblock { state, ..found }))
}

/// include/uapi/linux/btrfs_tree.h, struct btrfs_super_block
fn btrfs(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(0x10000, 0x400)? else { return Ok(None) };
    if block[0x40..0x48] != *b"_BHRfS_M" {
        return Ok(None);
    }
    let found = Superblock::of(Kind::Btrfs, &block[0x12b..0x22b], Some(uuid(&block[0x20..0x30])));
    // a log tree is what fsync wrote after the last whole commit
    let state = if le64(&block, 0x60) == 0 { State::Clean } else { State::NeedsRecovery };
    Ok(Some(Superblock { state, ..found }))
}

/// cryptsetup, LUKS1 and LUKS2 on-disk formats
fn luks(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(0, 512)? else { return Ok(None) };
    let is_luks = block.starts_with(b"LUKS\xba\xbe");
    Ok(is_luks.then(|| Superblock::of(Kind::Luks, &[], text(&block[168..208]))))
}

/// LVM2, lib/format_text/layout.h: the label is in one of the first four sectors
fn lvm(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(blocks) = volume.at(0, 2048)? else { return Ok(None) };
    let has_label =
        blocks.chunks_exact(512).any(|block| block.starts_with(b"LABELONE") && block[24..32] == *b"LVM2 001");
    Ok(has_label.then(|| Superblock::of(Kind::Lvm, &[], None)))
}

/// include/uapi/linux/raid/md_p.h; the versions that lie in front of the data
fn raid(volume: &Bytes) -> Result<Option<Superblock>> {
    for place in [0, 4096] {
        if volume.at(place, 4)?.is_some_and(|magic| le32(&magic, 0) == 0xa92b_4efc) {
            return Ok(Some(Superblock::of(Kind::Raid, &[], None)));
        }
    }
    Ok(None)
}

/// mm/swapfile.c; the last ten bytes of the first page
fn swap(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(page) = volume.at(0, 4096)? else { return Ok(None) };
    let found = || Superblock::of(Kind::Swap, &page[1052..1068], Some(uuid(&page[1036..1052])));
    Ok((page[4086..] == *b"SWAPSPACE2").then(found))
}

/// FreeBSD sys/ufs/ffs/fs.h
fn ufs(volume: &Bytes) -> Result<Option<Superblock>> {
    let magic = volume.at(65536 + 1372, 4)?;
    let is_ufs = magic.is_some_and(|magic| le32(&magic, 0) == 0x1954_0119);
    Ok(is_ufs.then(|| Superblock::of(Kind::Ufs, &[], None)))
}

/// ECMA-119, 8.4
fn iso9660(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(0x8000, 2048)? else { return Ok(None) };
    Ok((block[1..6] == *b"CD001").then(|| Superblock::of(Kind::Iso9660, &block[40..72], None)))
}

fn ntfs(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(0, 512)? else { return Ok(None) };
    let serial = || Some(format!("{:016X}", le64(&block, 0x48)));
    Ok((block[3..11] == *b"NTFS    ").then(|| Superblock::of(Kind::Ntfs, &[], serial())))
}

/// Microsoft's FAT specification: the strings are at other places in FAT32
fn vfat(volume: &Bytes) -> Result<Option<Superblock>> {
    let Some(block) = volume.at(0, 512)? else { return Ok(None) };
    let (serial, label) = match () {
        () if block[510..] != [0x55, 0xaa] => return Ok(None),
        () if block[82..90] == *b"FAT32   " => (67, 71),
        () if block[54..57] == *b"FAT" => (39, 43),
        () => return Ok(None),
    };
    let serial = le32(&block, serial);
    let uuid = format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff);
    Ok(Some(Superblock::of(Kind::Vfat, &block[label..label + 11], Some(uuid))))
}

fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|&b| b == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

fn uuid(bytes: &[u8]) -> String {
    uuid::Uuid::from_slice(bytes).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn volume(pieces: &[(usize, &[u8])]) -> Bytes {
        let mut bytes = vec![0; 0x11000];
        for (at, piece) in pieces {
            bytes[*at..*at + piece.len()].copy_from_slice(piece);
        }
        Bytes::in_memory(bytes)
    }

    #[test]
    fn each_kind_is_told_by_its_signature() {
        for (pieces, kind) in [
            (&[(1080, &[0x53, 0xef, 1][..])][..], Some(Kind::Ext2)),
            (&[(1080, &[0x53, 0xef, 1]), (1116, &[4])], Some(Kind::Ext3)),
            (&[(1080, &[0x53, 0xef, 1]), (1116, &[4]), (1120, &[0x40])], Some(Kind::Ext4)),
            (&[(0, b"XFSB")], Some(Kind::Xfs)),
            (&[(0x10040, b"_BHRfS_M")], Some(Kind::Btrfs)),
            (&[(0, b"LUKS\xba\xbe\x00\x02")], Some(Kind::Luks)),
            (&[(512, b"LABELONE"), (536, b"LVM2 001")], Some(Kind::Lvm)),
            (&[(4096, &[0xfc, 0x4e, 0x2b, 0xa9])], Some(Kind::Raid)),
            (&[(4086, b"SWAPSPACE2")], Some(Kind::Swap)),
            (&[(0x8001, b"CD001")], Some(Kind::Iso9660)),
            (&[(3, b"NTFS    "), (510, &[0x55, 0xaa])], Some(Kind::Ntfs)),
            (&[(82, b"FAT32   "), (510, &[0x55, 0xaa])], Some(Kind::Vfat)),
            (&[(54, b"FAT16   "), (510, &[0x55, 0xaa])], Some(Kind::Vfat)),
            (&[], None),
        ] {
            assert_eq!(read(&volume(pieces)).unwrap().map(|found| found.kind), kind, "{pieces:?}");
        }
    }

    #[test]
    fn an_ext4_says_whether_it_was_put_down_cleanly() {
        let magic: (usize, &[u8]) = (1080, &[0x53, 0xef]);
        for (pieces, state) in [
            (&[magic, (1082, &[1]), (1116, &[4]), (1120, &[0x40])][..], State::Clean),
            (&[magic, (1082, &[1]), (1116, &[4]), (1120, &[0x44])], State::NeedsRecovery),
            (&[magic, (1082, &[3]), (1116, &[4]), (1120, &[0x44])], State::HasErrors),
            (&[magic, (1082, &[0])], State::NeedsRecovery),
        ] {
            assert_eq!(read(&volume(pieces)).unwrap().unwrap().state, state, "{pieces:?}");
        }
    }

    #[test]
    fn a_uuid_is_spelled_as_fstab_spells_it() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(uuid(&bytes), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    proptest! {
        #[test]
        fn no_volume_makes_it_panic(
            start in prop::sample::select(vec!["XFSB", "LUKS", "LABELONE", ""]),
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
        ) {
            let _ = read(&Bytes::in_memory([start.as_bytes(), &bytes].concat()));
        }
    }
}
