//! The real sshd reads the same files: `sshd -T` prints what it makes of them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::*;

/// The real one; a test without it says so.
const SSHD: &str = "/usr/sbin/sshd";

const ADDRESS: [u8; 4] = [192, 0, 2, 7];

/// Returns what the real sshd says of a configuration for root, or `None` where it refuses the file.
#[expect(clippy::disallowed_methods, reason = "runs the referee")]
fn theirs(dir: &Path) -> Option<String> {
    let output = Command::new(SSHD)
        .args(["-T", "-f"])
        .arg(dir.join("sshd_config"))
        .arg("-h")
        .arg(dir.join("key"))
        .args(["-C", "user=root,host=web.example.com,addr=192.0.2.7"])
        .output()
        .unwrap();
    let wanted = [
        "permitrootlogin",
        "passwordauthentication",
        "kbdinteractiveauthentication",
        "usepam",
        "authenticationmethods",
        "allowusers",
        "denyusers",
        "allowgroups",
        "denygroups",
    ];
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| wanted.contains(&line.split(' ').next().unwrap_or_default()));
    let mut lines: Vec<String> =
        lines.map(|line| line.replace("without-password", "prohibit-password")).collect();
    lines.sort();
    output.status.success().then(|| lines.join("\n"))
}

/// Returns the same of ours.
fn ours(dir: &Path) -> String {
    let tree = Root::open(Path::new("/")).unwrap();
    let defaults =
        Defaults { root_login: RootLogin::KeysOnly, password: true, pam: false, build: String::new() };
    let sshd = Sshd::read(&tree, dir.join("sshd_config").to_str(), Vec::new(), defaults).unwrap();
    let connection = Connection {
        user: "root".to_owned(),
        groups: vec!["root".to_owned()],
        host: Some("web.example.com".to_owned()),
        address: Some(ADDRESS.into()),
    };
    let policy = sshd.policy(&connection, &[]);
    let word = |flag: bool| if flag { "yes" } else { "no" };
    let methods =
        if policy.methods.value.is_empty() { "any".to_owned() } else { policy.methods.value.join(" ") };
    let mut lines = vec![
        format!("permitrootlogin {}", policy.root_login.value.word()),
        format!("passwordauthentication {}", word(policy.password.value)),
        format!("kbdinteractiveauthentication {}", word(policy.keyboard.value)),
        format!("usepam {}", word(policy.pam.value)),
        format!("authenticationmethods {methods}"),
    ];
    let view = View::of(&sshd, &connection, &[]);
    for keyword in ["allowusers", "denyusers", "allowgroups", "denygroups"] {
        let patterns = view.list(keyword).map(|(patterns, _)| patterns).unwrap_or_default();
        lines.extend(patterns.iter().map(|pattern| format!("{keyword} {pattern}")));
    }
    lines.sort();
    lines.join("\n")
}

/// Writes the files, with their directory in place of DIR.
fn written(dir: &Path, files: &[(&str, String)]) {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("DIR", dir.to_str().unwrap())).unwrap();
    }
}

/// Returns a directory with a host key, without which sshd says nothing; `None` where there is no sshd.
#[expect(clippy::disallowed_methods, reason = "makes the host key")]
#[expect(clippy::print_stdout, reason = "says what was skipped")]
fn workplace() -> Option<tempfile::TempDir> {
    // sshd asks for it also when it only prints; its service makes it
    let _ = std::fs::create_dir("/run/sshd");
    if !Path::new(SSHD).exists() || !Path::new("/run/sshd").exists() {
        println!("skipped: no {SSHD}, or no /run/sshd");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut make = Command::new("ssh-keygen");
    let made =
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join("key")).status().unwrap();
    assert!(made.success());
    Some(dir)
}

#[test]
fn a_table_of_configurations_is_read_as_sshd_reads_it() {
    let Some(dir) = workplace() else { return };
    let drop_ins = [
        ("d/50-redhat.conf", "PermitRootLogin yes\n".to_owned()),
        ("d/60-match.conf", "Match User root\nPasswordAuthentication no\n".to_owned()),
        ("d/70-after.conf", "KbdInteractiveAuthentication no\n".to_owned()),
        ("d/.hidden.conf", "PermitRootLogin no\n".to_owned()),
        ("d/x.off", "PermitRootLogin no\n".to_owned()),
    ];
    for text in [
        "",
        "Include DIR/d/*.conf\nPermitRootLogin no\n",
        "PermitRootLogin no\nInclude DIR/d/*.conf\n",
        "Include DIR/d/*.conf DIR/d/x.off\n",
        "Include DIR/nothing/*\n",
        "Match User root\nInclude DIR/d/*.conf\n",
        "Match User admin\nInclude DIR/d/*.conf\n",
        "Match User root\nInclude DIR/d/60-match.conf\nPermitRootLogin no\n",
        "PermitRootLogin no\nMatch all\nPermitRootLogin yes\n",
        "Match all\nPermitRootLogin yes\nMatch User root\nPermitRootLogin no\n",
        "Match User root Address 192.0.2.0/24\nPermitRootLogin yes\n",
        "Match Address *,!192.0.2.7\nPermitRootLogin yes\n",
        "Match Address 192.0.2.*\nPermitRootLogin yes\n",
        "Match Host *.example.com\nPermitRootLogin yes\n",
        "Match Host *.EXAMPLE.com\nPermitRootLogin yes\n",
        "Match Group root,!wheel\nPermitRootLogin yes\n",
        "Match Group *,!root\nPermitRootLogin yes\n",
        "AllowUsers a b\nAllowUsers c\nMatch User root\nAllowUsers root\nAllowUsers admin\n",
        "DenyGroups x\nAllowGroups y # z\n",
        "PermitRootLogin=yes\nPasswordAuthentication = no\nUsePAM \"yes\"\n",
        "permitrootlogin YES\nPERMITROOTLOGIN no\n",
        "ChallengeResponseAuthentication no\nKbdInteractiveAuthentication yes\n",
        "AuthenticationMethods publickey,password password\n",
        "\tPermitRootLogin without-password\n",
    ] {
        written(dir.path(), &drop_ins);
        written(dir.path(), &[("sshd_config", text.to_owned())]);
        let theirs = theirs(dir.path()).unwrap_or_else(|| panic!("sshd refuses {text:?}"));
        assert_eq!(ours(dir.path()), theirs, "{text:?}");
    }
}

#[test]
fn made_up_configurations_are_read_as_sshd_reads_them() {
    let Some(dir) = workplace() else { return };
    let mut state: u64 = 20;
    let mut pick = |count: usize| {
        // the generator of Numerical Recipes: the same configurations each time
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        usize::try_from(state >> 33).unwrap() % count
    };
    let lines = [
        "PermitRootLogin yes",
        "PermitRootLogin no",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "KbdInteractiveAuthentication yes",
        "AllowUsers root",
        "AllowUsers admin ops",
        "DenyUsers root@10.0.0.0/8",
        "AllowGroups wheel",
        "DenyGroups root",
        "AuthenticationMethods publickey,password",
        "Match User root",
        "Match User *,!root",
        "Match Address 192.0.2.0/24",
        "Match Address 10.0.0.0/8",
        "Match Group root",
        "Match Host web.*",
        "Match all",
        "Match User root Address 192.0.2.7",
        "Include DIR/d/*.conf",
        "# a comment",
        "",
    ];
    let mut read = 0;
    for _ in 0..150 {
        let mut text_of = |can_include: bool| {
            let mut text = String::new();
            for _ in 0..pick(9) {
                let line = lines[pick(lines.len())];
                if can_include || !line.starts_with("Include") {
                    writeln!(text, "{line}").unwrap();
                }
            }
            text
        };
        let files =
            [("d/1.conf", text_of(false)), ("d/2.conf", text_of(false)), ("sshd_config", text_of(true))];
        written(dir.path(), &files);
        let Some(theirs) = theirs(dir.path()) else { continue };
        read += 1;
        assert_eq!(ours(dir.path()), theirs, "{files:#?}");
    }
    assert!(read > 100, "sshd took {read} of them");
}
