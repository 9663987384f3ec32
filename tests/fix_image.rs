//! `fix-image` on every healthy guest and on a real Debian tree: broken, mended, mended again, taken back.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "makes trees, runs the program and says what was skipped"
)]

#[path = "guests/elf.rs"]
mod elf;
#[path = "guests/manifest.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod manifest;

use std::collections::BTreeMap;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use manifest::Manifests;
use serde_json::Value;

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests")
}

fn novactl(root: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
    command.env_remove("XENSTORED_PATH").args(args).arg("--root").arg(root).output().unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn fix(root: &Path, extra: &[&str]) -> Value {
    document(&novactl(root, &[&["fix-image", "--format", "json"], extra].concat()))
}

/// Every file and link below a root: mode, owner, time and content. Directories that stay behind empty do not count,
/// nor does the journal.
fn files(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let stat = path.symlink_metadata().unwrap();
        if stat.is_dir() {
            if path != root.join("var/lib/novactl") {
                ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            continue;
        }
        let content = if stat.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if stat.is_file() && stat.size() < 1 << 20 {
            let mut hash = std::hash::DefaultHasher::new();
            fs::read(&path).unwrap().hash(&mut hash);
            hash.finish().to_string()
        } else {
            stat.size().to_string()
        };
        let facts = format!("{:o} {} {} {} {content}", stat.mode(), stat.uid(), stat.gid(), stat.mtime());
        // a link has no time that undo could set
        let facts = if stat.is_symlink() { content } else { facts };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), facts);
    }
    found
}

fn differences(before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys());
    let mut other: Vec<PathBuf> =
        paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
    other.dedup();
    other
}

/// What an image must not carry on, planted in a tree.
fn plant(root: &Path) {
    for (path, text) in [
        ("etc/ssh/ssh_host_rsa_key", "PRIVATE KEY s3cret"),
        ("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa x"),
        ("var/lib/dhcp/dhclient.eth0.leases", "lease {}"),
        ("var/lib/NetworkManager/secret_key", "s3cret"),
        ("var/lib/systemd/random-seed", "s3cret"),
        ("root/.bash_history", "mysql -ps3cret"),
        ("root/.ssh/authorized_keys", "ssh-rsa kept"),
        ("var/log/syslog", "a line"),
        ("var/log/syslog.1.gz", "an old line"),
        ("var/lib/cloud/instances/i-1/user-data.txt", "x"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn every_guest_is_made_ready_once_and_taken_back_whole() {
    let all = Manifests::read(&guests_dir()).unwrap();
    let is_healthy = |name: &&str| guests_dir().join(format!("{name}.guest")).exists();
    let names: Vec<&str> = all.names("").filter(is_healthy).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        for mode in [&["--generalize"][..], &["--cloud-init"], &["--generalize", "--cloud-init"], &[]] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path();
            all.guest(name).unwrap().unpack(root).unwrap();
            plant(root);
            try_on(&format!("{name} {mode:?}"), root, mode);
        }
    }
}

fn try_on(name: &str, root: &Path, mode: &[&str]) {
    let before = files(root);
    let pending = fix(root, &[mode, &["--dry-run"]].concat());
    fits_its_schema(&pending);
    assert_eq!(differences(&before, &files(root)), Vec::<PathBuf>::new(), "{name}: dry run");
    assert!(!pending.to_string().contains("s3cret"), "{name}: a secret is shown");
    let made = fix(root, &[mode, &["--yes"]].concat());
    assert!(["applied", "nothing-to-do"].contains(&made["result"].as_str().unwrap()), "{name}: {made:#}");
    let again = fix(root, &[mode, &["--dry-run"]].concat());
    assert_eq!(again["result"], "nothing-to-do", "{name}: a second time: {}", again["plan"]);
    if mode.contains(&"--generalize") {
        assert_eq!(fs::read(root.join("root/.ssh/authorized_keys")).unwrap(), b"ssh-rsa kept", "{name}");
        assert_eq!(fs::read(root.join("var/log/syslog")).unwrap(), b"", "{name}");
        assert!(!root.join("var/log/syslog.1.gz").exists(), "{name}");
    }
    if made["result"] == "applied" {
        let undone = document(&novactl(root, &["undo", "--yes", "--format", "json"]));
        assert_eq!(undone["result"], "applied", "{name}: {undone:#}");
    }
    assert_eq!(differences(&before, &files(root)), Vec::<PathBuf>::new(), "{name}: undo");
}

fn fits_its_schema(document: &Value) {
    let mut schemas = boon::Schemas::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/change.json");
    let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
    if let Err(e) = schemas.validate(document, schema) {
        panic!("{e:#}");
    }
}

#[test]
fn what_is_not_kept_is_said_before_and_gone_after() {
    let all = Manifests::read(&guests_dir()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    all.guest("debian-12").unwrap().unpack(root).unwrap();
    fs::create_dir_all(root.join("var/cache/apt/archives")).unwrap();
    fs::write(root.join("var/cache/apt/archives/x.deb"), "deb").unwrap();
    fs::write(root.join("var/log/big.log"), vec![b'x'; 2 << 20]).unwrap();
    let pending = fix(root, &["--generalize", "--dry-run", "--only", "logs,package-caches"]);
    let said: Vec<String> = pending["plan"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["diff"].as_str().unwrap().contains("not kept in the journal"))
        .map(|file| {
            format!(
                "{} {} {}",
                file["action"].as_str().unwrap(),
                file["path"].as_str().unwrap(),
                file["diff"]
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "write /var/log/big.log \"(2097152 bytes, not kept in the journal)\\n\"",
            "remove /var/cache/apt/archives/x.deb \"(3 bytes, not kept in the journal)\\n\""
        ]
    );
    fix(root, &["--generalize", "--yes", "--only", "logs,package-caches"]);
    assert_eq!(fs::read(root.join("var/log/big.log")).unwrap(), b"");
    assert!(!root.join("var/cache/apt/archives/x.deb").exists());
    let undone = document(&novactl(root, &["undo", "--yes", "--format", "json"]));
    assert!(undone["findings"].to_string().contains("2 files"), "{undone:#}");
}

#[test]
fn a_broken_image_is_mended_and_the_same_checks_are_clean() {
    let all = Manifests::read(&guests_dir()).unwrap();
    for (name, id) in [
        ("debian-12-cloud-init-writes-the-network", "cloud-init-network"),
        ("debian-12-cloud-init-network-switched-on-by-a-later-file", "cloud-init-network"),
        ("debian-12-none-before-config-drive", "cloud-init-datasource"),
        ("debian-12-sources-of-another-cloud", "cloud-init-datasource"),
        ("debian-12", "golden-image"),
        ("centos-7", "golden-image"),
        ("centos-6", "golden-image"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        all.guest(name).unwrap().unpack(root).unwrap();
        fs::write(root.join("etc/sysctl.conf"), "").unwrap();
        fs::create_dir_all(root.join("usr/lib/sysctl.d")).unwrap();
        let before = files(root);
        let made = fix(root, &["--yes", "--only", id]);
        assert_eq!(
            (&made["result"], &made["verified"][0]["status"]),
            (&"applied".into(), &"ok".into()),
            "{name}: {made:#}"
        );
        assert_eq!(fix(root, &["--dry-run", "--only", id])["result"], "nothing-to-do", "{name}");
        novactl(root, &["undo", "--yes"]);
        assert_eq!(differences(&before, &files(root)), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn a_real_debian_tree_is_made_ready_and_taken_back() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/debian-tree.sh");
    if Command::new("mmdebstrap").arg("--version").output().is_err() {
        println!("skipped: no mmdebstrap");
        return;
    }
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let dir = tempfile::tempdir_in(tree.parent().unwrap()).unwrap();
    let root = dir.path().join("root");
    assert!(Command::new("cp").arg("-a").arg(&tree).arg(&root).status().unwrap().success());
    plant(&root);
    try_on("a real Debian 12", &root, &["--generalize"]);
    try_on("a real Debian 12", &root, &["--cloud-init"]);
}

#[test]
fn an_agent_that_is_switched_on_by_the_same_change_counts() {
    let all = Manifests::read(&guests_dir()).unwrap();
    for name in ["centos-7-agent-never-enabled", "debian-12-agent-masked", "alpine-agent-not-in-a-runlevel"] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        all.guest(name).unwrap().unpack(root).unwrap();
        // cloud-init as its package has it: what it is told counts beside an agent alone
        drop(fs::remove_file(root.join("etc/cloud/cloud.cfg.d/10_rackspace.cfg")));
        let before = files(root);
        let made = fix(root, &["--generalize", "--yes"]);
        assert_eq!(made["result"], "applied", "{name}: {made:#}");
        assert!(!made["left"].to_string().contains("network:"), "{name}: {:#}", made["left"]);
        assert_eq!(fix(root, &["--generalize", "--dry-run"])["result"], "nothing-to-do", "{name}");
        novactl(root, &["undo", "--yes"]);
        assert_eq!(differences(&before, &files(root)), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn what_nobody_would_write_anew_stays() {
    let systemd = ("usr/lib/systemd/systemd", "");
    let disabled = ("etc/cloud/cloud-init.disabled", "");
    let unit =
        ("usr/lib/systemd/system/cloud-init-local.service", "[Service]\nExecStart=/usr/bin/cloud-init\n");
    let modules = ("etc/cloud/cloud.cfg", "cloud_init_modules: [ssh]\n");
    // nothing starts it
    let off = [systemd, ("usr/bin/cloud-init", ""), unit, modules, disabled];
    let wants = ("usr/lib/systemd/system/default.target", "[Unit]\nWants=cloud-init-local.service\n");
    let ready = [&off[..], &[wants]].concat();
    let only = ["--cloud-init", "--only", "network,host-keys,history"];
    for (files, words, stays) in [
        (&[systemd][..], &["--cloud-init"][..], true),
        (&off, &["--cloud-init"], true),
        (&ready, &only, true),
        (&[], &["--install-agent"], true),
        (&ready, &["--cloud-init"], false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let interfaces = "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n";
        let own = [
            ("etc/os-release", "ID=debian\nVERSION_ID=12\n"),
            ("etc/network/interfaces", interfaces),
            ("etc/ssh/ssh_host_rsa_key", "k"),
            ("root/.bash_history", "x"),
        ];
        for (path, text) in own.iter().chain(files) {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let made = fix(dir.path(), &[&["--generalize", "--yes"], words].concat());
        let left = fs::read_to_string(dir.path().join("etc/network/interfaces")).unwrap();
        let has_key = dir.path().join("etc/ssh/ssh_host_rsa_key").exists();
        assert_eq!(
            (made["result"].as_str(), left == interfaces, has_key),
            (Some("applied"), stays, stays),
            "{words:?}: {made:#}"
        );
    }
}

#[test]
fn properties_are_judged_from_a_file_and_from_the_standard_input() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    let file = dir.path().join("image.json");
    fs::write(&file, r#"{"id": "a-b", "properties": {"xenapi_use_agent": "True"}}"#).unwrap();
    let arguments = ["fix-image", "--dry-run", "--only", "image-metadata", "--format", "json", "--metadata"];
    let of_file = document(&novactl(&root, &[&arguments[..], &[file.to_str().unwrap()]].concat()));
    let text = of_file["findings"].to_string();
    assert!(text.contains("\"--property\",\"xenapi_use_agent=False\",\"a-b\""), "{text}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(arguments)
        .args(["-", "--root"])
        .arg(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&file).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), document(&output)["findings"].to_string()), (Some(1), text));
}

#[test]
fn wrong_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    for (args, code) in [
        (&["fix-image", "--only", "machine-idd"][..], 2),
        (&["fix-image", "--only", "logs"], 2),
        (&["fix-image", "--metadata", "/no/such/file"], 3),
        (&["fix-image", "--list-steps"], 0),
    ] {
        assert_eq!(novactl(dir.path(), args).status.code(), Some(code), "{args:?}");
    }
}
