//! Cases: opening, changing, money, who is responsible.

use super::access::is_barred_from;
use super::entries::TEXT_BYTES_MAX;
use super::people::{Problems, alerts_of};
use super::standing::{before_closing, journey_of, measures_of, risk_of};
use super::tasks::{NewTask, add_task, hand_over_tasks};
use super::{
    CaseSummary, CaseView, ClientView, CodeView, ConsentView, Desk, DeskError, Field, HandedView, PaymentView,
};
use crate::index::{CaseRow, Tables};
use crate::policy::{Ask, Relation};
use crate::records::{
    Action, Case, CaseState, Counters, Document, Payment, PaymentKind, Person, PersonRef, SETTINGS_ID, Settings, Staff,
    Task, TaskKind, TaskState, TaskTitle,
};
use crate::vault::{Record, Sealed, Tx};
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{Code, Currency, FieldState, Money};
use casemesh_protocol::time::Day;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A case as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaseInput {
    /// Code of the list `case_type`; empty when not yet known.
    pub case_type: String,
    /// Where the matter is dealt with: code of the list `forum`; may be empty.
    pub forum: String,
    /// How the client came to us: code of the list `case_source`; may be empty.
    pub source: String,
    /// In the worker's words.
    pub summary: String,
    /// What is to be done next.
    pub next_action: String,
    /// Until when.
    pub next_due: String,
    /// Only for who is assigned.
    pub sealed: bool,
    /// A mediation: the office takes no side.
    pub mediation: bool,
    /// The day on the paper, where it is opened later; today when empty.
    pub opened: String,
    /// The name of the other side, for the check that nobody is on both.
    pub other_party: String,
    /// Whether the case is opened although somebody has the name of a party.
    pub despite_conflict: bool,
}

/// What a case is, as changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaseChange {
    /// The revision that was read.
    pub revision: u64,
    /// Code of the list `case_type`; empty when not yet known.
    pub case_type: String,
    /// Where the matter is dealt with: code of the list `forum`; may be empty.
    pub forum: String,
    /// How the client came to us: code of the list `case_source`; may be empty.
    pub source: String,
    /// In the worker's words.
    pub summary: String,
    /// Only for who is assigned.
    pub sealed: bool,
    /// A mediation: the office takes no side.
    pub mediation: bool,
    /// Whose case it is.
    #[schema(value_type = Vec<String>)]
    pub clients: Vec<RecordId>,
}

/// Money as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaymentInput {
    /// claimed, agreed, recovered, offered, promised, bounced, in_kind, cost or waived.
    pub kind: String,
    /// The amount, for example 1250.50.
    pub amount: String,
    /// Three letters.
    pub currency: String,
    /// When it was paid; for a promise, the day until which it is promised.
    pub paid: String,
    /// Who paid, how it was shown.
    pub note: String,
    /// The payment whose place it takes.
    pub corrects: String,
    /// Whether it says only that the one it corrects was written by mistake; all but the note is empty then.
    pub void: bool,
}

/// Which cases to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CaseFilter {
    /// Closed ones too.
    pub closed: bool,
    /// Only mine.
    pub mine: bool,
    /// Only those in which nothing happened for long.
    pub stale: bool,
    /// Only those that nobody is responsible for.
    pub unassigned: bool,
    /// Only those of this member of staff; empty for all.
    pub owner: String,
    /// Only those of this type, a code of the list `case_type`; empty for all.
    pub case_type: String,
    /// The page, from 0.
    pub page: usize,
}

/// Longest name of a party.
const PARTY_BYTES_MAX: usize = 400;
/// Clients of one case.
const CLIENTS_MAX: usize = 50;
/// Rows of a page of cases.
pub const PAGE_ROWS: usize = 25;
/// So many cases are counted and can be leafed through; who looks for one among more searches.
pub const COUNTED_MAX: usize = 1_000;

pub(super) fn parse_minutes(problems: &mut Problems, text: &str) -> Option<u16> {
    let text = crate::names::ascii_digits(text.trim());
    if text.is_empty() {
        return None;
    }
    let minutes = text.parse().ok().filter(|minutes| *minutes <= 1440);
    if minutes.is_none() {
        problems.with("minutes", "not-minutes", &text);
    }
    minutes
}

/// What is to be done next, as a task.
pub(super) fn parse_next(problems: &mut Problems, text: &str, due: &str) -> Option<NewTask> {
    let (text, due) = (problems.text("next_action", text, 400), problems.day("next_due", due));
    match (text.is_empty(), due) {
        (true, None) => None,
        (false, Some(due)) => Some(NewTask { kind: TaskKind::ToDo, title: TaskTitle::Words(text), due }),
        (false, None) => {
            problems.add("next_due", "due-needed");
            None
        }
        (true, Some(_)) => {
            problems.add("next_action", "required");
            None
        }
    }
}

/// The next case number of the office in a year: a keyed permutation of the count, so that a gap between two numbers
/// says nothing about cases that somebody may not see.
pub(super) fn next_number(tx: &mut Tx<'_>, day: Day) -> Result<String, DeskError> {
    let code = tx.get::<Settings>(Settings::TOP, SETTINGS_ID)?.ok_or(DeskError::NotFound)?.record.code;
    let mut sealed = tx.get::<Counters>(Counters::TOP, SETTINGS_ID)?.ok_or(DeskError::NotFound)?;
    let counters = &mut sealed.record.case_numbers;
    let count = match counters.iter_mut().find(|(year, _)| *year == day.year()) {
        Some((_, count)) => {
            *count += 1;
            *count
        }
        None => {
            counters.push((day.year(), 1));
            1
        }
    };
    tx.update(&sealed.record, sealed.revision)?;
    let number = crate::numbers::scatter(&tx.subkey("case-numbers"), day.year(), count);
    Ok(format!("{code}-{}-{number:04}", day.year()))
}

impl Desk {
    /// Opens a case for persons.
    ///
    /// # Errors
    /// When fields are wrong or a person does not exist.
    pub fn open_case(&self, clients: Vec<RecordId>, input: CaseInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::OpenCase)?;
        let mut problems = self.problems();
        let case_type = problems.optional_code("case_type", "case_type", &input.case_type);
        let forum = problems.optional_code("forum", "forum", &input.forum);
        let source = problems.optional_code("source", "case_source", &input.source);
        let summary = problems.text("summary", &input.summary, TEXT_BYTES_MAX);
        let next_action = parse_next(&mut problems, &input.next_action, &input.next_due);
        let opened = problems.day("opened", &input.opened);
        if opened.is_some_and(|opened| opened > self.today()) {
            problems.add("opened", "in-the-future");
        }
        let other_party = problems.text("other_party", &input.other_party, PARTY_BYTES_MAX);
        let owner = self.opener();
        if input.sealed && owner.is_none() {
            problems.add("sealed", "seal-needs-owner");
        }
        if clients.is_empty() {
            problems.add("clients", "client-needed");
        }
        clients.iter().try_for_each(|client| self.visible_person(*client))?;
        let conflicts = self.conflicts_before(&clients, &other_party);
        if !input.despite_conflict {
            for conflict in conflicts {
                let with = if conflict.number.is_empty() { conflict.name } else { conflict.number };
                problems.with("other_party", "conflict-found", format!("{} – {with}", conflict.party));
            }
        }
        problems.done()?;
        self.write("open_case", move |tx| {
            let references = references(tx, &clients)?;
            let case = new_case(
                tx,
                references.clone(),
                NewCase { case_type, forum, source, summary, next: next_action, owner, opened, input },
            )?;
            if !other_party.is_empty() {
                let on = opened.map_or_else(|| super::today(tx), Ok)?;
                let party = Action::party(tx.fresh_id(), case, keys(&references), &other_party, on, tx.now());
                let party = party.ok_or(DeskError::NotFound)?;
                tx.insert(&Action { by: tx.staff(), ..party })?;
            }
            Ok(case)
        })
    }

    /// Who is responsible for a case that this account opens: itself, if it works with cases.
    pub(super) fn opener(&self) -> Option<StaffId> {
        let works = self.may(Ask::SeeCase(Relation { assigned: true, ..Relation::default() }));
        works.then_some(self.actor.staff)
    }

    /// Changes what a case is and whose. Who may see it is changed by those who assign cases.
    ///
    /// # Errors
    /// When fields are wrong, somebody else changed the case meanwhile, or this account may not.
    pub fn change_case_details(&self, case: RecordId, input: &CaseChange) -> Result<(), DeskError> {
        let relation = self.may_in_case(case, Ask::WriteCase)?;
        let mut problems = self.problems();
        let case_type = problems.optional_code("case_type", "case_type", &input.case_type);
        let forum = problems.optional_code("forum", "forum", &input.forum);
        let source = problems.optional_code("source", "case_source", &input.source);
        let summary = problems.text("summary", &input.summary, TEXT_BYTES_MAX);
        let before = self.visible_case(case)?.record;
        // A person whose record was merged into another's stays in the case under the record that stands there.
        let (mut clients, referred): (Vec<RecordId>, Vec<RecordId>) = {
            let tables = self.office.index.read();
            let held = |client: &RecordId| {
                let mut known = before.clients.iter().map(|known| known.id);
                known.find(|known| known == client || tables.standing(*known) == *client).unwrap_or(*client)
            };
            let referrals = tables.referrals.values().filter(|referral| referral.case == Some(case));
            let referred = referrals.filter_map(|referral| referral.client).map(|client| tables.standing(client));
            (input.clients.iter().map(held).collect(), referred.collect())
        };
        clients.sort_unstable();
        clients.dedup();
        if clients.is_empty() {
            problems.add("clients", "client-needed");
        }
        if clients.len() > CLIENTS_MAX {
            problems.with("clients", "too-many-links", CLIENTS_MAX);
        }
        let known = |client: &RecordId| before.clients.iter().any(|known| known.id == *client);
        clients.iter().filter(|client| !known(client)).try_for_each(|client| self.visible_person(*client))?;
        let stand: Vec<RecordId> = {
            let tables = self.office.index.read();
            clients.iter().map(|client| tables.standing(*client)).collect()
        };
        if referred.iter().any(|client| !stand.contains(client)) {
            problems.add("clients", "client-was-referred");
        }
        if input.sealed != before.sealed {
            self.allow(Ask::AssignCase(relation))?;
            if before.owner.is_none() {
                problems.add("sealed", "seal-needs-owner");
            }
        }
        problems.done()?;
        let (desk, input) = (self.clone(), input.clone());
        self.change_case("change_case", case, Ask::WriteCase, move |tx, case, revision| {
            if revision != input.revision {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            let added = references(tx, &clients)?;
            let works_on_it: Vec<StaffId> = case.owner.into_iter().chain(case.assigned.iter().copied()).collect();
            for staff in &works_on_it {
                if is_barred_from(tx, &desk.all_records(&added), *staff)? {
                    return Err(DeskError::Invalid(vec![super::FieldProblem::new("clients", "owner-does-not-see")]));
                }
            }
            // What was written is about those whose case it is now, and lives as long as their keys.
            if keys(&added) != keys(&case.clients) {
                rekey(tx, case.id, &keys(&added))?;
            }
            if input.sealed && !case.sealed {
                hand_over_hidden_tasks(tx, case, &works_on_it)?;
            }
            // What is only unknown, refused or unsure stays so until a type is chosen.
            match case_type {
                Some(code) => case.case_type = FieldState::Known(code),
                None if case.case_type.value().is_some() => case.case_type = FieldState::NotAsked,
                None => {}
            }
            case.summary = summary;
            case.sealed = input.sealed;
            case.mediation = input.mediation;
            (case.forum, case.source) = (forum, source);
            case.clients = added;
            Ok(())
        })
    }

    /// A page of cases that this account may see, last touched first, and how many there are, counted to
    /// [`COUNTED_MAX`].
    ///
    /// # Errors
    /// When the account may see no cases at all.
    pub fn cases(&self, filter: &CaseFilter) -> Result<(Vec<CaseSummary>, usize), DeskError> {
        self.allow(Ask::People)?;
        self.note_act("view_cases");
        let tables = self.office.index.read();
        let (me, now) = (Some(self.actor.staff), self.now());
        let owner: Option<StaffId> = filter.owner.parse().ok();
        let rows = tables
            .latest_cases(filter.closed)
            .filter(|case| filter.owner.is_empty() || (owner.is_some() && case.owner == owner))
            .filter(|case| {
                filter.case_type.is_empty()
                    || case.case_type.as_ref().is_some_and(|code| code.code.as_str() == filter.case_type)
            })
            .filter(|case| self.sees(&tables, case))
            .filter(|case| !filter.mine || case.owner == me)
            .filter(|case| !filter.unassigned || case.owner.is_none())
            .filter(|case| !filter.stale || case.is_stale(now));
        let first = filter.page.saturating_mul(PAGE_ROWS);
        let (mut page, mut total) = (Vec::with_capacity(PAGE_ROWS), 0);
        for case in rows.take(COUNTED_MAX) {
            if total >= first && page.len() < PAGE_ROWS {
                page.push(self.summary(&tables, case));
            }
            total += 1;
        }
        Ok((page, total))
    }

    /// A case.
    ///
    /// # Errors
    /// When there is none that this account may see.
    pub fn case(&self, id: RecordId) -> Result<CaseView, DeskError> {
        let sealed = self.visible_case(id)?;
        self.note("view_case", id);
        let case = sealed.record;
        let actions = self.case_entries(id)?;
        let documents = self.documents(id)?;
        let payments = self.office.vault.list::<Payment>(id)?;
        let mut clients = Vec::new();
        for client in &case.clients {
            let (standing, members, alerts, contact_confirmed) = {
                let tables = self.office.index.read();
                let standing = tables.standing(client.id);
                let confirmed = tables.entries.last_confirmed(&tables.records_of(standing), "contact");
                (standing, tables.members_of(standing), alerts_of(&tables, standing), confirmed)
            };
            if let Some(person) = self.office.vault.get::<Person>(Person::TOP, standing)? {
                clients.push(ClientView {
                    id: standing,
                    members,
                    name: person.record.display_name(),
                    telephone: Field::text(&person.record.telephone),
                    safe_contact: person.record.safe_contact,
                    alerts,
                    contact_confirmed,
                });
            }
        }
        let no_money = standing_payments(payments.clone()).is_empty();
        let corrected: Vec<RecordId> = payments.iter().filter_map(|payment| payment.record.corrects).collect();
        let tables = self.office.index.read();
        let row = tables.cases.get(&id).ok_or(DeskError::NotFound)?;
        let relation = self.relation_in(&tables, row);
        let referrals = tables
            .referrals
            .values()
            .rev()
            .filter(|referral| referral.case == Some(id))
            .map(|referral| self.referral_summary(&tables, referral))
            .collect();
        let consents: Vec<ConsentView> =
            case.clients.iter().flat_map(|client| self.consents_of(&tables, client.id)).collect();
        Ok(CaseView {
            risk: risk_of(&actions),
            measures: measures_of(&actions),
            journey: journey_of(&actions),
            before_closing: before_closing(&actions, no_money, &consents),
            summary: self.summary(&tables, row),
            revision: sealed.revision,
            text: case.summary,
            clients,
            actions,
            tasks: self.tasks_of(&tables, id),
            conflicts: self.conflicts(&tables, id),
            payments: payments
                .into_iter()
                .map(|sealed| PaymentView {
                    id: sealed.record.id,
                    corrected: corrected.contains(&sealed.record.id),
                    corrects: sealed.record.corrects,
                    void: sealed.record.void,
                    kind: sealed.record.kind,
                    amount: sealed.record.money.amount(),
                    currency: sealed.record.money.currency.to_string(),
                    paid: sealed.record.paid,
                    note: sealed.record.note,
                    recovered_here: sealed.record.recovered_here,
                    by: self.staff_name(&tables, sealed.record.by),
                })
                .collect(),
            referrals,
            consents,
            closed: case.closed.as_ref().map(|closure| closure.on),
            closure_reason: case.closed.as_ref().map(|closure| CodeView::from(&closure.reason)),
            level_of_help: case.closed.and_then(|closure| closure.help).as_ref().map(CodeView::from),
            forum: case.forum.as_ref().map(CodeView::from),
            source: case.source.as_ref().map(CodeView::from),
            rest_reason: case.rest.as_ref().and_then(|rest| rest.reason.as_ref()).map(CodeView::from),
            rest_until: case.rest.as_ref().and_then(|rest| rest.until),
            sealed: case.sealed,
            facts: case.facts.iter().map(CodeView::from).collect(),
            may_write: self.may(Ask::WriteCase(relation)),
            may_note: self.may(Ask::NoteInCase(relation)),
            may_assign: self.may(Ask::AssignCase(relation)),
            sees_tiers: self.may(Ask::SeeTiers(relation)),
            assigned: case.assigned.iter().map(|staff| (*staff, self.staff_name(&tables, Some(*staff)))).collect(),
            emergency_until: tables.glass_until(self.actor.staff, id, self.now()),
            requests: self.requests_of(&tables, id),
            documents,
            mediation: case.mediation,
            linked: self.linked(&tables, &case.linked),
            grants: case.grants.clone(),
            handed: case.handed.map(|handed| HandedView {
                referral: handed.referral,
                name: handed.name,
                at: handed.at,
            }),
            epoch: case.epoch,
        })
    }

    /// Writes an amount of money.
    ///
    /// # Errors
    /// When fields are wrong or this account may not write in the case.
    pub fn add_payment(&self, case: RecordId, input: PaymentInput) -> Result<RecordId, DeskError> {
        self.may_in_case(case, Ask::WriteCase)?;
        let corrects = match input.corrects.as_str() {
            "" => None,
            id => Some(id.parse::<RecordId>().map_err(|_| DeskError::NotFound)?),
        };
        if let (true, Some(corrected)) = (input.void, corrects) {
            return self.void_payment(case, corrected, &input.note);
        }
        let mut problems = self.problems();
        let kind: Option<PaymentKind> = problems.word("kind", &input.kind);
        let currency: Option<Currency> = problems.word("currency", &input.currency);
        let amount = crate::names::ascii_digits(&input.amount);
        let money = currency.and_then(|currency| match Money::parse(&amount, currency) {
            Ok(money) if money.minor > 0 => Some(money),
            _ => {
                problems.with("amount", "not-an-amount", &input.amount);
                None
            }
        });
        let paid = problems.day("paid", &input.paid);
        if kind == Some(PaymentKind::Recovered) && paid.is_none() && input.paid.trim().is_empty() {
            problems.add("paid", "paid-needed");
        }
        let is_promise = kind == Some(PaymentKind::Promised);
        if paid.is_some_and(|paid| paid > self.today()) && !is_promise {
            problems.add("paid", "in-the-future");
        }
        let note = problems.text("note", &input.note, 4_000);
        problems.done()?;
        let (Some(kind), Some(money)) = (kind, money) else { return Err(DeskError::NotFound) };
        self.write_in_case("add_payment", case, move |tx, case| {
            let payment = Payment {
                id: tx.fresh_id(),
                case: case.id,
                subjects: keys(&case.clients),
                kind,
                money,
                paid,
                note,
                recovered_here: true,
                by: tx.staff(),
                at: tx.now(),
                corrects,
                void: false,
            };
            correct_payment(tx, &payment)?;
            tx.insert(&payment)?;
            if let Some(due) = paid.filter(|_| is_promise) {
                let task = NewTask { kind: TaskKind::FollowUp, title: TaskTitle::Form("promise".into()), due };
                add_task(tx, Some(case.id), &payment.subjects, task, case.owner, Some(payment.id))?;
            }
            Ok(payment.id)
        })
    }

    /// Says that a payment was written by mistake. It stays to be seen, and counts nowhere.
    fn void_payment(&self, case: RecordId, corrected: RecordId, note: &str) -> Result<RecordId, DeskError> {
        let mut problems = self.problems();
        let note = problems.required_text("note", note, 4_000);
        problems.done()?;
        self.write_in_case("void_payment", case, move |tx, case| {
            let earlier = tx.get::<Payment>(case.id, corrected)?.ok_or(DeskError::NotFound)?.record;
            let (by, at) = (tx.staff(), tx.now());
            let payment = Payment { id: tx.fresh_id(), corrects: Some(corrected), void: true, note, by, at, ..earlier };
            correct_payment(tx, &payment)?;
            tx.insert(&payment)?;
            Ok(payment.id)
        })
    }

    /// Makes somebody responsible for a case; open tasks of the one before go along.
    ///
    /// # Errors
    /// When there is no such account in use, or this account may not write in the case.
    pub fn assign_case(&self, case: RecordId, owner: StaffId) -> Result<(), DeskError> {
        let relation = self.may_in_case(case, Ask::AssignCase)?;
        self.case_staff(owner)?;
        let desk = self.clone();
        self.assign_in_case("assign_case", case, move |tx, case| {
            if owner == desk.actor.staff {
                desk.may_take(relation, case.owner)?;
            }
            if is_barred_from(tx, &desk.all_records(&case.clients), owner)? {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("owner", "owner-does-not-see")]));
            }
            let before = case.owner.replace(owner);
            hand_over_tasks(tx, case, before, Some(owner))
        })
    }

    /// Hands all open cases, tasks and places as a helper of one member of staff to another: who leaves leaves nothing
    /// behind. A case for that one alone goes as well, but never to the one who hands over: a supervisor does not come to see it that way.
    ///
    /// # Errors
    /// When the account may not, or one of the accounts does not exist.
    pub fn hand_over(&self, from: StaffId, to: StaffId) -> Result<(), DeskError> {
        self.allow(Ask::HandOver)?;
        self.case_staff(to)?;
        let takes_over = to == self.actor.staff;
        if takes_over && self.active_staff(from).is_ok() && from != to {
            return Err(DeskError::Invalid(vec![super::FieldProblem::new("owner", "not-by-oneself")]));
        }
        let (cases, tasks): (Vec<RecordId>, Vec<(RecordId, RecordId)>) = {
            let tables = self.office.index.read();
            let works = |case: &CaseRow| case.owner == Some(from) || case.assigned.contains(&from);
            let theirs = tables.cases.values().filter(|case| works(case) && case.state.is_open());
            let tasks = tables.tasks.values().filter(|task| task.owner == Some(from) && task.state == TaskState::Open);
            let tasks = tasks.map(|task| (task.case.unwrap_or(Task::TOP), task.id)).collect();
            (theirs.map(|case| case.id).collect(), tasks)
        };
        for case in cases {
            let desk = self.clone();
            self.write("hand_over", move |tx| {
                let Some(mut sealed) = tx.get::<Case>(Case::TOP, case)? else { return Ok::<(), DeskError>(()) };
                let case = &mut sealed.record;
                if !case.state.is_open() || desk.is_shut_to_either(tx, case, to)? || (case.sealed && takes_over) {
                    return Ok(());
                }
                // Nobody makes themself the helper of a case while its owner works here.
                let relation = desk.relation_at(tx, case)?;
                let owner = case.owner.filter(|owner| *owner != from);
                let helps = !takes_over || desk.may_take(relation, owner).is_ok();
                if case.owner == Some(from) {
                    case.owner = Some(to);
                } else if !case.assigned.contains(&from) || !helps {
                    return Ok(());
                }
                if case.assigned.contains(&from) && helps {
                    let owner = case.owner;
                    case.assigned.retain(|helper| *helper != from && *helper != to);
                    case.assigned.extend((owner != Some(to)).then_some(to));
                }
                tx.about(sealed.record.id);
                Ok(tx.update(&sealed.record, sealed.revision)?)
            })?;
        }
        for (parent, task) in tasks {
            let desk = self.clone();
            self.write("hand_over", move |tx| {
                let Some(mut sealed) = tx.get::<Task>(parent, task)? else { return Ok::<(), DeskError>(()) };
                let case = tx.get::<Case>(Case::TOP, parent)?.map(|case| case.record);
                let is_shut = case.as_ref().map_or(Ok(false), |case| desk.is_shut_to_either(tx, case, to))?;
                let is_hidden = case.is_some_and(|case| case.sealed);
                let is_theirs = sealed.record.owner == Some(from) && sealed.record.state == TaskState::Open;
                if !is_theirs || is_shut || (is_hidden && takes_over) {
                    return Ok(());
                }
                sealed.record.owner = Some(to);
                Ok(tx.update(&sealed.record, sealed.revision)?)
            })?;
        }
        Ok(())
    }

    /// Whether a conflict list shuts a case to the one who hands over or to the one who would get it: neither moves what
    /// they may not know of.
    fn is_shut_to_either(&self, tx: &Tx<'_>, case: &Case, to: StaffId) -> Result<bool, DeskError> {
        let records = self.all_records(&case.clients);
        Ok(is_barred_from(tx, &records, to)? || is_barred_from(tx, &records, self.actor.staff)?)
    }

    /// That an account is in use.
    pub(super) fn active_staff(&self, staff: StaffId) -> Result<(), DeskError> {
        self.staff_who(staff, |_| true)
    }

    /// That an account is in use and works with cases: nobody else is responsible for one.
    pub(super) fn case_staff(&self, staff: StaffId) -> Result<(), DeskError> {
        self.staff_who(staff, works)
    }

    fn staff_who(&self, staff: StaffId, holds: impl Fn(&Staff) -> bool) -> Result<(), DeskError> {
        let tables = self.office.index.read();
        let known = tables.staff.get(&staff).is_some_and(|member| member.is_in_use(self.now()) && holds(member));
        if known { Ok(()) } else { Err(DeskError::Invalid(vec![super::FieldProblem::new("owner", "unknown-value")])) }
    }

    /// Whom a case or a task can be given to.
    pub fn colleagues(&self) -> Vec<(StaffId, String)> {
        self.colleagues_in(&self.office.index.read())
    }

    /// All other accounts in use.
    pub fn everybody_else(&self) -> Vec<(StaffId, String)> {
        let (me, now) = (self.actor.staff, self.now());
        let tables = self.office.index.read();
        let others = tables.staff.values().filter(|member| member.id != me && member.is_in_use(now));
        others.map(|member| (member.id, member.name.clone())).collect()
    }

    pub(super) fn colleagues_in(&self, tables: &Tables) -> Vec<(StaffId, String)> {
        let works = |member: &&Staff| member.is_in_use(self.now()) && works(member);
        tables.staff.values().filter(works).map(|member| (member.id, member.name.clone())).collect()
    }

    /// Changes a case: the policy is asked again where nothing can come between the answer and the effect.
    pub(super) fn write_in_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        change: impl FnOnce(&mut Tx<'_>, &mut Case) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.change_case(action, case, Ask::WriteCase, |tx, case, _| change(tx, case))
    }

    /// Writes down in a case what was done.
    pub(super) fn note_in_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        change: impl FnOnce(&mut Tx<'_>, &mut Case) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.change_case(action, case, Ask::NoteInCase, |tx, case, _| change(tx, case))
    }

    /// Changes who works on a case or may see it.
    pub(super) fn assign_in_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        change: impl FnOnce(&mut Tx<'_>, &mut Case) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.change_case(action, case, Ask::AssignCase, |tx, case, _| change(tx, case))
    }

    fn change_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        needed: fn(Relation) -> Ask,
        change: impl FnOnce(&mut Tx<'_>, &mut Case, u64) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.may_in_case(case, needed)?;
        let desk = self.clone();
        self.write(action, move |tx| {
            let mut sealed = tx.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?;
            let relation = desk.relation_at(tx, &sealed.record)?;
            desk.actor.may(needed(relation))?;
            let value = change(tx, &mut sealed.record, sealed.revision)?;
            sealed.record.last_activity = tx.now();
            sealed.record.last_by = tx.staff();
            if sealed.record.state == CaseState::Opened {
                sealed.record.state = CaseState::InProgress;
            }
            tx.about(case);
            tx.update(&sealed.record, sealed.revision)?;
            Ok(value)
        })
    }

    pub(super) fn cases_of<'t>(&self, tables: &'t Tables, person: RecordId) -> Vec<&'t CaseRow> {
        tables.all_cases_of(person).filter(|case| self.sees(tables, case)).collect()
    }

    pub(super) fn summary(&self, tables: &Tables, case: &CaseRow) -> CaseSummary {
        let names: Vec<&str> = case
            .clients
            .iter()
            .filter_map(|id| tables.persons.get(&tables.standing(*id)))
            .map(|person| person.name.as_str())
            .collect();
        let next = tables.open_tasks_of(case.id).next();
        CaseSummary {
            id: case.id,
            number: case.number.to_string(),
            client: names.join(", "),
            case_type: case.case_type.as_deref().map(CodeView::from),
            state: case.state,
            opened: case.opened,
            owner: case.owner.map(|owner| self.staff_name(tables, Some(owner))),
            last_activity: case.last_activity,
            next_action: next.map(|task| task.title.clone()),
            next_due: next.map(|task| task.due),
            stale: case.is_stale(self.now()),
        }
    }

    pub(super) fn staff_name(&self, tables: &Tables, staff: Option<StaffId>) -> String {
        staff.and_then(|staff| tables.staff.get(&staff)).map(|member| member.name.clone()).unwrap_or_default()
    }
}

/// Whether somebody works with cases: others are never responsible for one.
fn works(member: &Staff) -> bool {
    use crate::records::StaffRole::{Caseworker, Supervisor, Volunteer};
    member.roles.iter().any(|role| matches!(role, Caseworker | Supervisor | Volunteer))
}

/// How other records point to persons, inside a command.
fn references(tx: &Tx<'_>, clients: &[RecordId]) -> Result<Vec<PersonRef>, DeskError> {
    let reference = |client: &RecordId| -> Result<PersonRef, DeskError> {
        Ok(tx.get::<Person>(Person::TOP, *client)?.ok_or(DeskError::NotFound)?.record.reference())
    };
    clients.iter().map(reference).collect()
}

/// Puts what was written in a case under other keys.
fn rekey(tx: &mut Tx<'_>, case: RecordId, keys: &[KeyHandle]) -> Result<(), DeskError> {
    for mut sealed in tx.list::<Action>(case)? {
        sealed.record.subjects = keys.to_vec();
        tx.update(&sealed.record, sealed.revision)?;
    }
    for mut sealed in tx.list::<Task>(case)? {
        sealed.record.subjects = keys.to_vec();
        tx.update(&sealed.record, sealed.revision)?;
    }
    for mut sealed in tx.list::<Payment>(case)? {
        sealed.record.subjects = keys.to_vec();
        tx.update(&sealed.record, sealed.revision)?;
    }
    for mut sealed in tx.list::<Document>(case)? {
        sealed.record.subjects = keys.to_vec();
        tx.update(&sealed.record, sealed.revision)?;
    }
    Ok(())
}

/// Gives the open tasks of those who do not see a case any more to its owner.
fn hand_over_hidden_tasks(tx: &mut Tx<'_>, case: &Case, works_on_it: &[StaffId]) -> Result<(), DeskError> {
    for mut sealed in tx.list::<Task>(case.id)? {
        let task = &mut sealed.record;
        if task.state == TaskState::Open && task.owner.is_some_and(|owner| !works_on_it.contains(&owner)) {
            task.owner = case.owner;
            tx.update(&sealed.record, sealed.revision)?;
        }
    }
    Ok(())
}

/// Takes the place of the payment that another one corrects: none is corrected twice, and what it led to is settled.
fn correct_payment(tx: &mut Tx<'_>, payment: &Payment) -> Result<(), DeskError> {
    let Some(corrected) = payment.corrects else { return Ok(()) };
    let payments = tx.list::<Payment>(payment.case)?;
    let earlier = payments.iter().find(|earlier| earlier.record.id == corrected).ok_or(DeskError::NotFound)?;
    if !earlier.record.recovered_here {
        return Err(DeskError::Invalid(vec![super::FieldProblem::new("corrects", "payment-of-partner")]));
    }
    if payments.iter().any(|other| other.record.corrects == Some(corrected)) {
        return Err(crate::vault::VaultError::Conflict.into());
    }
    super::tasks::settle_from(tx, payment.case, corrected)
}

/// The payments that stand: neither corrected nor written by mistake.
pub(super) fn standing_payments(payments: Vec<Sealed<Payment>>) -> Vec<Payment> {
    let corrected: Vec<RecordId> = payments.iter().filter_map(|payment| payment.record.corrects).collect();
    let payments = payments.into_iter().map(|payment| payment.record);
    payments.filter(|payment| !payment.void && !corrected.contains(&payment.id)).collect()
}

/// So many cases from a place on, last touched first. Only those up to there are put in order.
pub(super) fn latest(mut rows: Vec<&CaseRow>, skip: usize, take: usize) -> Vec<&CaseRow> {
    let order = |case: &&CaseRow| std::cmp::Reverse((case.last_activity, case.id));
    let end = skip.saturating_add(take);
    if end < rows.len() {
        rows.select_nth_unstable_by_key(end, order);
        rows.truncate(end);
    }
    rows.sort_unstable_by_key(order);
    rows.split_off(skip.min(rows.len()))
}

/// The keys of a case's clients.
pub(super) fn keys(clients: &[PersonRef]) -> Vec<KeyHandle> {
    clients.iter().map(|client| client.key).collect()
}

/// A case that was checked.
#[derive(Default)]
pub(super) struct NewCase {
    pub(super) case_type: Option<Code>,
    pub(super) forum: Option<Code>,
    pub(super) source: Option<Code>,
    pub(super) summary: String,
    pub(super) next: Option<NewTask>,
    /// Who is responsible; nobody where an intake desk opens it, until a supervisor gives it to somebody.
    pub(super) owner: Option<StaffId>,
    /// The day on the paper; today when none.
    pub(super) opened: Option<Day>,
    pub(super) input: CaseInput,
}

/// Makes a case inside a command.
pub(super) fn new_case(tx: &mut Tx<'_>, clients: Vec<PersonRef>, new: NewCase) -> Result<RecordId, DeskError> {
    let NewCase { case_type, forum, source, summary, next, owner, opened, input } = new;
    let opened = opened.map_or_else(|| super::today(tx), Ok)?;
    let number = next_number(tx, opened)?;
    let case = Case {
        id: tx.fresh_id(),
        number,
        clients,
        case_type: case_type.map_or(FieldState::NotAsked, FieldState::Known),
        summary,
        state: CaseState::Opened,
        opened,
        closed: None,
        owner,
        assigned: Vec::new(),
        sealed: input.sealed,
        last_activity: tx.now(),
        from_referral: None,
        facts: Vec::new(),
        import: None,
        made_by: tx.staff(),
        linked: Vec::new(),
        mediation: input.mediation,
        grants: Vec::new(),
        last_by: tx.staff(),
        forum,
        source,
        rest: None,
        epoch: 0,
        handed: None,
    };
    tx.insert(&case)?;
    if let Some(next) = next {
        add_task(tx, Some(case.id), &keys(&case.clients), next, case.owner, None)?;
    }
    tx.about(case.id);
    Ok(case.id)
}
