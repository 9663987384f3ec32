//! Checks of the topic image: the disk, and what an image of it would carry on.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
