//! How a record came to be what it is: every version with who and when, field by field, and who looked at it. A case is told
//! with its tasks and documents, a person with consents, relations and roll: what hangs on it is a part of its history.

use super::log::LogRow;
use super::{Desk, DeskError, Field};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::{
    Case, Consent, Document, Grant, Link, Member, OfficeForm, OfficeList, Person, RegisterLine, SETTINGS_ID, Settings,
    Staff, Task, TaskTitle, VisitOutcome,
};
use crate::vault::{Kind, LogEntry, Past, Record, Row, VaultError};
use casemesh_protocol::consent::ConsentStatus;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{Code, FieldState};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers::Rules;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use utoipa::ToSchema;

/// Whose history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryOf {
    /// Of a case, its tasks and documents.
    Case(RecordId),
    /// Of a person, with consents, relations and roll.
    Person(RecordId),
    /// Of a task.
    Task(RecordId),
    /// Of a line of the desk register.
    Line(RecordId),
    /// Of an account.
    Account(StaffId),
    /// Of the settings, the code lists, the forms and the grants.
    Settings,
}

/// One field that a version changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Which field.
    pub field: String,
    /// What stood there; none in the first version.
    pub before: Option<Field>,
    /// What stands there since.
    pub after: Field,
}

/// A version of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionView {
    /// The number of its entry in the log.
    pub number: u64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What was done.
    pub action: String,
    /// Which part it is a version of: task, document, consent, link, member, grant, office_list, office_form; empty for the
    /// record itself.
    pub part: String,
    /// What that part is called.
    pub title: Field,
    /// The fields that it changed.
    pub changes: Vec<FieldChange>,
}

/// How a record came to be what it is, and who looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryView {
    /// Whose: a case's number, a name; empty for the settings.
    pub about: String,
    /// The versions, latest first.
    pub versions: Vec<VersionView>,
    /// Who looked, wrote or was refused, latest first, as far back as was looked.
    pub looks: Vec<LogRow>,
}

type Fields = Vec<(&'static str, Field)>;

/// What a version is told with: names, as far as the asker may know them.
struct Teller<'a> {
    desk: &'a Desk,
    tables: &'a Tables,
    /// Whether the address of the person was ever protected: one that is protected now was the same address before.
    masks_address: bool,
}

impl Teller<'_> {
    fn staff(&self, staff: &[StaffId]) -> Field {
        list(staff.iter().map(|staff| self.desk.staff_name(self.tables, Some(*staff))))
    }

    fn owner(&self, staff: Option<StaffId>) -> Field {
        text(&self.desk.staff_name(self.tables, staff))
    }

    fn persons(&self, persons: impl Iterator<Item = RecordId>) -> Field {
        let seen = persons.filter(|person| self.desk.sees_person(self.tables, *person));
        list(seen.filter_map(|person| self.tables.persons.get(&person)).map(|row| row.name.clone()))
    }
}

/// A record whose versions can be told field by field.
trait Told {
    /// What it is called among others of its kind.
    fn title(&self, _teller: &Teller<'_>) -> Field {
        text("")
    }
    fn fields(&self, teller: &Teller<'_>) -> Fields;
    /// Whether the asker may know of it as it stood then.
    fn is_seen(&self, _teller: &Teller<'_>) -> bool {
        true
    }
}

/// Versions of one row that are read; of lists, which can be long, fewer.
const VERSIONS_MAX: usize = 2_000;
const SETTINGS_VERSIONS_MAX: usize = 50;
/// Latest versions that are told.
const TOLD_MAX: usize = 200;
/// What stands between the items of a list, until it is told.
const ITEMS: &str = "\n";

fn text(text: &str) -> Field {
    Field { state: "known".into(), value: Some(text.to_owned()), code: None, list: None }
}

fn list(words: impl Iterator<Item = String>) -> Field {
    text(&words.collect::<Vec<_>>().join(ITEMS))
}

/// Words of an enumeration.
fn words<W: ToString>(list: &str, words: impl IntoIterator<Item = W>) -> Field {
    let words = words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(ITEMS);
    Field { code: Some(words.clone()), list: Some(list.to_owned()), ..text(&words) }
}

fn yes_no(yes: bool) -> Field {
    words("yes_no", [if yes { "yes" } else { "no" }])
}

fn answered(yes: &FieldState<bool>) -> Field {
    match yes.value() {
        Some(yes) => yes_no(*yes),
        None => Field::text(yes),
    }
}

fn day(day: Option<Day>) -> Field {
    text(&day.map(|day| day.to_string()).unwrap_or_default())
}

/// How many; nothing for none, so that the first version does not say it.
fn count(number: usize) -> Field {
    text(&if number == 0 { String::new() } else { number.to_string() })
}

fn code(code: Option<&Code>) -> Field {
    code.map_or_else(|| text(""), |code| Field::code(&FieldState::Known(code.clone())))
}

/// Who must never get anything, in one list.
fn never(view: &super::NeverView) -> Field {
    let offices = view.offices.iter().map(|(_, name)| name.clone());
    list(offices.chain(view.kinds.iter().cloned()).chain(view.names.iter().cloned()))
}

/// Rules of the office's own, as they are typed.
fn timers(own: Option<Rules>) -> Field {
    let rules = own.map(super::staff::hours_of).unwrap_or_default().into_iter();
    let set = rules.filter(|(_, hours)| hours.iter().any(|hours| *hours > 0));
    list(set.map(|(name, [routine, urgent, emergency])| format!("{name}={routine}/{urgent}/{emergency}")))
}

impl Told for Person {
    fn fields(&self, teller: &Teller<'_>) -> Fields {
        let safe = &self.safe_contact;
        let ways = [(safe.call, "call"), (safe.text, "text"), (safe.voicemail, "voicemail"), (safe.post, "post")];
        vec![
            ("identity", words("identity", [self.identity])),
            ("alias", text(&self.alias)),
            ("given", Field::text(&self.given)),
            ("family", Field::text(&self.family)),
            ("local_name", Field::text(&self.local_name)),
            ("birth", Field::text(&self.birth)),
            ("sex", Field::code(&self.sex)),
            ("nationality", Field::code(&self.nationality)),
            ("language", Field::code(&self.language)),
            ("telephone", Field::text(&self.telephone)),
            ("address", if teller.masks_address { text("•••") } else { Field::text(&self.address) }),
            ("area", Field::text(&self.area)),
            ("identifier", Field::text(&self.identifier)),
            ("safe_contact", words("safe", ways.into_iter().filter(|(on, _)| *on).map(|(_, way)| way))),
            ("safe_instructions", text(safe.instructions.as_str())),
            ("code_word", text(safe.code_word.as_str())),
            ("counting", words("counting", [self.counting])),
            ("age_band", Field::code(&self.age_band)),
            ("interpreter", yes_no(self.interpreter)),
            ("address_protected", yes_no(self.address_protected)),
            ("is_group", yes_no(self.is_group)),
            ("birth_said", text(&self.birth_said.as_ref().map(|(_, said)| said.clone()).unwrap_or_default())),
            ("merged", yes_no(self.merged_into.is_some())),
            ("barred", teller.staff(&self.barred)),
            ("never", never(&teller.desk.never_view(&self.never))),
        ]
    }
}

impl Told for Case {
    fn fields(&self, teller: &Teller<'_>) -> Fields {
        let is_seen =
            |id: &RecordId| teller.tables.cases.get(id).is_some_and(|row| teller.desk.sees(teller.tables, row));
        vec![
            ("case_type", Field::code(&self.case_type)),
            ("summary", text(&self.summary)),
            ("state", words("case-state", [self.state])),
            ("owner", teller.owner(self.owner)),
            ("sealed", yes_no(self.sealed)),
            ("clients", teller.persons(self.clients.iter().map(|client| client.id))),
            ("assigned", teller.staff(&self.assigned)),
            ("mediation", yes_no(self.mediation)),
            ("linked", count(self.linked.iter().filter(|(id, _)| is_seen(id)).count())),
            (
                "grants",
                list(self.grants.iter().filter_map(|id| teller.tables.grants.get(id)).map(|grant| grant.name.clone())),
            ),
            ("closed_on", day(self.closed.as_ref().map(|closure| closure.on))),
            ("closure_reason", code(self.closed.as_ref().map(|closure| &closure.reason))),
            ("level_of_help", code(self.closed.as_ref().and_then(|closure| closure.help.as_ref()))),
            ("forum", code(self.forum.as_ref())),
            ("case_source", code(self.source.as_ref())),
            ("rest_reason", code(self.rest.as_ref().and_then(|rest| rest.reason.as_ref()))),
            ("rest_until", day(self.rest.as_ref().and_then(|rest| rest.until))),
        ]
    }
}

impl Told for Task {
    fn title(&self, _teller: &Teller<'_>) -> Field {
        match &self.title {
            TaskTitle::Words(words) => text(words),
            TaskTitle::Form(key) => words("form-task", [key]),
        }
    }

    fn fields(&self, teller: &Teller<'_>) -> Fields {
        vec![
            ("task_title", self.title(teller)),
            ("task_kind", words("task-kind", [self.kind])),
            ("next_due", day(Some(self.due))),
            ("owner", teller.owner(self.owner)),
            ("state", words("task-state", [self.state])),
            ("flag_resolution", text(&self.resolution)),
        ]
    }
}

impl Told for Document {
    fn title(&self, _teller: &Teller<'_>) -> Field {
        text(&self.title)
    }

    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        let file = self.versions.last().map(|version| version.name.as_str()).unwrap_or_default();
        vec![
            ("document_title", text(&self.title)),
            ("tier", words("tier", [self.tier])),
            ("document_file", text(file)),
            ("document_versions", count(self.versions.len())),
        ]
    }
}

impl Told for Consent {
    fn fields(&self, teller: &Teller<'_>) -> Fields {
        let directory = teller.desk.office.around.directory();
        let office = |id: &casemesh_protocol::id::OfficeId| {
            let member = directory.as_ref().and_then(|directory| directory.member(id));
            member.map_or_else(|| id.to_string(), |member| member.record.name.to_string())
        };
        let (terms, zone) = (&self.terms, &teller.tables.zone);
        let status = match self.status {
            ConsentStatus::Given => "given",
            ConsentStatus::Refused => "refused",
            ConsentStatus::Withdrawn(_) => "withdrawn",
            ConsentStatus::Overridden(_) => "overridden",
        };
        vec![
            ("state", words("consent", [status])),
            ("consent_purpose", words("purpose", [terms.purpose])),
            ("consent_recipients", list(terms.recipients.iter().map(office))),
            ("consent_scope", words("group", terms.scope.iter())),
            ("consent_withheld", words("group", terms.withheld.iter().map(|withheld| withheld.group))),
            ("consent_day", day(Some(zone.day(terms.given)))),
            // It ends with its last day.
            ("consent_expires", day(Some(super::people::last_day(terms.expires, zone)))),
            ("consent_method", words("method", [terms.method])),
            ("consent_giver", words("giver", [terms.giver])),
            ("consent_given_by", text(terms.given_by.as_ref().map(|name| name.as_str()).unwrap_or_default())),
            ("consent_child", words("child-view", terms.child_view)),
            ("consent_language", words("language", [terms.language.as_str()])),
            ("explained_by", teller.owner(self.explained_by)),
        ]
    }
}

impl Told for Link {
    fn fields(&self, teller: &Teller<'_>) -> Fields {
        vec![
            ("relation", code(Some(&self.relation))),
            ("persons", teller.persons([self.from.id, self.to.id].into_iter())),
            ("lives_together", answered(&self.lives_together)),
            ("is_caregiver", yes_no(self.is_caregiver)),
            ("link_ended", day(self.ended)),
        ]
    }
}

impl Told for Member {
    fn title(&self, _teller: &Teller<'_>) -> Field {
        text(&self.name)
    }

    /// A line can stand for one person now and for another then: neither is told to whom they do not exist, nor is who was
    /// erased.
    fn is_seen(&self, teller: &Teller<'_>) -> bool {
        self.person.is_none_or(|person| {
            teller.tables.persons.contains_key(&person.id) && teller.desk.sees_person(teller.tables, person.id)
        })
    }

    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        vec![
            ("staff_name", text(&self.name)),
            ("telephone", text(&self.telephone)),
            ("member_speaks", yes_no(self.speaks)),
            ("member_agreed", answered(&self.agreed)),
            ("member_outcome", code(self.outcome.as_ref())),
            ("amount", text(&self.amount.map(|amount| amount.to_string()).unwrap_or_default())),
        ]
    }
}

impl Told for RegisterLine {
    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        let (outcome, reason) = match &self.outcome {
            VisitOutcome::Open => ("open", None),
            VisitOutcome::Consult => ("consult", None),
            VisitOutcome::Case(_) => ("case", None),
            VisitOutcome::TurnedAway(reason) => ("turned_away", Some(reason)),
        };
        vec![
            ("register_visitor", text(&self.visitor)),
            ("register_topic", code(self.topic.as_ref())),
            ("register_note", text(&self.note)),
            ("register_advice", text(&self.advice)),
            ("register_channel", code(self.channel.as_ref())),
            ("minutes", text(&self.minutes.map(|minutes| minutes.to_string()).unwrap_or_default())),
            ("action_on", day(self.on)),
            ("register_outcome", words("visit", [outcome])),
            ("reason", code(reason)),
        ]
    }
}

impl Told for Staff {
    fn fields(&self, teller: &Teller<'_>) -> Fields {
        let ends = self.ends.map(|ends| teller.tables.zone.shown(ends)).unwrap_or_default();
        vec![
            ("sign_in_name", text(&self.sign_in)),
            ("staff_name", text(&self.name)),
            ("staff_roles", words("role", &self.roles)),
            ("staff_active", yes_no(self.active)),
            ("staff_ends_on", text(&ends)),
            ("staff_team", text(&self.team)),
            ("language", text(self.language.as_deref().unwrap_or_default())),
            ("factor", yes_no(self.factor.is_some())),
            ("pin", yes_no(self.pin.is_some())),
        ]
    }
}

impl Told for Settings {
    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        vec![
            ("settings_name", text(&self.name)),
            ("settings_small", yes_no(self.small_office)),
            ("money_currency", text(&self.currency.to_string())),
            ("settings_zone", text(&self.zone)),
            ("settings_modules", words("module", &self.modules)),
            ("settings_approve_closure", yes_no(self.approve_closure)),
            ("settings_factor", yes_no(self.factor_to_administer)),
            ("settings_hidden_fields", words("field", &self.hidden_fields)),
            ("settings_hidden_figures", words("indicator", &self.hidden_figures)),
            ("settings_recall", count(self.recall_minutes.into())),
            ("settings_timers", timers(self.timers)),
        ]
    }
}

impl Told for Grant {
    fn title(&self, _teller: &Teller<'_>) -> Field {
        text(&self.name)
    }

    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        vec![
            ("staff_name", text(&self.name)),
            ("grant_donor", text(&self.donor)),
            ("grant_from", day(Some(self.from))),
            ("grant_to", day(Some(self.to))),
            ("grant_cases_promised", text(&self.cases.to_string())),
            ("grant_entries_promised", text(&self.entries.to_string())),
        ]
    }
}

impl Told for OfficeList {
    fn title(&self, _teller: &Teller<'_>) -> Field {
        words("list", [&self.name])
    }

    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        let codes = |retired: bool| {
            let codes = self.codes.iter().filter(move |code| code.retired == retired);
            list(codes.map(|code| format!("{} ({})", code.label, code.code)))
        };
        let choices = |offered: bool| {
            let choices = self.choices.iter().filter(move |(_, choice)| *choice == offered);
            list(choices.map(|(code, _)| code.clone()))
        };
        vec![
            ("list_title", text(&self.title)),
            ("list_choices", codes(false)),
            ("list_retired", codes(true)),
            ("term_offered", choices(true)),
            ("term_not_offered", choices(false)),
        ]
    }
}

impl Told for OfficeForm {
    fn title(&self, _teller: &Teller<'_>) -> Field {
        let form: Option<crate::forms::Form> = serde_json::from_str(&self.definition).ok();
        text(&form.map(|form| form.title.unwrap_or(form.id)).unwrap_or_default())
    }

    fn fields(&self, _teller: &Teller<'_>) -> Fields {
        let form: Option<crate::forms::Form> = serde_json::from_str(&self.definition).ok();
        let asked = form.iter().flat_map(|form| &form.fields);
        vec![("form_fields", list(asked.map(|field| field.label.clone().unwrap_or_else(|| field.id.clone()))))]
    }
}

/// A version that was read.
struct Version {
    entry: LogEntry,
    row: Row,
    record: Option<Box<dyn Told>>,
    /// Whether older ones were not read.
    is_cut: bool,
}

/// Opens what was written: none where it was erased since.
fn open(written: &Past<'_>) -> Result<Option<Option<Box<dyn Told>>>, VaultError> {
    fn boxed<R: Record + Told>(written: &Past<'_>) -> Result<Option<Option<Box<dyn Told>>>, VaultError> {
        let version = written.record::<R>()?;
        Ok(version.map(|version| version.map(|sealed| Box::new(sealed.record) as Box<dyn Told>)))
    }
    match written.row.kind {
        Kind::Case => boxed::<Case>(written),
        Kind::Person => boxed::<Person>(written),
        Kind::Task => boxed::<Task>(written),
        Kind::Document => boxed::<Document>(written),
        Kind::Consent => boxed::<Consent>(written),
        Kind::Link => boxed::<Link>(written),
        Kind::Member => boxed::<Member>(written),
        Kind::RegisterLine => boxed::<RegisterLine>(written),
        Kind::Staff => boxed::<Staff>(written),
        Kind::Settings => boxed::<Settings>(written),
        Kind::Grant => boxed::<Grant>(written),
        Kind::OfficeList => boxed::<OfficeList>(written),
        Kind::OfficeForm => boxed::<OfficeForm>(written),
        _ => Ok(None),
    }
}

/// What a field says with only the items that the other has not, where both are lists.
fn without(field: &Field, other: &Field) -> Field {
    let is_list = |field: &Field| field.value.as_deref().is_some_and(|value| value.contains(ITEMS));
    if !is_list(field) && !is_list(other) {
        return field.clone();
    }
    let known: HashSet<&str> = other.value.iter().flat_map(|value| value.split(ITEMS)).collect();
    let own = field.value.iter().flat_map(|value| value.split(ITEMS));
    let value = own.filter(|item| !known.contains(item)).collect::<Vec<_>>().join(", ");
    Field { code: field.code.as_ref().map(|_| value.clone()), value: Some(value), ..field.clone() }
}

/// The fields in which a version differs from the one before.
fn changes(before: &[(&'static str, Field)], after: &[(&'static str, Field)]) -> Vec<FieldChange> {
    let is_empty =
        |field: &Field| matches!(field.value.as_deref().unwrap_or_default(), "" | "no") && field.state != "refused";
    let nothing = text("");
    let changed = after.iter().filter_map(|(name, after)| {
        let earlier = before.iter().find(|(known, _)| known == name).map(|(_, field)| field);
        let of = earlier.unwrap_or(&nothing);
        match earlier {
            Some(earlier) if earlier == after => None,
            None if is_empty(after) => None,
            _ => Some(FieldChange {
                field: (*name).to_owned(),
                before: earlier.map(|earlier| without(earlier, after)),
                after: without(after, of),
            }),
        }
    });
    changed.collect()
}

impl Desk {
    /// How a record came to be what it is, and who looked at it: for a person, what they may ask to see.
    ///
    /// # Errors
    /// When there is no such record for this account.
    pub fn history(&self, of: HistoryOf) -> Result<HistoryView, DeskError> {
        let (main, parts) = self.rows_of(of)?;
        self.note("history", main.id);
        let mut versions: Vec<Version> = Vec::new();
        let mut masks_address = false;
        let rows: Vec<Row> = std::iter::once(main).chain(parts).collect();
        let most = if of == HistoryOf::Settings { SETTINGS_VERSIONS_MAX } else { VERSIONS_MAX };
        self.office.vault.each_version(&rows, most, |written| {
            if written.row.kind == Kind::Person {
                let person = written.record::<Person>()?.flatten();
                masks_address |= person.is_some_and(|person| person.record.address_protected);
            }
            let (entry, row, is_cut) = (written.entry.clone(), written.row, written.is_cut);
            versions.extend(open(written)?.map(|record| Version { entry, row, record, is_cut }));
            Ok(())
        })?;
        let (looks, _) = self.look_back(self.office.vault.last_entry(), |entry| entry.about.record == Some(main.id))?;
        let tables = self.office.index.read();
        let teller = Teller { desk: self, tables: &tables, masks_address };
        let mut before: BTreeMap<Row, Fields> = BTreeMap::new();
        let mut told: Vec<VersionView> = Vec::new();
        for Version { entry, row, record, is_cut } in versions {
            if record.as_ref().is_some_and(|record| !record.is_seen(&teller)) {
                continue;
            }
            let fields = record.as_ref().map(|record| record.fields(&teller)).unwrap_or_default();
            let earlier = before.insert(row, fields.clone()).unwrap_or_default();
            let changes = changes(&earlier, &fields);
            // What went before the oldest version that is read is not that one's doing.
            if changes.is_empty() || is_cut {
                continue;
            }
            let is_part = row.kind != main.kind;
            let title = record.filter(|_| is_part).map_or_else(|| text(""), |record| record.title(&teller));
            told.push(VersionView {
                number: entry.number,
                at: entry.about.at,
                by: self.staff_name(&tables, entry.about.staff),
                action: entry.about.action,
                part: if is_part { row.kind.to_string() } else { String::new() },
                title,
                changes,
            });
        }
        told.reverse();
        told.truncate(TOLD_MAX);
        let about = self.about(&tables, of);
        Ok(HistoryView {
            about,
            versions: told,
            looks: looks.iter().map(|entry| self.log_row(&tables, entry)).collect(),
        })
    }

    fn about(&self, tables: &Tables, of: HistoryOf) -> String {
        let person = |id: &RecordId| tables.persons.get(id).map(|row| row.name.clone());
        let about = match of {
            HistoryOf::Case(id) => tables.cases.get(&id).map(|case| {
                let summary = self.summary(tables, case);
                format!("{} {}", summary.number, summary.client)
            }),
            HistoryOf::Person(id) => person(&tables.standing(id)),
            HistoryOf::Task(id) => tables.tasks.get(&id).map(|task| self.task_view(tables, task).about),
            HistoryOf::Line(id) => tables.lines.get(&id).map(|line| line.visitor.clone()),
            HistoryOf::Account(id) => tables.staff.get(&id).map(|member| member.name.clone()),
            HistoryOf::Settings => None,
        };
        about.unwrap_or_default()
    }

    /// The row of a record that this account may see, and the rows of what hangs on it.
    fn rows_of(&self, of: HistoryOf) -> Result<(Row, Vec<Row>), DeskError> {
        let vault = &self.office.vault;
        Ok(match of {
            HistoryOf::Case(id) => {
                self.reach_case(id)?;
                let tasks = vault.list::<Task>(id)?.into_iter().map(|task| Row::of::<Task>(id, task.record.id));
                let documents = self.documents(id)?.into_iter().map(|document| Row::of::<Document>(id, document.id));
                (Row::of::<Case>(Case::TOP, id), tasks.chain(documents).collect())
            }
            HistoryOf::Person(id) => {
                self.allow(Ask::People)?;
                self.visible_person(id)?;
                // A person is told with every record that turned out to be about them, and with the relations that are shown.
                let (mut parts, id, records) = {
                    let tables = self.office.index.read();
                    let id = tables.standing(id);
                    let links = self.links(&tables, id).into_iter().map(|link| Row::of::<Link>(Link::TOP, link.id));
                    (links.collect::<Vec<_>>(), id, tables.records_of(id))
                };
                for record in records {
                    if record != id {
                        parts.push(Row::of::<Person>(Person::TOP, record));
                    }
                    let consents = vault.list::<Consent>(record)?;
                    parts.extend(consents.into_iter().map(|consent| Row::of::<Consent>(record, consent.record.id)));
                    let members = vault.list::<Member>(record)?;
                    parts.extend(members.into_iter().map(|member| Row::of::<Member>(record, member.record.id)));
                }
                (Row::of::<Person>(Person::TOP, id), parts)
            }
            HistoryOf::Task(id) => (Row::of::<Task>(self.task(id)?.case.unwrap_or(Task::TOP), id), Vec::new()),
            HistoryOf::Line(id) => {
                self.line(id)?;
                (Row::of::<RegisterLine>(RegisterLine::TOP, id), Vec::new())
            }
            HistoryOf::Account(id) => {
                if id != self.actor.staff {
                    self.oversees_accounts()?;
                }
                if !self.office.index.read().staff.contains_key(&id) {
                    return Err(DeskError::NotFound);
                }
                (Row::of::<Staff>(Staff::TOP, RecordId::new(*id.as_bytes())), Vec::new())
            }
            HistoryOf::Settings => {
                self.oversees_accounts()?;
                let grants = vault.list::<Grant>(Grant::TOP)?;
                let grants = grants.into_iter().map(|grant| Row::of::<Grant>(Grant::TOP, grant.record.id));
                let lists = vault.list::<OfficeList>(OfficeList::TOP)?;
                let lists = lists.into_iter().map(|list| Row::of::<OfficeList>(OfficeList::TOP, list.record.id));
                let forms = vault.list::<OfficeForm>(OfficeForm::TOP)?;
                let forms = forms.into_iter().map(|form| Row::of::<OfficeForm>(OfficeForm::TOP, form.record.id));
                (Row::of::<Settings>(Settings::TOP, SETTINGS_ID), grants.chain(lists).chain(forms).collect())
            }
        })
    }

    /// That this account administers, or reads the log of the whole office.
    fn oversees_accounts(&self) -> Result<(), DeskError> {
        if self.may(Ask::ReadLog) { Ok(()) } else { self.administers() }
    }
}
