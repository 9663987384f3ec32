//! What the system runs on: a Xen guest, dom0, another hypervisor, a container, bare metal.
//!
//! From `/sys`, `/proc` and DMI as files. To add a hypervisor: one line in [`BY_DMI`].

use crate::root::Root;

/// What a system runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// A guest of Xen (PV, PVH or HVM).
    XenGuest,
    /// Xen's control domain: the host itself.
    XenDom0,
    /// A guest of another hypervisor, by name.
    Guest(String),
    /// A container that shows nothing of Xen, by the name of its manager.
    Container(String),
    /// No hypervisor: the maker and model, when DMI knows them.
    BareMetal(String),
}

/// What a system runs on, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hypervisor {
    /// What it is.
    pub platform: Platform,
    /// The file that says so.
    pub source: &'static str,
    /// What that file says.
    pub text: String,
}

/// Words of DMI's vendor and product, lower case, and the hypervisor that writes them.
const BY_DMI: [(&str, &str); 10] = [
    ("vmware", "VMware"),
    ("virtualbox", "VirtualBox"),
    ("innotek", "VirtualBox"),
    ("microsoft corporation virtual machine", "Hyper-V"),
    ("parallels", "Parallels"),
    ("amazon ec2", "KVM (Amazon EC2)"),
    ("google compute engine", "KVM (Google Compute Engine)"),
    ("openstack", "KVM (OpenStack)"),
    ("kvm", "KVM"),
    ("qemu", "KVM or QEMU"),
];

impl Hypervisor {
    /// Looks at what the system runs on. In a tree without `/sys` and `/proc` everything is bare metal: ask of a
    /// running guest only.
    pub fn of(root: &Root) -> Self {
        xen(root).or_else(|| container(root)).or_else(|| by_dmi(root)).unwrap_or_else(|| by_cpu(root))
    }

    /// Whether the system is a guest that a nova-agent can serve.
    pub fn is_xen_guest(&self) -> bool {
        self.platform == Platform::XenGuest
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::XenGuest => f.write_str("a Xen guest"),
            Self::XenDom0 => f.write_str("dom0, the Xen host itself"),
            Self::Guest(name) => write!(f, "a guest of {name}"),
            Self::Container(name) => write!(f, "a container ({name})"),
            Self::BareMetal(model) if model.is_empty() => f.write_str("bare metal"),
            Self::BareMetal(model) => write!(f, "bare metal ({model})"),
        }
    }
}

fn xen(root: &Root) -> Option<Hypervisor> {
    let capabilities = "proc/xen/capabilities";
    if let Some(text) = line(root, capabilities).filter(|text| text.contains("control_d")) {
        return Some(Hypervisor { platform: Platform::XenDom0, source: capabilities, text });
    }
    let guest = |source, text| Some(Hypervisor { platform: Platform::XenGuest, source, text });
    if let Some(text) = line(root, "sys/hypervisor/type").filter(|text| text == "xen") {
        return guest("sys/hypervisor/type", text);
    }
    // The kernel makes this directory on Xen only (drivers/xen/xenfs, fs/proc).
    if root.exists("proc/xen") {
        return guest("proc/xen", "present".to_owned());
    }
    None
}

fn container(root: &Root) -> Option<Hypervisor> {
    let found = |source, text: String| {
        let platform = Platform::Container(text.clone());
        Some(Hypervisor { platform, source, text })
    };
    if let Some(manager) = line(root, "run/systemd/container") {
        return found("run/systemd/container", manager);
    }
    // Only root may read it; the files below stand for it otherwise.
    if let Ok(Some(environment)) = root.text_opt("proc/1/environ")
        && let Some(manager) = environment.split('\0').find_map(|entry| entry.strip_prefix("container="))
    {
        return found("proc/1/environ", manager.to_owned());
    }
    if root.exists(".dockerenv") {
        return found(".dockerenv", "docker".to_owned());
    }
    if root.exists("run/.containerenv") {
        return found("run/.containerenv", "podman".to_owned());
    }
    None
}

fn by_dmi(root: &Root) -> Option<Hypervisor> {
    let source = "sys/class/dmi/id/product_name";
    let text = dmi(root);
    let words = text.to_lowercase();
    if words.contains("hvm domu") {
        return Some(Hypervisor { platform: Platform::XenGuest, source, text });
    }
    let (_, name) = BY_DMI.iter().find(|(word, _)| words.contains(word))?;
    Some(Hypervisor { platform: Platform::Guest((*name).to_owned()), source, text })
}

fn by_cpu(root: &Root) -> Hypervisor {
    let source = "proc/cpuinfo";
    let cpu = root.text_opt(source).ok().flatten().unwrap_or_default();
    let model = dmi(root);
    let is_guest = cpu.lines().any(|line| {
        line.starts_with("flags") && line.split_ascii_whitespace().any(|flag| flag == "hypervisor")
    });
    if is_guest {
        let name = if model.is_empty() { "an unknown hypervisor".to_owned() } else { model };
        let text = "flags: hypervisor".to_owned();
        return Hypervisor { platform: Platform::Guest(name), source, text };
    }
    let text = "flags: no hypervisor".to_owned();
    Hypervisor { platform: Platform::BareMetal(model), source, text }
}

/// Vendor and product of the machine.
fn dmi(root: &Root) -> String {
    let parts = ["sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"];
    let parts: Vec<String> = parts.iter().filter_map(|path| line(root, path)).collect();
    parts.join(" ")
}

/// The first line of a file, when there is one that says something.
fn line(root: &Root, path: &str) -> Option<String> {
    let text = root.text_opt(path).ok().flatten()?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { None } else { Some(line.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

    #[test]
    fn each_platform_is_told_by_what_it_shows() {
        let vendor = "sys/class/dmi/id/sys_vendor";
        let product = "sys/class/dmi/id/product_name";
        let guest = |name: &str| Platform::Guest(name.to_owned());
        let container = |name: &str| Platform::Container(name.to_owned());
        let cases: [(&[(&str, &str)], Platform); 13] = [
            (&[("sys/hypervisor/type", "xen\n")], Platform::XenGuest),
            (&[("sys/hypervisor/type", "xen\n"), ("proc/xen/capabilities", "\n")], Platform::XenGuest),
            (
                &[("sys/hypervisor/type", "xen\n"), ("proc/xen/capabilities", "control_d\n")],
                Platform::XenDom0,
            ),
            (&[("proc/xen/xenbus", "")], Platform::XenGuest),
            (&[(vendor, "Xen\n"), (product, "HVM domU\n")], Platform::XenGuest),
            (&[("sys/hypervisor/type", "xen\n"), (".dockerenv", "")], Platform::XenGuest),
            (&[(vendor, "QEMU\n"), (product, "Standard PC (Q35 + ICH9, 2009)\n")], guest("KVM or QEMU")),
            (&[(vendor, "OpenStack Foundation\n"), (product, "OpenStack Nova\n")], guest("KVM (OpenStack)")),
            (&[(vendor, "Microsoft Corporation\n"), (product, "Virtual Machine\n")], guest("Hyper-V")),
            (&[("proc/cpuinfo", "flags\t\t: fpu hypervisor lahf_lm\n")], guest("an unknown hypervisor")),
            (&[("proc/1/environ", "HOME=/\0container=lxc\0"), (vendor, "QEMU\n")], container("lxc")),
            (&[(".dockerenv", "")], container("docker")),
            (
                &[(vendor, "Dell Inc.\n"), (product, "PowerEdge R640\n"), ("proc/cpuinfo", "flags\t: fpu\n")],
                Platform::BareMetal("Dell Inc. PowerEdge R640".to_owned()),
            ),
        ];
        for (files, platform) in cases {
            assert_eq!(Hypervisor::of(&Tree::of(files).root()).platform, platform, "{files:?}");
        }
    }
}
