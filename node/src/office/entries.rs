//! Entries: notes, and forms that were filled in. They are never changed; a later entry corrects an earlier one,
//! and both stay.

use super::cases::{keys, parse_minutes, parse_next};
use super::family::money_of;
use super::people::{FieldInput, Problems};
use super::tasks::{NewTask, add_task};
use super::{ActionView, AnswerView, Approval, CodeView, ConflictView, Desk, DeskError, Field, FieldProblem};
use crate::forms::{self, About, FieldKind, Form, FormField};
use crate::index::Tables;
use crate::packs;
use crate::policy::Ask;
use crate::records::{Action, Asked, Person, Settled, Task, TaskState, TaskTitle, Tier};
use crate::vault::{Record, Sealed, Tx};
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{Answer, Code, Currency, FieldState, Value};
use casemesh_protocol::time::Day;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use utoipa::ToSchema;

/// Longest text of a note or summary.
pub(super) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The field of a service's type.
const SERVICE_FIELD: &str = "service";
/// A service that a colleague wrote down so many days before or after is asked about.
const SAME_SERVICE_DAYS: i32 = 3;
/// Longest line of an answer.
const LINE_BYTES_MAX: usize = 400;

/// An entry as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActionInput {
    /// Code of the list `action_kind`, for a plain note.
    pub kind: String,
    /// The form, for one that was filled in.
    pub form: String,
    /// The day it happened, or that stands on the paper; today when empty.
    pub on: String,
    /// What happened.
    pub text: String,
    /// How many minutes.
    pub minutes: String,
    /// The form's answers, by field.
    pub answers: BTreeMap<String, FieldInput>,
    /// The entry that this one follows from.
    pub follows: String,
    /// The entry that this one corrects.
    pub corrects: String,
    /// normal, privileged, medical or protected; normal when empty.
    pub tier: String,
    /// The grant that it is counted for; empty for none.
    pub grant: String,
    /// What is to be done next.
    pub next_action: String,
    /// Until when.
    pub next_due: String,
    /// Whether the service is written down although a colleague has just written down the same.
    pub again: bool,
    /// Whether it says only that the one it corrects was a mistake, or holds no more; the text says why.
    pub void: bool,
}

/// An entry that was checked.
pub(super) struct NewEntry {
    kind: Code,
    on: Day,
    text: String,
    minutes: Option<u16>,
    form: Option<Arc<Form>>,
    answers: Vec<Answer>,
    follows: Option<RecordId>,
    corrects: Option<RecordId>,
    tier: Tier,
    grant: Option<RecordId>,
    /// Whether the writer sees all tiers: an entry that they do not see can be neither followed nor corrected.
    sees_tiers: bool,
    /// Who writes, where they correct only what they wrote themself.
    only_own: Option<StaffId>,
    tasks: Vec<NewTask>,
    void: bool,
}

impl NewEntry {
    /// Writes the entry and what has to be done after it, inside a command.
    pub(super) fn store(
        self,
        tx: &mut Tx<'_>,
        about: RecordId,
        case: Option<RecordId>,
        subjects: &[KeyHandle],
        owner: Option<StaffId>,
    ) -> Result<RecordId, DeskError> {
        // What takes up something confidential is not for more eyes than that.
        let mut tier = self.tier;
        for earlier in [self.follows, self.corrects].into_iter().flatten() {
            let earlier = self.known(tx, about, earlier)?.tier;
            if tier == Tier::Normal {
                tier = earlier;
            }
        }
        let mut follows = self.follows;
        if let Some(corrected) = self.corrects {
            self.replace(tx, about, case, corrected)?;
            // What it followed from, it follows from still.
            follows = follows.or(self.known(tx, about, corrected)?.follows);
        }
        let action = Action {
            text: self.text,
            minutes: self.minutes,
            by: tx.staff(),
            form: self.form.as_ref().map(|form| (form.id.clone(), forms::VERSION)),
            answers: self.answers,
            follows,
            corrects: self.corrects,
            tier,
            grant: self.grant,
            void: self.void,
            ..Action::note(tx.fresh_id(), about, subjects.to_vec(), self.kind, self.on, tx.now())
        };
        tx.insert(&action)?;
        for task in self.tasks {
            add_task(tx, case, subjects, task, owner, Some(action.id))?;
        }
        Ok(action.id)
    }

    fn known(&self, tx: &Tx<'_>, about: RecordId, id: RecordId) -> Result<Action, DeskError> {
        let entry = tx.get::<Action>(about, id)?.map(|sealed| sealed.record);
        entry.filter(|entry| self.sees_tiers || entry.tier == Tier::Normal).ok_or(DeskError::NotFound)
    }

    /// Takes the place of an entry: of the same form, and not corrected yet. What it led to is not to be done any more.
    fn replace(
        &self,
        tx: &mut Tx<'_>,
        about: RecordId,
        case: Option<RecordId>,
        corrected: RecordId,
    ) -> Result<(), DeskError> {
        let earlier = self.known(tx, about, corrected)?;
        if self.only_own.is_some() && earlier.by != self.only_own {
            return Err(crate::policy::Denied.into());
        }
        let form = self.form.as_ref().map(|form| form.id.as_str());
        if earlier.form.as_ref().map(|(form, _)| form.as_str()) != form {
            return Err(DeskError::Invalid(vec![FieldProblem::new("corrects", "other-form")]));
        }
        if tx.list::<Action>(about)?.iter().any(|entry| entry.record.corrects == Some(corrected)) {
            return Err(crate::vault::VaultError::Conflict.into());
        }
        for mut sealed in tx.list::<Task>(case.unwrap_or(Task::TOP))? {
            let task = &mut sealed.record;
            if task.from == Some(corrected) && task.state == TaskState::Open {
                task.state = TaskState::Cancelled;
                task.settled = Some(Settled { at: tx.now(), by: tx.staff() });
                tx.update(&sealed.record, sealed.revision)?;
            }
        }
        Ok(())
    }
}

fn read_answer(problems: &mut Problems, field: &FormField, text: &str, currency: Currency) -> Option<Value> {
    let id = field.id.as_str();
    let digits = || crate::names::ascii_digits(text.trim());
    match field.kind {
        FieldKind::Line => Some(Value::Text(problems.text(id, text, LINE_BYTES_MAX))),
        FieldKind::Text => Some(Value::Text(problems.text(id, text, TEXT_BYTES_MAX))),
        FieldKind::Day => problems.day(id, text).map(Value::Day),
        FieldKind::Number => {
            let number = digits().parse().ok().filter(|number| {
                field.min.is_none_or(|min| *number >= min) && field.max.is_none_or(|max| *number <= max)
            });
            if number.is_none() {
                match (field.min, field.max) {
                    (Some(min), Some(max)) => problems.with(id, "not-in-range", format!("{min}–{max}")),
                    _ => problems.with(id, "not-a-number", text),
                }
            }
            number.map(Value::Number)
        }
        FieldKind::Money => money_of(problems, id, text, currency).map(Value::Money),
        FieldKind::Code => problems.code(id, field.list.as_deref().unwrap_or_default(), text).map(Value::Code),
        FieldKind::YesNo => match text {
            "yes" => Some(Value::YesNo(true)),
            "no" => Some(Value::YesNo(false)),
            other => {
                problems.with(id, "unknown-value", other);
                None
            }
        },
    }
}

fn read_answers(
    problems: &mut Problems,
    form: &Form,
    given: &BTreeMap<String, FieldInput>,
    currency: Currency,
) -> Vec<Answer> {
    for id in given.keys().filter(|id| form.field(id).is_none()) {
        problems.with(id, "no-such-field", &form.id);
    }
    let nothing = FieldInput::default();
    let mut answers = Vec::with_capacity(form.fields.len());
    for field in &form.fields {
        let input = given.get(&field.id).unwrap_or(&nothing);
        if field.required && !field.retired && input.value.trim().is_empty() && input.state.is_empty() {
            problems.add(&field.id, "required");
            continue;
        }
        let max = if field.kind == FieldKind::Text { TEXT_BYTES_MAX } else { LINE_BYTES_MAX };
        let value =
            problems.field_to(&field.id, input, max, |problems, text| read_answer(problems, field, text, currency));
        if value != FieldState::NotAsked {
            answers.push(Answer { field: field.id.clone(), value });
        }
    }
    answers
}

impl Desk {
    /// Whether a module is on.
    pub fn has_module(&self, module: &str) -> bool {
        let settings = &self.office.index.read().settings;
        settings.as_ref().is_some_and(|settings| settings.modules.iter().any(|on| on == module))
    }

    /// The forms for what an entry belongs to.
    pub fn forms(&self, about: About) -> Vec<Arc<Form>> {
        let tables = self.office.index.read();
        let on = tables.settings.as_ref().map(|settings| settings.modules.as_slice()).unwrap_or_default();
        let is_on = |form: &Form| form.module == packs::CORE || on.contains(&form.module);
        let forms = tables.vocabulary.forms().filter(|form| form.about == about && !form.retired && is_on(form));
        forms.map(Arc::clone).collect()
    }

    pub(super) fn read_entry(&self, about: About, input: &ActionInput) -> Result<NewEntry, DeskError> {
        let today = self.today();
        if input.void {
            return self.read_void(about, input, today);
        }
        let mut problems = self.problems();
        let on = problems.day("on", &input.on).unwrap_or(today);
        if on > today {
            problems.add("on", "in-the-future");
        }
        // An earlier entry can be corrected also when its module was switched off since.
        let form = match input.corrects.is_empty() {
            true => self.forms(about).into_iter().find(|form| form.id == input.form),
            false => self.vocabulary().form(&input.form).filter(|form| form.about == about).cloned(),
        };
        if form.is_none() && !input.form.is_empty() {
            problems.with("form", "unknown-value", &input.form);
        }
        let (kind, answers) = match &form {
            Some(form) => {
                let currency = self.office.settings().map(|settings| settings.currency);
                let currency = currency.ok_or(DeskError::NotFound)?;
                let title = form.title.as_ref().unwrap_or(&form.id);
                let kind = Code::new(Action::FORM_LIST, forms::VERSION, &form.id, title).ok();
                (kind, read_answers(&mut problems, form, &input.answers, currency))
            }
            None => {
                let kind = if input.kind.is_empty() { "note" } else { &input.kind };
                if input.text.trim().is_empty() {
                    problems.add("text", "required");
                }
                (problems.code("kind", "action_kind", kind), Vec::new())
            }
        };
        let text = problems.text("text", &input.text, TEXT_BYTES_MAX);
        let minutes = parse_minutes(&mut problems, &input.minutes);
        let entry = |problems: &mut Problems, field: &str, text: &str| -> Option<RecordId> {
            if text.is_empty() { None } else { problems.word(field, text) }
        };
        let follows = entry(&mut problems, "follows", &input.follows);
        let corrects = entry(&mut problems, "corrects", &input.corrects);
        let tier = if input.tier.is_empty() { Some(Tier::Normal) } else { problems.word("tier", &input.tier) };
        let grant = entry(&mut problems, "grant", &input.grant);
        if grant.is_some_and(|grant| !self.known_grant(grant)) {
            problems.add("grant", "no-such-grant");
        }
        // What lists and checks show of these forms, they show to all who see the case.
        let is_for_all = form.as_ref().is_some_and(|form| form.is_for_all());
        if tier != Some(Tier::Normal) && (about != About::Case || is_for_all) {
            problems.add("tier", "tier-not-here");
        }
        let mut tasks: Vec<NewTask> =
            parse_next(&mut problems, &input.next_action, &input.next_due).into_iter().collect();
        for task in form.iter().flat_map(|form| &form.tasks) {
            let from = answers.iter().find(|answer| answer.field == task.from).and_then(|answer| answer.value.value());
            if let Some(Value::Day(day)) = from {
                let (title, due) = (TaskTitle::Form(task.title.clone()), day.plus_days(task.days));
                tasks.push(NewTask { kind: task.kind, title, due });
            }
        }
        // A task without a case is everybody's to read: nothing about a person stands in one.
        if about == About::Person && !tasks.is_empty() {
            problems.with("next_action", "no-such-field", "person");
        }
        problems.done()?;
        let kind = kind.ok_or(DeskError::NotFound)?;
        let tier = tier.unwrap_or_default();
        Ok(NewEntry {
            kind,
            on,
            text,
            minutes,
            form,
            answers,
            follows,
            corrects,
            tier,
            grant,
            sees_tiers: false,
            only_own: None,
            tasks,
            void: false,
        })
    }

    /// That an earlier entry was a mistake, or holds no more. It has the form of that entry and answers nothing.
    fn read_void(&self, about: About, input: &ActionInput, today: Day) -> Result<NewEntry, DeskError> {
        let mut problems = self.problems();
        let corrects: Option<RecordId> = problems.word("corrects", &input.corrects);
        let text = problems.required_text("text", &input.text, TEXT_BYTES_MAX);
        let form = self.vocabulary().form(&input.form).filter(|form| form.about == about).cloned();
        let kind = match &form {
            Some(form) => {
                let title = form.title.as_ref().unwrap_or(&form.id);
                Code::new(Action::FORM_LIST, forms::VERSION, &form.id, title).ok()
            }
            None => problems.code("kind", "action_kind", if input.kind.is_empty() { "note" } else { &input.kind }),
        };
        problems.done()?;
        Ok(NewEntry {
            kind: kind.ok_or(DeskError::NotFound)?,
            on: today,
            text,
            minutes: None,
            form,
            answers: Vec::new(),
            follows: None,
            corrects,
            tier: Tier::Normal,
            grant: None,
            sees_tiers: false,
            only_own: None,
            tasks: Vec::new(),
            void: true,
        })
    }

    /// That a colleague wrote the same service down within the last days.
    fn same_service(&self, case: RecordId, entry: &NewEntry) -> Result<Option<FieldProblem>, DeskError> {
        let service = entry.answers.iter().find(|answer| answer.field == SERVICE_FIELD);
        let Some(Value::Code(service)) = service.and_then(|answer| answer.value.value()) else { return Ok(None) };
        let me = self.name();
        let earlier = self.case_entries(case)?.into_iter().find(|earlier| {
            let is_same = |answer: &AnswerView| {
                answer.field == SERVICE_FIELD && answer.value.code.as_deref() == Some(service.code.as_str())
            };
            let days = earlier.on.days_to(entry.on).abs();
            days <= SAME_SERVICE_DAYS
                && earlier.by != me
                && earlier.corrected_by.is_none()
                && earlier.answers.iter().any(is_same)
        });
        Ok(earlier.map(|earlier| {
            FieldProblem::with(SERVICE_FIELD, "service-again", format!("{}, {}", earlier.by, earlier.on))
        }))
    }

    /// Writes an entry of a case.
    ///
    /// # Errors
    /// When fields are wrong or this account may not write in the case.
    pub fn add_action(&self, case: RecordId, input: &ActionInput) -> Result<RecordId, DeskError> {
        let relation = self.may_in_case(case, Ask::NoteInCase)?;
        let mut entry = self.read_entry(About::Case, input)?;
        entry.sees_tiers = self.may(Ask::SeeTiers(relation));
        entry.only_own = Some(self.actor.staff).filter(|_| !self.may(Ask::WriteCase(relation)));
        if entry.tier != Tier::Normal && !entry.sees_tiers {
            return Err(DeskError::Invalid(vec![FieldProblem::new("tier", "tier-not-yours")]));
        }
        if entry.corrects.is_none()
            && !input.again
            && let Some(problem) = self.same_service(case, &entry)?
        {
            return Err(DeskError::Invalid(vec![problem]));
        }
        self.note_in_case("add_action", case, move |tx, case| {
            entry.store(tx, case.id, Some(case.id), &keys(&case.clients), case.owner)
        })
    }

    /// Writes an entry about a person.
    ///
    /// # Errors
    /// When fields are wrong or there is no such person for this account.
    pub fn add_person_entry(&self, person: RecordId, input: &ActionInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::KeepPeople)?;
        self.visible_person(person)?;
        let entry = self.read_entry(About::Person, input)?;
        self.write("add_person_entry", move |tx| {
            let key = tx.get::<Person>(Person::TOP, person)?.ok_or(DeskError::NotFound)?.record.key;
            tx.about(person);
            let owner = tx.staff();
            entry.store(tx, person, None, &[key], owner)
        })
    }

    /// Writes an entry of the office: numbers, no names.
    ///
    /// # Errors
    /// When fields are wrong or the account may not.
    pub fn add_office_entry(&self, input: &ActionInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::Register)?;
        let entry = self.read_entry(About::Office, input)?;
        self.write("add_office_entry", move |tx| {
            let owner = tx.staff();
            entry.store(tx, Action::TOP, None, &[], owner)
        })
    }

    /// The entries of the office, latest first.
    ///
    /// # Errors
    /// When the account may not read them.
    pub fn office_entries(&self) -> Result<Vec<ActionView>, DeskError> {
        self.allow(Ask::Register)?;
        self.entries_of(Action::TOP)
    }

    pub(super) fn entries_of(&self, about: RecordId) -> Result<Vec<ActionView>, DeskError> {
        self.entries_where(about, |_| true)
    }

    /// The entries of a case that this account may see, latest first.
    pub(super) fn case_entries(&self, case: RecordId) -> Result<Vec<ActionView>, DeskError> {
        let sees_all = self.may(Ask::SeeTiers(self.relation_to(case).unwrap_or_default()));
        self.entries_where(case, |entry| sees_all || entry.tier == Tier::Normal)
    }

    fn entries_where(&self, about: RecordId, is_shown: impl Fn(&Action) -> bool) -> Result<Vec<ActionView>, DeskError> {
        let mut entries = self.office.vault.list::<Action>(about)?;
        entries.retain(|entry| is_shown(&entry.record));
        entries.reverse();
        let tables = self.office.index.read();
        let corrected: HashMap<RecordId, RecordId> =
            entries.iter().filter_map(|entry| Some((entry.record.corrects?, entry.record.id))).collect();
        let asked: HashMap<RecordId, Approval> = tables
            .requests
            .values()
            .filter_map(|request| match request.asked {
                Asked::Entry(case, entry) if case == about => Some((entry, Approval::of(request))),
                _ => None,
            })
            .collect();
        let view = |Sealed { record: entry, .. }: Sealed<Action>| ActionView {
            corrected_by: corrected.get(&entry.id).copied(),
            id: entry.id,
            kind: CodeView::from(&entry.kind),
            on: entry.on,
            text: entry.text,
            minutes: entry.minutes,
            by: self.staff_name(&tables, entry.by),
            days_late: entry.on.days_to(tables.zone.day(entry.at)).try_into().unwrap_or(0),
            at: entry.at,
            form: entry.form.map(|(form, _)| form),
            answers: entry
                .answers
                .iter()
                .map(|answer| AnswerView { field: answer.field.clone(), value: Field::answer(&answer.value) })
                .collect(),
            follows: entry.follows,
            corrects: entry.corrects,
            tier: entry.tier,
            grant: entry.grant,
            void: entry.void,
            approval: asked.get(&entry.id).copied(),
        };
        Ok(entries.into_iter().map(view).collect())
    }

    /// Persons, and parties of other cases, that have the name of a party of this case, as far as this account may
    /// see them.
    pub(super) fn conflicts(&self, tables: &Tables, case: RecordId) -> Vec<ConflictView> {
        let mut found = Vec::new();
        for party in tables.entries.parties_of(case) {
            for (row, _) in tables.search(&party.name).into_iter().filter(|(row, reasons)| {
                reasons.first() <= Some(&crate::index::MatchReason::SoundsLike)
                    && self.sees_person(tables, row.person.id)
            }) {
                found.push(ConflictView {
                    party: party.name.clone(),
                    name: row.name.clone(),
                    person: Some(row.person.id),
                    case: None,
                    number: String::new(),
                });
            }
            for other in tables.entries.parties_like(&party.name).filter(|other| other.case != case) {
                let Some(row) = tables.cases.get(&other.case).filter(|row| self.sees(tables, row)) else { continue };
                found.push(ConflictView {
                    party: party.name.clone(),
                    name: other.name.clone(),
                    person: None,
                    case: Some(other.case),
                    number: row.number.to_string(),
                });
            }
        }
        let clients = tables.cases.get(&case).map(|row| row.clients.to_vec()).unwrap_or_default();
        found.extend(self.clients_as_parties(tables, &clients, Some(case)));
        found.sort();
        found.dedup();
        found
    }

    /// Clients who have the name of a party in another case that this account may see.
    fn clients_as_parties(&self, tables: &Tables, clients: &[RecordId], case: Option<RecordId>) -> Vec<ConflictView> {
        let mut found = Vec::new();
        for client in clients.iter().filter_map(|client| tables.persons.get(&tables.standing(*client))) {
            let parties = tables.entries.parties_like(&client.name).filter(|party| Some(party.case) != case);
            for party in parties {
                let Some(row) = tables.cases.get(&party.case).filter(|row| self.sees(tables, row)) else { continue };
                found.push(ConflictView {
                    party: client.name.clone(),
                    name: party.name.clone(),
                    person: None,
                    case: Some(party.case),
                    number: row.number.to_string(),
                });
            }
        }
        found
    }

    /// What speaks against opening a case: somebody registered has the name of the other side, or a client has the name of a
    /// party elsewhere.
    pub(super) fn conflicts_before(&self, clients: &[RecordId], other_party: &str) -> Vec<ConflictView> {
        let tables = self.office.index.read();
        let mut found = self.clients_as_parties(&tables, clients, None);
        if !other_party.is_empty() {
            for (row, reasons) in tables.search(other_party) {
                let by_name = reasons.first() <= Some(&crate::index::MatchReason::SoundsLike);
                if by_name && !clients.contains(&row.person.id) && self.sees_person(&tables, row.person.id) {
                    found.push(ConflictView {
                        party: other_party.to_owned(),
                        name: row.name.clone(),
                        person: Some(row.person.id),
                        case: None,
                        number: String::new(),
                    });
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }
}
