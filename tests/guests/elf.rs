//! Stand-ins for programs: the headers of an ELF file, so that a reader sees its machine, its interpreter and the
//! libraries that it needs. There is no code in it.

use anyhow::{Result, bail};

/// What the headers say.
#[derive(Debug, Clone)]
pub(crate) struct Elf {
    /// The processor it is for.
    pub(crate) machine: Machine,
    /// The dynamic loader; a static program has none.
    pub(crate) interpreter: Option<String>,
    /// The libraries it needs.
    pub(crate) needed: Vec<String>,
    /// Where it looks for them first.
    pub(crate) runpath: Option<String>,
}

/// A processor: its ELF number and whether its addresses have 64 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    number: u16,
    wide: bool,
}

impl Machine {
    /// Returns the processor of this name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "i386" => Self { number: 3, wide: false },
            "x86-64" => Self { number: 62, wide: true },
            "aarch64" => Self { number: 183, wide: true },
            _ => bail!("no machine {name}"),
        })
    }
}

impl Elf {
    /// Returns the file: header, program headers, interpreter, string table, dynamic section.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let wide = self.machine.wide;
        let (header, entry) = if wide { (64, 56) } else { (52, 32) };
        let segments = 1 + usize::from(self.interpreter.is_some()) + usize::from(!self.needed.is_empty());
        let mut strings = vec![0];
        let mut dynamic: Vec<(u64, u64)> = Vec::new();
        let string = |text: &str, strings: &mut Vec<u8>| {
            let at = strings.len() as u64;
            strings.extend(text.as_bytes());
            strings.push(0);
            at
        };
        // tags of the dynamic section: NEEDED 1, STRTAB 5, STRSZ 10, RUNPATH 29, NULL 0 (System V ABI, chapter 5)
        for needed in &self.needed {
            dynamic.push((1, string(needed, &mut strings)));
        }
        if let Some(runpath) = &self.runpath {
            dynamic.push((29, string(runpath, &mut strings)));
        }
        let interpreter_at = header + entry * segments;
        let interpreter: Vec<u8> = self.interpreter.iter().flat_map(|i| i.bytes().chain([0])).collect();
        let strings_at = (interpreter_at + interpreter.len()).next_multiple_of(8);
        let dynamic_at = (strings_at + strings.len()).next_multiple_of(8);
        dynamic.extend([(5, strings_at as u64), (10, strings.len() as u64), (0, 0)]);
        let dynamic_size = dynamic.len() * if wide { 16 } else { 8 };
        let end = dynamic_at + dynamic_size;

        let mut out = Out { bytes: Vec::new(), wide };
        out.bytes.extend([0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1, 0]);
        out.bytes.extend([0; 8]);
        out.half(2); // ET_EXEC
        out.half(self.machine.number);
        out.word(1);
        for address in [0, header as u64, 0] {
            out.address(address); // entry point, program headers, section headers
        }
        out.word(0);
        for half in [header, entry, segments, 0, 0, 0] {
            out.half(u16::try_from(half).unwrap_or(0));
        }
        // segments: INTERP 3, LOAD 1, DYNAMIC 2
        if self.interpreter.is_some() {
            out.segment(3, interpreter_at, interpreter.len());
        }
        out.segment(1, 0, end);
        if !self.needed.is_empty() {
            out.segment(2, dynamic_at, dynamic_size);
        }
        out.bytes.extend(interpreter);
        out.bytes.resize(strings_at, 0);
        out.bytes.extend(strings);
        out.bytes.resize(dynamic_at, 0);
        for (tag, value) in dynamic {
            out.address(tag);
            out.address(value);
        }
        out.bytes
    }
}

/// Little-endian fields of either width.
struct Out {
    bytes: Vec<u8>,
    wide: bool,
}

impl Out {
    fn half(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn word(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn address(&mut self, value: u64) {
        if self.wide {
            self.bytes.extend(value.to_le_bytes());
        } else {
            self.word(u32::try_from(value).unwrap_or(0));
        }
    }

    /// Writes a program header; the address in memory is the offset in the file.
    fn segment(&mut self, kind: u32, offset: usize, size: usize) {
        self.word(kind);
        if self.wide {
            self.word(5); // readable, executable
        }
        for _ in 0..3 {
            self.address(offset as u64);
        }
        self.address(size as u64);
        self.address(size as u64);
        if !self.wide {
            self.word(5);
        }
        self.address(1);
    }
}
