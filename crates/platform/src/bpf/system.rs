//! The system call bpf(2), as far as tables, programs and their links need it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::object::{INSTRUCTION, Table};

/// Commands.
const MAP_CREATE: libc::c_long = 0;
const MAP_LOOK_UP: libc::c_long = 1;
const MAP_UPDATE: libc::c_long = 2;
const MAP_DELETE: libc::c_long = 3;
const PROGRAM_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;

/// Octets of a name, the closing zero included.
const NAME: usize = 16;
/// Octets of what the verifier has to say.
const LOG: usize = 1 << 20;
/// The most processors that a kernel can have: the values of as many are read at a time.
const PROCESSORS: usize = 8192;

/// What a program is for, as bpf(2) numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    /// BPF_PROG_TYPE_…
    pub(crate) program: u32,
    /// BPF_… of where it is attached.
    pub(crate) attach: u32,
    /// BPF_F_… of loading.
    pub(crate) flags: u32,
}

/// A table of the kernel's.
#[derive(Debug)]
pub(crate) struct Map {
    descriptor: OwnedFd,
    key_size: usize,
    value_size: usize,
}

#[repr(C)]
struct CreateMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; NAME],
}

#[repr(C)]
struct Element {
    map: u32,
    _padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct LoadProgram {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME],
    interface: u32,
    attach_kind: u32,
}

#[repr(C)]
struct CreateLink {
    program: u32,
    interface: u32,
    attach_kind: u32,
    flags: u32,
}

impl Map {
    /// Makes a table.
    pub(crate) fn create(table: &Table<'_>) -> io::Result<Map> {
        let attributes = CreateMap {
            kind: table.kind,
            key_size: table.key_size,
            value_size: table.value_size,
            entries: table.entries,
            flags: table.flags,
            inner: 0,
            node: 0,
            name: name(table.name),
        };
        // SAFETY: the attributes are those of the command, and name no memory.
        let descriptor = unsafe { call_for_descriptor(MAP_CREATE, &raw const attributes) }?;
        Ok(Map { descriptor, key_size: table.key_size as usize, value_size: table.value_size as usize })
    }

    /// The same table, under another descriptor.
    pub(crate) fn try_clone(&self) -> io::Result<Map> {
        Ok(Map { descriptor: self.descriptor.try_clone()?, ..*self })
    }

    /// Sets the value of a key.
    ///
    /// # Panics
    /// Unless key and value have the table's sizes.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!((key.len(), value.len()), (self.key_size, self.value_size), "a key or value of another table");
        // SAFETY: the kernel reads as many octets of key and value as the table was made with.
        unsafe { self.element(MAP_UPDATE, key.as_ptr(), value.as_ptr()) }
    }

    /// Takes a key away.
    ///
    /// # Panics
    /// Unless the key has the table's size.
    pub(crate) fn remove(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.key_size, "a key of another table");
        // SAFETY: as in `set`; no value is read.
        unsafe { self.element(MAP_DELETE, key.as_ptr(), std::ptr::null()) }
    }

    /// The sum over all processors of the entry at `index` of a table of 64-bit numbers for each processor.
    ///
    /// # Panics
    /// Unless the key is of four octets, and the value of eight.
    pub(crate) fn sum(&self, index: u32) -> io::Result<u64> {
        assert_eq!((self.key_size, self.value_size), (4, 8), "no table of counters");
        let mut values = vec![0u64; PROCESSORS];
        // SAFETY: the kernel reads a key of four octets, and writes eight octets for each processor that
        // there may be, of which no kernel has more.
        unsafe { self.element(MAP_LOOK_UP, (&raw const index).cast(), values.as_mut_ptr().cast()) }?;
        Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
    }

    /// # Safety
    /// `key` and `value` must point at what the command reads or writes.
    unsafe fn element(&self, command: libc::c_long, key: *const u8, value: *const u8) -> io::Result<()> {
        let attributes = Element {
            map: number(self.as_fd()),
            _padding: 0,
            key: key.expose_provenance() as u64,
            value: value.expose_provenance() as u64,
            flags: 0,
        };
        // SAFETY: passed on to the caller.
        unsafe { call(command, &raw const attributes) }.map(drop)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Loads a program. If the kernel refuses its code, what the verifier said last comes with the error.
///
/// # Panics
/// Unless the code consists of whole instructions, and the license ends with a zero.
pub(crate) fn load(kind: Kind, code: &[u8], license: &[u8], called: &str) -> Result<OwnedFd, (io::Error, String)> {
    let count = u32::try_from(code.len() / INSTRUCTION).unwrap_or(u32::MAX);
    assert!(code.len() == count as usize * INSTRUCTION && license.last() == Some(&0), "no program");
    let mut attributes = LoadProgram {
        kind: kind.program,
        instructions: count,
        code: code.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: kind.flags,
        name: name(called),
        interface: 0,
        attach_kind: kind.attach,
    };
    // SAFETY: the kernel reads `count` instructions and a license up to its closing zero.
    let error = match unsafe { call_for_descriptor(PROGRAM_LOAD, &raw const attributes) } {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    if !matches!(error.raw_os_error(), Some(libc::EACCES | libc::EINVAL | libc::E2BIG)) {
        return Err((error, String::new()));
    }
    let mut log = vec![0u8; LOG];
    attributes.log_level = 1;
    attributes.log_size = LOG as u32;
    attributes.log = log.as_mut_ptr().expose_provenance() as u64;
    // SAFETY: as above; the kernel writes at most `log_size` octets of log.
    let error = match unsafe { call_for_descriptor(PROGRAM_LOAD, &raw const attributes) } {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    let said = String::from_utf8_lossy(&log);
    let last = said.trim_end_matches('\0').lines().rev().find(|line| !line.starts_with("processed"));
    Err((error, last.unwrap_or_default().to_owned()))
}

/// Attaches a program to an interface for as long as the result is open.
pub(crate) fn link(kind: Kind, program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let attributes = CreateLink { program: number(program), interface, attach_kind: kind.attach, flags };
    // SAFETY: the attributes are those of the command, and name no memory.
    unsafe { call_for_descriptor(LINK_CREATE, &raw const attributes) }
}

/// Runs a program on a frame, and returns its verdict and what it made of the frame, of which 4,096 octets are kept.
pub(crate) fn run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    const PROGRAM_RUN: libc::c_long = 10;
    #[repr(C)]
    #[derive(Default)]
    struct RunProgram {
        program: u32,
        verdict: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut out = vec![0u8; 4096];
    let mut attributes = RunProgram {
        program: number(program),
        size_in: u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        size_out: out.len() as u32,
        data_in: frame.as_ptr().expose_provenance() as u64,
        data_out: out.as_mut_ptr().expose_provenance() as u64,
        repeat: 1,
        ..RunProgram::default()
    };
    // SAFETY: the kernel reads `size_in` octets of the frame, writes at most `size_out` octets of what became of it, and
    // the verdict and the size into the attributes.
    unsafe { call(PROGRAM_RUN, &raw mut attributes) }?;
    out.truncate(attributes.size_out as usize);
    Ok((attributes.verdict, out))
}

/// # Safety
/// As [`call`]; the command must make a descriptor.
unsafe fn call_for_descriptor<T>(command: libc::c_long, attributes: *const T) -> io::Result<OwnedFd> {
    // SAFETY: passed on to the caller; the descriptor is new, and ours.
    unsafe { call(command, attributes).map(|descriptor| OwnedFd::from_raw_fd(descriptor)) }
}

/// # Safety
/// `attributes` must point at a `T` that begins as the command's attributes do, and that the command may
/// write where it writes attributes; and what they point at must be valid for the command.
unsafe fn call<T>(command: libc::c_long, attributes: *const T) -> io::Result<i32> {
    // SAFETY: the kernel reads as many octets of attributes as it is told; the rest counts as zero.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().unsigned_abs()
}

fn name(name: &str) -> [u8; NAME] {
    let mut octets = [0; NAME];
    let len = name.len().min(NAME - 1);
    octets[..len].copy_from_slice(&name.as_bytes()[..len]);
    octets
}
