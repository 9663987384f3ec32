//! Checks of the topic cloud-init: what it does beside the agent, or instead of it.

use super::Check;

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[];
