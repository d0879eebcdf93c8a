//! Opening: journal, keys, view, and the first look at every record.

use super::sealing::Kind;
use super::table::Table;
use super::writer::{HISTORY, Writer, apply};
use super::{Change, Counters, Observer, Shared, Vault, VaultError, WAITING_COMMANDS_MAX};
use crate::clock::Clock;
use crate::disk;
use crate::journal::{EntryKind, Journal, ReadError, Reader};
use crate::keys::Keys;
use crate::store::{Applied, Manifest, SledStore, Store, StoreError};
use casemesh_crypto::shred::{KeyHandle, KeyRing};
use casemesh_protocol::id::RecordId;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, RwLock};

const VIEW_FOLDER: &str = "view";
pub(super) const JOURNAL_FOLDER: &str = "journal";
const QUARANTINE_FOLDER: &str = "quarantine";

/// Why the vault cannot be opened.
pub type OpenError = VaultError;

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that the view had not seen.
    pub replayed: u64,
    /// Bytes of an unacknowledged entry that were cut off the journal.
    pub cut: u64,
    /// Why the view was rebuilt from the journal, if it was. The old one lies in `quarantine`.
    pub rebuilt: Option<String>,
    /// How many records there are.
    pub records: u64,
}

impl Vault {
    /// Opens the vault of a data folder, or starts it for a new office. The observer sees every record.
    ///
    /// # Errors
    /// When the journal is damaged or the keys are not its own.
    pub fn open(
        folder: &Path,
        keys: Keys,
        observer: Arc<dyn Observer>,
        clock: Clock,
    ) -> Result<(Self, Report), OpenError> {
        disk::make_folder(folder)?;
        let mut report = Report::default();
        let view = folder.join(VIEW_FOLDER);
        let store: Box<dyn Store> = match open_view(&view) {
            Ok(store) => store,
            // A full disk is no damage: a new view would not fit either.
            Err(StoreError::Disk(error)) if disk::is_full(&error) => return Err(error.into()),
            Err(error) => {
                report.rebuilt = Some(error.to_string());
                set_aside(folder, &view, &clock)?;
                open_view(&view)?
            }
        };
        let journal_folder = folder.join(JOURNAL_FOLDER);
        let is_new = !journal_folder.is_dir() || std::fs::read_dir(&journal_folder)?.next().is_none();
        let durable = store.applied().map(|applied| applied.number).unwrap_or(0);
        let mut last_checkpoint = 0;
        let journal = if is_new && durable == 0 {
            Journal::create(&journal_folder, keys.database)?
        } else {
            let (journal, opened) = Journal::open(&journal_folder, keys.database, durable)?;
            report.cut = opened.cut;
            last_checkpoint = opened.checkpoint;
            journal
        };

        let (table, ring) = match Table::read(folder, keys.database, &keys.epoch)? {
            Some((table, ring)) => (Some(table), ring),
            None => (None, KeyRing::default()),
        };
        let through = table.as_ref().map_or(0, |table| table.through);
        let erased: Vec<KeyHandle> = table.map(|table| table.erased).unwrap_or_default();
        let epoch = keys.epoch.clone();
        let mut shared = Shared {
            folder: folder.to_owned(),
            store,
            names: keys.subkey("row-names"),
            manifest_key: keys.subkey("manifest"),
            about_key: keys.subkey("journal-about"),
            office_content: keys.subkey("office-records"),
            keys,
            ring: RwLock::new(ring),
            epoch: RwLock::new(epoch),
            last_id: Mutex::new(RecordId::new([0; 16])),
            key_file: Mutex::default(),
            observer,
            clock,
            counters: Counters::default(),
        };
        shared.counters.entries.store(journal.next_number() - 1, std::sync::atomic::Ordering::Relaxed);
        let reader = Reader::new(&journal_folder, shared.keys.database)?;
        let mut applied = shared.replay(&reader, through, &mut report)?;
        if let Err(error) = shared.check_and_show(applied, &erased, &mut report) {
            if report.rebuilt.is_some() {
                return Err(error);
            }
            report.rebuilt = Some(error.to_string());
            // The old engine must let go of its folder before it is moved.
            shared.store = Box::new(crate::store::MemoryStore::default());
            set_aside(folder, &view, &shared.clock)?;
            shared.store = open_view(&view)?;
            applied = shared.replay(&reader, through, &mut report)?;
            shared.check_and_show(applied, &erased, &mut report)?;
        }

        let shared = Arc::new(shared);
        let writer = Writer {
            shared: Arc::clone(&shared),
            journal,
            applied,
            erased,
            last_checkpoint,
            behind: std::collections::VecDeque::new(),
        };
        let (jobs, waiting) = sync_channel(WAITING_COMMANDS_MAX);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&waiting))?;
        let vault = Self { shared, jobs: Arc::new(Mutex::new(Some(jobs))), thread: Arc::new(Mutex::new(Some(thread))) };
        Ok((vault, report))
    }
}

fn open_view(path: &Path) -> Result<Box<dyn Store>, StoreError> {
    let store = SledStore::open(path)?;
    store.applied()?;
    Ok(Box::new(store))
}

/// Moves a damaged view away. It is never deleted.
fn set_aside(folder: &Path, view: &Path, clock: &Clock) -> Result<(), VaultError> {
    if view.exists() {
        let quarantine = folder.join(QUARANTINE_FOLDER);
        disk::make_folder(&quarantine)?;
        std::fs::rename(view, quarantine.join(format!("view-{}", clock.now().ms())))?;
    }
    Ok(())
}

impl Shared {
    /// Brings keys and view up to the end of the journal.
    fn replay(&self, reader: &Reader, through: u64, report: &mut Report) -> Result<Applied, VaultError> {
        let mut applied = self.store.applied()?;
        let from = through.min(applied.number) + 1;
        let replayed = &mut report.replayed;
        let mut ring = self.ring.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let epoch = &self.keys.epoch;
        let walked = reader.walk(
            |segment| from < segment.end,
            |number, entry| {
                if number > through {
                    for key in &entry.keys {
                        ring.admit(epoch, key).map_err(|_| ReadError::Stopped("a key does not open".into()))?;
                    }
                }
                if number > applied.number {
                    let writes = if entry.kind == EntryKind::Change { entry.writes.as_slice() } else { &[] };
                    apply(self.store.as_ref(), &self.manifest_key, number, writes, &mut applied)
                        .map_err(|error| ReadError::Stopped(error.to_string()))?;
                    *replayed += 1;
                }
                Ok(())
            },
        );
        match walked {
            Ok(()) => Ok(applied),
            Err(ReadError::Journal(error)) => Err(error.into()),
            Err(ReadError::Stopped(_)) => Err(VaultError::DamagedRecord),
        }
    }

    /// Reads every row once: the sum must be the manifest's, every record must open or stand in the
    /// erasure ledger; the observer sees each.
    fn check_and_show(&self, applied: Applied, erased: &[KeyHandle], report: &mut Report) -> Result<(), VaultError> {
        let mut manifest = Manifest::default();
        let mut failure = None;
        report.records = 0;
        let erased: std::collections::BTreeSet<KeyHandle> = erased.iter().copied().collect();
        self.store.scan(&[], &mut |key, value| {
            manifest.add(&self.manifest_key, key, value);
            if key.first() == Some(&HISTORY) {
                return true;
            }
            match self.open_row(key, value) {
                Ok((kind, _, plain)) => {
                    report.records += 1;
                    self.observer.changed(kind, Change::Put(&plain));
                }
                Err(VaultError::Erased) if handle_of(value).is_some_and(|handle| erased.contains(&handle)) => {}
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        match failure {
            Some(error) => Err(error),
            None if manifest == applied.manifest => Ok(()),
            None => Err(StoreError::Engine("rows are missing".into()).into()),
        }
    }
}

/// The key handle in the head of a stored value.
pub(super) fn handle_of(value: &[u8]) -> Option<KeyHandle> {
    KeyHandle::from_slice(value.get(11..27)?)
}

/// What a full check of an office's data found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The journal.
    pub journal: crate::journal::Verified,
    /// Records that opened, if the office key was there.
    pub records: Option<u64>,
}

/// Checks journal and checkpoints without a password, and every record of the view with the keys.
///
/// # Errors
/// At the first thing that does not hold.
pub fn check(folder: &Path, keys: Option<Keys>, progress: impl FnMut(u64)) -> Result<Checked, VaultError> {
    let file = crate::keys::KeyFile::read(folder).map_err(|_| VaultError::DamagedRecord)?;
    let office = file.office_keys().map_err(|_| VaultError::DamagedRecord)?;
    let node_keys = office.node_keys();
    let journal =
        crate::journal::verify(&folder.join(JOURNAL_FOLDER), file.database, &node_keys, progress).map_err(|error| {
            match error {
                ReadError::Journal(error) => VaultError::Journal(error),
                ReadError::Stopped(_) => VaultError::DamagedRecord,
            }
        })?;
    let records = match keys {
        None => None,
        Some(keys) => {
            let (vault, report) = Vault::open(folder, keys, Arc::new(Nobody), Clock::system())?;
            vault.close();
            if let Some(why) = report.rebuilt {
                return Err(StoreError::Engine(why).into());
            }
            Some(report.records)
        }
    };
    Ok(Checked { journal, records })
}

struct Nobody;

impl Observer for Nobody {
    fn changed(&self, _: Kind, _: Change<'_>) {}
}
