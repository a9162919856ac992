//! What becomes of octets that arrive: their order, the memory that holds them, and the window.

pub(crate) mod memory;
pub(crate) mod reassembly;
pub(crate) mod unread;
pub(crate) mod window;
