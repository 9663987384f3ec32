//! Where agents' programs stand, and which agent a program is.

use std::io::Read;

use anyhow::{Context, Result, bail};

use super::{Agent, Kind, PythonCode, exec, source, zipapp};
use crate::facts::init::Service;
use crate::root::{self, Root};

/// Prefixes of an installation: distributions, `make install` and FreeBSD's ports, CoreOS (a chroot of its own).
const PREFIXES: [&str; 4] = ["usr", "usr/local", "usr/share/oem/nova-agent/usr", "usr/share/oem/nova-agent"];

/// The most names that are looked at in a directory that is not the agent's own.
const NAMES_MAX: usize = 256;

/// The beginning of a file that tells what it is, in bytes.
const HEAD: u64 = 4096;

/// The most that is read of a script, in bytes.
const SCRIPT_MAX: u64 = 64 << 10;

/// Returns the paths where an agent's program may stand: the known places, then what services name.
pub(super) fn candidates(root: &Root, services: &[Service]) -> Vec<String> {
    let mut paths = Vec::new();
    for prefix in PREFIXES {
        for dir in ["bin", "sbin"] {
            paths.extend(["nova-agent", "novactl"].map(|name| format!("{prefix}/{dir}/{name}")));
        }
    }
    for below in names(root, "opt") {
        paths.push(format!("opt/{below}"));
        paths.extend(["nova-agent", "bin/nova-agent"].map(|name| format!("opt/{below}/{name}")));
    }
    paths.retain(|path| path.ends_with("nova-agent") || path.ends_with("novactl"));
    for service in services {
        paths.extend(named_by(root, service).into_iter().map(|path| path.trim_start_matches('/').to_owned()));
    }
    paths
}

/// Returns the absolute paths of agents' programs that a service names: in `ExecStart=`, or in the words of an init
/// script that are no comment.
pub(super) fn named_by(root: &Root, service: &Service) -> Vec<String> {
    let words = match &service.unit {
        Some(unit) => exec::start_of(unit).map(|setting| exec::words(&setting.value)).unwrap_or_default(),
        None => script_words(root, &service.path),
    };
    let is_program = |word: &String| {
        let name = word.rsplit('/').next().unwrap_or_default();
        // `/etc/init.d/nova-agent` is the script itself, or another one that calls it.
        word.starts_with('/') && matches!(name, "nova-agent" | "novactl") && !word.starts_with("/etc/")
    };
    words.into_iter().filter(is_program).collect()
}

/// Returns the agent's program that a command line of a unit starts, by itself or through Python. A program that is
/// only told of one does not count.
pub(super) fn started_by(line: &str) -> Option<String> {
    let words = exec::words(line);
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words.first()?;
    let program = match name(first).starts_with("python") {
        true => words.iter().skip(1).find(|word| !word.starts_with('-'))?,
        false => first,
    };
    (program.starts_with('/') && name(program) == "nova-agent").then(|| program.clone())
}

fn script_words(root: &Root, path: &str) -> Vec<String> {
    // One that cannot be read names nothing; the service's own check says so.
    let text = beginning(root, path, SCRIPT_MAX).unwrap_or_default();
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words =
        code.flat_map(|line| line.split(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'' | ';')));
    words.map(str::to_owned).collect()
}

/// Returns the agent whose program stands at `path`; `None` where nothing does.
///
/// # Errors
/// What stands there is no agent, cannot be read, or a link that leads nowhere.
pub(super) fn look_at(root: &Root, path: &str) -> Result<Option<Agent>> {
    let Some(stat) = root.stat_opt(path)? else {
        let Some(to) = root.link_opt(path)? else { return Ok(None) };
        bail!("{path} links to {to}, which does not exist");
    };
    if stat.kind == root::Kind::Dir {
        return Ok(None);
    }
    let Some(file) = root.resolve(path)? else { return Ok(None) };
    let text = beginning(root, path, HEAD)?;
    let agent = |kind, python| Agent {
        kind,
        version: None,
        version_source: None,
        program: path.to_owned(),
        file: file.clone(),
        python,
        tree: None,
        package: None,
        services: Vec::new(),
    };
    if text.starts_with("\x7fELF") {
        if path.ends_with("novactl") {
            return Ok(Some(agent(Kind::Novactl, None)));
        }
        return Ok(Some(with_tree(root, agent(Kind::Nova1, None))));
    }
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let interpreter = first.strip_prefix("#!").map(|line| line.trim().to_owned());
    if text.starts_with("PK\x03\x04") || rest.starts_with("PK\x03\x04") {
        let zip = zipapp::read(root, path)?;
        let python = PythonCode { interpreter, needs: zip.needs };
        let version_source = Some(format!("{path} (novaagent/__init__.py)"));
        return Ok(Some(Agent { version: zip.version, version_source, ..agent(Kind::Nova2, Some(python)) }));
    }
    if interpreter.is_some() && text.contains("novaagent") {
        let mut needs = Vec::new();
        source::add_imports(&text, &mut needs);
        let python = PythonCode { interpreter, needs };
        return Ok(Some(with_site_package(root, agent(Kind::Nova2, Some(python)))));
    }
    if interpreter.is_some() && text.contains("nova-agent.py") {
        return Ok(Some(with_tree(root, agent(Kind::Nova1, None))));
    }
    bail!("{path} is no nova-agent: neither a zip application, nor a script of it, nor a binary");
}

/// Returns in words what an agent that was removed left behind.
pub(super) fn remains(root: &Root) -> Vec<String> {
    let modules =
        modules(root).into_iter().map(|dir| format!("{dir} is there, its program nova-agent is not"));
    let trees = PREFIXES.iter().filter_map(|prefix| {
        let share = format!("{prefix}/share/nova-agent");
        let version = versions(root, &share).pop()?;
        Some(format!("{share}/{version} is there, its program {prefix}/sbin/nova-agent is not"))
    });
    modules.chain(trees).collect()
}

/// Returns the beginning of a file as text, invalid UTF-8 replaced.
fn beginning(root: &Root, path: &str, limit: u64) -> Result<String> {
    let Some((file, _)) = root.open_file(path)? else { bail!("reading {path}: no such file") };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("reading {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Fills in what the tree of the old agent says: `…/share/nova-agent/<version>/sbin/nova-agent`.
fn with_tree(root: &Root, agent: Agent) -> Agent {
    let parent = agent.file.strip_suffix("/sbin/nova-agent");
    let linked = parent.filter(|dir| dir.rsplit('/').next().is_some_and(is_version));
    let beside = || {
        let prefix = agent.program.strip_suffix("/sbin/nova-agent")?;
        let share = format!("{prefix}/share/nova-agent");
        let current = root.resolve(&format!("{share}/current")).ok().flatten();
        current.or_else(|| versions(root, &share).pop().map(|version| format!("{share}/{version}")))
    };
    let Some(tree) = linked.map(str::to_owned).or_else(beside) else { return agent };
    let version = tree.rsplit('/').next().filter(|name| is_version(name)).map(str::to_owned);
    Agent { version, version_source: Some(tree.clone()), tree: Some(tree), ..agent }
}

/// Fills in what the module of a pip or setup.py installation says.
fn with_site_package(root: &Root, mut agent: Agent) -> Agent {
    // A virtual environment's program and modules share a prefix; so do /usr/local's.
    let prefix =
        agent.program.rsplit_once('/').and_then(|(dir, _)| dir.rsplit_once('/')).map_or("", |(dir, _)| dir);
    let mut modules = modules(root);
    modules.sort_by_key(|dir| !dir.starts_with(&format!("{prefix}/lib")));
    let Some(module) = modules.into_iter().next() else { return agent };
    let mut needs = agent.python.as_mut().map(|python| std::mem::take(&mut python.needs)).unwrap_or_default();
    for dir in ["", "/common", "/libs", "/xenstore"] {
        for file in root.files_in(&format!("{module}{dir}"), ".py").unwrap_or_default().iter().take(NAMES_MAX)
        {
            // One that cannot be read adds no need: what is not known is not judged.
            source::add_imports(&beginning(root, file, SCRIPT_MAX).unwrap_or_default(), &mut needs);
        }
    }
    needs.push("novaagent".to_owned());
    needs.sort_unstable();
    if let Some(python) = &mut agent.python {
        python.needs = needs;
    }
    let init = format!("{module}/__init__.py");
    agent.version = beginning(root, &init, SCRIPT_MAX).ok().and_then(|text| source::version(&text));
    agent.version_source = Some(init);
    agent
}

/// Returns every novaagent directory in the module directories of the target's Pythons, the newest Python first.
fn modules(root: &Root) -> Vec<String> {
    let mut prefixes: Vec<String> = ["usr/local", "usr"].map(str::to_owned).to_vec();
    prefixes.extend(names(root, "opt").into_iter().map(|name| format!("opt/{name}")));
    let mut found = Vec::new();
    for lib in prefixes.iter().flat_map(|prefix| [format!("{prefix}/lib"), format!("{prefix}/lib64")]) {
        let pythons = names(root, &lib).into_iter().filter(|name| name.starts_with("python"));
        for python in pythons.collect::<Vec<_>>().into_iter().rev() {
            for site in ["site-packages", "dist-packages"].map(|site| format!("{lib}/{python}/{site}")) {
                let eggs = root.files_in(&site, ".egg").unwrap_or_default();
                let eggs = eggs.into_iter().filter(|egg| egg.starts_with(&format!("{site}/novaagent-")));
                let dirs = std::iter::once(site.clone()).chain(eggs).map(|dir| format!("{dir}/novaagent"));
                found.extend(dirs.filter(|dir| root.exists(&format!("{dir}/__init__.py"))));
            }
        }
    }
    found
}

/// Returns the versions in the directory of the old agent, the newest last.
fn versions(root: &Root, share: &str) -> Vec<String> {
    let mut versions = names(root, share);
    versions.retain(|name| is_version(name));
    versions.sort_by_cached_key(|version| super::parts(version));
    versions
}

fn is_version(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit()) && name.contains('.') && name.len() <= 32
}

fn names(root: &Root, dir: &str) -> Vec<String> {
    // A directory that cannot be read holds no agent that could be started from it.
    let entries = root.read_dir(dir).unwrap_or_default();
    entries.into_iter().map(|entry| entry.name).take(NAMES_MAX).collect()
}
