//! One row on one guest: made, judged, repaired, taken back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use novactl::check::{self, Finding, Limits, Occasion, Selection, Status};
use novactl::target::Target;
use novactl::xenstore::Source;

use super::manifest::Guest;
use super::table::Row;
use super::{commands, program};

/// What came of a row on a guest.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// Whether the check fired.
    pub(crate) found: bool,
    /// Findings that the row does not name.
    pub(crate) false_alarms: Vec<String>,
    /// Whether there is a fix for it; then what it came to, and what is wrong with it.
    pub(crate) repair: Option<Result<(), String>>,
    /// Commands in what is said that act on another system.
    pub(crate) astray: Vec<String>,
}

/// Where the journal of changes is kept, with the directories above it.
const JOURNAL: [&str; 3] = ["var", "var/lib", "var/lib/novactl"];

/// A tree and the dump that goes with it.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    has_store: bool,
}

impl Bench {
    pub(crate) fn of(guest: &Guest) -> Result<Self> {
        // the journal syncs every file that it keeps: in memory the same run takes half the time
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("novactl-faults-").tempdir_in(place)?;
        let bench = Self { has_store: guest.store.is_some(), dir };
        fs::create_dir(bench.root())?;
        guest.unpack(&bench.root())?;
        if let Some(store) = &guest.store {
            fs::write(bench.store(), store)?;
        }
        Ok(bench)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("xenstore.json")
    }

    /// Returns what is found.
    pub(crate) fn findings(&self, occasion: Occasion) -> Result<Vec<Finding>> {
        let source = if self.has_store { Source::Path(self.store()) } else { Source::None };
        let target = Arc::new(Target::offline(&self.root(), source)?);
        let selection = Selection { occasion, ..Selection::default() };
        let limits = Limits { check: Duration::from_secs(60), run: Duration::from_secs(600) };
        Ok(check::run(&target, &selection, limits))
    }

    fn novactl(&self, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&*program::SMALL);
        command.env_remove("XENSTORED_PATH").args(args).arg("--root").arg(self.root()).stdin(Stdio::null());
        if self.has_store {
            command.arg("--xenstore").arg(self.store());
        }
        let output = command.output().map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{args:?}: {told}")) }
    }

    /// Repairs what a check found, looks again, and takes it back. `others` is what was found beside it.
    fn repaired(&self, row: &Row, id: &str, others: &[&Finding]) -> Result<(), String> {
        let words = |error: anyhow::Error| format!("{error:#}");
        let before = contents(&self.root()).map_err(words)?;
        let verb: &[&str] = if row.of_image { &["fix-image"] } else { &["doctor", "--fix"] };
        self.novactl(&[verb, &["--only", id, "--yes"]].concat())?;
        let now = self.findings(row.occasion()).map_err(words)?;
        let is_left = |f: &&Finding| is_fault(f) || row.finds.as_deref().is_some_and(|finds| says(f, finds));
        let left: Vec<_> = now.iter().filter(is_left).filter(|f| !is_among(f, others)).map(told).collect();
        if !left.is_empty() {
            return Err(format!("after the repair there is {}", left.join("; ")));
        }
        self.novactl(&["undo", "--yes"])?;
        let after = contents(&self.root()).map_err(words)?;
        let other = |(path, now): (&PathBuf, &Entry)| before.get(path) != Some(now);
        let mut differs: Vec<_> = after.iter().filter(|e| other(*e)).map(|(path, _)| path).collect();
        differs.extend(before.keys().filter(|path| !after.contains_key(*path)));
        if differs.is_empty() { Ok(()) } else { Err(format!("undo leaves another tree: {differs:?}")) }
    }
}

impl Row {
    pub(crate) fn occasion(&self) -> Occasion {
        if self.of_image { Occasion::Image } else { Occasion::Diagnosis }
    }
}

/// Judges a row on a guest, with what is found on the guest without it.
pub(crate) fn outcome(row: &Row, guest: &Guest, healthy: &[Finding]) -> Result<Outcome> {
    let bench = Bench::of(guest)?;
    if let Ok(keep) = std::env::var("FAULT_KEEP") {
        guest.unpack(Path::new(&keep))?;
    }
    let found = bench.findings(row.occasion())?;
    let healthy: Vec<&Finding> = healthy.iter().collect();
    let new: Vec<&Finding> = found.iter().filter(|finding| !is_among(finding, &healthy)).collect();
    let named = |f: &&Finding| row.finds.as_deref().is_some_and(|finds| says(f, finds));
    let is_found = if row.is_recorded { found.iter().any(|f| named(&f)) } else { new.iter().any(named) };
    let alarm = |f: &&&Finding| is_fault(f) && !named(f) && !row.allows(f.id);
    let mut false_alarms: Vec<String> = new.iter().filter(alarm).map(|f| told(f)).collect();
    for tempted in &row.tempts {
        let (id, is_ok) = tempted.strip_suffix("=ok").map_or((tempted.as_str(), false), |id| (id, true));
        let of_check = found.iter().filter(|finding| finding.id == id);
        let is_wrong = |f: &Finding| match is_ok {
            true => f.status != Status::Ok,
            false => matches!(f.status, Status::Skipped | Status::Blocked),
        };
        let wrong =
            of_check.filter(|f| is_wrong(f)).map(|f| format!("{tempted} is asked for, not {}", told(f)));
        false_alarms.extend(wrong);
    }
    let report = serde_json::json!({ "findings": &found });
    let astray = commands::astray(&report, &bench.root().to_string_lossy());
    let mut outcome = Outcome { found: is_found, false_alarms, repair: None, astray };
    let Some(id) = row.id() else { return Ok(outcome) };
    let check = check::every().find(|check| check.id == id).with_context(|| format!("no check {id}"))?;
    if check.fix.is_some() && is_found && !row.by_hand {
        let others: Vec<&Finding> = match row.is_recorded {
            true => healthy.into_iter().filter(|f| f.id != id).collect(),
            false => found.iter().filter(|f| f.id != id).chain(healthy).collect(),
        };
        outcome.repair = Some(bench.repaired(row, id, &others));
    }
    Ok(outcome)
}

impl Row {
    fn allows(&self, id: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == id)
    }
}

/// Whether it is no praise, and more than a note.
fn is_fault(finding: &Finding) -> bool {
    matches!(finding.status, Status::Warn | Status::Fail | Status::Unknown)
}

fn is_among(finding: &Finding, others: &[&Finding]) -> bool {
    let same = |f: &&Finding| (f.id, f.status, &f.subject) == (finding.id, finding.status, &finding.subject);
    others.iter().any(same)
}

fn says(finding: &Finding, finds: &str) -> bool {
    match finds.split_once('=') {
        Some((id, status)) => finding.id == id && finding.status.word() == status,
        None => finding.id == finds && matches!(finding.status, Status::Warn | Status::Fail),
    }
}

fn told(finding: &Finding) -> String {
    let subject = finding.subject.as_deref().map_or(String::new(), |subject| format!("@{subject}"));
    format!("{}={}{subject} {}", finding.id, finding.status.word(), finding.title)
}

/// Mode, owner, SELinux label, and what is in it.
type Entry = (u32, u32, u32, Vec<u8>, Vec<u8>);

/// Returns a tree but for the journal.
fn contents(root: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let below = path.strip_prefix(root)?.to_owned();
            if JOURNAL[2] == below.to_string_lossy() {
                continue;
            }
            let stat = path.symlink_metadata()?;
            let mut body = Vec::new();
            if stat.is_dir() {
                ahead.push(path);
                if JOURNAL.iter().any(|journal| *journal == below.to_string_lossy()) {
                    continue;
                }
            } else if stat.is_symlink() {
                body.extend(fs::read_link(&path)?.as_os_str().as_bytes());
            } else {
                ensure!(stat.is_file(), "{} is no file", below.display());
                // a log with a hole: its end tells as much
                body =
                    if stat.len() < 8 << 20 { fs::read(&path)? } else { stat.len().to_le_bytes().to_vec() };
            }
            let mut label = vec![0; 256];
            // a file without a label, and a file system without labels, are the same here
            let length =
                rustix::fs::lgetxattr(root.join(&below), "security.selinux", &mut label[..]).unwrap_or(0);
            label.truncate(length);
            found.insert(below, (stat.mode(), stat.uid(), stat.gid(), label, body));
        }
    }
    Ok(found)
}
