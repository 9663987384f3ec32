//! The session from which this program is run: whether it would be lost with a NIC.

use std::net::IpAddr;

use crate::root::Root;

/// Returns the address of this machine over which somebody is logged in by SSH, or `None` on a console. It is in the
/// environment of this process, or of one above it when `sudo` or `su` has dropped it (sshd(8), `SSH_CONNECTION`).
pub fn ssh_address(root: &Root) -> Option<IpAddr> {
    if let Some(address) = std::env::var("SSH_CONNECTION").ok().as_deref().and_then(server) {
        return Some(address);
    }
    let mut pid = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get())?;
    // as deep as any shell in a shell; a process whose environment may not be read ends the search
    for _ in 0..32 {
        let environment = root.read_opt(&format!("proc/{pid}/environ")).ok().flatten()?;
        let variables = environment.split(|&b| b == 0).filter_map(|v| std::str::from_utf8(v).ok());
        if let Some(address) = variables.filter_map(|v| v.strip_prefix("SSH_CONNECTION=")).find_map(server) {
            return Some(address);
        }
        pid = parent(&root.text_opt(&format!("proc/{pid}/stat")).ok().flatten()?)?;
    }
    None
}

/// Reads `client-address client-port server-address server-port`.
fn server(connection: &str) -> Option<IpAddr> {
    connection.split(' ').nth(2)?.split('%').next()?.parse().ok()
}

/// Reads the parent out of proc(5)'s stat: the second field is in brackets and can hold anything.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_address_is_the_third_word() {
        assert_eq!(server("192.0.2.9 51234 198.51.100.7 22"), "198.51.100.7".parse().ok());
        assert_eq!(server("fe80::9%eth0 51234 fe80::1%eth0 22"), "fe80::1".parse().ok());
        assert_eq!(server("nonsense"), None);
    }

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("42 (a) b (c) S 17 42 42 0"), Some(17));
        assert_eq!(parent("2 (kthreadd) S 0 0"), None);
    }
}
