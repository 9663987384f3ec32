//! The source's name, taken away from every file that says it.
//!
//! A copy's first boot sets its own. An empty file is that of a system without a name: the agent has one to replace,
//! and until then every init system takes `localhost` (hostname(5); Debian's hostname.sh; OpenRC's init.d/hostname). A
//! variable says `localhost`, as stock systems do: FreeBSD and Gentoo complain of an empty one. So do the copies that
//! agent 2.x left beside the file, of which a lost name is put back.

use anyhow::Result;

use crate::commands::hostname::with_value;
use crate::facts::names;
use crate::plan::{FileChange, Plan};
use crate::target::Target;

const NONE: &str = "localhost";

pub(super) fn plan(target: &Target) -> Result<Plan> {
    let mut plan = Plan::default();
    for source in names::said(target)?.into_iter().filter(|source| !names::is_placeholder(&source.name)) {
        let body = match source.variable {
            None => Some(String::new()),
            Some(variable) => {
                let text = target.root.text_opt(source.path)?.unwrap_or_default();
                with_value(&text, variable, NONE, false)
            }
        };
        plan.files.extend(body.map(|body| FileChange::write(source.path, body)));
    }
    for path in names::backups(&target.root)? {
        plan.files.push(FileChange::Remove { path });
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    const SYSTEMD: (&str, &str) = ("usr/lib/systemd/systemd", "");

    /// The files that change, each with its new text; `None`: it goes.
    fn planned(files: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let tree = Tree::of(files);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        let text = |change: &FileChange| match change {
            FileChange::Write { body, .. } => Some(String::from_utf8(body.clone()).unwrap()),
            _ => None,
        };
        let plan = plan(&target).unwrap();
        plan.files.iter().map(|change| (change.path().to_owned(), text(change))).collect()
    }

    fn one(path: &str, text: &str) -> Vec<(String, Option<String>)> {
        vec![(path.to_owned(), Some(text.to_owned()))]
    }

    #[test]
    fn every_file_that_says_the_name_loses_it() {
        let el6 = ("etc/redhat-release", "CentOS release 6.10 (Final)\n");
        let sysconfig = |text| [el6, ("etc/rc.d/rc.sysinit", ""), ("etc/sysconfig/network", text)];
        assert_eq!(planned(&[SYSTEMD, ("etc/hostname", "web01\n")]), one("etc/hostname", ""));
        assert_eq!(
            planned(&sysconfig("NETWORKING=yes\nHOSTNAME=web01\n")),
            one("etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=\"localhost\"\n")
        );
        let gentoo =
            [("sbin/openrc", ""), ("etc/hostname", "a"), ("etc/conf.d/hostname", "hostname=\"a\"\n")];
        assert_eq!(
            planned(&gentoo),
            [one("etc/hostname", ""), one("etc/conf.d/hostname", "hostname=\"localhost\"\n")].concat()
        );
        for files in [
            &[SYSTEMD, ("etc/hostname", "localhost\n")][..],
            &[SYSTEMD, ("etc/hostname", "# none\n")],
            &[SYSTEMD],
            &sysconfig("HOSTNAME=localhost.localdomain\n"),
        ] {
            assert_eq!(planned(files), [], "{files:?}");
        }
    }

    #[test]
    fn backups_of_the_name_go_as_well() {
        let backup = ("etc/hostname.1700000000.25.bak", "web01\n");
        assert_eq!(planned(&[SYSTEMD, backup]), [(backup.0.to_owned(), None)]);
    }
}
