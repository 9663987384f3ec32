//! `doctor --guide` on a terminal of 24 lines of 80 columns without colour: a vt100, which tmux plays.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, runs what it tests and says what was skipped"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use made::guest;

#[path = "guests/made.rs"]
mod made;
#[path = "guests/snapshot.rs"]
#[expect(dead_code, reason = "here it counts only that nothing changed, not what")]
mod snapshot;

const NOVACTL: &str = env!("CARGO_BIN_EXE_novactl");

/// How long a screen may take; it is waited for as long only when it does not come.
const LIMIT: Duration = Duration::from_secs(60);

/// A terminal in which a command runs.
struct Terminal {
    dir: tempfile::TempDir,
}

impl Terminal {
    /// Starts `novactl doctor` with these arguments, or says why that cannot be done here.
    fn start(root: &Path, args: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_err() {
            println!("skipped: no tmux");
            return None;
        }
        let terminal = Self { dir: tempfile::tempdir().unwrap() };
        let root = root.display();
        let command = format!(
            "TERM=vt100 {NOVACTL} doctor {args} --root {root}; echo \"exit=$?\" | tee {}; exec cat",
            terminal.code().display()
        );
        terminal.tmux(&["new-session", "-d", "-x", "80", "-y", "24", &command]);
        Some(terminal)
    }

    fn code(&self) -> PathBuf {
        self.dir.path().join("code")
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.dir.path().join("tmux")).args(["-f", "/dev/null"]).args(args);
        let output = tmux.env_remove("TMUX").stderr(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the screen shows a text, and returns the screen.
    fn shows(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-e"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(start.elapsed() < LIMIT, "no {text:?} on\n{screen}");
            std::thread::yield_now();
        }
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn cursor_is_shown(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{cursor_flag}"]).trim() == "1"
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

const GUEST: &str = "almalinux-9-networking-off";

#[test]
fn a_fault_is_mended_on_the_way_and_the_guide_ends_healthy() {
    let root = guest(GUEST);
    let Some(terminal) = Terminal::start(root.path(), "--guide") else { return };
    let first = terminal.shows("> the source server is gone, nobody knows the password");
    assert!(first.contains("BROKEN  1 problem") && !first.contains('\u{1b}'), "{first}");
    terminal.keys(&["Enter"]);
    let question = terminal.shows("> mend it: shows the change and asks first");
    for line in [
        "Is the agent installed, enabled and at work?  in order (",
        "Is the network as the host says?  1 found",
        "FAIL    nm-networking-enabled",
        "  > var/lib/NetworkManager/NetworkManager.state:2: NetworkingEnabled=false",
    ] {
        assert!(question.contains(line), "{line}:\n{question}");
    }
    terminal.keys(&["Enter"]);
    terminal.shows("Make this change in ");
    terminal.keys(&["y", "Enter"]);
    let end = terminal.shows("exit=0");
    let take_back = format!("take it back with: novactl undo --root {}", root.path().display());
    let password = format!("$ novactl set-password --root {}", root.path().display());
    for line in [&*take_back, "HEALTHY  no problems", &password, "$ openstack server unrescue SERVER"] {
        assert!(end.contains(line), "{line}:\n{end}");
    }
    assert!(terminal.cursor_is_shown());
}

#[test]
fn the_verdict_and_what_was_found_come_before_the_change_and_its_question() {
    let root = guest(GUEST);
    let Some(terminal) = Terminal::start(root.path(), "--fix") else { return };
    let question = terminal.shows("[y/N]");
    let mut rest = question.as_str();
    for line in [
        "BROKEN  1 problem",
        "FAIL    nm-networking-enabled",
        "  NetworkManager is switched off, and stays so over a reboot",
        "write /var/lib/NetworkManager/NetworkManager.state",
        "  +NetworkingEnabled=true",
        "Make this change in ",
    ] {
        let place = rest.find(line).unwrap_or_else(|| panic!("{line} is not in its place:\n{question}"));
        rest = &rest[place..];
    }
    terminal.keys(&["y", "Enter"]);
    let end = terminal.shows("exit=0");
    let (_, end) = end.split_once("[y/N]").unwrap();
    assert!(!end.contains("FAIL"), "it was said before the question:\n{end}");
    assert!(end.contains("looked again: nm-networking-enabled ok") && end.contains("What is next:"), "{end}");
}

#[test]
fn what_is_left_ends_in_the_route() {
    let root = guest("rhel-7-without-a-way-to-register");
    let before = snapshot::of(root.path()).unwrap();
    let Some(terminal) = Terminal::start(root.path(), "--guide") else { return };
    terminal.shows("Which server");
    terminal.keys(&["Enter"]);
    let question = terminal.shows("> go on: it is left, or mended by hand");
    assert!(!question.contains("mend it: shows"), "hands alone can mend it:\n{question}");
    terminal.keys(&["j", "Enter"]);
    terminal.shows("By hand");
    terminal.keys(&["Enter"]);
    let end = terminal.shows("exit=1");
    assert!(end.contains("$ openstack server unrescue SERVER"), "{end}");
    assert_eq!(snapshot::of(root.path()).unwrap(), before);
}

#[test]
fn whoever_leaves_at_a_question_leaves_nothing_half_done() {
    let root = guest(GUEST);
    let questions = ["Which server", "> mend it", "[y/N]"];
    for last in 0..questions.len() {
        let Some(terminal) = Terminal::start(root.path(), "--guide") else { return };
        for (place, question) in questions[..=last].iter().enumerate() {
            terminal.shows(question);
            terminal.keys(&[if place == last { "C-c" } else { "Enter" }]);
        }
        let screen = terminal.shows("exit=130");
        assert!(screen.contains("interrupted: nothing is left half-done"), "{screen}");
        assert!(terminal.cursor_is_shown(), "{}", questions[last]);
        assert_eq!(begun(root.path()), 0);
    }
    let unchanged =
        fs::read_to_string(root.path().join("var/lib/NetworkManager/NetworkManager.state")).unwrap();
    assert!(unchanged.contains("NetworkingEnabled=false"));
    let Some(terminal) = Terminal::start(root.path(), "--guide") else { return };
    terminal.shows("Which server");
    terminal.keys(&["q"]);
    terminal.shows("exit=6");
}

/// How many changes the journal knows.
fn begun(root: &Path) -> usize {
    let undo = root.join("var/lib/novactl/undo");
    fs::read_dir(undo).map_or(0, Iterator::count)
}

#[test]
fn a_terminal_that_is_closed_ends_the_guide_and_changes_nothing() {
    let root = guest(GUEST);
    let before = snapshot::of(root.path()).unwrap();
    let Some(terminal) = Terminal::start(root.path(), "--guide") else { return };
    terminal.shows("Which server");
    let pane: String = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let shell = format!("/proc/{}", pane.trim());
    let children = fs::read_to_string(format!("{shell}/task/{}/children", pane.trim())).unwrap_or_default();
    terminal.tmux(&["kill-server"]);
    let start = Instant::now();
    for pid in children.split_whitespace().chain([pane.trim()]) {
        while Path::new("/proc").join(pid).join("exe").read_link().is_ok() {
            assert!(start.elapsed() < LIMIT, "{pid} still runs");
            std::thread::yield_now();
        }
    }
    assert_eq!(snapshot::of(root.path()).unwrap(), before);
}

#[test]
fn without_a_terminal_there_is_no_guide() {
    let root = guest(GUEST);
    let run = |args: &[&str]| {
        let mut command = Command::new(NOVACTL);
        command.args(["doctor", "--guide", "--root"]).arg(root.path()).args(args).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run(&[]);
    assert_eq!(code, Some(6));
    assert!(
        stderr.starts_with("error: --guide asks questions and there is no terminal to ask on\nhint: "),
        "{stderr}"
    );
    let (code, stderr) = run(&["--format", "json"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(run(&["--fix"]).0, Some(2));
}
