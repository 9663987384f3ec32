//! Bridges that container and virtual machine managers make by themselves: Docker, libvirt, LXD and LXC.

use super::assignments;
use super::configured::{Match, Planned, Scan, Seen};
use super::links::Kind;

pub(super) fn look(scan: &mut Scan) {
    docker(scan);
    libvirt(scan);
    lxc(scan);
}

fn docker(scan: &mut Scan) {
    let Some(program) = scan.root.find_program("dockerd") else { return };
    const FILE: &str = "etc/docker/daemon.json";
    let settings = scan.text(FILE).and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let bridge =
        settings.as_ref().and_then(|settings| settings.get("bridge")).and_then(|bridge| bridge.as_str());
    if bridge.is_some_and(|bridge| !bridge.is_empty()) {
        // "none", or a bridge that something else makes
        return;
    }
    let at_boot = ["docker.service", "docker.socket"].iter().any(|unit| scan.is_wanted(unit))
        || scan.is_started_by_script("docker");
    add(scan, "docker0", at_boot, Seen::at(program, "Docker makes the bridge docker0"));
}

fn libvirt(scan: &mut Scan) {
    if scan.root.find_program("libvirtd").is_none() && scan.root.find_program("virtnetworkd").is_none() {
        return;
    }
    for path in scan.files("etc/libvirt/qemu/networks/autostart", ".xml") {
        let Some(text) = scan.text(&path) else { continue };
        let Some((line, name)) = bridge_of(&text) else { continue };
        let daemons = ["libvirtd.service", "libvirtd.socket", "virtnetworkd.service", "virtnetworkd.socket"];
        let at_boot =
            daemons.iter().any(|unit| scan.is_wanted(unit)) || scan.is_started_by_script("libvirtd");
        let seen = Seen::line(&path, line, format!("<bridge name='{name}'"));
        add(scan, &name, at_boot, seen);
    }
}

/// The bridge that a network of libvirt makes: `<bridge name='virbr0' …/>` on its line of virsh's own writing.
fn bridge_of(xml: &str) -> Option<(usize, String)> {
    xml.lines().enumerate().find_map(|(place, line)| {
        let rest = line.trim_start().strip_prefix("<bridge ")?;
        let (_, rest) = rest.split_once("name=")?;
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let name = rest[1..].split(quote).next()?;
        (!name.is_empty()).then(|| (place + 1, name.to_owned()))
    })
}

fn lxc(scan: &mut Scan) {
    const FILE: &str = "etc/default/lxc-net";
    let defaults = scan.text(FILE).map(|text| assignments::parse(&text)).unwrap_or_default();
    let Some(used) = assignments::last(&defaults, "USE_LXC_BRIDGE") else { return };
    if !assignments::is_yes(&used.value) || scan.root.find_program("lxc-start").is_none() {
        return;
    }
    let name = match assignments::value(&defaults, "LXC_BRIDGE") {
        "" => "lxcbr0",
        name => name,
    };
    let at_boot = scan.is_wanted("lxc-net.service");
    add(scan, name, at_boot, Seen::line(FILE, used.line, format!("USE_LXC_BRIDGE={}", used.value)));
}

fn add(scan: &mut Scan, name: &str, at_boot: bool, seen: Seen) {
    let to = Match::name(name);
    scan.add(Planned {
        reader: "containers",
        to,
        kind: Kind::BRIDGE,
        at_boot,
        seen,
        ipv6_off: None,
        addresses: Vec::new(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::short;
    use proptest::prelude::*;

    fn row(name: &str, boot: bool, source: &str) -> (String, String, bool, String) {
        (name.to_owned(), "bridge".to_owned(), boot, source.to_owned())
    }

    #[test]
    fn docker_makes_its_bridge_unless_told_otherwise() {
        let wants = ("etc/systemd/system/multi-user.target.wants/docker.service", "->/x");
        assert_eq!(short(&[("usr/bin/dockerd", "!"), wants]), [row("docker0", true, "usr/bin/dockerd")]);
        assert_eq!(short(&[("usr/bin/dockerd", "!")]), [row("docker0", false, "usr/bin/dockerd")]);
        assert_eq!(
            short(&[("usr/bin/dockerd", "!"), ("etc/docker/daemon.json", "{\"bridge\": \"none\"}")]),
            []
        );
    }

    #[test]
    fn the_networks_that_libvirt_starts_make_theirs() {
        let file = "etc/libvirt/qemu/networks/autostart/default.xml";
        let xml = "<network>\n  <bridge name='virbr0' stp='on'/>\n</network>\n";
        assert_eq!(
            short(&[("usr/sbin/libvirtd", "!"), (file, xml)]),
            [row("virbr0", false, &format!("{file}:2"))]
        );
    }

    #[test]
    fn lxc_makes_its_own_when_it_is_switched_on() {
        let on = ("etc/default/lxc-net", "USE_LXC_BRIDGE=\"true\"\n");
        assert_eq!(short(&[("usr/bin/lxc-start", "!"), on]), [row("lxcbr0", false, "etc/default/lxc-net:1")]);
        let off = ("etc/default/lxc-net", "USE_LXC_BRIDGE=\"false\"\n");
        assert_eq!(short(&[("usr/bin/lxc-start", "!"), off]), []);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(<bridge )?(name=)?.{0,20}") {
            let _ = bridge_of(&text);
        }
    }
}
