//! One segment file: its header, its frames, and what is at its end.

use super::crc::{crc32, one_byte_off};
use super::entry::{Entry, EntryKind, SignedCheckpoint};
use super::{BODY_BYTES_MAX, DatabaseId, Finding, JournalError};
use crate::disk;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::merkle::Frontier;
use casemesh_crypto::wire;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"CASEMESH";
const VERSION: u16 = 2;
const FRAME_MARK: &[u8; 4] = b"FRM1";
const FRAME_HEAD_BYTES: usize = 4 + 4 + 8 + 32;
const HASH_BYTES: usize = 32;
const FRAME_TAIL_BYTES: usize = HASH_BYTES + 4;
const FIXED_HEADER_BYTES: usize = 8 + 2 + 16 + 8 + 32 + 4;

/// What a segment starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) database: DatabaseId,
    pub(super) first: u64,
    pub(super) previous: Digest,
    pub(super) frontier: Frontier,
}

impl Header {
    pub(super) fn first(database: DatabaseId, frontier: Frontier) -> Self {
        Self { database, first: 1, previous: Digest::ZERO, frontier }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let frontier = wire::encode(&self.frontier);
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_be_bytes());
        out.extend(self.database.as_bytes());
        out.extend(self.first.to_be_bytes());
        out.extend(self.previous.as_bytes());
        out.extend(u32::try_from(frontier.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(frontier);
        out
    }

    /// The header and its length.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_be_bytes())?;
        let (database, rest) = rest.split_first_chunk::<16>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (previous, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let frontier: Frontier = wire::decode(rest.get(..length)?).ok()?;
        let header = Self {
            database: DatabaseId::new(*database),
            first: u64::from_be_bytes(*first),
            previous: Digest::new(*previous),
            frontier,
        };
        (header.frontier.size() + 1 == header.first).then_some((header, FIXED_HEADER_BYTES + length))
    }
}

/// One frame in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    pub(super) previous: Digest,
    pub(super) body: &'a [u8],
    pub(super) bytes: &'a [u8],
}

pub(super) fn write_frame(out: &mut Vec<u8>, number: u64, previous: &Digest, body: &[u8]) {
    let start = out.len();
    out.extend(FRAME_MARK);
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(number.to_be_bytes());
    out.extend(previous.as_bytes());
    out.extend(body);
    let hash = sha256(&[out.get(start..).unwrap_or_default()]);
    out.extend(hash.as_bytes());
    out.extend(crc32(out.get(start..).unwrap_or_default()).to_be_bytes());
}

/// The hash in the tail of a frame.
pub(super) fn frame_hash(frame: &[u8]) -> Digest {
    let hash = frame.last_chunk::<FRAME_TAIL_BYTES>().and_then(|tail| tail.first_chunk::<HASH_BYTES>());
    hash.map_or(Digest::ZERO, |hash| Digest::new(*hash))
}

/// The frame at the start of `bytes`, if there is a whole one whose hash is right.
pub(super) fn read_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let rest = bytes.strip_prefix(FRAME_MARK)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (previous, _) = rest.split_first_chunk::<32>()?;
    let frame = bytes.get(..frame_bytes(*length)?)?;
    let (hashed, crc) = frame.split_last_chunk::<4>()?;
    let (content, hash) = hashed.split_last_chunk::<HASH_BYTES>()?;
    let holds = sha256(&[content]).as_bytes() == hash && crc32(hashed).to_be_bytes() == *crc;
    holds.then_some(Frame {
        number: u64::from_be_bytes(*number),
        previous: Digest::new(*previous),
        body: content.get(FRAME_HEAD_BYTES..)?,
        bytes: frame,
    })
}

/// How long a frame is whose body has this length.
fn frame_bytes(length: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|length| *length <= BODY_BYTES_MAX)?;
    Some(FRAME_HEAD_BYTES + length + FRAME_TAIL_BYTES)
}

/// The one byte of the frame at the start of `bytes` that, put right, makes the frame whole: its place, and what it
/// must be. None when more than one byte is wrong, or when it was never written to its end.
pub(super) fn changed_byte(bytes: &[u8]) -> Option<(usize, u8)> {
    const LENGTH_AT: usize = 4;
    // A whole frame in the wrong place: an entry was taken out or moved.
    if read_frame(bytes).is_some() {
        return None;
    }
    let declared = *bytes.get(LENGTH_AT..)?.first_chunk::<4>()?;
    let repaired = |frame: &[u8], at: usize, value: u8| {
        let mut frame = frame.to_vec();
        *frame.get_mut(at)? = value;
        read_frame(&frame).is_some().then_some((at, value))
    };
    let within = || {
        let frame = bytes.get(..frame_bytes(declared)?)?;
        let (hashed, crc) = frame.split_last_chunk::<4>()?;
        let in_checksum = || {
            let right = crc32(hashed).to_be_bytes();
            let at = right.iter().zip(crc).position(|(a, b)| a != b)?;
            repaired(frame, hashed.len() + at, *right.get(at)?)
        };
        let in_content = || {
            let (at, change) = one_byte_off(hashed, u32::from_be_bytes(*crc))?;
            repaired(frame, at, hashed.get(at)? ^ change)
        };
        in_checksum().or_else(in_content)
    };
    let in_length = || {
        (0..4usize).flat_map(|at| (0..=u8::MAX).map(move |value| (at, value))).find_map(|(at, value)| {
            let mut length = declared;
            *length.get_mut(at)? = value;
            let end = frame_bytes(length)?;
            let frame = bytes.get(..end)?;
            // Hashed only where the next frame, or the end, stands where it would have to.
            let rest = bytes.get(end..)?;
            let fits = rest.is_empty() || rest.starts_with(FRAME_MARK);
            if fits { repaired(frame, LENGTH_AT + at, value) } else { None }
        })
    };
    within().or_else(in_length)
}

/// Whether a whole frame stands anywhere in `bytes`.
pub(super) fn any_frame_in(bytes: &[u8]) -> bool {
    bytes
        .windows(FRAME_MARK.len())
        .enumerate()
        .filter(|(_, window)| window == FRAME_MARK)
        .any(|(at, _)| bytes.get(at..).and_then(read_frame).is_some())
}

pub(super) fn create(folder: &Path, header: &Header) -> io::Result<(File, u64)> {
    let path = folder.join(format!("{:016}.seg", header.first));
    let bytes = header.encode();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    disk::private(&mut options);
    let mut file = options.open(&path)?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all()).and_then(|()| disk::sync_parent(&path));
    if let Err(error) = written {
        // A segment that was not born whole is in the way of the next try.
        fs::remove_file(&path)?;
        return Err(error);
    }
    Ok((file, bytes.len() as u64))
}

/// All segments in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    Ok(paths)
}

pub(super) fn last(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut paths = list(folder)?;
    // A power cut while a segment is made can leave one without a whole header, and without any entry; the one
    // before is then the last. A damaged one with entries in it is not passed over.
    if paths.len() > 1
        && paths
            .last()
            .is_some_and(|path| fs::read(path).is_ok_and(|b| Header::decode(&b).is_none() && !any_frame_in(&b)))
        && let Some(unborn) = paths.pop()
    {
        fs::rename(&unborn, unborn.with_extension("unborn"))?;
    }
    Ok(paths.pop())
}

/// What stands in the last segment.
pub(super) struct Tail {
    pub(super) header: Header,
    pub(super) end: u64,
    pub(super) last: u64,
    pub(super) head: Digest,
    pub(super) frontier: Frontier,
    pub(super) torn: Option<Finding>,
    /// The number of the last checkpoint in it.
    pub(super) checkpoint: u64,
}

pub(super) fn read_tail(path: &Path, database: DatabaseId) -> Result<Tail, JournalError> {
    let bytes = fs::read(path)?;
    let (header, start) =
        Header::decode(&bytes).ok_or_else(|| JournalError::Damaged(Finding::at(path, 0, "the file's head")))?;
    if header.database != database {
        return Err(JournalError::Foreign(path.to_owned()));
    }
    let (mut at, mut last, mut head) = (start, header.first - 1, header.previous);
    let mut frontier = header.frontier.clone();
    let mut checkpoint = 0;
    let mut torn = None;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let frame = read_frame(rest).filter(|frame| frame.number == last + 1 && frame.previous == head);
        let Some(frame) = frame else {
            torn = Some(Finding::in_frame(path, at, last + 1, rest));
            break;
        };
        last = frame.number;
        head = frame_hash(frame.bytes);
        frontier.push(frame.bytes);
        if is_checkpoint(frame.body) {
            checkpoint = last;
        }
        at += frame.bytes.len();
    }
    Ok(Tail { header, end: at as u64, last, head, frontier, torn, checkpoint })
}

fn is_checkpoint(body: &[u8]) -> bool {
    Entry::decode(body).is_ok_and(|entry| {
        entry.kind == EntryKind::Checkpoint && wire::decode::<SignedCheckpoint>(&entry.about).is_ok()
    })
}
