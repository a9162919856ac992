//! A compiled BPF program, as clang leaves it: an ELF file with the program's section, its tables' section
//! and where the program names them.

use std::fmt;

/// Octets of an instruction.
pub(crate) const INSTRUCTION: usize = 8;
/// Octets of a table's definition: type, key, value, entries, flags.
const TABLE: usize = 20;

const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 16;
/// Kinds of sections.
const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 9;
/// The only kind of relocation there is: a table's number in a load of 64 bits.
const LOAD: u64 = 1;
/// The first octet of such a load, and in its second the mark that it is of a table's descriptor.
const LOAD_OPERATION: u8 = 0x18;
const LOAD_TABLE: u8 = 1 << 4;

/// What is in an object.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    /// The program's instructions; loads of tables are to be filled in.
    pub(crate) instructions: Vec<u8>,
    pub(crate) license: &'a [u8],
    pub(crate) tables: Vec<Table<'a>>,
    /// Instructions that load a table, by the table's place.
    loads: Vec<(usize, usize)>,
}

/// A table that the program needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Table<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) entries: u32,
    pub(crate) flags: u32,
    /// Where its definition lies in the tables' section.
    place: u64,
}

/// This is no object that we can load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unreadable;

impl<'a> Object<'a> {
    /// Reads the object whose program is in the section `program`.
    pub(crate) fn parse(file: &'a [u8], program: &str) -> Result<Object<'a>, Unreadable> {
        let sections = Sections::parse(file)?;
        let (program, code) = sections.named(program).ok_or(Unreadable)?;
        let (maps, definitions) = sections.named("maps").ok_or(Unreadable)?;
        let (_, license) = sections.named("license").ok_or(Unreadable)?;
        let symbols = sections.symbols()?;
        let tables = symbols.iter().filter(|symbol| symbol.section == maps && !symbol.name.is_empty());
        let tables = tables.map(|symbol| table(symbol, definitions.octets)).collect::<Result<Vec<_>, _>>()?;
        let mut loads = Vec::new();
        for relocation in sections.relocations(program) {
            let (offset, kind) = (u64_at(relocation, 0)?, u64_at(relocation, 8)?);
            let symbol = symbols.get((kind >> 32) as usize).ok_or(Unreadable)?;
            let table = tables.iter().position(|table| symbol.section == maps && table.place == symbol.value);
            if kind & 0xffff_ffff != LOAD || offset % INSTRUCTION as u64 != 0 {
                return Err(Unreadable);
            }
            loads.push((offset as usize, table.ok_or(Unreadable)?));
        }
        if code.octets.is_empty() || code.octets.len() % INSTRUCTION != 0 {
            return Err(Unreadable);
        }
        Object { instructions: code.octets.to_vec(), license: license.octets, tables, loads }.checked()
    }

    /// Fills in the tables' descriptors, in the order of `tables`.
    pub(crate) fn relocate(&mut self, descriptors: &[i32]) {
        for &(offset, table) in &self.loads {
            let load = &mut self.instructions[offset..offset + INSTRUCTION];
            load[1] = load[1] & 0x0f | LOAD_TABLE;
            load[4..].copy_from_slice(&descriptors[table].to_ne_bytes());
        }
    }

    fn checked(self) -> Result<Object<'a>, Unreadable> {
        let is_load = |&(offset, _): &(usize, usize)| self.instructions.get(offset) == Some(&LOAD_OPERATION);
        let ends_in_nul = self.license.last() == Some(&0);
        if self.loads.iter().all(is_load) && ends_in_nul { Ok(self) } else { Err(Unreadable) }
    }
}

fn table<'a>(symbol: &Symbol<'a>, definitions: &[u8]) -> Result<Table<'a>, Unreadable> {
    let place = usize::try_from(symbol.value).map_err(|_| Unreadable)?;
    let definition = definitions.get(place..).and_then(|rest| rest.get(..TABLE)).ok_or(Unreadable)?;
    Ok(Table {
        name: symbol.name,
        kind: u32_at(definition, 0)?,
        key_size: u32_at(definition, 4)?,
        value_size: u32_at(definition, 8)?,
        entries: u32_at(definition, 12)?,
        flags: u32_at(definition, 16)?,
        place: symbol.value,
    })
}

struct Sections<'a> {
    all: Vec<Section<'a>>,
}

struct Section<'a> {
    name: &'a str,
    kind: u32,
    link: u32,
    info: u32,
    octets: &'a [u8],
}

struct Symbol<'a> {
    name: &'a str,
    section: usize,
    value: u64,
}

impl<'a> Sections<'a> {
    fn parse(file: &'a [u8]) -> Result<Sections<'a>, Unreadable> {
        // ELF, 64 bits, little-endian.
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return Err(Unreadable);
        }
        let start = usize::try_from(u64_at(file, 40)?).map_err(|_| Unreadable)?;
        let (count, names) = (u16_at(file, 60)?, u16_at(file, 62)?);
        let headers = file.get(start..).ok_or(Unreadable)?.chunks_exact(SECTION_HEADER).take(usize::from(count));
        let mut all = Vec::new();
        for header in headers {
            let kind = u32_at(header, 4)?;
            let (offset, size) = (u64_at(header, 24)? as usize, u64_at(header, 32)? as usize);
            let octets = file.get(offset..).and_then(|rest| rest.get(..size)).ok_or(Unreadable)?;
            let (link, info) = (u32_at(header, 40)?, u32_at(header, 44)?);
            all.push((u32_at(header, 0)?, Section { name: "", kind, link, info, octets }));
        }
        let names = all.get(usize::from(names)).ok_or(Unreadable)?.1.octets;
        let named = |(name, section)| Ok(Section { name: text_at(names, name)?, ..section });
        Ok(Sections { all: all.into_iter().map(named).collect::<Result<_, _>>()? })
    }

    fn named(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.all.iter().enumerate().find(|(_, section)| section.name == name)
    }

    fn symbols(&self) -> Result<Vec<Symbol<'a>>, Unreadable> {
        let table = self.all.iter().find(|section| section.kind == SYMBOLS).ok_or(Unreadable)?;
        let names = self.all.get(table.link as usize).ok_or(Unreadable)?.octets;
        let symbols = table.octets.chunks_exact(SYMBOL).map(|symbol| {
            let (name, section, value) = (u32_at(symbol, 0)?, u16_at(symbol, 6)?, u64_at(symbol, 8)?);
            Ok(Symbol { name: text_at(names, name)?, section: usize::from(section), value })
        });
        symbols.collect()
    }

    fn relocations(&self, section: usize) -> impl Iterator<Item = &'a [u8]> {
        let tables = self.all.iter().filter(move |table| table.kind == RELOCATIONS && table.info as usize == section);
        tables.flat_map(|table| table.octets.chunks_exact(RELOCATION))
    }
}

fn text_at(texts: &[u8], place: u32) -> Result<&str, Unreadable> {
    let text = texts.get(place as usize..).and_then(|rest| rest.split(|&octet| octet == 0).next());
    text.and_then(|text| str::from_utf8(text).ok()).ok_or(Unreadable)
}

fn u16_at(octets: &[u8], place: usize) -> Result<u16, Unreadable> {
    array_at(octets, place).map(u16::from_le_bytes)
}

fn u32_at(octets: &[u8], place: usize) -> Result<u32, Unreadable> {
    array_at(octets, place).map(u32::from_le_bytes)
}

fn u64_at(octets: &[u8], place: usize) -> Result<u64, Unreadable> {
    array_at(octets, place).map(u64::from_le_bytes)
}

fn array_at<const N: usize>(octets: &[u8], place: usize) -> Result<[u8; N], Unreadable> {
    let found = octets.get(place..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(Unreadable)
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a BPF object of ours")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each program: its object, its section, its tables and the size of their keys.
    type Program = (&'static [u8], &'static str, &'static [(&'static str, u32)]);
    const SHIELD: &[u8] = include_bytes!("../../bpf/shield.bpf.o");
    const STEER: &[u8] = include_bytes!("../../bpf/steer.bpf.o");
    const LISTS: &[(&str, u32)] = &[("counters", 4), ("ranges", 20), ("services", 20)];
    const STEERING: &[(&str, u32)] = &[
        ("answering", 4),
        ("answers", 80),
        ("areas", 4),
        ("counters", 4),
        ("homes", 4),
        ("networks", 24),
        ("questions", 4),
        ("ranges", 20),
        ("scratch", 4),
        ("services", 20),
        ("sockets", 4),
    ];
    const PROGRAMS: [Program; 3] =
        [(SHIELD, "socket", LISTS), (SHIELD, "tcx.ingress", LISTS), (STEER, "xdp.frags", STEERING)];

    #[test]
    fn the_committed_objects_are_read() {
        for (object, program, tables) in PROGRAMS {
            let mut object = Object::parse(object, program).unwrap();
            assert_eq!(object.license, b"Apache-2.0 OR MIT\0");
            let mut names: Vec<_> = object.tables.iter().map(|table| (table.name, table.key_size)).collect();
            names.sort_unstable();
            assert_eq!(names, tables);
            let before = object.instructions.clone();
            object.relocate(&[101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111]);
            assert!(object.loads.len() > 4);
            assert_ne!(object.instructions, before);
        }
        assert!(PROGRAMS.iter().all(|(object, ..)| Object::parse(object, "xdp").is_err()));
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_refused_or_read_without_a_panic() {
        for (whole, program, _) in PROGRAMS {
            for end in 0..whole.len() {
                let _ = Object::parse(&whole[..end], program);
            }
            for place in 0..whole.len() {
                let mut object = whole.to_vec();
                object[place] ^= 0xff;
                if let Ok(mut object) = Object::parse(&object, program) {
                    object.relocate(&vec![0; object.tables.len()]);
                }
            }
        }
    }
}
