//! Two records of one person: found, compared side by side, merged, taken apart again, or remembered as two people.
//!
//! Merging moves nothing. The one record points to the other, and everything is shown there; so it can be undone at any
//! time, and nothing that was written since is lost.

use super::{Desk, DeskError, DuplicateView, FieldProblem, PersonView};
use crate::policy::Ask;
use crate::records::Person;
use crate::vault::Record;
use casemesh_protocol::id::RecordId;

/// Pairs that are listed.
const PAIRS_MAX: usize = 100;

impl Desk {
    /// Pairs of persons who may be one, as far as this account may see both.
    ///
    /// # Errors
    /// When the account may not search.
    pub fn duplicates(&self) -> Result<Vec<DuplicateView>, DeskError> {
        self.allow(Ask::People)?;
        self.note_act("search");
        let tables = self.office.index.read();
        let name = |id: &RecordId| tables.persons.get(id).map(|row| row.name.clone()).unwrap_or_default();
        let pairs = tables.duplicates(|id| self.sees_person(&tables, id));
        let view = |(one, other, reason): (RecordId, RecordId, _)| DuplicateView {
            name: name(&one),
            other_name: name(&other),
            one,
            other,
            reason,
        };
        Ok(pairs.into_iter().take(PAIRS_MAX).map(view).collect())
    }

    fn two(&self, one: RecordId, other: RecordId) -> Result<(RecordId, RecordId), DeskError> {
        self.visible_person(one)?;
        self.visible_person(other)?;
        let tables = self.office.index.read();
        let (one, other) = (tables.standing(one), tables.standing(other));
        if one == other {
            return Err(DeskError::Invalid(vec![FieldProblem::new("person", "same-person")]));
        }
        Ok((one, other))
    }

    /// Two persons side by side.
    ///
    /// # Errors
    /// When one of them does not exist for this account, or they are one already.
    pub fn compare(&self, one: RecordId, other: RecordId) -> Result<(PersonView, PersonView), DeskError> {
        self.allow(Ask::People)?;
        let (one, other) = self.two(one, other)?;
        Ok((self.person(one)?, self.person(other)?))
    }

    /// Says that two records are about one person: the first stands for them from now on.
    ///
    /// # Errors
    /// When one of them does not exist for this account, or they are one already.
    pub fn merge(&self, stays: RecordId, goes: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::KeepPeople)?;
        let (stays, goes) = self.two(stays, goes)?;
        let desk = self.clone();
        self.write("merge", move |tx| {
            let kept = tx.get::<Person>(Person::TOP, stays)?.ok_or(DeskError::NotFound)?.record;
            let mut sealed = tx.get::<Person>(Person::TOP, goes)?.ok_or(DeskError::NotFound)?;
            if kept.merged_into.is_some() || sealed.record.merged_into.is_some() {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            // Whoever is shut out of the one is shut out of both: a merging never opens what was shut.
            let barred = [&kept.barred, &sealed.record.barred].into_iter().any(|list| list.contains(&desk.actor.staff));
            if barred {
                return Err(DeskError::NotFound);
            }
            sealed.record.merged_into = Some(stays);
            // Whom either record rules out is ruled out.
            let mut kept = tx.get::<Person>(Person::TOP, stays)?.ok_or(DeskError::NotFound)?;
            for never in &sealed.record.never {
                if !kept.record.never.contains(never) {
                    kept.record.never.push(never.clone());
                }
            }
            tx.update(&kept.record, kept.revision)?;
            tx.about(stays);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// Takes a merging back.
    ///
    /// # Errors
    /// When that record was not merged into this person.
    pub fn unmerge(&self, person: RecordId, merged: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::KeepPeople)?;
        self.visible_person(person)?;
        self.write("unmerge", move |tx| {
            let mut sealed = tx.get::<Person>(Person::TOP, merged)?.ok_or(DeskError::NotFound)?;
            if sealed.record.merged_into != Some(person) {
                return Err(DeskError::NotFound);
            }
            sealed.record.merged_into = None;
            tx.about(person);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// Remembers that two records are about two people.
    ///
    /// # Errors
    /// When one of them does not exist for this account, or they were merged.
    pub fn are_different(&self, one: RecordId, other: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::KeepPeople)?;
        let (one, other) = self.two(one, other)?;
        self.write("are_different", move |tx| {
            let mut sealed = tx.get::<Person>(Person::TOP, one)?.ok_or(DeskError::NotFound)?;
            tx.about(one);
            if sealed.record.different_from.contains(&other) {
                return Ok(());
            }
            sealed.record.different_from.push(other);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }
}
