//! A message written anew: the octets of an image.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

use super::suffixes::Suffixes;
use super::{Details, Prepared, Uncacheable};
use crate::message::{FormError, HEADER_LEN, Header, Name, NameBuffer, Piece, Question, Record, Section, Type, pieces};

/// The most octets of a message.
const MAX_MESSAGE: usize = u16::MAX as usize;
/// Where the counts of records start.
const COUNTS_AT: usize = 6;

/// An image in the making.
pub(super) struct Rewrite {
    octets: Vec<u8>,
    suffixes: Suffixes,
    /// Records so far: answer, authority, additional.
    counts: [u16; 3],
    question_end: usize,
    additional_at: usize,
    ttls: Vec<u16>,
    cuts: Cuts,
}

impl Rewrite {
    /// Starts with the header and `question`, its name in lower case already.
    pub(super) fn new(flags: u16, question: &Question<'_>) -> Rewrite {
        let mut octets = Header { id: 0, flags, counts: [1, 0, 0, 0] }.to_octets().to_vec();
        let mut suffixes = Suffixes::default();
        suffixes.write(question.name, &mut octets);
        octets.extend_from_slice(&question.qtype.0.to_be_bytes());
        octets.extend_from_slice(&question.qclass.0.to_be_bytes());
        let end = octets.len();
        let (ttls, cuts) = (Vec::new(), Cuts::default());
        Rewrite { octets, suffixes, counts: [0; 3], question_end: end, additional_at: end, ttls, cuts }
    }

    /// Copies `record` of `message`, which `owner` is the owner of.
    pub(super) fn record(
        &mut self,
        message: &[u8],
        record: &Record<'_>,
        owner: Name<'_>,
        ttl: u32,
    ) -> Result<(), Uncacheable> {
        let start = self.octets.len();
        self.suffixes.write(owner, &mut self.octets);
        self.octets.extend_from_slice(&record.rtype.0.to_be_bytes());
        self.octets.extend_from_slice(&record.class.0.to_be_bytes());
        let ttl_at = self.octets.len();
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        let len_at = self.octets.len();
        self.octets.extend_from_slice(&[0; 2]);
        let (suffixes, octets) = (&mut self.suffixes, &mut self.octets);
        pieces(message, record, &mut NameBuffer::default(), |piece| match piece {
            Piece::Name(name) => suffixes.write(name, octets),
            Piece::Plain(name) => octets.extend_from_slice(name.as_wire()),
            Piece::Octets(plain) => octets.extend_from_slice(plain),
        })?;
        if self.octets.len() > MAX_MESSAGE {
            return Err(Uncacheable::TooLong);
        }
        let len = (self.octets.len() - len_at - 2) as u16;
        self.octets[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
        self.ttls.push(ttl_at as u16);
        self.counts[record.section as usize] += 1;
        if record.section == Section::Additional {
            // RFC 4034 §3: signatures over different types are different RRsets.
            let covered = if record.rtype == Type::RRSIG { record.rdata.get(..2) } else { None };
            self.cuts.note((owner, record.rtype, record.class, covered), start);
        } else {
            self.additional_at = self.octets.len();
        }
        Ok(())
    }

    /// The image, of which `details` is remembered, its lengths aside.
    pub(super) fn finish(self, details: Details) -> Prepared {
        let mut octets = self.octets;
        let counts = self.counts.into_iter().flat_map(u16::to_be_bytes);
        octets[COUNTS_AT..HEADER_LEN].iter_mut().zip(counts).for_each(|(place, octet)| *place = octet);
        let details = Details {
            image_len: octets.len() as u16,
            question_end: self.question_end as u16,
            additional_at: self.additional_at as u16,
            ttls: self.ttls.len() as u16,
            ..details
        };
        let cuts = self.cuts.places.iter().flat_map(|&(at, count)| [at, count]);
        octets.extend(self.ttls.into_iter().chain(cuts).flat_map(u16::to_be_bytes));
        Prepared { octets, details }
    }
}

/// Puts the letters of the question's name into lower case.
pub(super) fn lower_question(message: &mut [u8]) -> Result<(), FormError> {
    let behind = message.get_mut(HEADER_LEN..).ok_or(FormError::Short)?;
    let len = Name::read(behind)?.as_wire().len();
    behind[..len].make_ascii_lowercase();
    Ok(())
}

/// Where an additional section may be cut off: RFC 2181 §9 has an RRset whole or not at all.
#[derive(Default)]
struct Cuts {
    /// RRsets by their hashes. Two that have one hash cost a cut, nothing else.
    hasher: RandomState,
    last: Option<u64>,
    seen: HashSet<u64>,
    /// Octets and additional records before each.
    places: Vec<(u16, u16)>,
    records: u16,
    /// An RRset in several places: then it is all or nothing.
    is_scattered: bool,
}

impl Cuts {
    /// Takes in the next record, of the RRset `set`, which starts at `at`.
    fn note(&mut self, set: impl Hash, at: usize) {
        let set = self.hasher.hash_one(set);
        if self.last != Some(set) {
            self.is_scattered |= !self.seen.insert(set);
            if self.last.is_some() {
                self.places.push((at as u16, self.records));
            }
            self.last = Some(set);
        }
        if self.is_scattered {
            self.places.clear();
        }
        self.records += 1;
    }
}
