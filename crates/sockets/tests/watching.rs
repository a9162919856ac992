//! Descriptors that wake a transport, and come and go while it runs, on both interfaces.

mod common;

use std::os::fd::{AsFd, OwnedFd};

use afpa_engine::{Time, Transport};
use afpa_platform::clock;
use afpa_sockets::Interface;
use common::*;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

on_both_interfaces! {
    fn watched_descriptors_come_and_go(interface) {
        let mut harness = Harness::new(interface, ignore);
        let (first, second) = (bell(), bell());
        for _ in 0..3 {
            harness.sockets.watch(first.as_fd()).expect("a descriptor");
            harness.sockets.watch(second.as_fd()).expect("a descriptor");
            for bell in [&first, &second, &first] {
                harness.idle();
                assert!(!is_woken(&mut harness), "nothing has happened");
                ring(bell);
                assert!(is_woken(&mut harness), "a watched descriptor wakes it");
                harness.pass();
                silence(bell);
            }
            harness.sockets.unwatch(first.as_fd());
            harness.idle();
            ring(&first);
            assert!(!is_woken(&mut harness), "nobody watches it any more");
            ring(&second);
            assert!(is_woken(&mut harness), "the other is still watched");
            harness.sockets.unwatch(second.as_fd());
            harness.idle();
            assert!(!is_woken(&mut harness), "nobody watches it any more");
            [&first, &second].into_iter().for_each(silence);
        }
    }

    fn a_descriptor_can_be_closed_and_its_number_watched_anew(interface) {
        let mut harness = Harness::new(interface, ignore);
        for _ in 0..3 {
            // Each time most likely the same number, and no pass in between.
            let bell = bell();
            harness.sockets.watch(bell.as_fd()).expect("a descriptor");
            ring(&bell);
            harness.sockets.unwatch(bell.as_fd());
        }
        let bell = bell();
        harness.sockets.watch(bell.as_fd()).expect("a descriptor");
        harness.idle();
        assert!(!is_woken(&mut harness));
        ring(&bell);
        assert!(is_woken(&mut harness));
    }
}

fn bell() -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("a descriptor")
}

fn ring(bell: &OwnedFd) {
    rustix::io::write(bell, &1u64.to_ne_bytes()).expect("room");
}

fn silence(bell: &OwnedFd) {
    rustix::io::read(bell, &mut [0; 8]).expect("a signal");
}

/// Whether a pass would not sleep. A ring tells by memory that it shares with the kernel, epoll by its descriptor.
fn is_woken(harness: &mut Harness) -> bool {
    harness.sockets.is_due(Time(clock::now())).unwrap_or_else(|| {
        let descriptor = harness.sockets.descriptor().expect("a descriptor");
        poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&Timespec::default())).expect("a descriptor") > 0
    })
}
