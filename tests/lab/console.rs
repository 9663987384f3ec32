//! The serial console of a Debian that QEMU boots from an image.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a module of several test programs"
)]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::lab;

/// The serial console of a running guest.
pub struct Console {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    seen: String,
}

impl Console {
    pub fn boot(image: &Path, clock: Option<&str>) -> Self {
        let mut command = Command::new(lab::scripts().join("boot-image.sh"));
        command
            .arg("boot")
            .arg(image)
            .args(clock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output, seen: String::new() }
    }

    /// Reads on until a text comes, and returns what came before it. The script ends a guest that hangs.
    pub fn until(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some((before, rest)) = self.seen.split_once(text) {
                let (before, rest) = (before.to_owned(), rest.to_owned());
                self.seen = rest;
                return before;
            }
            let count = self.output.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "no {text:?} came: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    pub fn types(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Runs a command line and returns what it prints.
    pub fn shell(&mut self, line: &str) -> String {
        // the line is echoed, and must not look like its own result
        self.types(&format!("echo BE''GIN; {line}; echo E''ND"));
        self.until("BEGIN");
        self.until("END").replace('\r', "").trim().to_owned()
    }

    /// Boots an image to its login and logs root in; the hardware clock says `clock`, such as
    /// `2026-11-23T04:00:00`, or the time.
    pub fn logged_in(image: &Path, password: &str, clock: Option<&str>) -> Self {
        let mut console = Self::boot(image, clock);
        console.until("login: ");
        console.types("root");
        console.until("Password: ");
        console.types(password);
        console.until("# ");
        console
    }

    /// Switches the guest off.
    pub fn off(mut self) {
        self.types("poweroff -f");
        self.child.wait().unwrap();
    }
}
