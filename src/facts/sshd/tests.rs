use proptest::prelude::*;

use super::lines::{options, words};
use super::*;
use crate::net::survey::tests::tree_of;

fn root() -> Connection {
    Connection { user: "root".to_owned(), groups: vec!["root".to_owned()], ..Connection::default() }
}

fn sshd(files: &[(&str, &str)]) -> Sshd {
    let (_dir, root) = tree_of(files);
    let os = Os::of(&root);
    Sshd::of(&root, &os).unwrap().unwrap()
}

#[test]
fn a_line_is_a_keyword_and_values() {
    let owned = |keyword: &str, values: &[&str]| {
        Some((keyword.to_owned(), values.iter().map(ToString::to_string).collect::<Vec<_>>()))
    };
    for (line, want) in [
        ("PermitRootLogin yes", owned("permitrootlogin", &["yes"])),
        ("\tPermitRootLogin=yes", owned("permitrootlogin", &["yes"])),
        ("PermitRootLogin = \"no\"", owned("permitrootlogin", &["no"])),
        ("AllowUsers a 'b c' # d", owned("allowusers", &["a", "b c"])),
        ("# PermitRootLogin yes", None),
        ("   ", None),
    ] {
        assert_eq!(words(line), want, "{line}");
    }
}

#[test]
fn the_first_value_wins_and_includes_stand_where_they_stand() {
    let main = "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin no\n";
    let late = "PermitRootLogin no\nInclude sshd_config.d/*.conf\n";
    let drop_in = ("etc/ssh/sshd_config.d/50-cloud-init.conf", "PermitRootLogin yes\n");
    let later = ("etc/ssh/sshd_config.d/60-x.conf", "PermitRootLogin forced-commands-only\n");
    let unread = ("etc/ssh/sshd_config.d/10-x.off", "PermitRootLogin prohibit-password\n");
    for (text, want, source) in [
        (main, RootLogin::Yes, "etc/ssh/sshd_config.d/50-cloud-init.conf:1"),
        (late, RootLogin::No, "etc/ssh/sshd_config:1"),
    ] {
        let sshd = sshd(&[("etc/ssh/sshd_config", text), later, drop_in, unread]);
        let policy = sshd.policy(&root(), &[]);
        assert_eq!(policy.root_login, Setting { value: want, source: Some(source.to_owned()) }, "{text}");
    }
}

#[test]
fn a_match_block_wins_where_it_holds() {
    let text = "PermitRootLogin no\nMatch User root\nPermitRootLogin yes\nMatch Address 10.0.0.0/8\nPasswordAuthentication no\n";
    let sshd = sshd(&[("etc/ssh/sshd_config", text)]);
    assert!(sshd.policy(&root(), &[]).root_by_password());
    assert_eq!(sshd.undecided(&root()), [(1, "Match Address 10.0.0.0/8".to_owned())]);
    assert!(!sshd.policy(&root(), &[1]).password.value);
}

#[test]
fn options_of_the_command_line_come_first() {
    let found = options("# -oPermitRootLogin=no\nOPTIONS=\"-u0 -o PermitRootLogin=yes -oCiphers=a\"\n", "p");
    assert_eq!(
        found.iter().map(|line| (line.number, line.values.clone())).collect::<Vec<_>>(),
        [(2, vec!["yes".to_owned()])]
    );
}

#[test]
fn lists_of_methods_are_passed_whole() {
    for (text, want) in [
        ("AuthenticationMethods any\n", true),
        ("AuthenticationMethods publickey,password\n", false),
        ("AuthenticationMethods publickey,password password\n", true),
        ("PasswordAuthentication no\n", true),
        ("PasswordAuthentication no\nKbdInteractiveAuthentication no\n", false),
        ("PasswordAuthentication no\nChallengeResponseAuthentication no\n", false),
        ("PasswordAuthentication no\nUsePAM no\n", false),
        ("AuthenticationMethods keyboard-interactive:pam\n", true),
    ] {
        let sshd = sshd(&[("etc/ssh/sshd_config", &format!("{text}UsePAM yes\n"))]);
        assert_eq!(sshd.policy(&root(), &[]).takes_passwords(), want, "{text}");
    }
}

#[test]
fn lists_of_users_and_groups_refuse() {
    for (text, want) in [
        ("AllowUsers admin\n", Some("AllowUsers")),
        ("AllowUsers admin\nAllowUsers ro*\n", None),
        ("DenyUsers root\n", Some("DenyUsers")),
        ("AllowUsers root@10.0.0.0/8\n", Some("AllowUsers")),
        ("DenyUsers root@10.0.0.0/8\n", None),
        ("AllowGroups ssh wheel\n", Some("AllowGroups")),
        ("DenyGroups root\n", Some("DenyGroups")),
        ("AllowUsers admin\nMatch all\nAllowUsers root\n", None),
    ] {
        let policy = sshd(&[("etc/ssh/sshd_config", text)]).policy(&root(), &[]);
        assert_eq!(policy.refusal.map(|refusal| refusal.keyword), want, "{text}");
    }
}

#[test]
fn a_file_that_includes_itself_is_an_error() {
    let (_dir, tree) = tree_of(&[("etc/ssh/sshd_config", "Include sshd_config\n")]);
    let error = Sshd::of(&tree, &Os::of(&tree)).unwrap_err();
    assert_eq!(error.to_string(), "reading etc/ssh/sshd_config: too many files are included");
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(?s)((Match|Include|AllowUsers|PermitRootLogin|UsePAM)[ =]?[ -~]{0,20}\n|.{0,30}\n){0,12}") {
        let (_dir, tree) = tree_of(&[("etc/ssh/sshd_config", &text)]);
        if let Ok(Some(sshd)) = Sshd::of(&tree, &Os::of(&tree)) {
            sshd.policy(&root(), &[]);
        }
    }
}

mod referee;
