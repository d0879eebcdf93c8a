//! What one person asks and another approves. A request carries exactly what will be done, and nobody approves their own.

use super::{Desk, DeskError, FieldProblem, RequestView, RequestedView};
use crate::index::Tables;
use crate::keys::{KeyFile, Keys};
use crate::policy::{Actor, Ask};
use crate::records::{Action, Asked, Case, Closure, Decided, HandingOver, Person, Request, Staff};
use crate::vault::{Record, Tx};
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::directory::Card;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::time::Timestamp;
use casemesh_protocol::trust::Decision;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError};
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
    if open.filter(|request| request.decided.is_none()).any(|request| request.asked.is_same(&asked)) {
        return Err(DeskError::Invalid(vec![FieldProblem::new("reason", "asked-before")]));
    }
    let request = Request { id: tx.fresh_id(), subjects, asked, by, at: tx.now(), decided: None };
    tx.insert(&request)?;
    Ok(request.id)
}

fn needed(asked: &Asked) -> Ask {
    match asked {
        Asked::Account(..) | Asked::End(_) | Asked::ResetFactor(_) | Asked::ResetPassword(..) | Asked::Team(..) => {
            Ask::ApproveAccounts
        }
        // Whom the office trusts is for two people.
        Asked::Admit(_) | Asked::EndMembership(..) => Ask::ApproveAccounts,
        Asked::LiftBar(..) | Asked::Close(..) | Asked::Entry(..) | Asked::HandOver(..) => Ask::ApproveCases,
        Asked::Erase(..) => Ask::Erase,
    }
}

fn change_account(
    tx: &mut Tx<'_>,
    staff: StaffId,
    change: impl FnOnce(&mut Staff, Timestamp),
) -> Result<(), DeskError> {
    let id = RecordId::new(*staff.as_bytes());
    let mut sealed = tx.get::<Staff>(Staff::TOP, id)?.ok_or(DeskError::NotFound)?;
    change(&mut sealed.record, tx.now());
    tx.about(id);
    Ok(tx.update(&sealed.record, sealed.revision)?)
}

/// Ends an account. What was asked about it goes with it.
fn end(tx: &mut Tx<'_>, staff: StaffId) -> Result<(), DeskError> {
    change_account(tx, staff, |member, now| {
        member.active = false;
        member.sessions_from = Some(now);
    })?;
    for mut request in tx.list::<Request>(Request::TOP)? {
        let is_this = matches!(request.record.asked, Asked::End(_));
        if request.record.decided.is_none() && !is_this && request.record.asked.account() == Some(staff) {
            let comment = "the account was ended".to_owned();
            let by = tx.staff().ok_or(DeskError::NotFound)?;
            request.record.decided = Some(Decided { at: tx.now(), by, approved: false, comment });
            tx.update(&request.record, request.revision)?;
        }
    }
    Ok(())
}

impl Desk {
    /// Whether somebody could approve this who neither asks nor is meant.
    pub(super) fn has_approver(&self, asked: &Asked) -> bool {
        let now = self.now();
        let tables = self.office.index.read();
        tables.staff.values().any(|member| {
            let (roles, small_office) = (member.roles.clone(), self.actor.small_office);
            let actor = Actor { staff: member.id, roles, small_office, in_team: false };
            // Who is on the conflict list of a person does not know of the request.
            let is_shut_out = matches!(asked, Asked::Erase(person, ..) if tables.is_barred(*person, member.id));
            let is_third = member.id != self.actor.staff && Some(member.id) != asked.account() && !is_shut_out;
            is_third && member.is_in_use(now) && actor.may(needed(asked)).is_ok()
        })
    }

    /// Whether this account may know of a request at all.
    pub(super) fn knows(&self, tables: &Tables, request: &Request) -> bool {
        let case = |id: &RecordId| tables.cases.get(id).is_some_and(|case| self.sees(tables, case));
        let about = match &request.asked {
            Asked::Account(..) | Asked::End(_) | Asked::ResetFactor(_) | Asked::ResetPassword(..) | Asked::Team(..) => {
                true
            }
            Asked::Admit(_) | Asked::EndMembership(..) => true,
            Asked::LiftBar(person, _) => self.sees_person(tables, *person),
            // Of one who is gone, that it was asked is left.
            Asked::Erase(person, ..) => !tables.persons.contains_key(person) || self.sees_person(tables, *person),
            Asked::Close(id, ..) | Asked::Entry(id, _) | Asked::HandOver(id, _) => case(id),
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
                && matches!(&request.asked, Asked::Close(about, ..) | Asked::Entry(about, _) | Asked::HandOver(about, _) if *about == case)
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
        let number = |case: &RecordId| tables.cases.get(case).map(|case| case.number.to_string()).unwrap_or_default();
        let name = |person: &RecordId| tables.persons.get(person).map(|row| row.name.clone()).unwrap_or_default();
        let account = |staff: &StaffId| self.staff_name(tables, Some(*staff));
        let asked = match &request.asked {
            Asked::Account(staff, roles, ends, _) => {
                RequestedView::Account { name: account(staff), roles: roles.clone(), ends: *ends }
            }
            Asked::End(staff) => RequestedView::End { name: account(staff) },
            Asked::Team(staff, team) => RequestedView::Team { name: account(staff), team: team.clone() },
            Asked::ResetFactor(staff) => RequestedView::ResetFactor { name: account(staff) },
            Asked::ResetPassword(staff, ..) => RequestedView::ResetPassword { name: account(staff) },
            Asked::Admit(card) => {
                let card = casemesh_crypto::wire::decode::<Card>(card).ok().and_then(|card| card.record().ok());
                let (office, name) = card.map(|record| (record.office, record.name.to_string())).unzip();
                RequestedView::Admit {
                    name: name.unwrap_or_default(),
                    digits: office.map(|office| self.spoken_with(office)).unwrap_or_default(),
                }
            }
            Asked::EndMembership(office, reason, successor) => RequestedView::EndMembership {
                name: self.member_name(*office).unwrap_or_default(),
                reason: *reason,
                successor: successor.and_then(|successor| self.member_name(successor)),
            },
            Asked::LiftBar(person, staff) => RequestedView::LiftBar {
                person: *person,
                name: name(person),
                staff: self.staff_name(tables, Some(*staff)),
            },
            Asked::Close(case, reason, help) => RequestedView::Close {
                case: *case,
                number: number(case),
                reason: reason.into(),
                level_of_help: help.as_ref().map(Into::into),
            },
            Asked::Erase(person, reason, _) => {
                RequestedView::Erase { person: *person, name: name(person), reason: reason.clone() }
            }
            Asked::Entry(case, entry) => RequestedView::Entry { case: *case, number: number(case), entry: *entry },
            Asked::HandOver(case, how) => RequestedView::HandOver {
                case: *case,
                number: number(case),
                name: self.member_name(how.to).unwrap_or_default(),
                need: how.need.clone(),
            },
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
            may_decide: request.decided.is_none()
                && request.by != self.actor.staff
                && request.asked.account() != Some(self.actor.staff)
                && self.may(needed(&request.asked)),
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
        if request.by == self.actor.staff || request.asked.account() == Some(self.actor.staff) {
            return Err(DeskError::Invalid(vec![FieldProblem::new("comment", "own-request")]));
        }
        let mut problems = self.problems();
        let comment = problems.text("comment", &input.comment, COMMENT_BYTES_MAX);
        if !input.approved && comment.is_empty() {
            problems.add("comment", "required");
        }
        problems.done()?;
        let (desk, approved) = (self.clone(), input.approved);
        let _alone = self.office.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.office.vault.get::<Request>(Request::TOP, id)?.ok_or(DeskError::NotFound)?;
        if held.record.decided.is_some() {
            return Err(crate::vault::VaultError::Conflict.into());
        }
        if approved {
            self.before_carrying_out(&request.asked)?;
        }
        self.write(if approved { "approve" } else { "refuse" }, move |tx| {
            let mut sealed = tx.get::<Request>(Request::TOP, id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.decided.is_some() {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            sealed.record.decided = Some(Decided { at: tx.now(), by: desk.actor.staff, approved, comment });
            if approved {
                desk.carry_out(tx, &sealed.record.asked)?;
            }
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        match (approved, &request.asked) {
            (true, Asked::End(staff)) => self.drop_slot(*staff),
            // The others are told at once.
            (true, Asked::Admit(_) | Asked::EndMembership(..)) => self.office.turn(),
            _ => {}
        }
        Ok(())
    }

    /// What must be done before the decision is written: an erasure, and what the key file must have. A crash between
    /// leaves a slot for an account that is not in use, and never an account without a way in.
    pub(super) fn before_carrying_out(&self, asked: &Asked) -> Result<(), DeskError> {
        match asked {
            Asked::End(staff) => self.leaves_somebody(*staff),
            Asked::Admit(bytes) => {
                let card: Card = casemesh_crypto::wire::decode(bytes).map_err(|_| DeskError::NotFound)?;
                self.office.decide_about(card.genesis.office(), Decision::Admitted, Some(card))
            }
            Asked::EndMembership(office, reason, successor) => {
                let ended = Decision::Ended { reason: *reason, successor: *successor };
                self.office.decide_about(*office, ended, None)
            }
            Asked::Erase(person, _, records) => self.erase_now(*person, records),
            // A crash can have come between the two: what is under way is done.
            Asked::HandOver(case, how) if self.is_handing_over(*case, how) => Ok(()),
            Asked::HandOver(case, how) => self.send_referral(*case, how.into()).map(drop),
            Asked::Account(_, _, _, Some(slot)) | Asked::ResetPassword(_, _, Some(slot)) => {
                let slot = slot.clone();
                let put = |file: &mut KeyFile, _: &Keys| {
                    file.put_slot(slot);
                    Ok(())
                };
                self.office.vault.change_key_file(put).map_err(|error| DeskError::Partner(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn is_handing_over(&self, case: RecordId, how: &HandingOver) -> bool {
        let tables = self.office.index.read();
        let mut of_case = tables.referrals.values().filter(|referral| referral.outgoing && referral.case == Some(case));
        of_case.any(|referral| {
            let is_it =
                referral.preview.is_transfer() && (referral.partner, referral.consent) == (how.to, Some(how.consent));
            is_it && tables.stands(referral).state.is_open()
        })
    }

    pub(super) fn carry_out(&self, tx: &mut Tx<'_>, asked: &Asked) -> Result<(), DeskError> {
        match asked {
            Asked::Account(staff, roles, ends, _) => {
                let (roles, ends) = (roles.clone(), *ends);
                change_account(tx, *staff, move |member, _| {
                    member.active = true;
                    member.roles = roles;
                    member.ends = ends;
                })
            }
            // Done before: they are no commands among others.
            Asked::Erase(..) | Asked::Admit(_) | Asked::EndMembership(..) | Asked::HandOver(..) => Ok(()),
            Asked::End(staff) => end(tx, *staff),
            Asked::Team(staff, team) => {
                let team = team.clone();
                change_account(tx, *staff, move |member, _| member.team = team)
            }
            Asked::ResetFactor(staff) => change_account(tx, *staff, |member, now| {
                member.factor = None;
                member.sessions_from = Some(now);
            }),
            Asked::ResetPassword(staff, hash, _) => {
                let hash = hash.clone();
                change_account(tx, *staff, move |member, now| {
                    member.password = hash;
                    member.pin = None;
                    member.first_password = true;
                    member.sessions_from = Some(now);
                })
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
            Asked::Close(case, reason, help) => {
                let mut sealed = tx.get::<Case>(Case::TOP, *case)?.ok_or(DeskError::NotFound)?;
                let relation = self.relation_at(tx, &sealed.record)?;
                self.actor.may(Ask::WriteCase(relation))?;
                self.nothing_open(*case)?;
                let today = super::today(tx)?;
                let closure = Closure { on: today, reason: reason.clone(), help: help.clone() };
                super::standing::close(tx, &mut sealed.record, closure)?;
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
