//! Whether XDP programs are attached to an interface: rtnetlink knows (IFLA_XDP), sysfs does not.

use std::io;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Numbers of `linux/rtnetlink.h` and `linux/if_link.h`.
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const NESTED: u16 = 1 << 15;
/// Octets of `struct nlmsghdr` and of `struct ifinfomsg`.
const HEADER: usize = 16;
const LINK: usize = 16;

/// Where XDP programs of an interface run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// There is none.
    Nowhere,
    /// In the driver.
    Driver,
    /// In the kernel's receive path.
    Generic,
    /// In the device, or in several places.
    Elsewhere,
}

/// Asks the kernel about the interface of that index.
///
/// # Errors
/// The kernel does not answer.
pub(super) fn attached(interface: u32) -> io::Result<Attached> {
    // NETLINK_ROUTE is protocol zero.
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::sendto(&socket, &question(interface), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = vec![0; 32 << 10];
    let (_, length) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    read(answer.get(..length).unwrap_or_default()).ok_or_else(|| io::Error::other("the kernel does not tell of it"))
}

fn question(interface: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + LINK);
    message.extend(((HEADER + LINK) as u32).to_ne_bytes());
    message.extend(RTM_GETLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence, port; family and type.
    message.extend([0; 12]);
    message.extend(interface.to_ne_bytes());
    // Flags and the mask of those to change.
    message.extend([0; 8]);
    message
}

/// The answer in a message about a link; none if it is another message.
fn read(message: &[u8]) -> Option<Attached> {
    let kind = message.get(4..6)?.try_into().map(u16::from_ne_bytes).ok()?;
    if kind != RTM_NEWLINK {
        return None;
    }
    let attributes = message.get(HEADER + LINK..)?;
    let place = find(attributes, IFLA_XDP).and_then(|xdp| find(xdp, IFLA_XDP_ATTACHED)).and_then(<[u8]>::first);
    Some(match place {
        None | Some(0) => Attached::Nowhere,
        Some(1) => Attached::Driver,
        Some(2) => Attached::Generic,
        Some(_) => Attached::Elsewhere,
    })
}

/// The value of an attribute.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [a, b, c, d, rest @ ..] = attributes {
        let length = usize::from(u16::from_ne_bytes([*a, *b])).checked_sub(4)?;
        let value = rest.get(..length)?;
        if u16::from_ne_bytes([*c, *d]) & !NESTED == wanted {
            return Some(value);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use afpa_platform::interface::Interface;
    use proptest::prelude::*;

    #[test]
    fn the_loopback_has_no_program() {
        let loopback = Interface::by_name("lo").unwrap();
        assert_eq!(attached(loopback.index).unwrap(), Attached::Nowhere);
        assert!(attached(u32::MAX).is_err());
    }

    #[test]
    fn places_are_told_apart() {
        for (place, expected) in [(0, Attached::Nowhere), (1, Attached::Driver), (2, Attached::Generic)] {
            let mut message = question(1);
            message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
            message.extend(attribute(3, b"lo\0"));
            message.extend(attribute(IFLA_XDP | NESTED, &attribute(IFLA_XDP_ATTACHED, &[place])));
            assert_eq!(read(&message), Some(expected));
        }
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    proptest! {
        #[test]
        fn no_answer_panics(mut octets: Vec<u8>) {
            let _ = read(&octets);
            if let Some(kind) = octets.get_mut(4..6) {
                kind.copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
                let _ = read(&octets);
            }
        }
    }
}
