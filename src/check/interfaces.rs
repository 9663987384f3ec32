//! Checks of the topic interfaces.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
