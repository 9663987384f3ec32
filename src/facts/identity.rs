//! What a system calls itself, and whether it is a rescue system.

use serde::Serialize;

use crate::disk;
use crate::root::Root;

/// The name under which a rescue server runs is the customer's with this in front (nova, `virt/xenapi/vmops.py`).
const RESCUE_PREFIX: &str = "RESCUE-";

/// Returns the host name: the kernel's on a running system, else the one that the files set; `None` when none does.
pub fn hostname(root: &Root) -> Option<String> {
    let line = |path: &str| {
        let text = root.text_opt(path).ok().flatten()?;
        let name = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'))?;
        Some(name.to_owned())
    };
    let assigned = |path: &str, key: &str| {
        let text = root.text_opt(path).ok().flatten()?;
        let value = text.lines().rev().find_map(|l| l.trim().strip_prefix(key)?.strip_prefix('='))?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    line("proc/sys/kernel/hostname")
        .or_else(|| line("etc/hostname"))
        .or_else(|| assigned("etc/sysconfig/network", "HOSTNAME"))
        .or_else(|| line("etc/HOSTNAME"))
        .or_else(|| assigned("etc/conf.d/hostname", "hostname"))
        .or_else(|| assigned("etc/rc.conf", "hostname"))
}

/// Whether a host name is that of a rescue server.
pub fn is_rescue_name(hostname: &str) -> bool {
    hostname.get(..RESCUE_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESCUE_PREFIX))
}

/// Whether the running system is a rescue server: by its name, or because another disk is attached that is larger than
/// its own root and was the root of a server.
pub fn is_rescue(root: &Root, live: bool, hostname: Option<&str>) -> bool {
    if hostname.is_some_and(is_rescue_name) {
        return true;
    }
    let Some(own) = root.space("/").ok().filter(|_| live) else { return false };
    let larger = |disk: &IdleDisk| disk.size > own.total && disk::was_a_root(&disk.device);
    idle_disks(root).is_ok_and(|disks| disks.iter().any(larger))
}

/// A partition or whole disk that is attached and not in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdleDisk {
    /// Device, such as `/dev/xvdb1`.
    pub device: String,
    /// The disk that it is on, such as `/dev/xvdb`.
    pub disk: String,
    /// Size in bytes.
    pub size: u64,
}

/// Returns the attached partitions, and disks without partitions, that are not mounted and share no disk with a
/// mounted one; the largest first, since that is the advice for finding a customer's disk in rescue mode.
pub fn idle_disks(root: &Root) -> anyhow::Result<Vec<IdleDisk>> {
    let mounts = root.text_opt("proc/self/mountinfo")?.unwrap_or_default();
    // proc(5): the third field is major:minor
    let mounted: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let mut idle = Vec::new();
    for disk in root.read_dir("sys/block")? {
        let base = format!("sys/block/{}", disk.name);
        // RAM disks, loops, optical drives and mapped devices are no server's system disk
        let Ok(Some(real)) = root.resolve(&base) else { continue };
        if real.contains("/virtual/") || disk.name.starts_with("sr") {
            continue;
        }
        let names = root.read_dir(&base)?.into_iter().map(|e| e.name);
        let parts: Vec<String> = names.filter(|name| name.starts_with(&disk.name)).collect();
        let paths: Vec<String> = parts.iter().map(|part| format!("{base}/{part}")).collect();
        let in_use = |path: &String| {
            let number = root.text_opt(&format!("{path}/dev")).ok().flatten();
            number.is_some_and(|number| mounted.contains(&number.trim()))
        };
        if in_use(&base) || paths.iter().any(in_use) {
            continue;
        }
        let whole = format!("/dev/{}", disk.name.replace('!', "/"));
        let candidates =
            if parts.is_empty() { vec![(disk.name, base)] } else { parts.into_iter().zip(paths).collect() };
        for (name, path) in candidates {
            // sysfs counts in sectors of 512 bytes whatever the disk's own are (kernel, block/genhd.c)
            let sectors =
                root.text_opt(&format!("{path}/size"))?.and_then(|size| size.trim().parse::<u64>().ok());
            if let Some(sectors @ 1..) = sectors {
                idle.push(IdleDisk {
                    device: format!("/dev/{}", name.replace('!', "/")),
                    disk: whole.clone(),
                    size: sectors * 512,
                });
            }
        }
    }
    idle.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.device.cmp(&b.device)));
    Ok(idle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn put(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn the_hostname_is_read_where_the_system_keeps_it() {
        for (path, text, name) in [
            ("etc/hostname", "# set by hand\nweb01\n", Some("web01")),
            ("etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\nHOSTNAME=\"web02\"\n", Some("web02")),
            ("etc/rc.conf", "hostname=\"bsd.example\"\n", Some("bsd.example")),
            ("etc/hostname", "\n", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), path, text);
            assert_eq!(hostname(&Root::open(dir.path()).unwrap()).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn a_rescue_server_is_told_by_its_name() {
        assert!(is_rescue_name("RESCUE-web01"));
        assert!(!is_rescue_name("rescued-cats"));
        assert!(!is_rescue_name(""));
    }

    #[test]
    fn the_attached_disk_is_the_largest_that_is_not_in_use() {
        let dir = tempfile::tempdir().unwrap();
        for (disk, part, number, size) in [
            ("xvda", "xvda1", "202:1", "40960"),
            ("xvdb", "xvdb1", "202:17", "2048"),
            ("xvdb", "xvdb2", "202:18", "9000"),
        ] {
            put(dir.path(), &format!("sys/block/{disk}/{part}/dev"), &format!("{number}\n"));
            put(dir.path(), &format!("sys/block/{disk}/{part}/size"), &format!("{size}\n"));
            put(dir.path(), &format!("sys/block/{disk}/dev"), "202:0\n");
        }
        put(dir.path(), "proc/self/mountinfo", "22 1 202:1 / / rw - ext4 /dev/xvda1 rw\n");
        let idle = idle_disks(&Root::open(dir.path()).unwrap()).unwrap();
        assert_eq!(
            idle.iter().map(|d| (d.device.as_str(), d.size)).collect::<Vec<_>>(),
            [("/dev/xvdb2", 9000 * 512), ("/dev/xvdb1", 2048 * 512)]
        );
    }
}
