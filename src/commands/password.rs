//! A new password for an account, as a plan: the line that login reads gets a new hash and the day of the change.
//!
//! The line is edited here, live and on a disk alike, instead of by `passwd`, which on a sick system is missing, stopped
//! by a stale lock or refused by a module. Every other byte of the file stays. Where the hash is, is found out the way
//! login finds it: shadow, passwd itself, tcb, or BSD's master.passwd. A lock, an expiry or a shell that refuses is
//! mended only when that is asked for, and said otherwise.

pub(crate) mod account;
pub mod scheme;
#[cfg(test)]
mod tests;
pub mod unlock;
mod work;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use crate::check::Finding;
use crate::facts::accounts::{self, MASTER_PASSWD, PASSWD, Password, Row, SHADOW, Store, Table, User};
use crate::plan::Plan;
use crate::root::Root;
use crate::secret::Secret;
use crate::target::Target;
use scheme::Method;
use work::Work;

/// The longest password in bytes: PAM carries 511 and a NUL (_pam_types.h, `PAM_MAX_RESP_SIZE`).
pub const LENGTH_MAX: usize = 511;

/// The characters of a drawn password: none that is taken for another.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const DRAWN_LENGTH: usize = 20;

/// Databases that passwd or `+` lines can name besides the files.
const LOCAL: [&str; 5] = ["files", "compat", "db", "systemd", "altfiles"];

/// The request: this password for that user.
#[derive(Debug, Clone)]
pub struct SetPassword {
    /// Whose.
    pub user: String,
    /// What it is to be.
    pub password: Secret,
    /// What to do with an account that is closed.
    pub unlock: Unlock,
}

/// What to do with an account that nobody gets into, whatever the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlock {
    /// Leave it closed, and say so.
    Keep,
    /// Open the lock in the hash alone, as passwd(1) does when root sets a password: what the host asks for.
    Lock,
    /// Open it: take the lock, the expiry, the failed logins and a shell that refuses away.
    Mend,
}

/// What is to be done, and what there is to say about it.
#[derive(Debug)]
pub struct Proposal {
    /// The change.
    pub plan: Plan,
    /// What was found on the way.
    pub findings: Vec<Finding>,
    /// What stops the login all the same, each in a line.
    pub left: Vec<String>,
}

impl SetPassword {
    /// Returns the plan alone.
    ///
    /// # Errors
    /// As [`SetPassword::propose`].
    pub fn plan(&self, target: &Target) -> Result<Plan> {
        Ok(self.propose(target)?.plan)
    }

    /// Returns the plan and what was found. Nothing is changed; a password that the line has already keeps its hash.
    ///
    /// # Errors
    /// The password cannot be typed at a login, the user is not one of this system's files, or the file that holds the
    /// hash is missing, unreadable or immutable.
    pub fn propose(&self, target: &Target) -> Result<Proposal> {
        refuse_password(&self.password)?;
        let root = &target.root;
        let passwd = Table::read(root, PASSWD)?.context("reading etc/passwd: no such file")?;
        let Some(user) = passwd.user(&self.user) else { return Err(stranger(root, &passwd, &self.user)?) };
        Work::new(self, target, &passwd, &user).propose()
    }
}

/// Refuses a user that is not one of this system's files.
///
/// # Errors
/// There is none of this name, or etc/passwd cannot be read.
pub fn expect_user(target: &Target, user: &str) -> Result<()> {
    let root = &target.root;
    let passwd = Table::read(root, PASSWD)?.context("reading etc/passwd: no such file")?;
    if passwd.user(user).is_some() { Ok(()) } else { Err(stranger(root, &passwd, user)?) }
}

/// Returns a new password of 20 characters, none of which is taken for another.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn draw() -> Result<Secret> {
    let mut drawn = Vec::with_capacity(DRAWN_LENGTH);
    let fair = LETTERS.len() * (256 / LETTERS.len());
    while drawn.len() < DRAWN_LENGTH {
        let mut byte = [0];
        getrandom::fill(&mut byte).map_err(|e| anyhow!("drawing a password: {e}"))?;
        let number = usize::from(byte[0]);
        if number < fair {
            drawn.push(LETTERS[number % LETTERS.len()]);
        }
    }
    Ok(Secret::new(drawn))
}

/// Refuses what cannot be typed at a login or would be another password there.
///
/// # Errors
/// It is empty, too long, not UTF-8, or has a control character in it.
pub fn refuse_password(password: &Secret) -> Result<()> {
    let bytes = password.expose();
    if bytes.is_empty() {
        bail!("the password is empty");
    }
    if bytes.len() > LENGTH_MAX {
        bail!("the password has {} bytes: a login takes {LENGTH_MAX}", bytes.len());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { bail!("the password is not UTF-8") };
    if text.contains(['\n', '\r']) {
        bail!("the password has a line break in it");
    }
    if text.contains(char::is_control) {
        bail!("the password has a control character in it");
    }
    Ok(())
}

/// Says why a user is none of this system's.
fn stranger(root: &Root, passwd: &Table, user: &str) -> Result<anyhow::Error> {
    let mut elsewhere = accounts::services(root, "passwd")?;
    elsewhere.retain(|service| !LOCAL.contains(&service.as_str()));
    if passwd.compat_rows().next().is_some() && !elsewhere.iter().any(|service| service == "nis") {
        elsewhere.push("nis".to_owned());
    }
    if !elsewhere.is_empty() {
        let elsewhere = elsewhere.join(", ");
        return Ok(anyhow!(
            "{user} is not in etc/passwd: this system also takes users from {elsewhere}, and their passwords are changed there"
        ));
    }
    let can_login = |user: &User<'_>| account::refusal(root, user.shell()).is_none();
    let names = passwd.users().map(|user| String::from_utf8_lossy(user.row.name()).into_owned());
    let likeness =
        |name: &str| strsim::normalized_damerau_levenshtein(&user.to_lowercase(), &name.to_lowercase());
    let near = names.map(|name| (likeness(&name), name)).filter(|(likeness, _)| *likeness > 0.5);
    if let Some((_, near)) = near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        return Ok(anyhow!("there is no user {user:?} in etc/passwd: did you mean {near}?"));
    }
    let names = passwd.users().filter(can_login).take(8);
    let names: Vec<String> =
        names.map(|user| String::from_utf8_lossy(user.row.name()).into_owned()).collect();
    Ok(anyhow!("there is no user {user:?} in etc/passwd; with a login shell: {}", names.join(", ")))
}

/// Returns the shadow file of one user.
fn tcb(user: &str) -> String {
    format!("etc/tcb/{user}/shadow")
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// Whether the line that login reads holds a hash of the password, locked or not: the second look at a change.
///
/// # Errors
/// The file cannot be read.
pub fn verify(target: &Target, request: &SetPassword) -> Result<bool> {
    let root = &target.root;
    let path = match Store::of(root)? {
        Store::Shadow => SHADOW.to_owned(),
        Store::Tcb => tcb(&request.user),
        Store::Passwd => PASSWD.to_owned(),
        Store::MasterPasswd => MASTER_PASSWD.to_owned(),
    };
    let table = Table::read(root, &path)?.with_context(|| format!("reading {path}: no such file"))?;
    let mut rows: Box<dyn Iterator<Item = Row<'_>>> = match path.as_str() {
        PASSWD => Box::new(table.user(&request.user).map(|user| user.row).into_iter()),
        MASTER_PASSWD => Box::new(table.masters(&request.user).map(|entry| entry.row)),
        _ => Box::new(table.shadows(&request.user).map(|entry| entry.row)),
    };
    let Some(row) = rows.next() else { return Ok(false) };
    let is_hash = matches!(row.password(), Password::Hash(_) | Password::Locked(_));
    Ok(is_hash && Method::of(root)?.made(account::lock_of(row.secret()).1, &request.password))
}
