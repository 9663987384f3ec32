//! The default entries of the boot loaders whose configuration is in the tree: GRUB 2 with its own entries or those
//! of the Boot Loader Specification, GRUB legacy, extlinux.
//!
//! The parsers take text. To add a boot loader: a parser, and its files in [`defaults`].

use anyhow::Result;

use super::by_version;
use crate::root::Root;

/// Entries of the Boot Loader Specification that are read.
const ENTRIES_MAX: usize = 64;

/// What a boot loader starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// The kernel's path as the boot loader sees it.
    pub(super) kernel: String,
    /// The initramfs' path, likewise; with several the last, since microcode comes first.
    pub(super) initramfs: Option<String>,
    /// The file that names it.
    pub(super) source: String,
}

/// Returns the default entry of each boot loader that is configured, the likeliest one first.
pub(super) fn defaults(root: &Root) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut configs = vec!["boot/grub2/grub.cfg".to_owned(), "boot/grub/grub.cfg".to_owned()];
    let efi = root.read_dir("boot/efi/EFI")?;
    configs.extend(efi.into_iter().map(|entry| format!("boot/efi/EFI/{}/grub.cfg", entry.name)));
    let environment = match root.text_opt("boot/grub2/grubenv")? {
        Some(text) => text,
        None => root.text_opt("boot/grub/grubenv")?.unwrap_or_default(),
    };
    let specified = specified_entries(root)?;
    for path in configs {
        let Some(text) = root.text_opt(&path)? else { continue };
        let by_specification = text.lines().any(|line| line.split_whitespace().next() == Some("blscfg"));
        let chosen = if by_specification { specified_default(&specified, &environment) } else { None };
        entries.extend(chosen.or_else(|| grub2(&text, &environment).map(|entry| named(entry, &path))));
    }
    if entries.is_empty() {
        entries.extend(specified_default(&specified, &environment));
    }
    for path in ["boot/grub/menu.lst", "boot/grub/grub.conf"] {
        if let Some(text) = root.text_opt(path)? {
            entries.extend(grub_legacy(&text).map(|entry| named(entry, path)));
        }
    }
    for path in ["boot/extlinux.conf", "boot/extlinux/extlinux.conf", "boot/syslinux/syslinux.cfg"] {
        if let Some(text) = root.text_opt(path)? {
            entries.extend(extlinux(&text).map(|entry| named(entry, path)));
        }
    }
    Ok(entries)
}

fn named(entry: Entry, source: &str) -> Entry {
    Entry { source: source.to_owned(), ..entry }
}

/// An entry of a menu: what selects it, and what it starts. A submenu starts nothing itself.
#[derive(Debug, Default)]
struct Item {
    /// Positions in the menus above and in its own.
    place: Vec<usize>,
    title: String,
    id: String,
    entry: Entry,
}

/// GRUB 2's grub.cfg, as far as grub-mkconfig writes it.
fn grub2(text: &str, environment: &str) -> Option<Entry> {
    let mut default = String::new();
    let mut items: Vec<Item> = Vec::new();
    // One number of entries per open menu; blocks that are no menus (functions) are open as well.
    let mut menus = vec![0];
    let mut blocks: Vec<bool> = Vec::new();
    let mut place: Vec<usize> = Vec::new();
    for line in text.lines() {
        let words = shell_words(line);
        let word = words.first().map_or("", String::as_str);
        let is_menu = matches!(word, "menuentry" | "submenu");
        if is_menu && words.last().is_some_and(|last| last == "{") {
            let count = menus.last_mut()?;
            place.push(*count);
            *count += 1;
            menus.push(0);
            blocks.push(true);
            let title = words.get(1).cloned().unwrap_or_default();
            let id = words.iter().skip_while(|word| *word != "--id" && *word != "$menuentry_id_option");
            let id = id.skip(1).find(|word| *word != "--id").cloned().unwrap_or_default();
            items.push(Item { place: place.clone(), title, id, entry: Entry::default() });
        } else if words.last().is_some_and(|last| last == "{") {
            blocks.push(false);
        } else if word == "}" {
            if blocks.pop() == Some(true) {
                menus.pop();
                place.pop();
            }
        } else if word == "set" {
            let value = words.get(1).and_then(|word| word.strip_prefix("default="));
            default = value.map_or(default, str::to_owned);
        } else if let Some(item) = items.last_mut().filter(|_| blocks.contains(&true)) {
            start_line(&mut item.entry, &words);
        }
    }
    let once = variable(environment, "next_entry");
    let saved = variable(environment, "saved_entry").unwrap_or("0");
    let wanted = once.unwrap_or(if default.contains("saved_entry") { saved } else { &default });
    select(&items, wanted)
}

/// Takes the kernel and the initramfs from a line of an entry.
fn start_line(entry: &mut Entry, words: &[String]) {
    let Some(path) = words.get(1) else { return };
    match words[0].as_str() {
        "linux" | "linux16" | "linuxefi" => entry.kernel.clone_from(path),
        "initrd" | "initrd16" | "initrdefi" => entry.initramfs = words.last().cloned(),
        _ => {}
    }
}

/// Finds the entry that `0`, `1>2`, a title or an id names; the first one when nothing fits, as GRUB does.
fn select(items: &[Item], wanted: &str) -> Option<Entry> {
    let mut place: Vec<usize> = Vec::new();
    for part in wanted.split('>').map(str::trim) {
        let within = |item: &&Item| item.place.len() == place.len() + 1 && item.place.starts_with(&place);
        let number: Option<usize> = part.parse().ok();
        let fits =
            |item: &&Item| item.title == part || item.id == part || item.place.last().copied() == number;
        match items.iter().filter(within).find(fits) {
            Some(item) => place.clone_from(&item.place),
            None => break,
        }
    }
    let starts = |item: &&Item| !item.entry.kernel.is_empty();
    let chosen = items.iter().filter(starts).find(|item| item.place.starts_with(&place));
    chosen.or_else(|| items.iter().find(starts)).map(|item| item.entry.clone())
}

/// A variable of a grubenv block that has a value.
fn variable<'t>(environment: &'t str, name: &str) -> Option<&'t str> {
    let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix('=');
    environment.lines().find_map(value).map(str::trim).filter(|value| !value.is_empty())
}

/// Splits a line at blanks outside of quotes and takes the quotes away; a comment has no words.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Entries of the Boot Loader Specification: the name without suffix, and what it starts.
fn specified_entries(root: &Root) -> Result<Vec<(String, Entry)>> {
    let mut entries = Vec::new();
    for path in root.files_in("boot/loader/entries", ".conf")?.into_iter().take(ENTRIES_MAX) {
        let Some(text) = root.text_opt(&path)? else { continue };
        let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".conf").to_owned();
        entries.push((name, named(specified(&text), &path)));
    }
    // grub2's blscfg shows the newest first.
    entries.sort_by(|(a, _), (b, _)| by_version(b, a));
    Ok(entries)
}

fn specified(text: &str) -> Entry {
    let mut entry = Entry::default();
    for line in text.lines() {
        match line.trim().split_once(char::is_whitespace) {
            Some(("linux", path)) => path.trim().clone_into(&mut entry.kernel),
            Some(("initrd", paths)) => entry.initramfs = paths.split_whitespace().next().map(str::to_owned),
            _ => {}
        }
    }
    entry
}

fn specified_default(entries: &[(String, Entry)], environment: &str) -> Option<Entry> {
    let wanted = variable(environment, "next_entry").or(variable(environment, "saved_entry"));
    let by_name = entries.iter().find(|(name, _)| Some(name.as_str()) == wanted);
    let number = wanted.and_then(|wanted| wanted.parse::<usize>().ok());
    let is_rescue = |entry: &&(String, Entry)| entry.0.contains("-0-rescue");
    let chosen = by_name.or_else(|| entries.get(number?));
    chosen.or_else(|| entries.iter().find(|entry| !is_rescue(entry))).map(|(_, entry)| entry.clone())
}

/// GRUB legacy's menu.lst, which pygrub reads as well.
fn grub_legacy(text: &str) -> Option<Entry> {
    let mut default = 0;
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (key, value) = line.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((line, ""));
        let path = value.split_whitespace().next().unwrap_or_default();
        match (key, entries.last_mut()) {
            // "saved" is the first one until another was saved.
            ("default", _) => default = value.trim().parse().unwrap_or(0),
            ("title", _) => entries.push(Entry::default()),
            ("kernel", Some(entry)) => path.clone_into(&mut entry.kernel),
            ("initrd", Some(entry)) => entry.initramfs = Some(path.to_owned()),
            // With a hypervisor in front the kernel is its first module.
            ("module", Some(entry)) if entry.kernel.contains("/xen") => path.clone_into(&mut entry.kernel),
            _ => {}
        }
    }
    entries.get(default).or(entries.first()).filter(|entry| !entry.kernel.is_empty()).cloned()
}

/// extlinux.conf and syslinux.cfg.
fn extlinux(text: &str) -> Option<Entry> {
    let mut default = String::new();
    let mut entries: Vec<(String, Entry)> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        let path = || value.split(',').next_back().unwrap_or_default().to_owned();
        match (key.to_ascii_lowercase().as_str(), entries.last_mut()) {
            ("default", None) => value.clone_into(&mut default),
            ("label", _) => entries.push((value.to_owned(), Entry::default())),
            ("linux" | "kernel", Some((_, entry))) => entry.kernel = path(),
            ("initrd", Some((_, entry))) => entry.initramfs = Some(path()),
            ("menu", Some((label, _))) if value.eq_ignore_ascii_case("default") => default.clone_from(label),
            _ => {}
        }
    }
    let chosen = entries.iter().find(|(label, _)| *label == default).or(entries.first());
    chosen.map(|(_, entry)| entry.clone()).filter(|entry| !entry.kernel.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tree::Tree;

    const GRUB2: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set boot_once=true
else
   set default="DEFAULT"
fi
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-aa' {
	insmod gzio
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=aa ro  quiet
	initrd	/boot/microcode.cpio /boot/initrd.img-6.1.0-18-amd64
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-aa' {
	menuentry 'Debian, with Linux 6.1.0-18-amd64' --class debian $menuentry_id_option 'gnulinux-18' {
		linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=aa ro
	}
	menuentry 'Debian, with Linux 6.1.0-17-amd64' --class debian --id 'gnulinux-17' {
		linux16	/vmlinuz-6.1.0-17-amd64 root=UUID=aa ro
		initrd16	/initrd.img-6.1.0-17-amd64
	}
}
"#;

    fn kernel(default: &str, environment: &str) -> String {
        grub2(&GRUB2.replace("DEFAULT", default), environment).unwrap().kernel
    }

    #[test]
    fn grub2_starts_the_entry_that_its_default_names() {
        let (newer, older) = ("/boot/vmlinuz-6.1.0-18-amd64", "/vmlinuz-6.1.0-17-amd64");
        for (default, environment, expected) in [
            ("0", "", newer),
            ("1>1", "", older),
            ("gnulinux-advanced-aa>gnulinux-17", "", older),
            ("Advanced options>Debian, with Linux 6.1.0-17-amd64", "", older),
            ("${saved_entry}", "# GRUB Environment Block\nsaved_entry=1>1\n###", older),
            ("${saved_entry}", "", newer),
            ("0", "next_entry=1>gnulinux-17\n", older),
            ("7", "", newer),
        ] {
            assert_eq!(kernel(default, environment), expected, "{default} {environment}");
        }
        let entry = grub2(&GRUB2.replace("DEFAULT", "0"), "").unwrap();
        assert_eq!(entry.initramfs.as_deref(), Some("/boot/initrd.img-6.1.0-18-amd64"));
    }

    #[test]
    fn grub_legacy_counts_titles() {
        let text = "default=1\ntimeout=5\ntitle CentOS\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.32-754 ro\n\tinitrd /a.img\n\
                    title Xen\n\tkernel /xen.gz-2.6.18\n\tmodule /vmlinuz-2.6.18-xen ro\n\tmodule /initrd-2.6.18-xen.img\n";
        assert_eq!(grub_legacy(text).unwrap().kernel, "/vmlinuz-2.6.18-xen");
        let first = grub_legacy(&text.replace("default=1", "default 0")).unwrap();
        assert_eq!(
            (first.kernel.as_str(), first.initramfs.as_deref()),
            ("/vmlinuz-2.6.32-754", Some("/a.img"))
        );
    }

    #[test]
    fn extlinux_follows_its_default_label() {
        let text = "DEFAULT menu.c32\nLABEL virt\n  MENU DEFAULT\n  LINUX vmlinuz-virt\n  INITRD initramfs-virt\n\
                    LABEL lts\n  LINUX vmlinuz-lts\n";
        assert_eq!(extlinux(text).unwrap().kernel, "vmlinuz-virt");
        assert_eq!(
            extlinux(&text.replace("menu.c32", "lts").replace("MENU DEFAULT", "")).unwrap().kernel,
            "vmlinuz-lts"
        );
    }

    #[test]
    fn specified_entries_follow_the_saved_one_else_the_newest() {
        let entry = |kernel: &str| format!("title x\nlinux /{kernel}\ninitrd /i.img $tuned_initrd\n");
        let files = [
            ("boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n".to_owned()),
            ("boot/loader/entries/ab-5.14.0-9.el9.conf", entry("vmlinuz-5.14.0-9.el9")),
            ("boot/loader/entries/ab-5.14.0-70.el9.conf", entry("vmlinuz-5.14.0-70.el9")),
            ("boot/loader/entries/ab-0-rescue.conf", entry("vmlinuz-0-rescue")),
        ];
        let default = |environment: &str| {
            let mut files = files.to_vec();
            files.push(("boot/grub2/grubenv", environment.to_owned()));
            defaults(&Tree::of(&files).root()).unwrap()[0].clone()
        };
        assert_eq!(default("").kernel, "/vmlinuz-5.14.0-70.el9");
        assert_eq!(default("saved_entry=ab-5.14.0-9.el9\n").kernel, "/vmlinuz-5.14.0-9.el9");
        assert_eq!(default("").initramfs.as_deref(), Some("/i.img"));
    }

    proptest! {
        #[test]
        fn any_configuration_is_read_without_panic(
            lines in proptest::collection::vec(
                prop_oneof![
                    ".*", Just("menuentry 'a' {".to_owned()), Just("submenu b {".to_owned()), Just("}".to_owned()),
                    Just("f {".to_owned()), Just("linux /k".to_owned()), Just("linux".to_owned()),
                    Just("title".to_owned()), Just("default=-1".to_owned()), Just("LABEL x".to_owned()),
                ],
                0..20,
            ),
            environment in ".*",
        ) {
            let text = lines.join("\n");
            let _ = (grub2(&text, &environment), grub_legacy(&text), extlinux(&text), specified(&text));
        }
    }
}
