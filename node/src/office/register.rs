//! The desk register: one line per visitor, in twenty seconds; later a consult or a case in one step.

use super::cases::{NewCase, keys, new_case, parse_minutes};
use super::{CodeView, Desk, DeskError, PersonHit, RegisterView};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::{Action, IdentityLevel, Person, RegisterLine, VisitOutcome};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::Code;
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
    /// The day of the visit, where it is written down later; today when empty.
    pub on: String,
    /// What was advised.
    pub advice: String,
    /// How the visitor came to us: code of the list `contact_channel`; may be empty.
    pub channel: String,
}

/// A line that was checked.
struct NewLine {
    visitor: String,
    topic: Option<Code>,
    note: String,
    minutes: Option<u16>,
    on: Option<Day>,
    advice: String,
    channel: Option<Code>,
}

impl Desk {
    /// Writes a line.
    ///
    /// # Errors
    /// When nothing was entered, or fields are wrong.
    pub fn add_line(&self, input: RegisterInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::Register)?;
        let NewLine { visitor, topic, note, minutes, on, advice, channel } = self.read_line(&input)?;
        let today = self.today();
        let on = on.filter(|on| *on != today);
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
                on,
                advice,
                channel,
            };
            tx.insert(&line)?;
            tx.about(line.id);
            Ok(line.id)
        })
    }

    fn read_line(&self, input: &RegisterInput) -> Result<NewLine, DeskError> {
        let today = self.today();
        let mut problems = self.problems();
        let line = NewLine {
            visitor: problems.text("visitor", &input.visitor, 400),
            topic: problems.optional_code("topic", "case_type", &input.topic),
            note: problems.text("note", &input.note, 4_000),
            minutes: parse_minutes(&mut problems, &input.minutes),
            on: problems.day("on", &input.on),
            advice: problems.text("advice", &input.advice, 4_000),
            channel: problems.optional_code("channel", "contact_channel", &input.channel),
        };
        if line.visitor.is_empty() && line.note.is_empty() && line.topic.is_none() {
            problems.add("visitor", "line-empty");
        }
        if line.on.is_some_and(|on| on > today) {
            problems.add("on", "in-the-future");
        }
        problems.done()?;
        Ok(line)
    }

    /// Writes a line anew: what stood there before stays in the log. One that became a case is the case's from then on.
    ///
    /// # Errors
    /// When there is no such line for this account, it became a case, or fields are wrong.
    pub fn change_line(&self, id: RecordId, input: &RegisterInput) -> Result<(), DeskError> {
        self.line(id)?;
        let new = self.read_line(input)?;
        let zone = self.zone();
        self.write("change_line", move |tx| {
            let mut sealed = tx.get::<RegisterLine>(RegisterLine::TOP, id)?.ok_or(DeskError::NotFound)?;
            if matches!(sealed.record.outcome, VisitOutcome::Case(_)) {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            let NewLine { visitor, topic, note, minutes, on, advice, channel } = new;
            let written = zone.day(sealed.record.at);
            let on = on.filter(|on| *on != written);
            sealed.record = RegisterLine { visitor, topic, note, minutes, on, advice, channel, ..sealed.record };
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// One line.
    ///
    /// # Errors
    /// When there is none that this account may see.
    pub fn line(&self, id: RecordId) -> Result<RegisterView, DeskError> {
        self.allow(Ask::Register)?;
        let tables = self.office.index.read();
        let line = tables.lines.get(&id).filter(|line| self.sees_line(&tables, line)).ok_or(DeskError::NotFound)?;
        Ok(self.line_view(&tables, line))
    }

    /// A line that became a case for others alone is as absent as the case.
    pub(super) fn sees_line(&self, tables: &Tables, line: &RegisterLine) -> bool {
        match line.outcome {
            VisitOutcome::Case(case) => tables.cases.get(&case).is_some_and(|row| {
                self.sees(tables, row) || row.clients.iter().all(|client| self.sees_person(tables, *client))
            }),
            _ => true,
        }
    }

    fn line_view(&self, tables: &Tables, line: &RegisterLine) -> RegisterView {
        let sees = |case: &RecordId| tables.cases.get(case).is_some_and(|row| self.sees(tables, row));
        let (outcome, case, reason) = match &line.outcome {
            VisitOutcome::Open => ("open", None, None),
            VisitOutcome::Consult => ("consult", None, None),
            VisitOutcome::Case(case) => ("case", Some(*case).filter(sees), None),
            VisitOutcome::TurnedAway(reason) => ("turned_away", None, Some(CodeView::from(reason))),
        };
        let written = tables.zone.day(line.at);
        let on = line.on.unwrap_or(written);
        RegisterView {
            id: line.id,
            at: line.at,
            on,
            days_late: on.days_to(written).try_into().unwrap_or(0),
            visitor: line.visitor.clone(),
            topic: line.topic.as_ref().map(CodeView::from),
            note: line.note.clone(),
            minutes: line.minutes,
            advice: line.advice.clone(),
            channel: line.channel.as_ref().map(CodeView::from),
            outcome: outcome.into(),
            case,
            reason,
            by: self.staff_name(tables, line.by),
        }
    }

    /// The lines of a day, or the latest ones, latest first.
    ///
    /// # Errors
    /// When the account may not read the register.
    pub fn register(&self, day: Option<Day>) -> Result<Vec<RegisterView>, DeskError> {
        self.allow(Ask::Register)?;
        self.note_act("view_register");
        let tables = self.office.index.read();
        let is_of = |line: &&Arc<RegisterLine>| {
            day.is_none_or(|day| line.on.unwrap_or_else(|| tables.zone.day(line.at)) == day)
        };
        let lines = tables.lines.values().rev().filter(is_of).filter(|line| self.sees_line(&tables, line));
        Ok(lines.take(LINES_MAX).map(|line| self.line_view(&tables, line)).collect())
    }

    /// Advice was given and nothing more: the line becomes a consult.
    ///
    /// # Errors
    /// When the line became a case.
    pub fn line_to_consult(&self, id: RecordId) -> Result<(), DeskError> {
        self.settle_line(id, |_, _| Ok(VisitOutcome::Consult)).map(|_| ())
    }

    /// The visitor was turned away.
    ///
    /// # Errors
    /// When the reason is missing or the line became a case.
    pub fn line_turned_away(&self, id: RecordId, reason: &str) -> Result<(), DeskError> {
        self.allow(Ask::Register)?;
        let mut problems = self.problems();
        let reason = problems.code("reason", "turnaway_reason", reason);
        problems.done()?;
        let Some(reason) = reason else { return Err(DeskError::NotFound) };
        self.settle_line(id, move |_, _| Ok(VisitOutcome::TurnedAway(reason))).map(|_| ())
    }

    /// Persons who may be the visitor of a line, so that nobody is registered twice.
    ///
    /// # Errors
    /// When there is no such line for this account, or it may not search.
    pub fn line_persons(&self, id: RecordId) -> Result<Vec<PersonHit>, DeskError> {
        let visitor = self.line(id)?.visitor;
        if visitor.is_empty() { Ok(Vec::new()) } else { self.search(&visitor) }
    }

    /// Opens a case from a line or a consult in one step: for somebody who is registered, or else the visitor becomes a person;
    /// note and advice are the first entry.
    ///
    /// # Errors
    /// When the line became a case already, or there is no such person for this account.
    pub fn line_to_case(&self, id: RecordId, person: Option<RecordId>) -> Result<RecordId, DeskError> {
        self.allow(Ask::OpenCase)?;
        self.line(id)?;
        if let Some(person) = person {
            self.visible_person(person)?;
        }
        let (owner, zone) = (self.opener(), self.zone());
        let outcome = self.settle_line(id, move |tx, line| {
            let client = match person {
                Some(person) => tx.get::<Person>(Person::TOP, person)?.ok_or(DeskError::NotFound)?.record,
                None => {
                    let mut person = Person::unknown(tx.fresh_id(), line.key, tx.now(), tx.staff());
                    if !line.visitor.is_empty() {
                        person.identity = IdentityLevel::Alias;
                        person.alias.clone_from(&line.visitor);
                    }
                    tx.insert(&person)?;
                    person
                }
            };
            let clients = vec![client.reference()];
            let on = line.on.unwrap_or_else(|| zone.day(line.at));
            let new = NewCase { case_type: line.topic.clone(), owner, opened: Some(on), ..NewCase::default() };
            let case = new_case(tx, clients.clone(), new)?;
            let said = [line.note.as_str(), line.advice.as_str()];
            let said = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
            if let Some(kind) = crate::codes::code("action_kind", "advice").filter(|_| !said.is_empty()) {
                tx.insert(&Action {
                    text: said,
                    minutes: line.minutes,
                    by: line.by,
                    ..Action::note(tx.fresh_id(), case, keys(&clients), kind, on, tx.now())
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
            // A consult can become a case later, and a mistaken outcome another; a case stays one.
            if matches!(sealed.record.outcome, VisitOutcome::Case(_)) {
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
