//! Where the sockets of accepted connections come from, for a process that sends on them itself.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afpa_channel::control::{Reply, Request};

use crate::attachment::{Attachment, strange};
use crate::channel::Channel;

/// The process's ends of listening slots' pairs: by slot, with the use of it. Each is asked for when it is first needed, so
/// that a process that has got its listener by fork, by exec or by a message has it as any other.
#[derive(Debug, Default)]
pub(crate) struct Incoming(Mutex<HashMap<u32, (u32, Arc<OwnedFd>)>>);

/// Nobody is at them: a process that is forked meanwhile has them in order.
pub(crate) struct Held<'a>(#[expect(dead_code, reason = "locked as long as it lives")] Guard<'a>);

type Guard<'a> = MutexGuard<'a, HashMap<u32, (u32, Arc<OwnedFd>)>>;

impl Incoming {
    /// Where the sockets of this listener's connections come.
    ///
    /// # Errors
    /// No descriptor is left; the server is gone, or says that it does not listen.
    pub(crate) fn of(&self, listener: &Channel) -> io::Result<Arc<OwnedFd>> {
        let (slot, generation) = (listener.number(), listener.slot().generation());
        let known = self.lock().get(&slot).filter(|(known, _)| *known == generation).map(|(_, end)| end.clone());
        match known {
            Some(end) => Ok(end),
            None => {
                let end = Arc::new(ask(listener.attachment(), slot)?);
                let _former = self.lock().insert(slot, (generation, end.clone()));
                Ok(end)
            }
        }
    }

    /// The slot is closed.
    pub(crate) fn forget(&self, slot: u32) {
        let _closed = self.lock().remove(&slot);
    }

    pub(crate) fn hold(&self) -> Held<'_> {
        Held(self.lock())
    }

    fn lock(&self) -> Guard<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(attachment: &Attachment, slot: u32) -> io::Result<OwnedFd> {
    let (reply, descriptors) = attachment.ask(&Request::Incoming { slot }, &[])?;
    match (reply, descriptors.into_iter().next()) {
        (Reply::Incoming, Some(end)) => Ok(attachment.placed(end)),
        _ => Err(strange()),
    }
}
