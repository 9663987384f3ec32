//! The config drive: found by its label, looked at through a private mount that goes away with us.
//!
//! Only iso9660 and vfat are one, as nova writes them. A disk with the label and another file system is refused: a
//! kernel that mounts a journaled one for a stranger trusts what stands on it.

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags};

use super::from;
use super::host::HostNetwork;
use crate::root::Root;
use crate::target::Target;

/// Its label (OpenStack, "Config drives"), in the two spellings of the file systems it can have.
const LABELS: [&str; 2] = ["config-2", "CONFIG-2"];

/// The file systems that it can have (nova, `virt/configdrive.py`).
const KINDS: [&str; 2] = ["iso9660", "vfat"];

/// Returns the network that the config drive of the running server says.
///
/// # Errors
/// There is no config drive, it cannot be mounted, or it has no network data.
pub fn read(target: &Target) -> Result<HostNetwork> {
    look(target, from::config_drive)?.context("no config drive: no disk has the label config-2")
}

/// Looks at the files of the running server's config drive; `None` where no disk is one.
///
/// # Errors
/// It cannot be mounted, or `looked` fails.
pub fn look<T>(target: &Target, looked: impl FnOnce(&Root) -> Result<T>) -> Result<Option<T>> {
    if let Some(place) = mounted(target)? {
        return looked(&Root::open(place.as_ref())?).map(Some);
    }
    let device =
        LABELS.iter().map(|label| format!("dev/disk/by-label/{label}")).find(|path| target.root.exists(path));
    let Some(device) = device else { return Ok(None) };
    let mount = Mount::read_only(&format!("/{device}"))?;
    looked(&Root::open(mount.place.path())?).map(Some)
}

/// Returns where it is mounted already, as cloud-init and others do.
fn mounted(target: &Target) -> Result<Option<String>> {
    let Some(mounts) = target.root.text_opt("proc/self/mounts")? else { return Ok(None) };
    let mut drives = mounts
        .lines()
        .filter_map(place_of)
        .filter(|place| target.root.exists(&format!("{place}/openstack/latest/meta_data.json")));
    Ok(drives.next())
}

/// Returns where a line of /proc/mounts says that a file system is mounted, if it can be a config drive.
fn place_of(line: &str) -> Option<String> {
    let mut words = line.split(' ').skip(1);
    let (place, kind) = (words.next()?, words.next()?);
    KINDS.contains(&kind).then(|| place.replace("\\040", " "))
}

/// A mount of our own; unmounted when it is dropped.
struct Mount {
    place: tempfile::TempDir,
}

impl Mount {
    fn read_only(device: &str) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("novactl-").tempdir().context("making a mount point")?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mount = |kind: &&str| rustix::mount::mount(device, place.path(), *kind, flags, None).is_ok();
        if !KINDS.iter().any(mount) {
            bail!("mounting the config drive {device}: it is neither iso9660 nor vfat, or this is not root");
        }
        Ok(Self { place })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(e) = rustix::mount::unmount(self.place.path(), UnmountFlags::DETACH) {
            tracing::warn!("unmounting {}: {e}", self.place.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_system_of_config_drives_is_looked_at_where_it_is_mounted() {
        let cases = [
            ("/dev/sr0 /media/a\\040b iso9660 ro,relatime 0 0", Some("/media/a b")),
            ("/dev/xvdd /mnt vfat ro 0 0", Some("/mnt")),
            ("/dev/xvdd /mnt ext4 rw 0 0", None),
            ("host:/share /mnt nfs4 rw 0 0", None),
            ("broken", None),
        ];
        for (line, place) in cases {
            assert_eq!(place_of(line).as_deref(), place, "{line}");
        }
    }
}
