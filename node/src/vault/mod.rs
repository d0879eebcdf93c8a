//! The sealed store of one office: journal, view and keys behind one door.
//!
//! A command runs on the one writer thread against the view and what the commands before it in the same
//! group wrote. It is acknowledged when its journal entry is on the disk, then applied to the view and
//! shown to the observer (the index in memory). Readers see a group only after its sync.
//!
//! Every record is sealed once, under a content key that lives as long as one of its subjects' keys; the
//! same bytes lie in the journal and in the view.

mod log;
mod open;
mod sealing;
mod table;
mod writer;

pub use log::{LogEntry, Past, Row, Version};
pub use open::{Checked, OpenError, Report, check};
pub use sealing::{Kind, Record, Sealed};
pub use writer::Tx;

use crate::clock::Clock;
use crate::journal::JournalError;
use crate::keys::{KeyError, KeyFile, Keys};
use crate::store::{Store, StoreError};
use casemesh_crypto::secret::Secret;
use casemesh_crypto::shred::{Epoch, KeyHandle, KeyRing};
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

/// Commands that wait for the writer; when more come, they wait outside.
const WAITING_COMMANDS_MAX: usize = 1024;

/// Why the vault refuses.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The journal refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The view refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row does not open or cannot be read.
    #[error("a record is damaged; run `casemesh verify`")]
    DamagedRecord,
    /// Somebody else saved the record in between.
    #[error("somebody else changed this record meanwhile; load it again and repeat your change")]
    Conflict,
    /// A subject's key is gone: the person was erased.
    #[error("the person was erased")]
    Erased,
    /// The office was locked or closed.
    #[error("the office is locked")]
    Locked,
    /// A record is longer than a row can be.
    #[error("the record is too long")]
    TooLong,
    /// The key files could not be written.
    #[error("{}", crate::disk::refusal(.0))]
    Disk(#[from] std::io::Error),
}

/// Who did what, when, about which record. Sealed in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct About {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// Which member of staff; none for the node itself.
    #[n(1)]
    pub staff: Option<StaffId>,
    /// Which command or access.
    #[n(2)]
    pub action: String,
    /// About which record.
    #[n(3)]
    pub record: Option<RecordId>,
}

/// What is to be erased for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erasure {
    /// The persons whose keys go.
    pub persons: Vec<KeyHandle>,
    /// Content keys of shared records that go with them.
    pub redacted: Vec<KeyHandle>,
}

/// Sees every record that a synced group changed, in order, and all records when the vault opens.
pub trait Observer: Send + Sync {
    /// A record changed.
    fn changed(&self, kind: Kind, change: Change<'_>);
}

/// What became of a record.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// It is now this: its plain encoding.
    Put(&'a [u8]),
    /// It is gone.
    Gone(RecordId),
}

/// What all threads share.
pub(crate) struct Shared {
    folder: PathBuf,
    store: Box<dyn Store>,
    keys: Keys,
    names: Secret,
    manifest_key: Secret,
    about_key: Secret,
    office_content: Secret,
    ring: RwLock<KeyRing>,
    epoch: RwLock<Epoch>,
    /// Held while the key file is read and replaced.
    key_file: Mutex<()>,
    /// The record id that was given out last.
    last_id: Mutex<RecordId>,
    observer: Arc<dyn Observer>,
    clock: Clock,
    counters: Counters,
}

/// What the writer did so far, for the bench and the tests.
#[derive(Debug, Default)]
struct Counters {
    entries: AtomicU64,
    syncs: AtomicU64,
}

/// How many entries were made durable by how many syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Journal entries.
    pub entries: u64,
    /// Calls of `fdatasync`.
    pub syncs: u64,
}

/// The open vault.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
    jobs: Arc<Mutex<Option<SyncSender<writer::Job>>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({:?})", self.shared.keys.database)
    }
}

impl Vault {
    /// Runs one command. It returns when the command is on the disk, or was refused and changed nothing.
    ///
    /// # Errors
    /// What the command returns, or why the vault refuses.
    pub fn write<T, E>(
        &self,
        staff: Option<StaffId>,
        action: &str,
        command: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<VaultError> + Send + 'static,
    {
        let (reply, answer) = sync_channel(1);
        let about = About { at: self.shared.clock.now(), staff, action: action.to_owned(), record: None };
        let job = writer::Job::command(about, command, reply);
        self.send(job)?;
        answer.recv().unwrap_or_else(|_| Err(VaultError::Locked.into()))
    }

    /// Notes an access; it rides with the next group.
    pub fn note(&self, staff: Option<StaffId>, action: &str, record: Option<RecordId>) {
        let about = About { at: self.shared.clock.now(), staff, action: action.to_owned(), record };
        if self.send(writer::Job::access(about, None)).is_err() {
            tracing::warn!("an access could not be noted: the office is locked");
        }
    }

    /// Notes an access and waits until that is on the disk: before something is revealed or leaves.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_and_wait(
        &self,
        staff: Option<StaffId>,
        action: &str,
        record: Option<RecordId>,
    ) -> Result<(), VaultError> {
        let (reply, answer) = sync_channel(1);
        let about = About { at: self.shared.clock.now(), staff, action: action.to_owned(), record };
        self.send(writer::Job::access(about, Some(reply)))?;
        answer.recv().unwrap_or(Err(VaultError::Locked))
    }

    /// One record.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn get<R: Record>(&self, parent: RecordId, id: RecordId) -> Result<Option<Sealed<R>>, VaultError> {
        self.shared.load(&self.shared.row_key(R::KIND, parent, id))
    }

    /// The records of one kind under a parent, oldest first.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn list<R: Record>(&self, parent: RecordId) -> Result<Vec<Sealed<R>>, VaultError> {
        let mut rows = Vec::new();
        self.shared.store.scan(&self.shared.row_prefix(R::KIND, parent), &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            true
        })?;
        let mut records = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            match self.shared.open_record::<R>(&key, &value) {
                Ok(record) => records.push(record),
                Err(VaultError::Erased) => {}
                Err(other) => return Err(other),
            }
        }
        records.sort_by_key(|sealed: &Sealed<R>| sealed.record.id());
        Ok(records)
    }

    /// The keys the vault was opened with.
    pub fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// What was written since it was opened.
    pub fn written(&self) -> Written {
        Written {
            entries: self.shared.counters.entries.load(Ordering::Relaxed),
            syncs: self.shared.counters.syncs.load(Ordering::Relaxed),
        }
    }

    /// Erases persons for ever: `choose` says whom, where no command can come between its answer and the erasure; it
    /// must write nothing. Its value comes back when the old keys are gone.
    ///
    /// # Errors
    /// What `choose` returns, or when the new key table cannot be written; the old one then stays in force.
    pub fn erase<T: Send + 'static>(
        &self,
        staff: Option<StaffId>,
        choose: impl FnOnce(&mut Tx<'_>) -> Result<(T, Erasure), VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let (reply, answer) = sync_channel(1);
        let about = About { at: self.shared.clock.now(), staff, action: "erase".into(), record: None };
        self.send(writer::Job::erase(about, choose, reply))?;
        answer.recv().unwrap_or(Err(VaultError::Locked))
    }

    /// The key file as it stands.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn key_file(&self) -> Result<KeyFile, KeyError> {
        KeyFile::read(&self.shared.folder)
    }

    /// Changes the key file, under the shred epoch that is in force.
    ///
    /// # Errors
    /// What the change returns, or why the file cannot be written; the old one then stays.
    pub fn change_key_file(
        &self,
        change: impl FnOnce(&mut KeyFile, &Keys) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let _alone = self.shared.key_file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.shared.keys.clone();
        keys.epoch = self.shared.epoch.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut file = KeyFile::read(&self.shared.folder)?;
        change(&mut file, &keys)?;
        file.write(&self.shared.folder, &keys, &mut casemesh_crypto::random::os_rng())
    }

    /// Writes a signed checkpoint, brings the view to the disk and ends the writer. Other handles then get
    /// [`VaultError::Locked`].
    pub fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer stopped unexpectedly");
        }
    }

    fn send(&self, job: writer::Job) -> Result<(), VaultError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.ok_or(VaultError::Locked)?.send(job).map_err(|_| VaultError::Locked)
    }
}

#[cfg(test)]
mod tests;
