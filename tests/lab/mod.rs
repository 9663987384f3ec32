//! Real XenStore daemons for integration tests: `mod lab;` in a file of tests/.
//!
//! ```ignore
//! let Some(store) = lab::Store::start(lab::Kind::C) else { return };  // it has printed "skipped: why"
//! let guest = store.domu(7);                                          // a socket with guest 7's rights and paths
//! store.write("/local/domain/7/vm-data/hostname", "web01");           // as dom0, with xenstore-write
//! novactl --xenstore <guest> …
//! ```
//!
//! The daemons are Debian's own; `xenstored.sh` says how they run without a hypervisor. They need apt-get (once, 2 MB),
//! gcc and python3, and no root.

#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(clippy::print_stdout, reason = "the harness shows it")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal};

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// xenstored, of most distributions.
    C,
    /// oxenstored, of XenServer and XCP-ng.
    Ocaml,
}

/// Both.
pub const KINDS: [Kind; 2] = [Kind::C, Kind::Ocaml];

/// A running daemon with an empty store; it ends with this value.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    dir: tempfile::TempDir,
}

impl Store {
    /// Starts a daemon, or prints why that cannot be done here and returns `None`.
    pub fn start(kind: Kind) -> Option<Self> {
        if let Err(why) = script(&["fetch"]) {
            return skipped(&why);
        }
        let store = Self { kind, dir: tempfile::tempdir().unwrap() };
        store.start_daemon();
        Some(store)
    }

    /// Returns the daemon's socket, which has dom0's rights; relative paths begin in /local/domain/0.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Makes the guest `id` with the directories and permissions that xl gives it, and returns a socket with that
    /// guest's rights, quotas and relative paths.
    pub fn domu(&self, id: u32) -> PathBuf {
        script(&["domu", self.dir(), &id.to_string()]).unwrap();
        self.dir.path().join(format!("domu-{id}.sock"))
    }

    /// Writes a node as dom0.
    pub fn write(&self, path: &str, value: &str) {
        self.write_all(&[(path, value)]);
    }

    /// Writes many nodes as dom0.
    pub fn write_all(&self, nodes: &[(&str, &str)]) {
        let words = nodes.iter().flat_map(|(path, value)| [*path, *value]);
        let tool: Vec<&str> = ["xenstore-write", "-R", "--"].into_iter().chain(words).collect();
        self.run(&tool).unwrap();
    }

    /// Returns the value of a node as dom0 sees it, or `None` where there is none.
    pub fn read(&self, path: &str) -> Option<String> {
        let value = self.run(&["xenstore-read", "-R", path]).ok()?;
        Some(value.strip_suffix('\n').unwrap_or(&value).to_owned())
    }

    /// Takes a node away from every guest.
    pub fn forbid(&self, path: &str) {
        self.run(&["xenstore-chmod", path, "n0"]).unwrap();
    }

    /// Lets one `xenstore-read` read the same node so many times.
    pub fn read_again(&self, path: &str, times: usize) {
        self.run(&[&["xenstore-read"], vec![path; times].as_slice()].concat()).unwrap();
    }

    /// Removes a node as dom0.
    pub fn remove(&self, path: &str) {
        self.run(&["xenstore-rm", path]).unwrap();
    }

    /// Ends the daemon and starts a new one with an empty store at the same place.
    pub fn restart(&self) {
        script(&["stop", self.dir()]).unwrap();
        self.start_daemon();
    }

    /// Stops the daemon from answering, as one that hangs.
    pub fn freeze(&self) {
        rustix::process::kill_process(self.daemon(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        rustix::process::kill_process(self.daemon(), Signal::CONT).unwrap();
    }

    fn start_daemon(&self) {
        let kind = match self.kind {
            Kind::C => "c",
            Kind::Ocaml => "ocaml",
        };
        script(&["start", kind, self.dir()]).unwrap();
    }

    fn daemon(&self) -> Pid {
        #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
        let pid = std::fs::read_to_string(self.dir.path().join("daemon.pid")).unwrap();
        Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
    }

    fn run(&self, tool: &[&str]) -> Result<String, String> {
        script(&[&["run", self.dir()], tool].concat())
    }

    fn dir(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // a test may have failed while the daemon was stopped
        let _ = rustix::process::kill_process(self.daemon(), Signal::CONT);
        let _ = script(&["stop", self.dir()]);
    }
}

/// Prints why a test cannot run here; `tests/run` collects these lines.
pub fn skipped<T>(why: &str) -> Option<T> {
    println!("skipped: {}", why.trim().replace('\n', "; "));
    None
}

/// Returns the static binary, as it is released: `NOVACTL_STATIC` names one, else it is built.
pub fn static_novactl() -> PathBuf {
    if let Some(path) = std::env::var_os("NOVACTL_STATIC") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "a test drives programs")]
    let mut build = Command::new(env!("CARGO"));
    assert!(build.arg("static").current_dir(root).env_remove("RUSTFLAGS").status().unwrap().success());
    root.join("target/x86_64-unknown-linux-gnu/release/novactl")
}

/// Copies a program without its symbols, which would fill a guest's memory.
pub fn put_stripped(program: &Path, place: &Path) {
    #[expect(clippy::disallowed_methods, reason = "a test drives programs")]
    let stripped = Command::new("strip").arg("-o").arg(place).arg(program).status().unwrap();
    assert!(stripped.success());
}

/// Whether a hash in /etc/shadow is that of a password, by the C library's crypt(3).
pub fn is_hash_of(hash: &str, password: &str) -> bool {
    let program = "import ctypes, sys; c = ctypes.CDLL('libcrypt.so.1'); c.crypt.restype = ctypes.c_char_p; \
                   h = sys.argv[1].encode(); sys.exit(c.crypt(sys.stdin.buffer.read(), h) != h)";
    #[expect(clippy::disallowed_methods, reason = "a test drives programs")]
    let mut command = Command::new("python3");
    let mut child = command.args(["-c", program, hash]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

/// Returns the directory of the lab's scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab")
}

fn script(args: &[&str]) -> Result<String, String> {
    #[expect(clippy::disallowed_methods, reason = "a test drives programs")]
    let output = Command::new(scripts().join("xenstored.sh")).args(args).output();
    let Output { status, stdout, stderr } = output.map_err(|e| format!("bash: {e}"))?;
    if !status.success() {
        return Err(format!("xenstored.sh {}: {}", args.join(" "), String::from_utf8_lossy(&stderr)));
    }
    Ok(String::from_utf8(stdout).unwrap())
}
