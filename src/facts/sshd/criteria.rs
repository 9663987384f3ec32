//! Whom a `Match` line or a list of users means.
//!
//! Patterns are sshd's own: `*` and `?`, lists with commas, `!` in front of what is left out (OpenSSH match.c,
//! addrmatch.c). One more criterion is an arm in [`Criterion::holds`].

use std::net::IpAddr;

use ipnet::IpNet;

/// Who connects.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// The user.
    pub user: String,
    /// The names of the user's groups.
    pub groups: Vec<String>,
    /// The host name of the other side, when it is known.
    pub host: Option<String>,
    /// Its address, when it is known.
    pub address: Option<IpAddr>,
}

/// Whether something holds for a connection of which not all is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// For some addresses it does.
    Perhaps,
}

impl Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Perhaps,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Perhaps,
        }
    }
}

/// What a `Match` line asks for; all of it has to hold.
#[derive(Debug, Clone)]
pub(super) struct Criteria(Vec<Criterion>);

#[derive(Debug, Clone)]
struct Criterion {
    /// In lower case.
    name: String,
    patterns: String,
}

impl Criteria {
    pub(super) fn of(words: &[String]) -> Self {
        let mut criteria = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            // newer releases take `user=root` as well
            let (name, value) =
                word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
            let name = name.to_ascii_lowercase();
            let is_alone = matches!(name.as_str(), "all" | "invalid-user");
            let patterns =
                value.or_else(|| if is_alone { None } else { words.next().cloned() }).unwrap_or_default();
            criteria.push(Criterion { name, patterns });
        }
        Self(criteria)
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(&self.0[..], [criterion] if criterion.name == "all")
    }

    pub(super) fn hold(&self, connection: &Connection) -> Holds {
        self.0.iter().map(|criterion| criterion.holds(connection)).fold(Holds::Yes, Holds::and)
    }
}

impl Criterion {
    fn holds(&self, connection: &Connection) -> Holds {
        let patterns = self.patterns.as_str();
        match self.name.as_str() {
            "all" => Holds::Yes,
            "invalid-user" => Holds::No,
            "user" => Holds::from(list_matches(patterns, &connection.user)),
            "group" => in_groups(patterns, &connection.groups),
            "host" => match &connection.host {
                Some(host) => {
                    Holds::from(list_matches(&patterns.to_ascii_lowercase(), &host.to_ascii_lowercase()))
                }
                None => unknown(patterns, "*"),
            },
            "address" => match connection.address {
                Some(address) => Holds::from(address_matches(patterns, address) == Some(true)),
                None => unknown(patterns, "*"),
            },
            // the port and the address of this side, a routing domain: not known here
            _ => unknown(patterns, "*"),
        }
    }
}

/// What is not known matches a pattern for everything alone.
fn unknown(patterns: &str, everything: &str) -> Holds {
    if patterns == everything { Holds::Yes } else { Holds::Perhaps }
}

impl Connection {
    /// Whether a pattern of `AllowGroups` or `DenyGroups` names a group of the user.
    pub(super) fn has_group(&self, pattern: &str) -> Holds {
        Holds::from(self.groups.iter().any(|group| pattern_matches(pattern, group)))
    }
}

/// A negated pattern that names one of the groups decides (groupaccess.c, `ga_match_pattern_list`).
fn in_groups(patterns: &str, groups: &[String]) -> Holds {
    let mut found = false;
    for group in groups {
        match in_list(patterns, group) {
            Some(true) => found = true,
            Some(false) => return Holds::No,
            None => {}
        }
    }
    Holds::from(found)
}

/// Whether a pattern of `AllowUsers` or `DenyUsers` names the user: `USER`, or `USER@HOST`.
pub(super) fn user_matches(pattern: &str, connection: &Connection) -> Holds {
    let Some((user, host)) = pattern.split_once('@') else {
        return Holds::from(pattern_matches(pattern, &connection.user));
    };
    if !pattern_matches(user, &connection.user) {
        return Holds::No;
    }
    let Some(address) = connection.address else { return unknown(host, "*") };
    // match.c, `match_host_and_ip`: an address decides before a name is looked at
    match address_matches(host, address) {
        Some(matches) => Holds::from(matches),
        None => match &connection.host {
            Some(name) => Holds::from(list_matches(&host.to_ascii_lowercase(), &name.to_ascii_lowercase())),
            None => Holds::Perhaps,
        },
    }
}

fn list_matches(patterns: &str, text: &str) -> bool {
    in_list(patterns, text) == Some(true)
}

/// Whether a list names a text: a negated pattern that matches decides at once (match.c, `match_pattern_list`).
fn in_list(patterns: &str, text: &str) -> Option<bool> {
    let mut found = None;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if pattern_matches(pattern, text) => return Some(false),
            None if pattern_matches(pattern, text) => found = Some(true),
            _ => {}
        }
    }
    found
}

/// As `in_list`, for addresses: networks, and patterns over the written address (addrmatch.c, `addr_match_list`).
fn address_matches(patterns: &str, address: IpAddr) -> Option<bool> {
    let mut found = None;
    for pattern in patterns.split(',') {
        let (is_negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |rest| (true, rest));
        let network =
            pattern.parse::<IpNet>().ok().or_else(|| pattern.parse::<IpAddr>().ok().map(IpNet::from));
        let matches = match network {
            Some(network) => network.contains(&address),
            None => pattern_matches(pattern, &address.to_string()),
        };
        match (matches, is_negated) {
            (true, true) => return Some(false),
            (true, false) => found = Some(true),
            _ => {}
        }
    }
    found
}

/// `*` and `?` alone have a meaning (match.c, `match_pattern`). Time is bounded by the product of the lengths.
fn pattern_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // where to go on when a `*` has to take one character more
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                (p, t) = (star + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_sshds() {
        for (pattern, text, want) in [
            ("root", "root", true),
            ("ro*", "root", true),
            ("r??t", "root", true),
            ("*", "", true),
            ("?", "", false),
            ("root", "roots", false),
            ("[r]oot", "root", false),
            ("*o*t", "root", true),
        ] {
            assert_eq!(pattern_matches(pattern, text), want, "{pattern} {text}");
        }
        assert!(list_matches("*,!admin", "root"));
        assert!(!list_matches("*,!root", "root"));
        assert!(!list_matches("!root", "admin"));
    }

    #[test]
    fn an_address_that_is_not_known_leaves_the_block_open() {
        let root =
            Connection { user: "root".to_owned(), groups: vec!["root".to_owned()], ..Connection::default() };
        for (line, want) in [
            ("all", Holds::Yes),
            ("User root", Holds::Yes),
            ("User *,!root", Holds::No),
            ("Group root", Holds::Yes),
            ("Group sftp", Holds::No),
            ("Address 10.0.0.0/8", Holds::Perhaps),
            ("Address *", Holds::Yes),
            ("User admin Address 10.0.0.0/8", Holds::No),
            ("LocalPort 2222", Holds::Perhaps),
            ("user=root", Holds::Yes),
            ("invalid-user", Holds::No),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Criteria::of(&words).hold(&root), want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_comes_to_an_end(pattern in "[*?a!,/.0-9:]{0,40}", text in "a{0,60}") {
            pattern_matches(&pattern, &text);
            address_matches(&pattern, IpAddr::from([10, 1, 2, 3]));
        }
    }
}
