//! Shell patterns as udev, networkd and netplan match names with: `*`, `?` and `[…]`.

/// Whether a name matches a pattern. Time is bounded by the product of the lengths.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // where to go on when a `*` has to take one character more
    let mut retry = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, n));
            p += 1;
        } else if let Some(next) = one(&pattern, p, name[n]) {
            p = next;
            n += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Where the pattern goes on after one character, when it matches.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => class(pattern, at, c).or((c == '[').then_some(at + 1)),
        '\\' => (pattern.get(at + 1) == Some(&c)).then_some(at + 2),
        &literal => (literal == c).then_some(at + 1),
    }
}

fn class(pattern: &[char], at: usize, c: char) -> Option<usize> {
    let negated = matches!(pattern.get(at + 1), Some('!' | '^'));
    let first = at + 1 + usize::from(negated);
    let length = pattern.get(first + 1..)?.iter().position(|&c| c == ']')? + 1;
    let members = &pattern[first..first + length];
    let mut found = false;
    let mut place = 0;
    while place < members.len() {
        if let Some([from, '-', to]) = members.get(place..place + 3) {
            found |= (*from..=*to).contains(&c);
            place += 3;
        } else {
            found |= members[place] == c;
            place += 1;
        }
    }
    (found != negated).then_some(first + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_match_as_in_a_shell() {
        let cases = [
            ("eth0", "eth0", true),
            ("eth*", "eth0", true),
            ("*", "", true),
            ("e*h?", "eth0", true),
            ("e*x", "eth0", false),
            ("eth[0-2]", "eth1", true),
            ("eth[!0]", "eth0", false),
            ("eth[!0]", "eth1", true),
            ("eth[", "eth[", true),
            ("", "eth0", false),
            ("eth0*", "eth", false),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_comes_to_an_end(pattern in "[*?\\[\\]!a\\\\-]{0,40}", name in "a{0,60}") {
            matches(&pattern, &name);
        }
    }
}
