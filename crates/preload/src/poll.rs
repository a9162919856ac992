//! poll(2) and select(2) of descriptors some of which are the TCP server's.

use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, pollfd};
use rustix::io::Errno;

use crate::application::{Application, Socket};
use crate::epoll::{self, timespec};
use crate::queues::Borrowed;
use crate::raw::{self, Mask};
use crate::table;

/// Descriptors of the kernel that are waited for without an allocation.
const FEW: usize = 32;
/// How long who cannot be told sleeps at most.
const PATIENCE: Duration = Duration::from_millis(1);
const NOBODY: pollfd = pollfd { fd: -1, events: 0, revents: 0 };

/// Whether some of them are more than the kernel's.
#[inline]
pub(crate) fn concerns(descriptors: &[pollfd]) -> bool {
    !table::is_empty() && descriptors.iter().any(|polled| is_ours(polled.fd))
}

fn is_ours(descriptor: RawFd) -> bool {
    match table::get(descriptor) {
        Some(entry) if entry.is_socket() => true,
        _ => epoll::get(descriptor).is_some_and(|instance| !instance.is_kernels()),
    }
}

/// poll(2).
pub(crate) fn poll(descriptors: &mut [pollfd], timeout: Option<Duration>, mask: Mask) -> Result<usize, Errno> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut few = [NOBODY; FEW + 1];
    let mut many;
    let kernel = if descriptors.len() <= FEW {
        &mut few[..=descriptors.len()]
    } else {
        many = vec![NOBODY; descriptors.len() + 1];
        &mut many[..]
    };
    leave_to_kernel(descriptors, kernel);
    let others = kernel.iter().any(|polled| polled.fd >= 0);
    let mut ready = look(descriptors);
    let at_once = timeout.is_some_and(|timeout| timeout.is_zero());
    if others && (ready > 0 || at_once) {
        raw::ppoll(kernel, Some(timespec(Duration::ZERO)), Mask::NONE)?;
    }
    if ready == 0 && !at_once {
        ready = wait(descriptors, kernel, deadline, mask)?;
    }
    Ok(ready + merge(descriptors, kernel))
}

/// What the kernel is asked: all about what is its own, and whether there is room on sockets on which the program sends.
fn leave_to_kernel(descriptors: &[pollfd], kernel: &mut [pollfd]) {
    for (ours, theirs) in kernel.iter_mut().zip(descriptors) {
        let events = if is_ours(theirs.fd) { room_asked(theirs) } else { theirs.events };
        let is_asked = events != 0 || !is_ours(theirs.fd);
        *ours = pollfd { fd: if is_asked { theirs.fd } else { -1 }, events, revents: 0 };
    }
}

fn room_asked(polled: &pollfd) -> i16 {
    Socket::get(polled.fd).map_or(0, |socket| socket.asks_kernel(polled.events as u16 as u32) as i16)
}

/// What the kernel has told, for the program. Returns how many more are ready.
fn merge(descriptors: &mut [pollfd], kernel: &[pollfd]) -> usize {
    let mut ready = 0;
    for (theirs, ours) in descriptors.iter_mut().zip(kernel).filter(|(_, ours)| ours.fd >= 0) {
        let before = theirs.revents;
        // Of what is not its own, it is asked for room alone, and tells more.
        theirs.revents |= if is_ours(theirs.fd) { ours.revents & ours.events } else { ours.revents };
        ready += usize::from(before == 0 && theirs.revents != 0);
    }
    ready
}

/// Looks at those that are the TCP server's.
fn look(descriptors: &mut [pollfd]) -> usize {
    let mut ready = 0;
    for polled in descriptors {
        polled.revents = 0;
        if let Some(socket) = Socket::get(polled.fd) {
            polled.revents = socket.events(polled.events as u16 as u32) as i16 & (polled.events | POLLERR | POLLHUP);
        } else if epoll::get(polled.fd).is_some_and(|instance| !instance.is_kernels() && instance.is_ready()) {
            polled.revents = POLLIN & polled.events;
        }
        ready += usize::from(polled.revents != 0);
    }
    ready
}

fn wait(
    descriptors: &mut [pollfd],
    kernel: &mut [pollfd],
    deadline: Option<Instant>,
    mask: Mask,
) -> Result<usize, Errno> {
    let application = descriptors.iter().find_map(|polled| Socket::get(polled.fd)).map(|socket| socket.application);
    let borrowed = application.and_then(|application| Some((application, application.queues().borrow(application)?)));
    if let Some((application, borrowed)) = &borrowed {
        subscribe(descriptors, application, borrowed, true);
    }
    let result = wait_told(descriptors, kernel, deadline, mask, borrowed.as_ref());
    if let Some((application, borrowed)) = &borrowed {
        subscribe(descriptors, application, borrowed, false);
    }
    result
}

fn wait_told(
    descriptors: &mut [pollfd],
    kernel: &mut [pollfd],
    deadline: Option<Instant>,
    mask: Mask,
    told: Option<&(&'static Application, Borrowed<'_>)>,
) -> Result<usize, Errno> {
    let last = kernel.len() - 1;
    let nested = |polled: &pollfd| epoll::get(polled.fd).is_some_and(|instance| !instance.is_kernels());
    // Sockets of another server, and epoll instances, do not ring this doorbell.
    let blind = told.is_none_or(|(application, _)| {
        descriptors.iter().any(|polled| {
            nested(polled)
                || Socket::get(polled.fd).is_some_and(|socket| socket.application.index() != application.index())
        })
    });
    loop {
        if let Some((_, borrowed)) = told {
            borrowed.queue().take(|_| {});
        }
        leave_to_kernel(descriptors, kernel);
        let ready = look(descriptors);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if ready > 0 || left.is_some_and(|left| left.is_zero()) {
            raw::ppoll(kernel, Some(timespec(Duration::ZERO)), Mask::NONE)?;
            return Ok(ready);
        }
        let may = told.is_none_or(|(_, borrowed)| borrowed.queue().sleep());
        let result = if may {
            kernel[last].fd = told.map_or(-1, |(_, borrowed)| borrowed.queue().doorbell().as_raw_fd());
            kernel[last].events = POLLIN;
            let left = if blind { Some(left.unwrap_or(PATIENCE).min(PATIENCE)) } else { left };
            raw::ppoll(kernel, left.map(timespec), mask)
        } else {
            Ok(0)
        };
        if let Some((application, borrowed)) = told {
            borrowed.queue().wake();
            if may && kernel[last].revents != 0 && borrowed.queue().drain().is_err() {
                application.lose();
            }
        }
        kernel[last] = NOBODY;
        result?;
        if may && kernel[..last].iter().any(|polled| polled.revents != 0) {
            return Ok(look(descriptors));
        }
    }
}

fn subscribe(descriptors: &[pollfd], application: &'static Application, borrowed: &Borrowed<'_>, on: bool) {
    for polled in descriptors {
        if let Some(socket) = Socket::get(polled.fd).filter(|socket| socket.application.index() == application.index())
        {
            application.each_slot(socket.entry, |channel| {
                if on { borrowed.queue().subscribe(channel, false) } else { borrowed.queue().unsubscribe(channel) }
            });
        }
    }
}

/// A set of descriptors of select(2).
pub(crate) struct Set<'a> {
    words: &'a mut [u64],
}

impl<'a> Set<'a> {
    pub(crate) fn new(words: &'a mut [u64]) -> Set<'a> {
        Set { words }
    }

    fn has(&self, descriptor: usize) -> bool {
        self.words.get(descriptor / 64).is_some_and(|word| word >> (descriptor % 64) & 1 != 0)
    }
}

/// What each of the three sets of select(2) asks for, and what it is told for (select(2), "Correspondence").
const ASKED: [i16; 3] = [POLLIN, libc::POLLOUT, libc::POLLPRI];
const TOLD: [i16; 3] =
    [POLLIN | libc::POLLRDNORM | POLLHUP | POLLERR, libc::POLLOUT | libc::POLLWRNORM | POLLERR, libc::POLLPRI];

/// select(2): what the sets ask for, as poll(2) has it.
pub(crate) fn selected(count: usize, sets: &[Set<'_>; 3]) -> Vec<pollfd> {
    let mut selected = Vec::new();
    for descriptor in 0..count {
        let asked = (0..3).filter(|at| sets[*at].has(descriptor)).fold(0, |events, at| events | ASKED[at]);
        if asked != 0 {
            selected.push(pollfd { fd: descriptor as RawFd, events: asked, revents: 0 });
        }
    }
    selected
}

/// Writes what came of it into the sets; returns how many bits are set.
pub(crate) fn select(selected: &[pollfd], sets: &mut [Set<'_>; 3]) -> Result<usize, Errno> {
    if selected.iter().any(|polled| polled.revents & POLLNVAL != 0) {
        return Err(Errno::BADF);
    }
    let mut count = 0;
    for set in sets.iter_mut() {
        set.words.fill(0);
    }
    for polled in selected {
        for (at, set) in sets.iter_mut().enumerate() {
            if polled.events & ASKED[at] != 0 && polled.revents & TOLD[at] != 0 {
                set.words[polled.fd as usize / 64] |= 1 << (polled.fd % 64);
                count += 1;
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_become_polls_and_come_back() {
        let (mut read, mut write) = ([1 << 3 | 1 << 5, 1], [1 << 5, 0]);
        let mut sets = [Set::new(&mut read), Set::new(&mut write), Set::new(&mut [])];
        let mut polled = selected(65, &sets);
        let asked: Vec<_> = polled.iter().map(|polled| (polled.fd, polled.events)).collect();
        assert_eq!(asked, [(3, POLLIN), (5, POLLIN | libc::POLLOUT), (64, POLLIN)]);
        polled[1].revents = libc::POLLOUT;
        polled[2].revents = POLLHUP;
        assert_eq!(select(&polled, &mut sets), Ok(2));
        assert_eq!((read, write), ([0, 1], [1 << 5, 0]));
    }

    #[test]
    fn a_descriptor_that_is_none_is_an_error() {
        let polled = [pollfd { fd: 3, events: POLLIN, revents: POLLNVAL }];
        assert_eq!(select(&polled, &mut [Set::new(&mut []), Set::new(&mut []), Set::new(&mut [])]), Err(Errno::BADF));
    }
}
