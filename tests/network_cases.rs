//! The cases that the back ends are held against mean what they say.

mod network;

#[test]
fn the_records_of_each_case_come_to_what_it_wants() {
    for case in network::cases() {
        assert_eq!(network::shown(&case.intent().nics), case.want, "{}", case.name);
    }
}
