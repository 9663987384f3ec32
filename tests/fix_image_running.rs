//! The documented route: a running server whose agent is broken is mended by `fix-image` and goes on working; a copy of
//! its disk, taken then, boots as a clean new server.
//!
//! systemd in a container is the server, QEMU boots the copy. Takes about a minute, and a few more the first time.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

#[path = "lab/console.rs"]
mod console;
#[path = "lab/container.rs"]
mod container;
#[path = "agent/host.rs"]
mod host;
#[path = "lab/identity.rs"]
mod identity;
mod lab;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use console::Console;
use container::{Container, LIMIT, OLD_UNIT, put};
use host::Host;

const PASSWORD: &str = "s3t On the copy";
const OLD_ID: &str = "0123456789abcdef0123456789abcdef";
const ADDRESS: &str = "104.130.4.72/24";
const NIC: &str = "[Match]\nName=eth0\n\n[Network]\nAddress=104.130.4.72/24\n\
    Gateway=104.130.4.1\nDNS=192.0.2.53\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n";
/// What the host assigns: what is configured.
const ASSIGNED: &str = r#"{"label": "public", "ips": [{"ip": "104.130.4.72", "netmask": "255.255.255.0", "enabled": "1", "gateway": "104.130.4.1"}], "mac": "BC:76:4E:20:75:72", "gateway": "104.130.4.1", "dns": ["192.0.2.53"], "routes": []}"#;
/// Debian's sshd makes no keys: what the finding host-keys advises.
const KEYGEN: &str =
    "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n";

/// The tree of a server with an agent that dies at start, a NIC, and host keys.
fn server(dir: &Path) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
        return lab::skipped("mounting an image takes root and loop devices");
    }
    for program in ["systemd-nspawn", "nsenter"] {
        if Command::new(program).arg("--version").output().is_err() {
            return lab::skipped(&format!("no {program}"));
        }
    }
    let fetched = Command::new(lab::scripts().join("boot-image.sh")).arg("fetch").output().unwrap();
    if !fetched.status.success() {
        return lab::skipped(&String::from_utf8_lossy(&fetched.stderr));
    }
    let stock = String::from_utf8(fetched.stdout).unwrap();
    let tree = dir.join("tree");
    succeeds(Command::new("cp").arg("-a").arg(stock.trim_end()).arg(&tree));
    container::break_agent(&tree);
    container::enable(&tree, "systemd-networkd.service");
    put(&tree, "etc/systemd/network/10-eth0.network", 0o644, NIC);
    put(&tree, "etc/systemd/system/ssh.service.d/keygen.conf", 0o644, KEYGEN);
    put(&tree, "etc/machine-id", 0o444, &format!("{OLD_ID}\n"));
    put(&tree, "root/.bash_history", 0o600, "typed\n");
    fs::copy(lab::static_novactl(), tree.join("root/novactl")).unwrap();
    Some(tree)
}

fn succeeds(command: &mut Command) {
    succeeded(&command.output().unwrap());
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:#?}");
}

/// What goes on working on the server: its address, its keys and name, sshd.
fn working(container: &Container, tree: &Path) -> (Vec<String>, identity::Identity) {
    let of = |argv: &[&str]| container.text(argv);
    let said = vec![
        of(&["ip", "-o", "address", "show", "dev", "eth0", "scope", "global"]),
        of(&["ip", "route"]),
        of(&["hostname"]),
        of(&["systemctl", "is-active", "ssh", "systemd-networkd"]),
        of(&["systemctl", "show", "--value", "-p", "MainPID", "ssh"]),
    ];
    (said, identity::of(tree, &["etc/ssh", "etc/systemd/network", "etc/machine-id", "etc/hostname"]))
}

#[test]
fn a_running_server_is_mended_goes_on_working_and_its_copy_is_a_new_server() {
    let lab_dir = std::env::var_os("NOVACTL_LAB")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab"), PathBuf::from);
    fs::create_dir_all(&lab_dir).unwrap();
    let dir = tempfile::tempdir_in(lab_dir).unwrap();
    let Some(tree) = server(dir.path()) else { return };
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    host.store.write("/local/domain/7/vm-data/networking/BC764E207572", ASSIGNED);

    let server = Container::boot(&tree, &host.socket, &[]);
    // a cable of its own, so that nothing of it is seen on this machine
    let cable =
        "ip link add eth0 address bc:76:4e:20:75:72 type veth peer name peer0 && ip link set peer0 up";
    succeeded(&server.run(&["sh", "-c", cable]));
    let end = Instant::now() + LIMIT;
    while !server.text(&["ip", "-o", "address", "show", "dev", "eth0"]).contains(ADDRESS) {
        assert!(Instant::now() < end, "no address: {}", server.text(&["networkctl", "status", "eth0"]));
        std::thread::sleep(Duration::from_millis(100));
    }
    let failed = server.text(&["systemctl", "--failed", "--plain", "--no-legend", "-q"]);
    assert!(failed.starts_with(OLD_UNIT) && failed.lines().count() == 1, "{failed}");
    let before = working(&server, &tree);
    assert!(before.0[0].contains(ADDRESS), "{before:#?}");
    let fixed = server.run(&["/root/novactl", "fix-image", "--install-agent", "--generalize", "--yes"]);
    let said = String::from_utf8_lossy(&fixed.stdout).into_owned();
    assert!(matches!(fixed.status.code(), Some(0 | 1)) && said.contains("DONE"), "{fixed:#?}");
    for step in ["machine-id", "host-keys", "network", "hostname"] {
        assert!(said.contains(&format!("the step {step} is left out on a running server")), "{said}");
    }
    assert_eq!(working(&server, &tree), before, "{said}");
    let words = ["/root/novactl", "fix-image", "--install-agent", "--generalize", "--dry-run"];
    let again = server.text(&[&words[..], &["--format", "json"]].concat());
    assert!(again.contains("\"nothing-to-do\""), "{again}");
    assert_eq!(server.text(&["systemctl", "is-system-running"]), "running");
    assert_eq!(host.ask("version", "agent").0, "0", "{}", server.journal());

    // the image is taken now
    let copy = dir.path().join("copy");
    succeeds(Command::new("cp").arg("-a").arg(&tree).arg(&copy));
    assert_eq!(working(&server, &tree), before);
    drop(server);
    put(&copy, "etc/fstab", 0o644, "LABEL=root / ext4 defaults 0 1\n");
    let image = dir.path().join("disk.img");
    succeeds(Command::new("truncate").args(["-s", "900M"]).arg(&image));
    succeeds(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-L", "root", "-d"]).arg(&copy).arg(&image));
    let novactl = lab::static_novactl();
    let mut fix = Command::new(&novactl);
    let made = fix.args(["fix-image", "--generalize", "--yes", "--disk"]).arg(&image).output().unwrap();
    let made = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.contains("DONE"), "{made}");
    let mut set = Command::new(&novactl);
    set.args(["set-password", "--stdin", "--yes", "--unlock", "--disk"]).arg(&image).stdin(Stdio::piped());
    let mut child = set.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().code().is_some_and(|code| code <= 1));

    let old_key = fs::read_to_string(copy.join("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    let mut console = Console::logged_in(&image, PASSWORD, None);
    let id = console.shell("cat /etc/machine-id");
    assert!(id.len() == 32 && id != OLD_ID, "{id}");
    assert_eq!(console.shell("cat /etc/hostname; hostname"), "localhost");
    assert_eq!(console.shell("ip -o -4 address show scope global; ls /etc/systemd/network"), "");
    let ssh = console.shell("systemctl start ssh; systemctl is-active ssh");
    assert_eq!(ssh.lines().last(), Some("active"), "{ssh}");
    let key = console.shell("cat /etc/ssh/ssh_host_ed25519_key.pub");
    assert!(key.starts_with("ssh-ed25519 ") && key != old_key.trim(), "{key}");
    let enabled = console.shell("systemctl is-enabled novactl-agent python3-nova-agent");
    assert_eq!(enabled, "enabled\ndisabled");
    assert_eq!(
        console.shell("cat /root/.bash_history"),
        "cat: /root/.bash_history: No such file or directory"
    );
    console.off();
}
