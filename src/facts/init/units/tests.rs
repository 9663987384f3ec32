use super::super::tests::tree;
use super::*;

fn with<R>(entries: &[(&str, &str)], look: impl Fn(&Root, &Units) -> R) -> R {
    let dir = tree(entries);
    let root = Root::open(dir.path()).unwrap();
    let units = Units::of(&root, false).unwrap();
    look(&root, &units)
}

fn find(entries: &[(&str, &str)], name: &str) -> Found {
    with(entries, |root, units| units.find(root, name).unwrap())
}

fn unit(id: &str, path: &str) -> Found {
    Found::Unit { id: id.to_owned(), path: path.to_owned() }
}

/// The values of `K=` in the order in which they are applied.
fn values(entries: &[(&str, &str)], name: &str) -> Vec<String> {
    with(entries, |root, units| {
        let Found::Unit { id, path } = units.find(root, name).unwrap() else { return Vec::new() };
        let unit = units.load(root, &id, &path).unwrap();
        unit.settings.iter().map(|setting| setting.value.clone()).collect()
    })
}

#[test]
fn a_name_stands_for_its_strongest_file() {
    let vendor = ("usr/lib/systemd/system/a.service", "[Service]\n");
    let local = ("usr/local/lib/systemd/system/a.service", "[Service]\n");
    let own = ("etc/systemd/system/a.service", "[Service]\n");
    assert_eq!(find(&[vendor], "a.service"), unit("a.service", vendor.0));
    assert_eq!(find(&[vendor, local], "a.service"), unit("a.service", local.0));
    assert_eq!(find(&[vendor, local, own], "a.service"), unit("a.service", own.0));
    assert_eq!(find(&[vendor], "b.service"), Found::Nothing);
    // of a rescue system, bound there for a chroot
    assert_eq!(find(&[("run/systemd/system/a.service", "[Service]\n")], "a.service"), Found::Nothing);
}

#[test]
fn merged_usr_is_read_once_and_split_usr_is_read_too() {
    let split = [("lib/systemd/system/a.service", "[Unit]\n")];
    assert_eq!(find(&split, "a.service"), unit("a.service", split[0].0));
    let merged = [("usr/lib/systemd/system/a.service", "[Unit]\n"), ("lib", "-> usr/lib")];
    assert_eq!(find(&merged, "a.service"), unit("a.service", merged[0].0));
}

#[test]
fn a_mask_is_a_link_to_dev_null_or_an_empty_file() {
    let vendor = ("usr/lib/systemd/system/a.service", "[Service]\n");
    for (path, text) in [
        ("etc/systemd/system/a.service", "-> /dev/null"),
        ("etc/systemd/system/a.service", "-> ../../../dev/null"),
        ("etc/systemd/system/a.service", ""),
    ] {
        assert_eq!(find(&[vendor, (path, text)], "a.service"), Found::Masked(path.to_owned()), "{text}");
    }
    // an alias of a masked unit is masked as well
    let alias = ("etc/systemd/system/b.service", "-> a.service");
    let mask = ("etc/systemd/system/a.service", "-> /dev/null");
    assert_eq!(find(&[alias, mask], "b.service"), Found::Masked(mask.0.to_owned()));
}

#[test]
fn an_alias_is_a_link_to_another_unit() {
    let real = ("usr/lib/systemd/system/real.service", "[Service]\n");
    for target in ["/usr/lib/systemd/system/real.service", "/lib/systemd/system/real.service"] {
        let alias = ("etc/systemd/system/a.service", format!("-> {target}"));
        let entries = [real, ("lib", "-> usr/lib"), (alias.0, alias.1.as_str())];
        assert_eq!(find(&entries, "a.service"), unit("real.service", real.0), "{target}");
    }
    let chain = [
        real,
        ("etc/systemd/system/a.service", "-> b.service"),
        ("etc/systemd/system/b.service", "-> /usr/lib/systemd/system/real.service"),
    ];
    assert_eq!(find(&chain, "a.service"), unit("real.service", real.0));
    let aliases = with(&chain, |_, units| units.names_of("real.service"));
    assert_eq!(aliases, ["real.service", "b.service", "a.service"]);
}

#[test]
fn a_link_to_a_file_elsewhere_is_the_unit_itself() {
    let file = ("opt/agent/x.service", "[Service]\n");
    let link = ("etc/systemd/system/a.service", "-> /opt/agent/x.service");
    assert_eq!(find(&[file, link], "a.service"), unit("a.service", link.0));
}

#[test]
fn a_link_takes_its_name_unless_it_leads_to_that_name() {
    let vendor = ("usr/lib/systemd/system/a.service", "[Service]\n");
    let weaker = || unit("a.service", vendor.0);
    for (target, expected) in [
        ("-> /usr/lib/systemd/system/a.service", weaker()),
        ("-> /usr/local/lib/systemd/system/a.service", weaker()),
        ("-> a.service", weaker()),
        ("-> /opt/gone.service", Found::Nothing),
        ("-> gone.service", Found::Nothing),
        ("-> b.service", Found::Nothing),
    ] {
        let link = ("etc/systemd/system/a.service", target);
        let circle = ("etc/systemd/system/b.service", "-> a.service");
        assert_eq!(find(&[vendor, link, circle], "a.service"), expected, "{target}");
    }
}

#[test]
fn an_instance_stands_for_its_template() {
    let template = ("usr/lib/systemd/system/getty@.service", "[Service]\n");
    let alias = ("etc/systemd/system/autovt@.service", "-> /usr/lib/systemd/system/getty@.service");
    assert_eq!(find(&[template], "getty@tty1.service"), unit("getty@tty1.service", template.0));
    assert_eq!(find(&[template, alias], "autovt@tty1.service"), unit("getty@tty1.service", template.0));
    let own = ("etc/systemd/system/getty@tty1.service", "[Service]\n");
    assert_eq!(find(&[template, own], "getty@tty1.service"), unit("getty@tty1.service", own.0));
}

#[test]
fn drop_ins_of_every_directory_come_in_the_order_of_their_names() {
    let entries = [
        ("usr/lib/systemd/system/a-b.service", "[S]\nK=file\n"),
        ("usr/lib/systemd/system/a-b.service.d/20.conf", "[S]\nK=vendor 20\n"),
        ("etc/systemd/system/a-b.service.d/10.conf", "[S]\nK=etc 10\n"),
        ("etc/systemd/system/a-b.service.d/30.conf", "[S]\nK=etc 30\n"),
        ("usr/lib/systemd/system/a-b.service.d/30.conf", "[S]\nK=overridden\n"),
        ("etc/systemd/system/a-b.service.d/notes", "[S]\nK=no\n"),
        ("etc/systemd/system/a-b.service.d/.x.conf", "[S]\nK=no\n"),
        ("usr/lib/systemd/system/service.d/05.conf", "[S]\nK=type\n"),
        ("etc/systemd/system/service.d/30.conf", "[S]\nK=weaker than the name's\n"),
        ("etc/systemd/system/a-.service.d/15.conf", "[S]\nK=prefix\n"),
        ("etc/systemd/system/alias.service", "-> /usr/lib/systemd/system/a-b.service"),
        ("etc/systemd/system/alias.service.d/40.conf", "[S]\nK=alias\n"),
        ("etc/systemd/system/a-b.service.d/60.conf", "-> /dev/null"),
        ("usr/lib/systemd/system/a-b.service.d/60.conf", "[S]\nK=hidden\n"),
    ];
    let expected = ["file", "type", "etc 10", "prefix", "vendor 20", "etc 30", "alias"];
    assert_eq!(values(&entries, "a-b.service"), expected);
    assert_eq!(values(&entries, "alias.service"), expected);
}

#[test]
fn prefixes_end_in_a_dash() {
    assert_eq!(generalised("a-b-c.service"), ["a-b-c.service", "a-b-.service", "a-.service"]);
    assert_eq!(generalised("a-b@x-y.service"), ["a-b@x-y.service", "a-b@.service", "a-.service"]);
    assert_eq!(generalised("-.mount"), ["-.mount"]);
}

#[test]
fn a_link_to_dev_null_takes_a_wish_back() {
    let entries = [
        ("usr/lib/systemd/system/x.target", "[Unit]\n"),
        ("usr/lib/systemd/system/x.target.wants/a.service", "-> ../a.service"),
        ("usr/lib/systemd/system/x.target.wants/b.service", "-> ../b.service"),
        ("etc/systemd/system/x.target.wants/a.service", "-> /dev/null"),
        ("etc/systemd/system/x.target.wants/c.service", "-> /gone"),
        ("etc/systemd/system/x.target.wants/d.service", "no link"),
        ("etc/systemd/system/x.target.wants/README", "-> x"),
    ];
    let links = with(&entries, |root, units| units.links(root, "x.target", ".wants").unwrap());
    let links: Vec<&str> = links.iter().map(|link| link.path.as_str()).collect();
    assert_eq!(
        links,
        ["etc/systemd/system/x.target.wants/c.service", "usr/lib/systemd/system/x.target.wants/b.service"]
    );
}

#[test]
fn names_are_what_systemd_takes_for_names() {
    let long = format!("{}.service", "a".repeat(300));
    for (name, expected) in [
        ("a.service", true),
        ("getty@tty1.service", true),
        (r"dev-disk-by\x2duuid.swap", true),
        ("a.conf", false),
        (".service", false),
        ("a b.service", false),
        ("../a.service", false),
        (long.as_str(), false),
    ] {
        assert_eq!(is_name(name), expected, "{name}");
    }
}

#[test]
fn a_huge_unit_file_is_refused() {
    let huge = format!("[Service]\nK={}\n", "x".repeat(FILE_MAX));
    let error = with(&[("etc/systemd/system/a.service", huge.as_str())], |root, units| {
        units.load(root, "a.service", "etc/systemd/system/a.service").unwrap_err().to_string()
    });
    assert_eq!(
        error,
        "reading etc/systemd/system/a.service: 1048589 bytes, more than 1048576 are no unit file"
    );
}

#[test]
fn a_directory_and_a_link_to_itself_are_named_and_keep_no_other_unit_from_the_boot() {
    let place = "etc/systemd/system/a.service";
    let of =
        |entry| with(&[entry], |root, units| format!("{:#}", units.find(root, "a.service").unwrap_err()));
    assert_eq!(of(("etc/systemd/system/a.service/x", "")), format!("reading {place}: it is a directory"));
    let looped = of((place, "-> a.service"));
    assert!(looped.starts_with(&format!("looking at {place}: Too many levels")), "{looped}");
    let entries = [
        (place, "-> a.service"),
        ("etc/systemd/system/default.target", "[Unit]\nWants=a.service b.service\n"),
        ("etc/systemd/system/b.service", "[Service]\n"),
    ];
    let boot = with(&entries, |root, units| super::super::boot::pulled(root, units).unwrap());
    assert_eq!(boot.into_keys().collect::<Vec<_>>(), ["b.service", "default.target"]);
}
