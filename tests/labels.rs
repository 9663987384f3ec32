//! The labels of new files, compared with what libselinux says of the same paths under a real policy.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it compares with"
)]

mod lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use novactl::image::labels;
use novactl::plan::{FileChange, Plan};
use novactl::root::Node;
use novactl::target::Target;
use novactl::xenstore::Source;

/// What novactl writes, by its place.
const OWN: [&str; 9] = [
    "/usr/sbin/novactl",
    "/sbin/novactl",
    "/etc/systemd/system/novactl-agent.service",
    "/etc/network/interfaces.d/novactl",
    "/etc/sysctl.d/zz-arp-notify.conf",
    "/etc/cloud/cloud.cfg.d/zz-novactl.cfg",
    "/etc/resolv.conf",
    "/root/.ssh/authorized_keys",
    "/lib64/x.so",
];

/// What libselinux says of regular files.
fn libselinux(made: &Path, paths: &[String]) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for some in paths.chunks(500) {
        let mut command = Command::new(made.join("matchpathcon"));
        command.args(["-m", "file", "-f"]).arg(made.join("policy/file_contexts")).args(some);
        let output = command.output().unwrap();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let (path, label) = line.split_once('\t').unwrap();
            said.insert(path.to_owned(), label.to_owned());
        }
    }
    assert_eq!(said.len(), paths.len());
    said
}

/// What novactl gives new files at these paths.
fn novactl(root: &Path, paths: &[String]) -> BTreeMap<String, String> {
    let target = Target::offline(root, Source::None).unwrap();
    let mut said = BTreeMap::new();
    for some in paths.chunks(50) {
        let files = some.iter().map(|path| FileChange::write(path.trim_start_matches('/'), "x")).collect();
        let plan = labels::label(&target, Plan { files, ..Plan::default() }).unwrap();
        for (path, change) in some.iter().zip(&plan.files) {
            let label = match change {
                FileChange::Restore { node: Node::File(file), .. } => {
                    let text = String::from_utf8(file.xattrs[0].1.clone()).unwrap();
                    text.strip_suffix('\0').unwrap().to_owned()
                }
                _ => "<<none>>".to_owned(),
            };
            said.insert(path.clone(), label);
        }
    }
    said
}

/// A path that a rule was made for, as far as that is easily said.
fn example(pattern: &str) -> String {
    let mut path = pattern.to_owned();
    for (from, to) in [
        ("(/.*)?", "/x/y"),
        ("[^/]*", "ab"),
        ("[^/]+", "ab"),
        ("[0-9]*", "12"),
        ("[0-9]+", "12"),
        ("[0-9]", "7"),
        ("(.*)?", "q"),
        (".*", "q"),
        (".+", "q"),
        ("\\", ""),
    ] {
        path = path.replace(from, to);
    }
    // the first of several alternatives
    while let Some((before, rest)) = path.split_once('(') {
        let Some((inside, after)) = rest.split_once(')') else { break };
        let first = inside.split('|').next().unwrap_or_default();
        path = format!("{before}{first}{}", after.trim_start_matches(['?', '*']));
    }
    path.replace("//", "/")
}

#[test]
fn every_rule_of_a_real_policy_is_read_as_libselinux_reads_it() {
    let script = lab::scripts().join("selinux-policy.sh");
    let output = Command::new(script).output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        return lab::skipped::<()>(&why).unwrap_or_default();
    }
    let made = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let files = root.join("etc/selinux/default/contexts/files");
    fs::create_dir_all(&files).unwrap();
    fs::write(root.join("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=default\n").unwrap();
    let mut rules = String::new();
    for entry in fs::read_dir(made.join("policy")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), files.join(entry.file_name())).unwrap();
        if !entry.file_name().to_string_lossy().contains("subs") {
            rules.push_str(&fs::read_to_string(entry.path()).unwrap());
        }
    }
    let mut paths: Vec<String> = rules
        .lines()
        .filter(|line| line.starts_with('/'))
        .map(|line| example(line.split_whitespace().next().unwrap()))
        .collect();
    paths.extend(OWN.map(str::to_owned));
    paths.sort();
    paths.dedup();
    // what is there already keeps its label
    paths.retain(|path| !path.ends_with('/') && !root.join(path.trim_start_matches('/')).exists());
    assert!(paths.len() > 3000, "{}", paths.len());
    let (theirs, ours) = (libselinux(&made, &paths), novactl(root, &paths));
    let other: Vec<_> = paths.iter().filter(|path| theirs[*path] != ours[*path]).collect();
    let shown: Vec<_> = other.iter().take(20).map(|path| (path, &theirs[*path], &ours[*path])).collect();
    assert!(other.is_empty(), "{} of {}: {shown:#?}", other.len(), paths.len());
    // the aliases count as well
    assert_eq!(ours["/sbin/novactl"], ours["/usr/sbin/novactl"]);
}
