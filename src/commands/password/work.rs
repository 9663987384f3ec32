//! The change itself: which lines of which file a new password makes new, and what there is to say about them.

use anyhow::{Context, Result, bail};

use super::account::{self, Line, Obstacles};
use super::scheme::Method;
use super::{Proposal, SetPassword, now, tcb};
use crate::check::{Finding, Topic};
use crate::exec::Cmd;
use crate::facts::accounts::{MASTER_PASSWD, PASSWD, SHADOW, Shadow, Store, Table, User};
use crate::facts::accounts::{locks, tally};
use crate::plan::{FileChange, Plan, Secrecy};
use crate::target::Target;

/// A request at work on one account.
pub(super) struct Work<'w> {
    request: &'w SetPassword,
    target: &'w Target,
    passwd: &'w Table,
    user: &'w User<'w>,
    files: Vec<FileChange>,
    findings: Vec<Finding>,
    obstacles: Obstacles,
}

impl<'w> Work<'w> {
    pub(super) fn new(
        request: &'w SetPassword,
        target: &'w Target,
        passwd: &'w Table,
        user: &'w User<'w>,
    ) -> Self {
        let obstacles = Obstacles::new(&request.user, request.unlock);
        Self { request, target, passwd, user, files: Vec::new(), findings: Vec::new(), obstacles }
    }

    /// Returns the change and what was found on the way.
    pub(super) fn propose(mut self) -> Result<Proposal> {
        match Store::of(&self.target.root)? {
            Store::Shadow => self.in_shadow(SHADOW)?,
            Store::Tcb => self.in_shadow(&tcb(&self.request.user))?,
            Store::Passwd => self.in_passwd()?,
            Store::MasterPasswd => self.in_master_passwd()?,
        }
        self.tally()?;
        self.locks()?;
        self.finish()
    }

    fn in_shadow(&mut self, path: &str) -> Result<()> {
        let root = &self.target.root;
        let name = self.request.user.as_str();
        if let Some(to) = root.link_opt(path)? {
            let Some(file) = root.resolve(path)? else {
                bail!("{path} is a link to {to}, where there is nothing")
            };
            self.note(format!("{path} is a link: {file} is changed"), path, &format!("leads to {to}"));
        }
        let table = Table::read(root, path)?.with_context(|| format!("reading {path}: no such file"))?;
        let today = now() / 86400;
        let (mut line, source) = match table.shadows(name).next() {
            Some(entry) => {
                self.several(path, table.shadows(name).map(|entry| entry.row.line).collect());
                (self.expiry(&entry, path, today), format!("{path}:{}", entry.row.line))
            }
            None => (self.without_entry(&table, path), path.to_owned()),
        };
        line.set(1, &self.hash(&line.get(1), &source)?);
        // 0 would ask for another password at once
        line.set(2, &if today > 0 { today.to_string() } else { String::new() });
        self.write(path, line.put_into(&table))?;
        let mut passwd = self.passwd_line();
        if !self.user.is_shadowed() {
            let text =
                "its line in etc/passwd had a password field of its own, which wins over the shadow file";
            self.note(text.to_owned(), &self.passwd_source(), "now says x");
            passwd.set(1, "x");
        }
        self.shell(&mut passwd, 6);
        self.write_passwd(passwd)
    }

    /// Makes a line where login finds none: what is there of one is kept.
    fn without_entry(&mut self, table: &Table, path: &str) -> Line {
        let name = self.request.user.as_str();
        let Some(row) = table.rows().find(|row| row.name() == name.as_bytes()) else {
            self.note(format!("{path} had no line of {name}: it gets one"), path, "appended");
            return Line::new(name, table);
        };
        let source = format!("{path}:{}", row.line);
        self.note(
            format!("the line of {name} was one that login skips: it is made whole"),
            &source,
            "nine fields",
        );
        Line::whole(&row)
    }

    fn in_passwd(&mut self) -> Result<()> {
        if self.user.is_shadowed() {
            let copies = ["etc/shadow-", "var/backups/shadow.bak"];
            let copy = copies.into_iter().find(|path| self.target.root.exists(path));
            let next = match copy {
                Some(copy) => format!("copy {copy} there (mode 0640, or 0000 on Red Hat) and try again"),
                None => "pwconv makes an empty one".to_owned(),
            };
            bail!("etc/shadow is missing, and etc/passwd says that the hashes are in it: {next}");
        }
        let text = "this system has no shadow file: everybody on it can read the hash in etc/passwd";
        self.note(text.to_owned(), &self.passwd_source(), "pwconv makes a shadow file");
        let mut line = self.passwd_line();
        line.set(1, &self.hash(&line.get(1), &self.passwd_source())?);
        self.shell(&mut line, 6);
        self.write_passwd(line)
    }

    fn in_master_passwd(&mut self) -> Result<()> {
        let name = self.request.user.as_str();
        let table = Table::read(&self.target.root, MASTER_PASSWD)?.context("reading etc/master.passwd")?;
        let Some(entry) = table.masters(name).next() else {
            bail!("{name} has no line in {MASTER_PASSWD}, or one without its ten fields: vipw mends it");
        };
        self.several(MASTER_PASSWD, table.masters(name).map(|entry| entry.row.line).collect());
        let mut line = Line::of(&entry.row);
        let source = format!("{MASTER_PASSWD}:{}", entry.row.line);
        line.set(1, &self.hash(&line.get(1), &source)?);
        if entry.change != 0 && entry.change <= now() {
            line.set(5, "0");
        }
        if entry.is_expired(now()) {
            self.obstacles.add("the account is over", &source, "expired");
            if self.obstacles.are_mended() {
                line.set(6, "0");
            }
        }
        self.shell(&mut line, 9);
        if !self.target.is_live() {
            let root = self.target.root.path().display();
            self.obstacles.stays(format!(
                "BSD reads etc/spwd.db, which still has the old hash: pwd_mkdb -p -d {root}/etc {root}/{MASTER_PASSWD} \
                 on a BSD system, or in single-user mode mount -uw / && pwd_mkdb -p /{MASTER_PASSWD}"
            ));
        }
        self.write(MASTER_PASSWD, line.put_into(&table))
    }

    /// Returns what the password field becomes.
    fn hash(&mut self, old: &[u8], source: &str) -> Result<String> {
        let method = Method::of(&self.target.root)?;
        let (lock, old) = account::lock_of(old);
        let password = &self.request.password;
        let hash = match std::str::from_utf8(old) {
            Ok(old) if method.made(old.as_bytes(), password) => old.to_owned(),
            _ => method.hash(password)?,
        };
        if lock.is_empty() || self.obstacles.leave_the_hash_open() {
            return Ok(hash);
        }
        self.obstacles.add("the account is locked", source, &format!("the hash begins with {lock}"));
        Ok(if self.obstacles.are_mended() { hash } else { format!("{lock}{hash}") })
    }

    /// Returns the line of an entry, open again when that is asked for.
    fn expiry(&mut self, entry: &Shadow<'_>, path: &str, today: i64) -> Line {
        let mut line = Line::of(&entry.row);
        if let Some(day) = entry.expires.filter(|_| entry.is_expired(today)) {
            let source = format!("{path}:{}", entry.row.line);
            self.obstacles.add("the account is over", &source, &format!("expired on day {day} since 1970"));
            if self.obstacles.are_mended() {
                line.set(7, "");
            }
        }
        line
    }

    /// A shell that refuses is replaced when that is asked for.
    fn shell(&mut self, line: &mut Line, field: usize) {
        let shell = line.get(field);
        let Some(why) = account::refusal(&self.target.root, &shell) else { return };
        let shells = ["/bin/bash", "/bin/sh"];
        let found =
            shells.into_iter().find(|shell| account::refusal(&self.target.root, shell.as_bytes()).is_none());
        let Some(shell) = found else {
            return self.obstacles.stays(format!("{why}, and there is no other shell on this system"));
        };
        self.obstacles.add("the account has no login shell", &self.passwd_source(), &why);
        if self.obstacles.are_mended() {
            line.set(field, shell);
        }
    }

    fn tally(&mut self) -> Result<()> {
        // it is in memory unless somebody moved it, so a disk has none that counts
        let now = u64::try_from(now()).unwrap_or(0);
        let Some(tally) = tally::of(&self.target.root, &self.request.user, self.user.uid, now)? else {
            return Ok(());
        };
        if tally.is_locked {
            let text = format!("{} failed logins, {} are too many", tally.failures, tally.deny);
            self.obstacles.add("pam_faillock keeps the user out", &tally.path, &text);
            if self.obstacles.are_mended() {
                self.files.push(FileChange::Remove { path: tally.path });
            }
        }
        Ok(())
    }

    fn locks(&mut self) -> Result<()> {
        for lock in locks::standing(&self.target.root)? {
            if self.target.is_live() && lock.is_held() {
                // the change waits for it
                continue;
            }
            let pid = lock.pid.map_or("no process".to_owned(), |pid| format!("process {pid}"));
            let finding =
                Finding::note(format!("{} is a lock of a program that is gone: it is ignored", lock.path))
                    .seen(lock.path, pid)
                    .because("passwd and useradd of this system wait for it");
            self.findings.push(finding.of("shadow-intact", Topic::Access));
        }
        Ok(())
    }

    fn several(&mut self, path: &str, lines: Vec<usize>) {
        let [first, others @ ..] = &lines[..] else { return };
        if !others.is_empty() {
            let others: Vec<String> = others.iter().take(5).map(ToString::to_string).collect();
            let text =
                format!("{} has several lines in {path}: the first counts and is changed", self.request.user);
            self.note(text, &format!("{path}:{first}"), &format!("also on line {}", others.join(", ")));
        }
    }

    fn passwd_source(&self) -> String {
        format!("{PASSWD}:{}", self.user.row.line)
    }

    fn passwd_line(&self) -> Line {
        Line::of(&self.user.row)
    }

    fn write_passwd(&mut self, line: Line) -> Result<()> {
        let body = line.put_into(self.passwd);
        if body == self.passwd.bytes { Ok(()) } else { self.write(PASSWD, body) }
    }

    fn write(&mut self, path: &str, body: Vec<u8>) -> Result<()> {
        let root = &self.target.root;
        let file = root.resolve(path)?.unwrap_or_else(|| path.to_owned());
        root.refuse_immutable(&file).with_context(|| format!("changing {path}"))?;
        self.files.push(FileChange::Write {
            path: path.to_owned(),
            body,
            mode: None,
            secret: Secrecy::Secret,
        });
        Ok(())
    }

    fn note(&mut self, title: String, source: &str, text: &str) {
        self.findings.push(Finding::note(title).seen(source, text).of("shadow-intact", Topic::Access));
    }

    fn finish(mut self) -> Result<Proposal> {
        let (findings, left) = self.obstacles.told();
        self.findings.extend(findings);
        let is_bsd = self.files.iter().any(|file| file.path() == MASTER_PASSWD);
        let plan = Plan {
            verb: "set-password",
            title: format!("set the password of {}", self.request.user),
            files: self.files,
            activate: if is_bsd && self.target.is_live() {
                vec![Cmd::new(&["pwd_mkdb", "-p", "/etc/master.passwd"])]
            } else {
                Vec::new()
            },
            steps: Vec::new(),
            ..Plan::default()
        };
        Ok(Proposal { plan, findings: self.findings, left })
    }
}
