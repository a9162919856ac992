//! Answers every HTTP request with the same response from pinned memory: what the transport costs,
//! and nothing else.
//!
//! `cargo run --release -p afpa-sockets --example constant -- ADDRESS [OCTETS] [INTERFACE] [CONTEXT] [close]`

use std::env::args;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use afpa_cache::{Cache, CacheConfig, Piece, ResidentBody};
use afpa_engine::seam::{Address, Disconnect, Listen, ListenerId, Origin, Segment};
use afpa_engine::{Calls, ConnectionId, Events, Owner, Time, Transport};
use afpa_platform::clock;
use afpa_sockets::{Interface, Respond, Sockets, SocketsConfig};

struct Constant {
    head: Vec<u8>,
    body: Rc<ResidentBody>,
    close: bool,
    /// How much of the body each connection has been given, by its index.
    positions: Vec<u64>,
}

impl Constant {
    fn go_on(&mut self, calls: &mut dyn Calls, id: ConnectionId) {
        let position = &mut self.positions[id.index() as usize];
        while *position < self.body.len() && calls.send_space(id) > 0 {
            let Piece::Pinned(pin) = self.body.piece_at(*position, self.body.len()) else { return };
            *position += pin.len() as u64;
            calls.send(id, Segment::Pinned(pin));
        }
        if *position == self.body.len() && self.close {
            calls.close(id);
        }
    }
}

impl Events for Constant {
    fn connected(&mut self, _calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, _origin: Origin) {
        let count = self.positions.len().max(id.index() as usize + 1);
        self.positions.resize(count, 0);
        self.positions[id.index() as usize] = self.body.len();
    }

    fn received(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, bytes: &[u8]) -> usize {
        if !bytes.ends_with(b"\r\n\r\n") {
            return 0;
        }
        calls.send(id, Segment::Copy(&self.head));
        self.positions[id.index() as usize] = 0;
        self.go_on(calls, id);
        bytes.len()
    }

    fn sent(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, _count: u64) {
        if self.positions[id.index() as usize] < self.body.len() {
            self.go_on(calls, id);
        }
    }

    fn disconnected(&mut self, calls: &mut dyn Calls, id: ConnectionId, _owner: Owner, reason: Disconnect) {
        if reason == Disconnect::Finished {
            calls.close(id);
        }
    }

    fn datagram(&mut self, _: &mut dyn Calls, _: ListenerId, _: Owner, _: SocketAddr, _: &[u8]) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let options: Vec<String> = args().skip(1).collect();
    let address = options.first().map_or("127.0.0.1:8080", |address| address).parse()?;
    let octets = options.get(1).map_or("1024", |octets| octets).parse()?;
    let close = options.iter().any(|option| option == "close");
    let mut config = SocketsConfig::default();
    for option in &options {
        match option.as_str() {
            "epoll" => config.interface = Interface::Epoll,
            "uring" => config.interface = Interface::Uring,
            "inline" => config.respond = Respond::Inline,
            "thread" => config.respond = Respond::Thread,
            _ => {}
        }
    }
    let cache =
        Cache::<()>::new(CacheConfig { capacity: 64 << 20, max_pinned_object: 8 << 20, engines: 1, frames: 0 })?;
    let mut filling = cache.fill(b"\r\n", octets).map_err(|_| "the body does not fit")?;
    filling.write_all(&vec![b'x'; octets as usize])?;
    let body = ResidentBody::new(filling.finish(), &Arc::default());
    let connection = if close { "Connection: close\r\n" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: {octets}\r\n{connection}").into_bytes();
    let mut constant = Constant { head, body, close, positions: Vec::new() };
    let mut sockets = Sockets::new(config)?;
    sockets.listen(Listen::Stream(Address::Inet(address)), Owner(0))?;
    eprintln!("{octets} octets on http://{address} through {}", sockets.interface().name());
    loop {
        sockets.poll(Time(clock::now()), None, &mut constant)?;
    }
}
