//! The file of hashes itself: is it there, is root in it, may only root read it, does nothing stop a change of it.
//!
//! A fault and what mends it are found together: [`judged`] returns both.

use anyhow::Result;

use crate::check::{Evidence, Finding};
use crate::facts::accounts::{MASTER_PASSWD, PASSWD, SHADOW, Store, Table, locks};
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::{FileNode, Kind, Node, Root, Stat};
use crate::target::Target;

/// Copies of the file that are looked at.
const COPIES_MAX: usize = 20;

/// What was found, and the plan that mends what can be mended.
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    pub(super) plan: Plan,
}

pub(super) fn judged(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let plan = Plan { verb: "fix", title: "make the account files whole".to_owned(), ..Plan::default() };
    let mut judged = Judged { findings: Vec::new(), plan };
    let Some(passwd) = Table::read(root, PASSWD)? else {
        let is_nothing = root.lstat_opt(SHADOW)?.is_none();
        judged.findings.push(match is_nothing {
            true => Finding::skipped("there are no account files in this tree"),
            false => Finding::fail("etc/passwd is missing")
                .because("nobody can log in")
                .mend("copy /etc/passwd- or /var/backups/passwd.bak there"),
        });
        return Ok(judged);
    };
    let store = Store::of(root)?;
    match store {
        Store::Shadow | Store::MasterPasswd => judged.table(root, store)?,
        Store::Passwd if passwd.user("root").is_some_and(|root| root.is_shadowed()) => {
            judged.missing(root)?;
        }
        Store::Passwd | Store::Tcb => {}
    }
    if passwd.user("root").is_none() {
        judged.findings.push(
            Finding::fail("root has no line in etc/passwd")
                .because("every login as root is refused, and so is a new password for it")
                .about(PASSWD)
                .mend("put the line root:x:0:0:root:/root:/bin/sh first in /etc/passwd"),
        );
    }
    judged.locks(target)?;
    if judged.findings.is_empty() {
        judged.findings.push(Finding::ok(match store {
            Store::Passwd => "the hashes are in etc/passwd, and root has one",
            _ => "root has a line, and only root reads it",
        }));
    }
    Ok(judged)
}

impl Judged {
    fn table(&mut self, root: &Root, store: Store) -> Result<()> {
        let path = if store == Store::MasterPasswd { MASTER_PASSWD } else { SHADOW };
        let Some(table) = Table::read(root, path)? else {
            // a link that leads nowhere
            return self.missing(root);
        };
        let file = root.resolve(path)?.unwrap_or_else(|| path.to_owned());
        let Node::File(mut node) = root.node(&file)? else { return Ok(()) };
        let before = node.clone();
        let has_root = match store {
            Store::MasterPasswd => table.masters("root").next().is_some(),
            _ => table.shadows("root").next().is_some(),
        };
        if !has_root {
            self.no_root(&table, path, store, &mut node);
        }
        self.rights(root, path, &mut node)?;
        if let Err(error) = root.refuse_immutable(&file) {
            let text = format!("{error:#}");
            let flag = if text.contains("append-only") { "-a" } else { "-i" };
            self.findings.push(
                Finding::fail(format!("{path} cannot be changed: a flag of the file system forbids it"))
                    .because(
                        "passwd says \"Authentication token manipulation error\", a password reset fails",
                    )
                    .seen(path, text.split(':').next().unwrap_or_default())
                    .about(format!("{path} flag"))
                    .mend("take the flag off")
                    .by(&["chattr", flag, &format!("/{path}")]),
            );
            return Ok(());
        }
        if node != before {
            node.mtime = None;
            self.put(&file, node);
        }
        Ok(())
    }

    fn no_root(&mut self, table: &Table, path: &str, store: Store, node: &mut FileNode) {
        let finding = Finding::fail(format!("{path} has no line of root that login takes"))
            .because("passwd and a password reset fail, and every password of root is refused")
            .seen(
                path,
                match table.rows().find(|row| row.name() == b"root") {
                    Some(row) => format!("line {} is not whole", row.line),
                    None => "no line".to_owned(),
                },
            )
            .about(format!("{path} root"));
        if store == Store::MasterPasswd {
            self.findings.push(finding.mend("add the line with vipw"));
            return;
        }
        self.findings.push(finding.mend("add the line root:*::0:99999:7::: and set a password"));
        // whatever is there of one stays away: login skips it, and tools would take it for root's
        let kept = table.bytes.split_inclusive(|&b| b == b'\n').filter(|line| !line.starts_with(b"root:"));
        let rest: Vec<u8> = kept.flatten().copied().collect();
        node.body = [b"root:*::0:99999:7:::\n".as_slice(), &rest].concat();
    }

    /// Others must not read it; a group may when it is shadow's (Debian, SUSE) or root's.
    fn rights(&mut self, root: &Root, path: &str, node: &mut FileNode) -> Result<()> {
        // a tree that somebody unpacked without being root belongs to that user as a whole
        let owner = root.stat_opt(".")?.map_or((0, 0), |stat: Stat| (stat.uid, stat.gid));
        let mut wrong = Vec::new();
        if node.uid != 0 && node.uid != owner.0 {
            wrong.push(format!("belongs to user {}", node.uid));
            node.uid = 0;
        }
        let may_read = node.gid == 0 || node.gid == owner.1 || Some(node.gid) == shadow_gid(root)?;
        if node.mode & 0o027 != 0 || (node.mode & 0o040 != 0 && !may_read) {
            wrong.push(format!("mode {:04o}, group {}", node.mode, node.gid));
            node.mode &= if may_read { 0o640 } else { 0o600 };
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let mode = format!("{:04o}", node.mode);
        self.findings.push(
            Finding::fail(format!("{path} does not belong to root alone"))
                .because("others can read or write the password hashes")
                .seen(path, wrong.join(", "))
                .about(format!("{path} mode"))
                .mend("give it back to root")
                .by(&["chown", "root", &format!("/{path}")])
                .by(&["chmod", &mode, &format!("/{path}")]),
        );
        Ok(())
    }

    /// Agent 1.x renames the file away and the new one into its place: a crash in between leaves the copy alone.
    fn missing(&mut self, root: &Root) -> Result<()> {
        let mut finding =
            Finding::fail("etc/shadow is missing, and etc/passwd says that the hashes are in it")
                .because(
                    "nobody can log in with a password: agent 1.x or an editor stopped between two renames",
                )
                .seen(SHADOW, if root.lstat_opt(SHADOW)?.is_some() { "leads nowhere" } else { "missing" })
                .about(SHADOW);
        let mut found = None;
        for path in copies(root)? {
            let Some(table) = Table::read(root, &path)? else { continue };
            if table.shadows("root").next().is_some() {
                found = Some(path);
                break;
            }
        }
        let Some(copy) = found else {
            self.findings.push(finding.mend("make an empty one and set a password").by(&["pwconv"]));
            return Ok(());
        };
        finding.evidence.push(Evidence { source: copy.clone(), text: "a copy with root in it".to_owned() });
        self.findings.push(finding.mend(format!("put /{copy} in its place")));
        if let Node::File(mut node) = root.node(&copy)? {
            node.mode &= if shadow_gid(root)? == Some(node.gid) { 0o640 } else { 0o600 };
            node.mtime = None;
            self.put(SHADOW, node);
        }
        Ok(())
    }

    fn locks(&mut self, target: &Target) -> Result<()> {
        for lock in locks::standing(&target.root)? {
            if target.is_live() && lock.is_held() {
                continue;
            }
            let pid = lock.pid.map_or("no process".to_owned(), |pid| format!("process {pid}"));
            self.findings.push(
                Finding::fail(format!("{} is a lock of a program that is gone", lock.path))
                    .because("passwd, useradd and chage say \"cannot lock\"; a password reset fails")
                    .seen(lock.path, pid)
                    .about(lock.path)
                    .mend("remove it")
                    .by(&["rm", &format!("/{}", lock.path)]),
            );
            self.plan.files.push(FileChange::Remove { path: lock.path.to_owned() });
        }
        Ok(())
    }

    fn put(&mut self, path: &str, node: FileNode) {
        let (path, node) = (path.to_owned(), Node::File(node));
        self.plan.files.push(FileChange::Restore { path, node, secret: Secrecy::Secret });
    }
}

/// The copies of the shadow file, the best first: the agent's own, then those of shadow-utils and Debian.
fn copies(root: &Root) -> Result<Vec<String>> {
    let mut dated = Vec::new();
    for entry in root.read_dir("etc")?.into_iter().filter(|entry| entry.name.starts_with("shadow.bak")) {
        let path = format!("etc/{}", entry.name);
        if let Some(stat) = root.lstat_opt(&path)?.filter(|stat| stat.kind == Kind::File) {
            dated.push((stat.mtime, path));
        }
    }
    dated.sort_by(|a, b| b.cmp(a));
    let dated = dated.into_iter().map(|(_, path)| path).take(COPIES_MAX);
    Ok(dated.chain(["etc/shadow-", "var/backups/shadow.bak"].map(str::to_owned)).collect())
}

fn shadow_gid(root: &Root) -> Result<Option<u32>> {
    let groups = Table::read(root, "etc/group")?;
    let text = groups.as_ref().and_then(|groups| groups.rows().find(|row| row.name() == b"shadow"));
    let gid = text.and_then(|row| std::str::from_utf8(row.fields.get(2)?).ok()?.parse().ok());
    Ok(gid)
}
