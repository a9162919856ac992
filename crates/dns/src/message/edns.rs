//! EDNS(0): the OPT pseudo-record and its options (RFC 6891).

use super::{FormError, Header, Rcode, Record, read_u16};

/// Octets of an OPT record besides its options (RFC 6891 §6.1.2).
pub const OPT_FIXED: usize = 11;

/// Codes of options.
pub mod option {
    /// The server's identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// The client's subnet (RFC 7871).
    pub const CLIENT_SUBNET: u16 = 8;
    /// Cookies (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// How long a TCP connection may be idle (RFC 7828).
    pub const TCP_KEEPALIVE: u16 = 11;
    /// Padding (RFC 7830).
    pub const PADDING: u16 = 12;
    /// Why an answer is what it is (RFC 8914).
    pub const EXTENDED_ERROR: u16 = 15;
}

/// What an OPT record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edns<'a> {
    /// The largest UDP payload that the sender takes. Values below 512 mean 512 (RFC 6891 §6.2.3).
    pub udp_size: u16,
    /// The upper eight bits of the response code.
    pub extended_rcode: u8,
    /// The version. What is known here is 0; of a later one, nothing below was read.
    pub version: u8,
    /// Whether DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// Its options.
    pub options: Options<'a>,
}

/// Options, seen to be well formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options<'a> {
    octets: &'a [u8],
}

/// One option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdnsOption<'a> {
    /// Its code, one of [`option`] perhaps.
    pub code: u16,
    /// Its data.
    pub data: &'a [u8],
}

impl<'a> Edns<'a> {
    /// Reads an OPT record. Its owner and its section are not looked at.
    ///
    /// # Errors
    /// The options do not fill the record, or one of a known code has an impossible length.
    pub fn read(record: &Record<'a>) -> Result<Edns<'a>, FormError> {
        let version = (record.ttl >> 16) as u8;
        // RFC 6891 §6.1.3: a later version is BADVERS, whatever its options look like.
        let options = if version > 0 { Options::default() } else { Options::read(record.rdata)? };
        Ok(Edns {
            udp_size: record.class.0.max(512),
            extended_rcode: (record.ttl >> 24) as u8,
            version,
            dnssec_ok: record.ttl & 0x8000 != 0,
            options,
        })
    }

    /// The response code of a message with this `header`, all twelve bits (RFC 6891 §6.1.3).
    pub fn rcode(&self, header: Header) -> Rcode {
        Rcode(u16::from(self.extended_rcode) << 4 | header.rcode().0)
    }
}

impl<'a> Options<'a> {
    fn read(octets: &'a [u8]) -> Result<Options<'a>, FormError> {
        let mut rest = Options { octets };
        for EdnsOption { code, data } in rest.by_ref() {
            if !length_is_possible(code, data.len()) {
                return Err(FormError::OptionLength);
            }
        }
        // It stops at what is no option.
        if rest.is_empty() { Ok(Options { octets }) } else { Err(FormError::OptionLength) }
    }

    /// The data of the first option with `code`.
    pub fn get(self, code: u16) -> Option<&'a [u8]> {
        { self }.find(|option| option.code == code).map(|option| option.data)
    }

    /// Their octets.
    pub fn as_octets(self) -> &'a [u8] {
        self.octets
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.octets.is_empty()
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = EdnsOption<'a>;

    fn next(&mut self) -> Option<EdnsOption<'a>> {
        let (code, len) = (read_u16(self.octets, 0).ok()?, read_u16(self.octets, 2).ok()?);
        let (data, rest) = self.octets[4..].split_at_checked(usize::from(len))?;
        self.octets = rest;
        Some(EdnsOption { code, data })
    }
}

/// Appends an option of `code`. Its data are `parts`, one after another: at most 65,535 octets.
pub(crate) fn write_option(into: &mut Vec<u8>, code: u16, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    into.extend_from_slice(&code.to_be_bytes());
    into.extend_from_slice(&(len as u16).to_be_bytes());
    for part in parts {
        into.extend_from_slice(part);
    }
}

/// An option that does not look like itself is FORMERR only where its RFC says so: one of RFC 7828, say, is to be ignored
/// over UDP, whatever it looks like (§3.3.1).
fn length_is_possible(code: u16, len: usize) -> bool {
    match code {
        // RFC 7873 §5.2.2: the client's 8 octets, and perhaps 8 to 32 of the server.
        option::COOKIE => len == 8 || (16..=40).contains(&len),
        // RFC 7871 §6: family, two prefix lengths, and at most 16 octets of an address.
        option::CLIENT_SUBNET => (4..=20).contains(&len),
        _ => true,
    }
}
