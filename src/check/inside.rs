//! What a report says to type, for the system that was looked at: on a mounted root, what would change the rescue
//! system instead is the classic mistake.
//!
//! Checks write a command as it is typed on the running guest. Here it becomes the one that does the same to the
//! mounted tree, or is left out where only a running guest has use of it; in sentences too, and in the hints of errors.

use super::{Finding, Remedy};
use crate::facts::os::Family;
use crate::target::Target;
use crate::ui::shell_line;

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

/// What acts on a running system alone: the next boot does the same.
const RUNNING: [&str; 11] = [
    "systemctl",
    "service",
    "rc-service",
    "sysctl",
    "modprobe",
    "ip",
    "ifup",
    "netplan",
    "nmcli",
    "networkctl",
    "initctl",
];
/// What runs programs of the tree, which Linux cannot do with those of FreeBSD.
const OF_ITS_KERNEL: [&str; 2] = ["chroot", "sysrc"];
/// Subcommands that look at a system, in sentences with their whole name.
const LOOKING: [&str; 9] = [
    "agent install",
    "agent uninstall",
    "check-xentools",
    "doctor",
    "fix-image",
    "reset-network",
    "scan-ifaces",
    "set-password",
    "undo",
];
/// Those of them that ask no store.
const WITHOUT_STORE: [&str; 2] = ["set-password", "undo"];
/// How sentences begin that are about another time and place.
const ELSEWHERE: &str = "on the running server";

/// Returns a finding whose remedy acts on the target.
pub(crate) fn at(target: &Target, mut finding: Finding) -> Finding {
    if let Some(remedy) = &mut finding.remedy {
        of(target, remedy);
    }
    finding
}

/// Makes a remedy's commands and words those for the target. Again, it changes nothing.
pub(super) fn of(target: &Target, remedy: &mut Remedy) {
    let place = Place {
        root: (!target.is_live()).then(|| target.root.path().display().to_string()),
        options: target.options(),
        runs_here: target.os().family != Family::FreeBsd,
        has_store: target.has_store(),
    };
    remedy.text = place.sentence(&remedy.text);
    remedy.commands = remedy.commands.drain(..).filter_map(|argv| place.command(argv)).collect();
}

/// Returns a sentence whose novactl commands have the options that name the target.
pub(crate) fn in_words(options: &[String], text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while let Some((before, command)) = rest.split_once("novactl ") {
        said += before;
        said += "novactl ";
        let verb = LOOKING.iter().find(|verb| command.starts_with(**verb));
        let behind = verb.map_or(command, |verb| &command[verb.len()..]);
        // a list of checks is of no system
        let is_list = verb == Some(&"doctor") && behind.starts_with(" --list");
        let options = options_of(options, verb.unwrap_or(&""));
        let has_them = options.first().is_some_and(|first| behind.trim_start().starts_with(first));
        if let Some(verb) = verb.filter(|_| !is_list && !has_them && !options.is_empty()) {
            said = format!("{said}{verb} {}", shell_line(options));
            rest = behind;
        } else {
            rest = command;
        }
    }
    said + rest
}

/// What is known of where a command is to act.
struct Place {
    /// Where the tree is mounted; none when it runs.
    root: Option<String>,
    options: Vec<String>,
    /// Whether the programs in the tree can run here.
    runs_here: bool,
    has_store: bool,
}

impl Place {
    fn sentence(&self, text: &str) -> String {
        if text.contains(ELSEWHERE) {
            return text.to_owned();
        }
        // "write this, then: make it hold now"
        let now = text.rsplit_once(", then: ").filter(|(_, command)| {
            let argv = command.split(' ').map(str::to_owned).collect();
            self.root.is_some() && self.command(argv).is_none()
        });
        in_words(&self.options, now.map_or(text, |(before, _)| before))
    }

    /// Returns the command that does the same to the target.
    fn command(&self, argv: Vec<String>) -> Option<Vec<String>> {
        let Some(root) = &self.root else { return Some(own(&self.options, argv)) };
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        if !self.runs_here && words.first().is_some_and(|program| OF_ITS_KERNEL.contains(program)) {
            return None;
        }
        // the check has said already where it acts
        if words.iter().skip(1).any(|word| names(word, root)) {
            return Some(argv);
        }
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        match words.as_slice() {
            // without the host's data there is nothing to reset the network to
            ["novactl", "reset-network", ..] if !self.has_store => None,
            ["novactl", ..] => Some(own(&self.options, argv)),
            ["mount", rest @ .., dir] if dir.starts_with('/') => {
                Some(owned(&[&["mount"], rest, &[&format!("{root}{dir}")]].concat()))
            }
            [program, ..] if OUTSIDE.contains(program) => Some(argv),
            ["systemctl", verb, rest @ ..] if OFFLINE.contains(verb) => {
                let at = format!("--root={root}");
                let rest: Vec<&str> = rest.iter().copied().filter(|word| *word != "--now").collect();
                Some(owned(&[&["systemctl", &at, verb], &rest[..]].concat()))
            }
            [program, ..] if RUNNING.contains(program) => None,
            _ if !self.runs_here => None,
            _ => Some(owned(&[&["chroot", root], &words[..]].concat())),
        }
    }
}

/// Adds the options that make novactl itself act on the target: `--root DIR` or `--disk PATH`, `--xenstore PATH`.
fn own(options: &[String], mut argv: Vec<String>) -> Vec<String> {
    let is_own = argv.first().is_some_and(|program| program == "novactl");
    let is_of_none = argv.get(1).is_some_and(|verb| verb == "explain");
    if is_own && !is_of_none && !argv.iter().any(|word| options.first() == Some(word)) {
        let taken = options_of(options, argv.get(1).map_or("", String::as_str)).to_vec();
        argv.extend(taken);
    }
    argv
}

/// Returns those of the options that a subcommand has use for.
fn options_of<'o>(options: &'o [String], verb: &str) -> &'o [String] {
    let store = options.iter().position(|option| WITHOUT_STORE.contains(&verb) && option == "--xenstore");
    &options[..store.unwrap_or(options.len())]
}

/// Whether a word of a command, or of a script in it, is the mounted root or a path in it.
fn names(word: &str, root: &str) -> bool {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', ' ', '"', '\'']);
    root != "/" && word.match_indices(root).any(|(at, _)| ends(&word[at + root.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            root: Some("/mnt".to_owned()),
            options: ["--root", "/mnt", "--xenstore", "/x.json"].map(str::to_owned).to_vec(),
            runs_here: true,
            has_store: true,
        }
    }

    fn command(place: &Place, typed: &str) -> Option<String> {
        place.command(typed.split(' ').map(str::to_owned).collect()).map(|argv| argv.join(" "))
    }

    #[test]
    fn a_command_acts_on_the_tree_or_is_left_out() {
        for (typed, becomes) in [
            ("rm /etc/x", Some("chroot /mnt rm /etc/x")),
            ("yum install nova-agent", Some("chroot /mnt yum install nova-agent")),
            ("systemctl enable --now nova-agent", Some("systemctl --root=/mnt enable nova-agent")),
            ("systemctl --root=/mnt enable nova-agent", Some("systemctl --root=/mnt enable nova-agent")),
            ("systemctl daemon-reload", None),
            ("service nova-agent restart", None),
            ("netplan generate", None),
            ("ifup eth0", None),
            ("sysctl -w net/ipv6/conf/eth0/disable_ipv6=0", None),
            ("chroot /mnt passwd", Some("chroot /mnt passwd")),
            ("novactl doctor --root /mnt", Some("novactl doctor --root /mnt")),
            ("novactl set-password root", Some("novactl set-password root --root /mnt")),
            ("novactl undo", Some("novactl undo --root /mnt")),
            ("novactl explain agent-log", Some("novactl explain agent-log")),
            ("novactl reset-network", Some("novactl reset-network --root /mnt --xenstore /x.json")),
            ("mount -o ro /dev/cdrom /media", Some("mount -o ro /dev/cdrom /mnt/media")),
            ("cat /mnt2/etc/x", Some("chroot /mnt cat /mnt2/etc/x")),
        ] {
            assert_eq!(command(&place(), typed).as_deref(), becomes, "{typed}");
        }
    }

    #[test]
    fn programs_of_another_kernel_are_not_run() {
        let place = Place { runs_here: false, ..place() };
        for (typed, becomes) in [
            ("sysrc nova_agent_enable=YES", None),
            ("sysrc -R /mnt nova_agent_enable=YES", None),
            ("chroot /mnt passwd", None),
            ("rm /etc/x", None),
            ("rm /mnt/etc/x", Some("rm /mnt/etc/x")),
            ("novactl set-password", Some("novactl set-password --root /mnt")),
        ] {
            assert_eq!(command(&place, typed).as_deref(), becomes, "{typed}");
        }
    }

    #[test]
    fn a_sentence_names_the_tree_and_nothing_that_runs() {
        let live = Place { root: None, options: Vec::new(), ..place() };
        let write = "write accept_ra 0 in /etc/x";
        for (said, becomes) in [
            (format!("{write}, then: sysctl -w net/ipv6/conf/eth0/accept_ra=0"), write),
            (format!("{write}, then: netplan apply"), write),
            (
                "or: novactl reset-network".to_owned(),
                "or: novactl reset-network --root /mnt --xenstore /x.json",
            ),
            (
                "see novactl undo --list, novactl explain x".to_owned(),
                "see novactl undo --root /mnt --list, novactl explain x",
            ),
            ("put novactl in place".to_owned(), "put novactl in place"),
            ("novactl doctor --list shows them".to_owned(), "novactl doctor --list shows them"),
            ("novactl undo --root /mnt".to_owned(), "novactl undo --root /mnt"),
            (
                "replace it (novactl agent install)".to_owned(),
                "replace it (novactl agent install --root /mnt --xenstore /x.json)",
            ),
            (
                "on the running server: novactl doctor --topic xen".to_owned(),
                "on the running server: novactl doctor --topic xen",
            ),
        ] {
            assert_eq!(place().sentence(&said), becomes);
            assert_eq!(place().sentence(becomes), becomes, "again");
            assert_eq!(live.sentence(&said), said);
        }
    }
}
