//! Roots with agents in them, and agents by hand for the checks' tests.

use super::*;
use crate::facts::init::{Init, Setting, Unit};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Writes a file of a root that a test examines.
#[expect(clippy::disallowed_methods, reason = "makes the root that is read")]
pub(crate) fn put(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Makes a link in a root that a test examines.
#[expect(clippy::disallowed_methods, reason = "makes the root that is read")]
pub(crate) fn link(root: &Path, path: &str, to: &str) {
    std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    symlink(to, root.join(path)).unwrap();
}

/// Returns a service of systemd with these lines of its `[Service]` section.
pub(crate) fn unit(name: &str, enabled: Enabled, settings: &[(&str, &str)]) -> Service {
    let path = format!("usr/lib/systemd/system/{name}.service");
    let of = |(line, (key, value)): (usize, &(&str, &str))| {
        let section = if matches!(*key, "After" | "Before" | "DefaultDependencies" | "RequiresMountsFor") {
            "Unit"
        } else {
            "Service"
        };
        Setting {
            section: section.to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            source: format!("{path}:{}", line + 1),
        }
    };
    let settings = settings.iter().enumerate().map(of).collect();
    let unit = Some(Unit { settings });
    Service { name: name.to_owned(), init: Init::Systemd, path, enabled, unit, order: None }
}

/// Returns an agent as a stock installation has it.
pub(crate) fn agent(kind: Kind, version: &str, services: Vec<Service>) -> Agent {
    let (program, tree) = match kind {
        Kind::Nova1 => ("usr/sbin/nova-agent", Some(format!("usr/share/nova-agent/{version}"))),
        Kind::Novactl => ("usr/sbin/novactl", None),
        _ => ("usr/bin/nova-agent", None),
    };
    let python = (kind == Kind::Nova2).then(|| PythonCode {
        interpreter: Some("/usr/bin/env python3".to_owned()),
        needs: vec!["cryptography".to_owned()],
    });
    Agent {
        kind,
        version: Some(version.to_owned()),
        version_source: Some(program.to_owned()),
        program: program.to_owned(),
        file: program.to_owned(),
        python,
        tree,
        package: None,
        services,
    }
}

const EXEC: (&str, &str) = ("ExecStart", "/usr/bin/nova-agent --no-fork True");

fn agents(dir: &Path) -> Agents {
    let root = Root::open(dir).unwrap();
    Agents::of(&root, &Services::of(&root, &crate::facts::os::Os::of(&root)))
}

fn facts(agents: &Agents) -> Vec<(Kind, Option<&str>, Option<&str>, &str)> {
    let all = agents.all.iter();
    all.map(|a| (a.kind, a.version.as_deref(), a.version_source.as_deref(), a.program.as_str())).collect()
}

fn two(dir: &Path, path: &str) {
    let entries = [("novaagent/__init__.py", "__version__ = '2.1.25'\n")];
    put(dir, path, zip_application("#!/usr/bin/env python3", &entries));
}

#[test]
fn a_zip_application_is_found_wherever_it_was_put() {
    for path in
        ["usr/bin/nova-agent", "usr/sbin/nova-agent", "usr/local/bin/nova-agent", "opt/agent/nova-agent"]
    {
        let dir = tempfile::tempdir().unwrap();
        two(dir.path(), path);
        let source = format!("{path} (novaagent/__init__.py)");
        let want = (Kind::Nova2, Some("2.1.25"), Some(source.as_str()), path);
        assert_eq!(facts(&agents(dir.path())), [want]);
    }
}

#[test]
fn merged_directories_hold_one_agent() {
    let dir = tempfile::tempdir().unwrap();
    two(dir.path(), "usr/bin/nova-agent");
    link(dir.path(), "usr/sbin", "bin");
    assert_eq!(agents(dir.path()).all.len(), 1);
}

#[test]
fn a_pip_installation_has_its_version_in_site_packages() {
    for site in
        ["usr/local/lib/python3.9/site-packages", "usr/lib/python3/dist-packages/novaagent-2.1.16.egg"]
    {
        let dir = tempfile::tempdir().unwrap();
        let script = "#!/usr/bin/python3.9\nfrom pkg_resources import load_entry_point\nload('novaagent')\n";
        put(dir.path(), "usr/local/bin/nova-agent", script);
        put(dir.path(), &format!("{site}/novaagent/__init__.py"), "__version__ = '2.1.16'\n");
        put(dir.path(), &format!("{site}/novaagent/common/password.py"), "from Crypto.Cipher import AES\n");
        let found = agents(dir.path());
        let source = format!("{site}/novaagent/__init__.py");
        let want = (Kind::Nova2, Some("2.1.16"), Some(source.as_str()), "usr/local/bin/nova-agent");
        assert_eq!(facts(&found), [want]);
        let python = PythonCode {
            interpreter: Some("/usr/bin/python3.9".to_owned()),
            needs: ["Crypto", "novaagent", "pkg_resources"].map(str::to_owned).to_vec(),
        };
        assert_eq!(found.all[0].python.as_ref(), Some(&python));
    }
}

#[test]
fn the_old_agent_has_its_version_in_the_path_behind_the_link() {
    let cases = [
        ("usr", "1.39.1", "/usr/share/nova-agent/1.39.1/sbin/nova-agent"),
        ("usr/local", "0.0.1.38", "../share/nova-agent/0.0.1.38/sbin/nova-agent"),
        ("usr/share/oem/nova-agent/usr", "0.0.1.38", "../share/nova-agent/0.0.1.38/sbin/nova-agent"),
    ];
    for (prefix, version, to) in cases {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &format!("{prefix}/share/nova-agent/{version}/sbin/nova-agent"), b"\x7fELF");
        let program = format!("{prefix}/sbin/nova-agent");
        link(dir.path(), &program, to);
        let found = agents(dir.path());
        let source = format!("{prefix}/share/nova-agent/{version}");
        let want = (Kind::Nova1, Some(version), Some(source.as_str()), program.as_str());
        assert_eq!(facts(&found), [want]);
    }
}

#[test]
fn this_program_without_a_service_is_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "usr/local/bin/novactl", b"\x7fELF");
    assert!(agents(dir.path()).all.is_empty());
}

#[test]
fn a_broken_or_foreign_program_is_a_problem_in_words() {
    let dir = tempfile::tempdir().unwrap();
    link(dir.path(), "usr/sbin/nova-agent", "/usr/share/nova-agent/1.39.1/sbin/nova-agent");
    put(dir.path(), "usr/bin/nova-agent", "#!/usr/bin/env python3\nPK\x03\x04 cut");
    put(dir.path(), "usr/local/bin/nova-agent", "#!/bin/sh\nexec true\n");
    let found = agents(dir.path());
    assert!(found.all.is_empty());
    let want = [
        "reading usr/bin/nova-agent as a zip",
        "usr/local/bin/nova-agent is no nova-agent",
        "usr/sbin/nova-agent links to /usr/share/nova-agent/1.39.1/sbin/nova-agent, which does not exist",
    ];
    for (problem, want) in found.problems.iter().zip(want) {
        assert!(problem.starts_with(want), "{problem}");
    }
    assert_eq!(found.problems.len(), want.len());
}

#[test]
fn a_service_belongs_to_the_agent_whose_program_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let all = [agent(Kind::Nova1, "1.39.1", vec![]), agent(Kind::Nova2, "2.1.25", vec![])];
    let yes = || Enabled::Yes("link".to_owned());
    let cases = [
        (unit("nova-agent", yes(), &[EXEC]), Some(1)),
        (unit("nova-agent", yes(), &[("ExecStart", "/usr/sbin/nova-agent -n x.py")]), Some(0)),
        (unit("nova-agent", yes(), &[("ExecStart", "/usr/bin/python3 /usr/bin/nova-agent")]), Some(1)),
        (unit("nova-agent", yes(), &[]), Some(0)),
        (unit("python3-nova-agent", yes(), &[]), Some(1)),
        (unit("novactl-agent", yes(), &[]), None),
    ];
    for (service, want) in cases {
        assert_eq!(starter_of(&root, &service, &all), want, "{service:?}");
    }
}

#[test]
fn a_unit_of_any_name_counts_that_starts_the_agent_at_boot() {
    let services = |line: &str, dir: &str| {
        let tree = tempfile::tempdir().unwrap();
        two(tree.path(), "usr/bin/nova-agent");
        put(tree.path(), "usr/lib/systemd/systemd", "");
        link(tree.path(), "sbin/init", "/usr/lib/systemd/systemd");
        put(tree.path(), "usr/lib/systemd/system/default.target", "[Unit]\nWants=multi-user.target\n");
        put(tree.path(), "usr/lib/systemd/system/multi-user.target", "[Unit]\n");
        put(tree.path(), "etc/systemd/system/guest.service", format!("[Service]\nExecStart={line}\n"));
        link(tree.path(), &format!("etc/systemd/system/{dir}/guest.service"), "../guest.service");
        let found = agents(tree.path());
        let names = found.all.iter().flat_map(|agent| &agent.services).map(|service| service.name.clone());
        names.collect::<Vec<_>>()
    };
    const WANTS: &str = "multi-user.target.wants";
    for (line, dir, found) in [
        ("/usr/bin/nova-agent --no-fork True", WANTS, true),
        ("-/usr/bin/python3 -u /usr/bin/nova-agent", WANTS, true),
        ("/usr/bin/nova-agent --no-fork True", "rescue.target.wants", false),
        ("/usr/local/bin/watch --of /usr/bin/nova-agent", WANTS, false),
        ("/bin/sh -c /usr/bin/nova-agent", WANTS, false),
        ("/opt/other/nova-agent", WANTS, false),
    ] {
        assert_eq!(services(line, dir).len(), usize::from(found), "{line}");
    }
}

#[test]
fn an_init_script_names_its_program_too() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        "etc/init.d/nova-agent",
        "#!/bin/sh\n# /usr/sbin/nova-agent is old\nPROG=/usr/bin/nova-agent\n",
    );
    let root = Root::open(dir.path()).unwrap();
    let service = Service {
        init: Init::SysV,
        path: "etc/init.d/nova-agent".to_owned(),
        unit: None,
        ..unit("nova-agent", Enabled::No("x".to_owned()), &[])
    };
    let all = [agent(Kind::Nova1, "1.39.1", vec![]), agent(Kind::Nova2, "2.1.25", vec![])];
    assert_eq!(starter_of(&root, &service, &all), Some(1));
}

#[test]
fn a_refusal_is_told_from_other_errors() {
    use anyhow::Context;
    let of = |errno: rustix::io::Errno| Err::<(), _>(errno).context("looking at x").unwrap_err();
    assert!(Unread::of(&of(rustix::io::Errno::ACCESS)).is_denied);
    assert!(!Unread::of(&of(rustix::io::Errno::LOOP)).is_denied);
}
