//! Networks: address prefixes that stand for clients.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::units::Malformed;

/// A network: `10.0.0.0/8`, `2001:db8::/32`. An address alone is a network of one.
///
/// IPv4 is never written as a part of IPv6 (`::ffff:0:0/96`), and a client that is shown so counts as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of the `prefix` first bits of `address`; the others are cleared.
    pub(super) const fn new(address: IpAddr, prefix: u8) -> Network {
        Network { address: masked(address, prefix), prefix }
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits all its addresses share: at most 32 of IPv4, 128 of IPv6.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `client` is in it.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_ipv4() == self.address.is_ipv4() && masked(client, self.prefix) == self.address
    }
}

const fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let beyond = match u32::MAX.checked_shr(prefix as u32) {
                Some(beyond) => beyond,
                None => 0,
            };
            IpAddr::V4(std::net::Ipv4Addr::from_bits(ip.to_bits() & !beyond))
        }
        IpAddr::V6(ip) => {
            let beyond = match u128::MAX.checked_shr(prefix as u32) {
                Some(beyond) => beyond,
                None => 0,
            };
            IpAddr::V6(std::net::Ipv6Addr::from_bits(ip.to_bits() & !beyond))
        }
    }
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Network, Malformed> {
        let malformed = || Malformed::new("a network such as 10.0.0.0/8 or 2001:db8::/32", text);
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) => number(digits)
                .filter(|prefix| *prefix <= most)
                .ok_or_else(|| malformed().hint(format!("its prefix is a number from 0 to {most}")))?,
        };
        if let (IpAddr::V6(ip), 96..) = (address, prefix)
            && let Some(ip) = ip.to_ipv4_mapped()
        {
            return Err(malformed().hint(format!("write {}", Network::new(IpAddr::V4(ip), prefix - 96))));
        }
        let network = Network::new(address, prefix);
        if network.address != address {
            return Err(malformed().hint(format!("it has host bits; write {network}")));
        }
        Ok(network)
    }
}

fn number(digits: &str) -> Option<u8> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_an_address_and_a_prefix() {
        for (text, shown, inside, outside) in [
            ("10.0.0.0/8", "10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.0.0.1", "::1"),
            ("192.0.2.7", "192.0.2.7/32", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.0/31", "192.0.2.0/31", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:DB8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::/0", "fe80::1", "127.0.0.1"),
            ("::1", "::1/128", "::1", "::2"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {text}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} in {text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_helps() {
        assert_eq!(
            "10.1.0.0/8".parse::<Network>().unwrap_err().to_string(),
            "expected a network such as 10.0.0.0/8 or 2001:db8::/32, found \"10.1.0.0/8\"; \
             it has host bits; write 10.0.0.0/8"
        );
        for (text, hint) in [
            ("10.0.0.0/33", Some("its prefix is a number from 0 to 32")),
            ("10.0.0.0/", Some("its prefix is a number from 0 to 32")),
            ("10.0.0.0/255.0.0.0", Some("its prefix is a number from 0 to 32")),
            ("::/129", Some("its prefix is a number from 0 to 128")),
            ("::/+1", Some("its prefix is a number from 0 to 128")),
            ("fd00::1/8", Some("it has host bits; write fd00::/8")),
            ("::ffff:10.0.0.0/104", Some("write 10.0.0.0/8")),
            ("10/8", None),
            ("localhost", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Network>().unwrap_err().hint.as_deref(), hint, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_what_it_was_made_of_and_can_be_read_again(address: IpAddr, prefix in 0..=128u8) {
            let address = address.to_canonical();
            let network = Network::new(address, prefix.min(if address.is_ipv4() { 32 } else { 128 }));
            prop_assert!(network.contains(address));
            prop_assert!(network.contains(network.address()));
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }

        #[test]
        fn no_text_panics(text in prop_oneof![any::<String>(), "[0-9a-f:./]{0,40}"]) {
            let _ = text.parse::<Network>();
        }
    }
}
