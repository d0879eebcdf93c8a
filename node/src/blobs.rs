//! Sealed files that belong to packets and are too long for one: documents. They travel in pieces, and a line that breaks goes on
//! where it ended. The relay keeps and serves them without a password; it can open none.
//!
//! ```text
//! blobs/out/HASH.part  HASH.row    ours: for whom, from when on it may go (no row yet: sealed, and not released)
//! blobs/in/HASH.part   HASH.row    awaited: from whom. Whole, it becomes documents/HASH.doc
//! blobs/box/OFFICE/HASH.part  HASH.row   at a hub: what somebody left for that office
//! ```
//!
//! How far a file has come is its length. What was written since the last sync may be wrong after a power cut: a file that came is
//! cut back to what was synced when the node starts, and one whose hash is wrong begins anew.

use crate::disk;
use crate::spool::list;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire;
use casemesh_protocol::frame::{BlobAnswer, BlobRequest, Rejection};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::{BLOB_BYTES_MAX, BLOB_PIECE_BYTES_MAX, BLOBS_WANTED_MAX};
use casemesh_protocol::mailbox::{BLOB_DAYS, BLOBS, BLOBS_OF_ONE_BYTES_MAX, Kept, Shelf, Taken};
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What came is synced each time so much more of it is here, in bytes.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;
/// Files that a stick brought before their packet was opened: so much of the disk, in bytes, and no longer than so many days.
const UNASKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
const UNASKED_DAYS: u64 = 30;

/// A sealed file that is to go, is awaited, or was left here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BlobRow {
    /// SHA-256 of the sealed file.
    #[n(0)]
    pub file: Digest,
    /// The other office: for whom it is, from whom it is awaited, who left it.
    #[n(1)]
    pub office: OfficeId,
    /// How long it is, in bytes.
    #[n(2)]
    pub bytes: u64,
    /// Nobody need keep it after that.
    #[n(3)]
    pub expires: Timestamp,
    /// Since when.
    #[n(4)]
    pub since: Timestamp,
}

/// How far an awaited file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is not here whole yet: so many bytes are.
    Here(u64),
    /// It is here, and what it should be.
    Whole,
}

#[derive(Debug, Default)]
struct State {
    out: BTreeMap<Digest, BlobRow>,
    wanted: BTreeMap<Digest, BlobRow>,
    shelves: BTreeMap<OfficeId, Shelf>,
}

/// The sealed files of one node.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
    documents: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Blobs {
    /// Opens or makes the folders of a data folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (documents, folder) = (folder.join("documents"), folder.join("blobs"));
        for part in ["out", "in", "box"] {
            disk::make_folder(&folder.join(part))?;
        }
        disk::make_folder(&documents)?;
        let blobs = Self { folder, documents, state: Arc::default() };
        let mut state = State { out: rows(&blobs.folder.join("out"))?, ..State::default() };
        state.wanted = rows(&blobs.folder.join("in"))?;
        for file in list(&blobs.folder.join("in"), "part")? {
            cut_to_synced(&blobs.path("in", &file))?;
        }
        for entry in fs::read_dir(blobs.folder.join("box"))? {
            let path = entry?.path();
            let office = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(office) = office else { continue };
            let mut shelf = Shelf::default();
            for (file, row) in rows(&path)? {
                cut_to_synced(&path.join(format!("{file}.part")))?;
                shelf.put(file, kept(&row));
            }
            state.shelves.insert(office, shelf);
        }
        *blobs.state() = state;
        Ok(blobs)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, part: &str, file: &Digest) -> PathBuf {
        self.folder.join(part).join(format!("{file}.part"))
    }

    fn box_path(&self, office: &OfficeId, file: &Digest) -> PathBuf {
        self.folder.join("box").join(office.to_string()).join(format!("{file}.part"))
    }

    /// Where a file lies once it is here whole, and where documents of this office lie.
    pub fn document(&self, file: &Digest) -> PathBuf {
        self.documents.join(format!("{file}.doc"))
    }

    /// Keeps a sealed file of ours that may go later: its hash.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, sealed: &[u8]) -> io::Result<Digest> {
        let file = sha256(&[sealed]);
        disk::replace(&self.path("out", &file), sealed)?;
        Ok(file)
    }

    /// The packet that names a file of ours went: whoever it is for may have it. Offering it twice is the same as once.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn offer(&self, row: BlobRow) -> io::Result<()> {
        disk::replace(&self.path("out", &row.file).with_extension("row"), &wire::encode(&row))?;
        self.state().out.insert(row.file, row);
        Ok(())
    }

    /// Files of ours that may go and were not fetched.
    pub fn offered(&self) -> Vec<BlobRow> {
        self.state().out.values().copied().collect()
    }

    /// A whole file of ours, for a stick; none where it is gone.
    pub fn read_out(&self, file: &Digest) -> Option<Vec<u8>> {
        disk::read_bounded(&self.path("out", file), BLOB_BYTES_MAX).ok().flatten()
    }

    /// What follows at a place of a file of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_out_piece(&self, file: &Digest, at: u64) -> io::Result<Vec<u8>> {
        read_piece(&self.path("out", file), at)
    }

    /// A file of ours must not go, or need not any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_out(&self, file: &Digest) -> io::Result<()> {
        self.state().out.remove(file);
        let path = self.path("out", file);
        disk::remove(&path.with_extension("row"))?;
        disk::remove(&path)
    }

    /// A file is awaited; it may be here already. Whether it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn want(&self, row: BlobRow) -> io::Result<bool> {
        if self.document(&row.file).exists() {
            return Ok(true);
        }
        let mut state = self.state();
        let of_one = state.wanted.values().filter(|known| known.office == row.office).count();
        let has_room = state.wanted.len() < BLOBS_WANTED_MAX && of_one < BLOBS_WANTED_MAX / 4;
        if state.wanted.contains_key(&row.file) || !has_room || row.bytes > BLOB_BYTES_MAX {
            return Ok(false);
        }
        disk::replace(&self.path("in", &row.file).with_extension("row"), &wire::encode(&row))?;
        state.wanted.insert(row.file, row);
        drop(state);
        // A stick can have brought it before.
        Ok(self.have(&row.file) >= row.bytes && self.finish(&row)? == Progress::Whole)
    }

    /// Files that are awaited.
    pub fn wanted(&self) -> Vec<BlobRow> {
        self.state().wanted.values().copied().collect()
    }

    /// A file is awaited no more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, file: &Digest) -> io::Result<()> {
        self.state().wanted.remove(file);
        let path = self.path("in", file);
        disk::remove(&path.with_extension("row"))?;
        disk::remove(&path)
    }

    /// How much of an awaited file is here, in bytes.
    pub fn have(&self, file: &Digest) -> u64 {
        length(&self.path("in", file))
    }

    /// Takes a piece of an awaited file, where it goes on where the last one ended.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn take_piece(&self, file: &Digest, at: u64, piece: &[u8]) -> io::Result<Progress> {
        let row = self.state().wanted.get(file).copied();
        let Some(row) = row else { return Ok(Progress::Here(0)) };
        let path = self.path("in", file);
        let here = length(&path);
        if at != here || here.saturating_add(piece.len() as u64) > row.bytes {
            return Ok(Progress::Here(here));
        }
        append(&path, here, piece)?;
        match here + piece.len() as u64 {
            whole if whole == row.bytes => self.finish(&row),
            part => Ok(Progress::Here(part)),
        }
    }

    /// A file that came whole by hand: kept if it is awaited, or until its packet is opened.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn take_whole(&self, sealed: &[u8]) -> io::Result<bool> {
        let file = sha256(&[sealed]);
        if self.document(&file).exists() {
            return Ok(true);
        }
        let row = self.state().wanted.get(&file).copied();
        let lies_here: u64 = list(&self.folder.join("in"), "part")?.iter().map(|file| self.have(file)).sum();
        if row.is_none() && lies_here + sealed.len() as u64 > UNASKED_BYTES_MAX {
            return Ok(false);
        }
        disk::replace(&self.path("in", &file), sealed)?;
        match row {
            Some(row) => Ok(self.finish(&row)? == Progress::Whole),
            None => Ok(true),
        }
    }

    /// All of it is here: if it is what it should be, it lies with the documents from now on; else it begins anew.
    fn finish(&self, row: &BlobRow) -> io::Result<Progress> {
        let path = self.path("in", &row.file);
        let sealed = disk::read_bounded(&path, BLOB_BYTES_MAX)?.unwrap_or_default();
        if sha256(&[&sealed]) != row.file {
            tracing::warn!(file = ?row.file, "a file that came is not what was sent; it is fetched anew");
            disk::remove(&path)?;
            return Ok(Progress::Here(0));
        }
        disk::sync_new(std::slice::from_ref(&path))?;
        fs::rename(&path, self.document(&row.file))?;
        disk::sync_parent(&self.document(&row.file))?;
        self.forget(&row.file)?;
        Ok(Progress::Whole)
    }

    /// Answers a member about files: of ours, and, where this is a hub, of what was left here for them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn serve(&self, from: OfficeId, request: BlobRequest, is_hub: bool, now: Timestamp) -> io::Result<BlobAnswer> {
        match request {
            BlobRequest::Get { file, at } => {
                let is_theirs = self.state().out.get(&file).is_some_and(|row| row.office == from);
                let in_box = self.state().shelves.get(&from).is_some_and(|shelf| shelf.holds(&file));
                let path = match (is_theirs, in_box) {
                    (true, _) => self.path("out", &file),
                    (false, true) => self.box_path(&from, &file),
                    (false, false) => return Ok(BlobAnswer::Nothing),
                };
                Ok(match read_piece(&path, at)? {
                    piece if piece.is_empty() => BlobAnswer::Nothing,
                    piece => BlobAnswer::Piece(piece),
                })
            }
            BlobRequest::Got(file) => {
                if self.state().out.get(&file).is_some_and(|row| row.office == from) {
                    self.drop_out(&file)?;
                }
                self.drop_from_box(&from, &file)?;
                Ok(BlobAnswer::Have(0))
            }
            BlobRequest::Put { .. } if !is_hub => Ok(BlobAnswer::Rejected(Rejection::NotServed)),
            BlobRequest::Put { to, file, bytes, at, expires, piece } => {
                let expires = expires.min(now.plus_days(BLOB_DAYS));
                let row = BlobRow { file, office: from, bytes, expires, since: now };
                self.put_in_box(to, row, at, &piece, now)
            }
        }
    }

    fn put_in_box(&self, to: OfficeId, row: BlobRow, at: u64, piece: &[u8], now: Timestamp) -> io::Result<BlobAnswer> {
        let path = self.box_path(&to, &row.file);
        let mut state = self.state();
        let hub_bytes = state.shelves.values().map(Shelf::bytes).sum::<u64>();
        let of_sender = state.shelves.values().map(|shelf| shelf.bytes_of(&row.office)).sum::<u64>();
        let shelf = state.shelves.entry(to).or_default();
        // What was said of a file when it began holds to its end, and nobody else adds to it.
        if shelf.get(&row.file).is_some_and(|begun| (begun.from, begun.bytes) != (row.office, row.bytes)) {
            return Ok(BlobAnswer::Rejected(Rejection::NotServed));
        }
        let has_room = shelf.holds(&row.file) || of_sender.saturating_add(row.bytes) <= BLOBS_OF_ONE_BYTES_MAX;
        if row.bytes > BLOB_BYTES_MAX || !has_room {
            return Ok(BlobAnswer::Rejected(Rejection::Quota));
        }
        match shelf.take_within(row.file, &kept(&row), hub_bytes, &BLOBS, now) {
            Ok(Taken::Known) => {}
            Ok(Taken::New) => {
                if let Some(folder) = path.parent() {
                    disk::make_folder(folder)?;
                }
                disk::replace(&path.with_extension("row"), &wire::encode(&row))?;
                shelf.put(row.file, kept(&row));
            }
            Err(rejection) => return Ok(BlobAnswer::Rejected(rejection)),
        }
        drop(state);
        let here = length(&path);
        if at != here || piece.is_empty() || here.saturating_add(piece.len() as u64) > row.bytes {
            return Ok(BlobAnswer::Have(here));
        }
        append(&path, here, piece)?;
        Ok(BlobAnswer::Have(here + piece.len() as u64))
    }

    fn drop_from_box(&self, office: &OfficeId, file: &Digest) -> io::Result<()> {
        let was_there = self.state().shelves.get_mut(office).and_then(|shelf| shelf.remove(file)).is_some();
        if was_there {
            let path = self.box_path(office, file);
            disk::remove(&path)?;
            disk::remove(&path.with_extension("row"))?;
        }
        Ok(())
    }

    /// Lets go of what is over.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep(&self, now: Timestamp) -> io::Result<()> {
        for row in self.offered().iter().filter(|row| row.expires <= now) {
            self.drop_out(&row.file)?;
        }
        for row in self.wanted().iter().filter(|row| row.expires <= now) {
            self.forget(&row.file)?;
        }
        let over: Vec<(OfficeId, Vec<Digest>)> =
            self.state().shelves.iter().map(|(office, shelf)| (*office, shelf.over(now))).collect();
        for (office, files) in over {
            files.iter().try_for_each(|file| self.drop_from_box(&office, file))?;
        }
        // Sealed for a referral that was never released, or brought by a stick and never asked for.
        let (offered, wanted) = {
            let state = self.state();
            (state.out.clone(), state.wanted.clone())
        };
        for (part, known) in [("out", offered), ("in", wanted)] {
            for file in list(&self.folder.join(part), "part")? {
                let path = self.path(part, &file);
                let made = fs::metadata(&path).and_then(|found| found.modified()).ok();
                let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
                let is_old = made.is_some_and(|made| Timestamp::from_s(made.as_secs()).plus_days(UNASKED_DAYS) <= now);
                if is_old && !known.contains_key(&file) {
                    disk::remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

fn kept(row: &BlobRow) -> Kept {
    Kept { from: row.office, bytes: row.bytes, expires: row.expires }
}

fn rows(folder: &Path) -> io::Result<BTreeMap<Digest, BlobRow>> {
    let mut rows = BTreeMap::new();
    for file in list(folder, "row")? {
        let bytes = fs::read(folder.join(format!("{file}.row")))?;
        rows.extend(wire::decode::<BlobRow>(&bytes).ok().map(|row| (file, row)));
    }
    Ok(rows)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn append(path: &Path, here: u64, piece: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    disk::private(&mut options);
    let mut file = options.open(path)?;
    file.write_all(piece)?;
    if here / SYNC_BYTES != (here + piece.len() as u64) / SYNC_BYTES {
        file.sync_data()?;
    }
    Ok(())
}

fn cut_to_synced(path: &Path) -> io::Result<()> {
    let here = length(path);
    if here.is_multiple_of(SYNC_BYTES) {
        return Ok(());
    }
    // A whole one that a stick brought was synced as such, and is judged by its hash alone.
    let name = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Digest>().ok());
    if name.is_some_and(|name| fs::read(path).is_ok_and(|bytes| sha256(&[&bytes]) == name)) {
        return Ok(());
    }
    OpenOptions::new().write(true).open(path)?.set_len(here - here % SYNC_BYTES)
}

fn read_piece(path: &Path, at: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut piece = Vec::new();
    file.take(BLOB_PIECE_BYTES_MAX as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);
    const ANNA: OfficeId = OfficeId::new([1; 32]);
    const BEN: OfficeId = OfficeId::new([2; 32]);

    fn node() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        (folder, blobs)
    }

    fn row(file: Digest, office: OfficeId, bytes: usize) -> BlobRow {
        BlobRow { file, office, bytes: bytes as u64, expires: NOW.plus_days(30), since: NOW }
    }

    fn pull(from: &Blobs, asker: OfficeId, to: &Blobs, file: Digest, pieces: usize) -> Option<Progress> {
        let mut progress = None;
        for _ in 0..pieces {
            if progress == Some(Progress::Whole) {
                break;
            }
            let at = to.have(&file);
            match from.serve(asker, BlobRequest::Get { file, at }, true, NOW).unwrap() {
                BlobAnswer::Piece(piece) => progress = Some(to.take_piece(&file, at, &piece).unwrap()),
                _ => return progress,
            }
        }
        progress
    }

    #[test]
    fn a_file_goes_on_where_it_ended_and_only_to_whom_it_is_for() {
        let ((_a, anna), (ben_folder, ben)) = (node(), node());
        let bytes: Vec<u8> = (0..5 * SYNC_BYTES / 2).map(|n| (n % 251) as u8).collect();
        let file = anna.keep(&bytes).unwrap();
        assert!(pull(&anna, BEN, &ben, file, 1).is_none(), "its packet did not go yet");
        anna.offer(row(file, BEN, bytes.len())).unwrap();
        assert!(!ben.want(row(file, ANNA, bytes.len())).unwrap());
        assert!(pull(&anna, OfficeId::new([3; 32]), &ben, file, 1).is_none(), "somebody else's");
        let part = pull(&anna, BEN, &ben, file, 50).unwrap();
        assert_eq!(part, Progress::Here(50 * BLOB_PIECE_BYTES_MAX as u64));
        // A power cut: what was not synced is fetched again, and no more.
        let ben = Blobs::open(ben_folder.path()).unwrap();
        assert_eq!(ben.have(&file), SYNC_BYTES);
        assert_eq!(pull(&anna, BEN, &ben, file, 1000), Some(Progress::Whole));
        assert_eq!(fs::read(ben.document(&file)).unwrap(), bytes);
        assert!(ben.wanted().is_empty() && ben.want(row(file, ANNA, bytes.len())).unwrap());
        anna.serve(BEN, BlobRequest::Got(file), false, NOW).unwrap();
        assert!(anna.offered().is_empty() && anna.read_out(&file).is_none());
    }

    #[test]
    fn what_a_sender_says_of_a_file_at_a_hub_holds_and_one_sender_fills_only_a_share() {
        let (_hub, hub) = node();
        let put = |from: OfficeId, to: u16, file: u16, bytes: u64, at: u64, piece: &[u8]| {
            let hash = |n: u16| sha256(&[&n.to_be_bytes()]);
            let to = OfficeId::new(*hash(to).as_bytes());
            let expires = NOW.plus_days(9_000);
            let request = BlobRequest::Put { to, file: hash(file), bytes, at, expires, piece: piece.to_vec() };
            hub.serve(from, request, true, NOW).unwrap()
        };
        assert_eq!(put(ANNA, 1, 1, 1, 0, b""), BlobAnswer::Have(0));
        let longer = put(ANNA, 1, 1, BLOB_BYTES_MAX, 0, b"far more than was said");
        assert_eq!(longer, BlobAnswer::Rejected(Rejection::NotServed));
        assert_eq!(put(BEN, 1, 1, 1, 0, b"x"), BlobAnswer::Rejected(Rejection::NotServed), "another's file");
        assert_eq!(put(ANNA, 1, 1, 1, 0, b"x"), BlobAnswer::Have(1));
        // Places that are only taken are taken from a share, and for two weeks.
        let taken = (2..200).filter(|n| put(ANNA, *n, *n, BLOB_BYTES_MAX, 0, b"") == BlobAnswer::Have(0)).count();
        assert!(taken as u64 * BLOB_BYTES_MAX <= BLOBS_OF_ONE_BYTES_MAX, "{taken}");
        assert_eq!(put(BEN, 500, 500, BLOB_BYTES_MAX, 0, b""), BlobAnswer::Have(0), "others have room");
        hub.sweep(NOW.plus_days(BLOB_DAYS)).unwrap();
        assert!(hub.state().shelves.values().all(|shelf| shelf.bytes() == 0));
    }

    #[test]
    fn what_is_not_what_was_sent_begins_anew_and_a_stick_can_come_first() {
        let ((_a, anna), (_b, ben)) = (node(), node());
        let file = anna.keep(b"sealed").unwrap();
        ben.want(row(file, ANNA, 6)).unwrap();
        assert_eq!(ben.take_piece(&file, 0, b"Sealed").unwrap(), Progress::Here(0));
        assert_eq!(ben.have(&file), 0);
        assert_eq!(ben.take_piece(&file, 3, b"led").unwrap(), Progress::Here(0), "no holes");
        assert_eq!(ben.take_piece(&file, 0, b"sealed and more").unwrap(), Progress::Here(0), "no more than it is");
        ben.forget(&file).unwrap();
        assert!(ben.take_whole(b"sealed").unwrap());
        assert!(!ben.document(&file).exists(), "nobody asked for it yet");
        assert!(ben.want(row(file, ANNA, 6)).unwrap());
        assert!(ben.document(&file).exists());
    }

    #[test]
    fn a_hub_keeps_pieces_for_others_within_its_quota_and_gives_them_to_nobody_else() {
        let ((hub_folder, hub), (_b, ben)) = (node(), node());
        let bytes = vec![7u8; BLOB_PIECE_BYTES_MAX + 5];
        let file = sha256(&[&bytes]);
        let put = |hub: &Blobs, at: usize, bytes_said: u64| {
            let piece = bytes.get(at..bytes.len().min(at + BLOB_PIECE_BYTES_MAX)).unwrap_or_default().to_vec();
            let expires = NOW.plus_days(14);
            let request = BlobRequest::Put { to: BEN, file, bytes: bytes_said, at: at as u64, expires, piece };
            hub.serve(ANNA, request, true, NOW).unwrap()
        };
        let whole = bytes.len() as u64;
        assert_eq!(put(&hub, 0, BLOB_BYTES_MAX + 1), BlobAnswer::Rejected(Rejection::Quota));
        assert_eq!(put(&hub, 0, whole), BlobAnswer::Have(BLOB_PIECE_BYTES_MAX as u64));
        assert_eq!(put(&hub, 0, whole), BlobAnswer::Have(BLOB_PIECE_BYTES_MAX as u64), "the same piece again");
        assert_eq!(put(&hub, BLOB_PIECE_BYTES_MAX, whole), BlobAnswer::Have(whole));
        let hub = Blobs::open(hub_folder.path()).unwrap();
        ben.want(row(file, ANNA, bytes.len())).unwrap();
        assert!(pull(&hub, ANNA, &ben, file, 9).is_none(), "not even to who left it");
        assert_eq!(pull(&hub, BEN, &ben, file, 9), Some(Progress::Whole));
        hub.serve(BEN, BlobRequest::Got(file), true, NOW).unwrap();
        assert!(!hub.box_path(&BEN, &file).exists());
        put(&hub, 0, whole);
        hub.sweep(NOW.plus_days(15)).unwrap();
        assert!(!hub.box_path(&BEN, &file).exists(), "its time is over");
        assert_eq!(
            hub.serve(
                ANNA,
                BlobRequest::Put { to: BEN, file, bytes: 1, at: 0, expires: NOW, piece: vec![] },
                false,
                NOW
            )
            .unwrap(),
            BlobAnswer::Rejected(Rejection::NotServed)
        );
    }
}
