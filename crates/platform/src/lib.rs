//! The edge to the operating system, and the only crate with `unsafe`.

mod bpf;
pub mod clock;
pub mod datagram;
pub mod exposed;
pub mod foreign;
pub mod gather;
pub mod hand_over;
pub mod interface;
pub mod memory;
pub mod netlink;
pub mod packet;
pub mod pipe;
pub mod socket;
pub mod source;
pub mod steering;
pub mod tap;
pub mod testing;
pub mod uring;
pub mod xdp;
