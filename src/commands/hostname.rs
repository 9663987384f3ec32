//! The host name: what is asked, what a host name may be, and where a system keeps it.

use anyhow::Result;

use crate::exec::Cmd;
use crate::facts::identity;
use crate::facts::init::Init;
use crate::facts::os::Base;
use crate::plan::{FileChange, LiveStep, Needs};
use crate::root::{Kind, Root};
use crate::target::Target;

/// The longest host name, in bytes (`HOST_NAME_MAX`, linux/limits.h).
const NAME_MAX: usize = 64;
/// The longest label of one, in bytes (RFC 1123).
const LABEL_MAX: usize = 63;

/// What becomes of a name that the host asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hostname {
    /// It is taken as it is.
    Set(String),
    /// Its allowed form is taken.
    Sanitized(String),
    /// No host name can be made of it: the current one stays.
    Keep,
}

impl Hostname {
    /// Judges a name: `_` and blanks become `-`; what then is no host name is not used. A bad name never stops the
    /// network.
    pub fn of(asked: &str) -> Self {
        let asked = asked.trim();
        let name: String = asked.chars().map(|c| if c == '_' || c == ' ' { '-' } else { c }).collect();
        match is_valid(&name) {
            true if name == asked => Self::Set(name),
            true => Self::Sanitized(name),
            false => Self::Keep,
        }
    }

    /// Returns the name to set.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Set(name) | Self::Sanitized(name) => Some(name),
            Self::Keep => None,
        }
    }
}

fn is_valid(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // a name of digits alone reads as an address
    name.len() <= NAME_MAX
        && name.split('.').all(label)
        && name.bytes().any(|b| !b.is_ascii_digit() && b != b'.')
}

/// Returns what makes `name` the host name: every file of this system that says one, and the running kernel. Of a file
/// that is `planned` to be written, that text is taken.
///
/// # Errors
/// A file that says it cannot be read.
pub fn set(target: &Target, name: &str, planned: &[FileChange]) -> Result<(Vec<FileChange>, Vec<LiveStep>)> {
    let root = &target.root;
    let base = target.os().base;
    let mut files = Vec::new();
    let own_file = match base {
        Base::FreeBsd | Base::Gentoo => false,
        // EL6 and older, and SLES 11, have other files
        Base::RedHat | Base::Suse => target.services().init == Init::Systemd,
        _ => true,
    };
    if own_file || root.exists("etc/hostname") {
        files.push(FileChange::write("etc/hostname", format!("{name}\n")));
    }
    for (path, key) in [
        ("etc/sysconfig/network", "HOSTNAME"),
        ("etc/conf.d/hostname", "hostname"),
        ("etc/rc.conf", "hostname"),
        // read after it, the last one only by the script that sets the name
        ("etc/rc.conf.local", "hostname"),
        ("etc/rc.conf.d/hostname", "hostname"),
    ] {
        let Some(text) = text_of(root, path, planned)? else { continue };
        let is_main = path == "etc/sysconfig/network" && base == Base::RedHat && !own_file
            || path == "etc/rc.conf" && base == Base::FreeBsd;
        if let Some(new) = with_value(&text, key, name, is_main) {
            files.push(FileChange::write(path, new));
        }
    }
    if root.exists("etc/HOSTNAME") && root.link_opt("etc/HOSTNAME")?.is_none() {
        files.push(FileChange::write("etc/HOSTNAME", format!("{name}\n")));
    }
    let now = identity::hostname(root);
    let steps = match now {
        Some(now) if target.is_live() && now != name => {
            vec![LiveStep { run: kernel(target, name), back: Some(kernel(target, &now)), needs: Needs::Any }]
        }
        _ => Vec::new(),
    };
    Ok((files, steps))
}

/// Returns what a file will say, or says; `None` where there is none. On SUSE, `etc/sysconfig/network` is a directory.
fn text_of(root: &Root, path: &str, planned: &[FileChange]) -> Result<Option<String>> {
    for change in planned.iter().filter(|change| change.path() == path) {
        if let FileChange::Write { body, .. } = change {
            return Ok(Some(String::from_utf8_lossy(body).into_owned()));
        }
    }
    let is_file = root.stat_opt(path)?.is_some_and(|stat| stat.kind == Kind::File);
    if is_file { root.text_opt(path) } else { Ok(None) }
}

/// `hostname` is not everywhere (minimal containers), `sysctl` is wherever procps or busybox is.
fn kernel(target: &Target, name: &str) -> Cmd {
    if target.root.find_program("hostname").is_some() {
        Cmd::new(&["hostname", name])
    } else {
        Cmd::new(&["sysctl", "-q", "-w", &format!("kernel.hostname={name}")])
    }
}

/// Whether an assignment gives this value already, quoted or not.
fn is_set_to(line: &str, value: &str) -> bool {
    line.split_once('=').is_some_and(|(_, given)| given.trim().trim_matches(['"', '\'']) == value)
}

/// Returns the shell file with the last assignment of `key` changed; with none, only `append` adds one.
pub(crate) fn with_value(text: &str, key: &str, value: &str, append: bool) -> Option<String> {
    let is_it = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines.iter().rposition(|line| is_it(line)) {
        Some(at) if is_set_to(&lines[at], value) => return None,
        Some(at) => lines[at] = format!("{key}=\"{value}\""),
        None if append => lines.push(format!("{key}=\"{value}\"")),
        None => return None,
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_made_fit_or_left() {
        let set = |name: &str| Hostname::Set(name.to_owned());
        let fit = |name: &str| Hostname::Sanitized(name.to_owned());
        let long = "x".repeat(63);
        for (asked, result) in [
            ("web01", set("web01")),
            ("web01\n", set("web01")),
            ("Web-01.example.com", set("Web-01.example.com")),
            ("my_server", fit("my-server")),
            ("my server", fit("my-server")),
            (long.as_str(), set(&long)),
            ("", Hostname::Keep),
            ("-web", Hostname::Keep),
            ("web_", Hostname::Keep),
            ("a..b", Hostname::Keep),
            ("10.0.0.1", Hostname::Keep),
            ("$(reboot)", Hostname::Keep),
            ("a\nb", Hostname::Keep),
            ("bücher", Hostname::Keep),
            (&"x".repeat(64), Hostname::Keep),
            (&format!("{long}.{long}"), Hostname::Keep),
        ] {
            assert_eq!(Hostname::of(asked), result, "{asked:?}");
        }
    }

    #[test]
    fn the_last_assignment_is_changed_and_the_rest_stays() {
        let text = "# network\nHOSTNAME=a\nNETWORKING=yes\nHOSTNAME='b'\n";
        assert_eq!(
            with_value(text, "HOSTNAME", "web01", false).as_deref(),
            Some("# network\nHOSTNAME=a\nNETWORKING=yes\nHOSTNAME=\"web01\"\n")
        );
        assert_eq!(with_value("HOSTNAME=w\n", "HOSTNAME", "w", true), None);
        assert_eq!(with_value("A=1\n", "HOSTNAME", "w", false), None);
        assert_eq!(with_value("A=1", "HOSTNAME", "w", true).as_deref(), Some("A=1\nHOSTNAME=\"w\"\n"));
    }
}
