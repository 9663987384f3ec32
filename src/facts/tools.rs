//! The XenServer Tools daemons that are installed.

use super::init::Services;
use crate::root::Root;

/// The tools of a target.
#[derive(Debug, Default)]
pub struct Tools {}

impl Tools {
    /// Looks for the tools.
    pub fn of(_root: &Root, _services: &Services) -> Self {
        Self::default()
    }
}
