//! Reading the journal back while the office is open: who did what, and how a record came to be what it is.

use super::open::JOURNAL_FOLDER;
use super::sealing::{Record, Sealed};
use super::writer::{HISTORY, about_place};
use super::{About, Vault, VaultError};
use crate::journal::{EntryKind, ReadError, Reader, Verified};
use casemesh_crypto::{seal, wire};
use casemesh_protocol::id::RecordId;
use std::collections::BTreeSet;
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
        self.walk(from, to, |number, entry| {
            if let Some(log) = self.log_entry(number, &entry)? {
                found.push(log);
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
        let key = self.shared.row_key(R::KIND, parent, id);
        let prefix = [&[HISTORY], key.as_slice()].concat();
        let mut numbers = BTreeSet::new();
        self.shared.store.scan(&prefix, &mut |row, _| {
            numbers.extend(row.last_chunk::<8>().map(|number| u64::from_be_bytes(*number)));
            true
        })?;
        let numbers: BTreeSet<u64> = numbers.into_iter().rev().take(VERSIONS_MAX).collect();
        let (Some(first), Some(last)) = (numbers.first().copied(), numbers.last().copied()) else {
            return Ok(Vec::new());
        };
        let mut versions = Vec::new();
        self.walk(first, last, |number, entry| {
            if !numbers.contains(&number) {
                return Ok(());
            }
            let Some(log) = self.log_entry(number, &entry)? else { return Ok(()) };
            for write in entry.writes.iter().filter(|write| write.key == key) {
                match write.value.as_ref().map(|value| self.shared.open_record::<R>(&key, value)) {
                    None => versions.push((log.clone(), None)),
                    Some(Ok(version)) => versions.push((log.clone(), Some(version))),
                    Some(Err(VaultError::Erased)) => {}
                    Some(Err(error)) => return Err(error),
                }
            }
            Ok(())
        })?;
        Ok(versions)
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

    fn walk(
        &self,
        from: u64,
        to: u64,
        mut visit: impl FnMut(u64, crate::journal::Entry) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let reader = Reader::new(&self.shared.folder.join(JOURNAL_FOLDER), self.shared.keys.database)?;
        let mut problem = None;
        let walked = reader.walk(from, |number, entry| {
            if number > to {
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

    fn log_entry(&self, number: u64, entry: &crate::journal::Entry) -> Result<Option<LogEntry>, VaultError> {
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
