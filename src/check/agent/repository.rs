//! `agent-repository`: a package source that once held the agent and is gone.
//!
//! Sources are read as apt, yum and zypper do: what is switched off or commented out breaks nothing.

use anyhow::{Context, Result};

use super::remedy::{Hands, mended};
use crate::check::{Evidence, Finding};
use crate::plan::{FileChange, Plan};
use crate::root::Root;
use crate::target::Target;

/// The repository of the agent that does not answer any more, or whose key has expired.
const GONE: &str = "mirror.rackspace.com/ospc";

pub(super) fn repository(target: &Target) -> Result<Vec<Finding>> {
    let sources = dead_sources(&target.root)?;
    Ok(judge(sources, &Hands::of(target)))
}

fn judge(sources: Vec<Evidence>, hands: &Hands) -> Vec<Finding> {
    if sources.is_empty() {
        return vec![Finding::ok("no dead package source of the agent")];
    }
    let finding = |source: Evidence| {
        let file = source.source.split(':').next().unwrap_or_default().to_owned();
        let finding = Finding::warn("the agent's old package source is still in use")
            .because("updates fail on it: the repository is gone or its key has expired (404, NO_PUBKEY)")
            .seen(source.source, source.text)
            .about(&file);
        let (text, argv) = if file.ends_with(".repo") {
            ("switch the source off: enabled=0", ["sed", "-i", "s/^enabled.*/enabled=0/"])
        } else if file.ends_with(".sources") {
            ("switch the source off: Enabled: no", ["sed", "-i", "1i Enabled: no"])
        } else {
            ("comment the source out", ["sed", "-i", "/rackspace.com.ospc/s/^/# /"])
        };
        let path = format!("/{file}");
        let argv: Vec<&str> = argv.into_iter().chain([path.as_str()]).collect();
        mended(finding, text, vec![hands.inside(&argv)])
    };
    sources.into_iter().map(finding).collect()
}

/// Switches the sources off, each as its program reads that.
pub(super) fn fix(target: &Target) -> Result<Plan> {
    let root = &target.root;
    let mut files = Vec::new();
    for source in dead_sources(root)? {
        let file = source.source.rsplit_once(':').map_or(source.source.as_str(), |(file, _)| file);
        let text = String::from_utf8(root.read(file)?).with_context(|| format!("reading {file}"))?;
        files.push(FileChange::write(file, switched_off(file, &text)));
    }
    Ok(Plan {
        verb: "fix",
        title: "switch the agent's dead package source off".to_owned(),
        files,
        ..Plan::default()
    })
}

/// Returns the text of a file without a source in use that names the repository.
fn switched_off(file: &str, text: &str) -> String {
    let (begins_next, switch): (fn(&str) -> bool, &str) = match file.rsplit('.').next() {
        Some("repo") => (is_section, "enabled"),
        Some("sources") => (str::is_empty, "enabled"),
        _ => {
            let off = |line: &str| line.trim_start().starts_with("deb") && names_it(line);
            let line = |line| if off(line) { format!("# {line}") } else { line.to_owned() };
            return text.split_inclusive('\n').map(line).collect();
        }
    };
    let is_repo = file.ends_with(".repo");
    // a header begins a section, an empty line ends a stanza
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    for line in text.split_inclusive('\n') {
        if begins_next(line.trim()) {
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    let is_comment = |line: &str| line.trim_start().starts_with(['#', ';']);
    let is_switch = |line: &str| {
        line.split_once(['=', ':']).is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case(switch))
    };
    let mut out = String::with_capacity(text.len() + 16);
    for block in blocks {
        if !block.iter().any(|line| !is_comment(line) && names_it(line)) {
            out.extend(block);
            continue;
        }
        let off = if is_repo { "enabled=0\n" } else { "Enabled: no\n" };
        let mut is_written = false;
        for line in block.into_iter().filter(|line| is_comment(line) || !is_switch(line)) {
            let is_first = !is_written && !is_comment(line) && !line.trim().is_empty();
            // before the first field of a stanza, behind the header of a section
            if is_first && !is_repo {
                out.push_str(off);
            }
            out.push_str(line);
            if is_first && is_repo {
                out.push_str(off);
            }
            is_written |= is_first;
        }
    }
    out
}

/// Returns the line of each source in use that names the repository; one for each file.
fn dead_sources(root: &Root) -> Result<Vec<Evidence>> {
    let mut files = vec!["etc/apt/sources.list".to_owned()];
    files.extend(root.files_in("etc/apt/sources.list.d", ".list")?);
    files.extend(root.files_in("etc/apt/sources.list.d", ".sources")?);
    for dir in ["etc/yum.repos.d", "etc/zypp/repos.d"] {
        files.extend(root.files_in(dir, ".repo")?);
    }
    let mut found = Vec::new();
    for file in files {
        let text = root.text_opt(&file)?.unwrap_or_default();
        let line = match file.rsplit('.').next() {
            Some("repo") => dead_in_blocks(&text, is_section, |key| key == "enabled", is_off),
            Some("sources") => dead_in_blocks(
                &text,
                |line| line.is_empty(),
                |key| key.eq_ignore_ascii_case("enabled"),
                is_off,
            ),
            _ => text.lines().position(|line| line.trim_start().starts_with("deb") && names_it(line)),
        };
        if let Some(line) = line {
            let quoted = text.lines().nth(line).unwrap_or_default().trim().to_owned();
            found.push(Evidence { source: format!("{file}:{}", line + 1), text: quoted });
        }
    }
    Ok(found)
}

/// Returns the line of the first block that names the repository and is not switched off. A block ends where
/// `begins_next` says.
fn dead_in_blocks(
    text: &str,
    begins_next: impl Fn(&str) -> bool,
    is_switch: impl Fn(&str) -> bool,
    is_off: impl Fn(&str) -> bool,
) -> Option<usize> {
    let mut named = None;
    let mut off = false;
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if begins_next(line) {
            if named.is_some() && !off {
                return named;
            }
            (named, off) = (None, false);
            continue;
        }
        if line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        if names_it(line) {
            named = named.or(Some(number));
        }
        if let Some((key, value)) = line.split_once(['=', ':'])
            && is_switch(key.trim())
        {
            off = is_off(value.trim());
        }
        // yum goes on without a source of this kind
        if line.replace(' ', "").eq_ignore_ascii_case("skip_if_unavailable=1")
            || line.replace(' ', "").eq_ignore_ascii_case("skip_if_unavailable=true")
        {
            off = true;
        }
    }
    named.filter(|_| !off)
}

fn is_section(line: &str) -> bool {
    line.starts_with('[')
}

fn is_off(value: &str) -> bool {
    ["0", "no", "false", "off"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

fn names_it(line: &str) -> bool {
    line.contains(GONE)
}

#[cfg(test)]
mod tests {
    use super::super::remedy::tests::hands;
    use super::*;
    use crate::check::Status;
    use crate::facts::agents::tests::put;
    use crate::facts::os::Base;
    use proptest::prelude::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), path, text);
        let sources = dead_sources(&Root::open(dir.path()).unwrap()).unwrap();
        sources.into_iter().map(|evidence| evidence.source).collect()
    }

    #[test]
    fn a_source_in_use_is_found_in_each_format() {
        let repo =
            "[epel]\nbaseurl=https://x\n[ospc]\nname=x\nbaseurl = http://mirror.rackspace.com/ospc/RHEL/7\n";
        let cases = [
            (
                "etc/apt/sources.list",
                "deb http://mirror.example/debian bookworm main\ndeb [arch=amd64] https://mirror.rackspace.com/ospc/debian bookworm main\n",
                ":2",
            ),
            (
                "etc/apt/sources.list.d/ospc.list",
                "deb http://mirror.rackspace.com/ospc/ubuntu focal main\n",
                ":1",
            ),
            (
                "etc/apt/sources.list.d/x.sources",
                "Types: deb\nURIs: http://mirror.rackspace.com/ospc/debian\n",
                ":2",
            ),
            ("etc/yum.repos.d/ospc.repo", repo, ":5"),
            ("etc/zypp/repos.d/ospc.repo", &format!("{repo}enabled=1\n[x]\nenabled=0\n"), ":5"),
        ];
        for (path, text, line) in cases {
            assert_eq!(found(path, text), [format!("{path}{line}")]);
        }
    }

    #[test]
    fn a_source_that_is_switched_off_or_another_one_is_silent() {
        let cases = [
            ("etc/apt/sources.list", "# deb http://mirror.rackspace.com/ospc/ubuntu focal main\n"),
            ("etc/apt/sources.list", "deb http://mirror.rackspace.com/ubuntu focal main\n"),
            (
                "etc/apt/sources.list.d/x.list.save",
                "deb http://mirror.rackspace.com/ospc/ubuntu focal main\n",
            ),
            (
                "etc/apt/sources.list.d/x.sources",
                "Enabled: no\nURIs: http://mirror.rackspace.com/ospc\n\nURIs: http://x\n",
            ),
            (
                "etc/yum.repos.d/x.repo",
                "[ospc]\nbaseurl=http://mirror.rackspace.com/ospc\nenabled = 0\n[x]\nenabled=1\n",
            ),
            ("etc/yum.repos.d/x.repo", "[ospc]\n#baseurl=http://mirror.rackspace.com/ospc\nenabled=1\n"),
            (
                "etc/yum.repos.d/x.repo",
                "[ospc]\nbaseurl=http://mirror.rackspace.com/ospc\nskip_if_unavailable=True\n",
            ),
        ];
        for (path, text) in cases {
            assert_eq!(found(path, text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_dead_source_is_a_warning_with_the_command_that_switches_it_off() {
        let source = Evidence { source: "etc/yum.repos.d/ospc.repo:5".to_owned(), text: "x".to_owned() };
        let findings = judge(vec![source], &hands(Base::RedHat));
        assert_eq!(findings[0].status, Status::Warn);
        let commands = &findings[0].remedy.as_ref().unwrap().commands;
        assert_eq!(commands[0].join(" "), "sed -i s/^enabled.*/enabled=0/ /etc/yum.repos.d/ospc.repo");
        assert_eq!(judge(Vec::new(), &hands(Base::RedHat))[0].status, Status::Ok);
    }

    #[test]
    fn a_source_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "etc/yum.repos.d/x.repo/y", "");
        assert!(dead_sources(&Root::open(dir.path()).unwrap()).is_err());
    }

    #[test]
    fn a_source_that_was_switched_off_is_not_found_and_the_rest_stays() {
        let cases = [
            (
                "etc/yum.repos.d/a.repo",
                "[epel]\nenabled=1\n[ospc]\nname=x\nbaseurl=http://mirror.rackspace.com/ospc/7\nenabled = 1\n[c]\nenabled=1\n",
                "[epel]\nenabled=1\n[ospc]\nenabled=0\nname=x\nbaseurl=http://mirror.rackspace.com/ospc/7\n[c]\nenabled=1\n",
            ),
            (
                "etc/apt/sources.list.d/a.sources",
                "# one\nTypes: deb\nURIs: http://a\n\nTypes: deb\nENABLED: yes\nURIs: http://mirror.rackspace.com/ospc/d",
                "# one\nTypes: deb\nURIs: http://a\n\nEnabled: no\nTypes: deb\nURIs: http://mirror.rackspace.com/ospc/d",
            ),
            (
                "etc/apt/sources.list",
                "deb http://a b c\n  deb http://mirror.rackspace.com/ospc/d x y\n",
                "deb http://a b c\n#   deb http://mirror.rackspace.com/ospc/d x y\n",
            ),
        ];
        for (path, text, want) in cases {
            assert_ne!(found(path, text), Vec::<String>::new(), "{path}");
            assert_eq!(switched_off(path, text), want);
            assert_eq!(found(path, want), Vec::<String>::new(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_switched_off_is_off_in_any_text(
            text in "(\\[ospc\\]|mirror.rackspace.com/ospc|enabled[=:] ?(1|yes|0)|Enabled: yes|\n|# |deb |x=)*",
            kind in "[.](list|repo|sources)",
        ) {
            let path = match &*kind {
                ".repo" => "etc/yum.repos.d/a.repo",
                ".list" => "etc/apt/sources.list.d/a.list",
                _ => "etc/apt/sources.list.d/a.sources",
            };
            prop_assert_eq!(found(path, &switched_off(path, &text)), Vec::<String>::new());
        }


        #[test]
        fn any_source_is_read_without_a_panic(text in "(\\PC{0,8}|\n|\\[|enabled|=|0|mirror.rackspace.com/ospc)*") {
            dead_in_blocks(&text, is_section, |key| key == "enabled", is_off);
        }
    }
}
