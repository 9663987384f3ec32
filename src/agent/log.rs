//! The agent's log: to the journal by way of standard error, or to a file that never grows beyond two MiB.
//!
//! A line is as nova-agent 2.x writes it, so that people and `doctor` read both alike; the time is UTC. Nothing that a
//! request carries is logged but its id and its command. The services without a journal name the file that
//! `facts::log` looks for.

use std::fmt;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::date::Date;

/// When a log becomes the old one, in bytes; one old one is kept.
const FULL: u64 = 1 << 20;

/// Starts logging to a file, or to standard error.
///
/// # Errors
/// The file cannot be opened.
pub fn start(file: Option<&Path>, level: Level) -> Result<()> {
    let builder = tracing_subscriber::fmt().with_max_level(level).event_format(Line);
    match file {
        Some(path) => builder.with_writer(LogFile::open(path)?).init(),
        None => builder.with_writer(std::io::stderr).init(),
    }
    Ok(())
}

/// `2026-11-21 22:53:23,684 [INFO ] text`
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNI",
            Level::INFO => "INFO ",
            _ => "DEBUG",
        };
        write!(writer, "{},{:03} [{level}] ", Date::of(now.as_secs()), now.subsec_millis())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The file, and how full it is.
struct LogFile {
    path: PathBuf,
    state: Mutex<(OwnedFd, u64)>,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self> {
        let state = opened(path).with_context(|| format!("opening the log {}", path.display()))?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }
}

fn opened(path: &Path) -> std::io::Result<(OwnedFd, u64)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
    let size = rustix::fs::fstat(&fd)?.st_size;
    Ok((fd, u64::try_from(size).unwrap_or_default()))
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = &'a LogFile;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 >= FULL {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            rustix::fs::rename(&self.path, &old)?;
            *state = opened(&self.path)?;
        }
        let written = rustix::io::write(&state.0, line)?;
        state.1 += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_becomes_the_old_one_and_no_third_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        let log = LogFile::open(&path).unwrap();
        let line = vec![b'x'; 1 << 18];
        for _ in 0..14 {
            (&log).write_all(&line).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
            })
            .collect();
        names.sort();
        let wanted = [("agent.log", 2 << 18), ("agent.log.1", 4 << 18)];
        assert_eq!(names, wanted.map(|(name, size)| (name.to_owned(), size)));
    }
}
