//! Why an agent died: what a line of the system's log, or the command that it was at, means and asks for.
//!
//! 2.x catches nothing: whatever goes wrong inside a command ends it, and the traceback goes to the journal. What
//! only repeats that it ended tells nothing and is not here. One more: a line in [`LINES`] or [`COMMANDS`].

use crate::check::Evidence;

/// What ends an agent, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) why: &'static str,
    pub(super) what: &'static str,
}

/// Words that are all in a line, and what they mean.
type Known = (&'static [&'static str], Cause);

const MALFORMED: Cause = Cause {
    why: "a request or a network record of the host's is not valid JSON, and 2.x dies on it",
    what: "look at requests-answered and host-network-data on the running server (novactl doctor --topic xen)",
};
const RECORD: Cause = Cause {
    why: "the host's record of a network lacks what 2.x takes for granted: it died after the addresses were removed",
    what: "on the running server: reboot, which sets the addresses of the files; then novactl reset-network, which \
           reads such records",
};
const RHN: Cause = Cause {
    why: "kmsactivate needs RHN Classic, which was switched off, and 2.x dies where its files are missing",
    what: "register with subscription-manager (novactl explain registration), and replace the agent",
};
const LIBRARIES: Cause = Cause {
    why: "the agent's program does not fit this system's libraries",
    what: "mend agent-libraries or agent-interpreter, which are judged above",
};

/// The first one counts that a line fits.
const LINES: [Known; 18] = [
    (
        &["No module named"],
        Cause {
            why: "the Python that starts the agent lacks a module of it, as after an upgrade of Python",
            what: "mend agent-interpreter (1.x: agent-libraries), which is judged above",
        },
    ),
    (
        &["env:", "No such file"],
        Cause {
            why: "there is no python3 in the service's PATH",
            what: "mend agent-interpreter, which is judged above",
        },
    ),
    (&["error while loading shared libraries"], LIBRARIES),
    (&["GLIBC_", "not found"], LIBRARIES),
    (
        &["bad local file header"],
        Cause {
            why: "its package was upgraded under the running agent, which reads its parts out of that file",
            what: "start it anew",
        },
    ),
    (
        &["ZipImportError"],
        Cause {
            why: "its package was upgraded under the running agent, which reads its parts out of that file",
            what: "start it anew",
        },
    ),
    (
        &["Read-only file system"],
        Cause {
            why: "it could not write: it started before its file systems, or its unit forbids it (ProtectSystem=)",
            what: "give the unit RequiresMountsFor=/var/log and After=local-fs.target, and take ProtectSystem=, \
                   ReadOnlyPaths= and the like out of it",
        },
    ),
    (
        &["No space left on device"],
        Cause {
            why: "the disk was full",
            what: "make room (novactl doctor --only disk-space,agent-log-size)",
        },
    ),
    (&["KeyError: 'label'"], RECORD),
    (&["KeyError: 'gateway_v6'"], RECORD),
    (&["invalid literal for int()"], RECORD),
    (
        &["valid interface name"],
        Cause {
            why: "2.x dies on an interface that is none, such as bonding_masters",
            what: "mend unexpected-interfaces, or replace the agent",
        },
    ),
    (
        &["has no attribute 'ServerOS'"],
        Cause {
            why: "the agent does not know this distribution",
            what: "mend agent-supports-distro, which is judged above",
        },
    ),
    (&["'NoneType' object is not subscriptable"], MALFORMED),
    (&["JSONDecodeError"], MALFORMED),
    (&["sysconfig/rhn"], RHN),
    (&["rhnreg_ks"], RHN),
    (
        &["UnicodeDecodeError"],
        Cause {
            why: "2.x dies on a file or a password that is no UTF-8",
            what: "replace the agent, or send text only",
        },
    ),
];

/// What the agent dies of inside a command, where no line tells.
const COMMANDS: [(&str, Cause); 4] = [
    ("kmsactivate", RHN),
    (
        "resetnetwork",
        Cause {
            why: "2.x dies on a record without a label, with null routes or an odd mask, after the addresses were \
                  removed: the network stays down, and all later requests time out",
            what: "on the running server: reboot, which sets the addresses of the files, and look for the traceback \
                   in the journal of the agent's service; novactl reset-network reads such records",
        },
    ),
    (
        "injectfile",
        Cause {
            why: "2.x dies on a file that is no text and on a path that is not absolute, and nothing starts it \
                  again: all later requests time out",
            what: "start it anew, and inject text only; or replace the agent",
        },
    ),
    (
        "keyinit",
        Cause {
            why: "2.x dies on a key that is no number, and nothing starts it again: all later requests time out",
            what: "start it anew, then reset the password again",
        },
    ),
];

/// Returns what the lines mean, the last one that tells.
pub(super) fn of_lines(lines: &[Evidence]) -> Option<Cause> {
    lines.iter().rev().find_map(of_line)
}

/// Returns what ended the agent in this command: what the lines mean, else what it dies of there most often. What lines
/// tell of the host's records is of a network reset alone: in another command the same words are of another death, or
/// of one before.
pub(super) fn of_command(name: &str, lines: &[Evidence]) -> Option<Cause> {
    let is_of_it = |cause: &Cause| name == "resetnetwork" || ![RECORD, MALFORMED].contains(cause);
    let most_often = || COMMANDS.iter().find(|(command, _)| *command == name).map(|(_, cause)| *cause);
    lines.iter().rev().filter_map(of_line).find(is_of_it).or_else(most_often)
}

fn of_line(line: &Evidence) -> Option<Cause> {
    let fits = |(words, _): &&Known| words.iter().all(|word| line.text.contains(word));
    LINES.iter().find(fits).map(|(_, cause)| *cause)
}

#[cfg(test)]
mod tests {
    use super::super::tests::offline;
    use super::*;
    use crate::check::{Finding, inside};

    #[test]
    fn a_line_tells_the_cause_and_that_it_ended_tells_none() {
        let cases = [
            ("web01 nova-agent[7]: ModuleNotFoundError: No module named 'cryptography'", "lacks a module"),
            ("web01 systemd[1]: env: ‘python3’: No such file or directory", "no python3"),
            ("zipimport.ZipImportError: bad local file header: '/usr/bin/nova-agent'", "was upgraded"),
            ("OSError: [Errno 30] Read-only file system: '/var/log/nova-agent.log'", "could not write"),
            ("KeyError: 'label'", "record of a network"),
            ("ValueError: invalid literal for int() with base 10: 'ffff:ffff::'", "record of a network"),
            ("ValueError: You must specify a valid interface name.", "bonding_masters"),
            ("AttributeError: 'NoneType' object has no attribute 'ServerOS'", "does not know"),
            ("TypeError: 'NoneType' object is not subscriptable", "not valid JSON"),
            ("FileNotFoundError: [Errno 2] No such file or directory: '/etc/sysconfig/rhn/up2date'", "RHN"),
            (
                "/lib64/libc.so.6: version `GLIBC_2.34' not found (required by /usr/sbin/nova-agent)",
                "libraries",
            ),
            ("systemd[1]: nova-agent.service: Main process exited, code=exited, status=1/FAILURE", ""),
            ("env: something else", ""),
        ];
        for (text, want) in cases {
            let line = Evidence { source: "journal".to_owned(), text: text.to_owned() };
            let found = of_lines(&[line]).map_or("", |cause| cause.why);
            assert!(found.contains(want) && found.is_empty() == want.is_empty(), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_record_of_the_host_s_ends_a_network_reset_alone() {
        const NUMBER: &str = "ValueError: invalid literal for int() with base 10: 'x'";
        for (command, texts, want) in [
            ("resetnetwork", &["KeyError: 'label'"][..], "record of a network lacks"),
            ("resetnetwork", &["json.decoder.JSONDecodeError: Expecting value"], "not valid JSON"),
            ("resetnetwork", &[], "without a label"),
            ("keyinit", &[NUMBER], "a key that is no number"),
            ("injectfile", &["KeyError: 'label'"], "a file that is no text"),
            ("injectfile", &["No space left on device", "KeyError: 'label'"], "the disk was full"),
            ("password", &["TypeError: 'NoneType' object is not subscriptable"], ""),
            ("password", &["UnicodeDecodeError: 'utf-8' codec", NUMBER], "no UTF-8"),
        ] {
            let line = |text: &&str| Evidence { source: "journal".to_owned(), text: (*text).to_owned() };
            let lines: Vec<_> = texts.iter().map(line).collect();
            let found = of_command(command, &lines).map_or("", |cause| cause.why);
            assert!(found.contains(want) && found.is_empty() == want.is_empty(), "{command}: {found:?}");
        }
    }

    #[test]
    fn what_follows_a_reboot_names_no_mounted_disk() {
        let dir = tempfile::tempdir().unwrap();
        let target = offline(dir.path());
        let causes = LINES.iter().map(|(_, cause)| cause).chain(COMMANDS.iter().map(|(_, cause)| cause));
        let mut after = causes.filter(|cause| cause.what.contains("reboot")).peekable();
        assert!(after.peek().is_some());
        for cause in after {
            let finding = inside::at(&target, Finding::fail("it died").mend(cause.what));
            assert_eq!(finding.remedy.unwrap().text, cause.what);
        }
    }
}
