//! How a worker writes a body: straight into the memory that it will be sent from.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use afpa_platform::memory::ExtentMut;

use crate::body::Body;
use crate::checksum::prefix_sums;
use crate::layout::Layout;
use crate::ledger::Charge;

/// A body that is being written. All its memory is reserved; dropping it returns the memory.
pub struct Filling {
    head_len: u32,
    payload_len: u64,
    layout: Layout,
    fragments: Vec<ExtentMut>,
    /// Octets written so far, the head included.
    position: u64,
    charge: Charge,
}

impl Filling {
    /// `fragments` are those of `layout`, which is that of head and payload.
    pub(crate) fn new(head: &[u8], layout: Layout, fragments: Vec<ExtentMut>, charge: Charge) -> Filling {
        let payload_len = layout.len() - head.len() as u64;
        let mut filling = Filling { head_len: head.len() as u32, payload_len, layout, fragments, position: 0, charge };
        filling.append(head);
        filling
    }

    /// Octets of the payload that are still to be written.
    pub fn remaining(&self) -> u64 {
        u64::from(self.head_len) + self.payload_len - self.position
    }

    /// Where the next octets of the payload go: the rest of the current fragment, empty once all is
    /// written. Say with [`Filling::advance`] how many were written.
    pub fn space(&mut self) -> &mut [u8] {
        let (fragment, start) = self.layout.find(self.position);
        match self.fragments.get_mut(fragment) {
            Some(fragment) => &mut fragment[(self.position - start) as usize..],
            None => &mut [],
        }
    }

    /// Counts `count` octets, written to [`Filling::space`], as part of the payload.
    ///
    /// # Panics
    /// If there was not so much space.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.space().len(), "more octets than there was space for");
        self.position += count as u64;
    }

    /// Reads the rest of the payload from `source`, straight into the fragments.
    ///
    /// # Errors
    /// Whatever `source` answers; [`io::ErrorKind::UnexpectedEof`] if it ends before the payload does.
    pub fn read_from(&mut self, source: &mut impl Read) -> io::Result<()> {
        while self.remaining() > 0 {
            match source.read(self.space()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Seals the body.
    ///
    /// # Panics
    /// Unless all of the payload was written: what lay in the memory before must not get out.
    pub fn finish(self) -> Arc<Body> {
        assert_eq!(self.remaining(), 0, "a body that was not written to its end");
        let seal = |extent: ExtentMut| {
            let sums = prefix_sums(&extent);
            extent.seal(sums)
        };
        let fragments = self.fragments.into_iter().map(seal).collect();
        Body::new(self.head_len, self.payload_len, self.layout, fragments, None, self.charge)
    }

    /// Copies as much of `bytes` as there is room for.
    fn append(&mut self, mut bytes: &[u8]) -> usize {
        let before = self.position;
        while !bytes.is_empty() && !self.space().is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.advance(count);
        }
        (self.position - before) as usize
    }
}

/// Writes the payload; what goes beyond its length is refused with [`io::ErrorKind::WriteZero`] by
/// `write_all`.
impl Write for Filling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.append(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling")
            .field("payload_len", &self.payload_len)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
