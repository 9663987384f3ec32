//! Trees of the recorded guests, for tests to which only the tree counts.

#[path = "elf.rs"]
mod elf;
#[path = "manifest.rs"]
#[expect(dead_code, reason = "here only the trees count, not what is expected of them")]
mod manifest;

use std::path::Path;

/// Makes the tree of a guest.
pub(crate) fn guest(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    manifest::Manifests::read(&guests).unwrap().guest(name).unwrap().unpack(dir.path()).unwrap();
    dir
}
