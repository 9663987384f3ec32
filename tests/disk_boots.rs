//! The proof of `--disk`: a real Debian 12 whose agent is broken, mended in its image, boots in QEMU to a login with the
//! password that was set there, with this program as its agent, a machine id and host keys of its own.
//!
//! Takes about a minute, and a few more the first time.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

#[path = "lab/console.rs"]
mod console;
#[path = "guests/elf.rs"]
mod elf;
mod lab;
#[path = "guests/manifest.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod manifest;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use console::Console;

const PASSWORD: &str = "s3t On the disk";
const OLD_ID: &str = "0123456789abcdef0123456789abcdef";
/// Debian's sshd makes no keys: what the finding host-keys advises.
const KEYGEN: &str =
    "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n";

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    if output.status.code().is_some_and(|code| code <= 1) {
        Ok(text)
    } else {
        Err(format!("{command:?}: {text}"))
    }
}

/// Makes the image of a tree in which an agent stands that cannot run: there is no Python.
fn image(tree: &Path, dir: &Path) -> PathBuf {
    let root = dir.join("root");
    run(Command::new("cp").arg("-a").arg(tree).arg(&root)).unwrap();
    let all = manifest::Manifests::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests")).unwrap();
    all.guest("lab/healthy").unwrap().unpack(&root).unwrap();
    let root_argument = format!("--root={}", root.display());
    run(Command::new("systemctl").args([&root_argument, "enable", "python3-nova-agent.service"])).unwrap();
    fs::write(root.join("etc/machine-id"), format!("{OLD_ID}\n")).unwrap();
    fs::write(root.join("etc/fstab"), "LABEL=root / ext4 defaults 0 1\n").unwrap();
    fs::create_dir_all(root.join("etc/systemd/system/ssh.service.d")).unwrap();
    fs::write(root.join("etc/systemd/system/ssh.service.d/keygen.conf"), KEYGEN).unwrap();
    let image = dir.join("disk.img");
    run(Command::new("truncate").args(["-s", "900M"]).arg(&image)).unwrap();
    run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-L", "root", "-d"]).arg(&root).arg(&image)).unwrap();
    image
}

#[test]
fn a_broken_image_is_mended_and_boots_to_a_login_as_a_new_server() {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
        return lab::skipped::<()>("mounting an image takes root and loop devices").unwrap_or_default();
    }
    let tree = match run(Command::new(lab::scripts().join("boot-image.sh")).arg("fetch")) {
        Ok(tree) => PathBuf::from(tree.lines().last().unwrap_or_default()),
        Err(why) => return lab::skipped::<()>(&why).unwrap_or_default(),
    };
    let old_key = fs::read_to_string(tree.join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    let dir = tempfile::tempdir_in(tree.parent().unwrap()).unwrap();
    let image = image(&tree, dir.path());

    let novactl = lab::static_novactl();
    let mut set = Command::new(&novactl);
    set.args(["set-password", "--stdin", "--yes", "--unlock", "--disk"]).arg(&image).stdin(Stdio::piped());
    let mut child = set.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().code().is_some_and(|code| code <= 1));
    let mut fix = Command::new(&novactl);
    fix.args(["fix-image", "--install-agent", "--generalize", "--yes", "--disk"]).arg(&image);
    let made = run(&mut fix).unwrap();
    assert!(made.contains("DONE"), "{made}");

    // the hardware clock stands still since more than three days ago, as after a restored snapshot
    let past = run(Command::new("date").args(["-u", "-d", "-78 hours", "+%Y-%m-%dT%H:%M:%S"])).unwrap();
    let mut console = Console::logged_in(&image, PASSWORD, Some(past.trim()));
    let id = console.shell("cat /etc/machine-id");
    assert!(id.len() == 32 && id != OLD_ID, "{id}");
    let ssh = console.shell("systemctl start ssh; systemctl is-active ssh");
    assert_eq!(ssh.lines().last(), Some("active"), "{ssh}");
    let key = console.shell("cat /etc/ssh/ssh_host_ed25519_key.pub");
    assert!(key.starts_with("ssh-ed25519 ") && key != old_key.trim(), "{key}");
    let enabled = console.shell("systemctl is-enabled novactl-agent python3-nova-agent");
    assert_eq!(enabled, "enabled\ndisabled");
    let version = console.shell("/usr/sbin/novactl --version");
    assert_eq!(version, format!("novactl {}", env!("CARGO_PKG_VERSION")));
    // it was started, and says that QEMU is no Xen
    let status = console.shell("systemctl show -P ExecMainStartTimestampMonotonic novactl-agent");
    assert!(status.parse::<u64>().is_ok_and(|time| time > 0), "{status}");
    the_clock_is_judged_by_what_is_there(&mut console);
    console.off();
}

/// The witnesses of the check `clock` on a system with a hardware clock, and that its commands end in a healthy one.
fn the_clock_is_judged_by_what_is_there(console: &mut Console) {
    let doctor = "novactl doctor --only clock --format json | tr -d '\n'; echo";
    let mut clock = |step: &str| {
        let report: serde_json::Value =
            serde_json::from_str(&console.shell(&format!("{step}{doctor}"))).unwrap();
        report["findings"][0].clone()
    };
    let behind = clock("");
    assert_eq!(behind["status"], "warn", "{behind:#}");
    assert_eq!(behind["title"], "the clock is 3 days behind the newest file here");
    assert_eq!(
        behind["remedy"]["commands"][0],
        serde_json::json!(["apt-get", "install", "chrony"]),
        "{behind:#}"
    );
    // what the time service would do
    let apart = clock("date -s '78 hours' >/dev/null; ");
    assert_eq!(
        (&apart["status"], &apart["title"]),
        (&"warn".into(), &"the clock and the hardware clock are 3 days apart".into())
    );
    let commands = apart["remedy"]["commands"].as_array().unwrap();
    assert_eq!(commands.last(), Some(&serde_json::json!(["hwclock", "--systohc"])), "{apart:#}");
    let set = clock("hwclock --systohc; ");
    assert_eq!(
        (&set["status"], &set["title"]),
        (&"ok".into(), &"nothing here contradicts the clock".into()),
        "{set:#}"
    );
}
