//! One line of an account file, edited, and what keeps its user out whatever the password.

use super::Unlock;
use crate::check::{Finding, Topic};
use crate::facts::accounts::{Row, Table};
use crate::root::{Kind, Root};

/// A line that is edited: every field that is not set stays as it is, byte for byte.
pub(super) struct Line {
    fields: Vec<Vec<u8>>,
    place: Place,
}

/// Where the line goes.
enum Place {
    /// Over these bytes of the file.
    Over(std::ops::Range<usize>),
    /// Before this byte, as a line of its own.
    Before(usize),
}

impl Line {
    /// Returns a line as it is.
    pub(super) fn of(row: &Row<'_>) -> Self {
        let fields = row.fields.iter().map(|field| field.to_vec()).collect();
        Self { fields, place: Place::Over(row.range.clone()) }
    }

    /// Returns a line of shadow with its nine fields, as far as they say something that login takes.
    pub(super) fn whole(row: &Row<'_>) -> Self {
        let mut line = Self::of(row);
        line.fields.resize(9, Vec::new());
        for field in &mut line.fields[2..] {
            let number = std::str::from_utf8(field).ok().and_then(|text| text.trim().parse::<i32>().ok());
            *field = number.map(|number| number.to_string().into_bytes()).unwrap_or_default();
        }
        line
    }

    /// Returns a new line of shadow, before the lines of NIS.
    pub(super) fn new(name: &str, table: &Table) -> Self {
        // what useradd writes: a password may be changed at once and lasts
        let fields = [name, "", "", "0", "99999", "7", "", "", ""];
        let nis = table.compat_rows().next().map(|row| row.range.start);
        Self {
            fields: fields.iter().map(|field| field.as_bytes().to_vec()).collect(),
            place: Place::Before(nis.unwrap_or(table.bytes.len())),
        }
    }

    /// Returns a field.
    pub(super) fn get(&self, field: usize) -> Vec<u8> {
        self.fields.get(field).cloned().unwrap_or_default()
    }

    /// Sets a field. One that the line has not, an old form of shadow, stays away.
    pub(super) fn set(&mut self, field: usize, text: &str) {
        if let Some(place) = self.fields.get_mut(field) {
            *place = text.as_bytes().to_vec();
        }
    }

    /// Returns the file with this line in it.
    pub(super) fn put_into(&self, table: &Table) -> Vec<u8> {
        let line = self.fields.join(&b':');
        let bytes = &table.bytes;
        match &self.place {
            Place::Over(range) => {
                let old = &bytes[range.clone()];
                let indent = old.len() - old.trim_ascii_start().len();
                [&bytes[..range.start + indent], &line, &bytes[range.end..]].concat()
            }
            Place::Before(at) => {
                let (before, after) = bytes.split_at(*at);
                let newline: &[u8] = if before.is_empty() || before.ends_with(b"\n") { b"" } else { b"\n" };
                [before, newline, &line, b"\n", after].concat()
            }
        }
    }
}

/// Returns what locks a password field, and the rest of it. A lone `!`, `!!` or `*` locks nothing: there never was a
/// password.
pub(super) fn lock_of(field: &[u8]) -> (&str, &[u8]) {
    let marks = field.iter().take_while(|&&byte| byte == b'!').count();
    let end = if field.starts_with(b"*LOCKED*") { 8 } else { marks };
    let (lock, rest) = field.split_at(end);
    if rest.is_empty() { ("", rest) } else { (std::str::from_utf8(lock).unwrap_or_default(), rest) }
}

/// Returns why a shell lets nobody in, or `None`. Empty means /bin/sh.
pub(crate) fn refusal(root: &Root, shell: &[u8]) -> Option<String> {
    let shell = String::from_utf8_lossy(shell);
    let path = if shell.is_empty() { "/bin/sh" } else { &*shell };
    if matches!(path.rsplit('/').next(), Some("nologin" | "false" | "true" | "sync" | "halt" | "shutdown")) {
        return Some(format!("{path} lets nobody in"));
    }
    match root.stat_opt(path) {
        Ok(Some(stat)) if stat.kind == Kind::File && stat.mode & 0o111 != 0 => None,
        Ok(Some(_)) => Some(format!("{path} is no program")),
        Ok(None) => Some(format!("{path} does not exist")),
        // what cannot be looked at is not judged
        Err(_) => None,
    }
}

/// What keeps the user out whatever the password.
pub(super) struct Obstacles {
    user: String,
    unlock: Unlock,
    findings: Vec<Finding>,
    left: Vec<String>,
}

impl Obstacles {
    pub(super) fn new(user: &str, unlock: Unlock) -> Self {
        Self { user: user.to_owned(), unlock, findings: Vec::new(), left: Vec::new() }
    }

    /// Whether the change takes them away.
    pub(super) fn are_mended(&self) -> bool {
        self.unlock == Unlock::Mend
    }

    /// Whether a new hash opens the lock of the old one without a word.
    pub(super) fn leave_the_hash_open(&self) -> bool {
        self.unlock == Unlock::Lock
    }

    /// Adds one that `--unlock` takes away.
    pub(super) fn add(&mut self, fact: &str, source: &str, text: &str) {
        let finding = match self.unlock {
            Unlock::Mend => Finding::note(format!("{fact}: this is taken away")),
            Unlock::Keep | Unlock::Lock => {
                self.left.push(format!("{fact} ({text}): --unlock mends it"));
                Finding::fail(fact).mend("open the account").by(&[
                    "novactl",
                    "set-password",
                    &self.user,
                    "--unlock",
                ])
            }
        };
        self.findings
            .push(finding.seen(source, text).of("root-account-usable", Topic::Access).about(&self.user));
    }

    /// Adds one that stays in any case.
    pub(super) fn stays(&mut self, text: String) {
        self.left.push(text);
    }

    /// Returns them as findings, and those that stay as lines.
    pub(super) fn told(self) -> (Vec<Finding>, Vec<String>) {
        (self.findings, self.left)
    }
}
