//! Carries out a request: the same plans as the subcommands, applied without asking, answered in the host's words.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::place::Place;
use crate::check::{Finding, Status};
use crate::commands::file::InjectFile;
use crate::commands::keys::Keys;
use crate::commands::kms::Activation;
use crate::commands::network::{self, Proposal, Reached, ResetNetwork};
use crate::commands::password::{self, SetPassword, Unlock};
use crate::commands::update::{Successor, Update};
use crate::commands::{Name, Reply, Request};
use crate::image::labels;
use crate::net::host;
use crate::plan::journal::{self, Journal, State, Turn};
use crate::plan::{self, Interrupt, LiveStep, Needs, Plan};
use crate::random;
use crate::secret::Secret;
use crate::target::Target;

/// The release of nova-agent whose protocol this is. nova compares versions number by number and sends an update when
/// its own table has a higher one, so the own version follows behind: `2.1.25.0.1.0`.
const AS_GOOD_AS: &str = "2.1.25";

/// How long a change that somebody else makes is waited for. The host gives a command 30 s.
const WAITS_FOR_OTHERS: Duration = Duration::from_secs(15);
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// What is kept between two requests.
#[derive(Debug)]
pub struct Executor {
    place: Place,
    keys: Keys,
    is_replaced: bool,
}

impl Executor {
    /// Returns one for a system.
    pub fn new(place: Place) -> Self {
        Self { place, keys: Keys::default(), is_replaced: false }
    }

    /// Carries out what stands in a request, and returns the answer; whatever it is, it has one.
    pub fn answer(&mut self, id: &str, request: &[u8]) -> Reply {
        // a fault of ours is an answer as well, not the end of the agent
        catch_unwind(AssertUnwindSafe(|| match Request::parse(request) {
            Ok(request) => self.execute(id, request).unwrap_or_else(|error| Reply::from(&error)),
            Err(refusal) => refusal,
        }))
        .unwrap_or_else(|_| Reply::failed("a fault in novactl itself; the log names it"))
    }

    /// Returns what a request would change, and what there is to say of it; `None` when it is one that changes nothing.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub fn plan(&mut self, request: &[u8]) -> Result<Option<(Plan, Vec<Finding>)>, Reply> {
        let request = Request::parse(request)?;
        let refused = |error| Reply::from(&error);
        let target = self.place.target().map_err(refused)?;
        let plan = match request {
            Request::Version | Request::Features | Request::KeyInit(_) => return Ok(None),
            Request::ResetNetwork => {
                let proposal = wanted_network(&target).map_err(refused)?.propose(&target);
                let proposal = proposal.map_err(|error| Reply::nothing_done(format!("{error:#}")))?;
                return Ok(Some((proposal.plan, proposal.findings)));
            }
            Request::Password(ciphertext) => {
                let (password, _) = self.keys.open(&ciphertext, Instant::now())?;
                password_of_root(password).plan(&target)
            }
            Request::InjectFile(file) => file.plan(&target),
            Request::KmsActivate(activation) => activation.plan(&target).map(|registration| {
                let program = LiveStep { run: registration.program, back: None, needs: Needs::Any };
                let steps = if target.is_live() { vec![program] } else { Vec::new() };
                Plan { steps, ..registration.plan }
            }),
            Request::AgentUpdate(update) => update.propose(&target).map(Successor::into_plan),
        };
        plan.map(|plan| Some((plan, Vec::new()))).map_err(refused)
    }

    /// Whether another release was put in the place of the program that runs; said once.
    pub fn take_replaced(&mut self) -> bool {
        std::mem::take(&mut self.is_replaced)
    }

    /// Wipes the keys whose password never came.
    pub fn expire(&mut self) {
        self.keys.expire(Instant::now());
    }

    fn execute(&mut self, id: &str, request: Request) -> Result<Reply> {
        match request {
            Request::Version => Ok(Reply::done(format!("{AS_GOOD_AS}.{}", env!("CARGO_PKG_VERSION")))),
            Request::Features => Ok(Reply::done(Name::ALL.map(|(_, word)| word).join(","))),
            Request::KeyInit(theirs) => Ok(self.keys.exchange(theirs, private_number()?, Instant::now())),
            Request::Password(ciphertext) => self.password(id, &ciphertext),
            Request::ResetNetwork => self.reset_network(id),
            Request::InjectFile(file) => self.inject(id, &file),
            Request::KmsActivate(activation) => self.activate(id, &activation),
            Request::AgentUpdate(update) => self.update(id, &update),
        }
    }

    fn password(&mut self, id: &str, ciphertext: &[u8]) -> Result<Reply> {
        let target = self.place.target()?;
        // killed between the change and its answer: the key is gone, and the password is set
        if is_made(&target, id)? {
            return Ok(Reply::done(""));
        }
        let (password, key) = match self.keys.open(ciphertext, Instant::now()) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(refusal),
        };
        let request = password_of_root(password);
        let proposal = request.propose(&target)?;
        change(&target, proposal.plan, id, &|| {
            if password::verify(&target, &request)? { Ok(()) } else { bail!("the new password is not there") }
        })?;
        for line in proposal.left {
            tracing::warn!("the password is set, and still nobody logs in with it: {line}");
        }
        self.keys.forget(key);
        Ok(Reply::done(""))
    }

    fn inject(&self, id: &str, file: &InjectFile) -> Result<Reply> {
        let target = self.place.target()?;
        change(&target, file.plan(&target)?, id, &|| Ok(()))?;
        Ok(Reply::done(""))
    }

    fn activate(&self, id: &str, activation: &Activation) -> Result<Reply> {
        let target = self.place.target()?;
        let registration = activation.plan(&target)?;
        change(&target, registration.plan, id, &|| {
            if !target.is_live() {
                return Ok(());
            }
            let output = registration.program.output()?;
            let output = output.ok_or_else(|| anyhow!("{} is not installed", registration.program.line()))?;
            if !output.status.success() {
                // what it printed can hold the key
                bail!("Couldn't activate with RHN: {}", output.status);
            }
            Ok(())
        })?;
        Ok(Reply::done(""))
    }

    fn update(&mut self, id: &str, update: &Update) -> Result<Reply> {
        let target = self.place.target()?;
        // Killed before the new release was kept, and started again as that release: it is taken back first, or it would
        // be refused as no newer than itself, and the next change of any kind would take it back. This program is then
        // not the one in its place, whatever becomes of the request. Without an open entry no journal is opened: what
        // is refused leaves nothing behind.
        if journal::list(&target.root)?.iter().any(|record| record.state == State::Open) {
            take_back_interrupted(&target, &journal_in_turn(&target)?)?;
            self.is_replaced = target.is_live();
        }
        if !is_made(&target, id)? {
            let successor = update.propose(&target)?;
            successor.try_out(&target)?;
            change(&target, successor.into_plan(), id, &|| Ok(()))?;
        }
        // a program of a system that does not run is not started
        self.is_replaced = target.is_live();
        Ok(Reply::done(""))
    }

    fn reset_network(&self, id: &str) -> Result<Reply> {
        let target = self.place.target()?;
        let request = wanted_network(&target)?;
        for nic in &request.network.nics {
            let label = nic.label.as_deref().unwrap_or_default();
            tracing::info!("Interface {}: {{\"label\": {label:?}}}", nic.key);
        }
        if let Some(name) = &request.hostname {
            tracing::info!("Hostname: {name}");
        }
        let Proposal { plan, intent, backend, findings } = match request.propose(&target) {
            Ok(proposal) => proposal,
            Err(error) => return Ok(Reply::nothing_done(format!("{error:#}"))),
        };
        let reached = Reached::before(&target, &intent);
        let verify = || {
            let found = network::verify(&target, &intent, backend, reached);
            match found.into_iter().find(|finding| finding.status == Status::Fail) {
                Some(bad) => Err(anyhow!("{}", bad.title)),
                None => Ok(()),
            }
        };
        if let Err(error) = change(&target, plan, id, &verify) {
            return Ok(Reply::nothing_done(format!("{error:#}")));
        }
        for finding in &findings {
            tracing::warn!("{}: {}", finding.subject.as_deref().unwrap_or(finding.id), finding.title);
        }
        Ok(match findings.iter().find(|finding| is_nic_left_out(finding)) {
            Some(left) => {
                Reply::failed(format!("{}: {}", left.subject.as_deref().unwrap_or_default(), left.title))
            }
            None => Reply::done(""),
        })
    }
}

fn password_of_root(password: Secret) -> SetPassword {
    SetPassword { user: "root".to_owned(), password, unlock: Unlock::Lock }
}

/// Reads what the host assigns.
fn wanted_network(target: &Target) -> Result<ResetNetwork> {
    let mut store = target.xenstore()?;
    let network = host::host_nics(&mut *store)?;
    Ok(ResetNetwork { network, hostname: store.text_opt("vm-data/hostname")?, backend: None })
}

/// Whether a NIC, or a part of what it is assigned, was not configured.
fn is_nic_left_out(finding: &Finding) -> bool {
    finding.status >= Status::Warn && finding.subject.is_some()
}

/// Makes a change, verifies it, and takes it back when it does not verify.
fn change(target: &Target, plan: Plan, id: &str, verify: &dyn Fn() -> Result<()>) -> Result<()> {
    let journal = journal_in_turn(target)?;
    take_back_interrupted(target, &journal)?;
    let prepared = labels::label(target, plan)?.prepare(&target.root)?.asked_by(id);
    if prepared.is_empty() {
        return verify();
    }
    // SIGTERM lets the command at hand finish
    let applied = prepared.apply(target, &journal, &Interrupt::default())?;
    tracing::info!("journal: {}", applied.record().id);
    if let Err(error) = verify() {
        return Err(applied.take_back(error).into());
    }
    applied.keep(None)?;
    Ok(())
}

fn take_back_interrupted(target: &Target, journal: &Journal<'_>) -> Result<()> {
    for id in plan::recover(target, journal)? {
        tracing::warn!("the change {id} had been interrupted and was taken back");
    }
    Ok(())
}

/// Whether the journal has the change that a request made.
fn is_made(target: &Target, id: &str) -> Result<bool> {
    let records = journal::list(&target.root)?;
    Ok(records.iter().any(|record| record.state == State::Done && record.request.as_deref() == Some(id)))
}

/// Opens the journal when its turn comes: a person may be at a prompt.
fn journal_in_turn(target: &Target) -> Result<Journal<'_>> {
    let end = Instant::now() + WAITS_FOR_OTHERS;
    loop {
        match Journal::open(&target.root, Turn::Now) {
            Err(error) if Instant::now() >= end => return Err(error),
            Err(error) => tracing::debug!("{error:#}"),
            Ok(journal) => return Ok(journal),
        }
        std::thread::sleep(LOOKS_EVERY);
    }
}

fn private_number() -> Result<u128> {
    let mut bytes = zeroize::Zeroizing::new([0; 16]);
    random::fill(&mut *bytes)?;
    Ok(u128::from_ne_bytes(*bytes))
}
