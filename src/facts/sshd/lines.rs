//! The lines of sshd_config in the order in which sshd meets them, with the files that `Include` names in place.
//!
//! Everything here is bounded: a configuration that includes itself, or a directory of a million files, ends.

use anyhow::{Context, Result, bail};

use super::criteria::Criteria;
use crate::glob;
use crate::root::Root;

/// How deep files include each other (servconf.c, `SERVCONF_MAX_DEPTH`).
const DEPTH_MAX: usize = 16;
/// Files that are read.
const FILES_MAX: usize = 500;
/// Lines and blocks that are kept.
const LINES_MAX: usize = 20_000;
/// Where a relative `Include` begins.
const SSH_DIR: &str = "etc/ssh";

/// The keywords that are kept.
const KEYWORDS: [&str; 12] = [
    "permitrootlogin",
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "challengeresponseauthentication",
    "skeyauthentication",
    "usepam",
    "authenticationmethods",
    "allowusers",
    "denyusers",
    "allowgroups",
    "denygroups",
    "match",
];

/// A line that has to do with logging in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The keyword in lower case.
    pub keyword: String,
    /// Its values.
    pub values: Vec<String>,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub number: usize,
    /// The `Match` block that it stands in.
    pub block: Option<usize>,
}

/// A `Match` block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) criteria: Criteria,
    words: Vec<String>,
    /// The block from within which its file was included.
    pub(super) within: Option<usize>,
}

impl Line {
    /// Returns `path:line`.
    pub fn source(&self) -> String {
        format!("{}:{}", self.path, self.number)
    }
}

impl Block {
    pub(super) fn shown(&self) -> String {
        format!("Match {}", self.words.join(" ")).chars().take(120).collect()
    }
}

/// Reads files into lines.
pub(super) struct Reader<'r> {
    root: &'r Root,
    lines: Vec<Line>,
    blocks: Vec<Block>,
    files: usize,
}

impl<'r> Reader<'r> {
    pub(super) fn new(root: &'r Root, options: Vec<Line>) -> Self {
        Self { root, lines: options, blocks: Vec::new(), files: 0 }
    }

    pub(super) fn done(self) -> (Vec<Line>, Vec<Block>) {
        (self.lines, self.blocks)
    }

    pub(super) fn read(&mut self, path: &str) -> Result<()> {
        self.file(path, None, 0)
    }

    /// A block ends with the file that it began in.
    fn file(&mut self, path: &str, within: Option<usize>, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX || self.files >= FILES_MAX {
            bail!("reading {path}: too many files are included");
        }
        self.files += 1;
        let text = self.root.text_opt(path)?.with_context(|| format!("reading {path}: no such file"))?;
        let mut block = within;
        for (place, line) in text.lines().enumerate() {
            let Some((keyword, values)) = words(line) else { continue };
            if self.lines.len() + self.blocks.len() >= LINES_MAX {
                bail!("reading {path}: too many lines");
            }
            if keyword == "include" {
                for pattern in &values {
                    for included in self.expand(pattern)? {
                        self.file(&included, block, depth + 1)?;
                    }
                }
            } else if keyword == "match" {
                self.blocks.push(Block { criteria: Criteria::of(&values), words: values, within });
                block = Some(self.blocks.len() - 1);
            } else if KEYWORDS.contains(&keyword.as_str()) {
                self.lines.push(Line { keyword, values, path: path.to_owned(), number: place + 1, block });
            }
        }
        Ok(())
    }

    /// The files that a pattern names, in order, as glob(3) gives them.
    fn expand(&self, pattern: &str) -> Result<Vec<String>> {
        let pattern = match pattern.strip_prefix('/') {
            Some(rest) => rest.to_owned(),
            None => format!("{SSH_DIR}/{pattern}"),
        };
        let mut paths = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for path in paths {
                let join =
                    |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                if !part.contains(['*', '?', '[']) {
                    next.push(join(part));
                    continue;
                }
                let dir = if path.is_empty() { "." } else { path.as_str() };
                for entry in self.root.read_dir(dir)? {
                    let is_hidden = entry.name.starts_with('.') && !part.starts_with('.');
                    if !is_hidden && glob::matches(part, &entry.name) {
                        next.push(join(&entry.name));
                    }
                    if next.len() > FILES_MAX {
                        bail!("reading {dir}: more than {FILES_MAX} files are included");
                    }
                }
            }
            paths = next;
        }
        // sshd passes over what is not there, and ends at what it cannot open
        paths.retain(|path| !matches!(self.root.stat_opt(path), Ok(None)));
        paths.sort();
        Ok(paths)
    }
}

/// Returns keyword and values of a line; `None` for a comment or a blank line. One `=` can stand after the keyword, a
/// value can stand in quotes, and `#` begins a comment.
pub(super) fn words(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    if keyword.is_empty() || keyword.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut values = Vec::new();
    let mut chars = rest.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        if c == '#' {
            break;
        }
        let mut value = String::new();
        let mut quote = None;
        for c in chars.by_ref() {
            match quote {
                Some(open) if c == open => quote = None,
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c.is_whitespace() => break,
                _ => value.push(c),
            }
        }
        values.push(value);
    }
    Some((keyword.trim_matches('"').to_ascii_lowercase(), values))
}

/// Returns the settings in a file of command-line options: `-o Key=Value` or `-oKey=Value` in an assignment.
pub(super) fn options(text: &str, path: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') || !line.contains('=') {
            continue;
        }
        let line = line.replace(['"', '\''], " ");
        for (at, _) in line.match_indices("-o") {
            if !line[..at].ends_with([' ', '=']) {
                continue;
            }
            let setting = line[at + 2..].split_whitespace().next().unwrap_or_default();
            let Some((keyword, values)) = words(setting) else { continue };
            if KEYWORDS.contains(&keyword.as_str()) && lines.len() < LINES_MAX {
                let path = path.to_owned();
                lines.push(Line { keyword, values, path, number: place + 1, block: None });
            }
        }
    }
    lines
}
