//! What was logged of a service at the last boot of a system that does not run: in journald's files, else in the text
//! file of a syslog daemon. On a running guest `journalctl` is asked instead.
//!
//! What stands there is untrusted and bounded. To read another log, add its reader beside the two.

mod journald;

use anyhow::Result;

use crate::root::Root;

/// Text files of syslog daemons, in the order in which they are looked for.
const TEXT: [&str; 2] = ["var/log/syslog", "var/log/messages"];

/// The most that is read of a text file, in bytes.
const TAIL: u64 = 1 << 20;

/// How much newer than journald's files a text file is where those are not written any more, in seconds.
const STALE: u64 = 3600;

/// The most lines that are kept, the last ones.
const LINES_MAX: usize = 500;

/// The most that is kept of a line, in characters.
const LINE_MAX: usize = 200;

/// What the kernel says first at every boot.
const BOOT: &str = "Linux version ";

/// A line about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The file.
    pub source: String,
    /// Seconds since 1970; none in a text file, whose lines do not tell the year.
    pub time: Option<u64>,
    /// systemd said it, not the service.
    pub by_systemd: bool,
    /// The line, with its time.
    pub text: String,
}

/// Returns what was said at the last boot about a systemd unit (`nova-agent.service`), by systemd or by the unit itself,
/// in order.
///
/// # Errors
/// A log is there and cannot be read.
pub fn of(root: &Root, unit: &str) -> Result<Vec<Said>> {
    let journals = journald::of(root, unit)?;
    for path in TEXT {
        let Some(stat) = root.stat_opt(path)?.filter(|stat| stat.size > 0) else { continue };
        // a journal that is not kept on the disk any more can lie there still
        let written = u64::try_from(stat.mtime).unwrap_or(0);
        if journals.as_ref().is_some_and(|journals| journals.last + STALE > written) {
            break;
        }
        if let Some(tail) = root.tail_opt(path, TAIL)? {
            return Ok(in_text(path, &tail.text, unit));
        }
    }
    Ok(journals.map(|journals| journals.said).unwrap_or_default())
}

/// Without a boot in it, a text does not say which lines are of the last one.
fn in_text(path: &str, text: &str, unit: &str) -> Vec<Said> {
    let last_boot = text.rfind(BOOT).map_or("", |at| &text[at..]);
    let lines: Vec<&str> = last_boot.lines().filter(|line| names(line, unit)).collect();
    let kept = &lines[lines.len().saturating_sub(LINES_MAX)..];
    kept.iter()
        .map(|line| Said {
            source: path.to_owned(),
            time: None,
            by_systemd: is_systemds(line),
            text: line.chars().take(LINE_MAX).collect(),
        })
        .collect()
}

/// Whether a line has this unit in it, and not one whose name ends alike.
fn names(line: &str, unit: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    line.match_indices(unit).any(|(at, _)| !line[..at].ends_with(is_of_name))
}

fn is_systemds(line: &str) -> bool {
    line.contains(" systemd[1]: ") || line.contains(" systemd: ")
}

/// Returns at most `count` lines that tell the reason of a failure: the last ones of the program's own, then systemd's
/// last one.
pub fn telling<'l>(lines: impl Iterator<Item = &'l str>, count: usize) -> Vec<&'l str> {
    const WORDS: [&str; 9] = [
        "Error",
        "error",
        "Exception",
        "No such file",
        "denied",
        "code=",
        "timed out",
        "Read-only",
        "can't open file",
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
    fn of_a_text_file_the_lines_of_the_last_boot_count() {
        let text = "Nov 20 10:00:00 web01 systemd[1]: nova-agent.service: Failed with result 'timeout'.\n\
            Nov 21 10:00:00 web01 kernel: Linux version 6.1.0\n\
            Nov 21 10:00:05 web01 systemd[1]: nova-agent.service: start operation timed out. Terminating.\n\
            Nov 21 10:00:06 web01 systemd[1]: Started cron.service.\n\
            Nov 21 10:00:07 web01 systemd[1]: python3-nova-agent.service: Failed with result 'exit-code'.\n";
        let said = in_text("var/log/syslog", text, "nova-agent.service");
        let lines: Vec<&str> = said.iter().map(|said| said.text.as_str()).collect();
        assert_eq!(
            lines,
            ["Nov 21 10:00:05 web01 systemd[1]: nova-agent.service: start operation timed out. Terminating."]
        );
        assert_eq!(in_text("x", &text.replace("Linux version", ""), "nova-agent.service"), []);
    }

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
