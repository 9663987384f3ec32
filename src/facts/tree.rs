//! Temporary trees that stand for a mounted disk, for the tests of facts and checks.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::root::Root;

/// A tree that is removed when it is dropped.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// Makes a tree with these files.
    pub(crate) fn of<B: AsRef<[u8]>>(files: &[(&str, B)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, bytes) in files {
            std::fs::write(tree.place(path), bytes).unwrap();
        }
        tree
    }

    /// Adds a link.
    pub(crate) fn link(self, path: &str, to: &str) -> Self {
        symlink(to, self.place(path)).unwrap();
        self
    }

    /// Returns the tree as a root.
    pub(crate) fn root(&self) -> Root {
        Root::open(self.0.path()).unwrap()
    }

    /// Returns where it is on this machine.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn place(&self, path: &str) -> std::path::PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}
