//! DNS messages as octets (RFC 1035 §4), without I/O.
//!
//! Views borrow what they read and copy nothing; what is wrong with a message is a [`FormError`]. Offsets are
//! from the message's first octet.

mod edns;
mod header;
mod name;
mod query;
mod rdata;
mod records;
mod types;
mod writer;

pub(crate) use edns::write_option;
pub use edns::{Edns, EdnsOption, OPT_FIXED, Options, option};
pub use header::{HEADER_LEN, Header, flag};
pub use name::{MAX_NAME, Name, NameBuf, NameBuffer, NameParseError};
pub(crate) use name::{escaped, read_text};
pub use query::{Query, Question, Unanswerable};
pub(crate) use rdata::{Piece, pieces};
pub use records::{Record, Records, Section};
pub use types::{Class, ExtendedError, Opcode, Rcode, Type, UnknownNumber};
pub(crate) use writer::MAX_POINTER;
pub use writer::{Full, Mark, Writer};

/// What a message is that cannot be read: the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormError {
    /// It ends before what it announces.
    Short,
    /// A label of a reserved type (RFC 1035 §4.1.4, RFC 6891 §5).
    LabelType,
    /// A compression pointer that does not point backwards (RFC 1035 §4.1.4), one too many, or one in a question.
    Pointer,
    /// A name of more than 255 octets (RFC 1035 §2.3.4).
    LongName,
    /// More than one question (RFC 9619), or none without a cookie.
    Questions,
    /// Records that a query does not have (RFC 1035 §4.1.1), or some behind its signature (RFC 8945 §5.1).
    Records,
    /// Two OPT records, or one that is not the root's or not in the additional section (RFC 6891 §6.1.1).
    Opt,
    /// An option of a length that it cannot have.
    OptionLength,
    /// Octets behind what should be the last. A query may have them.
    Trailing,
}

impl std::fmt::Display for FormError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FormError::Short => "the message ends before what it announces",
            FormError::LabelType => "a label of a reserved type",
            FormError::Pointer => "a compression pointer where none may be, or one that does not point backwards",
            FormError::LongName => "a name of more than 255 octets",
            FormError::Questions => "not exactly one question",
            FormError::Records => "records that a query does not have",
            FormError::Opt => "two OPT records, or one that is not the root's, or in the wrong section",
            FormError::OptionLength => "an EDNS option of an impossible length",
            FormError::Trailing => "octets behind what should be the last",
        })
    }
}

impl std::error::Error for FormError {}

/// The 16-bit number at `at`, in network order.
pub(crate) fn read_u16(octets: &[u8], at: usize) -> Result<u16, FormError> {
    let pair = octets.get(at..at + 2).ok_or(FormError::Short)?;
    Ok(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The 32-bit number at `at`, in network order.
pub(crate) fn read_u32(octets: &[u8], at: usize) -> Result<u32, FormError> {
    Ok(u32::from(read_u16(octets, at)?) << 16 | u32::from(read_u16(octets, at + 2)?))
}
