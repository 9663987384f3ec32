//! Broken ifcfg files, those that only look so, and what the fixes make of them.

use proptest::prelude::*;

use super::super::trial::{LOG, MAC, MANAGER, STRANGE, found, mended, short};
use super::*;

const SCRIPTS: (&str, &str) = ("etc/rc.d/init.d/network", "!");
const PLUGIN: (&str, &str) =
    ("usr/lib64/NetworkManager/1.40.16-1.el8/libnm-settings-plugin-ifcfg-rh.so", "x");
const ETH0: &str = "etc/sysconfig/network-scripts/ifcfg-eth0";

fn managed<'f>(files: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    [&MANAGER, [PLUGIN].as_slice(), files].concat()
}

fn fail() -> Vec<(Status, String)> {
    vec![(Status::Fail, ETH0.to_owned())]
}

fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

#[test]
fn a_nic_that_networkmanager_must_leave_alone_has_nobody_else() {
    let said = |text: &str| short(&NM_CONTROLS_NIC, &managed(&[(ETH0, text)]));
    assert_eq!(said("DEVICE=eth0\nONBOOT=yes\nNM_CONTROLLED=no\n"), fail());
    assert_eq!(said("DEVICE='eth0'\nNM_CONTROLLED=\"no\"\n"), fail());
    assert_eq!(said("DEVICE=eth0\nNM_CONTROLLED=no\nNM_CONTROLLED=yes\n"), ok());
    assert_eq!(said("DEVICE=eth0\n#NM_CONTROLLED=no\n"), ok());
    assert_eq!(said("DEVICE=eth0\nONBOOT=no\nNM_CONTROLLED=no\n"), ok());
    let no = (ETH0, "DEVICE=eth0\nNM_CONTROLLED=no\n");
    assert_eq!(short(&NM_CONTROLS_NIC, &managed(&[no, SCRIPTS])), fail(), "installed and off");
    let generator = ("usr/lib/systemd/system-generators/systemd-sysv-generator", "!");
    let start = ("etc/rc.d/rc3.d/S10network", "->../init.d/network");
    assert_eq!(short(&NM_CONTROLS_NIC, &managed(&[no, SCRIPTS, generator, start])), ok());
    assert_eq!(short(&NM_CONTROLS_NIC, &[PLUGIN, no])[0].0, Status::Skipped);
    assert_eq!(
        mended(&NM_CONTROLS_NIC, &managed(&[(ETH0, "DEVICE=eth0\nNM_CONTROLLED=no\nUSERCTL=no\n")]), &[ETH0]),
        [Some("DEVICE=eth0\nUSERCTL=no\n".to_owned())]
    );
}

#[test]
fn hwaddr_of_another_machine_is_a_fault() {
    let said = |text: &str| short(&HWADDR, &[SCRIPTS, LOG, (ETH0, text)]);
    assert_eq!(said(&format!("DEVICE=eth0\nHWADDR={STRANGE}\n")), fail());
    assert_eq!(said(&format!("DEVICE=eth0\nHWADDR=\"{}\"\n", STRANGE.to_uppercase())), fail());
    assert_eq!(said(&format!("DEVICE=eth0\nHWADDR={}\n", MAC.to_uppercase())), ok());
    assert_eq!(said(&format!("DEVICE=eth0\n#HWADDR={STRANGE}\n")), ok());
    assert_eq!(said(&format!("DEVICE=eth0\nMACADDR={STRANGE}\n")), ok());
    assert_eq!(said(&format!("DEVICE=br0\nTYPE=Bridge\nHWADDR={STRANGE}\n")), ok());
    // a detached NIC
    let eth2 = format!("DEVICE=eth2\nHWADDR={STRANGE}\n");
    let files = [SCRIPTS, LOG, (ETH0, "DEVICE=eth0\n"), ("etc/sysconfig/network-scripts/ifcfg-eth2", &eth2)];
    assert_eq!(short(&HWADDR, &files), ok());
    // which NICs there are is not known
    let text = format!("DEVICE=eth0\nHWADDR={STRANGE}\n");
    assert_eq!(short(&HWADDR, &[SCRIPTS, (ETH0, &text)])[0].0, Status::Skipped);
    assert_eq!(
        mended(&HWADDR, &[SCRIPTS, LOG, (ETH0, &format!("{text}# end"))], &[ETH0]),
        [Some("DEVICE=eth0\n# end".to_owned())]
    );
}

#[test]
fn keys_that_nothing_reads_or_that_contradict_each_other_are_faults() {
    let warn = || vec![(Status::Warn, ETH0.to_owned())];
    let cases = [
        ("IPV6_DEFAULTGW=None%eth0", fail()),
        ("IPV6_DEFAULTGW='None%eth0'", fail()),
        ("IPV6_DEFAULTGW=fe80::def%eth0", ok()),
        ("#IPV6_DEFAULTGW=None%eth0", ok()),
        ("IPV6ADDR=2001:db8::1/64\nIPV6ADDR1=2001:db8::2/64", fail()),
        ("IPV6ADDR1=\"2001:db8::2/64\"", fail()),
        // harmless: what it says is configured all the same
        ("IPV6ADDR=2001:db8::1/64\nIPV6ADDR1=2001:db8::1/64", ok()),
        ("IPV6ADDR_SECONDARIES=2001:db8::2/64\nIPV6ADDR1=2001:db8::2/64", ok()),
        ("IPADDR=192.0.2.10\nNETMASK=255.255.255.0\nPREFIX=26", fail()),
        ("IPADDR1=192.0.2.10\nNETMASK1=255.255.255.0\nPREFIX1=\"25\"", fail()),
        ("IPADDR=192.0.2.10\nNETMASK=255.255.255.0\nPREFIX=24", ok()),
        ("IPADDR=192.0.2.10\nNETMASK=255.255.255.0\nPREFIX1=26", ok()),
        ("IPADDR=192.0.2.10\nIPADDR=192.0.2.11", warn()),
        ("GATEWAY=192.0.2.1\nGATEWAY=\"192.0.2.254\"", warn()),
        ("IPADDR=192.0.2.10\nIPADDR='192.0.2.10'", ok()),
        ("ETHTOOL_OPTS=a\nETHTOOL_OPTS=b", ok()),
    ];
    for (text, want) in cases {
        assert_eq!(short(&KEYS, &[SCRIPTS, (ETH0, &format!("DEVICE=eth0\n{text}\n"))]), want, "{text}");
    }
    let backup = "etc/sysconfig/network-scripts/ifcfg-eth0.1448461234.12.bak";
    assert_eq!(
        short(&KEYS, &[SCRIPTS, (ETH0, "DEVICE=eth0\n"), (backup, "IPV6_DEFAULTGW=None%eth0\n")]),
        ok()
    );
}

#[test]
fn keys_are_mended_line_by_line() {
    let cases = [
        ("A=1\nIPV6_DEFAULTGW=None%eth0\nB=2\n", "A=1\nB=2\n"),
        (
            "IPV6ADDR=2001:db8::1/64\nIPV6ADDR1=2001:db8::2/64\nIPV6ADDR2=2001:db8::3/64\n# end\n",
            "IPV6ADDR=2001:db8::1/64\nIPV6ADDR_SECONDARIES=\"2001:db8::2/64 2001:db8::3/64\"\n# end\n",
        ),
        (
            "IPV6ADDR1=2001:db8::2/64\nIPV6ADDR1=2001:db8::3/64\nIPV6ADDR_SECONDARIES=\"2001:db8::9/64\"\n",
            "IPV6ADDR_SECONDARIES=\"2001:db8::9/64 2001:db8::3/64\"\n",
        ),
        ("IPADDR=192.0.2.10\nC=3\nIPADDR=192.0.2.11\n", "C=3\nIPADDR=192.0.2.11\n"),
    ];
    for (before, after) in cases {
        let head = "DEVICE=eth0\n";
        let mended = mended(&KEYS, &[SCRIPTS, (ETH0, &format!("{head}{before}"))], &[ETH0]);
        assert_eq!(mended, [Some(format!("{head}{after}"))], "{before}");
    }
}

#[test]
fn which_mask_is_right_is_not_guessed() {
    let file = File {
        path: ETH0.to_owned(),
        variables: assignments::parse(
            "DEVICE=eth0\nIPADDR=192.0.2.10\nNETMASK=255.255.255.0\nPREFIX=26\nIPV6_DEFAULTGW=None%eth0\n",
        ),
    };
    assert_eq!(keys_of(&file).unwrap().edits, []);
}

const ROUTES: &str = "etc/sysconfig/network-scripts/route-eth1";
const ALIAS: &str = "etc/sysconfig/network-scripts/route-eth1:1";
const ALIAS6: &str = "etc/sysconfig/network-scripts/route6-eth1:2";

#[test]
fn routes_of_an_alias_are_read_by_nothing() {
    let text = "ADDRESS0=10.208.0.0\nNETMASK0=255.240.0.0\nGATEWAY0=10.208.224.1\n";
    let warn = |path: &str| vec![(Status::Warn, path.to_owned())];
    assert_eq!(short(&ROUTE_FILE, &[SCRIPTS, (ALIAS, text)]), warn(ALIAS));
    assert_eq!(short(&ROUTE_FILE, &[SCRIPTS, (ALIAS6, "2001:db8:1::/48 via fe80::1\n")]), warn(ALIAS6));
    assert_eq!(short(&ROUTE_FILE, &[SCRIPTS, (ROUTES, text)]), ok());
    assert_eq!(short(&ROUTE_FILE, &[SCRIPTS, (ALIAS, "# none\n\n")]), ok());
    assert_eq!(short(&ROUTE_FILE, &[SCRIPTS, (&format!("{ALIAS}.1448461234.bak~"), text)]), ok());
    assert_eq!(short(&ROUTE_FILE, &[(ALIAS, text)])[0].0, Status::Skipped);
    assert_eq!(
        mended(&ROUTE_FILE, &[SCRIPTS, (ALIAS, text)], &[ALIAS, ROUTES]),
        [None, Some(text.to_owned())]
    );
    assert_eq!(
        mended(&ROUTE_FILE, &[SCRIPTS, (ALIAS, text), (ROUTES, text)], &[ALIAS, ROUTES]),
        [None, Some(text.to_owned())]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let hidden = "etc/sysconfig/network-scripts/ifcfg-eth9/x";
    for check in [&NM_CONTROLS_NIC, &HWADDR, &KEYS] {
        assert!(found(check, &managed(&[SCRIPTS, LOG, (hidden, "")])).is_err(), "{}", check.id);
    }
    assert!(found(&ROUTE_FILE, &[SCRIPTS, (&format!("{ALIAS}/x"), "")]).is_err());
}

proptest! {
    #[test]
    fn any_file_is_judged(text in "((IPADDR|PREFIX|NETMASK|IPV6ADDR|IPV6ADDR_SECONDARIES|HWADDR)[0-9]?=[\"0-9a-f:./]{0,18}\n){0,6}") {
        let file = File { path: ETH0.to_owned(), variables: assignments::parse(&text) };
        let _ = keys_of(&file);
        let machine = Machine::made_up(&[(None, MAC)]);
        let _ = strangers(&[file], &machine);
    }
}
