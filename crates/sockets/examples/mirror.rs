//! Answers every datagram with itself, with the bit set that makes a DNS question an answer: what datagrams cost
//! the transport, and nothing else. With an address to ask, it opens a conversation for each datagram, and passes
//! its answer on.
//!
//! `cargo run --release -p afpa-sockets --example mirror -- ADDRESS [INTERFACE] [ASK]`

use std::env::args;
use std::error::Error;
use std::net::SocketAddr;

use afpa_engine::seam::{Disconnect, Listen, ListenerId, Origin, Segment};
use afpa_engine::{Calls, ConnectionId, Events, Owner, Time, Transport};
use afpa_platform::clock;
use afpa_sockets::{Interface, Sockets, SocketsConfig};

struct Mirror {
    answer: Vec<u8>,
    ask: Option<SocketAddr>,
    /// Who waits for each conversation's answer, by its index.
    asking: Vec<Option<(ListenerId, SocketAddr)>>,
}

impl Events for Mirror {
    fn datagram(&mut self, calls: &mut dyn Calls, socket: ListenerId, _: Owner, peer: SocketAddr, bytes: &[u8]) {
        if let Some(to) = self.ask {
            return self.pass_on(calls, to, (socket, peer), bytes);
        }
        self.answer.clear();
        self.answer.extend_from_slice(bytes);
        if let Some(flags) = self.answer.get_mut(2) {
            *flags |= 0x80;
        }
        calls.send_datagram(socket, peer, &mut [Segment::Copy(&self.answer)].into_iter());
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _: Owner, bytes: &[u8]) -> usize {
        if let Some((socket, peer)) = self.asking[id.index() as usize].take() {
            calls.send_datagram(socket, peer, &mut [Segment::Copy(bytes)].into_iter());
        }
        calls.close(id);
        bytes.len()
    }

    fn connected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Origin) {}
    fn sent(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: u64) {}
    fn disconnected(&mut self, _: &mut dyn Calls, _: ConnectionId, _: Owner, _: Disconnect) {}
}

impl Mirror {
    fn pass_on(&mut self, calls: &mut dyn Calls, to: SocketAddr, from: (ListenerId, SocketAddr), bytes: &[u8]) {
        // At the limit the question is lost, as on any network.
        let Ok(id) = calls.converse(to, Owner(0)) else { return };
        let index = id.index() as usize;
        self.asking.resize(self.asking.len().max(index + 1), None);
        self.asking[index] = Some(from);
        calls.send(id, Segment::Copy(bytes));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = args().skip(1).collect();
    let address: SocketAddr = arguments.first().ok_or("which address?")?.parse()?;
    let interface = match arguments.get(1).map(String::as_str) {
        None | Some("uring") => Interface::Uring,
        Some("epoll") => Interface::Epoll,
        Some(other) => return Err(format!("{other}: uring or epoll").into()),
    };
    let ask = arguments.get(2).map(|address| address.parse()).transpose()?;
    let mut sockets = Sockets::new(SocketsConfig { interface, ..SocketsConfig::default() })?;
    sockets.listen(Listen::Datagram(address), Owner(0))?;
    let mut mirror = Mirror { answer: Vec::new(), ask, asking: Vec::new() };
    loop {
        sockets.poll(Time(clock::now()), None, &mut mirror)?;
    }
}
