//! Cases: opening, writing, money, closing.

use super::access::is_barred_from;
use super::entries::TEXT_BYTES_MAX;
use super::people::{Problems, alerts_of};
use super::requests::ask;
use super::tasks::{NewTask, add_task, hand_over_tasks};
use super::{CaseSummary, CaseView, ClientView, CodeView, Desk, DeskError, Field, PaymentView};
use crate::index::{CaseRow, Tables};
use crate::policy::{Ask, Relation};
use crate::records::{
    Asked, Case, CaseState, Closure, Payment, PaymentKind, Person, PersonRef, SETTINGS_ID, Settings, Task, TaskKind,
    TaskState, TaskTitle,
};
use crate::vault::{Record, Tx};
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{Code, Currency, FieldState, Money};
use casemesh_protocol::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A case as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaseInput {
    /// Code of the list `case_type`; empty when not yet known.
    pub case_type: String,
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
}

/// Money as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaymentInput {
    /// claimed, agreed or recovered.
    pub kind: String,
    /// The amount, for example 1250.50.
    pub amount: String,
    /// Three letters.
    pub currency: String,
    /// When it was paid.
    pub paid: String,
    /// Who paid, how it was shown.
    pub note: String,
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
    /// The page, from 0.
    pub page: usize,
}

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
    let mut sealed = tx.get::<Settings>(Settings::TOP, SETTINGS_ID)?.ok_or(DeskError::NotFound)?;
    let settings = &mut sealed.record;
    let count = match settings.case_numbers.iter_mut().find(|(year, _)| *year == day.year()) {
        Some((_, count)) => {
            *count += 1;
            *count
        }
        None => {
            settings.case_numbers.push((day.year(), 1));
            1
        }
    };
    let number = crate::numbers::scatter(&tx.subkey("case-numbers"), day.year(), count);
    let number = format!("{}-{}-{number:04}", settings.code, day.year());
    tx.update(&sealed.record, sealed.revision)?;
    Ok(number)
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
        let summary = problems.text("summary", &input.summary, TEXT_BYTES_MAX);
        let next_action = parse_next(&mut problems, &input.next_action, &input.next_due);
        if clients.is_empty() {
            problems.add("clients", "client-needed");
        }
        problems.done()?;
        clients.iter().try_for_each(|client| self.visible_person(*client))?;
        self.write("open_case", move |tx| {
            let mut references = Vec::with_capacity(clients.len());
            for client in &clients {
                references.push(tx.get::<Person>(Person::TOP, *client)?.ok_or(DeskError::NotFound)?.record.reference());
            }
            new_case(tx, references, case_type, summary, next_action, &input)
        })
    }

    /// A page of cases that this account may see, last touched first, and how many there are, counted to
    /// [`COUNTED_MAX`].
    ///
    /// # Errors
    /// When the account may see no cases at all.
    pub fn cases(&self, filter: &CaseFilter) -> Result<(Vec<CaseSummary>, usize), DeskError> {
        self.allow(Ask::People)?;
        let tables = self.office.index.read();
        let (me, now) = (Some(self.actor.staff), self.now());
        let rows = tables
            .latest_cases(filter.closed)
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
            let (standing, members, alerts) = {
                let tables = self.office.index.read();
                let standing = tables.standing(client.id);
                (standing, tables.members_of(standing), alerts_of(&tables, standing))
            };
            if let Some(person) = self.office.vault.get::<Person>(Person::TOP, standing)? {
                clients.push(ClientView {
                    id: standing,
                    members,
                    name: person.record.display_name(),
                    telephone: Field::text(&person.record.telephone),
                    safe_contact: person.record.safe_contact,
                    alerts,
                });
            }
        }
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
        Ok(CaseView {
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
            consents: case.clients.iter().flat_map(|client| self.consents_of(&tables, client.id)).collect(),
            closed: case.closed.as_ref().map(|closure| closure.on),
            closure_reason: case.closed.as_ref().map(|closure| CodeView::from(&closure.reason)),
            sealed: case.sealed,
            facts: case.facts.iter().map(CodeView::from).collect(),
            may_write: self.may(Ask::WriteCase(relation)),
            may_assign: self.may(Ask::AssignCase(relation)),
            sees_tiers: self.may(Ask::SeeTiers(relation)),
            assigned: case.assigned.iter().map(|staff| (*staff, self.staff_name(&tables, Some(*staff)))).collect(),
            emergency_until: tables.glass_until(self.actor.staff, id, self.now()),
            requests: self.requests_of(&tables, id),
            documents,
            mediation: case.mediation,
            linked: self.linked(&tables, &case.linked),
            grants: case.grants.clone(),
        })
    }

    /// Writes an amount of money.
    ///
    /// # Errors
    /// When fields are wrong or this account may not write in the case.
    pub fn add_payment(&self, case: RecordId, input: PaymentInput) -> Result<RecordId, DeskError> {
        self.may_in_case(case, Ask::WriteCase)?;
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
        if paid.is_some_and(|paid| paid > self.now().day()) {
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
            };
            tx.insert(&payment)?;
            Ok(payment.id)
        })
    }

    /// Closes a case.
    ///
    /// # Errors
    /// When it has an open referral, or the reason is missing.
    pub fn close_case(&self, case: RecordId, reason: &str) -> Result<(), DeskError> {
        // Before anything else: what stands in the way of closing would tell of a case that is not there.
        self.may_in_case(case, Ask::WriteCase)?;
        let mut problems = self.problems();
        let reason = problems.code("reason", "closure_reason", reason);
        problems.done()?;
        self.nothing_open(case)?;
        let Some(reason) = reason else { return Err(DeskError::NotFound) };
        let asked = Asked::Close(case, reason.clone());
        let asks = self.office.settings().is_some_and(|settings| settings.approve_closure)
            && !self.may(Ask::ApproveCases)
            && self.has_approver(&asked);
        if asks {
            return self
                .write_in_case("ask_closure", case, move |tx, case| ask(tx, keys(&case.clients), asked).map(drop));
        }
        self.write_in_case("close_case", case, move |tx, case| {
            close(case, reason, tx.now());
            Ok(())
        })
    }

    /// What stands in the way of closing a case.
    pub(super) fn nothing_open(&self, case: RecordId) -> Result<(), DeskError> {
        let mut problems = self.problems();
        let tables = self.office.index.read();
        if tables.has_open_referral(case) {
            problems.add("reason", "referral-open");
        }
        if tables.open_tasks_of(case).next().is_some() {
            problems.add("reason", "task-open");
        }
        problems.done()
    }

    /// Lets a case rest, goes on with it, or opens a closed one again.
    ///
    /// # Errors
    /// When the case does not stand so that this can follow.
    pub fn set_case_state(&self, case: RecordId, state: CaseState) -> Result<(), DeskError> {
        self.write_in_case("set_case_state", case, move |_, case| {
            if !case.state.followers().contains(&state) {
                return Err(DeskError::Invalid(vec![super::FieldProblem::with("state", "state-not-now", state)]));
            }
            case.state = state;
            case.closed = None;
            Ok(())
        })
    }

    /// Makes somebody responsible for a case; open tasks of the one before go along.
    ///
    /// # Errors
    /// When there is no such account in use, or this account may not write in the case.
    pub fn assign_case(&self, case: RecordId, owner: StaffId) -> Result<(), DeskError> {
        let relation = self.may_in_case(case, Ask::AssignCase)?;
        self.active_staff(owner)?;
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

    /// Hands all open cases and tasks of one member of staff to another: who leaves leaves nothing behind. A case for
    /// that one alone goes as well, but never to the one who hands over: a supervisor does not come to see it that way.
    ///
    /// # Errors
    /// When the account may not, or one of the accounts does not exist.
    pub fn hand_over(&self, from: StaffId, to: StaffId) -> Result<(), DeskError> {
        self.allow(Ask::HandOver)?;
        self.active_staff(to)?;
        let takes_over = to == self.actor.staff;
        if takes_over && self.active_staff(from).is_ok() && from != to {
            return Err(DeskError::Invalid(vec![super::FieldProblem::new("owner", "not-by-oneself")]));
        }
        let (cases, tasks): (Vec<RecordId>, Vec<(RecordId, RecordId)>) = {
            let tables = self.office.index.read();
            let theirs = tables.cases.values().filter(|case| case.owner == Some(from) && case.state.is_open());
            let tasks = tables.tasks.values().filter(|task| task.owner == Some(from) && task.state == TaskState::Open);
            let tasks = tasks.map(|task| (task.case.unwrap_or(Task::TOP), task.id)).collect();
            (theirs.map(|case| case.id).collect(), tasks)
        };
        for case in cases {
            let desk = self.clone();
            self.write("hand_over", move |tx| {
                let Some(mut sealed) = tx.get::<Case>(Case::TOP, case)? else { return Ok::<(), DeskError>(()) };
                let stays = sealed.record.owner != Some(from) || !sealed.record.state.is_open();
                if stays || desk.is_shut_to_either(tx, &sealed.record, to)? || (sealed.record.sealed && takes_over) {
                    return Ok(());
                }
                sealed.record.owner = Some(to);
                tx.about(case);
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

    pub(super) fn active_staff(&self, staff: StaffId) -> Result<(), DeskError> {
        let tables = self.office.index.read();
        let known = tables.staff.get(&staff).is_some_and(|member| member.is_in_use(self.now()));
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
        use crate::records::StaffRole::{Caseworker, Supervisor, Volunteer};
        let works = |member: &&crate::records::Staff| {
            member.is_in_use(self.now())
                && member.roles.iter().any(|role| matches!(role, Caseworker | Supervisor | Volunteer))
        };
        tables.staff.values().filter(works).map(|member| (member.id, member.name.clone())).collect()
    }

    /// Changes a case: the policy is asked again where nothing can come between the answer and the effect.
    pub(super) fn write_in_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        change: impl FnOnce(&mut Tx<'_>, &mut Case) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.change_case(action, case, Ask::WriteCase, change)
    }

    /// Changes who works on a case or may see it.
    pub(super) fn assign_in_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        change: impl FnOnce(&mut Tx<'_>, &mut Case) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.change_case(action, case, Ask::AssignCase, change)
    }

    fn change_case<T: Send + 'static>(
        &self,
        action: &str,
        case: RecordId,
        needed: fn(Relation) -> Ask,
        change: impl FnOnce(&mut Tx<'_>, &mut Case) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, DeskError> {
        self.may_in_case(case, needed)?;
        let desk = self.clone();
        self.write(action, move |tx| {
            let mut sealed = tx.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?;
            let relation = desk.relation_at(tx, &sealed.record)?;
            desk.actor.may(needed(relation))?;
            let value = change(tx, &mut sealed.record)?;
            sealed.record.last_activity = tx.now();
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
            number: case.number.clone(),
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

/// Closes a case, inside a command.
pub(super) fn close(case: &mut Case, reason: Code, now: Timestamp) {
    case.state = CaseState::Closed;
    case.closed = Some(Closure { on: now.day(), reason });
    case.last_activity = now;
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

/// Makes a case inside a command.
pub(super) fn new_case(
    tx: &mut Tx<'_>,
    clients: Vec<PersonRef>,
    case_type: Option<Code>,
    summary: String,
    next: Option<NewTask>,
    input: &CaseInput,
) -> Result<RecordId, DeskError> {
    let opened = tx.now().day();
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
        owner: tx.staff(),
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
    };
    tx.insert(&case)?;
    if let Some(next) = next {
        add_task(tx, Some(case.id), &keys(&case.clients), next, case.owner, None)?;
    }
    tx.about(case.id);
    Ok(case.id)
}
