//! What starts at boot, as this program reads it from files, against systemd's own answers: `systemctl --root
//! list-unit-files` for each service, and the initial transaction that `systemd --test` makes, for this machine's own
//! root, a real Debian 12 tree, and a copy of that with every kind of link, mask and drop-in in it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "makes trees, runs programs and says what was skipped"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use novactl::facts::init::{Enabled, Init, Services, Unit};
use novactl::facts::os::Os;
use novactl::root::Root;

/// What is put into the copy; a value that begins with `->` is a link.
const ODDITIES: &[(&str, &str)] = &[
    ("dev/null", ""), // systemctl follows links to it; the tree has no devices
    (
        "usr/lib/systemd/system/t-plain.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "usr/lib/systemd/system/t-off.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("usr/lib/systemd/system/t-static.service", "[Service]\nExecStart=/bin/true\n"),
    ("usr/lib/systemd/system/t-pulled.service", "[Service]\nExecStart=/bin/true\n"),
    ("usr/lib/systemd/system/t-plain.service.d/50-x.conf", "[Unit]\nWants=t-hidden.service\n"),
    ("usr/lib/systemd/system/t-hidden.service", "[Service]\nExecStart=/bin/true\n"),
    (
        "etc/systemd/system/t-plain.service.d/50-x.conf",
        "[Unit]\n# over\nWants=\\\n  # the vendor's\n  t-pulled.service\n",
    ),
    ("etc/systemd/system/t-.service.d/60-y.conf", "[Unit]\nWants=t-prefix.service\n"),
    ("etc/systemd/system/service.d/50-x.conf", "[Unit]\nDescription=weaker than the name's\n"),
    ("etc/systemd/system/service.d/55-all.conf", "[Service]\nEnvironment=ALL=1\n"),
    ("etc/systemd/system/t-alias.service.d/05-alias.conf", "[Service]\nEnvironment=A=1\n"),
    ("usr/lib/systemd/system/t-moved.service.d/70-hidden.conf", "[Service]\nEnvironment=A=1\n"),
    ("etc/systemd/system/t-moved.service.d/70-hidden.conf", "-> /dev/null"),
    ("etc/systemd/system/t-inst@one.service.d/10-one.conf", "[Service]\nEnvironment=A=1\n"),
    ("etc/systemd/system/t-inst@.service.d/20-each.conf", "[Service]\nEnvironment=A=1\n"),
    ("usr/lib/systemd/system/t-prefix.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/systemd/system/t-empty.service", ""),
    (
        "usr/lib/systemd/system/t-masked.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("etc/systemd/system/t-masked.service", "-> /dev/null"),
    (
        "etc/systemd/system/multi-user.target.wants/t-masked.service",
        "-> /usr/lib/systemd/system/t-masked.service",
    ),
    (
        "usr/lib/systemd/system/t-rescue.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=rescue.target\n",
    ),
    (
        "usr/lib/systemd/system/t-real.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nAlias=t-alias.service\nWantedBy=multi-user.target\n",
    ),
    (
        "usr/lib/systemd/system/t-also.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nAlso=t-off.service\n",
    ),
    (
        "usr/lib/systemd/system/t-inst@.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("opt/t/t-linked.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/systemd/system/t-linked.service", "-> /opt/t/t-linked.service"),
    ("etc/systemd/system/multi-user.target.wants/t-moved.service", "-> /gone/t-moved.service"),
    (
        "usr/lib/systemd/system/t-moved.service",
        "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    ),
    ("usr/lib/systemd/system/multi-user.target.wants/t-taken-back.service", "-> ../t-taken-back.service"),
    ("etc/systemd/system/multi-user.target.wants/t-taken-back.service", "-> /dev/null"),
    ("usr/lib/systemd/system/t-taken-back.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/cloud/cloud-init.disabled", ""), // its generator asks the machine that it runs on
    ("etc/systemd/system/multi-user.target.wants/t-dangling.service", "-> x"),
    ("etc/systemd/system/t-dangling.service", "-> /gone"),
    ("usr/lib/systemd/system/t-dangling.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/systemd/system/t-self.service", "-> /usr/lib/systemd/system/t-self.service"),
    ("usr/lib/systemd/system/t-self.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/systemd/system/multi-user.target.wants/t-self.service", "-> x"),
    ("etc/systemd/system/t-lost-alias.service", "-> t-gone.service"),
    ("usr/lib/systemd/system/t-lost-alias.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/systemd/system/multi-user.target.wants/t-lost-alias.service", "-> x"),
    ("etc/systemd/system/multi-user.target.wants/t-no-link.service", "[Service]\nExecStart=/bin/true\n"),
    ("usr/lib/systemd/system/t-no-link.service", "[Service]\nExecStart=/bin/true\n"),
    ("etc/systemd/system/multi-user.target.wants/t-script.service", "-> x"),
];
/// What `systemctl enable` then makes of them.
const ENABLED: [&str; 4] = ["t-plain.service", "t-rescue.service", "t-real.service", "t-inst@one.service"];

#[test]
fn enablement_is_what_systemctl_says() {
    if output("systemctl", &["--version"]).is_err() {
        println!("skipped: no systemctl");
        return;
    }
    let mut differences = compare_with_systemctl(Path::new("/")).unwrap();
    match debian() {
        Err(why) => println!("skipped: {why:#}"),
        Ok(tree) => {
            differences.extend(compare_with_systemctl(&tree).unwrap());
            let copy = oddities(&tree).unwrap();
            differences.extend(compare_with_systemctl(&copy.path().join("tree")).unwrap());
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn a_boot_starts_what_systemd_would_start() {
    let tree = match debian() {
        Ok(tree) => tree,
        Err(why) => {
            println!("skipped: {why:#}");
            return;
        }
    };
    let copy = oddities(&tree).unwrap();
    let copy = copy.path().join("tree");
    let expected = match transaction(&copy) {
        Ok(expected) => expected,
        Err(why) => {
            println!("skipped: {why:#}");
            return;
        }
    };
    let root = Root::open(&copy).unwrap();
    let services = Services::of(&root, &Os::of(&root));
    let pulled = services.reachable(&root).unwrap();
    let found: BTreeMap<String, Vec<String>> = pulled
        .iter()
        .filter(|(name, _)| is_compared(name))
        .map(|(name, pulled)| (name.clone(), files_of(&pulled.unit)))
        .collect();
    let differs = |name: &&String| expected.get(*name) != found.get(*name);
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).filter(differs).collect();
    let told = |name: &String| format!("{name}: {:?}, we {:?}", expected.get(name), found.get(name));
    let differences: Vec<String> = names.into_iter().map(told).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    println!("{} units of the boot compared", expected.len());
}

/// The files that a unit was read from, in the order in which they apply.
fn files_of(unit: &Unit) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for setting in &unit.settings {
        let file = setting.source.rsplit_once(':').map_or("", |(file, _line)| file);
        if files.last().is_none_or(|last| last != file) {
            files.push(file.to_owned());
        }
    }
    files
}

/// Compares each service of a tree; returns what differs, in words.
fn compare_with_systemctl(tree: &Path) -> Result<Vec<String>> {
    let argument = format!("--root={}", tree.display());
    let list =
        output("systemctl", &[&argument, "list-unit-files", "--type=service", "--no-legend", "--no-pager"])?;
    ensure!(list.status.success(), "listing units: {}", String::from_utf8_lossy(&list.stderr));
    let root = Root::open(tree)?;
    let services = Services::of(&root, &Os::of(&root));
    ensure!(services.init == Init::Systemd || tree == Path::new("/"), "{} is not systemd's", tree.display());
    let mut differences = Vec::new();
    let mut compared = 0;
    for line in String::from_utf8(list.stdout)?.lines() {
        let mut words = line.split_whitespace();
        let (Some(unit), Some(state)) = (words.next(), words.next()) else { continue };
        let name = unit.trim_end_matches(".service");
        if services.init != Init::Systemd || name.ends_with('@') {
            continue; // a template starts nothing itself
        }
        let found = services.named(&root, name)?;
        compared += 1;
        let is_alias = found.as_ref().is_some_and(|service| service.name != name);
        let agrees = match (state, found.as_ref().map(|service| &service.enabled)) {
            ("alias", Some(_)) => is_alias,
            ("masked" | "masked-runtime", Some(Enabled::Masked(_))) => true,
            ("enabled" | "enabled-runtime", Some(Enabled::Yes(_))) => !is_alias,
            // systemctl counts a link in the directory of any target, we one that a boot comes by
            ("enabled" | "enabled-runtime", Some(Enabled::No(reason))) => {
                reason.starts_with("etc/systemd/system/")
            }
            // not by a link of the administrator's, but another unit may pull it in
            ("disabled" | "static" | "indirect" | "linked", Some(Enabled::Yes(source))) => {
                !source.starts_with("etc/") || source.contains(".service.d/")
            }
            ("disabled" | "static" | "indirect" | "linked", Some(Enabled::No(reason))) => {
                !reason.starts_with("etc/systemd/system/") || reason.contains("is no link")
            }
            // a link that leads nowhere, or one to its own name, which systemd itself passes over
            ("bad", found) => found.is_none() || name == "t-self",
            _ => false,
        };
        if !agrees {
            differences.push(format!("{} {unit}: systemctl says {state}, we {found:?}", tree.display()));
        }
    }
    println!("{compared} services of {} compared", tree.display());
    Ok(differences)
}

/// Returns the units that systemd itself would start when the tree boots, its initial transaction, with the files of
/// each.
fn transaction(tree: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    // in a mount namespace of its own; systemd makes no test as root
    let script = r#"set -e; cd "$1"; mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t cgroup2 none sys/fs/cgroup
        mount -t tmpfs tmpfs run; mount --bind /dev dev; export HOME=/ SYSTEMD_LOG_LEVEL=err
        exec chroot --userspec=65534:65534 . /usr/lib/systemd/systemd --test --system --log-target=console --no-pager"#;
    let tree = tree.to_str().context("the tree's path is not UTF-8")?;
    let argv = ["60", "unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", tree];
    let output = output("timeout", &argv)?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "systemd --test: {}", told.lines().last().unwrap_or_default());
    let text = String::from_utf8(output.stdout)?;
    let (mut started, mut files) = (BTreeMap::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if line == "-> By jobs:" {
            break; // the same once more
        }
        if line.starts_with("-> Unit ") {
            files.clear();
        } else if line.ends_with("/70-hidden.conf") {
            // named by systemd, though it is the link to /dev/null that holds nothing
        } else if let Some(path) =
            line.strip_prefix("Fragment Path: /").or(line.strip_prefix("DropIn Path: /"))
        {
            // merged /usr, as all of Debian 12 has it
            files.push(path.strip_prefix("lib/").map_or(path.to_owned(), |rest| format!("usr/lib/{rest}")));
        } else if let Some(name) =
            line.strip_prefix("Action: ").and_then(|line| line.strip_suffix(" -> start"))
        {
            started.insert(name.to_owned(), files.clone());
        }
    }
    started.retain(|name, files| is_compared(name) && !files.is_empty());
    ensure!(!started.is_empty(), "systemd --test told no transaction");
    Ok(started)
}

/// Mounts, devices and slices are pulled in by what units use; systemd-fstab-generator and systemd-getty-generator make
/// some for the machine that they run on.
fn is_compared(name: &str) -> bool {
    let kind = name.rsplit('.').next().unwrap_or_default();
    matches!(kind, "service" | "target" | "socket" | "timer" | "path")
        && !name.contains("getty@")
        && !["systemd-remount-fs.service", "local-fs-pre.target"].contains(&name)
}

fn oddities(tree: &Path) -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir_in(tree.parent().context("the tree has no parent")?)?;
    let copy = dir.path().join("tree");
    let tree = tree.to_str().context("the tree's path is not UTF-8")?;
    let copy_text = copy.to_str().context("the copy's path is not UTF-8")?;
    ensure!(output("cp", &["-al", tree, copy_text])?.status.success(), "copying {tree}");
    for (path, text) in ODDITIES {
        let path = copy.join(path);
        std::fs::create_dir_all(path.parent().context("a file has a directory")?)?;
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path)?,
            None => std::fs::write(path, text)?,
        }
    }
    let argument = format!("--root={copy_text}");
    let enabled = output("systemctl", &[&[argument.as_str(), "--quiet", "enable"][..], &ENABLED].concat())?;
    ensure!(enabled.status.success(), "enabling: {}", String::from_utf8_lossy(&enabled.stderr));
    Ok(dir)
}

/// Returns the tree of a Debian 12, made once.
fn debian() -> Result<PathBuf> {
    for program in ["mmdebstrap", "systemctl"] {
        output(program, &["--version"]).with_context(|| format!("no {program}"))?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/debian-tree.sh");
    let output = Command::new(script).output()?;
    ensure!(output.status.success(), "no tree of Debian 12: {}", String::from_utf8_lossy(&output.stderr));
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

fn output(program: &str, arguments: &[&str]) -> Result<Output> {
    Command::new(program).args(arguments).output().with_context(|| format!("starting {program}"))
}
