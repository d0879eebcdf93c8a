//! Grants with their targets, and cases that belong together.

use super::{CodeView, Desk, DeskError, FieldProblem, GrantView, LinkedCaseView};
use crate::index::{CaseRow, Tables};
use crate::policy::Ask;
use crate::records::{Case, Grant, StaffRole};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::Period;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Cases that one case can be linked to, and grants it can be counted for.
const LINKS_MAX: usize = 50;
/// Longest name.
const NAME_BYTES_MAX: usize = 200;

/// A grant as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrantInput {
    /// Its name.
    pub name: String,
    /// Who gives it.
    pub donor: String,
    /// From which day.
    pub from: String,
    /// To which day.
    pub to: String,
    /// Cases that were promised.
    pub cases: String,
    /// Services and activities that were promised.
    pub entries: String,
}

impl Desk {
    /// Grants, the latest first, with what was promised and what was done.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn grants(&self) -> Result<Vec<GrantView>, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let tables = self.office.index.read();
        let counts = |case: &CaseRow| self.counts(&tables, case);
        let view = |grant: &Grant| {
            let in_time = |day| grant.from <= day && day <= grant.to;
            let is_of = |case: &CaseRow| case.grants.contains(&grant.id) && in_time(case.opened) && counts(case);
            let is_counted = |about: &RecordId| match tables.cases.get(about) {
                Some(case) => counts(case),
                None => {
                    !tables.persons.contains_key(about)
                        || self.has_role(StaffRole::Reporting)
                        || self.sees_person(&tables, *about)
                }
            };
            let entries = tables.entries.granted_to(grant.id);
            let entries = entries.filter(|(about, day)| in_time(*day) && is_counted(about));
            GrantView {
                id: grant.id,
                name: grant.name.clone(),
                donor: grant.donor.clone(),
                from: grant.from,
                to: grant.to,
                cases_promised: grant.cases,
                cases: tables.cases.values().filter(|case| is_of(case)).count(),
                entries_promised: grant.entries,
                entries: entries.count(),
            }
        };
        Ok(tables.grants.values().rev().map(view).collect())
    }

    /// The grants that work can be counted for now.
    pub fn open_grants(&self) -> Vec<(RecordId, String)> {
        let today = self.today();
        let tables = self.office.index.read();
        let open = tables.grants.values().filter(|grant| grant.to >= today);
        open.map(|grant| (grant.id, grant.name.clone())).collect()
    }

    /// Writes a grant down.
    ///
    /// # Errors
    /// When fields are wrong or the account may not.
    pub fn add_grant(&self, input: &GrantInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::HandOver)?;
        let mut problems = self.problems();
        let name = problems.required_text("name", &input.name, NAME_BYTES_MAX);
        let donor = problems.text("donor", &input.donor, NAME_BYTES_MAX);
        let period = problems.period(&input.from, &input.to);
        let cases = problems.number("cases", &input.cases).unwrap_or_default();
        let entries = problems.number("entries", &input.entries).unwrap_or_default();
        problems.done()?;
        let Period { from, to } = period.ok_or(DeskError::NotFound)?;
        self.write("add_grant", move |tx| {
            let id = tx.fresh_id();
            tx.insert(&Grant { id, name, donor, from, to, cases, entries })?;
            Ok(id)
        })
    }

    pub(super) fn known_grant(&self, id: RecordId) -> bool {
        self.office.index.read().grants.contains_key(&id)
    }

    /// Says for which grants the work in a case is counted.
    ///
    /// # Errors
    /// When there is no such grant, or this account may not write in the case.
    pub fn tag_case(&self, case: RecordId, mut grants: Vec<RecordId>) -> Result<(), DeskError> {
        self.may_in_case(case, Ask::WriteCase)?;
        grants.sort_unstable();
        grants.dedup();
        if grants.len() > LINKS_MAX || !grants.iter().all(|grant| self.known_grant(*grant)) {
            return Err(DeskError::Invalid(vec![FieldProblem::new("grants", "no-such-grant")]));
        }
        self.write_in_case("tag_case", case, move |_, case| {
            case.grants = grants;
            Ok(())
        })
    }

    /// Says that two cases belong together. Both show the other, to those who may see it.
    ///
    /// # Errors
    /// When there is no case of that number for this account, or it may not write in both.
    pub fn link_case(&self, case: RecordId, number: &str, why: &str) -> Result<(), DeskError> {
        self.may_in_case(case, Ask::WriteCase)?;
        let mut problems = self.problems();
        let number = problems.required_text("number", number, 100);
        let why = problems.code("why", "case_link", why);
        problems.done()?;
        let other = {
            let tables = self.office.index.read();
            let found = tables.case_numbered(&number).filter(|row| row.id != case);
            found.filter(|row| self.may(Ask::WriteCase(self.relation_in(&tables, row)))).map(|row| row.id)
        };
        let absent = || DeskError::Invalid(vec![FieldProblem::new("number", "no-such-case")]);
        let (Some(other), Some(why)) = (other, why) else { return Err(absent()) };
        let desk = self.clone();
        self.write_in_case("link_case", case, move |tx, case| {
            let mut sealed = tx.get::<Case>(Case::TOP, other)?.ok_or_else(absent)?;
            let relation = desk.relation_at(tx, &sealed.record)?;
            desk.actor.may(Ask::WriteCase(relation)).map_err(|_| absent())?;
            let this = case.id;
            for (of, to) in [(&mut *case, other), (&mut sealed.record, this)] {
                of.linked.retain(|(known, _)| *known != to);
                if of.linked.len() >= LINKS_MAX {
                    return Err(DeskError::Invalid(vec![FieldProblem::with("number", "too-many-links", LINKS_MAX)]));
                }
                of.linked.push((to, why.clone()));
            }
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    pub(super) fn linked(&self, tables: &Tables, linked: &[(RecordId, Code)]) -> Vec<LinkedCaseView> {
        let view = |(case, why): &(RecordId, Code)| {
            let row = tables.cases.get(case).filter(|row| self.sees(tables, row))?;
            let summary = self.summary(tables, row);
            Some(LinkedCaseView {
                case: *case,
                number: summary.number,
                client: summary.client,
                why: CodeView::from(why),
            })
        };
        linked.iter().filter_map(view).collect()
    }
}
