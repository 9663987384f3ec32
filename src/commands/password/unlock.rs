//! Opens an account as it is: the lock in front of the hash, the expiry, the failed logins and a shell that refuses are
//! taken away, the password stays. An account that never had a password gets none here.

use anyhow::{Context, Result};

use super::account::{self, Line};
use super::now;
use crate::exec::Cmd;
use crate::facts::accounts::{MASTER_PASSWD, PASSWD, SHADOW, Store, Table, tally};
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::Root;
use crate::target::Target;

/// Returns the plan; empty where nothing is closed, or where only a password helps.
///
/// # Errors
/// A file of the accounts is missing or cannot be read.
pub fn plan(target: &Target, user: &str) -> Result<Plan> {
    let root = &target.root;
    let mut plan = Plan { verb: "fix", title: format!("open the account {user}"), ..Plan::default() };
    let passwd = Table::read(root, PASSWD)?.context("reading etc/passwd: no such file")?;
    let entry = passwd.user(user).with_context(|| format!("{user} is not in etc/passwd"))?;
    let mut line = Line::of(&entry.row);
    match Store::of(root)? {
        Store::Shadow => {
            let shadow = Table::read(root, SHADOW)?.context("reading etc/shadow: no such file")?;
            if let Some(entry) = shadow.shadows(user).next() {
                let mut line = Line::of(&entry.row);
                open(&mut line);
                if entry.is_expired(now() / 86400) {
                    line.set(7, "");
                }
                if entry.is_password_dead(now() / 86400) {
                    line.set(6, "");
                }
                write(&mut plan, SHADOW, &shadow, &line);
            }
        }
        Store::MasterPasswd => {
            let master =
                Table::read(root, MASTER_PASSWD)?.context("reading etc/master.passwd: no such file")?;
            if let Some(entry) = master.masters(user).next() {
                let mut line = Line::of(&entry.row);
                open(&mut line);
                if entry.is_expired(now()) {
                    line.set(6, "0");
                }
                log_in(root, &mut line, 9);
                write(&mut plan, MASTER_PASSWD, &master, &line);
            }
            if target.is_live() {
                plan.activate.push(Cmd::new(&["pwd_mkdb", "-p", "/etc/master.passwd"]));
            }
            return Ok(plan);
        }
        Store::Passwd => open(&mut line),
        Store::Tcb => {}
    }
    log_in(root, &mut line, 6);
    write(&mut plan, PASSWD, &passwd, &line);
    let tally = tally::of(root, user, entry.uid, u64::try_from(now()).unwrap_or(0))?;
    if let Some(tally) = tally.filter(|tally| tally.is_locked) {
        plan.files.push(FileChange::Remove { path: tally.path });
    }
    Ok(plan)
}

fn open(line: &mut Line) {
    let field = line.get(1);
    let (lock, hash) = account::lock_of(&field);
    // what stands behind the lock has to be a hash: `!*` stays
    if !lock.is_empty()
        && crate::facts::accounts::Scheme::of(hash).is_some()
        && let Ok(hash) = std::str::from_utf8(hash)
    {
        line.set(1, hash);
    }
}

fn log_in(root: &Root, line: &mut Line, field: usize) {
    if account::refusal(root, &line.get(field)).is_none() {
        return;
    }
    let shells = ["/bin/bash", "/bin/sh"];
    if let Some(shell) = shells.into_iter().find(|shell| account::refusal(root, shell.as_bytes()).is_none()) {
        line.set(field, shell);
    }
}

fn write(plan: &mut Plan, path: &str, table: &Table, line: &Line) {
    let body = line.put_into(table);
    if body != table.bytes {
        let (path, secret) = (path.to_owned(), Secrecy::Secret);
        plan.files.push(FileChange::Write { path, body, mode: None, secret });
    }
}
