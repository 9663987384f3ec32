//! Gateways in every format: one too many, and out of reach.

use proptest::prelude::*;

use super::super::trial::{LOG, MANAGER, found, mended, short};
use super::*;
use crate::check::Status;

const NETPLAN: [(&str, &str); 2] =
    [("usr/sbin/netplan", "!"), ("usr/lib/systemd/system-generators/netplan", "!")];
const YAML: &str = "etc/netplan/01.yaml";
const EL7: [(&str, &str); 2] =
    [("etc/rc.d/init.d/network", "!"), ("etc/rc.d/rc3.d/S10network", "->../init.d/network")];
const IFCFG0: &str = "etc/sysconfig/network-scripts/ifcfg-eth0";
const IFCFG1: &str = "etc/sysconfig/network-scripts/ifcfg-eth1";
const ROUTE0: &str = "etc/sysconfig/network-scripts/route-eth0";
const ENI: &str = "etc/network/interfaces";
const IFUPDOWN: [(&str, &str); 3] = [
    ("usr/sbin/ifup", "!"),
    (
        "usr/lib/systemd/system/networking.service",
        "[Service]\nExecStart=/usr/sbin/ifup -a\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/networking.service",
        "->/usr/lib/systemd/system/networking.service",
    ),
];

fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

fn netplan(check: &Check, links: &str) -> Vec<(Status, String)> {
    let text = format!("network:\n  version: 2\n  ethernets:\n{links}");
    short(check, &[&MANAGER[1..6], &NETPLAN, &[(YAML, &text)]].concat())
}

fn nic(name: &str, address: &str, rest: &str) -> String {
    format!("    {name}:\n      addresses: [{address}]\n{rest}")
}

fn mended_netplan(check: &Check, links: &str) -> String {
    let head = "network:\n  version: 2\n  ethernets:\n";
    let text = format!("{head}{links}");
    let files = [&MANAGER[1..6], &NETPLAN, &[(YAML, text.as_str()), LOG]].concat();
    let text = mended(check, &files, &[YAML]).remove(0).unwrap();
    text.strip_prefix(head).unwrap().to_owned()
}

const ROUTE: &str = "      routes:\n      - to: 0.0.0.0/0\n        via: 10.0.0.1\n";

#[test]
fn two_nics_with_a_gateway_rival_each_other() {
    let warn = vec![(Status::Warn, "IPv4".to_owned())];
    let one = nic("eth0", "192.0.2.10/24", "      gateway4: 192.0.2.1\n");
    let two = |rest: &str| netplan(&DEFAULT_SINGLE, &format!("{one}{}", nic("eth1", "10.0.0.9/24", rest)));
    assert_eq!(two("      gateway4: 10.0.0.1\n"), warn);
    assert_eq!(two(ROUTE), warn);
    assert_eq!(two(&format!("{ROUTE}        metric: 200\n")), ok());
    assert_eq!(two("      # gateway4: 10.0.0.1\n"), ok());
    assert_eq!(two("      routes: [{to: 10.0.0.0/8, via: 10.0.0.1}]\n"), ok());
    let ifcfg0 = (IFCFG0, "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nGATEWAY=192.0.2.1\n");
    let ifcfg1 = |rest: &'static str| [&MANAGER[1..6], &EL7, &[ifcfg0, (IFCFG1, rest)]].concat();
    assert_eq!(
        short(&DEFAULT_SINGLE, &ifcfg1("DEVICE=eth1\nIPADDR=10.0.0.9\nPREFIX=24\nGATEWAY=10.0.0.1\n")),
        warn
    );
    assert_eq!(
        short(
            &DEFAULT_SINGLE,
            &ifcfg1("DEVICE=eth1\nIPADDR=10.0.0.9\nPREFIX=24\nDEFROUTE=no\nGATEWAY=10.0.0.1\n")
        ),
        ok()
    );
    let dev = [
        &ifcfg1("DEVICE=eth1\nIPADDR=10.0.0.9\nPREFIX=24\nGATEWAY=10.0.0.1\n")[..],
        &[("etc/sysconfig/network", "GATEWAYDEV=eth0\n")],
    ]
    .concat();
    assert_eq!(short(&DEFAULT_SINGLE, &dev), ok());
    assert!(
        found(&DEFAULT_SINGLE, &[&dev[..], &[("etc/sysconfig/network-scripts/ifcfg-eth2/x", "")]].concat())
            .is_err()
    );
}

#[test]
fn the_fix_leaves_the_default_route_to_the_public_nic() {
    let public = nic("eth1", "192.0.2.10/24", "      gateway4: 192.0.2.1\n");
    let other = nic("eth0", "10.0.0.9/24", "      gateway4: 10.0.0.1\n");
    assert_eq!(
        mended_netplan(&DEFAULT_SINGLE, &format!("{other}{public}")),
        format!("{}{public}", nic("eth0", "10.0.0.9/24", ""))
    );
    let other = nic("eth0", "10.0.0.9/24", ROUTE);
    let left = mended_netplan(&DEFAULT_SINGLE, &format!("{other}{public}"));
    assert_eq!(left, format!("{other}        metric: 2048\n{public}"));

    let eni = "auto eth0 eth1\niface eth0 inet static\n address 192.0.2.10/24\n gateway 192.0.2.1\niface eth1 inet static\n address 10.0.0.9/24\n";
    let two = format!("{eni} gateway 10.0.0.1\n");
    let files = [&MANAGER[1..6], &IFUPDOWN, &[(ENI, two.as_str())]].concat();
    assert_eq!(mended(&DEFAULT_SINGLE, &files, &[ENI]), [Some(eni.to_owned())]);

    let profile = |name: &str, address: &str| {
        format!(
            "[connection]\ntype=ethernet\ninterface-name={name}\n[ipv4]\nmethod=manual\naddress1={address}\n"
        )
    };
    let path = |name: &str| format!("etc/NetworkManager/system-connections/{name}.nmconnection");
    let (zero, one) = (profile("eth0", "192.0.2.10/24,192.0.2.1"), profile("eth1", "10.0.0.9/24,10.0.0.1"));
    let (path0, path1) = (path("eth0"), path("eth1"));
    let files = [&MANAGER[..], &[(&path0, &zero), (&path1, &one)]].concat();
    let text = mended(&DEFAULT_SINGLE, &files, &[&path1]).remove(0).unwrap();
    assert_eq!(text, one.replace("[ipv4]\n", "[ipv4]\nnever-default=true\n"));

    let ifcfg = "DEVICE=eth1\nIPADDR=10.0.0.9\nPREFIX=24\n";
    let gateway = format!("{ifcfg}GATEWAY=10.0.0.1\n");
    let files = [
        &MANAGER[1..6],
        &EL7,
        &[(IFCFG0, "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=24\nGATEWAY=192.0.2.1\n"), (IFCFG1, &gateway)],
    ]
    .concat();
    assert_eq!(mended(&DEFAULT_SINGLE, &files, &[IFCFG1]), [Some(ifcfg.to_owned())]);

    let unit = |name: &str, rest: &str| format!("[Match]\nName={name}\n[Network]\nAddress={rest}");
    let (zero, one) = (
        unit("eth0", "192.0.2.10/24\nGateway=192.0.2.1\n"),
        unit("eth1", "10.0.0.9/24\n[Route]\nGateway=10.0.0.1\n"),
    );
    let files = [
        &MANAGER[1..6],
        &[
            ("usr/lib/systemd/system/systemd-networkd.service", "[Service]\nExecStart=/x\n"),
            (
                "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
                "->/usr/lib/systemd/system/systemd-networkd.service",
            ),
            ("etc/systemd/network/0.network", zero.as_str()),
            ("etc/systemd/network/1.network", one.as_str()),
        ],
    ]
    .concat();
    assert_eq!(
        mended(&DEFAULT_SINGLE, &files, &["etc/systemd/network/1.network"]),
        [Some(format!("{one}Metric=2048\n"))]
    );
}

#[test]
fn routes_of_equal_weight_that_are_up_are_told_and_taken_away() {
    let survey =
        crate::net::survey::tests::made_up(&[("eth0", "vif", ""), ("eth1", "vif", "")], Err(String::new()));
    let up = |routes: &str| live_rivals(&Live::parse("", routes, ""), Family::V4, &survey);
    let (shown, steps) =
        up("default via 192.0.2.1 dev eth0\ndefault via 10.0.0.1 dev eth1\n10.0.0.0/24 dev eth1\n");
    assert_eq!(shown, ["default via 192.0.2.1 dev eth0 metric 0", "default via 10.0.0.1 dev eth1 metric 0"]);
    let argv: Vec<_> = steps.iter().map(|step| step.run.argv().join(" ")).collect();
    assert_eq!(argv, ["ip -4 route del default via 10.0.0.1 dev eth1 metric 0"]);
    for routes in [
        "default via 192.0.2.1 dev eth0\ndefault via 10.0.0.1 dev eth1 metric 100\n",
        "default via 192.0.2.1 dev eth0\ndefault via 192.0.2.2 dev eth0\n",
        "default via 192.0.2.1 dev eth0\n",
        "",
    ] {
        assert_eq!(up(routes).0, [""; 0], "{routes}");
    }
}

#[test]
fn a_next_hop_on_no_network_is_out_of_reach() {
    let fail = vec![(Status::Fail, "eth0".to_owned())];
    let said = |rest: &str| netplan(&ON_LINK, &nic("eth0", "192.0.2.10/32", rest));
    assert_eq!(said("      gateway4: 198.51.100.1\n"), fail);
    assert_eq!(said("      routes: [{to: default, via: 198.51.100.1}]\n"), fail);
    for rest in [
        "      routes: [{to: default, via: 198.51.100.1, on-link: true}]\n",
        "      gateway4: 192.0.2.10\n",
        "      gateway4: 198.51.100.1\n      dhcp4: true\n",
        "      gateway4: 198.51.100.1\n      routes: [{to: 198.51.100.1, scope: link}]\n",
        "      gateway6: fe80::def\n",
        "      gateway6: 2001:db8::1\n",
    ] {
        assert_eq!(said(rest), ok(), "{rest}");
    }
    let six = |rest: &str| netplan(&ON_LINK, &nic("eth0", "\"2001:db8::2/128\"", rest));
    assert_eq!(six("      accept-ra: false\n      gateway6: 2001:db8:1::1\n"), fail);
    // a router can say that it is on the link
    assert_eq!(six("      gateway6: 2001:db8:1::1\n"), ok());
    let ifcfg = |route: &'static str| {
        let file = (IFCFG0, "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=32\nGATEWAY=198.51.100.1\n");
        short(&ON_LINK, &[&MANAGER[1..6], &EL7, &[file, (ROUTE0, route)]].concat())
    };
    assert_eq!(ifcfg("# none\n"), fail);
    assert_eq!(ifcfg("default via 198.51.100.1 dev eth0 onlink\n"), ok());
    assert_eq!(short(&ON_LINK, &MANAGER[1..6])[0].0, Status::Skipped);
}

#[test]
fn the_fix_says_that_it_is_on_the_link() {
    let head = nic("eth0", "192.0.2.10/32", "");
    let item = "      - to: \"0.0.0.0/0\"\n        via: \"198.51.100.1\"\n        on-link: true\n";
    let routes = "      - to: 10.0.0.0/8\n        via: 192.0.2.10\n";
    let cases = [
        ("      gateway4: 198.51.100.1\n".to_owned(), format!("      routes:\n{item}")),
        (
            format!("      gateway4: 198.51.100.1\n      routes:\n{routes}"),
            format!("      routes:\n{item}{routes}"),
        ),
        (
            "      routes:\n      - via: 198.51.100.1\n        to: default\n".to_owned(),
            "      routes:\n      - via: 198.51.100.1\n        on-link: true\n        to: default\n"
                .to_owned(),
        ),
    ];
    for (before, after) in cases {
        assert_eq!(mended_netplan(&ON_LINK, &format!("{head}{before}")), format!("{head}{after}"));
    }
    let file = (IFCFG0, "DEVICE=eth0\nIPADDR=192.0.2.10\nPREFIX=32\nGATEWAY=198.51.100.1\n");
    let files = [&MANAGER[1..6], &EL7, &[file]].concat();
    let want = "default via 198.51.100.1 dev eth0 onlink\n".to_owned();
    assert_eq!(mended(&ON_LINK, &files, &[ROUTE0]), [Some(want)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_netplan_file_is_judged(links in "(    eth[01]:( \\{\\}| x)?\n(      (gateway4|routes|addresses): ?(10.0.0.1|\\[\\]|\\[\\{to: x, via: 10.0.0.1\\}\\]|)\n|      - (to|via): 10.0.0.1\n){0,4}){0,3}") {
        let _ = netplan(&ON_LINK, &links);
    }
}
