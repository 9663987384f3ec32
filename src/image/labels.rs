//! SELinux labels of new files in a system that does not run.
//!
//! A file that is replaced keeps its label. A new one gets the one that the system's policy says
//! ([`super::file_contexts`]), else that of a file beside it; where there is neither, `/.autorelabel` lets the next boot
//! label everything. A running kernel labels by itself.

use anyhow::Result;

use super::file_contexts::{Answer, FileContexts};
use crate::net::assignments;
use crate::plan::{FileChange, Plan};
use crate::root::{FileNode, Kind, Node, Root};
use crate::target::Target;

const LABEL: &str = "security.selinux";
/// Its presence makes the next boot label every file (selinux-autorelabel(8)).
const AUTORELABEL: &str = ".autorelabel";
/// Files beside a new one that are asked for their label, and the largest of them.
const NEIGHBOURS_MAX: usize = 50;
const SIZE_MAX: u64 = 1 << 20;

/// Gives the new files of a plan labels, where the target needs them.
///
/// # Errors
/// A directory cannot be read.
pub fn label(target: &Target, mut plan: Plan) -> Result<Plan> {
    if target.is_live() || !is_enforcing(&target.root)? {
        return Ok(plan);
    }
    let mut policy = FileContexts::of(&target.root).unwrap_or_else(|e| {
        tracing::warn!("labels: {e:#}");
        None
    });
    let mut is_one_without = false;
    for change in &mut plan.files {
        let FileChange::Write { path, body, mode, secret } = &*change else { continue };
        // the one that asks for labels goes before anything reads its own
        if path == AUTORELABEL || target.root.lstat_opt(path)?.is_some() {
            continue;
        }
        let said = match &mut policy {
            Some(policy) => policy.label(&real(&target.root, path)?),
            None => Answer::Unknown,
        };
        let label = match said {
            Answer::Label(label) => Some([label.as_bytes(), b"\0"].concat()),
            Answer::NoLabel => continue,
            Answer::Unknown => beside(&target.root, path)?,
        };
        let Some(label) = label else {
            is_one_without = true;
            continue;
        };
        let node = Node::File(FileNode {
            body: body.clone(),
            mode: mode.unwrap_or(0o644),
            uid: 0,
            gid: 0,
            xattrs: vec![(LABEL.to_owned(), label)],
            mtime: None,
        });
        *change = FileChange::Restore { path: path.clone(), node, secret: *secret };
    }
    if is_one_without && plan.files.iter().all(|change| change.path() != AUTORELABEL) {
        plan.files.push(FileChange::write(AUTORELABEL, ""));
    }
    Ok(plan)
}

fn is_enforcing(root: &Root) -> Result<bool> {
    let text = root.text_opt("etc/selinux/config")?.unwrap_or_default();
    let variables = assignments::parse(&text);
    Ok(assignments::last(&variables, "SELINUX").is_some_and(|variable| variable.value == "enforcing"))
}

/// Returns where a new file stands when the links on the way to it are followed, as those who label do. Directories
/// that are yet to be made are no links.
fn real(root: &Root, path: &str) -> Result<String> {
    let mut rest = path;
    while let Some((parent, _)) = rest.rsplit_once('/') {
        if let Some(found) = root.resolve(parent)? {
            return Ok(format!("{found}{}", &path[parent.len()..]));
        }
        rest = parent;
    }
    Ok(path.to_owned())
}

/// Returns the label of the first file beside a path that has one.
fn beside(root: &Root, path: &str) -> Result<Option<Vec<u8>>> {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    for entry in root.read_dir(dir)?.into_iter().take(NEIGHBOURS_MAX) {
        let neighbour = format!("{dir}/{}", entry.name);
        let stat = root.lstat_opt(&neighbour)?;
        if stat.is_none_or(|stat| stat.kind != Kind::File || stat.size > SIZE_MAX) {
            continue;
        }
        if let Node::File(file) = root.node(&neighbour)?
            && let Some((_, label)) = file.xattrs.into_iter().find(|(name, _)| name == LABEL)
        {
            return Ok(Some(label));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    fn paths(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(files);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let changes = vec![FileChange::write("etc/new", "x"), FileChange::write("etc/old", "x")];
        let plan = label(&target, Plan { files: changes, ..Plan::default() }).unwrap();
        plan.files.iter().map(|change| format!("{change:?}")).collect()
    }

    #[test]
    fn a_new_file_without_a_labelled_neighbour_makes_the_next_boot_label() {
        let old = ("etc/old", "");
        let plain = ["Write(etc/new, 1 bytes)", "Write(etc/old, 1 bytes)"];
        assert_eq!(paths(&[old]), plain);
        assert_eq!(paths(&[old, ("etc/selinux/config", "SELINUX=permissive\n")]), plain);
        let with = [&plain[..], &["Write(.autorelabel, 0 bytes)"]].concat();
        assert_eq!(paths(&[old, ("etc/selinux/config", "#SELINUX=disabled\nSELINUX=enforcing\n")]), with);
    }

    #[test]
    fn a_new_file_gets_the_label_that_the_policy_says() {
        let tree = Tree::of(&[
            ("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=mine\n"),
            (
                "etc/selinux/mine/contexts/files/file_contexts",
                "/.* a:b:other_t:s0\n/usr/sbin/.* -- a:b:bin_t:s0\n/tmp/.* <<none>>\n",
            ),
            ("usr/sbin/NetworkManager", ""),
        ])
        .link("sbin", "usr/sbin");
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let paths = ["sbin/novactl", "sbin/new/dir/x", "new/dir/x", "tmp/x"];
        let files = paths.map(|path| FileChange::write(path, "x")).to_vec();
        let plan = label(&target, Plan { files, ..Plan::default() }).unwrap();
        let labels: Vec<Option<&[u8]>> = plan
            .files
            .iter()
            .map(|change| match change {
                FileChange::Restore { node: Node::File(file), .. } => Some(file.xattrs[0].1.as_slice()),
                _ => None,
            })
            .collect();
        let program = Some(&b"a:b:bin_t:s0\0"[..]);
        assert_eq!(labels, [program, program, Some(b"a:b:other_t:s0\0"), None]);
    }

    #[test]
    fn a_new_file_gets_the_label_of_one_beside_it() {
        let tree = Tree::of(&[("etc/selinux/config", "SELINUX=enforcing\n"), ("etc/old", "")]);
        let label_of = b"system_u:object_r:etc_t:s0\0";
        let old = std::fs::File::open(tree.path().join("etc/old")).unwrap();
        if rustix::fs::fsetxattr(&old, LABEL, label_of, rustix::fs::XattrFlags::empty()).is_err() {
            return skipped("this file system takes no label");
        }
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let plan = Plan { files: vec![FileChange::write("etc/new", "x")], ..Plan::default() };
        let plan = label(&target, plan).unwrap();
        let [FileChange::Restore { node: Node::File(file), .. }] = plan.files.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!(file.xattrs, [(LABEL.to_owned(), label_of.to_vec())]);
    }

    #[expect(clippy::print_stdout, reason = "says what was skipped")]
    fn skipped(why: &str) {
        println!("skipped: {why}");
    }
}
