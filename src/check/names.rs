//! Checks of the topic names: is the server called what it should be.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
