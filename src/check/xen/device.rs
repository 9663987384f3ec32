//! The fix of `xenbus-device`: the file system that offers the old way to XenStore, mounted now and at each boot.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::check::mend;
use crate::exec::Cmd;
use crate::facts::init::Init;
use crate::plan::{FileChange, LiveStep, Needs, Plan};
use crate::target::Target;

const FSTAB: &str = "etc/fstab";
const LINE: &str = "none /proc/xen xenfs defaults 0 0\n";

/// How long the kernel may take to load a module or to mount.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) fn fix(target: &Target) -> Result<Plan> {
    let root = &target.root;
    let mut files = Vec::new();
    let mut fstab = root.text_opt(FSTAB)?.unwrap_or_default();
    if !fstab.lines().any(mounts_it) {
        if !fstab.is_empty() && !fstab.ends_with('\n') {
            fstab.push('\n');
        }
        files.push(FileChange::write(FSTAB, fstab + LINE));
    }
    let mut steps = Vec::new();
    if !root.exists("proc/xen") {
        let list = modules(target)?;
        let mut text = root.text_opt(list)?.unwrap_or_default();
        if !text.lines().any(|line| line.trim() == "xenfs") {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            files.push(FileChange::write(list, text + "xenfs\n"));
        }
        // a module that stays loaded harms nothing, and who uses it by then is not known
        steps.push(LiveStep {
            run: Cmd::new(&["modprobe", "xenfs"]).within(LIMIT),
            back: None,
            needs: Needs::Any,
        });
    }
    let mount = Cmd::new(&["mount", "-t", "xenfs", "none", "/proc/xen"]).within(LIMIT);
    let back = Cmd::new(&["umount", "/proc/xen"]).within(LIMIT);
    steps.push(LiveStep { run: mount, back: Some(back), needs: Needs::Any });
    Ok(mend::plan(target, "mount xenfs on /proc/xen", files, steps))
}

/// Whether a line of fstab mounts xenfs at boot.
fn mounts_it(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    matches!(fields.as_slice(), [device, "/proc/xen", "xenfs", options, ..]
        if !device.starts_with('#') && options.split(',').all(|option| option != "noauto"))
}

/// Returns the file that names the modules which a boot loads.
fn modules(target: &Target) -> Result<&'static str> {
    Ok(match target.services().init {
        Init::Systemd => "etc/modules-load.d/xenfs.conf",
        _ if target.root.exists("etc/modules") => "etc/modules",
        _ => bail!("nothing here loads modules by name at boot"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    /// Returns the paths of the files and the programs of the plan.
    fn planned(tree: &Tree) -> (Vec<String>, Vec<String>) {
        let plan = fix(&Target::pretending_to_be_live(tree.path())).unwrap();
        let files = plan.files.iter().map(|file| file.path().to_owned()).collect();
        (files, plan.steps.iter().map(|step| step.run.line()).collect())
    }

    #[test]
    fn what_lacks_is_mounted_now_and_at_each_boot() {
        const MOUNT: &str = "mount -t xenfs none /proc/xen";
        let tree =
            Tree::of(&[("proc/xen/x", ""), ("etc/fstab", "# none /proc/xen xenfs defaults\n/dev/x / ext4")]);
        assert_eq!(planned(&tree), (vec!["etc/fstab".to_owned()], vec![MOUNT.to_owned()]));
        let tree = Tree::of(&[("proc/xen/x", ""), ("etc/fstab", LINE)]);
        assert_eq!(planned(&tree), (vec![], vec![MOUNT.to_owned()]));
        let tree = Tree::of(&[("etc/modules", "loop"), ("etc/fstab", LINE)]);
        let programs = ["modprobe xenfs", MOUNT].map(str::to_owned).to_vec();
        assert_eq!(planned(&tree), (vec!["etc/modules".to_owned()], programs));
    }
}
