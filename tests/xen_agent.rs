//! The agent in a real Xen guest: dom0 sends what nova sends, through the filter of its plugin, and the guest, whose
//! root is busybox, Debian's ifupdown and the static binary, does it all. Takes about a minute and a half.
//!
//! What the commands took of nova's limits is printed; only that every one was answered within them is asserted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "drives programs and says what they took"
)]

#[path = "lab/guest.rs"]
mod guest;
mod lab;

use std::collections::HashMap;

use guest::{Guest, Shown};

const FIRST: &str = r"Pässwörd 7\$";
const SECOND: &str = "an other one";

/// What dom0 does: a first boot, a password reset, a second network; then it looks whether anything is left.
const HOST: &str = r#"
. /root/show
. /root/nova
show version version
show features ask features ""
show key inject /root/.ssh/authorized_keys '\n# The following ssh key was injected by Nova\nssh-ed25519 AAAA me\n'
show file inject /etc/motd 'welcome\n'
show password password 'Pässwörd 7\$' 846301229938405217769281 sha256
show resetnetwork ask resetnetwork "" 60
xenstore-write $home/vm-data/lab first
show seen await $home/data/lab first

show reset password 'an other one' 5550123456789 md5
show plug plug bc:76:4e:20:00:02 1
# of a running guest, the filter takes a level of backslashes from it
xenstore-write $home/vm-data/networking/BC764E200002 '{"label": "caf\u00e9", "mac": "BC:76:4E:20:00:02", "ips": [{"ip": "192.168.3.9", "netmask": "255.255.0.0", "enabled": "1", "gateway": null}], "routes": [{"route": "10.208.0.0", "netmask": "255.240.0.0", "gateway": "192.168.3.1"}], "dns": []}'
show attach ask resetnetwork "" 60
show left xenstore-list $home/data/host
xenstore-write $home/vm-data/lab second
"#;

/// What the guest does: it runs the agent and shows what became of it.
const GUEST: &str = r#"
. /root/show
export PATH=/sbin:$PATH
mkdir -p /run/network /tmp /etc/network/if-pre-up.d /etc/network/if-up.d
hostname localhost
ip link set lo up
until_host() {
  until [ "$(xenstore-read vm-data/lab 2>/dev/null)" = "$1" ]; do sleep .5; done
}
/novactl agent run --log-file /var/log/novactl-agent.log >/var/log/agent.out 2>&1 &
agent=$!
until_host first
show hostname hostname
show key-file cat /root/.ssh/authorized_keys
show modes stat -c '%a %u %n' /root/.ssh /root/.ssh/authorized_keys /etc/motd /etc/shadow
show motd cat /etc/motd
show shadow cat /etc/shadow
show addresses ip -o -4 address show
show routes ip -4 route show
xenstore-write data/lab first

until_host second
show shadow-second cat /etc/shadow
show addresses-second ip -o -4 address show
show routes-second ip -4 route show
show status grep -E '^(VmRSS|VmHWM|Threads|voluntary)' /proc/$agent/status
kill $agent
wait $agent
echo $? >/tmp/code
show ended cat /tmp/code
# the next boot: only the files are left
for nic in eth0 eth1 lo; do
  ip address flush dev $nic
  ip link set $nic down
done
# by its path: the shell takes busybox's own of that name first
show boot /sbin/ifup -a
show addresses-boot ip -o -4 address show
show routes-boot ip -4 route show
show files cat /etc/network/interfaces /etc/hostname /etc/resolv.conf
show log cat /var/log/novactl-agent.log /var/log/agent.out
"#;

/// The guest's root, as a Debian before systemd: what decides who is in charge of the NICs.
const FILES: [(&str, &str); 9] = [
    ("etc/os-release", "ID=debian\nVERSION_ID=\"7\"\nNAME=\"Debian GNU/Linux\"\n"),
    ("etc/inittab", "id:2:initdefault:\n"),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
    ("etc/hostname", "localhost\n"),
    ("etc/network/interfaces", "auto lo\niface lo inet loopback\n"),
    (
        "etc/init.d/networking",
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: networking\n### END INIT INFO\nifup -a\n",
    ),
    ("var/log/README", ""),
];

#[test]
fn in_a_real_guest_the_agent_does_what_nova_asks() {
    let Some(guest) = Guest::new() else { return };
    FILES.iter().for_each(|(path, text)| guest.write(path, text));
    guest.make_executable("etc/init.d/networking");
    guest.link("etc/rcS.d/S12networking", "../init.d/networking");
    guest.put(&Guest::of_debian("sbin/ifup"), "sbin/ifup");
    let shown = guest.boot(GUEST, Some(HOST));
    print_times(&shown);
    let text =
        |name: &str| shown.get(name).unwrap_or_else(|| panic!("no {name}: {shown:#?}")).stdout.as_str();
    let log = text("log");
    let told = || format!("{log}\n{shown:#?}");

    let version = concat!("2.1.25.", env!("CARGO_PKG_VERSION"));
    assert_eq!(answer(text("version")), ("0".to_owned(), version.to_owned()), "{}", told());
    let (code, features) = answer(text("features"));
    assert!(code == "0" && features.split(',').any(|word| word == "injectfile"), "{features}");
    for command in ["key", "file", "password", "resetnetwork", "reset", "attach"] {
        assert_eq!(answer(text(command)), ("0".to_owned(), String::new()), "{command}: {}", told());
    }
    assert_eq!(text("left"), "", "no request is left");

    assert_eq!(text("hostname"), "web01\n");
    let key = "\n# The following ssh key was injected by Nova\nssh-ed25519 AAAA me\n";
    assert_eq!((text("key-file"), text("motd")), (key, "welcome\n"));
    let modes = "700 0 /root/.ssh\n600 0 /root/.ssh/authorized_keys\n600 0 /etc/motd\n";
    assert!(text("modes").starts_with(modes), "{}", text("modes"));
    for (name, password) in [("shadow", FIRST), ("shadow-second", SECOND)] {
        assert!(lab::is_hash_of(hash(text(name)), password), "{name}: {}", text(name));
    }

    let eth0 = "inet 10.0.0.5/24 brd 10.0.0.255";
    let eth1 = "inet 192.168.3.9/16 brd 192.168.255.255";
    let (default, service) = ("default via 10.0.0.1 dev eth0", "10.208.0.0/12 via 192.168.3.1 dev eth1");
    for (when, addresses, routes) in [
        ("", vec![eth0], vec![default]),
        ("-second", vec![eth0, eth1], vec![default, service]),
        ("-boot", vec![eth0, eth1], vec![default, service]),
    ] {
        let (up, table) = (text(&format!("addresses{when}")), text(&format!("routes{when}")));
        for wanted in addresses {
            assert!(up.contains(wanted), "{when}: {wanted} in {up}\n{}", told());
        }
        for wanted in routes {
            assert!(table.contains(wanted), "{when}: {wanted} in {table}\n{}", told());
        }
    }
    assert!(text("files").contains("web01\n"), "{}", text("files"));
    assert_eq!(shown["boot"].status, 0, "{:#?}", shown["boot"]);
    assert_eq!(text("ended"), "0\n", "SIGTERM ends it well");
    for secret in [FIRST, SECOND] {
        assert!(!log.contains(secret), "{log}");
    }
    println!("the agent after all that: {}", text("status").split_whitespace().collect::<Vec<_>>().join(" "));
}

/// What `xenstore-read` printed, as the plugin takes it: the filter must have changed nothing.
fn answer(text: &str) -> (String, String) {
    let text = text.trim_end_matches('\n');
    assert!(!text.contains('\\'), "the filter broke {text:?}");
    let answer: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    let member = |name: &str| answer[name].as_str().expect("text").to_owned();
    (member("returncode"), member("message"))
}

fn hash(shadow: &str) -> &str {
    shadow.lines().find_map(|line| line.strip_prefix("root:")?.split(':').next()).unwrap()
}

fn print_times(shown: &HashMap<String, Shown>) {
    for line in shown.values().flat_map(|one| one.stderr.lines()).filter(|line| line.contains("answered in"))
    {
        println!("{line}");
    }
}
