//! Does sshd let root in with a password.
//!
//! Judged for an address that no `Match` block names. A block about addresses that decides otherwise is named.

use anyhow::Result;

use super::USER;
use crate::check::Finding;
use crate::facts::accounts::{PASSWD, Table};
use crate::facts::init::Init;
use crate::facts::os::Base;
use crate::facts::sshd::{Connection, Policy, RootLogin, Setting, Sshd};
use crate::root::Root;
use crate::target::Target;

/// The administrator's file.
const MAIN: &str = "etc/ssh/sshd_config";
/// Blocks about addresses that are tried.
const BLOCKS_MAX: usize = 20;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let Some(sshd) = Sshd::of(&target.root, target.os())? else {
        return Ok(vec![Finding::skipped("no sshd is installed")]);
    };
    let connection =
        Connection { user: USER.to_owned(), groups: groups(&target.root)?, ..Connection::default() };
    let policy = sshd.policy(&connection, &[]);
    let others = sshd.undecided(&connection).into_iter().take(BLOCKS_MAX).find(|(number, _)| {
        sshd.policy(&connection, &[*number]).root_by_password() != policy.root_by_password()
    });
    let build = &sshd.defaults().build;
    let Some((title, source, text)) = obstacle(&policy, build) else {
        return Ok(vec![match others {
            Some((_, block)) => {
                Finding::note("sshd treats root otherwise where a block about addresses holds")
                    .seen("etc/ssh/sshd_config", block)
            }
            None => {
                let (source, text) = shown("PermitRootLogin", &policy.root_login, "yes", build);
                Finding::ok("sshd lets root in with a password").seen(source, text)
            }
        }]);
    };
    if policy.is_by_address || others.is_some() {
        let finding =
            Finding::note("sshd lets root in with a password from some addresses only").seen(source, text);
        return Ok(vec![match others {
            Some((_, block)) => finding.seen("etc/ssh/sshd_config", block),
            None => finding,
        }]);
    }
    let finding = Finding::warn(title)
        .because(
            "a password reset is reported as done, and ssh says \"Permission denied\"; the console works",
        )
        .seen(source, text);
    Ok(vec![opened(finding, &policy, target)])
}

/// Says which lines let root in, and where the one stands that wins: the first value of a keyword counts.
fn opened(finding: Finding, policy: &Policy, target: &Target) -> Finding {
    let mut words: Vec<String> = Vec::new();
    let mut commands: Vec<Vec<String>> = Vec::new();
    if let Some(refusal) = &policy.refusal {
        let what = if refusal.keyword.starts_with("Deny") { "take root out of" } else { "add root to" };
        words.push(format!("{what} {} in /{}", refusal.keyword, refusal.source));
    }
    let mut write = |keyword: &str, source: Option<&String>| {
        let said = format!("{keyword} yes");
        let place = source.and_then(|source| source.rsplit_once(':')).filter(|(path, _)| is_editable(path));
        let argv = match (source, place) {
            (_, Some((path, line))) => {
                words.push(format!("write \"{said}\" in /{path} line {line}, which wins"));
                ["sed".to_owned(), "-i".to_owned(), format!("{line}s/.*/{said}/"), format!("/{path}")]
            }
            (None, None) if target.root.exists(MAIN) => {
                words.push(format!("put \"{said}\" first in /{MAIN}, where nothing says it yet"));
                ["sed".to_owned(), "-i".to_owned(), format!("1i {said}"), format!("/{MAIN}")]
            }
            (None, None) => return words.push(format!("write a file /{MAIN} with \"{said}\"")),
            (Some(source), None) => return words.push(format!("say \"{said}\" instead of /{source}")),
        };
        commands.push(argv.to_vec());
    };
    if policy.root_login.value != RootLogin::Yes {
        write("PermitRootLogin", policy.root_login.source.as_ref());
    }
    if !policy.takes_passwords() {
        match &policy.methods.source {
            Some(source) if !policy.methods.value.is_empty() => {
                words.push(format!("have AuthenticationMethods take a password in /{source}"));
            }
            _ => write("PasswordAuthentication", policy.password.source.as_ref()),
        }
    }
    if !commands.is_empty() {
        // on a mounted disk it has neither /dev/null nor its directory in /run
        if target.is_live() {
            commands.push(["sshd", "-t"].map(str::to_owned).to_vec());
        }
        let service = if target.os().base == Base::Debian { "ssh" } else { "sshd" };
        let reload: &[&str] = match target.services().init {
            Init::Systemd => &["systemctl", "reload", service],
            _ => &["service", service, "reload"],
        };
        commands.push(reload.iter().map(ToString::to_string).collect());
    }
    let finding =
        finding.mend(format!("unless keys alone are wanted: {}; then reload sshd", words.join("; ")));
    commands
        .iter()
        .fold(finding, |finding, argv| finding.by(&argv.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// Whether a line of a file can be replaced: it is the administrator's, and no options for the command line.
fn is_editable(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    path.starts_with("etc/ssh/") && path.chars().all(plain)
}

/// The first thing that keeps root out: a title, and where it was seen.
fn obstacle(policy: &Policy, build: &str) -> Option<(String, String, String)> {
    if let Some(refusal) = &policy.refusal {
        let names = if refusal.keyword.starts_with("Deny") { "names it" } else { "does not name it" };
        let text: String =
            format!("{} {}", refusal.keyword, refusal.patterns.join(" ")).chars().take(200).collect();
        return Some((
            format!("sshd refuses root: {} {names}", refusal.keyword),
            refusal.source.clone(),
            text,
        ));
    }
    let login = policy.root_login.value;
    let title = match login {
        RootLogin::Yes => None,
        RootLogin::KeysOnly => Some("sshd takes keys from root, no password"),
        RootLogin::CommandsOnly => Some("sshd takes keys for single commands from root, no password"),
        RootLogin::No => Some("sshd refuses root"),
    };
    if let Some(title) = title {
        let (source, text) = shown("PermitRootLogin", &policy.root_login, login.word(), build);
        return Some((title.to_owned(), source, text));
    }
    if policy.takes_passwords() {
        return None;
    }
    let methods = &policy.methods;
    let (source, text) = if methods.value.is_empty() {
        shown("PasswordAuthentication", &policy.password, "no", build)
    } else {
        shown("AuthenticationMethods", methods, &methods.value.join(" "), build)
    };
    Some(("sshd takes no passwords".to_owned(), source, text))
}

fn shown<T>(keyword: &str, setting: &Setting<T>, value: &str, build: &str) -> (String, String) {
    match &setting.source {
        Some(source) => (source.clone(), format!("{keyword} {value}")),
        None => (
            "etc/ssh/sshd_config".to_owned(),
            format!("says nothing: {keyword} {value} is the default of {build}"),
        ),
    }
}

/// The names of root's groups, from files.
fn groups(root: &Root) -> Result<Vec<String>> {
    let gid =
        Table::read(root, PASSWD)?.and_then(|passwd| passwd.user(USER).map(|user| user.gid)).unwrap_or(0);
    let Some(table) = Table::read(root, "etc/group")? else { return Ok(vec![USER.to_owned()]) };
    let is_root_in = |fields: &[&[u8]]| {
        let is_own = fields.get(2).is_some_and(|field| *field == gid.to_string().as_bytes());
        let members = fields.get(3).copied().unwrap_or_default();
        is_own || members.split(|&b| b == b',').any(|member| member == USER.as_bytes())
    };
    let rows = table.rows().filter(|row| is_root_in(&row.fields));
    Ok(rows.map(|row| String::from_utf8_lossy(row.name()).into_owned()).collect())
}
