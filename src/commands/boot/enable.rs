//! What makes a service start at boot: the links and variables that `systemctl enable`, `chkconfig`, `insserv`,
//! `rc-update` and `sysrc` would set.

use anyhow::{Context, Result, bail};

use super::{LEVELS, OTHER_LEVELS, UNITS, level_dir, script_from};
use crate::facts::init::{self, Enabled, Init, Service, Services, Unit};
use crate::plan::FileChange;
use crate::root::Root;

/// Where packages put their units.
const VENDOR: [&str; 3] = ["usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// The number of a script whose header names none.
const USUAL_NUMBER: u32 = 20;

/// insserv's list of what starts, which its runner reads instead of the numbers.
pub const DEPEND: &str = "etc/init.d/.depend.start";

/// Returns what makes a service start at boot; a mask is taken away.
///
/// # Errors
/// Its files cannot be read, or its init system is not known.
pub fn enable(root: &Root, services: &Services, service: &Service) -> Result<Vec<FileChange>> {
    let name = service.name.as_str();
    match service.init {
        Init::Systemd => in_systemd(root, services, service),
        Init::SysV => in_levels(root, service),
        Init::Upstart => in_upstart(root, service),
        Init::OpenRc => Ok(vec![FileChange::Link {
            path: format!("etc/runlevels/default/{name}"),
            to: format!("/etc/init.d/{name}"),
        }]),
        Init::BsdRc => in_rc_conf(root, name),
        Init::Unknown => bail!("{name} cannot be switched on here: its init system is not known"),
    }
}

fn in_systemd(root: &Root, services: &Services, service: &Service) -> Result<Vec<FileChange>> {
    let name = format!("{}.service", service.name);
    let mut changes = Vec::new();
    let (path, unit) = match (&service.enabled, &service.unit) {
        (Enabled::Masked(mask), _) => {
            if !mask.starts_with("etc/") {
                bail!("{name} is masked by {mask}, which is not the administrator's");
            }
            changes.push(FileChange::Remove { path: mask.clone() });
            below_mask(root, &name)?
        }
        (_, Some(unit)) => (service.path.clone(), unit.clone()),
        (_, None) => bail!("{name} has no unit"),
    };
    let to = format!("/{path}");
    let mut wanted = Vec::new();
    for (key, suffix) in [("WantedBy", "wants"), ("RequiredBy", "requires")] {
        wanted.extend(unit.words("Install", key).into_iter().map(|target| (target, suffix)));
    }
    // a boot that reaches none of them would not start it
    let boot = services.reachable(root)?;
    if wanted.iter().all(|(target, _)| !boot.contains_key(*target)) {
        wanted.push(("multi-user.target", "wants"));
    }
    let dirs = wanted.into_iter().map(|(target, suffix)| format!("{UNITS}/{target}.{suffix}/{name}"));
    let aliases = unit.words("Install", "Alias").into_iter().map(|alias| format!("{UNITS}/{alias}"));
    for path in dirs.chain(aliases.filter(|path| !path.ends_with(&format!("/{name}")))) {
        if !changes.iter().any(|change| change.path() == path) {
            changes.push(FileChange::Link { path, to: to.clone() });
        }
    }
    Ok(changes)
}

/// Returns the unit that a mask hides.
fn below_mask(root: &Root, name: &str) -> Result<(String, Unit)> {
    for dir in VENDOR {
        let path = format!("{dir}/{name}");
        if let Some(text) = root.text_opt(&path)? {
            let unit = Unit::of(&path, &text);
            return Ok((path, unit));
        }
    }
    bail!("{name} is masked, and no package has a unit of it")
}

/// What a script's header says of its links.
struct Header {
    levels: String,
    start: u32,
    stop: u32,
}

impl Header {
    fn of(script: &str) -> Self {
        let comments = || script.lines().filter_map(|line| Some(line.strip_prefix('#')?.trim()));
        let chkconfig = comments().find_map(|line| {
            let mut words = line.strip_prefix("chkconfig:")?.split_whitespace();
            let (levels, start) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Some(Self { levels, start, stop: words.next()?.parse().ok()? })
        });
        let of_lsb = || {
            let levels = comments().find_map(|line| line.strip_prefix("Default-Start:"));
            Self { levels: levels.unwrap_or_default().to_owned(), start: USUAL_NUMBER, stop: USUAL_NUMBER }
        };
        let header = chkconfig.unwrap_or_else(of_lsb);
        // `-`: in no runlevel unless somebody says so, as now
        let names_one = LEVELS.iter().any(|level| header.levels.contains(level));
        let levels = if names_one { header.levels } else { LEVELS.concat() };
        Self { levels, start: header.start.min(99), stop: header.stop.min(99) }
    }
}

fn in_levels(root: &Root, service: &Service) -> Result<Vec<FileChange>> {
    let name = service.name.as_str();
    let header = Header::of(&root.text_opt(&service.path)?.unwrap_or_default());
    let mut changes = Vec::new();
    for level in LEVELS.into_iter().chain(OTHER_LEVELS) {
        let dir = level_dir(root, level);
        let starts = header.levels.contains(level);
        if !starts && LEVELS.contains(&level) {
            continue;
        }
        let (letter, number) = if starts { ('S', header.start) } else { ('K', header.stop) };
        let mut is_there = false;
        for entry in root.read_dir(&dir)? {
            let Some(of) = letter_of(&entry.name, name) else { continue };
            is_there |= of == letter;
            if starts && of == 'K' {
                changes.push(FileChange::Remove { path: format!("{dir}/{}", entry.name) });
            }
        }
        if !is_there {
            let path = format!("{dir}/{letter}{number:02}{name}");
            changes.push(FileChange::Link { path, to: script_from(&dir, name) });
        }
    }
    if let Some(text) = root.text_opt(DEPEND)? {
        changes.push(FileChange::write(DEPEND, depends(&text, name, None)));
    }
    Ok(changes)
}

/// Reads the letter of `S15nova-agent`.
fn letter_of(link: &str, name: &str) -> Option<char> {
    let letter = link.chars().next().filter(|letter| matches!(letter, 'S' | 'K'))?;
    let number = link.get(1..3)?;
    (number.bytes().all(|byte| byte.is_ascii_digit()) && link.get(3..)? == name).then_some(letter)
}

/// Returns insserv's list with a script in it, which waits for another.
pub fn depends(text: &str, name: &str, after: Option<&str>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let has = |words: &str, word: &str| words.split_whitespace().any(|other| other == word);
    for line in lines.iter_mut().filter(|line| line.starts_with("TARGETS =")) {
        if !has(line, name) {
            line.push_str(&format!(" {name}"));
        }
    }
    if let Some(after) = after {
        let rule = format!("{name}:");
        match lines.iter_mut().find(|line| line.starts_with(&rule)) {
            Some(line) if has(line, after) => {}
            Some(line) => line.push_str(&format!(" {after}")),
            None => lines.push(format!("{rule} {after}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn in_upstart(root: &Root, service: &Service) -> Result<Vec<FileChange>> {
    let path = format!("etc/init/{}.override", service.name);
    let old = root.text_opt(&path)?;
    let is_manual = |line: &str| line.split_whitespace().eq(["manual"]);
    let mut text: String =
        old.iter().flat_map(|old| old.split_inclusive('\n')).filter(|line| !is_manual(line)).collect();
    let by_override = matches!(&service.enabled, Enabled::No(reason) if reason.starts_with(&path));
    if !by_override {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str("start on runlevel [2345]\n");
    }
    Ok(vec![if text.trim().is_empty() { FileChange::Remove { path } } else { FileChange::write(path, text) }])
}

/// In the line that counts, else in a new one of etc/rc.conf.
fn in_rc_conf(root: &Root, name: &str) -> Result<Vec<FileChange>> {
    let switch = init::rc_switch(root, name)?;
    let switch = switch.with_context(|| format!("{name} has no variable that switches it"))?;
    let (path, line) = match switch.place {
        Some((path, line)) => (path, Some(line)),
        None => ("etc/rc.conf".to_owned(), None),
    };
    let text = root.text_opt(&path)?.unwrap_or_default();
    let yes = format!("{}=\"YES\"\n", switch.variable);
    let mut out = String::new();
    for (number, old) in text.split_inclusive('\n').enumerate() {
        out.push_str(if Some(number + 1) == line { &yes } else { old });
    }
    if line.is_none() {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&yes);
    }
    Ok(vec![FileChange::write(path, out)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use crate::target::Target;
    use crate::xenstore::Source;

    /// Enables a service of a tree, and returns the changes in short and what the init system says then.
    fn enabled(tree: &Tree, name: &str) -> (Vec<String>, Enabled) {
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let service = target.services().named(&target.root, name).unwrap().unwrap();
        let changes = enable(&target.root, target.services(), &service).unwrap();
        let mut short = Vec::new();
        for change in &changes {
            let place = tree.path().join(change.path());
            let _ = std::fs::create_dir_all(place.parent().unwrap());
            match change {
                FileChange::Link { path, to } => {
                    std::os::unix::fs::symlink(to, &place).unwrap();
                    short.push(format!("{path} -> {to}"));
                }
                FileChange::Remove { path } => {
                    std::fs::remove_file(&place).unwrap();
                    short.push(format!("- {path}"));
                }
                FileChange::Write { path, body, .. } => {
                    std::fs::write(&place, body).unwrap();
                    short.push(format!("{path}: {}", String::from_utf8_lossy(body)));
                }
                FileChange::Restore { .. } => panic!("not made by hand"),
            }
        }
        let target = Target::offline(tree.path(), Source::None).unwrap();
        (short, target.services().named(&target.root, name).unwrap().unwrap().enabled)
    }

    const SYSTEMD: [(&str, &str); 3] = [
        ("usr/lib/systemd/systemd", ""),
        ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
        ("usr/lib/systemd/system/default.target", "[Unit]\nWants=multi-user.target\n"),
    ];

    fn systemd(files: &[(&str, &str)]) -> Tree {
        Tree::of(&[&SYSTEMD[..], files].concat()).link("sbin/init", "/usr/lib/systemd/systemd")
    }

    #[test]
    fn systemd_gets_the_links_of_install_and_loses_the_mask() {
        const UNIT: &str = "usr/lib/systemd/system/a.service";
        const WANTS: &str =
            "etc/systemd/system/multi-user.target.wants/a.service -> /usr/lib/systemd/system/a.service";
        let tree = systemd(&[(UNIT, "[Service]\n[Install]\nWantedBy=multi-user.target\nAlias=b.service\n")]);
        let (changes, by) = enabled(&tree, "a");
        let alias = "etc/systemd/system/b.service -> /usr/lib/systemd/system/a.service";
        assert_eq!(changes, [WANTS, alias]);
        assert!(matches!(by, Enabled::Yes(_)), "{by:?}");
        // a target that no boot reaches does not help
        let tree = systemd(&[(UNIT, "[Service]\n[Install]\nWantedBy=graphical.target\n")]);
        let (changes, by) = enabled(&tree, "a");
        assert_eq!((changes.len(), matches!(by, Enabled::Yes(_))), (2, true), "{changes:?}");
        let tree = systemd(&[(UNIT, "[Service]\n")]).link("etc/systemd/system/a.service", "/dev/null");
        let (changes, by) = enabled(&tree, "a");
        assert_eq!(changes, ["- etc/systemd/system/a.service", WANTS]);
        assert!(matches!(by, Enabled::Yes(_)), "{by:?}");
    }

    #[test]
    fn init_scripts_get_the_links_of_their_header() {
        const SCRIPT: &str = "#!/bin/sh\n# chkconfig: 35 14 86\n";
        let files =
            [("etc/inittab", "id:3:initdefault:\n"), ("etc/init.d/a", SCRIPT), ("etc/rc3.d/README", "")];
        let tree = Tree::of(&files).link("etc/rc3.d/K86a", "../init.d/a");
        std::fs::set_permissions(
            tree.path().join("etc/init.d/a"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let (changes, by) = enabled(&tree, "a");
        let links = ["3.d/S14a", "5.d/S14a", "0.d/K86a", "1.d/K86a", "6.d/K86a"];
        let mut expected = vec!["- etc/rc3.d/K86a".to_owned()];
        expected.extend(links.map(|link| format!("etc/rc{link} -> ../init.d/a")));
        assert_eq!(changes, expected);
        assert_eq!(by, Enabled::Yes("etc/rc3.d/S14a".to_owned()));
        let header = Header::of("#!/bin/sh\n### BEGIN INIT INFO\n# Default-Start: 2 3 4 5\n");
        assert_eq!((header.levels.trim(), header.start), ("2 3 4 5", 20));
        assert_eq!(Header::of("# chkconfig: - 85 15\n").levels, "2345");
    }

    #[test]
    fn insserv_knows_the_script_and_what_it_waits_for() {
        const LIST: &str = "TARGETS = rsyslog tools\nINTERACTIVE =\ntools: rsyslog\n";
        assert_eq!(
            depends(LIST, "agent", Some("tools")),
            "TARGETS = rsyslog tools agent\nINTERACTIVE =\ntools: rsyslog\nagent: tools\n"
        );
        assert_eq!(depends(LIST, "tools", Some("rsyslog")), LIST);
        assert_eq!(depends("a:\n", "a", Some("b")), "a: b\n");
    }

    #[test]
    fn freebsd_gets_yes_in_the_line_that_counts() {
        let script = "#!/bin/sh\nname=nova_agent\nrcvar=nova_agent_enable\n";
        for (files, expected) in [
            (
                vec![("etc/rc.conf", "sshd_enable=YES")],
                "etc/rc.conf: sshd_enable=YES\nnova_agent_enable=\"YES\"\n",
            ),
            (
                vec![
                    ("etc/rc.conf", "nova_agent_enable=YES\n"),
                    ("etc/rc.conf.local", "nova_agent_enable=no\nx=1\n"),
                ],
                "etc/rc.conf.local: nova_agent_enable=\"YES\"\nx=1\n",
            ),
        ] {
            let files = [files, vec![("etc/rc.d/nova-agent", script)]].concat();
            let root = Tree::of(&files);
            let changes = in_rc_conf(&root.root(), "nova-agent").unwrap();
            let [FileChange::Write { path, body, .. }] = &changes[..] else { panic!("{changes:?}") };
            assert_eq!(format!("{path}: {}", String::from_utf8_lossy(body)), expected);
        }
    }

    #[test]
    fn upstart_loses_its_manual_or_gets_a_start() {
        let service = |reason: &str| Service {
            name: "a".to_owned(),
            init: Init::Upstart,
            path: "etc/init/a.conf".to_owned(),
            enabled: Enabled::No(reason.to_owned()),
            unit: None,
            order: None,
        };
        let tree = Tree::of(&[("etc/init/a.override", "manual\n")]);
        let changes = in_upstart(&tree.root(), &service("etc/init/a.override:1: manual")).unwrap();
        assert_eq!(changes, [FileChange::Remove { path: "etc/init/a.override".to_owned() }]);
        let changes = in_upstart(&tree.root(), &service("etc/init/a.conf has no \"start on\"")).unwrap();
        assert_eq!(changes, [FileChange::write("etc/init/a.override", "start on runlevel [2345]\n")]);
    }
}
