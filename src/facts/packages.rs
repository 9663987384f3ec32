//! Versions of installed packages, read from the package manager's own files.

use anyhow::Result;

use crate::root::Root;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version as the package manager writes it, such as `2.1.25-1` or `219-19.el7`.
    pub version: String,
    /// The file that says so.
    pub source: String,
}

/// Returns the installed package of this name, or `None`.
///
/// # Errors
/// The package manager's files cannot be read.
pub fn find(_root: &Root, _name: &str) -> Result<Option<Package>> {
    Ok(None)
}
