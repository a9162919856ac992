//! A client that asks over UDP and TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use afpa_dns::message::{Class, Header, NameBuf, Rcode, Type, Writer, flag};

use crate::backend::Backend;
use crate::server::eventually;
use crate::zone_support::message::{Answer, read};

/// What a question says of EDNS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Edns {
    pub(crate) udp_size: u16,
    pub(crate) dnssec_ok: bool,
}

/// EDNS as most have it.
pub(crate) const EDNS: Option<Edns> = Some(Edns { udp_size: 1232, dnssec_ok: false });

pub(crate) struct Client {
    server: SocketAddr,
    udp: UdpSocket,
    tcp: Option<TcpStream>,
    next_id: u16,
}

impl Client {
    pub(crate) fn to(server: SocketAddr) -> Client {
        let udp = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        udp.connect(server).unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client { server, udp, tcp: None, next_id: 0 }
    }

    /// The answer over UDP.
    pub(crate) fn udp(&mut self, name: &NameBuf, qtype: Type, edns: Option<Edns>) -> Vec<u8> {
        self.try_udp(name, qtype, edns).unwrap_or_else(|| panic!("{} does not answer {name} {qtype}", self.server))
    }

    /// The same, if there is one.
    pub(crate) fn try_udp(&mut self, name: &NameBuf, qtype: Type, edns: Option<Edns>) -> Option<Vec<u8>> {
        let id = self.send(name, qtype, edns);
        loop {
            let message = self.receive()?;
            if message[..2] == id.to_be_bytes() {
                return Some(message);
            }
        }
    }

    /// Asks over UDP. Returns the question's number.
    pub(crate) fn send(&mut self, name: &NameBuf, qtype: Type, edns: Option<Edns>) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        // An error is left from an earlier question, to a server that is not there yet.
        let _ = self.udp.send(&query(self.next_id, name, qtype, edns));
        self.next_id
    }

    /// The next message over UDP.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 65535];
        let length = self.udp.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// How long an answer over UDP is waited for; 10 s otherwise.
    pub(crate) fn patience(self, patience: Duration) -> Client {
        self.udp.set_read_timeout(Some(patience)).unwrap();
        self
    }

    /// The answer over TCP, on one connection as far as the server keeps it.
    pub(crate) fn tcp(&mut self, name: &NameBuf, qtype: Type, edns: Option<Edns>) -> Vec<u8> {
        self.next_id = self.next_id.wrapping_add(1);
        let query = query(self.next_id, name, qtype, edns);
        for _ in 0..2 {
            let mut stream = self.tcp.take().unwrap_or_else(|| connect(self.server));
            match exchange(&mut stream, &query) {
                Ok(message) => {
                    assert_eq!(message[..2], query[..2]);
                    self.tcp = Some(stream);
                    return message;
                }
                // It closes connections that are idle.
                Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
                Err(error) => panic!("{} {name} {qtype}: {error}", self.server),
            }
        }
        panic!("{} does not answer {name} {qtype} over TCP", self.server)
    }

    /// The addresses of a name, asked for over UDP.
    pub(crate) fn addresses(&mut self, name: &str) -> Vec<String> {
        let answer = read(&self.udp(&name.parse().unwrap(), Type::A, EDNS));
        let dotted = |rdata: &[u8]| rdata.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        answer.sections[0].iter().filter(|line| line.rtype == Type::A).map(|line| dotted(&line.rdata)).collect()
    }

    /// Asks for a name's addresses until the server knows them by itself: what it heard is kept a moment after it was
    /// passed on.
    pub(crate) fn learn(&mut self, name: &str, backend: &Backend) {
        eventually("an answer that is kept", || {
            let before = backend.asked().len();
            self.addresses(name);
            backend.asked().len() == before
        });
    }

    /// The response code for a name's addresses, asked for over UDP.
    pub(crate) fn rcode(&mut self, name: &str) -> Rcode {
        Header::read(&self.udp(&name.parse().unwrap(), Type::A, EDNS)).unwrap().rcode()
    }
}

/// A connection that does not wait for ever.
pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, query: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    let frame = [&(query.len() as u16).to_be_bytes(), query].concat();
    stream.write_all(&frame).and_then(|()| next(stream)).map_err(|error| error.kind())
}

/// The next message of a stream.
pub(crate) fn next(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// A question, recursion desired.
pub(crate) fn query(id: u16, name: &NameBuf, qtype: Type, edns: Option<Edns>) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut writer = Writer::new(&mut octets, Header { id, flags: flag::RD, ..Header::default() }, 512);
    writer.question(name.as_name(), qtype, Class::IN).unwrap();
    if let Some(Edns { udp_size, dnssec_ok }) = edns {
        writer.opt(udp_size, Rcode::NOERROR, dnssec_ok, &[]).unwrap();
    }
    writer.finish();
    octets
}

/// The TTLs of an answer, without those.
pub(crate) fn without_ttls(answer: &Answer) -> (Answer, Vec<u32>) {
    let (mut answer, mut ttls) = (answer.clone(), Vec::new());
    for section in &mut answer.sections {
        *section = std::mem::take(section)
            .into_iter()
            .map(|mut line| {
                ttls.push(std::mem::take(&mut line.ttl));
                line
            })
            .collect();
    }
    (answer, ttls)
}
