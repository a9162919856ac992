//! io_uring behind a safe interface: what the kernel reads and writes is owned by the ring while it
//! may do so.
//!
//! - Received octets land in buffers of the ring ([`buffers`]); they are lent out until recycled.
//! - What is sent is moved into the ring ([`Gather`]) and comes back with its completion.
//! - Descriptors are named by number. A stale number reaches the wrong socket of this process, never
//!   memory: a matter for the caller's bookkeeping, not for safety.
//!
//! One thread, one ring, one system call per pass ([`Ring::submit_and_wait`]): with
//! `DEFER_TASKRUN`, the kernel does its part of receiving and sending within that call, on this core.

mod buffers;
mod datagrams;

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use rustix::event::{EventfdFlags, eventfd};

use crate::datagram::Datagram;
use crate::foreign::Span;
use crate::gather::{Gather, MAX_PIECES};
use buffers::Buffers;
use datagrams::Inbox;
pub use datagrams::{MAX_DATAGRAM, ReceivedDatagram};

/// Submission queue entries: a pass that needs more submits in between.
const ENTRIES: u32 = 1024;
/// Completion queue entries: beyond them the kernel keeps a list of its own, and nothing is lost.
const COMPLETIONS: u32 = 8192;

/// A pass that starts at least this many sends is one of many: it pays to let its successor gather more.
const BUSY: u32 = 4;
/// How many completions more than its sends' own a busy ring waits for, and for how long at most.
const GATHERED: usize = 8;
const GATHERING: Duration = Duration::from_micros(40);

/// How often a full submission queue is offered to the kernel before the ring counts as broken.
const SUBMIT_ATTEMPTS: usize = 1000;

/// Octets of a receive buffer: most requests fit into one.
pub const BUFFER_SIZE: usize = 4096;
/// Receive buffers of a ring. Each is lent out only while its octets are looked at, so this bounds
/// what one pass receives, not what connections hold.
pub const BUFFER_COUNT: u16 = 1024;
/// The group of these buffers.
const GROUP: u16 = 0;

/// Names the object of an operation to the caller: 56 bits, with bits 24..32 clear.
pub type Token = u64;
const KIND_SHIFT: u32 = 24;
const KIND_MASK: u64 = 0xff << KIND_SHIFT;

/// One engine's ring.
pub struct Ring {
    ring: IoUring,
    buffers: Buffers,
    /// Where datagrams arrive: made for those who listen to some.
    inbox: Option<Inbox>,
    /// What is being sent, by the number in the operation's user data.
    sends: Vec<Sending>,
    free_sends: Vec<u32>,
    /// Datagrams that are being sent, by the number in the operation's user data.
    datagrams: Vec<Option<Box<Datagram>>>,
    free_datagrams: Vec<u32>,
    /// Sends started since the kernel was last called to wait, but for those that close their connection: no
    /// request follows them.
    started: u32,
    /// Operations that the kernel has and will complete.
    in_flight: u64,
    batch: Vec<cqueue::Entry>,
    next: usize,
    /// Why the kernel would not take an operation: the ring cannot go on.
    failure: Option<io::Error>,
    /// Readable when there is work: made for those who sleep elsewhere.
    notifier: OnceCell<OwnedFd>,
}

struct Sending {
    token: Token,
    gather: Option<Box<Gather>>,
    /// What a linked close is about to close.
    closing: Option<RawFd>,
    message: Box<Message>,
}

/// What SENDMSG reads while it runs.
struct Message {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

/// What an operation came to.
pub enum Completion {
    /// A connection was accepted, or accepting failed. If not `more`, accepting has ended.
    Accepted {
        /// Of [`Ring::accept`].
        token: Token,
        /// The connection.
        socket: io::Result<OwnedFd>,
        /// Whether others follow.
        more: bool,
    },
    /// Octets arrived. No octets: the peer's FIN.
    Received {
        /// Of [`Ring::receive`].
        token: Token,
        /// Where they are.
        octets: io::Result<Received>,
        /// Whether others follow.
        more: bool,
    },
    /// A datagram arrived, or receiving failed.
    DatagramReceived {
        /// Of [`Ring::receive_datagrams`].
        token: Token,
        /// Where it is.
        datagram: io::Result<ReceivedDatagram>,
        /// Whether others follow.
        more: bool,
    },
    /// A datagram is with the kernel, or is lost.
    DatagramSent {
        /// Of [`Ring::send_datagram`].
        datagram: Box<Datagram>,
        /// Why it is lost.
        result: io::Result<()>,
    },
    /// A gather was sent as far as `result` says; it is not advanced.
    Sent {
        /// Of [`Ring::send`].
        token: Token,
        /// The octets.
        gather: Box<Gather>,
        /// How many were taken over.
        result: io::Result<u64>,
    },
    /// A descriptor has something to read, or the wait for it has ended.
    Readable {
        /// Of [`Ring::poll_readable`].
        token: Token,
    },
    /// A descriptor has room to write, or the wait for it has ended.
    Writable {
        /// Of [`Ring::poll_writable`].
        token: Token,
    },
    /// A socket has something to receive, or the wait for it has ended.
    Input {
        /// Of [`Ring::poll_input`].
        token: Token,
    },
    /// A socket was closed. Comes behind [`Completion::Sent`].
    Closed {
        /// Of [`Ring::send_and_close`].
        token: Token,
        /// The socket, if it is still open because not everything could be sent before.
        still_open: Option<OwnedFd>,
    },
}

/// Octets in a receive buffer. Give it back with [`Ring::recycle`].
#[derive(Debug)]
#[must_use]
pub struct Received {
    buffer: Option<u16>,
    length: u32,
}

impl Received {
    /// Whether this is the peer's FIN.
    pub fn is_end(&self) -> bool {
        self.length == 0
    }

    /// Whether a datagram was longer than the buffer.
    pub fn is_truncated(&self) -> bool {
        self.length as usize > BUFFER_SIZE
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Accept = 1,
    Receive = 2,
    Send = 3,
    Readable = 4,
    Writable = 5,
    Close = 6,
    /// Whose outcome is nobody's.
    Forgotten = 7,
    ReceiveDatagram = 8,
    ReceiveInformed = 9,
    SendDatagram = 10,
    Input = 11,
}

/// Whether this kernel and this process's privileges allow a [`Ring`].
///
/// # Errors
/// The reason, for the operator.
pub fn probe() -> Result<(), String> {
    let ring = build(8, 16).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring".to_owned(),
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden (kernel.io_uring_disabled, or a seccomp filter)".to_owned()
        }
        Some(libc::EINVAL) => "the kernel's io_uring lacks DEFER_TASKRUN (Linux 6.1)".to_owned(),
        _ => format!("io_uring cannot be set up: {error}"),
    })?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| format!("io_uring cannot be probed: {error}"))?;
    let needed = [
        opcode::RecvMulti::CODE,
        opcode::RecvMsgMulti::CODE,
        opcode::AcceptMulti::CODE,
        opcode::SendMsg::CODE,
        opcode::Close::CODE,
    ];
    if needed.iter().all(|&code| probe.is_supported(code)) {
        Ok(())
    } else {
        Err("the kernel's io_uring lacks an operation".to_owned())
    }
}

fn build(entries: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
    builder.setup_cqsize(completions);
    // Linux 6.6 and later save a look-up per operation; earlier ones refuse the flag.
    builder.clone().setup_no_sqarray().build(entries).or_else(|_| builder.build(entries))
}

impl Ring {
    /// A ring for the current thread.
    ///
    /// # Errors
    /// See [`probe`]; or locked memory is exhausted.
    pub fn new() -> io::Result<Ring> {
        let ring = build(ENTRIES, COMPLETIONS)?;
        let buffers = Buffers::register(&ring, GROUP, BUFFER_COUNT, BUFFER_SIZE)?;
        Ok(Ring {
            ring,
            buffers,
            inbox: None,
            sends: Vec::new(),
            free_sends: Vec::new(),
            datagrams: Vec::new(),
            free_datagrams: Vec::new(),
            started: 0,
            in_flight: 0,
            batch: Vec::with_capacity(COMPLETIONS as usize),
            next: 0,
            failure: None,
            notifier: OnceCell::new(),
        })
    }

    /// Accepts connections until told otherwise or an error.
    pub fn accept(&mut self, token: Token, listener: BorrowedFd<'_>) {
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        self.push(accept.build().user_data(tag(token, Kind::Accept)));
    }

    /// Receives into the ring's buffers: once, or until told otherwise, the peer's FIN, an error, or
    /// a lack of buffers.
    pub fn receive(&mut self, token: Token, socket: BorrowedFd<'_>, many: bool) {
        let fd = Fd(socket.as_raw_fd());
        let entry = if many {
            opcode::RecvMulti::new(fd, GROUP).build()
        } else {
            opcode::Recv::new(fd, std::ptr::null_mut(), BUFFER_SIZE as u32)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.push(entry.user_data(tag(token, Kind::Receive)));
    }

    /// As [`Ring::receive`] from a datagram socket, a datagram into each buffer. One that is longer than
    /// [`BUFFER_SIZE`] comes with its beginning only.
    pub fn receive_whole(&mut self, token: Token, socket: BorrowedFd<'_>, many: bool) {
        // With MSG_TRUNC the length is the datagram's, also where it does not fit.
        let fd = Fd(socket.as_raw_fd());
        let entry = if many {
            opcode::RecvMulti::new(fd, GROUP).flags(libc::MSG_TRUNC).build()
        } else {
            opcode::Recv::new(fd, std::ptr::null_mut(), BUFFER_SIZE as u32)
                .buf_group(GROUP)
                .flags(libc::MSG_TRUNC)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.push(entry.user_data(tag(token, Kind::Receive)));
    }

    /// Sends the memory at the front of `gather`, all of it unless the connection fails.
    pub fn send(&mut self, token: Token, socket: BorrowedFd<'_>, gather: Box<Gather>) {
        let (entry, _) = self.sending(token, socket, gather, libc::MSG_NOSIGNAL);
        self.started += 1;
        self.push(entry);
    }

    /// As [`Ring::send`], then closes the socket. The last octets leave together with FIN.
    pub fn send_and_close(&mut self, token: Token, socket: OwnedFd, gather: Box<Gather>) {
        // With MSG_WAITALL a short send is a failed one, which breaks the link.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_MORE | libc::MSG_WAITALL;
        let (entry, index) = self.sending(token, socket.as_fd(), gather, flags);
        let socket = socket.into_raw_fd();
        self.sends[index as usize].closing = Some(socket);
        let close = opcode::Close::new(Fd(socket)).build();
        self.reserve(2);
        self.push(entry.flags(squeue::Flags::IO_LINK));
        self.push(close.user_data(tag(Token::from(index), Kind::Close)));
    }

    /// Closes a socket behind every operation on it that was pushed before. Operations that wait go on waiting.
    pub fn close(&mut self, socket: OwnedFd) {
        let close = opcode::Close::new(Fd(socket.into_raw_fd())).build();
        self.push(close.user_data(tag(0, Kind::Forgotten)));
    }

    /// Waits, once, until `descriptor` has something to read. The token may be one that names
    /// something else in other operations.
    pub fn poll_readable(&mut self, token: Token, descriptor: BorrowedFd<'_>) {
        let poll = opcode::PollAdd::new(Fd(descriptor.as_raw_fd()), libc::POLLIN as u32);
        self.push(poll.build().user_data(tag(token, Kind::Readable)));
    }

    /// Ends the waiting of `token` for something to read.
    pub fn cancel_readable(&mut self, token: Token) {
        self.cancel(tag(token, Kind::Readable));
    }

    /// Waits, once, until `descriptor` has room to write.
    pub fn poll_writable(&mut self, token: Token, descriptor: BorrowedFd<'_>) {
        let poll = opcode::PollAdd::new(Fd(descriptor.as_raw_fd()), libc::POLLOUT as u32);
        self.push(poll.build().user_data(tag(token, Kind::Writable)));
    }

    /// Waits, once, until `socket` has something to receive, or its end, whatever its mode.
    pub fn poll_input(&mut self, token: Token, socket: BorrowedFd<'_>) {
        let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
        let poll = opcode::PollAdd::new(Fd(socket.as_raw_fd()), events);
        self.push(poll.build().user_data(tag(token, Kind::Input)));
    }

    /// Ends the waiting of `token` for something to receive.
    pub fn cancel_input(&mut self, token: Token) {
        self.cancel(tag(token, Kind::Input));
    }

    /// Ends the receive of `token`, which completes with an error or what it already had.
    pub fn cancel_receive(&mut self, token: Token) {
        self.cancel(tag(token, Kind::Receive));
    }

    /// Ends the sends of `token`; each completes. Looks at every send of the ring.
    pub fn cancel_sends(&mut self, token: Token) {
        for index in 0..self.sends.len() {
            if self.sends[index].token == token && self.sends[index].gather.is_some() {
                self.cancel(tag(index as Token, Kind::Send));
            }
        }
    }

    /// Ends every operation on `socket`; each completes.
    pub fn cancel_all(&mut self, socket: BorrowedFd<'_>) {
        let on_socket = CancelBuilder::fd(Fd(socket.as_raw_fd())).all();
        self.push(opcode::AsyncCancel2::new(on_socket).build().user_data(tag(0, Kind::Forgotten)));
    }

    /// Ends the accepting of `token`.
    pub fn cancel_accept(&mut self, token: Token) {
        self.cancel(tag(token, Kind::Accept));
    }

    /// Ends the receiving of datagrams of `token`, informed or not.
    pub fn cancel_datagrams(&mut self, token: Token) {
        self.cancel(tag(token, Kind::ReceiveDatagram));
        self.cancel(tag(token, Kind::ReceiveInformed));
    }

    /// Hands what was pushed to the kernel, and waits for a completion for at most `wait`.
    ///
    /// # Errors
    /// The ring itself failed.
    pub fn submit_and_wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.submit_and_wait_for(1, wait)
    }

    /// As [`Ring::submit_and_wait`], but a busy ring waits up to 40 µs for a few requests more. Peers that
    /// are answered one by one ask again one by one, and each answer then wakes a processor that has just
    /// gone to sleep, which costs more than the answer. A ring with little to do waits for nothing. Returns whether
    /// it was busy: then the call's time was the kernel's work, but for those 40 µs at most.
    ///
    /// # Errors
    /// The ring itself failed.
    pub fn submit_and_gather(&mut self, wait: Option<Duration>) -> io::Result<bool> {
        if self.started < BUSY {
            return self.submit_and_wait_for(1, wait).map(|()| false);
        }
        // The sends' own completions are among those waited for.
        let count = self.started as usize + GATHERED;
        self.submit_and_wait_for(count, Some(wait.unwrap_or(GATHERING).min(GATHERING))).map(|()| true)
    }

    fn submit_and_wait_for(&mut self, count: usize, wait: Option<Duration>) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.started = 0;
        self.publish();
        if let Some(notifier) = self.notifier.get() {
            // Nothing to read means that nothing was told.
            let _ = rustix::io::read(notifier, &mut [0; 8]);
        }
        let result = match wait {
            None => self.ring.submit_and_wait(count),
            Some(Duration::ZERO) => self.submit_and_look(),
            Some(wait) => {
                let timeout = Timespec::from(wait);
                self.ring.submitter().submit_with_args(count, &SubmitArgs::new().timespec(&timeout))
            }
        };
        match result {
            Err(error) if error.raw_os_error() != Some(libc::ETIME) && !is_passing(&error) => Err(error),
            _ => {
                self.batch.drain(..self.next);
                self.next = 0;
                self.batch.extend(self.ring.completion());
                Ok(())
            }
        }
    }

    /// Submits and does not wait, but lets the kernel run the work that it deferred to such a call.
    fn submit_and_look(&mut self) -> io::Result<usize> {
        const GET_EVENTS: u32 = 1;
        let count = self.ring.submission().len() as u32;
        // SAFETY: `count` entries are in the queue, and no argument is passed.
        unsafe { self.ring.submitter().enter::<libc::sigset_t>(count, 0, GET_EVENTS, None) }
    }

    /// A descriptor that is readable when [`Ring::has_work`]. The ring's own is not: the kernel defers work
    /// until it is called, and tells only an eventfd of it. From the first call on, each completion costs a
    /// signal.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel takes none.
    pub fn notifier(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(notifier) = self.notifier.get() {
            return Ok(notifier.as_fd());
        }
        let notifier = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        self.ring.submitter().register_eventfd(notifier.as_raw_fd())?;
        Ok(self.notifier.get_or_init(|| notifier).as_fd())
    }

    /// Whether there is something to submit, a completion, or work that the kernel has deferred until it is
    /// called. Looks at shared memory only.
    pub fn has_work(&mut self) -> bool {
        let queue = self.ring.submission();
        let waits = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        waits || self.failure.is_some() || !self.ring.completion().is_empty()
    }

    /// The next completion that had arrived when [`Ring::submit_and_wait`] returned. What has come
    /// since, such as the outcome of an operation that was started meanwhile, belongs to the next
    /// pass: a pass ends whatever its operations come to.
    pub fn completion(&mut self) -> Option<Completion> {
        while let Some(entry) = self.batch.get(self.next).cloned() {
            self.next += 1;
            if let Some(completion) = self.translate(&entry) {
                return Some(completion);
            }
        }
        None
    }

    /// The octets.
    pub fn octets(&self, received: &Received) -> &[u8] {
        received.buffer.map_or(&[], |buffer| self.buffers.octets(buffer, received.length.min(BUFFER_SIZE as u32)))
    }

    /// Gives a receive buffer back.
    pub fn recycle(&mut self, received: Received) {
        if let Some(buffer) = received.buffer {
            self.buffers.recycle(buffer);
        }
    }

    /// Shows the kernel the buffers that were given back.
    fn publish(&mut self) {
        self.buffers.publish();
        if let Some(inbox) = &mut self.inbox {
            inbox.buffers.publish();
        }
    }

    fn translate(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let more = cqueue::more(entry.flags());
        if !more {
            self.in_flight -= 1;
        }
        let token = entry.user_data() & !KIND_MASK;
        let result = outcome(entry.result());
        let kind = (entry.user_data() >> KIND_SHIFT) as u8;
        Some(match kind {
            k if k == Kind::Accept as u8 => {
                // SAFETY: the kernel made this descriptor for this completion, and nobody else has it.
                let socket = result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
                Completion::Accepted { token, socket, more }
            }
            k if k == Kind::Receive as u8 => {
                let buffer = cqueue::buffer_select(entry.flags());
                let octets = result.map(|length| Received { buffer, length });
                Completion::Received { token, octets, more }
            }
            k if k == Kind::ReceiveDatagram as u8 || k == Kind::ReceiveInformed as u8 => {
                let is_informed = k == Kind::ReceiveInformed as u8;
                // Without a buffer there is nothing that could have arrived.
                let buffer = cqueue::buffer_select(entry.flags()).ok_or(io::ErrorKind::WouldBlock.into());
                let datagram =
                    result.and_then(|length| buffer.map(|buffer| ReceivedDatagram { buffer, length, is_informed }));
                Completion::DatagramReceived { token, datagram, more }
            }
            k if k == Kind::SendDatagram as u8 => {
                let datagram = self.datagrams[token as usize].take()?;
                self.free_datagrams.push(token as u32);
                Completion::DatagramSent { datagram, result: result.map(drop) }
            }
            k if k == Kind::Send as u8 => {
                let index = token as u32;
                let sending = &mut self.sends[index as usize];
                let (token, gather) = (sending.token, sending.gather.take()?);
                if sending.closing.is_none() {
                    self.free_sends.push(index);
                }
                Completion::Sent { token, gather, result: result.map(u64::from) }
            }
            k if k == Kind::Readable as u8 => Completion::Readable { token },
            k if k == Kind::Input as u8 => Completion::Input { token },
            k if k == Kind::Writable as u8 => Completion::Writable { token },
            k if k == Kind::Close as u8 => {
                let sending = &mut self.sends[token as usize];
                let socket = sending.closing.take().filter(|_| entry.result() == -libc::ECANCELED);
                self.free_sends.push(token as u32);
                // SAFETY: the ring was given this socket to close, and the kernel has not closed it.
                let still_open = socket.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                Completion::Closed { token: self.sends[token as usize].token, still_open }
            }
            _ => return None,
        })
    }

    /// An entry that sends the memory at the front of `gather`. The ring keeps the gather, and the
    /// array that names its pieces, until the operation completes.
    fn sending(
        &mut self,
        token: Token,
        socket: BorrowedFd<'_>,
        gather: Box<Gather>,
        flags: i32,
    ) -> (squeue::Entry, u32) {
        let index = self.free_sends.pop().unwrap_or_else(|| {
            self.sends.push(Sending { token, gather: None, closing: None, message: Box::new(Message::new()) });
            (self.sends.len() - 1) as u32
        });
        let sending = &mut self.sends[index as usize];
        sending.token = token;
        let gather = sending.gather.insert(gather);
        let fd = Fd(socket.as_raw_fd());
        let mut memory = gather.memory();
        let first = memory.next().unwrap_or(Span::of(&[]));
        let entry = if memory.next().is_none() {
            opcode::Send::new(fd, first.as_ptr(), first.len() as u32).flags(flags).build()
        } else {
            sending.message.name(gather.memory());
            opcode::SendMsg::new(fd, &raw const sending.message.header).flags(flags as u32).build()
        };
        (entry.user_data(tag(Token::from(index), Kind::Send)), index)
    }

    fn cancel(&mut self, user_data: u64) {
        let cancel = opcode::AsyncCancel::new(user_data).build();
        self.push(cancel.user_data(tag(0, Kind::Forgotten)));
    }

    /// Makes room for `count` entries that must be submitted together.
    fn reserve(&mut self, count: usize) {
        for _ in 0..SUBMIT_ATTEMPTS {
            let queue = self.ring.submission();
            if queue.capacity() - queue.len() >= count {
                return;
            }
            drop(queue);
            // What is submitted now may need the buffers that this pass has given back.
            self.publish();
            match self.submit_and_look() {
                Err(error) if !is_passing(&error) => {
                    self.failure = Some(error);
                    return;
                }
                _ => {}
            }
        }
        self.failure = Some(io::Error::other("the kernel takes no more operations"));
    }

    fn push(&mut self, entry: squeue::Entry) {
        self.reserve(1);
        // SAFETY: what the entry points to (the ring's buffers and headers, a gather, a message, a datagram) is
        // owned by the ring until the entry's completion has been seen; see `Drop` for the ring's own end.
        if unsafe { self.ring.submission().push(&entry) }.is_ok() {
            self.in_flight += 1;
        }
    }
}

impl Drop for Ring {
    /// Ends every operation and waits for the kernel to let go of our memory; memory that it does not
    /// let go of in time is leaked.
    fn drop(&mut self) {
        let everything = opcode::AsyncCancel2::new(CancelBuilder::any());
        self.push(everything.build().user_data(tag(0, Kind::Forgotten)));
        for _ in 0..100 {
            while self.completion().is_some() {}
            if self.in_flight == 0 {
                return;
            }
            if self.submit_and_wait(Some(Duration::from_millis(10))).is_err() {
                break;
            }
        }
        std::mem::forget(std::mem::take(&mut self.sends));
        std::mem::forget(std::mem::take(&mut self.datagrams));
        std::mem::forget(self.inbox.take());
        self.buffers.leak();
    }
}

impl Message {
    fn new() -> Message {
        // SAFETY: all zeroes is a message without name, pieces and control data.
        let header = unsafe { std::mem::zeroed() };
        Message { header, pieces: Vec::with_capacity(MAX_PIECES) }
    }

    fn name<'a>(&mut self, memory: impl Iterator<Item = Span<'a>>) {
        self.pieces.clear();
        self.pieces
            .extend(memory.map(|piece| libc::iovec { iov_base: piece.as_ptr() as *mut _, iov_len: piece.len() }));
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
    }
}

impl AsFd for Ring {
    /// Readable when a completion has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the ring is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

/// Whether the kernel only lacked something for a moment: memory, or room for completions.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM))
}

const fn tag(token: Token, kind: Kind) -> u64 {
    (token & !KIND_MASK) | (kind as u64) << KIND_SHIFT
}

fn outcome(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
