//! A tree booted with systemd as its first process, and what people do in it; an agent there that dies at start.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a module of several test programs"
)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::lab;

/// The longest that anything is waited for.
pub const LIMIT: Duration = Duration::from_secs(60);

/// nova-agent 2.x as its package installs it, with the fault of a lost module.
pub const BROKEN: [(&str, u32, &str); 3] = [
    ("usr/bin/nova-agent", 0o755, "#!/usr/bin/python3\nimport novaagent_that_is_lost\n"),
    ("usr/lib/python3/dist-packages/novaagent/__init__.py", 0o644, "__version__ = \"2.1.25\"\n"),
    (
        "usr/lib/systemd/system/python3-nova-agent.service",
        0o644,
        "[Unit]\nDescription=Nova Agent for xenstore\n\n[Service]\nType=notify\nTimeoutStartSec=360\n\
         ExecStart=/usr/bin/nova-agent --no-fork True -o /var/log/nova-agent.log -l info\n\n\
         [Install]\nWantedBy=multi-user.target\n",
    ),
];
pub const OLD_UNIT: &str = "python3-nova-agent.service";

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

/// A booted container.
pub struct Container {
    state: tempfile::TempDir,
}

impl Container {
    /// Boots a tree; its store is a socket outside. `more` are arguments of systemd-nspawn.
    pub fn boot(tree: &Path, store: &Path, more: &[&str]) -> Self {
        let container = Self { state: tempfile::tempdir().unwrap() };
        let bind = format!("--bind={}:/run/xenstored/socket", store.display());
        let mut boot = Command::new(lab::scripts().join("nspawn.sh"));
        // not piped: what stays running would keep the pipe open
        let status =
            boot.arg("boot").arg(tree).arg(container.state.path()).arg(bind).args(more).status().unwrap();
        assert!(status.success(), "{}", container.console());
        container
    }

    pub fn console(&self) -> String {
        std::fs::read_to_string(self.state.path().join("console")).unwrap_or_default()
    }

    pub fn run(&self, argv: &[&str]) -> Output {
        let mut exec = Command::new(lab::scripts().join("nspawn.sh"));
        exec.arg("exec").arg(self.state.path()).args(argv).output().unwrap()
    }

    pub fn text(&self, argv: &[&str]) -> String {
        String::from_utf8_lossy(&self.run(argv).stdout).trim().to_owned()
    }

    /// Returns a property of the agent's unit.
    pub fn show(&self, property: &str) -> String {
        self.text(&["systemctl", "show", "--value", "-p", property, "novactl-agent.service"])
    }

    pub fn wait_for(&self, property: &str, wanted: &str) {
        let end = Instant::now() + LIMIT;
        while self.show(property) != wanted {
            let journal = self.journal();
            assert!(Instant::now() < end, "{property} is {}, not {wanted}\n{journal}", self.show(property));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn journal(&self) -> String {
        self.text(&["journalctl", "--no-pager", "-u", "novactl-agent.service"])
    }

    pub fn pid(&self) -> String {
        self.show("MainPID")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new(lab::scripts().join("nspawn.sh")).arg("stop").arg(self.state.path()).status();
    }
}

/// Puts a file into a tree.
pub fn put(root: &Path, path: &str, mode: u32, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts the agent that dies at start into a tree.
pub fn break_agent(tree: &Path) {
    for (path, mode, text) in BROKEN {
        put(tree, path, mode, text);
    }
    enable(tree, OLD_UNIT);
}

/// Lets a unit of the distribution start at boot.
pub fn enable(tree: &Path, unit: &str) {
    let wants = tree.join("etc/systemd/system/multi-user.target.wants");
    std::fs::create_dir_all(&wants).unwrap();
    symlink(format!("/usr/lib/systemd/system/{unit}"), wants.join(unit)).unwrap();
}
