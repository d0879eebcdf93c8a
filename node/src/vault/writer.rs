//! The writer: one thread that runs commands, makes them durable in groups, and applies them.

use super::sealing::{Kind, Record, Sealed, revision_of};
use super::table::Table;
use super::{About, Change, Erasure, Shared, VaultError};
use crate::journal::{Entry, EntryKind, Journal, JournalError, SignedCheckpoint, Write};
use crate::keys::{KeyError, KeyFile};
use crate::store::{Applied, Manifest, Store};
use casemesh_crypto::random;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::shred::{KeyHandle, WrappedKey};
use casemesh_crypto::{seal, wire};
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, PoisonError};
use zeroize::Zeroizing;

/// Commands that share one sync.
const GROUP_MAX: usize = 128;
/// Entries after which a checkpoint is signed.
const CHECKPOINT_EVERY: u64 = 1024;
/// First byte of the rows that lead from a record to its entries.
pub(super) const HISTORY: u8 = 0xff;

type Done = Box<dyn FnOnce(Option<VaultError>) + Send>;
/// Says what to erase; none when it has answered that nothing is.
type Choose = Box<dyn FnOnce(&mut Tx<'_>) -> Option<(Erasure, Done)> + Send>;

/// What a command left behind.
pub(crate) struct Ran {
    kept: bool,
    done: Done,
}

/// Something for the writer to do.
pub(crate) enum Job {
    Command { about: About, run: Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send> },
    Access { about: About, done: Done },
    Erase { about: About, choose: Choose },
}

impl Job {
    pub(super) fn command<T, E>(
        about: About,
        command: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        reply: SyncSender<Result<T, E>>,
    ) -> Self
    where
        T: Send + 'static,
        E: From<VaultError> + Send + 'static,
    {
        // A caller that went away has no use for the reply: a failed send is no failure.
        let run = move |tx: &mut Tx<'_>| match command(tx) {
            Ok(value) => Ran {
                kept: true,
                done: Box::new(move |failed| drop(reply.send(failed.map_or(Ok(value), |error| Err(error.into()))))),
            },
            Err(error) => Ran { kept: false, done: Box::new(move |_| drop(reply.send(Err(error)))) },
        };
        Self::Command { about, run: Box::new(run) }
    }

    pub(super) fn access(about: About, reply: Option<SyncSender<Result<(), VaultError>>>) -> Self {
        Self::Access { about, done: answer(reply) }
    }

    pub(super) fn erase<T: Send + 'static>(
        about: About,
        choose: impl FnOnce(&mut Tx<'_>) -> Result<(T, Erasure), VaultError> + Send + 'static,
        reply: SyncSender<Result<T, VaultError>>,
    ) -> Self {
        let choose = move |tx: &mut Tx<'_>| match choose(tx) {
            Ok((value, erasure)) => {
                let done: Done = Box::new(move |failed| drop(reply.send(failed.map_or(Ok(value), Err))));
                Some((erasure, done))
            }
            Err(error) => {
                drop(reply.send(Err(error)));
                None
            }
        };
        Self::Erase { about, choose: Box::new(choose) }
    }
}

fn answer(reply: Option<SyncSender<Result<(), VaultError>>>) -> Done {
    Box::new(move |failed| {
        if let Some(reply) = reply {
            drop(reply.send(failed.map_or(Ok(()), Err)));
        }
    })
}

enum Staged {
    Put(Kind, Zeroizing<Vec<u8>>),
    Gone(Kind, RecordId),
}

/// One command at work: it reads the view, what the group wrote before it, and what it wrote itself.
pub struct Tx<'a> {
    shared: &'a Shared,
    group: &'a BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    mine: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    staged: Vec<Staged>,
    keys: Vec<WrappedKey>,
    about: About,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx({} rows)", self.mine.len())
    }
}

impl Tx<'_> {
    /// When the command was given.
    pub fn now(&self) -> Timestamp {
        self.about.at
    }

    /// Who gave it.
    pub fn staff(&self) -> Option<StaffId> {
        self.about.staff
    }

    /// Names the record that the journal entry is about.
    pub fn about(&mut self, record: RecordId) {
        self.about.record = Some(record);
    }

    /// A key that is derived from the office's for one use.
    pub fn subkey(&self, name: &str) -> Secret {
        self.shared.keys.subkey(name)
    }

    /// A fresh record id, above the one before it.
    pub fn fresh_id(&self) -> RecordId {
        let mut last = self.shared.last_id.lock().unwrap_or_else(PoisonError::into_inner);
        *last = RecordId::after(*last, self.about.at, &mut random::os_rng());
        *last
    }

    /// A key for a new person.
    pub fn new_person_key(&mut self) -> KeyHandle {
        let rng = &mut random::os_rng();
        let (handle, key) = (KeyHandle::random(rng), Secret::random(rng));
        self.keys.push(self.shared.epoch.read().unwrap_or_else(PoisonError::into_inner).wrap(
            handle,
            vec![],
            &key,
            rng,
        ));
        self.shared.ring.write().unwrap_or_else(PoisonError::into_inner).insert(handle, vec![], key);
        handle
    }

    /// One record as it stands before the next command.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn get<R: Record>(&self, parent: RecordId, id: RecordId) -> Result<Option<Sealed<R>>, VaultError> {
        let key = self.shared.row_key(R::KIND, parent, id);
        match self.row(&key)? {
            None => Ok(None),
            Some(value) => match self.shared.open_record(&key, &value) {
                Err(VaultError::Erased) => Ok(None),
                other => other.map(Some),
            },
        }
    }

    /// The records of one kind under a parent, oldest first.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn list<R: Record>(&self, parent: RecordId) -> Result<Vec<Sealed<R>>, VaultError> {
        let prefix = self.shared.row_prefix(R::KIND, parent);
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        self.shared.store.scan(&prefix, &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            true
        })?;
        for overlay in [self.group, &self.mine] {
            for (key, value) in overlay.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
        let mut records = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            match self.shared.open_record::<R>(&key, &value) {
                Err(VaultError::Erased) => {}
                other => records.push(other?),
            }
        }
        records.sort_by_key(|sealed| sealed.record.id());
        Ok(records)
    }

    /// The records of one kind under a parent that commands before this one wrote and the index does not show yet.
    /// With the index they are all there are, without reading every row.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn unseen<R: Record>(&self, parent: RecordId) -> Result<Vec<R>, VaultError> {
        let prefix = self.shared.row_prefix(R::KIND, parent);
        let mut records = Vec::new();
        for overlay in [self.group, &self.mine] {
            for (key, value) in overlay.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
                if let Some(value) = value {
                    records.push(self.shared.open_record::<R>(key, value)?.record);
                }
            }
        }
        Ok(records)
    }

    /// Writes a record that does not exist yet.
    ///
    /// # Errors
    /// When it exists.
    pub fn insert<R: Record>(&mut self, record: &R) -> Result<(), VaultError> {
        self.write(record, 0)
    }

    /// Writes a record over the revision that was read.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] when somebody else wrote in between.
    pub fn update<R: Record>(&mut self, record: &R, revision: u64) -> Result<(), VaultError> {
        self.write(record, revision)
    }

    /// The handle of the key that the present version of a record is sealed under.
    ///
    /// # Errors
    /// When the view fails.
    pub fn key_of<R: Record>(&self, parent: RecordId, id: RecordId) -> Result<Option<KeyHandle>, VaultError> {
        let row = self.row(&self.shared.row_key(R::KIND, parent, id))?;
        Ok(row.and_then(|value| super::open::handle_of(&value)))
    }

    /// Removes a record, whether or not it can still be read.
    ///
    /// # Errors
    /// When the view fails.
    pub fn remove_id<R: Record>(&mut self, parent: RecordId, id: RecordId) -> Result<(), VaultError> {
        let key = self.shared.row_key(R::KIND, parent, id);
        if self.row(&key)?.is_some() {
            self.mine.insert(key, None);
            self.staged.push(Staged::Gone(R::KIND, id));
        }
        Ok(())
    }

    fn write<R: Record>(&mut self, record: &R, expected: u64) -> Result<(), VaultError> {
        let key = self.shared.row_key(R::KIND, record.parent(), record.id());
        let current = match self.row(&key)? {
            None => 0,
            Some(value) => revision_of(&value).ok_or(VaultError::DamagedRecord)?,
        };
        if current != expected {
            return Err(VaultError::Conflict);
        }
        let plain = Zeroizing::new(wire::encode(record));
        if plain.len() + 128 > crate::store::VALUE_BYTES_MAX {
            return Err(VaultError::TooLong);
        }
        let (value, wrapped) = self.shared.seal_record(record, &plain, &key, current + 1, &mut random::os_rng())?;
        self.keys.extend(wrapped);
        self.mine.insert(key, Some(value));
        self.staged.push(Staged::Put(R::KIND, plain));
        Ok(())
    }

    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        match self.mine.get(key).or_else(|| self.group.get(key)) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.shared.store.get(key)?),
        }
    }
}

/// The writer's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Journal,
    pub(super) applied: Applied,
    pub(super) erased: Vec<KeyHandle>,
    pub(super) last_checkpoint: u64,
    /// What the journal keeps and the view does not have yet; empty unless the view refused.
    pub(super) behind: VecDeque<Durable>,
}

/// An entry on its way to the view.
pub(super) struct Durable {
    number: u64,
    writes: Vec<Write>,
    staged: Vec<Staged>,
}

/// A group under way.
#[derive(Default)]
struct Group {
    overlay: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    entries: Vec<Durable>,
    done: Vec<Done>,
}

impl Writer {
    /// Runs until every handle is gone.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut group = Group::default();
            let mut next = Some(first);
            let mut taken = 0;
            while let Some(job) = next.take() {
                if let Job::Erase { about, choose } = job {
                    self.finish(std::mem::take(&mut group));
                    self.erase_chosen(about, choose);
                } else {
                    self.take(job, &mut group);
                }
                taken += 1;
                next = if taken < GROUP_MAX { jobs.try_recv().ok() } else { None };
            }
            self.finish(group);
            if self.journal.next_number() > self.last_checkpoint + CHECKPOINT_EVERY {
                self.checkpoint();
            }
        }
        self.close();
    }

    fn take(&mut self, job: Job, group: &mut Group) {
        match job {
            Job::Command { about, run } => {
                let behind = self.follow().err();
                let mut tx = Tx {
                    shared: &self.shared,
                    group: &group.overlay,
                    mine: BTreeMap::new(),
                    staged: Vec::new(),
                    keys: Vec::new(),
                    about,
                };
                let Ok(ran) = catch_unwind(AssertUnwindSafe(|| run(&mut tx))) else {
                    tracing::error!("a command stopped unexpectedly; it changed nothing");
                    return;
                };
                let Tx { mine, staged, keys, about, .. } = tx;
                if !ran.kept {
                    (ran.done)(None);
                    return;
                }
                // A command that read an old view must not write.
                if behind.is_some() {
                    (ran.done)(behind);
                    return;
                }
                if mine.is_empty() && keys.is_empty() {
                    group.done.push(ran.done);
                    return;
                }
                let writes: Vec<Write> =
                    mine.iter().map(|(key, value)| Write { key: key.clone(), value: value.clone() }).collect();
                match self.append(EntryKind::Change, &about, writes.clone(), keys) {
                    Ok(number) => {
                        group.overlay.extend(mine);
                        group.entries.push(Durable { number, writes, staged });
                        group.done.push(ran.done);
                    }
                    Err(error) => (ran.done)(Some(error)),
                }
            }
            Job::Access { about, done } => match self.append(EntryKind::Access, &about, vec![], vec![]) {
                Ok(number) => {
                    group.entries.push(Durable { number, writes: vec![], staged: vec![] });
                    group.done.push(done);
                }
                Err(error) => done(Some(error)),
            },
            // Taken by itself, before it comes here.
            Job::Erase { .. } => {}
        }
    }

    fn append(
        &mut self,
        kind: EntryKind,
        about: &About,
        writes: Vec<Write>,
        keys: Vec<WrappedKey>,
    ) -> Result<u64, VaultError> {
        let place = about_place(&self.shared, self.journal.next_number());
        let about = seal::seal(&self.shared.about_key, &place, &wire::encode(about), &mut random::os_rng());
        Ok(self.journal.append(&Entry { kind, about, writes, keys })?)
    }

    /// Sync, then the view, then the observer, then the answers.
    fn finish(&mut self, group: Group) {
        if let Err(error) = self.journal.sync() {
            tracing::error!(%error, "a group of commands could not be kept");
            for done in group.done {
                done(Some(again(&error)));
            }
            return;
        }
        self.count();
        self.behind.extend(group.entries);
        if let Err(error) = self.follow() {
            tracing::error!(%error, "the view cannot follow the journal; nothing more is written until it can");
        }
        for done in group.done {
            // On disk in the journal is acknowledged, whatever became of the view.
            done(None);
        }
    }

    /// Brings the view up to the journal, in order; what it refuses waits for the next try.
    fn follow(&mut self) -> Result<(), VaultError> {
        while let Some(entry) = self.behind.front() {
            let (store, key) = (self.shared.store.as_ref(), &self.shared.manifest_key);
            apply(store, key, entry.number, &entry.writes, &mut self.applied)?;
            for staged in self.behind.pop_front().into_iter().flat_map(|entry| entry.staged) {
                match staged {
                    Staged::Put(kind, plain) => self.shared.observer.changed(kind, Change::Put(&plain)),
                    Staged::Gone(kind, id) => self.shared.observer.changed(kind, Change::Gone(id)),
                }
            }
        }
        Ok(())
    }

    fn count(&self) {
        self.shared.counters.entries.store(self.journal.next_number() - 1, Ordering::Relaxed);
        self.shared.counters.syncs.store(self.journal.syncs, Ordering::Relaxed);
    }

    fn checkpoint(&mut self) {
        if self.follow().is_err() {
            return;
        }
        let frontier = self.journal.frontier().clone();
        let keys = &self.shared.keys;
        let signed = SignedCheckpoint::sign(
            keys.database,
            frontier.size(),
            frontier.root(),
            self.shared.clock.now(),
            &keys.node_key,
        );
        let entry = Entry { kind: EntryKind::Checkpoint, about: wire::encode(&signed), writes: vec![], keys: vec![] };
        let kept = self.journal.append(&entry).map_err(VaultError::from).and_then(|number| {
            self.journal.sync()?;
            self.last_checkpoint = number;
            apply(self.shared.store.as_ref(), &self.shared.manifest_key, number, &[], &mut self.applied)?;
            self.shared.store.flush()?;
            Ok(())
        });
        if let Err(error) = kept {
            tracing::error!(%error, "a checkpoint could not be kept");
        }
        self.count();
    }

    fn erase_chosen(&mut self, about: About, choose: Choose) {
        // What is to be erased is judged by the view: it must not be behind.
        if let Err(error) = self.follow() {
            tracing::error!(%error, "nothing was erased: the view is behind the journal");
            return;
        }
        let nothing = BTreeMap::new();
        let mut tx = Tx {
            shared: &self.shared,
            group: &nothing,
            mine: BTreeMap::new(),
            staged: Vec::new(),
            keys: Vec::new(),
            about: about.clone(),
        };
        match catch_unwind(AssertUnwindSafe(|| choose(&mut tx))) {
            Ok(Some((Erasure { persons, .. }, done))) if persons.is_empty() => done(None),
            Ok(Some((Erasure { persons, redacted }, done))) => {
                let failed = self.erase(&about, &persons, &redacted).err();
                self.count();
                done(failed);
            }
            Ok(None) => {}
            Err(_) => tracing::error!("an erasure stopped unexpectedly; nothing was erased"),
        }
    }

    fn erase(&mut self, about: &About, persons: &[KeyHandle], redacted: &[KeyHandle]) -> Result<(), VaultError> {
        self.follow()?;
        let number = self.append(EntryKind::Change, about, vec![], vec![])?;
        self.journal.sync()?;
        apply(self.shared.store.as_ref(), &self.shared.manifest_key, number, &[], &mut self.applied)?;
        let rng = &mut random::os_rng();
        let mut ring = self.shared.ring.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut erased = self.erased.clone();
        for person in persons {
            erased.extend(ring.forget(person, redacted));
        }
        let old = self.shared.epoch.read().unwrap_or_else(PoisonError::into_inner).clone();
        let epoch = old.next(rng);
        erased.extend(persons);
        erased.extend(redacted);
        erased.sort_unstable();
        erased.dedup();
        let table =
            Table::new(self.shared.keys.database, &ring, &epoch, self.journal.next_number() - 1, erased.clone(), rng);
        // First the table of the next epoch, then the key file that names it: a power cut before the
        // second leaves the old epoch whole.
        table.write(&self.shared.folder, &epoch)?;
        let mut keys = self.shared.keys.clone();
        keys.epoch = epoch.clone();
        {
            let _alone = self.shared.key_file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut file = KeyFile::read(&self.shared.folder).map_err(key_error)?;
            file.write(&self.shared.folder, &keys, rng).map_err(key_error)?;
            *self.shared.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch.clone();
        }
        // From here on the next epoch holds, whatever becomes of the old table.
        self.erased = erased;
        *self.shared.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Table::remove_others(&self.shared.folder, epoch.number())
    }

    fn close(&mut self) {
        if self.journal.next_number() > self.last_checkpoint + 1 {
            self.checkpoint();
        }
        let epoch = self.shared.epoch.read().unwrap_or_else(PoisonError::into_inner).clone();
        let ring = self.shared.ring.read().unwrap_or_else(PoisonError::into_inner).clone();
        let table = Table::new(
            self.shared.keys.database,
            &ring,
            &epoch,
            self.journal.next_number() - 1,
            self.erased.clone(),
            &mut random::os_rng(),
        );
        if let Err(error) = table.write(&self.shared.folder, &epoch) {
            tracing::error!(%error, "the key table could not be written; the next start reads more of the journal");
        }
    }
}

pub(super) fn key_error(error: KeyError) -> VaultError {
    match error {
        KeyError::Disk(error) => VaultError::Disk(error),
        _ => VaultError::DamagedRecord,
    }
}

fn again(error: &JournalError) -> VaultError {
    VaultError::Journal(match error {
        JournalError::Disk(error) => JournalError::Disk(std::io::Error::from(error.kind())),
        _ => JournalError::ReadOnly,
    })
}

pub(super) fn about_place(shared: &Shared, number: u64) -> Vec<u8> {
    [b"casemesh/1/about\0", &shared.keys.database.as_bytes()[..], &number.to_be_bytes()].concat()
}

/// Applies one entry's rows to the view, with the rows of the records' history, and moves the manifest on.
pub(super) fn apply(
    store: &dyn Store,
    manifest_key: &Secret,
    number: u64,
    writes: &[Write],
    applied: &mut Applied,
) -> Result<(), VaultError> {
    let history = writes.iter().map(|write| {
        let mut key = vec![HISTORY];
        key.extend(&write.key);
        key.extend(number.to_be_bytes());
        Write { key, value: Some(Vec::new()) }
    });
    let rows: Vec<Write> = writes.iter().cloned().chain(history).collect();
    let mut manifest: Manifest = applied.manifest;
    for write in &rows {
        if let Some(old) = store.get(&write.key)? {
            manifest.remove(manifest_key, &write.key, &old);
        }
        if let Some(new) = &write.value {
            manifest.add(manifest_key, &write.key, new);
        }
    }
    let next = Applied { number, manifest };
    store.apply(&rows, next)?;
    *applied = next;
    Ok(())
}
