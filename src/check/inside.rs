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
    let options = target.options();
    if target.is_live() {
        *commands = commands.drain(..).map(|argv| own(&options, argv)).collect();
        return;
    }
    let root = target.root.path().display().to_string();
    // without the host's data there is nothing to reset the network to
    let is_vain =
        |argv: &Vec<String>| !target.has_store() && argv.get(1).is_some_and(|it| it == "reset-network");
    let typed = commands.drain(..).filter(|argv| !is_vain(argv));
    *commands = typed.filter_map(|argv| inside(&root, &options, argv)).collect();
}

/// Adds the options that make novactl itself act on the target: `--root DIR` or `--disk PATH`, `--xenstore PATH`.
fn own(options: &[String], mut argv: Vec<String>) -> Vec<String> {
    let is_own = argv.first().is_some_and(|program| program == "novactl");
    if is_own && !argv.iter().any(|word| options.first() == Some(word)) {
        // a password has nothing to do with the store
        let asks =
            |option: &&String| !(argv.iter().any(|it| it == "set-password") && *option == "--xenstore");
        let taken: Vec<String> = options.iter().take_while(asks).cloned().collect();
        argv.extend(taken);
    }
    argv
}

fn inside(root: &str, options: &[String], argv: Vec<String>) -> Option<Vec<String>> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    // the check has said already where it acts
    if words.iter().skip(1).any(|word| names(word, root)) {
        return Some(argv);
    }
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    match words.as_slice() {
        ["novactl", ..] => Some(own(options, argv)),
        ["mount", rest @ .., dir] if dir.starts_with('/') => {
            Some(owned(&[&["mount"], rest, &[&format!("{root}{dir}")]].concat()))
        }
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

/// Whether a word of a command, or of a script in it, is the mounted root or a path in it.
fn names(word: &str, root: &str) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', ' ', '"', '\'']);
    root != "/" && word.match_indices(root).any(|(at, _)| ends(&word[at + root.len()..]))
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
            ("novactl set-password root", Some("novactl set-password root --root /mnt")),
            ("novactl reset-network", Some("novactl reset-network --root /mnt --xenstore /x.json")),
            ("mount -o ro /dev/cdrom /media", Some("mount -o ro /dev/cdrom /mnt/media")),
            ("cat /mnt2/etc/x", Some("chroot /mnt cat /mnt2/etc/x")),
        ] {
            let argv = typed.split(' ').map(str::to_owned).collect();
            let options = ["--root", "/mnt", "--xenstore", "/x.json"].map(str::to_owned);
            assert_eq!(
                inside("/mnt", &options, argv).map(|argv| argv.join(" ")).as_deref(),
                becomes,
                "{typed}"
            );
        }
    }
}
