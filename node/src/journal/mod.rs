//! The journal: an append-only sequence of sealed entries in segment files. It is the truth; the view in
//! sled is made from it. An entry is on disk before anybody is told that it happened.
//!
//! ```text
//! segment = "CASEMESH" version u16 database[16] first_number u64 previous[32] frontier-length u32 frontier
//! frame   = "FRM1" u32be(len) u64be(number) previous[32] body hash[32] crc[4]
//! hash    = SHA-256 of everything before it in the frame
//! crc     = CRC-32 of everything before it in the frame: it tells which byte changed
//! ```
//!
//! Each frame names the hash of the one before. All frames are the leaves of one Merkle tree
//! (RFC 6962), whose frontier stands at the head of each segment, so that opening reads one segment.

mod crc;
mod entry;
mod read;
mod segment;

pub use entry::{Checkpoint, Entry, EntryKind, SignedCheckpoint, Write};
pub use read::{Finding, ReadError, Reader, Verified, verify};

use crate::disk;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::merkle::Frontier;
use segment::{Header, Tail};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

casemesh_crypto::byte_newtype!(
    /// One database, from its making on; every ciphertext is bound to it.
    DatabaseId, 16
);

/// A segment is closed when it is this long.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// The longest body of one frame: a command changes at most so much at once.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What stands in the way of opening or writing the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refuses.
    #[error("{}", disk::refusal(.0))]
    Disk(#[from] io::Error),
    /// There is damage that is no torn tail.
    #[error("the journal is damaged: {0}; keep this folder as it is and restore from a backup")]
    Damaged(Finding),
    /// An entry is longer than a frame can be.
    #[error("one entry would be {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLong(usize),
    /// Another database's file lies in this folder.
    #[error("the file {0} belongs to another office's journal")]
    Foreign(PathBuf),
    /// A sync failed earlier; nothing is written until the node is started again.
    #[error("the disk failed to keep what was written; the office is read-only until Casemesh is started again")]
    ReadOnly,
}

/// The journal, open for appending. One thread owns it.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    database: DatabaseId,
    file: File,
    length: u64,
    next: u64,
    head: Digest,
    frontier: Frontier,
    pending: Vec<u8>,
    pending_state: Option<(u64, Digest, Frontier)>,
    failed: bool,
    segment_bytes: u64,
    /// How often the disk was asked to keep what was written.
    pub syncs: u64,
}

/// How the journal was found when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The number of the last entry; zero when there is none.
    pub last: u64,
    /// How many bytes of an entry that was never acknowledged were cut off.
    pub cut: u64,
    /// The number of the last checkpoint in the last segment; zero when there is none.
    pub checkpoint: u64,
}

impl Journal {
    /// Starts the journal of a new database.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(folder: &Path, database: DatabaseId) -> Result<Self, JournalError> {
        disk::make_folder(folder)?;
        let frontier = Frontier::default();
        let (file, length) = segment::create(folder, &Header::first(database, frontier.clone()))?;
        Ok(Self::new(folder, file, length, Header::first(database, frontier)))
    }

    /// Opens a journal and cuts a torn tail. `durable` is the highest number that is known to have been
    /// acknowledged (applied to the view, or covered by a checkpoint); no entry up to it is ever cut.
    ///
    /// # Errors
    /// When it is damaged in a way that no power cut makes.
    pub fn open(folder: &Path, database: DatabaseId, durable: u64) -> Result<(Self, Opened), JournalError> {
        let path = segment::last(folder)?.ok_or_else(|| JournalError::Damaged(Finding::missing(folder)))?;
        let Tail { header, end, last, head, frontier, torn, checkpoint } = segment::read_tail(&path, database)?;
        if let Some(finding) = torn.as_ref().filter(|f| f.is_damage || last < durable.max(checkpoint)) {
            return Err(JournalError::Damaged(finding.clone()));
        }
        if last < durable {
            return Err(JournalError::Damaged(Finding::short(&path, end, last, durable)));
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        if length > end {
            file.set_len(end)?;
            file.sync_all()?;
        }
        let mut journal = Self::new(folder, file, end, header);
        (journal.next, journal.head, journal.frontier) = (last + 1, head, frontier);
        journal.file.seek(SeekFrom::End(0))?;
        Ok((journal, Opened { last, cut: length.saturating_sub(end), checkpoint }))
    }

    fn new(folder: &Path, file: File, length: u64, header: Header) -> Self {
        Self {
            folder: folder.to_owned(),
            database: header.database,
            file,
            length,
            next: header.first,
            head: header.previous,
            frontier: header.frontier,
            pending: Vec::new(),
            pending_state: None,
            failed: false,
            segment_bytes: SEGMENT_BYTES,
            syncs: 0,
        }
    }

    /// Closes segments at another length, for tests of many segments.
    pub fn set_segment_bytes(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
    }

    /// The number that the next entry gets.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The Merkle tree over all entries so far, pending ones included.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Adds an entry to the group that the next [`Self::sync`] makes durable. Its number.
    ///
    /// # Errors
    /// When it is too long, or the journal is read-only.
    pub fn append(&mut self, entry: &Entry) -> Result<u64, JournalError> {
        if self.failed {
            return Err(JournalError::ReadOnly);
        }
        let body = entry.encode();
        if body.len() > BODY_BYTES_MAX {
            return Err(JournalError::TooLong(body.len()));
        }
        let before = (self.next, self.head, self.frontier.clone());
        self.pending_state.get_or_insert(before);
        let number = self.next;
        let start = self.pending.len();
        segment::write_frame(&mut self.pending, number, &self.head, &body);
        let frame = self.pending.get(start..).unwrap_or_default();
        self.head = segment::frame_hash(frame);
        self.frontier.push(frame);
        self.next += 1;
        Ok(number)
    }

    /// Makes the group durable. When writing fails (a full disk), the group is dropped as a whole and the
    /// journal stays usable; when syncing fails, it is read-only from then on.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::ReadOnly);
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            self.drop_group()?;
            return Err(error.into());
        }
        self.syncs += 1;
        if let Err(error) = self.file.sync_data() {
            self.failed = true;
            tracing::error!(kind = %error.kind(), "the journal could not be synced; the office is read-only");
            return Err(JournalError::ReadOnly);
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        self.pending_state = None;
        if self.length >= self.segment_bytes
            && let Err(error) = self.roll()
        {
            // The group is kept; a longer segment is better than a group that is said to be lost.
            tracing::warn!(%error, "no new journal segment could be started; this one goes on");
        }
        Ok(())
    }

    fn drop_group(&mut self) -> Result<(), JournalError> {
        self.pending.clear();
        if let Some((next, head, frontier)) = self.pending_state.take() {
            (self.next, self.head, self.frontier) = (next, head, frontier);
        }
        let restored = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::End(0)));
        self.failed = restored.is_err();
        restored.map(|_| ()).map_err(JournalError::from)
    }

    fn roll(&mut self) -> Result<(), JournalError> {
        let header =
            Header { database: self.database, first: self.next, previous: self.head, frontier: self.frontier.clone() };
        (self.file, self.length) = segment::create(&self.folder, &header)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
