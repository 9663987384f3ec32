//! Does the server's own name resolve without the network: /etc/hosts, or a module of NSS that knows it.

use anyhow::Result;

use crate::check::Finding;
use crate::facts::os::Family;
use crate::facts::{accounts, names};
use crate::plan::{FileChange, Plan};
use crate::root::Root;
use crate::target::Target;

const HOSTS: &str = "etc/hosts";

/// What 1.x writes behind a line that it puts into a comment (`commands/network`).
const REMOVED: &str = "# Removed by nova-agent";

/// Where libraries of NSS are.
const LIBRARIES: [&str; 4] = ["usr/lib64", "usr/lib", "lib64", "lib"];

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let sources = names::sources(target)?;
    let Some(source) = sources.first() else {
        return Ok(vec![Finding::skipped("no file names this server")]);
    };
    let text = target.root.text_opt(HOSTS)?.unwrap_or_default();
    let mut findings = vec![of_name(target, source, &text)?];
    findings.extend(removed(&text));
    Ok(findings)
}

/// Lines of 1.x, which puts an address that got another name into a comment.
fn removed(text: &str) -> Option<Finding> {
    let lines: Vec<usize> =
        (1..).zip(text.lines()).filter(|(_, line)| is_removed(line)).map(|(n, _)| n).collect();
    let first = *lines.first()?;
    Some(
        Finding::note(format!(
            "/{HOSTS} keeps old names of the server: {} in comments of agent 1.x",
            lines.len()
        ))
        .because("they are comments and do nothing; each new name adds some")
        .seen(format!("{HOSTS}:{first}"), text.lines().nth(first - 1).unwrap_or_default())
        .about(HOSTS)
        .mend("drop the lines"),
    )
}

fn is_removed(line: &str) -> bool {
    line.starts_with('#') && line.trim_end().ends_with(REMOVED)
}

fn of_name(target: &Target, source: &names::Source, text: &str) -> Result<Finding> {
    let name = &source.name;
    if let Some(line) = line_of(text, name) {
        return Ok(Finding::ok(format!("{name} is in /{HOSTS}")).seen(format!("{HOSTS}:{line}"), name));
    }
    if names_itself(&target.root)? {
        return Ok(Finding::ok(format!("{name} is known to nss-myhostname")));
    }
    Ok(Finding::note(format!("{name} is not in /{HOSTS}"))
        .because("sudo says \"unable to resolve host\" and waits for DNS; mail servers start slowly")
        .seen(format!("{}:{}", source.path, source.line), name)
        .mend(format!("add the line \"{} {name}\" at the end of /{HOSTS}", own_address(target))))
}

/// The loopback of FreeBSD has one address alone, that of Linux the whole network.
fn own_address(target: &Target) -> &'static str {
    if target.os().family == Family::FreeBsd { "127.0.0.1" } else { "127.0.1.1" }
}

/// Adds a line for the name, and drops what agent 1.x left.
pub(super) fn fix(target: &Target) -> Result<Plan> {
    let mut plan = Plan { verb: "fix", title: "let the own name resolve".to_owned(), ..Plan::default() };
    let Some(source) = names::sources(target)?.into_iter().next() else { return Ok(plan) };
    let old = target.root.read_opt(HOSTS)?;
    let known =
        old.as_deref().is_some_and(|text| line_of(&String::from_utf8_lossy(text), &source.name).is_some());
    // a name is written into a file that the resolver splits at blanks
    let is_word = source.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let mut body = old.clone().unwrap_or_else(|| b"127.0.0.1\tlocalhost\n::1\tlocalhost\n".to_vec());
    let kept = body
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !is_removed(&String::from_utf8_lossy(line)));
    body = kept.flatten().copied().collect();
    if known || !is_word || names_itself(&target.root)? {
        plan.files.extend(old.filter(|old| *old != body).map(|_| FileChange::write(HOSTS, body)));
        return Ok(plan);
    }
    if !body.is_empty() && !body.ends_with(b"\n") {
        body.push(b'\n');
    }
    let short = source.name.split('.').next().filter(|short| *short != source.name);
    let alias = short.map_or(String::new(), |short| format!(" {short}"));
    body.extend_from_slice(format!("{}\t{}{alias}\n", own_address(target), source.name).as_bytes());
    plan.files.push(FileChange::write(HOSTS, body));
    Ok(plan)
}

/// The line of hosts(5) that has the name; case does not matter.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let has = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let is_address = words.next().is_some_and(|word| {
            word.split('%').next().unwrap_or_default().parse::<std::net::IpAddr>().is_ok()
        });
        is_address && words.any(|word| word.eq_ignore_ascii_case(name))
    };
    text.lines().position(has).map(|place| place + 1)
}

/// Whether NSS asks a module that knows the own name without a file.
fn names_itself(root: &Root) -> Result<bool> {
    if !accounts::services(root, "hosts")?.iter().any(|service| service == "myhostname") {
        return Ok(false);
    }
    for dir in LIBRARIES {
        if root.exists(&format!("{dir}/libnss_myhostname.so.2")) {
            return Ok(true);
        }
        // Debian's directories of one architecture
        for entry in root.read_dir(dir)?.into_iter().filter(|entry| entry.name.ends_with("-linux-gnu")) {
            if root.exists(&format!("{dir}/{}/libnss_myhostname.so.2", entry.name)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_the_old_agent_put_into_comments_are_counted() {
        let text = "127.0.0.1 localhost\n# 10.0.0.1\told\t# Removed by nova-agent\n10.0.0.2 x # Removed by nova-agent\n";
        let found = removed(text).map(|finding| (finding.title, finding.evidence[0].source.clone()));
        let title = "/etc/hosts keeps old names of the server: 1 in comments of agent 1.x".to_owned();
        assert_eq!(found, Some((title, "etc/hosts:2".to_owned())));
        assert!(removed("# removed by me\n").is_none());
    }

    #[test]
    fn a_line_of_hosts_has_an_address_and_names() {
        for (text, want) in [
            ("127.0.1.1 web01\n", Some(1)),
            ("127.0.0.1 localhost\n10.0.0.1\tx.example.com\tWEB01 # here\n", Some(2)),
            ("fe80::1%eth0 web01\n", Some(1)),
            ("# 127.0.1.1 web01\n127.0.1.1 other # web01\n", None),
            ("web01 127.0.1.1\n", None),
            ("127.0.1.1 web01.example.com web010\n", None),
            ("", None),
        ] {
            assert_eq!(line_of(text, "web01"), want, "{text:?}");
        }
    }
}
