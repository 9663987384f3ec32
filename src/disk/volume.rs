//! The volumes of a disk: partitions, logical volumes, or the whole disk; what each holds and how it is checked.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::bytes::Bytes;
use super::image::{Format, Image};
use super::mount::Source;
use super::partitions::{self, Extent};
use super::superblock::{self, Kind, State};
use super::{ADVISED_MOUNT, lvm};

/// A partition, a logical volume, or a whole disk without partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// `partition 1`, `logical volume vg0/root` or `whole disk`.
    pub name: String,
    /// Its device, when the kernel has one.
    pub device: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// What it holds.
    pub kind: Option<Kind>,
    /// The file system's label.
    pub label: Option<String>,
    /// The file system's UUID.
    pub uuid: Option<String>,
    /// Whether it was put down cleanly; null when it holds no file system.
    pub state: Option<State>,
    /// Where it is mounted in the system: `/`, `/boot`.
    pub mounted_at: Option<String>,
    /// Why it was or was not chosen.
    pub reason: String,
    /// What checks and mends the file system, when it needs that.
    pub fsck: Vec<Vec<String>>,
    /// Whether it holds a system as well, and a larger one was chosen.
    #[serde(skip)]
    pub is_rival: bool,
    #[serde(skip)]
    pub(super) number: Option<u32>,
    #[serde(skip)]
    pub(super) part_uuid: Option<String>,
    #[serde(skip)]
    pub(super) logical: Option<(String, String)>,
    #[serde(skip)]
    pub(super) subvolume: Option<String>,
    #[serde(skip)]
    pub(super) source: Source,
}

impl Volume {
    pub(super) fn new(name: String, source: Source, size: u64) -> Self {
        let device = match &source {
            Source::Device(path) => Some(path.display().to_string()),
            Source::Stretch(..) => None,
        };
        Self {
            name,
            device,
            size,
            kind: None,
            label: None,
            uuid: None,
            state: None,
            mounted_at: None,
            reason: "holds nothing that is known here".to_owned(),
            fsck: Vec::new(),
            is_rival: false,
            number: None,
            part_uuid: None,
            logical: None,
            subvolume: None,
            source,
        }
    }

    /// Returns name, kind, size and reason in a line.
    pub fn words(&self) -> String {
        let kind = self.kind.map_or("unknown", Kind::word);
        let device = self.device.as_ref().map_or(String::new(), |device| format!(" {device}"));
        let place = self.mounted_at.as_ref().map_or(String::new(), |place| format!(", mounted as {place}"));
        format!("{}{device} ({kind}, {}{place}): {}", self.name, size_words(self.size), self.reason)
    }

    /// Returns why it has to be checked before it is written to; `None` when it was put down cleanly.
    pub fn needs_check(&self) -> Option<&'static str> {
        match self.state? {
            State::NeedsRecovery => Some("its journal has not been replayed"),
            State::HasErrors => Some("it notes errors"),
            State::Clean => None,
        }
    }

    /// Returns how deep it is mounted: outer ones come first.
    pub(super) fn depth(&self) -> usize {
        self.mounted_at.as_deref().map_or(0, |place| place.trim_matches('/').len())
    }
}

/// Lists what is on the disk.
pub(super) fn list(image: &Image) -> Result<Vec<Volume>> {
    let disk = image.bytes();
    let whole = Extent { start: 0, length: disk.size() };
    let mut found = Vec::new();
    let Some(partitions) = partitions::read(disk)? else {
        let source = match image.format {
            Format::Device => Source::Device(image.raw()),
            _ => Source::Stretch(image.raw(), whole),
        };
        add(image, disk, Volume::new("whole disk".to_owned(), source, disk.size()), whole, &mut found)?;
        return Ok(found);
    };
    for partition in partitions {
        let extent = partition.extent;
        // the kernel's own device keeps others from using the partition meanwhile
        let node = image.nodes.iter().find(|(_, start)| *start == extent.start);
        let source = match node {
            Some((name, _)) => Source::Device(Path::new("/dev").join(name)),
            None => Source::Stretch(image.raw(), extent),
        };
        let name = format!("partition {}", partition.number);
        let mut volume = Volume::new(name, source, extent.length);
        volume.number = Some(partition.number);
        volume.part_uuid = Some(partition.uuid);
        add(image, &disk.part(extent)?, volume, extent, &mut found)?;
    }
    Ok(found)
}

/// Adds a volume and, when it is LVM's, the logical volumes on it.
fn add(
    image: &Image,
    bytes: &Bytes,
    mut volume: Volume,
    extent: Extent,
    found: &mut Vec<Volume>,
) -> Result<()> {
    let Some(block) = superblock::read(bytes)? else {
        found.push(volume);
        return Ok(());
    };
    volume.kind = Some(block.kind);
    volume.label = block.label;
    volume.uuid = block.uuid;
    if block.kind.is_linux() {
        volume.state = Some(block.state);
    }
    volume.reason = not_a_system(block.kind).to_owned();
    let is_lvm = block.kind == Kind::Lvm && volume.logical.is_none();
    found.push(volume);
    if !is_lvm {
        return Ok(());
    }
    for logical in lvm::read(bytes)? {
        let name = format!("logical volume {}/{}", logical.group, logical.name);
        let inside = logical.extent.clone().unwrap_or(Extent { start: 0, length: 0 });
        let on_disk = Extent { start: extent.start + inside.start, ..inside };
        let mut volume = Volume::new(name, Source::Stretch(image.raw(), on_disk), inside.length);
        volume.logical = Some((logical.group.clone(), logical.name.clone()));
        match logical.extent {
            Ok(inside) => add(image, &bytes.part(inside)?, volume, on_disk, found)?,
            Err(why) => {
                let (group, name) = (logical.group, logical.name);
                volume.reason =
                    format!("{why}: activate it with vgchange -ay {group}, then look at /dev/{group}/{name}");
                found.push(volume);
            }
        }
    }
    Ok(())
}

fn not_a_system(kind: Kind) -> &'static str {
    match kind {
        Kind::Luks => "encrypted (LUKS): open it with cryptsetup open, then look at /dev/mapper/NAME",
        Kind::Lvm => "a physical volume: its logical volumes are looked at",
        Kind::Raid => "a member of a software RAID: assemble it with mdadm, then look at /dev/md0",
        Kind::Swap => "swap space",
        Kind::Ntfs => "a Windows file system",
        Kind::Ufs => "a FreeBSD file system, which Linux does not mount",
        Kind::Iso9660 => "an installation medium (ISO), no disk of a server",
        Kind::Vfat => "FAT holds no system",
        _ => "was not looked into",
    }
}

/// Returns the commands that check a file system and replay its journal.
pub(super) fn fsck(image: &Image, volume: &Volume) -> Vec<Vec<String>> {
    let argv = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<String>>();
    let path = image.path.display().to_string();
    let check = |device: &str| match volume.kind {
        // the kernel replays the journal when it mounts
        Some(Kind::Xfs | Kind::Btrfs) => {
            vec![argv(&["mount", device, ADVISED_MOUNT]), argv(&["umount", ADVISED_MOUNT])]
        }
        _ => vec![argv(&["fsck", "-fy", device])],
    };
    if let Some(device) = &volume.device {
        return check(device);
    }
    if let Some((group, name)) = &volume.logical {
        let mut all = vec![argv(&["vgchange", "-ay", group])];
        all.extend(check(&format!("/dev/{group}/{name}")));
        all.push(argv(&["vgchange", "-an", group]));
        return all;
    }
    if volume.number.is_none() && !image.is_copy() {
        // fsck takes a file, and mount finds a loop device for one
        return check(&path);
    }
    let part = |disk: &str| volume.number.map_or(disk.to_owned(), |number| format!("{disk}p{number}"));
    let (attach, device, detach) = if image.is_copy() {
        (
            argv(&["qemu-nbd", "-c", "/dev/nbd0", &path]),
            part("/dev/nbd0"),
            argv(&["qemu-nbd", "-d", "/dev/nbd0"]),
        )
    } else {
        (
            argv(&["losetup", "-P", "/dev/loop7", &path]),
            part("/dev/loop7"),
            argv(&["losetup", "-d", "/dev/loop7"]),
        )
    };
    let mut all = vec![attach];
    all.extend(check(&device));
    all.push(detach);
    all
}

/// Writes a size as a person reads it.
fn size_words(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(40, "TiB"), (30, "GiB"), (20, "MiB")];
    match UNITS.iter().find(|(bits, _)| bytes >> bits > 0) {
        Some((bits, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> bits;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}
