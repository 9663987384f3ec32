//! Whether an initramfs holds a file: archives in cpio's "newc" form, one after the other, the last one often
//! compressed (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Plain and gzip archives are read, as far as a bound of time and size; of others it is said that they were not.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::time::{Duration, Instant};

use anyhow::Result;
use flate2::bufread::MultiGzDecoder;

/// Longer than this an archive is not read: a check has two seconds.
const TIME_MAX: Duration = Duration::from_millis(1200);
/// The most that is unpacked, in bytes.
const SIZE_MAX: u64 = 1 << 30;
/// A longer name is no name: the kernel's own limit (`PATH_MAX`).
const NAME_MAX: u64 = 4096;
/// The length of a "newc" header in bytes.
const HEADER: usize = 110;

/// What an initramfs says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The file is in it.
    Yes,
    /// The file is not in it.
    No,
    /// The reason why it was not looked into.
    NotLookedInto(&'static str),
}

/// Looks for a file whose name begins with one of `names` (a module may be compressed).
pub(super) fn holds(archive: impl Read, names: &[&str]) -> Result<Holds> {
    let mut archive = BufReader::with_capacity(64 << 10, archive.take(SIZE_MAX));
    let end = Instant::now() + TIME_MAX;
    loop {
        skip_zeros(&mut archive)?;
        let found = match archive.fill_buf()? {
            [] => return Ok(Holds::No),
            [b'0', b'7', b'0', b'7', ..] => read_cpio(&mut archive, names, end)?,
            [0x1f, 0x8b, ..] => {
                let mut unpacked = BufReader::new(MultiGzDecoder::new(&mut archive).take(SIZE_MAX));
                return Ok(match read_cpio(&mut unpacked, names, end) {
                    Ok(Archive::Found) => Holds::Yes,
                    Ok(Archive::Ended) => Holds::No,
                    Ok(Archive::TooLong) => Holds::NotLookedInto("it is too large"),
                    Ok(Archive::Broken) => Holds::NotLookedInto("its archive is broken"),
                    // What the decoder refuses; an error of the disk has another kind.
                    Err(e) if is_of_decoder(e.kind()) => Holds::NotLookedInto("its archive is broken"),
                    Err(e) => return Err(e.into()),
                });
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Holds::NotLookedInto("it is packed with zstd")),
            [0xfd, b'7', b'z', ..] => return Ok(Holds::NotLookedInto("it is packed with xz")),
            [0x02, 0x21, 0x4c, 0x18, ..] => return Ok(Holds::NotLookedInto("it is packed with lz4")),
            _ => return Ok(Holds::NotLookedInto("it is packed in another way")),
        };
        match found {
            Archive::Found => return Ok(Holds::Yes),
            Archive::TooLong => return Ok(Holds::NotLookedInto("it is too large")),
            Archive::Broken => return Ok(Holds::NotLookedInto("its archive is broken")),
            Archive::Ended => {}
        }
    }
}

fn is_of_decoder(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
}

/// How the reading of one archive ended.
enum Archive {
    Found,
    Ended,
    TooLong,
    Broken,
}

fn read_cpio(archive: &mut impl BufRead, names: &[&str], end: Instant) -> std::io::Result<Archive> {
    loop {
        if Instant::now() > end {
            return Ok(Archive::TooLong);
        }
        let mut header = [0; HEADER];
        if archive.read_exact(&mut header).is_err() {
            return Ok(Archive::Broken);
        }
        let is_newc = header.starts_with(b"070701") || header.starts_with(b"070702");
        // Thirteen fields of eight hexadecimal digits; the 7th is the size of the file, the 12th that of its name.
        let (Some(size), Some(length)) = (field(&header, 6), field(&header, 11)) else {
            return Ok(Archive::Broken);
        };
        if !is_newc || length == 0 || length > NAME_MAX {
            return Ok(Archive::Broken);
        }
        let mut name = Vec::new();
        archive.take(length).read_to_end(&mut name)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if names.iter().any(|wanted| file.starts_with(wanted.as_bytes())) {
            return Ok(Archive::Found);
        }
        if name == b"TRAILER!!!" {
            return Ok(Archive::Ended);
        }
        skip(archive, padding(HEADER as u64 + length) + size + padding(size))?;
    }
}

fn field(header: &[u8; HEADER], number: usize) -> Option<u64> {
    let digits = header.get(6 + number * 8..14 + number * 8)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Bytes up to the next multiple of four.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % 4
}

fn skip(archive: &mut impl BufRead, count: u64) -> std::io::Result<()> {
    std::io::copy(&mut archive.take(count), &mut std::io::sink()).map(drop)
}

fn skip_zeros(archive: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = archive.fill_buf()?;
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let only_zeros = zeros == buffer.len() && zeros > 0;
        archive.consume(zeros);
        if !only_zeros {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn cpio(names: &[&str]) -> Vec<u8> {
        let mut archive = Vec::new();
        for name in names.iter().chain(&["TRAILER!!!"]) {
            let body: &[u8] = if *name == "TRAILER!!!" { b"" } else { b"hello" };
            let mut fields = [0; 13];
            (fields[6], fields[11]) = (body.len(), name.len() + 1);
            archive.extend(b"070701");
            fields.iter().for_each(|field| archive.extend(format!("{field:08x}").bytes()));
            archive.extend(name.bytes().chain([0]));
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.extend(body);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
        archive.resize(archive.len().next_multiple_of(512), 0);
        archive
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_driver_is_found_in_plain_and_gzip_archives_behind_microcode() {
        let with = cpio(&["bin/sh", "lib/modules/6.1/kernel/drivers/block/xen-blkfront.ko.xz"]);
        let without = cpio(&["bin/sh", "lib/modules/6.1/kernel/drivers/block/virtio_blk.ko"]);
        let microcode = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
        for (archive, expected) in [
            (with.clone(), Holds::Yes),
            (without.clone(), Holds::No),
            (gzip(&with), Holds::Yes),
            (gzip(&without), Holds::No),
            ([microcode.clone(), gzip(&with)].concat(), Holds::Yes),
            ([microcode.clone(), gzip(&without)].concat(), Holds::No),
            (
                [microcode, b"\x28\xb5\x2f\xfd".to_vec()].concat(),
                Holds::NotLookedInto("it is packed with zstd"),
            ),
            (with[..200].to_vec(), Holds::NotLookedInto("its archive is broken")),
            (gzip(&without)[..60].to_vec(), Holds::NotLookedInto("its archive is broken")),
            (Vec::new(), Holds::No),
        ] {
            assert_eq!(holds(archive.as_slice(), &["xen-blkfront.ko"]).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), packed: bool) {
            let bytes = [b"070701".to_vec(), bytes].concat();
            let _ = holds(if packed { gzip(&bytes) } else { bytes }.as_slice(), &["x"]);
        }
    }
}
