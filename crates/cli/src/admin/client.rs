//! Whose process is at the other end of a connection from this machine. Frames hold what others sent, so
//! not everybody who can reach the loopback address may see them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The other end of a connection to the admin server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// Set when the connection has something to do that takes long.
    pub(super) takes_long: Arc<AtomicBool>,
}

impl Client {
    /// Whether root or the server's own user asks.
    pub(super) fn is_trusted(&self) -> bool {
        let path = if self.peer.is_ipv4() { "/proc/thread-self/net/tcp" } else { "/proc/thread-self/net/tcp6" };
        let table = std::fs::read_to_string(path).unwrap_or_default();
        let ours = rustix::process::geteuid().as_raw();
        owner(&table, self.peer, self.local).is_some_and(|user| user == 0 || user == ours)
    }
}

/// The user whose socket goes from `from` to `to`, by the kernel's table; none if the socket is not on
/// this machine.
fn owner(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let (from, to) = (in_hexadecimal(from), in_hexadecimal(to));
    let mut lines = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    // sl, local address, remote address, state, queues, timer, retransmits, user, timeout, inode, ...
    let words = lines.find(|words| words.get(1) == Some(&&*from) && words.get(2) == Some(&&*to))?;
    // A socket that no process holds any more is shown as root's.
    let is_held = words.get(9).is_some_and(|inode| *inode != "0");
    words.get(7).filter(|_| is_held)?.parse().ok()
}

/// As the table has it: each 32-bit word of the address as this machine's number, then the port.
fn in_hexadecimal(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (words, _) = octets.as_chunks();
    let words: String = words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect();
    format!("{words}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_from_this_process_is_ours_and_one_from_elsewhere_is_not() {
        let mut addresses = vec!["127.0.0.1:0"];
        if TcpListener::bind("[::1]:0").is_ok() {
            addresses.push("[::1]:0");
        }
        for address in addresses {
            let listener = TcpListener::bind(address).unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (peer, local) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            let client = |peer| Client { peer, local, takes_long: Arc::default() };
            assert!(client(peer).is_trusted(), "{peer}");
            assert!(!client(SocketAddr::from(([192, 0, 2, 1], 9))).is_trusted());
            drop(stream);
            assert!(!client(peer).is_trusted(), "nobody holds it any more");
        }
    }

    #[test]
    fn the_table_names_the_user() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 1 1 0 100 0\n   \
             1: 0100007F:C350 0100007F:2382 01 00000000:00000000 00:00000000 00000000  1000        0 71 1 0 20 4\n   \
             3: 0100007F:C351 0100007F:2382 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n   \
             2: 0100007F:2382 0100007F:C350 01 00000000:00000000 00:00000000 00000000   999        0 72 1 0 20 4\n";
        let (server, client) = ("127.0.0.1:9090".parse().unwrap(), "127.0.0.1:50000".parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(owner(table, client, server), Some(1000));
            assert_eq!(owner(table, server, client), Some(999));
        }
        assert_eq!(owner(table, "127.0.0.1:50001".parse().unwrap(), server), None, "held by nobody");
        assert_eq!(owner(table, "127.0.0.1:1".parse().unwrap(), server), None);
        assert_eq!(owner("", client, server), None);
    }
}
