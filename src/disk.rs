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
mod leftover;
mod lvm;
mod mount;
mod partitions;
mod superblock;
mod system;
mod vhd;
mod volume;
mod xfs_log;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::root::Root;
use bytes::Bytes;
use image::Image;
use mount::{Access, Mounts, Place};

pub use image::Format;
pub use superblock::{Kind, State};
pub use vhd::Vhd;
pub use volume::Volume;

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
    /// The size in bytes that a server sees.
    pub size: u64,
    /// What a VHD says of itself.
    pub vhd: Option<Vhd>,
    /// What is on it, and why it was chosen or not.
    pub volumes: Vec<Volume>,
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
        let mut facts = Facts {
            path: path.display().to_string(),
            format: image.format,
            size: image.size(),
            vhd: image.vhd.clone(),
            volumes: volume::list(&image)?,
        };
        let Some(chosen) = system::choose(&mut facts.volumes, &place)? else {
            return Err(system::no_system(&facts, &image));
        };
        let at = place.dir("root")?;
        let mut mounts = Mounts::default();
        system::mount_volume(&mut mounts, &facts.volumes[chosen], &at, Access::Look)?;
        facts.volumes[chosen].mounted_at = Some("/".to_owned());
        let root = Root::open(&at)?.known_as(Path::new(ADVISED_MOUNT));
        system::mount_beside(&mut mounts, &mut facts.volumes, chosen, &root, &at)?;
        for volume in &mut facts.volumes {
            if volume.needs_check().is_some() {
                volume.fsck = volume::fsck(&image, volume);
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
            system::mount_volume(&mut inner.mounts, volume, &self.at.join(place), Access::Change)
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
        let unmounted = inner.mounts.unmount();
        if inner.access == Access::Look {
            return Ok(());
        }
        if !self.is_copy() {
            // a check that hangs has something open still: it is unmounted when the process ends
            if let Err(e) = unmounted {
                tracing::warn!("{e:#}");
                rustix::fs::sync();
            }
            return Ok(());
        }
        unmounted?;
        match fate {
            Fate::Keep => self.image.write_back(stop),
            Fate::Discard => Ok(()),
        }
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
            let Some(why) = volume.needs_check() else { continue };
            let commands: Vec<String> = volume.fsck.iter().map(|argv| argv.join(" ")).collect();
            let text =
                format!("nothing was changed: {} needs a check before it is written to: {why}", volume.name);
            return Err(refused(text, commands.join(" && ")));
        }
        Ok(())
    }
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

impl Drop for Disk {
    fn drop(&mut self) {
        self.root.close();
    }
}
