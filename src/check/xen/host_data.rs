//! What the host says about the guest: the provider, its network data, RackConnect.

use anyhow::Result;

use super::{list_opt, read_opt, with_store};
use crate::check::Finding;
use crate::facts::agents::Kind;
use crate::target::Target;
use crate::xenstore::{Error, Xenstore};

const PROVIDER: &str = "vm-data/provider_data/provider";
const NETWORKING: &str = "vm-data/networking";
const ROLES: &str = "vm-data/provider_data/roles";
const AUTOMATION: &str = "vm-data/user-metadata/rackconnect_automation_status";

/// Keys of network data that are looked at: a guest has at most a handful of interfaces.
const KEYS_MAX: usize = 256;

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
        let problems = problems(store, &keys)?;
        if problems.is_empty() {
            let count = keys.len();
            let noun = if count == 1 { "interface" } else { "interfaces" };
            return Ok(vec![
                Finding::ok(format!("the host gives data for {count} {noun}"))
                    .seen(NETWORKING, keys.join(" ")),
            ]);
        }
        Ok(problems.iter().map(invalid).collect())
    })
}

/// A value that does not parse.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// The key in `vm-data/networking`: a MAC without colons.
    key: String,
    /// The field and what is wrong with it.
    text: String,
}

/// Returns what is wrong with the values. Until the strict parser of `net` is here, only: are they JSON objects.
fn problems(store: &mut dyn Xenstore, keys: &[String]) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    for key in keys.iter().take(KEYS_MAX) {
        let Some(value) = read_opt(store, &format!("{NETWORKING}/{key}"))? else { continue };
        let text = match serde_json::from_str::<serde_json::Value>(&value) {
            Ok(value) if value.is_object() => continue,
            Ok(_) => "not a JSON object".to_owned(),
            Err(e) => format!("not JSON: {e}"),
        };
        problems.push(Problem { key: key.clone(), text });
    }
    Ok(problems)
}

fn invalid(problem: &Problem) -> Finding {
    let Problem { key, text } = problem;
    Finding::fail(format!("the host's data for {key} is invalid"))
        .about(key)
        .because("agent 2.x dies on it at every network reset; the value stays for ever")
        .seen(format!("{NETWORKING}/{key}"), text)
        .mend("ask the host to write it anew (nova: inject-network-info), or restart the guest")
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
    use super::super::memory::Memory;
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
    fn a_value_that_is_no_object_is_named_by_its_key() {
        let mut store = Memory::of(&[
            ("vm-data/networking/BC764E207572", r#"{"label": "public"}"#),
            ("vm-data/networking/BC764E203B70", r#"{"label": "#),
            ("vm-data/networking/BC764E203B71", "[]"),
        ]);
        let keys = store.list(NETWORKING).unwrap();
        let problems = problems(&mut store, &keys).unwrap();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["BC764E203B70", "BC764E203B71"]);
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
