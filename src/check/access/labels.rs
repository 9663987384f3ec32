//! SELinux labels of the files that login and the network need, on a mounted disk.
//!
//! A file that was written from a rescue system has no label, and an enforcing kernel lets no service read it. Only
//! types that are wrong in every policy are told: none at all, those of temporary files, and for hashes any other
//! than `shadow_t`. A label is copied from a file that has the same one, else it is the one that the system's policy says;
//! where there is neither, the next boot labels the whole disk anew. One more file is a line in [`FILES`] or [`DIRS`].

use anyhow::Result;

use crate::check::Finding;
use crate::image::file_contexts::{Answer, FileContexts};
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{Kind, Node, Root};
use crate::target::Target;

const XATTR: &str = "security.selinux";
const CONFIG: &str = "etc/selinux/config";
/// Makes the next boot label all files (selinux-autorelabel).
const RELABEL: &str = ".autorelabel";

/// The type of files of hashes, in every policy.
const SHADOW_TYPE: &str = "shadow_t";

/// Files, and those that have the same label.
const FILES: [(&str, &[&str]); 9] = [
    ("etc/shadow", &["etc/shadow-", "etc/gshadow", "etc/gshadow-"]),
    ("etc/gshadow", &["etc/gshadow-", "etc/shadow", "etc/shadow-"]),
    ("etc/passwd", &["etc/passwd-", "etc/group", "etc/group-"]),
    ("etc/group", &["etc/group-", "etc/passwd", "etc/passwd-"]),
    ("etc/hostname", &[]),
    ("etc/hosts", &["etc/resolv.conf"]),
    ("etc/resolv.conf", &["etc/hosts"]),
    ("etc/ssh/sshd_config", &["etc/ssh/ssh_config", "etc/ssh/moduli"]),
    ("root/.ssh/authorized_keys", &["root/.ssh"]),
];

/// Directories whose files have the label of the directory or of each other.
const DIRS: [(&str, &str); 3] = [
    ("etc/sysconfig/network-scripts", "ifcfg-"),
    ("etc/NetworkManager/system-connections", ""),
    ("etc/ssh/sshd_config.d", ""),
];

/// Files of a directory that are looked at.
const ENTRIES_MAX: usize = 200;

/// A file with a wrong label.
struct Wrong {
    path: String,
    label: Option<String>,
    right: Option<Right>,
}

/// The label that a file is to have.
struct Right {
    value: Vec<u8>,
    /// Where it is known from.
    remedy: &'static str,
}

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    if let Some(reason) = out_of_place(target)? {
        return Ok(vec![reason]);
    }
    let wrong = wrong(&target.root)?;
    if wrong.is_empty() {
        return Ok(vec![Finding::ok("the files that login needs have their label")]);
    }
    let mut findings = Vec::new();
    for file in wrong {
        let finding = Finding::fail(match &file.label {
            None => format!("{} has no SELinux label", file.path),
            Some(label) => format!("{} has the SELinux label of other files: {}", file.path, type_of(label)),
        })
        .because("it was written outside the running system; SELinux lets no service read it, so every login is refused")
        .seen(&file.path, file.label.as_deref().unwrap_or("no security.selinux"))
        .about(&file.path);
        findings.push(match file.right {
            Some(right) => finding.mend(right.remedy),
            None => finding.mend("let the next boot label all files; it takes minutes and boots twice"),
        });
    }
    Ok(findings)
}

pub(super) fn fix(target: &Target) -> Result<Plan> {
    let mut plan =
        Plan { verb: "fix", title: "give files their SELinux label".to_owned(), ..Plan::default() };
    if out_of_place(target)?.is_some() {
        return Ok(plan);
    }
    for file in wrong(&target.root)? {
        let Some(right) = file.right else {
            if !plan.files.iter().any(|change| change.path() == RELABEL) {
                plan.files.push(FileChange::write(RELABEL, ""));
            }
            continue;
        };
        let Node::File(mut node) = target.root.node(&file.path)? else { continue };
        node.xattrs.retain(|(name, _)| name != XATTR);
        node.xattrs.push((XATTR.to_owned(), right.value));
        node.xattrs.sort();
        plan.files.push(FileChange::Restore {
            path: file.path,
            node: Node::File(node),
            secret: Secrecy::Secret,
        });
    }
    Ok(plan)
}

/// Why labels are not judged here, when they are not.
fn out_of_place(target: &Target) -> Result<Option<Finding>> {
    if target.is_live() {
        return Ok(Some(Finding::skipped(
            "the running system labels what is written: this is for a mounted disk",
        )));
    }
    let root = &target.root;
    let text = root.text_opt(CONFIG)?.unwrap_or_default();
    // libselinux takes the first line of the three it knows (enabled.c, `selinux_getenforcemode`)
    let known = ["enforcing", "permissive", "disabled"];
    let mode = text.lines().filter_map(|line| line.strip_prefix("SELINUX=")).find_map(|value| {
        let value = value.trim_start().to_ascii_lowercase();
        known.into_iter().find(|word| value.starts_with(word))
    });
    if mode != Some("enforcing") {
        return Ok(Some(Finding::skipped(match mode {
            Some(mode) => format!("SELinux is {mode}"),
            None => "this system has no SELinux that enforces".to_owned(),
        })));
    }
    if root.exists(RELABEL) {
        return Ok(Some(Finding::ok("the next boot labels all files anew").seen(RELABEL, "is there")));
    }
    if label(root, "etc")?.is_none() {
        return Ok(Some(Finding::skipped(
            "nothing in this tree carries a label, also /etc: it is no disk's own",
        )));
    }
    Ok(None)
}

fn wrong(root: &Root) -> Result<Vec<Wrong>> {
    let mut found = Vec::new();
    for (path, donors) in FILES {
        judge(root, path, donors, &mut found)?;
    }
    for (dir, prefix) in DIRS {
        let entries = root.read_dir(dir)?.into_iter().filter(|entry| entry.name.starts_with(prefix));
        for entry in entries.take(ENTRIES_MAX) {
            let lo = format!("{dir}/ifcfg-lo");
            let donors: &[&str] = if prefix.is_empty() { &[dir] } else { &[&lo] };
            judge(root, &format!("{dir}/{}", entry.name), donors, &mut found)?;
        }
    }
    if found.iter().any(|file| file.right.is_none())
        && let Some(mut policy) = FileContexts::of(root)?
    {
        for file in found.iter_mut().filter(|file| file.right.is_none()) {
            let Answer::Label(label) = policy.label(&file.path) else { continue };
            let value = [label.as_bytes(), b"\0"].concat();
            file.right = Some(Right { value, remedy: "give it the label that the policy says" });
        }
    }
    Ok(found)
}

fn judge(root: &Root, path: &str, donors: &[&str], found: &mut Vec<Wrong>) -> Result<()> {
    if !root.lstat_opt(path)?.is_some_and(|stat| stat.kind == Kind::File) {
        return Ok(());
    }
    let label_now = label(root, path)?;
    let is_secret = path.ends_with("shadow");
    if label_now.as_deref().is_some_and(|label| is_right(label, is_secret)) {
        return Ok(());
    }
    let mut right = None;
    for other in donors {
        // not one that has to be mended itself
        if label(root, other)?.is_some_and(|label| is_right(&label, is_secret)) {
            let remedy = "copy the label of the file beside it";
            right = root.xattr_opt(other, XATTR)?.map(|value| Right { value, remedy });
            break;
        }
    }
    found.push(Wrong { path: path.to_owned(), label: label_now, right });
    Ok(())
}

fn is_right(label: &str, is_secret: bool) -> bool {
    match type_of(label) {
        kind if is_secret => kind == SHADOW_TYPE,
        kind => !matches!(kind, "" | "unlabeled_t" | "file_t" | "default_t" | "tmp_t" | "user_tmp_t"),
    }
}

/// `user:role:TYPE:level`.
fn type_of(label: &str) -> &str {
    label.split(':').nth(2).unwrap_or_default()
}

fn label(root: &Root, path: &str) -> Result<Option<String>> {
    let value = root.xattr_opt(path, XATTR)?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).trim_end_matches('\0').chars().take(200).collect()))
}
