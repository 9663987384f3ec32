//! Accounts as the C library and PAM read them.

use proptest::prelude::*;

use super::defaults::Defaults;
use super::locks::{self, LockFile};
use super::tally::{self, Tally};
use super::*;
use crate::facts::tree::Tree;

fn table(text: &str) -> Table {
    Table { bytes: text.as_bytes().to_vec() }
}

#[test]
fn the_first_line_that_the_c_library_takes_counts() {
    let table = table(
        "# root:x:9:9::/:/bin/x\n\nroot:x:0\nroot:x:zero:0:r:/root:/bin/sh\n  root:x:0:0:root:/root:/bin/bash\n\
         root:x:7:7:second:/:/bin/sh\n+@admins::::::\n-joe\n",
    );
    let root = table.user("root").unwrap();
    assert_eq!((root.row.line, root.uid, root.gid), (5, 0, 0));
    assert_eq!((root.home(), root.shell()), (&b"/root"[..], &b"/bin/bash"[..]));
    assert_eq!(&table.bytes[root.row.range.clone()], b"  root:x:0:0:root:/root:/bin/bash");
    assert!(root.is_shadowed());
    assert_eq!(table.compat_rows().map(|row| row.line).collect::<Vec<_>>(), [7, 8]);
    assert!(table.user("+@admins").is_none());
}

#[test]
fn a_shadow_line_needs_its_numbers() {
    for (line, is_taken) in [
        ("root:*:19000:0:99999:7:::", true),
        ("root:*:19000:0:99999", true),
        ("root:*::::", true),
        ("root:*:::::::", true),
        ("root:*:19000:0:", false),
        ("root:*", false),
        ("root", false),
        ("root:*:19000:0:99999:7:::\r", false),
        ("root:*:19000:0:99999:7::::", false),
        ("root:*:soon:0:99999:7:::", false),
        ("root:*:99999999999:0:99999:7:::", false),
    ] {
        assert_eq!(table(line).shadows("root").next().is_some(), is_taken, "{line}");
    }
    let table = table("root:*:19000:0:90:7:30:20000:\n");
    let root = table.shadows("root").next().unwrap();
    let days = (root.changed, root.minimum, root.maximum, root.warning, root.inactive, root.expires);
    assert_eq!(days, (Some(19000), Some(0), Some(90), Some(7), Some(30), Some(20000)));
    assert!(!root.is_expired(19999) && root.is_expired(20000));
    assert!(!root.is_password_dead(19120) && root.is_password_dead(19121));
}

#[test]
fn a_password_field_says_what_it_is() {
    let sha = "$6$salt$hash";
    for (field, password) in [
        ("", Password::Empty),
        (sha, Password::Hash(Scheme::Sha512)),
        ("!$6$salt$hash", Password::Locked(Scheme::Sha512)),
        ("!!$y$j9T$salt$hash", Password::Locked(Scheme::Yescrypt)),
        ("*LOCKED*$6$salt$hash", Password::Locked(Scheme::Sha512)),
        ("*", Password::Never),
        ("!", Password::Never),
        ("!!", Password::Never),
        ("!*", Password::Never),
        ("x", Password::Never),
        ("*LK*", Password::Never),
        ("$1$salt$hash", Password::Hash(Scheme::Md5)),
        ("$md5,rounds=9$salt$hash", Password::Hash(Scheme::Md5)),
        ("$2b$10$hash", Password::Hash(Scheme::Bcrypt)),
        ("$gy$j9T$salt$hash", Password::Hash(Scheme::GostYescrypt)),
        ("$sm3$salt$hash", Password::Hash(Scheme::Other)),
        ("ab01FAX.bQRSU", Password::Hash(Scheme::Des)),
        ("$", Password::Never),
        ("NP", Password::Never),
    ] {
        assert_eq!(Password::of(field.as_bytes()), password, "{field}");
    }
}

#[test]
fn a_line_of_master_passwd_has_ten_fields() {
    let table = table("root:$6$s$h:0:0::0:1700000000:Charlie &:/root:/bin/csh\ntoor:*:0:0:short\n");
    let root = table.masters("root").next().unwrap();
    assert_eq!((root.change, root.expires), (0, 1_700_000_000));
    assert!(root.is_expired(1_700_000_000) && !root.is_expired(1_699_999_999));
    assert!(table.masters("toor").next().is_none());
}

#[test]
fn the_store_is_the_file_that_login_reads() {
    let store = |files: &[(&str, &str)]| Store::of(&Tree::of(files).root()).unwrap();
    let tcb = ("etc/nsswitch.conf", "passwd: files\nshadow: tcb files # openwall\n");
    assert_eq!(store(&[("etc/passwd", "")]), Store::Passwd);
    assert_eq!(store(&[("etc/shadow", "")]), Store::Shadow);
    assert_eq!(store(&[("etc/shadow", ""), tcb]), Store::Shadow);
    assert_eq!(store(&[("etc/tcb/root/shadow", ""), tcb]), Store::Tcb);
    assert_eq!(store(&[("etc/master.passwd", "")]), Store::MasterPasswd);
}

#[test]
fn services_are_named_without_their_actions() {
    let tree = Tree::of(&[("etc/nsswitch.conf", "#passwd: db\npasswd:compat [NOTFOUND=return] sss#x\n")]);
    assert_eq!(services(&tree.root(), "passwd").unwrap(), ["compat", "sss"]);
    assert!(services(&tree.root(), "shadow").unwrap().is_empty());
}

#[test]
fn settings_are_read_as_pam_reads_them() {
    let text = "# ENCRYPT_METHOD MD5\nencrypt_method\t=  YESCRYPT # as upstream\nENCRYPT_METHOD SHA512\nX\n";
    let defaults = Defaults::of(&Tree::of(&[("etc/login.defs", text)]).root()).unwrap();
    assert_eq!(defaults.get("ENCRYPT_METHOD"), Some(("YESCRYPT", 2)));
    assert_eq!(defaults.get("X"), Some(("", 4)));
    assert_eq!(defaults.get("ENCRYPT"), None);
    let vendor = Defaults::of(&Tree::of(&[("usr/etc/login.defs", "X 1\n")]).root()).unwrap();
    assert_eq!((vendor.path, vendor.get("X")), ("usr/etc/login.defs", Some(("1", 1))));
}

#[test]
fn a_lock_is_held_while_its_program_runs() {
    let here = std::process::id().to_string() + "\0";
    let files = [("etc/.pwd.lock", ""), ("etc/passwd.lock", "junk"), ("etc/shadow.lock", here.as_str())];
    let found = locks::standing(&Tree::of(&files).root()).unwrap();
    let [passwd, shadow] = &found[..] else { panic!("{found:?}") };
    assert_eq!((passwd.path, passwd.pid, passwd.is_held()), ("etc/passwd.lock", None, false));
    assert_eq!((shadow.path, shadow.pid), ("etc/shadow.lock", Some(std::process::id())));
    assert!(shadow.is_held());
    // beyond the largest pid of Linux
    assert!(!LockFile { pid: Some(4_194_305), ..shadow.clone() }.is_held());
}

/// A record of pam_faillock.
fn record(status: u16, time: u64) -> Vec<u8> {
    let mut record = vec![0; 54];
    record.extend(status.to_ne_bytes());
    record.extend(time.to_ne_bytes());
    record
}

#[test]
fn too_many_failed_logins_keep_a_user_out_for_a_while() {
    let failures =
        [record(5, 1000), record(5, 1010), record(4, 1015), record(5, 1020), b"torn".to_vec()].concat();
    let of = |conf: &str, stack: &str, uid, now| {
        let tree = Tree::of(&[
            ("etc/security/faillock.conf", conf.as_bytes()),
            ("etc/pam.d/system-auth", stack.as_bytes()),
            ("var/run/faillock/root", &failures),
        ]);
        tally::of(&tree.root(), "root", uid, now).unwrap()
    };
    let used = "auth required pam_faillock.so preauth\n";
    let tally = |is_locked, until| Tally {
        path: "var/run/faillock/root".into(),
        failures: 3,
        deny: 3,
        is_locked,
        until,
    };
    assert_eq!(of("", "#auth required pam_faillock.so\n", 0, 1100), None);
    assert_eq!(of("", used, 0, 1100), Some(tally(false, None)));
    assert_eq!(of("", used, 1000, 1100), Some(tally(true, Some(1620))));
    assert_eq!(of("", used, 1000, 1621), Some(tally(false, None)));
    assert_eq!(of("even_deny_root\n", used, 0, 1100), Some(tally(true, Some(1620))));
    assert_eq!(of("root_unlock_time = 10 # soon\n", used, 0, 1025), Some(tally(true, Some(1030))));
    assert_eq!(of("unlock_time = never\n", used, 1000, 9999), Some(tally(true, None)));
    let stack = "auth required pam_faillock.so preauth deny=4\n";
    assert_eq!(of("deny = 3\n", stack, 1000, 1100), Some(Tally { deny: 4, ..tally(false, None) }));
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(prop::sample::select(&b":#x0\n+- !$"[..]), 0..200)) {
        let table = Table { bytes };
        for row in table.rows() {
            prop_assert!(!row.name().is_empty());
            prop_assert!(!table.bytes[row.range.clone()].contains(&b'\n'));
        }
        table.users().for_each(drop);
        table.shadows("x").for_each(drop);
        table.masters("x").for_each(drop);
    }
}
