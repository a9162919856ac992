//! What the process has of a TCP server: its attachment, and who uses which slot of it.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use afpa_channel::control::Sender;
use afpa_channel::slot::{command, state};
use memnet::{Attachment, Channel};
use rustix::io::Errno;

use crate::description::Description;
use crate::queues::Queues;
use crate::raw::{self, Undisturbed};
use crate::table::{self, Closing, Entry, Kind};

/// Successive servers of one process.
const APPLICATIONS: usize = 64;
static ALL: [OnceLock<Application>; APPLICATIONS] = [const { OnceLock::new() }; APPLICATIONS];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Channels of a region's slots are made so many at a time.
const CHUNK: usize = 256;

/// An attachment, and what the process does with it. One whose server is gone stays for as long as the process: its
/// sockets are still descriptors.
pub(crate) struct Application {
    index: u8,
    attachment: Arc<Attachment>,
    /// Programs send by themselves, on the kernel's sockets.
    sends: bool,
    channels: Box<[OnceLock<Box<[Channel]>>]>,
    /// How many descriptors refer to a slot, and calls that are under way.
    uses: Box<[AtomicU32]>,
    queues: Queues,
    gone: AtomicBool,
}

/// A socket of the TCP server that is in use by a call: it stays open until that is over.
pub(crate) struct Socket {
    pub(crate) application: &'static Application,
    pub(crate) entry: Entry,
    /// The program's, by which it was found.
    pub(crate) descriptor: RawFd,
}

impl Application {
    /// Makes an attachment one of the process. The caller has seen to it that no other thread does the same.
    ///
    /// # Errors
    /// There were too many servers already.
    pub(crate) fn add(attachment: Arc<Attachment>) -> Result<&'static Application, Errno> {
        let index = COUNT.load(Ordering::Acquire);
        let place = ALL.get(index).ok_or(Errno::NFILE)?;
        let slots = attachment.region().geometry().slots();
        let application = place.get_or_init(|| Application {
            index: index as u8,
            channels: (0..slots.div_ceil(CHUNK as u32)).map(|_| OnceLock::new()).collect(),
            uses: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            queues: Queues::new(),
            gone: AtomicBool::new(false),
            sends: attachment.sender() == Sender::Application,
            attachment,
        });
        COUNT.store(index + 1, Ordering::Release);
        Ok(application)
    }

    /// The one of that index.
    #[inline]
    pub(crate) fn of(index: u8) -> Option<&'static Application> {
        ALL.get(usize::from(index))?.get()
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = &'static Application> {
        ALL.iter().map_while(OnceLock::get)
    }

    /// The last one, if its server is there.
    pub(crate) fn current() -> Option<&'static Application> {
        let last = COUNT.load(Ordering::Acquire).checked_sub(1)?;
        Application::of(last as u8).filter(|application| !application.is_gone())
    }

    pub(crate) fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }

    /// Whether its connections are sent on by programs, on the kernel's sockets: their descriptors are those.
    #[inline]
    pub(crate) fn sends(&self) -> bool {
        self.sends
    }

    /// Whether the kernel says whether there is room to send: of a connection that was made, and has not failed.
    pub(crate) fn asks_kernel_for_room(&self, entry: Entry) -> bool {
        let decided = state::CONNECTED | state::FAILED;
        let state = || self.channel(entry.number.into()).slot().state() & decided;
        self.sends && entry.kind == Kind::Stream && !self.is_gone() && state() == state::CONNECTED
    }

    pub(crate) fn index(&self) -> u8 {
        self.index
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Whether its server is known to be gone.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Its server is gone: nothing moves any more. Nobody is left waiting for a listener that nobody serves, whose socket
    /// the kernel still has; nor for a connection that nobody receives on.
    pub(crate) fn lose(&self) {
        if self.gone.swap(true, Ordering::AcqRel) {
            return;
        }
        table::all()
            .filter(|(_, entry)| entry.kind == Kind::Listener && entry.application == self.index)
            .for_each(|(descriptor, _)| raw::shut_down(descriptor));
        if self.sends {
            table::all()
                .filter(|(_, entry)| entry.kind == Kind::Stream && entry.application == self.index)
                .for_each(|(descriptor, _)| raw::reset(descriptor));
        }
    }

    /// This process, which has come out of a fork, is none of its server's: its sockets are its parent's alone.
    pub(crate) fn disown(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Looks whether the server is there.
    pub(crate) fn check(&self) -> bool {
        if !self.is_gone() {
            let _undisturbed = Undisturbed::new();
            if !self.attachment.is_alive() {
                self.lose();
            }
        }
        !self.is_gone()
    }

    /// A slot's channel.
    #[inline]
    pub(crate) fn channel(&self, slot: u32) -> &Channel {
        let (chunk, at) = (slot as usize / CHUNK, slot as usize % CHUNK);
        match self.channels[chunk].get() {
            Some(channels) => &channels[at],
            None => &self.make_channels(chunk)[at],
        }
    }

    #[cold]
    fn make_channels(&self, chunk: usize) -> &[Channel] {
        let _undisturbed = Undisturbed::new();
        self.channels[chunk].get_or_init(|| {
            let end = self.attachment.region().geometry().slots().min((chunk as u32 + 1) * CHUNK as u32);
            (chunk as u32 * CHUNK as u32..end).map(|slot| self.attachment.channel(slot)).collect()
        })
    }

    /// What the slot's description says.
    #[inline]
    pub(crate) fn description(&self, slot: u32) -> Description<'_> {
        Description::of(self.attachment.region().slot(slot))
    }

    /// The entry of a slot that the process has got. With one use of it, the caller's.
    pub(crate) fn adopt(&self, kind: Kind, channel: Channel) -> Entry {
        let slot = channel.number();
        let generation = channel.slot().generation();
        // All that comes, whenever it is read: readiness has to be told of what nobody has asked for.
        channel.slot().want(u32::MAX);
        channel.forget();
        self.channel(slot);
        self.uses[slot as usize].store(1, Ordering::Release);
        Entry { kind, application: self.index, number: slot as u16, generation }
    }

    /// One more use of a slot that another process of the application holds.
    pub(crate) fn claim(&self, entry: Entry) {
        if !self.use_again(entry.number.into()) {
            self.uses[usize::from(entry.number)].store(1, Ordering::Release);
        }
        let holds = self.attachment.region().holds(self.attachment.place());
        self.each_slot(entry, |channel| holds.hold(channel.number()));
    }

    /// One more use of a slot, if there is one already.
    fn use_again(&self, slot: u32) -> bool {
        let more = |uses| if uses == 0 { None } else { Some(uses + 1) };
        self.uses[slot as usize].fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).is_ok()
    }

    /// One use less; the last one closes what the entry says. Returns whether nobody has it any more, in any process.
    #[inline]
    pub(crate) fn release(&self, entry: Entry) -> bool {
        self.uses[usize::from(entry.number)].fetch_sub(1, Ordering::AcqRel) == 1 && self.close(entry)
    }

    fn close(&self, entry: Entry) -> bool {
        let first = u32::from(entry.number);
        let reset = entry.kind == Kind::Stream && self.description(first).linger() == Some(0);
        let mut nobody = true;
        let _ours = Closing::new();
        self.each_slot(entry, |channel| {
            channel.let_go(reset);
            nobody &= channel.slot().commands() & command::CLOSE != 0;
        });
        nobody
    }

    /// Calls `each` with the channels of an entry: a listener has one for each engine.
    #[inline]
    pub(crate) fn each_slot(&self, entry: Entry, mut each: impl FnMut(&Channel)) {
        let mut slot = u32::from(entry.number);
        // The chain is in memory that others write: it does not go on for ever.
        for _ in 0..=self.attachment.region().geometry().engines() {
            let next = if entry.kind == Kind::Listener { self.description(slot).next_listening() } else { None };
            each(self.channel(slot));
            match next.filter(|next| self.attachment.region().has_slot(*next)) {
                Some(next) => slot = next,
                None => return,
            }
        }
    }

    /// In the child of a fork: what the table says is what is in use; the calls of the parent's threads are not, and
    /// what they alone used is let go of.
    pub(crate) fn recount(&self) {
        self.uses.iter().for_each(|uses| uses.store(0, Ordering::Relaxed));
        let mut wanted = vec![false; self.uses.len()];
        for (_, entry) in table::all().filter(|(_, entry)| entry.is_socket() && entry.application == self.index) {
            self.uses[usize::from(entry.number)].fetch_add(1, Ordering::Relaxed);
            self.each_slot(entry, |channel| wanted[channel.number() as usize] = true);
        }
        if self.is_gone() {
            return;
        }
        let _ours = Closing::new();
        let mut left = Vec::new();
        let region = self.attachment.region();
        region.holds(self.attachment.place()).each(|slot| left.push(slot));
        for slot in left.into_iter().filter(|slot| !wanted[*slot as usize]) {
            self.channel(slot).let_go(false);
        }
    }
}

impl Socket {
    /// The socket that the descriptor is, if the TCP server has it.
    #[inline]
    pub(crate) fn get(descriptor: RawFd) -> Option<Socket> {
        loop {
            let entry = table::get(descriptor)?;
            if !entry.is_socket() {
                return None;
            }
            let application = Application::of(entry.application)?;
            if application.use_again(entry.number.into()) {
                let socket = Socket { application, entry, descriptor };
                // Otherwise it was closed in between, and what is in use now is another's.
                if table::get(descriptor) == Some(entry) {
                    return Some(socket);
                }
            }
            std::hint::spin_loop();
        }
    }

    /// Its channel; a listener's first one.
    #[inline]
    pub(crate) fn channel(&self) -> &'static Channel {
        self.application.channel(self.entry.number.into())
    }

    #[inline]
    pub(crate) fn description(&self) -> Description<'static> {
        self.application.description(self.entry.number.into())
    }

    /// Whether the program sends on it by itself, on the kernel's socket.
    #[inline]
    pub(crate) fn sends(&self) -> bool {
        self.application.sends && self.entry.kind == Kind::Stream
    }

    pub(crate) fn is_listener(&self) -> bool {
        self.entry.kind == Kind::Listener
    }

    /// Goes on being used: for a new descriptor.
    pub(crate) fn keep(self) -> Entry {
        let entry = self.entry;
        std::mem::forget(self);
        entry
    }
}

impl Drop for Socket {
    #[inline]
    fn drop(&mut self) {
        self.application.release(self.entry);
    }
}
