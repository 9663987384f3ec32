//! Errors for which there is something to type next.

use std::fmt;
use std::path::Path;

use crate::check;
use crate::report::Exit;

/// Why a command was not done, and the next step.
#[derive(Debug)]
pub struct Trouble {
    text: String,
    /// What to type, or where to look.
    pub hint: String,
    /// The exit code that it makes.
    pub exit: Exit,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

/// A check's name that does not exist.
pub(super) fn no_such_check(id: &str) -> anyhow::Error {
    let near = check::near(id);
    let hint = if near.is_empty() {
        "novactl doctor --list shows the checks".to_owned()
    } else {
        format!("did you mean {}? novactl doctor --list shows all", near.join(", "))
    };
    Trouble { text: format!("no check is called {id:?}"), hint, exit: Exit::Usage }.into()
}

/// A root that cannot be looked at.
pub(super) fn no_root(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    let hint = format!(
        "--root takes the directory on which the sick system's disk is mounted; ls {} shows whether it is one",
        path.display()
    );
    Trouble { text: format!("{error:#}"), hint, exit: Exit::CannotJudge }.into()
}
