//! The fault laboratory: every row of `tests/faults/*.faults` on every guest that it applies to. Each fault must be
//! found, nothing else, and mended where its check has a fix; each look-alike must be passed over; what cannot be
//! read must be named.
//!
//! `FAULT=words` takes only the rows whose name or check has them. One more row: `tests/faults/table.rs` says how.
//! The figures stand in README.md; `UPDATE=1` writes them there.

#![expect(clippy::disallowed_methods, reason = "makes trees, and runs the program on them")]
#![expect(clippy::print_stdout, reason = "prints the figures")]

#[path = "faults/catalogue.rs"]
mod catalogue;
#[path = "guests/commands.rs"]
mod commands;
#[path = "faults/coverage.rs"]
mod coverage;
#[path = "guests/elf.rs"]
mod elf;
#[path = "faults/laboratory.rs"]
mod laboratory;
#[path = "guests/manifest.rs"]
#[expect(dead_code, reason = "what a guest says of itself is tests/guests.rs' matter")]
mod manifest;
#[path = "guests/program.rs"]
mod program;
#[path = "faults/table.rs"]
mod table;
#[path = "faults/unreadable.rs"]
mod unreadable;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};
use laboratory::{Bench, Outcome};
use manifest::Manifests;
use novactl::check::{self, Finding, Occasion};
use table::Row;

const BEGIN: &str = "<!-- faults: UPDATE=1 cargo test --test faults -->\n";
const END: &str = "<!-- /faults -->\n";

/// A row on a guest.
struct Pair<'r> {
    row: &'r Row,
    guest: &'static str,
    made: String,
}

/// Sums of a check or of a topic.
#[derive(Debug, Default, Clone)]
struct Figures {
    rows: BTreeSet<String>,
    pairs: usize,
    found: usize,
    false_alarms: usize,
    fixable: usize,
    repaired: usize,
}

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

#[test]
fn every_fault_is_found_and_mended_and_every_look_alike_is_passed_over() -> Result<()> {
    let only = std::env::var("FAULT").unwrap_or_default();
    let mut rows = table::read(&path("tests/faults"))?;
    let is_about = |row: &Row| {
        row.id().into_iter().chain(row.tempts.iter().map(String::as_str)).any(|id| id.contains(&only))
    };
    rows.retain(|row| row.name.contains(&only) || is_about(row));
    let is_root = rustix::process::geteuid().is_root();
    let left_out: Vec<&Row> = rows.iter().filter(|row| !is_root && row.takes_root()).collect();
    for row in &left_out {
        println!("skipped: {}: only root can make it", row.name);
    }
    let pairs: Vec<Pair> = rows
        .iter()
        .filter(|row| is_root || !row.takes_root())
        .flat_map(|row| row.guests().into_iter().map(move |guest| (row, guest)))
        .enumerate()
        .map(|(number, (row, guest))| Pair { row, guest, made: format!("made-{number}") })
        .collect();
    let manifests = manifests(&pairs)?;
    let healthy = healthy(&manifests, &pairs)?;
    let outcomes = side_by_side(&pairs, |pair| {
        laboratory::outcome(pair.row, &manifests.guest(&pair.made)?, &healthy[&pair.plain()])
    });

    let mut wrong = Vec::new();
    let mut checks: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut look_alikes = Figures::default();
    for (pair, outcome) in pairs.iter().zip(outcomes) {
        let outcome = outcome.with_context(|| format!("{} on {}", pair.row.name, pair.guest));
        let outcome = outcome.unwrap_or_else(|error| Outcome {
            false_alarms: vec![format!("{error:#}")],
            ..Outcome::default()
        });
        let figures = pair.row.id().map_or(&mut look_alikes, |id| checks.entry(id).or_default());
        figures.add(pair, &outcome);
        let mut say = |what: String| wrong.push(format!("{} on {}: {what}", pair.row.name, pair.guest));
        if let Some(finds) = pair.row.finds.as_deref().filter(|_| !outcome.found) {
            say(format!("{finds} is not found"));
        }
        outcome.false_alarms.into_iter().for_each(|alarm| say(format!("false alarm {alarm}")));
        outcome.astray.into_iter().for_each(|command| say(format!("acts on another system: {command}")));
        if let Some(Err(error)) = outcome.repair {
            say(format!("not repaired: {error}"));
        }
    }
    println!("{}", per_check(&checks, &look_alikes));
    if only.is_empty() {
        println!("not in the table:\n{}", coverage::left_out());
        wrong.extend(coverage::gaps(&rows, &manifests)?);
    }
    assert!(
        wrong.is_empty(),
        "{} differences; one row alone: FAULT='its name' FAULT_KEEP=DIR cargo test --test faults\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    if only.is_empty() && left_out.is_empty() {
        compare(&per_topic(&checks, &look_alikes, &pairs))?;
    }
    Ok(())
}

/// Reads the recorded guests, and beside them one for each pair.
fn manifests(pairs: &[Pair]) -> Result<Manifests> {
    let dir = tempfile::tempdir()?;
    for entry in fs::read_dir(path("tests/guests"))? {
        let entry = entry?;
        symlink(entry.path(), dir.path().join(entry.file_name()))?;
    }
    let mut text = String::new();
    for pair in pairs {
        writeln!(text, "== {}\n{}", pair.made, pair.row.manifest(pair.guest))?;
    }
    let plain: BTreeSet<_> = pairs.iter().map(|pair| (pair.guest, pair.row.with.as_str())).collect();
    for (guest, with) in plain.into_iter().filter(|(_, with)| !with.is_empty()) {
        writeln!(text, "== {}\nbased-on: {guest} {with}", plain_name(guest, with))?;
    }
    fs::write(dir.path().join("made.guests"), text)?;
    Manifests::read(dir.path())
}

/// A guest, what it gets before a row, and whether its image is to be taken.
type Plain<'r> = (&'static str, &'r str, bool);
type Healthy<'r> = BTreeMap<Plain<'r>, Vec<Finding>>;

impl<'r> Pair<'r> {
    fn plain(&self) -> Plain<'r> {
        (self.guest, self.row.with.as_str(), self.row.of_image)
    }
}

/// Returns what is found on each guest when no row is applied to it.
fn healthy<'r>(manifests: &Manifests, pairs: &[Pair<'r>]) -> Result<Healthy<'r>> {
    let kinds: BTreeSet<Plain> = pairs.iter().map(Pair::plain).collect();
    let kinds: Vec<Plain> = kinds.into_iter().collect();
    let found = side_by_side(&kinds, |plain| {
        let (guest, with, of_image) = *plain;
        let occasion = if of_image { Occasion::Image } else { Occasion::Diagnosis };
        Bench::of(&manifests.guest(&plain_name(guest, with))?)?.findings(occasion)
    });
    kinds.into_iter().zip(found).map(|(plain, found)| Ok((plain, found?))).collect()
}

/// The name of a guest with what it gets before a row.
fn plain_name(guest: &str, with: &str) -> String {
    if with.is_empty() { guest.to_owned() } else { format!("{guest} {with}").replace([' ', '/'], "-") }
}

/// Does the same to all, as many at a time as there are processors, and returns what came of each.
fn side_by_side<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    let work = || {
        while let Some((number, one)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            all.get(number).map(|one| (number, one))
        } {
            let result = work(one);
            done.lock().expect("no test panics").push((number, result));
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().expect("no test panics");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Figures {
    fn add(&mut self, pair: &Pair, outcome: &Outcome) {
        self.rows.insert(pair.row.name.clone());
        self.pairs += 1;
        self.found += usize::from(outcome.found);
        self.false_alarms += outcome.false_alarms.len();
        self.fixable += usize::from(outcome.repair.is_some());
        self.repaired += usize::from(matches!(outcome.repair, Some(Ok(()))));
    }

    fn merge(&mut self, other: &Self) {
        self.rows.extend(other.rows.iter().cloned());
        self.pairs += other.pairs;
        self.found += other.found;
        self.false_alarms += other.false_alarms;
        self.fixable += other.fixable;
        self.repaired += other.repaired;
    }

    /// Found and repaired, as `n of m`; what has no fix is mended by hand.
    fn words(&self) -> [String; 5] {
        let repaired = if self.fixable == 0 {
            "by hand".to_owned()
        } else {
            format!("{} of {}", self.repaired, self.fixable)
        };
        let found = format!("{} of {}", self.found, self.pairs);
        [self.rows.len().to_string(), self.pairs.to_string(), found, self.false_alarms.to_string(), repaired]
    }
}

fn per_check(checks: &BTreeMap<&str, Figures>, look_alikes: &Figures) -> String {
    let mut text = format!("{:<26} faults pairs  found      false repaired\n", "check");
    for check in check::every() {
        let Some(figures) = checks.get(check.id) else { continue };
        let [rows, pairs, found, alarms, repaired] = figures.words();
        let _ = writeln!(text, "{:<26} {rows:>6} {pairs:>5}  {found:<10} {alarms:>5} {repaired}", check.id);
    }
    let (rows, pairs) = (look_alikes.rows.len(), look_alikes.pairs);
    let _ = writeln!(text, "{rows} look-alikes, {pairs} pairs, {} false alarms", look_alikes.false_alarms);
    text
}

fn per_topic(checks: &BTreeMap<&str, Figures>, look_alikes: &Figures, pairs: &[Pair]) -> String {
    let mut text =
        "| topic | checks | faults | × distributions | found | false alarms | repaired, undone |\n\
        |---|---|---|---|---|---|---|\n"
            .to_owned();
    let mut all = Figures::default();
    let mut topics: Vec<(&str, usize, Figures)> = Vec::new();
    for check in check::every() {
        let Some(figures) = checks.get(check.id) else { continue };
        let word = check.topic.word();
        let known = topics.iter().position(|(topic, ..)| *topic == word);
        let place = known.unwrap_or_else(|| {
            topics.push((word, 0, Figures::default()));
            topics.len() - 1
        });
        let (_, count, sum) = &mut topics[place];
        *count += 1;
        sum.merge(figures);
        all.merge(figures);
    }
    topics.push(("all", checks.len(), all));
    for (topic, count, figures) in topics {
        let [rows, pairs, found, alarms, repaired] = figures.words();
        let _ = writeln!(text, "| {topic} | {count} | {rows} | {pairs} | {found} | {alarms} | {repaired} |");
    }
    let guests: BTreeSet<_> = pairs.iter().map(|pair| pair.guest).collect();
    let (rows, pairs, alarms) = (look_alikes.rows.len(), look_alikes.pairs, look_alikes.false_alarms);
    let _ = writeln!(
        text,
        "\nOn {} distributions; {rows} healthy look-alikes ({pairs} pairs): {alarms} false alarms.",
        guests.len()
    );
    text
}

#[test]
fn what_cannot_be_read_is_named_and_never_called_broken() -> Result<()> {
    if std::env::var_os("FAULT").is_some() {
        println!("skipped: FAULT asks for rows");
        return Ok(());
    }
    let rows = table::read(&path("tests/faults"))?;
    let first =
        |row| Pair { row, guest: row.guests()[0], made: format!("{} on {}", row.name, row.guests()[0]) };
    let pairs: Vec<Pair> = rows.iter().map(first).collect();
    let manifests = manifests(&pairs)?;
    let wrong = unreadable::gaps(&rows, &manifests, &healthy(&manifests, &pairs)?)?;
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Compares the figures with those in README.md.
fn compare(figures: &str) -> Result<()> {
    let readme = path("README.md");
    let text = fs::read_to_string(&readme)?;
    let (before, rest) = text.split_once(BEGIN).context("README.md has no place for the figures")?;
    let (told, after) = rest.split_once(END).context("README.md: the figures have no end")?;
    if told == figures {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        return Ok(fs::write(readme, format!("{before}{BEGIN}{figures}{END}{after}"))?);
    }
    Err(anyhow!("the figures in README.md are others: UPDATE=1 cargo test --test faults\n{figures}"))
}

#[test]
fn a_row_that_says_too_little_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (text, want) in [
        ("on: nowhere\ntouch x\n", "applies to no guest"),
        ("on: linux\nallow: resolver\n", "allow: ID REASON"),
        ("on: linux\nfix: auto\n", "fix: hand REASON"),
        ("on: linux\ncolour: red\n", "no header colour"),
        ("on: linux\ntouch x\n", "a look-alike tempts: ID"),
    ] {
        fs::write(dir.path().join("x.faults"), format!("Intro.\n\n== a row\n{text}"))?;
        let error = format!("{:#}", table::read(dir.path()).expect_err(text));
        assert!(error.contains(want) && error.contains("a row"), "{error}");
    }
    Ok(())
}
