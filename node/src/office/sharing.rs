//! What of a client and a case goes along with a referral: the fields of its template that the permit covers.

use super::DeskError;
use super::cases::standing_payments;
use super::standing::last_risk;
use crate::index::Tables;
use crate::records::{Action, Case, Payment, PaymentKind, Person, Task, TaskKind, TaskState, TaskTitle, Tier};
use crate::vault::Sealed;
use casemesh_protocol::bounded::Text;
use casemesh_protocol::consent::Permit;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::packet::SharedField;
use casemesh_protocol::template::{self, Template};
use casemesh_protocol::terms::{Code, FieldState};
use std::collections::BTreeMap;

/// The template that a service usually needs; whoever refers can choose another.
pub(super) fn usual(service: &str) -> Template {
    match service {
        "safe_house" => Template::Shelter,
        "health" | "psychosocial" => Template::Health,
        "child_protection" | "family_mediation" | "family_reunification" => Template::ChildProtection,
        "legal_assistance" | "paralegal_advice" | "representation" | "police" | "repatriation" => Template::LegalBrief,
        _ => Template::ContactOnly,
    }
}

/// What a case holds beside itself.
pub(super) struct Holdings {
    pub(super) entries: Vec<Action>,
    pub(super) tasks: Vec<Task>,
    pub(super) payments: Vec<Payment>,
}

impl Holdings {
    /// What stands: without what was corrected, done or written by mistake.
    pub(super) fn of(entries: Vec<Sealed<Action>>, tasks: Vec<Sealed<Task>>, payments: Vec<Sealed<Payment>>) -> Self {
        let corrected: Vec<RecordId> = entries.iter().filter_map(|entry| entry.record.corrects).collect();
        let entries = entries.into_iter().map(|entry| entry.record);
        let tasks = tasks.into_iter().map(|task| task.record);
        Self {
            entries: entries.filter(|entry| !entry.void && !corrected.contains(&entry.id)).collect(),
            tasks: tasks.filter(|task| task.state == TaskState::Open).collect(),
            payments: standing_payments(payments),
        }
    }

    /// Days that a law or a court set.
    fn deadlines(&self) -> Vec<String> {
        let is_set = |task: &&Task| matches!(task.kind, TaskKind::Deadline | TaskKind::Hearing);
        let line = |task: &Task| match &task.title {
            TaskTitle::Words(words) => format!("{} {words}", task.due),
            TaskTitle::Form(_) => task.due.to_string(),
        };
        self.open_tasks().filter(is_set).map(line).collect()
    }

    /// What amounts of a kind come to, by currency.
    fn sums(&self, kind: PaymentKind) -> Vec<String> {
        let mut sums: BTreeMap<_, i64> = BTreeMap::new();
        for payment in self.payments.iter().filter(|payment| payment.kind == kind) {
            let sum = sums.entry(payment.money.currency).or_default();
            *sum = sum.saturating_add(payment.money.minor);
        }
        let money = |(currency, minor)| casemesh_protocol::terms::Money { minor, currency }.to_string();
        sums.into_iter().map(money).collect()
    }

    /// Tasks that are the case's own, and do not follow from an entry that is not for all.
    pub(super) fn open_tasks(&self) -> impl Iterator<Item = &Task> {
        let is_hidden = |id: RecordId| self.entries.iter().any(|entry| entry.id == id && entry.tier != Tier::Normal);
        self.tasks.iter().filter(move |task| super::handing::moves(task) && !task.from.is_some_and(is_hidden))
    }

    /// Entries for all who see the case, and how many are not.
    pub(super) fn open_entries(&self) -> (impl Iterator<Item = &Action>, usize) {
        let is_open = |entry: &&Action| entry.tier == Tier::Normal;
        (self.entries.iter().filter(is_open), self.entries.iter().filter(|entry| !is_open(entry)).count())
    }
}

/// Who cares for a person, and who lives with her.
fn family(tables: &Tables, person: RecordId, sees: &dyn Fn(RecordId) -> bool) -> (Vec<String>, Vec<String>) {
    let (mut carers, mut household) = (Vec::new(), Vec::new());
    for link in tables.links_of(person).filter(|link| link.ended.is_none()) {
        let is_from = tables.standing(link.from.id) == person;
        let other = tables.standing(if is_from { link.to.id } else { link.from.id });
        let Some(row) = tables.persons.get(&other).filter(|_| sees(other)) else { continue };
        let named = match is_from {
            true => format!("{} ({})", row.name, link.relation.label),
            false => row.name.clone(),
        };
        if link.is_caregiver && is_from {
            carers.push(named.clone());
        }
        if link.lives_together.value() == Some(&true) {
            household.push(named);
        }
    }
    carers.extend(tables.entries.carers_of(&tables.records_of(person)).map(str::to_owned));
    (carers, household)
}

/// The fields of a template that a permit covers and that are known.
pub(super) fn fields(
    tables: &Tables,
    (person, case): (&Person, &Case),
    held: &Holdings,
    permit: &Permit,
    template: Template,
    sees: &dyn Fn(RecordId) -> bool,
) -> Result<Vec<SharedField>, DeskError> {
    let text = |state: &FieldState<String>| state.value().cloned();
    let code = |state: &FieldState<Code>| state.value().map(|code| code.label.to_string());
    let one = |value: Option<String>| value.into_iter().collect::<Vec<_>>();
    let (carers, household) = family(tables, tables.standing(person.id), sees);
    let open: Vec<Action> = held.open_entries().0.cloned().collect();
    let known: [(&str, Vec<String>); 20] = [
        ("given", one(text(&person.given))),
        ("family", one(text(&person.family))),
        ("local_name", one(text(&person.local_name))),
        ("alias", one(Some(person.alias.clone()).filter(|alias| !alias.is_empty()))),
        ("birth", one(person.birth.value().map(ToString::to_string))),
        ("sex", one(code(&person.sex))),
        ("telephone", one(text(&person.telephone))),
        ("address", one(text(&person.address))),
        ("area", one(text(&person.area))),
        ("nationality", one(code(&person.nationality))),
        ("language", one(code(&person.language))),
        ("identifier", one(text(&person.identifier))),
        ("case_type", one(code(&case.case_type))),
        ("deadline", held.deadlines()),
        ("risk", one(last_risk(&open).map(|(on, level)| format!("{} ({on})", level.label)))),
        ("caregiver", carers),
        ("household", household),
        ("claimed", held.sums(PaymentKind::Claimed)),
        ("agreed", held.sums(PaymentKind::Agreed)),
        ("recovered", held.sums(PaymentKind::Recovered)),
    ];
    let mut fields = Vec::new();
    for (field, values) in known {
        let group = template::group_of(field).ok_or(DeskError::NotFound)?;
        if !permit.covers(group) || !template.holds(group, field) {
            continue;
        }
        for value in values {
            let (field, value) = (Text::new(field).map_err(|_| DeskError::NotFound)?, Text::cut(&value));
            fields.push(SharedField { group, field, value });
        }
    }
    Ok(fields)
}
