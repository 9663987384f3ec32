//! Facts about a system, drawn from its files, so that a mounted disk gives the same answers as the running guest.
//! Processes alone are live. Facts judge nothing: that is what checks do.

pub mod agents;
pub mod identity;
pub mod init;
pub mod os;
pub mod packages;
pub mod processes;
pub mod tools;
