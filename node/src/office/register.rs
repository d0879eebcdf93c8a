//! The desk register: one line per visitor, in twenty seconds; later a consult or a case in one step.

use super::cases::{CaseInput, keys, new_case, parse_minutes};
use super::{CodeView, Desk, DeskError, RegisterView};
use crate::policy::Ask;
use crate::records::{Action, IdentityLevel, Person, RegisterLine, VisitOutcome};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::Day;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Lines of one page of the register.
const LINES_MAX: usize = 200;

/// A line as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegisterInput {
    /// Who came, in whatever words; may be empty.
    pub visitor: String,
    /// Code of the list `case_type`; may be empty.
    pub topic: String,
    /// What was said.
    pub note: String,
    /// How many minutes.
    pub minutes: String,
}

impl Desk {
    /// Writes a line.
    ///
    /// # Errors
    /// When nothing was entered, or fields are wrong.
    pub fn add_line(&self, input: RegisterInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::Register)?;
        let mut problems = self.problems();
        let visitor = problems.text("visitor", &input.visitor, 400);
        let topic = problems.optional_code("topic", "case_type", &input.topic);
        let note = problems.text("note", &input.note, 4_000);
        let minutes = parse_minutes(&mut problems, &input.minutes);
        if visitor.is_empty() && note.is_empty() && topic.is_none() {
            problems.add("visitor", "line-empty");
        }
        problems.done()?;
        self.write("add_line", move |tx| {
            let line = RegisterLine {
                id: tx.fresh_id(),
                key: tx.new_person_key(),
                at: tx.now(),
                visitor,
                topic,
                note,
                minutes,
                outcome: VisitOutcome::Open,
                by: tx.staff(),
            };
            tx.insert(&line)?;
            tx.about(line.id);
            Ok(line.id)
        })
    }

    /// The lines of a day, or the latest ones, latest first.
    ///
    /// # Errors
    /// When the account may not read the register.
    pub fn register(&self, day: Option<Day>) -> Result<Vec<RegisterView>, DeskError> {
        self.allow(Ask::Register)?;
        let tables = self.office.index.read();
        let lines = tables.lines.values().rev().filter(|line| day.is_none_or(|day| line.at.day() == day));
        // A line that became a case for others alone is as absent as the case.
        let is_there = |line: &&Arc<RegisterLine>| match line.outcome {
            VisitOutcome::Case(case) => tables.cases.get(&case).is_some_and(|row| {
                self.sees(&tables, row) || row.clients.iter().all(|client| self.sees_person(&tables, *client))
            }),
            _ => true,
        };
        let sees = |case: &RecordId| tables.cases.get(case).is_some_and(|row| self.sees(&tables, row));
        Ok(lines
            .filter(is_there)
            .take(LINES_MAX)
            .map(|line| {
                let (outcome, case, reason) = match &line.outcome {
                    VisitOutcome::Open => ("open", None, None),
                    VisitOutcome::Consult => ("consult", None, None),
                    VisitOutcome::Case(case) => ("case", Some(*case).filter(sees), None),
                    VisitOutcome::TurnedAway(reason) => ("turned_away", None, Some(CodeView::from(reason))),
                };
                RegisterView {
                    id: line.id,
                    at: line.at,
                    visitor: line.visitor.clone(),
                    topic: line.topic.as_ref().map(CodeView::from),
                    note: line.note.clone(),
                    minutes: line.minutes,
                    outcome: outcome.into(),
                    case,
                    reason,
                    by: self.staff_name(&tables, line.by),
                }
            })
            .collect())
    }

    /// Advice was given and nothing more: the line becomes a consult.
    ///
    /// # Errors
    /// When the line is not open any more.
    pub fn line_to_consult(&self, id: RecordId) -> Result<(), DeskError> {
        self.settle_line(id, |_, _| Ok(VisitOutcome::Consult)).map(|_| ())
    }

    /// The visitor was turned away.
    ///
    /// # Errors
    /// When the reason is missing or the line is not open any more.
    pub fn line_turned_away(&self, id: RecordId, reason: &str) -> Result<(), DeskError> {
        self.allow(Ask::Register)?;
        let mut problems = self.problems();
        let reason = problems.code("reason", "turnaway_reason", reason);
        problems.done()?;
        let Some(reason) = reason else { return Err(DeskError::NotFound) };
        self.settle_line(id, move |_, _| Ok(VisitOutcome::TurnedAway(reason))).map(|_| ())
    }

    /// Opens a case from a line in one step: the visitor becomes a person, the note the first entry.
    ///
    /// # Errors
    /// When the line is not open any more.
    pub fn line_to_case(&self, id: RecordId) -> Result<RecordId, DeskError> {
        self.allow(Ask::OpenCase)?;
        let outcome = self.settle_line(id, |tx, line| {
            let mut person = Person::unknown(tx.fresh_id(), line.key, tx.now(), tx.staff());
            if !line.visitor.is_empty() {
                person.identity = IdentityLevel::Alias;
                person.alias.clone_from(&line.visitor);
            }
            tx.insert(&person)?;
            let clients = vec![person.reference()];
            let case = new_case(tx, clients.clone(), line.topic.clone(), String::new(), None, &CaseInput::default())?;
            if let Some(kind) = crate::codes::code("action_kind", "advice").filter(|_| !line.note.is_empty()) {
                tx.insert(&Action {
                    text: line.note.clone(),
                    minutes: line.minutes,
                    by: line.by,
                    ..Action::note(tx.fresh_id(), case, keys(&clients), kind, line.at.day(), tx.now())
                })?;
            }
            Ok(VisitOutcome::Case(case))
        })?;
        match outcome {
            VisitOutcome::Case(case) => Ok(case),
            _ => Err(DeskError::NotFound),
        }
    }

    fn settle_line(
        &self,
        id: RecordId,
        settle: impl FnOnce(&mut crate::vault::Tx<'_>, &RegisterLine) -> Result<VisitOutcome, DeskError> + Send + 'static,
    ) -> Result<VisitOutcome, DeskError> {
        self.allow(Ask::Register)?;
        self.write("settle_line", move |tx| {
            let mut sealed = tx.get::<RegisterLine>(RegisterLine::TOP, id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.outcome != VisitOutcome::Open {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            let outcome = settle(tx, &sealed.record)?;
            sealed.record.outcome = outcome.clone();
            tx.about(id);
            tx.update(&sealed.record, sealed.revision)?;
            Ok(outcome)
        })
    }
}
