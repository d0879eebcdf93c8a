//! An open office: vault, index, keys and relay together, and the desk at which a member of staff works.
//!
//! Nobody gets the office itself. A sign-in gives a [`Desk`], whose every method asks the policy first and
//! answers what is not allowed as if it did not exist.

mod access;
mod account;
mod adopting;
mod agreed;
mod areas;
mod attachments;
mod capacity;
mod carry;
mod cases;
mod chain;
mod circumstances;
mod collected;
mod columns;
mod conflicts;
mod documents;
mod drafts;
mod duplicates;
mod effects;
mod entries;
mod erasure;
mod exchange;
mod family;
mod figures;
mod finished;
mod grants;
mod handing;
mod history;
mod holding;
mod home;
mod import;
mod inviting;
mod levels;
mod links;
mod listings;
mod log;
mod membership;
mod network;
mod offers;
mod outside;
mod outward;
mod overriding;
mod own;
mod patterns;
mod people;
mod proposals;
mod quality;
mod referrals;
mod register;
mod reminders;
pub(crate) mod renewal;
mod reports;
mod requests;
mod review;
mod samples;
mod sending;
mod sharing;
mod shedding;
mod staff;
mod standing;
mod steps;
mod sums;
mod tables;
mod tally;
mod tasks;
mod views;
mod vocabulary;

pub use access::{GLASS_MINUTES, GlassInput};
pub use account::{AccountView, NewFactor};
pub use adopting::TagCandidate;
pub use areas::{AreaValue, AreaView, AreasView, MapView};
pub use capacity::{CapacityAnswerInput, CapacityInput};
pub use cases::{COUNTED_MAX, CaseChange, CaseFilter, CaseInput, PAGE_ROWS, PaymentInput};
pub use circumstances::NeverInput;
pub use collected::{CollectedView, FlowCell, FlowView, OfficeFigures};
pub use documents::{DOCUMENT_BYTES_MAX, DocumentInput, HandedOut};
pub use drafts::{DRAFT_BYTES_MAX, Draft};
pub use entries::ActionInput;
pub use family::{FAMILY_MAX, FamilyInput, FamilyPerson, LinkInput, MemberInput};
pub use figures::{
    CellView, ClassView, CrossRow, CrossView, DefinitionView, FactView, FigureView, FiguresView, LineView, ReportView,
    Scope, TrendView,
};
pub use finished::FINISHED_BYTES_MAX;
pub use grants::GrantInput;
pub use history::{FieldChange, HistoryOf, HistoryView, VersionView};
pub use import::{
    ColumnReport, FILE_BYTES_MAX, ImportError, ImportReport, ImportView, Mapping, Reading, RowProblem, Undone,
};
pub use levels::UpwardView;
pub use links::Shared;
pub use listings::{LISTINGS_BYTES_MAX, ListingsReport};
pub use log::{LogCheck, LogFilter, LogRow, LogView};
pub use membership::{CheckInput, EndInput, spoken};
pub use network::Line;
pub use offers::{EntryInput, OfferInput, OfferSearch};
pub use outside::{BookInInput, ToldInput};
pub use overriding::OverrideInput;
pub use own::OwnView;
pub use patterns::PatternView;
pub use people::{ConsentInput, FieldInput, PersonInput};
pub use proposals::{CommentInput, CommentView, ProposalInput, ProposalView};
pub use quality::{Fault, FaultyCase, Lack, LackingCase, QualityView};
pub use register::RegisterInput;
pub use reminders::Pulse;
pub use reports::{
    IndicatorView, ReportLineInput, ReportLineView, SavedReportInput, SavedReportSummary, SavedReportView,
};
pub use requests::DecisionInput;
pub use samples::{CountsView, SampleInput, SampleLineView, SampleResultInput, SampleSheet, SampleView};
pub use sending::{MoreInput, ReferralInput};
pub use staff::{PASSWORD_CHARS_MIN, RolesInput, SettingsInput, StaffInput, password_problem};
pub use standing::{ClosureInput, StandingInput};
pub use steps::{AnswerInput, Wanted};
pub use tables::{AgreementView, AnsweringInput, DueView, LeftView, TablePreview};
pub use tally::{TallyReportView, TallyStanding};
pub use tasks::{TaskChange, TaskFilter, TaskInput};
pub use views::*;
pub use vocabulary::{
    CodeListInput, FIELD_KINDS, FormFieldInput, FormInput, LISTS_BYTES_MAX, ListMapping, ListsReport, ReadLists,
    TERMS_ROWS, TermInput,
};

use crate::clock::Clock;
use crate::disk;
use crate::index::Index;
use crate::keys::{Keys, Prekeys};
use crate::node::{NETWORK_FILE, NodeError, Reach};
use crate::policy::{Actor, Ask, Denied, Relation};
use crate::records::{Case, SETTINGS_ID, Settings, StaffRole};
use crate::relay::Relay;
use crate::vault::{Record, Sealed, Vault, VaultError};
use crate::vocabulary::Vocabulary;
use crate::zone::Zone;
use casemesh_crypto::prekey::PrekeyId;
use casemesh_crypto::wire;
use casemesh_protocol::bounded::List;
use casemesh_protocol::consent::ConsentProblem;
use casemesh_protocol::directory::{Card, Directory, NetworkFile};
use casemesh_protocol::id::{OfficeId, RecordId, StaffId};
use casemesh_protocol::limits::LIST_MAX;
use casemesh_protocol::referral::IllegalStep;
use casemesh_protocol::time::{Day, Timestamp};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Looks of one person at one record within this time are one entry of the log.
const LOOKS_COALESCED_MS: u64 = 5 * 60_000;

/// What is wrong with one field of a form.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// Which field.
    pub field: String,
    /// Which problem: a key of the catalogues (`problem-KEY`).
    pub problem: String,
    /// What was given, or what would fit; shown with the problem.
    pub detail: String,
}

impl FieldProblem {
    /// A problem without detail.
    pub fn new(field: &str, problem: &str) -> Self {
        Self { field: field.into(), problem: problem.into(), detail: String::new() }
    }

    /// A problem with what was given or would fit.
    pub fn with(field: &str, problem: &str, detail: impl std::fmt::Display) -> Self {
        Self { field: field.into(), problem: problem.into(), detail: detail.to_string() }
    }
}

/// Why the desk does not do something.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The policy says no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such thing, or none that this account may know of.
    #[error("there is no such record")]
    NotFound,
    /// Fields are missing or wrong. Nothing was saved; what was typed is still in the form.
    #[error("some fields need another look: {}", .0.iter().map(|p| format!("{} ({})", p.field, p.problem)).collect::<Vec<_>>().join(", "))]
    Invalid(Vec<FieldProblem>),
    /// The consent does not allow it.
    #[error(transparent)]
    Consent(#[from] ConsentProblem),
    /// The referral is not in a state for that.
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
    /// The other office cannot be written to.
    #[error("{0}")]
    Partner(String),
    /// The same referral is already open with that office.
    #[error("this case already has an open referral to that office for the same service; follow that one")]
    DoubleSend,
    /// Another office was asked for the same and has not answered.
    #[error("{0} was asked for the same and has not answered yet; if both should be asked, say so")]
    AlsoOpen(String),
    /// Somebody who cares for the person is a party in one of their cases.
    #[error(
        "somebody who cares for this person is a party in one of their cases: do not turn the page round; talk to the person alone"
    )]
    CaregiverIsParty,
    /// The case is another office's now.
    #[error("this case was handed over to another office: it can be read here, and changed only there")]
    HandedOver,
    /// The file of a document is on its way.
    #[error("the file has not come yet; it comes by itself when the other office's node or a hub can be reached")]
    StillComing,
    /// This needs a second factor, and the account has none.
    #[error("this needs a second factor: set one up under your account first")]
    FactorNeeded,
    /// The store refuses.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl DeskError {
    /// The key of the sentence in the catalogues.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Denied(_) => "error-denied",
            Self::NotFound => "error-not-found",
            Self::Invalid(_) => "error-invalid",
            Self::Consent(problem) => match problem {
                ConsentProblem::Expired => "error-consent-expired",
                ConsentProblem::OtherRecipient => "error-consent-recipient",
                ConsentProblem::OtherPurpose => "error-consent-purpose",
                ConsentProblem::Refused => "error-consent-refused",
                ConsentProblem::Withdrawn => "error-consent-withdrawn",
                ConsentProblem::NotYet => "error-consent-clock",
                ConsentProblem::OfAge => "error-consent-of-age",
                ConsentProblem::GuardianIsParty => "error-consent-guardian",
                ConsentProblem::ChildDisagrees => "error-consent-child",
                ConsentProblem::Never => "error-consent-never",
            },
            Self::Illegal(_) => "error-illegal-step",
            Self::Partner(_) => "error-partner",
            Self::DoubleSend => "error-double-send",
            Self::HandedOver => "error-handed-over",
            Self::StillComing => "error-still-coming",
            Self::AlsoOpen(_) => "error-also-open",
            Self::FactorNeeded => "error-factor-needed",
            Self::CaregiverIsParty => "error-caregiver-is-party",
            Self::Vault(VaultError::Conflict) => "error-conflict",
            Self::Vault(VaultError::Locked) => "error-locked",
            Self::Vault(_) => "error-store",
        }
    }
}

/// What the node shares with its open office.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Whether the clock can be believed.
    pub(crate) watch: crate::clockwatch::ClockWatch,
    /// Where offices with an invitation knock, where this one lets others in.
    pub(crate) lobby: Option<crate::lobby::Lobby>,
    /// The data folder.
    pub folder: PathBuf,
    /// The time.
    pub clock: Clock,
    /// The relay.
    pub relay: Relay,
    /// The network.
    pub directory: Arc<RwLock<Option<Arc<Directory>>>>,
    /// Held from reading cards and the network file until what follows from them is known.
    pub changing: Arc<Mutex<()>>,
}

impl Surroundings {
    /// Nobody else changes cards or the network file while this is held.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses a directory from now on.
    pub(crate) fn know(&self, directory: Directory) -> Arc<Directory> {
        let directory = Arc::new(directory);
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&directory));
        directory
    }

    /// While invitations are open, offices can knock here: also while nobody is signed in.
    pub(crate) fn keep_lobby(&self) {
        let Some(lobby) = &self.lobby else { return };
        let directory = Arc::clone(&self.directory);
        let known = move || directory.read().unwrap_or_else(PoisonError::into_inner).clone();
        lobby.keep(self.clock.now(), &self.clock, Arc::new(known));
    }

    /// Tells the relay who belongs to the network, and which prekeys are ours.
    pub(crate) fn tell_relay(&self, directory: Arc<Directory>) {
        self.relay.set_directory(directory, self.own_prekeys());
    }

    pub(crate) fn own_prekeys(&self) -> Vec<PrekeyId> {
        let own = crate::node::read_card(&self.folder).ok().and_then(|bytes| wire::decode::<Card>(&bytes).ok());
        own.map_or_else(Vec::new, |card| card.prekeys.iter().map(|own| own.prekey.id()).collect())
    }

    /// Where other nodes find this one, as `node.toml` has it.
    pub(crate) fn addresses(&self) -> Result<List<casemesh_protocol::terms::Line, LIST_MAX>, NodeError> {
        crate::node::read_config(&self.folder)?.addresses()
    }

    /// Joins the network of a file, or takes what is new in it. Whether anything is.
    ///
    /// # Errors
    /// When the file is of another network than this node joined, does not hold, or does not let this office in.
    pub(crate) fn join(&self, bytes: &[u8], reach: Reach) -> Result<bool, NodeError> {
        if self.directory().is_some() {
            return self.merge(&NetworkFile::read(bytes)?, reach);
        }
        let _held = self.changing();
        let directory = Directory::read(bytes, None)?;
        if directory.member(&self.relay.office()).is_none() {
            return Err(NodeError::NotAdmitted(directory.name().to_string()));
        }
        self.keep_directory(directory, reach)?;
        Ok(true)
    }

    /// Puts what a file knows of the network to what is known here. Whether anything is new.
    ///
    /// # Errors
    /// When it is of another network, contradicts what is known, or does not hold.
    pub(crate) fn merge(&self, news: &NetworkFile, reach: Reach) -> Result<bool, NodeError> {
        let _held = self.changing();
        let current = self.directory().ok_or(NodeError::NoNetwork)?;
        match current.with(news)? {
            None => Ok(false),
            Some(directory) => self.keep_directory(directory, reach).map(|()| true),
        }
    }

    fn keep_directory(&self, directory: Directory, reach: Reach) -> Result<(), NodeError> {
        for doubt in directory.doubts() {
            tracing::warn!(%doubt, "a statement of a network file is left out");
        }
        let directory = renewal::with_kept_cards(&self.folder, directory);
        disk::replace(&self.folder.join(NETWORK_FILE), &wire::encode(&directory.file()))?;
        self.use_directory(directory, reach);
        Ok(())
    }

    /// Uses a directory from now on, and lets the relay use it where it reaches the network.
    pub(crate) fn use_directory(&self, directory: Directory, reach: Reach) {
        let directory = self.know(directory);
        if reach == Reach::Network {
            self.tell_relay(directory);
        }
    }

    /// The network, if the office joined one.
    pub fn directory(&self) -> Option<Arc<Directory>> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Who did what with which record.
type Look = (StaffId, String, Option<RecordId>);

/// An open office.
#[derive(Debug)]
pub struct Office {
    vault: Vault,
    index: Arc<Index>,
    keys: Keys,
    prekeys: RwLock<Prekeys>,
    around: Surroundings,
    /// Held while the outbox and the spool change together.
    releasing: Mutex<()>,
    /// How many names each partner asked about, and when: of the last day.
    asked: Mutex<HashMap<OfficeId, Vec<(Timestamp, usize)>>>,
    /// Packets that were opened, what each waits for, and until which hour. Forgotten when the node stops: then they are
    /// opened again.
    awaited: Mutex<HashMap<casemesh_crypto::hash::Digest, (exchange::Awaited, u32, u64)>>,
    /// Held while the log is read back: whole segments lie in memory then.
    reading_log: Mutex<()>,
    /// Held while an import is run or taken back.
    importing: Mutex<()>,
    /// Held while a request is decided: what is done before the decision is written is done once.
    deciding: Mutex<()>,
    /// Columns that figures were computed of lately, as long as nothing changed.
    columns: Mutex<columns::Kept>,
    /// The agreements whose codes were taken up, and the day.
    adopted: Mutex<Option<(Vec<casemesh_crypto::hash::Digest>, Day)>>,
    /// Who looked at which record lately.
    looks: Mutex<HashMap<Look, Timestamp>>,
    /// Wrong codes of a second factor by people who are signed in, and when the last one was.
    wrong_codes: Mutex<HashMap<StaffId, (u32, Timestamp)>>,
}

impl Office {
    /// Opens the office with its keys.
    ///
    /// # Errors
    /// When journal or keys do not hold.
    pub fn open(keys: Keys, around: Surroundings) -> Result<Arc<Self>, VaultError> {
        let index = Arc::new(Index::default());
        let observer: Arc<dyn crate::vault::Observer> = Arc::<Index>::clone(&index);
        let (vault, report) = Vault::open(&around.folder, keys.clone(), observer, around.clock.clone())?;
        if let Some(why) = &report.rebuilt {
            tracing::warn!(why, records = report.records, "the view was rebuilt from the journal; nothing was lost");
        }
        if report.cut > 0 {
            tracing::warn!(bytes = report.cut, "an entry that was never acknowledged was cut off the journal");
        }
        let damaged = |_| VaultError::DamagedRecord;
        let mut prekeys = Prekeys::read(&around.folder, &keys).map_err(damaged)?;
        if !around.watch.is_doubted() && prekeys.destroy_past(around.clock.now()) {
            prekeys.write(&around.folder, &keys, &mut casemesh_crypto::random::os_rng()).map_err(damaged)?;
        }
        let office = Arc::new(Self {
            vault,
            index,
            keys,
            prekeys: RwLock::new(prekeys),
            around,
            releasing: Mutex::default(),
            asked: Mutex::default(),
            awaited: Mutex::default(),
            importing: Mutex::default(),
            deciding: Mutex::default(),
            reading_log: Mutex::default(),
            columns: Mutex::default(),
            adopted: Mutex::default(),
            looks: Mutex::default(),
            wrong_codes: Mutex::default(),
        });
        if let Err(error) = office.resume() {
            tracing::warn!(%error, "what a crash cut off could not be taken up; it is tried at the next start");
        }
        Ok(office)
    }

    /// The desk of a member of staff, if the account is in use.
    pub fn desk(self: &Arc<Self>, staff: StaffId) -> Option<Desk> {
        let tables = self.index.read();
        let member = tables.staff.get(&staff).filter(|member| member.is_in_use(self.around.clock.now()))?;
        let actor = Actor {
            staff,
            roles: member.roles.clone(),
            small_office: tables.settings.as_ref().is_some_and(|settings| settings.small_office),
            in_team: !member.team.is_empty(),
        };
        let team = member.team.clone();
        Some(Desk {
            office: Arc::clone(self),
            actor,
            name: member.name.clone(),
            language: member.language.clone(),
            team,
        })
    }

    /// From when on sessions of a member of staff count: those from before ended with a change of the account.
    pub fn counts_from(&self, staff: StaffId) -> Option<Timestamp> {
        self.index.read().staff.get(&staff)?.sessions_from
    }

    /// The settings.
    pub fn settings(&self) -> Option<Settings> {
        self.index.read().settings.clone()
    }

    /// Brings everything to the disk and ends the writer.
    pub fn close(&self) {
        self.vault.close();
    }

    /// The vault, for `verify` and the bench.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }
}

/// The day it is in the office, inside a command.
fn today(tx: &crate::vault::Tx<'_>) -> Result<Day, VaultError> {
    Ok(zone(tx)?.day(tx.now()))
}

/// The time zone of the office, inside a command.
fn zone(tx: &crate::vault::Tx<'_>) -> Result<Zone, VaultError> {
    let settings = tx.get::<Settings>(Settings::TOP, SETTINGS_ID)?;
    Ok(settings.and_then(|settings| Zone::named(&settings.record.zone)).unwrap_or_default())
}

/// Where a member of staff works: everything a page or an API call can do.
#[derive(Debug, Clone)]
pub struct Desk {
    office: Arc<Office>,
    actor: Actor,
    name: String,
    language: Option<String>,
    team: String,
}

impl Desk {
    /// Who works here.
    pub fn staff(&self) -> StaffId {
        self.actor.staff
    }

    /// Their name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Their language, if they chose one.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }

    /// The office's name.
    pub fn office_name(&self) -> String {
        self.office.index.read().settings.as_ref().map(|settings| settings.name.clone()).unwrap_or_default()
    }

    /// Whether the policy allows something.
    pub fn may(&self, ask: Ask) -> bool {
        self.actor.may(ask).is_ok()
    }

    /// The code lists and forms that the office works with.
    pub fn vocabulary(&self) -> Arc<Vocabulary> {
        Arc::clone(&self.office.index.read().vocabulary)
    }

    fn problems(&self) -> people::Problems {
        people::Problems::new(self.vocabulary())
    }

    /// Asks the policy; that somebody was refused is noted.
    fn allow(&self, ask: Ask) -> Result<(), Denied> {
        let allowed = self.actor.may(ask);
        if allowed.is_err() {
            self.note_act("refused");
        }
        allowed
    }

    /// Whether they have a role.
    pub fn has_role(&self, role: StaffRole) -> bool {
        self.actor.roles.contains(&role)
    }

    /// The time of the office's clock.
    pub fn now(&self) -> Timestamp {
        self.office.around.clock.now()
    }

    /// The time zone of the office.
    pub fn zone(&self) -> Zone {
        self.office.index.read().zone.clone()
    }

    /// The day it is in the office. Asked before a look at the index, not inside one.
    pub fn today(&self) -> Day {
        self.zone().day(self.now())
    }

    fn visible_person(&self, person: RecordId) -> Result<(), DeskError> {
        let tables = self.office.index.read();
        let is_there = tables.persons.contains_key(&person) && self.sees_person(&tables, person);
        if is_there { Ok(()) } else { Err(DeskError::NotFound) }
    }

    /// How this account stands to a case, if there is one.
    fn relation_to(&self, id: RecordId) -> Option<Relation> {
        let tables = self.office.index.read();
        tables.cases.get(&id).map(|case| self.relation_in(&tables, case))
    }

    /// How this account stands to a case that it may see; another one does not exist.
    fn reach_case(&self, id: RecordId) -> Result<Relation, DeskError> {
        let relation = self.relation_to(id).ok_or(DeskError::NotFound)?;
        if self.actor.may(Ask::SeeCase(relation)).is_err() {
            self.note("refused", id);
            return Err(DeskError::NotFound);
        }
        Ok(relation)
    }

    /// That this account may do something in a case: asked before what was typed is looked at, and again on the writer.
    fn may_in_case(&self, id: RecordId, needed: fn(Relation) -> Ask) -> Result<Relation, DeskError> {
        let relation = self.reach_case(id)?;
        match self.allow(needed(relation)) {
            Err(_) if relation.handed_over && self.may(needed(Relation { handed_over: false, ..relation })) => {
                Err(DeskError::HandedOver)
            }
            allowed => Ok(allowed.map(|()| relation)?),
        }
    }

    /// A case that this account may see.
    fn visible_case(&self, id: RecordId) -> Result<Sealed<Case>, DeskError> {
        self.reach_case(id)?;
        self.office.vault.get::<Case>(Case::TOP, id)?.ok_or(DeskError::NotFound)
    }

    /// Runs a command as this member of staff.
    fn write<T: Send + 'static>(
        &self,
        action: &str,
        command: impl FnOnce(&mut crate::vault::Tx<'_>) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.office.vault.write(Some(self.actor.staff), action, command)
    }

    /// Notes that this person looked at a record: once in five minutes for the same.
    fn note(&self, action: &str, record: RecordId) {
        self.note_once(action, Some(record));
    }

    /// Notes what this person did about nothing in particular.
    fn note_act(&self, action: &str) {
        self.note_once(action, None);
    }

    fn note_once(&self, action: &str, record: Option<RecordId>) {
        let now = self.now();
        let mut looks = self.office.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|_, at| now.ms_since(*at) < LOOKS_COALESCED_MS);
        if looks.insert((self.actor.staff, action.to_owned(), record), now).is_none() {
            drop(looks);
            self.office.vault.note(Some(self.actor.staff), action, record);
        }
    }
}
