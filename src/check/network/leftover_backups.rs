//! What the agents put aside and nobody took away: clutter, and a fault where a program reads or runs it.
//!
//! Which names a directory's reader skips differs, so each directory that is read by name has its line in [`reader`];
//! sudo skips every name with a dot, profile.d is `*.sh` alone, netplan, networkd, sysctl and modprobe go by the
//! ending. What [`super::config_lost`] brings back is left to it.
//! Source: cronie's `not_a_crontab` and `check_open`, `run-parts` of crontabs, NetworkManager's `nm-keyfile.c` and
//! `nm-dispatcher.c`, initscripts' `functions`, logrotate(8).

use anyhow::Result;

use super::backups::{self, Backup};
use super::fault::{Edit, Fault, Judged};
use super::{TEMPLATE, config_lost, network_manager};
use crate::check::{Check, Finding};
use crate::facts::os::Base;
use crate::net::configured::Scan;
use crate::net::ifcfg::{self, RED_HAT};
use crate::net::{eni, keyfile};
use crate::target::Target;

pub(super) const LEFTOVER: Check = Check {
    id: "leftover-backups",
    about: "no program reads or runs what the agent put aside",
    probe: |target| Ok(leftover(target)?.findings()),
    fix: Some(|target| leftover(target)?.plan(target)),
    page: include_str!("../pages/leftover-backups.md"),
    ..TEMPLATE
};

/// Where a reset leaves backups, and where an injected file's backup can do harm.
const DIRS: [&str; 21] = [
    "etc",
    "etc/NetworkManager/dispatcher.d",
    PROFILES,
    "etc/conf.d",
    "etc/cron.d",
    "etc/cron.daily",
    "etc/cron.hourly",
    "etc/cron.monthly",
    "etc/cron.weekly",
    "etc/logrotate.d",
    "etc/modprobe.d",
    "etc/netctl",
    "etc/netplan",
    "etc/network",
    "etc/network/interfaces.d",
    "etc/profile.d",
    "etc/sudoers.d",
    "etc/sysconfig",
    "etc/sysconfig/network",
    RED_HAT,
    "etc/systemd/network",
];
const PROFILES: &str = "etc/NetworkManager/system-connections";

fn leftover(target: &Target) -> Result<Judged> {
    let root = &target.root;
    let wanted = config_lost::sources(target)?;
    let read = Read::of(target)?;
    let mut faults = Vec::new();
    for dir in DIRS {
        let mut idle: Vec<Backup> = Vec::new();
        for backup in backups::in_dir(root, dir)? {
            if wanted.contains(&backup.path) {
                continue;
            }
            match read.by(target, dir, &backup)? {
                Some(reader) => faults.push(in_use(&backup, reader)),
                None => idle.push(backup),
            }
        }
        faults.extend(clutter(dir, &idle));
    }
    // what hurts first
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.finding.status));
    Ok(Judged { faults, otherwise: Finding::ok("no backups of the agent") })
}

fn in_use(backup: &Backup, reader: &str) -> Fault {
    let Backup { path, of, .. } = backup;
    let finding = Finding::warn(format!("{reader} {path}"))
        .because(format!(
            "it is what stood in {of} before the agent replaced it, and holds beside the new file or instead of it"
        ))
        .seen(path, format!("backup of {of}"))
        .about(path)
        .mend("move the backup out of the directory");
    Fault { finding, edits: vec![Edit::Remove { path: path.clone() }] }
}

fn clutter(dir: &str, idle: &[Backup]) -> Option<Fault> {
    let first = idle.first()?;
    let title = match idle.len() {
        1 => format!("a backup of the agent in {dir}"),
        many => format!("{many} backups of the agent in {dir}"),
    };
    let finding = Finding::note(title).because("nothing reads them; each reset adds some").about(dir);
    let seen = idle
        .iter()
        .take(3)
        .fold(finding, |finding, backup| finding.seen(&backup.path, format!("backup of {}", backup.of)));
    let finding = seen.mend(format!(
        "move what is still wanted out of the directory, such as {}; the rest can go",
        first.path
    ));
    let edits = idle.iter().map(|backup| Edit::Remove { path: backup.path.clone() }).collect();
    Some(Fault { finding, edits })
}

/// What the programs in charge of the network read.
struct Read {
    files: Vec<String>,
    has_manager: bool,
}

impl Read {
    fn of(target: &Target) -> Result<Self> {
        let root = &target.root;
        let mut scan = Scan::of(root);
        let mut files = Vec::new();
        if root.find_program("ifup").is_some() {
            files.extend(eni::texts(&mut scan).into_iter().map(|(path, _)| path));
        }
        if ifcfg::has_red_hat_reader(root) {
            files.extend(ifcfg::files(&mut scan, RED_HAT));
        }
        let has_manager = network_manager::starts(target)?;
        if has_manager {
            files.extend(keyfile::files(&mut scan));
        }
        scan.complete()?;
        Ok(Self { files, has_manager })
    }

    /// Returns which program reads or runs a backup, as the beginning of a sentence.
    fn by(&self, target: &Target, dir: &str, backup: &Backup) -> Result<Option<&'static str>> {
        let root = &target.root;
        let path = &backup.path;
        let mode = root.stat_opt(path)?.map_or(0, |stat| stat.mode);
        let is_red_hat = target.os().base == Base::RedHat;
        let is_skipped = path.ends_with('~');
        let is_read = self.files.contains(path);
        Ok(match dir {
            // readable for its owner, nobody else writes it, nobody executes it
            "etc/cron.d" if !is_skipped && mode & 0o7533 == 0o400 => {
                let has_cronie = is_red_hat && root.find_program("crond").is_some()
                    || target.os().base == Base::Suse && root.find_program("cron").is_some();
                has_cronie.then_some("crond runs the lines of")
            }
            "etc/cron.daily" | "etc/cron.hourly" | "etc/cron.monthly" | "etc/cron.weekly" => {
                (is_red_hat && !is_skipped && mode & 0o111 != 0).then_some("run-parts runs")
            }
            "etc/NetworkManager/dispatcher.d" => {
                let is_run = self.has_manager && !is_skipped && mode & 0o100 != 0 && mode & 0o4022 == 0;
                is_run.then_some("NetworkManager's dispatcher runs")
            }
            // a profile that others may read is refused
            PROFILES => (is_read && mode & 0o077 == 0).then_some("NetworkManager reads"),
            // the ending .bak is on the list of those that it skips, at least since 3.9
            "etc/logrotate.d" => (path.contains(".bak.") && root.find_program("logrotate").is_some())
                .then_some("logrotate reads"),
            RED_HAT => is_read.then_some("the network scripts read"),
            _ => is_read.then_some("ifupdown reads"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{MANAGER, found, mended, short};
    use super::*;
    use crate::check::Status;

    const EL: (&str, &str) = ("etc/os-release", "ID=almalinux\nID_LIKE=rhel\nVERSION_ID=9.4\n");
    const DEBIAN: (&str, &str) = ("etc/os-release", "ID=debian\nVERSION_ID=12\n");
    const CROND: (&str, &str) = ("usr/sbin/crond", "!");
    const IFUP: (&str, &str) = ("usr/sbin/ifup", "!");
    const SCRIPTS: (&str, &str) = ("etc/rc.d/init.d/network", "!");

    fn warn(path: &str) -> Vec<(Status, String)> {
        vec![(Status::Warn, path.to_owned())]
    }

    fn note(dir: &str) -> Vec<(Status, String)> {
        vec![(Status::Note, dir.to_owned())]
    }

    #[test]
    fn a_backup_that_its_directory_s_reader_takes_is_a_fault() {
        let job = "* * * * * root true\n";
        type Row<'t> = (&'t [(&'t str, &'t str)], &'t str, &'t str, bool);
        let cases: [Row; 16] = [
            (&[EL, CROND], "etc/cron.d/job.bak.1448461234", job, true),
            (&[EL, CROND], "etc/cron.d/job.1448461234.56.bak", job, true),
            (&[EL, CROND], "etc/cron.d/job.1448461234.bak~", job, false),
            // cronie refuses a table that may be executed
            (&[EL, CROND], "etc/cron.d/job.bak.1448461234", "!", false),
            (&[DEBIAN, CROND], "etc/cron.d/job.bak.1448461234", job, false),
            (&[EL], "etc/cron.daily/job.1448461234.56.bak", "!", true),
            (&[EL], "etc/cron.daily/job.1448461234.56.bak", job, false),
            (&[DEBIAN], "etc/cron.daily/job.1448461234.56.bak", "!", false),
            (&[EL], "etc/sudoers.d/ops.bak.1448461234", "x", false),
            (&[EL], "etc/profile.d/x.sh.bak.1448461234", "x", false),
            (
                &[EL, SCRIPTS],
                "etc/sysconfig/network-scripts/ifcfg-eth0.bak.1448461234",
                "DEVICE=eth0\n",
                true,
            ),
            (
                &[EL, SCRIPTS],
                "etc/sysconfig/network-scripts/ifcfg-eth0.1448461234.5.bak",
                "DEVICE=eth0\n",
                false,
            ),
            (
                &[EL, SCRIPTS],
                "etc/sysconfig/network-scripts/ifcfg-eth0.1448461234.bak~",
                "DEVICE=eth0\n",
                false,
            ),
            (&[EL, ("usr/sbin/logrotate", "!")], "etc/logrotate.d/x.bak.1448461234", "x", true),
            (&[EL, ("usr/sbin/logrotate", "!")], "etc/logrotate.d/x.1448461234.5.bak", "x", false),
            (
                &[DEBIAN, ("usr/sbin/netplan", "!")],
                "etc/netplan/x.yaml.1448461234.5.bak",
                "network: {}",
                false,
            ),
        ];
        for (others, path, text, is_read) in cases {
            let files = [others, &[(path, text)]].concat();
            let dir = path.rsplit_once('/').unwrap().0;
            let want = if is_read { warn(path) } else { note(dir) };
            assert_eq!(short(&LEFTOVER, &files), want, "{path} {text:?}");
        }
    }

    #[test]
    fn ifupdown_takes_any_name_of_a_pattern_and_plain_ones_of_a_directory() {
        let path = "etc/network/interfaces.d/eth0.1448461234.5.bak";
        let said = |main: &str| {
            short(&LEFTOVER, &[IFUP, ("etc/network/interfaces", main), (path, "iface eth0 inet dhcp\n")])
        };
        assert_eq!(said("source /etc/network/interfaces.d/*\n"), warn(path));
        assert_eq!(said("source interfaces.d/*\n"), warn(path));
        assert_eq!(said("source-directory interfaces.d\n"), note("etc/network/interfaces.d"));
        assert_eq!(said("source interfaces.d/*.cfg\n"), note("etc/network/interfaces.d"));
        assert_eq!(said("# source interfaces.d/*\n"), note("etc/network/interfaces.d"));
    }

    #[test]
    fn network_manager_takes_a_profile_that_only_root_may_read() {
        let script = "etc/NetworkManager/dispatcher.d/10-x.bak.1448461234";
        assert_eq!(short(&LEFTOVER, &[&MANAGER[..], &[(script, "!")]].concat()), warn(script));
        let dir = "etc/NetworkManager/dispatcher.d";
        assert_eq!(short(&LEFTOVER, &[&MANAGER[..], &[(script, "x")]].concat()), note(dir));
        // the tests' files are for everybody
        let profile = "etc/NetworkManager/system-connections/x.1448461234.5.bak";
        assert_eq!(
            short(&LEFTOVER, &[&MANAGER[..], &[(profile, "[connection]\n")]].concat()),
            note(PROFILES)
        );
    }

    #[test]
    fn other_people_s_backups_are_no_affair_of_this_check() {
        let ok = [(Status::Ok, String::new())];
        assert_eq!(short(&LEFTOVER, &[EL, CROND, ("etc/cron.d/job.bak", "x")]), ok);
        assert_eq!(short(&LEFTOVER, &[EL, CROND, ("etc/cron.d/job.old", "x"), ("etc/cron.d/job", "x")]), ok);
        assert_eq!(short(&LEFTOVER, &[("etc/cron.d/x.bak.1448461234/y", "x")]), ok);
        assert_eq!(short(&LEFTOVER, &[("etc/cron.d/x.bak.1448461234", "->/etc/passwd")]), ok);
        assert!(found(&LEFTOVER, &[IFUP, ("etc/network/interfaces/x", "")]).is_err());
    }

    #[test]
    fn the_backup_that_alone_has_the_nics_is_still_wanted() {
        let files = [
            IFUP,
            ("etc/hostname", "web1\n"),
            ("etc/network/interfaces", "auto lo\niface lo inet loopback\n"),
            ("etc/network/interfaces.1448461234.5.bak", "auto eth0\niface eth0 inet dhcp\n"),
            ("etc/network/interfaces.1448461000.5.bak", "auto eth0\niface eth0 inet dhcp\n"),
        ];
        assert_eq!(short(&LEFTOVER, &files[..4]), [(Status::Ok, String::new())]);
        let old = files[4].0;
        assert_eq!(short(&LEFTOVER, &files), note("etc/network"));
        assert_eq!(mended(&LEFTOVER, &files, &[files[3].0, old]), [Some(files[3].1.to_owned()), None]);
    }

    #[test]
    fn the_fix_takes_them_away() {
        let files = [
            EL,
            CROND,
            ("etc/cron.d/job", "# job\n"),
            ("etc/cron.d/job.bak.1448461234", "* * * * * root true\n"),
            ("etc/hosts.1448461234.bak~", "127.0.0.1 localhost\n"),
        ];
        let paths = ["etc/cron.d/job", "etc/cron.d/job.bak.1448461234", "etc/hosts.1448461234.bak~"];
        assert_eq!(mended(&LEFTOVER, &files, &paths), [Some("# job\n".to_owned()), None, None]);
    }
}
