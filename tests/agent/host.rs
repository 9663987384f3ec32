//! A host as nova and its plugin are: one request at a time under a fresh id, the answer read when it comes.

#![allow(dead_code, unreachable_pub, reason = "a module of several test programs")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use novactl::xenstore::{self, Source, Xenstore};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::lab::{self, Kind, Store};

/// The longest that anything is waited for: nova's limit for a command.
const LIMIT: Duration = Duration::from_secs(30);

const GUEST: &str = "/local/domain/7";

/// A store, a guest's files, and the agent that serves them.
pub struct Host {
    pub store: Store,
    pub socket: PathBuf,
    dom0: Box<dyn Xenstore>,
    pub root: tempfile::TempDir,
    agent: Option<Child>,
    requests: usize,
}

impl Host {
    /// Starts a store with a guest; `None` where that cannot be done here.
    pub fn new(kind: Kind) -> Option<Self> {
        let store = Store::start(kind)?;
        let socket = store.domu(7);
        store.write("/local/domain/7/vm-data/provider_data/provider", "Rackspace");
        let dom0 = xenstore::open(&Source::Path(store.socket())).unwrap();
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n"),
            ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
            ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
            ("etc/hostname", "old\n"),
            ("etc/network/interfaces", "auto lo\niface lo inet loopback\n"),
            ("sbin/ifup", "#!/bin/sh\n"),
            ("lib/systemd/systemd", ""),
            ("lib/systemd/system/multi-user.target", "[Unit]\n"),
            ("lib/systemd/system/default.target", "[Unit]\nRequires=multi-user.target\n"),
            (
                "lib/systemd/system/networking.service",
                "[Service]\nExecStart=/sbin/ifup -a\n[Install]\nWantedBy=multi-user.target\n",
            ),
            ("root/.profile", ""),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let wants = root.path().join("etc/systemd/system/multi-user.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        let unit = "/lib/systemd/system/networking.service";
        std::os::unix::fs::symlink(unit, wants.join("networking.service")).unwrap();
        Some(Self { store, socket, dom0, root, agent: None, requests: 0 })
    }

    /// Returns the arguments that serve this guest.
    pub fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        ["agent", "run", "--root", &text(self.root.path()), "--xenstore", &text(&self.socket)]
            .map(str::to_owned)
            .to_vec()
    }

    /// Starts the agent; its log goes to `agent.log` beside the root.
    pub fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.args(self.arguments());
        self.start_with(command);
    }

    pub fn start_with(&mut self, mut command: Command) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        self.agent = Some(
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).spawn().unwrap(),
        );
    }

    fn log_path(&self) -> PathBuf {
        self.root.path().with_extension("agent.log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    /// Ends the agent and returns its exit code; none when a signal ended it.
    pub fn end(&mut self, signal: Signal) -> Option<i32> {
        let mut agent = self.agent.take().unwrap();
        rustix::process::kill_process(Pid::from_child(&agent), signal).unwrap();
        agent.wait().unwrap().code()
    }

    /// Sends a signal and waits for nothing.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(self.agent.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits until the agent's log has a text.
    pub fn until_logged(&self, text: &str) {
        let end = Instant::now() + 2 * LIMIT;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "no {text:?} in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the process that was started.
    pub fn pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.agent.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Writes any bytes as a request, and returns its id.
    pub fn request(&mut self, bytes: &[u8]) -> String {
        self.requests += 1;
        let id = format!("11111111-1111-4111-8111-{:012}", self.requests);
        self.dom0.write(&format!("{GUEST}/data/host/{id}"), bytes).unwrap();
        id
    }

    pub fn send(&mut self, name: &str, value: impl Into<Value>) -> String {
        self.request(json!({ "name": name, "value": value.into() }).to_string().as_bytes())
    }

    /// Waits for an answer as the plugin reads it: code and message.
    pub fn answer(&mut self, id: &str) -> (String, String) {
        let path = format!("{GUEST}/data/guest/{id}");
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(text) = self.dom0.text_opt(&path).unwrap() {
                return plugin(&text);
            }
            assert!(Instant::now() < end, "no answer to {id} within 30 s:\n{}", self.log());
            self.dom0.wait(&format!("{GUEST}/data/guest"), Duration::from_millis(500)).unwrap();
        }
    }

    /// Asks and waits.
    pub fn ask(&mut self, name: &str, value: impl Into<Value>) -> (String, String) {
        let id = self.send(name, value);
        self.answer(&id)
    }

    /// Waits until no request is left.
    pub fn until_idle(&mut self) {
        let end = Instant::now() + LIMIT;
        while !self.names("data/host").is_empty() {
            assert!(Instant::now() < end, "requests stay: {:?}", self.names("data/host"));
            self.dom0.wait(&format!("{GUEST}/data/host"), Duration::from_millis(500)).unwrap();
        }
    }

    pub fn names(&mut self, path: &str) -> Vec<String> {
        match self.dom0.list(&format!("{GUEST}/{path}")) {
            Err(xenstore::Error::NotFound(_)) => Vec::new(),
            other => other.unwrap(),
        }
    }

    pub fn read(&mut self, path: &str) -> Option<String> {
        self.dom0.text_opt(&format!("{GUEST}/{path}")).unwrap()
    }

    pub fn write(&mut self, path: &str, value: &str) {
        self.dom0.write(&format!("{GUEST}/{path}"), value.as_bytes()).unwrap();
    }

    pub fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.root.path().join(path)).unwrap()
    }

    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.file(path)).unwrap()
    }

    /// Ends the daemon and starts a new one with the same guest, as dom0 does after a crash.
    pub fn restart(&mut self) {
        self.store.restart();
        self.socket = self.store.domu(7);
        self.dom0 = xenstore::open(&Source::Path(self.store.socket())).unwrap();
    }

    /// Whether root's hash is that of a password.
    pub fn logs_in(&self, password: &str) -> bool {
        let shadow = self.text("etc/shadow");
        let hash = shadow.lines().find_map(|line| line.strip_prefix("root:")?.split(':').next()).unwrap();
        lab::is_hash_of(hash, password)
    }

    /// Returns every file of the guest, its journal among them, the agent's log, and what is in the store.
    pub fn everything_written(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut found = vec![("log".to_owned(), self.log().into_bytes())];
        for id in self.names("data/guest") {
            let text = self.read(&format!("data/guest/{id}")).unwrap_or_default();
            found.push((id, text.into_bytes()));
        }
        let mut ahead = vec![self.root.path().to_owned()];
        while let Some(dir) = ahead.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    ahead.push(path);
                } else {
                    found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
                }
            }
        }
        found
    }

    /// Waits until both answers are there, or the agent was killed; whether they are.
    pub fn served_or_dead(&mut self, ids: &[&str]) -> bool {
        let end = Instant::now() + LIMIT;
        loop {
            let answers = self.names("data/guest");
            if ids.iter().all(|id| answers.iter().any(|answer| answer == id))
                && self.names("data/host").is_empty()
            {
                return true;
            }
            if !self.is_alive() {
                return false;
            }
            assert!(Instant::now() < end, "neither served nor killed:\n{}", self.log());
            self.dom0.wait(&format!("{GUEST}/data"), Duration::from_millis(50)).unwrap();
        }
    }

    /// Whether every change in the journal is finished.
    pub fn no_change_is_open(&self) -> bool {
        let root = novactl::root::Root::open(self.root.path()).unwrap();
        let records = novactl::plan::journal::list(&root).unwrap();
        records.iter().all(|record| record.state != novactl::plan::journal::State::Open)
    }

    /// The whole exchange and the password, as nova does it; `digest` is its openssl's.
    pub fn set_password(&mut self, password: &[u8], digest: &str) -> (String, String) {
        let private = "846301229938405217769281";
        let public = nova(&["public", private], b"");
        let (code, theirs) = self.ask("keyinit", public);
        assert_eq!(code, "D0", "{theirs}");
        self.ask("password", nova(&["encrypt", private, &theirs, digest], password))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            // strace leaves what it traced
            let _ = rustix::process::kill_process_group(Pid::from_child(&agent), Signal::KILL);
            let _ = agent.wait();
        }
        let _ = std::fs::remove_file(self.log_path());
    }
}

/// Runs nova's half of the exchange.
pub fn nova(arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut command = Command::new(lab::scripts().join("nova.py"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What the plugin makes of an answer: `xenstore-read` escapes what is not printable ASCII and every backslash, and
/// the rest has to be a JSON object of two texts.
fn plugin(text: &str) -> (String, String) {
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\'), "the filter breaks {text:?}");
    assert!(text.len() <= 2000, "{} bytes", text.len());
    let answer: Value = serde_json::from_str(text).unwrap();
    let member = |name: &str| answer[name].as_str().expect("text").to_owned();
    (member("returncode"), member("message"))
}
