//! What an engine sees, and what it can never see.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use afpa_cache::{Piece, Refused};
use common::{MIB, body, cache, file, insert, octets, view};

#[test]
fn a_view_finds_what_was_admitted() {
    let cache = cache(MIB, 1);
    let mut view = view(&cache);
    assert!(view.get(b"/a").is_none());
    let object = insert(&cache, "/a", b"payload");
    assert!(view.get(b"/a").is_none());
    let resident = view.admit(object.clone());
    assert_eq!(octets(&resident.body, 0, 11), b"headpayload");
    assert!(Arc::ptr_eq(&view.get(b"/a").expect("admitted").object, &object));
    view.admit(object);
    assert_eq!(view.len(), 1);
}

#[test]
fn a_purged_object_is_not_found_and_its_response_is_completed() {
    let cache = cache(MIB, 1);
    let mut view = view(&cache);
    let sending = view.admit(insert(&cache, "/a", &[7; 1000])).body.clone();
    let Piece::Pinned(pin) = sending.piece_at(0, 100) else { panic!("pinned") };
    cache.purge(b"/a");
    assert!(view.get(b"/a").is_none());
    assert_eq!(view.apply(), 1);
    assert_eq!(view.apply(), 0);
    assert!(view.is_empty());
    insert(&cache, "/b", &[8; 1000]);
    assert_eq!(octets(&sending, 4, 1004), [7; 1000]);
    cache.purge_all();
    drop(sending);
    assert!(cache.stats().pinned >= 1000, "the pin keeps its memory");
    drop(pin);
    assert_eq!((cache.stats().used, view.pins().load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn an_object_that_was_purged_on_its_way_is_lent_and_not_kept() {
    let cache = cache(MIB, 1);
    let mut view = view(&cache);
    let object = insert(&cache, "/a", b"payload");
    cache.purge(b"/a");
    assert_eq!(view.admit(object).body.len(), 11);
    assert!(view.get(b"/a").is_none() && view.is_empty());
}

#[test]
fn an_older_object_does_not_displace_a_newer_one() {
    let cache = cache(MIB, 1);
    let mut view = view(&cache);
    let older = insert(&cache, "/a", b"older");
    let newer = insert(&cache, "/a", b"newer");
    view.admit(newer.clone());
    view.admit(older);
    view.apply();
    assert!(Arc::ptr_eq(&view.get(b"/a").expect("newer").object, &newer));
}

#[test]
fn the_waker_is_called_once_for_many_invalidations_and_again_for_the_rest() {
    let cache = cache(8 * MIB, 2);
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let mut holding = cache.view(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let mut other = cache.view(Arc::new(|| panic!("a view that holds nothing is not woken")));
    for number in 0..1000u32 {
        holding.admit(insert(&cache, number.to_be_bytes(), b"payload"));
    }
    assert_eq!((cache.purge_all(), calls.load(Ordering::Relaxed)), (1000, 1));
    let first = holding.apply();
    assert!(first > 0 && first < 1000, "{first} applied at once");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let mut applied = first;
    while !holding.is_empty() {
        applied += holding.apply();
    }
    assert_eq!((applied, other.apply()), (1000, 0));
    assert_eq!(cache.stats().used, 0);
}

#[test]
fn an_engine_does_not_close_files() {
    let cache = cache(MIB, 1);
    let mut view = view(&cache);
    let source = file(b"contents");
    let body = cache.fill_file(b"head", source.clone(), 8).expect("room");
    let sending = view.admit(cache.insert(b"/a", body, Arc::new(0))).body.clone();
    cache.purge_all();
    cache.stats();
    view.apply();
    drop(sending);
    assert_eq!(Arc::strong_count(&source), 2, "a worker has yet to close it");
    cache.stats();
    assert_eq!(Arc::strong_count(&source), 1);
}

#[test]
fn a_dropped_view_makes_room_for_another() {
    let cache = cache(MIB, 1);
    let mut first = view(&cache);
    first.admit(insert(&cache, "/a", b"payload"));
    drop(first);
    cache.purge_all();
    assert_eq!(cache.stats().used, 0);
    let mut second = view(&cache);
    assert!(second.get(b"/a").is_none());
}

#[test]
fn pinned_memory_is_not_given_to_others() {
    let cache = cache(MIB, 1);
    let mut view = view(&cache);
    let mut sending = Vec::new();
    let mut number = 0u32;
    let refused = loop {
        match cache.fill(b"", 50_000) {
            Ok(mut filling) => {
                filling.read_from(&mut &[number as u8; 50_000][..]).expect("enough");
                let object = cache.insert(&number.to_be_bytes(), filling.finish(), Arc::new(0));
                sending.push((number, view.admit(object).body.clone()));
                number += 1;
            }
            Err(refused) => break refused,
        }
        view.apply();
    };
    assert_eq!(refused, Refused::Full);
    assert!(number >= 15, "{number} bodies of 50,000 octets in 1 MiB");
    for (number, body) in &sending {
        assert!(octets(body, 0, body.len()).iter().all(|&octet| octet == *number as u8));
    }
    sending.clear();
    while view.apply() > 0 {}
    assert!(cache.fill(b"", 50_000).is_ok());
}

/// Workers replace and purge while engines look up, admit late, and send. No engine may find a
/// version older than the last purge that it knows to be over, nor octets of another version.
#[test]
fn engines_never_find_what_was_purged_before() {
    const KEYS: u64 = 8;
    const VERSIONS: u64 = 1500;
    let cache = cache(MIB, 2);
    let oldest: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let done = Arc::new(AtomicBool::new(false));
    let engine = |seed: u64| {
        let (cache, oldest, done) = (cache.clone(), oldest.clone(), done.clone());
        move || {
            let mut view = view(&cache);
            let mut late = Vec::new();
            let mut step = seed;
            while !done.load(Ordering::Acquire) {
                step += 1;
                let key = step % KEYS;
                let at_least = oldest[key as usize].load(Ordering::Acquire);
                if let Some(resident) = view.get(&key.to_be_bytes()) {
                    let version = **resident.object.details();
                    assert!(version >= at_least, "version {version} found after {at_least} was purged in");
                    let body = resident.body.clone();
                    let sent = octets(&body, 0, body.len());
                    assert!(sent.chunks(8).all(|chunk| chunk == version.to_be_bytes()), "torn");
                } else if let Some(object) = cache.lookup(&key.to_be_bytes()) {
                    late.push(object);
                }
                if step.is_multiple_of(5) {
                    for object in late.drain(..) {
                        view.admit(object);
                    }
                }
                if step.is_multiple_of(3) {
                    view.apply();
                }
            }
        }
    };
    let engines = [thread::spawn(engine(0)), thread::spawn(engine(3))];
    for version in 1..=VERSIONS {
        for key in 0..KEYS {
            cache.purge(&key.to_be_bytes());
            oldest[key as usize].store(version, Ordering::Release);
            let payload = version.to_be_bytes().repeat(40);
            if let Ok(mut filling) = cache.fill(b"", payload.len() as u64) {
                filling.read_from(&mut &payload[..]).expect("enough");
                cache.insert(&key.to_be_bytes(), filling.finish(), Arc::new(version));
            }
        }
    }
    done.store(true, Ordering::Release);
    for engine in engines {
        engine.join().expect("no version found that was purged");
    }
    cache.purge_all();
    assert_eq!(cache.stats().used, 0);
}

#[test]
fn a_body_outside_the_store_can_be_held() {
    let cache = cache(MIB, 1);
    let view = view(&cache);
    let held = view.hold(body(&cache, b"head", b"once"));
    assert_eq!(octets(&held, 0, 8), b"headonce");
    drop(held);
    assert_eq!(cache.stats().used, 0);
}
