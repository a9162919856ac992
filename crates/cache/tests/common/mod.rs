//! What the tests of the cache have in common.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use afpa_cache::{Body, Cache, CacheConfig, Object, Piece, ResidentBody, View};
use afpa_platform::source::SourceFile;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn cache(capacity: u64, engines: usize) -> Arc<Cache<u64>> {
    Cache::new(CacheConfig { capacity, max_pinned_object: MIB, engines, frames: 0 }).expect("a cache")
}

pub(crate) fn view(cache: &Arc<Cache<u64>>) -> View<u64> {
    cache.view(Arc::new(|| {}))
}

pub(crate) fn body(cache: &Cache<u64>, head: &[u8], payload: &[u8]) -> Arc<Body> {
    let mut filling = cache.fill(head, payload.len() as u64).expect("room");
    filling.write_all(payload).expect("room for the payload");
    filling.finish()
}

pub(crate) fn insert(cache: &Cache<u64>, key: impl AsRef<[u8]>, payload: &[u8]) -> Arc<Object<u64>> {
    cache.insert(key.as_ref(), body(cache, b"head", payload), Arc::new(0))
}

/// Octets from `start` to `end` of head and payload, as a sender would take them.
pub(crate) fn octets(body: &ResidentBody, start: u64, end: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut position = start;
    while position < end {
        let before = octets.len();
        match body.piece_at(position, end) {
            Piece::Pinned(pin) => {
                assert!(!pin.is_empty() && pin.len() <= 64 * 1024);
                octets.extend_from_slice(&pin);
            }
            Piece::File { file, offset, length } => {
                let mut bytes = vec![0; length as usize];
                file.read_at(&mut bytes, offset).expect("a long enough file");
                octets.extend_from_slice(&bytes);
            }
        }
        position += (octets.len() - before) as u64;
    }
    octets
}

pub(crate) fn file(contents: &[u8]) -> Arc<SourceFile> {
    let path = std::env::temp_dir().join(format!("afpa-cache-{}-{:p}", std::process::id(), &contents));
    let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&path).expect("a file");
    std::fs::remove_file(&path).expect("just created");
    file.write_all(contents).and_then(|()| file.rewind()).expect("a small file");
    Arc::new(SourceFile::new(file).expect("a version"))
}
