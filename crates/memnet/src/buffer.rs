//! Memory that is registered with the server: what jobs send from, and receive into (MemNet API).
//!
//! There are two kinds. Memory that is only sent from is *exposed*: the server can map it for reading and in no other
//! way (unless it is the server's own, see below), so an application that has no job on it sees it as plain memory. Memory that the server receives into can be
//! written by the server at any time, whatever it should do; it is only ever copied from and to.
//!
//! Whose memory it is makes no difference to who uses it. A server whose interface sends registered memory from where it lies grants of
//! its own what there is; otherwise the application makes it. Memory to send from it takes only from a server that could write all of
//! the process's memory in any case (see [`afpa_platform::exposed::Given`]).

use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use afpa_channel::control::{self, Reply, Request};
use afpa_channel::job_ring::Source;
use afpa_platform::exposed::{ExposedPart, FrozenPart, Given, is_trusted};
use afpa_platform::foreign::ForeignMemory;
use rustix::io::Errno;

use crate::attachment::{Attachment, strange};

/// Registered memory that nobody else has a part in, to be filled and sent.
#[derive(Debug)]
pub struct Buffer {
    part: ExposedPart,
    registered: Arc<Registered>,
}

/// Registered memory that is written no more: any number of jobs send from it at the same time.
#[derive(Clone, Debug)]
pub struct Frozen {
    part: FrozenPart,
    registered: Arc<Registered>,
}

/// Registered memory that is received into, and sent from.
#[derive(Debug)]
pub struct ReceiveBuffer {
    memory: Arc<ForeignMemory>,
    range: Range<usize>,
    registered: Arc<Registered>,
}

/// A file that jobs send from; the server has its descriptor.
#[derive(Clone, Debug)]
pub struct SentFile {
    registered: Arc<Registered>,
}

/// What can be sent from: [`Buffer`], [`Frozen`] and [`ReceiveBuffer`], and [`Object`](crate::Object).
pub trait Sendable: Lend {}

impl<T: Lend> Sendable for T {}

mod lend {
    use super::Registered;
    use std::ops::Range;

    /// Where it lies. Private: what the server is told to read is registered memory.
    pub trait Lend {
        #[doc(hidden)]
        fn registered(&self) -> &Registered;
        #[doc(hidden)]
        fn place(&self) -> Range<usize>;
    }
}
pub(crate) use lend::Lend;

/// What the server knows by a number, until nothing refers to it any more.
#[derive(Debug)]
pub struct Registered {
    attachment: Arc<Attachment>,
    source: Source,
    /// The process that has registered it: after a fork, it is not the child's to forget.
    place: u32,
}

impl Attachment {
    /// Registers memory to send from: zeroed, present, and the caller's.
    ///
    /// # Errors
    /// As the server refuses: `ENOMEM` or `EDQUOT` beyond what an application may register; or there is no memory.
    pub fn register_mem(self: &Arc<Self>, octets: usize) -> io::Result<Buffer> {
        // Nothing else is asked while it is looked at.
        let is_trusted = is_trusted(self.control().as_fd());
        if is_trusted
            && let Some((given, range, registered)) = self.granted(octets)
            && let Ok(part) = given.into_exposed(range)
        {
            return Ok(Buffer { part, registered });
        }
        let part = ExposedPart::create(octets)?;
        let descriptor = part.descriptor().ok_or_else(strange)?;
        let registered = self.register(descriptor, octets)?;
        Ok(Buffer { part, registered })
    }

    /// Registers memory to receive into.
    ///
    /// # Errors
    /// As [`Attachment::register_mem`].
    pub fn register_receive_mem(self: &Arc<Self>, octets: usize) -> io::Result<ReceiveBuffer> {
        if octets == 0 {
            return Err(Errno::INVAL.into());
        }
        if let Some((given, range, registered)) = self.granted(octets)
            && let Ok(memory) = given.into_foreign(range)
        {
            return Ok(ReceiveBuffer { memory: Arc::new(memory), range: 0..octets, registered });
        }
        let memory = ForeignMemory::create(octets)?;
        let registered = self.register(memory.descriptor(), octets)?;
        Ok(ReceiveBuffer { memory: Arc::new(memory), range: 0..octets, registered })
    }

    /// Gives registered memory up. Dropping it does so, too, without saying what comes of it.
    ///
    /// # Errors
    /// `EBUSY`: other parts of it are about, or jobs run on it; it is given up when they are gone. The server is gone.
    pub fn deregister_mem(&self, memory: impl Into<Deregistered>) -> io::Result<()> {
        let registered = Arc::into_inner(memory.into().0).ok_or(Errno::BUSY)?;
        registered.attachment.ask(&registered.forget(), &[])?;
        // It has been forgotten.
        let mut registered = registered;
        registered.place = u32::MAX;
        Ok(())
    }

    /// Passes a file for [`Socket::send_file`](crate::Socket::send_file).
    ///
    /// # Errors
    /// As the server refuses.
    pub fn open_file(self: &Arc<Self>, file: BorrowedFd<'_>) -> io::Result<SentFile> {
        match self.ask(&Request::OpenFile, &[file])? {
            (Reply::File { file }, _) => Ok(SentFile { registered: self.registered(Source::File(file)) }),
            _ => Err(strange()),
        }
    }

    /// Memory of the server's, and where in what it has given; `None` if it has none for us.
    fn granted(self: &Arc<Self>, octets: usize) -> Option<(Given, Range<usize>, Arc<Registered>)> {
        let length = u64::try_from(octets).ok().filter(|length| *length > 0)?;
        let answer = control::ask_for_memory(self.control().as_fd(), length).ok()?;
        let (Reply::Granted { memory, offset }, given) = answer else { return None };
        // Given back if it is of no use.
        let registered = self.registered(Source::Memory(memory));
        let start = usize::try_from(offset).ok()?;
        Some((given?, start..start.checked_add(octets)?, registered))
    }

    fn register(self: &Arc<Self>, memory: BorrowedFd<'_>, octets: usize) -> io::Result<Arc<Registered>> {
        match self.ask(&Request::Register { length: octets as u64 }, &[memory])? {
            (Reply::Registered { memory }, _) => Ok(self.registered(Source::Memory(memory))),
            _ => Err(strange()),
        }
    }

    pub(crate) fn registered(self: &Arc<Self>, source: Source) -> Arc<Registered> {
        Arc::new(Registered { attachment: self.clone(), source, place: self.place() })
    }
}

/// What [`Attachment::deregister_mem`] takes.
#[derive(Debug)]
pub struct Deregistered(Arc<Registered>);

impl From<Buffer> for Deregistered {
    fn from(buffer: Buffer) -> Self {
        Deregistered(buffer.registered)
    }
}

impl From<Frozen> for Deregistered {
    fn from(buffer: Frozen) -> Self {
        Deregistered(buffer.registered)
    }
}

impl From<ReceiveBuffer> for Deregistered {
    fn from(buffer: ReceiveBuffer) -> Self {
        Deregistered(buffer.registered)
    }
}

impl Buffer {
    /// Splits it: this keeps what lies before `at`, and what lies behind is returned.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn split_off(&mut self, at: usize) -> Buffer {
        Buffer { part: self.part.split_off(at), registered: self.registered.clone() }
    }

    /// Joins what was split.
    ///
    /// # Errors
    /// `behind` does not begin where this ends; it is returned.
    pub fn join(&mut self, behind: Buffer) -> Result<(), Buffer> {
        let registered = behind.registered;
        self.part.join(behind.part).map_err(|part| Buffer { part, registered })
    }

    /// It is written no more.
    pub fn freeze(self) -> Frozen {
        Frozen { part: self.part.freeze(), registered: self.registered }
    }
}

impl Frozen {
    /// A part of it.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn part(&self, range: Range<usize>) -> Frozen {
        Frozen { part: self.part.part(range), registered: self.registered.clone() }
    }
}

impl ReceiveBuffer {
    /// Octets.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Copies out what is at `offset`.
    ///
    /// # Panics
    /// Beyond the end.
    #[inline]
    pub fn read_at(&self, offset: usize, into: &mut [u8]) {
        self.memory.read(self.at(offset, into.len()), into);
    }

    /// Copies in.
    ///
    /// # Panics
    /// Beyond the end.
    #[inline]
    pub fn write_at(&mut self, offset: usize, octets: &[u8]) {
        self.memory.write(self.at(offset, octets.len()), octets);
    }

    /// Splits it: this keeps what lies before `at`, and what lies behind is returned.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn split_off(&mut self, at: usize) -> ReceiveBuffer {
        let middle = self.at(at, 0);
        let range = middle..self.range.end;
        self.range.end = middle;
        ReceiveBuffer { memory: self.memory.clone(), range, registered: self.registered.clone() }
    }

    /// Joins what was split.
    ///
    /// # Errors
    /// `behind` does not begin where this ends; it is returned.
    pub fn join(&mut self, behind: ReceiveBuffer) -> Result<(), ReceiveBuffer> {
        if !Arc::ptr_eq(&self.memory, &behind.memory) || self.range.end != behind.range.start {
            return Err(behind);
        }
        self.range.end = behind.range.end;
        Ok(())
    }

    /// The same octets once more, for who keeps order among those who have them himself, as a C program does.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn alias(&self, range: Range<usize>) -> ReceiveBuffer {
        let start = self.at(range.start, range.len());
        let range = start..start + range.len();
        ReceiveBuffer { memory: self.memory.clone(), range, registered: self.registered.clone() }
    }

    /// Whether other parts of the same memory are about.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.registered) > 1
    }

    /// The attachment that it is of.
    pub fn attachment(&self) -> &Arc<Attachment> {
        &self.registered.attachment
    }

    /// Where it is in this process, for what is not Rust. The server may write it at any time.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.memory.pointer(self.range.start)
    }

    fn at(&self, offset: usize, len: usize) -> usize {
        assert!(offset <= self.len() && len <= self.len() - offset, "beyond the buffer's end");
        self.range.start + offset
    }
}

impl SentFile {
    pub(crate) fn registered(&self) -> &Registered {
        &self.registered
    }
}

impl Registered {
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    pub(crate) fn is_of(&self, attachment: &Arc<Attachment>) -> bool {
        Arc::ptr_eq(&self.attachment, attachment)
    }

    fn forget(&self) -> Request {
        match self.source {
            Source::Memory(memory) => Request::Deregister { memory },
            Source::File(file) => Request::CloseFile { file },
            Source::Object(object) => Request::CloseObject { object },
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.place == self.attachment.place() && !self.attachment.is_lost() {
            let _ = self.attachment.ask(&self.forget(), &[]);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.part
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.part
    }
}

impl Deref for Frozen {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.part
    }
}

impl Lend for Buffer {
    fn registered(&self) -> &Registered {
        &self.registered
    }

    fn place(&self) -> Range<usize> {
        self.part.range()
    }
}

impl Lend for Frozen {
    fn registered(&self) -> &Registered {
        &self.registered
    }

    fn place(&self) -> Range<usize> {
        self.part.range()
    }
}

impl Lend for ReceiveBuffer {
    fn registered(&self) -> &Registered {
        &self.registered
    }

    fn place(&self) -> Range<usize> {
        self.range.clone()
    }
}
