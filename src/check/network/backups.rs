//! The names that both agents give to the files that they replace.
//!
//! 2.x and its reset: `FILE.1448461234.56.bak`; 1.x and its reset: `FILE.1448461234.bak~`; the injection of a file, in
//! most releases of both: `FILE.bak.1448461234`. A name without a time is somebody else's and is left alone.

use anyhow::Result;

use crate::root::{Kind, Root};

/// The most backups of one directory: each reset leaves a few.
const BACKUPS_MAX: usize = 1000;

/// A file that an agent put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backup {
    pub(super) path: String,
    /// Where the file was.
    pub(super) of: String,
    /// Seconds since 1970, and what follows them, as a number of nine digits.
    pub(super) time: (u64, u64),
}

/// Returns the backups in a directory, the newest first.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn in_dir(root: &Root, dir: &str) -> Result<Vec<Backup>> {
    let mut backups = Vec::new();
    for entry in root.read_dir(dir)?.into_iter().filter(|entry| !entry.is_link) {
        let Some((of, time)) = parse(&entry.name) else { continue };
        let path = format!("{dir}/{}", entry.name);
        let is_file = root.lstat_opt(&path)?.is_some_and(|stat| stat.kind == Kind::File);
        if is_file && backups.len() < BACKUPS_MAX {
            backups.push(Backup { path, of: format!("{dir}/{of}"), time });
        }
    }
    backups.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.path.cmp(&b.path)));
    Ok(backups)
}

/// Returns the name of the file that was put aside, and when.
fn parse(name: &str) -> Option<(&str, (u64, u64))> {
    if let Some(rest) = name.strip_suffix(".bak~").or_else(|| name.strip_suffix(".bak")) {
        let (left, last) = rest.rsplit_once('.')?;
        if let Some(time) = time(last, "") {
            return (!left.is_empty()).then_some((left, time));
        }
        let (of, seconds) = left.rsplit_once('.')?;
        return time(seconds, last).filter(|_| !of.is_empty()).map(|time| (of, time));
    }
    let (of, stamp) = name.rsplit_once(".bak.")?;
    let (seconds, rest) = stamp.split_once('.').unwrap_or((stamp, ""));
    time(seconds, rest).filter(|_| !of.is_empty()).map(|time| (of, time))
}

/// Python writes a time with at most seven digits behind the point.
fn time(seconds: &str, rest: &str) -> Option<(u64, u64)> {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !(9..=10).contains(&seconds.len()) || rest.len() > 7 || !is_number(seconds) || !is_number(rest) {
        return None;
    }
    Some((seconds.parse().ok()?, format!("{rest:0<9}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_names_of_both_agents_are_known_and_no_others() {
        let at = |seconds, rest| (seconds, rest);
        let cases = [
            ("interfaces.1448461234.56.bak", Some(("interfaces", at(1_448_461_234, 560_000_000)))),
            ("interfaces.1448461234.0.bak", Some(("interfaces", at(1_448_461_234, 0)))),
            ("ifcfg-eth0.5.1448461234.bak~", Some(("ifcfg-eth0.5", at(1_448_461_234, 0)))),
            ("job.bak.1448461234", Some(("job", at(1_448_461_234, 0)))),
            ("job.bak.1448461234.1234567", Some(("job", at(1_448_461_234, 123_456_700)))),
            ("interfaces.bak", None),
            ("interfaces.1448461234", None),
            ("interfaces.2015-11-25.bak", None),
            (".1448461234.bak", None),
            ("shadow.bak.4711", None),
            ("interfaces.1448461234.bak.gz", None),
        ];
        for (name, want) in cases {
            assert_eq!(parse(name), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read(name in "(.{0,4}|x)(\\.[0-9]{0,12}|\\.bak|~){0,4}") {
            if let Some((of, _)) = parse(&name) {
                prop_assert!(name.starts_with(of) && !of.is_empty());
            }
        }
    }
}
