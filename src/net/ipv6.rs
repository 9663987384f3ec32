//! Whether IPv6 is on for a link, and what turned it off.
//!
//! Four things can: the whole protocol (kernel command line, module options: `kernel`), a switch per link (sysctl:
//! `sysctl`), and the file of the interface (`configured`). On a running guest the kernel's own switches are the
//! truth and the files explain them; a mounted root has the files only.

mod kernel;
mod sysctl;

use anyhow::Result;
use serde::Serialize;

use super::configured::{Configuration, Planned, Seen};
use super::links::Link;
use crate::root::Root;
use kernel::Protocol;
pub(crate) use kernel::boot_lines;
pub(crate) use sysctl::{Assignment, Sysctl, files as sysctl_files, last_file as last_sysctl_file};

/// The smallest packet that IPv6 works with (RFC 8200, section 5): below it the kernel takes IPv6 off a link.
const MTU_MIN: u32 = 1280;

/// Whether IPv6 is on, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ipv6 {
    /// Whether it is on; `None` when nothing says.
    pub enabled: Option<bool>,
    /// What turned it off; the first is the strongest.
    pub disabled_by: Vec<Seen>,
}

/// What keeps IPv6 off a link.
pub(crate) struct Causes<'c> {
    /// Why there is no IPv6 at all.
    pub(crate) protocol: Vec<Seen>,
    /// The line of sysctl, or what the kernel begins with.
    pub(crate) sysctl: Option<Seen>,
    /// The entries of its interface's files.
    pub(crate) files: Vec<&'c Planned>,
}

/// What holds for all links, read once.
#[derive(Debug)]
pub struct Switches {
    protocol: Protocol,
    sysctl: Sysctl,
}

impl Switches {
    /// Reads them.
    pub fn of(root: &Root) -> Self {
        Self { protocol: Protocol::of(root), sysctl: Sysctl::of(root) }
    }

    /// Returns all that keeps IPv6 off a link, also what something stronger hides.
    pub(crate) fn causes<'c>(&self, link: &Link, configuration: &'c Configuration) -> Causes<'c> {
        Causes {
            protocol: self.protocol.reasons().to_vec(),
            sysctl: self.sysctl.off(&link.name, self.protocol.initially_off()),
            files: configuration.without_ipv6(&link.name, link.host_mac()).collect(),
        }
    }

    /// Returns the lines of sysctl.
    pub(crate) fn sysctl(&self) -> &Sysctl {
        &self.sysctl
    }

    /// Says whether IPv6 is on for a link of the running system, or of a tree with a recorded `/proc`.
    pub fn of_link(&self, root: &Root, link: &Link, configuration: &Configuration) -> Ipv6 {
        let switch = format!("proc/sys/net/ipv6/conf/{}/disable_ipv6", link.name);
        let is_off = link.ipv6_off.or_else(|| {
            let value = root.text_opt(&switch).ok().flatten()?;
            Some(value.trim() != "0")
        });
        let Some(is_off) = is_off.filter(|_| !self.protocol.is_off()) else {
            return self.of_files(&link.name, link, configuration);
        };
        if !is_off {
            let has_address = link.addresses.iter().any(|net| is_global6(&net.addr()));
            return if has_address { ENABLED } else { off_by(files(configuration, link)) };
        }
        let mut by = Vec::new();
        if (1..MTU_MIN).contains(&link.mtu) {
            by.push(Seen::at(link.name.clone(), format!("mtu {}: IPv6 needs {MTU_MIN}", link.mtu)));
        } else {
            by.push(Seen::at(switch, "1"));
        }
        by.extend(self.sysctl.off(&link.name, self.protocol.initially_off()));
        by.extend(files(configuration, link));
        Ipv6 { enabled: Some(false), disabled_by: by }
    }

    /// Says whether IPv6 will be on for a link, by files alone.
    fn of_files(&self, name: &str, link: &Link, configuration: &Configuration) -> Ipv6 {
        if self.protocol.is_off() {
            return off_by(self.protocol.reasons().to_vec());
        }
        let mut by: Vec<Seen> = self.sysctl.off(name, self.protocol.initially_off()).into_iter().collect();
        by.extend(files(configuration, link));
        off_by(by)
    }
}

/// Makes sure of every file that can switch IPv6 off at the next boot.
///
/// # Errors
/// One of them cannot be read.
pub fn readable(root: &Root) -> Result<()> {
    boot_lines(root)?;
    for path in sysctl_files(root).into_iter().chain(kernel::module_files(root)) {
        root.read_opt(&path)?;
    }
    Ok(())
}

const ENABLED: Ipv6 = Ipv6 { enabled: Some(true), disabled_by: Vec::new() };

fn off_by(disabled_by: Vec<Seen>) -> Ipv6 {
    Ipv6 { enabled: Some(disabled_by.is_empty()), disabled_by }
}

fn files(configuration: &Configuration, link: &Link) -> Vec<Seen> {
    configuration.ipv6_off(&link.name, link.host_mac()).into_iter().cloned().collect()
}

/// Whether an address is of IPv6 and of more than its own link.
fn is_global6(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(_) => false,
        std::net::IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::tree;
    use crate::net::links::{Kind, State};

    fn link(ipv6_off: Option<bool>, address: &str) -> Link {
        Link {
            name: "eth0".to_owned(),
            index: 2,
            kind: Kind::VIF,
            driver: None,
            device: None,
            mac: "bc:76:4e:20:75:72".parse().ok(),
            permanent_mac: None,
            has_hardware_address: true,
            master: None,
            lower: None,
            state: State::Up,
            mtu: 1500,
            addresses: address.parse().into_iter().collect(),
            ipv6_off,
        }
    }

    fn said(files: &[(&str, &str)], link: &Link) -> (Option<bool>, Vec<String>) {
        let (_dir, root) = tree(files);
        let ipv6 = Switches::of(&root).of_link(&root, link, &Configuration::of(&root));
        (ipv6.enabled, ipv6.disabled_by.into_iter().map(|seen| seen.source).collect())
    }

    const SYSCTL: (&str, &str) = ("etc/sysctl.d/99-x.conf", "\n\nnet.ipv6.conf.all.disable_ipv6 = 1\n");
    const IFCFG: [(&str, &str); 2] = [
        ("etc/rc.d/init.d/network", ""),
        ("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nIPV6INIT=no\n"),
    ];

    #[test]
    fn the_running_kernel_is_the_truth_and_files_explain_it() {
        let switch = "proc/sys/net/ipv6/conf/eth0/disable_ipv6".to_owned();
        let off = link(Some(true), "");
        assert_eq!(said(&[SYSCTL], &off), (Some(false), vec![switch.clone(), format!("{}:3", SYSCTL.0)]));
        assert_eq!(said(&[], &off), (Some(false), vec![switch]));
        // the file has not been applied
        assert_eq!(said(&[SYSCTL], &link(Some(false), "")), (Some(true), vec![]));
    }

    #[test]
    fn a_link_below_the_smallest_mtu_has_none() {
        let small = Link { mtu: 1000, ..link(Some(true), "") };
        assert_eq!(said(&[], &small), (Some(false), vec!["eth0".to_owned()]));
    }

    #[test]
    fn an_interface_file_counts_until_an_address_shows_the_contrary() {
        let source = format!("{}:2", IFCFG[1].0);
        assert_eq!(said(&IFCFG, &link(Some(false), "fe80::1/64")), (Some(false), vec![source]));
        assert_eq!(said(&IFCFG, &link(Some(false), "2001:db8::1/64")), (Some(true), vec![]));
    }

    #[test]
    fn a_mounted_root_is_judged_by_its_files() {
        let unknown = link(None, "");
        assert_eq!(said(&[], &unknown), (Some(true), vec![]));
        let all = [&[SYSCTL], IFCFG.as_slice()].concat();
        let want = vec![format!("{}:3", SYSCTL.0), format!("{}:2", IFCFG[1].0)];
        assert_eq!(said(&all, &unknown), (Some(false), want));
        let grub = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"ipv6.disable=1\"\n");
        assert_eq!(said(&[grub, SYSCTL], &unknown), (Some(false), vec!["etc/default/grub:1".to_owned()]));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let of = |file: &str| readable(&tree(&[SYSCTL, (file, "")]).1).map_err(|error| format!("{error:#}"));
        assert_eq!(of("etc/modprobe.d/ipv6.conf"), Ok(()));
        for file in ["etc/modprobe.d/ipv6.conf", "etc/sysctl.conf", "boot/grub/grub.cfg", "etc/default/grub"]
        {
            assert_eq!(of(&format!("{file}/x")), Err(format!("reading {file}: it is a directory")));
        }
    }

    #[test]
    fn a_recorded_switch_counts() {
        let record = ("proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1\n");
        assert_eq!(said(&[record], &link(None, "")), (Some(false), vec![record.0.to_owned()]));
    }
}
