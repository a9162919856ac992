//! Authoritative zones: read from master files as a whole, answered from memory.
//!
//! A [`Zone`] is built once, on a worker, and never changes: a reload makes another. It keeps its names in canonical
//! order, owners in lower case, every record's data as it goes into a message, and a table of names. Nothing is
//! allocated for an answer.

mod answer;
mod build;
mod data;
mod denial;
mod error;
mod limits;
mod lookup;
mod master;
mod raw;
mod scanner;
mod sets;
mod transfer;
mod zones;

pub use answer::Answered;
pub use error::{Reason, ZoneError};
pub use limits::Limits;
pub use sets::Zone;
pub use transfer::{Transfer, TransferRecord};
pub use zones::Zones;

use std::path::Path;

use crate::message::Name;

/// Reads `data` as a master file, whose zone is its first owner or the root; what is a zone is transferred and asked.
///
/// # Panics
/// If a promise is broken: a record of a zone that is not there when it is asked for.
pub fn fuzz_zone(data: &[u8]) {
    let limits = Limits { file_octets: 1 << 20 };
    for apex in [&b"\x07example\x00"[..], b"\x00"] {
        let Ok(zone) = Zone::parse(Name::kept(apex), Path::new("fuzz"), data, limits) else { continue };
        let mut records = 0;
        for record in zone.transfer() {
            assert!(record.owner.is_within(zone.apex()));
            records += 1;
            zone.fuzz_question(record.owner, record.rtype);
        }
        assert_eq!(records, zone.record_count() + 1, "a transfer has each record, and the SOA twice");
    }
}
