//! `/etc/network/interfaces` of ifupdown, ifupdown2 and ifupdown-ng, with what it sources.
//!
//! Source: interfaces(5), interfaces-bridge(5) of bridge-utils, the READMEs of ifenslave and vlan, ifupdown-ng's
//! interfaces(5).

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::configured::{Match, Planned, Scan, Seen};
use super::links::Kind;
use crate::glob;

pub(super) const MAIN: &str = "etc/network/interfaces";
/// How deep files source each other.
const DEPTH_MAX: usize = 8;
/// How many files there are in all.
const FILES_MAX: usize = 200;

/// One line that is not a comment, joined with those that it goes on in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) words: Vec<String>,
    pub(crate) number: usize,
}

/// What all stanzas of one interface say together.
#[derive(Debug)]
struct Interface {
    kind: Kind,
    /// Where the kind was said, else the first stanza.
    seen: Seen,
    ipv6_off: Option<Seen>,
    addresses: Vec<IpNet>,
}

/// All files together.
#[derive(Debug, Default)]
struct Interfaces {
    named: BTreeMap<String, Interface>,
    automatic: BTreeSet<String>,
    /// The interface whose stanza is open: options may follow.
    open: Option<String>,
    /// Every file that was read, in order.
    texts: Vec<(String, String)>,
}

/// Returns the files that ifupdown reads, in its order, each with its text.
pub(crate) fn texts(scan: &mut Scan) -> Vec<(String, String)> {
    let mut all = Interfaces::default();
    read(scan, MAIN, 0, &mut 0, &mut all);
    all.texts
}

pub(super) fn look(scan: &mut Scan) {
    if scan.root.find_program("ifup").is_none() {
        return;
    }
    let mut all = Interfaces::default();
    let mut files = 0;
    read(scan, MAIN, 0, &mut files, &mut all);
    for (name, interface) in all.named {
        // an alias is an address of its interface
        if name == "lo" || name.contains(':') {
            continue;
        }
        scan.add(Planned {
            reader: "ifupdown",
            at_boot: all.automatic.iter().any(|pattern| glob::matches(pattern, &name)),
            to: Match::name(name),
            kind: interface.kind,
            seen: interface.seen,
            ipv6_off: interface.ipv6_off,
            addresses: interface.addresses,
        });
    }
}

fn read(scan: &mut Scan, path: &str, depth: usize, files: &mut usize, all: &mut Interfaces) {
    *files += 1;
    if depth > DEPTH_MAX || *files > FILES_MAX {
        return;
    }
    let Some(text) = scan.text(path) else { return };
    all.texts.push((path.to_owned(), text.clone()));
    for line in lines(&text) {
        match line.words.first().map(String::as_str) {
            Some("source" | "source-directory" | "source-dir") => {
                all.open = None;
                for file in included(scan, path, &line.words) {
                    read(scan, &file, depth + 1, files, all);
                }
            }
            _ => all.take(path, &line),
        }
    }
}

/// Joins lines that end in a backslash, drops comments, splits words.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut joined = String::new();
    let mut number = 0;
    for (place, line) in text.lines().enumerate() {
        if joined.is_empty() {
            number = place + 1;
            if line.trim_start().starts_with('#') {
                continue;
            }
        }
        if let Some(start) = line.strip_suffix('\\') {
            joined.push_str(start);
            joined.push(' ');
            continue;
        }
        joined.push_str(line);
        let words: Vec<String> = joined.split_whitespace().map(str::to_owned).collect();
        joined.clear();
        if !words.is_empty() {
            lines.push(Line { words, number });
        }
    }
    lines
}

impl Interfaces {
    fn take(&mut self, path: &str, line: &Line) {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [auto, names @ ..] if *auto == "auto" || auto.starts_with("allow-") => {
                self.open = None;
                self.automatic.extend(names.iter().map(|name| (*name).to_owned()));
            }
            ["iface", name, rest @ ..] => {
                self.open = Some((*name).to_owned());
                let seen = Seen::line(path, line.number, words.join(" "));
                let kind = kind_of_name(name);
                let interface = self.named.entry((*name).to_owned()).or_insert_with(|| Interface {
                    kind,
                    seen: seen.clone(),
                    ipv6_off: None,
                    addresses: Vec::new(),
                });
                if let Some(kind) = kind_of_method(rest) {
                    (interface.kind, interface.seen) = (kind, seen);
                }
            }
            ["mapping" | "template" | "rename" | "no-auto-down" | "no-scripts", ..] => self.open = None,
            [option, values @ ..] => {
                let Some(interface) = self.open.as_ref().and_then(|name| self.named.get_mut(name)) else {
                    return;
                };
                let seen = Seen::line(path, line.number, words.join(" "));
                match (*option, values.first()) {
                    ("address", Some(address)) => {
                        interface.addresses.extend(super::address_with_mask(address, None));
                    }
                    // belongs to the address above it, which had no length of its own
                    ("netmask", Some(mask)) => {
                        if let Some(last) = interface.addresses.last_mut()
                            && let Some(net) = super::address_with_mask(&last.addr().to_string(), Some(mask))
                        {
                            *last = net;
                        }
                    }
                    _ => {}
                }
                if switches_ipv6_off(option, values) {
                    interface.ipv6_off = Some(seen.clone());
                }
                if let Some(kind) = kind_of_option(option, values) {
                    (interface.kind, interface.seen) = (kind, seen);
                }
            }
            [] => {}
        }
    }
}

/// `eth0.5` and `vlan5` are VLANs by their names alone (if-pre-up.d/vlan).
fn kind_of_name(name: &str) -> Kind {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let by_dot = name.rsplit_once('.').is_some_and(|(link, id)| !link.is_empty() && is_number(id));
    if by_dot || name.strip_prefix("vlan").is_some_and(is_number) { Kind::VLAN } else { Kind::ETHERNET }
}

fn kind_of_method(words: &[&str]) -> Option<Kind> {
    match *words.last()? {
        "ppp" | "wvdial" => Some(Kind::PPP),
        "tunnel" => Some(Kind::named("tunnel")),
        _ => None,
    }
}

fn kind_of_option(option: &str, values: &[&str]) -> Option<Kind> {
    // every option is known with an underscore and with a dash
    match option.replace('_', "-").as_str() {
        "bridge-ports" => Some(Kind::BRIDGE),
        "bond-slaves" | "bond-mode" => Some(Kind::BOND),
        "vlan-raw-device" | "vlan-id" => Some(Kind::VLAN),
        "wireguard-config-path" => Some(Kind::WIREGUARD),
        "tunnel-mode" => values.first().map(|mode| Kind::named(mode)),
        "openvpn" => Some(Kind::TUN),
        "pre-up" | "up" => made_by(values),
        _ => None,
    }
}

/// The kind in `ip link add … type KIND`, `ip tuntap add … mode KIND` and `brctl addbr`.
fn made_by(command: &[&str]) -> Option<Kind> {
    let program = command.first()?.rsplit('/').next()?;
    let after = |word: &str| command.iter().skip_while(|w| **w != word).nth(1).map(|kind| Kind::named(kind));
    match program {
        "ip" if command.contains(&"add") && command.contains(&"link") => after("type"),
        "ip" if command.contains(&"add") && command.contains(&"tuntap") => after("mode"),
        "brctl" if command.get(1) == Some(&"addbr") => Some(Kind::BRIDGE),
        _ => None,
    }
}

/// Whether a command of a stanza sets `disable_ipv6` to 1.
fn switches_ipv6_off(option: &str, command: &[&str]) -> bool {
    if !matches!(option, "pre-up" | "up" | "post-up") {
        return false;
    }
    let command = command.concat();
    command.contains("disable_ipv6=1")
        // echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
        || command.starts_with("echo1>") && command.contains("/disable_ipv6")
}

/// Returns the files that a `source` or `source-directory` line of a file names.
pub(crate) fn included(scan: &mut Scan, from: &str, words: &[String]) -> Vec<String> {
    let Some((word, names)) = words.split_first() else { return Vec::new() };
    let mut files = Vec::new();
    for name in names {
        if word == "source" {
            files.extend(sourced(scan, from, name));
        } else {
            let mut plain = scan.files(&beside(from, name), "");
            plain.retain(|file| is_plain(file.rsplit('/').next().unwrap_or_default()));
            files.extend(plain);
        }
    }
    files
}

/// The files that a `source` names: a path, or a pattern in the last component.
fn sourced(scan: &mut Scan, from: &str, pattern: &str) -> Vec<String> {
    let path = beside(from, pattern);
    let Some((dir, name)) = path.rsplit_once('/') else { return vec![path] };
    if !name.contains(['*', '?', '[']) {
        return vec![path];
    }
    let mut files = scan.files(dir, "");
    // a shell's pattern does not match a hidden file
    files.retain(|file| {
        file.rsplit('/').next().is_some_and(|file| !file.starts_with('.') && glob::matches(name, file))
    });
    files
}

/// A path as it stands, or beside the file that names it.
fn beside(from: &str, path: &str) -> String {
    match (path.strip_prefix('/'), from.rsplit_once('/')) {
        (Some(absolute), _) => absolute.to_owned(),
        (None, Some((dir, _))) => format!("{dir}/{path}"),
        (None, None) => path.to_owned(),
    }
}

/// Names that `source-directory` takes: those of run-parts.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::{addresses, off, short};
    use proptest::prelude::*;

    const READER: (&str, &str) = ("usr/sbin/ifup", "!");

    #[test]
    fn stanzas_make_what_their_options_say() {
        let text = "# c\nauto lo eth0 br0\niface lo inet loopback\niface eth0 inet static\n  address 192.0.2.1/24\n\
            iface eth0:1 inet static\niface br0 inet manual\n  bridge_ports \\\n    eth0\niface bond0 inet manual\n  \
            bond-mode 1\niface eth0.5 inet manual\niface ppp0 inet ppp\niface tap3 inet manual\n  pre-up ip tuntap add dev tap3 mode tap\n\
            iface wg0 inet static\n  pre-up /sbin/ip link add dev wg0 type wireguard\n";
        let planned = short(&[READER, (MAIN, text)]);
        let row = |name: &str, kind: &str, boot, line| {
            (name.to_owned(), kind.to_owned(), boot, format!("{MAIN}:{line}"))
        };
        assert_eq!(
            planned,
            [
                row("bond0", "bond", false, 11),
                row("br0", "bridge", true, 8),
                row("eth0", "ethernet", true, 4),
                row("eth0.5", "vlan", false, 12),
                row("ppp0", "ppp", false, 13),
                row("tap3", "tap", false, 15),
                row("wg0", "wireguard", false, 17),
            ]
        );
    }

    #[test]
    fn sourced_files_are_read_as_ifupdown_reads_them() {
        let stanza = |name: &str| format!("iface {name} inet manual\n");
        let planned = short(&[
            READER,
            (MAIN, "source interfaces.d/*.cfg\nsource-directory /etc/network/more.d\n"),
            ("etc/network/interfaces.d/a.cfg", &stanza("a0")),
            ("etc/network/interfaces.d/b", &stanza("b0")),
            ("etc/network/more.d/c", &stanza("c0")),
            ("etc/network/more.d/d.cfg", &stanza("d0")),
        ]);
        let names: Vec<_> = planned.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["a0", "c0"]);
    }

    #[test]
    fn a_file_that_sources_itself_comes_to_an_end() {
        let planned = short(&[
            READER,
            (MAIN, "source /etc/network/interfaces\nsource interfaces\niface a0 inet manual\n"),
        ]);
        assert_eq!(planned.len(), 1);
    }

    #[test]
    fn addresses_of_all_stanzas_of_an_interface_are_its_own() {
        let text = "iface eth0 inet static\n address 192.0.2.1\n netmask 255.255.255.0\niface eth0 inet static\n \
            address 192.0.2.2/25\niface eth0 inet6 static\n address 2001:db8::1\n netmask 64\n";
        let want = ["192.0.2.1/24", "192.0.2.2/25", "2001:db8::1/64"];
        assert_eq!(addresses(&[READER, (MAIN, text)], "eth0"), want);
    }

    #[test]
    fn a_command_that_switches_ipv6_off_is_seen() {
        let said =
            |line: &str| off(&[READER, (MAIN, &format!("iface eth0 inet dhcp\n  {line}\n"))], "eth0", "");
        assert_eq!(said("up sysctl -w net.ipv6.conf.eth0.disable_ipv6=1"), [format!("{MAIN}:2")]);
        assert_eq!(said("pre-up echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"), [format!("{MAIN}:2")]);
        assert_eq!(said("up sysctl -w net.ipv6.conf.eth0.disable_ipv6=0"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((iface|auto|up|bridge_ports|source)? ?[a-z0-9.*\\\\ ]{0,12}\n){0,6}") {
            let mut all = Interfaces::default();
            for line in lines(&text) {
                all.take("x", &line);
            }
        }
    }
}
