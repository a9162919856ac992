//! What `poll` says.

use crate::errno::Errno;
use crate::socket::Role;
use crate::stack::Stack;

/// One entry of `poll`'s array: a descriptor, what is asked, and what is so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interest {
    pub(crate) descriptor: i32,
    pub(crate) asked: i16,
    pub(crate) found: i16,
}

/// Fills in what is so, and counts the entries of which something is.
pub(crate) fn check(stack: &Stack, interests: &mut [Interest]) -> usize {
    for interest in interests.iter_mut() {
        let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        interest.found = match interest.descriptor {
            ..0 => 0,
            descriptor => readiness(stack, descriptor).unwrap_or(libc::POLLNVAL) & (interest.asked | always),
        };
    }
    interests.iter().filter(|interest| interest.found != 0).count()
}

fn readiness(stack: &Stack, descriptor: i32) -> Result<i16, Errno> {
    const IN: i16 = libc::POLLIN | libc::POLLRDNORM;
    const OUT: i16 = libc::POLLOUT | libc::POLLWRNORM;
    let socket = stack.socket(descriptor)?;
    let mut found = 0;
    match &socket.role {
        Role::Fresh => found |= libc::POLLHUP | OUT,
        Role::Listening { queue, .. } => {
            if !queue.is_empty() {
                found |= IN;
            }
        }
        Role::Connected(connection) => {
            let is_over = connection.ended.is_some();
            if connection.is_finished || socket.is_deaf {
                found |= IN | libc::POLLRDHUP;
            } else if stack.unread(socket) > 0 {
                found |= IN;
            }
            if stack.is_writable(socket) || connection.has_shut_down {
                found |= OUT;
            }
            if is_over || (connection.is_finished && connection.has_shut_down) {
                found |= libc::POLLHUP;
            }
            if connection.error.is_some() {
                found |= libc::POLLERR;
            }
        }
    }
    Ok(found)
}
