//! `agentupdate`: another release of this program in its own place, or the reason why not.
//!
//! The host sends no signature, only a URL and an MD5 that come the same way. So the file has to be what it says: see
//! [`release`] for what is asked of it, and it has to start here. A nova-agent archive, with an installer that would be
//! run, is never one. Only the program that `novactl agent install` put in place is replaced.

mod release;

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use md5::{Digest, Md5};
use serde::Deserialize;

use super::Reply;
use crate::exec::Cmd;
use crate::facts::agents::NOVACTL_PROGRAM;
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{FileNode, Node, Root};
use crate::target::Target;

/// The largest release that is fetched, in bytes.
const RELEASE_MAX: u64 = 32 << 20;

/// The verb in the journal.
pub const VERB: &str = "agentupdate";

/// How long fetching may take; the host gives a command 30 s.
const LIMIT: Duration = Duration::from_secs(20);

/// Where a release is tried out: beside the installed one, since /tmp and /run can be mounted `noexec`. One that a kill
/// left there is overwritten and removed when the request, which is still in the store, is served again.
const TRIAL: &str = "usr/sbin/.novactl.trial";

/// How long a release may take to say its version.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

/// The longest URL, in bytes; a node of the store holds no more.
const URL_MAX: usize = 2048;

/// The number of the signal for a file that grows beyond its limit (signal(7), `SIGXFSZ`, x86 and ARM).
const SIGXFSZ: i32 = 25;

/// A release to fetch.
#[derive(Clone, PartialEq, Eq)]
pub struct Update {
    url: String,
    /// 32 hexadecimal digits in lower case.
    md5: String,
}

impl std::fmt::Debug for Update {
    // a URL can hold a key
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Update({})", self.md5)
    }
}

/// A release that may take the place of the installed one.
pub struct Successor {
    program: Vec<u8>,
    /// What its mark says.
    version: String,
}

/// The value before 2013-11 (nova, `virt/xenapi/agent.py`).
#[derive(Deserialize)]
struct Members {
    url: String,
    md5sum: String,
}

impl Update {
    /// Reads the value: `<url>,<md5>`, or an object of `url` and `md5sum`, also as text.
    ///
    /// # Errors
    /// It is not of that form, or the URL is not one of http or https.
    pub fn parse(json: &str) -> Result<Self, Reply> {
        let refused = |why: &str| Reply::failed(format!("agentupdate: {why}"));
        let text = serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
        let (url, md5) = if text.trim_start().starts_with('{') {
            let members: Members =
                serde_json::from_str(&text).map_err(|_| refused("the value has no url and md5sum"))?;
            (members.url, members.md5sum)
        } else {
            // a URL can have commas
            let (url, md5) = text.rsplit_once(',').ok_or_else(|| refused("the value is not URL,MD5"))?;
            (url.to_owned(), md5.to_owned())
        };
        if !is_http(&url) {
            return Err(refused("the URL is not a plain one of http or https"));
        }
        let md5 = md5.trim().to_ascii_lowercase();
        if md5.len() != 32 || !md5.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused("the MD5 is not 32 hexadecimal digits"));
        }
        Ok(Self { url, md5 })
    }

    /// Fetches the release that is to take the place of the one that is installed.
    ///
    /// # Errors
    /// This program is not the installed one, the file cannot be fetched, or is not what it has to be.
    pub fn propose(&self, target: &Target) -> Result<Successor> {
        let installed = installed(target)?;
        let program = self.fetch(LIMIT)?;
        let version = self.judge(&program, &installed)?;
        Ok(Successor { program, version })
    }

    /// Returns the version of what was fetched, when it may take the place of `installed`.
    fn judge(&self, program: &[u8], installed: &[u8]) -> Result<String> {
        let found: String = Md5::digest(program).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != self.md5 {
            bail!("the file that was fetched has the MD5 {found}, and the host says {}", self.md5);
        }
        release::successor(program, installed)
    }

    /// Fetches with what the running system has: curl, else wget.
    fn fetch(&self, limit: Duration) -> Result<Vec<u8>> {
        // a directory of our own, which nobody else may enter
        let dir = tempfile::Builder::new().prefix("novactl-").tempdir().context("making a directory")?;
        let place = dir.path().join("program");
        let place = place.to_string_lossy();
        let curl = ["curl", "--disable", "--silent", "--show-error", "--fail", "--globoff"];
        let only_http = ["--location", "--proto", "=http,https", "--proto-redir", "=http,https"];
        let curl = [curl.as_slice(), &only_http, &["--output", &place, "--"]].concat();
        let wget = ["wget", "-q", "-O", &place, "--"];
        for argv in [curl.as_slice(), &wget] {
            let cmd = Cmd::new(argv).with_hidden(&self.url).within(limit).writing_at_most(RELEASE_MAX);
            let Some(output) = cmd.output().context("fetching the release")? else { continue };
            if output.status.signal() == Some(SIGXFSZ) {
                bail!("the file at the URL is larger than {RELEASE_MAX} bytes");
            }
            if !output.status.success() {
                let said = output.stderr.lines().last().unwrap_or("it says nothing");
                bail!("fetching the release: {} ended with {}: {said}", argv[0], output.status);
            }
            return Root::open(dir.path())?.read("program");
        }
        bail!("neither curl nor wget is installed: there is nothing to fetch the release with")
    }
}

impl Successor {
    /// Starts the release beside the installed one, and hears which one it is. That comes before it takes the place: a
    /// release that does not start could not take itself back when power fails before anybody has looked.
    ///
    /// # Errors
    /// It does not start, or is another one than its mark says.
    pub fn try_out(&self, target: &Target) -> Result<()> {
        // a program of a system that does not run is not started
        if !target.is_live() {
            return Ok(());
        }
        let body = self.program.clone();
        let trial = FileNode { body, mode: 0o700, uid: 0, gid: 0, xattrs: Vec::new(), mtime: None };
        let tried = target.root.put(TRIAL, &Node::File(trial)).and_then(|_| self.start());
        let removed = target.root.put(TRIAL, &Node::Absent);
        tried.and(removed.map(drop))
    }

    /// Returns what puts it in place.
    pub fn into_plan(self) -> Plan {
        let file = FileChange::Write {
            path: NOVACTL_PROGRAM.to_owned(),
            body: self.program,
            mode: Some(0o755),
            secret: Secrecy::Open,
        };
        let title = format!("put novactl {} in place", self.version);
        Plan { verb: VERB, title, files: vec![file], ..Plan::default() }
    }

    fn start(&self) -> Result<()> {
        let program = format!("/{TRIAL}");
        let cmd = Cmd::new(&[&program, "--version"]).within(STARTS_WITHIN);
        let output = cmd.output().context("starting the new release")?;
        let output = output.context("the file that was fetched is no program that can be started")?;
        if !output.status.success() {
            bail!("novactl {} does not start here: {}", self.version, output.status);
        }
        if output.stdout != format!("novactl {}\n", self.version) {
            bail!("the mark says novactl {}, and the program another release", self.version);
        }
        Ok(())
    }
}

/// Whether it is a URL of http or https that is one word.
fn is_http(url: &str) -> bool {
    let host = ["http://", "https://"].iter().find_map(|scheme| {
        let is_it = url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        is_it.then(|| &url[scheme.len()..])
    });
    url.len() <= URL_MAX
        && url.bytes().all(|byte| byte.is_ascii_graphic())
        && host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
}

/// Returns the program that would be replaced.
fn installed(target: &Target) -> Result<Vec<u8>> {
    let Some(path) = target.root.resolve(NOVACTL_PROGRAM)? else {
        bail!("{NOVACTL_PROGRAM} is not there: novactl agent install puts it in place");
    };
    if target.is_live() {
        let own = std::env::current_exe().context("looking for the own program")?;
        let name = own.to_string_lossy();
        // so the kernel says where another file has taken its place, as after an update that was taken back
        let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
        if name.trim_start_matches('/') != path {
            bail!("this program is {}, not /{path}: only an installed one is replaced", own.display());
        }
    }
    target.root.read(&path)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;
    use crate::xenstore::Source;

    const MD5: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn the_value_is_read_as_hosts_of_every_age_send_it() {
        for (value, url) in [
            (format!("\"http://h/a,{MD5}\""), "http://h/a"),
            (format!("\"HTTPS://h/a,b?c=1,2,{MD5}\\n\""), "HTTPS://h/a,b?c=1,2"),
            (format!(r#"{{"url": "https://[::1]:8/a", "md5sum": "{MD5}", "x": 1}}"#), "https://[::1]:8/a"),
            (format!(r#""{{\"url\": \"http://h/\", \"md5sum\": \"{MD5}\"}}""#), "http://h/"),
        ] {
            let want = Update { url: url.to_owned(), md5: MD5.to_ascii_lowercase() };
            assert!(Update::parse(&value) == Ok(want), "{value}");
        }
    }

    #[test]
    fn what_is_no_url_and_md5_is_refused_with_the_reason() {
        let url = "the URL is not a plain one of http or https";
        for (value, why) in [
            ("\"\"".to_owned(), "the value is not URL,MD5"),
            ("7".to_owned(), "the value is not URL,MD5"),
            ("{\"url\": \"http://h/\"}".to_owned(), "the value has no url and md5sum"),
            ("\"http://h/a,0\"".to_owned(), "the MD5 is not 32 hexadecimal digits"),
            (format!("\"file:///etc/shadow,{MD5}\""), url),
            (format!("\"ftp://h/a,{MD5}\""), url),
            (format!("\"--config=/x,{MD5}\""), url),
            (format!("\"http://-h/a,{MD5}\""), url),
            (format!("\"http://h/a b,{MD5}\""), url),
            (format!("\"http://h/a\\nb,{MD5}\""), url),
            (format!("\"http://h/{},{MD5}\"", "x".repeat(URL_MAX)), url),
        ] {
            let reply = Update::parse(&value).unwrap_err();
            assert_eq!((reply.code(), reply.message()), ("500", &*format!("agentupdate: {why}")), "{value}");
        }
    }

    #[test]
    fn a_server_that_hangs_is_given_up() {
        let Ok(_) = which::which("curl").or_else(|_| which::which("wget")) else { return };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // it connects, and nobody answers
        let url = format!("http://{}/secret", listener.local_addr().unwrap());
        let update = Update { url, md5: MD5.to_owned() };
        let error = format!("{:#}", update.fetch(Duration::from_millis(300)).unwrap_err());
        assert!(error.starts_with("fetching the release: running "), "{error}");
        assert!(error.ends_with("no end within 0.3 s, killed") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn only_the_installed_program_is_replaced() {
        let update = Update { url: "http://127.0.0.1:1/".to_owned(), md5: MD5.to_owned() };
        let dir = tempfile::tempdir().unwrap();
        let target = Target::offline(dir.path(), Source::None).unwrap();
        let error = update.propose(&target).err().unwrap().to_string();
        assert_eq!(error, "usr/sbin/novactl is not there: novactl agent install puts it in place");
        let live = Target::pretending_to_be_live(dir.path());
        let installed = dir.path().join(NOVACTL_PROGRAM);
        std::fs::create_dir_all(installed.parent().unwrap()).unwrap();
        std::fs::write(installed, "x").unwrap();
        let error = update.propose(&live).err().unwrap().to_string();
        assert!(error.ends_with("not /usr/sbin/novactl: only an installed one is replaced"), "{error}");
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(text in "\\PC{0,100}|\"https?://[a-z,/]{0,20},[0-9a-f]{30,34}\"") {
            let _ = Update::parse(&text);
        }
    }
}
