//! A tree byte for byte: kinds, modes, owners, contents and links of everything in it, to compare two states of it.
//! Times are left out: what was taken back has new ones.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "a module of several test programs")]

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What stands at each path.
pub type Identity = BTreeMap<PathBuf, String>;

/// Returns the identity of some directories of a tree.
pub fn of(root: &Path, dirs: &[&str]) -> Identity {
    let mut found = Identity::new();
    let mut ahead: Vec<PathBuf> = dirs.iter().map(|dir| root.join(dir)).collect();
    while let Some(path) = ahead.pop() {
        let Ok(stat) = path.symlink_metadata() else { continue };
        let kind = stat.file_type();
        let holds = if kind.is_dir() {
            ahead.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", std::fs::read_link(&path).unwrap().display())
        } else if kind.is_file() {
            format!("{:x?}", Sha256::digest(std::fs::read(&path).unwrap()))
        } else {
            format!("{} {}", kind.is_socket(), stat.rdev())
        };
        let text = format!("{:o} {}:{} {holds}", stat.mode(), stat.uid(), stat.gid());
        found.insert(path.strip_prefix(root).unwrap().to_owned(), text);
    }
    found
}

/// Returns the paths that differ, each with both states.
pub fn differences(before: &Identity, after: &Identity) -> Vec<String> {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    let differ = paths.filter(|path| before.get(*path) != after.get(*path));
    differ
        .map(|path| format!("{}: {:?} became {:?}", path.display(), before.get(path), after.get(path)))
        .collect()
}
