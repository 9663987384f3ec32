//! Failed logins that pam_faillock counted: whether they keep a user out.
//!
//! Its settings come from security/faillock.conf and the arguments in pam.d, which win (faillock.conf(5)). The tally
//! is usually under /var/run, so it is there on a running guest only.

use anyhow::Result;

use crate::root::Root;

/// The files of pam.d in which logins are counted.
const STACKS: [&str; 6] = ["system-auth", "password-auth", "common-auth", "sshd", "login", "system-login"];

/// One record, in bytes: source[52], reserved u16, status u16, time u64 (pam_faillock/faillock.h, `struct tally`).
const RECORD: usize = 64;
const STATUS_AT: usize = 54;
const TIME_AT: usize = 56;
/// `TALLY_STATUS_VALID`.
const VALID: u16 = 1;
/// Records that are read; pam_faillock keeps `deny` of them, and at least 1024 bytes.
const RECORDS_MAX: u64 = 1024;

/// What pam_faillock does with a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The user's file of failed logins.
    pub path: String,
    /// Failed logins that count now.
    pub failures: usize,
    /// How many are too many; 0 never locks.
    pub deny: usize,
    /// Whether they keep the user out now.
    pub is_locked: bool,
    /// When it ends by itself, seconds since 1970; `None` never.
    pub until: Option<u64>,
}

/// Settings and their defaults (faillock.conf(5)).
struct Settings {
    dir: String,
    deny: u64,
    interval: u64,
    unlock: u64,
    even_root: bool,
    root_unlock: Option<u64>,
}

/// Returns what pam_faillock counted for a user, or `None` where it is not used or counted nothing.
///
/// # Errors
/// A file cannot be read.
pub fn of(root: &Root, user: &str, uid: u32, now: u64) -> Result<Option<Tally>> {
    let Some(settings) = settings(root)? else { return Ok(None) };
    let path = format!("{}/{user}", settings.dir.trim_matches('/'));
    if user.contains('/') || user.starts_with('.') {
        return Ok(None);
    }
    let Some(bytes) = bytes_of(root, &path)? else { return Ok(None) };
    let times: Vec<u64> = bytes.chunks_exact(RECORD).filter_map(time_of_failure).collect();
    let Some(latest) = times.iter().max().copied() else { return Ok(None) };
    let failures = times.iter().filter(|time| latest - **time < settings.interval).count();
    let unlock = match settings.root_unlock {
        Some(seconds) if uid == 0 => seconds,
        _ => settings.unlock,
    };
    let until = (unlock != 0).then(|| latest.saturating_add(unlock));
    let counts = uid != 0 || settings.even_root;
    let is_full = settings.deny != 0 && failures as u64 >= settings.deny;
    let is_locked = counts && is_full && until.is_none_or(|until| now <= until);
    let deny = usize::try_from(settings.deny).unwrap_or(usize::MAX);
    Ok(Some(Tally { path, failures, deny, is_locked, until: until.filter(|_| is_locked) }))
}

fn bytes_of(root: &Root, path: &str) -> Result<Option<Vec<u8>>> {
    use std::io::Read;
    let Some((file, _)) = root.open_file(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(RECORDS_MAX * RECORD as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn time_of_failure(record: &[u8]) -> Option<u64> {
    let status = u16::from_ne_bytes(record[STATUS_AT..TIME_AT].try_into().ok()?);
    let time = u64::from_ne_bytes(record[TIME_AT..RECORD].try_into().ok()?);
    (status & VALID != 0).then_some(time)
}

fn settings(root: &Root) -> Result<Option<Settings>> {
    let mut settings = Settings {
        dir: "var/run/faillock".to_owned(),
        deny: 3,
        interval: 900,
        unlock: 600,
        even_root: false,
        root_unlock: None,
    };
    let conf = root.text_opt("etc/security/faillock.conf")?.unwrap_or_default();
    for line in conf.lines().map(|line| line.split('#').next().unwrap_or_default()) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        settings.set(name.trim(), value.trim());
    }
    let mut is_used = false;
    for stack in STACKS {
        let text = root.text_opt(&format!("etc/pam.d/{stack}"))?.unwrap_or_default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((_, arguments)) = line.split_once("pam_faillock.so") else { continue };
            is_used = true;
            for argument in arguments.split_whitespace() {
                let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
                settings.set(name, value);
            }
        }
    }
    Ok(is_used.then_some(settings))
}

impl Settings {
    fn set(&mut self, name: &str, value: &str) {
        let number = value.parse::<u64>();
        match (name, number) {
            ("dir", _) if !value.is_empty() => value.clone_into(&mut self.dir),
            ("deny", Ok(number)) => self.deny = number,
            ("fail_interval", Ok(number)) => self.interval = number,
            ("unlock_time", Ok(number)) => self.unlock = number,
            ("unlock_time", Err(_)) if value == "never" => self.unlock = 0,
            ("even_deny_root", _) => self.even_root = true,
            // it implies even_deny_root
            ("root_unlock_time", Ok(number)) => (self.even_root, self.root_unlock) = (true, Some(number)),
            ("root_unlock_time", Err(_)) if value == "never" => {
                (self.even_root, self.root_unlock) = (true, Some(0));
            }
            _ => {}
        }
    }
}
