//! `resetnetwork`: the host's network × the links × the back end in charge → a plan.

mod verify;

use anyhow::{Context, Result, bail};

use super::hostname::{self, Hostname};
use crate::check::{Finding, Topic};
use crate::facts::os::Family;
use crate::net::Mac;
use crate::net::backend::{BACKENDS, Backend, Claim};
use crate::net::host::{Effect, Giver, HostNetwork, HostNic};
use crate::net::intent::{Intent, Nic};
use crate::net::links::{self, Kind, Link};
use crate::net::live::{Kernel, Live};
use crate::plan::Plan;
use crate::root::{FileNode, Node, Root};
use crate::target::Target;

pub use verify::{Reached, verify};

/// What is to be configured.
#[derive(Debug, Clone, Default)]
pub struct ResetNetwork {
    /// What the host, or a person, assigns.
    pub network: HostNetwork,
    /// The name that is asked for; none leaves the current one.
    pub hostname: Option<String>,
    /// The back end to use instead of the one in charge.
    pub backend: Option<String>,
}

/// What would be done, and what there is to say of it.
pub struct Proposal {
    /// The changes.
    pub plan: Plan,
    /// What each NIC is to become.
    pub intent: Intent,
    /// The back end whose files are written.
    pub backend: &'static dyn Backend,
    /// Sloppy data, NICs that are left alone, doubts.
    pub findings: Vec<Finding>,
}

impl ResetNetwork {
    /// Makes the plan.
    ///
    /// # Errors
    /// Nothing is assigned to a NIC of this machine, no back end is in charge, or the new files would be refused by
    /// the program that reads them. An empty network is never applied.
    pub fn propose(&self, target: &Target) -> Result<Proposal> {
        let links = links_of(target)?;
        let mut findings = data_problems(&self.network);
        let nics = self.nics(&links, target, &mut findings);
        let intent = Intent::of(&self.network, &nics);
        if intent.nics.iter().all(|nic| nic.addresses.is_empty()) {
            bail!(
                "no address is assigned to a NIC of this machine: nothing is changed, so that nothing is cut off"
            );
        }
        let (backend, why) = self.in_charge(target, &mut findings)?;
        tracing::info!("{} is in charge: {}: {}", backend.name(), why.source, why.text);
        let mut plan = Plan {
            verb: "reset-network",
            title: format!("configure {} with {}", names(&intent), backend.name()),
            files: backend
                .render(&intent, target)
                .with_context(|| format!("writing for {}", backend.name()))?,
            activate: if target.is_live() { backend.activate(&intent, target) } else { Vec::new() },
            steps: Vec::new(),
            ..Plan::default()
        };
        if target.is_live() {
            plan.steps = Live::look()?.steps_to(&intent, &Running { root: &target.root, links: &links });
        }
        if let Some(asked) = &self.hostname {
            self.add_hostname(asked, target, &mut plan, &mut findings)?;
        }
        validate(backend, &plan, &intent, target)?;
        Ok(Proposal { plan, intent, backend, findings })
    }

    /// Returns what the NICs of this machine are to become; the records of others are left out.
    ///
    /// # Errors
    /// The links cannot be listed.
    pub fn intent(&self, target: &Target) -> Result<Intent> {
        let nics = self.nics(&links_of(target)?, target, &mut Vec::new());
        Ok(Intent::of(&self.network, &nics))
    }

    /// Returns the back end in charge of the target.
    ///
    /// # Errors
    /// None is.
    pub fn backend(&self, target: &Target) -> Result<&'static dyn Backend> {
        Ok(self.in_charge(target, &mut Vec::new())?.0)
    }

    /// Returns the NICs that the records mean. A real NIC wins; where there is none, a veth may stand in, as in a
    /// container. What is stacked on a NIC, or tunnels, never matches, whatever MAC it shows.
    fn nics(&self, links: &[Link], target: &Target, findings: &mut Vec<Finding>) -> Vec<Nic> {
        if links.is_empty() && !target.is_live() {
            return self.assumed_nics(target, findings);
        }
        let mut nics = Vec::new();
        for record in &self.network.nics {
            let Some(mac) = record.mac else { continue };
            let with_mac = |link: &&Link| link.host_mac() == Some(mac);
            let real = links.iter().filter(with_mac).find(|link| link.kind.is_nic());
            let stand_in = links.iter().filter(with_mac).find(|link| link.kind == Kind::VETH);
            let Some(link) = real.or(stand_in) else {
                findings.push(no_nic(record, mac));
                continue;
            };
            if let Some(master) = &link.master {
                findings.push(is_port(link, master));
                continue;
            }
            nics.push((link.index, Nic { name: link.name.clone(), mac }));
        }
        nics.sort_by_key(|(index, _)| *index);
        nics.into_iter().map(|(_, nic)| nic).collect()
    }

    /// A disk does not say which names its NICs will have: eth0 is the public one, as the provider plugs them; on
    /// FreeBSD they are named by their driver, xn (xn(4)).
    fn assumed_nics(&self, target: &Target, findings: &mut Vec<Finding>) -> Vec<Nic> {
        // a person has named them
        if self.network.nics.iter().any(|record| record.giver == Giver::Hand) {
            let named = |record: &HostNic| Some(Nic { name: record.key.clone(), mac: record.mac? });
            return self.network.nics.iter().filter_map(named).collect();
        }
        // the order is all there is to go by, and it is wrong when a place in it is not known
        let unplaced =
            self.network.nics.iter().find(|nic| nic.mac.is_none() || (nic.is_lost() && nic.label.is_none()));
        if let Some(record) = unplaced {
            findings.push(
                Finding::warn("which NIC is eth0 is not known: a record of the host cannot be read")
                    .about(&record.key)
                    .because(
                        "this disk has no record of its NICs, so their order in the host's data names them",
                    )
                    .of("nics-match-host-data", Topic::Interfaces),
            );
            return Vec::new();
        }
        let records = self.network.in_order();
        let driver = if target.os().family == Family::FreeBsd { "xn" } else { "eth" };
        let nics: Vec<_> = records
            .iter()
            .enumerate()
            .filter_map(|(number, record)| Some(Nic { name: format!("{driver}{number}"), mac: record.mac? }))
            .collect();
        let list: Vec<_> = nics.iter().map(|nic| format!("{} is {}", nic.name, nic.mac)).collect();
        findings.push(
            Finding::note("the names of the NICs are assumed, since this disk has no record of them")
                .seen("vm-data/networking", list.join(", "))
                .of("nics-match-host-data", Topic::Interfaces),
        );
        nics
    }

    fn in_charge(
        &self,
        target: &Target,
        findings: &mut Vec<Finding>,
    ) -> Result<(&'static dyn Backend, Claim)> {
        if let Some(name) = &self.backend {
            let known: Vec<_> = BACKENDS.iter().map(|backend| backend.name()).collect();
            let backend = BACKENDS.iter().copied().find(|backend| backend.name() == name);
            let backend = backend
                .with_context(|| format!("no back end is called {name:?}: there are {}", known.join(", ")))?;
            let asked = Claim {
                source: "--backend".to_owned(),
                text: name.clone(),
                strength: crate::net::backend::Strength::Configures,
            };
            return Ok((backend, asked));
        }
        let mut strongest = target.in_charge()?.iter().cloned();
        let Some(first) = strongest.next() else {
            bail!(
                "nothing on this system reads network configuration that novactl can write: name it with --backend"
            );
        };
        for (backend, claim) in strongest {
            let title = format!(
                "{} and {} both claim the NICs: {} is used",
                first.0.name(),
                backend.name(),
                first.0.name()
            );
            findings.push(
                Finding::warn(title)
                    .seen(&first.1.source, &first.1.text)
                    .seen(&claim.source, &claim.text)
                    .mend("switch one of them off, or name the right one with --backend")
                    .of("network-owner-single", Topic::Network),
            );
        }
        Ok(first)
    }

    fn add_hostname(
        &self,
        asked: &str,
        target: &Target,
        plan: &mut Plan,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let judged = Hostname::of(asked);
        match &judged {
            Hostname::Set(_) => {}
            Hostname::Sanitized(name) => {
                let finding = Finding::note(format!("the host name becomes {name}"));
                findings.push(finding.seen("vm-data/hostname", asked).of("host-network-data", Topic::Xen));
            }
            Hostname::Keep => {
                let title = "the host asks for a name that no host can have: the current one stays";
                let finding = Finding::warn(title).seen("vm-data/hostname", asked);
                findings.push(finding.of("host-network-data", Topic::Xen));
            }
        }
        if let Some(name) = judged.name() {
            let (files, steps) = hostname::set(target, name, &plan.files)?;
            for file in files {
                // rc.conf: the back end's text with the name set in it
                match plan.files.iter_mut().find(|planned| planned.path() == file.path()) {
                    Some(planned) => *planned = file,
                    None => plan.files.push(file),
                }
            }
            plan.steps.extend(steps);
        }
        Ok(())
    }
}

/// Returns the links that exist, or that a disk has a record of.
fn links_of(target: &Target) -> Result<Vec<Link>> {
    if target.is_live() {
        return links::live(&target.root);
    }
    Ok(links::recorded(&target.root)?.unwrap_or_default())
}

fn data_problems(network: &HostNetwork) -> Vec<Finding> {
    let problems = network.nics.iter().flat_map(|nic| &nic.problems);
    problems
        .map(|problem| {
            let source = format!("vm-data/networking/{}", problem.key);
            let field = if problem.field.is_empty() { "the record" } else { &problem.field };
            let finding = match problem.effect {
                Effect::Repaired => Finding::note(format!("{field} is sloppy and was read as meant")),
                Effect::LeftOut => Finding::warn(format!("{field} cannot be read and is left out")),
            };
            finding.of("host-network-data", Topic::Xen).about(&problem.key).seen(source, &problem.text)
        })
        .collect()
}

fn no_nic(record: &HostNic, mac: Mac) -> Finding {
    Finding::note(format!("the host has data for a NIC that is not here: {mac}"))
        .about(&record.key)
        .because("records of removed networks are never deleted by the host; it is left alone")
        .of("nics-match-host-data", Topic::Interfaces)
}

fn is_port(link: &Link, master: &str) -> Finding {
    Finding::warn(format!("{} is a port of {master}: it is not configured", link.name))
        .about(&link.name)
        .because("the address belongs on the bridge or bond, which somebody built by hand")
        .seen(format!("sys/class/net/{}/master", link.name), master)
        .of("mac-unique", Topic::Interfaces)
}

fn names(intent: &Intent) -> String {
    intent.nics.iter().map(|nic| nic.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// What the running kernel says of its NICs.
struct Running<'t> {
    root: &'t Root,
    links: &'t [Link],
}

impl Kernel for Running<'_> {
    fn is_down(&self, nic: &str) -> bool {
        self.links.iter().any(|link| link.name == nic && link.state == links::State::Down)
    }

    fn promotes_secondaries(&self, nic: &str) -> bool {
        ["all", nic].iter().any(|conf| {
            let path = format!("proc/sys/net/ipv4/conf/{conf}/promote_secondaries");
            matches!(self.root.text_opt(&path), Ok(Some(text)) if text.trim() == "1")
        })
    }
}

/// Returns a node as it can be written into a copy by whoever makes it.
fn owned(node: &Node) -> Node {
    let Node::File(file) = node else { return node.clone() };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Node::File(FileNode { uid, gid, xattrs: Vec::new(), ..file.clone() })
}

/// Has the program that reads the files check them on a copy, before anything is replaced.
fn validate(backend: &dyn Backend, plan: &Plan, intent: &Intent, target: &Target) -> Result<()> {
    let stage =
        tempfile::Builder::new().prefix("novactl-").tempdir().context("making a directory for a copy")?;
    let staged = Root::open(stage.path())?;
    // what stays as it is is read as well
    let mut paths: Vec<String> = plan.files.iter().map(|file| file.path().to_owned()).collect();
    for dir in backend.reads() {
        paths.extend(target.root.read_dir(dir)?.into_iter().map(|entry| format!("{dir}/{}", entry.name)));
    }
    for path in paths {
        if let Ok(node @ Node::File(_)) = target.root.node(&path) {
            staged.put(&path, &owned(&node))?;
        }
    }
    for (path, node) in plan.clone().prepare(&target.root)?.results() {
        staged.put(path, &owned(node))?;
    }
    backend
        .validate(&staged, intent)
        .with_context(|| format!("{} would refuse the new files: nothing is changed", backend.name()))
}
