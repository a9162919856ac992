//! The question as it goes to a backend.

use afpa_engine::Time;
use afpa_wire::proxy_protocol::{self, Carrier, Endpoints};

use super::client_subnet::ClientSubnet;
use super::expected::{Expected, ExpectedEdns};
use super::flights::Attempt;
use super::framing;
use super::pool::{Pool, SubnetPolicy};
use crate::message::{Class, HEADER_LEN, Header, Name, NameBuf, Rcode, Type, Writer, flag, option, write_option};

/// The UDP payload that we take: small enough for any path not to cut it into fragments, which can be forged.
pub const UDP_SIZE: u16 = 1232;

/// What is to be asked: what of a client's query an answer depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The name.
    pub name: NameBuf,
    /// The type.
    pub qtype: Type,
    /// The class.
    pub qclass: Class,
    /// RD.
    pub recursion_desired: bool,
    /// CD (RFC 4035 §3.2.2).
    pub checking_disabled: bool,
    /// AD: whether the answer's AD is of interest (RFC 6840 §5.7).
    pub authentic_data: bool,
    /// DO (RFC 3225). It cannot be said to a backend without EDNS.
    pub dnssec_ok: bool,
    /// The subnet that the client sent.
    pub subnet: Option<ClientSubnet>,
    /// The client, for backends that want the PROXY protocol; `None` if the question is our own.
    pub endpoints: Option<Endpoints>,
}

impl Ask {
    /// A question of our own, with RD.
    pub fn new(name: NameBuf, qtype: Type) -> Ask {
        Ask {
            name,
            qtype,
            qclass: Class::IN,
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            dnssec_ok: false,
            subnet: None,
            endpoints: None,
        }
    }
}

/// Writes to `into`, which is cleared, all that a new conversation with the attempt's backend starts with: a PROXY
/// protocol header if the backend wants one, over TCP the length, and the query, under a new ID. Returns what an
/// answer must have; `None` if the attempt's backend is none of `pool`'s.
pub fn build_query(
    ask: &Ask,
    pool: &Pool,
    attempt: &Attempt,
    now: Time,
    random: &mut impl FnMut() -> u64,
    into: &mut Vec<u8>,
) -> Option<Expected> {
    let backend = pool.backend(attempt.backend)?;
    // Over TCP the sequence numbers are what cannot be guessed.
    let mixed_case = pool.config().mixed_case && !attempt.tcp && backend.keeps_case(now);
    let mut octets = ask.name.as_name().as_wire().to_ascii_lowercase();
    if mixed_case {
        mix_case(&mut octets, random);
    }
    // Neither length nor shape has changed.
    let name = Name::read(&octets).ok()?;
    let subnet = match pool.config().subnet {
        SubnetPolicy::Strip => None,
        SubnetPolicy::Pass { ipv4, ipv6 } => ask.subnet.map(|subnet| subnet.shortened(ipv4, ipv6)),
    };
    let id = random() as u16;
    let header = Header { id, flags: flags(ask), counts: [0; 4] };
    let mut message = Vec::with_capacity(HEADER_LEN + octets.len() + 80);
    let mut writer = Writer::new(&mut message, header, usize::from(UDP_SIZE));
    writer.question(name, ask.qtype, ask.qclass).ok()?;
    let question_end = writer.len();
    let edns = match attempt.edns {
        true => {
            let cookies = backend.cookies();
            let mut options = Vec::with_capacity(64);
            write_option(&mut options, option::COOKIE, &[cookies.as_octets()]);
            if let Some(subnet) = subnet {
                subnet.write_query(&mut options);
            }
            writer.opt(UDP_SIZE, Rcode::NOERROR, ask.dnssec_ok, &options).ok()?;
            Some(ExpectedEdns { cookie: cookies.client(), has_server_cookie: cookies.has_server(), subnet })
        }
        false => None,
    };
    writer.finish();
    into.clear();
    if backend.config().proxy_protocol {
        let carrier = if attempt.tcp { Carrier::Stream } else { Carrier::Datagram };
        proxy_protocol::write(ask.endpoints.as_ref(), carrier, into);
    }
    match attempt.tcp {
        true => framing::write_frame(&message, into)?,
        false => into.extend_from_slice(&message),
    }
    let question = message[HEADER_LEN..question_end].into();
    Some(Expected { id, question, mixed_case, tcp: attempt.tcp, edns, mismatches: 0 })
}

fn flags(ask: &Ask) -> u16 {
    let flags = [(ask.recursion_desired, flag::RD), (ask.checking_disabled, flag::CD), (ask.authentic_data, flag::AD)];
    flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag)
}

/// Draws the case of each letter: a bit more to guess for who forges an answer.
fn mix_case(octets: &mut [u8], random: &mut impl FnMut() -> u64) {
    for octets in octets.chunks_mut(64) {
        let mut bits = random();
        for octet in octets {
            // Lengths are below `A`: they stay.
            if octet.is_ascii_lowercase() && bits & 1 == 1 {
                *octet = octet.to_ascii_uppercase();
            }
            bits >>= 1;
        }
    }
}
