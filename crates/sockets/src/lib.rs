//! The sockets transport.
