//! What an office keeps. Each record has a stable shape: fields are numbered and never renumbered; new ones
//! come behind and are optional, so that old rows still read.

use crate::calendars::Calendar;
use crate::keys::Slot;
use crate::vault::{Kind, Record};
use casemesh_crypto::factor::FactorSecret;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::passphrase::PasswordHash;
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::coded_enum;
use casemesh_protocol::consent::ConsentStatus;
use casemesh_protocol::delivery::Resends;
use casemesh_protocol::id::{OfficeId, PacketId, RecordId, StaffId, ThreadId};
use casemesh_protocol::packet::{CapacityAnswer, CapacityQuestion, Full, Moved, Preview};
use casemesh_protocol::referral::{Side, SignedEvent, State, Step, Thread, ThreadEvent};
use casemesh_protocol::terms::{
    Answer, Code, ConsentTerms, Currency, FieldState, Money, Never, PartialDate, Purpose, SafeContact, Value,
};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers::{Awaited, Rules, Rung, Standing};
use casemesh_protocol::trust::EndReason;
use minicbor::{Decode, Encode};
use std::collections::HashMap;

mod statistics;

pub use statistics::*;

coded_enum!(
    /// What a member of staff may do (DESIGN 8).
    StaffRole {
        /// Works with clients.
        Caseworker = 1 "caseworker",
        /// Helps, with the least access.
        Volunteer = 2 "volunteer",
        /// Leads caseworkers.
        Supervisor = 3 "supervisor",
        /// Takes visitors and incoming referrals.
        IntakeDesk = 4 "intake_desk",
        /// Runs accounts and settings; sees no case content.
        Administrator = 5 "administrator",
        /// Sees figures.
        Reporting = 6 "reporting",
        /// Reads the log.
        Auditor = 7 "auditor",
    }
);

coded_enum!(
    /// How sure we are who a person is.
    IdentityLevel {
        /// No name was given.
        Anonymous = 1 "anonymous",
        /// A name that the person chose for us.
        Alias = 2 "alias",
        /// As the person says.
        SelfDeclared = 3 "self_declared",
        /// A document was seen.
        DocumentSeen = 4 "document_seen",
    }
);

coded_enum!(
    /// On what ground a person may be counted in statistics that leave the office.
    CountingBasis {
        /// The person agreed to detailed statistics.
        Consent = 1 "consent",
        /// As one of a number, by the office's decision; the person did not object.
        Headcount = 2 "headcount",
        /// Stated once for all people of an import.
        StatedAtImport = 3 "stated_at_import",
        /// None was stated: not counted.
        NotStated = 4 "not_stated",
        /// The person objected: not counted.
        Objected = 5 "objected",
    }
);

impl CountingBasis {
    /// Whether the person may be counted.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Consent | Self::Headcount | Self::StatedAtImport)
    }
}

coded_enum!(
    /// Where a case stands (domain.md c).
    CaseState {
        /// Being taken in.
        Intake = 1 "intake",
        /// Open.
        Opened = 2 "opened",
        /// Work goes on.
        InProgress = 3 "in_progress",
        /// Work rests.
        OnHold = 4 "on_hold",
        /// Resolved; not closed.
        Resolved = 5 "resolved",
        /// Watched for a time.
        Monitoring = 6 "monitoring",
        /// Closed.
        Closed = 7 "closed",
        /// Opened again.
        Reopened = 8 "reopened",
    }
);

impl CaseState {
    /// Whether the case is not closed.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Closed)
    }

    /// Where a case can be set to from here. Closing asks for a reason and has a way of its own; that work began is
    /// told by the first entry.
    pub const fn followers(self) -> &'static [Self] {
        match self {
            Self::Closed => &[Self::Reopened],
            // To rest longer, or for another reason.
            Self::OnHold => &[Self::InProgress, Self::OnHold, Self::Resolved, Self::Monitoring],
            Self::Resolved => &[Self::InProgress, Self::Monitoring],
            Self::Monitoring => &[Self::InProgress, Self::Resolved],
            Self::Intake | Self::Opened | Self::InProgress | Self::Reopened => {
                &[Self::OnHold, Self::Resolved, Self::Monitoring]
            }
        }
    }
}

coded_enum!(
    /// What an amount of money is.
    PaymentKind {
        /// The client claims it.
        Claimed = 1 "claimed",
        /// The other side agreed to it.
        Agreed = 2 "agreed",
        /// It was paid.
        Recovered = 3 "recovered",
        /// The other side offered it.
        Offered = 4 "offered",
        /// The other side promised to pay it, by a day.
        Promised = 5 "promised",
        /// A payment that did not come through.
        Bounced = 6 "bounced",
        /// Paid in goods or work; the amount is what that is worth.
        InKind = 7 "in_kind",
        /// What the case cost.
        Cost = 8 "cost",
        /// A fee that was waived.
        Waived = 9 "waived",
    }
);

coded_enum!(
    /// What kind of task it is.
    TaskKind {
        /// Something to do.
        ToDo = 1 "to_do",
        /// A deadline set by law or by a court.
        Deadline = 2 "deadline",
        /// A hearing or summons.
        Hearing = 3 "hearing",
        /// An appointment.
        Appointment = 4 "appointment",
        /// To ask how it went on.
        FollowUp = 5 "follow_up",
        /// To look again at a plan, a risk, a stay.
        Review = 6 "review",
        /// Something in the case that somebody must look into; it is resolved with a reason.
        Flag = 7 "flag",
    }
);

coded_enum!(
    /// For whom an entry of a case is.
    Tier {
        /// All who see the case.
        Normal = 1 "normal",
        /// What a client told her adviser in confidence: only who is assigned.
        Privileged = 2 "privileged",
        /// About health: only who is assigned.
        Medical = 3 "medical",
        /// A place of refuge and the like: only who is assigned.
        Protected = 4 "protected",
    }
);

#[expect(clippy::derivable_impls, reason = "the macro that declares it takes no default")]
impl Default for Tier {
    fn default() -> Self {
        Self::Normal
    }
}

coded_enum!(
    /// Where a task stands. That it is late is computed, never stored.
    TaskState {
        /// To be done.
        Open = 1 "open",
        /// Done.
        Done = 2 "done",
        /// Not to be done any more.
        Cancelled = 3 "cancelled",
    }
);

/// A person as other records point to them: the id, and the key under which records about them live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PersonRef {
    /// Which person.
    #[n(0)]
    pub id: RecordId,
    /// Their key.
    #[n(1)]
    pub key: KeyHandle,
}

/// Where an imported record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ImportMark {
    /// Which import brought it.
    #[n(0)]
    pub import: RecordId,
    /// Which row: a hash of source, content and occurrence.
    #[n(1)]
    pub row: RecordId,
}

/// The office's settings. There is one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Settings {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Three letters that case numbers start with.
    #[n(1)]
    pub code: String,
    /// All see all but sealed cases.
    #[n(2)]
    pub small_office: bool,
    /// The currency that forms start with.
    #[n(3)]
    pub currency: Currency,
    /// The language of people who did not choose one.
    #[n(5)]
    pub language: String,
    /// The pack that it started with; empty for none, which offers every code.
    #[n(7)]
    pub pack: String,
    /// Modules that are on.
    #[n(8)]
    pub modules: Vec<String>,
    /// Whether a caseworker's closure waits for a supervisor.
    #[cbor(n(9), default)]
    pub approve_closure: bool,
    /// Whether accounts that administer need a second factor.
    #[cbor(n(10), default)]
    pub factor_to_administer: bool,
    /// The time zone, a name of the IANA database; UTC when empty.
    #[cbor(n(11), default)]
    pub zone: String,
    /// Fields of a person that the form leaves out.
    #[cbor(n(12), default)]
    pub hidden_fields: Vec<String>,
    /// Figures that the office's page leaves out.
    #[cbor(n(13), default)]
    pub hidden_figures: Vec<String>,
    /// For so many minutes a referral that is not urgent can be taken back before it goes.
    #[cbor(n(14), default)]
    pub recall_minutes: u16,
    /// Where this office is stricter than its network on how long answers may take; zero where it is not.
    #[n(15)]
    pub timers: Option<Rules>,
}

/// What the office counts on. There is one, apart from the settings, whose history is what people changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Counters {
    /// How many case numbers each year has given.
    #[n(0)]
    pub case_numbers: Vec<(i16, u32)>,
    /// How many events of referrals this store has made.
    #[n(1)]
    pub events: u64,
}

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Staff {
    /// Who.
    #[n(0)]
    pub id: StaffId,
    /// The name to sign in with.
    #[n(1)]
    pub sign_in: String,
    /// The name to show.
    #[n(2)]
    pub name: String,
    /// Roles.
    #[n(3)]
    pub roles: Vec<StaffRole>,
    /// The password's hash; none for staff whose password opens the office (a slot in the key file).
    #[n(4)]
    pub password: Option<PasswordHash>,
    /// Whether the account is in use.
    #[n(5)]
    pub active: bool,
    /// Chosen language.
    #[n(6)]
    pub language: Option<String>,
    /// When it was made.
    #[n(7)]
    pub made: Timestamp,
    /// The second factor, if one is set up.
    #[n(8)]
    pub factor: Option<Factor>,
    /// The hash of the short number that opens a locked session again.
    #[n(9)]
    pub pin: Option<PasswordHash>,
    /// When the account ends by itself.
    #[n(10)]
    pub ends: Option<Timestamp>,
    /// Whether the password is one that somebody else chose: the first thing to do is to choose another.
    #[cbor(n(11), default)]
    pub first_password: bool,
    /// Sessions from before this do not count any more.
    #[n(12)]
    pub sessions_from: Option<Timestamp>,
    /// When they signed in last, and the time before: what changed since then is new to them.
    #[n(13)]
    pub signed_in: Option<(Timestamp, Option<Timestamp>)>,
    /// The team that they work in; empty for none. Those of a team see each other's cases; a supervisor in one leads it alone.
    #[cbor(n(14), default)]
    pub team: String,
}

impl Staff {
    /// Whether the account is in use.
    pub fn is_in_use(&self, now: Timestamp) -> bool {
        self.active && self.ends.is_none_or(|ends| now < ends)
    }
}

/// A second factor.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Factor {
    /// What the telephone shares with the office.
    #[n(0)]
    pub secret: FactorSecret,
    /// The last step whose code was used: none is good twice.
    #[n(1)]
    pub used: u64,
    /// Digests of the printed codes that were not used yet.
    #[n(2)]
    pub spare: Vec<Digest>,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Person {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The key under which records about this person live.
    #[n(1)]
    pub key: KeyHandle,
    /// How sure we are who it is.
    #[n(2)]
    pub identity: IdentityLevel,
    /// The name the person chose for us.
    #[n(3)]
    pub alias: String,
    /// Given names.
    #[n(4)]
    pub given: FieldState<String>,
    /// Family names.
    #[n(5)]
    pub family: FieldState<String>,
    /// The name in the person's own script.
    #[n(6)]
    pub local_name: FieldState<String>,
    /// Birth date, as far as known.
    #[n(7)]
    pub birth: FieldState<PartialDate>,
    /// Age band, where no date is known.
    #[n(8)]
    pub age_band: FieldState<Code>,
    /// Sex.
    #[n(9)]
    pub sex: FieldState<Code>,
    /// Nationality, ISO 3166-1 alpha-2.
    #[n(10)]
    pub nationality: FieldState<Code>,
    /// Language.
    #[n(11)]
    pub language: FieldState<Code>,
    /// Whether an interpreter is needed.
    #[n(12)]
    pub interpreter: bool,
    /// Telephone.
    #[n(13)]
    pub telephone: FieldState<String>,
    /// Address.
    #[n(14)]
    pub address: FieldState<String>,
    /// The district or the like, coarse enough for a preview.
    #[n(15)]
    pub area: FieldState<String>,
    /// Number of a document.
    #[n(16)]
    pub identifier: FieldState<String>,
    /// How to reach the person safely.
    #[n(17)]
    pub safe_contact: SafeContact,
    /// On what ground the person may be counted.
    #[n(18)]
    pub counting: CountingBasis,
    /// Where an imported person comes from.
    #[n(19)]
    pub import: Option<ImportMark>,
    /// When the record was made.
    #[n(20)]
    pub made: Timestamp,
    /// By whom.
    #[n(21)]
    pub made_by: Option<StaffId>,
    /// Members of staff for whom this person and all their cases do not exist: the conflict list.
    #[cbor(n(22), default)]
    pub barred: Vec<StaffId>,
    /// The birth date as it was said, in the calendar it was said in; none where that is the Gregorian date.
    #[n(23)]
    pub birth_said: Option<(Calendar, String)>,
    /// The address shows only after a click that is noted.
    #[cbor(n(24), default)]
    pub address_protected: bool,
    /// The person that this record turned out to be about, too. Everything of this one is shown there.
    #[n(25)]
    pub merged_into: Option<RecordId>,
    /// Persons that somebody compared with this one and found to be others.
    #[cbor(n(26), default)]
    pub different_from: Vec<RecordId>,
    /// Whether it stands for a group that is one client: its members are on its roll.
    #[cbor(n(27), default)]
    pub is_group: bool,
    /// Who must never get anything about this person, whatever a consent says.
    #[cbor(n(28), default)]
    pub never: Vec<Never>,
}

impl Person {
    /// A person of whom nothing is known yet.
    pub fn unknown(id: RecordId, key: KeyHandle, made: Timestamp, made_by: Option<StaffId>) -> Self {
        Self {
            id,
            key,
            identity: IdentityLevel::Anonymous,
            alias: String::new(),
            given: FieldState::NotAsked,
            family: FieldState::NotAsked,
            local_name: FieldState::NotAsked,
            birth: FieldState::NotAsked,
            age_band: FieldState::NotAsked,
            sex: FieldState::NotAsked,
            nationality: FieldState::NotAsked,
            language: FieldState::NotAsked,
            interpreter: false,
            telephone: FieldState::NotAsked,
            address: FieldState::NotAsked,
            area: FieldState::NotAsked,
            identifier: FieldState::NotAsked,
            safe_contact: SafeContact::default(),
            counting: CountingBasis::Headcount,
            import: None,
            made,
            made_by,
            barred: Vec::new(),
            birth_said: None,
            address_protected: false,
            merged_into: None,
            different_from: Vec::new(),
            is_group: false,
            never: Vec::new(),
        }
    }

    /// The name to show: names, else the alias, else nothing.
    pub fn display_name(&self) -> String {
        let parts: Vec<&str> =
            [&self.given, &self.family].into_iter().filter_map(|part| part.value()).map(String::as_str).collect();
        match (parts.is_empty(), self.local_name.value()) {
            (false, _) => parts.join(" "),
            (true, Some(local)) => local.clone(),
            (true, None) => self.alias.clone(),
        }
    }

    /// How other records point to this person.
    pub fn reference(&self) -> PersonRef {
        PersonRef { id: self.id, key: self.key }
    }
}

/// A relation between two registered persons.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Link {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The one.
    #[n(1)]
    pub from: PersonRef,
    /// The other.
    #[n(2)]
    pub to: PersonRef,
    /// What the other is to the one: code of the list `relation`.
    #[n(3)]
    pub relation: Code,
    /// Whether they live together: a household.
    #[n(4)]
    pub lives_together: FieldState<bool>,
    /// Whether the other cares for the one.
    #[n(5)]
    pub is_caregiver: bool,
    /// The day on which it ended.
    #[n(6)]
    pub ended: Option<Day>,
    /// Who wrote it.
    #[n(7)]
    pub by: Option<StaffId>,
    /// When it was written.
    #[n(8)]
    pub at: Timestamp,
}

/// A member of a group that is one client: farm dwellers, dismissed workers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Member {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The group.
    #[n(1)]
    pub group: PersonRef,
    /// The person, if registered.
    #[n(2)]
    pub person: Option<PersonRef>,
    /// The name as on the roll.
    #[n(3)]
    pub name: String,
    /// Telephone.
    #[n(4)]
    pub telephone: String,
    /// Whether the member speaks for the group.
    #[n(5)]
    pub speaks: bool,
    /// Whether the member agreed to what the group does.
    #[n(6)]
    pub agreed: FieldState<bool>,
    /// What came of it for the member: code of the list `closure_reason`.
    #[n(7)]
    pub outcome: Option<Code>,
    /// How much the member got.
    #[n(8)]
    pub amount: Option<Money>,
    /// Who wrote it.
    #[n(9)]
    pub by: Option<StaffId>,
    /// When it was last written.
    #[n(10)]
    pub at: Timestamp,
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Case {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Its number: code, year, count.
    #[n(1)]
    pub number: String,
    /// Whose case it is.
    #[n(2)]
    pub clients: Vec<PersonRef>,
    /// Its type.
    #[n(3)]
    pub case_type: FieldState<Code>,
    /// In the worker's words.
    #[n(4)]
    pub summary: String,
    /// Where it stands.
    #[n(5)]
    pub state: CaseState,
    /// The day it was opened.
    #[n(6)]
    pub opened: Day,
    /// The day it was closed, and why.
    #[n(7)]
    pub closed: Option<Closure>,
    /// Who is responsible.
    #[n(8)]
    pub owner: Option<StaffId>,
    /// Who else works on it.
    #[n(9)]
    pub assigned: Vec<StaffId>,
    /// Only who is assigned may see it, also in a small office.
    #[n(10)]
    pub sealed: bool,
    /// The last thing that happened.
    #[n(11)]
    pub last_activity: Timestamp,
    /// The referral it came by.
    #[n(12)]
    pub from_referral: Option<RecordId>,
    /// Coded facts of modules that this version shows as they are.
    #[n(13)]
    pub facts: Vec<Code>,
    /// Where an imported case comes from.
    #[n(14)]
    pub import: Option<ImportMark>,
    /// By whom it was opened.
    #[n(15)]
    pub made_by: Option<StaffId>,
    /// Other cases that belong to it, and why: code of the list `case_link`. They name this one, too.
    #[cbor(n(16), default)]
    pub linked: Vec<(RecordId, Code)>,
    /// A mediation: the office takes no side, and both are participants.
    #[cbor(n(17), default)]
    pub mediation: bool,
    /// Grants that the work is counted for.
    #[cbor(n(18), default)]
    pub grants: Vec<RecordId>,
    /// Whose was the last thing that happened; none where it came from another office.
    #[n(19)]
    pub last_by: Option<StaffId>,
    /// Where the matter is dealt with: code of the list `forum`.
    #[n(20)]
    pub forum: Option<Code>,
    /// How the client came to us: code of the list `case_source`.
    #[n(21)]
    pub source: Option<Code>,
    /// Why it rests or is watched, and until when.
    #[n(22)]
    pub rest: Option<Rest>,
    /// How often it was handed over from office to office before it was ours.
    #[cbor(n(23), default)]
    pub epoch: u32,
    /// To whom we handed it over: what is here is read and not changed any more.
    #[n(24)]
    pub handed: Option<Handed>,
}

/// To whom a case was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Handed {
    /// By which referral.
    #[n(0)]
    pub referral: RecordId,
    /// The other office's name at the time.
    #[n(1)]
    pub name: String,
    /// When.
    #[n(2)]
    pub at: Timestamp,
    /// Where the case stood before, should it come back.
    #[n(3)]
    pub state: CaseState,
    /// Tasks that moved along, and are to be done here again should it come back.
    #[cbor(n(4), default)]
    pub tasks: Vec<RecordId>,
}

/// Why a case rests or is watched, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Rest {
    /// Why: code of the list `hold_reason`; none for one that is watched.
    #[n(0)]
    pub reason: Option<Code>,
    /// The day on which somebody looks again.
    #[n(1)]
    pub until: Option<Day>,
}

/// Why and when a case was closed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Closure {
    /// When.
    #[n(0)]
    pub on: Day,
    /// Why.
    #[n(1)]
    pub reason: Code,
    /// How much help it was: code of the list `level_of_help`.
    #[n(2)]
    pub help: Option<Code>,
}

/// Something that somebody has to do by a day.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Task {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// In which case; none for the office's own.
    #[n(1)]
    pub case: Option<RecordId>,
    /// About whom.
    #[n(2)]
    pub subjects: Vec<KeyHandle>,
    /// What kind.
    #[n(3)]
    pub kind: TaskKind,
    /// What is to be done.
    #[n(4)]
    pub title: TaskTitle,
    /// Until when.
    #[n(5)]
    pub due: Day,
    /// Who has to do it; nobody yet is a fact that a supervisor must see.
    #[n(6)]
    pub owner: Option<StaffId>,
    /// Where it stands.
    #[n(7)]
    pub state: TaskState,
    /// The entry that it follows from.
    #[n(8)]
    pub from: Option<RecordId>,
    /// When it was done or cancelled, and by whom.
    #[n(9)]
    pub settled: Option<Settled>,
    /// Who wrote it.
    #[n(10)]
    pub by: Option<StaffId>,
    /// When it was written.
    #[n(11)]
    pub at: Timestamp,
    /// How a flag was resolved.
    #[cbor(n(12), default)]
    pub resolution: String,
}

/// What a task says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskTitle {
    /// Somebody's words.
    #[n(0)]
    Words(#[n(0)] String),
    /// It follows from a form: a key of the catalogues (`form-task-KEY`).
    #[n(1)]
    Form(#[n(0)] String),
}

/// When something was settled, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Settled {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// By whom.
    #[n(1)]
    pub by: Option<StaffId>,
}

/// An entry: a note, or a form that was filled in. It is never changed; a later entry corrects it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Action {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The case or person that it belongs to; [`Record::TOP`] for the office's own.
    #[n(1)]
    pub about: RecordId,
    /// About whom.
    #[n(2)]
    pub subjects: Vec<KeyHandle>,
    /// What kind.
    #[n(3)]
    pub kind: Code,
    /// The day it happened, or that stands on the paper.
    #[n(4)]
    pub on: Day,
    /// What happened.
    #[n(5)]
    pub text: String,
    /// How many minutes it took.
    #[n(6)]
    pub minutes: Option<u16>,
    /// Who wrote it.
    #[n(7)]
    pub by: Option<StaffId>,
    /// When it was written.
    #[n(8)]
    pub at: Timestamp,
    /// The form, and its version; none for a plain note.
    #[n(9)]
    pub form: Option<(String, u16)>,
    /// What was answered.
    #[n(10)]
    pub answers: Vec<Answer>,
    /// The entry that it follows from.
    #[n(11)]
    pub follows: Option<RecordId>,
    /// The entry that it corrects.
    #[n(12)]
    pub corrects: Option<RecordId>,
    /// For whom it is.
    #[cbor(n(13), default)]
    pub tier: Tier,
    /// The grant that it is counted for.
    #[n(14)]
    pub grant: Option<RecordId>,
    /// Whether it says only that the one it corrects was a mistake, or holds no more, and why.
    #[cbor(n(15), default)]
    pub void: bool,
}

impl Action {
    /// The code under which an entry of a form stands in the list of kinds.
    pub const FORM_LIST: &'static str = "form";

    /// A plain note.
    pub fn note(id: RecordId, about: RecordId, subjects: Vec<KeyHandle>, kind: Code, on: Day, at: Timestamp) -> Self {
        Self {
            id,
            about,
            subjects,
            kind,
            on,
            text: String::new(),
            minutes: None,
            by: None,
            at,
            form: None,
            answers: Vec::new(),
            follows: None,
            corrects: None,
            tier: Tier::Normal,
            grant: None,
            void: false,
        }
    }

    /// The other side of a case, of whom only the name is known yet.
    pub fn party(
        id: RecordId,
        case: RecordId,
        subjects: Vec<KeyHandle>,
        name: &str,
        on: Day,
        at: Timestamp,
    ) -> Option<Self> {
        let kind = Code::new(Self::FORM_LIST, crate::forms::VERSION, "party", "party").ok()?;
        let role = crate::codes::code("party_role", "respondent")?;
        let answer = |field: &str, value| Answer { field: field.into(), value: FieldState::Known(value) };
        Some(Self {
            form: Some(("party".into(), crate::forms::VERSION)),
            answers: vec![answer("party_role", Value::Code(role)), answer("party_name", Value::Text(name.to_owned()))],
            ..Self::note(id, case, subjects, kind, on, at)
        })
    }

    /// The answer to a field, if it is known.
    pub fn answer(&self, field: &str) -> Option<&Value> {
        self.answers.iter().find(|answer| answer.field == field)?.value.value()
    }
}

/// A document of a case. Its file lies sealed beside the journal; the key to it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Document {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// In which case.
    #[n(1)]
    pub case: RecordId,
    /// About whom.
    #[n(2)]
    pub subjects: Vec<KeyHandle>,
    /// What it is.
    #[n(3)]
    pub title: String,
    /// For whom it is.
    #[n(4)]
    pub tier: Tier,
    /// Its versions, the first one first. None is ever taken away.
    #[n(5)]
    pub versions: Vec<DocumentVersion>,
}

/// One version of a document.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DocumentVersion {
    /// The hash of the sealed file: its name.
    #[n(0)]
    pub file: Digest,
    /// The key that it alone is sealed under.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// The name it had when it came.
    #[n(2)]
    pub name: String,
    /// What kind of file it is, by its content.
    #[n(3)]
    pub media_type: String,
    /// Its length.
    #[n(4)]
    pub bytes: u64,
    /// Who brought it.
    #[n(5)]
    pub by: Option<StaffId>,
    /// When.
    #[n(6)]
    pub at: Timestamp,
}

impl std::fmt::Debug for DocumentVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DocumentVersion({})", self.file)
    }
}

/// Money of a case.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Payment {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// In which case.
    #[n(1)]
    pub case: RecordId,
    /// About whom.
    #[n(2)]
    pub subjects: Vec<KeyHandle>,
    /// Claimed, agreed or recovered.
    #[n(3)]
    pub kind: PaymentKind,
    /// How much.
    #[n(4)]
    pub money: Money,
    /// When it was paid.
    #[n(5)]
    pub paid: Option<Day>,
    /// Who paid, how it was shown.
    #[n(6)]
    pub note: String,
    /// Whether this office recovered it; what a partner reports is the partner's to count.
    #[n(7)]
    pub recovered_here: bool,
    /// Who wrote it.
    #[n(8)]
    pub by: Option<StaffId>,
    /// When it was written.
    #[n(9)]
    pub at: Timestamp,
    /// The payment whose place it takes.
    #[n(10)]
    pub corrects: Option<RecordId>,
    /// Whether it says only that the one it corrects was written by mistake.
    #[cbor(n(11), default)]
    pub void: bool,
}

/// A consent of a person.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Consent {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Whose.
    #[n(1)]
    pub person: PersonRef,
    /// Its terms.
    #[n(2)]
    pub terms: ConsentTerms,
    /// Given, refused or taken back.
    #[n(3)]
    pub status: ConsentStatus,
    /// Who explained it.
    #[n(4)]
    pub explained_by: Option<StaffId>,
    /// When it was written down.
    #[n(5)]
    pub at: Timestamp,
    /// Who decided to share without a consent, and why; none for what the client said.
    #[n(6)]
    pub overriding: Option<Overriding>,
}

/// A decision to share without a consent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Overriding {
    /// Who decided.
    #[n(0)]
    pub by: StaffId,
    /// Why.
    #[n(1)]
    pub reason: String,
    /// Who looked at it since.
    #[n(2)]
    pub reviewed: Option<Reviewed>,
}

/// That somebody looked at a decision, and what they found.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Reviewed {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// Who.
    #[n(1)]
    pub by: StaffId,
    /// What they found.
    #[n(2)]
    pub finding: String,
}

/// The four facts about what was sent: each stands for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Facts {
    /// Handed to the network.
    #[n(0)]
    pub sent: Option<Timestamp>,
    /// Stored by the other office's node, also while it is locked.
    #[n(1)]
    pub arrived: Option<Timestamp>,
    /// Opened and verified by the other office.
    #[n(2)]
    pub read: Option<Timestamp>,
    /// A person there answered.
    #[n(3)]
    pub answered: Option<Timestamp>,
    /// Put into a file that is carried by hand.
    #[n(4)]
    pub carried: Option<Timestamp>,
}

/// An event of a referral as we hold it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HeldEvent {
    /// The event with its author's signature.
    #[n(0)]
    pub signed: SignedEvent,
    /// Whether we are the author.
    #[n(1)]
    pub ours: bool,
    /// When it came to us.
    #[n(2)]
    pub at: Timestamp,
    /// Which of our staff made it, or wrote it down.
    #[n(3)]
    pub by: Option<StaffId>,
    /// Who told it, where the other office has no node: then we wrote it down and signed it.
    #[n(4)]
    pub told: Option<Told>,
}

/// Who told something that another office has to say, and how.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Told {
    /// Name and role.
    #[n(0)]
    pub by: String,
    /// How: code of the list `outside_way`.
    #[n(1)]
    pub how: Code,
}

/// What another office told beside its packets: it holds when its own signed event says the same.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Heard {
    /// The step that it would be.
    #[n(0)]
    pub step: Step,
    /// Who told it.
    #[n(1)]
    pub told: Told,
    /// When it was written down.
    #[n(2)]
    pub at: Timestamp,
    /// By whom.
    #[n(3)]
    pub by: Option<StaffId>,
    /// Whether the other office's event said the same, once one came that decides it.
    #[n(4)]
    pub confirmed: Option<bool>,
}

/// An office without a node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Outside {
    /// How the referral went, or came: code of the list `outside_way`.
    #[n(0)]
    pub how: Code,
    /// Its telephone, address and the like.
    #[n(1)]
    pub contact: String,
    /// Its number for this.
    #[n(2)]
    pub reference: String,
    /// What stands on the slip, so that an answer finds its referral.
    #[n(3)]
    pub code: String,
}

/// A referral, sent or received.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Referral {
    /// Which record.
    #[n(0)]
    pub id: RecordId,
    /// Its name on the wire.
    #[n(1)]
    pub thread: ThreadId,
    /// Whether we sent it.
    #[n(2)]
    pub outgoing: bool,
    /// The other office.
    #[n(3)]
    pub partner: OfficeId,
    /// The other office's name at the time.
    #[n(4)]
    pub partner_name: String,
    /// The person's key: our client's, or one made for the person we were told of.
    #[n(5)]
    pub key: KeyHandle,
    /// Our case.
    #[n(6)]
    pub case: Option<RecordId>,
    /// The client, at the sender.
    #[n(7)]
    pub client: Option<RecordId>,
    /// The consent, at the sender.
    #[n(8)]
    pub consent: Option<RecordId>,
    /// What the receiver sees before it accepts.
    #[n(9)]
    pub preview: Preview,
    /// What it gets after.
    #[n(10)]
    pub full: Option<Full>,
    /// Every event, in the order in which they came to us.
    #[n(11)]
    pub events: Vec<HeldEvent>,
    /// At the sender: what is known of the way of our request.
    #[n(12)]
    pub facts: Facts,
    /// How urgent: 0 routine, 1 urgent, 2 emergency.
    #[n(13)]
    pub urgency: u8,
    /// An answer is wanted by then.
    #[n(14)]
    pub respond_by: Timestamp,
    /// It ends without an answer then.
    #[n(15)]
    pub expires: Timestamp,
    /// Hash of our last packet in the thread.
    #[n(16)]
    pub last_packet: Digest,
    /// When what was received was erased, and where the referral stood then: a line of the statistics is left.
    #[n(17)]
    pub erased: Option<(Timestamp, State)>,
    /// The key under which it stood before, until that key is destroyed.
    #[n(18)]
    pub shed: Option<KeyHandle>,
    /// Whom we reminded last, and of what.
    #[n(19)]
    pub reminder: Option<Reminder>,
    /// The other office, where it has no node.
    #[n(20)]
    pub outside: Option<Outside>,
    /// What the other office told beside its packets.
    #[cbor(n(21), default)]
    pub heard: Vec<Heard>,
    /// What the client carries away: code of the list `carries`.
    #[n(22)]
    pub carries: Option<Code>,
    /// What the other office answered when it was asked to erase what it had received.
    #[n(23)]
    pub erasure_answer: Option<ErasureAnswer>,
    /// The referral for the same need that came before it: another office was asked, or the same one again.
    #[n(24)]
    pub follows: Option<RecordId>,
    /// The first of those that were asked at the same time; the first office that accepts gets it.
    #[n(25)]
    pub group: Option<RecordId>,
    /// Parts of a case that is being handed over to us, until all are here.
    #[cbor(n(26), default)]
    pub moved: Vec<Moved>,
    /// What our computer found when it compared the names that the sender asked about. The names are not kept.
    #[n(27)]
    pub compared: Option<Compared>,
    /// Consents under which something was shared before the one that it stands under now.
    #[cbor(n(28), default)]
    pub under_before: Vec<RecordId>,
}

/// What a comparison of names found among ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Compared {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// Persons who may be the client.
    #[n(1)]
    pub persons: Vec<RecordId>,
    /// Cases in which the client may be a party, or whose client may be a party of theirs.
    #[n(2)]
    pub cases: Vec<RecordId>,
    /// Too many were asked about in a day: nothing was compared.
    #[n(3)]
    pub too_many: bool,
}

/// What another office answered when it was asked to erase.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ErasureAnswer {
    /// When it came.
    #[n(0)]
    pub at: Timestamp,
    /// Whether everything is erased.
    #[n(1)]
    pub erased: bool,
    /// What is kept, and on which ground.
    #[n(2)]
    pub kept: String,
}

/// A reminder that somebody waits in a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Reminder {
    /// For what.
    #[n(0)]
    pub what: Awaited,
    /// How late.
    #[n(1)]
    pub rung: Rung,
    /// The task that it became.
    #[n(2)]
    pub task: RecordId,
}

impl Referral {
    /// A referral that begins: with the other office, what it asks, and its first event. One that comes to us; what a sender knows
    /// beside that is set where it is sent.
    pub fn begun(
        id: RecordId,
        key: KeyHandle,
        (partner, partner_name): (OfficeId, String),
        preview: Preview,
        first: HeldEvent,
        urgency: u8,
    ) -> Option<Self> {
        let event = first.signed.read().ok()?;
        let Step::Sent { respond_by, expires, .. } = event.step else { return None };
        Some(Self {
            id,
            thread: event.thread,
            outgoing: false,
            partner,
            partner_name,
            key,
            case: None,
            client: None,
            consent: None,
            preview,
            full: None,
            events: vec![first],
            facts: Facts::default(),
            urgency,
            respond_by,
            expires,
            last_packet: Digest::ZERO,
            erased: None,
            shed: None,
            reminder: None,
            outside: None,
            heard: Vec::new(),
            carries: None,
            erasure_answer: None,
            follows: None,
            group: None,
            moved: Vec::new(),
            compared: None,
            under_before: Vec::new(),
        })
    }

    /// Our side.
    pub fn side(&self) -> Side {
        if self.outgoing { Side::Sender } else { Side::Receiver }
    }

    /// The fold of its events.
    pub fn thread(&self) -> Thread {
        let (ours, theirs) = match self.side() {
            Side::Sender => (Side::Sender, Side::Receiver),
            Side::Receiver => (Side::Receiver, Side::Sender),
        };
        Thread::fold(self.events.iter().filter_map(|held| {
            let event = held.signed.read().ok()?;
            Some(ThreadEvent { hash: held.signed.hash(), side: if held.ours { ours } else { theirs }, event })
        }))
    }

    /// Whether the sender asked us to erase what we received.
    pub fn is_to_erase(&self) -> bool {
        !self.outgoing && self.thread().applied().any(|(event, _)| matches!(event.event.step, Step::ErasureAsked))
    }

    /// Where it stands, the arrival of our packet included.
    pub fn state(&self) -> State {
        self.standing().state
    }

    /// Where it stands, since when by our clock, and which day the other office named. It folds every event: ask the index
    /// where many are looked at.
    pub fn standing(&self) -> Standing {
        let first = self.events.first().map_or(Timestamp::default(), |held| held.at);
        let mut standing = Standing {
            state: State::Draft,
            since: first,
            urgency: self.urgency,
            respond_by: self.respond_by,
            promised: None,
        };
        if let Some((since, state)) = self.erased {
            return Standing { state, since, ..standing };
        }
        let held: HashMap<Digest, Timestamp> = self.events.iter().map(|held| (held.signed.hash(), held.at)).collect();
        for (event, state) in self.thread().applied() {
            // A word on how the work goes is what is waited for while it goes.
            let is_status = event.side == Side::Receiver && matches!(state, State::InProgress | State::OnHold);
            if state != standing.state || is_status {
                standing.state = state;
                standing.since = held.get(&event.hash).copied().unwrap_or(first);
                standing.promised = match &event.event.step {
                    Step::Accepted { first_contact_by: named, .. } | Step::Waitlisted { until: named } => *named,
                    _ => None,
                }
                // Late when that day is over everywhere.
                .map(|day| day.plus_days(1).start().plus_ms(12 * 3_600_000));
            }
        }
        if standing.state == State::Sent && (!self.outgoing || self.facts.arrived.is_some()) {
            standing.state = State::Delivered;
            standing.since = self.facts.arrived.unwrap_or(standing.since);
        }
        standing
    }
}

coded_enum!(
    /// Where a packet of ours stands.
    OutboxState {
        /// Decided, not yet handed to the carriers.
        Waiting = 1 "waiting",
        /// The carriers have it.
        Released = 2 "released",
        /// Stored by the recipient.
        Arrived = 3 "arrived",
        /// Opened by the recipient.
        Read = 4 "read",
        /// Refused for good; a person must look.
        Refused = 5 "refused",
        /// Its time was over.
        Expired = 6 "expired",
        /// Taken back before it went.
        Cancelled = 7 "cancelled",
    }
);

impl OutboxState {
    /// Whether nothing more will happen to it.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Read | Self::Refused | Self::Expired | Self::Cancelled)
    }
}

/// A packet of ours.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Outbox {
    /// Which row.
    #[n(0)]
    pub id: RecordId,
    /// For whom.
    #[n(1)]
    pub to: OfficeId,
    /// Which packet.
    #[n(2)]
    pub packet_id: PacketId,
    /// What kind of body.
    #[n(3)]
    pub kind: u16,
    /// The body.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// In which conversation.
    #[n(5)]
    pub thread: ThreadId,
    /// The referral it belongs to.
    #[n(6)]
    pub referral: Option<RecordId>,
    /// The consent it stands under, with its subject.
    #[n(7)]
    pub consent: Option<(RecordId, RecordId)>,
    /// The purpose it is disclosed for.
    #[n(8)]
    pub purpose: Option<Purpose>,
    /// Hash of the consent's terms, or zero.
    #[n(9)]
    pub evidence: Digest,
    /// About whom.
    #[n(10)]
    pub subjects: Vec<KeyHandle>,
    /// Where it stands.
    #[n(11)]
    pub state: OutboxState,
    /// Hash of the sealed packet, once released.
    #[n(12)]
    pub packet_hash: Option<Digest>,
    /// Not worth delivering after that.
    #[n(13)]
    pub expires: Timestamp,
    /// How urgent.
    #[n(14)]
    pub urgency: u8,
    /// Why it was refused.
    #[n(15)]
    pub problem: Option<String>,
    /// What is known of its way.
    #[n(16)]
    pub facts: Facts,
    /// Its length on the wire, once sealed.
    #[n(17)]
    pub bytes: u64,
    /// It does not leave before that: until then it can be taken back.
    #[n(18)]
    pub not_before: Option<Timestamp>,
    /// How many times the same was sent before.
    #[n(19)]
    pub resends: Resends,
    /// The hub at which it waits until its recipient accepted, if it does.
    #[n(20)]
    pub held_at: Option<OfficeId>,
    /// The recipient's signed word for which a hub gave it.
    #[n(21)]
    pub claim: Option<Claim>,
}

/// A packet that was opened: it never has an effect again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Seen {
    /// Made of sender and packet id.
    #[n(0)]
    pub id: RecordId,
    /// When.
    #[n(1)]
    pub at: Timestamp,
    /// Why it was set aside, if it was.
    #[n(2)]
    pub set_aside: Option<String>,
}

/// A line of the desk register.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RegisterLine {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The visitor's key.
    #[n(1)]
    pub key: KeyHandle,
    /// When.
    #[n(2)]
    pub at: Timestamp,
    /// Who came, in whatever words; may be empty.
    #[n(3)]
    pub visitor: String,
    /// What about.
    #[n(4)]
    pub topic: Option<Code>,
    /// What was said.
    #[n(5)]
    pub note: String,
    /// How many minutes.
    #[n(6)]
    pub minutes: Option<u16>,
    /// What became of it.
    #[n(7)]
    pub outcome: VisitOutcome,
    /// Who wrote it.
    #[n(8)]
    pub by: Option<StaffId>,
    /// The day of the visit, where it is written down later; else the day of `at`.
    #[n(9)]
    pub on: Option<Day>,
    /// What was advised.
    #[cbor(n(10), default)]
    pub advice: String,
    /// How the visitor came to us: code of the list `contact_channel`.
    #[n(11)]
    pub channel: Option<Code>,
}

/// What became of a visit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum VisitOutcome {
    /// Nothing yet.
    #[n(0)]
    Open,
    /// Advice was given: a consult.
    #[n(1)]
    Consult,
    /// A case was opened.
    #[n(2)]
    Case(#[n(0)] RecordId),
    /// Turned away, and why.
    #[n(3)]
    TurnedAway(#[n(0)] Code),
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Import {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The source's name in the mapping file.
    #[n(1)]
    pub source: String,
    /// When it began.
    #[n(2)]
    pub at: Timestamp,
    /// Rows that were added.
    #[n(3)]
    pub added: u64,
    /// Whether it was undone.
    #[n(4)]
    pub undone: bool,
    /// Who started it.
    #[n(5)]
    pub by: Option<StaffId>,
    /// Keyed marks of rows whose persons were erased since: they do not come in again.
    #[cbor(n(6), default)]
    pub erased: Vec<Digest>,
}

/// Emergency access of one member of staff to one case, for a short time: what "breaking the glass" leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Glass {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The case.
    #[n(1)]
    pub case: RecordId,
    /// Its clients.
    #[n(2)]
    pub subjects: Vec<KeyHandle>,
    /// Who.
    #[n(3)]
    pub staff: StaffId,
    /// Why, in their words.
    #[n(4)]
    pub reason: String,
    /// Since when.
    #[n(5)]
    pub from: Timestamp,
    /// Until when.
    #[n(6)]
    pub until: Timestamp,
    /// When somebody else looked at it.
    #[n(7)]
    pub reviewed: Option<Settled>,
    /// What they found.
    #[n(8)]
    pub finding: String,
}

/// What somebody asks another to approve. Exactly this is done when it is approved.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Asked {
    /// An account comes into use with these roles, until that time.
    #[n(0)]
    Account(#[n(0)] StaffId, #[n(1)] Vec<StaffRole>, #[n(2)] Option<Timestamp>, #[n(3)] Option<Slot>),
    /// A colleague is taken off the conflict list of a person.
    #[n(1)]
    LiftBar(#[n(0)] RecordId, #[n(1)] StaffId),
    /// A case is closed.
    #[n(2)]
    Close(#[n(0)] RecordId, #[n(1)] Code, #[n(2)] Option<Code>),
    /// An entry of a case holds, a plan for example.
    #[n(3)]
    Entry(#[n(0)] RecordId, #[n(1)] RecordId),
    /// An account ends.
    #[n(4)]
    End(#[n(0)] StaffId),
    /// The second factor of an account is taken away.
    #[n(5)]
    ResetFactor(#[n(0)] StaffId),
    /// An account gets another first password: a hash, or a slot where it opens the office.
    #[n(6)]
    ResetPassword(#[n(0)] StaffId, #[n(1)] Option<PasswordHash>, #[n(2)] Option<Slot>),
    /// A person is erased, for that reason, with all the records that are theirs. It names nobody: it stays when the
    /// person is gone.
    #[n(7)]
    Erase(#[n(0)] RecordId, #[n(1)] String, #[n(2)] Vec<RecordId>),
    /// Somebody works in another team from then on.
    #[n(8)]
    Team(#[n(0)] StaffId, #[n(1)] String),
    /// An office is let into the network: its card, as it was looked at.
    #[n(9)]
    Admit(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// An office's membership of the network ends, our own too.
    #[n(10)]
    EndMembership(#[n(0)] OfficeId, #[n(1)] EndReason, #[n(2)] Option<OfficeId>),
    /// A case is handed over to another office.
    #[n(11)]
    HandOver(#[n(0)] RecordId, #[n(1)] HandingOver),
}

/// How a case is to be handed over, once somebody approved it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HandingOver {
    /// To which office.
    #[n(0)]
    pub to: OfficeId,
    /// Code of the service that is asked for.
    #[n(1)]
    pub service: String,
    /// What is needed, in words, without names.
    #[n(2)]
    pub need: String,
    /// routine, urgent or emergency.
    #[n(3)]
    pub urgency: String,
    /// Under which consent.
    #[n(4)]
    pub consent: RecordId,
    /// The referral for the same need that came before.
    #[n(5)]
    pub follows: Option<RecordId>,
}

impl Asked {
    /// The account that it is about, if it is about one. Nobody approves what is about themselves.
    pub fn account(&self) -> Option<StaffId> {
        match self {
            Self::Account(staff, ..) | Self::End(staff) | Self::ResetFactor(staff) => Some(*staff),
            Self::ResetPassword(staff, ..) | Self::Team(staff, _) => Some(*staff),
            Self::LiftBar(..) | Self::Close(..) | Self::Entry(..) | Self::Erase(..) => None,
            Self::Admit(_) | Self::EndMembership(..) | Self::HandOver(..) => None,
        }
    }

    /// Whether two requests ask the same, whatever password was thought of.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Account(one, roles, ends, _), Self::Account(other, other_roles, other_ends, _)) => {
                (one, roles, ends) == (other, other_roles, other_ends)
            }
            (Self::ResetPassword(one, ..), Self::ResetPassword(other, ..)) => one == other,
            (Self::Erase(one, ..), Self::Erase(other, ..)) => one == other,
            (one, other) => one == other,
        }
    }
}

/// A request for a second person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Request {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// About whom.
    #[n(1)]
    pub subjects: Vec<KeyHandle>,
    /// What is asked.
    #[n(2)]
    pub asked: Asked,
    /// Who asks.
    #[n(3)]
    pub by: StaffId,
    /// Since when.
    #[n(4)]
    pub at: Timestamp,
    /// What became of it.
    #[n(5)]
    pub decided: Option<Decided>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Decided {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// By whom.
    #[n(1)]
    pub by: StaffId,
    /// Whether it was approved.
    #[n(2)]
    pub approved: bool,
    /// Why.
    #[n(3)]
    pub comment: String,
}

/// A grant or project: what it is for, and how much of it was promised.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Grant {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// Who gives it.
    #[n(2)]
    pub donor: String,
    /// From which day.
    #[n(3)]
    pub from: Day,
    /// To which day.
    #[n(4)]
    pub to: Day,
    /// Cases that were promised.
    #[n(5)]
    pub cases: u32,
    /// Services and activities that were promised.
    #[n(6)]
    pub entries: u32,
}

/// A code that the office made or imported.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OfficeCode {
    /// The code. It never changes.
    #[n(0)]
    pub code: String,
    /// Its label.
    #[n(1)]
    pub label: String,
    /// What it means, and when to choose it.
    #[n(2)]
    pub explanation: String,
    /// Not offered any more; records may have it.
    #[n(3)]
    pub retired: bool,
    /// The code of this program's list that it is counted as in what leaves the office; none where it stands for itself.
    #[n(4)]
    pub counts_as: Option<String>,
}

/// What the office says of a code list: one of its own, or one of this program that it adds to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OfficeList {
    /// Which record.
    #[n(0)]
    pub id: RecordId,
    /// The list's name. It never changes.
    #[n(1)]
    pub name: String,
    /// What it is called; empty for a list of this program.
    #[n(2)]
    pub title: String,
    /// Where it was imported from; empty for one that was made here.
    #[n(3)]
    pub source: String,
    /// Codes of the office, in their order.
    #[n(4)]
    pub codes: Vec<OfficeCode>,
    /// Codes of this program that forms offer, or do not, whatever the pack says.
    #[n(5)]
    pub choices: Vec<(String, bool)>,
}

impl OfficeList {
    /// A list of which the office said nothing yet.
    pub fn new(id: RecordId, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            title: String::new(),
            source: String::new(),
            codes: Vec::new(),
            choices: Vec::new(),
        }
    }

    /// The coded value, if the office made it.
    pub fn code(&self, code: &str) -> Option<Code> {
        let known = self.codes.iter().find(|known| known.code == code)?;
        Code::new(&self.name, 1, &known.code, &known.label).ok()
    }

    /// Whether the office chose that a code of this program is offered, or not.
    pub fn choice(&self, code: &str) -> Option<bool> {
        self.choices.iter().find(|(known, _)| known == code).map(|(_, offered)| *offered)
    }
}

/// Codes that the network took up into lists, and those that it offered once: records point to them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NetworkCodes {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The codes, in the order in which they came.
    #[n(1)]
    pub codes: Vec<NetworkCode>,
}

/// A code that the network took up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NetworkCode {
    /// The list.
    #[n(0)]
    pub list: String,
    /// The code.
    #[n(1)]
    pub code: String,
    /// What it is called, by language.
    #[n(2)]
    pub labels: Vec<(String, String)>,
    /// From which day on.
    #[n(3)]
    pub from: Option<Day>,
    /// Whether it is offered now.
    #[n(4)]
    pub offered: bool,
}

impl NetworkCode {
    /// What it is called in a language.
    pub fn label(&self, language: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == language).map(|(_, label)| label.as_str())
    }

    /// The coded value, with its English label.
    pub fn coded(&self) -> Option<Code> {
        Code::new(&self.list, 1, &self.code, self.label("en")?).ok()
    }
}

/// A form that the office made, or a form of this program as the office changed it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OfficeForm {
    /// Which record.
    #[n(0)]
    pub id: RecordId,
    /// Its definition, as JSON of [`crate::forms::Form`].
    #[n(1)]
    pub definition: String,
}

/// Somebody spoke with another office and compared the digits that name both.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PartnerCheck {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Which office.
    #[n(1)]
    pub office: OfficeId,
    /// When.
    #[n(2)]
    pub at: Timestamp,
    /// Who of us.
    #[n(3)]
    pub by: StaffId,
    /// With whom they spoke, and how.
    #[n(4)]
    pub how: String,
}

/// Whether there is room, asked of another office or by one, about nobody.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CapacityAsked {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Whether we ask.
    #[n(1)]
    pub outgoing: bool,
    /// The other office.
    #[n(2)]
    pub partner: OfficeId,
    /// What is asked.
    #[n(3)]
    pub question: CapacityQuestion,
    /// When.
    #[n(4)]
    pub at: Timestamp,
    /// Who of us asked, or answered.
    #[n(5)]
    pub by: Option<StaffId>,
    /// What was answered, and when.
    #[n(6)]
    pub answer: Option<(CapacityAnswer, Timestamp)>,
}

/// A service of an organisation outside the network, from an imported directory (HSDS 3.0).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Listing {
    /// Made from its id in the directory.
    #[n(0)]
    pub id: RecordId,
    /// Whose it is.
    #[n(1)]
    pub organization: String,
    /// What it is called.
    #[n(2)]
    pub name: String,
    /// What it is.
    #[n(3)]
    pub description: String,
    /// As which service it counts, where somebody said so.
    #[n(4)]
    pub service: Option<Code>,
    /// Languages spoken there.
    #[n(5)]
    pub languages: Vec<String>,
    /// From which age.
    #[n(6)]
    pub min_age: Option<u8>,
    /// Up to which age.
    #[n(7)]
    pub max_age: Option<u8>,
    /// For which area.
    #[n(8)]
    pub area: String,
    /// Addresses.
    #[n(9)]
    pub places: Vec<String>,
    /// Telephones, mail, page.
    #[n(10)]
    pub contact: Vec<String>,
    /// When it is open.
    #[n(11)]
    pub hours: Vec<String>,
    /// For whom.
    #[n(12)]
    pub eligibility: String,
    /// How one gets in.
    #[n(13)]
    pub application: String,
    /// What it costs.
    #[n(14)]
    pub fees: String,
    /// What to bring.
    #[n(15)]
    pub documents: Vec<String>,
    /// What is different just now.
    #[n(16)]
    pub alert: String,
    /// When somebody last confirmed it.
    #[n(17)]
    pub assured: Option<Day>,
    /// Whether it is still offered.
    #[n(18)]
    pub is_active: bool,
    /// When it was imported.
    #[n(19)]
    pub at: Timestamp,
}

/// The one record of settings, and the one of counters.
pub const SETTINGS_ID: RecordId = RecordId::new([1; 16]);

macro_rules! record {
    ($type:ident, $kind:ident, |$self:ident| $id:expr, $subjects:expr $(, parent $parent:expr)?) => {
        impl Record for $type {
            const KIND: Kind = Kind::$kind;
            fn id(&self) -> RecordId {
                let $self = self;
                $id
            }
            fn subjects(&self) -> Vec<KeyHandle> {
                let $self = self;
                let _unused_where_nobody_is_concerned = $self;
                $subjects
            }
            $(fn parent(&self) -> RecordId {
                let $self = self;
                $parent
            })?
        }
    };
}
pub(crate) use record;

record!(Settings, Settings, |_settings| SETTINGS_ID, vec![]);
record!(Counters, Counters, |_counters| SETTINGS_ID, vec![]);
record!(Staff, Staff, |staff| RecordId::new(*staff.id.as_bytes()), vec![]);
record!(Person, Person, |person| person.id, vec![person.key]);
record!(Case, Case, |case| case.id, case.clients.iter().map(|client| client.key).collect());
record!(Action, Action, |action| action.id, action.subjects.clone(), parent action.about);
record!(Task, Task, |task| task.id, task.subjects.clone(), parent task.case.unwrap_or(Task::TOP));
record!(Payment, Payment, |payment| payment.id, payment.subjects.clone(), parent payment.case);
record!(Consent, Consent, |consent| consent.id, vec![consent.person.key], parent consent.person.id);
record!(Referral, Referral, |referral| referral.id, vec![referral.key]);
record!(Outbox, Outbox, |outbox| outbox.id, outbox.subjects.clone());
record!(Seen, Seen, |seen| seen.id, vec![]);
record!(RegisterLine, RegisterLine, |line| line.id, vec![line.key]);
record!(Glass, Glass, |glass| glass.id, glass.subjects.clone());
record!(Document, Document, |document| document.id, document.subjects.clone(), parent document.case);
record!(Grant, Grant, |grant| grant.id, vec![]);
record!(OfficeList, OfficeList, |list| list.id, vec![]);
record!(NetworkCodes, NetworkCodes, |all| all.id, vec![]);
record!(Listing, Listing, |listing| listing.id, vec![]);
record!(PartnerCheck, PartnerCheck, |check| check.id, vec![]);
record!(CapacityAsked, CapacityAsked, |asked| asked.id, vec![]);
record!(OfficeForm, OfficeForm, |form| form.id, vec![]);
record!(Link, Link, |link| link.id, vec![link.from.key, link.to.key]);
record!(Member, Member, |member| member.id, {
    let mut keys = vec![member.group.key];
    keys.extend(member.person.map(|person| person.key));
    keys
}, parent member.group.id);
record!(Request, Request, |request| request.id, request.subjects.clone());
record!(Import, Import, |import| import.id, vec![]);
