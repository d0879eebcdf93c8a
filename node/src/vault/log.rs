//! Reading the journal back while the office is open: who did what, and how a record came to be what it is.

use super::open::JOURNAL_FOLDER;
use super::sealing::{Kind, Record, Sealed};
use super::writer::{HISTORY, about_place};
use super::{About, Shared, Vault, VaultError};
use crate::journal::{Entry, EntryKind, ReadError, Reader, Verified};
use casemesh_crypto::{seal, wire};
use casemesh_protocol::id::RecordId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Versions of one record that are read back.
const VERSIONS_MAX: usize = 500;

/// An entry of the journal, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number.
    pub number: u64,
    /// Who, when, what, about which record.
    pub about: About,
    /// Whether it changed something; otherwise somebody looked, or was refused.
    pub changed: bool,
}

/// A row of the store, by the record that stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// What kind of record.
    pub kind: Kind,
    /// Under which record it is kept.
    pub parent: RecordId,
    /// Which.
    pub id: RecordId,
}

impl Row {
    /// The row of a record of a type.
    pub fn of<R: Record>(parent: RecordId, id: RecordId) -> Self {
        Self { kind: R::KIND, parent, id }
    }
}

/// What an entry of the journal wrote into a row.
pub struct Past<'v> {
    /// Into which row.
    pub row: Row,
    /// The entry.
    pub entry: LogEntry,
    /// Whether there are older versions that are not read.
    pub is_cut: bool,
    key: &'v [u8],
    value: Option<&'v [u8]>,
    shared: &'v Shared,
}

impl Past<'_> {
    /// The record as it stood then: none where it was erased since, and none inside where this entry removed it.
    ///
    /// # Errors
    /// When it does not open.
    pub fn record<R: Record>(&self) -> Result<Option<Option<Sealed<R>>>, VaultError> {
        match self.value.map(|value| self.shared.open_record::<R>(self.key, value)) {
            None => Ok(Some(None)),
            Some(Ok(version)) => Ok(Some(Some(version))),
            Some(Err(VaultError::Erased)) => Ok(None),
            Some(Err(error)) => Err(error),
        }
    }
}

/// A version of a record: the entry that made it, and the record; none where it was removed.
pub type Version<R> = (LogEntry, Option<Sealed<R>>);

impl Vault {
    /// The number of the last entry.
    pub fn last_entry(&self) -> u64 {
        self.shared.counters.entries.load(Ordering::Relaxed)
    }

    /// Entries from one number to another, both included. Segments outside are not read.
    ///
    /// # Errors
    /// When the journal is damaged.
    pub fn entries(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, VaultError> {
        let mut found = Vec::new();
        let wanted = from..to.saturating_add(1);
        let overlaps = |segment: Range<u64>| segment.start < wanted.end && wanted.start < segment.end;
        self.walk(overlaps, wanted.end, |number, entry| {
            if wanted.contains(&number) {
                found.extend(self.log_entry(number, &entry)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The versions of a record, oldest first. What was erased is left out.
    ///
    /// # Errors
    /// When the journal is damaged.
    pub fn versions<R: Record>(&self, parent: RecordId, id: RecordId) -> Result<Vec<Version<R>>, VaultError> {
        let mut versions = Vec::new();
        self.each_version(&[Row::of::<R>(parent, id)], VERSIONS_MAX, |written| {
            if let Some(version) = written.record::<R>()? {
                versions.push((written.entry.clone(), version));
            }
            Ok(())
        })?;
        Ok(versions)
    }

    /// Gives the latest versions of some rows, at most so many of each, to `visit`, oldest first, in one reading of the segments
    /// that have any.
    ///
    /// # Errors
    /// When the journal is damaged, or `visit` fails.
    pub fn each_version(
        &self,
        rows: &[Row],
        most: usize,
        mut visit: impl FnMut(&Past<'_>) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut keys: BTreeMap<Vec<u8>, (Row, u64, bool)> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for row in rows {
            let key = self.shared.row_key(row.kind, row.parent, row.id);
            let prefix = [&[HISTORY], key.as_slice()].concat();
            let mut of_row = Vec::new();
            self.shared.store.scan(&prefix, &mut |row, _| {
                of_row.extend(row.last_chunk::<8>().map(|number| u64::from_be_bytes(*number)));
                true
            })?;
            let is_cut = of_row.len() > most;
            let kept = of_row.split_off(of_row.len().saturating_sub(most));
            keys.insert(key, (*row, kept.first().copied().unwrap_or(u64::MAX), is_cut));
            numbers.extend(kept);
        }
        self.read_numbers(&numbers, |number, entry| {
            let Some(log) = self.log_entry(number, &entry)? else { return Ok(()) };
            for write in &entry.writes {
                if let Some((row, oldest, is_cut)) = keys.get(&write.key).filter(|(_, oldest, _)| number >= *oldest) {
                    let (entry, value) = (log.clone(), write.value.as_deref());
                    let is_cut = *is_cut && number == *oldest;
                    visit(&Past { row: *row, entry, is_cut, key: &write.key, value, shared: &self.shared })?;
                }
            }
            Ok(())
        })
    }

    /// Checks the whole journal as it stands: hashes, chain, Merkle tree, and every checkpoint's signature.
    ///
    /// # Errors
    /// At the first thing that does not hold.
    pub fn verify_journal(&self) -> Result<Verified, VaultError> {
        let file = self.key_file().map_err(super::writer::key_error)?;
        let office = file.office_keys().map_err(|_| VaultError::DamagedRecord)?;
        let folder = self.shared.folder.join(JOURNAL_FOLDER);
        let verified = crate::journal::verify(&folder, self.shared.keys.database, &office.node_keys(), |_| ());
        verified.map_err(failed)
    }

    /// Reads the entries with these numbers; segments that have none of them are passed over.
    fn read_numbers(
        &self,
        numbers: &BTreeSet<u64>,
        mut visit: impl FnMut(u64, Entry) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let has_any = |segment: Range<u64>| !segment.is_empty() && numbers.range(segment).next().is_some();
        let end = numbers.last().map_or(0, |last| last + 1);
        self.walk(has_any, end, |number, entry| if numbers.contains(&number) { visit(number, entry) } else { Ok(()) })
    }

    /// Reads the segments that are wanted, up to the entry `end`: what lies behind it may be damaged, and keeps nobody from this.
    fn walk(
        &self,
        wanted: impl Fn(Range<u64>) -> bool,
        end: u64,
        mut visit: impl FnMut(u64, Entry) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let reader = Reader::new(&self.shared.folder.join(JOURNAL_FOLDER), self.shared.keys.database)?;
        let mut problem = None;
        let walked = reader.walk(wanted, |number, entry| {
            if number >= end {
                return Err(ReadError::Stopped(String::new()));
            }
            visit(number, entry).map_err(|error| {
                problem = Some(error);
                ReadError::Stopped(String::new())
            })
        });
        match (problem, walked) {
            (Some(error), _) => Err(error),
            (None, Ok(()) | Err(ReadError::Stopped(_))) => Ok(()),
            (None, Err(error)) => Err(failed(error)),
        }
    }

    fn log_entry(&self, number: u64, entry: &Entry) -> Result<Option<LogEntry>, VaultError> {
        if entry.kind == EntryKind::Checkpoint {
            return Ok(None);
        }
        let place = about_place(&self.shared, number);
        let plain = seal::open(&self.shared.about_key, &place, &entry.about).map_err(|_| VaultError::DamagedRecord)?;
        let about: About = wire::decode(&plain).map_err(|_| VaultError::DamagedRecord)?;
        Ok(Some(LogEntry { number, about, changed: entry.kind == EntryKind::Change }))
    }
}

fn failed(error: ReadError) -> VaultError {
    match error {
        ReadError::Journal(error) => error.into(),
        ReadError::Stopped(_) => VaultError::DamagedRecord,
    }
}
