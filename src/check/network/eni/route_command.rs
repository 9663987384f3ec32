//! `eni-route-command`: routes of stanzas are added with `route`, which is not installed.
//!
//! Source: route(8) of net-tools, ip-route(8).

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;

use super::super::TEMPLATE;
use super::super::fault::{Edit, Fault, Judged};
use super::{Entry, Interfaces, Stanza, interfaces, not_used};
use crate::check::{Check, Finding};
use crate::facts::os::Base;
use crate::target::Target;

pub(in crate::check::network) const ROUTE_COMMAND: Check = Check {
    id: "eni-route-command",
    about: "the program that adds the routes is there",
    probe: |target| Ok(route_command(target)?.findings()),
    fix: Some(|target| route_command(target)?.plan(target)),
    page: include_str!("../../pages/eni-route-command.md"),
    ..TEMPLATE
};

fn route_command(target: &Target) -> Result<Judged> {
    let Some(all) = interfaces(target)? else { return Ok(not_used()) };
    let root = &target.root;
    let is_applet = target.os().base == Base::Alpine && root.find_program("busybox").is_some();
    if is_applet || root.find_program("route").is_some() {
        return Ok(Judged::only(Finding::ok("the program route is there")));
    }
    Ok(missing_route(&all, root.find_program("ip").is_some()))
}

fn missing_route(all: &Interfaces, has_ip: bool) -> Judged {
    let mut faults = Vec::new();
    for stanza in &all.stanzas {
        let lines: Vec<&Entry> = stanza.options().iter().filter(|line| adds_route(line)).collect();
        if lines.is_empty() {
            continue;
        }
        let Stanza { path, name, .. } = stanza;
        let mut finding =
            Finding::fail(format!("the routes of {name} are added with route, which is not installed"))
                .because(
                    "'|| true' hides it: ServiceNet and what else is behind these routes cannot be reached",
                )
                .about(name)
                .mend(
                    "write the lines with ip (ip route replace NET/PREFIX via GATEWAY), or install net-tools",
                );
        for line in lines.iter().take(8) {
            finding = finding.seen(format!("{path}:{}", line.number), line.words.join(" "));
        }
        let edits: Option<Vec<Edit>> = lines
            .iter()
            .map(|line| Some(Edit::line(path, line.number, with_ip(line, name).filter(|_| has_ip)?)))
            .collect();
        faults.push(Fault { finding, edits: edits.unwrap_or_default() });
    }
    Judged { faults, otherwise: Finding::ok("no route is added with route") }
}

fn adds_route(line: &Entry) -> bool {
    let is_program = matches!(line.word(1), "route" | "/sbin/route" | "/usr/sbin/route");
    matches!(line.word(0), "up" | "post-up" | "pre-up")
        && is_program
        && line.words.iter().any(|word| word == "add")
}

/// Writes `route add …` with ip; `None` where a word is not understood.
fn with_ip(line: &Entry, name: &str) -> Option<String> {
    let indent = line.indent()?;
    let words: Vec<&str> = line.words.iter().skip(2).map(String::as_str).collect();
    let end = words.iter().position(|word| matches!(*word, "||" | "&&" | ";")).unwrap_or(words.len());
    let mut to: Option<&str> = None;
    let (mut netmask, mut via, mut device, mut is_host) = (None, None, None, false);
    let mut rest = words[..end].iter().copied();
    while let Some(word) = rest.next() {
        match word {
            "add" | "-net" => {}
            "-host" => is_host = true,
            "netmask" => netmask = Some(rest.next()?),
            "gw" => via = Some(rest.next()?.parse::<IpAddr>().ok()?),
            "dev" => device = Some(rest.next()?),
            _ if to.is_none() => to = Some(word),
            _ => return None,
        }
    }
    let to = match (to?, netmask) {
        ("default", None) => "default".to_owned(),
        (to, None) if is_host => IpNet::from(to.parse::<IpAddr>().ok()?).to_string(),
        (to, None) => to.parse::<IpNet>().ok()?.trunc().to_string(),
        (to, Some(mask)) => crate::net::address_with_mask(to, Some(mask))?.trunc().to_string(),
    };
    let via = via.map_or(String::new(), |via| format!(" via {via}"));
    // an alias is no device
    let device = device.or(via.is_empty().then(|| name.split(':').next().unwrap_or(name)));
    let device = device.map_or(String::new(), |device| format!(" dev {device}"));
    let tail: String = words[end..].iter().map(|word| format!(" {word}")).collect();
    Some(format!("{indent}{} ip route replace {to}{via}{device}{tail}", line.word(0)))
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{found, mended, short};
    use super::super::parse;
    use super::super::tests::{IFUP, MAIN, fail, ok};
    use super::*;
    use proptest::prelude::*;

    const IP: (&str, &str) = ("usr/sbin/ip", "!");

    fn eth1(lines: &str) -> String {
        format!("auto eth1\niface eth1 inet static\n\taddress 10.208.227.239/19\n{lines}")
    }

    const AS_AGENT_2: &str =
        "\tpost-up route add -net 10.208.0.0 netmask 255.240.0.0 gw 10.208.224.1 || true\n";

    #[test]
    fn routes_need_the_program_that_adds_them() {
        let said = |lines: &str| short(&ROUTE_COMMAND, &[IFUP, IP, (MAIN, &eth1(lines))]);
        assert_eq!(said(AS_AGENT_2), fail("eth1"));
        assert_eq!(said("  up /sbin/route add -net 10.0.0.0/8 gw 10.208.224.1\n"), fail("eth1"));
        assert_eq!(said("\tup ip route add 10.208.0.0/12 via 10.208.224.1\n"), ok());
        assert_eq!(said(&format!("#{AS_AGENT_2}")), ok());
        assert_eq!(said("\tpre-down route del -net 10.208.0.0 netmask 255.240.0.0 || true\n"), ok());
        assert_eq!(said("\tup [ ! -x /sbin/route ] || route add default gw 10.208.224.1\n"), ok());
        let text = eth1(AS_AGENT_2);
        assert_eq!(short(&ROUTE_COMMAND, &[IFUP, ("usr/sbin/route", "!"), (MAIN, &text)]), ok());
        let alpine = [IFUP, ("bin/busybox", "!"), ("etc/os-release", "ID=alpine\n"), (MAIN, &text)];
        assert_eq!(short(&ROUTE_COMMAND, &alpine), ok());
    }

    #[test]
    fn route_commands_are_written_with_ip() {
        let cases = [
            (AS_AGENT_2, "\tpost-up ip route replace 10.208.0.0/12 via 10.208.224.1 || true\n"),
            ("  up route add default gw 10.208.224.1\n", "  up ip route replace default via 10.208.224.1\n"),
            ("\tup route add -host 192.0.2.1 dev eth1\n", "\tup ip route replace 192.0.2.1/32 dev eth1\n"),
            ("\tup route add -host 192.0.2.1\n", "\tup ip route replace 192.0.2.1/32 dev eth1\n"),
            (
                "\tup route add -net 10.0.0.0/8 gw 10.208.224.1 dev eth1\n",
                "\tup ip route replace 10.0.0.0/8 via 10.208.224.1 dev eth1\n",
            ),
        ];
        for (before, after) in cases {
            let mended = mended(&ROUTE_COMMAND, &[IFUP, IP, (MAIN, &eth1(before))], &[MAIN]);
            assert_eq!(mended, [Some(eth1(after))]);
        }
        for line in [
            "\tup route add -net 10.0.0.0 gw 10.208.224.1\n",
            "\tup route -A inet6 add ::/0 gw fe80::1\n",
            "\tup route add -net 10.0.0.0/8 gw 10.208.224.1 mss 1400\n",
            "\tup route add -net \\\n 10.0.0.0/8 gw 10.208.224.1\n",
        ] {
            let all = parse(&[(MAIN.to_owned(), eth1(line))]);
            let faults = missing_route(&all, true).faults;
            assert_eq!((faults.len(), faults[0].edits.as_slice()), (1, [].as_slice()), "{line}");
        }
        let all = parse(&[(MAIN.to_owned(), eth1(AS_AGENT_2))]);
        assert_eq!(missing_route(&all, false).faults[0].edits, []);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        assert!(found(&ROUTE_COMMAND, &[IFUP, (&format!("{MAIN}/x"), "")]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "iface e0 inet static\n((up|post-up) route add [-a-z0-9./ ]{0,24}\n){0,6}") {
            let _ = missing_route(&parse(&[("x".to_owned(), text)]), true);
        }
    }
}
