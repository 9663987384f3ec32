//! A tree as it stands: names, kinds, modes, owners, times and contents, to show that looking changed nothing.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Bytes of a file that count; the rest of a huge sparse one is zeros.
const HASHED_MAX: u64 = 64 << 20;

/// What stands at each path.
pub(crate) type Snapshot = BTreeMap<PathBuf, u64>;

/// Returns a tree as it stands.
pub(crate) fn of(root: &Path) -> Result<Snapshot> {
    let mut found = Snapshot::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let stat = path.symlink_metadata()?;
        let mut hash = DefaultHasher::new();
        (stat.mode(), stat.uid(), stat.gid(), stat.size(), stat.nlink()).hash(&mut hash);
        (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()).hash(&mut hash);
        let kind = stat.file_type();
        if kind.is_dir() {
            for entry in fs::read_dir(&path)? {
                ahead.push(entry?.path());
            }
        } else if kind.is_symlink() {
            fs::read_link(&path)?.as_os_str().as_bytes().hash(&mut hash);
        } else if kind.is_file() && stat.size() <= HASHED_MAX {
            fs::read(&path)?.hash(&mut hash);
        } else {
            (kind.is_fifo(), kind.is_char_device(), kind.is_socket()).hash(&mut hash);
        }
        found.insert(path, hash.finish());
    }
    Ok(found)
}

/// Returns the paths that differ, each with what happened to it.
pub(crate) fn changes(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let gone =
        before.keys().filter(|path| !after.contains_key(*path)).map(|p| format!("{} is gone", p.display()));
    let other = after.iter().filter(|(path, hash)| before.get(*path) != Some(hash));
    gone.chain(other.map(|(path, _)| format!("{} is new or changed", path.display()))).collect()
}
