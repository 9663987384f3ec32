//! The machine under the knife: a running guest, or the tree of one that does not run.
//!
//! A [`Target`] is what is examined and nothing else: its files, its XenStore, its processes, and the facts drawn
//! from them, each looked up once. It judges nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crate::disk::Disk;
use crate::facts::agents::{Agent, Agents};
use crate::facts::init::Services;
use crate::facts::os::Os;
use crate::facts::processes::{self, Process};
use crate::facts::tools::Tools;
use crate::net::backend::{self, Backend, Claim};
use crate::net::configured::Configuration;
use crate::net::host::{self, HostNetwork};
use crate::net::survey::Survey;
use crate::root::Root;
use crate::xenstore::{self, Source, Xenstore};
use anyhow::Result;

/// What is examined.
pub struct Target {
    /// Its files.
    pub root: Root,
    live: bool,
    agent_to_come: OnceLock<()>,
    disk: Option<Arc<Disk>>,
    source: Source,
    store: Mutex<Option<Box<dyn Xenstore>>>,
    os: OnceLock<Os>,
    services: OnceLock<Services>,
    agents: OnceLock<Agents>,
    tools: OnceLock<Tools>,
    processes: OnceLock<Vec<Process>>,
    configuration: OnceLock<Configuration>,
    in_charge: OnceLock<Vec<(&'static dyn Backend, Claim)>>,
    survey: OnceLock<Result<Survey, String>>,
}

impl Target {
    /// Returns the running system.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn live(source: Source) -> Result<Self> {
        Ok(Self::new(Root::live()?, true, source))
    }

    /// Returns the system whose files are under `path`. Its XenStore is a dump, or the one of the machine that
    /// looks (a rescue server has the same MACs and data), only when the caller names it.
    ///
    /// # Errors
    /// `path` is no directory or cannot be opened.
    pub fn offline(path: &Path, source: Source) -> Result<Self> {
        let source = if source == Source::Auto { Source::None } else { source };
        Ok(Self::new(Root::open(path)?, false, source))
    }

    /// Returns the system on a disk. Its XenStore is as that of [`Target::offline`].
    pub fn on_disk(disk: Arc<Disk>, source: Source) -> Self {
        let source = if source == Source::Auto { Source::None } else { source };
        let target = Self::new(disk.root(), false, source);
        Self { disk: Some(disk), ..target }
    }

    /// Returns a tree of which programs are run as if it were the running system's, without a process.
    #[cfg(test)]
    pub(crate) fn pretending_to_be_live(path: &Path) -> Self {
        let target = Self::new(Root::open(path).expect("a directory"), true, Source::None);
        target.processes.set(Vec::new()).expect("not looked at yet");
        target
    }

    fn new(root: Root, live: bool, source: Source) -> Self {
        Self {
            root,
            live,
            agent_to_come: OnceLock::new(),
            disk: None,
            source,
            store: Mutex::new(None),
            os: OnceLock::new(),
            services: OnceLock::new(),
            agents: OnceLock::new(),
            tools: OnceLock::new(),
            processes: OnceLock::new(),
            configuration: OnceLock::new(),
            in_charge: OnceLock::new(),
            survey: OnceLock::new(),
        }
    }

    /// Has it judged as one with an agent that starts at boot: the change that is planned sees to that.
    pub fn await_agent(&self) {
        self.agent_to_come.get_or_init(|| ());
    }

    /// Whether an agent starts at boot.
    pub fn has_agent_at_boot(&self) -> bool {
        self.agent_to_come.get().is_some() || self.agents().all.iter().any(Agent::is_enabled)
    }

    /// Whether the target is the system that runs this program.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Returns the disk that the system is on, when it was named as one.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_deref()
    }

    /// Returns the option with which a command acts on this target; nothing on the running system.
    pub fn option(&self) -> Vec<String> {
        match (self.disk(), self.live) {
            (Some(disk), _) => vec!["--disk".to_owned(), disk.facts().path.clone()],
            (None, true) => Vec::new(),
            (None, false) => vec!["--root".to_owned(), self.root.path().display().to_string()],
        }
    }

    /// Returns the options with which a command sees what this one sees: [`Target::option`], and the store that was
    /// named.
    pub fn options(&self) -> Vec<String> {
        let mut options = self.option();
        if let Source::Path(path) = &self.source {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            options.extend(["--xenstore".to_owned(), path.display().to_string()]);
        }
        options
    }

    /// Whether there is a store to ask: always on a running guest, under a root when one was named.
    pub fn has_store(&self) -> bool {
        self.source != Source::None
    }

    /// Whether the store was named by the caller, instead of being looked for: it then stands for Xen, also in a
    /// container or under a root.
    pub fn store_is_named(&self) -> bool {
        matches!(self.source, Source::Path(_))
    }

    /// Returns the distribution, init system and release, from files.
    pub fn os(&self) -> &Os {
        self.os.get_or_init(|| Os::of(&self.root))
    }

    /// Returns the services of the target and what starts them, from files.
    pub fn services(&self) -> &Services {
        self.services.get_or_init(|| Services::of(&self.root, self.os()))
    }

    /// Returns the agents that are installed, from files.
    pub fn agents(&self) -> &Agents {
        self.agents.get_or_init(|| Agents::of(&self.root, self.services()))
    }

    /// Returns the XenServer Tools daemons that are installed, from files.
    pub fn tools(&self) -> &Tools {
        self.tools.get_or_init(|| Tools::of(&self.root, self.services()))
    }

    /// Returns the processes of a running guest; nothing when the target does not run.
    pub fn processes(&self) -> &[Process] {
        if !self.live {
            return &[];
        }
        self.processes.get_or_init(processes::all)
    }

    /// Returns what the configuration says of interfaces, from files.
    pub fn configuration(&self) -> &Configuration {
        self.configuration.get_or_init(|| Configuration::of(&self.root))
    }

    /// Returns the back ends with the strongest claim on the network, as [`backend::in_charge`] does.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn in_charge(&self) -> Result<&[(&'static dyn Backend, Claim)]> {
        if let Some(claims) = self.in_charge.get() {
            return Ok(claims);
        }
        let claims = backend::in_charge(self)?;
        Ok(self.in_charge.get_or_init(|| claims))
    }

    /// Returns the interfaces, joined with what the host assigns to them.
    ///
    /// # Errors
    /// The running kernel gives no list of them. What the host assigns can be unknown: the survey says why.
    pub fn survey(&self) -> Result<&Survey> {
        let survey = self.survey.get_or_init(|| {
            let (configuration, host) = (self.configuration(), self.host_network());
            Survey::of(&self.root, self.live, configuration, host).map_err(|error| format!("{error:#}"))
        });
        survey.as_ref().map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    fn host_network(&self) -> Result<HostNetwork, String> {
        if !self.has_store() {
            return Err("no XenStore was named: --xenstore takes a dump".to_owned());
        }
        let mut store = self.xenstore().map_err(|error| error.to_string())?;
        host::host_nics(&mut *store).map_err(|error| format!("{error:#}"))
    }

    /// Returns the store, opened on first use. It is one connection: hold it for one exchange.
    ///
    /// # Errors
    /// There is no store, or it cannot be opened.
    pub fn xenstore(&self) -> Result<StoreGuard<'_>, xenstore::Error> {
        // A check that panicked while it held the store left at worst an unread reply, which the client tolerates.
        let mut store = self.store.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if store.is_none() {
            *store = Some(xenstore::open(&self.source)?);
        }
        Ok(StoreGuard(store))
    }
}

/// The store, held for one exchange.
pub struct StoreGuard<'t>(MutexGuard<'t, Option<Box<dyn Xenstore>>>);

impl std::ops::Deref for StoreGuard<'_> {
    type Target = dyn Xenstore;
    fn deref(&self) -> &Self::Target {
        &**self.0.as_ref().expect("the guard is made after the store was opened")
    }
}

impl std::ops::DerefMut for StoreGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut **self.0.as_mut().expect("the guard is made after the store was opened")
    }
}
