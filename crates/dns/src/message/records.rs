//! The records of a message, one after another.

use super::{Class, FormError, HEADER_LEN, Header, NameBuffer, Type, read_u16, read_u32};

/// Which part of a message a record is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Section {
    /// What answers the question.
    Answer,
    /// Who knows.
    Authority,
    /// What helps.
    Additional,
}

/// A record where it lies. Its name and those within its data may be compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// The part of the message.
    pub section: Section,
    /// Where its owner's name starts.
    pub owner_at: usize,
    /// Its type.
    pub rtype: Type,
    /// Its class; of OPT, the sender's UDP payload size.
    pub class: Class,
    /// Seconds that it may be kept: as sent, the top bit not looked at. Of OPT, flags.
    pub ttl: u32,
    /// Where that number stands.
    pub ttl_at: usize,
    /// Its data.
    pub rdata: &'a [u8],
    /// Where its data starts.
    pub rdata_at: usize,
}

impl Record<'_> {
    /// The TTL as it is to be taken: zero if its top bit is set (RFC 2181 §8).
    pub const fn lifetime(&self) -> u32 {
        if self.ttl >> 31 == 1 { 0 } else { self.ttl }
    }
}

/// Walks the records behind the questions. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    /// Still to come: answer, authority, additional.
    left: [u16; 3],
}

impl<'a> Records<'a> {
    /// The records of `message`.
    ///
    /// # Errors
    /// It has no header, or its questions cannot be read.
    pub fn of(message: &'a [u8]) -> Result<Records<'a>, FormError> {
        let header = Header::read(message).ok_or(FormError::Short)?;
        let (mut at, mut name) = (HEADER_LEN, NameBuffer::default());
        for _ in 0..header.counts[0] {
            at = name.read(message, at)? + 4;
            if at > message.len() {
                return Err(FormError::Short);
            }
        }
        let [_, answer, authority, additional] = header.counts;
        Ok(Records { message, at, left: [answer, authority, additional] })
    }

    /// The records of `message` that start at `at`, as `header` counts them.
    pub(crate) fn at(message: &'a [u8], at: usize, header: &Header) -> Records<'a> {
        let [_, answer, authority, additional] = header.counts;
        Records { message, at, left: [answer, authority, additional] }
    }

    /// Where the next record starts; behind the last, where the message should end.
    pub fn position(&self) -> usize {
        self.at
    }

    fn read(&mut self, section: Section) -> Result<Record<'a>, FormError> {
        let owner_at = self.at;
        let fixed = skip_name(self.message, owner_at)?;
        let (rtype, class) = (read_u16(self.message, fixed)?, read_u16(self.message, fixed + 2)?);
        let ttl = read_u32(self.message, fixed + 4)?;
        let len = usize::from(read_u16(self.message, fixed + 8)?);
        let rdata_at = fixed + 10;
        let rdata = self.message.get(rdata_at..rdata_at + len).ok_or(FormError::Short)?;
        self.at = rdata_at + len;
        let (rtype, class) = (Type(rtype), Class(class));
        Ok(Record { section, owner_at, rtype, class, ttl, ttl_at: fixed + 4, rdata, rdata_at })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, FormError>;

    fn next(&mut self) -> Option<Self::Item> {
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let (section, left) = sections.into_iter().zip(&mut self.left).find(|(_, left)| **left > 0)?;
        *left -= 1;
        let record = self.read(section);
        if record.is_err() {
            self.left = [0; 3];
        }
        Some(record)
    }
}

/// Where the name at `at` ends. Pointers are not followed, only seen to point backwards.
fn skip_name(message: &[u8], start: usize) -> Result<usize, FormError> {
    let mut at = start;
    loop {
        match *message.get(at).ok_or(FormError::Short)? {
            0 => return Ok(at + 1),
            len @ 1..=0x3f => at += 1 + usize::from(len),
            0xc0.. if usize::from(read_u16(message, at)? & 0x3fff) < start => return Ok(at + 2),
            0xc0.. => return Err(FormError::Pointer),
            _ => return Err(FormError::LabelType),
        }
        if at - start >= super::MAX_NAME {
            return Err(FormError::LongName);
        }
    }
}
