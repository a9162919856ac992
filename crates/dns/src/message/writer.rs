//! Writes a message, names compressed.

use super::{Class, HEADER_LEN, Header, MAX_NAME, Name, Rcode, Section, Type};

/// Suffixes that a writer remembers for compression. Beyond it, names are written out.
const MAX_SUFFIXES: usize = 128;
/// The highest offset that a pointer can name.
const MAX_POINTER: usize = 0x3fff;

/// The message would become longer than it may: the record was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A message in the making, in a buffer that is kept from one to the next.
///
/// Sections come in their order. A record is written whole or not at all.
pub struct Writer<'a> {
    octets: &'a mut Vec<u8>,
    header: Header,
    limit: usize,
    /// Octets that are kept free for [`Writer::opt`].
    reserved: usize,
    /// Where names start that can be pointed to.
    suffixes: [u16; MAX_SUFFIXES],
    suffix_count: usize,
}

impl<'a> Writer<'a> {
    /// Starts a message of at most `limit` octets in `octets`, which is cleared.
    pub fn new(octets: &'a mut Vec<u8>, header: Header, limit: usize) -> Writer<'a> {
        octets.clear();
        octets.extend_from_slice(&[0; HEADER_LEN]);
        let header = Header { counts: [0; 4], ..header };
        Writer { octets, header, limit, reserved: 0, suffixes: [0; MAX_SUFFIXES], suffix_count: 0 }
    }

    /// Keeps `octets` free of records, for an OPT record with the last options.
    pub fn reserve(&mut self, octets: usize) {
        self.reserved = octets;
    }

    /// The header, counts aside, which are kept by the writer.
    pub fn header(&mut self) -> &mut Header {
        &mut self.header
    }

    /// Octets so far.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether nothing was written behind the header.
    pub fn is_empty(&self) -> bool {
        self.octets.len() == HEADER_LEN
    }

    /// Writes a question, its name as it is.
    ///
    /// # Errors
    /// No room.
    pub fn question(&mut self, name: Name<'_>, qtype: Type, qclass: Class) -> Result<(), Full> {
        self.whole(0, |writer| {
            writer.name(name, true);
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
            writer.name(owner, true);
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

    /// Writes an OPT record (RFC 6891 §6.1.2) into the room that was reserved for it. `options` is well formed.
    ///
    /// # Errors
    /// No room.
    pub fn opt(&mut self, udp_size: u16, rcode: Rcode, dnssec_ok: bool, options: &[u8]) -> Result<(), Full> {
        self.reserved = 0;
        self.header.flags = self.header.flags & !0xf | rcode.0 & 0xf;
        self.whole(3, |writer| {
            writer.octets.push(0);
            writer.octets.extend_from_slice(&Type::OPT.0.to_be_bytes());
            writer.octets.extend_from_slice(&udp_size.to_be_bytes());
            writer.octets.extend_from_slice(&[(rcode.0 >> 4) as u8, 0, u8::from(dnssec_ok) << 7, 0]);
            writer.octets.extend_from_slice(&(options.len() as u16).to_be_bytes());
            writer.octets.extend_from_slice(options);
        })
    }

    /// Writes the header; the message is done.
    pub fn finish(self) {
        self.octets[..HEADER_LEN].copy_from_slice(&self.header.to_octets());
    }

    /// Runs `write`, and undoes it if the message became too long or has too many records.
    fn whole(&mut self, section: usize, write: impl FnOnce(&mut Self)) -> Result<(), Full> {
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

    /// Writes `name`; as a pointer to where it, or its end, stands already, if `compress`.
    fn name(&mut self, name: Name<'_>, compress: bool) {
        for suffix in name.ancestors() {
            if suffix.is_root() {
                break;
            }
            if compress && let Some(at) = self.find(suffix) {
                self.octets.extend_from_slice(&(0xc000 | at).to_be_bytes());
                return;
            }
            let at = self.octets.len();
            if at <= MAX_POINTER && self.suffix_count < MAX_SUFFIXES {
                self.suffixes[self.suffix_count] = at as u16;
                self.suffix_count += 1;
            }
            let wire = suffix.as_wire();
            self.octets.extend_from_slice(&wire[..=usize::from(wire[0])]);
        }
        self.octets.push(0);
    }

    /// Where `name` stands in what was written, in this letter case: a receiver sees what was meant.
    fn find(&self, name: Name<'_>) -> Option<u16> {
        self.suffixes[..self.suffix_count].iter().copied().find(|&at| self.stands_at(name, usize::from(at)))
    }

    fn stands_at(&self, name: Name<'_>, mut at: usize) -> bool {
        let mut rest = name.as_wire();
        // Each step compares a label or follows a pointer, which leads backwards.
        for _ in 0..2 * MAX_NAME {
            let Some(&len) = self.octets.get(at) else { return false };
            if len >= 0xc0 {
                let Some(&low) = self.octets.get(at + 1) else { return false };
                at = usize::from(len & 0x3f) << 8 | usize::from(low);
                continue;
            }
            let label = usize::from(len) + 1;
            if self.octets.get(at..at + label) != rest.get(..label) {
                return false;
            }
            if len == 0 {
                return true;
            }
            (at, rest) = (at + label, &rest[label..]);
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
            self.name(name, true);
        }
        self.octets.extend_from_slice(rest);
    }
}
