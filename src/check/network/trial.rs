//! A tree to try a check on, for the tests of this topic.

use crate::check::{Check, Finding, Status};
use crate::net::survey::tests::tree_of;
use crate::plan::journal::{Journal, Turn};
use crate::plan::{Edits, Interrupt, undo};
use crate::root::{Node, Root};
use crate::target::Target;
use crate::xenstore::Source;

/// A log line that says which NICs the machine has.
pub(super) const LOG: (&str, &str) = (
    "var/log/nova-agent.log",
    "x [INFO ] Interface BC764E207572: {'label': 'public', 'mac': 'BC:76:4E:20:75:72', 'ips': [{'ip': '192.0.2.10', 'netmask': '255.255.255.0', 'enabled': '1'}]}\n",
);
/// The NIC of [`LOG`].
pub(super) const MAC: &str = "bc:76:4e:20:75:72";
/// A NIC of another machine.
pub(super) const STRANGE: &str = "bc:76:4e:00:00:01";

/// NetworkManager, started at boot by systemd.
pub(super) const MANAGER: [(&str, &str); 7] = [
    ("usr/sbin/NetworkManager", "!"),
    ("usr/lib/systemd/systemd", "!"),
    ("sbin/init", "->/usr/lib/systemd/systemd"),
    ("usr/lib/systemd/system/default.target", "->multi-user.target"),
    ("usr/lib/systemd/system/multi-user.target", "[Unit]\nDescription=x\n"),
    ("usr/lib/systemd/system/NetworkManager.service", "[Service]\nExecStart=/usr/sbin/NetworkManager\n"),
    (
        "etc/systemd/system/multi-user.target.wants/NetworkManager.service",
        "->/usr/lib/systemd/system/NetworkManager.service",
    ),
];

/// Returns the findings on a tree of these files.
pub(in crate::check) fn found(check: &Check, files: &[(&str, &str)]) -> anyhow::Result<Vec<Finding>> {
    let (dir, _root) = tree_of(files);
    (check.probe)(&Target::offline(dir.path(), Source::None)?)
}

/// Returns status and subject of each finding.
pub(in crate::check) fn short(check: &Check, files: &[(&str, &str)]) -> Vec<(Status, String)> {
    let found = found(check, files).unwrap();
    found.into_iter().map(|f| (f.status, f.subject.unwrap_or_default())).collect()
}

/// Applies the fix, expects the check to be content, undoes it, expects the tree as before. Returns what the paths
/// held in between.
pub(in crate::check) fn mended(check: &Check, files: &[(&str, &str)], paths: &[&str]) -> Vec<Option<String>> {
    let (dir, _root) = tree_of(files);
    let target = Target::offline(dir.path(), Source::None).unwrap();
    let picture = |root: &Root| -> Vec<Node> {
        files
            .iter()
            .map(|(path, _)| *path)
            .chain(paths.iter().copied())
            .map(|path| root.node(path).unwrap())
            .collect()
    };
    let before = picture(&target.root);
    let journal = Journal::open(&target.root, Turn::Now).unwrap();
    let plan = (check.fix.unwrap())(&target).unwrap();
    let prepared = plan.prepare(&target.root).unwrap();
    assert!(!prepared.is_empty(), "nothing to mend");
    let record = prepared.apply(&target, &journal, &Interrupt::default()).unwrap().keep(None).unwrap();
    let after = (check.probe)(&Target::offline(dir.path(), Source::None).unwrap()).unwrap();
    assert!(after.iter().all(|finding| finding.status <= Status::Skipped), "{after:?}");
    let texts = paths.iter().map(|path| target.root.text_opt(path).unwrap()).collect();
    let back = undo(&target.root, &record, Edits::Refuse).unwrap();
    back.prepare(&target.root)
        .unwrap()
        .apply(&target, &journal, &Interrupt::default())
        .unwrap()
        .keep(None)
        .unwrap();
    assert_eq!(picture(&target.root), before);
    texts
}
