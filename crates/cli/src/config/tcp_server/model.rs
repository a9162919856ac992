//! The model and its defaults.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use afpa_channel::control::Sender;
use afpa_tcp_server::Limits;

use crate::config::words::words;
use crate::config::{Cores, Frames, Interface};
use crate::units::{Malformed, Size, Span};

/// A server that runs TCP for other processes. A process is that, or serves what the rest of a configuration is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpServer {
    /// Where applications attach: a Unix socket. If absent, where this user's server is looked for.
    pub socket: Option<PathBuf>,
    /// Who may attach.
    pub mode: Mode,
    /// Which CPUs get an engine.
    pub cores: Cores,
    /// Whose TCP it is.
    pub provider: Provider,
    /// The interface of [`Provider::Direct`], or the one whose packets the kernel receives on the engines' cores.
    pub interface: Option<String>,
    /// How many engines accept connections. If absent, all.
    pub active: Option<Active>,
    /// How frames of the interface are taken.
    pub frames: Frames,
    /// How many of its queues get an engine of their own. If absent, all, as far as there are engines.
    pub queues: Option<u32>,
    /// Memory that leaves from where it lies, for applications to register, with [`Provider::Direct`]. If absent,
    /// [`REGISTERED`](super::REGISTERED).
    pub registered_memory: Option<Size>,
    /// How the kernel is asked.
    pub io: Interface,
    /// How engines learn of work.
    pub notify: Notify,
    /// Which directions run in the server.
    pub offload: Directions,
    /// Connections that are accepted ahead of an application's accept, on each engine and for each listener.
    pub eager_accept: u32,
    /// Octets of a connection that are received ahead of an application's read. If absent, as many as `ring`.
    pub eager_receive: Option<Size>,
    /// Sockets of one application.
    pub slots: u32,
    /// Memory for each direction of a socket.
    pub ring: Size,
    /// How long what is queued may take to be sent when the server stops.
    pub grace_period: Span,
    /// What applications may use.
    pub limits: Limits,
}

impl Default for TcpServer {
    fn default() -> TcpServer {
        TcpServer {
            socket: None,
            mode: Mode(0o660),
            cores: Cores::Allowed,
            provider: Provider::Kernel,
            interface: None,
            active: None,
            frames: Frames::Auto,
            queues: None,
            registered_memory: None,
            io: Interface::Auto,
            notify: Notify::Adaptive,
            offload: Directions::Both,
            eager_accept: 128,
            eager_receive: None,
            slots: 4096,
            ring: Size::kib(64),
            grace_period: Span::seconds(10),
            limits: Limits::default(),
        }
    }
}

/// Who may open a file, as `chmod` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Mode, Malformed> {
        let is_octal = text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Mode(mode)),
            _ => Err(Malformed::new("a mode such as 600, 660 or 666", text)),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

/// How many engines are active: at least, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// One or more.
    pub min: usize,
    /// As many as that, or more.
    pub max: usize,
}

impl FromStr for Active {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Active, Malformed> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        match (min.parse(), max.parse()) {
            (Ok(min), Ok(max)) if 0 < min && min <= max => Ok(Active { min, max }),
            _ => Err(Malformed::new("a number of engines such as 2, or a range such as 1-3", text)),
        }
    }
}

words! {
    /// Whose TCP it is.
    Provider: "kernel or direct" {
        /// The kernel's.
        Kernel = "kernel",
        /// Our own, on the frames of an interface.
        Direct = "direct",
    }
}

words! {
    /// How engines learn of work.
    Notify: "poll, interrupt or adaptive" {
        /// They always look, and never sleep.
        Poll = "poll",
        /// They sleep when there is nothing, and are rung.
        Interrupt = "interrupt",
        /// They look for as long as that has paid off, and sleep then.
        Adaptive = "adaptive",
    }
}

words! {
    /// Which directions run in the TCP server.
    Directions: "receive or send+receive" {
        /// What is received.
        Receive = "receive",
        /// Both.
        Both = "send+receive",
    }
}

impl Directions {
    /// Who sends then.
    pub fn sender(self) -> Sender {
        match self {
            Directions::Receive => Sender::Application,
            Directions::Both => Sender::Server,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_engines_are_a_number_or_a_range() {
        assert_eq!("2".parse(), Ok(Active { min: 2, max: 2 }));
        assert_eq!("1-3".parse(), Ok(Active { min: 1, max: 3 }));
        for wrong in ["", "0", "0-2", "3-1", "1-", "-1", "1-2-3", "all"] {
            assert!(wrong.parse::<Active>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_written_as_chmod_writes_them() {
        for (text, mode) in [("660", 0o660), ("0600", 0o600), ("666", 0o666), ("007", 0o007)] {
            assert_eq!(text.parse(), Ok(Mode(mode)), "{text}");
        }
        assert_eq!(Mode(0o60).to_string(), "060");
        for text in ["", "rw", "+660", "-1", "1777", "680", "0o660"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}
