//! journald's files, as far as finding what is said of one unit needs them: every object of the format is checked
//! against the file's size, every walk has a bound. No hashing: the values of a field are few, and are walked.
//!
//! Source: systemd's docs/JOURNAL_FILE_FORMAT.md and src/libsystemd/sd-journal/journal-def.h.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::{LINE_MAX, LINES_MAX, Said};
use crate::date::Date;
use crate::root::{Kind, Root};

const DIR: &str = "var/log/journal";

/// The most files whose header is read.
const FILES_MAX: usize = 512;
/// The newest files of the last boot that are looked into.
const LOOKED_INTO: usize = 4;
/// The most reads of one file: its lists can lead in circles.
const READS_MAX: usize = 200_000;
/// The most bytes of an array: as many entries as a file of the usual 128 MiB holds.
const ARRAY_MAX: u64 = 8 << 20;
/// The most arrays of one list.
const ARRAYS_MAX: usize = 1000;
/// The most entries of one unit that are looked at, from the end.
const ENTRIES_MAX: usize = 2000;
/// The most fields of an entry.
const FIELDS_MAX: usize = 256;
/// The longest field that is unpacked, in bytes.
const FIELD_MAX: u64 = 64 << 10;

const SIGNATURE: &[u8] = b"LPKSHHRH";
/// The part of the header that every version has.
const HEADER: usize = 208;
/// Above the flags for xz, lz4, keyed hashes, zstd and compact objects there may be others, which change everything.
const KNOWN_FLAGS: u32 = 0x1f;
const COMPACT: u32 = 0x10;

/// Kinds of objects.
const DATA: u8 = 1;
const FIELD: u8 = 2;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

/// An entry's time since the boot in microseconds, as the clock may have been set in between, and its number.
type Order = (u64, u64);

/// What journald's files say.
pub(super) struct Journals {
    /// When the last entry was written, in seconds since 1970.
    pub(super) last: u64,
    pub(super) said: Vec<Said>,
}

/// Returns what the last boot's entries say of a unit; `None` where no file of journald can be read. What is broken, as
/// after a hard stop, is passed over.
pub(super) fn of(root: &Root, unit: &str) -> Result<Option<Journals>> {
    let mut files = files(root)?;
    files.sort_by_key(|file| std::cmp::Reverse(file.last));
    let newest = files.iter().find_map(|file| {
        let boot = passed_over(file.last_boot()).flatten()?;
        Some((file.last / 1_000_000, boot))
    });
    let Some((last, boot)) = newest else { return Ok(None) };
    let about = files.iter().take(LOOKED_INTO).filter_map(|file| passed_over(file.about(unit, &boot)));
    let mut found: Vec<(Order, Said)> = about.flatten().collect();
    found.sort_by_key(|(order, _)| *order);
    let kept = found.split_off(found.len().saturating_sub(LINES_MAX));
    Ok(Some(Journals { last, said: kept.into_iter().map(|(_, said)| said).collect() }))
}

fn passed_over<T>(read: Result<T>) -> Option<T> {
    read.inspect_err(|error| tracing::debug!("{error:#}")).ok()
}

/// Returns the files of the system's journal, of whichever machine id.
fn files(root: &Root) -> Result<Vec<Journal>> {
    let mut files = Vec::new();
    for machine in root.read_dir(DIR)? {
        let dir = format!("{DIR}/{}", machine.name);
        let Ok(paths) = root.files_in(&dir, ".journal") else { continue };
        for path in paths.iter().filter(|path| path[dir.len()..].starts_with("/system")) {
            if files.len() == FILES_MAX {
                return Ok(files);
            }
            if root.stat_opt(path)?.is_none_or(|stat| stat.kind != Kind::File) {
                continue;
            }
            if let Some((file, size)) = root.open_file(path)? {
                // what is no journal, or of a format to come, is none of ours
                files.extend(Journal::of(path.clone(), file, size));
            }
        }
    }
    Ok(files)
}

/// One file.
struct Journal {
    path: String,
    file: File,
    size: u64,
    is_compact: bool,
    /// Where the hash table of the fields' names is, and its length in bytes.
    fields: (u64, u64),
    /// Where the list of all entries begins.
    entries: u64,
    /// When the last entry was written, in microseconds since 1970.
    last: u64,
    reads: Cell<usize>,
}

/// An object of a kind that was asked for.
struct Object {
    at: u64,
    size: u64,
    flags: u8,
}

impl Journal {
    fn of(path: String, file: File, size: u64) -> Option<Self> {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).ok()?;
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default());
        let flags = u32::from_le_bytes(header[12..16].try_into().unwrap_or_default());
        if !header.starts_with(SIGNATURE) || flags & !KNOWN_FLAGS != 0 {
            return None;
        }
        let is_compact = flags & COMPACT != 0;
        let (fields, entries, last) = ((word(120), word(128)), word(176), word(192));
        Some(Self { path, file, size, is_compact, fields, entries, last, reads: Cell::new(0) })
    }

    /// Returns the entries of a boot about a unit: systemd's own, which others can imitate but for their process, and
    /// the unit's.
    fn about(&self, unit: &str, boot: &[u8]) -> Result<Vec<(Order, Said)>> {
        let mut found = Vec::new();
        for (field, by_systemd) in [("UNIT", true), ("_SYSTEMD_UNIT", false)] {
            let Some(data) = self.data_of(field, &format!("{field}={unit}"))? else { continue };
            for entry in self.entries_of(data)?.into_iter().rev() {
                let entry = self.object(entry, ENTRY)?;
                if self.bytes(entry.at + 40, 16)? != boot {
                    break;
                }
                let (message, pid) = self.message_of(&entry)?;
                if by_systemd && pid != "1" {
                    continue;
                }
                let time = self.word(entry.at + 24)? / 1_000_000;
                let who = if by_systemd { "systemd: " } else { "" };
                let text = format!("{} {who}{message}", Date::of(time));
                let text = text.chars().take(LINE_MAX).collect();
                let said = Said { source: self.path.clone(), time: Some(time), by_systemd, text };
                found.push(((self.word(entry.at + 32)?, self.word(entry.at + 16)?), said));
            }
        }
        Ok(found)
    }

    /// Returns where the data object of a field and value is. One that is short is not packed.
    fn data_of(&self, field: &str, wanted: &str) -> Result<Option<u64>> {
        let Some(field) = self.field(field)? else { return Ok(None) };
        let mut next = self.word(field + 32)?;
        while next != 0 {
            let data = self.object(next, DATA)?;
            let start = self.payload_start();
            let has_length = data.flags == 0 && data.size == start + wanted.len() as u64;
            if has_length && self.bytes(data.at + start, wanted.len() as u64)? == wanted.as_bytes() {
                return Ok(Some(data.at));
            }
            next = self.word(data.at + 32)?;
        }
        Ok(None)
    }

    /// Returns where the object of a field's name is.
    fn field(&self, name: &str) -> Result<Option<u64>> {
        let (table, length) = self.fields;
        for bucket in 0..length / 16 {
            let mut next = self.word(table.saturating_add(bucket * 16))?;
            while next != 0 {
                let field = self.object(next, FIELD)?;
                let has_length = field.size == 40 + name.len() as u64;
                if has_length && self.bytes(field.at + 40, field.size - 40)? == name.as_bytes() {
                    return Ok(Some(field.at));
                }
                next = self.word(field.at + 24)?;
            }
        }
        Ok(None)
    }

    /// Returns the id of the boot of the last entry.
    fn last_boot(&self) -> Result<Option<Vec<u8>>> {
        for array in self.arrays(self.entries)?.iter().rev() {
            if let Some(entry) = self.items(array)?.last() {
                return self.bytes(self.object(*entry, ENTRY)?.at + 40, 16).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns where the last entries with a data object are, the oldest first.
    fn entries_of(&self, data: u64) -> Result<Vec<u64>> {
        let mut newest = Vec::new();
        for array in self.arrays(self.word(data + 48)?)?.iter().rev() {
            newest.extend(self.items(array)?.into_iter().rev());
            if newest.len() >= ENTRIES_MAX {
                break;
            }
        }
        newest.push(self.word(data + 40)?);
        newest.truncate(ENTRIES_MAX);
        newest.retain(|entry| *entry != 0);
        newest.reverse();
        Ok(newest)
    }

    /// Returns a list of arrays: each is larger than the one before, so there are few.
    fn arrays(&self, first: u64) -> Result<Vec<Object>> {
        let (mut arrays, mut next) = (Vec::new(), first);
        while next != 0 && arrays.len() < ARRAYS_MAX {
            let array = self.object(next, ENTRY_ARRAY)?;
            next = self.word(array.at + 16)?;
            arrays.push(array);
        }
        Ok(arrays)
    }

    /// Returns what an array holds; the end of the last one is room for later.
    fn items(&self, array: &Object) -> Result<Vec<u64>> {
        let width = if self.is_compact { 4 } else { 8 };
        let length = array.size.saturating_sub(24).min(ARRAY_MAX);
        let items = self.bytes(array.at + 24, length)?;
        Ok(items.chunks_exact(width as usize).map(number).filter(|entry| *entry != 0).collect())
    }

    /// Returns what an entry says, and which process said it.
    fn message_of(&self, entry: &Object) -> Result<(String, String)> {
        let width = if self.is_compact { 4 } else { 16 };
        let length = entry.size.saturating_sub(64).min(width * FIELDS_MAX as u64);
        let (mut message, mut pid) = (String::new(), String::new());
        for item in self.bytes(entry.at + 64, length)?.chunks_exact(width as usize) {
            let data = self.object(number(&item[..item.len().min(8)]), DATA)?;
            let payload = self.payload(&data)?.unwrap_or_default();
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            if let Some(value) = payload.strip_prefix(b"MESSAGE=") {
                message = text(value);
            } else if let Some(value) = payload.strip_prefix(b"_PID=") {
                pid = text(value);
            }
        }
        Ok((message, pid))
    }

    fn payload_start(&self) -> u64 {
        if self.is_compact { 72 } else { 64 }
    }

    /// Returns the beginning of the value of a data object; `None` where it is packed in a way that is not known.
    fn payload(&self, data: &Object) -> Result<Option<Vec<u8>>> {
        let start = self.payload_start();
        let length = data.size.saturating_sub(start);
        let bytes = self.bytes(data.at + start, length.min(FIELD_MAX))?;
        Ok(match data.flags {
            0 => Some(bytes),
            _ if length > FIELD_MAX => None,
            flags => unpacked(flags, &bytes),
        })
    }

    /// Returns an object of the kind that is expected.
    fn object(&self, at: u64, kind: u8) -> Result<Object> {
        let header = self.bytes(at, 16)?;
        let size = number(&header[8..]);
        anyhow::ensure!(
            header[0] == kind && size >= 16 && size <= self.size.saturating_sub(at),
            "reading {}: no object of kind {kind} at {at}",
            self.path
        );
        Ok(Object { at, size, flags: header[1] })
    }

    fn word(&self, at: u64) -> Result<u64> {
        Ok(number(&self.bytes(at, 8)?))
    }

    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>> {
        self.reads.set(self.reads.get() + 1);
        anyhow::ensure!(self.reads.get() <= READS_MAX, "reading {}: its lists have no end", self.path);
        anyhow::ensure!(at <= self.size && length <= self.size - at, "reading {}: it ends early", self.path);
        let mut bytes = vec![0; usize::try_from(length)?];
        self.file.read_exact_at(&mut bytes, at).with_context(|| format!("reading {}", self.path))?;
        Ok(bytes)
    }
}

/// Returns a number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    u64::from_le_bytes(word)
}

/// Unpacks a value by the flags of its object: xz, lz4 behind its length, or zstd.
fn unpacked(flags: u8, packed: &[u8]) -> Option<Vec<u8>> {
    const XZ: u8 = 1;
    const LZ4: u8 = 2;
    const ZSTD: u8 = 4;
    let reader: Box<dyn Read> = match flags {
        XZ => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, false, 1 << 16)),
        ZSTD => Box::new(ruzstd::decoding::StreamingDecoder::new(packed).ok()?),
        LZ4 => {
            let (length, block) = packed.split_at_checked(8)?;
            let length = usize::try_from(number(length)).ok().filter(|length| *length <= 1 << 20)?;
            Box::new(std::io::Cursor::new(lz4_flex::block::decompress(block, length).ok()?))
        }
        _ => return None,
    };
    let mut value = Vec::new();
    reader.take(FIELD_MAX).read_to_end(&mut value).ok()?;
    Some(value)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "makes files with the real program, or says why not"
)]
mod tests;
