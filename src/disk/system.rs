//! Which volume holds the system, and what belongs to it: every file system is looked into, the largest that holds a
//! system is the root, and its own fstab says what else is mounted.

use std::path::Path;

use anyhow::{Context, Result};

use super::image::Image;
use super::mount::{Access, Mounts, Place};
use super::superblock::{self, Kind};
use super::volume::Volume;
use super::{Facts, fstab, refused};
use crate::root::Root;

/// Looks into every file system; returns the largest that holds a system.
pub(super) fn choose(volumes: &mut [Volume], place: &Place) -> Result<Option<usize>> {
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
            volume.is_rival = true;
        }
    }
    Ok(chosen)
}

const SYSTEM: &str = "holds a system";

/// Whether a file system holds a system; notes the btrfs subvolume in which it is.
fn look_into(volume: &mut Volume, at: &Path) -> Result<bool> {
    let kind = volume.kind.context("it has no file system")?;
    let subvolumes: &[&str] = if kind == Kind::Btrfs { &BTRFS_ROOTS } else { &[] };
    for subvolume in [None].into_iter().chain(subvolumes.iter().copied().map(Some)) {
        let mut mounts = Mounts::default();
        if let Err(e) = mounts.add(&volume.source, kind, subvolume, at, Access::Look) {
            // there is no such subvolume
            if subvolume.is_some() {
                continue;
            }
            return Err(e);
        }
        let is_system = is_system(at);
        mounts.unmount()?;
        if is_system {
            volume.subvolume = subvolume.map(str::to_owned);
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn mount_volume(mounts: &mut Mounts, volume: &Volume, at: &Path, access: Access) -> Result<()> {
    let kind = volume.kind.context("it has no file system")?;
    mounts.add(&volume.source, kind, volume.subvolume.as_deref(), at, access)
}

/// Mounts what the system's fstab puts beside its root, as far as it is on this disk.
pub(super) fn mount_beside(
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

pub(super) fn no_system(facts: &Facts, image: &Image) -> anyhow::Error {
    let whole = superblock::read(image.bytes()).ok().flatten();
    let hint = match whole.map(|whole| whole.kind) {
        Some(Kind::Iso9660) => "--disk takes the disk of a server, not an installation medium",
        _ => "name the partition itself, or mount the system and use --root",
    };
    let looked: Vec<String> = facts.volumes.iter().map(Volume::words).collect();
    let looked = if looked.is_empty() { "it has no partition".to_owned() } else { looked.join("; ") };
    refused(format!("no Linux system was found on {}: {looked}", facts.path), hint)
}

/// The subvolumes in which distributions put the root when it is not the default one.
const BTRFS_ROOTS: [&str; 3] = ["@", "root", "@rootfs"];

/// Whether a mounted tree is a system: it has accounts or mounts, and programs or a directory for them.
fn is_system(at: &Path) -> bool {
    let Ok(root) = Root::open(at) else { return false };
    let has = |path: &str| matches!(root.lstat_opt(path), Ok(Some(_)));
    (has("etc/passwd") || has("etc/fstab")) && (has("usr") || has("bin") || has("sbin"))
}
