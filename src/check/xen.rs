//! Checks of the topic xen.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
