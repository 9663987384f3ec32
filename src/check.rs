//! The checks and the engine that runs them.
//!
//! A [`Check`] is a fact that should hold, with what it needs, as data; its probe looks at a [`Target`] and returns
//! findings. The engine gives every probe a deadline, turns a crash or a hang into `unknown`, and leaves out what
//! would only repeat the finding that caused it. Nothing here changes anything or prints.
//!
//! To add one: its function and `const` in `check/<topic>.rs`, one line in [`CHECKS`] in the order cause before
//! symptom, its page in `check/pages/<id>.md`, a broken and a healthy case in the tests.

mod access;
mod agent;
mod cloud_init;
mod engine;
mod image;
mod inside;
pub(crate) mod interfaces;
mod mend;
mod names;
mod network;
mod registration;
mod verdict;
mod xen;
mod xentools;

use std::time::Duration;

use serde::Serialize;

pub(crate) use agent::replaces_the_agent;
pub use engine::{Limits, Occasion, Selection, near, run};
pub use image::metadata;
pub(crate) use inside::{at, in_words};
pub use verdict::{Strictness, Summary, Verdict};

use crate::facts::init::Unread;
use crate::plan::Plan;
use crate::target::Target;

/// Every check, cause before symptom: the order of the report.
pub const CHECKS: &[&[Check]] = &[
    xen::CHECKS,
    xentools::CHECKS,
    agent::CHECKS,
    interfaces::CHECKS,
    network::CHECKS,
    names::CHECKS,
    access::CHECKS,
    cloud_init::CHECKS,
    image::CHECKS,
    registration::CHECKS,
];

/// Returns every check in the order of the report.
pub fn all() -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().copied().flatten()
}

/// Returns every check that there is, also those that only an image is held against.
pub fn every() -> impl Iterator<Item = &'static Check> {
    all().chain(image::FOR_IMAGES)
}

/// A fact that should hold.
#[derive(Debug)]
pub struct Check {
    /// Stable, public name: a fact in kebab case.
    pub id: &'static str,
    /// What it belongs to.
    pub topic: Topic,
    /// The fact in a few words.
    pub about: &'static str,
    /// What must be there before it can be judged.
    pub needs: Needs,
    /// What would only repeat this finding when it fires.
    pub blocks: &'static [Blocks],
    /// Looks and judges. At least one finding; an error becomes `unknown`.
    pub probe: fn(&Target) -> anyhow::Result<Vec<Finding>>,
    /// Plans what mends it; `None` where only hands can.
    pub fix: Option<fn(&Target) -> anyhow::Result<Plan>>,
    /// The page that `explain` prints.
    pub page: &'static str,
}

impl Check {
    /// Returns what the checks of a topic that look at files alone have in common; the rest is filled in.
    const fn of_files(topic: Topic) -> Self {
        Self {
            id: "",
            topic,
            about: "",
            needs: Needs::FILES,
            blocks: &[],
            probe: |_| Ok(Vec::new()),
            fix: None,
            page: "",
        }
    }
}

/// The part of the system that a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Is there a hypervisor to talk to.
    Xen,
    /// The XenServer Tools in the guest.
    Xentools,
    /// nova-agent itself.
    Agent,
    /// The network interfaces that exist.
    Interfaces,
    /// How the network is configured.
    Network,
    /// The names of the server.
    Names,
    /// Who can log in.
    Access,
    /// cloud-init, beside the agent or instead of it.
    CloudInit,
    /// The disk and what an image of it carries on.
    Image,
    /// Subscription, clock, SELinux.
    Registration,
}

/// What a check needs before it can be judged.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// The target must run: processes, kernel state.
    pub live: bool,
    /// Root's rights on a running guest.
    pub privilege: bool,
    /// A store to ask.
    pub xenstore: bool,
    /// Time that the probe waits on purpose for somebody's answer, on top of its deadline.
    pub wait: Duration,
}

impl Topic {
    /// Returns the word that reports and options use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Xen => "xen",
            Self::Xentools => "xentools",
            Self::Agent => "agent",
            Self::Interfaces => "interfaces",
            Self::Network => "network",
            Self::Names => "names",
            Self::Access => "access",
            Self::CloudInit => "cloud-init",
            Self::Image => "image",
            Self::Registration => "registration",
        }
    }
}

impl Needs {
    /// Returns each need as a word.
    pub fn words(self) -> Vec<&'static str> {
        let needs = [(self.live, "live"), (self.privilege, "root"), (self.xenstore, "xenstore")];
        needs.into_iter().filter(|(needed, _)| *needed).map(|(_, word)| word).collect()
    }

    /// Files only: a mounted disk gives the same answer as the running guest.
    pub const FILES: Self = Self { live: false, privilege: false, xenstore: false, wait: Duration::ZERO };
    /// A running guest.
    pub const LIVE: Self = Self { live: true, ..Self::FILES };
    /// A store, also a dump beside a mounted disk.
    pub const XENSTORE: Self = Self { xenstore: true, ..Self::FILES };
    /// A running guest and its store.
    pub const LIVE_XENSTORE: Self = Self { live: true, xenstore: true, ..Self::FILES };
}

/// What a finding makes pointless to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// One check.
    Check(&'static str),
    /// The rest of a topic.
    Topic(Topic),
    /// Everything that needs the store.
    Xenstore,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The fact holds.
    Ok,
    /// Does not apply, or may not be looked at; the title says why.
    Skipped,
    /// Would only repeat another finding.
    Blocked,
    /// Worth knowing, no fault.
    Note,
    /// The check itself failed or ran out of time.
    Unknown,
    /// Works now, will hurt.
    Warn,
    /// Broken.
    Fail,
}

impl Status {
    /// Returns the word that reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Blocked => "blocked",
            Self::Note => "note",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a check found about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's id.
    pub id: &'static str,
    /// The check's topic.
    pub topic: Topic,
    /// How it came out.
    pub status: Status,
    /// The fact, in one line.
    pub title: String,
    /// What follows from it.
    pub why: Option<String>,
    /// Where it was seen.
    pub evidence: Vec<Evidence>,
    /// What mends it.
    pub remedy: Option<Remedy>,
    /// The finding that this one would repeat.
    pub blocked_by: Option<&'static str>,
    /// The interface, file, unit or request it is about, when there can be several.
    pub subject: Option<String>,
    /// Time that the check took, in microseconds.
    pub elapsed_us: u64,
}

/// Where something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// A file (`etc/fstab:3`), XenStore path, process or command.
    pub source: String,
    /// What it says, one line.
    pub text: String,
}

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What to do, in words.
    pub text: String,
    /// The commands that do it, each as its arguments.
    pub commands: Vec<Vec<String>>,
    /// Whether this program can do it: the check has a fix, it changes something here, and covers this finding.
    pub fixable: bool,
}

impl Finding {
    fn new(status: Status, title: impl Into<String>) -> Self {
        Self {
            // The engine fills in what belongs to the check.
            id: "",
            topic: Topic::Xen,
            status,
            title: title.into(),
            why: None,
            evidence: Vec::new(),
            remedy: None,
            blocked_by: None,
            subject: None,
            elapsed_us: 0,
        }
    }

    /// The fact holds.
    pub fn ok(title: impl Into<String>) -> Self {
        Self::new(Status::Ok, title)
    }

    /// Worth knowing, no fault.
    pub fn note(title: impl Into<String>) -> Self {
        Self::new(Status::Note, title)
    }

    /// Works now, will hurt.
    pub fn warn(title: impl Into<String>) -> Self {
        Self::new(Status::Warn, title)
    }

    /// Broken.
    pub fn fail(title: impl Into<String>) -> Self {
        Self::new(Status::Fail, title)
    }

    /// Does not apply, or cannot be looked at; the reason.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::new(Status::Skipped, reason)
    }

    /// Would only repeat what another check found; the reason.
    pub fn blocked(by: &'static str, reason: impl Into<String>) -> Self {
        Self { blocked_by: Some(by), ..Self::new(Status::Blocked, reason) }
    }

    /// Could not be judged; the reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::new(Status::Unknown, reason)
    }

    /// A service could not be looked at.
    fn unread(unread: &Unread) -> Self {
        match unread.is_denied {
            true => Self::skipped(format!("needs root: {}", unread.reason)),
            false => Self::unknown(&unread.reason),
        }
    }

    /// Names the check to which it belongs, for a finding that a command makes and not the engine.
    pub fn of(self, id: &'static str, topic: Topic) -> Self {
        // what mends it is another command, never `doctor --fix`
        Self { id, topic, ..self }.by_hand()
    }

    /// Says what follows from it.
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    /// Adds a place where it was seen.
    pub fn seen(mut self, source: impl Into<String>, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence { source: source.into(), text: text.into() });
        self
    }

    /// Adds what was seen in several places.
    pub fn seen_all(mut self, evidence: &[Evidence]) -> Self {
        self.evidence.extend_from_slice(evidence);
        self
    }

    /// Names what it is about.
    pub fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// Says what to do.
    pub fn mend(self, text: impl Into<String>) -> Self {
        Self { remedy: Some(Remedy { text: text.into(), commands: Vec::new(), fixable: true }), ..self }
    }

    /// Says that the check's fix does not cover this finding.
    pub fn by_hand(mut self) -> Self {
        if let Some(remedy) = &mut self.remedy {
            remedy.fixable = false;
        }
        self
    }

    /// Adds a command to what to do.
    pub fn by(mut self, argv: &[&str]) -> Self {
        let remedy = self.remedy.get_or_insert_with(|| Remedy {
            text: String::new(),
            commands: Vec::new(),
            fixable: true,
        });
        remedy.commands.push(argv.iter().map(ToString::to_string).collect());
        self
    }
}
