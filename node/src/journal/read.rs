//! Reading the journal from the start: for rebuilding the view, and for `casemesh verify`.

use super::entry::{Entry, EntryKind, SignedCheckpoint};
use super::segment::{self, Header};
use super::{DatabaseId, JournalError};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::merkle::Frontier;
use casemesh_crypto::sign::VerifyingKey;
use casemesh_crypto::wire;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where the journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which file.
    pub file: PathBuf,
    /// The byte that changed; where more than one did, the first of the part that does not hold.
    pub byte: u64,
    /// The entry's number, if it can be told.
    pub number: Option<u64>,
    /// What does not hold.
    pub what: String,
    /// Whether it is no torn tail: whole entries follow, or a single byte changed.
    pub is_damage: bool,
}

impl Finding {
    pub(super) fn at(file: &Path, byte: u64, what: &str) -> Self {
        Self { file: file.to_owned(), byte, number: None, what: what.to_owned(), is_damage: false }
    }

    /// What is wrong with the frame with which `rest` starts, at `at` in the file.
    pub(super) fn in_frame(file: &Path, at: usize, number: u64, rest: &[u8]) -> Self {
        match segment::changed_byte(rest) {
            Some((within, value)) => Self {
                number: Some(number),
                is_damage: true,
                ..Self::at(file, (at + within) as u64, &format!("one byte changed (it was {value:#04x})"))
            },
            None => Self {
                number: Some(number),
                is_damage: segment::any_frame_in(rest.get(1..).unwrap_or_default()),
                ..Self::at(file, at as u64, "an entry does not hold")
            },
        }
    }

    pub(super) fn missing(folder: &Path) -> Self {
        Self::at(folder, 0, "there is no segment file")
    }

    pub(super) fn short(file: &Path, byte: u64, last: u64, durable: u64) -> Self {
        let what = format!("entries {} to {durable} are missing", last + 1);
        Self { number: Some(last + 1), ..Self::at(file, byte, &what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            self.file.file_name().map_or_else(|| self.file.display().to_string(), |n| n.to_string_lossy().into());
        write!(f, "{} at byte {} of {name}", self.what, self.byte)?;
        match self.number {
            Some(number) => write!(f, " (entry {number})"),
            None => Ok(()),
        }
    }
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The caller had enough.
    #[error("{0}")]
    Stopped(String),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Journal(error.into())
    }
}

/// Walks all entries of a journal in order.
#[derive(Debug)]
pub struct Reader {
    paths: Vec<PathBuf>,
    database: DatabaseId,
}

impl Reader {
    /// A reader of the journal in a folder.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn new(folder: &Path, database: DatabaseId) -> Result<Self, JournalError> {
        Ok(Self { paths: segment::list(folder)?, database })
    }

    /// Gives every entry of the segments whose numbers are `wanted` to `visit`. The others are not read; of these, chain
    /// and hashes are checked as far as they go. A torn tail ends the walk.
    ///
    /// # Errors
    /// At the first entry that does not hold, or when `visit` fails.
    pub fn walk(
        &self,
        wanted: impl Fn(Range<u64>) -> bool,
        mut visit: impl FnMut(u64, Entry) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let starts: Vec<u64> = self.paths.iter().map(|path| first_number(path)).collect();
        for (i, (path, start)) in self.paths.iter().zip(&starts).enumerate() {
            let next = starts.get(i + 1).copied();
            if wanted(*start..next.unwrap_or(u64::MAX)) {
                let visit = &mut |_, number, entry, _: &[u8]| visit(number, entry);
                walk_segment(path, self.database, None, next.is_none(), visit)?;
            }
        }
        Ok(())
    }
}

fn first_number(path: &Path) -> u64 {
    path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok()).unwrap_or(0)
}

type Visit<'a> = dyn FnMut(u64, u64, Entry, &[u8]) -> Result<(), ReadError> + 'a;

/// Walks one segment; gives byte position, number, entry, and the frame's bytes. Number and hash of its last.
fn walk_segment(
    path: &Path,
    database: DatabaseId,
    expected: Option<&Header>,
    is_last: bool,
    visit: &mut Visit<'_>,
) -> Result<(u64, Digest), ReadError> {
    let bytes = std::fs::read(path)?;
    let damaged = |finding| ReadError::Journal(JournalError::Damaged(finding));
    // Another office's file differs in most of its database id; a flipped bit in one byte of it.
    let strangers = |header: &Header| {
        header.database.as_bytes().iter().zip(database.as_bytes()).filter(|(a, b)| a != b).count()
            > DatabaseId::LENGTH / 2
    };
    if Header::decode(&bytes).is_some_and(|(header, _)| strangers(&header)) {
        return Err(JournalError::Foreign(path.to_owned()).into());
    }
    if let Some(differs) = expected.map(Header::encode).and_then(|head| first_difference(&head, &bytes)) {
        return Err(damaged(Finding::at(path, differs, "the head of the file does not follow from the file before")));
    }
    let (header, start) =
        Header::decode(&bytes).ok_or_else(|| damaged(Finding::at(path, 0, "the head of the file does not hold")))?;
    if header.database != database {
        return Err(JournalError::Foreign(path.to_owned()).into());
    }
    let (mut at, mut last, mut head) = (start, header.first - 1, header.previous);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let frame = segment::read_frame(rest).filter(|frame| frame.number == last + 1 && frame.previous == head);
        let Some(frame) = frame else {
            let finding = Finding::in_frame(path, at, last + 1, rest);
            if is_last && !finding.is_damage {
                break;
            }
            return Err(damaged(finding));
        };
        let entry = Entry::decode(frame.body).map_err(|_| {
            let finding = Finding::at(path, at as u64, "an entry cannot be read");
            damaged(Finding { number: Some(last + 1), ..finding })
        })?;
        last = frame.number;
        head = segment::frame_hash(frame.bytes);
        visit(at as u64, last, entry, frame.bytes)?;
        at += frame.bytes.len();
    }
    Ok((last, head))
}

/// Where `bytes` stops starting with `expected`.
fn first_difference(expected: &[u8], bytes: &[u8]) -> Option<u64> {
    let same = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    (same < expected.len()).then_some(same as u64)
}

/// What a full check found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many entries.
    pub entries: u64,
    /// How many segments.
    pub segments: usize,
    /// How many checkpoints, all signed by the office.
    pub checkpoints: u64,
    /// Root of the Merkle tree over all entries.
    pub root: Digest,
}

/// Checks the whole journal: every hash, the chain across segments, the Merkle frontier at the head of
/// each segment, and every checkpoint's signature and root. `keys` are the node keys of the office.
///
/// # Errors
/// At the first thing that does not hold, with file and byte.
pub fn verify(
    folder: &Path,
    database: DatabaseId,
    keys: &[VerifyingKey],
    mut progress: impl FnMut(u64),
) -> Result<Verified, ReadError> {
    let reader = Reader::new(folder, database)?;
    let damaged = |finding| ReadError::Journal(JournalError::Damaged(finding));
    let mut frontier = Frontier::default();
    let (mut last, mut head, mut checkpoints) = (0, Digest::ZERO, 0);
    for (i, path) in reader.paths.iter().enumerate() {
        let expected = Header { database, first: last + 1, previous: head, frontier: frontier.clone() };
        let is_last = i + 1 == reader.paths.len();
        let (end, end_head) =
            walk_segment(path, database, Some(&expected), is_last, &mut |byte, number, entry, frame| {
                if entry.kind == EntryKind::Checkpoint {
                    let signed: Option<SignedCheckpoint> = wire::decode(&entry.about).ok();
                    let holds = signed.is_some_and(|signed| {
                        signed.verify().is_ok_and(|checkpoint| {
                            checkpoint.database == database
                                && checkpoint.size == frontier.size()
                                && checkpoint.root == frontier.root()
                                && keys.contains(&signed.key)
                        })
                    });
                    if !holds {
                        let finding = Finding::at(path, byte, "a checkpoint does not hold");
                        return Err(damaged(Finding { number: Some(number), ..finding }));
                    }
                    checkpoints += 1;
                }
                frontier.push(frame);
                progress(number);
                Ok(())
            })?;
        (last, head) = (end, end_head);
    }
    Ok(Verified { entries: last, segments: reader.paths.len(), checkpoints, root: frontier.root() })
}
