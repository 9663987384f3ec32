//! Errors that are the caller's: exit code 2.

use std::fmt;

use crate::check;

/// A wrong argument and what to type instead.
#[derive(Debug)]
pub struct Usage {
    text: String,
    hint: String,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.text, self.hint)
    }
}

impl std::error::Error for Usage {}

/// A check's name that does not exist.
pub(super) fn no_such_check(id: &str) -> anyhow::Error {
    let near = check::near(id);
    let hint = if near.is_empty() {
        "novactl doctor --list shows the checks".to_owned()
    } else {
        format!("did you mean {}? novactl doctor --list shows all", near.join(", "))
    };
    Usage { text: format!("no check is called {id:?}"), hint }.into()
}
