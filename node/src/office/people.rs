//! Persons and their consents.

use super::circumstances::OF_AGE;
use super::{
    AlertView, CodeView, ConsentView, Desk, DeskError, Field, FieldProblem, OverridingView, PersonHit, PersonView,
};
use crate::calendars::{Calendar, birth_date};
use crate::index::{MatchReason, Tables};
use crate::policy::Ask;
use crate::records::{Consent, CountingBasis, IdentityLevel, Person, PersonRef};
use crate::vault::Record;
use crate::vocabulary::Vocabulary;
use crate::zone::Zone;
use casemesh_protocol::bounded::{List, Text};
use casemesh_protocol::consent::{Circumstances, ConsentStatus, lapse};
use casemesh_protocol::id::{OfficeId, RecordId, StaffId};
use casemesh_protocol::terms::{
    ChildView, Code, ConsentGiver, ConsentMethod, ConsentTerms, FieldGroup, FieldState, Line, Purpose, SafeContact,
    Withheld, WithholdReason,
};
use casemesh_protocol::time::{Day, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Longest text of one field of a person.
const FIELD_BYTES_MAX: usize = 400;
/// Results of one search.
const HITS_MAX: usize = 25;

/// A field as it is entered: what is known of it, and the value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldInput {
    /// known, unknown, refused, not_asked, unsure; when empty, a value makes it known.
    pub state: String,
    /// The value.
    pub value: String,
}

/// A person as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PersonInput {
    /// anonymous, alias, self_declared or document_seen.
    pub identity: String,
    /// The name the person chose for us.
    pub alias: String,
    /// Given names.
    pub given: FieldInput,
    /// Family names.
    pub family: FieldInput,
    /// The name in the person's own script.
    pub local_name: FieldInput,
    /// Birth date: year, year-month, or year-month-day.
    pub birth: FieldInput,
    /// gregorian, ethiopic, buddhist, hijri or bikram_sambat: the calendar of the birth date; gregorian when empty.
    pub birth_calendar: String,
    /// Whether the birth date is a guess.
    pub birth_estimated: bool,
    /// Code of the list `age_band`, where no birth date is known.
    pub age_band: FieldInput,
    /// Code of the list `sex`.
    pub sex: FieldInput,
    /// ISO 3166-1 alpha-2.
    pub nationality: FieldInput,
    /// Code of the list `language`.
    pub language: FieldInput,
    /// Whether an interpreter is needed.
    pub interpreter: bool,
    /// Telephone.
    pub telephone: FieldInput,
    /// Address. Left empty, a protected one stays as it is.
    pub address: FieldInput,
    /// The address shows only after a click that is noted.
    pub address_protected: bool,
    /// Whether it stands for a group that is one client.
    pub is_group: bool,
    /// The district or the like.
    pub area: FieldInput,
    /// Number of a document.
    pub identifier: FieldInput,
    /// Calling is safe.
    pub safe_call: bool,
    /// A text message is safe.
    pub safe_text: bool,
    /// A message on the voicemail is safe.
    pub safe_voicemail: bool,
    /// A letter is safe.
    pub safe_post: bool,
    /// When, and what to say.
    pub safe_instructions: String,
    /// The word by which the person knows that it is us.
    pub code_word: String,
    /// consent, headcount, not_stated or objected.
    pub counting: String,
}

/// A consent as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsentInput {
    /// For what (`share_for_service` and so on).
    pub purpose: String,
    /// To whom, in order.
    #[schema(value_type = Vec<String>)]
    pub recipients: Vec<String>,
    /// Groups of fields that may go.
    pub scope: Vec<String>,
    /// Groups that must not go.
    pub withheld: Vec<String>,
    /// Why they are withheld.
    pub withheld_reason: String,
    /// The last day on which it holds.
    pub expires: String,
    /// How it was given.
    pub method: String,
    /// Who gave it.
    pub giver: String,
    /// The language in which it was explained.
    pub language: String,
    /// Whether the person said no: then how long, how and by whom need not be said.
    pub refused: bool,
    /// The day on the paper, where it is written down later; today when empty.
    pub given_on: String,
    /// What a child says herself: agrees, disagrees, not_asked or too_young; may be empty.
    pub child_view: String,
    /// The name of whoever gives it for the client; may be empty.
    pub given_by: String,
    /// Offices without a node, by name: one a line, in the order in which they may be asked.
    pub outside: String,
    /// Whether everything may go at once in an emergency, before the other office accepted.
    pub complete_now: bool,
}

/// Collects what is wrong with a form, field by field.
#[derive(Debug)]
pub(super) struct Problems {
    found: Vec<FieldProblem>,
    words: Arc<Vocabulary>,
}

impl Problems {
    /// Nothing wrong yet, with the codes that the office works with.
    pub(super) fn new(words: Arc<Vocabulary>) -> Self {
        Self { found: Vec::new(), words }
    }

    pub(super) fn add(&mut self, field: &str, problem: &str) {
        self.found.push(FieldProblem::new(field, problem));
    }

    pub(super) fn with(&mut self, field: &str, problem: &str, detail: impl std::fmt::Display) {
        self.found.push(FieldProblem::with(field, problem, detail));
    }

    /// A word of an enumeration.
    pub(super) fn word<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) if text.is_empty() => {
                self.add(field, "required");
                None
            }
            Err(error) => {
                self.with(field, "unknown-value", error);
                None
            }
        }
    }

    /// A code of a list.
    pub(super) fn code(&mut self, field: &str, list: &str, code: &str) -> Option<Code> {
        if code.is_empty() {
            self.add(field, "required");
            return None;
        }
        let found = self.words.code_or_label(list, code);
        if found.is_none() {
            let like = self.words.like(list, code);
            let problem = if like.is_empty() { "unknown-value" } else { "unknown-like" };
            self.with(field, problem, if like.is_empty() { code } else { &like });
        }
        found
    }

    /// A code of a list, or none.
    pub(super) fn optional_code(&mut self, field: &str, list: &str, code: &str) -> Option<Code> {
        if code.is_empty() { None } else { self.code(field, list, code) }
    }

    /// A text that fits.
    pub(super) fn text(&mut self, field: &str, text: &str, max: usize) -> String {
        let text = text.trim();
        if text.len() > max {
            self.with(field, "too-long", max);
        }
        text.to_owned()
    }

    /// A text that fits and is there.
    pub(super) fn required_text(&mut self, field: &str, text: &str, max: usize) -> String {
        if text.trim().is_empty() {
            self.add(field, "required");
        }
        self.text(field, text, max)
    }

    /// A day, or none.
    pub(super) fn day(&mut self, field: &str, text: &str) -> Option<Day> {
        let text = crate::names::ascii_digits(text.trim());
        if text.is_empty() {
            return None;
        }
        match text.parse() {
            Ok(day) => Some(day),
            Err(_) => {
                self.with(field, "not-a-day", &text);
                None
            }
        }
    }

    /// A day that is there.
    pub(super) fn required_day(&mut self, field: &str, text: &str) -> Option<Day> {
        if text.trim().is_empty() {
            self.add(field, "required");
        }
        self.day(field, text)
    }

    /// A period, from the fields `from` and `to`: both its days are there.
    pub(super) fn period(&mut self, from: &str, to: &str) -> Option<Period> {
        let (from, to) = (self.required_day("from", from), self.required_day("to", to));
        let (from, to) = from.zip(to)?;
        let period = Period::new(from, to);
        if period.is_none() {
            self.add("to", "ends-before-start");
        }
        period
    }

    /// A whole number, or none.
    pub(super) fn number<T: FromStr>(&mut self, field: &str, text: &str) -> Option<T> {
        let text = crate::names::ascii_digits(text.trim());
        let number = text.parse().ok();
        if number.is_none() && !text.is_empty() {
            self.with(field, "not-a-number", &text);
        }
        number
    }

    pub(super) fn line(&mut self, field: &str, text: &str) -> Line {
        match Line::new(text.trim()) {
            Ok(line) => line,
            Err(error) => {
                self.with(field, "too-long", error.max);
                Line::default()
            }
        }
    }

    pub(super) fn done(self) -> Result<(), DeskError> {
        if self.found.is_empty() { Ok(()) } else { Err(DeskError::Invalid(self.found)) }
    }

    fn field<T>(
        &mut self,
        name: &str,
        input: &FieldInput,
        parse: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> FieldState<T> {
        self.field_to(name, input, FIELD_BYTES_MAX, parse)
    }

    /// What is known of a field whose text is at most so long.
    pub(super) fn field_to<T>(
        &mut self,
        name: &str,
        input: &FieldInput,
        max: usize,
        parse: impl FnOnce(&mut Self, &str) -> Option<T>,
    ) -> FieldState<T> {
        let value = input.value.trim();
        if value.len() > max {
            self.with(name, "too-long", max);
        }
        match (input.state.as_str(), value.is_empty()) {
            ("unknown", true) => FieldState::Unknown,
            ("refused", true) => FieldState::Refused,
            ("not_asked" | "", true) => FieldState::NotAsked,
            ("known" | "unsure", true) => {
                self.add(name, "required");
                FieldState::NotAsked
            }
            ("unsure", false) => parse(self, value).map_or(FieldState::NotAsked, FieldState::Unsure),
            // A value that was typed is never thrown away because a box beside it says otherwise.
            ("known" | "" | "not_asked", false) => parse(self, value).map_or(FieldState::NotAsked, FieldState::Known),
            (_, false) => {
                self.add(name, "value-and-state");
                FieldState::NotAsked
            }
            (other, true) => {
                self.with(name, "unknown-value", other);
                FieldState::NotAsked
            }
        }
    }
}

/// A country as entered: two letters of ISO 3166-1.
pub(super) fn country(text: &str) -> Option<Code> {
    let code = text.to_ascii_uppercase();
    let is_country = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
    if is_country { Code::new("country", 1, &code, &code).ok() } else { None }
}

/// What a colleague must know of a person before anything else.
pub(super) fn alerts_of(tables: &Tables, person: RecordId) -> Vec<AlertView> {
    let records = tables.records_of(person);
    let alerts = tables.entries.alerts.values().filter(|alert| records.contains(&alert.person));
    alerts.map(|alert| AlertView { kind: alert.kind.as_ref().map(CodeView::from), text: alert.text.clone() }).collect()
}

/// Takes over what was entered of a person.
pub(super) fn apply(person: &mut Person, input: &PersonInput, words: &Arc<Vocabulary>) -> Result<(), DeskError> {
    let mut problems = Problems::new(Arc::clone(words));
    let text = |_: &mut Problems, value: &str| Some(value.to_owned());
    if let Some(identity) = problems.word::<IdentityLevel>("identity", &input.identity) {
        person.identity = identity;
    }
    person.alias = problems.text("alias", &input.alias, FIELD_BYTES_MAX);
    person.given = problems.field("given", &input.given, text);
    person.family = problems.field("family", &input.family, text);
    person.local_name = problems.field("local_name", &input.local_name, text);
    let calendar = match input.birth_calendar.as_str() {
        "" => Some(Calendar::Gregorian),
        other => problems.word("birth_calendar", other),
    };
    let calendar = calendar.unwrap_or(Calendar::Gregorian);
    person.birth = problems.field("birth", &input.birth, |problems, value| {
        birth_date(calendar, value, input.birth_estimated).or_else(|| {
            problems.with("birth", "not-a-birth-date", value);
            None
        })
    });
    let said = calendar != Calendar::Gregorian && person.birth.value().is_some();
    person.birth_said = said.then(|| (calendar, input.birth.value.trim().to_owned()));
    person.is_group = input.is_group;
    let band = |problems: &mut Problems, value: &str| problems.code("age_band", "age_band", value);
    person.age_band = problems.field("age_band", &input.age_band, band);
    person.sex = problems.field("sex", &input.sex, |problems, value| problems.code("sex", "sex", value));
    person.language =
        problems.field("language", &input.language, |problems, value| problems.code("language", "language", value));
    person.nationality = problems.field("nationality", &input.nationality, |problems, value| {
        country(value).or_else(|| {
            problems.with("nationality", "not-a-country", value);
            None
        })
    });
    person.interpreter = input.interpreter;
    person.telephone = problems.field("telephone", &input.telephone, text);
    // A protected address does not stand in the form: an empty field takes nothing away.
    let stays = person.address_protected && input.address == FieldInput::default();
    if !stays {
        person.address = problems.field("address", &input.address, text);
    }
    // What protects an address goes only with the address itself.
    person.address_protected = input.address_protected || stays;
    person.area = problems.field("area", &input.area, text);
    person.identifier = problems.field("identifier", &input.identifier, text);
    person.safe_contact = SafeContact {
        call: input.safe_call,
        text: input.safe_text,
        voicemail: input.safe_voicemail,
        post: input.safe_post,
        instructions: problems.line("safe_instructions", &input.safe_instructions),
        code_word: problems.line("code_word", &input.code_word),
    };
    if !input.counting.is_empty()
        && let Some(counting) = problems.word::<CountingBasis>("counting", &input.counting)
    {
        person.counting = counting;
    }
    let needs_name = matches!(person.identity, IdentityLevel::SelfDeclared | IdentityLevel::DocumentSeen);
    if needs_name && person.display_name().is_empty() {
        problems.add("given", "name-needed");
    }
    if person.identity == IdentityLevel::Alias && person.alias.is_empty() {
        problems.add("alias", "alias-needed");
    }
    problems.done()
}

impl Desk {
    /// Persons that a text finds: by name in any spelling and script, telephone, document, year of birth,
    /// number of a case.
    ///
    /// # Errors
    /// When the account may not search.
    pub fn search(&self, text: &str) -> Result<Vec<PersonHit>, DeskError> {
        self.allow(Ask::People)?;
        let tables = self.office.index.read();
        let numbered = tables.case_numbered(text).filter(|case| self.sees(&tables, case));
        let clients = numbered.iter().flat_map(|case| &case.clients).map(|client| tables.standing(*client));
        let clients =
            clients.filter_map(|client| Some((&**tables.persons.get(&client)?, vec![MatchReason::CaseNumber])));
        let hits: Vec<PersonHit> = clients
            .chain(tables.search(text))
            .filter(|(row, _)| self.sees_person(&tables, row.person.id))
            .take(HITS_MAX)
            .map(|(row, reasons)| PersonHit {
                id: row.person.id,
                name: row.name.clone(),
                birth_year: row.birth_year,
                reasons,
                cases: self.cases_of(&tables, row.person.id).len(),
            })
            .collect();
        drop(tables);
        self.office.vault.note(Some(self.actor.staff), "search", None);
        Ok(hits)
    }

    /// Registers a person.
    ///
    /// # Errors
    /// When fields are wrong; nothing is saved then.
    pub fn register_person(&self, input: PersonInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::People)?;
        // Checked before the writer is bothered, and again in effect when the record is made there.
        let probe =
            Person::unknown(RecordId::new([0; 16]), casemesh_crypto::shred::KeyHandle::new([0; 16]), self.now(), None);
        let words = self.vocabulary();
        apply(&mut probe.clone(), &input, &words)?;
        self.write("register_person", move |tx| {
            let key = tx.new_person_key();
            let mut person = Person::unknown(tx.fresh_id(), key, tx.now(), tx.staff());
            apply(&mut person, &input, &words)?;
            tx.insert(&person)?;
            tx.about(person.id);
            Ok(person.id)
        })
    }

    /// Changes a person.
    ///
    /// # Errors
    /// When fields are wrong, or somebody else changed the record meanwhile.
    pub fn change_person(&self, id: RecordId, revision: u64, input: PersonInput) -> Result<(), DeskError> {
        self.allow(Ask::People)?;
        self.visible_person(id)?;
        let id = self.office.index.read().standing(id);
        let words = self.vocabulary();
        self.write("change_person", move |tx| {
            let mut sealed = tx.get::<Person>(Person::TOP, id)?.ok_or(DeskError::NotFound)?;
            apply(&mut sealed.record, &input, &words)?;
            tx.about(id);
            Ok(tx.update(&sealed.record, revision)?)
        })
    }

    /// A person, with the cases that this account may see.
    ///
    /// # Errors
    /// When there is none.
    pub fn person(&self, id: RecordId) -> Result<PersonView, DeskError> {
        self.allow(Ask::People)?;
        self.visible_person(id)?;
        let (id, records) = {
            let tables = self.office.index.read();
            (tables.standing(id), tables.records_of(id))
        };
        let sealed = self.office.vault.get::<Person>(Person::TOP, id)?.ok_or(DeskError::NotFound)?;
        let person = sealed.record;
        self.note("view_person", id);
        let mut entries = Vec::new();
        for record in &records {
            entries.extend(self.entries_of(*record)?);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.id));
        let mut members = Vec::new();
        for record in &records {
            members.extend(self.members(*record)?);
        }
        let tables = self.office.index.read();
        let merged = records.iter().skip(1).filter_map(|id| tables.persons.get(id));
        let merged = merged.map(|row| (row.person.id, row.name.clone())).collect();
        let cases = self.cases_of(&tables, id).into_iter().map(|case| self.summary(&tables, case)).collect();
        let consents = self.consents_of(&tables, id);
        Ok(PersonView {
            never: self.never_view(&person.never),
            id,
            revision: sealed.revision,
            name: person.display_name(),
            identity: person.identity,
            alias: person.alias,
            given: Field::text(&person.given),
            family: Field::text(&person.family),
            local_name: Field::text(&person.local_name),
            birth_estimated: person.birth.value().is_some_and(|birth| birth.estimated),
            birth: Field::text(&person.birth),
            age_band: Field::code(&person.age_band),
            sex: Field::code(&person.sex),
            nationality: Field::code(&person.nationality),
            language: Field::code(&person.language),
            interpreter: person.interpreter,
            telephone: Field::text(&person.telephone),
            address: if person.address_protected {
                Field { state: "protected".into(), value: None, code: None, list: None }
            } else {
                Field::text(&person.address)
            },
            address_protected: person.address_protected,
            birth_said: person.birth_said,
            is_group: person.is_group,
            members,
            caregiver_is_party: self.caregiver_is_party(&tables, id),
            links: self.links(&tables, id),
            merged,
            area: Field::text(&person.area),
            identifier: Field::text(&person.identifier),
            safe_contact: person.safe_contact,
            counting: person.counting,
            cases,
            consents,
            alerts: alerts_of(&tables, id),
            confirmed: ["contact", "address", "risk"]
                .into_iter()
                .filter_map(|what| Some((what.to_owned(), tables.entries.last_confirmed(&records, what)?)))
                .collect(),
            entries,
            barred: {
                let all: BTreeSet<StaffId> = records.iter().flat_map(|id| tables.barred_from(*id)).copied().collect();
                all.into_iter().map(|staff| (staff, self.staff_name(&tables, Some(staff)))).collect()
            },
        })
    }

    /// Shows a protected address. That it was shown is on the disk before it is.
    ///
    /// # Errors
    /// When there is no such person.
    pub fn reveal_address(&self, id: RecordId) -> Result<Field, DeskError> {
        self.allow(Ask::People)?;
        self.visible_person(id)?;
        let id = self.office.index.read().standing(id);
        let sealed = self.office.vault.get::<Person>(Person::TOP, id)?.ok_or(DeskError::NotFound)?;
        self.office.vault.note_and_wait(Some(self.actor.staff), "reveal_address", Some(id))?;
        Ok(Field::text(&sealed.record.address))
    }

    /// Writes down a consent, or that the person refused one.
    ///
    /// # Errors
    /// When fields are wrong; nothing is saved then.
    pub fn record_consent(&self, person: RecordId, input: ConsentInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::RecordConsent)?;
        self.visible_person(person)?;
        let now = self.now();
        let terms = self.consent_terms(&input, now)?;
        let status = if input.refused { ConsentStatus::Refused } else { ConsentStatus::Given };
        self.write("record_consent", move |tx| {
            let subject = tx.get::<Person>(Person::TOP, person)?.ok_or(DeskError::NotFound)?.record;
            let consent = Consent {
                id: tx.fresh_id(),
                person: PersonRef { id: person, key: subject.key },
                terms,
                status,
                explained_by: tx.staff(),
                at: tx.now(),
                overriding: None,
            };
            tx.insert(&consent)?;
            tx.about(person);
            Ok(consent.id)
        })
    }

    fn consent_terms(&self, input: &ConsentInput, now: Timestamp) -> Result<ConsentTerms, DeskError> {
        let zone = self.zone();
        let mut problems = self.problems();
        let purpose: Option<Purpose> = problems.word("purpose", &input.purpose);
        let shares = matches!(purpose, Some(Purpose::ShareForService | Purpose::ShareForTransfer));
        let mut recipients: Vec<OfficeId> = Vec::new();
        for text in input.recipients.iter().filter(|text| !text.is_empty()) {
            match text.parse() {
                Ok(office) => recipients.push(office),
                Err(error) => problems.with("recipients", "unknown-value", error),
            }
        }
        let outside: Vec<Line> = input
            .outside
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| problems.line("outside", name))
            .collect();
        if shares && recipients.is_empty() && outside.is_empty() {
            problems.add("recipients", "recipient-needed");
        }
        let groups = |problems: &mut Problems, field: &str, words: &[String]| -> Vec<FieldGroup> {
            words.iter().filter_map(|word| problems.word(field, word)).collect()
        };
        let scope = groups(&mut problems, "scope", &input.scope);
        let withheld_groups = groups(&mut problems, "withheld", &input.withheld);
        let reason: Option<WithholdReason> =
            if withheld_groups.is_empty() { None } else { problems.word("withheld_reason", &input.withheld_reason) };
        let withheld: Vec<Withheld> =
            withheld_groups.into_iter().filter_map(|group| reason.map(|reason| Withheld { group, reason })).collect();
        if shares && scope.is_empty() && !input.refused {
            problems.add("scope", "scope-needed");
        }
        let today = zone.day(now);
        let expires = problems.day("expires", &input.expires);
        match expires {
            None if input.refused && input.expires.trim().is_empty() => {}
            None => problems.add("expires", "expiry-needed"),
            Some(day) if day < today => problems.add("expires", "in-the-past"),
            Some(_) => {}
        }
        let unsaid = |text: &str| input.refused && text.is_empty();
        let method: Option<ConsentMethod> = if unsaid(&input.method) {
            Some(ConsentMethod::WitnessedOral)
        } else {
            problems.word("method", &input.method).filter(|method| *method != ConsentMethod::NotGiven)
        };
        if input.method == ConsentMethod::NotGiven.as_str() {
            problems.with("method", "unknown-value", &input.method);
        }
        let giver: Option<ConsentGiver> =
            if unsaid(&input.giver) { Some(ConsentGiver::Person) } else { problems.word("giver", &input.giver) };
        let given_on = problems.day("given_on", &input.given_on).filter(|day| *day != today);
        if given_on.is_some_and(|day| day > today) {
            problems.add("given_on", "in-the-future");
        }
        let language = problems.text("language", &input.language, 16);
        let child_view: Option<Option<ChildView>> = match input.child_view.as_str() {
            "" => None,
            word => Some(problems.word("child_view", word)),
        };
        let given_by = problems.line("given_by", &input.given_by);
        problems.done()?;
        let complete = || -> Option<ConsentTerms> {
            Some(ConsentTerms {
                purpose: purpose?,
                recipients: List::new(recipients).ok()?,
                scope: List::new(scope).ok()?,
                withheld: List::new(withheld).ok()?,
                given: given_on.map_or(now, |day| zone.instant(day, 0)),
                expires: zone.instant(expires.unwrap_or(today), 24 * 60),
                method: method?,
                giver: giver?,
                language: Text::new(language).ok()?,
                child_view: child_view.flatten(),
                given_by: Some(given_by).filter(|name| !name.is_empty()),
                complete_now: input.complete_now,
                outside: Some(List::new(outside).ok()?).filter(|names| names.iter().next().is_some()),
            })
        };
        complete().ok_or_else(|| DeskError::Invalid(vec![FieldProblem::new("scope", "too-long")]))
    }

    /// Notes that the person took a consent back. Open referrals under it end, and the other office is told.
    ///
    /// # Errors
    /// When there is no such consent.
    pub fn withdraw_consent(&self, person: RecordId, consent: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::RecordConsent)?;
        self.visible_person(person)?;
        let records = self.office.index.read().records_of(person);
        self.write("withdraw_consent", move |tx| {
            let found = records.iter().find_map(|id| tx.get::<Consent>(*id, consent).transpose());
            let mut sealed = found.transpose()?.ok_or(DeskError::NotFound)?;
            sealed.record.status = ConsentStatus::Withdrawn(tx.now());
            tx.about(person);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        self.office.end_referrals_under(Some(self.actor.staff), &[consent].into())
    }

    pub(super) fn consents_of(&self, tables: &Tables, person: RecordId) -> Vec<ConsentView> {
        let directory = self.office.around.directory();
        let now = self.now();
        // The row tells no more of a birth than its year: a consent that lapses within that year is refused when it is used.
        let row = tables.persons.get(&tables.standing(person));
        let year = tables.zone.day(now).year();
        let cases: Vec<RecordId> = tables.all_cases_of(person).map(|case| case.id).collect();
        let circumstances = Circumstances {
            is_of_age: row.and_then(|row| row.birth_year).is_some_and(|born| year - born > OF_AGE),
            giver_is_party: super::family::cares_and_is_party(tables, tables.standing(person), &cases),
            is_never: false,
        };
        let records = tables.records_of(person);
        let of_person = records.iter().filter_map(|id| tables.consents.get(id)).flat_map(|all| all.values().rev());
        of_person
            .map(|consent| ConsentView {
                id: consent.id,
                recipients: consent
                    .terms
                    .recipients
                    .iter()
                    .map(|office| match directory.as_ref().and_then(|directory| directory.member(office)) {
                        Some(member) => member.record.name.to_string(),
                        None => office.to_string(),
                    })
                    .chain(consent.terms.outside.iter().flat_map(|names| names.iter()).map(ToString::to_string))
                    .collect(),
                status: match consent.status {
                    ConsentStatus::Refused => "refused",
                    ConsentStatus::Withdrawn(_) => "withdrawn",
                    ConsentStatus::Given | ConsentStatus::Overridden(_) if consent.terms.expires <= now => "expired",
                    ConsentStatus::Overridden(_) => "overridden",
                    ConsentStatus::Given if lapse(&consent.terms, circumstances).is_some() => "lapsed",
                    ConsentStatus::Given => "given",
                }
                .into(),
                until: last_day(consent.terms.expires, &tables.zone),
                terms: consent.terms.clone(),
                explained_by: self.staff_name(tables, consent.explained_by),
                overriding: consent.overriding.as_ref().map(|overriding| OverridingView {
                    by: self.staff_name(tables, Some(overriding.by)),
                    may_review: self.may(Ask::ApproveCases)
                        && (overriding.by != self.actor.staff || !self.has_other_supervisor(tables)),
                    ground: match consent.status {
                        ConsentStatus::Overridden(ground) => Some(ground),
                        _ => None,
                    },
                    reason: overriding.reason.clone(),
                    reviewed_by: overriding.reviewed.as_ref().map(|seen| self.staff_name(tables, Some(seen.by))),
                    finding: overriding.reviewed.as_ref().map(|seen| seen.finding.clone()).unwrap_or_default(),
                }),
            })
            .collect()
    }
}

/// The last day on which something holds that ends with that day.
pub(super) fn last_day(ends: Timestamp, zone: &Zone) -> Day {
    zone.day(Timestamp::from_ms(ends.ms().saturating_sub(1)))
}
