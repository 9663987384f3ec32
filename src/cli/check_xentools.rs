//! `novactl check-xentools`: the chain from the hypervisor to what the host sees of the guest, link by link, and the
//! first link that is broken. It is `doctor` with fewer checks and another table.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::diagnosis::{self, Diagnosis};
use super::{Global, say};
use crate::check::{self, Finding, Limits, Selection, Strictness};
use crate::report::{Diagnosed, Exit, Report, nagios};
use crate::ui::{Ui, Volume};

const EXAMPLES: &str = "\
Examples:
  novactl check-xentools                      this server
  novactl check-xentools --root /mnt/rescue   a sick server's disk
  novactl check-xentools --format nagios      for a monitoring system";

/// The links of the chain, from the hypervisor to the host's view: the check and its name in the table.
const LINKS: [(&str, &str); 11] = [
    ("xen-guest", "hypervisor"),
    ("xenbus-device", "device"),
    ("kernel-has-xen-drivers", "kernel"),
    ("xenstore-reachable", "XenStore"),
    ("xentools-installed", "installed"),
    ("xentools-enabled", "at boot"),
    ("xentools-running", "running"),
    ("xentools-reporting", "reporting"),
    ("xentools-before-agent", "before agent"),
    ("boot-order-acyclic", "boot order"),
    ("xentools-single", "one daemon"),
];

/// Options of `check-xentools`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CheckXentools {
    /// Count warnings as problems (exit code 1)
    #[arg(long)]
    strict: bool,
}

impl CheckXentools {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let target = Arc::new(global.target()?);
        let only = LINKS.iter().map(|(id, _)| (*id).to_owned()).collect();
        let selection = Selection { only, ..Selection::default() };
        let findings = check::run(&target, &selection, Limits::default());
        let strictness = if self.strict { Strictness::Warnings } else { Strictness::Problems };
        let diagnosis = Diagnosis::new(&target, findings);
        say(global, &Chain { diagnosis, strictness, volume: global.volume() })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Chain {
    diagnosis: Diagnosis,
    #[serde(skip)]
    strictness: Strictness,
    #[serde(skip)]
    volume: Volume,
}

impl Report for Chain {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        self.diagnosis.headline(ui)?;
        if self.volume == Volume::Quiet {
            return Ok(());
        }
        write_links(ui, &self.diagnosis.findings)?;
        write_broken(ui, &self.diagnosis.findings, self.volume)
    }

    fn nagios(&self) -> nagios::Line {
        self.diagnosis.nagios("XENTOOLS", self.strictness)
    }

    fn diagnosed(&self) -> Option<Diagnosed<'_>> {
        Some(self.diagnosis.diagnosed("check-xentools", self.strictness))
    }

    fn exit(&self) -> Exit {
        self.diagnosis.summary.exit(self.strictness)
    }
}

/// Writes one line per link: its worst finding.
fn write_links(ui: &mut Ui, findings: &[Finding]) -> io::Result<()> {
    ui.line("")?;
    for (id, name) in LINKS {
        let of_link = findings.iter().filter(|finding| finding.id == id);
        if let Some(finding) = of_link.max_by_key(|finding| finding.status) {
            let head = format!("{:<8} {name:<13} ", finding.status.word());
            ui.paragraph(&head, head.len(), &finding.title)?;
        }
    }
    Ok(())
}

/// Writes the first broken link with its remedy, and which other ones are broken; the others in full on request.
fn write_broken(ui: &mut Ui, findings: &[Finding], volume: Volume) -> io::Result<()> {
    let broken: Vec<&Finding> = findings.iter().filter(|finding| diagnosis::matters(finding)).collect();
    let Some((first, rest)) = broken.split_first() else { return Ok(()) };
    diagnosis::write_finding(ui, first)?;
    if volume == Volume::Verbose {
        return rest.iter().try_for_each(|finding| diagnosis::write_finding(ui, finding));
    }
    let mut ids: Vec<&str> = rest.iter().map(|finding| finding.id).filter(|id| *id != first.id).collect();
    ids.dedup();
    ui.line("")?;
    if !ids.is_empty() {
        ui.paragraph("", 2, &format!("After that: {} (-v shows them)", ids.join(", ")))?;
    }
    ui.line(&format!("More about a finding: novactl explain {}", first.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Topic;

    fn screen(write: impl FnOnce(&mut Ui) -> io::Result<()>) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut ui = Ui::plain(Box::new(file.reopen().unwrap()), 60);
        write(&mut ui).unwrap();
        std::fs::read_to_string(file.path()).unwrap()
    }

    fn of(id: &'static str, finding: Finding) -> Finding {
        Finding { id, topic: Topic::Xentools, ..finding }
    }

    #[test]
    fn the_chain_shows_each_link_and_mends_the_first_broken_one() {
        let findings = [
            of("xen-guest", Finding::ok("this is a Xen guest")),
            of("xentools-enabled", Finding::ok("xe-daemon starts at boot")),
            of(
                "xentools-running",
                Finding::warn("xe-daemon does not run, although its service has been started")
                    .mend("start it")
                    .by(&["systemctl", "restart", "xe-daemon"]),
            ),
            of("xentools-single", Finding::note("i386")),
            of("xentools-single", Finding::warn("two daemons")),
        ];
        let links = "
ok       hypervisor    this is a Xen guest
ok       at boot       xe-daemon starts at boot
warn     running       xe-daemon does not run, although its
                       service has been started
warn     one daemon    two daemons
";
        assert_eq!(screen(|ui| write_links(ui, &findings)), links);
        let broken = "
WARN    xentools-running
  xe-daemon does not run, although its service has been
  started
  fix: start it
  $ systemctl restart xe-daemon

After that: xentools-single (-v shows them)
More about a finding: novactl explain xentools-running
";
        assert_eq!(screen(|ui| write_broken(ui, &findings, Volume::Normal)), broken);
    }

    #[test]
    fn a_whole_chain_has_nothing_to_mend() {
        let findings = [of("xen-guest", Finding::ok("this is a Xen guest"))];
        assert_eq!(screen(|ui| write_broken(ui, &findings, Volume::Normal)), "");
    }

    #[test]
    fn every_link_is_a_check_in_the_order_of_the_report() {
        let ids: Vec<&str> = LINKS.iter().map(|(id, _)| *id).collect();
        let checks: Vec<&str> = check::all().map(|check| check.id).filter(|id| ids.contains(id)).collect();
        assert_eq!(checks, ids);
    }
}
