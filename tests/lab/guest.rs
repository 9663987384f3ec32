//! A real Xen guest that is booted with files of a test: `#[path = "lab/guest.rs"] mod guest;`.
//!
//! The guest has busybox, xenstore's tools and `/novactl`.

#![allow(dead_code, unreachable_pub, reason = "a module of several test programs")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::lab;

/// The root of a guest that is not booted yet.
pub struct Guest {
    script: PathBuf,
    root: tempfile::TempDir,
}

/// What a program in the guest, or in dom0, left behind.
#[derive(Debug)]
pub struct Shown {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Shown {
    /// Returns its output, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

impl Guest {
    /// Makes the root, with novactl in it; `None` where Xen cannot be booted here.
    pub fn new() -> Option<Self> {
        let script = lab::scripts().join("xen-in-qemu.sh");
        if let Err(why) = run(Command::new(&script).arg("fetch")) {
            return lab::skipped(&why);
        }
        let guest = Self { script, root: tempfile::tempdir().unwrap() };
        guest.put(&lab::static_novactl(), "novactl");
        guest.put_libraries();
        Some(guest)
    }

    /// Copies a program into the root without its symbols, which would fill the guest's memory.
    pub fn put(&self, program: &Path, place: &str) {
        lab::put_stripped(program, &self.place(place));
    }

    /// Writes a file into the root.
    pub fn write(&self, place: &str, text: &str) {
        std::fs::write(self.place(place), text).unwrap();
    }

    /// Makes a file of the root a program.
    pub fn make_executable(&self, place: &str) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.place(place), mode).unwrap();
    }

    /// Links `place` to another one.
    pub fn link(&self, place: &str, to: &str) {
        std::os::unix::fs::symlink(to, self.place(place)).unwrap();
    }

    /// Returns a file of the guest's system, which is Debian's, unpacked.
    pub fn of_debian(path: &str) -> PathBuf {
        let lab = std::env::var_os("NOVACTL_LAB")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab"), PathBuf::from);
        lab.join("kernel").join(path)
    }

    /// Boots, runs a script in the guest and one in dom0 meanwhile, and returns what both showed, by name.
    pub fn boot(&self, script: &str, host: Option<&str>) -> HashMap<String, Shown> {
        self.write("test.sh", script);
        let mut boot = Command::new(&self.script);
        boot.arg("boot").arg(self.root.path());
        let file = tempfile::NamedTempFile::new().unwrap();
        if let Some(host) = host {
            std::fs::write(file.path(), host).unwrap();
            boot.arg(file.path());
        }
        shown(&mut boot)
    }

    /// Boots dom0 with disks and a script there that starts servers of them (tests/lab/xen/servers); in each runs `script`
    /// with its name when it has booted.
    pub fn servers(&self, script: &str, host: &str, disks: &[&Path]) -> HashMap<String, Shown> {
        self.write("test.sh", script);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), host).unwrap();
        let mut boot = Command::new(&self.script);
        boot.arg("servers").arg(self.root.path()).arg(file.path()).args(disks);
        shown(&mut boot)
    }

    fn place(&self, path: &str) -> PathBuf {
        let place = self.root.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    }

    /// Copies the libraries of this very program, which is not static.
    fn put_libraries(&self) {
        let needed = run(Command::new("ldd").arg(std::env::current_exe().unwrap())).unwrap();
        for path in needed.split_whitespace().filter(|word| word.starts_with('/')) {
            std::fs::copy(path, self.place(path.trim_start_matches('/'))).unwrap();
        }
    }
}

fn shown(boot: &mut Command) -> HashMap<String, Shown> {
    let console = run(boot).unwrap();
    let shown = parse(&console);
    assert!(!shown.is_empty(), "nothing was shown:\n{console}");
    shown
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&text)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn parse(console: &str) -> HashMap<String, Shown> {
    let mut shown = HashMap::new();
    let mut lines = console.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some((name, status)) = line.strip_prefix("BEGIN ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let end = format!("END {name}");
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        let stream = |prefix| body.iter().filter_map(|line| line.strip_prefix(prefix)).collect::<String>();
        let one = Shown {
            status: status.parse().unwrap(),
            stdout: decode(&stream("OUT ")),
            stderr: decode(&stream("ERR ")),
        };
        shown.insert(name.to_owned(), one);
    }
    shown
}

/// Decodes base64 without a crate for it.
fn decode(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> =
        text.chars().filter_map(|c| ALPHABET.find(c)).map(|digit| u32::try_from(digit).unwrap()).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (place, digit)| bits | digit << (18 - 6 * place));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn base64_of_the_guest_is_decoded() {
    for (encoded, text) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("eyJhIjogIsO8In0K", "{\"a\": \"ü\"}\n")]
    {
        assert_eq!(decode(encoded), text);
    }
}
