//! Runs unmodified programs over a TCP server (TCP Servers §4.2): preloaded, it takes the place of the C library's
//! functions for sockets, and of those that concern descriptors in general.
//!
//! What is a program's own affair stays the kernel's: socket(2) and bind(2) are not touched. A socket becomes the TCP
//! server's when the program listens on it or connects it, and is then an entry in the [`table`], which every function
//! looks at first; for a descriptor that is not there the system call is made as if this library did not exist.
//!
//! [`exports`] are the C functions: each turns what it is given into slices once and calls what is safe. The rest knows
//! no pointers. What a signal's handler may call (signal-safety(7)) takes no lock that the interrupted thread could
//! have: what has to be locked is locked with signals blocked ([`raw::Undisturbed`]), but for the rings of a socket,
//! whose lock says whose it is: a handler that uses the very socket that its thread is copying into or out of is told
//! `EAGAIN`. epoll(7)'s functions are not among those that handlers may call.
//!
//! Out of reach are programs that do without the C library: those that are linked statically, and Go's.

mod address;
mod application;
mod description;
mod epoll;
mod errors;
mod events;
mod exports;
mod filter;
mod inheritance;
mod interests;
mod offload;
mod options;
mod passing;
mod poll;
mod queues;
mod raw;
mod rooms;
mod sending;
mod splice;
mod stream;
mod table;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says something to the people who run the program; once in the life of a process.
fn notice(what: std::fmt::Arguments<'_>) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut line = String::new();
    let _ = writeln!(line, "afpa offload: {what}");
    if let Ok(stderr) = raw::borrow(2) {
        let _ = rustix::io::write(stderr, line.as_bytes());
    }
}
