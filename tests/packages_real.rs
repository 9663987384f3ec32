//! Versions of installed packages in databases that the real programs made: rpm's, and FreeBSD's pkg's layout by SQLite.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "makes databases, runs programs and says what was skipped"
)]

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use novactl::facts::packages;
use novactl::root::Root;

/// Packages beside the one that is looked for, so that the table has more than one page.
const OTHERS: usize = 80;

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {told}");
    Ok(())
}

/// Builds nova-agent of a version, and the others with it.
fn build(dir: &Path, version: &str, others: usize) -> Result<()> {
    let mut spec = format!(
        "Name: nova-agent\nVersion: {version}\nRelease: 1.el9\nSummary: of nova-agent\nLicense: x\nBuildArch: noarch\n\
         %description\nnova-agent\n%files\n"
    );
    for n in 0..others {
        let text = "a long story ".repeat(n * 20);
        spec += &format!(
            "%package -n python{n}-nova-agent\nSummary: x\n%description -n python{n}-nova-agent\n{text}\n\
             %files -n python{n}-nova-agent\n"
        );
    }
    let path = dir.join("x.spec");
    std::fs::write(&path, spec)?;
    let top = format!("_topdir {}", dir.join(version).display());
    run("rpmbuild", &["-bb", "--quiet", "--define", &top, path.to_str().context("a path that is not UTF-8")?])
}

#[test]
fn what_rpm_has_on_record_is_found() {
    if !is_there("rpmbuild") {
        println!("skipped: no rpmbuild");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), "2.1.20", OTHERS).unwrap();
    build(dir.path(), "2.1.25", 0).unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
    let root_path = root.to_str().unwrap();
    let rpm = |arguments: &[&str]| {
        let place =
            ["--root", root_path, "--define", "_dbpath /var/lib/rpm", "--define", "_db_backend sqlite"];
        run("rpm", &[&place[..], arguments].concat()).unwrap();
    };
    let found = |name: &str| {
        let package = packages::find(&Root::open(&root).unwrap(), name).unwrap();
        package.map(|package| (package.version, package.source))
    };
    let on_record = |version: &str| Some((version.to_owned(), "var/lib/rpm/rpmdb.sqlite".to_owned()));
    let files = |version: &str| -> Vec<String> {
        let dir = dir.path().join(version).join("RPMS/noarch");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| path.to_str().unwrap().to_owned()).collect()
    };
    let install = ["-U", "--justdb", "--nodeps", "--nosignature"];
    let with =
        |version: &str| -> Vec<String> { [install.map(str::to_owned).to_vec(), files(version)].concat() };
    let rpm_with = |version: &str| rpm(&with(version).iter().map(String::as_str).collect::<Vec<_>>());

    rpm_with("2.1.20");
    assert_eq!(found("nova-agent"), on_record("2.1.20-1.el9"));
    for n in 0..OTHERS {
        assert_eq!(found(&format!("python{n}-nova-agent")), on_record("2.1.20-1.el9"), "{n}");
    }
    rpm_with("2.1.25");
    assert_eq!(found("nova-agent"), on_record("2.1.25-1.el9"));
    rpm(&["-e", "--justdb", "--nodeps", "nova-agent"]);
    // its bytes are still in the file
    assert_eq!(found("nova-agent"), None);
    assert_eq!(found("python7-nova-agent"), on_record("2.1.20-1.el9"));
}

#[test]
fn what_freebsds_pkg_has_on_record_is_found() {
    if !is_there("python3") {
        println!("skipped: no python3");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("var/db/pkg")).unwrap();
    let path = dir.path().join("var/db/pkg/local.sqlite");
    let script = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute('CREATE TABLE repositories (id INTEGER PRIMARY KEY)')
db.execute('CREATE TABLE packages (id INTEGER PRIMARY KEY, origin TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, comment TEXT, desc TEXT)')
for n in range(2000):
    db.execute('INSERT INTO packages VALUES (NULL, ?, ?, ?, ?, ?)', ('sysutils/p%d' % n, 'p%d' % n, '%d.0_1' % n, 'x', 'y' * (n % 700 * 20)))
db.execute('DELETE FROM packages WHERE id = 1500')
db.commit()
";
    run("python3", &["-c", script, path.to_str().unwrap()]).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let version = |name: &str| packages::find(&root, name).unwrap().map(|package| package.version);
    for (name, expected) in [
        ("p0", Some("0.0_1")),
        ("p699", Some("699.0_1")),
        ("p1998", Some("1998.0_1")),
        ("p1999", Some("1999.0_1")),
        ("p1499", None), // deleted
        ("p2000", None),
    ] {
        assert_eq!(version(name).as_deref(), expected, "{name}");
    }
}
