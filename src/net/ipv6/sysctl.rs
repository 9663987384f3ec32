//! `net.ipv6.conf.*.disable_ipv6` as the files of sysctl leave it.
//!
//! Files are taken in the order of their names, whichever directory they are in; of two with one name the one in
//! the stronger directory is read. `/etc/sysctl.conf` comes last where procps applies it; systemd reads it only where
//! a link in `sysctl.d` leads to it.
//! systemd makes an assignment once: one that repeats the value of an earlier one stays at the earlier one's place.
//! Source: sysctl.d(5), systemd's `sysctl.c`, procps' sysctl(8), the kernel's `addrconf_disable_ipv6`: `all` sets
//! every link that exists, and `default`; `default` is what a new link begins with.

use std::collections::{BTreeMap, HashMap};

use crate::glob;
use crate::net::configured::Seen;
use crate::root::Root;

/// From the weakest to the strongest.
const DIRS: [&str; 5] =
    ["lib/sysctl.d", "usr/lib/sysctl.d", "usr/local/lib/sysctl.d", "run/sysctl.d", "etc/sysctl.d"];
/// The file of sysctl(8).
const MAIN: &str = "etc/sysctl.conf";
/// The most files that are read.
const FILES_MAX: usize = 1000;

/// The assignments to `disable_ipv6`.
#[derive(Debug, Default)]
pub(crate) struct Sysctl {
    /// As they stand in the files, one after the other.
    pub(crate) lines: Vec<Assignment>,
    /// Their places in `lines`, in the order in which they are made.
    order: Vec<usize>,
}

/// A line of the files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The link, `all`, `default`, or a pattern of these.
    pub(crate) link: String,
    /// Whether it switches IPv6 off; `None` takes the link out of patterns.
    pub(crate) off: Option<bool>,
    /// Where it stands.
    pub(crate) seen: Seen,
    value: Option<String>,
}

impl Sysctl {
    pub(super) fn of(root: &Root) -> Self {
        let mut lines = Vec::new();
        for path in files(root) {
            match root.text_opt(&path) {
                Ok(text) => lines.extend(parse(&path, &text.unwrap_or_default())),
                Err(error) => tracing::debug!("{error:#}"),
            }
        }
        let order = if has_systemd(root) { once(&lines) } else { (0..lines.len()).collect() };
        Self { lines, order }
    }

    fn made(&self) -> impl Iterator<Item = &Assignment> {
        self.order.iter().map(|place| &self.lines[*place])
    }

    /// Returns the assignment that leaves IPv6 switched off on a link; `initial` is what the kernel begins with.
    pub(super) fn off(&self, link: &str, initial: Option<&Seen>) -> Option<Seen> {
        let is_pattern = |a: &Assignment| a.link.contains(['*', '?', '[']);
        // A name that is assigned, or taken out, anywhere is no longer meant by patterns.
        let is_named = |name: &str| self.lines.iter().any(|a| !is_pattern(a) && a.link == name);
        let applies = |a: &&Assignment, name: &str| {
            if is_pattern(a) { !is_named(name) && glob::matches(&a.link, name) } else { a.link == name }
        };
        let mut by = initial;
        for assignment in self.made().filter(|a| applies(a, "default")) {
            by = assignment.off.unwrap_or(by.is_some()).then_some(&assignment.seen);
        }
        for assignment in self.made().filter(|a| applies(a, "all") || applies(a, link)) {
            by = assignment.off.unwrap_or(by.is_some()).then_some(&assignment.seen);
        }
        by.cloned()
    }
}

/// Returns the places of the assignments that systemd makes (`parse_line` in its sysctl.c).
fn once(lines: &[Assignment]) -> Vec<usize> {
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (place, line) in lines.iter().enumerate() {
        let same = last.get(line.link.as_str()).is_some_and(|earlier| lines[*earlier].value == line.value);
        if !same {
            last.insert(&line.link, place);
        }
    }
    let mut order: Vec<usize> = last.into_values().collect();
    order.sort_unstable();
    order
}

fn has_systemd(root: &Root) -> bool {
    ["usr/lib", "lib"].iter().any(|lib| root.exists(&format!("{lib}/systemd/systemd-sysctl")))
}

/// Returns a file in which a line comes after all others: the main one, or one to be made.
pub(crate) fn last_file(root: &Root) -> String {
    if !has_systemd(root) && root.exists(MAIN) {
        return MAIN.to_owned();
    }
    let names = DIRS.iter().flat_map(|dir| root.files_in(dir, ".conf").unwrap_or_default());
    let names = names.filter_map(|path| path.rsplit('/').next().map(str::to_owned));
    let last = names.max().unwrap_or_default();
    let usual = "99-zz-novactl.conf";
    if last.as_str() <= usual {
        return format!("etc/sysctl.d/{usual}");
    }
    // "zz.conf" < "zz.x.conf"
    format!("etc/sysctl.d/{}.x-novactl.conf", last.trim_end_matches(".conf"))
}

pub(crate) fn files(root: &Root) -> Vec<String> {
    let mut files = BTreeMap::new();
    for dir in DIRS {
        for path in root.files_in(dir, ".conf").unwrap_or_default().into_iter().take(FILES_MAX) {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            // the name of a link to /etc/sysctl.conf is of no use to who has to mend it
            let path = match root.resolve(&path) {
                Ok(Some(real)) if real.trim_start_matches('/') == MAIN => MAIN.to_owned(),
                _ => path,
            };
            files.insert(name, path);
        }
    }
    let mut files: Vec<String> = files.into_values().collect();
    // one that cannot be looked at is left to whoever reads it
    if !has_systemd(root) && !matches!(root.stat_opt(MAIN), Ok(None)) {
        files.push(MAIN.to_owned());
    }
    files
}

fn parse(path: &str, text: &str) -> Vec<Assignment> {
    let assignment = |(place, line): (usize, &str)| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (line, None),
        };
        let (key, is_exempt) = match key.strip_prefix('-') {
            Some(key) => (key.trim(), value.is_none()),
            None => (key, false),
        };
        let link = link_of(key)?;
        let off = match value {
            Some(value) => Some(value.parse::<i64>().ok()? != 0),
            None if is_exempt => None,
            None => return None,
        };
        let value = value.map(str::to_owned);
        Some(Assignment { link, off, seen: Seen::line(path, place + 1, line), value })
    };
    text.lines().enumerate().filter_map(assignment).collect()
}

/// The link in a key. With dots between the parts, a slash stands for a dot in a name; with slashes, a dot is one.
fn link_of(key: &str) -> Option<String> {
    let with_dots = key.find(['.', '/']).is_some_and(|place| key.as_bytes()[place] == b'.');
    let swap = |c| match c {
        '.' if with_dots => '/',
        '/' if with_dots => '.',
        c => c,
    };
    let key: String = key.chars().map(swap).collect();
    let link = key.strip_prefix("net/ipv6/conf/")?.strip_suffix("/disable_ipv6")?;
    (!link.is_empty() && !link.contains('/')).then(|| link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::tree;
    use proptest::prelude::*;

    fn off(files: &[(&str, &str)], link: &str) -> Option<String> {
        let (_dir, root) = tree(files);
        Sysctl::of(&root).off(link, None).map(|seen| seen.source)
    }

    #[test]
    fn keys_are_read_in_both_forms() {
        let cases = [
            ("net.ipv6.conf.all.disable_ipv6", Some("all")),
            ("net/ipv6/conf/eth0.5/disable_ipv6", Some("eth0.5")),
            ("net.ipv6.conf.eth0/5.disable_ipv6", Some("eth0.5")),
            ("net.ipv6.conf.*.disable_ipv6", Some("*")),
            ("net.ipv6.conf.disable_ipv6", None),
            ("net.ipv6.conf.all.accept_ra", None),
            ("", None),
        ];
        for (key, want) in cases {
            assert_eq!(link_of(key).as_deref(), want, "{key}");
        }
    }

    #[test]
    fn the_last_assignment_wins() {
        const FILE: &str = "etc/sysctl.d/x.conf";
        let cases = [
            ("net.ipv6.conf.all.disable_ipv6=1\n", Some(1)),
            ("net.ipv6.conf.all.disable_ipv6=1\nnet.ipv6.conf.all.disable_ipv6=0\n", None),
            ("net.ipv6.conf.eth0.disable_ipv6=0\nnet.ipv6.conf.all.disable_ipv6=1\n", Some(2)),
            ("net.ipv6.conf.all.disable_ipv6=1\nnet.ipv6.conf.eth0.disable_ipv6=0\n", None),
            ("# net.ipv6.conf.all.disable_ipv6=1\n", None),
            ("net.ipv6.conf.eth1.disable_ipv6=1\n", None),
            ("-net.ipv6.conf.eth0.disable_ipv6 = 1\n", Some(1)),
            ("net.ipv6.conf.default.disable_ipv6=1\n", Some(1)),
            ("net.ipv6.conf.all.disable_ipv6=0\nnet.ipv6.conf.default.disable_ipv6=1\n", None),
            ("net.ipv6.conf.*.disable_ipv6=1\n", Some(1)),
            ("net.ipv6.conf.eth*.disable_ipv6=1\n-net.ipv6.conf.eth0.disable_ipv6\n", None),
            ("net.ipv6.conf.eth0.disable_ipv6=yes\n", None),
        ];
        for (text, line) in cases {
            assert_eq!(off(&[(FILE, text)], "eth0"), line.map(|line| format!("{FILE}:{line}")), "{text}");
        }
    }

    #[test]
    fn files_are_taken_by_name_and_hidden_by_stronger_directories() {
        let on = "net.ipv6.conf.all.disable_ipv6=0\n";
        let off_line = "net.ipv6.conf.all.disable_ipv6=1\n";
        assert_eq!(
            off(&[("usr/lib/sysctl.d/90.conf", off_line), ("etc/sysctl.d/50.conf", on)], "eth0").as_deref(),
            Some("usr/lib/sysctl.d/90.conf:1")
        );
        assert_eq!(
            off(&[("usr/lib/sysctl.d/90.conf", off_line), ("etc/sysctl.d/90.conf", on)], "eth0"),
            None
        );
        assert_eq!(
            off(&[("usr/lib/sysctl.d/90.conf", off_line), ("etc/sysctl.d/90.conf", "")], "eth0"),
            None
        );
        assert_eq!(off(&[("etc/sysctl.d/90", off_line)], "eth0"), None);
    }

    #[test]
    fn the_main_file_is_last_for_procps_and_by_its_link_for_systemd() {
        let main = ("etc/sysctl.conf", "net.ipv6.conf.all.disable_ipv6=1\n");
        let later = ("etc/sysctl.d/99-z.conf", "net.ipv6.conf.all.disable_ipv6=0\n");
        let systemd = ("usr/lib/systemd/systemd-sysctl", "!");
        let link = ("etc/sysctl.d/99-sysctl.conf", "->../sysctl.conf");
        let source = Some("etc/sysctl.conf:1".to_owned());
        assert_eq!(off(&[main, later], "eth0"), source);
        assert_eq!(off(&[main, systemd], "eth0"), None);
        assert_eq!(off(&[main, systemd, link], "eth0"), source);
        assert_eq!(off(&[main, systemd, link, later], "eth0"), None);
    }

    #[test]
    fn systemd_leaves_a_repeated_value_at_its_first_place() {
        let line = |link: &str, value: u8| format!("net.ipv6.conf.{link}.disable_ipv6={value}\n");
        let (all_off, eth0_on, eth0_off) = (line("all", 1), line("eth0", 0), line("eth0", 1));
        let systemd = ("usr/lib/systemd/systemd-sysctl", "!");
        // what systemd 252 leaves in the kernel, and what procps does
        for (lines, by_systemd, by_procps) in [
            ([&eth0_on, &all_off, &eth0_on], Some(2), None),
            ([&all_off, &eth0_on, &all_off], None, Some(3)),
            ([&eth0_on, &all_off, &eth0_off], Some(3), Some(3)),
            ([&eth0_off, &all_off, &eth0_on], None, None),
        ] {
            let text = lines.map(String::as_str).concat();
            let file = ("etc/sysctl.d/x.conf", text.as_str());
            let at = |line: Option<u8>| line.map(|line| format!("{}:{line}", file.0));
            assert_eq!(off(&[file, systemd], "eth0"), at(by_systemd), "systemd: {text}");
            assert_eq!(off(&[file], "eth0"), at(by_procps), "procps: {text}");
        }
    }

    #[test]
    fn the_last_file_is_read_last() {
        let systemd = ("usr/lib/systemd/systemd-sysctl", "!");
        for (files, want) in [
            (vec![systemd, ("etc/sysctl.d/99-x.conf", "")], "etc/sysctl.d/99-zz-novactl.conf"),
            (vec![systemd, ("etc/sysctl.d/zz.conf", "")], "etc/sysctl.d/zz.x-novactl.conf"),
            (vec![systemd, ("etc/sysctl.conf", "")], "etc/sysctl.d/99-zz-novactl.conf"),
            (vec![("etc/sysctl.conf", "")], "etc/sysctl.conf"),
            (vec![], "etc/sysctl.d/99-zz-novactl.conf"),
        ] {
            let (_dir, root) = tree(&files);
            assert_eq!(last_file(&root), want);
            let before = super::files(&root);
            assert!(
                before.iter().all(|file| file.rsplit('/').next() <= want.rsplit('/').next()),
                "{before:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(-?(net[./]ipv6[./]conf[./].{0,6}[./]disable_ipv6)?.{0,4}=?.{0,3}\n){0,4}") {
            let lines = parse("x", &text);
            let order = once(&lines);
            Sysctl { lines, order }.off("eth0", None);
        }
    }
}
