//! Links as `/sys/class/net` shows them: what netlink lacks on a running guest, and everything in a recorded tree.
//!
//! Source: Documentation/ABI/testing/sysfs-class-net and include/uapi/linux/if_arp.h of the kernel.

use anyhow::Result;

use super::Mac;
use super::links::{Kind, LINKS_MAX, Link, State};
use crate::root::{Kind as PathKind, Root};

/// Where links are.
const CLASS: &str = "sys/class/net";

/// Hardware types (include/uapi/linux/if_arp.h).
pub(super) const ARPHRD_ETHER: u16 = 1;
const ARPHRD_PPP: u16 = 512;
const ARPHRD_LOOPBACK: u16 = 772;

/// `addr_assign_type`: the address is the device's own (include/uapi/linux/netdevice.h).
const NET_ADDR_PERM: &str = "0";

/// Returns the kind that follows from the hardware type alone.
pub(super) fn kind_of_hardware(hardware: u16) -> Kind {
    match hardware {
        ARPHRD_ETHER => Kind::ETHERNET,
        ARPHRD_LOOPBACK => Kind::LOOPBACK,
        ARPHRD_PPP => Kind::PPP,
        other => Kind::named(&format!("arphrd-{other}")),
    }
}

/// Adds what `/sys` knows about a link that netlink gave no kind: the device behind it, or what software made it
/// (kernels before 3.x name no kind for bridges and bonds).
pub(super) fn complete(root: &Root, link: &mut Link) {
    let dir = format!("{CLASS}/{}", link.name);
    link.device = base_name(root, &format!("{dir}/device"));
    link.driver = base_name(root, &format!("{dir}/device/driver"));
    if let Some(kind) = kind_of(root, &dir, link) {
        link.kind = kind;
    }
    // IFLA_PERM_ADDRESS is from Linux 5.6
    let is_own = link.permanent_mac.is_none()
        && link.kind.is_nic()
        && line(root, &format!("{dir}/addr_assign_type")).as_deref() == Some(NET_ADDR_PERM);
    if is_own {
        link.permanent_mac = link.mac;
    }
}

/// Returns every link of the record, or `None` where there is none.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn links(root: &Root) -> Result<Option<Vec<Link>>> {
    let entries = root.read_dir(CLASS)?;
    let names = entries.into_iter().map(|entry| entry.name).take(LINKS_MAX);
    let links: Vec<Link> = names.filter_map(|name| link(root, name)).collect();
    Ok((!links.is_empty()).then_some(links))
}

/// Returns one link; `None` for what is none, such as the plain file `bonding_masters`.
fn link(root: &Root, name: String) -> Option<Link> {
    let dir = format!("{CLASS}/{name}");
    if !matches!(root.stat_opt(&dir), Ok(Some(stat)) if stat.kind == PathKind::Dir) {
        return None;
    }
    let read = |file: &str| line(root, &format!("{dir}/{file}"));
    let hardware = read("type").and_then(|text| text.parse().ok()).unwrap_or(ARPHRD_ETHER);
    let address = read("address");
    let flags = read("flags").and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    let mut link = Link {
        index: read("ifindex").and_then(|text| text.parse().ok()).unwrap_or(0),
        kind: kind_of_hardware(hardware),
        driver: None,
        device: None,
        mac: address.as_deref().and_then(|text| text.parse().ok()).filter(|mac: &Mac| !mac.is_zero()),
        permanent_mac: None,
        has_hardware_address: address.is_some(),
        master: base_name(root, &format!("{dir}/master")),
        lower: None,
        state: flags.map_or(State::Unknown, State::of_flags),
        mtu: read("mtu").and_then(|text| text.parse().ok()).unwrap_or(0),
        addresses: Vec::new(),
        ipv6_off: None,
        name,
    };
    complete(root, &mut link);
    if link.kind.is_stacked() || link.kind == Kind::named("macvlan") {
        link.lower = only_lower(root, &dir);
    }
    Some(link)
}

fn kind_of(root: &Root, dir: &str, link: &Link) -> Option<Kind> {
    const IFF_TUN: u32 = 1;
    const IFF_TAP: u32 = 2;
    let tun_flags = line(root, &format!("{dir}/tun_flags"));
    if let Some(flags) =
        tun_flags.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    {
        return match flags & (IFF_TUN | IFF_TAP) {
            IFF_TAP => Some(Kind::TAP),
            _ => Some(Kind::TUN),
        };
    }
    if root.exists(&format!("{dir}/bridge")) {
        return Some(Kind::BRIDGE);
    }
    if root.exists(&format!("{dir}/bonding")) {
        return Some(Kind::BOND);
    }
    let uevent = root.text_opt(&format!("{dir}/uevent")).ok().flatten().unwrap_or_default();
    if let Some(word) = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")) {
        return Some(Kind::named(word));
    }
    if link.driver.as_deref() == Some("vif") {
        return Some(Kind::VIF);
    }
    let is_software =
        link.kind.is_nic() && matches!(root.link_opt(dir), Ok(Some(to)) if to.contains("devices/virtual/"));
    if !is_software {
        return None;
    }
    // Of the links without a DEVTYPE only a veth has another link's number as its own lower one.
    let number = |file: &str| line(root, &format!("{dir}/{file}"));
    let is_pair = number("iflink").is_some_and(|lower| Some(lower) != number("ifindex"));
    Some(if is_pair { Kind::VETH } else { Kind::named("virtual") })
}

/// The link that this one is stacked on, when it is one.
fn only_lower(root: &Root, dir: &str) -> Option<String> {
    let entries = root.read_dir(dir).ok()?;
    let mut lowers = entries.iter().filter_map(|entry| entry.name.strip_prefix("lower_"));
    let first = lowers.next()?.to_owned();
    lowers.next().is_none().then_some(first)
}

/// The last component of what a link says; the link itself is not followed, its target is often not recorded.
fn base_name(root: &Root, path: &str) -> Option<String> {
    let to = root.link_opt(path).ok().flatten()?;
    to.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The first line of an attribute; `None` when it is missing, empty, or not given for this link (`speed` of a link
/// that is down answers `EINVAL`).
fn line(root: &Root, path: &str) -> Option<String> {
    let text = root.text_opt(path).ok().flatten()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make trees")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A recorded link: files with their text, links where the text begins with `->`, directories where it is `/`.
    fn record(tree: &Path, name: &str, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = tree.join(CLASS).join(name).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match *text {
                "/" => std::fs::create_dir_all(&path).unwrap(),
                text => match text.strip_prefix("->") {
                    Some(to) => symlink(to, &path).unwrap(),
                    None => std::fs::write(&path, text).unwrap(),
                },
            }
        }
    }

    #[test]
    fn a_recorded_tree_says_what_its_links_are() {
        let tree = tempfile::tempdir().unwrap();
        let device = tree.path().join("sys/devices/vif-0");
        std::fs::create_dir_all(&device).unwrap();
        symlink("../../bus/xen/drivers/vif", device.join("driver")).unwrap();
        let ether = |more: &[(&'static str, &'static str)]| {
            [&[("type", "1\n"), ("address", "bc:76:4e:20:75:72\n")], more].concat()
        };
        record(
            tree.path(),
            "eth0",
            &ether(&[
                ("device", "->../../../devices/vif-0"),
                ("addr_assign_type", "0\n"),
                ("flags", "0x1043\n"),
                ("mtu", "1500\n"),
                ("ifindex", "2\n"),
                ("master", "->../br0"),
            ]),
        );
        record(tree.path(), "tun0", &[("type", "65534\n"), ("address", "\n"), ("tun_flags", "0x1001\n")]);
        record(tree.path(), "tap0", &ether(&[("tun_flags", "0x1002\n"), ("flags", "0x1002\n")]));
        record(tree.path(), "br0", &ether(&[("bridge", "/")]));
        record(tree.path(), "bond0", &ether(&[("bonding", "/"), ("flags", "0x1003\n")]));
        record(
            tree.path(),
            "eth0.5",
            &ether(&[("uevent", "INTERFACE=eth0.5\nDEVTYPE=vlan\n"), ("lower_eth0", "->../eth0")]),
        );
        record(tree.path(), "lo", &[("type", "772\n"), ("address", "00:00:00:00:00:00\n")]);
        record(tree.path(), "ppp0", &[("type", "512\n")]);
        std::fs::write(tree.path().join(CLASS).join("bonding_masters"), "bond0\n").unwrap();

        let links = links(&Root::open(tree.path()).unwrap()).unwrap().unwrap();
        let seen: Vec<_> = links
            .iter()
            .map(|l| (l.name.as_str(), l.kind.word(), l.state.word(), l.has_hardware_address))
            .collect();
        assert_eq!(
            seen,
            [
                ("bond0", "bond", "no-carrier", true),
                ("br0", "bridge", "unknown", true),
                ("eth0", "vif", "up", true),
                ("eth0.5", "vlan", "unknown", true),
                ("lo", "loopback", "unknown", true),
                ("ppp0", "ppp", "unknown", false),
                ("tap0", "tap", "down", true),
                ("tun0", "tun", "unknown", false),
            ]
        );
        let mac = "bc:76:4e:20:75:72".parse().ok();
        let eth0 = &links[2];
        assert_eq!((eth0.mac, eth0.permanent_mac, eth0.mtu, eth0.index), (mac, mac, 1500, 2));
        assert_eq!((eth0.driver.as_deref(), eth0.device.as_deref()), (Some("vif"), Some("vif-0")));
        assert_eq!(eth0.master.as_deref(), Some("br0"));
        assert_eq!(links[3].lower.as_deref(), Some("eth0"));
        assert_eq!((links[0].permanent_mac, links[4].mac), (None, None));
    }

    #[test]
    fn a_tree_without_a_record_has_none() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(links(&Root::open(tree.path()).unwrap()).unwrap(), None);
    }
}
