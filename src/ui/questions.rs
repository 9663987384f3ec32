//! Questions on the terminal, and what somebody says to them.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{password, visible};
use crate::secret::Secret;

/// What somebody says to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No, or nothing.
    No,
    /// There is no terminal to ask on.
    NobodyThere,
}

/// Somebody left at a question: by Ctrl-C, or by closing the terminal.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted: nothing is left half-done")
    }
}

impl std::error::Error for Interrupted {}

/// Whether there is a terminal to ask on.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question on the terminal; no is the default.
///
/// # Errors
/// [`Interrupted`], or the terminal cannot be read.
pub fn confirm(question: &str) -> anyhow::Result<Answer> {
    if !is_terminal() {
        return Ok(Answer::NobodyThere);
    }
    // a whole line: what is typed on to a key that was taken for an answer would reach the shell
    let line = asked(|| {
        let input = dialoguer::Input::<String>::new().with_prompt(format!("{} [y/N]", visible(question)));
        input.allow_empty(true).interact_text()
    })?;
    let is_yes = ["y", "yes"].iter().any(|yes| line.trim().eq_ignore_ascii_case(yes));
    Ok(if is_yes { Answer::Yes } else { Answer::No })
}

/// Lets somebody choose one of several lines, and returns its place; `None` when Esc or `q` was typed.
///
/// # Errors
/// [`Interrupted`], or the terminal cannot be read.
pub fn choose(question: &str, items: &[&str], default: usize) -> anyhow::Result<Option<usize>> {
    asked(|| dialoguer::Select::new().with_prompt(question).items(items).default(default).interact_opt())
}

/// Asks for a new password on the terminal, twice and unseen; `None` when there is no terminal to ask on.
///
/// # Errors
/// [`Interrupted`], or the terminal cannot be read.
pub fn new_password(user: &str) -> anyhow::Result<Option<Secret>> {
    if !is_terminal() {
        return Ok(None);
    }
    asking(true);
    let password = password::ask(&format!("New password of {}", visible(user)));
    asking(false);
    password.map(Some)
}

/// Waits for an answer. Whoever leaves at the question gets a terminal with its cursor back.
fn asked<T>(interact: impl FnOnce() -> dialoguer::Result<T>) -> anyhow::Result<T> {
    asking(true);
    let answer = interact();
    asking(false);
    answer.map_err(|dialoguer::Error::IO(error)| {
        tracing::debug!("reading an answer: {error}");
        // a terminal that is gone has neither cursor nor lines
        let terminal = dialoguer::console::Term::stderr();
        let _ = terminal.show_cursor().and_then(|()| terminal.write_line(""));
        Interrupted.into()
    })
}

/// Says whether a question stands.
fn asking(stands: bool) {
    static ASKING: std::sync::LazyLock<Arc<AtomicBool>> = std::sync::LazyLock::new(|| {
        let asking = Arc::<AtomicBool>::default();
        for signal in [SIGTERM, SIGHUP] {
            // while a question stands nothing is open: they may end the program as they do by default, also when a
            // change before it has set handlers
            let set = signal_hook::flag::register_conditional_default(signal, Arc::clone(&asking));
            set.inspect_err(|e| tracing::debug!("handling signals: {e}")).ok();
        }
        // Ctrl-C is to end the question, not the program: the cursor is hidden
        let set = signal_hook::flag::register(SIGINT, Arc::default());
        set.inspect_err(|e| tracing::debug!("handling signals: {e}")).ok();
        asking
    });
    ASKING.store(stands, Ordering::Relaxed);
}
