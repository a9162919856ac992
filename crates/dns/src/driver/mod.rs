//! Answers that are left to the program in the driver: what is left, and when.
//!
//! A question that the program has the answer to never reaches an engine. So the engine only sees what is not left yet, not
//! left any more, or not for the program; of that, what is asked for often is left to it. Nothing here does I/O: a
//! [`Publication`] is for [`Answers::publish`](afpa_platform::steering::Answers::publish).
//!
//! **What is left.** Answers of the cache that are fresh, positive or negative, until they are to be asked for again: then
//! an engine sees a question and does that. Answers of zones, until they are withdrawn. Not those that are for a subnet,
//! and no failures. The octets are those that [`Image::serve`] and [`Zone::answer`] make, so that nobody can tell who has
//! answered; what does not fit the program's bounds is for engines.
//!
//! **What makes them go.** Whoever purges the cache or replaces zones withdraws all of them afterwards
//! ([`Answers::withdraw_all`](afpa_platform::steering::Answers::withdraw_all)): one write to memory, of effect at once. An
//! engine asks for the generation at the start of a pass, so that what it read before a purge is not left after it. What the
//! cache evicts for want of room may be given until its time is over.
//!
//! **Never an amplifier.** The program keeps no account of clients. Where response rates are limited, an answer comes with a
//! [`budget`](PublisherConfig::budget): that often it is given in each second, to everybody together, and beyond that the
//! question goes to an engine, which limits. One network can get each answer at most that often more than the limit says.

mod hot;
mod obstacle;

use std::hash::{Hash, Hasher};

use afpa_engine::Time;
use afpa_platform::steering::{Answer, Asks, Subject};
use siphasher::sip::SipHasher13;

use crate::cache::{Image, Kind, Request};
use crate::message::{Edns, Header, Name, Query, Question, Records, Type, Writer, flag};
use crate::zone::Zone;
use hot::Hot;
pub use obstacle::{Audience, Obstacle, budget};

/// An answer with less left of its life than this is not worth leaving, in nanoseconds.
const SHORTEST_LIFE: u64 = 1_000_000_000;
/// Octets of an OPT record without options.
const OPT_LEN: usize = 11;

/// How one engine chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublisherConfig {
    /// An answer is left once it was asked for so often within about a second. At least 1.
    pub after: u16,
    /// So many answers are left within about a second, at most: each costs a system call.
    pub per_second: u32,
    /// How often the program gives each answer in a second; 0: without a limit. See [`budget`].
    pub budget: u32,
    /// The largest UDP payload that is sent or announced, in octets.
    pub udp_size: u16,
    /// The groups that answers of the cache are for, and those of zones: see [`Audience`].
    pub groups: (u32, u32),
}

/// What one engine leaves to the program.
pub struct Publisher {
    config: PublisherConfig,
    /// Under which questions are counted: nobody can choose which of them share a place.
    hash: SipHasher13,
    hot: Hot,
    /// Publications in the window that is, and its number.
    published: (u64, u32),
    /// Kept for their memory: a question's name in lower case, the message, the places of its TTLs.
    name: Vec<u8>,
    message: Vec<u8>,
    ttls: Vec<u16>,
}

/// What is to be left to the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publication<'a> {
    /// What is asked.
    pub subject: Subject,
    /// What is answered.
    pub answer: Answer<'a>,
}

impl Publisher {
    /// With a random and secret `key`.
    pub fn new(config: PublisherConfig, key: [u8; 16]) -> Publisher {
        Publisher {
            config: PublisherConfig { after: config.after.max(1), ..config },
            hash: SipHasher13::new_with_key(&key),
            hot: Hot::new(),
            published: (0, 0),
            name: Vec::new(),
            message: Vec::new(),
            ttls: Vec::new(),
        }
    }

    /// An engine has answered `query`, which came in a datagram, with an image that is kept for everybody. What is to be
    /// left to the program, if it is.
    #[inline]
    pub fn cached(&mut self, query: &Query<'_>, image: &Image<'_>, now: Time) -> Option<Publication<'_>> {
        let (subject, hash) = self.hot_subject(query, now)?;
        let details = image.details();
        let is_for_all = details.subnet_scope().unwrap_or(0) == 0;
        if details.kind() == Kind::Failure || details.lifetime() == 0 || !is_for_all {
            return None;
        }
        // Behind that, a hit makes the answer be asked for again, or must not be.
        let ends_at = details.ends_at();
        if ends_at.0 < now.0.saturating_add(SHORTEST_LIFE) || !self.may_publish(now) {
            return None;
        }
        self.hot.settle(hash, now);
        let widest = Query { edns: self.widest(query), ..*query };
        let request = Request::over_udp(&widest, self.config.udp_size, &[]);
        // As of when it came: the program reduces its TTLs.
        let served = image.serve(&request, details.stored_at(), &mut self.message);
        if served.is_truncated {
            return None;
        }
        self.publication(subject, query.question_end, (details.stored_at(), ends_at), self.config.groups.0)
    }

    /// An engine has answered `query`, which came in a datagram, from `zone`. What is to be left to the program, if it is.
    #[inline]
    pub fn of_zone(&mut self, query: &Query<'_>, zone: &Zone, now: Time) -> Option<Publication<'_>> {
        let (subject, hash) = self.hot_subject(query, now)?;
        if !self.may_publish(now) {
            return None;
        }
        self.hot.settle(hash, now);
        self.answer_from(query, zone)?;
        self.publication(subject, query.question_end, (now, Time::NEVER), self.config.groups.1)
    }

    /// What is asked, once it was asked often.
    #[inline]
    fn hot_subject(&mut self, query: &Query<'_>, now: Time) -> Option<(Subject, u64)> {
        let subject = subject(query, &mut self.name)?;
        let mut hasher = self.hash;
        subject.hash(&mut hasher);
        let hash = hasher.finish();
        (self.hot.note(hash, now) >= self.config.after).then_some((subject, hash))
    }

    fn may_publish(&mut self, now: Time) -> bool {
        let (window, count) = &mut self.published;
        if *window != hot::window(now) {
            (*window, *count) = (hot::window(now), 0);
        }
        *count = count.saturating_add(1);
        *count <= self.config.per_second
    }

    /// What a client's OPT record says, if the client took as much as we send at most. One that takes less gets the same
    /// answer if that fits: an answer loses its parts from the end, and only for want of room.
    fn widest<'a>(&self, query: &Query<'a>) -> Option<Edns<'a>> {
        query.edns.map(|edns| Edns { udp_size: self.config.udp_size, ..edns })
    }

    /// Answers from a zone as an engine does, whatever letters the question has.
    fn answer_from(&mut self, query: &Query<'_>, zone: &Zone) -> Option<()> {
        let question = Question { name: Name::read(&self.name).ok()?, ..query.question? };
        let kept = query.header.flags & (flag::RD | flag::CD);
        let limit = Query { edns: self.widest(query), ..*query }.udp_limit(self.config.udp_size);
        let header = Header { id: 0, flags: flag::QR | kept, counts: [0; 4] };
        let mut writer = Writer::new(&mut self.message, header, limit.into());
        writer.reserve(if query.edns.is_some() { OPT_LEN } else { 0 });
        writer.question(question.name, question.qtype, question.qclass).ok()?;
        let answered = zone.answer(&question, query.dnssec_ok(), &mut writer);
        if query.edns.is_some() {
            writer.opt(self.config.udp_size, answered.rcode, query.dnssec_ok(), &[]).ok()?;
        }
        writer.finish();
        (!answered.truncated).then_some(())
    }

    /// The message that was made, unless it is beyond the program's bounds.
    fn publication(
        &mut self,
        subject: Subject,
        question_end: usize,
        (stored_at, ends_at): (Time, Time),
        groups: u32,
    ) -> Option<Publication<'_>> {
        self.ttls.clear();
        for record in Records::of(&self.message).ok()? {
            let record = record.ok()?;
            // Of a zone, TTLs do not age; that of OPT is none.
            if record.rtype != Type::OPT && ends_at != Time::NEVER {
                self.ttls.push((record.ttl_at - question_end) as u16);
            }
        }
        let header = Header::read(&self.message)?;
        let [_, answer, authority, additional] = header.counts;
        let tail = self.message.get(question_end..)?;
        let fits = (1..=Answer::LONGEST_TAIL).contains(&tail.len()) && self.ttls.len() <= Answer::MOST_TTLS;
        let answer = Answer {
            stored_at: stored_at.0,
            ends_at: ends_at.0,
            budget: self.config.budget,
            groups,
            most: u16::MAX,
            flags: header.flags,
            counts: [answer, authority, additional],
            tail,
            ttls: &self.ttls,
        };
        fits.then_some(Publication { subject, answer })
    }
}

/// What the program knows a question by. `None` if it leaves such a question to engines: its name is long, or it comes
/// with something that the program does not read. `name` becomes the name in lower case.
pub fn subject(query: &Query<'_>, name: &mut Vec<u8>) -> Option<Subject> {
    let question = query.question?;
    let has_options = query.edns.is_some_and(|edns| !edns.options.is_empty());
    if query.header.flags & !(flag::RD | flag::AD | flag::CD) != 0 || has_options {
        return None;
    }
    // OPT aside, there are no records.
    let [_, answer, authority, additional] = query.header.counts;
    if answer > 0 || authority > 0 || additional != u16::from(query.edns.is_some()) {
        return None;
    }
    let asks = Asks {
        recursion: query.header.has(flag::RD),
        unchecked: query.header.has(flag::CD),
        dnssec: query.dnssec_ok(),
        authentic: query.header.has(flag::AD),
        extended: query.edns.is_some(),
    };
    name.clear();
    question.name.write_lowercase(name);
    Subject::new(name, question.qtype.0, question.qclass.0, asks)
}
