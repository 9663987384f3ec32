//! OpenRC services: openrc-run(8), rc-update(8).

use anyhow::Result;

use super::{Enabled, Init, Order, Service};
use crate::root::Root;

/// The runlevels that a boot passes.
const LEVELS: [&str; 3] = ["sysinit", "boot", "default"];

/// Returns the service of this name, or `None`.
pub(super) fn find(root: &Root, name: &str) -> Result<Option<Service>> {
    let path = format!("etc/init.d/{name}");
    let Some(script) = root.text_opt(&path)? else { return Ok(None) };
    let mut enabled = Enabled::No("no link in etc/runlevels/default".to_owned());
    for level in LEVELS {
        let link = format!("etc/runlevels/{level}/{name}");
        if root.lstat_opt(&link)?.is_some() {
            enabled = Enabled::Yes(link);
            break;
        }
    }
    let order = Some(Order { after: after(&script), ..Order::default() });
    Ok(Some(Service { name: name.to_owned(), init: Init::OpenRc, path, enabled, unit: None, order }))
}

/// Reads `need`, `use`, `want` and `after` in the script's `depend` function.
fn after(script: &str) -> Vec<String> {
    let lines = script.lines().map(str::trim).skip_while(|line| !line.starts_with("depend()")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('}'));
    let mut after = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("need" | "use" | "want" | "after")) {
            after.extend(words.take_while(|word| !word.starts_with('#')).map(str::to_owned));
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_needs_comes_first() {
        let script = "#!/sbin/openrc-run\nneed no\ndepend() {\n\tneed localmount # yes\n\tafter xe-guest-utilities\n\tbefore net\n}\n after no\n";
        assert_eq!(after(script), ["localmount", "xe-guest-utilities"]);
    }
}
