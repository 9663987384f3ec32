//! The cases that the back ends are held against mean what they say.

mod network;

use novactl::net::backend::BACKENDS;
use novactl::plan::FileChange;
use novactl::target::Target;
use novactl::xenstore::Source;

#[test]
fn the_records_of_each_case_come_to_what_it_wants() {
    for case in network::cases() {
        assert_eq!(network::shown(&case.intent().nics), case.want, "{}", case.name);
    }
}

#[test]
fn a_hostile_name_of_a_nic_stays_in_its_place() {
    for backend in BACKENDS {
        let tree = tempfile::tempdir().unwrap();
        let mut intent = network::cases().swap_remove(0).intent();
        intent.nics[0].name = "../x\"\n[Route]\nGateway=192.0.2.66\n: $(reboot)".to_owned();
        let target = Target::offline(tree.path(), Source::None).unwrap();
        for change in backend.render(&intent, &target).unwrap() {
            let FileChange::Write { path, body, .. } = change else { continue };
            assert!(!path.contains("../") && !path.contains(char::is_whitespace), "{path}");
            let text = String::from_utf8(body).unwrap();
            let is_injected =
                |line: &str| ["[Route]", "Gateway=192.0.2.66", ": $(reboot)"].contains(&line.trim());
            let in_route =
                text.lines().filter(|line| line.contains("192.0.2.66") && is_injected(line)).count();
            assert_eq!(in_route, 0, "{}: {text}", backend.name());
        }
    }
}

/// The files of a recorded link.
fn link(name: &str, mac: &str) -> Vec<(String, String)> {
    let file = |file: &str, text: &str| (format!("sys/class/net/{name}/{file}"), format!("{text}\n"));
    vec![file("address", mac), file("type", "1"), file("addr_assign_type", "0"), file("ifindex", "2")]
}

#[test]
fn what_was_written_for_another_nic_stays_as_long_as_that_exists() {
    let case = network::cases().swap_remove(0);
    for name in ["netplan", "networkd", "keyfile"] {
        let backend = network::backend(name);
        for (second, is_kept) in [("52:54:00:a1:00:02", true), ("52:54:00:a1:00:03", false)] {
            let tree = tempfile::tempdir().unwrap();
            for (path, text) in [link("eth0", "52:54:00:a1:00:01"), link("eth1", second)].concat() {
                network::make(tree.path(), &[(&path, &text)]);
            }
            let target = Target::offline(tree.path(), Source::None).unwrap();
            let mut intent = case.intent();
            network::apply(&target, backend.render(&intent, &target).unwrap());
            let whole = network::configured(backend, &target, &case.nics());
            // the host's record of eth1 is lost, or its NIC is gone
            intent.nics.truncate(1);
            network::apply(&target, backend.render(&intent, &target).unwrap());
            let left = network::configured(backend, &target, &case.nics());
            let want = if is_kept { whole } else { network::shown(&intent.nics) };
            assert_eq!(left, want, "{name}");
            assert_eq!(network::apply(&target, backend.render(&intent, &target).unwrap()), [""; 0], "{name}");
        }
    }
}

#[test]
fn a_nic_with_a_new_name_has_one_configuration() {
    let case = network::cases().swap_remove(6);
    for name in ["netplan", "networkd", "keyfile"] {
        let backend = network::backend(name);
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in link("enX0", "52:54:00:a1:00:01") {
            network::make(tree.path(), &[(&path, &text)]);
        }
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let mut intent = case.intent();
        network::apply(&target, backend.render(&intent, &target).unwrap());
        "enX0".clone_into(&mut intent.nics[0].name);
        network::apply(&target, backend.render(&intent, &target).unwrap());
        let files = network::files_of(tree.path());
        let about: Vec<_> = files.keys().filter(|path| path.contains("novactl")).collect();
        assert_eq!(about.len(), 1, "{name}: {about:?}");
        assert_eq!(files[about[0]].to_lowercase().matches("52:54:00:a1:00:01").count(), 1, "{name}");
    }
}
