//! `novactl undo`: the journal, and taking a change back.

use std::io;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::change::{self, ChangeReport, Consent, Request};
use super::trouble::{self, Trouble};
use super::verification::Broken;
use super::{Global, say};
use crate::check::{Finding, Topic};
use crate::plan::journal::{self, Journal, Record, State, Turn};
use crate::plan::{self, Discard, Edits};
use crate::report::{Exit, Format, Report, nagios};
use crate::revert;
use crate::root::Root;
use crate::target::Target;
use crate::ui::{self, Answer, Ui};

const EXAMPLES: &str = "\
Examples:
  novactl undo --list
  novactl undo                      take the newest change back
  novactl undo 20261121T231500Z-reset-network
  novactl undo --keep               keep a change that would revert by itself
  novactl undo --forget --disk web01.vhd
                                    before it becomes an image: its changes
                                    stay, the originals are deleted
  novactl undo --root /mnt/rescue   on a mounted disk
  novactl undo --disk /dev/xvdb     on a disk that is not mounted

Files come back byte for byte, with mode, owner, time and extended attributes.";

/// Options of `undo`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Undo {
    /// The change, as --list names it [default: the newest]
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// List the journal
    #[arg(long, conflicts_with_all = ["keep", "id"])]
    list: bool,
    /// Keep a change that would take itself back
    #[arg(long)]
    keep: bool,
    /// Also when a file was edited since; the edit stays in the journal
    #[arg(long)]
    force: bool,
    /// Delete the originals that the journal keeps, of all changes or of ID: what was
    /// changed stays, and cannot be taken back any more
    #[arg(long, conflicts_with_all = ["list", "keep", "force", "dry_run"])]
    forget: bool,
    /// Wait SECONDS, then take ID back unless it was kept: the process behind --revert-after
    #[arg(long, value_name = "SECONDS", hide = true, requires = "id")]
    unless_kept: Option<u64>,
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

impl Undo {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let target = global.target()?;
        if self.list {
            return say(
                global,
                &Listing { schema: "novactl.journal/1", changes: journal::list(&target.root)? },
            );
        }
        if let Some(seconds) = self.unless_kept {
            return self.take_back_unless_kept(global, &target, seconds);
        }
        if self.forget {
            self.forget(global, &target)?;
            let changes = journal::list(&target.root)?;
            return say(global, &Listing { schema: "novactl.journal/1", changes });
        }
        let journal = change::begin(global, &target, &self.consent)?;
        let record = self.find(&target.root)?;
        if self.keep {
            return keep(global, journal, record);
        }
        let edits = if self.force { Edits::Overwrite } else { Edits::Refuse };
        let report = take_back(global, &target, &self.consent, journal.as_ref(), record, edits)?;
        // a disk cannot be put down while its journal is open
        drop(journal);
        say(global, &report)
    }

    /// Removes entries from the journal, once that is agreed to; also those that [`journal::list`] does not see or
    /// cannot read, for they hold originals as well.
    fn forget(&self, global: &Global, target: &Target) -> anyhow::Result<()> {
        let Some(journal) = self.journal_to_forget(global, target)? else { return Ok(()) };
        let mut ids = journal::ids(&target.root)?;
        if let Some(wanted) = &self.id {
            ids.retain(|id| id == wanted);
            if ids.is_empty() {
                return Err(no_such_change(wanted).into());
            }
        }
        for id in &ids {
            let strange = match journal::record_opt(&target.root, id) {
                Ok(Some(record)) => {
                    expect_finished(&record)?;
                    continue;
                }
                Ok(None) => format!("{id} has no record: it changed nothing"),
                Err(error) => format!("{error:#}: what {id} changed is not known and stays"),
            };
            ui::progress(global.volume(), &strange);
        }
        if ids.is_empty() {
            return Ok(());
        }
        if !self.consent.yes {
            let count = ids.len();
            let changes = if count == 1 { "1 change".to_owned() } else { format!("{count} changes") };
            let question = format!(
                "{changes} can no longer be taken back then; what was changed stays. Delete the originals?"
            );
            match ui::confirm(&question)? {
                Answer::Yes => {}
                Answer::No => {
                    let hint = "novactl undo --list shows them";
                    let text = "the originals are kept: undo can still take the changes back";
                    return Err(Trouble::new(text, hint, Exit::Declined).into());
                }
                Answer::NobodyThere => return Err(trouble::no_consent("undo --forget")),
            }
        }
        change::open_for_writing(target, &journal)?;
        for id in &ids {
            journal.forget(id)?;
            ui::progress(global.volume(), &format!("{id}: what it changed stays, the originals are deleted"));
        }
        Ok(())
    }

    /// Opens the journal. From one with a record that cannot be read nothing is taken back first.
    fn journal_to_forget<'t>(
        &self,
        global: &Global,
        target: &'t Target,
    ) -> anyhow::Result<Option<Journal<'t>>> {
        if journal::list(&target.root).is_ok() {
            return change::begin(global, target, &self.consent);
        }
        let journal = Journal::later(&target.root);
        if target.disk().is_none() {
            change::open_for_writing(target, &journal)?;
        }
        Ok(Some(journal))
    }

    fn take_back_unless_kept(
        &self,
        global: &Global,
        target: &Target,
        seconds: u64,
    ) -> anyhow::Result<ExitCode> {
        let find = || Ok(journal::list(&target.root)?.into_iter().find(|r| Some(&r.id) == self.id.as_ref()));
        let Some(record) = revert::wait(find, seconds)? else { return Ok(ExitCode::SUCCESS) };
        let consent = Consent { dry_run: false, yes: true };
        let journal = Journal::open(&target.root, Turn::Wait)?;
        say(global, &take_back(global, target, &consent, Some(&journal), record, Edits::Overwrite)?)
    }

    fn find(&self, root: &Root) -> anyhow::Result<Record> {
        let records = journal::list(root)?;
        let wanted = |record: &&Record| match (&self.id, self.keep) {
            (Some(id), _) => record.id == *id,
            (None, true) => record.revert_at.is_some(),
            (None, false) => record.state == State::Done && record.verb != "undo",
        };
        records.iter().rev().find(wanted).cloned().ok_or_else(|| {
            let text = match (&self.id, self.keep) {
                (Some(id), _) => return no_such_change(id).into(),
                (None, true) => "no change would take itself back",
                (None, false) => "the journal has no change to take back",
            };
            Trouble::new(text, "novactl undo --list shows the journal", Exit::CannotJudge).into()
        })
    }
}

fn no_such_change(id: &str) -> Trouble {
    let text = format!("the journal has no change {id:?}");
    Trouble::new(text, "novactl undo --list shows the journal", Exit::CannotJudge)
}

/// Refuses to forget what is still to be taken back.
fn expect_finished(record: &Record) -> anyhow::Result<()> {
    let id = &record.id;
    let (text, hint) = match (record.revert_at, record.state) {
        (Some(_), _) => {
            ("takes itself back unless it is kept", "novactl undo --keep, or novactl undo".to_owned())
        }
        (None, State::Open) => {
            let hint =
                "forget the changes that cannot be read by their IDs; novactl undo then takes this one back";
            ("was interrupted, and is still to be taken back", hint.to_owned())
        }
        (None, State::Done | State::Undone) => return Ok(()),
    };
    Err(Trouble::new(format!("{id} {text}: nothing was deleted"), hint, Exit::CannotJudge).into())
}

/// Keeps the newest change that would take itself back.
pub(super) fn keep_newest(target: &Target) -> anyhow::Result<()> {
    let journal = Journal::open(&target.root, Turn::Wait)?;
    let newest = journal::list(&target.root)?.into_iter().rev().find(|record| record.revert_at.is_some());
    match newest {
        Some(record) if record.state == State::Done => journal.save(&Record { revert_at: None, ..record }),
        _ => {
            Err(Trouble::new("it was taken back already", "run the command again", Exit::ChangeFailed).into())
        }
    }
}

/// Takes a change back and closes its entry.
pub(super) fn take_back(
    global: &Global,
    target: &Target,
    consent: &Consent,
    journal: Option<&Journal<'_>>,
    record: Record,
    edits: Edits,
) -> anyhow::Result<ChangeReport> {
    let request = Request {
        plan: plan::undo(&target.root, &record, edits)?,
        verify: &|_| Vec::new(),
        broken: Broken::default(),
        findings: gone_for_good(&record),
        interfaces: None,
        revert_after: None,
        left: Vec::new(),
    };
    let report = change::carry_out(global, target, consent, journal, request)?;
    if let (Some(journal), Exit::Ok) = (journal, report.exit()) {
        change::open_for_writing(target, journal)?;
        plan::remove_made_dirs(&target.root, &record)?;
        journal.close(record)?;
    }
    Ok(report)
}

/// What the change discarded, which nobody can bring back.
fn gone_for_good(record: &Record) -> Vec<Finding> {
    let size: u64 = record.discarded.iter().map(|discard| discard.size).sum();
    if record.discarded.is_empty() {
        return Vec::new();
    }
    let title = format!("{} files, {} KiB, were not kept in the journal", record.discarded.len(), size >> 10);
    let finding = Finding::note(title).because("they stay as they are: logs and caches, as was said before");
    let seen = |finding: Finding, discard: &Discard| {
        finding.seen(format!("/{}", discard.path), format!("{} bytes", discard.size))
    };
    vec![record.discarded.iter().fold(finding, seen).of("undo", Topic::Image)]
}

fn keep(global: &Global, journal: Option<Journal<'_>>, record: Record) -> anyhow::Result<ExitCode> {
    let record = Record { revert_at: None, ..record };
    if let Some(journal) = journal {
        journal.save(&record)?;
    }
    if global.quiet && global.format == Format::Table {
        return Ok(Exit::Ok.into());
    }
    say(global, &Listing { schema: "novactl.journal/1", changes: vec![record] })
}

#[derive(Serialize)]
struct Listing {
    schema: &'static str,
    changes: Vec<Record>,
}

impl Report for Listing {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        if self.changes.is_empty() {
            return ui.line("the journal holds no change of novactl");
        }
        for record in self.changes.iter().rev() {
            let state = match (record.state, record.revert_at) {
                (State::Done, Some(_)) => "reverts by itself",
                (State::Done, None) => "made",
                (State::Undone, _) => "taken back",
                (State::Open, _) => "interrupted",
            };
            ui.line(&format!("{}  {state}: {}", record.id, record.title))?;
            for file in &record.files {
                ui.line(&format!("  /{}", file.path))?;
            }
        }
        Ok(())
    }

    fn nagios(&self) -> nagios::Line {
        let open = self.changes.iter().filter(|record| record.state == State::Open).count();
        let state = if open > 0 { nagios::State::Warning } else { nagios::State::Ok };
        let text = format!("{} changes, {open} interrupted", self.changes.len());
        nagios::Line { service: "UNDO", state, text, perfdata: Vec::new() }
    }

    fn exit(&self) -> Exit {
        Exit::Ok
    }
}
