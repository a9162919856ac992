//! What the caller's own calls can fail with.

use std::fmt;

/// Why [`Tcp::connect`](crate::Tcp::connect) did not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// The addresses are of different families, or the port is zero.
    Addresses,
    /// One of the addresses is that of no single host: multicast, broadcast or unspecified.
    NotUnicast,
    /// [`Config::max_connections`](crate::Config::max_connections) is reached.
    TooManyConnections,
    /// Every ephemeral port towards that peer is in use.
    NoPort,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectError::Addresses => "a connection needs two addresses of one family, and a port other than zero",
            ConnectError::NotUnicast => {
                "a connection needs the address of one host at each end, not a multicast, broadcast or unspecified one"
            }
            ConnectError::TooManyConnections => "the limit on connections is reached",
            ConnectError::NoPort => "no ephemeral port is free towards that peer",
        })
    }
}

impl std::error::Error for ConnectError {}

/// Why [`Tcp::listen`](crate::Tcp::listen) did not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenError {
    /// There is a listener at that address and port.
    InUse,
    /// Port zero, or a multicast or broadcast address.
    Address,
    /// 65,536 listeners exist.
    TooMany,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ListenError::InUse => "there is a listener at that address and port",
            ListenError::Address => "a listener needs a unicast address (or the unspecified one) and a port",
            ListenError::TooMany => "there are 65,536 listeners",
        })
    }
}

impl std::error::Error for ListenError {}
