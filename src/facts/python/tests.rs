//! Pythons in roots made for the test.

use std::path::Path;

use super::*;
use crate::facts::agents::tests::{agent, link, put, unit};
use crate::facts::agents::{Kind as AgentKind, PythonCode};
use crate::facts::init::Enabled;
use proptest::prelude::*;

type Settings<'s> = &'s [(&'s str, &'s str)];

fn yes() -> Enabled {
    Enabled::Yes("link".to_owned())
}

fn with(line: &str, settings: &[(&str, &str)]) -> Agent {
    let mut agent = agent(AgentKind::Nova2, "2.1.25", vec![unit("nova-agent", yes(), settings)]);
    agent.python = Some(PythonCode { interpreter: Some(line.to_owned()), needs: vec![] });
    agent
}

fn looked_up(dir: &Path, agent: &Agent) -> Interpreter {
    Interpreter::of(&Root::open(dir).unwrap(), agent).unwrap().unwrap()
}

/// A Python as EL8 has it: the name leads through the alternatives to the platform's own.
fn el8(dir: &Path) {
    put(dir, "usr/libexec/platform-python3.6", b"\x7fELF");
    link(dir, "usr/bin/python3.6", "../libexec/platform-python3.6");
    link(dir, "etc/alternatives/python3", "/usr/bin/python3.6");
    link(dir, "usr/bin/python3", "/etc/alternatives/python3");
}

#[test]
fn the_first_python_in_the_path_of_the_service_counts() {
    let cases: [(&str, Settings<'_>, &str, (u32, u32)); 7] = [
        ("/usr/bin/env python3", &[], "usr/local/bin/python3", (3, 12)),
        ("/usr/bin/env -S python3 -u", &[], "usr/local/bin/python3", (3, 12)),
        ("/usr/bin/python3", &[], "usr/bin/python3", (3, 6)),
        ("/usr/bin/python3 -s", &[], "usr/bin/python3", (3, 6)),
        ("/usr/bin/env python3", &[("Environment", "PATH=/usr/bin:/bin")], "usr/bin/python3", (3, 6)),
        (
            "/usr/bin/env python3",
            &[("ExecStart", "/usr/bin/python3.6 /usr/bin/nova-agent --no-fork True")],
            "usr/bin/python3.6",
            (3, 6),
        ),
        ("/usr/bin/env python3", &[("ExecStart", "/usr/bin/nova-agent")], "usr/local/bin/python3", (3, 12)),
    ];
    let dir = tempfile::tempdir().unwrap();
    el8(dir.path());
    put(dir.path(), "usr/local/bin/python3.12", b"\x7fELF");
    link(dir.path(), "usr/local/bin/python3", "python3.12");
    for (line, settings, path, version) in cases {
        let found = looked_up(dir.path(), &with(line, settings));
        assert_eq!(
            (found.path.as_deref(), found.version),
            (Some(path), Some(version)),
            "{line} {settings:?}"
        );
    }
}

#[test]
fn a_missing_python_says_where_it_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    link(dir.path(), "usr/bin/python3", "/usr/bin/python3.4");
    let found =
        looked_up(dir.path(), &with("/usr/bin/env python3", &[("Environment", "PATH=/usr/bin:/opt")]));
    assert_eq!(
        (found.path, found.searched),
        (None, vec!["/usr/bin/python3".to_owned(), "/opt/python3".to_owned()])
    );
}

#[test]
fn an_init_script_may_set_its_own_path() {
    let script = "#!/bin/sh\n#PATH=/no\nPATH=$PATH:/x\n  export PATH=\"/sbin:/usr/local/bin\"; x\n";
    assert_eq!(script_path(script), Some("/sbin:/usr/local/bin"));
    assert_eq!(script_path("PATHS=/a\n"), None);
}

#[test]
fn a_wrapper_without_a_version_is_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "usr/local/bin/python3", "#!/bin/sh\nexec pyenv exec python3\n");
    let found = looked_up(dir.path(), &with("/usr/bin/env python3", &[]));
    assert_eq!(found.version, None);
    let root = Root::open(dir.path()).unwrap();
    assert_eq!(found.missing(&root, &["cryptography".to_owned()]).unwrap(), None);
}

#[test]
fn a_copy_is_told_by_the_only_library_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "opt/py/bin/python3", b"\x7fELF");
    put(dir.path(), "opt/py/lib/python3.9/os.py", "");
    let found = looked_up(dir.path(), &with("/opt/py/bin/python3", &[]));
    assert_eq!(found.version, Some((3, 9)));
}

fn missing(dir: &Path, agent: &Agent) -> Vec<Missing> {
    let root = Root::open(dir).unwrap();
    looked_up(dir, agent).missing(&root, &["cryptography".to_owned()]).unwrap().unwrap()
}

fn absent() -> Vec<Missing> {
    vec![Missing::Absent("cryptography".to_owned())]
}

#[test]
fn modules_are_found_where_each_distribution_has_them() {
    let places = [
        "usr/lib64/python3.6/site-packages",
        "usr/lib/python3.6/site-packages",
        "usr/lib/python3/dist-packages",
        "usr/local/lib/python3.6/dist-packages",
        "usr/local/lib/python3.6/site-packages",
    ];
    for place in places {
        let dir = tempfile::tempdir().unwrap();
        el8(dir.path());
        assert_eq!(missing(dir.path(), &with("/usr/bin/python3", &[])), absent());
        put(dir.path(), &format!("{place}/cryptography/__init__.py"), "");
        assert_eq!(missing(dir.path(), &with("/usr/bin/python3", &[])), [], "{place}");
    }
}

#[test]
fn a_python_of_its_own_prefix_does_not_see_the_distributions_modules() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "usr/local/bin/python3.12", b"\x7fELF");
    link(dir.path(), "usr/local/bin/python3", "python3.12");
    put(dir.path(), "usr/lib/python3/dist-packages/cryptography/__init__.py", "");
    assert_eq!(missing(dir.path(), &with("/usr/bin/env python3", &[])), absent());
}

#[test]
fn the_rest_of_a_removed_package_is_no_module() {
    let dir = tempfile::tempdir().unwrap();
    el8(dir.path());
    put(dir.path(), "usr/lib64/python3.6/site-packages/cryptography/__pycache__/x.pyc", "");
    assert_eq!(missing(dir.path(), &with("/usr/bin/python3", &[])), absent());
}

#[test]
fn a_compiled_part_for_another_python_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "usr/bin/python3.12", b"\x7fELF");
    link(dir.path(), "usr/bin/python3", "python3.12");
    let site = "usr/lib/python3/dist-packages";
    put(dir.path(), &format!("{site}/cryptography/__init__.py"), "");
    let agent = with("/usr/bin/env python3", &[]);
    assert_eq!(missing(dir.path(), &agent), []);
    let other = format!("{site}/_cffi_backend.cpython-310-x86_64-linux-gnu.so");
    put(dir.path(), &other, "");
    assert_eq!(missing(dir.path(), &agent), [Missing::Foreign("cryptography".to_owned(), other)]);
    put(dir.path(), &format!("{site}/_cffi_backend.cpython-312-x86_64-linux-gnu.so"), "");
    assert_eq!(missing(dir.path(), &agent), []);
}

#[test]
fn a_virtual_environment_sees_its_own_modules() {
    let dir = tempfile::tempdir().unwrap();
    el8(dir.path());
    link(dir.path(), "opt/venv/bin/python3", "/usr/bin/python3.6");
    put(dir.path(), "opt/venv/pyvenv.cfg", "include-system-site-packages = false\n");
    put(dir.path(), "usr/lib64/python3.6/site-packages/cryptography/__init__.py", "");
    let agent = with("/opt/venv/bin/python3", &[]);
    assert_eq!(missing(dir.path(), &agent), absent());
    put(dir.path(), "opt/venv/lib/python3.6/site-packages/cryptography/__init__.py", "");
    assert_eq!(missing(dir.path(), &agent), []);
}

#[test]
fn path_files_and_pythonpath_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    el8(dir.path());
    put(dir.path(), "usr/lib/python3.6/site-packages/easy-install.pth", "import sys\n./x.egg\n");
    put(dir.path(), "usr/lib/python3.6/site-packages/x.egg/cryptography.py", "");
    assert_eq!(missing(dir.path(), &with("/usr/bin/python3", &[])), []);
    let dir = tempfile::tempdir().unwrap();
    el8(dir.path());
    put(dir.path(), "opt/mods/cryptography/__init__.py", "");
    let agent = with("/usr/bin/python3", &[("Environment", "PYTHONPATH=/opt/mods")]);
    assert_eq!(missing(dir.path(), &agent), []);
}

proptest! {
    #[test]
    fn any_script_is_read_without_a_panic(text in "(\\PC{0,10}|\n|export |PATH=|/a|;|\"|ä)*") {
        script_path(&text);
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        asked_by(&words);
        interpreter_in(&words);
        numbers(&text);
    }
}
