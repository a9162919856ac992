//! Addresses for servers that have to be told where to listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below where ephemeral ports start: the kernel gives none of them to somebody else before the server has it.
const PORTS: Range<u16> = 20_000..32_000;

/// An address for streams and datagrams that nobody has, nor has been given by this function.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    let candidate = || {
        let offset = start.wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u16;
        SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset))
    };
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    std::iter::repeat_with(candidate).take(1000).find(is_free).expect("a free port")
}
