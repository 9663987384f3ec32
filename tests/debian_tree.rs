//! A real Debian 12 tree with an agent and the tools in it, and variants of it: healthy it is silent, and of each fault
//! nothing else is found. systemd's own programs enable the services; they, the tree's Python and the real netplan
//! confirm the faults that are theirs.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "makes trees, runs programs and says what was skipped"
)]

#[path = "guests/commands.rs"]
mod commands;
#[path = "guests/elf.rs"]
mod elf;
#[path = "guests/judge.rs"]
mod judge;
#[path = "guests/manifest.rs"]
mod manifest;
#[path = "guests/snapshot.rs"]
mod snapshot;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use manifest::{Guest, Manifests};

const AGENT: &str = "python3-nova-agent.service";
const TOOLS: &str = "xe-linux-distribution.service";

/// The variants of the tree: guests whose name begins so are put into it.
const VARIANTS: [&str; 3] = ["netplan", "network-manager", "without-cloud-init"];

/// Returns the tree of a guest, or why there is none.
fn tree(guest: &Guest) -> Result<Result<PathBuf, String>> {
    let name = guest.name.strip_prefix("lab/").unwrap_or_default();
    let variant = VARIANTS.iter().find(|variant| name.starts_with(*variant));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/debian-tree.sh");
    for program in ["mmdebstrap", "systemctl", "systemd-analyze"] {
        if Command::new(program).arg("--version").output().is_err() {
            return Ok(Err(format!("no {program}")));
        }
    }
    let output = Command::new(script).args(variant).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "making the tree of Debian 12: {told}");
    Ok(Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end())))
}

/// Copies the tree, by hard links, puts a guest into it and lets systemd do the rest.
fn make(guest: &Guest, tree: &Path, root: &Path) -> Result<()> {
    run(&["cp", "-al"], &[tree, root])?;
    guest.unpack(root)?;
    let services: &[&str] = if guest.name.ends_with("/disabled") { &[TOOLS] } else { &[AGENT, TOOLS] };
    systemctl(root, "enable", services)?;
    if guest.name.ends_with("/masked") {
        systemctl(root, "mask", &[TOOLS])?;
    }
    Ok(())
}

fn systemctl(root: &Path, verb: &str, units: &[&str]) -> Result<()> {
    let root = format!("--root={}", root.display());
    let mut argv = vec!["systemctl", "--quiet", root.as_str(), verb];
    argv.extend(units);
    run(&argv, &[])
}

fn run(argv: &[&str], paths: &[&Path]) -> Result<()> {
    let output = Command::new(argv[0]).args(&argv[1..]).args(paths).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{argv:?}: {told}");
    Ok(())
}

/// Says what systemd itself thinks of a tree that it disagrees about with the guest.
fn disagreement(guest: &Guest, root: &Path) -> Result<Option<String>> {
    let argument = format!("--root={}", root.display());
    for (unit, check) in [(AGENT, "agent-enabled="), (TOOLS, "xentools-enabled=")] {
        let output = Command::new("systemctl").args([&argument, "is-enabled", unit]).output()?;
        let enabled = output.status.success();
        if enabled == guest.expect.iter().any(|want| want.starts_with(check)) {
            let word = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
            return Ok(Some(format!("systemctl is-enabled {unit}: {word}")));
        }
    }
    let mut verify = Command::new("systemd-analyze");
    // a generator adds cloud-init.target to the default target when the system boots
    let targets = ["default.target", "cloud-init.target"];
    let output = verify.args([&argument, "verify", "--man=no"]).args(targets).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let cycle = told.lines().find(|line| line.contains("ordering cycle"));
    if cycle.is_some() != guest.expect.iter().any(|want| want.starts_with("boot-order-acyclic=")) {
        return Ok(Some(format!("systemd-analyze verify: {}", cycle.unwrap_or("no cycle"))));
    }
    Ok(None)
}

/// Says what the system's own Python and the real netplan think of a tree that they disagree about with the guest.
fn other_disagreement(guest: &Guest, root: &Path) -> Result<Option<String>> {
    let expects = |check: &str| guest.expect.iter().any(|want| want.starts_with(check));
    // the part of the zip application that needs a module of the system's
    let python = "PATH=/usr/local/bin:/usr/bin:/bin PYTHONPATH=/usr/bin/nova-agent exec python3 -c 'import novaagent.common.password'";
    let output = Command::new("chroot").arg(root).args(["/bin/sh", "-c", python]).output()?;
    if output.status.success() == expects("agent-interpreter=") {
        return Ok(Some(format!("python3: {}", String::from_utf8_lossy(&output.stderr))));
    }
    if !root.join("usr/sbin/netplan").exists() {
        return Ok(None);
    }
    let output = match Command::new("netplan").args(["generate", "--root-dir"]).arg(root).output() {
        Ok(output) => output,
        Err(why) => {
            println!("skipped: netplan cannot be run: {why}");
            return Ok(None);
        }
    };
    if output.status.success() == expects("netplan-valid=") {
        return Ok(Some(format!("netplan generate: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(None)
}

/// The guests share files by hard links, so one test's trees would show in the times of the other's.
static TREES: Mutex<()> = Mutex::new(());

fn guests() -> Result<Vec<Guest>> {
    let all = Manifests::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests"))?;
    all.names("lab/").map(|name| all.guest(name)).collect()
}

#[test]
fn systemd_agrees_on_what_is_wrong_with_each_tree() -> Result<()> {
    let _alone = TREES.lock().unwrap_or_else(PoisonError::into_inner);
    for guest in guests()? {
        let tree = match tree(&guest)? {
            Ok(tree) => tree,
            Err(why) => {
                println!("skipped: {why}");
                return Ok(());
            }
        };
        let dir = tempfile::tempdir_in(tree.parent().context("the lab")?)?;
        let root = dir.path().join("root");
        make(&guest, &tree, &root).with_context(|| guest.name.clone())?;
        if let Some(why) = disagreement(&guest, &root)?.or(other_disagreement(&guest, &root)?) {
            bail!("{}: {why}", guest.name);
        }
    }
    Ok(())
}

#[test]
fn a_healthy_tree_is_silent_and_of_each_fault_nothing_else_is_found() -> Result<()> {
    let mut differences = Vec::new();
    let _alone = TREES.lock().unwrap_or_else(PoisonError::into_inner);
    for guest in guests()? {
        let tree = match tree(&guest)? {
            Ok(tree) => tree,
            Err(why) => {
                println!("skipped: {why}");
                return Ok(());
            }
        };
        let dir = tempfile::tempdir_in(tree.parent().context("the lab")?)?;
        let root = dir.path().join("root");
        make(&guest, &tree, &root).with_context(|| guest.name.clone())?;
        differences.extend(judge::differences(&guest, &root)?);
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), judge::table(&differences));
    Ok(())
}
