//! Errors for which there is something to type next.

use std::fmt;
use std::path::Path;

use crate::check;
use crate::disk::Refused;
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

impl Trouble {
    pub(super) fn new(text: impl Into<String>, hint: impl Into<String>, exit: Exit) -> Self {
        Self { text: text.into(), hint: hint.into(), exit }
    }
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

/// A change without anybody who could agree to it.
pub(super) fn no_consent(verb: &str) -> anyhow::Error {
    let text = format!("{verb} changes this system and there is no terminal to ask on");
    Trouble::new(text, "--dry-run shows the change, --yes makes it without asking", Exit::Declined).into()
}

/// The journal cannot be opened, so nothing may be changed.
pub(super) fn no_journal(error: anyhow::Error) -> anyhow::Error {
    let root = rustix::process::geteuid().is_root();
    let hint = if root {
        "every change is journaled first: make /var/lib/novactl writable"
    } else {
        "run it as root"
    };
    Trouble::new(format!("{error:#}"), hint, Exit::CannotJudge).into()
}

/// A disk that cannot be looked at, or must not be written to.
pub(super) fn no_disk(error: anyhow::Error) -> anyhow::Error {
    let hint = match error.downcast_ref::<Refused>() {
        Some(refused) => refused.hint.clone(),
        None => "lsblk and blkid show the disks of this machine and what is on them".to_owned(),
    };
    Trouble::new(format!("{error:#}"), hint, Exit::CannotJudge).into()
}

/// A disk that was changed and could not be put down.
pub(super) fn not_put_down(error: anyhow::Error, is_interrupted: bool) -> anyhow::Error {
    let hint = match error.downcast_ref::<Refused>() {
        Some(refused) => refused.hint.clone(),
        None => "run the command again".to_owned(),
    };
    let exit = if is_interrupted { Exit::Interrupted } else { Exit::ChangeFailed };
    Trouble::new(format!("{error:#}"), hint, exit).into()
}

/// A root that cannot be looked at.
pub(super) fn no_root(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    let hint = format!(
        "--root takes the directory on which the sick system's disk is mounted; ls {} shows whether it is one",
        path.display()
    );
    Trouble { text: format!("{error:#}"), hint, exit: Exit::CannotJudge }.into()
}
