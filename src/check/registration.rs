//! Checks of the topic registration: subscription, clock and SELinux.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
