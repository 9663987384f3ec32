//! Root's account: locked, over, without a shell; and how its password is hashed.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::USER;
use crate::check::{Finding, network};
use crate::commands::password::account;
use crate::facts::accounts::defaults::Defaults;
use crate::facts::accounts::{MASTER_PASSWD, PASSWD, Password, SHADOW, Scheme, Store, Table, tally};
use crate::target::Target;

/// What the account files say of root.
struct Account {
    password: Password,
    /// Where the password field is.
    source: String,
    /// Why nobody gets in any more, in words.
    over: Option<String>,
    shell: Vec<u8>,
    shell_source: String,
    uid: u32,
}

pub(super) fn usable(target: &Target) -> Result<Vec<Finding>> {
    let Some(account) = account(target)? else { return Ok(vec![nothing()]) };
    let mut findings = Vec::new();
    findings.extend(locked(target, &account));
    if let Some(why) = &account.over {
        findings.push(
            closed("root's account is over: no password is taken", &account.source, why)
                .about("expiry")
                .by(&["chage", "-E", "-1", "-I", "-1", USER]),
        );
    }
    // a disk whose /usr is another file system shows no shell at all
    let is_whole = target.root.exists("bin/sh");
    let refusal = account::refusal(&target.root, &account.shell);
    if let Some(why) = refusal.filter(|why| is_whole || why.ends_with("lets nobody in")) {
        findings.push(
            closed("root has no login shell", &account.shell_source, &why)
                .about("shell")
                .by(&["usermod", "-s", "/bin/sh", USER]),
        );
    }
    if let Some(tally) = tally::of(&target.root, USER, account.uid, u64::try_from(now()).unwrap_or(0))?
        && tally.is_locked
    {
        let text = format!("{} failed logins, {} are too many", tally.failures, tally.deny);
        findings.push(
            closed("pam_faillock keeps root out", &tally.path, &text)
                .about("failed-logins")
                .by(&["faillock", "--user", USER, "--reset"]),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("root's account is open").seen(account.source, "a password is set"));
    }
    Ok(findings)
}

fn locked(target: &Target, account: &Account) -> Option<Finding> {
    let is_image = network::was_never_built(target);
    match account.password {
        Password::Hash(_) => None,
        Password::Empty if is_image => {
            Some(Finding::note("root has no password yet: the agent sets it").about("lock"))
        }
        Password::Empty => Some(
            Finding::note("root has no password: the console asks for none, and ssh refuses an empty one")
                .seen(&account.source, "the password field is empty")
                .about("lock"),
        ),
        Password::Locked(_) => Some(
            closed("root is locked", &account.source, "a mark stands in front of the hash")
                .about("lock")
                .by(&["usermod", "-U", USER]),
        ),
        // no lock: `passwd`, and so the agent, writes a hash over it
        Password::Never => Some(
            Finding::note("root has no password: the agent sets one when the host asks")
                .seen(&account.source, "the password field is no hash")
                .about("lock")
                .mend("to log in with one before that, set it")
                .by(&["novactl", "set-password", USER]),
        ),
    }
}

fn closed(title: &str, source: &str, text: &str) -> Finding {
    Finding::fail(title)
        .because("a password reset is reported as done and the login is refused all the same")
        .seen(source, text)
        .mend("open the account")
}

pub(super) fn scheme(target: &Target) -> Result<Vec<Finding>> {
    let Some(account) = account(target)? else { return Ok(vec![nothing()]) };
    let (Password::Hash(scheme) | Password::Locked(scheme)) = account.password else {
        return Ok(vec![Finding::skipped("root has no hash")]);
    };
    let (name, why) = match scheme {
        Scheme::Md5 => ("MD5", "a graphics card tries thousands of millions a second; FIPS mode refuses it"),
        Scheme::Des => ("DES", "only the first 8 characters count, and every one of them can be tried"),
        _ => return Ok(vec![Finding::ok("root's password is hashed with salt and rounds")]),
    };
    let title = format!("root's password is hashed with {name}");
    // CentOS 5 and its like hash so by themselves
    if let Some((source, text)) = asks_for_old(target)? {
        return Ok(vec![
            Finding::note(format!("{title}, as this system hashes all"))
                .seen(account.source, name)
                .seen(source, text),
        ]);
    }
    Ok(vec![
        Finding::warn(title)
            .because(why)
            .seen(account.source, name)
            .mend("set the password anew: it is then hashed as this system does")
            .by(&["novactl", "set-password", USER]),
    ])
}

/// The setting that makes `passwd` hash with MD5 or DES.
fn asks_for_old(target: &Target) -> Result<Option<(String, String)>> {
    let defaults = Defaults::of(&target.root)?;
    if let Some((method, line)) = defaults.get("ENCRYPT_METHOD") {
        let is_old = ["MD5", "DES"].iter().any(|old| method.eq_ignore_ascii_case(old));
        return Ok(is_old.then(|| (format!("{}:{line}", defaults.path), format!("ENCRYPT_METHOD {method}"))));
    }
    let md5 = defaults.get("MD5_CRYPT_ENAB").filter(|(value, _)| value.eq_ignore_ascii_case("yes"));
    Ok(md5.map(|(_, line)| (format!("{}:{line}", defaults.path), "MD5_CRYPT_ENAB yes".to_owned())))
}

fn nothing() -> Finding {
    Finding::skipped("root has no line in the account files")
}

fn account(target: &Target) -> Result<Option<Account>> {
    let root = &target.root;
    let Some(passwd) = Table::read(root, PASSWD)? else { return Ok(None) };
    let Some(user) = passwd.user(USER) else { return Ok(None) };
    let source = format!("{PASSWD}:{}", user.row.line);
    let mut account = Account {
        password: user.row.password(),
        source: source.clone(),
        over: None,
        shell: user.shell().to_vec(),
        shell_source: source,
        uid: user.uid,
    };
    match Store::of(root)? {
        Store::Passwd => Ok((!user.is_shadowed()).then_some(account)),
        Store::Tcb => Ok(None),
        // a hash in passwd itself wins (pam_unix)
        Store::Shadow if !user.is_shadowed() => Ok(Some(account)),
        Store::Shadow => {
            let Some(table) = Table::read(root, SHADOW)? else { return Ok(None) };
            let Some(entry) = table.shadows(USER).next() else { return Ok(None) };
            let today = now() / 86400;
            account.password = entry.row.password();
            account.source = format!("{SHADOW}:{}", entry.row.line);
            account.over = match entry.expires {
                Some(day) if entry.is_expired(today) => Some(format!("expired on day {day} since 1970")),
                _ if entry.is_password_dead(today) => Some("the password is too old to be taken".to_owned()),
                _ => None,
            };
            Ok(Some(account))
        }
        Store::MasterPasswd => {
            let Some(table) = Table::read(root, MASTER_PASSWD)? else { return Ok(None) };
            let Some(entry) = table.masters(USER).next() else { return Ok(None) };
            account.password = entry.row.password();
            account.source = format!("{MASTER_PASSWD}:{}", entry.row.line);
            account.over = entry.is_expired(now()).then(|| "expired".to_owned());
            account.shell = entry.row.fields.get(9).copied().unwrap_or_default().to_vec();
            account.shell_source.clone_from(&account.source);
            Ok(Some(account))
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
