//! Rings, jobs, bits, holds and regions against what they stand for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;

use afpa_channel::job_ring::{Job, Receive, Received, Source};
use afpa_channel::layout::{JOBS, MAX_QUEUES, RECEIVES, header};
use afpa_channel::slot::{Accepted, command, state};
use afpa_channel::{Geometry, Region};
use afpa_platform::foreign::ForeignMemory;
use proptest::prelude::*;
use proptest::sample::Index;

fn region() -> Region {
    Region::create(Geometry::new(2048, 2, 70, 3, 4096).unwrap()).unwrap()
}

/// The region as the application has it.
fn opened(region: &Region) -> Region {
    Region::open(region.descriptor().try_clone_to_owned().unwrap()).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Read(usize),
}

proptest! {
    #[test]
    fn a_byte_ring_is_a_queue(
        first in prop_oneof![any::<u32>(), (u32::MAX - 20_000)..=u32::MAX],
        steps in prop::collection::vec(
            prop_oneof![(0..5000usize).prop_map(Step::Write), (0..5000usize).prop_map(Step::Read)], 1..60),
    ) {
        let server = region();
        let application = opened(&server);
        let (producer, consumer) = (application.slot(5).send_ring(), server.slot(5).send_ring());
        let (mut produced, mut consumed, mut next, mut queue) = (first, first, 0u8, VecDeque::new());
        producer.publish(produced);
        consumer.consume(consumed);
        for step in steps {
            let room = producer.writable(produced).unwrap();
            let readable = consumer.readable(consumed).unwrap();
            prop_assert_eq!(readable as usize, queue.len());
            prop_assert_eq!(room + readable, producer.size());
            match step {
                Step::Write(count) => {
                    let octets: Vec<_> = (0..count.min(room as usize)).map(|at| next.wrapping_add(at as u8)).collect();
                    producer.write(produced, &octets);
                    prop_assert_eq!(consumer.readable(consumed).unwrap(), readable, "seen before it is published");
                    produced = produced.wrapping_add(octets.len() as u32);
                    producer.publish(produced);
                    next = next.wrapping_add(octets.len() as u8);
                    queue.extend(octets);
                }
                Step::Read(count) => {
                    let mut octets = vec![0; count.min(readable as usize)];
                    consumer.read(consumed, &mut octets);
                    prop_assert_eq!(&octets, &queue.drain(..octets.len()).collect::<Vec<_>>());
                    consumed = consumed.wrapping_add(octets.len() as u32);
                    consumer.consume(consumed);
                }
            }
        }
    }

    #[test]
    fn jobs_are_done_in_their_order(
        steps in prop::collection::vec((any::<bool>(), 0..3u8, any::<(u32, u64, u64, u32)>()), 1..100),
    ) {
        let server = region();
        let application = opened(&server);
        let (poster, doer) = (application.slot(7), server.slot(7));
        let (mut queue, mut done) = (VecDeque::new(), 0);
        for (posts, kind, (number, offset, length, after)) in steps {
            if posts {
                let source = [Source::Memory, Source::File, Source::Object][usize::from(kind)](number);
                let job = Job { source, offset, length, after };
                let posted = poster.post_job(job);
                prop_assert_eq!(posted, (queue.len() < JOBS as usize).then_some(done + queue.len() as u32));
                queue.extend(posted.map(|_| job));
            } else if let Some(job) = queue.pop_front() {
                prop_assert_eq!(doer.server_job(done).unwrap(), job);
                done += 1;
                doer.server_jobs_done(done);
            }
            prop_assert_eq!(doer.server_jobs(done).unwrap() as usize, queue.len());
            prop_assert_eq!(poster.jobs_done(), done);
        }
    }

    #[test]
    fn receives_have_their_results(
        steps in prop::collection::vec((any::<bool>(), 0..4u8, any::<(u32, u64, u32)>()), 1..100),
    ) {
        let server = region();
        let application = opened(&server);
        let (poster, doer) = (application.slot(2047), server.slot(2047));
        let (mut queue, mut done) = (VecDeque::new(), 0);
        for (posts, kind, (memory, offset, length)) in steps {
            if posts {
                let receive = Receive { memory, offset, length };
                let posted = poster.post_receive(receive);
                prop_assert_eq!(posted, (queue.len() < RECEIVES as usize).then_some(done + queue.len() as u32));
                queue.extend(posted.map(|_| receive));
            } else if let Some(receive) = queue.pop_front() {
                prop_assert_eq!(doer.server_receive(done), receive);
                let results = [Received::Octets(length), Received::InRing, Received::Failed, Received::Invalid];
                doer.server_received(done, results[usize::from(kind)]);
                prop_assert_eq!(poster.received(done), Ok(results[usize::from(kind)]));
                done += 1;
            }
            prop_assert_eq!(doer.server_receives(done).unwrap() as usize, queue.len());
            prop_assert_eq!(poster.receives_done(), done);
        }
    }

    #[test]
    fn a_bitmap_is_a_set(steps in prop::collection::vec((0..8u8, any::<Index>()), 1..200)) {
        let server = region();
        let application = opened(&server);
        let (here, there) = (server.attend_bits(1), application.attend_bits(1));
        let mut set = BTreeSet::new();
        for (step, slot) in steps {
            let slot = slot.index(2048) as u32;
            match step {
                0 => {
                    let mut taken = Vec::new();
                    here.take(|slot| taken.push(slot));
                    prop_assert_eq!(taken, std::mem::take(&mut set).into_iter().collect::<Vec<_>>());
                    prop_assert!(!there.any());
                }
                1 => prop_assert_eq!(here.clear(slot), set.remove(&slot)),
                _ => {
                    there.set(slot);
                    set.insert(slot);
                    prop_assert!(here.any());
                }
            }
        }
        let mut others = 0;
        [server.attend_bits(0), server.happened_bits(0), server.happened_bits(69)].into_iter().for_each(|bits| bits.take(|_| others += 1));
        prop_assert_eq!(others, 0);
    }

    #[test]
    fn holds_are_a_set_for_each_process(steps in prop::collection::vec((0..3u32, 0..5u8, 0..2048u32), 1..200)) {
        let server = region();
        let application = opened(&server);
        let mut sets = vec![BTreeSet::new(); 3];
        for (process, step, slot) in steps {
            let holds = application.holds(process);
            match step {
                0 => {
                    holds.release(slot);
                    sets[process as usize].remove(&slot);
                }
                1 => {
                    let other = (process + 1) % 3;
                    holds.copy_to(&application.holds(other));
                    let copied = sets[process as usize].clone();
                    sets[other as usize].extend(copied);
                }
                _ => {
                    holds.hold(slot);
                    sets[process as usize].insert(slot);
                }
            }
            prop_assert!((0..3).all(|process| server.holds(process).has(slot) == sets[process as usize].contains(&slot)));
        }
        for (process, set) in sets.into_iter().enumerate() {
            let mut held = Vec::new();
            server.holds(process as u32).each(|slot| held.push(slot));
            prop_assert_eq!(held, set.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_region_opens_as_it_was_made(
        slots in 1..3000u32, engines in 1..=64u32, queues in 1..=256u32, processes in 1..=256u32, ring in 4096..100_000u32,
    ) {
        let geometry = Geometry::new(slots, engines, queues, processes, ring).unwrap();
        let region = Region::create(geometry).unwrap();
        prop_assert_eq!(opened(&region).geometry(), geometry);
        prop_assert!(geometry.slots() >= slots && geometry.ring() >= ring);
    }

    #[test]
    fn a_header_that_says_anything_else_is_refused(word in 0..7usize, value: u32) {
        let region = region();
        let at = [header::MAGIC, header::VERSION, header::SLOTS, header::ENGINES, header::QUEUES, header::PROCESSES,
            header::RING][word];
        for value in [value, 0, 1, u32::MAX, 1 << 31] {
            let before = region.memory().atomic_u32(at).swap(value, Ordering::AcqRel);
            let opened = Region::open(region.descriptor().try_clone_to_owned().unwrap());
            // Fewer engines, queues or processes may leave the size as it is: a region all the same.
            let is_one = |opened: &Region| {
                [header::ENGINES, header::QUEUES, header::PROCESSES].contains(&at)
                    && opened.geometry().size() == region.geometry().size()
            };
            let keeps = if value == before { opened.is_ok() } else { opened.as_ref().map_or(true, is_one) };
            prop_assert!(keeps, "{value} at {at}");
            region.memory().atomic_u32(at).store(before, Ordering::Release);
        }
    }
}

#[test]
fn what_is_no_region_is_refused() {
    let size = region().geometry().size();
    for length in [1, 4095, 4096, 8192, size] {
        let memory = ForeignMemory::create(length).unwrap();
        assert!(Region::open(memory.descriptor().try_clone_to_owned().unwrap()).is_err(), "{length} octets of zeros");
    }
    // A region in memory that is longer, and one in memory that could be taken away.
    let geometry = region().geometry();
    let longer = Region::format(ForeignMemory::create(size + 4096).unwrap(), geometry);
    assert!(Region::open(longer.descriptor().try_clone_to_owned().unwrap()).is_err());
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    assert!(Region::open(pipe).is_err());
    let unsealed = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&unsealed, size as u64).unwrap();
    assert!(Region::open(unsealed).is_err());
}

#[test]
fn nothing_of_the_last_use_is_left_in_a_slot() {
    let server = region();
    let application = opened(&server);
    let (ours, theirs) = (server.slot(3), application.slot(3));
    ours.server_begin(1, 1, state::CONNECTED);
    ours.server_addresses("10.0.0.1:80".parse().unwrap(), "[2001:db8::1]:5000".parse().unwrap());
    assert_eq!((theirs.generation(), theirs.engine(), theirs.state()), (1, 1, state::CONNECTED));
    assert_eq!(theirs.local().unwrap(), "10.0.0.1:80".parse().unwrap());
    assert_eq!(theirs.peer().unwrap(), "[2001:db8::1]:5000".parse().unwrap());
    [theirs.receive_ring(), ours.receive_ring()].into_iter().for_each(|ring| {
        ring.publish(7);
        ring.consume(5);
    });
    theirs.send_ring().publish(4);
    (0..MAX_QUEUES).for_each(|queue| theirs.subscribe(queue, queue % 2 == 0));
    theirs.wait(true);
    theirs.want(9);
    theirs.command(theirs.generation(), command::CLOSE);
    theirs.post_job(Job { source: Source::File(1), offset: 2, length: 3, after: 4 });
    theirs.post_receive(Receive { memory: 1, offset: 2, length: 3 });
    (0..12).for_each(|index| theirs.scratch(index).store(1, Ordering::Relaxed));
    theirs.send_lock().store(5, Ordering::Relaxed);
    ours.server_jobs_done(1);
    ours.server_received(0, Received::Failed);
    ours.server_fail(104, state::CONNECTED);
    assert_eq!((theirs.state(), theirs.error()), (state::CONNECTED | state::FAILED, 104));
    ours.server_end(2);
    assert_eq!(theirs.generation(), 2);
    ours.server_begin(3, 0, state::LISTENING);
    assert_eq!((theirs.generation(), theirs.engine(), theirs.state()), (3, 0, state::LISTENING));
    assert_eq!((theirs.error(), theirs.commands(), ours.server_wanted()), (0, 0, 0));
    assert_eq!((theirs.taken(), theirs.given(), theirs.sent()), (0, 0, 0));
    assert_eq!((theirs.jobs_posted(), theirs.jobs_done(), theirs.receives_done()), (0, 0, 0));
    assert_eq!((ours.receive_ring().readable(0), ours.server_receives(0)), (Ok(0), Ok(0)));
    assert!((0..8).all(|word| ours.server_subscribers(word) == (0, 0)) && !ours.server_waited_for());
    assert!((0..12).all(|index| theirs.scratch(index).load(Ordering::Relaxed) == 0));
    assert!(theirs.local().is_err() && theirs.peer().is_err(), "no address yet");
    assert_eq!((theirs.send_lock().load(Ordering::Relaxed), theirs.receive_lock().load(Ordering::Relaxed)), (0, 0));
    let neighbours = [2, 4].map(|slot| (application.slot(slot).generation(), application.slot(slot).commands()));
    assert_eq!(neighbours, [(0, 0); 2]);
}

/// Tells of slot 1; which queues were rung, and which have it among their bits.
fn told(region: &Region) -> (Vec<u32>, Vec<u32>) {
    let (mut rung, mut have) = (Vec::new(), Vec::new());
    region.tell(region.slot(1), |queue| rung.push(queue));
    for queue in 0..region.geometry().queues() {
        region.happened_bits(queue).take(|slot| have.extend((slot == 1).then_some(queue)));
    }
    (rung, have)
}

#[test]
fn queues_are_told_as_they_have_subscribed() {
    let server = region();
    let application = opened(&server);
    let slot = application.slot(1);
    assert_eq!(told(&server), (vec![], vec![]));
    [0, 31, 32, 69].into_iter().for_each(|queue| slot.subscribe(queue, false));
    [31, 69].into_iter().for_each(|queue| application.queue_bell(queue).sleep());
    assert_eq!(told(&server), (vec![31, 69], vec![0, 31, 32, 69]));
    assert_eq!(told(&server), (vec![], vec![0, 31, 32, 69]), "rung once");
    [0, 31, 32, 69].into_iter().for_each(|queue| slot.unsubscribe(queue));
    // Of exclusive ones one that sleeps, or all if none does.
    [2, 40, 41].into_iter().for_each(|queue| slot.subscribe(queue, true));
    assert_eq!(told(&server), (vec![], vec![2, 40, 41]));
    [40, 41].into_iter().for_each(|queue| application.queue_bell(queue).sleep());
    assert_eq!(told(&server), (vec![40], vec![40]));
    assert_eq!(told(&server), (vec![41], vec![41]));
    // Beyond the geometry's queues there is nobody.
    [70, MAX_QUEUES - 1].into_iter().for_each(|queue| slot.subscribe(queue, false));
    assert_eq!(told(&server).1, [2, 40, 41]);
}

#[test]
fn an_engine_that_sleeps_is_rung_until_it_is_awake() {
    let server = region();
    let application = opened(&server);
    let slot = application.slot(9);
    server.slot(9).server_move(1);
    assert_eq!(application.attend(slot), None);
    server.engine_bell(1).sleep();
    assert_eq!(application.attend(slot), Some(1));
    assert_eq!(application.attend(slot), Some(1), "who was told before may not live to ring");
    server.engine_bell(1).wake();
    assert_eq!(application.attend(slot), None);
    let mut taken = Vec::new();
    server.attend_bits(1).take(|slot| taken.push(slot));
    assert_eq!(taken, [9]);
}

#[test]
fn accepted_connections_go_through_a_ring() {
    let server = region();
    let application = opened(&server);
    let ring = server.slot(0).receive_ring();
    let accepted = Accepted { slot: 17, generation: u32::MAX };
    ring.write(4092, &accepted.encode());
    let mut octets = [0; 8];
    application.slot(0).receive_ring().read(4092, &mut octets);
    assert_eq!(Accepted::decode(octets), accepted);
}

#[test]
fn that_a_region_has_ended_is_seen() {
    let server = region();
    let application = opened(&server);
    assert!(!application.has_ended());
    server.end();
    assert!(application.has_ended());
}
