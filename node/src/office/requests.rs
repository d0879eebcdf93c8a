//! What one person asks and another approves. A request carries exactly what will be done, and nobody approves their own.

use super::{Desk, DeskError, FieldProblem, RequestView, RequestedView};
use crate::index::Tables;
use crate::policy::{Actor, Ask};
use crate::records::{Action, Asked, Case, Decided, Person, Request, Staff};
use crate::vault::{Record, Tx};
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::RecordId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Requests that are listed.
const LISTED_MAX: usize = 200;
/// Longest comment.
const COMMENT_BYTES_MAX: usize = 4_000;

/// A decision about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionInput {
    /// Whether it is approved.
    pub approved: bool,
    /// Why, or what to change.
    pub comment: String,
}

/// Puts a request down, inside a command; the same request stands once.
pub(super) fn ask(tx: &mut Tx<'_>, subjects: Vec<KeyHandle>, asked: Asked) -> Result<RecordId, DeskError> {
    let by = tx.staff().ok_or(DeskError::NotFound)?;
    let open = tx.list::<Request>(Request::TOP)?.into_iter().map(|sealed| sealed.record);
    if open.filter(|request| request.decided.is_none()).any(|request| request.asked == asked) {
        return Err(DeskError::Invalid(vec![FieldProblem::new("reason", "asked-before")]));
    }
    let request = Request { id: tx.fresh_id(), subjects, asked, by, at: tx.now(), decided: None };
    tx.insert(&request)?;
    Ok(request.id)
}

fn needed(asked: &Asked) -> Ask {
    match asked {
        Asked::Account(..) => Ask::ApproveAccounts,
        Asked::LiftBar(..) | Asked::Close(..) | Asked::Entry(..) => Ask::ApproveCases,
    }
}

impl Desk {
    /// Whether somebody else could approve this.
    pub(super) fn has_approver(&self, asked: &Asked) -> bool {
        let now = self.now();
        let tables = self.office.index.read();
        tables.staff.values().any(|member| {
            let actor = Actor { staff: member.id, roles: member.roles.clone(), small_office: self.actor.small_office };
            member.id != self.actor.staff && member.is_in_use(now) && actor.may(needed(asked)).is_ok()
        })
    }

    /// Whether this account may know of a request at all.
    fn knows(&self, tables: &Tables, request: &Request) -> bool {
        let case = |id: &RecordId| tables.cases.get(id).is_some_and(|case| self.sees(tables, case));
        let about = match &request.asked {
            Asked::Account(..) => true,
            Asked::LiftBar(person, _) => self.sees_person(tables, *person),
            Asked::Close(id, _) | Asked::Entry(id, _) => case(id),
        };
        about && (request.by == self.actor.staff || self.may(needed(&request.asked)))
    }

    pub(super) fn requests_in(&self, tables: &Tables) -> Vec<RequestView> {
        let known = tables.requests.values().rev().filter(|request| self.knows(tables, request)).take(LISTED_MAX);
        known.map(|request| self.request_view(tables, request)).collect()
    }

    /// The open requests about a case.
    pub(super) fn requests_of(&self, tables: &Tables, case: RecordId) -> Vec<RequestView> {
        let is_it = |request: &&Arc<Request>| {
            request.decided.is_none()
                && matches!(request.asked, Asked::Close(about, _) | Asked::Entry(about, _) if about == case)
        };
        let known = tables.requests.values().rev().filter(is_it).filter(|request| self.knows(tables, request));
        known.map(|request| self.request_view(tables, request)).collect()
    }

    /// Requests that this account made or may decide, latest first.
    ///
    /// # Errors
    /// Never; what an account may not know of is not there.
    pub fn requests(&self) -> Result<Vec<RequestView>, DeskError> {
        Ok(self.requests_in(&self.office.index.read()))
    }

    fn request_view(&self, tables: &Tables, request: &Request) -> RequestView {
        let number = |case: &RecordId| tables.cases.get(case).map(|case| case.number.clone()).unwrap_or_default();
        let name = |person: &RecordId| tables.persons.get(person).map(|row| row.name.clone()).unwrap_or_default();
        let asked = match &request.asked {
            Asked::Account(staff, roles, ends) => RequestedView::Account {
                name: self.staff_name(tables, Some(*staff)),
                roles: roles.clone(),
                ends: *ends,
            },
            Asked::LiftBar(person, staff) => RequestedView::LiftBar {
                person: *person,
                name: name(person),
                staff: self.staff_name(tables, Some(*staff)),
            },
            Asked::Close(case, reason) => {
                RequestedView::Close { case: *case, number: number(case), reason: reason.into() }
            }
            Asked::Entry(case, entry) => RequestedView::Entry { case: *case, number: number(case), entry: *entry },
        };
        RequestView {
            id: request.id,
            asked,
            by: self.staff_name(tables, Some(request.by)),
            mine: request.by == self.actor.staff,
            at: request.at,
            decided_by: request.decided.as_ref().map(|decided| self.staff_name(tables, Some(decided.by))),
            approved: request.decided.as_ref().is_some_and(|decided| decided.approved),
            comment: request.decided.as_ref().map(|decided| decided.comment.clone()).unwrap_or_default(),
            may_decide: request.decided.is_none() && request.by != self.actor.staff && self.may(needed(&request.asked)),
        }
    }

    /// Approves or refuses what somebody else asked. What was approved is done in the same step.
    ///
    /// # Errors
    /// When it is one's own, was decided before, or cannot be done any more.
    pub fn decide(&self, id: RecordId, input: &DecisionInput) -> Result<(), DeskError> {
        let request = {
            let tables = self.office.index.read();
            let request = tables.requests.get(&id).filter(|request| self.knows(&tables, request));
            request.ok_or(DeskError::NotFound)?.clone()
        };
        self.allow(needed(&request.asked))?;
        if !self.may(Ask::ApproveCases) {
            // An administrator decides about accounts as an administrator.
            self.administers()?;
        }
        if request.by == self.actor.staff {
            return Err(DeskError::Invalid(vec![FieldProblem::new("comment", "own-request")]));
        }
        let mut problems = self.problems();
        let comment = problems.text("comment", &input.comment, COMMENT_BYTES_MAX);
        if !input.approved && comment.is_empty() {
            problems.add("comment", "required");
        }
        problems.done()?;
        let (desk, approved) = (self.clone(), input.approved);
        let never_used = match &request.asked {
            Asked::Account(staff, ..) if !approved => {
                let is_new = |member: &Staff| !member.active;
                self.office.index.read().staff.get(staff).filter(|member| is_new(member)).map(|member| member.id)
            }
            _ => None,
        };
        let decided = self.write(if approved { "approve" } else { "refuse" }, move |tx| {
            let mut sealed = tx.get::<Request>(Request::TOP, id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.decided.is_some() {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            sealed.record.decided = Some(Decided { at: tx.now(), by: desk.actor.staff, approved, comment });
            if approved {
                desk.carry_out(tx, &sealed.record.asked)?;
            }
            Ok(tx.update(&sealed.record, sealed.revision)?)
        });
        // Who was refused keeps no way to the office key.
        if let (Ok(()), Some(staff)) = (&decided, never_used) {
            self.drop_slot(staff);
        }
        decided
    }

    pub(super) fn carry_out(&self, tx: &mut Tx<'_>, asked: &Asked) -> Result<(), DeskError> {
        match asked {
            Asked::Account(staff, roles, ends) => {
                let id = RecordId::new(*staff.as_bytes());
                let mut sealed = tx.get::<Staff>(Staff::TOP, id)?.ok_or(DeskError::NotFound)?;
                sealed.record.active = true;
                sealed.record.roles = roles.clone();
                sealed.record.ends = *ends;
                tx.about(id);
                Ok(tx.update(&sealed.record, sealed.revision)?)
            }
            Asked::LiftBar(person, staff) => {
                tx.about(*person);
                let records = self.office.index.read().records_of(*person);
                for record in records {
                    let mut sealed = tx.get::<Person>(Person::TOP, record)?.ok_or(DeskError::NotFound)?;
                    if sealed.record.barred.contains(staff) {
                        sealed.record.barred.retain(|barred| barred != staff);
                        tx.update(&sealed.record, sealed.revision)?;
                    }
                }
                Ok(())
            }
            Asked::Close(case, reason) => {
                let mut sealed = tx.get::<Case>(Case::TOP, *case)?.ok_or(DeskError::NotFound)?;
                let relation = self.relation_at(tx, &sealed.record)?;
                self.actor.may(Ask::WriteCase(relation))?;
                self.nothing_open(*case)?;
                super::cases::close(&mut sealed.record, reason.clone(), tx.now());
                tx.about(*case);
                Ok(tx.update(&sealed.record, sealed.revision)?)
            }
            Asked::Entry(case, entry) => {
                tx.get::<Action>(*case, *entry)?.ok_or(DeskError::NotFound)?;
                tx.about(*case);
                Ok(())
            }
        }
    }

    /// Asks a supervisor to approve an entry of a case, a plan for example.
    ///
    /// # Errors
    /// When there is no such entry for this account, or nobody else could approve.
    pub fn ask_approval(&self, case: RecordId, entry: RecordId) -> Result<(), DeskError> {
        let asked = Asked::Entry(case, entry);
        let has_approver = self.has_approver(&asked);
        self.write_in_case("ask_approval", case, move |tx, case| {
            tx.get::<Action>(case.id, entry)?.ok_or(DeskError::NotFound)?;
            if !has_approver {
                return Err(DeskError::Invalid(vec![FieldProblem::new("comment", "no-second-person")]));
            }
            ask(tx, super::cases::keys(&case.clients), asked).map(drop)
        })
    }
}
