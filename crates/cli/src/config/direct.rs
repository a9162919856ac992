//! Our own TCP on raw frames: which interface, through what, and what it may hold.

use super::words::words;
use crate::units::{Size, Span};

words! {
    /// Whose TCP clients talk to.
    Transport: "sockets or direct" {
        /// The kernel's, through sockets.
        Sockets = "sockets",
        /// Our own, on the frames of one interface.
        Direct = "direct",
    }
}

words! {
    /// How frames are taken from an interface and given to it.
    Frames: "xdp, packet, tap or auto" {
        /// The first of xdp and packet that works; tap if the interface is one.
        Auto = "auto",
        /// AF_XDP: an XDP program steers our listeners' frames to us, and only those.
        Xdp = "xdp",
        /// AF_PACKET rings, in which the kernel or the device cuts large segments.
        Packet = "packet",
        /// A TAP device, whose other end is this machine.
        Tap = "tap",
    }
}

words! {
    /// How an incoming handshake is remembered until it is complete.
    Handshake: "cookies or queue" {
        /// Not at all: the SYN-ACK's number is a keyed function of the SYN (RFC 4987 §3.6).
        Cookies = "cookies",
        /// In a queue; with cookies when it is full.
        Queue = "queue",
    }
}

words! {
    /// Where the checksum of a payload comes from (AFPA §3.4).
    Checksum: "stored or computed" {
        /// From the sums that the cache keeps.
        Stored = "stored",
        /// From the octets, each time they are sent: to measure what the stored sums save.
        Computed = "computed",
    }
}

words! {
    /// The congestion control.
    Congestion: "reno or cubic" {
        /// RFC 5681 with RFC 6582.
        Reno = "reno",
        /// RFC 9438.
        Cubic = "cubic",
    }
}

/// Our own TCP on raw frames. Read only if the transport is [`Transport::Direct`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// The interface. There must be one.
    pub interface: Option<String>,
    /// How its frames are taken and given.
    pub frames: Frames,
    /// How many of its queues get an engine of their own, if there are as many engines; others share these engines.
    /// If absent, all.
    pub queues: Option<u32>,
    /// How handshakes are remembered.
    pub handshake: Handshake,
    /// Whether the driver does the stateless part of handshakes with cookies. Only with [`Frames::Xdp`].
    pub driver_handshake: bool,
    /// Whether the driver gives answers of DNS that are asked for often. Only with [`Frames::Xdp`].
    pub driver_answers: bool,
    /// Whether system calls drive the interface in place of its interrupts (SO_PREFER_BUSY_POLL). Only with
    /// [`Frames::Xdp`].
    pub busy_poll: bool,
    /// Where the checksums of payloads come from.
    pub checksum: Checksum,
    /// Whether payloads leave from where they lie; otherwise each is copied first.
    pub zero_copy: bool,
    /// The congestion control.
    pub congestion: Congestion,
    /// Octets that a peer may send beyond what was read: 4 KiB to 16 MiB.
    pub receive_window: Size,
    /// Octets that are queued for one peer at most: 16 KiB to 1 GiB.
    pub send_buffer: Size,
    /// The most closed connections that are remembered (TIME-WAIT), over all engines.
    pub time_wait_entries: u32,
    /// The most memory that received octets take until they are read, over all engines.
    pub memory: Size,
    /// How long a silent peer is left alone before it is asked whether it is still there; zero: for ever.
    pub keep_alive: Span,
}

impl Default for Direct {
    fn default() -> Direct {
        Direct {
            interface: None,
            frames: Frames::Auto,
            queues: None,
            handshake: Handshake::Cookies,
            driver_handshake: false,
            driver_answers: false,
            busy_poll: false,
            checksum: Checksum::Stored,
            zero_copy: true,
            congestion: Congestion::Cubic,
            receive_window: Size(65_535),
            send_buffer: Size::kib(256),
            time_wait_entries: 65_536,
            memory: Size::mib(64),
            keep_alive: Span::seconds(0),
        }
    }
}

/// The longest name that the kernel gives an interface.
const NAME_MAX: usize = 15;

impl Direct {
    /// Whether the kernel could have an interface of this name.
    pub(super) fn is_name(name: &str) -> bool {
        let is_path = matches!(name, "." | "..");
        let foreign = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        !name.is_empty() && name.len() <= NAME_MAX && !is_path && !name.contains(foreign)
    }

    /// Whether the interface need not be there before: a TAP device is made.
    pub(super) fn makes_interface(&self) -> bool {
        self.frames == Frames::Tap
    }

    /// The settings that are not as they are by default: who wrote them meant something by it.
    pub(super) fn changed(&self) -> Vec<&'static str> {
        let default = Direct::default();
        let settings = [
            ("interface", self.interface != default.interface),
            ("frames", self.frames != default.frames),
            ("queues", self.queues != default.queues),
            ("handshake", self.handshake != default.handshake),
            ("driver-handshake", self.driver_handshake != default.driver_handshake),
            ("driver-answers", self.driver_answers != default.driver_answers),
            ("busy-poll", self.busy_poll != default.busy_poll),
            ("checksum", self.checksum != default.checksum),
            ("zero-copy", self.zero_copy != default.zero_copy),
            ("congestion", self.congestion != default.congestion),
            ("receive-window", self.receive_window != default.receive_window),
            ("send-buffer", self.send_buffer != default.send_buffer),
            ("time-wait-entries", self.time_wait_entries != default.time_wait_entries),
            ("memory", self.memory != default.memory),
            ("keep-alive", self.keep_alive != default.keep_alive),
        ];
        settings.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_kernel_allows() {
        for name in ["lab0", "eth0.5", "enp0s31f6", "br-lan", "a", "123456789012345"] {
            assert!(Direct::is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "eth0:1", "a b", "1234567890123456", "a\tb", "a\0"] {
            assert!(!Direct::is_name(name), "{name:?}");
        }
    }

    #[test]
    fn nothing_is_changed_by_default() {
        assert_eq!(Direct::default().changed(), [""; 0]);
        let direct = Direct { zero_copy: false, interface: Some("lab0".into()), ..Direct::default() };
        assert_eq!(direct.changed(), ["interface", "zero-copy"]);
    }
}
