//! `xentools-before-agent`: with init scripts, the tools start right before the agent.
//!
//! With systemd no order is demanded: an `After=` between the two closes a cycle.

use anyhow::{Context, Result, bail};

use crate::check::{Finding, mend};
use crate::commands::boot;
use crate::facts::init::{Enabled, Init, Service};
use crate::facts::os::Base;
use crate::facts::tools::Tool;
use crate::plan::{FileChange, Plan};
use crate::root::Root;
use crate::target::Target;

/// The names of the agent's service, the RHEL family's and System V's first.
pub(super) const AGENT_SERVICES: [&str; 3] = ["nova-agent", "python3-nova-agent", "python-nova-agent"];

/// insserv's order of the init scripts, from their headers; with it the numbers of the links do not count.
const BY_HEADER: &str = boot::DEPEND;

/// Names of services between the two that are shown.
const SHOWN: usize = 4;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let (agent, tool) = match pair(target)? {
        Ok(pair) => pair,
        Err(finding) => return Ok(vec![*finding]),
    };
    if target.root.exists(BY_HEADER) {
        return Ok(vec![by_header(&agent, tool)]);
    }
    let mut levels = Vec::new();
    for (dir, number) in entered(&agent) {
        let names = target.root.read_dir(dir)?.into_iter().map(|entry| entry.name).collect();
        levels.push(Level { dir: dir.clone(), agent: *number, tool: number_in(tool, dir), names });
    }
    Ok(vec![by_number(&agent, tool, &levels, target.os().base)])
}

/// The agent's and the tools' init scripts, or why no order between them can be judged.
fn pair(target: &Target) -> Result<Result<(Service, &Service), Box<Finding>>> {
    let services = target.services();
    let skipped = |reason: &str| Ok(Err(Box::new(Finding::skipped(reason))));
    match services.init {
        Init::SysV | Init::Upstart => {}
        Init::Systemd => return skipped("systemd: no order is demanded"),
        Init::OpenRc | Init::BsdRc | Init::Unknown => {
            return skipped("the order counts with System V init scripts only");
        }
    }
    let Some(tool) = target.tools().all.iter().find_map(Tool::enabled) else {
        return skipped("the tools do not start at boot");
    };
    let mut agent = None;
    for name in AGENT_SERVICES {
        agent = agent.or(services.named(&target.root, name)?.filter(starts_at_boot));
    }
    let Some(agent) = agent else { return skipped("the agent does not start at boot") };
    if agent.init != Init::SysV || tool.init != Init::SysV {
        let text = "an upstart job: it starts beside the init scripts";
        let job = if agent.init == Init::SysV { tool } else { &agent };
        let finding = Finding::note("which of tools and agent starts first is not fixed");
        return Ok(Err(Box::new(finding.seen(&job.path, text))));
    }
    Ok(Ok((agent, tool)))
}

/// Makes the two neighbours: by their headers where insserv reads those, else S01 and S02.
pub(super) fn fix(target: &Target) -> Result<Plan> {
    let root = &target.root;
    let Ok((agent, tool)) = pair(target)? else { bail!("no init scripts start the two") };
    let files =
        if root.exists(BY_HEADER) { in_header(root, &agent, tool)? } else { numbered(root, &agent, tool)? };
    Ok(mend::plan(target, format!("start {} right before {}", tool.name, agent.name), files, Vec::new()))
}

fn in_header(root: &Root, agent: &Service, tool: &Service) -> Result<Vec<FileChange>> {
    let own = format!("etc/insserv/overrides/{}", agent.name);
    let path = if root.exists(&own) { own } else { agent.path.clone() };
    let waited = tool.order.as_ref().and_then(|order| order.provides.first()).unwrap_or(&tool.name);
    let mut has_line = false;
    let script = edited(root, &path, |line| {
        let is_it = !has_line && line.to_ascii_lowercase().starts_with("# required-start:");
        has_line |= is_it;
        is_it.then(|| format!("{} {waited}", line.trim_end()))
    })?;
    if !has_line {
        bail!("{path} has no line Required-Start");
    }
    let list = root.text_opt(BY_HEADER)?.unwrap_or_default();
    Ok(vec![script, FileChange::write(BY_HEADER, boot::depends(&list, &agent.name, Some(&tool.name)))])
}

fn numbered(root: &Root, agent: &Service, tool: &Service) -> Result<Vec<FileChange>> {
    let mut files = Vec::new();
    for (dir, _) in starts(agent) {
        for (service, number) in [(tool, "01"), (agent, "02")] {
            let name = service.name.as_str();
            let wanted = format!("S{number}{name}");
            for entry in root.read_dir(dir)? {
                let is_of_it = entry.name.starts_with(['S', 'K']) && entry.name.get(3..) == Some(name);
                if is_of_it && entry.is_link && entry.name != wanted {
                    files.push(FileChange::Remove { path: format!("{dir}/{}", entry.name) });
                }
            }
            files
                .push(FileChange::Link { path: format!("{dir}/{wanted}"), to: boot::script_from(dir, name) });
        }
    }
    // chkconfig would set the old numbers again
    for (service, number) in [(tool, "01"), (agent, "02")] {
        let mut has_line = false;
        let script = edited(root, &service.path, |line| {
            let mut words = line.strip_prefix("# chkconfig:")?.split_whitespace();
            let (levels, _, stop) = (words.next()?, words.next()?, words.next()?);
            has_line = true;
            Some(format!("# chkconfig: {levels} {number} {stop}"))
        })?;
        if has_line {
            files.push(script);
        }
    }
    Ok(files)
}

/// Returns a file with other lines in place of those for which `edit` has one.
fn edited(root: &Root, path: &str, mut edit: impl FnMut(&str) -> Option<String>) -> Result<FileChange> {
    let body = root.read(path)?;
    let text = String::from_utf8(body).with_context(|| format!("reading {path}"))?;
    let line =
        |old: &str| edit(old.trim_end_matches('\n')).map_or_else(|| old.to_owned(), |new| format!("{new}\n"));
    Ok(FileChange::write(path, text.split_inclusive('\n').map(line).collect::<String>()))
}

/// One runlevel that starts the agent.
struct Level {
    dir: String,
    agent: u32,
    tool: Option<u32>,
    /// The links of the directory.
    names: Vec<String>,
}

fn starts_at_boot(service: &Service) -> bool {
    matches!(service.enabled, Enabled::Yes(_))
}

fn starts(service: &Service) -> &[(String, u32)] {
    service.order.as_ref().map_or(&[], |order| &order.starts)
}

/// The start links that count: those of the runlevel that boot enters, whose link is what enables the agent.
fn entered(agent: &Service) -> Vec<&(String, u32)> {
    let Enabled::Yes(source) = &agent.enabled else { return Vec::new() };
    let is_entered =
        |start: &&(String, u32)| source.strip_prefix(&start.0).is_some_and(|rest| rest.starts_with('/'));
    let entered: Vec<_> = starts(agent).iter().filter(is_entered).collect();
    if entered.is_empty() { starts(agent).iter().collect() } else { entered }
}

fn number_in(service: &Service, dir: &str) -> Option<u32> {
    starts(service).iter().find(|(of, _)| of == dir).map(|(_, number)| *number)
}

fn by_header(agent: &Service, tool: &Service) -> Finding {
    let provides = tool.order.as_ref().map_or(&[][..], |order| &order.provides);
    let after = agent.order.as_ref().map_or(&[][..], |order| &order.after);
    let is_tool = |name: &String| name == "$all" || *name == tool.name || provides.contains(name);
    let says = format!("Required-Start: {}", after.join(" "));
    if after.iter().any(is_tool) {
        return Finding::ok(format!("{} waits for {}", agent.name, tool.name)).seen(&agent.path, says);
    }
    fail(format!("{} starts without waiting for {}", agent.name, tool.name))
        .seen(&agent.path, says)
        .mend(format!("add {} to Required-Start in the header of /{}", tool.name, agent.path))
        .by(&["insserv", &agent.name])
}

fn by_number(agent: &Service, tool: &Service, levels: &[Level], base: Base) -> Finding {
    let Some(level) = levels.iter().find(|level| !problem(level).is_empty()) else {
        let finding = Finding::ok(format!("{} starts right before {}", tool.name, agent.name));
        return match levels.first() {
            Some(level) => finding.seen(&level.dir, links(agent, tool, level)),
            None => finding,
        };
    };
    let finding = fail(problem(level).replace("AGENT", &agent.name).replace("TOOL", &tool.name))
        .seen(&level.dir, links(agent, tool, level))
        .mend("make the two neighbours at the beginning of the start order: S01 and S02");
    let pair = [(tool, "01", "86"), (agent, "02", "85")];
    pair.into_iter().fold(finding, |finding, (service, start, stop)| {
        let name = service.name.as_str();
        if base == Base::Debian {
            let order = ["start", start, "2", "3", "4", "5", ".", "stop", stop, "0", "1", "6", "."];
            let remove = ["update-rc.d", "-f", name, "remove"];
            return finding.by(&remove).by(&[&["update-rc.d", name][..], &order].concat());
        }
        let header = format!("s/^# chkconfig:.*/# chkconfig: 2345 {start} {stop}/");
        finding.by(&["sed", "-i", &header, &format!("/{}", service.path)]).by(&[
            "chkconfig",
            name,
            "resetpriorities",
        ])
    })
}

/// What is wrong in a runlevel, with AGENT and TOOL for the names; empty when nothing is.
fn problem(level: &Level) -> String {
    let Some(tool) = level.tool else {
        return format!("{} starts AGENT but not TOOL", level.dir);
    };
    // Links of one number start in the order of their names, or side by side: n comes before x.
    if tool >= level.agent {
        return "AGENT starts before TOOL".to_owned();
    }
    let between = between(level, tool);
    match between.len() {
        0 => String::new(),
        1 => format!("{} stands between TOOL and AGENT", between[0]),
        count => {
            let more = if count > SHOWN { " and more" } else { "" };
            let names = between[..count.min(SHOWN)].join(", ");
            format!("{count} services stand between TOOL and AGENT: {names}{more}")
        }
    }
}

/// Services with a number between the two.
fn between(level: &Level, tool: u32) -> Vec<&str> {
    let number_and_name = |link: &str| {
        let number: u32 = link.strip_prefix('S')?.get(..2)?.parse().ok()?;
        Some((number, link.get(3..)?.to_owned()))
    };
    let stands_between = |link: &&String| {
        number_and_name(link).is_some_and(|(number, _)| number > tool && number < level.agent)
    };
    level.names.iter().filter(stands_between).map(|link| &link[3..]).collect()
}

fn links(agent: &Service, tool: &Service, level: &Level) -> String {
    let of_agent = format!("S{:02}{}", level.agent, agent.name);
    match level.tool {
        Some(number) => format!("S{number:02}{}, {of_agent}", tool.name),
        None => of_agent,
    }
}

fn fail(title: String) -> Finding {
    Finding::fail(title).because(
        "an agent that starts before the tools, or long after them, leaves the addresses and the password of the \
         server that the image was made from",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::facts::init::Order;
    use crate::facts::tree::Tree;

    fn script(name: &str, after: &[&str]) -> Service {
        Service {
            name: name.to_owned(),
            init: Init::SysV,
            path: format!("etc/init.d/{name}"),
            enabled: Enabled::Yes(format!("etc/rc3.d/S14{name}")),
            unit: None,
            order: Some(Order {
                starts: Vec::new(),
                after: after.iter().map(ToString::to_string).collect(),
                provides: vec![name.to_owned()],
            }),
        }
    }

    fn level(tool: Option<u32>, agent: u32, names: &[&str]) -> Level {
        let names = names.iter().map(ToString::to_string).collect();
        Level { dir: "etc/rc3.d".to_owned(), agent, tool, names }
    }

    #[test]
    fn neighbours_are_silent_and_everything_else_is_named() {
        let (agent, tool) = (script("nova-agent", &[]), script("xe-linux-distribution", &[]));
        let stock = ["S10network", "S14xe-linux-distribution", "S15mdmonitor", "S15nova-agent", "S55sshd"];
        for (level, title) in [
            (level(Some(14), 15, &stock), "xe-linux-distribution starts right before nova-agent"),
            (
                level(Some(1), 2, &["S01xe-linux-distribution", "S02nova-agent"]),
                "xe-linux-distribution starts right before nova-agent",
            ),
            (
                level(Some(14), 20, &["S14xe-linux-distribution", "S16ssh", "S20apache2", "S20nova-agent"]),
                "ssh stands between xe-linux-distribution and nova-agent",
            ),
            (
                level(Some(14), 20, &["S15a", "S16b", "S17c", "S18d", "S19e", "K15x", "README"]),
                "5 services stand between xe-linux-distribution and nova-agent: a, b, c, d and more",
            ),
            (level(Some(20), 15, &[]), "nova-agent starts before xe-linux-distribution"),
            (level(Some(20), 20, &[]), "nova-agent starts before xe-linux-distribution"),
            (level(None, 20, &[]), "etc/rc3.d starts nova-agent but not xe-linux-distribution"),
        ] {
            let finding = by_number(&agent, &tool, &[level], Base::RedHat);
            let status = if title.contains("right before") { Status::Ok } else { Status::Fail };
            assert_eq!((finding.status, finding.title.as_str()), (status, title));
        }
    }

    #[test]
    fn only_the_runlevel_that_boot_enters_counts() {
        let starts = vec![("etc/rc2.d".to_owned(), 15), ("etc/rc3.d".to_owned(), 20)];
        let agent = |source: &str| Service {
            enabled: Enabled::Yes(source.to_owned()),
            order: Some(Order { starts: starts.clone(), ..Order::default() }),
            ..script("nova-agent", &[])
        };
        assert_eq!(entered(&agent("etc/rc3.d/S20nova-agent")), [&starts[1]]);
        assert_eq!(entered(&agent("etc/init.d/nova-agent")), [&starts[0], &starts[1]]);
    }

    #[test]
    fn with_insserv_the_header_decides() {
        let tool = script("xe-linux-distribution", &[]);
        for (after, status) in [
            (&["$remote_fs", "$syslog", "xe-linux-distribution"][..], Status::Ok),
            (&["$all"], Status::Ok),
            (&["$remote_fs", "$syslog"], Status::Fail),
            (&[], Status::Fail),
        ] {
            assert_eq!(by_header(&script("nova-agent", after), &tool).status, status, "{after:?}");
        }
    }

    #[test]
    fn a_name_that_is_not_a_link_of_a_service_is_left_out() {
        let level = level(Some(1), 99, &["S", "S5", "S50", "S5ä", "Sxxfoo", "S50ok"]);
        assert_eq!(between(&level, 1), ["", "ok"]);
    }

    #[test]
    fn with_insserv_the_header_and_its_list_are_mended() {
        const AGENT: &str = "#!/bin/sh\n### BEGIN INIT INFO\n# Required-Start: $remote_fs\n# Default-Start: 2\n### END INIT INFO\n";
        let tree = Tree::of(&[("etc/init.d/nova-agent", AGENT), (BY_HEADER, "TARGETS = xe nova-agent\n")]);
        let (agent, tool) = (script("nova-agent", &["$remote_fs"]), script("xe", &[]));
        let files = in_header(&tree.root(), &agent, &tool).unwrap();
        let header = AGENT.replace("$remote_fs", "$remote_fs xe");
        let list = FileChange::write(BY_HEADER, "TARGETS = xe nova-agent\nnova-agent: xe\n");
        assert_eq!(files, [FileChange::write("etc/init.d/nova-agent", header), list]);
        let tree = Tree::of(&[("etc/init.d/nova-agent", "#!/bin/sh\n")]);
        assert!(in_header(&tree.root(), &agent, &tool).is_err());
    }
}
