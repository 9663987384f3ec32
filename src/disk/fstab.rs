//! What the target's own fstab(5) mounts beside its root, found again on the same disk.
//!
//! An fstab is data of the disk. What it names is looked for among the volumes of that disk and nowhere else: no
//! device, directory or share of this machine is ever mounted because an fstab says so.

use anyhow::Result;

use super::volume::Volume;
use crate::root::Root;

/// What is mounted: where configuration, logs, programs, kernels and accounts are.
const PLACES: [&str; 11] =
    ["usr", "usr/local", "var", "var/lib", "var/log", "boot", "boot/efi", "opt", "home", "root", "srv"];
/// Lines that are read.
const LINES_MAX: usize = 1000;

/// A line of fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    spec: String,
    /// Where, without the leading slash; empty for the root.
    pub(super) place: String,
    options: Vec<String>,
}

impl Entry {
    /// Returns the btrfs subvolume that it names.
    pub(super) fn subvolume(&self) -> Option<&str> {
        let named = self.options.iter().find_map(|option| option.strip_prefix("subvol="))?;
        let is_plain = !named.contains([',', '"']) && !named.split('/').any(|part| part == "..");
        is_plain.then_some(named)
    }
}

/// Returns the lines for the root and for the places that are mounted, outer ones first.
///
/// # Errors
/// The file cannot be read.
pub(super) fn entries(root: &Root) -> Result<Vec<Entry>> {
    let text = root.text_opt("etc/fstab")?.unwrap_or_default();
    let mut entries: Vec<Entry> = text.lines().take(LINES_MAX).filter_map(parse).collect();
    entries.sort_by_key(|entry| entry.place.split('/').count());
    Ok(entries)
}

fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    let spec = fields.next().filter(|spec| !spec.starts_with('#'))?;
    let place = unescaped(fields.next()?);
    let place = place.strip_prefix('/')?.trim_end_matches('/').to_owned();
    let _kind = fields.next()?;
    let options = fields.next().unwrap_or("defaults").split(',').map(str::to_owned).collect();
    let wanted = place.is_empty() || PLACES.contains(&place.as_str());
    wanted.then(|| Entry { spec: unescaped(spec).trim_matches('"').to_owned(), place, options })
}

/// getmntent(3): blanks and the backslash are written in octal.
fn unescaped(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |field, (octal, plain)| field.replace(octal, plain))
}

/// Whether a place of the target is a directory of its own, reached over no link: only there something is mounted.
pub(super) fn is_plain_dir(root: &Root, place: &str) -> bool {
    let is_dir = root.lstat_opt(place).ok().flatten().is_some_and(|stat| stat.kind == crate::root::Kind::Dir);
    is_dir && root.resolve(place).ok().flatten().as_deref() == Some(place)
}

/// Returns the place of the volume that an entry names, or why there is none.
pub(super) fn find(entry: &Entry, root: Option<&Entry>, volumes: &[Volume]) -> Result<usize, String> {
    let spec = entry.spec.as_str();
    let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
    let by_id = |value: &str| all(volumes, |v| same(v.uuid.as_deref(), value));
    let by_label = |value: &str| all(volumes, |v| v.label.as_deref() == Some(value));
    let by_part = |value: &str| all(volumes, |v| same(v.part_uuid.as_deref(), value));
    let (kind, value) = match spec.split_once('=') {
        Some((kind, value)) => (kind, value.trim_matches('"')),
        None => match spec.strip_prefix("/dev/disk/").and_then(|rest| rest.split_once('/')) {
            Some((kind, value)) => (kind, value),
            None => ("", spec),
        },
    };
    let found = match kind {
        "UUID" | "by-uuid" => by_id(value),
        "LABEL" | "by-label" => by_label(value),
        "PARTUUID" | "by-partuuid" => by_part(value),
        "" => by_name(value, root, volumes),
        _ => Vec::new(),
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(format!("{spec} is not on this disk")),
        _ => Err(format!("{spec} is more than one volume of this disk")),
    }
}

fn all(volumes: &[Volume], matches: impl Fn(&Volume) -> bool) -> Vec<usize> {
    (0..volumes.len()).filter(|place| matches(&volumes[*place])).collect()
}

/// Finds `/dev/xvda2`, `/dev/vg/lv` or `/dev/mapper/vg-lv`. A disk has another name wherever it is attached, so the
/// number decides, and the letter only whether it is the disk of the root.
fn by_name(path: &str, root: Option<&Entry>, volumes: &[Volume]) -> Vec<usize> {
    let Some(name) = path.strip_prefix("/dev/") else { return Vec::new() };
    let logical = all(volumes, |volume| {
        volume.logical.as_ref().is_some_and(|(group, lv)| {
            let mapped = format!("mapper/{}-{}", group.replace('-', "--"), lv.replace('-', "--"));
            name == mapped || name == format!("{group}/{lv}")
        })
    });
    if !logical.is_empty() {
        return logical;
    }
    let Some((disk, number)) = partition(name) else { return Vec::new() };
    let root = root.and_then(|root| partition(root.spec.strip_prefix("/dev/")?));
    let is_first = |disk: &str| matches!(disk, "xvda" | "sda" | "hda" | "vda" | "nvme0n1" | "xvde");
    let same_disk = match root {
        Some((of_root, _)) => of_root == disk,
        None => is_first(disk),
    };
    if same_disk { all(volumes, |volume| volume.number == Some(number)) } else { Vec::new() }
}

/// Splits the name of a partition into its disk and its number.
fn partition(name: &str) -> Option<(&str, u32)> {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[disk.len()..].parse().ok()?;
    // nvme0n1p2
    let short = disk.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit()));
    Some((short.unwrap_or(disk), number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::mount::Source;
    use proptest::prelude::*;

    fn volume(number: u32, label: &str, uuid: &str) -> Volume {
        Volume {
            number: Some(number),
            label: Some(label.to_owned()),
            uuid: Some(uuid.to_owned()),
            part_uuid: Some(format!("00c0ffee-{number:02x}")),
            ..Volume::new(format!("partition {number}"), Source::Device("/dev/null".into()), 1)
        }
    }

    #[test]
    fn a_line_names_a_volume_of_this_disk_or_none() {
        let volumes = [
            volume(1, "boot", "AAAA-BBBB"),
            volume(2, "root", "5f4d"),
            Volume {
                number: None,
                logical: Some(("vg-0".to_owned(), "var".to_owned())),
                ..volume(3, "v", "6a")
            },
            volume(4, "twice", "77"),
            volume(5, "twice", "77"),
        ];
        let root = parse("/dev/xvda2 / ext4 defaults 0 1").unwrap();
        for (line, found) in [
            ("UUID=aaaa-bbbb /boot vfat", Ok(0)),
            ("UUID=\"AAAA-BBBB\" /boot vfat", Ok(0)),
            ("LABEL=root /usr ext4", Ok(1)),
            ("PARTUUID=00C0FFEE-02 /usr ext4", Ok(1)),
            ("/dev/disk/by-label/boot /boot ext4", Ok(0)),
            ("/dev/xvda1 /boot ext4", Ok(0)),
            ("/dev/mapper/vg--0-var /var ext4", Ok(2)),
            ("/dev/vg-0/var /var ext4", Ok(2)),
            ("/dev/xvdb1 /var ext4", Err("/dev/xvdb1 is not on this disk")),
            ("/dev/sda1 /var ext4", Err("/dev/sda1 is not on this disk")),
            ("/etc /var none bind", Err("/etc is not on this disk")),
            ("nas:/export /home nfs", Err("nas:/export is not on this disk")),
            ("/dev/../etc/passwd /var ext4", Err("/dev/../etc/passwd is not on this disk")),
            ("UUID=77 /var ext4", Err("UUID=77 is more than one volume of this disk")),
        ] {
            let entry = parse(line).unwrap();
            assert_eq!(find(&entry, Some(&root), &volumes), found.map_err(str::to_owned), "{line}");
        }
        let by_uuid = parse("UUID=5f4d / ext4").unwrap();
        let of = |line: &str| find(&parse(line).unwrap(), Some(&by_uuid), &volumes).ok();
        assert_eq!((of("/dev/sda1 /boot ext4"), of("/dev/xvdb1 /boot ext4")), (Some(0), None));
    }

    #[test]
    fn only_known_places_are_mounted_and_outer_ones_first() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let text = "# c\nLABEL=a /var/log ext4 a 0 0\nLABEL=b /etc ext4\nLABEL=c /var ext4\nd none swap sw\n\
                    LABEL=e /../../tmp ext4\nLABEL=f / btrfs subvol=@,ro\nbad\n";
        std::fs::write(dir.path().join("etc/fstab"), text).unwrap();
        let entries = entries(&Root::open(dir.path()).unwrap()).unwrap();
        let places: Vec<&str> = entries.iter().map(|entry| entry.place.as_str()).collect();
        assert_eq!(places, ["var", "", "var/log"]);
        assert_eq!(entries[1].subvolume(), Some("@"));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "[/a-zA-Z0-9=\\\\ \t#\"é.,:-]{0,80}") {
            if let Some(entry) = parse(&line) {
                let _ = find(&entry, Some(&entry), &[volume(1, "a", "b")]);
            }
        }
    }
}
