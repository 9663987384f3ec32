//! Checks of the topic access: can somebody log in, with a password that the host sets.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
