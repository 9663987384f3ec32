//! `image-format`: can a VHD be imported as an image.
//!
//! Other formats are no images of this provider, and a device is a server's disk: they are not judged. What is needed:
//! the provider's article on importing images.

use std::path::Path;

use anyhow::Result;

use super::metadata;
use crate::check::Finding;
use crate::disk::{Facts, Vhd};
use crate::target::Target;

/// The creator that XenServer's own tools write.
const XENSERVER: &str = "tap";

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let facts = target.disk().map(|disk| disk.facts());
    let Some((facts, vhd)) = facts.and_then(|facts| Some((facts, facts.vhd.as_ref()?))) else {
        return Ok(vec![Finding::skipped("the system is in no VHD file")]);
    };
    Ok(judge(facts, vhd))
}

fn judge(facts: &Facts, vhd: &Vhd) -> Vec<Finding> {
    let mut found = Vec::new();
    if vhd.creator != XENSERVER {
        let finding = Finding::fail("the VHD was not made by XenServer's tools")
            .because("its disk does not grow with the flavour, and builds fail")
            .seen(&facts.path, format!("creator application: {}", vhd.creator))
            .about("creator");
        found.push(converted(finding, &facts.path));
    }
    if !vhd.dynamic {
        let finding = Finding::fail("the VHD is of fixed size")
            .because("only a dynamic one is imported")
            .seen(&facts.path, "disk type: fixed")
            .about("type");
        found.push(converted(finding, &facts.path));
    }
    found.extend(metadata::too_large(&facts.path, facts.size.div_ceil(1 << 30)));
    if found.is_empty() {
        found.push(Finding::ok("the VHD can be imported").seen(&facts.path, "dynamic, made by XenServer"));
    }
    found
}

/// Names the commands that make a VHD as XenServer does.
fn converted(finding: Finding, path: &str) -> Finding {
    let name = |end: &str| Path::new(path).with_extension(end).display().to_string();
    let (raw, fixed, made) = (name("raw"), name("fixed.vhd"), name("tap.vhd"));
    finding
        .mend("make it anew, with the vhd-util of XenServer")
        .by(&["qemu-img", "convert", "-O", "raw", path, &raw])
        .by(&["vhd-util", "convert", "-s", "0", "-t", "1", "-i", &raw, "-o", &fixed])
        .by(&["vhd-util", "convert", "-s", "1", "-t", "2", "-i", &fixed, "-o", &made])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::disk::Format;

    fn judged(creator: &str, dynamic: bool, gib: u64) -> Vec<(Status, Option<String>)> {
        let vhd = Vhd { dynamic, creator: creator.to_owned() };
        let facts = Facts {
            path: "a.vhd".to_owned(),
            format: Format::Vhd,
            size: gib << 30,
            vhd: Some(vhd.clone()),
            volumes: Vec::new(),
        };
        judge(&facts, &vhd).into_iter().map(|finding| (finding.status, finding.subject)).collect()
    }

    #[test]
    fn what_keeps_a_vhd_from_being_imported_is_named() {
        let of = |status, subject: &str| (status, Some(subject.to_owned()));
        assert_eq!(judged("tap", true, 40), [(Status::Ok, None)]);
        assert_eq!(judged("qem2", true, 10), [of(Status::Fail, "creator")]);
        assert_eq!(judged("tap", false, 10), [of(Status::Fail, "type")]);
        assert_eq!(judged("tap", true, 41), [of(Status::Note, "size")]);
        assert_eq!(judged("tap", true, 160), [of(Status::Note, "size")]);
        let all = ["creator", "type", "size"].map(|subject| of(Status::Fail, subject));
        assert_eq!(judged("win", false, 161), all);
    }
}
