//! `image-metadata`: an image's properties, held against what is inside it.
//!
//! The properties come as JSON of the image API, or of `openstack image show -f json`, where they can be one string.
//! Source: nova, `virt/xenapi` (`xenapi_use_agent`), `objects/fields.py` (`VMMode`), oslo.utils `strutils`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::check::{Finding, Topic};
use crate::image::Who;
use crate::image::hand_over::PROPERTIES;
use crate::target::Target;

/// The largest description, in bytes.
const TEXT_MAX: usize = 1 << 20;
/// The largest system disk that can be imported, in GiB.
const DISK_MAX: u64 = 160;
/// Above this the small flavours cannot be built, in GiB.
const DISK_SMALL: u64 = 40;

/// An image as the image service describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its id, else its name.
    name: Option<String>,
    properties: BTreeMap<String, String>,
}

impl Image {
    /// Reads a description.
    ///
    /// # Errors
    /// It is not JSON, no object, or too long.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > TEXT_MAX {
            bail!("{} bytes, more than {TEXT_MAX} are not read", text.len());
        }
        if text.trim().is_empty() {
            bail!("reading the image's properties: nothing was said");
        }
        let value: Value = serde_json::from_str(text).context("reading the image's properties")?;
        let value = value.get("image").filter(|inner| inner.is_object()).unwrap_or(&value);
        let top = value.as_object().context("reading the image's properties: no JSON object")?;
        let mut properties = BTreeMap::new();
        for (key, value) in top {
            take(&mut properties, key, value);
        }
        match top.get("properties") {
            Some(Value::Object(inner)) => {
                for (key, value) in inner {
                    take(&mut properties, key, value);
                }
            }
            Some(Value::String(text)) => properties.extend(pairs(text)),
            _ => {}
        }
        let name = ["id", "name"].iter().find_map(|key| properties.get(*key).cloned());
        Ok(Self { name, properties })
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// Returns what contradicts the system that is in the image.
    pub fn judge(&self, target: &Target, who: Who) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut wrong = |key: &'static str, wanted: &str, title: &str, why: &str| {
            let text = self.get(key).map_or("not set".to_owned(), |value| format!("{key} = {value}"));
            findings.push(
                Finding::fail(title)
                    .because(why)
                    .seen("the image's properties", text)
                    .about(key)
                    .mend("set the property on the image")
                    .by(&self.set(&[(key, wanted)]).iter().map(String::as_str).collect::<Vec<_>>()),
            );
        };
        let is_agents = match who {
            Who::Agent | Who::AgentSwitchedOn | Who::NewAgent => target.has_agent_at_boot(),
            Who::CloudInit => false,
        };
        let asks_agent = self.get("xenapi_use_agent");
        match (is_agents, asks_agent.map(truth)) {
            (_, Some(None)) => {
                let wanted = if is_agents { "True" } else { "False" };
                wrong(
                    "xenapi_use_agent",
                    wanted,
                    "xenapi_use_agent is neither yes nor no",
                    "the host takes its own default",
                );
            }
            (true, Some(Some(false))) => wrong(
                "xenapi_use_agent",
                "True",
                "the host does not talk to the agent that is in the image",
                "no password is set and no address is changed",
            ),
            (false, Some(Some(true)) | None) => wrong(
                "xenapi_use_agent",
                "False",
                "the host waits for an agent that is not in the image",
                "each build takes minutes longer, and then fails or has no password",
            ),
            _ => {}
        }
        let mode = self.get("vm_mode").or(self.get("hw_vm_mode")).map(str::to_ascii_lowercase);
        match mode.as_deref() {
            None if !is_agents => wrong(
                "vm_mode",
                "hvm",
                "the image does not say vm_mode=hvm",
                "the host takes it for a paravirtual one, and the boot loader fails",
            ),
            Some("xen" | "pv") if !is_agents => {
                wrong(
                    "vm_mode",
                    "hvm",
                    "the image is said to be paravirtual",
                    "the boot loader of an imported image fails",
                );
            }
            None | Some("hvm" | "hv" | "xen" | "pv" | "baremetal" | "uml" | "exe") => {}
            Some(_) => wrong(
                "vm_mode",
                "hvm",
                "vm_mode is a word that the host does not know",
                "no server can be built",
            ),
        }
        let drive = self.get("img_config_drive").map(str::to_ascii_lowercase);
        match drive.as_deref() {
            Some("mandatory") => {}
            None | Some("optional") if is_agents => {}
            None | Some("optional") => wrong(
                "img_config_drive",
                "mandatory",
                "a server can be built without the config drive that cloud-init needs",
                "it then has no keys, no user-data and no addresses",
            ),
            Some(_) => {
                wrong(
                    "img_config_drive",
                    "mandatory",
                    "img_config_drive is neither mandatory nor optional",
                    "no server can be built",
                );
            }
        }
        findings.extend(self.size());
        if findings.is_empty() {
            findings.push(Finding::ok("the image's properties fit what is inside it"));
        }
        findings.into_iter().map(|finding| finding.of("image-metadata", Topic::Image)).collect()
    }

    fn size(&self) -> Option<Finding> {
        let of_bytes = self
            .get("virtual_size")
            .and_then(|text| text.parse::<u64>().ok())
            .map(|bytes| bytes.div_ceil(1 << 30));
        let gib = of_bytes.or_else(|| self.get("min_disk")?.parse().ok())?;
        too_large("the image's properties", gib)
    }

    /// Returns the command that sets properties on this image.
    fn set(&self, properties: &[(&str, &str)]) -> Vec<String> {
        set(self.name.as_deref(), properties)
    }
}

/// Judges the size of a system disk, which `source` says.
pub(super) fn too_large(source: &str, gib: u64) -> Option<Finding> {
    if gib <= DISK_SMALL {
        return None;
    }
    let finding = if gib <= DISK_MAX {
        Finding::note("the disk is too large for General Purpose and I/O optimized flavours")
    } else {
        Finding::fail("the disk is too large to be imported")
    };
    Some(finding.seen(source, format!("{gib} GiB")).about("size"))
}

/// Returns what an image for cloud-init needs, as a note with the command.
pub fn for_cloud_init() -> Finding {
    let command = set(None, &PROPERTIES);
    Finding::note("an image for cloud-init needs three properties")
        .because("the config drive holds its data, HVM boots it, and the host must not wait for an agent")
        .mend("set them on the image")
        .by(&command.iter().map(String::as_str).collect::<Vec<_>>())
        .of("image-metadata", Topic::Image)
}

fn set(image: Option<&str>, properties: &[(&str, &str)]) -> Vec<String> {
    let mut argv: Vec<String> = ["openstack", "image", "set"].map(str::to_owned).into();
    for (key, value) in properties {
        argv.extend(["--property".to_owned(), format!("{key}={value}")]);
    }
    argv.push(image.unwrap_or("IMAGE").to_owned());
    argv
}

/// Reads a word as oslo's `bool_from_string` does when it is strict.
fn truth(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

fn take(properties: &mut BTreeMap<String, String>, key: &str, value: &Value) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => return,
    };
    properties.insert(key.to_owned(), text);
}

/// Reads `a='1', b='2'`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once("='") {
        let end = after.find("', ").or_else(|| after.rfind('\'')).unwrap_or(after.len());
        found.push((key.trim_matches([',', ' ']).to_owned(), after[..end].to_owned()));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::Status;
    use crate::xenstore::Source;

    fn subjects(text: &str) -> Vec<(Status, Option<String>)> {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::offline(dir.path(), Source::None).unwrap();
        let found = Image::parse(text).unwrap().judge(&target, Who::CloudInit);
        found.into_iter().map(|finding| (finding.status, finding.subject)).collect()
    }

    #[test]
    fn properties_are_read_in_each_form() {
        let api =
            r#"{"id": "x", "img_config_drive": "mandatory", "vm_mode": "hvm", "xenapi_use_agent": "False"}"#;
        let client = r#"{"id": "x", "properties": {"img_config_drive": "mandatory", "vm_mode": "HVM", "xenapi_use_agent": false}}"#;
        let string = r#"{"id": "x", "properties": "img_config_drive='mandatory', vm_mode='hvm', xenapi_use_agent='no'"}"#;
        let nested = r#"{"image": {"properties": {"img_config_drive": "mandatory", "hw_vm_mode": "hvm", "xenapi_use_agent": "0"}}}"#;
        for text in [api, client, string, nested] {
            assert_eq!(subjects(text), [(Status::Ok, None)], "{text}");
        }
    }

    #[test]
    fn each_property_that_contradicts_is_named() {
        let fail = |key: &str| (Status::Fail, Some(key.to_owned()));
        assert_eq!(subjects("{}"), [fail("xenapi_use_agent"), fail("vm_mode"), fail("img_config_drive")]);
        let wrong = r#"{"xenapi_use_agent": "maybe", "vm_mode": "xen", "img_config_drive": "always", "min_disk": 200}"#;
        assert_eq!(
            subjects(wrong),
            [fail("xenapi_use_agent"), fail("vm_mode"), fail("img_config_drive"), fail("size")]
        );
    }

    #[test]
    fn the_command_names_the_image() {
        let image = Image::parse(r#"{"id": "a-b", "name": "n"}"#).unwrap();
        assert_eq!(
            image.set(&[("vm_mode", "hvm")]).join(" "),
            "openstack image set --property vm_mode=hvm a-b"
        );
        assert!(Image::parse("[1]").is_err() && Image::parse("{").is_err());
    }

    proptest! {
        #[test]
        fn any_string_of_properties_is_read_without_a_panic(text in "([a-z]|=|'|, |é|\\PC{0,3})*") {
            pairs(&text);
        }
    }
}
