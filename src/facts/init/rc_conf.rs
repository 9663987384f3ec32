//! FreeBSD services: scripts in etc/rc.d and usr/local/etc/rc.d, switched by variables of rc.conf (rc.subr(8)).

use anyhow::Result;

use super::{Enabled, Init, Order, Service};
use crate::facts::shell;
use crate::root::{Kind, Root};

const SCRIPT_DIRS: [&str; 2] = ["etc/rc.d", "usr/local/etc/rc.d"];

/// The files with the variables of every service, in the order in which they are read: the last assignment counts.
const VARIABLES: [&str; 4] =
    ["etc/defaults/rc.conf", "etc/defaults/vendor.conf", "etc/rc.conf", "etc/rc.conf.local"];

/// Returns the service of this name; `None` where there is no script of it.
///
/// # Errors
/// A file of it cannot be read.
pub(super) fn named(root: &Root, name: &str) -> Result<Option<Service>> {
    for dir in SCRIPT_DIRS {
        let path = format!("{dir}/{name}");
        let Some(stat) = root.stat_opt(&path)?.filter(|stat| stat.kind == Kind::File) else { continue };
        let text = root.text_opt(&path)?.unwrap_or_default();
        let script = Script::of(&text, name);
        let enabled = if stat.mode & 0o111 == 0 {
            Enabled::No(format!("{path} may not be executed"))
        } else {
            script.enabled(root, &path)?
        };
        let order = Some(script.order);
        let name = name.to_owned();
        return Ok(Some(Service { name, init: Init::BsdRc, path, enabled, unit: None, order }));
    }
    Ok(None)
}

/// The variable that switches a service.
#[derive(Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its name.
    pub variable: String,
    /// The administrator's file whose assignment counts, and the line; none where no file of theirs has one.
    pub place: Option<(String, usize)>,
}

/// Returns what switches the service of this name; `None` without a script of it, or where it always runs.
///
/// # Errors
/// A file of it cannot be read.
pub fn switch(root: &Root, name: &str) -> Result<Option<Switch>> {
    for dir in SCRIPT_DIRS {
        let Some(text) = root.text_opt(&format!("{dir}/{name}"))? else { continue };
        let script = Script::of(&text, name);
        let Some(variable) = script.switch.clone() else { return Ok(None) };
        let mut place = None;
        for file in script.files().filter(|file| !file.starts_with("etc/defaults/")) {
            let text = root.text_opt(&file)?.unwrap_or_default();
            if let Some(found) = shell::last(&text, &variable) {
                place = Some((file, found.line));
            }
        }
        return Ok(Some(Switch { variable, place }));
    }
    Ok(None)
}

/// What an rc.d script says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    /// `$name`, under which etc/rc.conf.d may have a file of it.
    name: String,
    /// The variable that switches it; without one it always runs.
    switch: Option<String>,
    /// The value that the script gives the variable when no file does.
    default: Option<String>,
    order: Order,
}

impl Script {
    fn of(text: &str, file_name: &str) -> Self {
        let name = shell::last(text, "name").map_or_else(|| file_name.to_owned(), |name| name.value);
        let switch = shell::last(text, "rcvar").map(|switch| match switch.value.as_str() {
            // `rcvar=`set_rcvar`` and `rcvar=$(set_rcvar)`: FreeBSD 8 and before
            value if value.contains("set_rcvar") => format!("{name}_enable"),
            value => value.replace("${name}", &name).replace("$name", &name),
        });
        let default = switch.as_ref().and_then(|switch| default_of(text, switch));
        let mut order = Order::default();
        for line in text.lines() {
            let Some((key, words)) = line.strip_prefix("# ").and_then(|line| line.split_once(':')) else {
                continue;
            };
            let words = words.split_whitespace().map(str::to_owned);
            match key {
                "REQUIRE" => order.after.extend(words),
                "PROVIDE" => order.provides.extend(words),
                _ => {}
            }
        }
        Self { name, switch, default, order }
    }

    /// The files with its variable, in the order in which they are read.
    fn files(&self) -> impl Iterator<Item = String> {
        let own = ["etc/rc.conf.d", "usr/local/etc/rc.conf.d"].map(|dir| format!("{dir}/{}", self.name));
        VARIABLES.map(str::to_owned).into_iter().chain(own)
    }

    fn enabled(&self, root: &Root, path: &str) -> Result<Enabled> {
        let Some(switch) = &self.switch else {
            return Ok(Enabled::Yes(path.to_owned())); // no rcvar: it always runs
        };
        let mut said = None;
        for file in self.files() {
            let text = root.text_opt(&file)?.unwrap_or_default();
            if let Some(found) = shell::last(&text, switch) {
                said = Some((found.value, format!("{file}:{}", found.line)));
            }
        }
        let default = || Some((self.default.clone()?, path.to_owned()));
        let Some((value, source)) = said.or_else(default) else {
            return Ok(Enabled::No(format!("{switch} is not set in etc/rc.conf")));
        };
        Ok(match is_yes(&value) {
            true => Enabled::Yes(source),
            false => Enabled::No(format!("{source}: {switch}=\"{value}\"")),
        })
    }
}

/// `: ${nova_agent_enable:="NO"}` or `${nova_agent_enable:-NO}`
fn default_of(text: &str, switch: &str) -> Option<String> {
    for operator in [":=", ":-", "=", "-"] {
        let start = format!("${{{switch}{operator}");
        if let Some((_, rest)) = text.split_once(&start) {
            let (value, _) = rest.split_once('}')?;
            return Some(value.trim_matches(['"', '\'']).to_owned());
        }
    }
    None
}

/// checkyesno of rc.subr.
fn is_yes(value: &str) -> bool {
    ["yes", "true", "on", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::facts::tree::Tree;
    use proptest::prelude::*;

    const SCRIPT: &str = "#!/bin/sh\n# PROVIDE: novaagent\n# BEFORE: netif\n# REQUIRE: FILESYSTEMS xenguest\n\
        . /etc/rc.subr\nname=\"novaagent\"\nrcvar=\"nova_agent_enable\"\nload_rc_config $name\n";

    fn service(script: &str, files: &[(&str, &str)]) -> Service {
        let path = "usr/local/etc/rc.d/nova-agent";
        let tree = Tree::of(&[&[(path, script)], files].concat());
        std::fs::set_permissions(tree.path().join(path), PermissionsExt::from_mode(0o755)).unwrap();
        named(&tree.root(), "nova-agent").unwrap().unwrap()
    }

    #[test]
    fn the_last_assignment_of_the_variable_counts() {
        let yes = |text: &str| Enabled::Yes(text.to_owned());
        let no = |text: &str| Enabled::No(text.to_owned());
        let rows: [(&[(&str, &str)], Enabled); 7] = [
            (&[], no("nova_agent_enable is not set in etc/rc.conf")),
            (&[("etc/rc.conf", "a=b\nnova_agent_enable=\"YES\"\n")], yes("etc/rc.conf:2")),
            (
                &[("etc/rc.conf", "#nova_agent_enable=\"YES\"\n")],
                no("nova_agent_enable is not set in etc/rc.conf"),
            ),
            (
                &[("etc/rc.conf", "nova_agent_enable=YES\nnova_agent_enable=no\n")],
                no("etc/rc.conf:2: nova_agent_enable=\"no\""),
            ),
            (
                &[
                    ("etc/defaults/rc.conf", "nova_agent_enable=NO\n"),
                    ("etc/rc.conf", "nova_agent_enable=NO\n"),
                    ("etc/rc.conf.local", "nova_agent_enable='on'\n"),
                ],
                yes("etc/rc.conf.local:1"),
            ),
            (
                &[
                    ("etc/rc.conf", "nova_agent_enable=YES\n"),
                    ("etc/rc.conf.d/novaagent", "nova_agent_enable=NO\n"),
                ],
                no("etc/rc.conf.d/novaagent:1: nova_agent_enable=\"NO\""),
            ),
            (
                &[("etc/rc.conf", "nova_agent_enable=maybe\n")],
                no("etc/rc.conf:1: nova_agent_enable=\"maybe\""),
            ),
        ];
        for (files, expected) in rows {
            assert_eq!(service(SCRIPT, files).enabled, expected, "{files:?}");
        }
    }

    #[test]
    fn the_switch_is_what_the_script_says() {
        let path = "usr/local/etc/rc.d/nova-agent";
        for (script, expected) in [
            ("name=x\nrcvar=`set_rcvar`\n: ${x_enable:=\"YES\"}\n", Enabled::Yes(path.to_owned())),
            (
                "name=x\nrcvar=\"${name}_enable\"\n: ${x_enable:=NO}\n",
                Enabled::No(format!("{path}: x_enable=\"NO\"")),
            ),
            ("name=x\n", Enabled::Yes(path.to_owned())),
        ] {
            assert_eq!(service(script, &[]).enabled, expected);
        }
    }

    #[test]
    fn the_order_is_in_the_comments() {
        let order = service(SCRIPT, &[]).order.unwrap();
        assert_eq!(
            (order.after, order.provides),
            (vec!["FILESYSTEMS".to_owned(), "xenguest".to_owned()], vec!["novaagent".to_owned()])
        );
    }

    #[test]
    fn a_script_that_may_not_be_executed_does_not_run() {
        let tree = Tree::of(&[("etc/rc.d/a", SCRIPT), ("etc/rc.conf", "nova_agent_enable=YES\n")]);
        let service = named(&tree.root(), "a").unwrap().unwrap();
        assert_eq!(service.enabled, Enabled::No("etc/rc.d/a may not be executed".to_owned()));
    }

    proptest! {
        #[test]
        fn any_script_is_read(text in "[a-c$`{}:=\"\n# ]{0,60}") {
            Script::of(&format!("name=a\nrcvar=a\n{text}"), "x");
        }
    }
}
