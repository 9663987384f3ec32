//! The network that the host asks for and the links that exist.

pub mod links;
