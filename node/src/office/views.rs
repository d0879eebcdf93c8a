//! What the desk shows: the types of pages and of the JSON API.

mod network;

pub use network::*;

use super::links::Shared;
use super::steps::Wanted;
use crate::calendars::Calendar;
use crate::index::MatchReason;
use crate::records::{
    CaseState, CountingBasis, IdentityLevel, OutboxState, PaymentKind, Request, StaffRole, TaskKind, TaskState,
    TaskTitle, Tier,
};
use crate::vocabulary::Term;
use casemesh_protocol::id::{OfficeId, RecordId, StaffId};
use casemesh_protocol::packet::{Full, Preview};
use casemesh_protocol::referral::{Side, State, Visit};
use casemesh_protocol::terms::{Code, ConsentTerms, FieldGroup, FieldState, Ground, SafeContact, Value};
use casemesh_protocol::time::{Day, Period, Timestamp};
use casemesh_protocol::timers::Awaited;
use casemesh_protocol::trust::EndReason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One field of a record: its value, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Field {
    /// known, unknown, refused, not_asked or unsure.
    pub state: String,
    /// The value, if there is one.
    pub value: Option<String>,
    /// The code of a coded value.
    pub code: Option<String>,
    /// The list of a coded value.
    pub list: Option<String>,
}

impl Field {
    pub(crate) fn text<T: std::fmt::Display>(state: &FieldState<T>) -> Self {
        let value = state.value().map(ToString::to_string);
        Self { state: state.word().into(), value, code: None, list: None }
    }

    pub(crate) fn code(state: &FieldState<Code>) -> Self {
        let code = state.value();
        Self {
            state: state.word().into(),
            value: code.map(|code| code.label.to_string()),
            code: code.map(|code| code.code.to_string()),
            list: code.map(|code| code.list.to_string()),
        }
    }
}

impl Field {
    pub(crate) fn answer(state: &FieldState<Value>) -> Self {
        let coded = match state.value() {
            Some(Value::Code(code)) => Some(code),
            _ => None,
        };
        let value = state.value().map(|value| match value {
            Value::Text(text) => text.clone(),
            Value::Day(day) => day.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Money(money) => money.to_string(),
            Value::Code(code) => code.label.to_string(),
            Value::YesNo(true) => "yes".into(),
            Value::YesNo(false) => "no".into(),
        });
        let (code, list) = match (state.value(), coded) {
            (Some(Value::YesNo(yes)), _) => (Some(if *yes { "yes" } else { "no" }.into()), Some("yes_no".into())),
            (_, Some(code)) => (Some(code.code.to_string()), Some(code.list.to_string())),
            _ => (None, None),
        };
        Self { state: state.word().into(), value, code, list }
    }
}

/// Who must never get anything about a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NeverView {
    /// Offices of the network: id and name.
    #[schema(value_type = Vec<Object>)]
    pub offices: Vec<(String, String)>,
    /// Kinds of offices.
    pub kinds: Vec<String>,
    /// People and offices by name.
    pub names: Vec<String>,
}

/// Who waits for whom in a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitView {
    /// For what: delivery, acknowledgement, decision, answer, first_contact, status or feedback.
    pub what: Awaited,
    /// Whether it is our turn.
    pub ours: bool,
    /// Until when.
    #[schema(value_type = String)]
    pub due: Timestamp,
    /// Whether that is over.
    pub late: bool,
}

/// A person that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PersonHit {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// The name.
    pub name: String,
    /// Year of birth.
    pub birth_year: Option<i16>,
    /// Why it was found, best reason first.
    pub reasons: Vec<MatchReason>,
    /// How many of the person's cases this account may see.
    pub cases: usize,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PersonView {
    /// Who must never get anything about the person.
    pub never: NeverView,
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Its revision, to name in a change.
    pub revision: u64,
    /// The name to show.
    pub name: String,
    /// How sure we are who it is.
    pub identity: IdentityLevel,
    /// The name the person chose for us.
    pub alias: String,
    /// Given names.
    pub given: Field,
    /// Family names.
    pub family: Field,
    /// The name in the person's own script.
    pub local_name: Field,
    /// Birth date.
    pub birth: Field,
    /// Whether the birth date is a guess.
    pub birth_estimated: bool,
    /// Age band.
    pub age_band: Field,
    /// Sex.
    pub sex: Field,
    /// Nationality.
    pub nationality: Field,
    /// Language.
    pub language: Field,
    /// Whether an interpreter is needed.
    pub interpreter: bool,
    /// Telephone.
    pub telephone: Field,
    /// Address.
    pub address: Field,
    /// The district or the like.
    pub area: Field,
    /// Number of a document.
    pub identifier: Field,
    /// How to reach the person safely.
    #[schema(value_type = Object)]
    pub safe_contact: SafeContact,
    /// On what ground the person may be counted.
    pub counting: CountingBasis,
    /// Cases that this account may see.
    pub cases: Vec<CaseSummary>,
    /// Consents.
    pub consents: Vec<ConsentView>,
    /// What stands before everything else.
    pub alerts: Vec<AlertView>,
    /// What was last confirmed when.
    #[schema(value_type = Vec<Object>)]
    pub confirmed: Vec<(String, Day)>,
    /// Entries about the person, latest first.
    pub entries: Vec<ActionView>,
    /// The birth date as it was said, in a calendar other than the Gregorian: the calendar and the words.
    #[schema(value_type = Option<Object>)]
    pub birth_said: Option<(Calendar, String)>,
    /// Whether the address shows only after a click that is noted.
    pub address_protected: bool,
    /// Whether it stands for a group that is one client.
    pub is_group: bool,
    /// The roll of a group.
    pub members: Vec<MemberView>,
    /// Relations with other registered persons, as far as this account may see them.
    pub links: Vec<LinkView>,
    /// Whether somebody who cares for the person is a party in one of their cases.
    pub caregiver_is_party: bool,
    /// Names of records that turned out to be about this person.
    #[schema(value_type = Vec<Object>)]
    pub merged: Vec<(RecordId, String)>,
    /// Colleagues for whom this person does not exist.
    #[schema(value_type = Vec<Object>)]
    pub barred: Vec<(StaffId, String)>,
}

/// Two persons who may be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DuplicateView {
    /// The one.
    #[schema(value_type = String)]
    pub one: RecordId,
    /// The other.
    #[schema(value_type = String)]
    pub other: RecordId,
    /// The one's name.
    pub name: String,
    /// The other's name.
    pub other_name: String,
    /// Why they may be one.
    pub reason: MatchReason,
}

/// A relation with another registered person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// The other person.
    #[schema(value_type = String)]
    pub person: RecordId,
    /// Their name.
    pub name: String,
    /// What the other is to this person, or this person to the other.
    pub relation: CodeView,
    /// Whether the relation is said from the other's side: the other has this person as their relation.
    pub from_other: bool,
    /// Whether they live together.
    pub lives_together: Field,
    /// Whether the one who is named as relation cares for the other.
    pub is_caregiver: bool,
    /// The day on which it ended.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Day>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemberView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// The revision, to name in a change.
    pub revision: u64,
    /// The person, if registered and seen by this account.
    #[schema(value_type = Option<String>)]
    pub person: Option<RecordId>,
    /// The name.
    pub name: String,
    /// Telephone.
    pub telephone: String,
    /// Whether the member speaks for the group.
    pub speaks: bool,
    /// Whether the member agreed to what the group does.
    pub agreed: Field,
    /// What came of it.
    pub outcome: Option<CodeView>,
    /// How much the member got.
    pub amount: Option<String>,
}

/// What a colleague must know before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlertView {
    /// What kind.
    pub kind: Option<CodeView>,
    /// What it says.
    pub text: String,
}

/// A case in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CaseSummary {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Its number.
    pub number: String,
    /// Whose.
    pub client: String,
    /// Its type.
    pub case_type: Option<CodeView>,
    /// Where it stands.
    pub state: CaseState,
    /// When it was opened.
    #[schema(value_type = String)]
    pub opened: Day,
    /// Who is responsible.
    pub owner: Option<String>,
    /// The last thing that happened.
    #[schema(value_type = String)]
    pub last_activity: Timestamp,
    /// What is next.
    pub next_action: Option<TaskTitle>,
    /// Until when.
    #[schema(value_type = Option<String>)]
    pub next_due: Option<Day>,
    /// Whether nothing happened for long.
    pub stale: bool,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TaskView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// What kind.
    pub kind: TaskKind,
    /// What is to be done.
    pub title: TaskTitle,
    /// Until when.
    #[schema(value_type = String)]
    pub due: Day,
    /// Whether that day is over.
    pub overdue: bool,
    /// Who has to do it.
    pub owner: Option<String>,
    /// Whether that is the one who asks.
    pub mine: bool,
    /// Where it stands.
    pub state: TaskState,
    /// The case.
    #[schema(value_type = Option<String>)]
    pub case: Option<RecordId>,
    /// The case's number and client.
    pub about: String,
}

/// A code list, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeListView {
    /// Its name.
    pub name: String,
    /// What it is called; empty for a list of this program, whose name stands in the catalogues.
    pub title: String,
    /// Where it was imported from.
    pub source: String,
    /// How many codes forms offer.
    pub codes: usize,
    /// Whether the office made or imported it.
    pub own: bool,
}

/// A code of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TermView {
    /// The list.
    pub list: String,
    /// The code.
    #[serde(flatten)]
    pub term: Term,
}

/// What happened with one party of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartyChain {
    /// The party; empty for what names none.
    pub party: String,
    /// The entries in order: each before what followed from it.
    pub steps: Vec<Step>,
}

/// An entry in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Step {
    /// How far in: 0 for one that follows from none.
    pub depth: usize,
    /// The entry.
    pub entry: ActionView,
}

/// What several persons have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SharedBy {
    /// What it is.
    pub shared: Shared,
    /// How it was written.
    pub what: String,
    /// The persons.
    pub persons: Vec<SharedPerson>,
}

/// A person who has something in common with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SharedPerson {
    /// Who.
    #[schema(value_type = String)]
    pub person: RecordId,
    /// The name.
    pub name: String,
    /// Their cases: id and number.
    #[schema(value_type = Vec<(String, String)>)]
    pub cases: Vec<(RecordId, String)>,
}

/// How full a place is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlaceView {
    /// What it is called.
    pub name: String,
    /// How many can stay there, if that was written down.
    pub places: Option<u32>,
    /// How many stay there.
    pub taken: u32,
    /// How many more can; below zero where too many stay.
    pub free: Option<i64>,
}

/// The review of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewView {
    /// The period.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Cases that were opened in it, by type.
    pub by_type: Vec<(Option<CodeView>, usize)>,
    /// Each colleague; the one without a name is nobody.
    pub rows: Vec<ReviewRow>,
    /// Cases to talk about.
    pub talk: Vec<ReviewCase>,
    /// How many more of them there are.
    pub more: usize,
}

/// The cases of one colleague in a review.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewRow {
    /// Who; empty for nobody.
    pub name: String,
    /// Cases opened in the period.
    pub opened: usize,
    /// Cases closed in the period.
    pub closed: usize,
    /// Cases that are open now.
    pub open: usize,
    /// Of them, in which nothing happened for long.
    pub stale: usize,
    /// Of them, with an overdue task.
    pub overdue: usize,
    /// Of them, without anything to do.
    pub no_task: usize,
    /// Of them, without a type.
    pub no_type: usize,
    /// Entries that were written down late in the period.
    pub late: usize,
}

/// A case to talk about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewCase {
    /// The case.
    pub summary: CaseSummary,
    /// Why: no_task, flag, overdue, stale, unassigned, no_type.
    pub why: Vec<String>,
}

/// What an erasure of a person takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasureView {
    /// Who.
    #[schema(value_type = String)]
    pub person: RecordId,
    /// Their name.
    pub name: String,
    /// Cases that go as a whole.
    pub cases: Vec<String>,
    /// Cases that others have, too: they stay, without the person, and words about the person may stand in them.
    pub shared: Vec<String>,
    /// Cases that are open, or have an open referral: they stand in the way.
    pub busy: Vec<String>,
    /// Whether anything stands in the way.
    pub is_busy: bool,
    /// Documents that go.
    pub documents: usize,
    /// Offices that got a referral: they keep what they have read until they are asked.
    pub told: Vec<String>,
    /// Whether somebody else must approve it.
    pub needs_another: bool,
}

/// One answer of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnswerView {
    /// Which field of the form.
    pub field: String,
    /// What is known.
    pub value: Field,
}

/// A name of a party that is known from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct ConflictView {
    /// The party of this case.
    pub party: String,
    /// The person or party of the same name.
    pub name: String,
    /// The person, if it is one.
    #[schema(value_type = Option<String>)]
    pub person: Option<RecordId>,
    /// The case, if it is a party there.
    #[schema(value_type = Option<String>)]
    pub case: Option<RecordId>,
    /// That case's number.
    pub number: String,
}

/// A coded value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct CodeView {
    /// The list.
    pub list: String,
    /// The code.
    pub code: String,
    /// The label in the language in which it was chosen.
    pub label: String,
}

impl From<&Code> for CodeView {
    fn from(code: &Code) -> Self {
        Self { list: code.list.to_string(), code: code.code.to_string(), label: code.label.to_string() }
    }
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CaseView {
    /// What lists show.
    #[serde(flatten)]
    pub summary: CaseSummary,
    /// Its revision, to name in a change.
    pub revision: u64,
    /// In the worker's words.
    pub text: String,
    /// The clients.
    pub clients: Vec<ClientView>,
    /// Entries, latest first.
    pub actions: Vec<ActionView>,
    /// Open tasks, the most pressing first.
    pub tasks: Vec<TaskView>,
    /// Names of parties that are known from elsewhere.
    pub conflicts: Vec<ConflictView>,
    /// Money.
    pub payments: Vec<PaymentView>,
    /// Referrals.
    pub referrals: Vec<ReferralSummary>,
    /// Consents of the clients.
    pub consents: Vec<ConsentView>,
    /// When and why it was closed.
    #[schema(value_type = Option<String>)]
    pub closed: Option<Day>,
    /// Why it was closed.
    pub closure_reason: Option<CodeView>,
    /// How much help it was.
    pub level_of_help: Option<CodeView>,
    /// Where the matter is dealt with.
    pub forum: Option<CodeView>,
    /// How the client came to us.
    pub source: Option<CodeView>,
    /// Why it rests.
    pub rest_reason: Option<CodeView>,
    /// The day on which somebody looks again.
    #[schema(value_type = Option<String>)]
    pub rest_until: Option<Day>,
    /// Only for who is assigned.
    pub sealed: bool,
    /// Coded facts.
    pub facts: Vec<CodeView>,
    /// Whether this account may write in it.
    pub may_write: bool,
    /// Whether this account may write down in it what was done.
    pub may_note: bool,
    /// Whether this account may say who works on it.
    pub may_assign: bool,
    /// Whether this account sees privileged, medical and protected entries.
    pub sees_tiers: bool,
    /// Who works on it beside its owner.
    #[schema(value_type = Vec<Object>)]
    pub assigned: Vec<(StaffId, String)>,
    /// Until when this account sees it by emergency access.
    #[schema(value_type = Option<String>)]
    pub emergency_until: Option<Timestamp>,
    /// Requests that wait for a decision.
    pub requests: Vec<RequestView>,
    /// Documents, the newest first.
    pub documents: Vec<DocumentView>,
    /// Whether it is a mediation, in which the office takes no side.
    pub mediation: bool,
    /// Other cases that belong to it, as far as this account may see them.
    pub linked: Vec<LinkedCaseView>,
    /// Grants that the work is counted for.
    #[schema(value_type = Vec<String>)]
    pub grants: Vec<RecordId>,
    /// How a worker judged the risk last, and on which day: nothing here is computed.
    #[schema(value_type = Option<Object>)]
    pub risk: Option<(Day, CodeView)>,
    /// What was measured more than once: the area, and the first and the last day and score.
    #[schema(value_type = Vec<Object>)]
    pub measures: Vec<Measured>,
    /// The places of the journey in the order in which they were reached.
    pub journey: Vec<ActionView>,
    /// What is usually done before a case is closed, and was not: words of the catalogues (`closing-WORD`).
    #[schema(value_type = Vec<String>)]
    pub before_closing: Vec<&'static str>,
    /// To whom it was handed over.
    pub handed: Option<HandedView>,
    /// How often it was handed over before it was ours.
    pub epoch: u32,
}

/// What was measured before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Measured {
    /// Of what.
    pub area: CodeView,
    /// The first day and score.
    #[schema(value_type = Object)]
    pub first: (Day, i64),
    /// The last day and score.
    #[schema(value_type = Object)]
    pub last: (Day, i64),
}

/// A case that belongs to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LinkedCaseView {
    /// Which.
    #[schema(value_type = String)]
    pub case: RecordId,
    /// Its number.
    pub number: String,
    /// Its client.
    pub client: String,
    /// Why it belongs there.
    pub why: CodeView,
}

/// A grant, with what was promised and what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GrantView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Its name.
    pub name: String,
    /// Who gives it.
    pub donor: String,
    /// From which day.
    #[schema(value_type = String)]
    pub from: Day,
    /// To which day.
    #[schema(value_type = String)]
    pub to: Day,
    /// Cases that were promised.
    pub cases_promised: u32,
    /// Cases opened in its time that are counted for it.
    pub cases: usize,
    /// Services and activities that were promised.
    pub entries_promised: u32,
    /// Entries of its time that are counted for it.
    pub entries: usize,
}

/// A client of a case, with how to reach them safely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClientView {
    /// Which person.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// The name.
    pub name: String,
    /// How many are on its roll, if it is a group.
    pub members: usize,
    /// Telephone.
    pub telephone: Field,
    /// How to reach the person safely.
    #[schema(value_type = Object)]
    pub safe_contact: SafeContact,
    /// What stands before everything else.
    pub alerts: Vec<AlertView>,
    /// When it was last confirmed that this contact is safe.
    #[schema(value_type = Option<String>)]
    pub contact_confirmed: Option<Day>,
}

/// An entry: a note, or a form that was filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActionView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// What kind.
    pub kind: CodeView,
    /// When it happened.
    #[schema(value_type = String)]
    pub on: Day,
    /// What happened.
    pub text: String,
    /// How many minutes.
    pub minutes: Option<u16>,
    /// Who wrote it.
    pub by: String,
    /// When it was written.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How many days later than it happened it was written.
    pub days_late: u32,
    /// The form, if it is one.
    pub form: Option<String>,
    /// What was answered.
    pub answers: Vec<AnswerView>,
    /// The entry that it follows from.
    #[schema(value_type = Option<String>)]
    pub follows: Option<RecordId>,
    /// The entry that it corrects.
    #[schema(value_type = Option<String>)]
    pub corrects: Option<RecordId>,
    /// The entry that corrects it.
    #[schema(value_type = Option<String>)]
    pub corrected_by: Option<RecordId>,
    /// For whom it is.
    pub tier: Tier,
    /// What became of the request to approve it.
    pub approval: Option<Approval>,
    /// The grant that it is counted for.
    #[schema(value_type = Option<String>)]
    pub grant: Option<RecordId>,
    /// Whether it says only that the one it corrects was a mistake, or holds no more.
    pub void: bool,
}

/// What became of the request to approve something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Nobody decided yet.
    Waiting,
    /// Approved.
    Approved,
    /// Sent back.
    Refused,
}

impl Approval {
    pub(crate) fn of(request: &Request) -> Self {
        match &request.decided {
            None => Self::Waiting,
            Some(decided) if decided.approved => Self::Approved,
            Some(_) => Self::Refused,
        }
    }

    /// The word for it in the catalogues.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Refused => "refused",
        }
    }
}

/// What somebody asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestedView {
    /// An account comes into use.
    Account {
        /// Whose.
        name: String,
        /// With which roles.
        roles: Vec<StaffRole>,
        /// Until when.
        #[schema(value_type = Option<String>)]
        ends: Option<Timestamp>,
    },
    /// An account ends.
    End {
        /// Whose.
        name: String,
    },
    /// Somebody works in another team.
    Team {
        /// Whose account.
        name: String,
        /// The team; empty for none.
        team: String,
    },
    /// The second factor of an account is taken away.
    ResetFactor {
        /// Whose.
        name: String,
    },
    /// An account gets another first password.
    ResetPassword {
        /// Whose.
        name: String,
    },
    /// An office is let into the network.
    Admit {
        /// Its name.
        name: String,
        /// The digits to compare with it on the telephone.
        digits: String,
    },
    /// An office's membership of the network ends.
    EndMembership {
        /// Its name.
        name: String,
        /// Why.
        #[schema(value_type = String)]
        reason: EndReason,
        /// Which office goes on with its work.
        successor: Option<String>,
    },
    /// A person is erased.
    Erase {
        /// Who.
        #[schema(value_type = String)]
        person: RecordId,
        /// Their name, as long as they are there.
        name: String,
        /// Why.
        reason: String,
    },
    /// A colleague is taken off a conflict list.
    LiftBar {
        /// Whose list.
        #[schema(value_type = String)]
        person: RecordId,
        /// That person's name.
        name: String,
        /// The colleague.
        staff: String,
    },
    /// A case is closed.
    Close {
        /// Which.
        #[schema(value_type = String)]
        case: RecordId,
        /// Its number.
        number: String,
        /// Why.
        reason: CodeView,
        /// How much help it was.
        level_of_help: Option<CodeView>,
    },
    /// A case is handed over to another office.
    HandOver {
        /// Which.
        #[schema(value_type = String)]
        case: RecordId,
        /// Its number.
        number: String,
        /// To which office.
        name: String,
        /// What is needed there.
        need: String,
    },
    /// An entry holds.
    Entry {
        /// Of which case.
        #[schema(value_type = String)]
        case: RecordId,
        /// That case's number.
        number: String,
        /// Which entry.
        #[schema(value_type = String)]
        entry: RecordId,
    },
}

/// A request for a second person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RequestView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// What is asked.
    pub asked: RequestedView,
    /// Who asks.
    pub by: String,
    /// Whether that is the one who looks.
    pub mine: bool,
    /// Since when.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Whether it was approved.
    pub approved: bool,
    /// Why.
    pub comment: String,
    /// Whether this account may decide it now.
    pub may_decide: bool,
}

/// An emergency access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GlassView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Who took it.
    pub by: String,
    /// Whether that is the one who looks.
    pub mine: bool,
    /// To which case, if this account may see it.
    #[schema(value_type = Option<String>)]
    pub case: Option<RecordId>,
    /// That case's number.
    pub number: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schema(value_type = String)]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// Who looked at it since.
    pub reviewed_by: Option<String>,
    /// What they found.
    pub finding: String,
    /// Whether this account may look at it now.
    pub may_review: bool,
}

/// A document of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// What it is.
    pub title: String,
    /// For whom it is.
    pub tier: Tier,
    /// Its versions, the newest first.
    pub versions: Vec<DocumentVersionView>,
}

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentVersionView {
    /// Which, from 1.
    pub number: usize,
    /// The file's name.
    pub name: String,
    /// What kind of file it is, by its content.
    pub media_type: String,
    /// Its length.
    pub bytes: u64,
    /// Who brought it.
    pub by: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// Money of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Whether another takes its place, or says that it was written by mistake.
    pub corrected: bool,
    /// The payment whose place it takes.
    #[schema(value_type = Option<String>)]
    pub corrects: Option<RecordId>,
    /// Whether it says only that the one it corrects was written by mistake.
    pub void: bool,
    /// What kind of money.
    pub kind: PaymentKind,
    /// How much, with a decimal point.
    pub amount: String,
    /// Which currency.
    pub currency: String,
    /// When it was paid.
    #[schema(value_type = Option<String>)]
    pub paid: Option<Day>,
    /// Who paid, how it was shown.
    pub note: String,
    /// Whether this office recovered it.
    pub recovered_here: bool,
    /// Who wrote it.
    pub by: String,
}

/// A consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConsentView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Its terms.
    #[schema(value_type = Object)]
    pub terms: ConsentTerms,
    /// The recipients' names.
    pub recipients: Vec<String>,
    /// The last day on which it holds.
    #[schema(value_type = String)]
    pub until: Day,
    /// given, refused, withdrawn, expired, lapsed, or overridden: decided without the client.
    pub status: String,
    /// Who explained it.
    pub explained_by: String,
    /// Who decided to share without a consent, and why.
    pub overriding: Option<OverridingView>,
}

/// What a case that is handed over brings along, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct MovedView {
    /// Entries.
    pub entries: usize,
    /// Tasks and flags that are open.
    pub tasks: usize,
    /// Amounts of money.
    pub payments: usize,
    /// Entries for its assigned workers alone: they stay.
    pub left_behind: usize,
}

/// What a comparison of names found among ours, as far as the account may know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComparedView {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How many persons of ours may be the client.
    pub known: usize,
    /// Who they are: after acceptance.
    #[schema(value_type = Vec<(String, String)>)]
    pub persons: Vec<(RecordId, String)>,
    /// Cases in which the client may be on the other side, or whose client may be.
    #[schema(value_type = Vec<(String, String)>)]
    pub cases: Vec<(RecordId, String)>,
    /// How many more there are, for others.
    pub hidden: usize,
    /// Nothing was compared: the office asked about too many people in a day.
    pub too_many: bool,
}

/// To whom a case was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HandedView {
    /// By which referral.
    #[schema(value_type = String)]
    pub referral: RecordId,
    /// The other office's name at the time.
    pub name: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// Whom to ask next for the same: the consent names them in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NextView {
    /// The office; none for one without a node.
    #[schema(value_type = Option<String>)]
    pub office: Option<OfficeId>,
    /// What it is called.
    pub name: String,
}

/// A decision to share without a consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverridingView {
    /// Who decided.
    pub by: String,
    /// On which ground; none once it was ended.
    pub ground: Option<Ground>,
    /// Why.
    pub reason: String,
    /// Whether this account may look at it: another supervisor than who decided, where there is one.
    pub may_review: bool,
    /// Who looked at it since.
    pub reviewed_by: Option<String>,
    /// What they found.
    pub finding: String,
}

/// A referral in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReferralSummary {
    /// Who waits for whom.
    pub wait: Option<WaitView>,
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Whether we sent it.
    pub outgoing: bool,
    /// The other office.
    pub partner: String,
    /// Which service.
    pub service: CodeView,
    /// Where it stands.
    pub state: State,
    /// 0 routine, 1 urgent, 2 emergency.
    pub urgency: u8,
    /// How the two offices call the person.
    pub pseudonym: String,
    /// The client, if this account may know.
    pub client: Option<String>,
    /// Our case, if this account may see it.
    #[schema(value_type = Option<String>)]
    pub case: Option<RecordId>,
    /// When it was sent.
    #[schema(value_type = Option<String>)]
    pub sent: Option<Timestamp>,
    /// Stored by the other node; of one that came to us, the sender alone knows it.
    #[schema(value_type = Option<String>)]
    pub arrived: Option<Timestamp>,
    /// Opened by the office that it went to.
    #[schema(value_type = Option<String>)]
    pub read: Option<Timestamp>,
    /// A person there answered.
    #[schema(value_type = Option<String>)]
    pub answered: Option<Timestamp>,
    /// An answer is wanted by then.
    #[schema(value_type = String)]
    pub respond_by: Timestamp,
}

impl ReferralSummary {
    /// Whether somebody is late in it.
    pub fn is_late(&self) -> bool {
        self.wait.is_some_and(|wait| wait.late)
    }
}

/// A referral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReferralView {
    /// What lists show.
    #[serde(flatten)]
    pub summary: ReferralSummary,
    /// What the receiver saw before it accepted.
    #[schema(value_type = Object)]
    pub preview: Preview,
    /// What it got after.
    #[schema(value_type = Option<Object>)]
    pub full: Option<Full>,
    /// What happened, in order.
    pub events: Vec<EventView>,
    /// Until when it can be taken back before it goes.
    #[schema(value_type = Option<String>)]
    pub recall_until: Option<Timestamp>,
    /// When what was received was erased.
    #[schema(value_type = Option<String>)]
    pub erased: Option<Timestamp>,
    /// What can be done now by our side.
    pub steps: Vec<StepView>,
    /// What the other office answered when it was asked to erase.
    pub erasure_answer: Option<ErasureAnswerView>,
    /// What the client carries away.
    pub carries: Option<CodeView>,
    /// Our packets in this referral, in order.
    pub packets: Vec<PacketView>,
    /// The other office, where it has no node.
    pub outside: Option<OutsideView>,
    /// What the other office told beside its packets.
    pub heard: Vec<HeardView>,
    /// What the other office can say now, to be written down when it is told.
    pub told_steps: Vec<StepView>,
    /// What our computer found when it compared names for the sender.
    pub compared: Option<ComparedView>,
    /// Under which consent, at the sender.
    #[schema(value_type = Option<String>)]
    pub consent: Option<RecordId>,
    /// Offices that were asked for the same before, the last one first.
    pub before: Vec<ReferralSummary>,
    /// Offices that are asked at the same time.
    pub same_time: Vec<ReferralSummary>,
    /// What the case became of that we opened from it: referrals that went on from here.
    pub onward: Vec<ReferralSummary>,
    /// Whom to ask next.
    pub next: Option<NextView>,
    /// Documents that go along, or came.
    pub documents: Vec<SharedDocumentView>,
    /// Whether the other office does not belong to the network any more.
    pub partner_left: bool,
    /// The hub at which the full packet waits until it is accepted, or fetched, if it does.
    pub held_at: Option<HeldView>,
}

/// Where a full packet waits until it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldView {
    /// The name of the hub.
    pub hub: String,
    /// Whether the hub said that it is there.
    pub is_there: bool,
}

/// A document that goes with a referral, or came with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SharedDocumentView {
    /// What it is.
    pub title: String,
    /// What the file is called.
    pub name: String,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// While it is on its way: how much of it has come, of a hundred. At the sender that it was not fetched yet.
    pub percent: Option<u64>,
    /// Whether it is here, to be handed out.
    pub here: bool,
}

/// What another office answered when it was asked to erase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasureAnswerView {
    /// When it came.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Whether everything is erased.
    pub erased: bool,
    /// What is kept, and on which ground.
    pub kept: String,
}

/// An office without a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutsideView {
    /// How the referral went, or came.
    pub how: CodeView,
    /// Telephone, address and the like.
    pub contact: String,
    /// Its number for this.
    pub reference: String,
    /// What stands on the slip.
    pub code: String,
}

/// What a client carries away from a referral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CarryView {
    /// Which referral.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// A sheet in plain words, or a neutral card.
    pub carries: String,
    /// The client's language, a code of the list `language`.
    pub language: String,
    /// Our office.
    pub from: String,
    /// Whom to ask for here.
    pub worker: String,
    /// The other office; not on a card.
    pub to: Option<String>,
    /// What is asked of them; not on a card.
    pub service: Option<CodeView>,
    /// When and where to come, if they said so; not on a card.
    #[schema(value_type = Option<Object>)]
    pub visit: Option<Visit>,
    /// The word that she agreed with us.
    pub code_word: String,
}

/// What stands on a slip of paper for an office without a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SlipView {
    /// Which referral.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Whether we ask; otherwise we answer.
    pub outgoing: bool,
    /// Our office.
    pub from: String,
    /// Whom to ask for.
    pub worker: String,
    /// The other office.
    pub to: String,
    /// Its telephone, address and the like.
    pub contact: String,
    /// Its number for this.
    pub reference: String,
    /// The code that an answer names.
    pub code: String,
    /// Until when an answer is asked for.
    #[schema(value_type = String)]
    pub respond_by: Timestamp,
    /// How urgent: 0 routine, 1 urgent, 2 emergency.
    pub urgency: u8,
    /// Where it stands.
    pub state: State,
    /// What is asked, without a name.
    #[schema(value_type = Object)]
    pub preview: Preview,
    /// What the consent lets go beside it.
    #[schema(value_type = Option<Object>)]
    pub full: Option<Full>,
    /// What we answered, if we did.
    pub answer: Option<EventView>,
}

/// What another office told beside its packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeardView {
    /// The step that it would be.
    pub step: String,
    /// Who told it.
    pub told_by: String,
    /// How.
    pub how: CodeView,
    /// When it was written down.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Whether the other office's own event said the same, once one came that decides it.
    pub confirmed: Option<bool>,
}

/// A packet of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PacketView {
    /// What it carries.
    pub kind: String,
    /// Where it stands.
    pub state: OutboxState,
    /// Why it was refused.
    pub problem: Option<String>,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Handed to the network.
    #[schema(value_type = Option<String>)]
    pub sent: Option<Timestamp>,
    /// Stored by the other node.
    #[schema(value_type = Option<String>)]
    pub arrived: Option<Timestamp>,
    /// Opened by the other office.
    #[schema(value_type = Option<String>)]
    pub read: Option<Timestamp>,
    /// Put into a file that is carried by hand.
    #[schema(value_type = Option<String>)]
    pub carried: Option<Timestamp>,
}

/// An event of a referral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventView {
    /// Which step.
    pub step: String,
    /// Whose.
    #[schema(value_type = String)]
    pub side: Side,
    /// When, by its author's clock.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Reason or outcome, if coded.
    pub code: Option<CodeView>,
    /// In words.
    pub text: String,
    /// When and where the client should come, if it says so.
    #[schema(value_type = Option<Object>)]
    pub visit: Option<Visit>,
    /// What was given.
    pub services: Vec<CodeView>,
    /// The office that was named instead, if it is a member of the network.
    #[schema(value_type = Option<String>)]
    pub office: Option<OfficeId>,
    /// Amounts that were reported.
    pub amounts: Vec<String>,
    /// Whether it was not allowed and changed nothing.
    pub refused: bool,
    /// Whether it is ours.
    pub ours: bool,
    /// Which of our staff, if one of them made it.
    pub by: Option<String>,
    /// Whether its author's signature holds.
    pub verified: bool,
    /// Whether the other office has shown that it has it: one of its own is there, or names it.
    pub known: bool,
    /// Who of an office without a node told it, and how.
    #[schema(value_type = Option<Object>)]
    pub told: Option<(String, CodeView)>,
}

/// A step that can be made now, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepView {
    /// Which.
    pub step: String,
    /// The list of its code.
    pub list: Option<String>,
    /// Whether a code has to be said.
    pub code: Wanted,
    /// Whether words have to be said.
    pub note: Wanted,
    /// Whether a day has to be said.
    pub day: Wanted,
    /// Whether another office can be named.
    pub office: bool,
    /// Whether it says when and where the client should come.
    pub visit: bool,
    /// Whether it says what was given.
    pub services: bool,
}

/// What would go to the other office, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SharePreview {
    /// Other offices that are asked at the same time.
    pub also: Vec<String>,
    /// The hub at which the full packet waits until they accept, if it does.
    pub held_at: Option<String>,
    /// What the case brings along, where it is handed over.
    pub moved: Option<MovedView>,
    /// Names that the other office's computer compares before anybody there accepts; none where the consent does not cover it.
    pub names: Option<Vec<String>>,
    /// To whom.
    pub partner: String,
    /// At once.
    #[schema(value_type = Object)]
    pub preview: Preview,
    /// After acceptance.
    #[schema(value_type = Object)]
    pub full: Full,
    /// What the consent does not cover and is left out.
    pub left_out: Vec<FieldGroup>,
}

/// An office of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartnerView {
    /// Which.
    #[schema(value_type = String)]
    pub office: OfficeId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What it offers.
    pub services: Vec<CodeView>,
    /// The area it serves.
    pub area: String,
    /// Whether its node is connected now.
    pub connected: bool,
    /// What a person should know about the connection.
    pub problem: Option<String>,
}

/// A line of the desk register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegisterView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The day of the visit.
    #[schema(value_type = String)]
    pub on: Day,
    /// How many days later it was written down.
    pub days_late: u32,
    /// Who came.
    pub visitor: String,
    /// What about.
    pub topic: Option<CodeView>,
    /// What was said.
    pub note: String,
    /// How many minutes.
    pub minutes: Option<u16>,
    /// What was advised.
    pub advice: String,
    /// How the visitor came to us.
    pub channel: Option<CodeView>,
    /// open, consult, case or turned_away.
    pub outcome: String,
    /// The case it became.
    #[schema(value_type = Option<String>)]
    pub case: Option<RecordId>,
    /// Why turned away.
    pub reason: Option<CodeView>,
    /// Who wrote it.
    pub by: String,
}

/// A member of staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StaffView {
    /// Who.
    #[schema(value_type = String)]
    pub id: StaffId,
    /// The name to sign in with.
    pub sign_in: String,
    /// The name.
    pub name: String,
    /// Roles.
    pub roles: Vec<StaffRole>,
    /// Whether the account is in use.
    pub active: bool,
    /// Whether this account can open the locked office.
    pub unlocks: bool,
    /// When it ends by itself.
    #[schema(value_type = Option<String>)]
    pub ends: Option<Timestamp>,
    /// Whether it has a second factor.
    pub has_factor: bool,
    /// Whether somebody has to approve it before it can be used, or before its roles change.
    pub waits: bool,
    /// The team; empty for none.
    pub team: String,
}

/// The start page: due work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HomeView {
    /// The day it is in the office.
    #[schema(value_type = String)]
    pub today: Day,
    /// When this account signed in the time before.
    #[schema(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// My cases that others changed since then, last touched first.
    pub changed: Vec<CaseSummary>,
    /// For who leads others: colleagues' tasks that are overdue for days.
    pub escalated: Vec<TaskView>,
    /// For who leads others: entries of the last week that were written down late.
    pub late_entries: usize,
    /// How many proposals to the network wait for what this office says.
    pub proposals: usize,
    /// Sample checks that wait for a decision of this account.
    pub samples: usize,
    /// Tasks that are late or due soon, the most pressing first: mine, and those that nobody has.
    pub due: Vec<TaskView>,
    /// Referrals to us that wait for an answer.
    pub incoming: Vec<ReferralSummary>,
    /// Referrals of ours that have an answer to read or are silent.
    pub outgoing: Vec<ReferralSummary>,
    /// My cases, last touched first.
    pub cases: Vec<CaseSummary>,
    /// For who leads others: how much each has to do.
    pub team: Vec<LoadView>,
    /// For who leads others: open cases that nobody is responsible for.
    pub unassigned: usize,
    /// Open cases in which nothing happened for long.
    pub stale: usize,
    /// What a person should know about the keys of the office: `key-ends-soon` or `key-ended`.
    pub key_problem: Option<String>,
    /// Whether this account should confirm what the office offers.
    pub confirm_offers: bool,
    /// Offices that knock with an invitation, where this account lets others in.
    pub knocking: Vec<String>,
    /// What a person should know about the network.
    pub problems: Vec<String>,
    /// What others ask this account to approve.
    pub requests: Vec<RequestView>,
    /// Emergency accesses that this account should look at.
    pub glasses: Vec<GlassView>,
}

/// How much one member of staff has to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LoadView {
    /// Who.
    #[schema(value_type = String)]
    pub staff: StaffId,
    /// The name.
    pub name: String,
    /// Open cases.
    pub cases: usize,
    /// Of them, those in which nothing happened for long.
    pub stale: usize,
    /// Late tasks.
    pub overdue: usize,
}
