//! Keys of root that an injected file replaced: the agent keeps the old file beside the new one.

use std::collections::BTreeSet;

use anyhow::Result;

use super::USER;
use crate::check::Finding;
use crate::facts::accounts::{PASSWD, Table};
use crate::target::Target;

/// Backups that are read.
const BACKUPS_MAX: usize = 20;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let root = &target.root;
    let passwd = Table::read(root, PASSWD)?;
    let home = passwd.as_ref().and_then(|passwd| passwd.user(USER)).map(|user| user.home());
    let home = home.map_or_else(|| "root".to_owned(), |home| String::from_utf8_lossy(home).into_owned());
    let dir = format!("{}/.ssh", home.trim_matches('/'));
    let current = format!("{dir}/authorized_keys");
    let text = root.text_opt(&current)?.unwrap_or_default();
    let kept = keys(&text);
    let mut findings = Vec::new();
    // 1.x: authorized_keys.bak.TIME, 2.x: authorized_keys.TIME.bak
    let is_backup = |name: &str| name.starts_with("authorized_keys.") && name.contains("bak");
    for entry in root.read_dir(&dir)?.into_iter().filter(|e| is_backup(&e.name)).take(BACKUPS_MAX) {
        let path = format!("{dir}/{}", entry.name);
        let text = root.text_opt(&path)?.unwrap_or_default();
        let lost = keys(&text).difference(&kept).count();
        if lost > 0 {
            let verb = if lost == 1 { "lets" } else { "let" };
            findings.push(
                Finding::note(format!("{} of root {verb} nobody in any more", counted(lost)))
                    .because("building a server with a key writes authorized_keys anew and keeps the old file beside it")
                    .seen(&path, format!("{} that {current} lacks", counted(lost)))
                    .about(&path)
                    .mend(format!("append the lines that are still wanted to /{current}, then remove the old file")),
            );
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(match kept.len() {
            0 => "root has no keys, and none was replaced".to_owned(),
            count => format!("{} of root, none was replaced", counted(count)),
        }));
    }
    Ok(findings)
}

fn counted(count: usize) -> String {
    if count == 1 { "one key".to_owned() } else { format!("{count} keys") }
}

/// The keys themselves, without options and comments: base64 of a length of four bytes that begins with zeros.
fn keys(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("AAAA"))).collect()
}
