//! `agent-interpreter`: the Python that would run nova-agent 2.x.

use anyhow::Result;

use super::of_agent;
use super::remedy::{Hands, mended};
use crate::check::{Finding, mend as repair};
use crate::facts::agents::{Agent, Kind, exec};
use crate::facts::init::Setting;
use crate::facts::os::{Base, Os};
use crate::facts::python::{Interpreter, Missing};
use crate::plan::Plan;
use crate::root::{Kind as NodeKind, Root};
use crate::target::Target;

const WHY: &str = "the agent dies before its first line of log: password resets in the panel do nothing, and \
                   nova-agent.log stays empty";

pub(super) fn interpreter(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        let Some(python) = agent.python.as_ref().filter(|_| agent.kind == Kind::Nova2) else {
            return Ok(vec![Finding::skipped(format!(
                "{} brings its own interpreter or needs none",
                agent.title()
            ))]);
        };
        let Some(interpreter) = Interpreter::of(&target.root, agent)? else {
            return Ok(vec![no_interpreter(agent)]);
        };
        if is_empty(&target.root, &interpreter)? {
            return Ok(vec![empty(&interpreter)]);
        }
        let missing = interpreter.missing(&target.root, &python.needs)?;
        Ok(vec![judge(&interpreter, missing.as_deref(), target.os(), &Hands::of(target))])
    })
}

/// Where a distribution's own Pythons are.
const OWN: [&str; 2] = ["usr/bin", "usr/libexec"];

/// The most names of Pythons that are tried.
const TRIED_MAX: usize = 32;

/// Returns the plan that has the service start the agent with another Python of the distribution's; `None` where no
/// other one has what the agent needs, or no unit starts it.
///
/// # Errors
/// A directory cannot be read.
pub(super) fn with_another(target: &Target) -> Result<Option<Plan>> {
    let root = &target.root;
    let Some(agent) = target.agents().all.first() else { return Ok(None) };
    let (Some(code), Some(service)) = (&agent.python, agent.service()) else { return Ok(None) };
    let Some(line) = service.unit.as_ref().and_then(exec::start_of) else { return Ok(None) };
    let program = format!("/{}", agent.program);
    let Some((_, arguments)) = line.value.split_once(&program) else { return Ok(None) };
    for python in pythons(root)? {
        let command = format!("/{python} {program}{arguments}");
        let mut trial = agent.clone();
        let Some(unit) = trial.services.first_mut().and_then(|service| service.unit.as_mut()) else { break };
        unit.settings.push(Setting { value: command.clone(), ..line.clone() });
        let Some(interpreter) = Interpreter::of(root, &trial)? else { continue };
        if is_empty(root, &interpreter)? {
            continue;
        }
        if interpreter.missing(root, &code.needs)?.is_some_and(|missing| missing.is_empty()) {
            let text = format!("[Service]\nExecStart=\nExecStart={command}\n");
            return repair::drop_in(target, service, "python", &text).map(Some);
        }
    }
    Ok(None)
}

/// Returns the paths of Pythons, the usual name first.
fn pythons(root: &Root) -> Result<Vec<String>> {
    let mut found = vec!["usr/bin/python3".to_owned()];
    for dir in OWN {
        let mut names: Vec<String> = root.read_dir(dir)?.into_iter().map(|entry| entry.name).collect();
        names.retain(|name| {
            let minor = name.strip_prefix("python3.").unwrap_or_default();
            name == "platform-python" || !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
        });
        names.sort();
        found.extend(names.into_iter().map(|name| format!("{dir}/{name}")));
    }
    found.truncate(TRIED_MAX);
    Ok(found)
}

fn no_interpreter(agent: &Agent) -> Finding {
    let finding = Finding::fail(format!("/{} names no interpreter", agent.program))
        .because(WHY)
        .seen(format!("{}:1", agent.program), "no #! line, and no ExecStart= names a Python");
    mended(finding, "install the agent's package anew", Vec::new())
}

/// A crash of the file system, or a full disk during an upgrade, leaves such a file.
fn is_empty(root: &Root, interpreter: &Interpreter) -> Result<bool> {
    let Some(file) = &interpreter.file else { return Ok(false) };
    Ok(root.stat_opt(file)?.is_some_and(|stat| stat.kind == NodeKind::File && stat.size == 0))
}

fn empty(interpreter: &Interpreter) -> Finding {
    let file = interpreter.file.as_deref().unwrap_or_default();
    let finding = Finding::fail(format!("the agent's interpreter is an empty file: /{file}"))
        .because(WHY)
        .seen(&interpreter.source, &interpreter.asked)
        .seen(file, "0 bytes");
    mended(finding, "install the package of this Python anew", Vec::new())
}

fn judge(interpreter: &Interpreter, missing: Option<&[Missing]>, os: &Os, hands: &Hands) -> Finding {
    let asked = &interpreter.asked;
    let Some(path) = &interpreter.path else {
        let finding = Finding::fail(format!("the agent's interpreter is missing: {asked}"))
            .because(WHY)
            .seen(&interpreter.source, asked)
            .seen("looked for at", interpreter.searched.join(" "));
        let commands = match os.base {
            Base::Debian => vec![hands.inside(&["apt-get", "install", "python3"])],
            Base::RedHat => vec![hands.inside(&["yum", "install", "python3"])],
            _ => Vec::new(),
        };
        return mended(
            finding,
            "install the distribution's Python 3, or name the one there is in ExecStart=",
            commands,
        );
    };
    let Some(missing) = missing else {
        return Finding::skipped(format!("/{path}: no name and no directory tells its version"));
    };
    let version = interpreter.version.map_or(String::new(), |(major, minor)| format!(" {major}.{minor}"));
    let Some(first) = missing.first() else {
        return Finding::ok(format!("Python{version} has what the agent needs")).seen(path, asked);
    };
    let name = |missing: &'_ Missing| match missing {
        Missing::Absent(module) | Missing::Foreign(module, _) => module.clone(),
    };
    let names: Vec<String> = missing.iter().map(name).collect();
    let finding = Finding::fail(format!("Python{version} of the agent lacks {}", names.join(", ")))
        .because(WHY)
        .seen(&interpreter.source, asked)
        .seen(path, format!("is /{}", interpreter.file.as_deref().unwrap_or(path)));
    let finding = match first {
        Missing::Absent(_) => finding,
        Missing::Foreign(module, file) => {
            finding.seen(file, format!("{module}'s compiled part, for another Python"))
        }
    };
    let (text, commands) = mend(path, &names, os, hands);
    mended(finding, text, commands)
}

/// A Python that the distribution did not install gets the distribution's one in its place; else its package.
fn mend(path: &str, names: &[String], os: &Os, hands: &Hands) -> (String, Vec<Vec<String>>) {
    if !path.starts_with("usr/bin/") {
        let text = "start the agent with the distribution's Python: a drop-in with ExecStart= and then \
                    ExecStart=/usr/bin/python3 in front of the agent's program";
        return (text.to_owned(), Vec::new());
    }
    let text = format!(
        "install {} for this Python, or point the alternatives back to the distribution's",
        names.join(", ")
    );
    if names != ["cryptography"] {
        return (text, Vec::new());
    }
    let command = match os.base {
        Base::Debian => hands.inside(&["apt-get", "install", "python3-cryptography"]),
        Base::RedHat if os.version.starts_with('7') => {
            hands.inside(&["yum", "install", "python36-cryptography"])
        }
        Base::RedHat => hands.inside(&["dnf", "install", "python3-cryptography"]),
        _ => return (text, Vec::new()),
    };
    (text, vec![command])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{offline, verdicts};
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::{link, put};
    use crate::facts::agents::zip_application;
    use std::path::Path;

    /// A root with the stock zip application, which needs cryptography and brings the rest.
    fn root() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let entries = [
            ("novaagent/__init__.py", "__version__ = '2.1.25'\n"),
            ("novaagent/common/password.py", "import yaml\nfrom cryptography.hazmat import x\n"),
            ("yaml/__init__.py", ""),
        ];
        put(dir.path(), "usr/bin/nova-agent", zip_application("#!/usr/bin/env python3", &entries));
        dir
    }

    fn python(dir: &Path, place: &str, version: &str) {
        put(dir, &format!("{place}/python{version}"), b"\x7fELF");
        link(dir, &format!("{place}/python3"), &format!("python{version}"));
    }

    fn found(dir: &Path) -> Vec<Finding> {
        interpreter(&offline(dir)).unwrap()
    }

    const CRYPTOGRAPHY: &str = "usr/lib/python3/dist-packages/cryptography/__init__.py";

    #[test]
    fn no_python_at_all_fails_with_the_places() {
        let dir = root();
        let found = found(dir.path());
        let title = "the agent's interpreter is missing: /usr/bin/env python3";
        assert_eq!(verdicts(&found), [(Status::Fail, title)]);
        assert!(
            found[0].evidence[1].text.contains("/usr/local/bin/python3 /usr/sbin/python3 /usr/bin/python3")
        );
    }

    #[test]
    fn a_newer_python_in_usr_local_takes_the_place_and_lacks_the_module() {
        let dir = root();
        python(dir.path(), "usr/bin", "3.11");
        put(dir.path(), CRYPTOGRAPHY, "");
        assert_eq!(verdicts(&found(dir.path())), [(Status::Ok, "Python 3.11 has what the agent needs")]);
        python(dir.path(), "usr/local/bin", "3.13");
        let found = found(dir.path());
        assert_eq!(verdicts(&found), [(Status::Fail, "Python 3.13 of the agent lacks cryptography")]);
        assert!(found[0].remedy.as_ref().unwrap().text.contains("drop-in"));
    }

    #[test]
    fn the_distributions_python_without_the_module_fails() {
        let dir = root();
        python(dir.path(), "usr/bin", "3.6");
        assert_eq!(
            verdicts(&found(dir.path())),
            [(Status::Fail, "Python 3.6 of the agent lacks cryptography")]
        );
    }

    #[test]
    fn a_shim_is_skipped_with_the_reason() {
        let dir = root();
        put(dir.path(), "usr/local/bin/python3", "#!/bin/sh\nexec x\n");
        assert_eq!(found(dir.path())[0].status, Status::Skipped);
    }

    #[test]
    fn the_old_agent_is_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "usr/sbin/nova-agent", b"\x7fELF");
        assert_eq!(found(dir.path())[0].status, Status::Skipped);
    }
}
