//! The screen: width, colour, line breaking, tables. Everything that a person reads goes through here.
//!
//! What comes from a customer's disk or from the host is untrusted: control characters are made visible, so that no
//! escape sequence reaches the terminal.

mod password;
mod questions;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use owo_colors::{OwoColorize, Style};

pub use questions::{Answer, Interrupted, choose, confirm, is_terminal, new_password};

use crate::check::Status;
use crate::report::nagios;
use crate::secret::Secret;

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that can, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into files and pipes
    Always,
    /// Never
    Never,
}

/// How much a person wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// The verdict.
    Quiet,
    /// What matters.
    Normal,
    /// Everything that was looked at.
    Verbose,
}

/// Where a report for people is written.
pub struct Ui {
    out: Box<dyn Write>,
    color: bool,
    width: usize,
}

/// A row of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The cells; the status gives a cell its colour.
    pub cells: Vec<(Option<Status>, String)>,
    /// Lines below the row.
    pub below: Vec<String>,
}

impl Ui {
    /// Returns the standard output, probed once.
    pub fn stdout(color: Color) -> Self {
        let stdout = io::stdout();
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        let width = size.map_or(80, |size| usize::from(size.ws_col)).clamp(40, 120);
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => wants_color(stdout.is_terminal(), |name| std::env::var_os(name)),
        };
        Self {
            out: Box::new(io::BufWriter::new(stdout.lock())),
            color,
            width: if width == 0 { 80 } else { width },
        }
    }

    /// Returns the standard error, for what has to be read before a question.
    pub fn stderr(color: Color) -> Self {
        let stdout = Self::stdout(color);
        Self { out: Box::new(io::stderr()), color: stdout.color && io::stderr().is_terminal(), ..stdout }
    }

    /// Returns a screen without colour that writes to `out`, `width` columns wide.
    pub fn plain(out: Box<dyn Write>, width: usize) -> Self {
        Self { out, color: false, width }
    }

    /// Returns the columns that a line may have.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes one line as it is, but for control characters. It is not broken: commands must stay whole to be copied.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", visible(text))
    }

    /// Writes a JSON document. JSON escapes the control characters below U+0020 by itself; the others that act on a
    /// terminal can stand in its strings only and are escaped here. All of them are below U+10000.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn document(&mut self, text: &str) -> io::Result<()> {
        let is_raw = |c: char| c != '\n' && is_hidden(c);
        if !text.contains(is_raw) {
            return writeln!(self.out, "{text}");
        }
        let escaped = |c: char| if is_raw(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
        writeln!(self.out, "{}", text.chars().map(escaped).collect::<String>())
    }

    /// Writes text broken at blanks, the first line after `first`, the others after `indent` blanks.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn paragraph(&mut self, first: &str, indent: usize, text: &str) -> io::Result<()> {
        self.broken(first, first.chars().count(), indent, text)
    }

    /// Breaks text at blanks behind `first`, which takes `used` columns.
    fn broken(&mut self, first: &str, mut used: usize, indent: usize, text: &str) -> io::Result<()> {
        let text = visible(text);
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split_whitespace() {
            let length = word.chars().count();
            if !empty && used + 1 + length > self.width {
                writeln!(self.out, "{}", line.trim_end())?;
                line = " ".repeat(indent);
                used = indent;
                empty = true;
            }
            if !empty {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
            empty = false;
        }
        writeln!(self.out, "{}", line.trim_end())
    }

    /// Writes a command to copy, quoted for a shell and never broken.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn command(&mut self, indent: &str, argv: &[String]) -> io::Result<()> {
        writeln!(self.out, "{indent}$ {}", shell_line(argv))
    }

    /// Writes a unified diff.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn diff(&mut self, diff: &str) -> io::Result<()> {
        for line in diff.lines() {
            let status = match line.as_bytes().first() {
                Some(b'+') => Status::Ok,
                Some(b'-') => Status::Fail,
                Some(b'@') => Status::Note,
                _ => Status::Skipped,
            };
            let shown = visible(line);
            let shown = if status == Status::Skipped { shown } else { self.in_color(status, &shown) };
            writeln!(self.out, "  {shown}")?;
        }
        Ok(())
    }

    /// Returns a text in the colour of a status.
    fn in_color(&self, status: Status, text: &str) -> String {
        let style = match status {
            Status::Fail => Style::new().red().bold(),
            Status::Warn | Status::Unknown => Style::new().yellow().bold(),
            Status::Note => Style::new().cyan(),
            Status::Ok => Style::new().green(),
            Status::Skipped | Status::Blocked => Style::new().dimmed(),
        };
        if self.color { text.style(style).to_string() } else { text.to_owned() }
    }

    /// Writes a coloured word and the rest of its line, broken at blanks.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn headed(&mut self, status: Status, head: &str, rest: &str) -> io::Result<()> {
        let colored = self.in_color(status, head);
        self.broken(&colored, head.chars().count(), 8, rest)
    }

    /// Writes a table: cells in columns that are as wide as they need, two blanks between them, and below each row
    /// its further lines, indented.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn table(&mut self, header: &[&str], rows: &[Row]) -> io::Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(header);
        for row in rows {
            table.add_row(row.cells.iter().map(|(status, text)| match status {
                Some(status) => self.in_color(*status, &visible(text)),
                None => visible(text),
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut lines = table.lines();
        if let Some(header) = lines.next() {
            writeln!(self.out, "{}", header.trim_end())?;
        }
        for (line, row) in lines.zip(rows) {
            writeln!(self.out, "{}", line.trim_end())?;
            for below in &row.below {
                self.paragraph("    ", 4, below)?;
            }
        }
        Ok(())
    }

    /// Ends the report.
    ///
    /// # Errors
    /// The screen cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a drawn password on the standard output, the only secret that is ever shown.
///
/// # Errors
/// It cannot be written.
pub fn show_password(password: &Secret) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"password: ")?;
    out.write_all(password.expose())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Asks for a line on the terminal until `check` has nothing against it; what is there now can be edited. `None`: there
/// is no terminal to ask on.
///
/// # Errors
/// The terminal cannot be read.
pub fn ask(
    question: &str,
    now: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> anyhow::Result<Option<String>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let input = dialoguer::Input::<String>::new()
        .with_prompt(question)
        .with_initial_text(visible(now))
        .allow_empty(true)
        .validate_with(|text: &String| check(text.trim()));
    Ok(Some(input.interact_text()?.trim().to_owned()))
}

/// Says on the standard error what is going on.
#[expect(clippy::print_stderr, reason = "the one place that writes to it")]
pub fn progress(volume: Volume, text: &str) {
    if volume != Volume::Quiet {
        eprintln!("{}", visible(text));
    }
}

/// Says in the one line that a monitoring system reads why nothing could be judged.
pub fn unknown(error: &anyhow::Error) -> ExitCode {
    let line = nagios::Line {
        service: "NOVACTL",
        state: nagios::State::Unknown,
        text: visible(&format!("{error:#}")),
        perfdata: Vec::new(),
    };
    // whoever has closed the pipe reads the exit code
    let _ = writeln!(io::stdout(), "{line}");
    ExitCode::from(line.state as u8)
}

/// Says on the standard error why a command could not be done and what to type next.
#[expect(clippy::print_stderr, reason = "the one place that writes to it")]
pub fn error(error: &anyhow::Error, hint: Option<&str>) {
    let text = format!("{error:#}");
    if io::stderr().is_terminal() {
        // a console breaks lines within words
        let mut ui = Ui::stderr(Color::Never);
        let _ = ui.paragraph("error: ", 7, &text);
        let _ = hint.map_or(Ok(()), |hint| ui.paragraph("hint: ", 6, hint)).and_then(|()| ui.flush());
        return;
    }
    eprintln!("error: {}", visible(&text));
    if let Some(hint) = hint {
        eprintln!("hint: {}", visible(hint));
    }
}

/// Whether colour is wanted, by the conventions of no-color.org and bixense.com/clicolors.
fn wants_color(terminal: bool, var: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    let set = |name| var(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if var("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
        return true;
    }
    terminal && var("TERM").is_none_or(|term| !is_colorless(&term.to_string_lossy()))
}

/// Whether a terminal has no colour: DEC's, which a serial console names, or none that is known (terminfo).
fn is_colorless(term: &str) -> bool {
    let digits = term.strip_prefix("vt").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    digits || term == "dumb"
}

/// Returns a command as a line to copy, quoted for a shell.
pub(crate) fn shell_line(argv: &[String]) -> String {
    argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a shell. Control characters become `?`: such a word is not to be run unseen.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let shown: String = word.chars().map(|c| if is_hidden(c) { '?' } else { c }).collect();
    // double quotes read better around single ones, where nothing in the word is special in them
    if shown.contains('\'')
        && !shown.contains(['"', '$', '`', '!'])
        && !shown.ends_with('\\')
        && !shown.contains("\\\\")
    {
        return format!("\"{shown}\"");
    }
    format!("'{}'", shown.replace('\'', "'\\''"))
}

/// Whether a character acts on the terminal instead of being shown: controls, and marks that reorder text.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Makes control characters visible: an escape sequence in a customer's file must not reach the terminal.
pub(crate) fn visible(text: &str) -> String {
    if !text.contains(is_hidden) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_hidden(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A screen's memory that the test can look at.
    #[derive(Clone, Default)]
    struct Screen(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_table_has_its_lines_below_the_rows() {
        let screen = Screen::default();
        let cells = |a: &str, b: &str| vec![(None, a.to_owned()), (Some(Status::Fail), b.to_owned())];
        let rows = [
            Row { cells: cells("a\tb", "x"), below: vec!["below it".to_owned()] },
            Row { cells: cells("c", "longer"), below: vec![] },
        ];
        Ui::plain(Box::new(screen.clone()), 80).table(&["ONE", "TWO"], &rows).unwrap();
        let text = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "ONE   TWO\na\\tb  x\n    below it\nc     longer\n");
    }

    #[test]
    fn escape_sequences_are_made_visible() {
        assert_eq!(visible("a\u{1b}[31mb\tc"), "a\\u{1b}[31mb\\tc");
    }

    #[test]
    fn a_document_keeps_its_meaning_and_no_escape_sequence() {
        let told = "\u{1b}[31m\u{9b}31m\u{7f}\u{202e}\r\nä";
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut ui = Ui::plain(Box::new(file.reopen().unwrap()), 80);
        ui.document(&serde_json::to_string_pretty(&[told]).unwrap()).unwrap();
        let written = std::fs::read_to_string(file.path()).unwrap();
        assert!(!written.contains(|c| c != '\n' && is_hidden(c)), "{written:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&written).unwrap(), [told]);
    }

    #[test]
    fn commands_can_be_copied_into_a_shell() {
        assert_eq!(quoted("/mnt/rescue"), "/mnt/rescue");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(r"printf '%s\n' x"), r#""printf '%s\n' x""#);
        assert_eq!(quoted(r"it's\"), r"'it'\''s\'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\u{1b}b"), "'a?b'");
    }

    #[test]
    fn colour_follows_the_conventions() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into())
        };
        assert!(wants_color(true, env(&[("TERM", "xterm")])));
        assert!(!wants_color(false, env(&[])));
        assert!(!wants_color(true, env(&[("TERM", "dumb")])));
        assert!(!wants_color(true, env(&[("TERM", "vt100")])));
        assert!(wants_color(true, env(&[("TERM", "vte-256color")])));
        assert!(!wants_color(true, env(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")])));
        assert!(wants_color(false, env(&[("CLICOLOR_FORCE", "1")])));
        assert!(!wants_color(false, env(&[("CLICOLOR_FORCE", "0")])));
        assert!(wants_color(true, env(&[("NO_COLOR", "")])));
    }
}
