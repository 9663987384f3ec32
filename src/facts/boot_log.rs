//! What was logged of a service at the last boot of a system that does not run: in journald's files, else in the text
//! file of a syslog daemon. On a running guest `journalctl` is asked instead.
//!
//! What stands there is untrusted and bounded. To read another log, add its reader beside the two.

mod journald;
mod text;

use anyhow::Result;

use crate::root::Root;

/// Text files of syslog daemons, in the order in which they are looked for.
const TEXT: [&str; 2] = ["var/log/syslog", "var/log/messages"];

/// Those with what the kernel says, likewise.
const KERNEL: [&str; 3] = ["var/log/kern.log", "var/log/syslog", "var/log/messages"];

/// The most that is read of a text file, in bytes.
const TAIL: u64 = 1 << 20;

/// How much newer than journald's files a text file is where those are not written any more, in seconds.
const STALE: u64 = 3600;

/// The most lines that are kept, the last ones.
const LINES_MAX: usize = 500;

/// The most that is kept of a line, in characters.
const LINE_MAX: usize = 200;

/// By what a service is told in a log.
#[derive(Debug, Clone, Copy)]
pub struct Names<'n> {
    /// The systemd unit (`nova-agent.service`).
    pub unit: &'n str,
    /// The unit's Description, by which systemd before 250 tells that it starts; without it no text file tells that.
    pub description: Option<&'n str>,
    /// The name of the program, which syslog puts before what that writes.
    pub program: Option<&'n str>,
}

/// A line about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The file.
    pub source: String,
    /// Seconds since 1970; none where it cannot be told.
    pub time: Option<u64>,
    /// systemd said it, not the service.
    pub by_systemd: bool,
    /// The line, with its time.
    pub text: String,
}

/// Returns what was said at the last boot about a service, by systemd or by the service itself, in order.
///
/// # Errors
/// A log is there and cannot be read.
pub fn of(root: &Root, names: &Names<'_>) -> Result<Vec<Said>> {
    let journals = journald::of(root, names.unit)?;
    for path in TEXT {
        let Some(stat) = root.stat_opt(path)?.filter(|stat| stat.size > 0) else { continue };
        // a journal that is not kept on the disk any more can lie there still
        let written = u64::try_from(stat.mtime).unwrap_or(0);
        if journals.as_ref().is_some_and(|journals| journals.last + STALE > written) {
            break;
        }
        if let Some(tail) = root.tail_opt(path, TAIL)? {
            return Ok(text::about(path, &tail.text, written, names));
        }
    }
    Ok(journals.map(|journals| journals.said).unwrap_or_default())
}

/// Returns the kernel's last word since the last boot that a program died of a signal, as text files have it.
///
/// # Errors
/// As of [`of`].
pub fn segfault(root: &Root, program: &str) -> Result<Option<Said>> {
    for path in KERNEL {
        let Some(stat) = root.stat_opt(path)?.filter(|stat| stat.size > 0) else { continue };
        let Some(tail) = root.tail_opt(path, TAIL)? else { continue };
        let written = u64::try_from(stat.mtime).unwrap_or(0);
        if let Some(said) = text::segfault(path, &tail.text, written, program) {
            return Ok(Some(said));
        }
    }
    Ok(None)
}

fn is_systemds(line: &str) -> bool {
    line.contains(" systemd[1]: ") || line.contains(" systemd: ")
}

/// Returns at most `count` lines that tell the reason of a failure: the last ones of the program's own, then systemd's
/// last one.
pub fn telling<'l>(lines: impl Iterator<Item = &'l str>, count: usize) -> Vec<&'l str> {
    const WORDS: [&str; 10] = [
        "Error",
        "error",
        "Exception",
        "No such file",
        "denied",
        "code=",
        "timed out",
        "Read-only",
        "can't open file",
        "not found",
    ];
    let telling = lines.filter(|line| WORDS.iter().any(|word| line.contains(word)));
    let (systemds, own): (Vec<&str>, Vec<&str>) = telling.partition(|line| is_systemds(line));
    // of a loop every turn says the same
    let mut found = own[own.len().saturating_sub(count.saturating_sub(1))..].to_vec();
    found.extend(systemds.last());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_that_tell_a_reason_are_chosen() {
        let turn = "h systemd[1]: Starting Nova Agent...\nh python3[7]: Traceback (most recent call last):\n\
            h python3[7]: ModuleNotFoundError: No module named 'cryptography'\n\
            h systemd[1]: nova-agent.service: Main process exited, code=exited, status=1/FAILURE\n\
            h systemd[1]: Stopped.\n";
        let text = format!("h python3[5]: OSError: [Errno 2] of an earlier turn\n{turn}{turn}");
        let own = "h python3[7]: ModuleNotFoundError: No module named 'cryptography'";
        let systemds = "h systemd[1]: nova-agent.service: Main process exited, code=exited, status=1/FAILURE";
        assert_eq!(telling(text.lines(), 3), [own, own, systemds]);
        assert_eq!(telling(text.lines(), 2), [own, systemds]);
        assert_eq!(telling("Starting\nStarted\n".lines(), 2), Vec::<&str>::new());
    }
}
