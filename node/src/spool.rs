//! What the relay keeps on disk, readable without a password: sealed packets that came in, sealed packets
//! that go out, and receipts. Each packet is a file of its own, synced before anybody hears of it.
//!
//! ```text
//! spool/in/HASH.pkt     for this office, not yet opened      spool/out/HASH.pkt   ours, sealed, under way
//! spool/fact/HASH.fact  what became of one of ours           spool/out/HASH.row   to whom, until when
//! ```

use crate::disk;
use casemesh_crypto::envelope::{Urgency, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// The spool of one node.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

/// How many packets may wait to be opened: a locked office is not flooded.
pub const IN_PACKETS_MAX: usize = 5_000;

impl Spool {
    /// Opens or makes the spool of a data folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("spool");
        for part in ["in", "out", "fact"] {
            disk::make_folder(&folder.join(part))?;
        }
        Ok(Self { folder })
    }

    fn path(&self, part: &str, packet: &Digest, extension: &str) -> PathBuf {
        self.folder.join(part).join(format!("{packet}.{extension}"))
    }

    /// Keeps a packet that came in. Synced when it returns; keeping it twice is the same as once.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_in(&self, packet: &[u8]) -> io::Result<Digest> {
        let hash = packet_hash(packet);
        let path = self.path("in", &hash, "pkt");
        if !path.exists() {
            disk::replace(&path, packet)?;
        }
        Ok(hash)
    }

    /// The packets that wait to be opened.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn waiting_in(&self) -> io::Result<Vec<Digest>> {
        list(&self.folder.join("in"), "pkt")
    }

    /// How many packets wait to be opened, and the most urgent among them.
    pub fn waiting_summary(&self) -> (usize, Option<Urgency>) {
        let waiting = self.waiting_in().unwrap_or_default();
        let urgencies = waiting.iter().take(64).filter_map(|hash| {
            let packet = fs::read(self.path("in", hash, "pkt")).ok()?;
            casemesh_crypto::envelope::Header::read(&packet).ok().map(|header| header.urgency)
        });
        (waiting.len(), urgencies.max())
    }

    /// A packet that came in.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_in(&self, packet: &Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path("in", packet, "pkt"))
    }

    /// The packet was opened, or set aside by the office.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_in(&self, packet: &Digest) -> io::Result<()> {
        remove(&self.path("in", packet, "pkt"))
    }

    /// The packet could not be opened: it is kept beside, for a person to look at.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_aside(&self, packet: &Digest) -> io::Result<()> {
        let aside = self.folder.join("aside");
        disk::make_folder(&aside)?;
        fs::rename(self.path("in", packet, "pkt"), aside.join(format!("{packet}.pkt")))
    }

    /// How many packets were set aside.
    pub fn set_aside_count(&self) -> usize {
        let aside = self.folder.join("aside");
        if aside.is_dir() { list(&aside, "pkt").map_or(0, |all| all.len()) } else { 0 }
    }

    /// Takes a sealed packet of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_out(&self, row: &OutRow, packet: &[u8]) -> io::Result<()> {
        disk::replace(&self.path("out", &row.packet, "pkt"), packet)?;
        disk::replace(&self.path("out", &row.packet, "row"), &wire::encode(row))
    }

    /// The packets of ours that are under way. A packet without its row was never handed over whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn under_way(&self) -> io::Result<Vec<OutRow>> {
        let rows = list(&self.folder.join("out"), "row")?;
        Ok(rows.iter().filter_map(|hash| wire::decode(&fs::read(self.path("out", hash, "row")).ok()?).ok()).collect())
    }

    /// A packet of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read_out(&self, packet: &Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path("out", packet, "pkt"))
    }

    /// The packet of ours need not be offered any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_out(&self, packet: &Digest) -> io::Result<()> {
        remove(&self.path("out", packet, "row"))?;
        remove(&self.path("out", packet, "pkt"))
    }

    /// Notes what became of a packet of ours, for the office to read when it is open.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note_fact(&self, packet: &Digest, fact: Fact) -> io::Result<()> {
        disk::replace(&self.path("fact", packet, "fact"), &wire::encode(&fact))
    }

    /// What became of packets of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn facts(&self) -> io::Result<Vec<(Digest, Fact)>> {
        let hashes = list(&self.folder.join("fact"), "fact")?;
        Ok(hashes
            .into_iter()
            .filter_map(|hash| Some((hash, wire::decode(&fs::read(self.path("fact", &hash, "fact")).ok()?).ok()?)))
            .collect())
    }

    /// The office took note.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_fact(&self, packet: &Digest) -> io::Result<()> {
        remove(&self.path("fact", packet, "fact"))
    }
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

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let hash = spool.keep_in(b"packet").unwrap();
        assert_eq!(spool.keep_in(b"packet").unwrap(), hash);
        assert_eq!(spool.waiting_in().unwrap(), [hash]);
        assert_eq!(spool.read_in(&hash).unwrap(), b"packet");
        spool.drop_in(&hash).unwrap();
        spool.drop_in(&hash).unwrap();
        assert!(spool.waiting_in().unwrap().is_empty());

        let row = OutRow {
            packet: hash,
            to: OfficeId::new([1; 32]),
            expires: Timestamp::from_s(9),
            queued: Timestamp::from_s(1),
        };
        spool.keep_out(&row, b"packet").unwrap();
        assert_eq!(Spool::open(folder.path()).unwrap().under_way().unwrap(), [row]);
        spool.note_fact(&hash, Fact::Arrived(Timestamp::from_s(3))).unwrap();
        assert_eq!(spool.facts().unwrap(), [(hash, Fact::Arrived(Timestamp::from_s(3)))]);
    }
}
