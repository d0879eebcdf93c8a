//! Who stands how to a case: the conflict list, and emergency access.

use super::cases::keys;
use super::requests::ask;
use super::tasks::{NewTask, add_task};
use super::{Desk, DeskError, FieldProblem, GlassView};
use crate::index::{CaseRow, Ids, Tables};
use crate::policy::{Ask, Relation};
use crate::records::{Asked, Case, Glass, Person, PersonRef, Settled, Staff, TaskKind, TaskTitle, Tier};
use crate::vault::{Record, Tx};
use casemesh_protocol::id::{RecordId, StaffId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Emergency access ends by itself after so long.
pub const GLASS_MINUTES: u64 = 60;
/// Somebody else looks at it within so many days.
const REVIEW_DAYS: i32 = 3;
/// Longest reason or finding.
const REASON_BYTES_MAX: usize = 4_000;
/// Emergency accesses that are listed.
const LISTED_MAX: usize = 100;

/// A request for emergency access.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GlassInput {
    /// The number of the case.
    pub number: String,
    /// Why it cannot wait for somebody who works on the case.
    pub reason: String,
    /// A code of one's second factor.
    pub code: String,
}

impl Desk {
    /// How this account stands to a case of the index.
    pub(super) fn relation_in(&self, tables: &Tables, case: &CaseRow) -> Relation {
        let me = self.actor.staff;
        Relation {
            assigned: case.owner == Some(me) || case.assigned.contains(&me),
            sealed: case.sealed,
            barred: tables.any_bar() && case.clients.iter().any(|client| tables.is_barred(*client, me)),
            glass: tables.any_glass() && tables.has_glass(me, case.id, self.now()),
            team: !self.team.is_empty() && {
                let mut works = case.owner.iter().chain(&case.assigned).filter_map(|staff| tables.staff.get(staff));
                works.any(|member| member.team == self.team)
            },
            unowned: case.owner.is_none(),
            handed_over: case.handed_over,
        }
    }

    /// How this account stands to a case that is about to be changed: asked where nothing can come in between.
    pub(super) fn relation_at(&self, tx: &Tx<'_>, case: &Case) -> Result<Relation, DeskError> {
        let me = self.actor.staff;
        let barred = is_barred_from(tx, &self.all_records(&case.clients), me)?;
        let mut team = false;
        for staff in case.owner.iter().chain(&case.assigned).filter(|_| !self.team.is_empty()) {
            let member = tx.get::<Staff>(Staff::TOP, RecordId::new(*staff.as_bytes()))?;
            team |= member.is_some_and(|member| member.record.team == self.team);
        }
        Ok(Relation {
            assigned: case.owner == Some(me) || case.assigned.contains(&me),
            sealed: case.sealed,
            barred,
            glass: self.office.index.read().has_glass(me, case.id, tx.now()),
            team,
            unowned: case.owner.is_none(),
            handed_over: case.handed.is_some(),
        })
    }

    pub(super) fn sees(&self, tables: &Tables, case: &CaseRow) -> bool {
        self.may(Ask::SeeCase(self.relation_in(tables, case)))
    }

    /// Whether entries of a case that are for some alone are for this account, too.
    pub(super) fn sees_tier(&self, tables: &Tables, case: &CaseRow, tier: Tier) -> bool {
        tier == Tier::Normal || self.may(Ask::SeeTiers(self.relation_in(tables, case)))
    }

    /// Whether a person exists for this account: unless all of their cases are for others alone, or this account is on
    /// their conflict list.
    pub(super) fn sees_person(&self, tables: &Tables, person: RecordId) -> bool {
        if tables.is_barred(person, self.actor.staff) {
            return false;
        }
        // Each record that has cases must be there by its own cases: a merging never opens what was shut.
        tables.records_of(person).into_iter().all(|record| {
            let of_record =
                tables.cases_of.get(&record).into_iter().flat_map(Ids::iter).filter_map(|id| tables.cases.get(id));
            let mut cases = of_record.peekable();
            cases.peek().is_none() || cases.any(|case| self.sees(tables, case) || !self.is_hidden(tables, case))
        })
    }

    /// Whether a case must not even be guessed at from its person.
    fn is_hidden(&self, tables: &Tables, case: &CaseRow) -> bool {
        case.sealed || self.relation_in(tables, case).barred
    }

    /// Puts a colleague on the conflict list of a person: person and cases do not exist for them from then on.
    ///
    /// # Errors
    /// When the account may not, or it would shut out the one who asks.
    pub fn bar(&self, person: RecordId, staff: StaffId) -> Result<(), DeskError> {
        self.allow(Ask::Bar)?;
        self.visible_person(person)?;
        self.active_staff(staff)?;
        if staff == self.actor.staff {
            return Err(DeskError::Invalid(vec![FieldProblem::new("staff", "own-account")]));
        }
        let records = self.office.index.read().records_of(person);
        self.write("bar", move |tx| {
            tx.about(person);
            for record in records {
                let mut sealed = tx.get::<Person>(Person::TOP, record)?.ok_or(DeskError::NotFound)?;
                if !sealed.record.barred.contains(&staff) {
                    sealed.record.barred.push(staff);
                    tx.update(&sealed.record, sealed.revision)?;
                }
            }
            Ok(())
        })
    }

    /// Asks that a colleague is taken off the conflict list of a person: somebody else approves it.
    ///
    /// # Errors
    /// When the account may not, or nobody else could approve.
    pub fn lift_bar(&self, person: RecordId, staff: StaffId) -> Result<(), DeskError> {
        self.allow(Ask::Bar)?;
        self.visible_person(person)?;
        let asked = Asked::LiftBar(person, staff);
        if !self.has_approver(&asked) {
            return Err(DeskError::Invalid(vec![FieldProblem::new("staff", "no-second-person")]));
        }
        self.write("lift_bar", move |tx| {
            let sealed = tx.get::<Person>(Person::TOP, person)?.ok_or(DeskError::NotFound)?;
            tx.about(person);
            ask(tx, vec![sealed.record.key], asked).map(drop)
        })
    }

    /// Takes emergency access to a case, by its number. A case that is not there and one that stays shut are told apart
    /// by nobody; that somebody tried is noted either way.
    ///
    /// # Errors
    /// When the account may not, the second factor is not right, or there is no such case for this account.
    pub fn break_glass(&self, input: &GlassInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::BreakGlass)?;
        let mut problems = self.problems();
        let number = problems.required_text("number", &input.number, 100);
        let reason = problems.required_text("reason", &input.reason, REASON_BYTES_MAX);
        problems.done()?;
        self.check_code(&input.code)?;
        let number = crate::names::ascii_digits(&number).to_uppercase();
        let found = {
            let tables = self.office.index.read();
            let case = tables.cases.values().find(|case| case.number.to_uppercase() == number);
            case.map(|case| (case.id, self.relation_in(&tables, case)))
        };
        let opens = |relation: &Relation| self.may(Ask::SeeCase(Relation { glass: true, ..*relation }));
        let Some((case, relation)) = found.filter(|(_, relation)| opens(relation)) else {
            self.office.vault.note_and_wait(Some(self.actor.staff), "refused", None)?;
            return Err(DeskError::Invalid(vec![FieldProblem::new("number", "no-such-case")]));
        };
        if self.may(Ask::SeeTiers(relation)) {
            return Ok(case);
        }
        let staff = self.actor.staff;
        self.write("break_glass", move |tx| {
            let sealed = tx.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?.record;
            let glass = Glass {
                id: tx.fresh_id(),
                case,
                subjects: keys(&sealed.clients),
                staff,
                reason,
                from: tx.now(),
                until: tx.now().plus_ms(GLASS_MINUTES * 60_000),
                reviewed: None,
                finding: String::new(),
            };
            tx.insert(&glass)?;
            tx.about(case);
            // Who is responsible learns of it as work that is due.
            let owner = sealed.owner.filter(|owner| *owner != staff);
            let title = TaskTitle::Form("review_emergency_access".into());
            let task = NewTask { kind: TaskKind::Review, title, due: super::today(tx)?.plus_days(REVIEW_DAYS) };
            add_task(tx, Some(case), &keys(&sealed.clients), task, owner, Some(glass.id))?;
            Ok(case)
        })
    }

    /// Emergency accesses, latest first: those of everybody for who leads, those to one's own cases for the others.
    ///
    /// # Errors
    /// When the account has nothing to do with cases.
    pub fn glasses(&self) -> Result<Vec<GlassView>, DeskError> {
        self.allow(Ask::Register)?;
        Ok(self.glasses_in(&self.office.index.read()))
    }

    pub(super) fn glasses_in(&self, tables: &Tables) -> Vec<GlassView> {
        let all = self.may(Ask::ReviewGlass);
        let (open, done): (Vec<&Glass>, Vec<&Glass>) = tables.glasses().partition(|glass| glass.reviewed.is_none());
        let listed = open.into_iter().chain(done).filter_map(|glass| {
            let case = tables.cases.get(&glass.case).filter(|case| self.sees(tables, case));
            // A supervisor learns that it happened also where the case stays shut to them.
            let is_mine = case.is_some_and(|case| case.owner == Some(self.actor.staff));
            let is_barred = tables.cases.get(&glass.case).is_some_and(|case| self.relation_in(tables, case).barred);
            (!is_barred && (all || is_mine)).then(|| GlassView {
                id: glass.id,
                by: self.staff_name(tables, Some(glass.staff)),
                mine: glass.staff == self.actor.staff,
                case: case.map(|case| case.id),
                number: case.map(|case| case.number.to_string()).unwrap_or_default(),
                reason: if case.is_some() { glass.reason.clone() } else { String::new() },
                from: glass.from,
                until: glass.until,
                reviewed_by: glass.reviewed.map(|reviewed| self.staff_name(tables, reviewed.by)),
                finding: if case.is_some() { glass.finding.clone() } else { String::new() },
                may_review: glass.reviewed.is_none() && glass.staff != self.actor.staff && case.is_some(),
            })
        });
        listed.take(LISTED_MAX).collect()
    }

    /// Says that one looked at an emergency access of somebody else, and what one found.
    ///
    /// # Errors
    /// When it is one's own, was looked at before, or there is none for this account.
    pub fn review_glass(&self, id: RecordId, finding: &str) -> Result<(), DeskError> {
        let listed = self.glasses()?.into_iter().find(|glass| glass.id == id).ok_or(DeskError::NotFound)?;
        if !listed.may_review {
            return Err(DeskError::Invalid(vec![FieldProblem::new("finding", "review-not-now")]));
        }
        let mut problems = self.problems();
        let finding = problems.required_text("finding", finding, REASON_BYTES_MAX);
        problems.done()?;
        self.write("review_glass", move |tx| {
            let mut sealed = tx.get::<Glass>(Glass::TOP, id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.reviewed.is_some() {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            sealed.record.reviewed = Some(Settled { at: tx.now(), by: tx.staff() });
            sealed.record.finding = finding;
            let case = sealed.record.case;
            tx.about(case);
            tx.update(&sealed.record, sealed.revision)?;
            super::tasks::settle_from(tx, case, id)
        })
    }

    /// All records of the clients of a case.
    pub(super) fn all_records(&self, clients: &[PersonRef]) -> Vec<RecordId> {
        let tables = self.office.index.read();
        clients.iter().flat_map(|client| tables.records_of(client.id)).collect()
    }

    /// Whether somebody may become one of those who work on a case by their own hand: not while somebody else is
    /// responsible, or confidential entries would open to whoever wants. Emergency access is the way for that.
    pub(super) fn may_take(&self, relation: Relation, owner: Option<StaffId>) -> Result<(), DeskError> {
        let tables = self.office.index.read();
        let is_cared_for =
            owner.and_then(|owner| tables.staff.get(&owner)).is_some_and(|member| member.is_in_use(self.now()));
        if self.may(Ask::SeeTiers(relation)) || !is_cared_for {
            return Ok(());
        }
        Err(DeskError::Invalid(vec![FieldProblem::new("owner", "not-by-oneself")]))
    }

    /// Says who works on a case beside its owner.
    ///
    /// # Errors
    /// When one of the accounts is not in use, or this account may not say so.
    pub fn share_case(&self, case: RecordId, staff: Vec<StaffId>) -> Result<(), DeskError> {
        let relation = self.may_in_case(case, Ask::AssignCase)?;
        staff.iter().try_for_each(|staff| self.case_staff(*staff))?;
        let desk = self.clone();
        self.assign_in_case("share_case", case, move |tx, case| {
            for one in &staff {
                if is_barred_from(tx, &desk.all_records(&case.clients), *one)? {
                    return Err(DeskError::Invalid(vec![FieldProblem::new("owner", "owner-does-not-see")]));
                }
            }
            if staff.contains(&desk.actor.staff) {
                desk.may_take(relation, case.owner)?;
            }
            case.assigned = staff;
            case.assigned.sort_unstable();
            case.assigned.dedup();
            Ok(())
        })
    }
}

/// Whether a member of staff stands on the conflict list of one of these records.
pub(super) fn is_barred_from(tx: &Tx<'_>, records: &[RecordId], staff: StaffId) -> Result<bool, DeskError> {
    for record in records {
        let person = tx.get::<Person>(Person::TOP, *record)?;
        if person.is_some_and(|person| person.record.barred.contains(&staff)) {
            return Ok(true);
        }
    }
    Ok(false)
}
