//! The hit path allocates nothing.

mod common;

use afpa_cache::Piece;
use afpa_platform::testing::CountingAllocator;
use common::{MIB, cache, insert, view};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_hit_allocates_nothing() {
    let cache = cache(8 * MIB, 1);
    let mut view = view(&cache);
    for number in 0..1000u32 {
        view.admit(insert(&cache, number.to_be_bytes(), &[1; 1024]));
    }
    view.admit(insert(&cache, "large", &[2; 200_000]));
    let before = CountingAllocator::allocations();
    let mut octets = 0;
    for number in 0..2000u32 {
        let applied = view.apply();
        let key = number.to_be_bytes();
        let key = if number % 10 == 0 { &b"large"[..] } else { &key[..] };
        if let Some(resident) = view.get(key) {
            let body = resident.body.clone();
            let mut position = 0;
            while position < body.len() {
                let Piece::Pinned(pin) = body.piece_at(position, body.len()) else { break };
                position += pin.len() as u64;
                octets += pin.clone().into_slice().len() + applied;
            }
        }
    }
    let allocations = CountingAllocator::allocations() - before;
    assert_eq!(octets, 900 * 1028 + 200 * 200_004);
    assert_eq!(allocations, 0);
}
