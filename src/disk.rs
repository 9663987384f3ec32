//! A block device or image file and the system on it, mounted privately.
//!
//! [`Disk::open`] finds the volume that holds the system and mounts it read-only, with what its own fstab puts beside
//! it; nothing is replayed and nothing is written. [`Disk::make_writable`] mounts the same again for a change that was
//! confirmed, and [`Disk::finish`] puts it down. Everything is unmounted however the program ends (`mount`).
//!
//! Refused, with the reason: a disk that is in use, an image that refers to other files, a file system that needs a
//! check before it is written to. What an fstab, a partition table or a superblock says is only followed inside the
//! disk. To add a kind of image: `image`; of file system: `superblock`; a place that is mounted: `fstab`.

mod busy;
mod bytes;
mod fstab;
mod image;
mod lvm;
mod mount;
mod partitions;
mod superblock;
mod vhd;
mod xfs_log;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::root::Root;
use bytes::Bytes;
use image::Image;
use mount::{Access, Mounts, Place, Source};
use partitions::Extent;

pub use image::Format;
pub use superblock::{Kind, State};

/// Where the commands of a remedy expect the disk: a person mounts it there.
pub const ADVISED_MOUNT: &str = "/mnt/rescue";

/// A disk and the system on it.
#[derive(Debug)]
pub struct Disk {
    facts: Facts,
    image: Image,
    root: Root,
    at: PathBuf,
    inner: Mutex<Inner>,
    // the last to go
    _place: Place,
}

#[derive(Debug)]
struct Inner {
    mounts: Mounts,
    access: Access,
}

/// What is known of a disk.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// As it was named.
    pub path: String,
    /// How it is kept.
    pub format: Format,
    /// What is on it, and why it was chosen or not.
    pub volumes: Vec<Volume>,
}

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
    #[serde(skip)]
    number: Option<u32>,
    #[serde(skip)]
    part_uuid: Option<String>,
    #[serde(skip)]
    logical: Option<(String, String)>,
    #[serde(skip)]
    subvolume: Option<String>,
    #[serde(skip)]
    source: Source,
}

impl Volume {
    fn new(name: String, source: Source, size: u64) -> Self {
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
}

/// Why a disk is not looked into or not changed, and what to do about it.
#[derive(Debug)]
pub struct Refused {
    /// The reason.
    pub text: String,
    /// What to type, or where to look.
    pub hint: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

fn refused(text: String, hint: impl Into<String>) -> anyhow::Error {
    Refused { text, hint: hint.into() }.into()
}

impl Disk {
    /// Finds the system on a disk and mounts it for looking. `say` is told what takes long.
    ///
    /// # Errors
    /// [`Refused`], or the disk cannot be read.
    pub fn open(path: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        let image = Image::open(path, say)?;
        let place = Place::make()?;
        let mut facts =
            Facts { path: path.display().to_string(), format: image.format, volumes: volumes(&image)? };
        let Some(chosen) = choose(&mut facts.volumes, &place)? else { return Err(no_system(&facts, &image)) };
        let at = place.dir("root")?;
        let mut mounts = Mounts::default();
        mount_volume(&mut mounts, &facts.volumes[chosen], &at, Access::Look)?;
        facts.volumes[chosen].mounted_at = Some("/".to_owned());
        let root = Root::open(&at)?.known_as(Path::new(ADVISED_MOUNT));
        mount_beside(&mut mounts, &mut facts.volumes, chosen, &root, &at)?;
        for volume in &mut facts.volumes {
            if matches!(volume.state, Some(State::NeedsRecovery | State::HasErrors)) {
                volume.fsck = fsck(&image, volume);
            }
        }
        let inner = Mutex::new(Inner { mounts, access: Access::Look });
        Ok(Self { facts, image, root, at, inner, _place: place })
    }

    /// Returns the system's tree. All clones follow when the disk is mounted anew.
    pub fn root(&self) -> Root {
        self.root.clone()
    }

    /// Returns what is known of the disk.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Mounts the same for a change that was confirmed. Again, it does nothing.
    ///
    /// # Errors
    /// [`Refused`] when a file system needs a check first; or it cannot be mounted for writing.
    pub fn make_writable(&self) -> Result<()> {
        let mut inner = self.inner();
        if inner.access == Access::Change {
            return Ok(());
        }
        self.facts.refuse_unclean()?;
        self.root.close();
        inner.mounts.unmount()?;
        let mounted = self.facts.volumes.iter().filter(|volume| volume.mounted_at.is_some());
        let mut mounted: Vec<&Volume> = mounted.collect();
        mounted.sort_by_key(|volume| volume.depth());
        for volume in mounted {
            let place = volume.mounted_at.as_deref().unwrap_or("/").trim_start_matches('/');
            mount_volume(&mut inner.mounts, volume, &self.at.join(place), Access::Change)
                .with_context(|| format!("mounting {} for writing", volume.name))?;
        }
        inner.access = Access::Change;
        self.root.reopen(&self.at)
    }

    /// Unmounts the disk; a changed copy of an image then replaces it, unless `stop` says so before it does.
    ///
    /// # Errors
    /// Something still uses it, or the image cannot be written: it is as it was.
    pub fn finish(&self, fate: Fate, stop: &dyn Fn() -> bool) -> Result<()> {
        let mut inner = self.inner();
        self.root.close();
        inner.mounts.unmount()?;
        if inner.access == Access::Change && fate == Fate::Keep {
            self.image.write_back(stop)?;
        }
        Ok(())
    }

    /// Whether a change is made in a copy first and takes a while to be written back.
    pub fn is_copy(&self) -> bool {
        self.image.is_copy()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a changed copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It replaces the image.
    Keep,
    /// The image stays as it was.
    Discard,
}

impl Facts {
    /// Returns the volume that is mounted as the root.
    pub fn system(&self) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/"))
    }

    fn refuse_unclean(&self) -> Result<()> {
        let mounted = self.volumes.iter().filter(|volume| volume.mounted_at.is_some());
        for volume in mounted {
            let why = match volume.state {
                Some(State::NeedsRecovery) => "its journal has not been replayed",
                Some(State::HasErrors) => "it notes errors",
                Some(State::Clean) | None => continue,
            };
            let commands: Vec<String> = volume.fsck.iter().map(|argv| argv.join(" ")).collect();
            let text =
                format!("nothing was changed: {} needs a check before it is written to: {why}", volume.name);
            return Err(refused(text, commands.join(" && ")));
        }
        Ok(())
    }
}

impl Volume {
    fn depth(&self) -> usize {
        self.mounted_at.as_deref().map_or(0, |place| place.trim_matches('/').len())
    }
}

/// Lists what is on the disk.
fn volumes(image: &Image) -> Result<Vec<Volume>> {
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

/// Looks into every file system; returns the largest that holds a system.
fn choose(volumes: &mut [Volume], place: &Place) -> Result<Option<usize>> {
    let look = place.dir("look")?;
    for volume in volumes.iter_mut().filter(|volume| volume.kind.is_some_and(Kind::is_linux)) {
        volume.reason = match look_into(volume, &look) {
            Ok(true) => SYSTEM.to_owned(),
            Ok(false) => "holds no system: no etc/passwd or etc/fstab beside usr or bin".to_owned(),
            Err(e) => format!("cannot be looked into: {e:#}"),
        };
    }
    let systems = (0..volumes.len()).filter(|number| volumes[*number].reason == SYSTEM);
    let chosen = systems.max_by_key(|number| (volumes[*number].size, std::cmp::Reverse(*number)));
    for (number, volume) in volumes.iter_mut().enumerate() {
        if chosen.is_some_and(|chosen| chosen != number) && volume.reason == SYSTEM {
            volume.reason = "holds a system too, and is not the largest that does".to_owned();
        }
    }
    Ok(chosen)
}

const SYSTEM: &str = "holds a system";

/// Whether a file system holds a system; notes the btrfs subvolume in which it is.
fn look_into(volume: &mut Volume, at: &Path) -> Result<bool> {
    let kind = volume.kind.context("it has no file system")?;
    let subvolumes: &[&str] = if fstab::has_subvolumes(kind) { &fstab::BTRFS_ROOTS } else { &[] };
    for subvolume in [None].into_iter().chain(subvolumes.iter().copied().map(Some)) {
        let mut mounts = Mounts::default();
        if let Err(e) = mounts.add(&volume.source, kind, subvolume, at, Access::Look) {
            // there is no such subvolume
            if subvolume.is_some() {
                continue;
            }
            return Err(e);
        }
        let is_system = fstab::is_system(at);
        mounts.unmount()?;
        if is_system {
            volume.subvolume = subvolume.map(str::to_owned);
            return Ok(true);
        }
    }
    Ok(false)
}

fn mount_volume(mounts: &mut Mounts, volume: &Volume, at: &Path, access: Access) -> Result<()> {
    let kind = volume.kind.context("it has no file system")?;
    mounts.add(&volume.source, kind, volume.subvolume.as_deref(), at, access)
}

/// Mounts what the system's fstab puts beside its root, as far as it is on this disk.
fn mount_beside(
    mounts: &mut Mounts,
    volumes: &mut Vec<Volume>,
    chosen: usize,
    root: &Root,
    at: &Path,
) -> Result<()> {
    // an fstab that cannot be read is a finding of the checks; here it mounts nothing
    let entries = fstab::entries(root).unwrap_or_default();
    let of_root = entries.iter().find(|entry| entry.place.is_empty());
    for entry in entries.iter().filter(|entry| !entry.place.is_empty()) {
        let place = format!("/{}", entry.place);
        let note = |why: String| tracing::debug!("{place} of the system is left out: {why}");
        let number = match fstab::find(entry, of_root, volumes) {
            Ok(number) => number,
            Err(why) => {
                note(why);
                continue;
            }
        };
        let mut volume = volumes[number].clone();
        volume.subvolume = entry.subvolume().map(str::to_owned);
        if (number == chosen || volume.mounted_at.is_some()) && volume.subvolume.is_none() {
            note("it is mounted already".to_owned());
            continue;
        }
        if !fstab::is_plain_dir(root, &entry.place) {
            note("it is no directory of the system".to_owned());
            continue;
        }
        match mount_volume(mounts, &volume, &at.join(&entry.place), Access::Look) {
            Ok(()) => {
                volume.mounted_at = Some(place);
                volume.reason = "the system's fstab names it".to_owned();
                if volumes[number].mounted_at.is_some() {
                    volumes.push(volume);
                } else {
                    volumes[number] = volume;
                }
            }
            Err(e) => volumes[number].reason = format!("{place} by the system's fstab, but {e:#}"),
        }
    }
    Ok(())
}

fn no_system(facts: &Facts, image: &Image) -> anyhow::Error {
    let whole = superblock::read(image.bytes()).ok().flatten();
    let hint = match whole.map(|whole| whole.kind) {
        Some(Kind::Iso9660) => "--disk takes the disk of a server, not an installation medium",
        _ => "name the partition itself, or mount the system and use --root",
    };
    let looked: Vec<String> = facts.volumes.iter().map(Volume::words).collect();
    let looked = if looked.is_empty() { "it has no partition".to_owned() } else { looked.join("; ") };
    refused(format!("no Linux system was found on {}: {looked}", facts.path), hint)
}

/// Returns the commands that check a file system and replay its journal.
fn fsck(image: &Image, volume: &Volume) -> Vec<Vec<String>> {
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

/// Whether a device holds a file system that was the root of a system when it was mounted last. Only ext notes that.
pub fn was_a_root(device: &str) -> bool {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    // a device that may not be read is none that is known of
    let Ok(fd) = rustix::fs::open(device, flags, rustix::fs::Mode::empty()) else { return false };
    // as far as the superblocks reach
    let head = Bytes::of(fd.into(), 1 << 20);
    let block = superblock::read(&head).ok().flatten();
    block.is_some_and(|block| block.last_mounted.as_deref() == Some("/"))
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

impl Drop for Disk {
    fn drop(&mut self) {
        self.root.close();
    }
}
