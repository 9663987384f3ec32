//! Checks of the topic registration: subscription, clock and SELinux.

mod clock;
mod denials;
mod subscription;
#[cfg(test)]
mod tests;

use super::{Check, Needs, Topic};

/// What these checks have in common.
const FILES: Check = Check::of_files(Topic::Registration);

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "registration",
        about: "a RHEL system can be registered",
        probe: subscription::probe,
        page: include_str!("pages/registration.md"),
        ..FILES
    },
    Check {
        id: "clock",
        about: "the clock is not far off",
        needs: Needs::LIVE,
        probe: clock::probe,
        page: include_str!("pages/clock.md"),
        ..FILES
    },
    Check {
        id: "selinux-denials",
        about: "SELinux denies the agent nothing",
        probe: denials::probe,
        page: include_str!("pages/selinux-denials.md"),
        ..FILES
    },
];
