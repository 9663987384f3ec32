//! `novactl scan-ifaces`: every interface, and what the host says about it.
//!
//! It needs neither root nor XenStore. Without the host's data a NIC has no verdict (`null`, `-` in the table):
//! neither `host` nor `unknown-to-host` is claimed.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use super::diagnosis::{self, TargetFacts};
use super::{Global, say};
use crate::check::interfaces::hazards;
use crate::check::{self, Finding, Limits, Selection, Status, Strictness, Summary, Topic};
use crate::net::Mac;
use crate::net::host::{Effect, HostNic};
use crate::net::ipv6::Ipv6;
use crate::net::links::{Kind, State};
use crate::net::survey::{Interface, Survey, Verdict};
use crate::report::{Exit, Report, nagios};
use crate::ui::{Row, Ui, Volume};

/// The most interfaces of software that a person is shown one by one: what fits on a Xen console of 24 lines.
const LISTED_MAX: usize = 16;

/// The columns that a label may have: tenants choose labels, and the table has 80.
const LABEL_MAX: usize = 10;

const EXAMPLES: &str = "\
Examples:
  novactl scan-ifaces                      this server
  novactl scan-ifaces --root /mnt/rescue   what a disk's configuration makes
  novactl scan-ifaces -v                   every link, also thousands of them

A NIC that the host's data cannot be asked about has no verdict.";

/// Options of `scan-ifaces`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ScanIfaces {}

/// What `scan-ifaces` has to say (`schemas/interfaces.json`).
#[derive(Debug, Serialize)]
struct ScanReport {
    schema: &'static str,
    novactl: &'static str,
    target: TargetFacts,
    interfaces: Vec<InterfaceReport>,
    missing: Vec<Record>,
    findings: Vec<Finding>,
    #[serde(skip)]
    volume: Volume,
    /// What could not be looked at, in sentences.
    #[serde(skip)]
    unknown: Vec<String>,
}

#[derive(Debug, Serialize)]
struct InterfaceReport {
    name: String,
    kind: Kind,
    driver: Option<String>,
    mac: Option<Mac>,
    permanent_mac: Option<Mac>,
    state: State,
    master: Option<String>,
    lower: Option<String>,
    addresses: Vec<IpNet>,
    ipv6: Ipv6,
    host: Option<Record>,
    /// The label that its name lets assume, where the files say nothing that tells.
    #[serde(skip)]
    assumed: Option<String>,
    public: bool,
    verdict: Option<Verdict>,
    crashes: Vec<&'static str>,
    note: Option<String>,
}

/// A record of the host.
#[derive(Debug, Serialize)]
struct Record {
    key: String,
    label: Option<String>,
}

impl ScanIfaces {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let target = Arc::new(global.target()?);
        // Made here, so that a slow store costs no check its time.
        let survey = target.survey()?;
        let selection = Selection { topics: vec![Topic::Interfaces], ..Selection::default() };
        let findings = check::run(&target, &selection, Limits::default());
        let no_host =
            survey.host.as_ref().err().map(|reason| format!("what the host assigns is not known: {reason}"));
        let unread = survey.unread.iter().map(|seen| format!("left out: {}", seen.text));
        let report = ScanReport {
            schema: "novactl.interfaces/1",
            novactl: env!("CARGO_PKG_VERSION"),
            target: TargetFacts::of(&target),
            interfaces: survey
                .interfaces
                .iter()
                .map(|interface| InterfaceReport::of(interface, survey))
                .collect(),
            missing: survey.missing().into_iter().map(Record::of).collect(),
            findings,
            volume: global.volume(),
            unknown: no_host.into_iter().chain(unread).collect(),
        };
        say(global, &report)
    }
}

impl Record {
    fn of(nic: &HostNic) -> Self {
        Self { key: nic.key.clone(), label: nic.label.clone() }
    }
}

impl InterfaceReport {
    fn of(interface: &Interface, survey: &Survey) -> Self {
        let link = &interface.link;
        let made_by = interface.made_by.as_ref().map(|made| {
            let when = if made.at_boot { "at boot" } else { "on demand" };
            format!("made {when} by {}", made.seen.source)
        });
        Self {
            name: link.name.clone(),
            kind: link.kind.clone(),
            driver: link.driver.clone(),
            mac: link.mac,
            permanent_mac: link.permanent_mac,
            state: link.state,
            master: link.master.clone(),
            lower: link.lower.clone(),
            addresses: link.addresses.clone(),
            ipv6: interface.ipv6.clone(),
            host: survey.record(interface).map(Record::of),
            assumed: survey.assumed(interface).and_then(|nic| nic.label.clone()),
            public: interface.is_public,
            verdict: interface.verdict,
            crashes: hazards::crashed_by(interface, survey),
            note: hazards::misled_by(interface)
                .or_else(|| fault_of_record(interface, survey))
                .or_else(|| assumed_record(survey.assumed(interface)?))
                .or(made_by),
        }
    }

    /// Whether it is one of those of which a server can have thousands.
    fn is_plenty(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Unexpected | Verdict::Port))
    }

    /// The place in the table: the host's NICs, other NICs, links of software, the loopback.
    fn place(&self) -> u8 {
        match self.verdict {
            Some(Verdict::Host) => 0,
            None | Some(Verdict::UnknownToHost) => 1,
            Some(Verdict::SharesMac) => 2,
            Some(Verdict::Unexpected | Verdict::Port) => 3,
            Some(Verdict::Loopback) => 4,
        }
    }

    fn row(&self) -> Row {
        let mac = self.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let assumed = self.assumed.as_ref().map(|label| format!("{label}?"));
        let label = self.host.as_ref().and_then(|host| host.label.clone()).or(assumed).unwrap_or_default();
        let label: String = if label.chars().count() > LABEL_MAX {
            label.chars().take(LABEL_MAX - 2).chain("..".chars()).collect()
        } else {
            label
        };
        let ipv6 = match self.ipv6.enabled {
            Some(true) => (None, "on"),
            Some(false) => ((self.public).then_some(Status::Warn), "off"),
            None => (None, "-"),
        };
        let verdict = match self.verdict {
            None => (None, "-"),
            Some(verdict) => (color_of(verdict), verdict.word()),
        };
        let plain = |text: String| (None, if text.is_empty() { "-".to_owned() } else { text });
        let mut below = Vec::new();
        if !self.addresses.is_empty() {
            below.push(self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        }
        if self.public {
            below.extend(
                self.ipv6.disabled_by.iter().map(|seen| format!("IPv6 off: {}: {}", seen.source, seen.text)),
            );
        }
        below.extend((!self.crashes.is_empty()).then(|| format!("crashes {}", self.crashes.join(", "))));
        below.extend(self.note.clone());
        Row {
            cells: vec![
                (None, self.name.clone()),
                (None, self.kind.word().to_owned()),
                plain(mac),
                (None, self.state.word().to_owned()),
                (ipv6.0, ipv6.1.to_owned()),
                plain(label),
                (verdict.0, verdict.1.to_owned()),
            ],
            below,
        }
    }
}

/// Says which record is taken for the one of a NIC of which a disk says neither the MAC nor an address of the host's.
fn assumed_record(record: &HostNic) -> Option<String> {
    let label = record.label.as_deref()?;
    Some(format!("taken for {label} ({}) by its name: its addresses are not those of the host", record.key))
}

/// Says what is wrong with the host's record of a NIC, when something of it is left out.
fn fault_of_record(interface: &Interface, survey: &Survey) -> Option<String> {
    let lost = survey.record(interface)?.problems.iter().find(|problem| problem.effect == Effect::LeftOut)?;
    let field = if lost.field.is_empty() { String::new() } else { format!(", {}", lost.field) };
    Some(format!("the host's record of it{field}: {}", lost.text))
}

fn color_of(verdict: Verdict) -> Option<Status> {
    match verdict {
        Verdict::Host => Some(Status::Ok),
        Verdict::Unexpected => Some(Status::Note),
        Verdict::SharesMac | Verdict::UnknownToHost => Some(Status::Warn),
        Verdict::Loopback | Verdict::Port => None,
    }
}

impl ScanReport {
    /// Splits the interfaces into those that are shown and those that are counted by kind.
    fn shown(&self) -> (Vec<&InterfaceReport>, BTreeMap<&str, usize>) {
        let plenty = self.interfaces.iter().filter(|interface| interface.is_plenty()).count();
        if self.volume == Volume::Verbose || plenty <= LISTED_MAX {
            return (self.interfaces.iter().collect(), BTreeMap::new());
        }
        let mut kinds = BTreeMap::new();
        for interface in self.interfaces.iter().filter(|interface| interface.is_plenty()) {
            *kinds.entry(interface.kind.word()).or_default() += 1;
        }
        (self.interfaces.iter().filter(|interface| !interface.is_plenty()).collect(), kinds)
    }

    fn count_of(&self, verdict: Verdict) -> u64 {
        self.interfaces.iter().filter(|interface| interface.verdict == Some(verdict)).count() as u64
    }
}

impl Report for ScanReport {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        let (mut shown, kinds) = self.shown();
        if self.interfaces.is_empty() {
            ui.line("No interface is known: neither a record of /sys nor a configuration of one")?;
        } else {
            shown.sort_by_key(|interface| interface.place());
            let rows: Vec<Row> = shown.into_iter().map(InterfaceReport::row).collect();
            ui.table(&["INTERFACE", "KIND", "MAC", "STATE", "IPV6", "LABEL", "VERDICT"], &rows)?;
        }
        if !kinds.is_empty() {
            let kinds: Vec<String> =
                kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            ui.paragraph("", 4, &format!("and unexpected or ports: {} (-v lists them)", kinds.join(", ")))?;
        }
        for record in &self.missing {
            let label = record.label.as_deref().unwrap_or("without a label");
            ui.line(&format!("missing: {} ({label}) is assigned by the host", record.key))?;
        }
        self.unknown.iter().try_for_each(|text| ui.paragraph("", 4, text))?;
        if self.volume == Volume::Quiet {
            return Ok(());
        }
        let mut said = self.findings.iter().filter(|f| diagnosis::matters(f) || f.status == Status::Note);
        said.try_for_each(|finding| diagnosis::write_finding(ui, finding))
    }

    fn nagios(&self) -> nagios::Line {
        let worst = self.findings.iter().filter(|f| diagnosis::matters(f)).max_by(|a, b| {
            // of equals the first: it is the cause
            a.status.cmp(&b.status).then(std::cmp::Ordering::Greater)
        });
        let counts =
            format!("{} interfaces, {} of the host", self.interfaces.len(), self.count_of(Verdict::Host));
        let summary = Summary::of(&self.findings);
        nagios::Line {
            service: "INTERFACES",
            state: if self.interfaces.is_empty() {
                nagios::State::Unknown
            } else {
                summary.state(Strictness::Problems)
            },
            text: worst.map_or(counts.clone(), |finding| format!("{}, {counts}", finding.title)),
            perfdata: vec![
                ("interfaces", self.interfaces.len() as u64),
                ("host", self.count_of(Verdict::Host)),
                ("unexpected", self.count_of(Verdict::Unexpected)),
                ("missing", self.missing.len() as u64),
                ("fail", summary.fail as u64),
                ("warn", summary.warn as u64),
            ],
        }
    }

    fn exit(&self) -> Exit {
        if Summary::of(&self.findings).fail > 0 {
            Exit::Problems
        } else if self.interfaces.is_empty() {
            Exit::CannotJudge
        } else {
            Exit::Ok
        }
    }
}
