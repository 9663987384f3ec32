//! A new image that was being written beside the old one when the program was killed.
//!
//! It is known by its name, which has that of the image in it, and by its lock: who writes one holds it (qemu-img while
//! it converts, then this program), and a program that was killed does not. Looking says that it is there; the next
//! change of the image removes it. What other releases or other images left is not touched.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::busy;
use crate::root::{Kind, Root};

/// The longest part of the image's name that is in the other, in bytes: a name has 255.
const NAME_MAX: usize = 200;

/// The file.
#[derive(Debug)]
pub(super) struct Leftover {
    path: PathBuf,
    size: u64,
    /// Its lock: nobody else takes it while it is looked at.
    _lock: File,
}

/// Returns how the name begins of a new image that is to replace one.
pub(super) fn prefix(image: &Path) -> String {
    let name = image.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let end = (0..=NAME_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!(".novactl-{}-", &name[..end])
}

/// Holds a new image from its conversion on; before, qemu-img does, which a second lock would keep out on some network
/// file systems. Where there are no locks nobody is kept out.
///
/// # Errors
/// It cannot be locked.
pub(super) fn hold(new: &File) -> Result<()> {
    match rustix::fs::flock(new, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        locked => locked.context("locking the new image"),
    }
}

/// Returns what was left beside an image; nothing where the directory may not be listed.
///
/// # Errors
/// The directory cannot be read for another reason.
pub(super) fn of(image: &Path) -> Result<Vec<Leftover>> {
    let here = Root::live()?;
    let dir = image.parent().unwrap_or(Path::new("/"));
    let prefix = prefix(image);
    // what the new image's name has behind the prefix (tempfile)
    let is_of_it = |name: &str| {
        let rest = name.strip_prefix(&prefix);
        rest.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let entries = match here.read_dir(&dir.to_string_lossy()) {
        Err(e) if e.chain().any(|cause| cause.downcast_ref() == Some(&Errno::ACCESS)) => {
            return Ok(Vec::new());
        }
        entries => entries?,
    };
    let names = entries.into_iter().map(|entry| entry.name);
    names
        .filter(|name| is_of_it(name))
        .filter_map(|name| Leftover::at(&here, dir.join(name)).transpose())
        .collect()
}

impl Leftover {
    /// `None` where somebody writes it just now, or it is no file of ours.
    fn at(here: &Root, path: PathBuf) -> Result<Option<Self>> {
        let looking = || format!("looking at {}", path.display());
        let stat = here.lstat_opt(&path.to_string_lossy())?;
        let Some(stat) = stat.filter(|stat| stat.kind == Kind::File) else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::ACCESS) => return Ok(None),
            Err(e) => return Err(e).with_context(looking),
        };
        let facts = rustix::fs::fstat(&file).with_context(looking)?;
        let is_ours = facts.st_uid == rustix::process::geteuid().as_raw();
        let is_free = busy::locked(here, &facts).is_none()
            && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        Ok((is_ours && is_free).then_some(Self { path, size: stat.size, _lock: file }))
    }

    /// Says that it is there.
    pub(super) fn words(&self) -> String {
        format!(
            "{} is left of a change that was killed ({} bytes); the image is as it was, and its next change removes it",
            self.path.display(),
            self.size
        )
    }

    /// Removes it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(self) -> Result<()> {
        rustix::fs::unlink(&self.path).with_context(|| format!("removing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "makes files")]
    use super::*;

    #[test]
    fn what_was_killed_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("web01.vhd");
        for name in [
            "web01.vhd",
            ".novactl-web01.vhd-aB3dE6",
            ".novactl-web02.vhd-aB3dE6",
            ".novactl-web01.vhd-notes.txt",
            ".novactl-aB3dE6",
        ] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let written = tempfile::Builder::new().prefix(&prefix(&image)).tempfile_in(dir.path()).unwrap();
        hold(written.as_file()).unwrap();
        let found = of(&image).unwrap();
        let names: Vec<_> =
            found.iter().map(|left| left.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, [".novactl-web01.vhd-aB3dE6"]);
        found.into_iter().try_for_each(Leftover::remove).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5);
        drop(written);
        assert!(of(&image).unwrap().is_empty());
    }

    #[test]
    fn a_long_name_stays_a_name() {
        let image = Path::new("/x").join("ä".repeat(127));
        assert_eq!(prefix(&image).len(), ".novactl--".len() + NAME_MAX);
    }
}
