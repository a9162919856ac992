//! Images in the platform's cache: keys, purges, failures.

use std::sync::Arc;
use std::time::Duration;

use afpa_cache::{Cache, CacheConfig};
use afpa_dns::cache::{
    Details, Freshness, Image, KeyFlags, Kind, NotKept, Policy, Prepared, Request, Subnet, is_of_name, is_within, key,
};
use afpa_dns::message::{Class, Query, Question, Section, Type, flag};

use crate::messages::{RESPONSE, answer, at, name, prepared, query, served, ttls};

const WEB: (&str, Type) = ("www.example.", Type::A);

fn cache() -> Arc<Cache<Details>> {
    let config = CacheConfig { capacity: 4 << 20, max_pinned_object: 1 << 17, engines: 1, frames: 0 };
    Cache::new(config).unwrap()
}

fn key_of(owner: &str, rtype: Type) -> Vec<u8> {
    let owner = name(owner);
    let mut octets = vec![1, 2, 3];
    let question = Question { name: owner.as_name(), qtype: rtype, qclass: Class::IN };
    key(&question, KeyFlags::new(true, false, false), None, &mut octets);
    octets
}

fn positive(owner: &str, ttl: u32) -> Prepared {
    let policy = Policy { stale: Duration::from_secs(1000), ..Policy::default() };
    prepared(
        &answer(RESPONSE, (owner, Type::A), &[(Section::Answer, owner, Type::A, ttl, vec![192, 0, 2, 1])]),
        &policy,
    )
}

fn failure(seconds: u64) -> Prepared {
    let owner = name(WEB.0);
    let question = Question { name: owner.as_name(), qtype: WEB.1, qclass: Class::IN };
    Prepared::failure(&question, afpa_dns::message::Rcode::SERVFAIL, None, &Policy::default(), at(seconds)).unwrap()
}

#[test]
fn questions_that_have_one_answer_have_one_key_and_others_have_others() {
    let mut keys = Vec::new();
    let subnets = [
        None,
        Some(Subnet::of([192, 0, 2, 0].into(), 24)),
        Some(Subnet::of([192, 0, 2, 0].into(), 25)),
        Some(Subnet::of([192, 0, 2, 128].into(), 25)),
        Some(Subnet::of([0; 16].into(), 0)),
        Some(Subnet::of([0; 4].into(), 0)),
    ];
    for owner in ["example.", "a.example.", "."] {
        for (rtype, class) in [(Type::A, Class::IN), (Type::AAAA, Class::IN), (Type::A, Class::CH)] {
            for flags in 0..8 {
                for subnet in &subnets {
                    let owner = name(owner);
                    let question = Question { name: owner.as_name(), qtype: rtype, qclass: class };
                    let mut octets = Vec::new();
                    let flags = KeyFlags::new(flags & 1 > 0, flags & 2 > 0, flags & 4 > 0);
                    key(&question, flags, subnet.as_ref(), &mut octets);
                    keys.push(octets);
                }
            }
        }
    }
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
    assert_eq!(key_of("WWW.Example.", Type::A), key_of("www.example.", Type::A));
    assert_eq!(Subnet::of([192, 0, 2, 77].into(), 24), Subnet::of([192, 0, 2, 200].into(), 24));
    assert_eq!(Subnet::of([192, 0, 2, 77].into(), 99), Subnet::of([192, 0, 2, 77].into(), 32));
}

#[test]
fn flags_of_a_query_are_rd_cd_and_do() {
    for bits in 0..8 {
        let (rd, cd, dnssec) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
        let flags = if rd { flag::RD } else { 0 } | if cd { flag::CD } else { 0 } | flag::AD;
        let octets = query(9, flags, WEB, Some((1232, dnssec)));
        assert_eq!(KeyFlags::of(&Query::read(&octets).unwrap()), KeyFlags::new(rd, cd, dnssec));
    }
}

#[test]
fn images_are_purged_by_name_and_by_subtree() {
    let cache = cache();
    for owner in ["example.", "www.example.", "a.www.example.", "notexample.", "www.example.net."] {
        for rtype in [Type::A, Type::AAAA] {
            positive(owner, 300).insert(&cache, &key_of(owner, rtype), cache.purges(), at(0)).unwrap();
        }
    }
    let (of_name, of_tree) = (name("WWW.example."), name("EXAMPLE."));
    assert_eq!(cache.purge_if(|object| is_of_name(object.key(), of_name.as_name())), 2);
    assert!(cache.lookup(&key_of("a.www.example.", Type::A)).is_some());
    assert_eq!(cache.purge_if(|object| is_within(object.key(), of_tree.as_name())), 4);
    assert!(cache.lookup(&key_of("notexample.", Type::A)).is_some());
    assert!(cache.lookup(&key_of("www.example.net.", Type::A)).is_some());
}

#[test]
fn a_kept_image_is_served_as_the_prepared_one_is() {
    let cache = cache();
    let prepared = positive(WEB.0, 300);
    let object = prepared.insert(&cache, &key_of(WEB.0, WEB.1), cache.purges(), at(0)).unwrap();
    let octets = query(3, flag::RD, WEB, Some((1232, false)));
    let query = Query::read(&octets).unwrap();
    let mut answer = Vec::new();
    Image::of(&object).serve(&Request::over_udp(&query, 1232, &[]), at(100), &mut answer);
    assert_eq!(answer, served(&prepared, &octets, 100).1);
    assert_eq!(ttls(&answer)[0].2, 200);
}

#[test]
fn what_has_no_life_or_came_before_a_purge_is_not_kept() {
    let cache = cache();
    let key = key_of(WEB.0, WEB.1);
    let before = cache.purges();
    assert_eq!(positive(WEB.0, 0).insert(&cache, &key, before, at(0)).err(), Some(NotKept::Lifeless));
    cache.purge_all();
    assert_eq!(positive(WEB.0, 300).insert(&cache, &key, before, at(0)).err(), Some(NotKept::Purged));
    assert!(cache.lookup(&key).is_none());
}

#[test]
fn the_longest_message_is_kept_in_one_piece() {
    let text = [vec![255], vec![b'x'; 255]].concat();
    let records = (0..240).map(|_| (Section::Answer, WEB.0, Type::TXT, 300, text.clone())).collect::<Vec<_>>();
    let prepared = prepared(&answer(RESPONSE, (WEB.0, Type::TXT), &records), &Policy::default());
    let cache = cache();
    let object = prepared.insert(&cache, &key_of(WEB.0, Type::TXT), cache.purges(), at(0)).unwrap();
    let octets = query(3, 0, (WEB.0, Type::TXT), None);
    let query = Query::read(&octets).unwrap();
    let mut answer = Vec::new();
    Image::of(&object).serve(&Request::over_stream(&query, 1232, &[]), at(1), &mut answer);
    assert!(answer.len() > 64_000);
    assert!(ttls(&answer).iter().all(|record| record.2 == 299));
}

#[test]
fn a_failed_refresh_leaves_the_answer_and_is_not_repeated_for_half_a_minute() {
    // RFC 8767 §5.
    let cache = cache();
    let key = key_of(WEB.0, WEB.1);
    positive(WEB.0, 300).insert(&cache, &key, cache.purges(), at(0)).unwrap();
    for (seconds, freshness) in [(280, Freshness::Fresh), (400, Freshness::Stale)] {
        let object = failure(seconds).insert(&cache, &key, cache.purges(), at(seconds)).unwrap();
        let details = object.details();
        assert_eq!((details.kind(), details.lifetime()), (Kind::Positive, 300));
        assert_eq!(details.freshness(at(seconds)), freshness);
        assert!(!details.wants_refresh(at(seconds + 29)));
        assert!(details.wants_refresh(at(seconds + 30)));
    }
    let object = failure(1300).insert(&cache, &key, cache.purges(), at(1300)).unwrap();
    assert_eq!(object.details().kind(), Kind::Failure, "too old to be served");
}

#[test]
fn failures_that_follow_each_other_are_kept_longer_and_longer() {
    // RFC 9520 §3.2.
    let cache = cache();
    let key = key_of(WEB.0, WEB.1);
    let mut now = 0;
    let mut lifetimes = Vec::new();
    for _ in 0..8 {
        let object = failure(now).insert(&cache, &key, cache.purges(), at(now)).unwrap();
        lifetimes.push(object.details().lifetime());
        now += u64::from(object.details().lifetime());
    }
    assert_eq!(lifetimes, [5, 10, 20, 40, 80, 160, 300, 300]);
    now += 1000;
    let object = failure(now).insert(&cache, &key, cache.purges(), at(now)).unwrap();
    assert_eq!(object.details().lifetime(), 5, "after a while it is a new one");
    let answer = positive(WEB.0, 300).insert(&cache, &key, cache.purges(), at(now)).unwrap();
    assert_eq!(answer.details().kind(), Kind::Positive, "an answer ends it");
}
