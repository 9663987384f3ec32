//! NetworkManager's state and profiles, broken and only looking so.

use super::super::trial::{LOG, MAC, MANAGER, found, mended, short};
use super::*;
use crate::check::Status;
use crate::net::survey::tests::tree_of;
use crate::xenstore::Source;

const MASK: (&str, &str) = ("etc/systemd/system/NetworkManager.service", "->/dev/null");

fn managed<'f>(files: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    [&MANAGER, files].concat()
}

fn ok() -> Vec<(Status, String)> {
    vec![(Status::Ok, String::new())]
}

#[test]
fn networking_that_was_switched_off_stays_off() {
    let said = |text: &str| short(&NETWORKING_ENABLED, &managed(&[(STATE, text)]));
    let fail = vec![(Status::Fail, STATE.to_owned())];
    assert_eq!(said("[main]\nNetworkingEnabled=false\nWirelessEnabled=true\n"), fail);
    assert_eq!(said("[main]\nNetworkingEnabled = False\n"), fail);
    assert_eq!(said("[main]\nNetworkingEnabled=true\nWirelessEnabled=false\n"), ok());
    assert_eq!(said("[main]\n#NetworkingEnabled=false\n"), ok());
    assert_eq!(said("[other]\nNetworkingEnabled=false\n"), ok());
    assert_eq!(short(&NETWORKING_ENABLED, &managed(&[])), ok());
    let off = (STATE, "[main]\nNetworkingEnabled=false\nWWANEnabled=true\n");
    assert_eq!(short(&NETWORKING_ENABLED, &managed(&[off, MASK]))[0].0, Status::Skipped);
    assert!(found(&NETWORKING_ENABLED, &managed(&[(&format!("{STATE}/x"), "")])).is_err());
    assert_eq!(
        mended(&NETWORKING_ENABLED, &managed(&[off]), &[STATE]),
        [Some("[main]\nNetworkingEnabled=true\nWWANEnabled=true\n".to_owned())]
    );
}

const DIR: &str = "etc/NetworkManager/system-connections";

/// Judges eth0 by these profiles (name, priority, last used, addresses), of which the last is also in use elsewhere.
fn winner(profiles: &[(&str, i64, i64, &[&str])], assigned: &[&str]) -> Option<(String, usize)> {
    let profiles: Vec<Profile> = profiles
        .iter()
        .map(|(path, priority, used, addresses)| Profile {
            path: (*path).to_owned(),
            to: Match::name("eth0"),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            priority: *priority,
            used: *used,
            switch: Some(Edit::drop(path, 1)),
        })
        .collect();
    let assigned: Vec<IpNet> = assigned.iter().map(|address| address.parse().unwrap()).collect();
    judge("eth0", None, &profiles, &assigned).map(|fault| (fault.finding.title, fault.edits.len()))
}

#[test]
fn the_profile_that_wins_must_be_the_right_one() {
    let (ours, theirs): (&[&str], &[&str]) = (&["192.0.2.10/24"], &["198.51.100.7/24"]);
    let takes =
        |a: &str, b: &str| Some((format!("NetworkManager gives eth0 the profile {a} and not {b}"), 1));
    assert_eq!(winner(&[("a", 0, 0, ours), ("b", 10, 0, &[])], &[]), takes("b", "a"));
    assert_eq!(winner(&[("a", 0, 5, ours), ("b", 0, 9, &[])], &[]), takes("b", "a"));
    assert_eq!(winner(&[("a", 0, 0, ours), ("b", 1, 0, theirs)], ours), takes("b", "a"));
    let either = ("NetworkManager takes either b or a for eth0".to_owned(), 1);
    assert_eq!(winner(&[("a", 0, 0, ours), ("b", 0, 0, &[])], &[]), Some(either));
    // the right one wins
    assert_eq!(winner(&[("a", 0, 0, ours), ("b", -999, 0, &[])], &[]), None);
    assert_eq!(winner(&[("a", 0, 9, ours), ("b", 0, 5, &[])], &[]), None);
    // there is no better one, or nothing says which is better
    assert_eq!(winner(&[("a", 0, 0, theirs), ("b", 0, 0, &[])], ours), None);
    assert_eq!(winner(&[("a", 0, 0, theirs), ("b", 1, 0, ours)], &[]), None);
    assert_eq!(winner(&[("a", 0, 0, ours)], ours), None);
}

fn profile(extra: &str, addresses: &str) -> String {
    format!("[connection]\nid=x\nuuid=u\ntype=ethernet\n{extra}\n[ipv4]\n{addresses}\n")
}

/// A tree whose profiles only root may read.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let (dir, root) = tree_of(&managed(files));
    for (path, _) in files.iter().filter(|(path, _)| path.starts_with(DIR)) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.path().join(path), mode).unwrap();
    }
    (dir, root)
}

#[test]
fn profiles_are_read_as_networkmanager_reads_them() {
    let named = profile("interface-name=eth0", "method=manual\naddress1=192.0.2.10/24,192.0.2.1");
    let by_mac =
        format!("{}[ethernet]\nmac-address={MAC}\n", profile("autoconnect-priority=5", "method=auto"));
    let off = by_mac.replace("id=x", "id=x\nautoconnect=false");
    let both = named.clone() + &format!("[ethernet]\nmac-address={MAC}\n");
    let judged = |other: &str| {
        let (dir, _root) = tree(&[
            LOG,
            (&format!("{DIR}/eth0.nmconnection"), &both),
            (&format!("{DIR}/wired.nmconnection"), other),
        ]);
        let target = Target::offline(dir.path(), Source::None).unwrap();
        let judged = profiles(&target).unwrap();
        let edits: Vec<Edit> = judged.faults.iter().flat_map(|fault| fault.edits.clone()).collect();
        let statuses: Vec<Status> = judged.findings().iter().map(|finding| finding.status).collect();
        (statuses, edits)
    };
    let path = format!("{DIR}/wired.nmconnection");
    let edit = Edit::Line {
        path: path.clone(),
        line: 1,
        text: vec!["[connection]".to_owned(), "autoconnect=false".to_owned()],
    };
    assert_eq!(judged(&by_mac), (vec![Status::Fail], vec![edit]));
    let yes = by_mac.replace("id=x", "id=x\nautoconnect=true");
    assert_eq!(judged(&yes), (vec![Status::Fail], vec![Edit::line(&path, 3, "autoconnect=false")]));
    assert_eq!(judged(&off), (vec![Status::Ok], vec![]));
    let other = by_mac.replace(MAC, "bc:76:4e:20:6c:5b");
    assert_eq!(judged(&other), (vec![Status::Ok], vec![]));
    let bridge = by_mac.replace("type=ethernet", "type=bridge");
    assert_eq!(judged(&bridge), (vec![Status::Ok], vec![]));
}

#[test]
fn a_profile_that_others_may_read_does_not_count() {
    let ours = profile("interface-name=eth0", "method=manual\naddress1=192.0.2.10/24");
    let wrong = profile("interface-name=eth0\nautoconnect-priority=5", "method=auto");
    let (a, b) = (format!("{DIR}/a.nmconnection"), format!("{DIR}/b.nmconnection"));
    // trees are made with mode 0644
    assert_eq!(short(&PROFILE_SINGLE, &managed(&[(&a, &ours), (&b, &wrong)])), ok());
    let (dir, _root) = tree(&[(&a, &ours), (&b, &wrong)]);
    let target = Target::offline(dir.path(), Source::None).unwrap();
    assert_eq!(profiles(&target).unwrap().findings()[0].subject.as_deref(), Some("eth0"));
    assert!(found(&PROFILE_SINGLE, &managed(&[(&format!("{TIMESTAMPS}/x"), "")])).is_err());
}

#[test]
fn the_fix_keeps_the_wrong_profile_from_winning() {
    let ours = profile("interface-name=eth0", "method=manual\naddress1=192.0.2.10/24");
    let wrong = profile("interface-name=eth0\nautoconnect-priority=5", "method=auto");
    let b = format!("{DIR}/b.nmconnection");
    let (dir, root) = tree(&[(&format!("{DIR}/a.nmconnection"), &ours), (&b, &wrong)]);
    let target = Target::offline(dir.path(), Source::None).unwrap();
    let plan = profiles(&target).unwrap().plan(&target).unwrap();
    let after = plan.prepare(&root).unwrap();
    let texts: Vec<String> = after
        .results()
        .map(|(_, node)| match node {
            crate::root::Node::File(file) => String::from_utf8_lossy(&file.body).into_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, [wrong.replace("[connection]\n", "[connection]\nautoconnect=false\n")]);
}
