//! Writes a message, names compressed.

use super::{Class, HEADER_LEN, Header, MAX_NAME, Name, Rcode, Section, Type};

/// The longest message: its length is sixteen bits before it on a stream (RFC 1035 §4.2.2), and UDP carries less.
const MAX_MESSAGE: usize = 0xffff;

/// Suffixes that a writer remembers for compression. Beyond it, names are written out.
const MAX_SUFFIXES: usize = 128;
/// The highest offset that a pointer can name.
pub(crate) const MAX_POINTER: usize = 0x3fff;

/// The message would become longer than it may: the record was not written, and the message is as it was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A place in a message, to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    suffix_count: usize,
    counts: [u16; 4],
}

/// A message in the making, in a buffer that is kept from one to the next.
///
/// Sections come in their order. A record is written whole or not at all; one that does not fit is seen not to when it was
/// written, so that the buffer grows to the limit and the largest such record, and then no more.
pub struct Writer<'a> {
    octets: &'a mut Vec<u8>,
    header: Header,
    limit: usize,
    /// Octets that are kept free for [`Writer::opt`].
    reserved: usize,
    /// Where names, and the ends of names, start that can be pointed to.
    suffixes: [Suffix; MAX_SUFFIXES],
    suffix_count: usize,
}

/// A name that was written.
#[derive(Clone, Copy, Default)]
struct Suffix {
    /// Where it starts.
    at: u16,
    /// [`digest`] of it: most others are seen to differ without a look at them.
    digest: u16,
}

impl<'a> Writer<'a> {
    /// Starts a message of at most `limit` octets, and 65,535, in `octets`, which is cleared. A header it has always.
    pub fn new(octets: &'a mut Vec<u8>, header: Header, limit: usize) -> Writer<'a> {
        octets.clear();
        octets.extend_from_slice(&[0; HEADER_LEN]);
        let header = Header { counts: [0; 4], ..header };
        let suffixes = [Suffix::default(); MAX_SUFFIXES];
        Writer { octets, header, limit: limit.min(MAX_MESSAGE), reserved: 0, suffixes, suffix_count: 0 }
    }

    /// Keeps `octets` free of what is written from here on, for an OPT record: [`OPT_FIXED`](super::OPT_FIXED) and its options.
    pub fn reserve(&mut self, octets: usize) {
        self.reserved = octets;
    }

    /// The header, counts aside, which are kept by the writer.
    pub fn header(&mut self) -> &mut Header {
        &mut self.header
    }

    /// Records so far: question, answer, authority, additional.
    pub fn counts(&self) -> [u16; 4] {
        self.header.counts
    }

    /// Octets so far.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether nothing was written behind the header.
    pub fn is_empty(&self) -> bool {
        self.octets.len() == HEADER_LEN
    }

    /// Where the message ends now.
    pub fn mark(&self) -> Mark {
        Mark { len: self.octets.len(), suffix_count: self.suffix_count, counts: self.header.counts }
    }

    /// Takes back what was written since `mark`: an RRset goes out whole or not at all (RFC 2181 §9).
    pub fn rewind(&mut self, mark: Mark) {
        self.octets.truncate(mark.len);
        self.suffix_count = mark.suffix_count;
        self.header.counts = mark.counts;
    }

    /// Writes a question, its name as it is.
    ///
    /// # Errors
    /// No room.
    pub fn question(&mut self, name: Name<'_>, qtype: Type, qclass: Class) -> Result<(), Full> {
        self.whole(0, |writer| {
            writer.name(name);
            writer.octets.extend_from_slice(&qtype.0.to_be_bytes());
            writer.octets.extend_from_slice(&qclass.0.to_be_bytes());
        })
    }

    /// Writes a record. `rdata` is uncompressed; the names within it are compressed where receivers must understand
    /// that, in the types of RFC 1035 (RFC 3597 §4).
    ///
    /// # Errors
    /// No room.
    pub fn record(
        &mut self,
        section: Section,
        owner: Name<'_>,
        rtype: Type,
        class: Class,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        self.whole(1 + section as usize, |writer| {
            writer.name(owner);
            writer.octets.extend_from_slice(&rtype.0.to_be_bytes());
            writer.octets.extend_from_slice(&class.0.to_be_bytes());
            writer.octets.extend_from_slice(&ttl.to_be_bytes());
            let len_at = writer.octets.len();
            writer.octets.extend_from_slice(&[0, 0]);
            writer.rdata(rtype, rdata);
            let len = (writer.octets.len() - len_at - 2) as u16;
            writer.octets[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
        })
    }

    /// Writes an OPT record (RFC 6891 §6.1.2) into the room that was reserved for it, and the response code into the
    /// header. `options` is well formed.
    ///
    /// # Errors
    /// No room.
    pub fn opt(&mut self, udp_size: u16, rcode: Rcode, dnssec_ok: bool, options: &[u8]) -> Result<(), Full> {
        let reserved = std::mem::take(&mut self.reserved);
        let written = self.whole(3, |writer| {
            writer.octets.push(0);
            writer.octets.extend_from_slice(&Type::OPT.0.to_be_bytes());
            writer.octets.extend_from_slice(&udp_size.to_be_bytes());
            writer.octets.extend_from_slice(&[(rcode.0 >> 4) as u8, 0, u8::from(dnssec_ok) << 7, 0]);
            writer.octets.extend_from_slice(&(options.len() as u16).to_be_bytes());
            writer.octets.extend_from_slice(options);
        });
        match written {
            Ok(()) => self.header.flags = self.header.flags & !0xf | rcode.0 & 0xf,
            Err(Full) => self.reserved = reserved,
        }
        written
    }

    /// Writes the header; the message is done.
    pub fn finish(self) {
        self.octets[..HEADER_LEN].copy_from_slice(&self.header.to_octets());
    }

    /// Runs `write`, and undoes it if the message became too long or has too many records.
    fn whole(&mut self, section: usize, write: impl FnOnce(&mut Self)) -> Result<(), Full> {
        debug_assert!(self.header.counts[section + 1..] == [0; 4][section + 1..], "sections come in their order");
        let (len, suffixes) = (self.octets.len(), self.suffix_count);
        write(self);
        let count = self.header.counts[section].checked_add(1);
        match count {
            Some(count) if self.octets.len() + self.reserved <= self.limit => {
                self.header.counts[section] = count;
                Ok(())
            }
            _ => {
                self.octets.truncate(len);
                self.suffix_count = suffixes;
                Err(Full)
            }
        }
    }

    /// Writes `name`; as a pointer to where it, or its end, stands already.
    fn name(&mut self, name: Name<'_>) {
        for suffix in name.ancestors().take_while(|suffix| !suffix.is_root()) {
            let digest = digest(suffix);
            if let Some(at) = self.find(suffix, digest) {
                return self.octets.extend_from_slice(&(0xc000 | at).to_be_bytes());
            }
            let at = self.octets.len();
            if at <= MAX_POINTER && self.suffix_count < MAX_SUFFIXES {
                self.suffixes[self.suffix_count] = Suffix { at: at as u16, digest };
                self.suffix_count += 1;
            }
            let wire = suffix.as_wire();
            self.octets.extend_from_slice(&wire[..=usize::from(wire[0])]);
        }
        self.octets.push(0);
    }

    /// Where `name` stands in what was written, in this letter case: a receiver sees what was meant.
    fn find(&self, name: Name<'_>, digest: u16) -> Option<u16> {
        let alike = self.suffixes[..self.suffix_count].iter().filter(|suffix| suffix.digest == digest);
        alike.map(|suffix| suffix.at).find(|&at| self.stands_at(name, usize::from(at)))
    }

    fn stands_at(&self, name: Name<'_>, mut at: usize) -> bool {
        let mut rest = name.as_wire();
        // Each step compares a label or follows a pointer, which leads backwards.
        for _ in 0..2 * MAX_NAME {
            // A name that is being written has no end yet.
            let Some(&len) = self.octets.get(at) else { return false };
            if len >= 0xc0 {
                let Some(&low) = self.octets.get(at + 1) else { return false };
                at = usize::from(len & 0x3f) << 8 | usize::from(low);
                continue;
            }
            let label = ..usize::from(len) + 1;
            if !self.octets[at..].get(label).is_some_and(|octets| rest.starts_with(octets)) {
                return false;
            }
            if len == 0 {
                return true;
            }
            (at, rest) = (at + label.end, &rest[label.end..]);
        }
        false
    }

    /// Names in the data of the types that RFC 1035 defines are compressed; others are copied.
    fn rdata(&mut self, rtype: Type, rdata: &[u8]) {
        let (before, names) = match rtype {
            Type::NS | Type::CNAME | Type::PTR | Type::MB | Type::MG | Type::MR => (0, 1),
            Type::SOA | Type::MINFO => (0, 2),
            Type::MX => (2, 1),
            _ => (rdata.len(), 0),
        };
        let Some((fixed, mut rest)) = rdata.split_at_checked(before) else {
            return self.octets.extend_from_slice(rdata);
        };
        self.octets.extend_from_slice(fixed);
        for _ in 0..names {
            let Ok(name) = Name::read(rest) else { break };
            rest = &rest[name.as_wire().len()..];
            self.name(name);
        }
        self.octets.extend_from_slice(rest);
    }
}

/// Names that are equal have the same: of a name's length and its first label.
fn digest(name: Name<'_>) -> u16 {
    let wire = name.as_wire();
    let label = &wire[1..=usize::from(wire[0])];
    label.iter().fold(wire.len() as u16, |digest, &octet| digest.wrapping_mul(31).wrapping_add(u16::from(octet)))
}
