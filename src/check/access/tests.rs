use super::*;
use crate::check::network::trial::{found, mended, short};
use crate::check::{Finding, Status};
use crate::net::survey::tests::tree_of;
use crate::target::Target;
use crate::xenstore::Source;

const PASSWD: (&str, &str) = ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:::/sbin/nologin\n");
const SHELL: (&str, &str) = ("bin/sh", "!");
const BUILT: (&str, &str) = ("etc/ssh/ssh_host_rsa_key", "x");
const HASH: &str = "$6$salt$hash";

fn check(id: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.id == id).unwrap()
}

/// The first finding with a root line of these fields after the name.
fn with_root(id: &str, fields: &str, others: &[(&str, &str)]) -> Vec<(Status, String)> {
    let shadow = format!("root:{fields}\n");
    short(check(id), &[&[PASSWD, SHELL, BUILT, ("etc/shadow", &shadow)][..], others].concat())
}

fn set_mode(target: &std::path::Path, path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(target.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn modes_that_let_others_read_hashes_are_told_and_mended() {
    for (mode, want, after) in [
        (0o000, Status::Ok, 0o000),
        (0o400, Status::Ok, 0o400),
        (0o600, Status::Ok, 0o600),
        (0o640, Status::Ok, 0o640),
        (0o644, Status::Fail, 0o640),
        (0o660, Status::Fail, 0o640),
        (0o604, Status::Fail, 0o600),
    ] {
        let (dir, _root) = tree_of(&[PASSWD, ("etc/shadow", "root:$6$a$b:1::::::\n")]);
        set_mode(dir.path(), "etc/shadow", mode);
        let target = Target::offline(dir.path(), Source::None).unwrap();
        let judged = shadow::judged(&target).unwrap();
        assert_eq!(judged.findings[0].status, want, "{mode:o}: {:?}", judged.findings);
        let modes: Vec<u32> = judged
            .plan
            .files
            .iter()
            .map(|file| match file {
                crate::plan::FileChange::Restore { node: crate::root::Node::File(node), .. } => node.mode,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(modes, if want == Status::Ok { vec![] } else { vec![after] }, "{mode:o}");
    }
}

/// A tree of these files whose shadow only root reads.
fn judged(files: &[(&str, &str)]) -> Vec<Finding> {
    let (dir, _root) = tree_of(files);
    if dir.path().join("etc/shadow").is_file() {
        set_mode(dir.path(), "etc/shadow", 0o600);
    }
    shadow::judged(&Target::offline(dir.path(), Source::None).unwrap()).unwrap().findings
}

#[test]
fn a_shadow_file_without_root_or_with_a_lock_fails() {
    let whole = ("etc/shadow", "root:$6$a$b:1::::::\n");
    for (files, want) in [
        (&[PASSWD, whole][..], "root has a line, and only root reads it"),
        (&[PASSWD, ("etc/shadow", "bin:*:1::::::\n")], "etc/shadow has no line of root that login takes"),
        (
            &[PASSWD, ("etc/shadow", "#root:$6$a$b:1::::::\n")],
            "etc/shadow has no line of root that login takes",
        ),
        (&[PASSWD, ("etc/shadow", "root:x\n")], "etc/shadow has no line of root that login takes"),
        (
            &[PASSWD, whole, ("etc/shadow.lock", "4194305")],
            "etc/shadow.lock is a lock of a program that is gone",
        ),
        (&[PASSWD, whole, ("etc/passwd.lock", "")], "etc/passwd.lock is a lock of a program that is gone"),
        (&[PASSWD, whole, ("etc/.pwd.lock", "")], "root has a line, and only root reads it"),
        (&[PASSWD], "etc/shadow is missing, and etc/passwd says that the hashes are in it"),
        (
            &[("etc/passwd", "root:$6$a$b:0:0::/root:/bin/sh\n")],
            "the hashes are in etc/passwd, and root has one",
        ),
        (&[("etc/passwd", "bin:x:1:1::/:/bin/sh\n"), whole], "root has no line in etc/passwd"),
        (&[("etc/x", "")], "there are no account files in this tree"),
    ] {
        let findings = judged(files);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].title, want, "{files:?}");
    }
    let error = found(check("shadow-intact"), &[PASSWD, ("etc/shadow/x", "")]).unwrap_err();
    assert_eq!(error.to_string(), "reading etc/shadow: it is a directory");
}

#[test]
fn the_shadow_file_comes_back_and_locks_go() {
    let copy = "root:$6$a$b:1::::::\nbin:*:1::::::\n";
    let files = [PASSWD, ("etc/shadow-", "root:old:1::::::\n"), ("etc/shadow.bak.812", copy)];
    assert_eq!(mended(check("shadow-intact"), &files, &["etc/shadow"]), [Some(copy.to_owned())]);
    let files = [PASSWD, ("etc/shadow-", copy), ("etc/shadow.lock", "4194305")];
    assert_eq!(
        mended(check("shadow-intact"), &files, &["etc/shadow", "etc/shadow.lock"]),
        [Some(copy.to_owned()), None]
    );
    let files = [PASSWD, ("etc/shadow", "root:broken\nbin:*:1::::::\n")];
    let after = mended(check("shadow-intact"), &files, &["etc/shadow"]);
    assert_eq!(after, [Some("root:*::0:99999:7:::\nbin:*:1::::::\n".to_owned())]);
}

#[test]
fn a_closed_account_is_told_by_what_closes_it() {
    let id = "root-account-usable";
    let fail = |subject: &str| vec![(Status::Fail, subject.to_owned())];
    let ok = vec![(Status::Ok, String::new())];
    for (fields, want) in [
        (format!("{HASH}:20000:0:99999:7:::"), ok.clone()),
        (format!("!{HASH}:20000:0:99999:7:::"), fail("lock")),
        (format!("!!{HASH}:20000:0:99999:7:::"), fail("lock")),
        // the agent's `passwd` writes a hash over it
        ("*:20000:0:99999:7:::".to_owned(), vec![(Status::Note, "lock".to_owned())]),
        (":20000:0:99999:7:::".to_owned(), vec![(Status::Note, "lock".to_owned())]),
        (format!("{HASH}:20000:0:99999:7::1:"), fail("expiry")),
        (format!("{HASH}:100:0:30:7:10::"), fail("expiry")),
        (format!("{HASH}:20000:0:99999:7::99999:"), ok.clone()),
        // it is asked for a new one at the login
        (format!("{HASH}:100:0:30:7:::"), ok),
    ] {
        assert_eq!(with_root(id, &fields, &[]), want, "{fields}");
    }
    let fields = format!("{HASH}:20000:0:99999:7:::");
    for (shell, files, want) in [
        ("/sbin/nologin", &[SHELL][..], fail("shell")),
        ("/bin/zsh", &[SHELL], fail("shell")),
        // /usr is another file system, which is not mounted
        ("/bin/zsh", &[], vec![(Status::Ok, String::new())]),
        ("", &[SHELL], vec![(Status::Ok, String::new())]),
    ] {
        let passwd = format!("root:x:0:0::/root:{shell}\n");
        let shadow = format!("root:{fields}\n");
        let files = [&[("etc/passwd", passwd.as_str()), ("etc/shadow", &shadow), BUILT][..], files].concat();
        assert_eq!(short(check(id), &files), want, "{shell}");
    }
    let image = [PASSWD, ("etc/shadow", "root:*:1::::::\n")];
    assert_eq!(short(check(id), &image), [(Status::Note, "lock".to_owned())]);
}

#[test]
fn an_account_is_opened_and_its_password_stays() {
    let files = [
        ("etc/passwd", "bin:x:1:1::/:/bin/sh\nroot:x:0:0:root:/root:/sbin/nologin\n"),
        SHELL,
        BUILT,
        ("etc/shadow", "bin:*:1::::::\nroot:!$6$salt$hash:100:0:30:7:10:1:\n"),
    ];
    assert_eq!(
        mended(check("root-account-usable"), &files, &["etc/passwd", "etc/shadow"]),
        [
            Some("bin:x:1:1::/:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\n".to_owned()),
            Some("bin:*:1::::::\nroot:$6$salt$hash:100:0:30:7:::\n".to_owned()),
        ]
    );
    let (dir, _root) = tree_of(&[PASSWD, SHELL, BUILT, ("etc/shadow", "root:!*:1::::::\n")]);
    let target = Target::offline(dir.path(), Source::None).unwrap();
    assert!(unlock::plan(&target, USER).unwrap().files.is_empty());
}

#[test]
fn an_old_hash_is_told_unless_the_system_hashes_so() {
    let id = "root-hash-scheme";
    let old = ("etc/login.defs", "MD5_CRYPT_ENAB yes\n");
    let new = ("etc/login.defs", "MD5_CRYPT_ENAB no\nENCRYPT_METHOD SHA512\n");
    for (hash, defs, want) in [
        ("$1$salt$0123456789012345678901", new, Status::Warn),
        ("!$1$salt$0123456789012345678901", new, Status::Warn),
        ("abJnggxhB/yWI", new, Status::Warn),
        ("$1$salt$0123456789012345678901", old, Status::Note),
        ("$6$salt$hash", old, Status::Ok),
        ("$y$j9T$salt$hash", new, Status::Ok),
        ("*", new, Status::Skipped),
    ] {
        assert_eq!(with_root(id, &format!("{hash}:1::::::"), &[defs])[0].0, want, "{hash}");
    }
}

#[test]
fn sshd_is_judged_by_the_line_that_decides() {
    let main = |text| ("etc/ssh/sshd_config", text);
    let debian = ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let el7 = ("etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n");
    let drop_in = ("etc/ssh/sshd_config.d/60-cloudimg-settings.conf", "PasswordAuthentication no\n");
    let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
    let with_include = format!(
        "{include}PermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n"
    );
    for (files, want, source) in [
        (&[main("PermitRootLogin yes\n")][..], Status::Ok, "etc/ssh/sshd_config:1"),
        (&[main("PermitRootLogin no\nPermitRootLogin yes\n")], Status::Warn, "etc/ssh/sshd_config:1"),
        (&[main("#PermitRootLogin yes\n"), debian], Status::Warn, "etc/ssh/sshd_config"),
        (&[main("#PermitRootLogin no\n"), el7], Status::Ok, "etc/ssh/sshd_config"),
        (&[main(&with_include), drop_in], Status::Warn, "etc/ssh/sshd_config.d/60-cloudimg-settings.conf:1"),
        (&[main("PermitRootLogin yes\nAllowUsers admin\n")], Status::Warn, "etc/ssh/sshd_config:2"),
        (
            &[main("PermitRootLogin no\nMatch Address 10.0.0.0/8\nPermitRootLogin yes\n")],
            Status::Note,
            "etc/ssh/sshd_config:1",
        ),
        (
            &[main("PermitRootLogin yes\nMatch Address *,!10.0.0.0/8\nPermitRootLogin no\n")],
            Status::Note,
            "etc/ssh/sshd_config",
        ),
        (
            &[main("PermitRootLogin yes\nMatch User deploy\nPasswordAuthentication no\n")],
            Status::Ok,
            "etc/ssh/sshd_config:1",
        ),
        (&[main("PermitRootLogin yes\nAllowUsers root@10.0.0.1\n")], Status::Note, "etc/ssh/sshd_config:2"),
        (
            &[main("PermitRootLogin yes\nAllowGroups wheel\n"), ("etc/group", "wheel:x:10:admin,root\n")],
            Status::Ok,
            "etc/ssh/sshd_config:1",
        ),
    ] {
        let findings = found(check("root-login-allowed"), files).unwrap();
        let seen = findings[0].evidence[0].source.as_str();
        assert_eq!((findings[0].status, seen), (want, source), "{files:?}");
    }
    assert_eq!(short(check("root-login-allowed"), &[PASSWD])[0].0, Status::Skipped);
    let error = found(check("root-login-allowed"), &[("etc/ssh/sshd_config/x", "")]).unwrap_err();
    assert_eq!(error.to_string(), "reading etc/ssh/sshd_config: it is a directory");
}

#[test]
fn keys_that_were_replaced_are_counted() {
    let file = |path, text| (path, text);
    let current = file("root/.ssh/authorized_keys", "ssh-ed25519 AAAAnew me\n");
    for (backup, want) in [
        ("ssh-ed25519 AAAAold me\nssh-rsa AAAArsa you\n# ssh-rsa AAAAoff\n", Status::Note),
        ("from=\"10.0.0.1\" ssh-ed25519 AAAAold\n", Status::Note),
        ("command=\"x y\" ssh-ed25519 AAAAnew other comment\n", Status::Ok),
    ] {
        for path in
            ["root/.ssh/authorized_keys.1700000000.25.bak", "root/.ssh/authorized_keys.bak.1700000000"]
        {
            assert_eq!(
                short(check("authorized-keys"), &[current, (path, backup)])[0].0,
                want,
                "{path} {backup}"
            );
        }
    }
    let findings = found(
        check("authorized-keys"),
        &[current, ("root/.ssh/authorized_keys.1.bak", "ssh-rsa AAAA1\nssh-rsa AAAA2\n")],
    );
    assert_eq!(findings.unwrap()[0].title, "2 keys of root let nobody in any more");
}

const LABEL: &str = "security.selinux";
const ENFORCING: (&str, &str) = ("etc/selinux/config", "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");

/// A labelled tree; `None` where this machine lets nobody write labels.
fn labelled(files: &[(&str, &str)], labels: &[(&str, &str)]) -> Option<(tempfile::TempDir, Target)> {
    let (dir, _root) = tree_of(files);
    for (path, kind) in labels {
        let label = format!("system_u:object_r:{kind}:s0\0");
        let flags = rustix::fs::XattrFlags::empty();
        if let Err(error) = rustix::fs::setxattr(dir.path().join(path), LABEL, label.as_bytes(), flags) {
            #[expect(clippy::print_stdout, reason = "says what was skipped")]
            {
                println!("skipped: no label can be written here: {error}");
            }
            return None;
        }
    }
    let target = Target::offline(dir.path(), Source::None).unwrap();
    Some((dir, target))
}

#[test]
fn a_label_is_told_missing_where_selinux_enforces() {
    let files = [ENFORCING, PASSWD, ("etc/shadow", "root:*:1::::::\n"), ("etc/shadow-", "")];
    let right = [
        ("etc", "etc_t"),
        ("etc/passwd", "passwd_file_t"),
        ("etc/shadow", "shadow_t"),
        ("etc/shadow-", "shadow_t"),
    ];
    let subjects = |labels: &[(&str, &str)], files: &[(&str, &str)]| {
        let (_dir, target) = labelled(files, labels)?;
        let findings = labels::probe(&target).unwrap();
        Some(findings.into_iter().map(|f| (f.status, f.subject.unwrap_or_default())).collect::<Vec<_>>())
    };
    let Some(healthy) = subjects(&right, &files) else { return };
    assert_eq!(healthy, [(Status::Ok, String::new())]);
    let fail = |path: &str| vec![(Status::Fail, path.to_owned())];
    let without = [right[0], right[1], right[3]];
    assert_eq!(subjects(&without, &files).unwrap(), fail("etc/shadow"));
    let other = [right[0], right[1], right[3], ("etc/shadow", "etc_t")];
    assert_eq!(subjects(&other, &files).unwrap(), fail("etc/shadow"));
    assert_eq!(
        subjects(&[right[0], right[2], ("etc/passwd", "unlabeled_t")], &files).unwrap(),
        fail("etc/passwd")
    );
    assert_eq!(subjects(&[], &files).unwrap()[0].0, Status::Skipped);
    let permissive = [("etc/selinux/config", "SELINUX=permissive\n"), files[1], files[2], files[3]];
    assert_eq!(subjects(&without, &permissive).unwrap()[0].0, Status::Skipped);
    let coming = [&files[..], &[(".autorelabel", "")]].concat();
    assert_eq!(subjects(&without, &coming).unwrap()[0].0, Status::Ok);
}

#[test]
fn a_label_is_copied_or_computed_or_the_next_boot_makes_it_and_undo_takes_it_back() {
    use crate::plan::journal::{Journal, Turn};
    use crate::plan::{Edits, Interrupt, undo};
    let files =
        [ENFORCING, ("etc/shadow", "root:*:1::::::\n"), ("etc/shadow-", ""), ("etc/hostname", "web01\n")];
    let policy = [(
        "etc/selinux/targeted/contexts/files/file_contexts",
        "/.* system_u:object_r:default_t:s0\n/etc/shadow.* -- system_u:object_r:shadow_t:s0\n",
    )];
    let none = [("etc", "etc_t"), ("etc/hostname", "hostname_t")];
    let beside = [none[0], none[1], ("etc/shadow-", "shadow_t")];
    for (labels, policy, copied, relabel) in
        [(&beside[..], &[][..], true, false), (&none, &policy, true, false), (&none, &[], false, true)]
    {
        let Some((dir, target)) = labelled(&[&files[..], policy].concat(), labels) else { return };
        let before = target.root.node("etc/shadow").unwrap();
        let journal = Journal::open(&target.root, Turn::Now).unwrap();
        let prepared = labels::fix(&target).unwrap().prepare(&target.root).unwrap();
        let record = prepared.apply(&target, &journal, &Interrupt::default()).unwrap().keep(None).unwrap();
        assert_eq!(labels::probe(&target).unwrap()[0].status, Status::Ok);
        let label = target.root.xattr_opt("etc/shadow", LABEL).unwrap();
        assert_eq!(label.is_some_and(|label| label == b"system_u:object_r:shadow_t:s0\0"), copied);
        assert_eq!(dir.path().join(".autorelabel").exists(), relabel);
        let back = undo(&target.root, &record, Edits::Refuse).unwrap();
        back.prepare(&target.root)
            .unwrap()
            .apply(&target, &journal, &Interrupt::default())
            .unwrap()
            .keep(None)
            .unwrap();
        assert_eq!(target.root.node("etc/shadow").unwrap(), before);
        assert!(!dir.path().join(".autorelabel").exists());
    }
}
