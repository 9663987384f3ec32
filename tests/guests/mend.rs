//! Break, mend, look again, take back: what `doctor --fix --only ID` makes of a guest.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::manifest::Guest;

/// Where the journal is: it stays when a change is taken back.
const JOURNAL: &str = "var/lib/novactl";

/// How a finding of a check with a fix came out on one guest.
pub(crate) enum Outcome {
    /// Mended, and as before when taken back.
    Mended,
    /// The program says that only hands can.
    ByHand,
}

/// A guest with a problem that has a fix.
pub(crate) struct Patient<'g> {
    guest: &'g Guest,
    program: &'g Path,
    dir: tempfile::TempDir,
}

impl<'g> Patient<'g> {
    pub(crate) fn new(guest: &'g Guest, program: &'g Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let patient = Self { guest, program, dir };
        fs::create_dir(patient.root())?;
        guest.unpack(&patient.root())?;
        if let Some(dump) = &guest.store {
            fs::write(patient.store(), dump)?;
        }
        Ok(patient)
    }

    /// Mends one check's findings and takes that back, with everything that has to hold in between.
    pub(crate) fn mend(&self, id: &str) -> Result<Outcome> {
        let all = self.findings(&[])?;
        let ours: Vec<&Value> = all.iter().filter(|finding| word(finding, "id") == id).collect();
        let is_fixable = |finding: &Value| finding["remedy"]["fixable"] == Value::Bool(true);
        let dry = self.run("doctor", &["--fix", "--dry-run", "--only", id])?;
        let plan = &dry["plan"];
        let is_empty = ["files", "programs"].iter().all(|key| plan[key].as_array().is_none_or(Vec::is_empty));
        if !ours.iter().any(|finding| is_fixable(finding)) {
            ensure!(is_empty, "is not called fixable, and the plan is {plan}");
            return Ok(Outcome::ByHand);
        }
        ensure!(!is_empty, "is called fixable, and there is no plan");
        let before = picture(&self.root())?;
        let made = self.run("doctor", &["--fix", "--yes", "--only", id])?;
        ensure!(made["result"] == "applied", "it was not applied: {made}");
        let now = self.findings(&[])?;
        let is_fault = |f: &&Value| matches!(word(f, "status"), "warn" | "fail" | "unknown");
        let left = now.iter().find(|f| word(f, "id") == id && is_fixable(f));
        ensure!(left.is_none(), "is still there: {left:?}");
        for new in now.iter().filter(is_fault) {
            let same = |old: &&Value| {
                ["id", "status", "subject"].iter().all(|key| old[key] == new[key])
                    && !(is_fixable(old) && word(old, "id") == id)
            };
            ensure!(all.iter().any(|old| same(&old)), "came up with it: {new}");
        }
        let again = self.run("doctor", &["--fix", "--yes", "--only", id])?;
        ensure!(again["result"] == "nothing-to-do", "a second time it does {}", again["plan"]);
        let undone = self.run("undo", &["--yes"])?;
        ensure!(undone["result"] == "applied", "it was not taken back: {undone}");
        let after = picture(&self.root())?;
        for (path, was) in &before {
            ensure!(after.get(path) == Some(was), "/{} is not as before", path.display());
        }
        let new = after.keys().find(|path| !before.contains_key(*path));
        ensure!(new.is_none(), "{new:?} was left");
        Ok(Outcome::Mended)
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("xenstore.json")
    }

    fn findings(&self, args: &[&str]) -> Result<Vec<Value>> {
        let report = self.run("doctor", args)?;
        report["findings"].as_array().cloned().context("no findings")
    }

    fn run(&self, command: &str, args: &[&str]) -> Result<Value> {
        let mut novactl = Command::new(self.program);
        novactl.env_remove("XENSTORED_PATH").env_remove("SSH_CONNECTION").arg(command).args(args);
        novactl.args(["--format", "json", "--root"]).arg(self.root());
        if self.guest.store.is_some() {
            novactl.arg("--xenstore").arg(self.store());
        }
        let output = novactl.output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{command} {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Returns what stands at each path but the journal's: kind, mode, owner, content; of a file also its time.
fn picture(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(path) = ahead.pop() {
        let place = root.join(&path);
        let stat = place.symlink_metadata()?;
        let mut what = format!("{:o} {} {}", stat.mode(), stat.uid(), stat.gid());
        if stat.is_dir() {
            for entry in fs::read_dir(&place)? {
                ahead.push(path.join(entry?.file_name()));
            }
        } else if stat.is_symlink() {
            what += &format!(" {}", fs::read_link(&place)?.display());
        } else if stat.is_file() {
            what += &format!(" {} {}.{}", stat.size(), stat.mtime(), stat.mtime_nsec());
            if stat.size() < 1 << 20 {
                what += &format!(" {:?}", fs::read(&place)?);
            }
        }
        // the way to the journal stays with it
        if !Path::new(JOURNAL).starts_with(&path) && !path.starts_with(JOURNAL) {
            found.insert(path, what);
        }
    }
    Ok(found)
}

fn word<'v>(finding: &'v Value, key: &str) -> &'v str {
    finding[key].as_str().unwrap_or_default()
}
