//! `doctor --bundle`: what is in the archive, and what never is.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use made::guest;

#[path = "guests/made.rs"]
mod made;

fn bundle(root: &Path, file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.args(["doctor", "--root"]).arg(root).arg("--bundle").arg(file).args(more).output().unwrap()
}

/// Returns the files of an archive, unpacked by another program than the one that packed it.
fn unpacked(file: &Path) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("tar").arg("xzf").arg(file).arg("-C").arg(dir.path()).status().unwrap().success());
    let entries = fs::read_dir(dir.path().join("novactl-bundle")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn no_planted_secret_is_in_the_finished_archive() {
    // every secret has this in it, so that none is overlooked
    const MARK: &str = "Hunter2";
    for name in
        ["centos-7-rm14157", "debian-12", "debian-12-without-route", "ubuntu-22.04-gateway6-null", "centos-6"]
    {
        let dir = guest(name);
        let append = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let is_link = fs::symlink_metadata(&path).is_ok_and(|file| file.is_symlink());
            let before = if is_link { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
            // a link of the guest leads out of its tree here
            let _ = fs::remove_file(&path);
            fs::write(path, before + text).unwrap();
        };
        append("etc/shadow", "root:$6$Hunter2salt$Hunter2hash:19000:0:99999:7:::\n");
        append("etc/passwd", "Hunter2user:Hunter2hash:1000:1000:Hunter2 Jane:/home/Hunter2user:/bin/sh\n");
        append("root/.ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nHunter2key\n");
        append("etc/hostname", "Hunter2-web\n");
        append("etc/sysconfig/rhn/up2date", "activationKey=Hunter2activation\n");
        append(
            "etc/network/interfaces",
            "\nauto eth7\niface eth7 inet static\n    address Hunter2\n    wpa-psk Hunter2psk\n",
        );
        append(
            "etc/netplan/99-wifi.yaml",
            "network: {version: 2, wifis: {w0: {access-points: {x: {password: Hunter2wifi}}}}}\n",
        );
        append("etc/sysconfig/network-scripts/ifcfg-eth0", "KEY_Hunter2=Hunter2wep\nDNS1=Hunter2\n");
        append("etc/resolv.conf", "nameserver Hunter2dns\n");
        append("etc/sysctl.d/99-x.conf", "net.ipv6.conf.all.disable_ipv6 = 1 # Hunter2\n");
        append("var/log/nova-agent.log", &log());
        let store = dir.path().join("dump.json");
        fs::write(&store, dump()).unwrap();
        let file = dir.path().join("bundle.tar.gz");
        let output = bundle(dir.path(), &file, &["--xenstore", store.to_str().unwrap(), "-vv"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        let files = unpacked(&file);
        let all: String = files.iter().map(|(name, text)| format!("{name}\n{text}\n")).collect();
        assert!(
            !all.contains(MARK),
            "{name}: {}",
            &all[all.find(MARK).unwrap().saturating_sub(300)..][..400]
        );
        for secret in ["PRIVATE KEY", "$6$", "SHVudGVyMg"] {
            assert!(!all.contains(secret), "{name}: {secret}");
        }
        // the label proves that the store was read and the archive looked into
        assert!(all.contains("\"label\": \"planted-label\""), "{name}: {all}");
        let preview = String::from_utf8(output.stderr).unwrap();
        assert!(files.iter().all(|(name, _)| preview.contains(name.as_str())), "{preview}");
    }
}

#[test]
fn every_field_is_one_of_the_allow_list() {
    let mut schemas = boon::Schemas::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/bundle.json");
    let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["centos-7-rm14157", "debian-12", "alpine-3.19", "freebsd-13", "ubuntu-14.04", "centos-6"] {
        let root = guest(name);
        let file = dir.path().join(name);
        assert!(matches!(bundle(root.path(), &file, &[]).status.code(), Some(0 | 1)), "{name}");
        let files = unpacked(&file).into_iter().filter(|(name, _)| name != "README.txt");
        let parsed = files.map(|(name, text)| (name, serde_json::from_str(&text).unwrap()));
        let document = serde_json::Value::Object(parsed.collect());
        if let Err(e) = schemas.validate(&document, schema) {
            panic!("{name}: {e:#}");
        }
    }
}

/// The log of an old agent, which wrote what it was handed.
fn log() -> String {
    let start = "2026-11-21 23:15:00,100 [INFO] Agent is starting up\n";
    let file =
        "2026-11-21 23:15:01,100 [INFO] Received event: {'name': 'injectfile', 'value': 'SHVudGVyMg=='}\n";
    let password = "2026-11-21 23:15:02,100 [ERROR] password Hunter2: failed to set, Traceback (most recent call last)\n";
    let error = "ValueError: Hunter2\n";
    format!("{start}{file}{password}{error}")
}

fn dump() -> String {
    let nic = r#"{"label":"planted-label","mac":"BC:76:4E:20:75:72","ips":[{"ip":"104.130.4.72","netmask":"255.255.255.0","enabled":"1"}],"gateway":"104.130.4.1","dns":["Hunter2"],"Hunter2":1}"#;
    serde_json::json!({
        "vm-data": {
            "networking": { "BC764E207572": nic, "BC764EHunter2": "Hunter2 is no JSON" },
            "user-metadata": { "token": "Hunter2", "Hunter2key": "x", "rackconnect_automation_status": "Hunter2" },
            "provider_data": { "provider": "Hunter2", "roles": "Hunter2" },
            "admin_pass": "Hunter2pass",
            "hostname": "Hunter2host",
        },
        "data": { "host": {
            "aaaa": "{\"name\":\"password\",\"value\":\"Hunter2\"}",
            "bbbb": "{\"name\":\"Hunter2\",\"value\":\"Hunter2\"",
        } },
    })
    .to_string()
}

#[test]
fn nothing_is_overwritten_unless_it_is_asked_for_and_nobody_else_can_read_it() {
    let (dir, root) = (tempfile::tempdir().unwrap(), guest("debian-12"));
    let file = dir.path().join("b.tar.gz");
    fs::write(&file, "precious").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = bundle(root.path(), &file, &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    assert!(stderr.ends_with("exists\nhint: name another file; --yes overwrites this one\n"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    assert_eq!(bundle(root.path(), &file, &["--yes"]).status.code(), Some(0));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let mut magic = [0; 2];
    fs::File::open(&file).unwrap().read_exact(&mut magic).unwrap();
    assert_eq!(magic, [0x1f, 0x8b]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    // a link is replaced, what it leads to stays
    let (other, link) = (dir.path().join("other"), dir.path().join("link.tar.gz"));
    fs::write(&other, "precious").unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    assert_eq!(bundle(root.path(), &link, &[]).status.code(), Some(3));
    assert_eq!(bundle(root.path(), &link, &["--yes"]).status.code(), Some(0));
    assert_eq!(fs::read(&other).unwrap(), b"precious");

    for (path, code) in [("/no/such/directory/b.tar.gz", 3), ("/", 3)] {
        assert_eq!(bundle(root.path(), Path::new(path), &["--yes"]).status.code(), Some(code), "{path}");
    }
}
