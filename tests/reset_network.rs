//! `reset-network` from the outside: on mounted roots with every back end, killed at every step, and on live links under
//! the real systemd-networkd, NetworkManager and ifupdown, with its revert.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, makes trees, runs the program and says what was skipped"
)]

mod network;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use network::lab;
use novactl::net::backend::BACKENDS;
use novactl::net::intent::Nic;
use serde_json::Value;

const DUMP: &str = r#"{"vm-data": {"hostname": "web_01", "networking": {
  "525400A10001": "{\"label\": \"public\", \"ips\": [{\"ip\": \"203.0.113.7\", \"netmask\": \"255.255.255.0\", \"enabled\": \"1\"}], \"gateway\": \"203.0.113.1\", \"dns\": [\"203.0.113.53\"]}",
  "525400A10002": "{\"label\": \"private\\nup reboot\", \"ips\": [{\"ip\": \"10.208.1.9\", \"netmask\": \"255.255.224.0\", \"enabled\": \"1\"}], \"routes\": [{\"route\": \"10.176.0.0\", \"netmask\": \"255.240.0.0\", \"gateway\": \"10.208.0.1\"}]}"}}}"#;

/// A mounted root that holds what somebody else configured, and the dump beside it.
struct Guest(tempfile::TempDir);

impl Guest {
    fn new() -> Self {
        let guest = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            ("root/etc/os-release", "ID=debian\nVERSION_ID=12\n"),
            ("root/etc/hostname", "old\n"),
            (
                "root/etc/netplan/50-cloud-init.yaml",
                "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n",
            ),
            ("root/etc/netplan/60-vpn.yaml", "network:\n  version: 2\n  bridges:\n    br0: {dhcp4: false}\n"),
            ("root/etc/systemd/network/01-eth0.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"),
            (
                "root/etc/NetworkManager/system-connections/vpn.nmconnection",
                "[connection]\nid=vpn\ntype=vpn\n",
            ),
            ("dump.json", DUMP),
        ] {
            let path = guest.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        guest
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn command(&self, backend: &str, extra: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.arg("reset-network").arg("--root").arg(self.root()).args(["--backend", backend]);
        // where a run that is killed leaves the copy that it had checked
        command.env("TMPDIR", self.0.path());
        command.arg("--xenstore").arg(self.0.path().join("dump.json")).args(extra).stdin(Stdio::null());
        command
    }

    fn run(&self, backend: &str, extra: &[&str]) -> Output {
        self.command(backend, extra).output().unwrap()
    }

    fn undo(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.args(["undo", "--yes", "--root"]).arg(self.root()).output().unwrap()
    }

    /// Every file with its mode and content, and every directory, without the journal.
    fn picture(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let root = self.root();
        let mut seen = BTreeMap::new();
        let mut ahead = vec![root.clone()];
        while let Some(path) = ahead.pop() {
            let stat = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(&root).unwrap().to_owned();
            if name.starts_with("var") {
                continue;
            }
            let body = match stat.file_type() {
                kind if kind.is_dir() => {
                    ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                    Vec::new()
                }
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().to_str().unwrap().into(),
                _ => fs::read(&path).unwrap(),
            };
            seen.insert(name, (stat.permissions().mode(), body));
        }
        seen
    }
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_back_end_that_nothing_reads_is_refused_where_another_one_configures_the_nics() {
    let guest = Guest::new();
    for (path, text) in [
        ("usr/sbin/ifup", ""),
        ("etc/rc2.d/S01networking", ""),
        ("etc/init.d/networking", "#!/bin/sh\n"),
        ("etc/init/network-interface.conf", "start on net-device-added\n"),
        ("etc/network/interfaces", "auto eth0\niface eth0 inet static\n  address 192.0.2.9/24\n"),
    ] {
        let path = guest.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for asked in ["wicked", "netplan", "networkd", "keyfile"] {
        let refused = guest.run(asked, &["--yes"]);
        assert_eq!(refused.status.code(), Some(3), "{asked}: {}", words(&refused));
        let told = words(&refused).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            told.contains(&format!("nothing reads the files of {asked}: ifupdown is in charge")),
            "{told}"
        );
        let forced = guest.run(asked, &["--dry-run", "--force"]);
        assert_eq!(forced.status.code(), Some(1), "{asked}: {}", words(&forced));
    }
    let right = guest.run("ifupdown", &["--dry-run"]);
    assert_eq!(right.status.code(), Some(1), "{}", words(&right));
}

#[test]
fn a_disk_is_configured_once_and_undone_byte_for_byte() {
    for backend in BACKENDS {
        let name = backend.name();
        let guest = Guest::new();
        let before = guest.picture();

        let shown = guest.run(name, &["--dry-run"]);
        assert_eq!(shown.status.code(), Some(1), "{name}: {}", words(&shown));
        assert_eq!(guest.picture(), before, "{name}: --dry-run changed something");
        assert!(!guest.root().join("var").exists(), "{name}: --dry-run left something behind");

        let asked = guest.run(name, &[]);
        assert_eq!(asked.status.code(), Some(6), "{name}: {}", words(&asked));
        assert_eq!(guest.picture(), before, "{name}: changed without consent");

        let made = guest.run(name, &["--yes", "--format", "json"]);
        let told = words(&made);
        assert_eq!(made.status.code(), Some(0), "{name}: {told}");
        let report: Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!(report["result"], "applied", "{name}: {told}");
        assert_eq!(report["plan"]["interfaces"]["eth0"]["addresses"][0], "203.0.113.7/24", "{told}");
        assert_eq!(fs::read_to_string(guest.root().join("etc/hostname")).unwrap(), "web-01\n");
        let after = guest.picture();
        assert!(
            !after.values().any(|(_, body)| String::from_utf8_lossy(body).contains("\nup reboot")),
            "{name}"
        );

        let again = guest.run(name, &["--yes"]);
        assert_eq!((again.status.code(), guest.picture()), (Some(0), after), "{name}: {}", words(&again));
        assert!(words(&again).contains("NOTHING TO DO"), "{name}: {}", words(&again));

        let undone = guest.undo();
        assert_eq!((undone.status.code(), guest.picture()), (Some(0), before), "{name}: {}", words(&undone));
    }
}

#[test]
fn nothing_assigned_changes_nothing() {
    for dump in [
        r#"{"vm-data": {"networking": {}}}"#,
        r#"{"vm-data": {"networking": {"525400A10001": "{\"label\": \"public\", \"ips\": []}"}}}"#,
        r#"{"vm-data": {"networking": {"525400A10001": "{"}}}"#,
        r#"{"vm-data": {}}"#,
    ] {
        let guest = Guest::new();
        fs::write(guest.0.path().join("dump.json"), dump).unwrap();
        let before = guest.picture();
        let output = guest.run("networkd", &["--yes"]);
        assert_eq!((output.status.code(), guest.picture()), (Some(3), before), "{dump}: {}", words(&output));
    }
}

#[test]
fn killed_at_any_step_it_is_taken_back_at_the_next_start() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: no strace");
        return;
    }
    let mut killed = 0;
    for call in ["mkdirat", "openat", "write", "fchmod", "fsync", "renameat", "unlinkat"] {
        for nth in 1.. {
            let guest = Guest::new();
            let before = guest.picture();
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let command = guest.command("networkd", &["--yes"]);
            let run = Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject])
                .arg(command.get_program())
                .args(command.get_args())
                .env("TMPDIR", guest.0.path())
                .stdin(Stdio::null())
                .output()
                .unwrap();
            if run.status.success() {
                break;
            }
            killed += 1;
            // whatever was interrupted is taken back first; what was finished is then undone
            guest.undo();
            assert_eq!(guest.picture(), before, "killed at {call} {nth}");
            let made = guest.run("networkd", &["--yes"]);
            assert_eq!(made.status.code(), Some(0), "after {call} {nth}: {}", words(&made));
        }
    }
    assert!(killed > 50, "only {killed} steps were killed at");
}

fn nics() -> Vec<Nic> {
    let nic = |name: &str, mac: &str| Nic { name: name.to_owned(), mac: mac.parse().unwrap() };
    vec![nic("eth0", "52:54:00:a1:00:01"), nic("eth1", "52:54:00:a1:00:02")]
}

/// A way to run a network: the files of a system whose eth0 still has the address of the server that its image was made
/// from, and whose eth1 has its address and lacks its routes; and what starts it and waits until both are up.
struct Running {
    backend: &'static str,
    files: &'static [(&'static str, &'static str)],
    start: &'static str,
    /// A file that a change retires or rewrites, and that a revert brings back.
    old: &'static str,
}

const NETWORKD: Running = Running {
    backend: "networkd",
    files: &[
        (
            "etc/systemd/network/10-old.network",
            "[Match]\nName=eth0\n[Network]\nAddress=198.51.100.9/24\nGateway=198.51.100.1\nLinkLocalAddressing=no\n",
        ),
        (
            "etc/systemd/network/20-eth1.network",
            "[Match]\nName=eth1\n[Network]\nAddress=10.208.1.9/19\nLinkLocalAddressing=no\n",
        ),
        ("etc/netplan/01-old.yaml", "network:\n  version: 2\n"),
    ],
    start: "\
        mkdir -p /run/dbus /run/systemd
        install -d -o systemd-network -g systemd-network /run/systemd/netif /run/systemd/netif/links
        dbus-daemon --system --fork
        /lib/systemd/systemd-networkd &
        /lib/systemd/systemd-networkd-wait-online --timeout=20 --interface=eth0 --interface=eth1\n",
    old: "/etc/systemd/network/10-old.network",
};

const NETWORK_MANAGER: Running = Running {
    backend: "keyfile",
    files: &[
        (
            "etc/NetworkManager/system-connections/old.nmconnection",
            "[connection]\nid=old\nuuid=0a3d5a52-4f0c-4f2e-9c84-6a1d5a6f4b10\ntype=ethernet\ninterface-name=eth0\n\
             [ipv4]\nmethod=manual\naddress1=198.51.100.9/24,198.51.100.1\n[ipv6]\nmethod=link-local\n",
        ),
        (
            "etc/NetworkManager/system-connections/by hand",
            "[connection]\nid=mine\nuuid=5d1ff2c0-7a42-4f54-9d30-8c2c1a7e7b0e\ntype=ethernet\n\
             [ethernet]\nmac-address=52:54:00:A1:00:02\nmtu=1400\n\
             [ipv4]\nmethod=manual\naddress1=10.208.1.9/19\n[ipv6]\nmethod=link-local\n",
        ),
    ],
    start: "\
        mkdir -p /run/dbus
        dbus-daemon --system --fork
        printf '[main]\\nplugins=keyfile\\nauth-polkit=false\\ndns=none\\nno-auto-default=*\\n' >/run/nm.conf
        printf '[device-peer]\\nmatch-device=interface-name:peer*\\nmanaged=0\\n' >>/run/nm.conf
        chmod 600 /etc/NetworkManager/system-connections/*
        NetworkManager --no-daemon --config=/run/nm.conf >/run/nm.log 2>&1 &
        nm-online --wait-for-startup --timeout=20 --quiet\n",
    old: "/etc/NetworkManager/system-connections/old.nmconnection",
};

const IFUPDOWN: Running = Running {
    backend: "ifupdown",
    files: &[
        (
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\nsource interfaces.d/*\n\
             auto eth1\niface eth1 inet static\n    address 10.208.1.9/19\n    mtu 1400\n",
        ),
        (
            "etc/network/interfaces.d/old",
            "auto eth0\niface eth0 inet static\n    address 198.51.100.9/24\n    gateway 198.51.100.1\n",
        ),
    ],
    start: "\
        mkdir -p /run/network
        ifup -a\n",
    old: "/etc/network/interfaces.d/old",
};

const ALL: [&Running; 3] = [&NETWORKD, &NETWORK_MANAGER, &IFUPDOWN];

impl Running {
    /// Runs a script on it, with what a person would type; returns what the NICs have then.
    fn run(&self, script: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (path, text) in self.files.iter().chain(&[("root/dump.json", DUMP)]) {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let novactl = std::env::var("NOVACTL_STATIC").unwrap_or(env!("CARGO_BIN_EXE_novactl").to_owned());
        let sbin = dir.path().join("usr/local/sbin");
        fs::create_dir_all(&sbin).unwrap();
        fs::copy(novactl, sbin.join("novactl")).unwrap();
        let words = format!(
            "reset() {{ novactl reset-network --xenstore /root/dump.json --yes --backend {} \"$@\"; }}\n\
             until_up() {{ timeout 20 sh -c \"until ip -o address show dev eth0 | grep -q $1; do sleep 0.1; done\"; }}\n",
            self.backend
        );
        lab::run(dir.path(), &format!("{}{words}{script}", self.start), &nics())
    }
}

const WANTED: &str = "\
eth0 52:54:00:a1:00:01
  0.0.0.0/0 via 203.0.113.1
  203.0.113.7/24
eth1 52:54:00:a1:00:02
  10.176.0.0/12 via 10.208.0.1
  10.208.1.9/19";

#[test]
fn a_running_server_gets_the_hosts_network_and_what_is_right_is_never_touched() {
    for running in ALL {
        let script = "
            ip -o monitor address >/tmp/monitor &
            reset
            reset --dry-run
            cat /tmp/monitor
            ! grep 'Deleted.* 10\\.208\\.1\\.9/' /tmp/monitor
            # the new address comes before the old one goes
            grep -n -e '203\\.0\\.113\\.7/' -e 'Deleted.* 198\\.51\\.100\\.9/' /tmp/monitor | head -1 | grep -F 203.0.113.7
            ! ip -o address show dev eth0 | grep 198.51.100.9
            test \"$(cat /etc/hostname)\" = web-01";
        let Some(outcome) = running.run(script) else { return };
        assert_eq!(outcome, WANTED, "{}", running.backend);
    }
}

#[test]
fn a_change_that_nobody_keeps_takes_itself_back_although_its_group_is_killed() {
    for running in ALL {
        let script = "
            cat >/tmp/doomed <<'END'
            novactl reset-network --xenstore /root/dump.json --yes --backend BACKEND --revert-after 2
            ip -o address show dev eth0 | grep 203.0.113.7 >/tmp/was-made
            kill -KILL 0
END
            setsid sh /tmp/doomed || true
            test -s /tmp/was-made
            until_up 198.51.100.9
            timeout 20 sh -c 'while ip -o address show dev eth0 | grep -q 203.0.113.7; do sleep 0.1; done'
            test -e 'OLD'
            ! ls /etc/systemd/network/*novactl* /etc/NetworkManager/system-connections/novactl*
            ! grep -r novactl /etc/network
            timeout 20 sh -c 'until grep -rq undone /var/lib/novactl/undo; do sleep 0.1; done'
            # a manager that was told to reload works afterwards
            timeout 30 sh -c 'n=0; until [ $n = 20 ]; do
                sleep 0.1; n=$((n + 1))
                ip -o address show dev eth0 | grep -q 198.51.100.9 || n=0
                ip route | grep -q 198.51.100.1 || n=0
            done'";
        let script = script.replace("BACKEND", running.backend).replace("OLD", running.old);
        let Some(outcome) = running.run(&script) else { return };
        let back = outcome.contains("198.51.100.9/24") && outcome.contains("0.0.0.0/0 via 198.51.100.1");
        assert!(back && outcome.contains("10.208.1.9/19"), "{}: {outcome}", running.backend);
        assert!(!outcome.contains("203.0.113.7"), "{}: {outcome}", running.backend);
    }
}

#[test]
fn a_change_whose_program_fails_leaves_the_old_network() {
    // nothing here lets netplan apply anything: there is no systemd to ask
    let script = "
        code=0; novactl reset-network --xenstore /root/dump.json --yes --backend netplan || code=$?
        echo \"exit $code\" >&2
        test $code = 4 || test $code = 5
        test ! -e /etc/netplan/90-novactl.yaml";
    let Some(outcome) = NETWORKD.run(script) else { return };
    assert!(outcome.contains("198.51.100.9/24") && outcome.contains("10.208.1.9/19"), "{outcome}");
    assert!(!outcome.contains("203.0.113.7"), "{outcome}");

    // nmcli that fails once, where the second profile is to be applied
    let script = "
        mkdir /run/broken
        printf '#!/bin/sh\\ncase \"$*\" in *reapply*eth1*) mkdir /run/once 2>/dev/null && exit 1;; esac\\nexec /usr/bin/nmcli \"$@\"\\n' >/run/broken/nmcli
        chmod 755 /run/broken/nmcli
        code=0; PATH=/run/broken:$PATH reset || code=$?
        test $code = 4 || { echo \"exit $code\"; exit 1; }
        test -e /etc/NetworkManager/system-connections/old.nmconnection
        ! ls /etc/NetworkManager/system-connections/novactl*";
    let Some(outcome) = NETWORK_MANAGER.run(script) else { return };
    assert!(outcome.contains("198.51.100.9/24") && outcome.contains("10.208.1.9/19"), "{outcome}");
    assert!(!outcome.contains("203.0.113.7"), "{outcome}");

    // ip that fails at one of the routes, after addresses and another route were added
    let script = "
        mkdir /run/broken
        printf '#!/bin/sh\\ncase \"$*\" in *replace*10.176*) exit 2;; esac\\nexec /usr/sbin/ip \"$@\"\\n' >/run/broken/ip
        chmod 755 /run/broken/ip
        code=0; PATH=/run/broken:$PATH reset || code=$?
        test $code = 4 || { echo \"exit $code\"; exit 1; }
        ! grep -r novactl /etc/network";
    let Some(outcome) = IFUPDOWN.run(script) else { return };
    assert!(outcome.contains("198.51.100.9/24") && outcome.contains("10.208.1.9/19"), "{outcome}");
    assert!(!outcome.contains("203.0.113.7"), "{outcome}");
}

#[test]
fn a_network_that_worked_is_not_given_up_for_one_whose_gateway_is_silent() {
    // whose gateways are there, the options, the exit code, the finding, the address afterwards
    let rows = [
        ("203.0.113.1/24", "", 0, "", "203.0.113.7/24"),
        ("", "", 0, "warn", "203.0.113.7/24"),
        ("198.51.100.1/24", "", 4, "fail", "198.51.100.9/24"),
        ("198.51.100.1/24", "--force", 0, "warn", "203.0.113.7/24"),
        ("203.0.113.1/24 198.51.100.1/24", "", 0, "", "203.0.113.7/24"),
    ];
    for (routers, option, code, status, address) in rows {
        let script = format!(
            "mkdir -p /run/netns
            ip netns add router
            ip link set peer0 netns router
            ip -n router link set peer0 up
            for router in {routers}; do ip -n router address add $router dev peer0; done
            code=0; reset {option} --format json >/run/report || code=$?
            cat /run/report
            test $code = {code}
            found=$(tr -d ' \\n' </run/report | grep -o 'status.:.[a-z]*.,.title.:.nobody' | sed 's/^status...\\([a-z]*\\).*/\\1/') || true
            echo \"found $found\"
            test \"$found\" = \"{status}\""
        );
        let Some(outcome) = IFUPDOWN.run(&script) else { return };
        assert!(outcome.contains(&format!("\n  {address}\n")), "{routers} {option}: {outcome}");
    }
}

#[test]
fn a_person_on_a_terminal_is_asked_and_control_c_changes_nothing() {
    let script = "
        code=0; novactl reset-network --backend ifupdown </dev/null 2>/run/said || code=$?
        test $code = 3
        grep -F -e '--address NIC=ADDRESS/LENGTH' /run/said
        picture() { ip -o address; ip route; cat /etc/network/interfaces /etc/network/interfaces.d/*; }
        picture >/run/before
        mkfifo /run/keys
        start() {
            : >/run/screen
            script -qefc 'stty cols 80 rows 24; novactl reset-network --backend ifupdown --revert-after 0' \
                /run/screen </run/keys >/run/out 2>&1 &
            terminal=$!
            exec 3>/run/keys
        }
        seen() { timeout 20 sh -c \"until grep -q '$1' /run/screen; do sleep 0.05; done\" || { cat /run/screen; exit 1; }; }
        delete() { printf '\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177\\177' >&3; }

        start
        seen 'NIC: .*eth0'; printf '\\r' >&3
        seen 'Address/length: .*198.51.100.9/24'; printf '\\003' >&3
        code=0; wait $terminal || code=$?
        exec 3>&-
        test $code != 0
        picture | diff /run/before -

        start
        seen 'NIC: .*eth0'; printf '\\r' >&3
        seen 'Address/length: .*198.51.100.9/24'; delete; printf '203.0.113.7\\r' >&3
        seen 'with its length'; delete; printf '203.0.113.7/24\\r' >&3
        seen 'Default gateway.*198.51.100.1'; delete; printf '203.0.113.1\\r' >&3
        seen 'Name servers'; delete; printf '203.0.113.53\\r' >&3
        seen 'Make this change'; printf 'y\\r' >&3
        code=0; wait $terminal || code=$?
        exec 3>&-
        cat /run/screen
        test $code = 0
        grep -F 'nameserver 203.0.113.53' /etc/resolv.conf || test -L /etc/resolv.conf";
    let Some(outcome) = IFUPDOWN.run(script) else { return };
    assert!(
        outcome.starts_with("eth0 52:54:00:a1:00:01\n  0.0.0.0/0 via 203.0.113.1\n  203.0.113.7/24\n"),
        "{outcome}"
    );
}

#[test]
fn a_read_only_or_full_disk_refuses_and_leaves_nothing() {
    let spaces = Command::new("unshare").args(["--mount", "true"]).output();
    if !spaces.is_ok_and(|output| output.status.success()) {
        println!("skipped: no namespaces without root");
        return;
    }
    let full = |dir: &str| {
        format!(
            "cp -a {dir} {dir}.was; mount -t tmpfs -o size=128k tmpfs {dir}; cp -a {dir}.was/. {dir}/; rm -r {dir}.was; dd if=/dev/zero of={dir}/fill bs=4k 2>/dev/null || true"
        )
    };
    let rows = [
        ("mount --bind . .; cd $PWD; mount -o remount,bind,ro .".to_owned(), "Read-only file system"),
        (full("etc"), "No space left on device"),
        (format!("mkdir -p var; {}", full("var")), "No space left on device"),
    ];
    for (prepare, why) in rows {
        for backend in BACKENDS {
            let guest = Guest::new();
            fs::create_dir(guest.root().join("var")).unwrap();
            let command = guest.command(backend.name(), &["--yes"]);
            let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
            let script = format!(
                "cd {root}; {prepare}; cp -a . {copy}; code=0
                {novactl} {words} >{said} 2>&1 </dev/null || code=$?
                cat {said}
                test $code = 4 || test $code = 3
                tr -s ' \\n' ' ' <{said} | grep -F '{why}'
                rm -rf {root}/var/lib 2>/dev/null || true
                diff -r --no-dereference {copy} {root}",
                root = guest.root().display(),
                copy = guest.0.path().join("copy").display(),
                said = guest.0.path().join("said").display(),
                novactl = command.get_program().to_str().unwrap(),
                words = words.join(" "),
            );
            let output = Command::new("unshare")
                .args(["--mount", "--propagation", "private", "sh", "-euc", &script])
                .output()
                .unwrap();
            assert!(output.status.success(), "{prepare} {}: {}", backend.name(), self::words(&output));
        }
    }
}

#[test]
fn killed_at_any_step_of_a_running_server_it_is_taken_back_at_the_next_start() {
    // the NIC's own program kills who called it: at its NUMBERth change, before it made it or after
    let script = "
        mkdir /run/broken
        cat >/run/broken/ip <<'END'
#!/bin/sh
case \"$*\" in *replace*|*' del '*)
    left=$(($(cat /run/left) - 1)); echo $left >/run/left
    if [ $left = 0 ]; then
        [ $(cat /run/when) = before ] || /usr/sbin/ip \"$@\"
        kill -9 $PPID
        exit 1
    fi;;
esac
exec /usr/sbin/ip \"$@\"
END
        chmod 755 /run/broken/ip
        picture() { ip -o address; ip route; cat /etc/network/interfaces /etc/network/interfaces.d/* /etc/hostname; hostname; }
        picture | sed 's/valid_lft.*//' | sort >/run/old
        number=0
        while :; do
            number=$((number + 1))
            for when in before after; do
                echo $number >/run/left; echo $when >/run/when
                PATH=/run/broken:$PATH reset && break 2
                novactl undo --yes || true
                picture | sed 's/valid_lft.*//' | sort | diff /run/old -
            done
        done
        echo \"killed at $((number - 1)) steps\"
        test $number -gt 4";
    let Some(outcome) = IFUPDOWN.run(script) else { return };
    assert_eq!(outcome, WANTED);
}

#[test]
fn a_server_under_rackconnect_v2_is_refused_until_forced() {
    let guest = Guest::new();
    let dump = DUMP.replace(
        r#""hostname""#,
        r#""user-metadata": {"rackconnect_automation_status": "\"DEPLOYED\""}, "hostname""#,
    );
    fs::write(guest.0.path().join("dump.json"), dump).unwrap();
    let before = guest.picture();
    let output = guest.run("networkd", &["--yes"]);
    assert_eq!((output.status.code(), guest.picture()), (Some(3), before), "{}", words(&output));
    assert!(words(&output).contains("--force"), "{}", words(&output));
    assert_eq!(guest.run("networkd", &["--yes", "--force"]).status.code(), Some(0));
}

#[test]
fn doctor_mends_the_sources_addresses_on_a_disk_and_looks_again() {
    let guest = Guest::new();
    let old = "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    eth0: {addresses: [198.51.100.9/24]}\n";
    for (path, text) in [
        ("etc/netplan/50-cloud-init.yaml", old),
        ("usr/sbin/netplan", ""),
        ("usr/lib/systemd/system-generators/netplan", ""),
    ] {
        let path = guest.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let before = guest.picture();
    let doctor = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.args(["doctor", "--format", "json", "--topic", "network", "--root"]).arg(guest.root());
        command.arg("--xenstore").arg(guest.0.path().join("dump.json")).args(extra).stdin(Stdio::null());
        command.output().unwrap()
    };
    assert_eq!(doctor(&[]).status.code(), Some(1));
    let shown = doctor(&["--fix", "--dry-run"]);
    assert_eq!((shown.status.code(), guest.picture()), (Some(1), before.clone()), "{}", words(&shown));
    let fixed = doctor(&["--fix", "--yes"]);
    let report: Value = serde_json::from_slice(&fixed.stdout).unwrap();
    assert_eq!((fixed.status.code(), &report["result"]), (Some(0), &"applied".into()), "{}", words(&fixed));
    assert_eq!(doctor(&[]).status.code(), Some(0), "{}", words(&doctor(&[])));
    assert_eq!(guest.undo().status.code(), Some(0));
    assert_eq!(guest.picture(), before);
}

#[test]
fn what_doctor_mended_stays_although_another_file_has_to_be_mended_by_hand() {
    let guest = Guest::new();
    let mendable =
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      gateway4: null\n";
    let not = "network:\n  version: 2\n  ethernets:\n    eth1:\n      addresses: [10.0.0.5]\n";
    for (path, text) in
        [("usr/sbin/netplan", ""), ("etc/netplan/70-a.yaml", mendable), ("etc/netplan/80-b.yaml", not)]
    {
        let path = guest.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let before = guest.picture();
    let output = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(["doctor", "--fix", "--yes", "--format", "json", "--only", "netplan-valid", "--root"])
        .arg(guest.root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["result"]), (Some(1), &"applied".into()), "{}", words(&output));
    let still =
        serde_json::json!([{"id": "netplan-valid", "subject": "etc/netplan/80-b.yaml", "status": "fail"}]);
    assert_eq!(report["verified"], still);
    let read = |name: &str| fs::read_to_string(guest.root().join("etc/netplan").join(name)).unwrap();
    assert_eq!(read("70-a.yaml"), mendable.replace("      gateway4: null\n", ""));
    assert_eq!(read("80-b.yaml"), not);
    assert_eq!(guest.undo().status.code(), Some(0));
    assert_eq!(guest.picture(), before);
}

#[test]
fn what_only_hands_can_mend_is_left_and_said() {
    let guest = Guest::new();
    let before = guest.picture();
    let output = Command::new(env!("CARGO_BIN_EXE_novactl"))
        .args(["doctor", "--fix", "--yes", "--only", "agent-installed", "--root"])
        .arg(guest.root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), guest.picture()), (Some(1), before), "{}", words(&output));
    assert!(words(&output).contains("left: agent-installed"), "{}", words(&output));
}
