//! Mounting privately: a mount namespace of this process, so that nobody else sees the disk and the kernel unmounts it
//! and lets its loop devices go however the process ends, `kill -9` included.
//!
//! Looking is read-only without replay of a journal, on a loop device that is read-only itself. No program and no
//! device file of the disk is usable. mount(8) does it: it sets up the loop device and the mount in one go, and ends
//! without a trace when it is killed between.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use super::partitions::Extent;
use super::refused;
use super::superblock::Kind;
use crate::exec::Cmd;
use crate::root::Root;

/// How long a mount may take: a large file system on a slow disk.
const MOUNTS_WITHIN: Duration = Duration::from_secs(60);
/// How long the kernel may take to let go of a loop device.
const LETS_GO_WITHIN: Duration = Duration::from_secs(5);

/// Whether the disk may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// No: not even the journal is replayed.
    Look,
    /// Yes: somebody confirmed a change.
    Change,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A device that the kernel knows.
    Device(PathBuf),
    /// A stretch of a file or device.
    Stretch(PathBuf, Extent),
}

/// A mount namespace of this process, with a directory in it that nobody else sees.
#[derive(Debug)]
pub(super) struct Place {
    base: PathBuf,
}

impl Place {
    /// Makes it. From now on this thread and those that it starts have mounts of their own; what others unmount goes
    /// here as well.
    ///
    /// # Errors
    /// This takes root.
    pub(super) fn make() -> Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe for the sake of FILES, which is not asked for"
        )]
        match rustix::thread::unshare(UnshareFlags::NEWNS) {
            Ok(()) => {}
            Err(Errno::PERM) => {
                return Err(refused("mounting a disk takes root".to_owned(), "run it as root"));
            }
            Err(e) => return Err(e).context("making a mount namespace"),
        }
        let ours = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
        rustix::mount::mount_change("/", ours).context("making the mounts private")?;
        let here = Root::live()?;
        let parent = ["/run", "/var/run", "/tmp"].into_iter().find(|dir| here.exists(dir));
        let base = Path::new(parent.unwrap_or("/")).join("novactl");
        make_dir(&base)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("novactl", &base, "tmpfs", flags, Some(c"mode=0700,size=1m"))
            .with_context(|| format!("mounting on {}", base.display()))?;
        Ok(Self { base })
    }

    /// Returns a directory in it, made when it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.base.join(name);
        make_dir(&dir)?;
        Ok(dir)
    }
}

fn make_dir(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("making {}", path.display())),
    }
}

/// What is mounted now; dropped, it is unmounted.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    points: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Mounts {
    /// Mounts a file system.
    ///
    /// # Errors
    /// The kernel has no such file system, or does not take this one.
    pub(super) fn add(
        &mut self,
        source: &Source,
        kind: Kind,
        subvolume: Option<&str>,
        at: &Path,
        access: Access,
    ) -> Result<()> {
        let mut options = vec!["nosuid".to_owned(), "nodev".to_owned(), "noexec".to_owned()];
        if kind == Kind::Xfs {
            // a rescue system from the same template has a file system with the same UUID mounted
            options.push("nouuid".to_owned());
        }
        if let Some(subvolume) = subvolume {
            options.push(format!("subvol={subvolume}"));
        }
        let path = match source {
            Source::Device(path) => path,
            Source::Stretch(path, extent) => {
                options.push(format!("loop,offset={},sizelimit={}", extent.start, extent.length));
                self.files.push(path.clone());
                path
            }
        };
        let (Some(path), Some(at)) = (path.to_str(), at.to_str()) else { bail!("the path is not UTF-8") };
        let mut said = String::new();
        for words in access.options(kind) {
            let all = format!("{},{words}", options.join(","));
            let mount = Cmd::new(&["mount", "-n", "-t", driver(kind), "-o", &all, path, at]);
            let Some(output) = mount.within(MOUNTS_WITHIN).output()? else {
                bail!("the program mount is not installed")
            };
            if output.status.success() {
                self.points.push(PathBuf::from(at));
                return Ok(());
            }
            said = output.stderr.lines().next().unwrap_or_default().trim().to_owned();
        }
        bail!("mounting it: {}", said.trim_start_matches(&format!("mount: {at}: ")))
    }

    /// Unmounts all, the innermost first, and waits until the loop devices are gone.
    ///
    /// # Errors
    /// Something still uses it.
    pub(super) fn unmount(&mut self) -> Result<()> {
        while let Some(point) = self.points.last() {
            rustix::mount::unmount(point, UnmountFlags::empty()).context("unmounting the disk")?;
            self.points.pop();
        }
        let deadline = Instant::now() + LETS_GO_WITHIN;
        while self.files.iter().any(|file| is_attached(file)) {
            if Instant::now() > deadline {
                bail!("unmounting the disk: its loop device does not go");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.files.clear();
        Ok(())
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for point in self.points.drain(..).rev() {
            // what a check that hangs has open goes with the process
            if let Err(e) = rustix::mount::unmount(&point, UnmountFlags::DETACH) {
                tracing::warn!("unmounting {}: {e}", point.display());
            }
        }
    }
}

impl Access {
    /// Returns the options, in the order in which they are tried.
    fn options(self, kind: Kind) -> &'static [&'static str] {
        match (self, kind) {
            (Self::Change, _) => &["rw"],
            (Self::Look, Kind::Ext2 | Kind::Ext3 | Kind::Ext4) => &["ro,noload"],
            (Self::Look, Kind::Xfs) => &["ro,norecovery"],
            // the second spelling is that of Linux before 5.9
            (Self::Look, Kind::Btrfs) => &["ro,rescue=nologreplay", "ro,nologreplay"],
            (Self::Look, _) => &["ro"],
        }
    }
}

/// Returns the file system driver: ext4's reads ext2 and ext3 as well.
fn driver(kind: Kind) -> &'static str {
    match kind {
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => "ext4",
        other => other.word(),
    }
}

/// Whether a loop device has this file.
fn is_attached(file: &Path) -> bool {
    let Ok(here) = Root::live() else { return false };
    let disks = here.read_dir("sys/block").unwrap_or_default();
    disks.into_iter().any(|disk| {
        let backing = here.text_opt(&format!("sys/block/{}/loop/backing_file", disk.name));
        backing.ok().flatten().is_some_and(|backing| Path::new(backing.trim_end()) == file)
    })
}
