//! An entry point for fuzzing: any octets in, a panic only if a promise is broken.

use std::net::IpAddr;

use super::change::{Change, Neighbour, NeighbourState};
use super::message::{self, Message};
use super::napi;

/// The interface that messages are about.
const INTERFACE: u32 = 3;
/// RTM_NEWLINK to RTM_GETNEIGH.
const KINDS: u8 = 15;

/// Reads `data` as what the kernel sends in one datagram; and again, the first octet off, as the body of one message of
/// the kind that this octet says.
///
/// # Panics
/// If reading does not end, what is told cannot be, or a request is not what it should be.
pub fn messages(data: &[u8]) {
    check_datagram(data);
    if let Some((kind, body)) = data.split_first() {
        let kind = libc::RTM_NEWLINK + u16::from(kind % KINDS);
        check_datagram(&written(kind, body));
    }
    check_requests(data);
}

fn check_datagram(data: &[u8]) {
    let mut rest = data;
    loop {
        let before = rest.len();
        let Some(message) = Message::cut(&mut rest) else { break };
        assert!(rest.len() < before, "a message takes some octets");
        message.error();
        let napi = napi::context(message.body);
        assert!(napi.is_none_or(|napi| napi.thread.is_none_or(|thread| thread >= 0)), "{napi:?}");
        // A route has a next hop for at most each eight octets.
        let mut most = 1 + (before - rest.len()) / 8;
        message.tell(INTERFACE, &mut |change| {
            most -= 1;
            check_change(&change);
        });
        message.tell(INTERFACE + 1, &mut |change| check_change(&change));
    }
}

fn check_change(change: &Change) {
    let holds = |address: IpAddr, prefix: u8| prefix <= if address.is_ipv4() { 32 } else { 128 };
    match change {
        Change::Address(told) => assert!(holds(told.address, told.prefix), "{told:?}"),
        Change::Route(told) => {
            assert!(holds(told.destination, told.prefix), "{told:?}");
            assert!(told.present || !told.replaces, "{told:?}");
            assert!(told.source.is_none_or(|source| source.is_ipv4() == told.destination.is_ipv4()), "{told:?}");
        }
        Change::Link(_) | Change::Neighbour(_) => {}
        Change::SnapshotBegins | Change::SnapshotEnds => panic!("no message says {change:?}"),
    }
}

/// What we ask is what the kernel would read.
fn check_requests(data: &[u8]) {
    let address = match (data.first_chunk::<16>(), data.first_chunk::<4>()) {
        (Some(octets), _) => IpAddr::from(*octets),
        (_, Some(octets)) => IpAddr::from(*octets),
        _ => return,
    };
    for request in [message::use_neighbour(INTERFACE, address, 7), message::confirm_neighbour(INTERFACE, address, 7)] {
        let mut rest = &request[..];
        let Some(message) = Message::cut(&mut rest) else { panic!("no message") };
        assert!(rest.is_empty() && message.sequence == 7 && message.kind == libc::RTM_NEWNEIGH);
        let mut told = Vec::new();
        message.tell(INTERFACE, &mut |change| told.push(change));
        // It names no link address, so nothing is known of it.
        assert_eq!(told, [Change::Neighbour(Neighbour { address, state: NeighbourState::Absent })]);
    }
}

/// A message as the kernel writes it.
fn written(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 16];
    message[..4].copy_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_keeps_the_promises() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/netlink");
        let files = fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path());
        let count = files.map(|file| messages(&fs::read(file).expect("a seed"))).count();
        assert!(count >= 20, "{count} seeds");
    }
}
