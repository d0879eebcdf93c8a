//! The view in sled 0.34.7, with the guards that its power-cut trials asked for: its files are synced after
//! opening and after each flush, it is opened in a thread of its own in which a panic is caught, its
//! cache is bounded, and no value in it is longer than 4 KiB (longer ones lie in parts).

use super::{Applied, Store, StoreError, VALUE_BYTES_MAX, Visit};
use crate::journal::Write;
use casemesh_crypto::wire;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// Bytes of one part; sled moves longer values into files that it never gives back.
const PART_BYTES: usize = 4 * 1024;
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
const FLUSH_EVERY_MS: u64 = 500;
/// Rows of the view.
const ROWS: u8 = 1;
/// The row that says how far the view is.
const APPLIED: &[u8] = &[0];

/// Rows in sled.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    log: File,
    path: PathBuf,
    /// A value in parts is read whole: no write comes between its parts.
    whole: RwLock<()>,
}

fn engine(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::Disk(error),
        other => StoreError::Engine(other.to_string()),
    }
}

impl SledStore {
    /// Opens or makes the view in a folder.
    ///
    /// # Errors
    /// When sled cannot open it, in whatever way.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        crate::disk::make_folder(path)?;
        let folder = path.to_owned();
        let opened = std::thread::Builder::new()
            .name("open-view".into())
            .spawn(move || {
                sled::Config::new()
                    .path(folder)
                    .mode(sled::Mode::LowSpace)
                    .cache_capacity(CACHE_BYTES)
                    .flush_every_ms(Some(FLUSH_EVERY_MS))
                    .open()
            })?
            .join();
        let db = opened.map_err(|_| StoreError::Engine("the engine stopped while opening".into()))?.map_err(engine)?;
        let log = OpenOptions::new().read(true).write(true).open(path.join("db"))?;
        let store = Self { db, log, path: path.to_owned(), whole: RwLock::default() };
        store.sync_files()?;
        Ok(store)
    }

    fn sync_files(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A snapshot file can be renamed away while we list.
                if let Ok(file) = File::open(entry.path()) {
                    file.sync_all()?;
                }
            }
        }
        File::open(&self.path)?.sync_all()
    }

    fn row_key(key: &[u8], part: u16) -> Vec<u8> {
        let mut row = Vec::with_capacity(key.len() + 5);
        row.push(ROWS);
        row.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        row.extend(key);
        row.extend(part.to_be_bytes());
        row
    }
}

/// A row's key and part number, from sled's key.
fn split_key(row: &[u8]) -> Option<(&[u8], u16)> {
    let (length, rest) = row.strip_prefix(&[ROWS])?.split_first_chunk::<2>()?;
    let (key, part) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((key, u16::from_be_bytes(part.try_into().ok()?)))
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _whole = self.whole.read().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = self.db.get(Self::row_key(key, 0)).map_err(engine)? else { return Ok(None) };
        let mut value = first.to_vec();
        let mut part = 1;
        while value.len() == PART_BYTES * usize::from(part) {
            let Some(next) = self.db.get(Self::row_key(key, part)).map_err(engine)? else { break };
            value.extend_from_slice(&next);
            part += 1;
        }
        Ok(Some(value))
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let _whole = self.whole.read().unwrap_or_else(PoisonError::into_inner);
        let mut current: Option<(Vec<u8>, Vec<u8>)> = None;
        // Keys of one prefix can have several lengths; each length is a run of its own in sled's order.
        for length in prefix.len()..=KEY_BYTES_MAX {
            let mut start = vec![ROWS];
            start.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            start.extend(prefix);
            for item in self.db.scan_prefix(start) {
                let (row, value) = item.map_err(engine)?;
                let Some((key, part)) = split_key(&row) else { continue };
                match &mut current {
                    Some((same, whole)) if part > 0 && same == key => whole.extend_from_slice(&value),
                    other => {
                        if other.take().is_some_and(|(key, value)| !visit(&key, &value)) {
                            return Ok(());
                        }
                        *other = Some((key.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        if let Some((key, value)) = current {
            visit(&key, &value);
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write], applied: Applied) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for write in writes {
            let value = write.value.as_deref();
            if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
                return Err(StoreError::TooLong(value.map_or(0, <[u8]>::len)));
            }
            let mut parts: u16 = 0;
            if let Some(value) = value {
                for part in value.chunks(PART_BYTES) {
                    batch.insert(Self::row_key(&write.key, parts), part);
                    parts += 1;
                }
                if parts == 0 {
                    batch.insert(Self::row_key(&write.key, 0), &[][..]);
                    parts = 1;
                }
            }
            // What an earlier, longer value left behind.
            for item in self.db.range(Self::row_key(&write.key, parts)..=Self::row_key(&write.key, u16::MAX)) {
                batch.remove(item.map_err(engine)?.0);
            }
        }
        batch.insert(APPLIED, wire::encode(&applied));
        let _whole = self.whole.write().unwrap_or_else(PoisonError::into_inner);
        self.db.apply_batch(batch).map_err(engine)
    }

    fn applied(&self) -> Result<Applied, StoreError> {
        match self.db.get(APPLIED).map_err(engine)? {
            None => Ok(Applied::default()),
            Some(bytes) => wire::decode(&bytes).map_err(|error| StoreError::Engine(error.to_string())),
        }
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(engine)?;
        Ok(self.log.sync_data()?)
    }
}

/// The longest key of a row.
const KEY_BYTES_MAX: usize = 48;
