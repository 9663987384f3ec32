//! What becomes of the account files, and that nothing else does.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::account::Line;
use super::*;
use crate::check::Status;
use crate::facts::tree::Tree;
use crate::plan::FileChange;
use crate::plan::Interrupt;
use crate::plan::journal::{Journal, Turn};
use crate::root::Node;
use crate::xenstore::Source;

const CLEAR: &str = "Pä:ss w0rd";
/// Hashes of it by libxcrypt 4.4.33.
const SHA512: &str =
    "$6$saltstring$OTP5HapWuBEnyUI8dk9Xik3R1nXW/3TiEAWxVbCNldpXRKUSi9.plhrFPZzKnO0FbRSM.E/KoNcc4vj0eoW2I1";
const SHA512_ROUNDS: &str = "$6$rounds=1400$anotherlongsalt$fYbFpUwOyqM5jhub7DPny1T0/S8fDIV0YfQspQf6j9FkJFrhq8EJM4bZilUUpW4/h/AShamU/IvCQu2gjLfhy.";
const SHA256: &str = "$5$saltstring$K.YAitIhuhWjXWsghz/AAEEftVERdIXw5aFcnXYTOC/";
const YESCRYPT: &str = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$vs5bh4iDAC2PSm/4Zs2GlhxrHA.okdAJWJnTinHS602";
const YESCRYPT_CHEAP: &str = "$y$j75$F5Jx5fExrKuPp53xLKQ..1$o5TtqGnjpmKETDesFBss6UIwLhtiMnZ7AYbJQFynmcC";
const SH: (&str, &str) = ("bin/sh", "#!");

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn request(user: &str, unlock: Unlock) -> SetPassword {
    SetPassword { user: user.to_owned(), password: secret(CLEAR), unlock }
}

/// A system on a disk, whose shells are programs.
fn system(files: &[(&str, &str)]) -> Tree {
    let tree = Tree::of(files);
    for shell in ["bin/sh", "bin/bash"] {
        let path = tree.path().join(shell);
        if path.exists() {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    tree
}

fn offline(tree: &Tree) -> Target {
    Target::offline(tree.path(), Source::None).unwrap()
}

/// What the request makes of the files, by path.
fn results(tree: &Tree, request: &SetPassword) -> Result<Vec<(String, String)>> {
    let target = offline(tree);
    let prepared = request.plan(&target)?.prepare(&target.root)?;
    let text = |node: &Node| match node {
        Node::File(file) => String::from_utf8(file.body.clone()).unwrap(),
        other => format!("{other:?}"),
    };
    Ok(prepared.results().map(|(path, node)| (path.to_owned(), text(node))).collect())
}

/// The whole text of the one file that changes, with the hash and today written as words.
fn result(files: &[(&str, &str)], unlock: Unlock) -> Vec<(String, String)> {
    let tree = system(files);
    let today = (now() / 86400).to_string();
    let files = results(&tree, &request("root", unlock)).unwrap();
    files.into_iter().map(|(path, text)| (path, blanked(&text, &today))).collect()
}

/// Writes HASH for a hash of the password by us and TODAY for the day.
fn blanked(text: &str, today: &str) -> String {
    let field = |field: &str| {
        let (lock, hash) = account::lock_of(field.as_bytes());
        if Method::Sha512(5000).made(hash, &secret(CLEAR)) && field != SHA512 {
            format!("{lock}HASH")
        } else if field == today {
            "TODAY".to_owned()
        } else {
            field.to_owned()
        }
    };
    let line = |line: &str| line.split(':').map(field).collect::<Vec<_>>().join(":");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn titles(files: &[(&str, &str)], unlock: Unlock) -> (Vec<String>, Vec<String>) {
    let tree = system(files);
    let proposal = request("root", unlock).propose(&offline(&tree)).unwrap();
    let told = proposal.findings.iter().map(|f| format!("{}: {}", f.status.word(), f.title));
    (told.collect(), proposal.left)
}

const PASSWD: (&str, &str) =
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n");

#[test]
fn only_the_hash_and_the_day_of_the_change_are_written() {
    for (before, after) in [
        (
            "bin:*:1:0:99999:7:::\nroot:$6$old$hash:19000:3:90:7:30:99999:7\nend",
            "bin:*:1:0:99999:7:::\nroot:HASH:TODAY:3:90:7:30:99999:7\nend",
        ),
        ("\n# \u{e9}\n \troot::19000:0:99999:7:::\n\n", "\n# \u{e9}\n \troot:HASH:TODAY:0:99999:7:::\n\n"),
        ("root:$1$old$hash:0:0:99999", "root:HASH:TODAY:0:99999"),
        // never had one: nothing is locked
        ("root:*:19000:0:99999:7:::\n", "root:HASH:TODAY:0:99999:7:::\n"),
        ("root:!!:19000:0:99999:7:::\n", "root:HASH:TODAY:0:99999:7:::\n"),
        ("root:!:19000:0:99999:7:::\n", "root:HASH:TODAY:0:99999:7:::\n"),
        // the first counts
        ("root:a:1:0:9:7:::\nroot:b:1:0:9:7:::\n", "root:HASH:TODAY:0:9:7:::\nroot:b:1:0:9:7:::\n"),
        // login skips the first
        ("root:a:x:0:9:7:::\nroot:b:1:0:9:7:::\n", "root:a:x:0:9:7:::\nroot:HASH:TODAY:0:9:7:::\n"),
        ("root:a:x:0:9:soon\n", "root:HASH:TODAY:0:9::::\n"),
        ("root\n", "root:HASH:TODAY::::::\n"),
        // none at all
        ("bin:*:1:0:9:7:::", "bin:*:1:0:9:7:::\nroot:HASH:TODAY:0:99999:7:::\n"),
        ("bin:*:1:0:9:7:::\n+::::::::\n", "bin:*:1:0:9:7:::\nroot:HASH:TODAY:0:99999:7:::\n+::::::::\n"),
        ("", "root:HASH:TODAY:0:99999:7:::\n"),
    ] {
        let found = result(&[SH, PASSWD, ("etc/shadow", before)], Unlock::Keep);
        assert_eq!(found, [("etc/shadow".to_owned(), after.to_owned())], "{before:?}");
    }
}

#[test]
fn a_closed_account_stays_closed_unless_it_is_to_be_opened() {
    let closed = "root:!$6$old$hash:19000:0:99999:7::2:\n";
    let nologin = ("etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\n");
    let kept = result(&[SH, nologin, ("etc/shadow", closed)], Unlock::Keep);
    assert_eq!(kept, [("etc/shadow".to_owned(), "root:!HASH:TODAY:0:99999:7::2:\n".to_owned())]);
    let (told, left) = titles(&[SH, nologin, ("etc/shadow", closed)], Unlock::Keep);
    assert_eq!(
        told,
        ["fail: the account is over", "fail: the account is locked", "fail: the account has no login shell"]
    );
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[1], "the account is locked (the hash begins with !): --unlock mends it");
    let opened = result(&[SH, nologin, ("etc/shadow", closed)], Unlock::Mend);
    assert_eq!(
        opened,
        [
            ("etc/shadow".to_owned(), "root:HASH:TODAY:0:99999:7:::\n".to_owned()),
            ("etc/passwd".to_owned(), "root:x:0:0:root:/root:/bin/sh\n".to_owned()),
        ]
    );
    let (_, left) = titles(&[SH, nologin, ("etc/shadow", closed)], Unlock::Mend);
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_second_run_changes_nothing() {
    let day = now() / 86400;
    let shadow = format!("root:{SHA512}:{day}:0:99999:7:::\n");
    assert_eq!(result(&[SH, PASSWD, ("etc/shadow", &shadow)], Unlock::Keep), []);
}

#[test]
fn a_hash_in_passwd_stays_where_login_reads_it() {
    let passwd = ("etc/passwd", "root:$1$old$hash:0:0:root:/root:/bin/sh\n");
    let found = result(&[SH, passwd], Unlock::Keep);
    assert_eq!(found, [("etc/passwd".to_owned(), "root:HASH:0:0:root:/root:/bin/sh\n".to_owned())]);
    let (told, _) = titles(&[SH, passwd], Unlock::Keep);
    assert_eq!(
        told,
        ["note: this system has no shadow file: everybody on it can read the hash in etc/passwd"]
    );
    // where there is a shadow file, it is to count
    let shadow = ("etc/shadow", "root:*:1:0:9:7:::\n");
    let found = result(&[SH, ("etc/passwd", "root::0:0:root:/root:/bin/sh\n"), shadow], Unlock::Keep);
    assert_eq!(
        found,
        [
            ("etc/shadow".to_owned(), "root:HASH:TODAY:0:9:7:::\n".to_owned()),
            ("etc/passwd".to_owned(), "root:x:0:0:root:/root:/bin/sh\n".to_owned()),
        ]
    );
}

#[test]
fn tcb_and_master_passwd_are_changed_where_they_are() {
    let tcb = ("etc/nsswitch.conf", "shadow: tcb\n");
    let found = result(&[SH, PASSWD, tcb, ("etc/tcb/root/shadow", "root:*:1:0:9:7:::\n")], Unlock::Keep);
    assert_eq!(found, [("etc/tcb/root/shadow".to_owned(), "root:HASH:TODAY:0:9:7:::\n".to_owned())]);
    let passwd = ("etc/passwd", "root:*:0:0:Charlie &:/root:/bin/sh\n");
    let master = ("etc/master.passwd", "# $FreeBSD$\nroot:*LOCKED*$6$a$b:0:0::5:5:Charlie &:/root:/bin/sh\n");
    let found = result(&[SH, passwd, master], Unlock::Mend);
    let after = "# $FreeBSD$\nroot:HASH:0:0::0:0:Charlie &:/root:/bin/sh\n";
    assert_eq!(found, [("etc/master.passwd".to_owned(), after.to_owned())]);
    let (_, left) = titles(&[SH, passwd, master], Unlock::Mend);
    let [line] = &left[..] else { panic!("{left:?}") };
    assert!(
        line.starts_with("BSD reads etc/spwd.db, which still has the old hash: pwd_mkdb -p -d "),
        "{line}"
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let shadow = ("etc/shadow", "root:*:1:0:9:7:::\n");
    let sss = ("etc/nsswitch.conf", "passwd: files sss\n");
    let nis = ("etc/passwd", "root:x:0:0::/:/bin/sh\nbin:x:1:1::/:/sbin/nologin\n+::::::\n");
    type Case<'c> = (&'c [(&'c str, &'c str)], &'c str, &'c str);
    let cases: &[Case<'_>] = &[
        (&[shadow], "root", "reading etc/passwd: no such file"),
        (
            &[SH, PASSWD],
            "root",
            "etc/shadow is missing, and etc/passwd says that the hashes are in it: pwconv makes an empty one",
        ),
        (
            &[SH, PASSWD, ("etc/shadow-", "")],
            "root",
            "etc/shadow is missing, and etc/passwd says that the hashes are in it: copy etc/shadow- there (mode 0640, or \
             0000 on Red Hat) and try again",
        ),
        (
            &[SH, PASSWD, shadow],
            "eve",
            "there is no user \"eve\" in etc/passwd; with a login shell: root, joe",
        ),
        (&[SH, PASSWD, shadow], "", "there is no user \"\" in etc/passwd; with a login shell: root, joe"),
        (
            &[SH, PASSWD, shadow, sss],
            "eve",
            "eve is not in etc/passwd: this system also takes users from sss, and their passwords are changed there",
        ),
        (
            &[SH, nis, shadow],
            "+",
            "+ is not in etc/passwd: this system also takes users from nis, and their passwords are changed there",
        ),
        (
            &[SH, PASSWD, ("etc/master.passwd", "root:*:0:0\n")],
            "root",
            "root has no line in etc/master.passwd, or one without its ten fields: vipw mends it",
        ),
    ];
    for (files, user, words) in cases {
        let error = request(user, Unlock::Keep).plan(&offline(&system(files))).unwrap_err();
        assert_eq!(&format!("{error:#}"), words);
    }
    let dangling = system(&[SH, PASSWD]).link("etc/shadow", "/data/shadow");
    let error = request("root", Unlock::Keep).plan(&offline(&dangling)).unwrap_err();
    assert_eq!(format!("{error:#}"), "etc/shadow is a link to /data/shadow, where there is nothing");
}

#[test]
fn a_link_is_followed_inside_the_root() {
    let tree =
        system(&[SH, PASSWD, ("data/shadow", "root:*:1:0:9:7:::\n")]).link("etc/shadow", "/data/shadow");
    let found = results(&tree, &request("root", Unlock::Keep)).unwrap();
    assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["data/shadow"]);
}

#[test]
fn what_cannot_be_typed_is_refused() {
    for (bytes, words) in [
        (&b""[..], "the password is empty"),
        (b"two\nlines", "the password has a line break in it"),
        (b"end\n", "the password has a line break in it"),
        (b"dos\r", "the password has a line break in it"),
        (b"nul\0", "the password has a control character in it"),
        (b"esc\x1b[A", "the password has a control character in it"),
        ("nel\u{85}".as_bytes(), "the password has a control character in it"),
        (b"latin \xe9", "the password is not UTF-8"),
        (&[b'x'; 512], "the password has 512 bytes: a login takes 511"),
    ] {
        let error = refuse_password(&Secret::new(bytes.to_vec())).unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    for fine in ["x", ":", " ", "\u{2603}\u{1d11e}", &"x".repeat(511)] {
        assert!(refuse_password(&secret(fine)).is_ok(), "{fine}");
    }
}

#[test]
fn stale_locks_are_ignored_and_said() {
    let tree = system(&[SH, PASSWD, ("etc/shadow", "root:*:1:0:9:7:::\n"), ("etc/shadow.lock", "1")]);
    let proposal = request("root", Unlock::Keep).propose(&offline(&tree)).unwrap();
    let [note] = &proposal.findings[..] else { panic!("{:?}", proposal.findings) };
    assert_eq!(note.title, "etc/shadow.lock is a lock of a program that is gone: it is ignored");
    assert_eq!((note.status, note.evidence[0].text.as_str()), (Status::Note, "process 1"));
    // process 1 runs, so on a running guest it is waited for
    let live = Target::pretending_to_be_live(tree.path());
    assert_eq!(request("root", Unlock::Keep).propose(&live).unwrap().findings, []);
}

#[test]
fn failed_logins_that_keep_the_user_out_are_taken_away_when_asked() {
    let record = [vec![0; 54], 5u16.to_ne_bytes().to_vec(), u64::MAX.to_ne_bytes().to_vec()].concat();
    let tree = system(&[
        SH,
        PASSWD,
        ("etc/shadow", "joe:*:1:0:9:7:::\n"),
        ("etc/pam.d/system-auth", "auth required pam_faillock.so deny=1\n"),
    ]);
    std::fs::create_dir_all(tree.path().join("var/run/faillock")).unwrap();
    std::fs::write(tree.path().join("var/run/faillock/joe"), record).unwrap();
    let target = offline(&tree);
    let kept = request("joe", Unlock::Keep).propose(&target).unwrap();
    assert_eq!(
        kept.left,
        ["pam_faillock keeps the user out (1 failed logins, 1 are too many): --unlock mends it"]
    );
    let opened = request("joe", Unlock::Mend).plan(&target).unwrap();
    assert_eq!(opened.files[1], FileChange::Remove { path: "var/run/faillock/joe".into() });
}

#[test]
fn a_change_keeps_mode_and_time_and_undo_brings_all_back() {
    let tree = system(&[SH, PASSWD, ("etc/shadow", "root:*:1:0:9:7:::\n")]);
    let path = tree.path().join("etc/shadow");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let target = offline(&tree);
    let request = request("root", Unlock::Keep);
    assert!(!verify(&target, &request).unwrap());
    let journal = Journal::open(&target.root, Turn::Now).unwrap();
    let prepared = request.plan(&target).unwrap().prepare(&target.root).unwrap();
    assert!(!format!("{:?}{:?}", prepared.preview(), prepared).contains("$6$"));
    let applied = prepared.apply(&target, &journal, &Interrupt::default()).unwrap();
    assert!(verify(&target, &request).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0);
    drop(applied.take_back(anyhow!("enough")));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "root:*:1:0:9:7:::\n");
}

#[test]
fn hashes_of_libcrypt_are_recognised_when_they_cost_what_ours_do() {
    let ours = [
        (Method::Sha512(5000), SHA512),
        (Method::Sha512(1400), SHA512_ROUNDS),
        (Method::Sha256(5000), SHA256),
        (Method::Yescrypt(5), YESCRYPT),
        (Method::Yescrypt(1), YESCRYPT_CHEAP),
    ];
    for (method, _) in ours {
        for (other, hash) in ours {
            assert_eq!(method.made(hash.as_bytes(), &secret(CLEAR)), method == other, "{method:?} {hash}");
            assert!(!method.made(hash.as_bytes(), &secret("another")));
        }
        let hash = method.hash(&secret(CLEAR)).unwrap();
        assert!(method.made(hash.as_bytes(), &secret(CLEAR)), "{hash}");
        assert_ne!(hash, method.hash(&secret(CLEAR)).unwrap(), "the salt is new");
    }
}

#[test]
fn the_scheme_is_the_one_that_the_system_asks_for_and_can() {
    let libxcrypt = ("usr/lib/x86_64-linux-gnu/libcrypt.so.1", "$6$\0$y$\0");
    let glibc = ("lib64/libcrypt.so.1", "$6$\0$5$\0");
    let yes = ("etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n");
    let pam = |text| ("etc/pam.d/common-password", text);
    let debian = pam("password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n");
    let cases: &[(&[(&str, &str)], Method)] = &[
        (&[], Method::Sha512(5000)),
        (&[yes, libxcrypt], Method::Yescrypt(5)),
        (&[yes, glibc], Method::Sha512(5000)),
        (&[yes], Method::Sha512(5000)),
        (&[debian, libxcrypt], Method::Yescrypt(5)),
        (&[debian, glibc], Method::Sha512(5000)),
        (
            &[yes, libxcrypt, pam("password sufficient pam_unix.so sha512 shadow rounds=65536\n")],
            Method::Sha512(65536),
        ),
        (
            &[yes, libxcrypt, pam("#password a pam_unix.so sha512\nauth a pam_unix.so sha512\n")],
            Method::Yescrypt(5),
        ),
        (&[yes, libxcrypt, pam("-password a pam_unix.so sha512 yescrypt rounds=99\n")], Method::Yescrypt(7)),
        (&[("etc/login.defs", "ENCRYPT_METHOD DES\n"), libxcrypt], Method::Sha512(5000)),
        (&[("etc/login.defs", "ENCRYPT_METHOD MD5\nSHA_CRYPT_MAX_ROUNDS 9\n")], Method::Sha512(5000)),
        (&[("etc/login.defs", "ENCRYPT_METHOD SHA256\nSHA_CRYPT_MAX_ROUNDS 9\n")], Method::Sha256(1000)),
        (
            &[("etc/login.defs", "ENCRYPT_METHOD SHA512\nSHA_CRYPT_MAX_ROUNDS 999999999\n")],
            Method::Sha512(1_000_000),
        ),
        (
            &[("etc/pam.d/system-auth", "password a \\\n pam_unix.so gost_yescrypt\n"), libxcrypt],
            Method::Yescrypt(5),
        ),
    ];
    for (files, method) in cases {
        assert_eq!(Method::of(&Tree::of(files).root()).unwrap(), *method, "{files:?}");
    }
}

#[test]
fn a_drawn_password_is_of_clear_letters_and_another_each_time() {
    let one = draw().unwrap();
    assert_eq!(one.expose().len(), 20);
    assert!(one.expose().iter().all(|letter| LETTERS.contains(letter)));
    assert!(!LETTERS.iter().any(|letter| b"0O1lI".contains(letter)));
    assert_ne!(one, draw().unwrap());
    assert!(refuse_password(&one).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn other_lines_stay_whatever_they_are(
        before in prop::collection::vec(prop::sample::select(&b":#x0\n+- !$\xff"[..]), 0..60),
        after in prop::collection::vec(prop::sample::select(&b":#x0\n+- !$\xff"[..]), 0..60),
    ) {
        let before = if before.is_empty() { before } else { [before, b"\n".to_vec()].concat() };
        let file = [before.clone(), b"root:*:1:0:9:7:::\n".to_vec(), after.clone()].concat();
        let table = Table { bytes: file };
        let mut line = Line::of(&table.shadows("root").next().unwrap().row);
        line.set(1, "new");
        prop_assert_eq!(line.put_into(&table), [before, b"root:new:1:0:9:7:::\n".to_vec(), after].concat());
    }

    #[test]
    fn any_hash_in_a_file_is_looked_at(hash in "\\$(6|y|5)\\$(j9T|rounds=5000)?[$./a-zA-Z0-9]{0,60}") {
        for method in [Method::Sha256(5000), Method::Sha512(5000), Method::Yescrypt(1)] {
            prop_assert!(!method.made(hash.as_bytes(), &secret("x")));
        }
    }
}
