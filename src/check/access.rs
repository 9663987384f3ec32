//! Checks of the topic access: can somebody log in, with a password that the host sets.
//!
//! The account files are read by [`crate::facts::accounts`], sshd's by [`crate::facts::sshd`]. What a hash or a key is,
//! is never shown.

mod account;
mod keys;
mod labels;
mod shadow;
mod ssh;

use super::{Check, Topic};
use crate::commands::password::unlock;

/// The user whose password the host sets.
const USER: &str = "root";

/// What these checks have in common.
const FILES: Check = Check::of_files(Topic::Access);

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "shadow-intact",
        about: "the file of password hashes is whole",
        probe: |target| Ok(shadow::judged(target)?.findings),
        fix: Some(|target| Ok(shadow::judged(target)?.plan)),
        page: include_str!("pages/shadow-intact.md"),
        ..FILES
    },
    Check {
        id: "root-account-usable",
        about: "root is not locked, expired or without a shell",
        probe: account::usable,
        fix: Some(|target| unlock::plan(target, USER)),
        page: include_str!("pages/root-account-usable.md"),
        ..FILES
    },
    Check {
        id: "root-login-allowed",
        about: "sshd lets root in with a password",
        probe: ssh::probe,
        page: include_str!("pages/root-login-allowed.md"),
        ..FILES
    },
    Check {
        id: "root-hash-scheme",
        about: "root's password is hashed by a scheme of this decade",
        probe: account::scheme,
        page: include_str!("pages/root-hash-scheme.md"),
        ..FILES
    },
    Check {
        id: "selinux-labels",
        about: "files that login needs have their SELinux label",
        probe: labels::probe,
        fix: Some(labels::fix),
        page: include_str!("pages/selinux-labels.md"),
        ..FILES
    },
    Check {
        id: "authorized-keys",
        about: "no key of root was replaced",
        probe: keys::probe,
        page: include_str!("pages/authorized-keys.md"),
        ..FILES
    },
];

#[cfg(test)]
mod tests;
