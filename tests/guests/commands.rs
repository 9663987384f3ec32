//! What a report says to type, held against the system that it looked at: one under a root does not run, and a command
//! that names no root changes the machine that looks, most often a rescue server.

use serde_json::Value;

/// Programs that act on a running system alone.
const OF_A_RUNNING_SYSTEM: [&str; 20] = [
    "service",
    "rc-service",
    "initctl",
    "start",
    "stop",
    "restart",
    "sysctl",
    "modprobe",
    "ip",
    "ifup",
    "ifdown",
    "ifconfig",
    "route",
    "netplan",
    "nmcli",
    "networkctl",
    "hostnamectl",
    "hostname",
    "resolvectl",
    "setenforce",
];
/// What of them is found in the sentences of a remedy.
const IN_WORDS: [&str; 13] = [
    "netplan apply",
    "sysctl -",
    "systemctl start",
    "systemctl stop",
    "systemctl restart",
    "systemctl reload",
    "systemctl daemon-reload",
    "networkctl ",
    "nmcli ",
    "ip link",
    "ip addr",
    "run ifup",
    "start NetworkManager",
];
/// Programs that are about a disk, an image or the host, wherever they are typed.
const ANYWHERE: [&str; 13] = [
    "fsck",
    "xfs_repair",
    "btrfs",
    "mount",
    "umount",
    "mkdir",
    "openstack",
    "vgchange",
    "qemu-img",
    "qemu-nbd",
    "losetup",
    "xenstore-read",
    "xenstore-ls",
];
/// What systemctl does to unit files alone.
const ON_FILES: [&str; 6] = ["enable", "disable", "mask", "unmask", "preset", "reenable"];
/// Subcommands that look at no system.
const OF_NO_SYSTEM: [&str; 1] = ["explain"];

/// Returns what a report on the tree under `root` says to type that does not act on it.
pub(crate) fn astray(report: &Value, root: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for finding in report["findings"].as_array().into_iter().flatten() {
        let id = finding["id"].as_str().unwrap_or_default();
        let remedy = &finding["remedy"];
        let text = remedy["text"].as_str().unwrap_or_default();
        wrong.extend(in_words(text, root).map(|what| format!("{id}: {what}: {text}")));
        wrong.extend(commands(remedy).filter_map(|argv| Some(format!("{id}: {}", of_argv(&argv, root)?))));
    }
    let steps = report["route"]["steps"].as_array().into_iter().flatten();
    // what comes behind is done on the server itself
    let is_leaving = |step: &&Value| commands(step).any(|argv| argv.contains(&"unrescue"));
    for step in steps.take_while(|step| !is_leaving(step)) {
        let text = step["text"].as_str().unwrap_or_default();
        wrong.extend(in_words(text, root).map(|what| format!("route: {what}: {text}")));
        wrong.extend(commands(step).filter_map(|argv| Some(format!("route: {}", of_argv(&argv, root)?))));
    }
    wrong
}

fn commands(value: &Value) -> impl Iterator<Item = Vec<&str>> {
    let commands = value["commands"].as_array().into_iter().flatten();
    commands.map(|argv| argv.as_array().into_iter().flatten().filter_map(Value::as_str).collect())
}

/// Says what is wrong with a command; nothing when it acts on the tree.
fn of_argv(argv: &[&str], root: &str) -> Option<String> {
    let inner = match argv {
        ["chroot", dir, rest @ ..] if *dir == root => rest,
        _ => argv,
    };
    let is_right = match inner {
        ["novactl", verb, ..] if OF_NO_SYSTEM.contains(verb) => true,
        ["novactl", rest @ ..] => rest.windows(2).any(|pair| pair == ["--root", root]),
        ["systemctl", rest @ ..] => {
            rest.contains(&&*format!("--root={root}")) && rest.iter().any(|verb| ON_FILES.contains(verb))
        }
        [program, ..] if OF_A_RUNNING_SYSTEM.contains(program) => false,
        [program, ..] if ANYWHERE.contains(program) => true,
        _ => argv.iter().any(|word| word.contains(root)),
    };
    (!is_right).then(|| argv.join(" "))
}

/// Returns the commands in a sentence that do not act on the tree.
fn in_words<'t>(text: &'t str, root: &'t str) -> impl Iterator<Item = String> + 't {
    let is_elsewhere = text.contains("on the running server") || text.contains("on the server");
    let own = text.match_indices("novactl ").filter_map(move |(at, _)| {
        let rest = &text[at + "novactl ".len()..];
        let verb = rest.split([' ', ',', ';', ')', ':']).next().unwrap_or_default();
        let is_verb =
            ["doctor", "check-xentools", "scan-ifaces", "reset-network", "set-password", "fix-image", "undo"];
        let is_command = is_verb.contains(&verb) || rest.starts_with("agent install");
        let behind = rest.strip_prefix("agent install").or(rest.strip_prefix(verb)).unwrap_or_default();
        (is_command && !behind.starts_with(&format!(" --root {root}"))).then(|| format!("novactl {verb}"))
    });
    let others = IN_WORDS.iter().filter(|word| text.contains(**word)).map(|word| (*word).to_owned());
    let bare = ["set-password --unlock"]
        .into_iter()
        .filter(|bare| text.match_indices(bare).any(|(at, _)| !text[..at].ends_with("novactl ")));
    let all = own.chain(others).chain(bare.map(str::to_owned)).collect::<Vec<_>>();
    all.into_iter().filter(move |_| !is_elsewhere)
}
