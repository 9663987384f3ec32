use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;

/// What lies outside of every root here; it must never be read.
const CANARY: &str = "CANARY-OUTSIDE-THE-ROOT";

/// A directory with a canary and, beside it, a root with files, links of every kind and a loop.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for made in ["root/etc/systemd", "root/usr/lib", "root/deep/er", "root/empty"] {
        std::fs::create_dir_all(at(made)).unwrap();
    }
    std::fs::write(at("canary"), CANARY).unwrap();
    std::fs::write(at("root/usr/lib/os-release"), "ID=inside\n").unwrap();
    std::fs::write(at("root/etc/passwd"), "root:x:0:0\n").unwrap();
    let outside = at("canary").to_str().unwrap().to_owned();
    for (link, to) in [
        ("etc/os-release", "../usr/lib/os-release"),
        ("etc/absolute", "/usr/lib/os-release"),
        ("etc/out", outside.as_str()),
        ("etc/up", "../../../../../../../../../../canary"),
        ("etc/beside", "../../canary"),
        ("etc/above", "../../../usr/lib/os-release"),
        ("etc/loop", "loop"),
        ("etc/ping", "pong"),
        ("etc/pong", "ping"),
        ("etc/dangling", "nowhere/at/all"),
        ("etc/to-dir", "/deep/er"),
        ("etc/file-as-dir", "passwd/"),
        ("etc/file-dot", "passwd/."),
        ("lib", "usr/lib"),
        ("etc/via", "/lib/../lib/os-release"),
        ("deep/er/back", "../../etc"),
        ("self", "."),
        ("up", ".."),
    ] {
        symlink(to, at("root").join(link)).unwrap();
    }
    dir
}

/// The root as the kernel resolves it and as the walk does.
fn both(dir: &TempDir) -> [Root; 2] {
    let path = dir.path().join("root");
    let [kernel, walk] = [Root::open(&path).unwrap(), Root::open_walking(&path).unwrap()];
    assert_eq!(walk.resolver, Resolver::Walk);
    [kernel, walk]
}

#[test]
fn links_stay_inside_whichever_way_they_are_followed() {
    let dir = tree();
    const INSIDE: Result<Option<&str>, ()> = Ok(Some("ID=inside\n"));
    const NONE: Result<Option<&str>, ()> = Ok(None);
    for (path, want) in [
        ("etc/os-release", INSIDE),
        ("/etc/os-release", INSIDE),
        ("//etc//os-release", INSIDE),
        ("etc/absolute", INSIDE),
        ("etc/above", INSIDE),
        ("etc/via", INSIDE),
        ("lib/os-release", INSIDE),
        ("../../etc/os-release", INSIDE),
        ("etc/../../../etc/os-release", INSIDE),
        ("self/self/../self/etc/os-release", INSIDE),
        ("up/up/etc/os-release", INSIDE),
        ("etc/to-dir/back/os-release", INSIDE),
        ("etc/out", NONE),
        ("etc/up", NONE),
        ("etc/beside", NONE),
        ("up/canary", NONE),
        ("../canary", NONE),
        ("etc/dangling", NONE),
        ("etc/nothing", NONE),
        ("etc/passwd/nothing", NONE),
        ("etc/passwd/", NONE),
        ("etc/passwd/..", NONE),
        ("etc/passwd/../passwd", NONE),
        ("etc/file-as-dir", NONE),
        ("etc/file-dot", NONE),
        ("etc/loop", Err(())),
        ("etc/ping", Err(())),
        ("etc/loop/more", Err(())),
        ("etc", Err(())),
        ("etc/to-dir", Err(())),
        ("", Err(())),
        ("etc/pass\0wd", Err(())),
    ] {
        for root in both(&dir) {
            let way = root.resolver;
            let got = root.text_opt(path);
            let got = got.as_ref().map(Option::as_deref).map_err(drop);
            assert_eq!(got, want, "{path} by {way:?}");
            let kind = root.stat_opt(path);
            let kind = kind.map(|stat| stat.map(|stat| stat.kind)).map_err(drop);
            let leads_to_dir = matches!(path, "etc" | "etc/to-dir" | "");
            let want = match want {
                Err(()) if leads_to_dir => Ok(Some(Kind::Dir)),
                want => want.map(|text| text.map(|_| Kind::File)),
            };
            assert_eq!(kind, want, "{path} by {way:?}");
        }
    }
}

#[test]
fn a_path_is_resolved_to_what_it_leads_to() {
    let dir = tree();
    for root in both(&dir) {
        let resolved = |path: &str| root.resolve(path).map_err(drop);
        for (path, want) in [
            ("etc/os-release", Some("usr/lib/os-release")),
            ("etc/via", Some("usr/lib/os-release")),
            ("etc/to-dir/back/passwd", Some("etc/passwd")),
            ("up/../..", Some("")),
            ("etc/../empty", Some("empty")),
            ("etc/out", None),
            ("etc/passwd/", None),
        ] {
            assert_eq!(resolved(path), Ok(want.map(str::to_owned)), "{path}");
        }
        assert_eq!(resolved("etc/loop"), Err(()));
    }
}

#[test]
fn the_last_component_is_not_followed_where_it_is_asked_for_itself() {
    let dir = tree();
    for root in both(&dir) {
        let kind = |path: &str| root.lstat_opt(path).map(|s| s.map(|s| s.kind)).map_err(drop);
        let link = |path: &str| root.link_opt(path).map_err(drop);
        assert_eq!(kind("etc/loop"), Ok(Some(Kind::Link)));
        assert_eq!(kind("etc/out"), Ok(Some(Kind::Link)));
        assert_eq!(kind("etc/out/"), Ok(Some(Kind::Link)));
        assert_eq!(kind("lib/os-release"), Ok(Some(Kind::File)));
        assert_eq!(kind("up/canary"), Ok(None));
        assert_eq!(kind("etc/passwd/more"), Ok(None));
        assert_eq!(kind("etc/nothing/more"), Ok(None));
        assert_eq!(kind("etc/.."), Err(()));
        assert_eq!(link("etc/loop"), Ok(Some("loop".to_owned())));
        assert_eq!(link("etc/beside"), Ok(Some("../../canary".to_owned())));
        assert_eq!(link("etc/to-dir/back"), Ok(Some("../../etc".to_owned())));
        assert_eq!(link("etc/passwd"), Ok(None));
        assert_eq!(link("etc/nothing"), Ok(None));
    }
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let dir = tree();
    let at = |n: usize| dir.path().join(format!("root/chain/{n}"));
    std::fs::create_dir(dir.path().join("root/chain")).unwrap();
    std::fs::write(at(0), "end").unwrap();
    for n in 1..=41 {
        symlink(format!("/chain/{}", n - 1), at(n)).unwrap();
    }
    for root in both(&dir) {
        assert_eq!(root.text_opt("chain/40").unwrap().as_deref(), Some("end"));
        assert!(root.text_opt("chain/41").is_err(), "{:?}", root.resolver);
    }
}

#[test]
fn a_directory_is_read_in_order_with_links_told_apart() {
    let dir = tree();
    std::fs::write(dir.path().join("root/empty/b.conf"), "").unwrap();
    std::fs::write(dir.path().join("root/empty/a.conf"), "").unwrap();
    symlink("/nowhere", dir.path().join("root/empty/B.conf")).unwrap();
    std::fs::create_dir(dir.path().join("root/empty/c")).unwrap();
    for root in both(&dir) {
        let entry = |name: &str, is_link| Entry { name: name.to_owned(), is_link };
        let want = [entry("B.conf", true), entry("a.conf", false), entry("b.conf", false), entry("c", false)];
        assert_eq!(root.read_dir("empty").unwrap(), want);
        assert_eq!(
            root.files_in("empty", ".conf").unwrap(),
            ["empty/B.conf", "empty/a.conf", "empty/b.conf"]
        );
        assert_eq!(root.read_dir("etc/passwd").unwrap(), []);
        assert_eq!(root.read_dir("etc/nothing").unwrap(), []);
        assert_eq!(root.read_dir("up").unwrap(), root.read_dir("/").unwrap());
    }
}

#[test]
fn a_tail_begins_with_a_line_when_something_was_cut_off() {
    let dir = tree();
    for (text, limit, want, cut) in [
        ("one\ntwo\nthree\n", 100, "one\ntwo\nthree\n", false),
        ("one\ntwo\nthree\n", 14, "one\ntwo\nthree\n", false),
        ("one\ntwo\nthree\n", 13, "two\nthree\n", true),
        ("one\ntwo\nthree\n", 6, "", true),
        ("one\ntwo\nthree\n", 7, "three\n", true),
        ("a line longer than the limit", 5, "limit", true),
        ("", 5, "", false),
    ] {
        std::fs::write(dir.path().join("root/log"), text).unwrap();
        for root in both(&dir) {
            let tail = root.tail_opt("log", limit).unwrap().unwrap();
            assert_eq!(tail, Tail { text: want.to_owned(), size: text.len() as u64, cut }, "{limit}");
        }
    }
}

#[test]
fn a_huge_file_is_refused_whole_and_read_by_its_tail() {
    let dir = tree();
    let file = std::fs::File::create(dir.path().join("root/huge")).unwrap();
    file.set_len(10 << 30).unwrap();
    for root in both(&dir) {
        assert!(root.read("huge").unwrap_err().to_string().contains("not read whole"));
        let tail = root.tail_opt("huge", 1000).unwrap().unwrap();
        assert_eq!((tail.text.len(), tail.size, tail.cut), (1000, 10 << 30, true));
    }
}

#[test]
fn a_fifo_a_socket_and_a_directory_are_not_opened_as_files() {
    let dir = tree();
    let fifo = dir.path().join("root/fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("root/socket")).unwrap();
    symlink("/fifo", dir.path().join("root/etc/to-fifo")).unwrap();
    for root in both(&dir) {
        for path in ["fifo", "socket", "etc/to-fifo"] {
            let refused = root.read_opt(path).unwrap_err().to_string();
            assert!(refused.contains("not a regular file"), "{refused}");
            assert!(root.tail_opt(path, 10).is_err());
            assert_eq!(root.stat_opt(path).unwrap().unwrap().kind, Kind::Other);
        }
        assert!(root.read_opt("etc").unwrap_err().to_string().contains("it is a directory"));
    }
}

#[test]
fn a_program_is_a_file_that_may_be_executed_and_the_first_in_the_path() {
    let dir = tree();
    for (path, mode) in [("usr/bin/tool", 0o755), ("usr/sbin/tool", 0o644), ("usr/local/bin/other", 0o755)] {
        let path = dir.path().join("root").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::create_dir_all(dir.path().join("root/usr/local/sbin/other")).unwrap();
    symlink("/usr/bin/tool", dir.path().join("root/usr/local/sbin/linked")).unwrap();
    for root in both(&dir) {
        assert_eq!(root.find_program("tool").as_deref(), Some("usr/bin/tool"));
        assert_eq!(root.find_program("other").as_deref(), Some("usr/local/bin/other"));
        assert_eq!(root.find_program("linked").as_deref(), Some("usr/local/sbin/linked"));
        assert_eq!(root.find_program("../../../../bin/sh"), None);
    }
}

#[test]
fn names_and_text_that_are_not_utf8_are_replaced() {
    let dir = tree();
    let name = OsStr::from_bytes(b"odd\xff\x1b[31mname");
    std::fs::write(dir.path().join("root/empty").join(name), b"a\xffb").unwrap();
    std::fs::write(dir.path().join("root/text"), b"a\xffb").unwrap();
    for root in both(&dir) {
        assert_eq!(root.read_dir("empty").unwrap()[0].name, "odd\u{fffd}\u{1b}[31mname");
        assert_eq!(root.text_opt("text").unwrap().as_deref(), Some("a\u{fffd}b"));
        assert_eq!(root.text_opt("empty/odd\u{fffd}\u{1b}[31mname").unwrap(), None);
    }
}

#[test]
fn the_live_root_reads_what_an_offline_root_hides() {
    let live = Root::live().unwrap();
    let offline = Root::open(Path::new("/")).unwrap();
    let walking = Root::open_walking(Path::new("/")).unwrap();
    assert!(live.read_opt("proc/self/status").unwrap().is_some());
    assert_eq!(live.stat_opt("proc/self").unwrap().unwrap().kind, Kind::Dir);
    for root in [offline, walking] {
        assert_eq!(root.read_opt("proc/self/status").unwrap(), None);
        assert_eq!(root.stat_opt("proc/self/status").unwrap(), None);
        assert_eq!(root.read_dir("proc").unwrap(), []);
        assert_eq!(root.read_dir("sys").unwrap(), []);
        assert_eq!(root.lstat_opt("proc/self").unwrap(), None);
        assert_eq!(root.link_opt("proc/self/cwd").unwrap(), None);
    }
}
