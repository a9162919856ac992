//! The hit path allocates nothing.

use std::sync::Arc;

use afpa_dns::cache::{Freshness, Image, KeyFlags, Policy, Request, key};
use afpa_dns::message::{Query, Section, Type, flag};
use afpa_platform::testing::CountingAllocator;

use crate::keeping::{cache, key_of};
use crate::messages::{RESPONSE, answer, at, prepared, query};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_hit_allocates_nothing_whether_it_fits_or_not() {
    let (owner, other) = ("www.example.", "a.example.");
    let text = [vec![200], vec![b'x'; 200]].concat();
    let records = [
        (Section::Answer, owner, Type::TXT, 300, text.clone()),
        (Section::Authority, owner, Type::TXT, 300, text.clone()),
        (Section::Additional, owner, Type::TXT, 300, text.clone()),
        (Section::Additional, other, Type::TXT, 300, text),
    ];
    let cache = cache();
    let prepared = prepared(&answer(RESPONSE, (owner, Type::TXT), &records), &Policy::default());
    let object = prepared.insert(&cache, &key_of(owner, Type::TXT), cache.purges(), at(0)).unwrap();
    let mut view = cache.view(Arc::new(|| ()));
    view.admit(object);
    let message = query(7, flag::RD, ("WWW.example.", Type::TXT), Some((4096, false)));
    let (mut octets, mut out) = (Vec::with_capacity(512), Vec::with_capacity(4096));
    let (before, mut hits) = (CountingAllocator::allocations(), 0);
    for limit in [300, 512, 700, 4096] {
        let query = Query::read(&message).unwrap();
        key(&query.question.unwrap(), KeyFlags::of(&query), None, &mut octets);
        let Some(resident) = view.get(&octets) else { continue };
        let request = Request { query: &query, limit, udp_size: 1232, options: &[] };
        let served = Image::of(&resident.object).serve(&request, at(1), &mut out);
        hits += u64::from(served.freshness == Freshness::Fresh);
    }
    let allocations = CountingAllocator::allocations() - before;
    assert_eq!((hits, allocations), (4, 0));
}
