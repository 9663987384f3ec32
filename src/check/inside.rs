//! Commands of a remedy on a mounted root: what would change the rescue system instead is the classic mistake.
//!
//! Checks write a command as it is typed on the running guest. Here it becomes the one that does the same to the
//! mounted tree, or is left out where only a running guest has use of it.

use crate::target::Target;

/// What works on a file system or a host, not on the system in the tree.
const OUTSIDE: [&str; 14] = [
    "chroot",
    "novactl",
    "openstack",
    "fsck",
    "mount",
    "umount",
    "losetup",
    "vgchange",
    "qemu-img",
    "qemu-nbd",
    "vhd-util",
    "xenstore-read",
    "xenstore-rm",
    "xenstore-ls",
];
/// What systemctl does to unit files alone.
const OFFLINE: [&str; 6] = ["enable", "disable", "mask", "unmask", "preset", "reenable"];

/// Makes commands those for the target, when it does not run.
pub(super) fn of(target: &Target, commands: &mut Vec<Vec<String>>) {
    if target.is_live() {
        return;
    }
    let root = target.root.path().display().to_string();
    *commands = commands.drain(..).filter_map(|argv| inside(&root, argv)).collect();
}

fn inside(root: &str, argv: Vec<String>) -> Option<Vec<String>> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    // the check has said already where it acts
    if words.iter().skip(1).any(|word| word.contains(root) && root != "/") {
        return Some(argv);
    }
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    match words.as_slice() {
        [program, ..] if OUTSIDE.contains(program) => Some(argv),
        ["systemctl", verb, rest @ ..] if OFFLINE.contains(verb) => {
            let at = format!("--root={root}");
            let rest: Vec<&str> = rest.iter().copied().filter(|word| *word != "--now").collect();
            Some(owned(&[&["systemctl", &at, verb], &rest[..]].concat()))
        }
        // the next boot does it
        [
            "systemctl" | "service" | "rc-service" | "sysctl" | "modprobe" | "ip" | "nmcli" | "networkctl",
            ..,
        ] => None,
        _ => Some(owned(&[&["chroot", root], &words[..]].concat())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_acts_on_the_tree_or_is_left_out() {
        for (typed, becomes) in [
            ("rm /etc/x", Some("chroot /mnt rm /etc/x")),
            ("yum install nova-agent", Some("chroot /mnt yum install nova-agent")),
            ("systemctl enable --now nova-agent", Some("systemctl --root=/mnt enable nova-agent")),
            ("systemctl --root=/mnt enable nova-agent", Some("systemctl --root=/mnt enable nova-agent")),
            ("systemctl daemon-reload", None),
            ("service nova-agent restart", None),
            ("sysctl -w net/ipv6/conf/eth0/disable_ipv6=0", None),
            ("chroot /mnt passwd", Some("chroot /mnt passwd")),
            ("novactl doctor --root /mnt", Some("novactl doctor --root /mnt")),
        ] {
            let argv = typed.split(' ').map(str::to_owned).collect();
            assert_eq!(inside("/mnt", argv).map(|argv| argv.join(" ")).as_deref(), becomes, "{typed}");
        }
    }
}
