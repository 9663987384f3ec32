//! The accounts of a system as its login programs read them: passwd, shadow and master.passwd under the root, never
//! NSS of the machine that looks.
//!
//! The files are kept as bytes and parsed a line at a time, so that whoever changes one line keeps the others. Lines
//! that the C library skips are skipped here as well: what nobody reads does not count. The beginning of a hash is
//! all that is ever told of it. Locks, login.defs and the tallies of failed logins are in the modules below.

pub mod defaults;
pub mod locks;
pub mod tally;
#[cfg(test)]
mod tests;

use std::ops::Range;

use anyhow::Result;

use crate::root::Root;

/// Where the accounts are.
pub const PASSWD: &str = "etc/passwd";
/// Where Linux keeps hashes.
pub const SHADOW: &str = "etc/shadow";
/// Where BSD keeps hashes; the databases that it really reads are made from it by `pwd_mkdb`.
pub const MASTER_PASSWD: &str = "etc/master.passwd";

/// A file of lines whose fields are set off by colons, as bytes.
#[derive(Clone)]
pub struct Table {
    /// The whole file.
    pub bytes: Vec<u8>,
}

/// A line that names somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Row<'t> {
    /// Its number, from 1.
    pub line: usize,
    /// Its bytes in the file, without the newline.
    pub range: Range<usize>,
    /// Its fields; a name is not empty.
    pub fields: Vec<&'t [u8]>,
}

/// A line of passwd.
#[derive(Clone, PartialEq, Eq)]
pub struct User<'t> {
    /// The line.
    pub row: Row<'t>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A line of shadow. Days are counted from 1970-01-01; `None` where the field is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Shadow<'t> {
    /// The line.
    pub row: Row<'t>,
    /// Day of the last change; 0 asks for a new password at the next login.
    pub changed: Option<i64>,
    /// Days that a password has to last.
    pub minimum: Option<i64>,
    /// Days after which it has to be changed.
    pub maximum: Option<i64>,
    /// Days of warning before.
    pub warning: Option<i64>,
    /// Days after `maximum` from which it is not taken any more.
    pub inactive: Option<i64>,
    /// Day from which nobody gets in.
    pub expires: Option<i64>,
}

/// A line of master.passwd. Times are seconds since 1970; 0 is never.
#[derive(Clone, PartialEq, Eq)]
pub struct Master<'t> {
    /// The line: name, hash, uid, gid, class, change, expire, gecos, home, shell.
    pub row: Row<'t>,
    /// When the password has to be changed.
    pub change: i64,
    /// From when nobody gets in.
    pub expires: i64,
}

/// What a password field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// Nothing: no password is asked for.
    Empty,
    /// A hash.
    Hash(Scheme),
    /// A hash behind `!` (`usermod -L`) or `*LOCKED*` (`pw lock`).
    Locked(Scheme),
    /// Something that no password hashes to: `*`, `!`, `!!`, `x`.
    Never,
}

/// How a password was hashed (crypt(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Traditional, 8 characters count; also BSDi's `_`.
    Des,
    /// `$1$`, and Sun's `$md5`.
    Md5,
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt,
    /// `$5$`.
    Sha256,
    /// `$6$`.
    Sha512,
    /// `$7$`.
    Scrypt,
    /// `$y$`.
    Yescrypt,
    /// `$gy$`.
    GostYescrypt,
    /// Another `$id$`.
    Other,
}

/// Which file the login programs take the hash of a user from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// etc/shadow.
    Shadow,
    /// etc/passwd itself: there is no shadow file.
    Passwd,
    /// etc/tcb/USER/shadow (Openwall's tcb).
    Tcb,
    /// etc/master.passwd and the databases made from it.
    MasterPasswd,
}

impl Store {
    /// Returns where this system keeps hashes.
    ///
    /// # Errors
    /// nsswitch.conf cannot be read.
    pub fn of(root: &Root) -> Result<Self> {
        if root.lstat_opt(MASTER_PASSWD)?.is_some() {
            return Ok(Self::MasterPasswd);
        }
        if services(root, "shadow")?.iter().any(|service| service == "tcb") && root.exists("etc/tcb") {
            return Ok(Self::Tcb);
        }
        Ok(if root.lstat_opt(SHADOW)?.is_some() { Self::Shadow } else { Self::Passwd })
    }
}

/// Returns the services that nsswitch.conf names for a database (`passwd`, `shadow`), without the actions in brackets;
/// empty where it names none.
///
/// # Errors
/// nsswitch.conf cannot be read.
pub fn services(root: &Root, database: &str) -> Result<Vec<String>> {
    let text = root.text_opt("etc/nsswitch.conf")?.unwrap_or_default();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut named = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() == database);
    let Some((_, services)) = named.next_back() else { return Ok(Vec::new()) };
    let mut inside = false;
    let mut words = Vec::new();
    for word in services.replace('[', " [ ").replace(']', " ] ").split_whitespace() {
        match word {
            "[" => inside = true,
            "]" => inside = false,
            _ if !inside => words.push(word.to_owned()),
            _ => {}
        }
    }
    Ok(words)
}

impl Table {
    /// Returns a file, or `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read; shadow only root may read.
    pub fn read(root: &Root, path: &str) -> Result<Option<Self>> {
        Ok(root.read_opt(path)?.map(|bytes| Self { bytes }))
    }

    /// Returns every line with a name in order. Blank lines and comments are none (glibc nss/nss_files).
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut start = 0;
        let mut line = 0;
        std::iter::from_fn(move || {
            loop {
                let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
                let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                let range = start..start + length;
                start = range.end + 1;
                line += 1;
                let text = rest[..length].trim_ascii_start();
                if text.is_empty() || text.starts_with(b"#") || text.starts_with(b":") {
                    continue;
                }
                // nine or ten have a meaning; one more shows that there are too many
                let fields = text.splitn(12, |&byte| byte == b':').collect();
                return Some(Row { line, range, fields });
            }
        })
    }

    /// Returns the lines of NIS and its like (`+`, `+@group`, `-user`): who they stand for is not in this file.
    pub fn compat_rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows().filter(Row::is_compat)
    }

    /// Returns the accounts of passwd in order.
    pub fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.rows().filter(|row| !row.is_compat()).filter_map(User::of)
    }

    /// Returns the line of passwd that counts for a name: the first.
    pub fn user(&self, name: &str) -> Option<User<'_>> {
        self.users().find(|user| user.row.name() == name.as_bytes())
    }

    /// Returns the lines of shadow for a name; the first counts.
    pub fn shadows<'t>(&'t self, name: &'t str) -> impl Iterator<Item = Shadow<'t>> {
        self.rows().filter(|row| row.name() == name.as_bytes()).filter_map(Shadow::of)
    }

    /// Returns the lines of master.passwd for a name; the first counts.
    pub fn masters<'t>(&'t self, name: &'t str) -> impl Iterator<Item = Master<'t>> {
        self.rows().filter(|row| row.name() == name.as_bytes()).filter_map(Master::of)
    }
}

impl<'t> Row<'t> {
    /// Returns the first field.
    pub fn name(&self) -> &'t [u8] {
        self.fields.first().copied().unwrap_or_default()
    }

    /// Returns the second field: a hash, or what stands for one.
    pub fn secret(&self) -> &'t [u8] {
        self.fields.get(1).copied().unwrap_or_default()
    }

    /// Returns what the second field says.
    pub fn password(&self) -> Password {
        Password::of(self.secret())
    }

    fn is_compat(&self) -> bool {
        self.name().starts_with(b"+") || self.name().starts_with(b"-")
    }

    /// Returns a number; `Some(None)` for an empty field, `None` for one that is no number.
    fn number(&self, field: usize) -> Option<Option<i64>> {
        let text = self.fields.get(field).copied().unwrap_or_default();
        if text.is_empty() {
            return Some(None);
        }
        let number = std::str::from_utf8(text.trim_ascii_start()).ok()?.parse::<i64>().ok()?;
        // glibc takes them as int, and -1 for empty
        i32::try_from(number).ok().map(|_| Some(number).filter(|number| *number != -1))
    }
}

impl<'t> User<'t> {
    fn of(row: Row<'t>) -> Option<Self> {
        let id = |field| row.number(field).flatten().and_then(|id| u32::try_from(id).ok());
        let (uid, gid) = (id(2)?, id(3)?);
        (row.fields.len() >= 7).then_some(Self { row, uid, gid })
    }

    /// Whether the hash is in another file (Linux-PAM modules/pam_unix/passverify.c, `is_pwd_shadowed`; BSD writes `*`).
    pub fn is_shadowed(&self) -> bool {
        self.row.secret() == b"x" || self.row.secret().starts_with(b"##")
    }

    /// Returns the home directory.
    pub fn home(&self) -> &'t [u8] {
        self.row.fields.get(5).copied().unwrap_or_default()
    }

    /// Returns the shell; empty means /bin/sh.
    pub fn shell(&self) -> &'t [u8] {
        self.row.fields.get(6).copied().unwrap_or_default()
    }
}

impl<'t> Shadow<'t> {
    /// Numbers have to be numbers, and the field after the fourth colon has to begin (glibc shadow/sgetspent_r.c).
    fn of(row: Row<'t>) -> Option<Self> {
        let is_whole = match row.fields.len() {
            5 => !row.fields[4].is_empty(),
            count => (6..=9).contains(&count) && row.number(8).is_some(),
        };
        let day = |field| row.number(field);
        let (changed, minimum, maximum) = (day(2)?, day(3)?, day(4)?);
        let (warning, inactive, expires) = (day(5)?, day(6)?, day(7)?);
        is_whole.then_some(Self { row, changed, minimum, maximum, warning, inactive, expires })
    }

    /// Whether the account is over on a day: nobody gets in, whatever the password (pam_unix, `check_shadow_expiry`).
    pub fn is_expired(&self, today: i64) -> bool {
        self.expires.is_some_and(|day| today >= day)
    }

    /// Whether the password is too old on a day to be taken at all; a change of it mends that.
    pub fn is_password_dead(&self, today: i64) -> bool {
        let (Some(changed), Some(maximum), Some(inactive)) = (self.changed, self.maximum, self.inactive)
        else {
            return false;
        };
        let age = today.saturating_sub(changed);
        age > maximum && age > inactive && age > maximum.saturating_add(inactive)
    }
}

impl<'t> Master<'t> {
    fn of(row: Row<'t>) -> Option<Self> {
        let time = |field| Some(row.number(field)?.unwrap_or(0));
        let (change, expires) = (time(5)?, time(6)?);
        (row.fields.len() == 10).then_some(Self { row, change, expires })
    }

    /// Whether the account is over at a time, in seconds since 1970.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires != 0 && now >= self.expires
    }
}

impl Password {
    /// Judges a password field.
    pub fn of(field: &[u8]) -> Self {
        if field.is_empty() {
            return Self::Empty;
        }
        let hash = field.strip_prefix(b"*LOCKED*").unwrap_or(field);
        let hash = &hash[hash.iter().take_while(|&&byte| byte == b'!').count()..];
        match Scheme::of(hash) {
            Some(scheme) if hash.len() == field.len() => Self::Hash(scheme),
            Some(scheme) => Self::Locked(scheme),
            None => Self::Never,
        }
    }
}

impl Scheme {
    /// Returns the scheme of a hash, or `None` for what cannot be one.
    pub fn of(hash: &[u8]) -> Option<Self> {
        let of_id = |id: &[u8]| match id {
            b"1" | b"md5" => Self::Md5,
            b"2a" | b"2b" | b"2x" | b"2y" => Self::Bcrypt,
            b"5" => Self::Sha256,
            b"6" => Self::Sha512,
            b"7" => Self::Scrypt,
            b"y" => Self::Yescrypt,
            b"gy" => Self::GostYescrypt,
            _ => Self::Other,
        };
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'/';
        match hash {
            [b'$', rest @ ..] => {
                let end = rest.iter().position(|byte| matches!(byte, b'$' | b','))?;
                (end > 0).then(|| of_id(&rest[..end]))
            }
            [b'_', rest @ ..] if rest.len() == 19 && rest.iter().all(is_digit) => Some(Self::Des),
            _ => (hash.len() == 13 && hash.iter().all(is_digit)).then_some(Self::Des),
        }
    }
}
