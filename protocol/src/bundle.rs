//! Packets on a stick: a file (`.cmb`) with the same sealed packets as on a line, the receipts for what came on an earlier stick, and
//! the network file. Whoever finds it reads of it what a hub reads: who carries how much for whom.
//!
//! ```text
//! bundle = "casemesh bundle 1\n" entry*
//! entry  = "CMB>" u32be(length) H(body) body
//! ```
//!
//! Each entry stands for itself: a reader that meets a damaged one goes on at the next mark. The last entry is signed and says who
//! wrote the file and what should be in it. A packet needs no such signature: it is checked like any other when it is opened.

use crate::id::OfficeId;
use crate::limits::{BUNDLE_BYTES_MAX, DIRECTORY_BYTES_MAX};
use crate::receipt::Receipt;
use crate::time::Timestamp;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::sign::{Context, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};

const MAGIC: &[u8] = b"casemesh bundle 1\n";
const MARK: &[u8] = b"CMB>";
const HEAD_BYTES: usize = MARK.len() + 4 + Digest::LENGTH;

/// What lies in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Entry {
    /// A sealed packet, and for whom.
    #[n(0)]
    Packet {
        /// For whom.
        #[n(0)]
        to: OfficeId,
        /// The packet.
        #[cbor(n(1), with = "minicbor::bytes")]
        packet: Vec<u8>,
    },
    /// "We have what you sent on a stick."
    #[n(1)]
    Receipt {
        /// Who sent it.
        #[n(0)]
        to: OfficeId,
        /// The receipt.
        #[n(1)]
        receipt: Receipt,
    },
    /// The network file.
    #[n(2)]
    Network(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Who wrote the bundle: the last entry.
    #[n(3)]
    End(#[n(0)] End),
    /// A sealed file that belongs to a packet, and for whom.
    #[n(4)]
    File {
        /// For whom.
        #[n(0)]
        to: OfficeId,
        /// The sealed file.
        #[cbor(n(1), with = "minicbor::bytes")]
        sealed: Vec<u8>,
    },
}

/// The last entry: who wrote the bundle, signed with the receipt key of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct End {
    #[cbor(n(0), with = "minicbor::bytes")]
    statement: Vec<u8>,
    #[n(1)]
    key: VerifyingKey,
    #[n(2)]
    signature: Signature,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Statement {
    #[n(0)]
    version: u8,
    #[n(1)]
    office: OfficeId,
    #[n(2)]
    written: Timestamp,
    #[n(3)]
    entries: u64,
    /// Over the hashes of the entries' bodies, in their order.
    #[n(4)]
    contents: Digest,
}

/// Writes a bundle, entry by entry.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    hashes: Vec<Digest>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: MAGIC.to_vec(), hashes: Vec::new() }
    }
}

impl Writer {
    /// Adds an entry, where it still fits [`BUNDLE_BYTES_MAX`].
    pub fn put(&mut self, entry: &Entry) -> bool {
        let body = wire::encode(entry);
        // So much is left for the end.
        let fits = self.bytes.len() + HEAD_BYTES + body.len() + 1024 <= BUNDLE_BYTES_MAX;
        if fits {
            self.hashes.push(write_entry(&mut self.bytes, &body));
        }
        fits
    }

    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Signs the bundle: its bytes.
    pub fn sign(mut self, office: OfficeId, written: Timestamp, key: &SigningKey) -> Vec<u8> {
        let (entries, contents) = (self.hashes.len() as u64, contents(&self.hashes));
        let statement = wire::encode(&Statement { version: 1, office, written, entries, contents });
        let signature = key.sign(Context::Bundle, &statement);
        let end = Entry::End(End { statement, key: key.verifying_key(), signature });
        write_entry(&mut self.bytes, &wire::encode(&end));
        self.bytes
    }
}

fn write_entry(bytes: &mut Vec<u8>, body: &[u8]) -> Digest {
    let hash = sha256(&[body]);
    bytes.extend(MARK);
    bytes.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(hash.as_bytes());
    bytes.extend(body);
    hash
}

fn contents(hashes: &[Digest]) -> Digest {
    let all: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    sha256(&[b"casemesh/1/bundle\0", &all])
}

/// Who wrote a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub office: OfficeId,
    /// When, by their clock.
    pub written: Timestamp,
    /// Whether it is as they wrote it: nothing is damaged, missing or added.
    pub is_whole: bool,
}

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What is whole.
    pub entries: Vec<Entry>,
    /// Places where something is not.
    pub damaged: usize,
    end: Option<End>,
    hashes: Vec<Digest>,
}

/// A file that is no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBundle {
    /// It does not begin like one.
    #[error("this file is no bundle of Casemesh, or its beginning is damaged; ask for it again")]
    Other,
    /// It is longer than one may be.
    #[error("this file is longer than {} MiB; a bundle never is", BUNDLE_BYTES_MAX / 1024 / 1024)]
    TooLong,
}

impl Bundle {
    /// Reads a bundle: what is whole of it, and how much is not.
    ///
    /// # Errors
    /// When the file is no bundle.
    pub fn read(bytes: &[u8]) -> Result<Self, NoBundle> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(NoBundle::TooLong);
        }
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(NoBundle::Other)?;
        let mut bundle = Self { entries: Vec::new(), damaged: 0, end: None, hashes: Vec::new() };
        let mut budget = BYTES_HASHED_MAX;
        while !rest.is_empty() && bundle.entries.len() < ENTRIES_MAX {
            match read_entry(rest, &mut budget) {
                Some((entry, hash, after)) => {
                    rest = after;
                    match entry {
                        Entry::End(end) => bundle.end = Some(end),
                        entry => {
                            bundle.hashes.push(hash);
                            bundle.entries.push(entry);
                        }
                    }
                }
                None => {
                    bundle.damaged += 1;
                    rest = next_whole(rest, &mut budget);
                }
            }
        }
        // Cut off before its end.
        bundle.damaged += usize::from(bundle.end.is_none());
        Ok(bundle)
    }

    /// Who wrote it, if its signature is by one of their receipt keys.
    pub fn origin(&self, receipt_keys: impl Fn(&OfficeId) -> Vec<VerifyingKey>) -> Option<Origin> {
        let end = self.end.as_ref()?;
        let statement: Statement = wire::decode(&end.statement).ok()?;
        let is_theirs = statement.version == 1
            && receipt_keys(&statement.office).contains(&end.key)
            && end.key.verify(Context::Bundle, &end.statement, &end.signature).is_ok();
        let is_whole = self.damaged == 0
            && statement.entries == self.hashes.len() as u64
            && statement.contents == contents(&self.hashes);
        is_theirs.then_some(Origin { office: statement.office, written: statement.written, is_whole })
    }
}

fn read_entry<'a>(bytes: &'a [u8], budget: &mut usize) -> Option<(Entry, Digest, &'a [u8])> {
    let rest = bytes.strip_prefix(MARK)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (hash, rest) = rest.split_first_chunk::<{ Digest::LENGTH }>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok().filter(|length| *length <= DIRECTORY_BYTES_MAX)?;
    let (body, rest) = rest.split_at_checked(length)?;
    *budget = budget.checked_sub(length)?;
    let hash = Digest::new(*hash);
    let entry = Some(body).filter(|body| sha256(&[body]) == hash).and_then(|body| wire::decode(body).ok())?;
    Some((entry, hash, rest))
}

/// From the next mark behind which an entry is whole.
fn next_whole<'a>(bytes: &'a [u8], budget: &mut usize) -> &'a [u8] {
    let starts = (1..bytes.len()).filter_map(|at| bytes.get(at..));
    let mut marked = starts.filter(|rest| rest.starts_with(MARK));
    marked.find(|rest| read_entry(rest, budget).is_some()).unwrap_or_default()
}

/// So many entries are read.
const ENTRIES_MAX: usize = 20_000;
/// So many bytes are hashed to find what is whole: a mark can stand in a packet by chance, or many of them by malice.
const BYTES_HASHED_MAX: usize = 4 * BUNDLE_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;
    use proptest::prelude::*;

    const WRITER: OfficeId = OfficeId::new([1; 32]);

    fn packet(byte: u8) -> Entry {
        Entry::Packet { to: OfficeId::new([2; 32]), packet: vec![byte; 100] }
    }

    fn written(key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::default();
        let receipt = Receipt::sign(Digest::new([7; 32]), WRITER, Timestamp::from_s(5), key);
        for entry in [packet(1), Entry::Receipt { to: OfficeId::new([2; 32]), receipt }, packet(2)] {
            assert!(writer.put(&entry));
        }
        writer.sign(WRITER, Timestamp::from_s(9), key)
    }

    #[test]
    fn what_is_written_is_read_and_known_to_be_whole() {
        let key = SigningKey::random(&mut os_rng());
        let bundle = Bundle::read(&written(&key)).unwrap();
        assert_eq!((bundle.entries.len(), bundle.damaged), (3, 0));
        let whole = Origin { office: WRITER, written: Timestamp::from_s(9), is_whole: true };
        assert_eq!(bundle.origin(|_| vec![key.verifying_key()]), Some(whole));
        assert_eq!(bundle.origin(|_| vec![SigningKey::random(&mut os_rng()).verifying_key()]), None);
        let mut other = bundle;
        other.entries.swap_remove(0);
        other.hashes.swap_remove(0);
        let less = Origin { is_whole: false, ..whole };
        assert_eq!(other.origin(|_| vec![key.verifying_key()]), Some(less), "something was taken out");
    }

    #[test]
    fn no_more_is_put_in_than_may_be_read() {
        let mut writer = Writer::default();
        let half = Entry::Network(vec![0; BUNDLE_BYTES_MAX / 2]);
        assert!(writer.put(&half) && !writer.put(&half) && writer.put(&packet(1)));
        let bytes = writer.sign(WRITER, Timestamp::from_s(9), &SigningKey::random(&mut os_rng()));
        assert_eq!(Bundle::read(&bytes).unwrap().entries.len(), 2);
        assert_eq!(Bundle::read(&vec![0; BUNDLE_BYTES_MAX + 1]), Err(NoBundle::TooLong));
        assert_eq!(Bundle::read(b"PK\x03\x04"), Err(NoBundle::Other));
    }

    proptest! {
        #[test]
        fn one_damaged_place_costs_one_entry(at in MAGIC.len()..400usize, bit in 0u8..8) {
            let key = SigningKey::random(&mut os_rng());
            let mut bytes = written(&key);
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 1 << bit;
            let bundle = Bundle::read(&bytes).unwrap();
            prop_assert!(bundle.entries.len() + usize::from(bundle.end.is_some()) >= 3);
            prop_assert!(bundle.damaged > 0 && bundle.origin(|_| vec![key.verifying_key()]).is_none_or(|origin| !origin.is_whole));
        }

        #[test]
        fn a_file_that_was_cut_off_gives_what_is_whole(cut in MAGIC.len()..400usize) {
            let bytes = written(&SigningKey::random(&mut os_rng()));
            let bundle = Bundle::read(bytes.get(..cut).unwrap_or(&bytes)).unwrap();
            prop_assert!(cut >= bytes.len() || bundle.damaged > 0);
        }

        #[test]
        fn nothing_that_comes_brings_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut file = MAGIC.to_vec();
            file.extend(&bytes);
            prop_assert!(Bundle::read(&file).is_ok());
        }
    }
}
