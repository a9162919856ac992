//! A thread that copies what is published: files are read, and large copies take their time. Who publishes waits for his
//! answer, and is not heard until he has it; nobody else waits for him.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::Builder;

use afpa_channel::control::{self, Reply};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::requests::Refusal;
use crate::objects::{Objects, Publication};

/// Publications that wait.
const WAITING: usize = 64;

/// The thread, as long as this exists.
pub(crate) struct Publisher {
    queue: SyncSender<(Publication, Answer)>,
}

/// Who waits for an answer.
pub(crate) struct Answer {
    pub(crate) client: Arc<OwnedFd>,
    /// Where he is heard, and under which name.
    pub(crate) epoll: Arc<OwnedFd>,
    pub(crate) name: u64,
}

impl Publisher {
    pub(crate) fn start(objects: Arc<Objects>) -> io::Result<Publisher> {
        let (queue, publications) = sync_channel::<(Publication, Answer)>(WAITING);
        Builder::new().name("publisher".into()).spawn(move || {
            for (publication, answer) in publications {
                answer.give(objects.publish(publication));
            }
        })?;
        Ok(Publisher { queue })
    }

    /// Copies it in its turn.
    pub(crate) fn publish(&self, publication: Publication, answer: Answer) {
        if let Err(TrySendError::Full((_, answer)) | TrySendError::Disconnected((_, answer))) =
            self.queue.try_send((publication, answer))
        {
            let reason = "so much is being published at the moment; try again";
            answer.give(Err(Refusal { errno: Errno::AGAIN, reason }));
        }
    }
}

impl Answer {
    /// Nothing more is heard from the client until he has his answer.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn promise(client: Arc<OwnedFd>, epoll: Arc<OwnedFd>, name: u64) -> io::Result<Answer> {
        epoll::modify(&epoll, &client, EventData::new_u64(name), EventFlags::empty())?;
        Ok(Answer { client, epoll, name })
    }

    fn give(self, result: Result<(), Refusal>) {
        let reply = result.map_or_else(Refusal::into_reply, |()| Reply::Done);
        // Who does not take it is found out when he is heard next. If he is gone, nobody hears him any more.
        let _ = control::send(self.client.as_fd(), &reply, &[]);
        let _ = epoll::modify(&self.epoll, &self.client, EventData::new_u64(self.name), EventFlags::IN);
    }
}
