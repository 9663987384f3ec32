//! System V init scripts: their start links, their headers, and who runs them.
//!
//! The links are run by init itself, by upstart's rc job, or stand for units that systemd-sysv-generator makes. A
//! header (chkconfig, LSB) only says what chkconfig or insserv would do.

use std::collections::BTreeMap;

use anyhow::Result;

use super::boot::Pulled;
use super::{Enabled, Init, Order, Service};
use crate::facts::os::Base;
use crate::facts::shell;
use crate::root::{Kind, Root};

/// Directories of init scripts: etc/init.d is a link to the other one in the RHEL family, when chkconfig is there.
const SCRIPT_DIRS: [&str; 2] = ["etc/init.d", "etc/rc.d/init.d"];

/// Runlevels whose start links are facts: the multi-user ones, and Debian's scripts of early boot.
const LEVELS: [char; 5] = ['S', '2', '3', '4', '5'];

/// Who runs the start links.
pub(super) enum Runner<'b> {
    /// init or upstart, in this runlevel.
    Runlevel(char),
    /// systemd, which makes a unit of each script; with the units that its boot pulls in.
    Generator(&'b BTreeMap<String, Pulled>),
}

/// Returns the init script of this name as a service.
///
/// # Errors
/// The script or a directory of links cannot be read.
pub(super) fn named(root: &Root, runner: &Runner<'_>, name: &str) -> Result<Option<Service>> {
    let Some(path) = script_path(root, name) else { return Ok(None) };
    let text = root.text_opt(&path)?.unwrap_or_default();
    let mut header = Header::of(&text);
    if let Some(text) = root.text_opt(&format!("etc/insserv/overrides/{name}"))? {
        header.lsb = Header::of(&text).lsb;
    }
    let links = links(root, name)?;
    let enabled = match runner {
        Runner::Runlevel(level) => in_runlevel(root, &links, *level, &header),
        Runner::Generator(boot) => generated(root, &path, &links, boot, &header),
    };
    let starts = links.into_iter().filter(|link| link.starts).map(|link| (link.dir, link.number)).collect();
    let Lsb { provides, after, .. } = header.lsb;
    let order = Some(Order { starts, after, provides });
    Ok(Some(Service { name: name.to_owned(), init: Init::SysV, path, enabled, unit: None, order }))
}

/// Returns the runlevel that init enters at boot.
///
/// # Errors
/// A file cannot be read.
pub(super) fn default_runlevel(root: &Root, base: Base) -> Result<char> {
    if let Some(level) = root.text_opt("etc/inittab")?.as_deref().and_then(initdefault) {
        return Ok(level);
    }
    if let Some(text) = root.text_opt("etc/init/rc-sysinit.conf")? {
        let level = text.lines().find_map(|line| {
            let value = shell::last(line.trim().strip_prefix("env ")?, "DEFAULT_RUNLEVEL")?.value;
            value.chars().next()
        });
        if let Some(level) = level {
            return Ok(level);
        }
    }
    Ok(if base == Base::Debian { '2' } else { '3' })
}

/// `id:3:initdefault:`
fn initdefault(inittab: &str) -> Option<char> {
    let lines = inittab.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut fields = line.split(':').skip(1);
            let level = fields.next()?.trim().chars().next()?;
            (fields.next()?.trim() == "initdefault").then_some(level)
        })
        .next()
}

fn script_path(root: &Root, name: &str) -> Option<String> {
    let mut paths = SCRIPT_DIRS.iter().map(|dir| format!("{dir}/{name}"));
    // A link that leads nowhere is a script all the same: that it cannot start is the finding.
    paths.find(|path| matches!(root.lstat_opt(path), Ok(Some(stat)) if stat.kind != Kind::Dir))
}

/// A link of a script in the directory of a runlevel.
#[derive(Debug)]
struct Link {
    level: char,
    dir: String,
    path: String,
    /// S, not K.
    starts: bool,
    number: u32,
}

fn links(root: &Root, name: &str) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for level in LEVELS {
        let dir = rc_dir(root, level);
        for entry in root.read_dir(&dir)? {
            let Some((starts, number, of)) = parts(&entry.name) else { continue };
            let path = format!("{dir}/{}", entry.name);
            let is_of_script = of == name
                || entry.is_link
                    && root.link_opt(&path)?.is_some_and(|to| to.rsplit('/').next() == Some(name));
            if is_of_script {
                links.push(Link { level, dir: dir.clone(), path, starts, number });
            }
        }
    }
    Ok(links)
}

/// The directory of a runlevel: RHEL's, SUSE's, everybody else's.
fn rc_dir(root: &Root, level: char) -> String {
    let dirs = [format!("etc/rc.d/rc{level}.d"), format!("etc/init.d/rc{level}.d")];
    dirs.into_iter().find(|dir| root.exists(dir)).unwrap_or_else(|| format!("etc/rc{level}.d"))
}

/// Takes `S15nova-agent` apart.
fn parts(link: &str) -> Option<(bool, u32, &str)> {
    let (letter, rest) = link.split_at_checked(1)?;
    let (number, name) = rest.split_at_checked(2)?;
    matches!(letter, "S" | "K").then_some((letter == "S", number.parse().ok()?, name))
}

fn in_runlevel(root: &Root, links: &[Link], level: char, header: &Header) -> Enabled {
    let mut here = links.iter().filter(|link| link.level == level || link.level == 'S');
    if let Some(link) = here.clone().find(|link| link.starts) {
        // etc/rc.d/rc, etc/init.d/rc: what may not be executed is passed over
        return match is_program(root, &link.path) {
            true => Enabled::Yes(link.path.clone()),
            false => Enabled::No(format!("{} leads to no program", link.path)),
        };
    }
    Enabled::No(match here.next() {
        Some(link) => link.path.clone(),
        None => format!("no start link in {}{}", rc_dir(root, level), header.hint()),
    })
}

/// What systemd-sysv-generator makes of the links (systemd, src/sysv-generator/sysv-generator.c).
fn generated(
    root: &Root,
    script: &str,
    links: &[Link],
    boot: &BTreeMap<String, Pulled>,
    header: &Header,
) -> Enabled {
    if !has_generator(root) {
        return Enabled::No("this systemd has no systemd-sysv-generator for init scripts".to_owned());
    }
    if !is_program(root, script) {
        return Enabled::No(format!("{script} leads to no program"));
    }
    let mut starts = links.iter().filter(|link| link.starts);
    let Some(first) = starts.clone().next() else {
        return Enabled::No(format!("no start link in {}{}", rc_dir(root, '3'), header.hint()));
    };
    let target = |link: &Link| match link.level {
        '5' => "graphical.target",
        // up to Debian 8 the generator has rcS.d (debian/patches/Add-support-for-rcS.d-init-scripts-to-the-sysv-gener);
        // later a script that stands there has a unit, which wins
        'S' => "sysinit.target",
        _ => "multi-user.target",
    };
    match starts.find(|link| boot.contains_key(target(link))) {
        Some(link) => Enabled::Yes(link.path.clone()),
        None => Enabled::No(format!("{}, but {} is not started at boot", first.path, target(first))),
    }
}

/// Whether systemd makes units of init scripts: newer builds leave that out.
fn has_generator(root: &Root) -> bool {
    ["usr/lib/systemd/system-generators", "lib/systemd/system-generators"]
        .iter()
        .any(|dir| root.exists(&format!("{dir}/systemd-sysv-generator")))
}

fn is_program(root: &Root, path: &str) -> bool {
    matches!(root.stat_opt(path), Ok(Some(stat)) if stat.kind == Kind::File && stat.mode & 0o111 != 0)
}

/// What the comments at the head of a script say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    /// `# chkconfig: 2345 15 85`
    chkconfig: Option<String>,
    lsb: Lsb,
}

/// The block between `### BEGIN INIT INFO` and `### END INIT INFO`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lsb {
    provides: Vec<String>,
    after: Vec<String>,
    default_start: Option<String>,
}

impl Header {
    fn of(script: &str) -> Self {
        let mut header = Self::default();
        let mut is_lsb = false;
        for line in script.lines() {
            let Some(comment) = line.strip_prefix('#') else { continue };
            match comment.trim() {
                "## BEGIN INIT INFO" => is_lsb = true,
                "## END INIT INFO" => is_lsb = false,
                comment => {
                    if let Some((key, value)) = comment.split_once(':') {
                        header.take(key, value.trim(), is_lsb);
                    }
                }
            }
        }
        header
    }

    fn take(&mut self, key: &str, value: &str, is_lsb: bool) {
        let words = || value.split_whitespace().map(str::to_owned);
        match key.to_ascii_lowercase().as_str() {
            "chkconfig" if !is_lsb => self.chkconfig = self.chkconfig.take().or(Some(value.to_owned())),
            "provides" if is_lsb => self.lsb.provides.extend(words()),
            "required-start" | "should-start" if is_lsb => self.lsb.after.extend(words()),
            "default-start" if is_lsb => self.lsb.default_start = Some(value.to_owned()),
            _ => {}
        }
    }

    /// What enabling it would do.
    fn hint(&self) -> String {
        match (&self.chkconfig, &self.lsb.default_start) {
            (Some(line), _) => format!("; its header says chkconfig: {line}"),
            (None, Some(levels)) => format!("; its header says Default-Start: {levels}"),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
