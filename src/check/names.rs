//! Checks of the topic names: is the server called what it should be.
//!
//! Where a name stands is [`crate::facts::names`]'; how one is set, [`crate::commands::hostname`]'s. A name without a
//! domain and the same with one agree.

mod name;
mod resolves;

use super::{Blocks, Check, Topic};

/// What these checks have in common.
const FILES: Check = Check::of_files(Topic::Names);

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "hostname-file",
        about: "a file names the server",
        probe: name::file,
        fix: Some(name::restore),
        page: include_str!("pages/hostname-file.md"),
        ..FILES
    },
    Check {
        id: "hostname-consistent",
        about: "the files that name the server agree",
        probe: name::consistent,
        fix: Some(name::align),
        page: include_str!("pages/hostname-consistent.md"),
        ..FILES
    },
    Check {
        id: "hostname-not-rescue",
        about: "the server is not called RESCUE-...",
        probe: name::not_rescue,
        // that name is not to be written into another file
        blocks: &[Blocks::Check("hostname-resolves")],
        fix: Some(name::drop_prefix),
        page: include_str!("pages/hostname-not-rescue.md"),
        ..FILES
    },
    Check {
        id: "hostname-resolves",
        about: "the server's own name resolves",
        probe: resolves::probe,
        fix: Some(resolves::fix),
        page: include_str!("pages/hostname-resolves.md"),
        ..FILES
    },
];

#[cfg(test)]
mod tests;
