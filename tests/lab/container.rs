//! A copy of the Debian tree, and a container booted from it with systemd as its first process:
//! `#[path = "lab/container.rs"] mod container;`.
//!
//! Root, mmdebstrap and systemd-nspawn are needed; the network is the container's own.

#![allow(dead_code, unreachable_pub, reason = "a module of several test programs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::lab;

/// Returns a copy of the Debian tree; `None`, and the reason printed, where there is none.
pub fn debian() -> Option<(tempfile::TempDir, PathBuf)> {
    for program in ["mmdebstrap", "systemd-nspawn", "nsenter"] {
        if Command::new(program).arg("--version").output().is_err() {
            return lab::skipped(&format!("no {program}"));
        }
    }
    let made = Command::new(lab::scripts().join("debian-tree.sh")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tree = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim_end());
    // beside it: /tmp may be small
    let dir = tempfile::tempdir_in(tree.parent().unwrap()).unwrap();
    let copy = dir.path().join("tree");
    assert!(Command::new("cp").arg("-a").arg(&tree).arg(&copy).status().unwrap().success());
    Some((dir, copy))
}

/// A booted container; it is shut down with this value.
pub struct Container {
    state: tempfile::TempDir,
}

impl Container {
    /// Boots a tree; its store is a socket outside. `more` are arguments of systemd-nspawn.
    pub fn boot(tree: &Path, store: &Path, more: &[String]) -> Self {
        let container = Self { state: tempfile::tempdir().unwrap() };
        let bind = format!("--bind={}:/run/xenstored/socket", store.display());
        let mut boot = Command::new(lab::scripts().join("nspawn.sh"));
        boot.arg("boot").arg(tree).arg(container.state.path()).arg(bind).args(more);
        // not piped: what stays running would keep the pipe open
        let status = boot.status().unwrap();
        assert!(status.success(), "{}", container.console());
        container
    }

    fn console(&self) -> String {
        std::fs::read_to_string(self.state.path().join("console")).unwrap_or_default()
    }

    /// Runs a program inside.
    pub fn run(&self, argv: &[&str]) -> Output {
        let mut exec = Command::new(lab::scripts().join("nspawn.sh"));
        exec.arg("exec").arg(self.state.path()).args(argv).output().unwrap()
    }

    /// Returns what a program inside prints.
    pub fn text(&self, argv: &[&str]) -> String {
        String::from_utf8_lossy(&self.run(argv).stdout).trim().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new(lab::scripts().join("nspawn.sh")).arg("stop").arg(self.state.path()).status();
    }
}
