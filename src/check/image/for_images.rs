//! `machine-id` and `host-keys`: identities that every copy would have as well. Made by `fix-image` only.

use anyhow::Result;

use crate::check::Finding;
use crate::image::{HostKeys, MachineId, Maker, Who};
use crate::target::Target;

const COMMAND: [&str; 4] = ["novactl", "fix-image", "--generalize", "--only"];

pub(super) fn machine_id(target: &Target) -> Result<Vec<Finding>> {
    let Some(id) = MachineId::cloned(&target.root)? else {
        return Ok(vec![Finding::ok("a copy makes its own machine id")]);
    };
    let finding = Finding::warn("every server built of this image would have the same machine id")
        .because("DHCP gives two of them one address, and their journals mix")
        .seen(id.path, "holds an id");
    Ok(vec![generalized(finding, target, "machine-id")])
}

pub(super) fn host_keys(target: &Target) -> Result<Vec<Finding>> {
    let keys = HostKeys::of(target)?;
    let [first, ..] = keys.files.as_slice() else {
        return Ok(vec![Finding::ok("there are no SSH host keys to clone")]);
    };
    let finding = Finding::warn("every server built of this image would have the same SSH host keys")
        .because("who has one of them can pass for all the others")
        .seen(first, format!("{} files of host keys", keys.files.len()));
    Ok(vec![match Maker::of(target, Who::Agent)? {
        Some(maker) => generalized(finding.seen(maker.source, maker.text), target, "host-keys"),
        None => finding.mend(
            "nothing makes new ones at boot, so they stay: add ssh-keygen -A before sshd, then remove them",
        ),
    }])
}

fn generalized(finding: Finding, target: &Target, step: &str) -> Finding {
    let root = target.root.path().display().to_string();
    let mut command = [&COMMAND[..], &[step]].concat();
    if !target.is_live() {
        command.extend(["--root", &root]);
    }
    finding.mend("take it out of the image, not out of a server that goes on").by(&command)
}
