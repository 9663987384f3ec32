//! What the target's own policy says of the label of a new file: its `file_contexts`, read as libselinux reads them.
//!
//! The rules of the policy, of home directories and the local ones count as one list, in which those without
//! metacharacters come last; the last one that matches holds. Before that, aliases replace the beginning of the path.
//! Where a rule is not known here (look-around, an alternative outside of parentheses), there is no answer, for it could
//! have been that one's to give. The policy is untrusted: lines, rules, the size of an expression and how many are
//! tried are bounded, as is the path, in whose length an expression takes linear time.
//!
//! Source: libselinux, label_file.c and label_file.h; file_contexts(5).

use anyhow::Result;
use regex_lite::RegexBuilder;

use crate::net::assignments;
use crate::root::Root;

const CONFIG: &str = "etc/selinux/config";
/// libselinux's own, when the configuration names no policy.
const USUAL_POLICY: &str = "targeted";
/// The longest expression, in bytes, and the most rules; a real policy has 8 000 at most.
const PATTERN_MAX: usize = 2000;
const RULES_MAX: usize = 50_000;
/// The largest expression when compiled, in bytes, and how many are tried for one change.
const COMPILED_MAX: usize = 64 << 10;
const TRIED_MAX: usize = 20_000;
/// The longest path that is compared, in bytes: the kernel's PATH_MAX. An alias can make it longer.
const PATH_MAX: usize = 4096;
/// The longest label, in bytes.
const LABEL_MAX: usize = 255;
/// What stands in the place of a label where there is to be none.
const NONE: &str = "<<none>>";

/// The rules of a policy.
#[derive(Debug)]
pub(crate) struct FileContexts {
    rules: Vec<Rule>,
    /// Beginnings of paths and what they stand for, in the order in which they are tried; the local ones first.
    aliases: [Vec<(String, String)>; 2],
    tries_left: usize,
}

#[derive(Debug)]
struct Rule {
    pattern: String,
    /// What every path that matches begins with.
    prefix: String,
    has_metacharacters: bool,
    label: String,
}

/// What a policy says of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has this label.
    Label(String),
    /// It keeps whatever it has.
    NoLabel,
    /// No rule is for it, or it is not known which.
    Unknown,
}

impl FileContexts {
    /// Reads those of the policy that the system loads; `None` where libselinux would refuse them.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn of(root: &Root) -> Result<Option<Self>> {
        let text = root.text_opt(CONFIG)?.unwrap_or_default();
        let variables = assignments::parse(&text);
        let named = assignments::last(&variables, "SELINUXTYPE").map_or(USUAL_POLICY, |v| &v.value);
        if named.is_empty() || named.contains('/') || named.starts_with('.') {
            return Ok(None);
        }
        let base = format!("etc/selinux/{named}/contexts/files/file_contexts");
        if !root.exists(&base) {
            return Ok(None);
        }
        let mut texts = Vec::new();
        for suffix in ["", ".homedirs", ".local", ".subs", ".subs_dist"] {
            texts.push(root.text_opt(&format!("{base}{suffix}"))?.unwrap_or_default());
        }
        let [policy, homes, local, subs, dist] = texts.as_slice() else { return Ok(None) };
        Ok(Self::parse(&[policy, homes, local], [subs, dist]))
    }

    fn parse(texts: &[&str], aliases: [&str; 2]) -> Option<Self> {
        let mut rules = Vec::new();
        for line in texts.iter().flat_map(|text| text.lines()) {
            match Line::of(line) {
                Line::Rule(rule) => rules.push(rule),
                Line::Nothing => {}
                Line::Wrong => return None,
            }
            if rules.len() > RULES_MAX {
                return None;
            }
        }
        // stable: in the order of the files otherwise
        rules.sort_by_key(|rule| !rule.has_metacharacters);
        Some(Self { rules, aliases: aliases.map(parse_aliases), tries_left: TRIED_MAX })
    }

    /// Returns what is said of a regular file, by its path from the root.
    pub(crate) fn label(&mut self, path: &str) -> Answer {
        let mut path = format!("/{}", path.trim_start_matches('/'));
        for list in &self.aliases {
            path = aliased(list, &path).unwrap_or(path);
            if path.len() > PATH_MAX {
                return Answer::Unknown;
            }
        }
        for rule in self.rules.iter().rev().filter(|rule| path.starts_with(&rule.prefix)) {
            let Some(left) = self.tries_left.checked_sub(1) else { return Answer::Unknown };
            self.tries_left = left;
            match rule.matches(&path) {
                Some(false) => {}
                Some(true) if rule.label == NONE => return Answer::NoLabel,
                Some(true) if is_label(&rule.label) => return Answer::Label(rule.label.clone()),
                _ => return Answer::Unknown,
            }
        }
        Answer::Unknown
    }
}

/// A line of a file of rules.
enum Line {
    Rule(Rule),
    /// A comment, or a rule that is not for regular files.
    Nothing,
    /// libselinux refuses the whole policy because of it.
    Wrong,
}

impl Line {
    fn of(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let Some(pattern) = words.next().filter(|word| !word.starts_with('#')) else { return Self::Nothing };
        let (kind, label) = match (words.next(), words.next()) {
            (Some(kind), Some(label)) => (kind, label),
            (Some(label), None) => ("--", label),
            _ => return Self::Wrong,
        };
        match kind {
            "--" => {}
            "-b" | "-c" | "-d" | "-p" | "-l" | "-s" => return Self::Nothing,
            _ => return Self::Wrong,
        }
        if pattern.len() > PATTERN_MAX || !line.is_ascii() {
            return Self::Wrong;
        }
        let (prefix, has_metacharacters) = prefix(pattern);
        Self::Rule(Rule { pattern: pattern.to_owned(), prefix, has_metacharacters, label: label.to_owned() })
    }
}

impl Rule {
    /// Whether it is for this path; `None` when its expression is not known here.
    fn matches(&self, path: &str) -> Option<bool> {
        let pattern = translated(&self.pattern)?;
        let mut builder = RegexBuilder::new(&format!("^{pattern}$"));
        let expression = builder.dot_matches_new_line(true).size_limit(COMPILED_MAX).build().ok()?;
        Some(expression.is_match(path))
    }
}

/// Returns the literal beginning of an expression, and whether it has metacharacters as libselinux counts them.
fn prefix(pattern: &str) -> (String, bool) {
    let mut prefix = String::new();
    let mut is_literal = true;
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '.' | '^' | '$' | '?' | '*' | '+' | '|' | '[' | '(' | '{' => {
                // these make what stands before them optional
                if is_literal && matches!(c, '?' | '*' | '{') {
                    prefix.pop();
                }
                if pattern.contains('|') && has_free_alternative(pattern) {
                    prefix.clear();
                }
                return (prefix, true);
            }
            '\\' => match characters.next() {
                Some(escaped) if is_literal && escaped.is_ascii_punctuation() => prefix.push(escaped),
                _ => is_literal = false,
            },
            _ if is_literal => prefix.push(c),
            _ => {}
        }
    }
    (prefix, false)
}

/// Whether a `|` stands outside of parentheses.
fn has_free_alternative(pattern: &str) -> bool {
    let (mut depth, mut is_in_class) = (0_u32, false);
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            ']' => is_in_class = false,
            _ if is_in_class => {}
            '[' => is_in_class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// Returns an expression of PCRE as one of regex-lite, which means the same or does not compile; `None` where the
/// anchors that libselinux puts around it would hold for a part of it alone.
fn translated(pattern: &str) -> Option<String> {
    if has_free_alternative(pattern) {
        return None;
    }
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            // PCRE takes any punctuation, regex-lite only what has a meaning
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_punctuation() => {
                    text.push_str(&format!("\\x{{{:x}}}", u32::from(escaped)));
                }
                // other letters mean other things, or nothing, in one of the two
                class @ ('d' | 'D' | 's' | 'S' | 'w' | 'W') => text.extend(['\\', class]),
                _ => return None,
            },
            _ => text.push(c),
        }
    }
    Some(text)
}

/// Reads a file of aliases; a later line is tried before an earlier one.
fn parse_aliases(text: &str) -> Vec<(String, String)> {
    let alias = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let from = words.next().filter(|word| !word.starts_with('#'))?;
        Some((from.to_owned(), words.next()?.to_owned()))
    };
    text.lines().rev().filter_map(alias).take(RULES_MAX).collect()
}

fn aliased(aliases: &[(String, String)], path: &str) -> Option<String> {
    aliases.iter().find_map(|(from, to)| {
        let rest = path.strip_prefix(from.as_str())?;
        let to = if to == "/" { "" } else { to };
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
    })
}

/// `user:role:type`, with a level where the policy has them.
fn is_label(text: &str) -> bool {
    let mut parts = text.splitn(4, ':');
    let has_three = parts.by_ref().take(3).filter(|part| !part.is_empty()).count() == 3;
    has_three && text.len() <= LABEL_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(rules: &str, path: &str) -> Answer {
        FileContexts::parse(&[rules], ["", ""]).map_or(Answer::Unknown, |mut policy| policy.label(path))
    }

    fn label(kind: &str) -> Answer {
        Answer::Label(format!("system_u:object_r:{kind}:s0"))
    }

    #[test]
    fn the_last_rule_that_matches_holds_and_names_without_metacharacters_come_last() {
        let rules = "# comment\n\n\
            /etc/shadow\\.x --\tsystem_u:object_r:shadow_t:s0\n\
            /.*\tsystem_u:object_r:default_t:s0\n\
            /etc/.*  system_u:object_r:etc_t:s0\n\
            /etc/[^/]*\\.conf(\\.[0-9]+)? -- system_u:object_r:conf_t:s0\n\
            /etc/dir -d system_u:object_r:dir_t:s0\n\
            /run/.* <<none>>\n";
        for (path, want) in [
            ("etc/shadow.x", label("shadow_t")),
            ("etc/shadowyx", label("etc_t")),
            ("etc/a.conf", label("conf_t")),
            ("/etc/a.conf.12", label("conf_t")),
            ("etc/d/a.conf", label("etc_t")),
            ("etc/dir", label("etc_t")),
            ("etcetera", label("default_t")),
            ("run/x", Answer::NoLabel),
        ] {
            assert_eq!(said(rules, path), want, "{path}");
        }
        assert_eq!(said("/etc/.* a:b:c\n", "usr/x"), Answer::Unknown);
    }

    #[test]
    fn what_is_not_known_here_gives_no_answer() {
        let after = |rule: &str| said(&format!("/.* a:b:c\n{rule} d:e:f\n"), "etc/x");
        let known = Answer::Label("a:b:c".to_owned());
        for rule in ["/etc/(?!y).*", "/usr|/etc/.*", "/etc/\\Qx\\E", "/etc/x{0", "/etc/(x"] {
            assert_eq!(after(rule), Answer::Unknown, "{rule}");
        }
        for rule in ["/etc/y(?!y)", "/etc/(y|z)", "/etc/[|]", "/etc/\\_", "/etc/xx?x"] {
            assert_eq!(after(rule), known, "{rule}");
        }
        assert_eq!(said("/etc/.* -x a:b:c\n", "etc/x"), Answer::Unknown);
        assert_eq!(said("/etc/.* a:b:c\n/etc\n", "etc/x"), Answer::Unknown);
        assert_eq!(said("/etc/.* nonsense\n", "etc/x"), Answer::Unknown);
    }

    #[test]
    fn aliases_replace_the_beginning_the_local_ones_first() {
        let rules = "/.* a:b:other_t\n/usr/lib/.* a:b:lib_t\n/usr/bin/.* a:b:bin_t\n";
        let dist = "# aliases\n/lib /usr/lib\n/lib64 /usr/lib\n/opt/x/bin /usr/bin\n/mnt /\n";
        let mut policy = FileContexts::parse(&[rules], ["/opt/y /opt/x\n", dist]).unwrap();
        for (path, want) in [
            ("lib/a", "lib_t"),
            ("lib64/a", "lib_t"),
            ("library/a", "other_t"),
            ("opt/y/bin/a", "bin_t"),
            ("mnt/usr/bin/a", "bin_t"),
        ] {
            assert_eq!(policy.label(path), Answer::Label(format!("a:b:{want}")), "{path}");
        }
    }

    #[test]
    fn a_hostile_policy_is_given_up() {
        let huge = format!("/etc/{} a:b:c\n", "(x{1000}){1000}".repeat(10));
        assert_eq!(said(&huge, "etc/x"), Answer::Unknown);
        let many = "/.*y a:b:c\n".repeat(TRIED_MAX + 1);
        assert_eq!(said(&format!("/.* a:b:c\n{many}"), "etc/x"), Answer::Unknown);
        assert_eq!(said(&"/x a:b:c\n".repeat(RULES_MAX + 1), "x"), Answer::Unknown);
        let slow = format!("/{}z a:b:c\n", "(a*)*".repeat(20));
        assert_eq!(said(&slow, &"a".repeat(4000)), Answer::Unknown);
        let long = |to: usize| {
            let aliases = format!("/etc /{}\n", "a".repeat(to));
            FileContexts::parse(&["/.* a:b:c\n"], ["", &aliases]).unwrap().label("etc/x")
        };
        assert_eq!(long(PATH_MAX - 3), Answer::Label("a:b:c".to_owned()));
        assert_eq!(long(PATH_MAX - 2), Answer::Unknown);
    }

    proptest! {
        #[test]
        fn any_policy_is_read(text in "(/|etc|\\.\\*|[\\[\\](){}|\\\\?*^$a \n-]|\\PC){0,40}", path in "/?[a-z./]{0,20}") {
            let mut policy = FileContexts::parse(&[&text], [&text, ""]);
            let _ = policy.as_mut().map(|policy| policy.label(&path));
        }

        #[test]
        fn a_literal_name_matches_itself_alone(name in "[a-z0-9._+@-]{1,20}", other in "[a-z0-9._+@-]{1,20}") {
            let escaped: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\{c}") }).collect();
            let rule = format!("/etc/{escaped} a:b:c\n");
            prop_assert_eq!(said(&rule, &format!("etc/{name}")), Answer::Label("a:b:c".to_owned()));
            prop_assume!(name != other);
            prop_assert_eq!(said(&rule, &format!("etc/{other}")), Answer::Unknown);
        }
    }
}
