//! Who belongs to the network. Each office signs a card about itself: its genesis, its key log, its record
//! (name, kind, services, addresses, hubs) and its prekeys. The network's steward signs a file that grants
//! some offices membership and carries their cards. A node takes its directory from that file, pins the
//! steward's key at the first one, and believes nobody who is not in it.

use crate::bounded::List;
use crate::coded_enum;
use crate::id::OfficeId;
use crate::limits::{DIRECTORY_BYTES_MAX, DIRECTORY_OFFICES_MAX, LIST_MAX, PREKEYS_MAX};
use crate::terms::{Code, Line};
use crate::time::{Day, Timestamp};
use crate::timers::Rules;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::keylog::{Genesis, OfficeKeys, Signed};
use casemesh_crypto::prekey::Prekey;
use casemesh_crypto::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire::{self, Extensions};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

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
    /// Another steward's.
    #[error(
        "this file is signed by another steward than the one you joined with; do not use it, and call your steward"
    )]
    OtherSteward,
    /// The signature does not hold.
    #[error("the network file was changed after it was signed; ask for it again")]
    Signature,
    /// Older than what we have.
    #[error("this network file is older than the one in use (number {given}, in use {current})")]
    Older {
        /// Its number.
        given: u64,
        /// The number in use.
        current: u64,
    },
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

/// The network as its steward signs it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Network {
    #[n(0)]
    version: u8,
    /// Its name.
    #[n(1)]
    pub name: Line,
    /// Which issue of the file, rising.
    #[n(2)]
    pub number: u64,
    /// When it was signed.
    #[n(3)]
    pub made: Timestamp,
    /// The steward's key; its hash is the network's id.
    #[n(4)]
    pub steward: VerifyingKey,
    /// The members' cards: whoever is listed is granted membership.
    #[n(5)]
    pub members: List<Card, DIRECTORY_OFFICES_MAX>,
    /// How long the answers to a referral may take; as [`Rules::DEFAULT`] says where nothing is set.
    #[n(6)]
    pub rules: Option<Rules>,
}

/// The signed file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NetworkFile {
    #[cbor(n(0), with = "minicbor::bytes")]
    network: Vec<u8>,
    #[n(1)]
    signature: Signature,
}

impl NetworkFile {
    /// Signs the network.
    pub fn sign(
        name: Line,
        number: u64,
        made: Timestamp,
        members: List<Card, DIRECTORY_OFFICES_MAX>,
        rules: Option<Rules>,
        steward: &SigningKey,
    ) -> Self {
        let network = Network { version: 1, name, number, made, steward: steward.verifying_key(), members, rules };
        let network = wire::encode(&network);
        let signature = steward.sign(Context::Directory, &network);
        Self { network, signature }
    }
}

/// The members of the network, by id and by the peer id of their machines.
#[derive(Debug, Clone)]
pub struct Directory {
    steward: VerifyingKey,
    name: Line,
    number: u64,
    members: BTreeMap<OfficeId, Member>,
    rules: Rules,
}

impl Directory {
    /// Reads a network file. `pinned` is the steward that this node joined with, if it did.
    ///
    /// # Errors
    /// When the file is not signed by that steward, or a card in it does not hold.
    pub fn read(bytes: &[u8], pinned: Option<&VerifyingKey>) -> Result<Self, DirectoryError> {
        if bytes.len() > DIRECTORY_BYTES_MAX {
            return Err(DirectoryError::TooLong);
        }
        let file: NetworkFile = wire::decode(bytes).map_err(|_| DirectoryError::Unreadable)?;
        // Which steward claims to have signed must be known before the signature can be checked; nothing
        // else of the content is used until it holds.
        let network: Network = wire::decode(&file.network).map_err(|_| DirectoryError::Unreadable)?;
        if pinned.is_some_and(|pinned| *pinned != network.steward) {
            return Err(DirectoryError::OtherSteward);
        }
        network
            .steward
            .verify(Context::Directory, &file.network, &file.signature)
            .map_err(|_| DirectoryError::Signature)?;
        let members = network
            .members
            .iter()
            .map(|card| card.verify().map(|member| (member.keys.office(), member)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            steward: network.steward,
            name: network.name,
            number: network.number,
            members,
            rules: network.rules.filter(|rules| rules.is_sound()).unwrap_or(Rules::DEFAULT),
        })
    }

    /// The directory with a newer card of a member; none where the card brings nothing new.
    ///
    /// # Errors
    /// When the card is of nobody who belongs to the network, does not hold, or tells another past than the one that is known.
    pub fn with_card(&self, card: &Card) -> Result<Option<Self>, DirectoryError> {
        let office = card.genesis.office();
        let known = self.members.get(&office).ok_or(DirectoryError::Stranger(office))?;
        let member = card.verify()?;
        let is_newer = |one: &Member, other: &Member| {
            (one.keys.length(), one.record.number) > (other.keys.length(), other.record.number)
        };
        if !is_newer(&member, known) {
            return Ok(None);
        }
        if !known.keys.is_continued_by(&card.genesis, &card.log) {
            return Err(DirectoryError::OtherPast(office));
        }
        let mut next = self.clone();
        next.members.insert(office, member);
        Ok(Some(next))
    }

    /// The steward's key.
    pub fn steward(&self) -> VerifyingKey {
        self.steward
    }

    /// The network's id.
    pub fn network(&self) -> Digest {
        sha256(&[b"casemesh/1/network\0", self.steward.as_bytes()])
    }

    /// How long the answers to a referral may take.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The network's name.
    pub fn name(&self) -> &Line {
        &self.name
    }

    /// Which issue of the file it is.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A member.
    pub fn member(&self, office: &OfficeId) -> Option<&Member> {
        self.members.get(office)
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = (&OfficeId, &Member)> {
        self.members.iter()
    }

    /// The member whose certified machine has that peer id now.
    pub fn by_peer(&self, peer: &[u8], now: Timestamp) -> Option<(&OfficeId, &Member)> {
        self.members.iter().find(|(_, member)| member.keys.machine(peer, now.s()).is_some())
    }

    /// The sender's key of that name, if it was the sender's at that time.
    pub fn sender_key(&self, from: &OfficeId, key: &KeyId, created_s: u64) -> Option<VerifyingKey> {
        self.members.get(from)?.keys.node_key(key, created_s)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
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

    fn file(steward: &SigningKey, cards: Vec<Card>) -> Vec<u8> {
        let name = Line::new("Test network").unwrap();
        wire::encode(&NetworkFile::sign(name, 1, NOW, List::new(cards).unwrap(), None, steward))
    }

    #[test]
    fn a_signed_file_makes_its_offices_known_and_nobody_else() {
        let steward = SigningKey::random(&mut os_rng());
        let (card, _) = card("Shelter");
        let office = card.genesis.office();
        let directory = Directory::read(&file(&steward, vec![card]), Some(&steward.verifying_key())).unwrap();
        assert_eq!(directory.member(&office).unwrap().record.name.as_str(), "Shelter");
        assert_eq!(directory.by_peer(b"Shelter", NOW).unwrap().0, &office);
        assert!(directory.by_peer(b"Shelter", NOW.plus_days(365)).is_none(), "the machine's certificate ran out");
        assert!(directory.by_peer(b"Stranger", NOW).is_none());
        let member = directory.member(&office).unwrap();
        assert!(member.prekey(NOW).is_some() && member.prekey(NOW.plus_days(14)).is_none());
    }

    #[test]
    fn forged_files_and_cards_are_refused_with_what_to_do() {
        let steward = SigningKey::random(&mut os_rng());
        let other = SigningKey::random(&mut os_rng());
        let (good, _) = card("Shelter");
        let bytes = file(&steward, vec![good.clone()]);
        let pinned = Some(other.verifying_key());
        assert_eq!(Directory::read(&bytes, pinned.as_ref()).unwrap_err(), DirectoryError::OtherSteward);
        let mut changed = bytes.clone();
        let position = changed.windows(7).position(|window| window == b"Shelter").unwrap();
        changed[position] = b's';
        assert!(Directory::read(&changed, None).is_err());
        assert_eq!(Directory::read(b"hello", None).unwrap_err(), DirectoryError::Unreadable);

        let (mut foreign, _) = card("Foreign");
        foreign.genesis = good.genesis.clone();
        assert!(matches!(foreign.verify(), Err(DirectoryError::Card(_))));
        let (with_other_prekeys, _) = card("Other");
        let swapped = Card { prekeys: with_other_prekeys.prekeys.clone(), ..good };
        assert!(matches!(swapped.verify(), Err(DirectoryError::Card(_))));
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
