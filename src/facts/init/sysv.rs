//! System V init scripts: the links that start them, their number, and what their headers say of the order.
//!
//! Sources: init-script actions of LSB 3.1 (`### BEGIN INIT INFO`), chkconfig(8), inittab(5).

use anyhow::Result;

use super::{Enabled, Order, Service};
use crate::facts::init::Init;
use crate::facts::os::{Base, Os};
use crate::root::Root;

/// Where scripts are.
const DIRS: [&str; 2] = ["etc/init.d", "etc/rc.d/init.d"];

/// A script larger than this is no init script, in bytes.
const SCRIPT_MAX: usize = 1 << 20;

/// Returns the script of this name, or `None`. `levels` are the runlevels that the system boots into.
pub(super) fn find(root: &Root, name: &str, levels: &[u8]) -> Result<Option<Service>> {
    for dir in DIRS {
        let path = format!("{dir}/{name}");
        if root.lstat_opt(&path)?.is_none() {
            continue;
        }
        let starts = starts(root, name)?;
        // a link to nowhere is a script all the same: what ignores it has to be told
        let text = root.text_opt(&path)?.filter(|text| text.len() <= SCRIPT_MAX).unwrap_or_default();
        let enabled = enabled(&starts, levels);
        let starts = starts.into_iter().map(|start| (start.dir, start.number)).collect();
        let order = Order { starts, ..header(&text) };
        return Ok(Some(Service {
            name: name.to_owned(),
            init: Init::SysV,
            path,
            enabled,
            unit: None,
            order: Some(order),
        }));
    }
    Ok(None)
}

/// Returns the runlevels into which a system boots: as inittab says, else by the ways of its distribution.
pub(super) fn default_levels(root: &Root, os: &Os) -> Result<Vec<u8>> {
    let inittab = root.text_opt("etc/inittab")?.unwrap_or_default();
    let entry = inittab.lines().map(str::trim).filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = line.split(':').skip(1);
        let level = fields.next()?;
        (fields.next()? == "initdefault").then(|| level.bytes().next()).flatten()
    });
    let by_ways = if os.base == Base::Debian { 2 } else { 3 };
    Ok(vec![entry.filter(u8::is_ascii_digit).map_or(by_ways, |digit| digit - b'0')])
}

struct Start {
    dir: String,
    link: String,
    level: u8,
    number: u32,
}

/// Returns the start links of a script in the runlevels 2 to 5, each directory once.
fn starts(root: &Root, name: &str) -> Result<Vec<Start>> {
    let mut starts = Vec::new();
    for level in 2..=5 {
        let dirs =
            [format!("etc/rc{level}.d"), format!("etc/rc.d/rc{level}.d"), format!("etc/init.d/rc{level}.d")];
        let Some(dir) = dirs.into_iter().find(|dir| root.exists(dir)) else { continue };
        for entry in root.read_dir(&dir)? {
            if let Some(number) = start_number(&entry.name, name) {
                starts.push(Start { link: format!("{dir}/{}", entry.name), dir: dir.clone(), level, number });
            }
        }
    }
    Ok(starts)
}

/// `S20nova-agent` → 20.
fn start_number(link: &str, name: &str) -> Option<u32> {
    let digits = link.strip_prefix('S')?.strip_suffix(name)?;
    (digits.len() == 2).then(|| digits.parse().ok()).flatten()
}

fn enabled(starts: &[Start], levels: &[u8]) -> Enabled {
    match starts.iter().find(|start| levels.contains(&start.level)) {
        Some(start) => Enabled::Yes(start.link.clone()),
        None => {
            let level = levels.first().copied().unwrap_or(3);
            Enabled::No(format!("no start link in runlevel {level}, into which the system boots"))
        }
    }
}

/// Reads the LSB header.
fn header(text: &str) -> Order {
    let mut order = Order::default();
    let lines = text.lines().map(str::trim).skip_while(|line| !line.contains("BEGIN INIT INFO"));
    for line in lines.take_while(|line| !line.contains("END INIT INFO")) {
        let Some((key, value)) = line.trim_start_matches('#').trim().split_once(':') else { continue };
        let words = value.split_whitespace().map(str::to_owned);
        match key.trim().to_ascii_lowercase().as_str() {
            "required-start" | "should-start" => order.after.extend(words),
            "provides" => order.provides.extend(words),
            _ => {}
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_name_is_a_link_of_the_script() {
        assert_eq!(start_number("S20nova-agent", "nova-agent"), Some(20));
        assert_eq!(start_number("S20python3-nova-agent", "nova-agent"), None);
        assert_eq!(start_number("K20nova-agent", "nova-agent"), None);
        assert_eq!(start_number("S2nova-agent", "nova-agent"), None);
    }

    #[test]
    fn the_header_says_what_comes_first() {
        let text = "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: nova-agent\n# Required-Start: $remote_fs xe-linux-distribution\n# Should-Start:\tx\n### END INIT INFO\n# Required-Start: no\n";
        let read = header(text);
        assert_eq!(read.after, ["$remote_fs", "xe-linux-distribution", "x"]);
        assert_eq!(read.provides, ["nova-agent"]);
    }
}
