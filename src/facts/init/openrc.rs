//! OpenRC services: scripts in etc/init.d, started by links in etc/runlevels (openrc-run(8)).

use anyhow::Result;

use super::{Enabled, Init, Order, Service};
use crate::facts::shell;
use crate::root::Root;

/// The runlevels that a boot enters (openrc, default configuration).
const RUNLEVELS: [&str; 3] = ["sysinit", "boot", "default"];

/// Returns the service of this name; `None` where there is no script of it.
///
/// # Errors
/// A file of it cannot be read.
pub(super) fn named(root: &Root, name: &str) -> Result<Option<Service>> {
    let path = format!("etc/init.d/{name}");
    let Some(text) = root.text_opt(&path)? else { return Ok(None) };
    let settings = root.text_opt(&format!("etc/conf.d/{name}"))?.unwrap_or_default();
    let enabled = enabled(root, name)?;
    let order = Some(order(&text, &settings));
    let name = name.to_owned();
    Ok(Some(Service { name, init: Init::OpenRc, path, enabled, unit: None, order }))
}

fn enabled(root: &Root, name: &str) -> Result<Enabled> {
    for level in RUNLEVELS {
        let link = format!("etc/runlevels/{level}/{name}");
        if root.lstat_opt(&link)?.is_some() {
            return Ok(Enabled::Yes(link));
        }
    }
    for entry in root.read_dir("etc/runlevels")? {
        let link = format!("etc/runlevels/{}/{name}", entry.name);
        if root.lstat_opt(&link)?.is_some() {
            return Ok(Enabled::No(format!("{link}, but boot does not enter the runlevel {}", entry.name)));
        }
    }
    Ok(Enabled::No("no link in etc/runlevels/default".to_owned()))
}

/// Reads the script's `depend()`, and what conf.d adds to it (`rc_need`, `rc_use`, …).
fn order(script: &str, settings: &str) -> Order {
    let mut order = Order::default();
    let mut take = |key: &str, value: &str| {
        // `!name` takes a dependency back, options such as `-uucp` do not name a service
        let words = value.split_whitespace().filter(|word| !word.starts_with(['!', '-', '#']));
        match key {
            "need" | "use" | "want" | "after" => order.after.extend(words.map(str::to_owned)),
            "provide" => order.provides.extend(words.map(str::to_owned)),
            _ => {}
        }
    };
    let mut is_depend = false;
    for line in script.lines().map(str::trim) {
        let line = line.split(" #").next().unwrap_or_default();
        if line.starts_with("depend()") || line.starts_with("depend ()") {
            is_depend = true;
        } else if line == "}" {
            is_depend = false;
        } else if let Some((key, value)) = line.split_once(char::is_whitespace).filter(|_| is_depend) {
            take(key, value);
        }
    }
    for assignment in shell::assignments(settings) {
        if let Some(key) = assignment.name.strip_prefix("rc_") {
            take(key, &assignment.value);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use proptest::prelude::*;

    const SCRIPT: &str = "#!/sbin/openrc-run\ndescription=\"agent\"\ndepend() {\n\tneed localmount # disk\n\tuse net -x\n\
        \tafter xe-guest-utilities !bootmisc\n\tbefore sshd\n\tprovide agent\n}\nstart() {\n\tneed nothing\n}\n";

    #[test]
    fn a_link_in_a_runlevel_of_the_boot_enables() {
        for (link, expected) in [
            (Some("default"), Enabled::Yes("etc/runlevels/default/agent".into())),
            (Some("boot"), Enabled::Yes("etc/runlevels/boot/agent".into())),
            (
                Some("nonetwork"),
                Enabled::No(
                    "etc/runlevels/nonetwork/agent, but boot does not enter the runlevel nonetwork".into(),
                ),
            ),
            (None, Enabled::No("no link in etc/runlevels/default".into())),
        ] {
            let mut tree = Tree::of(&[("etc/init.d/agent", SCRIPT)]);
            if let Some(level) = link {
                tree = tree.link(&format!("etc/runlevels/{level}/agent"), "/etc/init.d/agent");
            }
            assert_eq!(named(&tree.root(), "agent").unwrap().unwrap().enabled, expected);
        }
    }

    #[test]
    fn the_order_is_what_depend_and_conf_d_say() {
        let tree = Tree::of(&[("etc/init.d/agent", SCRIPT), ("etc/conf.d/agent", "rc_need=\"xe-daemon\"\n")]);
        let order = named(&tree.root(), "agent").unwrap().unwrap().order.unwrap();
        assert_eq!(order.after, ["localmount", "net", "xe-guest-utilities", "xe-daemon"]);
        assert_eq!((order.provides, order.starts), (vec!["agent".to_owned()], vec![]));
    }

    proptest! {
        #[test]
        fn any_text_is_read(script in "[a-e(){}#! \n]{0,60}", settings in any::<String>()) {
            order(&format!("depend()\n{script}"), &settings);
        }
    }
}
