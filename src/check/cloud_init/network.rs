//! `cloud-init-network`: one owner of the network, and where the agent runs that is the agent.

use anyhow::{Context, Result, bail};

use super::{of_running, with_left_out};
use crate::check::Finding;
use crate::facts::agents::Agent;
use crate::facts::cloud_init::{CloudInit, NO_NETWORK as BODY, NO_NETWORK_STEM as STEM, Starts};
use crate::plan::{FileChange, Plan};
use crate::target::Target;

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    if !target.has_agent_at_boot() {
        return Ok(vec![Finding::skipped("no agent starts: the network is not the agent's")]);
    }
    let agent = target.agents().all.iter().find(|agent| agent.is_enabled());
    let agent = agent.map_or_else(|| "the new agent".to_owned(), Agent::title);
    of_running(target, |cloud_init| {
        if let Some((source, text)) = cloud_init.network_off() {
            return Ok(vec![Finding::ok("cloud-init leaves the network alone").seen(source, text)]);
        }
        let Starts::Yes(source) = &cloud_init.starts else { return Ok(Vec::new()) };
        let mut finding = Finding::fail("cloud-init writes network configuration beside the agent")
            .because(
                "what it writes, DHCP on the first NIC where it finds no data, stands beside or over the \
                 addresses that the agent wrote",
            )
            .seen(source, format!("starts cloud-init; {agent} starts as well"));
        if let Some(said) = cloud_init.said(&["network"]) {
            finding = finding.seen(said.source, "network: something else than {config: disabled}");
        }
        let command = format!("echo '{}' > /etc/cloud/cloud.cfg.d/99-{STEM}.cfg", BODY.trim_end());
        Ok(vec![
            with_left_out(finding, cloud_init)
                .mend("switch off its network configuration in /etc/cloud/cloud.cfg.d")
                .by(&["sh", "-c", &command]),
        ])
    })
}

pub(super) fn fix(target: &Target) -> Result<Plan> {
    let cloud_init =
        CloudInit::of(&target.root, target.services())?.context("cloud-init is not installed")?;
    if cloud_init.network_off().is_some() {
        bail!("it is switched off already");
    }
    let path = cloud_init.place_for(&target.root, "network", STEM)?;
    let title = "leave the network to the agent".to_owned();
    Ok(Plan { verb: "fix", title, files: vec![FileChange::write(path, BODY)], ..Plan::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::cloud_init::tests::INSTALLED;
    use crate::facts::tree::Tree;
    use crate::root::Node;
    use crate::xenstore::Source;

    fn fixed(files: &[(&str, &str)]) -> Result<Vec<String>> {
        let tree = Tree::of(&[&INSTALLED[..], files].concat());
        let target = Target::offline(tree.path(), Source::None)?;
        let prepared = fix(&target)?.prepare(&target.root)?;
        let results = prepared.results().map(|(path, node)| (path.to_owned(), node.clone()));
        for (path, node) in results.collect::<Vec<_>>() {
            target.root.put(&path, &node)?;
            assert!(matches!(node, Node::File(file) if file.body == BODY.as_bytes()));
        }
        let after = CloudInit::of(&target.root, target.services())?.unwrap();
        Ok(after.network_off().into_iter().map(|(source, _)| source).collect())
    }

    #[test]
    fn the_fix_has_the_last_word_whatever_the_other_files_say() {
        assert_eq!(fixed(&[]).unwrap(), ["etc/cloud/cloud.cfg.d/99-disable-network-config.cfg:1"]);
        let late = ("etc/cloud/cloud.cfg.d/99-z.cfg", "network: {version: 1, config: [{type: physical}]}\n");
        assert_eq!(fixed(&[late]).unwrap(), ["etc/cloud/cloud.cfg.d/zz-disable-network-config.cfg:1"]);
        let broken = ("etc/cloud/cloud.cfg.d/99-disable-network-config.cfg", "network: {config: disabled\n");
        assert_eq!(fixed(&[broken]).unwrap(), ["etc/cloud/cloud.cfg.d/zz-disable-network-config.cfg:1"]);
        let last = ("etc/cloud/cloud.cfg.d/zzzz.cfg", "network: {version: 2}\n");
        assert!(format!("{:#}", fixed(&[last]).unwrap_err()).contains("zzzz.cfg has the last word"));
    }
}
