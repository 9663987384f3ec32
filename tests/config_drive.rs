//! Config drives under Debian's kernel: iso9660 and vfat are read, hostile ones refused, nothing stays mounted.
//!
//! Takes half a minute. To add a drive: `make` in `lab/config-drives.sh`, and a line in the test.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test makes files and drives programs")]

mod lab;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// What runs in the machine for every disk; `$LABELS` are their labels, as udev would name the links.
const GUEST: &str = r#"
by=/dev/disk/by-label
mkdir -p $by
in_use() {
  cat /proc/mounts
  losetup
  ls /tmp
}
disk=b
for entry in $LABELS; do
  out=/results/${entry%:*}
  mkdir $out
  rm -f $by/*
  ln -s ../../vd$disk $by/${entry#*:}
  in_use >$out/before
  drive="reset-network --from config-drive --backend ifupdown --format json"
  /novactl $drive --dry-run >$out/reset.json 2>$out/reset.err
  echo $? >$out/reset.code
  /novactl doctor --only config-drive --format json >$out/doctor.json 2>$out/doctor.err
  in_use >$out/after
  disk=$(echo $disk | tr a-y b-z)
done

# for good, and from where somebody mounted it
ln -sf ../../vdb $by/config-2
mkdir -p /mnt /etc/network /sbin
mount -t iso9660 -o ro /dev/vdb /mnt
rm $by/*
/novactl $drive --yes --revert-after 0 >/results/made.json 2>/results/made.err
echo $? >/results/made.code
cp /etc/network/interfaces /results/
umount /mnt
in_use >/results/in_use
ip -o -4 address >/results/addresses
ip route >/results/routes
"#;

#[test]
fn under_a_real_kernel_config_drives_are_read_and_hostile_ones_refused() {
    let Some(results) = boot() else { return };
    let file = |path: &str| {
        let text = std::fs::read_to_string(results.path().join("results").join(path));
        text.unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let json_of = |path: &str| -> Value {
        serde_json::from_str(&file(path)).unwrap_or_else(|e| panic!("{path}: {e}: {}", file(path)))
    };
    let drives = ["b-iso", "c-vfat", "d-huge", "e-link", "f-fifo", "g-directory", "h-ext4", "i-upper"];
    for drive in drives {
        assert_eq!(file(&format!("{drive}/before")), file(&format!("{drive}/after")), "{drive}");
    }

    for drive in ["b-iso", "c-vfat", "i-upper"] {
        assert_eq!(file(&format!("{drive}/reset.code")), "1\n", "{drive}: it would change something");
        let nics = &json_of(&format!("{drive}/reset.json"))["plan"]["interfaces"];
        assert_eq!(nics["eth0"]["addresses"], json!(["198.51.100.7/24"]), "{drive}: {nics:#}");
        assert_eq!(nics["eth0"]["gateway4"]["via"], "198.51.100.1", "{drive}");
        assert_eq!(nics["eth1"]["addresses"], json!(["10.176.1.2/19"]), "{drive}: {nics:#}");
        assert_eq!(nics["eth1"]["routes"][0]["to"], "10.191.192.0/18", "{drive}");
        assert_eq!(judged(&json_of(&format!("{drive}/doctor.json"))), [("ok".to_owned(), String::new())]);
    }

    for (drive, why) in [
        ("d-huge", "1073741824 bytes, more than 41943040 are not read whole"),
        ("e-link", "no such file"),
        ("f-fifo", "not a regular file"),
        ("g-directory", "it is a directory"),
        ("h-ext4", "it is neither iso9660 nor vfat"),
    ] {
        let said = file(&format!("{drive}/reset.err"));
        assert!(said.contains(why), "{drive}: {said}");
        assert_ne!(file(&format!("{drive}/reset.code")), "0\n", "{drive}");
        for output in ["reset.json", "reset.err", "doctor.json"] {
            let text = file(&format!("{drive}/{output}"));
            assert!(!text.contains("this-is-a-secret"), "{drive}: {text}");
        }
    }
    for drive in ["d-huge", "e-link", "f-fifo", "g-directory"] {
        let note = ("note".to_owned(), "network_data.json".to_owned());
        assert_eq!(judged(&json_of(&format!("{drive}/doctor.json"))), [note], "{drive}");
    }
    let ext4 = judged(&json_of("h-ext4/doctor.json"));
    assert_eq!(ext4, [("unknown".to_owned(), String::new())]);

    assert_eq!(file("made.code"), "0\n", "{}", file("made.err"));
    assert_eq!(json_of("made.json")["result"], "applied", "{}", file("made.json"));
    let interfaces = file("interfaces");
    for line in ["address 198.51.100.7/24", "gateway 198.51.100.1", "address 10.176.1.2/19"] {
        assert!(interfaces.lines().any(|found| found.trim() == line), "{line}: {interfaces}");
    }
    let addresses = file("addresses");
    assert!(addresses.contains("198.51.100.7/24") && addresses.contains("10.176.1.2/19"), "{addresses}");
    assert!(file("routes").contains("default via 198.51.100.1 dev eth0"), "{}", file("routes"));
    assert_eq!(file("in_use"), file("b-iso/before"));
}

/// Returns status and subject of the findings.
fn judged(doctor: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = doctor["findings"].as_array().unwrap_or_else(|| panic!("{doctor:#}"));
    findings.iter().map(|finding| (text(&finding["status"]), text(&finding["subject"]))).collect()
}

/// Boots the machine and returns where its results are; `None` where that cannot be done here.
fn boot() -> Option<tempfile::TempDir> {
    let script = lab::scripts().join("config-drives.sh");
    if let Err(why) = run(Command::new(&script).arg("fetch")) {
        return lab::skipped(&why);
    }
    let (root, drives) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(Command::new(&script).arg("make").arg(drives.path())).unwrap();
    let mut labels: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(drives.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "label") {
            labels.push(format!("{name}:{}", std::fs::read_to_string(&path).unwrap().trim()));
        }
    }
    labels.sort();
    let guest = format!("LABELS='{}'\n{GUEST}", labels.join(" "));
    std::fs::write(root.path().join("test.sh"), guest).unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/shadow"), "root:this-is-a-secret:19000::::::\n").unwrap();
    put(&program(), root.path());
    let console = run(Command::new(&script).arg("boot").arg(root.path()).arg(drives.path())).unwrap();
    assert!(drives.path().join("results/in_use").exists(), "the machine did not come to its end:\n{console}");
    Some(drives)
}

fn program() -> PathBuf {
    let named = std::env::var_os("NOVACTL_STATIC").map(PathBuf::from);
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_novactl").into())
}

/// Copies a program without its symbols, and the libraries that it needs.
fn put(program: &Path, root: &Path) {
    run(Command::new("strip").arg("-o").arg(root.join("novactl")).arg(program)).unwrap();
    // a static one has none, and ldd says so with an error
    let needed = run(Command::new("ldd").arg(program)).unwrap_or_default();
    for path in needed.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(path, place).unwrap();
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{command:?}: {text}")) }
}
