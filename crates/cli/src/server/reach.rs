//! Which listeners can get a frame of an interface.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use afpa_platform::netlink::{Change, Netlink};

/// Whether every listener gets frames of an interface of the kernel's.
///
/// # Errors
/// One gets none: a sentence with what to write instead.
pub(super) fn check(name: &str, interface: u32, listeners: &[SocketAddr]) -> Result<(), String> {
    let addresses = addresses(interface).map_err(|error| format!("{name} does not tell its addresses: {error}"))?;
    listeners.iter().try_for_each(|listener| check_one(name, &addresses, *listener))
}

/// Whether every listener has an address that may be our host's own, on a link whose other end is this machine.
///
/// # Errors
/// One has not: a sentence with what to write instead.
pub(super) fn check_host(name: &str, listeners: &[SocketAddr]) -> Result<(), String> {
    for listener in listeners {
        let address = listener.ip();
        let found = match address {
            _ if address.is_unspecified() => "is no host's address",
            _ if address.is_loopback() || address.is_multicast() => "cannot be a host's on a link",
            // The kernel lets only its own be bound to.
            _ if UdpSocket::bind((address, 0)).is_ok() => "is this machine's own",
            _ => continue,
        };
        return Err(format!(
            "on the TAP device {name} afpa is a host of its own, and {address} {found}: listen to a free address of the \
             network at the kernel's end, such as --listen 10.0.0.2:{} after ip address add 10.0.0.1/24 dev {name}",
            listener.port(),
        ));
    }
    Ok(())
}

fn check_one(name: &str, addresses: &[IpAddr], listener: SocketAddr) -> Result<(), String> {
    let address = listener.ip().to_canonical();
    if address.is_unspecified() || addresses.contains(&address) {
        return Ok(());
    }
    let shown: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let Some(best) = addresses.iter().find(|other| other.is_ipv4() == address.is_ipv4()).or(addresses.first()) else {
        return Err(format!(
            "no frame for {listener} ever comes through {name}, which has no addresses: give it one (ip address add \
             … dev {name}), and listen to that"
        ));
    };
    let any = if best.is_ipv4() { "0.0.0.0" } else { "[::]" };
    Err(format!(
        "no frame for {listener} ever comes through {name}, whose addresses are {}: write --listen {}, or --listen \
         {any}:{} for all",
        shown.join(", "),
        SocketAddr::new(*best, listener.port()),
        listener.port(),
    ))
}

/// The interface's addresses, usable or not yet.
fn addresses(interface: u32) -> std::io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    Netlink::subscribe(interface)?.snapshot(&mut |change| match change {
        // What was told before is told again.
        Change::SnapshotBegins => addresses.clear(),
        Change::Address(told) => {
            addresses.retain(|address| *address != told.address);
            if told.present {
                addresses.push(told.address);
            }
        }
        _ => {}
    })?;
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_get_no_frame_is_told_what_to_write() {
        let addresses = ["10.77.0.2", "fd77::2"].map(|address| address.parse().unwrap());
        let cases = [
            ("10.77.0.2:80", ""),
            ("[::ffff:10.77.0.2]:80", ""),
            ("0.0.0.0:80", ""),
            ("[::]:80", ""),
            ("127.0.0.1:8080", "10.77.0.2, fd77::2: write --listen 10.77.0.2:8080, or --listen 0.0.0.0:8080 for all"),
            ("[::1]:80", "write --listen [fd77::2]:80, or --listen [::]:80 for all"),
        ];
        for (listener, expected) in cases {
            let error = check_one("lab0", &addresses, listener.parse().unwrap()).err().unwrap_or_default();
            assert!(error.contains(expected) && expected.is_empty() == error.is_empty(), "{listener}: {error}");
        }
        let error = check_one("lab0", &[], "10.0.0.1:80".parse().unwrap()).unwrap_err();
        assert!(error.contains("ip address add"), "{error}");
    }

    #[test]
    fn a_host_of_our_own_needs_an_address_of_its_own() {
        for (listener, found) in [("0.0.0.0:80", "no host's"), ("[::1]:80", "on a link"), ("127.1.2.3:80", "on a link")]
        {
            let error = check_host("afpa0", &[listener.parse().unwrap()]).unwrap_err();
            assert!(error.contains(found) && error.contains("ip address add 10.0.0.1/24 dev afpa0"), "{error}");
        }
        assert_eq!(check_host("afpa0", &["192.0.2.77:80".parse().unwrap()]), Ok(()));
    }

    #[test]
    fn the_loopback_tells_its_addresses() {
        assert_eq!(check("lo", 1, &["127.0.0.1:80".parse().unwrap()]), Ok(()));
        assert!(check("lo", 1, &["192.0.2.1:80".parse().unwrap()]).unwrap_err().contains("127.0.0.1"));
    }
}
