//! What the checks of this topic say about made-up surveys.

use super::*;
use crate::check::Status;
use crate::net::host::{HostNetwork, HostNic};
use crate::net::survey::tests::{made_up, tree_of};
use crate::root::Root;

const PUBLIC: &str = "bc:76:4e:20:75:72";

fn agent(kind: AgentKind, version: &str) -> Agent {
    crate::facts::agents::tests::agent(kind, version, Vec::new())
}

fn host(records: &[(&str, &str)]) -> Result<HostNetwork, String> {
    Ok(HostNetwork { nics: records.iter().map(|(key, text)| HostNic::parse(key, text.as_bytes())).collect() })
}

/// Status, subject and title of each finding.
fn short(findings: &[Finding]) -> Vec<(Status, &str, &str)> {
    findings.iter().map(|f| (f.status, f.subject.as_deref().unwrap_or(""), f.title.as_str())).collect()
}

#[test]
fn an_old_1x_fails_on_links_without_an_address_only() {
    let survey = made_up(
        &[
            ("eth0", "vif", PUBLIC),
            ("tun0", "tun", ""),
            ("docker0", "bridge", "02:42:ac:11:00:01"),
            ("lo", "loopback", ""),
        ],
        host(&[]),
    );
    let old = crashes(&agent(AgentKind::Nova1, "1.39.0"), &survey, Base::Debian);
    assert_eq!(
        short(&old),
        [(Status::Fail, "tun0", "tun0 is a tun interface, which crashes nova-agent 1.39.0")]
    );
    assert!(crashes(&agent(AgentKind::Nova1, "1.39.1"), &survey, Base::Debian).is_empty());
    assert!(crashes(&agent(AgentKind::Nova2, "2.1.25"), &survey, Base::Debian).is_empty());
}

#[test]
fn many_links_that_crash_the_agent_are_counted() {
    let names: Vec<String> = (0..25).map(|n| format!("tun{n}")).collect();
    let links: Vec<(&str, &str, &str)> = names.iter().map(|name| (name.as_str(), "tun", "")).collect();
    let found = crashes(&agent(AgentKind::Nova1, "1.2.3"), &made_up(&links, host(&[])), Base::RedHat);
    assert_eq!(found.len(), SHOWN_MAX);
    assert_eq!(found[9].evidence.last().unwrap().text, "15 more interfaces crash it too");
}

#[test]
fn what_the_agent_copes_with_is_a_note() {
    let survey = made_up(&[("eth0", "vif", PUBLIC), ("docker0", "bridge", "02:42:ac:11:00:01")], host(&[]));
    assert_eq!(
        short(&[others(&survey, None)]),
        [(Status::Note, "", "beside the NICs there are docker0 (bridge)")]
    );
    let plain = made_up(&[("eth0", "vif", PUBLIC)], host(&[]));
    assert_eq!(others(&plain, None).status, Status::Ok);
}

#[test]
fn netifaces_is_found_where_the_agent_s_python_looks() {
    let module = ("usr/lib/python3/dist-packages/netifaces.cpython-311-x86_64-linux-gnu.so", "");
    let python = [("usr/bin/python3", "->python3.11"), ("usr/bin/python3.11", "!")];
    let found = |files: &[(&str, &str)], kind, version| {
        let (_dir, root): (_, Root) = tree_of(files);
        hazards::python_with_netifaces(&agent(kind, version), &root).unwrap()
    };
    let all = [&python[..], &[module]].concat();
    assert_eq!(found(&all, AgentKind::Nova2, "2.1.25").as_deref(), Some("usr/bin/python3.11"));
    assert_eq!(found(&all, AgentKind::Nova1, "1.39.0"), None);
    assert_eq!(found(&python, AgentKind::Nova2, "2.1.25"), None);
}

#[test]
fn ipv6_off_is_a_warning_where_the_host_assigns_it() {
    let with = r#"{"label": "public", "ip6s": [{"ip": "2001:db8::1", "netmask": 64}]}"#;
    let off = |record: &str| {
        let mut survey = made_up(&[("eth0", "vif", PUBLIC)], host(&[("BC764E207572", record)]));
        survey.interfaces[0].ipv6.enabled = Some(false);
        survey.interfaces[0].ipv6.disabled_by = vec![Seen {
            source: "proc/sys/net/ipv6/conf/eth0/disable_ipv6".to_owned(),
            text: "1".to_owned(),
        }];
        let tree = crate::facts::tree::Tree::of::<&str>(&[]);
        ipv6_off(&survey, &survey.interfaces[0], &Target::pretending_to_be_live(tree.path()))
    };
    let warned = off(with);
    assert_eq!(
        short(std::slice::from_ref(&warned)),
        [(Status::Warn, "eth0", "IPv6 is off on the public interface eth0")]
    );
    assert_eq!(warned.remedy.unwrap().commands, [["sysctl", "-w", "net/ipv6/conf/eth0/disable_ipv6=0"]]);
    assert_eq!(off(r#"{"label": "public"}"#).status, Status::Note);
}

#[test]
fn a_nic_that_shares_its_mac_names_who_with() {
    let survey =
        made_up(&[("eth0", "vif", PUBLIC), ("br0", "bridge", PUBLIC), ("vlan5", "vlan", PUBLIC)], host(&[]));
    let found = not_unique(&survey.interfaces[0], &[&survey.interfaces[1], &survey.interfaces[2]]);
    assert_eq!(
        short(std::slice::from_ref(&found)),
        [(Status::Warn, "eth0", "br0 (bridge), vlan5 (vlan) has the MAC of eth0")]
    );
    assert_eq!(found.evidence.len(), 3);
}

#[test]
fn a_nic_without_a_record_and_a_record_without_a_nic_are_told() {
    const PRIVATE: &str = "bc:76:4e:20:6c:5b";
    let (eth0, eth1) = (("eth0", "vif", PUBLIC), ("eth1", "vif", PRIVATE));
    let bridge = ("br7", "bridge", "02:42:ac:11:00:01");
    let of_eth0 = ("BC764E207572", r#"{"label": "public", "mac": "BC:76:4E:20:75:72"}"#);
    let of_eth1 = ("BC764E206C5B", r#"{"label": "private", "mac": "BC:76:4E:20:6C:5B"}"#);
    let found = |links: &[_], host: Result<HostNetwork, String>| {
        let found = not_matching(&made_up(links, host));
        found.into_iter().map(|f| (f.status, f.title)).collect::<Vec<_>>()
    };
    let ok = |text: &str| [(Status::Ok, text.to_owned())];
    let both = "2 of the host's records, each with its NIC";
    assert_eq!(found(&[eth0, eth1, bridge], host(&[of_eth0, of_eth1])), ok(both));
    let nothing = (Status::Warn, "the host assigns nothing to eth1".to_owned());
    assert_eq!(found(&[eth0, eth1], host(&[of_eth0])), [nothing]);
    let gone = (Status::Warn, "the host assigns a NIC BC764E206C5B (private) that is not there".to_owned());
    assert_eq!(found(&[eth0], host(&[of_eth0, of_eth1])), [gone]);
    let unread = "reading vm-data/networking: denied".to_owned();
    assert_eq!(found(&[eth0], Err(unread.clone())), [(Status::Skipped, unread)]);
}

#[test]
fn a_nic_that_is_a_port_is_told_and_links_with_macs_of_their_own_are_not() {
    let mut survey = made_up(
        &[("eth0", "vif", PUBLIC), ("br7", "bridge", "02:42:ac:11:00:01"), ("tun0", "tun", "")],
        host(&[]),
    );
    let found = sharing_a_mac(&survey);
    assert_eq!(short(&found), [(Status::Ok, "", "no other link carries a NIC's MAC, and no NIC is a port")]);
    survey.interfaces[0].link.master = Some("br7".to_owned());
    assert_eq!(short(&sharing_a_mac(&survey)), [(Status::Warn, "eth0", "eth0 is a port of br7")]);
}
