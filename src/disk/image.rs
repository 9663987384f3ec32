//! What `--disk` names: a block device, a raw file, or an image in another format, which is converted.
//!
//! A device and a raw file are used as they are. qcow2, dynamic VHD, VHDX and VMDK become a raw copy by qemu-img, in a
//! file that has no name, so that nothing is left when the program is killed; what was changed is written into a new
//! image beside the old one, which it replaces. An image that refers to other files is refused: whoever made it
//! chooses which file of this machine would be read.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FileType, Mode, OFlags};
use serde::Serialize;
use serde_json::Value;

use super::busy::{self, Asked};
use super::bytes::{Bytes, be32, be64, le64};
use super::vhd::{self, Vhd};
use super::{leftover, refused};
use crate::exec::Cmd;
use crate::root::Root;

/// How long a conversion may take.
const CONVERTS_WITHIN: Duration = Duration::from_secs(6 * 3600);

/// How the disk is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A block device.
    Device,
    /// A file that holds the disk byte for byte; a VHD of fixed size is one with a footer.
    Raw,
    /// QEMU's.
    Qcow2,
    /// A dynamic VHD: XenServer's and Xen Classic's.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VMware's.
    Vmdk,
}

impl Format {
    /// Returns the word of the image API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Device | Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
        }
    }

    /// Returns qemu-img's name of a format that has to be converted.
    fn driver(self) -> Option<&'static str> {
        match self {
            Self::Device | Self::Raw => None,
            Self::Qcow2 => Some("qcow2"),
            Self::Vhd => Some("vpc"),
            Self::Vhdx => Some("vhdx"),
            Self::Vmdk => Some("vmdk"),
        }
    }
}

/// The disk, checked and open for reading.
#[derive(Debug)]
pub(super) struct Image {
    /// Where it is, without links.
    pub(super) path: PathBuf,
    /// How it is kept.
    pub(super) format: Format,
    /// The footer, when it is a VHD.
    pub(super) vhd: Option<Vhd>,
    /// The raw copy, when it had to be converted.
    copy: Option<File>,
    bytes: Bytes,
    /// The partitions that the kernel knows of a device: their name and first byte.
    pub(super) nodes: Vec<(String, u64)>,
}

impl Image {
    /// Opens what is at `path`.
    ///
    /// # Errors
    /// It is missing, no disk, in use, refers to other files ([`super::Refused`]), or cannot be read.
    pub(super) fn open(path: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        let here = Root::live()?;
        let shown = path.display();
        let given = path.to_str().context("the path of the disk is not UTF-8")?;
        let absolute = std::path::absolute(path)?;
        let Some(real) = here.resolve(absolute.to_str().unwrap_or(given))? else {
            return Err(refused(
                format!("{shown}: no such file or device"),
                "lsblk shows the disks of this machine",
            ));
        };
        let path = Path::new("/").join(real);
        let stat = rustix::fs::stat(&path).with_context(|| format!("looking at {shown}"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::BlockDevice | FileType::RegularFile => {}
            FileType::Directory => {
                return Err(refused(
                    format!("{shown} is a directory"),
                    format!("--root {shown} looks at a mounted system"),
                ));
            }
            _ => {
                return Err(refused(
                    format!("{shown} is neither a block device nor a file"),
                    "lsblk shows the disks of this machine",
                ));
            }
        }
        if let Some(user) = busy::by_whom(&here, &Asked { path: &path, stat }) {
            let hint = "unmount or shut down what uses it; in rescue mode the sick server's disk is the other one, /dev/xvdb";
            return Err(refused(format!("{shown} is in use: {user}"), hint));
        }
        let flags = OFlags::RDONLY
            | OFlags::CLOEXEC
            | if busy::is_device(&stat) { OFlags::EXCL } else { OFlags::empty() };
        let mut file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::BUSY) => {
                return Err(refused(
                    format!("{shown} is in use: the kernel or a guest has it"),
                    "unmount or shut down what uses it",
                ));
            }
            Err(e) => return Err(e).with_context(|| format!("opening {shown}")),
        };
        let size = file.seek(SeekFrom::End(0)).with_context(|| format!("reading {shown}"))?;
        if busy::is_device(&stat) {
            let nodes = nodes(&here, stat.st_rdev);
            // closed and opened again: held exclusively, it could not be mounted
            drop(file);
            let file = File::from(rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
            return Ok(Self {
                path,
                format: Format::Device,
                vhd: None,
                copy: None,
                bytes: Bytes::of(file, size),
                nodes,
            });
        }
        let bytes = Bytes::of(file, size);
        let format = format(&bytes, &path)?;
        let vhd = Vhd::of(&bytes)?;
        let image = Self { path, format, vhd, copy: None, bytes, nodes: Vec::new() };
        match format.driver() {
            None => Ok(image),
            Some(driver) => image.converted(driver, say),
        }
    }

    /// Returns its bytes.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the size that a server sees, in bytes.
    pub(super) fn size(&self) -> u64 {
        let is_footed = self.copy.is_none() && self.vhd.is_some();
        self.bytes.size() - if is_footed { vhd::SIZE as u64 } else { 0 }
    }

    /// Returns what is mounted: the device, the file, or the copy that has no name.
    pub(super) fn raw(&self) -> PathBuf {
        match &self.copy {
            Some(copy) => copy_path(copy),
            None => self.path.clone(),
        }
    }

    /// Whether a change has to be written back.
    pub(super) fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    fn converted(self, driver: &str, say: &dyn Fn(&str)) -> Result<Self> {
        let source = self.path.to_str().context("the path of the image is not UTF-8")?;
        for left in leftover::of(&self.path)? {
            say(&left.words());
        }
        let size = qemu_img(&["info", "--output=json", "-f", driver, source])?;
        let size = size["virtual-size"].as_u64().context("reading the image: qemu-img names no size")?;
        let measured = qemu_img(&["measure", "--output=json", "-O", "raw", "-f", driver, source])?;
        let needed = measured["required"].as_u64().unwrap_or(size);
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        need_room(dir, needed, "a raw copy of the image")?;
        let copy =
            tempfile::tempfile_in(dir).with_context(|| format!("making a copy in {}", dir.display()))?;
        copy.set_len(size).context("making room for the copy")?;
        say(&format!("reading {} through a raw copy of {needed} bytes", self.path.display()));
        let target = copy_path(&copy);
        let target = target.to_str().context("naming the copy")?;
        convert(&["-n", "-f", driver, "-O", "raw", source, target], &|| false)?;
        let bytes = Bytes::of(copy.try_clone().context("reading the copy")?, size);
        Ok(Self { copy: Some(copy), bytes, ..self })
    }

    /// Replaces the image by one that holds the changed copy, in the same format. `stop` is asked before the old one
    /// goes.
    ///
    /// # Errors
    /// It cannot be converted, or `stop` said so: the old image is as it was.
    pub(super) fn write_back(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        let (Some(copy), Some(driver)) = (&self.copy, self.format.driver()) else { return Ok(()) };
        let old = self.path.to_str().context("the path of the image is not UTF-8")?;
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        copy.sync_all().context("writing the copy")?;
        let source = copy_path(copy);
        let source = source.to_str().context("naming the copy")?;
        for left in leftover::of(&self.path)? {
            left.remove()?;
        }
        let measured = qemu_img(&["measure", "--output=json", "-O", "raw", "-f", "raw", source])?;
        need_room(dir, measured["required"].as_u64().unwrap_or(0), "the changed image")?;
        let info = qemu_img(&["info", "--output=json", "-f", driver, old])?;
        let new = tempfile::Builder::new().prefix(&leftover::prefix(&self.path)).tempfile_in(dir);
        let new = new.with_context(|| format!("making a new image in {}", dir.display()))?;
        let path = new.path().to_str().context("naming the new image")?;
        let options = options(self.format, &info);
        let mut words = vec!["-f", "raw", "-O", driver];
        if !options.is_empty() {
            words.extend(["-o", &options]);
        }
        words.extend([source, path]);
        convert(&words, stop).context("the image is as it was")?;
        let stat = rustix::fs::stat(&self.path).context("looking at the image")?;
        let file = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let file = File::from(file);
        leftover::hold(&file)?;
        if self.format == Format::Vhd {
            let original = rustix::fs::open(&self.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            vhd::keep_creator(&File::from(original), &file).context("writing the VHD's footer")?;
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(&file, Some(uid), Some(gid)).context("giving the new image its owner")?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.st_mode))
            .context("giving the new image its mode")?;
        file.sync_all().context("writing the new image")?;
        if stop() {
            bail!("interrupted; the image is as it was");
        }
        new.persist(&self.path).with_context(|| format!("replacing {}", self.path.display()))?;
        let dir = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::fsync(&dir).context("writing the directory of the image")
    }
}

/// Names a file without a name: other programs reach it through this process.
fn copy_path(copy: &File) -> PathBuf {
    let process = rustix::process::getpid().as_raw_nonzero();
    PathBuf::from(format!("/proc/{process}/fd/{}", copy.as_fd().as_raw_fd()))
}

fn nodes(here: &Root, number: u64) -> Vec<(String, u64)> {
    let devices = busy::Devices::of(here, number);
    let start = |dir: &str| {
        let text = here.text_opt(&format!("{dir}/start")).ok().flatten()?;
        // sysfs counts in sectors of 512 bytes, whatever the disk's own are
        text.trim().parse::<u64>().ok()?.checked_mul(512)
    };
    devices.partitions.iter().filter_map(|device| Some((device.name.clone(), start(&device.dir)?))).collect()
}

/// Returns the format by what the file begins and ends with, never by its name.
fn format(bytes: &Bytes, path: &Path) -> Result<Format> {
    let shown = path.display();
    let Some(head) = bytes.at(0, 1024)? else {
        return Err(refused(format!("{shown} is too small to be a disk"), "ls -l shows its size"));
    };
    let elsewhere = |what: &str| {
        let hint = "merge it with the image it is based on first: qemu-img convert, vhd-util coalesce";
        Err(refused(format!("{shown} {what}"), hint))
    };
    if head.starts_with(b"QFI\xfb") {
        // docs/interop/qcow2: the backing file's place; bit 2: the data is in a file of its own
        let external = be32(&head, 4) >= 3 && be64(&head, 72) & 4 != 0;
        if be64(&head, 8) != 0 || external {
            return elsewhere("refers to another file, which is not looked into");
        }
        return Ok(Format::Qcow2);
    }
    if head.starts_with(b"vhdxfile") {
        return Ok(Format::Vhdx);
    }
    if head.starts_with(b"KDMV") {
        // without a capacity of its own, the descriptor names the files that hold the disk
        let descriptor = bytes.at(le64(&head, 28).saturating_mul(512), 8192)?.unwrap_or_default();
        let has_parent = memchr::memmem::find(&descriptor, b"parentFileNameHint").is_some();
        if le64(&head, 12) == 0 || has_parent {
            return elsewhere("refers to another file, which is not looked into");
        }
        return Ok(Format::Vmdk);
    }
    if head.starts_with(b"# Disk DescriptorFile") {
        return elsewhere("is the description of a disk that other files hold");
    }
    let footer = match bytes.size().checked_sub(512) {
        Some(place) => bytes.at(place, 512)?,
        None => None,
    };
    for (place, block) in [Some(head), footer].into_iter().enumerate() {
        let Some(block) = block.filter(|block| block.starts_with(b"conectix")) else { continue };
        return match (vhd::disk_type(&block), place) {
            // the disk, then the footer
            (2, 1) => Ok(Format::Raw),
            (3, _) => Ok(Format::Vhd),
            _ => elsewhere("is a VHD that is based on another one"),
        };
    }
    Ok(Format::Raw)
}

/// Returns what makes the new image like the old one.
fn options(format: Format, info: &Value) -> String {
    let data = &info["format-specific"]["data"];
    match format {
        Format::Qcow2 => {
            let cluster = info["cluster-size"].as_u64().unwrap_or(65536);
            let compat = data["compat"].as_str().filter(|c| matches!(*c, "0.10" | "1.1")).unwrap_or("1.1");
            let lazy = if data["lazy-refcounts"] == true { ",lazy_refcounts=on" } else { "" };
            format!("compat={compat},cluster_size={cluster}{lazy}")
        }
        // the size to the byte, not rounded up to cylinders
        Format::Vhd => "subformat=dynamic,force_size=on".to_owned(),
        Format::Vhdx => "subformat=dynamic".to_owned(),
        Format::Vmdk => {
            let kinds = ["monolithicSparse", "streamOptimized"];
            let kind = data["create-type"].as_str().filter(|kind| kinds.contains(kind));
            format!("subformat={}", kind.unwrap_or("monolithicSparse"))
        }
        Format::Device | Format::Raw => String::new(),
    }
}

fn need_room(dir: &Path, needed: u64, what: &str) -> Result<()> {
    let fs = rustix::fs::statvfs(dir).with_context(|| format!("looking at the room in {}", dir.display()))?;
    let free = fs.f_bavail.saturating_mul(fs.f_frsize);
    if free < needed {
        let dir = dir.display();
        return Err(refused(
            format!("{what} needs {needed} bytes in {dir}, where {free} are free"),
            format!("make room in {dir}, or copy the image to a larger file system"),
        ));
    }
    Ok(())
}

fn qemu_img(words: &[&str]) -> Result<Value> {
    let text = run_qemu_img(words, Duration::from_secs(60), &|| false)?;
    serde_json::from_str(&text).context("reading what qemu-img says")
}

fn convert(words: &[&str], stop: &dyn Fn() -> bool) -> Result<()> {
    run_qemu_img(&[&["convert"], words].concat(), CONVERTS_WITHIN, stop).map(|_| ())
}

fn run_qemu_img(words: &[&str], limit: Duration, stop: &dyn Fn() -> bool) -> Result<String> {
    let output = Cmd::new(&[&["qemu-img"], words].concat()).within(limit).leashed().output_unless(stop)?;
    let Some(output) = output else {
        return Err(refused(
            "this image has to be converted, and qemu-img is not installed".to_owned(),
            "install qemu-utils (Debian, Ubuntu) or qemu-img (RHEL family), or convert it to raw elsewhere",
        ));
    };
    if !output.status.success() {
        bail!("running qemu-img {}: {}", words.first().unwrap_or(&""), output.stderr.trim());
    }
    Ok(output.stdout)
}
