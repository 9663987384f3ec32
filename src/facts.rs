//! Facts about a system, drawn from its files, so that a mounted disk gives the same answers as the running guest.
//! Processes alone are live. Facts judge nothing: that is what checks do.

pub mod accounts;
pub mod agents;
pub mod boot;
pub mod boot_log;
pub mod cloud_init;
pub mod hypervisor;
pub mod identity;
pub mod init;
pub mod kernel;
pub mod log;
pub mod names;
pub mod os;
pub mod packages;
pub mod processes;
pub mod python;
mod shell;
pub mod sshd;
pub mod tools;
#[cfg(test)]
pub(crate) mod tree;
