//! What the host can ask for, as plan functions: the agent and the subcommands fill the same arguments.

pub mod hostname;
pub mod network;
pub mod password;
