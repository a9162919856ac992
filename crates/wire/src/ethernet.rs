//! Ethernet II, with or without one 802.1Q tag.

use crate::octets::{number16, put};
use crate::{Layer, MacAddress, Malformed};

/// The EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// The EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// The EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// The EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Octets of a header without a tag.
pub const HEADER_LEN: usize = 14;
/// Octets of a header with a tag.
pub const TAGGED_HEADER_LEN: usize = 18;

/// A frame, without its check sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// To whom.
    pub destination: MacAddress,
    /// From whom.
    pub source: MacAddress,
    /// The tag control information of the 802.1Q tag, if there is one: priority (3 bits), drop
    /// eligibility (1), VLAN (12).
    pub vlan: Option<u16>,
    /// What the payload is; below 0x0600 the length of an 802.3 frame. Not [`VLAN`], unless tags are nested.
    pub ether_type: u16,
    /// What follows, with whatever padding the link added.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Looks at a frame.
    ///
    /// # Errors
    /// If it ends before its header does.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Frame<'a>, Malformed> {
        let Some((header, mut payload)) = octets.split_first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Truncated(Layer::Ethernet));
        };
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ..] = *header;
        let mut vlan = None;
        let mut ether_type = number16(header, 12);
        if ether_type == VLAN {
            let Some((tag, rest)) = payload.split_first_chunk::<4>() else {
                return Err(Malformed::Truncated(Layer::Ethernet));
            };
            vlan = Some(number16(tag, 0));
            ether_type = number16(tag, 2);
            payload = rest;
        }
        let (destination, source) = (MacAddress([d0, d1, d2, d3, d4, d5]), MacAddress([s0, s1, s2, s3, s4, s5]));
        Ok(Frame { destination, source, vlan, ether_type, payload })
    }
}

/// What is written in front of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// To whom.
    pub destination: MacAddress,
    /// From whom.
    pub source: MacAddress,
    /// The tag control information of an 802.1Q tag, if there is to be one.
    pub vlan: Option<u16>,
    /// What the payload is.
    pub ether_type: u16,
}

impl Header {
    /// How many octets [`Header::write`] writes: 14, or 18 with a tag.
    #[inline]
    pub const fn header_len(&self) -> usize {
        if self.vlan.is_some() { TAGGED_HEADER_LEN } else { HEADER_LEN }
    }

    /// Writes the header to the front of `out` and returns how many octets it took.
    ///
    /// # Panics
    /// If `out` is shorter than that.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> usize {
        let length = self.header_len();
        let out = &mut out[..length];
        put(out, 0, self.destination.0);
        put(out, 6, self.source.0);
        if let Some(tag) = self.vlan {
            put(out, 12, VLAN.to_be_bytes());
            put(out, 14, tag.to_be_bytes());
        }
        put(out, length - 2, self.ether_type.to_be_bytes());
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_between_addresses_and_type() {
        let (destination, source) = (MacAddress([1; 6]), MacAddress([2; 6]));
        let header = Header { destination, source, vlan: Some(0x6123), ether_type: IPV6 };
        let mut octets = [0; 20];
        assert_eq!((header.header_len(), header.write(&mut octets)), (18, 18));
        assert_eq!(octets[12..], [0x81, 0, 0x61, 0x23, 0x86, 0xdd, 0, 0]);
        let frame = Frame { destination, source, vlan: Some(0x6123), ether_type: IPV6, payload: &[0, 0] };
        assert_eq!(Frame::parse(&octets), Ok(frame));
    }

    #[test]
    fn of_nested_tags_the_outer_one_is_taken_off() {
        let mut octets = [0; 24];
        octets[12..22].copy_from_slice(&[0x81, 0, 0, 1, 0x81, 0, 0, 2, 8, 0]);
        let frame = Frame::parse(&octets).unwrap();
        assert_eq!((frame.vlan, frame.ether_type, frame.payload), (Some(1), VLAN, [0, 2, 8, 0, 0, 0].as_slice()));
    }
}
