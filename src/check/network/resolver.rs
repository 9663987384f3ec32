//! `/etc/resolv.conf`: is there a name server, and does what the file relies on exist.
//!
//! Who writes it decides. A link is judged by the program that fills what it leads to, for on a mounted disk /run is
//! empty. A file without a name server is a fault where nothing writes one at boot and no name server runs here: glibc
//! and musl then ask 127.0.0.1. Agent 1.x moved the file to /etc/resolvconf.conf and left a link into /run/resolvconf
//! whether resolvconf was there or not; the servers in it are those of the repair when the host names none.
//! Source: resolv.conf(5), resolvconf(8), systemd-resolved(8), NetworkManager.conf(5).

use std::net::IpAddr;

use anyhow::Result;

use super::{TEMPLATE, network_manager, was_never_built};
use crate::check::{Check, Finding};
use crate::facts::init::Enabled;
use crate::plan::{FileChange, Plan};
use crate::root::{Kind, Root};
use crate::target::Target;

pub(super) const RESOLVER: Check = Check {
    id: "resolver",
    about: "names are resolved: a name server is named, and what names it exists",
    probe: |target| Ok(vec![finding(target)?]),
    fix: Some(repair),
    page: include_str!("../pages/resolver.md"),
    ..TEMPLATE
};

const FILE: &str = "etc/resolv.conf";
const STUB: &str = "run/systemd/resolve/stub-resolv.conf";
/// Where agent 1.x moved the old file; openresolv has its settings there.
const MOVED: &str = "etc/resolvconf.conf";
/// Where resolved listens.
const RESOLVED: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 54))];
/// Name servers that a machine runs for itself.
const LOCAL: [&str; 6] = ["named", "bind9", "unbound", "dnsmasq", "pdns-recursor", "local_unbound"];

/// What is wrong.
struct Wrong {
    title: String,
    source: String,
    text: String,
}

fn wrong(title: impl Into<String>, source: &str, text: impl Into<String>) -> Option<Wrong> {
    Some(Wrong { title: title.into(), source: source.to_owned(), text: text.into() })
}

fn finding(target: &Target) -> Result<Finding> {
    let Some(wrong) = judge(target)? else { return Ok(Finding::ok("a name server is named")) };
    if was_never_built(target) {
        return Ok(Finding::note(format!(
            "{}: the agent does that when a server is built of it",
            wrong.title
        )));
    }
    let finding = Finding::fail(wrong.title)
        .because("no name is resolved: updates, mail and whatever calls a service by its name fail")
        .seen(wrong.source, wrong.text)
        .about(FILE);
    Ok(match mended(target)? {
        Some(FileChange::Link { to, .. }) => {
            finding.mend("lead the file to systemd-resolved's").by(&["ln", "-sf", &to, "/etc/resolv.conf"])
        }
        Some(_) => finding.mend("write a file with the name servers that the host assigns"),
        None => finding.mend("write 'nameserver ADDRESS' into the file"),
    })
}

fn judge(target: &Target) -> Result<Option<Wrong>> {
    let root = &target.root;
    if let Some(link) = root.link_opt(FILE)? {
        return of_link(target, &link);
    }
    let Some(text) = root.text_opt(FILE)? else {
        if has_writer(target)? || has_link_at_boot(target)? {
            return Ok(None);
        }
        return Ok(wrong("there is no /etc/resolv.conf, and nothing writes one", FILE, "no such file"));
    };
    of_text(target, FILE, &text)
}

fn of_link(target: &Target, link: &str) -> Result<Option<Wrong>> {
    let root = &target.root;
    let path = absolute(link);
    let fills = filler(target, &path)?;
    if let Some(Filler { name, is_there: false }) = fills {
        return Ok(wrong(
            format!("/etc/resolv.conf leads to a file of {name}, which does not start here"),
            FILE,
            link,
        ));
    }
    match root.text_opt(FILE)? {
        Some(text) => of_text(target, &path, &text),
        // /run is filled at boot
        None if fills.is_some() && !target.is_live() => Ok(None),
        None if path.starts_with("run/") && !target.is_live() => Ok(None),
        None => Ok(wrong("/etc/resolv.conf leads to nothing", FILE, link)),
    }
}

/// A program that writes what a link leads to.
struct Filler {
    name: &'static str,
    is_there: bool,
}

fn filler(target: &Target, path: &str) -> Result<Option<Filler>> {
    let root = &target.root;
    let has = |name: &str| root.find_program(name).is_some();
    let (name, is_there) = if path.starts_with("run/systemd/resolve/") {
        ("systemd-resolved", is_started(target, "systemd-resolved")?)
    } else if path.starts_with("run/resolvconf/") || path.starts_with("etc/resolvconf/run/") {
        ("resolvconf", has("resolvconf"))
    } else if path.starts_with("run/NetworkManager/") {
        ("NetworkManager", network_manager::starts(target)?)
    } else if path.starts_with("run/netconfig/") {
        ("netconfig", has("netconfig"))
    } else {
        return Ok(None);
    };
    Ok(Some(Filler { name, is_there }))
}

fn of_text(target: &Target, path: &str, text: &str) -> Result<Option<Wrong>> {
    let servers = servers(text);
    if servers.is_empty() {
        let has_local = || -> Result<bool> {
            for name in LOCAL {
                if is_started(target, name)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // on a running guest it should have been written by now
        let is_to_come = !target.is_live() && has_writer(target)?;
        if is_to_come || has_local()? {
            return Ok(None);
        }
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("an empty file");
        return Ok(wrong("no name server is named", path, first.trim()));
    }
    let is_of_resolved = servers.iter().all(|server| RESOLVED.contains(server));
    if is_of_resolved && !is_started(target, "systemd-resolved")? {
        let line = format!("nameserver {}", servers[0]);
        return Ok(wrong("/etc/resolv.conf names systemd-resolved, which does not start here", path, line));
    }
    Ok(None)
}

/// Returns the name servers as the resolver reads them: the keyword begins the line.
fn servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let rest = line.strip_prefix("nameserver")?;
        if !rest.starts_with([' ', '\t']) {
            return None;
        }
        let word = rest.split_whitespace().next()?;
        // the link of a link-local address
        word.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(server).take(16).collect()
}

/// Whether something writes the file at boot: NetworkManager, netconfig, or a DHCP client.
fn has_writer(target: &Target) -> Result<bool> {
    let root = &target.root;
    if network_manager::starts(target)? || root.find_program("netconfig").is_some() {
        return Ok(true);
    }
    // the scripts of initscripts write what DNS1 says, every DHCP client what its server says
    let programs = ["dhclient", "dhcpcd", "udhcpc"];
    let is_open =
        target.configuration().planned.iter().any(|entry| entry.kind.is_nic() && entry.addresses.is_empty());
    let has_dns = root.files_in("etc/sysconfig/network-scripts", "")?.iter().any(|path| {
        path.rsplit('/').next().is_some_and(|name| name.starts_with("ifcfg-"))
            && root.text_opt(path).is_ok_and(|text| text.is_some_and(|text| text.contains("DNS1=")))
    });
    Ok(has_dns || is_open && programs.iter().any(|name| root.find_program(name).is_some()))
}

/// Whether systemd makes the link when there is no file (tmpfiles.d, `L`).
fn has_link_at_boot(target: &Target) -> Result<bool> {
    let dirs = ["usr/lib/tmpfiles.d", "lib/tmpfiles.d"];
    let names = ["systemd-resolve.conf", "etc.conf", "systemd.conf"];
    let mut makes_link = false;
    for path in dirs.iter().flat_map(|dir| names.iter().map(move |name| format!("{dir}/{name}"))) {
        let text = target.root.text_opt(&path)?.unwrap_or_default();
        makes_link |= text.lines().any(|line| line.starts_with('L') && line.contains(" /etc/resolv.conf "));
    }
    Ok(makes_link && is_started(target, "systemd-resolved")?)
}

fn is_started(target: &Target, name: &str) -> Result<bool> {
    let service = target.services().named(&target.root, name)?;
    Ok(service.is_some_and(|service| matches!(service.enabled, Enabled::Yes(_))))
}

/// Where a link of /etc leads, relative to the root.
fn absolute(link: &str) -> String {
    let mut names: Vec<&str> = if link.starts_with('/') { Vec::new() } else { vec!["etc"] };
    for name in link.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let path = names.join("/");
    path.strip_prefix("var/run/").map_or(path.clone(), |rest| format!("run/{rest}"))
}

fn repair(target: &Target) -> Result<Plan> {
    let mut plan = Plan { verb: "fix", title: "name the name servers".to_owned(), ..Plan::default() };
    if judge(target)?.is_some() {
        plan.files.extend(mended(target)?);
    }
    Ok(plan)
}

/// Returns what puts it right: the link to resolved's file where that runs, else a file with the servers of the host,
/// else those of the file that agent 1.x moved away.
fn mended(target: &Target) -> Result<Option<FileChange>> {
    let root = &target.root;
    let is_link = root.link_opt(FILE)?.is_some();
    if is_started(target, "systemd-resolved")? {
        return Ok(Some(FileChange::Link { path: FILE.to_owned(), to: format!("../{STUB}") }));
    }
    // a write goes through the link, into somebody else's file
    if is_link && root.exists(FILE) {
        return Ok(None);
    }
    let old = if is_link { None } else { text_of(root, FILE)? };
    let moved = text_of(root, MOVED)?.filter(|text| !servers(text).is_empty());
    let mut found: Vec<IpAddr> = Vec::new();
    for nic in target.survey()?.host.iter().flat_map(|host| &host.nics) {
        found.extend(nic.dns.iter().filter(|server| !found.contains(server)).copied().collect::<Vec<_>>());
    }
    if found.is_empty() {
        found = moved.as_deref().map(servers).unwrap_or_default();
    }
    if found.is_empty() {
        return Ok(None);
    }
    let base = old.or(moved).unwrap_or_default();
    let kept = base.lines().filter(|line| !line.starts_with("nameserver"));
    let mut text: String = kept.map(|line| format!("{line}\n")).collect();
    // the resolver reads three
    for server in found.iter().take(3) {
        text.push_str(&format!("nameserver {server}\n"));
    }
    Ok(Some(FileChange::write(FILE, text)))
}

fn text_of(root: &Root, path: &str) -> Result<Option<String>> {
    let is_file = root.stat_opt(path)?.is_some_and(|stat| stat.kind == Kind::File);
    if is_file { root.text_opt(path) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{MANAGER, found, mended, short};
    use super::*;
    use crate::check::Status;
    use proptest::prelude::*;

    const SYSTEMD: [(&str, &str); 4] = [
        ("usr/lib/systemd/systemd", "!"),
        ("sbin/init", "->/usr/lib/systemd/systemd"),
        ("usr/lib/systemd/system/default.target", "->multi-user.target"),
        ("usr/lib/systemd/system/multi-user.target", "[Unit]\nDescription=x\n"),
    ];
    const RESOLVED_UNIT: [(&str, &str); 2] = [
        (
            "usr/lib/systemd/system/systemd-resolved.service",
            "[Service]\nExecStart=/lib/systemd/systemd-resolved\n",
        ),
        (
            "etc/systemd/system/multi-user.target.wants/systemd-resolved.service",
            "->/usr/lib/systemd/system/systemd-resolved.service",
        ),
    ];
    const BUILT: (&str, &str) = ("etc/machine-id", "5ab7e1d0c2f34e0f9d0f1c9b8a7d6e5f\n");
    const LOG: (&str, &str) = (
        "var/log/nova-agent.log",
        "x [INFO ] Interface BC764E207572: {'mac': 'BC:76:4E:20:75:72', 'dns': ['192.0.2.53', '192.0.2.54'], 'ips': [{'ip': '192.0.2.10', 'netmask': '255.255.255.0'}]}\n",
    );

    fn with(files: &[&[(&'static str, &'static str)]]) -> Vec<(&'static str, &'static str)> {
        [&[BUILT][..], &files.concat()].concat()
    }

    fn said(files: &[&[(&'static str, &'static str)]]) -> Status {
        short(&RESOLVER, &with(files))[0].0
    }

    #[test]
    fn a_file_needs_a_name_server() {
        let of = |text: &'static str| said(&[&[(FILE, text)]]);
        for text in [
            "nameserver 192.0.2.53\n",
            "search x\nnameserver\t2001:db8::53\n",
            "nameserver fe80::1%eth0\n",
            "nameserver 127.0.0.1\n",
        ] {
            assert_eq!(of(text), Status::Ok, "{text}");
        }
        for text in [
            "",
            "search x\n",
            "# nameserver 192.0.2.53\n",
            " nameserver 192.0.2.53\n",
            "nameserver\n",
            "nameservers 192.0.2.53\n",
            "nameserver x\n",
            "nameserver 127.0.0.53\n",
        ] {
            assert_eq!(of(text), Status::Fail, "{text:?}");
        }
        assert_eq!(said(&[&SYSTEMD, &RESOLVED_UNIT, &[(FILE, "nameserver 127.0.0.53\n")]]), Status::Ok);
        // the image that a server is built of
        assert_eq!(short(&RESOLVER, &[(FILE, "")])[0].0, Status::Note);
        assert!(found(&RESOLVER, &with(&[&[("etc/resolv.conf/x", "")]])).is_err());
    }

    #[test]
    fn a_missing_file_is_a_fault_where_nothing_writes_it() {
        assert_eq!(said(&[&[]]), Status::Fail);
        assert_eq!(said(&[&MANAGER]), Status::Ok);
        assert_eq!(said(&[&MANAGER, &[(FILE, "# Generated by NetworkManager\n")]]), Status::Ok);
        let line = (
            "usr/lib/tmpfiles.d/systemd-resolve.conf",
            "L! /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n",
        );
        assert_eq!(said(&[&SYSTEMD, &RESOLVED_UNIT, &[line]]), Status::Ok);
        assert_eq!(said(&[&SYSTEMD, &[line]]), Status::Fail);
    }

    #[test]
    fn a_link_needs_the_program_that_fills_it() {
        let link = |to| [(FILE, to)];
        let stub = "->../run/systemd/resolve/stub-resolv.conf";
        assert_eq!(said(&[&SYSTEMD, &RESOLVED_UNIT, &link(stub)]), Status::Ok);
        assert_eq!(said(&[&SYSTEMD, &link(stub)]), Status::Fail);
        let resolvconf = "->/run/resolvconf/resolv.conf";
        assert_eq!(said(&[&link(resolvconf), &[("sbin/resolvconf", "!")]]), Status::Ok);
        assert_eq!(said(&[&link(resolvconf)]), Status::Fail);
        assert_eq!(said(&[&link("->/etc/resolvconf/run/resolv.conf")]), Status::Fail);
        assert_eq!(said(&[&MANAGER, &link("->/var/run/NetworkManager/resolv.conf")]), Status::Ok);
        // somebody's own program
        assert_eq!(said(&[&link("->/run/connman/resolv.conf")]), Status::Ok);
        assert_eq!(said(&[&link("->resolv.conf.mine")]), Status::Fail);
        assert_eq!(
            said(&[&link("->resolv.conf.mine"), &[("etc/resolv.conf.mine", "nameserver 192.0.2.53\n")]]),
            Status::Ok
        );
    }

    #[test]
    fn the_fix_names_the_host_s_servers_or_leads_to_resolved() {
        let want = "nameserver 192.0.2.53\nnameserver 192.0.2.54\n";
        let text =
            |files: &[&[(&'static str, &'static str)]]| mended(&RESOLVER, &with(files), &[FILE]).remove(0);
        assert_eq!(text(&[&[LOG, (FILE, "search x\nnameserver\n")]]), Some(format!("search x\n{want}")));
        assert_eq!(text(&[&[LOG, (FILE, "->/run/resolvconf/resolv.conf")]]), Some(want.to_owned()));
        assert_eq!(text(&[&[LOG]]), Some(want.to_owned()));
        let moved = (MOVED, "search y\nnameserver 192.0.2.55\n");
        assert_eq!(text(&[&[moved]]), Some("search y\nnameserver 192.0.2.55\n".to_owned()));
        // what it leads to is not on the disk
        assert_eq!(text(&[&SYSTEMD, &RESOLVED_UNIT, &[(FILE, "")]]), None);
    }

    proptest! {
        #[test]
        fn any_text_and_any_link_are_read(text in "(nameserver|#|search)?[ \t]?[0-9a-f:.%]{0,12}\n?.{0,8}", link in "(/|\\.\\.|run|etc|x){0,8}") {
            let _ = (servers(&text), absolute(&link));
        }
    }
}
