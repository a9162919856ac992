//! Epoll instances: the kernel's stays in use for what is the kernel's, and beside it there is a record of what is not.
//!
//! Nothing of this library is in the kernel's interest list, except for a moment (see [`Instance::rouse`]): who sleeps
//! does so in a ppoll(2) of the kernel's instance, the doorbells of the record's queues and an eventfd.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, POLLIN, epoll_event, pollfd};
use memnet::Queue;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::application::Application;
use crate::events;
use crate::interests::{Interest, Interests, Look};
use crate::offload::set_aside;
use crate::raw::{self, Mask, Undisturbed};
use crate::rooms::Rooms;
use crate::table::{self, Closing, Entry, Kind};

/// Instances that a process has at the same time. Those beyond are the kernel's alone.
const INSTANCES: usize = 1024;
static INSTANCES_OF_PROCESS: [OnceLock<Instance>; INSTANCES] = [const { OnceLock::new() }; INSTANCES];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// While offloaded descriptors are ready the kernel's are looked at so often.
const FAIRNESS: u32 = 16;
/// How long who has no queue sleeps at most.
const PATIENCE: Duration = Duration::from_millis(1);
/// What the kernel says of an eventfd of ours that is in its interest list.
const ROUSED: u64 = 0xaf9a_6e75_6467_6521;
/// Doorbells that are waited for: one for each server that the process has had and still uses.
const QUEUES: usize = 6;

/// What stands beside a kernel's instance.
pub(crate) struct Instance {
    /// Descriptors that refer to it. None: it may become another.
    uses: AtomicU32,
    generation: AtomicU32,
    descriptor: AtomicI32,
    /// Interests that are not the kernel's.
    offloaded: AtomicUsize,
    /// Threads that sleep in the kernel's instance.
    in_kernel: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    interests: Interests,
    queues: Vec<Subscriber>,
    /// Where the kernel tells of room.
    rooms: Rooms,
    /// Threads that sleep here.
    sleepers: u32,
    nudge: Option<OwnedFd>,
    looks: u32,
    /// How many were ready when some were.
    last_count: usize,
    /// There may be more in the kernel's instance: there was something, or somebody has slept.
    kernel_next: bool,
    /// It was inherited by a fork, and its queues are the parent's.
    inherited: bool,
}

/// The queue that is told of an application's slots.
struct Subscriber {
    application: &'static Application,
    /// `None`: there is none to be had.
    queue: Option<Queue>,
}

/// Makes the record of an instance that was just created.
pub(crate) fn create(descriptor: RawFd) {
    if !table::has_place(descriptor) {
        return;
    }
    for (number, place) in INSTANCES_OF_PROCESS.iter().enumerate() {
        let instance = place.get_or_init(Instance::new);
        if instance.uses.load(Ordering::Relaxed) != 0
            || instance.uses.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            continue;
        }
        COUNT.fetch_max(number + 1, Ordering::AcqRel);
        let _ours = Closing::new();
        *instance.lock() = State::default();
        instance.offloaded.store(0, Ordering::Release);
        instance.descriptor.store(descriptor, Ordering::Release);
        let generation = instance.generation.fetch_add(1, Ordering::AcqRel) + 1;
        table::put(descriptor, Some(Entry { kind: Kind::Epoll, application: 0, number: number as u16, generation }));
        return;
    }
}

/// The record of a descriptor that is an epoll instance.
#[inline]
pub(crate) fn get(descriptor: RawFd) -> Option<&'static Instance> {
    table::get(descriptor).filter(|entry| entry.kind == Kind::Epoll).and_then(of)
}

fn of(entry: Entry) -> Option<&'static Instance> {
    INSTANCES_OF_PROCESS.get(usize::from(entry.number))?.get()
}

fn all() -> impl Iterator<Item = &'static Instance> {
    let count = COUNT.load(Ordering::Acquire);
    INSTANCES_OF_PROCESS[..count].iter().filter_map(OnceLock::get)
}

/// A descriptor less refers to it.
pub(crate) fn release(entry: Entry) {
    let Some(instance) = of(entry) else { return };
    if instance.uses.fetch_sub(1, Ordering::AcqRel) == 1 {
        let _undisturbed = Undisturbed::new();
        let _ours = Closing::new();
        // If somebody is at it, what it has is given back when its place is used again.
        if let Ok(mut state) = instance.state.try_lock() {
            *state = State::default();
        }
    }
}

/// A descriptor more refers to it.
pub(crate) fn retain(entry: Entry) -> bool {
    of(entry).is_some_and(|instance| instance.uses.fetch_add(1, Ordering::AcqRel) != 0)
}

/// The descriptor has become the TCP server's: so do the interests in it.
pub(crate) fn migrate(descriptor: RawFd, entry: Entry) {
    for instance in all().filter(|instance| instance.uses.load(Ordering::Acquire) != 0) {
        let mut state = instance.lock();
        let Some(interest) = state.interests.get(descriptor).filter(|interest| interest.entry.is_none()).copied()
        else {
            continue;
        };
        let nothing = epoll_event { events: 0, u64: 0 };
        let known = raw::epoll_ctl(instance.descriptor.load(Ordering::Acquire), EPOLL_CTL_DEL, descriptor, nothing);
        let _ = state.interests.remove(descriptor);
        // Otherwise it was an interest in another descriptor of that number.
        if known.is_ok() {
            let _ = instance.add(&mut state, descriptor, entry, interest.events, interest.data);
        }
    }
}

/// Before a fork: nobody is at any of them.
pub(crate) fn hold_all() -> Vec<MutexGuard<'static, impl Sized>> {
    all().map(Instance::lock).collect()
}

/// In the child of a fork: the queues are its parent's.
pub(crate) fn disown_all() {
    let _ours = Closing::new();
    for instance in all() {
        let mut state = instance.lock();
        for subscriber in std::mem::take(&mut state.queues) {
            if let Some(queue) = subscriber.queue {
                queue.abandon();
            }
        }
        state.rooms = Rooms::default();
        (state.sleepers, state.nudge, state.inherited) = (0, None, true);
        instance.in_kernel.store(0, Ordering::Relaxed);
    }
}

impl Instance {
    fn new() -> Instance {
        Instance {
            uses: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            descriptor: AtomicI32::new(-1),
            offloaded: AtomicUsize::new(0),
            in_kernel: AtomicU32::new(0),
            state: Mutex::new(State::default()),
        }
    }

    /// epoll_ctl(2) of a descriptor that is the TCP server's.
    pub(crate) fn control(
        &self,
        operation: i32,
        descriptor: RawFd,
        entry: Entry,
        event: Option<(u32, u64)>,
    ) -> Result<(), Errno> {
        let mut state = self.lock();
        state.revive();
        let exclusive = |events: u32| events & libc::EPOLLEXCLUSIVE as u32 != 0;
        let known = state.interests.get(descriptor).filter(|interest| interest.entry == Some(entry));
        let (current, is_exclusive) = (known.is_some(), known.is_some_and(Interest::is_exclusive));
        match operation {
            EPOLL_CTL_ADD => {
                let (events, data) = event.ok_or(Errno::FAULT)?;
                if exclusive(events) && events & (libc::EPOLLONESHOT | libc::EPOLLRDHUP) as u32 != 0 {
                    return Err(Errno::INVAL);
                }
                self.add(&mut state, descriptor, entry, events, data)
            }
            _ if !current => Err(Errno::NOENT),
            EPOLL_CTL_MOD => {
                let (events, data) = event.ok_or(Errno::FAULT)?;
                if is_exclusive || exclusive(events) {
                    return Err(Errno::INVAL);
                }
                state.interests.modify(descriptor, events, data)?;
                state.mind_room(descriptor);
                state.nudge();
                Ok(())
            }
            EPOLL_CTL_DEL => {
                let State { rooms, interests, .. } = &mut *state;
                rooms.forget(interests, descriptor);
                state.interests.remove(descriptor)?;
                self.offloaded.store(state.interests.offloaded(), Ordering::Release);
                state.unsubscribe(entry);
                Ok(())
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn add(&self, state: &mut State, descriptor: RawFd, entry: Entry, events: u32, data: u64) -> Result<(), Errno> {
        state.interests.add(descriptor, Some(entry), events, data)?;
        state.mind_room(descriptor);
        let exclusive = state.interests.get(descriptor).is_some_and(Interest::is_exclusive);
        let application = Application::of(entry.application).filter(|_| entry.is_socket());
        if let Some(application) = application
            && let Some(queue) = state.queue(application)
        {
            application.each_slot(entry, |channel| queue.subscribe(channel, exclusive));
        }
        let first = self.offloaded.swap(state.interests.offloaded(), Ordering::AcqRel) == 0;
        if first && self.in_kernel.load(Ordering::Acquire) != 0 {
            self.rouse(state);
        }
        state.nudge();
        Ok(())
    }

    /// epoll_ctl(2) of a descriptor of the kernel, which has done it: kept for the case that the descriptor becomes
    /// another.
    pub(crate) fn controlled(&self, operation: i32, descriptor: RawFd, event: Option<(u32, u64)>) {
        let mut state = self.lock();
        match (operation, event) {
            (EPOLL_CTL_ADD, Some((events, data))) => drop(state.interests.add(descriptor, None, events, data)),
            (EPOLL_CTL_MOD, Some((events, data))) => drop(state.interests.modify(descriptor, events, data)),
            _ => drop(state.interests.remove(descriptor)),
        }
    }

    /// epoll_wait(2) into `into`, which is not empty.
    pub(crate) fn wait(
        &self,
        descriptor: RawFd,
        into: &mut [epoll_event],
        timeout: Option<Duration>,
        mask: Mask,
    ) -> Result<usize, Errno> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let at_once = timeout.is_some_and(|timeout| timeout.is_zero());
        // What the kernel has is looked at after a sleep that it has ended, and for who does not sleep.
        let mut look_in_kernel = at_once;
        let mut slept = false;
        loop {
            let (mut told, due) = self.collect(into);
            // Who has slept has looked there.
            let due = due && !slept;
            if (look_in_kernel || due) && told < into.len() {
                let kernels = self.collect_in_kernel(descriptor, &mut into[told..])?;
                told += kernels;
                if due || kernels > 0 {
                    self.lock().kernel_next = kernels > 0;
                }
            }
            if told > 0 || at_once || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(told);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            look_in_kernel = self.sleep(descriptor, left, mask)?;
            slept = true;
        }
    }

    /// Whether nothing in it is the TCP server's.
    #[inline]
    pub(crate) fn is_kernels(&self) -> bool {
        self.offloaded.load(Ordering::Acquire) == 0
    }

    /// A thread sleeps in the kernel's instance while `sleep` runs, which returns how many events it has brought; the
    /// events that are left are returned. `None`: something is the TCP server's by now, and nothing of the kernel's is
    /// ready.
    pub(crate) fn wait_in_kernel(
        &self,
        descriptor: RawFd,
        events: &mut [epoll_event],
        sleep: impl FnOnce(&mut [epoll_event]) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno> {
        self.in_kernel.fetch_add(1, Ordering::AcqRel);
        // Who adds something after this sees the thread, and rouses it.
        let result = if self.is_kernels() { sleep(events) } else { Ok(0) };
        let last = self.in_kernel.fetch_sub(1, Ordering::AcqRel) == 1;
        let told = result?;
        let left = without_roused(events, told);
        if left < told && last {
            let mut state = self.lock();
            if let Some(nudge) = &state.nudge {
                let _ = raw::epoll_ctl(descriptor, EPOLL_CTL_DEL, nudge.as_raw_fd(), epoll_event { events: 0, u64: 0 });
            }
            state.quiet();
        }
        Ok(if left == 0 && !self.is_kernels() { None } else { Some(left) })
    }

    /// Wakes those who went to sleep in the kernel's instance when there was nothing but the kernel's in it.
    fn rouse(&self, state: &mut State) {
        if state.open_nudge() {
            let nudge = state.nudge.as_ref().expect("just opened");
            let event = epoll_event { events: POLLIN as u32, u64: ROUSED };
            let _ = raw::epoll_ctl(self.descriptor.load(Ordering::Acquire), EPOLL_CTL_ADD, nudge.as_raw_fd(), event);
            let _ = rustix::io::write(nudge, &1u64.to_ne_bytes());
        }
    }

    /// Takes what is ready of the TCP server's; and whether it is the kernel's turn.
    fn collect(&self, into: &mut [epoll_event]) -> (usize, bool) {
        let mut state = self.lock();
        state.revive();
        state.take();
        let mut told = 0;
        let mut gone = Vec::new();
        let count = state.interests.collect(
            into.len(),
            |interest| look(interest, &mut gone),
            |events, data| {
                into[told] = epoll_event { events, u64: data };
                told += 1;
            },
        );
        for entry in gone {
            state.unsubscribe(entry);
        }
        self.offloaded.store(state.interests.offloaded(), Ordering::Release);
        if count == into.len() && state.interests.has_ready() {
            state.nudge();
        }
        state.looks = state.looks.wrapping_add(1);
        // Who is told of little has time to look there each time.
        let turn = state.kernel_next || state.last_count <= 1 || state.looks.is_multiple_of(FAIRNESS);
        if count > 0 {
            state.last_count = count;
        }
        (count, count > 0 && turn && state.interests.kernel() > 0)
    }

    fn collect_in_kernel(&self, descriptor: RawFd, into: &mut [epoll_event]) -> Result<usize, Errno> {
        let told = raw::epoll_wait(descriptor, into, 0)?;
        Ok(without_roused(into, told))
    }

    /// Sleeps until something happens, or for so long. Returns whether the kernel has something, or may have.
    fn sleep(&self, descriptor: RawFd, left: Option<Duration>, mask: Mask) -> Result<bool, Errno> {
        const NOBODY: pollfd = pollfd { fd: -1, events: 0, revents: 0 };
        let mut polled = [NOBODY; QUEUES + 3];
        let mut state = self.lock();
        state.open_nudge();
        let nobody = -1;
        polled[0] = pollfd { fd: descriptor, events: POLLIN, revents: 0 };
        polled[1].fd = state.nudge.as_ref().map_or(nobody, AsRawFd::as_raw_fd);
        polled[1].events = POLLIN;
        polled[QUEUES + 2].fd = state.rooms.descriptor().unwrap_or(nobody);
        polled[QUEUES + 2].events = POLLIN;
        let (mut may, mut blind) = (true, state.nudge.is_none() || state.interests.has_nested());
        for (at, subscriber) in state.queues.iter().enumerate() {
            match subscriber.queue.as_ref().filter(|_| at < QUEUES) {
                Some(queue) => {
                    polled[2 + at] = pollfd { fd: queue.doorbell().as_raw_fd(), events: POLLIN, revents: 0 };
                    may &= queue.sleep();
                }
                None => blind |= !subscriber.application.is_gone(),
            }
        }
        may &= !state.interests.has_ready();
        state.sleepers += 1;
        drop(state);
        let result = if may {
            let left = if blind { Some(left.unwrap_or(PATIENCE).min(PATIENCE)) } else { left };
            raw::ppoll(&mut polled, left.map(timespec), mask)
        } else {
            Ok(0)
        };
        let mut state = self.lock();
        state.sleepers -= 1;
        state.kernel_next = true;
        state.awake(&polled);
        if polled[0].revents & libc::POLLNVAL != 0 {
            return Err(Errno::BADF);
        }
        result.map(|_| polled[0].revents != 0 || blind)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is ready, for who polls the instance itself.
    pub(crate) fn is_ready(&self) -> bool {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return true,
        };
        state.revive();
        state.take();
        let ready = |interest: &Interest| matches!(look(interest, &mut Vec::new()), Look::Events(events, _) if events & (interest.events | 0x18) != 0);
        state.interests.all().any(ready)
    }
}

impl State {
    /// After a fork, the first time that the child is at it: it subscribes by queues of its own.
    fn revive(&mut self) {
        if !std::mem::take(&mut self.inherited) {
            return;
        }
        let interests: Vec<Interest> =
            self.interests.all().filter(|interest| interest.entry.is_some()).copied().collect();
        for interest in interests {
            let Some(entry) = interest.entry else { continue };
            let Some(application) = Application::of(entry.application).filter(|_| entry.is_socket()) else { continue };
            if table::get(interest.descriptor) != Some(entry) {
                continue;
            }
            if let Some(queue) = self.queue(application) {
                application.each_slot(entry, |channel| queue.subscribe(channel, interest.is_exclusive()));
            }
            self.interests.watch(interest.descriptor, false);
            self.mind_room(interest.descriptor);
            self.interests.notice_all(entry.application);
        }
    }

    /// Has the kernel tell of room on a socket on which the program sends, if somebody wants to know.
    fn mind_room(&mut self, descriptor: RawFd) {
        let Some(interest) = self.interests.get(descriptor) else { return };
        let application = interest.entry.filter(|entry| entry.kind == Kind::Stream);
        let application = application.and_then(|entry| Application::of(entry.application));
        let sends = application.is_some_and(Application::sends);
        if sends && interest.events & libc::EPOLLOUT as u32 != 0 {
            self.rooms.watch(&mut self.interests, descriptor);
        } else if sends {
            self.rooms.forget(&mut self.interests, descriptor);
        }
    }

    /// The queue that is told of an application's slots.
    fn queue(&mut self, application: &'static Application) -> Option<&Queue> {
        let index = application.index();
        let at = match self.queues.iter().position(|subscriber| subscriber.application.index() == index) {
            Some(at) => at,
            None => {
                let _ours = Closing::new();
                self.queues.retain(|subscriber| !subscriber.application.is_gone());
                let _undisturbed = Undisturbed::new();
                let queue = if application.is_gone() { None } else { Queue::open(application.attachment()).ok() };
                self.queues.push(Subscriber { application, queue });
                self.queues.len() - 1
            }
        };
        self.queues[at].queue.as_ref()
    }

    /// Nobody here is interested in the entry's slots any more, unless by another descriptor.
    fn unsubscribe(&mut self, entry: Entry) {
        let application = Application::of(entry.application).filter(|_| entry.is_socket());
        let Some(application) = application.filter(|application| !application.is_gone()) else { return };
        // A slot that is somebody else's by now has no subscribers of before.
        let current = application.channel(entry.number.into()).slot().generation() == entry.generation;
        if !current || self.interests.has_slot(entry) {
            return;
        }
        if let Some(queue) = self.queue(application) {
            application.each_slot(entry, |channel| queue.unsubscribe(channel));
        }
    }

    /// Takes what the queues were told.
    fn take(&mut self) {
        if self.interests.has_nested() {
            self.interests.notice_nested();
        }
        self.rooms.take(&mut self.interests);
        for Subscriber { application, queue } in &self.queues {
            let (interests, index) = (&mut self.interests, application.index());
            match queue {
                Some(queue) if !application.is_gone() => queue.take(|slot| {
                    if !interests.notice(index, slot) {
                        notice_listener(interests, application, slot);
                    }
                }),
                _ => interests.notice_all(index),
            }
        }
    }

    /// After a sleep: the doorbells are quiet, and those who still sleep are rung again.
    fn awake(&mut self, polled: &[pollfd]) {
        for (at, subscriber) in self.queues.iter_mut().enumerate() {
            let Some(queue) = &subscriber.queue else { continue };
            if self.sleepers == 0 {
                queue.wake();
            } else {
                // What is there already, the caller looks at next.
                queue.sleep();
            }
            let rung = polled.get(2 + at).is_some_and(|polled| polled.revents != 0);
            if rung && queue.drain().is_err() {
                subscriber.application.lose();
                let _ours = Closing::new();
                subscriber.queue = None;
            }
        }
        if polled[1].revents != 0 {
            self.quiet();
        }
    }

    /// Wakes those who sleep here, to look again.
    fn nudge(&mut self) {
        if self.sleepers > 0
            && let Some(nudge) = &self.nudge
        {
            let _ = rustix::io::write(nudge, &1u64.to_ne_bytes());
        }
    }

    fn quiet(&mut self) {
        if let Some(nudge) = &self.nudge {
            let _ = rustix::io::read(nudge, &mut [0u8; 8][..]);
        }
    }

    fn open_nudge(&mut self) -> bool {
        if self.nudge.is_none() {
            self.nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok().map(set_aside);
        }
        self.nudge.is_some()
    }
}

/// The slots of a listener but the first are told of in its place.
fn notice_listener(interests: &mut Interests, application: &Application, slot: u32) {
    if let Some(first) = application.description(slot).first_listening() {
        interests.notice(application.index(), first);
    }
}

/// Looks at what an interest is in; whoever is gone is put into `gone`.
fn look(interest: &Interest, gone: &mut Vec<Entry>) -> Look {
    let Some(entry) = interest.entry else { return Look::Events(0, 0) };
    let application = Application::of(entry.application).filter(|_| table::get(interest.descriptor) == Some(entry));
    if entry.kind == Kind::Epoll {
        return nested(interest.descriptor, entry);
    }
    match application {
        Some(application) => {
            // Before, so that what comes in between is seen as new later, not missed.
            let number = events::number(application, entry);
            let has_room = || raw::has_room(interest.descriptor);
            Look::Events(events::now(application, entry, interest.events, has_room), number)
        }
        None => {
            gone.push(entry);
            Look::Gone
        }
    }
}

/// What there is in an instance that is in another.
fn nested(descriptor: RawFd, entry: Entry) -> Look {
    let Some(inner) = of(entry).filter(|_| table::get(descriptor) == Some(entry)) else { return Look::Gone };
    let mut kernels = [pollfd { fd: descriptor, events: POLLIN, revents: 0 }];
    let _ = raw::ppoll(&mut kernels, Some(timespec(Duration::ZERO)), Mask::NONE);
    Look::Events(if kernels[0].revents != 0 || inner.is_ready() { POLLIN as u32 } else { 0 }, 0)
}

/// Takes out what only rouses; returns how many events are left.
fn without_roused(events: &mut [epoll_event], told: usize) -> usize {
    let mut left = 0;
    for at in 0..told {
        let event = events[at];
        if event.u64 != ROUSED {
            events[left] = event;
            left += 1;
        }
    }
    left
}

/// A time as the kernel has it.
pub(crate) fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
