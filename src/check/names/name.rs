//! The name itself: is there one, is it one, is it not that of a rescue server.

use anyhow::{Context, Result};

use crate::check::{Finding, network, xen};
use crate::commands::hostname::{self, Hostname};
use crate::facts::identity;
use crate::facts::log::Log;
use crate::facts::names::{self, Source};
use crate::facts::os::Family;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::Node;
use crate::target::Target;

/// Where the host says what the server is called.
const STORE: &str = "vm-data/hostname";
/// Backups of the name that are looked at.
const BACKUPS_MAX: usize = 50;

pub(super) fn file(target: &Target) -> Result<Vec<Finding>> {
    if target.os().family == Family::Windows {
        return Ok(vec![Finding::skipped("Windows keeps its name in the registry")]);
    }
    if let Some(source) = names::sources(target)?.first() {
        return Ok(vec![
            Finding::ok(format!("the server is called {}", source.name)).seen(at(source), &source.name),
        ]);
    }
    let home = names::home(target)?;
    let state = if target.root.exists(home) { "says no name" } else { "missing" };
    if network::was_never_built(target) {
        let text = "the image has no name yet: the agent sets it when a server is built of it";
        return Ok(vec![Finding::note(text).seen(home, state)]);
    }
    let mut finding = Finding::fail("no file names this server: it starts as localhost")
        .because("agent 2.x renames the file away before it writes the new one, and stops in between when that fails")
        .seen(home, state);
    let remedy = match known(target)? {
        Some(known) => {
            finding = finding.seen(known.source, &known.name);
            format!("write {} into /{home}", known.name)
        }
        None => format!("write the server's name into /{home}: no backup and no host data says it"),
    };
    Ok(vec![finding.mend(remedy)])
}

/// Names the server again as the newest trace of its name says.
pub(super) fn restore(target: &Target) -> Result<Plan> {
    if network::was_never_built(target) {
        return Ok(Plan::default());
    }
    let known = known(target)?.context("nothing says what this server was called: write its name by hand")?;
    let mut plan = named(target, &known.name)?;
    // the backup has the mode and the SELinux label that the file had
    if let Some(Node::File(backup)) = known.node {
        for file in plan.files.iter_mut().filter(|file| file.path() == "etc/hostname") {
            let mut node = backup.clone();
            (node.body, node.mtime) = (format!("{}\n", known.name).into_bytes(), None);
            let (path, node) = (file.path().to_owned(), Node::File(node));
            *file = FileChange::Restore { path, node, secret: Secrecy::Open };
        }
    }
    Ok(plan)
}

pub(super) fn consistent(target: &Target) -> Result<Vec<Finding>> {
    let sources = real_names(target)?;
    let Some(first) = sources.first() else {
        return Ok(vec![Finding::skipped("no file says a name of this server's own")]);
    };
    let mut finding = Finding::warn("the files that name this server disagree")
        .because("the name changes back at a reboot or a network reset")
        .seen(at(first), &first.name);
    let others: Vec<&Source> = sources.iter().filter(|s| !names::agree(&s.name, &first.name)).collect();
    for source in &others {
        finding = finding.seen(at(source), &source.name);
    }
    let kernel = running_name(target).filter(|name| !names::agree(name, &first.name));
    if let Some(name) = &kernel {
        finding = finding.seen("proc/sys/kernel/hostname", name);
    }
    if !others.is_empty() || kernel.is_some() {
        let name = chosen(target, &sources)?;
        return Ok(vec![finding.mend(format!("let all of them say one name: {name}"))]);
    }
    let asked = host_name(target)?.filter(|name| !names::agree(name, &first.name));
    Ok(vec![match asked {
        Some(name) => {
            Finding::note(format!("the host calls this server {name}: a network reset sets that name"))
                .seen(at(first), &first.name)
                .seen(STORE, name)
        }
        None => Finding::ok(format!("all say {}", first.name)),
    }])
}

/// Lets every source say one name.
pub(super) fn align(target: &Target) -> Result<Plan> {
    named(target, &chosen(target, &real_names(target)?)?)
}

pub(super) fn not_rescue(target: &Target) -> Result<Vec<Finding>> {
    let sources = names::sources(target)?;
    let Some(source) = sources.iter().find(|source| identity::is_rescue_name(&source.name)) else {
        return Ok(vec![match sources.first() {
            Some(source) => Finding::ok(format!("{} is no name of a rescue server", source.name)),
            None => Finding::skipped("no file names this server"),
        }]);
    };
    // a rescue server has the disk of the sick one attached
    if target.is_live() && !identity::idle_disks(&target.root)?.is_empty() {
        return Ok(vec![Finding::skipped("this is a rescue server: its name is right")]);
    }
    let finding = Finding::warn(format!("the server is called {}", source.name))
        .because("an image was taken, or the network was reset, while rescue mode was on")
        .seen(at(source), &source.name);
    Ok(vec![match without_prefix(&source.name) {
        Ok(name) => finding.mend(format!("call it {name} again")),
        Err(_) => finding.mend("give it its own name in that file"),
    }])
}

/// Takes the rescue server's prefix off.
pub(super) fn drop_prefix(target: &Target) -> Result<Plan> {
    let sources = names::sources(target)?;
    let source = sources.iter().find(|source| identity::is_rescue_name(&source.name));
    let Some(source) = source else { return Ok(Plan::default()) };
    named(target, &without_prefix(&source.name)?)
}

fn without_prefix(name: &str) -> Result<String> {
    let mut rest = name;
    while identity::is_rescue_name(rest) {
        rest = rest.split_once('-').map_or("", |(_, rest)| rest);
    }
    valid(rest).context("what follows RESCUE- is no host name")
}

fn named(target: &Target, name: &str) -> Result<Plan> {
    let (files, steps) = hostname::set(target, name, &[])?;
    Ok(Plan { verb: "fix", title: format!("call the server {name}"), files, steps, ..Plan::default() })
}

fn at(source: &Source) -> String {
    format!("{}:{}", source.path, source.line)
}

/// The sources that say a name of the server's own: not `localhost`, which old installers left in files that others
/// overrule, nor that of a rescue server, on which nothing is to agree.
fn real_names(target: &Target) -> Result<Vec<Source>> {
    let mut sources = names::sources(target)?;
    sources.retain(|source| !names::is_placeholder(&source.name) && !identity::is_rescue_name(&source.name));
    Ok(sources)
}

/// The one that the host asks for where a file says it, else the one of the file that decides.
fn chosen(target: &Target, sources: &[Source]) -> Result<String> {
    let asked = host_name(target)?;
    let by_host = asked.filter(|name| sources.iter().any(|source| names::agree(&source.name, name)));
    by_host
        .or_else(|| sources.iter().find_map(|source| valid(&source.name)))
        .context("no source has a valid host name: set one by hand")
}

fn running_name(target: &Target) -> Option<String> {
    let name = identity::hostname(&target.root).filter(|_| target.is_live())?;
    (!names::is_placeholder(&name)).then_some(name)
}

/// What names the server where its own file does not.
struct Known {
    source: String,
    name: String,
    node: Option<Node>,
}

/// The newest backup of the agent, then its log, then the host, then the running kernel.
fn known(target: &Target) -> Result<Option<Known>> {
    for path in names::backups(&target.root)?.into_iter().take(BACKUPS_MAX) {
        let node = target.root.node(&path)?;
        let Node::File(file) = &node else { continue };
        let text = String::from_utf8_lossy(&file.body).into_owned();
        if let Some(name) = text.lines().find_map(usable) {
            return Ok(Some(Known { source: path, name, node: Some(node) }));
        }
    }
    let by = |source: &str, name| Known { source: source.to_owned(), name, node: None };
    if let Some(log) = Log::read(&target.root)?
        && let Some((source, name)) = logged(&log)
    {
        return Ok(Some(by(&source, name)));
    }
    if let Some(name) = host_name(target)?.as_deref().and_then(usable) {
        return Ok(Some(by(STORE, name)));
    }
    let running = running_name(target).as_deref().and_then(usable);
    Ok(running.map(|name| by("proc/sys/kernel/hostname", name)))
}

/// Agent 2.x logs `Hostname: web01` at each reset, 1.x `hostname: 'web01' (from xenstore)`.
fn logged(log: &Log) -> Option<(String, String)> {
    log.lines.iter().rev().find_map(|line| {
        let text = &line.text;
        let name = text
            .strip_prefix("Hostname: ")
            .or_else(|| text.strip_prefix("hostname: '")?.strip_suffix("' (from xenstore)"))?;
        Some((log.source_of(line), usable(name)?))
    })
}

fn host_name(target: &Target) -> Result<Option<String>> {
    if !target.has_store() {
        return Ok(None);
    }
    // that the store is silent is another check's finding
    let Ok(mut store) = target.xenstore() else { return Ok(None) };
    let name = xen::read_opt(&mut *store, STORE).unwrap_or_default();
    Ok(name.as_deref().and_then(valid))
}

fn valid(name: &str) -> Option<String> {
    Hostname::of(name).name().map(str::to_owned)
}

/// A name that is worth being put back.
fn usable(name: &str) -> Option<String> {
    valid(name).filter(|name| !names::is_placeholder(name) && !identity::is_rescue_name(name))
}
