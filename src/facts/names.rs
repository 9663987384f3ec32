//! The files that give a system its host name at boot, as its init system reads them.
//!
//! Which file counts depends on who reads it: a file that nothing on this system reads is no source. One more init
//! system is an arm in [`readers`].

use anyhow::Result;

use super::init::Init;
use super::os::Base;
use super::shell;
use crate::root::{Kind, Root};
use crate::target::Target;

/// Characters of a name that are kept; a real one has 64 at most.
const NAME_MAX: usize = 100;

/// A file that says a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: &'static str,
    /// The line, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The variable that it is the value of; `None` where the file is the name.
    pub variable: Option<&'static str>,
}

/// How a file says a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The first line that is no comment.
    Line,
    /// The last assignment of a variable.
    Variable(&'static str),
}

/// Returns what names the system at boot: first the file that decides, then those that others read. Empty when no
/// file says a name.
///
/// # Errors
/// A file cannot be read.
pub fn sources(target: &Target) -> Result<Vec<Source>> {
    let mut sources = said(target)?;
    if target.services().init == Init::OpenRc {
        // OpenRC init.d/hostname: the variable counts only where the file says nothing
        sources.truncate(1);
    }
    Ok(sources)
}

/// Returns every file that says a name, also one that another overrules.
///
/// # Errors
/// A file cannot be read.
pub fn said(target: &Target) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (path, form) in readers(target)? {
        if let Some((line, name)) = read(&target.root, path, form)? {
            let variable = match form {
                Form::Line => None,
                Form::Variable(variable) => Some(variable),
            };
            sources.push(Source { path, line, name, variable });
        }
    }
    Ok(sources)
}

/// Returns the file in which this system keeps its name.
///
/// # Errors
/// A path cannot be looked at.
pub fn home(target: &Target) -> Result<&'static str> {
    let readers = readers(target)?;
    // BSD's overriding files come first and are usually not there
    let home = if target.services().init == Init::BsdRc { readers.last() } else { readers.first() };
    Ok(home.map_or("etc/hostname", |(path, _)| path))
}

/// Returns the agents' backups of etc/hostname, the newest first.
///
/// # Errors
/// The directory cannot be read.
pub fn backups(root: &Root) -> Result<Vec<String>> {
    let is_backup = |name: &str| {
        name.strip_prefix("hostname.").is_some_and(|rest| rest.ends_with(".bak") || rest.ends_with(".bak~"))
    };
    let mut found = Vec::new();
    for entry in root.read_dir("etc")?.into_iter().filter(|entry| is_backup(&entry.name)) {
        let path = format!("etc/{}", entry.name);
        if let Some(stat) = root.lstat_opt(&path)?.filter(|stat| stat.kind == Kind::File) {
            found.push((stat.mtime, path));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Whether a name is only a placeholder for none.
pub fn is_placeholder(name: &str) -> bool {
    let short = name.split('.').next().unwrap_or_default();
    short.eq_ignore_ascii_case("localhost") || name == "(none)"
}

/// Whether two names are of one machine: one can have the domain that the other lacks.
pub fn agree(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let extends = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    extends(&one, &other) || extends(&other, &one)
}

/// The files that are read, the deciding one first.
fn readers(target: &Target) -> Result<Vec<(&'static str, Form)>> {
    const FILE: (&str, Form) = ("etc/hostname", Form::Line);
    const OLD_FILE: (&str, Form) = ("etc/HOSTNAME", Form::Line);
    const SYSCONFIG: (&str, Form) = ("etc/sysconfig/network", Form::Variable("HOSTNAME"));
    const CONF_D: (&str, Form) = ("etc/conf.d/hostname", Form::Variable("hostname"));
    const RC_CONF: (&str, Form) = ("etc/rc.conf", Form::Variable("hostname"));
    let mut readers = match (target.services().init, target.os().base) {
        // the old agent, and ifup where the kernel has no name yet, still read this one
        (Init::Systemd, Base::RedHat) => vec![FILE, SYSCONFIG],
        (Init::Systemd, Base::Suse) => vec![FILE, OLD_FILE],
        (Init::Systemd, _) => vec![FILE],
        (Init::OpenRc, _) => vec![FILE, CONF_D],
        // rc.subr: each file can override the one before
        (Init::BsdRc, _) => vec![
            ("etc/rc.conf.d/hostname", Form::Variable("hostname")),
            ("etc/rc.conf.local", Form::Variable("hostname")),
            RC_CONF,
        ],
        (Init::SysV | Init::Upstart, Base::RedHat) => vec![SYSCONFIG],
        (Init::SysV | Init::Upstart, Base::Suse) => vec![OLD_FILE],
        // where no file says which distribution it is, each of them can be the one
        (Init::SysV | Init::Upstart, Base::Unknown) => vec![FILE, SYSCONFIG, OLD_FILE],
        (Init::SysV | Init::Upstart, _) => vec![FILE],
        (Init::Unknown, _) => vec![FILE, SYSCONFIG, OLD_FILE, CONF_D, RC_CONF],
    };
    // openSUSE made it a link to the new one
    if target.root.link_opt(OLD_FILE.0)?.is_some() {
        readers.retain(|reader| *reader != OLD_FILE || target.services().init == Init::SysV);
    }
    Ok(readers)
}

fn read(root: &Root, path: &str, form: Form) -> Result<Option<(usize, String)>> {
    let Some(text) = root.text_opt(path)? else { return Ok(None) };
    let found = match form {
        Form::Line => text
            .lines()
            .enumerate()
            .map(|(place, line)| (place + 1, line.trim().to_owned()))
            .find(|(_, line)| !line.is_empty() && !line.starts_with('#')),
        Form::Variable(name) => shell::last(&text, name).map(|found| (found.line, found.value)),
    };
    Ok(found
        .map(|(line, name)| (line, name.trim().chars().take(NAME_MAX).collect::<String>()))
        .filter(|(_, name)| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::survey::tests::tree_of;
    use crate::xenstore;

    const SYSTEMD: [(&str, &str); 2] =
        [("usr/lib/systemd/systemd", "!"), ("sbin/init", "->/usr/lib/systemd/systemd")];
    const EL: (&str, &str) = ("etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n");

    fn of(files: &[(&str, &str)]) -> Vec<(&'static str, usize, String)> {
        let (dir, _root) = tree_of(files);
        let target = Target::offline(dir.path(), xenstore::Source::None).unwrap();
        sources(&target).unwrap().into_iter().map(|s| (s.path, s.line, s.name)).collect()
    }

    #[test]
    fn each_system_has_its_own_files() {
        let sysconfig = ("etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\nHOSTNAME=\"web02\"\n");
        let hostname = ("etc/hostname", "# by hand\n\n web01 \n");
        let el7 = [SYSTEMD[0], SYSTEMD[1], EL, hostname, sysconfig];
        assert_eq!(
            of(&el7),
            [("etc/hostname", 3, "web01".to_owned()), ("etc/sysconfig/network", 3, "web02".to_owned())]
        );
        let debian = [SYSTEMD[0], SYSTEMD[1], ("etc/os-release", "ID=debian\n"), hostname, sysconfig];
        assert_eq!(of(&debian), [("etc/hostname", 3, "web01".to_owned())]);
        // EL6 whose release file is lost
        assert_eq!(of(&[("etc/inittab", "id:3:initdefault:\n"), sysconfig])[0].2, "web02");
        assert_eq!(of(&[("etc/hostname", "\n# nothing\n")]), []);
        assert_eq!(of(&[]), []);
    }

    #[test]
    fn a_name_with_a_domain_agrees_with_the_one_without() {
        for (one, other, want) in [
            ("web01", "web01", true),
            ("web01", "WEB01.example.com", true),
            ("web01.example.com", "web01", true),
            ("web01", "web010", false),
            ("web01.example.com", "web01.example.org", false),
        ] {
            assert_eq!(agree(one, other), want, "{one} {other}");
        }
        assert!(is_placeholder("localhost.localdomain") && is_placeholder("(none)"));
        assert!(!is_placeholder("localhosted"));
    }
}
