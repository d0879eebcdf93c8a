//! How a record becomes a row.
//!
//! ```text
//! key   = kind u8, HMAC(parent)[16], HMAC(id)[16]
//! value = version u8, kind u8, revision u64, key mode u8, key handle[16], sealed record
//! ```
//!
//! The seal is bound to the database and to everything before it in key and value, so that a row cannot
//! be moved, relabelled, or given another revision.

use super::{Shared, VaultError};
use casemesh_crypto::hash::keyed_name;
use casemesh_crypto::random::CryptoRng;
use casemesh_crypto::seal;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::shred::{KeyHandle, KeyRing, WrappedKey};
use casemesh_protocol::id::RecordId;
use minicbor::{Decode, Encode};
use std::sync::PoisonError;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 1 + 8 + 1 + 16;

casemesh_protocol::coded_enum!(
    /// What kind of record it is. Numbers are for ever.
    Kind {
        /// The office's settings.
        Settings = 1 "settings",
        /// A member of staff.
        Staff = 2 "staff",
        /// A line of the desk register.
        RegisterLine = 3 "register_line",
        /// A person.
        Person = 4 "person",
        /// A case.
        Case = 5 "case",
        /// An entry of a case: note, action, call, meeting.
        Action = 6 "action",
        /// Money promised or paid.
        Payment = 7 "payment",
        /// A consent.
        Consent = 8 "consent",
        /// A referral, sent or received.
        Referral = 9 "referral",
        /// A packet that waits or went.
        Outbox = 10 "outbox",
        /// A packet that was opened.
        Seen = 11 "seen",
        /// A table of statistics that left.
        Release = 12 "release",
        /// A table of statistics that came in.
        Collected = 13 "collected",
        /// An import.
        Import = 14 "import",
        /// A task.
        Task = 15 "task",
        /// What was typed and not saved.
        Draft = 16 "draft",
        /// Emergency access to a case.
        Glass = 17 "glass",
        /// A request for a second person's approval.
        Request = 18 "request",
        /// A relation between two registered persons.
        Link = 19 "link",
        /// A member of a group that is a client.
        Member = 20 "member",
        /// A document of a case.
        Document = 21 "document",
        /// A grant or project that work is counted for.
        Grant = 22 "grant",
        /// What the office says of a code list.
        OfficeList = 23 "office_list",
        /// A form that the office made or changed.
        OfficeForm = 24 "office_form",
        /// What the office counts on.
        Counters = 25 "counters",
        /// A service outside the network.
        Listing = 26 "listing",
        /// That another office was verified by voice.
        PartnerCheck = 27 "partner_check",
        /// Whether there is room, asked without a person.
        CapacityAsked = 28 "capacity_asked",
        /// What was decided about what the network asks.
        AgreementChoice = 29 "agreement_choice",
        /// At an aggregator, what it got of one office's report.
        TallyReport = 30 "tally_report",
        /// At an aggregator, a sum that it adds up.
        TallyKept = 31 "tally_kept",
        /// At a collector, what one aggregator added.
        TallyPart = 32 "tally_part",
        /// A report that is made again and again.
        SavedReport = 33 "saved_report",
        /// A sample check.
        SampleCheck = 34 "sample_check",
        /// The areas on the office's map.
        AreaMap = 35 "area_map",
        /// Codes that the network took up.
        NetworkCodes = 36 "network_codes",
        /// What is proposed that the network agrees on.
        Proposed = 37 "proposed",
        /// What an aggregator said of a report.
        TallyWord = 38 "tally_word",
        /// An agreement of the network, for when it ends.
        AgreementKept = 39 "agreement_kept",
    }
);

/// Something that the vault keeps.
pub trait Record: Encode<()> + for<'b> Decode<'b, ()> + Clone + Send + Sync + 'static {
    /// Its kind.
    const KIND: Kind;
    /// Its id.
    fn id(&self) -> RecordId;
    /// The record under which it is kept; [`Self::TOP`] when it stands alone.
    fn parent(&self) -> RecordId {
        Self::TOP
    }
    /// The persons it is about. It opens while the key of one of them lives; about nobody, it lives as
    /// long as the office.
    fn subjects(&self) -> Vec<KeyHandle>;
    /// The parent of records that stand alone.
    const TOP: RecordId = RecordId::new([0; 16]);
}

/// A record with its revision: what a later change must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<R> {
    /// The record.
    pub record: R,
    /// Its revision, from 1.
    pub revision: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyMode {
    Office = 0,
    Person = 1,
    Shared = 2,
}

struct Head {
    kind: u8,
    revision: u64,
    mode: u8,
    handle: KeyHandle,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend([VERSION, self.kind]);
        out.extend(self.revision.to_be_bytes());
        out.push(self.mode);
        out.extend(self.handle.as_bytes());
        out
    }

    fn split(value: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let (head, sealed) = value.split_at_checked(HEAD_BYTES)?;
        let [VERSION, kind, rest @ ..] = head else { return None };
        let (revision, rest) = rest.split_first_chunk::<8>()?;
        let (mode, handle) = rest.split_first()?;
        let head_fields = Self {
            kind: *kind,
            revision: u64::from_be_bytes(*revision),
            mode: *mode,
            handle: KeyHandle::from_slice(handle)?,
        };
        Some((head_fields, head, sealed))
    }
}

/// The revision of a stored value, without opening it.
pub(super) fn revision_of(value: &[u8]) -> Option<u64> {
    Head::split(value).map(|(head, _, _)| head.revision)
}

impl Shared {
    pub(super) fn row_key(&self, kind: Kind, parent: RecordId, id: RecordId) -> Vec<u8> {
        let mut key = self.row_prefix(kind, parent);
        key.extend(keyed_name(&self.names, &[b"id", id.as_bytes()]).as_bytes().iter().take(16));
        key
    }

    pub(super) fn row_prefix(&self, kind: Kind, parent: RecordId) -> Vec<u8> {
        let mut key = vec![u8::try_from(kind.number()).unwrap_or(u8::MAX)];
        key.extend(keyed_name(&self.names, &[b"parent", parent.as_bytes()]).as_bytes().iter().take(16));
        key
    }

    fn place(&self, key: &[u8], head: &[u8]) -> Vec<u8> {
        [b"casemesh/1/record\0", &self.keys.database.as_bytes()[..], key, head].concat()
    }

    /// Seals a record. When several persons share it, the new content key comes with it.
    pub(super) fn seal_record<R: Record>(
        &self,
        record: &R,
        plain: &[u8],
        key: &[u8],
        revision: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Option<WrappedKey>), VaultError> {
        let mut subjects = record.subjects();
        subjects.sort_unstable();
        subjects.dedup();
        let (mode, handle, content, wrapped) = match subjects.as_slice() {
            [] => (KeyMode::Office, KeyHandle::new([0; 16]), self.office_content.clone(), None),
            [one] => {
                let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
                let content = ring.of_person(one, &row_id(key), revision).ok_or(VaultError::Erased)?;
                (KeyMode::Person, *one, content, None)
            }
            _ => {
                let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
                subjects.retain(|subject| ring.knows(subject));
                if subjects.is_empty() {
                    return Err(VaultError::Erased);
                }
                let (handle, content) = (KeyHandle::random(rng), Secret::random(rng));
                let epoch = self.epoch.read().unwrap_or_else(PoisonError::into_inner);
                let wrapped = epoch.wrap(handle, subjects.clone(), &content, rng);
                ring.insert(handle, subjects, content.clone());
                (KeyMode::Shared, handle, content, Some(wrapped))
            }
        };
        let kind = u8::try_from(R::KIND.number()).unwrap_or(u8::MAX);
        let mut value = Head { kind, revision, mode: mode as u8, handle }.encode();
        let place = self.place(key, &value);
        value.extend(seal::seal(&content, &place, plain, rng));
        Ok((value, wrapped))
    }

    /// Opens a row's plain bytes.
    pub(super) fn open_row(
        &self,
        key: &[u8],
        value: &[u8],
    ) -> Result<(Kind, u64, zeroize::Zeroizing<Vec<u8>>), VaultError> {
        let (fields, head, sealed) = Head::split(value).ok_or(VaultError::DamagedRecord)?;
        let kind = Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.number() == u16::from(fields.kind))
            .ok_or(VaultError::DamagedRecord)?;
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let content = self.content_key(&ring, &fields, key)?;
        drop(ring);
        let plain = seal::open(&content, &self.place(key, head), sealed).map_err(|_| VaultError::DamagedRecord)?;
        Ok((kind, fields.revision, plain))
    }

    fn content_key(&self, ring: &KeyRing, head: &Head, key: &[u8]) -> Result<Secret, VaultError> {
        match head.mode {
            mode if mode == KeyMode::Office as u8 => Ok(self.office_content.clone()),
            mode if mode == KeyMode::Person as u8 => {
                ring.of_person(&head.handle, &row_id(key), head.revision).ok_or(VaultError::Erased)
            }
            mode if mode == KeyMode::Shared as u8 => ring.content(&head.handle).cloned().ok_or(VaultError::Erased),
            _ => Err(VaultError::DamagedRecord),
        }
    }

    pub(super) fn open_record<R: Record>(&self, key: &[u8], value: &[u8]) -> Result<Sealed<R>, VaultError> {
        let (kind, revision, plain) = self.open_row(key, value)?;
        if kind != R::KIND {
            return Err(VaultError::DamagedRecord);
        }
        let record: R = minicbor::decode(&plain).map_err(|_| VaultError::DamagedRecord)?;
        Ok(Sealed { record, revision })
    }

    pub(super) fn load<R: Record>(&self, key: &[u8]) -> Result<Option<Sealed<R>>, VaultError> {
        match self.store.get(key)? {
            None => Ok(None),
            Some(value) => match self.open_record(key, &value) {
                Err(VaultError::Erased) => Ok(None),
                other => other.map(Some),
            },
        }
    }
}

/// The last 16 bytes of a row's key: what a content key is derived for.
fn row_id(key: &[u8]) -> [u8; 16] {
    key.last_chunk::<16>().copied().unwrap_or_default()
}
