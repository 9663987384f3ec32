//! Errors for which there is something to type next.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use super::Global;
use crate::check;
use crate::disk::Refused;
use crate::plan::journal::Busy;
use crate::report::failure::Failure;
use crate::report::{Exit, Format};
use crate::ui::{self, Color, Interrupted, Ui};
use crate::xenstore;

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

/// Says why a command has no result, in the form that was asked for, and returns the exit code.
pub fn tell(error: &anyhow::Error, global: &Global) -> ExitCode {
    tracing::debug!("{error:?}");
    if global.format == Format::Nagios {
        return ui::unknown(error);
    }
    let trouble = error.downcast_ref::<Trouble>();
    // a hint is about the system that was named
    let hint = trouble.map(|trouble| check::in_words(&global.options(), &trouble.hint));
    let hint = hint.as_deref();
    let interrupted = error.is::<Interrupted>().then_some(Exit::Interrupted);
    let exit = interrupted.unwrap_or(trouble.map_or(Exit::CannotJudge, |trouble| trouble.exit));
    ui::error(error, hint);
    if global.format == Format::Json {
        document(&Failure::new(format!("{error:#}"), hint, exit));
    }
    exit.into()
}

/// Says what is wrong with the command line, or shows the help that was asked for. The format is not parsed then: its
/// option is looked for among the words.
pub fn tell_usage(error: &clap::Error) -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let asks = |format: Format| {
        let joined = format!("--format={}", format.word());
        words.iter().any(|word| *word == *joined)
            || words.windows(2).any(|pair| pair[0] == *"--format" && pair[1] == *format.word())
    };
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let first = first.split_whitespace().collect::<Vec<_>>().join(" ");
    if error.use_stderr() && asks(Format::Nagios) {
        return ui::unknown(&anyhow::Error::msg(first));
    }
    // whoever has closed the pipe reads the exit code
    let _ = error.print();
    if error.use_stderr() && asks(Format::Json) {
        document(&Failure::new(first, Some("--help behind the command shows its options"), Exit::Usage));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// The standard output has a document whatever happens; whoever has closed it reads the exit code.
fn document(failure: &Failure) {
    let text = serde_json::to_string_pretty(failure).unwrap_or_default();
    let mut ui = Ui::stdout(Color::Never);
    let _ = ui.document(&text).and_then(|()| ui.flush());
}

/// A store that was named and is none.
pub(super) fn no_such_store(error: &xenstore::Error) -> anyhow::Error {
    let hint = match error {
        xenstore::Error::Denied(_) => "run it as root, or as a user who may read it",
        _ => {
            "--xenstore (or XENSTORED_PATH) takes a device, a socket of xenstored or a JSON dump; without it a running \
             guest's is found by itself"
        }
    };
    Trouble::new(error.to_string(), hint, Exit::CannotJudge).into()
}

/// A check's name that does not exist.
pub(super) fn no_such_check(id: &str) -> anyhow::Error {
    if check::every().any(|check| check.id == id) {
        let text = format!("{id} is judged by fix-image, not by doctor");
        let hint = format!("novactl fix-image --dry-run shows it; novactl explain {id} says what it means");
        return Trouble { text, hint, exit: Exit::Usage }.into();
    }
    let near = check::near(id);
    let hint = if near.is_empty() {
        "novactl doctor --list shows the checks".to_owned()
    } else {
        format!("did you mean {}? novactl doctor --list shows all", near.join(", "))
    };
    Trouble { text: format!("no check is called {id:?}"), hint, exit: Exit::Usage }.into()
}

/// A name that is neither a check nor a step of `fix-image`.
pub(super) fn no_such_step(name: &str) -> anyhow::Error {
    let near = check::near(name);
    let near = near.first().map_or(String::new(), |near| format!("did you mean {near}? "));
    let hint =
        format!("{near}novactl fix-image --list-steps shows the steps, novactl doctor --list the checks");
    Trouble::new(format!("no check and no step is called {name:?}"), hint, Exit::Usage).into()
}

/// A format that cannot hold what a command reports.
pub(super) fn no_such_format(format: Format) -> anyhow::Error {
    let text = format!("{} holds a diagnosis, which this command does not make", format.word());
    let hint = "--format table and json go with everything, prometheus, junit and markdown with doctor (without \
                --fix, --guide, --list) and check-xentools";
    Trouble::new(text, hint, Exit::Usage).into()
}

/// Questions in a format for programs.
pub(super) fn no_questions_in(format: Format) -> anyhow::Error {
    let text = format!("--guide asks a person, --format {} is for a program", format.word());
    Trouble::new(text, "leave one of them out", Exit::Usage).into()
}

/// Questions without a terminal.
pub(super) fn no_terminal() -> anyhow::Error {
    let hint =
        "novactl doctor says the same without questions, novactl doctor --fix --yes mends without them";
    Trouble::new("--guide asks questions and there is no terminal to ask on", hint, Exit::Declined).into()
}

/// Somebody said no.
pub(super) fn declined(text: &str) -> anyhow::Error {
    Trouble::new(text, "nothing was changed", Exit::Declined).into()
}

/// A change without anybody who could agree to it.
pub(super) fn no_consent(verb: &str) -> anyhow::Error {
    let text = format!("{verb} changes this system and there is no terminal to ask on");
    Trouble::new(text, "--dry-run shows the change, --yes makes it without asking", Exit::Declined).into()
}

/// The journal cannot be opened, so nothing may be changed.
pub(super) fn no_journal(error: anyhow::Error) -> anyhow::Error {
    let root = rustix::process::geteuid().is_root();
    let hint = if error.is::<Busy>() {
        "nothing was changed: wait until it has ended, then run the command again"
    } else if root {
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

/// A directory that is there and holds no system.
pub(super) fn no_system(root: &Path) -> anyhow::Error {
    let text = format!("there is no system under {}: neither etc nor usr nor bin", root.display());
    let hint =
        "mount the sick system's root file system there (lsblk -f shows it), or name its disk with --disk";
    Trouble::new(text, hint, Exit::CannotJudge).into()
}

/// A root that cannot be looked at.
pub(super) fn no_root(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    let hint = format!(
        "--root takes the directory on which the sick system's disk is mounted; ls {} shows whether it is one",
        path.display()
    );
    Trouble { text: format!("{error:#}"), hint, exit: Exit::CannotJudge }.into()
}
