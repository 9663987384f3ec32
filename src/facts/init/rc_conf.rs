//! FreeBSD's rc: rc(8), rc.conf(5), rc.subr(8).

use anyhow::Result;

use super::{Enabled, Init, Service};
use crate::root::Root;

/// Where scripts are.
const DIRS: [&str; 2] = ["etc/rc.d", "usr/local/etc/rc.d"];
/// Where variables are set, the last one wins.
const FILES: [&str; 3] = ["etc/defaults/rc.conf", "etc/rc.conf", "etc/rc.conf.local"];

/// Returns the script of this name, or `None`.
pub(super) fn find(root: &Root, name: &str) -> Result<Option<Service>> {
    for dir in DIRS {
        let path = format!("{dir}/{name}");
        let Some(script) = root.text_opt(&path)? else { continue };
        let variable = variable(&script, name);
        let own = format!("etc/rc.conf.d/{name}");
        let mut enabled = Enabled::No(format!("etc/rc.conf: no {variable}"));
        for file in FILES.into_iter().chain([own.as_str()]) {
            let Some(text) = root.text_opt(file)? else { continue };
            for (number, line) in text.lines().enumerate() {
                if let Some(value) = assigned(line, &variable) {
                    let source = format!("{file}:{}", number + 1);
                    enabled = if is_yes(value) {
                        Enabled::Yes(source)
                    } else {
                        Enabled::No(format!("{source}: {}", line.trim()))
                    };
                }
            }
        }
        let name = name.to_owned();
        return Ok(Some(Service { name, init: Init::BsdRc, path, enabled, unit: None, order: None }));
    }
    Ok(None)
}

/// Returns the variable that switches a script on: its `rcvar`, with `${name}` filled in, else `NAME_enable`.
fn variable(script: &str, file: &str) -> String {
    let lines = || script.lines().map(str::trim);
    let name = lines().find_map(|line| assigned(line, "name")).unwrap_or(file);
    match lines().find_map(|line| assigned(line, "rcvar")) {
        Some(rcvar) if !rcvar.contains('`') && !rcvar.contains("$(") => {
            rcvar.replace("${name}", name).replace("$name", name)
        }
        _ => format!("{}_enable", name.replace('-', "_")),
    }
}

fn assigned<'l>(line: &'l str, variable: &str) -> Option<&'l str> {
    let value = line.trim().strip_prefix(variable)?.strip_prefix('=')?;
    let value = value.trim_start();
    Some(match value.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => value[1..].split(char::from(*quote)).next().unwrap_or_default(),
        _ => value.split([' ', '\t', ';', '#']).next().unwrap_or_default(),
    })
}

/// rc.subr's `checkyesno`.
fn is_yes(value: &str) -> bool {
    ["yes", "true", "on", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_the_scripts_own() {
        assert_eq!(variable("name=novaagent\nrcvar=nova_agent_enable\n", "nova-agent"), "nova_agent_enable");
        assert_eq!(variable("name=\"x\"\nrcvar=\"${name}_enable\"\n", "y"), "x_enable");
        assert_eq!(variable("name=\"novaagent\"\nrcvar=`set_rcvar`\n", "nova-agent"), "novaagent_enable");
        assert_eq!(variable("", "nova-agent"), "nova_agent_enable");
    }

    #[test]
    fn values_are_read_with_their_quotes() {
        assert_eq!(assigned("a_enable=\"YES\" # on", "a_enable"), Some("YES"));
        assert_eq!(assigned("a_enable=NO # off", "a_enable"), Some("NO"));
        assert_eq!(assigned("ba_enable=YES", "a_enable"), None);
    }
}
