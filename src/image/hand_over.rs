//! Giving a system to cloud-init: the agent does not start, cloud-init does, and it configures the network.
//!
//! An agent is switched off by the names of its own services, never by a pattern.

use anyhow::{Result, bail};

use crate::facts::cloud_init::{CloudInit, DISABLED, Starts};
use crate::facts::init::{Enabled, Init, Service};
use crate::glob;
use crate::plan::{FileChange, Plan};
use crate::root::Root;
use crate::target::Target;

/// What an image needs when cloud-init configures its servers, as the image service takes it.
pub const PROPERTIES: [(&str, &str); 3] =
    [("img_config_drive", "mandatory"), ("vm_mode", "hvm"), ("xenapi_use_agent", "False")];

/// Plans it.
///
/// # Errors
/// cloud-init is not installed, or something that only hands can change keeps it from starting or from the network.
pub fn plan(target: &Target) -> Result<Plan> {
    let root = &target.root;
    let Some(cloud_init) = CloudInit::of(root, target.services())? else {
        bail!("cloud-init is not installed: install it in the system first");
    };
    // FreeBSD's scripts have names of their own, which are not known here
    if let Starts::No(source, reason) = &cloud_init.would_start
        && target.services().init != Init::BsdRc
    {
        bail!("cloud-init does not start ({source}: {reason}): switch it on first");
    }
    let mut plan = Plan::default();
    if root.exists(DISABLED) {
        plan.files.push(FileChange::Remove { path: DISABLED.to_owned() });
    }
    if let Some((source, word)) = cloud_init.network_off()
        && !source.starts_with("etc/cloud/")
    {
        bail!("{source} says {word}: take it out of the boot loader's configuration");
    }
    let switching_off =
        cloud_init.files_with(["network", "config"]).filter(|(_, value)| *value == Some("disabled"));
    for (path, _) in switching_off {
        let text = root.text_opt(path)?.unwrap_or_default();
        let rest = without_network(&text);
        if rest == text {
            bail!("{path} switches off the network of cloud-init: edit it by hand");
        }
        plan.files.push(FileChange::write(path, rest));
    }
    for service in target.agents().all.iter().flat_map(|agent| &agent.services) {
        if let Enabled::Yes(source) = &service.enabled {
            plan.files.extend(switched_off(root, service, source)?);
        }
    }
    Ok(plan)
}

/// Returns a file of cloud-init without its top-level key `network`.
fn without_network(text: &str) -> String {
    let mut is_dropping = false;
    let keeps = |line: &&str| {
        let begins_key = line.starts_with(|c: char| !c.is_whitespace());
        if begins_key {
            is_dropping = line.split(':').next().is_some_and(|key| key.trim_end() == "network");
        }
        !is_dropping
    };
    text.split_inclusive('\n').filter(keeps).collect()
}

/// The changes after which a service does not start at boot.
fn switched_off(root: &Root, service: &Service, source: &str) -> Result<Vec<FileChange>> {
    let name = &service.name;
    let mut changes = Vec::new();
    let places: &[(&str, &[&str], String)] = &[
        ("etc/systemd/system", &["*.wants", "*.requires"], format!("{name}.service")),
        ("etc", &["rc[0-9S].d"], format!("S[0-9][0-9]{name}")),
        ("etc/rc.d", &["rc[0-9S].d"], format!("S[0-9][0-9]{name}")),
        ("etc/runlevels", &["*"], name.clone()),
    ];
    let mut seen = Vec::new();
    for (parent, dirs, link) in places {
        for dir in root.read_dir(parent)?.into_iter().map(|entry| entry.name) {
            if !dirs.iter().any(|pattern| glob::matches(pattern, &dir)) {
                continue;
            }
            for entry in root.read_dir(&format!("{parent}/{dir}"))? {
                let path = format!("{parent}/{dir}/{}", entry.name);
                // etc/rc3.d is a link to etc/rc.d/rc3.d on some
                let real = root.resolve(&format!("{parent}/{dir}"))?.unwrap_or_default();
                let real = format!("{real}/{}", entry.name);
                if glob::matches(link, &entry.name) && !seen.contains(&real) {
                    seen.push(real);
                    changes.push(FileChange::Remove { path });
                }
            }
        }
    }
    match service.init {
        Init::Upstart => changes.push(FileChange::write(format!("etc/init/{name}.override"), "manual\n")),
        Init::BsdRc => {
            let variable = format!("{}_enable=\"NO\"\n", name.replace('-', "_"));
            let mut text = root.text_opt("etc/rc.conf")?.unwrap_or_default();
            text.push_str(&variable);
            changes.push(FileChange::write("etc/rc.conf", text));
        }
        // a link of the package itself: only a mask is stronger
        Init::Systemd if !source.starts_with("etc/") => {
            let path = format!("etc/systemd/system/{name}.service");
            changes.push(FileChange::Link { path, to: "/dev/null".to_owned() });
        }
        _ => {}
    }
    if changes.is_empty() {
        bail!("{source} starts {name}: switch it off by hand");
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::cloud_init::tests::INSTALLED;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    #[test]
    fn cloud_init_that_does_not_start_is_refused_unless_a_file_alone_keeps_it() {
        let refusal = |tree: Tree| {
            let target = Target::offline(tree.path(), Source::None).unwrap();
            plan(&target).map(|plan| format!("{:?}", plan.files)).unwrap_or_else(|e| e.to_string())
        };
        let disabled = (DISABLED, "");
        let with = |files: &[(&str, &str)]| Tree::of(&[&INSTALLED[..], files].concat());
        assert_eq!(refusal(with(&[])), "[]");
        assert_eq!(refusal(with(&[disabled])), format!("[Remove({DISABLED})]"));
        let off =
            "cloud-init does not start (the init system: nothing starts cloud-init): switch it on first";
        let masked = "etc/systemd/system/cloud-init-local.service";
        assert_eq!(refusal(with(&[disabled]).link(masked, "/dev/null")), off);
        assert_eq!(refusal(Tree::of(&[&INSTALLED[..2], &[disabled]].concat())), off);
        let line = ("proc/cmdline", "root=/dev/xvda1 cloud-init=disabled\n");
        assert_eq!(
            refusal(with(&[disabled, line])),
            "cloud-init does not start (proc/cmdline: cloud-init=disabled): switch it on first"
        );
    }

    #[test]
    fn only_the_key_network_goes() {
        for (text, want) in [
            ("a: 1\nnetwork:\n  config: disabled\nb: 2\n", "a: 1\nb: 2\n"),
            ("network: {config: disabled}\n", ""),
            ("# x\nnetwork : {config: disabled}\n# y\n", "# x\n# y\n"),
            (
                "networks: 1\nx:\n  network: {config: disabled}\n",
                "networks: 1\nx:\n  network: {config: disabled}\n",
            ),
        ] {
            assert_eq!(without_network(text), want);
        }
    }
}
