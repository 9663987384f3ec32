//! udev's `70-persistent-net.rules`: names that are kept for the NICs of another machine.
//!
//! Up to systemd 208 a generator wrote a rule for each new MAC, with the first name that no rule had: in an image
//! with the rules of its source the NICs come up as eth2 and eth3. Where nothing generates rules, one for a MAC that
//! is not there does nothing. Comment lines above a rule that goes stay.
//! Source: udev's `75-persistent-net-generator.rules`, `write_net_rules`, udev(7).

use anyhow::Result;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use super::machine::Machine;
use crate::check::{Check, Finding};
use crate::net::Mac;
use crate::net::configured::Match;
use crate::root::Root;
use crate::target::Target;

pub(super) const PERSISTENT: Check = Check {
    id: "persistent-net-rules",
    about: "udev keeps no name for a NIC of another machine",
    probe: |target| Ok(rules(target)?.findings()),
    fix: Some(|target| rules(target)?.plan(target)),
    page: include_str!("../pages/persistent-net-rules.md"),
    ..TEMPLATE
};

const RULES: &str = "etc/udev/rules.d/70-persistent-net.rules";
const GENERATOR: &str = "75-persistent-net-generator.rules";

/// A rule that gives the NIC of a MAC a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) line: usize,
    pub(super) mac: Mac,
    pub(super) name: String,
    text: String,
    /// Whether it stands on one line, so that dropping that line drops it.
    is_alone: bool,
}

fn rules(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let Some(text) = root.text_opt(RULES)? else {
        return Ok(Judged::only(Finding::ok("there are no such rules")));
    };
    let rules = parse(&text);
    if rules.is_empty() {
        return Ok(Judged::only(Finding::ok("the rules are about no NIC")));
    }
    let machine = match Machine::of(target)? {
        Ok(machine) => machine,
        Err(reason) => return Ok(Judged::only(Finding::skipped(reason))),
    };
    let nics = target.configuration().planned.iter().filter(|entry| entry.kind.is_nic());
    let configured: Vec<Match> = nics.map(|entry| entry.to.clone()).collect();
    Ok(judge(&rules, &machine, &configured, writes_rules(root)?))
}

/// Whether udev writes a rule for each NIC that it has none for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    Writes,
    Absent,
}

fn writes_rules(root: &Root) -> Result<Generator> {
    for dir in ["etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"] {
        let path = format!("{dir}/{GENERATOR}");
        // a link to /dev/null, like an empty file, masks those of the directories behind
        if root.link_opt(&path)?.is_some_and(|to| to == "/dev/null") {
            return Ok(Generator::Absent);
        }
        let Some(text) = root.text_opt(&path)? else { continue };
        let skips_xen = |line: &str| line.contains("\"xen\"") && line.contains("GOTO=");
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let is_for_us = lines.clone().any(|line| line.contains("write_net_rules"));
        let skips = lines.into_iter().any(skips_xen);
        return Ok(if is_for_us && !skips { Generator::Writes } else { Generator::Absent });
    }
    Ok(Generator::Absent)
}

/// Reads the rules that bind a name to a MAC.
pub(super) fn parse(text: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut joined = String::new();
    let mut first = 0;
    for (place, line) in text.lines().enumerate() {
        if joined.is_empty() {
            first = place + 1;
        }
        if let Some(start) = line.strip_suffix('\\') {
            joined.push_str(start);
            continue;
        }
        joined.push_str(line);
        let whole = std::mem::take(&mut joined);
        rules.extend(rule(whole.trim(), first, first == place + 1));
    }
    rules
}

fn rule(text: &str, line: usize, is_alone: bool) -> Option<Rule> {
    if text.starts_with('#') {
        return None;
    }
    let mut mac = None;
    let mut name = None;
    for part in text.split(',').map(str::trim) {
        let Some((key, value)) = part.split_once('"') else { continue };
        let value = value.split('"').next().unwrap_or_default();
        let key = key.replace(char::is_whitespace, "");
        match key.as_str() {
            "ATTR{address}==" | "ATTRS{address}==" | "SYSFS{address}==" => mac = value.parse().ok(),
            "NAME=" | "NAME:=" => name = Some(value.to_owned()),
            _ => {}
        }
    }
    let text = text.chars().take(200).collect();
    Some(Rule { line, mac: mac?, name: name.filter(|name| !name.is_empty())?, text, is_alone })
}

fn judge(rules: &[Rule], machine: &Machine, configured: &[Match], generator: Generator) -> Judged {
    let stale: Vec<&Rule> = rules.iter().filter(|rule| !machine.has(rule.mac)).collect();
    let of = |mac: Mac| rules.iter().rev().find(|rule| rule.mac == mac);
    // a NIC that has no rule gets a name that is left, one that has got such a name is not configured
    let has_entry = |name: &str, mac: Mac| configured.iter().any(|entry| entry.is(name, Some(mac)));
    let is_taken = |name: &str| stale.iter().any(|rule| rule.name == name);
    let hurts = |mac: Mac| match of(mac) {
        Some(rule) => !has_entry(&rule.name, mac) && stale.iter().any(|stale| has_entry(&stale.name, mac)),
        None => {
            generator == Generator::Writes && (0..=machine.nics.len()).any(|n| is_taken(&format!("eth{n}")))
        }
    };
    let hurt: Vec<Mac> = machine.nics.iter().map(|nic| nic.mac).filter(|mac| hurts(*mac)).collect();
    let otherwise = Finding::ok("no rule keeps a name from a NIC of this machine");
    let Some(first) = hurt.first().filter(|_| !stale.is_empty()) else { return Judged::only(otherwise) };
    let renamed: Vec<&Rule> = hurt.iter().filter_map(|mac| of(*mac)).collect();
    let title = match of(*first) {
        Some(rule) => format!(
            "udev names the NIC {first} {}: {} is kept for another machine's",
            rule.name, stale[0].name
        ),
        None => {
            format!("udev keeps {} for a NIC {}, which this machine has not", stale[0].name, stale[0].mac)
        }
    };
    let mut finding = Finding::fail(title)
        .because("the NICs come up under other names than those that are configured, and have no address")
        .about(RULES)
        .mend("remove the rules, and boot: the NICs get their names in their own order");
    for rule in stale.iter().chain(&renamed).take(6) {
        finding = finding.seen(format!("{RULES}:{}", rule.line), &rule.text);
    }
    let wrong = stale.iter().chain(&renamed);
    let is_editable = wrong.clone().all(|rule| rule.is_alone);
    let edits = wrong.filter(|_| is_editable).map(|rule| Edit::drop(RULES, rule.line)).collect();
    Judged { faults: vec![Fault { finding, edits }], otherwise }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{LOG, MAC, STRANGE, found, mended, short};
    use super::*;
    use crate::check::Status;
    use proptest::prelude::*;

    const WRITER: (&str, &str) =
        ("lib/udev/rules.d/75-persistent-net-generator.rules", "IMPORT{program}=\"write_net_rules\"\n");
    const EXPECT: (&str, &str) =
        ("etc/network/interfaces", "auto eth0\niface eth0 inet static\n address 192.0.2.10/24\n");
    const IFUP: (&str, &str) = ("sbin/ifup", "!");

    fn line(mac: &str, name: &str) -> String {
        format!(
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{mac}\", ATTR{{type}}==\"1\", KERNEL==\"eth*\", NAME=\"{name}\"\n"
        )
    }

    fn said(text: &str, with: &[(&str, &str)]) -> Vec<Status> {
        let files = [&[LOG, EXPECT, IFUP, (RULES, text)], with].concat();
        short(&PERSISTENT, &files).into_iter().map(|(status, _)| status).collect()
    }

    #[test]
    fn a_name_that_is_kept_for_a_stranger_is_missing_here() {
        let stale = line(STRANGE, "eth0");
        assert_eq!(said(&stale, &[WRITER]), [Status::Fail]);
        assert_eq!(said(&format!("{stale}{}", line(MAC, "eth1")), &[]), [Status::Fail]);
        let old = format!(
            "SUBSYSTEM==\"net\", DRIVERS==\"?*\", SYSFS{{address}}==\"{STRANGE}\", \\\n NAME=\"eth0\"\n"
        );
        assert_eq!(said(&old, &[WRITER]), [Status::Fail]);
    }

    #[test]
    fn rules_that_take_nothing_from_a_nic_are_none_of_our_business() {
        let stale = line(STRANGE, "eth0");
        let masked = ("etc/udev/rules.d/75-persistent-net-generator.rules", "");
        let null = ("etc/udev/rules.d/75-persistent-net-generator.rules", "->/dev/null");
        let xen = (WRITER.0, "SUBSYSTEMS==\"xen\", GOTO=\"end\"\nIMPORT{program}=\"write_net_rules\"\n");
        assert_eq!(said(&stale, &[]), [Status::Ok]);
        assert_eq!(said(&stale, &[WRITER, masked]), [Status::Ok]);
        assert_eq!(said(&stale, &[WRITER, null]), [Status::Ok]);
        assert_eq!(said(&stale, &[xen]), [Status::Ok]);
        for text in [
            String::new(),
            format!("# {stale}"),
            line(MAC, "eth0"),
            // eth7 was detached
            format!("{}{}", line(MAC, "eth0"), line(STRANGE, "eth7")),
            format!("{}{}", line(STRANGE, "eth1"), line(MAC, "eth0")),
        ] {
            assert_eq!(said(&text, &[WRITER]), [Status::Ok], "{text}");
        }
        assert_eq!(short(&PERSISTENT, &[WRITER, (RULES, &stale)])[0].0, Status::Skipped);
        assert!(found(&PERSISTENT, &[(&format!("{RULES}/x"), "")]).is_err());
    }

    #[test]
    fn the_fix_drops_the_rules_and_keeps_the_rest() {
        let text = format!("# by udev\n{}{}# end\n", line(STRANGE, "eth0"), line(MAC, "eth1"));
        let files = [LOG, EXPECT, IFUP, WRITER, (RULES, text.as_str())];
        assert_eq!(mended(&PERSISTENT, &files, &[RULES]), [Some("# by udev\n# end\n".to_owned())]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((ATTR\\{address\\}==|NAME=|#|,)?\"?[a-z0-9:]{0,18}\"?,?\\\\?\n?){0,12}") {
            let rules = parse(&text);
            let machine = Machine::made_up(&[(None, MAC)]);
            let _ = judge(&rules, &machine, &[], Generator::Writes).findings();
        }
    }
}
