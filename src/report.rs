//! What a command has to say, for people and for programs, and the exit code that follows from it.

pub mod nagios;

use std::io;

use serde::Serialize;

use crate::ui::Ui;

/// The result of a command.
pub trait Report: Serialize {
    /// Writes it for people.
    ///
    /// # Errors
    /// The screen cannot be written.
    fn human(&self, ui: &mut Ui) -> io::Result<()>;
    /// Returns it as a monitoring plugin's line.
    fn nagios(&self) -> nagios::Line;
    /// Returns the exit code that follows from it.
    fn exit(&self) -> Exit;
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One line of a monitoring plugin, with that world's exit codes
    Nagios,
}

/// The exit codes: a public interface, frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Healthy; or the change was made and verified; or there was nothing to change.
    Ok = 0,
    /// Problems were found (with `--strict`: or warnings); or `--dry-run` shows pending changes.
    Problems = 1,
    /// Usage error.
    Usage = 2,
    /// Could not be done or could not be judged.
    CannotJudge = 3,
    /// A change failed, or did not verify; all of it was taken back.
    ChangeFailed = 4,
    /// A change failed and could not be taken back whole.
    Stuck = 5,
    /// Declined at the prompt, or a prompt was needed and nobody was there.
    Declined = 6,
    /// Interrupted; what had been changed was taken back.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
