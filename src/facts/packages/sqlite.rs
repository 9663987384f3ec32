//! A row of a table of an SQLite database (sqlite.org/fileformat2.html).
//!
//! A table is walked from its root page, so rows that were deleted are not seen, which a search for bytes would find.
//! It knows no indexes, no queries and no write-ahead log: what a program left in a log when it was killed is missing.
//! Rows are cut, since what is wanted stands at their beginning. The file is untrusted: pages are counted, and none is
//! read that the file does not have.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of the file's header, before the first page's own.
const HEADER: usize = 100;
/// Levels of a table's tree; 2^31 pages need fewer.
const DEPTH_MAX: usize = 20;
/// Pages that are read of one file: 1 GiB at the usual 4096 bytes. A sound file's pages are read once for each table.
const PAGES_MAX: u64 = 1 << 18;
/// Rows that are read; a large server has 3000 packages.
const ROWS_MAX: usize = 200_000;

/// An open database.
pub(super) struct Database {
    file: File,
    page_size: usize,
    /// Bytes of a page that hold data.
    usable: usize,
    pages: u32,
    /// Pages that may still be read.
    pages_left: u64,
    rows_left: usize,
}

/// One column of a row, as far as the row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'r> {
    /// A text or a blob.
    Bytes(&'r [u8]),
    /// A whole number.
    Number(i64),
    /// NULL or a broken number.
    Other,
}

impl Database {
    /// Reads the header of a database.
    pub(super) fn open(mut file: File, size: u64) -> Result<Self> {
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        ensure!(header.starts_with(MAGIC), "no SQLite database");
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            size => usize::from(size),
        };
        ensure!(page_size.is_power_of_two() && page_size >= 512, "pages of {page_size} bytes");
        let usable = page_size - usize::from(header[20]);
        ensure!(usable >= 480, "pages with {usable} usable bytes");
        let pages = u32::try_from(size / page_size as u64).unwrap_or(u32::MAX);
        let pages_left = PAGES_MAX.min(u64::from(pages) * 2);
        Ok(Self { file, page_size, usable, pages, pages_left, rows_left: ROWS_MAX })
    }

    /// Looks at the first `limit` bytes of each row of a table until `look` finds what it wants, and returns that;
    /// `None` also where there is no such table.
    pub(super) fn find<T>(
        &mut self,
        table: &str,
        limit: usize,
        look: impl Fn(&[Value<'_>]) -> Option<T>,
    ) -> Result<Option<T>> {
        // sqlite_schema: type, name, tbl_name, rootpage, sql
        let root = self.walk(1, limit, |row| match row {
            [Value::Bytes(b"table"), Value::Bytes(name), _, Value::Number(page), ..] => {
                (*name == table.as_bytes()).then_some(*page)
            }
            _ => None,
        })?;
        let Some(root) = root else { return Ok(None) };
        self.walk(u32::try_from(root).context("a page's number")?, limit, look)
    }

    fn walk<T>(
        &mut self,
        root: u32,
        limit: usize,
        look: impl Fn(&[Value<'_>]) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut ahead = vec![(root, 0)];
        while let Some((number, depth)) = ahead.pop() {
            ensure!(depth < DEPTH_MAX, "a tree of more than {DEPTH_MAX} levels");
            let page = self.page(number)?;
            let start = if number == 1 { HEADER } else { 0 };
            let cells = number_at::<2>(&page, start + 3)? as usize;
            let (pointers, is_leaf) = match page.get(start) {
                Some(0x0d) => (start + 8, true),
                Some(0x05) => (start + 12, false),
                kind => bail!("page {number} is no page of a table: {kind:?}"),
            };
            for cell in 0..cells {
                let at = number_at::<2>(&page, pointers + 2 * cell)? as usize;
                if !is_leaf {
                    ahead.push((number_at::<4>(&page, at)?, depth + 1));
                    continue;
                }
                self.rows_left = self.rows_left.checked_sub(1).context("more rows than are read")?;
                let row = self.row(&page, at, limit)?;
                if let Some(found) = look(&columns(&row)) {
                    return Ok(Some(found));
                }
            }
            if !is_leaf {
                ahead.push((number_at::<4>(&page, start + 8)?, depth + 1));
            }
        }
        Ok(None)
    }

    /// Returns the beginning of the row in a leaf's cell, from its overflow pages where it does not fit.
    fn row(&mut self, page: &[u8], cell: usize, limit: usize) -> Result<Vec<u8>> {
        let (length, rest) = varint(page.get(cell..).unwrap_or_default()).context("a cell's length")?;
        let (_rowid, rest) = varint(rest).context("a cell's number")?;
        let length = usize::try_from(length).context("a cell's length")?;
        let local = self.local(length);
        let mut row = rest.get(..local).context("a cell beyond its page")?.to_vec();
        if local < length && row.len() < limit {
            let mut next = number_at::<4>(rest, local)?;
            while next != 0 && row.len() < length.min(limit) {
                let page = self.page(next)?;
                next = number_at::<4>(&page, 0)?;
                row.extend_from_slice(&page[4..self.usable]);
            }
        }
        row.truncate(length.min(limit));
        Ok(row)
    }

    /// How many bytes of a row are in the leaf itself ("Cell Payload Overflow Pages").
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (self.usable - 4);
        if local <= most { local } else { least }
    }

    fn page(&mut self, number: u32) -> Result<Vec<u8>> {
        ensure!((1..=self.pages).contains(&number), "page {number} of {}", self.pages);
        self.pages_left = self.pages_left.checked_sub(1).context("more pages than the file has")?;
        self.file.seek(SeekFrom::Start(u64::from(number - 1) * self.page_size as u64))?;
        let mut page = vec![0; self.page_size];
        self.file.read_exact(&mut page)?;
        Ok(page)
    }
}

/// Takes a row apart ("Record Format"); columns beyond its cut end are shorter or missing.
fn columns(row: &[u8]) -> Vec<Value<'_>> {
    let mut columns = Vec::new();
    let Some((header, after)) = varint(row) else { return columns };
    let used = row.len() - after.len();
    let Some(header) = usize::try_from(header).ok().filter(|end| (used..=row.len()).contains(end)) else {
        return columns;
    };
    let (mut kinds, mut data) = (&row[used..header], &row[header..]);
    while let Some((kind, rest)) = varint(kinds) {
        kinds = rest;
        let length = match kind {
            0 | 8..=11 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            text_or_blob => (text_or_blob - 12) / 2,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(data.len());
        let (bytes, rest) = data.split_at(length);
        data = rest;
        columns.push(match kind {
            1..=6 => Value::Number(bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))),
            8 | 9 => Value::Number(if kind == 9 { 1 } else { 0 }),
            12.. => Value::Bytes(bytes),
            _ => Value::Other,
        });
    }
    columns
}

/// Reads a number of 1 to 9 bytes, the high bit of each but the ninth saying that there is more.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (place, &byte) in bytes.iter().enumerate().take(9) {
        if place == 8 {
            return Some((number << 8 | u64::from(byte), &bytes[9..]));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}

/// Reads a big-endian number of `N` bytes, 4 at most.
fn number_at<const N: usize>(bytes: &[u8], at: usize) -> Result<u32> {
    let bytes = bytes.get(at..at + N).context("a number beyond its page")?;
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn open(bytes: &[u8]) -> Result<Database> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        Database::open(file, bytes.len() as u64)
    }

    /// A database of one page of 512 bytes and what follows it.
    fn database(schema: &[u8], more: &[u8]) -> Vec<u8> {
        let mut page = vec![0; 512];
        page[..16].copy_from_slice(MAGIC);
        page[16..18].copy_from_slice(&512_u16.to_be_bytes());
        page[100..100 + schema.len()].copy_from_slice(schema);
        page.extend(more);
        page
    }

    #[test]
    fn numbers_have_one_to_nine_bytes() {
        assert_eq!(varint(&[0x7f, 9]), Some((127, &[9][..])));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, &[][..])));
        assert_eq!(varint(&[0xff; 10]), Some((u64::MAX, &[0xff][..])));
        assert_eq!(varint(&[0x80]), None);
    }

    #[test]
    fn columns_are_told_by_their_kinds() {
        let row = [6, 0, 1, 9, 17, 16, 42, b'a', b'b', 1, 2];
        let expected =
            [Value::Other, Value::Number(42), Value::Number(1), Value::Bytes(b"ab"), Value::Bytes(&[1, 2])];
        assert_eq!(columns(&row), expected);
        assert_eq!(
            columns(&row[..8]),
            [Value::Other, Value::Number(42), Value::Number(1), Value::Bytes(b"a"), Value::Bytes(b"")]
        );
        assert_eq!(columns(&[200]), []);
    }

    #[test]
    fn a_page_that_is_its_own_child_ends() {
        let own_child = [0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let error =
            open(&database(&own_child, &[])).unwrap().find("t", 10, |_| None::<()>).unwrap_err().to_string();
        assert_eq!(error, "more pages than the file has");
        let beyond = [0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let error =
            open(&database(&beyond, &[])).unwrap().find("t", 10, |_| None::<()>).unwrap_err().to_string();
        assert_eq!(error, "page 9 of 1");
        assert!(open(b"SQLite format 3").is_err());
    }

    proptest! {
        #[test]
        fn any_pages_are_read(schema in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..3, more in any::<u8>()) {
            let kind = [0x05, 0x0d, 0][usize::from(kind)];
            let bytes = database(&[&[kind], &schema[..]].concat(), &vec![more; 512 * 3]);
            if let Ok(mut database) = open(&bytes) {
                let _ = database.find("t", 100, |_| None::<()>);
            }
            columns(&schema);
        }
    }
}
