//! `novactl scan-ifaces`: every interface, and what the host says about it.
//!
//! It needs neither root nor XenStore. Without the host's data a NIC has no verdict (`null`, `-` in the table):
//! neither `host` nor `unknown-to-host` is claimed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use super::Global;
use crate::check::interfaces::hazards;
use crate::check::{self, Finding, Limits, Selection, Status, Topic};
use crate::facts::agents::Kind as AgentKind;
use crate::facts::os::Family;
use crate::net::Mac;
use crate::net::ipv6::Ipv6;
use crate::net::links::{Kind, State};
use crate::net::survey::{Interface, Survey, Verdict};
use crate::report::{Exit, Report, nagios};
use crate::target::Target;
use crate::ui::{Row, Ui};

/// The most interfaces of software that a person is shown one by one: what fits on a Xen console of 24 lines.
const LISTED_MAX: usize = 16;

/// The columns that a label may have: tenants choose labels, and the table has 80.
const LABEL_MAX: usize = 10;

/// Options of `scan-ifaces`.
#[derive(Debug, Args)]
pub struct ScanIfaces {}

/// What `scan-ifaces` has to say.
#[derive(Debug, Serialize)]
pub struct ScanReport {
    schema: &'static str,
    target: TargetReport,
    interfaces: Vec<InterfaceReport>,
    missing: Vec<Record>,
    findings: Vec<Finding>,
    #[serde(skip)]
    is_verbose: bool,
    #[serde(skip)]
    unread: Vec<String>,
    #[serde(skip)]
    host_unknown: Option<String>,
}

#[derive(Debug, Serialize)]
struct TargetReport {
    mode: &'static str,
    path: String,
    os: OsReport,
    agent: AgentReport,
}

#[derive(Debug, Serialize)]
struct OsReport {
    id: String,
    version: String,
    family: Family,
}

#[derive(Debug, Serialize)]
struct AgentReport {
    kind: Option<AgentKind>,
    version: Option<String>,
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
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ScanReport> {
        let target = Arc::new(global.target()?);
        // Made here, so that a slow store costs no check its time.
        let survey = target.survey()?;
        let selection = Selection { topics: vec![Topic::Interfaces], ..Selection::default() };
        let findings = check::run(&target, &selection.checks()?, Limits::default());
        let record =
            |nic: &crate::net::host::HostNic| Record { key: nic.key.clone(), label: nic.label.clone() };
        Ok(ScanReport {
            schema: "novactl.interfaces/1",
            target: TargetReport::of(&target),
            interfaces: survey
                .interfaces
                .iter()
                .map(|interface| InterfaceReport::of(interface, survey))
                .collect(),
            missing: survey.missing().into_iter().map(record).collect(),
            findings,
            is_verbose: global.verbose > 0,
            unread: survey.unread.iter().map(|seen| seen.text.clone()).collect(),
            host_unknown: survey.host.as_ref().err().cloned(),
        })
    }
}

impl TargetReport {
    fn of(target: &Target) -> Self {
        let os = target.os();
        let agent = target.agents().all.first();
        Self {
            mode: if target.is_live() { "live" } else { "root" },
            path: target.root.path().display().to_string(),
            os: OsReport { id: os.id.clone(), version: os.version.clone(), family: os.family },
            agent: AgentReport {
                kind: agent.map(|agent| agent.kind),
                version: agent.and_then(|agent| agent.version.clone()),
            },
        }
    }
}

impl InterfaceReport {
    fn of(interface: &Interface, survey: &Survey) -> Self {
        let link = &interface.link;
        let record = survey.record(interface);
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
            host: record.map(|nic| Record { key: nic.key.clone(), label: nic.label.clone() }),
            public: interface.is_public,
            verdict: interface.verdict,
            crashes: hazards::crashed_by(interface, survey),
            note: hazards::misled_by(interface).or(made_by),
        }
    }

    /// Whether it is one of those of which a server can have thousands.
    fn is_plenty(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Unexpected | Verdict::Port))
    }

    fn row(&self) -> Row {
        let mac = self.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let label = self.host.as_ref().and_then(|host| host.label.clone()).unwrap_or_default();
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
        if self.is_verbose || plenty <= LISTED_MAX {
            return (self.interfaces.iter().collect(), BTreeMap::new());
        }
        let mut kinds = BTreeMap::new();
        for interface in self.interfaces.iter().filter(|interface| interface.is_plenty()) {
            *kinds.entry(interface.kind.word()).or_default() += 1;
        }
        (self.interfaces.iter().filter(|interface| !interface.is_plenty()).collect(), kinds)
    }

    fn count(&self, status: Status) -> u64 {
        self.findings.iter().filter(|finding| finding.status == status).count() as u64
    }

    fn count_of(&self, verdict: Verdict) -> u64 {
        self.interfaces.iter().filter(|interface| interface.verdict == Some(verdict)).count() as u64
    }
}

impl Report for ScanReport {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        let (shown, kinds) = self.shown();
        if self.interfaces.is_empty() {
            ui.line("No interface is known: neither a record of /sys nor a configuration of one")?;
        } else {
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
        if let Some(reason) = &self.host_unknown {
            ui.paragraph("", 4, &format!("what the host assigns is not known: {reason}"))?;
        }
        for reason in &self.unread {
            ui.paragraph("", 4, &format!("not read: {reason}"))?;
        }
        let is_said = |finding: &&Finding| {
            self.is_verbose
                || matches!(finding.status, Status::Fail | Status::Warn | Status::Unknown | Status::Note)
        };
        let findings: Vec<&Finding> = self.findings.iter().filter(is_said).collect();
        if !findings.is_empty() {
            ui.line("")?;
        }
        findings.into_iter().try_for_each(|finding| say(ui, finding))
    }

    fn nagios(&self) -> nagios::Line {
        let (fails, warnings) = (self.count(Status::Fail), self.count(Status::Warn));
        let state = match (fails, warnings) {
            (1.., _) => nagios::State::Critical,
            (0, 1..) => nagios::State::Warning,
            _ if self.interfaces.is_empty() => nagios::State::Unknown,
            _ => nagios::State::Ok,
        };
        let first = self
            .findings
            .iter()
            .find(|f| matches!(f.status, Status::Fail))
            .or_else(|| self.findings.iter().find(|f| f.status == Status::Warn));
        let counts =
            format!("{} interfaces, {} of the host", self.interfaces.len(), self.count_of(Verdict::Host));
        nagios::Line {
            service: "IFACES",
            state,
            text: first.map_or(counts.clone(), |finding| format!("{}, {counts}", finding.title)),
            perfdata: vec![
                ("interfaces", self.interfaces.len() as u64),
                ("host", self.count_of(Verdict::Host)),
                ("unexpected", self.count_of(Verdict::Unexpected)),
                ("missing", self.missing.len() as u64),
                ("fail", fails),
                ("warn", warnings),
            ],
        }
    }

    fn exit(&self) -> Exit {
        if self.count(Status::Fail) > 0 {
            Exit::Problems
        } else if self.interfaces.is_empty() {
            Exit::CannotJudge
        } else {
            Exit::Ok
        }
    }
}

/// Writes one finding: the fact, what follows, where it was seen, the fix.
fn say(ui: &mut Ui, finding: &Finding) -> io::Result<()> {
    let head = format!("{:<7} ", finding.status.word());
    ui.headed(finding.status, &head, &format!("{}  {}", finding.id, finding.title))?;
    if let Some(why) = &finding.why {
        ui.paragraph("        ", 8, why)?;
    }
    if matches!(finding.status, Status::Note | Status::Ok | Status::Skipped) {
        return Ok(());
    }
    for seen in finding.evidence.iter().take(3) {
        ui.paragraph("        ", 8, &format!("{}: {}", seen.source, seen.text))?;
    }
    if let Some(remedy) = &finding.remedy {
        ui.paragraph("        fix: ", 8, &remedy.text)?;
        for command in &remedy.commands {
            ui.line(&format!("          {}", command.join(" ")))?;
        }
    }
    Ok(())
}
