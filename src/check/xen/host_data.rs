//! What the host says about the guest: the provider, its network data, RackConnect.

use anyhow::Result;

use super::{list_opt, read_opt, with_store};
use crate::check::Finding;
use crate::facts::agents::Kind;
use crate::net::host::HostNic;
use crate::target::Target;
use crate::xenstore::{Error, Xenstore};

const PROVIDER: &str = "vm-data/provider_data/provider";
const NETWORKING: &str = "vm-data/networking";
const ROLES: &str = "vm-data/provider_data/roles";
const AUTOMATION: &str = "vm-data/user-metadata/rackconnect_automation_status";

/// Keys of network data that are looked at: a guest has at most a handful of interfaces.
const KEYS_MAX: usize = 256;
/// Faults of one key that are shown.
const SHOWN: usize = 4;

pub(super) fn provider_known(target: &Target) -> Result<Vec<Finding>> {
    let exits = target.agents().all.iter().any(|agent| agent.kind == Kind::Nova2);
    with_store(target, |store| Ok(vec![provider(read_opt(store, PROVIDER)?.as_deref(), exits)]))
}

/// Agent 2.x compares the name in any case and exits when it is another one (novaagent/utils.py).
fn provider(provider: Option<&str>, exits: bool) -> Finding {
    let title = match provider.map(str::trim) {
        Some(name) if name.eq_ignore_ascii_case("rackspace") => {
            return Finding::ok("the host says that it is Rackspace's").seen(PROVIDER, name);
        }
        Some(name) => format!("the host says that its provider is {name:?}"),
        None => "the host does not say who its provider is".to_owned(),
    };
    let finding = if exits { Finding::warn(title) } else { Finding::note(title) };
    finding
        .because("nova-agent 2.x exits at its start when the provider is not Rackspace")
        .seen(PROVIDER, provider.unwrap_or("absent"))
        .mend("only the host can write it; an agent that does not ask for the provider works without")
}

pub(super) fn host_network_data(target: &Target) -> Result<Vec<Finding>> {
    let dies = target.agents().all.iter().any(|agent| agent.kind == Kind::Nova2);
    with_store(target, |store| {
        let keys = list_opt(store, NETWORKING)?;
        if keys.is_empty() {
            return Ok(vec![
                Finding::fail("the host gives no network data")
                    .because("a network reset would leave this guest without addresses")
                    .seen(NETWORKING, "absent or empty")
                    .mend("ask the host to write it anew (nova: inject-network-info), or restart the guest"),
            ]);
        }
        let problems = problems(store, &keys, dies)?;
        if problems.is_empty() {
            let count = keys.len();
            let noun = if count == 1 { "interface" } else { "interfaces" };
            return Ok(vec![
                Finding::ok(format!("the host gives data for {count} {noun}"))
                    .seen(NETWORKING, keys.join(" ")),
            ]);
        }
        Ok(problems.iter().map(|(key, texts)| invalid(key, texts)).collect())
    })
}

/// Returns the keys whose values cannot be read as they stand, and what is wrong with each. With `dies` also what
/// an agent of line 2.x, which is installed, dies on.
fn problems(
    store: &mut dyn Xenstore,
    keys: &[String],
    dies: bool,
) -> Result<Vec<(String, Vec<String>)>, Error> {
    let mut problems = Vec::new();
    for key in keys.iter().take(KEYS_MAX) {
        // It may have been taken away since it was listed.
        let Some(value) = read_opt(store, &format!("{NETWORKING}/{key}"))? else { continue };
        let words = |field: &str, text: &str| {
            if field.is_empty() { text.to_owned() } else { format!("{field}: {text}") }
        };
        let read = HostNic::parse(key, value.as_bytes()).problems;
        let mut texts: Vec<String> =
            read.iter().map(|problem| words(&problem.field, &problem.text)).collect();
        texts.extend(deadly(&value).filter(|_| dies).map(str::to_owned));
        if !texts.is_empty() {
            problems.push((key.clone(), texts));
        }
    }
    Ok(problems)
}

/// What is valid but kills agent 2.x where it writes ifcfg files or /etc/network/interfaces (novaagent/libs).
fn deadly(value: &str) -> Option<&'static str> {
    let record: serde_json::Value = serde_json::from_str(value).ok()?;
    let members = record.as_object()?;
    if members.get("routes").is_some_and(serde_json::Value::is_null) {
        return Some("routes: null");
    }
    members.get("label").is_none().then_some("label: missing")
}

fn invalid(key: &str, texts: &[String]) -> Finding {
    let path = format!("{NETWORKING}/{key}");
    let finding = Finding::fail(format!("the host's data for {key} is invalid"))
        .about(key)
        .because("agent 2.x dies on it at every network reset; the value stays for ever")
        .mend("ask the host to write it anew (nova: inject-network-info), or restart the guest");
    texts.iter().take(SHOWN).fold(finding, |finding, text| finding.seen(&path, text))
}

pub(super) fn rackconnect(target: &Target) -> Result<Vec<Finding>> {
    with_store(target, |store| {
        let (status, roles) = (read_opt(store, AUTOMATION)?, read_opt(store, ROLES)?);
        Ok(vec![automation(status.as_deref(), roles.as_deref())])
    })
}

fn automation(status: Option<&str>, roles: Option<&str>) -> Finding {
    let role = roles.and_then(rackconnect_role);
    if status.is_none() && role.is_none() {
        return Finding::ok("no RackConnect v2 automation");
    }
    let finding = Finding::note("RackConnect v2 automation manages this server's network")
        .because("a network reset breaks its connectivity")
        .mend("leave the network to RackConnect: reset-network refuses here without --force");
    let finding = status.into_iter().fold(finding, |finding, status| finding.seen(AUTOMATION, status));
    role.into_iter().fold(finding, |finding, role| finding.seen(ROLES, role))
}

/// The role of RackConnect v2 in a JSON list of roles; v3 does without changes in the guest.
fn rackconnect_role(roles: &str) -> Option<String> {
    let roles: Vec<String> = serde_json::from_str(roles).ok()?;
    roles.into_iter().find(|role| {
        let letters: String = role.chars().filter(char::is_ascii_alphanumeric).collect();
        let letters = letters.to_ascii_lowercase();
        letters.contains("rackconnect") && !letters.contains("rackconnectv3")
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::store;
    use super::*;
    use crate::check::Status;

    #[test]
    fn another_provider_warns_where_the_agent_would_exit() {
        for (name, exits, status) in [
            (Some("Rackspace"), true, Status::Ok),
            (Some("rackspace\n"), true, Status::Ok),
            (Some("xcp"), true, Status::Warn),
            (None, true, Status::Warn),
            (None, false, Status::Note),
        ] {
            assert_eq!(provider(name, exits).status, status, "{name:?}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named_by_its_key_and_field() {
        let mut store = store(
            r#"{"vm-data": {"networking": {
                "BC764E207572": "{\"label\": \"public\", \"mac\": \"bc:76:4e:20:75:72\"}",
                "BC764E203B70": "[]",
                "BC764E203B71": "{\"label\": \"x\", \"dns\": [\"10.0.0.300\"]}",
                "BC764E203B72": "{\"label\": \"x\", \"routes\": null}",
                "BC764E203B73": "{\"mac\": \"bc:76:4e:20:3b:73\"}"
            }}}"#,
        );
        let keys = store.list(NETWORKING).unwrap();
        let mut read = |dies| {
            let problems = problems(&mut *store, &keys, dies).unwrap();
            problems.iter().map(|(key, texts)| format!("{key} {}", texts.join(", "))).collect::<Vec<_>>()
        };
        let [mut tolerant, mut strict] = [false, true].map(&mut read);
        tolerant.sort();
        strict.sort();
        let invalid = ["BC764E203B70 not a JSON object", "BC764E203B71 dns[0]: \"10.0.0.300\" is no address"];
        assert_eq!(tolerant, invalid);
        assert_eq!(
            strict,
            [&invalid[..], &["BC764E203B72 routes: null", "BC764E203B73 label: missing"]].concat()
        );
    }

    #[test]
    fn only_the_second_rackconnect_is_named() {
        for (status, roles, expected) in [
            (None, None, Status::Ok),
            (None, Some(r#"["rax_managed"]"#), Status::Ok),
            (None, Some(r#"["rackconnect:v3-1234"]"#), Status::Ok),
            (None, Some("not json"), Status::Ok),
            (None, Some(r#"["rax_managed", "rack_connect"]"#), Status::Note),
            (Some("\"DEPLOYED\""), None, Status::Note),
        ] {
            assert_eq!(automation(status, roles).status, expected, "{status:?} {roles:?}");
        }
    }
}
