//! The PROXY protocol, versions 1 and 2: who a client is, told in front of what it sent.
//!
//! Written for backends that want it, and read from load balancers in front of us. Only peers that the operator
//! trusts may be believed; that is the caller's to see to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How every header of version 2 starts.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The most octets of a header that is read, TLVs included.
pub const MAX_HEADER: usize = 2048;
/// The most octets of a line of version 1, its end included.
const MAX_LINE: usize = 107;
/// Octets of version 2 before the addresses.
const FIXED: usize = 16;

/// The two ends of a client's exchange with the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// Where it sent to.
    pub destination: SocketAddr,
}

/// How the client reached the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// A header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyHeader {
    /// Who asks through whom; `None` if the proxy speaks for itself or cannot say, and the peer is who it is.
    pub endpoints: Option<Endpoints>,
    /// How; `None` if it is not said.
    pub carrier: Option<Carrier>,
}

/// Where reading has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// A whole header, and its length in octets: what follows is the client's.
    Whole(ProxyHeader, usize),
    /// The header goes on behind what there is. In a datagram that is an error of the sender.
    Incomplete,
}

/// Octets that are no header: the proxy's fault, or it is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyError {
    /// They do not start like one.
    Signature,
    /// A version other than 1 and 2.
    Version,
    /// A command other than LOCAL and PROXY.
    Command,
    /// A family or a transport that is not defined.
    Family,
    /// The header is too short for its addresses, or its line says something else than it should.
    Addresses,
    /// TLVs that do not fill the header.
    Tlv,
    /// Longer than [`MAX_HEADER`], or than a line of version 1 may be.
    TooLong,
}

/// Writes a header of version 2. Without endpoints it says LOCAL: the question is our own.
pub fn write(endpoints: Option<&Endpoints>, carrier: Carrier, into: &mut Vec<u8>) {
    into.extend_from_slice(&SIGNATURE);
    let Some(endpoints) = endpoints else {
        into.extend_from_slice(&[0x20, 0, 0, 0]);
        return;
    };
    let transport = match carrier {
        Carrier::Stream => 1,
        Carrier::Datagram => 2,
    };
    let (source, destination) = (endpoints.source, endpoints.destination);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            into.extend_from_slice(&[0x21, 0x10 | transport, 0, 12]);
            into.extend_from_slice(&from.octets());
            into.extend_from_slice(&to.octets());
        }
        (from, to) => {
            into.extend_from_slice(&[0x21, 0x20 | transport, 0, 36]);
            into.extend_from_slice(&mapped(from).octets());
            into.extend_from_slice(&mapped(to).octets());
        }
    }
    into.extend_from_slice(&source.port().to_be_bytes());
    into.extend_from_slice(&destination.port().to_be_bytes());
}

/// Writes a header of version 1, which is for streams.
pub fn write_line(endpoints: &Endpoints, into: &mut Vec<u8>) {
    let Endpoints { source, destination } = endpoints;
    let line = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            format!("PROXY TCP4 {from} {to} {} {}\r\n", source.port(), destination.port())
        }
        (from, to) => {
            format!("PROXY TCP6 {} {} {} {}\r\n", mapped(from), mapped(to), source.port(), destination.port())
        }
    };
    into.extend_from_slice(line.as_bytes());
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Reads the header at the start of `octets`, of either version.
///
/// # Errors
/// There is none.
pub fn read(octets: &[u8]) -> Result<Parsed, ProxyError> {
    let start = octets.len().min(SIGNATURE.len());
    if octets[..start] == SIGNATURE[..start] {
        return read_binary(octets);
    }
    let start = octets.len().min(LINE_START.len());
    if octets[..start] == LINE_START[..start] {
        return read_line(octets);
    }
    Err(ProxyError::Signature)
}

const LINE_START: &[u8] = b"PROXY ";

fn read_binary(octets: &[u8]) -> Result<Parsed, ProxyError> {
    let Some(fixed) = octets.first_chunk::<FIXED>() else { return Ok(Parsed::Incomplete) };
    let [version_command, family] = [fixed[12], fixed[13]];
    if version_command >> 4 != 2 {
        return Err(ProxyError::Version);
    }
    let is_local = match version_command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(ProxyError::Command),
    };
    let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > MAX_HEADER {
        return Err(ProxyError::TooLong);
    }
    let Some(body) = octets.get(FIXED..len) else { return Ok(Parsed::Incomplete) };
    if is_local {
        // The addresses of LOCAL mean nothing, whatever they are.
        return Ok(Parsed::Whole(ProxyHeader { endpoints: None, carrier: None }, len));
    }
    let carrier = match family & 0xf {
        0 => None,
        1 => Some(Carrier::Stream),
        2 => Some(Carrier::Datagram),
        _ => return Err(ProxyError::Family),
    };
    let (endpoints, tlvs) = match family >> 4 {
        0 => return Ok(Parsed::Whole(ProxyHeader { endpoints: None, carrier: None }, len)),
        1 => ipv4(body)?,
        2 => ipv6(body)?,
        // Paths of a Unix socket are no addresses that a rule could be about.
        3 => (None, body.get(216..).ok_or(ProxyError::Addresses)?),
        _ => return Err(ProxyError::Family),
    };
    check_tlvs(tlvs)?;
    // An address without a transport is not one that is defined.
    let endpoints = endpoints.filter(|_| carrier.is_some());
    Ok(Parsed::Whole(ProxyHeader { endpoints, carrier }, len))
}

fn ipv4(body: &[u8]) -> Result<(Option<Endpoints>, &[u8]), ProxyError> {
    let (block, tlvs) = body.split_first_chunk::<12>().ok_or(ProxyError::Addresses)?;
    let address = |at: usize| IpAddr::V4(Ipv4Addr::new(block[at], block[at + 1], block[at + 2], block[at + 3]));
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let source = SocketAddr::new(address(0), port(8));
    Ok((Some(Endpoints { source, destination: SocketAddr::new(address(4), port(10)) }), tlvs))
}

fn ipv6(body: &[u8]) -> Result<(Option<Endpoints>, &[u8]), ProxyError> {
    let (block, tlvs) = body.split_first_chunk::<36>().ok_or(ProxyError::Addresses)?;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&block[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let source = SocketAddr::new(address(0), port(32));
    Ok((Some(Endpoints { source, destination: SocketAddr::new(address(16), port(34)) }), tlvs))
}

/// What TLVs say is not looked at, only that they are whole.
fn check_tlvs(mut tlvs: &[u8]) -> Result<(), ProxyError> {
    while !tlvs.is_empty() {
        let (&[_, high, low], rest) = tlvs.split_first_chunk().ok_or(ProxyError::Tlv)?;
        tlvs = rest.get(usize::from(u16::from_be_bytes([high, low]))..).ok_or(ProxyError::Tlv)?;
    }
    Ok(())
}

fn read_line(octets: &[u8]) -> Result<Parsed, ProxyError> {
    let seen = &octets[..octets.len().min(MAX_LINE)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() == MAX_LINE { Err(ProxyError::TooLong) } else { Ok(Parsed::Incomplete) };
    };
    let line = std::str::from_utf8(&octets[..end]).map_err(|_| ProxyError::Addresses)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // What stands behind it is to be ignored.
        return Ok(Parsed::Whole(ProxyHeader { endpoints: None, carrier: None }, end + 2));
    }
    let mut word = || words.next().ok_or(ProxyError::Addresses);
    let (from, to, from_port, to_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(ProxyError::Addresses);
    }
    let address: fn(&str) -> Option<IpAddr> = match family {
        Some("TCP4") => |text| text.parse().ok().map(IpAddr::V4),
        Some("TCP6") => |text| text.parse().ok().map(IpAddr::V6),
        _ => return Err(ProxyError::Family),
    };
    let end_of = |text: &str, digits: &str| Some(SocketAddr::new(address(text)?, port(digits)?));
    let source = end_of(from, from_port).ok_or(ProxyError::Addresses)?;
    let destination = end_of(to, to_port).ok_or(ProxyError::Addresses)?;
    let header = ProxyHeader { endpoints: Some(Endpoints { source, destination }), carrier: Some(Carrier::Stream) };
    Ok(Parsed::Whole(header, end + 2))
}

/// A decimal number without a sign and without zeros in front.
fn port(digits: &str) -> Option<u16> {
    let is_plain = digits.bytes().all(|octet| octet.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| is_plain)
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProxyError::Signature => "no PROXY protocol header",
            ProxyError::Version => "a PROXY protocol header of an unknown version",
            ProxyError::Command => "a PROXY protocol header with an unknown command",
            ProxyError::Family => "a PROXY protocol header with an unknown family or transport",
            ProxyError::Addresses => "a PROXY protocol header without the addresses it announces",
            ProxyError::Tlv => "a PROXY protocol header whose TLVs do not fill it",
            ProxyError::TooLong => "a PROXY protocol header that is too long",
        })
    }
}

impl std::error::Error for ProxyError {}
