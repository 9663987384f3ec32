//! `fix-image`, `set-password`, `agent install` and `undo` with `--disk`: each image is broken, mended, mended again and
//! taken back whole, looked at through mounts of the test's own; and what happens to it when that is cut short.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

#[path = "guests/elf.rs"]
mod elf;
mod lab;
#[path = "guests/manifest.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod manifest;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

/// A directory with the tree of a Debian 12 that has an agent and what must not be cloned, and images of it.
struct Lab(tempfile::TempDir);

impl Lab {
    /// Makes it, or says why that cannot be done here.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            return lab::skipped("mounting an image takes root and loop devices");
        }
        for program in ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "parted", "qemu-img", "pvcreate"] {
            if !["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(program).exists()) {
                return lab::skipped(&format!("{program} is not installed"));
            }
        }
        let lab = Self(tempfile::tempdir().unwrap());
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
        let all = manifest::Manifests::read(&guests).unwrap();
        fs::create_dir(lab.path("tree")).unwrap();
        all.guest("debian-12").unwrap().unpack(&lab.path("tree")).unwrap();
        lab.write("etc/shadow", "root:!:19000:0:99999:7:::\n");
        lab.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        lab.write("etc/fstab", "LABEL=root / ext4\n");
        lab.write("root/.bash_history", "typed\n");
        lab.write("var/log/syslog", "a line\n");
        fs::create_dir_all(lab.path("tree/boot")).unwrap();
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path("tree").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, program: &str, words: &[&str]) -> Output {
        let output = Command::new(program).args(words).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {}", said(&output));
        output
    }

    fn images(&self, words: &[&str]) {
        self.program(lab::scripts().join("disk-images.sh").to_str().unwrap(), words);
    }

    /// Makes a file system of a directory.
    fn volume(&self, name: &str, kind: &str, tree: &str) {
        let size = if kind == "ext4" { "64M" } else { "400M" };
        let label = name.trim_end_matches(".img");
        self.images(&["volume", name, size, kind, tree, label]);
        self.wait_for_loops();
    }

    /// Makes a disk with the root, /boot and /var on partitions of their own.
    fn partitioned(&self, image: &str, table: &str) {
        self.write("etc/fstab", "LABEL=root / ext4\nLABEL=boot /boot ext4\nLABEL=var /var ext4\n");
        fs::rename(self.path("tree/var"), self.path("var-tree")).unwrap();
        fs::create_dir(self.path("tree/var")).unwrap();
        fs::create_dir(self.path("boot-tree")).unwrap();
        fs::write(self.path("boot-tree/vmlinuz"), "x").unwrap();
        for (name, tree) in [("boot.img", "boot-tree"), ("root.img", "tree"), ("var.img", "var-tree")] {
            self.volume(name, "ext4", tree);
        }
        self.images(&[
            "parted", image, "220M", "mklabel", table, "mkpart", "primary", "1MiB", "65MiB", "mkpart",
            "primary", "70MiB", "134MiB", "mkpart", "primary", "140MiB", "204MiB",
        ]);
        for (volume, mib) in [("boot.img", "1"), ("root.img", "70"), ("var.img", "140")] {
            self.images(&["put", image, mib, volume]);
        }
        fs::remove_dir(self.path("tree/var")).unwrap();
        fs::rename(self.path("var-tree"), self.path("tree/var")).unwrap();
        fs::remove_dir_all(self.path("boot-tree")).unwrap();
    }

    fn command(&self, program: &Path, args: &[&str], image: &str) -> Command {
        let mut command = Command::new(program);
        command.args(args).args(["--disk", image]).current_dir(self.0.path()).env_remove("XENSTORED_PATH");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str], image: &str) -> Output {
        self.command(Path::new(env!("CARGO_BIN_EXE_novactl")), args, image).output().unwrap()
    }

    fn fix(&self, args: &[&str], image: &str) -> Value {
        document(&self.run(&[&["fix-image", "--format", "json"], args].concat(), image))
    }

    /// Every file of the file systems at these places: mode, owner and content; not the journal of changes.
    fn files(&self, image: &str, places: &[u32]) -> BTreeMap<String, String> {
        let raw = if [".qcow2", ".vhd", ".vhdx", ".vmdk"].iter().any(|end| image.ends_with(end)) {
            self.program("qemu-img", &["convert", "-O", "raw", image, "looked-at.raw"]);
            "looked-at.raw"
        } else {
            image
        };
        let mut found = BTreeMap::new();
        fs::create_dir_all(self.path("mnt")).unwrap();
        for mib in places {
            self.images(&["mount", raw, &mib.to_string(), "mnt", "ro"]);
            list(&self.path("mnt"), &self.path("mnt"), &format!("{mib}:"), &mut found);
            self.unmount();
        }
        found
    }

    /// No loop device has a file of this lab, nobody sees a mount, no file is beside the images.
    fn assert_nothing_is_left(&self) {
        self.wait_for_loops();
        let own = self.0.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("/run/novactl") && !mounts.contains(own), "{mounts}");
        let names = fs::read_dir(own).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with('.')).collect::<Vec<_>>(), Vec::<String>::new());
    }

    /// Waits until the kernel has detached what was mounted: a mount of a program that ran meanwhile, or was killed,
    /// holds it for a moment longer.
    /// A program that another test is about to start holds, for a moment, what this one has open.
    fn unmount(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !Command::new("umount").arg(self.path("mnt")).output().unwrap().status.success() {
            assert!(std::time::Instant::now() < deadline, "mnt stays busy");
            std::thread::yield_now();
        }
        self.wait_for_loops();
    }

    fn wait_for_loops(&self) {
        let own = self.0.path().to_str().unwrap();
        let is_own = |disk: &PathBuf| {
            fs::read_to_string(disk.join("loop/backing_file")).unwrap_or_default().starts_with(own)
        };
        let disks = || fs::read_dir("/sys/block").unwrap().map(|disk| disk.unwrap().path());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while disks().any(|disk| is_own(&disk)) {
            assert!(std::time::Instant::now() < deadline, "a loop device is left");
            std::thread::yield_now();
        }
    }

    fn check(&self, image: &str) {
        self.program("/usr/sbin/e2fsck", &["-fn", image]);
    }
}

fn list(top: &Path, dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(top).unwrap().display().to_string();
        let stat = path.symlink_metadata().unwrap();
        let content = if stat.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if stat.is_dir() {
            if !name.ends_with("lib/novactl") && name != "lost+found" {
                list(top, &path, prefix, found);
            }
            continue;
        } else {
            format!("{:?}", fs::read(&path).unwrap())
        };
        let facts = format!("{:o} {} {} {content}", stat.mode(), stat.uid(), stat.gid());
        found.insert(format!("{prefix}{name}"), facts);
    }
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let names = before.keys().chain(after.keys());
    let other: std::collections::BTreeSet<&String> =
        names.filter(|name| before.get(*name) != after.get(*name)).collect();
    other.into_iter().cloned().collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(output)))
}

/// Mends an image in every way and takes all of it back.
fn mended_and_taken_back(lab: &Lab, image: &str, places: &[u32]) {
    let before = lab.files(image, places);
    let made = lab.fix(&["--generalize", "--yes"], image);
    assert_eq!(made["result"], "applied", "{image}: {made:#}");
    for verified in made["verified"].as_array().unwrap() {
        assert_ne!(verified["status"], "fail", "{image}: {made:#}");
    }
    let mended = lab.files(image, places);
    let of = |name: &str| {
        let found = mended.iter().find(|(path, _)| path.split_once(':').unwrap().1.ends_with(name));
        found.map(|(_, facts)| facts.rsplit(' ').next().unwrap().to_owned())
    };
    assert_eq!(of("etc/machine-id").as_deref(), Some("[]"), "{image}");
    assert_eq!(of("etc/hostname").as_deref(), Some("[]"), "{image}");
    assert_eq!(of("root/.bash_history"), None, "{image}");
    assert_eq!(of("log/syslog").as_deref(), Some("[]"), "{image}");
    let again = lab.fix(&["--generalize", "--dry-run"], image);
    assert_eq!(again["result"], "nothing-to-do", "{image}: {}", again["plan"]);

    let words = ["set-password", "--stdin", "--yes", "--unlock", "--format", "json"];
    let mut command = lab.command(Path::new(env!("CARGO_BIN_EXE_novactl")), &words, image);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a new Passw0rd\n").unwrap();
    let set = document(&child.wait_with_output().unwrap());
    assert_eq!(set["result"], "applied", "{image}: {set:#}");
    let changed = differences(&mended, &lab.files(image, places));
    let is_shadow = |name: &String| name.ends_with("etc/shadow");
    assert!(changed.len() == 1 && changed.iter().all(is_shadow), "{image}: {changed:?}");

    for _ in 0..2 {
        let undone = document(&lab.run(&["undo", "--yes", "--format", "json"], image));
        assert_eq!(undone["result"], "applied", "{image}: {undone:#}");
    }
    assert_eq!(differences(&before, &lab.files(image, places)), Vec::<String>::new(), "{image}");
    lab.assert_nothing_is_left();
}

#[test]
fn every_file_system_and_a_logical_volume_is_mended_and_taken_back() {
    let Some(lab) = Lab::new() else { return };
    for kind in ["ext4", "xfs", "btrfs"] {
        lab.volume("root.img", kind, "tree");
        mended_and_taken_back(&lab, "root.img", &[0]);
    }
    lab.volume("root.img", "ext4", "tree");
    lab.images(&["lvm", "lvm.img", "root.img"]);
    mended_and_taken_back(&lab, "lvm.img", &[1]);
}

#[test]
fn a_disk_with_its_own_boot_and_var_is_mended_and_taken_back_in_every_format() {
    let Some(lab) = Lab::new() else { return };
    let places = [1, 70, 140];
    for (table, format, image) in [
        ("msdos", "raw", "mbr.img"),
        ("gpt", "qcow2", "gpt.qcow2"),
        ("gpt", "vpc", "gpt.vhd"),
        ("gpt", "vhdx", "gpt.vhdx"),
        ("msdos", "vmdk", "mbr.vmdk"),
    ] {
        lab.partitioned("disk.img", table);
        lab.program("qemu-img", &["convert", "-O", format, "disk.img", image]);
        mended_and_taken_back(&lab, image, &places);
    }
    // what was taken out goes for good, by the command that is named
    let made = lab.fix(&["--generalize", "--yes"], "gpt.qcow2");
    let named = made["findings"].as_array().unwrap().iter().find(|finding| finding["subject"] == "journal");
    let named = &named.unwrap_or_else(|| panic!("{made:#}"))["remedy"]["commands"][0];
    assert_eq!(*named, serde_json::json!(["novactl", "undo", "--forget", "--disk", "gpt.qcow2"]));
    let forgotten = lab.run(&["undo", "--forget", "--yes"], "gpt.qcow2");
    assert_eq!(forgotten.status.code(), Some(0), "{}", said(&forgotten));
    let listing = document(&lab.run(&["undo", "--list", "--format", "json"], "gpt.qcow2"));
    assert_eq!(listing["changes"], Value::Array(Vec::new()));
    lab.assert_nothing_is_left();
}

#[test]
fn the_agent_is_replaced_by_this_program_on_a_disk() {
    let Some(lab) = Lab::new() else { return };
    let program = lab::static_novactl();
    for words in [&["agent", "install", "--yes"][..], &["fix-image", "--install-agent", "--yes"]] {
        lab.volume("root.img", "ext4", "tree");
        let before = lab.files("root.img", &[0]);
        let json = ["--format", "json"];
        let run = |words: &[&str]| {
            document(&lab.command(&program, &[words, &json].concat(), "root.img").output().unwrap())
        };
        let made = run(words);
        assert_eq!(made["result"], "applied", "{words:?}: {made:#}");
        let after = lab.files("root.img", &[0]);
        let wanted = "0:etc/systemd/system/multi-user.target.wants/novactl-agent.service";
        assert!(after.contains_key("0:usr/sbin/novactl") && after.contains_key(wanted), "{words:?}");
        let old = |name: &&String| name.contains(".wants/") && name.contains("nova-agent");
        assert_eq!(after.keys().find(old), None, "{words:?}");
        let doctor = run(&["doctor"]);
        assert_eq!(doctor["target"]["agent"]["kind"], "novactl", "{words:?}: {doctor:#}");
        let dry: Vec<&str> =
            words.iter().map(|word| if *word == "--yes" { "--dry-run" } else { word }).collect();
        let again = run(&dry);
        assert_eq!(again["result"], "nothing-to-do", "{words:?}: {}", again["plan"]);
        assert_eq!(run(&["undo", "--yes"])["result"], "applied", "{words:?}");
        assert_eq!(differences(&before, &lab.files("root.img", &[0])), Vec::<String>::new(), "{words:?}");
        lab.assert_nothing_is_left();
    }
}

#[test]
fn an_image_for_cloud_init_gets_the_agent_and_has_it_at_a_second_run() {
    let Some(lab) = Lab::new() else { return };
    let program = lab::static_novactl();
    lab.write("etc/resolv.conf", "nameserver 192.0.2.53\n");
    lab.volume("root.img", "ext4", "tree");
    let before = lab.files("root.img", &[0]);
    let run = |words: &[&str]| {
        let json = ["--format", "json"];
        document(&lab.command(&program, &[words, &json].concat(), "root.img").output().unwrap())
    };
    let given = run(&["fix-image", "--cloud-init", "--yes"]);
    assert_eq!(given["result"], "applied", "{given:#}");
    let words = ["fix-image", "--install-agent", "--generalize"];
    let made = run(&[&words[..], &["--yes"]].concat());
    assert_eq!(made["result"], "applied", "{made:#}");
    let after = lab.files("root.img", &[0]);
    for emptied in ["0:etc/machine-id", "0:etc/hostname", "0:etc/resolv.conf"] {
        assert!(after[emptied].ends_with(" []"), "{emptied}: {}", after[emptied]);
    }
    let interfaces = &after["0:etc/network/interfaces"];
    assert_ne!(*interfaces, before["0:etc/network/interfaces"], "the NICs' configuration stays");
    let again = run(&[&words[..], &["--dry-run"]].concat());
    assert_eq!(again["result"], "nothing-to-do", "{}", again["plan"]);
    for _ in 0..2 {
        assert_eq!(run(&["undo", "--yes"])["result"], "applied");
    }
    assert_eq!(differences(&before, &lab.files("root.img", &[0])), Vec::<String>::new());
    lab.assert_nothing_is_left();
}

#[test]
fn what_needs_a_check_is_named_and_holds_every_fix_back() {
    let Some(lab) = Lab::new() else { return };
    for kind in ["ext4", "xfs"] {
        lab.volume("root.img", kind, "tree");
        lab.images(&["dirty", "root.img"]);
        lab.wait_for_loops();
        let before = lab.program("sha256sum", &["root.img"]).stdout;
        for words in [&["fix-image", "--generalize", "--yes"][..], &["doctor", "--fix", "--yes"]] {
            let report = document(&lab.run(&[words, &["--format", "json"]].concat(), "root.img"));
            let found =
                report["findings"].as_array().unwrap().iter().find(|f| f["id"] == "file-system-clean");
            let found = found.unwrap_or_else(|| panic!("{report:#}"));
            assert_eq!(
                (&found["status"], &found["subject"]),
                (&"fail".into(), &"whole disk".into()),
                "{kind}"
            );
            assert_ne!(found["remedy"]["commands"], Value::Array(Vec::new()), "{kind}");
            assert_eq!(
                (&report["result"], &report["plan"]["files"]),
                (&"nothing-to-do".into(), &Value::Array(Vec::new()))
            );
        }
        assert_eq!(lab.program("sha256sum", &["root.img"]).stdout, before, "{kind}");
    }
    lab.assert_nothing_is_left();
}

#[test]
fn a_vhd_of_another_program_is_named_with_the_commands() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("root.img", "ext4", "tree");
    for (subformat, subjects) in [("dynamic", &["creator"][..]), ("fixed", &["creator", "type"])] {
        let options = format!("subformat={subformat}");
        lab.program("qemu-img", &["convert", "-O", "vpc", "-o", &options, "root.img", "a.vhd"]);
        for words in [&["doctor"][..], &["fix-image", "--dry-run"]] {
            let report = document(&lab.run(&[words, &["--format", "json"]].concat(), "a.vhd"));
            let findings =
                report["findings"].as_array().unwrap().iter().filter(|f| f["id"] == "image-format");
            let found: Vec<(&str, &str)> = findings
                .map(|f| (f["subject"].as_str().unwrap(), f["remedy"]["commands"][1][0].as_str().unwrap()))
                .collect();
            let wanted: Vec<(&str, &str)> = subjects.iter().map(|subject| (*subject, "vhd-util")).collect();
            assert_eq!(found, wanted, "{subformat} {words:?}");
        }
    }
}

#[test]
fn a_killed_fix_image_leaves_a_whole_disk_and_is_found() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("root.img", "ext4", "tree");
    let before = lab.files("root.img", &[0]);
    for _ in 0..5 {
        let program = Path::new(env!("CARGO_BIN_EXE_novactl"));
        let mut command = lab.command(program, &["fix-image", "--generalize", "--yes"], "root.img");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // once its loop device can be written to, the change is being made
        let own = lab.path("root.img").display().to_string();
        let writes = || {
            fs::read_dir("/sys/block").unwrap().map(|disk| disk.unwrap().path()).any(|disk| {
                let of = |name: &str| fs::read_to_string(disk.join(name)).unwrap_or_default();
                of("loop/backing_file").trim() == own && of("ro").trim() == "0"
            })
        };
        while !writes() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::KILL);
        child.wait().unwrap();
        lab.assert_nothing_is_left();
        lab.check("root.img");
        // the kill can come after the end
        let made = lab.fix(&["--generalize", "--yes"], "root.img");
        assert!(["applied", "nothing-to-do"].contains(&made["result"].as_str().unwrap()), "{made:#}");
        assert_eq!(lab.fix(&["--generalize", "--dry-run"], "root.img")["result"], "nothing-to-do");
        let undone = document(&lab.run(&["undo", "--yes", "--format", "json"], "root.img"));
        assert_eq!(undone["result"], "applied", "{undone:#}");
        assert_eq!(differences(&before, &lab.files("root.img", &[0])), Vec::<String>::new());
    }
    lab.check("root.img");
    lab.assert_nothing_is_left();
}

#[test]
fn a_disk_that_is_full_stays_as_it_was() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("root.img", "ext4", "tree");
    fs::create_dir(lab.path("mnt")).unwrap();
    lab.images(&["mount", "root.img", "0", "mnt", "rw"]);
    let script = "cat /dev/zero >fill 2>/dev/null; seq 50000 | xargs touch 2>/dev/null; sync -f .";
    Command::new("sh").args(["-c", script]).current_dir(lab.path("mnt/boot")).status().unwrap();
    lab.unmount();
    let before = lab.files("root.img", &[0]);
    let output = lab.run(&["fix-image", "--generalize", "--yes"], "root.img");
    assert!(matches!(output.status.code(), Some(3 | 4)), "{}", said(&output));
    assert_eq!(differences(&before, &lab.files("root.img", &[0])), Vec::<String>::new());
    lab.check("root.img");
    lab.assert_nothing_is_left();
}

/// Stands before qemu-img: the conversion whose number is in `at` does what `then` says, in the directory of the image.
const BEFORE_QEMU_IMG: &str = r#"#!/bin/sh
lab=$(dirname "$0")
if [ "$1" = convert ]; then
  number=$(($(cat "$lab/count") + 1))
  echo $number >"$lab/count"
  if [ $number = "$(cat "$lab/at")" ]; then . "$lab/then"; fi
fi
exec "$(cat "$lab/real")" "$@"
"#;

/// Puts that in place; returns the PATH with which it is found.
fn before_qemu_img(lab: &Lab, at: u32, then: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let bin = lab.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real =
        std::env::split_paths(&path).map(|dir| dir.join("qemu-img")).find(|file| file.exists()).unwrap();
    for (name, text) in [
        ("count", "0"),
        ("at", &at.to_string()),
        ("then", then),
        ("real", real.to_str().unwrap()),
        ("qemu-img", BEFORE_QEMU_IMG),
    ] {
        fs::write(bin.join(name), text).unwrap();
    }
    fs::set_permissions(bin.join("qemu-img"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{path}", bin.display())
}

#[test]
fn a_conversion_that_is_interrupted_leaves_the_image_and_nothing_else() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("root.img", "ext4", "tree");
    lab.program("qemu-img", &["convert", "-O", "qcow2", "root.img", "a.qcow2"]);
    let sum = || lab.program("sha256sum", &["a.qcow2"]).stdout;
    let before = sum();
    // the first one reads the image, the second writes it back
    for (at, signal, code) in [
        (1, Signal::INT, None),
        (1, Signal::TERM, None),
        (1, Signal::KILL, None),
        (2, Signal::INT, Some(130)),
        (2, Signal::TERM, Some(130)),
        // the last: nothing can be cleared away then
        (2, Signal::KILL, None),
    ] {
        let path = before_qemu_img(
            &lab,
            at,
            "echo $$ >\"$lab/pid\"; mv \"$lab/pid\" \"$lab/stopped\"; exec sleep 600",
        );
        // nohup and a shell's & start what they run without these signals
        let program = ["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_novactl")];
        let arguments = [&program[..], &["fix-image", "--generalize", "--yes"]].concat();
        let mut command = lab.command(Path::new("env"), &arguments, "a.qcow2");
        let mut child =
            command.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stopped = lab.path("bin/stopped");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !stopped.exists() {
            assert!(
                child.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline,
                "{at} {signal:?}"
            );
            std::thread::yield_now();
        }
        rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code, "{at} {signal:?}: {}", said(&output));
        let converter = Path::new("/proc").join(fs::read_to_string(&stopped).unwrap().trim());
        while converter.exists() {
            assert!(std::time::Instant::now() < deadline, "{at} {signal:?}: qemu-img goes on");
            std::thread::yield_now();
        }
        fs::remove_file(&stopped).unwrap();
        assert_eq!(sum(), before, "{at} {signal:?}");
        if (at, signal) == (2, Signal::KILL) {
            break;
        }
        lab.assert_nothing_is_left();
    }
    // looking says what is left, the next change removes it
    for _ in 0..2 {
        let told = said(&lab.run(&["doctor"], "a.qcow2"));
        assert!(
            told.contains(".novactl-a.qcow2-") && told.contains("is left of a change that was killed"),
            "{told}"
        );
    }
    assert_eq!(lab.fix(&["--generalize", "--yes"], "a.qcow2")["result"], "applied");
    lab.assert_nothing_is_left();
}

/// Runs its arguments in a small file system of its own with the image, and shows what is left there.
const IN_LITTLE_ROOM: &str = r#"
mkdir room
mount -t tmpfs -o size=120m room room
cp --sparse=always a.qcow2 room
cd room
"$@" || echo "code $?"
ls -A
sha256sum a.qcow2
"#;

#[test]
fn a_disk_that_is_full_at_the_conversion_leaves_the_image_and_nothing_else() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("root.img", "ext4", "tree");
    lab.program("qemu-img", &["convert", "-O", "qcow2", "root.img", "a.qcow2"]);
    let sum = String::from_utf8(lab.program("sha256sum", &["a.qcow2"]).stdout).unwrap();
    for (at, code) in [(1, 3), (2, 4)] {
        let path = before_qemu_img(&lab, at, "cat /dev/zero >fill 2>/dev/null");
        let novactl = env!("CARGO_BIN_EXE_novactl");
        let words = ["fix-image", "--generalize", "--yes", "--disk", "a.qcow2"];
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-euc", IN_LITTLE_ROOM, "sh", novactl]);
        let output = command.args(words).env("PATH", path).current_dir(lab.0.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let end =
            text.lines().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
        assert_eq!(end, format!("code {code}\na.qcow2\nfill\n{}", sum.trim_end()), "{at}: {}", said(&output));
        fs::remove_dir(lab.path("room")).unwrap();
        lab.assert_nothing_is_left();
    }
}
