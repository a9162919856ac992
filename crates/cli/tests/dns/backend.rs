//! A backend of the test's own, which counts what it is asked.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use afpa_dns::message::{Class, Header, Name, NameBuf, Query, Rcode, Section, Type, Writer, flag};

/// Answers over UDP until its value is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<NameBuf>>>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Answers each question with this address; with NODATA what is asked for another type.
    pub(crate) fn start(address: [u8; 4], ttl: u32) -> Backend {
        Backend::with(move |query| answer(query, &[address], ttl))
    }

    /// Answers each question with what `respond` makes of it.
    pub(crate) fn with(mut respond: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Backend {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length @ 1.., from)) = socket.recv_from(&mut buffer) {
                let query = &buffer[..length];
                let name = asked_name(query);
                if name.as_name() != Name::ROOT {
                    heard.lock().unwrap().push(name);
                }
                // Who asked may be gone.
                let _ = socket.send_to(&respond(query), from);
            }
        });
        Backend { address, asked, thread: Some(thread) }
    }

    /// What was asked until now, in lower case, checks aside.
    pub(crate) fn asked(&self) -> Vec<NameBuf> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Nothing at all ends it.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[], self.address).unwrap();
        let _ = self.thread.take().unwrap().join();
    }
}

/// What is asked for, in lower case.
pub(crate) fn asked_name(query: &[u8]) -> NameBuf {
    Query::read(query).unwrap().question.unwrap().name.to_lowercase()
}

/// An answer with these addresses.
pub(crate) fn answer(query: &[u8], addresses: &[[u8; 4]], ttl: u32) -> Vec<u8> {
    let query = Query::read(query).unwrap();
    let question = query.question.unwrap();
    let mut octets = Vec::new();
    let header = Header { id: query.header.id, flags: flag::QR | flag::RD | flag::RA, counts: [0; 4] };
    let mut writer = Writer::new(&mut octets, header, 1232);
    writer.question(question.name, question.qtype, question.qclass).unwrap();
    for address in addresses.iter().filter(|_| question.qtype == Type::A) {
        writer.record(Section::Answer, question.name, Type::A, Class::IN, ttl, address).unwrap();
    }
    if query.edns.is_some() {
        writer.opt(1232, Rcode::NOERROR, false, &[]).unwrap();
    }
    writer.finish();
    octets
}
