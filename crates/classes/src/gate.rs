//! Who may go on now, who waits, and who is next.

use crate::waiting::{Queue, Waiting};
use crate::{ClassConfig, ClassIndex, Classes, Priority, Reason, Refusal, Ticket};

/// What a request of weight 1 moves its class's tag by: enough to tell the largest weights apart.
const UNIT: u128 = 1 << 32;

/// The admission to what can take only so many requests at once: backends, say. `T` is the handle of a request.
///
/// The more important class goes first. Classes of one priority share what is left by weight, counted in requests
/// (start-time fair queueing, Goyal et al. 1996): in any time in which two classes wait and neither is held up by a limit of its own, the requests of each
/// that went, divided by its weight, differ by no more than the sum of one request of each so divided. A class with
/// nothing waiting saves nothing up, and owes nothing.
///
/// In a class the more urgent request goes first (RFC 9218 §4.1), of equally urgent ones the first to come; of each
/// eight that go one is the oldest, so that with n before it none waits for more than 8n + 7 of its class to go. Whether
/// a response is incremental changes nothing here: a request is admitted as a whole.
pub struct Gate<T> {
    classes: Vec<Class>,
    waiting: Waiting<T>,
    /// Bit per class with requests that wait.
    backlogged: u64,
    capacity: u32,
    running: u32,
    epoch: u32,
    /// By level of priority: the tag of the request that went last.
    virtual_times: Vec<u128>,
}

/// The right to be in progress. Give it back to [`Gate::ended`]: one that is dropped takes its place for ever.
#[must_use = "a permit that is not given back takes its place for ever"]
#[derive(PartialEq, Eq, Debug)]
pub struct Permit {
    class: ClassIndex,
    epoch: u32,
}

/// What becomes of a request that arrives.
#[derive(Debug)]
pub enum Decision<T> {
    /// It goes on at once.
    Go {
        /// Its handle.
        item: T,
        /// To be given back when it has ended.
        permit: Permit,
    },
    /// It waits, and [`Gate::next`] will return it; the ticket is for the case that its client goes away before.
    Wait(Ticket),
    /// It gets this answer.
    Refuse {
        /// Its handle.
        item: T,
        /// The answer.
        refusal: Refusal,
    },
}

/// What becomes of a request that waited.
#[derive(Debug)]
pub enum Turn<T> {
    /// It goes on now.
    Go {
        /// Its handle.
        item: T,
        /// To be given back when it has ended.
        permit: Permit,
    },
    /// It waited as long as it may, and gets this answer.
    Refuse {
        /// Its handle.
        item: T,
        /// The answer.
        refusal: Refusal,
    },
}

struct Class {
    /// Its priority's rank, 0 the most important.
    level: usize,
    concurrency: u32,
    running: u32,
    most_waiting: u32,
    timeout: u64,
    /// What each request moves the tag by.
    step: u128,
    /// The tag of its next request, or less if it did not wait for a while.
    tag: u128,
    queue: Queue,
}

impl<T> Gate<T> {
    /// For at most `capacity` requests in progress; `u32::MAX` without a limit.
    pub fn new(classes: &Classes, capacity: u32) -> Gate<T> {
        let classes = by_level(classes);
        Gate {
            virtual_times: vec![0; classes.len()],
            classes,
            waiting: Waiting::new(),
            backlogged: 0,
            capacity,
            running: 0,
            epoch: 0,
        }
    }

    /// A request has arrived. It goes on at once unless a limit is reached or somebody waits who could go; then it waits
    /// if its class has room.
    #[inline]
    pub fn arrive(&mut self, class: ClassIndex, now: u64, item: T, priority: Priority) -> Decision<T> {
        let index = class.within(self.classes.len());
        if self.backlogged == 0 && self.running < self.capacity {
            let class = &mut self.classes[index];
            // Where nobody waits there is nothing to share: no tag moves.
            if class.may_start() {
                return Decision::Go { item, permit: self.start(index) };
            }
        }
        self.arrive_late(index, now, item, priority)
    }

    /// A request that had `permit` has ended. Ask [`next`](Self::next) afterwards.
    pub fn ended(&mut self, permit: Permit) {
        self.running = self.running.saturating_sub(1);
        if permit.epoch == self.epoch {
            let index = permit.class.within(self.classes.len());
            let class = &mut self.classes[index];
            class.running = class.running.saturating_sub(1);
        }
    }

    /// Who is next: to be called until it returns `None` after each end, after the capacity has grown, and at the
    /// [`deadline`](Self::deadline). The time is proportional to the number of classes with requests that wait.
    pub fn next(&mut self, now: u64) -> Option<Turn<T>> {
        if self.backlogged == 0 {
            return None;
        }
        if let Some((item, refusal)) = self.expired(now) {
            return Some(Turn::Refuse { item, refusal });
        }
        if self.running >= self.capacity {
            return None;
        }
        let ready = self.waiting_classes().filter(|&index| self.classes[index].may_start());
        let index = ready.min_by_key(|&index| (self.classes[index].level, self.classes[index].tag))?;
        let item = self.waiting.pop(&mut self.classes[index].queue)?;
        self.advance(index);
        self.note_queue(index);
        Some(Turn::Go { item, permit: self.start(index) })
    }

    /// When to call [`next`](Self::next) even if nothing ends, since the one that waits longest of a class may wait no
    /// longer; `None` if nobody waits.
    pub fn deadline(&self) -> Option<u64> {
        self.waiting_classes().filter_map(|index| self.waiting.expires(&self.classes[index].queue)).min()
    }

    /// For how many nanoseconds somebody at least as important as `class` has waited for nothing but room: 0 where there
    /// is room, or only limits of classes hold somebody up.
    pub fn delay(&self, class: ClassIndex, now: u64) -> u64 {
        if self.running < self.capacity {
            return 0;
        }
        let level = self.classes[class.within(self.classes.len())].level;
        let waiting = self.waiting_classes().map(|index| &self.classes[index]);
        let held_up = waiting.filter(|class| class.level <= level && class.may_start());
        let since = |class: &Class| Some(self.waiting.expires(&class.queue)?.saturating_sub(class.timeout));
        held_up.filter_map(since).min().map_or(0, |since| now.saturating_sub(since))
    }

    /// The request with `ticket` waits no longer: its client has gone. `None` if it had left already.
    pub fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let index = self.waiting.queue_of(ticket)?;
        let item = self.waiting.take(&mut self.classes[index].queue, ticket);
        self.note_queue(index);
        item
    }

    /// Changes how many requests may be in progress. What is in progress beyond it goes on.
    pub fn set_capacity(&mut self, capacity: u32) {
        self.capacity = capacity;
    }

    /// Replaces the classes. All that wait are returned, in no order that matters: they are to be classified anew, and
    /// arrive again. Permits that are out count for the capacity, and no longer for the concurrency of a class.
    pub fn reload(&mut self, classes: &Classes) -> Vec<T> {
        let mut waited = Vec::new();
        for class in &mut self.classes {
            waited.extend(std::iter::from_fn(|| self.waiting.pop_oldest(&mut class.queue)));
        }
        self.backlogged = 0;
        self.classes = by_level(classes);
        self.virtual_times = vec![0; self.classes.len()];
        self.epoch = self.epoch.wrapping_add(1);
        waited
    }

    /// Requests in progress.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Requests of `class` that wait.
    pub fn waiting(&self, class: ClassIndex) -> u32 {
        self.classes[class.within(self.classes.len())].queue.len()
    }

    #[cold]
    fn arrive_late(&mut self, index: usize, now: u64, item: T, priority: Priority) -> Decision<T> {
        let may_start = self.running < self.capacity && self.waits_none(index) && self.classes[index].may_start();
        if may_start && !self.waiting_classes().any(|other| self.classes[other].may_start()) {
            self.advance(index);
            return Decision::Go { item, permit: self.start(index) };
        }
        let class = &mut self.classes[index];
        if class.queue.len() >= class.most_waiting {
            // By the timeout all that wait now will have gone.
            return Decision::Refuse { item, refusal: Refusal::new(Reason::QueueFull, class.timeout) };
        }
        let expires = now.saturating_add(class.timeout);
        let ticket = self.waiting.push(&mut class.queue, index, item, priority.urgency(), expires);
        self.note_queue(index);
        Decision::Wait(ticket)
    }

    fn expired(&mut self, now: u64) -> Option<(T, Refusal)> {
        let is_due = |index: &usize| self.waiting.expires(&self.classes[*index].queue).is_some_and(|at| at <= now);
        let index = self.waiting_classes().find(is_due)?;
        let class = &mut self.classes[index];
        let item = self.waiting.pop_oldest(&mut class.queue)?;
        let refusal = Refusal::new(Reason::QueueTimeout, class.timeout);
        self.note_queue(index);
        Some((item, refusal))
    }

    #[inline]
    fn start(&mut self, index: usize) -> Permit {
        self.running += 1;
        self.classes[index].running += 1;
        Permit { class: ClassIndex::at(index), epoch: self.epoch }
    }

    /// A request of this class goes while others wait: its tag is the time now, the next one's lies behind it.
    fn advance(&mut self, index: usize) {
        let class = &mut self.classes[index];
        let time = &mut self.virtual_times[class.level];
        // A class that had nothing waiting, or was held up by its own limits, gets nothing for that time.
        *time = class.tag.max(*time);
        class.tag = *time + class.step;
    }

    fn note_queue(&mut self, index: usize) {
        let bit = 1 << index;
        if self.waits_none(index) { self.backlogged &= !bit } else { self.backlogged |= bit }
    }

    fn waits_none(&self, index: usize) -> bool {
        self.classes[index].queue.len() == 0
    }

    fn waiting_classes(&self) -> impl Iterator<Item = usize> + use<T> {
        let mut left = self.backlogged;
        std::iter::from_fn(move || {
            let index = (left != 0).then_some(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(index)
        })
    }
}

impl Class {
    fn new(config: &ClassConfig, level: usize) -> Class {
        Class {
            level,
            concurrency: config.concurrency.unwrap_or(u32::MAX),
            running: 0,
            most_waiting: config.queue,
            timeout: config.queue_timeout,
            step: UNIT / u128::from(config.weight),
            tag: 0,
            queue: Queue::new(),
        }
    }

    /// Whether its own limit lets one more start.
    fn may_start(&self) -> bool {
        self.running < self.concurrency
    }
}

/// Classes by their ranks: those of one priority have the same.
fn by_level(classes: &Classes) -> Vec<Class> {
    let configs = classes.configs();
    let mut priorities: Vec<_> = configs.iter().map(|config| config.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let level = |priority| priorities.partition_point(|&other| other < priority);
    configs.iter().map(|config| Class::new(config, level(config.priority))).collect()
}
