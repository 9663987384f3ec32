//! The agent's log: its last lines, cut into runs of the agent and the requests that each run served.
//!
//! Both nova-agents write `/var/log/nova-agent.log`, novactl's agent a file of its own in the form of 2.x, where no
//! journal takes its lines; the forms are told apart by the texts. 2.x writes no traceback there: that goes to the
//! journal or nowhere. What the log says is untrusted and bounded; what a request
//! carried (1.x logs injected files and encrypted passwords at debug level) is never handed on.

use anyhow::Result;

use super::agents::Kind;
use crate::root::{Root, Tail};

/// Where both nova-agents log.
pub const PATH: &str = "var/log/nova-agent.log";
/// Where novactl's agent logs when no journal does: [`crate::agent::log`] says how.
pub const NOVACTL_PATH: &str = "var/log/novactl-agent.log";

/// The most that is read, in bytes: a year of a quiet agent, a quarter of an hour of one that logs each second.
const TAIL: u64 = 512 << 10;
/// The most lines that are kept.
const LINES_MAX: usize = 8000;
/// The most that is kept of a line, in characters; one network record has up to 4096 bytes.
const LINE_MAX: usize = 4600;
/// The most of a line that is quoted, in characters.
const QUOTE_MAX: usize = 160;

/// The end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The file: the log itself, or the newest rotated one when the log is empty.
    pub path: String,
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The last lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Number of the line; none when only the end of the file was read.
    pub number: Option<usize>,
    /// Date and time to the second; none in the lines of a traceback.
    pub time: Option<String>,
    /// The text after time and level.
    pub text: String,
}

/// The lines from one start of the agent to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'l> {
    /// Its lines; the first is the start, but for the first run of a log that begins in the middle of one.
    pub lines: &'l [Line],
}

/// A request that the agent took from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'l> {
    /// Its id; 1.x logs none.
    pub id: Option<&'l str>,
    /// The command.
    pub name: &'l str,
    /// From the line that received it to the one before the next request.
    pub lines: &'l [Line],
    /// What was answered; none when the run ended, or the next request came, without an answer.
    pub answer: Option<Answer<'l>>,
}

/// What a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'l> {
    /// Return code, such as `0`, `D0`, `500`.
    pub code: &'l str,
    /// Message.
    pub message: &'l str,
    /// The line that says so.
    pub line: &'l Line,
}

impl Log {
    /// Returns the end of the log that was written last, whichever agent it is of; of the newest rotated one when no
    /// log has a line; `None` where there is none.
    ///
    /// # Errors
    /// The log cannot be read; 1.x lets only root read it.
    pub fn read(root: &Root) -> Result<Option<Self>> {
        Self::newest_of(root, &[PATH, NOVACTL_PATH])
    }

    /// Returns the end of the log of one kind of agent, likewise: what another one wrote says nothing of it.
    ///
    /// # Errors
    /// As of [`Log::read`].
    pub fn of(root: &Root, kind: Kind) -> Result<Option<Self>> {
        Self::newest_of(root, &[path_of(kind)])
    }

    fn newest_of(root: &Root, paths: &[&str]) -> Result<Option<Self>> {
        let mut newest: Option<(_, &str)> = None;
        for path in paths {
            let Some(stat) = root.stat_opt(path)? else { continue };
            if stat.size > 0 && newest.as_ref().is_none_or(|(mtime, _)| stat.mtime > *mtime) {
                newest = Some((stat.mtime, path));
            }
        }
        let path = match newest {
            Some((_, path)) => path.to_owned(),
            None => match newest_rotated(root, paths)? {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        Ok(root.tail_opt(&path, TAIL)?.map(|tail| Self::parse(&path, &tail)))
    }

    fn parse(path: &str, tail: &Tail) -> Self {
        let skipped = tail.text.lines().count().saturating_sub(LINES_MAX);
        let numbered = tail.text.lines().enumerate().skip(skipped);
        let lines =
            numbered.map(|(index, text)| Line::parse((!tail.cut).then_some(index + 1), text)).collect();
        Self { path: path.to_owned(), size: tail.size, lines }
    }

    /// Returns the runs of the agent, the last one last.
    pub fn runs(&self) -> Vec<Run<'_>> {
        let mut starts: Vec<usize> = Vec::new();
        for (place, line) in self.lines.iter().enumerate() {
            // Releases before 2.1.20 begin with the line that is the second one of the later ones.
            let begins = match line.start() {
                Start::Yes => true,
                Start::Forking => starts.last().is_none_or(|start| place - start > 3),
                Start::No => false,
            };
            if begins {
                starts.push(place);
            }
        }
        if starts.first() != Some(&0) && !self.lines.is_empty() {
            starts.insert(0, 0);
        }
        let ends = starts.iter().skip(1).copied().chain([self.lines.len()]);
        starts.iter().zip(ends).map(|(start, end)| Run { lines: &self.lines[*start..end] }).collect()
    }

    /// Returns the MACs of the machine that wrote the log, as keys of `vm-data/networking` (upper case, no colons),
    /// from the `Interface` lines of the last network reset; empty when the tail shows none.
    pub fn machine_macs(&self) -> Vec<String> {
        let runs = self.runs();
        let events = runs.iter().rev().flat_map(|run| run.events().into_iter().rev());
        let resets = events.filter(|event| event.name == "resetnetwork");
        let mut macs = resets.map(|event| event.macs()).find(|macs| !macs.is_empty()).unwrap_or_default();
        macs.sort_unstable();
        macs.dedup();
        macs
    }

    /// Returns `path:line` for evidence.
    pub fn source_of(&self, line: &Line) -> String {
        line.number.map_or_else(|| self.path.clone(), |number| format!("{}:{number}", self.path))
    }
}

impl<'l> Run<'l> {
    /// Returns the requests of this run in order.
    pub fn events(&self) -> Vec<Event<'l>> {
        let received = |line: &'l Line| line.received();
        let places: Vec<usize> =
            (0..self.lines.len()).filter(|place| received(&self.lines[*place]).is_some()).collect();
        let ends = places.iter().skip(1).copied().chain([self.lines.len()]);
        let event = |(place, end): (&usize, usize)| {
            let lines = &self.lines[*place..end];
            let (id, name) = lines[0].received()?;
            Some(Event { id, name, lines, answer: lines.iter().find_map(Line::answer) })
        };
        places.iter().zip(ends).filter_map(event).collect()
    }

    /// Whether some line of this run begins with a text.
    pub fn line(&self, prefix: &str) -> Option<&'l Line> {
        self.lines.iter().find(|line| line.text.starts_with(prefix))
    }
}

impl Event<'_> {
    /// Returns the keys of the interfaces that this reset configured, as often as the agent saw them.
    pub fn macs(&self) -> Vec<String> {
        self.lines.iter().filter_map(Line::interface).map(str::to_ascii_uppercase).collect()
    }
}

/// Whether a line begins a run.
enum Start {
    Yes,
    Forking,
    No,
}

impl Line {
    fn parse(number: Option<usize>, text: &str) -> Self {
        let cut = |text: &str| text.chars().take(LINE_MAX).collect::<String>();
        match split_head(text) {
            Some((time, rest)) => Self { number, time: Some(time.to_owned()), text: cut(rest) },
            None => Self { number, time: None, text: cut(text) },
        }
    }

    /// Returns the line for evidence: its time and text, without what a request carried.
    pub fn quote(&self) -> String {
        let text = self.text.split(" with argument:").next().unwrap_or_default();
        let text: String = text.chars().take(QUOTE_MAX).collect();
        self.time.as_ref().map_or(text.clone(), |time| format!("{time} {text}"))
    }

    fn start(&self) -> Start {
        let text = self.text.as_str();
        let old = text.strip_prefix("Agent ").and_then(|rest| rest.strip_suffix(" started"));
        if self.time.is_none() {
            Start::No
        } else if text.starts_with("Agent is starting up")
            || old.is_some_and(|version| !version.contains(' '))
        {
            Start::Yes
        } else if text.starts_with("Skipping os.fork") || text == "Starting daemon" {
            Start::Forking
        } else {
            Start::No
        }
    }

    /// Returns id and name of the request that this line received.
    fn received(&self) -> Option<(Option<&str>, &str)> {
        self.time.as_ref()?;
        if let Some((id, name)) = self.text.strip_prefix("Event: ").and_then(|rest| rest.split_once(" -> ")) {
            return Some((Some(id), name.trim_end()));
        }
        let (name, _) = self.text.strip_prefix("Received command '")?.split_once('\'')?;
        Some((None, name))
    }

    fn answer(&self) -> Option<Answer<'_>> {
        // 2.x puts the texts between quotes without escaping them, so this is no JSON.
        if let Some(rest) = self.text.strip_prefix("Returning {\"message\": \"") {
            let (message, code) = rest.rsplit_once("\", \"returncode\": \"")?;
            return Some(Answer { code: code.trim_end().strip_suffix("\"}")?, message, line: self });
        }
        let (_, rest) = self.text.strip_prefix('\'')?.split_once("' completed with code '")?;
        let (code, message) = rest.split_once("', message ")?;
        Some(Answer { code, message: message.trim_matches(['\'', '"']), line: self })
    }

    /// Returns the MAC of an `Interface` line whose record could be read.
    fn interface(&self) -> Option<&str> {
        let rest = self.text.strip_prefix("Interface ").or_else(|| self.text.strip_prefix("interface "))?;
        let (mac, record) = rest.split_once(": ")?;
        let is_key = mac.len() == 12 && mac.bytes().all(|b| b.is_ascii_hexdigit());
        (is_key && record.starts_with('{')).then_some(mac)
    }
}

/// Splits `2016-02-24 11:19:44,033 [INFO] text` into the time to the second and the text.
fn split_head(line: &str) -> Option<(&str, &str)> {
    let shape = b"0000-00-00 00:00:00,000 [";
    let head = line.as_bytes().get(..shape.len())?;
    let fits = |(byte, want): (&u8, &u8)| if *want == b'0' { byte.is_ascii_digit() } else { byte == want };
    if !head.iter().zip(shape).all(fits) {
        return None;
    }
    let (_, text) = line.get(shape.len()..)?.split_once(']')?;
    Some((&line[..19], text.trim_start()))
}

/// Returns where an agent of this kind logs.
pub fn path_of(kind: Kind) -> &'static str {
    if kind == Kind::Novactl { NOVACTL_PATH } else { PATH }
}

fn newest_rotated(root: &Root, paths: &[&str]) -> Result<Option<String>> {
    let mut newest = None;
    for entry in root.read_dir("var/log")? {
        let path = format!("var/log/{}", entry.name);
        let mut rests = paths.iter().filter_map(|log| path.strip_prefix(log));
        let rotated = rests.find(|rest| rest.starts_with(['.', '-']));
        if rotated.is_none_or(|rest| !rest.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')) {
            continue; // compressed, or another program's
        }
        let Some(stat) = root.stat_opt(&path)? else { continue };
        if newest.as_ref().is_none_or(|(mtime, _)| stat.mtime > *mtime) {
            newest = Some((stat.mtime, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

#[cfg(test)]
pub(crate) mod tests;
