//! What a module sees of the store and of bodies.

mod common;

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use afpa_cache::{Cache, CacheConfig, Piece, Refused};
use common::{MIB, body, cache, file, insert, octets, view};
use proptest::prelude::*;

#[test]
fn what_is_inserted_is_found_until_it_is_purged() {
    let cache = cache(MIB, 1);
    let object = cache.insert(b"/a", body(&cache, b"head", b"payload"), Arc::new(7));
    let found = cache.lookup(b"/a").expect("inserted");
    assert!(Arc::ptr_eq(&object, &found));
    assert_eq!((found.key(), **found.details(), found.body().len()), (&b"/a"[..], 7, 11));
    assert!(cache.lookup(b"/b").is_none());
    assert!(cache.purge(b"/a"));
    assert!(!cache.purge(b"/a"));
    assert!(cache.lookup(b"/a").is_none() && found.is_dead());
}

#[test]
fn a_newer_object_replaces_an_older_one() {
    let cache = cache(MIB, 1);
    let older = insert(&cache, "/a", b"older");
    let newer = insert(&cache, "/a", b"newer");
    assert!(older.is_dead() && !newer.is_dead());
    assert!(Arc::ptr_eq(&cache.lookup(b"/a").expect("newer"), &newer));
    assert_eq!(cache.stats().objects, 1);
}

#[test]
fn purges_take_what_they_name() {
    let cache = cache(MIB, 1);
    for key in ["/a/1", "/a/2", "/b/1", "/b/2", "/c"] {
        insert(&cache, key, key.as_bytes());
    }
    assert_eq!(cache.purge_prefix(b"/a/"), 2);
    assert_eq!(cache.purge_if(|object| object.key().ends_with(b"2")), 1);
    let mut keys = Vec::new();
    cache.for_each(|object| keys.push(String::from_utf8_lossy(object.key()).into_owned()));
    keys.sort();
    assert_eq!(keys, ["/b/1", "/c"]);
    assert_eq!(cache.purge_all(), 2);
    assert_eq!(cache.purge_all(), 0);
}

#[test]
fn a_body_is_shared_by_keys_and_counted_once() {
    let cache = cache(4 * MIB, 1);
    let shared = body(&cache, b"head", &[1; 300_000]);
    let alone = cache.stats().pinned;
    for key in [b"/1", b"/2", b"/3"] {
        cache.insert(key, shared.clone(), Arc::new(0));
    }
    drop(shared);
    assert_eq!(cache.stats().pinned, alone);
    cache.purge(b"/1");
    cache.purge(b"/2");
    assert_eq!(cache.stats().pinned, alone);
    cache.purge(b"/3");
    assert_eq!(cache.stats().pinned, 0);
}

#[test]
fn an_unfinished_filling_returns_its_memory() {
    let cache = cache(MIB, 1);
    let mut filling = cache.fill(b"head", 100_000).expect("room");
    filling.write_all(&[1; 5000]).expect("room");
    assert_eq!(filling.remaining(), 95_000);
    drop(filling);
    assert_eq!(cache.stats().used, 0);
}

#[test]
#[should_panic(expected = "not written to its end")]
fn a_body_that_is_not_written_is_not_sealed() {
    cache(MIB, 1).fill(b"head", 10).expect("room").finish();
}

#[test]
fn a_payload_that_is_too_short_or_too_long_is_noticed() {
    let cache = cache(MIB, 1);
    let mut filling = cache.fill(b"head", 100).expect("room");
    let short = filling.read_from(&mut &[0; 99][..]).expect_err("a source that ends early");
    assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
    let mut filling = cache.fill(b"head", 100).expect("room");
    let long = filling.write_all(&[0; 101]).expect_err("more than was announced");
    assert_eq!(long.kind(), ErrorKind::WriteZero);
}

#[test]
fn what_is_too_large_is_refused_and_goes_by_file() {
    let cache = cache(64 * MIB, 1);
    assert_eq!(cache.fill(b"head", MIB + 1).expect_err("one octet too much"), Refused::TooLarge { limit: MIB });
    assert_eq!(cache.fill(b"", u64::MAX).expect_err("too large"), Refused::TooLarge { limit: MIB });
    let contents: Vec<u8> = (0..3 * MIB).map(|i| (i % 251) as u8).collect();
    let body = cache.fill_file(b"head", file(&contents), contents.len() as u64).expect("room for the head");
    let view = view(&cache);
    let held = view.hold(body);
    assert_eq!((held.head_len(), held.len()), (4, 4 + 3 * MIB));
    assert!(octets(&held, 0, held.len()) == [b"head", &contents[..]].concat());
    assert_eq!(octets(&held, 2, 5), [b'a', b'd', 0]);
    let Piece::File { offset, length, .. } = held.piece_at(10, 1_000_000) else { panic!("the payload is a file") };
    assert_eq!((offset, length), (6, 999_990));
}

#[test]
fn a_body_takes_at_most_an_eighth_of_a_small_cache() {
    assert_eq!(cache(MIB, 1).fill(b"", 200_000).expect_err("too large"), Refused::TooLarge { limit: MIB / 8 });
}

#[test]
fn files_kept_open_are_bounded() {
    let cache = cache(8 * MIB, 1);
    cache.set_max_files(3);
    let source = file(b"contents");
    for key in 0..10u8 {
        let body = cache.fill_file(b"head", source.clone(), 8).expect("room");
        cache.insert(&[key], body, Arc::new(0));
    }
    assert_eq!((cache.stats().files, Arc::strong_count(&source)), (3, 4));
    assert!(cache.lookup(&[6]).is_none() && cache.lookup(&[7]).is_some());
    cache.purge_all();
    assert_eq!((cache.stats().files, Arc::strong_count(&source)), (0, 1));
}

#[test]
fn what_was_read_before_a_purge_is_not_inserted_after_it() {
    let cache = cache(MIB, 1);
    let since = cache.purges();
    let early = body(&cache, b"", b"early");
    cache.purge(b"/a");
    let early = cache.insert_unless_purged(since, b"/a", early, Arc::new(0)).expect_err("there was a purge");
    assert!(cache.lookup(b"/a").is_none());
    assert!(cache.insert_unless_purged(cache.purges(), b"/a", early, Arc::new(0)).is_ok());
}

#[test]
fn a_full_cache_evicts_and_never_exceeds_its_capacity() {
    let cache = cache(2 * MIB, 2);
    for number in 0..20_000u32 {
        insert(&cache, number.to_be_bytes(), &[number as u8; 500]);
        let stats = cache.stats();
        assert!(stats.used <= stats.capacity, "{} octets used of {}", stats.used, stats.capacity);
    }
    let stats = cache.stats();
    assert!(stats.objects > 800, "{} objects of about 1 KiB in 2 MiB", stats.objects);
    assert_eq!(stats.objects + stats.evictions, 20_000);
    assert_eq!((stats.admissions, stats.rejections), (20_000, 0));
    cache.purge_all();
    assert_eq!(cache.stats().used, 0);
}

#[test]
fn workers_at_once_do_not_exceed_the_capacity() {
    let cache = cache(2 * MIB, 1);
    let fill = |worker: u32| {
        let cache = cache.clone();
        move || {
            for number in 0..3000u32 {
                let key = [worker.to_be_bytes(), number.to_be_bytes()].concat();
                let payload = vec![1; (number * 7919 % 40_000) as usize];
                // Where others fill at the same time there may be no room for a moment.
                if let Ok(mut filling) = cache.fill(b"head", payload.len() as u64) {
                    filling.write_all(&payload).expect("room for the payload");
                    cache.insert(&key, filling.finish(), Arc::new(0));
                }
                let stats = cache.stats();
                assert!(stats.used <= stats.capacity, "{} octets used of {}", stats.used, stats.capacity);
            }
        }
    };
    let workers: Vec<_> = (0..4).map(|worker| std::thread::spawn(fill(worker))).collect();
    for worker in workers {
        worker.join().expect("the ceiling holds");
    }
    assert!(cache.stats().objects > 20);
    cache.purge_all();
    assert_eq!(cache.stats().used, 0);
}

#[test]
fn room_is_found_when_sizes_change() {
    let cache = cache(8 * MIB, 1);
    let sizes = [200, 60_000, 3_000, 100_000, 700, 30_000, 64];
    for (round, size) in sizes.into_iter().cycle().take(14).enumerate() {
        let count = 3 * 8 * MIB as usize / (size + 500);
        for number in 0..count {
            insert(&cache, format!("{round}/{number}"), &vec![round as u8; size]);
        }
        let held = cache.stats().pinned;
        assert!(held > 3 * MIB || size < 1000, "{held} octets pinned with objects of {size}");
    }
    assert_eq!(cache.stats().rejections, 0);
}

#[test]
fn a_hot_set_survives_a_scan() {
    let cache = cache(8 * MIB, 1);
    let mut view = view(&cache);
    for key in 0..300u32 {
        let object = insert(&cache, key.to_be_bytes(), &[0; 8000]);
        view.admit(object);
        view.get(&key.to_be_bytes());
        view.get(&key.to_be_bytes());
    }
    for cold in 1000..10_000u32 {
        view.apply();
        view.admit(insert(&cache, cold.to_be_bytes(), &[0; 8000]));
        view.get(&(cold % 300).to_be_bytes());
    }
    let left = (0..300u32).filter(|key| cache.lookup(&key.to_be_bytes()).is_some()).count();
    assert!(left >= 295, "{left} of 300 hot objects are left after a scan of 9000");
}

#[test]
fn what_is_kept_about_an_object_is_small() {
    let cache: Arc<Cache<[u64; 4]>> =
        Cache::new(CacheConfig { capacity: 64 * MIB, max_pinned_object: MIB, engines: 1, frames: 0 }).expect("a cache");
    for number in 0..1000u32 {
        let body = cache.fill(&[0; 64], 0).expect("room").finish();
        cache.insert(&number.to_be_bytes(), body, Arc::new([0; 4]));
    }
    let stats = cache.stats();
    let overhead = (stats.used - stats.pinned) / 1000;
    println!("{overhead} octets beside each object's own");
    assert!(overhead <= 1024, "{overhead} octets beside each object's own");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_range_of_a_body_is_what_was_written(
        head in prop::collection::vec(any::<u8>(), 0..500),
        len in prop_oneof![0..2000usize, 65_000..66_000usize, 0..400_000usize],
        seed in any::<u64>(),
        cuts in (0.0..=1.0f64, 0.0..=1.0f64),
        chunk in 1..100_000usize,
    ) {
        let cache = cache(16 * MIB, 1);
        let payload: Vec<u8> = (0..len as u64).map(|i| (i.wrapping_mul(seed | 1) >> 7) as u8).collect();
        let mut filling = cache.fill(&head, len as u64).expect("room");
        for chunk in payload.chunks(chunk) {
            filling.write_all(chunk).expect("room");
        }
        let whole = [&head[..], &payload[..]].concat();
        let held = view(&cache).hold(filling.finish());
        prop_assert_eq!((held.head_len(), held.len()), (head.len() as u64, whole.len() as u64));
        let cut = |part: f64| (whole.len() as f64 * part) as u64;
        let (start, end) = (cut(cuts.0.min(cuts.1)), cut(cuts.0.max(cuts.1)));
        prop_assert!(octets(&held, start, end) == whole[start as usize..end as usize]);
        if start < end && let Piece::Pinned(pin) = held.piece_at(start, end) {
            prop_assert_eq!(pin.sum(0..pin.len()) % 0xffff, afpa_cache::checksum::sum(&pin) % 0xffff);
        }
    }
}
