//! Records as a master file has them, in its order.

use std::path::PathBuf;

use super::error::{Reason, ZoneError};
use super::lookup::canonical_order;
use crate::message::{Name, Type};

/// What was read, before it is a zone.
#[derive(Default)]
pub(super) struct RawRecords {
    /// Owners in lower case, and data.
    octets: Vec<u8>,
    records: Vec<RawRecord>,
    /// The zone's file, and those that it includes.
    pub(super) files: Vec<PathBuf>,
}

/// A record; where its parts lie.
#[derive(Clone, Copy)]
pub(super) struct RawRecord {
    owner_at: u32,
    data_at: u32,
    pub(super) ttl: u32,
    pub(super) line: u32,
    pub(super) rtype: Type,
    data_len: u16,
    file: u16,
    owner_len: u8,
}

/// Where an owner lies.
#[derive(Clone, Copy)]
pub(super) struct OwnerAt {
    at: u32,
    len: u8,
}

impl RawRecords {
    /// Keeps an owner, for the records that follow.
    pub(super) fn owner(&mut self, owner: Name<'_>) -> Result<OwnerAt, Reason> {
        let at = self.position()?;
        owner.write_lowercase(&mut self.octets);
        Ok(OwnerAt { at, len: owner.as_wire().len() as u8 })
    }

    /// Keeps a record, the data of which `write` appends.
    pub(super) fn push(
        &mut self,
        owner: OwnerAt,
        rtype: Type,
        ttl: u32,
        place: (u16, u32),
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let data_at = self.position()?;
        write(&mut self.octets)?;
        let data_len = u16::try_from(self.octets.len() - data_at as usize).map_err(|_| Reason::LongData)?;
        let (file, line) = place;
        let OwnerAt { at: owner_at, len: owner_len } = owner;
        self.records.push(RawRecord { owner_at, data_at, ttl, line, rtype, data_len, file, owner_len });
        Ok(())
    }

    /// Gives the record that was kept last another TTL.
    pub(super) fn set_last_ttl(&mut self, ttl: u32) {
        if let Some(record) = self.records.last_mut() {
            record.ttl = ttl;
        }
    }

    /// The owner that was kept.
    pub(super) fn owner_name(&self, owner: OwnerAt) -> Name<'_> {
        Name::kept(&self.octets[owner.at as usize..][..usize::from(owner.len)])
    }

    pub(super) fn name(&self, record: &RawRecord) -> Name<'_> {
        self.owner_name(OwnerAt { at: record.owner_at, len: record.owner_len })
    }

    pub(super) fn data(&self, record: &RawRecord) -> &[u8] {
        &self.octets[record.data_at as usize..][..usize::from(record.data_len)]
    }

    /// What RRset a record belongs to: its type, and of a signature whether it is one. A signature goes with what it
    /// covers (RFC 4034 §3.1.1).
    pub(super) fn belongs_to(&self, record: &RawRecord) -> (Type, bool) {
        match (record.rtype, self.data(record)) {
            (Type::RRSIG, [high, low, ..]) => (Type(u16::from_be_bytes([*high, *low])), true),
            (rtype, _) => (rtype, false),
        }
    }

    /// The records in canonical order of names, by RRset, and as the files had them within one.
    pub(super) fn take_sorted(&mut self, apex: Name<'_>) -> Vec<RawRecord> {
        let suffix = apex.as_wire().len();
        let mut records = std::mem::take(&mut self.records);
        records.sort_by(|left, right| {
            let same_owner = left.owner_at == right.owner_at;
            let owners = || canonical_order(self.name(left).as_wire(), self.name(right).as_wire(), suffix);
            let order = if same_owner { std::cmp::Ordering::Equal } else { owners() };
            order.then_with(|| self.belongs_to(left).cmp(&self.belongs_to(right)))
        });
        records
    }

    /// The error that `record` is.
    pub(super) fn error(&self, record: &RawRecord, reason: Reason) -> ZoneError {
        self.error_at(record.file, record.line, reason)
    }

    pub(super) fn error_at(&self, file: u16, line: u32, reason: Reason) -> ZoneError {
        ZoneError { file: self.files.get(usize::from(file)).cloned().unwrap_or_default(), line, reason }
    }

    fn position(&self) -> Result<u32, Reason> {
        u32::try_from(self.octets.len()).map_err(|_| Reason::LargeZone(u64::from(u32::MAX)))
    }
}
