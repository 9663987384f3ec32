//! `--disk` on real images: file systems and partition tables by the distribution's own tools, mounted again by other
//! means to see what was done, and counted afterwards: no mount, no loop device, no file is left.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking and runs what it tests"
)]

use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

/// What the host assigns.
const DUMP: &str = r#"{"vm-data": {"networking": {"BC764E207572": "{\"label\": \"public\", \"ips\": [{\"ip\": \"104.130.4.72\", \"netmask\": \"255.255.255.0\", \"enabled\": \"1\", \"gateway\": null}], \"mac\": \"BC:76:4E:20:75:72\", \"gateway\": \"104.130.4.1\", \"dns\": [\"8.8.8.8\"], \"routes\": []}"}}}"#;

/// A directory with a small system and images of it.
struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    /// Makes it, or says why that cannot be done here.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return skipped("mounting an image takes root");
        }
        if !Path::new("/dev/loop-control").exists() {
            return skipped("this kernel has no loop devices");
        }
        for program in ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "parted", "qemu-img", "pvcreate"] {
            if !["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(program).exists()) {
                return skipped(&format!("{program} is not installed"));
            }
        }
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["etc/network", "usr/lib", "bin", "sbin", "var/log", "boot"] {
            std::fs::create_dir_all(lab.tree().join(dir)).unwrap();
        }
        lab.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        lab.write("etc/hostname", "web01\n");
        lab.write("etc/network/interfaces", "auto lo\niface lo inet loopback\n");
        lab.write("usr/lib/os-release", "NAME=Debian\nID=debian\nVERSION_ID=\"12\"\n");
        std::fs::write(lab.path("dump.json"), DUMP).unwrap();
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.tree().join(path), text).unwrap();
    }

    /// Runs the script in this directory.
    fn images(&self, words: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/disk-images.sh");
        let output = Command::new(script).args(words).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a file system of the tree.
    fn volume(&self, name: &str, kind: &str) {
        let size = match kind {
            "xfs" => "400M",
            kind if kind.starts_with("btrfs") => "300M",
            _ => "64M",
        };
        self.images(&["volume", name, size, kind, "tree", "root"]);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.args(args).current_dir(self.dir.path()).env_remove("XENSTORED_PATH").stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Looks at an image, and shows that this changes nothing.
    fn looked_at(&self, image: &str) -> Value {
        let before = self.sum(image);
        let output = self.run(&["doctor", "--disk", image, "--format", "json"]);
        let document: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(self.sum(image), before, "{image}");
        let mut schemas = boon::Schemas::new();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/doctor.json");
        let schema = boon::Compiler::new().compile(file.to_str().unwrap(), &mut schemas).unwrap();
        if let Err(e) = schemas.validate(&document, schema) {
            panic!("{e:#}");
        }
        document["target"].clone()
    }

    fn change(&self, image: &str) -> Output {
        self.run(&[
            "reset-network",
            "--disk",
            image,
            "--xenstore",
            "dump.json",
            "--backend",
            "ifupdown",
            "--yes",
        ])
    }

    fn undo(&self, image: &str) -> Output {
        self.run(&["undo", "--disk", image, "--yes"])
    }

    fn sum(&self, name: &str) -> Vec<u8> {
        let output = Command::new("sha256sum").arg(self.path(name)).output().unwrap();
        output.stdout
    }

    /// Reads a file of an image through a mount of the test's own.
    fn read(&self, image: &str, mib: u32, path: &str) -> String {
        std::fs::create_dir_all(self.path("mnt")).unwrap();
        self.images(&["mount", image, &mib.to_string(), "mnt", "ro"]);
        let text = std::fs::read_to_string(self.path("mnt").join(path));
        let umount = Command::new("umount").arg(self.path("mnt")).status().unwrap();
        assert!(umount.success());
        self.wait_for_loops();
        text.unwrap_or_default()
    }

    /// Waits until the kernel has detached what was mounted: a program that made its own mount namespace meanwhile, of
    /// this test or of another one, holds a copy of the mount for a moment longer.
    fn wait_for_loops(&self) {
        self.wait_for("nothing is attached", |lab| lab.loops().is_empty());
    }

    /// The loop devices that have a file of this lab, as the kernel names them.
    fn loops(&self) -> Vec<PathBuf> {
        let disks = std::fs::read_dir("/sys/block").unwrap().map(|disk| disk.unwrap().path());
        let own = self.dir.path().to_str().unwrap();
        disks
            .filter(|disk| {
                let file = std::fs::read_to_string(disk.join("loop/backing_file")).unwrap_or_default();
                file.starts_with(own)
            })
            .collect()
    }

    /// Nothing is left: no loop device, no mount that others see, no file beside the images.
    fn assert_nothing_is_left(&self) {
        self.wait_for_loops();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains("/run/novactl"), "{mounts}");
        let names = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new());
    }

    /// Waits until a condition holds.
    fn wait_for(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: not within a minute");
            std::thread::yield_now();
        }
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    println!("skipped: {why}");
    None
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn assert_code(output: &Output, code: i32, what: &str) {
    assert_eq!(output.status.code(), Some(code), "{what}: {}", said(output));
}

/// The volumes as name, kind and place.
fn volumes(target: &Value) -> Vec<(String, String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let all = target["disk"]["volumes"].as_array().unwrap().iter();
    all.map(|v| (word(&v["name"]), word(&v["kind"]), word(&v["mounted_at"]))).collect()
}

fn expected(lines: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    lines.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
}

#[test]
fn every_file_system_is_looked_at_changed_and_changed_back() {
    let Some(lab) = Lab::new() else { return };
    for (kind, offset, word) in
        [("ext4", 0, "ext4"), ("ext3", 0, "ext3"), ("xfs", 0, "xfs"), ("btrfs", 0, "btrfs")]
    {
        lab.volume("a.img", kind);
        let target = lab.looked_at("a.img");
        assert_eq!((&target["mode"], &target["hostname"]), (&"disk".into(), &"web01".into()));
        assert_eq!(volumes(&target), expected(&[("whole disk", word, "/")]));
        let before = lab.read("a.img", offset, "etc/network/interfaces");
        assert_code(&lab.change("a.img"), 0, kind);
        assert!(lab.read("a.img", offset, "etc/network/interfaces").contains("104.130.4.72"), "{kind}");
        assert_code(&lab.undo("a.img"), 0, kind);
        assert_eq!(lab.read("a.img", offset, "etc/network/interfaces"), before, "{kind}");
        // nothing to take back any more, and nothing is written to find that out
        let sum = lab.sum("a.img");
        assert_code(&lab.undo("a.img"), 3, kind);
        assert_eq!(lab.sum("a.img"), sum, "{kind}");
        lab.assert_nothing_is_left();
    }
}

#[test]
fn the_same_xfs_mounted_as_on_a_rescue_system_does_no_harm() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("template.img", "xfs");
    std::fs::copy(lab.path("template.img"), lab.path("a.img")).unwrap();
    std::fs::create_dir(lab.path("own")).unwrap();
    lab.images(&["mount", "template.img", "0", "own", "rw"]);
    let target = lab.looked_at("a.img");
    let change = lab.change("a.img");
    let template = std::fs::read_to_string(lab.path("own/etc/network/interfaces")).unwrap();
    assert!(Command::new("umount").arg(lab.path("own")).status().unwrap().success());
    lab.wait_for_loops();
    assert_eq!(target["hostname"], "web01");
    assert_code(&change, 0, "the other one");
    assert!(!template.contains("104.130.4.72"), "{template}");
    assert!(lab.read("a.img", 0, "etc/network/interfaces").contains("104.130.4.72"));
    lab.assert_nothing_is_left();
}

#[test]
fn a_root_in_a_btrfs_subvolume_is_found() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("a.img", "btrfs-root");
    assert_eq!(lab.looked_at("a.img")["hostname"], "web01");
    assert_code(&lab.change("a.img"), 0, "subvolume");
    assert!(lab.read("a.img", 0, "@/etc/network/interfaces").contains("104.130.4.72"));
    lab.assert_nothing_is_left();
}

/// An extended partition with the root and /var, a primary one with /boot.
fn partitioned(lab: &Lab, image: &str) {
    lab.write("etc/fstab", "/dev/xvda5 / ext4 defaults 0 1\n/dev/xvda1 /boot ext4\nLABEL=var /var ext4\n");
    lab.volume("root.img", "ext4");
    for (dir, file) in [("boot-tree", "vmlinuz-6"), ("var-tree", "marker")] {
        std::fs::create_dir_all(lab.path(dir)).unwrap();
        std::fs::write(lab.path(dir).join(file), dir).unwrap();
    }
    lab.images(&["volume", "boot.img", "20M", "ext4", "boot-tree", "boot"]);
    lab.images(&["volume", "var.img", "40M", "ext4", "var-tree", "var"]);
    lab.images(&[
        "parted", image, "180M", "mklabel", "msdos", "mkpart", "primary", "1MiB", "21MiB", "mkpart",
        "extended", "21MiB", "170MiB", "mkpart", "logical", "22MiB", "86MiB", "mkpart", "logical", "90MiB",
        "130MiB",
    ]);
    for (volume, mib) in [("boot.img", "1"), ("root.img", "22"), ("var.img", "90")] {
        lab.images(&["put", image, mib, volume]);
    }
}

#[test]
fn what_fstab_mounts_beside_the_root_is_there_on_a_disk_with_an_extended_partition() {
    let Some(lab) = Lab::new() else { return };
    partitioned(&lab, "disk.img");
    let all = expected(&[
        ("partition 1", "ext4", "/boot"),
        ("partition 5", "ext4", "/"),
        ("partition 6", "ext4", "/var"),
    ]);
    assert_eq!(volumes(&lab.looked_at("disk.img")), all);
    assert_code(&lab.change("disk.img"), 0, "extended");
    assert!(lab.read("disk.img", 22, "etc/network/interfaces").contains("104.130.4.72"));
    // the journal is in the /var of the system, and its root has nothing under the mount point
    let listing = lab.run(&["undo", "--list", "--disk", "disk.img"]);
    assert!(said(&listing).contains("made: configure eth0"), "{}", said(&listing));
    assert_eq!(lab.read("disk.img", 90, "marker"), "var-tree");
    let loop_of = |mib: u32| format!("{}?offset={}", lab.path("disk.img").display(), mib << 20);
    for mib in [1, 22, 90] {
        let check = Command::new("/usr/sbin/e2fsck").args(["-fn", &loop_of(mib)]).output().unwrap();
        assert!(check.status.success(), "{}", said(&check));
    }
    assert_code(&lab.undo("disk.img"), 0, "extended");
    lab.assert_nothing_is_left();
}

#[test]
fn the_partitions_of_a_gpt_are_found_and_one_that_cannot_be_mounted_is_named() {
    let Some(lab) = Lab::new() else { return };
    lab.write("etc/fstab", "LABEL=root / ext4\n/dev/sda1 /boot ext4\n/dev/sdb1 /var ext4\n");
    lab.volume("root.img", "ext4");
    lab.images(&[
        "parted", "gpt.img", "100M", "mklabel", "gpt", "mkpart", "a", "1MiB", "3MiB", "mkpart", "b", "4MiB",
        "68MiB",
    ]);
    lab.images(&["put", "gpt.img", "4", "root.img"]);
    let target = lab.looked_at("gpt.img");
    assert_eq!(volumes(&target), expected(&[("partition 1", "-", "-"), ("partition 2", "ext4", "/")]));
    // the table at the beginning is lost: the copy at the end holds
    let file = std::fs::OpenOptions::new().write(true).open(lab.path("gpt.img")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 512], 512).unwrap();
    drop(file);
    assert_eq!(lab.looked_at("gpt.img")["disk"]["volumes"], target["disk"]["volumes"]);
    let verbose = said(&lab.run(&["doctor", "-v", "--disk", "gpt.img"]));
    assert!(
        verbose.contains(
            "partition 1 (unknown, 2.0 MiB): /boot by the system's fstab, but it has no file system"
        ),
        "{verbose}"
    );
    lab.assert_nothing_is_left();
}

#[test]
fn of_two_systems_the_larger_is_chosen_and_that_is_said() {
    let Some(lab) = Lab::new() else { return };
    lab.images(&["volume", "small.img", "20M", "ext4", "tree", "small"]);
    lab.write("etc/hostname", "large\n");
    lab.volume("large.img", "ext4");
    let table = ["mklabel", "gpt", "mkpart", "a", "1MiB", "21MiB", "mkpart", "b", "22MiB", "86MiB"];
    lab.images(&[&["parted", "two.img", "90M"], &table[..]].concat());
    lab.images(&["put", "two.img", "1", "small.img"]);
    lab.images(&["put", "two.img", "22", "large.img"]);
    let output = lab.run(&["scan-ifaces", "--disk", "two.img", "--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["target"]["hostname"], "large");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr,
        "partition 1 (ext4, 20.0 MiB): holds a system too, and is not the largest that does\n\
         partition 2 (ext4, 64.0 MiB, mounted as /): holds a system\n"
    );
    lab.assert_nothing_is_left();
}

#[test]
fn a_logical_volume_is_reached_without_activating_it() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("root.img", "ext4");
    lab.images(&["lvm", "lvm.img", "root.img"]);
    let all = expected(&[("whole disk", "lvm", "-"), ("logical volume testvg/root", "ext4", "/")]);
    assert_eq!(volumes(&lab.looked_at("lvm.img")), all);
    assert_code(&lab.change("lvm.img"), 0, "lvm");
    assert!(lab.read("lvm.img", 1, "etc/network/interfaces").contains("104.130.4.72"));
    assert_code(&lab.undo("lvm.img"), 0, "lvm");
    lab.assert_nothing_is_left();
}

#[test]
fn an_image_in_another_format_is_replaced_by_one_like_it() {
    let Some(lab) = Lab::new() else { return };
    partitioned(&lab, "disk.img");
    for (format, name, options) in [
        ("qcow2", "a.qcow2", "compat=0.10,cluster_size=131072"),
        ("vpc", "a.vhd", "subformat=dynamic,force_size=on"),
        ("vhdx", "a.vhdx", "subformat=dynamic"),
        ("vmdk", "a.vmdk", "subformat=streamOptimized"),
    ] {
        let image = lab.path(name);
        let qemu_img = |words: &[&str]| {
            let output = Command::new("qemu-img").args(words).current_dir(lab.dir.path()).output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", said(&output));
            output.stdout
        };
        qemu_img(&["convert", "-O", format, "-o", options, "disk.img", name]);
        if format == "vpc" {
            sign_vhd(&image);
        }
        let shape = || {
            let info: Value = serde_json::from_slice(&qemu_img(&["info", "--output=json", name])).unwrap();
            let data = &info["format-specific"]["data"];
            let facts = [&info["format"], &info["virtual-size"], &info["cluster-size"], &data["compat"]];
            format!("{facts:?} {}", data["create-type"])
        };
        let before = shape();
        assert_eq!(volumes(&lab.looked_at(name)).len(), 3, "{name}");
        assert_code(&lab.change(name), 0, name);
        assert_eq!(shape(), before, "{name}");
        qemu_img(&["convert", "-O", "raw", name, "back.img"]);
        assert!(lab.read("back.img", 22, "etc/network/interfaces").contains("104.130.4.72"), "{name}");
        if format == "vpc" {
            let bytes = std::fs::read(&image).unwrap();
            for footer in [&bytes[..512], &bytes[bytes.len() - 512..]] {
                assert_eq!(&footer[28..32], b"tap\0");
            }
        }
        assert_code(&lab.undo(name), 0, name);
        lab.assert_nothing_is_left();
    }
}

/// Makes the VHD one that XenServer made.
fn sign_vhd(image: &Path) {
    let mut bytes = std::fs::read(image).unwrap();
    for start in [0, bytes.len() - 512] {
        let footer = &mut bytes[start..start + 512];
        footer[28..32].copy_from_slice(b"tap\0");
        footer[64..68].fill(0);
        let sum = footer.iter().fold(0_u32, |sum, byte| sum + u32::from(*byte));
        footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    }
    std::fs::write(image, bytes).unwrap();
}

#[test]
fn a_disk_that_was_not_put_down_cleanly_is_looked_at_and_not_changed() {
    let Some(lab) = Lab::new() else { return };
    for kind in ["ext4", "xfs"] {
        lab.volume("a.img", kind);
        lab.images(&["dirty", "a.img"]);
        let volume = lab.looked_at("a.img")["disk"]["volumes"][0].clone();
        assert_eq!(volume["state"], "needs-recovery", "{kind}");
        let sum = lab.sum("a.img");
        let output = lab.change("a.img");
        assert_code(&output, 3, kind);
        let check = if kind == "xfs" { "mount " } else { "fsck -fy " };
        assert!(
            said(&output).contains(check) && said(&output).contains("needs a check"),
            "{}",
            said(&output)
        );
        assert_eq!(lab.sum("a.img"), sum, "{kind}");
        lab.assert_nothing_is_left();
    }
    // the command that it names mends it
    lab.volume("a.img", "ext4");
    lab.images(&["dirty", "a.img"]);
    Command::new("/usr/sbin/e2fsck").arg("-fy").arg(lab.path("a.img")).output().unwrap();
    assert_code(&lab.change("a.img"), 0, "after fsck");
}

#[test]
fn wrong_use_is_refused_with_the_reason() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("a.img", "ext4");
    std::fs::write(lab.path("small"), "x").unwrap();
    std::fs::write(lab.path("empty.img"), vec![0; 1 << 20]).unwrap();
    let mut iso = vec![0; 1 << 20];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    std::fs::write(lab.path("a.iso"), iso).unwrap();
    let mut luks = vec![0; 1 << 20];
    luks[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    std::fs::write(lab.path("luks.img"), luks).unwrap();
    let backed = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-b", "a.img", "-F", "raw", "backed.qcow2"])
        .current_dir(lab.dir.path())
        .status();
    assert!(backed.unwrap().success());
    for (path, words) in [
        ("missing.img", "no such file or device"),
        (".", "--root . looks at a mounted system"),
        ("/dev/null", "neither a block device nor a file"),
        ("small", "too small"),
        ("empty.img", "holds nothing that is known here"),
        ("a.iso", "installation medium"),
        ("luks.img", "encrypted (LUKS)"),
        ("backed.qcow2", "refers to another file"),
    ] {
        let output = lab.run(&["doctor", "--disk", path]);
        assert_code(&output, 3, path);
        assert!(said(&output).contains(words), "{path}: {}", said(&output));
    }
    assert_code(&lab.run(&["doctor", "--disk", "a.img", "--root", "/"]), 2, "both");
    std::fs::create_dir_all(lab.path("mnt")).unwrap();
    lab.images(&["mount", "a.img", "0", "mnt", "ro"]);
    let mounted = lab.run(&["doctor", "--disk", "a.img"]);
    let device = lab.loops()[0].file_name().unwrap().to_str().unwrap().to_owned();
    let as_device = lab.run(&["doctor", "--disk", &format!("/dev/{device}")]);
    assert!(Command::new("umount").arg(lab.path("mnt")).status().unwrap().success());
    assert_code(&mounted, 3, "mounted");
    assert!(said(&mounted).contains("in use: it is attached to /dev/loop"), "{}", said(&mounted));
    assert!(
        said(&as_device).contains(&format!("in use: /dev/{device} is mounted on ")),
        "{}",
        said(&as_device)
    );
    // as QEMU locks the image of a running guest
    let file = std::fs::File::open(lab.path("a.img")).unwrap();
    file.lock_shared().unwrap();
    let locked = lab.run(&["doctor", "--disk", "a.img"]);
    assert!(said(&locked).contains("a program has it locked"), "{}", said(&locked));
    drop(file);
    lab.assert_nothing_is_left();
}

#[test]
fn a_block_device_is_looked_at_as_a_whole_and_by_its_partitions() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("whole.img", "ext4");
    partitioned(&lab, "disk.img");
    for (image, count) in [("whole.img", 1), ("disk.img", 3)] {
        let losetup =
            Command::new("/usr/sbin/losetup").args(["--find", "--show"]).arg(lab.path(image)).output();
        let device = String::from_utf8(losetup.unwrap().stdout).unwrap().trim().to_owned();
        let target = lab.looked_at(&device);
        assert_eq!((&target["disk"]["format"], volumes(&target).len()), (&"device".into(), count), "{image}");
        assert_code(&lab.change(&device), 0, image);
        assert_code(&lab.undo(&device), 0, image);
        let detached = Command::new("/usr/sbin/losetup").args(["-d", &device]).status().unwrap();
        assert!(detached.success(), "{image}");
        lab.wait_for_loops();
    }
    lab.assert_nothing_is_left();
}

#[test]
fn a_file_system_that_was_a_root_is_told_from_a_data_volume() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("a.img", "ext4");
    let path = lab.path("a.img");
    for (place, was_root) in [("/", true), ("/srv/data", false)] {
        let tune = Command::new("/usr/sbin/tune2fs").args(["-M", place]).arg(&path).output().unwrap();
        assert!(tune.status.success(), "{}", said(&tune));
        assert_eq!(novactl::disk::was_a_root(path.to_str().unwrap()), was_root, "{place}");
    }
    assert!(!novactl::disk::was_a_root("/dev/null"));
}

#[test]
fn the_disk_of_the_running_system_is_refused() {
    let Some(_lab) = Lab::new() else { return };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    let source = own.split_once(" - ").unwrap().1.split(' ').nth(1).unwrap();
    if !source.starts_with("/dev/") || !Path::new(source).exists() {
        skipped::<()>("the root of this system is on no block device that it has a node of");
        return;
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_novactl")).args(["doctor", "--disk", source]).output().unwrap();
    assert_code(&output, 3, source);
    assert!(said(&output).contains("the running system has its root on"), "{}", said(&output));
}

#[test]
fn a_hostile_image_leads_nowhere() {
    let Some(lab) = Lab::new() else { return };
    let secret = lab.path("outside");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("canary"), "CANARY\n").unwrap();
    let tree = lab.tree();
    let out = secret.to_str().unwrap();
    std::fs::remove_file(tree.join("etc/hostname")).unwrap();
    symlink(format!("{out}/canary"), tree.join("etc/hostname")).unwrap();
    std::fs::remove_file(tree.join("etc/passwd")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.join("etc/passwd"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    std::fs::remove_dir_all(tree.join("var")).unwrap();
    symlink(out, tree.join("var")).unwrap();
    std::fs::remove_dir_all(tree.join("boot")).unwrap();
    symlink("/../../../../../etc", tree.join("boot")).unwrap();
    lab.write(
        "etc/fstab",
        "/dev/vda /home ext4\n/dev/loop0 /opt ext4\n/etc /srv none bind\nLABEL=evil /var ext4\nLABEL=evil /boot ext4\n\
         nas:/x /root nfs\nLABEL=root /usr/../../tmp ext4\n",
    );
    for dir in ["home", "opt", "srv", "root"] {
        std::fs::create_dir(tree.join(dir)).unwrap();
    }
    lab.volume("root.img", "ext4");
    std::fs::create_dir(lab.path("evil")).unwrap();
    std::fs::write(lab.path("evil/passwd"), "x").unwrap();
    lab.images(&["volume", "evil.img", "20M", "ext4", "evil", "evil"]);
    let table = ["mklabel", "gpt", "mkpart", "a", "1MiB", "65MiB", "mkpart", "b", "66MiB", "86MiB"];
    lab.images(&[&["parted", "a.img", "90M"], &table[..]].concat());
    lab.images(&["put", "a.img", "1", "root.img"]);
    lab.images(&["put", "a.img", "66", "evil.img"]);
    let target = lab.looked_at("a.img");
    // nothing is mounted over a link
    assert_eq!(volumes(&target), expected(&[("partition 1", "ext4", "/"), ("partition 2", "ext4", "-")]));
    let all = said(&lab.run(&["doctor", "-v", "--disk", "a.img"]));
    assert!(!all.contains("CANARY") && !target.to_string().contains("CANARY"), "{all}");
    let change = lab.change("a.img");
    assert!(change.status.code().is_some(), "{}", said(&change));
    let names: Vec<_> = std::fs::read_dir(&secret).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["canary"]);
    lab.assert_nothing_is_left();
}

#[test]
fn a_full_disk_is_left_as_it_was() {
    let Some(lab) = Lab::new() else { return };
    std::fs::write(lab.tree().join("filler"), vec![1; 40 << 20]).unwrap();
    lab.images(&["volume", "a.img", "50M", "ext4", "tree", "root"]);
    // what is left of blocks and inodes goes as well
    lab.images(&["mount", "a.img", "0", "tree/boot", "rw"]);
    let script = "cat /dev/zero > fill 2>/dev/null; seq 50000 | xargs touch 2>/dev/null; sync -f .";
    Command::new("sh").args(["-c", script]).current_dir(lab.tree().join("boot")).status().unwrap();
    assert!(Command::new("umount").arg(lab.tree().join("boot")).status().unwrap().success());
    let before = lab.read("a.img", 0, "etc/network/interfaces");
    let output = lab.change("a.img");
    assert!(matches!(output.status.code(), Some(3 | 4)), "{}", said(&output));
    assert_eq!(lab.read("a.img", 0, "etc/network/interfaces"), before);
    let check = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(lab.path("a.img")).output().unwrap();
    assert!(check.status.success(), "{}", said(&check));
    lab.assert_nothing_is_left();
}

/// Starts a program that has the disk mounted and waits for a store that never answers.
fn hanging(lab: &Lab) -> (Child, UnixListener) {
    let listener = UnixListener::bind(lab.path("store")).unwrap();
    let child = lab
        .command(&["doctor", "--disk", "a.img", "--xenstore", "store"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    lab.wait_for("the disk is mounted", |lab| !lab.loops().is_empty());
    (child, listener)
}

#[test]
fn a_killed_program_leaves_no_mount_and_no_loop_device() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("a.img", "ext4");
    let sum = lab.sum("a.img");
    for signal in [Signal::KILL, Signal::INT, Signal::TERM] {
        let (mut child, _listener) = hanging(&lab);
        rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        lab.wait_for_loops();
        std::fs::remove_file(lab.path("store")).unwrap();
        lab.assert_nothing_is_left();
        assert_eq!(lab.sum("a.img"), sum, "{signal:?}");
    }
}

#[test]
fn a_change_that_is_killed_is_found_and_the_disk_is_whole() {
    let Some(lab) = Lab::new() else { return };
    lab.volume("a.img", "ext4");
    let before = lab.read("a.img", 0, "etc/network/interfaces");
    for _ in 0..5 {
        let words =
            ["reset-network", "--disk", "a.img", "--xenstore", "dump.json", "--backend", "ifupdown", "--yes"];
        let mut child = lab.command(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // once it is attached for writing, the change is being made
        let writes = |lab: &Lab| {
            let read_only = |disk: &PathBuf| std::fs::read_to_string(disk.join("ro")).unwrap_or_default();
            lab.loops().iter().any(|disk| read_only(disk).trim() == "0")
        };
        lab.wait_for("the change is made", |lab| writes(lab) || matches!(child.try_wait(), Ok(Some(_))));
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::KILL);
        child.wait().unwrap();
        lab.wait_for_loops();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let check = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(lab.path("a.img")).output().unwrap();
        assert!(check.status.success(), "{stderr}{}", said(&check));
        // the next run takes back what was interrupted and makes the change, or finds it made
        assert_code(&lab.change("a.img"), 0, "after the kill");
        assert!(lab.read("a.img", 0, "etc/network/interfaces").contains("104.130.4.72"));
        assert_code(&lab.undo("a.img"), 0, "undo after the kill");
        assert_eq!(lab.read("a.img", 0, "etc/network/interfaces"), before);
        lab.assert_nothing_is_left();
    }
}
