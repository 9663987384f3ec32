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

/// A processor by its ELF number; all are 64-bit and little-endian.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine(u16);

impl Machine {
    /// Returns the processor of this name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "x86-64" => Self(62),
            "aarch64" => Self(183),
            _ => bail!("no machine {name}"),
        })
    }
}

impl Elf {
    /// Returns the file: header, program headers, interpreter, strings, dynamic section, an empty symbol table, section
    /// headers.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (header, entry) = (64, 56);
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
        let strings_size = strings.len();
        dynamic.extend([(5, strings_at as u64), (10, strings_size as u64), (0, 0)]);
        let dynamic_size = dynamic.len() * 16;
        let symbol = 24;
        let symbols_at = dynamic_at + dynamic_size;
        let sections_at = (symbols_at + symbol).next_multiple_of(8);
        let sections = if self.needed.is_empty() { 0 } else { 4 };

        let mut out = Out { bytes: Vec::new() };
        out.bytes.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        out.bytes.extend([0; 8]);
        out.half(2); // ET_EXEC
        out.half(self.machine.0);
        out.word(1);
        for address in [0, header, if sections == 0 { 0 } else { sections_at }] {
            out.address(address as u64); // entry point, program headers, section headers
        }
        out.word(0);
        for half in [header, entry, segments, 64, sections, 0] {
            out.half(u16::try_from(half).unwrap_or(0));
        }
        // segments: INTERP 3, LOAD 1, DYNAMIC 2
        if self.interpreter.is_some() {
            out.segment(3, interpreter_at, interpreter.len());
        }
        out.segment(1, 0, sections_at);
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
        out.bytes.resize(sections_at, 0);
        if sections > 0 {
            // DYNSYM 11 and STRTAB 3 and DYNAMIC 6; the strings are section 2
            out.section(0, 0, 0, 0, 0);
            out.section(11, symbols_at, symbol, 2, symbol);
            out.section(3, strings_at, strings_size, 0, 0);
            out.section(6, dynamic_at, dynamic_size, 2, 16);
        }
        out.bytes
    }
}

/// Little-endian fields.
struct Out {
    bytes: Vec<u8>,
}

impl Out {
    fn half(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn word(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn address(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    /// Writes a program header; the address in memory is the offset in the file.
    fn segment(&mut self, kind: u32, offset: usize, size: usize) {
        self.word(kind);
        self.word(5); // readable, executable
        for _ in 0..3 {
            self.address(offset as u64);
        }
        self.address(size as u64);
        self.address(size as u64);
        self.address(1);
    }

    /// Writes a section header; sections have no names here.
    fn section(&mut self, kind: u32, offset: usize, size: usize, link: u32, entry: usize) {
        self.word(0);
        self.word(kind);
        self.address(0);
        for value in [offset, offset, size] {
            self.address(value as u64);
        }
        self.word(link);
        self.word(u32::from(kind == 11)); // local symbols
        self.address(1);
        self.address(entry as u64);
    }
}
