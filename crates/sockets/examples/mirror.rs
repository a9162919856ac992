//! Answers every datagram with itself, with the bit set that makes a DNS question an answer: what datagrams cost
//! the transport, and nothing else.
//!
//! `cargo run --release -p afpa-sockets --example mirror -- ADDRESS [INTERFACE]`

use std::env::args;
use std::error::Error;
use std::net::SocketAddr;

use afpa_engine::seam::{Disconnect, Listen, ListenerId, Origin, Segment};
use afpa_engine::{Calls, ConnectionId, Events, Owner, Time, Transport};
use afpa_platform::clock;
use afpa_sockets::{Interface, Sockets, SocketsConfig};

struct Mirror {
    answer: Vec<u8>,
}

impl Events for Mirror {
    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, _: Owner, peer: SocketAddr, bytes: &[u8]) {
        self.answer.clear();
        self.answer.extend_from_slice(bytes);
        if let Some(flags) = self.answer.get_mut(2) {
            *flags |= 0x80;
        }
        calls.send_datagram(socket, peer, &mut [Segment::Copy(&self.answer)].into_iter());
    }

    fn received(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {}
    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}
    fn disconnected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Disconnect) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = args().skip(1).collect();
    let address: SocketAddr = arguments.first().ok_or("which address?")?.parse()?;
    let interface = match arguments.get(1).map(String::as_str) {
        None | Some("uring") => Interface::Uring,
        Some("epoll") => Interface::Epoll,
        Some(other) => return Err(format!("{other}: uring or epoll").into()),
    };
    let mut sockets = Sockets::new(SocketsConfig { interface, ..SocketsConfig::default() })?;
    sockets.listen(Listen::Datagram(address), Owner(0))?;
    let mut mirror = Mirror { answer: Vec::new() };
    loop {
        sockets.poll(Time(clock::now()), None, &mut mirror)?;
    }
}
