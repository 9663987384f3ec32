//! `agent-libraries`: what the binary of nova-agent 1.x needs to start.

use anyhow::Result;

use super::of_agent;
use super::remedy::{Hands, mended};
use crate::check::Finding;
use crate::facts::agents::binary::Binary;
use crate::facts::agents::{Agent, Kind};
use crate::root::Root;
use crate::target::Target;

/// Where the dynamic linkers of Linux and FreeBSD look by themselves, with Debian's directories per architecture.
const SYSTEM_DIRS: [&str; 9] = [
    "lib64",
    "lib",
    "usr/lib64",
    "usr/lib",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib/i386-linux-gnu",
    "usr/lib/i386-linux-gnu",
    "usr/local/lib",
];

/// The most directories that ld.so.conf.d adds.
const CONF_MAX: usize = 64;

pub(super) fn libraries(target: &Target) -> Result<Vec<Finding>> {
    of_agent(target, |agent| {
        if agent.kind != Kind::Nova1 {
            return Ok(vec![Finding::skipped(format!("{} has no libraries of its own", agent.title()))]);
        }
        let bytes = target.root.read(&agent.file)?;
        if !bytes.starts_with(b"\x7fELF") {
            return Ok(vec![Finding::skipped(format!("{} is a script", agent.file))]);
        }
        judge(&target.root, agent, &Binary::parse(&bytes)?, &Hands::of(target))
    })
}

fn judge(root: &Root, agent: &Agent, binary: &Binary, hands: &Hands) -> Result<Vec<Finding>> {
    let why = "the agent cannot start (error while loading shared libraries): password resets in the panel do nothing";
    let finding = |title: String| Finding::fail(title).because(why).about(&agent.program);
    let (text, commands) = hands.install();
    if let Some(linker) = binary.linker.as_ref().filter(|linker| !root.exists(linker)) {
        let found = finding(format!("{} is made for another C library", agent.title()))
            .seen(&agent.file, format!("needs {linker}"))
            .seen(linker.trim_start_matches('/'), "no such file");
        return Ok(vec![mended(found, text, commands)]);
    }
    let dirs = directories(root, agent, binary)?;
    let is_there = |name: &&String| dirs.iter().any(|dir| root.exists(&format!("{dir}/{name}")));
    let missing: Vec<&str> =
        binary.libraries.iter().filter(|name| !is_there(name)).map(String::as_str).collect();
    if let Some(first) = missing.first() {
        let found = finding(format!("{} lacks {}", agent.title(), missing.join(", ")))
            .seen(&agent.file, format!("needs {first}"))
            .seen(
                dirs.first().map_or("lib", String::as_str),
                format!("no {first}, nor in the system's directories"),
            );
        return Ok(vec![mended(found, text, commands)]);
    }
    if let Some(python) = binary.libraries.iter().find_map(|name| python_of(name))
        && !has_python(root, agent, python)
    {
        let found = finding(format!("{} lacks the modules of {python}", agent.title()))
            .because("the embedded Python ends with: ImportError: No module named site")
            .seen(
                agent.tree.as_deref().unwrap_or(&agent.file),
                format!("no lib/{python}/site.py, nor in usr/lib"),
            );
        return Ok(vec![mended(found, text, commands)]);
    }
    Ok(vec![
        Finding::ok(format!("{} libraries are there", binary.libraries.len())).seen(&agent.file, "all found"),
    ])
}

/// Returns where its libraries are looked for: the directory that its script exports in LD_LIBRARY_PATH, what it
/// names itself, what the system has.
fn directories(root: &Root, agent: &Agent, binary: &Binary) -> Result<Vec<String>> {
    let origin = agent.file.rsplit_once('/').map_or("", |(dir, _)| dir);
    let mut dirs: Vec<String> = agent.tree.iter().map(|tree| format!("{tree}/lib")).collect();
    dirs.extend(
        binary.directories.iter().map(|dir| dir.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin)),
    );
    dirs.extend(SYSTEM_DIRS.map(str::to_owned));
    let mut files = root.files_in("etc/ld.so.conf.d", ".conf")?;
    files.push("etc/ld.so.conf".to_owned());
    for file in files {
        let text = root.text_opt(&file)?.unwrap_or_default();
        dirs.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| line.starts_with('/'))
                .take(CONF_MAX)
                .map(str::to_owned),
        );
    }
    Ok(dirs)
}

/// Returns `python2.6` for `libpython2.6.so.1.0`.
fn python_of(library: &str) -> Option<&str> {
    library
        .strip_prefix("lib")?
        .split_once(".so")
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("python"))
}

fn has_python(root: &Root, agent: &Agent, python: &str) -> bool {
    let own = agent.tree.iter().map(|tree| format!("{tree}/lib"));
    let dirs = own.chain(["usr/lib64", "usr/lib", "usr/local/lib"].map(str::to_owned));
    let mut files = dirs.flat_map(|dir| ["site.py", "site.pyc"].map(|file| format!("{dir}/{python}/{file}")));
    files.any(|file| root.exists(&file))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{offline, verdicts};
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::binary::tests::elf;
    use crate::facts::agents::tests::{link, put};
    use std::path::Path;

    const TREE: &str = "usr/share/nova-agent/1.39.1";

    /// The old agent with all that it needs.
    fn root() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let bytes = elf("/lib64/ld-linux-x86-64.so.2", &["libc.so.6", "libpython2.6.so.1.0"], None);
        put(dir.path(), &format!("{TREE}/sbin/nova-agent"), bytes);
        link(dir.path(), "usr/sbin/nova-agent", &format!("/{TREE}/sbin/nova-agent"));
        put(dir.path(), &format!("{TREE}/lib/libpython2.6.so.1.0"), "");
        put(dir.path(), &format!("{TREE}/lib/python2.6/site.pyc"), "");
        put(dir.path(), "lib64/ld-linux-x86-64.so.2", "");
        put(dir.path(), "lib64/libc.so.6", "");
        dir
    }

    #[expect(clippy::disallowed_methods, reason = "breaks the root that is read")]
    fn without(path: &str) -> Vec<Finding> {
        let dir = root();
        std::fs::remove_file(dir.path().join(path)).unwrap();
        found(dir.path())
    }

    fn found(dir: &Path) -> Vec<Finding> {
        libraries(&offline(dir)).unwrap()
    }

    #[test]
    fn a_whole_installation_is_ok() {
        assert_eq!(verdicts(&found(root().path())), [(Status::Ok, "2 libraries are there")]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            ("lib64/ld-linux-x86-64.so.2", "nova-agent 1.39.1 is made for another C library"),
            (
                "usr/share/nova-agent/1.39.1/lib/libpython2.6.so.1.0",
                "nova-agent 1.39.1 lacks libpython2.6.so.1.0",
            ),
            ("lib64/libc.so.6", "nova-agent 1.39.1 lacks libc.so.6"),
            (
                "usr/share/nova-agent/1.39.1/lib/python2.6/site.pyc",
                "nova-agent 1.39.1 lacks the modules of python2.6",
            ),
        ];
        for (path, title) in cases {
            assert_eq!(verdicts(&without(path)), [(Status::Fail, title)]);
        }
    }

    #[test]
    fn a_library_of_the_systems_directories_counts() {
        let dir = root();
        put(dir.path(), "etc/ld.so.conf.d/x.conf", "# comment\n/opt/py/lib\n");
        put(dir.path(), "opt/py/lib/libpython2.6.so.1.0", "");
        assert_eq!(found(dir.path())[0].status, Status::Ok);
    }

    #[test]
    fn a_directory_that_the_binary_names_counts() {
        let dir = root();
        let bytes = elf("/lib64/ld-linux-x86-64.so.2", &["libc.so.6", "libx.so"], Some("$ORIGIN/../own"));
        put(dir.path(), &format!("{TREE}/sbin/nova-agent"), bytes);
        assert_eq!(verdicts(&found(dir.path())), [(Status::Fail, "nova-agent 1.39.1 lacks libx.so")]);
        put(dir.path(), &format!("{TREE}/own/libx.so"), "");
        assert_eq!(found(dir.path())[0].status, Status::Ok);
    }

    #[test]
    fn a_damaged_binary_is_an_error_and_a_script_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "usr/sbin/nova-agent", b"\x7fELF\x02\x01");
        assert!(libraries(&offline(dir.path())).is_err());
        put(dir.path(), "usr/sbin/nova-agent", "#!/bin/sh\nexec x nova-agent.py\n");
        assert_eq!(found(dir.path())[0].status, Status::Skipped);
    }
}
