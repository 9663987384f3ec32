//! Making a system ready for an image of it: what must not be cloned, and who configures the copies.
//!
//! Everything here only plans: [`generalize`] is a list of steps, [`hand_over`] gives a system to cloud-init,
//! [`labels`] gives new files an SELinux label. No program of the system is run.

pub(crate) mod file_contexts;
pub mod generalize;
pub mod hand_over;
mod host_keys;
mod hostname;
pub mod labels;
mod machine_id;
mod name_servers;
mod network;
mod sweep;

pub use host_keys::{HostKeys, Maker};
pub use machine_id::MachineId;

/// Who is to configure the servers built of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The agent, where there is one.
    Agent,
    /// The agent that is there, switched on now.
    AgentSwitchedOn,
    /// The agent that is put in place now.
    NewAgent,
    /// cloud-init.
    CloudInit,
}
