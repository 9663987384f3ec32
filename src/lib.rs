//! `novactl` finds out why a XenServer guest's nova-agent does not do its work.
//!
//! 1. **Look** through a [`target::Target`]: rooted files, XenStore, "is it running?".
//! 2. **Judge** with [`check`]s: plain functions from a target to findings.
//! 3. **Decide** with a plan: files to change, then programs to run. A plan is data; making one changes nothing.
//! 4. **Do** in exactly one place, which journals first and can undo.
//! 5. **Say** in exactly one place: `ui`, from a serialisable report.
//!
//! Dependencies point one way: [`cli`] → [`check`] → {[`net`], [`facts`]} → [`target`] → {[`root`], [`exec`],
//! [`xenstore`]}; `ui` is seen by [`cli`] only.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make the trees that Root reads"))]

pub mod agent;
pub mod check;
pub mod cli;
pub mod commands;
pub mod date;
pub mod disk;
pub mod exec;
pub mod facts;
mod glob;
pub mod image;
pub mod net;
pub mod plan;
mod random;
pub mod report;
pub mod revert;
pub mod root;
pub mod route;
pub mod secret;
pub mod session;
pub mod target;
pub mod ui;
pub mod xenstore;
