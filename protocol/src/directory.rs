//! Who belongs to the network. Each office signs a card about itself: its genesis, its key log, its record
//! (name, kind, services, addresses, hubs) and its prekeys. The network file carries the stewards' roots, the registrars'
//! admissions ([`crate::trust`]) and the cards. A node takes its directory from that file, pins the network at the first one, and
//! believes nobody who is not admitted. What comes later, by file or packet, is put together with what it has.

use crate::bounded::List;
use crate::coded_enum;
use crate::id::OfficeId;
use crate::limits::{DIRECTORY_BYTES_MAX, DIRECTORY_OFFICES_MAX, LIST_MAX, PREKEYS_MAX};
use crate::statistics::{AGREEMENTS_MAX, AgreementText, agreement_hash};
use crate::terms::{Code, Line};
use crate::time::{Day, Timestamp};
use crate::timers::Rules;
use crate::trust::{Admission, ROOTS_MAX, Registrar, Roots, SignedAdmission, SignedRoot, TrustError};
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::keylog::{Genesis, OfficeKeys, Signed};
use casemesh_crypto::prekey::Prekey;
use casemesh_crypto::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire::{self, Extensions};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

coded_enum!(
    /// What kind of office it is.
    OfficeKind {
        /// A community advice office.
        AdviceOffice = 1 "advice_office",
        /// Legal aid.
        LegalAid = 2 "legal_aid",
        /// Paralegals.
        Paralegal = 3 "paralegal",
        /// A shelter.
        Shelter = 4 "shelter",
        /// A police unit.
        PoliceUnit = 5 "police_unit",
        /// A clinic or hospital.
        Health = 6 "health",
        /// A government service.
        Statutory = 7 "statutory",
        /// Another organisation.
        Ngo = 8 "ngo",
        /// A hotline.
        Hotline = 9 "hotline",
        /// Coordinates; holds no clients.
        Coordination = 10 "coordination",
    }
);

coded_enum!(
    /// What a node does for the network.
    Role {
        /// Keeps clients and exchanges referrals.
        Office = 1 "office",
        /// Keeps sealed packets for offices that sleep.
        Hub = 2 "hub",
        /// Receives tables of statistics.
        Collector = 3 "collector",
    }
);

coded_enum!(
    /// Whether an office can take somebody in a service now (FHIR and HSDS have words like these).
    Capacity {
        /// The office does not say.
        NotSaid = 0 "not_said",
        /// There is room.
        Available = 1 "available",
        /// There is a waiting list.
        WaitingList = 2 "waiting_list",
        /// There is no room.
        None = 3 "none",
        /// Somebody has to be seen first.
        AssessedFirst = 4 "assessed_first",
    }
);

impl Capacity {
    /// In which order whoever looks for help asks: where there is room first.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Available => 0,
            Self::AssessedFirst => 1,
            Self::NotSaid => 2,
            Self::WaitingList => 3,
            Self::None => 4,
        }
    }
}

/// A service that an office offers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ServiceOffer {
    /// Which.
    #[n(0)]
    pub service: Code,
    /// For whom and how, in one line.
    #[n(1)]
    pub description: Line,
    /// The day on which somebody last confirmed it (HSDS `assured_date`).
    #[n(2)]
    pub assured: Day,
    /// From which age, in years.
    #[n(3)]
    pub min_age: Option<u8>,
    /// Up to which age, in years.
    #[n(4)]
    pub max_age: Option<u8>,
    /// Whether there is room.
    #[n(5)]
    pub capacity: Capacity,
}

/// What an office says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OfficeRecord {
    /// Who.
    #[n(0)]
    pub office: OfficeId,
    /// Its version: a later one replaces the earlier.
    #[n(1)]
    pub number: u64,
    /// Its name.
    #[n(2)]
    pub name: Line,
    /// Its kind.
    #[n(3)]
    pub kind: OfficeKind,
    /// What the node does.
    #[n(4)]
    pub roles: List<Role, 8>,
    /// What it offers.
    #[n(5)]
    pub services: List<ServiceOffer, LIST_MAX>,
    /// Languages spoken there.
    #[n(6)]
    pub languages: List<Line, LIST_MAX>,
    /// The area it serves.
    #[n(7)]
    pub area: Line,
    /// Where its node can be reached (multiaddresses); none for an office that hides its place.
    #[n(8)]
    pub addresses: List<Line, LIST_MAX>,
    /// Hubs that keep packets for it.
    #[n(9)]
    pub hubs: List<OfficeId, 8>,
    /// When it was written.
    #[n(10)]
    pub made: Timestamp,
    /// Until which day it takes nobody.
    #[n(11)]
    pub closed_until: Option<Day>,
    /// A telephone for other offices.
    #[n(12)]
    pub telephone: Line,
    #[n(13)]
    ext: Extensions,
    /// The collector that it tells its figures; none leaves it to the network ([`crate::levels`]).
    #[n(14)]
    pub reports_to: Option<OfficeId>,
}

impl OfficeRecord {
    /// Whether others are not told where its node is, and reach it by its hubs.
    pub fn is_hidden(&self) -> bool {
        self.addresses.as_slice().is_empty() && !self.hubs.as_slice().is_empty()
    }

    /// A record with nothing but the office's name and kind.
    pub fn new(office: OfficeId, name: Line, kind: OfficeKind, roles: List<Role, 8>, made: Timestamp) -> Self {
        Self {
            office,
            number: 1,
            name,
            kind,
            roles,
            services: List::default(),
            languages: List::default(),
            area: Line::default(),
            addresses: List::default(),
            hubs: List::default(),
            made,
            closed_until: None,
            telephone: Line::default(),
            ext: Extensions::default(),
            reports_to: None,
        }
    }
}

/// A prekey with the time in which packets may be sealed to it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PublishedPrekey {
    /// From when.
    #[n(0)]
    pub from: Timestamp,
    /// Until when.
    #[n(1)]
    pub until: Timestamp,
    /// The key.
    #[n(2)]
    pub prekey: Prekey,
}

/// The prekeys that an office published ahead.
pub type PrekeyList = List<PublishedPrekey, PREKEYS_MAX>;

/// Hash by which the key log names a prekey list.
pub fn prekey_list_hash(list: &PrekeyList) -> Digest {
    sha256(&[b"casemesh/1/prekeys\0", &wire::encode(list)])
}

/// All that an office says of itself, signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Card {
    /// Its first statement.
    #[n(0)]
    pub genesis: Genesis,
    /// Its key log.
    #[n(1)]
    pub log: Vec<Signed>,
    #[cbor(n(2), with = "minicbor::bytes")]
    record: Vec<u8>,
    #[n(3)]
    record_key: KeyId,
    #[n(4)]
    record_signature: Signature,
    /// Its prekeys; the key log names their hash.
    #[n(5)]
    pub prekeys: PrekeyList,
}

/// Why a card or a file is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Not a file of this kind.
    #[error("this is no Casemesh network file; ask the network's steward for the invitation again")]
    Unreadable,
    /// Larger than a network can be.
    #[error("the network file is larger than {DIRECTORY_BYTES_MAX} bytes")]
    TooLong,
    /// Another network's.
    #[error("this file is of another network than the one this office joined; do not use it, and call your steward")]
    OtherNetwork,
    /// A statement in it does not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A card of an office that the network does not know.
    #[error("office {0:?} does not belong to the network")]
    Stranger(OfficeId),
    /// A card whose key log does not go on where the known one ended.
    #[error("office {0:?} tells two stories of its keys; call them, and believe neither until you have spoken")]
    OtherPast(OfficeId),
    /// A card in it does not hold.
    #[error("the card of office {0:?} does not hold; ask that office for a new one")]
    Card(OfficeId),
}

/// An office that we believe, because its card holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What its key log says.
    pub keys: OfficeKeys,
    /// What it says of itself.
    pub record: OfficeRecord,
    /// Its prekeys.
    pub prekeys: PrekeyList,
}

impl Card {
    /// Writes a card: signs the record with a node key of the log.
    pub fn write(
        genesis: Genesis,
        log: Vec<Signed>,
        record: &OfficeRecord,
        prekeys: PrekeyList,
        key: &SigningKey,
    ) -> Self {
        let record = wire::encode(record);
        let record_signature = key.sign(Context::OfficeRecord, &record);
        Self { genesis, log, record, record_key: key.verifying_key().id(), record_signature, prekeys }
    }

    /// What the office says of itself, not believed yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self) -> Result<OfficeRecord, DirectoryError> {
        wire::decode(&self.record).map_err(|_| DirectoryError::Card(self.genesis.office()))
    }

    /// Believes the card, if all of it holds together.
    ///
    /// # Errors
    /// When key log, record, signature or prekeys do not.
    pub fn verify(&self) -> Result<Member, DirectoryError> {
        let wrong = DirectoryError::Card(self.genesis.office());
        let keys = OfficeKeys::follow(&self.genesis, &self.log).map_err(|_| wrong.clone())?;
        let record = self.record()?;
        let signer = keys.node_key(&self.record_key, record.made.s()).ok_or(wrong.clone())?;
        signer.verify(Context::OfficeRecord, &self.record, &self.record_signature).map_err(|_| wrong.clone())?;
        let holds = record.office == keys.office()
            && record.ext.is_bounded()
            && !keys.is_closed()
            && keys.prekey_list() == Some(prekey_list_hash(&self.prekeys));
        if holds { Ok(Member { keys, record, prekeys: self.prekeys.clone() }) } else { Err(wrong) }
    }
}

/// The last prekey should last at least so long: half a season, so that an office can be away for weeks.
const PREKEYS_AHEAD_DAYS: u64 = 49;
/// A machine's certificate is renewed so long before it ends.
const MACHINE_AHEAD_DAYS: u64 = 60;

impl Member {
    /// Whether the office should write a new card: its prekeys or its machine's certificate come to their end.
    pub fn is_to_renew(&self, now: Timestamp) -> bool {
        let last = self.prekeys.iter().map(|prekey| prekey.until).max().unwrap_or_default();
        let machines = self.keys.machines().iter().map(|machine| machine.until_s);
        last < now.plus_days(PREKEYS_AHEAD_DAYS) || machines.max() < Some(now.plus_days(MACHINE_AHEAD_DAYS).s())
    }

    /// The prekey to seal to now: of those in their time, the one that lasts longest.
    pub fn prekey(&self, now: Timestamp) -> Option<&PublishedPrekey> {
        self.prekeys.iter().filter(|prekey| prekey.from <= now && now < prekey.until).max_by_key(|prekey| prekey.until)
    }

    /// The keys whose receipts count for this office.
    pub fn receipt_keys(&self) -> Vec<VerifyingKey> {
        self.keys.machines().iter().map(|machine| machine.receipt_key).collect()
    }

    /// Whether the node has that role.
    pub fn has_role(&self, role: Role) -> bool {
        self.record.roles.as_slice().contains(&role)
    }
}

/// What is known of a network, or what is new of it: each statement in it is signed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NetworkFile {
    #[n(0)]
    version: u8,
    /// What its stewards decided, from the first decision on.
    #[n(1)]
    pub roots: List<SignedRoot, ROOTS_MAX>,
    /// Who was let in, and who is out.
    #[n(2)]
    pub admissions: List<SignedAdmission, ADMISSIONS_MAX>,
    /// What the offices say of themselves.
    #[n(3)]
    pub cards: List<Card, DIRECTORY_OFFICES_MAX>,
    /// The texts of what the stewards agreed that offices tell; those whose hash stands in their decision are believed.
    #[n(4)]
    pub agreements: List<AgreementText, AGREEMENTS_MAX>,
}

impl NetworkFile {
    /// A file of these statements.
    pub fn new(
        roots: List<SignedRoot, ROOTS_MAX>,
        admissions: List<SignedAdmission, ADMISSIONS_MAX>,
        cards: List<Card, DIRECTORY_OFFICES_MAX>,
    ) -> Self {
        Self { version: 3, roots, admissions, cards, agreements: List::default() }
    }

    /// Reads a file; nothing in it is believed yet.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, DirectoryError> {
        if bytes.len() > DIRECTORY_BYTES_MAX {
            return Err(DirectoryError::TooLong);
        }
        wire::decode(bytes).ok().filter(|file: &Self| file.version == 3).ok_or(DirectoryError::Unreadable)
    }
}

/// Statements about memberships that one network holds: of each office the last word of each registrar.
pub const ADMISSIONS_MAX: usize = 4 * DIRECTORY_OFFICES_MAX;
/// A card's size, encoded: a season of prekeys and many years of a key log.
const CARD_BYTES_MAX: usize = 256 * 1024;

/// The members of the network, by id and by the peer id of their machines, and the statements that say so.
///
/// One statement that does not hold spoils nothing but itself: it is left out, and [`Directory::doubts`] names it. Otherwise one
/// member could keep a file, and with it the word of its own end, from everybody.
#[derive(Debug, Clone)]
pub struct Directory {
    roots: Roots,
    /// The last word of each registrar about each office: if one is struck out, the others' words are still there.
    said: BTreeMap<(OfficeId, Registrar), (Admission, SignedAdmission)>,
    /// Which of them counts.
    admissions: BTreeMap<OfficeId, Admission>,
    cards: BTreeMap<OfficeId, Arc<Card>>,
    members: BTreeMap<OfficeId, Arc<Member>>,
    /// Offices whose card is known and who do not belong to the network, any more or yet.
    others: BTreeMap<OfficeId, Arc<Member>>,
    /// The agreements that hold, as far as their texts are known.
    agreements: Vec<Arc<AgreementText>>,
    doubts: Vec<DirectoryError>,
}

impl Directory {
    /// Reads a network file. `pinned` is the network that this node joined, if it did.
    ///
    /// # Errors
    /// When the file is of another network, or the stewards' decisions in it do not hold.
    pub fn read(bytes: &[u8], pinned: Option<&Digest>) -> Result<Self, DirectoryError> {
        let file = NetworkFile::read(bytes)?;
        let roots = Roots::follow(file.roots.as_slice())?;
        if pinned.is_some_and(|pinned| *pinned != roots.network()) {
            return Err(DirectoryError::OtherNetwork);
        }
        let begun = Self {
            roots,
            said: BTreeMap::new(),
            admissions: BTreeMap::new(),
            cards: BTreeMap::new(),
            members: BTreeMap::new(),
            others: BTreeMap::new(),
            agreements: Vec::new(),
            doubts: Vec::new(),
        };
        Ok(begun.with_statements(&file).0)
    }

    /// The directory with what a file knows beside it; none where that is nothing new.
    ///
    /// # Errors
    /// When the file is of another network, or the stewards' decisions in it contradict what is known or do not hold.
    pub fn with(&self, file: &NetworkFile) -> Result<Option<Self>, DirectoryError> {
        if Roots::follow(file.roots.as_slice().get(..1).unwrap_or_default())?.network() != self.network() {
            return Err(DirectoryError::OtherNetwork);
        }
        let roots = self.roots.clone().with(file.roots.as_slice())?;
        let has_new_root = roots.signed().len() > self.roots.signed().len();
        let (next, is_new) = Self { roots, ..self.clone() }.with_statements(file);
        Ok(Some(next).filter(|_| is_new || has_new_root))
    }

    /// Statements of the last file that did not hold and were left out.
    pub fn doubts(&self) -> &[DirectoryError] {
        &self.doubts
    }

    /// Puts cards and admissions to what is known: cards first, for registrars sign with the keys on theirs.
    fn with_statements(mut self, file: &NetworkFile) -> (Self, bool) {
        let mut changed = BTreeSet::new();
        self.doubts = Vec::new();
        for card in &file.cards {
            match self.take_card(card) {
                Ok(true) => drop(changed.insert(card.genesis.office())),
                Ok(false) => {}
                Err(doubt) => self.doubts.push(doubt),
            }
        }
        let mut is_new = false;
        for signed in &file.admissions {
            match self.take_admission(signed) {
                Ok(taken) => is_new |= taken,
                Err(doubt) => self.doubts.push(doubt),
            }
        }
        is_new |= self.settle(&changed);
        is_new |= self.take_agreements(file.agreements.as_slice());
        (self, is_new)
    }

    /// Takes a registrar's word, if it is the last that this one said of the office. Whether it is.
    /// Keeps the texts whose hash the stewards signed, in their order, and no others. Whether there is a new one.
    fn take_agreements(&mut self, texts: &[AgreementText]) -> bool {
        let known = std::mem::take(&mut self.agreements);
        let mut is_new = false;
        for agreed in &self.roots.current().agreements {
            let is_it = |text: &AgreementText| agreement_hash(text) == *agreed;
            if let Some(text) = known.iter().find(|text| is_it(text)) {
                self.agreements.push(Arc::clone(text));
            } else if let Some(text) = texts.iter().find(|text| is_it(text)) {
                self.agreements.push(Arc::new(text.clone()));
                is_new = true;
            }
        }
        is_new
    }

    /// The texts of the agreements that hold.
    pub fn agreements(&self) -> impl Iterator<Item = &AgreementText> {
        self.agreements.iter().map(AsRef::as_ref)
    }

    fn take_admission(&mut self, signed: &SignedAdmission) -> Result<bool, DirectoryError> {
        let said = signed.read()?;
        let place = (said.office, said.by);
        let known = self.said.get(&place).map(|(known, _)| known);
        if known.map_or(self.said.len() >= ADMISSIONS_MAX, |known| !said.outranks(known)) {
            return Ok(false);
        }
        let said = signed.verify(self.network(), |office, key, at_s| self.key_of(office, key, at_s))?;
        let is_believed = said.is_believed_by(self.roots.current());
        if is_believed {
            self.said.insert(place, (said, signed.clone()));
        }
        Ok(is_believed)
    }

    /// Finds anew whose word counts and who is in, now that something changed. Whether a changed card is of somebody who stays known.
    fn settle(&mut self, changed: &BTreeSet<OfficeId>) -> bool {
        let root = self.roots.current().clone();
        let mut said = std::mem::take(&mut self.said);
        // A registrar was struck out, or a key with which one signed was taken back since.
        said.retain(|_, (said, signed)| {
            let has_key = match said.by {
                Registrar::Key(_) => true,
                Registrar::Office(by) => self.key_of(&by, &signed.key(), said.made.s()).is_some(),
            };
            has_key && said.is_believed_by(&root)
        });
        // An office's word of its own end counts where somebody let it in: anybody can make up an office and end it.
        let is_registrar = |office: &OfficeId| root.registrars.as_slice().contains(&Registrar::Office(*office));
        let let_in: BTreeSet<OfficeId> =
            said.keys().filter(|(office, by)| *by != Registrar::Office(*office)).map(|(office, _)| *office).collect();
        said.retain(|(office, _), _| let_in.contains(office) || is_registrar(office));
        self.admissions.clear();
        for (office, said) in said.iter().map(|((office, _), (said, _))| (*office, *said)) {
            let counts = self.admissions.get(&office).is_none_or(|known| said.outranks(known));
            if counts {
                self.admissions.insert(office, said);
            }
        }
        self.said = said;
        // Of who was never let in, nothing is kept: a member could send cards without end.
        let is_told = |office: &OfficeId| {
            let was_registrar = root.retired.iter().any(|(retired, _)| *retired == Registrar::Office(*office));
            self.admissions.contains_key(office) || was_registrar || is_registrar(office)
        };
        self.cards.retain(|office, _| is_told(office));
        let all: BTreeMap<OfficeId, Arc<Member>> =
            std::mem::take(&mut self.members).into_iter().chain(std::mem::take(&mut self.others)).collect();
        for (office, member) in all.into_iter().filter(|(office, _)| self.cards.contains_key(office)) {
            let side = if self.is_admitted(&office) { &mut self.members } else { &mut self.others };
            side.insert(office, member);
        }
        changed.iter().any(|office| self.cards.contains_key(office))
    }

    /// A registrar office is in by the stewards' word, until somebody ends it.
    fn is_admitted(&self, office: &OfficeId) -> bool {
        match self.admissions.get(office) {
            Some(said) => said.is_admitted(),
            None => self.roots.current().registrars.as_slice().contains(&Registrar::Office(*office)),
        }
    }

    fn known(&self, office: &OfficeId) -> Option<&Arc<Member>> {
        self.members.get(office).or_else(|| self.others.get(office))
    }

    fn key_of(&self, office: &OfficeId, key: &KeyId, at_s: u64) -> Option<VerifyingKey> {
        self.known(office)?.keys.node_key(key, at_s)
    }

    /// Takes a card that holds, if it is new. Whether it is.
    fn take_card(&mut self, card: &Card) -> Result<bool, DirectoryError> {
        let office = card.genesis.office();
        if self.cards.get(&office).is_some_and(|known| **known == *card) {
            return Ok(false);
        }
        if wire::encode(card).len() > CARD_BYTES_MAX {
            return Err(DirectoryError::Card(office));
        }
        let member = card.verify()?;
        if let (Some(known), Some(known_card)) = (self.known(&office), self.cards.get(&office)) {
            let is_fork = member.keys.length() == known.keys.length() && member.keys.head() != known.keys.head();
            let age = |one: &Member, card: &Card| (one.keys.length(), one.record.number, card.record.clone());
            if !is_fork && age(&member, card) <= age(known, known_card) {
                return Ok(false);
            }
            if !known.keys.is_continued_by(&card.genesis, &card.log) {
                return Err(DirectoryError::OtherPast(office));
            }
        } else if self.cards.len() >= DIRECTORY_OFFICES_MAX {
            return Err(DirectoryError::TooLong);
        }
        let is_member = self.members.contains_key(&office);
        let side = if is_member { &mut self.members } else { &mut self.others };
        side.insert(office, Arc::new(member));
        self.cards.insert(office, Arc::new(card.clone()));
        Ok(true)
    }

    /// The directory with a newer card of a member; none where the card brings nothing new.
    ///
    /// # Errors
    /// When the card is of nobody who belongs to the network, does not hold, or tells another past than the one that is known.
    pub fn with_card(&self, card: &Card) -> Result<Option<Self>, DirectoryError> {
        let office = card.genesis.office();
        if !self.members.contains_key(&office) {
            return Err(DirectoryError::Stranger(office));
        }
        let mut next = self.clone();
        let is_new = next.take_card(card)?;
        Ok(Some(next).filter(|_| is_new))
    }

    /// All that is known, as a file for somebody else.
    pub fn file(&self) -> NetworkFile {
        self.file_about(|_| true)
    }

    /// What is known of some offices, as a file for somebody else, with the stewards' decisions.
    pub fn file_about(&self, is_meant: impl Fn(&OfficeId) -> bool) -> NetworkFile {
        let said = self.said.iter().filter(|((office, _), _)| is_meant(office));
        let cards = self.cards.iter().filter(|(office, _)| is_meant(office));
        let file = NetworkFile::new(
            List::new(self.roots.signed().to_vec()).unwrap_or_default(),
            List::new(said.map(|(_, (_, signed))| signed.clone()).collect()).unwrap_or_default(),
            List::new(cards.map(|(_, card)| card.as_ref().clone()).collect()).unwrap_or_default(),
        );
        NetworkFile { agreements: List::new(self.agreements().cloned().collect()).unwrap_or_default(), ..file }
    }

    /// What the stewards decided.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What was said last about an office's membership.
    pub fn admission(&self, office: &OfficeId) -> Option<&Admission> {
        self.admissions.get(office)
    }

    /// What was said last of every office.
    pub fn admissions(&self) -> impl Iterator<Item = &Admission> {
        self.admissions.values()
    }

    /// The network's id.
    pub fn network(&self) -> Digest {
        self.roots.network()
    }

    /// How long the answers to a referral may take.
    pub fn rules(&self) -> Rules {
        self.roots.current().rules.unwrap_or(Rules::DEFAULT)
    }

    /// The network's name.
    pub fn name(&self) -> &Line {
        &self.roots.current().name
    }

    /// Of when the last decision is that is known here, of stewards or of registrars.
    pub fn as_of(&self) -> Timestamp {
        let admissions = self.admissions.values().map(|said| said.made);
        admissions.chain([self.roots.current().made]).max().unwrap_or_default()
    }

    /// An office that is known and does not belong to the network, any more or yet.
    pub fn outsider(&self, office: &OfficeId) -> Option<&Member> {
        self.others.get(office).map(Arc::as_ref)
    }

    /// A member.
    pub fn member(&self, office: &OfficeId) -> Option<&Member> {
        self.members.get(office).map(Arc::as_ref)
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = (&OfficeId, &Member)> {
        self.members.iter().map(|(office, member)| (office, member.as_ref()))
    }

    /// Whether that peer id is one of a machine of some member now. Whose it is, the member's hello says: a certificate alone
    /// proves nothing about the key behind a peer id, and two could name the same.
    pub fn by_peer(&self, peer: &[u8], now: Timestamp) -> Option<(&OfficeId, &Member)> {
        self.members().find(|(_, member)| member.keys.machine(peer, now.s()).is_some())
    }

    /// The sender's key of that name, if it was the sender's at that time.
    pub fn sender_key(&self, from: &OfficeId, key: &KeyId, created_s: u64) -> Option<VerifyingKey> {
        self.members.get(from)?.keys.node_key(key, created_s)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::trust::{Decision, EndReason, Root};
    use casemesh_crypto::keylog::Step;
    use casemesh_crypto::prekey::PrekeySecret;
    use casemesh_crypto::random::os_rng;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    fn card(name: &str) -> (Card, SigningKey) {
        let rng = &mut os_rng();
        let [root, next, node] = [(); 3].map(|()| SigningKey::random(rng));
        let genesis = Genesis::new(root.verifying_key(), next.verifying_key(), name, NOW.s());
        let prekey = PrekeySecret::random(rng);
        let prekeys =
            List::new(vec![PublishedPrekey { from: NOW, until: NOW.plus_days(14), prekey: prekey.public().clone() }])
                .unwrap();
        let mut keys = OfficeKeys::genesis(&genesis);
        let mut log = Vec::new();
        let until_s = NOW.plus_days(365).s();
        for (step, key) in [
            (Step::Delegate { key: node.verifying_key(), from_s: NOW.s(), until_s }, &root),
            (Step::CertifyMachine { peer: name.into(), receipt_key: node.verifying_key(), until_s }, &node),
            (Step::PublishPrekeys { list: prekey_list_hash(&prekeys) }, &node),
        ] {
            let signed = keys.write(step, NOW.s(), key);
            keys = keys.step(&signed).unwrap();
            log.push(signed);
        }
        let roles = List::new(vec![Role::Office]).unwrap();
        let record = OfficeRecord::new(genesis.office(), Line::new(name).unwrap(), OfficeKind::Shelter, roles, NOW);
        (Card::write(genesis, log, &record, prekeys, &node), node)
    }

    fn roots(steward: &SigningKey) -> SignedRoot {
        let key = steward.verifying_key();
        let registrars = List::new(vec![Registrar::Key(key)]).unwrap();
        let name = Line::new("Test network").unwrap();
        let root = Root::first(name, List::new(vec![key]).unwrap(), 1, registrars, None, NOW);
        SignedRoot::proposed(&root).endorsed(steward)
    }

    fn network_of(steward: &SigningKey) -> Digest {
        Roots::follow(&[roots(steward)]).unwrap().network()
    }

    fn admit(
        steward: &SigningKey,
        before: Option<&Admission>,
        office: OfficeId,
        decision: Decision,
    ) -> SignedAdmission {
        let by = Registrar::Key(steward.verifying_key());
        let said = Admission::after(before, (network_of(steward), office), by, decision, NOW);
        SignedAdmission::sign(&said, steward)
    }

    fn file_of(steward: &SigningKey, admissions: Vec<SignedAdmission>, cards: Vec<Card>) -> NetworkFile {
        let roots = List::new(vec![roots(steward)]).unwrap();
        NetworkFile::new(roots, List::new(admissions).unwrap(), List::new(cards).unwrap())
    }

    fn file(steward: &SigningKey, cards: Vec<Card>) -> Vec<u8> {
        let admit = |card: &Card| admit(steward, None, card.genesis.office(), Decision::Admitted);
        wire::encode(&file_of(steward, cards.iter().map(admit).collect(), cards))
    }

    #[test]
    fn a_signed_file_makes_its_offices_known_and_nobody_else() {
        let steward = SigningKey::random(&mut os_rng());
        let (stranger, _) = card("Stranger");
        let (card, _) = card("Shelter");
        let office = card.genesis.office();
        let admitted = admit(&steward, None, office, Decision::Admitted);
        let bytes = wire::encode(&file_of(&steward, vec![admitted], vec![card, stranger]));
        let directory = Directory::read(&bytes, Some(&network_of(&steward))).unwrap();
        assert_eq!(directory.member(&office).unwrap().record.name.as_str(), "Shelter");
        assert_eq!(directory.by_peer(b"Shelter", NOW).unwrap().0, &office);
        assert!(directory.by_peer(b"Shelter", NOW.plus_days(365)).is_none(), "the machine's certificate ran out");
        assert!(directory.by_peer(b"Stranger", NOW).is_none(), "a card alone lets nobody in");
        let member = directory.member(&office).unwrap();
        assert!(member.prekey(NOW).is_some() && member.prekey(NOW.plus_days(14)).is_none());
        assert_eq!(wire::encode(&Directory::read(&bytes, None).unwrap().file()), wire::encode(&directory.file()));
    }

    #[test]
    fn forged_files_and_cards_are_refused_with_what_to_do() {
        let steward = SigningKey::random(&mut os_rng());
        let other = SigningKey::random(&mut os_rng());
        let (good, _) = card("Shelter");
        let bytes = file(&steward, vec![good.clone()]);
        let pinned = network_of(&other);
        assert_eq!(Directory::read(&bytes, Some(&pinned)).unwrap_err(), DirectoryError::OtherNetwork);
        let mut changed = bytes.clone();
        let position = changed.windows(7).position(|window| window == b"Shelter").unwrap();
        changed[position] = b's';
        let spoiled = Directory::read(&changed, None).unwrap();
        assert!(
            spoiled.members().next().is_none() && spoiled.doubts() == [DirectoryError::Card(good.genesis.office())]
        );
        assert_eq!(Directory::read(b"hello", None).unwrap_err(), DirectoryError::Unreadable);
        // Somebody who is no registrar lets nobody in.
        let own = admit(&other, None, good.genesis.office(), Decision::Admitted);
        let said = Admission::after(
            None,
            (network_of(&steward), good.genesis.office()),
            Registrar::Key(other.verifying_key()),
            Decision::Admitted,
            NOW,
        );
        let stranger = SignedAdmission::sign(&said, &other);
        let unbelieved = wire::encode(&file_of(&steward, vec![stranger], vec![good.clone()]));
        assert!(Directory::read(&unbelieved, None).unwrap().members().next().is_none());
        let foreign = wire::encode(&file_of(&steward, vec![own], vec![good.clone()]));
        let foreign = Directory::read(&foreign, None).unwrap();
        assert!(foreign.members().next().is_none());
        assert!(matches!(foreign.doubts(), [DirectoryError::Trust(TrustError::Admission(_))]));

        let (mut foreign, _) = card("Foreign");
        foreign.genesis = good.genesis.clone();
        assert!(matches!(foreign.verify(), Err(DirectoryError::Card(_))));
        let (with_other_prekeys, _) = card("Other");
        let swapped = Card { prekeys: with_other_prekeys.prekeys.clone(), ..good };
        assert!(matches!(swapped.verify(), Err(DirectoryError::Card(_))));
    }

    #[test]
    fn files_can_be_put_together_in_any_order_and_an_end_is_not_forgotten() {
        let steward = SigningKey::random(&mut os_rng());
        let (a, _) = card("Advice office");
        let (b, b_key) = card("Shelter");
        let (one, two) = (a.genesis.office(), b.genesis.office());
        let first = file_of(&steward, vec![admit(&steward, None, one, Decision::Admitted)], vec![a.clone()]);
        let granted = admit(&steward, None, two, Decision::Admitted);
        let second = file_of(&steward, vec![granted.clone()], vec![b.clone()]);
        let ended = Decision::Ended { reason: EndReason::Removed, successor: Some(one) };
        let removed = admit(&steward, Some(&granted.read().unwrap()), two, ended);
        let third = file_of(&steward, vec![removed.clone()], vec![]);
        let files = [&first, &second, &third];
        let mut ends = BTreeSet::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let begun = Directory::read(&wire::encode(files[order[0]]), None).unwrap();
            let all = order[1..].iter().fold(begun, |known, at| known.with(files[*at]).unwrap().unwrap());
            assert!(all.member(&one).is_some() && all.member(&two).is_none() && all.outsider(&two).is_some());
            assert_eq!(all.with(&second).unwrap().map(|_| ()), None, "an older file brings nobody back");
            ends.insert(wire::encode(&all.file()));
        }
        assert_eq!(ends.len(), 1, "one outcome");
        let known = Directory::read(ends.first().unwrap(), None).unwrap();
        assert_eq!(known.with_card(&b).unwrap_err(), DirectoryError::Stranger(two), "its card counts no more");
        // Let in anew by a registrar who knows of the end; and out again by itself.
        let anew = admit(&steward, Some(&removed.read().unwrap()), two, Decision::Admitted);
        let known = known.with(&file_of(&steward, vec![anew.clone()], vec![])).unwrap().unwrap();
        assert!(known.member(&two).is_some());
        let by = Registrar::Office(two);
        let itself = Admission::after(known.admission(&two), (known.network(), two), by, ended, NOW);
        let left = SignedAdmission::sign(&itself, &b_key);
        let known = known.with(&file_of(&steward, vec![left], vec![])).unwrap().unwrap();
        assert!(known.member(&two).is_none());
        let mut later = itself;
        later.number = 9;
        let forged = SignedAdmission::sign(&later, &steward);
        assert!(known.with(&file_of(&steward, vec![forged], vec![])).unwrap().is_none());
    }

    #[test]
    fn an_office_that_is_a_registrar_lets_others_in_and_not_when_it_is_struck_out() {
        let steward = SigningKey::random(&mut os_rng());
        let (a, a_key) = card("Support organisation");
        let (b, _) = card("Shelter");
        let (registrar, office) = (a.genesis.office(), b.genesis.office());
        let key = steward.verifying_key();
        let registrars = List::new(vec![Registrar::Office(registrar)]).unwrap();
        let stewards = List::new(vec![key]).unwrap();
        let root = Root::first(Line::new("Network").unwrap(), stewards, 1, registrars, None, NOW);
        let signed = SignedRoot::proposed(&root).endorsed(&steward);
        let roots = Roots::follow(std::slice::from_ref(&signed)).unwrap();
        let by = Registrar::Office(registrar);
        let said = Admission::after(None, (roots.network(), office), by, Decision::Admitted, NOW);
        let file = |roots: Vec<SignedRoot>, cards: Vec<Card>| {
            let admissions = List::new(vec![SignedAdmission::sign(&said, &a_key)]).unwrap();
            NetworkFile::new(List::new(roots).unwrap(), admissions, List::new(cards).unwrap())
        };
        let known = Directory::read(&wire::encode(&file(vec![signed.clone()], vec![b, a])), None).unwrap();
        assert!(known.member(&registrar).is_some() && known.member(&office).is_some());
        let next = |change: &dyn Fn(&mut Root)| {
            SignedRoot::proposed(&roots.next(NOW.plus_days(1), |root| change(root))).endorsed(&steward)
        };
        let struck = next(&|root| root.registrars = List::default());
        let after = known.with(&file(vec![signed.clone(), struck], vec![])).unwrap().unwrap();
        assert_eq!(after.members().count(), 0);
        let retired = next(&|root| {
            root.registrars = List::default();
            root.retired = List::new(vec![(by, NOW.plus_days(1))]).unwrap();
        });
        let after = known.with(&file(vec![signed, retired], vec![])).unwrap().unwrap();
        assert_eq!(after.members().map(|(id, _)| *id).collect::<Vec<_>>(), [office], "what it decided before holds");
    }

    #[test]
    fn what_somebody_makes_up_is_not_kept_and_one_bad_statement_spoils_no_other() {
        let steward = SigningKey::random(&mut os_rng());
        let (made_up, its_key) = card("Made up");
        let (shelter, _) = card("Shelter");
        let (invented, office) = (made_up.genesis.office(), shelter.genesis.office());
        let ended = Decision::Ended { reason: EndReason::Left, successor: None };
        let by = Registrar::Office(invented);
        let itself = Admission::after(None, (network_of(&steward), invented), by, ended, NOW);
        let itself = SignedAdmission::sign(&itself, &its_key);
        let admitted = admit(&steward, None, office, Decision::Admitted);
        let forged = SignedAdmission::sign(&admitted.read().unwrap(), &its_key);
        let first = file_of(&steward, vec![forged, itself], vec![made_up.clone()]);
        let known = Directory::read(&wire::encode(&first), None).unwrap();
        assert!(known.outsider(&invented).is_none() && known.admission(&invented).is_none(), "nobody let it in");
        assert_eq!(known.file().cards.as_slice().len(), 0);
        let mut long = shelter.clone();
        long.record = vec![0; CARD_BYTES_MAX];
        let known = known.with(&file_of(&steward, vec![admitted], vec![long, shelter])).unwrap().unwrap();
        assert!(known.member(&office).is_some() && known.doubts() == [DirectoryError::Card(office)]);
    }

    #[test]
    fn with_a_registrar_falls_what_it_said_and_what_others_said_stands_in_any_order() {
        let steward = SigningKey::random(&mut os_rng());
        let [(a, a_key), (b, b_key), (shelter, _)] = ["Anna", "Ben", "Shelter"].map(card);
        let (anna, ben, office) = (a.genesis.office(), b.genesis.office(), shelter.genesis.office());
        let stewards = List::new(vec![steward.verifying_key()]).unwrap();
        let registrars = List::new(vec![Registrar::Office(anna), Registrar::Office(ben)]).unwrap();
        let root = Root::first(Line::new("Network").unwrap(), stewards, 1, registrars, None, NOW);
        let signed = SignedRoot::proposed(&root).endorsed(&steward);
        let roots = Roots::follow(std::slice::from_ref(&signed)).unwrap();
        let place = (roots.network(), office);
        let granted = Admission::after(None, place, Registrar::Office(anna), Decision::Admitted, NOW);
        let ended = Decision::Ended { reason: EndReason::Removed, successor: None };
        let later = NOW.plus_days(1);
        let out = Admission::after(Some(&granted), place, Registrar::Office(ben), ended, later);
        let file = |roots: Vec<SignedRoot>, said: Vec<SignedAdmission>, cards: Vec<Card>| {
            NetworkFile::new(List::new(roots).unwrap(), List::new(said).unwrap(), List::new(cards).unwrap())
        };
        let cards = || vec![a.clone(), b.clone(), shelter.clone()];
        let granted = file(vec![signed.clone()], vec![SignedAdmission::sign(&granted, &a_key)], cards());
        let out = file(vec![signed.clone()], vec![SignedAdmission::sign(&out, &b_key)], cards());
        let next = roots.next(later, |root| root.registrars = List::new(vec![Registrar::Office(anna)]).unwrap());
        let struck = file(vec![signed, SignedRoot::proposed(&next).endorsed(&steward)], vec![], cards());
        let files = [granted, out, struck];
        let mut ends = BTreeSet::new();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let begun = Directory::read(&wire::encode(&files[order[0]]), None).unwrap();
            let all = order[1..].iter().fold(begun, |known, at| match known.with(&files[*at]).unwrap() {
                Some(next) => next,
                None => known,
            });
            assert!(
                all.member(&office).is_some(),
                "who was let in by one, and put out by a registrar who was struck out"
            );
            ends.insert(wire::encode(&all.file().admissions));
        }
        assert_eq!(ends.len(), 1, "one outcome");

        // A stolen key is taken back: what was signed with it since falls, and the rest of the file is still read.
        let [(mut a, _), _] = [card("Unused"), card("Unused")];
        let rng = &mut os_rng();
        let [root_key, next_key, node] = [(); 3].map(|()| SigningKey::random(rng));
        let genesis = Genesis::new(root_key.verifying_key(), next_key.verifying_key(), "Anna", NOW.s());
        let mut keys = OfficeKeys::genesis(&genesis);
        let mut log = Vec::new();
        let add = |keys: &mut OfficeKeys, log: &mut Vec<_>, step, at: Timestamp, key: &SigningKey| {
            let signed = keys.write(step, at.s(), key);
            *keys = keys.clone().step(&signed).unwrap();
            log.push(signed);
        };
        let delegate = |key: &SigningKey, from: Timestamp| Step::Delegate {
            key: key.verifying_key(),
            from_s: from.s(),
            until_s: NOW.plus_days(365).s(),
        };
        let publish = || Step::PublishPrekeys { list: prekey_list_hash(&a.prekeys) };
        add(&mut keys, &mut log, delegate(&node, NOW), NOW, &root_key);
        add(&mut keys, &mut log, publish(), NOW, &node);
        let roles = List::new(vec![Role::Office]).unwrap();
        let record = OfficeRecord::new(genesis.office(), Line::new("Anna").unwrap(), OfficeKind::Ngo, roles, NOW);
        let before = Card::write(genesis.clone(), log.clone(), &record, a.prekeys.clone(), &node);
        let fresh = SigningKey::random(rng);
        let revoke = Step::Revoke { key: node.verifying_key().id(), since_s: later.s() };
        add(&mut keys, &mut log, revoke, later, &root_key);
        add(&mut keys, &mut log, delegate(&fresh, later), later, &root_key);
        add(&mut keys, &mut log, publish(), later, &fresh);
        let record = OfficeRecord { number: 2, made: later, ..record };
        a = Card::write(genesis.clone(), log, &record, a.prekeys.clone(), &fresh);
        let registrars = List::new(vec![Registrar::Office(genesis.office())]).unwrap();
        let stewards = List::new(vec![steward.verifying_key()]).unwrap();
        let root = Root::first(Line::new("Network").unwrap(), stewards, 1, registrars, None, NOW);
        let signed = SignedRoot::proposed(&root).endorsed(&steward);
        let network = Roots::follow(std::slice::from_ref(&signed)).unwrap().network();
        let (thief, _) = card("Thief");
        let by = Registrar::Office(genesis.office());
        let say = |office: OfficeId, made: Timestamp| {
            SignedAdmission::sign(&Admission::after(None, (network, office), by, Decision::Admitted, made), &node)
        };
        let said = vec![say(office, NOW), say(thief.genesis.office(), NOW.plus_days(9))];
        let stolen = file(vec![signed.clone()], said.clone(), vec![before, shelter.clone(), thief.clone()]);
        let known = Directory::read(&wire::encode(&stolen), None).unwrap();
        assert_eq!(known.members().count(), 3);
        let taken_back = file(vec![signed.clone()], vec![], vec![a.clone()]);
        let known = known.with(&taken_back).unwrap().unwrap();
        assert!(known.member(&office).is_some() && known.member(&thief.genesis.office()).is_none());
        let newcomer = file(vec![signed], said, vec![a, shelter, thief.clone()]);
        let newcomer = Directory::read(&wire::encode(&newcomer), None).unwrap();
        assert!(newcomer.member(&office).is_some() && newcomer.member(&thief.genesis.office()).is_none());
    }

    #[test]
    fn a_newer_card_goes_on_where_the_known_one_ended() {
        let steward = SigningKey::random(&mut os_rng());
        let (old, node) = card("Shelter");
        let directory = Directory::read(&file(&steward, vec![old.clone()]), None).unwrap();
        let office = old.genesis.office();
        assert!(directory.member(&office).unwrap().is_to_renew(NOW), "two weeks are no season");
        let later = NOW.plus_days(10);
        let renew = |old: &Card, weeks: u64| {
            let prekey = PrekeySecret::random(&mut os_rng());
            let until = later.plus_days(7 * weeks);
            let prekeys =
                List::new(vec![PublishedPrekey { from: later, until, prekey: prekey.public().clone() }]).unwrap();
            let keys = OfficeKeys::follow(&old.genesis, &old.log).unwrap();
            let step = Step::PublishPrekeys { list: prekey_list_hash(&prekeys) };
            let log = [old.log.clone(), vec![keys.write(step, later.s(), &node)]].concat();
            let roles = List::new(vec![Role::Office]).unwrap();
            let record = OfficeRecord::new(office, Line::new("Shelter").unwrap(), OfficeKind::Shelter, roles, later);
            Card::write(old.genesis.clone(), log, &record, prekeys, &node)
        };
        let new = renew(&old, 13);
        let next = directory.with_card(&new).unwrap().unwrap();
        assert!(next.member(&office).unwrap().prekey(later.plus_days(80)).is_some());
        assert!(!next.member(&office).unwrap().is_to_renew(later));
        // What an office says of itself can change without its keys; what it said before does not come back.
        let mut record = new.record().unwrap();
        (record.number, record.closed_until) = (record.number + 1, Some(later.day()));
        let said = Card::write(new.genesis.clone(), new.log.clone(), &record, new.prekeys.clone(), &node);
        let after = next.with_card(&said).unwrap().unwrap();
        assert_eq!(after.member(&office).unwrap().record.closed_until, Some(later.day()));
        assert!(after.with_card(&new).unwrap().is_none() && after.with_card(&said).unwrap().is_none());
        // The same card, an older one, one that tells another past, a stranger's, a changed one.
        assert!(next.with_card(&new).unwrap().is_none() && next.with_card(&old).unwrap().is_none());
        let fork = renew(&renew(&old, 13), 13);
        assert_eq!(next.with_card(&fork).unwrap_err(), DirectoryError::OtherPast(office));
        let (stranger, _) = card("Stranger");
        let who = stranger.genesis.office();
        assert_eq!(next.with_card(&stranger).unwrap_err(), DirectoryError::Stranger(who));
        let swapped = Card { prekeys: old.prekeys.clone(), ..renew(&new, 20) };
        assert_eq!(next.with_card(&swapped).unwrap_err(), DirectoryError::Card(office));
    }
}
