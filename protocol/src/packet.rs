//! What a packet's body holds, by kind. The preview carries no identity; the full body carries only the
//! fields that a permit covers, and says what is withheld.

use crate::bounded::{List, Text};
use crate::coded_enum;
use crate::directory::{Capacity, Card, NetworkFile};
use crate::id::{OfficeId, ThreadId};
use crate::limits::{
    BRIEF_BYTES_MAX, CLOCK_SKEW_SECONDS_MAX, CODE_BYTES_MAX, DOCUMENTS_SHARED_MAX, LINE_BYTES_MAX, LIST_MAX,
    MOVED_ITEMS_MAX, NEED_BYTES_MAX, PACKET_LIFETIME_HOURS, SHARED_FIELDS_MAX,
};
use crate::proposal::{Comment, Proposal};
use crate::referral::SignedEvent;
use crate::sample::{SampleAnswer, SampleQuestion};
use crate::statistics::Table;
use crate::tally::Tally;
use crate::template::Template;
use crate::terms::{Answer, Code, FieldGroup, Ground, Line, Money, Never, Purpose, SafeContact, Withheld};
use crate::time::{Day, Timestamp};
use casemesh_crypto::envelope::Header;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire::{self, NotCanonical};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

coded_enum!(
    /// The kinds of packets; the number stands in the signed statement.
    Kind {
        /// A referral's first event with its preview: a disclosure.
        ReferralPreview = 1 "referral_preview",
        /// What is released after acceptance: a disclosure.
        ReferralFull = 2 "referral_full",
        /// A later event of a referral: a reply.
        ReferralEvent = 3 "referral_event",
        /// "We opened your packet": a control packet.
        ReadReceipt = 4 "read_receipt",
        /// A table of statistics that staff approved: a control packet.
        StatisticsTable = 5 "statistics_table",
        /// The sender's new card, with the prekeys of the coming weeks: a control packet.
        Card = 6 "card",
        /// Names that the receiver's computer compares with its own, before acceptance: a disclosure.
        ConflictNames = 7 "conflict_names",
        /// Who was let into the network and who is out, or what its stewards decided: a control packet.
        News = 8 "news",
        /// Whether there is room, asked without a person: a control packet.
        CapacityQuestion = 9 "capacity_question",
        /// Its answer: a control packet.
        CapacityAnswer = 10 "capacity_answer",
        /// A full packet that waits at a hub until its recipient accepted: a disclosure.
        HeldFull = 11 "held_full",
        /// Part of a secure sum: a control packet.
        Tally = 12 "tally",
        /// A coordinator asks for a sample check: a control packet.
        SampleQuestion = 13 "sample_question",
        /// What an office says of it, in numbers alone: a control packet.
        SampleAnswer = 14 "sample_answer",
        /// What a coordinator proposes that the network agrees on.
        Proposal = 15 "proposal",
        /// What an office says of a proposal.
        Comment = 16 "comment",
    }
);

impl Kind {
    /// The kind with that number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.number() == number)
    }
}

/// Whether a packet with that header could have been made by now: one that says it lives longer would lie for ever.
pub fn is_timely(header: &Header, now: Timestamp) -> bool {
    let expires = Timestamp::from_h(header.expires_h);
    // Both ends of a lifetime are whole hours.
    let latest =
        Timestamp::from_h(now.h().saturating_add(PACKET_LIFETIME_HOURS + 1)).plus_ms(CLOCK_SKEW_SECONDS_MAX * 1_000);
    expires.h() >= now.h() && expires <= latest
}

/// What the receiver of a referral sees before it accepts: nothing that names the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Preview {
    /// Which service is asked for.
    #[n(0)]
    pub service: Code,
    /// What is needed, in words, without names.
    #[n(1)]
    pub need: Text<NEED_BYTES_MAX>,
    /// How the two offices call the person in this referral; another office gets another one.
    #[n(2)]
    pub pseudonym: Text<CODE_BYTES_MAX>,
    /// Age band, if known.
    #[n(3)]
    pub age_band: Option<Code>,
    /// Sex, if known.
    #[n(4)]
    pub sex: Option<Code>,
    /// The person's language.
    #[n(5)]
    pub language: Option<Code>,
    /// Whether an interpreter is needed.
    #[n(6)]
    pub interpreter: bool,
    /// Where, coarsely (a district).
    #[n(7)]
    pub area: Line,
    /// How to reach the person safely, without number or address.
    #[n(8)]
    pub safe_contact: SafeContact,
    /// For what the client consented.
    #[n(9)]
    pub purpose: Purpose,
    /// Until when the consent holds.
    #[n(10)]
    pub consent_expires: Timestamp,
    /// What would follow after acceptance.
    #[n(11)]
    pub will_share: List<FieldGroup, LIST_MAX>,
    /// What the client keeps back.
    #[n(12)]
    pub withheld: List<Withheld, LIST_MAX>,
    /// Of what kind the full packet would be.
    #[n(13)]
    pub template: Template,
    /// How many offices were asked for the same before, and how many passed the matter on before us.
    #[n(14)]
    pub chain: Chain,
    /// On which ground it goes without a consent; none where there is one.
    #[n(15)]
    pub ground: Option<Ground>,
    /// The hub at which the full packet waits for the acceptance, if it does.
    #[n(16)]
    pub held_at: Option<OfficeId>,
}

impl Preview {
    /// A request that tells nothing of the client: which service, of which kind, under a consent that holds until then.
    pub fn asking(service: Code, template: Template, consent_expires: Timestamp) -> Self {
        Self {
            service,
            need: Text::default(),
            pseudonym: Text::default(),
            age_band: None,
            sex: None,
            language: None,
            interpreter: false,
            area: Line::default(),
            safe_contact: SafeContact::default(),
            purpose: match template {
                Template::FullTransfer => Purpose::ShareForTransfer,
                _ => Purpose::ShareForService,
            },
            consent_expires,
            will_share: List::default(),
            withheld: List::default(),
            template,
            chain: Chain::default(),
            ground: None,
            held_at: None,
        }
    }

    /// Whether the case itself would be handed over, and not a service asked for.
    pub fn is_transfer(&self) -> bool {
        self.purpose == Purpose::ShareForTransfer
    }
}

/// Where a referral stands among others for the same need. Numbers, so that it names no other office.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Chain {
    /// How many offices were asked for the same before this one.
    #[n(0)]
    pub attempts_before: u8,
    /// How many offices the matter came through before it came to the sender.
    #[n(1)]
    pub offices_before: u8,
    /// Whether others are asked at the same time, and the first that accepts gets it.
    #[n(2)]
    pub is_open: bool,
}

/// One field that is shared, as a label and a text for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct SharedField {
    /// The group under which the consent lets it go.
    #[n(0)]
    pub group: FieldGroup,
    /// Which field: a name of the record format, translated on the screen.
    #[n(1)]
    pub field: Text<CODE_BYTES_MAX>,
    /// Its value.
    #[n(2)]
    pub value: Text<LINE_BYTES_MAX>,
}

/// What is released after acceptance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Full {
    /// Fields about the person.
    #[n(0)]
    pub fields: List<SharedField, SHARED_FIELDS_MAX>,
    /// The case in the worker's words, if its group is covered.
    #[n(1)]
    pub brief: Text<BRIEF_BYTES_MAX>,
    /// What the client keeps back, and why.
    #[n(2)]
    pub withheld: List<Withheld, LIST_MAX>,
    /// Whom to ask at the sender.
    #[n(3)]
    pub sender_contact: Line,
    /// How she may be contacted, with the words to say: whoever learns a way to reach her learns this too.
    #[n(4)]
    pub safe_contact: SafeContact,
    /// Who must never get anything about the client: it binds whoever receives this, too.
    #[n(5)]
    pub never: Option<List<Never, LIST_MAX>>,
    /// The case itself, or a part of it, where it is handed over.
    #[n(6)]
    pub moved: Option<Box<Moved>>,
    /// Documents that come after the packet, each as a file of its own.
    #[n(7)]
    pub documents: Option<List<SharedDocument, DOCUMENTS_SHARED_MAX>>,
}

impl Full {
    /// The documents that come with it.
    pub fn documents(&self) -> &[SharedDocument] {
        self.documents.as_ref().map(List::as_slice).unwrap_or_default()
    }

    /// These fields in place of earlier ones, with the documents that went before beside those that go now.
    #[must_use]
    pub fn after(mut self, earlier: Option<&Self>) -> Self {
        let mut all = self.documents().to_vec();
        for document in earlier.map(Self::documents).unwrap_or_default() {
            if all.len() < DOCUMENTS_SHARED_MAX && all.iter().all(|one| one.file != document.file) {
                all.push(document.clone());
            }
        }
        self.documents = Some(all).filter(|all| !all.is_empty()).and_then(|all| List::new(all).ok());
        self
    }
}

/// A document that is shared: what it is, and how the sealed file is known and opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct SharedDocument {
    /// What it is.
    #[n(0)]
    pub title: Line,
    /// What the file is called.
    #[n(1)]
    pub name: Line,
    /// How long it is, in bytes.
    #[n(2)]
    pub bytes: u64,
    /// SHA-256 of the sealed file.
    #[n(3)]
    pub file: Digest,
    /// How long the sealed file is, in bytes.
    #[n(4)]
    pub sealed_bytes: u64,
    /// The key of the file, drawn for this packet alone.
    #[serde(skip)]
    #[cbor(n(5), with = "minicbor::bytes")]
    pub key: [u8; 32],
}

impl std::fmt::Debug for SharedDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedDocument({:?})", self.file)
    }
}

/// What a case that is handed over brings along, or a part of it: each part fits a packet. Names of the sender's staff, its access
/// log, other clients and entries for its assigned workers alone stay behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Moved {
    /// Which part, from 0, and of how many.
    #[n(0)]
    pub part: u16,
    /// How many there are.
    #[n(1)]
    pub parts: u16,
    /// How often the case was handed over, this time included: whoever holds the highest number is responsible for it.
    #[n(2)]
    pub epoch: u32,
    /// Its number at the sender.
    #[n(3)]
    pub number: Line,
    /// The day on which it was opened.
    #[n(4)]
    pub opened: Day,
    /// Its type.
    #[n(5)]
    pub case_type: Option<Code>,
    /// Where the matter is dealt with.
    #[n(6)]
    pub forum: Option<Code>,
    /// How the client came.
    #[n(7)]
    pub source: Option<Code>,
    /// Coded facts.
    #[n(8)]
    pub facts: List<Code, LIST_MAX>,
    /// What was done, the oldest first.
    #[n(9)]
    pub entries: List<MovedEntry, MOVED_ITEMS_MAX>,
    /// What is still to be done, flags included.
    #[n(10)]
    pub tasks: List<MovedTask, MOVED_ITEMS_MAX>,
    /// Money claimed, agreed, paid.
    #[n(11)]
    pub payments: List<MovedPayment, MOVED_ITEMS_MAX>,
    /// How many entries stay behind because they are for the sender's assigned workers alone.
    #[n(12)]
    pub left_behind: u32,
}

/// An entry of a case that is handed over. Fields of a form that the receiver does not know arrive with label, type and value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct MovedEntry {
    /// What kind.
    #[n(0)]
    pub kind: Code,
    /// The day it happened.
    #[n(1)]
    pub on: Day,
    /// When it was written.
    #[n(2)]
    pub at: Timestamp,
    /// What happened.
    #[n(3)]
    pub text: Text<BRIEF_BYTES_MAX>,
    /// How many minutes it took.
    #[n(4)]
    pub minutes: Option<u16>,
    /// The form, and its version; none for a plain note.
    #[n(5)]
    pub form: Option<(Text<CODE_BYTES_MAX>, u16)>,
    /// What was answered, with the labels that the sender's form gives.
    #[n(6)]
    pub answers: List<(Line, Answer), LIST_MAX>,
}

/// Something that is still to be done in a case that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct MovedTask {
    /// What kind: a word that a reader who does not know it takes as something to do.
    #[n(0)]
    pub kind: Text<CODE_BYTES_MAX>,
    /// What is to be done.
    #[n(1)]
    pub title: Line,
    /// Until when.
    #[n(2)]
    pub due: Day,
}

/// Money of a case that is handed over. The office that recovered it has counted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct MovedPayment {
    /// What it is: a word.
    #[n(0)]
    pub kind: Text<CODE_BYTES_MAX>,
    /// How much.
    #[n(1)]
    pub money: Money,
    /// When it was paid or promised for.
    #[n(2)]
    pub on: Option<Day>,
    /// Who paid, how it was shown.
    #[n(3)]
    pub note: Text<LINE_BYTES_MAX>,
}

impl Full {
    /// The hash by which the event of the release refers to this.
    pub fn hash(&self) -> Digest {
        sha256(&[b"casemesh/1/full\0", &wire::encode(self)])
    }
}

impl Preview {
    /// The hash by which the first event refers to this.
    pub fn hash(&self) -> Digest {
        sha256(&[b"casemesh/1/preview\0", &wire::encode(self)])
    }
}

/// Names that the receiver's computer compares with its own. No person reads them there, and they are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ConflictNames {
    /// What the client is called.
    #[n(0)]
    pub client: List<Line, LIST_MAX>,
    /// What the parties of the case are called.
    #[n(1)]
    pub parties: List<Line, LIST_MAX>,
}

impl ConflictNames {
    /// The hash by which the event refers to this.
    pub fn hash(&self) -> Digest {
        sha256(&[b"casemesh/1/conflict-names\0", &wire::encode(self)])
    }
}

/// Whether an office could take somebody: about nobody, and without words.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CapacityQuestion {
    /// Drawn for this question.
    #[n(0)]
    pub question: ThreadId,
    /// Which service.
    #[n(1)]
    pub service: Code,
    /// How urgent: 0 routine, 1 urgent, 2 emergency.
    #[n(2)]
    pub urgency: u8,
    /// For which age band, if that matters.
    #[n(3)]
    pub age_band: Option<Code>,
    /// In which language, if that matters.
    #[n(4)]
    pub language: Option<Code>,
}

/// The answer of the office that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CapacityAnswer {
    /// Of which question.
    #[n(0)]
    pub question: ThreadId,
    /// Whether there is room.
    #[n(1)]
    pub capacity: Capacity,
    /// From which day on, where not now.
    #[n(2)]
    pub from: Option<Day>,
}

/// "We opened your packet": the packet by hash and id, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReadReceipt {
    /// SHA-256 of the packet.
    #[n(0)]
    pub packet_hash: Digest,
    /// Its id.
    #[n(1)]
    pub packet_id: crate::id::PacketId,
    /// When it was opened.
    #[n(2)]
    pub opened: Timestamp,
}

/// The body of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A referral's first event with its preview.
    ReferralPreview {
        /// The signed first event.
        event: SignedEvent,
        /// The preview that it names.
        preview: Box<Preview>,
    },
    /// The release after acceptance.
    ReferralFull {
        /// The signed event of the release.
        event: SignedEvent,
        /// What it names.
        full: Full,
    },
    /// A later event.
    ReferralEvent(SignedEvent),
    /// We opened your packet.
    ReadReceipt(ReadReceipt),
    /// A table of statistics.
    StatisticsTable(Table),
    /// Part of a secure sum.
    Tally(Box<Tally>),
    /// The sender's new card.
    Card(Card),
    /// Names to compare.
    ConflictNames {
        /// The signed event that asks.
        event: SignedEvent,
        /// The names.
        names: ConflictNames,
    },
    /// What is new in the network.
    News(NetworkFile),
    /// Whether there is room.
    CapacityQuestion(CapacityQuestion),
    /// Whether there is.
    CapacityAnswer(CapacityAnswer),
    /// What is released once its recipient accepted; the event that names it comes from the sender later.
    HeldFull(Full),
    /// A sample check is asked for.
    SampleQuestion(SampleQuestion),
    /// What an office says of one.
    SampleAnswer(SampleAnswer),
    /// What a coordinator proposes that the network agrees on.
    Proposal(Box<Proposal>),
    /// What an office says of a proposal.
    Comment(Comment),
}

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// We do not know this kind; a later version may.
    #[error("a packet of kind {0}, which this version does not know; update Casemesh")]
    UnknownKind(u16),
    /// The bytes are not of that kind.
    #[error("the body of the packet cannot be read")]
    Unreadable,
}

impl From<NotCanonical> for BodyError {
    fn from(_: NotCanonical) -> Self {
        Self::Unreadable
    }
}

impl Body {
    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ReferralPreview { .. } => Kind::ReferralPreview,
            Self::ReferralFull { .. } => Kind::ReferralFull,
            Self::ReferralEvent(_) => Kind::ReferralEvent,
            Self::ReadReceipt(_) => Kind::ReadReceipt,
            Self::StatisticsTable(_) => Kind::StatisticsTable,
            Self::Tally(_) => Kind::Tally,
            Self::Card(_) => Kind::Card,
            Self::ConflictNames { .. } => Kind::ConflictNames,
            Self::News(_) => Kind::News,
            Self::CapacityQuestion(_) => Kind::CapacityQuestion,
            Self::CapacityAnswer(_) => Kind::CapacityAnswer,
            Self::HeldFull(_) => Kind::HeldFull,
            Self::SampleQuestion(_) => Kind::SampleQuestion,
            Self::SampleAnswer(_) => Kind::SampleAnswer,
            Self::Proposal(_) => Kind::Proposal,
            Self::Comment(_) => Kind::Comment,
        }
    }

    /// The bytes of the body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::ReferralPreview { event, preview } => wire::encode(&(event, preview.as_ref())),
            Self::ReferralFull { event, full } => wire::encode(&(event, full)),
            Self::ReferralEvent(event) => wire::encode(event),
            Self::ReadReceipt(receipt) => wire::encode(receipt),
            Self::StatisticsTable(table) => wire::encode(table),
            Self::Tally(tally) => wire::encode(tally.as_ref()),
            Self::Card(card) => wire::encode(card),
            Self::ConflictNames { event, names } => wire::encode(&(event, names)),
            Self::News(news) => wire::encode(news),
            Self::CapacityQuestion(question) => wire::encode(question),
            Self::CapacityAnswer(answer) => wire::encode(answer),
            Self::HeldFull(full) => wire::encode(full),
            Self::SampleQuestion(question) => wire::encode(question),
            Self::SampleAnswer(answer) => wire::encode(answer),
            Self::Proposal(proposal) => wire::encode(proposal.as_ref()),
            Self::Comment(comment) => wire::encode(comment),
        }
    }

    /// Reads a body of that kind.
    ///
    /// # Errors
    /// When the kind is unknown or the bytes are not of it.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Self, BodyError> {
        Ok(match Kind::from_number(kind).ok_or(BodyError::UnknownKind(kind))? {
            Kind::ReferralPreview => {
                let (event, preview) = wire::decode(bytes)?;
                Self::ReferralPreview { event, preview: Box::new(preview) }
            }
            Kind::ReferralFull => {
                let (event, full) = wire::decode(bytes)?;
                Self::ReferralFull { event, full }
            }
            Kind::ReferralEvent => Self::ReferralEvent(wire::decode(bytes)?),
            Kind::ReadReceipt => Self::ReadReceipt(wire::decode(bytes)?),
            Kind::StatisticsTable => Self::StatisticsTable(wire::decode(bytes)?),
            Kind::Tally => Self::Tally(Box::new(wire::decode(bytes)?)),
            Kind::Card => Self::Card(wire::decode(bytes)?),
            Kind::ConflictNames => {
                let (event, names) = wire::decode(bytes)?;
                Self::ConflictNames { event, names }
            }
            Kind::News => Self::News(NetworkFile::read(bytes).map_err(|_| BodyError::Unreadable)?),
            Kind::CapacityQuestion => Self::CapacityQuestion(wire::decode(bytes)?),
            Kind::CapacityAnswer => Self::CapacityAnswer(wire::decode(bytes)?),
            Kind::HeldFull => Self::HeldFull(wire::decode(bytes)?),
            Kind::SampleQuestion => Self::SampleQuestion(wire::decode(bytes)?),
            Kind::SampleAnswer => Self::SampleAnswer(wire::decode(bytes)?),
            Kind::Proposal => Self::Proposal(Box::new(wire::decode(bytes)?)),
            Kind::Comment => Self::Comment(wire::decode(bytes)?),
        })
    }
}

/// How the two offices call a person in one referral: drawn anew for each, so that two receivers cannot
/// join what they hold.
pub fn pseudonym(office: &OfficeId, random: [u8; 4]) -> String {
    const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
    const VOWELS: &[u8; 4] = b"aeio";
    let digest = sha256(&[b"casemesh/1/pseudonym\0", office.as_bytes(), &random]);
    digest
        .as_bytes()
        .iter()
        .take(3)
        .flat_map(|byte| [CONSONANTS.get(usize::from(byte >> 4)), VOWELS.get(usize::from(byte & 3))])
        .flatten()
        .map(|&letter| char::from(letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_unknown_kind_or_shape_are_named_as_such() {
        assert_eq!(Body::decode(999, b""), Err(BodyError::UnknownKind(999)));
        for kind in Kind::ALL {
            assert_eq!(Body::decode(kind.number(), b"\xff"), Err(BodyError::Unreadable));
        }
    }

    #[test]
    fn a_pseudonym_can_be_said_aloud() {
        let name = pseudonym(&OfficeId::new([1; 32]), [1, 2, 3, 4]);
        assert_eq!(name.len(), 6);
        assert_ne!(name, pseudonym(&OfficeId::new([1; 32]), [1, 2, 3, 5]));
    }
}
