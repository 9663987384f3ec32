//! The table: `*.faults` here, where `== WHAT` begins a row of headers and of entries as in tests/guests/README.md.
//!
//! `finds: id` (or `id=status`) is the check that must fire; without it the row is a healthy look-alike, and `tempts:`
//! names the checks (`id`, or `id=ok` where not even a note is right) that a poorer reading of it would make fire:
//! each must judge it. `on:` names guests and kinds of guests ([`GUESTS`]), `-NAME` takes one out. `with: parts/x` is
//! put under the entries. `allow: id reason` is a finding that truly follows, `fix: hand reason` keeps a row from
//! being repaired, `recorded: reason` says that the guests have the fault as they were recorded, and `occasion: image`
//! asks what `fix-image` asks. `{name}` stands for what [`GUESTS`] says of each guest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// The recorded guests, what kinds they are of, and what differs from one to the other.
pub(crate) const GUESTS: [(&str, &str); 10] = [
    (
        "debian-12",
        "linux systemd deb eni agent2 zip cloud tools shadow=0640 tools=xe-linux-distribution.service \
         unit=python3-nova-agent.service second=nova-agent.service dir=usr/lib/systemd/system \
         program=usr/bin/nova-agent site=usr/lib/python3/dist-packages kernel=6.1.0-28-amd64 modules=usr/lib/modules",
    ),
    (
        "debian-8",
        "linux systemd deb eni agent2 tools shadow=0640 tools=xe-linux-distribution.service \
         unit=python-nova-agent.service second=python3-nova-agent.service dir=lib/systemd/system \
         program=usr/bin/nova-agent site=usr/lib/python3/dist-packages",
    ),
    (
        "ubuntu-22.04",
        "linux systemd deb netplan agent2 zip cloud tools shadow=0640 tools=xe-linux-distribution.service \
         unit=python3-nova-agent.service second=nova-agent.service dir=usr/lib/systemd/system \
         program=usr/bin/nova-agent site=usr/lib/python3/dist-packages",
    ),
    (
        "ubuntu-14.04",
        "linux sysv deb eni agent1 shadow=0640 rc=etc init=etc/init.d level=2 ld=lib64/ld-linux-x86-64.so.2",
    ),
    (
        "centos-6",
        "linux sysv rpm ifcfg agent1 shadow=0400 rc=etc/rc.d init=etc/rc.d/init.d level=3 \
         ld=lib64/ld-linux-x86-64.so.2 kernel=2.6.32-754.35.1.el6.x86_64 modules=lib/modules",
    ),
    (
        "centos-7",
        "linux systemd rpm ifcfg agent2 zip tools shadow=0400 tools=xe-linux-distribution.service \
         unit=nova-agent.service second=python3-nova-agent.service dir=usr/lib/systemd/system \
         program=usr/bin/nova-agent site=usr/lib64/python3.6/site-packages \
         kernel=3.10.0-1160.119.1.el7.x86_64 modules=usr/lib/modules",
    ),
    (
        "almalinux-9",
        "linux systemd rpm nm agent2 zip tools shadow=0400 tools=xe-linux-distribution.service \
         unit=nova-agent.service second=python3-nova-agent.service dir=usr/lib/systemd/system \
         program=usr/bin/nova-agent site=usr/lib64/python3.9/site-packages \
         kernel=5.14.0-427.el9.x86_64 modules=usr/lib/modules",
    ),
    (
        "opensuse-leap-15",
        "linux systemd rpm wicked agent1 tools shadow=0640 tools=xe-linux-distribution.service \
         unit=nova-agent.service dir=etc/systemd/system program=usr/sbin/nova-agent ld=lib64/ld-linux-x86-64.so.2 \
         kernel=5.14.21-150500.55.83-default modules=usr/lib/modules",
    ),
    (
        "alpine-3.19",
        "linux openrc eni-ng agent2 shadow=0640 program=usr/bin/nova-agent site=usr/lib/python3.11/site-packages",
    ),
    ("freebsd-13", "bsd agent1 ld=libexec/ld-elf.so.1"),
];

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What is wrong, or what only looks it.
    pub(crate) name: String,
    /// The check that must fire, `id` or `id=status`; nothing of a look-alike.
    pub(crate) finds: Option<String>,
    /// The checks that a look-alike tempts.
    pub(crate) tempts: Vec<String>,
    /// Checks that fire as well because of it.
    pub(crate) allowed: Vec<String>,
    /// Whether the check's fix is for another spelling of the fault.
    pub(crate) by_hand: bool,
    /// Whether the guests have it as they were recorded.
    pub(crate) is_recorded: bool,
    /// Whether it is about an image that is to be taken.
    pub(crate) of_image: bool,
    on: Vec<String>,
    /// What every guest gets before it, such as the host's data.
    pub(crate) with: String,
    entries: String,
}

impl Row {
    /// Returns the check that must fire.
    pub(crate) fn id(&self) -> Option<&str> {
        self.finds.as_deref().map(|finds| finds.split('=').next().unwrap_or(finds))
    }

    /// Returns the guests that it applies to.
    pub(crate) fn guests(&self) -> Vec<&'static str> {
        let is = |(name, kinds): &&(&str, &str), word: &str| {
            *name == word || kinds.split_whitespace().any(|kind| kind == word)
        };
        let named = |guest: &&(&'static str, &str)| {
            self.on.iter().any(|word| is(guest, word))
                && !self.on.iter().filter_map(|word| word.strip_prefix('-')).any(|word| is(guest, word))
        };
        GUESTS.iter().filter(named).map(|(name, _)| *name).collect()
    }

    /// Returns the files that it makes or changes.
    pub(crate) fn files(&self, guest: &str) -> Vec<String> {
        let made = |line: &str| {
            let (entry, rest) = line.split_once(' ')?;
            let path = rest.split_whitespace().next()?.replace("\\x20", " ");
            matches!(entry, "file" | "prog" | "edit" | "zipapp" | "elf" | "touch").then_some(path)
        };
        let mut files: Vec<String> = self.manifest(guest).lines().filter_map(made).collect();
        files.sort();
        files.dedup();
        files
    }

    /// Whether only root can make it.
    pub(crate) fn takes_root(&self) -> bool {
        self.entries.lines().any(|line| line.starts_with("label "))
    }

    /// Returns the manifest of the guest with this row applied.
    pub(crate) fn manifest(&self, guest: &str) -> String {
        let mut text = format!("based-on: {guest} {}\n{}", self.with, self.entries);
        let words = GUESTS.iter().find(|(name, _)| *name == guest).map_or("", |(_, words)| words);
        for (name, value) in words.split_whitespace().filter_map(|word| word.split_once('=')) {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

/// Reads the table.
pub(crate) fn read(dir: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut files: Vec<_> = fs::read_dir(dir)?.collect::<std::io::Result<_>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in
        files.iter().map(fs::DirEntry::path).filter(|path| path.extension().is_some_and(|e| e == "faults"))
    {
        let text = fs::read_to_string(&file)?;
        for row in text.split("\n== ").skip(1) {
            let name = row.lines().next().unwrap_or_default();
            rows.push(parsed(row).with_context(|| format!("{}: {name}", file.display()))?);
        }
    }
    Ok(rows)
}

fn parsed(text: &str) -> Result<Row> {
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default().trim().to_owned();
    let mut row = Row {
        name,
        finds: None,
        tempts: Vec::new(),
        allowed: Vec::new(),
        by_hand: false,
        is_recorded: false,
        of_image: false,
        on: Vec::new(),
        with: String::new(),
        entries: String::new(),
    };
    for line in lines {
        let header = line.split_once(": ").filter(|(key, _)| row.entries.is_empty() && !key.contains(' '));
        let Some((key, value)) = header else {
            row.entries.push_str(line);
            row.entries.push('\n');
            continue;
        };
        match key {
            "finds" => row.finds = Some(value.to_owned()),
            "tempts" => row.tempts = value.split_whitespace().map(str::to_owned).collect(),
            "on" => row.on = value.split_whitespace().map(str::to_owned).collect(),
            "with" => value.clone_into(&mut row.with),
            "allow" => {
                let (id, _reason) = value.split_once(' ').context("allow: ID REASON")?;
                row.allowed.push(id.to_owned());
            }
            "fix" => {
                ensure!(value.strip_prefix("hand ").is_some(), "fix: hand REASON");
                row.by_hand = true;
            }
            "recorded" => row.is_recorded = true,
            "occasion" => row.of_image = value == "image",
            _ => bail!("no header {key}"),
        }
    }
    ensure!(!row.guests().is_empty(), "it applies to no guest");
    ensure!(row.finds.is_none() != row.tempts.is_empty(), "a fault finds, a look-alike tempts: ID");
    Ok(row)
}
