//! A root that means harm: whatever stands where a file is expected, nothing outside is read, nothing hangs, nothing
//! crashes, nothing in it changes, and no escape sequence reaches the screen.
//!
//! Every tree is a guest of `tests/guests/` in which each file was replaced by something worse, so a file that is
//! newly read is covered as soon as a guest has it.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, makes trees, runs the program and says what was skipped"
)]

#[path = "guests/elf.rs"]
mod elf;
#[path = "guests/manifest.rs"]
#[expect(dead_code, reason = "here only the trees count, not what is expected of them")]
mod manifest;
#[path = "guests/snapshot.rs"]
mod snapshot;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::Value;
use tempfile::TempDir;

const GUESTS: [&str; 5] = ["almalinux-9", "alpine-3.19", "centos-6", "debian-12", "freebsd-13"];
const CANARY: &str = "CANARY-OF-THE-HOST";
/// Far above what any of this takes; only a hang is stopped by it.
const LIMIT: &str = "120";

/// A directory with the guest's tree under `root`.
fn guest(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    unpack(name, &dir.path().join("root"));
    dir
}

fn unpack(name: &str, root: &Path) {
    fs::create_dir(root).unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    manifest::Manifests::read(&guests).unwrap().guest(name).unwrap().unpack(root).unwrap();
}

/// Returns the regular files of a tree, relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => ahead.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path().strip_prefix(root).unwrap().to_owned()),
                _ => {}
            }
        }
    }
    files
}

/// Puts something in the place of every file of a tree.
fn replace(root: &Path, put: impl Fn(&Path, &Path)) {
    for file in files(root) {
        fs::remove_file(root.join(&file)).unwrap();
        put(&root.join(&file), &file);
    }
}

fn novactl(args: &[&OsStr]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", LIMIT]).args(args).env_remove("XENSTORED_PATH").env_remove("CLICOLOR_FORCE");
    command.output().unwrap()
}

/// Runs `doctor` in every format after the words of `before`, holds it to the promises above, and returns the
/// JSON report without what differs from run to run.
fn doctor_after(before: &[&str], program: &Path, root: &Path) -> Value {
    let then = snapshot::of(root).unwrap();
    let mut report = Value::Null;
    for options in [&["--format", "json"][..], &["-vvv"], &["--format", "nagios"]] {
        let mut args: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
        args.extend([program.as_os_str(), OsStr::new("doctor"), OsStr::new("--root"), root.as_os_str()]);
        args.extend(options.iter().map(OsStr::new));
        let output = novactl(&args);
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let told = format!("{}: {options:?}: {stderr}{stdout}", root.display());
        assert!(matches!(output.status.code(), Some(0..=3)), "{:?}, {told}", output.status);
        assert!(!told.contains(CANARY), "{told}");
        assert!(!told.contains("crashed") && !told.contains("no result within"), "{told}");
        for stream in [&stdout, &stderr] {
            assert!(!stream.contains(|c: char| c.is_control() && c != '\n'), "{told}");
        }
        if options.contains(&"json") {
            report = serde_json::from_str(&stdout).unwrap();
        }
    }
    assert_eq!(snapshot::changes(&then, &snapshot::of(root).unwrap()), [""; 0]);
    for finding in report["findings"].as_array_mut().unwrap() {
        finding["elapsed_us"] = Value::Null;
    }
    report
}

fn doctor(root: &Path) -> Value {
    doctor_after(&[], Path::new(env!("CARGO_BIN_EXE_novactl")), root)
}

/// Runs a program as a user who may read only what everybody may.
const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn links_to_the_host_lead_nowhere() {
    // the outside is a whole guest with the canary in every text, so a link that is followed would be believed
    for name in GUESTS {
        for absolute in [true, false] {
            let dir = guest(name);
            let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
            unpack(name, &outside);
            for file in files(&outside) {
                let mut text = fs::read(outside.join(&file)).unwrap();
                text.extend(format!("\n# {CANARY}\n{CANARY}={CANARY}\n").bytes());
                fs::write(outside.join(file), text).unwrap();
            }
            replace(&root, |path, file| {
                let up = "../".repeat(file.components().count());
                let to =
                    if absolute { outside.join(file) } else { Path::new(&up).join("outside").join(file) };
                symlink(to, path).unwrap();
                assert!(fs::read(path).unwrap().ends_with(format!("{CANARY}\n").as_bytes()));
            });
            let report = doctor(&root);
            fs::remove_dir_all(&outside).unwrap();
            assert_eq!(report, doctor(&root), "{name}: it matters what is outside");
        }
    }
}

#[test]
fn directories_that_are_links_to_the_host_are_empty() {
    for name in GUESTS {
        let dir = guest(name);
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::rename(&root, &outside).unwrap();
        fs::create_dir(&root).unwrap();
        for (number, entry) in fs::read_dir(&outside).unwrap().enumerate() {
            let name = entry.unwrap().file_name();
            let to = if number % 2 == 0 { outside.join(&name) } else { Path::new("../outside").join(&name) };
            symlink(to, root.join(name)).unwrap();
        }
        let report = doctor(&root);
        let os = (&report["target"]["os"]["id"], &report["target"]["agent"]["kind"]);
        assert_eq!(os, (&"unknown".into(), &"none".into()), "{name}");
        fs::remove_dir_all(&outside).unwrap();
        assert_eq!(report, doctor(&root), "{name}: it matters what is outside");
    }
}

#[test]
fn fifos_devices_sockets_and_directories_in_the_place_of_files() {
    for name in GUESTS {
        for kind in ["fifo", "zero", "socket", "directory"] {
            if kind == "zero" && !is_root() {
                println!("skipped: making a device needs root");
                continue;
            }
            let dir = guest(name);
            let root = dir.path().join("root");
            let mode = Mode::RUSR | Mode::WUSR;
            replace(&root, |path, _| match kind {
                "fifo" => mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap(),
                // /dev/zero never ends
                "zero" => mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, 5)).unwrap(),
                "socket" => mknodat(CWD, path, FileType::Socket, mode, 0).unwrap(),
                _ => fs::create_dir(path).unwrap(),
            });
            doctor(&root);
        }
    }
}

#[test]
fn files_of_ten_gigabytes() {
    for name in GUESTS {
        let dir = guest(name);
        let root = dir.path().join("root");
        for file in files(&root) {
            // the text stays at the beginning, the rest is a hole
            fs::OpenOptions::new().append(true).open(root.join(file)).unwrap().set_len(10 << 30).unwrap();
        }
        doctor(&root);
    }
}

#[test]
fn links_that_lead_to_themselves() {
    for name in GUESTS {
        let dir = guest(name);
        let root = dir.path().join("root");
        replace(&root, |path, file| symlink(Path::new("/").join(file), path).unwrap());
        doctor(&root);
    }
}

#[test]
fn long_chains_of_links() {
    for name in GUESTS {
        let dir = guest(name);
        let root = dir.path().join("root");
        fs::create_dir(root.join("chain")).unwrap();
        for (number, file) in files(&root).into_iter().enumerate() {
            let link = |n: usize| format!("/chain/{number}-{n}");
            fs::rename(root.join(&file), root.join(link(0).trim_start_matches('/'))).unwrap();
            for n in 1..30 {
                symlink(link(n - 1), root.join(link(n).trim_start_matches('/'))).unwrap();
            }
            symlink(link(29), root.join(file)).unwrap();
        }
        let report = doctor(&root);
        let id = name.split('-').next().unwrap();
        assert_eq!(report["target"]["os"]["id"], id, "thirty links are as good as none");
    }
}

#[test]
fn nul_bytes_invalid_utf8_and_escape_sequences_in_every_file() {
    let contents: [&[u8]; 5] = [
        b"\0\0\0\0",
        b"\xff\xfe\xc3\x28\xf0\x28\x8c\xbc",
        b"\x1b[2J\x1b]0;title\x07\x1b[31m\r\x08\x7f\xc2\x9b31m",
        b"ID=\x1b[31mred\nVERSION_ID=\"\x1b]0;x\x07\"\n[Unit]\nAfter=\x1b[2J.service\nExecStart=/usr/bin/\x1b[31m\n",
        b"#!\n=\n[\n]\n[[]]\n\"'\\\n: :\n- - -\n\t\n%\n${\n",
    ];
    for name in GUESTS {
        for content in contents {
            let dir = guest(name);
            let root = dir.path().join("root");
            replace(&root, |path, _| fs::write(path, content).unwrap());
            doctor(&root);

            // behind what was there, and cut off in the middle
            let dir = guest(name);
            let root = dir.path().join("root");
            for file in files(&root) {
                let mut text = fs::read(root.join(&file)).unwrap();
                text.truncate(text.len() * 2 / 3);
                text.extend(content);
                fs::write(root.join(file), text).unwrap();
            }
            doctor(&root);
        }
    }
}

#[test]
fn names_with_newlines_escape_sequences_and_invalid_utf8() {
    let stems: [&[u8]; 4] =
        [b"two\nlines", b"\x1b[31mred", b"\xff\xfe", b"S15\x1b]0;t\x07; rm -rf $(HOME) `id` '\""];
    let suffixes = ["", ".service", ".conf", ".list", ".repo", ".network", ".nmconnection", ".yaml"];
    let text = "deb http://mirror.rackspace.com/ospc/ x main\n[ospc]\nbaseurl=http://mirror.rackspace.com/ospc/\n\
        [Unit]\nAfter=xe-linux-distribution.service\nnet.ipv6.conf.all.disable_ipv6=1\ndev tun\n";
    for name in GUESTS {
        let dir = guest(name);
        let root = dir.path().join("root");
        let dirs: std::collections::BTreeSet<PathBuf> =
            files(&root).iter().map(|file| root.join(file).parent().unwrap().to_owned()).collect();
        for dir in dirs {
            for stem in stems {
                for suffix in suffixes {
                    let name = [stem, suffix.as_bytes()].concat();
                    fs::write(dir.join(OsStr::from_bytes(&name)), text).unwrap();
                }
                let link = [b"ifcfg-".as_slice(), stem].concat();
                symlink(OsStr::from_bytes(stem), dir.join(OsStr::from_bytes(&link))).unwrap();
            }
        }
        doctor(&root);
    }
}

#[test]
fn a_hundred_thousand_units() {
    let dir = guest("debian-12");
    let root = dir.path().join("root");
    let before = doctor(&root);
    let units = root.join("etc/systemd/system");
    for number in 0..100_000 {
        fs::write(units.join(format!("unit-{number}.service")), "").unwrap();
    }
    let links = root.join("etc/rc2.d");
    fs::create_dir_all(&links).unwrap();
    for number in 0..20_000 {
        symlink(format!("../init.d/x{number}"), links.join(format!("S99x{number}"))).unwrap();
    }
    assert_eq!(before, doctor(&root));
}

#[test]
fn ten_thousand_drop_ins_and_a_unit_of_ten_thousand_orders() {
    let dir = guest("debian-12");
    let root = dir.path().join("root");
    let drop_ins = root.join("etc/systemd/system/python3-nova-agent.service.d");
    fs::create_dir_all(&drop_ins).unwrap();
    for number in 0..10_000 {
        fs::write(drop_ins.join(format!("{number}.conf")), format!("[Unit]\nAfter=unit-{number}.service\n"))
            .unwrap();
    }
    let mut units = String::from("[Unit]\nBefore=");
    for number in 0..10_000 {
        units.push_str(&format!("unit-{number}.service "));
    }
    fs::write(root.join("etc/systemd/system/unit-0.service"), units).unwrap();
    doctor(&root);
}

#[test]
fn what_may_not_be_read_is_not_taken_for_absent() {
    if !is_root() {
        println!("skipped: becoming another user needs root");
        return;
    }
    for (name, closed) in
        [("debian-12", "usr"), ("debian-12", "etc"), ("centos-6", "usr"), ("alpine-3.19", "usr")]
    {
        let dir = guest(name);
        let (root, program) = (dir.path().join("root"), dir.path().join("novactl"));
        fs::copy(env!("CARGO_BIN_EXE_novactl"), &program).unwrap();
        for file in files(&root) {
            fs::set_permissions(root.join(file), fs::Permissions::from_mode(0o000)).unwrap();
        }
        doctor_after(&NOBODY, &program, &root);
        fs::set_permissions(root.join(closed), fs::Permissions::from_mode(0o700)).unwrap();
        let report = doctor_after(&NOBODY, &program, &root);
        for finding in report["findings"].as_array().unwrap() {
            let absent = matches!(finding["id"].as_str(), Some("agent-installed" | "xentools-installed"));
            if absent && closed == "usr" {
                assert_eq!(finding["status"], "skipped", "{name}: {finding}");
            }
        }
    }
}

#[test]
fn the_agents_log_is_judged_where_the_kernels_may_not_be_read() {
    if !is_root() {
        println!("skipped: becoming another user needs root");
        return;
    }
    let dir = guest("ubuntu-14.04");
    let (root, program) = (dir.path().join("root"), dir.path().join("novactl"));
    fs::copy(env!("CARGO_BIN_EXE_novactl"), &program).unwrap();
    fs::set_permissions(root.join("var/log/nova-agent.log"), fs::Permissions::from_mode(0o644)).unwrap();
    let kernels = root.join("var/log/kern.log");
    let judged = |mode| {
        fs::write(&kernels, "Nov 21 10:00:00 web01 kernel: [    0.0] Linux version 3.13.0\n").unwrap();
        fs::set_permissions(&kernels, fs::Permissions::from_mode(mode)).unwrap();
        let report = doctor_after(&NOBODY, &program, &root);
        report["findings"].as_array().unwrap().iter().find(|f| f["id"] == "agent-log").cloned().unwrap()
    };
    let readable = judged(0o644);
    assert_eq!(readable["status"], "ok", "{readable}");
    assert_eq!(judged(0o600), readable);
}

#[test]
fn the_hosts_proc_and_sys_bound_into_the_root_are_not_the_targets() {
    let bind = "mount --bind /proc \"$1/proc\" && mount --bind /sys \"$1/sys\" && mount --bind /dev \"$1/dev\" && \
        shift && exec \"$@\"";
    let unshare = ["unshare", "-m", "--propagation", "private", "sh", "-c", bind, "sh"];
    let possible = Command::new("unshare").args(["-m", "mount", "--bind", "/proc", "/proc"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("skipped: a mount namespace needs root");
        return;
    }
    for name in ["debian-12", "centos-6"] {
        let dir = guest(name);
        let root = dir.path().join("root");
        let without = doctor(&root);
        let mut before: Vec<&str> = unshare.to_vec();
        before.push(root.to_str().unwrap());
        let with = doctor_after(&before, Path::new(env!("CARGO_BIN_EXE_novactl")), &root);
        assert_eq!(without, with, "{name}");
    }
}
