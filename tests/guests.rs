//! Judges every guest of `tests/guests/` with the built program and compares with what the guest says of itself.
//!
//! `GUEST=name` judges one, `GUEST_KEEP=dir` leaves its tree there. To add one: a file, see tests/guests/README.md.

#![expect(clippy::disallowed_methods, reason = "reads the manifests and looks at the trees")]
#![expect(clippy::print_stdout, reason = "says how much was judged and what was skipped")]

#[path = "guests/commands.rs"]
mod commands;
#[path = "guests/elf.rs"]
mod elf;
#[path = "guests/judge.rs"]
mod judge;
#[path = "guests/manifest.rs"]
mod manifest;
#[path = "guests/mend.rs"]
mod mend;
#[path = "guests/snapshot.rs"]
mod snapshot;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use judge::Difference;
use manifest::{Guest, Manifests};
use mend::{Outcome, Patient};

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests")
}

/// Returns the guests, or the one that `GUEST` names.
fn guests() -> Result<Vec<Guest>> {
    let all = Manifests::read(&guests_dir())?;
    let only = std::env::var("GUEST").ok();
    let names = all.names("").filter(|name| only.as_deref().is_none_or(|only| only == *name));
    names.map(|name| all.guest(name)).collect()
}

#[test]
fn every_guest_is_judged_as_it_says_and_nothing_in_it_changes() -> Result<()> {
    let guests = guests()?;
    let mut differences = Vec::new();
    let mut expectations = 0;
    for guest in &guests {
        expectations += 1 + guest.expect.len() + guest.among.len() + guest.facts.len();
        let failed = |error| vec![[guest.name.clone(), "a judgement".to_owned(), format!("{error:#}")]];
        differences.extend(judged(guest).unwrap_or_else(failed));
    }
    println!("{} guests, {expectations} expectations", guests.len());
    assert!(!guests.is_empty(), "no guest");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), judge::table(&differences));
    Ok(())
}

/// Makes one guest and returns what differs.
fn judged(guest: &Guest) -> Result<Vec<Difference>> {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("root");
    std::fs::create_dir(&root)?;
    guest.unpack(&root)?;
    if let Ok(keep) = std::env::var("GUEST_KEEP") {
        guest.unpack(&Path::new(&keep).join(&guest.name))?;
    }
    judge::differences(guest, &root)
}

/// What has a fix that does not apply to this guest, and why.
const BY_HAND: &[(&str, &str, &str)] = &[
    ("centos-6-log-grown", "agent-log-size", "logrotate is not installed"),
    ("debian-12-log-grown", "agent-log-size", "logrotate is not installed"),
    ("centos-7-start-timed-out", "agent-boot-timing", "what held the start is not known"),
    ("debian-12-start-timed-out", "agent-boot-timing", "what held the start is not known"),
    ("centos-7-keys-that-nothing-reads", "ifcfg-keys", "what the lines were to say is not known"),
    ("debian-12-bridge-of-the-nic", "config-lost", "the bridge takes an address from a NIC of the host's"),
    (
        "debian-12-ipv6-off-by-kernel-command-line",
        "ipv6-enabled-public",
        "the boot menu has to be written anew",
    ),
    ("debian-12-agent-2.1.20", "agent-version", OLD_AND_WORKING),
    ("ubuntu-14.04-agent-1.39.0", "agent-version", OLD_AND_WORKING),
    ("openvpn-samples", "agent-version", OLD_AND_WORKING),
    ("ubuntu-14.04-openvpn-agent-1.39.0", "agent-version", REPLACED_FOR_ANOTHER),
    ("ubuntu-14.04-tap-agent-1.39.0", "agent-version", REPLACED_FOR_ANOTHER),
];
const OLD_AND_WORKING: &str = "an old release that works is its package's matter";
const REPLACED_FOR_ANOTHER: &str = "unexpected-interfaces replaces it";

#[test]
fn what_has_a_fix_is_mended_and_taken_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(program) = small_program(dir.path())? else { return Ok(()) };
    let has_fix = |id: &str| novactl::check::all().any(|check| check.id == id && check.fix.is_some());
    let (mut mended, mut by_hand, mut differences) = (0, Vec::new(), Vec::new());
    for guest in &guests()? {
        let mut ids: Vec<&str> = Vec::new();
        let is_fault = |want: &&String| want.contains("=warn") || want.contains("=fail");
        let faults = guest.expect.iter().filter(is_fault);
        let notes = guest.among.iter().filter(|(status, _)| *status == "note").map(|(_, id)| id);
        for want in faults.chain(notes) {
            let id = want.split(['=', '@']).next().unwrap_or_default();
            if has_fix(id) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        for id in ids {
            match Patient::new(guest, &program)?.mend(id) {
                Ok(Outcome::Mended) => mended += 1,
                // a note need not be mended
                Ok(Outcome::ByHand)
                    if guest.expect.iter().filter(is_fault).all(|want| !want.starts_with(id)) => {}
                Ok(Outcome::ByHand) => by_hand.push((guest.name.clone(), id.to_owned())),
                Err(error) => differences.push([guest.name.clone(), id.to_owned(), format!("{error:#}")]),
            }
        }
    }
    println!("{mended} mended and taken back, {} left to hands", by_hand.len());
    for (guest, id) in by_hand {
        if !BY_HAND.iter().any(|known| (known.0, known.1) == (&guest, &id)) {
            differences.push([guest, id, "is left to hands, and no reason is known".to_owned()]);
        }
    }
    let only = std::env::var_os("GUEST");
    assert!(mended > 0 || only.is_some(), "nothing has a fix");
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), judge::table(&differences));
    Ok(())
}

/// Returns the program without what only a debugger reads: with it, it is too large to be installed as an agent.
fn small_program(dir: &Path) -> Result<Option<PathBuf>> {
    let place = dir.join("novactl");
    let strip = Command::new("strip").arg("-o").arg(&place).arg(env!("CARGO_BIN_EXE_novactl")).output();
    if !strip.is_ok_and(|output| output.status.success()) {
        println!("skipped: strip (binutils) is not installed");
        return Ok(None);
    }
    Ok(Some(place))
}

#[test]
fn every_guest_can_be_made() -> Result<()> {
    for guest in guests()? {
        guest.unpack(tempfile::tempdir()?.path()).with_context(|| guest.name.clone())?;
    }
    Ok(())
}

#[test]
fn what_a_manifest_says_is_made() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let base = "file etc/a mode=0600\n| one\n|  two\n|\nfile etc/b\n| x\n| y\n| z\nlink etc/l -> ../etc/a\n";
    let text = "based-on: base\nexpect: agent-enabled=fail\n# a comment\nremove etc/a\n\
        edit etc/b\n- y\n+ Y\n+ YY\nfile etc/odd\\x20name hole=2\n| end\nzipapp usr/bin/app /usr/bin/env python3\n\
        * __main__.py\n| import novaagent\n";
    std::fs::write(dir.path().join("base.guest"), base)?;
    std::fs::write(
        dir.path().join("faults.guests"),
        format!("An introduction.\n== faulty\n{text}== other\ndir x\n"),
    )?;
    let all = Manifests::read(dir.path())?;
    assert_eq!(all.names("").collect::<Vec<_>>(), ["base", "faulty", "other"]);
    let (base_root, root) = (dir.path().join("1"), dir.path().join("2"));
    std::fs::create_dir(&base_root)?;
    std::fs::create_dir(&root)?;
    all.guest("base")?.unpack(&base_root)?;
    assert_eq!(std::fs::read_to_string(base_root.join("etc/a"))?, "one\n two\n\n");
    assert_eq!(std::fs::read_link(base_root.join("etc/l"))?, Path::new("../etc/a"));
    let guest = all.guest("faulty")?;
    guest.unpack(&root)?;
    assert_eq!(guest.expect, ["agent-enabled=fail"]);
    assert!(!root.join("etc/a").exists());
    assert_eq!(std::fs::read_to_string(root.join("etc/b"))?, "x\nY\nYY\nz\n");
    assert_eq!(std::fs::read(root.join("etc/odd name"))?, b"\0\0end\n");
    let mut app = zip::ZipArchive::new(std::fs::File::open(root.join("usr/bin/app"))?)?;
    let main = std::io::read_to_string(app.by_name("__main__.py")?)?;
    assert_eq!(main, "import novaagent\n");
    Ok(())
}

#[test]
fn an_error_in_a_manifest_names_its_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cases = [
        ("dirr etc", "no such entry"),
        ("colour: red", "no such header"),
        ("based-on: bad", "based on itself"),
        ("dir etc mod=0700", "no option mod"),
        ("file etc/a etc/b", "takes one path"),
        ("file /etc/a", "relative to the root"),
        ("file etc/../../a", "plain"),
        ("dir etc\n| text", "no lines of its own"),
        ("file etc/a\n- text", "begins with |"),
        ("link etc/a etc/b", "PATH -> TO"),
    ];
    for (text, want) in cases {
        std::fs::write(dir.path().join("bad.guest"), format!("\n{text}\n"))?;
        let error = format!("{:#}", Manifests::read(dir.path())?.guest("bad").expect_err(text));
        assert!(error.contains(want) && error.contains("bad.guest:2"), "{text}: {error}");
    }
    std::fs::write(dir.path().join("bad.guest"), "== another\n")?;
    let error = format!("{:#}", Manifests::read(dir.path()).expect_err("two guests in one"));
    assert!(error.contains("bad.guest:1: a .guest file holds one guest"), "{error}");
    std::fs::write(dir.path().join("bad.guest"), "file etc/a\n| x\nedit etc/a\n- y\n")?;
    let root = tempfile::tempdir()?;
    let error = Manifests::read(dir.path())?.guest("bad")?.unpack(root.path()).expect_err("no such line");
    assert_eq!(format!("{error:#}"), "bad.guest:3: no line \"y\" from line 1");
    Ok(())
}
