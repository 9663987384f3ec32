//! Whether somebody uses a disk already: what is mounted, held, or opened by a running guest is left alone.

use std::path::Path;

use rustix::fs::{FileType, Stat};

use crate::root::Root;

/// What stands at `path`, as the kernel knows it.
pub(super) struct Asked<'p> {
    /// Its path without links.
    pub(super) path: &'p Path,
    /// Facts about it.
    pub(super) stat: Stat,
}

/// Returns who uses it, in words; `None` when nobody does.
pub(super) fn by_whom(here: &Root, asked: &Asked<'_>) -> Option<String> {
    let devices =
        if is_device(&asked.stat) { Devices::of(here, asked.stat.st_rdev) } else { Devices::default() };
    on_own_disk(here, &devices)
        .or_else(|| mounted(here, &devices))
        .or_else(|| held(here, &devices))
        .or_else(|| swapped_to(here, asked, &devices))
        .or_else(|| looped(here, asked, &devices))
        .or_else(|| locked(here, &asked.stat))
}

/// Whether it is a block device.
pub(super) fn is_device(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
}

/// A disk or partition in sysfs.
#[derive(Debug, Clone)]
pub(super) struct Device {
    /// Its name in /dev.
    pub(super) name: String,
    /// `major:minor`.
    number: String,
    /// Its directory.
    pub(super) dir: String,
}

/// The device that was asked for, with what shares its disk.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// The device, its partitions, and the disk that it is a partition of: what must not be in use.
    scope: Vec<Device>,
    /// The other partitions of the same disk.
    siblings: Vec<Device>,
    /// The partitions of the device.
    pub(super) partitions: Vec<Device>,
}

impl Devices {
    /// Looks a device up by its number.
    pub(super) fn of(here: &Root, number: u64) -> Self {
        let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        let Some(own) = here.resolve(&format!("sys/dev/block/{number}")).ok().flatten() else {
            return Self::default();
        };
        let is_partition = here.exists(&format!("{own}/partition"));
        let disk = match own.rsplit_once('/') {
            Some((disk, _)) if is_partition => disk.to_owned(),
            _ => own.clone(),
        };
        let names = here.read_dir(&disk).unwrap_or_default().into_iter();
        let dirs = names.map(|entry| format!("{disk}/{}", entry.name));
        let all: Vec<Device> = dirs
            .filter(|dir| here.exists(&format!("{dir}/partition")))
            .chain([disk.clone()])
            .filter_map(|dir| device(here, dir))
            .collect();
        let in_scope = |device: &Device| !is_partition || device.dir == own || device.dir == disk;
        let (scope, siblings): (Vec<_>, Vec<_>) = all.into_iter().partition(in_scope);
        let partitions = scope.iter().filter(|device| !is_partition && device.dir != disk).cloned().collect();
        Self { scope, siblings, partitions }
    }

    fn find(&self, number: &str) -> Option<&Device> {
        self.scope.iter().find(|device| device.number == number)
    }
}

fn device(here: &Root, dir: String) -> Option<Device> {
    let number = here.text_opt(&format!("{dir}/dev")).ok().flatten()?.trim().to_owned();
    // sysfs writes the slash of a name such as cciss/c0d0 as an exclamation mark
    let name = dir.rsplit('/').next()?.replace('!', "/");
    Some(Device { name, number, dir })
}

/// A line of proc(5)'s mountinfo.
struct Mount {
    numbers: [String; 2],
    place: String,
}

fn mounts(here: &Root) -> Vec<Mount> {
    let text = here.text_opt("proc/self/mountinfo").ok().flatten().unwrap_or_default();
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let (_, behind) = line.split_once(" - ")?;
        // btrfs has a number of its own: the device is told by its name
        let source = number_of(behind.split(' ').nth(1)?).unwrap_or_default();
        Some(Mount { numbers: [(*fields.get(2)?).to_owned(), source], place: (*fields.get(4)?).to_owned() })
    };
    text.lines().filter_map(parse).collect()
}

/// Returns the number of the block device at a path of this machine.
fn number_of(path: &str) -> Option<String> {
    let stat = rustix::fs::stat(path).ok().filter(is_device)?;
    Some(format!("{}:{}", rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)))
}

fn on_own_disk(here: &Root, devices: &Devices) -> Option<String> {
    let own = mounts(here).into_iter().filter(|mount| mount.place == "/");
    let numbers: Vec<String> = own.flat_map(|mount| mount.numbers).collect();
    let all = devices.scope.iter().chain(&devices.siblings);
    let found = all.into_iter().find(|device| numbers.contains(&device.number))?;
    Some(format!("the running system has its root on /dev/{}", found.name))
}

fn mounted(here: &Root, devices: &Devices) -> Option<String> {
    mounts(here).into_iter().find_map(|mount| {
        let device = mount.numbers.iter().find_map(|number| devices.find(number))?;
        Some(format!("/dev/{} is mounted on {}", device.name, mount.place))
    })
}

fn held(here: &Root, devices: &Devices) -> Option<String> {
    devices.scope.iter().find_map(|device| {
        let holder = here.read_dir(&format!("{}/holders", device.dir)).ok()?.into_iter().next()?;
        Some(format!("/dev/{} is a part of /dev/{}, which is active", device.name, holder.name))
    })
}

fn swapped_to(here: &Root, asked: &Asked<'_>, devices: &Devices) -> Option<String> {
    let text = here.text_opt("proc/swaps").ok().flatten()?;
    let mut areas = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let area = areas.find(|area| {
        Path::new(area) == asked.path || number_of(area).is_some_and(|number| devices.find(&number).is_some())
    })?;
    Some(format!("the running system swaps to {area}"))
}

fn looped(here: &Root, asked: &Asked<'_>, devices: &Devices) -> Option<String> {
    here.read_dir("sys/block").ok()?.into_iter().find_map(|disk| {
        let file = here.text_opt(&format!("sys/block/{}/loop/backing_file", disk.name)).ok().flatten()?;
        let file = file.trim_end();
        let is_it = Path::new(file) == asked.path
            || devices.scope.iter().any(|device| file == format!("/dev/{}", device.name));
        is_it.then(|| format!("it is attached to /dev/{}", disk.name))
    })
}

/// QEMU locks the images and devices that its guests use (block/file-posix.c).
pub(super) fn locked(here: &Root, stat: &Stat) -> Option<String> {
    let text = here.text_opt("proc/locks").ok().flatten()?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let line = text.lines().find(|line| line.split_whitespace().any(|word| word == file))?;
    let id = line.split_whitespace().nth(4).filter(|id| *id != "-1");
    let program = id.map_or(String::new(), |id| format!(" (process {id})"));
    Some(format!("a program has it locked{program}, as QEMU does while its guest runs"))
}
