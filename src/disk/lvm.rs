//! Logical volumes, read from the metadata of the physical volume that they lie on.
//!
//! Nothing is activated: a logical volume in one piece is a stretch of the disk and is mounted as one. So the names
//! and UUIDs of the volume groups do not matter, which are the same on a rescue system that was made from the same
//! template. A volume in several pieces, on several disks or of another type than linear needs the device mapper: it
//! is named with the command that activates it.

use std::collections::BTreeMap;

use anyhow::Result;

use super::bytes::{Bytes, le32, le64};
use super::partitions::Extent;

/// The most metadata text that is read, in bytes.
const TEXT_MAX: usize = 4 << 20;
/// How deep sections stand in each other: group, volumes, volume, segment.
const DEPTH_MAX: usize = 8;
/// Sections and values that are read of one text.
const ITEMS_MAX: usize = 100_000;

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogicalVolume {
    /// Its group.
    pub(super) group: String,
    /// Its name in the group.
    pub(super) name: String,
    /// Where it lies in the physical volume, or why it cannot be reached.
    pub(super) extent: Result<Extent, String>,
}

/// Returns the logical volumes on a physical volume.
///
/// # Errors
/// It cannot be read, or its metadata makes no sense.
pub(super) fn read(volume: &Bytes) -> Result<Vec<LogicalVolume>> {
    let Some((uuid, text)) = metadata(volume)? else { return Ok(Vec::new()) };
    Ok(volumes(&uuid, &text, volume.size()).unwrap_or_default())
}

/// Returns the physical volume's UUID and the text (lib/format_text/layout.h).
fn metadata(volume: &Bytes) -> Result<Option<(String, String)>> {
    for sector in 0..4 {
        let Some(label) = volume.at(sector * 512, 512)? else { return Ok(None) };
        if !label.starts_with(b"LABELONE") {
            continue;
        }
        let header = (le32(&label, 20) as usize).clamp(32, 256);
        let uuid = String::from_utf8_lossy(&label[header..header + 32]).into_owned();
        // two lists of places, each ended by zeros: data, then metadata
        let mut places = label[header + 40..].chunks_exact(16).map(|place| (le64(place, 0), le64(place, 8)));
        places.by_ref().take(8).find(|(start, _)| *start == 0);
        for (start, size) in places.take_while(|(start, _)| *start != 0).take(4) {
            if let Some(text) = area(volume, start, size)? {
                return Ok(Some((uuid, text)));
            }
        }
    }
    Ok(None)
}

/// Reads the newest text of a metadata area, which is a ring behind its first sector.
fn area(volume: &Bytes, start: u64, size: u64) -> Result<Option<String>> {
    let Some(header) = volume.at(start, 512)? else { return Ok(None) };
    if header[4..20] != *b" LVM2 x[5A%r0N*>" {
        return Ok(None);
    }
    let (offset, length) = (le64(&header, 40), le64(&header, 48));
    let Ok(wanted) = usize::try_from(length) else { return Ok(None) };
    if wanted == 0 || wanted > TEXT_MAX || offset < 512 || offset >= size || length > size - 512 {
        return Ok(None);
    }
    let first = wanted.min(usize::try_from(size - offset).unwrap_or(usize::MAX));
    let Some(mut text) = volume.at(start.saturating_add(offset), first)? else { return Ok(None) };
    if first < wanted {
        let Some(rest) = volume.at(start + 512, wanted - first)? else { return Ok(None) };
        text.extend(rest);
    }
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// A section of the text, or a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Section(BTreeMap<String, Item>),
    Values(Vec<String>),
}

impl Item {
    fn section(&self, name: &str) -> Option<&BTreeMap<String, Item>> {
        let Self::Section(items) = self else { return None };
        match items.get(name) {
            Some(Self::Section(items)) => Some(items),
            _ => None,
        }
    }

    fn word(&self, name: &str) -> Option<&str> {
        let Self::Section(items) = self else { return None };
        match items.get(name) {
            Some(Self::Values(values)) => values.first().map(String::as_str),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.word(name)?.parse().ok()
    }
}

fn volumes(uuid: &str, text: &str, size: u64) -> Option<Vec<LogicalVolume>> {
    let tokens = &mut tokens(text).into_iter();
    let Item::Section(whole) = parse(tokens, 0)? else { return None };
    let (group, items) = whole.iter().find(|(_, item)| matches!(item, Item::Section(_)))?;
    let extent_size = items.number("extent_size")?;
    let this = items.section("physical_volumes")?.iter().find(|(_, pv)| {
        // printed in groups with dashes, stored without
        pv.word("id").is_some_and(|id| id.replace('-', "") == uuid)
    });
    let (this, pv) = this?;
    let ground = Ground { name: this, start: pv.number("pe_start")?, extent_size, size };
    let all = items.section("logical_volumes").into_iter().flatten();
    // what lvm(8) allows in a name; these become words of a command
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "+_.-".contains(c));
    if !is_name(group) {
        return None;
    }
    Some(
        all.filter(|(name, _)| is_name(name))
            .map(|(name, volume)| LogicalVolume {
                group: group.clone(),
                name: name.clone(),
                extent: ground.extent(volume),
            })
            .collect(),
    )
}

/// The physical volume on which the extents lie.
struct Ground<'t> {
    name: &'t str,
    /// Where its extents begin, in sectors.
    start: u64,
    /// In sectors.
    extent_size: u64,
    /// Of the whole, in bytes.
    size: u64,
}

impl Ground<'_> {
    fn extent(&self, volume: &Item) -> Result<Extent, String> {
        let nonsense = || "its metadata makes no sense".to_owned();
        let count = volume.number("segment_count").ok_or_else(nonsense)?;
        let mut piece: Option<(u64, u64)> = None;
        for number in 1..=count.min(10_000) {
            let Item::Section(items) = volume else { return Err(nonsense()) };
            let segment = items.get(&format!("segment{number}")).ok_or_else(nonsense)?;
            let kind = segment.word("type").ok_or_else(nonsense)?;
            if kind != "striped" || segment.number("stripe_count") != Some(1) {
                return Err(format!("it is of type {kind}, not linear"));
            }
            let Item::Section(items) = segment else { return Err(nonsense()) };
            let Some(Item::Values(stripe)) = items.get("stripes") else { return Err(nonsense()) };
            let [pv, first] = stripe.as_slice() else { return Err(nonsense()) };
            if pv != self.name {
                return Err("a part of it lies on another physical volume".to_owned());
            }
            let first: u64 = first.parse().map_err(|_| nonsense())?;
            let length = segment.number("extent_count").ok_or_else(nonsense)?;
            piece = match piece {
                None => Some((first, length)),
                Some((start, so_far)) if start.checked_add(so_far) == Some(first) => {
                    Some((start, so_far.checked_add(length).ok_or_else(nonsense)?))
                }
                Some(_) => return Err(format!("it lies in {count} pieces")),
            };
        }
        let (first, length) = piece.ok_or_else(nonsense)?;
        let bytes = |extents: u64| extents.checked_mul(self.extent_size)?.checked_mul(512);
        let start = bytes(first).and_then(|at| at.checked_add(self.start.checked_mul(512)?));
        let (start, length) = start.zip(bytes(length)).ok_or_else(nonsense)?;
        let fits = length > 0 && start.checked_add(length).is_some_and(|end| end <= self.size);
        fits.then_some(Extent { start, length }).ok_or_else(|| "it reaches beyond its disk".to_owned())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Mark(char),
}

/// Splits `name { key = value  key = ["a", 1] }  # comment`.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_end_matches('\0');
    while let Some(first) = rest.chars().next() {
        if tokens.len() > ITEMS_MAX {
            break;
        }
        rest = match first {
            '#' => rest.split_once('\n').map_or("", |(_, rest)| rest),
            '"' => {
                let (word, behind) = quoted(&rest[1..]);
                tokens.push(Token::Word(word.to_owned()));
                behind
            }
            '{' | '}' | '[' | ']' | '=' | ',' => {
                tokens.push(Token::Mark(first));
                &rest[1..]
            }
            c if c.is_whitespace() => rest.trim_start(),
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "{}[]=,#\"".contains(c));
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                tokens.push(Token::Word(word.to_owned()));
                behind
            }
        };
    }
    tokens
}

/// Splits at the quote that ends a string: one behind a backslash does not. The words that matter have none.
fn quoted(text: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => return (&text[..at], &text[at + 1..]),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    (text, "")
}

fn parse(tokens: &mut std::vec::IntoIter<Token>, depth: usize) -> Option<Item> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut items = BTreeMap::new();
    loop {
        let name = match tokens.next() {
            None | Some(Token::Mark('}')) => return Some(Item::Section(items)),
            Some(Token::Word(name)) => name,
            Some(Token::Mark(_)) => return None,
        };
        let item = match tokens.next()? {
            Token::Mark('{') => parse(tokens, depth + 1)?,
            Token::Mark('=') => Item::Values(values(tokens)?),
            _ => return None,
        };
        items.insert(name, item);
    }
}

fn values(tokens: &mut std::vec::IntoIter<Token>) -> Option<Vec<String>> {
    match tokens.next()? {
        Token::Word(word) => return Some(vec![word]),
        Token::Mark('[') => {}
        Token::Mark(_) => return None,
    }
    let mut values = Vec::new();
    loop {
        match tokens.next()? {
            Token::Word(word) => values.push(word),
            Token::Mark(',') => {}
            Token::Mark(']') => return Some(values),
            Token::Mark(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GROUP: &str = r#"
# as vgcfgbackup(8) writes it
rootvg {
id = "DLIwbo-TXbB-45Xq-hbn6-y1i6-lbIt-aS3Ocx"
status = ["RESIZEABLE", "READ", "WRITE"]
extent_size = 8192	# 4 Megabytes
physical_volumes {
pv0 { id = "Yr12qe-3Nue" pe_start = 2048 pe_count = 74 }
pv1 { id = "other" pe_start = 2048 }
}
logical_volumes {
root { segment_count = 2
segment1 { start_extent = 0 extent_count = 10 type = "striped" stripe_count = 1 stripes = ["pv0", 0] }
segment2 { start_extent = 10 extent_count = 5 type = "striped" stripe_count = 1 stripes = ["pv0", 10] } }
split { segment_count = 2
segment1 { extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", 20] }
segment2 { extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", 30] } }
far { segment_count = 1
segment1 { extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv1", 0] } }
thin { segment_count = 1
segment1 { extent_count = 1 type = "thin" } }
huge { segment_count = 1
segment1 { extent_count = 9999999 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } }
}
}
contents = "Text Format Volume Group"
description = "vgcreate --config 'filter = [ \"r|.*|\" ]'"
"#;

    #[test]
    fn a_linear_volume_is_a_stretch_of_the_disk_and_the_others_say_why_not() {
        let mib = 1 << 20;
        let found = volumes("Yr12qe3Nue", GROUP, 300 * mib).unwrap();
        let of =
            |name: &str| found.iter().find(|v| v.name == name && v.group == "rootvg").unwrap().extent.clone();
        assert_eq!(of("root"), Ok(Extent { start: mib, length: 60 * mib }));
        assert_eq!(of("split"), Err("it lies in 2 pieces".to_owned()));
        assert_eq!(of("far"), Err("a part of it lies on another physical volume".to_owned()));
        assert_eq!(of("thin"), Err("it is of type thin, not linear".to_owned()));
        assert_eq!(of("huge"), Err("it reaches beyond its disk".to_owned()));
        assert_eq!(volumes("another", GROUP, 300 * mib), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(cut in 0..GROUP.len(), noise in "[a-z{}=\\[\\]\"#é, 0-9]{0,40}") {
            let text = format!("{}{noise}{}", &GROUP[..cut], &GROUP[cut..]);
            let _ = volumes("Yr12qe3Nue", &text, 1 << 30);
            let _ = volumes("x", &"a {".repeat(5000), 1 << 30);
        }
    }
}
