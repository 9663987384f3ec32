//! Texts of the agents' logs that mean a failure: what each means, and what to do.
//!
//! The texts are those of both agents' sources. One more is a line here, and a row in `tests/faults`.

use crate::check::Status;

/// What an answer of a command says when it failed.
pub(super) struct Answered {
    /// The command.
    pub(super) command: &'static str,
    /// What is in the message.
    pub(super) text: &'static str,
    /// What it means.
    pub(super) why: &'static str,
    /// What to do.
    pub(super) what: &'static str,
}

/// A line that tells a failure although the request was answered.
pub(super) struct Told {
    /// What the line begins with.
    pub(super) text: &'static str,
    /// How bad it is.
    pub(super) status: Status,
    /// The fact.
    pub(super) title: &'static str,
    /// What it means.
    pub(super) why: &'static str,
    /// What to do.
    pub(super) what: &'static str,
}

const RESET: &str = "resetnetwork";
const PASSWORD: &str = "password";

/// The first one counts that is in the message.
const ANSWERS: [Answered; 17] = [
    Answered {
        command: RESET,
        text: "Error restarting network",
        why: "network.service failed or does not exist: the addresses were removed and not set again",
        what: "read journalctl -u network -u NetworkManager; where NetworkManager is in charge, remove NM_CONTROLLED=no",
    },
    Answered {
        command: RESET,
        text: "Error applying netplan",
        why: "netplan refuses the files in /etc/netplan: at the next boot no network interface is configured",
        what: "on the running server, run netplan generate and mend what it names, such as gateway6: null or the MAC of another server",
    },
    Answered {
        command: RESET,
        text: "Error stopping network",
        why: "ifdown failed: the interfaces after it were not configured and are down",
        what: "on the running server, run ifdown and ifup by hand and mend what they name",
    },
    Answered {
        command: RESET,
        text: "Error flushing network",
        why: "the old addresses could not be removed: the interfaces after it were not configured and are down",
        what: "on the running server, see whether ip link names it, then reset the network again",
    },
    Answered {
        command: RESET,
        text: "Error starting network",
        why: "ifup failed: the interfaces after it were not configured and are down",
        what: "on the running server, run ifup by hand and mend what it names",
    },
    Answered {
        command: RESET,
        text: "Unable to bring down networking",
        why: "NetworkManager did not run or could not be reached",
        what: "on the running server, start NetworkManager, then reset the network again",
    },
    Answered {
        command: RESET,
        text: "Error setting hostname",
        why: "hostnamectl could not reach D-Bus, and this release then gives up: nothing was configured",
        what: "reset the network again when the server has booted, and update the agent",
    },
    Answered {
        command: RESET,
        text: "Unknown interface MAC",
        why: "the host has data for an interface that is not there, or a bridge or VPN hides it: nothing was configured",
        what: "novactl scan-ifaces shows the interfaces and what hides them",
    },
    Answered {
        command: RESET,
        text: "Couldn't figure out my OS",
        why: "this agent does not know the distribution",
        what: "replace the agent",
    },
    Answered {
        command: PASSWORD,
        text: "without key exchange",
        why: "the agent was started anew between the two halves of a reset, or two agents share the requests",
        what: "mend agent-single where it is found, then reset the password again",
    },
    Answered {
        command: PASSWORD,
        text: "Invalid password data",
        why: "it was encrypted for another key: two agents share the requests, or the exchange was an old one",
        what: "mend agent-single where it is found, then reset the password again",
    },
    Answered {
        command: PASSWORD,
        text: "BAD PASSWORD",
        why: "PAM's rules for passwords hold for root too (pwquality with enforce_for_root), and the host's is too simple",
        what: "take enforce_for_root out of /etc/security/pwquality.conf and /etc/pam.d, or use novactl set-password",
    },
    Answered {
        command: PASSWORD,
        text: "lock busy",
        why: "another program holds the lock of the password files, or left it behind",
        what: "mend shadow-intact where it is found, then reset the password again",
    },
    Answered {
        command: PASSWORD,
        text: "Authentication token manipulation error",
        why: "passwd could not write /etc/shadow: it is immutable, locked or has no root, or the disk is full or read-only",
        what: "mend shadow-intact, disk-space or root-writable, whichever is found, then reset the password again",
    },
    Answered {
        command: PASSWORD,
        text: "did not terminate",
        why: "passwd asked for more than the new password, as with a directory service (LDAP, SSSD) in /etc/pam.d",
        what: "novactl set-password writes the hash without passwd",
    },
    Answered {
        command: PASSWORD,
        text: "Failed to change password",
        why: "passwd refused: the password that the panel shows is not the server's",
        what: "run passwd by hand, it says why; novactl set-password writes the hash without it",
    },
    Answered {
        command: "kmsactivate",
        text: "",
        why: "RHN Classic, with which the agent registers, was switched off: it cannot work",
        what: "register with subscription-manager: novactl explain registration",
    },
];

/// Of the last network reset.
pub(super) const RESETS: [Told; 3] = [
    Told {
        text: "Exception was caught getting mac addrs",
        status: Status::Fail,
        title: "the last network reset could not read the host's data",
        why: "the network data could not be read, and the configuration was emptied",
        what: "reset the network again",
    },
    Told {
        text: "Exception was caught getting the interface",
        status: Status::Fail,
        title: "the last network reset could not read the host's data",
        why: "a record in vm-data/networking is not valid: the agent dies on it at every reset",
        what: "ask the provider to write the server's network data anew",
    },
    Told {
        text: "Error setting hostname",
        status: Status::Warn,
        title: "the last network reset could not set the server's name",
        why: "hostnamectl needs D-Bus, which is not there this early in the boot: the name is lost at the next one",
        what: "set it with hostnamectl set-hostname NAME, or reset the network again",
    },
];

/// Of the last request, whichever it was.
pub(super) const REQUESTS: [Told; 2] = [
    Told {
        text: "Exception was caught writing xen event",
        status: Status::Warn,
        title: "the agent could not write its last answer",
        why: "the host waits in vain: answers have piled up to XenStore's limit for this guest, or the connection is dead",
        what: "on the running server: novactl doctor --fix --only answers-collected; a reboot empties XenStore as well",
    },
    Told {
        text: "Exception was caught removing xen event",
        status: Status::Warn,
        title: "the agent could not remove its last request",
        why: "what is not removed is executed again, at once or at the agent's next start",
        what: "start the agent anew; on the running server novactl doctor --only requests-answered names what is stuck",
    },
];

/// Returns what a message of a command means.
pub(super) fn of_answer(command: &str, message: &str) -> Option<&'static Answered> {
    ANSWERS.iter().find(|known| known.command == command && message.contains(known.text))
}
