//! Checks of the topic image: the disk, and what an image of it would carry on.
//!
//! [`FOR_IMAGES`] are made by `fix-image` only: a server that runs has a machine id and host keys, and that is right.

mod boot_devices;
mod disk_space;
mod file_system;
mod for_images;
mod golden;
mod image_format;
pub mod metadata;
mod root_writable;

use super::{Check, Finding, Needs, Topic};

/// What the checks of files have in common.
const TEMPLATE: Check = Check::of_files(Topic::Image);

/// The checks of this topic.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "boot-devices",
        about: "fstab and the boot loader name no disk that another vm_mode renames",
        probe: boot_devices::probe,
        page: include_str!("pages/boot-devices.md"),
        ..TEMPLATE
    },
    Check {
        id: "disk-space",
        about: "there is room to write a file safely",
        probe: disk_space::probe,
        page: include_str!("pages/disk-space.md"),
        ..TEMPLATE
    },
    Check {
        id: "root-writable",
        about: "the file systems of /etc and /var can be written",
        needs: Needs::LIVE,
        probe: root_writable::probe,
        page: include_str!("pages/root-writable.md"),
        ..TEMPLATE
    },
    Check {
        id: "file-system-clean",
        about: "the file system needs no check before it is written",
        probe: file_system::probe,
        page: include_str!("pages/file-system-clean.md"),
        ..TEMPLATE
    },
    Check {
        id: "image-format",
        about: "a VHD can be imported: dynamic, made by XenServer, 160 GB at most",
        probe: image_format::probe,
        page: include_str!("pages/image-format.md"),
        ..TEMPLATE
    },
];

/// What an image is held against beside all other checks.
pub(super) const FOR_IMAGES: &[Check] = &[
    Check {
        id: "machine-id",
        about: "a copy makes its own machine id",
        probe: for_images::machine_id,
        page: include_str!("pages/machine-id.md"),
        ..TEMPLATE
    },
    Check {
        id: "host-keys",
        about: "a copy makes its own SSH host keys",
        probe: for_images::host_keys,
        page: include_str!("pages/host-keys.md"),
        ..TEMPLATE
    },
    Check {
        id: "golden-image",
        about: "the system is as the provider's own images are",
        probe: golden::probe,
        fix: Some(golden::fix),
        page: include_str!("pages/golden-image.md"),
        ..TEMPLATE
    },
    Check {
        id: "image-metadata",
        about: "the image's properties fit what is inside it",
        // the properties are not in the system: fix-image judges what it is given
        probe: |_| Ok(vec![Finding::skipped("needs the image's properties: fix-image --metadata FILE")]),
        page: include_str!("pages/image-metadata.md"),
        ..TEMPLATE
    },
];
