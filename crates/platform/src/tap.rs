//! A TAP device: an Ethernet whose only other host is this machine's kernel.
//!
//! The kernel's end is an ordinary interface; setting it up and giving it addresses is the operator's
//! business. Our end is this descriptor. It has no address of its own: whoever sends chooses the sender's,
//! and answers the kernel's questions for it (ARP, neighbour discovery).
//!
//! Frames go both ways as long as 64 KiB, with the checksum left undone, because the kernel and we are on
//! one machine and nothing gets lost in between (`TUNSETOFFLOAD`). Each frame takes a system call and one
//! copy by the kernel, wherever its pieces lie. Nothing here waits. What is bounded: frames that wait to be
//! read, by the interface's queue (`txqueuelen`; the kernel drops and counts beyond it).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::packet::pieces::gather;
use crate::packet::virtio::{self, HEADER, MAX_FRAME};
pub use crate::packet::{Checksum, Full, MAX_SEGMENTED, Segmentation};

const DEVICE: &str = "/dev/net/tun";
/// Octets of an Ethernet header: nothing shorter is a frame.
const SHORTEST: usize = 14;
/// Longest name of an interface, without its final zero.
const NAME: usize = libc::IFNAMSIZ - 1;

/// Our end of a TAP device, or one queue of it. The interface goes when the last queue is dropped, unless
/// the operator made it persistent.
pub struct Tap {
    /// The half that receives.
    pub receiver: Receiver,
    /// The half that sends.
    pub transmitter: Transmitter,
    name: String,
}

/// What became of frames, besides arriving.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TapStatistics {
    /// Received frames that were dropped: too long, too short, or of several datagrams.
    pub receive_dropped: u64,
    /// Frames that the kernel did not take: the interface is down, memory is short, or the frame is not
    /// one.
    pub transmit_dropped: u64,
}

/// Receives frames.
pub struct Receiver {
    file: Arc<OwnedFd>,
    buffer: Box<[u8]>,
    dropped: u64,
}

/// Sends frames.
pub struct Transmitter {
    file: Arc<OwnedFd>,
    spill: Vec<u8>,
    dropped: u64,
    /// Why the device is gone, to be told at the next flush.
    failure: Option<Errno>,
}

impl Tap {
    /// Opens the TAP device of this name, or makes one; a `%d` in the name becomes a number. With
    /// `multi_queue`, opening it again gives another queue, up to 256; the kernel sends a connection's frames
    /// to the queue that it was last sent from.
    ///
    /// # Errors
    /// What is missing, in one sentence.
    pub fn open(name: &str, multi_queue: bool) -> io::Result<Tap> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(DEVICE, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => {
                explained(error, "the kernel has no TAP devices (/dev/net/tun; modprobe tun)")
            }
            error => explained(error, "/dev/net/tun cannot be opened"),
        })?;
        let name = set_interface(&file, name, multi_queue)?;
        let offloads = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
        // SAFETY: the argument is a number.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) };
        if result < 0 {
            return Err(explained(last_error(), "the TAP device takes no large frames"));
        }
        let file = Arc::new(file);
        let buffer = vec![0; HEADER + MAX_FRAME].into_boxed_slice();
        Ok(Tap {
            receiver: Receiver { file: file.clone(), buffer, dropped: 0 },
            transmitter: Transmitter { file, spill: Vec::new(), dropped: 0, failure: None },
            name,
        })
    }

    /// The name of the kernel's end.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Readable while frames wait to be read.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.receiver.file.as_fd()
    }

    /// What was dropped so far.
    pub fn statistics(&self) -> TapStatistics {
        TapStatistics { receive_dropped: self.receiver.dropped, transmit_dropped: self.transmitter.dropped }
    }
}

impl Receiver {
    /// Shows at most `budget` frames to `each` and returns how many there were. Never waits. A frame's octets
    /// are gone when `each` returns.
    ///
    /// # Errors
    /// The device is gone; or `each` returned an error, which ends it.
    pub fn receive(
        &mut self,
        budget: usize,
        each: &mut dyn FnMut(&[u8], Checksum) -> io::Result<()>,
    ) -> io::Result<usize> {
        for count in 0..budget {
            let length = match rustix::io::read(&*self.file, &mut self.buffer[..]) {
                Ok(length) => length,
                Err(Errno::AGAIN) => return Ok(count),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // What fills the buffer may have been longer.
            let whole = if length < self.buffer.len() { &self.buffer[..length] } else { &[] };
            let split = whole.split_first_chunk::<HEADER>();
            match split.and_then(|(header, frame)| Some((virtio::read(header)?, frame))) {
                Some((checksum, frame)) if frame.len() >= SHORTEST => each(frame, checksum)?,
                _ => self.dropped += 1,
            }
        }
        Ok(budget)
    }
}

impl Transmitter {
    /// Frames that can be pushed for sure: the kernel takes each at once or drops it.
    pub fn room(&self) -> usize {
        usize::MAX
    }

    /// Sends a frame made of `head` and `pieces`, which the kernel copies. With `segmentation`, of up to
    /// [`MAX_SEGMENTED`] octets of payload. A frame that the kernel does not take is dropped and counted.
    ///
    /// # Errors
    /// There is no room.
    pub fn push<'a>(
        &mut self,
        head: &'a [u8],
        pieces: &mut dyn Iterator<Item = &'a [u8]>,
        segmentation: Option<Segmentation>,
    ) -> Result<(), Full> {
        let header = virtio::write(head, segmentation);
        let sent = gather(&header, head, pieces, &mut self.spill, |slices| rustix::io::writev(&*self.file, slices));
        match sent {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(Full),
            Err(error) => {
                self.dropped += 1;
                // The interface was removed (EBADFD).
                if matches!(error, Errno::BADFD | Errno::BADF) {
                    self.failure = Some(error);
                }
                Ok(())
            }
        }
    }

    /// Says whether the device is still there: frames leave when they are pushed.
    ///
    /// # Errors
    /// The device is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Binds the descriptor to the interface; its name.
fn set_interface(file: &OwnedFd, name: &str, multi_queue: bool) -> io::Result<String> {
    if name.is_empty() || name.len() > NAME || name.contains(['/', '\0']) {
        let message = format!("{name:?} is no name for an interface: it takes 1 to {NAME} octets");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let queues = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queues;
    // SAFETY: integers only; all zeros is a value of the structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, octet) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = octet as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes one such structure at the address of one.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 {
        return Err(match last_error() {
            Errno::PERM => explained(Errno::PERM, "a TAP device needs the capability CAP_NET_ADMIN"),
            Errno::BUSY => explained(Errno::BUSY, "the interface is in use, or no TAP device"),
            Errno::INVAL => {
                explained(Errno::INVAL, "an interface of that name is no TAP device, or not one of several queues")
            }
            error => explained(error, "the TAP device cannot be made"),
        });
    }
    let octets = request.ifr_name.iter().map(|octet| *octet as u8).take_while(|octet| *octet != 0);
    String::from_utf8(octets.collect()).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn explained(error: Errno, what: &str) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
