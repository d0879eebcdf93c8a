//! What the office knows in memory while it is open: rows to list, count and search by, kept in step with the
//! vault. It is dropped when the office is locked.

mod entries;
mod ids;
mod revisions;
mod shared;

pub use entries::{AlertRow, Entries, EntryRow, JourneyRow, LateRow, Occupied, PartyRow, Said};
pub use ids::Ids;
pub use revisions::{Revisions, Stale};

use self::revisions::Counted;
use crate::names;
use crate::records::{
    Action, AgreementChoice, AgreementKept, AreaMap, CapacityAsked, Case, CaseState, Collected, Consent, CountingBasis,
    Glass, Grant, IdentityLevel, Import, Link, Listing, Member, Outbox, OutboxState, PartnerCheck, Payment,
    PaymentKind, Person, PersonRef, Proposed, Referral, RegisterLine, Release, ReportState, Request, SampleCheck,
    SampleState, SavedReport, Seen, Settings, Staff, TallyKept, TallyPart, TallyReport, TallyWord, Task, TaskKind,
    TaskState, TaskTitle,
};
use crate::vault::{Change, Kind, Observer, Record};
use crate::vocabulary::Vocabulary;
use crate::zone::Zone;
use casemesh_crypto::hash::Digest;
use casemesh_protocol::claim::{Claim, Claimed};
use casemesh_protocol::id::{OfficeId, RecordId, StaffId, ThreadId};
use casemesh_protocol::indicators::Source;
use casemesh_protocol::statistics::agreement_hash;
use casemesh_protocol::terms::{Code, FieldState, Money};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers::Standing;
use shared::Shared;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// A person, as lists and search see it.
#[derive(Debug, Clone)]
pub struct PersonRow {
    /// The reference.
    pub person: PersonRef,
    /// The name to show.
    pub name: String,
    /// Year of birth.
    pub birth_year: Option<i16>,
    /// Whether the person may be counted.
    pub counting: CountingBasis,
    /// How sure we are who it is.
    pub identity: IdentityLevel,
    /// Whether sex was asked, whatever the answer.
    pub sex_asked: bool,
    /// Whether age was asked, whatever the answer.
    pub age_asked: bool,
    /// The words of all names, each once, with spaces between; none where they are those of the name that is shown.
    words: Option<Box<str>>,
    /// The home place, as written.
    area: Box<str>,
    telephone: Box<str>,
    identifier: Box<str>,
    import_row: Option<RecordId>,
    different_from: Box<[RecordId]>,
    /// What of a person is counted by, where any of it is recorded.
    pub traits: Option<Box<Traits>>,
}

/// Coded facts of a person that people are counted by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// Sex.
    pub sex: Option<Arc<Code>>,
    /// Age band, where no date of birth is known.
    pub age_band: Option<Arc<Code>>,
    /// Nationality.
    pub nationality: Option<Arc<Code>>,
}

impl PersonRow {
    /// The home place, as written; empty where none is known.
    pub fn area(&self) -> &str {
        &self.area
    }

    /// The digits of the telephone; empty where none is known.
    pub fn telephone(&self) -> &str {
        &self.telephone
    }

    /// The words of all names, each once, in order.
    fn words(&self) -> Vec<String> {
        match &self.words {
            Some(words) => words.split_whitespace().map(str::to_owned).collect(),
            None => sorted_words(&self.name),
        }
    }

    /// How the words of the name sound, in one order.
    fn sound(&self) -> Vec<String> {
        skeletons(&self.name)
    }
}

/// A case, as lists see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRow {
    /// Which.
    pub id: RecordId,
    /// Its number.
    pub number: Box<str>,
    /// Whose.
    pub clients: Box<[RecordId]>,
    /// Its type.
    pub case_type: Option<Arc<Code>>,
    /// Whether its type was asked, whatever the answer.
    pub type_asked: bool,
    /// Where it stands.
    pub state: CaseState,
    /// When it was opened.
    pub opened: Day,
    /// When it was closed.
    pub closed: Option<Day>,
    /// Who is responsible.
    pub owner: Option<StaffId>,
    /// Who else works on it.
    pub assigned: Box<[StaffId]>,
    /// Only for who is assigned.
    pub sealed: bool,
    /// The last thing that happened.
    pub last_activity: Timestamp,
    /// Coded facts.
    pub facts: Box<[Arc<Code>]>,
    /// Grants that the work is counted for.
    pub grants: Box<[RecordId]>,
    /// It was handed over to another office.
    pub handed_over: bool,
}

/// Lists of a case's own codes, which stand among its coded facts.
pub const CASE_LISTS: [&str; 4] = ["case_source", "forum", "closure_reason", "level_of_help"];

/// A case in which nothing happened for so long is stale.
const STALE_DAYS: u64 = 30;

impl CaseRow {
    /// Whether the case is open and nothing happened in it for long.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.state.is_open() && now.ms_since(self.last_activity) > STALE_DAYS * 86_400_000
    }
}

/// A task, as lists see it.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// Which.
    pub id: RecordId,
    /// In which case.
    pub case: Option<RecordId>,
    /// What kind.
    pub kind: TaskKind,
    /// What is to be done.
    pub title: TaskTitle,
    /// Until when.
    pub due: Day,
    /// Who has to do it.
    pub owner: Option<StaffId>,
    /// Where it stands.
    pub state: TaskState,
}

/// Money, as figures see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaymentRow {
    pub(crate) case: RecordId,
    pub(crate) kind: PaymentKind,
    pub(crate) money: Money,
    pub(crate) paid: Option<Day>,
    pub(crate) recovered_here: bool,
}

/// A packet of ours, as the exchange sees it.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Which row.
    pub id: RecordId,
    /// Its packet's hash once released.
    pub packet_hash: Option<Digest>,
    /// Where it stands.
    pub state: OutboxState,
    /// For whom.
    pub to: OfficeId,
    /// The referral.
    pub referral: Option<RecordId>,
    /// Why it was refused.
    pub problem: Option<String>,
    /// What it carries.
    pub kind: u16,
    /// What is known of its way.
    pub facts: crate::records::Facts,
    /// Its length on the wire.
    pub bytes: u64,
    /// It does not leave before that.
    pub not_before: Option<Timestamp>,
    /// In which conversation; for a card, which one.
    pub thread: ThreadId,
    /// For which word of the recipient a hub gave it, where it waited at one.
    pub claimed: Option<Claimed>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Tables {
    /// How often what figures are counted from changed.
    pub revisions: Revisions,
    /// The office's settings.
    pub settings: Option<Settings>,
    /// The time zone of the office.
    pub zone: Zone,
    /// Code lists and forms.
    pub vocabulary: Arc<Vocabulary>,
    /// Staff.
    pub staff: BTreeMap<StaffId, Staff>,
    /// Persons, boxed: a third of a map's slots are empty.
    pub persons: HashMap<RecordId, Box<PersonRow>>,
    /// Cases.
    pub cases: HashMap<RecordId, Box<CaseRow>>,
    /// Cases by client.
    pub cases_of: HashMap<RecordId, Ids>,
    /// Open cases, and closed ones, by the last thing that happened in them.
    open_by_touch: BTreeSet<(Timestamp, RecordId)>,
    closed_by_touch: BTreeSet<(Timestamp, RecordId)>,
    /// Whose was the last thing that happened in an open case.
    pub last_by: HashMap<RecordId, StaffId>,
    pub(crate) payments: HashMap<RecordId, PaymentRow>,
    corrected_payments: HashSet<RecordId>,
    /// Tasks.
    pub tasks: HashMap<RecordId, TaskRow>,
    /// Where referrals stand.
    standings: HashMap<RecordId, Standing>,
    /// Open tasks by the day they are due.
    pub due: BTreeSet<(Day, RecordId)>,
    open_tasks: HashMap<RecordId, BTreeSet<(Day, RecordId)>>,
    /// What entries say.
    pub entries: Entries,
    /// Conflict lists that are not empty, by person.
    bars: HashMap<RecordId, Vec<StaffId>>,
    glasses: BTreeMap<RecordId, Arc<Glass>>,
    /// Until when somebody has emergency access to a case.
    glass_until: HashMap<(StaffId, RecordId), Timestamp>,
    links: BTreeMap<RecordId, Arc<Link>>,
    links_of: HashMap<RecordId, BTreeSet<RecordId>>,
    /// Persons whose record was merged into another's.
    merged_into: HashMap<RecordId, RecordId>,
    merged_from: HashMap<RecordId, BTreeSet<RecordId>>,
    /// Members on the rolls of groups, by group.
    members: HashMap<RecordId, BTreeSet<RecordId>>,
    /// Grants and projects.
    pub grants: BTreeMap<RecordId, Grant>,
    /// Services outside the network.
    pub listings: BTreeMap<RecordId, Arc<Listing>>,
    /// When other offices were spoken with last.
    pub partner_checks: BTreeMap<OfficeId, PartnerCheck>,
    /// Whether there is room: asked of us, and by us.
    pub capacity_asked: BTreeMap<RecordId, CapacityAsked>,
    /// Requests for a second person's approval.
    pub requests: BTreeMap<RecordId, Arc<Request>>,
    /// Referrals.
    pub referrals: BTreeMap<RecordId, Arc<Referral>>,
    /// Referrals by their name on the wire.
    pub threads: HashMap<ThreadId, RecordId>,
    /// Packets of ours.
    pub outbox: BTreeMap<RecordId, OutboxRow>,
    /// Packets that were opened.
    pub seen: HashSet<RecordId>,
    /// The desk register.
    pub lines: BTreeMap<RecordId, Arc<RegisterLine>>,
    /// Tables that left.
    pub releases: BTreeMap<RecordId, Arc<Release>>,
    /// Tables that came in.
    pub collected: BTreeMap<RecordId, Arc<Collected>>,
    /// At an aggregator, each office's report of each sum: its record, and where it stands.
    pub tally_reports: BTreeMap<(Digest, OfficeId), (RecordId, ReportState)>,
    /// At an aggregator, the sums.
    pub tallies: BTreeMap<Digest, Arc<TallyKept>>,
    /// At a collector, what aggregators added.
    pub tally_parts: BTreeMap<RecordId, Arc<TallyPart>>,
    /// The agreements of the network that this node has known, by their hashes.
    pub agreements: BTreeMap<Digest, Arc<AgreementKept>>,
    /// What aggregators said of this office's reports, by sum: each once.
    pub tally_words: BTreeMap<Digest, Vec<TallyWord>>,
    /// What was decided about what the network asks.
    pub choices: BTreeMap<RecordId, Arc<AgreementChoice>>,
    /// Sample checks.
    pub samples: BTreeMap<RecordId, Arc<SampleCheck>>,
    /// Reports that are made again and again.
    pub reports: BTreeMap<RecordId, Arc<SavedReport>>,
    /// What is proposed that the network agrees on.
    pub proposals: BTreeMap<RecordId, Arc<Proposed>>,
    /// The areas on the office's map.
    pub map: Option<Arc<AreaMap>>,
    /// Imports.
    pub imports: BTreeMap<RecordId, Import>,
    /// Imported rows, and the persons they became.
    pub import_rows: HashMap<RecordId, RecordId>,
    /// Keyed marks of imported rows whose persons were erased.
    pub erased_rows: HashSet<Digest>,
    /// Consents by person.
    pub consents: HashMap<RecordId, BTreeMap<RecordId, Arc<Consent>>>,
    words: BTreeMap<Box<str>, Ids>,
    skeletons: HashMap<Box<str>, Ids>,
    codes: Shared<Code>,
}

/// The words of a text, each once, in order.
fn sorted_words(text: &str) -> Vec<String> {
    let mut words = names::words(text);
    words.sort();
    words.dedup();
    words
}

/// How the words of a name sound, in one order.
fn skeletons(name: &str) -> Vec<String> {
    let mut skeletons: Vec<String> = names::words(name).iter().map(|word| names::skeleton(word)).collect();
    skeletons.sort();
    skeletons
}

/// Why a person was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchReason {
    /// A number of a document.
    Identifier,
    /// The telephone number.
    Telephone,
    /// Every word as written, or as its beginning.
    Name,
    /// Every word sounds alike.
    SoundsLike,
    /// The year of birth, beside the name or alone.
    BirthYear,
    /// The number of one of the person's cases.
    CaseNumber,
}

impl MatchReason {
    /// The word for it in the catalogues.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Telephone => "telephone",
            Self::Name => "name",
            Self::SoundsLike => "sounds_like",
            Self::BirthYear => "birth_year",
            Self::CaseNumber => "case_number",
        }
    }
}

/// So many records can be one person.
const MERGES_MAX: usize = 64;
/// How many candidates a search weighs.
const CANDIDATES_MAX: usize = 2_000;

impl Tables {
    fn share(&mut self, code: &Code) -> Arc<Code> {
        self.codes.of(code, |code| Arc::new(code.clone()))
    }

    fn put_person(&mut self, person: &Person) {
        self.remove_person(person.id);
        let texts = [person.given.value(), person.family.value(), person.local_name.value(), Some(&person.alias)];
        let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
        let words = sorted_words(&texts.join(" "));
        let name = person.display_name();
        let other_words = (words != sorted_words(&name)).then(|| words.join(" ").into());
        for word in &words {
            self.words.entry(word.as_str().into()).or_default().insert(person.id);
            self.skeletons.entry(names::skeleton(word).into()).or_default().insert(person.id);
        }
        self.put_merge(person);
        if !person.barred.is_empty() {
            self.bars.insert(person.id, person.barred.clone());
        }
        let import_row = person.import.map(|mark| mark.row);
        if let Some(row) = import_row {
            self.import_rows.insert(row, person.id);
        }
        let coded = [&person.sex, &person.age_band, &person.nationality].map(|field| field.value().cloned());
        let [sex, age_band, nationality] = coded.map(|code| code.map(|code| self.share(&code)));
        let traits = Traits { sex, age_band, nationality };
        let digits = |field: Option<&String>| field.map(|text| names::digits(text)).unwrap_or_default();
        self.persons.insert(
            person.id,
            Box::new(PersonRow {
                person: person.reference(),
                name,
                birth_year: person.birth.value().map(|birth| birth.year),
                counting: person.counting,
                identity: person.identity,
                sex_asked: person.sex != FieldState::NotAsked,
                age_asked: person.birth != FieldState::NotAsked || person.age_band != FieldState::NotAsked,
                words: other_words,
                area: person.area.value().map(|area| area.trim().into()).unwrap_or_default(),
                telephone: digits(person.telephone.value()).into(),
                identifier: person.identifier.value().map(|text| text.to_lowercase()).unwrap_or_default().into(),
                import_row,
                different_from: person.different_from.as_slice().into(),
                traits: Some(traits).filter(|traits| *traits != Traits::default()).map(Box::new),
            }),
        );
    }

    fn remove_person(&mut self, id: RecordId) {
        let Some(row) = self.persons.remove(&id) else { return };
        self.bars.remove(&id);
        for word in &row.words() {
            if self.words.get_mut(word.as_str()).is_some_and(|ids| ids.remove(&id)) {
                self.words.remove(word.as_str());
            }
            let skeleton = names::skeleton(word);
            if self.skeletons.get_mut(skeleton.as_str()).is_some_and(|ids| ids.remove(&id)) {
                self.skeletons.remove(skeleton.as_str());
            }
        }
        if let Some(row) = row.import_row {
            self.import_rows.remove(&row);
        }
    }

    /// Takes up a case; where nothing but its last activity is new, it is counted as it was.
    fn put_case(&mut self, case: &Case) -> Counted {
        let before = self.remove_case(case.id);
        for client in &case.clients {
            self.cases_of.entry(client.id).or_default().insert(case.id);
        }
        self.by_touch(case.state).insert((case.last_activity, case.id));
        if let Some(staff) = case.last_by.filter(|_| case.state.is_open()) {
            self.last_by.insert(case.id, staff);
        }
        let case_type = case.case_type.value().map(|code| self.share(code));
        let closure = case.closed.as_ref();
        let own = [case.source.as_ref(), case.forum.as_ref(), closure.map(|closure| &closure.reason)];
        let level = closure.and_then(|closure| closure.help.as_ref());
        let coded = case.facts.iter().chain(own.into_iter().chain([level]).flatten());
        let is_known = |code: &&Code| code.code.as_str() != crate::codes::NOT_RECORDED;
        let facts = coded.filter(is_known).map(|code| self.share(code)).collect();
        let row = Box::new(CaseRow {
            id: case.id,
            handed_over: case.handed.is_some(),
            number: case.number.clone().into_boxed_str(),
            clients: case.clients.iter().map(|client| client.id).collect(),
            case_type,
            type_asked: case.case_type != FieldState::NotAsked,
            state: case.state,
            opened: case.opened,
            closed: case.closed.as_ref().map(|closure| closure.on),
            owner: case.owner,
            assigned: case.assigned.clone().into_boxed_slice(),
            sealed: case.sealed,
            last_activity: case.last_activity,
            facts,
            grants: case.grants.clone().into_boxed_slice(),
        });
        let mut people: Vec<RecordId> = before.iter().flat_map(|before| &before.clients).copied().collect();
        let is_touched = before.is_some_and(|before| CaseRow { last_activity: row.last_activity, ..*before } == *row);
        self.cases.insert(case.id, row);
        if is_touched {
            return Counted::OfCases(&[Source::Cases], vec![Some(case.id)]);
        }
        people.extend(case.clients.iter().map(|client| client.id));
        Counted::OfPeople(people, vec![case.id])
    }

    fn by_touch(&mut self, state: CaseState) -> &mut BTreeSet<(Timestamp, RecordId)> {
        if state.is_open() { &mut self.open_by_touch } else { &mut self.closed_by_touch }
    }

    /// Cases, last touched first: the open ones, or all.
    pub fn latest_cases(&self, with_closed: bool) -> impl Iterator<Item = &CaseRow> {
        let mut open = self.open_by_touch.iter().rev().peekable();
        let mut closed = self.closed_by_touch.iter().rev().take(if with_closed { usize::MAX } else { 0 }).peekable();
        std::iter::from_fn(move || if open.peek() >= closed.peek() { open.next() } else { closed.next() })
            .filter_map(|(_, id)| self.cases.get(id).map(Box::as_ref))
    }

    fn remove_case(&mut self, id: RecordId) -> Option<Box<CaseRow>> {
        let row = self.cases.remove(&id)?;
        self.by_touch(row.state).remove(&(row.last_activity, id));
        self.last_by.remove(&id);
        for client in &row.clients {
            if self.cases_of.get_mut(client).is_some_and(|cases| cases.remove(&id)) {
                self.cases_of.remove(client);
            }
        }
        Some(row)
    }

    fn put_task(&mut self, task: Task) {
        self.remove_task(task.id);
        if task.state == TaskState::Open {
            self.due.insert((task.due, task.id));
            if let Some(case) = task.case {
                self.open_tasks.entry(case).or_default().insert((task.due, task.id));
            }
        }
        let Task { id, case, kind, title, due, owner, state, .. } = task;
        self.tasks.insert(id, TaskRow { id, case, kind, title, due, owner, state });
    }

    fn remove_task(&mut self, id: RecordId) {
        let Some(row) = self.tasks.remove(&id) else { return };
        self.due.remove(&(row.due, id));
        if let Some(open) = row.case.and_then(|case| self.open_tasks.get_mut(&case)) {
            open.remove(&(row.due, id));
        }
    }

    /// The open tasks of a case, the most pressing first.
    pub fn open_tasks_of(&self, case: RecordId) -> impl Iterator<Item = &TaskRow> {
        let open = self.open_tasks.get(&case).into_iter().flatten();
        open.filter_map(|(_, id)| self.tasks.get(id))
    }

    fn put_referral(&mut self, referral: Referral) {
        self.threads.insert(referral.thread, referral.id);
        self.standings.insert(referral.id, referral.standing());
        self.referrals.insert(referral.id, Arc::new(referral));
    }

    /// Sample checks of others that nobody decided on.
    pub fn samples_waiting(&self) -> usize {
        let waits = |check: &&Arc<SampleCheck>| check.state() == SampleState::Waiting;
        self.samples.values().filter(|check| !check.outgoing && check.partner.is_some()).filter(waits).count()
    }

    /// Where a referral stands: folded once, when it changed.
    pub fn stands(&self, referral: &Referral) -> Standing {
        self.standings.get(&referral.id).copied().unwrap_or_else(|| referral.standing())
    }

    /// The record that stands for a person: itself, or what it was merged into.
    pub fn standing(&self, person: RecordId) -> RecordId {
        let next = |id: &RecordId| self.merged_into.get(id).copied().filter(|into| self.persons.contains_key(into));
        std::iter::successors(Some(person), next).take(MERGES_MAX).last().unwrap_or(person)
    }

    /// All records of a person: the one that stands for them first, then those that were merged into it.
    pub fn records_of(&self, person: RecordId) -> Vec<RecordId> {
        let mut all = vec![self.standing(person)];
        let mut next = 0;
        while let Some(id) = all.get(next).copied() {
            let merged = self.merged_from.get(&id).into_iter().flatten().copied();
            all.extend(merged.take(MERGES_MAX));
            next += 1;
        }
        all
    }

    /// The cases of a person, those of merged records included.
    pub fn all_cases_of(&self, person: RecordId) -> impl Iterator<Item = &CaseRow> {
        let records = self.records_of(person);
        let ids: BTreeSet<RecordId> =
            records.iter().filter_map(|id| self.cases_of.get(id)).flat_map(Ids::iter).copied().collect();
        ids.into_iter().filter_map(|id| self.cases.get(&id).map(Box::as_ref))
    }

    /// The relations of a person with other registered persons.
    pub fn links_of(&self, person: RecordId) -> impl Iterator<Item = &Link> {
        let records = self.records_of(person);
        let ids: BTreeSet<RecordId> =
            records.iter().filter_map(|id| self.links_of.get(id)).flatten().copied().collect();
        ids.into_iter().filter_map(|id| self.links.get(&id)).map(Arc::as_ref)
    }

    /// Whether other records hang on a person's: merged into it, or related to it.
    pub fn is_leaned_on(&self, person: RecordId) -> bool {
        let has = |of: Option<&BTreeSet<RecordId>>| of.is_some_and(|ids| !ids.is_empty());
        has(self.merged_from.get(&person)) || has(self.links_of.get(&person))
    }

    /// Whether a referral of a case is under way.
    pub fn has_open_referral(&self, case: RecordId) -> bool {
        let mut of_case = self.referrals.values().filter(|referral| referral.case == Some(case));
        of_case.any(|referral| self.stands(referral).state.is_open())
    }

    /// The groups that have a roll.
    pub fn groups(&self) -> impl Iterator<Item = RecordId> {
        self.members.iter().filter(|(_, roll)| !roll.is_empty()).map(|(group, _)| *group)
    }

    /// How many members are on the roll of a group.
    pub fn members_of(&self, group: RecordId) -> usize {
        self.members.get(&group).map_or(0, BTreeSet::len)
    }

    fn put_link(&mut self, link: Link) {
        for person in [link.from.id, link.to.id] {
            self.links_of.entry(person).or_default().insert(link.id);
        }
        self.links.insert(link.id, Arc::new(link));
    }

    fn remove_link(&mut self, id: RecordId) {
        let Some(link) = self.links.remove(&id) else { return };
        for person in [link.from.id, link.to.id] {
            if self.links_of.get_mut(&person).is_some_and(|ids| ids.remove(&id) && ids.is_empty()) {
                self.links_of.remove(&person);
            }
        }
    }

    fn remove_glass(&mut self, id: RecordId) {
        if let Some(glass) = self.glasses.remove(&id) {
            self.glass_until.remove(&(glass.staff, glass.case));
        }
    }

    fn unmerge(&mut self, person: RecordId) {
        if let Some(into) = self.merged_into.remove(&person)
            && let Some(merged) = self.merged_from.get_mut(&into)
        {
            merged.remove(&person);
        }
    }

    fn put_merge(&mut self, person: &Person) {
        self.unmerge(person.id);
        if let Some(into) = person.merged_into {
            self.merged_into.insert(person.id, into);
            self.merged_from.entry(into).or_default().insert(person.id);
        }
    }

    /// Whether anybody is on anybody's conflict list.
    pub fn any_bar(&self) -> bool {
        !self.bars.is_empty()
    }

    /// Whether a member of staff is on the conflict list of a person.
    pub fn is_barred(&self, person: RecordId, staff: StaffId) -> bool {
        let is_on = |id: RecordId| self.bars.get(&id).is_some_and(|barred| barred.contains(&staff));
        !self.bars.is_empty() && self.records_of(person).into_iter().any(is_on)
    }

    /// Who is on the conflict list of a person.
    pub fn barred_from(&self, person: RecordId) -> &[StaffId] {
        self.bars.get(&person).map_or(&[], Vec::as_slice)
    }

    /// Whether anybody ever took emergency access: most offices ask no further for most cases.
    pub fn any_glass(&self) -> bool {
        !self.glass_until.is_empty()
    }

    /// Whether a member of staff has emergency access to any case now.
    pub fn glass_runs(&self, staff: StaffId, now: Timestamp) -> bool {
        self.glass_until.iter().any(|((who, _), until)| *who == staff && *until > now)
    }

    /// Whether a member of staff has emergency access to a case now.
    pub fn has_glass(&self, staff: StaffId, case: RecordId, now: Timestamp) -> bool {
        self.glass_until(staff, case, now).is_some()
    }

    /// Until when a member of staff has emergency access to a case, if they have it now.
    pub fn glass_until(&self, staff: StaffId, case: RecordId, now: Timestamp) -> Option<Timestamp> {
        self.glass_until.get(&(staff, case)).copied().filter(|until| now < *until)
    }

    /// Emergency accesses, latest first.
    pub fn glasses(&self) -> impl Iterator<Item = &Glass> {
        self.glasses.values().rev().map(Arc::as_ref)
    }

    fn put_glass(&mut self, glass: Glass) {
        // When the office opens, they come in any order.
        let until = self.glass_until.entry((glass.staff, glass.case)).or_insert(glass.until);
        *until = glass.until.max(*until);
        self.glasses.insert(glass.id, Arc::new(glass));
    }

    /// Persons that a text finds, best first, with the reasons.
    pub fn search(&self, text: &str) -> Vec<(&PersonRow, Vec<MatchReason>)> {
        let words = names::words(text);
        let (years, names_only): (Vec<&String>, Vec<&String>) = words
            .iter()
            .partition(|word| word.len() == 4 && word.parse::<u16>().is_ok_and(|n| (1900..2100).contains(&n)));
        let mut found: BTreeMap<RecordId, BTreeSet<MatchReason>> = BTreeMap::new();
        if !names_only.is_empty() {
            self.find(&names_only, |word| self.with_beginning(word), MatchReason::Name, &mut found);
            self.find(
                &names_only,
                |word| {
                    self.skeletons
                        .get(names::skeleton(word).as_str())
                        .into_iter()
                        .flat_map(Ids::iter)
                        .copied()
                        .collect()
                },
                MatchReason::SoundsLike,
                &mut found,
            );
        }
        if let ([], [year]) = (names_only.as_slice(), years.as_slice()) {
            let asked = year.parse::<i16>().ok();
            let born = self.persons.values().filter(|row| row.birth_year.is_some() && row.birth_year == asked);
            for row in born.take(CANDIDATES_MAX) {
                found.entry(row.person.id).or_default();
            }
        }
        let digits = names::digits(text);
        let number = text.trim().to_lowercase();
        if digits.len() >= 5 || number.len() >= 4 {
            for row in self.persons.values() {
                if digits.len() >= 5 && row.telephone.ends_with(&digits) {
                    found.entry(row.person.id).or_default().insert(MatchReason::Telephone);
                }
                if number.len() >= 4 && *row.identifier == *number {
                    found.entry(row.person.id).or_default().insert(MatchReason::Identifier);
                }
            }
        }
        let mut hits: Vec<(&PersonRow, Vec<MatchReason>)> = Vec::new();
        // What was found under a merged record is said of the person it turned out to be.
        let mut standing: BTreeMap<RecordId, BTreeSet<MatchReason>> = BTreeMap::new();
        for (id, reasons) in found {
            standing.entry(self.standing(id)).or_default().extend(reasons);
        }
        for (id, mut reasons) in standing {
            let Some(row) = self.persons.get(&id) else { continue };
            if row.birth_year.is_some_and(|year| years.iter().any(|asked| **asked == year.to_string())) {
                reasons.insert(MatchReason::BirthYear);
            }
            hits.push((row, reasons.into_iter().collect()));
        }
        hits.sort_by(|(a, a_reasons), (b, b_reasons)| {
            (a_reasons, b_reasons.len(), &a.name).cmp(&(b_reasons, a_reasons.len(), &b.name))
        });
        hits
    }

    fn find(
        &self,
        words: &[&String],
        ids_of: impl Fn(&str) -> BTreeSet<RecordId>,
        reason: MatchReason,
        found: &mut BTreeMap<RecordId, BTreeSet<MatchReason>>,
    ) {
        let mut sets = words.iter().map(|word| ids_of(word));
        let Some(first) = sets.next() else { return };
        let all = sets.fold(first, |all, next| all.intersection(&next).copied().collect());
        for id in all.into_iter().take(CANDIDATES_MAX) {
            let reasons = found.entry(id).or_default();
            // What is found as written need not be said to sound alike.
            if reason != MatchReason::SoundsLike || !reasons.contains(&MatchReason::Name) {
                reasons.insert(reason);
            }
        }
    }

    fn with_beginning(&self, word: &str) -> BTreeSet<RecordId> {
        self.words
            .range::<str, _>((Bound::Included(word), Bound::Unbounded))
            .take_while(|(known, _)| known.starts_with(word))
            .flat_map(|(_, ids)| ids.iter().copied())
            .take(CANDIDATES_MAX)
            .collect()
    }

    /// Pairs of persons who may be one: the same telephone or document, or a name that sounds alike with the same year
    /// of birth. Pairs that somebody found to be two are left out.
    pub fn duplicates(&self, is_seen: impl Fn(RecordId) -> bool) -> Vec<(RecordId, RecordId, MatchReason)> {
        let mut seen: HashMap<(MatchReason, Vec<String>), Vec<RecordId>> = HashMap::new();
        let standing = self.persons.values().filter(|row| !self.merged_into.contains_key(&row.person.id));
        for row in standing {
            let id = row.person.id;
            let mut put = |reason, key: Vec<String>| seen.entry((reason, key)).or_default().push(id);
            if row.telephone.len() >= 5 {
                put(MatchReason::Telephone, vec![row.telephone.to_string()]);
            }
            if row.identifier.len() >= 4 {
                put(MatchReason::Identifier, vec![row.identifier.to_string()]);
            }
            if let Some(year) = row.birth_year.filter(|_| row.words().len() >= 2) {
                let mut key = row.sound();
                key.push(year.to_string());
                put(MatchReason::SoundsLike, key);
            }
        }
        let mut pairs: BTreeMap<(RecordId, RecordId), MatchReason> = BTreeMap::new();
        for ((reason, _), mut ids) in seen {
            ids.sort_unstable();
            for (at, one) in ids.iter().enumerate() {
                for other in ids.iter().skip(at + 1).take(MERGES_MAX) {
                    let are_two = |a: &RecordId, b: &RecordId| {
                        self.persons.get(a).is_some_and(|row| row.different_from.contains(b))
                    };
                    // Relatives share telephones and names.
                    let are_related = self.links_of(*one).any(|link| [link.from.id, link.to.id].contains(other));
                    if !are_related && !are_two(one, other) && !are_two(other, one) && is_seen(*one) && is_seen(*other)
                    {
                        let known = pairs.entry((*one, *other)).or_insert(reason);
                        *known = reason.min(*known);
                    }
                }
            }
        }
        pairs.into_iter().map(|((one, other), reason)| (one, other, reason)).collect()
    }

    /// The case of a number, whoever may see it. What has no year in it is none: no name is looked for among the numbers.
    pub fn case_numbered(&self, number: &str) -> Option<&CaseRow> {
        let number = names::ascii_digits(number.trim());
        number.split('-').rev().nth(1)?.parse::<i16>().ok()?;
        self.cases.values().map(Box::as_ref).find(|row| row.number.eq_ignore_ascii_case(&number))
    }

    /// Whether somebody may be counted: every record of theirs says so. Who objected under one of two that became one has objected.
    pub fn may_count(&self, person: RecordId) -> bool {
        let counts = |id: RecordId| self.persons.get(&id).is_none_or(|row| row.counting.counts());
        if !self.merged_into.contains_key(&person) && !self.merged_from.contains_key(&person) {
            return counts(person);
        }
        self.records_of(person).into_iter().all(counts)
    }

    /// Whether the client of a case may be counted.
    pub fn counted(&self, case: &CaseRow) -> bool {
        case.clients.iter().all(|client| self.persons.contains_key(client) && self.may_count(*client))
    }

    fn remove(&mut self, kind: Kind, id: RecordId) {
        match kind {
            Kind::Person => {
                self.remove_person(id);
                self.unmerge(id);
            }
            Kind::Case => drop(self.remove_case(id)),
            Kind::Link => self.remove_link(id),
            Kind::Glass => self.remove_glass(id),
            Kind::Member => self.members.values_mut().for_each(|of_group| {
                of_group.remove(&id);
            }),
            Kind::Payment => drop(self.payments.remove(&id)),
            Kind::Task => self.remove_task(id),
            Kind::Action => self.entries.remove(id),
            Kind::Referral => {
                if let Some(gone) = self.referrals.remove(&id) {
                    self.threads.remove(&gone.thread);
                    self.standings.remove(&id);
                }
            }
            Kind::Outbox => drop(self.outbox.remove(&id)),
            Kind::RegisterLine => drop(self.lines.remove(&id)),
            Kind::SavedReport => drop(self.reports.remove(&id)),
            Kind::Consent => self.consents.values_mut().for_each(|of_person| drop(of_person.remove(&id))),
            _ => {}
        }
    }

    /// Takes up a record, and says where it is counted.
    fn put(&mut self, kind: Kind, plain: &[u8]) -> Result<Counted, minicbor::decode::Error> {
        match kind {
            Kind::Settings => {
                let settings: Settings = minicbor::decode(plain)?;
                Arc::make_mut(&mut self.vocabulary).set_pack(&settings.pack);
                self.zone = Zone::named(&settings.zone).unwrap_or_default();
                self.settings = Some(settings);
            }
            Kind::OfficeList => Arc::make_mut(&mut self.vocabulary).put_list(minicbor::decode(plain)?),
            Kind::NetworkCodes => Arc::make_mut(&mut self.vocabulary).put_network(minicbor::decode(plain)?),
            Kind::OfficeForm => Arc::make_mut(&mut self.vocabulary).put_form(&minicbor::decode(plain)?),
            Kind::Staff => {
                let staff: Staff = minicbor::decode(plain)?;
                let signed_in = staff.signed_in;
                let before = self.staff.insert(staff.id, staff.clone());
                // Who signs in is who they were.
                if before.is_some_and(|before| Staff { signed_in, ..before } == staff) {
                    return Ok(Counted::In(&[Source::Workers]));
                }
            }
            Kind::Person => {
                let person: Person = minicbor::decode(plain)?;
                // Who is merged, or shut out, changes more than one person's rows.
                let is_joined = |tables: &Self| {
                    tables.merged_into.contains_key(&person.id)
                        || tables.merged_from.contains_key(&person.id)
                        || tables.bars.contains_key(&person.id)
                };
                let was_joined = is_joined(self);
                self.put_person(&person);
                if !was_joined && !is_joined(self) {
                    let cases =
                        self.cases_of.get(&person.id).map(|cases| cases.iter().copied().collect()).unwrap_or_default();
                    return Ok(Counted::OfPeople(vec![person.id], cases));
                }
            }
            Kind::Case => return Ok(self.put_case(&minicbor::decode(plain)?)),
            Kind::Payment => {
                let payment: Payment = minicbor::decode(plain)?;
                let Payment { id, case, kind, money, paid, recovered_here, corrects, void, .. } = payment;
                if let Some(corrected) = corrects {
                    self.payments.remove(&corrected);
                    self.corrected_payments.insert(corrected);
                }
                // When the office opens, the later one may have been seen already.
                if !void && !self.corrected_payments.contains(&id) {
                    self.payments.insert(id, PaymentRow { case, kind, money, paid, recovered_here });
                }
                return Ok(Counted::payment(case));
            }
            Kind::Referral => {
                let referral: Referral = minicbor::decode(plain)?;
                let before = self.referrals.get(&referral.id).and_then(|before| before.case);
                let cases = vec![before, referral.case];
                self.put_referral(referral);
                return Ok(Counted::OfCases(&[Source::Referrals], cases));
            }
            Kind::Outbox => {
                let row: Outbox = minicbor::decode(plain)?;
                let Outbox {
                    id,
                    packet_hash,
                    state,
                    to,
                    referral,
                    problem,
                    kind,
                    facts,
                    bytes,
                    not_before,
                    thread,
                    claim,
                    ..
                } = row;
                let claimed = claim.as_ref().and_then(Claim::unverified);
                let row = OutboxRow {
                    id,
                    packet_hash,
                    state,
                    to,
                    referral,
                    problem,
                    kind,
                    facts,
                    bytes,
                    not_before,
                    thread,
                    claimed,
                };
                self.outbox.insert(id, row);
            }
            Kind::Seen => {
                let seen: Seen = minicbor::decode(plain)?;
                self.seen.insert(seen.id);
            }
            Kind::RegisterLine => {
                let line: RegisterLine = minicbor::decode(plain)?;
                self.lines.insert(line.id, Arc::new(line));
            }
            Kind::Release => {
                let release: Release = minicbor::decode(plain)?;
                self.releases.insert(release.id, Arc::new(release));
            }
            Kind::TallyReport => {
                let report: TallyReport = minicbor::decode(plain)?;
                self.tally_reports.insert((report.tally, report.office), (report.id, report.state));
            }
            Kind::TallyKept => {
                let kept: TallyKept = minicbor::decode(plain)?;
                self.tallies.insert(kept.tally, Arc::new(kept));
            }
            Kind::TallyPart => {
                let part: TallyPart = minicbor::decode(plain)?;
                self.tally_parts.insert(part.id, Arc::new(part));
            }
            Kind::AgreementKept => {
                let kept: AgreementKept = minicbor::decode(plain)?;
                self.agreements.insert(agreement_hash(&kept.text), Arc::new(kept));
            }
            Kind::TallyWord => {
                let word: TallyWord = minicbor::decode(plain)?;
                self.tally_words.entry(word.tally).or_default().push(word);
            }
            Kind::SampleCheck => {
                let check: SampleCheck = minicbor::decode(plain)?;
                self.samples.insert(check.id, Arc::new(check));
            }
            Kind::Proposed => {
                let proposed: Proposed = minicbor::decode(plain)?;
                self.proposals.insert(proposed.id, Arc::new(proposed));
            }
            Kind::AreaMap => self.map = Some(Arc::new(minicbor::decode(plain)?)),
            Kind::SavedReport => {
                let report: SavedReport = minicbor::decode(plain)?;
                self.reports.insert(report.id, Arc::new(report));
            }
            Kind::AgreementChoice => {
                let choice: AgreementChoice = minicbor::decode(plain)?;
                self.choices.insert(choice.id, Arc::new(choice));
            }
            Kind::Collected => {
                let collected: Collected = minicbor::decode(plain)?;
                self.collected.insert(collected.id, Arc::new(collected));
            }
            Kind::Import => {
                let import: Import = minicbor::decode(plain)?;
                self.erased_rows.extend(&import.erased);
                self.imports.insert(import.id, import);
            }
            Kind::Consent => {
                let consent: Consent = minicbor::decode(plain)?;
                self.consents.entry(consent.person.id).or_default().insert(consent.id(), Arc::new(consent));
            }
            Kind::Task => {
                let task: Task = minicbor::decode(plain)?;
                let before = self.tasks.get(&task.id).and_then(|before| before.case);
                let cases = vec![before, task.case];
                self.put_task(task);
                return Ok(Counted::OfCases(&[Source::Tasks], cases));
            }
            Kind::Action => {
                let action: Action = minicbor::decode(plain)?;
                self.entries.put(&action);
                return Ok(Counted::entry(Some(action.about).filter(|about| *about != Action::TOP)));
            }
            Kind::Grant => {
                let grant: Grant = minicbor::decode(plain)?;
                self.grants.insert(grant.id, grant);
            }
            Kind::PartnerCheck => {
                let check: PartnerCheck = minicbor::decode(plain)?;
                let is_older = self.partner_checks.get(&check.office).is_none_or(|known| known.at <= check.at);
                if is_older {
                    self.partner_checks.insert(check.office, check);
                }
            }
            Kind::CapacityAsked => {
                let asked: CapacityAsked = minicbor::decode(plain)?;
                self.capacity_asked.insert(asked.id, asked);
            }
            Kind::Listing => {
                let listing: Listing = minicbor::decode(plain)?;
                self.listings.insert(listing.id, Arc::new(listing));
            }
            Kind::Link => self.put_link(minicbor::decode(plain)?),
            Kind::Member => {
                let member: Member = minicbor::decode(plain)?;
                self.members.entry(member.group.id).or_default().insert(member.id);
            }
            Kind::Glass => self.put_glass(minicbor::decode(plain)?),
            Kind::Request => {
                let request: Request = minicbor::decode(plain)?;
                self.requests.insert(request.id, Arc::new(request));
            }
            Kind::Draft | Kind::Document | Kind::Counters => {}
        }
        Ok(Counted::of(kind))
    }
}

/// The index of an open office.
#[derive(Debug, Default)]
pub struct Index(RwLock<Tables>);

impl Index {
    /// A look at all of it, between two groups of commands. One thread looks once at a time: a second look inside the
    /// first waits for ever as soon as a writer waits between them.
    pub fn read(&self) -> Reading<'_> {
        let looking = Looking::begin();
        Reading { tables: self.0.read().unwrap_or_else(PoisonError::into_inner), _looking: looking }
    }
}

/// A look at the index.
#[derive(Debug)]
pub struct Reading<'a> {
    tables: RwLockReadGuard<'a, Tables>,
    _looking: Looking,
}

impl std::ops::Deref for Reading<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

/// That this thread looks; a debug build stops where it looks twice.
#[derive(Debug)]
struct Looking;

#[cfg(debug_assertions)]
thread_local! {
    static LOOKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Looking {
    fn begin() -> Self {
        #[cfg(debug_assertions)]
        assert!(!LOOKS.replace(true), "a look at the index inside a look");
        Self
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        LOOKS.set(false);
    }
}

impl Observer for Index {
    fn changed(&self, kind: Kind, change: Change<'_>) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let counted = match change {
            Change::Gone(id) => {
                tables.remove(kind, id);
                Counted::of(kind)
            }
            Change::Put(plain) => tables.put(kind, plain).unwrap_or_else(|_| {
                tracing::error!(kind = kind.as_str(), "a record cannot be read; run `casemesh verify`");
                Counted::Everywhere
            }),
        };
        tables.revisions.changed(counted);
    }
}
