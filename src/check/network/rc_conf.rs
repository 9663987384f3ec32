//! FreeBSD's `rc.conf`: IPv6 settings that FreeBSD 9 and later reads differently from FreeBSD 8.
//!
//! `ipv6_ifconfig_IF` is obsolete, and still read, with a warning at boot: a note. A comma in
//! `ipv6_network_interfaces` is not: the function `ipv6if` looks for words, so no interface of the list is one for
//! IPv6, and its IPv6 aliases are left out.
//! Source: rc.conf(5), `ifconfig_up`, `ipv6if` and `ipv6_up` in `/etc/network.subr`.

use std::collections::BTreeMap;

use anyhow::Result;

use super::TEMPLATE;
use super::fault::{Edit, Fault, Judged};
use crate::check::{Check, Finding};
use crate::facts::os::Base;
use crate::net::assignments::{self, Variable};
use crate::target::Target;

pub(super) const IPV6: Check = Check {
    id: "rc-conf-ipv6",
    about: "IPv6 stands in rc.conf as this FreeBSD reads it",
    probe: |target| Ok(ipv6(target)?.findings()),
    fix: Some(|target| ipv6(target)?.plan(target)),
    page: include_str!("../pages/rc-conf-ipv6.md"),
    ..TEMPLATE
};

/// The files in the order in which rc.subr reads them; the last value holds.
const FILES: [&str; 2] = ["etc/rc.conf", "etc/rc.conf.local"];
/// The release that gave IPv6 its present variables.
const FIRST: u32 = 9;

fn ipv6(target: &Target) -> Result<Judged> {
    let os = target.os();
    if os.base != Base::FreeBsd || os.major().is_none_or(|major| major < FIRST) {
        return Ok(Judged::only(Finding::skipped("not FreeBSD 9 or later")));
    }
    let mut all = Vec::new();
    for path in FILES {
        if let Some(text) = target.root.text_opt(path)? {
            all.extend(assignments::parse(&text).into_iter().map(|variable| (path, variable)));
        }
    }
    Ok(judge(&all))
}

fn judge(all: &[(&str, Variable)]) -> Judged {
    // in the order of names, the last value of each
    let last: BTreeMap<&str, (&str, &Variable)> =
        all.iter().map(|(path, variable)| (variable.name.as_str(), (*path, variable))).collect();
    let set = || last.values().copied().filter(|(_, variable)| !variable.value.is_empty());
    let mut faults: Vec<Fault> = Vec::new();
    let list = last.get("ipv6_network_interfaces").filter(|(_, list)| list.value.contains(','));
    if let Some((path, list)) = list {
        let links: Vec<&str> = list.value.split([',', ' ']).filter(|link| !link.is_empty()).collect();
        let aliases: Vec<(&str, &Variable)> =
            set().filter(|(_, variable)| links.iter().any(|link| is_ipv6_alias(variable, link))).collect();
        if !aliases.is_empty() {
            faults.push(not_a_list(path, list, &aliases));
        }
    }
    let obsolete: Vec<(&str, &Variable)> =
        set().filter(|(_, variable)| variable.name.starts_with("ipv6_ifconfig_")).collect();
    if let Some((_, first)) = obsolete.first() {
        let title = format!("{} is obsolete since FreeBSD {FIRST}, and still read", first.name);
        let finding = Finding::note(title)
            .because("each boot warns of it: use ifconfig_IF_ipv6 and ifconfig_IF_aliasN instead")
            .about("ipv6_ifconfig");
        faults.push(Fault { finding: seen(finding, &obsolete), edits: Vec::new() });
    }
    Judged { faults, otherwise: Finding::ok("IPv6 stands in the variables of this FreeBSD") }
}

fn not_a_list(path: &str, list: &Variable, aliases: &[(&str, &Variable)]) -> Fault {
    let spaced = list.value.replace(',', " ");
    let finding = Finding::warn("the further IPv6 addresses are not configured")
        .because("rc.conf wants blanks in ipv6_network_interfaces: with commas it names no interface")
        .seen(format!("{path}:{}", list.line), format!("{}={}", list.name, list.value))
        .about(&list.name)
        .mend("write blanks in place of the commas")
        .by(&["sysrc", &format!("ipv6_network_interfaces={spaced}")]);
    // a value that a shell would not take as it stands is not written again
    let is_plain = spaced.chars().all(|c| c.is_ascii_alphanumeric() || " ._".contains(c));
    let edit = Edit::line(path, list.line, format!("ipv6_network_interfaces=\"{spaced}\""));
    Fault { finding: seen(finding, aliases), edits: if is_plain { vec![edit] } else { Vec::new() } }
}

fn seen(finding: Finding, places: &[(&str, &Variable)]) -> Finding {
    places.iter().take(5).fold(finding, |finding, (path, variable)| {
        finding.seen(format!("{path}:{}", variable.line), format!("{}={}", variable.name, variable.value))
    })
}

/// `ipv6_ifconfig_xn0_alias0`, or `ifconfig_xn0_alias1="inet6 …"`.
fn is_ipv6_alias(variable: &Variable, link: &str) -> bool {
    let (name, is_old) = match variable.name.strip_prefix("ipv6_ifconfig_") {
        Some(name) => (name, true),
        None => (variable.name.strip_prefix("ifconfig_").unwrap_or_default(), false),
    };
    let number = name.strip_prefix(link).and_then(|rest| rest.strip_prefix("_alias"));
    let is_alias = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    is_alias && (is_old || variable.value.starts_with("inet6 "))
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, mended, short};
    use super::*;
    use crate::check::Status;
    use proptest::prelude::*;

    const OS: (&str, &str) = ("etc/os-release", "ID=freebsd\nVERSION_ID=13.2\n");
    const FILE: &str = "etc/rc.conf";
    const OLD: &str = "ipv6_ifconfig_xn0=\"2001:db8::1 prefixlen 64\"\n";
    const ALIAS: &str = "ifconfig_xn0_alias0=\"inet6 2001:db8::2/64\"\n";
    const COMMA: &str = "ipv6_network_interfaces=\"xn0,xn1\"\n";

    #[test]
    fn a_list_with_commas_names_no_interface() {
        let said = |text: &str| short(&IPV6, &[OS, (FILE, text)]);
        let warn = (Status::Warn, "ipv6_network_interfaces".to_owned());
        let note = (Status::Note, "ipv6_ifconfig".to_owned());
        let ok = vec![(Status::Ok, String::new())];
        assert_eq!(said(&format!("{COMMA}{ALIAS}")), vec![warn.clone()]);
        assert_eq!(
            said("ipv6_network_interfaces=xn0,lo0\nipv6_ifconfig_xn0_alias0='2001:db8::2/64'\n"),
            [warn, note]
        );
        assert_eq!(said(&format!("{COMMA}ipv6_network_interfaces=\"xn0 xn1\"\n{ALIAS}")), ok);
        assert_eq!(said(&format!("#{COMMA}{ALIAS}")), ok);
        // nothing depends on it: the first address is configured all the same
        assert_eq!(said(&format!("{COMMA}ifconfig_xn0_ipv6=\"inet6 2001:db8::1/64\"\n")), ok);
        assert_eq!(said(&format!("{COMMA}ifconfig_xn0_alias0=\"192.0.2.11/32\"\n")), ok);
        assert_eq!(said(&format!("{COMMA}ifconfig_xn2_alias0=\"inet6 2001:db8::2/64\"\n")), ok);
    }

    #[test]
    fn obsolete_variables_are_a_note() {
        let said = |os: (&str, &str), path: &str, text: &str| short(&IPV6, &[os, (path, text)]);
        let note = vec![(Status::Note, "ipv6_ifconfig".to_owned())];
        let ok = vec![(Status::Ok, String::new())];
        assert_eq!(said(OS, FILE, &format!("ipv6_enable=\"YES\"\n{OLD}")), note);
        assert_eq!(said(OS, "etc/rc.conf.local", OLD), note);
        assert_eq!(
            said(OS, FILE, &format!("#{OLD}ipv6_enable=NO\nipv6_defaultrouter=\"fe80::def%xn0\"\n")),
            ok
        );
        assert_eq!(said(OS, FILE, &format!("{OLD}ipv6_ifconfig_xn0=\"\"\n")), ok);
        let eight = ("etc/os-release", "ID=freebsd\nVERSION_ID=8.4\n");
        assert_eq!(said(eight, FILE, OLD)[0].0, Status::Skipped);
        assert_eq!(said(("etc/os-release", "ID=debian\n"), FILE, OLD)[0].0, Status::Skipped);
        assert!(found(&IPV6, &[OS, (&format!("{FILE}/x"), "")]).is_err());
    }

    #[test]
    fn the_fix_writes_blanks() {
        let mended = mended(&IPV6, &[OS, (FILE, &format!("hostname=\"x\"\n{COMMA}{ALIAS}"))], &[FILE]);
        let after = format!("hostname=\"x\"\nipv6_network_interfaces=\"xn0 xn1\"\n{ALIAS}");
        assert_eq!(mended, [Some(after)]);
    }

    proptest! {
        #[test]
        fn any_file_is_judged(text in "((ipv6_ifconfig|ifconfig)_xn0(_alias[0-9]{0,3}|_ipv6)?=|ipv6_network_interfaces=)[\"a-z0-9:/, ]{0,12}\n") {
            let all: Vec<_> = assignments::parse(&text).into_iter().map(|variable| (FILE, variable)).collect();
            let _ = judge(&all);
        }
    }
}
