//! `config-drive`: is it attached, and are the files on it whole.
//!
//! Source: OpenStack, `nova/api/metadata/base.py` and "Config drives": `openstack/latest/` with `meta_data.json`
//! always, `vendor_data.json` and `network_data.json` of every release since 2013 and 2015.

use anyhow::Result;

use crate::check::Finding;
use crate::net::drive;
use crate::root::Root;
use crate::target::Target;

const DIR: &str = "openstack/latest";
const FILES: [&str; 3] = ["meta_data.json", "network_data.json", "vendor_data.json"];

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let Some(found) = drive::look(target, |drive| Ok(judge(drive)))? else {
        return Ok(vec![
            Finding::note("no config drive is attached")
                .because("the agent needs none; cloud-init gets no data")
                .mend("set img_config_drive=mandatory on the image, or build with a config drive"),
        ]);
    };
    Ok(found)
}

fn judge(drive: &Root) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in FILES {
        let path = format!("{DIR}/{name}");
        let fault = match drive.read_opt(&path) {
            Ok(None) => "it is missing".to_owned(),
            Err(e) => format!("{e:#}"),
            Ok(Some(bytes)) => match serde_json::from_slice::<serde_json::Value>(&bytes) {
                Ok(value) if value.is_object() => continue,
                Ok(_) => "it is no JSON object".to_owned(),
                // the message names line and column, and no content: meta_data.json can hold a password
                Err(e) => format!("not JSON: {:?} in line {}", e.classify(), e.line()),
            },
        };
        findings.push(
            Finding::note(format!("{name} on the config drive cannot be used"))
                .because("cloud-init ignores the drive, or the part of it that this file describes")
                .seen(path, fault)
                .about(name)
                .mend("build the server anew: the host writes the drive once"),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("the config drive is attached and its files are whole"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;
    use crate::facts::tree::Tree;

    fn found(files: &[(&str, &str)]) -> Vec<(Status, Option<String>)> {
        let paths: Vec<(String, &str)> =
            files.iter().map(|(name, text)| (format!("{DIR}/{name}"), *text)).collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        judge(&Tree::of(&files).root()).into_iter().map(|f| (f.status, f.subject)).collect()
    }

    #[test]
    fn each_file_that_cannot_be_used_is_named() {
        let whole =
            [("meta_data.json", "{}"), ("network_data.json", "{\"links\": []}"), ("vendor_data.json", "{}")];
        assert_eq!(found(&whole), [(Status::Ok, None)]);
        let note = |name: &str| (Status::Note, Some(name.to_owned()));
        assert_eq!(found(&whole[..2]), [note("vendor_data.json")]);
        assert_eq!(
            found(&[("meta_data.json", "{"), ("network_data.json", "[]"), ("vendor_data.json", "{}")]),
            [note("meta_data.json"), note("network_data.json")]
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_does_not_show_what_is_in_it() {
        let tree = Tree::of(&[("openstack/latest/meta_data.json", "{\"admin_pass\": s3cret}")]);
        assert!(!format!("{:?}", judge(&tree.root())).contains("s3cret"));
    }
}
