//! Whether the kernel has IPv6 at all: its command line and the options of the module.
//!
//! Source: Documentation/networking/ipv6.rst (`disable`, `disable_ipv6`), modprobe.d(5), GRUB's manual, the Boot
//! Loader Specification.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::net::assignments;
use crate::net::configured::Seen;
use crate::root::Root;

/// From the weakest to the strongest.
const MODPROBE_DIRS: [&str; 5] =
    ["lib/modprobe.d", "usr/lib/modprobe.d", "usr/local/lib/modprobe.d", "run/modprobe.d", "etc/modprobe.d"];
/// The most files that are read of a directory.
const FILES_MAX: usize = 500;

/// What the kernel begins with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Protocol {
    /// Why there is no IPv6 at all.
    absent: Vec<Seen>,
    /// What switches it off on every link at the start, so that sysctl can switch it on again.
    initial: Option<Seen>,
}

impl Protocol {
    /// Reads it: of the running system, or of a tree with a recorded `/proc`, what the kernel shows; else what the
    /// next boot will bring.
    pub(super) fn of(root: &Root) -> Self {
        let running = root.text_opt("proc/cmdline").ok().flatten();
        let mut found = Self::default();
        let places = match &running {
            Some(line) => vec![("proc/cmdline".to_owned(), line.trim().to_owned())],
            None => boot_lines(root).unwrap_or_else(|error| {
                tracing::debug!("{error:#}");
                Vec::new()
            }),
        };
        for (source, line) in places {
            found.take(&source, line.split_whitespace());
        }
        if !is_builtin(root) {
            found.take_module_options(root);
        }
        // The kernel's own list of addresses is there when IPv6 is, whatever the files say.
        if root.exists("proc/net/if_inet6") {
            found.absent.clear();
        } else if root.exists("proc/net/route") && found.absent.is_empty() {
            found.absent.push(Seen::at("proc/net/if_inet6", "no such file: the kernel has no IPv6"));
        }
        // where the command line of the running kernel was written, for whoever has to mend it
        if found.absent.iter().any(|seen| seen.source == "proc/cmdline") {
            found.absent.extend(grub_default(root));
        }
        found
    }

    pub(super) fn is_off(&self) -> bool {
        !self.absent.is_empty()
    }

    pub(super) fn reasons(&self) -> &[Seen] {
        &self.absent
    }

    pub(super) fn initially_off(&self) -> Option<&Seen> {
        self.initial.as_ref()
    }

    /// Takes the module's parameters from a command line; the last value of each holds.
    fn take<'w>(&mut self, source: &str, words: impl Iterator<Item = &'w str>) {
        for word in words {
            match word.split_once('=') {
                Some(("ipv6.disable", value)) => {
                    self.absent = is_on(value).then(|| Seen::at(source, word)).into_iter().collect();
                }
                Some(("ipv6.disable_ipv6", value)) => {
                    self.initial = is_on(value).then(|| Seen::at(source, word));
                }
                _ => {}
            }
        }
    }

    fn take_module_options(&mut self, root: &Root) {
        for path in module_files(root) {
            let text = root.text_opt(&path).ok().flatten().unwrap_or_default();
            for (place, line) in text.lines().enumerate() {
                let seen = || Seen::line(&path, place + 1, line.trim());
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["options", "ipv6", options @ ..] => {
                        for option in options {
                            match option.split_once('=') {
                                Some(("disable", value)) if is_on(value) => self.absent.push(seen()),
                                Some(("disable_ipv6", value)) if is_on(value) => self.initial = Some(seen()),
                                _ => {}
                            }
                        }
                    }
                    ["install", "ipv6", command, ..] if does_nothing(command) => self.absent.push(seen()),
                    ["blacklist", "ipv6"] | ["alias", "net-pf-10" | "ipv6", "off"] => {
                        self.absent.push(seen());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The files with options of modules, in the order in which they count.
pub(super) fn module_files(root: &Root) -> Vec<String> {
    let mut files = BTreeMap::new();
    for dir in MODPROBE_DIRS {
        for path in root.files_in(dir, ".conf").unwrap_or_default().into_iter().take(FILES_MAX) {
            files.insert(path.rsplit('/').next().unwrap_or_default().to_owned(), path);
        }
    }
    // the file of EL5 and older
    files.into_values().chain(["etc/modprobe.conf".to_owned()]).collect()
}

fn is_on(value: &str) -> bool {
    value.parse::<i64>().is_ok_and(|value| value != 0)
}

fn does_nothing(command: &str) -> bool {
    matches!(command.rsplit('/').next(), Some("true" | "false" | ":"))
}

/// Whether a kernel of this root has IPv6 built in: options of modprobe.d then have no effect.
fn is_builtin(root: &Root) -> bool {
    ["usr/lib/modules", "lib/modules"].iter().any(|modules| {
        let kernels = root.read_dir(modules).unwrap_or_default();
        kernels.iter().take(FILES_MAX).any(|kernel| {
            let list = root.text_opt(&format!("{modules}/{}/modules.builtin", kernel.name)).ok().flatten();
            list.is_some_and(|list| list.lines().any(|line| line == "kernel/net/ipv6/ipv6.ko"))
        })
    })
}

/// The command line that the next boot will have, each part with its place. What GRUB reads decides; its source,
/// `/etc/default/grub`, stands in where there is no such file.
///
/// # Errors
/// The file that decides cannot be read.
pub(crate) fn boot_lines(root: &Root) -> Result<Vec<(String, String)>> {
    let entries = loader_entry(root)?;
    if !entries.is_empty() {
        return Ok(entries);
    }
    for path in ["boot/grub2/grub.cfg", "boot/grub/grub.cfg", "boot/grub/grub.conf", "boot/grub/menu.lst"] {
        let Some(text) = root.text_opt(path)? else { continue };
        let is_kernel = |line: &str| {
            matches!(line.split_whitespace().next(), Some("linux" | "linux16" | "linuxefi" | "kernel"))
        };
        // the first entry is the one that boots unless somebody chose another
        if let Some((place, line)) = text.lines().enumerate().find(|(_, line)| is_kernel(line)) {
            return Ok(vec![(format!("{path}:{}", place + 1), line.trim().to_owned())]);
        }
    }
    let Some(text) = root.text_opt("etc/default/grub")? else { return Ok(Vec::new()) };
    let variables = assignments::parse(&text);
    let lines = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"]
        .into_iter()
        .filter_map(|name| assignments::last(&variables, name))
        .map(|variable| (format!("etc/default/grub:{}", variable.line), variable.value.clone()));
    Ok(lines.collect())
}

/// The options of the newest entry of the Boot Loader Specification; `$kernelopts` of EL8 is in GRUB's environment.
fn loader_entry(root: &Root) -> Result<Vec<(String, String)>> {
    let entries = root.files_in("boot/loader/entries", ".conf")?;
    let Some(path) = entries.iter().rev().find(|path| !path.contains("rescue")) else {
        return Ok(Vec::new());
    };
    let text = root.text_opt(path)?.unwrap_or_default();
    let mut lines = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let Some(options) = line.strip_prefix("options") else { continue };
        lines.push((format!("{path}:{}", place + 1), options.trim().to_owned()));
        if options.contains("$kernelopts") {
            lines.extend(kernelopts(root));
        }
    }
    Ok(lines)
}

fn kernelopts(root: &Root) -> Option<(String, String)> {
    ["boot/grub2/grubenv", "boot/grub/grubenv"].iter().find_map(|path| {
        let text = root.text_opt(path).ok().flatten()?;
        let mut lines = text.lines().enumerate();
        lines.find_map(|(place, line)| {
            Some((format!("{path}:{}", place + 1), line.strip_prefix("kernelopts=")?.to_owned()))
        })
    })
}

/// The line of `/etc/default/grub` that the command line came from.
fn grub_default(root: &Root) -> Option<Seen> {
    let text = root.text_opt("etc/default/grub").ok().flatten()?;
    let variables = assignments::parse(&text);
    let line = variables.iter().rev().find(|v| v.value.contains("ipv6.disable"))?;
    Some(Seen::line("etc/default/grub", line.line, format!("{}=\"{}\"", line.name, line.value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::configured::tests::tree;

    fn reasons(files: &[(&str, &str)]) -> (Vec<String>, Option<String>) {
        let (_dir, root) = tree(files);
        let found = Protocol::of(&root);
        (found.absent.into_iter().map(|seen| seen.source).collect(), found.initial.map(|seen| seen.source))
    }

    fn off(source: &str) -> (Vec<String>, Option<String>) {
        (vec![source.to_owned()], None)
    }

    const ON: (Vec<String>, Option<String>) = (Vec::new(), None);

    #[test]
    fn the_boot_loader_s_line_decides_and_its_source_stands_in() {
        let with = "set x\nmenuentry 'a' {\n  linux /vmlinuz root=/dev/xvda1 ipv6.disable=1\n}\n";
        let without = "menuentry 'a' {\n  linux /vmlinuz root=/dev/xvda1\n}\nmenuentry 'b' {\n linux /old ipv6.disable=1\n}\n";
        let source = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet ipv6.disable=1\"\n");
        assert_eq!(reasons(&[("boot/grub/grub.cfg", with)]), off("boot/grub/grub.cfg:3"));
        assert_eq!(reasons(&[("boot/grub/grub.cfg", without), source]), ON);
        assert_eq!(reasons(&[source]), off("etc/default/grub:1"));
        assert_eq!(reasons(&[("etc/default/grub", "#GRUB_CMDLINE_LINUX=\"ipv6.disable=1\"\n")]), ON);
        assert_eq!(
            reasons(&[("boot/grub/menu.lst", "title a\nkernel /vmlinuz ipv6.disable=1\n")]),
            off("boot/grub/menu.lst:2")
        );
    }

    #[test]
    fn the_last_value_on_a_line_holds() {
        assert_eq!(
            reasons(&[("etc/default/grub", "GRUB_CMDLINE_LINUX=\"ipv6.disable=1 ipv6.disable=0\"\n")]),
            ON
        );
        let initial = (vec![], Some("etc/default/grub:1".to_owned()));
        assert_eq!(reasons(&[("etc/default/grub", "GRUB_CMDLINE_LINUX=\"ipv6.disable_ipv6=1\"\n")]), initial);
    }

    #[test]
    fn loader_entries_are_read_with_the_environment_of_grub() {
        let entry = ("boot/loader/entries/a-4.18.conf", "title x\noptions $kernelopts\n");
        let rescue = ("boot/loader/entries/a-rescue.conf", "options ipv6.disable=1\n");
        let env = ("boot/grub2/grubenv", "# GRUB\nkernelopts=root=/dev/xvda1 ipv6.disable=1\n####");
        assert_eq!(reasons(&[entry, rescue]), ON);
        assert_eq!(reasons(&[entry, env]), off("boot/grub2/grubenv:2"));
    }

    #[test]
    fn options_of_the_module_count_unless_it_is_built_in() {
        let file = "etc/modprobe.d/ipv6.conf";
        for line in
            ["options ipv6 disable=1", "install ipv6 /bin/true", "blacklist ipv6", "alias net-pf-10 off"]
        {
            assert_eq!(reasons(&[(file, line)]), off(&format!("{file}:1")), "{line}");
        }
        for line in [
            "# options ipv6 disable=1",
            "options ipv6 disable=0",
            "install ipv6 /sbin/modprobe x",
            "blacklist ipv6_foo",
        ] {
            assert_eq!(reasons(&[(file, line)]), ON, "{line}");
        }
        assert_eq!(reasons(&[(file, "options ipv6 disable_ipv6=1")]), (vec![], Some(format!("{file}:1"))));
        let builtin = ("lib/modules/6.1/modules.builtin", "kernel/net/ipv4/x.ko\nkernel/net/ipv6/ipv6.ko\n");
        assert_eq!(reasons(&[(file, "options ipv6 disable=1"), builtin]), ON);
        let hidden = ("usr/lib/modprobe.d/ipv6.conf", "options ipv6 disable=1");
        assert_eq!(reasons(&[hidden, (file, "")]), ON);
    }

    #[test]
    fn what_the_kernel_shows_is_stronger_than_files() {
        let option = ("etc/modprobe.d/ipv6.conf", "options ipv6 disable=1");
        let line = ("proc/cmdline", "root=/dev/xvda1\n");
        assert_eq!(reasons(&[line, option, ("proc/net/if_inet6", "")]), ON);
        assert_eq!(reasons(&[line, ("proc/net/route", "")]), off("proc/net/if_inet6"));
        assert_eq!(reasons(&[line]), ON);
        let disabled = ("proc/cmdline", "ipv6.disable=1\n");
        let grub = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"ipv6.disable=1\"\n");
        assert_eq!(reasons(&[disabled, grub]).0, ["proc/cmdline", "etc/default/grub:1"]);
    }
}
