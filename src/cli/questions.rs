//! The questions of `reset-network` where the host says nothing: a person on the console types the network of one NIC.
//!
//! What is up now stands there to be edited. Nothing is changed here: the answers are what the options would have said.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::net::intent::Family;
use crate::net::links;
use crate::net::live::Live;
use crate::target::Target;
use crate::ui;

/// What somebody typed, as `--address`, `--gateway` and `--dns` take it.
pub(super) struct Answers {
    pub(super) address: String,
    pub(super) gateway: Vec<IpAddr>,
    pub(super) dns: Vec<IpAddr>,
}

/// Asks; `None` where there is no terminal or no NIC.
///
/// # Errors
/// The terminal, the links or the addresses cannot be read.
pub(super) fn ask(target: &Target) -> anyhow::Result<Option<Answers>> {
    let links = links::live(&target.root)?;
    let mut nics: Vec<&str> = links.iter().filter(|l| l.kind.is_nic()).map(|l| l.name.as_str()).collect();
    if nics.is_empty() {
        // as in a container
        nics.extend(links.iter().filter(|l| l.kind == links::Kind::VETH).map(|l| l.name.as_str()));
    }
    let live = Live::look()?;
    let carries_default = |nic: &&&str| live.defaults(Family::V4).iter().any(|(of, _, _)| *of == Some(**nic));
    let Some(first) = nics.iter().find(carries_default).or(nics.first()) else { return Ok(None) };
    let one_of = format!("one of {}", nics.join(", "));
    let is_nic = |text: &str| if nics.contains(&text) { Ok(()) } else { Err(one_of.clone()) };
    let Some(nic) = ui::ask("NIC", first, is_nic)? else { return Ok(None) };
    let address = live.addresses_of(&nic).first().map_or(String::new(), ToString::to_string);
    let is_address = |text: &str| match text.split_once('/').and(text.parse::<IpNet>().ok()) {
        Some(_) => Ok(()),
        None => Err("an address with its length, such as 203.0.113.7/24".to_owned()),
    };
    let Some(address) = ui::ask("Address/length", &address, is_address)? else { return Ok(None) };
    let family = if address.contains(':') { Family::V6 } else { Family::V4 };
    let gateway = live.defaults(family).into_iter().find(|(of, _, _)| *of == Some(nic.as_str()));
    let gateway = gateway.and_then(|(_, via, _)| via).map_or(String::new(), |via| via.to_string());
    let are_addresses = |text: &str| match addresses(text) {
        Some(_) => Ok(()),
        None => Err("addresses with a comma between them, or nothing".to_owned()),
    };
    let question = "Default gateway (nothing: none)";
    let Some(gateway) = ui::ask(question, &gateway, are_addresses)? else { return Ok(None) };
    let question = "Name servers (nothing: as they are)";
    let Some(dns) = ui::ask(question, &servers(target)?, are_addresses)? else { return Ok(None) };
    Ok(Some(Answers {
        address: format!("{nic}={address}"),
        gateway: addresses(&gateway).unwrap_or_default(),
        dns: addresses(&dns).unwrap_or_default(),
    }))
}

/// Reads addresses with commas or blanks between them.
fn addresses(text: &str) -> Option<Vec<IpAddr>> {
    let words = text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok()).collect()
}

/// Returns the name servers in use, without a resolver on this machine.
fn servers(target: &Target) -> anyhow::Result<String> {
    let text = target.root.text_opt("etc/resolv.conf")?.unwrap_or_default();
    let named =
        text.lines().filter_map(|line| line.strip_prefix("nameserver ")?.trim().parse::<IpAddr>().ok());
    let named: Vec<_> =
        named.filter(|server| !server.is_loopback()).take(3).map(|server| server.to_string()).collect();
    Ok(named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_type_them() {
        let read = |text| addresses(text).map(|all| all.len());
        let rows = [
            ("", Some(0)),
            (" ", Some(0)),
            ("192.0.2.1", Some(1)),
            ("192.0.2.1, ::1 192.0.2.2", Some(3)),
            ("192.0.2", None),
            ("192.0.2.1/24", None),
        ];
        for (text, want) in rows {
            assert_eq!(read(text), want, "{text:?}");
        }
    }
}
