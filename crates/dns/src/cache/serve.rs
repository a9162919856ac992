//! A hit: an image becomes a client's answer.

use afpa_engine::Time;

use super::{Freshness, Image, Kind};
use crate::message::{ExtendedError, HEADER_LEN, OPT_FIXED, Query, Type, flag, option, write_option};

/// Octets of an extended error without text (RFC 8914 §2).
const EXTENDED_ERROR_LEN: usize = 6;
/// Where the count of answers starts, of three.
const COUNTS_AT: usize = 6;

/// What a client asked, and what may be sent to it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The query, of the image's question.
    pub query: &'a Query<'a>,
    /// The most octets of the answer, at least 512.
    pub limit: usize,
    /// What we receive over UDP at most; goes into OPT.
    pub udp_size: u16,
    /// Options that go into OPT, well formed, if the client understands EDNS. An extended error is not among them: it is
    /// the image's to add.
    pub options: &'a [u8],
}

/// What became of a hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Served {
    /// Whether the image may be served. If it has expired, nothing was written.
    pub freshness: Freshness,
    /// Whether the answer is to be asked for again: the hit came in the last part of the image's life or behind it, and
    /// the last attempt has not just failed. That there was a hit so late is what makes it popular.
    pub wants_refresh: bool,
    /// Whether the answer did not fit and says so (TC).
    pub is_truncated: bool,
}

impl<'a> Request<'a> {
    /// Over UDP: the answer has at most [`Query::udp_limit`] octets.
    #[inline]
    pub fn over_udp(query: &'a Query<'a>, largest: u16, options: &'a [u8]) -> Request<'a> {
        Request { query, limit: query.udp_limit(largest).into(), udp_size: largest, options }
    }

    /// Over a stream: messages of any length (RFC 1035 §4.2.2). `udp_size` is what we would receive over UDP.
    #[inline]
    pub fn over_stream(query: &'a Query<'a>, udp_size: u16, options: &'a [u8]) -> Request<'a> {
        Request { query, limit: u16::MAX.into(), udp_size, options }
    }
}

impl Image<'_> {
    /// Writes the answer to `request` into `into`, which is cleared. Allocates nothing once `into` has the room.
    ///
    /// What does not fit loses RRsets of the additional section first, from its end (RFC 2181 §9); if that is not
    /// enough, or the section is what a referral leads by (RFC 9471 §3), everything but the question and OPT, and TC
    /// is set (RFC 6891 §7).
    #[inline]
    pub fn serve(&self, request: &Request<'_>, now: Time, into: &mut Vec<u8>) -> Served {
        into.clear();
        let details = self.details;
        let age = details.age(now);
        let freshness = details.freshness_at(age);
        let wants_refresh = details.wants_refresh(now);
        if freshness == Freshness::Expired {
            return Served { freshness, wants_refresh, is_truncated: false };
        }
        let whole = usize::from(details.image_len);
        let mut opt = request.query.edns.is_some().then(|| self.opt(request, freshness));
        let cut = if whole + opt.map_or(0, Opt::len) <= request.limit {
            Cut::Whole
        } else {
            self.cut(request.limit, &mut opt)
        };
        let end = match cut {
            Cut::Whole => whole,
            Cut::Additional { end, .. } => end,
            Cut::Question => details.question_end.into(),
        };
        into.reserve(end + opt.map_or(0, Opt::len));
        into.extend_from_slice(&self.octets[..end]);
        patch_head(into, request.query, freshness, cut, opt.is_some());
        self.patch_ttls(into, freshness, age);
        if let Some(opt) = opt {
            opt.write(request, into);
        }
        Served { freshness, wants_refresh, is_truncated: cut == Cut::Question }
    }

    fn opt(&self, request: &Request<'_>, freshness: Freshness) -> Opt {
        let error = match (freshness, self.details.kind) {
            (Freshness::Stale, Kind::NxDomain) => Some(ExtendedError::STALE_NXDOMAIN),
            (Freshness::Stale, _) => Some(ExtendedError::STALE_ANSWER),
            _ => self.details.extended_error,
        };
        Opt { options: request.options.len(), error }
    }

    fn patch_ttls(&self, answer: &mut [u8], freshness: Freshness, age: u64) {
        let age = age.min(u32::MAX.into()) as u32;
        let places = &self.octets[self.details.image_len.into()..][..2 * usize::from(self.details.ttls)];
        for place in places.chunks_exact(2) {
            let at = usize::from(u16::from_be_bytes([place[0], place[1]]));
            // Places ascend: behind the first that was cut off there is none that was not.
            let Some(ttl) = answer.get_mut(at..).and_then(|octets| octets.first_chunk_mut::<4>()) else { break };
            let left = match freshness {
                Freshness::Fresh => u32::from_be_bytes(*ttl).saturating_sub(age),
                // RFC 8767 §4.
                _ => self.details.stale_ttl,
            };
            *ttl = left.to_be_bytes();
        }
    }

    /// What is left of an image that does not fit `limit` whole.
    #[cold]
    fn cut(&self, limit: usize, opt: &mut Option<Opt>) -> Cut {
        let details = self.details;
        // Reasons are for people: no record gives way to one.
        *opt = opt.map(|opt| Opt { error: None, ..opt });
        let room = limit.saturating_sub(opt.map_or(0, Opt::len));
        if usize::from(details.image_len) <= room {
            return Cut::Whole;
        }
        let additional_at = usize::from(details.additional_at);
        if additional_at <= room && details.kind != Kind::Referral {
            let cuts = &self.octets[usize::from(details.image_len) + 2 * usize::from(details.ttls)..];
            let cuts = cuts.as_chunks::<4>().0.iter().rev();
            let mut cuts = cuts.map(|&[end_high, end_low, high, low]| {
                (usize::from(u16::from_be_bytes([end_high, end_low])), u16::from_be_bytes([high, low]))
            });
            let (end, records) = cuts.find(|&(end, _)| end <= room).unwrap_or((additional_at, 0));
            return Cut::Additional { end, records };
        }
        if usize::from(details.question_end) > room {
            *opt = opt.map(|opt| Opt { options: 0, ..opt });
        }
        Cut::Question
    }
}

/// How much of an image is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Whole,
    /// So many octets, with so many additional records.
    Additional {
        end: usize,
        records: u16,
    },
    /// Header and question.
    Question,
}

/// Writes what differs from client to client of header and question.
#[inline]
fn patch_head(answer: &mut [u8], query: &Query<'_>, freshness: Freshness, cut: Cut, has_opt: bool) {
    let Some((head, behind)) = answer.split_first_chunk_mut::<HEADER_LEN>() else { return };
    let asked = query.header.flags;
    let mut flags = u16::from_be_bytes([head[2], head[3]]);
    // RFC 1035 §4.1.1, RFC 4035 §3.2.2: RD and CD are the client's.
    flags |= asked & (flag::RD | flag::CD);
    // RFC 6840 §5.8: AD is for those who understand it, and §5.7 says how they say so. What is stale may have outlived
    // its signatures.
    if asked & flag::AD == 0 && !query.dnssec_ok() || freshness == Freshness::Stale {
        flags &= !flag::AD;
    }
    let mut additional = u16::from_be_bytes([head[10], head[11]]);
    match cut {
        Cut::Whole => {}
        Cut::Additional { records, .. } => additional = records,
        Cut::Question => {
            flags |= flag::TC;
            additional = 0;
            head[COUNTS_AT..].fill(0);
        }
    }
    head[..2].copy_from_slice(&query.header.id.to_be_bytes());
    head[2..4].copy_from_slice(&flags.to_be_bytes());
    head[10..].copy_from_slice(&(additional + u16::from(has_opt)).to_be_bytes());
    if let Some(question) = query.question {
        // In the letters that it was asked in: some clients tell a forged answer by them.
        let name = question.name.as_wire();
        if let Some(place) = behind.get_mut(..name.len()) {
            debug_assert!(place.eq_ignore_ascii_case(name), "an image of another question");
            place.copy_from_slice(name);
        }
    }
}

/// The OPT record that is added.
#[derive(Clone, Copy)]
struct Opt {
    /// Octets of the request's options that are written: all or none.
    options: usize,
    error: Option<ExtendedError>,
}

impl Opt {
    fn len(self) -> usize {
        OPT_FIXED + self.data_len()
    }

    fn data_len(self) -> usize {
        self.options + if self.error.is_some() { EXTENDED_ERROR_LEN } else { 0 }
    }

    /// RFC 6891 §6.1.2; RFC 3225 §3: DO is the client's.
    fn write(self, request: &Request<'_>, into: &mut Vec<u8>) {
        let [size_high, size_low] = request.udp_size.to_be_bytes();
        let [type_high, type_low] = Type::OPT.0.to_be_bytes();
        let [len_high, len_low] = (self.data_len() as u16).to_be_bytes();
        let dnssec_ok = u8::from(request.query.dnssec_ok()) << 7;
        into.extend_from_slice(&[0, type_high, type_low, size_high, size_low, 0, 0, dnssec_ok, 0, len_high, len_low]);
        into.extend_from_slice(&request.options[..self.options]);
        if let Some(error) = self.error {
            write_option(into, option::EXTENDED_ERROR, &[&error.0.to_be_bytes()]);
        }
    }
}
