//! Whether an initramfs holds a file: archives in cpio's "newc" form, one after the other, the last one often
//! compressed (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Archives that are plain or packed with gzip, zstd, xz or lz4 are read, as far as a bound of time and size; of others
//! it is said that they were not. To add a packing: its first bytes and its decoder in `unpacked`.

use std::io::{self, BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use anyhow::Result;
use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// Longer than this an archive is not read: a check has two seconds.
const TIME_MAX: Duration = Duration::from_millis(1200);
/// The most that is unpacked, in bytes.
const SIZE_MAX: u64 = 1 << 30;
/// The most memory that a decoder gets, in bytes: the kernel's own limit (lib/decompress_unzstd.c).
const MEMORY_MAX: u32 = 1 << 27;
/// A longer name is no name: the kernel's own limit (`PATH_MAX`).
const NAME_MAX: u64 = 4096;
/// The length of a "newc" header in bytes.
const HEADER: usize = 110;

const BROKEN: Holds = Holds::NotLookedInto("its archive is broken");

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
    let mut file = File { inner: archive.take(SIZE_MAX), error: None };
    let found = look(&mut BufReader::with_capacity(64 << 10, &mut file), names);
    match file.error {
        Some(error) => Err(error.into()),
        // what a decoder refuses
        None => Ok(found.unwrap_or(BROKEN)),
    }
}

/// The file itself, which keeps its error apart from those of the decoders above it.
struct File<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for File<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.error = Some(error);
            }
            kind.into()
        })
    }
}

fn look(archive: &mut impl BufRead, names: &[&str]) -> io::Result<Holds> {
    let end = Instant::now() + TIME_MAX;
    loop {
        skip_zeros(archive)?;
        let (found, is_last) = match archive.fill_buf()? {
            [] => return Ok(Holds::No),
            [b'0', b'7', b'0', b'7', ..] => (read_cpio(archive, names, end)?, false),
            _ => {
                let Some(unpacked) = unpacked(archive)? else {
                    return Ok(Holds::NotLookedInto("it is packed in another way"));
                };
                (read_cpio(&mut BufReader::new(unpacked.take(SIZE_MAX)), names, end)?, true)
            }
        };
        match found {
            Archive::Found => return Ok(Holds::Yes),
            Archive::TooLong => return Ok(Holds::NotLookedInto("it is too large")),
            Archive::Broken => return Ok(BROKEN),
            Archive::Ended if is_last => return Ok(Holds::No),
            Archive::Ended => {}
        }
    }
}

/// Returns what is packed in an archive; `None` where it is packed in a way that is not known.
fn unpacked<'a>(archive: &'a mut impl BufRead) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match archive.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(archive)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = StreamingDecoder::new_with_max_window_size(archive, MEMORY_MAX.into());
            Box::new(decoder.map_err(io::Error::other)?)
        }
        [0xfd, b'7', b'z', ..] => Box::new(XzReader::new_mem_limit(archive, false, MEMORY_MAX >> 10)),
        // the older form of its frames, which the kernel reads
        [0x02, 0x21, 0x4c, 0x18, ..] => Box::new(FrameDecoder::new(archive)),
        _ => return Ok(None),
    }))
}

/// How the reading of one archive ended.
enum Archive {
    Found,
    Ended,
    TooLong,
    Broken,
}

fn read_cpio(archive: &mut impl BufRead, names: &[&str], end: Instant) -> io::Result<Archive> {
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

fn skip(archive: &mut impl BufRead, count: u64) -> io::Result<()> {
    io::copy(&mut archive.take(count), &mut io::sink()).map(drop)
}

fn skip_zeros(archive: &mut impl BufRead) -> io::Result<()> {
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

    /// Packs with a program, in the form that initramfs-tools and dracut ask it for.
    #[expect(clippy::print_stderr, reason = "says why it is skipped")]
    fn packed_by(argv: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
        use std::process::{Command, Stdio};
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: {} is not installed", argv[0]);
            return None;
        };
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{argv:?}");
        Some(output.stdout)
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
            ([microcode, b"\x89LZO".to_vec()].concat(), Holds::NotLookedInto("it is packed in another way")),
            (with[..200].to_vec(), BROKEN),
            (gzip(&without)[..60].to_vec(), BROKEN),
            (Vec::new(), Holds::No),
        ] {
            assert_eq!(holds(archive.as_slice(), &["xen-blkfront.ko"]).unwrap(), expected);
        }
    }

    #[test]
    fn archives_that_the_distributions_programs_packed_are_read() {
        let many: Vec<String> = (0..3_000).map(|number| format!("lib/modules/{number}.ko")).collect();
        let mut names: Vec<&str> = many.iter().map(String::as_str).collect();
        let without = cpio(&names);
        names.push("lib/modules/xen-blkfront.ko.zst");
        let with = cpio(&names);
        for argv in [
            &["zstd", "-q", "-19", "-T0"][..],
            &["zstd", "-q", "-1"],
            &["xz", "--check=crc32"],
            &["xz", "--check=crc32", "--lzma2=dict=1MiB", "-T0"],
            &["lz4", "-9", "-l"],
        ] {
            let Some(packed) = packed_by(argv, &with) else { return };
            let look = |archive: &[u8]| holds(archive, &["xen-blkfront.ko"]).unwrap();
            assert_eq!(look(&packed), Holds::Yes, "{argv:?}");
            let packed = packed_by(argv, &without).unwrap();
            assert_eq!(look(&packed), Holds::No, "{argv:?}");
            assert_eq!(look(&packed[..packed.len() / 2]), BROKEN, "{argv:?}");
        }
    }

    #[test]
    fn an_error_of_the_disk_is_none_of_the_archive() {
        struct Bad;
        impl Read for Bad {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad sector"))
            }
        }
        let packed =
            packed_by(&["zstd", "-q"], &cpio(&["bin/sh"])).unwrap_or_else(|| gzip(&cpio(&["bin/sh"])));
        for good in [&packed[..packed.len() / 2], &cpio(&["x"])[..150], b""] {
            let error = holds(good.chain(Bad), &["xen-blkfront.ko"]).unwrap_err();
            assert_eq!(error.to_string(), "bad sector");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            start in prop::sample::select(vec![
                &b"070701"[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"\x02\x21\x4c\x18",
            ]),
            is_packed: bool,
        ) {
            let bytes = [start, &bytes].concat();
            let _ = holds(if is_packed { gzip(&bytes) } else { bytes }.as_slice(), &["x"]);
        }
    }
}
