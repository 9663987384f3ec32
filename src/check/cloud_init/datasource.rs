//! `cloud-init-datasource`: the sources that cloud-init asks, in its order.
//!
//! XenServer gives a guest one source: the config drive. A list of several is harmless where ds-identify takes out
//! those that are not there; a single one, alone or before `None`, is taken as it is.
//! Source: cloud-init, `tools/ds-identify` ("single entry" of `datasource_list`), `DataSourceNone.py`.

use anyhow::{Context, Result, bail};

use super::{of_running, with_left_out};
use crate::check::Finding;
use crate::facts::cloud_init::CloudInit;
use crate::plan::{FileChange, Plan};
use crate::target::Target;

const STEM: &str = "datasource";
const BODY: &str = "datasource_list: [ ConfigDrive, None ]\n";

/// Sources that are a part of the system itself: asking them costs nothing.
const LOCAL: [&str; 4] = ["ConfigDrive", "NoCloud", "OVF", "None"];

/// What is wrong with a list.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// `None` always answers, so what stands behind it is never asked.
    NoneFirst,
    /// The config drive is not among them.
    NoDrive,
    /// Sources that are not here, and are waited for.
    Waits(Vec<String>),
}

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    of_running(target, |cloud_init| {
        let Some((source, names)) = cloud_init.sources() else {
            return Ok(vec![Finding::ok("cloud-init asks every source that it has")]);
        };
        let list = format!("datasource_list: [{}]", names.join(", "));
        let Some(fault) = judge(&names, cloud_init.is_filtered) else {
            return Ok(vec![Finding::ok("cloud-init asks the sources that are here").seen(source, list)]);
        };
        let (title, why) = match fault {
            Fault::NoneFirst => (
                "cloud-init takes \"None\" before it asks the config drive".to_owned(),
                "user-data and keys given when the server was built are ignored",
            ),
            Fault::NoDrive => (
                "cloud-init does not ask the config drive".to_owned(),
                "the config drive is the only source of data on this platform",
            ),
            Fault::Waits(names) => (
                format!("cloud-init asks sources that are not here: {}", names.join(", ")),
                "each is waited for at boot, up to minutes",
            ),
        };
        let finding = Finding::warn(title).because(why).seen(source, list);
        let command = format!("echo '{}' > /etc/cloud/cloud.cfg.d/99-{STEM}.cfg", BODY.trim_end());
        Ok(vec![
            with_left_out(finding, cloud_init)
                .mend("name the config drive, then none, in /etc/cloud/cloud.cfg.d")
                .by(&["sh", "-c", &command]),
        ])
    })
}

fn judge(names: &[String], is_filtered: bool) -> Option<Fault> {
    let place = |name: &str| names.iter().position(|n| n.eq_ignore_ascii_case(name));
    let real: Vec<&String> = names.iter().filter(|name| !name.eq_ignore_ascii_case("None")).collect();
    // nobody wants data: that is a choice
    if real.is_empty() {
        return None;
    }
    match (place("ConfigDrive"), place("None")) {
        (None, _) => return Some(Fault::NoDrive),
        (Some(drive), Some(none)) if none < drive => return Some(Fault::NoneFirst),
        _ => {}
    }
    let is_far = |name: &&&String| !LOCAL.iter().any(|local| local.eq_ignore_ascii_case(name));
    let far: Vec<String> = real.iter().filter(is_far).map(ToString::to_string).collect();
    (!is_filtered && !far.is_empty()).then_some(Fault::Waits(far))
}

pub(super) fn fix(target: &Target) -> Result<Plan> {
    let cloud_init =
        CloudInit::of(&target.root, target.services())?.context("cloud-init is not installed")?;
    if let Some((source, _)) = cloud_init.sources()
        && !source.starts_with("etc/cloud/")
    {
        bail!("the kernel's command line names the source: change it in the boot loader's configuration");
    }
    let path = cloud_init.place_for(&target.root, "datasource_list", STEM)?;
    let title = "let cloud-init ask the config drive".to_owned();
    Ok(Plan { verb: "fix", title, files: vec![FileChange::write(path, BODY)], ..Plan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_what_is_not_here_count() {
        let waits = |names: &[&str]| Some(Fault::Waits(names.iter().map(ToString::to_string).collect()));
        for (list, with_filter, without) in [
            ("ConfigDrive None", None, None),
            ("NoCloud ConfigDrive None", None, None),
            ("configdrive none", None, None),
            ("None", None, None),
            ("", None, None),
            ("None ConfigDrive", Some(Fault::NoneFirst), Some(Fault::NoneFirst)),
            ("NoCloud None ConfigDrive", Some(Fault::NoneFirst), Some(Fault::NoneFirst)),
            ("Ec2", Some(Fault::NoDrive), Some(Fault::NoDrive)),
            ("NoCloud None", Some(Fault::NoDrive), Some(Fault::NoDrive)),
            ("NoCloud ConfigDrive Ec2 Azure None", None, waits(&["Ec2", "Azure"])),
        ] {
            let names: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
            assert_eq!(judge(&names, true), with_filter, "{list}");
            assert_eq!(judge(&names, false), without, "{list}");
        }
    }
}
