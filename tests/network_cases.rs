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
