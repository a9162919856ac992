//! Objects: what is sent to many is published once, under a key, and sent from the server's memory from then on.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use afpa_channel::control::{Content, Reply, Request};
use afpa_channel::job_ring::Source;
use afpa_platform::exposed::ExposedPart;
use rustix::io::Errno;

use crate::attachment::{Attachment, strange};
use crate::buffer::{Lend, Registered, Sendable, SentFile};

/// An object that was found: it stays what it was when it was found. When the last clone is dropped, those of jobs included,
/// the server lets go of it; a send that was posted and has not begun then costs its connection.
#[derive(Clone, Debug)]
pub struct Object {
    registered: Arc<Registered>,
    length: u64,
}

impl Attachment {
    /// Publishes octets under a key, of at most 1024 octets, in place of what was there. Applications of the same user find
    /// them. Returns when the server has copied them.
    ///
    /// The server may forget what was published when it needs room: who does not find it publishes it anew.
    ///
    /// # Errors
    /// `EFBIG`: too many for one object. `EDQUOT`: too much for one user. `ENOMEM`: there is no room at the moment.
    /// `EAGAIN`: so much is being published already. `EOPNOTSUPP`: the server keeps nothing. `EINVAL`: there are none.
    pub fn publish(&self, key: &[u8], octets: &[u8]) -> io::Result<()> {
        let mut part = ExposedPart::create(octets.len())?;
        part.copy_from_slice(octets);
        self.publish_content(key, Content::Passed { length: octets.len() as u64 }, part.descriptor().as_slice())
    }

    /// The same, of registered memory.
    ///
    /// # Errors
    /// As [`Attachment::publish`].
    ///
    /// # Panics
    /// The octets are beyond the memory's end.
    pub fn publish_mem<B: Sendable>(self: &Arc<Self>, key: &[u8], memory: &B, octets: Range<usize>) -> io::Result<()> {
        let place = memory.place();
        assert!(octets.start <= octets.end && octets.end <= place.len(), "beyond the buffer's end");
        let Source::Memory(number) = self.known(memory.registered())? else { return Err(Errno::INVAL.into()) };
        let (offset, length) = ((place.start + octets.start) as u64, octets.len() as u64);
        self.publish_content(key, Content::Memory { memory: number, offset, length }, &[])
    }

    /// The same, of a file that was passed.
    ///
    /// # Errors
    /// As [`Attachment::publish`]. `EINVAL` also beyond the file's end, `EIO` if it cannot be read, or changes meanwhile.
    pub fn publish_file(self: &Arc<Self>, key: &[u8], file: &SentFile, offset: u64, length: u64) -> io::Result<()> {
        let Source::File(file) = self.known(file.registered())? else { return Err(Errno::INVAL.into()) };
        self.publish_content(key, Content::File { file, offset, length }, &[])
    }

    /// Finds what was published under a key, for any number of [`Socket::send_object`](crate::Socket::send_object).
    ///
    /// # Errors
    /// `ENOSPC`: so many are found as may be. The server is gone.
    pub fn object(self: &Arc<Self>, key: &[u8]) -> io::Result<Option<Object>> {
        match self.ask(&Request::FindObject { key: key.to_vec() }, &[]) {
            Ok((Reply::Object { object, length }, _)) => {
                Ok(Some(Object { registered: self.registered(Source::Object(object)), length }))
            }
            Ok(_) => Err(strange()),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the server forget what was published under a key; whether there was something. Who has found it has it still.
    ///
    /// # Errors
    /// The server is gone.
    pub fn purge(&self, key: &[u8]) -> io::Result<bool> {
        match self.ask(&Request::Purge { key: key.to_vec() }, &[]) {
            Ok((Reply::Done, _)) => Ok(true),
            Ok(_) => Err(strange()),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn publish_content(&self, key: &[u8], from: Content, with: &[BorrowedFd<'_>]) -> io::Result<()> {
        match self.ask(&Request::Publish { key: key.to_vec(), from }, with)? {
            (Reply::Done, _) => Ok(()),
            _ => Err(strange()),
        }
    }

    /// The number of what this attachment has registered.
    fn known(self: &Arc<Self>, registered: &Registered) -> io::Result<Source> {
        if registered.is_of(self) { Ok(registered.source()) } else { Err(Errno::INVAL.into()) }
    }
}

impl Object {
    /// Octets.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// For who keeps it until it is sent: [`Socket::post`](crate::Socket::post).
impl Lend for Object {
    fn registered(&self) -> &Registered {
        &self.registered
    }

    fn place(&self) -> Range<usize> {
        0..usize::try_from(self.length).unwrap_or(usize::MAX)
    }
}
