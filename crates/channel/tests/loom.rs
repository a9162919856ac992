//! The protocol under every order that the memory model allows.

mod loom_support;

use std::sync::atomic::Ordering;

use afpa_channel::byte_ring::ByteRing;
use afpa_channel::layout::words;
use afpa_channel::lock::try_lock;
use afpa_channel::{Geometry, Memory, Word};
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;
use loom_support::{LoomMemory, is_alive, live_for, model, region};

/// An eventfd, or whatever rings.
#[derive(Clone)]
struct Ring(Arc<AtomicU32>);

impl Ring {
    fn new() -> Ring {
        Ring(Arc::new(AtomicU32::new(0)))
    }

    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn has_rung(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

#[test]
fn a_byte_ring_loses_and_invents_nothing() {
    const SIZE: u32 = 2;
    const FIRST: u32 = u32::MAX - 1;
    fn ring(memory: &LoomMemory) -> ByteRing<'_, LoomMemory> {
        ByteRing::new(memory, 0, 4, 8, SIZE)
    }
    model(3, || {
        let memory = Arc::new(LoomMemory::new([0, 4], 8..8 + SIZE as usize));
        ring(&memory).publish(FIRST);
        ring(&memory).consume(FIRST);
        let producer = thread::spawn({
            let memory = memory.clone();
            move || {
                let ring = ring(&memory);
                let mut produced = FIRST;
                for octet in 1..=4 {
                    while ring.writable(produced).unwrap() == 0 {
                        thread::yield_now();
                    }
                    ring.write(produced, &[octet]);
                    produced = produced.wrapping_add(1);
                    ring.publish(produced);
                }
            }
        });
        let (ring, mut consumed, mut got) = (ring(&memory), FIRST, Vec::new());
        while got.len() < 4 {
            let readable = ring.readable(consumed).unwrap();
            if readable == 0 {
                thread::yield_now();
                continue;
            }
            let mut octets = vec![0; readable as usize];
            ring.read(consumed, &mut octets);
            got.extend(octets);
            consumed = consumed.wrapping_add(readable);
            ring.consume(consumed);
        }
        assert_eq!(got, [1, 2, 3, 4]);
        producer.join().unwrap();
    });
}

/// Whatever a producer was about to do when it was killed, the ring holds what it has published and nothing else, and
/// who takes over goes on from there.
#[test]
fn who_is_killed_leaves_a_whole_ring() {
    const FIRST: u32 = u32::MAX;
    fn ring(memory: &LoomMemory) -> ByteRing<'_, LoomMemory> {
        ByteRing::new(memory, 0, 4, 12, 4)
    }
    for life in 1..=6 {
        model(3, move || {
            let memory = Arc::new(LoomMemory::new([0, 4], 12..16));
            ring(&memory).publish(FIRST);
            ring(&memory).consume(FIRST);
            let producer = thread::spawn({
                let memory = memory.clone();
                move || {
                    live_for(life);
                    ring(&memory).write(FIRST, &[1, 2]);
                    ring(&memory).publish(FIRST.wrapping_add(2));
                    ring(&memory).write(FIRST.wrapping_add(2), &[3, 4]);
                    ring(&memory).publish(FIRST.wrapping_add(4));
                }
            });
            let check = |whole: &[u32]| {
                let readable = ring(&memory).readable(FIRST).unwrap();
                assert!(whole.contains(&readable), "{readable} octets");
                let mut octets = vec![0; readable as usize];
                ring(&memory).read(FIRST, &mut octets);
                assert_eq!(octets, [1, 2, 3, 4][..readable as usize]);
            };
            check(&[0, 2, 4]);
            producer.join().unwrap();
            check(&[life / 3 * 2]);
        });
    }
}

fn attend_words(geometry: Geometry) -> Vec<usize> {
    let bits = geometry.attend_bits(0);
    vec![geometry.engine_bell(0), bits, bits + 4, geometry.slot(0) + words::ENGINE, geometry.slot(1) + words::ENGINE]
}

/// An engine that looks, announces sleep, looks once more and sleeps; two applications' threads that have something
/// for it, of which the first dies after so many operations. What the other one has is seen, or the engine rung.
fn nobody_sleeps_through(life: u32) {
    model(3, move || {
        let (region, doorbell) = (region(1, attend_words), Ring::new());
        let setter = |slot: u32, life: u32| {
            let (region, doorbell) = (region.clone(), doorbell.clone());
            thread::spawn(move || {
                live_for(life);
                if region.attend(region.slot(slot)).is_some() && is_alive() {
                    doorbell.ring();
                }
            })
        };
        let setters = [setter(0, life), setter(1, u32::MAX)];
        let (bits, bell, mut seen) = (region.attend_bits(0), region.engine_bell(0), Vec::new());
        bell.sleep();
        let is_asleep = !bits.any();
        if !is_asleep {
            bell.wake();
            bits.take(|slot| seen.push(slot));
        }
        setters.into_iter().for_each(|setter| setter.join().unwrap());
        assert!(!is_asleep || doorbell.has_rung(), "asleep, and nobody rings");
        bits.take(|slot| seen.push(slot));
        assert!(seen.contains(&1), "what the survivor had was lost");
        assert!(life < u32::MAX || seen.contains(&0), "what the first had was lost");
    });
}

#[test]
fn no_wake_up_is_lost() {
    nobody_sleeps_through(u32::MAX);
}

#[test]
fn who_is_killed_takes_nobody_elses_wake_up_along() {
    (1..=4).for_each(nobody_sleeps_through);
}

/// The engine wakes and sleeps again while two threads tell it of the same slot.
#[test]
fn what_is_set_while_bits_are_taken_is_seen_later() {
    model(3, || {
        let region = region(1, attend_words);
        let told = Arc::new(AtomicU32::new(0));
        let setter = thread::spawn({
            let (region, told) = (region.clone(), told.clone());
            move || {
                for count in 1..=2 {
                    told.store(count, Ordering::Relaxed);
                    region.attend(region.slot(0));
                }
            }
        });
        let (bits, mut last) = (region.attend_bits(0), 0);
        for _ in 0..2 {
            bits.take(|_| last = told.load(Ordering::Relaxed));
        }
        setter.join().unwrap();
        bits.take(|_| last = told.load(Ordering::Relaxed));
        assert_eq!(last, 2);
    });
}

#[test]
fn of_two_that_let_go_at_once_one_sees_that_nobody_is_left() {
    model(3, || {
        let region = region(1, |geometry| vec![geometry.holds(0), geometry.holds(1)]);
        (0..2).for_each(|process| region.holds(process).hold(3));
        let let_go = |process: u32, region: &afpa_channel::Region<LoomMemory>| {
            region.holds(process).release(3);
            !region.holds(1 - process).has(3)
        };
        let other = thread::spawn({
            let region = region.clone();
            move || let_go(1, &region)
        });
        let one = let_go(0, &region);
        assert!(other.join().unwrap() | one, "both believe that the other one is left");
    });
}

fn queue_words(geometry: Geometry) -> Vec<usize> {
    let (bits, slot) = (geometry.happened_bits(0), geometry.slot(0));
    let of_slot = [words::SUBSCRIBERS, words::EXCLUSIVE, words::RECEIVED, words::WAITS, words::SENT, words::STATE];
    let mut all = vec![geometry.queue_bell(0), bits, bits + 4];
    all.extend(of_slot.map(|word| slot + word));
    all
}

/// Something happens while a queue subscribes: the subscriber sees it, or is told.
fn a_subscriber_misses_nothing(exclusive: bool) {
    model(3, move || {
        let (region, bell) = (region(1, queue_words), Ring::new());
        let server = thread::spawn({
            let (region, bell) = (region.clone(), bell.clone());
            move || {
                region.slot(0).receive_ring().publish(1);
                region.tell(region.slot(0), |_| bell.ring());
            }
        });
        let slot = region.slot(0);
        slot.subscribe(0, exclusive);
        let seen = slot.receive_ring().readable(0).unwrap() == 1;
        region.queue_bell(0).sleep();
        let is_asleep = !seen && !region.happened_bits(0).any();
        server.join().unwrap();
        assert!(!is_asleep || bell.has_rung(), "asleep, and nobody rings");
    });
}

#[test]
fn a_subscriber_sees_what_happened_or_is_told() {
    a_subscriber_misses_nothing(false);
    a_subscriber_misses_nothing(true);
}

/// Two wait for room, and one goes its way: the other one still waits.
#[test]
fn who_waits_no_more_takes_nobody_elses_wait_back() {
    model(3, || {
        let region = region(1, queue_words);
        let other = thread::spawn({
            let region = region.clone();
            move || {
                region.slot(0).begin_wait();
                region.slot(0).end_wait();
            }
        });
        let slot = region.slot(0);
        slot.begin_wait();
        other.join().unwrap();
        assert!(slot.server_waited_for());
        slot.end_wait();
        assert!(!slot.server_waited_for());
    });
}

#[test]
fn who_waits_for_room_sees_it_or_is_told() {
    model(3, || {
        let region = region(1, queue_words);
        let server = thread::spawn({
            let region = region.clone();
            move || {
                region.slot(0).send_ring().consume(1);
                region.slot(0).server_waited_for()
            }
        });
        let slot = region.slot(0);
        slot.wait(true);
        let seen = slot.sent() == 1;
        assert!(server.join().unwrap() || seen);
    });
}

#[test]
fn what_a_lock_guards_is_handed_over_with_it() {
    model(3, || {
        let memory = Arc::new(LoomMemory::new([0, 4], 0..0));
        let add = |memory: &LoomMemory, thread: u32| {
            let _guard = loop {
                match try_lock(memory.word(0), thread) {
                    Some(guard) => break guard,
                    None => thread::yield_now(),
                }
            };
            let count = memory.word(4).load(Ordering::Relaxed);
            memory.word(4).store(count + 1, Ordering::Relaxed);
        };
        let other = thread::spawn({
            let memory = memory.clone();
            move || add(&memory, 2)
        });
        add(&memory, 1);
        other.join().unwrap();
        assert_eq!(memory.word(4).load(Ordering::Relaxed), 2);
    });
}
