//! Every program that is run: no shell, nothing on its standard input, an absolute time limit, output captured.
//!
//! Checks run what only looks (`systemctl show`, `journalctl`); programs that change something belong to a plan.
//! Programs of an offline target are never run: they belong to another system, and may be hostile.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The most output that is kept of a program, in bytes; the rest is read and dropped.
const OUTPUT_MAX: u64 = 1 << 20;

/// How often a program that runs long is asked about.
const ASKS_EVERY: Duration = Duration::from_millis(100);

/// Runs its arguments, and kills them when its standard input ends: we hold the other end.
const LEASH: &str = r#"exec 3<&0
"$@" </dev/null 3<&- & program=$!
{ read -r _ <&3; kill -KILL $program; } >/dev/null 2>&1 & watch=$!
wait $program; status=$?
kill -KILL $watch 2>/dev/null
exit $status"#;

/// A program of the running system and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    argv: Vec<String>,
    limit: Duration,
    /// The last argument of a program that takes a secret in no other way. It is not kept with the rest.
    #[serde(skip)]
    hidden: Option<Secret>,
    #[serde(skip)]
    is_leashed: bool,
    /// The largest file that it may write, in bytes.
    #[serde(skip)]
    file_max: Option<u64>,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, bytes that are not UTF-8 replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

impl Cmd {
    /// Returns the command with a time limit of one second, which is within a check's own.
    pub fn new(argv: &[&str]) -> Self {
        Self {
            argv: argv.iter().map(ToString::to_string).collect(),
            limit: Duration::from_secs(1),
            hidden: None,
            is_leashed: false,
            file_max: None,
        }
    }

    /// Adds a last argument that is shown nowhere: not in a plan, a journal, a log or an error. The system's process
    /// list shows it while the program runs, so only for programs that leave no other way.
    pub fn with_hidden(self, argument: &str) -> Self {
        Self { hidden: Some(Secret::new(argument.as_bytes().to_vec())), ..self }
    }

    /// Returns the command as one line for people.
    pub fn line(&self) -> String {
        let mark = self.hidden.as_ref().map(|_| "[hidden]");
        self.argv.iter().map(String::as_str).chain(mark).collect::<Vec<_>>().join(" ")
    }

    /// Sets the time limit.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Ends the program when this one ends, also when it is killed: for one that runs long.
    pub fn leashed(self) -> Self {
        Self { is_leashed: true, ..self }
    }

    /// Limits the files that the program writes; the kernel ends it with `SIGXFSZ` when one grows beyond.
    pub fn writing_at_most(self, bytes: u64) -> Self {
        Self { file_max: Some(bytes), ..self }
    }

    /// Returns the program and its arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Runs the program and returns its output, whatever its exit status; `None` when it is not installed.
    ///
    /// # Errors
    /// It cannot be started, or ran longer than its limit: then it was killed with all its children.
    pub fn output(&self) -> Result<Option<Output>> {
        self.output_unless(&|| false)
    }

    /// As [`Cmd::output`], and asks `stop` meanwhile.
    ///
    /// # Errors
    /// As [`Cmd::output`], or `stop` said so: then it was killed with all its children.
    pub fn output_unless(&self, stop: &dyn Fn() -> bool) -> Result<Option<Output>> {
        let line = self.line();
        let program = self.argv.first().context("running a program without a name")?;
        let Ok(path) = which::which(program) else { return Ok(None) };
        #[expect(clippy::disallowed_methods, reason = "the one place that runs programs")]
        let mut command =
            std::process::Command::new(if self.is_leashed { "/bin/sh".into() } else { path.clone() });
        if self.is_leashed {
            command.args(["-c", LEASH, "sh"]).arg(path);
        }
        let mut child = command
            .args(&self.argv[1..])
            .args(self.hidden.iter().map(|secret| OsStr::from_bytes(secret.expose())))
            .env("LC_ALL", "C")
            .stdin(if self.is_leashed { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {line}"))?;
        // waiting would close it
        let _leash = child.stdin.take();
        let stdout = capture(child.stdout.take());
        let stderr = capture(child.stderr.take());
        let group = Pid::from_child(&child);
        if let Some(bytes) = self.file_max {
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            match rustix::process::prlimit(Some(group), Resource::Fsize, limit) {
                // it ended already
                Ok(_) | Err(Errno::SRCH) => {}
                Err(error) => {
                    let _ = rustix::process::kill_process_group(group, Signal::KILL);
                    return Err(error).with_context(|| format!("limiting {line}"));
                }
            }
        }
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait()));
        let deadline = Instant::now() + self.limit;
        let status = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match end.recv_timeout(ASKS_EVERY.min(left)) {
                Ok(status) => break status.with_context(|| format!("waiting for {line}"))?,
                Err(_) if left.is_zero() || stop() => {
                    // Gone already is as good as killed.
                    let _ = rustix::process::kill_process_group(group, Signal::KILL);
                    if left.is_zero() {
                        bail!("running {line}: no end within {} s, killed", self.limit.as_secs_f32());
                    }
                    bail!("interrupted");
                }
                Err(_) => {}
            }
        };
        // A grandchild that kept the pipe open must not hold us: what has come by now is what counts.
        let collect = |output: mpsc::Receiver<String>| output.recv_timeout(self.limit).unwrap_or_default();
        Ok(Some(Output { status, stdout: collect(stdout), stderr: collect(stderr) }))
    }
}

/// Starts a program that outlives this one: no terminal, no input, no output, its end is not waited for.
///
/// # Errors
/// It cannot be started.
pub fn start_detached(argv: &[&str]) -> Result<()> {
    let (program, arguments) = argv.split_first().context("running a program without a name")?;
    #[expect(clippy::disallowed_methods, reason = "this module runs programs")]
    std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // what a terminal or a shell sends to our group when it goes does not reach it
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", argv.join(" ")))?;
    Ok(())
}

/// Executes a program of the running system in the place of this one, with the same arguments and as the same process.
/// Returns only when that is not possible, with the reason.
pub fn become_program(path: &str) -> anyhow::Error {
    #[expect(clippy::disallowed_methods, reason = "this module runs programs")]
    let error = std::process::Command::new(path).args(std::env::args_os().skip(1)).exec();
    anyhow::Error::new(error).context(format!("executing {path}"))
}

fn capture(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (done, output) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut bytes = Vec::new();
        let read = (&mut pipe).take(OUTPUT_MAX).read_to_end(&mut bytes);
        if let Err(e) = read.and_then(|_| std::io::copy(&mut pipe, &mut std::io::sink())) {
            tracing::debug!("reading a program's output: {e}");
        }
        // Nobody waits for it any more when the time limit has passed.
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_status_of_a_program_come_back() {
        let out = Cmd::new(&["sh", "-c", "echo out; echo err >&2; exit 3"]).output().unwrap().unwrap();
        assert_eq!(
            (out.stdout.as_str(), out.stderr.as_str(), out.status.code()),
            ("out\n", "err\n", Some(3))
        );
    }

    #[test]
    fn a_hidden_argument_reaches_the_program_and_nothing_else() {
        let cmd = Cmd::new(&["sh", "-c", "echo \"$0\"; exit 3"]).with_hidden("hunter2");
        assert_eq!(cmd.output().unwrap().unwrap().stdout, "hunter2\n");
        let kept = serde_json::to_string(&cmd).unwrap();
        for shown in [cmd.line(), format!("{cmd:?}"), kept] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_missing_program_is_none() {
        assert!(Cmd::new(&["novactl-no-such-program"]).output().unwrap().is_none());
    }

    #[test]
    fn a_leashed_program_is_as_any_other() {
        let run = |script: &str| Cmd::new(&["sh", "-c", script]).leashed().output().unwrap().unwrap();
        let out = run("echo out; echo err >&2; read -r x; echo \"$x\"; exit 3");
        assert_eq!(
            (out.stdout.as_str(), out.stderr.as_str(), out.status.code()),
            ("out\n\n", "err\n", Some(3))
        );
        let killed = run("kill -TERM $$");
        assert!(!killed.status.success(), "{killed:?}");
        assert!(Cmd::new(&["no-such-program"]).leashed().output().unwrap().is_none());
    }

    #[test]
    fn a_program_is_stopped_when_that_is_asked_for() {
        let error = Cmd::new(&["sleep", "60"]).within(Duration::from_secs(60)).output_unless(&|| true);
        assert_eq!(error.unwrap_err().to_string(), "interrupted");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let cmd = Cmd::new(&["sh", "-c", "sleep 1000 & sleep 1000"]).within(Duration::from_millis(50));
        let error = cmd.output().unwrap_err().to_string();
        assert!(error.contains("killed"), "{error}");
    }

    #[test]
    fn a_program_that_writes_too_large_a_file_is_ended() {
        use std::os::unix::process::ExitStatusExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("large").to_string_lossy().into_owned();
        let cmd = Cmd::new(&["dd", "if=/dev/zero", &format!("of={file}"), "bs=4096"]);
        let output = cmd.writing_at_most(1 << 20).within(Duration::from_secs(10)).output().unwrap().unwrap();
        assert_eq!(output.status.signal(), Some(25), "{output:?}");
    }

    #[test]
    fn a_program_cannot_read_the_terminal() {
        let out = Cmd::new(&["cat"]).output().unwrap().unwrap();
        assert_eq!(out.stdout, "");
    }
}
