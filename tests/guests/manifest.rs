//! Guests as text: the parser of their manifests and the writer that makes a tree of one (see README.md here).
//!
//! Strict on purpose: a word that is not understood is an error with its file and line, because an entry that was
//! silently dropped would make a test pass for the wrong reason.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::elf;

/// One guest: what its tree is made of and what must be found in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guest {
    /// File name without suffix.
    pub(crate) name: String,
    /// The complete set of findings with status warn, fail or unknown, as `id=status` or `id=status@subject`.
    pub(crate) expect: Vec<String>,
    /// Findings that must be there beside others, as `id` or `id@subject`, by status (`note`, `ok`).
    pub(crate) among: Vec<(&'static str, String)>,
    /// Facts about the system by name (`os`, `init`, `agent`), inherited from the base.
    pub(crate) facts: Vec<(String, String)>,
    /// A XenStore dump (JSON) that is given along.
    pub(crate) store: Option<String>,
    entries: Vec<Entry>,
}

/// What one line, with the lines below it, does to the tree.
#[derive(Debug, Clone)]
struct Entry {
    line: String,
    make: Make,
}

#[derive(Debug, Clone)]
enum Make {
    Dirs(Vec<String>, u32),
    File { path: String, mode: u32, hole: u64, body: Vec<u8> },
    Empty(Vec<String>),
    Link { path: String, to: String },
    Remove(Vec<String>),
    Edit { path: String, changes: Vec<Change> },
    Zipapp { path: String, mode: u32, interpreter: String, members: Vec<(String, Vec<u8>)> },
    Elf { path: String, elf: elf::Elf },
    Label { paths: Vec<String>, label: String },
}

#[derive(Debug, Clone)]
enum Change {
    Drop(String),
    Add(String),
}

/// The manifests of a directory, by the name of their guest.
#[derive(Debug, Default)]
pub(crate) struct Manifests(BTreeMap<String, Manifest>);

#[derive(Debug)]
struct Manifest {
    file: String,
    /// Number of its first line.
    first: usize,
    lines: Vec<String>,
}

impl Manifests {
    /// Reads `*.guest`, a guest each, and `*.guests`, where `== NAME` begins a guest; those in `parts` and `lab` get
    /// that word before their name.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let mut all = Self::default();
        for prefix in ["", "parts/", "lab/"] {
            let dir = dir.join(prefix);
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let file = entry?.path();
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let (stem, suffix) = name.rsplit_once('.').unwrap_or((&name, ""));
                if !matches!(suffix, "guest" | "guests") {
                    continue;
                }
                let text =
                    fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
                let mut guest = (suffix == "guest").then(|| format!("{prefix}{stem}"));
                let mut manifest = Manifest { file: format!("{prefix}{name}"), first: 1, lines: Vec::new() };
                for (number, line) in text.lines().enumerate() {
                    let Some(next) = line.strip_prefix("== ") else {
                        manifest.lines.push(line.to_owned());
                        continue;
                    };
                    ensure!(suffix == "guests", "{name}:{}: a .guest file holds one guest", number + 1);
                    let file = manifest.file.clone();
                    all.add(guest.replace(format!("{prefix}{}", next.trim())), manifest)?;
                    manifest = Manifest { file, first: number + 2, lines: Vec::new() };
                }
                all.add(guest, manifest)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, name: Option<String>, manifest: Manifest) -> Result<()> {
        // what stands before the first guest of a file is its introduction
        let Some(name) = name else { return Ok(()) };
        ensure!(!self.0.contains_key(&name), "{}: there are two guests {name}", manifest.file);
        self.0.insert(name, manifest);
        Ok(())
    }

    /// Returns the names of the guests of a prefix (`""`, `"lab/"`) in order.
    #[allow(dead_code, reason = "every test file uses its own part")]
    pub(crate) fn names(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let names = self.0.keys().map(String::as_str);
        names.filter(move |name| name.strip_prefix(prefix).is_some_and(|rest| !rest.contains('/')))
    }

    /// Returns a guest with everything that it is based on.
    pub(crate) fn guest(&self, name: &str) -> Result<Guest> {
        self.guest_within(name, 0)
    }

    fn guest_within(&self, name: &str, depth: usize) -> Result<Guest> {
        ensure!(depth < 8, "{name} is based on itself");
        let manifest = self.0.get(name).with_context(|| format!("there is no guest {name}"))?;
        let mut guest = Guest { name: name.to_owned(), ..Guest::default() };
        let mut lines = manifest.lines.iter().map(String::as_str).zip(manifest.first..).peekable();
        while let Some((line, number)) = lines.next() {
            let place = format!("{}:{number}", manifest.file);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut below = Vec::new();
            while let Some((more, _)) = lines.next_if(|(l, _)| l.starts_with(['|', '*', '-', '+'])) {
                below.push(more);
            }
            let said = match line.split_once(": ") {
                Some((key, value)) if !key.contains(' ') => {
                    guest.header(self, depth, key, value.trim(), &below)
                }
                _ if line == "store" => body(&below).map(|body| {
                    guest.store = Some(String::from_utf8_lossy(&body).into_owned());
                }),
                _ => make(line, &below).map(|make| guest.entries.push(Entry { line: place.clone(), make })),
            };
            said.with_context(|| format!("{place}: {line}"))?;
        }
        Ok(guest)
    }
}

impl Guest {
    fn header(
        &mut self,
        all: &Manifests,
        depth: usize,
        key: &str,
        value: &str,
        below: &[&str],
    ) -> Result<()> {
        ensure!(below.is_empty(), "a header has no lines of its own");
        match key {
            "based-on" => {
                ensure!(self.entries.is_empty(), "what a guest is based on comes before its entries");
                for base in value.split_whitespace() {
                    let base = all.guest_within(base, depth + 1)?;
                    self.entries.extend(base.entries);
                    for (name, fact) in base.facts {
                        self.fact(&name, &fact);
                    }
                    self.store = base.store.or(self.store.take());
                }
            }
            "expect" => self.expect.extend(value.split_whitespace().map(str::to_owned)),
            "expect-note" => self.among.extend(value.split_whitespace().map(|id| ("note", id.to_owned()))),
            "expect-ok" => self.among.extend(value.split_whitespace().map(|id| ("ok", id.to_owned()))),
            "os" | "init" | "agent" => self.fact(key, value),
            _ => bail!("no such header"),
        }
        Ok(())
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.facts.retain(|(n, _)| n != name);
        self.facts.push((name.to_owned(), value.to_owned()));
    }

    /// Makes the tree in an empty directory.
    pub(crate) fn unpack(&self, root: &Path) -> Result<()> {
        for Entry { line, make } in &self.entries {
            make.apply(root).with_context(|| line.clone())?;
        }
        Ok(())
    }
}

/// Reads an entry: its own line and the lines below it.
fn make(line: &str, below: &[&str]) -> Result<Make> {
    let mut words = line.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let (options, paths): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
    let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
    let known: &[&str] = match verb {
        "dir" => &["mode"],
        "file" | "prog" => &["mode", "hole"],
        "zipapp" => &["mode"],
        "elf" => &["machine", "interp", "needed", "runpath"],
        "label" => &["as"],
        _ => &[],
    };
    for option in &options {
        let name = option.split('=').next().unwrap_or_default();
        ensure!(known.contains(&name), "{verb} has no option {name}");
    }
    let mode = |default| option("mode").map_or(Ok(default), |m| u32::from_str_radix(m, 8).context("a mode"));
    let paths: Vec<String> = match verb {
        // the word after the path is not one
        "link" | "zipapp" => paths.iter().map(ToString::to_string).collect(),
        _ => paths.iter().map(|p| path(p)).collect::<Result<_>>()?,
    };
    let one = || match &paths[..] {
        [path] => Ok(path.clone()),
        _ => bail!("{verb} takes one path"),
    };
    let has_body = matches!(verb, "file" | "prog" | "edit" | "zipapp");
    ensure!(has_body || below.is_empty(), "{verb} has no lines of its own");
    ensure!(!paths.is_empty(), "{verb} takes a path");
    Ok(match verb {
        "dir" => Make::Dirs(paths, mode(0o755)?),
        "touch" => Make::Empty(paths),
        "remove" => Make::Remove(paths),
        "file" | "prog" => Make::File {
            path: one()?,
            mode: mode(if verb == "prog" { 0o755 } else { 0o644 })?,
            hole: option("hole").map_or(Ok(0), size)?,
            body: body(below)?,
        },
        "link" => match &paths[..] {
            [from, arrow, to] if arrow == "->" => Make::Link { path: path(from)?, to: unescape(to)? },
            _ => bail!("link PATH -> TO"),
        },
        "edit" => {
            Make::Edit { path: one()?, changes: below.iter().map(|l| change(l)).collect::<Result<_>>()? }
        }
        "zipapp" => Make::Zipapp {
            path: path(&paths[0])?,
            mode: mode(0o755)?,
            interpreter: paths[1..].join(" "),
            members: members(below)?,
        },
        "elf" => Make::Elf {
            path: one()?,
            elf: elf::Elf {
                machine: elf::Machine::named(option("machine").unwrap_or("x86-64"))?,
                interpreter: option("interp").map(str::to_owned),
                needed: option("needed").map_or_else(Vec::new, |n| n.split(',').map(str::to_owned).collect()),
                runpath: option("runpath").map(str::to_owned),
            },
        },
        "label" => Make::Label { paths, label: option("as").context("label takes as=LABEL")?.to_owned() },
        _ => bail!("no such entry"),
    })
}

/// Returns a path without its escapes, which must stay in the tree.
fn path(word: &str) -> Result<String> {
    let path = unescape(word)?;
    ensure!(!path.starts_with('/'), "paths are relative to the root");
    ensure!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "paths are plain");
    Ok(path)
}

/// Replaces `\xNN`, the only escape.
fn unescape(word: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let digits = after.strip_prefix('x').and_then(|a| a.get(..2)).context("an escape is \\xNN")?;
        bytes.push(u8::from_str_radix(digits, 16).context("an escape is \\xNN")?);
        rest = &after[3..];
    }
    bytes.extend(rest.as_bytes());
    String::from_utf8(bytes).context("a path is UTF-8")
}

/// Returns what the `|` lines hold.
fn body(below: &[&str]) -> Result<Vec<u8>> {
    let mut body = String::new();
    for line in below {
        let text = line.strip_prefix('|').context("a line of a body begins with |")?;
        body.push_str(text.strip_prefix(' ').unwrap_or(text));
        body.push('\n');
    }
    Ok(body.into_bytes())
}

fn change(line: &str) -> Result<Change> {
    let text = |rest: &str| rest.strip_prefix(' ').unwrap_or(rest).to_owned();
    match (line.strip_prefix('-'), line.strip_prefix('+')) {
        (Some(rest), _) => Ok(Change::Drop(text(rest))),
        (_, Some(rest)) => Ok(Change::Add(text(rest))),
        _ => bail!("a line of an edit begins with - or +"),
    }
}

fn members(below: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for line in below {
        match (line.strip_prefix("* "), members.last_mut()) {
            (Some(name), _) => members.push((path(name)?, Vec::new())),
            (None, Some((_, text))) => text.extend(body(&[line])?),
            (None, None) => bail!("a zipapp begins with the name of a member: * NAME"),
        }
    }
    Ok(members)
}

fn size(word: &str) -> Result<u64> {
    let (digits, unit) = match word.strip_suffix('M') {
        Some(digits) => (digits, 1 << 20),
        None => (word, 1),
    };
    Ok(digits.parse::<u64>().context("a size")? * unit)
}

impl Make {
    fn apply(&self, root: &Path) -> Result<()> {
        match self {
            Self::Dirs(paths, mode) => {
                for path in paths {
                    fs::create_dir_all(root.join(path))?;
                    fs::set_permissions(root.join(path), Permissions::from_mode(*mode))?;
                }
                Ok(())
            }
            Self::Empty(paths) => paths.iter().try_for_each(|path| write(&place(root, path)?, 0o644, 0, b"")),
            Self::File { path, mode, hole, body } => write(&place(root, path)?, *mode, *hole, body),
            Self::Link { path, to } => {
                let path = place(root, path)?;
                if path.symlink_metadata().is_ok() {
                    fs::remove_file(&path)?;
                }
                Ok(symlink(to, path)?)
            }
            Self::Remove(paths) => paths.iter().try_for_each(|path| {
                let path = root.join(path);
                let stat = path.symlink_metadata().context("nothing to remove")?;
                let removed = if stat.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                Ok(removed?)
            }),
            Self::Edit { path, changes } => {
                let path = root.join(path);
                let text = fs::read_to_string(&path).context("nothing to edit")?;
                let mode = path.metadata()?.mode() & 0o7777;
                // a new file: the old one may be a hard link to the tree that this one was copied from
                write(&path, mode, 0, edited(&text, changes)?.as_bytes())
            }
            Self::Zipapp { path, mode, interpreter, members } => {
                write(&place(root, path)?, *mode, 0, &zipapp(interpreter, members)?)
            }
            Self::Elf { path, elf } => write(&place(root, path)?, 0o755, 0, &elf.bytes()),
            Self::Label { paths, label } => paths.iter().try_for_each(|path| {
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(root.join(path), "security.selinux", label.as_bytes(), flags)
                    .with_context(|| format!("labelling {path}"))
            }),
        }
    }
}

/// Returns where a file is made: its directory is there, and no link leads out of the tree.
fn place(root: &Path, path: &str) -> Result<PathBuf> {
    let path = root.join(path);
    let dir = path.parent().context("a path")?;
    fs::create_dir_all(dir)?;
    ensure!(dir.canonicalize()?.starts_with(root.canonicalize()?), "a link leads out of the tree");
    Ok(path)
}

/// Writes a file that replaces what stands there; a link is replaced, not followed.
fn write(path: &Path, mode: u32, hole: u64, body: &[u8]) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.seek(SeekFrom::Start(hole))?;
    file.write_all(body)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(())
}

/// Drops and adds lines, from the top to the bottom; additions stand where the last line was dropped, else at the end.
fn edited(text: &str, changes: &[Change]) -> Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut at = None;
    for change in changes {
        match change {
            Change::Drop(old) => {
                let from = at.unwrap_or(0);
                let found = lines[from..].iter().position(|line| line == old);
                let found =
                    from + found.with_context(|| format!("no line {old:?} from line {}", from + 1))?;
                lines.remove(found);
                at = Some(found);
            }
            Change::Add(new) => {
                let here = at.unwrap_or(lines.len());
                lines.insert(here, new);
                at = Some(here + 1);
            }
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// Returns a Python zip application: its first line, then an archive with compressed members.
fn zipapp(interpreter: &str, members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut bytes = format!("#!{interpreter}\n").into_bytes();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, body) in members {
        archive.start_file(name.as_str(), zip::write::SimpleFileOptions::default())?;
        archive.write_all(body)?;
    }
    bytes.extend(archive.finish()?.into_inner());
    Ok(bytes)
}
