//! Threads that copy what is published, one for each user who publishes: files are read, which may take for ever, and large
//! copies take their time. Who publishes waits for his answer, and is not heard until he has it; nobody else waits for him.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use afpa_channel::control::{self, Reply};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::requests::{Refusal, refuse};
use crate::objects::{Objects, Publication};

/// Publications of one user that wait.
const WAITING: usize = 16;
/// How long a thread waits for another one.
const PATIENCE: Duration = Duration::from_secs(1);

/// A publication, and who waits for it.
type Order = (Publication, Answer);

/// Has things copied.
pub(crate) struct Publisher {
    objects: Arc<Objects>,
    /// By user, those whose thread runs.
    queues: Arc<Mutex<HashMap<u32, SyncSender<Order>>>>,
}

/// Who waits for an answer.
pub(crate) struct Answer {
    client: Arc<OwnedFd>,
    /// Where he is heard, and under which name.
    epoll: Arc<OwnedFd>,
    name: u64,
}

impl Publisher {
    pub(crate) fn new(objects: Arc<Objects>) -> Publisher {
        Publisher { objects, queues: Arc::default() }
    }

    /// Copies it in its turn.
    pub(crate) fn publish(&self, publication: Publication, answer: Answer) {
        let user = publication.uid;
        let mut queues = lock(&self.queues);
        let queue = match queues.get(&user) {
            Some(queue) => queue.clone(),
            None => match self.start(user) {
                Ok(queue) => queues.entry(user).or_insert(queue).clone(),
                Err(_) => return answer.give(refuse(Errno::AGAIN, "no thread is left to copy it")),
            },
        };
        if let Err(TrySendError::Full((_, answer)) | TrySendError::Disconnected((_, answer))) =
            queue.try_send((publication, answer))
        {
            answer.give(refuse(Errno::AGAIN, "so much of this user's is being published at the moment; try again"));
        }
    }

    fn start(&self, user: u32) -> io::Result<SyncSender<Order>> {
        let (queue, orders) = sync_channel(WAITING);
        let (objects, queues) = (self.objects.clone(), self.queues.clone());
        Builder::new().name("publisher".into()).spawn(move || {
            while let Some((publication, answer)) = next(&orders, &queues, user) {
                answer.give(objects.publish(publication));
            }
        })?;
        Ok(queue)
    }
}

/// What a user's thread does next. `None`: it ends, and whoever publishes then finds it gone.
fn next(orders: &Receiver<Order>, queues: &Mutex<HashMap<u32, SyncSender<Order>>>, user: u32) -> Option<Order> {
    if let Ok(order) = orders.recv_timeout(PATIENCE) {
        return Some(order);
    }
    let mut queues = lock(queues);
    // Ordered before the queues were locked, perhaps; afterwards nobody can.
    let order = orders.try_recv().ok();
    if order.is_none() {
        queues.remove(&user);
    }
    order
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
