//! From TCP to the application: into posted memory, or into the receive ring.

use afpa_channel::Forged;
use afpa_channel::job_ring::{Receive, Received};
use afpa_channel::slot::{Slot, state};
use afpa_engine::module::Input;

use crate::application::{Application, Memory};
use crate::channel::Link;
use crate::module::Cx;

/// How often it looks again whether an application has made room, before others get their turn.
const LOOKS: usize = 32;

/// Where receiving is.
#[derive(Default)]
pub(crate) struct Receiving {
    /// Octets put into the receive ring.
    received: u32,
    /// Posted receives that are done.
    receives: u32,
    /// The transport has octets that there was no room for.
    held_back: bool,
    /// The application wants no more of them.
    is_unwanted: bool,
    /// What came before the connection had a slot was looked at.
    has_looked: bool,
}

impl Receiving {
    /// Whether it is known what the transport has; if not, it is asked.
    pub(crate) fn look(&mut self, input: &mut Input<'_>) -> bool {
        if !self.has_looked {
            // Shown again, if this event brought none.
            let _ = input.unread();
            self.has_looked = input.is_present();
        }
        self.has_looked
    }

    /// Puts what has come where the application wants it, as far as it does. Returns whether something happened for it.
    pub(crate) fn take(&mut self, cx: &mut Cx<'_>, link: &Link, bits: &mut u32) -> Result<bool, Forged> {
        let slot = link.slot();
        let mut happened = false;
        for _ in 0..LOOKS {
            if self.step(cx, link)? {
                happened = true;
                continue;
            }
            if cx.input.is_present() {
                self.held_back = !cx.input.unread().is_empty();
            }
            if !self.held_back {
                if *bits & state::STALLED != 0 {
                    *bits &= !state::STALLED;
                    slot.server_state(*bits);
                }
                break;
            }
            if !cx.input.is_present() && self.may_go_on(slot, cx.global.settings.eager_receive)? {
                // It is shown again.
                let _ = cx.input.unread();
                break;
            }
            if *bits & state::STALLED != 0 {
                break;
            }
            *bits |= state::STALLED;
            slot.server_stall(*bits);
        }
        Ok(happened)
    }

    /// Does one thing; whether there was one.
    fn step(&mut self, cx: &mut Cx<'_>, link: &Link) -> Result<bool, Forged> {
        let slot = link.slot();
        let ring = slot.receive_ring();
        let room = ring.writable(self.received)?;
        let waiting = ring.size() - room;
        let bytes = if cx.input.is_present() { cx.input.unread() } else { &[] };
        if slot.server_receives(self.receives)? > 0 {
            let result = if waiting > 0 {
                Some(Received::InRing)
            } else if !bytes.is_empty() {
                let posted = slot.server_receive(self.receives);
                let result = fill(&link.application, posted, bytes);
                if let Received::Octets(count) = result {
                    cx.input.consume(count as usize);
                    cx.global.stats.received_octets.add(count.into());
                }
                Some(result)
            } else {
                let is_empty = cx.input.is_present() || !self.held_back;
                if is_empty && cx.finished() {
                    Some(Received::Octets(0))
                } else {
                    (is_empty && slot.server_is_cancelled(self.receives)).then_some(Received::Cancelled)
                }
            };
            let Some(result) = result else { return Ok(false) };
            slot.server_received(self.receives, result);
            self.receives = self.receives.wrapping_add(1);
            return Ok(true);
        }
        let credit = credit(slot, ring.size(), waiting, cx.global.settings.eager_receive);
        let count = bytes.len().min(credit as usize);
        if count == 0 {
            return Ok(false);
        }
        ring.write(self.received, &bytes[..count]);
        self.received = self.received.wrapping_add(count as u32);
        ring.publish(self.received);
        cx.input.consume(count);
        cx.global.stats.received_octets.add(count as u64);
        Ok(true)
    }

    /// Whether there is room for what the transport holds.
    fn may_go_on(&self, slot: Slot<'_, Memory>, eager: u32) -> Result<bool, Forged> {
        let ring = slot.receive_ring();
        let waiting = ring.size() - ring.writable(self.received)?;
        let posted = slot.server_receives(self.receives)? > 0;
        Ok(posted || credit(slot, ring.size(), waiting, eager) > 0)
    }

    /// Throws away what has come. Returns whether it is the first time.
    pub(crate) fn discard(&mut self, input: &mut Input<'_>) -> bool {
        let count = input.unread().len();
        input.consume(count);
        self.held_back &= !input.is_present();
        !std::mem::replace(&mut self.is_unwanted, true)
    }

    /// Whether the peer has sent what the application has not read.
    pub(crate) fn is_unread(&self, input: &mut Input<'_>, slot: Slot<'_, Memory>) -> Result<bool, Forged> {
        let ring = slot.receive_ring();
        let arrived = input.is_present() && !input.unread().is_empty();
        Ok(arrived || self.held_back || ring.writable(self.received)? < ring.size())
    }

    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// The connection is gone: so are the receives that were posted.
    pub(crate) fn fail(&mut self, slot: Slot<'_, Memory>) {
        for _ in 0..slot.server_receives(self.receives).unwrap_or(0) {
            slot.server_received(self.receives, Received::Failed);
            self.receives = self.receives.wrapping_add(1);
        }
    }
}

/// How many octets more the application wants in its ring.
fn credit(slot: Slot<'_, Memory>, size: u32, waiting: u32, eager: u32) -> u32 {
    eager.max(slot.server_wanted()).min(size).saturating_sub(waiting)
}

/// Fills posted memory.
fn fill(application: &Application, posted: Receive, bytes: &[u8]) -> Received {
    let filled = application.memories.with(posted.memory, |memory| {
        let start = usize::try_from(posted.offset).ok().filter(|_| memory.is_writable())?;
        let room = memory.len().checked_sub(start)?;
        if posted.length as usize > room {
            return None;
        }
        let count = bytes.len().min(posted.length as usize);
        memory.write(start, &bytes[..count]);
        Some(count as u32)
    });
    match filled.flatten() {
        // None would mean the end.
        Some(0) | None => Received::Invalid,
        Some(count) => Received::Octets(count),
    }
}
