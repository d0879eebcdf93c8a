//! What the relay keeps on disk, readable without a password: sealed packets that came in, sealed packets
//! that go out, and receipts. Each packet is a file of its own, named by its hash: a file that a power cut left
//! half written does not match its name and is as good as none.
//!
//! ```text
//! spool/in/HASH.pkt     for this office, not yet opened; synced before it is signed for
//! spool/out/HASH.out    ours, under way: to whom, until when, and the sealed packet; not synced, for the outbox
//!                       of the office keeps what is in it
//! spool/fact/HASH.fact  what became of one of ours; not synced, for until the office took note the packet stays
//!                       in spool/out and is offered again if the fact was lost
//! spool/claim/THREAD.clm  what we accepted and whose full packet waits at a hub, with our signed word for that
//! spool/claimed/HASH.clm  for which word of the recipient a hub gave what waited there, until the office took note
//! spool/let_go/THREAD.let what waits at a hub and is to reach nobody, until nothing of it can come back any more
//! spool/back/OFFICE/HASH.rcp  our receipt for what that office's stick brought, until its next stick
//! ```

use crate::disk;
use casemesh_crypto::envelope::{Header, Urgency, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::id::{OfficeId, ThreadId};
use casemesh_protocol::receipt::Receipt;
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A packet of ours that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OutRow {
    /// SHA-256 of the packet.
    #[n(0)]
    pub packet: Digest,
    /// For whom.
    #[n(1)]
    pub to: OfficeId,
    /// Not worth delivering after that.
    #[n(2)]
    pub expires: Timestamp,
    /// When it was handed over.
    #[n(3)]
    pub queued: Timestamp,
    /// Where it waits until its recipient accepted, if it does.
    #[n(4)]
    pub hold: Option<Hold>,
}

/// Where a full packet waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hold {
    /// At which hub.
    #[n(0)]
    pub hub: OfficeId,
    /// In which referral.
    #[n(1)]
    pub thread: ThreadId,
}

/// A full packet that waits for us at a hub.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ClaimRow {
    /// Where, and in which referral.
    #[n(0)]
    pub hold: Hold,
    /// It is not asked for after that.
    #[n(1)]
    pub until: Timestamp,
    /// Our signed word that we accepted.
    #[n(2)]
    pub claim: Claim,
}

/// A full packet that waits at a hub and is to reach nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LetGoRow {
    /// Where, and in which referral.
    #[n(0)]
    pub hold: Hold,
    /// For whom it was.
    #[n(1)]
    pub to: OfficeId,
    /// The hub lets go of it by itself then.
    #[n(2)]
    pub until: Timestamp,
    /// Whether the hub was told.
    #[n(3)]
    pub is_told: bool,
}

/// A packet of ours as it lies on the disk.
#[derive(Encode, Decode)]
#[cbor(array)]
struct OutFile {
    #[n(0)]
    row: OutRow,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    packet: Vec<u8>,
}

/// What became of a packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Fact {
    /// The recipient's node signed for it then.
    #[n(0)]
    Arrived(#[n(0)] Timestamp),
    /// The recipient's node refuses it for good.
    #[n(1)]
    Refused,
    /// Its time was over.
    #[n(2)]
    Expired,
}

/// What is known of a packet that came in without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    /// Who brought it over a line, since the last start.
    by: Option<OfficeId>,
    urgency: Option<Urgency>,
}

impl Waiting {
    fn of(packet: &[u8], by: Option<OfficeId>) -> Self {
        Self { by, urgency: Header::read(packet).ok().map(|header| header.urgency) }
    }
}

/// The spool of one node.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    /// Held while packets that came in are written: two roads can bring the same one.
    keeping: Arc<Mutex<()>>,
    /// What lies whole in `spool/in`, so that nobody need list the folder for each packet.
    waiting: Arc<Mutex<BTreeMap<Digest, Waiting>>>,
}

/// A receipt waits so many days for the stick that takes it back.
const RECEIPT_BACK_DAYS: u64 = 60;

/// How many packets may wait to be opened: a locked office is not flooded.
pub const IN_PACKETS_MAX: usize = 5_000;
/// How much of it one member may bring over a line: a member that is hostile, or mad, leaves room for the others.
pub const IN_PACKETS_OF_ONE_MAX: usize = 2_000;
/// The same, in bytes.
pub const IN_BYTES_OF_ONE_MAX: u64 = 64 * 1024 * 1024;
/// How many packets wait for a newer program: more than that are set aside.
const NEWER_MAX: usize = 256;
/// How many packets that cannot be opened are kept beside: of more, the oldest go.
const ASIDE_MAX: usize = 256;

impl Spool {
    /// Opens or makes the spool of a data folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("spool");
        for part in ["in", "out", "fact", "back", "claim", "claimed", "let_go"] {
            disk::make_folder(&folder.join(part))?;
        }
        let spool = Self { folder, keeping: Arc::default(), waiting: Arc::default() };
        spool.take_newer_up()?;
        // What a crash left half written was never signed for; what was damaged since, a person may look at.
        for packet in list(&spool.folder.join("in"), "pkt")? {
            match spool.read_in(&packet) {
                Ok(bytes) => drop(spool.waiting().insert(packet, Waiting::of(&bytes, None))),
                Err(_) => {
                    tracing::warn!(?packet, "a packet in the spool is not whole; it was set aside");
                    spool.set_aside(&packet)?;
                }
            }
        }
        Ok(spool)
    }

    /// The spool of a data folder as another process keeps it now: to be read, not changed.
    pub(crate) fn beside(folder: &Path) -> Self {
        let folder = folder.join("spool");
        let unread = Waiting { by: None, urgency: None };
        let waiting = list(&folder.join("in"), "pkt").unwrap_or_default().into_iter().map(|packet| (packet, unread));
        let waiting: BTreeMap<Digest, Waiting> = waiting.collect();
        Self { folder, keeping: Arc::default(), waiting: Arc::new(Mutex::new(waiting)) }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Digest, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The packet is of a kind that only a newer program knows: it waits for that, where not too many wait already.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_newer(&self, packet: &Digest) -> io::Result<()> {
        if self.newer_count() >= NEWER_MAX {
            return self.set_aside(packet);
        }
        let newer = self.folder.join("newer");
        disk::make_folder(&newer)?;
        self.move_out(packet, &newer)
    }

    fn move_out(&self, packet: &Digest, to: &Path) -> io::Result<()> {
        let _kept = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(self.path("in", packet, "pkt"), to.join(format!("{packet}.pkt")))?;
        self.waiting().remove(packet);
        Ok(())
    }

    /// How many packets wait for a newer program.
    pub fn newer_count(&self) -> usize {
        let newer = self.folder.join("newer");
        if newer.is_dir() { list(&newer, "pkt").map_or(0, |all| all.len()) } else { 0 }
    }

    /// A program that starts may be the newer one: what waited for it is looked at again.
    fn take_newer_up(&self) -> io::Result<()> {
        let newer = self.folder.join("newer");
        if !newer.is_dir() {
            return Ok(());
        }
        for packet in list(&newer, "pkt")? {
            fs::rename(newer.join(format!("{packet}.pkt")), self.path("in", &packet, "pkt"))?;
        }
        Ok(())
    }

    fn path(&self, part: &str, packet: &Digest, extension: &str) -> PathBuf {
        self.folder.join(part).join(format!("{packet}.{extension}"))
    }

    /// Keeps packets that came in: all are synced when it returns, with one sync of the folder. Keeping one twice is the
    /// same as once.
    ///
    /// # Errors
    /// When the disk refuses: none of them may be signed for.
    pub fn keep_in(&self, packets: &[(&[u8], Option<OfficeId>)]) -> io::Result<Vec<Digest>> {
        let hashes: Vec<Digest> = packets.iter().map(|(packet, _)| packet_hash(packet)).collect();
        let _kept = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, (packet, _)) in hashes.iter().zip(packets) {
            let path = self.path("in", hash, "pkt");
            if !fs::read(&path).is_ok_and(|kept| kept == *packet) {
                disk::write_unsynced(&path, packet)?;
            }
        }
        // Also those that were here: who wrote them may have been stopped before this.
        disk::sync_new(&hashes.iter().map(|hash| self.path("in", hash, "pkt")).collect::<Vec<_>>())?;
        let mut waiting = self.waiting();
        for (hash, (packet, by)) in hashes.iter().zip(packets) {
            let known = waiting.get(hash).and_then(|known| known.by);
            waiting.insert(*hash, Waiting::of(packet, known.or(*by)));
        }
        drop(waiting);
        Ok(hashes)
    }

    /// The packets that wait to be opened, by their hashes.
    pub fn waiting_in(&self) -> Vec<Digest> {
        self.waiting().keys().copied().collect()
    }

    /// Whether a packet waits to be opened.
    pub fn is_waiting(&self, packet: &Digest) -> bool {
        self.waiting().contains_key(packet)
    }

    /// Who brought a packet that waits over a line, since the last start.
    pub fn bringer(&self, packet: &Digest) -> Option<OfficeId> {
        self.waiting().get(packet)?.by
    }

    /// How many packets wait to be opened.
    pub fn waiting_count(&self) -> usize {
        self.waiting().len()
    }

    /// How many packets wait to be opened, and the most urgent among them.
    pub fn waiting_summary(&self) -> (usize, Option<Urgency>) {
        let waiting = self.waiting();
        (waiting.len(), waiting.values().filter_map(|packet| packet.urgency).max())
    }

    /// A packet that came in.
    ///
    /// # Errors
    /// When the disk refuses, or while the file is not whole: the relay may be writing it.
    pub fn read_in(&self, packet: &Digest) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path("in", packet, "pkt"))?;
        if packet_hash(&bytes) == *packet { Ok(bytes) } else { Err(torn()) }
    }

    /// The packet was opened, or set aside by the office.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_in(&self, packet: &Digest) -> io::Result<()> {
        let _kept = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        disk::remove(&self.path("in", packet, "pkt"))?;
        self.waiting().remove(packet);
        Ok(())
    }

    /// The packet could not be opened: it is kept beside, for a person to look at.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_aside(&self, packet: &Digest) -> io::Result<()> {
        let aside = self.folder.join("aside");
        disk::make_folder(&aside)?;
        self.move_out(packet, &aside)?;
        if list(&aside, "pkt")?.len() <= ASIDE_MAX {
            return Ok(());
        }
        let mut all = Vec::new();
        for entry in fs::read_dir(&aside)? {
            let entry = entry?;
            all.push((entry.metadata()?.modified()?, entry.path()));
        }
        all.sort_unstable();
        let over = all.len().saturating_sub(ASIDE_MAX);
        all.iter().take(over).try_for_each(|(_, path)| disk::remove(path))
    }

    /// How many packets were set aside.
    pub fn set_aside_count(&self) -> usize {
        let aside = self.folder.join("aside");
        if aside.is_dir() { list(&aside, "pkt").map_or(0, |all| all.len()) } else { 0 }
    }

    /// Keeps a sealed packet of ours. Not synced: until the office took note of what became of it, the outbox keeps
    /// what is in it, and seals it anew if a power cut took this file ([`Self::holds_out`]).
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_out(&self, row: &OutRow, packet: Vec<u8>) -> io::Result<()> {
        let file = OutFile { row: row.clone(), packet };
        disk::write_unsynced(&self.path("out", &row.packet, "out"), &wire::encode(&file))
    }

    /// Whether a packet of ours is here whole, or what became of it is.
    pub fn holds_out(&self, packet: &Digest) -> bool {
        self.fact(packet).is_some() || self.out_file(packet).is_ok()
    }

    /// The packets of ours that are under way: whole, and nothing became of them yet. Those that wait at a hub are not.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn under_way(&self) -> io::Result<Vec<OutRow>> {
        Ok(self.open_out()?.into_iter().filter(|row| row.hold.is_none()).collect())
    }

    /// The packets of ours that wait at a hub until their recipients accepted.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn held_out(&self) -> io::Result<Vec<OutRow>> {
        Ok(self.open_out()?.into_iter().filter(|row| row.hold.is_some()).collect())
    }

    fn open_out(&self) -> io::Result<Vec<OutRow>> {
        let hashes = list(&self.folder.join("out"), "out")?;
        let open = hashes.iter().filter(|hash| self.fact(hash).is_none());
        Ok(open.filter_map(|hash| self.out_file(hash).ok().map(|file| file.row)).collect())
    }

    /// What is known of a packet of ours; none when it is not here whole.
    pub fn out_row(&self, packet: &Digest) -> Option<OutRow> {
        self.out_file(packet).ok().map(|file| file.row)
    }

    /// Notes what we accepted and what waits for that at a hub.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_claim(&self, row: &ClaimRow) -> io::Result<()> {
        disk::replace(&self.claim_path(&row.hold.thread), &wire::encode(row))
    }

    /// What waits for us at hubs.
    pub fn claims(&self) -> Vec<ClaimRow> {
        read_rows(&self.folder.join("claim"), "clm")
    }

    /// It came, or is not wanted any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_claim(&self, thread: &ThreadId) -> io::Result<()> {
        disk::remove(&self.claim_path(thread))
    }

    fn claim_path(&self, thread: &ThreadId) -> PathBuf {
        self.folder.join("claim").join(format!("{thread}.clm"))
    }

    /// Keeps the recipient's word for which a hub gave a packet of ours. Synced when it returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_claimed(&self, packet: &Digest, claim: &Claim) -> io::Result<()> {
        disk::replace(&self.path("claimed", packet, "clm"), &wire::encode(&(*packet, claim.clone())))
    }

    /// For which words hubs gave packets of ours.
    pub fn claimed(&self) -> Vec<(Digest, Claim)> {
        read_rows(&self.folder.join("claimed"), "clm")
    }

    /// The office took note.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_claimed(&self, packet: &Digest) -> io::Result<()> {
        disk::remove(&self.path("claimed", packet, "clm"))
    }

    /// Notes what a hub is to let go of. Synced when it returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_let_go(&self, row: &LetGoRow) -> io::Result<()> {
        disk::replace(&self.let_go_path(&row.hold.thread), &wire::encode(row))
    }

    /// What hubs are to let go of, or were told to.
    pub fn let_go(&self) -> Vec<LetGoRow> {
        read_rows(&self.folder.join("let_go"), "let")
    }

    /// Nothing of it can come back any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_let_go(&self, thread: &ThreadId) -> io::Result<()> {
        disk::remove(&self.let_go_path(thread))
    }

    fn let_go_path(&self, thread: &ThreadId) -> PathBuf {
        self.folder.join("let_go").join(format!("{thread}.let"))
    }

    /// A packet of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_out(&self, packet: &Digest) -> io::Result<Vec<u8>> {
        Ok(self.out_file(packet)?.packet)
    }

    fn out_file(&self, packet: &Digest) -> io::Result<OutFile> {
        let file: OutFile = wire::decode(&fs::read(self.path("out", packet, "out"))?).map_err(|_| torn())?;
        if packet_hash(&file.packet) == *packet && file.row.packet == *packet { Ok(file) } else { Err(torn()) }
    }

    /// The packet of ours need not be offered any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_out(&self, packet: &Digest) -> io::Result<()> {
        disk::remove(&self.path("out", packet, "out"))
    }

    /// Notes what became of a packet of ours, for the office to read when it is open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note_fact(&self, packet: &Digest, fact: Fact) -> io::Result<()> {
        disk::write_unsynced(&self.path("fact", packet, "fact"), &wire::encode(&fact))
    }

    /// What became of packets of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn facts(&self) -> io::Result<Vec<(Digest, Fact)>> {
        let hashes = list(&self.folder.join("fact"), "fact")?;
        Ok(hashes.into_iter().filter_map(|hash| Some((hash, self.fact(&hash)?))).collect())
    }

    fn fact(&self, packet: &Digest) -> Option<Fact> {
        wire::decode(&fs::read(self.path("fact", packet, "fact")).ok()?).ok()
    }

    /// Keeps our receipt for a packet that a stick brought, for the office whose stick it was.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_receipt_back(&self, to: OfficeId, packet: &Digest, receipt: &Receipt) -> io::Result<()> {
        let folder = self.folder.join("back").join(to.to_string());
        disk::make_folder(&folder)?;
        disk::replace(&folder.join(format!("{packet}.rcp")), &wire::encode(receipt))
    }

    /// Our receipts for what sticks brought, and whose sticks they were.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn receipts_back(&self) -> io::Result<Vec<(OfficeId, Receipt)>> {
        let mut receipts = Vec::new();
        for (office, folder) in self.boxes_back()? {
            for hash in list(&folder, "rcp")? {
                let bytes = fs::read(folder.join(format!("{hash}.rcp")))?;
                receipts.extend(wire::decode(&bytes).ok().map(|receipt| (office, receipt)));
            }
        }
        Ok(receipts)
    }

    /// Lets go of receipts that no stick took for long.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep_back(&self, now: Timestamp) -> io::Result<()> {
        for (_, folder) in self.boxes_back()? {
            for hash in list(&folder, "rcp")? {
                let path = folder.join(format!("{hash}.rcp"));
                let receipt = wire::decode::<Receipt>(&fs::read(&path)?).ok();
                let is_new = |stored: Timestamp| stored.plus_days(RECEIPT_BACK_DAYS) > now;
                if !receipt.and_then(|receipt| receipt.unverified()).is_some_and(|said| is_new(said.stored)) {
                    disk::remove(&path)?;
                }
            }
        }
        Ok(())
    }

    fn boxes_back(&self) -> io::Result<Vec<(OfficeId, PathBuf)>> {
        let folder = self.folder.join("back");
        let mut boxes = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let office = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            boxes.extend(office.map(|office| (office, path)));
        }
        Ok(boxes)
    }

    /// The office took note: neither the packet nor the fact is needed any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_fact(&self, packet: &Digest) -> io::Result<()> {
        self.drop_out(packet)?;
        disk::remove(&self.path("fact", packet, "fact"))
    }
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a packet that is not whole")
}

/// The rows of one kind in a folder, as far as they are whole.
fn read_rows<T: for<'b> Decode<'b, ()> + Encode<()>>(folder: &Path, extension: &str) -> Vec<T> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let of_kind = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    of_kind.filter_map(|path| wire::decode(&fs::read(path).ok()?).ok()).collect()
}

/// The hashes that files of one kind in a folder are named by.
pub(crate) fn list(folder: &Path, extension: &str) -> io::Result<Vec<Digest>> {
    let mut hashes: Vec<Digest> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            hashes.extend(path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Digest>().ok()));
        }
    }
    hashes.sort_unstable();
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(packet: Digest) -> OutRow {
        let (expires, queued) = (Timestamp::from_s(9), Timestamp::from_s(1));
        OutRow { packet, to: OfficeId::new([1; 32]), expires, queued, hold: None }
    }

    fn keep(spool: &Spool, packet: &[u8]) -> Digest {
        spool.keep_in(&[(packet, None)]).unwrap()[0]
    }

    #[test]
    fn what_is_kept_is_there_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let hash = keep(&spool, b"packet");
        assert_eq!(keep(&spool, b"packet"), hash);
        assert_eq!(spool.waiting_in(), [hash]);
        assert_eq!(spool.read_in(&hash).unwrap(), b"packet");
        spool.drop_in(&hash).unwrap();
        spool.drop_in(&hash).unwrap();
        assert!(spool.waiting_in().is_empty());

        let row = row(hash);
        spool.keep_out(&row, b"packet".to_vec()).unwrap();
        assert_eq!(Spool::open(folder.path()).unwrap().under_way().unwrap(), [row]);
        spool.note_fact(&hash, Fact::Arrived(Timestamp::from_s(3))).unwrap();
        assert_eq!(spool.facts().unwrap(), [(hash, Fact::Arrived(Timestamp::from_s(3)))]);
        assert!(spool.under_way().unwrap().is_empty());
        spool.drop_fact(&hash).unwrap();
        assert!(spool.facts().unwrap().is_empty() && spool.read_out(&hash).is_err());
    }

    #[test]
    fn what_cannot_be_opened_does_not_pile_up_and_what_is_newer_waits_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        for n in 0..ASIDE_MAX + 20 {
            let hash = keep(&spool, &n.to_be_bytes());
            spool.set_aside(&hash).unwrap();
        }
        assert_eq!(spool.set_aside_count(), ASIDE_MAX);
        let newer = keep(&spool, b"of a later version");
        spool.set_newer(&newer).unwrap();
        assert_eq!((spool.newer_count(), spool.waiting_in().len()), (1, 0));
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!((spool.newer_count(), spool.waiting_in()), (0, vec![newer]));
        for n in 0..NEWER_MAX + 20 {
            let hash = keep(&spool, format!("newer {n}").as_bytes());
            spool.set_newer(&hash).unwrap();
        }
        assert_eq!(spool.newer_count(), NEWER_MAX, "and of those no more than can wait");
    }

    #[test]
    fn a_power_cut_leaves_no_half_packet() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let hash = packet_hash(b"packet");
        let row = row(hash);
        spool.keep_out(&row, b"packet".to_vec()).unwrap();
        let out = spool.path("out", &hash, "out");
        let whole = fs::read(&out).unwrap();
        for cut in 0..whole.len() {
            fs::write(&out, &whole[..cut]).unwrap();
            assert!(spool.under_way().unwrap().is_empty() && spool.read_out(&hash).is_err());
            assert!(!spool.holds_out(&hash));
        }
        fs::write(&out, &whole).unwrap();
        // A fact that was lost in the cut: the packet is offered again.
        spool.note_fact(&hash, Fact::Refused).unwrap();
        fs::write(spool.path("fact", &hash, "fact"), b"").unwrap();
        assert!(spool.facts().unwrap().is_empty());
        assert_eq!(spool.under_way().unwrap(), [row]);
        // A packet that came in and was torn is kept anew when it is offered again.
        keep(&spool, b"packet");
        fs::write(spool.path("in", &hash, "pkt"), b"pack").unwrap();
        assert!(spool.read_in(&hash).is_err());
        keep(&spool, b"packet");
        assert_eq!(spool.read_in(&hash).unwrap(), b"packet");
    }
}
