//! `golden-image`: what the provider's own images have and this one lacks, one finding per deviation.
//!
//! What a check of its own judges (the agent, the tools, root's login, addresses, names of NICs) is not repeated here. One
//! more item is a function in [`ITEMS`]. Source: the provider's public image recipes.

use anyhow::{Result, bail};

use crate::check::Finding;
use crate::facts::agents::{Agent, Kind};
use crate::facts::cloud_init::{CloudInit, Starts};
use crate::facts::init::Enabled;
use crate::facts::os::{Base, Family};
use crate::net::assignments;
use crate::net::ipv6::sysctl_files;
use crate::plan::{FileChange, Plan};
use crate::target::Target;

/// One thing that differs.
struct Deviation {
    finding: Finding,
    /// What mends it; nothing where only hands can.
    changes: Vec<FileChange>,
}

type Item = fn(&Target) -> Result<Vec<Deviation>>;

const ITEMS: [Item; 6] =
    [agent_unit, cloud_init, arp_notify, net_generator, sysconfig_network, network_manager];

/// cloud-init beside the agent (10_rackspace.cfg of the images).
const SETTINGS: [(&str, &str, &str); 5] = [
    ("preserve_hostname", "true", "cloud-init sets another name than the agent"),
    ("ssh_deletekeys", "False", "cloud-init removes host keys that the image means to have"),
    ("manage_etc_hosts", "localhost", "the server's own name does not resolve"),
    ("disable_root", "False", "root cannot log in with a key"),
    ("ssh_pwauth", "True", "nobody can log in with the password that the agent sets"),
];

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    if target.os().family != Family::Linux {
        return Ok(vec![Finding::skipped("the images to compare with are of Linux")]);
    }
    let found: Vec<Finding> = deviations(target)?.into_iter().map(|deviation| deviation.finding).collect();
    Ok(if found.is_empty() { vec![Finding::ok("as the provider's own images")] } else { found })
}

pub(super) fn fix(target: &Target) -> Result<Plan> {
    let mut plan = Plan { verb: "fix", title: "as the provider's own images".to_owned(), ..Plan::default() };
    for deviation in deviations(target)? {
        plan.merge(Plan { files: deviation.changes, ..Plan::default() }, &target.root)?;
    }
    if plan.files.is_empty() {
        bail!("it has to be mended by hand");
    }
    Ok(plan)
}

fn deviations(target: &Target) -> Result<Vec<Deviation>> {
    let mut found = Vec::new();
    for item in ITEMS {
        found.extend(item(target)?);
    }
    Ok(found)
}

/// 2.x under systemd: what uses the network at boot waits until the agent has written it. Nothing here is mended by a
/// plan, since one more order can close a cycle.
fn agent_unit(target: &Target) -> Result<Vec<Deviation>> {
    const AFTER: [&str; 4] =
        ["network-online.target", "cloud-init.service", "cloud-init-local.service", "network-pre.target"];
    let agents = target.agents().all.iter().filter(|agent| agent.kind == Kind::Nova2 && agent.is_enabled());
    let units =
        agents.filter_map(Agent::service).filter_map(|service| Some((service, service.unit.as_ref()?)));
    let mut found = Vec::new();
    for (service, unit) in units {
        let (name, path) = (&service.name, &service.path);
        let mut differs = |title: String, text: &str, remedy: &str| {
            let finding = Finding::warn(title)
                .because("the first boot of a copy goes on before it has its addresses and its password")
                .seen(path, text)
                .about(name)
                .mend(format!("{remedy} in {name}.service, as in the unit of the package"))
                .by_hand();
            found.push(Deviation { finding, changes: Vec::new() });
        };
        if !unit.words("Unit", "Before").iter().any(|before| AFTER.contains(before)) {
            let remedy = "Before=network-online.target cloud-init.service";
            differs(
                format!("nothing waits for {name} at boot"),
                "no Before= names what uses the network",
                remedy,
            );
        }
        let kind = unit.last("Service", "Type").map_or("simple", |kind| kind.value.as_str());
        if kind != "notify" {
            let title = format!("{name} does not say when it is ready");
            differs(title, &format!("Type={kind}"), "Type=notify");
        }
    }
    Ok(found)
}

fn cloud_init(target: &Target) -> Result<Vec<Deviation>> {
    let Some(cloud_init) = CloudInit::of(&target.root, target.services())? else { return Ok(Vec::new()) };
    if !matches!(cloud_init.starts, Starts::Yes(_)) || !target.has_agent_at_boot() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut body = String::new();
    let mut places = Vec::new();
    for (key, wanted, why) in SETTINGS {
        let said = cloud_init.said(&[key]);
        let value = said.as_ref().and_then(|said| said.node.text());
        if value.is_some_and(|value| value.eq_ignore_ascii_case(wanted)) {
            continue;
        }
        let (source, text) = match &said {
            Some(said) => (said.source.clone(), format!("{key}: {}", value.unwrap_or("…"))),
            None => ("etc/cloud".to_owned(), format!("no {key}: cloud-init's default holds")),
        };
        let finding = Finding::warn(format!("cloud-init: {key} is not {wanted}"))
            .because(why)
            .seen(source, text)
            .about(key)
            .mend(format!("{key}: {wanted} in the last file of /etc/cloud/cloud.cfg.d"));
        found.push(Deviation { finding, changes: Vec::new() });
        if let Ok(place) = cloud_init.place_for(&target.root, key, "golden-image") {
            places.push(place);
            body.push_str(&format!("{key}: {wanted}\n"));
        }
    }
    // one file for all of them, the one that is stronger than each
    if let (Some(place), Some(first)) = (places.into_iter().max(), found.first_mut()) {
        first.changes = vec![FileChange::write(place, body)];
    }
    Ok(found)
}

/// A copy with another MAC tells its neighbours at once.
fn arp_notify(target: &Target) -> Result<Vec<Deviation>> {
    const KEY: &str = "net.ipv4.conf.eth0.arp_notify";
    let root = &target.root;
    let files = sysctl_files(root);
    let (mut of_all, mut of_eth0) = (None, None);
    for path in &files {
        let text = root.text_opt(path)?.unwrap_or_default();
        for (place, line) in text.lines().enumerate() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let key = key.trim().trim_start_matches('-').replace('/', ".");
            let link = key.strip_prefix("net.ipv4.conf.").and_then(|key| key.strip_suffix(".arp_notify"));
            let last = match link {
                Some("all") => &mut of_all,
                Some("eth0" | "default") => &mut of_eth0,
                _ => continue,
            };
            *last = Some((format!("{path}:{}", place + 1), value.trim().to_owned()));
        }
    }
    // the kernel takes the greater of the two (include/linux/inetdevice.h, IN_DEV_ARP_NOTIFY)
    if [&of_all, &of_eth0].into_iter().flatten().any(|(_, value)| value == "1") {
        return Ok(Vec::new());
    }
    let (source, text) = match of_eth0.or(of_all) {
        Some((source, value)) => (source, format!("arp_notify = {value}")),
        None => ("etc/sysctl.d".to_owned(), "nothing sets arp_notify".to_owned()),
    };
    let finding = Finding::warn("eth0 does not tell its neighbours when it comes up")
        .because("the gateway goes on sending to the MAC of the server that had the address before")
        .seen(source, text)
        .about("arp_notify")
        .mend(format!("{KEY} = 1 in /etc/sysctl.d or /etc/sysctl.conf"));
    let change = set_last(target, &files, &format!("{KEY} = 1\n"))?;
    Ok(vec![Deviation { finding, changes: vec![change] }])
}

/// Adds a line where sysctl reads it after all that it reads now.
fn set_last(target: &Target, files: &[String], line: &str) -> Result<FileChange> {
    const MAIN: &str = "etc/sysctl.conf";
    const OWN: &str = "zz-arp-notify.conf";
    let root = &target.root;
    let has_dir = root.exists("etc/sysctl.d") || root.exists("usr/lib/sysctl.d");
    let last = files.last().map_or("", String::as_str);
    if !has_dir || last == MAIN {
        let mut text = root.text_opt(MAIN)?.unwrap_or_default();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        return Ok(FileChange::write(MAIN, text + line));
    }
    let last = last.rsplit('/').next().unwrap_or_default();
    let name = if last > OWN { format!("{last}-{OWN}") } else { OWN.to_owned() };
    Ok(FileChange::write(format!("etc/sysctl.d/{name}"), line))
}

/// udev of EL6, Debian 7 and Ubuntu 14.04 writes rules for each MAC that it meets: a copy's first NIC becomes eth1.
fn net_generator(target: &Target) -> Result<Vec<Deviation>> {
    const NAME: &str = "75-persistent-net-generator.rules";
    let root = &target.root;
    let own = format!("etc/udev/rules.d/{NAME}");
    let generator = ["lib/udev/rules.d", "usr/lib/udev/rules.d"].iter().map(|dir| format!("{dir}/{NAME}"));
    let Some(generator) = generator.into_iter().find(|path| root.exists(path)) else { return Ok(Vec::new()) };
    if root.lstat_opt(&own)?.is_some() {
        return Ok(Vec::new());
    }
    let finding = Finding::warn("udev gives the NICs of a copy new names: eth0 becomes eth2")
        .because("the configuration is for eth0, so the copy has no network")
        .seen(generator, "writes 70-persistent-net.rules for each MAC that it meets")
        .about(NAME)
        .mend(format!("an empty /{own} switches it off"));
    Ok(vec![Deviation { finding, changes: vec![FileChange::write(own, "")] }])
}

/// EL up to 8 with its network scripts.
fn sysconfig_network(target: &Target) -> Result<Vec<Deviation>> {
    const PATH: &str = "etc/sysconfig/network";
    let root = &target.root;
    let os = target.os();
    let has_scripts =
        root.exists("etc/sysconfig/network-scripts/ifup") || root.exists("etc/rc.d/init.d/network");
    if os.base != Base::RedHat || os.major().is_none_or(|major| major > 8) || !has_scripts {
        return Ok(Vec::new());
    }
    let text = root.text_opt(PATH)?.unwrap_or_default();
    let variables = assignments::parse(&text);
    let mut found = Vec::new();
    let mut added = text.clone();
    if !added.is_empty() && !added.ends_with('\n') {
        added.push('\n');
    }
    for key in ["NETWORKING", "NOZEROCONF", "NETWORKING_IPV6"] {
        let last = assignments::last(&variables, key);
        if last.is_some_and(|variable| variable.value.eq_ignore_ascii_case("yes")) {
            continue;
        }
        let (source, text) = match last {
            Some(variable) => (format!("{PATH}:{}", variable.line), format!("{key}={}", variable.value)),
            None => (PATH.to_owned(), format!("no {key}")),
        };
        let finding = Finding::warn(format!("{key} is not yes"))
            .because("the network scripts then leave out the network, IPv6, or add 169.254.0.0/16 routes")
            .seen(source, text)
            .about(key)
            .mend(format!("{key}=yes in /{PATH}"));
        // the last assignment holds
        added.push_str(&format!("{key}=yes\n"));
        found.push(Deviation { finding, changes: Vec::new() });
    }
    if let Some(first) = found.first_mut() {
        first.changes = vec![FileChange::write(PATH, added)];
    }
    Ok(found)
}

/// EL7: NetworkManager empties resolv.conf beside the agent, which uses the network scripts.
fn network_manager(target: &Target) -> Result<Vec<Deviation>> {
    let os = target.os();
    if os.base != Base::RedHat || os.major() != Some(7) {
        return Ok(Vec::new());
    }
    let starts = |name: &str| {
        let service = target.services().named(&target.root, name)?;
        Ok::<_, anyhow::Error>(service.filter(|service| matches!(service.enabled, Enabled::Yes(_))))
    };
    let (Some(manager), Some(_)) = (starts("NetworkManager")?, starts("network")?) else {
        return Ok(Vec::new());
    };
    let mask = |name: &str| FileChange::Link {
        path: format!("etc/systemd/system/{name}.service"),
        to: "/dev/null".to_owned(),
    };
    let finding = Finding::warn("NetworkManager runs beside the network scripts")
        .because("it empties resolv.conf after the agent has written it")
        .seen(manager.path, "starts at boot, and the service network does too")
        .about("NetworkManager")
        .mend("mask it")
        .by(&["systemctl", "mask", "NetworkManager", "NetworkManager-wait-online"]);
    Ok(vec![Deviation { finding, changes: vec![mask("NetworkManager"), mask("NetworkManager-wait-online")] }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use crate::xenstore::Source;

    const EL: &str = "ID=centos\nVERSION_ID=7\n";

    fn subjects(item: Item, files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of(files);
        let target = Target::offline(tree.path(), Source::None).unwrap();
        item(&target).unwrap().into_iter().filter_map(|deviation| deviation.finding.subject).collect()
    }

    #[test]
    fn arp_notify_is_the_last_value_that_reaches_eth0() {
        let of = |files: &[(&str, &str)]| subjects(arp_notify, files).len();
        let key = "net.ipv4.conf.eth0.arp_notify";
        assert_eq!(of(&[("etc/sysctl.conf", &format!("{key} = 1\n"))]), 0);
        assert_eq!(of(&[("etc/sysctl.d/a.conf", "net/ipv4/conf/all/arp_notify=1\n")]), 0);
        assert_eq!(of(&[("etc/sysctl.conf", &format!("#{key} = 1\n"))]), 1);
        let all = "net.ipv4.conf.all.arp_notify = 0\n";
        assert_eq!(of(&[("etc/sysctl.conf", &format!("{key} = 1\n{all}"))]), 0, "eth0's own is enough");
        assert_eq!(
            of(&[
                ("etc/sysctl.d/a.conf", &format!("{key} = 1\n")),
                ("etc/sysctl.d/b.conf", &format!("{key} = 0\n"))
            ]),
            1
        );
        assert_eq!(of(&[]), 1);
    }

    #[test]
    fn arp_notify_is_set_where_nothing_is_read_later() {
        let off = "net.ipv4.conf.eth0.arp_notify = 0\n";
        let systemd = ("usr/lib/systemd/systemd-sysctl", "x");
        for (files, place) in [
            (vec![("etc/sysctl.d/a.conf", "")], "etc/sysctl.d/zz-arp-notify.conf"),
            (vec![("etc/sysctl.d/a.conf", ""), ("etc/sysctl.conf", off)], "etc/sysctl.conf"),
            (
                vec![("etc/sysctl.d/a.conf", ""), ("etc/sysctl.conf", off), systemd],
                "etc/sysctl.d/zz-arp-notify.conf",
            ),
            (vec![("etc/sysctl.d/zz-arp-notify.conf", off)], "etc/sysctl.d/zz-arp-notify.conf"),
            (vec![("usr/lib/sysctl.d/zzz.conf", off)], "etc/sysctl.d/zzz.conf-zz-arp-notify.conf"),
            (vec![("etc/sysctl.conf", off)], "etc/sysctl.conf"),
            (vec![], "etc/sysctl.conf"),
        ] {
            let tree = Tree::of(&files);
            let target = Target::offline(tree.path(), Source::None).unwrap();
            let change = arp_notify_of(&target).unwrap();
            assert_eq!(change.path(), place, "{files:?}");
            let FileChange::Write { path, body, .. } = change else { panic!("{change:?}") };
            std::fs::create_dir_all(tree.path().join("etc/sysctl.d")).unwrap();
            std::fs::write(tree.path().join(path), body).unwrap();
            let target = Target::offline(tree.path(), Source::None).unwrap();
            assert!(arp_notify(&target).unwrap().is_empty(), "{files:?}");
        }
    }

    fn arp_notify_of(target: &Target) -> Option<FileChange> {
        arp_notify(target).unwrap().pop()?.changes.pop()
    }

    #[test]
    fn the_generator_of_names_counts_unless_it_is_switched_off() {
        let generator = ("lib/udev/rules.d/75-persistent-net-generator.rules", "x");
        let off = ("etc/udev/rules.d/75-persistent-net-generator.rules", "");
        assert_eq!(subjects(net_generator, &[generator]).len(), 1);
        assert_eq!(subjects(net_generator, &[generator, off]).len(), 0);
        assert_eq!(subjects(net_generator, &[]).len(), 0);
    }

    #[test]
    fn the_network_scripts_need_three_words() {
        let el = ("etc/os-release", EL);
        let scripts = ("etc/sysconfig/network-scripts/ifup", "");
        let all = ("etc/sysconfig/network", "NETWORKING=yes\nNOZEROCONF=\"YES\"\nNETWORKING_IPV6=yes\n");
        let two = ("etc/sysconfig/network", "NETWORKING=yes\nNETWORKING_IPV6=yes\nNETWORKING_IPV6=no\n");
        assert_eq!(subjects(sysconfig_network, &[el, scripts, all]), Vec::<String>::new());
        assert_eq!(subjects(sysconfig_network, &[el, scripts, two]), ["NOZEROCONF", "NETWORKING_IPV6"]);
        assert_eq!(subjects(sysconfig_network, &[el, two]), Vec::<String>::new(), "nothing reads it");
    }
}
