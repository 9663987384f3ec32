//! The kernel that boots next, and whether it can drive Xen's network and disk.
//!
//! The boot loader's own default entry is followed (`boot_entry`); where no configuration names a kernel that is
//! there, the newest one in /boot counts. A guest whose kernel lies outside of it (PV with a kernel of the host) has
//! none. To add a boot loader: `boot_entry`.

mod boot_entry;
mod initramfs;

use std::io::Read;

use anyhow::Result;

pub use initramfs::Holds;

use crate::root::{Kind, Root};

/// A kernel in /boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, such as `6.1.0-18-amd64`: the name of its directory of modules.
    pub release: String,
    /// Its image, relative to the root.
    pub image: String,
    /// Its initramfs, when it has one that is there.
    pub initramfs: Option<String>,
    /// What makes it the next one.
    pub chosen_by: String,
}

/// A driver that a Xen guest needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// xen-netfront.
    Network,
    /// xen-blkfront.
    Disk,
}

/// Where a driver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In the kernel itself; the file and what it says.
    BuiltIn(String, String),
    /// A module; the file and what it says.
    Module(String, String),
    /// Nowhere; the file and what it says.
    Missing(String, String),
    /// Neither the kernel's configuration nor its list of modules is there.
    Unknown,
}

impl Driver {
    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "xen-netfront",
            Self::Disk => "xen-blkfront",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Network => "CONFIG_XEN_NETDEV_FRONTEND",
            Self::Disk => "CONFIG_XEN_BLKDEV_FRONTEND",
        }
    }

    /// Its file: today's name, then those of the 2.6.18 kernels of EL5 and SLES.
    fn modules(self) -> [&'static str; 3] {
        match self {
            Self::Network => ["xen-netfront.ko", "xennet.ko", "xen-vnif.ko"],
            Self::Disk => ["xen-blkfront.ko", "xenblk.ko", "xen-vbd.ko"],
        }
    }
}

impl Kernel {
    /// Returns the kernel that boots next; `None` where there is none in the tree.
    ///
    /// # Errors
    /// The boot loader's files cannot be read.
    pub fn next(root: &Root) -> Result<Option<Self>> {
        for entry in boot_entry::defaults(root)? {
            if let Some(image) = in_boot(root, &entry.kernel) {
                let initramfs = entry.initramfs.and_then(|path| in_boot(root, &path));
                return Ok(Some(Self::of(root, image, initramfs, entry.source)));
            }
        }
        let Some(image) = newest(root)? else { return Ok(None) };
        Ok(Some(Self::of(root, image, None, "the newest in boot".to_owned())))
    }

    fn of(root: &Root, image: String, initramfs: Option<String>, chosen_by: String) -> Self {
        let release = release_of_image(root, &image).unwrap_or_else(|| release_of_name(root, &image));
        let initramfs = initramfs.or_else(|| {
            let names =
                [format!("boot/initrd.img-{release}"), format!("boot/initramfs-{release}.img")].into_iter();
            names.chain([format!("boot/initrd-{release}")]).find(|path| root.exists(path))
        });
        Self { release, image, initramfs, chosen_by }
    }

    /// Looks for a driver in the kernel's configuration and in its lists of modules.
    ///
    /// # Errors
    /// One of these files cannot be read.
    pub fn driver(&self, root: &Root, driver: Driver) -> Result<Found> {
        let modules = format!("lib/modules/{}", self.release);
        let builtin = format!("{modules}/modules.builtin");
        if let Some(line) = module_in(root, &builtin, driver)? {
            return Ok(Found::BuiltIn(builtin, line));
        }
        let dependencies = format!("{modules}/modules.dep");
        if let Some(line) = module_in(root, &dependencies, driver)? {
            return Ok(Found::Module(dependencies, line));
        }
        let has_modules = root.exists(&dependencies);
        let Some((source, setting)) = self.setting(root, driver.option())? else {
            let lacks = |text: String| Found::Missing(dependencies, text);
            return Ok(if has_modules {
                lacks(format!("no {}", driver.modules()[0]))
            } else {
                Found::Unknown
            });
        };
        Ok(match setting.split_once('=').map(|(_, value)| value) {
            Some("y") => Found::BuiltIn(source, setting),
            Some("m") => Found::Missing(
                if has_modules { dependencies } else { modules },
                format!("no {}, though {source} says {setting}", driver.modules()[0]),
            ),
            _ => Found::Missing(source, setting),
        })
    }

    /// Looks whether the initramfs holds a driver; what is not gzip or plain cpio is not looked into.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn initramfs_holds(&self, root: &Root, driver: Driver) -> Result<Holds> {
        let Some(path) = &self.initramfs else {
            return Ok(Holds::NotLookedInto("no initramfs is there"));
        };
        let Some((file, _)) = root.open_file(path)? else {
            return Ok(Holds::NotLookedInto("no initramfs is there"));
        };
        initramfs::holds(file, &driver.modules())
    }

    /// The line of the configuration that is about an option, and its place.
    fn setting(&self, root: &Root, option: &str) -> Result<Option<(String, String)>> {
        let release = &self.release;
        for path in [format!("boot/config-{release}"), format!("lib/modules/{release}/config")] {
            let Some(text) = root.text_opt(&path)? else { continue };
            let is_about = |line: &&str| {
                let rest = line.strip_prefix("# ").unwrap_or(line).strip_prefix(option);
                rest.is_some_and(|rest| rest.starts_with('=') || rest.starts_with(" is not set"))
            };
            let Some((place, line)) = text.lines().enumerate().find(|(_, line)| is_about(line)) else {
                return Ok(Some((path, format!("no {option}"))));
            };
            return Ok(Some((format!("{path}:{}", place + 1), line.to_owned())));
        }
        Ok(None)
    }
}

/// The line of a list of modules that is about a driver.
fn module_in(root: &Root, path: &str, driver: Driver) -> Result<Option<String>> {
    let Some(text) = root.text_opt(path)? else { return Ok(None) };
    let files = text.lines().map(|line| line.split(':').next().unwrap_or_default());
    let is_driver = |file: &&str| {
        let name = file.rsplit('/').next().unwrap_or_default();
        // Compressed modules carry .gz, .xz or .zst.
        driver.modules().iter().any(|module| name.strip_prefix(module).is_some_and(is_compression))
    };
    Ok(files.into_iter().find(is_driver).map(str::to_owned))
}

fn is_compression(suffix: &str) -> bool {
    matches!(suffix, "" | ".gz" | ".xz" | ".zst")
}

/// A path of a boot loader's configuration as one of the tree: /boot may be a file system of its own, or a
/// directory of a subvolume.
fn in_boot(root: &Root, path: &str) -> Option<String> {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
    let whole = path.trim_start_matches('/').to_owned();
    [format!("boot/{name}"), format!("boot/{whole}"), whole].into_iter().find(|path| root.exists(path))
}

/// Where the x86 boot protocol keeps the kernel's version: a pointer at 0x20e, counted from 0x200
/// (Documentation/arch/x86/boot.rst).
const VERSION_POINTER: usize = 0x20e;

fn release_of_image(root: &Root, image: &str) -> Option<String> {
    let (file, _) = root.open_file(image).ok()??;
    let mut head = Vec::new();
    file.take(32 << 10).read_to_end(&mut head).ok()?;
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let pointer =
        usize::from(u16::from_le_bytes([*head.get(VERSION_POINTER)?, *head.get(VERSION_POINTER + 1)?]));
    let text = head.get(pointer.checked_add(0x200)?..)?;
    let text = text.split(|byte| byte.is_ascii_whitespace() || *byte == 0).next()?;
    let release = std::str::from_utf8(text).ok()?;
    is_release(release).then(|| release.to_owned())
}

/// The release is a name of a directory: nothing that leads elsewhere.
fn is_release(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
    !text.is_empty()
        && text.len() < 128
        && text.chars().all(fits)
        && text.starts_with(|c: char| c.is_ascii_digit())
}

fn release_of_name(root: &Root, image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or_default();
    let suffix = name.split_once('-').map_or("", |(_, suffix)| suffix);
    if root.exists(&format!("lib/modules/{suffix}")) {
        return suffix.to_owned();
    }
    // vmlinuz-virt of Alpine, vmlinuz-linux of Arch: the directory of modules has the number.
    let dirs = root.read_dir("lib/modules").unwrap_or_default();
    let ends = |name: &String| name.ends_with(&format!("-{suffix}"));
    let found = dirs.into_iter().map(|entry| entry.name).filter(ends).max_by(|a, b| by_version(a, b));
    found.unwrap_or_else(|| suffix.to_owned())
}

fn newest(root: &Root) -> Result<Option<String>> {
    let entries = root.read_dir("boot")?;
    let is_kernel = |name: &String| {
        (name.starts_with("vmlinuz") || name.starts_with("kernel-"))
            && !name.contains("rescue")
            && !name.ends_with(".old")
            && !name.ends_with(".hmac")
    };
    let kernels = entries.into_iter().map(|entry| entry.name).filter(is_kernel);
    let newest = kernels.max_by(|a, b| by_version(a, b)).map(|name| format!("boot/{name}"));
    Ok(newest.filter(|path| matches!(root.stat_opt(path), Ok(Some(stat)) if stat.kind == Kind::File)))
}

/// Compares names by the numbers in them: 5.10 is after 5.9.
fn by_version(a: &str, b: &str) -> std::cmp::Ordering {
    parts(a).cmp(parts(b))
}

/// Runs of digits as numbers, everything else as it is. A number sorts after text, as in `-1` and `-rc1`.
fn parts(name: &str) -> impl Iterator<Item = (bool, u64, &str)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let is_number = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(if is_number { (true, part.parse().unwrap_or(u64::MAX), "") } else { (false, 0, part) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    fn image(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[VERSION_POINTER..VERSION_POINTER + 2].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    fn found(files: &[(&str, &str)]) -> (Found, Found) {
        let tree = Tree::of(files);
        let kernel = Kernel {
            release: "6.1".to_owned(),
            image: "boot/vmlinuz-6.1".to_owned(),
            initramfs: None,
            chosen_by: String::new(),
        };
        let root = tree.root();
        (kernel.driver(&root, Driver::Network).unwrap(), kernel.driver(&root, Driver::Disk).unwrap())
    }

    #[test]
    fn drivers_are_found_where_they_are() {
        let config = "boot/config-6.1";
        let builtin = "lib/modules/6.1/modules.builtin";
        let dep = "lib/modules/6.1/modules.dep";
        let own = |text: &str| text.to_owned();
        for (files, network, disk) in [
            (
                vec![(
                    config,
                    "CONFIG_XEN=y\nCONFIG_XEN_NETDEV_FRONTEND=y\n# CONFIG_XEN_BLKDEV_FRONTEND is not set\n",
                )],
                Found::BuiltIn(own("boot/config-6.1:2"), own("CONFIG_XEN_NETDEV_FRONTEND=y")),
                Found::Missing(own("boot/config-6.1:3"), own("# CONFIG_XEN_BLKDEV_FRONTEND is not set")),
            ),
            (
                vec![
                    (builtin, "kernel/drivers/net/xen-netfront.ko\n"),
                    (dep, "kernel/drivers/block/xen-blkfront.ko.xz: kernel/x.ko\n"),
                ],
                Found::BuiltIn(own(builtin), own("kernel/drivers/net/xen-netfront.ko")),
                Found::Module(own(dep), own("kernel/drivers/block/xen-blkfront.ko.xz")),
            ),
            (
                vec![(config, "CONFIG_XEN_NETDEV_FRONTEND=m\n"), (dep, "kernel/fs/ext4/ext4.ko:\n")],
                Found::Missing(
                    own(dep),
                    own("no xen-netfront.ko, though boot/config-6.1:1 says CONFIG_XEN_NETDEV_FRONTEND=m"),
                ),
                Found::Missing(own(config), own("no CONFIG_XEN_BLKDEV_FRONTEND")),
            ),
            (vec![("boot/vmlinuz-6.1", "")], Found::Unknown, Found::Unknown),
        ] {
            assert_eq!(found(&files), (network, disk), "{files:?}");
        }
    }

    #[test]
    fn the_release_comes_from_the_image_or_its_name() {
        for (path, bytes, release) in [
            ("boot/vmlinuz-linux", image("6.7.4-arch1-1 (builder@host)"), "6.7.4-arch1-1"),
            ("boot/vmlinuz-5.10.0-1-amd64", Vec::new(), "5.10.0-1-amd64"),
            ("boot/vmlinuz-5.10.0-1-amd64", image("../../etc"), "5.10.0-1-amd64"),
            ("boot/vmlinuz-virt", Vec::new(), "6.6.14-0-virt"),
        ] {
            let tree = Tree::of(&[(path, bytes), ("lib/modules/6.6.14-0-virt/modules.dep", Vec::new())]);
            let kernel = Kernel::next(&tree.root()).unwrap().unwrap();
            assert_eq!(kernel.release, release);
        }
    }

    #[test]
    fn without_a_boot_loader_the_newest_kernel_boots() {
        let files = ["vmlinuz-5.9.0-1", "vmlinuz-5.10.0-1", "vmlinuz-0-rescue-x", "vmlinuz-5.10.0-1.old"];
        let paths: Vec<String> = files.iter().map(|name| format!("boot/{name}")).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        let kernel = Kernel::next(&Tree::of(&files).root()).unwrap().unwrap();
        assert_eq!((kernel.image.as_str(), kernel.release.as_str()), ("boot/vmlinuz-5.10.0-1", "5.10.0-1"));
    }

    #[test]
    fn a_tree_without_a_kernel_has_none() {
        assert_eq!(Kernel::next(&Tree::of(&[("etc/hostname", "c")]).root()).unwrap(), None);
    }
}
