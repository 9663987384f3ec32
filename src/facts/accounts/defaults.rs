//! login.defs: what the programs of shadow-utils do when nobody says otherwise.

use anyhow::Result;

use crate::root::Root;

/// Where it is.
pub const LOGIN_DEFS: &str = "etc/login.defs";

/// Where openSUSE keeps the vendor's copy, which counts as long as there is no other.
const VENDOR: &str = "usr/etc/login.defs";

/// The settings of login.defs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    text: String,
    /// The file they come from.
    pub path: &'static str,
}

impl Defaults {
    /// Reads them; none where there is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(root: &Root) -> Result<Self> {
        for path in [LOGIN_DEFS, VENDOR] {
            if let Some(text) = root.text_opt(path)? {
                return Ok(Self { text, path });
            }
        }
        Ok(Self { text: String::new(), path: LOGIN_DEFS })
    }

    /// Returns the value of a setting and its line. The first counts, in any case, with or without `=`: so pam_unix
    /// reads it, which decides at a login (Linux-PAM libpam/pam_modutil_searchkey.c).
    pub fn get(&self, name: &str) -> Option<(&str, usize)> {
        for (number, line) in self.text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let (key, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
            if key.eq_ignore_ascii_case(name) {
                return Some((value.trim_start_matches([' ', '\t', '=']), number + 1));
            }
        }
        None
    }
}
