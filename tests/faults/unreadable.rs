//! What cannot be read: every file that the checks read of a recorded guest, and every file in which a row has its
//! fault, is replaced by what is none. Nothing may crash, nothing else may be called broken, and who cannot judge
//! any more says which file it is.
//!
//! Which files are read is what their access times say, so a new check is swept with what it reads. A finding that is
//! right all the same stands in [`RIGHT`], with what the file's own reader makes of it.

use std::collections::BTreeSet;
use std::fs::{self, FileTimes, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use novactl::check::{Finding, Occasion, Status};
use novactl::root::Root;

use super::Healthy;
use super::laboratory::Bench;
use super::manifest::{Guest, Manifests};
use super::table::{GUESTS, Row};

/// What a file is replaced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instead {
    Directory,
    Loop,
    Huge,
    Nothing,
    Noise,
}

const EVERY: [Instead; 5] =
    [Instead::Directory, Instead::Loop, Instead::Huge, Instead::Nothing, Instead::Noise];

/// Ends of files, the checks that call them a fault, and why they are right.
const RIGHT: [(&str, &str, &str); 21] = [
    ("xenstore.json", "xenstore-reachable", "a store that was named is to be there"),
    ("sbin/xe-daemon", "xentools-installed", "a directory is no daemon"),
    ("bin/busybox bin/sh", "root-account-usable", "a shell that is a directory is none"),
    ("-release", "agent-supports-distro", "Python's os.path.exists says no to a loop of links"),
    (
        "cloud.cfg.d/10_rackspace.cfg",
        "cloud-init-network golden-image",
        "cloud-init takes regular files alone, and passes over what is not YAML",
    ),
    ("init.d/network", "network-service-present", "init runs no such script"),
    ("init.d/xe-linux-distribution rc.d/xenguest", "xentools-enabled", "init runs no directory"),
    ("etc/freebsd/nova-agent", "agent-enabled", "rc runs no directory"),
    (
        ".target",
        "agent-enabled xentools-enabled network-service-present resolver",
        "systemd starts nothing of it",
    ),
    (
        ".service",
        "network-service-present resolver",
        "systemd takes it for a directory or for masked: it starts nothing",
    ),
    (
        ".service .service.d/order.conf",
        "boot-order-acyclic",
        "without its lines the order of the defaults holds",
    ),
    ("sbin/nova-agent bin/nova-agent", "agent-installed", "what cannot be run is no agent"),
    ("bin/python3.6", "agent-interpreter", "what cannot be run is no Python"),
    ("libpthread.so.0", "agent-libraries", "the linker does not find it either"),
    (
        "sbin/NetworkManager settings-plugin-ifcfg-rh.so",
        "network-service-present",
        "it does not run, or reads no such files",
    ),
    (
        "etc/network/interfaces ifcfg-eth0 ifcfg-eth1 .nmconnection rackspace-cloud.yaml",
        "addresses-match-host-data",
        "the file says nothing: the addresses are missing",
    ),
    (
        "route-eth1 ifroute-eth0 ifroute-eth1",
        "routes-match-host-data",
        "the file says nothing: the routes are missing",
    ),
    ("etc/sysctl.conf", "golden-image", "the file says nothing of it"),
    ("etc/redhat-release", "agent-supports-distro", "1.x reads it: an unknown name"),
    ("nova-agent.log", "agent-log", "the system's log says it, and the agent's own says nothing later"),
    ("ifcfg-eth0.1448461234.bak~", "config-lost", "the other interface's file was moved away as well"),
];

/// Checks that call all well though the file of the fault cannot be read, ends of files, and why they are right.
const WELL: [(&str, &str, &str); 26] = [
    (
        "agent-log",
        "nova-agent.log syslog messages kern.log",
        "a log of any size is read at its end, which says nothing here",
    ),
    ("agent-log", "hardening.conf", "what was logged before the unit was changed says nothing of it"),
    ("agent-log-size", "nova-agent.log", "64 MiB are not too many; agent-log says that it is a directory"),
    ("selinux-denials", "audit.log", "a log of any size is read at its end, which says nothing here"),
    ("agent-unit-native", "yum.log", "a log of any size is read at its end, which says nothing here"),
    ("agent-single", "/nova-agent /novactl", "what cannot be run is no second agent"),
    ("agent-single", "init.d/python-nova-agent", "init runs no directory"),
    ("agent-single", "guest-agent.service", "systemd starts no such unit"),
    (
        "xentools-single",
        "xe-daemon xen-guest-agent",
        "what is no program is no daemon, and zeros are no ELF header",
    ),
    (
        "xentools-enabled",
        "etc/systemd/system/xe-linux-distribution.service",
        "the unit of a weaker directory counts",
    ),
    ("network-owner-single", "sbin/NetworkManager sbin/ifup", "what cannot be run owns no NIC"),
    (
        "network-owner-single",
        "10-eth0.network 10-nics.network 80-dhcp.network",
        "networkd passes over it, and owns no NIC by it",
    ),
    ("ipv6-enabled-public", "rackspace-cloud.yaml", "netplan-valid says that it cannot be read"),
    ("cloud-init-datasource cloud-init-network", ".cfg", "cloud-init takes regular files alone"),
    ("golden-image", ".cfg", "cloud-init takes regular files alone"),
    ("golden-image", "75-persistent-net-generator.rules", "udev reads no loop of links"),
    ("golden-image", "-nova-agent.service", "agent-enabled says it of the unit"),
    ("agent-interpreter", "bin/python3.13 bin/python3.x", "a shell passes over directories"),
    ("config-lost leftover-backups", "", "a directory or a loop of links is no backup"),
    ("unexpected-interfaces", "client.conf sbin/openvpn", "OpenVPN does not start with it"),
    ("unexpected-interfaces", "bonding_masters", "a file of the kernel's"),
    ("nic-names-stable", "systemd-udevd", "without udev nothing renames"),
    ("agent-supports-distro agent-version", "/os-release", "the other release files say it"),
    ("shadow-intact", "shadow.lock", "a lock is a file"),
    ("hostname-consistent", "etc/HOSTNAME", "a link is openSUSE's own, to the other file"),
    ("nm-profile-single", ".nmconnection", "NetworkManager takes regular files alone"),
];

/// Checks that no file keeps from judging, and why.
const UNTOUCHED: [(&str, &str); 8] = [
    ("agent-libraries", "what is asked for is looked up by name; the program is agent-installed's"),
    ("agent-version", "the program is agent-installed's"),
    ("host-network-data", "xenstore-reachable says it of the dump, and comes first"),
    ("provider-known", "xenstore-reachable says it of the dump, and comes first"),
    ("rackconnect", "xenstore-reachable says it of the dump, and comes first"),
    ("host-keys", "the names of the files tell"),
    ("selinux-labels", "labels are no contents"),
    ("unexpected-interfaces", "a VPN does not start with such a file"),
];

/// The XenStore dump, from the root.
const DUMP: &str = "../xenstore.json";

/// What came of it: what is wrong, and which checks said that a file cannot be read.
#[derive(Default)]
struct Outcome {
    wrong: Vec<String>,
    told: BTreeSet<&'static str>,
}

/// A guest, and what is known to be found on it.
struct Sweep<'r> {
    name: String,
    bench: Bench,
    root: Root,
    occasion: Occasion,
    known: Vec<Finding>,
    /// The row that is applied to it.
    row: Option<&'r Row>,
}

/// Returns what the checks make of files that they cannot read, where it is wrong.
pub(crate) fn gaps(rows: &[Row], manifests: &Manifests, healthy: &Healthy) -> Result<Vec<String>> {
    let guests = GUESTS.iter().map(|(name, _)| (*name, None));
    let faults = rows.iter().filter(|row| row.finds.is_some() && !row.is_recorded && !row.takes_root());
    let faults = faults.flat_map(|row| Some((*row.guests().first()?, Some(row))));
    let jobs: Vec<(&str, Option<&Row>)> = guests.chain(faults).collect();
    let mut all = Outcome::default();
    for outcome in super::side_by_side(&jobs, |(guest, row)| swept(manifests, healthy, guest, *row)) {
        let outcome = outcome?;
        all.wrong.extend(outcome.wrong);
        all.told.extend(outcome.told);
    }
    let ids: BTreeSet<&str> = rows.iter().filter_map(Row::id).collect();
    for id in ids {
        let is_known = UNTOUCHED.iter().any(|(known, _)| *known == id);
        match (all.told.contains(id), is_known) {
            (false, false) => all.wrong.push(format!("{id} never says that a file cannot be read")),
            (true, true) => {
                all.wrong.push(format!("{id} says that a file cannot be read: take it out of UNTOUCHED"));
            }
            _ => {}
        }
    }
    Ok(all.wrong)
}

fn swept(manifests: &Manifests, healthy: &Healthy, name: &str, row: Option<&Row>) -> Result<Outcome> {
    let Some(row) = row else {
        let mut guest = manifests.guest(name)?;
        guest.store = manifests.guest("parts/host-data")?.store;
        let sweep = Sweep::of(name.to_owned(), &guest, None)?;
        let mut files = sweep.read()?;
        files.push(DUMP.to_owned());
        return sweep.of_files(&files);
    };
    let made = format!("{} on {name}", row.name);
    let mut sweep = Sweep::of(made.clone(), &manifests.guest(&made)?, Some(row))?;
    sweep.known.extend(healthy[&(name, row.with.as_str(), row.of_image)].iter().cloned());
    sweep.of_files(&row.files(name))
}

impl<'r> Sweep<'r> {
    fn of(name: String, guest: &Guest, row: Option<&'r Row>) -> Result<Self> {
        let bench = Bench::of(guest)?;
        let root = Root::open(&bench.root())?;
        let occasion = row.map_or(Occasion::Image, Row::occasion);
        let known = bench.findings(occasion)?;
        Ok(Self { name, bench, root, occasion, known, row })
    }

    /// Returns the regular files that the checks read.
    fn read(&self) -> Result<Vec<String>> {
        let files = files(&self.bench.root())?;
        for file in &files {
            let old = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
            fs::File::open(self.bench.root().join(file))?.set_times(old)?;
        }
        self.bench.findings(self.occasion)?;
        let is_read = |file: &String| {
            let stat = self.bench.root().join(file).metadata();
            stat.and_then(|stat| stat.accessed()).is_ok_and(|time| time != SystemTime::UNIX_EPOCH)
        };
        let read: Vec<String> = files.into_iter().filter(is_read).collect();
        anyhow::ensure!(read.len() > 5, "{}: access times are not kept here", self.name);
        Ok(read)
    }

    fn of_files(&self, files: &[String]) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for file in files {
            let place = self.bench.root().join(file);
            if !place.symlink_metadata().is_ok_and(|stat| stat.is_file()) {
                continue;
            }
            // what can be read and says nothing is another spelling of the row, or none
            let kinds = if self.row.is_some() { &EVERY[..3] } else { &EVERY[..] };
            for &instead in kinds {
                let aside = self.bench.root().with_file_name("aside");
                fs::rename(&place, &aside)?;
                put(&place, &aside, instead)?;
                let found = self.bench.findings(self.occasion)?;
                if instead == Instead::Directory {
                    fs::remove_dir(&place)?;
                } else {
                    fs::remove_file(&place)?;
                }
                fs::rename(&aside, &place)?;
                self.judge(file, instead, &found, &mut outcome);
            }
        }
        Ok(outcome)
    }

    fn judge(&self, file: &str, instead: Instead, found: &[Finding], outcome: &mut Outcome) {
        let mut wrong =
            |what: String| outcome.wrong.push(format!("{}, {file}: {instead:?}: {what}", self.name));
        let same = |a: &Finding, b: &Finding| {
            (a.id, a.status, &a.subject, &a.title) == (b.id, b.status, &b.subject, &b.title)
        };
        let cannot_be_read = matches!(instead, Instead::Directory | Instead::Loop | Instead::Huge);
        for finding in found.iter().filter(|f| !self.known.iter().any(|known| same(known, f))) {
            let is_named = self.names(finding, file);
            let is_right = RIGHT.iter().any(|(ends, ids, _)| {
                ends.split_whitespace().any(|end| file.ends_with(end))
                    && ids.split_whitespace().any(|id| id == finding.id)
            });
            let is_fault = matches!(finding.status, Status::Warn | Status::Fail);
            if finding.title.contains("crashed") || finding.title.contains("no result within") {
                wrong(finding.title.clone());
            } else if finding.status == Status::Unknown && !is_named {
                wrong(format!("{} does not say which file: {}", finding.id, finding.title));
            } else if is_fault && !is_right && (cannot_be_read || !is_named) {
                wrong(format!("false alarm {}: {} {:?}", finding.id, finding.title, finding.evidence));
            }
            if is_named {
                outcome.told.insert(finding.id);
            }
        }
        let Some(id) = self.row.and_then(Row::id).filter(|_| cannot_be_read) else { return };
        let mut of_row = found.iter().filter(|finding| finding.id == id).peekable();
        let is_known = WELL.iter().any(|(ids, ends, _)| {
            ids.split_whitespace().any(|known| known == id)
                && (ends.is_empty() || ends.split_whitespace().any(|end| file.ends_with(end)))
        });
        if of_row.peek().is_some() && of_row.all(|finding| finding.status == Status::Ok) && !is_known {
            outcome.wrong.push(format!("{}, {file}: {instead:?}: {id} says that all is well", self.name));
        }
    }

    /// Whether a finding says which file it is about, by this path or by one that leads to it.
    fn names(&self, finding: &Finding, file: &str) -> bool {
        let seen = finding.evidence.iter().map(|seen| format!("{} {}", seen.source, seen.text));
        let words = seen.chain([finding.title.clone(), finding.subject.clone().unwrap_or_default()]);
        let text = words.chain(finding.why.clone()).collect::<Vec<_>>().join(" ");
        let leads = |word: &str| {
            let word = word.trim_matches([':', ',', ';', '/', '"']);
            let path = word.rsplit_once(':').map_or(word, |(path, _)| path);
            [word, path]
                .iter()
                .any(|path| self.root.resolve(path).is_ok_and(|real| real.as_deref() == Some(file)))
        };
        text.contains(file.trim_start_matches("../"))
            || text.split_whitespace().filter(|word| word.contains('/')).any(leads)
    }
}

fn put(place: &Path, aside: &Path, instead: Instead) -> Result<()> {
    match instead {
        Instead::Directory => return Ok(fs::create_dir(place)?),
        Instead::Loop => return Ok(symlink(place.file_name().unwrap_or_default(), place)?),
        Instead::Huge => OpenOptions::new().create_new(true).write(true).open(place)?.set_len(64 << 20)?,
        Instead::Nothing => fs::write(place, "")?,
        Instead::Noise => fs::write(place, noise())?,
    }
    let mode = aside.metadata()?.permissions().mode();
    Ok(fs::set_permissions(place, Permissions::from_mode(mode))?)
}

/// Bytes without any meaning, the same in each run (xorshift).
fn noise() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..512).flat_map(next).collect()
}

/// Returns the regular files of a tree, relative to it.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => ahead.push(entry.path()),
                kind if kind.is_file() => {
                    found.push(entry.path().strip_prefix(root)?.to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
    }
    Ok(found)
}
