//! Checks of the topic xentools.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
